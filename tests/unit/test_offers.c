/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Hints from workers on their way to the kernel: the ring between two threads, and the table of what is there. */
#include "unit.h"
#include "daemon/offers.h"
#include <pthread.h>
#include <semaphore.h>
#include <string.h>

static struct offer offer_of(uint32_t n)
{
	struct offer o = {
		.k = {.in_interface = 2, .dest_port = (uint16_t)n, .family = 4, .protocol = 6}};

	memcpy(o.k.source, &n, sizeof(n));
	return o;
}

static uint32_t number(const struct offer_key *k)
{
	uint32_t n;

	memcpy(&n, k->source, sizeof(n));
	return n;
}

START_TEST(a_connection)
{
	const uint8_t source[16] = {203, 0, 113, 7}, dest[16] = {192, 0, 2, 1};
	struct offer_key k = offer_key_of(6, 17, source, dest, 53, 2);

	ck_assert_mem_eq(k.source, source, 16);
	ck_assert_mem_eq(k.dest, dest, 16);
	ck_assert_uint_eq(k.family, 6);
	ck_assert_uint_eq(k.protocol, 17);
	ck_assert_uint_eq(k.dest_port, 53);
	ck_assert_uint_eq(k.in_interface, 2);
}
END_TEST

/* ---- the ring ---- */

START_TEST(in_order)
{
	struct offer_ring r = {.head = 0};
	struct offer o = offer_of(0);

	ck_assert(!offers_pop(&r, &o));
	ck_assert(offers_push(&r, &o)); /* the first one calls */
	for (uint32_t i = 1; i < OFFERS_RING; i++) {
		o = offer_of(i);
		ck_assert(!offers_push(&r, &o)); /* others need not */
	}
	for (uint32_t i = 0; i < OFFERS_RING; i++) {
		ck_assert(offers_pop(&r, &o));
		ck_assert_uint_eq(number(&o.k), i);
	}
	ck_assert(!offers_pop(&r, &o));
	ck_assert(offers_rest(&r));
	ck_assert(offers_push(&r, &o)); /* called anew */
	ck_assert(!offers_rest(&r));    /* something is there */
	ck_assert(!offers_push(&r, &o));
}
END_TEST

/* What finds no room is counted; when a fresh one is among it that has to be known. */
START_TEST(full)
{
	struct offer_ring r = {.head = UINT32_MAX - 3, .tail = UINT32_MAX - 3};
	struct offer o = offer_of(1);

	for (unsigned i = 0; i < OFFERS_RING + 5; i++)
		offers_push(&r, &o);
	ck_assert_uint_eq(r.missed, 5);
	ck_assert(!r.lost);
	o.fresh = 1;
	offers_push(&r, &o);
	ck_assert(r.lost);
	for (unsigned i = 0; i < OFFERS_RING; i++)
		ck_assert(offers_pop(&r, &o) && !o.fresh);
	ck_assert(!offers_pop(&r, &o));
	ck_assert(!offers_rest(&r)); /* not before that was seen to */
	r.lost = false;
	ck_assert(offers_rest(&r));
}
END_TEST

#define MANY 200000u

struct line {
	struct offer_ring r;
	sem_t called;
	uint64_t seed;
};

static void *worker(void *arg)
{
	struct line *l = arg;

	for (uint32_t i = 0; i < MANY; i++) {
		struct offer o = offer_of(i);

		if (offers_push(&l->r, &o))
			sem_post(&l->called);
		if (unit_rand(&l->seed) >> 56 == 0) /* let the other side come to rest */
			for (volatile unsigned n = 0; n < 20000; n++)
				;
	}
	return NULL;
}

/* Nothing is left lying, nothing comes twice or out of order, whenever the reader lies down. */
START_TEST(two_threads)
{
	struct line *l = calloc(1, sizeof(*l));
	uint32_t got = 0, last = 0, rests = 0;
	pthread_t t;
	struct offer o;

	l->seed = unit_seed("offers");
	sem_init(&l->called, 0, 0);
	ck_assert_int_eq(pthread_create(&t, NULL, worker, l), 0);
	while (got + atomic_load(&l->r.missed) < MANY) {
		sem_wait(&l->called);
		do
			while (offers_pop(&l->r, &o)) {
				if (got && number(&o.k) <= last)
					ck_abort_msg("%u after %u", number(&o.k), last);
				last = number(&o.k);
				got++;
			}
		while (!offers_rest(&l->r));
		rests++;
	}
	pthread_join(t, NULL);
	ck_assert_uint_eq(got + l->r.missed, MANY);
	ck_assert_uint_gt(rests, 10);
	sem_destroy(&l->called);
	free(l);
}
END_TEST

/* ---- the table ---- */

static struct offer_held held_of(uint32_t n, uint64_t until)
{
	return (struct offer_held){.k = offer_of(n).k, .until_ns = until, .verdict = 1};
}

