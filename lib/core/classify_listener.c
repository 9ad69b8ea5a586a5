/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Conditions on the listener; see classify_listener.h. This is the packet path: texts are bounded,
 * and a pattern costs at most the product of its length and the name's.
 */
#include "core/classify_listener.h"
#include "core/classify_match.h"
#include <string.h>

unsigned listener_fields(uint32_t seen)
{
	unsigned fields = 0;
	uint32_t left;

	for (left = seen & POL_LISTENER; left; left &= left - 1)
		fields |= listener_field((enum pol_cond)__builtin_ctz(left));
	return fields;
}

const struct classify_listener *listener_of(struct query *q, const struct image_rule *r)
{
	static const struct classify_listener unknown = {.state = LISTENER_UNKNOWN};
	const struct classify_listener *l = NULL;

	if (q->listener)
		return q->listener;
	if (q->now->listener)
		l = q->now->listener(q->now->arg, q->v, r->need);
	q->listener = l ? l : &unknown;
	return q->listener;
}

/* ---------------------------------------------------------------------- values ---- */

static bool match_id(const struct query *q, struct image_span span, uint32_t id)
{
	const struct image_id *p = q->c->ids + span.first;
	uint32_t lo = 0, n = span.n, mid;

	while (lo < n) {
		mid = lo + (n - lo) / 2;
		if (p[mid].hi < id)
			lo = mid + 1;
		else if (p[mid].lo <= id)
			return true;
		else
			n = mid;
	}
	return false;
}

/* A folder, by its '/', is everything below it. */
static bool under_folder(const char *folder, const char *path)
{
	size_t n = strlen(folder);

	return folder[n - 1] == '/' ? strncmp(folder, path, n) == 0 : strcmp(folder, path) == 0;
}

static bool in_cgroup(const char *group, const char *path)
{
	size_t n = strlen(group);

	if (n == 1) /* the root */
		return path[0] == '/';
	return strncmp(group, path, n) == 0 && (path[n] == '\0' || path[n] == '/');
}

static bool match_path(const struct query *q, struct image_span span, const char *path,
		       bool (*one)(const char *text, const char *path))
{
	for (uint32_t i = 0; path && i < span.n; i++)
		if (one(q->c->strings + q->c->texts[span.first + i], path))
			return true;
	return false;
}

/* ----------------------------------------------------------------------- units ---- */

static bool ends(const char *s, size_t len, const char *suffix)
{
	size_t n = strlen(suffix);

	return len > n && memcmp(s + len - n, suffix, n) == 0;
}

/* 2: something that runs; 1: what holds such; 0: no unit. */
static int unit_kind(const char *s, size_t len)
{
	static const char *const kinds[] = {".service", ".socket", ".scope", ".mount", ".swap"};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (ends(s, len, kinds[i]))
			return 2;
	return ends(s, len, ".slice");
}

size_t listener_unit(const char *cgroup, const char **unit)
{
	const char *end = cgroup + strnlen(cgroup, IMAGE_TEXT_MAX), *s;
	size_t slice = 0;
	int kind;

	while (end > cgroup) {
		for (s = end; s > cgroup && s[-1] != '/'; s--)
			;
		kind = unit_kind(s, (size_t)(end - s));
		if (kind == 2 || (kind == 1 && !slice))
			*unit = s;
		if (kind == 2)
			return (size_t)(end - s);
		if (kind == 1 && !slice)
			slice = (size_t)(end - s);
		end = s > cgroup ? s - 1 : s;
	}
	return slice;
}

/* Where the bracket that opens at `at` closes; 0: nowhere. The first character may be a ']'. */
static size_t bracket_end(const char *p, size_t len, size_t at)
{
	size_t i = at + 1;

	if (i < len && (p[i] == '!' || p[i] == '^'))
		i++;
	for (i++; i < len && p[i] != ']'; i++)
		;
	return i < len ? i : 0;
}

static bool in_bracket(const char *p, size_t at, size_t end, unsigned char c)
{
	bool not = p[at + 1] == '!' || p[at + 1] == '^', in = false;
	size_t i = at + 1 + not ;

	while (i < end) {
		unsigned char lo = (unsigned char)p[i], hi = lo;

		if (i + 2 < end && p[i + 1] == '-') {
			hi = (unsigned char)p[i + 2];
			i += 2;
		}
		if (lo <= c && c <= hi)
			in = true;
		i++;
	}
	return in != not ;
}

/* Does the one character at `at` of the pattern, which is no '*', match? Moves behind it. */
static bool one_char(const char *p, size_t len, size_t *at, char c)
{
	size_t end = p[*at] == '[' ? bracket_end(p, len, *at) : 0, here = *at;

	if (end) {
		*at = end + 1;
		return in_bracket(p, here, end, (unsigned char)c);
	}
	++*at;
	return p[here] == '?' || p[here] == c;
}

/* On a mismatch only the last '*' takes one character more: that is enough. */
bool listener_pattern(const char *pattern, size_t plen, const char *s, size_t len)
{
	size_t p = 0, i = 0, star = SIZE_MAX, mark = 0;

	while (i < len) {
		if (p < plen && pattern[p] == '*') {
			star = ++p;
			mark = i;
		} else if (p < plen && one_char(pattern, plen, &p, s[i])) {
			i++;
		} else if (star != SIZE_MAX) {
			p = star;
			i = ++mark;
		} else {
			return false;
		}
	}
	while (p < plen && pattern[p] == '*')
		p++;
	return p == plen;
}

static bool match_unit(const struct query *q, struct image_span span, const char *cgroup)
{
	const char *unit = "", *pattern;
	size_t len = cgroup ? listener_unit(cgroup, &unit) : 0;

	for (uint32_t i = 0; len && len <= LISTENER_UNIT_MAX && i < span.n; i++) {
		pattern = q->c->strings + q->c->texts[span.first + i];
		if (listener_pattern(pattern, strlen(pattern), unit, len))
			return true;
	}
	return false;
}

/* ------------------------------------------------------------------- conditions ---- */

static bool match_found(const struct query *q, const struct image_rule *r, enum pol_cond cond,
			const struct classify_listener *l)
{
	if (cond == COND_USER)
		return match_id(q, r->user, l->uid);
	if (cond == COND_GROUP)
		return match_id(q, r->group, l->gid);
	if (cond == COND_EXECUTABLE)
		return match_path(q, r->executable, l->executable, under_folder);
	if (cond == COND_CGROUP)
		return match_path(q, r->cgroup, l->cgroup, in_cgroup);
	return match_unit(q, r->unit, l->cgroup);
}

bool listener_holds(struct query *q, const struct image_rule *r, enum pol_cond cond)
{
	const struct classify_listener *l = listener_of(q, r);

	if (l->state == LISTENER_NONE)
		return false;
	if (l->state != LISTENER_FOUND || !(l->known & listener_field(cond))) {
		if (q->now->unsure)
			*q->now->unsure = true;
		return r->action != CLASSIFY_PERMIT;
	}
	return match_found(q, r, cond, l) != !!(r->neg & POL_BIT(cond));
}

bool listener_match(struct query *q, const struct image_rule *r)
{
	for (uint32_t left = r->seen & POL_LISTENER; left; left &= left - 1)
		if (!listener_holds(q, r, (enum pol_cond)__builtin_ctz(left)))
			return false;
	return true;
}
