/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Conditions on the listener of a connection: looked up only for a rule of which everything
 * else matches, and once in a classify. See enum classify_listener_state.
 */
#ifndef CORE_CLASSIFY_LISTENER_H
#define CORE_CLASSIFY_LISTENER_H

#include "core/policy_ast.h"

#define LISTENER_UNIT_MAX 255u /* bytes of a unit's name, and of a pattern */

struct query;
struct image_rule;

/* The field that a condition of POL_LISTENER asks for. */
static inline unsigned listener_field(enum pol_cond cond)
{
	return cond == COND_USER         ? LISTENER_USER
	       : cond == COND_GROUP      ? LISTENER_GROUP
	       : cond == COND_EXECUTABLE ? LISTENER_EXECUTABLE
					 : LISTENER_CGROUP;
}

/* Of all conditions of a rule, by its `seen`. */
unsigned listener_fields(uint32_t seen);

/* Asks for the listener unless that was done, for what `r` and the rules behind it need. */
const struct classify_listener *listener_of(struct query *q, const struct image_rule *r);
/* Does the condition, negated if the rule says so, hold? */
bool listener_holds(struct query *q, const struct image_rule *r, enum pol_cond cond);
/* All of them. */
bool listener_match(struct query *q, const struct image_rule *r);

/*
 * The unit in a control group's path: its last component that is the name of a service, socket,
 * scope, mount or swap, else of a slice. Returns its length, 0 when there is none.
 */
size_t listener_unit(const char *cgroup, const char **unit);
/* `*`, `?` and `[a-z]`, `[!a-z]`; a `[` that is never closed stands for itself. */
bool listener_pattern(const char *pattern, size_t plen, const char *s, size_t len);

#endif
