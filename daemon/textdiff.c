/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Differences of texts; see textdiff.h. */
#include "daemon/textdiff.h"
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONTEXT 3

struct lines {
	const char **s; /* n + 1: where each begins, and the end */
	size_t n;
	unsigned char *changed; /* a line of the first that goes, of the second that comes */
};

struct diff {
	struct lines a, b;
	size_t head;    /* lines that both begin with */
	int32_t na, nb; /* between those and the lines that both end with */
	int32_t *trace; /* the furthest points after 0, 1, ... edits: 1, 3, 5, ... numbers */
	char *out;
	size_t len;
};

static int lines_split(struct lines *l, const char *text)
{
	const char *p;
	size_t n = 0;

	for (p = text; *p; n++)
		p = strchr(p, '\n') ? strchr(p, '\n') + 1 : p + strlen(p);
	l->s = calloc(n + 1, sizeof(*l->s));
	l->changed = calloc(n + 1, 1);
	if (!l->s || !l->changed)
		return -ENOMEM;
	for (p = text; *p; l->n++) {
		l->s[l->n] = p;
		p = strchr(p, '\n') ? strchr(p, '\n') + 1 : p + strlen(p);
	}
	l->s[n] = p;
	return 0;
}

static bool same(const struct diff *d, size_t i, size_t j)
{
	size_t len = (size_t)(d->a.s[i + 1] - d->a.s[i]);

	return len == (size_t)(d->b.s[j + 1] - d->b.s[j]) && !memcmp(d->a.s[i], d->b.s[j], len);
}

static int trim(struct diff *d)
{
	size_t na = d->a.n, nb = d->b.n;

	while (d->head < na && d->head < nb && same(d, d->head, d->head))
		d->head++;
	while (na > d->head && nb > d->head && same(d, na - 1, nb - 1)) {
		na--;
		nb--;
	}
	na -= d->head;
	nb -= d->head;
	if (na > TEXTDIFF_LINES || nb > TEXTDIFF_LINES)
		return -E2BIG;
	d->na = (int32_t)na;
	d->nb = (int32_t)nb;
	return 0;
}

/* On diagonal k the best comes from the one above or the one below. */
static bool comes_down(const int32_t *v, int32_t k, int32_t edits)
{
	return k == -edits || (k != edits && v[k - 1] < v[k + 1]);
}

/* One more edit; true when the end is reached. */
static bool advance(const struct diff *d, int32_t *v, int32_t edits)
{
	for (int32_t k = -edits; k <= edits; k += 2) {
		int32_t x = comes_down(v, k, edits) ? v[k + 1] : v[k - 1] + 1, y = x - k;

		while (x < d->na && y < d->nb &&
		       same(d, d->head + (size_t)x, d->head + (size_t)y)) {
			x++;
			y++;
		}
		v[k] = x;
		if (x >= d->na && y >= d->nb)
			return true;
	}
	return false;
}

/* The numbers of `edits` edits, with the middle at 0. */
static int32_t *trace_at(const struct diff *d, int32_t edits)
{
	return d->trace + (size_t)edits * (size_t)edits + (size_t)edits;
}

/* How many edits it takes; each step's numbers are kept, for the way back. Or -errno. */
static int32_t search(struct diff *d)
{
	int32_t most = d->na + d->nb < TEXTDIFF_EDITS ? d->na + d->nb : TEXTDIFF_EDITS, edits;
	size_t room = ((size_t)most + 1) * ((size_t)most + 1);
	int32_t *v = calloc(2 * (size_t)most + 3, sizeof(*v));

	d->trace = calloc(room, sizeof(*d->trace));
	if (!v || !d->trace) {
		free(v);
		return -ENOMEM;
	}
	for (edits = 0; edits <= most; edits++) {
		bool end = advance(d, v + most + 1, edits);

		memcpy(trace_at(d, edits) - edits, v + most + 1 - edits,
		       (2 * (size_t)edits + 1) * sizeof(*v));
		if (end)
			break;
	}
	free(v);
	return edits <= most ? edits : -E2BIG;
}

