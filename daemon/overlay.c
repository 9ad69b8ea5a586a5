/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Changes of run time; see overlay.h. */
#include "daemon/overlay.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --------------------------------------------------------------- life and clones ---- */

static void object_put(struct overlay_object *b)
{
	if (b && !--b->users)
		free(b);
}

static void leases_free(struct overlay_lease *lease, size_t n)
{
	for (size_t i = 0; i < n; i++)
		policy_spans_deinit(&lease[i].spans);
	free(lease);
}

void overlay_set_put(struct overlay_set *s)
{
	if (!s || --s->users)
		return;
	policy_spans_deinit(&s->base);
	policy_spans_deinit(&s->added);
	policy_spans_deinit(&s->removed);
	policy_spans_deinit(&s->touched);
	leases_free(s->lease, s->leases);
	free(s);
}

struct overlay *overlay_new(void)
{
	struct overlay *o = calloc(1, sizeof(*o));

	if (o) {
		o->users = 1;
		o->next = 1;
	}
	return o;
}

void overlay_put(struct overlay *o)
{
	if (!o || --o->users)
		return;
	for (size_t i = 0; i < o->objects; i++)
		object_put(o->object[i]);
	for (size_t i = 0; i < o->sets; i++)
		overlay_set_put(o->set[i]);
	free(o->object);
	free(o->set);
	free(o);
}

/* With room for one more. */
static void *copy_list(const void *list, size_t n, size_t size)
{
	char *copy = malloc((n + 1) * size);

	if (copy && n)
		memcpy(copy, list, n * size);
	return copy;
}

struct overlay *overlay_clone(const struct overlay *o)
{
	struct overlay *c = overlay_new();

	if (!c)
		return NULL;
	c->object = copy_list(o->object, o->objects, sizeof(struct overlay_object *));
	c->set = copy_list(o->set, o->sets, sizeof(struct overlay_set *));
	if (!c->object || !c->set) {
		overlay_put(c);
		return NULL;
	}
	c->objects = o->objects;
	c->sets = o->sets;
	c->next = o->next;
	c->compile = o->compile;
	for (size_t i = 0; i < c->objects; i++)
		c->object[i]->users++;
	for (size_t i = 0; i < c->sets; i++)
		c->set[i]->users++;
	return c;
}

/* ------------------------------------------------------------------------ rules ---- */

static bool layer_ok(const char *layer)
{
	return strlen(layer) < OVERLAY_NAME;
}

