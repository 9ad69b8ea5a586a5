/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What was decided before: read by the store's thread, a page at a time. */
#include "base/str.h"
#include "core/flow.h"
#include "daemon/control_impl.h"
#include "daemon/control_json.h"
#include "daemon/ids.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PAGE      200u
#define LIMIT     50u /* unless it is asked for more */
#define LIMIT_MAX 1000000u
#define STORE_MS  30000 /* a search through a large history takes a while */

/* ---- a row ---- */

static void set_text(json_t *o, const char *key, const char *text)
{
	if (text && *text)
		json_object_set_new(o, key, cj_text(text));
}

static void set_number(json_t *o, const char *key, int64_t n)
{
	json_object_set_new(o, key, json_integer(n));
}

static void set_end(json_t *o, const char *key, const uint8_t addr[16], uint8_t family,
		    uint16_t port)
{
	char text[FLOW_ADDR_TEXT], name[32];

	set_text(o, key, flow_addr_print(addr, family, text));
	snprintf(name, sizeof(name), "%s_port", key);
	if (port)
		set_number(o, name, port);
}

static json_t *row(const struct store_found *f)
{
	const struct store_event *e = &f->e;
	const char *proto = flow_proto_name(e->protocol);
	char id[IDS_TEXT];
	json_t *o = json_object();

	set_number(o, "number", f->id);
	json_object_set_new(o, "time", cj_wall_time(e->time_ms));
	set_text(o, "id", ids_print(e->context, id));
	if (proto)
		set_text(o, "protocol", proto);
	else
		set_number(o, "protocol", e->protocol);
	set_end(o, "source", e->source, e->family, e->source_port);
	set_end(o, "dest", e->dest, e->family, e->dest_port);
	set_text(o, "interface", e->interface);
	/* one that goes on: its question was answered, and another one followed (lasting_event) */
	set_text(o, "state",
		 e->state == PEND_STATE_COMPLETING ? cj_event_name(PEND_EVENT_ANSWERED)
						   : cj_state_name(e->state));
	set_text(o, "verdict", cj_verdict_name(e->verdict));
	set_text(o, "reason", cj_reason_name(e->reason));
	set_text(o, "by", e->by);
	set_text(o, "why", e->why);
	set_text(o, "authority", e->authority);
	set_number(o, "pended_ms", e->pended_ms);
	set_text(o, "text", e->rule);
	set_text(o, "layer", e->layer);
	set_text(o, "file", e->file);
	if (e->line)
		set_number(o, "line", e->line);
	return o;
}

/* ---- the question ---- */

/* "2h" ago, "2026-01-31T12:00:00Z", or local time: "2026-01-31", "2026-01-31 12:00". -1: it is none of these. */
static int64_t moment(const char *s)
{
	static const char *const formats[] = {"%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S",
					      "%Y-%m-%d %H:%M", "%Y-%m-%d"};
	uint64_t ago;

	if (str_duration(s, &ago) == 0)
		return (int64_t)time(NULL) * 1000 - (int64_t)(ago / MONO_NS_PER_MS);
	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
		struct tm tm = {.tm_isdst = -1};
		const char *end = strptime(s, formats[i], &tm);
		time_t t;

		if (end && !i && *end == '.')
			end += 1 + strspn(end + 1, "0123456789");
		if (!end || strcmp(end, i ? "" : "Z") != 0)
			continue;
		t = i ? mktime(&tm) : timegm(&tm);
		return t < 0 ? -1 : (int64_t)t * 1000;
	}
	return -1;
}

static bool get_moment(struct request *r, const json_t *args, const char *key, int64_t *out)
{
	const json_t *v = json_object_get(args, key);

	if (v && (!json_is_string(v) || (*out = moment(json_string_value(v))) < 0)) {
		request_fail(r, "invalid",
			     "%s is a time, like \"2026-01-31 12:00\" or \"2026-01-31T12:00:00Z\", "
			     "or how long ago, like \"2h\"",
			     key);
		return false;
	}
	return true;
}

static bool get_text(struct request *r, const json_t *args, const char *key, char *out, size_t cap)
{
	const json_t *v = json_object_get(args, key);

	if (v && (!json_is_string(v) || json_string_length(v) >= cap)) {
		request_fail(r, "invalid", "%s is a text of at most %zu bytes", key, cap - 1);
		return false;
	}
	if (v)
		snprintf(out, cap, "%s", json_string_value(v));
	return true;
}

