/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Making a patch. What a set contains is noted where it is not as compiled. Then the groups of rules
 * that ask for the set (classify_build.c) are looked at again, but only within the addresses that were
 * edited: where a group is active now and was not, or the other way round, its name is XORed into
 * that of the class, and where this is a class that nobody has made yet, its row is the old one with the
 * bits of the group's rules turned over.
 */
#include "core/classify_patch.h"
#include "core/classify_patched.h"
#include "core/classify_view.h"
#include "core/policy_ast.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Above these it is time to compile anew. */
#define SEGMENTS_MAX (4 * CLASSIFY_PATCH_MAX) /* of one dimension */
#define ROWS_MAX     (64u << 20)              /* bytes, of one dimension */
#define EVENTS_MAX   (1u << 20)               /* within one range */
#define WORK_MAX     (1u << 26)               /* of one call: looks at a group */
#define SLOTS_MIN    16u

struct event {
	pos_t at;
	uint32_t use;
	int32_t delta;
};

/* One dimension, one set. */
struct sweep {
	const struct classifier *c; /* the new one */
	const struct index_part *index;
	const struct index_groups *groups;
	const struct index_use *use; /* the groups that ask for the set */
	uint32_t uses;
	bool to, v6;
	const struct rangemap *old;
	struct patch_part *part;
	struct event *event;
	size_t nevents, capevents;
	uint32_t *active; /* by use: intervals that cover this place */
	bool *flip;       /* ... is it another than in the class it was of? */
	size_t *work;
};

/* ---- classes ---- */

static const uint64_t *row_of(const struct sweep *s, uint32_t class)
{
	if (class < s->index->classes)
		return s->index->rows + (size_t) class * s->c->index.stride;
	return s->part->classes->row[class - s->index->classes];
}

static const uint64_t *name_of(const struct sweep *s, uint32_t class)
{
	if (class < s->index->classes)
		return s->index->name[class];
	return s->part->classes->name[class - s->index->classes];
}

static struct patch_classes *classes_copy(const struct patch_classes *from)
{
	struct patch_classes *c = calloc(1, sizeof(*c));
	uint32_t n = from ? from->n : 0;

	if (!c)
		return NULL;
	atomic_init(&c->users, 1);
	c->cap = n + n / 4 + 4;
	c->slots = from ? from->slots : SLOTS_MIN;
	c->name = malloc(c->cap * sizeof(*c->name));
	c->row = malloc(c->cap * sizeof(*c->row));
	c->slot = calloc(c->slots, sizeof(*c->slot));
	if (!c->name || !c->row || !c->slot) {
		patch_classes_drop(c);
		return NULL;
	}
	if (!from)
		return c;
	c->n = n;
	memcpy(c->name, from->name, n * sizeof(*c->name));
	memcpy(c->row, from->row, n * sizeof(*c->row));
	memcpy(c->slot, from->slot, c->slots * sizeof(*c->slot));
	c->last = from->last;
	if (c->last)
		atomic_fetch_add(&c->last->users, 1);
	return c;
}

/* Before the first of its classes is added, the new patch gets a table of its own. */
static bool classes_own(struct patch_part *p)
{
	struct patch_classes *c;

	if (p->classes && atomic_load(&p->classes->users) == 1)
		return true;
	c = classes_copy(p->classes);
	if (!c)
		return false;
	patch_classes_drop(p->classes);
	p->classes = c;
	return true;
}

static bool classes_room(struct patch_classes *c)
{
	uint32_t cap = c->cap * 2;
	void *mem;

	if (c->n < c->cap)
		return true;
	mem = realloc(c->name, cap * sizeof(*c->name));
	if (!mem)
		return false;
	c->name = mem;
	mem = realloc(c->row, cap * sizeof(*c->row));
	if (!mem)
		return false;
	c->row = mem;
	c->cap = cap;
	return true;
}

