/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A decision told step by step; see classify_trace.h. */
#include "core/classify_trace.h"
#include "core/classify_match.h"

struct trace {
	struct query q;
	classify_trace_fn *fn;
	void *ctx;
	uint32_t winner; /* a layer's number, or CLASSIFY_NO_RULE */
	uint32_t misses, inspects;
};

const char *classify_cond_name(enum pol_cond cond)
{
	switch (cond) {
	case COND_PROTO:
		return "proto";
	case COND_FAMILY:
		return "family";
	case COND_FROM:
		return "from";
	case COND_SPORT:
		return "from port";
	case COND_TO:
		return "to";
	case COND_DPORT:
		return "to port";
	case COND_IN:
		return "in";
	case COND_OUT:
		return "out";
	case COND_HOOK:
		return "hook";
	case COND_ICMP_TYPE:
		return "icmp-type";
	case COND_ICMP_CODE:
		return "icmp-code";
	case COND_MARK:
		return "mark";
	case COND_TCP_FLAGS:
		return "tcp-flags";
	case COND_TIME:
		return "time";
	case COND_DAY:
		return "day";
	case COND_REAUTHORIZE:
		return "reauthorize";
	case COND_REASON:
		return "reauthorize reason";
	case COND_UNTIL:
		return "until";
	case COND_COUNTRY:
		return "country";
	case COND_USER:
		return "user";
	case COND_CGROUP:
		return "cgroup";
	case COND_UNIT:
		return "unit";
	case COND_GROUP:
		return "group";
	case COND_EXECUTABLE:
		return "executable";
	case COND_COUNT:
		break;
	}
	return "";
}

static bool listener_misses(struct query *q, const struct image_rule *r, enum pol_cond cond,
			    struct classify_trace *step)
{
	const struct classify_listener *l;

	if (listener_holds(q, r, cond))
		return false;
	l = listener_of(q, r);
	step->absent = l->state == LISTENER_NONE;
	step->unknown = l->state == LISTENER_UNKNOWN ||
			(l->state == LISTENER_FOUND && !(l->known & listener_field(cond)));
	return true;
}

/* On what is unknown, in part at least. */
static bool unknown_misses(const struct query *q, const struct image_rule *r, enum pol_cond cond,
			   struct classify_trace *step)
{
	enum holds h = unknown_holds(q, r, cond);

	step->unknown = h == HOLDS_PERHAPS;
	return h == HOLDS_NOT || (step->unknown && r->action == CLASSIFY_PERMIT);
}

/* The first condition that fails; false: the rule matches. Without the index, on purpose. */
static bool miss_find(struct query *q, const struct image_rule *r, struct classify_trace *step)
{
	enum pol_cond cond;
	uint32_t left;

	for (left = r->seen; left; left &= left - 1) {
		cond = (enum pol_cond)__builtin_ctz(left);
		step->negated = r->neg & POL_BIT(cond);
		step->condition = classify_cond_name(cond);
		if (POL_LISTENER & POL_BIT(cond)) {
			if (listener_misses(q, r, cond, step))
				return true;
			continue;
		}
		step->absent = !applies(q, cond);
		if (step->absent)
			return true;
		if (q->unknown & POL_BIT(cond)) {
			if (unknown_misses(q, r, cond, step))
				return true;
			continue;
		}
		if (match_cond(q, r, cond) == step->negated)
			return true;
	}
	return false;
}

/* Those in front of the rule that speaks, and where none does, all. */
static void trace_inspects(struct trace *t, uint32_t number, uint32_t speaks)
{
	const struct classifier *c = t->q.c;
	const struct image_layer *l = &c->layers[number];
	uint32_t rule = l->rules.first, end = rule + l->rules.n;

	if (speaks != CLASSIFY_NO_RULE && !c->rules[speaks].is_default)
		end = speaks;
	for (; rule < end && t->inspects < CLASSIFY_TRACE_MISSES; rule++) {
		struct classify_trace unused, step = {.kind = CLASSIFY_TRACE_INSPECT,
						      .layer = number,
						      .layer_name = c->strings + l->name,
						      .rule = rule};

		if (c->rules[rule].action != CLASSIFY_INSPECT ||
		    miss_find(&t->q, &c->rules[rule], &unused))
			continue;
		t->inspects++;
		t->fn(t->ctx, &step);
	}
}

