/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sets that are edited without compiling anew: against policies that are. */
#include "unit.h"
#include "policy_random.h"
#include "core/classify_patch.h"
#include "core/classify_patched.h"
#include "core/classify_view.h"

struct compiled {
	void *image;
	size_t size;
	struct classifier *c;
};

static struct compiled compile(const struct policy *p)
{
	struct compiled k = {0};

	ck_assert_int_eq(policy_compile(p, &k.image, &k.size), 0);
	ck_assert_int_eq(classify_attach(&k.c, k.image, k.size), 0);
	return k;
}

static struct compiled compile_text(const char *text)
{
	struct policy *p = parse_good(text);
	struct compiled k = compile(p);

	policy_free(p);
	return k;
}

static void drop(struct compiled *k)
{
	classify_detach(k->c);
	free(k->image);
}

/* In place: the old one is gone. */
static int patch(struct classifier **c, const struct classify_edit *e, size_t n)
{
	struct classifier *made = NULL;
	int r = classify_patch(&made, *c, e, n);

	if (r)
		return r;
	classify_detach(*c);
	*c = made;
	return 0;
}

static struct classify_edit edit_of(const struct classifier *c, const char *set, const char *range,
				    bool take)
{
	struct classify_edit e = {.set = classify_set_find(c, set), .remove = take};
	struct pol_range r;

	ck_assert_uint_ne(e.set, UINT32_MAX);
	ck_assert_int_eq(pol_range_parse(range, &r), POL_ADDR_OK);
	e.family = r.family;
	memcpy(e.lo, r.lo, 16);
	memcpy(e.hi, r.hi, 16);
	return e;
}

static int edit(struct classifier **c, const char *set, const char *range, bool take)
{
	struct classify_edit e = edit_of(*c, set, range, take);

	return patch(c, &e, 1);
}

static bool has(const struct classifier *c, const char *set, const char *addr)
{
	struct classify_edit e = edit_of(c, set, addr, false);

	return classify_set_has(c, e.set, e.family, e.lo);
}

static uint8_t decide(const struct classifier *c, const char *source)
{
	struct pend_values v = {.protocol = 6, .has_ports = true, .dest_port = 22, .hook = 1};
	struct classify_result r;
	struct pol_range a;

	ck_assert_int_eq(pol_range_parse(source, &a), POL_ADDR_OK);
	v.family = a.family;
	memcpy(v.source, a.lo, 16);
	classify(c, &v, &r);
	return r.action;
}

/* ---- by chance ---- */

/* A set's own elements as the test keeps them: the tree that is compiled anew. */
static void model4(struct pol_ranges *rs, const struct pol_range *r, bool take)
{
	struct pol_ranges out = {0};
	uint8_t b[2][16] = {{0}};

	for (size_t i = 0; i < rs->n4; i++) {
		uint32_t lo = rs->v4[i].lo, hi = rs->v4[i].hi;
		uint32_t first = (uint32_t)r->lo[0] << 24 | r->lo[1] << 16 | r->lo[2] << 8 |
				 r->lo[3];
		uint32_t last = (uint32_t)r->hi[0] << 24 | r->hi[1] << 16 | r->hi[2] << 8 |
				r->hi[3];
		struct {
			uint64_t lo, hi;
		} left[2] = {{lo, hi < first ? hi : (uint64_t)first - 1},
			     {last < lo ? lo : (uint64_t)last + 1, hi}};

		for (int k = 0; k < 2; k++) {
			struct pol_range piece = {.family = 4};

			if ((k == 0 && (!first || lo >= first)) || (k == 1 && hi <= last) ||
			    left[k].lo > left[k].hi)
				continue;
			for (int j = 0; j < 4; j++) {
				b[0][j] = (uint8_t)(left[k].lo >> (24 - 8 * j));
				b[1][j] = (uint8_t)(left[k].hi >> (24 - 8 * j));
			}
			memcpy(piece.lo, b[0], 16);
			memcpy(piece.hi, b[1], 16);
			ck_assert(pol_ranges_add(&out, &piece));
		}
	}
	if (!take)
		ck_assert(pol_ranges_add(&out, r));
	pol_ranges_normalize(&out);
	free(rs->v4);
	rs->v4 = out.v4;
	rs->n4 = out.n4;
	rs->cap4 = out.cap4;
}

