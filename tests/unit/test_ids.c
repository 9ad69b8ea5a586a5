/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Short ids: one text for one handle, both ways, and nothing else is taken. */
#include "unit.h"
#include "daemon/ids.h"
#include <errno.h>

static const struct {
	unsigned worker;
	uint32_t slot, generation;
	const char *text;
} known[] = {
	{0, 0, 1, "a0.1"},     {25, 7, 2, "z7.2"},
	{26, 0, 1, "aa0.1"},   {51, 12, 3, "az12.3"},
	{52, 12, 3, "ba12.3"}, {255, 0xffffff, UINT32_MAX, "iv16777215.4294967295"},
};

START_TEST(known_texts)
{
	pend_context c = ids_make(known[_i].worker, known[_i].slot, known[_i].generation), back;
	char buf[IDS_TEXT];

	ck_assert_str_eq(ids_print(c, buf), known[_i].text);
	ck_assert_int_eq(ids_parse(buf, &back), 0);
	ck_assert_uint_eq(back, c);
}
END_TEST

static const char *const wrong[] = {
	"",
	"a",
	"a0",
	"a0.",
	"a0.0",
	"a.1",
	"0.1",
	"A0.1",
	"a00.1",
	"a0.01",
	"a-1.1",
	"a+1.1",
	" a0.1",
	"a0.1 ",
	"a0.1x",
	"a0..1",
	"iw0.1",
	"aaa0.1",
	"zz0.1",
	"a16777216.1",
	"a0.4294967296",
	"a99999999999999999999999.1",
	"a0x1.1",
	"a0.1.1",
	"\xc3\xa4"
	"0.1",
};

START_TEST(nothing_else_is_taken)
{
	pend_context c = 42;

	ck_assert_int_eq(ids_parse(wrong[_i], &c), -EINVAL);
	ck_assert_uint_eq(c, 42);
}
END_TEST

START_TEST(random_round_trips)
{
	uint64_t seed = unit_seed("ids");

	for (int i = 0; i < 20000; i++) {
		pend_context c = unit_rand(&seed) | 1, back = 0;
		char buf[IDS_TEXT];

		ck_assert_int_eq(ids_parse(ids_print(c, buf), &back), 0);
		ck_assert_uint_eq(back, c);
	}
}
END_TEST

Suite *suite(void)
{
	Suite *s = suite_create("ids");
	TCase *t = tcase_create("ids");

	tcase_add_loop_test(t, known_texts, 0, sizeof(known) / sizeof(known[0]));
	tcase_add_loop_test(t, nothing_else_is_taken, 0, sizeof(wrong) / sizeof(wrong[0]));
	tcase_add_test(t, random_round_trips);
	suite_add_tcase(s, t);
	return s;
}
