/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A packet's way through the engine: known context or new flow. See engine.h. */
#include "core/engine.h"
#include <stdlib.h>
#include <string.h>

/* A flood at a limit tells of itself ten times a second; the counters tell how much it is. */
#define LIMIT_EVENT_NS (100 * MONO_NS_PER_MS)

enum { HOOK_LOCAL_IN = 1, PROTO_ICMP = 1, PROTO_TCP = 6, PROTO_ICMPV6 = 58 };

static void notify(struct pend_engine *e, const struct pend_event *ev)
{
	e->notifying++;
	e->cfg.notify(e->cfg.notify_context, ev);
	e->notifying--;
}

void engine_event(struct pend_engine *e, enum pend_event_type type, const struct pctx *c)
{
	struct pend_event ev = {.type = type, .now_ns = e->now.ns};

	if (!e->cfg.notify)
		return;
	pctx_info(&e->table, c, &ev.info);
	notify(e, &ev);
}

static uint32_t seq_of(const struct pend_engine *e, const struct pctx *c)
{
	return (slab_index(&e->table.slab, c) + 1) | (c->generation & ENGINE_SEQ_GEN_MASK)
							     << ENGINE_SEQ_GEN_SHIFT;
}

void engine_verdict(struct pend_engine *e, uint32_t id, enum engine_verdict v, uint32_t mark,
		    const struct pctx *c)
{
	e->stats.verdicts++;
	e->ops->verdict(e->io, id, v, mark, c ? seq_of(e, c) : ENGINE_SEQ_NONE);
}

/* That the kernel has lost this one says nothing of the copy which stands for the context now. */
static void drop_old(struct pend_engine *e, const struct pctx *c, uint32_t id)
{
	e->stats.verdicts++;
	e->ops->verdict(e->io, id, ENGINE_DROP, c->mark, seq_of(e, c) | ENGINE_SEQ_OLD);
}

void engine_event_bare(struct pend_engine *e, enum pend_event_type type,
		       const struct engine_input *in, const struct packet *p,
		       const struct arbiter_result *r)
{
	struct pctx c = {
		.generation = 0,
		.flow = p->flow,
		.isn = p->isn,
		.hook = in->hook,
		.iif = in->iif,
		.oif = in->oif,
		.mark = mark_put(&e->marks, in->mark, 0),
		.tcp_flags = p->tcp_flags,
		.rule = r->rule,
		.verdict = r->action == PEND_ACTION_PERMIT ? PEND_VERDICT_PERMIT
							   : PEND_VERDICT_BLOCK,
		.block = (uint8_t)r->block,
		.created = e->now,
		.completed = e->now,
	};
	struct pend_event ev = {.type = type, .now_ns = e->now.ns};

	if (!e->cfg.notify)
		return;
	pctx_info(&e->table, &c, &ev.info);
	ev.info.context = 0;
	notify(e, &ev);
}

void engine_refuse(struct pend_engine *e, const struct engine_input *in, const struct flow *f,
		   uint32_t isn, enum pend_block how)
{
	uint8_t answer[PACKET_ANSWER_MAX];
	int len = -1;

	if (how != PEND_BLOCK_DROP && e->cfg.can_reject) {
		engine_verdict(e, in->id, how == PEND_BLOCK_RESET ? ENGINE_RESET : ENGINE_UNREACH,
			       in->mark, NULL);
		return;
	}
	if (how == PEND_BLOCK_RESET && f->proto == PROTO_TCP)
		len = packet_make_reset(f, isn, 0, answer);
	else if (how != PEND_BLOCK_DROP)
		len = packet_make_unreachable(f, isn, answer);
	if (len > 0 && e->ops->answer(e->io, answer, (uint32_t)len, f, in->iif))
		e->stats.answers_forged++;
	engine_verdict(e, in->id, ENGINE_DROP, in->mark, NULL);
}

enum engine_verdict engine_accept(struct pend_engine *e, const struct engine_input *in,
				  const struct flow *f)
{
	/* A TCP SYN is one packet; a datagram's stamp must not overtake those behind it. What is forwarded to a
	 * translated destination may be translated twice, and not be found later; and what was ended would be cut
	 * off until then. */
	bool stamp = in->stamp || f->proto == PROTO_TCP || mark_is_ended(&e->marks, in->mark) ||
		     (in->hook != HOOK_LOCAL_IN && mark_is_dnat(&e->marks, in->mark)) ||
		     !stamp_later(e, f);

	return stamp ? ENGINE_ACCEPT : ENGINE_ACCEPT_ONCE;
}

