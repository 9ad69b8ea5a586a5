/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Policies in use. See snapshot.h. */
#include "daemon/snapshot.h"
#include "daemon/snapshot_match.h"
#include "io/policyfile.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

struct snapshot_body {
	_Atomic unsigned users; /* snapshots, and the body that comes after until it has settled */
	const void *image;      /* mapped from fd */
	size_t size;
	int fd;
	struct classifier *base; /* the image as it is; limiters look at it */
	unsigned workers;
	uint32_t rules, layers;
	struct rule_column *hits;
	struct layer_column *said;
	struct limiter **limiter;
	struct siphash_key key; /* of the limiters; that of all successors */
	/* what came from predecessors; NULL: there is none */
	struct rule_count *rule_base;
	struct layer_count *layer_base;
	/* until it is settled: */
	struct snapshot_body *before;
	struct snapshot_match match;
	struct classify_edit *edits;
	uint32_t n_edits, edits_cap;
};

/* ---- made and freed ---- */

static void body_put(struct snapshot_body *b)
{
	if (!b || atomic_fetch_sub(&b->users, 1) != 1)
		return;
	body_put(b->before);
	snapshot_match_deinit(&b->match);
	for (unsigned w = 0; b->limiter && w < b->workers; w++)
		limiter_free(b->limiter[w]);
	free(b->limiter);
	classify_detach(b->base);
	policyfile_image_unmap(b->image, b->size);
	if (b->fd >= 0)
		close(b->fd);
	free(b->hits);
	free(b->said);
	free(b->rule_base);
	free(b->layer_base);
	free(b->edits);
	free(b);
}

static int make_limiters(struct snapshot_body *b, const struct snapshot_body *old)
{
	int r = 0;

	b->limiter = calloc(b->workers, sizeof(struct limiter *));
	if (!b->limiter)
		return -ENOMEM;
	if (old)
		b->key = old->key;
	else if (getrandom(&b->key, sizeof(b->key), 0) != (ssize_t)sizeof(b->key))
		return -EIO;
	for (unsigned w = 0; w < b->workers && !r; w++) {
		const struct limiter *before = old ? old->limiter[w] : NULL;

		r = before ? limiter_new_after(&b->limiter[w], b->base, b->workers, before,
					       b->match.limit)
			   : limiter_new(&b->limiter[w], b->base, b->workers, &b->key);
	}
	return r;
}

static int make_columns(struct snapshot_body *b)
{
	b->rules = classify_rules(b->base);
	b->layers = classify_layers(b->base);
	b->hits = calloc((size_t)b->workers * b->rules + 1, sizeof(*b->hits));
	b->said = calloc((size_t)b->workers * b->layers + 1, sizeof(*b->said));
	return b->hits && b->said ? 0 : -ENOMEM;
}

static int go_on(struct snapshot_body *b, struct snapshot_body *old)
{
	b->rule_base = calloc((size_t)b->rules + 1, sizeof(*b->rule_base));
	b->layer_base = calloc((size_t)b->layers + 1, sizeof(*b->layer_base));
	if (!b->rule_base || !b->layer_base)
		return -ENOMEM;
	atomic_fetch_add(&old->users, 1);
	b->before = old;
	return snapshot_match_init(&b->match, b->base, old->base);
}

static int body_fill(struct snapshot_body *b, int fd, struct snapshot_body *old)
{
	int r;

	b->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	r = b->fd < 0 ? -errno : policyfile_image_map(b->fd, b->size, &b->image);
	if (!r)
		r = classify_attach(&b->base, b->image, b->size);
	if (!r)
		r = make_columns(b);
	if (!r && old)
		r = go_on(b, old);
	return r ? r : make_limiters(b, old);
}

static struct snapshot *view_of(struct snapshot_body *b, struct classifier *c)
{
	struct snapshot *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	*s = (struct snapshot){.classifier = c,
			       .body = b,
			       .size = b->size,
			       .fd = b->fd,
			       .workers = b->workers,
			       .rules = b->rules,
			       .layers = b->layers,
			       .hits = b->hits,
			       .said = b->said,
			       .limiter = b->limiter};
	return s;
}

static int make(struct snapshot **out, int fd, size_t size, uint32_t generation, unsigned workers,
		struct snapshot_body *old)
{
	struct snapshot_body *b = calloc(1, sizeof(*b));
	struct snapshot *s = NULL;
	int r;

	if (!b)
		return -ENOMEM;
	b->users = 1;
	b->size = size;
	b->workers = workers;
	r = body_fill(b, fd, old);
	if (!r) {
		s = view_of(b, b->base);
		r = s ? 0 : -ENOMEM;
	}
	if (r) {
		body_put(b);
		return r;
	}
	s->generation = generation;
	*out = s;
	return 0;
}

int snapshot_from_fd(struct snapshot **out, int fd, size_t size, uint32_t generation,
		     unsigned workers)
{
	return make(out, fd, size, generation, workers, NULL);
}