static bool slots_room(struct patch_classes *c)
{
	uint32_t slots = c->slots * 2;
	struct index_slot *slot;

	if (2 * c->n < c->slots)
		return true;
	slot = calloc(slots, sizeof(*slot));
	if (!slot)
		return false;
	for (uint32_t i = 0; i < c->slots; i++)
		if (c->slot[i].used)
			*classify_index_slot(slot, slots, c->slot[i].name) = c->slot[i];
	free(c->slot);
	c->slot = slot;
	c->slots = slots;
	return true;
}

static void flip_group(const struct classify_index *ix, uint64_t *row, const uint32_t *rule,
		       uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		uint32_t word = rule[i] / 64;
		uint64_t *sum = &row[word / 64], bit = 1ull << word % 64;

		row[ix->sums + word] ^= 1ull << rule[i] % 64;
		*sum = row[ix->sums + word] ? *sum | bit : *sum & ~bit;
	}
}

static struct patch_row *make_row(const struct sweep *s, uint32_t from)
{
	const struct classify_index *ix = &s->c->index;
	size_t size = ix->stride * sizeof(uint64_t);
	struct patch_row *r = malloc(sizeof(*r) + size);

	if (!r)
		return NULL;
	atomic_init(&r->users, 1);
	memcpy(r->bits, row_of(s, from), size);
	for (uint32_t i = 0; i < s->uses; i++) {
		const struct index_group *g = &s->groups->group[s->use[i].group];

		if (s->flip[i])
			flip_group(ix, r->bits, s->groups->order + g->first, g->n);
	}
	return r;
}

/* 0, -ENOMEM or -E2BIG. */
static int make_class(struct sweep *s, uint32_t from, const uint64_t name[2], uint32_t *class)
{
	size_t size = s->c->index.stride * sizeof(uint64_t);
	struct patch_classes *c;
	struct patch_row *r;

	if (!classes_own(s->part))
		return -ENOMEM;
	c = s->part->classes;
	if ((c->n + 1) * size > ROWS_MAX)
		return -E2BIG;
	if (!classes_room(c) || !slots_room(c))
		return -ENOMEM;
	r = make_row(s, from);
	if (!r)
		return -ENOMEM;
	r->before = c->last;
	c->last = r;
	c->row[c->n] = r->bits;
	memcpy(c->name[c->n], name, sizeof(*c->name));
	*class = s->index->classes + c->n++;
	*classify_index_slot(c->slot, c->slots,
			     name) = (struct index_slot){{name[0], name[1]}, *class, true};
	return 0;
}

static int find_class(struct sweep *s, uint32_t from, const uint64_t name[2], uint32_t *class)
{
	const struct patch_classes *c = s->part->classes;
	const struct index_slot *slot;

	slot = classify_index_slot(s->index->slot, s->index->slots, name);
	if (!slot->used && c)
		slot = classify_index_slot(c->slot, c->slots, name);
	if (!slot->used)
		return make_class(s, from, name, class);
	*class = slot->class;
	return 0;
}

/* A rule's bit in a row of its dimension says whether its group is active there, but for `!`. */
static bool was_active(const struct sweep *s, const uint64_t *row, uint32_t group)
{
	uint32_t rule = s->groups->order[s->groups->group[group].first];
	bool bit = row[s->c->index.sums + rule / 64] >> rule % 64 & 1;

	return bit != !!(s->c->rules[rule].neg & POL_BIT(s->to ? COND_TO : COND_FROM));
}

/* What becomes of a class where the groups are as active as `active` says. */
static int change_class(struct sweep *s, uint32_t from, uint32_t *class)
{
	const uint64_t *row = row_of(s, from), *old = name_of(s, from);
	uint64_t name[2] = {old[0], old[1]};
	bool any = false;

	*s->work += s->uses + 1;
	if (*s->work > WORK_MAX)
		return -E2BIG;
	for (uint32_t i = 0; i < s->uses; i++) {
		uint32_t g = s->use[i].group;

		s->flip[i] = was_active(s, row, g) != (s->active[i] > 0);
		if (!s->flip[i])
			continue;
		name[0] ^= s->groups->group[g].name[0];
		name[1] ^= s->groups->group[g].name[1];
		any = true;
	}
	*class = from;
	return any ? find_class(s, from, name, class) : 0;
}

