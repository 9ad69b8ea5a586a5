/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What each role sees of authorities, and what the least of them may do. */
#include "unit.h"
#include "control_fake.h"

static struct fake_control fake;
static struct fake_client out;
static const char *serves; /* the authority that names the client */

static bool may_serve(void *ctx, void *client, const char *authority)
{
	(void)ctx;
	(void)client;
	return serves && !strcmp(serves, authority);
}

static void setup(void)
{
	struct control_env env;

	serves = NULL;
	fake_begin(&fake);
	fake_put_in_force(&fake,
			  "authority a { type socket; user 1000 }\nauthority b { type socket }\n"
			  "authority x { type exec; command \"/bin/x\"; user 1000 }\n"
			  "layer l { pend ask any { a b x } }\n",
			  1);
	env = fake_env(&fake, 2);
	env.may_serve = may_serve;
	ck_assert_int_eq(control_new(&fake.control, &env), 0);
}

static void teardown(void)
{
	fake_end(&fake);
}

/* Says a line and expects this in what comes back. */
static void expect(struct control_client *who, const char *line, const char *want)
{
	const char *got = fake_says(who, &out, line);

	ck_assert_msg(strstr(got, want), "%s: got %s", line, got);
}

START_TEST(servers_see_what_they_may_serve_and_nothing_else)
{
	static const char *const denied[] = {
		"status",      "pending",   "complete", "events", "rules",  "layers",
		"test",        "show",      "metrics",  "policy", "set",    "sets",
		"objects",     "journal",   "reload",   "check",  "hookup", "forget",
		"reauthorize", "decisions", "stop",     "unlock"};
	struct control_client *o = fake_open(&fake, &out, ROLE_SERVE, 1000);
	char line[80];

	serves = "x";
	ck_assert_ptr_nonnull(strstr(out.text, "\"serve\""));
	expect(o, "{\"id\":1,\"op\":\"version\"}", "\"ok\":true");
	expect(o, "{\"id\":1,\"op\":\"ping\"}", "\"ok\":true");
	for (size_t i = 0; i < sizeof(denied) / sizeof(*denied); i++) {
		snprintf(line, sizeof(line), "{\"id\":1,\"op\":\"%s\"}", denied[i]);
		expect(o, line, "\"denied\"");
	}
	expect(o, "{\"id\":1,\"op\":\"authorities\"}", "\"name\":\"x\"");
	ck_assert_ptr_nonnull(strstr(out.text, "\"count\":1,"));
	ck_assert_ptr_nonnull(strstr(out.text, "/bin/x"));
	control_closed(o);
}
END_TEST

START_TEST(who_looks_sees_all_and_nobodys_keys)
{
	struct control_client *o = fake_open(&fake, &out, ROLE_OBSERVE, 1000);

	expect(o, "{\"id\":1,\"op\":\"authorities\"}", "\"count\":5,");
	ck_assert_ptr_nonnull(strstr(out.text, "\"members\":[\"a\",\"b\",\"x\"]"));
	ck_assert_ptr_nonnull(strstr(out.text, "\"on_absent\":\"block\""));
	ck_assert_ptr_null(strstr(out.text, "/bin/x"));
	control_closed(o);
	o = fake_open(&fake, &out, ROLE_DECIDE, 1000);
	expect(o, "{\"id\":1,\"op\":\"authorities\"}", "/bin/x");
	control_closed(o);
}
END_TEST

Suite *suite(void)
{
	Suite *s = suite_create("control_roles");
	TCase *t = tcase_create("roles");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, servers_see_what_they_may_serve_and_nothing_else);
	tcase_add_test(t, who_looks_sees_all_and_nobodys_keys);
	suite_add_tcase(s, t);
	return s;
}
