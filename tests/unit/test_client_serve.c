/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Serving an authority with the client library: questions, withdrawn ones, codes, garbage, and what happens when the
 * connection ends. What is answered is in test_client_say.c.
 */
#include "serve_script.h"

START_TEST(it_serves_and_answers_at_once)
{
	static const struct step script[] = {
		{ACCEPT, NULL},
		{LINE, "\"op\":\"serve\""},
		{SEND, SERVING QUESTION("a0.1")},
		{LINE,
		 "{\"op\":\"answer\",\"answers\":[{\"id\":\"a0.1\",\"verdict\":\"permit\"}]}"},
		{WAIT_EOF, NULL},
		{END, NULL}};

	saw.answer = PEND_CLIENT_ANSWER_PERMIT;
	daemon_start(script);
	serve_until(&saw.questions, 1);
	ck_assert_uint_eq(saw.up, 1);
	ck_assert_uint_eq(saw.down, 0);
	ck_assert_str_eq(saw.asked, "a0.1 203.0.113.7 tcp");
	ck_assert_uint_eq(saw.last.source_port, 4000);
	ck_assert_uint_eq(saw.last.dest_port, 22);
	ck_assert_uint_eq(saw.last.rule, 2);
	ck_assert_uint_eq(saw.last.generation, 5);
	ck_assert_uint_eq(saw.last.retransmits, 1);
	ck_assert_uint_eq(saw.last.remaining_ms, 4990);
	ck_assert_int_ge(pend_client_server_fd(server), 0);
	ck_assert_ptr_nonnull(pend_client_server_client(server));
	round_once(0);
	pend_client_server_free(server);
	server = NULL;
	daemon_was_content();
}
END_TEST

START_TEST(withdrawn_questions_are_told)
{
	static const struct step script[] = {
		{ACCEPT, NULL},
		{LINE, "serve"},
		{SEND,
		 SERVING QUESTION(
			 "a0.1") "{\"withdrawn\":{\"id\":\"a0.1\",\"authority\":\"idp\",\"why\":\"timeout\"}}\n"},
		/* an answer to it does no harm, and what the daemon says of it neither */
		{LINE, "a0.1"},
		{SEND,
		 "{\"id\":null,\"ok\":true,\"result\":{\"answered\":0,\"failed\":[{\"id\":\"a0.1\","
		 "\"code\":\"not-found\"}]}}\n{\"event\":{\"type\":\"note\"}}\n{}\n" QUESTION(
			 "a0.2")},
		{WAIT_EOF, NULL},
		{END, NULL}};

	saw.answer = PEND_CLIENT_ANSWER_LATER;
	daemon_start(script);
	serve_until(&saw.withdrawn, 1);
	ck_assert_str_eq(saw.gone, "a0.1 timeout");
	ck_assert_int_eq(
		pend_client_server_answer(server, "a0.1", PEND_CLIENT_ANSWER_PERMIT, NULL, NULL),
		PEND_CLIENT_OK);
	serve_until(&saw.questions, 2);
	ck_assert_uint_eq(saw.down, 0);
	pend_client_server_free(server);
	server = NULL;
	daemon_was_content();
}
END_TEST

/* ---- codes ---- */

static unsigned codes;
static char brought[128];

static void on_unlock(void *ctx, struct pend_client_server *s, const struct pend_client_unlock *u)
{
	(void)ctx;
	codes++;
	snprintf(brought, sizeof(brought), "%s %s %s %s %u", u->authority, u->source, u->code,
		 u->user, u->uid);
	ck_assert_int_eq(pend_client_server_unlocked(s, u->token, true, 5000, "of \"joe\"\n"),
			 PEND_CLIENT_OK);
}

static void on_lock(void *ctx, struct pend_client_server *s, const struct pend_client_unlock *u)
{
	(void)ctx;
	codes++;
	snprintf(brought, sizeof(brought), "%s %s", u->authority, u->source);
	ck_assert_int_eq(pend_client_server_unlocked(s, u->token, false, 0, NULL), PEND_CLIENT_OK);
}