/* As match_layers() asks them: what blocks for sure ends it. */
static void trace_all_inspects(struct trace *t)
{
	const struct classifier *c = t->q.c;

	for (uint32_t i = 0; i < c->n[IMAGE_LAYERS]; i++) {
		uint32_t rule = match_layer(&t->q, &c->layers[i]);
		bool last = rule != CLASSIFY_NO_RULE &&
			    standing(&t->q, c->rules[rule].action) == STANDING_MOST;

		trace_inspects(t, i, rule);
		if (last)
			return;
	}
}

static void trace_misses(struct trace *t, uint32_t number, uint32_t speaks)
{
	const struct classifier *c = t->q.c;
	const struct image_layer *l = &c->layers[number];
	uint32_t rule = l->rules.first, end = rule + l->rules.n;

	for (; rule < end; rule++) {
		struct classify_trace step = {.kind = CLASSIFY_TRACE_MISS,
					      .layer = number,
					      .layer_name = c->strings + l->name,
					      .rule = rule};

		/* a default has no conditions, and its turn is the last */
		if (c->rules[rule].is_default)
			continue;
		if (rule == speaks)
			return;
		if (miss_find(&t->q, &c->rules[rule], &step) && t->misses++ < CLASSIFY_TRACE_MISSES)
			t->fn(t->ctx, &step);
	}
}

static enum classify_trace_why why(const struct trace *t, uint32_t number, unsigned worst,
				   uint32_t rule)
{
	if (rule == CLASSIFY_NO_RULE)
		return CLASSIFY_TRACE_NO_OPINION;
	if (number == t->winner)
		return CLASSIFY_TRACE_WINS;
	if (standing(&t->q, t->q.c->rules[rule].action) < worst)
		return CLASSIFY_TRACE_MILDER;
	return t->q.c->rules[rule].action == CLASSIFY_PEND ? CLASSIFY_TRACE_ASKS_NEXT
							   : CLASSIFY_TRACE_LIGHTER;
}

static void trace_layer(struct trace *t, uint32_t number, unsigned worst)
{
	const struct classifier *c = t->q.c;
	const struct image_layer *l = &c->layers[number];
	uint32_t rule = match_layer(&t->q, l);
	struct classify_trace step = {.kind = CLASSIFY_TRACE_LAYER,
				      .layer = number,
				      .layer_name = c->strings + l->name,
				      .rule = rule,
				      .why = why(t, number, worst, rule)};

	if (rule != CLASSIFY_NO_RULE) {
		step.action = c->rules[rule].action;
		step.is_default = c->rules[rule].is_default;
		step.limited = c->rules[rule].limit;
	}
	t->fn(t->ctx, &step);
}

/* The first of the most restrictive layers; returns how restrictive it is. */
static unsigned find_winner(struct trace *t)
{
	const struct classifier *c = t->q.c;
	unsigned worst = 0, s;
	uint32_t i, rule;

	t->winner = CLASSIFY_NO_RULE;
	for (i = 0; i < c->n[IMAGE_LAYERS]; i++) {
		rule = match_layer(&t->q, &c->layers[i]);
		s = rule == CLASSIFY_NO_RULE ? 0 : standing(&t->q, c->rules[rule].action);
		if (s > worst) {
			worst = s;
			t->winner = i;
		}
	}
	return worst;
}

void classify_trace(const struct classifier *c, const struct classify_context *now,
		    const struct pend_values *v, classify_trace_fn *fn, void *ctx)
{
	struct trace t = {.fn = fn, .ctx = ctx};
	struct classify_trace more = {.kind = CLASSIFY_TRACE_MORE};
	unsigned worst;
	uint32_t i;

	query_init(&t.q, c, now, v);
	worst = find_winner(&t);
	for (i = 0; i < c->n[IMAGE_LAYERS]; i++)
		trace_layer(&t, i, worst);
	trace_all_inspects(&t);
	for (i = 0; i < c->n[IMAGE_LAYERS]; i++)
		if (t.winner == CLASSIFY_NO_RULE || i == t.winner)
			trace_misses(&t, i, match_layer(&t.q, &c->layers[i]));
	if (t.misses <= CLASSIFY_TRACE_MISSES)
		return;
	more.count = t.misses - CLASSIFY_TRACE_MISSES;
	fn(ctx, &more);
}
