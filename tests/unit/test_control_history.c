/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The operation `history`, and what waits for the store: what is asked, pages, and what is told when it cannot be. */
#include "unit.h"
#include "control_fake.h"
#include "daemon/msg.h"
#include <errno.h>
#include <time.h>

static struct fake_control fake;
static struct fake_client out;
static struct control_client *cc;
static struct store_query asked;
static unsigned queries, syncs, begun, ended;
static struct store_which forgot;
static uint32_t seq;
static int sync_answer;

static int history(void *ctx, const struct store_query *q, uint32_t s)
{
	(void)ctx;
	asked = *q;
	seq = s;
	queries++;
	return 0;
}

static int sync_now(void *ctx, uint32_t s)
{
	(void)ctx;
	seq = s;
	syncs++;
	return sync_answer;
}

static void forget_begin(void *ctx)
{
	(void)ctx;
	begun++;
}

static void forget_end(void *ctx, const struct store_which *w)
{
	(void)ctx;
	ended++;
	forgot = w ? *w : (struct store_which){.rule = 4711};
}

static void setup(void)
{
	struct control_env env;

	queries = syncs = begun = ended = 0;
	sync_answer = 1;
	fake_begin(&fake);
	fake.room = 8;
	env = fake_env(&fake, 2);
	env.sync = sync_now;
	env.forget_begin = forget_begin;
	env.forget_end = forget_end;
	env.history = history;
	ck_assert_int_eq(control_new(&fake.control, &env), 0);
	cc = fake_open(&fake, &out, ROLE_ADMIN, 0);
}

static void teardown(void)
{
	control_closed(cc);
	fake_end(&fake);
}

#define Q(more) "{\"id\":1,\"op\":\"history\"" more "}"

static const char *ask(const char *line)
{
	return fake_says(cc, &out, line);
}

static void found(unsigned n, int64_t first)
{
	struct store_found f[200];

	ck_assert_uint_le(n, 200);
	for (unsigned i = 0; i < n; i++)
		f[i] = (struct store_found){.id = first - i,
					    .e = {.time_ms = 1769860800123,
						  .pended_ms = 7,
						  .context = 1,
						  .family = 4,
						  .protocol = 6,
						  .state = PEND_STATE_PERMITTED,
						  .verdict = PEND_VERDICT_PERMIT,
						  .reason = REASON_OPERATOR,
						  .source = {203, 0, 113, 7},
						  .dest = {192, 0, 2, 1},
						  .dest_port = 22,
						  .interface = "eth0",
						  .authority = "",
						  .layer = "default",
						  .rule = "pend",
						  .file = "p",
						  .line = 3,
						  .by = "root",
						  .why = "\x1b[31mred"}};
	fake_forget(&out);
	control_found(fake.control, seq, 0, f, n);
}

START_TEST(a_row_as_it_is_told)
{
	ask(Q(""));
	ck_assert_uint_eq(queries, 1);
	ck_assert_uint_eq(asked.limit, 50);
	ck_assert_int_eq(asked.verdict, -1);
	found(1, 9);
	HAS(out.text, "\"time\":\"2026-01-31T12:00:00.123Z\"");
	HAS(out.text, "\"source\":\"203.0.113.7\"");
	HAS(out.text, "\"state\":\"permitted\"");
	HAS(out.text, "\"by\":\"root\"");
	HAS(out.text, "\"why\":\"\\\\x1b[31mred\""); /* nothing for a terminal */
	HAS(out.text, "\"line\":3");
	HAS(out.text, "\"count\":1");
	HAS(out.text, "\"next\":null");
	ck_assert_ptr_null(strstr(out.text, "authority"));
}
END_TEST

START_TEST(pages)
{
	ask(Q(",\"limit\":450,\"from\":1000"));
	ck_assert_uint_eq(asked.limit, 200);
	ck_assert_int_eq(asked.before, 1000);
	found(200, 999);
	HAS(out.text, "\"more\":true");
	ck_assert_uint_eq(queries, 2);
	ck_assert_int_eq(asked.before, 800);
	found(200, 799);
	ck_assert_uint_eq(asked.limit, 50);
	found(50, 599);
	HAS(out.text, "\"count\":450");
	HAS(out.text, "\"next\":550");
	ck_assert_uint_eq(queries, 3);
}
END_TEST

START_TEST(filters)
{
	time_t now = time(NULL);

	ask(Q(",\"source\":\"203.0.113.0/24\",\"verdict\":\"block\",\"rule\":\"ssh\",\"authority\":\"ops\","
	      "\"since\":\"2h\",\"until\":\"2026-01-31T12:00:00Z\""));
	ck_assert_uint_eq(asked.family, 4);
	ck_assert_uint_eq(asked.prefix_len, 24);
	ck_assert_int_eq(asked.verdict, PEND_VERDICT_BLOCK);
	ck_assert_str_eq(asked.rule, "ssh");
	ck_assert_str_eq(asked.authority, "ops");
	ck_assert_int_eq(asked.until_ms, 1769860800000);
	ck_assert_int_ge(asked.since_ms, ((int64_t)now - 7201) * 1000);
	ck_assert_int_le(asked.since_ms, ((int64_t)now - 7190) * 1000);
}
END_TEST

