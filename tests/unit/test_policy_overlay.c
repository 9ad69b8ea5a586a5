/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is changed at run time over a policy: rules and their places, sets, and lists of addresses. */
#include "unit.h"
#include "core/classify.h"
#include "core/policy_overlay.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int load(void *ctx, const char *from, const char *path, char **data, size_t *len)
{
	(void)from;
	(void)path;
	*data = strdup(ctx);
	*len = strlen(ctx);
	return *data ? 0 : -ENOMEM;
}

static struct policy_diag diag;

static int parse(struct policy **out, const char *text, struct policy_overlay *v)
{
	struct policy_loader loader = {.read = load};
	union {
		const char *in;
		void *out;
	} u = {text};

	loader.ctx = u.out;
	policy_diag_deinit(&diag);
	return policy_parse_with(out, "p", &loader, v, &diag);
}

static void teardown(void)
{
	policy_diag_deinit(&diag);
}

/* Every rule of the result as "FILE:LINE TEXT", a line each. */
static char *rules_of(const char *text, const struct policy_object *o, size_t n)
{
	struct policy_overlay v = {.object = o, .objects = n};
	struct classifier *c = NULL;
	struct classify_rule rule;
	struct policy *p = NULL;
	static char buf[4096];
	void *image;
	size_t size, len = 0;
	int r = parse(&p, text, &v);

	if (r)
		return diag.text;
	ck_assert_int_eq(policy_compile(p, &image, &size), 0);
	policy_free(p);
	ck_assert_int_eq(classify_attach(&c, image, size), 0);
	buf[0] = '\0';
	for (uint32_t i = 0; classify_rule(c, i, &rule); i++)
		len += (size_t)snprintf(buf + len, sizeof(buf) - len, "%s:%u %s\n", rule.file,
					rule.line, rule.text);
	classify_detach(c);
	free(image);
	return buf;
}

static const char base[] = "layer default {\n\tpermit proto icmp\n\tdefault block\n}\n";

START_TEST(rules_first_and_last)
{
	const struct policy_object o[] = {
		{.number = 3, .layer = "", .text = "permit proto tcp to port 22"},
		{.number = 4, .layer = "default", .last = true, .text = "block proto 47;"},
		{.number = 7, .layer = "default", .text = "block from 192.0.2.1"},
		{.number = 9, .layer = "", .last = true, .text = "permit proto 50", .change = 1},
	};

	ck_assert_str_eq(rules_of(base, o, 4), "object 3:1 permit proto tcp to port ssh\n"
					       "object 7:1 block from 192.0.2.1\n"
					       "p:2 permit proto icmp\n"
					       "p:3 default block\n"
					       "object 4:1 block proto gre\n"
					       "object 9:1 permit proto esp\n");
	ck_assert_str_eq(rules_of("layer default {\n}\n", o, 3),
			 "object 3:1 permit proto tcp to port ssh\n"
			 "object 7:1 block from 192.0.2.1\n"
			 "object 4:1 block proto gre\n");
	ck_assert_str_eq(rules_of("layer default { }\n", o, 1),
			 "object 3:1 permit proto tcp to port ssh\n");
}
END_TEST

/* What is behind a rule that matches all is named by what that rule stands in. */
START_TEST(a_rule_that_matches_all)
{
	const struct policy_object o = {.number = 5, .layer = "", .text = "permit"};
	struct policy_overlay v = {.object = &o, .objects = 1};
	struct policy *p = NULL;

	ck_assert_int_eq(parse(&p, base, &v), 0);
	ck_assert_ptr_nonnull(strstr(
		diag.text, "p:2:2: warning: never reached: the rule of object 5 matches all\n"));
	policy_free(p);
}
END_TEST

