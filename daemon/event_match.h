/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which events somebody wants to hear of: their types, and the conditions of `match`. */
#ifndef DAEMON_EVENT_MATCH_H
#define DAEMON_EVENT_MATCH_H

#include "base/err.h"
#include "daemon/events.h"

struct event_match {
	uint32_t types;     /* a mask; 0: nothing is wanted */
	struct msg_match m; /* but for the authority */
	char *authority;    /* NULL: any */
	bool any;           /* there are conditions */
};

/*
 * `types` (an array of names) and `match` (conditions as `pending` has them); NULL: all. 0; -EINVAL with a sentence, or
 * -ENOMEM, and then there is nothing to free.
 */
int event_match_parse(struct event_match *out, const json_t *types, json_t *match,
		      const struct view *v, struct err *e);
void event_match_deinit(struct event_match *m); /* zeroed: nothing to do */
/* What is about no connection meets no condition. */
bool event_match(const struct event_match *m, const struct event *e, const struct view *v);

#endif
