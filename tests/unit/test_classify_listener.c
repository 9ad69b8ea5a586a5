/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Conditions on the socket that would take a connection: when it is asked for, what is made of what
 * is not known; units and their patterns. And the ends of rules.
 */
#include "unit.h"
#include "policy_help.h"
#include "core/classify_image.h"
#include "core/classify_listener.h"
#include <fnmatch.h>

static struct policy *policy;
static void *image;
static struct classifier *c;

static void load(const char *text)
{
	size_t size;

	policy = parse_good(text);
	ck_assert_int_eq(policy_compile(policy, &image, &size), 0);
	ck_assert_int_eq(classify_attach(&c, image, size), 0);
}

static void unload(void)
{
	classify_detach(c);
	free(image);
	policy_free(policy);
	c = NULL;
	image = NULL;
	policy = NULL;
}

static struct classify_listener who;
static unsigned asked, needed;

static const struct classify_listener *ask(void *arg, const struct pend_values *v, unsigned need)
{
	(void)arg;
	(void)v;
	asked++;
	needed = need;
	return &who;
}

static const struct pend_values ssh = {.family = 4,
				       .protocol = 6,
				       .has_ports = true,
				       .source = {192, 0, 2, 1},
				       .dest_port = 22,
				       .hook = 1};

static uint32_t decide(void)
{
	struct classify_context now = {.listener = ask};
	struct classify_result r;

	asked = needed = 0;
	classify_with(c, &now, &ssh, &r);
	return r.rule;
}

static uint32_t decide_text(const char *text)
{
	uint32_t rule;

	load(text);
	rule = decide();
	unload();
	return rule;
}

static void setup(void)
{
	who = (struct classify_listener){.state = LISTENER_FOUND,
					 .known = LISTENER_ALL,
					 .uid = 33,
					 .gid = 4,
					 .executable = "/usr/sbin/sshd",
					 .cgroup = "/system.slice/ssh.service"};
}

#define NONE CLASSIFY_NO_RULE

START_TEST(asked_last_and_once)
{
	load("layer a { permit user 5 to port 23; permit group 6 from 10.0.0.0/8\n"
	     "permit user 7 to port 22; permit executable \"/x\" unit a.service; permit group 4 }");
	ck_assert_uint_eq(decide(), 4);
	ck_assert_uint_eq(asked, 1);
	/* From the third rule on; what stands before it did not match anyway. */
	ck_assert_uint_eq(needed, LISTENER_ALL);
	ck_assert_uint_eq(classify_needs(c), LISTENER_ALL);
	unload();
	load("layer a { permit executable \"/x\" to port 23; permit user 33 }\n"
	     "layer b { weight 9; permit group 9; default permit }");
	ck_assert_uint_eq(decide(), 3);
	ck_assert_uint_eq(asked, 1);
	/* Layer b is asked first; the first rule of a is behind it, though it does not match. */
	ck_assert_uint_eq(needed, LISTENER_GROUP | LISTENER_USER | LISTENER_EXECUTABLE);
	unload();
	load("layer a { permit unit x.service; permit user 33 to port 22; permit group 4 to port 23 }");
	decide();
	ck_assert_uint_eq(needed, LISTENER_CGROUP | LISTENER_USER | LISTENER_GROUP);
	unload();
	/* Nothing before the condition matches, or a rule decides before it: nobody is asked. */
	load("layer a { permit user 5 to port 23; block to port 22; permit user 33 }");
	ck_assert_uint_eq(decide(), 1);
	ck_assert_uint_eq(asked, 0);
	ck_assert_uint_eq(classify_needs(c), LISTENER_USER);
	unload();
	load("layer a { permit }");
	ck_assert_uint_eq(classify_needs(c), 0);
	unload();
}
END_TEST

