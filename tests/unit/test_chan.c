/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Message channels: order, batches, backlog, descriptors, and a peer that sends nonsense. */
#include "unit.h"
#include "io/chan.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SIZE    100
#define BATCH   8
#define BACKLOG 4000

static struct chan *a, *b;
static int raw; /* b's peer, when it is not a channel */

static void setup(void)
{
	int fd[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fd), 0);
	ck_assert_int_eq(chan_new(&a, fd[0], SIZE, BATCH, BACKLOG), 0);
	ck_assert_int_eq(chan_new(&b, fd[1], SIZE, BATCH, BACKLOG), 0);
	raw = fd[0];
}

static void teardown(void)
{
	chan_free(a);
	chan_free(b);
	a = b = NULL;
}

static void put(struct chan *c, uint32_t v, int want)
{
	unsigned char m[SIZE] = {0};

	memcpy(m, &v, sizeof(v));
	ck_assert_int_eq(chan_send(c, m), want);
}

/* Reads all that is there, checks the numbering, returns the next number. */
static uint32_t take(struct chan *c, uint32_t next)
{
	unsigned char m[BATCH][SIZE];
	unsigned n;
	int fd;

	while (chan_recv(c, m, &n, &fd) == 0) {
		ck_assert_int_eq(fd, -1);
		for (unsigned i = 0; i < n; i++) {
			uint32_t v;

			memcpy(&v, m[i], sizeof(v));
			ck_assert_uint_eq(v, next++);
		}
	}
	return next;
}

START_TEST(order_is_kept_in_batches)
{
	for (uint32_t i = 0; i < 100; i++)
		put(a, i, 0);
	ck_assert(chan_pending(a));
	ck_assert_int_eq(chan_flush(a), 0);
	ck_assert(!chan_pending(a));
	ck_assert_uint_eq(take(b, 0), 100);
	ck_assert_uint_eq(chan_stats(a)->datagrams_out, 13);
	ck_assert_uint_eq(chan_stats(b)->received, 100);
	ck_assert_uint_eq(chan_stats(a)->backlog_peak, 100);
}
END_TEST

/* The reader sleeps: the writer is told, loses nothing, and goes on afterwards across the wrap. */
START_TEST(full_backlog_is_told_and_nothing_is_lost)
{
	uint32_t sent = 0, got = 0;

	for (int round = 0; round < 3; round++) {
		while (chan_room(a) > 0)
			put(a, sent++, 0);
		ck_assert_int_eq(chan_flush(a), CHAN_AGAIN);
		while (chan_room(a) > 0)
			put(a, sent++, 0);
		put(a, sent, CHAN_FULL);
		while (chan_pending(a)) {
			got = take(b, got);
			chan_flush(a);
		}
		got = take(b, got);
		ck_assert_uint_eq(got, sent);
	}
	ck_assert_uint_eq(chan_stats(a)->refused, 3);
	ck_assert_uint_ge(chan_stats(a)->stalled, 3);
}
END_TEST

START_TEST(descriptors_travel_with_their_message)
{
	unsigned char m[BATCH][SIZE] = {{0}};
	int fd[2], got;
	unsigned n;
	char c;

	ck_assert_int_eq(pipe(fd), 0);
	ck_assert_int_eq(chan_send(a, m[0]), 0);
	ck_assert_int_eq(chan_send_fd(a, m[0], fd[0]), 0);
	ck_assert_int_eq(chan_send(a, m[0]), 0);
	ck_assert_int_eq(chan_flush(a), 0);
	ck_assert_int_eq(fcntl(fd[0], F_GETFD), -1);
	ck_assert_int_eq(chan_recv(b, m, &n, &got), 0);
	ck_assert(n == 1 && got == -1);
	ck_assert_int_eq(chan_recv(b, m, &n, &got), 0);
	ck_assert(n == 1 && got >= 0);
	ck_assert_int_eq(fcntl(got, F_GETFD), FD_CLOEXEC);
	ck_assert_int_eq(write(fd[1], "x", 1), 1);
	ck_assert_int_eq(read(got, &c, 1), 1);
	close(got);
	ck_assert_int_eq(chan_recv(b, m, &n, &got), 0);
	ck_assert(n == 1 && got == -1);
	close(fd[1]);
}
END_TEST

