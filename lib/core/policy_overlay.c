/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What was changed at run time, put into a policy that is being parsed; see policy_overlay.h. */
#include "core/policy_overlay.h"
#include "core/flow.h"
#include "core/policy_ast.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_MAX_TEXT 32

/* ----------------------------------------------------------------------- rules ---- */

static void name_of(const struct policy_object *o, bool change, char buf[NAME_MAX_TEXT])
{
	if (change && o->change)
		snprintf(buf, NAME_MAX_TEXT, "change %u", o->change);
	else
		snprintf(buf, NAME_MAX_TEXT, "object %u", o->number);
}

/* A file of its own, so that places name it. */
static bool text_open(struct pol_parser *ps, const struct policy_object *o)
{
	char name[NAME_MAX_TEXT], *text = strdup(o->text);
	size_t len = text ? strlen(text) : 0;
	uint32_t file;

	if (!text)
		return pol_oom(ps);
	name_of(o, true, name);
	file = pol_file_add(ps->p, name, text, len);
	if (file == UINT32_MAX)
		return pol_oom(ps);
	ps->p->files[file].one_line = true;
	pol_lex_init(&ps->lx, file, text, len);
	ps->depth = 0;
	ps->tok.type = TOK_SEMI;
	pol_advance(ps);
	return true;
}

/* Of the text that was opened last. */
static bool layer_error(struct pol_parser *ps, const char *name)
{
	struct pol_loc at = {.file = ps->p->nfiles - 1};
	struct pol_guess g = pol_guess_for(name);
	struct pol_layer *l;

	if (!*name)
		return pol_error(ps, &at,
				 ps->p->nlayers ? "the policy has more than one layer: say which"
						: "the policy has no layer");
	for (l = ps->p->layers; l; l = l->next)
		pol_guess_try(&g, l->name);
	return pol_unknown(ps, &at, "layer", name, g.best);
}

static struct pol_layer *find_layer(const struct policy *p, const char *name)
{
	struct pol_layer *l = p->layers;

	if (!*name)
		return p->nlayers == 1 ? l : NULL;
	while (l && strcmp(l->name, name))
		l = l->next;
	return l;
}

static bool at_rule(const struct pol_parser *ps)
{
	const struct pol_keyword *a;

	for (a = pol_actions; a->name; a++)
		if (pol_is(ps, a->name))
			return true;
	return false;
}

static bool parse_text(struct pol_parser *ps, struct pol_layer *layer)
{
	struct pol_guess g;

	if (ps->tok.type != TOK_WORD)
		return pol_expected(ps, "a rule");
	if (!at_rule(ps)) {
		g = pol_guess_for(ps->tok.text);
		pol_action_guess(&g);
		return pol_unknown(ps, &ps->tok.loc, "action", ps->tok.text, g.best);
	}
	if (!pol_parse_rule(ps, layer))
		return false;
	while (pol_accept(ps, TOK_SEMI))
		;
	return ps->tok.type == TOK_EOF ||
	       pol_error(ps, &ps->tok.loc, "one rule, and nothing behind it");
}

/* The layer's last rule, which has `prev` before it, to behind `anchor`, or the layer's beginning. */
static void move_up(struct pol_layer *l, struct pol_rule *prev, struct pol_rule *anchor)
{
	struct pol_rule *r = l->last;

	if (prev == anchor)
		return;
	prev->next = NULL;
	l->last = prev;
	r->next = anchor ? anchor->next : l->rules;
	if (anchor)
		anchor->next = r;
	else
		l->rules = r;
}

struct anchors {
	const struct pol_layer *layer[POLICY_LAYERS_MAX];
	struct pol_rule *rule[POLICY_LAYERS_MAX]; /* the last one that was put first */
	unsigned n;
};

static struct pol_rule **anchor_of(struct anchors *a, const struct pol_layer *l)
{
	unsigned i = 0;

	while (i < a->n && a->layer[i] != l)
		i++;
	if (i == a->n) {
		a->layer[i] = l;
		a->rule[i] = NULL;
		a->n++;
	}
	return &a->rule[i];
}

static bool put_object(struct pol_parser *ps, const struct policy_object *o, struct anchors *a)
{
	struct pol_layer *l = find_layer(ps->p, o->layer);
	struct pol_rule *prev, *r, **anchor;

	if (!text_open(ps, o))
		return false;
	if (!l)
		return layer_error(ps, o->layer);
	prev = l->last;
	if (!parse_text(ps, l))
		return false;
	if (o->last)
		return true;
	r = l->last;
	anchor = anchor_of(a, l);
	if (prev)
		move_up(l, prev, *anchor);
	*anchor = r;
	return true;
}

