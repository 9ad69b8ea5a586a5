/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Decisions that hold for a while: scopes, ends, a full table, several threads at once. */
#include "unit.h"
#include "daemon/msg.h"
#include "daemon/remembered.h"
#include <pthread.h>
#include <string.h>

#define S UINT64_C(1000000000)

static struct remembered *t;

static void setup(void)
{
	ck_assert_int_eq(remembered_new(&t), 0);
}

static void teardown(void)
{
	remembered_free(t);
}

static struct remembered_key key(uint8_t scope, uint32_t source, uint16_t sport, uint16_t dport)
{
	uint8_t src[16] = {10, (uint8_t)(source >> 16), (uint8_t)(source >> 8), (uint8_t)source};
	uint8_t dst[16] = {192, 0, 2, 1};

	return remembered_key_of(77, scope, 4, 6, src, sport, dst, dport);
}

static bool add(const struct remembered_key *k, uint8_t verdict, uint64_t until, uint64_t now)
{
	struct remembered_value v = {
		.until_ns = until, .since_ns = now, .verdict = verdict, .reason = REASON_OPERATOR};

	return remembered_add(t, k, &v, now);
}

/* The verdict that holds; -1: none. */
static int held(struct remembered_key k, uint64_t now)
{
	struct remembered_value v;

	if (!remembered_find(t, &k, now, &v))
		return -1;
	remembered_used(t, &v);
	return v.verdict;
}

START_TEST(scopes)
{
	struct remembered_key k = key(CLASSIFY_SCOPE_SERVICE, 1, 4000, 22);

	ck_assert(add(&k, PEND_VERDICT_PERMIT, 10 * S, S));
	ck_assert_int_eq(held(key(CLASSIFY_SCOPE_SERVICE, 1, 4001, 22), 2 * S),
			 PEND_VERDICT_PERMIT);
	ck_assert_int_eq(held(key(CLASSIFY_SCOPE_SERVICE, 1, 4000, 23), 2 * S), -1); /* T19 */
	ck_assert_int_eq(held(key(CLASSIFY_SCOPE_SERVICE, 2, 4000, 22), 2 * S), -1);
	ck_assert_int_eq(held(key(CLASSIFY_SCOPE_SOURCE, 1, 4000, 22), 2 * S), -1);
	k = key(CLASSIFY_SCOPE_FLOW, 1, 4000, 22);
	ck_assert(add(&k, PEND_VERDICT_BLOCK, 10 * S, S));
	ck_assert_int_eq(held(key(CLASSIFY_SCOPE_FLOW, 1, 4000, 22), 2 * S), PEND_VERDICT_BLOCK);
	ck_assert_int_eq(held(key(CLASSIFY_SCOPE_FLOW, 1, 4001, 22), 2 * S), -1);
	k = key(CLASSIFY_SCOPE_SOURCE, 1, 4000, 22);
	ck_assert(add(&k, PEND_VERDICT_PERMIT, 10 * S, S));
	ck_assert_int_eq(held(key(CLASSIFY_SCOPE_SOURCE, 1, 9, 80), 2 * S), PEND_VERDICT_PERMIT);
	k.rule++;
	ck_assert_int_eq(held(k, 2 * S), -1);
	ck_assert_uint_eq(atomic_load(&remembered_stats(t)->kept), 3);
	ck_assert_uint_eq(atomic_load(&remembered_stats(t)->permits), 2);
	ck_assert_uint_eq(atomic_load(&remembered_stats(t)->blocks), 1);
}
END_TEST

