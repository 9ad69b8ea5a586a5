/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Re-authorization of live flows (R30 to R37): after a change of policy every flow that was
 * permitted is classified again, by its conntrack entry; one that is blocked now is ended, the others
 * are not touched and lose nothing. A flow of a pend rule was decided, and the decision stands (R33).
 *
 * TCP to a local socket is ended by destroying the socket, which resets both ends; forwarded TCP is marked
 * BLOCKED, and the hookup resets whichever end speaks next; other flows are forgotten, so that
 * their next packet is a new flow's.
 */
#ifndef DAEMON_REAUTH_H
#define DAEMON_REAUTH_H

#include "core/classify_patch.h"
#include "core/mark.h"
#include "daemon/msg.h"
#include "daemon/snapshot.h"
#include <stdbool.h>

/* Which addresses have changed: flows from or to one of them are looked at. One malloc. */
struct reauth_ranges {
	uint32_t n;
	struct classify_edit edit[]; /* only family, lo and hi count; in any order */
};

struct reauth_result {
	uint32_t generation; /* of the policy that judged */
	int error;           /* 0, -ECANCELED, or -errno: what was not looked at goes on */
	uint64_t examined, ended, failed;
	uint64_t took_ns;
};

/*
 * clock: as in struct classify_context. Runs to its end in the calling thread; the packet path does not wait for
 * it. The policy must stay in force as long as it runs, or flows of its successor would be judged by
 * it: set *cancel and wait before it is replaced.
 */
void reauth_run(const struct snapshot *s, const struct mark_layout *marks, uint32_t clock,
		const _Atomic bool *cancel, struct reauth_result *result);

#endif
