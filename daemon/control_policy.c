/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Changes of rules while the daemon runs: policy, objects, journal; and what `set` shares with them. */
#include "daemon/control_policy.h"
#include "base/str.h"
#include "daemon/control_json.h"
#include <errno.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PART_BYTES  32768 /* of text in one part of a long answer */
#define FOR_MAX_S   (10ull * 365 * 24 * 3600)
#define UNTIL_MAX_S 253402300800 /* the year 10000 */

static void set_int(json_t *o, const char *key, uint64_t v)
{
	json_object_set_new(o, key, json_integer((json_int_t)v));
}

/* ----------------------------------------------------------------------- terms ---- */

/* Read by hand: what getpwuid() asks may take more than this process may do. */
static void user_name(uint32_t uid, char *to, size_t size)
{
	FILE *f = fopen("/etc/passwd", "re");
	const struct passwd *p;

	to[0] = '\0';
	while (f && (p = fgetpwent(f))) {
		if (p->pw_uid != uid)
			continue;
		str_sanitize(p->pw_name, to, size);
		break;
	}
	if (f)
		fclose(f);
}

void client_who(const struct control_client *cc, struct overlay_who *out)
{
	*out = (struct overlay_who){.uid = cc->uid, .pid = cc->pid};
	user_name(cc->uid, out->user, sizeof(out->user));
}

static uint64_t wall_s(void)
{
	return (uint64_t)time(NULL);
}

/* "2026-12-24 18:00", or with seconds: local time. 0: it is no such time. */
static uint64_t until_parse(const char *s)
{
	struct tm tm = {.tm_isdst = -1};
	const char *end = strptime(s, "%Y-%m-%d %H:%M", &tm);
	time_t t;

	if (end && *end == ':')
		end = strptime(end, ":%S", &tm);
	if (!end || *end)
		return 0;
	t = mktime(&tm);
	return t > 0 ? (uint64_t)t : 0;
}

/* Seconds since 1970 too, for programs: the same end whenever, and wherever, it is said. */
static uint64_t until_of(const json_t *until)
{
	json_int_t n = json_integer_value(until);
	const char *s = json_string_value(until);

	if (json_is_integer(until))
		return n > 0 && n < UNTIL_MAX_S ? (uint64_t)n : 0;
	return s ? until_parse(s) : 0;
}

static bool terms_end(struct request *r, const json_t *args, struct overlay_terms *t)
{
	const json_t *until = json_object_get(args, "until"), *dur = json_object_get(args, "for");
	const char *d = json_string_value(dur);
	uint64_t ns = 0;

	if (until && dur)
		request_fail(r, "invalid", "either \"until\" or \"for\"");
	else if (until && !(t->until = until_of(until)))
		request_fail(r, "invalid",
			     "until is a time like \"2026-12-24 18:00\", or seconds since 1970");
	else if (until && t->until <= t->since)
		request_fail(r, "invalid", "until: this is past");
	else if (dur && (!d || str_duration(d, &ns) < 0 || ns < MONO_NS_PER_S ||
			 ns / MONO_NS_PER_S > FOR_MAX_S))
		request_fail(r, "invalid", "for is a time from 1s to 3650d, like \"1h30m\"");
	else {
		if (dur)
			t->until = t->since + ns / MONO_NS_PER_S;
		return true;
	}
	return false;
}

bool control_terms(struct request *r, const json_t *args, struct overlay_terms *t)
{
	const json_t *why = json_object_get(args, "why"), *stay = json_object_get(args, "stay");
	const char *w = json_string_value(why);
	char clean[4 * OVERLAY_WHY_MAX + 1];

	*t = (struct overlay_terms){.since = wall_s()};
	client_who(r->client, &t->who);
	if (why && (!w || json_string_length(why) > OVERLAY_WHY_MAX)) {
		request_fail(r, "invalid", "why is a text of at most %u bytes", OVERLAY_WHY_MAX);
		return false;
	}
	if (w) {
		str_sanitize(w, clean, sizeof(clean));
		if (strcmp(w, clean) != 0) {
			request_fail(r, "invalid", "why is a text of printable characters");
			return false;
		}
		snprintf(t->why, sizeof(t->why), "%s", w);
	}
	if (stay && !json_is_boolean(stay)) {
		request_fail(r, "invalid", "stay is true or false");
		return false;
	}
	if (!json_is_true(stay))
		t->session = r->client->session;
	return terms_end(r, args, t);
}

