/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pendctl ask without its terminal: which question, what keys mean, what is said. */
#include "unit.h"
#include "cli/interview.h"
#include <string.h>

static struct interview a;
static struct interview_action action;
static char said[16384];

static void setup(void)
{
	interview_init(&a);
	action = (struct interview_action){0};
	said[0] = '\0';
}

static void teardown(void)
{
	json_decref(action.ids);
	interview_deinit(&a);
}

static void line(void *ctx, const char *text)
{
	(void)ctx;
	strcat(said, text);
	strcat(said, "\n");
}

static json_t *row(const char *id, const char *source, int port, int age, int left)
{
	return json_pack("{s:s,s:s,s:s,s:i,s:s,s:i,s:i,s:i,s:i,s:i,s:i,s:s,s:s,s:s}", "id", id,
			 "protocol", "tcp", "source", source, "source_port", 4000, "dest",
			 "192.0.2.1", "dest_port", port, "rule", 1, "generation", 3, "retransmits",
			 2, "age_ms", age, "remaining_ms", left, "authority", "ops", "interface",
			 "eth0", "on_timeout", "block");
}

/* Three of two sources, the oldest last; at the time 100000. */
static void list_three(void)
{
	json_t *list = json_pack("[o,o,o]", row("a0.1", "203.0.113.7", 22, 1000, 29000),
				 row("a1.1", "203.0.113.8", 22, 2000, 28000),
				 row("a2.1", "203.0.113.7", 80, 3000, 27000));

	interview_listed(&a, list, false, 100000);
	json_decref(list);
}

/* As above, and the oldest is asked about, long enough ago for keys to count. */
static void ask_three(void)
{
	list_three();
	ck_assert(interview_next(&a, 100000));
	ck_assert_str_eq(a.current, "a2.1");
}

static enum interview_do press(int key)
{
	json_decref(action.ids);
	interview_key(&a, key, 101000, &action);
	return action.what;
}

static json_t *event(const char *id, const char *source, const char *state)
{
	return json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:i,s:s}", "type", "completed", "id", id,
			 "source", source, "dest", "192.0.2.1", "protocol", "tcp", "state", state,
			 "reason", "operator", "pended_ms", 2100, "time",
			 "2026-01-31T12:00:02.100Z");
}

static bool ended(const char *id, const char *source, const char *state)
{
	json_t *e = event(id, source, state);
	bool told = interview_ended(&a, e);

	json_decref(e);
	return told;
}

static void has(const char *want)
{
	ck_assert_msg(strstr(said, want) != NULL, "no \"%s\" in: %s", want, said);
}

/* A list without a connection may come before the event that says what became of it. */
START_TEST(told_although_it_is_listed_no_more)
{
	json_t *none = json_array();

	ask_three();
	ck_assert_int_eq(press('y'), ASK_DECIDE);
	interview_listed(&a, none, false, 102000);
	ck_assert_uint_eq(a.n, 0);
	ck_assert(ended("a2.1", "203.0.113.7", "permitted"));
	ck_assert(!ended("a2.1", "203.0.113.7", "permitted"));
	ck_assert(!ended("a1.1", "203.0.113.7", "permitted"));
	json_decref(none);
}
END_TEST

START_TEST(the_oldest_is_asked_first)
{
	ask_three();
	ck_assert(!interview_next(&a, 100000));
	ck_assert_uint_eq(interview_others(&a), 1);
	ck_assert(ended("a2.1", "203.0.113.7", "timed-out"));
	ck_assert(interview_next(&a, 100000));
	ck_assert_str_eq(a.current, "a1.1");
	ck_assert(!ended("a0.1", "203.0.113.7", "permitted")); /* nobody was asked about it */
	ck_assert_uint_eq(a.n, 1);
}
END_TEST

START_TEST(keys_that_come_too_soon_are_about_another)
{
	ask_three();
	interview_key(&a, 'y', 100000 + ASK_SETTLE - 1, &action);
	ck_assert_int_eq(action.what, ASK_NOTHING);
	interview_key(&a, 'y', 100000 + ASK_SETTLE, &action);
	ck_assert_int_eq(action.what, ASK_DECIDE);
	interview_key(&a, 'q', 100000, &(struct interview_action){0});
}
END_TEST

