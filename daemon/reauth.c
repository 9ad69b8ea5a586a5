/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Re-authorization of live flows. See reauth.h. */
#include "daemon/reauth.h"
#include "core/classify_place.h"
#include "daemon/ifaces.h"
#include "daemon/reauth_end.h"
#include "io/ct.h"
#include "io/loop.h"
#include "io/policyfile.h"
#include "io/route.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { HOOK_LOCAL_IN = 1, HOOK_FORWARD = 2 };

#define IMAGE_MAX (1ull << 30)
#define PLACES    4096u /* a power of two */
/* Looks at flows whose sockets were not told of in time, in one run: a resolver that ended is back by then. */
#define LOOKS   100u
#define LOOK_US 20000u

/* Where an address is; kept while a job runs, for most flows share theirs. */
struct place {
	uint8_t addr[16];
	uint8_t family; /* 0: empty */
	bool known;
	struct route route;
};

/* The flows to end; the dump must be over before conntrack is changed. */
struct doomed {
	struct ct_flow flow;
	uint32_t rule;
	bool unsure; /* for want of its socket: it is to be asked again */
};

struct run {
	const struct reauth_judge *judge;
	const struct classifier *classifier;
	struct reauth_job *job;
	const _Atomic bool *cancel, *stop;
	struct classify_context now;
	struct classify_ifaces *ifaces;
	struct classifier *candidate; /* NULL: by the policy in force */
	const void *image;
	struct place *place; /* NULL: no rule asks where a flow comes in and goes */
	int routes;
	struct doomed *doomed;
	size_t n, cap;
	bool oom;
	/* Of the last decision. */
	bool unsure; /* it was made without knowing the flow's socket */
	bool late;   /* ... which may be known in a moment, and then it may be another */
	unsigned looks;
};

static bool over(const struct run *run)
{
	return *run->stop || (*run->cancel && run->job->carried < REAUTH_CARRIED);
}

/* ---- where a flow comes in and goes ---- */

static unsigned place_slot(const uint8_t addr[16])
{
	uint32_t h = 2166136261u;

	for (unsigned i = 0; i < 16; i++)
		h = (h ^ addr[i]) * 16777619u;
	return (h ^ h >> 16) & (PLACES - 1);
}

static const struct route *place_of(struct run *run, uint8_t family, const uint8_t addr[16])
{
	struct place *p = &run->place[place_slot(addr)];

	if (p->family != family || memcmp(p->addr, addr, 16) != 0) {
		p->family = family;
		memcpy(p->addr, addr, 16);
		p->known = run->routes >= 0 &&
			   route_lookup(run->routes, family, addr, &p->route) == 0;
	}
	return p->known ? &p->route : NULL;
}

/*
 * A rule that names an interface or a hook must not end the flows of all others, so the routes are asked.
 * What they do not know stays unknown, and equal to everything (R32). To an address that is on every link they name
 * any: which interfaces the flow has is then nothing to end it for.
 */
static void place(struct run *run, const struct flow *f, struct pend_values *v)
{
	const struct route *r = place_of(run, f->family, f->dst);
	bool any_link = flow_addr_link_scope(f->src, f->family) ||
			flow_addr_link_scope(f->dst, f->family);

	run->now.interfaces_unknown = any_link;
	if (r)
		v->hook = r->local ? HOOK_LOCAL_IN : HOOK_FORWARD;
	if (any_link)
		return;
	v->out_interface = r && !r->local ? r->interface : 0;
	r = place_of(run, f->family, f->src);
	if (r)
		v->in_interface = r->interface;
}

/* ---- judging ---- */

/* As those who remember decisions know it: ICMP has no ports. */
static struct remembered_flow about(const struct flow *f)
{
	struct pend_values v;

	flow_values(f, &v);
	return (struct remembered_flow){.family = f->family,
					.protocol = f->proto,
					.source_port = f->sport,
					.dest_port = v.dest_port,
					.source = f->src,
					.dest = f->dst};
}

static bool in_scope_of(const struct reauth_keys *keys, const struct flow *f)
{
	const struct remembered_flow flow = about(f);

	return reauth_keys_cover(keys, &flow);
}

static bool is_asked_for(const struct reauth_job *job, const struct flow *f)
{
	const struct msg_reauth *w = &job->what;

	if (w->family && w->family != f->family)
		return false;
	if (w->protocol && w->protocol != f->proto)
		return false;
	if (w->dest_port && w->dest_port != f->dport)
		return false;
	if (w->family && w->prefix_len && !flow_addr_in(f->src, w->source, w->prefix_len))
		return false;
	if (job->keys && !in_scope_of(job->keys, f))
		return false;
	return !job->ranges || reauth_ranges_has(job->ranges, f->family, f->src) ||
	       reauth_ranges_has(job->ranges, f->family, f->dst);
}