static void apply(struct pend_engine *e, const struct engine_input *in, const struct packet *p,
		  enum pend_action action, enum pend_block how)
{
	if (action == PEND_ACTION_PERMIT) {
		e->stats.permitted_direct++;
		engine_verdict(e, in->id, engine_accept(e, in, &p->flow), in->mark, NULL);
		return;
	}
	e->stats.blocked_direct++;
	engine_refuse(e, in, &p->flow, p->isn, how);
}

/* Only what opens a flow may be pended; the rest is permitted or blocked as it stands (R1, R17, R36). */
static bool can_pend(const struct packet *p)
{
	switch ((enum packet_kind)p->kind) {
	case PACKET_TCP_SYN:
	case PACKET_UDP:
	case PACKET_ICMP_ECHO:
	case PACKET_SCTP_INIT:
		return true;
	case PACKET_OTHER: /* a protocol without connections, or a TCP header we could not read */
		return p->flow.proto != PROTO_TCP && p->flow.proto != PROTO_ICMP &&
		       p->flow.proto != PROTO_ICMPV6;
	case PACKET_TCP_RST:
	case PACKET_TCP_MID:
	case PACKET_ICMP_OTHER:
	case PACKET_SCTP_OTHER:
		return false;
	}
	return false;
}

static void initial(struct pend_engine *e, const struct engine_input *in, const struct packet *p)
{
	struct engine_call call = {.in = in, .packet = p};
	struct pend_packet pkt = {.data = in->data,
				  .len = in->len,
				  .isn = p->isn,
				  .flow = p->flow,
				  .csum_pending = in->csum_pending,
				  .hook = in->hook,
				  .iif = in->iif};
	struct pend_metadata meta = {.now_ns = e->now.ns, .isn = p->isn};
	struct pend_values v;
	struct arbiter_result r = {.write = true};

	arbiter_values(in, p, &e->marks, &v);
	if (flow_addr_loopback(p->flow.dst, p->flow.family))
		meta.flags |= PEND_META_LOOPBACK;
	if (can_pend(p) && e->depth < ENGINE_DEPTH) {
		call.token = ++e->next_token;
	} else {
		meta.flags |= PEND_META_REAUTHORIZE;
		meta.reason = PEND_REASON_MID_STREAM;
	}
	arbiter_classify(e, &call, &v, &meta, &pkt, 0, &r);
	if (r.pended) {
		complete_stored(e, call.ctx, in, &r);
		return;
	}
	if (r.deferred) {
		engine_verdict(e, in->id, ENGINE_DROP, in->mark, NULL);
		return;
	}
	if (r.action == PEND_ACTION_CONTINUE)
		r.action = e->cfg.default_action;
	if (r.event)
		engine_event_bare(e, PEND_EVENT_CLASSIFIED, in, p, &r);
	if (call.limited && mono_since(e->now, e->limit_told) >= LIMIT_EVENT_NS) {
		e->limit_told = e->now;
		engine_event_bare(e, PEND_EVENT_LIMIT, in, p, &r);
	}
	apply(e, in, p, r.action, r.block);
}

/* Let the newest copy of a SYN stand for the attempt (R14). */
static void replace_packet(struct pend_engine *e, struct pctx *c, const struct engine_input *in)
{
	struct pkept old;

	while (pctx_take(&e->table, c, &old)) {
		if (old.block == SLAB_NONE)
			drop_old(e, c, old.id);
		else
			pctx_fetch_copy(&e->table, &old, NULL, 0);
	}
	if (c->mode == PEND_MODE_HOLD && begin_hold(e, c, in->id))
		return;
	if (c->mode == PEND_MODE_ABSORB && c->release == PEND_RELEASE_BUFFER)
		pctx_keep_copy(&e->table, c, in->data, in->len, in->csum_pending);
	engine_verdict(e, in->id, ENGINE_DROP, in->mark, NULL);
}

