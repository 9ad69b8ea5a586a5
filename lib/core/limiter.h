/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the rules with a rate or a quota have left: one limiter for each worker and policy.
 *
 * A rate is a token bucket, whose share of one worker is the rate and the burst divided by the
 * number of workers (a burst of 1 at least). A quota counts by source address (IPv6: by /64) in
 * windows that begin with a source's first packet; every worker counts what it sees. Sources are
 * kept in a table of fixed size under a keyed hash; where it is full the source whose window is the
 * oldest is forgotten, and that is counted.
 *
 * When a policy follows another, limits of rules that did not change go on with what is left of them
 * (limiter_new_after, limiter_take_over): a source has a number for its limit that lasts, not the
 * limit's index.
 */
#ifndef CORE_LIMITER_H
#define CORE_LIMITER_H

#include "base/siphash.h"
#include "core/classify.h"
#include <stdatomic.h>

#define LIMITER_SOURCES 65536u /* in the table, of all quotas together */
#define LIMITER_WAYS    8u     /* places that one source can take */

struct limiter_stats {
	_Atomic uint64_t refused;   /* by an empty bucket or a used-up quota */
	_Atomic uint64_t forgotten; /* sources, to make place for others */
};

struct limiter;

/* 0 or -ENOMEM. NULL in *out: no rule has a limit. Nothing is allocated afterwards. */
int limiter_new(struct limiter **out, const struct classifier *c, unsigned workers,
		const struct siphash_key *key);
/*
 * The same, as the successor of `old`: `from[limit]` is the limit of `old` that goes on in it, or
 * UINT32_MAX. `old` may be in use meanwhile, by others.
 */
int limiter_new_after(struct limiter **out, const struct classifier *c, unsigned workers,
		      const struct limiter *old, const uint32_t *from);
/*
 * Go on with what `old` has left. By the one who uses both, before the first limiter_take of `l`; `old` has
 * nothing of its own afterwards and can only be freed. If `l` was not made as the successor of
 * `old`, or either is NULL, nothing happens.
 */
void limiter_take_over(struct limiter *l, struct limiter *old);
void limiter_free(struct limiter *l); /* NULL is allowed */
/*
 * Take one from the limit (of classify_limit_of) for this source. False: there is none left, and
 * nothing was taken. Any limit is safe; one that there is not is always refused.
 */
bool limiter_take(struct limiter *l, uint32_t limit, uint8_t family, const uint8_t source[16],
		  uint64_t now_ns);
/* Readable from any thread. */
const struct limiter_stats *limiter_stats(const struct limiter *l);

#endif
