/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Rules that ask for what is unknown; see classify_unknown.h. Apart from the packet path, where all is known. */
#include "core/classify_unknown.h"
#include "core/classify_match.h"

static enum holds masked(uint32_t value, uint32_t unknown, uint32_t mask, uint32_t want,
			 bool negated)
{
	uint32_t differs = (value & mask) ^ want;

	unknown &= mask;
	if (!(differs & ~unknown) && unknown)
		return HOLDS_PERHAPS;
	return !differs != negated ? HOLDS : HOLDS_NOT;
}

enum holds unknown_holds(const struct query *q, const struct image_rule *r, enum pol_cond cond)
{
	const struct pend_values *v = q->v;
	bool negated = r->neg & POL_BIT(cond);

	if (cond == COND_IN || cond == COND_OUT)
		return HOLDS_PERHAPS;
	if (cond == COND_MARK)
		return masked(v->mark, UINT32_MAX, r->mark_mask, r->mark, negated);
	return masked(v->tcp_flags, v->tcp_flags_unknown, r->tcp_mask, r->tcp_flags, negated);
}

/* All conditions; the listener is asked for when nothing else fails. */
static enum holds rule_holds(struct query *q, const struct image_rule *r)
{
	enum holds all = HOLDS, h;
	enum pol_cond cond;

	for (uint32_t left = r->seen & q->unknown; left; left &= left - 1) {
		cond = (enum pol_cond)__builtin_ctz(left);
		h = applies(q, cond) ? unknown_holds(q, r, cond) : HOLDS_NOT;
		if (h == HOLDS_NOT)
			return HOLDS_NOT;
		if (h == HOLDS_PERHAPS)
			all = HOLDS_PERHAPS;
	}
	return match_rest(q, r, q->unknown) ? all : HOLDS_NOT;
}

static bool blocks(const struct query *q, uint32_t rule)
{
	return rule != CLASSIFY_NO_RULE && q->c->rules[rule].action == CLASSIFY_BLOCK;
}

/* `perhaps`: the first that perhaps matches, and would not permit; `sure`: what speaks if none such does. */
static uint32_t weigh(struct query *q, uint32_t perhaps, uint32_t sure)
{
	if (sure != CLASSIFY_NO_RULE && !blocks(q, sure))
		q->milder = true;
	if (perhaps == CLASSIFY_NO_RULE)
		return sure;
	if (!q->unsure && sure != CLASSIFY_NO_RULE && q->c->rules[sure].action != CLASSIFY_PERMIT)
		return sure;
	q->unsure = true;
	return perhaps;
}

uint32_t unknown_layer(struct query *q, const struct image_layer *l)
{
	uint32_t rule = l->rules.first, end = l->rules.first + l->rules.n;
	uint32_t perhaps = CLASSIFY_NO_RULE;
	enum holds h;

	q->unsure = false;
	for (; classify_index_next(&q->c->index, &q->rows, &rule, end); rule++) {
		bool permits = q->c->rules[rule].action == CLASSIFY_PERMIT;

		h = rule_holds(q, &q->c->rules[rule]);
		if (h == HOLDS_NOT || (!(h == HOLDS_PERHAPS && permits) && !decides(q, rule)))
			continue;
		if (h == HOLDS)
			return weigh(q, perhaps, rule);
		if (!blocks(q, rule)) /* it may be this that speaks, where now a block does */
			q->unsure = q->milder = true;
		if (!permits && perhaps == CLASSIFY_NO_RULE)
			perhaps = rule;
	}
	return weigh(q, perhaps, l->fallback);
}
