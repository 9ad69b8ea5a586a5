/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Lists of addresses that are changed at run time; see policy_overlay.h. */
#include "core/policy_overlay.h"
#include "core/flow.h"
#include "core/policy_ast.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY 17 /* family and lo, one behind the other */

_Static_assert(sizeof(struct policy_span) == 33, "no padding");

static unsigned width(const struct policy_span *s)
{
	return s->family == FLOW_V4 ? 4 : 16;
}

/* The next address; false behind the last one. */
static bool step_up(uint8_t a[16], unsigned len)
{
	while (len--)
		if (++a[len])
			return true;
	return false;
}

static void step_down(uint8_t a[16], unsigned len)
{
	while (len--)
		if (a[len]--)
			return;
}

/* `b` is not before `a`: do they overlap, or meet? */
static bool meets(const struct policy_span *a, const struct policy_span *b)
{
	uint8_t next[16];

	if (a->family != b->family)
		return false;
	memcpy(next, a->hi, 16);
	return !step_up(next, width(a)) || memcmp(b->lo, next, 16) <= 0;
}

static int compare(const void *a, const void *b)
{
	return memcmp(a, b, KEY);
}

void policy_spans_deinit(struct policy_spans *s)
{
	free(s->span);
	*s = (struct policy_spans){0};
}

/* ----------------------------------------------------------------------- text ---- */

int policy_span_parse(const char *text, struct policy_span *out)
{
	struct pol_range r;
	enum pol_addr_result res = pol_range_parse(text, &r);

	if (res != POL_ADDR_OK && res != POL_ADDR_HOST_BITS)
		return -EINVAL;
	out->family = r.family == FLOW_V4 ? 4 : 6;
	memcpy(out->lo, r.lo, 16);
	memcpy(out->hi, r.hi, 16);
	return 0;
}

/* The length of the prefix that it is; -1: it is none. */
static int prefix_of(const struct policy_span *s)
{
	unsigned bits = width(s) * 8, len = 0, i;

	while (len < bits && !((s->lo[len / 8] ^ s->hi[len / 8]) >> (7 - len % 8) & 1))
		len++;
	for (i = len; i < bits; i++)
		if (s->lo[i / 8] >> (7 - i % 8) & 1 || !(s->hi[i / 8] >> (7 - i % 8) & 1))
			return -1;
	return (int)len;
}

const char *policy_span_print(const struct policy_span *s, char buf[POLICY_SPAN_TEXT])
{
	char lo[FLOW_ADDR_TEXT], hi[FLOW_ADDR_TEXT];
	uint8_t family = s->family == 4 ? FLOW_V4 : FLOW_V6;
	int len = prefix_of(s);

	flow_addr_print(s->lo, family, lo);
	flow_addr_print(s->hi, family, hi);
	if (len == (int)width(s) * 8)
		snprintf(buf, POLICY_SPAN_TEXT, "%s", lo);
	else if (len >= 0)
		snprintf(buf, POLICY_SPAN_TEXT, "%s/%d", lo, len);
	else
		snprintf(buf, POLICY_SPAN_TEXT, "%s-%s", lo, hi);
	return buf;
}

/* ------------------------------------------------------------------ operations ---- */

/* Sorted by KEY -> merged, in place; returns how many are left. */
static size_t merge(struct policy_span *s, size_t n)
{
	size_t i, last = 0;

	for (i = 1; i < n; i++) {
		if (!meets(&s[last], &s[i]))
			s[++last] = s[i];
		else if (memcmp(s[i].hi, s[last].hi, 16) > 0)
			memcpy(s[last].hi, s[i].hi, 16);
	}
	return n ? last + 1 : 0;
}

static struct policy_span *room(size_t n)
{
	return malloc((n ? n : 1) * sizeof(struct policy_span));
}

bool policy_spans_make(struct policy_spans *out, const struct policy_span *span, size_t n)
{
	struct policy_span *s = room(n);

	if (!s)
		return false;
	if (n) {
		memcpy(s, span, n * sizeof(*s));
		qsort(s, n, sizeof(*s), compare);
	}
	*out = (struct policy_spans){s, merge(s, n)};
	return true;
}

