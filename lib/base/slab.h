/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fixed pool of equally sized objects with stable addresses and 32-bit indexes.
 *
 * All address space is reserved at init; the kernel hands out pages only when an object
 * is first used, since objects are taken from the lowest never-used index and freed ones
 * are reused last-in first-out. Getting and putting never allocates. Exhaustion is a
 * return value (NULL). Not thread safe: a slab belongs to one thread.
 */
#ifndef BASE_SLAB_H
#define BASE_SLAB_H

#include <stddef.h>
#include <stdint.h>

#define SLAB_NONE UINT32_MAX
#define SLAB_LINE 64u /* of the cache */

struct slab {
	unsigned char *mem;
	size_t size;        /* of one object, rounded up to 8 */
	uint32_t capacity;  /* objects */
	uint32_t fresh;     /* lowest index that was never handed out */
	uint32_t free_head; /* LIFO of freed objects, SLAB_NONE if empty */
	uint32_t used;      /* live objects */
	uint32_t peak;      /* highest `used` so far */
};

/* 0, -EINVAL (zero size, capacity 0 or >= SLAB_NONE) or -ENOMEM. size >= 4. */
int slab_init(struct slab *s, size_t size, uint32_t capacity);
/* Releases the memory; safe on a zeroed struct, idempotent. */
void slab_deinit(struct slab *s);
/*
 * A free object or NULL. Its bytes are zero the first time an index is handed out and
 * otherwise whatever the last user left, but for the first 4 bytes, which the slab uses while the
 * object is free: an owner may keep a generation counter at offset >= 4 across reuse.
 */
void *slab_get(struct slab *s);
/* The object must be live. */
void slab_put(struct slab *s, void *obj);
uint32_t slab_index(const struct slab *s, const void *obj);

/* Brings an object into the cache; a hint, whatever the index. */
static inline void slab_prefetch(const struct slab *s, uint32_t idx)
{
	const unsigned char *p = s->mem + (size_t)idx * s->size;

	if (idx >= s->fresh)
		return;
	for (size_t i = 0; i < s->size; i += SLAB_LINE)
		__builtin_prefetch(p + i, 1);
	__builtin_prefetch(p + s->size - 1, 1);
}

/* Object at index, also if free; NULL if the index was never handed out. */
static inline void *slab_at(const struct slab *s, uint32_t idx)
{
	return idx < s->fresh ? s->mem + (size_t)idx * s->size : NULL;
}

#endif
