/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Canonical text parses back to the same policy, and prints as itself. */
#include "unit.h"
#include "policy_random.h"
#include "core/settings.h"

static void *image_of(const struct policy *p, size_t *size)
{
	void *image = NULL;

	ck_assert_int_eq(policy_compile(p, &image, size), 0);
	return image;
}

/* But for the lines of rules, the image of the canonical text is the image of the text. */
static void check_same(const struct policy *a, const struct policy *b)
{
	struct classifier *ca = NULL, *cb = NULL;
	struct classify_rule ra, rb;
	size_t na, nb;
	void *ia = image_of(a, &na), *ib = image_of(b, &nb);
	uint32_t i;

	ck_assert_uint_eq(na, nb);
	ck_assert_mem_eq(policy_settings(a), policy_settings(b), sizeof(struct settings));
	ck_assert_int_eq(classify_attach(&ca, ia, na), 0);
	ck_assert_int_eq(classify_attach(&cb, ib, nb), 0);
	ck_assert_uint_eq(classify_rules(ca), classify_rules(cb));
	for (i = 0; classify_rule(ca, i, &ra); i++) {
		ck_assert(classify_rule(cb, i, &rb));
		ck_assert_str_eq(ra.text, rb.text);
		ck_assert_str_eq(ra.layer, rb.layer);
		ck_assert_uint_eq(ra.action, rb.action);
		ck_assert_uint_eq(ra.authority, rb.authority);
	}
	classify_detach(ca);
	classify_detach(cb);
	free(ia);
	free(ib);
}

static void check_text(const char *text)
{
	struct policy *a = parse_good(text), *b;
	char *once = print_good(a), *twice;

	b = parse_good(once);
	twice = print_good(b);
	ck_assert_str_eq(once, twice);
	check_same(a, b);
	free(once);
	free(twice);
	policy_free(a);
	policy_free(b);
}

START_TEST(random_policies)
{
	struct random_policy *rp = malloc(sizeof(*rp));
	unsigned i, good = 0;

	rp->state = unit_seed("policy_print");
	for (i = 0; i < 1000; i++) {
		struct policy *p = NULL;

		random_policy(rp);
		if (parse_text(rp->text, &p, NULL))
			continue;
		policy_free(p);
		check_text(rp->text);
		good++;
	}
	ck_assert_uint_gt(good, 400);
	free(rp);
}
END_TEST

START_TEST(odd_names)
{
	check_text("settings { control \"/a \\\"b\\\\\"; user \"\" }");
	check_text("layer a { permit in { \"a,b*\", \"#x\", \"not\", not, \"*\", \"e\\\"\" } }");
}
END_TEST

/* Every port, protocol and ICMP number survives, with or without a name. */
START_TEST(numbers)
{
	char text[128];
	unsigned i;

	for (i = 0; i < 65536; i += i < 10000 ? 1 : 97) {
		snprintf(text, sizeof(text), "layer a { permit proto { 6, 17 } to port %u }", i);
		if (i < 1024 || i % 8 == 0)
			check_text(text);
		if (i > 255)
			continue;
		snprintf(text, sizeof(text), "layer a { permit proto %u }", i);
		check_text(text);
		snprintf(text, sizeof(text), "layer a { permit icmp-type %u icmp-code !%u }", i, i);
		check_text(text);
	}
}
END_TEST

START_TEST(defaults_are_printed)
{
	struct policy *p = parse_good("");
	char *text = print_good(p);
	struct settings s;

	settings_init(&s);
	ck_assert_mem_eq(&s, policy_settings(p), sizeof(s));
	ck_assert_ptr_nonnull(strstr(text, "\tmark-mask 0x7f800000;\n"));
	ck_assert_ptr_nonnull(strstr(text, "\ttimeout 30s;\n"));
	free(text);
	policy_free(p);
}
END_TEST

Suite *suite(void)
{
	Suite *s = suite_create("policy_print");
	TCase *t = tcase_create("print");

	tcase_set_timeout(t, 120);
	tcase_add_test(t, random_policies);
	tcase_add_test(t, odd_names);
	tcase_add_test(t, numbers);
	tcase_add_test(t, defaults_are_printed);
	suite_add_tcase(s, t);
	return s;
}