static bool get_source(struct request *r, const json_t *args, struct store_query *q)
{
	const json_t *source = json_object_get(args, "source");
	struct msg_match match;
	struct err e = {0};
	json_t *only;
	bool any;
	int ret;

	if (!source)
		return true;
	only = json_object();
	json_object_set_new(only, "source", json_deep_copy(source));
	ret = cj_match(only, r->control->env.view, &match, &any, &e);
	json_decref(only);
	if (ret < 0) {
		request_fail(r, "invalid", "%s", e.text);
		return false;
	}
	q->family = match.family;
	q->prefix_len = match.prefix_len;
	memcpy(q->source, match.source, sizeof(q->source));
	return true;
}

static bool get_verdict(struct request *r, const json_t *args, struct store_query *q)
{
	const json_t *v = json_object_get(args, "verdict");

	q->verdict = v && json_is_string(v) ? cj_verdict_parse(json_string_value(v)) : -1;
	if (v && q->verdict != PEND_VERDICT_PERMIT && q->verdict != PEND_VERDICT_BLOCK) {
		request_fail(r, "invalid", "verdict is \"permit\" or \"block\"");
		return false;
	}
	return true;
}

static bool get_numbers(struct request *r, const json_t *args)
{
	const json_t *limit = json_object_get(args, "limit"), *from = json_object_get(args, "from");
	json_int_t n = limit ? json_integer_value(limit) : LIMIT;

	if (n < 1 || n > (json_int_t)LIMIT_MAX) {
		request_fail(r, "invalid", "limit is a number from 1 to %u", LIMIT_MAX);
		return false;
	}
	if (from && json_integer_value(from) < 1) {
		request_fail(r, "invalid", "from is the number of a row");
		return false;
	}
	r->limit = (uint64_t)n;
	r->history->before = from ? json_integer_value(from) : 0;
	return true;
}

/* ---- the answer ---- */

static void history_step(struct request *r)
{
	uint64_t left = r->limit - r->count;

	if (request_hold(r))
		return;
	request_wait(r, STORE_MS);
	r->history->limit = left < PAGE ? (uint32_t)left : PAGE;
	if (r->control->env.history(r->control->env.ctx, r->history, request_seq(r, 0)) < 0)
		request_fail(r, "no-memory", "no memory to read the history");
}

void control_found(struct control *c, uint32_t seq, int status, const struct store_found *f,
		   size_t n)
{
	struct request *r = request_find(c, seq);
	json_t *o, *list;

	if (!r || !r->history)
		return;
	if (status) {
		request_fail(r, "system", "the history cannot be read: %s; see 'pendctl status'",
			     strerror(-status));
		return;
	}
	o = json_object();
	list = json_array();
	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, row(&f[i]));
	json_object_set_new(o, "history", list);
	r->count += n;
	if (n)
		r->history->before = f[n - 1].id;
	if (n == r->history->limit && r->count < r->limit) {
		request_part(r, o);
		history_step(r);
		return;
	}
	set_number(o, "count", (int64_t)r->count);
	json_object_set_new(o, "next",
			    n && n == r->history->limit ? json_integer(f[n - 1].id) : json_null());
	request_ok(r, o);
}

static void history_late(struct request *r)
{
	request_fail(r, "timeout", "the history could not be read in %d s", STORE_MS / 1000);
}

void show_history(struct request *r, const json_t *args)
{
	struct store_query *q;

	if (!r->control->env.history) {
		request_fail(r, "unsupported", "no history is kept here");
		return;
	}
	q = r->history = calloc(1, sizeof(*q));
	if (!q) {
		request_fail(r, "no-memory", "no memory to read the history");
		return;
	}
	if (!get_source(r, args, q) || !get_moment(r, args, "since", &q->since_ms) ||
	    !get_moment(r, args, "until", &q->until_ms) ||
	    !get_text(r, args, "rule", q->rule, sizeof(q->rule)) ||
	    !get_text(r, args, "authority", q->authority, sizeof(q->authority)) ||
	    !get_verdict(r, args, q) || !get_numbers(r, args))
		return;
	r->step = history_step;
	r->expired = history_late;
	history_step(r);
}
