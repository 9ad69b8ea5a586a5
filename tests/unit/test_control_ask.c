/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Programs that answer, over the control protocol: serve, questions, answers, ping and the heartbeat. */
#include "unit.h"
#include "core/flow.h"
#include "core/policy.h"
#include "daemon/askers.h"
#include "daemon/control.h"
#include "daemon/ids.h"
#include "daemon/log.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define OUT (1u << 18)

struct fake {
	char text[OUT];
	size_t len;
	bool closed;
};

static struct loop *l;
static struct view view;
static struct events *events;
static struct askers *askers;
static struct control *c;
static struct fake one, two, low;
static struct control_client *cc, *other, *observer;
static struct msg posted[64];
static unsigned nposted;

static int post(void *ctx, unsigned worker, const struct msg *m)
{
	(void)ctx;
	(void)worker;
	ck_assert_uint_lt(nposted, 64);
	posted[nposted++] = *m;
	return 0;
}

static void follow(void *ctx, uint32_t mask)
{
	(void)ctx;
	(void)mask;
}

static void put(void *client, const char *line, size_t n)
{
	struct fake *f = client;

	ck_assert_uint_lt(f->len + n, OUT);
	memcpy(f->text + f->len, line, n);
	f->len += n;
	f->text[f->len] = '\0';
}

static bool backlogged(void *client)
{
	(void)client;
	return false;
}

static void shut(void *client)
{
	((struct fake *)client)->closed = true;
}

static int load(void *ctx, const char *from, const char *path, char **data, size_t *n)
{
	const char *const *text = ctx;

	(void)from;
	(void)path;
	*data = strdup(*text);
	*n = strlen(*text);
	return *data ? 0 : -ENOMEM;
}

static void release(void *image, size_t size)
{
	(void)size;
	free(image);
}

static void put_in_force(const char *text, uint32_t generation)
{
	const struct policy_loader loader = {.read = load, .ctx = &text};
	struct policy *p;
	void *image;
	size_t size;

	ck_assert_int_eq(policy_parse(&p, "p", &loader, NULL), 0);
	ck_assert_int_eq(policy_compile(p, &image, &size), 0);
	ck_assert_int_eq(view_set(&view, image, size, release, generation), 0);
	policy_free(p);
	askers_policy(askers);
}

static void setup(void)
{
	struct askers_env ask = {.view = &view, .workers = 1, .max_questions = 256, .post = post};
	struct control_env env = {
		.view = &view,
		.workers = 1,
		.config = "p",
		.post = post,
		.follow = follow,
		.write = put,
		.backlogged = backlogged,
		.close = shut,
	};

	log_set_level(0);
	nposted = 0;
	one = two = low = (struct fake){.len = 0};
	ck_assert_int_eq(loop_new(&l), 0);
	ck_assert_int_eq(events_new(&events), 0);
	view_init(&view);
	ask.loop = env.loop = l;
	ck_assert_int_eq(askers_new(&askers, &ask), 0);
	put_in_force("authority idp { type socket; timeout 5s } authority ops { type operator }\n"
		     "layer l { pend proto tcp to port 22 ask idp }\n",
		     1);
	env.events = events;
	env.ask = askers_ask(askers);
	ck_assert_int_eq(control_new(&c, &env), 0);
	cc = control_open(c, &one, ROLE_DECIDE, 7);
	other = control_open(c, &two, ROLE_ADMIN, 0);
	observer = control_open(c, &low, ROLE_OBSERVE, 8);
}

static void teardown(void)
{
	control_closed(cc);
	control_closed(other);
	control_closed(observer);
	control_free(c);
	askers_free(askers);
	events_free(events);
	view_deinit(&view);
	loop_free(l);
}

static const char *says(struct control_client *who, struct fake *f, const char *line)
{
	f->len = 0;
	f->text[0] = '\0';
	control_line(who, line, strlen(line));
	return f->text;
}

#define HAS(text, want) ck_assert_msg(strstr(text, want) != NULL, "%s is not in \"%s\"", want, text)
#define SERVE(more)     "{\"id\":1,\"op\":\"serve\",\"authority\":\"idp\"" more "}"

/* "aN.1" */
static void question(uint32_t n)
{
	struct pend_info i = {.context = ids_make(0, n, 1),
			      .family = 4,
			      .protocol = 6,
			      .source = {203, 0, 113, 7},
			      .dest = {192, 0, 2, 1},
			      .source_port = 4000,
			      .dest_port = 22,
			      .rule = 0,
			      .on_timeout = PEND_VERDICT_BLOCK,
			      .deadline_ns = mono_add(loop_now(l), 9 * MONO_NS_PER_S).ns,
			      .tag = MSG_TAG(view.generation, view_authority_find(&view, "idp"))};

	askers_question(askers, &i);
}

