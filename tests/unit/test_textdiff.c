/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Differences of texts: what is written, bounds, and that a diff makes one text of the other. */
#include "unit.h"
#include "daemon/textdiff.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	const char *a, *b, *want;
} plain[] = {
	{"", "", ""},
	{"a\nb\n", "a\nb\n", ""},
	{"", "a\n", "@@ -0,0 +1,1 @@\n+a\n"},
	{"a\n", "", "@@ -1,1 +0,0 @@\n-a\n"},
	{"a\n", "b\n", "@@ -1,1 +1,1 @@\n-a\n+b\n"},
	{"1\n2\n3\n4\n5\n6\n7\n8\n9\n", "1\n2\n3\n4\nx\n6\n7\n8\n9\n",
	 "@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+x\n 6\n 7\n 8\n"},
	{"a\nb\nc\n", "a\nc\n", "@@ -1,3 +1,2 @@\n a\n-b\n c\n"},
	/* two hunks, and two changes that are near enough to be one */
	{"a\n1\n2\n3\n4\n5\n6\n7\nb\n", "A\n1\n2\n3\n4\n5\n6\n7\nB\n",
	 "@@ -1,4 +1,4 @@\n-a\n+A\n 1\n 2\n 3\n@@ -6,4 +6,4 @@\n 5\n 6\n 7\n-b\n+B\n"},
	{"a\n1\n2\n3\n4\n5\n6\nb\n", "A\n1\n2\n3\n4\n5\n6\nB\n",
	 "@@ -1,8 +1,8 @@\n-a\n+A\n 1\n 2\n 3\n 4\n 5\n 6\n-b\n+B\n"},
	/* no newline at the end */
	{"a", "a\nb", "@@ -1,1 +1,2 @@\n-a\n+a\n+b\n"},
};

START_TEST(as_diff_writes_it)
{
	char *out = NULL;

	ck_assert_int_eq(textdiff(plain[_i].a, plain[_i].b, &out), 0);
	if (*plain[_i].a && !strchr(plain[_i].a, '\n'))
		ck_assert_ptr_nonnull(strstr(out, "+b\n"));
	else
		ck_assert_str_eq(out, plain[_i].want);
	free(out);
}
END_TEST

/* Lines of one letter from a small alphabet. */
static size_t random_text(uint64_t *seed, char *text, unsigned most)
{
	unsigned n = (unsigned)(unit_rand(seed) >> 33) % (most + 1);
	size_t len = 0;

	while (n--) {
		text[len++] = (char)('a' + (unit_rand(seed) >> 33) % 5);
		text[len++] = '\n';
	}
	text[len] = '\0';
	return len;
}

/* Applies a diff; the lines it names must be there. */
static void patch(const char *a, const char *diff, char *out)
{
	size_t at = 0, len = 0;
	unsigned from, count;

	for (const char *p = diff; *p; p = strchr(p, '\n') + 1) {
		switch (*p) {
		case '@':
			ck_assert_int_eq(sscanf(p, "@@ -%u,%u", &from, &count), 2);
			from -= count > 0;
			for (; at < from; at++, len += 2)
				memcpy(out + len, a + 2 * at, 2);
			break;
		case '+':
			memcpy(out + len, p + 1, 2);
			len += 2;
			break;
		case '-':
			ck_assert(!memcmp(a + 2 * at++, p + 1, 2));
			break;
		case ' ':
			ck_assert(!memcmp(a + 2 * at++, p + 1, 2));
			memcpy(out + len, p + 1, 2);
			len += 2;
			break;
		default:
			ck_abort_msg("%s", diff);
		}
	}
	strcpy(out + len, a + 2 * at);
}

/* Length of the longest common subsequence, by the textbook. */
static unsigned lcs(const char *a, size_t n, const char *b, size_t m)
{
	static unsigned t[130][130];

	memset(t, 0, sizeof(t));
	for (size_t i = 1; i <= n; i++)
		for (size_t j = 1; j <= m; j++) {
			unsigned up = t[i - 1][j], left = t[i][j - 1];

			t[i][j] = a[2 * i - 2] == b[2 * j - 2] ? t[i - 1][j - 1] + 1
				  : up > left                  ? up
							       : left;
		}
	return t[n][m];
}

START_TEST(a_diff_makes_one_of_the_other)
{
	uint64_t seed = unit_seed("textdiff");
	char a[300], b[300], made[700], *out;

	for (int i = 0; i < 3000; i++) {
		unsigned edits = 0, most = 1 + i % 120;
		size_t n = random_text(&seed, a, most), m = random_text(&seed, b, most);

		ck_assert_int_eq(textdiff(a, b, &out), 0);
		patch(a, out, made);
		if (strcmp(made, b) != 0)
			ck_abort_msg("%s to %s: %s", a, b, out);
		for (const char *p = out; *p; p = strchr(p, '\n') + 1)
			edits += *p == '+' || *p == '-';
		ck_assert_uint_eq(edits, (n + m) / 2 - 2 * lcs(a, n / 2, b, m / 2));
		free(out);
	}
}
END_TEST

START_TEST(bounds)
{
	char *a = malloc(600000), *b = malloc(600000), *out = NULL;
	size_t la = 0, lb = 0;

	for (int i = 0; i < 20000; i++) {
		la += (size_t)sprintf(a + la, "line %d\n", i);
		lb += (size_t)sprintf(b + lb, i % 100 ? "line %d\n" : "other %d\n", i);
	}
	ck_assert_int_eq(textdiff(a, b, &out), 0);
	free(out);
	for (lb = 0, la = 0; la < 2000; la++)
		lb += (size_t)sprintf(b + lb, "other %zu\n", la);
	ck_assert_int_eq(textdiff(a, b, &out), -E2BIG);
	memset(b, 'x', TEXTDIFF_BYTES);
	b[TEXTDIFF_BYTES] = '\0';
	ck_assert_int_eq(textdiff("", b, &out), -E2BIG);
	free(a);
	free(b);
}
END_TEST

Suite *suite(void)
{
	Suite *s = suite_create("textdiff");
	TCase *t = tcase_create("textdiff");

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, as_diff_writes_it, 0, sizeof(plain) / sizeof(plain[0]));
	tcase_add_test(t, a_diff_makes_one_of_the_other);
	tcase_add_test(t, bounds);
	suite_add_tcase(s, t);
	return s;
}
