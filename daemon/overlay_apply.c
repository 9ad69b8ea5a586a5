/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Putting changes of run time in force, as edits of sets or under a new image; see overlay.h. */
#include "daemon/overlay.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* -------------------------------------------------------------------------- edits ---- */

/* All that is leased, put together once: there may be very many leases of an element each. */
static bool leased(const struct overlay_set *s, struct policy_spans *out)
{
	struct policy_span *all;
	size_t n = 0, at = 0;
	bool ok;

	for (size_t i = 0; i < s->leases; i++)
		n += s->lease[i].spans.n;
	all = malloc((n + 1) * sizeof(*all));
	for (size_t i = 0; all && i < s->leases; i++) {
		const struct policy_spans *l = &s->lease[i].spans;

		if (l->n)
			memcpy(all + at, l->span, l->n * sizeof(*all));
		at += l->n;
	}
	ok = all && policy_spans_make(out, all, n);
	free(all);
	return ok;
}

static bool add_leases(struct policy_spans *to, const struct overlay_set *s,
		       const struct policy_spans *within)
{
	struct policy_spans all = {0}, some = {0};
	bool ok = leased(s, &all) && (!within || policy_spans_within(&some, &all, within)) &&
		  policy_spans_add(to, within ? &some : &all);

	policy_spans_deinit(&all);
	policy_spans_deinit(&some);
	return ok;
}

/* What the set shall have of what was touched. */
static bool wanted(const struct overlay_set *s, struct policy_spans *out)
{
	struct policy_spans w = {0}, added = {0};
	bool ok = s->replaced || (policy_spans_within(&w, &s->base, &s->touched) &&
				  policy_spans_remove(&w, &s->removed));

	ok = ok && policy_spans_within(&added, &s->added, &s->touched) &&
	     policy_spans_add(&w, &added) && add_leases(&w, s, &s->touched);
	policy_spans_deinit(&added);
	if (ok)
		*out = w;
	else
		policy_spans_deinit(&w);
	return ok;
}

struct edits {
	struct classify_edit *edit;
	size_t n;
};

static int push(struct edits *e, uint32_t set, bool remove, const struct policy_spans *s)
{
	struct classify_edit *list;

	if (e->n + s->n > CLASSIFY_PATCH_MAX)
		return -E2BIG;
	list = realloc(e->edit, (e->n + s->n + 1) * sizeof(*list));
	if (!list)
		return -ENOMEM;
	e->edit = list;
	for (size_t i = 0; i < s->n; i++) {
		struct classify_edit *to = &list[e->n++];

		*to = (struct classify_edit){
			.set = set, .family = s->span[i].family, .remove = remove};
		memcpy(to->lo, s->span[i].lo, 16);
		memcpy(to->hi, s->span[i].hi, 16);
	}
	return 0;
}

static int set_edits(struct edits *e, const struct overlay_set *s, uint32_t set)
{
	struct policy_spans want = {0}, gone = {0};
	int r = wanted(s, &want) && policy_spans_copy(&gone, &s->touched) &&
				policy_spans_remove(&gone, &want)
			? 0
			: -ENOMEM;

	if (r == 0)
		r = push(e, set, true, &gone);
	if (r == 0)
		r = push(e, set, false, &want);
	policy_spans_deinit(&want);
	policy_spans_deinit(&gone);
	return r;
}

int overlay_edits(const struct overlay *o, const struct classifier *c, struct classify_edit **edit,
		  size_t *n)
{
	struct edits e = {0};
	int r = 0;

	for (size_t i = 0; r == 0 && i < o->sets; i++) {
		uint32_t set = o->set[i]->touched.n ? classify_set_find(c, o->set[i]->name)
						    : UINT32_MAX;

		if (set != UINT32_MAX)
			r = set_edits(&e, o->set[i], set);
	}
	if (r < 0) {
		free(e.edit);
		return r;
	}
	*edit = e.edit;
	*n = e.n;
	return 0;
}

