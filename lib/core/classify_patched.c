/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Looking up in a patch, and what sets contain; see classify_patched.h. */
#include "core/classify_patched.h"
#include "core/classify_patch.h"
#include "core/classify_view.h"
#include <stdlib.h>
#include <string.h>

bool classify_patched_class(const struct classify_patch *p, enum index_dim d, pos_t addr,
			    uint32_t *class)
{
	return p->part[d] && rangemap_get(&p->part[d]->map, addr, class);
}

const uint64_t *classify_patched_row(const struct classify_patch *p, enum index_dim d,
				     uint32_t class)
{
	return p->part[d]->classes->row[class];
}

const struct rangemap *classify_patched_map(const struct classify_patch *p, uint32_t set, bool v6)
{
	uint64_t key = 2 * (uint64_t)set + v6;
	uint32_t lo = 0, n = p ? p->n : 0;

	while (lo < n) {
		uint32_t mid = lo + (n - lo) / 2;

		if (p->key[mid] == key)
			return &p->set[mid]->map;
		if (p->key[mid] < key)
			lo = mid + 1;
		else
			n = mid;
	}
	return NULL;
}

bool classify_patched_set(const struct classify_patch *p, uint32_t set, uint8_t family,
			  uint32_t addr4, const uint8_t addr[16], bool *in)
{
	const struct rangemap *m = classify_patched_map(p, set, family != 4);
	uint32_t value;

	if (!m || !rangemap_get(m, family == 4 ? addr4 : pos_load6(addr), &value))
		return false;
	*in = value;
	return true;
}

/* ---- what sets contain ---- */

static pos_t set_lo(const struct classifier *c, const struct image_set *s, bool v6, uint32_t i)
{
	return v6 ? pos_load6(c->v6[s->v6.first + i].lo) : c->v4[s->v4.first + i].lo;
}

static pos_t set_hi(const struct classifier *c, const struct image_set *s, bool v6, uint32_t i)
{
	return v6 ? pos_load6(c->v6[s->v6.first + i].hi) : c->v4[s->v4.first + i].hi;
}

/* As compiled: the first interval that ends at `at` or behind it. */
static bool compiled_next(const struct classifier *c, const struct image_set *s, bool v6, pos_t at,
			  pos_t *lo, pos_t *hi)
{
	uint32_t first = 0, all = v6 ? s->v6.n : s->v4.n, n = all;

	while (first < n) {
		uint32_t mid = first + (n - first) / 2;

		if (set_hi(c, s, v6, mid) < at)
			first = mid + 1;
		else
			n = mid;
	}
	if (first == all)
		return false;
	*lo = set_lo(c, s, v6, first);
	*hi = set_hi(c, s, v6, first);
	return true;
}

bool classify_set_as_compiled(const struct classifier *c, uint32_t set, bool v6, pos_t lo, pos_t hi,
			      bool in)
{
	pos_t first, last;
	bool found = compiled_next(c, &c->sets[set], v6, lo, &first, &last);

	return in ? found && first <= lo && hi <= last : !found || hi < first;
}

/* The stretch of [at, end] that is in the set as compiled. */
static bool compiled_within(const struct classifier *c, const struct image_set *s, bool v6,
			    pos_t at, pos_t end, pos_t *lo, pos_t *hi)
{
	pos_t first, last;

	if (!compiled_next(c, s, v6, at, &first, &last) || first > end)
		return false;
	*lo = first > at ? first : at;
	*hi = last < end ? last : end;
	return true;
}

bool classify_set_next(const struct classifier *c, uint32_t set, bool v6, pos_t at, pos_t *lo,
		       pos_t *hi)
{
	const struct image_set *s = &c->sets[set];
	const struct rangemap *m = classify_patched_map(c->patch, set, v6);
	pos_t max = v6 ? ~(pos_t)0 : UINT32_MAX;
	size_t i;

	if (!m)
		return compiled_within(c, s, v6, at, max, lo, hi);
	for (i = rangemap_from(m, at); i < m->n; i++) {
		pos_t first = rangemap_lo(m, i), last = rangemap_hi(m, i);

		if (at < first && compiled_within(c, s, v6, at, first - 1, lo, hi))
			return true;
		if (at < first)
			at = first;
		if (m->value[i]) {
			*lo = at;
			*hi = last;
			return true;
		}
		if (last == max)
			return false;
		at = last + 1;
	}
	return compiled_within(c, s, v6, at, max, lo, hi);
}

