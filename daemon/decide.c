/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The policy as a callout. The walk of one packet:
 *
 *   receive, parse, known flow		lib/io/nfqueue.c, lib/core/packet.c, lib/core/engine.c
 *   classify				here: the first matching rule of the policy
 *   pend				here: pend_operation, then ask the rule's authority
 *   answer or deadline			worker.c, lib/core/complete.c
 *   completion pass			here again, with PEND_META_COMPLETION: today's policy
 *   the next layer's question		here, decide_next: pend and ask again (R18)
 *   state entry and verdict		lib/core/complete.c, lib/io/nfqueue.c, the hookup's stamp chain
 */
#include "daemon/decide.h"
#include "core/classify.h"
#include "core/flow.h"
#include "daemon/msg.h"
#include "daemon/worker.h"
#include <string.h>

/* R9: the context exists before anybody can answer for it. */
static void ask(struct worker *w, pend_context ctx, const struct classify_result *r)
{
	struct classify_authority a;

	if (!classify_authority(w->snapshot->classifier, r->authority, &a))
		return; /* nobody answers: the deadline will */
	switch ((enum authority_type)a.type) {
	case AUTHORITY_STATIC:
		pend_complete(w->engine, ctx, (enum pend_verdict)a.answer, REASON_STATIC);
		break;
	case AUTHORITY_OPERATOR:
		break; /* people look at the table and complete by id or address */
	case AUTHORITY_SOCKET:
	case AUTHORITY_EXEC:
	case AUTHORITY_DNSBL:
	case AUTHORITY_HTTP:
	case AUTHORITY_UNIT:
	case AUTHORITY_TOTP:
	case AUTHORITY_ANY:
	case AUTHORITY_ALL:
	case AUTHORITY_QUORUM:
	case AUTHORITY_CHAIN:
		worker_ask(w, ctx);
		break;
	}
}

/*
 * ---- layers that ask one after the other (R18) ----
 *
 * When a question has got its permit, the layers behind the one that asked it are next; those up to there are
 * answered. What rates and quotas have said of the connection was said once, in its first pass: the tag keeps the
 * layer that asks, and which of those behind it pended then. That is by their place: in another policy than the
 * one that was asked by, the layers of those places count as answered (R21).
 */

#define LAYER_BITS  6 /* of the tag's part: the layer's number */
#define BEHIND_BITS 9 /* then a bit for each of so many layers behind it, and one for all others */
#define BEHIND_MASK ((1u << BEHIND_BITS) - 1)
#define BEHIND_FAR  (1u << BEHIND_BITS)

_Static_assert(LAYER_BITS + BEHIND_BITS + 1 == 16, "MSG_TAG_LAYERS");

static uint64_t layers_behind(unsigned layer)
{
	return UINT64_MAX << layer << 1;
}

/* `pends`: the first of them asks. */
static uint16_t tag_of_layers(uint64_t pends)
{
	unsigned layer = (unsigned)__builtin_ctzll(pends);
	uint64_t behind = (pends & layers_behind(layer)) >> layer >> 1;
	unsigned far = behind >> BEHIND_BITS ? BEHIND_FAR : 0;

	return (uint16_t)(layer | (((unsigned)behind & BEHIND_MASK) | far) << LAYER_BITS);
}

/* The layers that count as answered, and those that are known to have pended, or may have. */
static uint64_t answered_of_tag(uint16_t tag, uint64_t *pended)
{
	unsigned layer = tag & ((1u << LAYER_BITS) - 1), bits = tag >> LAYER_BITS;
	uint64_t behind = bits & BEHIND_MASK;

	if (bits & BEHIND_FAR)
		behind |= UINT64_MAX << BEHIND_BITS;
	*pended = behind << layer << 1;
	return ~layers_behind(layer);
}

/* The layers before the one that asks. */
static uint64_t before_of_tag(uint16_t tag)
{
	return (UINT64_C(1) << (tag & ((1u << LAYER_BITS) - 1))) - 1;
}

static void options_of(const struct worker *w, const struct classify_result *r,
		       struct pend_options *o)
{
	pend_options_init(o);
	o->timeout_ns = r->timeout_ns;
	o->on_timeout = (enum pend_verdict)r->on_timeout;
	o->block = (enum pend_block)r->block;
	o->release = (enum pend_release)r->release;
	o->mode = (enum pend_mode)r->mode;
	o->rule = r->rule;
	o->tag = MSG_TAG(w->snapshot->generation, r->authority) | tag_of_layers(r->pends);
}

