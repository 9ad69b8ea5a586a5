/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The parser's hold on the token stream: variables, expectations, lists, recovery, keywords. */
#include "core/policy_ast.h"
#include "base/str.h"
#include <errno.h>
#include <pend.h>
#include <string.h>

#define LIST_NEST_MAX 16

const struct pol_keyword pol_verdicts[] = {
	{"permit", PEND_VERDICT_PERMIT}, {"block", PEND_VERDICT_BLOCK}, {NULL, 0}};
const struct pol_keyword pol_blocks[] = {{"drop", PEND_BLOCK_DROP},
					 {"reset", PEND_BLOCK_RESET},
					 {"unreachable", PEND_BLOCK_UNREACHABLE},
					 {NULL, 0}};
const struct pol_keyword pol_releases[] = {
	{"flush", PEND_RELEASE_FLUSH}, {"buffer", PEND_RELEASE_BUFFER}, {NULL, 0}};
const struct pol_keyword pol_hooks[] = {{"input", 1}, {"forward", 2}, {"output", 3}, {NULL, 0}};
const struct pol_keyword pol_authtypes[] = {{"operator", AUTHORITY_OPERATOR},
					    {"static", AUTHORITY_STATIC},
					    {"socket", AUTHORITY_SOCKET},
					    {"exec", AUTHORITY_EXEC},
					    {"dnsbl", AUTHORITY_DNSBL},
					    {"http", AUTHORITY_HTTP},
					    {"unit", AUTHORITY_UNIT},
					    {"totp", AUTHORITY_TOTP},
					    {"any", AUTHORITY_ANY},
					    {"all", AUTHORITY_ALL},
					    {"quorum", AUTHORITY_QUORUM},
					    {"chain", AUTHORITY_CHAIN},
					    {NULL, 0}};
const struct pol_keyword pol_actions[] = {{"permit", CLASSIFY_PERMIT},
					  {"block", CLASSIFY_BLOCK},
					  {"pend", CLASSIFY_PEND},
					  {"inspect", CLASSIFY_INSPECT},
					  {NULL, 0}};

static void lex_next(struct pol_parser *ps)
{
	if (pol_lex(&ps->lx, &ps->tmp, &ps->tok)) {
		pol_oom(ps);
		ps->tok = (struct pol_token){.type = TOK_EOF, .text = ""};
	}
	if (ps->tok.type == TOK_BAD)
		pol_error(ps, &ps->tok.loc, "%s", ps->tok.text);
}

const struct pol_define *pol_define_find(const struct pol_parser *ps, const char *name)
{
	const struct pol_define *d = ps->defines;

	while (d && strcmp(d->name, name))
		d = d->next;
	return d;
}

/* Replace `$name` by its first token and remember the others. */
static void expand(struct pol_parser *ps)
{
	const struct pol_define *d = pol_define_find(ps, ps->tok.text);
	bool bol = ps->tok.bol;
	struct pol_guess g;

	if (!d) {
		g = pol_guess_for(ps->tok.text);
		for (d = ps->defines; d; d = d->next)
			pol_guess_try(&g, d->name);
		pol_unknown(ps, &ps->tok.loc, "variable", ps->tok.text, g.best);
	}
	/* One whose value was wrong is known but empty: that was reported there. */
	if (!d || !d->n) {
		ps->tok.type = TOK_BAD;
		return;
	}
	ps->use = ps->tok.loc;
	ps->tok = d->tok[0];
	ps->tok.loc = ps->use;
	ps->tok.bol = bol;
	ps->more = d->tok + 1;
	ps->nmore = d->n - 1;
}

void pol_advance(struct pol_parser *ps)
{
	if (ps->tok.type == TOK_LBRACE)
		ps->depth++;
	else if (ps->tok.type == TOK_RBRACE && ps->depth)
		ps->depth--;
	if (pol_stopped(ps)) {
		ps->tok.type = TOK_EOF;
		ps->nmore = 0;
		return;
	}
	if (ps->nmore) {
		ps->tok = *ps->more++;
		ps->tok.loc = ps->use;
		ps->nmore--;
		return;
	}
	lex_next(ps);
	if (ps->tok.type == TOK_VAR)
		expand(ps);
}

