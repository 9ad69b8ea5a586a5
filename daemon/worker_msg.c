/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Messages between a worker and the authority process. Every field that comes in is checked here. */
#include "core/flow.h"
#include "daemon/decide.h"
#include "daemon/msg.h"
#include "daemon/worker.h"

static void reply(struct worker *w, struct msg *m)
{
	m->version = MSG_VERSION;
	m->worker = (uint16_t)w->number;
	w->urgent = true;
	if (!w->chan || chan_send(w->chan, m) != 0)
		w->events_dropped++;
}

static struct msg done(const struct msg *m, enum pend_status s)
{
	return (struct msg){.type = MSG_DONE, .seq = m->seq, .u.done.status = (int32_t)s};
}

static void reply_done(struct worker *w, const struct msg *m, enum pend_status s)
{
	struct msg out = done(m, s);

	reply(w, &out);
}

/* A decision of somebody's, while it is carried out. */
struct saying {
	uint32_t seq; /* of the message */
	pend_context context;
	struct msg_lasting lasting;
	bool told;       /* the event came: it was looked at */
	bool remembered; /* ... and holds for others */
};

/* For how long, for whom; 0: for the one connection. */
static uint64_t lasts(const struct worker *w, const struct saying *by, uint32_t rule,
		      uint8_t *scope, bool *end)
{
	uint64_t ns = classify_rule_remember(w->snapshot->classifier, rule, scope, end);

	if (by->lasting.scope != MSG_SCOPE_RULE)
		*scope = (uint8_t)(by->lasting.scope - MSG_SCOPE(0));
	if (by->lasting.ns == MSG_REMEMBER_NOT || !classify_rule_key(w->snapshot->classifier, rule))
		return 0;
	return by->lasting.ns ? by->lasting.ns : ns;
}

static void keep(struct worker *w, struct saying *by, struct msg *m, uint64_t now_ns)
{
	const struct remembered_entry *e = &m->u.remembered.entry;

	by->remembered = remembered_put(w->remembered, &e->k, &e->v, now_ns,
					&m->u.remembered.evicted);
	if (by->remembered)
		reply(w, m);
}

static void offer(struct worker *w, const struct pend_info *i)
{
	struct offer o = {.k = offer_key_of(i->family, i->protocol, i->source, i->dest,
					    i->dest_port, i->in_interface),
			  .fresh = 1};

	worker_offer(w, &o, i->hook);
}

/* Only what somebody said: a deadline, a limit or a policy decides for the one connection. */
static void remember(struct worker *w, struct saying *by, const struct pend_info *asked,
		     uint64_t now_ns)
{
	struct pend_info today = decide_today(w, asked), *i = &today;
	struct msg m = {.type = MSG_REMEMBERED, .seq = by->seq, .u.remembered.context = i->context};
	struct remembered_value *v = &m.u.remembered.entry.v;
	uint32_t code = MSG_REASON_CODE(i->reason);
	uint64_t ns;
	uint8_t scope;
	bool end;

	by->told = true;
	if (!w->remembered || !w->snapshot ||
	    (code != REASON_OPERATOR && code != REASON_AUTHORITY) || decide_before(w, i))
		return;
	ns = lasts(w, by, i->rule, &scope, &end);
	if (!ns)
		return;
	*v = (struct remembered_value){.since_ns = now_ns,
				       .until_ns = now_ns + ns,
				       .note = MSG_REASON_NOTE(i->reason),
				       .verdict = i->verdict,
				       .reason = (uint8_t)code,
				       .end = end && i->verdict == PEND_VERDICT_PERMIT};
	m.u.remembered.rule = i->rule;
	m.u.remembered.generation = w->snapshot->generation;
	m.u.remembered.entry.k = remembered_key_of(
		classify_rule_key(w->snapshot->classifier, i->rule), scope, i->family, i->protocol,
		i->source, i->source_port, i->dest, i->dest_port);
	keep(w, by, &m, now_ns);
	offer(w, i);
}

void worker_notify(void *worker, const struct pend_event *ev)
{
	struct worker *w = worker;
	struct msg m;

	if (ev->type == PEND_EVENT_COMPLETED) {
		w->answers++;
		w->answer_ns_sum += ev->now_ns - ev->info.created_ns;
	}
	if ((ev->type == PEND_EVENT_COMPLETED || ev->type == PEND_EVENT_ANSWERED) && w->saying &&
	    w->saying->context == ev->info.context)
		remember(w, w->saying, &ev->info, ev->now_ns);
	if (!(w->subscribed & 1u << ev->type))
		return;
	m = (struct msg){.version = MSG_VERSION, .type = MSG_EVENT, .worker = (uint16_t)w->number};
	m.u.event = *ev;
	if (ev->type != PEND_EVENT_CLASSIFIED)
		m.u.event.info = decide_today(w, &ev->info);
	if (!w->chan || chan_room(w->chan) <= WORKER_REPLY_ROOM || chan_send(w->chan, &m) != 0)
		w->events_dropped++;
	else if (!w->unsent++)
		w->unsent_since = mono_ns(ev->now_ns);
}

