/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Clients and the life of requests; see control.h. */
#include "daemon/control_impl.h"
#include "daemon/control_json.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A sequence number: slot of the request, its generation, and the message's index within it. */
#define SEQ_INDEX_BITS      12
#define SEQ_GENERATION_BITS 12
#define SEQ_GENERATION_MASK ((1u << SEQ_GENERATION_BITS) - 1)

_Static_assert(CONTROL_IDS_MAX <= 1 << SEQ_INDEX_BITS, "index does not fit");
_Static_assert(CONTROL_REQUESTS <= 1 << (32 - SEQ_INDEX_BITS - SEQ_GENERATION_BITS), "slot");

#define MATCH_ARGS " source family protocol port authority rule "

static const struct command commands[] = {
	{"status", ROLE_OBSERVE, " ", show_status},
	{"pending", ROLE_OBSERVE, MATCH_ARGS "limit from ", show_pending},
	{"complete", ROLE_DECIDE, " ids match all verdict block remember scope why ", act_complete},
	{"events", ROLE_OBSERVE, " last follow types match ", act_events},
	{"rules", ROLE_OBSERVE, " ", show_rules},
	{"layers", ROLE_OBSERVE, " ", show_layers},
	/* ... below `observe`: of one's own */
	{"authorities", ROLE_SERVE, " ", show_authorities},
	{"test", ROLE_OBSERVE, " flow in out hook mark trace ", show_test},
	{"country", ROLE_OBSERVE, " address ", show_country},
	{"show", ROLE_OBSERVE, " what ", show_text},
	{"metrics", ROLE_OBSERVE, " ", show_metrics},
	{"policy", ROLE_ADMIN, " changes why stay for until ", act_policy},
	{"objects", ROLE_OBSERVE, " ", show_objects},
	/* ... what changes one: admin */
	{"set", ROLE_OBSERVE, " set action elements part limit why stay for until ", act_set},
	{"sets", ROLE_OBSERVE, " ", show_sets},
	{"journal", ROLE_OBSERVE, " last ", show_journal},
	/* ... without dry_run: admin */
	{"reauthorize", ROLE_OBSERVE, " match dry_run ", act_reauthorize},
	{"reload", ROLE_OBSERVE, " dry_run ", act_reload}, /* ... without that: admin */
	{"check", ROLE_OBSERVE, " policy ", act_check},
	{"hookup", ROLE_OBSERVE, " action ", act_hookup},
	{"decisions", ROLE_OBSERVE, " ", show_decisions},
	{"history", ROLE_OBSERVE, " source since until rule authority verdict limit from ",
	 show_history},
	{"forget", ROLE_DECIDE, " source rule all ", act_forget},
	/* ... or who its definition names: decide */
	{"serve", ROLE_SERVE, " authority max heartbeat stop ", act_serve},
	{"answer", ROLE_SERVE, " answers ", act_answer}, /* of one's own questions */
	{"ping", ROLE_SERVE, " ", act_ping},
	{"unlock", ROLE_OBSERVE, " authority source code ", act_unlock},
	{"lock", ROLE_DECIDE, " authority source ", act_lock},
	/* ... of what one was told */
	{"unlocked", ROLE_SERVE, " token ok why open_ms ", act_unlocked},
	{"stop", ROLE_ADMIN, " ", act_stop},
	{"version", ROLE_SERVE, " protocol ", show_version},
};

const char *role_name(enum role r)
{
	switch (r) {
	case ROLE_NONE:
		return NULL;
	case ROLE_SERVE:
		return "serve";
	case ROLE_OBSERVE:
		return "observe";
	case ROLE_DECIDE:
		return "decide";
	case ROLE_ADMIN:
		return "admin";
	}
	return NULL;
}

void control_put(struct control_client *cc, json_t *v)
{
	char *text = json_dumps(v, JSON_COMPACT | JSON_SORT_KEYS);
	size_t len = text ? strlen(text) : 0;

	json_decref(v);
	if (!text)
		return;
	text[len] = '\n'; /* over the terminator: it is not needed any more */
	cc->control->env.write(cc->client, text, len + 1);
	free(text);
}

static json_t *error_object(const char *code, const char *message)
{
	json_t *e = json_object();

	json_object_set_new(e, "code", json_string(code));
	json_object_set_new(e, "message", cj_text(message));
	return e;
}

