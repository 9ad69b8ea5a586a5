/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The control server without sockets or channels: roles, framing errors, bounds, strays, slow clients.
 */
#include "unit.h"
#include "daemon/control.h"
#include "daemon/ids.h"
#include <errno.h>
#include <string.h>

#define OUT (1u << 20)

struct fake {
	char text[OUT];
	size_t len;
	unsigned lines;
	bool closed, slow;
};

static struct loop *l;
static struct view view;
static struct events *events;
static struct control *c;
static struct control_client *cc;
static struct fake admin;
static struct msg posted[8192];
static unsigned nposted, room = 8192, checks;
static uint32_t followed;

static int post(void *ctx, unsigned worker, const struct msg *m)
{
	(void)ctx;
	(void)worker;
	if (nposted >= room)
		return 1;
	posted[nposted++] = *m;
	return 0;
}

static int reload(void *ctx, enum reload_kind kind, const char *text, size_t len, uint32_t seq)
{
	(void)ctx;
	(void)kind;
	(void)text;
	(void)len;
	(void)seq;
	return checks++ ? -EBUSY : 0;
}

static void follow(void *ctx, uint32_t mask)
{
	(void)ctx;
	followed = mask;
}

static void figures(void *ctx, json_t *status)
{
	(void)ctx;
	(void)status;
}

static void put(void *client, const char *line, size_t len)
{
	struct fake *f = client;

	ck_assert_uint_le(f->len + len, OUT - 1);
	ck_assert(line[len - 1] == '\n' && memchr(line, '\n', len) == line + len - 1);
	memcpy(f->text + f->len, line, len);
	f->len += len;
	f->text[f->len] = '\0';
	f->lines++;
}

static bool backlogged(void *client)
{
	return ((struct fake *)client)->slow;
}

static void shut(void *client)
{
	((struct fake *)client)->closed = true;
}

static void setup(void)
{
	struct control_env env = {
		.view = &view,
		.workers = 2,
		.config = "/etc/pend/pend.conf",
		.post = post,
		.reload = reload,
		.follow = follow,
		.figures = figures,
		.write = put,
		.backlogged = backlogged,
		.close = shut,
	};

	memset(&admin, 0, sizeof(admin));
	nposted = checks = followed = 0;
	room = 8192;
	ck_assert_int_eq(loop_new(&l), 0);
	ck_assert_int_eq(events_new(&events), 0);
	view = (struct view){.if_fd = -1};
	env.loop = l;
	env.events = events;
	ck_assert_int_eq(control_new(&c, &env), 0);
	cc = control_open(c, &admin, ROLE_ADMIN, 0);
	ck_assert_ptr_nonnull(cc);
}

static void teardown(void)
{
	control_closed(cc);
	control_free(c);
	events_free(events);
	loop_free(l);
}

/* Says a line and expects this in what comes back. */
static void expect(struct control_client *who, struct fake *f, const char *line, const char *want)
{
	f->len = 0;
	f->text[0] = '\0';
	control_line(who, line, strlen(line));
	ck_assert_msg(strstr(f->text, want), "%s: got %s", line, f->text);
}

START_TEST(greeting_tells_version_and_role)
{
	ck_assert_str_eq(admin.text,
			 "{\"pend\":{\"protocol\":1,\"role\":\"admin\",\"version\":\"" PEND_VERSION
			 "\"}}\n");
}
END_TEST

