/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Making the rows of a classifier's index: one sweep over each dimension.
 *
 * Rules that ask the same of a dimension form a group. Where the intervals of a group begin and end
 * are its events; between two events no rule changes its mind. The groups that are active there
 * name the class: their random numbers, XORed. So a million prefixes in one set make two classes, and the
 * cost of a class is paid once, however many intervals share it.
 */
#include "core/classify_index.h"
#include "core/classify_view.h"
#include "core/policy_ast.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define HASH_SLOTS_MIN 1024u

typedef unsigned __int128 pos_t; /* a port, an address; one behind the last is no event */

struct event {
	pos_t at;
	uint32_t group;
	int32_t delta;
};

struct group {
	uint64_t name[2];
	uint32_t first, n; /* its rules, in `order` */
	uint32_t active;   /* intervals that cover this place */
	uint32_t place;    /* in the list of active groups */
};

struct build {
	const struct classifier *c;
	struct classify_index *ix;
	struct index_part *part;
	enum pol_cond cond;
	bool v6;
	uint32_t *order; /* rules with this condition, group by group */
	uint32_t nrules;
	struct group *group;
	uint32_t ngroups;
	struct event *event;
	size_t nevents, capevents;
	uint32_t *active;
	uint32_t nactive;
	uint64_t name[2]; /* of the groups that are active */
	uint64_t *base;   /* the row where no group is */
};

static uint64_t mix(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15ull);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

static void row_set(const struct classify_index *ix, uint64_t *row, uint32_t rule, bool on)
{
	uint64_t bit = 1ull << rule % 64;

	if (on)
		row[ix->sums + rule / 64] |= bit;
	else
		row[ix->sums + rule / 64] &= ~bit;
}

static void row_summarize(const struct classify_index *ix, uint64_t *row)
{
	memset(row, 0, ix->sums * sizeof(*row));
	for (uint32_t i = 0; i < ix->words; i++)
		if (row[ix->sums + i])
			row[i / 64] |= 1ull << i % 64;
}

/* -1: no memory; -2: too much of it. */
static int64_t new_row(struct classify_index *ix, struct index_part *p, const uint64_t *from)
{
	size_t size = ix->stride * sizeof(uint64_t);

	if (p->classes == p->capacity) {
		uint32_t cap = p->capacity ? p->capacity * 2 : 16;
		uint64_t *rows;

		if (ix->bytes + (cap - p->capacity) * size > INDEX_BYTES_MAX)
			return -2;
		rows = realloc(p->rows, cap * size);
		if (!rows)
			return -1;
		ix->bytes += (cap - p->capacity) * size;
		p->rows = rows;
		p->capacity = cap;
	}
	memcpy(p->rows + (size_t)p->classes * ix->stride, from, size);
	return p->classes++;
}

/* ---- groups ---- */

static struct image_span span_of(const struct image_rule *r, enum pol_cond cond)
{
	return cond == COND_FROM      ? r->from
	       : cond == COND_TO      ? r->to
	       : cond == COND_COUNTRY ? r->country
	       : cond == COND_SPORT   ? r->sport
				      : r->dport;
}

static bool of_ports(enum pol_cond cond)
{
	return cond == COND_SPORT || cond == COND_DPORT;
}

/* What the rule asks, as words to compare: set numbers, or ranges of ports. */
static const uint32_t *asked(const struct classifier *c, const struct image_rule *r,
			     enum pol_cond cond, uint32_t *n)
{
	struct image_span s = span_of(r, cond);

	_Static_assert(sizeof(struct image_port) == sizeof(uint32_t), "a range is one word");
	*n = s.n;
	if (!of_ports(cond))
		return c->members + s.first;
	return (const uint32_t *)(const void *)(c->ports + s.first);
}

struct sort_key {
	const uint32_t *words;
	uint32_t n, rule;
};

static int compare_keys(const void *a, const void *b)
{
	const struct sort_key *x = a, *y = b;
	int r;

	if (x->n != y->n)
		return x->n < y->n ? -1 : 1;
	r = memcmp(x->words, y->words, x->n * sizeof(*x->words));
	if (r)
		return r;
	return (x->rule > y->rule) - (x->rule < y->rule);
}

