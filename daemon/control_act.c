/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The commands that do something: complete, events, reload, check, hookup, stop. */
#include "daemon/control_impl.h"
#include "daemon/control_json.h"
#include "daemon/ids.h"
#include "daemon/log.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HOOK_TEXT_MAX    (512u * 1024)
#define HOOK_DEADLINE_MS 30000 /* iptables may wait for another program's lock */

/* ------------------------------------------------------------------ complete ---- */

static json_t *failed_json(pend_context id, const char *code)
{
	char text[IDS_TEXT];
	json_t *o = json_object();

	json_object_set_new(o, "id", json_string(ids_print(id, text)));
	json_object_set_new(o, "code", json_string(code));
	return o;
}

static json_t *complete_result(struct request *r)
{
	json_t *o = json_object();

	json_object_set_new(o, "completed", json_integer((json_int_t)r->count));
	json_object_set_new(o, "remembered", json_integer((json_int_t)r->remembered));
	json_object_set_new(o, "failed", r->list ? r->list : json_array());
	json_object_set_new(o, "incomplete", json_boolean(r->incomplete));
	r->list = NULL;
	return o;
}

static void complete_synced(struct request *r, int status, const char *error)
{
	char text[ERR_TEXT_MAX];

	if (!status) {
		request_ok(r, complete_result(r));
		return;
	}
	snprintf(text, sizeof(text),
		 "it is decided, but what others are to know ends with the daemon: %s", error);
	request_fail_with(r, "store", text, complete_result(r));
}

/* What holds for others is said to hold when it is written. */
static void complete_finish(struct request *r)
{
	if (r->remembered)
		request_sync(r, complete_synced);
	else
		request_ok(r, complete_result(r));
}

static void complete_failed(struct request *r, pend_context id, const char *code)
{
	if (!r->list)
		r->list = json_array();
	json_array_append_new(r->list, failed_json(id, code));
}

static struct msg complete_msg(const struct request *r, pend_context id)
{
	struct msg m = {.type = MSG_COMPLETE};

	m.u.complete.context = id;
	m.u.complete.verdict = r->verdict;
	m.u.complete.block = r->block;
	m.u.complete.reason = MSG_REASON(REASON_OPERATOR, r->note);
	m.u.complete.lasting = r->lasting;
	return m;
}

/* Sends as many as there is room for; the rest goes when there is. */
static void ids_step(struct request *r)
{
	for (; r->next < r->nids; r->next++) {
		pend_context id = r->ids[r->next];
		struct msg m = complete_msg(r, id);
		int ret = ids_worker(id) < r->control->env.workers
				  ? request_post(r, ids_worker(id), r->next, &m)
				  : -ENOENT;

		if (ret > 0)
			return;
		if (ret < 0)
			complete_failed(r, id, ret == -ENOENT ? "not-found" : "system");
		else
			r->outstanding++;
	}
	if (!r->outstanding)
		complete_finish(r);
}

static void ids_answer(struct request *r, unsigned worker, unsigned index, const struct msg *m,
		       int fd)
{
	(void)fd;
	if (m->type != MSG_DONE || index >= r->next || worker != ids_worker(r->ids[index]) ||
	    !r->outstanding)
		return;
	r->outstanding--;
	if (m->u.done.status == PEND_OK)
		r->count++, r->remembered += m->u.done.remembered;
	else
		complete_failed(r, r->ids[index], cj_status_code(m->u.done.status));
	request_wait(r, CONTROL_DEADLINE_MS);
	if (!r->outstanding && r->next == r->nids)
		complete_finish(r);
}

static void complete_ids(struct request *r, const json_t *ids)
{
	size_t n = json_array_size(ids);

	if (n < 1 || n > CONTROL_IDS_MAX) {
		request_fail(r, "invalid", "ids is an array of 1 to %d ids", CONTROL_IDS_MAX);
		return;
	}
	r->ids = calloc(n, sizeof(*r->ids));
	for (size_t i = 0; r->ids && i < n; i++) {
		const char *s = json_string_value(json_array_get(ids, i));

		if (!s || ids_parse(s, &r->ids[i]) < 0) {
			request_fail(r, "invalid", "\"%.40s\" is not an id", s ? s : "?");
			return;
		}
	}
	r->nids = r->ids ? n : 0;
	r->answer = ids_answer;
	r->step = ids_step;
	ids_step(r);
}

