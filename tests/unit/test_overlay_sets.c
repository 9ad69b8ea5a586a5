/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Elements of sets that are changed again and again, for another time, in any order, and as those of before. */
#include "changes_run.h"

START_TEST(imported_again_and_again)
{
	uint64_t s = now_ms / 1000;
	const struct overlay_set *set;

	for (unsigned i = 0; i < 20; i++) {
		ck_assert_int_eq(
			changes_add(c, elements(OVERLAY_ADD, "8.8.8.8 8.8.4.4", 0, s + 60)), 0);
		ck_assert_int_eq(changes_add(c, elements(OVERLAY_ADD, "9.9.9.9", 0, s + 60)), 0);
		ck_assert_int_eq(changes_add(c, elements(OVERLAY_ADD, "7.7.7.7", 0, s + 30)), 0);
		settle(3 * i + 3);
		ck_assert_uint_eq(last_same, i > 0);
	}
	ck_assert_uint_eq(posted, 1); /* nothing has changed since */
	ck_assert_uint_eq(view.revision, 1);
	set = changes_overlay(c)->set[0];
	ck_assert_uint_eq(set->leases, 2);
	/* another end: for longer, or it does not count; what is in the set is the same, too */
	ck_assert_int_eq(changes_add(c, elements(OVERLAY_ADD, "7.7.7.7 8.8.8.8", 0, s + 90)), 0);
	ck_assert_int_eq(changes_add(c, elements(OVERLAY_ADD, "8.8.8.8", 0, s + 10)), 0);
	settle(62);
	ck_assert_uint_eq(posted, 1);
	set = changes_overlay(c)->set[0];
	ck_assert_uint_eq(set->leases, 2);
	ck_assert_uint_eq(set->lease[0].spans.n, 2); /* 8.8.4.4, 9.9.9.9 */
	ck_assert_uint_eq(set->lease[1].spans.n, 2);
	/* for good: none of them has an end any more */
	ck_assert_int_eq(changes_add(c, elements(OVERLAY_ADD, "7.7.7.7 8.8.8.8", 0, 0)), 0);
	settle(63);
	ck_assert_uint_eq(changes_overlay(c)->set[0]->leases, 1);
	/* not there: nothing is done */
	ck_assert_int_eq(changes_add(c, elements(OVERLAY_DELETE, "6.6.6.6", 0, 0)), 0);
	settle(64);
	ck_assert(last_same);
	ck_assert_uint_eq(posted, 1);
	ck_assert_int_eq(changes_add(c, elements(OVERLAY_DELETE, "8.8.8.8 10.0.0.7", 0, 0)), 0);
	settle(65);
	ck_assert(!last_same && !in("8.8.8.8") && !in("10.0.0.7") && in("7.7.7.7"));
	ck_assert_int_eq(changes_add(c, elements(OVERLAY_DELETE, "8.8.8.8 10.0.0.7", 0, 0)), 0);
	settle(66);
	ck_assert(last_same);
}
END_TEST

/* One address as it should be: 192.0.2.N, of which the policy has the first. */
struct model {
	bool own, added;
	uint64_t end;
};

static bool has(const struct policy_spans *s, const struct policy_spans *one)
{
	struct policy_spans some = {0};
	bool is;

	ck_assert(policy_spans_within(&some, s, one));
	is = some.n;
	policy_spans_deinit(&some);
	return is;
}

static void compare_with(const struct overlay_set *s, const struct model *m, unsigned n)
{
	const struct policy_span span = {
		.family = 4, .lo = {192, 0, 2, (uint8_t)n}, .hi = {192, 0, 2, (uint8_t)n}};
	struct policy_spans one;
	unsigned leases = 0;

	ck_assert(policy_spans_make(&one, &span, 1));
	ck_assert_int_eq(!s->replaced && has(&s->base, &one) && !has(&s->removed, &one), m->own);
	ck_assert_int_eq(has(&s->added, &one), m->added);
	for (size_t i = 0; i < s->leases; i++) {
		if (!has(&s->lease[i].spans, &one))
			continue;
		leases++;
		ck_assert_uint_eq(s->lease[i].until, m->end);
	}
	ck_assert_uint_eq(leases, m->end ? 1 : 0);
	policy_spans_deinit(&one);
}

static void model_do(struct model *m, enum overlay_action action, uint64_t until)
{
	if (action == OVERLAY_DELETE || action == OVERLAY_FLUSH)
		*m = (struct model){0};
	else if (!until)
		*m = (struct model){.own = m->own, .added = true};
	else if (!m->added && until > m->end)
		m->end = until;
}