static bool same_key(const struct sort_key *a, const struct sort_key *b)
{
	return a->n == b->n && !memcmp(a->words, b->words, a->n * sizeof(*a->words));
}

static int make_groups(struct build *b)
{
	const struct classifier *c = b->c;
	struct sort_key *keys = calloc((size_t)c->n[IMAGE_RULES] + 1, sizeof(*keys));
	uint64_t seed = 1;

	b->order = calloc((size_t)c->n[IMAGE_RULES] + 1, sizeof(*b->order));
	b->group = calloc((size_t)c->n[IMAGE_RULES] + 1, sizeof(*b->group));
	b->active = calloc((size_t)c->n[IMAGE_RULES] + 1, sizeof(*b->active));
	if (!keys || !b->order || !b->group || !b->active) {
		free(keys);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < c->n[IMAGE_RULES]; i++) {
		struct sort_key *k = &keys[b->nrules];

		if (!(c->rules[i].seen & POL_BIT(b->cond)))
			continue;
		k->words = asked(c, &c->rules[i], b->cond, &k->n);
		k->rule = i;
		b->nrules++;
	}
	qsort(keys, b->nrules, sizeof(*keys), compare_keys);
	for (uint32_t i = 0; i < b->nrules; i++) {
		if (!i || !same_key(&keys[i], &keys[i - 1]))
			b->group[b->ngroups++] = (struct group){.name = {mix(&seed), mix(&seed)},
								.first = i};
		b->group[b->ngroups - 1].n++;
		b->order[i] = keys[i].rule;
	}
	free(keys);
	return 0;
}

/* ---- events ---- */

static int add_event(struct build *b, pos_t at, uint32_t group, int32_t delta)
{
	if (b->nevents == b->capevents) {
		size_t cap = b->capevents ? b->capevents * 2 : 256;
		struct event *e = realloc(b->event, cap * sizeof(*e));

		if (!e)
			return -ENOMEM;
		b->event = e;
		b->capevents = cap;
	}
	b->event[b->nevents++] = (struct event){at, group, delta};
	return 0;
}

static int add_interval(struct build *b, pos_t lo, pos_t hi, pos_t max, uint32_t group)
{
	int r = add_event(b, lo, group, 1);

	return r || hi == max ? r : add_event(b, hi + 1, group, -1);
}

static pos_t load128(const uint8_t a[16])
{
	pos_t v = 0;

	for (int i = 0; i < 16; i++)
		v = v << 8 | a[i];
	return v;
}

static int set_events(struct build *b, const struct image_set *s, uint32_t group)
{
	const struct classifier *c = b->c;
	int r = 0;

	for (uint32_t i = 0; !b->v6 && i < s->v4.n && !r; i++) {
		const struct image_v4 *v = &c->v4[s->v4.first + i];

		r = add_interval(b, v->lo, v->hi, UINT32_MAX, group);
	}
	for (uint32_t i = 0; b->v6 && i < s->v6.n && !r; i++) {
		const struct image_v6 *v = &c->v6[s->v6.first + i];

		r = add_interval(b, load128(v->lo), load128(v->hi), ~(pos_t)0, group);
	}
	return r;
}

static int group_events(struct build *b, uint32_t group)
{
	const struct image_rule *rule = &b->c->rules[b->order[b->group[group].first]];
	struct image_span s = span_of(rule, b->cond);
	int r = 0;

	for (uint32_t i = 0; i < s.n && !r; i++) {
		if (!of_ports(b->cond)) {
			r = set_events(b, &b->c->sets[b->c->members[s.first + i]], group);
		} else {
			const struct image_port *p = &b->c->ports[s.first + i];

			r = add_interval(b, p->lo, p->hi, UINT16_MAX, group);
		}
	}
	return r;
}

static int compare_events(const void *a, const void *b)
{
	const struct event *x = a, *y = b;

	return (x->at > y->at) - (x->at < y->at);
}

