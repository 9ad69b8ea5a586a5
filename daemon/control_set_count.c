/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How many elements a change of a set changes, by what stands in the set when it is asked for. What another set brings
 * into it does not count: no change is of that.
 */
#include "core/classify_patch.h"
#include "daemon/control_policy.h"
#include <stdlib.h>
#include <string.h>

static int compare(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct policy_span));
}

/* Sorted: is it, or all of it, among those before? *last: the one of them that reaches furthest. */
static bool repeated(const struct policy_span *s, const struct policy_span **last)
{
	const struct policy_span *l = *last;

	if (l && l->family == s->family && memcmp(s->hi, l->hi, sizeof(s->hi)) <= 0)
		return true;
	*last = s;
	return false;
}

/* Of those named, how many the set lacks something of (`adding`), or has something of. */
static size_t count_named(const struct classifier *c, uint32_t set, struct policy_span *span,
			  size_t n, bool adding)
{
	const struct policy_span *last = NULL;
	size_t count = 0;

	qsort(span, n, sizeof(*span), compare);
	for (size_t i = 0; i < n; i++) {
		enum classify_part part;

		if (repeated(&span[i], &last))
			continue;
		part = classify_set_part(c, set, span[i].family, span[i].lo, span[i].hi);
		count += adding ? part != CLASSIFY_PART_ALL : part != CLASSIFY_PART_NONE;
	}
	return count;
}

struct leaving {
	const struct policy_spans *stay; /* sorted */
	size_t next, n;
};

/* An interval of the set: does a part of it go? They come in the order of those that stay. */
static bool count_leaving(void *ctx, uint8_t family, const uint8_t lo[16], const uint8_t hi[16])
{
	struct leaving *l = ctx;
	size_t len = family == 4 ? 4 : 16;
	const struct policy_span *s = NULL;

	while (l->next < l->stay->n) {
		s = &l->stay->span[l->next];
		if (s->family > family || (s->family == family && memcmp(s->hi, lo, len) >= 0))
			break;
		s = NULL;
		l->next++;
	}
	l->n += !s || s->family != family || memcmp(s->lo, lo, len) > 0 ||
		memcmp(s->hi, hi, len) < 0;
	return true;
}

void set_count_change(const struct classifier *c, struct amend *ch, struct policy_span *span,
		      size_t n)
{
	bool replaces = ch->action == OVERLAY_FLUSH || ch->action == OVERLAY_LOAD;
	uint32_t set = c ? classify_set_find(c, ch->set) : UINT32_MAX;
	struct leaving l = {.stay = &ch->spans};

	if (set == UINT32_MAX)
		return;
	if (replaces)
		classify_set_own(c, set, count_leaving, &l);
	if (ch->action == OVERLAY_DELETE)
		ch->removed = count_named(c, set, span, n, false);
	else
		ch->added = count_named(c, set, span, n, true);
	ch->removed += l.n;
}
