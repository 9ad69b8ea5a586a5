/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pendctl top without its screen: what it shows in which size, and what keys do. */
#include "unit.h"
#include "cli/top.h"
#include <string.h>

static struct top t;
static struct top_action action;
static struct top_line line[TOP_LINES];
static int n, page;

static void setup(void)
{
	top_init(&t);
	top_up(&t, "admin");
	action = (struct top_action){0};
	n = 0;
}

static void teardown(void)
{
	json_decref(action.ids);
	top_deinit(&t);
}

static json_t *row(const char *id, const char *source, int port, int age, int left)
{
	return json_pack("{s:s,s:s,s:s,s:i,s:s,s:i,s:i,s:i,s:i,s:i,s:s,s:s}", "id", id, "protocol",
			 "tcp", "source", source, "source_port", 4000, "dest", "192.0.2.1",
			 "dest_port", port, "rule", port, "retransmits", 2, "age_ms", age,
			 "remaining_ms", left, "authority", "ops", "interface", "eth0");
}

static void list(json_t *rows, bool more)
{
	top_pending(&t, rows, more, 100000);
	json_decref(rows);
}

static void list_three(void)
{
	list(json_pack("[o,o,o]", row("a0.1", "203.0.113.7", 22, 1000, 9000),
		       row("a1.1", "203.0.113.8", 25, 2000, 28000),
		       row("a2.1", "203.0.113.7", 80, 3000, 27000)),
	     false);
}

static void status(int pended, int permitted, int64_t now)
{
	json_t *v = json_pack(
		"{s:s,s:i,s:[],s:{s:i,s:i},s:{s:s,s:s},s:{s:i,s:i,s:i},s:{s:i,s:i,s:i,s:i,s:i,s:i}}",
		"state", "ok", "uptime_s", 7200, "problems", "policy", "generation", 5, "rules", 7,
		"hookup", "kind", "nft", "state", "in-place", "kernel", "queued", 1,
		"queue_dropped", 2, "user_dropped", 3, "totals", "pended", pended,
		"ended_permitted", permitted, "ended_flushed", 0, "pending", 3, "pending_peak", 9,
		"held", 3);

	ck_assert_ptr_nonnull(v);
	top_status(&t, v, now);
	json_decref(v);
}

static void authorities(int count)
{
	json_t *a = json_array(), *v = json_object();

	for (int i = 0; i < count; i++)
		json_array_append_new(
			a, json_pack("{s:s,s:s,s:s,s:s,s:{s:s,s:i,s:i,s:i,s:s}}", "name",
				     i ? "more" : "ops", "type", "exec", "timeout", "30s",
				     "on_timeout", "block", "health", "state", "failing", "servers",
				     2, "p50_us", 310, "p99_us", 65536, "breaker", "open"));
	json_object_set_new(v, "authorities", a);
	top_authorities(&t, v);
	json_decref(v);
}

static void event(const char *state)
{
	json_t *e = json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s}", "type", "completed", "state",
			      state, "id", "a9.1", "source", "203.0.113.7", "dest", "192.0.2.1",
			      "protocol", "tcp", "reason", "operator", "time",
			      "2026-01-31T12:00:02.100Z");

	top_event(&t, e);
	json_decref(e);
}

static void show(int columns, int lines)
{
	memset(line, 0, sizeof(line));
	n = top_lines(&t, columns, lines, 100000, line, &page);
}

/* Index of the first line that has this text; fails without one. */
static int find(const char *text)
{
	for (int i = 0; i < n; i++)
		if (strstr(line[i].text, text))
			return i;
	for (int i = 0; i < n; i++)
		fprintf(stderr, "%s\n", line[i].text);
	ck_abort_msg("no line has \"%s\"", text);
	return -1;
}

static bool shown(const char *text)
{
	for (int i = 0; i < n; i++)
		if (strstr(line[i].text, text))
			return true;
	return false;
}

static enum top_do press(int key)
{
	json_decref(action.ids);
	top_key(&t, key, page, &action);
	return action.what;
}

static void type(const char *text)
{
	for (; *text; text++)
		press(*text);
}

