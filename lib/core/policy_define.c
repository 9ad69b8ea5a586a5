/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Statements that name something: define, set, authority. */
#include "core/policy_ast.h"
#include <string.h>

/* Registered even when the rest is wrong, so that its uses are not errors too. */
const char *pol_new_name(struct pol_parser *ps, const char *what, struct pol_loc *loc)
{
	const char *s = pol_word(ps, what, loc);

	if (!s)
		return NULL;
	if (!pol_name_valid(s)) {
		pol_error(ps, loc,
			  "a name has 1 to 31 letters, digits, '-' or '_' and begins with "
			  "a letter");
		return NULL;
	}
	s = pol_strndup(&ps->p->arena, s, strlen(s));
	if (!s)
		pol_oom(ps);
	return s;
}

bool pol_redefined(struct pol_parser *ps, const struct pol_loc *at, const char *what,
		   const char *name, const struct pol_loc *first)
{
	return pol_error(ps, at, "%s \"%s\" is defined twice, first at %s:%u", what, name,
			 ps->p->files[first->file].name, first->line);
}

/* ---------------------------------------------------------------------- define ---- */

static bool define_push(struct pol_parser *ps, struct pol_define *d, size_t *cap)
{
	struct pol_token *tok;

	if (ps->define_tokens++ == POLICY_DEFINE_MAX)
		return pol_error(ps, &ps->tok.loc, "variables have more than %d words together",
				 POLICY_DEFINE_MAX);
	if (d->n == *cap) {
		*cap = *cap ? *cap * 2 : 4;
		tok = pol_alloc(&ps->tmp, *cap * sizeof(*tok));
		if (!tok)
			return pol_oom(ps);
		if (d->n)
			memcpy(tok, d->tok, d->n * sizeof(*tok));
		d->tok = tok;
	}
	d->tok[d->n] = ps->tok;
	d->tok[d->n++].bol = false;
	pol_advance(ps);
	return true;
}

/* The tokens of a value: one word, string or @set, or a list. */
static bool define_value(struct pol_parser *ps, struct pol_define *d)
{
	struct pol_loc open = ps->tok.loc;
	unsigned level = ps->depth;
	size_t cap = 0;

	do {
		if (ps->depth > level &&
		    (ps->tok.type == TOK_EOF || pol_begins_statement(&ps->tok)))
			return pol_unclosed(ps, &open, level);
		switch (ps->tok.type) {
		case TOK_WORD:
		case TOK_STRING:
		case TOK_SET:
		case TOK_LBRACE:
			break;
		case TOK_RBRACE:
		case TOK_COMMA:
			if (ps->depth > level)
				break;
			return pol_expected(ps, "a value or a list");
		case TOK_EOF:
		case TOK_VAR:
		case TOK_SEMI:
		case TOK_BANG:
		case TOK_EQ:
		case TOK_BAD:
			return pol_expected(ps, level == ps->depth ? "a value or a list"
								   : "',' or '}'");
		}
		if (!define_push(ps, d, &cap))
			return false;
	} while (ps->depth > level);
	return true;
}

bool pol_parse_define(struct pol_parser *ps, const struct pol_loc *at)
{
	struct pol_define *d = pol_alloc(&ps->tmp, sizeof(*d));
	struct pol_loc loc;
	bool ok;

	if (!d)
		return pol_oom(ps);
	if (ps->ndefines == POLICY_DEFINES_MAX)
		return pol_error(ps, at, "more than %d variables", POLICY_DEFINES_MAX);
	d->name = pol_new_name(ps, "a name for the variable", &loc);
	if (!d->name)
		return false;
	if (pol_define_find(ps, d->name))
		return pol_error(ps, &loc, "variable \"%s\" is defined twice", d->name);
	ok = pol_expect(ps, TOK_EQ, "'='") && define_value(ps, d);
	d->next = ps->defines;
	ps->defines = d;
	ps->ndefines++;
	return ok && pol_end(ps, "the value");
}

/* ------------------------------------------------------------------------- set ---- */

static bool set_file(struct pol_parser *ps, struct pol_set *set, const struct pol_loc *at)
{
	struct pol_item *item = pol_alloc(&ps->p->arena, sizeof(*item));
	struct pol_loc loc;
	const char *path;

	pol_advance(ps);
	path = pol_string(ps, "the path of a file as a string", &loc);
	if (!path)
		return false;
	if (!item)
		return pol_oom(ps);
	*item = (struct pol_item){.loc = *at, .kind = POL_FILE};
	item->name = pol_path(&ps->p->arena, ps->p->files[at->file].name, path);
	if (!item->name)
		return pol_oom(ps);
	if (set->items.last)
		set->items.last->next = item;
	else
		set->items.first = item;
	set->items.last = item;
	set->items.n++;
	return pol_parse_set_file(ps, set, path, &loc);
}