/* The next one like it need not come here. */
static void offer(struct worker *w, const struct pend_values *v)
{
	struct offer o = {.k = offer_key_of(v->family, v->protocol, v->source, v->dest,
					    v->dest_port, v->in_interface)};

	worker_offer(w, &o, v->hook);
}

/* What a rule needs while the policy is evaluated. */
struct visit {
	struct worker *w;
	const struct pend_values *v;
	const struct pend_metadata *meta;
	const struct pend_packet *packet;
	uint64_t pended; /* with `again`: layers that said so when the limits were asked */
	bool again;      /* what limits say is known, and inspecting and counting is done */
	bool settled;    /* asked about before, or let in */
	bool let_in;     /* some layer, heavier than those that come, has permitted or pended */
	bool unsure; /* something that was asked of the listener, or of the flow, is not known */
	bool late;   /* ... only for now: it was not told in time */
};

static void count(const struct visit *at, uint32_t rule)
{
	size_t len = 0;

	if (at->packet)
		pend_packet_data(at->packet, &len);
	snapshot_hit(at->w->snapshot, at->w->number, rule, len, at->meta->now_ns);
}

/* An event as the engine makes them, of a packet that has no verdict yet. */
static void inspect(const struct visit *at, uint32_t rule)
{
	const struct pend_values *v = at->v;
	struct pend_event ev = {.type = PEND_EVENT_CLASSIFIED, .now_ns = at->meta->now_ns};
	struct pend_info *i = &ev.info;

	i->family = v->family;
	i->protocol = v->protocol;
	i->hook = v->hook;
	i->verdict = PEND_VERDICT_CONTINUE;
	i->source_port = v->source_port;
	i->dest_port = v->dest_port;
	memcpy(i->source, v->source, sizeof(i->source));
	memcpy(i->dest, v->dest, sizeof(i->dest));
	i->icmp_type = v->icmp_type;
	i->icmp_code = v->icmp_code;
	i->in_interface = v->in_interface;
	i->out_interface = v->out_interface;
	i->isn = at->meta->isn;
	i->mark = v->mark;
	i->tcp_flags = v->tcp_flags;
	i->created_ns = i->completed_ns = ev.now_ns;
	i->rule = rule;
	worker_notify(at->w, &ev);
}

/* A layer that pended has passed its limited permits by, one that did not its limited pends. */
static bool said_again(const struct visit *at, uint32_t rule)
{
	const struct classifier *c = at->w->snapshot->classifier;
	bool pended = at->pended >> classify_rule_layer(c, rule) & 1;

	if (!classify_got_past(c, rule))
		return false;
	return pended == (classify_rule_action(c, rule) == CLASSIFY_PEND);
}

/* Once for each packet: the completion pass is about one that was looked at before. */
static bool visit(void *arg, uint32_t rule)
{
	const struct visit *at = arg;
	struct snapshot *s = at->w->snapshot;
	uint32_t limit = classify_limit_of(s->classifier, rule);

	if (at->settled)
		return classify_got_past(s->classifier, rule);
	if (at->again)
		return said_again(at, rule);
	if (limit != UINT32_MAX && !limiter_take(s->limiter[at->w->number], limit, at->v->family,
						 at->v->source, at->meta->now_ns))
		return false;
	if (classify_rule_action(s->classifier, rule) == CLASSIFY_INSPECT) {
		count(at, rule);
		inspect(at, rule);
	}
	return true;
}

/* What layers say, whether it is overruled or not. */
static void spoke(void *arg, uint32_t layer, uint8_t action)
{
	struct visit *at = arg;

	if (at->again || at->settled)
		return;
	snapshot_said(at->w->snapshot, at->w->number, layer, action, at->let_in);
	at->let_in |= action != CLASSIFY_BLOCK;
}

static const struct classify_listener *listener(void *arg, const struct pend_values *v,
						unsigned need)
{
	struct visit *at = arg;
	const struct classify_listener *l = listeners_find(at->w->listeners, v, need);

	at->late = listeners_late(at->w->listeners);
	at->unsure = l->state == LISTENER_UNKNOWN ||
		     (l->state == LISTENER_FOUND && need & ~(unsigned)l->known);
	return l;
}

static struct classify_context context_of(struct visit *at)
{
	uint64_t clock = atomic_load_explicit(&at->w->clock, memory_order_relaxed);

	return (struct classify_context){
		.ifaces = at->w->ifaces,
		.clock = (uint32_t)clock,
		.minute = (uint32_t)(clock >> 32),
		.reauthorize = at->meta->flags & PEND_META_REAUTHORIZE,
		.reason = (uint8_t)at->meta->reason,
		.visit = visit,
		.spoke = spoke,
		.listener = listener,
		.arg = at,
	};
}

