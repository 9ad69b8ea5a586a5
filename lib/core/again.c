/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Re-authorization by the next packet (R31 to R34): the hookup queues a packet of a flow that was
 * permitted in another epoch, whichever way it goes. The callouts are asked about the flow, as it was
 * when it was opened. A permit stamps it with the epoch of now; a block ends it. Of what is no TCP every packet
 * may begin an ended flow anew, so that of each is asked first whether the flow would be ended still.
 */
#include "core/engine.h"

enum { PROTO_TCP = 6, HOOK_LOCAL_IN = 1, HOOK_LOCAL_OUT = 3 };

/* The packet as its flow's opener would send it: what a reply left by is where the flow comes in. */
struct turned {
	struct engine_input in;
	struct packet packet;
	bool reply;
};

static void turn(struct turned *t, const struct pend_engine *e, const struct engine_input *in,
		 const struct packet *p)
{
	*t = (struct turned){
		.in = *in, .packet = *p, .reply = mark_is_again(&e->marks, in->mark, true)};
	t->packet.isn = 0; /* of the opener they are not known */
	t->packet.tcp_flags = 0;
	if (!t->reply)
		return;
	t->packet.flow = flow_reverse(&p->flow);
	t->in.iif = in->oif;
	t->in.oif = in->iif;
	t->in.mark = 0; /* that of the other end's packets is not known */
	if (in->hook == HOOK_LOCAL_OUT)
		t->in.hook = HOOK_LOCAL_IN;
}

static void classify(struct pend_engine *e, const struct turned *t, struct arbiter_result *r)
{
	const struct engine_input *in = &t->in;
	const struct flow *f = &t->packet.flow;
	struct engine_call call = {.in = in,
				   .packet = &t->packet}; /* no token: it cannot pend (R33) */
	struct pend_packet pkt = {.data = in->data,
				  .len = in->len,
				  .flow = *f,
				  .csum_pending = in->csum_pending,
				  .hook = in->hook,
				  .iif = in->iif};
	struct pend_metadata meta = {.flags = PEND_META_REAUTHORIZE |
					      (t->reply ? PEND_META_REPLY : 0u),
				     .reason = PEND_REASON_POLICY_CHANGE,
				     .now_ns = e->now.ns};
	struct pend_values v;

	/* A filter of SYNs is asked about the SYN, whose other flags nobody has kept. */
	flow_values(f, &v);
	v.in_interface = in->iif;
	v.out_interface = in->oif;
	v.mark = in->mark & ~e->marks.mask;
	v.mark_unknown = t->reply;
	v.hook = in->hook;
	if (flow_addr_loopback(f->dst, f->family))
		meta.flags |= PEND_META_LOOPBACK;
	arbiter_classify(e, &call, &v, &meta, &pkt, 0, r);
	if (r->action == PEND_ACTION_CONTINUE)
		r->action = e->cfg.default_action;
}

/* What its context remembers must not let it in again. */
static void forget(struct pend_engine *e, const struct flow *f)
{
	struct pctx *c = pctx_lookup(&e->table, f, pctx_hash(&e->table, f));

	if (c && c->state != PEND_STATE_PENDED && c->state != PEND_STATE_STORED)
		complete_abandon(e, c);
}

/*
 * The connection is marked by the hookup, which resets whoever speaks, now and later, if it is TCP. Others are
 * marked here, where it can be, so that this packet can be answered as its rule says.
 */
static void end(struct pend_engine *e, const struct turned *t, const struct arbiter_result *r)
{
	const struct flow *f = &t->packet.flow;
	bool done = e->ops->end && e->ops->end(e->io, f);

	e->stats.blocked_direct++;
	e->stats.reauth_ended++;
	forget(e, f);
	if (f->proto == PROTO_TCP || !done)
		engine_verdict(e, t->in.id, ENGINE_END, t->in.mark, NULL);
	else if (t->reply)
		engine_verdict(e, t->in.id, ENGINE_DROP, t->in.mark, NULL);
	else
		engine_refuse(e, &t->in, f, 0, r->block);
}

void again_packet(struct pend_engine *e, const struct engine_input *in, const struct packet *p)
{
	struct arbiter_result r = {.write = true};
	struct turned t;
	bool stamp;

	turn(&t, e, in, p);
	classify(e, &t, &r);
	e->stats.reauthorized++;
	if (r.event)
		engine_event_bare(e, PEND_EVENT_CLASSIFIED, &t.in, &t.packet, &r);
	if (r.action != PEND_ACTION_PERMIT) {
		end(e, &t, &r);
		return;
	}
	/* A stamp must not let later datagrams overtake those that wait behind this one. */
	stamp = !r.once && (in->stamp || p->flow.proto == PROTO_TCP);
	e->stats.permitted_direct++;
	engine_verdict(e, in->id, stamp ? ENGINE_ACCEPT : ENGINE_ACCEPT_ONCE, in->mark, NULL);
}

/* A rule that pends ended nothing: whose decision was forgotten may be asked about anew. */
bool again_stays_ended(struct pend_engine *e, const struct engine_input *in, const struct packet *p)
{
	struct arbiter_result r = {.write = true};
	struct turned t;

	turn(&t, e, in, p);
	classify(e, &t, &r);
	if (r.action == PEND_ACTION_PERMIT)
		return false;
	if (r.event)
		engine_event_bare(e, PEND_EVENT_CLASSIFIED, &t.in, &t.packet, &r);
	e->stats.blocked_direct++;
	forget(e, &p->flow);
	engine_refuse(e, in, &p->flow, 0, r.block);
	return true;
}