bool pol_is(const struct pol_parser *ps, const char *word)
{
	return ps->tok.type == TOK_WORD && !strcmp(ps->tok.text, word);
}

bool pol_accept(struct pol_parser *ps, enum pol_tok type)
{
	if (ps->tok.type != type)
		return false;
	pol_advance(ps);
	return true;
}

static const char *token_text(const struct pol_token *t, char buf[POL_SHOW_MAX + 8])
{
	char show[POL_SHOW_MAX];
	const char *mark = "";

	switch (t->type) {
	case TOK_EOF:
		return "the end of the file";
	case TOK_LBRACE:
		return "'{'";
	case TOK_RBRACE:
		return "'}'";
	case TOK_COMMA:
		return "','";
	case TOK_SEMI:
		return "';'";
	case TOK_BANG:
		return "'!'";
	case TOK_EQ:
		return "'='";
	case TOK_SET:
		mark = "@";
		break;
	case TOK_VAR:
		mark = "$";
		break;
	case TOK_WORD:
	case TOK_STRING:
	case TOK_BAD:
		break;
	}
	buf[0] = '\0';
	str_append(buf, POL_SHOW_MAX + 8, &(size_t){0}, "\"%s%s\"", mark, pol_show(t->text, show));
	return buf;
}

bool pol_blank(struct pol_parser *ps, const struct pol_loc *at, char joins)
{
	return pol_error(ps, at, "what '%c' joins is one word, write it without blanks", joins);
}

bool pol_expected(struct pol_parser *ps, const char *what)
{
	char buf[POL_SHOW_MAX + 8];

	if (ps->tok.type == TOK_BAD)
		return false;
	if (pol_is(ps, "/") || pol_is(ps, "-"))
		return pol_blank(ps, &ps->tok.loc, ps->tok.text[0]);
	return pol_error(ps, &ps->tok.loc, "expected %s, found %s", what,
			 token_text(&ps->tok, buf));
}

bool pol_expect(struct pol_parser *ps, enum pol_tok type, const char *what)
{
	return pol_accept(ps, type) || pol_expected(ps, what);
}

bool pol_begins_statement(const struct pol_token *t)
{
	static const char *const words[] = {"settings", "define",  "set",     "authority",
					    "layer",    "include", "permit",  "block",
					    "pend",     "inspect", "default", "weight"};
	size_t i;

	if (t->type != TOK_WORD || !t->bol)
		return false;
	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (!strcmp(t->text, words[i]))
			return true;
	return false;
}

void pol_in_list(struct pol_parser *ps)
{
	if (pol_begins_statement(&ps->tok) && (pol_lex_balanced(&ps->lx) || pol_lex_comma(&ps->lx)))
		ps->tok.bol = false;
}

static const char *take_text(struct pol_parser *ps, const char *what, struct pol_loc *loc, bool ok)
{
	const char *s = ps->tok.text;

	*loc = ps->tok.loc;
	if (!ok || pol_begins_statement(&ps->tok)) {
		pol_expected(ps, what);
		return NULL;
	}
	pol_advance(ps);
	return s;
}

const char *pol_value(struct pol_parser *ps, const char *what, struct pol_loc *loc)
{
	return take_text(ps, what, loc, ps->tok.type == TOK_WORD || ps->tok.type == TOK_STRING);
}

const char *pol_word(struct pol_parser *ps, const char *what, struct pol_loc *loc)
{
	return take_text(ps, what, loc, ps->tok.type == TOK_WORD);
}

const char *pol_string(struct pol_parser *ps, const char *what, struct pol_loc *loc)
{
	return take_text(ps, what, loc, ps->tok.type == TOK_STRING);
}

bool pol_end(struct pol_parser *ps, const char *after)
{
	char what[80] = "";

	if (pol_accept(ps, TOK_SEMI))
		return true;
	if (ps->tok.bol || ps->tok.type == TOK_RBRACE || ps->tok.type == TOK_EOF)
		return true;
	str_append(what, sizeof(what), &(size_t){0}, "';' after %s", after);
	return pol_expected(ps, what);
}

bool pol_block_end(struct pol_parser *ps)
{
	pol_accept(ps, TOK_SEMI);
	return true;
}