/* ---- one range ---- */

static int add_event(struct sweep *s, pos_t at, uint32_t use, int32_t delta)
{
	if (s->nevents == EVENTS_MAX)
		return -E2BIG;
	if (s->nevents == s->capevents) {
		size_t cap = s->capevents ? s->capevents * 2 : 16;
		struct event *e = realloc(s->event, cap * sizeof(*e));

		if (!e)
			return -ENOMEM;
		s->event = e;
		s->capevents = cap;
	}
	s->event[s->nevents++] = (struct event){at, use, delta};
	return 0;
}

static int set_events(struct sweep *s, uint32_t use, uint32_t set, pos_t lo, pos_t hi)
{
	pos_t first, last;
	int r;

	while (classify_set_next(s->c, set, s->v6, lo, &first, &last) && first <= hi) {
		r = add_event(s, first, use, 1);
		if (r || last >= hi)
			return r;
		r = add_event(s, last + 1, use, -1);
		if (r)
			return r;
		lo = last + 1;
	}
	return 0;
}

static int compare_events(const void *a, const void *b)
{
	const struct event *x = a, *y = b;

	return (x->at > y->at) - (x->at < y->at);
}

/* All that the groups ask for, within the range, as it is now. */
static int make_events(struct sweep *s, pos_t lo, pos_t hi)
{
	const struct classifier *c = s->c;
	int r = 0;

	s->nevents = 0;
	for (uint32_t i = 0; i < s->uses && !r; i++) {
		const struct index_group *g = &s->groups->group[s->use[i].group];
		const struct image_rule *rule = &c->rules[s->groups->order[g->first]];
		struct image_span in = s->to ? rule->to : rule->from;

		s->active[i] = 0;
		*s->work += in.n;
		for (uint32_t j = 0; j < in.n && !r; j++)
			r = set_events(s, i, c->members[in.first + j], lo, hi);
	}
	if (s->nevents > 1)
		qsort(s->event, s->nevents, sizeof(*s->event), compare_events);
	return r;
}

static pos_t start_of(const struct sweep *s, uint32_t interval)
{
	const struct index_v6 *v;

	if (!s->v6)
		return s->index->start4[interval];
	v = &s->index->start6[interval];
	return (pos_t)v->hi << 64 | v->lo;
}

static uint32_t interval_of(const struct sweep *s, pos_t at)
{
	struct index_v6 v = {(uint64_t)(at >> 64), (uint64_t)at};

	return s->v6 ? classify_index_interval6(s->index, v)
		     : classify_index_interval4(s->index, (uint32_t)at);
}

static pos_t least(pos_t a, pos_t b)
{
	return a < b ? a : b;
}

/* From `at` to *end, at most, everything has been of one class: *class; the index says *compiled. */
static void class_at(const struct sweep *s, pos_t at, uint32_t *interval, size_t *segment,
		     pos_t *end, uint32_t *class, uint32_t *compiled)
{
	const struct rangemap *old = s->old;

	while (*interval + 1 < s->index->n && start_of(s, *interval + 1) <= at)
		++*interval;
	if (*interval + 1 < s->index->n)
		*end = least(*end, start_of(s, *interval + 1) - 1);
	*compiled = *class = s->index->class_of[*interval];
	while (old && *segment < old->n && rangemap_hi(old, *segment) < at)
		++*segment;
	if (!old || *segment == old->n)
		return;
	if (rangemap_lo(old, *segment) > at) {
		*end = least(*end, rangemap_lo(old, *segment) - 1);
		return;
	}
	*end = least(*end, rangemap_hi(old, *segment));
	*class = old->value[*segment];
}

