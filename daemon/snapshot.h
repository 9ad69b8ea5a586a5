/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A policy in use: a mapped image, its classifier, and the hit counters of each worker. Made by the
 * main thread, read by the workers; it is freed when the last worker has handed it back.
 */
#ifndef DAEMON_SNAPSHOT_H
#define DAEMON_SNAPSHOT_H

#include "core/classify.h"
#include "core/limiter.h"
#include "daemon/msg.h"
#include <stdatomic.h>
#include <stdint.h>

struct rule_column {
	_Atomic uint64_t hits, bytes, last_ns;
};

struct snapshot {
	struct classifier *classifier;
	const void *image; /* mapped from fd */
	size_t size;
	int fd; /* sealed; to show the authority process what is in force */
	uint32_t generation;
	unsigned workers, users;  /* main thread only: workers that still read it */
	struct rule_column *hits; /* [worker * rules + rule]; each worker writes its own */
	struct limiter **limiter; /* of each worker; NULL: the policy has no limits */
	uint32_t rules;
	uint64_t loaded_ns;
};

/* From a sealed memory file of `size` bytes; the descriptor stays the caller's. 0, -EINVAL, -ENOMEM
 * or -errno. */
int snapshot_from_fd(struct snapshot **out, int fd, size_t size, uint32_t generation,
		     unsigned workers);
void snapshot_free(struct snapshot *s); /* NULL is allowed */
/* Summed over the workers. */
void snapshot_count(const struct snapshot *s, uint32_t rule, struct rule_count *out);

/* How often a rate or a quota had nothing left, and how many sources quotas had to forget. */
void snapshot_limits(const struct snapshot *s, uint64_t *refused, uint64_t *forgotten);

/* By the worker that owns the column: plain stores, no bus lock. */
static inline void snapshot_hit(struct snapshot *s, unsigned worker, uint32_t rule, size_t bytes,
				uint64_t now_ns)
{
	if (rule < s->rules) {
		struct rule_column *h = &s->hits[(size_t)worker * s->rules + rule];

		atomic_store_explicit(&h->hits,
				      atomic_load_explicit(&h->hits, memory_order_relaxed) + 1,
				      memory_order_relaxed);
		atomic_store_explicit(&h->bytes,
				      atomic_load_explicit(&h->bytes, memory_order_relaxed) + bytes,
				      memory_order_relaxed);
		atomic_store_explicit(&h->last_ns, now_ns, memory_order_relaxed);
	}
}

#endif