START_TEST(rules_of_layers)
{
	static const char two[] = "layer a {\n\tpermit proto icmp\n}\nlayer b {\n\tblock\n}\n";
	const struct policy_object o[] = {
		{.number = 1, .layer = "b", .text = "permit proto 50"},
		{.number = 2, .layer = "a", .text = "permit proto 51"},
		{.number = 3, .layer = "b", .text = "permit proto 52"},
	};

	ck_assert_str_eq(rules_of(two, o, 3),
			 "object 2:1 permit proto ah\np:2 permit proto icmp\n"
			 "object 1:1 permit proto esp\nobject 3:1 permit proto 52\np:5 block\n");
}
END_TEST

static const struct {
	const char *text, *layer, *want;
} wrong[] = {
	{"permit proto tpc", "", "change 1:14: error: unknown protocol \"tpc\""},
	{"permit proto tpc", "", "\n  permit proto tpc\n               ^~~\n"},
	{"permit from @nobody", "", "change 1:13: error: unknown set \"nobody\""},
	{"permt proto tcp", "", "change 1:1: error: unknown action \"permt\", did you mean"},
	{"permit; permit", "", "change 1:9: error: one rule, and nothing behind it"},
	{"permit\npermit", "", "change 1:1: error: one rule"},
	{"permit }", "", "error: "},
	{"default block", "", "error: unknown action \"default\""},
	{"weight 7", "", "error: unknown action"},
	{"include \"/etc/passwd\"", "", "error: unknown action"},
	{"", "", "change 1:1: error: expected a rule"},
	{"# nothing", "", "error: expected a rule"},
	{"permit ask ops", "", "error: \"ask\" only with \"pend\""},
	{"permit proto tcp to port 22", "defalt",
	 "change 1: error: unknown layer \"defalt\", did you mean \"default\"?"},
	{"permit $x", "", "error: "},
	{"permit from {", "", "error: "},
	{"\x01\xff", "", "error: "},
};

START_TEST(wrong_rules)
{
	const struct policy_object o = {
		.number = 5, .change = 1, .layer = wrong[_i].layer, .text = wrong[_i].text};
	const char *got = rules_of(base, &o, 1);

	ck_assert_msg(strstr(got, wrong[_i].want) != NULL, "%s", got);
	ck_assert_uint_gt(diag.errors, 0);
}
END_TEST

START_TEST(wrong_rules_by_their_number)
{
	const struct policy_object o = {.number = 17, .layer = "", .text = "permit from @gone"};

	ck_assert_ptr_nonnull(
		strstr(rules_of(base, &o, 1), "object 17:13: error: unknown set \"gone\""));
	ck_assert_ptr_nonnull(strstr(rules_of("layer a { }\nlayer b { }\n", &o, 1),
				     "object 17: error: the policy has more than one layer"));
	/* what is wrong with the files is told first */
	ck_assert_ptr_null(strstr(rules_of("layer a { permt }\n", &o, 1), "object"));
}
END_TEST

/* ------------------------------------------------------------------- addresses ---- */

static struct policy_spans spans(const char *list)
{
	struct policy_span s[32];
	struct policy_spans out = {0};
	char copy[512], *save = NULL;
	size_t n = 0;

	snprintf(copy, sizeof(copy), "%s", list);
	for (char *p = strtok_r(copy, " ", &save); p; p = strtok_r(NULL, " ", &save))
		ck_assert_int_eq(policy_span_parse(p, &s[n++]), 0);
	ck_assert(policy_spans_make(&out, s, n));
	ck_assert(policy_spans_valid(out.span, out.n));
	return out;
}

static const char *print(const struct policy_spans *s)
{
	static char buf[1024];
	char one[POLICY_SPAN_TEXT];
	size_t len = 0;

	buf[0] = '\0';
	for (size_t i = 0; i < s->n; i++)
		len += (size_t)snprintf(buf + len, sizeof(buf) - len, "%s%s", i ? " " : "",
					policy_span_print(&s->span[i], one));
	return buf;
}

