/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Rates and quotas. See limiter.h. */
#include "core/limiter.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NS_PER_S UINT64_C(1000000000)

/* A source of one limit; `used` 0: the place is free. */
struct source {
	uint64_t tag, start_ns;
	uint32_t used;
};

/* The bucket as the time at which it will be full again (GCRA): no refill to compute. */
struct bucket {
	uint64_t interval_ns, tolerance_ns, full_ns;
	uint32_t id;   /* of the limit, in sources' tags: its successors have it too */
	uint32_t from; /* index in the predecessor; UINT32_MAX: a new one */
};

struct limiter {
	struct siphash_key key;
	struct limiter_stats stats;
	struct source *sources; /* NULL: no quota */
	const struct classifier *c;
	const struct limiter *after; /* compared only: it may be gone */
	uint32_t n, next_id;
	struct bucket bucket[];
};

static void bucket_init(struct bucket *b, const struct classify_limit *lim, unsigned workers)
{
	uint64_t burst = (lim->burst + workers - 1) / workers;

	if (!lim->rate)
		return;
	b->interval_ns = lim->per_s * NS_PER_S * workers / lim->rate;
	b->tolerance_ns = b->interval_ns * (burst - 1);
}

static struct limiter *make(const struct classifier *c, unsigned workers, uint32_t n)
{
	struct limiter *l = calloc(1, sizeof(*l) + n * sizeof(l->bucket[0]));
	bool quota = false;

	if (!l)
		return NULL;
	l->c = c;
	l->n = n;
	for (uint32_t i = 0; i < n; i++) {
		const struct classify_limit *lim = classify_limit(c, i);

		bucket_init(&l->bucket[i], lim, workers);
		quota = quota || lim->quota;
	}
	if (quota)
		l->sources = calloc(LIMITER_SOURCES, sizeof(*l->sources));
	if (quota && !l->sources) {
		free(l);
		return NULL;
	}
	return l;
}

int limiter_new(struct limiter **out, const struct classifier *c, unsigned workers,
		const struct siphash_key *key)
{
	uint32_t n = classify_limits(c);
	struct limiter *l;

	*out = NULL;
	if (!n)
		return 0;
	l = make(c, workers, n);
	if (!l)
		return -ENOMEM;
	l->key = *key;
	for (uint32_t i = 0; i < n; i++) {
		l->bucket[i].id = l->next_id++;
		l->bucket[i].from = UINT32_MAX;
	}
	*out = l;
	return 0;
}

int limiter_new_after(struct limiter **out, const struct classifier *c, unsigned workers,
		      const struct limiter *old, const uint32_t *from)
{
	int r = limiter_new(out, c, workers, &old->key);
	struct limiter *l = *out;

	if (r || !l)
		return r;
	l->after = old;
	l->next_id = old->next_id;
	for (uint32_t i = 0; i < l->n; i++) {
		bool goes_on = from[i] < old->n;

		l->bucket[i].from = goes_on ? from[i] : UINT32_MAX;
		l->bucket[i].id = goes_on ? old->bucket[from[i]].id : l->next_id++;
	}
	return 0;
}

void limiter_take_over(struct limiter *l, struct limiter *old)
{
	struct source *own;

	if (!l || !old || l->after != old)
		return;
	for (uint32_t i = 0; i < l->n; i++)
		if (l->bucket[i].from != UINT32_MAX)
			l->bucket[i].full_ns = old->bucket[l->bucket[i].from].full_ns;
	l->after = NULL;
	if (!l->sources || !old->sources)
		return;
	own = l->sources;
	l->sources = old->sources;
	old->sources = own;
}

void limiter_free(struct limiter *l)
{
	if (l)
		free(l->sources);
	free(l);
}

const struct limiter_stats *limiter_stats(const struct limiter *l)
{
	return &l->stats;
}

static void add(_Atomic uint64_t *counter)
{
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + 1,
			      memory_order_relaxed);
}

static uint64_t source_tag(const struct limiter *l, uint32_t id, uint8_t family,
			   const uint8_t addr[16])
{
	struct {
		uint32_t id, family;
		uint8_t addr[8];
	} of = {id, family, {0}};

	memcpy(of.addr, addr, family == 4 ? 4 : 8);
	return siphash13(&l->key, &of, sizeof(of));
}

/* The source's place; a free or an outdated one, or the oldest, becomes its own. */
static struct source *source_find(struct limiter *l, uint64_t tag)
{
	struct source *set = l->sources + tag % (LIMITER_SOURCES / LIMITER_WAYS) * LIMITER_WAYS;
	struct source *oldest = set;

	for (unsigned i = 0; i < LIMITER_WAYS; i++) {
		if (set[i].used && set[i].tag == tag)
			return &set[i];
		if (oldest->used && (!set[i].used || set[i].start_ns < oldest->start_ns))
			oldest = &set[i];
	}
	if (oldest->used)
		add(&l->stats.forgotten);
	*oldest = (struct source){.tag = tag};
	return oldest;
}

/* NULL: it is used up. */
static struct source *quota_left(struct limiter *l, const struct classify_limit *lim, uint64_t tag,
				 uint64_t now_ns)
{
	struct source *s = source_find(l, tag);

	if (!s->used || (lim->window_ns && now_ns - s->start_ns >= lim->window_ns)) {
		s->used = 0;
		s->start_ns = now_ns;
	}
	return s->used < lim->quota ? s : NULL;
}

static bool bucket_take(struct bucket *b, uint64_t now_ns)
{
	uint64_t full = b->full_ns > now_ns ? b->full_ns : now_ns;

	if (full - now_ns > b->tolerance_ns)
		return false;
	b->full_ns = full + b->interval_ns;
	return true;
}

bool limiter_take(struct limiter *l, uint32_t limit, uint8_t family, const uint8_t source[16],
		  uint64_t now_ns)
{
	const struct classify_limit *lim = l && limit < l->n ? classify_limit(l->c, limit) : NULL;
	struct source *s = NULL;

	if (!lim)
		return false;
	if (lim->quota)
		s = quota_left(l, lim, source_tag(l, l->bucket[limit].id, family, source), now_ns);
	if ((lim->quota && !s) || (lim->rate && !bucket_take(&l->bucket[limit], now_ns))) {
		add(&l->stats.refused);
		return false;
	}
	if (s)
		s->used++;
	return true;
}