/* Takes `id`. */
static void client_error(struct control_client *cc, json_t *id, const char *code,
			 const char *message)
{
	json_t *o = json_object();

	cc->control->stats.errors++;
	json_object_set_new(o, "id", id ? id : json_null());
	json_object_set_new(o, "ok", json_false());
	json_object_set_new(o, "error", error_object(code, message));
	control_put(cc, o);
}

static void client_close(struct control_client *cc)
{
	cc->closing = true;
	cc->control->env.close(cc->client);
}

/* The workers make what somebody follows. */
static void follow_changed(struct control *c)
{
	struct list *p, *tmp;
	uint32_t mask = 0;

	list_foreach(p, tmp, &c->clients)
		mask |= container_of(p, struct control_client, link)->follow.types;
	c->env.follow(c->env.ctx, mask);
}

void control_follow(struct control_client *cc, struct event_match *m)
{
	event_match_deinit(&cc->follow);
	cc->follow = m ? *m : (struct event_match){0};
	if (m)
		*m = (struct event_match){0};
	cc->sent = 0;
	follow_changed(cc->control);
}

/* After the end of its input a client stays for as long as something is owed to it. */
static void client_check_eof(struct control_client *cc)
{
	if (cc->eof && !cc->closing && list_empty(&cc->requests) && !cc->follow.types)
		client_close(cc);
}

void forget_end(struct request *r, const struct store_which *w)
{
	if (r->forgetting)
		r->control->env.forget_end(r->control->env.ctx, w);
	r->forgetting = false;
}

static void request_free(struct request *r)
{
	loop_timer_cancel(r->control->env.loop, &r->deadline);
	r->control->request[r->slot] = NULL;
	list_del(&r->link);
	r->client->nrequests--;
	json_decref(r->id);
	json_decref(r->list);
	json_decref(r->result);
	collected_free(r->collected);
	candidate_put(r->candidate);
	/* nobody waits for the answer any more: it is forgotten, or will be, all the same */
	forget_end(r, &r->which);
	free(r->history);
	free(r->ids);
	free(r);
}

static void request_end(struct request *r, json_t *reply)
{
	struct control_client *cc = r->client;

	control_put(cc, reply);
	request_free(r);
	client_check_eof(cc);
}

static json_t *request_reply(struct request *r, bool ok, json_t *result)
{
	json_t *o = json_object();

	json_object_set(o, "id", r->id);
	json_object_set_new(o, "ok", json_boolean(ok));
	if (result)
		json_object_set_new(o, "result", result);
	return o;
}

void request_part(struct request *r, json_t *result)
{
	json_t *o = json_object();

	json_object_set(o, "id", r->id);
	json_object_set_new(o, "more", json_true());
	json_object_set_new(o, "result", result);
	control_put(r->client, o);
}

void request_silent(struct request *r)
{
	struct control_client *cc = r->client;

	request_free(r);
	client_check_eof(cc);
}

void request_ok(struct request *r, json_t *result)
{
	request_end(r, request_reply(r, true, result));
}

void request_fail_with(struct request *r, const char *code, const char *message, json_t *result)
{
	json_t *o = request_reply(r, false, result);

	r->control->stats.errors++;
	json_object_set_new(o, "error", error_object(code, message));
	request_end(r, o);
}

