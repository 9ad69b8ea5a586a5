/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The timer wheel: single rules first, then random runs against a plain sorted model that
 * knows nothing of slots: a timer fires in the order of (tick, arming).
 */
#include "unit.h"

#include "base/wheel.h"

#include <stdbool.h>

enum { TIMERS = 400 };

struct timer {
	struct wheel_timer t;
	uint64_t when; /* ns as it was armed */
	uint64_t tick; /* when it is due, at the least the tick that the wheel has reached */
	uint64_t seq;  /* first advance in which it may fire << 32 | number of the arming */
	bool armed;
};

struct run {
	struct wheel w;
	struct timer timer[TIMERS];
	uint64_t now;                 /* ns */
	uint64_t arms, round;         /* how often armed, number of this or the coming advance */
	uint64_t last_tick, last_seq; /* of the timer fired last within this advance */
	uint64_t rand;
	uint32_t armed, fired;
	bool meddle; /* arm and cancel from within the callback */
	bool inside; /* of wheel_advance */
};

static struct run *run_new(uint64_t now)
{
	struct run *r = calloc(1, sizeof(*r));

	ck_assert_ptr_nonnull(r);
	r->now = now;
	r->round = 1;
	wheel_init(&r->w, mono_ns(now));
	for (int i = 0; i < TIMERS; i++)
		wheel_timer_init(&r->timer[i].t);
	return r;
}

static void arm(struct run *r, struct timer *t, uint64_t when)
{
	uint64_t tick = when / MONO_NS_PER_MS + (when % MONO_NS_PER_MS != 0);

	wheel_arm(&r->w, &t->t, mono_ns(when));
	ck_assert(wheel_timer_armed(&t->t));
	r->armed += !t->armed;
	t->armed = true;
	t->when = when;
	/* Within an advance, what is past already has to wait for the next one. */
	t->seq = (r->round + (r->inside && tick <= r->w.now)) << 32 | ++r->arms;
	t->tick = tick > r->w.now ? tick : r->w.now;
	ck_assert_uint_eq(r->w.armed, r->armed);
}

static void cancel(struct run *r, struct timer *t)
{
	wheel_cancel(&r->w, &t->t);
	ck_assert(!wheel_timer_armed(&t->t));
	r->armed -= t->armed;
	t->armed = false;
	ck_assert_uint_eq(r->w.armed, r->armed);
}

/* Log-uniform, so that all levels are used; now and then long past or never. */
static uint64_t random_when(struct run *r)
{
	uint64_t bits = unit_rand(&r->rand) % 61;
	uint64_t delta = unit_rand(&r->rand) & ((2ull << bits) - 1);

	switch (unit_rand(&r->rand) % 16) {
	case 0:
		return mono_since(mono_ns(r->now), mono_ns(delta));
	case 1:
		return r->now;
	case 2:
		return UINT64_MAX;
	case 3: /* crowd a few ticks */
		return r->now + unit_rand(&r->rand) % 4 * 50 * MONO_NS_PER_MS;
	}
	return mono_add(mono_ns(r->now), delta).ns;
}

static struct timer *random_timer(struct run *r)
{
	return &r->timer[unit_rand(&r->rand) % TIMERS];
}

static void meddle(struct run *r)
{
	struct timer *t = random_timer(r);

	if (unit_rand(&r->rand) % 2)
		cancel(r, t);
	else
		arm(r, t, random_when(r));
}

static void on_fire(void *ctx, struct wheel_timer *wt)
{
	struct timer *t = container_of(wt, struct timer, t);
	struct run *r = ctx;

	ck_assert(t->armed);
	ck_assert(!wheel_timer_armed(wt));
	ck_assert_uint_le(t->when, r->now);
	ck_assert_uint_le(t->seq >> 32, r->round);
	if (r->last_tick == t->tick)
		ck_assert_uint_gt(t->seq, r->last_seq);
	ck_assert_uint_ge(t->tick, r->last_tick);
	r->last_tick = t->tick;
	r->last_seq = t->seq;
	t->armed = false;
	r->armed--;
	r->fired++;
	if (r->meddle && unit_rand(&r->rand) % 4 == 0)
		meddle(r);
}

static bool is_due(const struct run *r, const struct timer *t)
{
	return t->armed && t->tick <= r->now / MONO_NS_PER_MS && t->seq >> 32 <= r->round;
}

/* The earliest time at which an armed timer is due, by the model. */
static uint64_t model_next(const struct run *r)
{
	uint64_t next = UINT64_MAX;

	for (int i = 0; i < TIMERS; i++) {
		const struct timer *t = &r->timer[i];

		if (t->armed && t->tick <= UINT64_MAX / MONO_NS_PER_MS &&
		    t->tick * MONO_NS_PER_MS < next)
			next = t->tick * MONO_NS_PER_MS;
	}
	return next;
}

