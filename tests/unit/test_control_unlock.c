/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Codes that people bring: who is told of them, and whose word about them counts. */
#include "unit.h"
#include "control_fake.h"

static struct fake_control fake;
static struct ask *a;
static struct control_client *cc[3];
static struct fake_client out[3];

enum { PERSON, SERVER, OTHER };

static bool ask_backlogged(void *ctx, void *client)
{
	(void)ctx;
	return control_backlogged(client);
}

static void setup(void)
{
	static const struct ask_def defs[] = {
		{.name = "door", .served = true, .max_pending = 8, .timeout_ns = MONO_NS_PER_S},
		{.name = "ops", .max_pending = 8, .timeout_ns = MONO_NS_PER_S}};
	struct ask_env ask = {.max_questions = 8, .backlogged = ask_backlogged};
	struct control_env env;

	fake_begin(&fake);
	ask.loop = fake.loop;
	ck_assert_int_eq(ask_new(&a, &ask), 0);
	ck_assert_int_eq(ask_configure(a, 1, defs, 2), 0);
	env = fake_env(&fake, 0);
	env.post = NULL; /* no worker has a part in it */
	env.follow = NULL;
	env.config = NULL;
	env.ask = a;
	ck_assert_int_eq(control_new(&fake.control, &env), 0);
	for (int i = 0; i < 3; i++)
		cc[i] = fake_open(&fake, &out[i], i ? ROLE_ADMIN : ROLE_OBSERVE, i ? 0 : 65534);
}

static void teardown(void)
{
	for (int i = 0; i < 3; i++)
		control_closed(cc[i]);
	ask_free(a);
	fake_end(&fake);
}

/* What the three were told since the last time. */
static void says(int who, const char *line)
{
	for (int i = 0; i < 3; i++)
		fake_forget(&out[i]);
	control_line(cc[who], line, strlen(line));
}

static void told(int who, const char *text)
{
	ck_assert_msg(strstr(out[who].text, text) != NULL, "%s is not in %s", text, out[who].text);
}

static void not_told(int who)
{
	ck_assert_str_eq(out[who].text, "");
}

#define BRING(source, code)                                                       \
	"{\"id\":1,\"op\":\"unlock\",\"authority\":\"door\",\"source\":\"" source \
	"\",\"code\":\"" code "\"}"
#define SERVE "{\"id\":9,\"op\":\"serve\",\"authority\":\"door\"}"

static unsigned token(void)
{
	const char *at = strstr(out[SERVER].text, "\"token\":");

	ck_assert_ptr_nonnull(at);
	return (unsigned)strtoul(at + 8, NULL, 10);
}

static void word(int who, unsigned t, const char *rest)
{
	char line[512];

	snprintf(line, sizeof(line), "{\"id\":2,\"op\":\"unlocked\",\"token\":%u,%s}", t, rest);
	says(who, line);
}

START_TEST(opened)
{
	unsigned t;

	says(SERVER, SERVE);
	says(PERSON, BRING("2001:DB8:0::7", "123 \\u00e4"));
	told(SERVER, "\"source\":\"2001:db8::7\"");
	told(SERVER, "\"code\":\"123 \xc3\xa4\"");
	told(SERVER, "\"uid\":65534");
	told(SERVER, "\"authority\":\"door\"");
	not_told(PERSON);
	t = token();
	word(OTHER, t, "\"ok\":true");
	told(OTHER, "not-found");
	not_told(PERSON);
	word(SERVER, t, "\"ok\":true,\"open_ms\":5,\"why\":\"alice\\u001b\"");
	told(PERSON, "{\"id\":1,\"ok\":true,\"result\":{\"open_ms\":5,\"why\":\"alice\\\\x1b\"}}");
	told(SERVER, "\"ok\":true");
	word(SERVER, t, "\"ok\":true");
	told(SERVER, "not-found");
	not_told(PERSON);
	ck_assert_uint_eq(control_stats(fake.control)->unlocks, 1);
	ck_assert_uint_eq(control_stats(fake.control)->unlocks_refused, 0);
}
END_TEST

START_TEST(refused)
{
	says(SERVER, SERVE);
	says(PERSON, BRING("192.0.2.1", "1"));
	word(SERVER, token(), "\"ok\":false,\"why\":\"no\"");
	told(PERSON, "\"code\":\"denied\",\"message\":\"no\"");
	says(PERSON, BRING("192.0.2.1", "1"));
	word(SERVER, token(), "\"ok\":false");
	told(PERSON, "it was refused");
	ck_assert_uint_eq(control_stats(fake.control)->unlocks_refused, 2);
}
END_TEST