static const struct {
	const char *line, *want;
} bad[] = {
	{"", "\"malformed\""},
	{"x", "\"malformed\""},
	{"{\"id\":1,\"op\":\"version\"", "\"malformed\""},
	{"{\"id\":1,\"id\":1,\"op\":\"version\"}", "\"malformed\""},
	{"{\"id\":1,\"op\":\"version\"} x", "\"malformed\""},
	{"{\"id\":1,\"op\":\"\xff\"}", "\"malformed\""},
	{"{\"id\":1,\"op\":\"\\u0000\"}", "\"malformed\""},
	{"{\"a\":[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]}", "nested"},
	{"[]", "\"invalid\""},
	{"1", "\"invalid\""},
	{"null", "\"invalid\""},
	{"{}", "\"invalid\""},
	{"{\"op\":\"version\"}", "\"id\":null"},
	{"{\"id\":1.5,\"op\":\"version\"}", "\"id\":null"},
	{"{\"id\":[],\"op\":\"version\"}", "\"id\":null"},
	{"{\"id\":1,\"op\":1}", "\"invalid\""},
	{"{\"id\":\"x\",\"op\":\"nothing\"}", "\"id\":\"x\""},
	{"{\"id\":7,\"op\":\"version\",\"more\":1}", "does not take"},
	{"{\"id\":7,\"op\":\"version\",\" \":1}", "does not take"},
};

START_TEST(bad_lines_are_answered_and_the_client_stays)
{
	expect(cc, &admin, bad[_i].line, bad[_i].want);
	ck_assert_uint_eq(admin.lines, 2);
	ck_assert(!admin.closed);
	expect(cc, &admin, "{\"id\":9,\"op\":\"version\"}", "\"ok\":true");
}
END_TEST

START_TEST(eight_lines_of_no_json_end_it)
{
	for (int i = 0; i < CONTROL_BAD_MAX - 1; i++)
		expect(cc, &admin, "x", "\"malformed\"");
	ck_assert(!admin.closed);
	expect(cc, &admin, "x", "\"too-many-errors\"");
	ck_assert(admin.closed);
	admin.len = 0;
	control_line(cc, "{\"id\":9,\"op\":\"version\"}", 23);
	ck_assert_uint_eq(admin.len, 0);
	ck_assert_uint_eq(control_stats(c)->not_json, CONTROL_BAD_MAX);
}
END_TEST

START_TEST(observers_may_look_and_not_touch)
{
	static struct fake f;
	struct control_client *o = control_open(c, &f, ROLE_OBSERVE, 1000);

	ck_assert_ptr_nonnull(strstr(f.text, "\"observe\""));
	expect(o, &f, "{\"id\":1,\"op\":\"version\"}", "\"ok\":true");
	expect(o, &f, "{\"id\":1,\"op\":\"events\"}", "\"ok\":true");
	expect(o, &f, "{\"id\":1,\"op\":\"complete\",\"ids\":[\"a0.1\"],\"verdict\":\"permit\"}",
	       "\"denied\"");
	expect(o, &f, "{\"id\":1,\"op\":\"reload\"}", "\"denied\"");
	expect(o, &f, "{\"id\":1,\"op\":\"stop\"}", "\"denied\"");
	expect(o, &f, "{\"id\":1,\"op\":\"hookup\",\"action\":\"remove\"}", "\"denied\"");
	ck_assert_uint_eq(nposted, 0);
	expect(o, &f, "{\"id\":1,\"op\":\"hookup\",\"action\":\"verify\"}", "");
	ck_assert_uint_eq(nposted, 1);
	control_closed(o);
}
END_TEST

START_TEST(strangers_are_refused)
{
	static struct fake f;
	struct control_client *o = control_open(c, &f, ROLE_NONE, 1000);

	ck_assert_ptr_nonnull(strstr(f.text, "\"role\":null"));
	ck_assert_ptr_nonnull(strstr(f.text, "\"denied\""));
	ck_assert(f.closed);
	f.len = 0;
	control_line(o, "{\"id\":9,\"op\":\"version\"}", 23);
	ck_assert_uint_eq(f.len, 0);
	control_closed(o);
}
END_TEST

START_TEST(too_many_requests_of_one)
{
	for (int i = 0; i < CONTROL_REQUESTS_ONE; i++)
		expect(cc, &admin, "{\"id\":1,\"op\":\"status\"}", "");
	ck_assert_uint_eq(admin.len, 0);
	expect(cc, &admin, "{\"id\":1,\"op\":\"status\"}", "\"busy\"");
	expect(cc, &admin, "{\"id\":1,\"op\":\"version\"}", "\"busy\"");
}
END_TEST

