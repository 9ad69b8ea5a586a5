/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Strict parsers, exact printing, and text made safe for a terminal. */
#include "unit.h"

#include "base/str.h"

#include <errno.h>
#include <string.h>

#define UNTOUCHED 0x5eed

struct parse_case {
	const char *in;
	int ret;
	uint64_t want;
};

static const struct parse_case numbers[] = {
	{"0", 0, 0},
	{"1", 0, 1},
	{"007", 0, 7},
	{"1000", 0, 1000},
	{"1001", -ERANGE, 0},
	{"0x3e8", 0, 1000},
	{"0x3E8", 0, 1000},
	{"0x3e9", -ERANGE, 0},
	{"18446744073709551615", -ERANGE, 0},
	{"18446744073709551616", -ERANGE, 0},
	{"99999999999999999999999999x", -EINVAL, 0},
	{"", -EINVAL, 0},
	{"0x", -EINVAL, 0},
	{"0X1", -EINVAL, 0},
	{"0xg", -EINVAL, 0},
	{"x1", -EINVAL, 0},
	{"a", -EINVAL, 0},
	{" 1", -EINVAL, 0},
	{"1 ", -EINVAL, 0},
	{"1\n", -EINVAL, 0},
	{"+1", -EINVAL, 0},
	{"-1", -EINVAL, 0},
	{"1.0", -EINVAL, 0},
	{"1e3", -EINVAL, 0},
	{"1_000", -EINVAL, 0},
	{"\xef\xbc\x91", -EINVAL, 0},
};

#define S 1000000000ull

static const struct parse_case durations[] = {
	{"0", 0, 0},
	{"0s", 0, 0},
	{"90s", 0, 90 * S},
	{"1500ms", 0, 1500000000},
	{"10m", 0, 600 * S},
	{"8h", 0, 28800 * S},
	{"2d", 0, 172800 * S},
	{"1h30m", 0, 5400 * S},
	{"1d2h3m4s5ms6us7ns", 0, 93784 * S + 5006007},
	{"1h90m", 0, 9000 * S},
	{"1.5s", 0, 1500000000},
	{"1.50s", 0, 1500000000},
	{"0.25h", 0, 900 * S},
	{"1h0.5m", 0, 3630 * S},
	{"1.000000001s", 0, S + 1},
	{"1.0000000000s", 0, S},
	{"18446744073709551615ns", 0, UINT64_MAX},
	{"213503d23h34m33.709551615s", 0, UINT64_MAX},
	{"213503d23h34m33.709551616s", -ERANGE, 0},
	{"18446744073709551616ns", -ERANGE, 0},
	{"18446744073709551615s", -ERANGE, 0},
	{"99999999999999999999d", -ERANGE, 0},
	{"213503d24h", -ERANGE, 0},
	{"", -EINVAL, 0},
	{"00", -EINVAL, 0},
	{"10", -EINVAL, 0},
	{"s", -EINVAL, 0},
	{".5s", -EINVAL, 0},
	{"1.s", -EINVAL, 0},
	{"1.5", -EINVAL, 0},
	{"1..5s", -EINVAL, 0},
	{"1.5h30m", -EINVAL, 0},
	{"1.0000000001s", -EINVAL, 0},
	{"0.5ns", -EINVAL, 0},
	{"1s1s", -EINVAL, 0},
	{"1m1h", -EINVAL, 0},
	{"1h30", -EINVAL, 0},
	{"1hm", -EINVAL, 0},
	{"1sec", -EINVAL, 0},
	{"1S", -EINVAL, 0},
	{"1w", -EINVAL, 0},
	{"1 s", -EINVAL, 0},
	{" 1s", -EINVAL, 0},
	{"1s ", -EINVAL, 0},
	{"-1s", -EINVAL, 0},
	{"0x10s", -EINVAL, 0},
};

static const struct parse_case sizes[] = {
	{"0", 0, 0},
	{"65536", 0, 65536},
	{"64k", 0, 65536},
	{"16M", 0, 16777216},
	{"1G", 0, 1073741824},
	{"18446744073709551615", 0, UINT64_MAX},
	{"18446744073709551616", -ERANGE, 0},
	{"17179869183G", 0, 17179869183ull << 30},
	{"17179869184G", -ERANGE, 0},
	{"", -EINVAL, 0},
	{"k", -EINVAL, 0},
	{"1K", -EINVAL, 0},
	{"1m", -EINVAL, 0},
	{"1kB", -EINVAL, 0},
	{"1kk", -EINVAL, 0},
	{"1.5k", -EINVAL, 0},
	{"1 k", -EINVAL, 0},
	{"0x10", -EINVAL, 0},
	{"-1", -EINVAL, 0},
};

static int parse_number(const char *s, uint64_t *out)
{
	return str_u64(s, 1000, out);
}