void worker_ask(struct worker *w, pend_context context)
{
	struct msg m = {.version = MSG_VERSION,
			.type = MSG_QUESTION,
			.worker = (uint16_t)w->number,
			.u.event.type = PEND_EVENT_PENDED};

	if (pend_context_info(w->engine, context, &m.u.event.info) != PEND_OK)
		return;
	if (w->chan && chan_room(w->chan) > WORKER_REPLY_ROOM && chan_send(w->chan, &m) == 0) {
		w->urgent = true;
		w->questions++;
		return;
	}
	/* between two authority processes: the next one asks about all that is pended */
	if (!w->chan)
		return;
	w->questions_refused++;
	pend_complete(w->engine, context,
		      w->on_limit == PEND_ACTION_PERMIT ? PEND_VERDICT_PERMIT : PEND_VERDICT_BLOCK,
		      REASON_BACKLOG);
}

static enum pend_status decide(struct worker *w, pend_context ctx, uint8_t verdict, uint8_t block,
			       uint32_t reason)
{
	/* 255: as the rule says. */
	if (verdict == PEND_VERDICT_BLOCK && block != UINT8_MAX)
		return pend_complete_block(w->engine, ctx, (enum pend_block)block, reason);
	return pend_complete(w->engine, ctx, (enum pend_verdict)verdict, reason);
}

/*
 * The same for what somebody has said. A permit may wait for the kernel's word (completing) or for that of a
 * completion pass (pended), and its event with it; what was said holds from now on.
 */
static enum pend_status say(struct worker *w, struct saying *by, uint8_t verdict, uint8_t block,
			    uint32_t reason)
{
	enum pend_status s;
	struct pend_info i;

	w->saying = by;
	s = decide(w, by->context, verdict, block, reason);
	w->saying = NULL;
	if (s == PEND_OK && !by->told && pend_context_info(w->engine, by->context, &i) == PEND_OK &&
	    (i.state == PEND_STATE_COMPLETING || i.state == PEND_STATE_PENDED))
		remember(w, by, &i, loop_clock().ns);
	return s;
}

static bool verdict_valid(uint8_t verdict, uint8_t block)
{
	return verdict <= PEND_VERDICT_PERMIT &&
	       (block <= PEND_BLOCK_UNREACHABLE || block == UINT8_MAX);
}

static bool lasting_valid(const struct msg_lasting *l)
{
	return l->scope <= MSG_SCOPE(CLASSIFY_SCOPE_FLOW) &&
	       (!l->ns || l->ns == MSG_REMEMBER_NOT ||
		(l->ns >= CLASSIFY_REMEMBER_MIN && l->ns <= CLASSIFY_REMEMBER_MAX));
}

static bool match_valid(const struct msg_match *f)
{
	unsigned max = f->family == FLOW_V6 ? 128 : 32;

	return (f->family == 0 && f->prefix_len == 0) ||
	       ((f->family == FLOW_V4 || f->family == FLOW_V6) && f->prefix_len <= max);
}

/* Rules and authorities are those of the policy that is in force: numbers of an earlier one say nothing. */
static bool matches(const struct worker *w, const struct msg_match *f,
		    const struct pend_info *asked)
{
	struct pend_info today = decide_today(w, asked), *i = &today;

	if (decide_before(w, i) && (f->authority != UINT16_MAX || f->rule != UINT32_MAX))
		return false;
	if (f->family &&
	    (f->family != i->family || !flow_addr_in(i->source, f->source, f->prefix_len)))
		return false;
	if (f->protocol && f->protocol != i->protocol)
		return false;
	if (f->dest_port && f->dest_port != i->dest_port)
		return false;
	if (f->authority != UINT16_MAX && f->authority != MSG_TAG_AUTHORITY(i->tag))
		return false;
	return f->rule == UINT32_MAX || f->rule == i->rule;
}

static void complete_one(struct worker *w, const struct msg *m)
{
	struct saying by = {
		.seq = m->seq, .context = m->u.complete.context, .lasting = m->u.complete.lasting};
	struct msg out = done(
		m, say(w, &by, m->u.complete.verdict, m->u.complete.block, m->u.complete.reason));

	out.u.done.count = 1;
	out.u.done.remembered = by.remembered;
	if (out.u.done.status != PEND_OK || !m->u.complete.quiet)
		reply(w, &out);
}

static void complete_match(struct worker *w, const struct msg *m, const struct pend_info *i,
			   struct msg *out)
{
	const struct msg_match *f = &m->u.match;
	struct saying by = {.seq = m->seq, .context = i->context, .lasting = f->lasting};

	out->u.done.count += say(w, &by, f->verdict, f->block, f->reason) == PEND_OK;
	out->u.done.remembered += by.remembered;
}