START_TEST(found)
{
	ck_assert_uint_eq(decide_text("layer a { permit user web group adm }"), 0);
	ck_assert_uint_eq(decide_text("layer a { permit user !web }"), NONE);
	ck_assert_uint_eq(decide_text("layer a { permit user { 0, 30-40 } }"), 0);
	ck_assert_uint_eq(decide_text("layer a { permit user { 0, 34-40, 10-32 } }"), NONE);
	ck_assert_uint_eq(decide_text("layer a { permit executable \"/usr/sbin/sshd\" }"), 0);
	ck_assert_uint_eq(decide_text("layer a { permit executable \"/usr/sbin/\" }"), 0);
	ck_assert_uint_eq(decide_text("layer a { permit executable \"/usr/sbin\" }"), NONE);
	ck_assert_uint_eq(decide_text("layer a { permit executable \"/usr/sbin/ssh\" }"), NONE);
	ck_assert_uint_eq(decide_text("layer a { permit cgroup \"/system.slice\" }"), 0);
	ck_assert_uint_eq(decide_text("layer a { permit cgroup \"/system\" }"), NONE);
	ck_assert_uint_eq(decide_text("layer a { permit cgroup \"/\" }"), 0);
	ck_assert_uint_eq(decide_text("layer a { permit unit ssh.service }"), 0);
	ck_assert_uint_eq(decide_text("layer a { permit unit !{ web.service, *.socket } }"), 0);
	/* Deleted while it runs: it is no program that anybody names. */
	who.executable = "";
	ck_assert_uint_eq(decide_text("layer a { permit executable \"/\" }"), NONE);
	ck_assert_uint_eq(decide_text("layer a { permit executable !\"/bin/\" }"), 0);
	/* Known, and yet not there: never followed. */
	who.executable = who.cgroup = NULL;
	ck_assert_uint_eq(decide_text("layer a { permit executable \"/\" }"), NONE);
	ck_assert_uint_eq(decide_text("layer a { permit cgroup \"/\" }"), NONE);
	ck_assert_uint_eq(decide_text("layer a { permit unit \"*\" }"), NONE);
}
END_TEST

/* Nobody listens: the rule does not match, negated or not. */
START_TEST(nobody)
{
	who.state = LISTENER_NONE;
	ck_assert_uint_eq(decide_text("layer a { permit user 33; permit user !33 }"), NONE);
	ck_assert_uint_eq(decide_text("layer a { block user 33; pend user !33; permit }"), 2);
}
END_TEST

/* A rule that permits does not match, all others do. */
START_TEST(not_known)
{
	static const char permits[] = "layer a { permit user 5; permit user !5 }",
			  blocks[] = "layer a { permit user 33; block user !33 }",
			  pends[] = "layer a { pend unit x.service }";
	struct classify_result r;

	who.state = LISTENER_UNKNOWN;
	ck_assert_uint_eq(decide_text(permits), NONE);
	ck_assert_uint_eq(decide_text(blocks), 1);
	ck_assert_uint_eq(decide_text(pends), 0);
	/* The same for one field, while the others count. */
	who.state = LISTENER_FOUND;
	who.known = LISTENER_GROUP;
	ck_assert_uint_eq(decide_text(permits), NONE);
	ck_assert_uint_eq(decide_text(blocks), 1);
	ck_assert_uint_eq(decide_text("layer a { block user 33 group 5; block user 9 group 4 }"),
			  1);
	/* And when there is nobody to ask. */
	load(blocks);
	classify(c, &ssh, &r);
	ck_assert_uint_eq(r.rule, 1);
	unload();
}
END_TEST

/* ------------------------------------------------------------------------- units ---- */

START_TEST(units)
{
	static const struct {
		const char *cgroup, *unit;
	} cases[] = {
		{"/system.slice/ssh.service", "ssh.service"},
		{"/system.slice/ssh.service/", "ssh.service"},
		{"/system.slice/docker.service/payload/x.slice", "docker.service"},
		{"/user.slice/user-1000.slice/user@1000.service/app.slice/foo.scope", "foo.scope"},
		{"/user.slice/user-1000.slice", "user-1000.slice"},
		{"/system.slice/a.mount", "a.mount"},
		{"/.service", ""},
		{"/x.services", ""},
		{"x.service", "x.service"},
		{"/", ""},
		{"", ""},
		{"//a.socket//b", "a.socket"},
	};
	const char *unit;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		unit = "";
		ck_assert_uint_eq(listener_unit(cases[i].cgroup, &unit), strlen(cases[i].unit));
		ck_assert_int_eq(strncmp(unit, cases[i].unit, strlen(cases[i].unit)), 0);
	}
}
END_TEST

static bool matches(const char *pattern, const char *s)
{
	return listener_pattern(pattern, strlen(pattern), s, strlen(s));
}