static int sweep_range(struct sweep *s, pos_t lo, pos_t hi)
{
	uint32_t interval = interval_of(s, lo), was, now, compiled;
	size_t segment = s->old ? rangemap_from(s->old, lo) : 0, e = 0;
	pos_t at = lo, end;
	int r = make_events(s, lo, hi);

	while (!r) {
		for (; e < s->nevents && s->event[e].at == at; e++)
			s->active[s->event[e].use] += (uint32_t)s->event[e].delta;
		end = e < s->nevents ? least(hi, s->event[e].at - 1) : hi;
		class_at(s, at, &interval, &segment, &end, &was, &compiled);
		r = change_class(s, was, &now);
		if (!r && now != compiled && !rangemap_add(&s->part->map, at, end, now))
			r = -ENOMEM;
		if (!r && s->part->map.n > SEGMENTS_MAX)
			r = -E2BIG;
		if (end == hi)
			break;
		at = end + 1;
	}
	return r;
}

/* ---- one dimension ---- */

static int sweep_ranges(struct sweep *s, const struct rangemap *edited)
{
	pos_t max = rangemap_max(edited), at = 0;
	int r = 0;

	for (size_t i = 0; i < edited->n; i++) {
		pos_t lo = rangemap_lo(edited, i), hi = rangemap_hi(edited, i);

		if (s->old && lo > at && !rangemap_copy(&s->part->map, s->old, at, lo - 1))
			return -ENOMEM;
		r = sweep_range(s, lo, hi);
		if (r || hi == max)
			return r;
		at = hi + 1;
	}
	return !s->old || rangemap_copy(&s->part->map, s->old, at, max) ? 0 : -ENOMEM;
}

static int make_part(struct sweep *s, struct patch_part **part, const struct rangemap *edited)
{
	struct patch_part *p = calloc(1, sizeof(*p)), *old = *part;
	int r = -ENOMEM;

	if (!p)
		return r;
	atomic_init(&p->users, 1);
	p->map.v6 = s->v6;
	if (old && old->classes) {
		p->classes = old->classes;
		atomic_fetch_add(&p->classes->users, 1);
	}
	s->old = old ? &old->map : NULL;
	s->part = p;
	s->active = calloc(s->uses, sizeof(*s->active));
	s->flip = calloc(s->uses, sizeof(*s->flip));
	if (s->active && s->flip && rangemap_reserve(&p->map, old ? old->map.n + 4 : 4))
		r = sweep_ranges(s, edited);
	if (r || !p->map.n) {
		patch_part_drop(p);
		p = NULL;
	}
	if (!r) {
		*part = p;
		patch_part_drop(old);
	}
	free(s->active);
	free(s->flip);
	free(s->event);
	return r;
}

static int change_part(const struct classifier *c, enum index_dim d, uint32_t set,
		       const struct rangemap *edited, size_t *work)
{
	struct sweep s = {.c = c,
			  .index = &c->index.part[d],
			  .to = d == DIM_TO4 || d == DIM_TO6,
			  .v6 = d == DIM_FROM6 || d == DIM_TO6,
			  .work = work};
	uint32_t lo = 0, n;

	s.groups = s.to ? &c->index.to : &c->index.from;
	if (!s.index->rows)
		return 0;
	n = s.groups->uses;
	while (lo < n) {
		uint32_t mid = lo + (n - lo) / 2;

		if (s.groups->use[mid].set < set)
			lo = mid + 1;
		else
			n = mid;
	}
	s.use = s.groups->use + lo;
	while (lo + s.uses < s.groups->uses && s.use[s.uses].set == set)
		s.uses++;
	return s.uses ? make_part(&s, &c->patch->part[d], edited) : 0;
}

/* ---- one set, one family ---- */

