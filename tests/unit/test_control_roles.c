/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What each role sees of authorities, and what the least of them may do. */
#include "unit.h"
#include "daemon/control.h"
#include "core/policy.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct fake {
	char text[1u << 16];
	size_t len;
};

static struct loop *l;
static struct view view;
static struct events *events;
static struct control *c;
static struct fake f;
static const char *serves; /* the authority that names the client */

static int post(void *ctx, unsigned worker, const struct msg *m)
{
	(void)ctx;
	(void)worker;
	(void)m;
	return 0;
}

static void follow(void *ctx, uint32_t mask)
{
	(void)ctx;
	(void)mask;
}

static void put(void *client, const char *line, size_t len)
{
	struct fake *to = client;

	ck_assert_uint_lt(to->len + len, sizeof(to->text));
	memcpy(to->text + to->len, line, len);
	to->len += len;
	to->text[to->len] = '\0';
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

static bool may_serve(void *ctx, void *client, const char *authority)
{
	(void)ctx;
	(void)client;
	return serves && !strcmp(serves, authority);
}

static int load(void *ctx, const char *from, const char *path, char **data, size_t *len)
{
	static const char text[] =
		"authority a { type socket; user 1000 }\nauthority b { type socket }\n"
		"authority x { type exec; command \"/bin/x\"; user 1000 }\n"
		"layer l { pend ask any { a b x } }\n";

	(void)ctx;
	(void)from;
	(void)path;
	*data = strdup(text);
	*len = strlen(text);
	return *data ? 0 : -ENOMEM;
}

static void release(void *image, size_t size)
{
	(void)size;
	free(image);
}

static void put_in_force(void)
{
	const struct policy_loader loader = {.read = load};
	struct policy_diag diag;
	struct policy *p = NULL;
	void *image;
	size_t size;

	ck_assert_int_eq(policy_parse(&p, "/etc/p.conf", &loader, &diag), 0);
	policy_diag_deinit(&diag);
	ck_assert_int_eq(policy_compile(p, &image, &size), 0);
	policy_free(p);
	ck_assert_int_eq(view_set(&view, image, size, release, 1), 0);
}

static void setup(void)
{
	struct control_env env = {.view = &view,
				  .workers = 2,
				  .config = "/etc/pend/pend.conf",
				  .post = post,
				  .follow = follow,
				  .write = put,
				  .backlogged = backlogged,
				  .close = shut,
				  .may_serve = may_serve};

	memset(&f, 0, sizeof(f));
	serves = NULL;
	ck_assert_int_eq(loop_new(&l), 0);
	ck_assert_int_eq(events_new(&events), 0);
	view_init(&view);
	put_in_force();
	env.loop = l;
	env.events = events;
	ck_assert_int_eq(control_new(&c, &env), 0);
}

static void teardown(void)
{
	control_free(c);
	events_free(events);
	view_deinit(&view);
	loop_free(l);
}

/* Says a line and expects this in what comes back. */
static void expect(struct control_client *who, const char *line, const char *want)
{
	f.len = 0;
	f.text[0] = '\0';
	control_line(who, line, strlen(line));
	ck_assert_msg(strstr(f.text, want), "%s: got %s", line, f.text);
}

START_TEST(servers_see_what_they_may_serve_and_nothing_else)
{
	static const char *const denied[] = {
		"status",      "pending",   "complete", "events", "rules",  "layers",
		"test",        "show",      "metrics",  "policy", "set",    "sets",
		"objects",     "journal",   "reload",   "check",  "hookup", "forget",
		"reauthorize", "decisions", "stop",     "unlock"};
	struct control_client *o = control_open(c, &f, ROLE_SERVE, 1000);
	char line[80];

	serves = "x";
	ck_assert_ptr_nonnull(strstr(f.text, "\"serve\""));
	expect(o, "{\"id\":1,\"op\":\"version\"}", "\"ok\":true");
	expect(o, "{\"id\":1,\"op\":\"ping\"}", "\"ok\":true");
	for (size_t i = 0; i < sizeof(denied) / sizeof(*denied); i++) {
		snprintf(line, sizeof(line), "{\"id\":1,\"op\":\"%s\"}", denied[i]);
		expect(o, line, "\"denied\"");
	}
	expect(o, "{\"id\":1,\"op\":\"authorities\"}", "\"name\":\"x\"");
	ck_assert_ptr_nonnull(strstr(f.text, "\"count\":1,"));
	ck_assert_ptr_nonnull(strstr(f.text, "/bin/x"));
	control_closed(o);
}
END_TEST

START_TEST(who_looks_sees_all_and_nobodys_keys)
{
	struct control_client *o = control_open(c, &f, ROLE_OBSERVE, 1000);

	expect(o, "{\"id\":1,\"op\":\"authorities\"}", "\"count\":5,");
	ck_assert_ptr_nonnull(strstr(f.text, "\"members\":[\"a\",\"b\",\"x\"]"));
	ck_assert_ptr_nonnull(strstr(f.text, "\"on_absent\":\"block\""));
	ck_assert_ptr_null(strstr(f.text, "/bin/x"));
	control_closed(o);
	o = control_open(c, &f, ROLE_DECIDE, 1000);
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
