/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The client library against a scripted server: greeting, replies in parts, events between, trouble. */
#include "unit.h"
#include <pend-client.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define HELLO "{\"pend\":{\"version\":\"0.1.0\",\"protocol\":1,\"role\":\"admin\"}}\n"

static char path[] = "/tmp/pend-client-XXXXXX";
static char sock[80];
static int listen_fd;
static pthread_t thread;

/* One connection: the greeting, then `reply` after the first line that comes in. */
struct script {
	const char *greeting, *reply;
	bool hang;
};

static void send_all(int fd, const char *text)
{
	/* in small pieces, so that lines come apart */
	for (size_t at = 0, len = text ? strlen(text) : 0; at < len;) {
		size_t n = len - at < 7 ? len - at : 7;
		ssize_t r = send(fd, text + at, n, MSG_NOSIGNAL);

		if (r <= 0)
			return;
		at += (size_t)r;
	}
}

static void *serve(void *arg)
{
	const struct script *s = arg;
	int fd = accept(listen_fd, NULL, NULL);
	char buf[4096];

	send_all(fd, s->greeting);
	if (s->reply && recv(fd, buf, sizeof(buf), 0) > 0)
		send_all(fd, s->reply);
	if (s->hang)
		(void)!recv(fd, buf, sizeof(buf), 0);
	close(fd);
	return NULL;
}