/* A word at the beginning of a line behind the statement's own, which is not its continuation. */
static bool next_line(const struct pol_parser *ps, const struct pol_loc *start)
{
	const struct pol_token *t = &ps->tok;

	return t->bol && t->type == TOK_WORD && !(ps->in_rules && pol_rule_word(t->text)) &&
	       (t->loc.line != start->line || t->loc.file != start->file);
}

/* The rest of a variable's words, whose braces count as those in the text do. */
static void drop_variable(struct pol_parser *ps)
{
	for (; ps->nmore; ps->nmore--, ps->more++) {
		if (ps->more->type == TOK_LBRACE)
			ps->depth++;
		else if (ps->more->type == TOK_RBRACE && ps->depth)
			ps->depth--;
	}
}

/*
 * leaf: statements of this block hold no blocks of their own, so that the next one or a `;` ends one even
 * inside of braces that somebody forgot to close. Where nobody did, their own `}` is waited for, or it would close
 * the block.
 */
void pol_recover(struct pol_parser *ps, unsigned level, bool leaf, const struct pol_loc *start)
{
	drop_variable(ps);
	leaf = leaf && !pol_lex_balanced(&ps->lx);
	while (ps->tok.type != TOK_EOF) {
		if (pol_begins_statement(&ps->tok) && (leaf || ps->depth <= level)) {
			ps->depth = level;
			return;
		}
		if (ps->depth <= level && (ps->tok.type == TOK_RBRACE || next_line(ps, start)))
			return;
		if (ps->tok.type == TOK_SEMI && (leaf || ps->depth <= level)) {
			ps->depth = level;
			pol_advance(ps);
			return;
		}
		pol_advance(ps);
	}
}

bool pol_unclosed(struct pol_parser *ps, const struct pol_loc *open, unsigned depth)
{
	ps->depth = depth;
	return pol_error(ps, open, "this '{' has no '}'");
}

struct list {
	pol_element_fn *fn;
	void *ctx;
	const char *what;
	uint32_t n;
	bool loose; /* commas may be left out */
};

static bool another(struct pol_parser *ps, const struct list *l)
{
	pol_in_list(ps);
	if (pol_accept(ps, TOK_COMMA)) {
		pol_in_list(ps);
		return true;
	}
	return l->loose && (ps->tok.type == TOK_WORD || ps->tok.type == TOK_LBRACE) &&
	       !pol_begins_statement(&ps->tok);
}

static bool list_elements(struct pol_parser *ps, struct list *l, unsigned nest)
{
	struct pol_loc open = ps->tok.loc;
	unsigned depth = ps->depth;

	pol_advance(ps);
	pol_in_list(ps);
	while (ps->tok.type != TOK_RBRACE) {
		if (ps->tok.type == TOK_EOF || pol_begins_statement(&ps->tok))
			return pol_unclosed(ps, &open, depth);
		if (ps->tok.type == TOK_LBRACE) {
			if (nest == LIST_NEST_MAX)
				return pol_error(ps, &ps->tok.loc,
						 "lists are nested more than %d deep",
						 LIST_NEST_MAX);
			if (!list_elements(ps, l, nest + 1))
				return false;
		} else {
			if (++l->n > POLICY_LIST_MAX)
				return pol_error(ps, &ps->tok.loc, "list has more than %d elements",
						 POLICY_LIST_MAX);
			if (++ps->elements > POLICY_ELEMENTS_MAX)
				return pol_error(ps, &ps->tok.loc,
						 "lists have more than %d elements together",
						 POLICY_ELEMENTS_MAX);
			if (ps->tok.type == TOK_COMMA || ps->tok.type == TOK_SEMI)
				return pol_expected(ps, l->what);
			if (!l->fn(ps, l->ctx))
				return false;
		}
		if (!another(ps, l))
			break;
	}
	if (ps->tok.type == TOK_EOF || pol_begins_statement(&ps->tok))
		return pol_unclosed(ps, &open, depth);
	return pol_expect(ps, TOK_RBRACE, "',' or '}'");
}