static void join(struct pend_engine *e, struct pctx *c, const struct engine_input *in)
{
	begin_input(e, c, in);
	c->last_ms = (uint32_t)(mono_since(e->now, c->created) / MONO_NS_PER_MS);
	if (c->flags & PCTX_ISN) {
		c->retransmits++;
		e->stats.retransmits++;
		replace_packet(e, c, in);
		engine_event(e, PEND_EVENT_RETRANSMIT, c);
		return;
	}
	/* Another datagram: they wait in order, and the newest gives way above a limit (R52): the context's own,
	 * or the queue's, which one peer's datagrams must not fill. */
	if (c->mode == PEND_MODE_HOLD) {
		if (begin_hold(e, c, in->id))
			return;
	} else if (c->release == PEND_RELEASE_BUFFER) {
		pctx_keep_copy(&e->table, c, in->data, in->len, in->csum_pending);
	}
	engine_verdict(e, in->id, ENGINE_DROP, in->mark, NULL);
}

/* Untold: its peer comes again, to what is known then. */
static void late_or_dropped(struct pend_engine *e, struct pctx *c, const struct engine_input *in,
			    enum arbiter_word word)
{
	if (word == ARBITER_STANDS)
		linger_late(e, c, in);
	else
		engine_verdict(e, in->id, ENGINE_DROP, in->mark, NULL);
}

/*
 * A packet whose flow has a context. False: the old context is gone, for the packet opens a new attempt, or what
 * decided that one would decide otherwise by now. Nothing of a pended flow passes, whatever it is (R13).
 */
static bool known(struct pend_engine *e, struct pctx *c, const struct engine_input *in,
		  const struct packet *p)
{
	bool pended = c->state == PEND_STATE_PENDED || c->state == PEND_STATE_STORED;
	enum arbiter_word word;

	if (p->kind == PACKET_TCP_RST && pended && p->isn == c->isn + 1) {
		complete_abandon(e, c); /* R16 */
		engine_verdict(e, in->id, ENGINE_DROP, in->mark, NULL);
		return true;
	}
	word = pended ? ARBITER_STANDS : linger_stands(e, c);
	if (word == ARBITER_FALLS) {
		complete_abandon(e, c);
		return false;
	}
	if ((c->flags & PCTX_ISN) && p->kind != PACKET_TCP_SYN && p->kind != PACKET_SCTP_INIT) {
		late_or_dropped(e, c, in, pended ? ARBITER_UNTOLD : word);
		return true;
	}
	if ((c->flags & PCTX_ISN) && p->isn != c->isn) {
		complete_abandon(e, c); /* R15 */
		return false;
	}
	if (pended)
		join(e, c, in);
	else
		late_or_dropped(e, c, in, word);
	return true;
}

/*
 * A copy of ours, which is no packet of lo though it comes in there: what it is a copy of was decided, or its peer
 * sends it again.
 */
static void returned(struct pend_engine *e, struct pctx *c, const struct engine_input *in)
{
	bool decided = c && c->state != PEND_STATE_PENDED && c->state != PEND_STATE_STORED;
	enum arbiter_word word = decided ? linger_stands(e, c) : ARBITER_UNTOLD;

	if (word == ARBITER_FALLS)
		complete_abandon(e, c);
	late_or_dropped(e, c, in, word);
}

static void malformed(struct pend_engine *e, const struct engine_input *in, const struct packet *p)
{
	e->stats.malformed++;
	if (e->cfg.on_malformed != PEND_ACTION_PERMIT) {
		apply(e, in, p, PEND_ACTION_BLOCK, PEND_BLOCK_DROP);
		return;
	}
	/* This packet only: what it belongs to is not known, so nothing is known to be permitted. */
	e->stats.permitted_direct++;
	engine_verdict(e, in->id, ENGINE_ACCEPT_ONCE, in->mark, NULL);
}

static struct pctx *lookup(const struct pend_engine *e, struct packet *p)
{
	if (!pctx_any(&e->table))
		return NULL;
	if (!p->hash)
		p->hash = pctx_hash(&e->table, &p->flow);
	return pctx_lookup(&e->table, &p->flow, p->hash);
}

static void judge(struct pend_engine *e, const struct engine_input *in, struct packet *p,
		  enum packet_result parsed)
{
	struct pctx *c;

