/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The lines of `pendctl top`; see top.h. */
#include "cli/top.h"
#include "cli/decision_text.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct page {
	struct top_line *line;
	int n, max, columns;
};

__attribute__((format(printf, 3, 4))) static void put(struct page *p, enum top_style style,
						      const char *fmt, ...)
{
	struct top_line *l = &p->line[p->n];
	va_list ap;

	if (p->n >= p->max)
		return;
	l->style = style;
	va_start(ap, fmt);
	vsnprintf(l->text, sizeof(l->text), fmt, ap);
	va_end(ap);
	out_clean(l->text);
	p->n++;
}

/* ------------------------------------------------------------------ the head ---- */

static void put_title(struct page *p, const struct top *t)
{
	const json_t *s = t->status, *policy = json_object_get(s, "policy");
	const json_t *hookup = json_object_get(s, "hookup");
	const char *state = out_get(s, "state");
	char up[OUT_CELL], generation[OUT_CELL];

	if (!t->running || !s) {
		put(p, TOP_BAD, "pendd is not running: %s", *t->why ? t->why : "connecting");
		return;
	}
	out_age(out_int(s, "uptime_s") * 1000, up);
	out_generation(policy, generation);
	put(p, strcmp(state, "ok") ? TOP_BAD : TOP_TITLE,
	    "pendd %s  up %s  policy %s, %lld %s  %s %s  role %s%s", state, up, generation,
	    out_int(policy, "rules"), out_noun(out_int(policy, "rules"), "rule", "rules"),
	    out_get(hookup, "kind"), out_get(hookup, "state"), t->role,
	    t->paused ? "  PAUSED" : "");
}

/* "12", "0.5": per second. */
static void rate(const struct top *t, long long before, long long now, char out[24])
{
	double s = (double)(t->last.at - t->before.at) / 1000, r;

	if (!t->before.at || s <= 0) {
		snprintf(out, 24, "-");
		return;
	}
	r = (double)(now - before) / s;
	snprintf(out, 24, r >= 10 || r < 0.05 ? "%.0f" : "%.1f", r > 0 ? r : 0.0);
}

static void put_rates(struct page *p, const struct top *t)
{
	const struct top_totals *b = &t->before, *l = &t->last;
	char pended[24], permitted[24], blocked[24], timed_out[24], direct[24];

	rate(t, b->pended, l->pended, pended);
	rate(t, b->permitted, l->permitted, permitted);
	rate(t, b->blocked, l->blocked, blocked);
	rate(t, b->timed_out, l->timed_out, timed_out);
	rate(t, b->direct, l->direct, direct);
	put(p, TOP_PLAIN, "a second  %s pended  %s permitted  %s blocked  %s timed out  %s direct",
	    pended, permitted, blocked, timed_out, direct);
}

static void put_queues(struct page *p, const struct top *t)
{
	const json_t *c = json_object_get(t->status, "totals");
	const json_t *k = json_object_get(t->status, "kernel");
	long long limited = out_int(c, "limit_contexts") + out_int(c, "limit_source") +
			    out_int(c, "limit_service") + out_int(c, "limit_bytes") +
			    out_int(c, "limit_packets") + out_int(c, "watermark_drops");
	long long dropped = out_int(k, "queue_dropped") + out_int(k, "user_dropped");
	char memory[OUT_CELL];

	out_size(out_int(c, "memory"), memory);
	put(p, limited || dropped ? TOP_BAD : TOP_PLAIN,
	    "limits    %lld refused, %lld dropped by the kernel, %lld queued, %s reserved", limited,
	    dropped, out_int(k, "queued"), memory);
}

static void put_kept(struct page *p, const struct top *t)
{
	const json_t *c = json_object_get(t->status, "totals");
	char kept[96] = "";

	if (t->kept >= 0)
		snprintf(kept, sizeof(kept), ", %lld %s remembered (used %lld %s)", t->kept,
			 out_noun(t->kept, "decision", "decisions"), t->used,
			 out_noun(t->used, "time", "times"));
	put(p, TOP_PLAIN, "pended    %lld now, %lld at most, %lld in the kernel%s",
	    out_int(c, "pending"), out_int(c, "pending_peak"), out_int(c, "held"), kept);
}

