/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Completing: the only way out of the table. Whatever ends a context - a decision, its deadline,
 * its peer, the engine's end - comes through here, and complete_settle() is the one place that counts it.
 *
 * A packet that waits in the kernel may have been dropped there behind our back (L6 to L9): the
 * verdict then meets ENOENT. A permit is therefore reported only when the kernel has answered
 * for it (R26, R28): the context is COMPLETING until the acknowledgement of its send, its barrier,
 * was read. A permit that released nothing ends FLUSHED, never PERMITTED.
 */
#include "core/engine.h"

enum { PROTO_TCP = 6, HOOK_LOCAL_IN = 1 };

/* A datagram flow is quiet when nothing came for this long: stamping it cannot reorder it. */
#define QUIET_MS       20u
#define INJECT_WAIT_NS MONO_NS_PER_S
/* A permit that the completion pass could not judge is put to it again so often, and for so long. */
#define UNTOLD_NS     (100 * MONO_NS_PER_MS)
#define UNTOLD_MAX_NS (2 * MONO_NS_PER_S)

static bool is_tcp(const struct pctx *c)
{
	return c->flow.proto == PROTO_TCP;
}

/* Terminal. Those whose peer may still send copies of the attempt linger; the others go at once. */
void complete_settle(struct pend_engine *e, struct pctx *c, enum pend_state state)
{
	list_del(&c->link);
	wheel_cancel(&e->table.wheel, &c->timer);
	c->state = (uint8_t)state;
	c->completed = e->now;
	/* Counted whole before anybody can look. Nothing is pended from inside of an event, so that
	 * nobody takes the slot meanwhile. */
	e->stats.ended[state]++;
	pctx_retire(&e->table, c);
	engine_event(e, PEND_EVENT_COMPLETED, c);
	if (state == PEND_STATE_ABANDONED || state == PEND_STATE_LOST ||
	    state == PEND_STATE_DRAINED || c->flags & PCTX_UNTOLD) {
		pctx_free(&e->table, c);
		return;
	}
	linger_begin(e, c);
}

static void answer(struct pend_engine *e, const struct pctx *c)
{
	uint8_t out[PACKET_ANSWER_MAX];
	int len;

	if (c->block == PEND_BLOCK_RESET && is_tcp(c))
		len = packet_make_reset(&c->flow, c->isn, 0, out);
	else
		len = packet_make_unreachable(&c->flow, c->isn, out);
	if (len > 0 && e->ops->answer(e->io, out, (uint32_t)len, &c->flow, c->iif))
		e->stats.answers_forged++;
}

static void await(struct pctx *c, unsigned sent, unsigned away, enum pend_state outcome)
{
	c->state = PEND_STATE_COMPLETING;
	c->outcome = (uint8_t)outcome;
	c->sent = (uint16_t)(sent < UINT16_MAX ? sent : UINT16_MAX);
	c->away = away;
	c->failed = 0;
}

static void await_barrier(struct pend_engine *e, struct pctx *c)
{
	c->barrier = e->barrier;
	e->barrier_wanted = true;
	list_add_tail(&e->table.completing, &c->link);
}

static bool datagrams_quiet(const struct pend_engine *e, const struct pctx *c)
{
	return mono_since(e->now, c->created) / MONO_NS_PER_MS >= (uint64_t)c->last_ms + QUIET_MS;
}

/* Let the held packets go on, oldest first (R43). Returns how many. */
static unsigned release_held(struct pend_engine *e, struct pctx *c)
{
	/* Each has a conntrack entry of its own in the queue, and only the first one's stays. What was ended before
	 * has a mark to lose. */
	bool stamp = is_tcp(c) || (c->packets == 1 && datagrams_quiet(e, c)) ||
		     (c->hook != HOOK_LOCAL_IN && c->flags & PCTX_DNAT) || c->flags & PCTX_ENDED ||
		     !stamp_later(e, &c->flow);
	unsigned n = 0;
	struct pkept k;

	while (pctx_take(&e->table, c, &k)) {
		engine_verdict(e, k.id, stamp && !n ? ENGINE_ACCEPT : ENGINE_ACCEPT_ONCE, c->mark,
			       c);
		n++;
	}
	return n;
}

/* Send our copies as if they came in again (R41, R42). Returns how many went. */
static unsigned release_copies(struct pend_engine *e, struct pctx *c)
{
	unsigned n = 0;
	struct pkept k;

	while (pctx_take(&e->table, c, &k)) {
		uint32_t len = pctx_fetch_copy(&e->table, &k, e->scratch, ENGINE_SCRATCH);
		bool ok = len == k.len && c->hook == HOOK_LOCAL_IN;

		if (ok && k.csum_pending)
			ok = packet_fix_checksum(e->scratch, len) == 0;
		if (ok && e->ops->inject(e->io, e->scratch, len, &c->flow, c->iif)) {
			e->stats.injected++;
			n++;
		} else {
			e->stats.inject_failed++;
		}
	}
	return n;
}

