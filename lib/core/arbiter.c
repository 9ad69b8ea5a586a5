/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Arbitration: the callouts of a layer are asked from the highest weight down; each gets the
 * rights that those before it left over (R7, R18). A callout that pends freezes the chain: the
 * ones below are asked in the completion pass, when it has been answered.
 */
#include "core/engine.h"
#include <string.h>

#define HOPS_MAX     8  /* pends of one connection, by callouts in turn (R40) */
#define REINVOKE_MAX 16 /* PEND_VERDICT_CONTINUE of one connection (R29) */

void arbiter_values(const struct engine_input *in, const struct packet *p,
		    const struct mark_layout *marks, struct pend_values *v)
{
	const struct flow *f = &p->flow;

	*v = (struct pend_values){
		.family = f->family,
		.protocol = f->proto,
		.source_port = p->has_ports ? f->sport : 0,
		.dest_port = p->has_ports ? f->dport : 0,
		.icmp_type = p->icmp_type,
		.icmp_code = p->icmp_code,
		.tcp_flags = p->tcp_flags,
		.has_ports = p->has_ports,
		.in_interface = in->iif,
		.out_interface = in->oif,
		.mark = in->mark & ~marks->mask,
		.hook = in->hook,
	};
	memcpy(v->source, f->src, sizeof(v->source));
	memcpy(v->dest, f->dst, sizeof(v->dest));
}

static unsigned layer_bit(const struct pend_values *v)
{
	return 1u << (v->family == FLOW_V6 ? PEND_LAYER_RECV_ACCEPT_V6 : PEND_LAYER_RECV_ACCEPT_V4);
}

static void combine(struct arbiter_result *run, const struct pend_classify_out *out)
{
	bool veto = !run->write && out->action == PEND_ACTION_BLOCK;

	if (out->action == PEND_ACTION_CONTINUE || (!run->write && !veto))
		return;
	if (veto && run->action == PEND_ACTION_BLOCK)
		return;
	run->action = out->action;
	run->block = out->block;
	run->rule = out->rule;
	run->write = run->write && (out->rights & PEND_RIGHT_ACTION_WRITE);
	run->once = out->rights & PEND_OUT_ONCE || (run->once && out->action == PEND_ACTION_PERMIT);
	run->event = run->event || (out->rights & PEND_OUT_EVENT);
}

static void ask(struct pend_engine *e, struct engine_call *call, unsigned idx,
		const struct pend_values *v, struct pend_metadata *m, const struct pend_packet *p,
		const struct arbiter_result *run, struct pend_classify_out *out)
{
	*out = (struct pend_classify_out){
		.action = PEND_ACTION_CONTINUE,
		.rights = run->write ? PEND_RIGHT_ACTION_WRITE : 0,
	};
	call->callout = idx;
	call->aggregate = (uint8_t)run->action;
	call->offered = call->token && run->write;
	/* A handle of its own for each: one that another callout has kept is stale (T31). */
	if (call->offered)
		call->token = ++e->next_token;
	m->completion = call->offered ? (struct pend_completion *)(uintptr_t)call->token : NULL;
	e->callout[idx].c.classify(e->callout[idx].c.context, v, m, p, out);
	call->offered = false;
}

static void push_call(struct pend_engine *e, struct engine_call *call)
{
	call->outer = e->call;
	call->notifying = e->notifying;
	e->call = call;
	e->depth++;
}

static void pop_call(struct pend_engine *e)
{
	e->call = e->call->outer;
	e->depth--;
}

void arbiter_classify(struct pend_engine *e, struct engine_call *call, const struct pend_values *v,
		      struct pend_metadata *m, const struct pend_packet *p, unsigned first,
		      struct arbiter_result *r)
{
	push_call(e, call);
	/* A deferred packet is dropped whatever those below say: they must not pend it (R18). */
	for (unsigned i = first; i < e->callouts && !call->pended && !call->deferred; i++) {
		struct pend_classify_out out;

		if (!(e->callout[i].c.layers & layer_bit(v)) ||
		    (e->callout[i].c.follows && m->reason != PEND_REASON_CLASSIFY_COMPLETION))
			continue;
		ask(e, call, i, v, m, p, r, &out);
		if (!call->pended) {
			combine(r, &out);
			continue;
		}
		/* R4: a pend must be answered with block, not to be changed. */
		r->pended = true;
		r->dangling = out.action != PEND_ACTION_BLOCK ||
			      (out.rights & PEND_RIGHT_ACTION_WRITE);
		r->early = call->early;
		r->decision = call->decision;
	}
	pop_call(e);
	call->token = 0;
	r->deferred = call->deferred;
}

/* The packet of a context as a callout may see it: a held one's bytes are in the kernel. */
static void packet_of(const struct pctx *c, struct pend_packet *p)
{
	*p = (struct pend_packet){
		.flow = c->flow,
		.isn = c->isn,
		.iif = c->iif,
		.hook = c->hook,
		.injection = PEND_INJECTED_BY_SELF,
	};
}

/* As in the first pass, all of them known (R27). */
static void values_of(const struct pctx *c, const struct mark_layout *marks, struct pend_values *v)
{
	flow_values(&c->flow, v);
	v->in_interface = c->iif;
	v->out_interface = c->oif;
	v->mark = c->mark & ~marks->mask;
	v->mark_unknown = false;
	v->tcp_flags = c->tcp_flags;
	v->tcp_flags_unknown = 0;
	v->hook = c->hook;
}

