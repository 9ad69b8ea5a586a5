/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The policy's parser: recursive descent over tokens, one function per statement. It
 * reports what is wrong and goes on behind the next `;`, `}` or line that begins a statement, so that
 * one run shows many errors. pend.conf(5) has the grammar.
 */
#include "core/policy_ast.h"
#include "base/str.h"
#include <string.h>

struct statement {
	const char *word;
	bool (*parse)(struct pol_parser *ps, const struct pol_loc *at);
};

/* ---------------------------------------------------------------------- blocks ---- */

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

bool pol_at_block_end(const struct pol_parser *ps)
{
	return ps->tok.type == TOK_RBRACE || ps->tok.type == TOK_EOF || at_top_statement(ps) ||
	       pol_stopped(ps);
}

bool pol_block_close(struct pol_parser *ps, const struct pol_loc *open)
{
	return pol_accept(ps, TOK_RBRACE) || pol_unclosed(ps, open, 0);
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
	while (!pol_at_block_end(ps)) {
		start = ps->tok.loc;
		if (!pol_accept(ps, TOK_SEMI) && !pol_parse_setting(ps))
			pol_recover(ps, level, true, &start);
	}
	return pol_block_close(ps, &open) && pol_block_end(ps);
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
			return pol_redefined(ps, loc, "layer", name, &o->loc);
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
	name = pol_new_name(ps, "a name for the layer", &loc);
	if (!name || !layer_new(ps, l, name, &loc))
		return false;
	open = ps->tok.loc;
	if (!pol_expect(ps, TOK_LBRACE, "'{'"))
		return false;
	pol_parse_block(ps, POL_BLOCK_LAYER, l);
	return pol_block_close(ps, &open) && pol_block_end(ps);
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
	struct pol_loc at = ps->tok.loc;
	const char *word = ps->tok.text;

	pol_action_guess(&g);
	pol_guess_try(&g, "default");
	pol_guess_try(&g, "weight");
	pol_guess_try(&g, "include");
	pol_rule_guess(&g);
	pol_advance(ps);
	return pol_unknown(ps, &at, "statement of a layer", word, g.best);
}

static bool layer_statement(struct pol_parser *ps, struct pol_layer *layer)
{
	const struct pol_keyword *a;

	if (ps->tok.type != TOK_WORD) {
		pol_expected(ps, "a rule");
		pol_advance(ps);
		return false;
	}
	for (a = pol_actions; a->name; a++)
		if (pol_is(ps, a->name))
			return pol_parse_rule(ps, layer);
	if (pol_is(ps, "default"))
		return pol_parse_default(ps, layer);
	if (pol_is(ps, "weight"))
		return parse_weight(ps, layer);
	if (pol_is(ps, "include"))
		return pol_parse_include(ps, POL_BLOCK_LAYER, layer);
	return layer_unknown(ps);
}

/* --------------------------------------------------------------------- all files ---- */

static const struct statement statements[] = {
	{"settings", parse_settings},       {"define", pol_parse_define}, {"set", pol_parse_set},
	{"authority", pol_parse_authority}, {"layer", parse_layer},
};

#define NSTATEMENTS (sizeof(statements) / sizeof(statements[0]))

static bool top_unknown(struct pol_parser *ps)
{
	const struct pol_keyword *a;
	struct pol_guess g = pol_guess_for(ps->tok.text);
	struct pol_loc at = ps->tok.loc;
	const char *word = ps->tok.text;
	size_t i;

	pol_advance(ps);
	for (a = pol_actions; a->name; a++)
		if (!strcmp(word, a->name))
			return pol_error(ps, &at, "a rule stands in a layer: layer NAME { %s ... }",
					 word);
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
		return pol_parse_include(ps, POL_BLOCK_TOP, NULL);
	for (i = 0; i < NSTATEMENTS; i++) {
		if (pol_is(ps, statements[i].word)) {
			pol_advance(ps);
			return statements[i].parse(ps, &at);
		}
	}
	return top_unknown(ps);
}

/* Statements up to the block's `}` or the file's end, neither of which is taken. */
void pol_parse_block(struct pol_parser *ps, enum pol_block_kind block, struct pol_layer *layer)
{
	unsigned level = ps->depth;
	bool in_rules = ps->in_rules, ok;
	struct pol_loc start;

	ps->in_rules = block == POL_BLOCK_LAYER;
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
		ok = block == POL_BLOCK_TOP ? top_statement(ps) : layer_statement(ps, layer);
		if (!ok)
			pol_recover(ps, level, block == POL_BLOCK_LAYER, &start);
	}
	ps->in_rules = in_rules;
}
