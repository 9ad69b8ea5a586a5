/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a patched classifier looks up before it asks the index: which sets are not as compiled, and
 * which addresses therefore have another class. Immutable once made (classify_patch.c). Patches share
 * what has not changed from one to the next: hence the counts of users.
 */
#ifndef CORE_CLASSIFY_PATCHED_H
#define CORE_CLASSIFY_PATCHED_H

#include "core/classify_index.h"
#include "core/rangemap.h"
#include <stdatomic.h>

/* Where a set is not as compiled, for one family: 1, it is there; 0, it is not. */
struct patch_set {
	atomic_uint users;
	struct rangemap map;
};

/* One row, and those that were made before it and are kept as long as it. */
struct patch_row {
	atomic_uint users;
	struct patch_row *before;
	uint64_t bits[];
};

/* The classes of one dimension that the index does not have. */
struct patch_classes {
	atomic_uint users;
	uint32_t n, cap;
	uint64_t (*name)[2];
	const uint64_t **row;
	struct index_slot *slot;
	uint32_t slots;
	struct patch_row *last;
};

/* Addresses whose class is not the one of the index. */
struct patch_part {
	atomic_uint users;
	struct rangemap map;
	struct patch_classes *classes;
};

#define PATCH_PARTS (DIM_TO6 + 1) /* the dimensions of addresses are the first */

struct classify_patch {
	uint32_t n;
	uint64_t *key; /* sorted: set * 2, and 1 for IPv6 */
	struct patch_set **set;
	struct patch_part *part[PATCH_PARTS]; /* NULL: as compiled */
	size_t ranges;                        /* of all sets */
};

/* False: as compiled. */
bool classify_patched_class(const struct classify_patch *p, enum index_dim d, pos_t addr,
			    uint32_t *class);
/* The class's row; from 0, its number being that behind those of the index. */
const uint64_t *classify_patched_row(const struct classify_patch *p, enum index_dim d,
				     uint32_t class);
/* NULL: the set is as compiled. */
const struct rangemap *classify_patched_map(const struct classify_patch *p, uint32_t set, bool v6);
/* False: as compiled. */
bool classify_patched_set(const struct classify_patch *p, uint32_t set, uint8_t family,
			  uint32_t addr4, const uint8_t addr[16], bool *in);
/*
 * A stretch of what is in the set, but for the sets that it includes: the first at `at` or behind
 * it, from `at` on. False: nothing is.
 */
bool classify_set_next(const struct classifier *c, uint32_t set, bool v6, pos_t at, pos_t *lo,
		       pos_t *hi);

/* As compiled, are all of [lo, hi] in the set, or none? */
bool classify_set_as_compiled(const struct classifier *c, uint32_t set, bool v6, pos_t lo, pos_t hi,
			      bool in);

void classify_patch_free(struct classify_patch *p); /* NULL is allowed */
void patch_set_drop(struct patch_set *s);
void patch_classes_drop(struct patch_classes *c);
void patch_part_drop(struct patch_part *p);

static inline pos_t pos_load6(const uint8_t a[16])
{
	pos_t v = 0;

	for (int i = 0; i < 16; i++)
		v = v << 8 | a[i];
	return v;
}

static inline pos_t pos_load(uint8_t family, const uint8_t a[16])
{
	if (family == 6)
		return pos_load6(a);
	return (uint32_t)a[0] << 24 | (uint32_t)a[1] << 16 | (uint32_t)a[2] << 8 | a[3];
}

#endif
