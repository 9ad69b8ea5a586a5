/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Ban lists as fail2ban, CrowdSec and people write them (tests/banlists), and what is wrong with some lines. */
#include "unit.h"
#include "cli/banlist.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static struct banlist l;
static int64_t now;

/* 2026-01-31 12:05:00, here. */
static void setup(void)
{
	struct tm tm = {.tm_year = 126,
			.tm_mon = 0,
			.tm_mday = 31,
			.tm_hour = 12,
			.tm_min = 5,
			.tm_isdst = -1};

	now = mktime(&tm);
	memset(&l, 0, sizeof(l));
}

static void teardown(void)
{
	banlist_deinit(&l);
}

static void parse_file(const char *name, enum banlist_format is)
{
	static char data[1 << 16];
	char path[128];
	const char *error;
	FILE *f;
	size_t n;

	snprintf(path, sizeof(path), "tests/banlists/%s", name);
	f = fopen(path, "r");
	ck_assert_msg(f != NULL, "%s", path);
	n = fread(data, 1, sizeof(data), f);
	fclose(f);
	ck_assert_int_eq(banlist_parse(&l, data, n, BANLIST_AUTO, now, &error), 0);
	ck_assert_int_eq(l.format, is);
}

static int parse(const char *text, enum banlist_format format, const char **error)
{
	banlist_deinit(&l);
	return banlist_parse(&l, text, strlen(text), format, now, error);
}

static const struct ban *ban(const char *element)
{
	for (size_t i = 0; i < l.n; i++)
		if (strcmp(l.ban[i].element, element) == 0)
			return &l.ban[i];
	ck_abort_msg("%s was not taken", element);
	return NULL;
}

static void skipped(unsigned line, const char *why)
{
	for (size_t i = 0; i < l.nskip; i++)
		if (l.skip[i].line == line && strstr(l.skip[i].why, why))
			return;
	ck_abort_msg("line %u was not skipped for \"%s\"", line, why);
}

START_TEST(plain_lists)
{
	parse_file("plain.txt", BANLIST_LIST);
	ck_assert_uint_eq(l.n, 10);
	ck_assert_uint_eq(ban("203.0.113.7")->line, 3);
	ban("203.0.113.8");
	ban("198.51.100.0/24");
	ban("198.51.100.76/30");
	ban("192.0.2.10-192.0.2.20");
	ban("192.0.2.30-192.0.2.40");
	ban("2001:db8::7");
	ban("2001:db8:5::/48");
	ck_assert(!ban("203.0.113.9")->allow);
	ck_assert(ban("203.0.113.100")->allow);
	ck_assert_int_eq(ban("203.0.113.7")->until, 0);
	ck_assert_uint_eq(l.skipped, 4);
	skipped(13, "everybody");
	skipped(14, "no address");
	skipped(15, "no prefix");
	skipped(16, "ends before");
}
END_TEST

START_TEST(fail2ban_banned)
{
	parse_file("fail2ban-banned.txt", BANLIST_FAIL2BAN);
	ck_assert_uint_eq(l.n, 4);
	ck_assert_uint_eq(l.skipped, 0);
	ban("198.51.100.9");
	ban("2001:db8::7");
}
END_TEST

START_TEST(fail2ban_with_time)
{
	parse_file("fail2ban-time.txt", BANLIST_FAIL2BAN);
	ck_assert_uint_eq(l.n, 3);
	ck_assert_int_eq(ban("203.0.113.7")->until, now + 300);
	ck_assert_int_eq(ban("203.0.113.9")->until, 0); /* for ever */
	ck_assert_int_eq(ban("198.51.100.0/28")->until, now + 86400 - 300);
	ck_assert_uint_eq(l.skipped, 3);
	skipped(2, "over");
	skipped(5, "no address");
	skipped(6, "no time");
}
END_TEST

START_TEST(fail2ban_addresses)
{
	const char *error;

	ck_assert_int_eq(parse("203.0.113.7 203.0.113.8\n203.0.113.9\n", BANLIST_FAIL2BAN, &error),
			 0);
	ck_assert_uint_eq(l.n, 3);
	ck_assert_int_eq(parse("[{'sshd': ['203.0.113.7", BANLIST_AUTO, &error), 0);
	ck_assert_int_eq(l.format, BANLIST_FAIL2BAN);
	ck_assert_uint_eq(l.n, 0);
	skipped(1, "does not end");
}
END_TEST

START_TEST(crowdsec_csv)
{
	parse_file("crowdsec.csv", BANLIST_CROWDSEC);
	ck_assert_uint_eq(l.n, 4);
	ck_assert_int_eq(ban("203.0.113.7")->until, now + 3 * 3600 + 59 * 60 + 49);
	ck_assert_int_eq(ban("198.51.100.0/24")->until, now + 23 * 3600 + 10 * 60 + 2);
	ck_assert(ban("203.0.113.100")->allow);
	ck_assert_int_eq(ban("2001:db8::8")->until, now + 168 * 3600);
	ck_assert_uint_eq(l.skipped, 3);
	skipped(4, "neither");
	skipped(5, "simulated");
	skipped(7, "over");
}
END_TEST

