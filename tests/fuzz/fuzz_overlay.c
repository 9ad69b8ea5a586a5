/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What one authority process leaves to the next, from any bytes: an overlay, a journal, the sources of a policy; and
 * a memory file that holds them. The first byte says which.
 */
#include "daemon/journal.h"
#include "io/policyfile.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Whatever is taken comes out as it went in, and can be put over a policy. */
static void overlay(const void *data, size_t size)
{
	struct overlay *o, *clone;
	struct overlay_plan plan;
	char *flat;
	size_t len;

	if (overlay_unflatten(&o, data, size) < 0)
		return;
	if (overlay_flatten(o, &flat, &len) < 0 || len != size || memcmp(flat, data, size) != 0)
		abort();
	free(flat);
	clone = overlay_clone(o);
	if (!clone || overlay_end_session(clone, OVERLAY_ANY_SESSION) < 0 ||
	    overlay_expire(clone, UINT64_MAX) < 0 || overlay_next_end(clone) ||
	    overlay_plan(clone, &plan) < 0)
		abort();
	overlay_plan_deinit(&plan);
	if (overlay_settle(clone, NULL) < 0)
		abort();
	overlay_put(clone);
	overlay_put(o);
}

static void journal(const void *data, size_t size)
{
	struct journal *j;
	size_t len, n = 0;
	char *flat;

	if (journal_new(&j) < 0)
		abort();
	journal_unflatten(j, data, size);
	for (uint64_t i = journal_count(j); journal_at(j, i); i--)
		n += strlen(journal_at(j, i)->what) + strlen(journal_at(j, i)->why);
	if (journal_flatten(j, &flat, &len) < 0 || len > size || n > size)
		abort();
	free(flat);
	journal_free(j);
}

static void sources(const void *data, size_t size)
{
	struct policyfile_sources s = {.len = size};
	struct policy *p = NULL;
	struct policy_diag diag;

	if (!policyfile_sources_valid(data, size))
		return;
	s.data = malloc(size + 1);
	if (!s.data)
		abort();
	memcpy(s.data, data, size);
	if (policyfile_load_again(&s, NULL, &p, &diag) == 0)
		policy_free(p);
	policy_diag_deinit(&diag);
	policyfile_sources_deinit(&s);
}

static void memory_file(const uint8_t *data, size_t size)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);
	uint64_t image = size ? data[0] : 0;
	char *part;
	size_t len;

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	for (int i = 0; i < POLICYFILE_PARTS; i++) {
		if (policyfile_part(fd, image, (enum policyfile_part)i, &part, &len) < 0)
			continue;
		if (!len || len > size || part[len])
			abort();
		free(part);
	}
	close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	switch (data[0] % 4) {
	case 0:
		overlay(data + 1, size - 1);
		break;
	case 1:
		journal(data + 1, size - 1);
		break;
	case 2:
		sources(data + 1, size - 1);
		break;
	case 3:
		memory_file(data + 1, size - 1);
		break;
	}
	return 0;
}
