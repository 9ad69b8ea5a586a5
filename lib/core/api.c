/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The part of pend.h that needs no socket: arguments are checked here, once. */
#include "core/engine.h"
#include <stdlib.h>
#include <string.h>

#define PACKET_CLONE_MAX 65536u

enum pend_status pend_operation(struct pend_engine *e, struct pend_completion *completion,
				const struct pend_options *o, pend_context *context)
{
	if (!e || !o || !context)
		return PEND_E_NULL_POINTER;
	if (!completion) /* none was offered (R3, R7), or none was passed on (R2) */
		return e->call && !e->call->offered ? PEND_E_CANNOT_PEND : PEND_E_NULL_POINTER;
	if (!e->started)
		return PEND_E_NOT_READY;
	/* A handle is a number that is never used twice: an old one is known for what it is. The
	 * notify function is not the callout, even if it runs inside of its call. */
	if (!e->call || !e->call->offered || e->call->notifying != e->notifying ||
	    e->call->token != (uint64_t)(uintptr_t)completion)
		return PEND_E_STALE;
	if (!o->timeout_ns || o->on_timeout > PEND_VERDICT_PERMIT ||
	    o->block > PEND_BLOCK_UNREACHABLE || o->release > PEND_RELEASE_BUFFER ||
	    o->mode > PEND_MODE_ABSORB)
		return PEND_E_INVALID;
	return begin_pend(e, e->call, o, context);
}

/* The classify call that made this context, if it is still running. */
static struct engine_call *call_of(struct pend_engine *e, const struct pctx *c)
{
	for (struct engine_call *call = e->call; call; call = call->outer)
		if (call->ctx == c && call->pended)
			return call;
	return NULL;
}

/* Inside of a callout or of the notify function. */
static bool engine_busy(const struct pend_engine *e)
{
	return e->depth || e->notifying;
}

/* A program may complete long after the last packet was read: what is timed from a completion (how
 * long a permit is remembered, whether datagrams are quiet) must not start back then. */
static void refresh(struct pend_engine *e)
{
	if (!engine_busy(e) && e->ops->now)
		e->now = e->ops->now(e->io);
}

static enum pend_status complete(struct pend_engine *e, pend_context context,
				 const struct decision *d, bool own_block)
{
	struct decision own = *d;
	struct engine_call *call;
	struct pctx *c;
	enum pend_status s;

	if (!e)
		return PEND_E_NULL_POINTER;
	s = pctx_find(&e->table, context, &c);
	if (s != PEND_OK)
		return s;
	if (!own_block)
		own.block = (enum pend_block)c->block;
	refresh(e);
	if (c->state == PEND_STATE_PENDED) {
		if (c->flags & PCTX_UNTOLD)
			return PEND_E_ALREADY;
		if (e->notifying >= ENGINE_NOTIFY_DEPTH ||
		    (e->depth >= ENGINE_DEPTH && own.verdict != PEND_VERDICT_BLOCK))
			return PEND_E_BUSY;
		return complete_decide(e, c, &own);
	}
	call = call_of(e, c);
	if (!call)
		return PEND_E_NOT_FOUND;
	c->flags |= PCTX_EARLY;
	call->early = true;
	call->decision = own;
	return PEND_OK;
}

void pend_context_prefetch(const struct pend_engine *e, const pend_context *context, unsigned n)
{
	if (!e || !context || !pctx_is_large(&e->table))
		return;
	for (unsigned i = 0; i < n; i++)
		pctx_prefetch(&e->table, context[i]);
	for (unsigned i = 0; i < n; i++)
		pctx_prefetch_around(&e->table, context[i]);
}

enum pend_status pend_complete(struct pend_engine *e, pend_context context,
			       enum pend_verdict verdict, uint32_t reason)
{
	struct decision d = {.verdict = verdict, .reason = reason};

	if (verdict > PEND_VERDICT_CONTINUE)
		return PEND_E_INVALID;
	return complete(e, context, &d, false);
}

enum pend_status pend_complete_block(struct pend_engine *e, pend_context context,
				     enum pend_block how, uint32_t reason)
{
	struct decision d = {.verdict = PEND_VERDICT_BLOCK, .block = how, .reason = reason};

	if (how > PEND_BLOCK_UNREACHABLE)
		return PEND_E_INVALID;
	return complete(e, context, &d, true);
}

enum pend_status pend_complete_operation(struct pend_engine *e, pend_context context,
					 struct pend_packet *packet)
{
	/* With a clone: permitted; what is queued makes way for the clone, which the caller
	 * injects next. Without: flushed, and the completion pass is the judge. */
	struct decision d = {.verdict = packet ? PEND_VERDICT_PERMIT : PEND_VERDICT_CONTINUE,
			     .pass = !packet,
			     .flush = true};

