/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Policies in use: what is attached, what is refused, what is counted and what is taken over. */
#include "daemon/snapshot.h"
#include "core/policy.h"
#include "io/policyfile.h"
#include "unit.h"
#include "tests/unit/policy_help.h"
#include <arpa/inet.h>
#include <unistd.h>

static const char three_rules[] = "layer default {\n"
				  "\tblock from 10.0.0.0/8\n"
				  "\tpermit proto tcp to port 22\n"
				  "\tblock\n"
				  "}\n";

/* A sealed memory file with an image of the policy; `flip` spoils one byte of it. */
static int file_of(const char *text, size_t *size, int flip)
{
	struct policy *p = parse_good(text);
	void *image = NULL;
	int fd;

	ck_assert_int_eq(policy_compile(p, &image, size), 0);
	policy_free(p);
	if (flip >= 0)
		((uint8_t *)image)[flip] ^= 0xff;
	fd = policyfile_image_fd(image, *size);
	ck_assert_int_ge(fd, 0);
	free(image);
	return fd;
}

static int image_file(size_t *size, int flip)
{
	return file_of(three_rules, size, flip);
}

/* The first policy, with `old` NULL, or the one that follows it. */
static struct snapshot *snap(const char *text, struct snapshot *old)
{
	struct snapshot *s = NULL;
	size_t size;
	int fd = file_of(text, &size, -1);

	if (old)
		ck_assert_int_eq(snapshot_after(&s, fd, size, old->generation + 1, old), 0);
	else
		ck_assert_int_eq(snapshot_from_fd(&s, fd, size, 1, 2), 0);
	close(fd);
	return s;
}

static uint64_t hits(const struct snapshot *s, uint32_t rule)
{
	struct rule_count n;

	snapshot_count(s, rule, &n);
	return n.hits;
}

static uint32_t rule_with(const struct snapshot *s, const char *text, unsigned which)
{
	struct classify_rule r;

	for (uint32_t i = 0; i < s->rules; i++)
		if (classify_rule(s->classifier, i, &r) && strstr(r.text, text) && !which--)
			return i;
	ck_abort_msg("no rule \"%s\"", text);
	return 0;
}

START_TEST(hits_are_summed_over_workers)
{
	struct snapshot *s = NULL;
	struct rule_count n;
	size_t size;
	int fd = image_file(&size, -1);

	ck_assert_int_eq(snapshot_from_fd(&s, fd, size, 7, 3), 0);
	close(fd); /* stays the caller's */
	ck_assert_int_eq(s->generation, 7);
	ck_assert(s->rules >= 3);
	snapshot_hit(s, 0, 1, 60, 1000);
	snapshot_hit(s, 2, 1, 100, 3000);
	snapshot_hit(s, 2, 1, 40, 2000);
	snapshot_hit(s, 1, 0, 60, 500);
	snapshot_hit(s, 1, s->rules, 60, 1); /* no such rule: nothing */
	snapshot_hit(s, 2, UINT32_MAX, 60, 1);
	snapshot_count(s, 1, &n);
	ck_assert(n.hits == 3 && n.bytes == 200 && n.last_ns == 2000);
	snapshot_count(s, 0, &n);
	ck_assert(n.hits == 1 && n.bytes == 60 && n.last_ns == 500);
	snapshot_count(s, 2, &n);
	ck_assert(n.hits == 0 && n.bytes == 0 && n.last_ns == 0);
	snapshot_count(s, UINT32_MAX, &n);
	ck_assert(n.hits == 0);
	snapshot_free(s);
	snapshot_free(NULL);
}
END_TEST

START_TEST(a_bad_image_is_refused)
{
	struct snapshot *s = NULL;
	size_t size;
	int fd = image_file(&size, 0), good = image_file(&size, -1);

	ck_assert(snapshot_from_fd(&s, fd, size, 1, 1) < 0);
	ck_assert(snapshot_from_fd(&s, good, size - 1, 1, 1) < 0);
	ck_assert(snapshot_from_fd(&s, -1, size, 1, 1) < 0);
	ck_assert_ptr_null(s);
	close(fd);
	close(good);
}
END_TEST