/* With the sets that it includes. */
static bool whole_next(const struct classifier *c, uint32_t set, bool v6, pos_t at, pos_t *lo,
		       pos_t *hi)
{
	const struct image_span in = c->sets[set].includes;
	bool found = classify_set_next(c, set, v6, at, lo, hi);
	pos_t first, last;

	for (uint32_t i = 0; i < in.n; i++) {
		if (!classify_set_next(c, c->members[in.first + i], v6, at, &first, &last))
			continue;
		if (!found || first < *lo || (first == *lo && last > *hi)) {
			*lo = first;
			*hi = last;
		}
		found = true;
	}
	return found;
}

bool classify_set_has(const struct classifier *c, uint32_t set, uint8_t family,
		      const uint8_t addr[16])
{
	pos_t at = pos_load(family, addr), lo, hi;

	return set < c->n[IMAGE_SETS] && (family == 4 || family == 6) &&
	       whole_next(c, set, family == 6, at, &lo, &hi) && lo == at;
}

enum classify_part classify_set_part(const struct classifier *c, uint32_t set, uint8_t family,
				     const uint8_t lo[16], const uint8_t hi[16])
{
	pos_t at = pos_load(family, lo), end = pos_load(family, hi), first, last;
	bool some = false;

	if (set >= c->n[IMAGE_SETS] || (family != 4 && family != 6) || at > end)
		return CLASSIFY_PART_NONE;
	/* in pieces, where it was edited */
	while (classify_set_next(c, set, family == 6, at, &first, &last) && first == at) {
		if (last >= end)
			return CLASSIFY_PART_ALL;
		some = true;
		at = last + 1;
	}
	some = some || (classify_set_next(c, set, family == 6, at, &first, &last) && first <= end);
	return some ? CLASSIFY_PART_SOME : CLASSIFY_PART_NONE;
}

static void pos_store(bool v6, pos_t at, uint8_t a[16])
{
	memset(a, 0, 16);
	for (int i = v6 ? 15 : 3; i >= 0; i--, at >>= 8)
		a[i] = (uint8_t)at;
}

typedef bool next_fn(const struct classifier *c, uint32_t set, bool v6, pos_t at, pos_t *lo,
		     pos_t *hi);

static bool each_of(const struct classifier *c, uint32_t set, bool v6, next_fn *find,
		    bool (*fn)(void *, uint8_t, const uint8_t[16], const uint8_t[16]), void *ctx)
{
	pos_t max = v6 ? ~(pos_t)0 : UINT32_MAX, at = 0, lo, hi, next, end;
	uint8_t a[16], b[16];

	while (find(c, set, v6, at, &lo, &hi)) {
		while (hi < max && find(c, set, v6, hi + 1, &next, &end) && next == hi + 1)
			hi = end;
		pos_store(v6, lo, a);
		pos_store(v6, hi, b);
		if (!fn(ctx, v6 ? 6 : 4, a, b))
			return false;
		if (hi == max)
			break;
		at = hi + 1;
	}
	return true;
}

void classify_set_each(const struct classifier *c, uint32_t set,
		       bool (*fn)(void *ctx, uint8_t family, const uint8_t lo[16],
				  const uint8_t hi[16]),
		       void *ctx)
{
	if (set < c->n[IMAGE_SETS] && each_of(c, set, false, whole_next, fn, ctx))
		each_of(c, set, true, whole_next, fn, ctx);
}

void classify_set_own(const struct classifier *c, uint32_t set,
		      bool (*fn)(void *ctx, uint8_t family, const uint8_t lo[16],
				 const uint8_t hi[16]),
		      void *ctx)
{
	if (set < c->n[IMAGE_SETS] && each_of(c, set, false, classify_set_next, fn, ctx))
		each_of(c, set, true, classify_set_next, fn, ctx);
}

/* ---- the end ---- */

static bool last_user(atomic_uint *users)
{
	return atomic_fetch_sub(users, 1) == 1;
}

void patch_set_drop(struct patch_set *s)
{
	if (!s || !last_user(&s->users))
		return;
	rangemap_deinit(&s->map);
	free(s);
}

static void patch_row_drop(struct patch_row *r)
{
	while (r && last_user(&r->users)) {
		struct patch_row *before = r->before;

		free(r);
		r = before;
	}
}

void patch_classes_drop(struct patch_classes *c)
{
	if (!c || !last_user(&c->users))
		return;
	patch_row_drop(c->last);
	free(c->name);
	free(c->row);
	free(c->slot);
	free(c);
}

void patch_part_drop(struct patch_part *p)
{
	if (!p || !last_user(&p->users))
		return;
	rangemap_deinit(&p->map);
	patch_classes_drop(p->classes);
	free(p);
}

void classify_patch_free(struct classify_patch *p)
{
	if (!p)
		return;
	for (uint32_t i = 0; i < p->n; i++)
		patch_set_drop(p->set[i]);
	for (int i = 0; i < PATCH_PARTS; i++)
		patch_part_drop(p->part[i]);
	free(p->key);
	free(p->set);
	free(p);
}