/* Drop what waits. Returns how many of them were in the kernel. */
static unsigned drop_packets(struct pend_engine *e, struct pctx *c)
{
	unsigned n = 0;
	struct pkept k;

	while (pctx_take(&e->table, c, &k)) {
		if (k.block != SLAB_NONE) {
			pctx_fetch_copy(&e->table, &k, NULL, 0);
			continue;
		}
		engine_verdict(e, k.id, ENGINE_DROP, c->mark, c);
		n++;
	}
	return n;
}

static void permit(struct pend_engine *e, struct pctx *c, const struct decision *d)
{
	bool buffer = c->release == PEND_RELEASE_BUFFER && !d->flush;
	enum pend_state outcome = d->outcome != PEND_STATE_FREE ? d->outcome
				  : buffer                      ? PEND_STATE_PERMITTED
								: PEND_STATE_FLUSHED;
	unsigned n = 0;

	if (buffer && c->mode == PEND_MODE_HOLD)
		n = release_held(e, c);
	else if (buffer)
		n = release_copies(e, c);
	else
		drop_packets(e, c);
	if (n && c->mode == PEND_MODE_HOLD) {
		await(c, n, 0, outcome);
		await_barrier(e, c);
	} else if (n) {
		/* Our copies come to the queue like the peer's own: only then they are let in. */
		await(c, 0, n, outcome);
		c->flags |= PCTX_INJECTED;
		wheel_arm(&e->table.wheel, &c->timer, mono_add(e->now, INJECT_WAIT_NS));
	} else {
		complete_settle(e, c,
				outcome == PEND_STATE_PERMITTED ? PEND_STATE_FLUSHED : outcome);
	}
}

static void block(struct pend_engine *e, struct pctx *c, const struct decision *d)
{
	enum pend_state outcome = d->outcome != PEND_STATE_FREE ? d->outcome : PEND_STATE_BLOCKED;
	bool refuse = c->block != PEND_BLOCK_DROP;
	bool repeat = refuse && e->cfg.can_reject && c->mode == PEND_MODE_HOLD && c->packets;
	unsigned n = 0;
	struct pkept k;

	if (repeat && pctx_take(&e->table, c, &k)) {
		engine_verdict(e, k.id,
			       c->block == PEND_BLOCK_RESET ? ENGINE_RESET : ENGINE_UNREACH,
			       c->mark, c);
		n++;
	} else if (refuse) {
		answer(e, c);
	}
	n += drop_packets(e, c);
	/* Whether a timed-out packet was still there tells TIMED_OUT from LOST. */
	if (n && outcome == PEND_STATE_TIMED_OUT) {
		await(c, n, 0, outcome);
		await_barrier(e, c);
	} else {
		complete_settle(e, c, outcome);
	}
}

static void carry_out(struct pend_engine *e, struct pctx *c, const struct decision *d)
{
	e->callout[c->pender].live--;
	wheel_cancel(&e->table.wheel, &c->timer);
	c->verdict = (uint8_t)d->verdict;
	c->reason = d->reason;
	c->turn = e->turn;
	if (d->outcome == PEND_STATE_TIMED_OUT)
		c->flags |= PCTX_EXPIRED;
	if (d->verdict == PEND_VERDICT_PERMIT) {
		permit(e, c, d);
	} else {
		c->block = (uint8_t)d->block;
		block(e, c, d);
	}
}

/* STORED -> PENDED: somebody may answer from here on, and the deadline runs. */
static void enter_pended(struct pend_engine *e, struct pctx *c)
{
	e->callout[c->pender].live++;
	c->state = PEND_STATE_PENDED;
	wheel_arm(&e->table.wheel, &c->timer, c->deadline);
	engine_event(e, PEND_EVENT_PENDED, c);
}

static struct decision dangling_decision(const struct pctx *c)
{
	return (struct decision){.verdict = PEND_VERDICT_BLOCK,
				 .block = (enum pend_block)c->block,
				 .reason = PEND_CODE_DANGLING};
}

void complete_stored(struct pend_engine *e, struct pctx *c, const struct engine_input *in,
		     const struct arbiter_result *r)
{
	struct decision d = {0};

	if (in && c->mode == PEND_MODE_ABSORB)
		engine_verdict(e, in->id, ENGINE_DROP, in->mark, NULL);
	if (r->dangling) {
		e->stats.dangling++;
		c->flags |= PCTX_EARLY; /* that is decided: nobody may permit it first */
		d = dangling_decision(c);
	} else if (r->early) {
		d = r->decision;
	}
	enter_pended(e, c);
	if (r->dangling || r->early)
		complete_decide(e, c, &d);
}