static const struct {
	int key;
	const char *want;
} verdicts[] = {
	{'y', "{\"ids\":[\"a2.1\"],\"verdict\":\"permit\"}"},
	{'n', "{\"ids\":[\"a2.1\"],\"verdict\":\"block\"}"},
	{'r', "{\"block\":\"reset\",\"ids\":[\"a2.1\"],\"verdict\":\"block\"}"},
	{'Y', "{\"ids\":[\"a2.1\",\"a0.1\"],\"verdict\":\"permit\"}"},
	{'N', "{\"ids\":[\"a2.1\",\"a0.1\"],\"verdict\":\"block\"}"},
	{'R', "{\"block\":\"reset\",\"ids\":[\"a2.1\",\"a0.1\"],\"verdict\":\"block\"}"},
};

static void requests(const char *want)
{
	json_t *v = interview_request(&a, &action);
	char *text = json_dumps(v, JSON_COMPACT | JSON_SORT_KEYS);

	ck_assert_str_eq(text, want);
	free(text);
	json_decref(v);
}

START_TEST(a_key_is_a_verdict)
{
	ask_three();
	ck_assert_int_eq(press(verdicts[_i].key), ASK_DECIDE);
	requests(verdicts[_i].want);
	ck_assert(!interview_waits(&a));
	/* what was decided is not asked again while the daemon has not said so */
	ck_assert(interview_next(&a, 101000));
	ck_assert_str_eq(a.current, "a1.1");
	list_three();
	ck_assert_str_eq(a.current, "a1.1");
}
END_TEST

START_TEST(other_keys_do_nothing)
{
	static const char known[] = "ynrYNR1hdfswib?q\x04";

	ask_three();
	for (int key = 1; key < 256; key++)
		if (!strchr(known, key))
			ck_assert_msg(press(key) == ASK_NOTHING, "key %d", key);
	ck_assert_str_eq(a.current, "a2.1");
	ck_assert_int_eq(press('q'), ASK_QUIT);
	ck_assert_int_eq(press('?'), ASK_HELP);
	ck_assert_int_eq(press('i'), ASK_DETAILS);
}
END_TEST

START_TEST(without_a_question_there_is_no_verdict)
{
	for (const char *key = "ynrYNR1hdfsiw"; *key; key++)
		ck_assert_int_eq(press(*key), ASK_NOTHING);
	ck_assert_int_eq(press('q'), ASK_QUIT);
}
END_TEST

static const struct {
	int key;
	const char *want, *prompt;
} holds[] = {
	{'1', "{\"ids\":[\"a2.1\"],\"remember\":false,\"verdict\":\"permit\"}", "this time only"},
	{'h', "{\"ids\":[\"a2.1\"],\"remember\":\"1h\",\"verdict\":\"permit\"}", "for an hour"},
	{'d', "{\"ids\":[\"a2.1\"],\"remember\":\"1d\",\"verdict\":\"permit\"}", "for a day"},
	{'f', "{\"ids\":[\"a2.1\"],\"remember\":\"365d\",\"verdict\":\"permit\"}",
	 "until forgotten"},
};

START_TEST(for_how_long)
{
	char prompt[ASK_LINE_MAX];

	ask_three();
	ck_assert_int_eq(press(holds[_i].key), ASK_REDRAW);
	interview_prompt(&a, 101000, prompt);
	ck_assert_ptr_nonnull(strstr(prompt, holds[_i].prompt));
	press('y');
	requests(holds[_i].want);
	interview_next(&a, 101000); /* the next question begins anew */
	ck_assert_int_eq(a.hold, ASK_BY_RULE);
}
END_TEST

START_TEST(all_of_a_source_is_remembered_of_the_source)
{
	ask_three();
	press('h');
	press('Y');
	requests("{\"ids\":[\"a2.1\",\"a0.1\"],\"remember\":\"1h\",\"scope\":\"source\","
		 "\"verdict\":\"permit\"}");
}
END_TEST

START_TEST(the_same_key_again_is_as_the_rule_says)
{
	ask_three();
	press('h');
	press('h');
	press('y');
	requests("{\"ids\":[\"a2.1\"],\"verdict\":\"permit\"}");
}
END_TEST

static void type(const char *text)
{
	for (; *text; text++)
		press((unsigned char)*text);
}

