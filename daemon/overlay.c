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
	c->restored = o->restored;
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
		overlay_lease_drop(s, i);
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
