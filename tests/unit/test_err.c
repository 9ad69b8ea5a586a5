/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The error sentence: code handed on, one line, cut, and wrapping its own text. */
#include "unit.h"

#include "base/err.h"

#include <errno.h>
#include <string.h>

START_TEST(set_returns_its_code)
{
	struct err e = {0};

	ck_assert_int_eq(err_set(&e, -EINVAL, "port %d is %s", 70000, "too large"), -EINVAL);
	ck_assert_int_eq(e.code, -EINVAL);
	ck_assert_str_eq(e.text, "port 70000 is too large");
	ck_assert_int_eq(err_set(NULL, -ENOENT, "x"), -ENOENT);
	ck_assert_int_eq(err_sys(NULL, -ENOENT, "x"), -ENOENT);
}
END_TEST

START_TEST(sys_appends_the_reason)
{
	struct err e;

	ck_assert_int_eq(err_sys(&e, -ENOENT, "open %s", "/x"), -ENOENT);
	ck_assert_str_eq(e.text, "open /x: No such file or directory");
}
END_TEST

START_TEST(text_is_one_line_and_cut)
{
	char big[2 * ERR_TEXT_MAX];
	struct err e;

	err_set(&e, -EIO, "a\nb\r\nc");
	ck_assert_str_eq(e.text, "a b  c");
	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	err_set(&e, -EIO, "%s", big);
	ck_assert_uint_eq(strlen(e.text), ERR_TEXT_MAX - 1);
	err_sys(&e, -EIO, "%s", big);
	ck_assert_uint_eq(strlen(e.text), ERR_TEXT_MAX - 1);
}
END_TEST

START_TEST(text_may_wrap_itself)
{
	struct err e;

	err_set(&e, -EIO, "inner");
	err_set(&e, e.code, "outer: %s", e.text);
	ck_assert_str_eq(e.text, "outer: inner");
}
END_TEST

Suite *suite(void)
{
	Suite *s = suite_create("err");
	TCase *t = tcase_create("err");

	tcase_add_test(t, set_returns_its_code);
	tcase_add_test(t, sys_appends_the_reason);
	tcase_add_test(t, text_is_one_line_and_cut);
	tcase_add_test(t, text_may_wrap_itself);
	suite_add_tcase(s, t);
	return s;
}
