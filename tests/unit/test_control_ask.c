/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Programs that answer, over the control protocol: serve, questions, answers, ping and the heartbeat. */
#include "unit.h"
#include "control_fake.h"
#include "core/flow.h"
#include "daemon/askers.h"
#include "daemon/ids.h"
#include "daemon/log.h"

static struct fake_control fake;
static struct fake_client one, two, low;
static struct askers *askers;
static struct control_client *cc, *other, *observer;

static void put_in_force(const char *text, uint32_t generation)
{
	fake_put_in_force(&fake, text, generation);
	askers_policy(askers);
}

static void setup(void)
{
	struct askers_env ask = {.ctx = &fake,
				 .view = &fake.view,
				 .workers = 1,
				 .max_questions = 256,
				 .post = fake_post};
	struct control_env env;

	log_set_level(0);
	fake_begin(&fake);
	fake.room = FAKE_POSTED;
	ask.loop = fake.loop;
	ck_assert_int_eq(askers_new(&askers, &ask), 0);
	put_in_force("authority idp { type socket; timeout 5s } authority ops { type operator }\n"
		     "authority door { type totp; secrets \"/nonexistent\"; timeout 5s }\n"
		     "layer l { pend proto tcp to port 22 ask idp }\n",
		     1);
	env = fake_env(&fake, 1);
	env.ask = askers_ask(askers);
	ck_assert_int_eq(control_new(&fake.control, &env), 0);
	cc = fake_open(&fake, &one, ROLE_DECIDE, 7);
	other = fake_open(&fake, &two, ROLE_ADMIN, 0);
	observer = fake_open(&fake, &low, ROLE_OBSERVE, 8);
}

static void teardown(void)
{
	control_closed(cc);
	control_closed(other);
	control_closed(observer);
	askers_free(askers);
	fake_end(&fake);
}

#define SERVE(more) "{\"id\":1,\"op\":\"serve\",\"authority\":\"idp\"" more "}"

/* "aN.1", by a rule of this policy that asks this authority */
static struct pend_info pended(uint32_t n, uint32_t generation, const char *authority)
{
	return (struct pend_info){
		.context = ids_make(0, n, 1),
		.family = 4,
		.protocol = 6,
		.source = {203, 0, 113, 7},
		.dest = {192, 0, 2, 1},
		.source_port = 4000,
		.dest_port = 22,
		.rule = 0,
		.on_timeout = PEND_VERDICT_BLOCK,
		.deadline_ns = mono_add(loop_now(fake.loop), 9 * MONO_NS_PER_S).ns,
		.tag = MSG_TAG(generation, view_authority_find(&fake.view, authority))};
}

static void question(uint32_t n)
{
	struct pend_info i = pended(n, fake.view.generation, "idp");

	askers_question(askers, &i);
}

static void run_ms(uint64_t ms)
{
	mono_t end = mono_add(loop_clock(), ms * MONO_NS_PER_MS);

	while (mono_before(loop_clock(), end))
		ck_assert_int_eq(loop_once(fake.loop, end), 0);
}

/* ---- serve ---- */

static const struct {
	const char *line, *want;
} serves[] = {
	{"{\"id\":1,\"op\":\"serve\"}", "\"invalid\""},
	{"{\"id\":1,\"op\":\"serve\",\"authority\":7}", "\"invalid\""},
	{"{\"id\":1,\"op\":\"serve\",\"authority\":\"ops\"}", "\"not-found\""},
	{"{\"id\":1,\"op\":\"serve\",\"authority\":\"nobody\"}", "\"not-found\""},
	{SERVE(",\"max\":0"), "\"invalid\""},
	{SERVE(",\"max\":65537"), "\"invalid\""},
	{SERVE(",\"max\":\"9\""), "\"invalid\""},
	{SERVE(",\"max\":65536"), "\"timeout_ms\":5000"},
	{SERVE(",\"heartbeat\":-1"), "\"invalid\""},
	{SERVE(",\"heartbeat\":3601"), "\"invalid\""},
	{SERVE(",\"heartbeat\":1.5"), "\"invalid\""},
	{SERVE(",\"heartbeat\":0"), "\"timeout_ms\":5000"},
	{SERVE(",\"heartbeat\":3600"), "\"timeout_ms\":5000"},
	{SERVE(",\"stop\":true"), "\"not-found\""},
	{SERVE(",\"match\":{}"), "\"invalid\""},
};

