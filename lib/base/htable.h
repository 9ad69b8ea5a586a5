/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Intrusive chained hash table of fixed size. The owner embeds a struct hnode, computes
 * the (keyed) hash and compares keys itself, so that no callback sits on the packet path:
 *
 *	for (struct hnode *n = htable_first(&t, hash); n; n = htable_next(n, hash)) ...
 *
 * Buckets are allocated once. Not thread safe.
 */
#ifndef BASE_HTABLE_H
#define BASE_HTABLE_H

#include <stdint.h>

struct hnode {
	struct hnode *next;
	uint32_t hash;
};

struct htable {
	struct hnode **bucket;
	uint32_t mask; /* number of buckets - 1 */
	uint32_t used;
};

/* At least `expected` buckets, rounded up to a power of two. 0 or -ENOMEM / -EINVAL. */
int htable_init(struct htable *t, uint32_t expected);
/* Frees the buckets, not the entries. Safe on a zeroed struct, idempotent. */
void htable_deinit(struct htable *t);
void htable_add(struct htable *t, struct hnode *n, uint32_t hash);
/* The node must be in the table. */
void htable_del(struct htable *t, struct hnode *n);

static inline struct hnode *htable_match(struct hnode *n, uint32_t hash)
{
	while (n && n->hash != hash)
		n = n->next;
	return n;
}

static inline struct hnode *htable_first(const struct htable *t, uint32_t hash)
{
	return htable_match(t->bucket[hash & t->mask], hash);
}

static inline struct hnode *htable_next(const struct hnode *n, uint32_t hash)
{
	return htable_match(n->next, hash);
}

#endif
