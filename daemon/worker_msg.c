/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Messages between a worker and the authority process. Every field that comes in is checked here. */
#include "core/flow.h"
#include "daemon/msg.h"
#include "daemon/worker.h"
#include <string.h>

static void reply(struct worker *w, struct msg *m)
{
	m->version = MSG_VERSION;
	m->worker = (uint16_t)w->number;
	w->urgent = true;
	if (!w->chan || chan_send(w->chan, m) != 0)
		w->events_dropped++;
}

static void reply_done(struct worker *w, uint32_t seq, enum pend_status s, uint32_t count,
		       uint32_t cursor)
{
	struct msg m = {.type = MSG_DONE, .seq = seq};

	m.u.done.status = (int32_t)s;
	m.u.done.count = count;
	m.u.done.cursor = cursor;
	reply(w, &m);
}

/* Only what somebody said: a deadline, a limit or a policy decides for the one connection. */
static void remember(const struct worker *w, const struct pend_event *ev)
{
	const struct pend_info *i = &ev->info;
	struct remembered_value v = {
		.since_ns = ev->now_ns, .verdict = i->verdict, .reason = (uint8_t)i->reason};
	struct remembered_key k;
	uint64_t ns;
	uint8_t scope;
	bool end;

	if (!w->remembered || !w->snapshot ||
	    (i->reason != REASON_OPERATOR && i->reason != REASON_AUTHORITY) ||
	    MSG_TAG_GENERATION(i->tag) != w->snapshot->generation)
		return;
	ns = classify_rule_remember(w->snapshot->classifier, i->rule, &scope, &end);
	if (!ns)
		return;
	v.until_ns = ev->now_ns + ns;
	v.end = end && i->verdict == PEND_VERDICT_PERMIT;
	k = remembered_key_of(classify_rule_key(w->snapshot->classifier, i->rule), scope, i->family,
			      i->protocol, i->source, i->source_port, i->dest, i->dest_port);
	remembered_add(w->remembered, &k, &v, ev->now_ns);
}

void worker_notify(void *worker, const struct pend_event *ev)
{
	struct worker *w = worker;
	struct msg m;

	if (ev->type == PEND_EVENT_COMPLETED) {
		w->answers++;
		w->answer_ns_sum += ev->now_ns - ev->info.created_ns;
		remember(w, ev);
	}
	if (!(w->subscribed & 1u << ev->type))
		return;
	m = (struct msg){.version = MSG_VERSION, .type = MSG_EVENT, .worker = (uint16_t)w->number};
	m.u.event = *ev;
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

static void complete(struct worker *w, const struct msg *m)
{
	enum pend_status s = decide(w, m->u.complete.context, m->u.complete.verdict,
				    m->u.complete.block, m->u.complete.reason);

	if (s != PEND_OK || !m->u.complete.quiet)
		reply_done(w, m->seq, s, 1, 0);
}

static bool verdict_valid(uint8_t verdict, uint8_t block)
{
	return verdict <= PEND_VERDICT_PERMIT &&
	       (block <= PEND_BLOCK_UNREACHABLE || block == UINT8_MAX);
}

static bool match_valid(const struct msg_match *f)
{
	unsigned max = f->family == FLOW_V6 ? 128 : 32;

	return (f->family == 0 && f->prefix_len == 0) ||
	       ((f->family == FLOW_V4 || f->family == FLOW_V6) && f->prefix_len <= max);
}

static bool matches(const struct msg_match *f, const struct pend_info *i)
{
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

/* One slice of the table: a walk over a million contexts must not stop the packets. */
static void walk(struct worker *w, const struct msg *m)
{
	const struct msg_match *f = &m->u.match;
	bool complete = m->type == MSG_COMPLETE_MATCH, more = true;
	uint32_t cursor = f->cursor, end = cursor + MSG_SCAN, count = 0;
	struct pend_info info;

	while (more && cursor < end && (complete || count < MSG_LIST_MAX)) {
		more = pend_context_next(w->engine, &cursor, end - cursor, &info);
		if (!info.context || info.state != PEND_STATE_PENDED || !matches(f, &info))
			continue;
		if (complete) {
			count += decide(w, info.context, f->verdict, f->block, REASON_OPERATOR) ==
				 PEND_OK;
		} else {
			struct msg out = {.type = MSG_CONTEXT, .seq = m->seq};

			out.u.info = info;
			reply(w, &out);
			count++;
		}
	}
	reply_done(w, m->seq, PEND_OK, count, more ? cursor : 0);
}

static void send_stats(struct worker *w, const struct msg *m)
{
	struct msg out = {.type = MSG_WORKER_STATS, .seq = m->seq};

	pend_engine_stats(w->engine, &out.u.stats.stats);
	out.u.stats.events_dropped = w->events_dropped;
	out.u.stats.questions_refused = w->questions_refused;
	out.u.stats.bad_messages = w->bad_messages;
	out.u.stats.dispatches = w->dispatches;
	out.u.stats.answer_ns_sum = w->answer_ns_sum;
	out.u.stats.answers = w->answers;
	listeners_count(w->listeners, &out.u.stats.listeners);
	reply(w, &out);
}

static void refuse(struct worker *w, const struct msg *m)
{
	w->bad_messages++;
	reply_done(w, m->seq, PEND_E_INVALID, 0, 0);
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
		if (!verdict_valid(m->u.complete.verdict, m->u.complete.block))
			refuse(w, m);
		else
			complete(w, m);
		break;
	case MSG_COMPLETE_MATCH:
	case MSG_LIST:
		if (!match_valid(&m->u.match) ||
		    (m->type == MSG_COMPLETE_MATCH &&
		     !verdict_valid(m->u.match.verdict, m->u.match.block)))
			refuse(w, m);
		else
			walk(w, m);
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