START_TEST(unsent_descriptors_are_closed)
{
	unsigned char m[SIZE] = {0};
	int fd[2];

	ck_assert_int_eq(pipe(fd), 0);
	ck_assert_int_eq(chan_send_fd(a, m, fd[0]), 0);
	chan_free(a);
	a = NULL;
	ck_assert_int_eq(fcntl(fd[0], F_GETFD), -1);
	close(fd[1]);
}
END_TEST

static void send_fds(int sock, unsigned count, size_t len)
{
	unsigned char data[SIZE * BATCH * 2] = {0};
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(16 * sizeof(int))];
	} u = {0};
	struct iovec iov = {data, len};
	struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = u.buf};
	struct cmsghdr *cm;

	mh.msg_controllen = CMSG_SPACE(count * sizeof(int));
	cm = CMSG_FIRSTHDR(&mh);
	cm->cmsg_level = SOL_SOCKET;
	cm->cmsg_type = SCM_RIGHTS;
	cm->cmsg_len = CMSG_LEN(count * sizeof(int));
	for (unsigned i = 0; i < count; i++)
		memcpy(CMSG_DATA(cm) + i * sizeof(int), &sock, sizeof(int));
	ck_assert_int_eq(sendmsg(sock, &mh, 0), (ssize_t)len);
}

static unsigned open_fds(void)
{
	unsigned n = 0;

	for (int i = 0; i < 256; i++)
		n += fcntl(i, F_GETFD) >= 0;
	return n;
}

START_TEST(nonsense_is_thrown_away_without_a_leak)
{
	static const size_t odd[] = {1, SIZE - 1, SIZE + 1, SIZE * BATCH + 1, SIZE * BATCH * 2};
	unsigned char m[BATCH][SIZE], data[SIZE * BATCH * 2] = {0};
	unsigned n, before = open_fds();
	int fd;

	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		ck_assert_int_eq(write(raw, data, odd[i]), (ssize_t)odd[i]);
		ck_assert_int_eq(chan_recv(b, m, &n, &fd), CHAN_BAD);
	}
	send_fds(raw, 1, SIZE + 1);
	ck_assert_int_eq(chan_recv(b, m, &n, &fd), CHAN_BAD);
	send_fds(raw, 16, SIZE);
	ck_assert_int_eq(chan_recv(b, m, &n, &fd), CHAN_BAD);
	send_fds(raw, 3, SIZE);
	ck_assert_int_eq(chan_recv(b, m, &n, &fd), 0);
	close(fd);
	ck_assert_int_eq(chan_recv(b, m, &n, &fd), CHAN_AGAIN);
	ck_assert_uint_eq(chan_stats(b)->bad, 7);
	ck_assert_uint_eq(open_fds(), before);
}
END_TEST

START_TEST(the_end_is_told_on_both_sides)
{
	unsigned char m[BATCH][SIZE] = {{0}};
	unsigned n;
	int fd;

	put(a, 0, 0);
	ck_assert_int_eq(chan_flush(a), 0);
	chan_free(a);
	a = NULL;
	ck_assert_uint_eq(take(b, 0), 1);
	ck_assert_int_eq(chan_recv(b, m, &n, &fd), -EPIPE);
	put(b, 0, 0);
	ck_assert_int_eq(chan_flush(b), -EPIPE);
}
END_TEST

START_TEST(bad_arguments)
{
	struct chan *c = NULL;

	ck_assert_int_eq(chan_new(&c, -1, SIZE, BATCH, BACKLOG), -EINVAL);
	ck_assert_int_eq(chan_new(&c, 0, SIZE, BATCH, BATCH - 1), -EINVAL);
	ck_assert_ptr_null(c);
	chan_free(NULL);
}
END_TEST

Suite *suite(void)
{
	Suite *s = suite_create("chan");
	TCase *t = tcase_create("chan");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, order_is_kept_in_batches);
	tcase_add_test(t, full_backlog_is_told_and_nothing_is_lost);
	tcase_add_test(t, descriptors_travel_with_their_message);
	tcase_add_test(t, unsent_descriptors_are_closed);
	tcase_add_test(t, nonsense_is_thrown_away_without_a_leak);
	tcase_add_test(t, the_end_is_told_on_both_sides);
	tcase_add_test(t, bad_arguments);
	suite_add_tcase(s, t);
	return s;
}