START_TEST(codes_are_handed_over)
{
	static const struct step script[] = {
		{ACCEPT, NULL},
		{LINE, "serve"},
		{SEND, SERVING CODE("unlock", "4097")},
		{LINE, "\"ok\":true,\"open_ms\":5000,\"why\":\"of \\\"joe\\\"\\n\""},
		{SEND, "{\"lock\":{\"token\":7,\"authority\":\"idp\",\"user\":\"\",\"uid\":0}}\n"},
		{LINE, "\"token\":7,\"ok\":false"},
		{WAIT_EOF, NULL},
		{END, NULL}};
	struct pend_client_handlers on = handlers;

	on.unlock = on_unlock;
	on.lock = on_lock;
	codes = 0;
	pend_client_server_free(server);
	server = pend_client_server_new(sock, "idp", 7, &on, NULL);
	ck_assert_int_eq(pend_client_server_unlocked(server, 1, true, 0, NULL),
			 PEND_CLIENT_E_INVALID); /* not connected */
	daemon_start(script);
	serve_until(&codes, 1);
	ck_assert_str_eq(brought, "idp ::1 12 34 joe 1000");
	serve_until(&codes, 2);
	ck_assert_str_eq(brought, "idp ");
	round_once(0);
	pend_client_server_free(server);
	server = NULL;
	daemon_was_content();
}
END_TEST

/* A program that knows nothing of codes refuses them. */
START_TEST(codes_are_refused)
{
	static const struct step script[] = {
		{ACCEPT, NULL},
		{LINE, "serve"},
		{SEND, SERVING CODE("unlock", "4097") CODE("lock", "8")},
		{LINE, "\"token\":4097,\"ok\":false"},
		{LINE, "\"token\":8,\"ok\":false"},
		{SEND, QUESTION("a0.1")},
		{LINE, "a0.1"},
		{END, NULL}};

	saw.answer = PEND_CLIENT_ANSWER_PERMIT;
	daemon_start(script);
	serve_until(&saw.questions, 1);
	daemon_was_content();
}
END_TEST

/* Whatever ends the serving, it is told why, and begins again. */
static const struct {
	const char *text, *why;
} ends[] = {
	{SERVING "{\"unserved\":{\"authority\":\"idp\",\"why\":\"policy\"}}\n", "policy"},
	{SERVING "{\"unserved\":{\"authority\":\"idp\",\"why\":\"busy\"}}\n", "no room"},
	{SERVING "{\"unserved\":{\"authority\":\"idp\",\"why\":\"system\"}}\n", "ended"},
	{"{\"id\":1,\"ok\":false,\"error\":{\"code\":\"denied\",\"message\":\"you may not\"}}\n",
	 "you may not"},
	{"{\"id\":1,\"ok\":false,\"error\":{}}\n", "refused"},
	{SERVING "this is not JSON\n", ""},
	{SERVING "{\"question\":{\n", ""},
	{SERVING "[1,2]\n", ""},
	{"{\"pend\":", ""},
};

START_TEST(it_begins_again)
{
	const struct step script[] = {{ACCEPT, NULL},  {LINE, "serve"},  {SEND, ends[_i].text},
				      {HANG_UP, NULL}, {ACCEPT, NULL},   {LINE, "serve"},
				      {SEND, SERVING}, {WAIT_EOF, NULL}, {END, NULL}};
	unsigned before = strncmp(ends[_i].text, SERVING, strlen(SERVING)) == 0;

	daemon_start(script);
	serve_until(&saw.down, 1);
	ck_assert_uint_eq(saw.up, before);
	ck_assert_msg(*saw.why && strstr(saw.why, ends[_i].why), "told: \"%s\"", saw.why);
	ck_assert_int_eq(pend_client_server_fd(server), -1);
	ck_assert_int_eq(
		pend_client_server_answer(server, "a0.1", PEND_CLIENT_ANSWER_PERMIT, NULL, NULL),
		PEND_CLIENT_E_INVALID);
	serve_until(&saw.up, before + 1);
	pend_client_server_free(server);
	server = NULL;
	daemon_was_content();
}
END_TEST

