/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What live flows are still to be looked at, and why. What the daemon asks of itself is joined by its
 * reason: at most one such job a reason waits, however often it is asked for, and none of it is lost. What clients
 * ask for is answered one by one, and waits in a queue with a bound.
 */
#ifndef DAEMON_REAUTH_JOBS_H
#define DAEMON_REAUTH_JOBS_H

#include "base/list.h"
#include "core/classify_patch.h"
#include "core/flow.h"
#include "daemon/msg.h"
#include "daemon/remembered.h"
#include <stdbool.h>

/* Which addresses have changed: flows from or to one of them are looked at. One malloc. */
struct reauth_ranges {
	uint32_t n;
	struct classify_edit edit[]; /* only family, lo and hi count; in any order */
};

/* Which decisions have ended: flows that one of them was about are looked at. One malloc. */
struct reauth_keys {
	uint32_t n;
	struct remembered_key
		key[]; /* the rule does not count: it may be another one's text by now */
};

#define REAUTH_RANGES_MAX 65536u /* more of them, joined, are everything; of keys, too */
#define REAUTH_ASKED_MAX  32u    /* requests that wait */
#define REAUTH_CARRIED    3u     /* so often cancelled, a job runs to its end */

/* Sorted, with neither overlap nor gaps of nothing between two: for reauth_ranges_has. */
void reauth_ranges_sort(struct reauth_ranges *r);
/* Of sorted ones. */
bool reauth_ranges_has(const struct reauth_ranges *r, uint8_t family, const uint8_t addr[16]);
/* In order, without the rules and each once: for reauth_keys_cover. */
void reauth_keys_sort(struct reauth_keys *k);
/* Of sorted ones: is the flow in the scope of one? */
bool reauth_keys_cover(const struct reauth_keys *k, const struct remembered_flow *f);

struct reauth_result {
	int error;                     /* of the last run: 0, -ECANCELED, or -errno */
	uint32_t generation, revision; /* of the policy that judged */
	uint64_t examined;             /* by the last run */
	/* by it and those that were cancelled before it */
	uint64_t ended, failed, took_ns;
	uint32_t listed; /* of ended and failed ones: MSG_FLOWS at most */
	struct reauth_flow *flow;
};

struct reauth_job {
	struct list link;
	struct msg_reauth what;       /* filter, dry and reason; an own job has no filter */
	struct reauth_ranges *ranges; /* sorted; NULL: all addresses */
	struct reauth_keys *keys;     /* sorted; NULL: whatever was decided about a flow */
	bool asked;
	uint32_t seq;     /* of the request */
	int image;        /* the candidate's; -1: by the policy in force */
	uint64_t size;    /* ... of its image */
	unsigned carried; /* how often it was cancelled */
	struct reauth_result result;
};

struct reauth_due {
	bool due;
	unsigned carried;
	struct reauth_ranges *ranges; /* NULL: all */
	struct reauth_keys *keys;     /* NULL: all */
};

struct reauth_jobs {
	struct reauth_due due[MSG_REASONS];
	struct list asked;
	unsigned nasked;
	bool turn; /* a request's, when both kinds wait */
};

void reauth_jobs_init(struct reauth_jobs *q);
void reauth_jobs_deinit(struct reauth_jobs *q);
/* The daemon's own; `ranges` (NULL: all) is taken over. */
void reauth_jobs_add(struct reauth_jobs *q, enum pend_reason reason, struct reauth_ranges *ranges);
/* For PEND_REASON_DECISION_EXPIRED; `keys` (NULL: all) is taken over. */
void reauth_jobs_add_ended(struct reauth_jobs *q, struct reauth_keys *keys);
/* A request; `image` (-1: none) is duplicated. 0, -EBUSY, -ENOMEM or -errno. */
int reauth_jobs_ask(struct reauth_jobs *q, const struct msg *m, int image);
/* Who asked is gone: nobody waits for an answer. */
void reauth_jobs_forget(struct reauth_jobs *q);
/* What is to be done next, which is the caller's then; NULL: nothing, or no memory (it stays). */
struct reauth_job *reauth_jobs_next(struct reauth_jobs *q);
/* It was cancelled: all of it is to be done again. Takes it over. */
void reauth_jobs_back(struct reauth_jobs *q, struct reauth_job *j);
void reauth_job_free(struct reauth_job *j); /* NULL is allowed */

#endif