	return complete(e, context, &d, false);
}

struct pend_packet *pend_packet_clone(struct pend_engine *e, const struct pend_packet *p)
{
	struct pend_packet *clone;
	uint8_t *data;

	if (!e || !p || !p->data || !p->len || p->len > PACKET_CLONE_MAX)
		return NULL;
	clone = malloc(sizeof(*clone) + p->len);
	if (!clone)
		return NULL;
	data = (uint8_t *)(clone + 1);
	*clone = *p;
	memcpy(data, p->data, p->len);
	clone->data = data;
	clone->clone = true;
	clone->injection = PEND_INJECTION_NONE;
	if (p->csum_pending && packet_fix_checksum(data, p->len) == 0)
		clone->csum_pending = false;
	return clone;
}

void pend_packet_free(struct pend_packet *p)
{
	if (p && p->clone)
		free(p);
}

const void *pend_packet_data(const struct pend_packet *p, size_t *len)
{
	if (len)
		*len = p ? p->len : 0;
	return p ? p->data : NULL;
}

enum pend_injection pend_packet_injection_state(const struct pend_packet *p)
{
	return p ? p->injection : PEND_INJECTION_NONE;
}

enum pend_status pend_inject_receive(struct pend_engine *e, const struct pend_packet *p)
{
	struct pctx *c;

	if (!e || !p)
		return PEND_E_NULL_POINTER;
	if (!p->clone || p->csum_pending)
		return PEND_E_INVALID;
	c = pctx_lookup(&e->table, &p->flow, pctx_hash(&e->table, &p->flow));
	if (!c || c->state <= PEND_STATE_PENDED || c->verdict != PEND_VERDICT_PERMIT ||
	    c->isn != p->isn)
		return PEND_E_NOT_FOUND;
	if (!e->cfg.raw_reinject || p->hook != 1)
		return PEND_E_UNSUPPORTED;
	if (!e->ops->inject(e->io, p->data, p->len, &p->flow, p->iif)) {
		e->stats.inject_failed++;
		return PEND_E_SYSTEM;
	}
	e->stats.injected++;
	return PEND_OK;
}

enum pend_status pend_context_info(const struct pend_engine *e, pend_context context,
				   struct pend_info *info)
{
	struct pctx *c;
	enum pend_status s;

	if (!e || !info)
		return PEND_E_NULL_POINTER;
	s = pctx_find(&e->table, context, &c);
	if (s != PEND_OK && s != PEND_E_ALREADY)
		return s;
	c = slab_at(&e->table.slab, (uint32_t)(context >> 32) & 0xffffff);
	pctx_info(&e->table, c, info);
	return PEND_OK;
}

bool pend_context_next(const struct pend_engine *e, uint32_t *cursor, uint32_t scan,
		       struct pend_info *info)
{
	uint32_t end = e->table.slab.fresh;

	info->context = 0;
	if (scan && *cursor + scan < end)
		end = *cursor + scan;
	while (*cursor < end) {
		const struct pctx *c = slab_at(&e->table.slab, (*cursor)++);

		if (c->flags & PCTX_LIVE && c->state != PEND_STATE_FREE) {
			pctx_info(&e->table, c, info);
			return true;
		}
	}
	return *cursor < e->table.slab.fresh;
}

void pend_engine_stats(const struct pend_engine *e, struct pend_stats *s)
{
	*s = e->stats;
	s->pending = e->table.live;
	s->lingering = e->table.lingering;
	s->held = e->table.held;
	s->copied_bytes = e->table.bytes;
	s->memory = pctx_table_memory(&e->table);
}

enum pend_status pend_engine_set_epoch(struct pend_engine *e, uint8_t epoch)
{
	if (!e)
		return PEND_E_NULL_POINTER;
	if (!mark_epoch_valid(epoch))
		return PEND_E_INVALID;
	e->cfg.epoch = epoch;
	return PEND_OK;
}

static void next_turn(struct pend_engine *e)
{
	if (!++e->turn)
		e->turn = 1;
	/* Nothing lingers for so many turns; the number comes round. */
	if (e->forgotten && (uint16_t)(e->turn - e->forgotten) > 0x4000)
		e->forgotten = 0;
}

enum pend_status pend_engine_policy_changed(struct pend_engine *e, bool ended)
{
	if (!e)
		return PEND_E_NULL_POINTER;
	refresh(e);
	stamp_owe(e);
	next_turn(e);
	if (ended)
		e->forgotten = e->turn;
	return PEND_OK;
}

/* ---- callouts ---- */

bool pend_engine_settled(const struct pend_engine *e)
{
	return !e || !e->stamps.owed;
}