/* A stamp is for the whole epoch: while the next packet may find more to judge it by, there is none. */
static void permit_live(bool for_now, struct pend_classify_out *out)
{
	pend_out_permit(out);
	if (for_now)
		out->rights |= PEND_OUT_ONCE;
}

static void block(const struct visit *at, bool live, enum pend_block how,
		  struct pend_classify_out *out)
{
	if (live && at->unsure) {
		/* Nothing is ended for what is not known; as in reauth.c. Its opener's packets have the mark. */
		permit_live(at->v->mark_unknown || at->late, out);
	} else if (at->late) {
		/* The peer comes again, or what somebody has permitted is judged again, and it is known. */
		pend_out_block(out, PEND_BLOCK_DROP);
		out->rights |= PEND_OUT_ONCE;
	} else {
		pend_out_block(out, how);
	}
}

/* What was said of this connection's like holds still. */
static bool decided_before(const struct visit *at, const struct classify_result *r,
			   uint8_t *verdict)
{
	const struct pend_values *v = at->v;
	const struct remembered_flow f = {.family = v->family,
					  .protocol = v->protocol,
					  .source_port = v->source_port,
					  .dest_port = v->dest_port,
					  .source = v->source,
					  .dest = v->dest};
	struct worker *w = at->w;
	struct remembered_value said;

	if (!w->remembered ||
	    !remembered_about(w->remembered, classify_rule_key(w->snapshot->classifier, r->rule),
			      &f, at->meta->now_ns, &said))
		return false;
	remembered_used(w->remembered, &said);
	*verdict = said.verdict;
	return true;
}

/* The result as if the first layer that asks had got its permit. */
static void next_layer(struct visit *at, struct classify_context *now, struct classify_result *r)
{
	if (!at->again) {
		at->again = true;
		at->pended = r->pends;
	}
	now->answered |= r->pends & -r->pends;
	classify_with(at->w->snapshot->classifier, now, at->v, r);
}

/*
 * The questions that are left, in their order: true, and the first that is not answered by what is remembered. False:
 * none, *r says what becomes of the connection. A remembered block is found behind an open question too: nobody is
 * asked in vain.
 */
static bool open_question(struct visit *at, struct classify_context *now, struct classify_result *r)
{
	struct classify_result open = {.action = 0};
	uint8_t verdict;

	for (; r->action == CLASSIFY_PEND; next_layer(at, now, r)) {
		bool said = decided_before(at, r, &verdict);

		if (said)
			offer(at->w, at->v);
		if (said && verdict != PEND_VERDICT_PERMIT) {
			r->action = CLASSIFY_BLOCK;
			return false;
		}
		if (!said && !open.action)
			open = *r;
		if (r->pends == (r->pends & -r->pends)) { /* the last one */
			r->action = CLASSIFY_PERMIT;
			break;
		}
	}
	if (!open.action || r->action == CLASSIFY_BLOCK)
		return false;
	*r = open;
	return true;
}

/* No room, or no more questions: a worker that ends has its verdict for them. */
static void unasked(const struct worker *w, bool again, struct pend_classify_out *out)
{
	bool permit = again && w->draining ? w->drain_verdict == PEND_VERDICT_PERMIT
					   : w->on_limit == PEND_ACTION_PERMIT;

	if (permit)
		pend_out_permit(out);
	else
		pend_out_block(out, PEND_BLOCK_DROP);
}

static void begin(const struct visit *at, bool again, const struct classify_result *r,
		  struct pend_classify_out *out)
{
	struct worker *w = at->w;
	struct pend_options o;
	pend_context ctx;

	options_of(w, r, &o);
	if (pend_operation(w->engine, at->meta->completion, &o, &ctx) != PEND_OK) {
		unasked(w, again, out);
		return;
	}
	pend_out_pended(out);
	ask(w, ctx, r);
}

static void pend(struct visit *at, struct classify_context *now, struct classify_result *r,
		 struct pend_classify_out *out)
{
	uint32_t rule = r->rule; /* counted already, unless it is another layer's turn */
	bool again = at->again;

	/* Mid-stream packets cannot wait: what would be asked about is refused (R3, R6). */
	if (!at->meta->completion) {
		pend_out_block(out, PEND_BLOCK_DROP);
		return;
	}
	if (open_question(at, now, r))
		begin(at, again, r, out);
	else if (r->action == CLASSIFY_PERMIT)
		pend_out_permit(out);
	else
		pend_out_block(out, (enum pend_block)r->block);
	out->rule = r->rule;
	if (again || r->rule != rule)
		count(at, r->rule);
}