static void check_next(const struct run *r)
{
	uint64_t next = wheel_next(&r->w).ns;
	uint64_t want = model_next(r);

	ck_assert_uint_le(next, want);
	if (!r->armed)
		ck_assert_uint_eq(next, UINT64_MAX);
	/* Exact within the lowest level, the block of 64 ticks that the wheel is in. */
	if (want / MONO_NS_PER_MS / WHEEL_SLOTS == r->w.now / WHEEL_SLOTS)
		ck_assert_uint_eq(next, want);
}

static uint32_t count_due(const struct run *r)
{
	uint32_t n = 0;

	for (int i = 0; i < TIMERS; i++)
		n += is_due(r, &r->timer[i]);
	return n;
}

/* One advance: fires what the model says, all of it or as much as the budget allows. */
static void advance(struct run *r, uint32_t budget)
{
	uint32_t due = count_due(r);
	uint32_t fired;

	r->fired = 0;
	r->last_tick = r->last_seq = 0;
	r->inside = true;
	fired = wheel_advance(&r->w, mono_ns(r->now), budget, on_fire, r);
	r->inside = false;
	ck_assert_uint_eq(fired, r->fired);
	ck_assert_uint_eq(r->w.armed, r->armed);
	if (!r->meddle)
		ck_assert_uint_eq(fired, budget && budget < due ? budget : due);
	if (!budget || fired < budget) {
		ck_assert_uint_eq(count_due(r), 0);
		ck_assert_uint_eq(r->w.now, r->now / MONO_NS_PER_MS);
	} else if (count_due(r)) {
		ck_assert_uint_le(wheel_next(&r->w).ns, r->now);
	}
	r->round++;
	for (int i = 0; i < TIMERS; i++)
		if (r->timer[i].tick < r->w.now)
			r->timer[i].tick = r->w.now;
	check_next(r);
}

static void random_run(uint64_t seed, bool with_meddling)
{
	struct run *r = run_new(seed % (1ull << 50));

	r->rand = seed;
	r->meddle = with_meddling;
	for (int round = 0; round < 3000; round++) {
		uint64_t kind = unit_rand(&r->rand);
		unsigned bits = kind % 64 ? (unsigned)(kind >> 8) % 40 : 56;

		for (uint64_t n = unit_rand(&r->rand) % 20; n; n--)
			arm(r, random_timer(r), random_when(r));
		if (kind % 3 == 0)
			cancel(r, random_timer(r));
		check_next(r);
		if (kind % 5)
			r->now += unit_rand(&r->rand) & ((1ull << bits) - 1);
		advance(r, kind % 2 ? 0 : (uint32_t)(kind >> 16) % 8);
	}
	/* What is armed for a time that a clock can show fires in the end. */
	r->now = UINT64_MAX;
	r->meddle = false;
	advance(r, 0);
	for (int i = 0; i < TIMERS; i++)
		ck_assert(!r->timer[i].armed ||
			  r->timer[i].when > UINT64_MAX / MONO_NS_PER_MS * MONO_NS_PER_MS);
	free(r);
}

START_TEST(random_run_agrees_with_model)
{
	random_run(unit_seed("wheel"), false);
}
END_TEST

START_TEST(random_run_with_callbacks_that_arm_and_cancel)
{
	random_run(unit_seed("wheel, arming callbacks"), true);
}
END_TEST

START_TEST(never_early_and_at_most_a_tick_late)
{
	for (uint64_t off = 0; off < 2 * MONO_NS_PER_MS; off += 99999) {
		struct run *r = run_new(12345678);
		uint64_t when = 98765432 + off;
		uint64_t tick = (when + MONO_NS_PER_MS - 1) / MONO_NS_PER_MS;

		arm(r, &r->timer[0], when);
		r->now = tick * MONO_NS_PER_MS - 1;
		advance(r, 0);
		ck_assert_uint_eq(r->fired, 0);
		ck_assert_uint_eq(wheel_next(&r->w).ns, tick * MONO_NS_PER_MS);
		r->now++;
		advance(r, 0);
		ck_assert_uint_eq(r->fired, 1);
		ck_assert_uint_lt(r->now - when, MONO_NS_PER_MS);
		free(r);
	}
}
END_TEST

/* Armed from far to near, so that each comes from another level. */
START_TEST(same_tick_keeps_order_across_levels)
{
	static const uint64_t before[] = {1ull << 40, 1ull << 30, 20000000, 300000, 5000, 70, 1, 0};
	struct run *r = run_new(0);
	uint64_t tick = (1ull << 40) + 4095;

	for (int i = 0; i < 8; i++) {
		r->now = (tick - before[i]) * MONO_NS_PER_MS;
		if (before[i])
			advance(r, 0);
		arm(r, &r->timer[2 * i], tick * MONO_NS_PER_MS);
		arm(r, &r->timer[2 * i + 1], tick * MONO_NS_PER_MS - 5);
	}
	advance(r, 0);
	ck_assert_uint_eq(r->fired, 16);
	free(r);
}
END_TEST