static void step(uint8_t a[16], int by)
{
	for (int i = 15; i >= 0; i--) {
		a[i] = (uint8_t)(a[i] + by);
		if (a[i] != (by > 0 ? 0 : 255))
			break;
	}
}

static void model6(struct pol_ranges *rs, const struct pol_range *r, bool take)
{
	struct pol_ranges out = {0};

	for (size_t i = 0; i < rs->n6; i++) {
		const struct pol_v6 *v = &rs->v6[i];
		struct pol_range piece = {.family = 6};

		if (memcmp(v->lo, r->lo, 16) < 0) { /* what lies in front */
			memcpy(piece.lo, v->lo, 16);
			memcpy(piece.hi, r->lo, 16);
			step(piece.hi, -1);
			if (memcmp(v->hi, piece.hi, 16) < 0)
				memcpy(piece.hi, v->hi, 16);
			ck_assert(pol_ranges_add(&out, &piece));
		}
		if (memcmp(v->hi, r->hi, 16) > 0) { /* and behind */
			memcpy(piece.lo, r->hi, 16);
			step(piece.lo, 1);
			if (memcmp(v->lo, piece.lo, 16) > 0)
				memcpy(piece.lo, v->lo, 16);
			memcpy(piece.hi, v->hi, 16);
			ck_assert(pol_ranges_add(&out, &piece));
		}
	}
	if (!take)
		ck_assert(pol_ranges_add(&out, r));
	pol_ranges_normalize(&out);
	free(rs->v6);
	rs->v6 = out.v6;
	rs->n6 = out.n6;
	rs->cap6 = out.cap6;
}

static struct pol_set *set_at(const struct policy *p, uint32_t index)
{
	struct pol_set *s = p->sets;

	while (s && s->index != index)
		s = s->next;
	return s;
}

static void model(struct policy *p, const struct classify_edit *e)
{
	struct pol_range r = {.family = e->family};
	struct pol_set *s = set_at(p, e->set);

	memcpy(r.lo, e->lo, 16);
	memcpy(r.hi, e->hi, 16);
	if (e->family == 4)
		model4(&s->ranges, &r, e->remove);
	else
		model6(&s->ranges, &r, e->remove);
}

/* Mostly of the small world, sometimes up to one end of all addresses. */
static void random_edit(struct random_policy *rp, struct classify_edit *e)
{
	uint8_t last;

	*e = (struct classify_edit){.set = rnd(rp, rp->sets), .remove = (uint8_t)rnd(rp, 2)};
	e->family = rnd(rp, 2) ? FLOW_V4 : FLOW_V6;
	random_addr(rp, e->family, e->lo);
	memcpy(e->hi, e->lo, 16);
	last = e->family == FLOW_V4 ? 3 : 15;
	if (rnd(rp, 2))
		e->hi[last] = (uint8_t)(e->lo[last] + rnd(rp, 8));
	if (!rnd(rp, 8))
		memset(e->lo, 0, 16);
	if (!rnd(rp, 8))
		memset(e->hi, 255, e->family == FLOW_V4 ? 4 : 16);
}

static void random_far(struct random_policy *rp, uint8_t family, uint8_t addr[16])
{
	static const uint8_t v4[][4] = {
		{0}, {9, 255, 255, 255}, {10, 0, 1, 0}, {255, 255, 255, 255}};

	if (rnd(rp, 12))
		return;
	if (family == FLOW_V4)
		memcpy(addr, v4[rnd(rp, 4)], 4);
	else
		memset(addr, rnd(rp, 2) ? 255 : 0, 16);
}

struct collected {
	uint64_t hash;
	unsigned n;
};

static bool collect(void *ctx, uint8_t family, const uint8_t lo[16], const uint8_t hi[16])
{
	struct collected *k = ctx;

	k->hash = k->hash * 31 + family;
	for (int i = 0; i < 16; i++)
		k->hash = (k->hash * 257 + lo[i]) * 257 + hi[i];
	k->n++;
	return true;
}

static void same_sets(const struct classifier *a, const struct classifier *b,
		      struct random_policy *rp)
{
	struct collected x = {0}, y = {0};
	uint8_t addr[16], family;

