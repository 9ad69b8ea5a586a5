/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tokens and their places; junk of every kind. */
#include "unit.h"
#include "policy_help.h"

struct expected {
	enum pol_tok type;
	const char *text;
	uint32_t line, col, len;
	bool bol;
};

static void check_tokens(const char *text, size_t len, const struct expected *want)
{
	struct pol_arena a = {0};
	struct pol_lexer lx;
	struct pol_token t;

	pol_lex_init(&lx, 7, text, len);
	do {
		ck_assert_int_eq(pol_lex(&lx, &a, &t), 0);
		ck_assert_int_eq(t.type, want->type);
		if (want->text)
			ck_assert_str_eq(t.text, want->text);
		ck_assert_uint_eq(t.loc.file, 7);
		ck_assert_uint_eq(t.loc.line, want->line);
		ck_assert_uint_eq(t.loc.col, want->col);
		ck_assert_uint_eq(t.loc.len, want->len);
		ck_assert_int_eq(t.bol, want->bol);
	} while (want++->type != TOK_EOF);
	ck_assert_int_eq(pol_lex(&lx, &a, &t), 0);
	ck_assert_int_eq(t.type, TOK_EOF);
	pol_arena_deinit(&a);
}

#define TOKENS(text, ...) \
	check_tokens(text, sizeof(text) - 1, (const struct expected[]){__VA_ARGS__})

START_TEST(words)
{
	TOKENS("permit 10.0.0.0/8;\n\tblock # not this\n}", {TOK_WORD, "permit", 1, 1, 6, true},
	       {TOK_WORD, "10.0.0.0/8", 1, 8, 10, false}, {TOK_SEMI, NULL, 1, 18, 1, false},
	       {TOK_WORD, "block", 2, 2, 5, true}, {TOK_RBRACE, NULL, 3, 1, 1, true},
	       {TOK_EOF, NULL, 3, 2, 1, false});
	TOKENS("!@a-b,$x={", {TOK_BANG, NULL, 1, 1, 1, true}, {TOK_SET, "a-b", 1, 2, 4, false},
	       {TOK_COMMA, NULL, 1, 6, 1, false}, {TOK_VAR, "x", 1, 7, 2, false},
	       {TOK_EQ, NULL, 1, 9, 1, false}, {TOK_LBRACE, NULL, 1, 10, 1, false},
	       {TOK_EOF, NULL, 1, 11, 1, false});
}
END_TEST

START_TEST(strings)
{
	TOKENS("\"a b\" \"q\\\"\\\\\" \"\"", {TOK_STRING, "a b", 1, 1, 5, true},
	       {TOK_STRING, "q\"\\", 1, 7, 7, false}, {TOK_STRING, "", 1, 15, 2, false},
	       {TOK_EOF, NULL, 1, 17, 1, false});
	TOKENS("\"a\nb", {TOK_BAD, "string is not closed", 1, 1, 2, true},
	       {TOK_WORD, "b", 2, 1, 1, true}, {TOK_EOF, NULL, 2, 2, 1, false});
	TOKENS("\"a\\", {TOK_BAD, "string is not closed", 1, 1, 3, true},
	       {TOK_EOF, NULL, 1, 4, 1, false});
}
END_TEST

START_TEST(edges)
{
	TOKENS("", {TOK_EOF, NULL, 1, 1, 1, true});
	TOKENS("# only a comment", {TOK_EOF, NULL, 1, 17, 1, true});
	TOKENS("\xef\xbb\xbf"
	       "a",
	       {TOK_WORD, "a", 1, 4, 1, true}, {TOK_EOF, NULL, 1, 5, 1, false});
	TOKENS("a\r\nb", {TOK_WORD, "a", 1, 1, 1, true}, {TOK_WORD, "b", 2, 1, 1, true},
	       {TOK_EOF, NULL, 2, 2, 1, false});
	TOKENS("\0\1 x", {TOK_BAD, "unexpected byte 0x00", 1, 1, 2, true},
	       {TOK_WORD, "x", 1, 4, 1, false}, {TOK_EOF, NULL, 1, 5, 1, false});
	TOKENS("?", {TOK_BAD, "unexpected character '?'", 1, 1, 1, true},
	       {TOK_EOF, NULL, 1, 2, 1, false});
	TOKENS("$", {TOK_BAD, "a name must follow '$'", 1, 1, 1, true},
	       {TOK_EOF, NULL, 1, 2, 1, false});
}
END_TEST

/* Every byte string ends, with places that only grow. */
START_TEST(random_bytes)
{
	uint64_t seed = unit_seed("policy_lex");
	char *buf = malloc(64); /* of the heap, so that a sanitizer sees one byte too many */
	unsigned i, n, len;

	for (i = 0; i < 20000; i++) {
		struct pol_arena a = {0};
		struct pol_lexer lx;
		struct pol_token t;

		len = (unsigned)(unit_rand(&seed) % 64);
		for (n = 0; n < len; n++)
			buf[64 - len + n] = (char)(unit_rand(&seed) >> 40);
		pol_lex_init(&lx, 0, buf + 64 - len, len);
		for (n = 0; n <= len; n++) {
			ck_assert_int_eq(pol_lex(&lx, &a, &t), 0);
			if (t.type == TOK_EOF)
				break;
		}
		ck_assert_int_eq(t.type, TOK_EOF);
		pol_arena_deinit(&a);
	}
	free(buf);
}
END_TEST

Suite *suite(void)
{
	Suite *s = suite_create("policy_lex");
	TCase *t = tcase_create("lex");

	tcase_set_timeout(t, 60);
	tcase_add_test(t, words);
	tcase_add_test(t, strings);
	tcase_add_test(t, edges);
	tcase_add_test(t, random_bytes);
	suite_add_tcase(s, t);
	return s;
}