static bool got_past(void *arg, uint32_t rule)
{
	const struct run *run = arg;

	return classify_got_past(run->classifier, rule);
}

/* What a rule asks of the socket may come late. A flow is not ended for that. */
static const struct classify_listener *listener(void *arg, const struct pend_values *v,
						unsigned need)
{
	static const struct classify_listener unknown = {.state = LISTENER_UNKNOWN};
	struct run *run = arg;
	const struct classify_listener *l = run->judge->listener
						    ? run->judge->listener(run->judge->arg, v, need)
						    : &unknown;

	run->unsure = l->state == LISTENER_UNKNOWN ||
		      (l->state == LISTENER_FOUND && need & ~(unsigned)l->known);
	run->late = run->judge->late && run->judge->late(run->judge->arg);
	return l;
}

/* One of its rules asks, and would have to ask again. */
static bool forgotten(const struct run *run, const struct flow *f, const struct classify_result *r)
{
	const struct remembered_flow flow = about(f);
	const struct reauth_judge *j = run->judge;
	struct remembered_value v;

	if (!r->remember_ns || !r->remember_end || !j->remembered)
		return false;
	return !remembered_about(j->remembered, classify_rule_key(run->classifier, r->rule), &flow,
				 loop_clock().ns, &v) ||
	       v.verdict != PEND_VERDICT_PERMIT;
}

/* Of all layers that ask about it, one after the other (R18): is there one whose question condemns it? */
static bool asked_in_vain(struct run *run, const struct flow *f, const struct pend_values *v,
			  struct classify_result *r)
{
	const struct msg_reauth *w = &run->job->what;

	for (; r->action == CLASSIFY_PEND && !r->unsure;
	     classify_with(run->classifier, &run->now, v, r)) {
		if (w->reason == PEND_REASON_DECISION_EXPIRED
			    ? forgotten(run, f, r)
			    : w->rule == UINT32_MAX || w->rule == r->rule)
			return true;
		run->now.answered |= r->pends & -r->pends;
	}
	return false;
}

/* Is it to be ended? */
static bool condemned(struct run *run, const struct flow *f, uint32_t *rule)
{
	const struct msg_reauth *w = &run->job->what;
	struct classify_result r;
	struct pend_values v;

	run->unsure = run->late = false;
	flow_values(f, &v);
	if (run->place)
		place(run, f, &v);
	run->now.answered = 0;
	classify_with(run->classifier, &run->now, &v, &r);
	*rule = r.rule;
	/* What permits does so for sure: unknown, a rule matches unless it permits. */
	run->late &= r.action != CLASSIFY_PERMIT && !r.unsure;
	if (r.unsure) /* for what nobody will ever know: no second look as for its socket */
		return false;
	if (r.action == CLASSIFY_BLOCK)
		return w->reason != PEND_REASON_DECISION_EXPIRED &&
		       (w->rule == UINT32_MAX || w->rule == r.rule);
	if (w->reason != PEND_REASON_DECISION_EXPIRED && !w->pended)
		return false;
	if (!asked_in_vain(run, f, &v, &r))
		return false;
	*rule = r.rule;
	return true;
}

static void remember(struct run *run, const struct ct_flow *f, uint32_t rule)
{
	if (run->n == run->cap) {
		size_t cap = run->cap ? run->cap * 2 : 256;
		struct doomed *d = realloc(run->doomed, cap * sizeof(*d));

		if (!d) {
			run->oom = true;
			return;
		}
		run->doomed = d;
		run->cap = cap;
	}
	run->doomed[run->n++] = (struct doomed){.flow = *f, .rule = rule, .unsure = run->unsure};
}

static bool judge(void *ctx, const struct ct_flow *f)
{
	struct run *run = ctx;
	uint32_t rule;

	if (!is_asked_for(run->job, &f->seen))
		return !over(run);
	run->job->result.examined++;
	if (condemned(run, &f->seen, &rule) || run->late)
		remember(run, f, rule);
	return !over(run);
}

/* ---- ending ---- */

static void list_flow(struct reauth_result *res, const struct doomed *d, bool failed)
{
	const struct flow *f = &d->flow.seen;
	struct reauth_flow *out;

	if (!res->flow)
		res->flow = calloc(MSG_FLOWS, sizeof(*res->flow));
	if (!res->flow || res->listed == MSG_FLOWS)
		return;
	out = &res->flow[res->listed++];
	*out = (struct reauth_flow){.family = f->family,
				    .protocol = f->proto,
				    .failed = failed,
				    .source_port = f->sport,
				    .dest_port = f->dport,
				    .rule = d->rule};
	memcpy(out->source, f->src, 16);
	memcpy(out->dest, f->dst, 16);
}

