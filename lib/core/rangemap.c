/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sorted ranges with values; see rangemap.h. */
#include "core/rangemap.h"
#include <stdlib.h>
#include <string.h>

/* Without a branch that depends on what is found: nobody can guess it, and guessing wrong is dear. */
static size_t from4(const uint32_t *hi, size_t n, uint32_t at)
{
	const uint32_t *p = hi;

	while (n > 1) {
		size_t half = n / 2;

		p += (p[half - 1] < at) * half;
		n -= half;
	}
	return (size_t)(p - hi) + (n && *p < at);
}

static size_t from6(const pos_t *hi, size_t n, pos_t at)
{
	const pos_t *p = hi;

	while (n > 1) {
		size_t half = n / 2;

		p += (p[half - 1] < at) * half;
		n -= half;
	}
	return (size_t)(p - hi) + (n && *p < at);
}

size_t rangemap_from(const struct rangemap *m, pos_t at)
{
	return m->v6 ? from6(m->hi, m->n, at) : from4(m->hi, m->n, (uint32_t)at);
}

bool rangemap_get(const struct rangemap *m, pos_t at, uint32_t *value)
{
	size_t i = rangemap_from(m, at);

	if (i == m->n || rangemap_lo(m, i) > at)
		return false;
	*value = m->value[i];
	return true;
}

static size_t width(const struct rangemap *m)
{
	return m->v6 ? sizeof(pos_t) : sizeof(uint32_t);
}

static bool resize(void **array, size_t size)
{
	void *mem = realloc(*array, size);

	if (mem)
		*array = mem;
	return mem;
}

bool rangemap_reserve(struct rangemap *m, size_t n)
{
	void *value = m->value;
	bool ok;

	if (n <= m->cap)
		return true;
	ok = resize(&m->lo, n * width(m)) && resize(&m->hi, n * width(m)) &&
	     resize(&value, n * sizeof(*m->value));
	m->value = value;
	if (ok)
		m->cap = n;
	return ok;
}

static void put(const struct rangemap *m, void *array, size_t i, pos_t at)
{
	if (m->v6)
		((pos_t *)array)[i] = at;
	else
		((uint32_t *)array)[i] = (uint32_t)at;
}

bool rangemap_add(struct rangemap *m, pos_t lo, pos_t hi, uint32_t value)
{
	if (m->n && m->value[m->n - 1] == value && rangemap_hi(m, m->n - 1) + 1 == lo) {
		put(m, m->hi, m->n - 1, hi);
		return true;
	}
	if (m->n == m->cap && !rangemap_reserve(m, m->cap ? m->cap * 2 : 4))
		return false;
	put(m, m->lo, m->n, lo);
	put(m, m->hi, m->n, hi);
	m->value[m->n++] = value;
	return true;
}

/* Whole ranges, none of which meets what is there with its own value. */
static bool append(struct rangemap *m, const struct rangemap *from, size_t first, size_t n)
{
	size_t w = width(m);

	if (!n)
		return true;
	if (m->n + n > m->cap && !rangemap_reserve(m, m->n + n + m->n / 2))
		return false;
	memcpy((char *)m->lo + m->n * w, (const char *)from->lo + first * w, n * w);
	memcpy((char *)m->hi + m->n * w, (const char *)from->hi + first * w, n * w);
	memcpy(m->value + m->n, from->value + first, n * sizeof(*m->value));
	m->n += n;
	return true;
}

static bool add_cut(struct rangemap *m, const struct rangemap *from, size_t i, pos_t lo, pos_t hi)
{
	pos_t first = rangemap_lo(from, i), last = rangemap_hi(from, i);

	if (first > hi)
		return true;
	return rangemap_add(m, first > lo ? first : lo, last < hi ? last : hi, from->value[i]);
}

bool rangemap_copy(struct rangemap *m, const struct rangemap *from, pos_t lo, pos_t hi)
{
	size_t first, last;

	if (lo > hi)
		return true;
	first = rangemap_from(from, lo);
	last = rangemap_from(from, hi);
	if (first == from->n)
		return true;
	if (!add_cut(m, from, first, lo, hi))
		return false;
	if (first == last)
		return true;
	return append(m, from, first + 1, last - first - 1) &&
	       (last == from->n || add_cut(m, from, last, lo, hi));
}

bool rangemap_overlay(struct rangemap *m, const struct rangemap *under, const struct rangemap *over)
{
	pos_t at = 0, max = rangemap_max(over);

	if (!rangemap_reserve(m, under->n + 2 * over->n + 1))
		return false;
	for (size_t i = 0; i < over->n; i++) {
		pos_t lo = rangemap_lo(over, i), hi = rangemap_hi(over, i);

		if ((lo > at && !rangemap_copy(m, under, at, lo - 1)) ||
		    !rangemap_add(m, lo, hi, over->value[i]))
			return false;
		if (hi == max)
			return true;
		at = hi + 1;
	}
	return rangemap_copy(m, under, at, max);
}

void rangemap_deinit(struct rangemap *m)
{
	free(m->lo);
	free(m->hi);
	free(m->value);
	*m = (struct rangemap){.v6 = m->v6};
}

size_t rangemap_bytes(const struct rangemap *m)
{
	return m->cap * (2 * width(m) + sizeof(*m->value));
}
