/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Stamps that wait. A verdict that stamps its flow lets the flow's later packets pass in the kernel, and past
 * those that wait in the queue behind the packet of the verdict (R43); so datagrams that may have such behind them are let
 * in without. But as soon as this host answers, the flow is established and none of it comes here any more: without a
 * stamp no policy could ever end it. It gets one by way of conntrack, when it has been quiet for a moment.
 *
 * There is a place for each of some hundred flows; a flow that finds its place taken is stamped at once.
 */
#include "core/engine.h"

#define QUIET_NS (20 * MONO_NS_PER_MS)
#define LAST_NS  (500 * MONO_NS_PER_MS) /* one that is never quiet gets its stamp all the same */
#define AT_ONCE  8u /* stamps in one go: each is a system call or two, and packets wait */

static struct stamp_flow *slot_of(struct pend_engine *e, const struct flow *f)
{
	return &e->stamps.slot[pctx_hash(&e->table, f) % STAMP_FLOWS];
}

static void arm(struct pend_engine *e)
{
	struct stamps *s = &e->stamps;

	if (s->owed)
		wheel_arm(&e->table.wheel, &s->timer, e->now);
	else if (s->n && !wheel_timer_armed(&s->timer))
		wheel_arm(&e->table.wheel, &s->timer,
			  mono_add(s->slot[s->ring[s->head]].last, QUIET_NS));
}

static void push(struct stamps *s, uint16_t slot)
{
	s->ring[(s->head + s->n++) % STAMP_FLOWS] = slot;
}

static uint16_t pop(struct stamps *s)
{
	uint16_t slot = s->ring[s->head];

	s->head = (uint16_t)((s->head + 1) % STAMP_FLOWS);
	s->n--;
	s->owed -= s->owed > 0;
	return slot;
}

bool stamp_later(struct pend_engine *e, const struct flow *f)
{
	struct stamps *s = &e->stamps;
	struct stamp_flow *at;

	if (s->off || !e->ops->stamp)
		return false;
	at = slot_of(e, f);
	if (at->waits && !flow_equal(&at->flow, f))
		return false;
	at->last = e->now;
	if (at->waits)
		return true;
	at->flow = *f;
	at->first = e->now;
	at->waits = true;
	at->tried = false;
	push(s, (uint16_t)(at - s->slot));
	arm(e);
	return true;
}

/* NOT_NOW: it waits, and is as it was. */
static enum engine_stamp stamp(struct pend_engine *e, struct stamp_flow *at)
{
	enum engine_stamp done = e->ops->stamp(e->io, &at->flow);

	at->waits = done == STAMP_NOT_NOW;
	e->stats.stamped_later += done == STAMP_SET;
	if (done == STAMP_CANNOT)
		e->stamps.off = true; /* not to be had here: from now on all are stamped at once */
	return done;
}

/* Its verdict may have been late for want of memory. */
static void try_again(struct pend_engine *e, struct stamp_flow *at)
{
	if (at->tried)
		return;
	at->tried = at->waits = true;
	at->first = at->last = e->now;
	push(&e->stamps, (uint16_t)(at - e->stamps.slot));
}

/* May it have its stamp? */
static bool is_due(const struct pend_engine *e, const struct stamp_flow *at)
{
	return e->stamps.owed || mono_since(e->now, at->last) >= QUIET_NS ||
	       mono_since(e->now, at->first) >= LAST_NS;
}

void stamp_timer(struct pend_engine *e)
{
	struct stamps *s = &e->stamps;

	for (unsigned i = 0; i < AT_ONCE && s->n; i++) {
		struct stamp_flow *at = &s->slot[s->ring[s->head]];

		if (is_due(e, at)) {
			enum engine_stamp done = stamp(e, at);

			if (done == STAMP_NOT_NOW) {
				/* Nor would the others get theirs. */
				wheel_arm(&e->table.wheel, &s->timer, mono_add(e->now, QUIET_NS));
				return;
			}
			pop(s);
			if (done == STAMP_NO_FLOW)
				try_again(e, at);
		} else if (mono_since(e->now, at->first) >= QUIET_NS) {
			push(s, pop(s)); /* it goes on: look again later */
		} else {
			break;
		}
	}
	arm(e);
}

void stamp_owe(struct pend_engine *e)
{
	e->stamps.owed = e->stamps.n;
	arm(e);
}

void stamp_all(struct pend_engine *e)
{
	while (e->stamps.n) {
		struct stamp_flow *at = &e->stamps.slot[pop(&e->stamps)];

		stamp(e, at);
		at->waits = false;
	}
	wheel_cancel(&e->table.wheel, &e->stamps.timer);
}
