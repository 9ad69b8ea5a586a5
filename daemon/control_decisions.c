/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Decisions that hold for a while: shown, and forgotten. */
#include "core/flow.h"
#include "daemon/control_impl.h"
#include "daemon/control_json.h"
#include "daemon/remembered.h"
#include "io/policyfile.h"
#include <stdio.h>
#include <string.h>

static void set_text(json_t *o, const char *key, const char *text)
{
	json_object_set_new(o, key, json_string(text));
}

static void set_number(json_t *o, const char *key, uint64_t n)
{
	json_object_set_new(o, key, json_integer((json_int_t)n));
}

static void set_address(json_t *o, const char *key, const uint8_t addr[16], uint8_t family)
{
	char text[FLOW_ADDR_TEXT];

	set_text(o, key, flow_addr_print(addr, family, text));
}

/* By whom, and why: not known of decisions from before the authority process was started. */
static void set_by(json_t *o, const struct view *v, uint32_t note)
{
	const char *by, *why;

	notes_find(v->notes, note, &by, &why);
	json_object_set_new(o, "by", *by ? cj_text(by) : json_null());
	json_object_set_new(o, "why", *why ? cj_text(why) : json_null());
}

/* Rules are known by their keys; one that is in no policy any more has none to show. */
static void set_rule(json_t *o, const struct classifier *c, uint64_t key)
{
	struct classify_rule rule;

	for (uint32_t i = 0; c && i < classify_rules(c); i++) {
		if (classify_rule_key(c, i) != key || !classify_rule(c, i, &rule))
			continue;
		set_number(o, "rule", i);
		set_text(o, "layer", rule.layer);
		set_text(o, "text", rule.text);
		return;
	}
}

static json_t *decision_json(const struct remembered_entry *d, const struct view *v)
{
	const char *proto = flow_proto_name(d->k.protocol), *verdict, *reason;
	json_t *o = json_object();

	verdict = cj_verdict_name(d->v.verdict);
	reason = cj_reason_name(d->v.reason);
	set_text(o, "verdict", verdict ? verdict : "block");
	set_text(o, "reason", reason ? reason : "none");
	set_by(o, v, d->v.note);
	set_text(o, "scope", cj_scope_name(d->k.scope) ? cj_scope_name(d->k.scope) : "unknown");
	set_address(o, "source", d->k.source, d->k.family);
	if (d->k.source_port)
		set_number(o, "source_port", d->k.source_port);
	if (d->k.scope != CLASSIFY_SCOPE_SOURCE) {
		set_address(o, "dest", d->k.dest, d->k.family);
		if (d->k.dest_port)
			set_number(o, "dest_port", d->k.dest_port);
		if (proto)
			set_text(o, "protocol", proto);
		else
			set_number(o, "protocol", d->k.protocol);
	}
	json_object_set_new(o, "since", cj_time(d->v.since_ns));
	set_number(o, "remaining_ms",
		   mono_since(mono_ns(d->v.until_ns), loop_clock()) / MONO_NS_PER_MS);
	json_object_set_new(o, "ends_flows", json_boolean(d->v.end));
	json_object_set_new(o, "kernel", json_boolean(d->v.kernel));
	set_rule(o, v->classifier, d->k.rule);
	return o;
}

/* What another process wrote: only families that can be printed. */
static bool valid(const struct remembered_entry *d)
{
	return d->k.family == FLOW_V4 || d->k.family == FLOW_V6;
}

static json_t *part(const struct msg *m, int fd, const struct view *v, uint64_t *count)
{
	uint32_t n = m->u.decisions.count;
	const void *image = NULL;
	json_t *list = json_array(), *o = json_object();
	size_t size = n * sizeof(struct remembered_entry);

	json_object_set_new(o, "decisions", list);
	if (!n || n > MSG_FLOWS || fd < 0 || policyfile_image_map(fd, size, &image) < 0)
		return o;
	for (uint32_t i = 0; i < n; i++) {
		struct remembered_entry d;

		memcpy(&d, (const char *)image + i * sizeof(d), sizeof(d));
		if (!valid(&d))
			continue;
		json_array_append_new(list, decision_json(&d, v));
		++*count;
	}
	policyfile_image_unmap(image, size);
	return o;
}

static void decisions_step(struct request *r)
{
	struct msg m = {.type = MSG_DECISIONS, .u.decisions.cursor = r->cursor};

	if (!request_hold(r) && request_post(r, MSG_MAIN, 0, &m) < 0)
		request_fail(r, "system", "the verdict process is gone");
}