START_TEST(serve_is_strict)
{
	HAS(fake_says(cc, &one, serves[_i].line), serves[_i].want);
}
END_TEST

START_TEST(who_may)
{
	HAS(fake_says(observer, &low, SERVE("")), "\"denied\"");
	HAS(fake_says(observer, &low, "{\"id\":2,\"op\":\"ping\"}"), "\"ok\":true,\"result\":{}");
	HAS(fake_says(other, &two, SERVE("")), "\"ok\":true");
}
END_TEST

#define DOOR(more) "{\"id\":1,\"op\":\"serve\",\"authority\":\"door\"" more "}"

/* What is open, and what was taken, is in the program. */
START_TEST(one_at_a_time)
{
	HAS(fake_says(cc, &one, DOOR("")), "\"ok\":true");
	HAS(fake_says(cc, &one, DOOR(",\"max\":9")), "\"ok\":true");
	HAS(fake_says(other, &two, DOOR("")), "\"busy\"");
	HAS(two.text, "another program serves \\\"door\\\"");
	HAS(fake_says(cc, &one, DOOR(",\"stop\":true")), "\"ok\":true");
	HAS(fake_says(other, &two, DOOR("")), "\"ok\":true");
	HAS(fake_says(other, &two, SERVE("")), "\"ok\":true");
	HAS(fake_says(cc, &one, SERVE("")), "\"ok\":true"); /* of another type */
}
END_TEST

START_TEST(a_question_as_a_line)
{
	fake_says(cc, &one, SERVE(""));
	fake_forget(&one);
	question(0);
	HAS(one.text, "{\"question\":{\"id\":\"a0.1\",\"authority\":\"idp\",\"remaining_ms\":");
	HAS(one.text, "\"protocol\":\"tcp\",\"source\":\"203.0.113.7\",\"source_port\":4000,"
		      "\"dest\":\"192.0.2.1\",\"dest_port\":22,\"rule\":0,\"generation\":1,"
		      "\"retransmits\":0}}\n");
}
END_TEST

/* The reply first, then what waits. */
START_TEST(in_order)
{
	fake_says(other, &two, SERVE(",\"max\":1"));
	question(0);
	question(1);
	fake_says(cc, &one, SERVE(""));
	ck_assert_int_eq(strncmp(one.text, "{\"id\":1,\"ok\":true", 16), 0);
	HAS(one.text, "\"question\":{\"id\":\"a1.1\"");
}
END_TEST

/* ---- answers ---- */

static const struct {
	const char *answers, *want;
} answers[] = {
	{"{\"id\":\"a0.1\",\"verdict\":\"permit\"}", "\"answered\":1,\"failed\":[]"},
	{"{\"id\":\"a0.1\",\"verdict\":\"block\",\"block\":\"reset\",\"why\":\"x\"}",
	 "\"answered\":1,\"failed\":[]"},
	{"{\"id\":\"a0.1\",\"verdict\":\"permit\"},{\"id\":\"a0.1\",\"verdict\":\"block\"}",
	 "\"answered\":1,\"failed\":[{\"code\":\"not-found\",\"id\":\"a0.1\"}]"},
	{"{\"id\":\"a1.1\",\"verdict\":\"permit\"}", "[{\"code\":\"not-yours\",\"id\":\"a1.1\"}]"},
	{"{\"id\":\"a7.9\",\"verdict\":\"permit\"}", "[{\"code\":\"not-found\",\"id\":\"a7.9\"}]"},
	{"{\"id\":\"a0.1\",\"authority\":\"idp\",\"verdict\":\"permit\"}",
	 "\"answered\":1,\"failed\":[]"},
	{"{\"id\":\"a0.1\",\"authority\":\"ops\",\"verdict\":\"permit\"}",
	 "[{\"code\":\"not-yours\",\"id\":\"a0.1\"}]"},
	{"{\"id\":\"a0.1\",\"authority\":7,\"verdict\":\"permit\"}",
	 "[{\"code\":\"invalid\",\"id\":\"a0.1\"}]"},
	{"{\"id\":\"a0.1\",\"verdict\":\"perhaps\"}", "[{\"code\":\"invalid\",\"id\":\"a0.1\"}]"},
	{"{\"id\":\"a0.1\",\"verdict\":\"permit\",\"block\":\"drop\"}", "\"invalid\""},
	{"{\"id\":\"a0.1\",\"verdict\":\"block\",\"block\":7}", "\"invalid\""},
	{"{\"id\":\"a0.1\",\"veredict\":\"permit\",\"verdict\":\"permit\"}", "\"invalid\""},
	{"{\"verdict\":\"permit\"}", "[{\"code\":\"invalid\",\"id\":null}]"},
	{"{\"id\":7,\"verdict\":\"permit\"}", "[{\"code\":\"invalid\",\"id\":null}]"},
	{"7,[],null", "\"answered\":0"},
	{"", "answers is an array of 1 to 4096"},
};