/* What was said of its like, after it was pended, decides it. */
static void apply(struct worker *w, const struct pend_info *asked, struct msg *out)
{
	struct pend_info today = decide_today(w, asked), *i = &today;
	const struct remembered_flow f = {.family = i->family,
					  .protocol = i->protocol,
					  .source_port = i->source_port,
					  .dest_port = i->dest_port,
					  .source = i->source,
					  .dest = i->dest};
	struct remembered_value v;

	if (!w->remembered || !w->snapshot || decide_before(w, i) ||
	    !remembered_about(w->remembered, classify_rule_key(w->snapshot->classifier, i->rule),
			      &f, loop_clock().ns, &v) ||
	    decide(w, i->context, v.verdict, UINT8_MAX, MSG_REASON(v.reason, v.note)) != PEND_OK)
		return;
	remembered_used(w->remembered, &v);
	out->u.done.count++;
}

static void list_one(struct worker *w, const struct msg *m, const struct pend_info *i,
		     struct msg *out)
{
	struct msg c = {.type = MSG_CONTEXT, .seq = m->seq, .u.info = decide_today(w, i)};

	reply(w, &c);
	out->u.done.count++;
}

/* Each slot may take a reply. Two are left to each message of the datagram: the reply to one slot, and the last one. */
static bool may_go_on(const struct worker *w, const struct msg *m, const struct msg *out)
{
	if (m->type == MSG_APPLY)
		return true;
	if (m->type == MSG_LIST && out->u.done.count >= MSG_LIST_MAX)
		return false;
	return !w->chan || chan_room(w->chan) > 2 * MSG_PER_DATAGRAM;
}

/*
 * One slice of the table: a walk over a million contexts must not stop the packets. A slot at least, so that whoever asks gets
 * to the end.
 */
static void walk(struct worker *w, const struct msg *m)
{
	uint32_t cursor = m->u.match.cursor, end = cursor + MSG_SCAN;
	struct msg out = done(m, PEND_OK);
	struct pend_info info;
	bool more = true;

	while (more && cursor < end && (cursor == m->u.match.cursor || may_go_on(w, m, &out))) {
		more = pend_context_next(w->engine, &cursor, end - cursor, &info);
		if (!info.context || info.state != PEND_STATE_PENDED)
			continue;
		if (m->type == MSG_APPLY)
			apply(w, &info, &out);
		else if (!matches(w, &m->u.match, &info))
			continue;
		else if (m->type == MSG_COMPLETE_MATCH)
			complete_match(w, m, &info, &out);
		else
			list_one(w, m, &info, &out);
	}
	out.u.done.cursor = more ? cursor : 0;
	reply(w, &out);
}

static void send_stats(struct worker *w, const struct msg *m)
{
	struct msg out = {.type = MSG_WORKER_STATS, .seq = m->seq};

	pend_engine_stats(w->engine, &out.u.stats.stats);
	out.u.stats.events_dropped = w->events_dropped;
	out.u.stats.questions_refused = w->questions_refused;
	out.u.stats.bad_messages = w->bad_messages;
	out.u.stats.dispatches = w->dispatches;
	out.u.stats.busy_polls = w->busy.tries;
	out.u.stats.busy_poll_answers = w->busy.answers;
	out.u.stats.answer_ns_sum = w->answer_ns_sum;
	out.u.stats.answers = w->answers;
	listeners_count(w->listeners, &out.u.stats.listeners);
	reply(w, &out);
}

static void refuse(struct worker *w, const struct msg *m)
{
	w->bad_messages++;
	reply_done(w, m, PEND_E_INVALID);
}

void worker_prefetch(const struct worker *w, const void *messages, unsigned n)
{
	const struct msg *m = messages;
	pend_context context[MSG_PER_DATAGRAM];
	unsigned contexts = 0;

	for (unsigned i = 0; i < n && i < MSG_PER_DATAGRAM; i++)
		if (m[i].type == MSG_COMPLETE)
			context[contexts++] = m[i].u.complete.context;
	if (contexts > 1)
		pend_context_prefetch(w->engine, context, contexts);
}

void worker_message(struct worker *w, const void *message)
{
	const struct msg *m = message;

	if (m->version != MSG_VERSION) {
		w->bad_messages++;
		return;
	}
	switch (m->type) {
	case MSG_COMPLETE:
		if (!verdict_valid(m->u.complete.verdict, m->u.complete.block) ||
		    !lasting_valid(&m->u.complete.lasting))
			refuse(w, m);
		else
			complete_one(w, m);
		break;
	case MSG_COMPLETE_MATCH:
	case MSG_LIST:
		if (!match_valid(&m->u.match) ||
		    (m->type == MSG_COMPLETE_MATCH &&
		     (!verdict_valid(m->u.match.verdict, m->u.match.block) ||
		      !lasting_valid(&m->u.match.lasting))))
			refuse(w, m);
		else
			walk(w, m);
		break;
	case MSG_APPLY:
		walk(w, m);
		break;
	case MSG_FENCE:
		reply_done(w, m, PEND_OK);
		break;
	case MSG_SUBSCRIBE:
		w->subscribed = m->u.subscribe.events;
		break;
	case MSG_STATS:
		send_stats(w, m);
		break;
	default:
		refuse(w, m);
	}
}