static void refused_by_pass(struct pend_engine *e, const struct arbiter_result *r,
			    struct decision *d)
{
	e->stats.completion_blocked++;
	d->verdict = PEND_VERDICT_BLOCK;
	d->block = r->block;
	if (!d->pass)
		d->reason = r->loop ? PEND_CODE_LOOP : PEND_CODE_COMPLETION_PASS;
}

/* A block needs no completion pass. But where one would let it in by now, it is meant to stand all the same. */
static void blocked_against(struct pend_engine *e, struct pctx *c)
{
	if (c->turn == e->turn)
		return;
	c->verdict = PEND_VERDICT_BLOCK;
	c->state = PEND_STATE_COMPLETING; /* as in a completion pass */
	e->callout[c->pender].live--;
	if (arbiter_stands(e, c) == ARBITER_FALLS)
		c->flags |= PCTX_AGAINST;
	e->callout[c->pender].live++;
}

/*
 * A callout of the completion pass blocks for now, and may know better in a moment: the permit stands until then, and
 * its packets wait on. When it never does, nothing lingers, so that the peer's next copy is classified anew.
 */
static bool put_off(struct pend_engine *e, struct pctx *c, const struct decision *d,
		    const struct arbiter_result *r)
{
	bool first = !(c->flags & PCTX_UNTOLD);

	c->flags &= (uint16_t)~PCTX_UNTOLD;
	if (r->action == PEND_ACTION_PERMIT || !r->once)
		return false;
	c->flags |= PCTX_UNTOLD;
	if (d->verdict != PEND_VERDICT_PERMIT || d->flush || e->draining ||
	    d->outcome == PEND_STATE_DRAINED)
		return false;
	if (first)
		c->deadline = mono_add(e->now, UNTOLD_MAX_NS);
	else if (!mono_before(e->now, c->deadline))
		return false;
	if (d->outcome == PEND_STATE_TIMED_OUT)
		c->flags |= PCTX_EXPIRED;
	c->state = PEND_STATE_PENDED;
	wheel_arm(&e->table.wheel, &c->timer, mono_add(e->now, UNTOLD_NS));
	return true;
}

enum pend_status complete_decide(struct pend_engine *e, struct pctx *c,
				 const struct decision *asked)
{
	struct decision d = *asked;
	bool reinvoke = d.verdict == PEND_VERDICT_CONTINUE && !d.pass;
	struct arbiter_result r;

	if (d.verdict == PEND_VERDICT_BLOCK && !d.pass) {
		c->flags &= (uint16_t)~PCTX_UNTOLD;
		blocked_against(e, c);
		carry_out(e, c, &d);
		return PEND_OK;
	}
	c->state = PEND_STATE_COMPLETING; /* a second completion from inside the pass: ALREADY */
	c->verdict = (uint8_t)d.verdict;
	c->reason = d.reason;
	e->callout[c->pender].live--;
	arbiter_complete(e, c, d.pass ? PEND_VERDICT_CONTINUE : d.verdict, reinvoke, &r);
	if (r.pended) {
		complete_stored(e, c, NULL, &r);
		return PEND_OK;
	}
	e->callout[c->pender].live++;
	if (put_off(e, c, &d, &r))
		return PEND_OK;
	d.verdict = PEND_VERDICT_PERMIT;
	if (r.action != PEND_ACTION_PERMIT)
		refused_by_pass(e, &r, &d);
	carry_out(e, c, &d);
	return r.loop ? PEND_E_LOOP : PEND_OK;
}

/* The kernel has said what became of all the packets of a COMPLETING context. */
static void conclude(struct pend_engine *e, struct pctx *c, bool sure)
{
	bool none = !sure || c->failed >= c->sent;
	bool permit_given = c->verdict == PEND_VERDICT_PERMIT;

	/* What a deadline permits is owed to its peer, who may have nothing of it (R20). */
	if (none && (c->flags & PCTX_EXPIRED) && sure && !permit_given)
		complete_settle(e, c, PEND_STATE_LOST);
	else if (none && permit_given && c->outcome == PEND_STATE_PERMITTED)
		complete_settle(e, c, PEND_STATE_FLUSHED);
	else
		complete_settle(e, c, (enum pend_state)c->outcome);
}

/* All verdicts of sends up to `barrier` are settled. */
static void settle_sends(struct pend_engine *e, uint32_t barrier, bool sure)
{
	e->acked = barrier;
	while (!list_empty(&e->table.completing)) {
		struct pctx *c = container_of(e->table.completing.next, struct pctx, link);

		if ((int32_t)(c->barrier - barrier) > 0)
			break;
		conclude(e, c, sure);
	}
}

/*
 * They come in the order in which they were asked for. Those before it that did not come were dropped by an
 * overrun, perhaps with the errors they stand behind, so what they were to confirm is not known to have happened.
 */
