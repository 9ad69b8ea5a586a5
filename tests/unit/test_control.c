/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The control server without sockets or channels: roles, framing errors, bounds, strays, slow clients.
 */
#include "unit.h"
#include "openmetrics.h"
#include "daemon/control.h"
#include "core/policy.h"
#include "daemon/ids.h"
#include <errno.h>
#include <stdlib.h>
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
static uint32_t followed, reload_seq;

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
	reload_seq = checks ? reload_seq : seq;
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
	view_init(&view);
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
	view_deinit(&view);
	loop_free(l);
}

static int load(void *ctx, const char *from, const char *path, char **data, size_t *len)
{
	(void)from;
	(void)path;
	*data = strdup(ctx);
	*len = strlen(ctx);
	return *data ? 0 : -ENOMEM;
}

static void release(void *image, size_t size)
{
	(void)size;
	free(image);
}

static const char policy_text[] =
	"settings { timeout 7s }\n"
	"authority ops { type operator; timeout 9s; on-timeout permit }\n"
	"layer guard { weight 9; permit; }\n"
	"layer default {\n\tpermit proto icmp counter pings\n\tpend proto tcp to port 22 in eth0 ask ops\n"
	"\tpermit mark 7\n\tpend proto udp hook forward out ppp0\n\tblock with reset\n}\n";

static void *compile(const char *text, size_t *size, char **print)
{
	union {
		const char *in;
		char *out; /* load() only reads it */
	} ctx = {text};
	struct policy_loader loader = {.read = load, .ctx = ctx.out};
	struct policy_diag diag;
	struct policy *p = NULL;
	void *image;
	int err = policy_parse(&p, "/etc/p.conf", &loader, &diag);

	ck_assert_msg(err == 0, "%s", diag.text ? diag.text : "?");
	policy_diag_deinit(&diag);
	ck_assert_int_eq(policy_compile(p, &image, size), 0);
	ck_assert_int_eq(policy_print(p, print), 0);
	policy_free(p);
	return image;
}

