/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The line server: framing, bounds, slow clients, half-closed clients, too many clients. */
#include "unit.h"
#include "io/usock.h"
#include <errno.h>
#include <limits.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define LINE_MAX_HERE 1000
#define REFUSAL       "full\n"

static struct loop *l;
static struct usock *s;
static struct sockaddr_un addr;
static unsigned opened, closed, lines, overlong, drained, eofs;
static struct usock_client *newest;
static unsigned refills; /* times that on_drained fills the output again */
static char last[LINE_MAX_HERE + 1];
static size_t last_len;
static bool answer_on_eof;

static void on_open(void *ctx, struct usock_client *c)
{
	(void)ctx;
	opened++;
	newest = c;
	usock_send(c, "hello\n", 6);
}

static void on_line(void *ctx, struct usock_client *c, char *line, size_t len)
{
	static char big[5000];

	(void)ctx;
	lines++;
	last_len = len;
	memcpy(last, line, len + 1);
	if (strcmp(line, "big") == 0)
		usock_send(c, memset(big, 'b', sizeof(big)), sizeof(big));
	if (strcmp(line, "bye") == 0)
		usock_close(c);
	if (strcmp(line, "kill") == 0)
		usock_kill(c);
}

static void on_overlong(void *ctx, struct usock_client *c)
{
	(void)ctx;
	overlong++;
	usock_send(c, "too long\n", 9);
}

static void on_eof(void *ctx, struct usock_client *c)
{
	(void)ctx;
	eofs++;
	if (answer_on_eof)
		usock_send(c, "late\n", 5);
	usock_close(c);
}

/* What nobody has asked for, as far as one may. */
static void fill(struct usock_client *c)
{
	static const char text[100] = "filler";

	while (!usock_busy(c))
		ck_assert_int_eq(usock_send(c, text, sizeof(text)), 0);
}

static void on_drained(void *ctx, struct usock_client *c)
{
	(void)ctx;
	drained++;
	if (refills) {
		refills--;
		fill(c);
	}
}

static void on_closed(void *ctx, struct usock_client *c)
{
	(void)ctx;
	(void)c;
	closed++;
}

static mono_t on_idle(void *ctx, mono_t now)
{
	(void)ctx;
	(void)now;
	usock_flush(s);
	return MONO_NEVER;
}

static const struct usock_handler handler = {on_open, on_line,    on_overlong,
					     on_eof,  on_drained, on_closed};

static void setup(void)
{
	struct usock_limits limits = {
		.max_clients = 3,
		.line_max = LINE_MAX_HERE,
		.out_high = 8000,
		.out_low = 1000,
		.out_max = 400000,
		.stall_ns = 600 * MONO_NS_PER_MS,
		.refusal = REFUSAL,
	};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	socklen_t len = sizeof(addr);

	addr = (struct sockaddr_un){.sun_family = AF_UNIX};
	opened = closed = lines = overlong = drained = eofs = refills = 0;
	answer_on_eof = false;
	/* autobind: a free abstract name */
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&addr, sizeof(sa_family_t)), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
	ck_assert_int_eq(listen(fd, 16), 0);
	ck_assert_int_eq(loop_new(&l), 0);
	ck_assert_int_eq(usock_new(&s, l, fd, &handler, NULL, &limits), 0);
	loop_set_idle(l, on_idle, NULL);
}

static void teardown(void)
{
	usock_free(s);
	loop_free(l);
}

static int dial(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	/* the name of an autobound socket is 5 hexadecimal digits behind a NUL */
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&addr, sizeof(sa_family_t) + 6), 0);
	return fd;
}

static void spin(unsigned ms)
{
	mono_t end = mono_add(loop_clock(), ms * MONO_NS_PER_MS);

	do
		ck_assert_int_eq(loop_once(l, end), 0);
	while (mono_before(loop_clock(), end));
}

