/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See offers.h. */
#include "daemon/offers.h"
#include "base/siphash.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

/* Half of the places are in use at most, so that a key seldom finds all of its own taken. */
#define PLACES (2 * OFFERS_MAX)
#define WAYS   8u
#define LISTS  OFFERS_MAX /* of places, by source */

_Static_assert(!(OFFERS_RING & (OFFERS_RING - 1)), "a ring is a power of two");

struct offer_key offer_key_of(uint8_t family, uint8_t protocol, const uint8_t source[16],
			      const uint8_t dest[16], uint16_t dest_port, uint32_t in_interface)
{
	struct offer_key k = {.in_interface = in_interface,
			      .dest_port = dest_port,
			      .family = family,
			      .protocol = protocol};

	memcpy(k.source, source, sizeof(k.source));
	memcpy(k.dest, dest, sizeof(k.dest));
	return k;
}

/* ---- the ring ---- */

bool offers_push(struct offer_ring *r, const struct offer *o)
{
	uint32_t head = atomic_load_explicit(&r->head, memory_order_relaxed);

	if (head - atomic_load_explicit(&r->tail, memory_order_acquire) == OFFERS_RING) {
		atomic_fetch_add_explicit(&r->missed, 1, memory_order_relaxed);
		if (o->fresh)
			atomic_store(&r->lost, true);
	} else {
		r->offer[head % OFFERS_RING] = *o;
		atomic_store_explicit(&r->head, head + 1, memory_order_release);
	}
	/* A full barrier: either it sees what was put here, or this sees that it rests. */
	return !atomic_exchange(&r->called, true);
}

bool offers_pop(struct offer_ring *r, struct offer *o)
{
	uint32_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);

	if (tail == atomic_load_explicit(&r->head, memory_order_acquire))
		return false;
	*o = r->offer[tail % OFFERS_RING];
	atomic_store_explicit(&r->tail, tail + 1, memory_order_release);
	return true;
}

bool offers_rest(struct offer_ring *r)
{
	atomic_exchange(&r->called, false);
	if (atomic_load(&r->head) == atomic_load(&r->tail) && !atomic_load(&r->lost))
		return true;
	atomic_store(&r->called, true);
	return false;
}

/* ---- the table ---- */

/* A place that is in use, perhaps by one that has ended, is in its source's list. */
struct place {
	struct offer_held h;
	uint32_t round;      /* of the table; another one: it is empty */
	uint32_t prev, next; /* in the list: number of the place and 1; 0: none */
};

struct offers_table {
	struct place *place; /* from mmap: not there before it is used */
	struct siphash_key hash;
	uint32_t round, count, swept;
	uint32_t list[LISTS]; /* the first place, as in struct place */
};

int offers_table_new(struct offers_table **out)
{
	struct offers_table *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	if (getrandom(&t->hash, sizeof(t->hash), 0) != (ssize_t)sizeof(t->hash)) {
		free(t);
		return -EIO;
	}
	t->place = mmap(NULL, PLACES * sizeof(*t->place), PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (t->place == MAP_FAILED) {
		free(t);
		return -ENOMEM;
	}
	t->round = 1;
	*out = t;
	return 0;
}

void offers_table_free(struct offers_table *t)
{
	if (t)
		munmap(t->place, PLACES * sizeof(*t->place));
	free(t);
}

static bool live(const struct offers_table *t, const struct place *p, uint64_t now_ns)
{
	return p->round == t->round && p->h.until_ns > now_ns;
}

static bool same(const struct offer_key *a, const struct offer_key *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

static struct place *places(const struct offers_table *t, const struct offer_key *k)
{
	return &t->place[siphash13(&t->hash, k, sizeof(*k)) % (PLACES / WAYS) * WAYS];
}

static uint32_t *list_of(struct offers_table *t, const uint8_t source[16])
{
	return &t->list[siphash13(&t->hash, source, 16) % LISTS];
}

static void put_in_list(struct offers_table *t, struct place *p)
{
	uint32_t *first = list_of(t, p->h.k.source), n = (uint32_t)(p - t->place) + 1;

	p->prev = 0;
	p->next = *first;
	if (*first)
		t->place[*first - 1].prev = n;
	*first = n;
}

static void take_from_list(struct offers_table *t, struct place *p)
{
	if (p->prev)
		t->place[p->prev - 1].next = p->next;
	else
		*list_of(t, p->h.k.source) = p->next;
	if (p->next)
		t->place[p->next - 1].prev = p->prev;
}

bool offers_has(const struct offers_table *t, const struct offer_key *k, uint64_t now_ns)
{
	const struct place *p = places(t, k);

	for (unsigned i = 0; i < WAYS; i++)
		if (live(t, &p[i], now_ns) && same(&p[i].h.k, k))
			return true;
	return false;
}

/* Its own place, else one that is free; NULL: all are taken. */
static struct place *place_for(const struct offers_table *t, const struct offer_key *k,
			       uint64_t now_ns)
{
	struct place *p = places(t, k), *free_one = NULL;

	for (unsigned i = 0; i < WAYS; i++, p++) {
		if (!live(t, p, now_ns))
			free_one = p;
		else if (same(&p->h.k, k))
			return p;
	}
	return free_one;
}

bool offers_add(struct offers_table *t, const struct offer_held *h, uint64_t now_ns)
{
	struct place *p = place_for(t, &h->k, now_ns);
	bool counted = p && p->round == t->round; /* it has ended, or is replaced */

	if (!p || (!counted && t->count >= OFFERS_MAX))
		return false;
	if (counted)
		take_from_list(t, p);
	t->count += !counted;
	p->h = *h;
	p->round = t->round;
	put_in_list(t, p);
	return true;
}

void offers_clear(struct offers_table *t)
{
	if (!++t->round) { /* once round: what is as old as that is gone for good */
		memset(t->place, 0, PLACES * sizeof(*t->place));
		t->round = 1;
	}
	t->count = 0;
	memset(t->list, 0, sizeof(t->list));
}

uint32_t offers_count(const struct offers_table *t)
{
	return t->count;
}

bool offers_next(const struct offers_table *t, const uint8_t source[16], uint32_t *cursor,
		 uint64_t now_ns, struct offer_held *h)
{
	uint32_t n = *cursor ? t->place[*cursor - 1].next
			     : t->list[siphash13(&t->hash, source, 16) % LISTS];

	for (; n; n = t->place[n - 1].next) {
		const struct place *p = &t->place[n - 1];

		if (!live(t, p, now_ns) || memcmp(p->h.k.source, source, 16) != 0)
			continue;
		*cursor = n;
		*h = p->h;
		return true;
	}
	return false;
}

void offers_sweep(struct offers_table *t, uint64_t now_ns)
{
	uint32_t end = (t->swept + 1) * (PLACES / OFFERS_SWEEPS);

	for (uint32_t i = t->swept * (PLACES / OFFERS_SWEEPS); i < end; i++) {
		struct place *p = &t->place[i];

		if (p->round != t->round || p->h.until_ns > now_ns)
			continue;
		take_from_list(t, p);
		p->round = 0;
		t->count--;
	}
	t->swept = (t->swept + 1) % OFFERS_SWEEPS;
}