void pol_overlay_rules(struct pol_parser *ps)
{
	const struct policy_overlay *v = ps->overlay;
	struct anchors anchors = {.n = 0};

	ps->overlay_file = ps->p->nfiles;
	ps->in_rules = true;
	for (size_t i = 0; v && i < v->objects && !pol_stopped(ps); i++)
		put_object(ps, &v->object[i], &anchors);
	ps->in_rules = false;
}

/* From here on they are rules like any other, and keep their number for as long as they live. */
static void name_rules(struct pol_parser *ps)
{
	const struct policy_overlay *v = ps->overlay;
	struct policy *p = ps->p;
	char name[NAME_MAX_TEXT], *copy;

	for (size_t i = 0; i < v->objects; i++) {
		if (!v->object[i].change)
			continue;
		name_of(&v->object[i], false, name);
		copy = pol_strndup(&p->arena, name, strlen(name));
		if (!copy) {
			pol_oom(ps);
			return;
		}
		p->files[ps->overlay_file + i].name = copy;
	}
}

/* ------------------------------------------------------------------------ sets ---- */

static void put32(uint8_t to[16], uint32_t v)
{
	for (unsigned i = 0; i < 4; i++)
		to[i] = (uint8_t)(v >> (24 - 8 * i));
}

static bool from_ranges(struct policy_spans *out, const struct pol_ranges *rs)
{
	size_t n = rs->n4 + rs->n6, i;
	struct policy_span *s = calloc(n ? n : 1, sizeof(*s));

	if (!s)
		return false;
	for (i = 0; i < rs->n4; i++) {
		s[i].family = FLOW_V4;
		put32(s[i].lo, rs->v4[i].lo);
		put32(s[i].hi, rs->v4[i].hi);
	}
	for (i = 0; i < rs->n6; i++) {
		s[rs->n4 + i].family = FLOW_V6;
		memcpy(s[rs->n4 + i].lo, rs->v6[i].lo, 16);
		memcpy(s[rs->n4 + i].hi, rs->v6[i].hi, 16);
	}
	*out = (struct policy_spans){s, n};
	return true;
}

static bool to_ranges(struct pol_ranges *out, const struct policy_spans *s)
{
	struct pol_range r = {0};

	for (size_t i = 0; i < s->n; i++) {
		r.family = s->span[i].family;
		memcpy(r.lo, s->span[i].lo, 16);
		memcpy(r.hi, s->span[i].hi, 16);
		if (!pol_ranges_add(out, &r))
			return false;
	}
	return true;
}

/* What the policy gives is kept aside, and the set has what it shall have. */
static bool edit_set(struct pol_parser *ps, struct pol_set *s, struct policy_set_edit *e)
{
	struct policy_spans all = {0};
	struct pol_ranges ranges = {0};
	bool ok = from_ranges(&e->base, &s->ranges);

	if (ok && !e->replaced)
		ok = policy_spans_copy(&all, &e->base) && policy_spans_remove(&all, &e->removed);
	ok = ok && policy_spans_add(&all, &e->added) && to_ranges(&ranges, &all);
	if (ok && all.n > POLICY_SET_MAX)
		pol_error(ps, &s->loc, "set \"%s\" has more than %d elements", s->name,
			  POLICY_SET_MAX);
	policy_spans_deinit(&all);
	if (!ok) {
		pol_ranges_deinit(&ranges);
		return pol_oom(ps);
	}
	pol_ranges_deinit(&s->ranges);
	s->ranges = ranges;
	return true;
}

void pol_overlay_finish(struct pol_parser *ps)
{
	const struct policy_overlay *v = ps->overlay;
	struct pol_set *s;

	for (size_t i = 0; v && i < v->edits && !pol_stopped(ps); i++) {
		s = ps->p->sets;
		while (s && strcmp(s->name, v->edit[i].set))
			s = s->next;
		v->edit[i].found = s != NULL;
		if (s)
			edit_set(ps, s, &v->edit[i]);
		else
			pol_warn(ps, &(struct pol_loc){0},
				 "there is no set \"%s\" any more: its changes go with it",
				 v->edit[i].set);
	}
	if (v && !ps->errors)
		name_rules(ps);
}
