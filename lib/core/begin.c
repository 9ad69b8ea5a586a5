/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Pending: a new context, or a context that a lower callout takes up again (R8, R9, R18). */
#include "core/engine.h"

/* Of the kernel's queue: left to what was not read yet. */
#define QUEUE_RESERVE(len) ((len) / 8 + 1)

/* A full queue drops every new connection, or lets it in unasked, and nobody is told (L12): what is held, of
 * whatever mode, leaves it some room. */
static uint32_t queue_room(const struct pend_engine *e)
{
	return e->cfg.kernel_queue - QUEUE_RESERVE(e->cfg.kernel_queue);
}

bool begin_hold(struct pend_engine *e, struct pctx *c, uint32_t id)
{
	if (e->table.held < queue_room(e))
		return pctx_keep_id(&e->table, c, id);
	e->stats.limit_packets++;
	return false;
}

/* Only the kernel's own packet can go on where the destination is translated: it is left there as long
 * as the queue has room. */
static uint8_t choose_mode(const struct pend_engine *e, const struct pctx *c, enum pend_mode asked)
{
	uint32_t most = e->cfg.hold_max, room = queue_room(e);

	if (asked != PEND_MODE_AUTO)
		return (uint8_t)asked;
	if (c->flags & PCTX_DNAT || most > room)
		most = room;
	return e->table.held < most ? PEND_MODE_HOLD : PEND_MODE_ABSORB;
}

/* A copy goes in without the translation, and its answer would leave from the wrong address: what was
 * absorbed behind destination NAT is completed by flush, whatever was asked for. */
static void flush_only(struct pctx *c)
{
	if (c->flags & (PCTX_DNAT | PCTX_ENDED) && c->mode == PEND_MODE_ABSORB)
		c->release = PEND_RELEASE_FLUSH;
}

void begin_input(const struct pend_engine *e, struct pctx *c, const struct engine_input *in)
{
	c->mark = mark_put(&e->marks, in->mark, 0);
	c->iif = in->iif;
	if (mark_is_dnat(&e->marks, in->mark))
		c->flags |= PCTX_DNAT;
	if (mark_is_ended(&e->marks, in->mark))
		c->flags |= PCTX_ENDED;
	flush_only(c);
}

static void set_options(struct pend_engine *e, struct pctx *c, const struct engine_call *call,
			const struct pend_options *o)
{
	c->state = PEND_STATE_STORED;
	c->flags &= (uint16_t) ~(PCTX_EARLY | PCTX_UNTOLD); /* of the pend before this one */
	c->pender = (uint8_t)call->callout;
	c->aggregate = call->aggregate;
	c->deadline = mono_add(e->now, o->timeout_ns);
	c->on_timeout = (uint8_t)o->on_timeout;
	c->block = (uint8_t)o->block;
	c->release = (uint8_t)o->release;
	c->rule = o->rule;
	c->tag = o->tag;
	c->turn = e->turn;
	flush_only(c);
}

/* The packet of this call becomes the context's. */
static bool keep(struct pend_engine *e, struct pctx *c, const struct engine_input *in)
{
	if (c->mode == PEND_MODE_HOLD)
		return begin_hold(e, c, in->id);
	if (c->release == PEND_RELEASE_FLUSH)
		return true;
	return pctx_keep_copy(&e->table, c, in->data, in->len, in->csum_pending);
}

static enum pend_status begin_new(struct pend_engine *e, struct engine_call *call,
				  const struct pend_options *o)
{
	const struct engine_input *in = call->in;
	const struct packet *p = call->packet;
	bool has_isn = p->kind == PACKET_TCP_SYN || p->kind == PACKET_SCTP_INIT;
	enum pend_status s;
	struct pctx *c;

	/* A sender that is made up has no second packet. */
	if (pctx_defer(&e->table, &p->flow, p->isn, e->now)) {
		call->deferred = true;
		return PEND_E_LIMIT;
	}
	s = pctx_new(&e->table, &p->flow, p->hash ? p->hash : pctx_hash(&e->table, &p->flow),
		     p->isn, e->now, &c);
	if (s != PEND_OK)
		return s;
	if (has_isn)
		c->flags |= PCTX_ISN;
	c->hook = in->hook;
	c->oif = in->oif;
	c->tcp_flags = p->tcp_flags;
	begin_input(e, c, in);
	c->mode = choose_mode(e, c, o->mode);
	set_options(e, c, call, o);
	if (!keep(e, c, in)) {
		pctx_free(&e->table, c);
		return PEND_E_LIMIT;
	}
	e->stats.pended++;
	call->ctx = c;
	return PEND_OK;
}

/* Who has asked, and whoever was asked, hears of this handle for the last time. */
static void tell_answered(struct pend_engine *e, struct pctx *c)
{
	c->completed = e->now;
	engine_event(e, PEND_EVENT_ANSWERED, c);
	c->completed = mono_ns(0);
	c->verdict = PEND_VERDICT_BLOCK;
	c->reason = 0;
}

/* Its packets stay as they are; the old handle is stale from here on (R18). */
static void begin_again(struct pend_engine *e, struct engine_call *call,
			const struct pend_options *o)
{
	struct pctx *c = call->ctx;

	tell_answered(e, c);
	if (!++c->generation)
		c->generation = 1;
	set_options(e, c, call, o);
}

enum pend_status begin_pend(struct pend_engine *e, struct engine_call *call,
			    const struct pend_options *o, pend_context *context)
{
	enum pend_status s = PEND_OK;

	if (call->pended || e->draining)
		s = PEND_E_CANNOT_PEND;
	else if (call->deferred) /* it was refused above; asking again must not make it known */
		s = PEND_E_LIMIT;
	else if (call->ctx)
		begin_again(e, call, o);
	else
		s = begin_new(e, call, o);
	if (s != PEND_OK) {
		e->stats.pend_failed++;
		call->limited = s == PEND_E_LIMIT && !call->deferred;
		return s;
	}
	call->pended = true;
	*context = pctx_handle(&e->table, call->ctx);
	return PEND_OK;
}
