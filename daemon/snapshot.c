/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Policies in use. See snapshot.h. */
#include "daemon/snapshot.h"
#include "io/policyfile.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

static int make_limiters(struct snapshot *s)
{
	struct siphash_key key;
	int r = 0;

	s->limiter = calloc(s->workers, sizeof(struct limiter *));
	if (!s->limiter)
		return -ENOMEM;
	if (getrandom(&key, sizeof(key), 0) != (ssize_t)sizeof(key))
		return -EIO;
	for (unsigned w = 0; w < s->workers && !r; w++)
		r = limiter_new(&s->limiter[w], s->classifier, s->workers, &key);
	return r;
}

static int attach(struct snapshot *s, unsigned workers)
{
	int r = classify_attach(&s->classifier, s->image, s->size);

	if (r)
		return r;
	s->rules = classify_rules(s->classifier);
	s->workers = workers;
	s->hits = calloc((size_t)workers * s->rules + 1, sizeof(*s->hits));
	return s->hits ? make_limiters(s) : -ENOMEM;
}

int snapshot_from_fd(struct snapshot **out, int fd, size_t size, uint32_t generation,
		     unsigned workers)
{
	struct snapshot *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	s->size = size;
	s->generation = generation;
	s->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	r = s->fd < 0 ? -errno : policyfile_image_map(s->fd, size, &s->image);
	if (!r)
		r = attach(s, workers);
	if (r)
		snapshot_free(s);
	else
		*out = s;
	return r;
}

void snapshot_free(struct snapshot *s)
{
	if (!s)
		return;
	for (unsigned w = 0; s->limiter && w < s->workers; w++)
		limiter_free(s->limiter[w]);
	free(s->limiter);
	classify_detach(s->classifier);
	policyfile_image_unmap(s->image, s->size);
	if (s->fd >= 0)
		close(s->fd);
	free(s->hits);
	free(s);
}

void snapshot_count(const struct snapshot *s, uint32_t rule, struct rule_count *out)
{
	*out = (struct rule_count){0};
	for (unsigned w = 0; w < s->workers && rule < s->rules; w++) {
		const struct rule_column *h = &s->hits[(size_t)w * s->rules + rule];
		uint64_t last = atomic_load_explicit(&h->last_ns, memory_order_relaxed);

		out->hits += atomic_load_explicit(&h->hits, memory_order_relaxed);
		out->bytes += atomic_load_explicit(&h->bytes, memory_order_relaxed);
		if (last > out->last_ns)
			out->last_ns = last;
	}
}

void snapshot_limits(const struct snapshot *s, uint64_t *refused, uint64_t *forgotten)
{
	*refused = *forgotten = 0;
	for (unsigned w = 0; w < s->workers; w++) {
		const struct limiter_stats *st = s->limiter[w] ? limiter_stats(s->limiter[w])
							       : NULL;

		if (!st)
			continue;
		*refused += atomic_load_explicit(&st->refused, memory_order_relaxed);
		*forgotten += atomic_load_explicit(&st->forgotten, memory_order_relaxed);
	}
}