void request_fail(struct request *r, const char *code, const char *fmt, ...)
{
	char text[ERR_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	request_fail_with(r, code, text, NULL);
}

bool request_denied(struct request *r, enum role need)
{
	if (r->client->role >= need)
		return false;
	r->control->stats.denied++;
	request_fail(r, "denied", "this needs the role \"%s\", and you have \"%s\": %s",
		     role_name(need), role_name(r->client->role),
		     need == ROLE_OBSERVE ? "be in the control-group or the observe-group"
					  : "be in the control-group");
	return true;
}

static void request_expired(void *ctx)
{
	struct request *r = ctx;

	r->control->stats.timeouts++;
	if (r->expired)
		r->expired(r);
	else
		request_fail(r, "timeout", "the verdict process did not answer in time");
}

void request_wait(struct request *r, uint64_t ms)
{
	struct loop *l = r->control->env.loop;

	loop_timer_arm(l, &r->deadline, mono_add(loop_now(l), ms * MONO_NS_PER_MS));
}

bool request_hold(struct request *r)
{
	if (!r->control->env.backlogged(r->client->client))
		return false;
	loop_timer_cancel(r->control->env.loop, &r->deadline);
	r->stalled = true;
	return true;
}

uint32_t request_seq(const struct request *r, unsigned index)
{
	return (uint32_t)r->slot << (SEQ_INDEX_BITS + SEQ_GENERATION_BITS) |
	       (uint32_t)r->generation << SEQ_INDEX_BITS | index;
}

int request_post(struct request *r, unsigned worker, unsigned index, struct msg *m)
{
	int ret;

	m->version = MSG_VERSION;
	m->worker = (uint16_t)worker;
	m->seq = request_seq(r, index);
	ret = r->control->env.post(r->control->env.ctx, worker, m);
	if (ret > 0)
		r->stalled = true;
	return ret;
}

struct request *request_find(const struct control *c, uint32_t seq)
{
	unsigned slot = seq >> (SEQ_INDEX_BITS + SEQ_GENERATION_BITS);
	struct request *r = slot < CONTROL_REQUESTS ? c->request[slot] : NULL;

	if (!r || r->generation != (seq >> SEQ_INDEX_BITS & SEQ_GENERATION_MASK))
		return NULL;
	return r;
}

void control_answer(struct control *c, unsigned worker, const struct msg *m, int fd)
{
	struct request *r = request_find(c, m->seq);

	if (r && r->answer)
		r->answer(r, worker, m->seq & ((1u << SEQ_INDEX_BITS) - 1), m, fd);
	else
		c->stats.stray++;
}

static void sync_late(struct request *r)
{
	request_fail(r, "store",
		     "it holds, but could not be written in time: it may end with the daemon");
}

void request_sync(struct request *r,
		  void (*synced)(struct request *r, int status, const char *error))
{
	const struct control_env *env = &r->control->env;
	int ret = env->sync ? env->sync(env->ctx, request_seq(r, 0)) : 0;

	if (ret <= 0) {
		synced(r, ret,
		       ret == -ENOBUFS ? "more waits to be written than can be kept"
				       : "out of memory");
		return;
	}
	r->answer = NULL;
	r->step = NULL;
	r->synced = synced;
	r->expired = sync_late;
	request_wait(r, CONTROL_DEADLINE_MS);
}

void control_synced(struct control *c, uint32_t seq, int status, const char *error)
{
	struct request *r = request_find(c, seq);

	if (r && r->synced)
		r->synced(r, status, error);
}

static void request_step(struct request *r)
{
	if (!r->stalled || !r->step)
		return;
	r->stalled = false;
	request_wait(r, CONTROL_DEADLINE_MS);
	r->step(r);
}

void control_room(struct control *c)
{
	for (unsigned i = 0; i < CONTROL_REQUESTS; i++)
		if (c->request[i] && !c->env.backlogged(c->request[i]->client->client))
			request_step(c->request[i]);
}

void control_drained(struct control_client *cc)
{
	struct list *p, *tmp;

	/* a step may end its own request, and no other */
	list_foreach(p, tmp, &cc->requests)
		request_step(container_of(p, struct request, link));
	if (cc->serves)
		ask_drained(cc->control->env.ask, cc);
}

bool control_backlogged(const struct control_client *cc)
{
	const struct control_env *env = &cc->control->env;

	return cc->closing || (env->busy ? env->busy : env->backlogged)(cc->client);
}

/* It cannot answer any more. */
static void client_unserve(struct control_client *cc)
{
	if (cc->serves)
		ask_client_gone(cc->control->env.ask, cc);
	cc->serves = 0;
	unlock_gone(cc);
	loop_timer_cancel(cc->control->env.loop, &cc->silence);
}

void control_reloaded(struct control *c, uint32_t seq, const struct reload_result *result)
{
	struct request *r = request_find(c, seq);

	if (r)
		act_reloaded(r, result);
}

void control_changed(struct control *c, const struct amend *ch, const struct amend_result *result)
{
	struct request *r = request_find(c, ch->seq);

	if (r)
		act_changed(r, ch, result);
}

bool control_who(const struct control *c, uint32_t seq, struct overlay_who *out)
{
	const struct request *r = request_find(c, seq);

	if (r)
		client_who(r->client, out);
	return r != NULL;
}

/* NULL: too many are in progress. Takes `id` on success. */
static struct request *request_new(struct control_client *cc, const struct command *cmd, json_t *id)
{
	struct control *c = cc->control;
	struct request *r;
	unsigned slot = 0;

	while (slot < CONTROL_REQUESTS && c->request[slot])
		slot++;
	if (slot == CONTROL_REQUESTS || cc->nrequests == CONTROL_REQUESTS_ONE)
		return NULL;
	r = calloc(1, sizeof(*r));
	if (!r)
		return NULL;
	c->generation[slot] = (uint16_t)((c->generation[slot] + 1) & SEQ_GENERATION_MASK);
	c->generation[slot] += !c->generation[slot]; /* so that no number is 0 */
	*r = (struct request){
		.client = cc,
		.control = c,
		.command = cmd,
		.id = id,
		.slot = (uint16_t)slot,
		.generation = c->generation[slot],
	};
	loop_timer_init(&r->deadline, request_expired, r);
	list_add_tail(&cc->requests, &r->link);
	cc->nrequests++;
	c->request[slot] = r;
	return r;
}

static const struct command *command_find(const char *op)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(commands[i].op, op) == 0)
			return &commands[i];
	return NULL;
}

