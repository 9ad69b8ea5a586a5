/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What waits, what is asked, and what keys mean; see interview.h. */
#include "cli/interview.h"
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ID(row) out_get((row)->v, "id")

void interview_init(struct interview *a)
{
	*a = (struct interview){.past = json_array(), .generation = -1};
}

static void rows_free(struct interview_row *row, size_t n)
{
	for (size_t i = 0; i < n; i++)
		json_decref(row[i].v);
	free(row);
}

static void found_forget(struct interview *a)
{
	a->have_listener = a->have_name = a->have_target = a->late = false;
	a->country[0] = '\0';
	json_decref(a->decisions);
	json_decref(a->history);
	a->decisions = a->history = NULL;
}

void interview_deinit(struct interview *a)
{
	rows_free(a->row, a->n);
	found_forget(a);
	json_decref(a->rules);
	json_decref(a->past);
	*a = (struct interview){0};
}

static struct interview_row *find(const struct interview *a, const char *id)
{
	for (size_t i = 0; *id && i < a->n; i++)
		if (strcmp(ID(&a->row[i]), id) == 0)
			return &a->row[i];
	return NULL;
}

const struct interview_row *interview_current(const struct interview *a)
{
	return find(a, a->current);
}

static int by_id(const void *x, const void *y)
{
	const struct interview_row *a = x, *b = y;

	return strcmp(ID(a), ID(b));
}

static int by_age(const void *x, const void *y)
{
	const struct interview_row *a = x, *b = y;

	/* the list's times are a little different each time: ids keep the order of equals */
	if (a->since / 100 != b->since / 100)
		return a->since < b->since ? -1 : 1;
	return strcmp(ID(a), ID(b));
}

/* What was known of a connection stays known. */
static void inherit(struct interview_row *row, size_t n, struct interview_row *old, size_t nold)
{
	if (nold)
		qsort(old, nold, sizeof(*old), by_id);
	for (size_t i = 0; i < n; i++) {
		const struct interview_row *o =
			nold ? bsearch(&row[i], old, nold, sizeof(*old), by_id) : NULL;

		if (!o)
			continue;
		row[i].skipped = o->skipped;
		row[i].sent = o->sent;
		row[i].quiet = o->quiet;
		row[i].since = o->since;
	}
}

/* A time that can be added to a clock, whatever was sent. */
static int64_t span(const json_t *v, const char *key)
{
	long long ms = out_int(v, key);

	return ms < 0 ? 0 : ms > INT32_MAX * 1000ll ? INT32_MAX * 1000ll : ms;
}

/* Its event says what became of it, to somebody who has seen it. */
static bool is_told(const struct interview *a, const struct interview_row *row)
{
	return !row->quiet && (row->skipped || row->sent || strcmp(ID(row), a->current) == 0);
}

/* A list may come before the events of what it does not have any more. `row` is sorted by id. */
static void owe(struct interview *a, const struct interview_row *row, size_t n)
{
	for (size_t i = 0; i < a->n; i++) {
		if (!is_told(a, &a->row[i]) ||
		    (n && bsearch(&a->row[i], row, n, sizeof(*row), by_id)))
			continue;
		snprintf(a->owed[a->owed_next++ % ASK_OWED], ASK_ID, "%s", ID(&a->row[i]));
	}
}

static bool owed(struct interview *a, const char *id)
{
	for (unsigned i = 0; i < ASK_OWED; i++) {
		if (!*id || strcmp(a->owed[i], id) != 0)
			continue;
		a->owed[i][0] = '\0';
		return true;
	}
	return false;
}

void interview_listed(struct interview *a, const json_t *pending, bool more, int64_t now)
{
	size_t n = json_array_size(pending), i;
	struct interview_row *row = calloc(n + 1, sizeof(*row));
	json_t *v;

	if (!row)
		return;
	json_array_foreach(pending, i, v)
	{
		row[i].v = json_incref(v);
		row[i].since = now - span(v, "age_ms");
		row[i].until = now + span(v, "remaining_ms");
	}
	inherit(row, n, a->row, a->n);
	if (n)
		qsort(row, n, sizeof(*row), by_id);
	owe(a, row, n);
	if (n)
		qsort(row, n, sizeof(*row), by_age);
	rows_free(a->row, a->n);
	a->row = row;
	a->n = n;
	a->more = more;
}