START_TEST(the_head)
{
	json_t *d = json_pack("{s:[{}],s:i,s:i}", "decisions", "permits", 1, "blocks", 4);

	status(100, 50, 1000);
	show(100, 30);
	find("a second  - pended  - permitted"); /* one look tells no rate */
	status(130, 51, 3000);
	top_decisions(&t, d, 100000);
	authorities(1);
	show(100, 30);
	ck_assert_str_eq(line[0].text,
			 "pendd ok  up 2h00m  policy 5, 7 rules  nft in-place  role admin");
	ck_assert_int_eq(line[0].style, TOP_TITLE);
	ck_assert_str_eq(line[1].text, "a second  15 pended  0.5 permitted  0 blocked  0 timed out "
				       " 0 direct");
	ck_assert_str_eq(line[2].text, "pended    3 now, 9 at most, 3 in the kernel, 1 decision "
				       "remembered (used 5 times)");
	ck_assert_str_eq(line[3].text,
			 "limits    0 refused, 5 dropped by the kernel, 1 queued, 0B reserved");
	ck_assert_int_eq(line[3].style, TOP_BAD);
	find("ops            exec      30s, then block; failing, 2 serving, p50 310 us, p99 65 ms, "
	     "breaker open");
	ck_assert_int_eq(line[find("breaker open")].style, TOP_BAD);
	json_decref(d);
}
END_TEST

START_TEST(another_daemon_has_no_rate_yet)
{
	status(1000, 1000, 1000);
	status(3, 3, 2000);
	show(100, 30);
	find("a second  - pended");
}
END_TEST

START_TEST(the_table)
{
	int at;

	status(3, 0, 1000);
	list_three();
	event("blocked");
	show(132, 30);
	at = find("ID ");
	ck_assert_int_eq(line[at].style, TOP_HEADER);
	ck_assert_ptr_nonnull(strstr(line[at + 1].text, "a2.1     tcp   203.0.113.7:4000 "));
	ck_assert_ptr_nonnull(
		strstr(line[at + 1].text, "  3.0s    27s   2   80 ops          eth0"));
	ck_assert_ptr_nonnull(strstr(line[at + 3].text, "a0.1"));
	find("12:00:02 blocked    a9.1     tcp 203.0.113.7 > 192.0.2.1 by operator");
	ck_assert_int_eq(n, 30);
	ck_assert_int_eq(line[29].style, TOP_KEYS);
	ck_assert_ptr_nonnull(strstr(line[29].text, "y permit"));
}
END_TEST

START_TEST(every_size)
{
	json_t *many = json_array();
	char id[16];

	for (int i = 0; i < 500; i++) {
		snprintf(id, sizeof(id), "a%d.1", i);
		json_array_append_new(many, row(id, "2001:db8::7", i, i, 1000));
	}
	list(many, true);
	status(3, 0, 1000);
	authorities(40);
	for (int i = 0; i < 60; i++)
		event("permitted");
	press(TOP_END);
	for (int lines = 1; lines <= 310; lines++)
		for (int columns = 1; columns < 200; columns += 7) {
			show(columns, lines);
			if (lines < TOP_LINES_MIN || columns < TOP_COLUMNS) {
				ck_assert_int_eq(n, lines < 2 ? lines : 2);
				continue;
			}
			ck_assert_int_eq(n, lines < TOP_LINES ? lines : TOP_LINES);
			ck_assert_int_ge(page, 4);
			ck_assert_int_eq(line[n - 1].style, TOP_KEYS);
			ck_assert_int_eq(line[find("a0.1 ")].style, TOP_SELECTED); /* scrolled to */
		}
	t.help = true;
	show(60, 15);
	ck_assert_int_eq(n, 15);
}
END_TEST

START_TEST(sixty_columns_have_the_times)
{
	list_three();
	status(3, 0, 1000);
	show(60, 15);
	ck_assert_ptr_nonnull(strstr(line[find("a2.1")].text, "203.0.113.7:400 192.0.2.1:80 "));
	ck_assert_uint_ge(strstr(line[find("a2.1")].text, "27s") - line[find("a2.1")].text, 50);
	ck_assert_uint_lt(strstr(line[find("a2.1")].text, "27s") - line[find("a2.1")].text, 58);
}
END_TEST