static void decisions_answer(struct request *r, unsigned worker, unsigned index,
			     const struct msg *m, int fd)
{
	json_t *o;

	(void)index;
	if (worker != MSG_MAIN || m->type != MSG_DECISIONS)
		return;
	o = part(m, fd, r->control->env.view, &r->count);
	request_wait(r, CONTROL_DEADLINE_MS);
	if (m->u.decisions.cursor > r->cursor) {
		r->cursor = m->u.decisions.cursor;
		request_part(r, o);
		decisions_step(r);
		return;
	}
	set_number(o, "count", r->count);
	set_number(o, "permits", m->u.decisions.permits);
	set_number(o, "blocks", m->u.decisions.blocks);
	set_number(o, "kept", m->u.decisions.kept);
	set_number(o, "evicted", m->u.decisions.evicted);
	set_number(o, "forgotten", m->u.decisions.forgotten);
	request_ok(r, o);
}

void show_decisions(struct request *r, const json_t *args)
{
	(void)args;
	r->answer = decisions_answer;
	r->step = decisions_step;
	decisions_step(r);
}

/* ---- forget ---- */

static void forget_synced(struct request *r, int status, const char *error)
{
	json_t *o = json_object();
	char text[ERR_TEXT_MAX];

	set_number(o, "forgotten", r->count);
	if (!status) {
		request_ok(r, o);
		return;
	}
	snprintf(text, sizeof(text), "forgotten, but it may be known again at the next start: %s",
		 error);
	request_fail_with(r, "store", text, o);
}

static void forget_answer(struct request *r, unsigned worker, unsigned index, const struct msg *m,
			  int fd)
{
	(void)index;
	(void)fd;
	if (worker != MSG_MAIN || m->type != MSG_DONE)
		return;
	if (m->u.done.status != PEND_OK) {
		forget_end(r, NULL);
		request_fail(r, cj_status_code(m->u.done.status), "nothing was forgotten");
		return;
	}
	r->count = m->u.done.count;
	forget_end(r, &r->which);
	request_sync(r, forget_synced);
}

static bool filter_of(struct request *r, const json_t *args, struct msg *m)
{
	const struct view *v = r->control->env.view;
	struct msg_match match = {.rule = UINT32_MAX};
	json_t *only = json_object(), *source = json_object_get(args, "source"),
	       *rule = json_object_get(args, "rule");
	struct err e = {0};
	bool any = false;
	int ret;

	if (source)
		json_object_set(only, "source", source);
	if (rule)
		json_object_set(only, "rule", rule);
	ret = cj_match(only, v, &match, &any, &e);
	json_decref(only);
	if (ret < 0) {
		request_fail(r, "invalid", "%s", e.text);
		return false;
	}
	if (!any && !json_is_true(json_object_get(args, "all"))) {
		request_fail(r, "invalid",
			     "forget takes source, rule or both; \"all\":true for all decisions");
		return false;
	}
	m->u.decisions.family = match.family;
	m->u.decisions.prefix_len = match.prefix_len;
	memcpy(m->u.decisions.source, match.source, sizeof(m->u.decisions.source));
	if (!rule)
		return true;
	/* A rule that is not there has no key, and no key is every rule. */
	m->u.decisions.rule = v->classifier ? classify_rule_key(v->classifier, match.rule) : 0;
	if (!m->u.decisions.rule)
		request_fail(r, "not-found", "the policy has no rule %u", match.rule);
	return m->u.decisions.rule != 0;
}

void act_forget(struct request *r, const json_t *args)
{
	struct msg m = {.type = MSG_FORGET};

	if (!filter_of(r, args, &m))
		return;
	r->answer = forget_answer;
	r->which = (struct store_which){.rule = m.u.decisions.rule,
					.family = m.u.decisions.family,
					.prefix_len = m.u.decisions.prefix_len};
	memcpy(r->which.source, m.u.decisions.source, sizeof(r->which.source));
	r->forgetting = r->control->env.forget_begin != NULL;
	if (r->forgetting)
		r->control->env.forget_begin(r->control->env.ctx);
	if (request_post(r, MSG_MAIN, 0, &m) == 0)
		return;
	forget_end(r, NULL);
	request_fail(r, "system", "the verdict process does not take requests");
}
