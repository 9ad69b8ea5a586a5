/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The commands that look: status, pending, rules, version. */
#include "daemon/control_impl.h"
#include "base/str.h"
#include "core/classify_key.h"
#include "daemon/control_json.h"
#include "daemon/ids.h"
#include "daemon/reauth_json.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum hook_state { HOOK_STATE_NONE, HOOK_STATE_IN_PLACE, HOOK_STATE_MISSING, HOOK_STATE_REMOVED };

void collected_free(struct collected *c)
{
	free(c);
}

static void set_int(json_t *o, const char *key, uint64_t v)
{
	json_object_set_new(o, key, json_integer((json_int_t)v));
}

static void set_text(json_t *o, const char *key, const char *s)
{
	json_object_set_new(o, key, cj_text(s));
}

static json_t *status_policy(const struct request *r, const struct msg_main_status *m)
{
	const struct view *v = r->control->env.view;
	json_t *o = json_object();

	set_text(o, "file", r->control->env.config);
	set_int(o, "generation", m->generation);
	set_int(o, "rules", v->classifier ? classify_rules(v->classifier) : 0);
	set_int(o, "authorities", v->classifier ? classify_authorities(v->classifier) : 0);
	set_int(o, "limit_refused", m->limit_refused);
	set_int(o, "limit_forgotten", m->limit_forgotten);
	if (m->policy_loaded_ns)
		json_object_set_new(o, "loaded", cj_time(m->policy_loaded_ns));
	return o;
}

static const char *hook_state_name(unsigned state)
{
	static const char *const names[] = {"none", "in-place", "missing", "removed"};

	return state < sizeof(names) / sizeof(names[0]) ? names[state] : "unknown";
}

static json_t *status_hookup(const struct msg_main_status *m)
{
	json_t *o = json_object();

	json_object_set_new(o, "kind", cj_field(m->hook_kind, sizeof(m->hook_kind)));
	set_text(o, "state", hook_state_name(m->hook_state));
	json_object_set_new(o, "fail", json_string(m->fail_open ? "open" : "closed"));
	set_int(o, "repairs", m->hook_repairs);
	json_object_set_new(o, "capabilities", cj_field(m->caps, sizeof(m->caps)));
	return o;
}

static json_t *reauth_by_reason(const struct msg_main_status *m)
{
	json_t *all = json_object();

	for (unsigned i = 0; i < MSG_REASONS; i++) {
		const char *name = reauth_reason_name(i);
		json_t *o;

		if (!name || i == PEND_REASON_CLASSIFY_COMPLETION)
			continue;
		o = json_object();
		set_int(o, "runs", m->reauth_by[i].runs);
		set_int(o, "ended", m->reauth_by[i].ended);
		json_object_set_new(all, name, o);
	}
	return all;
}

static json_t *status_reauth(const struct msg_main_status *m)
{
	json_t *o = json_object();

	set_int(o, "runs", m->reauth_runs);
	set_int(o, "examined", m->reauth_examined);
	set_int(o, "ended", m->reauth_ended);
	set_int(o, "failed", m->reauth_failed);
	json_object_set_new(o, "by_reason", reauth_by_reason(m));
	return o;
}

static json_t *status_kernel(const struct msg_main_status *m)
{
	json_t *o = json_object();

	set_int(o, "queued", m->kernel_queued);
	set_int(o, "queue_dropped", m->kernel_dropped);
	set_int(o, "user_dropped", m->user_dropped);
	set_int(o, "flushed", m->kernel_flushed);
	return o;
}

static const char *offers_state_name(unsigned state)
{
	static const char *const names[] = {[MSG_OFFERS_OFF] = "off",
					    [MSG_OFFERS_NO_HOOKUP] = "no-hookup",
					    [MSG_OFFERS_IPTABLES] = "iptables",
					    [MSG_OFFERS_NO_INPUT] = "no-input",
					    [MSG_OFFERS_ON] = "on"};

	return state < sizeof(names) / sizeof(names[0]) ? names[state] : "unknown";
}

