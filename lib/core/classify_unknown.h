/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Conditions on what is unknown of a packet (pend_values.mark_unknown, tcp_flags_unknown, and
 * classify_context.interfaces_unknown): of a live flow, which must not be ended for that (R32). As with a listener
 * that could not be found out, a rule that permits does not match then, and every other does, when all its other
 * conditions hold. A mask that leaves out what is unknown, or a known bit that differs, decides as ever.
 *
 * "block mark 1" must not keep all flows alive that the policy ends by its other rules: what is sure behind it, and
 * does not permit, speaks instead of it.
 */
#ifndef CORE_CLASSIFY_UNKNOWN_H
#define CORE_CLASSIFY_UNKNOWN_H

#include "core/policy_ast.h"
#include <stdint.h>

struct image_layer;
struct image_rule;
struct query;

enum holds { HOLDS_NOT, HOLDS, HOLDS_PERHAPS };

/* Does the condition, one of query.unknown that applies, hold, negated if the rule says so? */
enum holds unknown_holds(const struct query *q, const struct image_rule *r, enum pol_cond cond);
/* match_layer() where something is unknown; sets query.unsure: what the layer says may be milder. */
uint32_t unknown_layer(struct query *q, const struct image_layer *l);

#endif