bool policy_spans_copy(struct policy_spans *out, const struct policy_spans *s)
{
	struct policy_span *copy = room(s->n);

	if (!copy)
		return false;
	if (s->n)
		memcpy(copy, s->span, s->n * sizeof(*copy));
	*out = (struct policy_spans){copy, s->n};
	return true;
}

bool policy_spans_add(struct policy_spans *s, const struct policy_spans *more)
{
	struct policy_span *to = more->n ? room(s->n + more->n) : NULL;
	size_t a = 0, b = 0, n = 0;

	if (!more->n)
		return true;
	if (!to)
		return false;
	while (a < s->n || b < more->n) {
		if (b == more->n || (a < s->n && compare(&s->span[a], &more->span[b]) <= 0))
			to[n++] = s->span[a++];
		else
			to[n++] = more->span[b++];
	}
	free(s->span);
	*s = (struct policy_spans){to, merge(to, n)};
	return true;
}

/* Is `a` wholly before `b`? */
static bool before(const struct policy_span *a, const struct policy_span *b)
{
	return a->family != b->family ? a->family < b->family : memcmp(a->hi, b->lo, 16) < 0;
}

bool policy_spans_remove(struct policy_spans *s, const struct policy_spans *less)
{
	/* each that is taken out leaves at most one piece more */
	struct policy_span *to = s->n && less->n ? room(s->n + less->n) : NULL, cur;
	size_t a, b = 0, n = 0;

	if (!s->n || !less->n)
		return true;
	if (!to)
		return false;
	for (a = 0; a < s->n; a++) {
		bool left = true;
		size_t k;

		cur = s->span[a];
		while (b < less->n && before(&less->span[b], &cur))
			b++;
		for (k = b; left && k < less->n && !before(&cur, &less->span[k]); k++) {
			const struct policy_span *out = &less->span[k];

			if (memcmp(out->lo, cur.lo, 16) > 0) {
				to[n] = cur;
				memcpy(to[n].hi, out->lo, 16);
				step_down(to[n++].hi, width(&cur));
			}
			left = memcmp(out->hi, cur.hi, 16) < 0;
			memcpy(cur.lo, out->hi, 16);
			if (left)
				step_up(cur.lo, width(&cur));
		}
		if (left)
			to[n++] = cur;
	}
	free(s->span);
	*s = (struct policy_spans){to, n};
	return true;
}

/* The first that is not wholly before `x`. */
static size_t first_at(const struct policy_spans *s, const struct policy_span *x)
{
	size_t lo = 0, hi = s->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (before(&s->span[mid], x))
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static size_t cut(const struct policy_spans *s, const struct policy_spans *within,
		  struct policy_span *to)
{
	size_t n = 0;

	for (size_t i = 0; i < within->n; i++) {
		const struct policy_span *w = &within->span[i];

		for (size_t k = first_at(s, w); k < s->n && !before(w, &s->span[k]); k++, n++) {
			if (!to)
				continue;
			to[n] = s->span[k];
			if (memcmp(w->lo, to[n].lo, 16) > 0)
				memcpy(to[n].lo, w->lo, 16);
			if (memcmp(w->hi, to[n].hi, 16) < 0)
				memcpy(to[n].hi, w->hi, 16);
		}
	}
	return n;
}

bool policy_spans_within(struct policy_spans *out, const struct policy_spans *s,
			 const struct policy_spans *within)
{
	size_t n = cut(s, within, NULL);
	struct policy_span *to = room(n);

	if (!to)
		return false;
	cut(s, within, to);
	*out = (struct policy_spans){to, n};
	return true;
}

static bool zeros(const uint8_t *p, size_t n)
{
	while (n--)
		if (*p++)
			return false;
	return true;
}

bool policy_spans_valid(const struct policy_span *span, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct policy_span *s = &span[i];

		if ((s->family != 4 && s->family != 6) || memcmp(s->lo, s->hi, 16) > 0)
			return false;
		if (s->family == 4 && (!zeros(s->lo + 4, 12) || !zeros(s->hi + 4, 12)))
			return false;
		if (i && (compare(&span[i - 1], s) >= 0 || meets(&span[i - 1], s)))
			return false;
	}
	return true;
}