static int rule_check(const char *text, uint32_t change, struct err *e)
{
	size_t len = strlen(text);

	if (len > OVERLAY_RULE_MAX)
		return err_set(e, -EINVAL, "change %u: a rule has at most %u bytes", change,
			       OVERLAY_RULE_MAX);
	for (const char *p = text; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			return err_set(e, -EINVAL,
				       "change %u:%zu: a rule is one line without control "
				       "characters",
				       change, (size_t)(p - text) + 1);
	return 0;
}

static struct overlay_object *object_new(const char *text)
{
	size_t len = strlen(text);
	struct overlay_object *b = calloc(1, sizeof(*b) + len + 1);

	if (b) {
		b->users = 1;
		memcpy(b->text, text, len + 1);
	}
	return b;
}

int overlay_add(struct overlay *o, const char *layer, bool last, const char *text, uint32_t change,
		const struct overlay_terms *terms, uint32_t *number, struct err *e)
{
	struct overlay_object *b, **list;
	int r = rule_check(text, change, e);

	if (r < 0)
		return r;
	if (!layer_ok(layer))
		return err_set(e, -EINVAL, "change %u: there is no layer \"%.40s\"", change, layer);
	if (o->objects >= OVERLAY_OBJECTS_MAX || o->next == UINT32_MAX)
		return err_set(e, -ENOSPC, "there are %u objects already: delete some",
			       OVERLAY_OBJECTS_MAX);
	list = realloc(o->object, (o->objects + 1) * sizeof(struct overlay_object *));
	if (!list)
		return -ENOMEM;
	o->object = list;
	b = object_new(text);
	if (!b)
		return -ENOMEM;
	b->number = o->next++;
	b->change = change;
	b->last = last;
	snprintf(b->layer, sizeof(b->layer), "%s", layer);
	b->terms = *terms;
	o->object[o->objects++] = b;
	o->compile = true;
	*number = b->number;
	return 0;
}

/* Ordered by number. */
static struct overlay_object **object_find(const struct overlay *o, uint32_t number)
{
	size_t lo = 0, hi = o->objects;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (o->object[mid]->number < number)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < o->objects && o->object[lo]->number == number ? &o->object[lo] : NULL;
}

int overlay_delete(struct overlay *o, uint32_t number, struct err *e)
{
	struct overlay_object **at = object_find(o, number);
	size_t i;

	if (!at)
		return err_set(e, -ENOENT, "there is no object %u", number);
	i = (size_t)(at - o->object);
	object_put(*at);
	memmove(at, at + 1, (o->objects - i - 1) * sizeof(*at));
	o->objects--;
	o->compile = true;
	return 0;
}

int overlay_replace(struct overlay *o, uint32_t number, const char *text, uint32_t change,
		    const struct overlay_terms *terms, struct err *e)
{
	struct overlay_object **at = object_find(o, number), *b;
	int r = rule_check(text, change, e);

	if (r < 0)
		return r;
	if (!at)
		return err_set(e, -ENOENT, "there is no object %u", number);
	b = object_new(text);
	if (!b)
		return -ENOMEM;
	b->number = number;
	b->change = change;
	b->last = (*at)->last;
	memcpy(b->layer, (*at)->layer, sizeof(b->layer));
	b->terms = *terms;
	b->terms.session = (*at)->terms.session;
	b->terms.until = (*at)->terms.until;
	object_put(*at);
	*at = b;
	o->compile = true;
	return 0;
}

/* ------------------------------------------------------------------------- sets ---- */

static bool same_leases(struct overlay_set *to, const struct overlay_set *from)
{
	to->lease = calloc(from->leases + 1, sizeof(*to->lease));
	if (!to->lease)
		return false;
	for (; to->leases < from->leases; to->leases++) {
		struct overlay_lease *l = &to->lease[to->leases];

		*l = from->lease[to->leases];
		if (!policy_spans_copy(&l->spans, &from->lease[to->leases].spans))
			return false;
	}
	return true;
}

static struct overlay_set *set_copy(const struct overlay_set *s)
{
	struct overlay_set *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->users = 1;
	memcpy(c->name, s->name, sizeof(c->name));
	c->replaced = s->replaced;
	if (policy_spans_copy(&c->base, &s->base) && policy_spans_copy(&c->added, &s->added) &&
	    policy_spans_copy(&c->removed, &s->removed) &&
	    policy_spans_copy(&c->touched, &s->touched) && same_leases(c, s))
		return c;
	overlay_set_put(c);
	return NULL;
}

struct overlay_set *overlay_own(struct overlay *o, size_t i)
{
	struct overlay_set *s = o->set[i];

	if (s->users == 1)
		return s;
	s = set_copy(s);
	if (!s)
		return NULL;
	o->set[i]->users--;
	o->set[i] = s;
	return s;
}

struct gather {
	struct policy_span *span;
	size_t n, cap;
	bool oom;
};

static bool gather_one(void *ctx, uint8_t family, const uint8_t lo[16], const uint8_t hi[16])
{
	struct gather *g = ctx;
	struct policy_span *bigger;

	if (g->n == g->cap) {
		g->cap = g->cap ? g->cap * 2 : 64;
		bigger = realloc(g->span, g->cap * sizeof(*bigger));
		if (!bigger) {
			g->oom = true;
			return false;
		}
		g->span = bigger;
	}
	g->span[g->n] = (struct policy_span){.family = family};
	memcpy(g->span[g->n].lo, lo, family == 4 ? 4 : 16);
	memcpy(g->span[g->n++].hi, hi, family == 4 ? 4 : 16);
	return true;
}

/* What the policy in force has in the set. */
static bool content_of(const struct classifier *c, uint32_t set, struct policy_spans *out)
{
	struct gather g = {0};
	bool ok;

	classify_set_own(c, set, gather_one, &g);
	ok = !g.oom && policy_spans_make(out, g.span, g.n);
	free(g.span);
	return ok;
}

static int set_new(struct overlay *o, const struct classifier *c, const char *name,
		   struct overlay_set **out, struct err *e)
{
	struct overlay_set *s, **list;
	uint32_t index = c ? classify_set_find(c, name) : UINT32_MAX;

	if (index == UINT32_MAX || strlen(name) >= OVERLAY_NAME)
		return err_set(e, -ENOENT, "there is no set \"%.40s\" in the policy", name);
	if (o->sets == OVERLAY_SETS_MAX)
		return err_set(e, -ENOSPC, "%u sets are changed already", OVERLAY_SETS_MAX);
	list = realloc(o->set, (o->sets + 1) * sizeof(struct overlay_set *));
	if (!list)
		return -ENOMEM;
	o->set = list;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->users = 1;
	snprintf(s->name, sizeof(s->name), "%s", name);
	if (!content_of(c, index, &s->base)) {
		overlay_set_put(s);
		return -ENOMEM;
	}
	o->set[o->sets++] = s;
	*out = s;
	return 0;
}

/* To be changed; made if it is not there. */
static int set_get(struct overlay *o, const struct classifier *c, const char *name,
		   struct overlay_set **out, struct err *e)
{
	for (size_t i = 0; i < o->sets; i++) {
		if (strcmp(o->set[i]->name, name) != 0)
			continue;
		*out = overlay_own(o, i);
		return *out ? 0 : -ENOMEM;
	}
	return set_new(o, c, name, out, e);
}

static size_t spans_total(const struct overlay *o)
{
	size_t n = 0;

	for (size_t i = 0; i < o->sets; i++) {
		n += o->set[i]->added.n + o->set[i]->removed.n;
		for (size_t k = 0; k < o->set[i]->leases; k++)
			n += o->set[i]->lease[k].spans.n;
	}
	return n;
}

static size_t leases_total(const struct overlay *o)
{
	size_t n = 0;

	for (size_t i = 0; i < o->sets; i++)
		n += o->set[i]->leases;
	return n;
}

static bool lease_before(const struct overlay_lease *a, uint64_t until, uint64_t session)
{
	return a->until != until ? a->until < until : a->session < session;
}

/* They are ordered by their end: the first that is not before this one. */
static size_t lease_place(const struct overlay_set *s, uint64_t until, uint64_t session)
{
	size_t lo = 0, hi = s->leases;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (lease_before(&s->lease[mid], until, session))
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* What ends together is one. */
static int lease_add(struct overlay_set *s, const struct policy_spans *spans, uint64_t until,
		     uint64_t session)
{
	size_t at = lease_place(s, until, session);
	struct overlay_lease *list;

	if (at < s->leases && s->lease[at].until == until && s->lease[at].session == session)
		return policy_spans_add(&s->lease[at].spans, spans) ? 0 : -ENOMEM;
	list = realloc(s->lease, (s->leases + 1) * sizeof(*list));
	if (!list)
		return -ENOMEM;
	s->lease = list;
	memmove(&list[at + 1], &list[at], (s->leases - at) * sizeof(*list));
	list[at] = (struct overlay_lease){.session = session, .until = until};
	s->leases++;
	return policy_spans_copy(&list[at].spans, spans) ? 0 : -ENOMEM;
}

static void lease_drop(struct overlay_set *s, size_t i)
{
	policy_spans_deinit(&s->lease[i].spans);
	memmove(&s->lease[i], &s->lease[i + 1], (s->leases - i - 1) * sizeof(*s->lease));
	s->leases--;
}

/* What both have; quick when one of them is short, however long the other is. */
static bool common(struct policy_spans *out, const struct policy_spans *a,
		   const struct policy_spans *b)
{
	return a->n < b->n ? policy_spans_within(out, b, a) : policy_spans_within(out, a, b);
}

/* `s` without what of it is in `there`. */
static bool cross_out(struct policy_spans *s, const struct policy_spans *there)
{
	struct policy_spans some = {0};
	bool ok = common(&some, s, there) && policy_spans_remove(s, &some);

	policy_spans_deinit(&some);
	return ok;
}

/* Of `spans` what the set would not have until then anyway. `until` 0: for good. */
static bool not_yet(const struct overlay_set *s, const struct policy_spans *spans, uint64_t until,
		    struct policy_spans *out)
{
	bool ok = policy_spans_copy(out, spans) && cross_out(out, &s->added);

	for (size_t i = until ? lease_place(s, until, 0) : s->leases; ok && i < s->leases; i++)
		if (!s->lease[i].session)
			ok = cross_out(out, &s->lease[i].spans);
	return ok;
}

/* Of `spans` what the set has not now: where it becomes another one. */
static bool not_in(const struct overlay_set *s, const struct policy_spans *spans,
		   struct policy_spans *out)
{
	struct policy_spans own = {0};
	bool ok = policy_spans_copy(out, spans) && cross_out(out, &s->added);

	for (size_t i = 0; ok && out->n && i < s->leases; i++)
		ok = cross_out(out, &s->lease[i].spans);
	if (ok && out->n && !s->replaced)
		ok = common(&own, &s->base, out) && cross_out(&own, &s->removed) &&
		     policy_spans_remove(out, &own);
	policy_spans_deinit(&own);
	return ok;
}

/* What would end earlier does not count any more. */
static bool leases_outdo(struct overlay_set *s, const struct policy_spans *spans, uint64_t until)
{
	size_t i = until ? lease_place(s, until, 0) : s->leases;
	bool ok = true;

	while (ok && i--) {
		if (s->lease[i].session)
			continue;
		ok = cross_out(&s->lease[i].spans, spans);
		if (ok && !s->lease[i].spans.n)
			lease_drop(s, i);
	}
	return ok;
}

static bool add_some(struct overlay_set *s, const struct policy_spans *spans,
		     const struct overlay_terms *t)
{
	struct policy_spans new = {0};
	bool ok = not_in(s, spans, &new) && policy_spans_add(&s->touched, &new);

	policy_spans_deinit(&new);
	if (ok && !t->session)
		ok = leases_outdo(s, spans, t->until);
	if (!ok || t->session || t->until)
		return ok && lease_add(s, spans, t->until, t->session) == 0;
	return policy_spans_add(&s->added, spans) && policy_spans_remove(&s->removed, spans);
}

/*
 * 1, or 0: it is all there, and stays for as long at least. Lists that are imported again and again come to that, or
 * to later ends: neither may cost the memory, the edits or the writing of what is new.
 */
static int elements_add(struct overlay_set *s, const struct policy_spans *spans,
			const struct overlay_terms *t)
{
	struct policy_spans rest = {0};
	bool ok = not_yet(s, spans, t->until, &rest), any = ok && rest.n;

	if (any)
		ok = add_some(s, &rest, t);
	policy_spans_deinit(&rest);
	return ok ? any : -ENOMEM;
}

/* Of `spans` what the policy gives the set, and is not taken out yet. */
static bool own_of(const struct overlay_set *s, const struct policy_spans *spans,
		   struct policy_spans *out)
{
	return s->replaced || (common(out, &s->base, spans) && cross_out(out, &s->removed));
}

/* Takes `spans` out of `from`; says in *any whether it had some. */
static bool take_out(struct policy_spans *from, const struct policy_spans *spans, bool *any)
{
	struct policy_spans some = {0};
	bool ok = common(&some, from, spans);

	if (ok && some.n) {
		*any = true;
		ok = policy_spans_remove(from, &some);
	}
	policy_spans_deinit(&some);
	return ok;
}

/* 1, or 0: nothing of it was there. */
static int elements_delete(struct overlay_set *s, const struct policy_spans *spans)
{
	struct policy_spans own = {0};
	bool ok = own_of(s, spans, &own), any = own.n;

	ok = ok && policy_spans_add(&s->removed, &own) && take_out(&s->added, spans, &any);
	policy_spans_deinit(&own);
	for (size_t i = s->leases; ok && i--;) {
		ok = take_out(&s->lease[i].spans, spans, &any);
		if (ok && !s->lease[i].spans.n)
			lease_drop(s, i);
	}
	if (any)
		ok = ok && policy_spans_add(&s->touched, spans);
	return ok ? any : -ENOMEM;
}

static void elements_flush(struct overlay_set *s)
{
	s->replaced = true;
	policy_spans_deinit(&s->added);
	policy_spans_deinit(&s->removed);
	while (s->leases)
		lease_drop(s, s->leases - 1);
}

int overlay_elements(struct overlay *o, const struct classifier *c, const char *set,
		     enum overlay_action action, const struct policy_spans *spans,
		     const struct overlay_terms *terms, struct err *e)
{
	struct overlay_set *s = NULL;
	int r = set_get(o, c, set, &s, e);

	if (r < 0 || !s)
		return r;
	switch (action) {
	case OVERLAY_ADD:
		r = elements_add(s, spans, terms);
		break;
	case OVERLAY_DELETE:
		r = elements_delete(s, spans);
		break;
	case OVERLAY_FLUSH:
	case OVERLAY_LOAD:
		elements_flush(s);
		o->compile = true;
		r = action == OVERLAY_LOAD && !policy_spans_copy(&s->added, spans) ? -ENOMEM : 1;
		break;
	}
	if (r > 0 && action != OVERLAY_DELETE && spans_total(o) > OVERLAY_SPANS_MAX)
		return err_set(e, -ENOSPC,
			       "more than %u elements were changed: put them into a "
			       "file of the policy",
			       OVERLAY_SPANS_MAX);
	if (r > 0 && leases_total(o) > OVERLAY_LEASES_MAX)
		return err_set(e, -ENOSPC, "%u groups of elements with an end are there already",
			       OVERLAY_LEASES_MAX);
	return r;
}

/* -------------------------------------------------------------------------- ends ---- */

/* Who goes: those of the session, or those whose time is over. */
struct end {
	uint64_t session, now;
};

static bool ends(const struct end *w, uint64_t session, uint64_t until)
{
	if (w->session)
		return session && (session == w->session || w->session == OVERLAY_ANY_SESSION);
	return until && until <= w->now;
}

static bool lease_ends(const struct end *w, const struct overlay_set *s)
{
	for (size_t i = 0; i < s->leases; i++)
		if (ends(w, s->lease[i].session, s->lease[i].until))
			return true;
	return false;
}

static int set_end(struct overlay *o, size_t at, const struct end *w)
{
	struct overlay_set *s = overlay_own(o, at);

	if (!s)
		return -ENOMEM;
	for (size_t i = s->leases; i--;) {
		if (!ends(w, s->lease[i].session, s->lease[i].until))
			continue;
		if (!policy_spans_add(&s->touched, &s->lease[i].spans))
			return -ENOMEM;
		lease_drop(s, i);
	}
	return 0;
}

static int end(struct overlay *o, const struct end *w)
{
	size_t kept = 0;
	int changed = 0;

	for (size_t i = 0; i < o->objects; i++) {
		struct overlay_object *b = o->object[i];

		if (!ends(w, b->terms.session, b->terms.until)) {
			o->object[kept++] = b;
			continue;
		}
		object_put(b);
		o->compile = true;
		changed = 1;
	}
	o->objects = kept;
	for (size_t i = 0; i < o->sets; i++) {
		if (!lease_ends(w, o->set[i]))
			continue;
		if (set_end(o, i, w) < 0)
			return -ENOMEM;
		changed = 1;
	}
	return changed;
}

int overlay_end_session(struct overlay *o, uint64_t session)
{
	const struct end w = {.session = session};

	return session ? end(o, &w) : 0;
}

int overlay_expire(struct overlay *o, uint64_t now)
{
	const struct end w = {.now = now};

	return end(o, &w);
}

bool overlay_has_session(const struct overlay *o, uint64_t session)
{
	const struct end w = {.session = session};

	for (size_t i = 0; session && i < o->objects; i++)
		if (ends(&w, o->object[i]->terms.session, 0))
			return true;
	for (size_t i = 0; session && i < o->sets; i++)
		if (lease_ends(&w, o->set[i]))
			return true;
	return false;
}

static void sooner(uint64_t *best, uint64_t until)
{
	if (until && (!*best || until < *best))
		*best = until;
}

uint64_t overlay_next_end(const struct overlay *o)
{
	uint64_t best = 0;

	for (size_t i = 0; i < o->objects; i++)
		sooner(&best, o->object[i]->terms.until);
	for (size_t i = 0; i < o->sets; i++)
		for (size_t k = 0; k < o->set[i]->leases; k++)
			sooner(&best, o->set[i]->lease[k].until);
	return best;
}