/* ----------------------------------------------------------------------- changes ---- */

/* Takes it. Nothing more is done with the request here. */
void control_change(struct request *r, struct amend *ch)
{
	const struct control_env *env = &r->control->env;
	int ret = env->change ? 0 : -ENOSYS;

	ch->seq = request_seq(r, 0);
	if (ret == 0) {
		/* what takes long is bounded by the policy's size, and nothing is done twice */
		loop_timer_cancel(env->loop, &r->deadline);
		if (ch->terms.session)
			r->client->own_changes = true;
		ret = env->change(env->ctx, ch);
	}
	if (ret == 0)
		return;
	amend_free(ch);
	if (ret == -EBUSY)
		request_fail(r, "busy", "%u changes wait already", CHANGES_WAITING);
	else
		request_fail(r, "system", "the policy cannot be changed: %s", strerror(-ret));
}

static bool change_fail(struct request *r, size_t n, const char *text)
{
	request_fail(r, "invalid", "change %zu: %s", n, text);
	return false;
}

static const char *change_unknown(json_t *o, const char *allowed)
{
	const char *key;
	json_t *value;
	char word[40];

	json_object_foreach(o, key, value)
	{
		snprintf(word, sizeof(word), " %.30s ", key);
		if (strlen(key) > 30 || strchr(key, ' ') || !strstr(allowed, word))
			return key;
	}
	return NULL;
}

static bool step_text(struct request *r, size_t n, struct amend_step *s, const json_t *text)
{
	const char *t = json_string_value(text);

	if (!t || strlen(t) != json_string_length(text))
		return change_fail(r, n, "a rule is a text");
	s->text = strdup(t);
	return s->text ? true : change_fail(r, n, "no memory");
}

static bool step_number(struct request *r, size_t n, struct amend_step *s, const json_t *number)
{
	json_int_t v = json_integer_value(number);

	if (!json_is_integer(number) || v < 1 || v > UINT32_MAX)
		return change_fail(r, n, "an object is named by its number");
	s->number = (uint32_t)v;
	return true;
}

static bool step_add(struct request *r, size_t n, struct amend_step *s, const json_t *o)
{
	const json_t *layer = json_object_get(o, "layer"), *at = json_object_get(o, "at");
	const char *l = json_string_value(layer), *a = json_string_value(at);

	if (layer && (!l || !*l || strlen(l) >= sizeof(s->layer)))
		return change_fail(r, n, "layer is the name of a layer");
	if (at && (!a || (strcmp(a, "first") != 0 && strcmp(a, "last") != 0)))
		return change_fail(r, n, "at is \"first\" or \"last\"");
	snprintf(s->layer, sizeof(s->layer), "%s", l ? l : "");
	s->last = a && !strcmp(a, "last");
	s->op = STEP_ADD;
	return step_text(r, n, s, json_object_get(o, "add"));
}

static bool step_parse(struct request *r, size_t n, struct amend_step *s, json_t *o)
{
	const json_t *add = json_object_get(o, "add"), *del = json_object_get(o, "delete"),
		     *rep = json_object_get(o, "replace");
	const char *unknown;

	if (!json_is_object(o) || !!add + !!del + !!rep != 1)
		return change_fail(r, n, "one of \"add\", \"delete\" and \"replace\"");
	unknown = change_unknown(o, add ? " add layer at " : del ? " delete " : " replace with ");
	if (unknown) {
		request_fail(r, "invalid", "change %zu: \"%.30s\" does not belong here", n,
			     unknown);
		return false;
	}
	if (add)
		return step_add(r, n, s, o);
	s->op = del ? STEP_DELETE : STEP_REPLACE;
	return step_number(r, n, s, del ? del : rep) &&
	       (del || step_text(r, n, s, json_object_get(o, "with")));
}

