/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Re-authorization of live flows (R30 to R37): flows that were permitted are classified again, by
 * their conntrack entries; those that are blocked now are ended, the others
 * are not touched and lose nothing. A flow of a pend rule was decided, and the decision stands (R33).
 *
 * All are marked BLOCKED in conntrack. TCP to a local socket is ended by destroying the socket, which resets both
 * ends; of forwarded TCP the hookup resets whichever end speaks next; of other flows it drops what comes against
 * them, and asks whether they begin anew by what comes along them.
 */
#ifndef DAEMON_REAUTH_H
#define DAEMON_REAUTH_H

#include "core/classify.h"
#include "core/mark.h"
#include "daemon/reauth_jobs.h"
#include "daemon/remembered.h"
#include <stdbool.h>

/* What flows are judged by. */
struct reauth_judge {
	const struct classifier *classifier;
	struct mark_layout marks;
	uint32_t clock, minute; /* as in struct classify_context */
	uint32_t generation, revision;
	/* With PEND_REASON_DECISION_EXPIRED: flows that were in the scope of one that has ended, and for which
	 * none speaks any more, are ended, where their rule says `remember ... end`. */
	const struct remembered *remembered;
	/* As in struct classify_context; NULL: nobody asks sockets. */
	const struct classify_listener *(*listener)(void *arg, const struct pend_values *v,
						    unsigned need);
	bool (*late)(const void *arg); /* the last one lacks what the next may have; NULL: never */
	void *arg;
};

/*
 * Does the job and adds to its result. Runs to its end in the calling thread; the packet path does not wait for
 * it. The policy must stay in force as long as it runs, or flows of its successor would be judged by
 * it: set *cancel and wait before it is replaced. A job that was cancelled too often does not look at *cancel,
 * so that changes in quick succession do not keep it from its end; *stop it always obeys.
 */
void reauth_run(const struct reauth_judge *judge, struct reauth_job *job,
		const _Atomic bool *cancel, const _Atomic bool *stop);

#endif