	for (uint32_t i = 0; i < rp->sets; i++) {
		classify_set_each(a, i, collect, &x);
		classify_set_each(b, i, collect, &y);
		ck_assert_uint_eq(x.n, y.n);
		ck_assert_uint_eq(x.hash, y.hash);
		for (int j = 0; j < 8; j++) {
			family = rnd(rp, 2) ? FLOW_V4 : FLOW_V6;
			random_addr(rp, family, addr);
			random_far(rp, family, addr);
			ck_assert_int_eq(classify_set_has(a, i, family, addr),
					 classify_set_has(b, i, family, addr));
		}
	}
}

static unsigned long decisions, differ;

static void same_decisions(const struct classifier *patched, const struct classifier *anew,
			   const struct classifier *before, struct random_policy *rp, unsigned n)
{
	struct classify_context now;
	struct classify_result a, b, old;
	struct pend_values v;

	while (n--) {
		random_packet(rp, &v);
		random_far(rp, v.family, v.source);
		random_far(rp, v.family, v.dest);
		random_context(rp, NULL, &now);
		if (!rnd(rp, 4))
			now.answered = rnd(rp, 64);
		classify_with(patched, &now, &v, &a);
		classify_with(anew, &now, &v, &b);
		classify_with(before, &now, &v, &old);
		if (a.rule != b.rule || a.action != b.action || a.pends != b.pends ||
		    a.unsure != b.unsure)
			ck_abort_msg("rule %u, not %u: family %u addresses %u %u of\n%s", a.rule,
				     b.rule, v.family, v.source[v.family == 4 ? 3 : 15],
				     v.dest[v.family == 4 ? 3 : 15], rp->text);
		decisions++;
		differ += old.rule != a.rule;
	}
}

/* As if the rows of addresses had become too large: rules are looked at one by one. */
static void without_rows(struct classifier *c)
{
	for (int d = DIM_FROM4; d <= DIM_TO6; d++) {
		free(c->index.part[d].rows);
		c->index.part[d].rows = NULL;
	}
	c->index.residual |= POL_BIT(COND_FROM) | POL_BIT(COND_TO);
}

static void edit_policy(struct policy *p, struct random_policy *rp, unsigned rounds)
{
	struct compiled base = compile(p), anew;
	struct classifier *c = base.c, *made;
	struct classify_edit e[8];
	unsigned n;

	if (!rnd(rp, 4))
		without_rows(base.c);
	while (rounds--) {
		n = 1 + rnd(rp, rnd(rp, 3) ? 1 : 8);
		for (unsigned i = 0; i < n; i++) {
			random_edit(rp, &e[i]);
			model(p, &e[i]);
		}
		made = NULL;
		ck_assert_int_eq(classify_patch(&made, c, e, n), 0);
		if (c != base.c)
			classify_detach(c);
		c = made;
		anew = compile(p);
		same_decisions(c, anew.c, base.c, rp, 120);
		same_sets(c, anew.c, rp);
		drop(&anew);
	}
	classify_detach(base.c); /* before the one that was made from it */
	same_decisions(c, c, c, rp, 1);
	if (c != base.c)
		classify_detach(c);
	free(base.image);
}

START_TEST(random_edits)
{
	struct random_policy *rp = malloc(sizeof(*rp));
	unsigned policies = 2500;

	if (getenv("POLICIES"))
		policies = (unsigned)atoi(getenv("POLICIES"));
	rp->state = unit_seed("classify_patch");
	for (unsigned i = 0; i < policies; i++) {
		struct policy_diag diag;
		struct policy *p = NULL;
		int err;

		random_policy(rp);
		err = parse_text(rp->text, &p, &diag);
		policy_diag_deinit(&diag);
		if (err || !rp->sets) {
			policy_free(err ? NULL : p);
			continue;
		}
		edit_policy(p, rp, 1 + rnd(rp, 12));
		policy_free(p);
	}
	fprintf(stderr, "classify_patch: %lu decisions, %lu other than before\n", decisions,
		differ);
	ck_assert_uint_gt(differ, policies / 2);
	free(rp);
}
END_TEST

/* ---- one by one ---- */