static void put_problems(struct page *p, const struct top *t)
{
	const json_t *problem;
	size_t i;

	json_array_foreach(json_object_get(t->status, "problems"), i, problem)
		put(p, TOP_BAD, "problem   %s", json_string_value(problem));
}

/* A figure of an authority's health. */
static void add(char *text, size_t size, const json_t *health, const char *key, const char *what)
{
	const json_t *v = json_object_get(health, key);
	size_t n = strlen(text);

	if (json_is_integer(v))
		snprintf(text + n, size - n, ", %lld %s", (long long)json_integer_value(v), what);
}

static void add_time(char *text, size_t size, const json_t *health, const char *key,
		     const char *what)
{
	long long us = out_int(health, key);
	size_t n = strlen(text);

	if (us >= 10000)
		snprintf(text + n, size - n, ", %s %lld ms", what, us / 1000);
	else if (us)
		snprintf(text + n, size - n, ", %s %lld us", what, us);
}

/* People have no health: it is of authorities that programs serve. */
static void put_authority(struct page *p, const json_t *a)
{
	const json_t *health = json_object_get(a, "health");
	const char *state = out_get(health, "state"), *breaker = out_get(health, "breaker");
	bool open = *breaker && strcmp(breaker, "closed") != 0;
	bool well = !open && (!*state || !strcmp(state, "ok"));
	char figures[256] = "";

	add(figures, sizeof(figures), health, "servers", "serving");
	add(figures, sizeof(figures), health, "open", "open");
	add(figures, sizeof(figures), health, "waiting", "waiting");
	add_time(figures, sizeof(figures), health, "p50_us", "p50");
	add_time(figures, sizeof(figures), health, "p99_us", "p99");
	put(p, well ? TOP_PLAIN : TOP_BAD, "  %-14.40s %-9s %s, then %s%s%s%s%s%s",
	    out_get(a, "name"), out_get(a, "type"), out_get(a, "timeout"), out_get(a, "on_timeout"),
	    *state ? "; " : "", state, figures, open ? ", breaker " : "", open ? breaker : "");
}

static void put_authorities(struct page *p, const struct top *t, int max)
{
	size_t n = json_array_size(t->authorities), i = 0;

	put(p, TOP_DIM, "asked     %zu %s", n, out_noun((long long)n, "authority", "authorities"));
	for (; i < n && (int)i < max; i++)
		put_authority(p, json_array_get(t->authorities, i));
	if (i < n && max > 0)
		put(p, TOP_DIM, "  ... and %zu more", n - i);
}

/* ------------------------------------------------------------------ the table ---- */

/* Addresses get what the other columns leave; the last four are for wide screens. */
static int address_width(const struct page *p)
{
	int w = p->columns >= 110 ? (p->columns - 62) / 2 : (p->columns - 30) / 2;

	return w > 47 ? 47 : p->columns < 110 && w > 24 ? 24 : w;
}

static void put_header(struct page *p)
{
	int w = address_width(p);

	put(p, TOP_HEADER, "%-8s %-5s %-*s %-*s %6s %6s %3s %4s %-12s %s", "ID", "PROTO", w,
	    "SOURCE", w, "DESTINATION", "AGE", "LEFT", "TRY", "RULE", "AUTHORITY", "IN");
}

static void put_row(struct page *p, const struct top *t, const struct top_row *row, int64_t now)
{
	char proto[OUT_CELL], source[OUT_CELL], dest[OUT_CELL], age[OUT_CELL], left[OUT_CELL];
	bool chosen = *t->selected && !strcmp(out_get(row->v, "id"), t->selected);
	int w = address_width(p);

	out_protocol(row->v, proto);
	out_endpoint(row->v, "source", "source_port", source);
	out_endpoint(row->v, "dest", "dest_port", dest);
	out_age(now - row->since, age);
	out_age(row->until > now ? row->until - now : 0, left);
	put(p, chosen ? TOP_SELECTED : TOP_PLAIN,
	    "%-8s %-5.5s %-*.*s %-*.*s %6s %6s %3lld %4lld %-12s %s", out_get(row->v, "id"), proto,
	    w, w, source, w, w, dest, age, left, out_int(row->v, "retransmits"),
	    out_int(row->v, "rule"), out_get(row->v, "authority"), out_get(row->v, "interface"));
}