static bool set_element(struct pol_parser *ps, void *ctx)
{
	struct pol_set *set = ctx;
	struct pol_loc at = ps->tok.loc;

	if (pol_is(ps, "file"))
		return set_file(ps, set, &at);
	return pol_parse_address(ps, &set->items);
}

static bool set_new(struct pol_parser *ps, struct pol_set *set, const char *name,
		    const struct pol_loc *loc)
{
	struct policy *p = ps->p;
	struct pol_set *s;

	set->name = name;
	set->loc = *loc;
	for (s = p->sets; s; s = s->next)
		if (!strcmp(s->name, name))
			return pol_redefined(ps, loc, "set", name, &s->loc);
	if (p->nsets == POLICY_SETS_MAX)
		return pol_error(ps, loc, "more than %d sets", POLICY_SETS_MAX);
	set->index = p->nsets++;
	if (p->last_set)
		p->last_set->next = set;
	else
		p->sets = set;
	p->last_set = set;
	return true;
}

bool pol_parse_set(struct pol_parser *ps, const struct pol_loc *at)
{
	struct pol_set *set = pol_alloc(&ps->p->arena, sizeof(*set));
	struct pol_loc loc;
	const char *name;

	(void)at;
	if (!set)
		return pol_oom(ps);
	name = pol_new_name(ps, "a name for the set", &loc);
	if (!name || !set_new(ps, set, name, &loc))
		return false;
	return pol_braces(ps, set_element, set, "an address, prefix, range, @set or file") &&
	       pol_block_end(ps);
}

/* ------------------------------------------------------------------- authority ---- */

static const struct pol_keyword authority_keys[] = {
	{"type", AUTH_TYPE},
	{"timeout", AUTH_TIMEOUT},
	{"on-timeout", AUTH_ON_TIMEOUT},
	{"answer", AUTH_ANSWER},
	{NULL, 0},
};

static bool authority_value(struct pol_parser *ps, struct pol_authority *a, int key)
{
	int v = 0;

	switch ((enum pol_authority_key)key) {
	case AUTH_TYPE:
		v = pol_keyword(ps, pol_authtypes, "authority type");
		a->type = (uint8_t)v;
		break;
	case AUTH_TIMEOUT:
		return pol_duration(ps, "timeout", POLICY_TIMEOUT_MAX, &a->timeout_ns);
	case AUTH_ON_TIMEOUT:
		v = pol_keyword(ps, pol_verdicts, "verdict");
		a->on_timeout = (uint8_t)v;
		break;
	case AUTH_ANSWER:
		v = pol_keyword(ps, pol_verdicts, "verdict");
		a->answer = (uint8_t)v;
		break;
	}
	return v >= 0;
}

static bool authority_statement(struct pol_parser *ps, struct pol_authority *a)
{
	struct pol_loc at = ps->tok.loc;
	int key = pol_keyword(ps, authority_keys, "authority statement");

	if (key < 0)
		return false;
	if (a->seen & POL_BIT(key))
		return pol_error(ps, &at, "\"%s\" is given twice", authority_keys[key].name);
	a->seen |= POL_BIT(key);
	return authority_value(ps, a, key) && pol_end(ps, "the value");
}

static bool authority_new(struct pol_parser *ps, struct pol_authority *a, const char *name,
			  const struct pol_loc *loc)
{
	struct policy *p = ps->p;
	struct pol_authority *o;

	a->name = name;
	a->loc = *loc;
	for (o = p->authorities; o; o = o->next)
		if (!strcmp(o->name, name))
			return pol_redefined(ps, loc, "authority", name, &o->loc);
	if (p->nauthorities == POLICY_AUTHORITIES_MAX)
		return pol_error(ps, loc, "more than %d authorities", POLICY_AUTHORITIES_MAX);
	p->nauthorities++;
	if (p->last_authority)
		p->last_authority->next = a;
	else
		p->authorities = a;
	p->last_authority = a;
	return true;
}

bool pol_parse_authority(struct pol_parser *ps, const struct pol_loc *at)
{
	struct pol_authority *a = pol_alloc(&ps->p->arena, sizeof(*a));
	struct pol_loc loc, open;
	const char *name;
	unsigned level;

	(void)at;
	if (!a)
		return pol_oom(ps);
	name = pol_new_name(ps, "a name for the authority", &loc);
	if (!name || !authority_new(ps, a, name, &loc))
		return false;
	open = ps->tok.loc;
	if (!pol_expect(ps, TOK_LBRACE, "'{'"))
		return false;
	level = ps->depth;
	while (!pol_at_block_end(ps)) {
		loc = ps->tok.loc;
		if (!pol_accept(ps, TOK_SEMI) && !authority_statement(ps, a))
			pol_recover(ps, level, true, &loc);
	}
	return pol_block_close(ps, &open) && pol_block_end(ps);
}