static int make_events(struct build *b)
{
	int r = 0;

	for (uint32_t g = 0; g < b->ngroups && !r; g++)
		r = group_events(b, g);
	if (!r && b->nevents)
		qsort(b->event, b->nevents, sizeof(*b->event), compare_events);
	return r;
}

/* ---- classes ---- */

static bool negated(const struct build *b, uint32_t rule)
{
	return b->c->rules[rule].neg & POL_BIT(b->cond);
}

static int make_base(struct build *b)
{
	const struct classify_index *ix = b->ix;

	b->base = calloc(ix->stride, sizeof(*b->base));
	if (!b->base)
		return -ENOMEM;
	for (uint32_t i = 0; i < ix->rules; i++)
		row_set(ix, b->base, i, true);
	for (uint32_t i = 0; i < b->nrules; i++)
		row_set(ix, b->base, b->order[i], negated(b, b->order[i]));
	return 0;
}

static int64_t make_class(struct build *b)
{
	int64_t class = new_row(b->ix, b->part, b->base);
	uint64_t *row;

	if (class < 0)
		return class;
	row = b->part->rows + (size_t) class * b->ix->stride;
	for (uint32_t i = 0; i < b->nactive; i++) {
		const struct group *g = &b->group[b->active[i]];

		for (uint32_t j = g->first; j < g->first + g->n; j++)
			row_set(b->ix, row, b->order[j], !negated(b, b->order[j]));
	}
	row_summarize(b->ix, row);
	return class;
}

struct index_slot *classify_index_slot(struct index_slot *slot, uint32_t slots,
				       const uint64_t name[2])
{
	uint32_t i = (uint32_t)name[0] & (slots - 1);

	while (slot[i].used && (slot[i].name[0] != name[0] || slot[i].name[1] != name[1]))
		i = (i + 1) & (slots - 1);
	return &slot[i];
}

static int grow_slots(struct build *b)
{
	struct index_part *p = b->part;
	uint32_t slots = p->slots ? p->slots * 2 : HASH_SLOTS_MIN;
	struct index_slot *slot = calloc(slots, sizeof(*slot));

	if (!slot)
		return -ENOMEM;
	for (uint32_t i = 0; i < p->slots; i++)
		if (p->slot[i].used)
			*classify_index_slot(slot, slots, p->slot[i].name) = p->slot[i];
	free(p->slot);
	p->slot = slot;
	p->slots = slots;
	return 0;
}

/* The class of what is active now. */
static int64_t current_class(struct build *b)
{
	struct index_slot *s;
	int64_t class;

	if (2 * b->part->classes >= b->part->slots && grow_slots(b))
		return -1;
	s = classify_index_slot(b->part->slot, b->part->slots, b->name);
	if (s->used)
		return s->class;
	class = make_class(b);
	if (class >= 0)
		*s = (struct index_slot){{b->name[0], b->name[1]}, (uint32_t) class, true};
	return class;
}

static void apply(struct build *b, const struct event *e)
{
	struct group *g = &b->group[e->group];
	bool was = g->active > 0;

	g->active = (uint32_t)((int32_t)g->active + e->delta);
	if (was == (g->active > 0))
		return;
	b->name[0] ^= g->name[0];
	b->name[1] ^= g->name[1];
	if (!was) {
		g->place = b->nactive;
		b->active[b->nactive++] = e->group;
	} else {
		uint32_t last = b->active[--b->nactive];

		b->active[g->place] = last;
		b->group[last].place = g->place;
	}
}

/* ---- the ways from a value to its class ---- */

static int reserve_starts(struct build *b, size_t n)
{
	struct index_part *p = b->part;

	if (of_ports(b->cond)) {
		p->class_of = calloc(INDEX_NO_PORT + 1, sizeof(*p->class_of));
		return p->class_of ? 0 : -ENOMEM;
	}
	p->class_of = calloc(n, sizeof(*p->class_of));
	if (b->v6)
		p->start6 = calloc(n, sizeof(*p->start6));
	else
		p->start4 = calloc(n, sizeof(*p->start4));
	return p->class_of && (p->start6 || p->start4) ? 0 : -ENOMEM;
}