START_TEST(about_a_flow)
{
	uint8_t src[16] = {10, 0, 0, 1}, dst[16] = {192, 0, 2, 1};
	struct remembered_flow f = {4, 6, 4000, 22, src, dst};
	struct remembered_key k = key(CLASSIFY_SCOPE_SOURCE, 1, 4000, 22);
	struct remembered_value v;

	ck_assert(!remembered_about(t, 77, &f, S, &v));
	ck_assert(add(&k, PEND_VERDICT_PERMIT, 30 * S, S));
	ck_assert(remembered_about(t, 77, &f, 2 * S, &v));
	ck_assert_int_eq(v.verdict, PEND_VERDICT_PERMIT);
	ck_assert(!remembered_about(t, 78, &f, 2 * S, &v));
	ck_assert(!remembered_about(t, 77 + 1024, &f, 2 * S, &v)); /* the same mark */
	/* what is narrower goes before it, for as long as it holds */
	k = key(CLASSIFY_SCOPE_FLOW, 1, 4000, 22);
	ck_assert(add(&k, PEND_VERDICT_BLOCK, 10 * S, S));
	k = key(CLASSIFY_SCOPE_SERVICE, 1, 4000, 22);
	ck_assert(add(&k, PEND_VERDICT_PERMIT, 20 * S, S));
	ck_assert(remembered_about(t, 77, &f, 2 * S, &v));
	ck_assert_int_eq(v.verdict, PEND_VERDICT_BLOCK);
	f.source_port = 4001;
	ck_assert(remembered_about(t, 77, &f, 2 * S, &v));
	ck_assert_uint_eq(v.until_ns, 20 * S);
	ck_assert(remembered_about(t, 77, &f, 25 * S, &v));
	ck_assert_uint_eq(v.until_ns, 30 * S);
	ck_assert(!remembered_about(t, 77, &f, 30 * S, &v));
}
END_TEST

START_TEST(tells_what_had_to_go)
{
	struct remembered_key k, evicted;
	struct remembered_value v = {.since_ns = S, .verdict = PEND_VERDICT_PERMIT};
	unsigned gone = 0;

	for (uint32_t i = 0; i < REMEMBERED_MAX + 1000; i++) {
		struct remembered_value was;

		k = key(CLASSIFY_SCOPE_SOURCE, i, 0, 0);
		v.until_ns = 10 * S + i;
		ck_assert(remembered_put(t, &k, &v, S, &evicted));
		if (!evicted.rule)
			continue;
		gone++;
		ck_assert(!remembered_find(t, &evicted, S, &was));
	}
	ck_assert_uint_ge(gone, 1000);
	ck_assert_uint_eq(gone, atomic_load(&remembered_stats(t)->evicted));
	ck_assert(remembered_put(t, &k, &v, S, &evicted)); /* in its own place */
	ck_assert_uint_eq(evicted.rule, 0);
}
END_TEST

START_TEST(ends)
{
	struct remembered_key k = key(CLASSIFY_SCOPE_SERVICE, 1, 0, 22);

	ck_assert(add(&k, PEND_VERDICT_PERMIT, 10 * S, S));
	ck_assert_int_eq(held(k, 10 * S - 1), PEND_VERDICT_PERMIT);
	ck_assert_int_eq(held(k, 10 * S), -1);
	ck_assert(add(&k, PEND_VERDICT_BLOCK, 30 * S, 20 * S)); /* the same place, another word */
	ck_assert_int_eq(held(k, 21 * S), PEND_VERDICT_BLOCK);
	ck_assert_uint_eq(atomic_load(&remembered_stats(t)->evicted), 0);
}
END_TEST

START_TEST(walk_and_remove)
{
	struct remembered_value v;
	struct remembered_key k;
	uint32_t cursor = 0;
	unsigned n = 0;

	for (uint32_t i = 0; i < 1000; i++) {
		k = key(CLASSIFY_SCOPE_SERVICE, i, 0, 22);
		ck_assert(add(&k, PEND_VERDICT_PERMIT, 10 * S, S));
	}
	while (remembered_next(t, &cursor, &k, &v)) {
		n++;
		if (k.source[3] & 1)
			ck_assert(remembered_remove(t, cursor, &k));
	}
	ck_assert_uint_eq(n, 1000);
	ck_assert_int_eq(held(key(CLASSIFY_SCOPE_SERVICE, 1, 0, 22), 2 * S), -1);
	ck_assert_int_eq(held(key(CLASSIFY_SCOPE_SERVICE, 2, 0, 22), 2 * S), PEND_VERDICT_PERMIT);
	ck_assert(!remembered_remove(t, 0, &k));
	ck_assert(!remembered_remove(t, REMEMBERED_MAX + REMEMBERED_ENDING + 1, &k));
	cursor = n = 0;
	while (remembered_next(t, &cursor, &k, &v))
		n++;
	ck_assert_uint_eq(n, 500);
}
END_TEST

