/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which events a client gets: `match` of the operation `events`, for the list and for those that follow. */
#include "unit.h"
#include "control_fake.h"
#include "core/flow.h"
#include <arpa/inet.h>

static struct fake_control fake;
static struct fake_client out;
static struct control_client *cc;

static void setup(void)
{
	struct control_env env;

	fake_begin(&fake);
	fake_put_in_force(&fake,
			  "authority ops { type operator } authority idp { type socket }\n"
			  "layer l { pend proto tcp to port 22 ask ops; pend proto tcp ask idp }\n",
			  1);
	env = fake_env(&fake, 1);
	env.post = NULL; /* no worker has a part in it */
	ck_assert_int_eq(control_new(&fake.control, &env), 0);
	cc = fake_open(&fake, &out, ROLE_OBSERVE, 0);
}

static void teardown(void)
{
	control_closed(cc);
	fake_end(&fake);
}

static struct pend_event pended(const char *source, uint16_t port, const char *authority,
				uint32_t rule)
{
	uint16_t index = (uint16_t)view_authority_find(&fake.view, authority);
	struct pend_event e = {.type = PEND_EVENT_PENDED,
			       .now_ns = 1,
			       .info = {.protocol = 6,
					.dest_port = port,
					.rule = rule,
					.tag = MSG_TAG(fake.view.generation, index)}};

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
		control_event(fake.control, events_add(fake.events, &some[i]));
	control_event(fake.control, events_ended(fake.events, 1, &f, 1, 1));
	control_event(fake.control, events_note(fake.events, 1, "policy 2 is in force"));
}

/* The numbers of the events that were told, in order: "1 2". */
static const char *numbers(void)
{
	static char text[64];
	unsigned seen[32] = {0};

	text[0] = '\0';
	for (const char *p = out.text; (p = strstr(p, "\"seq\":")); p++)
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

	snprintf(line, sizeof(line), "{\"id\":1,\"op\":\"events\"%s}", args);
	fake_says(cc, &out, line);
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
	ck_assert_uint_eq(fake.followed, 0);
}
END_TEST

START_TEST(so_do_those_that_follow)
{
	char args[256];

	snprintf(args, sizeof(args), ",\"follow\":true,\"match\":%s", wanted[_i].match);
	say(args);
	ck_assert_uint_eq(fake.followed, EVENTS_ALL);
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
	ck_assert_uint_eq(fake.followed, 0);
	happen();
	ck_assert_str_eq(numbers(), "");
}
END_TEST

/* Their places are others then. */
START_TEST(an_authority_goes_by_its_name)
{
	say(",\"last\":0,\"follow\":true,\"match\":{\"authority\":\"idp\"}");
	fake_put_in_force(&fake,
			  "authority idp { type socket } authority ops { type operator }\n"
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
	ck_assert_msg(strstr(out.text, "\"code\":\"invalid\""), "%s: %s", refused[_i], out.text);
	ck_assert_uint_eq(fake.followed, 1u << PEND_EVENT_LIMIT);
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
