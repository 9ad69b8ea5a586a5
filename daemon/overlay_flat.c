/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An overlay as bytes, for the next authority process; see overlay.h. Big-endian numbers, no padding. */
#include "base/buf.h"
#include "daemon/overlay.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FLAT_MAGIC   0x50444f56u /* "PDOV" */
#define FLAT_VERSION 2u

/* ------------------------------------------------------------------------- writing ---- */

struct out {
	char *data;
	size_t len, cap;
	bool oom;
};

static void put(struct out *w, const void *data, size_t len)
{
	size_t cap = w->cap ? w->cap : 1024;
	char *bigger;

	while (cap < w->len + len)
		cap *= 2;
	if (!w->oom && cap != w->cap) {
		bigger = realloc(w->data, cap);
		w->oom = !bigger;
		if (bigger) {
			w->data = bigger;
			w->cap = cap;
		}
	}
	if (w->oom)
		return;
	if (len)
		memcpy(w->data + w->len, data, len);
	w->len += len;
}

static void put32(struct out *w, uint32_t v)
{
	const uint8_t b[4] = {(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8),
			      (uint8_t)v};

	put(w, b, sizeof(b));
}

static void put64(struct out *w, uint64_t v)
{
	put32(w, (uint32_t)(v >> 32));
	put32(w, (uint32_t)v);
}

static void put_text(struct out *w, const char *s)
{
	put32(w, (uint32_t)strlen(s));
	put(w, s, strlen(s));
}

static void put_spans(struct out *w, const struct policy_spans *s)
{
	put32(w, (uint32_t)s->n);
	put(w, s->span, s->n * sizeof(*s->span));
}

static void put_object(struct out *w, const struct overlay_object *b)
{
	const struct overlay_terms *t = &b->terms;

	put32(w, b->number);
	put32(w, b->last);
	put32(w, t->who.uid);
	put32(w, (uint32_t)t->who.pid);
	put64(w, t->session);
	put64(w, t->until);
	put64(w, t->since);
	put_text(w, t->who.user);
	put_text(w, t->why);
	put_text(w, b->layer);
	put_text(w, b->text);
}

static void put_set(struct out *w, const struct overlay_set *s)
{
	put_text(w, s->name);
	put32(w, s->replaced);
	put_spans(w, &s->base);
	put_spans(w, &s->added);
	put_spans(w, &s->removed);
	put32(w, (uint32_t)s->leases);
	for (size_t i = 0; i < s->leases; i++) {
		put64(w, s->lease[i].session);
		put64(w, s->lease[i].until);
		put_spans(w, &s->lease[i].spans);
	}
}

int overlay_flatten(const struct overlay *o, char **data, size_t *len)
{
	struct out w = {0};

	put32(&w, FLAT_MAGIC);
	put32(&w, FLAT_VERSION);
	put32(&w, o->next);
	put32(&w, (uint32_t)o->objects);
	put32(&w, (uint32_t)o->sets);
	put32(&w, o->restored);
	for (size_t i = 0; i < o->objects; i++)
		put_object(&w, o->object[i]);
	for (size_t i = 0; i < o->sets; i++)
		put_set(&w, o->set[i]);
	if (w.oom) {
		free(w.data);
		return -ENOMEM;
	}
	*data = w.data;
	*len = w.len;
	return 0;
}

/* ------------------------------------------------------------------------- reading ---- */

static uint64_t take64(struct rbuf *b)
{
	uint64_t high = rbuf_be32(b);

	return high << 32 | rbuf_be32(b);
}

/* Printable, of at most size - 1 bytes. */
static void take_text(struct rbuf *b, char *to, size_t size)
{
	uint32_t len = rbuf_be32(b);
	const uint8_t *s = len < size ? rbuf_take(b, len) : NULL;

	to[0] = '\0';
	if (!s)
		b->bad = true;
	for (uint32_t i = 0; s && i < len; i++)
		b->bad |= s[i] < ' ' || s[i] == 0x7f;
	if (b->bad)
		return;
	memcpy(to, s, len);
	to[len] = '\0';
}

static int take_spans(struct rbuf *b, struct policy_spans *out)
{
	uint32_t n = rbuf_be32(b);
	const uint8_t *s;

	if (b->bad || n > rbuf_left(b) / sizeof(struct policy_span))
		return -EINVAL;
	s = rbuf_take(b, n * sizeof(struct policy_span));
	if (!s)
		return -EINVAL;
	out->span = malloc((n ? n : 1) * sizeof(struct policy_span));
	if (!out->span)
		return -ENOMEM;
	memcpy(out->span, s, n * sizeof(struct policy_span));
	out->n = n;
	return policy_spans_valid(out->span, n) ? 0 : -EINVAL;
}

