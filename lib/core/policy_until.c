/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How long a rule holds (`until`), and a decision (`remember`): read, checked and printed. */
#include "core/policy_ast.h"
#include "base/str.h"
#include <string.h>

/* ----------------------------------------------------------------------- until ---- */

static const char *const until_what = "a time like 18:00 or \"2026-12-24 18:00\"";

struct date {
	int year, month, day;
};

/* `n` digits, then `after` (0: nothing is asked). -1: no such. */
static int digits(const char *s, int n, char after)
{
	int v = 0, i;

	for (i = 0; i < n; i++) {
		if (s[i] < '0' || s[i] > '9')
			return -1;
		v = v * 10 + s[i] - '0';
	}
	return s[n] == after ? v : -1;
}

static int days_of(int year, int month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

	return days[month - 1] + (month == 2 && leap);
}

/* "2026-12-24 18:00"; -1: no such day, else the minute of the day. */
static int date_parse(const char *s, struct date *d)
{
	int minute;

	if (strlen(s) != 16)
		return -1;
	d->year = digits(s, 4, '-');
	d->month = digits(s + 5, 2, '-');
	d->day = digits(s + 8, 2, ' ');
	minute = pol_minute_parse(s + 11, s + 16);
	if (d->year < 1970 || d->month < 1 || d->month > 12 || d->day < 1 ||
	    d->day > days_of(d->year, d->month) || minute == (int)CLASSIFY_DAY)
		return -1;
	return minute;
}

static bool until_date(struct pol_parser *ps, struct pol_rule *r, const char *s,
		       const struct pol_loc *loc)
{
	char show[POL_SHOW_MAX];
	struct date d;
	int minute = date_parse(s, &d);

	if (minute < 0)
		return pol_error(ps, loc,
				 "\"%s\" is no moment, write for example \"2026-12-24 18:00\"",
				 pol_show(s, show));
	if (!ps->loader->minute)
		return pol_error(ps, loc, "dates cannot be read here");
	r->until = ps->loader->minute(ps->loader->ctx, d.year, d.month, d.day, minute / 60,
				      minute % 60);
	if (!r->until)
		return pol_error(ps, loc, "\"%s\" does not exist in the local time zone", s);
	r->until_text = pol_strndup(&ps->p->arena, s, strlen(s));
	return r->until_text ? true : pol_oom(ps);
}

static bool until_time(struct pol_parser *ps, struct pol_rule *r, const char *s,
		       const struct pol_loc *loc)
{
	char show[POL_SHOW_MAX];
	int minute = pol_minute_parse(s, s + strlen(s));

	if (minute < 0)
		return pol_error(ps, loc,
				 "\"%s\" is no time, write for example 18:00 or "
				 "\"2026-12-24 18:00\"",
				 pol_show(s, show));
	if (!minute)
		return pol_error(ps, loc, "\"until 00:00\" is empty and can never match");
	if (minute == (int)CLASSIFY_DAY)
		return pol_error(ps, loc, "\"until 24:00\" is the whole day, leave it out");
	r->until = (uint32_t)minute;
	return true;
}

bool pol_parse_until(struct pol_parser *ps, struct pol_rule *r)
{
	bool string = ps->tok.type == TOK_STRING;
	struct pol_loc loc;
	const char *s = pol_value(ps, until_what, &loc);

	if (!s)
		return false;
	return string ? until_date(ps, r, s, &loc) : until_time(ps, r, s, &loc);
}

void pol_check_until(struct pol_parser *ps, const struct pol_rule *r)
{
	if (r->until_text && r->until <= ps->loader->now)
		pol_warn(ps, &r->cond_loc[COND_UNTIL],
			 "\"%s\" is past: the rule matches nothing any more", r->until_text);
}

void pol_print_until(const struct pol_rule *r, struct pol_text *t)
{
	pol_text_add(t, " until ");
	if (r->until_text)
		pol_text_quote(t, r->until_text);
	else
		pol_text_add(t, "%02u:%02u", r->until / 60, r->until % 60);
}

/* -------------------------------------------------------------------- remember ---- */

static const struct pol_keyword scopes[] = {{"source", CLASSIFY_SCOPE_SOURCE},
					    {"service", CLASSIFY_SCOPE_SERVICE},
					    {"flow", CLASSIFY_SCOPE_FLOW},
					    {NULL, 0}};

bool pol_parse_remember(struct pol_parser *ps, struct pol_rule *r)
{
	struct pol_loc loc = ps->tok.loc;
	int v;

	if (!pol_duration(ps, "remember", CLASSIFY_REMEMBER_MAX, &r->remember_ns))
		return false;
	if (r->remember_ns < CLASSIFY_REMEMBER_MIN)
		return pol_error(ps, &loc, "remember must be at least 1s");
	if (pol_is(ps, "scope")) {
		pol_advance(ps);
		v = pol_keyword(ps, scopes, "scope");
		if (v < 0)
			return false;
		r->remember_scope = (uint8_t)v;
	}
	r->remember_end = pol_is(ps, "end");
	if (r->remember_end)
		pol_advance(ps);
	return true;
}

void pol_print_remember(const struct pol_rule *r, struct pol_text *t)
{
	char buf[STR_DURATION_MAX];

	if (!r->remember_ns)
		return;
	pol_text_add(t, " remember %s", str_duration_print(r->remember_ns, buf));
	if (r->remember_scope != CLASSIFY_SCOPE_SERVICE)
		pol_text_add(t, " scope %s", pol_keyword_name(scopes, r->remember_scope));
	if (r->remember_end)
		pol_text_add(t, " end");
}