START_TEST(hits_go_on_where_a_rule_stays)
{
	struct snapshot *a = snap(
		"layer x { permit to port 22; block from 10.0.0.0/8; block from 10.0.0.0/8;"
		" permit from 192.0.2.0/24 }\nlayer y { permit to port 22 }",
		NULL);
	struct snapshot *b, *c;
	struct rule_count n;
	uint32_t twice;

	for (uint32_t i = 0; i < a->rules; i++)
		for (uint32_t k = 0; k <= i; k++)
			snapshot_hit(a, k % 2, i, 100, 1000 + i);
	b = snap(
		"layer x { block from 10.0.0.0/8; permit to port 23; permit to port 22; block from 10.0.0.0/8;"
		" block from 10.0.0.0/8 }\nlayer z { permit to port 22 }",
		a);
	twice = rule_with(b, "10.0.0.0/8", 0);
	ck_assert_uint_eq(hits(b, twice), hits(a, rule_with(a, "10.0.0.0/8", 0)));
	ck_assert_uint_eq(hits(b, rule_with(b, "10.0.0.0/8", 1)),
			  hits(a, rule_with(a, "10.0.0.0/8", 1)));
	ck_assert_uint_eq(hits(b, rule_with(b, "10.0.0.0/8", 2)), 0); /* there was no third */
	ck_assert_uint_eq(hits(b, rule_with(b, "port telnet", 0)), 0);
	ck_assert_uint_eq(hits(b, rule_with(b, "port ssh", 1)), 0); /* another layer */
	snapshot_count(b, twice, &n);
	ck_assert(n.bytes == n.hits * 100 && n.last_ns >= 1000);
	/* both are counted in until all workers have the new one; nothing is counted twice */
	snapshot_hit(a, 0, rule_with(a, "10.0.0.0/8", 0), 50, 5000);
	snapshot_hit(b, 1, twice, 60, 4000);
	ck_assert_uint_eq(hits(b, twice), n.hits + 2);
	snapshot_settle(b);
	snapshot_settle(b); /* once */
	ck_assert_uint_eq(hits(b, twice), n.hits + 2);
	snapshot_count(b, twice, &n);
	ck_assert_uint_eq(n.last_ns, 5000);
	snapshot_free(a);
	ck_assert_uint_eq(hits(b, twice), n.hits);
	/* one that is never settled, and its successor */
	c = snap("layer x { block from 10.0.0.0/8 }", b);
	a = snap("layer x { permit to port 9; block from 10.0.0.0/8 }", c);
	snapshot_hit(c, 0, rule_with(c, "10.0.0.0/8", 0), 60, 6000);
	ck_assert_uint_eq(hits(a, rule_with(a, "10.0.0.0/8", 0)), n.hits + 1);
	snapshot_free(c);
	snapshot_free(b);
	ck_assert_uint_eq(hits(a, rule_with(a, "10.0.0.0/8", 0)), n.hits + 1);
	snapshot_free(a);
}
END_TEST

START_TEST(layers_say_what_they_say)
{
	struct snapshot *a = snap("layer x { permit to port 22 }\nlayer y { block to port 22 }",
				  NULL);
	uint32_t x = strcmp(classify_layer_name(a->classifier, 0), "x") != 0, y = !x;
	struct layer_count n;
	struct snapshot *b;

	snapshot_said(a, 0, x, CLASSIFY_PERMIT, false);
	snapshot_said(a, 1, x, CLASSIFY_PEND, false);
	snapshot_said(a, 1, x, CLASSIFY_BLOCK, false);
	snapshot_said(a, 1, y, CLASSIFY_BLOCK, true);
	snapshot_said(a, 1, a->layers, CLASSIFY_BLOCK, true); /* no such layer: nothing */
	snapshot_count_layer(a, x, &n);
	ck_assert(n.permit == 1 && n.pend == 1 && n.block == 1 && n.veto == 0);
	snapshot_count_layer(a, y, &n);
	ck_assert(n.permit == 0 && n.pend == 0 && n.block == 1 && n.veto == 1);
	b = snap("layer y { block to port 23 }", a);
	snapshot_settle(b);
	snapshot_free(a);
	snapshot_said(b, 0, 0, CLASSIFY_BLOCK, false);
	snapshot_count_layer(b, 0, &n);
	ck_assert(n.block == 2 && n.veto == 1);
	snapshot_count_layer(b, 1, &n);
	ck_assert(n.block == 0);
	snapshot_free(b);
}
END_TEST

static bool take(struct snapshot *s, uint32_t rule, uint8_t last)
{
	const uint8_t from[16] = {192, 0, 2, last};

	return limiter_take(s->limiter[0], classify_limit_of(s->classifier, rule), 4, from,
			    1000000000000);
}

START_TEST(limits_are_not_full_again)
{
	static const char rate[] = "rate 1/hour burst 1";
	struct snapshot *a = snap(
		"layer x { permit to port 21 quota 9 per source;"
		" permit to port 22 quota 3 per source; permit to port 25 rate 1/hour burst 1 }",
		NULL);
	struct snapshot *b, *c;

	for (unsigned i = 0; i < 3; i++)
		ck_assert(take(a, 1, 1));
	ck_assert(!take(a, 1, 1) && take(a, 1, 2));
	ck_assert(take(a, 2, 1) && !take(a, 2, 1));
	/* in another place, and behind a new limit */
	b = snap(
		"layer x { permit to port 99 quota 3 per source; permit to port 25 rate 1/hour burst 1;"
		" permit to port 22 quota 3 per source }",
		a);
	c = snap("layer x { permit to port 22 quota 3 per source }", a); /* that is dropped */
	snapshot_free(c);
	snapshot_take_over(b, a, 0);
	snapshot_take_over(b, a, 0);
	snapshot_settle(b);
	snapshot_free(a);
	ck_assert(!take(b, rule_with(b, rate, 0), 1));
	ck_assert(!take(b, rule_with(b, "port ssh", 0), 1));
	ck_assert(take(b, rule_with(b, "port ssh", 0), 2) &&
		  take(b, rule_with(b, "port ssh", 0), 2));
	ck_assert(!take(b, rule_with(b, "port ssh", 0), 2));
	for (unsigned i = 0; i < 3; i++)
		ck_assert(take(b, rule_with(b, "port 99", 0), 1));
	ck_assert(!take(b, rule_with(b, "port 99", 0), 1));
	/* without limits, and with them again: from the beginning */
	a = snap("layer x { permit }", b);
	snapshot_take_over(a, b, 0);
	snapshot_settle(a);
	snapshot_free(b);
	b = snap("layer x { permit to port 22 quota 3 per source }", a);
	snapshot_take_over(b, a, 0);
	ck_assert(take(b, rule_with(b, "port ssh", 0), 1));
	snapshot_free(a);
	snapshot_free(b);
}
END_TEST