START_TEST(locked)
{
	unsigned t;

	says(SERVER, SERVE);
	says(PERSON, "{\"id\":1,\"op\":\"lock\",\"authority\":\"door\"}");
	told(PERSON, "\"code\":\"denied\"");
	not_told(SERVER);
	says(OTHER, "{\"id\":1,\"op\":\"lock\",\"authority\":\"door\"}");
	told(SERVER, "{\"lock\":{\"authority\":\"door\",\"token\":");
	ck_assert_ptr_null(strstr(out[SERVER].text, "source"));
	t = token();
	word(SERVER, t, "\"ok\":true,\"why\":\"2\"");
	told(OTHER, "{\"id\":1,\"ok\":true,\"result\":{\"why\":\"2\"}}");
	says(OTHER, "{\"id\":1,\"op\":\"lock\",\"authority\":\"door\",\"source\":\"::FFFF\"}");
	told(SERVER, "\"source\":\"::ffff\"");
	word(SERVER, token(), "\"ok\":false");
	told(OTHER, "\"code\":\"denied\"");
	ck_assert_uint_eq(control_stats(fake.control)->unlocks_refused, 0); /* it was no code */
	says(OTHER, "{\"id\":1,\"op\":\"lock\",\"authority\":\"door\",\"source\":7}");
	told(OTHER, "\"code\":\"invalid\"");
	says(OTHER, "{\"id\":1,\"op\":\"lock\",\"authority\":\"ops\"}");
	told(OTHER, "\"code\":\"not-found\"");
}
END_TEST

static const struct {
	const char *line, *code;
} wrong[] = {
	{BRING("192.0.2.1", "1"), "absent"},
	{BRING("192.0.2.0/24", "1"), "invalid"},
	{BRING("example.org", "1"), "invalid"},
	{BRING("192.0.2.1", ""), "invalid"},
	{BRING("192.0.2.1", "1\\n"), "invalid"},
	{BRING("192.0.2.1", "12345678901234567890123456789012345678901234567890123456789012345"),
	 "invalid"},
	{"{\"id\":1,\"op\":\"unlock\",\"authority\":\"door\",\"source\":\"192.0.2.1\"}", "invalid"},
	{"{\"id\":1,\"op\":\"unlock\",\"authority\":\"ops\",\"source\":\"::1\",\"code\":\"1\"}",
	 "not-found"},
	{"{\"id\":1,\"op\":\"unlock\",\"authority\":\"no\",\"source\":\"::1\",\"code\":\"1\"}",
	 "not-found"},
	{"{\"id\":1,\"op\":\"unlocked\",\"token\":1,\"ok\":true}", "not-found"},
	{"{\"id\":1,\"op\":\"unlocked\",\"token\":-1,\"ok\":true}", "invalid"},
	{"{\"id\":1,\"op\":\"unlocked\",\"token\":4294967296,\"ok\":true}", "invalid"},
	{"{\"id\":1,\"op\":\"unlocked\",\"token\":1,\"ok\":1}", "invalid"},
	{"{\"id\":1,\"op\":\"unlocked\",\"ok\":true}", "invalid"},
};

START_TEST(nothing_done)
{
	char want[40];

	says(PERSON, wrong[_i].line);
	snprintf(want, sizeof(want), "\"code\":\"%s\"", wrong[_i].code);
	told(PERSON, want);
	not_told(SERVER);
}
END_TEST

/* Another request's number is no token, even when one knows it. */
START_TEST(token_of_another_kind)
{
	unsigned t;

	says(SERVER, SERVE);
	says(OTHER,
	     "{\"id\":3,\"op\":\"unlock\",\"authority\":\"door\",\"source\":\"::1\",\"code\":\"1\"}");
	t = token();
	word(PERSON, t, "\"ok\":true");
	told(PERSON, "not-found");
	word(SERVER, t + (1u << 24), "\"ok\":true");
	told(SERVER, "not-found");
}
END_TEST

static void wait_s(unsigned s)
{
	mono_t end = mono_add(loop_clock(), s * MONO_NS_PER_S);

	while (mono_before(loop_clock(), end))
		ck_assert_int_eq(loop_once(fake.loop, end), 0);
}

START_TEST(server_goes)
{
	says(SERVER, SERVE);
	says(PERSON, BRING("192.0.2.1", "1"));
	out[PERSON].len = 0;
	control_closed(cc[SERVER]);
	cc[SERVER] = NULL;
	told(PERSON, "\"code\":\"absent\"");
}
END_TEST

START_TEST(person_goes)
{
	unsigned t;

	says(SERVER, SERVE);
	says(PERSON, BRING("192.0.2.1", "1"));
	t = token();
	control_closed(cc[PERSON]);
	cc[PERSON] = NULL;
	word(SERVER, t, "\"ok\":true");
	told(SERVER, "not-found");
}
END_TEST

START_TEST(server_is_silent)
{
	says(SERVER, SERVE);
	says(PERSON, BRING("192.0.2.1", "1"));
	wait_s(CONTROL_DEADLINE_MS / 1000 + 1);
	told(PERSON, "\"code\":\"timeout\"");
	out[SERVER].slow = true;
	says(PERSON, BRING("192.0.2.1", "1"));
	told(PERSON, "\"code\":\"absent\"");
}
END_TEST

Suite *suite(void)
{
	Suite *s = suite_create("control_unlock");
	TCase *t = tcase_create("control_unlock");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 20);
	tcase_add_test(t, opened);
	tcase_add_test(t, refused);
	tcase_add_test(t, locked);
	tcase_add_loop_test(t, nothing_done, 0, sizeof(wrong) / sizeof(wrong[0]));
	tcase_add_test(t, token_of_another_kind);
	tcase_add_test(t, server_goes);
	tcase_add_test(t, person_goes);
	tcase_add_test(t, server_is_silent);
	suite_add_tcase(s, t);
	return s;
}
