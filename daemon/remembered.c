/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See remembered.h. */
#include "daemon/remembered.h"
#include "base/siphash.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#define KEY_WORDS   (sizeof(struct remembered_key) / 8)
#define VALUE_WORDS (sizeof(struct remembered_value) / 8)
#define WORDS       (KEY_WORDS + VALUE_WORDS)
#define ALL         (REMEMBERED_MAX + REMEMBERED_ENDING)
#define SCOPES      3u
#define MARKS       1024u /* of each scope, one bit each */
#define TRIES       100u  /* a write takes less than one; a writer may have lost its CPU */

_Static_assert(sizeof(struct remembered_key) % 8 == 0, "a key is whole words");
_Static_assert(sizeof(struct remembered_value) % 8 == 0, "a value is whole words");

struct entry {
	_Atomic uint32_t seq;      /* odd: it is being written */
	_Atomic uint64_t w[WORDS]; /* key, value; until_ns 0: there is none */
};

struct remembered {
	struct entry *entry; /* from mmap: zero, and not there before it is used */
	struct siphash_key hash;
	_Atomic uint64_t next_end;
	_Atomic bool ends_lost;
	_Atomic uint64_t
		mark[SCOPES][MARKS / 64]; /* by the rule's key: something was remembered of it */
	struct remembered_stats stats;
};

struct content {
	struct remembered_key k;
	struct remembered_value v;
};