static void match_step(struct request *r)
{
	struct msg m = {.type = MSG_COMPLETE_MATCH, .u.match = r->match};

	for (; r->worker < r->control->env.workers; r->worker++, r->cursor = 0) {
		m.u.match.cursor = r->cursor;
		if (request_post(r, r->worker, r->worker, &m) >= 0)
			return;
		r->incomplete = true;
	}
	complete_finish(r);
}

static void match_answer(struct request *r, unsigned worker, unsigned index, const struct msg *m,
			 int fd)
{
	(void)fd;
	if (m->type != MSG_DONE || worker != r->worker || index != r->worker)
		return;
	if (m->u.done.status != PEND_OK)
		r->incomplete = true;
	r->count += m->u.done.count;
	r->remembered += m->u.done.remembered;
	if (m->u.done.cursor > r->cursor) {
		r->cursor = m->u.done.cursor;
	} else {
		r->cursor = 0;
		r->worker++;
	}
	request_wait(r, CONTROL_DEADLINE_MS);
	match_step(r);
}

static void complete_match(struct request *r, json_t *match, bool all)
{
	const char *unknown = cj_match_unknown(match);
	struct err e = {0};
	bool any;

	if (unknown) {
		request_fail(r, "invalid", "match does not know \"%.40s\"", unknown);
		return;
	}
	if (cj_match(match, r->control->env.view, &r->match, &any, &e) < 0) {
		request_fail(r, "invalid", "%s", e.text);
		return;
	}
	if (any == all) {
		request_fail(r, "invalid",
			     any ? "\"all\" goes without conditions"
				 : "a match without a condition needs \"all\": true");
		return;
	}
	r->match.verdict = r->verdict;
	r->match.block = r->block;
	r->match.reason = MSG_REASON(REASON_OPERATOR, r->note);
	r->match.lasting = r->lasting;
	r->answer = match_answer;
	r->step = match_step;
	match_step(r);
}

/* For how long, for whom, by whom and why; false: the request has failed. */
static bool complete_terms(struct request *r, const json_t *args)
{
	struct notes *notes = r->control->env.notes;
	char why[NOTES_WHY_MAX + 1];
	struct overlay_who who;
	struct err e = {0};

	if (cj_lasting(args, &r->lasting, &e) < 0 || cj_why(args, why, &e) < 0) {
		request_fail(r, "invalid", "%s", e.text);
		return false;
	}
	client_who(r->client, &who);
	if (!*who.user)
		snprintf(who.user, sizeof(who.user), "uid %u", who.uid);
	r->note = notes ? notes_add(notes, who.user, why) : 0;
	return true;
}

void act_complete(struct request *r, const json_t *args)
{
	const char *verdict = json_string_value(json_object_get(args, "verdict"));
	const json_t *block = json_object_get(args, "block");
	json_t *ids = json_object_get(args, "ids"), *match = json_object_get(args, "match");
	bool all = json_is_true(json_object_get(args, "all"));
	int v = verdict ? cj_verdict_parse(verdict) : -1;
	int b = block ? cj_block_parse(json_string_value(block)) : PEND_BLOCK_DROP;

	if (v != PEND_VERDICT_PERMIT && v != PEND_VERDICT_BLOCK)
		request_fail(r, "invalid", "verdict is \"permit\" or \"block\"");
	else if (b < 0 || (block && v != PEND_VERDICT_BLOCK))
		request_fail(
			r, "invalid",
			"block is \"drop\", \"reset\" or \"unreachable\", with verdict \"block\"");
	else if (!json_is_array(ids) == !json_is_object(match) || (ids && (match || all)))
		request_fail(r, "invalid", "either ids, an array, or match, an object");
	else if (complete_terms(r, args)) {
		log_info("control", "uid %u: %s %s", r->client->uid, verdict,
			 ids ? "by id" : "by match");
		r->verdict = (uint8_t)v;
		r->block = (uint8_t)b;
		if (ids)
			complete_ids(r, ids);
		else
			complete_match(r, match, all);
	}
}