/* So far down that the selected one is on the page, and no further than there are rows. */
static void scroll(struct top *t, size_t room)
{
	size_t at = t->first;

	for (size_t i = 0; *t->selected && i < t->nshown; i++)
		if (!strcmp(out_get(t->row[t->shown[i]].v, "id"), t->selected))
			at = i < t->first ? i : i >= t->first + room ? i - room + 1 : t->first;
	if (at + room > t->nshown)
		at = t->nshown > room ? t->nshown - room : 0;
	t->first = at;
}

static void put_table(struct page *p, struct top *t, int room, int64_t now)
{
	long long all = out_int(json_object_get(t->status, "totals"), "pending");
	size_t i;

	put_header(p);
	if (room < 1)
		return;
	scroll(t, (size_t)room);
	for (i = t->first; i < t->nshown && i < t->first + (size_t)room; i++)
		put_row(p, t, &t->row[t->shown[i]], now);
	if (!t->nshown && t->running)
		put(p, TOP_DIM, *t->filter && t->n ? "Nothing fits the filter." : "Nothing waits.");
	else if (t->more && i == t->nshown && i < t->first + (size_t)room)
		put(p, TOP_DIM, "... of %lld", all);
}

/* ------------------------------------------------------------------ the events ---- */

static void put_event(struct page *p, const json_t *e)
{
	const char *type = out_get(e, "type"), *time = strchr(out_get(e, "time"), 'T');
	const char *state = strcmp(type, "completed") ? type : out_get(e, "state");
	char proto[OUT_CELL], source[OUT_CELL], dest[OUT_CELL];

	if (*out_get(e, "text") && !*out_get(e, "source")) {
		put(p, TOP_DIM, "%.8s %-10s %s", time ? time + 1 : "-", type, out_get(e, "text"));
		return;
	}
	out_protocol(e, proto);
	out_endpoint(e, "source", "source_port", source);
	out_endpoint(e, "dest", "dest_port", dest);
	put(p, TOP_DIM, "%.8s %-10s %-8s %s %s > %s%s%s", time ? time + 1 : "-", state,
	    out_get(e, "id"), proto, source, dest, *out_get(e, "reason") ? " by " : "",
	    out_get(e, "reason"));
}

static void put_events(struct page *p, const struct top *t, int room)
{
	size_t n = json_array_size(t->events);
	size_t from = n > (size_t)(room > 0 ? room : 0) ? n - (size_t)room : 0;

	for (size_t i = from; room > 0 && i < n; i++)
		put_event(p, json_array_get(t->events, i));
}

/* ------------------------------------------------------- what is remembered ---- */

static int decision_width(const struct page *p)
{
	return p->columns >= 110 ? 30 : p->columns >= 90 ? 24 : 18;
}

static void put_decision(struct page *p, const json_t *v, long long left)
{
	char source[OUT_CELL], to[OUT_CELL], by[OUT_CELL], rule[OUT_CELL], time[OUT_CELL];
	int w = decision_width(p);

	decision_text_source(v, source);
	decision_text_service(v, to);
	decision_text_by(v, by);
	decision_text_rule(v, rule);
	decision_text_left(left, time);
	put(p, TOP_DIM, "%-7s %8s %-*.*s %-*.*s %-10.10s %s", out_get(v, "verdict"), time, w, w,
	    source, w, w, to, by, rule);
}

static void put_decisions(struct page *p, const struct top *t, int room, int64_t now)
{
	size_t n = json_array_size(t->decisions), i;
	int w = decision_width(p), rows = t->kept > room ? room - 1 : room;

	put(p, TOP_HEADER, "%-7s %8s %-*s %-*s %-10s %s", "DECIDED", "LEFT", w, "SOURCE", w, "TO",
	    "BY", "RULE");
	for (i = 0; i < n && rows > 0; i++) {
		const json_t *v = json_array_get(t->decisions, i);
		long long left = out_int(v, "remaining_ms") - (now - t->decisions_at);

		if (left <= 0)
			continue;
		put_decision(p, v, left);
		rows--;
	}
	if (t->kept <= 0)
		put(p, TOP_DIM, t->decisions ? "Nothing is remembered." : "Not known.");
	else if (t->kept > (long long)i)
		put(p, TOP_DIM, "... and %lld more: pendctl decisions", t->kept - (long long)i);
}

