/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The policy's lexer: bytes -> tokens with their places. A total function: any bytes do. */
#include "core/policy_ast.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

void pol_lex_init(struct pol_lexer *lx, uint32_t file, const char *text, size_t len)
{
	*lx = (struct pol_lexer){.text = text,
				 .p = text,
				 .end = text + len,
				 .line_start = text,
				 .file = file,
				 .line = 1,
				 .bol = true};
	if (len >= 3 && !memcmp(text, "\xef\xbb\xbf", 3))
		lx->p += 3;
}

static bool is_alnum(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_word(char c)
{
	return is_alnum(c) || (c && strchr("_-.:/*+%", c));
}

static bool is_punct(char c)
{
	return c && strchr("{},;!=\"$@#", c);
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Blanks, newlines and comments. */
static void skip_space(struct pol_lexer *lx)
{
	for (; lx->p < lx->end; lx->p++) {
		if (*lx->p == '#') {
			lx->p = memchr(lx->p, '\n', (size_t)(lx->end - lx->p));
			if (!lx->p) {
				lx->p = lx->end;
				return;
			}
		}
		if (!is_space(*lx->p))
			return;
		if (*lx->p == '\n') {
			lx->line++;
			lx->line_start = lx->p + 1;
			lx->bol = true;
		}
	}
}

static int bad(struct pol_token *t, const char *message)
{
	t->type = TOK_BAD;
	t->text = message;
	return 0;
}

static int take(struct pol_arena *a, struct pol_token *t, enum pol_tok type, const char *s,
		size_t len)
{
	t->type = type;
	t->text = pol_strndup(a, s, len);
	return t->text ? 0 : -ENOMEM;
}

/* A word; behind a $ or @ (already passed) it is the name of something. */
static int lex_word(struct pol_lexer *lx, struct pol_arena *a, struct pol_token *t,
		    enum pol_tok type)
{
	const char *s = lx->p;

	while (lx->p < lx->end && is_word(*lx->p))
		lx->p++;
	if (lx->p == s)
		return bad(t,
			   type == TOK_VAR ? "a name must follow '$'" : "a name must follow '@'");
	if (lx->p - s > POLICY_WORD_MAX)
		return bad(t, "word is longer than 255 bytes");
	return take(a, t, type, s, (size_t)(lx->p - s));
}

static int unescape(struct pol_arena *a, struct pol_token *t, const char *s, size_t len)
{
	char *out = pol_alloc(a, len + 1);
	size_t i, n = 0;

	if (!out)
		return -ENOMEM;
	for (i = 0; i < len; i++) {
		if (s[i] == '\\' && ++i < len && s[i] != '"' && s[i] != '\\')
			return bad(t, "unknown escape in string: only \\\" and \\\\ are known");
		if ((unsigned char)s[i] < ' ' || s[i] == 0x7f)
			return bad(t, "control character in string");
		out[n++] = s[i];
	}
	t->type = TOK_STRING;
	t->text = out;
	return 0;
}

/* The quote that ends a string, or the end of the line where none does. `s`: behind the one that begins it. */
static const char *string_end(const char *s, const char *end)
{
	while (s < end && *s != '"' && *s != '\n')
		s += *s == '\\' && s + 1 < end && s[1] != '\n' ? 2 : 1;
	return s;
}

static int lex_string(struct pol_lexer *lx, struct pol_arena *a, struct pol_token *t)
{
	const char *s = ++lx->p;

	lx->p = string_end(s, lx->end);
	if (lx->p >= lx->end || *lx->p == '\n')
		return bad(t, "string is not closed");
	lx->p++;
	if (lx->p - 1 - s > POLICY_STRING_MAX)
		return bad(t, "string is longer than 4095 bytes");
	return unescape(a, t, s, (size_t)(lx->p - 1 - s));
}

static int lex_junk(struct pol_lexer *lx, struct pol_arena *a, struct pol_token *t)
{
	unsigned char c = (unsigned char)*lx->p;
	char message[64];
	int err;

	if (c > ' ' && c < 0x7f)
		snprintf(message, sizeof(message), "unexpected character '%c'", c);
	else
		snprintf(message, sizeof(message), "unexpected byte 0x%02x", c);
	while (lx->p < lx->end && !is_word(*lx->p) && !is_space(*lx->p) && !is_punct(*lx->p))
		lx->p++;
	err = take(a, t, TOK_BAD, message, strlen(message));
	return err;
}

static int lex_token(struct pol_lexer *lx, struct pol_arena *a, struct pol_token *t)
{
	static const char punct[] = "{},;!=";
	static const enum pol_tok type[] = {TOK_LBRACE, TOK_RBRACE, TOK_COMMA,
					    TOK_SEMI,   TOK_BANG,   TOK_EQ};
	const char *hit;

	if (lx->p >= lx->end) {
		t->type = TOK_EOF;
		return 0;
	}
	hit = *lx->p ? strchr(punct, *lx->p) : NULL;
	if (hit) {
		t->type = type[hit - punct];
		lx->p++;
		return 0;
	}
	if (*lx->p == '"')
		return lex_string(lx, a, t);
	if (*lx->p == '$' || *lx->p == '@') {
		lx->p++;
		return lex_word(lx, a, t, lx->p[-1] == '$' ? TOK_VAR : TOK_SET);
	}
	return is_word(*lx->p) ? lex_word(lx, a, t, TOK_WORD) : lex_junk(lx, a, t);
}

int pol_lex(struct pol_lexer *lx, struct pol_arena *a, struct pol_token *t)
{
	const char *s;
	int err;

	skip_space(lx);
	s = lx->p;
	*t = (struct pol_token){.bol = lx->bol, .text = ""};
	t->loc = (struct pol_loc){lx->file, lx->line, (uint32_t)(s - lx->line_start) + 1, 1};
	lx->bol = false;
	err = lex_token(lx, a, t);
	/* Past the end of the buffer only if lex_string stepped over a last backslash. */
	if (lx->p > lx->end)
		lx->p = lx->end;
	if (lx->p > s)
		t->loc.len = (uint32_t)(lx->p - s);
	return err;
}

static bool count_braces(const char *s, const char *end)
{
	size_t open = 0;

	for (; s < end; s++) {
		if (*s == '#')
			s = memchr(s, '\n', (size_t)(end - s));
		else if (*s == '"')
			s = string_end(s + 1, end);
		else if (*s == '{')
			open++;
		else if (*s == '}' && !open--)
			return false;
		if (!s)
			break;
	}
	return !open;
}

bool pol_lex_balanced(struct pol_lexer *lx)
{
	if (!lx->counted)
		lx->balanced = count_braces(lx->text, lx->end);
	lx->counted = true;
	return lx->balanced;
}

bool pol_lex_comma(const struct pol_lexer *lx)
{
	struct pol_lexer ahead = *lx;

	skip_space(&ahead);
	return ahead.p < ahead.end && *ahead.p == ',';
}
