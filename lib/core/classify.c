/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One packet against a compiled policy.
 *
 * Inside a layer the first rule that matches says what the layer wants, else its default;
 * a layer without either has no opinion. Between layers the most restrictive wins: block
 * before pend before permit, and of equals the layer of higher weight (R18). When no layer has an opinion
 * the packet is blocked. Each layer that pends asks a question of its own, one after the other: one that has been
 * answered counts as a permit (classify_context.answered), and the next one is the result.
 *
 * An interface index of 0 is unknown (FWP_EMPTY) and equals every name (R32). A packet of hook
 * input has no outgoing interface at all, one of hook output no incoming one: a condition on it is false.
 * What else may be unknown of a packet: classify_unknown.h.
 */
#include "core/classify_match.h"

static uint32_t match_layers(struct query *q, uint64_t *pends)
{
	const struct classifier *c = q->c;
	uint32_t best = CLASSIFY_NO_RULE, rule, i;
	bool unsure = false; /* as long as no layer has an opinion: one might have */
	unsigned worst = 0, s;
	uint8_t action;

	*pends = 0;
	/* Nothing overrules a block, so the layers behind it need not be asked. */
	for (i = 0; i < c->n[IMAGE_LAYERS] && worst < STANDING_MOST; i++) {
		rule = match_layer(q, &c->layers[i]);
		if (rule == CLASSIFY_NO_RULE) {
			unsure |= !worst && q->unsure;
			continue;
		}
		action = c->rules[rule].action;
		if (q->now->spoke)
			q->now->spoke(q->now->arg, i, action);
		if (action == CLASSIFY_PEND && q->now->answered >> i & 1)
			action = CLASSIFY_PERMIT;
		if (action == CLASSIFY_PEND)
			*pends |= UINT64_C(1) << i;
		s = standing(q, action);
		if (s > worst) {
			worst = s;
			best = rule;
			unsure = q->unsure;
		}
	}
	q->unsure = unsure && q->milder; /* what no layer lets in is blocked by all, or by none */
	return best;
}

void classify_result_of(const struct classifier *c, uint32_t rule, struct classify_result *r)
{
	const struct image_rule *m;

	*r = (struct classify_result){.action = CLASSIFY_BLOCK, .rule = rule};
	if (rule == CLASSIFY_NO_RULE)
		return;
	m = &c->rules[rule];
	r->action = m->action;
	r->block = m->block;
	r->release = m->release;
	r->mode = m->mode;
	r->on_timeout = m->on_timeout;
	r->log = m->log;
	r->authority = m->authority;
	r->timeout_ns = m->timeout_ns;
	r->remember_ns = m->remember_ns;
	r->remember_scope = m->remember_scope;
	r->remember_end = m->remember_end;
}

void classify_with(const struct classifier *c, const struct classify_context *now,
		   const struct pend_values *v, struct classify_result *r)
{
	struct query q;
	uint64_t pends;

	query_init(&q, c, now, v);
	classify_result_of(c, match_layers(&q, &pends), r);
	r->unsure = q.unsure;
	if (r->action != CLASSIFY_PEND)
		return;
	r->pends = pends;
	if (!pends)
		r->action = CLASSIFY_PERMIT; /* all of them are answered */
}

void classify(const struct classifier *c, const struct pend_values *v, struct classify_result *r)
{
	classify_with(c, NULL, v, r);
}