static void check_parser(int (*parse)(const char *, uint64_t *), const struct parse_case *c,
			 size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint64_t got = UNTOUCHED;
		int ret = parse(c[i].in, &got);

		ck_assert_msg(ret == c[i].ret && got == (ret ? UNTOUCHED : c[i].want),
			      "\"%s\": %d %llu", c[i].in, ret, (unsigned long long)got);
	}
}

#define CHECK_PARSER(parse, cases) check_parser(parse, cases, sizeof(cases) / sizeof((cases)[0]))

START_TEST(parsers_are_strict)
{
	uint64_t v;

	CHECK_PARSER(parse_number, numbers);
	CHECK_PARSER(str_duration, durations);
	CHECK_PARSER(str_size, sizes);
	ck_assert_int_eq(str_u64("0xffffffffffffffff", UINT64_MAX, &v), 0);
	ck_assert_uint_eq(v, UINT64_MAX);
	ck_assert_int_eq(str_u64("0x10000000000000000", UINT64_MAX, &v), -ERANGE);
}
END_TEST

START_TEST(duration_prints_what_it_parses)
{
	static const struct {
		uint64_t ns;
		const char *want;
	} c[] = {
		{0, "0s"},
		{1, "1ns"},
		{1500, "1.5us"},
		{250000000, "250ms"},
		{250500000, "250.5ms"},
		{1500000000, "1.5s"},
		{90 * S, "1m30s"},
		{5400 * S, "1h30m"},
		{3600 * S + 250000000, "1h250ms"},
		{28800 * S, "8h"},
		{172800 * S, "2d"},
		{S + 1, "1.000000001s"},
		{UINT64_MAX, "213503d23h34m33.709551615s"},
	};
	char buf[STR_DURATION_MAX];

	for (size_t i = 0; i < sizeof(c) / sizeof(c[0]); i++)
		ck_assert_str_eq(str_duration_print(c[i].ns, buf), c[i].want);
}
END_TEST

START_TEST(random_durations_round_trip)
{
	uint64_t seed = unit_seed("str");

	for (int i = 0; i < 20000; i++) {
		uint64_t ns = unit_rand(&seed) >> (unit_rand(&seed) % 64);
		char buf[STR_DURATION_MAX];
		uint64_t back;

		ns -= i % 2 ? ns % 1000000 : 0;
		ck_assert_int_eq(str_duration(str_duration_print(ns, buf), &back), 0);
		ck_assert_uint_eq(back, ns);
	}
}
END_TEST

START_TEST(append_cuts_and_stays_terminated)
{
	char buf[10] = "xxxxxxxxx";
	size_t len = 0;

	ck_assert(str_append(buf, 8, &len, "%s", "abc"));
	ck_assert(str_append(buf, 8, &len, "%d", 1234));
	ck_assert_uint_eq(len, 7);
	ck_assert_str_eq(buf, "abc1234");
	ck_assert(str_append(buf, 8, &len, "%s", ""));
	ck_assert(!str_append(buf, 8, &len, "x"));
	ck_assert_uint_eq(len, 7);
	len = 3;
	ck_assert(!str_append(buf, 8, &len, "%s", "longer than that"));
	ck_assert_str_eq(buf, "abclong");
	ck_assert_uint_eq(len, 7);
	ck_assert_int_eq(buf[8], 'x');
	len = 0;
	ck_assert(!str_append(buf, 0, &len, "x"));
	ck_assert_int_eq(buf[0], 'a');
}
END_TEST

START_TEST(eq_takes_null)
{
	ck_assert(str_eq("a", "a"));
	ck_assert(!str_eq("a", "b"));
	ck_assert(!str_eq(NULL, "a"));
	ck_assert(!str_eq("a", NULL));
	ck_assert(!str_eq(NULL, NULL));
}
END_TEST