int snapshot_after(struct snapshot **out, int fd, size_t size, uint32_t generation,
		   struct snapshot *old)
{
	return make(out, fd, size, generation, old->workers, old->body);
}

int snapshot_patched(struct snapshot **out, struct snapshot *old, const struct classify_edit *edit,
		     size_t n)
{
	struct classifier *c = NULL;
	struct snapshot *s;
	int r = classify_patch(&c, old->classifier, edit, n);

	if (r)
		return r;
	s = view_of(old->body, c);
	if (!s) {
		classify_detach(c);
		return -ENOMEM;
	}
	atomic_fetch_add(&s->body->users, 1);
	s->generation = old->generation;
	s->revision = old->revision + 1;
	s->loaded_ns = old->loaded_ns;
	*out = s;
	return 0;
}

void snapshot_free(struct snapshot *s)
{
	if (!s)
		return;
	if (s->classifier != s->body->base)
		classify_detach(s->classifier);
	body_put(s->body);
	free(s);
}

/* ---- from one to the next ---- */

void snapshot_take_over(struct snapshot *s, struct snapshot *old, unsigned worker)
{
	if (old && s->body != old->body && worker < s->workers && worker < old->workers)
		limiter_take_over(s->limiter[worker], old->limiter[worker]);
}

const struct classify_edit *snapshot_edits(const struct snapshot *s, uint32_t *n)
{
	*n = s->body->n_edits;
	return s->body->edits;
}

int snapshot_keep_edits(struct snapshot *s, const struct classify_edit *edit, uint32_t n)
{
	struct snapshot_body *b = s->body;

	if (n > b->edits_cap - b->n_edits) {
		uint32_t cap = (b->n_edits + n) * 2;
		struct classify_edit *more = realloc(b->edits, cap * sizeof(*more));

		if (!more)
			return -ENOMEM;
		b->edits = more;
		b->edits_cap = cap;
	}
	memcpy(b->edits + b->n_edits, edit, n * sizeof(*edit));
	b->n_edits += n;
	return 0;
}

/* ---- counters ---- */

static uint64_t look(const _Atomic uint64_t *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

static void rule_add(struct rule_count *sum, uint64_t hits, uint64_t bytes, uint64_t last_ns)
{
	sum->hits += hits;
	sum->bytes += bytes;
	if (last_ns > sum->last_ns)
		sum->last_ns = last_ns;
}

/* Bodies that have not settled are few: one, but for a worker that took no policy. */
static void rule_sum(const struct snapshot_body *b, uint32_t rule, struct rule_count *sum)
{
	while (b && rule < b->rules) {
		for (unsigned w = 0; w < b->workers; w++) {
			const struct rule_column *h = &b->hits[(size_t)w * b->rules + rule];

			rule_add(sum, look(&h->hits), look(&h->bytes), look(&h->last_ns));
		}
		if (b->rule_base)
			rule_add(sum, b->rule_base[rule].hits, b->rule_base[rule].bytes,
				 b->rule_base[rule].last_ns);
		if (b->before)
			rule = b->match.rule[rule];
		b = b->before;
	}
}

static void layer_add(struct layer_count *sum, const struct layer_count *more)
{
	sum->permit += more->permit;
	sum->block += more->block;
	sum->pend += more->pend;
	sum->veto += more->veto;
}

static void layer_sum(const struct snapshot_body *b, uint32_t layer, struct layer_count *sum)
{
	while (b && layer < b->layers) {
		for (unsigned w = 0; w < b->workers; w++) {
			const struct layer_column *l = &b->said[(size_t)w * b->layers + layer];
			struct layer_count n = {look(&l->permit), look(&l->block), look(&l->pend),
						look(&l->veto)};

			layer_add(sum, &n);
		}
		if (b->layer_base)
			layer_add(sum, &b->layer_base[layer]);
		if (b->before)
			layer = b->match.layer[layer];
		b = b->before;
	}
}

void snapshot_settle(struct snapshot *s)
{
	struct snapshot_body *b = s->body, *old = b->before;

	if (!old)
		return;
	for (uint32_t i = 0; i < b->rules; i++)
		rule_sum(old, b->match.rule[i], &b->rule_base[i]);
	for (uint32_t i = 0; i < b->layers; i++)
		layer_sum(old, b->match.layer[i], &b->layer_base[i]);
	b->before = NULL;
	snapshot_match_deinit(&b->match);
	body_put(old);
}

void snapshot_count(const struct snapshot *s, uint32_t rule, struct rule_count *out)
{
	*out = (struct rule_count){0};
	rule_sum(s->body, rule, out);
}

void snapshot_count_layer(const struct snapshot *s, uint32_t layer, struct layer_count *out)
{
	*out = (struct layer_count){0};
	layer_sum(s->body, layer, out);
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
