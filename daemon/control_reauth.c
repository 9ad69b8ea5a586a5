/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Live flows: `reauthorize`, what `reload` with "dry_run" says of them, and the events of those that were
 * ended, whoever asked for it.
 */
#include "daemon/control_impl.h"
#include "daemon/control_json.h"
#include "daemon/reauth_json.h"
#include "io/policyfile.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define REAUTH_DEADLINE_MS 30000 /* other jobs may be before it */

static void set_int(json_t *o, const char *key, uint64_t v)
{
	json_object_set_new(o, key, json_integer((json_int_t)v));
}

static json_t *flows_json(const struct msg_reauth *m, int fd, const struct classifier *c,
			  unsigned *told)
{
	struct reauth_flow *flow = calloc(MSG_FLOWS, sizeof(*flow));
	json_t *a = json_array();

	*told = flow ? reauth_flows_read(m, fd, flow) : 0;
	for (unsigned i = 0; i < *told; i++)
		json_array_append_new(a, reauth_flow_json(&flow[i], c));
	free(flow);
	return a;
}

/* `c`: the classifier whose rules are named; NULL: it is not known. */
static json_t *result_json(const struct msg_reauth *m, int fd, const struct classifier *c)
{
	json_t *o = json_object();
	unsigned told;

	set_int(o, "examined", m->examined);
	set_int(o, "ended", m->ended);
	set_int(o, "failed", m->failed);
	set_int(o, "took_ms", m->took_ns / MONO_NS_PER_MS);
	set_int(o, "generation", m->generation);
	set_int(o, "revision", m->revision);
	json_object_set_new(o, "flows", flows_json(m, fd, c, &told));
	set_int(o, "more", m->ended + m->failed > told ? m->ended + m->failed - told : 0);
	return o;
}

/* ---------------------------------------------------------------- reauthorize ---- */

static void reauth_answer(struct request *r, unsigned worker, unsigned index, const struct msg *m,
			  int fd)
{
	const struct view *v = r->control->env.view;
	const struct msg_reauth *w = &m->u.reauth;

	(void)index;
	if (worker != MSG_MAIN || m->type != MSG_REAUTHORIZED)
		return;
	if (w->status == PEND_OK)
		request_ok(r, result_json(w, fd,
					  v->generation == w->generation ? v->classifier : NULL));
	else
		request_fail(r, cj_status_code(w->status),
			     w->status == PEND_E_BUSY
				     ? "too many requests wait for the live flows"
				     : "the verdict process cannot look at the live flows");
}

static bool match_of(struct request *r, json_t *match, struct msg_reauth *out)
{
	static const char *const known[] = {"source", "family", "protocol", "port", "rule"};
	const struct view *v = r->control->env.view;
	struct msg_match m = {.rule = UINT32_MAX};
	struct err e = {0};
	size_t n = 0;
	bool any;

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		n += json_object_get(match, known[i]) != NULL;
	if (match && (!json_is_object(match) || n != json_object_size(match))) {
		request_fail(r, "invalid",
			     "match is an object of source, family, protocol, port and rule");
		return false;
	}
	if (match && cj_match(match, v, &m, &any, &e) < 0) {
		request_fail(r, "invalid", "%s", e.text);
		return false;
	}
	*out = (struct msg_reauth){.family = m.family,
				   .protocol = m.protocol,
				   .prefix_len = m.prefix_len,
				   .dest_port = m.dest_port,
				   .rule = m.rule};
	memcpy(out->source, m.source, sizeof(out->source));
	return true;
}

void act_reauthorize(struct request *r, const json_t *args)
{
	const json_t *dry = json_object_get(args, "dry_run");
	struct msg m = {.type = MSG_REAUTHORIZE};

	if (dry && !json_is_boolean(dry)) {
		request_fail(r, "invalid", "dry_run is true or false");
		return;
	}
	if (!json_is_true(dry) && request_denied(r, ROLE_ADMIN))
		return;
	if (!match_of(r, json_object_get(args, "match"), &m.u.reauth))
		return;
	m.u.reauth.dry = json_is_true(dry);
	r->answer = reauth_answer;
	request_wait(r, REAUTH_DEADLINE_MS);
	if (request_post(r, MSG_MAIN, 0, &m) != 0)
		request_fail(r, "system", "the verdict process does not take requests");
}

/* ------------------------------------------------------- reload with "dry_run" ---- */

static void live_answer(struct request *r, unsigned worker, unsigned index, const struct msg *m,
			int fd)
{
	json_t *o;

	(void)index;
	if (worker != MSG_MAIN || m->type != MSG_REAUTHORIZED)
		return;
	o = r->result;
	r->result = NULL;
	if (m->u.reauth.status == PEND_OK)
		json_object_set_new(o, "live",
				    result_json(&m->u.reauth, fd, r->candidate->classifier));
	else
		json_object_set_new(o, "incomplete", json_true());
	request_ok(r, o);
}

static void live_expired(struct request *r)
{
	json_t *o = r->result;

	r->result = NULL;
	json_object_set_new(o, "incomplete", json_true());
	request_ok(r, o);
}

void dry_live(struct request *r)
{
	const struct control_env *env = &r->control->env;
	const struct candidate *c = r->candidate;
	struct msg m = {.type = MSG_POLICY_DRY, .version = MSG_VERSION, .worker = MSG_MAIN};
	json_t *o = r->result;
	int fd;

	if (!env->post_fd) {
		r->result = NULL;
		request_ok(r, o);
		return;
	}
	fd = policyfile_image_fd(c->image, c->size);
	m.u.policy.size = c->size;
	m.seq = request_seq(r, 0);
	r->answer = live_answer;
	r->step = NULL;
	r->expired = live_expired;
	request_wait(r, REAUTH_DEADLINE_MS);
	if (fd < 0 || env->post_fd(env->ctx, MSG_MAIN, &m, fd) != 0) {
		if (fd >= 0)
			close(fd);
		live_expired(r);
	}
}

/* --------------------------------------------------------------------- events ---- */

void control_reauthorized(struct control *c, const struct msg *m, int fd)
{
	const struct msg_reauth *w = &m->u.reauth;
	uint64_t now = loop_now(c->env.loop).ns;
	struct reauth_flow *flow = w->dry ? NULL : calloc(MSG_FLOWS, sizeof(*flow));
	unsigned n = flow ? reauth_flows_read(w, fd, flow) : 0;

	for (unsigned i = 0; i < n; i++)
		if (!flow[i].failed)
			control_event(c, events_ended(c->env.events, now, &flow[i], w->reason,
						      w->generation));
	if (flow && w->ended + w->failed > n)
		control_event(c, events_note(c->env.events, now, "%llu more live flows were ended",
					     (unsigned long long)(w->ended + w->failed - n)));
	free(flow);
	if (m->seq)
		control_answer(c, MSG_MAIN, m, fd);
}
