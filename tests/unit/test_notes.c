/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who and why by number: the same words once, the last ones kept. */
#include "unit.h"
#include "daemon/msg.h"
#include "daemon/notes.h"
#include <stdio.h>
#include <string.h>

static struct notes *n;
static const char *by, *why;

static void setup(void)
{
	ck_assert_int_eq(notes_new(&n), 0);
}

static void teardown(void)
{
	notes_free(n);
}

START_TEST(words_have_a_number)
{
	uint32_t a = notes_add(n, "root", "ticket 4711"), b = notes_add(n, "root", NULL);

	ck_assert_uint_ne(a, 0);
	ck_assert_uint_ne(b, 0);
	ck_assert_uint_ne(a, b);
	ck_assert_uint_eq(notes_add(n, "root", "ticket 4711"), a);
	ck_assert_uint_eq(notes_add(n, "root", ""), b);
	ck_assert(notes_find(n, a, &by, &why));
	ck_assert_str_eq(by, "root");
	ck_assert_str_eq(why, "ticket 4711");
	ck_assert(notes_find(n, b, &by, &why));
	ck_assert_str_eq(why, "");
	/* not the same when put together */
	ck_assert_uint_ne(notes_add(n, "ab", "c"), notes_add(n, "a", "bc"));
}
END_TEST

START_TEST(nothing_has_none)
{
	ck_assert_uint_eq(notes_add(n, NULL, NULL), 0);
	ck_assert_uint_eq(notes_add(n, "", ""), 0);
	ck_assert(!notes_find(n, 0, &by, &why));
	ck_assert_str_eq(by, "");
	ck_assert(!notes_find(n, 12345, &by, &why));
	ck_assert(!notes_find(NULL, 1, &by, &why));
	ck_assert_str_eq(why, "");
}
END_TEST

START_TEST(long_words_are_cut)
{
	char text[1000];
	uint32_t a;

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	a = notes_add(n, text, text);
	ck_assert(notes_find(n, a, &by, &why));
	ck_assert_uint_eq(strlen(by), NOTES_BY_MAX);
	ck_assert_uint_eq(strlen(why), NOTES_WHY_MAX);
}
END_TEST

START_TEST(the_oldest_go)
{
	uint32_t first = notes_add(n, "first", NULL), often, last = 0;
	char text[32];

	often = notes_add(n, "often", NULL);
	for (unsigned i = 0; i < 2 * NOTES_KEPT; i++) {
		snprintf(text, sizeof(text), "%u", i);
		last = notes_add(n, "x", text);
		ck_assert_uint_le(last, MSG_NOTE_MAX);
		ck_assert_uint_ne(last, 0);
		if (i % 1000 == 0) { /* what is used stays */
			often = notes_add(n, "often", NULL);
			ck_assert(notes_find(n, often, &by, &why));
			ck_assert_str_eq(by, "often");
		}
	}
	ck_assert(!notes_find(n, first, &by, &why));
	ck_assert(notes_find(n, last, &by, &why));
	ck_assert_uint_eq(MSG_REASON_NOTE(MSG_REASON(REASON_OPERATOR, MSG_NOTE_MAX)), MSG_NOTE_MAX);
	ck_assert_uint_eq(MSG_REASON_CODE(MSG_REASON(REASON_OPERATOR, MSG_NOTE_MAX)),
			  REASON_OPERATOR);
	ck_assert_uint_eq(MSG_REASON_CODE((uint32_t)PEND_CODE_PEER), (uint32_t)PEND_CODE_PEER);
	ck_assert_uint_eq(MSG_REASON_NOTE((uint32_t)PEND_CODE_PEER), 0);
}
END_TEST

Suite *suite(void)
{
	Suite *s = suite_create("notes");
	TCase *tc = tcase_create("notes");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, words_have_a_number);
	tcase_add_test(tc, nothing_has_none);
	tcase_add_test(tc, long_words_are_cut);
	tcase_add_test(tc, the_oldest_go);
	suite_add_tcase(s, tc);
	return s;
}