START_TEST(budget_leaves_the_rest_due)
{
	struct run *r = run_new(0);

	for (int i = 0; i < 10; i++)
		arm(r, &r->timer[i], (i < 6 ? 5 : 900) * MONO_NS_PER_MS);
	r->now = 1000 * MONO_NS_PER_MS;
	for (int i = 0; i < 3; i++) {
		ck_assert_uint_le(wheel_next(&r->w).ns, r->now);
		advance(r, 3);
		ck_assert_uint_eq(r->fired, 3);
	}
	cancel(r, &r->timer[9]);
	ck_assert_uint_eq(wheel_next(&r->w).ns, UINT64_MAX);
	advance(r, 3);
	ck_assert_uint_eq(r->fired, 0);
	free(r);
}
END_TEST

/* A callback that arms itself for the past does not make the advance endless. */
static void rearm_past(void *ctx, struct wheel_timer *t)
{
	struct run *r = ctx;

	r->fired++;
	wheel_arm(&r->w, t, mono_ns(0));
}

START_TEST(past_time_fires_once_an_advance)
{
	struct run *r = run_new(50 * MONO_NS_PER_MS);

	wheel_arm(&r->w, &r->timer[0].t, mono_ms(3));
	ck_assert_uint_le(wheel_next(&r->w).ns, r->now);
	for (uint32_t i = 1; i < 5; i++) {
		ck_assert_uint_eq(wheel_advance(&r->w, mono_ns(r->now), 0, rearm_past, r), 1);
		ck_assert_uint_eq(r->fired, i);
	}
	wheel_cancel(&r->w, &r->timer[0].t);
	wheel_cancel(&r->w, &r->timer[0].t);
	ck_assert_uint_eq(r->w.armed, 0);
	ck_assert_uint_eq(wheel_next(&r->w).ns, UINT64_MAX);
	free(r);
}
END_TEST

START_TEST(never_is_never_and_clock_does_not_go_back)
{
	struct run *r = run_new(MONO_NS_PER_S);

	arm(r, &r->timer[0], UINT64_MAX);
	ck_assert_uint_gt(wheel_next(&r->w).ns, r->now);
	arm(r, &r->timer[1], 2 * MONO_NS_PER_S);
	ck_assert_uint_eq(wheel_advance(&r->w, mono_ns(0), 0, on_fire, r), 0);
	ck_assert_uint_eq(r->w.now, 1000);
	r->now = UINT64_MAX;
	advance(r, 0);
	ck_assert_uint_eq(r->fired, 1);
	ck_assert(r->timer[0].armed);
	ck_assert_uint_eq(wheel_next(&r->w).ns, UINT64_MAX);
	free(r);
}
END_TEST

static void count_fire(void *ctx, struct wheel_timer *t)
{
	(void)t;
	++*(uint32_t *)ctx;
}

/* Ends within the time limit of the test only if no operation looks at all timers or slots. */
START_TEST(a_million_timers)
{
	enum { MANY = 1000000 };
	struct wheel_timer *t = calloc(MANY, sizeof(*t));
	struct wheel *w = malloc(sizeof(*w));
	uint64_t seed = unit_seed("wheel, a million");
	uint32_t fired = 0, calls = 0;

	ck_assert_ptr_nonnull(t);
	ck_assert_ptr_nonnull(w);
	wheel_init(w, mono_ns(0));
	for (int i = 0; i < MANY; i++) {
		wheel_timer_init(&t[i]);
		wheel_arm(w, &t[i], mono_ns(unit_rand(&seed) % (600 * MONO_NS_PER_S)));
	}
	for (int i = 0; i < MANY; i += 2)
		wheel_cancel(w, &t[i]);
	ck_assert_uint_eq(w->armed, MANY / 2);
	for (mono_t next; (next = wheel_next(w)).ns != UINT64_MAX; calls++)
		wheel_advance(w, next, 64, count_fire, &fired);
	ck_assert_uint_eq(fired, MANY / 2);
	ck_assert_uint_le(calls, 700000);
	/* Idle for five hundred years. */
	wheel_arm(w, &t[0], mono_ns(UINT64_MAX / 2));
	wheel_advance(w, mono_ns(UINT64_MAX / 2 + MONO_NS_PER_MS), 0, count_fire, &fired);
	ck_assert_uint_eq(fired, MANY / 2 + 1);
	free(w);
	free(t);
}
END_TEST

Suite *suite(void)
{
	Suite *s = suite_create("wheel");
	TCase *t = tcase_create("wheel");

	tcase_set_timeout(t, 60);
	tcase_add_test(t, never_early_and_at_most_a_tick_late);
	tcase_add_test(t, same_tick_keeps_order_across_levels);
	tcase_add_test(t, budget_leaves_the_rest_due);
	tcase_add_test(t, past_time_fires_once_an_advance);
	tcase_add_test(t, never_is_never_and_clock_does_not_go_back);
	tcase_add_test(t, random_run_agrees_with_model);
	tcase_add_test(t, random_run_with_callbacks_that_arm_and_cancel);
	tcase_add_test(t, a_million_timers);
	suite_add_tcase(s, t);
	return s;
}