/* Where the last connection that was not offered depends on more than the kernel's sets know. */
static void status_varies(json_t *o, const struct request *r, const struct msg_offers *f)
{
	const struct classifier *c = r->control->env.view->classifier;
	const char *by = classify_else_name(f->varies_by);
	struct classify_rule rule;

	if (!f->varies || !by || !c || !classify_rule(c, f->varies_rule, &rule))
		return;
	set_text(o, "varies_by", by);
	set_int(o, "varies_rule", f->varies_rule);
	set_text(o, "varies_text", rule.text);
}

static json_t *status_offers(const struct request *r, const struct msg_offers *f)
{
	json_t *o = json_object();

	set_text(o, "state", offers_state_name(f->state));
	if (f->state != MSG_OFFERS_ON)
		return o;
	set_int(o, "elements", f->elements);
	set_int(o, "kernel_permits", f->permits);
	set_int(o, "kernel_blocks", f->blocks);
	set_int(o, "offered", f->offered);
	set_int(o, "varies", f->varies);
	set_int(o, "full", f->full);
	set_int(o, "missed", f->missed);
	set_int(o, "failed", f->failed);
	set_int(o, "flushes", f->flushes);
	status_varies(o, r, f);
	return o;
}

static json_t *status_listeners(const struct collected *c)
{
	const struct listeners_counts *w = &c->listeners, *m = &c->main.listeners;
	json_t *o = json_object();

	set_int(o, "lookups", w->lookups + m->lookups);
	set_int(o, "cached", w->cached + m->cached);
	set_int(o, "asked", w->asked + m->asked);
	set_int(o, "unknown", w->unknown + m->unknown);
	set_int(o, "resolver_restarts", c->main.resolver_restarts);
	json_object_set_new(o, "resolver", json_boolean(c->main.resolver));
	return o;
}

const char *worker_name(unsigned worker, char buf[IDS_TEXT])
{
	ids_print(ids_make(worker, 0, 1), buf);
	buf[strcspn(buf, "0123456789")] = '\0';
	return buf;
}

static json_t *status_workers(const struct request *r)
{
	json_t *a = json_array();

	for (unsigned i = 0; i < r->control->env.workers; i++) {
		const struct pend_stats *s = &r->collected->stats[i];
		char name[IDS_TEXT];
		json_t *o = json_object();

		set_text(o, "worker", worker_name(i, name));
		json_object_set_new(o, "answers", json_boolean(r->collected->have[i]));
		set_int(o, "pending", s->pending);
		set_int(o, "pended", s->pended);
		set_int(o, "packets", s->packets);
		set_int(o, "held", s->held);
		set_int(o, "memory", s->memory);
		json_array_append_new(a, o);
	}
	return a;
}

static json_t *status_totals(const struct collected *c)
{
	json_t *o = cj_stats(&c->sum);

	set_int(o, "events_dropped", c->events_dropped);
	set_int(o, "questions_refused", c->questions_refused);
	set_int(o, "bad_messages", c->bad_messages + c->main.bad_messages);
	set_int(o, "dispatches", c->dispatches);
	set_int(o, "busy_polls", c->busy_polls);
	set_int(o, "busy_poll_answers", c->busy_poll_answers);
	set_int(o, "answers", c->answers);
	set_int(o, "answer_us_mean", c->answers ? c->answer_ns / c->answers / 1000 : 0);
	return o;
}

static void problem(json_t *a, const char *text)
{
	json_array_append_new(a, cj_text(text));
}

static json_t *status_problems(const struct request *r)
{
	const struct collected *c = r->collected;
	json_t *a = json_array();
	char text[80];

	if (!c->have_main)
		problem(a, "the verdict process does not answer");
	for (unsigned i = 0; i < r->control->env.workers; i++) {
		snprintf(text, sizeof(text), "worker %u does not answer", i);
		if (!c->have[i])
			problem(a, text);
	}
	if (c->main.hook_state == HOOK_STATE_MISSING)
		problem(a, "kernel rules are missing: pendctl hookup install puts them back");
	if (c->main.agents_failing) {
		snprintf(text, sizeof(text),
			 "the programs of %u of %u authorities do not run: the log says why",
			 c->main.agents_failing, c->main.agents_wanted);
		problem(a, text);
	}
	if (c->main.hook_state == HOOK_STATE_REMOVED)
		problem(a, "kernel rules were removed by request: nothing is held");
	return a;
}

