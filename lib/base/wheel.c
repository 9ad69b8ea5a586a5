/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Hierarchical timer wheel: see wheel.h.
 *
 * A tick is a number in base 64, one digit a level. A waiting timer is on the level of the
 * highest digit in which its tick differs from the current one, in the slot of its own
 * digit. From this follow:
 *
 * - every timer of a level is due before every timer of a higher level, so that the first set
 *   bit of the lowest level that has one is what comes next;
 * - when the current tick reaches the start of a slot, all lower levels are empty, so that
 *   moving its timers down in their order keeps the order of arming within a tick;
 * - the place of a timer follows from its tick and the current one, and is not stored.
 */
#include "base/wheel.h"

#define WHEEL_TICK_NS (WHEEL_TICK_MS * MONO_NS_PER_MS)

_Static_assert(UINT64_MAX / WHEEL_TICK_NS < (1ull << (WHEEL_LEVELS * WHEEL_BITS)) - 1,
	       "the levels cover every time a mono_t can hold");
_Static_assert(WHEEL_SLOTS == 64, "a level's bitmap is one uint64_t");

/* Rounded up: a timer never fires early. */
static uint64_t tick_of(mono_t when)
{
	return when.ns / WHEEL_TICK_NS + (when.ns % WHEEL_TICK_NS != 0);
}

static mono_t tick_time(uint64_t tick)
{
	return tick > UINT64_MAX / WHEEL_TICK_NS ? MONO_NEVER : mono_ns(tick * WHEEL_TICK_NS);
}

/* `tick` is later than the current one. */
static unsigned level_of(const struct wheel *w, uint64_t tick)
{
	return (63u - (unsigned)__builtin_clzll(tick ^ w->now)) / WHEEL_BITS;
}

static unsigned digit_of(uint64_t tick, unsigned level)
{
	return (unsigned)(tick >> (level * WHEEL_BITS)) & (WHEEL_SLOTS - 1);
}

static void place(struct wheel *w, struct wheel_timer *t)
{
	unsigned level = level_of(w, t->tick);
	unsigned digit = digit_of(t->tick, level);

	list_add_tail(&w->slot[level][digit], &t->link);
	w->pending[level] |= 1ull << digit;
}

void wheel_init(struct wheel *w, mono_t now)
{
	for (unsigned level = 0; level < WHEEL_LEVELS; level++) {
		for (unsigned digit = 0; digit < WHEEL_SLOTS; digit++)
			list_init(&w->slot[level][digit]);
		w->pending[level] = 0;
	}
	list_init(&w->due);
	list_init(&w->late);
	w->now = now.ns / WHEEL_TICK_NS;
	w->armed = 0;
}

void wheel_timer_init(struct wheel_timer *t)
{
	list_init(&t->link);
	t->tick = 0;
}

void wheel_arm(struct wheel *w, struct wheel_timer *t, mono_t when)
{
	wheel_cancel(w, t);
	t->tick = tick_of(when);
	if (t->tick <= w->now)
		list_add_tail(&w->late, &t->link);
	else
		place(w, t);
	w->armed++;
}

void wheel_cancel(struct wheel *w, struct wheel_timer *t)
{
	if (!wheel_timer_armed(t))
		return;
	list_del(&t->link);
	w->armed--;
	if (t->tick > w->now) {
		unsigned level = level_of(w, t->tick);
		unsigned digit = digit_of(t->tick, level);

		if (list_empty(&w->slot[level][digit]))
			w->pending[level] &= ~(1ull << digit);
	}
}

/* The start of the next slot that holds timers and its level, WHEEL_LEVELS if none does. */
static unsigned next_slot(const struct wheel *w, uint64_t *tick)
{
	for (unsigned level = 0; level < WHEEL_LEVELS; level++) {
		unsigned shift = level * WHEEL_BITS;
		uint64_t digit;

		if (!w->pending[level])
			continue;
		digit = (uint64_t)__builtin_ctzll(w->pending[level]);
		*tick = ((w->now >> shift & ~(uint64_t)(WHEEL_SLOTS - 1)) | digit) << shift;
		return level;
	}
	return WHEEL_LEVELS;
}

/* Step to the start of a slot and empty it: its timers are due or move to lower levels. */
static void enter_slot(struct wheel *w, unsigned level, uint64_t tick)
{
	struct list *slot = &w->slot[level][digit_of(tick, level)];
	struct list *l;

	w->now = tick;
	w->pending[level] &= ~(1ull << digit_of(tick, level));
	if (level == 0) {
		list_splice_tail(&w->due, slot);
		return;
	}
	while ((l = list_pop(slot))) {
		struct wheel_timer *t = container_of(l, struct wheel_timer, link);

		if (t->tick == tick)
			list_add_tail(&w->due, l);
		else
			place(w, t);
	}
}

static uint32_t fire_due(struct wheel *w, uint32_t budget, wheel_fn *fn, void *ctx)
{
	uint32_t fired = 0;
	struct list *l;

	while (fired < budget && (l = list_pop(&w->due))) {
		w->armed--;
		fired++;
		fn(ctx, container_of(l, struct wheel_timer, link));
	}
	return fired;
}

uint32_t wheel_advance(struct wheel *w, mono_t now, uint32_t budget, wheel_fn *fn, void *ctx)
{
	uint64_t target = now.ns / WHEEL_TICK_NS;
	uint32_t limit = budget ? budget : UINT32_MAX;
	uint32_t fired;
	uint64_t tick;

	/* What fn arms in the past goes to `late` again, so that this ends. */
	list_splice_tail(&w->due, &w->late);
	fired = fire_due(w, limit, fn, ctx);
	while (fired < limit) {
		unsigned level = next_slot(w, &tick);

		if (level == WHEEL_LEVELS || tick > target) {
			w->now = target > w->now ? target : w->now;
			break;
		}
		enter_slot(w, level, tick);
		fired += fire_due(w, limit - fired, fn, ctx);
	}
	return fired;
}

mono_t wheel_next(const struct wheel *w)
{
	uint64_t tick;

	if (!list_empty(&w->due) || !list_empty(&w->late))
		return tick_time(w->now);
	return next_slot(w, &tick) == WHEEL_LEVELS ? MONO_NEVER : tick_time(tick);
}