/* What was edited, and what had been before; but no word about what is as compiled. */
static bool merge_edits(const struct classifier *c, uint32_t set, struct rangemap *m,
			const struct rangemap *old, const struct rangemap *edited)
{
	pos_t max = rangemap_max(m), at = 0;

	if (!rangemap_reserve(m, (old ? old->n : 0) + 2 * edited->n + 1))
		return false;
	for (size_t i = 0; i < edited->n; i++) {
		pos_t lo = rangemap_lo(edited, i), hi = rangemap_hi(edited, i);
		uint32_t in = edited->value[i];

		if (old && lo > at && !rangemap_copy(m, old, at, lo - 1))
			return false;
		if (!classify_set_as_compiled(c, set, m->v6, lo, hi, in) &&
		    !rangemap_add(m, lo, hi, in))
			return false;
		if (hi == max)
			return true;
		at = hi + 1;
	}
	return !old || rangemap_copy(m, old, at, max);
}

/* Takes `s`, or removes what is there when it is NULL. There is room. */
static void put_set(struct classify_patch *p, uint64_t key, struct patch_set *s)
{
	uint32_t i = 0, rest;
	bool there;

	while (i < p->n && p->key[i] < key)
		i++;
	there = i < p->n && p->key[i] == key;
	if (there) {
		p->ranges -= p->set[i]->map.n;
		patch_set_drop(p->set[i]);
	}
	rest = p->n - i - there;
	memmove(p->key + i + !!s, p->key + i + there, rest * sizeof(*p->key));
	memmove(p->set + i + !!s, p->set + i + there, rest * sizeof(struct patch_set *));
	p->n += !!s - (uint32_t)there;
	if (!s)
		return;
	p->key[i] = key;
	p->set[i] = s;
	p->ranges += s->map.n;
}

static int change_set(const struct classifier *c, uint32_t set, bool v6,
		      const struct rangemap *edited, size_t *work)
{
	const struct rangemap *old = classify_patched_map(c->patch, set, v6);
	struct patch_set *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	atomic_init(&s->users, 1);
	s->map.v6 = v6;
	if (!merge_edits(c, set, &s->map, old, edited)) {
		patch_set_drop(s);
		return -ENOMEM;
	}
	if (!s->map.n) {
		patch_set_drop(s);
		s = NULL;
	}
	put_set(c->patch, 2 * (uint64_t)set + v6, s);
	if (c->patch->ranges > CLASSIFY_PATCH_MAX)
		return -E2BIG;
	r = change_part(c, v6 ? DIM_FROM6 : DIM_FROM4, set, edited, work);
	return r ? r : change_part(c, v6 ? DIM_TO6 : DIM_TO4, set, edited, work);
}

/* ---- edits ---- */

static bool add_edit(struct rangemap *m, const struct classify_edit *e)
{
	return rangemap_add(m, pos_load(e->family, e->lo), pos_load(e->family, e->hi), !e->remove);
}

/* In order, and apart from each other: as lists mostly come. */
static bool in_order(const struct classify_edit *const *e, size_t n)
{
	for (size_t i = 1; i < n; i++)
		if (pos_load(e[i]->family, e[i]->lo) <= pos_load(e[i]->family, e[i - 1]->hi))
			return false;
	return true;
}

/* The last word on every address; halves, so that a hundred thousand edits are no matter. */
static bool resolve(struct rangemap *m, const struct classify_edit *const *e, size_t n)
{
	struct rangemap under = {.v6 = m->v6}, over = under;
	bool ok = true;

	if (in_order(e, n)) {
		ok = rangemap_reserve(m, n);
		for (size_t i = 0; i < n && ok; i++)
			ok = add_edit(m, e[i]);
		return ok;
	}
	ok = resolve(&under, e, n / 2) && resolve(&over, e + n / 2, n - n / 2) &&
	     rangemap_overlay(m, &under, &over);
	rangemap_deinit(&under);
	rangemap_deinit(&over);
	return ok;
}

static int compare_edits(const void *a, const void *b)
{
	const struct classify_edit *x = *(const struct classify_edit *const *)a;
	const struct classify_edit *y = *(const struct classify_edit *const *)b;

	if (x->set != y->set)
		return x->set < y->set ? -1 : 1;
	if (x->family != y->family)
		return x->family < y->family ? -1 : 1;
	return (x > y) - (x < y); /* of one array: as they came */
}