START_TEST(scrolling)
{
	json_t *many = json_array();
	char id[16];

	for (int i = 0; i < 100; i++) {
		snprintf(id, sizeof(id), "a%d.1", i);
		json_array_append_new(many, row(id, "203.0.113.7", i, 100000 - 1000 * i, 1000));
	}
	list(many, false);
	status(3, 0, 1000);
	show(100, 24);
	ck_assert(shown("a0.1 ") && !shown("a99.1 "));
	press(TOP_DOWN);
	ck_assert_str_eq(t.selected, "a0.1");
	press(TOP_PAGE_DOWN);
	press(TOP_PAGE_DOWN);
	show(100, 24);
	ck_assert(!shown("a0.1 ") && shown(t.selected));
	press(TOP_END);
	show(100, 24);
	ck_assert(shown("a99.1 "));
	press('g');
	press(TOP_UP);
	show(100, 24);
	ck_assert_str_eq(t.selected, "a0.1");
	ck_assert(shown("a0.1 "));
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

START_TEST(a_key_is_a_verdict)
{
	char *text;
	json_t *v;

	list_three();
	press(TOP_DOWN);
	ck_assert_int_eq(press(verdicts[_i].key), TOP_DECIDE);
	v = top_request(&action);
	text = json_dumps(v, JSON_COMPACT | JSON_SORT_KEYS);
	ck_assert_str_eq(text, verdicts[_i].want);
	free(text);
	json_decref(v);
}
END_TEST

START_TEST(nothing_selected_nothing_decided)
{
	list_three();
	ck_assert_int_eq(press(verdicts[_i].key), TOP_NOTHING);
	ck_assert_ptr_nonnull(strstr(t.message, "Nothing is selected"));
}
END_TEST

START_TEST(what_was_selected_has_ended)
{
	list_three();
	press('j');
	press('j');
	ck_assert_str_eq(t.selected, "a1.1");
	list(json_pack("[o]", row("a0.1", "203.0.113.7", 22, 1000, 9000)), false);
	ck_assert_str_eq(t.selected, "");
	ck_assert_ptr_nonnull(strstr(t.message, "a1.1 does not wait any more"));
	ck_assert_int_eq(press('y'), TOP_NOTHING);
	press('j');
	ck_assert_str_eq(t.selected, "a0.1");
}
END_TEST

START_TEST(observers_are_told)
{
	snprintf(t.role, sizeof(t.role), "observe");
	list_three();
	press('j');
	ck_assert_int_eq(press(verdicts[_i].key), TOP_NOTHING);
	ck_assert_ptr_nonnull(strstr(t.message, "Your role is observe"));
}
END_TEST

START_TEST(a_filter)
{
	status(3, 0, 1000);
	list_three();
	press('/');
	type("113.8x\b"); /* letters are no commands now */
	show(100, 24);
	ck_assert_ptr_nonnull(strstr(line[n - 1].text, "filter: 113.8"));
	ck_assert(shown("a1.1") && !shown("a0.1") && !shown("a2.1"));
	press('\r');
	press('j');
	ck_assert_str_eq(t.selected, "a1.1");
	press('/');
	type("zzz");
	show(100, 24);
	find("Nothing fits the filter.");
	ck_assert_str_eq(t.selected, "");
	press(0x1b);
	show(100, 24);
	ck_assert(shown("a1.1") && !shown("a0.1"));
	press('/');
	press('U' & 0x1f);
	for (int i = 0; i < 200; i++)
		press('0');
	ck_assert_uint_eq(strlen(t.filter), TOP_FILTER);
	press(0x1b);
	/* Y is about what is shown, not about all of the source */
	press('/');
	press('U' & 0x1f);
	type(":80\r");
	press('j');
	ck_assert_int_eq(press('Y'), TOP_DECIDE);
	ck_assert_uint_eq(json_array_size(action.ids), 1);
}
END_TEST

START_TEST(sorting)
{
	static const char *const first[] = {"a0.1", "a2.1", "a0.1", "a0.1", "a2.1"};

	status(3, 0, 1000);
	list_three();
	for (size_t i = 0; i < 5; i++) {
		press('s');
		show(100, 24);
		ck_assert_ptr_nonnull(strstr(line[find("ID ") + 1].text, first[i]));
	}
	find("Sorted by age");
}
END_TEST

START_TEST(gone_and_back)
{
	status(3, 0, 1000);
	list_three();
	event("blocked");
	top_down(&t, "pendd is not running (nothing answers at /run\033)");
	show(80, 24);
	ck_assert_int_eq(line[0].style, TOP_BAD);
	ck_assert_str_eq(line[0].text, "pendd is not running: pendd is not running (nothing "
				       "answers at /run?)");
	ck_assert(!shown("a0.1"));
	ck_assert_int_eq(press('y'), TOP_NOTHING);
	top_up(&t, "decide");
	status(1, 0, 5000);
	show(80, 24);
	find("role decide");
	find("a second  - pended");
	ck_assert(!shown("12:00:02")); /* the other one's events */
}
END_TEST

START_TEST(said_about_decisions)
{
	json_t *one = json_pack("{s:i,s:[]}", "completed", 1, "failed"),
	       *none = json_pack("{s:i,s:[{s:s}]}", "completed", 0, "failed", "code", "already");

	top_decided(&t, one, NULL, "");
	ck_assert_str_eq(t.message, "Decided 1 connection");
	top_decided(&t, none, NULL, "");
	ck_assert_ptr_nonnull(strstr(t.message, "decided before"));
	top_decided(&t, NULL, "busy", "no\033");
	ck_assert_str_eq(t.message, "Not done: no?");
	top_decided(&t, one, "store", "it is decided, but");
	ck_assert_str_eq(t.message, "Warning: it is decided, but");
	json_decref(one);
	json_decref(none);
}
END_TEST

static void decisions(int count)
{
	json_t *list = json_array(), *v;
	char source[32], since[40];

	for (int i = 0; i < count; i++) {
		snprintf(source, sizeof(source), "198.51.100.%d", i);
		snprintf(since, sizeof(since), "2026-01-31T%02d:%02d:00.000Z", i / 60, i % 60);
		json_array_append_new(
			list, json_pack("{s:s,s:s,s:s,s:s,s:i,s:s,s:s,s:i,s:s}", "verdict",
					i % 2 ? "block" : "permit", "source", source, "protocol",
					"tcp", "dest", "192.0.2.1", "dest_port", 22, "by", "root",
					"since", since, "remaining_ms", 1000 * (i + 1), "text",
					"pend proto tcp to port ssh remember 8h"));
	}
	v = json_pack("{s:o,s:i,s:i}", "decisions", list, "permits", 0, "blocks", 0);
	top_decisions(&t, v, 100000);
	json_decref(v);
}

START_TEST(what_is_remembered)
{
	status(3, 0, 1000);
	list_three();
	event("blocked");
	decisions(3);
	ck_assert_int_eq(press('d'), TOP_REFRESH);
	show(132, 30);
	ck_assert(!shown("12:00:02"));
	ck_assert_int_eq(line[find("DECIDED ")].style, TOP_HEADER);
	/* the newest first */
	ck_assert_str_eq(
		line[find("DECIDED ") + 1].text,
		"permit      0m3s 198.51.100.2                   tcp 192.0.2.1 port 22        "
		"  root       pend proto tcp to port ssh remember 8h");
	ck_assert_ptr_nonnull(strstr(line[find("DECIDED ") + 2].text, "block       0m2s"));
	n = top_lines(&t, 132, 30, 102500, line, &page); /* two are over by now */
	ck_assert(shown("0m0s 198.51.100.2 ") && !shown("198.51.100.1 ") &&
		  !shown("198.51.100.0 "));
	ck_assert(!shown("more: pendctl"));
	press('d');
	show(132, 30);
	ck_assert(shown("12:00:02") && !shown("DECIDED"));
}
END_TEST

START_TEST(more_than_the_screen_has)
{
	status(3, 0, 1000);
	list_three();
	press('d');
	show(100, 30);
	find("Not known.");
	decisions(0);
	show(100, 30);
	find("Nothing is remembered.");
	decisions(TOP_DECISIONS + 50);
	ck_assert_uint_eq(json_array_size(t.decisions), TOP_DECISIONS);
	show(100, 30);
	find("198.51.100.249");
	find("... and 241 more: pendctl decisions");
	for (int lines = TOP_LINES_MIN; lines <= 310; lines++)
		for (int columns = TOP_COLUMNS; columns < 200; columns += 7) {
			show(columns, lines);
			ck_assert_int_eq(n, lines < TOP_LINES ? lines : TOP_LINES);
			ck_assert_int_ge(page, 1);
			ck_assert_int_eq(line[n - 1].style, TOP_KEYS);
			find("more: pendctl decisions");
		}
	top_down(&t, "gone");
	show(100, 30);
	find("Not known.");
}
END_TEST

START_TEST(pause_help_quit)
{
	status(3, 0, 1000);
	ck_assert_int_eq(press('p'), TOP_REFRESH);
	show(80, 24);
	find("PAUSED");
	press('?');
	show(80, 24);
	find("PgUp PgDn");
	ck_assert_int_eq(press('y'), TOP_NOTHING);
	show(80, 24);
	ck_assert(!shown("PgUp PgDn"));
	ck_assert_int_eq(press(' '), TOP_REFRESH);
	ck_assert_int_eq(press('q'), TOP_QUIT);
}
END_TEST

START_TEST(all_of_it_for_a_script)
{
	json_t *many = json_array();
	char id[16];

	for (int i = 0; i < 100; i++) {
		snprintf(id, sizeof(id), "a%d.1", i);
		json_array_append_new(many, row(id, "203.0.113.7", i, 100000 - 1000 * i, 1000));
	}
	list(many, false);
	status(3, 0, 1000);
	event("blocked");
	decisions(2);
	show(132, 0);
	find("a0.1 ");
	find("a99.1 ");
	find("198.51.100.0");
	find("12:00:02 blocked");
	ck_assert(!shown("y permit"));
}
END_TEST

START_TEST(hostile_text)
{
	json_t *r = row("a0.1", "203.0.113.7", 22, 1000, 9000);

	json_object_set_new(r, "interface", json_string("\033[2J\xc2\x9b"));
	json_object_set_new(r, "authority", json_string("a\nb"));
	list(json_pack("[o,n,i]", r, 3), false);
	status(3, 0, 1000);
	show(132, 30);
	for (int i = 0; i < n; i++)
		for (const unsigned char *p = (const unsigned char *)line[i].text; *p; p++)
			ck_assert(*p >= 0x20 && *p < 0x7f);
}
END_TEST

Suite *suite(void)
{
	Suite *s = suite_create("cli_top");
	TCase *c = tcase_create("top");
	const int all = sizeof(verdicts) / sizeof(verdicts[0]);

	tcase_set_timeout(c, 60);
	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, the_head);
	tcase_add_test(c, another_daemon_has_no_rate_yet);
	tcase_add_test(c, the_table);
	tcase_add_test(c, every_size);
	tcase_add_test(c, sixty_columns_have_the_times);
	tcase_add_test(c, scrolling);
	tcase_add_loop_test(c, a_key_is_a_verdict, 0, all);
	tcase_add_loop_test(c, nothing_selected_nothing_decided, 0, all);
	tcase_add_test(c, what_was_selected_has_ended);
	tcase_add_loop_test(c, observers_are_told, 0, all);
	tcase_add_test(c, a_filter);
	tcase_add_test(c, sorting);
	tcase_add_test(c, gone_and_back);
	tcase_add_test(c, said_about_decisions);
	tcase_add_test(c, what_is_remembered);
	tcase_add_test(c, more_than_the_screen_has);
	tcase_add_test(c, pause_help_quit);
	tcase_add_test(c, all_of_it_for_a_script);
	tcase_add_test(c, hostile_text);
	suite_add_tcase(s, c);
	return s;
}
