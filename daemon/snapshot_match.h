/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which rules and layers of a policy are those of the one before it: see snapshot.h. */
#ifndef DAEMON_SNAPSHOT_MATCH_H
#define DAEMON_SNAPSHOT_MATCH_H

#include "core/classify.h"

/* [new index] = old index, or UINT32_MAX: there was none. */
struct snapshot_match {
	uint32_t *rule, *layer, *limit;
};

/* Both are only read. 0 or -ENOMEM; deinit it in either case. */
int snapshot_match_init(struct snapshot_match *m, const struct classifier *c,
			const struct classifier *old);
void snapshot_match_deinit(struct snapshot_match *m); /* zeroed: nothing to do */

#endif