START_TEST(add_and_remove)
{
	struct compiled k = compile_text("set s { 10.0.0.0/24, 2001:db8::/64 }\n"
					 "layer l { block from @s\npermit }\n");

	ck_assert_int_eq(decide(k.c, "10.0.0.1"), CLASSIFY_BLOCK);
	ck_assert_int_eq(decide(k.c, "10.0.1.1"), CLASSIFY_PERMIT);
	ck_assert_int_eq(edit(&k.c, "s", "10.0.1.1", false), 0);
	ck_assert_int_eq(edit(&k.c, "s", "10.0.0.1", true), 0);
	ck_assert_int_eq(decide(k.c, "10.0.0.1"), CLASSIFY_PERMIT);
	ck_assert_int_eq(decide(k.c, "10.0.0.2"), CLASSIFY_BLOCK);
	ck_assert_int_eq(decide(k.c, "10.0.1.1"), CLASSIFY_BLOCK);
	ck_assert_int_eq(decide(k.c, "10.0.1.2"), CLASSIFY_PERMIT);
	ck_assert_int_eq(edit(&k.c, "s", "2001:db8::/65", true), 0);
	ck_assert_int_eq(decide(k.c, "2001:db8::1"), CLASSIFY_PERMIT);
	ck_assert_int_eq(decide(k.c, "2001:db8::ffff:0:0:1"), CLASSIFY_BLOCK);
	ck_assert_int_eq(edit(&k.c, "s", "0.0.0.0-255.255.255.255", false), 0);
	ck_assert_int_eq(decide(k.c, "255.255.255.255"), CLASSIFY_BLOCK);
	ck_assert_int_eq(decide(k.c, "10.0.0.1"), CLASSIFY_BLOCK);
	drop(&k);
}
END_TEST

START_TEST(back_to_nothing)
{
	struct compiled k = compile_text(
		"set s { 10.0.0.0/24 }\nlayer l { block from @s\npermit }\n");

	ck_assert_int_eq(edit(&k.c, "s", "192.0.2.1", false), 0);
	ck_assert_int_eq(edit(&k.c, "s", "10.0.0.1", true), 0);
	ck_assert_ptr_nonnull(k.c->patch);
	ck_assert_int_eq(edit(&k.c, "s", "192.0.2.1", true), 0);
	ck_assert_int_eq(edit(&k.c, "s", "10.0.0.1", false), 0);
	ck_assert_ptr_null(k.c->patch); /* edits that cancel each other cost nothing */
	drop(&k);
}
END_TEST

START_TEST(one_of_two_lists)
{
	/* a rule's other list goes on to hold where an edit takes the first away */
	struct compiled k = compile_text("set s { 10.0.0.0/8 }\n"
					 "layer l { block from { @s, 10.1.0.0/16 }\npermit }\n");

	ck_assert_int_eq(edit(&k.c, "s", "10.0.0.0/8", true), 0);
	ck_assert_int_eq(decide(k.c, "10.0.0.1"), CLASSIFY_PERMIT);
	ck_assert_int_eq(decide(k.c, "10.1.0.1"), CLASSIFY_BLOCK);
	drop(&k);
}
END_TEST

START_TEST(sets_in_sets)
{
	struct compiled k = compile_text("set in { 10.0.0.1 }\nset mid { @in, 10.0.0.2 }\n"
					 "set out { 10.0.0.3, @mid }\n"
					 "layer l { block from @out\npermit }\n");
	struct collected all = {0}, own = {0};

	ck_assert_int_eq(decide(k.c, "10.0.0.1"), CLASSIFY_BLOCK);
	ck_assert_int_eq(edit(&k.c, "in", "10.0.0.9", false), 0);
	ck_assert(has(k.c, "out", "10.0.0.9"));
	ck_assert(has(k.c, "mid", "10.0.0.9"));
	ck_assert_int_eq(decide(k.c, "10.0.0.9"), CLASSIFY_BLOCK);
	classify_set_each(k.c, classify_set_find(k.c, "out"), collect, &all);
	classify_set_own(k.c, classify_set_find(k.c, "out"), collect, &own);
	ck_assert_uint_eq(all.n, 2); /* 10.0.0.1-3 and .9 */
	ck_assert_uint_eq(own.n, 1);
	/* an edit is of what stands in the set itself */
	ck_assert_int_eq(edit(&k.c, "out", "10.0.0.0/24", true), 0);
	ck_assert(!has(k.c, "out", "10.0.0.3"));
	ck_assert(has(k.c, "out", "10.0.0.1"));
	ck_assert_int_eq(edit(&k.c, "in", "10.0.0.1", true), 0);
	ck_assert(!has(k.c, "out", "10.0.0.1"));
	ck_assert_int_eq(decide(k.c, "10.0.0.1"), CLASSIFY_PERMIT);
	ck_assert_int_eq(decide(k.c, "10.0.0.2"), CLASSIFY_BLOCK);
	drop(&k);
}
END_TEST