/* The first key that the command does not know; a misspelt condition must never widen a decision. */
static const char *unknown_key(const struct command *cmd, json_t *args)
{
	const char *key;
	json_t *value;
	char word[40];

	json_object_foreach(args, key, value)
	{
		if (!strcmp(key, "id") || !strcmp(key, "op"))
			continue;
		snprintf(word, sizeof(word), " %.30s ", key);
		if (strlen(key) > 30 || strchr(key, ' ') || !strstr(cmd->args, word))
			return key;
	}
	return NULL;
}

static bool id_ok(const json_t *id)
{
	return json_is_integer(id) || (json_is_string(id) && json_string_length(id) <= 64);
}

static void client_request(struct control_client *cc, json_t *v)
{
	const char *op = json_string_value(json_object_get(v, "op")), *key;
	json_t *id = json_object_get(v, "id");
	const struct command *cmd;
	struct request *r;

	/* an answer to a question needs no reply, unless something is wrong with it */
	if (json_is_object(v) && !id && op && !strcmp(op, "answer") &&
	    json_object_set_new(v, "id", json_null()) == 0)
		id = json_object_get(v, "id");
	else if (json_is_null(id))
		id = NULL;
	if (!json_is_object(v) || !(json_is_null(id) || id_ok(id)) || !op) {
		client_error(
			cc, NULL, "invalid",
			"a request is an object with \"id\" (a number or a short string) and \"op\"");
		return;
	}
	cmd = command_find(op);
	if (!cmd) {
		client_error(cc, json_incref(id), "unknown-op", "there is no such operation");
		return;
	}
	r = request_new(cc, cmd, json_incref(id));
	if (!r) {
		client_error(cc, id, "busy", "too many requests in progress: wait for answers");
		return;
	}
	if (request_denied(r, cmd->need))
		return;
	key = unknown_key(cmd, v);
	if (key) {
		request_fail(r, "invalid", "\"%s\" does not take \"%.40s\"", op, key);
		return;
	}
	request_wait(r, CONTROL_DEADLINE_MS);
	cmd->start(r, v);
}

static void client_not_json(struct control_client *cc, const struct err *e)
{
	cc->control->stats.not_json++;
	client_error(cc, NULL, "malformed", e->text);
	if (++cc->bad < CONTROL_BAD_MAX)
		return;
	client_error(cc, NULL, "too-many-errors", "too many lines that are not JSON: goodbye");
	client_close(cc);
}

void control_line(struct control_client *cc, const char *line, size_t len)
{
	struct err e = {0};
	json_t *v;

	if (cc->closing)
		return;
	cc->control->stats.requests++;
	cc->heard = loop_now(cc->control->env.loop);
	v = cj_parse(line, len, &e);
	if (v)
		client_request(cc, v);
	else
		client_not_json(cc, &e);
	json_decref(v);
}