/* Below the table: what has happened, or what is remembered. */
static int lower_rows(const struct top *t, int lines)
{
	int most = !lines ? 40 : t->decided ? lines / 3 : lines / 6;
	int rows = (int)json_array_size(t->events);

	if (t->decided)
		rows = t->kept > 1 ? t->kept < most ? (int)t->kept : most : 1;
	return rows < most ? rows : most;
}

static void put_lower(struct page *p, const struct top *t, int room, int64_t now)
{
	if (t->decided) {
		put_decisions(p, t, room, now);
		return;
	}
	put(p, TOP_HEADER, "%-8s %-10s %s", "TIME", "EVENT", "WHAT (UTC)");
	put_events(p, t, room);
}

static void put_foot(struct page *p, struct top *t, int64_t now)
{
	if (!t->message_at)
		t->message_at = now;
	if (now - t->message_at > TOP_MESSAGE_MS)
		t->message[0] = '\0';
	if (t->filtering)
		put(p, TOP_KEYS, "filter: %s", t->filter);
	else if (*t->message)
		put(p, TOP_KEYS, "%s", t->message);
	else
		put(p, TOP_KEYS,
		    "y permit n block r reset (Y N R its source) s sort / filter%s%s d kept p pause ? q",
		    *t->filter ? " " : "", t->filter);
}

static void put_help(struct page *p)
{
	static const char *const text[] = {
		"",
		"arrows, j k, PgUp PgDn, Home End   choose a connection",
		"y permit   n block (dropped)   r block with reset",
		"Y N R      the same for all of its source that are shown",
		"s          sort by age, time left, source, destination, rule",
		"/          show only what has this text: id, protocol, address,",
		"           port, interface, authority; Enter ends it, Esc undoes it",
		"d          the decisions that are kept for others, or the events",
		"p          pause, and go on      space  look again now",
		"q          quit",
		"",
		"When what was chosen has ended, nothing is chosen: no key decides",
		"about another connection. Any key goes back.",
	};

	for (size_t i = 0; i < sizeof(text) / sizeof(text[0]); i++)
		put(p, TOP_PLAIN, "%s", text[i]);
}

static void put_head(struct page *p, const struct top *t, int room)
{
	put_title(p, t);
	if (!t->status)
		return;
	put_rates(p, t);
	put_kept(p, t);
	put_queues(p, t);
	put_problems(p, t);
	put_authorities(p, t, room);
}

/* Lines that are not used by what stands above. */
static void fill(struct page *p, int until)
{
	while (p->n < until && p->n < p->max)
		put(p, TOP_PLAIN, "%s", "");
}

static void too_small(struct page *p)
{
	put(p, TOP_BAD, "The terminal is too small:");
	put(p, TOP_BAD, "%d columns, %d lines are needed", TOP_COLUMNS, TOP_LINES_MIN);
}

int top_lines(struct top *t, int columns, int lines, int64_t now, struct top_line *out, int *page)
{
	int max = lines && lines < TOP_LINES ? lines : TOP_LINES, lower = lower_rows(t, lines);
	int room;
	struct page p = {.line = out, .max = max, .columns = columns};

	if (page)
		*page = 1;
	if (lines && (columns < TOP_COLUMNS || lines < TOP_LINES_MIN)) {
		too_small(&p);
		return p.n;
	}
	put_head(&p, t, lines ? (lines / 4 > 3 ? lines / 4 - 3 : 0) : 40);
	if (t->help) {
		put_help(&p);
	} else {
		room = lines ? max - p.n - lower - 3 : (int)t->nshown + 1;
		if (page)
			*page = room > 0 ? room : 1;
		put_table(&p, t, room, now);
		if (lines)
			fill(&p, max - lower - 2);
		put_lower(&p, t, lower, now);
	}
	if (!lines && t->kept > 0)
		put_decisions(&p, t, TOP_DECISIONS + 1, now);
	if (lines)
		fill(&p, max - 1);
	if (lines)
		put_foot(&p, t, now);
	return p.n;
}