static enum classify_part part(const struct classifier *c, const char *range)
{
	struct classify_edit e = edit_of(c, "s", range, false);

	return classify_set_part(c, e.set, e.family, e.lo, e.hi);
}

START_TEST(parts_of_ranges)
{
	struct compiled k = compile_text("set in { 10.0.2.0/24 }\n"
					 "set s { 10.0.0.0/24, 255.255.255.255, ::/0, @in }\n"
					 "layer l { block from @s\npermit }\n");

	ck_assert_int_eq(edit(&k.c, "s", "10.0.1.0/24", false), 0);
	ck_assert_int_eq(edit(&k.c, "s", "10.0.0.7", true), 0);
	ck_assert_int_eq(part(k.c, "10.0.0.8-10.0.1.255"), CLASSIFY_PART_ALL); /* of two pieces */
	ck_assert_int_eq(part(k.c, "10.0.0.8-10.0.2.0"), CLASSIFY_PART_SOME);
	ck_assert_int_eq(part(k.c, "10.0.0.6-10.0.0.8"), CLASSIFY_PART_SOME);
	ck_assert_int_eq(part(k.c, "10.0.0.7-10.0.0.8"), CLASSIFY_PART_SOME);
	ck_assert_int_eq(part(k.c, "10.0.0.7"), CLASSIFY_PART_NONE);
	ck_assert_int_eq(part(k.c, "10.0.2.0/24"), CLASSIFY_PART_NONE);
	ck_assert_int_eq(part(k.c, "255.255.255.255"), CLASSIFY_PART_ALL);
	ck_assert_int_eq(part(k.c, "11.0.0.0-255.255.255.255"), CLASSIFY_PART_SOME);
	ck_assert_int_eq(part(k.c, "::/0"), CLASSIFY_PART_ALL);
	drop(&k);
}
END_TEST

START_TEST(the_last_word_counts)
{
	struct compiled k = compile_text("set s { }\nlayer l { block from @s\npermit }\n");
	struct classify_edit e[4] = {
		edit_of(k.c, "s", "10.0.0.0/8", false), edit_of(k.c, "s", "10.1.0.0/16", true),
		edit_of(k.c, "s", "10.1.1.0/24", false), edit_of(k.c, "s", "10.1.1.1", true)};
	struct collected got = {0};

	ck_assert_int_eq(patch(&k.c, e, 4), 0);
	ck_assert_int_eq(decide(k.c, "10.0.0.1"), CLASSIFY_BLOCK);
	ck_assert_int_eq(decide(k.c, "10.1.0.1"), CLASSIFY_PERMIT);
	ck_assert_int_eq(decide(k.c, "10.1.1.0"), CLASSIFY_BLOCK);
	ck_assert_int_eq(decide(k.c, "10.1.1.1"), CLASSIFY_PERMIT);
	classify_set_each(k.c, 0, collect, &got);
	ck_assert_uint_eq(got.n, 4);
	drop(&k);
}
END_TEST

START_TEST(refused)
{
	struct compiled k = compile_text("set s { 10.0.0.1 }\n"
					 "layer l { block from @s\npermit from 10.0.0.2 }\n");
	struct classify_edit good = edit_of(k.c, "s", "10.0.0.5", false), e = good;
	struct classifier *made = NULL;

	e.set = classify_sets(k.c) - 1; /* what stands in the rule */
	ck_assert_int_eq(classify_patch(&made, k.c, &e, 1), -EINVAL);
	e.set = UINT32_MAX;
	ck_assert_int_eq(classify_patch(&made, k.c, &e, 1), -EINVAL);
	e = good;
	e.family = 5;
	ck_assert_int_eq(classify_patch(&made, k.c, &e, 1), -EINVAL);
	e = good;
	e.hi[3] = 4;
	ck_assert_int_eq(classify_patch(&made, k.c, &e, 1), -EINVAL);
	e = good;
	e.remove = 2;
	ck_assert_int_eq(classify_patch(&made, k.c, &e, 1), -EINVAL);
	ck_assert_ptr_null(made);
	ck_assert_int_eq(classify_patch(&made, k.c, NULL, 0), 0);
	classify_detach(made);
	drop(&k);
}
END_TEST

