/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Numbers by address: sorted ranges that do not overlap, each with a value. Where two meet that
 * have the same value they are one. Addresses are positions, IPv4 ones in 32 bits, which is all they take.
 */
#ifndef CORE_RANGEMAP_H
#define CORE_RANGEMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef unsigned __int128 pos_t;

struct rangemap {
	bool v6;
	size_t n, cap;
	void *lo, *hi; /* uint32_t, or pos_t when v6 */
	uint32_t *value;
};

static inline pos_t rangemap_max(const struct rangemap *m)
{
	return m->v6 ? ~(pos_t)0 : UINT32_MAX;
}

static inline pos_t rangemap_lo(const struct rangemap *m, size_t i)
{
	return m->v6 ? ((const pos_t *)m->lo)[i] : ((const uint32_t *)m->lo)[i];
}

static inline pos_t rangemap_hi(const struct rangemap *m, size_t i)
{
	return m->v6 ? ((const pos_t *)m->hi)[i] : ((const uint32_t *)m->hi)[i];
}

/* The first range that ends at `at` or behind it; m->n: none. */
size_t rangemap_from(const struct rangemap *m, pos_t at);
/* False: no value there. */
bool rangemap_get(const struct rangemap *m, pos_t at, uint32_t *value);

/* Those that take memory say false when there is none; `m` is then to be freed. */
bool rangemap_reserve(struct rangemap *m, size_t n);
/* Behind all that is there. */
bool rangemap_add(struct rangemap *m, pos_t lo, pos_t hi, uint32_t value);
/* What `from` has from `lo` to `hi`, behind all that is there; lo > hi is nothing. */
bool rangemap_copy(struct rangemap *m, const struct rangemap *from, pos_t lo, pos_t hi);
/* Into an empty one: `over` where it has a value, else `under`. */
bool rangemap_overlay(struct rangemap *m, const struct rangemap *under,
		      const struct rangemap *over);
void rangemap_deinit(struct rangemap *m); /* idempotent */
size_t rangemap_bytes(const struct rangemap *m);

#endif