void complete_acknowledged(struct pend_engine *e, uint32_t barrier)
{
	uint32_t missing = barrier - e->acked - 1;

	if (missing >= e->barrier - 1 - e->acked) /* none that is out */
		return;
	if (missing)
		settle_sends(e, barrier - 1, false);
	settle_sends(e, barrier, true);
}

void complete_unacknowledged(struct pend_engine *e, uint32_t barrier)
{
	if (e->acked != barrier)
		settle_sends(e, barrier, false);
}

void complete_kernel_lost(struct pend_engine *e, uint32_t seq, uint32_t id)
{
	uint32_t slot = seq & ENGINE_SEQ_SLOT;
	struct pctx *c;

	(void)id;
	e->stats.kernel_lost++;
	if (!slot)
		return;
	c = slab_at(&e->table.slab, slot - 1);
	if (!c || c->state == PEND_STATE_FREE ||
	    (seq >> ENGINE_SEQ_GEN_SHIFT & ENGINE_SEQ_GEN_MASK) !=
		    (c->generation & ENGINE_SEQ_GEN_MASK))
		return;
	c->flags |= PCTX_LOST_ONCE;
	if (c->state == PEND_STATE_COMPLETING) {
		c->failed += !(seq & ENGINE_SEQ_OLD);
	} else if (c->state == PEND_STATE_PENDED) {
		if (c->packets) /* a newer copy stands for it already */
			e->stats.reattached++;
		engine_event(e, PEND_EVENT_KERNEL_LOST, c);
	} else if (c->state == PEND_STATE_BLOCKED && c->block != PEND_BLOCK_DROP &&
		   !(seq & ENGINE_SEQ_OLD) && !c->failed++) {
		answer(e, c); /* the refusal went down with the packet */
	}
}

void complete_abandon(struct pend_engine *e, struct pctx *c)
{
	if (c->state == PEND_STATE_PENDED) {
		e->callout[c->pender].live--;
		c->reason = PEND_CODE_PEER;
		drop_packets(e, c);
		complete_settle(e, c, PEND_STATE_ABANDONED);
		return;
	}
	if (c->state == PEND_STATE_COMPLETING) {
		/* Settled as far as is known now, then forgotten. */
		pend_context h = pctx_handle(&e->table, c);

		conclude(e, c, false);
		if (pctx_handle(&e->table, c) != h || c->state == PEND_STATE_FREE)
			return;
	}
	pctx_free(&e->table, c);
}

void complete_returned(struct pend_engine *e, struct pctx *c)
{
	c->sent += c->sent < UINT16_MAX;
	if (--c->away)
		return;
	/* The kernel has yet to say whether it still had what was accepted (R26, R28). */
	c->flags &= (uint16_t)~PCTX_INJECTED;
	wheel_cancel(&e->table.wheel, &c->timer);
	await_barrier(e, c);
}

/* What did come back was answered for long ago; where nothing did, the peer has to. */
static void not_returned(struct pend_engine *e, struct pctx *c)
{
	c->flags &= (uint16_t)~PCTX_INJECTED;
	conclude(e, c, true);
}

static struct decision due(const struct pctx *c)
{
	if (c->flags & PCTX_UNTOLD)
		return (struct decision){.verdict = PEND_VERDICT_PERMIT,
					 .block = (enum pend_block)c->block,
					 .outcome = c->flags & PCTX_EXPIRED ? PEND_STATE_TIMED_OUT
									    : PEND_STATE_FREE,
					 .reason = c->reason};
	return (struct decision){.verdict = (enum pend_verdict)c->on_timeout,
				 .block = (enum pend_block)c->block,
				 .outcome = PEND_STATE_TIMED_OUT,
				 .reason = PEND_CODE_DEADLINE};
}

void complete_timer(void *engine, struct wheel_timer *t)
{
	struct pend_engine *e = engine;
	struct pctx *c = container_of(t, struct pctx, timer);

	if (t == &e->stamps.timer) {
		stamp_timer(e);
		return;
	}
	switch ((enum pend_state)c->state) {
	case PEND_STATE_PENDED: {
		struct decision d = due(c);

		complete_decide(e, c, &d);
		return;
	}
	case PEND_STATE_COMPLETING:
		not_returned(e, c);
		return;
	case PEND_STATE_PERMITTED:
	case PEND_STATE_BLOCKED:
	case PEND_STATE_FLUSHED:
	case PEND_STATE_TIMED_OUT:
		linger_timer(e, c);
		return;
	case PEND_STATE_FREE:
	case PEND_STATE_STORED:
	case PEND_STATE_ABANDONED:
	case PEND_STATE_LOST:
	case PEND_STATE_DRAINED:
	case PEND_STATE_COUNT:
		return;
	}
}
