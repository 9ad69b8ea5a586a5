/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A policy in use: a mapped image, its classifier, and what each worker has counted. Made by a thread of
 * its own (daemon/change.h), read by the workers; it is freed when the last worker has handed it back.
 *
 * A change of sets makes a snapshot with another classifier and the same body: the image, the counters and what
 * rates and quotas have left are not touched by it. A new policy has a body of its own, which goes on from its
 * predecessor's where a rule did not change: the same canonical text in a layer of the same name, the
 * k-th of several being the k-th again.
 */
#ifndef DAEMON_SNAPSHOT_H
#define DAEMON_SNAPSHOT_H

#include "core/classify.h"
#include "core/classify_patch.h"
#include "core/limiter.h"
#include "daemon/msg.h"
#include <stdatomic.h>
#include <stdint.h>

/* One worker writes a column, everybody may read it. */
struct rule_column {
	_Atomic uint64_t hits, bytes, last_ns;
};

struct layer_column {
	_Atomic uint64_t permit, block, pend, veto;
};

struct snapshot_body; /* what stays when sets change */

struct snapshot {
	struct classifier *classifier;
	struct snapshot_body *body;
	size_t size; /* of the image */
	int fd;      /* the body's; sealed; to show the authority process what is in force */
	uint32_t generation, revision;
	unsigned workers, users; /* main thread only: workers that still read it */
	uint32_t rules, layers;
	struct rule_column *hits;  /* the body's: [worker * rules + rule] */
	struct layer_column *said; /* the body's: [worker * layers + layer] */
	struct limiter **limiter;  /* the body's, of each worker; NULL: the policy has no limits */
	uint64_t loaded_ns;        /* of the policy, not of its sets */
	struct snapshot *next;     /* for whoever collects what is to be freed */
};

/* From a sealed memory file of `size` bytes; the descriptor stays the caller's. 0, -EINVAL, -ENOMEM
 * or -errno. */
int snapshot_from_fd(struct snapshot **out, int fd, size_t size, uint32_t generation,
		     unsigned workers);
/* The same, going on from `old`, which must stay until snapshot_settle() of the new one or its end; the
 * workers may be counting in it meanwhile, and take over what is left of limits each for itself. */
int snapshot_after(struct snapshot **out, int fd, size_t size, uint32_t generation,
		   struct snapshot *old);
/* `old` with its sets changed: the next revision. As classify_patch(); not while another thread patches or frees
 * a snapshot of the same body. */
int snapshot_patched(struct snapshot **out, struct snapshot *old, const struct classify_edit *edit,
		     size_t n);
void snapshot_free(struct snapshot *s); /* NULL is allowed */

/* By the worker, when it goes from one to the other; before it decides by the new one. */
void snapshot_take_over(struct snapshot *s, struct snapshot *old, unsigned worker);
/* All workers have left the predecessor, and what they counted there is final: take it. Main thread. */
void snapshot_settle(struct snapshot *s);

/* The edits of all revisions so far, in order; main thread. */
const struct classify_edit *snapshot_edits(const struct snapshot *s, uint32_t *n);
/* Those that made this revision of the one before. 0 or -ENOMEM. */
int snapshot_keep_edits(struct snapshot *s, const struct classify_edit *edit, uint32_t n);

/* Summed over the workers, and what came from predecessors. Main thread. */
void snapshot_count(const struct snapshot *s, uint32_t rule, struct rule_count *out);
void snapshot_count_layer(const struct snapshot *s, uint32_t layer, struct layer_count *out);

/* How often a rate or a quota had nothing left, and how many sources quotas had to forget. */
void snapshot_limits(const struct snapshot *s, uint64_t *refused, uint64_t *forgotten);

/* By the worker that owns the column: plain stores, no bus lock. */
static inline void snapshot_add(_Atomic uint64_t *counter, uint64_t n)
{
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
			      memory_order_relaxed);
}

static inline void snapshot_hit(struct snapshot *s, unsigned worker, uint32_t rule, size_t bytes,
				uint64_t now_ns)
{
	if (rule < s->rules) {
		struct rule_column *h = &s->hits[(size_t)worker * s->rules + rule];

		snapshot_add(&h->hits, 1);
		snapshot_add(&h->bytes, bytes);
		atomic_store_explicit(&h->last_ns, now_ns, memory_order_relaxed);
	}
}

/* A layer has an opinion. `overruled`: one of higher weight had permitted or pended before. */
static inline void snapshot_said(struct snapshot *s, unsigned worker, uint32_t layer,
				 uint8_t action, bool overruled)
{
	if (layer < s->layers) {
		struct layer_column *l = &s->said[(size_t)worker * s->layers + layer];

		if (action == CLASSIFY_BLOCK) {
			snapshot_add(&l->block, 1);
			if (overruled)
				snapshot_add(&l->veto, 1);
		} else {
			snapshot_add(action == CLASSIFY_PEND ? &l->pend : &l->permit, 1);
		}
	}
}

#endif
