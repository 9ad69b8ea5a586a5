/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a policy asks of the host while it is read, besides its files: accounts, dates, the time. */
#ifndef IO_POLICYLOOKUP_H
#define IO_POLICYLOOKUP_H

#include "core/policy.h"

/* Fills in what the loader looks up; not read, glob and ctx, which nothing here uses. */
void policylookup_init(struct policy_loader *loader);
/* Its `id`, as of now; ctx is not used. */
int policylookup_id(void *ctx, bool group, const char *name, uint32_t *out);

#endif
