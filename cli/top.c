/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What `pendctl top` knows and what its keys do; see top.h. */
#include "cli/top.h"
#include "cli/live.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ID(row) out_get((row)->v, "id")

void top_init(struct top *t)
{
	*t = (struct top){.events = json_array(), .kept = -1};
}

static void rows_free(struct top *t)
{
	for (size_t i = 0; i < t->n; i++)
		json_decref(t->row[i].v);
	free(t->row);
	free(t->shown);
	t->row = NULL;
	t->shown = NULL;
	t->n = t->nshown = 0;
}

void top_deinit(struct top *t)
{
	rows_free(t);
	json_decref(t->status);
	json_decref(t->authorities);
	json_decref(t->events);
	json_decref(t->decisions);
	*t = (struct top){0};
}

__attribute__((format(printf, 2, 3))) static void message(struct top *t, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(t->message, sizeof(t->message), fmt, ap);
	va_end(ap);
	t->message_at = 0;
	out_clean(t->message);
}

void top_up(struct top *t, const char *role)
{
	t->running = true;
	snprintf(t->role, sizeof(t->role), "%s", role);
	t->before.at = t->last.at = 0;
	json_array_clear(t->events);
	t->message[0] = '\0';
}

void top_down(struct top *t, const char *why)
{
	t->running = false;
	snprintf(t->why, sizeof(t->why), "%s", why);
	out_clean(t->why);
	rows_free(t);
	t->more = false;
	json_decref(t->status);
	json_decref(t->authorities);
	json_decref(t->decisions);
	t->status = t->authorities = t->decisions = NULL;
	t->kept = -1;
}

void top_status(struct top *t, const json_t *status, int64_t now)
{
	const json_t *c = json_object_get(status, "totals");

	json_decref(t->status);
	t->status = json_deep_copy(status);
	t->before = t->last;
	t->last = (struct top_totals){
		.at = now,
		.pended = out_int(c, "pended"),
		.permitted = out_int(c, "ended_permitted") + out_int(c, "ended_flushed"),
		.blocked = out_int(c, "ended_blocked"),
		.timed_out = out_int(c, "ended_timed_out"),
		.direct = out_int(c, "permitted_direct") + out_int(c, "blocked_direct"),
	};
	if (t->last.pended < t->before.pended) /* another daemon's */
		t->before.at = 0;
}

void top_authorities(struct top *t, const json_t *result)
{
	json_decref(t->authorities);
	t->authorities = json_deep_copy(json_object_get(result, "authorities"));
}

/* Times of one form: their order is that of their text. */
static int newest_first(const void *x, const void *y)
{
	json_t *const *a = x, *const *b = y;

	return strcmp(out_get(*b, "since"), out_get(*a, "since"));
}

static json_t *newest(const json_t *all)
{
	size_t n = json_array_size(all);
	json_t **v = calloc(n + 1, sizeof(json_t *)), *out = json_array();

	for (size_t i = 0; v && i < n; i++)
		v[i] = json_array_get(all, i);
	if (v && n)
		qsort(v, n, sizeof(json_t *), newest_first);
	for (size_t i = 0; v && i < n && i < TOP_DECISIONS; i++)
		json_array_append(out, v[i]);
	free(v);
	return out;
}

void top_decisions(struct top *t, const json_t *result, int64_t now)
{
	json_decref(t->decisions);
	t->decisions = newest(json_object_get(result, "decisions"));
	t->decisions_at = now;
	t->kept = (long long)json_array_size(json_object_get(result, "decisions"));
	t->used = out_int(result, "permits") + out_int(result, "blocks");
}

void top_event(struct top *t, const json_t *event)
{
	if (json_array_size(t->events) >= TOP_EVENTS)
		json_array_remove(t->events, 0);
	json_array_append_new(t->events, json_deep_copy(event));
}

void top_decided(struct top *t, const json_t *result, const char *code, const char *text)
{
	const json_t *failed = json_object_get(result, "failed");
	long long n = out_int(result, "completed");

	if (code)
		message(t, "%s: %s", live_done(code) ? "Warning" : "Not done", text);
	else if (!n && json_array_size(failed))
		message(t, "Not done: it was decided before, or has ended");
	else
		message(t, "Decided %lld %s", n, out_noun(n, "connection", "connections"));
}

/* ------------------------------------------------------------------- the table ---- */