static const struct {
	const char *line, *want;
} wrong[] = {
	{Q(",\"limit\":0"), "limit is"},
	{Q(",\"limit\":1000001"), "limit is"},
	{Q(",\"limit\":\"x\""), "limit is"},
	{Q(",\"from\":0"), "from is"},
	{Q(",\"source\":\"nobody\""), "not an address"},
	{Q(",\"verdict\":\"continue\""), "verdict is"},
	{Q(",\"verdict\":7"), "verdict is"},
	{Q(",\"since\":\"yesterday\""), "since is a time"},
	{Q(",\"since\":7"), "since is a time"},
	{Q(",\"until\":\"2026-01-31 12\""), "until is a time"},
	{Q(",\"rule\":7"), "rule is a text"},
	{Q(",\"what\":7"), "does not take"},
};

START_TEST(what_is_wrong_is_told)
{
	HAS(ask(wrong[_i].line), wrong[_i].want);
	HAS(out.text, "\"invalid\"");
	ck_assert_uint_eq(queries, 0);
}
END_TEST

START_TEST(trouble)
{
	ask(Q(""));
	fake_forget(&out);
	control_found(fake.control, seq, -EIO, NULL, 0);
	HAS(out.text, "\"system\"");
	fake_forget(&out);
	control_found(fake.control, seq, 0, NULL, 0); /* it is over */
	ck_assert_uint_eq(out.len, 0);
}
END_TEST

/* ---- what is confirmed when it is written ---- */

static void done(unsigned i, uint32_t count, uint32_t remembered)
{
	struct msg m = {.version = MSG_VERSION, .type = MSG_DONE, .seq = fake.posted[i].seq};

	m.u.done.count = count;
	m.u.done.remembered = remembered;
	fake_forget(&out);
	control_answer(fake.control, fake.posted[i].type == MSG_FORGET ? MSG_MAIN : 0, &m, -1);
}

#define COMPLETE \
	"{\"id\":1,\"op\":\"complete\",\"ids\":[\"a0.1\"],\"verdict\":\"permit\",\"remember\":\"1h\"}"

START_TEST(complete_waits_for_the_store)
{
	ask(COMPLETE);
	done(0, 1, 0); /* nothing was remembered */
	HAS(out.text, "\"ok\":true");
	ck_assert_uint_eq(syncs, 0);
	ask(COMPLETE);
	done(1, 1, 1);
	ck_assert_uint_eq(syncs, 1);
	ck_assert_uint_eq(out.len, 0);
	control_synced(fake.control, seq, 0, "");
	HAS(out.text, "\"ok\":true");
	HAS(out.text, "\"remembered\":1");
	ask(COMPLETE);
	done(2, 1, 1);
	control_synced(fake.control, seq, -ENOSPC, "the disk is full");
	HAS(out.text, "\"code\":\"store\"");
	HAS(out.text, "the disk is full");
	HAS(out.text, "\"remembered\":1");
	sync_answer = 0; /* no file */
	ask(COMPLETE);
	done(3, 1, 1);
	HAS(out.text, "\"ok\":true");
}
END_TEST

START_TEST(forget_goes_to_the_store)
{
	ask("{\"id\":1,\"op\":\"forget\",\"source\":\"203.0.113.0/24\"}");
	ck_assert_uint_eq(begun, 1);
	ck_assert_uint_eq(ended, 0);
	done(0, 3, 0);
	ck_assert_uint_eq(ended, 1);
	ck_assert_uint_eq(forgot.family, 4);
	ck_assert_uint_eq(forgot.prefix_len, 24);
	ck_assert_uint_eq(forgot.source[0], 203);
	ck_assert_uint_eq(syncs, 1);
	control_synced(fake.control, seq, 0, "");
	HAS(out.text, "\"forgotten\":3");
	/* whoever asked goes away meanwhile */
	ask("{\"id\":2,\"op\":\"forget\",\"all\":true}");
	ck_assert_uint_eq(begun, 2);
	control_closed(cc);
	cc = NULL;
	ck_assert_uint_eq(ended, 2);
	ck_assert_uint_eq(forgot.rule, 0); /* it is forgotten all the same */
}
END_TEST

Suite *suite(void)
{
	Suite *s = suite_create("control_history");
	TCase *tc = tcase_create("history");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, a_row_as_it_is_told);
	tcase_add_test(tc, pages);
	tcase_add_test(tc, filters);
	tcase_add_loop_test(tc, what_is_wrong_is_told, 0, sizeof(wrong) / sizeof(*wrong));
	tcase_add_test(tc, trouble);
	tcase_add_test(tc, complete_waits_for_the_store);
	tcase_add_test(tc, forget_goes_to_the_store);
	suite_add_tcase(s, tc);
	return s;
}