static void answer(const struct msg *q, unsigned worker, int32_t status)
{
	struct msg m = {.version = MSG_VERSION, .type = MSG_DONE, .seq = q->seq};

	m.u.done.status = status;
	control_answer(c, worker, &m, -1);
}

START_TEST(answers_count_once_and_from_the_right_worker)
{
	expect(cc, &admin,
	       "{\"id\":1,\"op\":\"complete\",\"ids\":[\"a0.1\",\"b0.1\"],\"verdict\":\"permit\"}",
	       "");
	ck_assert_uint_eq(nposted, 2);
	ck_assert_uint_ne(posted[0].seq, posted[1].seq);
	answer(&posted[0], 1, PEND_OK);
	answer(&posted[1], 0, PEND_OK);
	ck_assert_uint_eq(admin.len, 0);
	answer(&posted[0], 0, PEND_OK);
	ck_assert_uint_eq(admin.len, 0);
	answer(&posted[1], 1, PEND_E_ALREADY);
	ck_assert_ptr_nonnull(strstr(admin.text, "\"completed\":1"));
	ck_assert_ptr_nonnull(strstr(admin.text, "\"already\""));
	answer(&posted[0], 0, PEND_OK);
	ck_assert_uint_eq(control_stats(c)->stray, 1);
}
END_TEST

START_TEST(the_rest_goes_when_there_is_room)
{
	room = 1;
	expect(cc, &admin,
	       "{\"id\":1,\"op\":\"complete\",\"ids\":[\"a0.1\",\"a1.1\"],\"verdict\":\"permit\"}",
	       "");
	ck_assert_uint_eq(nposted, 1);
	answer(&posted[0], 0, PEND_OK);
	ck_assert_uint_eq(admin.len, 0);
	room = 2;
	control_room(c);
	ck_assert_uint_eq(nposted, 2);
	answer(&posted[1], 0, PEND_OK);
	ck_assert_ptr_nonnull(strstr(admin.text, "\"completed\":2"));
}
END_TEST

START_TEST(a_cursor_that_goes_back_ends_the_walk)
{
	struct msg m = {.version = MSG_VERSION, .type = MSG_DONE};

	expect(cc, &admin, "{\"id\":1,\"op\":\"pending\"}", "");
	for (unsigned i = 0; i < 10 && !strstr(admin.text, "\"ok\""); i++) {
		m.seq = posted[nposted - 1].seq;
		m.u.done.cursor = 5;
		control_answer(c, posted[nposted - 1].worker, &m, -1);
	}
	ck_assert_ptr_nonnull(strstr(admin.text, "\"ok\":true"));
	ck_assert_uint_eq(nposted, 4);
}
END_TEST

START_TEST(no_answer_is_a_timeout)
{
	mono_t end = mono_add(loop_clock(), 1000 * MONO_NS_PER_MS);

	expect(cc, &admin, "{\"id\":1,\"op\":\"status\"}", "");
	while (!admin.len && mono_before(loop_clock(), end))
		loop_once(l, end);
	ck_assert_ptr_nonnull(strstr(admin.text, "degraded"));
	ck_assert_ptr_nonnull(strstr(admin.text, "does not answer"));
}
END_TEST

START_TEST(a_client_gone_frees_its_requests)
{
	static struct fake f;
	struct control_client *o = control_open(c, &f, ROLE_ADMIN, 0);

	expect(o, &f, "{\"id\":1,\"op\":\"status\"}", "");
	expect(o, &f, "{\"id\":2,\"op\":\"events\",\"follow\":true}", "\"ok\"");
	ck_assert_uint_eq(followed, EVENTS_ALL);
	control_closed(o);
	ck_assert_uint_eq(followed, 0);
	answer(&posted[0], 0, PEND_OK);
	ck_assert_uint_eq(control_stats(c)->stray, 1);
}
END_TEST