/* A full table keeps what lasts longest, and never has more than its size. */
START_TEST(full)
{
	struct remembered_value v;
	struct remembered_key k;
	uint32_t cursor = 0;
	unsigned n = 0, late = 0;

	for (uint32_t i = 0; i < 4 * REMEMBERED_MAX; i++) {
		k = key(CLASSIFY_SCOPE_SERVICE, i, 0, 22);
		ck_assert(add(&k, PEND_VERDICT_PERMIT, (100 + i) * S, S));
	}
	while (remembered_next(t, &cursor, &k, &v)) {
		n++;
		late += v.until_ns >= (100 + 2 * REMEMBERED_MAX) * S;
	}
	ck_assert_uint_le(n, REMEMBERED_MAX);
	ck_assert_uint_gt(late, n / 2);
	ck_assert_uint_eq(atomic_load(&remembered_stats(t)->evicted), 4 * REMEMBERED_MAX - n);
	k = key(CLASSIFY_SCOPE_SERVICE, 4 * REMEMBERED_MAX - 1, 0, 22);
	ck_assert_int_eq(held(k, 2 * S), PEND_VERDICT_PERMIT);
}
END_TEST

/* The sources that the walk for ended ones would find, and take. */
static unsigned ended_sources(uint64_t now)
{
	struct remembered_value v;
	struct remembered_key k;
	unsigned n = 0;

	for (uint32_t cursor = 0; remembered_next(t, &cursor, &k, &v);)
		n += v.end && v.until_ns <= now && remembered_remove(t, cursor, &k);
	remembered_seek_end(t);
	return n;
}

static bool add_end(const struct remembered_key *k, uint64_t until, uint64_t now)
{
	struct remembered_value v = {
		.until_ns = until, .since_ns = now, .verdict = PEND_VERDICT_PERMIT, .end = 1};

	return remembered_add(t, k, &v, now);
}

/* More than can be put aside is said. */
START_TEST(ends_may_be_lost)
{
	struct remembered_key k;

	for (uint32_t i = 0; i <= REMEMBERED_ENDING; i++) {
		k = key(CLASSIFY_SCOPE_SERVICE, i, 0, 22);
		ck_assert(add_end(&k, 10 * S, S));
		ck_assert(!remembered_ends_lost(t));
		ck_assert(add(&k, PEND_VERDICT_BLOCK, 20 * S, 2 * S));
	}
	ck_assert(remembered_ends_lost(t));
	ck_assert(!remembered_ends_lost(t));
	ck_assert_uint_eq(ended_sources(2 * S), REMEMBERED_ENDING);
	ck_assert_uint_eq(ended_sources(20 * S), 0);
}
END_TEST

START_TEST(next_end)
{
	struct remembered_key k = key(CLASSIFY_SCOPE_SERVICE, 1, 0, 22);
	struct remembered_value v = {.until_ns = 20 * S, .verdict = PEND_VERDICT_PERMIT, .end = 1};

	ck_assert_uint_eq(remembered_next_end(t), UINT64_MAX);
	ck_assert(remembered_add(t, &k, &v, S));
	k = key(CLASSIFY_SCOPE_SERVICE, 2, 0, 22);
	v.until_ns = 10 * S;
	ck_assert(remembered_add(t, &k, &v, S));
	v.until_ns = 5 * S;
	v.end = 0;
	k = key(CLASSIFY_SCOPE_SERVICE, 3, 0, 22);
	ck_assert(remembered_add(t, &k, &v, S));
	ck_assert_uint_eq(remembered_next_end(t), 10 * S);
	for (uint32_t cursor = 0; remembered_next(t, &cursor, &k, &v);)
		if (v.until_ns == 10 * S)
			ck_assert(remembered_remove(t, cursor, &k));
	remembered_seek_end(t);
	ck_assert_uint_eq(remembered_next_end(t), 20 * S);
}
END_TEST