START_TEST(a_reason)
{
	char prompt[ASK_LINE_MAX];

	ask_three();
	press('w');
	type("it is hi\xc3\xa9\x7f");
	type("m, yes"); /* y is a letter now */
	interview_prompt(&a, 101000, prompt);
	ck_assert_str_eq(prompt, "reason: it is him, yes");
	press('\r');
	ck_assert_int_eq(press('y'), ASK_DECIDE);
	requests("{\"ids\":[\"a2.1\"],\"verdict\":\"permit\",\"why\":\"it is him, yes\"}");
}
END_TEST

START_TEST(a_reason_given_up)
{
	ask_three();
	press('w');
	type("x\r");
	press('w');
	type("y\x1b");
	ck_assert_str_eq(a.why, "x");
	press('w');
	press('U' & 0x1f);
	for (int i = 0; i < 2 * ASK_WHY; i++)
		press('a');
	press('\r');
	ck_assert_uint_eq(strlen(a.why), ASK_WHY);
	press('w');
	press('U' & 0x1f);
	type("\xc3\r"); /* half a character */
	ck_assert_uint_le(strlen(a.why), ASK_WHY);
	press('y');
	json_decref(interview_request(&a, &action));
}
END_TEST

START_TEST(the_question_goes_while_a_reason_is_written)
{
	ask_three();
	press('w');
	type("becau");
	ended("a2.1", "203.0.113.7", "timed-out");
	ck_assert_int_eq(press('y'), ASK_NOTHING);
	ck_assert(!a.editing);
	interview_next(&a, 102000);
	ck_assert_str_eq(a.why, "");
}
END_TEST

START_TEST(skipped_until_asked_for)
{
	char prompt[ASK_LINE_MAX];

	ask_three();
	for (int i = 0; i < 3; i++) {
		press('s');
		interview_next(&a, 100000);
	}
	ck_assert(!interview_waits(&a));
	list_three();
	ck_assert_uint_eq(interview_skipped(&a), 3);
	interview_prompt(&a, 101000, prompt);
	ck_assert_ptr_nonnull(strstr(prompt, "3 skipped"));
	ck_assert(ended("a1.1", "203.0.113.8", "timed-out")); /* told all the same */
	ck_assert_int_eq(press('b'), ASK_AGAIN);
	ck_assert(interview_next(&a, 100000));
	ck_assert_str_eq(a.current, "a2.1");
}
END_TEST

START_TEST(refused_by_the_daemon)
{
	ask_three();
	press('y');
	json_decref(interview_request(&a, &action));
	interview_refused(&a);
	interview_next(&a, 101000);
	ck_assert_str_eq(a.current, "a2.1");
}
END_TEST

START_TEST(many_of_a_source)
{
	json_t *list = json_array();
	char id[16];

	for (int i = 0; i < ASK_ROWS; i++) {
		snprintf(id, sizeof(id), "a%d.1", i);
		json_array_append_new(list, row(id, "203.0.113.7", 22, 100000 - i, 1000));
	}
	interview_listed(&a, list, true, 200000);
	json_decref(list);
	interview_next(&a, 100000);
	ck_assert_int_eq(press('Y'), ASK_DECIDE);
	ck_assert_uint_eq(json_array_size(action.ids), ASK_IDS);
	ck_assert(!ended("a1.1", "203.0.113.7", "permitted")); /* not told one by one */
	ck_assert(interview_next(&a, 101000));                 /* the rest is asked about */
}
END_TEST

/* A line of the daemon's has 65,536 bytes, whatever ids and the reason have. */
START_TEST(many_of_long_ids)
{
	json_t *list = json_array(), *v;
	char id[24], *text;

	for (int i = 0; i < ASK_ROWS; i++) {
		snprintf(id, sizeof(id), "ab%d.4294960%03d", 10000 + i, i % 1000);
		json_array_append_new(list, row(id, "203.0.113.7", 22, 100000 - i, 1000));
	}
	interview_listed(&a, list, true, 200000);
	json_decref(list);
	interview_next(&a, 100000);
	memset(a.why, '\x1b', ASK_WHY); /* six bytes each in JSON */
	ck_assert_int_eq(press('Y'), ASK_DECIDE);
	ck_assert_uint_gt(json_array_size(action.ids), ASK_IDS / 2);
	v = interview_request(&a, &action);
	json_object_set_new(v, "op", json_string("complete"));
	json_object_set_new(v, "id", json_integer(INT64_MAX));
	text = json_dumps(v, JSON_COMPACT);
	ck_assert_uint_lt(strlen(text), 65536);
	ck_assert(interview_next(&a, 101000));
	free(text);
	json_decref(v);
}
END_TEST