static void run_ms(uint64_t ms)
{
	mono_t end = mono_add(loop_clock(), ms * MONO_NS_PER_MS);

	while (mono_before(loop_clock(), end))
		ck_assert_int_eq(loop_once(l, end), 0);
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
	HAS(says(cc, &one, serves[_i].line), serves[_i].want);
}
END_TEST

START_TEST(who_may)
{
	HAS(says(observer, &low, SERVE("")), "\"denied\"");
	HAS(says(observer, &low, "{\"id\":2,\"op\":\"ping\"}"), "\"ok\":true,\"result\":{}");
	HAS(says(other, &two, SERVE("")), "\"ok\":true");
}
END_TEST

START_TEST(a_question_as_a_line)
{
	says(cc, &one, SERVE(""));
	one.len = 0;
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
	says(other, &two, SERVE(",\"max\":1"));
	question(0);
	question(1);
	says(cc, &one, SERVE(""));
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

	says(cc, &one, SERVE(""));
	question(0);
	says(other, &two, SERVE(""));
	says(cc, &one, SERVE(",\"max\":1"));
	question(1); /* goes to the other */
	snprintf(line, sizeof(line), "{\"id\":9,\"op\":\"answer\",\"answers\":[%s]}",
		 answers[_i].answers);
	HAS(says(cc, &one, line), answers[_i].want);
}
END_TEST

START_TEST(only_failures_without_an_id)
{
	says(cc, &one, SERVE(""));
	question(0);
	ck_assert_str_eq(
		says(cc, &one,
		     "{\"op\":\"answer\",\"answers\":[{\"id\":\"a0.1\",\"verdict\":\"permit\"}]}"),
		"");
	ck_assert_uint_eq(nposted, 1);
	ck_assert_uint_eq(posted[0].u.complete.verdict, PEND_VERDICT_PERMIT);
	HAS(says(cc, &one,
		 "{\"op\":\"answer\",\"answers\":[{\"id\":\"a0.1\",\"verdict\":\"permit\"}]}"),
	    "{\"id\":null,\"ok\":true");
}
END_TEST

START_TEST(what_goes_is_told)
{
	says(cc, &one, SERVE(""));
	question(0);
	one.len = 0;
	ask_gone(askers_ask(askers), ids_make(0, 0, 1));
	HAS(one.text, "{\"withdrawn\":{\"id\":\"a0.1\",\"authority\":\"idp\",\"why\":\"gone\"}}\n");
	put_in_force("layer l { permit }", 2);
	HAS(one.text, "{\"unserved\":{\"authority\":\"idp\",\"why\":\"policy\"}}\n");
	HAS(says(cc, &one, SERVE(",\"stop\":true")), "\"not-found\"");
}
END_TEST

/* ---- heartbeat ---- */

START_TEST(a_silent_one_serves_no_more)
{
	says(cc, &one, SERVE(",\"heartbeat\":1"));
	says(other, &two, SERVE(",\"max\":1"));
	question(1);
	question(2);
	run_ms(1500);
	says(cc, &one, "{\"id\":2,\"op\":\"ping\"}");
	run_ms(1500);
	ck_assert_ptr_null(strstr(one.text, "unserved"));
	ck_assert_uint_eq(control_stats(c)->silent, 0);
	says(other, &two, SERVE(",\"max\":9"));
	run_ms(800);
	ck_assert_uint_eq(control_stats(c)->silent, 1);
	HAS(one.text, "{\"unserved\":{\"authority\":\"idp\",\"why\":\"heartbeat\"}}\n");
	HAS(two.text, "\"question\""); /* it has them all */
	HAS(says(cc, &one, SERVE(",\"stop\":true")), "\"not-found\"");
	/* it goes on, and promises nothing any more */
	HAS(says(cc, &one, SERVE(",\"heartbeat\":0")), "\"ok\":true");
	run_ms(2300);
	ck_assert_uint_eq(control_stats(c)->silent, 1);
	HAS(says(cc, &one, SERVE(",\"stop\":true")), "\"ok\":true");
}
END_TEST

/* A promise ends with what is served, and with the connection. */
START_TEST(no_heart_beats_for_nothing)
{
	says(cc, &one, SERVE(",\"heartbeat\":1"));
	says(cc, &one, SERVE(",\"stop\":true"));
	says(other, &two, SERVE(",\"heartbeat\":1"));
	control_eof(other);
	ck_assert(two.closed);
	run_ms(2300);
	ck_assert_uint_eq(control_stats(c)->silent, 0);
	HAS(says(cc, &one, SERVE(",\"stop\":true")), "\"not-found\"");
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
	tcase_add_test(t, a_question_as_a_line);
	tcase_add_test(t, in_order);
	tcase_add_loop_test(t, each_answer_for_itself, 0, sizeof(answers) / sizeof(answers[0]));
	tcase_add_test(t, only_failures_without_an_id);
	tcase_add_test(t, what_goes_is_told);
	tcase_add_test(t, a_silent_one_serves_no_more);
	tcase_add_test(t, no_heart_beats_for_nothing);
	suite_add_tcase(s, t);
	return s;
}
