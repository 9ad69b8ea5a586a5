/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Policies in use. See snapshot.h. */
#include "daemon/snapshot.h"
#include "io/policyfile.h"
#include <errno.h>
#include <stdlib.h>

static int attach(struct snapshot **out, void *image, size_t size, uint32_t generation,
		  unsigned workers)
{
	struct snapshot *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	r = classify_attach(&s->classifier, image, size);
	if (r) {
		free(s);
		return r;
	}
	s->rules = classify_rules(s->classifier);
	s->hits = calloc((size_t)workers * s->rules + 1, sizeof(*s->hits));
	if (!s->hits) {
		classify_detach(s->classifier);
		free(s);
		return -ENOMEM;
	}
	s->image = image;
	s->size = size;
	s->generation = generation;
	s->workers = workers;
	*out = s;
	return 0;
}

int snapshot_from_memory(struct snapshot **out, void *image, size_t size, uint32_t generation,
			 unsigned workers)
{
	return attach(out, image, size, generation, workers);
}

int snapshot_from_fd(struct snapshot **out, int fd, size_t size, uint32_t generation,
		     unsigned workers)
{
	const void *map;
	int r = policyfile_image_map(fd, size, &map);

	if (r)
		return r;
	r = attach(out, (void *)(uintptr_t)map, size, generation, workers);
	if (r)
		policyfile_image_unmap(map, size);
	else
		(*out)->mapped = 1;
	return r;
}

void snapshot_free(struct snapshot *s)
{
	if (!s)
		return;
	classify_detach(s->classifier);
	if (s->mapped)
		policyfile_image_unmap(s->image, s->size);
	else
		free(s->image);
	free(s->hits);
	free(s);
}

uint64_t snapshot_hits(const struct snapshot *s, uint32_t rule)
{
	uint64_t sum = 0;

	for (unsigned w = 0; w < s->workers && rule < s->rules; w++)
		sum += atomic_load_explicit(&s->hits[(size_t)w * s->rules + rule],
					    memory_order_relaxed);
	return sum;
}