static void drop(struct interview *a, struct interview_row *row)
{
	json_decref(row->v);
	memmove(row, row + 1, (size_t)(a->row + a->n - row - 1) * sizeof(*row));
	a->n--;
}

bool interview_ended(struct interview *a, const json_t *event)
{
	struct interview_row *row = find(a, out_get(event, "id"));
	bool told = row ? is_told(a, row) : owed(a, out_get(event, "id"));

	if (json_array_size(a->past) >= ASK_PAST)
		json_array_remove(a->past, 0);
	json_array_append_new(a->past, json_deep_copy(event));
	if (row && strcmp(ID(row), a->current) == 0) {
		a->current[0] = '\0';
		a->editing = false;
	}
	if (row)
		drop(a, row);
	return told;
}

void interview_history(struct interview *a, const json_t *result)
{
	json_decref(a->history);
	a->history = json_incref(json_object_get(result, "history"));
}

void interview_rules(struct interview *a, const json_t *result)
{
	json_decref(a->rules);
	a->rules = json_incref(json_object_get(result, "rules"));
	a->generation = out_int(result, "generation");
}

bool interview_waits(struct interview *a)
{
	if (interview_current(a))
		return true;
	a->current[0] = '\0';
	a->editing = false;
	return false;
}

bool interview_next(struct interview *a, int64_t now)
{
	if (interview_waits(a))
		return false;
	for (size_t i = 0; i < a->n; i++) {
		if (a->row[i].skipped || a->row[i].sent)
			continue;
		snprintf(a->current, sizeof(a->current), "%s", ID(&a->row[i]));
		a->shown = now;
		a->hold = ASK_BY_RULE;
		a->why[0] = '\0';
		found_forget(a);
		return true;
	}
	return false;
}

size_t interview_skipped(const struct interview *a)
{
	size_t n = 0;

	for (size_t i = 0; i < a->n; i++)
		n += a->row[i].skipped;
	return n;
}

static bool same_source(const struct interview_row *a, const struct interview_row *b)
{
	return strcmp(out_get(a->v, "source"), out_get(b->v, "source")) == 0;
}

size_t interview_others(const struct interview *a)
{
	const struct interview_row *row = interview_current(a);
	size_t n = 0;

	for (size_t i = 0; row && i < a->n; i++)
		n += &a->row[i] != row && !a->row[i].sent && same_source(&a->row[i], row);
	return n;
}

bool interview_question(const struct interview *a, bool names, struct lookup_question *q)
{
	const struct interview_row *row = interview_current(a);
	const char *proto = row ? out_get(row->v, "protocol") : "";

	*q = (struct lookup_question){.names = names};
	if (!row)
		return false;
	q->family = strchr(out_get(row->v, "source"), ':') ? 6 : 4;
	q->proto = !strcmp(proto, "tcp") ? 6 : !strcmp(proto, "udp") ? 17 : 0;
	q->port = (uint16_t)out_int(row->v, "dest_port");
	return inet_pton(q->family == 6 ? AF_INET6 : AF_INET, out_get(row->v, "source"),
			 q->source) == 1 &&
	       inet_pton(q->family == 6 ? AF_INET6 : AF_INET, out_get(row->v, "dest"), q->dest) ==
		       1;
}

/* -------------------------------------------------------------------- the keys ---- */

static void send_id(struct interview_row *row, bool quiet, json_t *ids)
{
	json_array_append(ids, json_object_get(row->v, "id"));
	row->quiet = quiet;
	row->sent = true;
	row->skipped = false;
}

/* The question's id, and for all of its source those that are shown to wait: as many as fit, the rest is asked about. */
static void decide(struct interview *a, bool permit, bool reset, bool all,
		   struct interview_action *out)
{
	struct interview_row *row = find(a, a->current);
	bool many = all && interview_others(a) >= ASK_MANY;
	size_t bytes = strlen(a->current) + 3;

	*out = (struct interview_action){ASK_DECIDE, permit, reset, all, json_array()};
	send_id(row, many, out->ids);
	for (size_t i = 0; all && i < a->n && json_array_size(out->ids) < ASK_IDS; i++) {
		struct interview_row *r = &a->row[i];

		if (r->sent || !same_source(r, row))
			continue;
		bytes += strlen(ID(r)) + 3; /* quotes and a comma */
		if (bytes > ASK_BYTES)
			break;
		send_id(r, many, out->ids);
	}
	a->current[0] = '\0';
}

