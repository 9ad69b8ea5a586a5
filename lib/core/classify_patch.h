/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Changing the sets of a compiled policy without compiling it anew: addresses are added to named
 * sets and removed from them, in time that depends on how much is changed and was changed before,
 * not on how large the policy is. The result is a classifier of its own, immutable as any; it shares the image and the
 * index with the one it was made from.
 */
#ifndef CORE_CLASSIFY_PATCH_H
#define CORE_CLASSIFY_PATCH_H

#include "core/classify.h"

/* Pointer-free, so that it travels between processes as it is. */
struct classify_edit {
	uint32_t set;   /* its index; one with a name */
	uint8_t family; /* 4 or 6 */
	uint8_t remove; /* 0: add; 1: remove */
	uint16_t pad;
	uint8_t lo[16], hi[16]; /* both belong to it; IPv4 in the first four bytes */
};

/* Above this, over all edits since the image was made, it is time to compile anew. */
#define CLASSIFY_PATCH_MAX 65536u

/*
 * `*out` is `c` with the edits applied in order, the last word on an address being the one that
 * counts. `c` itself does not change, and may be detached before or after. Adding what is there, or removing what
 * is not, is no error. 0; -EINVAL: no such named set, or no range; -E2BIG: too much was changed;
 * -ENOMEM.
 */
int classify_patch(struct classifier **out, struct classifier *c, const struct classify_edit *edit,
		   size_t n);
/* Is the address in the set? */
bool classify_set_has(const struct classifier *c, uint32_t set, uint8_t family,
		      const uint8_t addr[16]);
/*
 * Calls `fn` for each interval of the set, IPv4 first, in order, neither overlapping nor adjacent;
 * ends early when it says false.
 */
void classify_set_each(const struct classifier *c, uint32_t set,
		       bool (*fn)(void *ctx, uint8_t family, const uint8_t lo[16],
				  const uint8_t hi[16]),
		       void *ctx);

#endif
