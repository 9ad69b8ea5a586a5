/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which events a client gets: `match` of the operation `events`, for the list and for those that follow. */
#include "unit.h"
#include "core/flow.h"
#include "core/policy.h"
#include "daemon/control.h"
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct loop *l;
static struct view view;
static struct events *events;
static struct control *c;
static struct control_client *cc;
static char out[1u << 18];
static size_t len;
static uint32_t followed;

static void follow(void *ctx, uint32_t mask)
{
	(void)ctx;
	followed = mask;
}

static void put(void *client, const char *line, size_t n)
{
	(void)client;
	ck_assert_uint_lt(len + n, sizeof(out));
	memcpy(out + len, line, n);
	len += n;
	out[len] = '\0';
}

static bool backlogged(void *client)
{
	(void)client;
	return false;
}

static void shut(void *client)
{
	(void)client;
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
}

static void setup(void)
{
	struct control_env env = {
		.view = &view,
		.workers = 1,
		.config = "p",
		.follow = follow,
		.write = put,
		.backlogged = backlogged,
		.close = shut,
	};

	ck_assert_int_eq(loop_new(&l), 0);
	ck_assert_int_eq(events_new(&events), 0);
	view_init(&view);
	put_in_force("authority ops { type operator } authority idp { type socket }\n"
		     "layer l { pend proto tcp to port 22 ask ops; pend proto tcp ask idp }\n",
		     1);
	env.loop = l;
	env.events = events;
	ck_assert_int_eq(control_new(&c, &env), 0);
	cc = control_open(c, &c, ROLE_OBSERVE, 0);
}

static void teardown(void)
{
	control_closed(cc);
	control_free(c);
	events_free(events);
	view_deinit(&view);
	loop_free(l);
}

static struct pend_event pended(const char *source, uint16_t port, const char *authority,
				uint32_t rule)
{
	uint16_t index = (uint16_t)view_authority_find(&view, authority);
	struct pend_event e = {.type = PEND_EVENT_PENDED,
			       .now_ns = 1,
			       .info = {.protocol = 6,
					.dest_port = port,
					.rule = rule,
					.tag = MSG_TAG(view.generation, index)}};

	ck_assert_int_ge(flow_addr_parse(source, e.info.source, &e.info.family), 0);
	memcpy(e.info.dest, e.info.source, 16);
	return e;
}

static struct pend_event some[8];
static unsigned nsome;

/* Of all kinds; what is listed of them is then their number in this order. */
static void happen(void)
{
	struct reauth_flow f = {
		.family = 4, .protocol = 6, .dest_port = 22, .rule = 0, .source = {203, 0, 113, 9}};

	some[nsome = 0] = pended("203.0.113.7", 22, "ops", 0);
	some[++nsome] = pended("198.51.100.1", 22, "ops", 0);
	some[++nsome] = pended("203.0.113.7", 80, "idp", 1);
	some[++nsome] = pended("2001:db8::7", 22, "ops", 0);
	some[++nsome] = pended("203.0.113.8", 53, "ops", UINT32_MAX);
	some[nsome].type = PEND_EVENT_CLASSIFIED;
	some[nsome].info.protocol = 17;
	some[nsome].info.tag = 0;
	for (unsigned i = 0; i <= nsome; i++)
		control_event(c, events_add(events, &some[i]));
	control_event(c, events_ended(events, 1, &f, 1, 1));
	control_event(c, events_note(events, 1, "policy 2 is in force"));
}

/* The numbers of the events in `out`, in order: "1 2". */
static const char *numbers(void)
{
	static char text[64];
	unsigned seen[32] = {0};

	text[0] = '\0';
	for (const char *p = out; (p = strstr(p, "\"seq\":")); p++)
		seen[strtoul(p + 6, NULL, 10) % 32]++;
	for (unsigned i = 0; i < 32; i++)
		if (seen[i])
			snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%u",
				 *text ? " " : "", i);
	return text;
}

static void say(const char *args)
{
	char line[512];

	len = 0;
	out[0] = '\0';
	snprintf(line, sizeof(line), "{\"id\":1,\"op\":\"events\"%s}", args);
	control_line(cc, line, strlen(line));
}