START_TEST(each_answer_for_itself)
{
	char line[512];

	fake_says(cc, &one, SERVE(""));
	question(0);
	fake_says(other, &two, SERVE(""));
	fake_says(cc, &one, SERVE(",\"max\":1"));
	question(1); /* goes to the other */
	snprintf(line, sizeof(line), "{\"id\":9,\"op\":\"answer\",\"answers\":[%s]}",
		 answers[_i].answers);
	HAS(fake_says(cc, &one, line), answers[_i].want);
}
END_TEST

/* Asked of one connection for two members of a group. */
START_TEST(an_answer_names_its_authority)
{
	put_in_force(
		"authority a { type socket; timeout 5s } authority b { type socket; timeout 5s }\n"
		"authority idp { type all; of { a, b } }\n"
		"layer l { pend proto tcp to port 22 ask idp }\n",
		2);
	fake_says(cc, &one, "{\"id\":1,\"op\":\"serve\",\"authority\":\"a\"}");
	fake_says(cc, &one, "{\"id\":2,\"op\":\"serve\",\"authority\":\"b\"}");
	question(0);
	HAS(fake_says(cc, &one,
		      "{\"op\":\"answer\",\"answers\":[{\"id\":\"a0.1\",\"verdict\":\"permit\"}]}"),
	    "[{\"code\":\"ambiguous\",\"id\":\"a0.1\"}]");
	HAS(fake_says(
		    cc, &one,
		    "{\"id\":3,\"op\":\"answer\",\"answers\":[{\"id\":\"a0.1\",\"authority\":\"b\",\"verdict\":\"permit\"},"
		    "{\"id\":\"a0.1\",\"authority\":\"b\",\"verdict\":\"permit\"},"
		    "{\"id\":\"a0.1\",\"authority\":\"a\",\"verdict\":\"block\"}]}"),
	    "\"answered\":2,\"failed\":[{\"code\":\"not-found\",\"id\":\"a0.1\"}]");
	ck_assert_uint_eq(fake.nposted, 1);
	ck_assert_uint_eq(fake.posted[0].u.complete.verdict, PEND_VERDICT_BLOCK);
}
END_TEST

START_TEST(only_failures_without_an_id)
{
	fake_says(cc, &one, SERVE(""));
	question(0);
	ck_assert_str_eq(
		fake_says(
			cc, &one,
			"{\"op\":\"answer\",\"answers\":[{\"id\":\"a0.1\",\"verdict\":\"permit\"}]}"),
		"");
	ck_assert_uint_eq(fake.nposted, 1);
	ck_assert_uint_eq(fake.posted[0].u.complete.verdict, PEND_VERDICT_PERMIT);
	HAS(fake_says(cc, &one,
		      "{\"op\":\"answer\",\"answers\":[{\"id\":\"a0.1\",\"verdict\":\"permit\"}]}"),
	    "{\"id\":null,\"ok\":true");
}
END_TEST

START_TEST(what_goes_is_told)
{
	fake_says(cc, &one, SERVE(""));
	question(0);
	fake_forget(&one);
	ask_gone(askers_ask(askers), ids_make(0, 0, 1));
	HAS(one.text, "{\"withdrawn\":{\"id\":\"a0.1\",\"authority\":\"idp\",\"why\":\"gone\"}}\n");
	put_in_force("layer l { permit }", 2);
	HAS(one.text, "{\"unserved\":{\"authority\":\"idp\",\"why\":\"policy\"}}\n");
	HAS(fake_says(cc, &one, SERVE(",\"stop\":true")), "\"not-found\"");
}
END_TEST

/* ---- what is asked anew ---- */

#define NEXT \
	"authority idp { type socket; timeout 5s } layer l { pend proto tcp to port 22 ask idp }"