START_TEST(any_changes_in_any_order)
{
	struct model m[17] = {[1] = {.own = true}};
	struct overlay *o = overlay_new();
	struct err e = {0};
	bool flushed = false;

	srand(4711);
	for (unsigned i = 0; i < 3000; i++) {
		unsigned what = (unsigned)rand() % 40, lo = (unsigned)rand() % 16 + 1,
			 hi = lo + (unsigned)rand() % (17 - lo);
		enum overlay_action action = !what && i > 1000 ? OVERLAY_FLUSH
					     : what < 15       ? OVERLAY_DELETE
							       : OVERLAY_ADD;
		const struct overlay_terms t = {.until = what < 22 ? 0
								   : 1000 + (unsigned)rand() % 5};
		struct policy_span span = {.family = 4,
					   .lo = {192, 0, 2, (uint8_t)lo},
					   .hi = {192, 0, 2, (uint8_t)hi}};
		struct policy_spans spans;

		flushed = flushed || action == OVERLAY_FLUSH;
		if (action == OVERLAY_FLUSH)
			lo = 1, hi = 16;
		ck_assert(policy_spans_make(&spans, &span, action != OVERLAY_FLUSH));
		ck_assert_int_ge(overlay_elements(o, view.classifier, "a", action, &spans, &t, &e),
				 0);
		policy_spans_deinit(&spans);
		for (unsigned n = lo; n <= hi; n++) {
			bool own = m[n].own ||
				   (n == 1 && !flushed && action == OVERLAY_ADD && !t.until);

			model_do(&m[n], action, t.until);
			if (action == OVERLAY_ADD)
				m[n].own = own;
		}
		for (unsigned n = 1; n <= 16; n++)
			compare_with(o->set[0], &m[n], n);
		ck_assert_uint_le(o->set[0]->leases, 5);
	}
	overlay_put(o);
}
END_TEST

/* ---- those of before ---- */

#define OPS 60

static struct overlay_change ops[OPS];

static void draw(struct overlay_change *ch)
{
	unsigned what = (unsigned)rand() % 60, lo = (unsigned)rand() % 16 + 1,
		 hi = lo + (unsigned)rand() % (17 - lo);
	struct policy_span span = {
		.family = 4, .lo = {192, 0, 2, (uint8_t)lo}, .hi = {192, 0, 2, (uint8_t)hi}};

	ch->action = what == 0   ? OVERLAY_FLUSH
		     : what == 1 ? OVERLAY_LOAD
		     : what < 22 ? OVERLAY_DELETE
				 : OVERLAY_ADD;
	ch->until = what < 35 ? 0 : 1000 + (unsigned)rand() % 5;
	strcpy(ch->set, "a");
	ck_assert(policy_spans_make(&ch->spans, &span, what != 0));
}

static void apply(struct overlay *o, size_t from)
{
	struct err e = {0};

	for (size_t i = from; i < OPS; i++) {
		const struct overlay_terms t = {.until = ops[i].until};

		ck_assert_int_ge(overlay_elements(o, view.classifier, "a", ops[i].action,
						  &ops[i].spans, &t, &e),
				 0);
	}
}

/* 0: it is not in; else until when, UINT64_MAX: for good. */
static uint64_t stays(const struct overlay_set *s, unsigned n)
{
	const struct policy_span span = {
		.family = 4, .lo = {192, 0, 2, (uint8_t)n}, .hi = {192, 0, 2, (uint8_t)n}};
	struct policy_spans one;
	uint64_t end = 0;

	ck_assert(policy_spans_make(&one, &span, 1));
	for (size_t i = 0; i < s->leases; i++)
		if (has(&s->lease[i].spans, &one))
			end = s->lease[i].until;
	if (has(&s->added, &one) ||
	    (!s->replaced && has(&s->base, &one) && !has(&s->removed, &one)))
		end = UINT64_MAX;
	policy_spans_deinit(&one);
	return end;
}

/* As if they had been made one by one, also when the last of them were there before. */
START_TEST(made_again_as_one)
{
	srand(42);
	for (unsigned round = 0; round < 300; round++) {
		struct overlay *each = overlay_new(), *fresh = overlay_new(), *late = overlay_new();
		size_t n;

		for (unsigned i = 0; i < OPS; i++)
			draw(&ops[i]);
		apply(each, 0);
		ck_assert_int_eq(overlay_restore(fresh, view.classifier, ops, OPS, &n), 0);
		ck_assert_uint_eq(n, OPS);
		ck_assert(fresh->restored && !late->restored);
		apply(late, OPS - round % OPS);
		ck_assert_int_eq(overlay_restore(late, view.classifier, ops, OPS, &n), 0);
		for (unsigned a = 1; a <= 16; a++) {
			ck_assert_uint_eq(stays(fresh->set[0], a), stays(each->set[0], a));
			ck_assert_uint_eq(stays(late->set[0], a), stays(each->set[0], a));
		}
		ck_assert_uint_eq(fresh->set[0]->removed.n, each->set[0]->removed.n);
		for (unsigned i = 0; i < OPS; i++)
			policy_spans_deinit(&ops[i].spans);
		overlay_put(each);
		overlay_put(fresh);
		overlay_put(late);
	}
}
END_TEST