	e->stats.packets++;
	/* A cut copy is whole enough when its headers are; packet_parse says if they are not. */
	if (parsed != PACKET_OK) {
		malformed(e, in, p);
		return;
	}
	if (mark_is_again(&e->marks, in->mark, false) || mark_is_again(&e->marks, in->mark, true)) {
		again_packet(e, in, p);
		return;
	}
	if (mark_is_ended(&e->marks, in->mark) && again_stays_ended(e, in, p))
		return;
	c = lookup(e, p);
	if (mark_is_inject(&e->marks, in->mark)) {
		returned(e, c, in);
		return;
	}
	if (c && known(e, c, in, p))
		return;
	if (p->kind == PACKET_TCP_RST) {
		/* It was queued because it might belong to a pended SYN. It does not: the
		 * socket it is meant for, if any, judges it. */
		engine_verdict(e, in->id, ENGINE_ACCEPT_ONCE, in->mark, NULL);
		return;
	}
	initial(e, in, p);
}

void engine_packet(struct pend_engine *e, const struct engine_input *in)
{
	struct packet p;

	judge(e, in, &p, packet_parse_cut(&p, in->data, in->len, in->total));
}

void engine_packets(struct pend_engine *e, const struct engine_input *const *in, unsigned n)
{
	enum packet_result parsed[ENGINE_BATCH];
	struct packet p[ENGINE_BATCH];
	bool large = pctx_is_large(&e->table);

	for (unsigned i = 0; i < n; i++) {
		parsed[i] = packet_parse_cut(&p[i], in[i]->data, in[i]->len, in[i]->total);
		if (!large || parsed[i] != PACKET_OK)
			continue;
		p[i].hash = pctx_hash(&e->table, &p[i].flow);
		pctx_prefetch_flow(&e->table, &p[i].flow, p[i].hash);
	}
	for (unsigned i = 0; large && i < n; i++)
		if (parsed[i] == PACKET_OK)
			pctx_prefetch_found(&e->table, p[i].hash);
	for (unsigned i = 0; i < n; i++)
		judge(e, in[i], &p[i], parsed[i]);
}

void engine_expire(struct pend_engine *e, uint32_t budget)
{
	wheel_advance(&e->table.wheel, e->now, budget, complete_timer, e);
}

static enum pend_status check_config(const struct pend_engine_config *c, struct mark_layout *marks)
{
	if (!mark_layout_init(marks, c->mark_mask) || !mark_epoch_valid(c->epoch))
		return PEND_E_INVALID;
	if (!c->max_contexts || c->max_contexts > 13000000 || !c->max_packets || !c->kernel_queue)
		return PEND_E_INVALID;
	if (c->high_watermark_percent > 100 || c->max_bytes > 1ull << 40)
		return PEND_E_INVALID;
	return PEND_OK;
}

enum pend_status engine_init(struct pend_engine *e, const struct pend_engine_config *c,
			     const struct engine_ops *ops, void *io, const struct siphash_key *key,
			     mono_t now)
{
	struct pctx_limits l = {
		.contexts = c->max_contexts,
		.per_source = c->max_per_source,
		.per_service = c->max_per_service,
		.packets = c->max_packets,
		.hold = c->hold_max,
		.bytes = c->max_bytes,
		.watermark = c->high_watermark_percent >= 100
				     ? UINT32_MAX
				     : (uint32_t)((uint64_t)c->max_contexts *
						  c->high_watermark_percent / 100),
	};

	memset(e, 0, sizeof(*e));
	if (check_config(c, &e->marks) != PEND_OK)
		return PEND_E_INVALID;
	e->cfg = *c;
	e->ops = ops;
	e->io = io;
	e->now = now;
	e->barrier = 1;
	wheel_timer_init(&e->stamps.timer);
	e->scratch = malloc(ENGINE_SCRATCH);
	if (!e->scratch || pctx_table_init(&e->table, &l, c->id, key, now, &e->stats)) {
		engine_deinit(e);
		return PEND_E_NO_MEMORY;
	}
	return PEND_OK;
}

void engine_deinit(struct pend_engine *e)
{
	pctx_table_deinit(&e->table);
	free(e->scratch);
	e->scratch = NULL;
}