static enum top_sort sort_order; /* for qsort */

static int by_address(const struct top_row *a, const struct top_row *b, const char *addr,
		      const char *port)
{
	int r = strcmp(out_get(a->v, addr), out_get(b->v, addr));
	long long x = out_int(a->v, port), y = out_int(b->v, port);

	return r ? r : (x > y) - (x < y);
}

static int by_order(const void *x, const void *y)
{
	const struct top_row *a = x, *b = y;
	int64_t m = a->since / 100, n = b->since / 100;
	int r = 0;

	switch (sort_order) {
	case TOP_BY_AGE:
	case TOP_SORTS:
		break;
	case TOP_BY_LEFT:
		r = (a->until > b->until) - (a->until < b->until);
		break;
	case TOP_BY_SOURCE:
		r = by_address(a, b, "source", "source_port");
		break;
	case TOP_BY_DEST:
		r = by_address(a, b, "dest", "dest_port");
		break;
	case TOP_BY_RULE:
		r = (out_int(a->v, "rule") > out_int(b->v, "rule")) -
		    (out_int(a->v, "rule") < out_int(b->v, "rule"));
		break;
	}
	if (!r)
		r = (m > n) - (m < n);
	return r ? r : strcmp(ID(a), ID(b));
}

static bool fits(const struct top *t, const struct top_row *row)
{
	static const char *const keys[] = {"id", "protocol", "interface", "authority"};
	char cell[OUT_CELL];

	if (!*t->filter)
		return true;
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (strcasestr(out_get(row->v, keys[i]), t->filter))
			return true;
	out_endpoint(row->v, "source", "source_port", cell);
	if (strcasestr(cell, t->filter))
		return true;
	out_endpoint(row->v, "dest", "dest_port", cell);
	return strcasestr(cell, t->filter) != NULL;
}

static void arrange(struct top *t)
{
	sort_order = t->sort;
	if (t->n)
		qsort(t->row, t->n, sizeof(*t->row), by_order);
	t->nshown = 0;
	for (size_t i = 0; i < t->n; i++)
		if (fits(t, &t->row[i]))
			t->shown[t->nshown++] = i;
}

/* Where the selected one stands among those that are shown; -1: nowhere. */
static ptrdiff_t selected(const struct top *t)
{
	for (size_t i = 0; *t->selected && i < t->nshown; i++)
		if (strcmp(ID(&t->row[t->shown[i]]), t->selected) == 0)
			return (ptrdiff_t)i;
	return -1;
}

/* A time that can be added to a clock, whatever was sent. */
static int64_t span(const json_t *v, const char *key)
{
	long long ms = out_int(v, key);

	return ms < 0 ? 0 : ms > INT32_MAX * 1000ll ? INT32_MAX * 1000ll : ms;
}

/*
 * The selection is of a connection and not of a line: when it goes nothing is selected, so that no
 * key decides about another one.
 */
static void selection_check(struct top *t)
{
	if (!*t->selected || selected(t) >= 0)
		return;
	message(t, "%s does not wait any more", t->selected);
	t->selected[0] = '\0';
}

void top_pending(struct top *t, const json_t *pending, bool more, int64_t now)
{
	size_t n = json_array_size(pending), i;
	json_t *v;

	rows_free(t);
	t->row = calloc(n + 1, sizeof(*t->row));
	t->shown = calloc(n + 1, sizeof(*t->shown));
	if (!t->row || !t->shown)
		return;
	json_array_foreach(pending, i, v)
	{
		t->row[i].v = json_incref(v);
		t->row[i].since = now - span(v, "age_ms");
		t->row[i].until = now + span(v, "remaining_ms");
	}
	t->n = n;
	t->more = more;
	arrange(t);
	selection_check(t);
}

/* -------------------------------------------------------------------- the keys ---- */

static void move(struct top *t, ptrdiff_t by, bool absolute)
{
	ptrdiff_t at = selected(t), last = (ptrdiff_t)t->nshown - 1;

	if (last < 0)
		return;
	if (absolute)
		at = by;
	else if (at < 0)
		at = by < 0 ? last : 0; /* the first key only selects */
	else
		at += by;
	at = at < 0 ? 0 : at > last ? last : at;
	snprintf(t->selected, sizeof(t->selected), "%s", ID(&t->row[t->shown[at]]));
	t->message[0] = '\0';
}

