/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Elements of sets that are changed at run time, and those that were before the daemon's start; see overlay.h. */
#include "daemon/overlay.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

void overlay_lease_drop(struct overlay_set *s, size_t i)
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
			overlay_lease_drop(s, i);
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
			overlay_lease_drop(s, i);
	}
	if (any)
		ok = ok && policy_spans_add(&s->touched, spans);
	return ok ? any : -ENOMEM;
}

/* What is there as long as a connection is goes only with `all`. */
static void elements_flush(struct overlay_set *s, bool all)
{
	s->replaced = true;
	policy_spans_deinit(&s->added);
	policy_spans_deinit(&s->removed);
	for (size_t i = s->leases; i--;)
		if (all || !s->lease[i].session)
			overlay_lease_drop(s, i);
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
		elements_flush(s, true);
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

/* ---------------------------------------------------------------------- of before ---- */

/* What becomes of a set: addresses by the last word on them. */
struct outcome {
	struct policy_spans put, out;
	struct gather touched;
};

static bool outcome_touch(struct outcome *u, const struct policy_spans *spans)
{
	for (size_t i = 0; i < spans->n; i++)
		if (!gather_one(&u->touched, spans->span[i].family, spans->span[i].lo,
				spans->span[i].hi))
			return false;
	return true;
}

static bool outcome_add(struct outcome *u, struct overlay_set *s, const struct overlay_change *ch)
{
	switch (ch->action) {
	case OVERLAY_ADD:
		if (ch->until)
			return lease_add(s, &ch->spans, ch->until, 0) == 0;
		return policy_spans_add(&u->put, &ch->spans) && cross_out(&u->out, &ch->spans);
	case OVERLAY_DELETE:
		return leases_outdo(s, &ch->spans, 0) && policy_spans_add(&u->out, &ch->spans) &&
		       cross_out(&u->put, &ch->spans);
	case OVERLAY_FLUSH:
	case OVERLAY_LOAD:
		elements_flush(s, false); /* connections there are since the start */
		policy_spans_deinit(&u->put);
		policy_spans_deinit(&u->out);
		return ch->action == OVERLAY_FLUSH || policy_spans_copy(&u->put, &ch->spans);
	}
	return true;
}

static bool outcome_apply(struct outcome *u, struct overlay_set *s)
{
	struct policy_spans own = {0}, touched = {0};
	bool ok = own_of(s, &u->out, &own) && policy_spans_add(&s->removed, &own) &&
		  cross_out(&s->added, &u->out) && policy_spans_add(&s->added, &u->put) &&
		  cross_out(&s->removed, &u->put) &&
		  policy_spans_make(&touched, u->touched.span, u->touched.n) &&
		  policy_spans_add(&s->touched, &touched);

	policy_spans_deinit(&own);
	policy_spans_deinit(&touched);
	return ok;
}

/* Those of the set that the first one is of. */
static int restore_set(struct overlay *o, struct overlay_set *s, const struct overlay_change *list,
		       size_t n)
{
	struct outcome u = {0};
	bool ok = true;

	for (size_t i = 0; ok && i < n; i++) {
		if (strcmp(list[i].set, list->set) != 0)
			continue;
		o->compile = o->compile || list[i].action == OVERLAY_FLUSH ||
			     list[i].action == OVERLAY_LOAD;
		ok = outcome_touch(&u, &list[i].spans) && outcome_add(&u, s, &list[i]);
	}
	ok = ok && outcome_apply(&u, s);
	policy_spans_deinit(&u.put);
	policy_spans_deinit(&u.out);
	free(u.touched.span);
	return ok ? 0 : -ENOMEM;
}

static bool named_before(const struct overlay_change *list, size_t i)
{
	/* mostly the one before: sets are written together */
	for (size_t k = i; k--;)
		if (!strcmp(list[k].set, list[i].set))
			return true;
	return false;
}

static size_t count_of(const struct overlay_change *list, size_t n)
{
	size_t of = 0;

	for (size_t i = 0; i < n; i++)
		of += !strcmp(list[i].set, list->set);
	return of;
}

int overlay_restore(struct overlay *o, const struct classifier *c,
		    const struct overlay_change *list, size_t n, size_t *done)
{
	struct overlay_set *s;
	struct err e = {0};
	int r = 0;

	*done = 0;
	for (size_t i = 0; r == 0 && i < n; i++) {
		if (named_before(list, i))
			continue;
		r = set_get(o, c, list[i].set, &s, &e);
		if (r == 0)
			r = restore_set(o, s, list + i, n - i);
		if (r == 0)
			*done += count_of(list + i, n - i);
		r = r == -ENOMEM ? r : 0;
	}
	o->restored = true;
	return r;
}