START_TEST(crowdsec_json)
{
	parse_file("crowdsec.json", BANLIST_CROWDSEC);
	ck_assert_uint_eq(l.n, 3);
	ck_assert_int_eq(ban("203.0.113.7")->until, now + 3 * 3600 + 59 * 60 + 49);
	ck_assert(!ban("198.51.100.0/24")->allow);
	ck_assert(ban("203.0.113.100")->allow);
	ck_assert_uint_eq(l.skipped, 2);
	skipped(0, "not about an address");
	skipped(0, "simulated");
}
END_TEST

START_TEST(what_is_no_list)
{
	const char *error;

	ck_assert_int_eq(parse("{\"a\":1}", BANLIST_CROWDSEC, &error), -EINVAL);
	ck_assert_ptr_nonnull(strstr(error, "no list"));
	ck_assert_int_eq(parse("a,b,c\n1,2,3\n", BANLIST_CROWDSEC, &error), -EINVAL);
	ck_assert_ptr_nonnull(strstr(error, "columns"));
	ck_assert_int_eq(parse("null\n", BANLIST_AUTO, &error), 0);
	ck_assert_uint_eq(l.n, 0);
	ck_assert_int_eq(parse("", BANLIST_AUTO, &error), 0);
	ck_assert_int_eq(parse("\n \n# nothing\n", BANLIST_AUTO, &error), 0);
	ck_assert_uint_eq(l.n + l.skipped, 0);
	ck_assert_int_eq(banlist_format_parse("fail2ban"), BANLIST_FAIL2BAN);
	ck_assert_int_eq(banlist_format_parse("csv"), -1);
}
END_TEST

START_TEST(many_are_told_of_up_to_a_bound)
{
	static char text[20000 * 4];
	const char *error;
	size_t n = 0;

	for (int i = 0; i < 10000; i++)
		n += (size_t)sprintf(text + n, "x%d\n", i % 10);
	ck_assert_int_eq(parse(text, BANLIST_LIST, &error), 0);
	ck_assert_uint_eq(l.skipped, 10000);
	ck_assert_uint_eq(l.nskip, BANLIST_SKIPPED);
}
END_TEST

START_TEST(groups_by_their_end)
{
	char text[40];
	size_t groups = 0;
	int64_t late;

	for (int i = 0; i < 3000; i++) {
		snprintf(text, sizeof(text), "10.0.%d.%d", i / 250, i % 250);
		ck_assert_int_eq(banlist_take(&l, text, strlen(text), i % 3 ? now + 1 + i : 0, 1,
					      i % 7 == 0, now),
				 0);
	}
	late = banlist_group(&l, 10);
	for (size_t i = 0; i < l.n; i++) {
		const struct ban *b = &l.ban[i];
		unsigned a, c;

		ck_assert(i == 0 || b->allow >= b[-1].allow);
		groups += !i || b->until != b[-1].until || b->allow != b[-1].allow;
		sscanf(b->element, "10.0.%u.%u", &a, &c);
		if ((a * 250 + c) % 3 == 0) {
			ck_assert_int_eq(b->until, 0);
			continue;
		}
		ck_assert_int_ge(b->until, now + 1 + (int64_t)(a * 250 + c));
		ck_assert_int_le(b->until, now + 1 + (int64_t)(a * 250 + c) + late);
	}
	ck_assert_uint_le(groups, 10);
}
END_TEST

/* The same list, a while later: the same ends. */
START_TEST(imported_again)
{
	int64_t until[400];

	for (int64_t later = 0; later < 200; later += 37) {
		l.n = 0;
		for (int i = 0; i < 400; i++)
			ck_assert_int_eq(banlist_take(&l, "192.0.2.1", 9, now + 1000 + 7 * i, 1,
						      false, now + later),
					 0);
		banlist_group(&l, 30);
		for (int i = 0; i < 400; i++) {
			if (later)
				ck_assert_int_eq(l.ban[i].until, until[i]);
			until[i] = l.ban[i].until;
		}
	}
}
END_TEST

Suite *suite(void)
{
	Suite *s = suite_create("banlist");
	TCase *tc = tcase_create("banlist");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, plain_lists);
	tcase_add_test(tc, fail2ban_banned);
	tcase_add_test(tc, fail2ban_with_time);
	tcase_add_test(tc, fail2ban_addresses);
	tcase_add_test(tc, crowdsec_csv);
	tcase_add_test(tc, crowdsec_json);
	tcase_add_test(tc, what_is_no_list);
	tcase_add_test(tc, many_are_told_of_up_to_a_bound);
	tcase_add_test(tc, groups_by_their_end);
	tcase_add_test(tc, imported_again);
	suite_add_tcase(s, tc);
	return s;
}