static void expect(int fd, const char *want)
{
	char buf[256] = {0};
	size_t got = 0;

	/* The text may come in pieces, and late on a busy machine; not more than is wanted is read. */
	for (int i = 0; got < strlen(want) && i < 400; i++) {
		ssize_t n;

		spin(5);
		n = recv(fd, buf + got, strlen(want) - got, 0);
		if (n > 0)
			got += (size_t)n;
	}
	ck_assert_str_eq(buf, want);
}

static void expect_end(int fd)
{
	char c;

	ck_assert_int_eq(recv(fd, &c, 1, 0), 0);
	close(fd);
}

static void say(int fd, const char *text)
{
	ck_assert_int_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

START_TEST(lines_are_cut_out_of_the_stream)
{
	int fd = dial();

	expect(fd, "hello\n");
	say(fd, "one\ntwo\nthr");
	spin(5);
	ck_assert_uint_eq(lines, 2);
	say(fd, "ee\n\n");
	spin(5);
	ck_assert_uint_eq(lines, 4);
	ck_assert_uint_eq(last_len, 0);
	ck_assert_int_eq(write(fd, "a\0b\n", 4), 4);
	spin(5);
	ck_assert_uint_eq(last_len, 3);
	say(fd, "bye\nignored\n");
	spin(5);
	ck_assert_uint_eq(lines, 6);
	expect_end(fd);
	ck_assert_uint_eq(closed, 1);
}
END_TEST

START_TEST(line_bound_is_exact)
{
	char text[LINE_MAX_HERE + 2];
	int fd = dial();

	expect(fd, "hello\n");
	memset(text, 'x', sizeof(text));
	text[LINE_MAX_HERE] = '\n';
	ck_assert_int_eq(write(fd, text, LINE_MAX_HERE + 1), LINE_MAX_HERE + 1);
	spin(5);
	ck_assert(lines == 1 && last_len == LINE_MAX_HERE && !overlong);
	text[LINE_MAX_HERE] = 'x';
	text[LINE_MAX_HERE + 1] = '\n';
	ck_assert_int_eq(write(fd, text, sizeof(text)), (ssize_t)sizeof(text));
	expect(fd, "too long\n");
	expect_end(fd);
	ck_assert(lines == 1 && overlong == 1);
}
END_TEST

START_TEST(endless_line_ends_the_client)
{
	char text[LINE_MAX_HERE];
	int fd = dial();

	expect(fd, "hello\n");
	memset(text, 'x', sizeof(text));
	ck_assert_int_eq(write(fd, text, sizeof(text)), (ssize_t)sizeof(text));
	spin(5);
	ck_assert_uint_eq(overlong, 0);
	say(fd, "x");
	expect(fd, "too long\n");
	expect_end(fd);
}
END_TEST

START_TEST(half_closed_client_is_still_answered)
{
	int fd = dial();

	answer_on_eof = true;
	say(fd, "one\n");
	ck_assert_int_eq(shutdown(fd, SHUT_WR), 0);
	expect(fd, "hello\nlate\n");
	expect_end(fd);
	ck_assert(eofs == 1 && closed == 1 && lines == 1);
}
END_TEST

START_TEST(client_that_goes_away_is_freed)
{
	int fd = dial();

	spin(5);
	close(fd);
	spin(5);
	fd = dial();
	say(fd, "kill\n");
	spin(5);
	close(fd);
	ck_assert(opened == 2 && closed == 2);
	ck_assert_uint_eq(usock_stats(s)->clients, 0);
}
END_TEST

START_TEST(refused_above_the_limit_and_welcome_afterwards)
{
	int fd[3];

	for (int i = 0; i < 3; i++)
		fd[i] = dial();
	spin(5);
	expect(dial(), REFUSAL);
	ck_assert_uint_eq(usock_stats(s)->refused, 1);
	for (int i = 0; i < 3; i++)
		close(fd[i]);
	spin(5);
	expect(dial(), "hello\n");
}
END_TEST

/* It asks and does not read: reading from it stops, then it is closed; others go on. */
START_TEST(stalled_client_is_closed)
{
	int fd = dial(), other = dial();

	expect(other, "hello\n");
	/* A slow machine may see it closed before all of it is sent. */
	for (int i = 0; i < 100; i++) {
		(void)!send(fd, "big\n", 4, MSG_NOSIGNAL);
		spin(1);
	}
	ck_assert_uint_lt(lines, 100);
	spin(800);
	ck_assert_uint_eq(usock_stats(s)->stalled, 1);
	ck_assert_uint_eq(closed, 1);
	say(other, "one\n");
	spin(5);
	ck_assert_str_eq(last, "one");
	close(fd);
}
END_TEST

START_TEST(slow_client_loses_nothing)
{
	int fd = dial();
	size_t got = 0;
	char buf[4096];

	for (int i = 0; i < 60; i++)
		say(fd, "big\n");
	for (int i = 0; i < 4000 && got < 60 * 5000 + 6; i++) {
		ssize_t r = recv(fd, buf, sizeof(buf), 0);

		got += r > 0 ? (size_t)r : 0;
		spin(1);
	}
	ck_assert_uint_eq(got, 60 * 5000 + 6);
	ck_assert_uint_ge(drained, 1);
	close(fd);
}
END_TEST

/* Output that comes by itself, again and again, does not keep a client's own lines from being read. */
START_TEST(lines_are_read_while_output_waits)
{
	int fd = dial(), small = 2048;
	unsigned before;
	char buf[512];

	ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
	expect(fd, "hello\n");
	refills = UINT_MAX;
	fill(newest);
	for (int i = 0; i < 20000 && !usock_busy(newest); i++)
		spin(0);
	ck_assert(usock_busy(newest));
	ck_assert(!usock_backlogged(newest));
	before = drained;
	for (unsigned i = 1; i <= 10; i++) {
		say(fd, "one\n");
		for (int tries = 0; tries < 400 && lines < i; tries++)
			spin(1);
		ck_assert_uint_eq(lines, i);
		ck_assert_int_gt(recv(fd, buf, sizeof(buf), 0), 0);
	}
	refills = 0;
	for (int i = 0; i < 4000 && drained == before; i++) {
		ck_assert_int_gt(recv(fd, buf, sizeof(buf), 0), 0);
		spin(1);
	}
	ck_assert_uint_gt(drained, before);
	close(fd);
}
END_TEST

START_TEST(output_bound_ends_the_client)
{
	char text[4 * 1000];
	int fd = dial();

	expect(fd, "hello\n");
	for (size_t i = 0; i < sizeof(text); i += 4)
		memcpy(text + i, "big\n", 4);
	ck_assert_int_eq(write(fd, text, sizeof(text)), (ssize_t)sizeof(text));
	spin(5);
	ck_assert_uint_eq(usock_stats(s)->overrun, 1);
	ck_assert_uint_eq(closed, 1);
	close(fd);
}
END_TEST

START_TEST(credentials)
{
	struct usock_peer p;
	int fd[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
	ck_assert_int_eq(usock_peer_get(fd[0], &p), 0);
	ck_assert_int_eq(p.pid, getpid());
	ck_assert_uint_eq(p.uid, geteuid());
	ck_assert(usock_peer_in(&p, getegid()));
	ck_assert(!usock_peer_in(&p, 54321));
	ck_assert_int_lt(usock_peer_get(-1, &p), 0);
	close(fd[0]);
	close(fd[1]);
}
END_TEST

Suite *suite(void)
{
	Suite *suite = suite_create("usock");
	TCase *t = tcase_create("usock");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, lines_are_cut_out_of_the_stream);
	tcase_add_test(t, line_bound_is_exact);
	tcase_add_test(t, endless_line_ends_the_client);
	tcase_add_test(t, half_closed_client_is_still_answered);
	tcase_add_test(t, client_that_goes_away_is_freed);
	tcase_add_test(t, refused_above_the_limit_and_welcome_afterwards);
	tcase_add_test(t, stalled_client_is_closed);
	tcase_add_test(t, slow_client_loses_nothing);
	tcase_add_test(t, lines_are_read_while_output_waits);
	tcase_add_test(t, output_bound_ends_the_client);
	tcase_add_test(t, credentials);
	suite_add_tcase(suite, t);
	return suite;
}
