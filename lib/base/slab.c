/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Fixed pool of objects with stable addresses: see slab.h. */
#include "base/slab.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SLAB_ALIGN 8u

int slab_init(struct slab *s, size_t size, uint32_t capacity)
{
	unsigned char *mem;

	if (size < sizeof(uint32_t) || size > SIZE_MAX - SLAB_ALIGN)
		return -EINVAL;
	if (capacity == 0 || capacity >= SLAB_NONE)
		return -EINVAL;
	size = (size + SLAB_ALIGN - 1) & ~(size_t)(SLAB_ALIGN - 1);
	/* Of this size calloc maps zero pages and touches none of them. */
	mem = calloc(capacity, size);
	if (!mem)
		return -ENOMEM;
	*s = (struct slab){
		.mem = mem,
		.size = size,
		.capacity = capacity,
		.free_head = SLAB_NONE,
	};
	return 0;
}

void slab_deinit(struct slab *s)
{
	free(s->mem);
	*s = (struct slab){.free_head = SLAB_NONE};
}

/* The link of the free list lives in the first bytes of the free object. */
static void *slab_reuse(struct slab *s)
{
	void *obj = s->mem + (size_t)s->free_head * s->size;

	memcpy(&s->free_head, obj, sizeof(s->free_head));
	if (s->free_head != SLAB_NONE) /* it comes while this one is filled */
		slab_prefetch(s, s->free_head);
	return obj;
}

void *slab_get(struct slab *s)
{
	void *obj;

	if (s->used >= s->capacity)
		return NULL;
	if (s->free_head != SLAB_NONE)
		obj = slab_reuse(s);
	else
		obj = s->mem + (size_t)s->fresh++ * s->size;
	if (++s->used > s->peak)
		s->peak = s->used;
	return obj;
}

void slab_put(struct slab *s, void *obj)
{
	uint32_t idx = slab_index(s, obj);

	memcpy(obj, &s->free_head, sizeof(s->free_head));
	s->free_head = idx;
	s->used--;
}

uint32_t slab_index(const struct slab *s, const void *obj)
{
	return (uint32_t)((size_t)((const unsigned char *)obj - s->mem) / s->size);
}
