/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the commands that change rules and those that change sets share (control_policy.c, control_set.c). */
#ifndef DAEMON_CONTROL_POLICY_H
#define DAEMON_CONTROL_POLICY_H

#include "daemon/control_impl.h"

/* why, stay, until and for of a request; false: it has failed. */
bool control_terms(struct request *r, const json_t *args, struct overlay_terms *t);
/* Takes the change; the request ends when that does. */
void control_change(struct request *r, struct amend *ch);
/* "2026-01-31T12:00:00.000Z" */
json_t *control_wall(uint64_t ms);
/* Fills ch->added and ch->removed; sorts `span`, the elements named, of which ch->spans was made. */
void set_count_change(const struct classifier *c, struct amend *ch, struct policy_span *span,
		      size_t n);
/* Adds what came of a change of a set. */
void set_result(struct request *r, const struct amend *ch, json_t *o);

#endif