static void with_rules(int generation)
{
	json_t *r = json_pack("{s:i,s:[{s:i},{s:i,s:s,s:i,s:s}]}", "generation", generation,
			      "rules", "rule", 0, "rule", 1, "file", "/etc/pend/pend.conf", "line",
			      14, "text", "pend proto tcp to port ssh ask ops");

	interview_rules(&a, r);
	json_decref(r);
}

START_TEST(what_is_said)
{
	with_rules(3);
	ended("a9.1", "203.0.113.7", "permitted");
	ended("a9.2", "203.0.113.7", "blocked");
	ask_three();
	a.have_name = a.have_listener = true;
	a.name = (struct lookup_answer){.found = true, .name = "host.example\033[2J"};
	a.listener = (struct lookup_answer){.found = true,
					    .local = true,
					    .service = "http",
					    .user = "www",
					    .executable = "/usr/sbin/httpd",
					    .unit = "httpd.service"};
	strcpy(a.country, "DE");
	interview_text(&a, 101000, line, NULL);
	ck_assert_str_eq(
		said,
		"a2.1  tcp 203.0.113.7:4000 > 192.0.2.1:80  asks ops\n"
		"  from     203.0.113.7, host.example?[2J (does not lead back to it), country DE\n"
		"  to       192.0.2.1:80 (http), in eth0\n"
		"  listens  user www, /usr/sbin/httpd, httpd.service\n"
		"  rule     /etc/pend/pend.conf:14: pend proto tcp to port ssh ask ops\n"
		"  earlier  1 permitted, 1 blocked, 0 ended otherwise; last blocked at "
		"2026-01-31T12:00:02 UTC\n"
		"  waits    4.0s, tried 2 more times; in 26s: block\n"
		"  besides  1 more of this source waits\n");
}
END_TEST

/* A connection through this host: where it goes has a name, too, which may come when the question is shown already. */
START_TEST(another_host_has_a_name)
{
	json_t *list = json_pack("[{s:s,s:s,s:s,s:s,s:i,s:s,s:i,s:s,s:s,s:i,s:i,s:i,s:i,s:i,s:s}]",
				 "id", "a3.1", "authority", "ops", "protocol", "tcp", "source",
				 "203.0.113.7", "source_port", 4000, "dest", "198.51.100.9",
				 "dest_port", 443, "interface", "sb0", "out_interface", "eth0",
				 "rule", 1, "generation", 3, "age_ms", 100, "remaining_ms", 9000,
				 "retransmits", 0, "on_timeout", "block");

	interview_listed(&a, list, false, 100000);
	json_decref(list);
	ck_assert(interview_next(&a, 100000));
	a.have_name = a.have_listener = true;
	interview_text(&a, 101000, line, NULL);
	has("to       198.51.100.9:443, in sb0, out eth0\n");
	a.have_target = true;
	interview_text(&a, 101000, line, NULL);
	has("to       198.51.100.9:443, no name, in sb0, out eth0\n");
	said[0] = '\0';
	interview_text_target(&a, line, NULL);
	ck_assert_str_eq(said, "");
	a.target = (struct lookup_answer){.found = true, .name = "www.example.org\033["};
	interview_text_target(&a, line, NULL);
	ck_assert_str_eq(said,
			 "  to       198.51.100.9:443, www.example.org?[ (does not lead back to "
			 "it), in sb0, out eth0\n");
}
END_TEST

START_TEST(what_is_not_known_is_not_claimed)
{
	with_rules(4); /* another policy's rule 1 is not the one */
	ask_three();
	a.late = true;
	interview_text(&a, 101000, line, NULL);
	has("from     203.0.113.7, its name was not found in time\n");
	has("rule     1 of policy 3\n");
	ck_assert_ptr_null(strstr(said, "listens"));
	ck_assert_ptr_null(strstr(said, "ssh"));
}
END_TEST