START_TEST(spans_by_example)
{
	struct policy_spans a = spans("10.0.0.0/9 10.128.0.0/9 ::/0 192.0.2.7-192.0.2.9 1.1.1.1"),
			    b = spans("10.1.0.0/16 255.255.255.255 2001:db8::/32"), c;

	ck_assert_str_eq(print(&a), "1.1.1.1 10.0.0.0/8 192.0.2.7-192.0.2.9 ::/0");
	ck_assert(policy_spans_within(&c, &a, &b));
	ck_assert_str_eq(print(&c), "10.1.0.0/16 2001:db8::/32");
	ck_assert(policy_spans_remove(&a, &b));
	ck_assert_str_eq(print(&a),
			 "1.1.1.1 10.0.0.0/16 10.2.0.0-10.255.255.255 192.0.2.7-192.0.2.9 "
			 "::-2001:db7:ffff:ffff:ffff:ffff:ffff:ffff "
			 "2001:db9::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
	ck_assert(policy_spans_add(&a, &c));
	ck_assert_str_eq(print(&a), "1.1.1.1 10.0.0.0/8 192.0.2.7-192.0.2.9 ::/0");
	policy_spans_deinit(&a);
	policy_spans_deinit(&b);
	policy_spans_deinit(&c);
}
END_TEST

/* 256 addresses of each family, a bit each, the first and last of all among them. */
struct bits {
	uint8_t b[512];
};

static struct policy_span random_span(uint64_t *seed, unsigned f, unsigned *lo, unsigned *hi)
{
	struct policy_span s = {.family = f ? 6 : 4};
	unsigned last = f ? 15 : 3;

	*lo = (unsigned)(unit_rand(seed) % 256);
	*hi = *lo + (unsigned)(unit_rand(seed) % 20);
	*hi = *hi > 255 ? 255 : *hi;
	memset(s.lo, 255, last + 1);
	memset(s.hi, 255, last + 1);
	s.lo[last] = (uint8_t)*lo;
	s.hi[last] = (uint8_t)*hi;
	return s;
}

static void check(const struct policy_spans *s, const struct bits *want)
{
	struct bits got = {{0}};

	ck_assert(policy_spans_valid(s->span, s->n));
	for (size_t i = 0; i < s->n; i++) {
		unsigned f = s->span[i].family == 6, last = f ? 15 : 3;

		for (unsigned k = s->span[i].lo[last]; k <= s->span[i].hi[last]; k++)
			got.b[f * 256 + k] = 1;
	}
	ck_assert_mem_eq(&got, want, sizeof(got));
}

START_TEST(spans_at_random)
{
	uint64_t seed = unit_seed("policy_overlay");
	struct policy_spans s = {0};
	struct bits want = {{0}};

	for (int round = 0; round < 4000; round++) {
		struct policy_span in[4];
		struct policy_spans some, both;
		struct bits one = {{0}}, cut;
		size_t n = 1 + unit_rand(&seed) % 4;
		bool add = unit_rand(&seed) % 2;

		for (size_t i = 0; i < n; i++) {
			unsigned f = (unsigned)(unit_rand(&seed) % 2), lo, hi;

			in[i] = random_span(&seed, f, &lo, &hi);
			memset(&one.b[f * 256 + lo], 1, hi - lo + 1);
		}
		ck_assert(policy_spans_make(&some, in, n));
		check(&some, &one);
		ck_assert(policy_spans_within(&both, &s, &some));
		for (int i = 0; i < 512; i++) {
			uint8_t *w = &want.b[i], o = one.b[i];

			cut.b[i] = *w & o;
			*w = add ? *w | o : *w & !o;
		}
		check(&both, &cut);
		ck_assert(add ? policy_spans_add(&s, &some) : policy_spans_remove(&s, &some));
		check(&s, &want);
		policy_spans_deinit(&some);
		policy_spans_deinit(&both);
	}
	policy_spans_deinit(&s);
}
END_TEST

/* ------------------------------------------------------------------------ sets ---- */

static bool matches(const char *text, struct policy_overlay *v, const char *address)
{
	struct pend_values val = {.family = 4, .protocol = 6};
	struct classify_result res;
	struct classifier *c = NULL;
	struct policy_span s;
	struct policy *p = NULL;
	void *image;
	size_t size;

	ck_assert_int_eq(policy_span_parse(address, &s), 0);
	memcpy(val.source, s.lo, 16);
	for (size_t i = 0; i < v->edits; i++)
		policy_spans_deinit(&v->edit[i].base);
	ck_assert_int_eq(parse(&p, text, v), 0);
	ck_assert_int_eq(policy_compile(p, &image, &size), 0);
	ck_assert_int_eq(classify_attach(&c, image, size), 0);
	classify(c, &val, &res);
	classify_detach(c);
	free(image);
	policy_free(p);
	return res.action == CLASSIFY_BLOCK;
}

START_TEST(sets_are_what_they_shall_be)
{
	static const char text[] = "set a { 10.0.0.0/8, 192.0.2.1 }\nlayer l { block from @a\n"
				   "permit }\n";
	struct policy_set_edit e[] = {{.set = "a"}, {.set = "gone"}};
	struct policy_overlay v = {.edit = e, .edits = 2};

	e[0].added = spans("203.0.113.7");
	e[0].removed = spans("10.1.0.0/16");
	ck_assert(matches(text, &v, "10.2.3.4"));
	ck_assert(!matches(text, &v, "10.1.3.4"));
	ck_assert(matches(text, &v, "203.0.113.7"));
	ck_assert(!matches(text, &v, "203.0.113.8"));
	ck_assert_str_eq(print(&e[0].base), "10.0.0.0/8 192.0.2.1");
	ck_assert(e[0].found && !e[1].found);
	ck_assert_ptr_nonnull(strstr(diag.text, "there is no set \"gone\" any more"));
	e[0].replaced = true;
	ck_assert(!matches(text, &v, "10.2.3.4"));
	ck_assert(matches(text, &v, "203.0.113.7"));
	policy_spans_deinit(&e[0].added);
	ck_assert(!matches(text, &v, "203.0.113.7"));
	policy_spans_deinit(&e[0].removed);
	policy_spans_deinit(&e[0].base);
}
END_TEST

/* A set that contains another has what that has now. */
START_TEST(sets_in_sets)
{
	static const char text[] = "set a { 192.0.2.1 }\nset b { @a, 192.0.2.2 }\n"
				   "layer l { block from @b\npermit }\n";
	struct policy_set_edit e[] = {{.set = "a"}};
	struct policy_overlay v = {.edit = e, .edits = 1};

	e[0].added = spans("203.0.113.7");
	e[0].removed = spans("192.0.2.1");
	ck_assert(matches(text, &v, "203.0.113.7"));
	ck_assert(matches(text, &v, "192.0.2.2"));
	ck_assert(!matches(text, &v, "192.0.2.1"));
	policy_spans_deinit(&e[0].added);
	policy_spans_deinit(&e[0].removed);
	policy_spans_deinit(&e[0].base);
}
END_TEST

Suite *suite(void)
{
	Suite *s = suite_create("policy_overlay");
	TCase *t = tcase_create("policy_overlay");

	tcase_add_checked_fixture(t, NULL, teardown);
	tcase_add_test(t, rules_first_and_last);
	tcase_add_test(t, a_rule_that_matches_all);
	tcase_add_test(t, rules_of_layers);
	tcase_add_loop_test(t, wrong_rules, 0, sizeof(wrong) / sizeof(wrong[0]));
	tcase_add_test(t, wrong_rules_by_their_number);
	tcase_add_test(t, spans_by_example);
	tcase_add_test(t, spans_at_random);
	tcase_add_test(t, sets_are_what_they_shall_be);
	tcase_add_test(t, sets_in_sets);
	suite_add_tcase(s, t);
	return s;
}
