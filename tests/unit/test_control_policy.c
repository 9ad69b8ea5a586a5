/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Requests that change rules and sets, without a daemon: what is refused and why, parts, sessions, and what
 * of a request reaches the queue of changes.
 */
#include "unit.h"
#include "control_fake.h"
#include <errno.h>

static struct fake_control fake;
static struct fake_client out; /* of both */
static struct journal *journal;
static struct overlay *overlay;
static struct control_client *cc, *low;
static struct amend *got;
static bool busy;
static uint64_t session;

static int change(void *ctx, struct amend *ch)
{
	(void)ctx;
	if (busy)
		return -EBUSY;
	amend_free(got);
	got = ch;
	return 0;
}

static void left(void *ctx, uint64_t s, const struct overlay_who *who)
{
	(void)ctx;
	(void)who;
	session = s;
}

static const struct overlay *changed(void *ctx)
{
	(void)ctx;
	return overlay;
}

static void setup(void)
{
	struct control_env env;

	busy = false;
	session = 0;
	fake_begin(&fake);
	ck_assert_int_eq(journal_new(&journal), 0);
	overlay = overlay_new();
	fake_put_in_force(&fake, "set a { 10.0.0.0/8, 192.0.2.1 }\nlayer l { block from @a }\n", 5);
	env = fake_env(&fake, 1);
	env.change = change;
	env.session = left;
	env.overlay = changed;
	env.journal = journal;
	ck_assert_int_eq(control_new(&fake.control, &env), 0);
	cc = fake_open(&fake, &out, ROLE_ADMIN, 0);
	low = fake_open(&fake, &out, ROLE_OBSERVE, 7);
	control_pid(cc, 4711);
}

static void teardown(void)
{
	control_closed(cc);
	control_closed(low);
	amend_free(got);
	got = NULL;
	overlay_put(overlay);
	journal_free(journal);
	fake_end(&fake);
}

static const char *ask_as(struct control_client *who, const char *line)
{
	amend_free(got);
	got = NULL;
	return fake_says(who, &out, line);
}

static const char *ask(const char *line)
{
	return ask_as(cc, line);
}

#define P "{\"id\":1,\"op\":\"policy\",\"changes\":"
#define S "{\"id\":1,\"op\":\"set\",\"set\":\"a\",\"action\":"

static const struct {
	const char *line, *want;
} wrong[] = {
	{P "[]}", "changes is an array"},
	{P "3}", "changes is an array"},
	{"{\"id\":1,\"op\":\"policy\"}", "changes is an array"},
	{P "[{}]}", "change 1: one of"},
	{P "[{\"add\":\"permit\"},{\"add\":\"x\",\"delete\":1}]}", "change 2: one of"},
	{P "[{\"add\":7}]}", "change 1: a rule is a text"},
	{P "[{\"add\":\"permit\",\"at\":\"middle\"}]}", "change 1: at is"},
	{P "[{\"add\":\"permit\",\"layer\":\"\"}]}", "change 1: layer is"},
	{P "[{\"add\":\"permit\",\"with\":\"x\"}]}", "change 1: \\\"with\\\" does not belong"},
	{P "[{\"delete\":0}]}", "change 1: an object is named"},
	{P "[{\"delete\":4294967296}]}", "change 1: an object is named"},
	{P "[{\"replace\":1}]}", "change 1: a rule is a text"},
	{P "[{\"delete\":1}],\"until\":\"tomorrow\"}", "until is a time"},
	{P "[{\"delete\":1}],\"until\":0}", "until is a time"},
	{P "[{\"delete\":1}],\"until\":-5}", "until is a time"},
	{P "[{\"delete\":1}],\"until\":9223372036854775807}", "until is a time"},
	{P "[{\"delete\":1}],\"until\":946684800}", "this is past"},
	{P "[{\"delete\":1}],\"until\":4102444800.5}", "until is a time"},
	{P "[{\"delete\":1}],\"until\":\"1999-12-24 18:00\"}", "this is past"},
	{P "[{\"delete\":1}],\"for\":\"0s\"}", "for is a time"},
	{P "[{\"delete\":1}],\"for\":\"99999d\"}", "for is a time"},
	{P "[{\"delete\":1}],\"for\":\"1h\",\"until\":\"2999-12-24 18:00\"}", "either"},
	{P "[{\"delete\":1}],\"why\":\"\\u001b[2J\"}", "printable"},
	{P "[{\"delete\":1}],\"why\":7}", "why is a text"},
	{P "[{\"delete\":1}],\"stay\":\"yes\"}", "stay is true or false"},
	{P "[{\"delete\":1}],\"reason\":\"x\"}", "does not take"},
	{S "\"burn\"}", "action is"},
	{S "\"add\"}", "elements is an array of at least one"},
	{S "\"add\",\"elements\":[]}", "elements is an array of at least one"},
	{S "\"add\",\"elements\":[\"10.0.0.1\",\"10.0.0.300\"]}", "element 2: \\\"10.0.0.300\\\""},
	{S "\"add\",\"elements\":[\"10.0.0.1\\u0000x\"]}", "\"malformed\""},
	{S "\"add\",\"elements\":[\"10.0.0.9-10.0.0.1\"]}", "element 1"},
	{S "\"flush\",\"elements\":[\"10.0.0.1\"],\"stay\":true}", "flush takes no elements"},
	{S "\"flush\"}", "only what is added can go by itself"},
	{S "\"load\",\"elements\":[\"1.1.1.1\"],\"stay\":true,\"for\":\"1h\"}",
	 "only what is added"},
	{S "\"test\",\"elements\":[\"10.0.0.0/8\"]}", "is no address"},
	{S "\"test\"}", "is no address"},
	{S "\"list\",\"limit\":-1}", "limit is a number"},
	{"{\"id\":1,\"op\":\"set\",\"set\":\"b\",\"action\":\"list\"}", "\"not-found\""},
	{"{\"id\":1,\"op\":\"set\",\"action\":\"list\"}", "set is the name"},
	{"{\"id\":1,\"op\":\"journal\",\"last\":-1}", "last is a number"},
};