static json_t *status_agents(const struct msg_main_status *m)
{
	json_t *o = json_object();

	set_int(o, "wanted", m->agents_wanted);
	set_int(o, "running", m->agents_running);
	set_int(o, "failing", m->agents_failing);
	set_int(o, "elsewhere", m->agents_foreign);
	set_int(o, "restarts", m->agents_restarts);
	return o;
}

json_t *status_json(struct request *r)
{
	const struct collected *c = r->collected;
	json_t *o = json_object(), *problems = status_problems(r);
	uint64_t now = loop_now(r->control->env.loop).ns;

	set_text(o, "version", PEND_VERSION);
	set_text(o, "state",
		 c->main.draining            ? "stopping"
		 : json_array_size(problems) ? "degraded"
					     : "ok");
	json_object_set_new(o, "problems", problems);
	if (c->have_main) {
		set_int(o, "uptime_s",
			mono_since(mono_ns(now), mono_ns(c->main.started_ns)) / MONO_NS_PER_S);
		set_int(o, "authority_restarts", c->main.authority_restarts);
		json_object_set_new(o, "policy", status_policy(r, &c->main));
		json_object_set_new(o, "hookup", status_hookup(&c->main));
		json_object_set_new(o, "kernel", status_kernel(&c->main));
		json_object_set_new(o, "kernel_decisions", status_offers(r, &c->main.offers));
		json_object_set_new(o, "listeners", status_listeners(c));
		json_object_set_new(o, "live_flows", status_reauth(&c->main));
		json_object_set_new(o, "agents", status_agents(&c->main));
	}
	json_object_set_new(o, "workers", status_workers(r));
	json_object_set_new(o, "totals", status_totals(c));
	r->control->env.figures(r->control->env.ctx, o);
	return o;
}

static void status_finish(struct request *r)
{
	request_ok(r, status_json(r));
}

static void status_stats(struct collected *c, unsigned worker, const struct msg *m)
{
	if (c->have[worker])
		return;
	c->have[worker] = true;
	c->stats[worker] = m->u.stats.stats;
	cj_stats_add(&c->sum, &m->u.stats.stats);
	c->events_dropped += m->u.stats.events_dropped;
	c->questions_refused += m->u.stats.questions_refused;
	c->bad_messages += m->u.stats.bad_messages;
	c->dispatches += m->u.stats.dispatches;
	c->busy_polls += m->u.stats.busy_polls;
	c->busy_poll_answers += m->u.stats.busy_poll_answers;
	c->answer_ns += m->u.stats.answer_ns_sum;
	c->answers += m->u.stats.answers;
	c->listeners.lookups += m->u.stats.listeners.lookups;
	c->listeners.cached += m->u.stats.listeners.cached;
	c->listeners.asked += m->u.stats.listeners.asked;
	c->listeners.unknown += m->u.stats.listeners.unknown;
}

static void status_answer(struct request *r, unsigned worker, unsigned index, const struct msg *m,
			  int fd)
{
	(void)index;
	(void)fd;
	if (worker == MSG_MAIN && m->type == MSG_MAIN_STATUS) {
		r->collected->main = m->u.main;
		r->collected->have_main = true;
	} else if (worker < r->control->env.workers && m->type == MSG_WORKER_STATS) {
		status_stats(r->collected, worker, m);
	} else {
		return;
	}
	if (--r->outstanding == 0)
		r->expired(r); /* all are there: no need to wait longer */
}

void status_collect(struct request *r, void (*finish)(struct request *r))
{
	struct msg m = {.type = MSG_STATS};

	r->collected = calloc(1, sizeof(*r->collected));
	if (!r->collected) {
		request_fail(r, "no-memory", "out of memory");
		return;
	}
	r->answer = status_answer;
	r->expired = finish;
	r->outstanding = r->control->env.workers + 1;
	request_wait(r, CONTROL_STATUS_MS);
	for (unsigned i = 0; i < r->control->env.workers; i++)
		request_post(r, i, i, &m);
	m.type = MSG_MAIN_STATUS;
	request_post(r, MSG_MAIN, 0, &m);
}

