/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Re-authorization of live flows. See reauth.h. */
#include "daemon/reauth.h"
#include "daemon/ifaces.h"
#include "io/ct.h"
#include "io/loop.h"
#include "io/route.h"
#include "io/sockdestroy.h"
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum { PROTO_TCP = 6 };
enum { HOOK_LOCAL_IN = 1, HOOK_FORWARD = 2 };

/* The flows to end; the dump must be over before conntrack is changed. */
struct doomed {
	struct ct_flow *flow;
	size_t n, cap;
};

struct run {
	const struct snapshot *s;
	struct classify_ifaces *ifaces;
	uint32_t clock;
	struct reauth_result *result;
	struct doomed doomed;
	const _Atomic bool *cancel;
	bool oom;
};

static void remember(struct run *run, const struct ct_flow *f)
{
	struct doomed *d = &run->doomed;

	if (d->n == d->cap) {
		size_t cap = d->cap ? d->cap * 2 : 256;
		struct ct_flow *flow = realloc(d->flow, cap * sizeof(*flow));

		if (!flow) {
			run->oom = true;
			return;
		}
		d->flow = flow;
		d->cap = cap;
	}
	d->flow[d->n++] = *f;
}

static bool blocked(const struct run *run, const struct pend_values *v)
{
	const struct classify_context now = {.ifaces = run->ifaces,
					     .clock = run->clock,
					     .reauthorize = true,
					     .reason = PEND_REASON_POLICY_CHANGE};
	struct classify_result r;

	classify_with(run->s->classifier, &now, v, &r);
	return r.action == CLASSIFY_BLOCK;
}

static bool judge(void *ctx, const struct ct_flow *f)
{
	struct run *run = ctx;
	struct pend_values v;

	run->result->examined++;
	flow_values(&f->seen, &v); /* nothing of interfaces and hooks, which then equal all (R32) */
	if (blocked(run, &v))
		remember(run, f);
	return !*run->cancel;
}

/*
 * A rule that names an interface or a hook must not end the flows of all others: before a flow is ended the
 * routes are asked where it comes in and goes. What they do not know stays unknown.
 */
static bool still_blocked(const struct run *run, int routes, const struct flow *f)
{
	struct pend_values v;
	struct route to, from;

	flow_values(f, &v);
	if (routes >= 0 && route_lookup(routes, f->family, f->dst, &to) == 0) {
		v.hook = to.local ? HOOK_LOCAL_IN : HOOK_FORWARD;
		v.out_interface = to.local ? 0 : to.interface;
	}
	if (routes >= 0 && route_lookup(routes, f->family, f->src, &from) == 0)
		v.in_interface = from.interface;
	return blocked(run, &v);
}

static int end_tcp(struct ct *ct, int diag, const struct mark_layout *l, const struct ct_flow *f)
{
	uint32_t blocked = mark_bits(l, mark_value(MARK_BLOCKED, 0));
	/* The mark first: nothing more of it passes, whatever happens to the socket. */
	int marked = ct_set_mark(ct, &f->orig, blocked, l->mask);
	int gone = diag >= 0 ? sockdestroy_tcp(diag, &f->seen) : -ENOENT;

	if (!marked || !gone || marked == -ENOENT)
		return 0;
	/* No marks by netlink here: without its entry, the next packet is in the middle of nothing. */
	return ct_delete(ct, &f->orig);
}

static void end_all(struct run *run, struct ct *ct, const struct mark_layout *l)
{
	int diag = sockdestroy_open(), routes = route_open();

	for (size_t i = 0; i < run->doomed.n && !*run->cancel; i++) {
		const struct ct_flow *f = &run->doomed.flow[i];
		int r;

		if (!still_blocked(run, routes, &f->seen))
			continue;
		r = f->orig.proto == PROTO_TCP ? end_tcp(ct, diag, l, f) : ct_delete(ct, &f->orig);
		if (r && r != -ENOENT)
			run->result->failed++;
		else
			run->result->ended++;
	}
	if (diag >= 0)
		close(diag);
	if (routes >= 0)
		close(routes);
}

void reauth_run(const struct snapshot *s, const struct mark_layout *marks, uint32_t clock,
		const _Atomic bool *cancel, struct reauth_result *result)
{
	struct run run = {.s = s, .clock = clock, .cancel = cancel, .result = result};
	uint32_t kind = mark_bits(marks, (1u << MARK_KIND_BITS) - 1);
	mono_t start = loop_clock();
	struct ct *ct;

	*result = (struct reauth_result){.generation = s->generation};
	result->error = ct_open(&ct);
	if (result->error)
		return;
	run.ifaces = ifaces_read();
	result->error = ct_dump(ct, mark_bits(marks, MARK_PERMIT), kind, judge, &run);
	if (!result->error && run.oom)
		result->error = -ENOMEM;
	end_all(&run, ct, marks);
	if (*cancel)
		result->error = -ECANCELED;
	free(run.doomed.flow);
	free(run.ifaces);
	ct_close(ct);
	result->took_ns = mono_since(loop_clock(), start);
}