/* -------------------------------------------------------------------- events ---- */

/* The last `n` of these, oldest first. */
static json_t *events_last(const struct request *r, uint64_t n, const struct event_match *m)
{
	const struct events *ring = r->control->env.events;
	const struct view *v = r->control->env.view;
	uint64_t seq = events_count(ring), found = 0;
	const struct event *e;
	json_t *a = json_array();

	for (; found < n && (e = events_at(ring, seq)); seq--)
		found += event_match(m, e, v);
	while (found && (e = events_at(ring, ++seq)))
		if (event_match(m, e, v))
			json_array_append_new(a, event_json(e, v));
	return a;
}

void act_events(struct request *r, const json_t *args)
{
	const json_t *last = json_object_get(args, "last");
	struct control_client *cc = r->client;
	struct event_match m;
	struct err e = {0};
	json_t *o;

	if (last && (!json_is_integer(last) || json_integer_value(last) < 0)) {
		request_fail(r, "invalid", "last is a number");
		return;
	}
	if (event_match_parse(&m, json_object_get(args, "types"), json_object_get(args, "match"),
			      r->control->env.view, &e) < 0) {
		request_fail(r, e.code == -ENOMEM ? "no-memory" : "invalid", "%s", e.text);
		return;
	}
	o = json_object();
	json_object_set_new(o, "events",
			    events_last(r, last ? (uint64_t)json_integer_value(last) : 50, &m));
	json_object_set_new(o, "kept", json_integer(EVENTS_KEPT));
	control_follow(cc, json_is_true(json_object_get(args, "follow")) ? &m : NULL);
	event_match_deinit(&m);
	request_ok(r, o);
}

/* ------------------------------------------------------------- reload, check ---- */

json_t *reload_json(const struct reload_result *res)
{
	json_t *o = json_object(), *lines = json_array();
	const char *p = res->diagnostics, *nl;

	for (; *p; p = *nl ? nl + 1 : nl) {
		char *line;

		nl = strchrnul(p, '\n');
		line = strndup(p, (size_t)(nl - p));
		if (line)
			json_array_append_new(lines, cj_text(line));
		free(line);
	}
	json_object_set_new(o, "diagnostics", lines);
	json_object_set_new(o, "errors", json_integer(res->errors));
	json_object_set_new(o, "warnings", json_integer(res->warnings));
	if (*res->restart)
		json_object_set_new(o, "needs_restart", cj_text(res->restart));
	if (res->generation)
		json_object_set_new(o, "generation", json_integer(res->generation));
	return o;
}

void act_reloaded(struct request *r, const struct reload_result *res)
{
	json_t *o = reload_json(res);

	if (res->status == 0 && res->candidate)
		dry_begin(r, res, o);
	else if (res->status == 0)
		request_ok(r, o);
	else
		request_fail_with(r, reload_code(res), res->text, o);
}

static void reload_begin(struct request *r, enum reload_kind kind, const char *text, size_t len)
{
	const struct control_env *env = &r->control->env;
	int ret;

	/* parsing is bounded by the size of the policy, not by a clock; the answer to it is */
	loop_timer_cancel(env->loop, &r->deadline);
	ret = env->reload(env->ctx, kind, text, len, request_seq(r, 0));
	if (ret == -EBUSY)
		request_fail(r, "busy", "another reload or check is in progress");
	else if (ret < 0)
		request_fail(r, "system", "cannot start: %s", strerror(-ret));
}

void act_reload(struct request *r, const json_t *args)
{
	const json_t *dry = json_object_get(args, "dry_run");

	if (dry && !json_is_boolean(dry))
		request_fail(r, "invalid", "dry_run is true or false");
	else if (json_is_true(dry))
		reload_begin(r, RELOAD_DRY, NULL, 0);
	else if (!request_denied(r, ROLE_ADMIN))
		reload_begin(r, RELOAD_LOAD, NULL, 0);
}

