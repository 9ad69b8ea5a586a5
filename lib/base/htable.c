/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Intrusive chained hash table of fixed size: see htable.h. */
#include "base/htable.h"

#include <errno.h>
#include <stdlib.h>

#define HTABLE_MAX (1u << 31)

int htable_init(struct htable *t, uint32_t expected)
{
	uint32_t n = 1;
	struct hnode **bucket;

	if (expected == 0 || expected > HTABLE_MAX)
		return -EINVAL;
	while (n < expected)
		n <<= 1;
	bucket = calloc(n, sizeof(*bucket));
	if (!bucket)
		return -ENOMEM;
	*t = (struct htable){.bucket = bucket, .mask = n - 1};
	return 0;
}

void htable_deinit(struct htable *t)
{
	free(t->bucket);
	*t = (struct htable){0};
}

void htable_add(struct htable *t, struct hnode *n, uint32_t hash)
{
	struct hnode **head = &t->bucket[hash & t->mask];

	n->hash = hash;
	n->next = *head;
	*head = n;
	t->used++;
}

void htable_del(struct htable *t, struct hnode *n)
{
	struct hnode **p = &t->bucket[n->hash & t->mask];

	while (*p != n)
		p = &(*p)->next;
	*p = n->next;
	n->next = NULL;
	t->used--;
}