static void host4(struct classify_edit *e, uint32_t addr)
{
	for (int i = 0; i < 4; i++)
		e->lo[i] = e->hi[i] = (uint8_t)(addr >> (24 - 8 * i));
}

START_TEST(too_many)
{
	struct compiled k = compile_text(
		"set s { }\nlayer l { block from @s\npermit to @s\nblock }\n");
	struct classify_edit *e = calloc(CLASSIFY_PATCH_MAX + 1, sizeof(*e));
	struct classifier *made = NULL;

	for (uint32_t i = 0; i <= CLASSIFY_PATCH_MAX; i++) {
		e[i] = (struct classify_edit){.family = 4};
		host4(&e[i], 0x0a000000 + 2 * i);
	}
	ck_assert_int_eq(classify_patch(&made, k.c, e, CLASSIFY_PATCH_MAX + 1), -E2BIG);
	ck_assert_ptr_null(made);
	ck_assert_int_eq(patch(&k.c, e, CLASSIFY_PATCH_MAX), 0);
	ck_assert_int_eq(classify_patch(&made, k.c, e + CLASSIFY_PATCH_MAX, 1), -E2BIG);
	ck_assert_ptr_null(made);
	ck_assert_int_eq(decide(k.c, "10.0.0.2"), CLASSIFY_BLOCK);
	/* what joins them up makes room */
	for (uint32_t i = 0; i < 1000; i++)
		host4(&e[i], 0x0a000001 + 2 * i);
	ck_assert_int_eq(patch(&k.c, e, 1000), 0);
	free(e);
	drop(&k);
}
END_TEST

/* Against each other: every range lies over the one before it. */
START_TEST(nested_edits)
{
	struct compiled k = compile_text("set s { }\nlayer l { block from @s\npermit }\n");
	unsigned n = 20000;
	struct classify_edit *e = calloc(n, sizeof(*e));

	for (uint32_t i = 0; i < n; i++) {
		uint32_t hi = 0x0b000000 - i;

		e[i] = (struct classify_edit){.family = 4, .remove = i & 1};
		host4(&e[i], 0x0a000000 + i);
		for (int j = 0; j < 4; j++)
			e[i].hi[j] = (uint8_t)(hi >> (24 - 8 * j));
	}
	ck_assert_int_eq(patch(&k.c, e, n), 0);
	ck_assert_int_eq(decide(k.c, "10.0.0.0"), CLASSIFY_BLOCK);
	ck_assert_int_eq(decide(k.c, "10.0.0.1"), CLASSIFY_PERMIT);
	ck_assert_int_eq(decide(k.c, "10.128.0.0"), CLASSIFY_PERMIT);
	free(e);
	drop(&k);
}
END_TEST

/* ---- a large policy ---- */

static struct compiled compile_large(unsigned prefixes, uint64_t *state)
{
	char *text = malloc((size_t)prefixes * 20 + 256), *at = text;
	struct memory_file files[] = {
		{"t", "set many { file \"f\" }\nset few { 10.0.0.0/8 }\n"
		      "layer l { block from @many\npermit from @few\npend to @many }\n"},
		{"f", text},
		{NULL, NULL}};
	struct policy_loader loader = {.read = memory_read, .ctx = files};
	struct policy_diag diag;
	struct policy *p;
	struct compiled k;

	for (unsigned i = 0; i < prefixes; i++) {
		uint32_t a = (uint32_t)unit_rand(state);

		at += sprintf(at, "%u.%u.%u.0/24\n", a >> 24, a >> 16 & 255, a >> 8 & 255);
	}
	ck_assert_int_eq(policy_parse(&p, "t", &loader, &diag), 0);
	policy_diag_deinit(&diag);
	k = compile(p);
	policy_free(p);
	free(text);
	return k;
}

static double seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static size_t patch_bytes(const struct classify_patch *p)
{
	size_t n = sizeof(*p);

	for (uint32_t i = 0; p && i < p->n; i++)
		n += rangemap_bytes(&p->set[i]->map) + sizeof(*p->set[i]) + 16;
	for (int i = 0; p && i < PATCH_PARTS; i++)
		if (p->part[i])
			n += rangemap_bytes(&p->part[i]->map) + sizeof(*p->part[i]);
	return n;
}