static void add_start(struct build *b, pos_t at, uint32_t class)
{
	struct index_part *p = b->part;

	if (of_ports(b->cond)) {
		p->class_of[(uint32_t)at] = class + 1; /* 0: as the port before it */
		return;
	}
	if (p->n && p->class_of[p->n - 1] == class)
		return;
	p->class_of[p->n] = class;
	if (b->v6)
		p->start6[p->n] = (struct index_v6){(uint64_t)(at >> 64), (uint64_t)at};
	else
		p->start4[p->n] = (uint32_t)at;
	p->n++;
}

static int sweep(struct build *b)
{
	size_t i = 0;
	int64_t class;
	int r = grow_slots(b);

	if (!r)
		r = reserve_starts(b, b->nevents + 1);
	if (r)
		return r;
	class = current_class(b);
	if (class >= 0)
		add_start(b, 0, (uint32_t) class);
	while (class >= 0 && i < b->nevents) {
		pos_t at = b->event[i].at;

		for (; i < b->nevents && b->event[i].at == at; i++)
			apply(b, &b->event[i]);
		class = current_class(b);
		if (class < 0)
			break;
		/* An interval that starts at 0 replaces the first one. */
		if (!at)
			b->part->n = 0;
		add_start(b, at, (uint32_t) class);
	}
	return class == -1 ? -ENOMEM : class == -2 ? 1 : 0;
}

static int make_top(struct index_part *p)
{
	uint32_t at = 0;

	p->top = calloc(65537, sizeof(*p->top));
	if (!p->top)
		return -ENOMEM;
	for (uint32_t hi = 0; hi <= 65536; hi++) {
		while (at < p->n && p->start4[at] < (uint64_t)hi << 16)
			at++;
		p->top[hi] = at;
	}
	/* find4 takes the interval before the place it finds: there is always one, since the
	 * first starts at 0, which must not be counted as lying in front of stretch 0. */
	return 0;
}

/* Only the first port of each interval has its class yet. */
static void spread_ports(struct index_part *p)
{
	uint32_t class = 0;

	for (uint32_t port = 0; port < INDEX_NO_PORT; port++) {
		if (p->class_of[port])
			class = p->class_of[port] - 1;
		p->class_of[port] = class;
	}
}

/* A packet without ports matches no rule that asks for one, negated or not. */
static int no_port_class(struct build *b)
{
	int64_t class;

	for (uint32_t i = 0; i < b->nrules; i++)
		row_set(b->ix, b->base, b->order[i], false);
	row_summarize(b->ix, b->base);
	class = new_row(b->ix, b->part, b->base);
	if (class < 0)
		return class == -1 ? -ENOMEM : 1;
	b->part->class_of[INDEX_NO_PORT] = (uint32_t) class;
	return 0;
}

/* ---- what it takes to change classes later (classify_patch.c) ---- */

static int keep_names(struct index_part *p)
{
	p->name = calloc(p->classes, sizeof(*p->name));
	if (!p->name)
		return -ENOMEM;
	for (uint32_t i = 0; i < p->slots; i++)
		if (p->slot[i].used)
			memcpy(p->name[p->slot[i].class], p->slot[i].name, sizeof(*p->name));
	return 0;
}

static int compare_uses(const void *a, const void *b)
{
	const struct index_use *x = a, *y = b;

	if (x->set != y->set)
		return x->set < y->set ? -1 : 1;
	return (x->group > y->group) - (x->group < y->group);
}

/* Sets without a name do not change. */
static uint32_t list_uses(const struct build *b, struct index_use *use)
{
	const struct classifier *c = b->c;
	uint32_t n = 0;

	for (uint32_t g = 0; g < b->ngroups; g++) {
		struct image_span s = span_of(&c->rules[b->order[b->group[g].first]], b->cond);

		for (uint32_t i = 0; i < s.n; i++) {
			uint32_t set = c->members[s.first + i];

			if (!c->strings[c->sets[set].name])
				continue;
			if (use)
				use[n] = (struct index_use){set, g};
			n++;
		}
	}
	return n;
}

