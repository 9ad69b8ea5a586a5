/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Hierarchical timer wheel with timers embedded in their owners: arm, cancel and expire
 * are O(1) each however many are armed; advancing over idle time skips empty slots.
 * Resolution is one tick of WHEEL_TICK_MS; a timer never fires early and fires at most
 * one tick after its time, provided that wheel_advance is called. Timers due in the same
 * tick fire in the order in which they were armed. Not thread safe.
 */
#ifndef BASE_WHEEL_H
#define BASE_WHEEL_H

#include "base/list.h"
#include "base/mono.h"
#include <stdbool.h>
#include <stdint.h>

#define WHEEL_TICK_MS 1u
#define WHEEL_BITS    6u
#define WHEEL_SLOTS   (1u << WHEEL_BITS)
#define WHEEL_LEVELS  8u /* 64^8 ms: more than a mono_t can hold, so nothing is clamped */

struct wheel_timer {
	struct list link;
	uint64_t tick; /* when it fires */
};

struct wheel {
	struct list slot[WHEEL_LEVELS][WHEEL_SLOTS];
	uint64_t pending[WHEEL_LEVELS]; /* bitmap of slots that hold timers */
	struct list due;                /* taken from their slot, not fired yet: budget spent */
	struct list late;               /* armed for a tick that was over: next advance */
	uint64_t now;                   /* the tick reached; earlier ones are empty but for these */
	uint32_t armed;                 /* timers in the wheel */
};

typedef void wheel_fn(void *ctx, struct wheel_timer *t);

void wheel_init(struct wheel *w, mono_t now);
void wheel_timer_init(struct wheel_timer *t);
static inline bool wheel_timer_armed(const struct wheel_timer *t)
{
	return list_linked(&t->link);
}
/*
 * Arm or re-arm. A time up to the tick last reached fires at the next advance, never within
 * the one that is calling fn. MONO_NEVER is allowed and never fires.
 */
void wheel_arm(struct wheel *w, struct wheel_timer *t, mono_t when);
/* No effect if it is not armed. */
void wheel_cancel(struct wheel *w, struct wheel_timer *t);
/*
 * Fires (unlinks, then calls fn) every timer due at `now`, at most `budget` of them
 * (0: no limit). fn may arm and cancel any timer. Returns how many fired; when it equals the
 * budget, more may be due and wheel_next says so: they fire first at the next advance.
 */
uint32_t wheel_advance(struct wheel *w, mono_t now, uint32_t budget, wheel_fn *fn, void *ctx);
/*
 * The earliest time at which wheel_advance may have work (exact within the lowest level,
 * never later than the earliest timer); MONO_NEVER when nothing is armed.
 */
mono_t wheel_next(const struct wheel *w);

#endif
