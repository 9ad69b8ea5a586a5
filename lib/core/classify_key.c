/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See classify_key.h. Rules are looked at in the order of classify_with(). One that cannot match, by what stands in
 * the key, is passed over; one that may match, depending on something else, ends it.
 */
#include "core/classify_key.h"
#include "core/classify_match.h"

/* What a packet that opens a flow is not asked for is the same in all of them: the reason of another look, and (no
 * packet of input has one) the outgoing interface. ICMP's conditions do not hold of what has ports. */
#define VARIES                                                                                     \
	(POL_BIT(COND_SPORT) | POL_BIT(COND_MARK) | POL_BIT(COND_TCP_FLAGS) | POL_BIT(COND_TIME) | \
	 POL_BIT(COND_DAY) | POL_BIT(COND_UNTIL) | POL_LISTENER)

enum match { NEVER, ALWAYS, DEPENDS };

static enum match match_key(const struct query *q, const struct image_rule *r,
			    struct classify_else_at *at)
{
	uint32_t left = r->seen & ~VARIES, varies = 0;
	enum pol_cond cond;

	for (; left; left &= left - 1) {
		cond = (enum pol_cond)__builtin_ctz(left);
		if (!applies(q, cond) || match_cond(q, r, cond) == !!(r->neg & POL_BIT(cond)))
			return NEVER;
	}
	for (left = r->seen & VARIES; left; left &= left - 1) {
		cond = (enum pol_cond)__builtin_ctz(left);
		if (!applies(q, cond))
			return NEVER;
		varies |= POL_BIT(cond);
	}
	if (!varies)
		return ALWAYS;
	at->what = (uint8_t)__builtin_ctz(varies);
	return DEPENDS;
}

/* The index knows the source port too: its row may not be asked. */
static void forget_source_port(struct query *q)
{
	const struct index_part *p = &q->c->index.part[DIM_SPORT];
	uintptr_t from = (uintptr_t)p->rows;
	uintptr_t to = from + (size_t)p->classes * q->c->index.stride * sizeof(*p->rows);
	unsigned n = 0;

	for (unsigned i = 0; i < q->rows.n; i++) {
		uintptr_t row = (uintptr_t)q->rows.row[i];

		if (!p->rows || row < from || row >= to)
			q->rows.row[n++] = q->rows.row[i];
	}
	q->rows.n = n;
}

/* False: something else matters. */
static bool layer_rule(struct query *q, const struct image_layer *l, uint32_t *out,
		       struct classify_else_at *at)
{
	uint32_t rule = l->rules.first, end = l->rules.first + l->rules.n;

	for (; classify_index_next(&q->c->index, &q->rows, &rule, end); rule++) {
		const struct image_rule *r = &q->c->rules[rule];
		enum match m = match_key(q, r, at);

		if (m == NEVER)
			continue;
		at->rule = rule;
		*out = rule;
		if (m == DEPENDS)
			return false;
		if (r->action == CLASSIFY_INSPECT)
			at->what = CLASSIFY_ELSE_INSPECT;
		else if (r->limit)
			at->what = CLASSIFY_ELSE_LIMIT;
		else
			return true;
		return false;
	}
	*out = l->fallback;
	return true;
}

static bool best_rule(struct query *q, uint32_t *best, struct classify_else_at *at)
{
	const struct classifier *c = q->c;
	uint32_t rule, second = CLASSIFY_NO_RULE;
	unsigned worst = 0;

	*best = CLASSIFY_NO_RULE;
	for (uint32_t i = 0; i < c->n[IMAGE_LAYERS] && worst < 3; i++) {
		if (!layer_rule(q, &c->layers[i], &rule, at))
			return false;
		if (rule == CLASSIFY_NO_RULE)
			continue;
		if (c->rules[rule].action == CLASSIFY_PEND && worst == severity(CLASSIFY_PEND))
			second = rule;
		if (severity(c->rules[rule].action) <= worst)
			continue;
		worst = severity(c->rules[rule].action);
		*best = rule;
	}
	if (worst != severity(CLASSIFY_PEND) || second == CLASSIFY_NO_RULE)
		return true;
	*at = (struct classify_else_at){second, CLASSIFY_ELSE_PENDS};
	return false;
}

bool classify_by_key(const struct classifier *c, const struct classify_ifaces *ifaces,
		     const struct pend_values *v, struct classify_result *r,
		     struct classify_else_at *at)
{
	const struct classify_context now = {.ifaces = ifaces};
	struct query q;
	uint32_t rule;

	*at = (struct classify_else_at){CLASSIFY_NO_RULE, CLASSIFY_ELSE_INPUT};
	if (v->hook != HOOK_IN || !v->has_ports)
		return false;
	query_init(&q, c, &now, v);
	forget_source_port(&q);
	if (!best_rule(&q, &rule, at))
		return false;
	classify_result_of(c, rule, r);
	at->rule = rule;
	if (rule == CLASSIFY_NO_RULE)
		return true;
	if (r->log)
		at->what = CLASSIFY_ELSE_LOG;
	else if (c->strings[c->rules[rule].counter])
		at->what = CLASSIFY_ELSE_COUNTER;
	else
		return true;
	return false;
}

const char *classify_else_name(unsigned what)
{
	if (what < COND_COUNT)
		return classify_cond_name((enum pol_cond)what);
	switch ((enum classify_else)what) {
	case CLASSIFY_ELSE_INPUT:
		return "input";
	case CLASSIFY_ELSE_LIMIT:
		return "rate or quota";
	case CLASSIFY_ELSE_INSPECT:
		return "inspect";
	case CLASSIFY_ELSE_LOG:
		return "log";
	case CLASSIFY_ELSE_COUNTER:
		return "counter";
	case CLASSIFY_ELSE_PENDS:
		return "pend of another layer";
	}
	return NULL;
}