static int keep_groups(struct build *b, struct index_groups *to)
{
	uint32_t n;

	to->group = calloc(b->ngroups, sizeof(*to->group));
	to->use = calloc((size_t)list_uses(b, NULL) + 1, sizeof(*to->use));
	if (!to->group || !to->use)
		return -ENOMEM;
	for (uint32_t g = 0; g < b->ngroups; g++)
		to->group[g] = (struct index_group){{b->group[g].name[0], b->group[g].name[1]},
						    b->group[g].first,
						    b->group[g].n};
	to->n = b->ngroups;
	n = list_uses(b, to->use);
	qsort(to->use, n, sizeof(*to->use), compare_uses);
	for (uint32_t i = 0; i < n; i++) /* a list may name a set twice */
		if (!i || compare_uses(&to->use[i], &to->use[i - 1]))
			to->use[to->uses++] = to->use[i];
	to->order = b->order;
	b->order = NULL;
	return 0;
}

static void groups_free(struct index_groups *g)
{
	free(g->group);
	free(g->order);
	free(g->use);
	*g = (struct index_groups){0};
}

static int keep(struct build *b)
{
	int r;

	if (b->cond != COND_FROM && b->cond != COND_TO) {
		free(b->part->slot);
		b->part->slot = NULL;
		b->part->slots = 0;
		return 0;
	}
	r = b->part->rows ? keep_names(b->part) : 0;
	if (r || b->v6)
		return r;
	return keep_groups(b, b->cond == COND_FROM ? &b->ix->from : &b->ix->to);
}

static void part_free(struct classify_index *ix, struct index_part *p)
{
	ix->bytes -= p->capacity * ix->stride * sizeof(uint64_t);
	free(p->rows);
	free(p->class_of);
	free(p->start4);
	free(p->start6);
	free(p->top);
	free(p->name);
	free(p->slot);
	*p = (struct index_part){0};
}

static void build_free(struct build *b)
{
	free(b->order);
	free(b->group);
	free(b->event);
	free(b->active);
	free(b->base);
}

static int build_swept(struct classify_index *ix, const struct classifier *c, enum index_dim d,
		       enum pol_cond cond, bool v6)
{
	struct build b = {.c = c, .ix = ix, .part = &ix->part[d], .cond = cond, .v6 = v6};
	bool ports = of_ports(cond);
	int r = make_groups(&b);

	if (!r && !b.nrules) {
		build_free(&b);
		return 0;
	}
	if (!r)
		r = make_events(&b);
	if (!r)
		r = make_base(&b);
	if (!r)
		r = sweep(&b);
	if (!r && ports) {
		spread_ports(b.part);
		r = no_port_class(&b);
	}
	if (!r && !ports && !v6)
		r = make_top(b.part);
	if (r)
		part_free(ix, b.part);
	if (r > 0) { /* too large: look at this condition rule by rule */
		ix->residual |= POL_BIT(cond);
		r = 0;
	}
	if (!r)
		r = keep(&b);
	build_free(&b);
	return r;
}

/* ---- small dimensions: every value is tried ---- */

static bool matches_proto(const struct classifier *c, const struct image_rule *r, uint32_t value)
{
	bool m;

	if (!(r->seen & POL_BIT(COND_PROTO)))
		return true;
	m = c->bits[r->proto].b[value / 8] >> value % 8 & 1;
	return m != !!(r->neg & POL_BIT(COND_PROTO));
}

/* Every packet has a place, so that this dimension has a row always. */
static bool matches_place(const struct classifier *c, const struct image_rule *r, uint32_t value)
{
	uint32_t hook = value & 7, family = value < 8 ? 4 : 6;
	bool m;

	(void)c;
	if (r->is_default) /* it is taken when no rule matches, not as one of them */
		return false;
	if (r->seen & POL_BIT(COND_FAMILY)) {
		m = r->family == family;
		if (m == !!(r->neg & POL_BIT(COND_FAMILY)))
			return false;
	}
	if (!(r->seen & POL_BIT(COND_HOOK)))
		return true;
	m = !hook || (r->hooks >> hook & 1);
	return m != !!(r->neg & POL_BIT(COND_HOOK));
}