/* A run of edits of one set and one kind. */
static int adopt_run(struct overlay *o, const struct classifier *c,
		     const struct classify_edit *edit, size_t n)
{
	static const struct overlay_terms stay;
	struct policy_span *span = calloc(n, sizeof(*span));
	struct policy_spans s = {0};
	struct err e = {0};
	int r = span ? 0 : -ENOMEM;

	for (size_t i = 0; r == 0 && i < n; i++) {
		span[i].family = edit[i].family;
		memcpy(span[i].lo, edit[i].lo, edit[i].family == 4 ? 4 : 16);
		memcpy(span[i].hi, edit[i].hi, edit[i].family == 4 ? 4 : 16);
		r = policy_spans_valid(&span[i], 1) ? 0 : -EINVAL;
	}
	if (r == 0 && !policy_spans_make(&s, span, n))
		r = -ENOMEM;
	if (r == 0)
		r = overlay_elements(o, c, classify_set_name(c, edit->set),
				     edit->remove ? OVERLAY_DELETE : OVERLAY_ADD, &s, &stay, &e);
	r = r > 0 ? 0 : r;
	policy_spans_deinit(&s);
	free(span);
	return r;
}

int overlay_adopt(struct overlay *o, const struct classifier *c, const struct classify_edit *edit,
		  size_t n)
{
	size_t k;
	int r = 0;

	for (size_t i = 0; r == 0 && i < n; i = k) {
		const char *name = edit[i].set < classify_sets(c)
					   ? classify_set_name(c, edit[i].set)
					   : NULL;

		if (!name || !*name)
			return -EINVAL;
		for (k = i + 1;
		     k < n && edit[k].set == edit[i].set && edit[k].remove == edit[i].remove;)
			k++;
		r = adopt_run(o, c, edit + i, k - i);
	}
	return r;
}

/* --------------------------------------------------------------------------- plans ---- */

void overlay_plan_deinit(struct overlay_plan *plan)
{
	for (size_t i = 0; i < plan->overlay.edits; i++) {
		policy_spans_deinit(&plan->overlay.edit[i].added);
		policy_spans_deinit(&plan->overlay.edit[i].removed);
		policy_spans_deinit(&plan->overlay.edit[i].base);
	}
	free(plan->overlay.edit);
	free(plan->object);
	*plan = (struct overlay_plan){0};
}

static bool plan_set(const struct overlay_set *s, struct policy_set_edit *e)
{
	e->set = s->name;
	e->replaced = s->replaced;
	return policy_spans_copy(&e->added, &s->added) &&
	       policy_spans_copy(&e->removed, &s->removed) && add_leases(&e->added, s, NULL);
}

int overlay_plan(const struct overlay *o, struct overlay_plan *plan)
{
	struct overlay_plan p = {.object = calloc(o->objects + 1, sizeof(*p.object))};
	bool ok;

	p.overlay.edit = calloc(o->sets + 1, sizeof(*p.overlay.edit));
	ok = p.object && p.overlay.edit;
	for (size_t i = 0; ok && i < o->objects; i++) {
		const struct overlay_object *b = o->object[i];

		p.object[i] = (struct policy_object){
			.number = b->number,
			.change = b->change,
			.last = b->last,
			.layer = b->layer,
			.text = b->text,
		};
	}
	p.overlay.object = p.object;
	p.overlay.objects = o->objects;
	while (ok && p.overlay.edits < o->sets) {
		ok = plan_set(o->set[p.overlay.edits], &p.overlay.edit[p.overlay.edits]);
		p.overlay.edits++;
	}
	if (!ok) {
		overlay_plan_deinit(&p);
		return -ENOMEM;
	}
	*plan = p;
	return 0;
}

/* Does it still differ from its policy? */
static bool differs(const struct overlay_set *s)
{
	return s->replaced || s->added.n || s->removed.n || s->leases;
}

/* What the parser has found out about it. False: there is no such set any more. */
static bool take_base(struct overlay_set *s, struct policy_set_edit *e)
{
	policy_spans_deinit(&s->base);
	s->base = e->base;
	e->base = (struct policy_spans){0};
	return e->found;
}

int overlay_settle(struct overlay *o, struct overlay_plan *plan)
{
	size_t kept = 0;

	for (size_t i = 0; i < o->sets; i++)
		if (!overlay_own(o, i))
			return -ENOMEM;
	for (size_t i = 0; i < o->objects; i++)
		o->object[i]->change = 0;
	for (size_t i = 0; i < o->sets; i++) {
		struct overlay_set *s = o->set[i];
		bool found = !plan || take_base(s, &plan->overlay.edit[i]);

		policy_spans_deinit(&s->touched);
		if (found && differs(s))
			o->set[kept++] = s;
		else
			overlay_set_put(s);
	}
	o->sets = kept;
	o->compile = false;
	return 0;
}