START_TEST(wrong_requests)
{
	const char *s = ask(wrong[_i].line);

	ck_assert_msg(strstr(s, wrong[_i].want) != NULL, "%s", s);
	ck_assert_ptr_null(got);
}
END_TEST

START_TEST(roles)
{
	ck_assert_ptr_nonnull(strstr(ask_as(low, P "[{\"delete\":1}]}"), "\"denied\""));
	ck_assert_ptr_nonnull(
		strstr(ask_as(low, S "\"add\",\"elements\":[\"1.1.1.1\"]}"), "\"denied\""));
	ck_assert_ptr_nonnull(strstr(ask_as(low, S "\"list\"}"), "\"10.0.0.0/8\""));
	ck_assert_ptr_nonnull(strstr(ask_as(low, "{\"id\":1,\"op\":\"objects\"}"), "\"count\":0"));
	ck_assert_ptr_nonnull(strstr(ask_as(low, "{\"id\":1,\"op\":\"sets\"}"), "\"elements\":2"));
	ck_assert_ptr_nonnull(strstr(ask_as(low, "{\"id\":1,\"op\":\"journal\"}"), "\"count\":0"));
	ck_assert_ptr_null(got);
}
END_TEST

START_TEST(what_reaches_the_queue)
{
	struct amend_result res = {.text = "", .generation = 6};

	ask(P
	    "[{\"add\":\"permit\",\"layer\":\"l\",\"at\":\"last\"},{\"replace\":3,\"with\":\"block\"},"
	    "{\"delete\":4}],\"stay\":true,\"why\":\"ticket\",\"for\":\"1h\"}");
	ck_assert_ptr_nonnull(got);
	ck_assert_uint_eq(got->steps, 3);
	ck_assert(got->step[0].last && !strcmp(got->step[0].layer, "l"));
	ck_assert_str_eq(got->step[1].text, "block");
	ck_assert_uint_eq(got->step[2].number, 4);
	ck_assert_uint_eq(got->terms.session, 0);
	ck_assert_uint_eq(got->terms.until, got->terms.since + 3600);
	ck_assert_int_eq(got->terms.who.pid, 4711);
	ck_assert_str_eq(got->terms.who.user, "root");
	ck_assert_str_eq(got->terms.why, "ticket");
	ck_assert_uint_eq(out.len, 0);
	control_changed(fake.control, got, &res);
	ck_assert_ptr_nonnull(strstr(out.text, "\"ok\":true"));
	ck_assert_ptr_nonnull(strstr(out.text, "\"generation\":6"));
	busy = true;
	ck_assert_ptr_nonnull(strstr(ask(P "[{\"delete\":1}]}"), "\"busy\""));
}
END_TEST

START_TEST(a_connection_that_ends)
{
	ask(P "[{\"add\":\"permit\"}]}");
	ck_assert_ptr_nonnull(got);
	ck_assert_uint_ne(got->terms.session, 0);
	control_closed(cc);
	ck_assert_uint_eq(session, got->terms.session);
	cc = fake_open(&fake, &out, ROLE_ADMIN, 0);
	session = 0;
	ask(P "[{\"add\":\"permit\"}],\"stay\":true}");
	control_closed(cc);
	ck_assert_uint_eq(session, 0);
	cc = fake_open(&fake, &out, ROLE_ADMIN, 0);
}
END_TEST