static bool edit_ok(const struct classifier *c, const struct classify_edit *e)
{
	return (e->family == 4 || e->family == 6) && e->remove <= 1 &&
	       *classify_set_name(c, e->set) &&
	       pos_load(e->family, e->lo) <= pos_load(e->family, e->hi);
}

/* Where those of the first one's set and family end. */
static size_t run(const struct classify_edit *const *e, size_t n)
{
	size_t i = 1;

	while (i < n && e[i]->set == e[0]->set && e[i]->family == e[0]->family)
		i++;
	return i;
}

static size_t runs(const struct classify_edit *const *e, size_t n)
{
	size_t i, count = 0;

	for (i = 0; i < n; i += run(e + i, n - i))
		count++;
	return count;
}

static int apply(const struct classifier *c, const struct classify_edit *const *e, size_t n)
{
	size_t first = 0, end, work = 0;
	int r = 0;

	for (; first < n && !r; first = end) {
		struct rangemap edited = {.v6 = e[first]->family == 6};

		end = first + run(e + first, n - first);
		r = resolve(&edited, e + first, end - first)
			    ? change_set(c, e[first]->set, edited.v6, &edited, &work)
			    : -ENOMEM;
		rangemap_deinit(&edited);
	}
	return r;
}

/* ---- the new classifier ---- */

/* With room for `more` sets. */
static struct classify_patch *patch_copy(const struct classify_patch *from, size_t more)
{
	struct classify_patch *p = calloc(1, sizeof(*p));
	uint32_t n = from ? from->n : 0;

	if (!p)
		return NULL;
	p->key = calloc(n + more + 1, sizeof(*p->key));
	p->set = calloc(n + more + 1, sizeof(struct patch_set *));
	if (!p->key || !p->set) {
		classify_patch_free(p);
		return NULL;
	}
	for (; p->n < n; p->n++) {
		p->key[p->n] = from->key[p->n];
		p->set[p->n] = from->set[p->n];
		atomic_fetch_add(&p->set[p->n]->users, 1);
	}
	p->ranges = from ? from->ranges : 0;
	for (int i = 0; from && i < PATCH_PARTS; i++) {
		p->part[i] = from->part[i];
		if (p->part[i])
			atomic_fetch_add(&p->part[i]->users, 1);
	}
	return p;
}

static struct classifier *classifier_copy(const struct classifier *from, size_t more)
{
	struct classifier *c = malloc(sizeof(*c));

	if (!c)
		return NULL;
	*c = *from;
	c->patch = patch_copy(from->patch, more);
	if (!c->patch) {
		free(c);
		return NULL;
	}
	atomic_fetch_add(c->users, 1);
	return c;
}

/* Nothing is left of what was changed: no need to look. */
static void drop_empty(struct classifier *c)
{
	for (int i = 0; i < PATCH_PARTS; i++)
		if (c->patch->part[i])
			return;
	if (c->patch->n)
		return;
	classify_patch_free(c->patch);
	c->patch = NULL;
}

int classify_patch(struct classifier **out, struct classifier *c, const struct classify_edit *edit,
		   size_t n)
{
	const struct classify_edit **order;
	struct classifier *made;
	int r;

	for (size_t i = 0; i < n; i++)
		if (!edit_ok(c, &edit[i]))
			return -EINVAL;
	order = calloc(n + 1, sizeof(struct classify_edit *));
	if (!order)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		order[i] = &edit[i];
	qsort(order, n, sizeof(*order), compare_edits);
	made = classifier_copy(c, runs(order, n));
	r = made ? apply(made, order, n) : -ENOMEM;
	free(order);
	if (r) {
		classify_detach(made);
		return r;
	}
	drop_empty(made);
	*out = made;
	return 0;
}