START_TEST(details)
{
	ask_three();
	a.decisions = json_pack("[{s:s,s:s,s:s,s:i,s:s,s:i,s:s}]", "verdict", "permit", "scope",
				"service", "dest", "192.0.2.1", "dest_port", 443, "by", "operator",
				"remaining_ms", 60000, "why", "him\033");
	ended("a9.1", "203.0.113.7", "timed-out");
	ended("a9.2", "203.0.113.8", "blocked");
	interview_details(&a, 101000, line, NULL);
	has("permit service 192.0.2.1:443, by operator, for 1m00s more: him?\n");
	has("2026-01-31T12:00:02 timed-out tcp 203.0.113.7");
	ck_assert_ptr_null(strstr(said, "blocked tcp 203.0.113.8"));
}
END_TEST

START_TEST(the_record_counts_where_there_is_one)
{
	json_t *h = json_pack("{s:[{s:s,s:s,s:s,s:s},{s:s}]}", "history", "state", "timed-out",
			      "time", "2026-01-30T12:00:00.000Z", "by", "ann", "why", "late",
			      "state", "flushed");

	ended("a9.1", "203.0.113.7", "blocked"); /* is in the record, too */
	ask_three();
	interview_history(&a, h);
	interview_details(&a, 101000, line, NULL);
	has("  earlier  1 permitted, 0 blocked, 1 ended otherwise; last timed-out at "
	    "2026-01-30T12:00:00 UTC\n");
	has("    2026-01-30T12:00:00 timed-out");
	has("by ann: late\n");
	json_decref(h);
}
END_TEST

START_TEST(what_became_of_one)
{
	json_t *e = event("a0.1", "203.0.113.7", "flushed");

	interview_text_ended(e, line, NULL);
	ck_assert_str_eq(said, "a0.1  tcp 203.0.113.7 > 192.0.2.1: permitted (with its next "
			       "attempt) by operator after 2.1s\n");
	json_decref(e);
}
END_TEST

START_TEST(what_is_looked_up)
{
	struct lookup_question q;

	ck_assert(!interview_question(&a, true, &q));
	ask_three();
	ck_assert(interview_question(&a, true, &q));
	ck_assert_int_eq(q.family, 4);
	ck_assert_int_eq(q.proto, 6);
	ck_assert_int_eq(q.port, 80);
	ck_assert_mem_eq(q.source, "\xcb\0\x71\x07", 4);
	ck_assert_mem_eq(q.dest, "\xc0\0\x02\x01", 4);
}
END_TEST

Suite *suite(void)
{
	Suite *s = suite_create("cli_ask");
	TCase *t = tcase_create("ask");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, told_although_it_is_listed_no_more);
	tcase_add_test(t, the_oldest_is_asked_first);
	tcase_add_test(t, keys_that_come_too_soon_are_about_another);
	tcase_add_loop_test(t, a_key_is_a_verdict, 0, sizeof(verdicts) / sizeof(verdicts[0]));
	tcase_add_test(t, other_keys_do_nothing);
	tcase_add_test(t, without_a_question_there_is_no_verdict);
	tcase_add_loop_test(t, for_how_long, 0, sizeof(holds) / sizeof(holds[0]));
	tcase_add_test(t, all_of_a_source_is_remembered_of_the_source);
	tcase_add_test(t, the_same_key_again_is_as_the_rule_says);
	tcase_add_test(t, a_reason);
	tcase_add_test(t, a_reason_given_up);
	tcase_add_test(t, the_question_goes_while_a_reason_is_written);
	tcase_add_test(t, skipped_until_asked_for);
	tcase_add_test(t, refused_by_the_daemon);
	tcase_add_test(t, many_of_a_source);
	tcase_add_test(t, many_of_long_ids);
	tcase_add_test(t, what_is_said);
	tcase_add_test(t, another_host_has_a_name);
	tcase_add_test(t, what_is_not_known_is_not_claimed);
	tcase_add_test(t, details);
	tcase_add_test(t, the_record_counts_where_there_is_one);
	tcase_add_test(t, what_became_of_one);
	tcase_add_test(t, what_is_looked_up);
	suite_add_tcase(s, t);
	return s;
}