void show_status(struct request *r, const json_t *args)
{
	(void)args;
	status_collect(r, status_finish);
}

/* ------------------------------------------------------------------- pending ---- */

static json_t *pending_part(struct request *r)
{
	json_t *o = json_object();

	json_object_set_new(o, "pending", r->list ? r->list : json_array());
	r->list = NULL;
	return o;
}

static void pending_finish(struct request *r, bool more)
{
	json_t *o = pending_part(r);
	char from[32];

	set_int(o, "count", r->count);
	json_object_set_new(o, "incomplete", json_boolean(r->incomplete));
	if (more) {
		snprintf(from, sizeof(from), "%u.%u", r->worker, r->cursor);
		set_text(o, "next", from);
	}
	request_ok(r, o);
}

static void pending_step(struct request *r)
{
	struct msg m = {.type = MSG_LIST, .u.match = r->match};
	int ret;

	for (; r->worker < r->control->env.workers; r->worker++, r->cursor = 0) {
		if (r->limit && r->count >= r->limit) {
			pending_finish(r, true);
			return;
		}
		if (request_hold(r))
			return;
		m.u.match.cursor = r->cursor;
		ret = request_post(r, r->worker, r->worker, &m);
		if (ret >= 0)
			return;
		r->incomplete = true;
	}
	pending_finish(r, false);
}

/* A worker that sends the cursor backwards would be asked for ever: it is taken to be done. */
static void walk_advance(struct request *r, uint32_t cursor)
{
	if (cursor > r->cursor) {
		r->cursor = cursor;
	} else {
		r->cursor = 0;
		r->worker++;
	}
}

static void pending_answer(struct request *r, unsigned worker, unsigned index, const struct msg *m,
			   int fd)
{
	(void)fd;
	if (worker != r->worker || index != r->worker)
		return;
	if (m->type == MSG_CONTEXT) {
		if (!r->list)
			r->list = json_array();
		json_array_append_new(r->list, cj_context(&m->u.info, r->control->env.view,
							  loop_now(r->control->env.loop)));
		r->count++;
		return;
	}
	if (m->type != MSG_DONE)
		return;
	walk_advance(r, m->u.done.cursor);
	request_wait(r, CONTROL_DEADLINE_MS);
	if (r->list && r->worker < r->control->env.workers)
		request_part(r, pending_part(r));
	pending_step(r);
}

static bool pending_from(struct request *r, const json_t *from)
{
	const char *s = json_string_value(from);
	unsigned worker, cursor;
	char end;

	if (!from)
		return true;
	if (!s || sscanf(s, "%9u.%9u%c", &worker, &cursor, &end) != 2 ||
	    worker >= r->control->env.workers)
		return false;
	r->worker = worker;
	r->cursor = cursor;
	return true;
}

void show_pending(struct request *r, const json_t *args)
{
	const json_t *limit = json_object_get(args, "limit");
	struct err e = {0};
	bool any;

	if (cj_match(args, r->control->env.view, &r->match, &any, &e) < 0) {
		request_fail(r, "invalid", "%s", e.text);
		return;
	}
	if ((limit && json_integer_value(limit) < 1) ||
	    !pending_from(r, json_object_get(args, "from"))) {
		request_fail(r, "invalid",
			     "limit is a number from 1, from is the \"next\" of a reply");
		return;
	}
	r->limit = (uint64_t)json_integer_value(limit);
	r->answer = pending_answer;
	r->step = pending_step;
	pending_step(r);
}

/* --------------------------------------------------------------------- rules ---- */

const char *action_name(unsigned action)
{
	static const char *const names[] = {"none", "permit", "block", "pend", "inspect"};

	return action < sizeof(names) / sizeof(names[0]) ? names[action] : "none";
}