static void setup(void)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};

	strcpy(path, "/tmp/pend-client-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(path));
	snprintf(sock, sizeof(sock), "%s/s", path);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", sock);
	listen_fd = socket(AF_UNIX, SOCK_STREAM, 0);
	ck_assert_int_eq(bind(listen_fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	ck_assert_int_eq(listen(listen_fd, 4), 0);
}

static void teardown(void)
{
	close(listen_fd);
	unlink(sock);
	rmdir(path);
}

static struct pend_client *dial(struct script *s, enum pend_client_error want)
{
	struct pend_client *c;

	ck_assert_int_eq(pthread_create(&thread, NULL, serve, s), 0);
	ck_assert_int_eq(pend_client_connect(&c, sock, 300), want);
	return c;
}

static void hang_up(struct pend_client *c)
{
	pend_client_close(c);
	pthread_join(thread, NULL);
}

static const struct {
	const char *greeting;
	enum pend_client_error want;
} greetings[] = {
	{HELLO, PEND_CLIENT_OK},
	{"SSH-2.0-OpenSSH\r\n", PEND_CLIENT_E_PROTOCOL},
	{"{}\n", PEND_CLIENT_E_PROTOCOL},
	{"[]\n", PEND_CLIENT_E_PROTOCOL},
	{"{\"pend\":{\"protocol\":2,\"role\":\"admin\"}}\n", PEND_CLIENT_E_PROTOCOL},
	{"{\"pend\":{\"protocol\":1,\"role\":null},\"error\":{\"code\":\"denied\",\"message\":\"no\"}}\n",
	 PEND_CLIENT_E_DENIED},
	{"{\"pend\":{\"protocol\":1,\"role\":null},\"error\":{\"code\":\"busy\",\"message\":\"no\"}}\n",
	 PEND_CLIENT_E_BUSY},
	{HELLO HELLO, PEND_CLIENT_OK},
	{"{\"pend\"", PEND_CLIENT_E_CLOSED},
	{"", PEND_CLIENT_E_CLOSED},
};

START_TEST(greeting)
{
	struct script s = {.greeting = greetings[_i].greeting};
	struct pend_client *c = dial(&s, greetings[_i].want);

	ck_assert(greetings[_i].want == PEND_CLIENT_OK || *pend_client_message(c));
	hang_up(c);
}
END_TEST

START_TEST(silent_server_is_a_timeout)
{
	struct script s = {.greeting = "", .hang = true};

	hang_up(dial(&s, PEND_CLIENT_E_TIMEOUT));
}
END_TEST

START_TEST(nobody_there)
{
	struct pend_client *c;

	ck_assert_int_eq(pend_client_connect(&c, "/nonexistent/pend", 100),
			 PEND_CLIENT_E_NOT_RUNNING);
	ck_assert_ptr_nonnull(strstr(pend_client_message(c), "/nonexistent/pend"));
	pend_client_close(c);
	close(listen_fd);
	ck_assert_int_eq(pend_client_connect(&c, sock, 100), PEND_CLIENT_E_NOT_RUNNING);
	pend_client_close(c);
	ck_assert_int_eq(
		pend_client_connect(
			&c,
			"/tmp/0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345",
			100),
		PEND_CLIENT_E_INVALID);
	pend_client_close(c);
	pend_client_close(NULL);
}
END_TEST

static bool count(void *ctx, const char *json)
{
	(void)json;
	return ++*(int *)ctx < 100;
}

START_TEST(parts_events_and_foreign_replies)
{
	struct script s = {
		.greeting = HELLO,
		.reply = "{\"event\":{\"seq\":1}}\n{\"id\":77,\"ok\":true,\"result\":{\"x\":1}}\n"
			 "{\"id\":1,\"more\":true,\"result\":{\"n\":1}}\n{\"event\":{\"seq\":2}}\n"
			 "{\"id\":1,\"ok\":true,\"result\":{\"n\":2}}\n",
	};
	struct pend_client *c = dial(&s, PEND_CLIENT_OK);
	int parts = 0, events = 98;
	char *result;

	ck_assert_str_eq(pend_client_role(c), "admin");
	ck_assert_int_eq(
		pend_client_call(c, "pending", "{\"port\":22}", 1000, count, &parts, &result),
		PEND_CLIENT_OK);
	ck_assert_int_eq(parts, 2);
	ck_assert_str_eq(result, "{\"n\":2}");
	free(result);
	ck_assert_int_eq(pend_client_events(c, 1000, count, &events), PEND_CLIENT_OK);
	ck_assert_int_eq(events, 100);
	ck_assert_int_eq(pend_client_call(c, "status", NULL, 300, NULL, NULL, NULL),
			 PEND_CLIENT_E_CLOSED);
	hang_up(c);
}
END_TEST

static const struct {
	const char *reply;
	enum pend_client_error want;
	const char *code;
} replies[] = {
	{"{\"id\":1,\"ok\":false,\"error\":{\"code\":\"not-found\",\"message\":\"m\"}}\n",
	 PEND_CLIENT_E_REMOTE, "not-found"},
	{"{\"id\":1,\"ok\":false,\"error\":{\"code\":\"denied\",\"message\":\"m\"}}\n",
	 PEND_CLIENT_E_DENIED, "denied"},
	{"{\"id\":null,\"ok\":false,\"error\":{\"code\":\"too-long\",\"message\":\"m\"}}\n",
	 PEND_CLIENT_E_REMOTE, "too-long"},
	{"{\"id\":1}\n", PEND_CLIENT_E_REMOTE, ""},
	{"{\"id\":1,\"ok\":true}\n", PEND_CLIENT_OK, ""},
	{"{\"id\":1,\"ok\":true,\"ok\":true}\n", PEND_CLIENT_E_PROTOCOL, ""},
	{"garbage\n", PEND_CLIENT_E_PROTOCOL, ""},
	{"{\"id\":1", PEND_CLIENT_E_CLOSED, ""},
	{"{\"id\":2,\"ok\":true}\n", PEND_CLIENT_E_CLOSED, ""},
};

START_TEST(reply)
{
	struct script s = {.greeting = HELLO, .reply = replies[_i].reply};
	struct pend_client *c = dial(&s, PEND_CLIENT_OK);
	char *result;

	ck_assert_int_eq(pend_client_call(c, "status", NULL, 1000, NULL, NULL, &result),
			 replies[_i].want);
	ck_assert_str_eq(pend_client_code(c), replies[_i].code);
	free(result);
	hang_up(c);
}
END_TEST

START_TEST(complete_that_failed_is_an_error)
{
	struct script s = {
		.greeting = HELLO,
		.reply =
			"{\"id\":1,\"ok\":true,\"result\":{\"completed\":0,\"failed\":[{\"id\":\"a0.1\",\"code\":\"already\"}]}}\n",
	};
	struct pend_client *c = dial(&s, PEND_CLIENT_OK);

	ck_assert_int_eq(pend_client_complete(c, "a0.1", PEND_CLIENT_BLOCK, "reset", 1000),
			 PEND_CLIENT_E_REMOTE);
	ck_assert_str_eq(pend_client_code(c), "already");
	ck_assert_int_eq(pend_client_call(c, "status", "[1]", 100, NULL, NULL, NULL),
			 PEND_CLIENT_E_INVALID);
	ck_assert_int_eq(pend_client_call(c, "status", "{", 100, NULL, NULL, NULL),
			 PEND_CLIENT_E_INVALID);
	hang_up(c);
}
END_TEST

/* Without a socket: the caller moves the bytes. */
START_TEST(fed_by_hand)
{
	struct pend_client *c = pend_client_new();
	const char *line = HELLO "{\"id\":1,\"ok\":true}\n{\"event\":{}}\n";
	size_t len;
	uint64_t id;
	int n = 0;

	ck_assert_int_eq(pend_client_send(c, "status", NULL, &id), PEND_CLIENT_OK);
	ck_assert(pend_client_wants_write(c) && id == 1);
	ck_assert_ptr_nonnull(pend_client_output(c, &len));
	pend_client_sent(c, len);
	ck_assert(!pend_client_wants_write(c));
	for (size_t i = 0; i < strlen(line); i++)
		ck_assert_int_eq(pend_client_feed(c, line + i, 1, count, &n), PEND_CLIENT_OK);
	ck_assert_int_eq(n, 2);
	ck_assert_int_eq(pend_client_feed(c, "x\n", 2, count, &n), PEND_CLIENT_E_PROTOCOL);
	ck_assert_int_eq(pend_client_feed(c, "{}\n", 3, count, &n), PEND_CLIENT_E_PROTOCOL);
	pend_client_close(c);
}
END_TEST

START_TEST(line_without_end)
{
	struct pend_client *c = pend_client_new();
	enum pend_client_error e = PEND_CLIENT_OK;
	static char chunk[1 << 20];
	int n = 0, i;

	memset(chunk, ' ', sizeof(chunk));
	for (i = 0; i < 20 && e == PEND_CLIENT_OK; i++)
		e = pend_client_feed(c, chunk, sizeof(chunk), count, &n);
	ck_assert_int_eq(e, PEND_CLIENT_E_PROTOCOL);
	ck_assert_int_le(i, 9);
	pend_client_close(c);
}
END_TEST

START_TEST(every_error_has_a_text)
{
	for (int e = PEND_CLIENT_OK; e <= PEND_CLIENT_E_SYSTEM + 1; e++)
		ck_assert_uint_gt(strlen(pend_client_error_text((enum pend_client_error)e)), 5);
}
END_TEST

Suite *suite(void)
{
	Suite *s = suite_create("client");
	TCase *t = tcase_create("client");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, greeting, 0, sizeof(greetings) / sizeof(greetings[0]));
	tcase_add_test(t, silent_server_is_a_timeout);
	tcase_add_test(t, nobody_there);
	tcase_add_test(t, parts_events_and_foreign_replies);
	tcase_add_loop_test(t, reply, 0, sizeof(replies) / sizeof(replies[0]));
	tcase_add_test(t, complete_that_failed_is_an_error);
	tcase_add_test(t, fed_by_hand);
	tcase_add_test(t, line_without_end);
	tcase_add_test(t, every_error_has_a_text);
	suite_add_tcase(s, t);
	return s;
}
