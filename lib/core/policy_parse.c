/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The policy's parser: recursive descent over tokens, one function per statement. It
 * reports what is wrong and goes on behind the next `;`, `}` or line that begins a statement, so that
 * one run shows many errors. pend.conf(5) has the grammar.
 */
#include "core/policy_ast.h"
#include "base/str.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum block { BLOCK_TOP, BLOCK_LAYER };

struct statement {
	const char *word;
	bool (*parse)(struct pol_parser *ps, const struct pol_loc *at);
};

/* Registered even when the rest is wrong, so that its uses are not errors too. */
static const char *new_name(struct pol_parser *ps, const char *what, struct pol_loc *loc)
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

static bool redefined(struct pol_parser *ps, const struct pol_loc *at, const char *what,
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

static bool parse_define(struct pol_parser *ps, const struct pol_loc *at)
{
	struct pol_define *d = pol_alloc(&ps->tmp, sizeof(*d));
	struct pol_loc loc;
	bool ok;

	if (!d)
		return pol_oom(ps);
	if (ps->ndefines == POLICY_DEFINES_MAX)
		return pol_error(ps, at, "more than %d variables", POLICY_DEFINES_MAX);
	d->name = new_name(ps, "a name for the variable", &loc);
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
			return redefined(ps, loc, "set", name, &s->loc);
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

static bool parse_set(struct pol_parser *ps, const struct pol_loc *at)
{
	struct pol_set *set = pol_alloc(&ps->p->arena, sizeof(*set));
	struct pol_loc loc;
	const char *name;

	(void)at;
	if (!set)
		return pol_oom(ps);
	name = new_name(ps, "a name for the set", &loc);
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

/* A statement that no block holds begins here: the `}` before it was forgotten. */
static bool at_top_statement(const struct pol_parser *ps)
{
	static const char *const words[] = {"settings", "define", "set", "authority", "layer"};
	size_t i;

	if (ps->tok.type != TOK_WORD || !ps->tok.bol || !ps->depth)
		return false;
	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (!strcmp(ps->tok.text, words[i]))
			return true;
	return false;
}

static bool at_block_end(const struct pol_parser *ps)
{
	return ps->tok.type == TOK_RBRACE || ps->tok.type == TOK_EOF || at_top_statement(ps) ||
	       pol_stopped(ps);
}

static bool block_end(struct pol_parser *ps, const struct pol_loc *open)
{
	return pol_accept(ps, TOK_RBRACE) || pol_unclosed(ps, open, 0);
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
			return redefined(ps, loc, "authority", name, &o->loc);
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

static bool parse_authority(struct pol_parser *ps, const struct pol_loc *at)
{
	struct pol_authority *a = pol_alloc(&ps->p->arena, sizeof(*a));
	struct pol_loc loc, open;
	const char *name;
	unsigned level;

	(void)at;
	if (!a)
		return pol_oom(ps);
	name = new_name(ps, "a name for the authority", &loc);
	if (!name || !authority_new(ps, a, name, &loc))
		return false;
	open = ps->tok.loc;
	if (!pol_expect(ps, TOK_LBRACE, "'{'"))
		return false;
	level = ps->depth;
	while (!at_block_end(ps)) {
		loc = ps->tok.loc;
		if (!pol_accept(ps, TOK_SEMI) && !authority_statement(ps, a))
			pol_recover(ps, level, true, &loc);
	}
	return block_end(ps, &open) && pol_block_end(ps);
}

/* -------------------------------------------------------------------- settings ---- */

static bool parse_settings(struct pol_parser *ps, const struct pol_loc *at)
{
	struct pol_loc open = ps->tok.loc, start;
	unsigned level;

	(void)at;
	if (!pol_expect(ps, TOK_LBRACE, "'{'"))
		return false;
	level = ps->depth;
	while (!at_block_end(ps)) {
		start = ps->tok.loc;
		if (!pol_accept(ps, TOK_SEMI) && !pol_parse_setting(ps))
			pol_recover(ps, level, true, &start);
	}
	return block_end(ps, &open) && pol_block_end(ps);
}

/* --------------------------------------------------------------------- include ---- */

static void parse_block(struct pol_parser *ps, enum block block, struct pol_layer *layer);

/* Parse one more file in the middle of this one; the place in this one is kept. */
static bool include_text(struct pol_parser *ps, uint32_t file, enum block block,
			 struct pol_layer *layer)
{
	struct pol_lexer lx = ps->lx;
	struct pol_token tok = ps->tok;
	unsigned depth = ps->depth;

	ps->stack[ps->nstack++] = file;
	pol_lex_init(&ps->lx, file, ps->p->files[file].text, ps->p->files[file].len);
	ps->depth = 0;
	ps->tok.type = TOK_SEMI;
	pol_advance(ps);
	parse_block(ps, block, layer);
	ps->nstack--;
	ps->lx = lx;
	ps->tok = tok;
	ps->depth = depth;
	return !pol_stopped(ps);
}

static bool include_checks(struct pol_parser *ps, const struct pol_loc *at, const char *name)
{
	unsigned i;

	for (i = 0; i < ps->nstack; i++)
		if (!strcmp(ps->p->files[ps->stack[i]].name, name))
			return pol_error(ps, at, "\"%s\" includes itself", name);
	if (ps->nstack == POLICY_DEPTH_MAX)
		return pol_error(ps, at, "files include each other more than %d deep",
				 POLICY_DEPTH_MAX);
	if (ps->p->nfiles >= POLICY_FILES_MAX)
		return pol_error(ps, at, "more than %d files", POLICY_FILES_MAX);
	return true;
}

static bool include_file(struct pol_parser *ps, const struct pol_loc *at, const char *path,
			 enum block block, struct pol_layer *layer)
{
	const char *from = ps->p->files[at->file].name;
	char *name = pol_path(&ps->tmp, from, path), *text = NULL, show[POL_SHOW_MAX];
	size_t len = 0;
	uint32_t file;
	int err;

	if (!name)
		return pol_oom(ps);
	if (!include_checks(ps, at, name))
		return false;
	err = ps->loader->read(ps->loader->ctx, from, path, &text, &len);
	if (err)
		return pol_error(ps, at, "cannot read \"%s\": %s", pol_show(name, show),
				 strerror(-err));
	if (len > POLICY_FILE_MAX) {
		free(text);
		return pol_error(ps, at, "\"%s\" is larger than 16 MiB", pol_show(name, show));
	}
	file = pol_file_add(ps->p, name, text, len);
	return file == UINT32_MAX ? pol_oom(ps) : include_text(ps, file, block, layer);
}

static bool include_glob(struct pol_parser *ps, const struct pol_loc *at, const char *pattern,
			 enum block block, struct pol_layer *layer)
{
	const char *from = ps->p->files[at->file].name;
	char **paths = NULL, show[POL_SHOW_MAX];
	size_t n = 0, i;
	int err;

	if (!ps->loader->glob)
		return pol_error(ps, at, "patterns cannot be included here");
	err = ps->loader->glob(ps->loader->ctx, from, pattern, &paths, &n);
	if (err)
		return pol_error(ps, at, "cannot list \"%s\": %s", pol_show(pattern, show),
				 strerror(-err));
	for (i = 0; i < n; i++) {
		if (!pol_stopped(ps))
			include_file(ps, at, paths[i], block, layer);
		free(paths[i]);
	}
	free(paths);
	return true;
}

static bool parse_include(struct pol_parser *ps, enum block block, struct pol_layer *layer)
{
	struct pol_loc loc;
	const char *path;

	pol_advance(ps);
	path = pol_string(ps, "the path of a file as a string", &loc);
	if (!path || !pol_end(ps, "the path"))
		return false;
	/* An error in there was reported; this statement itself is over, so: true. */
	if (strpbrk(path, "*?["))
		include_glob(ps, &loc, path, block, layer);
	else
		include_file(ps, &loc, path, block, layer);
	return true;
}

/* ----------------------------------------------------------------------- layer ---- */

static bool layer_new(struct pol_parser *ps, struct pol_layer *l, const char *name,
		      const struct pol_loc *loc)
{
	struct policy *p = ps->p;
	struct pol_layer *o;

	l->name = name;
	l->loc = *loc;
	for (o = p->layers; o; o = o->next)
		if (!strcmp(o->name, name))
			return redefined(ps, loc, "layer", name, &o->loc);
	if (p->nlayers == POLICY_LAYERS_MAX)
		return pol_error(ps, loc, "more than %d layers", POLICY_LAYERS_MAX);
	p->nlayers++;
	if (p->last_layer)
		p->last_layer->next = l;
	else
		p->layers = l;
	p->last_layer = l;
	return true;
}

static bool parse_layer(struct pol_parser *ps, const struct pol_loc *at)
{
	struct pol_layer *l = pol_alloc(&ps->p->arena, sizeof(*l));
	struct pol_loc loc, open;
	const char *name;

	(void)at;
	if (!l)
		return pol_oom(ps);
	name = new_name(ps, "a name for the layer", &loc);
	if (!name || !layer_new(ps, l, name, &loc))
		return false;
	open = ps->tok.loc;
	if (!pol_expect(ps, TOK_LBRACE, "'{'"))
		return false;
	parse_block(ps, BLOCK_LAYER, l);
	return block_end(ps, &open) && pol_block_end(ps);
}

static bool parse_weight(struct pol_parser *ps, struct pol_layer *layer)
{
	struct pol_loc at = ps->tok.loc, loc;
	const char *s;
	uint64_t v;

	pol_advance(ps);
	s = pol_word(ps, "a weight", &loc);
	if (!s)
		return false;
	if (str_u64(s, UINT16_MAX, &v))
		return pol_error(ps, &loc, "a weight is a number from 0 to 65535");
	if (layer->has_weight)
		return pol_error(ps, &at, "\"weight\" is given twice");
	layer->weight = (uint16_t)v;
	layer->has_weight = true;
	return pol_end(ps, "the weight");
}

static bool layer_unknown(struct pol_parser *ps)
{
	struct pol_guess g = pol_guess_for(ps->tok.text);
	const struct pol_keyword *k;
	struct pol_loc at = ps->tok.loc;
	const char *word = ps->tok.text;

	for (k = pol_actions; k->name; k++)
		pol_guess_try(&g, k->name);
	pol_guess_try(&g, "default");
	pol_guess_try(&g, "weight");
	pol_guess_try(&g, "include");
	pol_rule_guess(&g);
	pol_advance(ps);
	return pol_unknown(ps, &at, "statement of a layer", word, g.best);
}

static bool layer_statement(struct pol_parser *ps, struct pol_layer *layer)
{
	if (ps->tok.type != TOK_WORD) {
		pol_expected(ps, "a rule");
		pol_advance(ps);
		return false;
	}
	if (pol_is(ps, "permit") || pol_is(ps, "block") || pol_is(ps, "pend"))
		return pol_parse_rule(ps, layer);
	if (pol_is(ps, "default"))
		return pol_parse_default(ps, layer);
	if (pol_is(ps, "weight"))
		return parse_weight(ps, layer);
	if (pol_is(ps, "include"))
		return parse_include(ps, BLOCK_LAYER, layer);
	return layer_unknown(ps);
}

/* --------------------------------------------------------------------- all files ---- */

static const struct statement statements[] = {
	{"settings", parse_settings},   {"define", parse_define}, {"set", parse_set},
	{"authority", parse_authority}, {"layer", parse_layer},
};

#define NSTATEMENTS (sizeof(statements) / sizeof(statements[0]))

static bool top_unknown(struct pol_parser *ps)
{
	struct pol_guess g = pol_guess_for(ps->tok.text);
	struct pol_loc at = ps->tok.loc;
	const char *word = ps->tok.text;
	size_t i;

	pol_advance(ps);
	if (!strcmp(word, "permit") || !strcmp(word, "block") || !strcmp(word, "pend"))
		return pol_error(ps, &at, "a rule stands in a layer: layer NAME { %s ... }", word);
	for (i = 0; i < NSTATEMENTS; i++)
		pol_guess_try(&g, statements[i].word);
	pol_guess_try(&g, "include");
	return pol_unknown(ps, &at, "statement", word, g.best);
}

static bool top_statement(struct pol_parser *ps)
{
	struct pol_loc at = ps->tok.loc;
	size_t i;

	if (ps->tok.type != TOK_WORD) {
		pol_expected(ps, "a statement");
		pol_advance(ps);
		return false;
	}
	if (pol_is(ps, "include"))
		return parse_include(ps, BLOCK_TOP, NULL);
	for (i = 0; i < NSTATEMENTS; i++) {
		if (pol_is(ps, statements[i].word)) {
			pol_advance(ps);
			return statements[i].parse(ps, &at);
		}
	}
	return top_unknown(ps);
}

/* Statements up to the block's `}` or the file's end, neither of which is taken. */
static void parse_block(struct pol_parser *ps, enum block block, struct pol_layer *layer)
{
	unsigned level = ps->depth;
	bool in_rules = ps->in_rules, ok;
	struct pol_loc start;

	ps->in_rules = block == BLOCK_LAYER;
	while (ps->tok.type != TOK_EOF && !at_top_statement(ps) && !pol_stopped(ps)) {
		if (pol_accept(ps, TOK_SEMI))
			continue;
		if (ps->tok.type == TOK_RBRACE) {
			if (level)
				break;
			pol_error(ps, &ps->tok.loc, "this '}' has no '{'");
			pol_advance(ps);
			ps->depth = 0;
			continue;
		}
		start = ps->tok.loc;
		ok = block == BLOCK_TOP ? top_statement(ps) : layer_statement(ps, layer);
		if (!ok)
			pol_recover(ps, level, block == BLOCK_LAYER, &start);
	}
	ps->in_rules = in_rules;
}

static int parse_first(struct pol_parser *ps, const char *path)
{
	char *text = NULL, show[POL_SHOW_MAX];
	size_t len = 0;
	uint32_t file;
	int err = ps->loader->read(ps->loader->ctx, NULL, path, &text, &len);

	if (err) {
		pol_text_add(&ps->diag, "%s: error: cannot read: %s\n", pol_show(path, show),
			     strerror(-err));
		ps->errors++;
		return err;
	}
	file = pol_file_add(ps->p, path, text, len);
	if (file == UINT32_MAX)
		return -ENOMEM;
	if (len > POLICY_FILE_MAX) {
		pol_error(ps, &(struct pol_loc){0}, "file is larger than 16 MiB");
		return -EINVAL;
	}
	include_text(ps, file, BLOCK_TOP, NULL);
	return 0;
}

static void parse_finish(struct pol_parser *ps, struct policy_diag *diag)
{
	uint32_t i;

	for (i = 0; i < ps->p->nfiles; i++) {
		free(ps->p->files[i].text);
		ps->p->files[i].text = NULL;
	}
	pol_arena_deinit(&ps->tmp);
	if (diag) {
		*diag = (struct policy_diag){ps->diag.s, ps->diag.len, ps->errors, ps->warnings};
		return;
	}
	free(ps->diag.s);
}

int policy_parse(struct policy **out, const char *path, const struct policy_loader *loader,
		 struct policy_diag *diag)
{
	struct pol_parser ps = {.loader = loader, .p = calloc(1, sizeof(*ps.p))};
	int err;

	if (diag)
		*diag = (struct policy_diag){0};
	if (!ps.p)
		return -ENOMEM;
	settings_init(&ps.p->settings);
	err = parse_first(&ps, path);
	if (!err && !pol_stopped(&ps))
		pol_check(&ps);
	parse_finish(&ps, diag);
	if (ps.oom || ps.diag.oom)
		err = -ENOMEM;
	if (!err && ps.errors)
		err = -EINVAL;
	if (err)
		policy_free(ps.p);
	else
		*out = ps.p;
	return err;
}

void policy_free(struct policy *p)
{
	struct pol_set *s;
	uint32_t i;

	if (!p)
		return;
	for (s = p->sets; s; s = s->next)
		pol_ranges_deinit(&s->ranges);
	for (i = 0; i < p->nfiles; i++)
		free(p->files[i].text);
	free(p->files);
	pol_arena_deinit(&p->arena);
	free(p);
}

const struct settings *policy_settings(const struct policy *p)
{
	return &p->settings;
}