START_TEST(there_until_it_ends)
{
	struct offer_held h = held_of(7, 100), other = held_of(8, 100), got;
	struct offers_table *t;
	uint32_t cursor = 0;

	ck_assert_int_eq(offers_table_new(&t), 0);
	ck_assert(!offers_next(t, h.k.source, &cursor, 10, &got));
	ck_assert(offers_add(t, &h, 10));
	ck_assert(offers_has(t, &h.k, 99));
	ck_assert(!offers_has(t, &h.k, 100));
	ck_assert(!offers_has(t, &other.k, 99));
	other.k = h.k;
	other.k.in_interface = 3;
	ck_assert(!offers_has(t, &other.k, 99));
	ck_assert(!offers_next(t, held_of(8, 0).k.source, &cursor, 99, &got));
	ck_assert(offers_next(t, h.k.source, &cursor, 99, &got));
	ck_assert(!memcmp(&got.k, &h.k, sizeof(h.k)) && got.verdict == 1);
	ck_assert(!offers_next(t, h.k.source, &cursor, 99, &got));
	ck_assert_uint_eq(offers_count(t), 1);
	h.until_ns = 200;
	ck_assert(offers_add(t, &h, 50)); /* its own place again */
	ck_assert_uint_eq(offers_count(t), 1);
	ck_assert(offers_has(t, &h.k, 150));
	offers_clear(t);
	cursor = 0;
	ck_assert(!offers_has(t, &h.k, 50) && !offers_next(t, h.k.source, &cursor, 50, &got));
	ck_assert_uint_eq(offers_count(t), 0);
	ck_assert(offers_add(t, &h, 50));
	for (unsigned i = 0; i < OFFERS_SWEEPS; i++)
		offers_sweep(t, 199);
	ck_assert_uint_eq(offers_count(t), 1);
	for (unsigned i = 0; i < OFFERS_SWEEPS; i++)
		offers_sweep(t, 200);
	ck_assert_uint_eq(offers_count(t), 0);
	offers_table_free(t);
	offers_table_free(NULL);
}
END_TEST

/* As many as it may have and no more, whatever comes; and then there is room again. */
START_TEST(bounded)
{
	struct offers_table *t;
	uint32_t added = 0, i;

	ck_assert_int_eq(offers_table_new(&t), 0);
	for (i = 0; i < 3 * OFFERS_MAX; i++) {
		struct offer_held h = held_of(i, 100);

		added += offers_add(t, &h, 10);
	}
	ck_assert_uint_eq(added, OFFERS_MAX);
	ck_assert_uint_eq(offers_count(t), OFFERS_MAX);
	for (i = 0; i < OFFERS_SWEEPS; i++)
		offers_sweep(t, 100);
	ck_assert_uint_eq(offers_count(t), 0);
	for (i = added = 0; i < OFFERS_MAX / 2; i++) {
		struct offer_held h = held_of(i, 300);

		added += offers_add(t, &h, 200);
	}
	ck_assert_uint_gt(added, OFFERS_MAX / 2 * 99 / 100);
	offers_table_free(t);
}
END_TEST

#define SOURCES 7u

static struct offer_held service_of(uint32_t n, uint64_t until)
{
	struct offer_held h = held_of(n % SOURCES, until);

	h.k.dest_port = (uint16_t)n;
	return h;
}

/* Against the plainest of all tables; a few sources with many services each. */
START_TEST(as_a_list)
{
	enum { KEYS = 300 };
	uint64_t seed = unit_seed("offers"), until[KEYS] = {0}, now = 1;
	struct offers_table *t;

	ck_assert_int_eq(offers_table_new(&t), 0);
	for (unsigned i = 0; i < 20000; i++) {
		uint32_t n = (uint32_t)(unit_rand(&seed) >> 33) % KEYS, live = 0, cursor = 0;
		struct offer_held h = service_of(n, now + 1 + (unit_rand(&seed) >> 33) % 2000);

		now += (unit_rand(&seed) >> 33) % 4;
		if (!((unit_rand(&seed) >> 33) % 3000)) {
			offers_clear(t);
			memset(until, 0, sizeof(until));
		}
		if (h.until_ns > now) {
			ck_assert(offers_add(t, &h, now));
			until[n] = h.until_ns;
		}
		offers_sweep(t, now);
		n = (uint32_t)(unit_rand(&seed) >> 33) % KEYS;
		h = service_of(n, 0);
		ck_assert_int_eq(offers_has(t, &h.k, now), until[n] > now);
		if (i % 100)
			continue;
		for (n = 0; n < KEYS; n++)
			live += until[n] > now;
		ck_assert_uint_ge(offers_count(t), live);
		for (uint32_t source = 0; source < SOURCES; source++) {
			struct offer_held of = held_of(source, 0);

			cursor = 0;
			while (offers_next(t, of.k.source, &cursor, now, &h)) {
				ck_assert_uint_eq(h.k.dest_port % SOURCES, source);
				ck_assert_uint_eq(until[h.k.dest_port], h.until_ns);
				live--;
			}
		}
		ck_assert_uint_eq(live, 0);
	}
	offers_table_free(t);
}
END_TEST

Suite *suite(void)
{
	Suite *s = suite_create("offers");
	TCase *t = tcase_create("offers");

	tcase_set_timeout(t, 60);
	tcase_add_test(t, a_connection);
	tcase_add_test(t, in_order);
	tcase_add_test(t, full);
	tcase_add_test(t, two_threads);
	tcase_add_test(t, there_until_it_ends);
	tcase_add_test(t, bounded);
	tcase_add_test(t, as_a_list);
	suite_add_tcase(s, t);
	return s;
}
