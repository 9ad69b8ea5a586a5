/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a program that serves says, at once, in bulk and late, and what is told of what it said. */
#include "serve_script.h"
#include "base/str.h"

static const struct {
	enum pend_client_answer answer;
	const char *want;
} answers[] = {
	{PEND_CLIENT_ANSWER_PERMIT, "\"verdict\":\"permit\"}"},
	{PEND_CLIENT_ANSWER_BLOCK, "\"verdict\":\"block\"}"},
	{PEND_CLIENT_ANSWER_CONTINUE, "\"verdict\":\"continue\"}"},
	{PEND_CLIENT_ANSWER_ERROR, "\"verdict\":\"error\"}"},
};

START_TEST(each_answer_has_its_name)
{
	const struct step script[] = {{ACCEPT, NULL},
				      {LINE, "\"max\":7"},
				      {SEND, SERVING QUESTION("a0.1")},
				      {LINE, answers[_i].want},
				      {END, NULL}};

	saw.answer = answers[_i].answer;
	daemon_start(script);
	serve_until(&saw.questions, 1);
	daemon_was_content();
}
END_TEST

/* One that is served beside, over the same connection: at once, and later. */
START_TEST(another_authority_is_named)
{
	static const struct step script[] = {
		{ACCEPT, NULL},
		{LINE, "\"authority\":\"idp\""},
		{SEND, SERVING QUESTION_FOR("a0.1", "other")},
		{LINE, "[{\"id\":\"a0.1\",\"authority\":\"other\",\"verdict\":\"permit\"}]"},
		{LINE, "[{\"id\":\"b1.2\",\"authority\":\"third\",\"verdict\":\"block\"},"
		       "{\"id\":\"c2.3\",\"verdict\":\"block\"}]"},
		{END, NULL}};
	struct pend_client_say say = PEND_CLIENT_SAY(PEND_CLIENT_ANSWER_BLOCK);

	saw.answer = PEND_CLIENT_ANSWER_PERMIT;
	daemon_start(script);
	serve_until(&saw.questions, 1);
	round_once(0);
	say.authority = "third";
	ck_assert_int_eq(pend_client_server_say(server, "b1.2", &say), PEND_CLIENT_OK);
	say.size = offsetof(struct pend_client_say, authority); /* of a program that is older */
	ck_assert_int_eq(pend_client_server_say(server, "c2.3", &say), PEND_CLIENT_OK);
	round_once(0);
	daemon_was_content();
}
END_TEST

START_TEST(later_in_any_order_and_with_a_reason)
{
	static const struct step script[] = {
		{ACCEPT, NULL},
		{LINE, "\"authority\":\"idp\""},
		{SEND, SERVING QUESTION("a0.1") QUESTION("b1.2") QUESTION("c2.3")},
		{LINE,
		 "[{\"id\":\"c2.3\",\"verdict\":\"block\",\"block\":\"reset\",\"why\":\"a \\\"b\\\"\\n\"},"
		 "{\"id\":\"a0.1\",\"verdict\":\"permit\"}]"},
		{LINE, "[{\"id\":\"b1.2\",\"verdict\":\"error\",\"why\":\"x\"}]"},
		{END, NULL}};

	saw.answer = PEND_CLIENT_ANSWER_LATER;
	daemon_start(script);
	serve_until(&saw.questions, 3);
	ck_assert(!pend_client_server_wants_write(server));
	ck_assert_int_eq(pend_client_server_answer(server, "c2.3", PEND_CLIENT_ANSWER_BLOCK,
						   "reset", "a \"b\"\n"),
			 PEND_CLIENT_OK);
	ck_assert(pend_client_server_wants_write(server));
	ck_assert_int_eq(
		pend_client_server_answer(server, "a0.1", PEND_CLIENT_ANSWER_PERMIT, NULL, NULL),
		PEND_CLIENT_OK);
	round_once(0);
	ck_assert_int_eq(
		pend_client_server_answer(server, "b1.2", PEND_CLIENT_ANSWER_ERROR, NULL, "x"),
		PEND_CLIENT_OK);
	round_once(0);
	daemon_was_content();
}
END_TEST