START_TEST(a_slow_follower_loses_its_subscription_once)
{
	struct pend_event e = {.type = PEND_EVENT_PENDED, .info.family = 4};

	expect(cc, &admin, "{\"id\":2,\"op\":\"events\",\"follow\":true,\"types\":[\"pended\"]}",
	       "\"ok\"");
	admin.len = 0;
	control_event(c, events_add(events, &e));
	ck_assert_ptr_nonnull(strstr(admin.text, "\"event\""));
	e.type = PEND_EVENT_LIMIT;
	admin.len = 0;
	control_event(c, events_add(events, &e));
	ck_assert_uint_eq(admin.len, 0);
	e.type = PEND_EVENT_PENDED;
	admin.slow = true;
	for (int i = 0; i < 5; i++)
		control_event(c, events_add(events, &e));
	ck_assert_ptr_nonnull(strstr(admin.text, "subscription-lost"));
	ck_assert_uint_eq(admin.lines, 4);
	ck_assert(!admin.closed);
	ck_assert_uint_eq(followed, 0);
}
END_TEST

START_TEST(half_closed_client_gets_its_answers_first)
{
	expect(cc, &admin,
	       "{\"id\":1,\"op\":\"complete\",\"ids\":[\"a0.1\"],\"verdict\":\"permit\"}", "");
	control_eof(cc);
	ck_assert(!admin.closed);
	answer(&posted[0], 0, PEND_OK);
	ck_assert(admin.closed);
}
END_TEST

START_TEST(overlong_line_is_named)
{
	admin.len = 0;
	control_overlong(cc);
	ck_assert_ptr_nonnull(strstr(admin.text, "\"too-long\""));
	ck_assert_uint_eq(control_stats(c)->overlong, 1);
}
END_TEST

START_TEST(one_reload_at_a_time)
{
	struct reload_result res = {.status = -EINVAL,
				    .errors = 1,
				    .diagnostics = "a:1: error\n\tx\033[2J\n",
				    .restart = ""};

	expect(cc, &admin, "{\"id\":1,\"op\":\"reload\"}", "");
	ck_assert_uint_eq(admin.len, 0);
	expect(cc, &admin, "{\"id\":2,\"op\":\"check\"}", "\"busy\"");
	admin.len = 0;
	control_reloaded(c, 0, &res);
	control_reloaded(c, 0x1000, &res);
	ck_assert_ptr_nonnull(strstr(admin.text, "\"policy\""));
	ck_assert_ptr_null(strchr(admin.text, '\033'));
}
END_TEST

Suite *suite(void)
{
	Suite *s = suite_create("control");
	TCase *t = tcase_create("control");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, greeting_tells_version_and_role);
	tcase_add_loop_test(t, bad_lines_are_answered_and_the_client_stays, 0,
			    sizeof(bad) / sizeof(bad[0]));
	tcase_add_test(t, eight_lines_of_no_json_end_it);
	tcase_add_test(t, observers_may_look_and_not_touch);
	tcase_add_test(t, strangers_are_refused);
	tcase_add_test(t, too_many_requests_of_one);
	tcase_add_test(t, answers_count_once_and_from_the_right_worker);
	tcase_add_test(t, the_rest_goes_when_there_is_room);
	tcase_add_test(t, a_cursor_that_goes_back_ends_the_walk);
	tcase_add_test(t, no_answer_is_a_timeout);
	tcase_add_test(t, a_client_gone_frees_its_requests);
	tcase_add_test(t, a_slow_follower_loses_its_subscription_once);
	tcase_add_test(t, half_closed_client_gets_its_answers_first);
	tcase_add_test(t, overlong_line_is_named);
	tcase_add_test(t, one_reload_at_a_time);
	suite_add_tcase(s, t);
	return s;
}