static struct pend_metadata metadata_of(const struct pend_engine *e, const struct pctx *c,
					enum pend_verdict asked)
{
	return (struct pend_metadata){
		.reason = PEND_REASON_CLASSIFY_COMPLETION,
		.injection = PEND_INJECTED_BY_SELF,
		.context = pctx_handle(&e->table, c),
		.verdict = asked,
		.tag = c->tag,
		.now_ns = e->now.ns,
		.isn = c->isn,
	};
}

static uint32_t base_flags(const struct pctx *c)
{
	return flow_addr_loopback(c->flow.dst, c->flow.family) ? PEND_META_LOOPBACK : 0u;
}

/* Callouts 0 to end - 1, which were asked before: they may change their mind, not pend (R27). */
static void second_look(struct pend_engine *e, struct engine_call *call, struct pctx *c,
			const struct pend_values *v, struct pend_metadata *m,
			const struct pend_packet *p, unsigned end, struct arbiter_result *run)
{
	push_call(e, call);
	for (unsigned i = 0; i < end && i < e->callouts; i++) {
		struct pend_classify_out out;

		if (!(e->callout[i].c.layers & layer_bit(v)))
			continue;
		m->flags = base_flags(c) | PEND_META_COMPLETION |
			   (i == c->pender ? PEND_META_PENDER : 0u);
		ask(e, call, i, v, m, p, run, &out);
		/* The pender's CONTINUE lets the decision stand; where there was none, it is the
		 * pender who has to say permit. One that follows lets those before it speak for it. */
		if (i == c->pender && out.action == PEND_ACTION_CONTINUE &&
		    !(m->verdict == PEND_VERDICT_BLOCK && e->callout[i].c.follows &&
		      run->action == PEND_ACTION_PERMIT))
			out.action = m->verdict == PEND_VERDICT_PERMIT ? PEND_ACTION_PERMIT
								       : PEND_ACTION_BLOCK;
		combine(run, &out);
	}
	pop_call(e);
}

enum arbiter_word arbiter_stands(struct pend_engine *e, struct pctx *c)
{
	struct engine_call call = {.ctx = c}; /* no token: nobody can pend */
	struct pend_packet p;
	struct pend_values v;
	struct pend_metadata m = metadata_of(e, c, (enum pend_verdict)c->verdict);
	struct arbiter_result r = {
		.action = PEND_ACTION_CONTINUE, .rule = c->rule, .write = true}; /* all are asked */

	packet_of(c, &p);
	values_of(c, &e->marks, &v);
	second_look(e, &call, c, &v, &m, &p, e->callouts, &r);
	if (r.action == PEND_ACTION_BLOCK && r.once)
		return ARBITER_UNTOLD;
	return (r.action == PEND_ACTION_PERMIT) == (c->verdict == PEND_VERDICT_PERMIT)
		       ? ARBITER_STANDS
		       : ARBITER_FALLS;
}

static void loop_block(struct pend_engine *e, struct pctx *c, struct arbiter_result *r)
{
	e->stats.loops++;
	engine_event(e, PEND_EVENT_LOOP, c);
	*r = (struct arbiter_result){.action = PEND_ACTION_BLOCK, .rule = c->rule, .loop = true};
}

/* From callout `first` on it is an initial authorization again: they may pend (R18), and see the packet
 * as what it is to them, fresh: "by us" would tell them to let it go (R39). */
static void resume(struct pend_engine *e, struct engine_call *call, struct pctx *c,
		   const struct pend_values *v, struct pend_packet *p, unsigned first,
		   struct arbiter_result *r)
{
	struct pend_metadata m = {.flags = base_flags(c),
				  .reason = PEND_REASON_CLASSIFY_COMPLETION,
				  .now_ns = e->now.ns,
				  .isn = c->isn};
	unsigned pender = c->pender;

	p->injection = PEND_INJECTION_NONE;
	call->token = ++e->next_token;
	arbiter_classify(e, call, v, &m, p, first, r);
	if (r->pended && c->pender != pender && ++c->hops > HOPS_MAX)
		loop_block(e, c, r);
}

/* R29: those above are asked as in any completion pass (R21), then the pender as if for the first time. */
static void run_again(struct pend_engine *e, struct engine_call *call, struct pctx *c,
		      const struct pend_values *v, struct pend_metadata *m, struct pend_packet *p,
		      struct arbiter_result *r)
{
	if (++c->reinvoked > REINVOKE_MAX) {
		loop_block(e, c, r);
		return;
	}
	second_look(e, call, c, v, m, p, c->pender, r);
	resume(e, call, c, v, p, c->pender, r);
	if (!r->pended && r->action == PEND_ACTION_CONTINUE)
		r->action = e->cfg.default_action;
}

void arbiter_complete(struct pend_engine *e, struct pctx *c, enum pend_verdict asked, bool reinvoke,
		      struct arbiter_result *r)
{
	struct engine_call call = {.ctx = c};
	struct pend_packet p;
	struct pend_values v;
	struct pend_metadata m = metadata_of(e, c, asked);

	*r = (struct arbiter_result){
		.action = (enum pend_action)c->aggregate, .rule = c->rule, .write = true};
	packet_of(c, &p);
	values_of(c, &e->marks, &v);
	if (reinvoke) {
		run_again(e, &call, c, &v, &m, &p, r);
		return;
	}
	second_look(e, &call, c, &v, &m, &p, c->pender + 1u, r);
	if (r->action != PEND_ACTION_PERMIT)
		r->action = PEND_ACTION_BLOCK;
	else
		resume(e, &call, c, &v, &p, c->pender + 1u, r);
}
