/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Changing the sets of a compiled policy without compiling it anew: addresses are added to named
 * sets and removed from them, in time that depends on how much is changed and was changed before,
 * not on how large the policy is. The result is a classifier of its own, immutable as any; it shares the image and the
 * index with the one it was made from, so that the image must outlive both.
 *
 * A set that contains another (`@other` in it) goes on to contain whatever that one has: an edit of the
 * other is felt in it at once. An edit is of what stands in the set itself: to remove from a set what it
 * has by another leaves that where it is, and classify_set_has() says so.
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

/*
 * Above this, in ranges that differ from what was compiled, it is time to compile anew. Edits that cancel
 * each other out leave none.
 */
#define CLASSIFY_PATCH_MAX 65536u

/*
 * `*out` is `c` with the edits applied in order, the last word on an address being the one that
 * counts. `c` itself does not change, and may be detached before or after. Adding what is there, or removing what
 * is not, is no error. 0; -EINVAL: no such named set, or no range; -E2BIG: too much was changed, or
 * a range was edited that too many others lie in; -ENOMEM. Any thread may call it.
 */
int classify_patch(struct classifier **out, struct classifier *c, const struct classify_edit *edit,
		   size_t n);
/* Is the address in the set, or in one that it contains? */
bool classify_set_has(const struct classifier *c, uint32_t set, uint8_t family,
		      const uint8_t addr[16]);
/* How much of a range stands in the set itself, the sets in it aside. Of no range, and no set: none. */
enum classify_part { CLASSIFY_PART_NONE, CLASSIFY_PART_SOME, CLASSIFY_PART_ALL };
enum classify_part classify_set_part(const struct classifier *c, uint32_t set, uint8_t family,
				     const uint8_t lo[16], const uint8_t hi[16]);
/*
 * Calls `fn` for each interval of the set and of those in it, IPv4 first, in order, neither overlapping nor adjacent;
 * ends early when it says false.
 */
void classify_set_each(const struct classifier *c, uint32_t set,
		       bool (*fn)(void *ctx, uint8_t family, const uint8_t lo[16],
				  const uint8_t hi[16]),
		       void *ctx);
/* Without the sets in it: what edits are of. */
void classify_set_own(const struct classifier *c, uint32_t set,
		      bool (*fn)(void *ctx, uint8_t family, const uint8_t lo[16],
				 const uint8_t hi[16]),
		      void *ctx);

#endif