bool pol_list(struct pol_parser *ps, pol_element_fn *fn, void *ctx, const char *what)
{
	struct list l = {fn, ctx, what, 0, false};
	struct pol_loc at = ps->tok.loc;

	if (ps->tok.type != TOK_LBRACE)
		return fn(ps, ctx);
	if (!list_elements(ps, &l, 1))
		return false;
	return l.n ? true : pol_error(ps, &at, "list is empty and can never match");
}

bool pol_braces(struct pol_parser *ps, pol_element_fn *fn, void *ctx, const char *what)
{
	struct list l = {fn, ctx, what, 0, false};

	return ps->tok.type == TOK_LBRACE ? list_elements(ps, &l, 1) : pol_expected(ps, "'{'");
}

bool pol_names(struct pol_parser *ps, pol_element_fn *fn, void *ctx, const char *what)
{
	struct list l = {fn, ctx, what, 0, true};

	return ps->tok.type == TOK_LBRACE ? list_elements(ps, &l, 1) : pol_expected(ps, "'{'");
}

/* "unknown WHAT "word", expected a, b or c" */
static void unknown_of(struct pol_parser *ps, const struct pol_loc *at,
		       const struct pol_keyword *table, const char *what, const char *word)
{
	char show[POL_SHOW_MAX], list[160] = "";
	const struct pol_keyword *k;
	size_t len = 0;

	for (k = table; k->name; k++)
		str_append(list, sizeof(list), &len, "%s%s",
			   k == table  ? ""
			   : k[1].name ? ", "
				       : " or ",
			   k->name);
	pol_error(ps, at, "unknown %s \"%s\", expected %s", what, pol_show(word, show), list);
}

int pol_keyword(struct pol_parser *ps, const struct pol_keyword *table, const char *what)
{
	const struct pol_keyword *k;
	char article[80] = "";
	struct pol_guess g;
	struct pol_loc loc;
	const char *s;

	str_append(article, sizeof(article), &(size_t){0}, "%s %s",
		   strchr("aeiou", what[0]) ? "an" : "a", what);
	s = pol_word(ps, article, &loc);
	if (!s)
		return -1;
	g = pol_guess_for(s);
	for (k = table; k->name; k++) {
		if (!strcmp(k->name, s))
			return k->value;
		pol_guess_try(&g, k->name);
	}
	if (g.best)
		pol_unknown(ps, &loc, what, s, g.best);
	else
		unknown_of(ps, &loc, table, what, s);
	return -1;
}

const char *pol_keyword_name(const struct pol_keyword *table, int value)
{
	for (; table->name; table++)
		if (table->value == value)
			return table->name;
	return "?";
}

bool pol_number(struct pol_parser *ps, const char *what, uint32_t lo, uint32_t hi, uint32_t *out)
{
	struct pol_loc loc;
	const char *s = pol_word(ps, what, &loc);
	uint64_t v;

	if (!s)
		return false;
	if (str_u64(s, hi, &v) || v < lo)
		return pol_error(ps, &loc, "expected %s from %u to %u", what, lo, hi);
	*out = (uint32_t)v;
	return true;
}

bool pol_duration(struct pol_parser *ps, const char *what, uint64_t max, uint64_t *out)
{
	char show[POL_SHOW_MAX], text[STR_DURATION_MAX];
	struct pol_loc loc;
	const char *s = pol_word(ps, "a duration", &loc);
	uint64_t v;

	if (!s)
		return false;
	if (str_duration(s, &v))
		return pol_error(ps, &loc, "\"%s\" is no duration, write for example 30s or 1h30m",
				 pol_show(s, show));
	if (!v || v > max)
		return pol_error(ps, &loc, "%s must be more than 0 and at most %s", what,
				 str_duration_print(max, text));
	*out = v;
	return true;
}

bool pol_name_valid(const char *s)
{
	size_t i;

	for (i = 0; s[i]; i++) {
		bool letter = (s[i] >= 'a' && s[i] <= 'z') || (s[i] >= 'A' && s[i] <= 'Z');
		bool other = (s[i] >= '0' && s[i] <= '9') || s[i] == '-' || s[i] == '_';

		if (!letter && (!other || !i))
			return false;
	}
	return i && i <= POLICY_NAME_MAX;
}
