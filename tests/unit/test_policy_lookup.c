/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a policy looks up while it is read (accounts, countries, moments), what it says when
 * that fails, and how the host's own answers come to it.
 */
#include "unit.h"
#include "policy_help.h"
#include "core/policy_overlay.h"
#include "io/policylookup.h"
#include <time.h>

static struct policy_loader loader;
static struct memory_file files[2];
static struct policy_diag diag;

static void setup(void)
{
	loader = fake_loader(files);
	diag = (struct policy_diag){0};
}

static void teardown(void)
{
	policy_diag_deinit(&diag);
}

static struct policy *parse(const char *text)
{
	struct policy *p = NULL;

	files[0] = (struct memory_file){"t", text};
	policy_diag_deinit(&diag);
	policy_parse(&p, "t", &loader, &diag);
	return p;
}

/* The whole of what is said. */
static void says(const char *text, const char *want)
{
	struct policy *p = parse(text);

	ck_assert_str_eq(diag.text ? diag.text : "", want);
	ck_assert_int_eq(p != NULL, diag.errors == 0);
	policy_free(p);
}

#define GEO "settings { country-database \"/geo\" }\n"

START_TEST(accounts)
{
	struct policy *p = parse("layer a { permit user { web, 5-6 } group adm }");
	const struct pol_rule *r;

	ck_assert_ptr_nonnull(p);
	r = p->layers->rules;
	ck_assert_uint_eq(r->user->lo, 33);
	ck_assert_uint_eq(r->user->hi, 33);
	ck_assert_uint_eq(r->user->next->lo, 5);
	ck_assert_uint_eq(r->user->next->hi, 6);
	ck_assert_uint_eq(r->group->lo, 4);
	policy_free(p);
	says("layer a { permit user wep }",
	     "t:1:23: error: unknown user \"wep\"\n  layer a { permit user wep }\n"
	     "                        ^~~\n");
	says("layer a { permit group broken }",
	     "t:1:24: error: cannot look up group \"broken\": Input/output error\n"
	     "  layer a { permit group broken }\n                         ^~~~~~\n");
	loader.id = NULL;
	says("layer a { permit user 7 group 1-2 }", "");
	says("layer a { permit user web }",
	     "t:1:23: error: names of users are not known here, give a number\n"
	     "  layer a { permit user web }\n                        ^~~\n");
}
END_TEST

START_TEST(countries)
{
	struct policy *p = parse(GEO
				 "set CC { 10.0.0.1 }\nlayer a { permit country { BB, AA, BB }\n"
				 "permit country AA\nblock country !{ ZZ, CC } }");
	const struct pol_set *s;

	ck_assert_msg(p != NULL, "%s", diag.text);
	/* Each is there once, whoever names it. */
	ck_assert_uint_eq(p->ncountries, 4);
	s = p->countries;
	ck_assert_str_eq(s->name, "BB");
	ck_assert_uint_eq(s->ranges.n4, 2);
	ck_assert_uint_eq(s->next->ranges.n6, 1);
	ck_assert_ptr_eq(p->layers->rules->country->next->set, s->next);
	ck_assert_ptr_eq(p->layers->rules->next->country->set, s->next);
	ck_assert_ptr_null(p->layers->rules->country->next->next);
	policy_free(p);
}
END_TEST

START_TEST(countries_that_fail)
{
	says(GEO "layer a { permit country { AA, XX, YY } }",
	     "t:2:32: error: unknown country \"XX\"\n"
	     "  layer a { permit country { AA, XX, YY } }\n"
	     "                                 ^~\n"
	     "t:2:36: error: unknown country \"YY\"\n"
	     "  layer a { permit country { AA, XX, YY } }\n"
	     "                                     ^~\n");
	/* Once: the others would fail as this one does. */
	says("settings { country-database \"/none\" }\nlayer a { permit country { AA, BB } }",
	     "t:2:28: error: cannot read \"/none\": No such file or directory\n"
	     "  layer a { permit country { AA, BB } }\n"
	     "                             ^~\n");
	says("layer a { permit country AA\npermit country BB }",
	     "t:1:26: error: no database of countries: name it by country-database in the "
	     "settings\n"
	     "  layer a { permit country AA\n"
	     "                           ^~\n");
	says("settings { country-database \"\" }\nlayer a { permit country AA }",
	     "t:2:26: error: no database of countries: name it by country-database in the "
	     "settings\n"
	     "  layer a { permit country AA }\n"
	     "                           ^~\n");
	/* Nobody asks: it need not be there. */
	says("settings { country-database \"/none\" }\nlayer a { permit }", "");
	loader.country = NULL;
	says(GEO "layer a { permit country AA }",
	     "t:2:26: error: countries cannot be looked up here\n"
	     "  layer a { permit country AA }\n"
	     "                           ^~\n");
}
END_TEST

static unsigned networks;

/* "AA" has a network that is none, "BB" very many. */
static int odd_country(void *ctx, const char *database, const char *code,
		       bool (*add)(void *arg, uint8_t family, const uint8_t lo[16],
				   const uint8_t hi[16]),
		       void *arg)
{
	uint8_t lo[16] = {9}, hi[16] = {8};

	(void)ctx;
	(void)database;
	if (*code == 'A')
		return add(arg, 4, lo, hi) ? 0 : -ECANCELED;
	if (*code == 'C')
		return add(arg, 5, lo, lo) ? 0 : -ECANCELED;
	for (networks = 0; networks < 2 * POLICY_SET_MAX; networks++) {
		lo[1] = (uint8_t)(networks >> 16);
		lo[2] = (uint8_t)(networks >> 8);
		lo[3] = (uint8_t)networks;
		if (!add(arg, 4, lo, lo))
			return -ECANCELED;
	}
	return 0;
}

