/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every message that the policy's parser can give was seen by somebody: it stands in a golden
 * file (tests/policy), or in a test of the parser where an input of its own would be too large or needs
 * another host.
 */
#include "unit.h"
#include <ctype.h>
#include <glob.h>
#include <regex.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX (8u << 20)

static char *seen; /* what goldens and tests say, one after the other */
static size_t seen_len;

static void read_into(const char *path, char *to, size_t *len)
{
	FILE *f = fopen(path, "r");

	ck_assert_msg(f != NULL, "%s: run from the top of the tree", path);
	*len += fread(to + *len, 1, TEXT_MAX - 1 - *len, f);
	ck_assert_uint_lt(*len, TEXT_MAX - 1);
	to[*len] = '\0';
	fclose(f);
}

static void read_all(const char *pattern, char *to, size_t *len)
{
	glob_t g;

	ck_assert_msg(!glob(pattern, 0, NULL, &g), "%s: nothing there", pattern);
	for (size_t i = 0; i < g.gl_pathc; i++)
		if (!strstr(g.gl_pathv[i], "test_policy_messages.c"))
			read_into(g.gl_pathv[i], to, len);
	globfree(&g);
}

/* As the program has it: escapes resolved, strings that stand next to each other joined. */
static void unescape(char *s)
{
	char *to = s;

	for (; *s; s++) {
		if (*s == '\\' && s[1]) {
			s++;
			*to++ = *s == 'n' ? '\n' : *s == 't' ? '\t' : *s;
			continue;
		}
		if (*s == '"') {
			size_t n = 1 + strspn(s + 1, " \t\n");

			if (n > 1 && s[n] == '"') {
				s += n;
				continue;
			}
		}
		*to++ = *s;
	}
	*to = '\0';
}

static void collect(void)
{
	char *tests = calloc(1, TEXT_MAX);
	size_t len = 0;

	seen = calloc(1, TEXT_MAX);
	seen_len = 0;
	read_all("tests/policy/*.err", seen, &seen_len);
	read_all("tests/unit/test_policy_*.c", tests, &len);
	unescape(tests);
	ck_assert_uint_lt(seen_len + strlen(tests), TEXT_MAX);
	strcpy(seen + seen_len, tests);
	free(tests);
}

static void drop(void)
{
	free(seen);
}

/* A conversion of a format is any text; everything else is itself. False: nothing but conversions. */
static bool to_regex(const char *format, char *out)
{
	bool plain = false;

	for (; *format; format++) {
		if (*format == '%' && format[1] != '%') {
			format += strcspn(format + 1, "sducx") + 1;
			out += sprintf(out, ".+");
			continue;
		}
		plain = plain || isalpha((unsigned char)*format);
		if (strchr("\\^$.[]|()?*+{}", *format))
			*out++ = '\\';
		*out++ = *format;
	}
	*out = '\0';
	return plain;
}

static bool occurs(const char *format)
{
	char pattern[1024];
	regex_t re;
	bool found;

	if (!to_regex(format, pattern))
		return true;
	ck_assert_msg(!regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB | REG_NEWLINE), "%s",
		      pattern);
	found = !regexec(&re, seen, 0, NULL, 0);
	regfree(&re);
	return found;
}

/* The string literals at `s`, joined, up to what is no literal; returns where that begins. */
static const char *literal(const char *s, char out[512])
{
	size_t n = 0;

	while (*s == '"') {
		for (s++; *s != '"'; s++) {
			if (*s == '\\')
				s++;
			ck_assert_uint_lt(n, 511);
			out[n++] = *s;
		}
		s++;
		s += strspn(s, " \t\n");
	}
	out[n] = '\0';
	return s;
}

/* The formats of one call: one, or the two of a condition. `file` NULL: nothing is told. */
static unsigned check_call(const char *s, const char *file, unsigned *missing)
{
	const char *end = strchr(s, ';'), *quote = strchr(s, '"');
	char format[512];
	unsigned n = 0;

	while (quote && quote < end) {
		s = literal(quote, format);
		n++;
		if (!occurs(format)) {
			++*missing;
			if (file)
				fprintf(stderr, "%s: nothing shows \"%s\"\n", file, format);
		}
		if (*s != ':')
			break;
		s += 1 + strspn(s + 1, " \t\n");
		quote = *s == '"' ? s : NULL;
	}
	return n;
}

static unsigned check_file(const char *path, unsigned *missing)
{
	static const char *const calls[] = {"pol_error(", "pol_warn(", "return bad("};
	char *text = calloc(1, TEXT_MAX);
	size_t len = 0;
	unsigned n = 0;

	read_into(path, text, &len);
	for (size_t i = 0; i < 3; i++)
		for (char *s = text; (s = strstr(s, calls[i])) != NULL; s++)
			n += check_call(s, path, missing);
	free(text);
	return n;
}

START_TEST(every_message_is_shown)
{
	unsigned n = 0, missing = 0;
	glob_t g;

	ck_assert(!glob("lib/core/policy_*.c", 0, NULL, &g));
	for (size_t i = 0; i < g.gl_pathc; i++)
		n += check_file(g.gl_pathv[i], &missing);
	globfree(&g);
	ck_assert_msg(!missing, "%u of %u messages are in no golden file and no test", missing, n);
	ck_assert_uint_gt(n, 100);
}
END_TEST

/* The check itself: it would tell. */
START_TEST(unknown_message)
{
	unsigned missing = 0;

	ck_assert_uint_eq(
		check_call("pol_error(ps, at, \"never \" \"said by %s\", x);", NULL, &missing), 1);
	ck_assert_uint_eq(missing, 1);
	ck_assert_uint_eq(
		check_call("bad(x ? \"string is not closed\" : \"nor this\");", NULL, &missing), 2);
	ck_assert_uint_eq(missing, 2);
}
END_TEST

Suite *suite(void)
{
	Suite *s = suite_create("policy_messages");
	TCase *t = tcase_create("messages");

	tcase_add_checked_fixture(t, collect, drop);
	tcase_set_timeout(t, 120);
	tcase_add_test(t, every_message_is_shown);
	tcase_add_test(t, unknown_message);
	suite_add_tcase(s, t);
	return s;
}