static bool steps_parse(struct request *r, struct amend *ch, const json_t *changes)
{
	size_t n = json_array_size(changes);

	if (n < 1 || n > CHANGES_STEPS) {
		request_fail(r, "invalid", "changes is an array of 1 to %u", CHANGES_STEPS);
		return false;
	}
	ch->step = calloc(n, sizeof(*ch->step));
	if (!ch->step) {
		request_fail(r, "no-memory", "no memory");
		return false;
	}
	while (ch->steps < n) {
		size_t i = ch->steps++;

		if (!step_parse(r, i + 1, &ch->step[i], json_array_get(changes, i)))
			return false;
	}
	return true;
}

void act_policy(struct request *r, const json_t *args)
{
	struct amend *ch = amend_new(AMEND_POLICY);

	if (!ch)
		request_fail(r, "no-memory", "no memory");
	else if (control_terms(r, args, &ch->terms) &&
		 steps_parse(r, ch, json_object_get(args, "changes"))) {
		control_change(r, ch);
		return;
	}
	amend_free(ch);
}

static json_t *changed_json(const struct amend *ch, const struct amend_result *res)
{
	json_t *o = res->reload ? reload_json(res->reload) : json_object(), *a;

	set_int(o, "generation", res->generation);
	set_int(o, "revision", res->revision);
	if (ch->kind != AMEND_POLICY)
		return o;
	if (!res->reload) {
		json_object_set_new(o, "diagnostics", json_array());
		set_int(o, "errors", 0);
		set_int(o, "warnings", 0);
	}
	a = json_array();
	for (size_t i = 0; !res->code && i < ch->objects; i++)
		json_array_append_new(a, json_integer(ch->object[i]));
	json_object_set_new(o, "objects", a);
	return o;
}

static void set_synced(struct request *r, int status, const char *error)
{
	json_t *o = r->result;
	char text[ERR_TEXT_MAX];

	r->result = NULL;
	if (!status) {
		request_ok(r, o);
		return;
	}
	snprintf(text, sizeof(text), "it is in force, but ends with the daemon: %s", error);
	request_fail_with(r, "store", text, o);
}

void act_changed(struct request *r, const struct amend *ch, const struct amend_result *res)
{
	json_t *o = changed_json(ch, res);

	if (res->code) {
		request_fail_with(r, res->code, res->text, o);
		return;
	}
	if (ch->kind == AMEND_SET)
		set_result(r, ch, o);
	if (ch->kind != AMEND_SET || ch->terms.session) {
		request_ok(r, o);
		return;
	}
	json_decref(r->result);
	r->result = o;
	request_sync(r, set_synced);
}

/* --------------------------------------------------------------------- objects ---- */

json_t *control_wall(uint64_t ms)
{
	time_t t = (time_t)(ms / 1000);
	struct tm tm;
	char day[32], text[48];

	if (!gmtime_r(&t, &tm))
		return json_null();
	strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text, sizeof(text), "%s.%03uZ", day, (unsigned)(ms % 1000));
	return json_string(text);
}

static json_t *text_or_null(const char *s)
{
	return *s ? cj_text(s) : json_null();
}

static json_t *object_json(const struct overlay_object *b)
{
	const struct overlay_terms *t = &b->terms;
	json_t *o = json_object();

	set_int(o, "object", b->number);
	json_object_set_new(o, "layer", text_or_null(b->layer));
	json_object_set_new(o, "at", json_string(b->last ? "last" : "first"));
	json_object_set_new(o, "text", cj_text(b->text));
	json_object_set_new(o, "stay", json_boolean(!t->session));
	json_object_set_new(o, "user", text_or_null(t->who.user));
	set_int(o, "uid", t->who.uid);
	json_object_set_new(o, "why", text_or_null(t->why));
	json_object_set_new(o, "since", control_wall(t->since * 1000));
	json_object_set_new(o, "until", t->until ? control_wall(t->until * 1000) : json_null());
	return o;
}