/* A permit's flows end with it, also when something else was said before anybody looked for them. */
START_TEST(end_is_not_overwritten)
{
	struct remembered_key k = key(CLASSIFY_SCOPE_SERVICE, 1, 0, 22);

	ck_assert(add_end(&k, 10 * S, S));
	ck_assert(add(&k, PEND_VERDICT_BLOCK, 30 * S, 11 * S));
	ck_assert_uint_le(remembered_next_end(t), 11 * S);
	ck_assert_int_eq(held(k, 11 * S), PEND_VERDICT_BLOCK);
	ck_assert_uint_eq(ended_sources(11 * S), 1);
	ck_assert_uint_eq(remembered_next_end(t), UINT64_MAX);
	/* the same again: they go on */
	ck_assert(add_end(&k, 40 * S, 31 * S));
	ck_assert(add_end(&k, 50 * S, 32 * S));
	ck_assert_uint_eq(ended_sources(49 * S), 0);
	ck_assert_uint_eq(ended_sources(50 * S), 1);
}
END_TEST

/* Nor are they forgotten when the table is full. */
START_TEST(end_is_not_evicted)
{
	enum { LIVE = 1000 };
	struct remembered_key k;
	unsigned left = 0;

	for (uint32_t i = 0; i < LIVE; i++) {
		k = key(CLASSIFY_SCOPE_SERVICE, i, 0, 22);
		ck_assert(add_end(&k, 10 * S, S));
	}
	for (uint32_t i = LIVE; i < 4 * REMEMBERED_MAX; i++) {
		k = key(CLASSIFY_SCOPE_SERVICE, i, 0, 22);
		ck_assert(add(&k, PEND_VERDICT_BLOCK, 100 * S, 2 * S));
	}
	for (uint32_t i = 0; i < LIVE; i++)
		left += held(key(CLASSIFY_SCOPE_SERVICE, i, 0, 22), 2 * S) >= 0;
	ck_assert_uint_lt(left, LIVE / 10);
	ck_assert_uint_le(remembered_next_end(t), 2 * S);
	ck_assert_uint_eq(ended_sources(2 * S), LIVE - left);
}
END_TEST

/* Readers see whole entries or none, whoever writes. */
static void *writer(void *arg)
{
	uint64_t state = (uint64_t)(uintptr_t)arg;

	for (unsigned i = 0; i < 20000; i++) {
		uint32_t n = (uint32_t)(unit_rand(&state) >> 33) % 64;
		struct remembered_key k = key(CLASSIFY_SCOPE_SERVICE, n, 0, 22);

		add(&k, PEND_VERDICT_PERMIT, (1000 + n) * S, S);
	}
	return NULL;
}

START_TEST(threads)
{
	pthread_t thread[3];
	unsigned found = 0;

	for (uintptr_t i = 0; i < 3; i++)
		ck_assert_int_eq(pthread_create(&thread[i], NULL, writer, (void *)(i + 1)), 0);
	for (unsigned i = 0; i < 50000; i++) {
		struct remembered_key k = key(CLASSIFY_SCOPE_SERVICE, i % 64, 0, 22);
		struct remembered_value v;

		if (!remembered_find(t, &k, S, &v))
			continue;
		found++;
		ck_assert_uint_eq(v.until_ns, (1000 + i % 64) * S);
		ck_assert_uint_eq(v.reason, REASON_OPERATOR);
	}
	for (unsigned i = 0; i < 3; i++)
		pthread_join(thread[i], NULL);
	for (uint32_t n = 0; n < 64; n++)
		ck_assert_int_eq(held(key(CLASSIFY_SCOPE_SERVICE, n, 0, 22), S),
				 PEND_VERDICT_PERMIT);
	(void)found;
}
END_TEST

Suite *suite(void)
{
	Suite *s = suite_create("remembered");
	TCase *tc = tcase_create("remembered");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, scopes);
	tcase_add_test(tc, about_a_flow);
	tcase_add_test(tc, tells_what_had_to_go);
	tcase_add_test(tc, ends);
	tcase_add_test(tc, walk_and_remove);
	tcase_add_test(tc, full);
	tcase_add_test(tc, next_end);
	tcase_add_test(tc, end_is_not_overwritten);
	tcase_add_test(tc, end_is_not_evicted);
	tcase_add_test(tc, ends_may_be_lost);
	tcase_add_test(tc, threads);
	tcase_set_timeout(tc, 60);
	suite_add_tcase(s, tc);
	return s;
}