/* What it decided and still lingers is nobody's. */
static void leave_orphans(struct pend_engine *e, unsigned at)
{
	for (uint32_t i = 0; i < e->table.slab.fresh; i++) {
		struct pctx *c = slab_at(&e->table.slab, i);

		if (c->state != PEND_STATE_FREE && c->pender == at)
			c->pender = PCTX_NOBODY;
	}
	next_turn(e);
}

/* Contexts remember their pender by its place in the order. */
static void shift_penders(struct pend_engine *e, unsigned from, int by)
{
	for (uint32_t i = 0; i < e->table.slab.fresh; i++) {
		struct pctx *c = slab_at(&e->table.slab, i);

		if (c->state != PEND_STATE_FREE && c->pender >= from && c->pender != PCTX_NOBODY)
			c->pender = (uint8_t)(c->pender + by);
	}
}

/* The names live in the slots, which have moved. */
static void name_callouts(struct pend_engine *e)
{
	for (unsigned i = 0; i < e->callouts; i++)
		e->callout[i].c.name = e->callout[i].name;
}

enum pend_status pend_callout_register(struct pend_engine *e, const struct pend_callout *c,
				       uint32_t *id)
{
	unsigned at = 0;
	struct engine_callout *slot;

	if (!e || !c || !c->classify || !id)
		return PEND_E_NULL_POINTER;
	if (!c->layers || c->layers >> PEND_LAYER_COUNT)
		return PEND_E_INVALID;
	if (engine_busy(e))
		return PEND_E_BUSY;
	if (e->callouts == PEND_CALLOUT_MAX)
		return PEND_E_LIMIT;
	while (at < e->callouts && e->callout[at].c.weight >= c->weight)
		at++;
	memmove(&e->callout[at + 1], &e->callout[at], (e->callouts - at) * sizeof(e->callout[0]));
	e->callouts++;
	shift_penders(e, at, 1);
	slot = &e->callout[at];
	*slot = (struct engine_callout){.id = ++e->next_callout_id, .c = *c};
	if (c->name)
		strncpy(slot->name, c->name, sizeof(slot->name) - 1);
	name_callouts(e);
	*id = slot->id;
	return PEND_OK;
}

static void drain_callout(struct pend_engine *e, unsigned at)
{
	struct decision d = {.verdict = PEND_VERDICT_BLOCK,
			     .outcome = PEND_STATE_DRAINED,
			     .reason = PEND_CODE_DRAIN};

	/* Not asked any more: it must not pend again, behind our back, what others complete now. */
	e->callout[at].c.layers = 0;
	for (uint32_t i = 0; i < e->table.slab.fresh && e->callout[at].live; i++) {
		struct pctx *c = slab_at(&e->table.slab, i);

		if (c->state == PEND_STATE_PENDED && c->pender == at)
			complete_decide(e, c, &d);
	}
}

enum pend_status pend_callout_unregister(struct pend_engine *e, uint32_t id, bool force)
{
	unsigned at = 0;

	if (!e)
		return PEND_E_NULL_POINTER;
	if (engine_busy(e))
		return PEND_E_BUSY;
	while (at < e->callouts && e->callout[at].id != id)
		at++;
	if (at == e->callouts)
		return PEND_E_NOT_FOUND;
	if (e->callout[at].live && !force)
		return PEND_E_BUSY;
	refresh(e);
	drain_callout(e, at);
	memmove(&e->callout[at], &e->callout[at + 1],
		(e->callouts - at - 1) * sizeof(e->callout[0]));
	e->callouts--;
	leave_orphans(e, at);
	shift_penders(e, at + 1, -1);
	name_callouts(e);
	return PEND_OK;
}

enum pend_status pend_engine_drain(struct pend_engine *e, enum pend_verdict verdict,
				   unsigned budget)
{
	struct decision d = {
		.verdict = verdict, .outcome = PEND_STATE_DRAINED, .reason = PEND_CODE_DRAIN};
	unsigned done = 0;

	if (!e)
		return PEND_E_NULL_POINTER;
	if (verdict > PEND_VERDICT_PERMIT || engine_busy(e))
		return PEND_E_INVALID;
	if (!e->draining)
		e->drain_cursor = 0;
	e->draining = true;
	refresh(e);
	while (e->drain_cursor < e->table.slab.fresh) {
		struct pctx *c = slab_at(&e->table.slab, e->drain_cursor++);

		if (c->state != PEND_STATE_PENDED)
			continue;
		d.block = (enum pend_block)c->block;
		complete_decide(e, c, &d);
		if (budget && ++done >= budget)
			return PEND_E_BUSY;
	}
	return e->table.live ? PEND_E_BUSY : PEND_OK;
}