static void mark(struct diff *d, int32_t edits)
{
	int32_t x = d->na, y = d->nb;

	for (; edits > 0; edits--) {
		const int32_t *v = trace_at(d, edits - 1);
		int32_t k = x - y, from = comes_down(v, k, edits) ? k + 1 : k - 1;
		int32_t before = v[from];

		if (from > k)
			d->b.changed[d->head + (size_t)(before - from)] = 1;
		else
			d->a.changed[d->head + (size_t)before] = 1;
		x = before;
		y = before - from;
	}
}

static int put(struct diff *d, char sign, const char *s, const char *end)
{
	size_t len = (size_t)(end - s);

	if (d->len + len + 3 > TEXTDIFF_BYTES)
		return -E2BIG;
	d->out[d->len++] = sign;
	memcpy(d->out + d->len, s, len);
	d->len += len;
	if (!len || s[len - 1] != '\n')
		d->out[d->len++] = '\n';
	d->out[d->len] = '\0';
	return 0;
}

static bool goes(const struct diff *d, size_t i)
{
	return i < d->a.n && d->a.changed[i];
}

static bool comes(const struct diff *d, size_t j)
{
	return j < d->b.n && d->b.changed[j];
}

/* Where the changes from here on end, with no more than two contexts between them. */
static void hunk_end(const struct diff *d, size_t *i, size_t *j)
{
	size_t x = *i, y = *j, between = 0;

	while ((x < d->a.n || y < d->b.n) && between <= 2 * CONTEXT) {
		if (goes(d, x)) {
			x++;
		} else if (comes(d, y)) {
			y++;
		} else {
			between++;
			x++;
			y++;
			continue;
		}
		between = 0;
		*i = x;
		*j = y;
	}
}

static int put_range(struct diff *d, size_t i, size_t j, size_t iend, size_t jend)
{
	char head[100];
	size_t n = (size_t)snprintf(head, sizeof(head), "@ -%zu,%zu +%zu,%zu @@", i + (iend > i),
				    iend - i, j + (jend > j), jend - j);
	int r = put(d, '@', head, head + n);

	while (r == 0 && (i < iend || j < jend)) {
		if (goes(d, i)) {
			r = put(d, '-', d->a.s[i], d->a.s[i + 1]);
			i++;
		} else if (comes(d, j)) {
			r = put(d, '+', d->b.s[j], d->b.s[j + 1]);
			j++;
		} else {
			r = put(d, ' ', d->a.s[i], d->a.s[i + 1]);
			i++;
			j++;
		}
	}
	return r;
}

static int put_all(struct diff *d)
{
	size_t i = 0, j = 0, done = 0;
	int r = 0;

	while (r == 0 && (i < d->a.n || j < d->b.n)) {
		size_t back = i - done < CONTEXT ? i - done : CONTEXT, x = i, y = j, after;

		if (!goes(d, i) && !comes(d, j)) {
			i++;
			j++;
			continue;
		}
		hunk_end(d, &x, &y);
		after = d->a.n - x < CONTEXT ? d->a.n - x : CONTEXT;
		r = put_range(d, i - back, j - back, x + after, y + after);
		i = done = x + after;
		j = y + after;
	}
	return r;
}

static int diff_run(struct diff *d, const char *a, const char *b)
{
	int32_t edits;
	int r = lines_split(&d->a, a);

	if (r == 0)
		r = lines_split(&d->b, b);
	if (r == 0)
		r = trim(d);
	if (r < 0)
		return r;
	edits = search(d);
	if (edits < 0)
		return edits;
	mark(d, edits);
	d->out = calloc(1, TEXTDIFF_BYTES);
	return d->out ? put_all(d) : -ENOMEM;
}

int textdiff(const char *a, const char *b, char **out)
{
	struct diff d = {0};
	int r = diff_run(&d, a, b);

	free(d.a.s);
	free(d.a.changed);
	free(d.b.s);
	free(d.b.changed);
	free(d.trace);
	if (r < 0)
		free(d.out);
	else
		*out = d.out;
	return r;
}