START_TEST(of_sets_that_are_gone)
{
	struct overlay *o = overlay_new();
	size_t n;

	for (unsigned i = 0; i < 3; i++)
		draw(&ops[i]);
	strcpy(ops[1].set, "gone");
	ck_assert_int_eq(overlay_restore(o, view.classifier, ops, 3, &n), 0);
	ck_assert_uint_eq(n, 2);
	ck_assert_uint_eq(o->sets, 1);
	for (unsigned i = 0; i < 3; i++)
		policy_spans_deinit(&ops[i].spans);
	overlay_put(o);
}
END_TEST

/* They come late, and a connection has added something meanwhile: it stays as long as the connection does. */
START_TEST(what_connections_have_added_stays)
{
	const struct overlay_terms t = {.session = 5};
	struct overlay *o = overlay_new();
	struct overlay_change flush = {.action = OVERLAY_FLUSH, .set = "a"};
	struct policy_spans spans;
	struct policy_span span;
	struct err e = {0};
	size_t n;

	ck_assert_int_eq(policy_span_parse("8.8.8.8", &span), 0);
	ck_assert(policy_spans_make(&spans, &span, 1));
	ck_assert_int_eq(overlay_elements(o, view.classifier, "a", OVERLAY_ADD, &spans, &t, &e), 1);
	ck_assert_int_eq(overlay_restore(o, view.classifier, &flush, 1, &n), 0);
	ck_assert(o->set[0]->replaced);
	ck_assert_uint_eq(o->set[0]->leases, 1);
	ck_assert_uint_eq(o->set[0]->lease[0].session, 5);
	policy_spans_deinit(&spans);
	overlay_put(o);
}
END_TEST

static struct amend *of_before(enum overlay_action action, const char *element)
{
	struct amend *ch = amend_new(AMEND_RESTORE);
	struct policy_span span;

	ch->seq = RELOAD_SEQ_NONE;
	ch->old = calloc(1, sizeof(*ch->old));
	ch->olds = 1;
	ch->old->action = action;
	strcpy(ch->old->set, "a");
	ck_assert_int_eq(policy_span_parse(element, &span), 0);
	ck_assert(policy_spans_make(&ch->old->spans, &span, 1));
	return ch;
}

/* A change that must be put in force once more comes behind those of before: it is the newer word. */
START_TEST(before_what_is_put_back)
{
	ck_assert_int_eq(changes_add(c, elements(OVERLAY_DELETE, "10.0.0.7", 0, 0)), 0);
	ck_assert(sends(1));
	ck_assert_int_eq(changes_add(c, of_before(OVERLAY_ADD, "10.0.0.7")), 0);
	answer(PEND_E_LIMIT);
	settle(2);
	ck_assert_uint_eq(failed, 0);
	ck_assert(!in("10.0.0.7") && in("10.0.0.8"));
}
END_TEST

/* It is tried again and again, and the changes of people keep their place in the journal. */
START_TEST(a_failure_is_told_once)
{
	uint64_t before = journal_count(journal);

	dead = true;
	for (unsigned i = 1; i <= 3; i++) {
		ck_assert_int_eq(changes_add(c, of_before(OVERLAY_ADD, "8.8.8.8")), 0);
		settle(i);
	}
	ck_assert_uint_eq(failed, 3);
	ck_assert_uint_eq(journal_count(journal), before + 1);
	dead = false;
	ck_assert_int_eq(changes_add(c, of_before(OVERLAY_ADD, "8.8.8.8")), 0);
	settle(4);
	ck_assert(in("8.8.8.8"));
	ck_assert_uint_eq(journal_count(journal), before + 2);
}
END_TEST

Suite *suite(void)
{
	Suite *s = suite_create("overlay_sets");
	TCase *t = tcase_create("sets");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, imported_again_and_again);
	tcase_add_test(t, any_changes_in_any_order);
	tcase_add_test(t, made_again_as_one);
	tcase_add_test(t, of_sets_that_are_gone);
	tcase_add_test(t, what_connections_have_added_stays);
	tcase_add_test(t, before_what_is_put_back);
	tcase_add_test(t, a_failure_is_told_once);
	suite_add_tcase(s, t);
	return s;
}
