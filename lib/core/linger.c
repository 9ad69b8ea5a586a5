/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What comes behind the end of a context: late copies of its attempt and later datagrams of its flow meet the same
 * decision without a second question (R14, T20), until none can be on its way any more. Meanwhile the flow of a
 * permitted one is looked up in conntrack (R44).
 */
#include "core/engine.h"

enum { PROTO_TCP = 6, HOOK_LOCAL_IN = 1 };

/* A peer that is held for t sends again after at most about t more (RFC 6298 doubles), so what is
 * remembered of a decision must last for that, and for a slow path. */
#define LINGER_BASE_NS (5 * MONO_NS_PER_S)
/* A context may be young and its peer's retry interval long already: copies before were lost. What the peer is
 * owed lasts for the longest interval of a SYN (64 s). */
#define LINGER_OWED_NS (70 * MONO_NS_PER_S)
#define LINGER_MAX_NS  (130 * MONO_NS_PER_S)
/* Younger than this, no retransmission can exist (RFC 6298: the RTO is 1 s at least). */
#define LINGER_YOUNG_NS (500 * MONO_NS_PER_MS)

#define TRACK_PER_SECOND 500u

static const uint32_t track_after_ms[] = {300, 1000, 3000, 10000, 30000};
#define TRACK_STEPS (sizeof(track_after_ms) / sizeof(*track_after_ms))

static bool is_tcp(const struct pctx *c)
{
	return c->flow.proto == PROTO_TCP;
}

static uint64_t linger_ns(const struct pend_engine *e, const struct pctx *c)
{
	uint64_t ns = 2 * mono_since(e->now, c->created) +
		      (pctx_owed(c) ? LINGER_OWED_NS : LINGER_BASE_NS);

	return ns < LINGER_MAX_NS ? ns : LINGER_MAX_NS;
}

static bool track_start(struct pend_engine *e, struct pctx *c)
{
	if (!e->cfg.track_established || !is_tcp(c) || (c->flags & PCTX_TRACKED))
		return false;
	if (mono_since(e->now, e->track_second) >= MONO_NS_PER_S) {
		e->track_second = e->now;
		e->track_budget = TRACK_PER_SECOND;
	}
	if (!e->track_budget)
		return false;
	e->track_budget--;
	c->flags |= PCTX_TRACKED;
	c->track = 0;
	wheel_arm(&e->table.wheel, &c->timer, mono_add(e->now, track_after_ms[0] * MONO_NS_PER_MS));
	return true;
}

/*
 * Of a TCP attempt no copy comes when its peer has given up. A flow of datagrams may never be quiet, and what
 * is remembered of it decides for no longer than this.
 */
static mono_t linger_end(const struct pend_engine *e, const struct pctx *c)
{
	mono_t end = mono_add(e->now, linger_ns(e, c));
	mono_t last = mono_add(c->completed, LINGER_MAX_NS);

	return !(c->flags & PCTX_ISN) && mono_before(last, end) ? last : end;
}

void linger_begin(struct pend_engine *e, struct pctx *c)
{
	bool permitted = c->state == PEND_STATE_PERMITTED;
	bool young = mono_since(e->now, c->created) < LINGER_YOUNG_NS && !c->retransmits;
	bool tracked = permitted && track_start(e, c);

	c->linger = linger_end(e, c);
	if (permitted && c->verdict == PEND_VERDICT_PERMIT && young && is_tcp(c) && !tracked)
		pctx_free(&e->table, c);
	else if (!tracked)
		wheel_arm(&e->table.wheel, &c->timer, c->linger);
}

/* Has the peer come back for its permit, or had the packet it waited with let in? */
static bool taken_up(const struct pctx *c)
{
	return c->state == PEND_STATE_PERMITTED || c->flags & PCTX_USED;
}

enum arbiter_word linger_stands(struct pend_engine *e, struct pctx *c)
{
	bool permit = c->verdict == PEND_VERDICT_PERMIT;
	enum arbiter_word word = ARBITER_STANDS;

	if (c->turn == e->turn)
		return ARBITER_STANDS;
	if (permit && taken_up(c) && e->forgotten && (int16_t)(c->turn - e->forgotten) < 0)
		return ARBITER_FALLS;
	if (!(c->flags & PCTX_AGAINST))
		word = arbiter_stands(e, c);
	if (word == ARBITER_STANDS)
		c->turn = e->turn;
	return word;
}

void linger_late(struct pend_engine *e, struct pctx *c, const struct engine_input *in)
{
	/* A packet of the peer's own that comes before them is none of those that went out (R26). */
	bool ours = c->flags & PCTX_INJECTED && mark_is_inject(&e->marks, in->mark);

	e->stats.late_copies++;
	if (c->verdict != PEND_VERDICT_PERMIT) {
		engine_refuse(e, in, &c->flow, c->isn, (enum pend_block)c->block);
		if (c->state > PEND_STATE_COMPLETING)
			c->linger = linger_end(e, c);
		return;
	}
	engine_verdict(e, in->id, engine_accept(e, in, &c->flow), in->mark, ours ? c : NULL);
	if (c->state == PEND_STATE_COMPLETING) {
		if (ours)
			complete_returned(e, c);
		return;
	}
	pctx_used(&e->table, c);
	c->linger = linger_end(e, c);
	if (!track_start(e, c) && !(c->flags & PCTX_TRACKED))
		wheel_arm(&e->table.wheel, &c->timer, c->linger);
}

static void track_look(struct pend_engine *e, struct pctx *c)
{
	enum engine_track t = e->ops->track(e->io, &c->flow);

	/* With its source translated as well, it may be there and not be found. */
	if (t == TRACK_NONE && c->flags & PCTX_DNAT && c->hook != HOOK_LOCAL_IN)
		t = TRACK_UNKNOWN;
	c->track++;
	if (t == TRACK_ESTABLISHED) {
		c->flags |= PCTX_ESTABLISHED;
		e->stats.established++;
		engine_event(e, PEND_EVENT_ESTABLISHED, c);
		c->track = TRACK_STEPS;
	} else if (t == TRACK_CLOSED || t == TRACK_NONE) {
		e->stats.flow_closed++;
		engine_event(e, PEND_EVENT_CLOSED, c);
		c->track = TRACK_STEPS;
	} else if (t == TRACK_UNKNOWN) {
		c->track = TRACK_STEPS;
	}
}

void linger_timer(struct pend_engine *e, struct pctx *c)
{
	mono_t next = c->linger;

	if ((c->flags & PCTX_TRACKED) && c->track < TRACK_STEPS) {
		track_look(e, c);
		if (c->track < TRACK_STEPS)
			next = mono_add(e->now, track_after_ms[c->track] * MONO_NS_PER_MS);
	}
	if (mono_before(e->now, c->linger))
		wheel_arm(&e->table.wheel, &c->timer,
			  mono_before(next, c->linger) ? next : c->linger);
	else
		pctx_free(&e->table, c);
}