static json_t *changed_set_json(const struct overlay_set *s)
{
	size_t added = s->added.n;
	json_t *o = json_object();

	for (size_t i = 0; i < s->leases; i++)
		added += s->lease[i].spans.n;
	json_object_set_new(o, "set", cj_text(s->name));
	set_int(o, "added", added);
	set_int(o, "removed", s->removed.n);
	json_object_set_new(o, "replaced", json_boolean(s->replaced));
	return o;
}

/* Behind the object that was told last; what comes or goes meanwhile may be told or not. */
static void objects_step(struct request *r)
{
	const struct overlay *v = r->control->env.overlay(r->control->env.ctx);
	size_t i = 0, bytes = 0;
	json_t *o;

	while (i < v->objects && v->object[i]->number <= r->cursor)
		i++;
	for (;;) {
		json_t *list = json_array();

		for (bytes = 0; i < v->objects && bytes < PART_BYTES; i++, r->count++) {
			json_array_append_new(list, object_json(v->object[i]));
			bytes += 300 + strlen(v->object[i]->text);
			r->cursor = v->object[i]->number;
		}
		o = json_pack("{s:o}", "objects", list);
		if (i == v->objects)
			break;
		request_part(r, o);
		if (request_hold(r))
			return;
	}
	json_object_set_new(o, "sets", json_array());
	for (i = 0; i < v->sets; i++)
		json_array_append_new(json_object_get(o, "sets"), changed_set_json(v->set[i]));
	set_int(o, "count", r->count);
	request_ok(r, o);
}

void show_objects(struct request *r, const json_t *args)
{
	(void)args;
	if (!r->control->env.overlay) {
		request_fail(r, "unsupported", "nothing is changed here");
		return;
	}
	r->step = objects_step;
	objects_step(r);
}

/* --------------------------------------------------------------------- journal ---- */

static json_t *entry_json(const struct journal_entry *e)
{
	json_t *o = json_object();

	set_int(o, "number", e->number);
	json_object_set_new(o, "time", control_wall(e->time_ms));
	set_int(o, "generation", e->generation);
	set_int(o, "revision", e->revision);
	json_object_set_new(o, "kind", json_string(journal_kind_name(e->kind)));
	json_object_set_new(o, "user", text_or_null(e->who.user));
	json_object_set_new(o, "uid", e->who.pid ? json_integer(e->who.uid) : json_null());
	json_object_set_new(o, "pid", e->who.pid ? json_integer(e->who.pid) : json_null());
	json_object_set_new(o, "what", cj_text(e->what));
	json_object_set_new(o, "why", text_or_null(e->why));
	json_object_set_new(o, "status", cj_text(e->status));
	return o;
}

/* r->shown: the next one; r->limit: the last. */
static void journal_step(struct request *r)
{
	const struct journal *j = r->control->env.journal;

	for (;;) {
		json_t *list = json_array(), *o = json_pack("{s:o}", "journal", list);

		for (int i = 0; i < 50 && r->shown <= r->limit; i++, r->shown++) {
			const struct journal_entry *e = journal_at(j, r->shown);

			if (e && json_array_append_new(list, entry_json(e)) == 0)
				r->count++;
		}
		if (r->shown > r->limit) {
			set_int(o, "count", r->count);
			request_ok(r, o);
			return;
		}
		request_part(r, o);
		if (request_hold(r))
			return;
	}
}

void show_journal(struct request *r, const json_t *args)
{
	const struct journal *j = r->control->env.journal;
	const json_t *last = json_object_get(args, "last");
	json_int_t n = last ? json_integer_value(last) : 50;

	if (!j) {
		request_fail(r, "unsupported", "there is no journal here");
		return;
	}
	if (last && (!json_is_integer(last) || n < 0)) {
		request_fail(r, "invalid", "last is a number");
		return;
	}
	n = n > (json_int_t)JOURNAL_KEPT ? (json_int_t)JOURNAL_KEPT : n;
	r->limit = journal_count(j);
	r->shown = r->limit > (uint64_t)n ? r->limit - (uint64_t)n + 1 : 1;
	r->step = journal_step;
	journal_step(r);
}
