/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What `pendctl ask` says; see interview.h. */
#include "cli/interview.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define DETAILS 10 /* of the last decisions that are listed */

struct sink {
	interview_line_fn *line;
	void *ctx;
};

/* A line, cleaned of what a terminal would obey. */
__attribute__((format(printf, 2, 3))) static void say(const struct sink *s, const char *fmt, ...)
{
	char text[ASK_LINE_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	out_clean(text);
	s->line(s->ctx, text);
}

static void tuple(const json_t *v, char out[3 * OUT_CELL])
{
	char proto[OUT_CELL], source[OUT_CELL], dest[OUT_CELL];

	out_protocol(v, proto);
	out_endpoint(v, "source", "source_port", source);
	out_endpoint(v, "dest", "dest_port", dest);
	snprintf(out, 3 * OUT_CELL, "%.20s %s > %s", proto, source, dest);
}

static void name_text(bool have, bool late, const struct lookup_answer *name,
		      char out[ASK_LINE_MAX])
{
	if (have && name->found)
		snprintf(out, ASK_LINE_MAX, "%s%s", name->name,
			 name->confirmed ? "" : " (does not lead back to it)");
	else if (have)
		snprintf(out, ASK_LINE_MAX, "no name");
	else
		snprintf(out, ASK_LINE_MAX, "%s", late ? "its name was not found in time" : "");
}

static void say_source(const struct interview *a, const json_t *v, const struct sink *s)
{
	char name[ASK_LINE_MAX];

	name_text(a->have_name, a->late, &a->name, name);
	say(s, "  from     %s%s%s%s%s", out_get(v, "source"), *name ? ", " : "", name,
	    *a->country ? ", country " : "", a->country);
}

static void say_dest(const struct interview *a, const json_t *v, const struct sink *s)
{
	const char *in = out_get(v, "interface"), *out = out_get(v, "out_interface");
	char dest[OUT_CELL], name[ASK_LINE_MAX] = "";

	out_endpoint(v, "dest", "dest_port", dest);
	if (*out && !a->target.local)
		name_text(a->have_target, false, &a->target, name);
	say(s, "  to       %s%s%s%s%s%s%s%s%s%s", dest,
	    a->have_listener && *a->listener.service ? " (" : "",
	    a->have_listener ? a->listener.service : "",
	    a->have_listener && *a->listener.service ? ")" : "", *name ? ", " : "", name,
	    *in ? ", in " : "", in, *out ? ", out " : "", out);
}

static void say_listener(const struct interview *a, const struct sink *s)
{
	const struct lookup_answer *l = &a->listener;

	if (!a->have_listener || !l->local)
		return;
	if (!l->found)
		say(s, "  listens  nobody that can be seen");
	else
		say(s, "  listens  user %s%s%s%s%s", l->user, *l->executable ? ", " : "",
		    l->executable, *l->unit ? ", " : "", l->unit);
}

static const json_t *rule_of(const struct interview *a, const json_t *v)
{
	const json_t *rule;
	size_t i;

	if (out_int(v, "generation") == a->generation)
		json_array_foreach(a->rules, i, rule) if (out_int(rule, "rule") ==
							  out_int(v, "rule")) return rule;
	return NULL;
}

static void say_rule(const struct interview *a, const json_t *v, const struct sink *s)
{
	const json_t *rule = rule_of(a, v);

	if (rule)
		say(s, "  rule     %s:%lld: %s", out_get(rule, "file"), out_int(rule, "line"),
		    out_get(rule, "text"));
	else
		say(s, "  rule     %lld of policy %lld", out_int(v, "rule"),
		    out_int(v, "generation"));
}

struct past {
	unsigned permitted, blocked, other;
	const json_t *last;
};

static void count_one(struct past *p, const json_t *e)
{
	const char *state = out_get(e, "state");

	if (!strcmp(state, "permitted") || !strcmp(state, "flushed"))
		p->permitted++;
	else if (!strcmp(state, "blocked"))
		p->blocked++;
	else
		p->other++;
}

/* The daemon's record if it keeps one, else the events since it was started, as far as it has them. */
static struct past count_past(const struct interview *a, const char *source)
{
	struct past p = {.last = json_array_get(a->history, 0)};
	const json_t *e;
	size_t i;

	json_array_foreach(a->history, i, e) count_one(&p, e);
	if (a->history)
		return p;
	json_array_foreach(a->past, i, e)
	{
		if (strcmp(out_get(e, "source"), source) != 0)
			continue;
		count_one(&p, e);
		p.last = e;
	}
	return p;
}

static void say_past(const struct interview *a, const json_t *v, const struct sink *s)
{
	struct past p = count_past(a, out_get(v, "source"));

	if (p.last)
		say(s,
		    "  earlier  %u permitted, %u blocked, %u ended otherwise; last %s at %.19s UTC",
		    p.permitted, p.blocked, p.other, out_get(p.last, "state"),
		    out_get(p.last, "time"));
}

static void say_waits(const struct interview *a, const struct interview_row *row, int64_t now,
		      const struct sink *s)
{
	char age[OUT_CELL], left[OUT_CELL];
	size_t others = interview_others(a);

	out_age(now - row->since, age);
	out_age(row->until > now ? row->until - now : 0, left);
	say(s, "  waits    %s, tried %lld more %s; in %s: %s%s", age,
	    out_int(row->v, "retransmits"),
	    out_noun(out_int(row->v, "retransmits"), "time", "times"), left,
	    out_get(row->v, "on_timeout"),
	    *out_get(row->v, "authority") ? "" : " (its policy is gone)");
	if (others)
		say(s, "  besides  %zu more of this source %s", others,
		    others == 1 ? "waits" : "wait");
}

void interview_text(const struct interview *a, int64_t now, interview_line_fn *line, void *ctx)
{
	const struct interview_row *row = interview_current(a);
	const struct sink s = {line, ctx};
	char flow[3 * OUT_CELL];

	if (!row)
		return;
	tuple(row->v, flow);
	say(&s, "%s  %s%s%s", out_get(row->v, "id"), flow,
	    *out_get(row->v, "authority") ? "  asks " : "", out_get(row->v, "authority"));
	say_source(a, row->v, &s);
	say_dest(a, row->v, &s);
	say_listener(a, &s);
	say_rule(a, row->v, &s);
	say_past(a, row->v, &s);
	say_waits(a, row, now, &s);
}

void interview_text_name(const struct interview *a, interview_line_fn *line, void *ctx)
{
	const struct interview_row *row = interview_current(a);
	const struct sink s = {line, ctx};

	if (row)
		say_source(a, row->v, &s);
}

void interview_text_target(const struct interview *a, interview_line_fn *line, void *ctx)
{
	const struct interview_row *row = interview_current(a);
	const struct sink s = {line, ctx};

	if (row && a->target.found)
		say_dest(a, row->v, &s);
}

/* What is remembered of the question's source. */
static void say_decisions(const struct interview *a, const struct sink *s)
{
	const json_t *d;
	size_t i;

	if (!a->decisions)
		return;
	say(s, "  remembered of this source: %zu", json_array_size(a->decisions));
	json_array_foreach(a->decisions, i, d)
	{
		char left[OUT_CELL], dest[OUT_CELL];

		out_age(out_int(d, "remaining_ms"), left);
		out_endpoint(d, "dest", "dest_port", dest);
		say(s, "    %s %s%s%s, by %s, for %s more%s%s", out_get(d, "verdict"),
		    out_get(d, "scope"), *dest ? " " : "", dest, out_get(d, "by"), left,
		    *out_get(d, "why") ? ": " : "", out_get(d, "why"));
	}
}

static void say_one(const json_t *e, const struct sink *s)
{
	const char *by = *out_get(e, "by") ? out_get(e, "by") : out_get(e, "reason");
	char flow[3 * OUT_CELL];

	tuple(e, flow);
	say(s, "    %.19s %s %s by %s%s%s", out_get(e, "time"), out_get(e, "state"), flow, by,
	    *out_get(e, "why") ? ": " : "", out_get(e, "why"));
}

static void say_past_all(const struct interview *a, const char *source, const struct sink *s)
{
	size_t n = json_array_size(a->past), shown = 0;

	for (; shown < DETAILS && shown < json_array_size(a->history); shown++)
		say_one(json_array_get(a->history, shown), s);
	while (!a->history && n-- && shown < DETAILS) {
		const json_t *e = json_array_get(a->past, n);

		if (strcmp(out_get(e, "source"), source) != 0)
			continue;
		say_one(e, s);
		shown++;
	}
}

void interview_details(const struct interview *a, int64_t now, interview_line_fn *line, void *ctx)
{
	const struct interview_row *row = interview_current(a);
	const struct sink s = {line, ctx};

	if (!row)
		return;
	interview_text(a, now, line, ctx);
	say(&s, "  held     %s, %lld %s, released by %s%s", out_get(row->v, "mode"),
	    out_int(row->v, "packets"), out_noun(out_int(row->v, "packets"), "packet", "packets"),
	    out_get(row->v, "release"),
	    json_is_true(json_object_get(row->v, "kernel_lost"))
		    ? "; the kernel has lost it, the next attempt takes its place"
		    : "");
	say_decisions(a, &s);
	say(&s, "  the last decisions about this source:");
	say_past_all(a, out_get(row->v, "source"), &s);
}

void interview_help(interview_line_fn *line, void *ctx)
{
	static const char *const text[] = {
		"  y permit       n block (dropped)   r block with reset     of this connection",
		"  Y permit       N block             R block with reset     of all that wait from its source",
		"Before one of these, for how long it is remembered (the same key again: as the rule says):",
		"  1 this time    h an hour           d a day                f until forgotten, a year at most",
		"It holds for this source and service; with Y N R for all that the rule is about, of this source.",
		"  w a reason for the record          s skip: leave it to others, or to its timeout",
		"  i details      b ask again about what was skipped         q quit",
	};

	for (size_t i = 0; i < sizeof(text) / sizeof(text[0]); i++)
		line(ctx, text[i]);
}

void interview_text_ended(const json_t *event, interview_line_fn *line, void *ctx)
{
	const char *reason = out_get(event, "reason"), *state = out_get(event, "state");
	const struct sink s = {line, ctx};
	char flow[3 * OUT_CELL], ms[OUT_CELL];

	tuple(event, flow);
	out_age(out_int(event, "pended_ms"), ms);
	say(&s, "%s  %s: %s%s%s after %s", out_get(event, "id"), flow,
	    strcmp(state, "flushed") ? state : "permitted (with its next attempt)",
	    *reason && strcmp(reason, "none") != 0 ? " by " : "",
	    strcmp(reason, "none") ? reason : "", ms);
}

static const char *hold_text(const struct interview *a)
{
	switch (a->hold) {
	case ASK_BY_RULE:
		return "";
	case ASK_ONCE:
		return " this time only";
	case ASK_HOUR:
		return " for an hour";
	case ASK_DAY:
		return " for a day";
	case ASK_FOREVER:
		return " until forgotten";
	}
	return "";
}

static void prompt_idle(const struct interview *a, char out[ASK_LINE_MAX])
{
	size_t skipped = interview_skipped(a);

	if (skipped)
		snprintf(out, ASK_LINE_MAX, "%zu skipped [b asks again, q quits, ? helps] ",
			 skipped);
	else
		snprintf(out, ASK_LINE_MAX, "Nothing waits [q quits, ? helps] ");
}

/* What matters most comes first: a narrow terminal cuts the end. */
void interview_prompt(const struct interview *a, int64_t now, char out[ASK_LINE_MAX])
{
	const struct interview_row *row = interview_current(a);
	char left[OUT_CELL];

	if (!row) {
		prompt_idle(a, out);
		return;
	}
	out_age(row->until > now ? row->until - now : 0, left);
	if (a->editing)
		snprintf(out, ASK_LINE_MAX, "reason: %s", a->why);
	else
		snprintf(out, ASK_LINE_MAX,
			 "Permit%s? [y n r Y N R 1 h d f w s i ? q] %s left%s%s ", hold_text(a),
			 left, *a->why ? ", reason: " : "", a->why);
	out_clean(out);
}