static void hold(struct interview *a, enum interview_hold h, struct interview_action *out)
{
	a->hold = a->hold == h ? ASK_BY_RULE : h;
	out->what = ASK_REDRAW;
}

static void edit_begin(struct interview *a, struct interview_action *out)
{
	a->editing = true;
	memcpy(a->before, a->why, sizeof(a->before));
	out->what = ASK_REDRAW;
}

static void erase(char *s)
{
	size_t n = strlen(s);

	while (n && ((unsigned char)s[n - 1] & 0xc0) == 0x80)
		n--;
	s[n ? n - 1 : 0] = '\0';
}

/* Only what is text stays; a character that is cut at the end is none. */
static void edit_end(struct interview *a)
{
	json_t *text;

	out_clean(a->why);
	text = json_string(a->why);
	if (!text)
		memcpy(a->why, a->before, sizeof(a->why));
	json_decref(text);
	a->editing = false;
}

static void edit(struct interview *a, int key, struct interview_action *out)
{
	size_t n = strlen(a->why);

	out->what = ASK_REDRAW;
	switch (key) {
	case '\r':
	case '\n':
		edit_end(a);
		return;
	case 0x1b: /* ESC: as it was */
		memcpy(a->why, a->before, sizeof(a->why));
		a->editing = false;
		return;
	case 0x7f:
	case '\b':
		erase(a->why);
		return;
	case 'U' & 0x1f:
		a->why[0] = '\0';
		return;
	}
	if (key < 0x20 || n >= ASK_WHY)
		return;
	a->why[n] = (char)key;
	a->why[n + 1] = '\0';
}

static void back(struct interview *a, struct interview_action *out)
{
	for (size_t i = 0; i < a->n; i++)
		a->row[i].skipped = false;
	out->what = ASK_AGAIN;
}

/* Keys that are about the question. */
static void question_key(struct interview *a, int key, struct interview_action *out)
{
	switch (key) {
	case 'y':
	case 'Y':
		decide(a, true, false, key == 'Y', out);
		return;
	case 'n':
	case 'N':
		decide(a, false, false, key == 'N', out);
		return;
	case 'r':
	case 'R':
		decide(a, false, true, key == 'R', out);
		return;
	case '1':
		hold(a, ASK_ONCE, out);
		return;
	case 'h':
		hold(a, ASK_HOUR, out);
		return;
	case 'd':
		hold(a, ASK_DAY, out);
		return;
	case 'f':
		hold(a, ASK_FOREVER, out);
		return;
	case 'w':
		edit_begin(a, out);
		return;
	case 'i':
		out->what = ASK_DETAILS;
		return;
	case 's':
		find(a, a->current)->skipped = true;
		a->current[0] = '\0';
		out->what = ASK_AGAIN;
		return;
	}
}

void interview_key(struct interview *a, int key, int64_t now, struct interview_action *out)
{
	*out = (struct interview_action){.what = ASK_NOTHING};
	if (a->editing && interview_waits(a)) {
		edit(a, key, out);
		return;
	}
	switch (key) {
	case 'q':
	case 'D' & 0x1f:
		out->what = ASK_QUIT;
		return;
	case '?':
		out->what = ASK_HELP;
		return;
	case 'b':
		back(a, out);
		return;
	}
	if (interview_waits(a) && now - a->shown >= ASK_SETTLE)
		question_key(a, key, out);
}

json_t *interview_request(struct interview *a, struct interview_action *action)
{
	static const char *const holds[] = {
		[ASK_HOUR] = "1h", [ASK_DAY] = "1d", [ASK_FOREVER] = "365d"};
	json_t *o = json_object();

	json_object_set_new(o, "ids", action->ids);
	json_object_set_new(o, "verdict", json_string(action->permit ? "permit" : "block"));
	if (action->reset)
		json_object_set_new(o, "block", json_string("reset"));
	if (a->hold == ASK_ONCE)
		json_object_set_new(o, "remember", json_false());
	else if (a->hold != ASK_BY_RULE)
		json_object_set_new(o, "remember", json_string(holds[a->hold]));
	if (action->all && a->hold != ASK_BY_RULE && a->hold != ASK_ONCE)
		json_object_set_new(o, "scope", json_string("source"));
	if (*a->why)
		json_object_set_new(o, "why", json_string(a->why));
	action->ids = NULL;
	return o;
}

void interview_refused(struct interview *a)
{
	for (size_t i = 0; i < a->n; i++)
		a->row[i].sent = a->row[i].quiet = false;
}