static bool look_again(struct run *run)
{
	if (!run->late || run->looks == LOOKS || over(run))
		return false;
	run->looks++;
	usleep(LOOK_US);
	return true;
}

/* A second look, at what the dump could not wait for. With run->late: it has not been told yet. */
static bool spared(struct run *run, struct doomed *d)
{
	bool spare;

	run->late = false;
	if (!d->unsure)
		return false;
	do
		spare = !condemned(run, &d->flow.seen, &d->rule) || run->unsure;
	while (look_again(run));
	return spare;
}

/* 0, or why it goes on. */
static int end_one(struct run *run, struct reauth_end *e, struct doomed *d)
{
	if (run->late) /* nothing is ended for what is not known */
		return -EAGAIN;
	return e ? reauth_end_flow(e, &d->flow) : 0;
}

static void end_all(struct run *run)
{
	struct reauth_result *res = &run->job->result;
	struct reauth_end *e = NULL;

	if (!run->job->what.dry && run->n)
		res->error = reauth_end_open(&e, &run->judge->marks);
	for (size_t i = 0; i < run->n && !res->error && !over(run); i++) {
		int r;

		if ((spared(run, &run->doomed[i]) && !run->late) || over(run))
			continue;
		r = end_one(run, e, &run->doomed[i]);
		res->failed += r != 0;
		res->ended += r == 0;
		list_flow(res, &run->doomed[i], r != 0);
	}
	reauth_end_close(e);
}

/* ---- the whole of it ---- */

/* What the next run has to say anew: nothing was changed by a dry one. */
static void result_begin(struct run *run)
{
	struct reauth_result *res = &run->job->result;

	res->error = 0;
	res->examined = 0;
	res->generation = run->judge->generation;
	res->revision = run->judge->revision;
	if (run->job->what.dry)
		res->ended = res->failed = res->listed = 0;
}

static int run_open(struct run *run)
{
	struct reauth_job *job = run->job;
	int r;

	if (job->image >= 0) {
		r = !job->size || job->size > IMAGE_MAX
			    ? -EINVAL
			    : policyfile_image_map(job->image, job->size, &run->image);
		if (!r)
			r = classify_attach(&run->candidate, run->image, job->size);
		if (r)
			return r;
		run->classifier = run->candidate;
	}
	run->ifaces = ifaces_read();
	if (classify_depends_on_place(run->classifier) || classify_needs(run->classifier)) {
		run->routes = route_open();
		run->place = calloc(PLACES, sizeof(*run->place));
		if (!run->place)
			return -ENOMEM;
	}
	run->now = (struct classify_context){.ifaces = run->ifaces,
					     .clock = run->judge->clock,
					     .minute = run->judge->minute,
					     .reauthorize = true,
					     .reason = job->what.reason,
					     .visit = got_past,
					     .listener = listener,
					     .arg = run};
	return 0;
}

static void run_close(struct run *run)
{
	if (run->routes >= 0)
		close(run->routes);
	free(run->place);
	free(run->doomed);
	free(run->ifaces);
	classify_detach(run->candidate);
	if (run->image)
		policyfile_image_unmap(run->image, run->job->size);
}

static int dump(struct run *run)
{
	const struct mark_layout *marks = &run->judge->marks;
	uint32_t kind = mark_bits(marks, (1u << MARK_KIND_BITS) - 1);
	struct ct *ct;
	int r = ct_open(&ct);

	if (r)
		return r;
	r = ct_dump(ct, mark_bits(marks, MARK_PERMIT), kind, judge, run);
	ct_close(ct);
	return r ? r : run->oom ? -ENOMEM : 0;
}

void reauth_run(const struct reauth_judge *judge_by, struct reauth_job *job,
		const _Atomic bool *cancel, const _Atomic bool *stop)
{
	struct run run = {.judge = judge_by,
			  .classifier = judge_by->classifier,
			  .job = job,
			  .cancel = cancel,
			  .stop = stop,
			  .routes = -1};
	struct reauth_result *res = &job->result;
	mono_t start = loop_clock();
	int r;

	result_begin(&run);
	r = run_open(&run);
	if (!r)
		r = dump(&run);
	if (!over(&run))
		end_all(&run); /* also when not all could be looked at */
	if (r && !res->error)
		res->error = r;
	if (over(&run))
		res->error = -ECANCELED;
	run_close(&run);
	res->took_ns += mono_since(loop_clock(), start);
}