static void walk_ends(uint32_t cursor)
{
	struct msg m = {.type = MSG_DONE, .seq = ASKERS_SEQ_LIST};

	m.u.done.cursor = cursor;
	ck_assert(askers_answer(askers, 0, &m));
}

static const struct msg *last_posted(void)
{
	return &fake.posted[(fake.nposted - 1) % FAKE_POSTED];
}

/* A worker has a policy before it is told to be in force. */
START_TEST(questions_of_a_policy_to_come_are_asked_when_it_is_there)
{
	struct pend_info ahead = pended(0, 2, "idp"), known = pended(1, 1, "idp");
	struct msg listed = {.type = MSG_CONTEXT, .seq = ASKERS_SEQ_LIST, .u.info = ahead};

	fake_says(cc, &one, SERVE(""));
	fake_forget(&one);
	askers_question(askers, &ahead);
	ck_assert_str_eq(one.text, "");
	ck_assert_uint_eq(fake.nposted, 0);
	askers_question(askers, &known);
	HAS(one.text, "\"a1.1\"");
	fake_forget(&one);
	put_in_force(NEXT, 2);
	ck_assert_uint_eq(fake.nposted, 1);
	ck_assert_uint_eq(last_posted()->type, MSG_LIST);
	ck_assert_uint_eq(last_posted()->u.match.cursor, 0);
	ck_assert(askers_answer(askers, 0, &listed));
	HAS(one.text, "\"a0.1\"");
	fake_forget(&one);
	listed.u.info = known; /* which was asked, by the policy of then */
	ck_assert(askers_answer(askers, 0, &listed));
	walk_ends(0);
	ck_assert_str_eq(one.text, "");
	ck_assert_uint_eq(fake.nposted, 1);
	/* and that was all */
	put_in_force(NEXT, 3);
	ck_assert_uint_eq(fake.nposted, 1);
}
END_TEST

/* What the walk had passed by when the policy came. */
START_TEST(a_walk_under_way_goes_to_its_end_and_once_more)
{
	struct pend_info ahead = pended(0, 2, "idp");

	askers_again(askers);
	ck_assert_uint_eq(fake.nposted, 1);
	askers_question(askers, &ahead);
	put_in_force(NEXT, 2);
	ck_assert_uint_eq(fake.nposted, 1);
	walk_ends(2048);
	ck_assert_uint_eq(fake.nposted, 2);
	ck_assert_uint_eq(last_posted()->u.match.cursor, 2048);
	walk_ends(0);
	ck_assert_uint_eq(fake.nposted, 3);
	ck_assert_uint_eq(last_posted()->type, MSG_LIST);
	ck_assert_uint_eq(last_posted()->u.match.cursor, 0);
	walk_ends(0);
	ck_assert_uint_eq(fake.nposted, 3);
}
END_TEST

START_TEST(nobody_is_asked_for_an_operator)
{
	const struct msg listed = {
		.type = MSG_CONTEXT, .seq = ASKERS_SEQ_LIST, .u.info = pended(0, 1, "ops")};

	askers_again(askers);
	ck_assert(askers_answer(askers, 0, &listed));
	ck_assert_uint_eq(ask_stats(askers_ask(askers))->open, 0);
}
END_TEST

/* ---- heartbeat ---- */

START_TEST(a_silent_one_serves_no_more)
{
	fake_says(cc, &one, SERVE(",\"heartbeat\":1"));
	fake_says(other, &two, SERVE(",\"max\":1"));
	question(1);
	question(2);
	run_ms(1500);
	fake_says(cc, &one, "{\"id\":2,\"op\":\"ping\"}");
	run_ms(1500);
	ck_assert_ptr_null(strstr(one.text, "unserved"));
	ck_assert_uint_eq(control_stats(fake.control)->silent, 0);
	fake_says(other, &two, SERVE(",\"max\":9"));
	run_ms(800);
	ck_assert_uint_eq(control_stats(fake.control)->silent, 1);
	HAS(one.text, "{\"unserved\":{\"authority\":\"idp\",\"why\":\"heartbeat\"}}\n");
	HAS(two.text, "\"question\""); /* it has them all */
	HAS(fake_says(cc, &one, SERVE(",\"stop\":true")), "\"not-found\"");
	/* it goes on, and promises nothing any more */
	HAS(fake_says(cc, &one, SERVE(",\"heartbeat\":0")), "\"ok\":true");
	run_ms(2300);
	ck_assert_uint_eq(control_stats(fake.control)->silent, 1);
	HAS(fake_says(cc, &one, SERVE(",\"stop\":true")), "\"ok\":true");
}
END_TEST