START_TEST(parts)
{
	ck_assert_ptr_nonnull(
		strstr(ask(S "\"add\",\"elements\":[\"1.1.1.1\",\"1.1.1.2\"],\"part\":true}"),
		       "\"held\":2"));
	ck_assert_ptr_null(got);
	ask(S "\"add\",\"elements\":[\"2.2.2.2\"],\"stay\":true}");
	ck_assert_ptr_nonnull(got);
	ck_assert_uint_eq(got->added, 3);
	ck_assert_uint_eq(got->spans.n, 2);
	/* something else forgets them, and so does what is wrong */
	ask(S "\"add\",\"elements\":[\"1.1.1.1\"],\"part\":true}");
	ck_assert_ptr_nonnull(
		strstr(ask(S "\"delete\",\"elements\":[\"1.1.1.1\"]}"), "are forgotten"));
	ask(S "\"add\",\"elements\":[\"1.1.1.1\"],\"part\":true}");
	ck_assert_ptr_nonnull(strstr(ask(S "\"add\",\"elements\":[\"x\"]}"), "element 1"));
	ask(S "\"delete\",\"elements\":[\"3.3.3.3\"]}");
	ck_assert_uint_eq(got->removed, 0);
	ck_assert_uint_eq(got->terms.session, 0);
	ask(S "\"add\",\"elements\":[\"1.1.1.1\"],\"part\":true}");
}
END_TEST

/* The set has 10.0.0.0/8 and 192.0.2.1, and by another 172.16.0.0/12. */
static const struct {
	const char *line;
	unsigned added, removed;
} counted[] = {
	{S "\"add\",\"elements\":[\"10.1.2.3\",\"192.0.2.1\"]}", 0, 0},
	{S "\"add\",\"elements\":[\"192.0.2.1-192.0.2.2\",\"::1\",\"9.0.0.0/7\"]}", 3, 0},
	{S "\"add\",\"elements\":[\"1.1.1.1\",\"1.1.1.2\",\"1.1.1.1\",\"::7\",\"::7\"]}", 3, 0},
	{S "\"add\",\"elements\":[\"172.16.0.1\"]}", 1, 0},
	{S "\"delete\",\"elements\":[\"99.9.9.9\",\"172.16.0.1\",\"::\"]}", 0, 0},
	{S "\"delete\",\"elements\":[\"10.0.0.7\",\"0.0.0.0/0\",\"192.0.2.0/24\"]}", 0, 1},
	{S "\"delete\",\"elements\":[\"10.0.0.7\",\"10.0.0.9\",\"192.0.2.0/24\"]}", 0, 3},
	{S "\"flush\",\"stay\":true}", 0, 2},
	{S "\"load\",\"elements\":[],\"stay\":true}", 0, 2},
	{S "\"load\",\"elements\":[\"10.1.1.1\",\"4.4.4.4\"],\"stay\":true}", 1, 2},
	{S "\"load\",\"elements\":[\"10.0.0.0/9\",\"10.128.0.0/9\",\"::1\"],\"stay\":true}", 1, 1},
	{S "\"load\",\"elements\":[\"8.0.0.0/6\",\"192.0.2.1\",\"ff::\"],\"stay\":true}", 2, 0},
};

START_TEST(what_changes_is_counted)
{
	struct amend_result res = {.text = "", .generation = 6};
	char want[64];

	fake_put_in_force(&fake,
			  "set a { 10.0.0.0/8, 192.0.2.1, @b }\nset b { 172.16.0.0/12 }\n"
			  "layer l { block from @a }\n",
			  6);
	ask(counted[_i].line);
	ck_assert_ptr_nonnull(got);
	control_changed(fake.control, got, &res);
	snprintf(want, sizeof(want), "\"added\":%u", counted[_i].added);
	HAS(out.text, want);
	snprintf(want, sizeof(want), "\"removed\":%u", counted[_i].removed);
	HAS(out.text, want);
	HAS(out.text, "\"elements\":3");
}
END_TEST

START_TEST(lists)
{
	ck_assert_ptr_nonnull(strstr(ask(S "\"list\",\"limit\":1}"), "[\"10.0.0.0/8\"]"));
	ck_assert_ptr_nonnull(
		strstr(ask(S "\"test\",\"elements\":[\"10.1.2.3\"]}"), "\"in\":true"));
	ck_assert_ptr_nonnull(strstr(ask(S "\"test\",\"elements\":[\"::1\"]}"), "\"in\":false"));
}
END_TEST

Suite *suite(void)
{
	Suite *s = suite_create("control_policy");
	TCase *t = tcase_create("control_policy");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, wrong_requests, 0, sizeof(wrong) / sizeof(wrong[0]));
	tcase_add_test(t, roles);
	tcase_add_test(t, what_reaches_the_queue);
	tcase_add_test(t, a_connection_that_ends);
	tcase_add_test(t, parts);
	tcase_add_loop_test(t, what_changes_is_counted, 0, sizeof(counted) / sizeof(counted[0]));
	tcase_add_test(t, lists);
	suite_add_tcase(s, t);
	return s;
}
