/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Statements that name something: define, set. */
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
		if (ps->depth > level)
			pol_in_list(ps);
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