static struct classify_edit edit_of(const struct snapshot *s, const char *set, const char *lo,
				    const char *hi, bool remove)
{
	struct classify_edit e = {
		.set = classify_set_find(s->classifier, set), .family = 4, .remove = remove};

	ck_assert_int_eq(inet_pton(AF_INET, lo, e.lo), 1);
	ck_assert_int_eq(inet_pton(AF_INET, hi, e.hi), 1);
	return e;
}

static uint32_t verdict(const struct snapshot *s, const char *from)
{
	struct pend_values v = {.family = 4, .protocol = 6, .dest_port = 22};
	struct classify_result r;

	ck_assert_int_eq(inet_pton(AF_INET, from, v.source), 1);
	classify(s->classifier, &v, &r);
	return r.action;
}

START_TEST(sets_change_and_all_else_stays)
{
	struct snapshot *a = snap(
		"set bad { 10.0.0.0/8 }\nlayer x { block from @bad; permit quota 3 per source }",
		NULL);
	struct classify_edit e[2];
	const struct classify_edit *kept;
	struct snapshot *b = NULL, *c = NULL, *none = NULL;
	uint32_t n;

	a->loaded_ns = 77;
	e[0] = edit_of(a, "bad", "192.0.2.1", "192.0.2.9", false);
	e[1] = edit_of(a, "bad", "10.1.0.0", "10.1.255.255", true);
	ck_assert_int_eq(snapshot_patched(&b, a, e, 2), 0);
	ck_assert_int_eq(snapshot_keep_edits(b, e, 2), 0);
	ck_assert(b->generation == 1 && b->revision == 1 && b->loaded_ns == 77);
	ck_assert_uint_eq(verdict(a, "192.0.2.5"), CLASSIFY_PERMIT);
	ck_assert_uint_eq(verdict(b, "192.0.2.5"), CLASSIFY_BLOCK);
	ck_assert_uint_eq(verdict(b, "10.1.2.3"), CLASSIFY_PERMIT);
	snapshot_hit(a, 0, 0, 60, 1);
	snapshot_hit(b, 0, 0, 60, 2);
	snapshot_take_over(b, a, 0);
	ck_assert_uint_eq(hits(b, 0), 2);
	ck_assert(take(a, 1, 1) && take(b, 1, 1) && take(b, 1, 1) && !take(b, 1, 1));
	snapshot_settle(b);
	snapshot_free(a);
	e[0] = edit_of(b, "bad", "192.0.2.5", "192.0.2.5", true);
	ck_assert_int_eq(snapshot_patched(&c, b, e, 1), 0);
	ck_assert_int_eq(snapshot_keep_edits(c, e, 1), 0);
	snapshot_free(b);
	ck_assert(c->revision == 2);
	ck_assert_uint_eq(verdict(c, "192.0.2.5"), CLASSIFY_PERMIT);
	ck_assert_uint_eq(verdict(c, "192.0.2.6"), CLASSIFY_BLOCK);
	ck_assert(!take(c, 1, 1));
	kept = snapshot_edits(c, &n);
	ck_assert_uint_eq(n, 3);
	ck_assert_int_eq(memcmp(&kept[2], e, sizeof(*e)), 0);
	e[0].set = 99;
	ck_assert_int_eq(snapshot_patched(&none, c, e, 1), -EINVAL);
	ck_assert_ptr_null(none);
	/* a new policy begins with no edits, and goes on counting */
	a = snap("set bad { 10.0.0.0/8 }\nlayer x { block from @bad }", c);
	snapshot_settle(a);
	snapshot_free(c);
	ck_assert(a->generation == 2 && a->revision == 0);
	snapshot_edits(a, &n);
	ck_assert_uint_eq(n, 0);
	ck_assert_uint_eq(hits(a, 0), 2);
	snapshot_free(a);
}
END_TEST

Suite *suite(void)
{
	Suite *su = suite_create("snapshot");
	TCase *tc = tcase_create("snapshot");

	tcase_add_test(tc, hits_are_summed_over_workers);
	tcase_add_test(tc, a_bad_image_is_refused);
	tcase_add_test(tc, hits_go_on_where_a_rule_stays);
	tcase_add_test(tc, layers_say_what_they_say);
	tcase_add_test(tc, limits_are_not_full_again);
	tcase_add_test(tc, sets_change_and_all_else_stays);
	suite_add_tcase(su, tc);
	return su;
}
