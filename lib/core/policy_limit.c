/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How often a rule may match: `rate` and `quota`, read and printed. */
#include "core/policy_ast.h"
#include "base/str.h"
#include <errno.h>
#include <string.h>

static const struct pol_keyword units[] = {
	{"second", 1}, {"minute", 60}, {"hour", 3600}, {NULL, 0}};

/* "10/minute". A number that is too large, or 0, leaves the rate 0. */
static bool rate_parse(const char *s, struct classify_limit *l)
{
	char head[POLICY_WORD_MAX + 1] = "";
	const char *slash = strchr(s, '/');
	const struct pol_keyword *k;
	uint64_t v = 0;
	int r;

	if (!slash)
		return false;
	memcpy(head, s, (size_t)(slash - s));
	r = str_u64(head, CLASSIFY_RATE_MAX, &v);
	if (r && r != -ERANGE)
		return false;
	l->rate = r ? 0 : (uint32_t)v;
	for (k = units; k->name; k++)
		if (!strcmp(k->name, slash + 1))
			l->per_s = (uint32_t)k->value;
	return l->per_s;
}

bool pol_parse_rate(struct pol_parser *ps, struct pol_rule *r)
{
	struct pol_loc loc;
	const char *s = pol_word(ps, "a rate like 10/minute", &loc);
	char show[POL_SHOW_MAX];

	if (!s)
		return false;
	r->limit.burst = 5;
	if (!rate_parse(s, &r->limit))
		return pol_error(
			ps, &loc,
			"\"%s\" is no rate, write for example 10/second, 10/minute or 10/hour",
			pol_show(s, show));
	if (!r->limit.rate)
		return pol_error(ps, &loc, "a rate is from 1 to %u in a second, minute or hour",
				 CLASSIFY_RATE_MAX);
	if (!pol_is(ps, "burst"))
		return true;
	pol_advance(ps);
	return pol_number(ps, "a burst", 1, CLASSIFY_BURST_MAX, &r->limit.burst);
}

static bool word(struct pol_parser *ps, const char *w, const char *what)
{
	if (!pol_is(ps, w))
		return pol_expected(ps, what);
	pol_advance(ps);
	return true;
}

bool pol_parse_quota(struct pol_parser *ps, struct pol_rule *r)
{
	return pol_number(ps, "a quota", 1, UINT32_MAX, &r->limit.quota) &&
	       word(ps, "per", "\"per source\"") && word(ps, "source", "\"per source\"");
}

bool pol_at_duration(const struct pol_parser *ps)
{
	uint64_t v;

	return ps->tok.type == TOK_WORD && !str_duration(ps->tok.text, &v);
}

void pol_print_limit(const struct pol_rule *r, struct pol_text *t)
{
	const struct classify_limit *l = &r->limit;
	char buf[STR_DURATION_MAX];

	if (l->rate)
		pol_text_add(t, " rate %u/%s burst %u", l->rate,
			     pol_keyword_name(units, (int)l->per_s), l->burst);
	if (l->quota)
		pol_text_add(t, " quota %u per source", l->quota);
	if (l->window_ns)
		pol_text_add(t, " in %s", str_duration_print(l->window_ns, buf));
}