void decide_classify(void *context, const struct pend_values *v, const struct pend_metadata *meta,
		     const struct pend_packet *packet, struct pend_classify_out *out)
{
	struct worker *w = context;
	struct visit at = {.w = w, .v = v, .meta = meta, .packet = packet};
	struct classify_context now = context_of(&at);
	struct classify_result r;
	/* Of a flow that was let in: no limit takes it in again, no rule and layer counts it again, and a
	 * decision stands (R33). */
	bool live = meta->reason == PEND_REASON_POLICY_CHANGE;

	at.settled = live || meta->flags & PEND_META_COMPLETION;
	classify_with(w->snapshot->classifier, &now, v, &r);
	at.unsure |= r.unsure;
	out->rule = r.rule;
	if (meta->flags & PEND_META_COMPLETION)
		w->answered_tag = meta->tag;
	else if (!live)
		count(&at, r.rule);
	switch ((enum classify_action)r.action) {
	case CLASSIFY_PERMIT:
		pend_out_permit(out);
		break;
	case CLASSIFY_BLOCK:
		block(&at, live, (enum pend_block)r.block, out);
		break;
	case CLASSIFY_PEND:
		/* In the completion pass: asked, and answered. The decision stands (T7), and whoever else
		 * is to be asked comes in decide_next. */
		if (live)
			permit_live(at.late, out);
		else if (!(meta->flags & PEND_META_COMPLETION))
			pend(&at, &now, &r, out);
		break;
	case CLASSIFY_INSPECT: /* never the answer */
		break;
	}
	if (r.log)
		out->rights |= PEND_OUT_EVENT;
}

void decide_next(void *context, const struct pend_values *v, const struct pend_metadata *meta,
		 const struct pend_packet *packet, struct pend_classify_out *out)
{
	struct worker *w = context;
	struct visit at = {.w = w, .v = v, .meta = meta, .packet = packet, .again = true};
	struct classify_context now;
	struct classify_result r;

	/* Only when a question above was answered: in a completion pass the first callout speaks for all layers. */
	if (!meta->completion || meta->flags & PEND_META_COMPLETION ||
	    !(out->rights & PEND_RIGHT_ACTION_WRITE)) /* the one before it has said so for all */
		return;
	now = context_of(&at);
	now.answered = answered_of_tag(MSG_TAG_LAYERS(w->answered_tag), &at.pended);
	if (MSG_TAG_GENERATION(w->answered_tag) != w->snapshot->generation)
		at.settled = true; /* no limit of this policy was asked about it, and none is now */
	classify_with(w->snapshot->classifier, &now, v, &r);
	out->rule = r.rule;
	if (r.action == CLASSIFY_PEND)
		pend(&at, &now, &r, out);
	else if (r.action == CLASSIFY_BLOCK)
		block(&at, false, (enum pend_block)r.block, out);
	else
		pend_out_permit(out);
	out->rights &= ~(uint32_t)PEND_RIGHT_ACTION_WRITE; /* it is said for those below, too */
}

bool decide_before(const struct worker *w, const struct pend_info *i)
{
	return w->snapshot && MSG_TAG_GENERATION(i->tag) != w->snapshot->generation;
}

static bool got_past(void *snapshot, uint32_t rule)
{
	const struct snapshot *s = snapshot;

	return classify_got_past(s->classifier, rule);
}

struct pend_info decide_today(const struct worker *w, const struct pend_info *asked)
{
	uint64_t clock = atomic_load_explicit(&w->clock, memory_order_relaxed);
	struct classify_context now = {.ifaces = w->ifaces,
				       .clock = (uint32_t)clock,
				       .minute = (uint32_t)(clock >> 32),
				       .visit = got_past,
				       .arg = w->snapshot};
	struct pend_info i = *asked;
	struct pend_values v;
	struct classify_result r;

	if (!asked->tag || !decide_before(w, asked))
		return i;
	flow_info_values(asked, &v);
	now.answered = before_of_tag(MSG_TAG_LAYERS(asked->tag));
	classify_with(w->snapshot->classifier, &now, &v, &r);
	if (r.action == CLASSIFY_PEND) {
		i.rule = r.rule;
		i.tag = MSG_TAG(w->snapshot->generation, r.authority) | MSG_TAG_LAYERS(i.tag);
	}
	return i;
}
