/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Rules of one policy found again in another. See snapshot_match.h. */
#include "daemon/snapshot_match.h"
#include "base/siphash.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct named {
	uint64_t name; /* a hash of the layer's name and the rule's text */
	uint32_t index;
};

/* By name, and in file order where that is the same. */
static int by_name(const void *a, const void *b)
{
	const struct named *x = a, *y = b;

	if (x->name != y->name)
		return x->name < y->name ? -1 : 1;
	return (x->index > y->index) - (x->index < y->index);
}

static struct named *names_of(const struct classifier *c, uint32_t n)
{
	static const struct siphash_key key = {{0x70656e64, 1}};
	struct named *all = malloc(((size_t)n + 1) * sizeof(*all));
	struct classify_rule r;

	for (uint32_t i = 0; all && i < n; i++) {
		all[i] = (struct named){0, i};
		if (!classify_rule(c, i, &r))
			continue;
		all[i].name = siphash13(&key, r.text, strlen(r.text)) * 3 ^
			      siphash13(&key, r.layer, strlen(r.layer));
	}
	if (all)
		qsort(all, n, sizeof(*all), by_name);
	return all;
}

static bool same_rule(const struct classifier *c, uint32_t a, const struct classifier *old,
		      uint32_t b)
{
	struct classify_rule x, y;

	return classify_rule(c, a, &x) && classify_rule(old, b, &y) &&
	       strcmp(x.text, y.text) == 0 && strcmp(x.layer, y.layer) == 0;
}

static int match_rules(uint32_t *out, const struct classifier *c, const struct classifier *old)
{
	uint32_t n = classify_rules(c), n_old = classify_rules(old);
	struct named *a = names_of(c, n), *b = names_of(old, n_old);
	int r = a && b ? 0 : -ENOMEM;

	for (uint32_t i = 0, k = 0; !r && i < n; i++) {
		while (k < n_old && b[k].name < a[i].name)
			k++;
		if (k < n_old && b[k].name == a[i].name) {
			if (same_rule(c, a[i].index, old, b[k].index))
				out[a[i].index] = b[k].index;
			k++;
		}
	}
	free(a);
	free(b);
	return r;
}

static void match_limits(struct snapshot_match *m, const struct classifier *c,
			 const struct classifier *old)
{
	for (uint32_t i = 0; i < classify_rules(c); i++) {
		uint32_t limit = classify_limit_of(c, i);

		if (limit < classify_limits(c) && m->rule[i] != UINT32_MAX)
			m->limit[limit] = classify_limit_of(old, m->rule[i]);
	}
}

static void match_layers(uint32_t *out, const struct classifier *c, const struct classifier *old)
{
	for (uint32_t i = 0; i < classify_layers(c); i++)
		for (uint32_t k = 0; k < classify_layers(old); k++)
			if (strcmp(classify_layer_name(c, i), classify_layer_name(old, k)) == 0)
				out[i] = k;
}

static uint32_t *nothing(uint32_t n)
{
	uint32_t *a = malloc(((size_t)n + 1) * sizeof(*a));

	if (a)
		memset(a, 0xff, ((size_t)n + 1) * sizeof(*a));
	return a;
}

int snapshot_match_init(struct snapshot_match *m, const struct classifier *c,
			const struct classifier *old)
{
	m->rule = nothing(classify_rules(c));
	m->layer = nothing(classify_layers(c));
	m->limit = nothing(classify_limits(c));
	if (!m->rule || !m->layer || !m->limit || match_rules(m->rule, c, old))
		return -ENOMEM;
	match_limits(m, c, old);
	match_layers(m->layer, c, old);
	return 0;
}

void snapshot_match_deinit(struct snapshot_match *m)
{
	free(m->rule);
	free(m->layer);
	free(m->limit);
	*m = (struct snapshot_match){0};
}