json_t *rule_object(const struct classifier *c, uint32_t i)
{
	struct classify_rule rule;
	struct classify_authority a;
	json_t *o = json_object();

	set_int(o, "rule", i);
	if (!c || !classify_rule(c, i, &rule))
		return o;
	set_text(o, "file", rule.file ? rule.file : "");
	set_int(o, "line", rule.line);
	set_text(o, "layer", rule.layer ? rule.layer : "");
	set_text(o, "text", rule.text ? rule.text : "");
	set_text(o, "action", action_name(rule.action));
	if (*rule.counter)
		set_text(o, "counter", rule.counter);
	if (rule.action == CLASSIFY_PEND && classify_authority(c, rule.authority, &a))
		set_text(o, "authority", a.name);
	return o;
}

static json_t *rule_json(const struct view *v, uint32_t i, const struct rule_count *n)
{
	json_t *o = rule_object(v->classifier, i);

	set_int(o, "hits", n->hits);
	set_int(o, "bytes", n->bytes);
	if (n->last_ns)
		json_object_set_new(o, "last", cj_time(n->last_ns));
	return o;
}

static json_t *rules_part(struct request *r)
{
	json_t *o = json_object();

	json_object_set_new(o, r->rows, r->list ? r->list : json_array());
	r->list = NULL;
	return o;
}

static void rules_finish(struct request *r)
{
	json_t *o = rules_part(r);

	set_int(o, "count", r->count);
	set_int(o, "generation", r->control->env.view->generation);
	request_ok(r, o);
}

static void rules_step(struct request *r)
{
	const struct view *v = r->control->env.view;
	struct msg m = {.type = MSG_RULE_HITS, .u.hits.first = r->cursor};

	if (!v->classifier || r->cursor >= classify_rules(v->classifier)) {
		r->rows_end(r);
		return;
	}
	if (!request_hold(r) && request_post(r, MSG_MAIN, 0, &m) < 0)
		request_fail(r, "system", "the verdict process is gone");
}

static void rules_answer(struct request *r, unsigned worker, unsigned index, const struct msg *m,
			 int fd)
{
	const struct view *v = r->control->env.view;
	uint32_t total = v->classifier ? classify_rules(v->classifier) : 0;

	(void)index;
	(void)fd;
	if (worker != MSG_MAIN || m->type != MSG_RULE_HITS || m->u.hits.first != r->cursor)
		return;
	if (!m->u.hits.count || m->u.hits.count > MSG_HITS) {
		r->rows_end(r);
		return;
	}
	r->list = json_array();
	for (uint32_t i = 0; i < m->u.hits.count && r->cursor < total; i++, r->count++)
		json_array_append_new(r->list, r->row(v, r->cursor++, &m->u.hits.rule[i]));
	request_wait(r, CONTROL_DEADLINE_MS);
	if (r->cursor < total)
		request_part(r, rules_part(r));
	rules_step(r);
}

void rules_walk(struct request *r)
{
	r->answer = rules_answer;
	r->step = rules_step;
	r->cursor = 0;
	request_wait(r, CONTROL_DEADLINE_MS);
	rules_step(r);
}

void show_rules(struct request *r, const json_t *args)
{
	(void)args;
	r->row = rule_json;
	r->rows = "rules";
	r->rows_end = rules_finish;
	rules_walk(r);
}

/* --------------------------------------------------------------------- version ---- */

void show_version(struct request *r, const json_t *args)
{
	const json_t *protocol = json_object_get(args, "protocol");
	json_t *o;

	if (protocol && !json_is_integer(protocol)) {
		request_fail(r, "invalid", "protocol is a number");
		return;
	}
	if (protocol && json_integer_value(protocol) != CONTROL_PROTOCOL) {
		request_fail(r, "unsupported", "protocol %d is spoken here, and no other",
			     CONTROL_PROTOCOL);
		return;
	}
	o = json_object();
	set_text(o, "version", PEND_VERSION);
	set_int(o, "protocol", CONTROL_PROTOCOL);
	set_text(o, "role", role_name(r->client->role));
	request_ok(r, o);
}