/* Members of another type, or none of them. */
static const char *const odd[] = {
	"{\"question\":{}}\n",
	"{\"question\":7}\n",
	"{\"question\":{\"id\":7,\"source\":[],\"dest_port\":\"22\",\"rule\":-1,\"protocol\":6}}\n",
	"{\"question\":{\"id\":\"a0.1\\\"}]}\",\"protocol\":1e99}}\n",
	"{\"withdrawn\":7}\n",
	"{\"unserved\":{\"authority\":\"another\",\"why\":\"policy\"}}\n",
	"{\"id\":{},\"ok\":1}\n",
	"{\"id\":9,\"ok\":false,\"error\":7}\n",
};

START_TEST(odd_lines_do_no_harm)
{
	const struct step script[] = {
		{ACCEPT, NULL},
		{LINE, "serve"},
		{SEND, SERVING},
		{SEND, odd[_i]},
		{SEND, QUESTION("a0.2")},
		{LINE,
		 "{\"op\":\"answer\",\"answers\":[{\"id\":\"a0.2\",\"verdict\":\"permit\"}]}"},
		{END, NULL}};
	int64_t until = now_ms() + 5000;

	daemon_start(script);
	while (strncmp(saw.asked, "a0.2 ", 5) && now_ms() < until)
		round_once(20);
	ck_assert_uint_eq(saw.down, 0);
	round_once(0);
	daemon_was_content();
}
END_TEST

/* By itself, when there is nothing else to say. */
START_TEST(signs_of_life)
{
	static const struct step script[] = {
		{ACCEPT, NULL},
		{LINE, "\"heartbeat\":1"},
		{SEND, SERVING},
		{LINE, "\"op\":\"ping\""},
		{SEND, "{\"id\":2,\"ok\":true,\"result\":{}}\n"},
		{LINE, "\"op\":\"ping\""},
		{SEND, "{\"unserved\":{\"authority\":\"idp\",\"why\":\"heartbeat\"}}\n"},
		{ACCEPT, NULL},
		{LINE, "\"heartbeat\":1"},
		{END, NULL}};
	int64_t began = now_ms();

	pend_client_server_heartbeat(server, 1);
	daemon_start(script);
	serve_until(&saw.up, 1);
	ck_assert_int_gt(pend_client_server_timeout_ms(server), 0);
	ck_assert_int_le(pend_client_server_timeout_ms(server), 1000);
	serve_until(&saw.down, 1);
	ck_assert_int_ge(now_ms() - began, 2000);
	ck_assert_msg(strstr(saw.why, "heard"), "%s", saw.why);
	while (!pend_client_server_client(server))
		round_once(20);
	daemon_was_content();
}
END_TEST

/* While what was said waits to be read there is nothing to do but to wait for that. */
START_TEST(no_hurry_while_the_daemon_does_not_read)
{
	static const struct step script[] = {
		{ACCEPT, NULL}, {LINE, "serve"}, {SEND, SERVING}, {REST, "18000"}, {END, NULL}};
	unsigned rounds = 0;
	int64_t until;

	pend_client_server_heartbeat(server, 1);
	daemon_start(script);
	serve_until(&saw.up, 1);
	for (unsigned i = 0; i < 30000; i++) /* more than the socket takes */
		ck_assert_int_eq(pend_client_server_answer(server, "a0.1",
							   PEND_CLIENT_ANSWER_PERMIT, NULL, NULL),
				 PEND_CLIENT_OK);
	for (until = now_ms() + 2200; now_ms() < until; rounds++)
		round_once(100);
	ck_assert(pend_client_server_wants_write(server));
	ck_assert_uint_le(rounds, 60);
	kill(daemon_pid, SIGKILL);
	waitpid(daemon_pid, NULL, 0);
}
END_TEST

/* Each time it waits twice as long, and begins anew after a success. */
START_TEST(ever_slower)
{
	static const struct step script[] = {{REFUSE, NULL},  {REFUSE, NULL},  {REFUSE, NULL},
					     {ACCEPT, NULL},  {LINE, "serve"}, {SEND, SERVING},
					     {HANG_UP, NULL}, {END, NULL}};
	int waits[5];

	daemon_start(script);
	for (unsigned i = 0; i < 3; i++) {
		serve_until(&saw.down, i + 1);
		waits[i] = pend_client_server_timeout_ms(server);
	}
	serve_until(&saw.up, 1);
	serve_until(&saw.down, 4);
	waits[3] = pend_client_server_timeout_ms(server);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_le(waits[i], 50 << i);
		ck_assert_int_gt(waits[i], i ? 25 << i : 0);
	}
	ck_assert_int_le(waits[3], 50);
	daemon_was_content();
}
END_TEST