static int64_t class_of_row(struct classify_index *ix, struct index_part *p, const uint64_t *row)
{
	for (uint32_t i = 0; i < p->classes; i++)
		if (!memcmp(p->rows + (size_t)i * ix->stride, row, ix->stride * sizeof(*row)))
			return i;
	return new_row(ix, p, row);
}

static int build_small(struct classify_index *ix, const struct classifier *c, enum index_dim d,
		       uint32_t values,
		       bool (*matches)(const struct classifier *, const struct image_rule *,
				       uint32_t))
{
	struct index_part *p = &ix->part[d];
	uint64_t *row = calloc(ix->stride, sizeof(*row));
	int64_t class = 0;

	p->class_of = calloc(values, sizeof(*p->class_of));
	if (!row || !p->class_of) {
		free(row);
		return -ENOMEM;
	}
	for (uint32_t v = 0; v < values && class >= 0; v++) {
		for (uint32_t i = 0; i < ix->rules; i++)
			row_set(ix, row, i, matches(c, &c->rules[i], v));
		row_summarize(ix, row);
		class = class_of_row(ix, p, row);
		p->class_of[v] = (uint32_t) class;
	}
	free(row);
	return class < 0 ? -ENOMEM : 0;
}

static bool anybody_asks(const struct classifier *c, enum pol_cond cond)
{
	for (uint32_t i = 0; i < c->n[IMAGE_RULES]; i++)
		if (c->rules[i].seen & POL_BIT(cond))
			return true;
	return false;
}

int classify_index_build(struct classify_index *ix, const struct classifier *c)
{
	int r;

	*ix = (struct classify_index){.rules = c->n[IMAGE_RULES]};
	ix->words = (ix->rules + 63) / 64;
	ix->sums = (ix->words + 63) / 64;
	ix->stride = ix->words + ix->sums;
	ix->residual = POL_BIT(COND_IN) | POL_BIT(COND_OUT) | POL_BIT(COND_ICMP_TYPE) |
		       POL_BIT(COND_ICMP_CODE) | POL_BIT(COND_MARK) | POL_BIT(COND_TCP_FLAGS) |
		       POL_BIT(COND_TIME) | POL_BIT(COND_DAY) | POL_BIT(COND_REAUTHORIZE) |
		       POL_BIT(COND_REASON) | POL_BIT(COND_UNTIL) | POL_LISTENER;
	if (!ix->rules)
		return 0;
	r = build_small(ix, c, DIM_PLACE, INDEX_PLACES, matches_place);
	if (!r && anybody_asks(c, COND_PROTO))
		r = build_small(ix, c, DIM_PROTO, 256, matches_proto);
	if (!r)
		r = build_swept(ix, c, DIM_DPORT, COND_DPORT, false);
	if (!r)
		r = build_swept(ix, c, DIM_SPORT, COND_SPORT, false);
	if (!r)
		r = build_swept(ix, c, DIM_FROM4, COND_FROM, false);
	if (!r)
		r = build_swept(ix, c, DIM_FROM6, COND_FROM, true);
	if (!r)
		r = build_swept(ix, c, DIM_TO4, COND_TO, false);
	if (!r)
		r = build_swept(ix, c, DIM_TO6, COND_TO, true);
	if (!r)
		r = build_swept(ix, c, DIM_COUNTRY4, COND_COUNTRY, false);
	if (!r)
		r = build_swept(ix, c, DIM_COUNTRY6, COND_COUNTRY, true);
	if (r)
		classify_index_free(ix);
	return r;
}

void classify_index_free(struct classify_index *ix)
{
	for (int i = 0; i < DIM_COUNT; i++)
		part_free(ix, &ix->part[i]);
	groups_free(&ix->from);
	groups_free(&ix->to);
}
