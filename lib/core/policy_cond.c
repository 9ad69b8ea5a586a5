/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Conditions whose values have a grammar of their own: read, and printed as they are read. */
#include "core/policy_ast.h"
#include <string.h>

static const struct pol_keyword tcp_flags[] = {{"fin", 0x01}, {"syn", 0x02}, {"rst", 0x04},
					       {"psh", 0x08}, {"ack", 0x10}, {"urg", 0x20},
					       {"ece", 0x40}, {"cwr", 0x80}, {NULL, 0}};

static const char *const tcp_flags_what = "flags like syn/syn,ack";

/* One name, of `len` bytes; false after an error. */
static bool flag_name(struct pol_parser *ps, const struct pol_loc *at, const char *s, size_t len,
		      uint8_t *flags)
{
	char name[POLICY_WORD_MAX + 1] = "";
	const struct pol_keyword *k;
	struct pol_guess g;

	memcpy(name, s, len);
	if (!strcmp(name, "none"))
		return true;
	g = pol_guess_for(name);
	for (k = tcp_flags; k->name; k++) {
		if (!strcmp(k->name, name)) {
			*flags |= (uint8_t)k->value;
			return true;
		}
		pol_guess_try(&g, k->name);
	}
	return pol_unknown(ps, at, "TCP flag", name, g.best);
}

/* A word of the list: a name, or the last name before the mask and the first one of it. */
static bool flag_word(struct pol_parser *ps, struct pol_rule *r, bool *masked)
{
	struct pol_loc loc;
	const char *s = pol_word(ps, tcp_flags_what, &loc), *slash;

	if (!s)
		return false;
	slash = strchr(s, '/');
	if (!slash)
		return flag_name(ps, &loc, s, strlen(s), *masked ? &r->tcp_mask : &r->tcp_flags);
	if (*masked)
		return pol_error(ps, &loc, "TCP flags have one mask");
	if (slash == s || !slash[1])
		return pol_blank(ps, &loc, '/');
	*masked = true;
	return flag_name(ps, &loc, s, (size_t)(slash - s), &r->tcp_flags) &&
	       flag_name(ps, &loc, slash + 1, strlen(slash + 1), &r->tcp_mask);
}

bool pol_parse_tcp_flags(struct pol_parser *ps, struct pol_rule *r)
{
	struct pol_loc at = ps->tok.loc;
	bool masked = false;

	do {
		if (!flag_word(ps, r, &masked))
			return false;
	} while (pol_accept(ps, TOK_COMMA));
	if (!masked)
		r->tcp_mask = r->tcp_flags;
	if (!r->tcp_mask)
		return pol_error(ps, &at, "no TCP flag is looked at: name those in a mask");
	if (r->tcp_flags & ~r->tcp_mask)
		return pol_error(ps, &at, "TCP flags outside of their mask can never match");
	return true;
}

static void print_flags(uint8_t flags, struct pol_text *t)
{
	const struct pol_keyword *k;
	unsigned n = 0;

	for (k = tcp_flags; k->name; k++)
		if (flags & k->value)
			pol_text_add(t, "%s%s", n++ ? "," : "", k->name);
	if (!n)
		pol_text_add(t, "none");
}

void pol_print_tcp_flags(const struct pol_rule *r, struct pol_text *t)
{
	print_flags(r->tcp_flags, t);
	if (r->tcp_flags == r->tcp_mask)
		return;
	pol_text_add(t, "/");
	print_flags(r->tcp_mask, t);
}

/* ------------------------------------------------------------------- time and day ---- */

#define DAY_MINUTES 1440

int pol_minute_parse(const char *s, const char *end)
{
	int hour, minute;

	if (end - s != 5 || s[2] != ':')
		return -1;
	for (int i = 0; i < 5; i++)
		if (i != 2 && (s[i] < '0' || s[i] > '9'))
			return -1;
	hour = (s[0] - '0') * 10 + s[1] - '0';
	minute = (s[3] - '0') * 10 + s[4] - '0';
	if (minute > 59 || hour > 24 || (hour == 24 && minute))
		return -1;
	return hour * 60 + minute;
}