static bool may_decide(const struct top *t)
{
	return !strcmp(t->role, "admin") || !strcmp(t->role, "decide");
}

static void decide(struct top *t, bool permit, bool reset, bool all, struct top_action *out)
{
	ptrdiff_t at = selected(t);
	const char *source;

	if (!may_decide(t)) {
		message(t, "Your role is %s: you may look, not decide", t->role);
		return;
	}
	if (at < 0) {
		message(t, "Nothing is selected: choose one with the arrows");
		return;
	}
	source = out_get(t->row[t->shown[at]].v, "source");
	*out = (struct top_action){TOP_DECIDE, permit, reset, json_array()};
	for (size_t i = 0; i < t->nshown; i++) {
		const struct top_row *row = &t->row[t->shown[i]];

		if ((ptrdiff_t)i == at || (all && !strcmp(out_get(row->v, "source"), source)))
			json_array_append(out->ids, json_object_get(row->v, "id"));
	}
}

static const char *sort_name(enum top_sort s)
{
	static const char *const names[] = {"age", "time left", "source", "destination", "rule"};

	return names[s];
}

static void filter_key(struct top *t, int key)
{
	size_t n = strlen(t->filter);

	if (key == '\r' || key == '\n')
		t->filtering = false;
	else if (key == 0x1b) {
		memcpy(t->filter, t->filter_before, sizeof(t->filter));
		t->filtering = false;
	} else if (key == 0x7f || key == '\b')
		t->filter[n ? n - 1 : 0] = '\0';
	else if (key == ('U' & 0x1f))
		t->filter[0] = '\0';
	else if (key >= 0x20 && key < 0x7f && n < TOP_FILTER) {
		t->filter[n] = (char)key;
		t->filter[n + 1] = '\0';
	}
	arrange(t);
	selection_check(t);
}

static bool move_key(struct top *t, int key, int page)
{
	switch (key) {
	case TOP_UP:
	case 'k':
		move(t, -1, false);
		return true;
	case TOP_DOWN:
	case 'j':
		move(t, 1, false);
		return true;
	case TOP_PAGE_UP:
		move(t, -page, false);
		return true;
	case TOP_PAGE_DOWN:
		move(t, page, false);
		return true;
	case TOP_HOME:
	case 'g':
		move(t, 0, true);
		return true;
	case TOP_END:
	case 'G':
		move(t, (ptrdiff_t)t->nshown - 1, true);
		return true;
	}
	return false;
}

static bool decide_key(struct top *t, int key, struct top_action *out)
{
	switch (key) {
	case 'y':
	case 'Y':
		decide(t, true, false, key == 'Y', out);
		return true;
	case 'n':
	case 'N':
		decide(t, false, false, key == 'N', out);
		return true;
	case 'r':
	case 'R':
		decide(t, false, true, key == 'R', out);
		return true;
	}
	return false;
}

void top_key(struct top *t, int key, int page, struct top_action *out)
{
	*out = (struct top_action){.what = TOP_NOTHING};
	if (t->filtering) {
		filter_key(t, key);
		return;
	}
	if (t->help && key != 'q') { /* any key goes back */
		t->help = false;
		return;
	}
	if (move_key(t, key, page) || decide_key(t, key, out))
		return;
	switch (key) {
	case 'q':
		out->what = TOP_QUIT;
		return;
	case '?':
		t->help = true;
		return;
	case ' ':
		out->what = TOP_REFRESH;
		return;
	case 'd':
		t->decided = !t->decided;
		out->what = TOP_REFRESH;
		return;
	case 'p':
		t->paused = !t->paused;
		out->what = TOP_REFRESH;
		return;
	case 's':
		t->sort = (t->sort + 1) % TOP_SORTS;
		arrange(t);
		message(t, "Sorted by %s", sort_name(t->sort));
		return;
	case '/':
		t->filtering = true;
		memcpy(t->filter_before, t->filter, sizeof(t->filter));
		return;
	}
}

json_t *top_request(struct top_action *a)
{
	json_t *o = json_object();

	json_object_set_new(o, "ids", a->ids);
	json_object_set_new(o, "verdict", json_string(a->permit ? "permit" : "block"));
	if (a->reset)
		json_object_set_new(o, "block", json_string("reset"));
	a->ids = NULL;
	return o;
}