/* Does the packet's source decide as membership says? */
static void check_large(const struct classifier *c, uint32_t addr)
{
	struct pend_values v = {.family = 4, .protocol = 6, .hook = 1, .dest = {203, 0, 113, 1}};
	struct classify_result r;
	uint32_t want;

	for (int i = 0; i < 4; i++)
		v.source[i] = (uint8_t)(addr >> (24 - 8 * i));
	classify(c, &v, &r);
	want = classify_set_has(c, 0, 4, v.source)   ? 0
	       : classify_set_has(c, 1, 4, v.source) ? 1
	       : classify_set_has(c, 0, 4, v.dest)   ? 2
						     : CLASSIFY_NO_RULE;
	ck_assert_uint_eq(r.rule, want);
}

START_TEST(many_single_edits)
{
	uint64_t state = unit_seed("many_single_edits");
	unsigned prefixes = getenv("PREFIXES") ? (unsigned)atoi(getenv("PREFIXES")) : 1000000;
	struct compiled k = compile_large(prefixes, &state);
	unsigned n = 10000;
	double start = seconds(), took;

	for (unsigned i = 0; i < n; i++) {
		struct classify_edit e = {.family = 4, .remove = (uint8_t)(unit_rand(&state) & 1)};
		uint32_t addr = (uint32_t)unit_rand(&state);

		host4(&e, addr);
		ck_assert_int_eq(patch(&k.c, &e, 1), 0);
		if (i % 64 == 0)
			ck_assert_int_eq(classify_set_has(k.c, 0, 4, e.lo), !e.remove);
	}
	took = (seconds() - start) / n;
	fprintf(stderr, "%u prefixes: %.1f us an edit, %zu bytes an edit after %u\n", prefixes,
		took * 1e6, patch_bytes(k.c->patch) / n, n);
	for (unsigned i = 0; i < 20000; i++)
		check_large(k.c, (uint32_t)unit_rand(&state));
	for (size_t i = 0; i < k.c->patch->set[0]->map.n; i++) {
		uint32_t addr = (uint32_t)rangemap_lo(&k.c->patch->set[0]->map, i);

		check_large(k.c, addr);
		check_large(k.c, addr - 1);
		check_large(k.c, addr + 1);
	}
	/* 2 cores of anything: far from what compiling anew takes */
	ck_assert(took < 0.005);
	drop(&k);
}
END_TEST

START_TEST(wide_edits)
{
	uint64_t state = unit_seed("wide_edits");
	struct compiled k = compile_large(100000, &state);
	struct classify_edit e = edit_of(k.c, "few", "0.0.0.0-127.255.255.255", false);
	int r = patch(&k.c, &e, 1); /* cuts into some 50,000 intervals */

	ck_assert(!r || r == -E2BIG);
	for (unsigned i = 0; i < 20000; i++)
		check_large(k.c, (uint32_t)unit_rand(&state));
	e = edit_of(k.c, "many", "64.0.0.0-127.255.255.255", false);
	ck_assert_int_eq(patch(&k.c, &e, 1), 0);
	e.remove = 1;
	ck_assert_int_eq(patch(&k.c, &e, 1), 0);
	for (unsigned i = 0; i < 20000; i++)
		check_large(k.c, (uint32_t)unit_rand(&state));
	drop(&k);
}
END_TEST

Suite *suite(void)
{
	Suite *s = suite_create("classify_patch");
	TCase *t = tcase_create("random"), *large = tcase_create("large");

	tcase_set_timeout(t, 600);
	tcase_add_test(t, random_edits);
	suite_add_tcase(s, t);
	t = tcase_create("one");
	tcase_set_timeout(t, 120);
	tcase_add_test(t, add_and_remove);
	tcase_add_test(t, back_to_nothing);
	tcase_add_test(t, one_of_two_lists);
	tcase_add_test(t, sets_in_sets);
	tcase_add_test(t, parts_of_ranges);
	tcase_add_test(t, the_last_word_counts);
	tcase_add_test(t, refused);
	tcase_add_test(t, too_many);
	tcase_add_test(t, nested_edits);
	suite_add_tcase(s, t);
	tcase_set_timeout(large, 600);
	tcase_add_test(large, many_single_edits);
	tcase_add_test(large, wide_edits);
	suite_add_tcase(s, large);
	return s;
}