bool pol_element_time(struct pol_parser *ps, void *ctx)
{
	struct pol_ports **list = ctx, *span = pol_alloc(&ps->p->arena, sizeof(*span));
	char show[POL_SHOW_MAX];
	struct pol_loc loc;
	const char *s = pol_word(ps, "a time of day like 08:00-18:00", &loc), *dash;
	int from, to;

	if (!s)
		return false;
	if (!span)
		return pol_oom(ps);
	dash = strchr(s, '-');
	from = dash ? pol_minute_parse(s, dash) : -1;
	to = dash ? pol_minute_parse(dash + 1, dash + strlen(dash)) : -1;
	if (from < 0 || to < 0)
		return pol_error(ps, &loc,
				 "\"%s\" is no time of day, write for example 08:00-18:00",
				 pol_show(s, show));
	if (from == to || from == DAY_MINUTES)
		return pol_error(ps, &loc, "\"%s\" is empty and can never match", s);
	*span = (struct pol_ports){.lo = (uint16_t)from, .hi = (uint16_t)to};
	while (*list)
		list = &(*list)->next;
	*list = span;
	return true;
}

void pol_print_time(const struct pol_rule *r, struct pol_text *t)
{
	const struct pol_ports *s;

	for (s = r->time; s; s = s->next)
		pol_text_add(t, "%s%02u:%02u-%02u:%02u",
			     s != r->time    ? ", "
			     : r->time->next ? "{ "
					     : "",
			     s->lo / 60, s->lo % 60, s->hi / 60, s->hi % 60);
	if (r->time->next)
		pol_text_add(t, " }");
}

static const char day_names[7][4] = {"mon", "tue", "wed", "thu", "fri", "sat", "sun"};

static int day_parse(const char *s, size_t len)
{
	for (int i = 0; i < 7; i++)
		if (len == 3 && !memcmp(day_names[i], s, 3))
			return i;
	return -1;
}

/* "mon", or "sat-mon" */
bool pol_element_day(struct pol_parser *ps, void *ctx)
{
	uint8_t *days = ctx;
	char show[POL_SHOW_MAX];
	struct pol_loc loc;
	const char *s = pol_word(ps, "a day like mon or mon-fri", &loc), *dash;
	int from, to;

	if (!s)
		return false;
	dash = strchr(s, '-');
	from = day_parse(s, dash ? (size_t)(dash - s) : strlen(s));
	to = dash ? day_parse(dash + 1, strlen(dash + 1)) : from;
	if (from < 0 || to < 0)
		return pol_error(ps, &loc, "\"%s\" is no day, write for example mon or sat-sun",
				 pol_show(s, show));
	for (*days |= (uint8_t)POL_BIT(from); from != to; *days |= (uint8_t)POL_BIT(from))
		from = (from + 1) % 7;
	return true;
}

/* Runs of days, which do not go over the week's end: that would be another way to say the same. */
void pol_print_day(const struct pol_rule *r, struct pol_text *t)
{
	uint8_t starts = r->days & (uint8_t) ~(unsigned)(r->days << 1);
	bool list = starts & (starts - 1);
	unsigned i, last, n = 0;

	for (i = 0; i < 7; i = last + 1) {
		for (last = i; last < 6 && r->days & POL_BIT(i) && r->days & POL_BIT(last + 1);)
			last++;
		if (!(r->days & POL_BIT(i)))
			continue;
		pol_text_add(t, "%s%s", n++ ? ", " : list ? "{ " : "", day_names[i]);
		if (last > i)
			pol_text_add(t, "-%s", day_names[last]);
	}
	pol_text_add(t, "%s", list ? " }" : "");
}

/* ---------------------------------------------------------------- re-authorization ---- */

static const struct pol_keyword reasons[] = {
	{"completion", PEND_REASON_CLASSIFY_COMPLETION},
	{"policy-change", PEND_REASON_POLICY_CHANGE},
	{"new-arrival-interface", PEND_REASON_NEW_ARRIVAL_INTERFACE},
	{"new-nexthop-interface", PEND_REASON_NEW_NEXTHOP_INTERFACE},
	{"mid-stream", PEND_REASON_MID_STREAM},
	{NULL, 0}};

bool pol_element_reason(struct pol_parser *ps, void *ctx)
{
	int v = pol_keyword(ps, reasons, "reason");

	if (v < 0)
		return false;
	*(uint8_t *)ctx |= (uint8_t)POL_BIT(v);
	return true;
}

void pol_print_reasons(const struct pol_rule *r, struct pol_text *t)
{
	bool list = r->reasons & (r->reasons - 1);
	const struct pol_keyword *k;
	unsigned n = 0;

	for (k = reasons; k->name; k++)
		if (r->reasons & POL_BIT(k->value))
			pol_text_add(t, "%s%s", n++ ? ", " : list ? "{ " : "", k->name);
	pol_text_add(t, "%s", list ? " }" : "");
}