void control_overlong(struct control_client *cc)
{
	cc->control->stats.overlong++;
	client_error(cc, NULL, "too-long", "a line may have 65536 bytes: goodbye");
	cc->closing = true;
}

static void client_greet(struct control_client *cc)
{
	const char *role = role_name(cc->role);
	json_t *hello = json_object(), *o = json_object();

	json_object_set_new(hello, "version", json_string(PEND_VERSION));
	json_object_set_new(hello, "protocol", json_integer(CONTROL_PROTOCOL));
	json_object_set_new(hello, "role", role ? json_string(role) : json_null());
	json_object_set_new(o, "pend", hello);
	if (!role)
		json_object_set_new(o, "error",
				    error_object("denied",
						 "your user may not talk to pendd: ask for "
						 "membership in its control or observe group"));
	control_put(cc, o);
}

struct control_client *control_open(struct control *c, void *client, enum role role, uint32_t uid)
{
	struct control_client *cc = calloc(1, sizeof(*cc));

	if (!cc)
		return NULL;
	*cc = (struct control_client){
		.control = c, .client = client, .role = role, .uid = uid, .session = ++c->sessions};
	list_init(&cc->requests);
	list_add_tail(&c->clients, &cc->link);
	heartbeat_init(cc);
	client_greet(cc);
	if (role == ROLE_NONE) {
		c->stats.denied++;
		client_close(cc);
	}
	return cc;
}

void control_pid(struct control_client *cc, int32_t pid)
{
	cc->pid = pid;
}

void control_eof(struct control_client *cc)
{
	cc->eof = true;
	client_unserve(cc);
	client_check_eof(cc);
}

/* What it has changed for itself only goes with it. */
static void client_leave(struct control_client *cc)
{
	struct overlay_who who;

	if (!cc->own_changes)
		return;
	client_who(cc, &who);
	cc->control->env.session(cc->control->env.ctx, cc->session, &who);
}

void control_closed(struct control_client *cc)
{
	struct list *p, *tmp;

	if (!cc)
		return;
	list_foreach(p, tmp, &cc->requests)
		request_free(container_of(p, struct request, link));
	list_del(&cc->link);
	client_unserve(cc);
	if (cc->follow.types)
		control_follow(cc, NULL);
	parts_free(cc);
	client_leave(cc);
	free(cc);
}

/* Better no events than some: a client that lags is told so once and has to ask again. */
static void follower_lost(struct control_client *cc)
{
	json_t *e = json_object(), *o = json_object();

	cc->control->stats.subscriptions_lost++;
	json_object_set_new(e, "type", json_string("subscription-lost"));
	json_object_set_new(e, "sent", json_integer((json_int_t)cc->sent));
	json_object_set_new(e, "text", json_string("this client reads too slowly: follow again"));
	json_object_set_new(o, "event", e);
	control_put(cc, o);
	control_follow(cc, NULL);
	client_check_eof(cc);
}

static char *event_line(struct control *c, const struct event *e, size_t *len)
{
	json_t *o = json_object();
	char *text;

	json_object_set_new(o, "event", event_json(e, c->env.view));
	text = json_dumps(o, JSON_COMPACT | JSON_SORT_KEYS);
	json_decref(o);
	if (!text)
		return NULL;
	*len = strlen(text);
	text[(*len)++] = '\n';
	return text;
}

void control_event(struct control *c, const struct event *e)
{
	char *line = NULL;
	struct list *p, *tmp;
	size_t len = 0;

	list_foreach(p, tmp, &c->clients) {
		struct control_client *cc = container_of(p, struct control_client, link);

		if (cc->closing || !event_match(&cc->follow, e, c->env.view))
			continue;
		if (c->env.backlogged(cc->client)) {
			follower_lost(cc);
			continue;
		}
		if (!line)
			line = event_line(c, e, &len);
		if (!line)
			return;
		c->env.write(cc->client, line, len);
		cc->sent++;
	}
	free(line);
}

int control_new(struct control **out, const struct control_env *env)
{
	struct control *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->env = *env;
	list_init(&c->clients);
	*out = c;
	return 0;
}

void control_free(struct control *c)
{
	free(c);
}

const struct control_stats *control_stats(const struct control *c)
{
	return &c->stats;
}