START_TEST(nobody_listens)
{
	unlink(sock);
	ck_assert_int_eq(pend_client_server_process(server), PEND_CLIENT_OK);
	ck_assert_uint_eq(saw.down, 1);
	ck_assert_ptr_nonnull(strstr(saw.why, "not running"));
	/* not before its time */
	ck_assert_int_eq(pend_client_server_process(server), PEND_CLIENT_OK);
	ck_assert_uint_eq(saw.down, 1);
	ck_assert_int_gt(pend_client_server_timeout_ms(server), 0);
}
END_TEST

START_TEST(another_version_is_not_served)
{
	static const struct step script[] = {
		{ACCEPT, "{\"pend\":{\"version\":\"9\",\"protocol\":2,\"role\":\"admin\"}}\n"},
		{WAIT_EOF, NULL},
		{ACCEPT,
		 "{\"pend\":{\"version\":\"0.1.1\",\"protocol\":1,\"role\":\"admin\",\"new\":1},"
		 "\"newer\":[]}\n"},
		{LINE, "serve"},
		{SEND, SERVING},
		{END, NULL}};

	daemon_start(script);
	serve_until(&saw.down, 1);
	ck_assert_msg(strstr(saw.why, "version"), "%s", saw.why);
	serve_until(&saw.up, 1);
	daemon_was_content();
}
END_TEST

/* What was answered before the end goes out. */
START_TEST(run_ends_when_it_is_told_to)
{
	static const struct step script[] = {{ACCEPT, NULL},
					     {LINE, "serve"},
					     {SEND, SERVING QUESTION("a0.1") QUESTION("a0.2")},
					     {LINE, "\"a0.1\""},
					     {WAIT_EOF, NULL},
					     {END, NULL}};

	saw.stop_after = 1;
	daemon_start(script);
	ck_assert_int_eq(pend_client_server_run(server), PEND_CLIENT_OK);
	ck_assert_uint_eq(saw.questions, 1);
	pend_client_server_free(server);
	server = NULL;
	daemon_was_content();
}
END_TEST

static void stop_it(int signo)
{
	(void)signo;
	pend_client_server_stop(server);
}

START_TEST(or_by_a_signal)
{
	static const struct step script[] = {
		{ACCEPT, NULL}, {LINE, "serve"}, {SEND, SERVING}, {WAIT_EOF, NULL}, {END, NULL}};

	daemon_start(script);
	signal(SIGALRM, stop_it);
	alarm(1);
	ck_assert_int_eq(pend_client_server_run(server), PEND_CLIENT_OK);
	ck_assert_uint_eq(saw.up, 1);
	pend_client_server_free(server);
	server = NULL;
	daemon_was_content();
}
END_TEST

Suite *suite(void)
{
	Suite *s = suite_create("client_serve");
	TCase *t = tcase_create("client_serve");

	tcase_set_timeout(t, 30);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, it_serves_and_answers_at_once);
	tcase_add_test(t, withdrawn_questions_are_told);
	tcase_add_test(t, codes_are_handed_over);
	tcase_add_test(t, codes_are_refused);
	tcase_add_loop_test(t, it_begins_again, 0, COUNT(ends));
	tcase_add_loop_test(t, odd_lines_do_no_harm, 0, COUNT(odd));
	tcase_add_test(t, signs_of_life);
	tcase_add_test(t, no_hurry_while_the_daemon_does_not_read);
	tcase_add_test(t, ever_slower);
	tcase_add_test(t, nobody_listens);
	tcase_add_test(t, another_version_is_not_served);
	tcase_add_test(t, run_ends_when_it_is_told_to);
	tcase_add_test(t, or_by_a_signal);
	suite_add_tcase(s, t);
	return s;
}