int remembered_new(struct remembered **out)
{
	struct remembered *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	if (getrandom(&t->hash, sizeof(t->hash), 0) != (ssize_t)sizeof(t->hash)) {
		free(t);
		return -EIO;
	}
	t->entry = mmap(NULL, ALL * sizeof(*t->entry), PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (t->entry == MAP_FAILED) {
		free(t);
		return -ENOMEM;
	}
	atomic_store(&t->next_end, UINT64_MAX);
	*out = t;
	return 0;
}

void remembered_free(struct remembered *t)
{
	if (t)
		munmap(t->entry, ALL * sizeof(*t->entry));
	free(t);
}

const struct remembered_stats *remembered_stats(const struct remembered *t)
{
	return &t->stats;
}

struct remembered_key remembered_key_of(uint64_t rule, uint8_t scope, uint8_t family,
					uint8_t protocol, const uint8_t source[16],
					uint16_t source_port, const uint8_t dest[16],
					uint16_t dest_port)
{
	struct remembered_key k = {.rule = rule, .family = family, .scope = scope};

	memcpy(k.source, source, sizeof(k.source));
	if (scope == CLASSIFY_SCOPE_SOURCE)
		return k;
	k.protocol = protocol;
	memcpy(k.dest, dest, sizeof(k.dest));
	k.dest_port = dest_port;
	if (scope == CLASSIFY_SCOPE_FLOW)
		k.source_port = source_port;
	return k;
}

/* ---- one entry ---- */

/* False: it is being written, or was meanwhile. */
static bool entry_read(const struct entry *e, struct content *c)
{
	uint32_t seq = atomic_load_explicit(&e->seq, memory_order_acquire);
	uint64_t w[WORDS];

	if (seq & 1)
		return false;
	for (unsigned i = 0; i < WORDS; i++)
		w[i] = atomic_load_explicit(&e->w[i], memory_order_relaxed);
	atomic_thread_fence(memory_order_acquire);
	if (atomic_load_explicit(&e->seq, memory_order_relaxed) != seq)
		return false;
	memcpy(&c->k, w, sizeof(c->k));
	memcpy(&c->v, w + KEY_WORDS, sizeof(c->v));
	return true;
}

/* Take the entry as it was read; false: somebody else has it, or changed it. */
static bool entry_take(struct entry *e, uint32_t seq)
{
	return !(seq & 1) &&
	       atomic_compare_exchange_strong_explicit(&e->seq, &seq, seq + 1, memory_order_acquire,
						       memory_order_relaxed);
}

static void entry_write(struct entry *e, const struct content *c)
{
	uint64_t w[WORDS];

	memcpy(w, &c->k, sizeof(c->k));
	memcpy(w + KEY_WORDS, &c->v, sizeof(c->v));
	atomic_thread_fence(memory_order_release);
	for (unsigned i = 0; i < WORDS; i++)
		atomic_store_explicit(&e->w[i], w[i], memory_order_relaxed);
	atomic_fetch_add_explicit(&e->seq, 1, memory_order_release);
}

static struct entry *places(const struct remembered *t, const struct remembered_key *k)
{
	uint64_t h = siphash13(&t->hash, k, sizeof(*k));

	return &t->entry[h % (REMEMBERED_MAX / REMEMBERED_WAYS) * REMEMBERED_WAYS];
}

static bool same(const struct remembered_key *a, const struct remembered_key *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

/* ---- all of them ---- */

bool remembered_find(const struct remembered *t, const struct remembered_key *k, uint64_t now_ns,
		     struct remembered_value *v)
{
	const struct entry *e = places(t, k);
	struct content c;

	for (unsigned i = 0; i < REMEMBERED_WAYS; i++, e++) {
		if (!entry_read(e, &c) || c.v.until_ns <= now_ns || !same(&c.k, k))
			continue;
		*v = c.v;
		return true;
	}
	return false;
}

void remembered_used(struct remembered *t, const struct remembered_value *v)
{
	atomic_fetch_add_explicit(v->verdict == PEND_VERDICT_PERMIT ? &t->stats.permits
								    : &t->stats.blocks,
				  1, memory_order_relaxed);
}

static bool marked(const struct remembered *t, uint8_t scope, uint64_t rule)
{
	return atomic_load_explicit(&t->mark[scope][rule % MARKS / 64], memory_order_acquire) >>
		       rule % 64 &
	       1;
}

static void mark(struct remembered *t, const struct remembered_key *k)
{
	if (!marked(t, k->scope, k->rule))
		atomic_fetch_or_explicit(&t->mark[k->scope][k->rule % MARKS / 64],
					 UINT64_C(1) << k->rule % 64, memory_order_release);
}

bool remembered_about(const struct remembered *t, uint64_t rule, const struct remembered_flow *f,
		      uint64_t now_ns, struct remembered_value *v)
{
	static const uint8_t narrowest_first[SCOPES] = {CLASSIFY_SCOPE_FLOW, CLASSIFY_SCOPE_SERVICE,
							CLASSIFY_SCOPE_SOURCE};

	for (unsigned i = 0; i < SCOPES; i++) {
		struct remembered_key k;

		if (!marked(t, narrowest_first[i], rule))
			continue;
		k = remembered_key_of(rule, narrowest_first[i], f->family, f->protocol, f->source,
				      f->source_port, f->dest, f->dest_port);
		if (remembered_find(t, &k, now_ns, v))
			return true;
	}
	return false;
}

bool remembered_about_all(const struct remembered *t, uint64_t rule,
			  const struct remembered_flow *f, uint64_t now_ns,
			  struct remembered_value *v)
{
	return !marked(t, CLASSIFY_SCOPE_FLOW, rule) && remembered_about(t, rule, f, now_ns, v);
}

static void end_comes(struct remembered *t, uint64_t until_ns)
{
	uint64_t next = atomic_load(&t->next_end);

	while (until_ns < next && !atomic_compare_exchange_weak(&t->next_end, &next, until_ns))
		;
}

/* Its live flows are still to be looked for, and another has its place. */
static void end_is_due(struct remembered *t, const struct content *was, uint64_t now_ns)
{
	struct content c = *was, other;
	uint64_t until = was->v.until_ns < now_ns ? was->v.until_ns : now_ns;

	c.v.until_ns = until;
	for (struct entry *e = t->entry + REMEMBERED_MAX; e < t->entry + ALL; e++) {
		uint32_t seq = atomic_load_explicit(&e->seq, memory_order_acquire);

		if (!entry_read(e, &other) || other.v.until_ns || !entry_take(e, seq))
			continue;
		entry_write(e, &c);
		end_comes(t, until);
		return;
	}
	atomic_store(&t->ends_lost, true);
	end_comes(t, until);
}

/* A place, and what is there. */
struct choice {
	struct entry *e;
	uint32_t seq;
	struct content was;
};

/*
 * The place for it: its own, else one that has ended, else the one that ends first. False: others are writing
 * there; unless `patient` their
 * places are passed over.
 */
static bool choose(struct entry *e, const struct remembered_key *k, bool patient,
		   struct choice *best)
{
	best->e = NULL;
	for (unsigned i = 0; i < REMEMBERED_WAYS; i++, e++) {
		struct choice at = {.e = e,
				    .seq = atomic_load_explicit(&e->seq, memory_order_acquire)};

		if (!entry_read(e, &at.was)) {
			if (patient)
				return false;
			continue;
		}
		if (at.was.v.until_ns && same(&at.was.k, k)) {
			*best = at;
			return true;
		}
		if (!best->e || at.was.v.until_ns < best->was.v.until_ns)
			*best = at;
	}
	return best->e != NULL;
}

static bool write_to(struct remembered *t, const struct choice *at, const struct content *c,
		     uint64_t now_ns, struct remembered_key *evicted)
{
	const struct content *was = &at->was;
	bool again = was->v.until_ns && same(&was->k, &c->k);

	if (!entry_take(at->e, at->seq))
		return false;
	entry_write(at->e, c);
	mark(t, &c->k);
	if (!again && was->v.until_ns > now_ns) {
		atomic_fetch_add_explicit(&t->stats.evicted, 1, memory_order_relaxed);
		*evicted = was->k;
	}
	atomic_fetch_add_explicit(&t->stats.kept, 1, memory_order_relaxed);
	if (c->v.end)
		end_comes(t, c->v.until_ns);
	if (was->v.until_ns && was->v.end && !(again && c->v.end))
		end_is_due(t, was, now_ns);
	return true;
}

bool remembered_put(struct remembered *t, const struct remembered_key *k,
		    const struct remembered_value *v, uint64_t now_ns,
		    struct remembered_key *evicted)
{
	const struct content c = {*k, *v};
	struct choice at;

	evicted->rule = 0;
	if (k->scope >= SCOPES)
		return false;
	for (unsigned i = 1; i <= TRIES; i++)
		if (choose(places(t, k), k, i < TRIES, &at) &&
		    write_to(t, &at, &c, now_ns, evicted))
			return true;
	return false;
}

bool remembered_add(struct remembered *t, const struct remembered_key *k,
		    const struct remembered_value *v, uint64_t now_ns)
{
	struct remembered_key evicted;

	return remembered_put(t, k, v, now_ns, &evicted);
}

bool remembered_next(const struct remembered *t, uint32_t *cursor, struct remembered_key *k,
		     struct remembered_value *v)
{
	struct content c;

	while (*cursor < ALL) {
		const struct entry *e = &t->entry[(*cursor)++];

		/* pages that were never used are not made by looking at them: they are the zero page */
		if (!entry_read(e, &c) || !c.v.until_ns)
			continue;
		*k = c.k;
		*v = c.v;
		return true;
	}
	return false;
}

bool remembered_remove(struct remembered *t, uint32_t cursor, const struct remembered_key *k)
{
	struct entry *e = cursor && cursor <= ALL ? &t->entry[cursor - 1] : NULL;
	uint32_t seq = e ? atomic_load_explicit(&e->seq, memory_order_acquire) : 1;
	struct content c, none;

	memset(&none, 0, sizeof(none));
	if (!e || !entry_read(e, &c) || !c.v.until_ns || !same(&c.k, k) || !entry_take(e, seq))
		return false;
	entry_write(e, &none);
	return true;
}

void remembered_forgot(struct remembered *t, uint64_t n)
{
	atomic_fetch_add_explicit(&t->stats.forgotten, n, memory_order_relaxed);
}

uint64_t remembered_next_end(const struct remembered *t)
{
	return atomic_load_explicit(&t->next_end, memory_order_relaxed);
}

bool remembered_ends_lost(struct remembered *t)
{
	return atomic_exchange(&t->ends_lost, false);
}

void remembered_seek_end(struct remembered *t)
{
	struct remembered_value v;
	struct remembered_key k;
	uint32_t cursor = 0;

	/* Forget first: what is added meanwhile says so itself. */
	atomic_store(&t->next_end, UINT64_MAX);
	while (remembered_next(t, &cursor, &k, &v))
		if (v.end)
			end_comes(t, v.until_ns);
}