static int take_object(struct rbuf *b, struct overlay *o)
{
	uint32_t number = rbuf_be32(b), last = rbuf_be32(b), got;
	char layer[OVERLAY_NAME], text[OVERLAY_RULE_MAX + 1];
	struct overlay_terms t = {0};
	struct err e = {0};
	int r;

	t.who.uid = rbuf_be32(b);
	t.who.pid = (int32_t)rbuf_be32(b);
	t.session = take64(b);
	t.until = take64(b);
	t.since = take64(b);
	take_text(b, t.who.user, sizeof(t.who.user));
	take_text(b, t.why, sizeof(t.why));
	take_text(b, layer, sizeof(layer));
	take_text(b, text, sizeof(text));
	if (b->bad || last > 1 || number < o->next)
		return -EINVAL;
	o->next = number;
	r = overlay_add(o, layer, last, text, 0, &t, &got, &e);
	return r == 0 || r == -ENOMEM ? r : -EINVAL;
}

static int take_lease(struct rbuf *b, struct overlay_set *s)
{
	struct overlay_lease *l = &s->lease[s->leases++];

	l->session = take64(b);
	l->until = take64(b);
	return take_spans(b, &l->spans);
}

static int take_set(struct rbuf *b, struct overlay_set *s)
{
	uint32_t replaced, n;
	int r;

	take_text(b, s->name, sizeof(s->name));
	replaced = rbuf_be32(b);
	s->replaced = replaced;
	if (b->bad || !*s->name || replaced > 1)
		return -EINVAL;
	r = take_spans(b, &s->base);
	if (r == 0)
		r = take_spans(b, &s->added);
	if (r == 0)
		r = take_spans(b, &s->removed);
	n = rbuf_be32(b);
	if (r < 0 || b->bad || n > OVERLAY_LEASES_MAX || n > rbuf_left(b) / 20)
		return r < 0 ? r : -EINVAL;
	s->lease = calloc(n + 1, sizeof(*s->lease));
	if (!s->lease)
		return -ENOMEM;
	while (r == 0 && s->leases < n)
		r = take_lease(b, s);
	return r;
}

static bool set_known(const struct overlay *o, const char *name)
{
	for (size_t i = 0; i + 1 < o->sets; i++)
		if (!strcmp(o->set[i]->name, name))
			return true;
	return false;
}

static int take_sets(struct rbuf *b, struct overlay *o, uint32_t n)
{
	int r = 0;

	o->set = calloc(n + 1, sizeof(struct overlay_set *));
	if (!o->set)
		return -ENOMEM;
	while (r == 0 && o->sets < n) {
		struct overlay_set *s = calloc(1, sizeof(*s));

		if (!s)
			return -ENOMEM;
		s->users = 1;
		o->set[o->sets++] = s;
		r = take_set(b, s);
		if (r == 0 && set_known(o, s->name))
			r = -EINVAL;
	}
	return r;
}

int overlay_unflatten(struct overlay **out, const void *data, size_t len)
{
	struct rbuf b = rbuf_of(data, len);
	uint32_t magic = rbuf_be32(&b), version = rbuf_be32(&b), next = rbuf_be32(&b),
		 objects = rbuf_be32(&b), sets = rbuf_be32(&b), restored = rbuf_be32(&b);
	struct overlay *o;
	int r = 0;

	if (b.bad || magic != FLAT_MAGIC || version != FLAT_VERSION || !next ||
	    objects > OVERLAY_OBJECTS_MAX || sets > OVERLAY_SETS_MAX || restored > 1)
		return -EINVAL;
	o = overlay_new();
	if (!o)
		return -ENOMEM;
	for (uint32_t i = 0; r == 0 && i < objects; i++)
		r = take_object(&b, o);
	if (r == 0)
		r = take_sets(&b, o, sets);
	if (r == 0 && (b.bad || rbuf_left(&b) || o->next > next))
		r = -EINVAL;
	if (r < 0) {
		overlay_put(o);
		return r;
	}
	o->next = next;
	o->restored = restored;
	o->compile = false;
	*out = o;
	return 0;
}