static const struct {
	const char *id, *how;
} invalid[] = {{"", NULL},       {"a0.1\"", NULL},
	       {"a0 1", NULL},   {"A0.1", NULL},
	       {"a0.1", "burn"}, {"a0.1\n", NULL},
	       {"a0.1", ""},     {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", NULL}};

/* Nothing of it goes out: the next line is whole. */
START_TEST(what_is_no_answer_is_refused)
{
	static const struct step script[] = {
		{ACCEPT, NULL},
		{LINE, "serve"},
		{SEND, SERVING QUESTION("a0.1")},
		{LINE,
		 "{\"op\":\"answer\",\"answers\":[{\"id\":\"a0.1\",\"verdict\":\"block\",\"block\":\"drop\"}]}"},
		{END, NULL}};

	ck_assert_int_eq(
		pend_client_server_answer(server, "a0.1", PEND_CLIENT_ANSWER_PERMIT, NULL, NULL),
		PEND_CLIENT_E_INVALID); /* not connected */
	saw.answer = PEND_CLIENT_ANSWER_LATER;
	daemon_start(script);
	serve_until(&saw.questions, 1);
	for (size_t i = 0; i < sizeof(invalid) / sizeof(invalid[0]); i++)
		ck_assert_int_eq(pend_client_server_answer(server, invalid[i].id,
							   PEND_CLIENT_ANSWER_BLOCK, invalid[i].how,
							   "why"),
				 PEND_CLIENT_E_INVALID);
	ck_assert_int_eq(
		pend_client_server_answer(server, "a0.1", PEND_CLIENT_ANSWER_PERMIT, "drop", NULL),
		PEND_CLIENT_E_INVALID);
	ck_assert(!pend_client_server_wants_write(server));
	ck_assert_int_eq(
		pend_client_server_answer(server, "a0.1", PEND_CLIENT_ANSWER_BLOCK, "drop", NULL),
		PEND_CLIENT_OK);
	round_once(0);
	daemon_was_content();
}
END_TEST

/* How long it holds: what the daemon would not take is not sent, and all else is. */
static const char *const remembers[] = {
	"8h",
	"1s",
	"365d",
	"1h30m",
	"1.5h",
	"0.5m",
	"90m",
	"1000ms",
	"1d0h",
	"364d24h",
	"1d1d",
	"1m1h",
	"8 hours",
	"8",
	"h",
	"0",
	"0s",
	"999ms",
	"366d",
	"365d1ns",
	"8h ",
	" 8h",
	"-8h",
	"1.h",
	".5h",
	"1.5h30m",
	"1h1.5m",
	"8H",
	"1y",
	"8760h",
	"8760.1h",
	"1e3s",
	"0.0000000001s",
	"1.0000000000s",
	"1.00000000001h",
	"99999999999999999999s",
	"18446744073709551617ns",
	"31536000000000000ns",
	"1s1",
	"00000000000000000000001s",
	"365d0.0ns",
	"1usns",
};

START_TEST(how_long_it_holds)
{
	const char *text = remembers[_i];
	uint64_t ns;
	bool good = str_duration(text, &ns) == 0 && ns >= 1000000000 &&
		    ns <= 365 * 86400ull * 1000000000;
	struct pend_client_say say = PEND_CLIENT_SAY(PEND_CLIENT_ANSWER_PERMIT);
	char want[96];
	const struct step script[] = {{ACCEPT, NULL},
				      {LINE, "serve"},
				      {SEND, SERVING QUESTION("a0.1")},
				      {LINE, want},
				      {END, NULL}};

	saw.answer = PEND_CLIENT_ANSWER_LATER;
	snprintf(want, sizeof(want), good ? "\"remember\":\"%s\"" : "\"remember\":false", text);
	daemon_start(script);
	serve_until(&saw.questions, 1);
	say.remember = text;
	ck_assert_int_eq(pend_client_server_say(server, "a0.1", &say),
			 good ? PEND_CLIENT_OK : PEND_CLIENT_E_INVALID);
	say.remember = "";
	if (!good)
		ck_assert_int_eq(pend_client_server_say(server, "a0.1", &say), PEND_CLIENT_OK);
	round_once(0);
	daemon_was_content();
}
END_TEST

static char told[256];
static unsigned refusals, lines;

static void on_refused(void *ctx, struct pend_client_server *s, const char *id, const char *code)
{
	size_t len = strlen(told);

	(void)ctx;
	(void)s;
	refusals++;
	snprintf(told + len, sizeof(told) - len, "%s %s,", id, code);
}

static void on_line(void *ctx, struct pend_client_server *s, const char *json)
{
	(void)ctx;
	(void)s;
	lines++;
	snprintf(told, sizeof(told), "%s", json);
}

#define REFUSED(id, code) "{\"id\":" id ",\"code\":\"" code "\"}"

START_TEST(what_was_not_taken_is_told)
{
	static const struct step script[] = {
		{ACCEPT, NULL},
		{LINE, "serve"},
		{SEND,
		 SERVING "{\"id\":null,\"ok\":true,\"result\":{\"answered\":1,\"failed\":[" REFUSED(
			 "\"a0.1\"",
			 "not-found") "," REFUSED("null",
						  "invalid") "]}}\n"
							     "{\"id\":null,\"ok\":false,\"error\":{\"code\":\"malformed\",\"message\":\"\"}}\n"},
		{WAIT_EOF, NULL},
		{END, NULL}};

	told[0] = '\0';
	refusals = 0;
	pend_client_server_on_refused(server, on_refused);
	daemon_start(script);
	serve_until(&refusals, 3);
	ck_assert_str_eq(told, "a0.1 not-found, invalid, malformed,");
	pend_client_server_free(server);
	server = NULL;
	daemon_was_content();
}
END_TEST

/* Its own requests have their replies, and events; the library's have not. */
START_TEST(what_is_not_about_serving_is_handed_over)
{
	static const struct step script[] = {
		{ACCEPT, NULL},
		{LINE, "serve"},
		{SEND, SERVING CODE("unlock", "4097")},
		{LINE, "unlocked"},
		{SEND, "{\"id\":\"library\",\"ok\":true,\"result\":{}}\n"},
		{LINE, "\"id\":2"},
		{SEND, "{\"id\":2,\"ok\":true,\"result\":{}}\n"},
		{LINE, "\"id\":3"},
		{SEND, "{\"event\":{\"type\":\"note\"}}\n"},
		{WAIT_EOF, NULL},
		{END, NULL}};

	lines = 0;
	pend_client_server_on_line(server, on_line);
	daemon_start(script);
	serve_until(&saw.up, 1);
	ck_assert_int_eq(pend_client_send(pend_client_server_client(server), "version", NULL, NULL),
			 PEND_CLIENT_OK);
	serve_until(&lines, 1);
	ck_assert_str_eq(told, "{\"id\":2,\"ok\":true,\"result\":{}}");
	ck_assert_int_eq(pend_client_send(pend_client_server_client(server), "events", NULL, NULL),
			 PEND_CLIENT_OK);
	serve_until(&lines, 2);
	ck_assert_str_eq(told, "{\"event\":{\"type\":\"note\"}}");
	pend_client_server_free(server);
	server = NULL;
	daemon_was_content();
}
END_TEST

#define BULK 5000

START_TEST(many_answers_in_lines_that_are_not_too_long)
{
	static const struct step script[] = {
		{ACCEPT, NULL}, {LINE, "serve"}, {SEND, SERVING}, {IDS, "5000"}, {END, NULL}};
	char id[16], why[201];

	memset(why, '"', sizeof(why) - 1); /* twice as long when quoted */
	why[sizeof(why) - 1] = '\0';
	daemon_start(script);
	serve_until(&saw.up, 1);
	for (unsigned i = 1; i <= BULK; i++) {
		snprintf(id, sizeof(id), "a%u.1", i);
		ck_assert_int_eq(pend_client_server_answer(server, id, PEND_CLIENT_ANSWER_BLOCK,
							   "unreachable", why),
				 PEND_CLIENT_OK);
	}
	for (int64_t until = now_ms() + 10000;
	     pend_client_server_wants_write(server) && now_ms() < until;)
		round_once(20);
	daemon_was_content();
}
END_TEST

Suite *suite(void)
{
	Suite *s = suite_create("client_say");
	TCase *t = tcase_create("client_say");

	tcase_set_timeout(t, 30);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, each_answer_has_its_name, 0, COUNT(answers));
	tcase_add_test(t, another_authority_is_named);
	tcase_add_test(t, later_in_any_order_and_with_a_reason);
	tcase_add_test(t, what_is_no_answer_is_refused);
	tcase_add_loop_test(t, how_long_it_holds, 0, COUNT(remembers));
	tcase_add_test(t, what_was_not_taken_is_told);
	tcase_add_test(t, what_is_not_about_serving_is_handed_over);
	tcase_add_test(t, many_answers_in_lines_that_are_not_too_long);
	suite_add_tcase(s, t);
	return s;
}
