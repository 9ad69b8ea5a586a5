/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Countries of source addresses. Each that is named becomes one hidden set, which all rules that
 * name it share; its networks come from the loader once the whole policy was read.
 */
#include "core/policy_ast.h"
#include <errno.h>
#include <string.h>

static bool upper(char c)
{
	return c >= 'A' && c <= 'Z';
}

static struct pol_set *country_set(struct pol_parser *ps, const char *code,
				   const struct pol_loc *loc)
{
	struct pol_set **at = &ps->p->countries, *set;

	while (*at && strcmp((*at)->name, code) != 0)
		at = &(*at)->next;
	if (*at)
		return *at;
	set = pol_alloc(&ps->p->arena, sizeof(*set));
	if (set)
		set->name = pol_strndup(&ps->p->arena, code, 2);
	if (!set || !set->name) {
		pol_oom(ps);
		return NULL;
	}
	set->loc = *loc;
	set->index = ps->p->ncountries++;
	*at = set;
	return set;
}

bool pol_element_country(struct pol_parser *ps, void *ctx)
{
	struct pol_country **list = ctx, *c = pol_alloc(&ps->p->arena, sizeof(*c));
	struct pol_loc loc;
	const char *s = pol_value(ps, "a country", &loc);
	char show[POL_SHOW_MAX];

	if (!s)
		return false;
	if (!c)
		return pol_oom(ps);
	if (strlen(s) != 2 || !upper(s[0]) || !upper(s[1]))
		return pol_error(ps, &loc,
				 "\"%s\" is no country, write two capital letters like DE",
				 pol_show(s, show));
	c->set = country_set(ps, s, &loc);
	if (!c->set)
		return false;
	for (; *list; list = &(*list)->next)
		if ((*list)->set == c->set)
			return true;
	*list = c;
	return true;
}

struct reading {
	struct pol_parser *ps;
	struct pol_set *set;
	bool bad, full;
};

static bool country_add(void *arg, uint8_t family, const uint8_t lo[16], const uint8_t hi[16])
{
	struct reading *r = arg;
	struct pol_range range = {.family = family, .prefix = -1};

	r->bad = (family != 4 && family != 6) || memcmp(lo, hi, family == 4 ? 4 : 16) > 0;
	r->full = r->set->ranges.n4 + r->set->ranges.n6 == POLICY_SET_MAX;
	if (r->bad || r->full)
		return false;
	memcpy(range.lo, lo, 16);
	memcpy(range.hi, hi, 16);
	return pol_ranges_add(&r->set->ranges, &range) || pol_oom(r->ps);
}

/* False: the others would fail as this one did. */
static bool read_country(struct pol_parser *ps, struct pol_set *set, const char *database)
{
	struct reading r = {ps, set, false, false};
	char show[POL_SHOW_MAX];
	int err = ps->loader->country(ps->loader->ctx, database, set->name, country_add, &r);

	if (ps->oom)
		return false;
	if (r.full)
		return pol_error(ps, &set->loc, "country %s has more than %d networks", set->name,
				 POLICY_SET_MAX);
	if (err == -ESRCH) {
		pol_unknown(ps, &set->loc, "country", set->name, NULL);
		return true;
	}
	if (err || r.bad)
		return pol_error(ps, &set->loc, "cannot read \"%s\": %s", pol_show(database, show),
				 strerror(r.bad ? EINVAL : -err));
	pol_ranges_normalize(&set->ranges);
	return true;
}

void pol_check_countries(struct pol_parser *ps)
{
	const char *database = ps->p->settings.country_database;
	struct pol_set *s = ps->p->countries;

	if (!s)
		return;
	if (!ps->loader->country) {
		pol_error(ps, &s->loc, "countries cannot be looked up here");
		return;
	}
	if (!*database) {
		pol_error(ps, &s->loc,
			  "no database of countries: name it by country-database in the settings");
		return;
	}
	while (s && !pol_stopped(ps) && read_country(ps, s, database))
		s = s->next;
}

void pol_print_country(const struct pol_rule *r, struct pol_text *t)
{
	const struct pol_country *c, *list = r->country;

	pol_text_add(t, " country %s%s", r->neg & POL_BIT(COND_COUNTRY) ? "!" : "",
		     list->next ? "{ " : "");
	for (c = list; c; c = c->next)
		pol_text_add(t, "%s%s", c == list ? "" : ", ", c->set->name);
	pol_text_add(t, list->next ? " }" : "");
}
