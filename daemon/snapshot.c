/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Policies in use. See snapshot.h. */
#include "daemon/snapshot.h"
#include "io/policyfile.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

static int attach(struct snapshot *s, unsigned workers)
{
	int r = classify_attach(&s->classifier, s->image, s->size);

	if (r)
		return r;
	s->rules = classify_rules(s->classifier);
	s->workers = workers;
	s->hits = calloc((size_t)workers * s->rules + 1, sizeof(*s->hits));
	return s->hits ? 0 : -ENOMEM;
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
	classify_detach(s->classifier);
	policyfile_image_unmap(s->image, s->size);
	if (s->fd >= 0)
		close(s->fd);
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