static const struct {
	const char *in, *want;
} texts[] = {
	{"", ""},
	{"plain text \\ with ~", "plain text \\ with ~"},
	{"\x1b[31mred\a\n\t\r", "\\x1b[31mred\\x07\\x0a\\x09\\x0d"},
	{"\x01\x1f\x7f", "\\x01\\x1f\\x7f"},
	{"caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80", "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80"},
	{"\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf"},
	{"\xc2\x9b", "\\xc2\\x9b"},
	{"\xc2\x80\xc2\x9f\xc2\xa0", "\\xc2\\x80\\xc2\\x9f\xc2\xa0"},
	{"\x9b", "\\x9b"},
	{"\xc3", "\\xc3"},
	{"\xc3(", "\\xc3("},
	{"\xe2\x82", "\\xe2\\x82"},
	{"\xe2\x82z", "\\xe2\\x82z"},
	{"\xf0\x9f\x98", "\\xf0\\x9f\\x98"},
	{"\xc0\x80\xc1\xbf", "\\xc0\\x80\\xc1\\xbf"},
	{"\xe0\x80\x8a", "\\xe0\\x80\\x8a"},
	{"\xf0\x82\x82\xac", "\\xf0\\x82\\x82\\xac"},
	{"\xed\xa0\x80", "\\xed\\xa0\\x80"},
	{"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"},
	{"\xf8\x88\x80\x80\x80", "\\xf8\\x88\\x80\\x80\\x80"},
	{"\xff\xfe", "\\xff\\xfe"},
	{"\xe2\x80\x8e\xe2\x80\x8f", "\\xe2\\x80\\x8e\\xe2\\x80\\x8f"},
	{"\xe2\x80\xaa\xe2\x80\xae\xe2\x80\xaf", "\\xe2\\x80\\xaa\\xe2\\x80\\xae\xe2\x80\xaf"},
	{"\xe2\x81\xa5\xe2\x81\xa6\xe2\x81\xa9", "\xe2\x81\xa5\\xe2\\x81\\xa6\\xe2\\x81\\xa9"},
	{"\xe2\x80\xa8\xd8\x9c", "\\xe2\\x80\\xa8\\xd8\\x9c"},
};

START_TEST(sanitize_escapes_what_a_terminal_would_act_on)
{
	char out[100];

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		str_sanitize(texts[i].in, out, sizeof(out));
		ck_assert_str_eq(out, texts[i].want);
		str_sanitize(texts[i].want, out, sizeof(out));
		ck_assert_str_eq(out, texts[i].want);
	}
}
END_TEST

START_TEST(sanitize_cuts_between_characters)
{
	char out[16];

	memset(out, '#', sizeof(out));
	str_sanitize("abc", out, 0);
	ck_assert_int_eq(out[0], '#');
	str_sanitize("abc", out, 1);
	ck_assert_str_eq(out, "");
	str_sanitize("abc", out, 3);
	ck_assert_str_eq(out, "ab");
	str_sanitize("a\xe2\x82\xac", out, 4);
	ck_assert_str_eq(out, "a");
	str_sanitize("a\xe2\x82\xac", out, 5);
	ck_assert_str_eq(out, "a\xe2\x82\xac");
	str_sanitize("a\nb", out, 5);
	ck_assert_str_eq(out, "a");
	str_sanitize("a\nb", out, 6);
	ck_assert_str_eq(out, "a\\x0a");
	ck_assert_int_eq(out[6], '#');
}
END_TEST

START_TEST(distance)
{
	char a[2 * STR_DISTANCE_LEN + 1], b[sizeof(a)];

	ck_assert_uint_eq(str_distance("", "", 3), 0);
	ck_assert_uint_eq(str_distance("", "abc", 3), 3);
	ck_assert_uint_eq(str_distance("abc", "", 2), 3);
	ck_assert_uint_eq(str_distance("permit", "permit", 3), 0);
	ck_assert_uint_eq(str_distance("permit", "premit", 3), 1);
	ck_assert_uint_eq(str_distance("permit", "permits", 3), 1);
	ck_assert_uint_eq(str_distance("block", "blok", 3), 1);
	ck_assert_uint_eq(str_distance("block", "black", 3), 1);
	ck_assert_uint_eq(str_distance("kitten", "sitting", 9), 3);
	ck_assert_uint_eq(str_distance("kitten", "sitting", 1), 2);
	ck_assert_uint_eq(str_distance("a", "b", 0), 1);
	memset(a, 'a', sizeof(a));
	memset(b, 'a', sizeof(b));
	a[STR_DISTANCE_LEN] = b[STR_DISTANCE_LEN - 1] = '\0';
	ck_assert_uint_eq(str_distance(a, b, 3), 1);
	a[STR_DISTANCE_LEN] = 'a';
	a[sizeof(a) - 1] = '\0';
	ck_assert_uint_eq(str_distance(a, b, 3), 4);
	ck_assert_uint_eq(str_distance(a, a, 3), 0);
	ck_assert_uint_eq(str_distance(a, b, UINT32_MAX), UINT32_MAX);
}
END_TEST

Suite *suite(void)
{
	Suite *s = suite_create("str");
	TCase *t = tcase_create("str");

	tcase_add_test(t, parsers_are_strict);
	tcase_add_test(t, duration_prints_what_it_parses);
	tcase_add_test(t, random_durations_round_trip);
	tcase_add_test(t, append_cuts_and_stays_terminated);
	tcase_add_test(t, eq_takes_null);
	tcase_add_test(t, sanitize_escapes_what_a_terminal_would_act_on);
	tcase_add_test(t, sanitize_cuts_between_characters);
	tcase_add_test(t, distance);
	suite_add_tcase(s, t);
	return s;
}