/* A promise ends with what is served, and with the connection. */
START_TEST(no_heart_beats_for_nothing)
{
	fake_says(cc, &one, SERVE(",\"heartbeat\":1"));
	fake_says(cc, &one, SERVE(",\"stop\":true"));
	fake_says(other, &two, SERVE(",\"heartbeat\":1"));
	control_eof(other);
	ck_assert(two.closed);
	run_ms(2300);
	ck_assert_uint_eq(control_stats(fake.control)->silent, 0);
	HAS(fake_says(cc, &one, SERVE(",\"stop\":true")), "\"not-found\"");
}
END_TEST

/* ---- silence ---- */

static const struct {
	const char *kind, *serve, *says; /* meanwhile */
	enum ask_breaker breaker;
} silences[] = {
	{"socket", SERVE(""), NULL, ASK_OPEN},
	{"socket", SERVE(""), "{\"id\":2,\"op\":\"ping\"}", ASK_CLOSED},
	{"socket", SERVE(",\"heartbeat\":60"), NULL, ASK_CLOSED},
	{"socket", SERVE(",\"heartbeat\":61"), NULL, ASK_OPEN},
	{"exec; command \"/x\"; mode stay", SERVE(",\"heartbeat\":5"), NULL, ASK_OPEN},
	{"exec; command \"/x\"; mode once", SERVE(",\"heartbeat\":5"), NULL, ASK_CLOSED},
	{"http; url \"https://idp.example/\"", SERVE(",\"heartbeat\":5"), NULL, ASK_OPEN},
	{"dnsbl; zones { \"l.example\" }", SERVE(",\"heartbeat\":5"), NULL, ASK_OPEN},
	{"unit; start \"x.service\"", SERVE(",\"heartbeat\":5"), NULL, ASK_CLOSED},
	{"totp; secrets \"/x\"", SERVE(",\"heartbeat\":5"), NULL, ASK_CLOSED},
};

/* Is it a failure that nothing is said to five questions? */
START_TEST(whose_silence_is_a_failure)
{
	struct ask_authority_stats stats;
	char text[256];

	snprintf(text, sizeof(text),
		 "authority idp { type %s; timeout 1500ms }\n"
		 "layer l { pend proto tcp to port 22 ask idp }\n",
		 silences[_i].kind);
	put_in_force(text, 2);
	HAS(fake_says(cc, &one, silences[_i].serve), "\"ok\":true");
	for (uint32_t n = 0; n < ASK_BREAKER_FAILS; n++)
		question(n);
	run_ms(50);
	if (silences[_i].says)
		fake_says(cc, &one, silences[_i].says);
	run_ms(1500);
	ck_assert(ask_authority_stats(askers_ask(askers), "idp", &stats));
	ck_assert_uint_eq(stats.timeouts, ASK_BREAKER_FAILS);
	ck_assert_int_eq(stats.breaker, silences[_i].breaker);
}
END_TEST

Suite *suite(void)
{
	Suite *s = suite_create("control_ask");
	TCase *t = tcase_create("control_ask");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 30);
	tcase_add_loop_test(t, serve_is_strict, 0, sizeof(serves) / sizeof(serves[0]));
	tcase_add_test(t, who_may);
	tcase_add_test(t, one_at_a_time);
	tcase_add_test(t, a_question_as_a_line);
	tcase_add_test(t, in_order);
	tcase_add_loop_test(t, each_answer_for_itself, 0, sizeof(answers) / sizeof(answers[0]));
	tcase_add_test(t, an_answer_names_its_authority);
	tcase_add_test(t, only_failures_without_an_id);
	tcase_add_test(t, what_goes_is_told);
	tcase_add_test(t, questions_of_a_policy_to_come_are_asked_when_it_is_there);
	tcase_add_test(t, a_walk_under_way_goes_to_its_end_and_once_more);
	tcase_add_test(t, nobody_is_asked_for_an_operator);
	tcase_add_test(t, a_silent_one_serves_no_more);
	tcase_add_test(t, no_heart_beats_for_nothing);
	tcase_add_loop_test(t, whose_silence_is_a_failure, 0,
			    sizeof(silences) / sizeof(silences[0]));
	suite_add_tcase(s, t);
	return s;
}
