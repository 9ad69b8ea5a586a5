/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From a packet's values to the rules that are left. The rows are made in classify_build.c. */
#include "core/classify_index.h"
#include "core/classify_patched.h"
#include <string.h>

uint32_t classify_index_interval4(const struct index_part *p, uint32_t addr)
{
	uint32_t lo = p->top[addr >> 16], n = p->top[(addr >> 16) + 1];

	/* The last interval that starts at or before addr; interval lo - 1 covers what lies
	 * before the first start in this stretch. */
	while (lo < n) {
		uint32_t mid = lo + (n - lo) / 2;

		if (p->start4[mid] <= addr)
			lo = mid + 1;
		else
			n = mid;
	}
	return lo - 1;
}

static struct index_v6 load6(const uint8_t addr[16])
{
	struct index_v6 v = {0, 0};

	for (int i = 0; i < 8; i++) {
		v.hi = v.hi << 8 | addr[i];
		v.lo = v.lo << 8 | addr[8 + i];
	}
	return v;
}

uint32_t classify_index_interval6(const struct index_part *p, struct index_v6 v)
{
	uint32_t lo = 0, n = p->n;

	while (lo < n) {
		uint32_t mid = lo + (n - lo) / 2;
		const struct index_v6 *s = &p->start6[mid];

		if (s->hi < v.hi || (s->hi == v.hi && s->lo <= v.lo))
			lo = mid + 1;
		else
			n = mid;
	}
	return lo - 1;
}

static void add_row(const struct classify_index *ix, enum index_dim d, uint32_t class,
		    struct index_rows *rows)
{
	rows->row[rows->n++] = ix->part[d].rows + (size_t) class * ix->stride;
}

/* Classes that a patch has made are numbered behind those of the index. */
static void add_class(const struct classify_index *ix, const struct classify_patch *patch,
		      enum index_dim d, uint32_t class, struct index_rows *rows)
{
	if (class < ix->part[d].classes)
		add_row(ix, d, class, rows);
	else
		rows->row[rows->n++] = classify_patched_row(patch, d, class - ix->part[d].classes);
}

static void add_addr4(const struct classify_index *ix, const struct classify_patch *patch,
		      enum index_dim d, uint32_t addr, struct index_rows *rows)
{
	const struct index_part *p = &ix->part[d];
	uint32_t class;

	if (!p->rows)
		return;
	if (!patch || !classify_patched_class(patch, d, addr, &class))
		class = p->class_of[classify_index_interval4(p, addr)];
	add_class(ix, patch, d, class, rows);
}

static void add_addr6(const struct classify_index *ix, const struct classify_patch *patch,
		      enum index_dim d, const uint8_t addr[16], struct index_rows *rows)
{
	const struct index_part *p = &ix->part[d];
	struct index_v6 v;
	uint32_t class;

	if (!p->rows)
		return;
	v = load6(addr);
	if (!patch || !classify_patched_class(patch, d, (pos_t)v.hi << 64 | v.lo, &class))
		class = p->class_of[classify_index_interval6(p, v)];
	add_class(ix, patch, d, class, rows);
}

static void add_value(const struct classify_index *ix, enum index_dim d, uint32_t value,
		      struct index_rows *rows)
{
	if (ix->part[d].rows)
		add_row(ix, d, ix->part[d].class_of[value], rows);
}

void classify_index_rows(const struct classify_index *ix, const struct classify_patch *patch,
			 const struct pend_values *v, uint32_t source4, uint32_t dest4,
			 struct index_rows *rows)
{
	rows->n = 0;
	if (v->family == 4) {
		add_addr4(ix, patch, DIM_FROM4, source4, rows);
		add_addr4(ix, patch, DIM_TO4, dest4, rows);
		add_addr4(ix, NULL, DIM_COUNTRY4, source4, rows);
	} else {
		add_addr6(ix, patch, DIM_FROM6, v->source, rows);
		add_addr6(ix, patch, DIM_TO6, v->dest, rows);
		add_addr6(ix, NULL, DIM_COUNTRY6, v->source, rows);
	}
	add_value(ix, DIM_SPORT, v->has_ports ? v->source_port : INDEX_NO_PORT, rows);
	add_value(ix, DIM_DPORT, v->has_ports ? v->dest_port : INDEX_NO_PORT, rows);
	add_value(ix, DIM_PROTO, v->protocol, rows);
	add_value(ix, DIM_PLACE, (v->hook & 7u) + (v->family == 4 ? 0 : 8), rows);
}

static uint64_t and_at(const struct index_rows *rows, uint32_t at)
{
	uint64_t w = UINT64_MAX;

	for (unsigned i = 0; i < rows->n; i++)
		w &= rows->row[i][at];
	return w;
}

bool classify_index_next(const struct classify_index *ix, const struct index_rows *rows,
			 uint32_t *rule, uint32_t end)
{
	uint32_t word = *rule / 64, last = (end - 1) / 64;
	uint64_t bits;

	if (*rule >= end)
		return false;
	bits = and_at(rows, ix->sums + word) & UINT64_MAX << *rule % 64;
	while (!bits) {
		uint64_t sum;

		if (++word > last)
			return false;
		sum = and_at(rows, word / 64) & UINT64_MAX << word % 64;
		if (!sum) {
			word |= 63; /* the next summary word */
			continue;
		}
		word = (word & ~63u) + (uint32_t)__builtin_ctzll(sum);
		if (word > last)
			return false;
		bits = and_at(rows, ix->sums + word);
	}
	*rule = word * 64 + (uint32_t)__builtin_ctzll(bits);
	return *rule < end;
}