void act_check(struct request *r, const json_t *args)
{
	const json_t *policy = json_object_get(args, "policy");

	if (policy && !json_is_string(policy))
		request_fail(r, "invalid", "policy is the text to check");
	else
		reload_begin(r, RELOAD_CHECK, json_string_value(policy),
			     policy ? json_string_length(policy) : 0);
}

/* -------------------------------------------------------------- hookup, stop ---- */

/* The rules as lines, so that a terminal gets nothing but what is printable in each. */
static json_t *text_lines(char *text)
{
	json_t *a = json_array();
	char *save = NULL;

	for (char *p = strtok_r(text, "\n", &save); p; p = strtok_r(NULL, "\n", &save)) {
		for (char *t = p; *t; t++)
			if (*t == '\t')
				*t = ' ';
		json_array_append_new(a, cj_text(p));
	}
	return a;
}

static json_t *fd_lines(int fd)
{
	struct stat st;
	size_t size, got = 0;
	json_t *a;
	char *text;

	if (fd < 0 || fstat(fd, &st) < 0 || st.st_size < 0)
		return NULL;
	size = (size_t)st.st_size < HOOK_TEXT_MAX ? (size_t)st.st_size : HOOK_TEXT_MAX;
	text = malloc(size + 1);
	if (!text)
		return NULL;
	while (got < size) {
		ssize_t n = pread(fd, text + got, size - got, (off_t)got);

		if (n <= 0)
			break;
		got += (size_t)n;
	}
	text[got] = '\0';
	a = text_lines(text);
	free(text);
	return a;
}

static void hookup_answer(struct request *r, unsigned worker, unsigned index, const struct msg *m,
			  int fd)
{
	const char *code = cj_status_code(m->u.hook.status);
	char text[sizeof(m->u.hook.text) + 1] = {0};
	json_t *o, *rules;

	(void)index;
	if (worker != MSG_MAIN || m->type != MSG_HOOK_RESULT)
		return;
	memcpy(text, m->u.hook.text, sizeof(m->u.hook.text));
	if (m->u.hook.status != PEND_OK) {
		request_fail(r, strcmp(code, "not-found") ? code : "missing", "%s",
			     *text ? text : "the kernel rules could not be changed or read");
		return;
	}
	o = json_object();
	json_object_set_new(o, "text", cj_text(text));
	rules = fd_lines(fd);
	if (rules)
		json_object_set_new(o, "rules", rules);
	request_ok(r, o);
}

void act_hookup(struct request *r, const json_t *args)
{
	static const struct {
		const char *name;
		enum msg_hook_op op;
		enum role need;
	} actions[] = {
		{"print", HOOK_PRINT, ROLE_OBSERVE},
		{"verify", HOOK_VERIFY, ROLE_OBSERVE},
		{"install", HOOK_INSTALL, ROLE_ADMIN},
		{"remove", HOOK_REMOVE, ROLE_ADMIN},
	};
	const char *action = json_string_value(json_object_get(args, "action"));
	struct msg m = {.type = MSG_HOOK};

	for (size_t i = 0; action && i < sizeof(actions) / sizeof(actions[0]); i++) {
		if (strcmp(actions[i].name, action) != 0)
			continue;
		if (request_denied(r, actions[i].need))
			return;
		m.u.hook.op = actions[i].op;
		r->answer = hookup_answer;
		request_wait(r, HOOK_DEADLINE_MS);
		if (request_post(r, MSG_MAIN, 0, &m) != 0)
			request_fail(r, "system", "the verdict process does not take requests");
		return;
	}
	request_fail(r, "invalid", "action is \"print\", \"verify\", \"install\" or \"remove\"");
}

void act_stop(struct request *r, const json_t *args)
{
	struct msg m = {.type = MSG_STOP};

	(void)args;
	if (request_post(r, MSG_MAIN, 0, &m) != 0)
		request_fail(r, "system", "the verdict process does not take requests");
	else
		request_ok(r, json_object());
}