/* This policy is in force. */
static void put_in_force(const char *text)
{
	char *print;
	size_t size;
	void *image = compile(text, &size, &print);

	ck_assert_int_eq(view_set(&view, image, size, release, view.generation + 1), 0);
	view_set_text(&view, print);
	free(view.settings_text);
	view.settings_text = view_settings_block(print);
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
	expect(o, &f, "{\"id\":1,\"op\":\"reload\",\"dry_run\":false}", "\"denied\"");
	expect(o, &f, "{\"id\":1,\"op\":\"stop\"}", "\"denied\"");
	expect(o, &f, "{\"id\":1,\"op\":\"reload\",\"dry_run\":true}", "");
	ck_assert_uint_eq(f.len, 0);
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

#define COMPLETE(more) \
	"{\"id\":1,\"op\":\"complete\",\"ids\":[\"a0.1\"],\"verdict\":\"permit\"," more "}"

static const struct {
	const char *line, *error;
	uint64_t ns;
	uint8_t scope;
} lasting[] = {
	{COMPLETE("\"why\":\"because\""), NULL, 0, 0},
	{COMPLETE("\"remember\":\"8h\""), NULL, 8 * 3600 * UINT64_C(1000000000), 0},
	{COMPLETE("\"remember\":false"), NULL, MSG_REMEMBER_NOT, 0},
	{COMPLETE("\"remember\":\"365d\",\"scope\":\"flow\""), NULL, CLASSIFY_REMEMBER_MAX,
	 MSG_SCOPE(CLASSIFY_SCOPE_FLOW)},
	{COMPLETE("\"scope\":\"service\""), NULL, 0, MSG_SCOPE(CLASSIFY_SCOPE_SERVICE)},
	{COMPLETE("\"remember\":true"), "remember is a duration", 0, 0},
	{COMPLETE("\"remember\":\"366d\""), "remember is a duration", 0, 0},
	{COMPLETE("\"remember\":\"999ms\""), "remember is a duration", 0, 0},
	{COMPLETE("\"remember\":\"long\""), "remember is a duration", 0, 0},
	{COMPLETE("\"scope\":\"world\""), "scope is", 0, 0},
	{COMPLETE("\"scope\":7"), "scope is", 0, 0},
	{COMPLETE("\"why\":7"), "why is a text", 0, 0},
};

START_TEST(complete_says_for_how_long)
{
	expect(cc, &admin, lasting[_i].line, lasting[_i].error ? lasting[_i].error : "");
	ck_assert_uint_eq(nposted, lasting[_i].error ? 0 : 1);
	if (lasting[_i].error)
		return;
	ck_assert_uint_eq(posted[0].u.complete.lasting.ns, lasting[_i].ns);
	ck_assert_uint_eq(posted[0].u.complete.lasting.scope, lasting[_i].scope);
	ck_assert_uint_eq(MSG_REASON_CODE(posted[0].u.complete.reason), REASON_OPERATOR);
	answer(&posted[0], 0, PEND_OK);
	ck_assert_ptr_nonnull(strstr(admin.text, "\"remembered\":0"));
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
	expect(cc, &admin, "{\"id\":2,\"op\":\"reload\",\"dry_run\":true}", "\"busy\"");
	admin.len = 0;
	control_reloaded(c, 0, &res);
	control_reloaded(c, 0x1000, &res);
	ck_assert_ptr_nonnull(strstr(admin.text, "\"policy\""));
	ck_assert_ptr_null(strchr(admin.text, '\033'));
}
END_TEST

START_TEST(no_policy_is_said)
{
	expect(cc, &admin, "{\"id\":1,\"op\":\"test\",\"flow\":\"icmp 10.0.0.1 > 10.0.0.2\"}",
	       "is not known");
	expect(cc, &admin, "{\"id\":1,\"op\":\"show\",\"what\":\"policy\"}", "is not known");
	expect(cc, &admin, "{\"id\":1,\"op\":\"show\",\"what\":\"settings\"}", "is not known");
}
END_TEST

/* ---------------------------------------------------------------------- show ---- */

/* The lines of all replies, one after the other. */
static void lines_of(const struct fake *f, char *out)
{
	const char *p = f->text, *nl;
	json_t *v, *line;
	size_t i;

	for (*out = '\0'; (nl = strchr(p, '\n')); p = nl + 1) {
		v = json_loadb(p, (size_t)(nl - p), 0, NULL);
		json_array_foreach(json_object_get(json_object_get(v, "result"), "lines"), i, line)
		{
			out = stpcpy(out, json_string_value(line));
			out = stpcpy(out, "\n");
		}
		json_decref(v);
	}
}

START_TEST(the_text_in_force_is_shown)
{
	static char text[OUT];

	put_in_force(policy_text);
	expect(cc, &admin, "{\"id\":1,\"op\":\"show\",\"what\":\"policy\"}", "\"ok\":true");
	lines_of(&admin, text);
	ck_assert_str_eq(text, view.text);
	expect(cc, &admin, "{\"id\":1,\"op\":\"show\",\"what\":\"settings\"}", "\"ok\":true");
	lines_of(&admin, text);
	ck_assert_str_eq(text, view.settings_text);
	ck_assert_ptr_null(strstr(text, "layer"));
	expect(cc, &admin, "{\"id\":1,\"op\":\"show\",\"what\":\"x\"}", "\"invalid\"");
	expect(cc, &admin, "{\"id\":1,\"op\":\"show\"}", "\"invalid\"");
}
END_TEST

/* More than a part; a slow client; and a reload while the client is slow. */
START_TEST(a_long_text_in_parts)
{
	static char long_text[60000], shown[OUT];
	size_t len = 0;

	len += (size_t)sprintf(long_text, "layer a {\n");
	for (int i = 0; i < 1000; i++)
		len += (size_t)sprintf(long_text + len, "permit to port %d\n", i + 1);
	sprintf(long_text + len, "}\n");
	put_in_force(long_text);
	expect(cc, &admin, "{\"id\":1,\"op\":\"show\",\"what\":\"policy\"}", "\"more\":true");
	lines_of(&admin, shown);
	ck_assert_str_eq(shown, view.text);
	admin.slow = true;
	expect(cc, &admin, "{\"id\":2,\"op\":\"show\",\"what\":\"policy\"}", "");
	ck_assert_uint_eq(admin.len, 0);
	put_in_force(policy_text);
	admin.slow = false;
	control_drained(cc);
	ck_assert_ptr_nonnull(strstr(admin.text, "\"busy\""));
}
END_TEST

/* ------------------------------------------------------------------- metrics ---- */

static void answer_stats(unsigned from, bool main)
{
	for (unsigned i = from; i < nposted; i++) {
		struct msg m = {.version = MSG_VERSION, .seq = posted[i].seq};

		if (posted[i].type == MSG_STATS) {
			m.type = MSG_WORKER_STATS;
			m.u.stats.stats.pended = 7 + i;
			m.u.stats.answers = 2;
			m.u.stats.answer_ns_sum = 1500000000;
			control_answer(c, posted[i].worker, &m, -1);
		} else if (posted[i].type == MSG_MAIN_STATUS && main) {
			m.type = MSG_MAIN_STATUS;
			m.u.main.generation = 1;
			control_answer(c, MSG_MAIN, &m, -1);
		} else if (posted[i].type == MSG_RULE_HITS) {
			m.type = MSG_RULE_HITS;
			m.u.hits.rule[1].hits = 42;
			m.u.hits.rule[1].bytes = 2520;
			m.u.hits.first = posted[i].u.hits.first;
			m.u.hits.count = MSG_HITS;
			control_answer(c, MSG_MAIN, &m, -1);
		} else if (posted[i].type == MSG_LAYER_COUNTS) {
			m.type = MSG_LAYER_COUNTS;
			m.u.layers.layer[1] = (struct layer_count){
				.permit = 3, .block = 4, .pend = 5, .veto = 6};
			m.u.layers.first = posted[i].u.layers.first;
			m.u.layers.count = MSG_LAYERS;
			control_answer(c, MSG_MAIN, &m, -1);
		}
	}
}

static void check_metrics(char *text, unsigned least)
{
	static struct openmetrics m;
	char *save = NULL;

	memset(&m, 0, sizeof(m));
	for (char *p = strtok_r(text, "\n", &save); p; p = strtok_r(NULL, "\n", &save))
		ck_assert_msg(om_line(&m, p), "%s", m.why);
	ck_assert(m.eof);
	ck_assert_uint_ge(m.samples, least);
}

START_TEST(metrics_are_openmetrics)
{
	static char text[OUT];

	put_in_force(policy_text);
	expect(cc, &admin, "{\"id\":1,\"op\":\"metrics\"}", "");
	answer_stats(0, true);
	ck_assert_ptr_nonnull(strstr(admin.text, "\"ok\":true"));
	lines_of(&admin, text);
	ck_assert_ptr_nonnull(strstr(text, "pend_pended_total{worker=\"a\"} 7\n"));
	ck_assert_ptr_nonnull(strstr(text, "pend_pended_total{worker=\"b\"} 8\n"));
	ck_assert_ptr_nonnull(strstr(text, "pend_decision_seconds_sum 3.000000000\n"));
	ck_assert_ptr_nonnull(strstr(text, "pend_state{pend_state=\"ok\"} 1\n"));
	ck_assert_ptr_nonnull(
		strstr(text, "pend_rule_hits_total{rule=\"1\",layer=\"default\",action=\"permit\","
			     "file=\"/etc/p.conf\",line=\"5\",counter=\"pings\"} 42\n"));
	ck_assert_ptr_nonnull(
		strstr(text, "pend_rule_bytes_total{rule=\"1\",layer=\"default\",action=\"permit\","
			     "file=\"/etc/p.conf\",line=\"5\",counter=\"pings\"} 2520\n"));
	ck_assert_ptr_nonnull(
		strstr(text, "pend_rule_bytes_total{rule=\"2\",layer=\"default\",action=\"pend\","
			     "file=\"/etc/p.conf\",line=\"6\"} 0\n"));
	ck_assert_ptr_nonnull(
		strstr(text, "pend_layer_opinions_total{layer=\"default\",action=\"pend\"} 5\n"));
	ck_assert_ptr_nonnull(strstr(text, "pend_layer_vetoes_total{layer=\"default\"} 6\n"));
	/* a counter that is new in the status needs a row in the table: this is how to know */
	ck_assert_msg(!strstr(text, " unknown\n"), "no type in control_metrics.c for %.80s",
		      strstr(text, " unknown\n") - 40);
	check_metrics(text, 100);
}
END_TEST

/* Nothing is made up about those that do not answer. */
START_TEST(metrics_without_an_answer)
{
	static char text[OUT];
	mono_t end = mono_add(loop_clock(), 1000 * MONO_NS_PER_MS);

	expect(cc, &admin, "{\"id\":1,\"op\":\"metrics\"}", "");
	answer_stats(1, false);
	while (!admin.len && mono_before(loop_clock(), end))
		loop_once(l, end);
	lines_of(&admin, text);
	ck_assert_ptr_nonnull(strstr(text, "pend_worker_up{worker=\"a\"} 0\n"));
	ck_assert_ptr_nonnull(strstr(text, "pend_worker_up{worker=\"b\"} 1\n"));
	ck_assert_ptr_null(strstr(text, "pend_pended_total{worker=\"a\"}"));
	ck_assert_ptr_null(strstr(text, "pend_policy_generation"));
	check_metrics(text, 50);
}
END_TEST

START_TEST(a_country_needs_a_database)
{
	expect(cc, &admin, "{\"id\":1,\"op\":\"country\",\"address\":\"192.0.2.7\"}",
	       "\"unsupported\"");
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
	tcase_add_loop_test(t, complete_says_for_how_long, 0, sizeof(lasting) / sizeof(*lasting));
	tcase_add_test(t, the_rest_goes_when_there_is_room);
	tcase_add_test(t, a_cursor_that_goes_back_ends_the_walk);
	tcase_add_test(t, no_answer_is_a_timeout);
	tcase_add_test(t, a_client_gone_frees_its_requests);
	tcase_add_test(t, a_slow_follower_loses_its_subscription_once);
	tcase_add_test(t, half_closed_client_gets_its_answers_first);
	tcase_add_test(t, overlong_line_is_named);
	tcase_add_test(t, one_reload_at_a_time);
	tcase_add_test(t, no_policy_is_said);
	tcase_add_test(t, the_text_in_force_is_shown);
	tcase_add_test(t, a_long_text_in_parts);
	tcase_add_test(t, metrics_are_openmetrics);
	tcase_add_test(t, metrics_without_an_answer);
	tcase_add_test(t, a_country_needs_a_database);
	suite_add_tcase(s, t);
	return s;
}