START_TEST(patterns)
{
	ck_assert(matches("a*b", "ab"));
	ck_assert(matches("*", ""));
	ck_assert(!matches("?", ""));
	ck_assert(matches("a[]]b", "a]b"));
	ck_assert(matches("a[b", "a[b"));
	ck_assert(matches("[!a-c]*", "d"));
	ck_assert(!matches("[!a-c]*", "b"));
	ck_assert(matches("[a-]", "-"));
	/* Quick, where one that tries everything would not come back. */
	ck_assert(
		!matches("a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b",
			 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"));
}
END_TEST

/* Does every bracket close? */
static bool closed(const char *p)
{
	for (; *p; p++) {
		if (*p != '[')
			continue;
		p += p[1] == '!' ? 2 : 1;
		p = *p ? strchr(p + 1, ']') : NULL;
		if (!p)
			return false;
	}
	return true;
}

/* As fnmatch(3) does, where both mean the same: no backslash, no class, nothing left open. */
START_TEST(patterns_as_the_shell)
{
	static const char of_pattern[] = "aab-]**??[[!", of_text[] = "aab-][";
	uint64_t state = unit_seed("classify_listener");
	char p[12], s[12];
	unsigned hits = 0;

	for (unsigned i = 0; i < 2000000; i++) {
		size_t n = unit_rand(&state) % 9, m = unit_rand(&state) % 7;

		for (size_t j = 0; j < n; j++)
			p[j] = of_pattern[unit_rand(&state) % 12];
		for (size_t j = 0; j < m; j++)
			s[j] = of_text[unit_rand(&state) % 6];
		p[n] = s[m] = '\0';
		if (!closed(p))
			continue;
		hits += matches(p, s);
		if (matches(p, s) != !fnmatch(p, s, 0))
			ck_abort_msg("\"%s\" and \"%s\": %d", p, s, matches(p, s));
	}
	ck_assert_uint_gt(hits, 10000);
}
END_TEST

/* -------------------------------------------------------------------------- ends ---- */

static uint32_t decide_at(const char *text, uint32_t clock, uint32_t minute)
{
	struct classify_context now = {.clock = clock, .minute = minute};
	struct classify_result r;

	load(text);
	classify_with(c, &now, &ssh, &r);
	unload();
	return r.rule;
}

START_TEST(until)
{
	static const char daily[] = "layer a { permit until 18:00 }",
			  once[] = "layer a { permit until \"2026-12-24 18:00\" }";
	uint32_t end = fake_minute(NULL, 2026, 12, 24, 18, 0);

	ck_assert_uint_eq(decide_at(daily, classify_clock(3, 0), 0), 0);
	ck_assert_uint_eq(decide_at(daily, classify_clock(3, 1079), 0), 0);
	ck_assert_uint_eq(decide_at(daily, classify_clock(3, 1080), 0), NONE);
	ck_assert_uint_eq(decide_at(daily, classify_clock(3, 1439), 0), NONE);
	ck_assert_uint_eq(decide_at(daily, 0, 0), 0); /* R32 */
	ck_assert_uint_eq(decide_at(once, 0, end - 1), 0);
	ck_assert_uint_eq(decide_at(once, 0, end), NONE);
	ck_assert_uint_eq(decide_at(once, 0, UINT32_MAX), NONE);
	ck_assert_uint_eq(decide_at(once, 0, 0), 0);
}
END_TEST

START_TEST(next_end)
{
	uint32_t end = fake_minute(NULL, 2026, 12, 24, 18, 0);

	load("layer a { permit until 18:00; pend until 06:00; block until \"2026-12-24 18:00\" }");
	ck_assert_uint_eq(classify_next_end(c, classify_clock(0, 5 * 60), 0), 60);
	ck_assert_uint_eq(classify_next_end(c, classify_clock(0, 6 * 60), 0), 12 * 60);
	ck_assert_uint_eq(classify_next_end(c, classify_clock(6, 18 * 60), 0), 6 * 60);
	ck_assert_uint_eq(classify_next_end(c, classify_clock(6, 1439), 0), 1);
	ck_assert_uint_eq(classify_next_end(c, classify_clock(0, 0), 0), 6 * 60);
	ck_assert_uint_eq(classify_next_end(c, classify_clock(0, 5 * 60), end - 7), 7);
	ck_assert_uint_eq(classify_next_end(c, classify_clock(0, 5 * 60), end), 60);
	ck_assert_uint_eq(classify_next_end(c, 0, end - 10000), 10000);
	ck_assert_uint_eq(classify_next_end(c, 0, end), UINT32_MAX);
	ck_assert_uint_eq(classify_next_end(c, 0, 0), UINT32_MAX);
	unload();
	load("layer a { permit time 08:00-18:00 }");
	ck_assert_uint_eq(classify_next_end(c, classify_clock(0, 1), 1), UINT32_MAX);
	unload();
}
END_TEST

START_TEST(remember)
{
	struct classify_result r;

	load("layer a { pend remember 90s scope flow end }");
	classify(c, &ssh, &r);
	ck_assert_uint_eq(r.remember_ns, 90000000000);
	ck_assert_uint_eq(r.remember_scope, CLASSIFY_SCOPE_FLOW);
	ck_assert(r.remember_end);
	unload();
	load("layer a { pend remember 365d }");
	classify(c, &ssh, &r);
	ck_assert_uint_eq(r.remember_ns, CLASSIFY_REMEMBER_MAX);
	ck_assert_uint_eq(r.remember_scope, CLASSIFY_SCOPE_SERVICE);
	ck_assert(!r.remember_end);
	unload();
}
END_TEST

/* A rule is known again where it stands elsewhere, and not in another layer or with another text. */
START_TEST(rule_keys)
{
	uint64_t key;

	load("layer a { pend to port 22 remember 90s; permit }");
	key = classify_rule_key(c, 0);
	ck_assert_uint_ne(key, 0);
	ck_assert_uint_eq(classify_rule_key(c, 0), key);
	ck_assert_uint_ne(classify_rule_key(c, 1), key);
	ck_assert_uint_eq(classify_rule_key(c, classify_rules(c)), 0);
	unload();
	load("layer a { block to port 23\n pend   to port ssh   remember 90s; permit }");
	ck_assert_uint_eq(classify_rule_key(c, 1), key);
	unload();
	load("layer b { pend to port 22 remember 90s; permit }");
	ck_assert_uint_ne(classify_rule_key(c, 0), key);
	unload();
	load("layer a { pend to port 22 remember 91s; permit }");
	ck_assert_uint_ne(classify_rule_key(c, 0), key);
	unload();
}
END_TEST

/* --------------------------------------------------------------------- countries ---- */

START_TEST(country_sets)
{
	const struct image_header *h;
	struct pend_values v = ssh;
	struct classify_result r;

	load("settings { country-database \"/geo\" }\nset CC { 10.0.0.12 }\n"
	     "layer a { permit from @CC country AA; permit country { AA, BB }\n"
	     "permit from 10.0.0.15 country !{ BB, AA }; block country { BB, AA } }");
	h = image;
	/* The named set, and one for each country: nobody finds those by a name. */
	ck_assert_uint_eq(classify_sets(c), 4);
	ck_assert_str_eq(classify_set_name(c, 0), "CC");
	for (uint32_t i = 1; i < 4; i++)
		ck_assert_str_eq(classify_set_name(c, i), "");
	ck_assert_uint_eq(classify_set_find(c, "CC"), 0);
	ck_assert_uint_eq(h->section[IMAGE_V4].n, 5);
	memcpy(v.source, (uint8_t[]){10, 0, 0, 12}, 4);
	classify(c, &v, &r);
	ck_assert_uint_eq(r.rule, 1);
	v.source[3] = 15;
	classify(c, &v, &r);
	ck_assert_uint_eq(r.rule, 2);
	v.source[3] = 14;
	classify(c, &v, &r);
	ck_assert_uint_eq(r.rule, NONE);
	unload();
}
END_TEST

Suite *suite(void)
{
	Suite *s = suite_create("classify_listener");
	TCase *t = tcase_create("listener");

	tcase_add_checked_fixture(t, setup, NULL);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, asked_last_and_once);
	tcase_add_test(t, found);
	tcase_add_test(t, nobody);
	tcase_add_test(t, not_known);
	tcase_add_test(t, units);
	tcase_add_test(t, patterns);
	tcase_add_test(t, patterns_as_the_shell);
	tcase_add_test(t, until);
	tcase_add_test(t, next_end);
	tcase_add_test(t, remember);
	tcase_add_test(t, rule_keys);
	tcase_add_test(t, country_sets);
	suite_add_tcase(s, t);
	return s;
}
