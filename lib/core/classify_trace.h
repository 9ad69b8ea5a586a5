/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Why a packet is decided as it is: what every layer says about it, which of them wins, and where
 * the rules before the one that speaks did not match. For people; classify() decides.
 */
#ifndef CORE_CLASSIFY_TRACE_H
#define CORE_CLASSIFY_TRACE_H

#include "core/classify.h"

#define CLASSIFY_TRACE_MISSES 16 /* CLASSIFY_TRACE_MISS steps of one trace, and INSPECT steps */

enum classify_trace_kind {
	CLASSIFY_TRACE_LAYER, /* one for each layer, in order of evaluation */
	/* Rules that match and only inspect, of the layers that are asked: up to the first that blocks. */
	CLASSIFY_TRACE_INSPECT,
	/* Rules that did not match, from the first: of the layer that wins; of all when none does. */
	CLASSIFY_TRACE_MISS,
	CLASSIFY_TRACE_MORE, /* the last step, when more rules did not match than are told */
};

enum classify_trace_why {
	CLASSIFY_TRACE_WINS,
	CLASSIFY_TRACE_NO_OPINION, /* no rule matches and there is no default */
	CLASSIFY_TRACE_MILDER,     /* another layer is more restrictive */
	CLASSIFY_TRACE_LIGHTER,    /* as restrictive as the winner, which comes before it */
	CLASSIFY_TRACE_ASKS_NEXT, /* the same of a pend: it asks when those before it have permitted */
};

struct classify_trace {
	enum classify_trace_kind kind;
	uint32_t layer; /* in order of evaluation; MORE: unused */
	const char *layer_name;
	/* LAYER: the one that speaks, or CLASSIFY_NO_RULE. INSPECT; MISS: the one that does not match. */
	uint32_t rule;
	enum classify_trace_why why; /* LAYER */
	uint8_t action;              /* LAYER with a rule: enum classify_action */
	bool is_default;             /* LAYER: no rule matches, this is its default */
	bool limited;                /* LAYER: it speaks as long as its rate and quota last */
	const char *condition;       /* MISS: the first that fails: "to port" */
	bool negated;                /* ... which is a negated one */
	bool absent; /* ... because the packet has nothing of the kind, or nobody listens */
	/* ... because the listener could not be found out, or the packet's part is unknown, and the rule permits */
	bool unknown;
	uint32_t count; /* MORE: how many */
};

typedef void classify_trace_fn(void *ctx, const struct classify_trace *step);

/*
 * The layer that wins, if any, has the rule that classify_with() gives. Looks at every rule of the
 * winning layer one by one: not for the packet path. `step` is valid during the call of fn only.
 */
void classify_trace(const struct classifier *c, const struct classify_context *now,
		    const struct pend_values *v, classify_trace_fn *fn, void *ctx);

#endif