static const struct {
	const char *match, *want;
} wanted[] = {
	{"{}", "1 2 3 4 5 6 7"},
	{"{\"source\":\"203.0.113.0/24\"}", "1 3 5 6"},
	{"{\"source\":\"203.0.113.7\"}", "1 3"},
	{"{\"source\":\"2001:db8::/32\"}", "4"},
	{"{\"family\":6}", "4"},
	{"{\"family\":4,\"port\":22}", "1 2 6"},
	{"{\"protocol\":\"udp\"}", "5"},
	{"{\"protocol\":6,\"port\":80}", "3"},
	{"{\"authority\":\"idp\"}", "3"},
	{"{\"authority\":\"ops\"}", "1 2 4"},
	{"{\"authority\":\"ops\",\"source\":\"203.0.113.0/24\"}", "1"},
	{"{\"rule\":0}", "1 2 4 6"},
	{"{\"rule\":1}", "3"},
	{"{\"port\":23}", ""},
};

START_TEST(the_list_has_what_fits)
{
	char args[256];

	happen();
	snprintf(args, sizeof(args), ",\"match\":%s", wanted[_i].match);
	say(args);
	ck_assert_str_eq(numbers(), wanted[_i].want);
	ck_assert_uint_eq(followed, 0);
}
END_TEST

START_TEST(so_do_those_that_follow)
{
	char args[256];

	snprintf(args, sizeof(args), ",\"follow\":true,\"match\":%s", wanted[_i].match);
	say(args);
	ck_assert_uint_eq(followed, EVENTS_ALL);
	happen();
	ck_assert_str_eq(numbers(), wanted[_i].want);
}
END_TEST

START_TEST(the_last_ones_that_fit)
{
	happen();
	say(",\"last\":2,\"match\":{\"source\":\"203.0.113.0/24\"}");
	ck_assert_str_eq(numbers(), "5 6");
	say(",\"last\":9,\"types\":[\"ended\"],\"match\":{\"source\":\"203.0.113.0/24\"}");
	ck_assert_str_eq(numbers(), "6");
	say(",\"last\":9,\"types\":[\"note\"],\"match\":{\"port\":22}");
	ck_assert_str_eq(numbers(), "");
}
END_TEST

START_TEST(another_request_takes_its_place)
{
	say(",\"follow\":true,\"match\":{\"authority\":\"idp\"}");
	say(",\"last\":0,\"follow\":true,\"types\":[\"note\"]");
	happen();
	ck_assert_str_eq(numbers(), "7");
	say(",\"last\":0,\"follow\":false,\"match\":{\"authority\":\"idp\"}");
	ck_assert_uint_eq(followed, 0);
	happen();
	ck_assert_str_eq(numbers(), "");
}
END_TEST

/* Their places are others then. */
START_TEST(an_authority_goes_by_its_name)
{
	say(",\"last\":0,\"follow\":true,\"match\":{\"authority\":\"idp\"}");
	put_in_force("authority idp { type socket } authority ops { type operator }\n"
		     "layer l { pend proto tcp ask idp }\n",
		     2);
	happen();
	ck_assert_str_eq(numbers(), "3");
	say(",\"last\":9,\"match\":{\"authority\":\"ops\"}");
	ck_assert_str_eq(numbers(), "1 2 4");
}
END_TEST

static const char *const refused[] = {
	"{\"sourec\":\"203.0.113.7\"}",
	"{\"source\":\"203.0.113.0/33\"}",
	"{\"port\":0}",
	"{\"authority\":\"nobody\"}",
	"{\"family\":5}",
	"7",
	"[]",
	"{\"rule\":-1}",
	"null",
};

START_TEST(a_misspelt_condition_does_not_widen)
{
	char args[256];

	say(",\"follow\":true,\"types\":[\"limit\"]");
	snprintf(args, sizeof(args), ",\"follow\":true,\"match\":%s", refused[_i]);
	say(args);
	ck_assert_msg(strstr(out, "\"code\":\"invalid\""), "%s: %s", refused[_i], out);
	ck_assert_uint_eq(followed, 1u << PEND_EVENT_LIMIT);
}
END_TEST

Suite *suite(void)
{
	Suite *s = suite_create("event_match");
	TCase *t = tcase_create("event_match");
	int n = sizeof(wanted) / sizeof(wanted[0]);

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, the_list_has_what_fits, 0, n);
	tcase_add_loop_test(t, so_do_those_that_follow, 0, n);
	tcase_add_test(t, the_last_ones_that_fit);
	tcase_add_test(t, another_request_takes_its_place);
	tcase_add_test(t, an_authority_goes_by_its_name);
	tcase_add_loop_test(t, a_misspelt_condition_does_not_widen, 0,
			    sizeof(refused) / sizeof(refused[0]));
	suite_add_tcase(s, t);
	return s;
}