START_TEST(countries_that_are_wrong)
{
	loader.country = odd_country;
	says(GEO "layer a { permit country AA }",
	     "t:2:26: error: cannot read \"/geo\": Invalid argument\n"
	     "  layer a { permit country AA }\n"
	     "                           ^~\n");
	says(GEO "layer a { permit country CC }",
	     "t:2:26: error: cannot read \"/geo\": Invalid argument\n"
	     "  layer a { permit country CC }\n"
	     "                           ^~\n");
	says(GEO "layer a { permit country BB }",
	     "t:2:26: error: country BB has more than 1048576 networks\n"
	     "  layer a { permit country BB }\n"
	     "                           ^~\n");
	ck_assert_uint_eq(networks, POLICY_SET_MAX);
}
END_TEST

START_TEST(moments)
{
	struct policy *p = parse("layer a { permit until \"1970-01-02 00:01\" }");

	ck_assert_ptr_nonnull(p);
	ck_assert_uint_eq(p->layers->rules->until, 1441);
	policy_free(p);
	says("layer a { permit until \"2026-03-29 02:30\" }",
	     "t:1:24: error: \"2026-03-29 02:30\" does not exist in the local time zone\n"
	     "  layer a { permit until \"2026-03-29 02:30\" }\n"
	     "                         ^~~~~~~~~~~~~~~~~~\n");
	loader.now = fake_minute(NULL, 2026, 11, 22, 18, 0);
	says("layer a { permit until \"2026-11-22 18:01\" }", "");
	says("layer a { permit until \"2026-11-22 18:00\" }",
	     "t:1:18: warning: \"2026-11-22 18:00\" is past: the rule matches nothing any more\n"
	     "  layer a { permit until \"2026-11-22 18:00\" }\n"
	     "                   ^~~~~\n");
	loader.minute = NULL;
	says("layer a { permit until 18:00 }", "");
	says("layer a { permit until \"2026-11-22 18:00\" }",
	     "t:1:24: error: dates cannot be read here\n"
	     "  layer a { permit until \"2026-11-22 18:00\" }\n"
	     "                         ^~~~~~~~~~~~~~~~~~\n");
}
END_TEST

/* What the host says: every one has root, and knows what time it is. */
START_TEST(of_the_host)
{
	struct policy_loader host = {0};
	struct tm tm;
	time_t t = 60 * 30000000;
	uint32_t id = 77;

	ck_assert_int_eq(setenv("TZ", "Europe/Berlin", 1), 0);
	tzset();
	policylookup_init(&host);
	ck_assert_int_eq(host.id(NULL, false, "root", &id), 0);
	ck_assert_uint_eq(id, 0);
	id = 77;
	ck_assert_int_eq(host.id(NULL, true, "root", &id), 0);
	ck_assert_uint_eq(id, 0);
	ck_assert_int_eq(host.id(NULL, false, "nosuch-user", &id), -ENOENT);
	ck_assert_int_eq(host.id(NULL, true, "nosuch-group", &id), -ENOENT);
	localtime_r(&t, &tm);
	ck_assert_uint_eq(host.minute(NULL, tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
				      tm.tm_hour, tm.tm_min),
			  30000000);
	ck_assert_uint_ge(host.now, 29000000);
	/* 1970, in zones east of Greenwich */
	ck_assert_uint_eq(host.minute(NULL, 1970, 1, 1, 0, 0), 0);
	if (tm.tm_gmtoff) /* the zone is known here */
		ck_assert_uint_eq(host.minute(NULL, 2026, 3, 29, 2, 30), 0);
}
END_TEST

/* Messages about what was changed at run time. */
START_TEST(of_changes)
{
	struct policy_object rule = {.number = 5, .change = 2, .layer = "", .text = "permit"};
	struct policy_set_edit edit = {.set = "gone"};
	struct policy_overlay v = {.object = &rule, .objects = 1};
	struct policy *p = NULL;

	files[0] = (struct memory_file){"t", "layer a { } layer b { }"};
	ck_assert_int_eq(policy_parse_with(&p, "t", &loader, &v, &diag), -EINVAL);
	ck_assert_ptr_nonnull(
		strstr(diag.text, "error: the policy has more than one layer: say which\n"));
	policy_diag_deinit(&diag);
	files[0].text = "set a { }";
	ck_assert_int_eq(policy_parse_with(&p, "t", &loader, &v, &diag), -EINVAL);
	ck_assert_ptr_nonnull(strstr(diag.text, "error: the policy has no layer\n"));
	policy_diag_deinit(&diag);
	v = (struct policy_overlay){.edit = &edit, .edits = 1};
	ck_assert_int_eq(policy_parse_with(&p, "t", &loader, &v, &diag), 0);
	ck_assert_ptr_nonnull(strstr(
		diag.text, "warning: there is no set \"gone\" any more: its changes go with it\n"));
	policy_free(p);
}
END_TEST

Suite *suite(void)
{
	Suite *s = suite_create("policy_lookup");
	TCase *t = tcase_create("lookup");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, accounts);
	tcase_add_test(t, countries);
	tcase_add_test(t, countries_that_fail);
	tcase_add_test(t, countries_that_are_wrong);
	tcase_add_test(t, moments);
	tcase_add_test(t, of_the_host);
	tcase_add_test(t, of_changes);
	suite_add_tcase(s, t);
	return s;
}
