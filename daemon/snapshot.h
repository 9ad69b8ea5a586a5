/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A policy in use: a mapped image, its classifier, and the hit counters of each worker. Made by the
 * main thread, read by the workers; it is freed when the last worker has handed it back.
 */
#ifndef DAEMON_SNAPSHOT_H
#define DAEMON_SNAPSHOT_H

#include "core/classify.h"
#include <stdatomic.h>
#include <stdint.h>

struct snapshot {
	struct classifier *classifier;
	const void *image; /* mapped from fd */
	size_t size;
	int fd; /* sealed; to show the authority process what is in force */
	uint32_t generation;
	unsigned workers, users; /* main thread only: workers that still read it */
	_Atomic uint64_t *hits;  /* [worker * rules + rule]; each worker writes its own */
	uint32_t rules;
	uint64_t loaded_ns;
};

/* From a sealed memory file of `size` bytes; the descriptor stays the caller's. 0, -EINVAL, -ENOMEM
 * or -errno. */
int snapshot_from_fd(struct snapshot **out, int fd, size_t size, uint32_t generation,
		     unsigned workers);
void snapshot_free(struct snapshot *s); /* NULL is allowed */
/* Summed over the workers. */
uint64_t snapshot_hits(const struct snapshot *s, uint32_t rule);

/* By the worker that owns the column: a plain increment, no bus lock. */
static inline void snapshot_hit(struct snapshot *s, unsigned worker, uint32_t rule)
{
	if (rule < s->rules) {
		_Atomic uint64_t *h = &s->hits[(size_t)worker * s->rules + rule];

		atomic_store_explicit(h, atomic_load_explicit(h, memory_order_relaxed) + 1,
				      memory_order_relaxed);
	}
}

#endif
