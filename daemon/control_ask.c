/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Programs that answer: serve, answer, ping, and the lines that put questions to them. */
#include "daemon/control_impl.h"
#include "daemon/control_json.h"
#include "daemon/ids.h"
#include "daemon/log.h"
#include "base/str.h"
#include "core/flow.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define ANSWERS_MAX 4096 /* in one `answer` */
#define LINE_MAX_Q  768  /* of one question */

/* ---- heartbeat ---- */

static void heartbeat_arm(struct control_client *cc)
{
	struct loop *l = cc->control->env.loop;

	if (cc->heartbeat_ns && cc->serves)
		loop_timer_arm(l, &cc->silence,
			       mono_add(cc->heard, CONTROL_HEARTBEATS * cc->heartbeat_ns));
	else
		loop_timer_cancel(l, &cc->silence);
}

/* It may have been stopped, with its connection open: others take its questions, until it serves again. */
static void on_silence(void *ctx)
{
	struct control_client *cc = ctx;
	struct control *c = cc->control;
	uint64_t silent = mono_since(loop_now(c->env.loop), cc->heard);

	if (!cc->serves || silent < CONTROL_HEARTBEATS * cc->heartbeat_ns) {
		heartbeat_arm(cc);
		return;
	}
	c->stats.silent++;
	log_warning("control", "uid %u, pid %d serves no more: it has said nothing for %llu s",
		    cc->uid, (int)cc->pid, (unsigned long long)(silent / MONO_NS_PER_S));
	ask_client_silent(c->env.ask, cc);
}

bool control_alive(const struct control_client *cc, mono_t since)
{
	return mono_before(since, cc->heard) ||
	       (cc->heartbeat_ns && cc->heartbeat_ns <= CONTROL_HEARTBEAT_GOOD);
}

uint64_t control_client_number(const struct control_client *cc)
{
	return cc->session;
}

void heartbeat_init(struct control_client *cc)
{
	cc->heard = loop_now(cc->control->env.loop);
	loop_timer_init(&cc->silence, on_silence, cc);
}

/* ---- serve ---- */

static const char *state_code(enum ask_state s)
{
	switch (s) {
	case ASK_OK:
		break;
	case ASK_NOT_FOUND:
	case ASK_NO_AUTHORITY:
		return "not-found";
	case ASK_NOT_YOURS:
		return "not-yours";
	case ASK_AMBIGUOUS:
		return "ambiguous";
	case ASK_LIMIT:
		return "busy";
	}
	return "ok";
}

bool control_may_serve(const struct control_client *cc, const char *name)
{
	const struct control_env *env = &cc->control->env;

	return cc->role >= ROLE_DECIDE ||
	       (env->may_serve && env->may_serve(env->ctx, cc->client, name));
}

static void serve_end(struct request *r, const char *name)
{
	enum ask_state s = ask_unserve(r->control->env.ask, r->client, name);

	if (s != ASK_OK) {
		request_fail(r, state_code(s), "this connection does not serve \"%.40s\"", name);
		return;
	}
	r->client->serves--;
	heartbeat_arm(r->client);
	request_ok(r, json_object());
}

static void serve_begin(struct request *r, const char *name, uint32_t max)
{
	struct control_client *cc = r->client;
	struct ask *ask = r->control->env.ask;
	bool again = ask_serves(ask, cc, name);
	enum ask_state s;
	json_t *o;

	/* The reply comes before the questions that wait for somebody. */
	if (!again && !ask_authority_timeout(ask, name)) {
		request_fail(r, "not-found", "no authority \"%.40s\" is served by programs", name);
		return;
	}
	if (!again && ask_is_taken(ask, name)) {
		request_fail(r, "busy", "another program serves \"%.40s\", which has one at a time",
			     name);
		return;
	}
	if (cc->serves == CONTROL_SERVES_MAX && !again) {
		request_fail(r, "busy", "one connection serves at most %d authorities",
			     CONTROL_SERVES_MAX);
		return;
	}
	o = json_object();
	json_object_set_new(o, "authority", json_string(name));
	json_object_set_new(
		o, "timeout_ms",
		json_integer((json_int_t)(ask_authority_timeout(ask, name) / MONO_NS_PER_MS)));
	cc->serves += !again;
	heartbeat_arm(cc);
	request_ok(r, o);
	s = ask_serve(ask, cc, name, max, NULL);
	if (s != ASK_OK)
		control_unserved(cc, name, state_code(s));
}

void control_unserved(struct control_client *cc, const char *authority, const char *why)
{
	json_t *o = json_object(), *in = json_object();

	cc->serves--;
	json_object_set_new(in, "authority", json_string(authority));
	json_object_set_new(in, "why", json_string(why));
	json_object_set_new(o, "unserved", in);
	control_put(cc, o);
}

/* Without those who ask (in a test, say) no authority is known. */
static bool nobody_asks(struct request *r)
{
	if (r->control->env.ask)
		return false;
	request_fail(r, "unsupported", "no questions are asked here");
	return true;
}

static bool number_in(const json_t *v, json_int_t least, json_int_t most)
{
	return !v || (json_is_integer(v) && json_integer_value(v) >= least &&
		      json_integer_value(v) <= most);
}

void act_serve(struct request *r, const json_t *args)
{
	const json_t *max = json_object_get(args, "max"), *stop = json_object_get(args, "stop"),
		     *beat = json_object_get(args, "heartbeat");
	const char *name = json_string_value(json_object_get(args, "authority"));

	if (!name || !number_in(max, 1, ASK_SERVER_MAX) ||
	    !number_in(beat, 0, CONTROL_HEARTBEAT_MAX)) {
		request_fail(r, "invalid",
			     "serve takes \"authority\", a name, \"max\", 1 to %d, and "
			     "\"heartbeat\", 0 to %d seconds",
			     ASK_SERVER_MAX, CONTROL_HEARTBEAT_MAX);
		return;
	}
	if (nobody_asks(r))
		return;
	if (!control_may_serve(r->client, name)) {
		request_denied(r, ROLE_DECIDE);
		return;
	}
	if (beat)
		r->client->heartbeat_ns = (uint64_t)json_integer_value(beat) * MONO_NS_PER_S;
	if (json_is_true(stop))
		serve_end(r, name);
	else
		serve_begin(r, name, max ? (uint32_t)json_integer_value(max) : 0);
}

/* ---- answers ---- */

static int vote_parse(const char *s)
{
	static const char *const names[] = {[ASK_PERMIT] = "permit",
					    [ASK_BLOCK] = "block",
					    [ASK_CONTINUE] = "continue",
					    [ASK_ERROR] = "error"};

	for (int i = ASK_PERMIT; s && i <= ASK_ERROR; i++)
		if (!strcmp(s, names[i]))
			return i;
	return -1;
}

static bool answer_known_keys(json_t *v)
{
	static const char *const known[] = {"id",    "verdict", "block",    "remember",
					    "scope", "why",     "authority"};
	const char *key;
	json_t *value;

	json_object_foreach(v, key, value)
	{
		size_t i = 0;

		while (i < sizeof(known) / sizeof(known[0]) && strcmp(key, known[i]) != 0)
			i++;
		if (i == sizeof(known) / sizeof(known[0]))
			return false;
	}
	return true;
}

/* False: it is not as the protocol says. */
static bool answer_parse(json_t *v, struct ask_answer *out, char why[NOTES_WHY_MAX + 1])
{
	const char *id = json_string_value(json_object_get(v, "id"));
	int vote = vote_parse(json_string_value(json_object_get(v, "verdict")));
	const json_t *how = json_object_get(v, "block"), *who = json_object_get(v, "authority");
	int block = how ? cj_block_parse(json_string_value(how) ? json_string_value(how) : "") : 0;
	struct err e = {0};

	if (!id || ids_parse(id, &out->context) < 0 || vote < 0 || block < 0 ||
	    (how && vote != ASK_BLOCK) || (who && !json_is_string(who)) || !answer_known_keys(v) ||
	    cj_lasting(v, &out->lasting, &e) < 0 || cj_why(v, why, &e) < 0)
		return false;
	out->why = why;
	out->authority = json_string_value(who);
	out->vote = (uint8_t)vote;
	out->block = how ? (uint8_t)block : UINT8_MAX;
	return true;
}

static void add_failed(json_t **failed, const json_t *v, const char *code)
{
	const json_t *id = json_object_get(v, "id");
	json_t *o = json_object();

	if (!*failed)
		*failed = json_array();
	json_object_set_new(o, "id",
			    json_is_string(id) && json_string_length(id) < IDS_TEXT
				    ? json_string(json_string_value(id))
				    : json_null());
	json_object_set_new(o, "code", json_string(code));
	json_array_append_new(*failed, o);
}

static void answer_reply(struct request *r)
{
	json_t *o;

	if (json_is_null(r->id) && !r->list) {
		request_silent(r);
		return;
	}
	o = json_object();
	json_object_set_new(o, "answered", json_integer((json_int_t)r->count));
	json_object_set_new(o, "failed", r->list ? r->list : json_array());
	r->list = NULL;
	request_ok(r, o);
}

static void answer_synced(struct request *r, int status, const char *error)
{
	if (status)
		request_fail(r, "store",
			     "taken, but what others are to know ends with the daemon: %s", error);
	else
		answer_reply(r);
}

/* Behind the workers' words about what they have remembered. */
static void answer_step(struct request *r)
{
	struct msg m = {.type = MSG_FENCE};

	for (; r->worker < r->control->env.workers; r->worker++) {
		int ret;

		if (!(r->fences[r->worker / 64] >> r->worker % 64 & 1))
			continue;
		ret = request_post(r, r->worker, r->worker, &m);
		if (ret > 0)
			return;
		r->outstanding += ret == 0;
	}
	if (!r->outstanding)
		request_sync(r, answer_synced);
}

static void answer_answer(struct request *r, unsigned worker, unsigned index, const struct msg *m,
			  int fd)
{
	(void)worker;
	(void)index;
	(void)fd;
	if (m->type == MSG_DONE && r->outstanding && !--r->outstanding)
		answer_step(r);
}

/* Whoever asks for a reply gets it when what its answers made for others is written. */
static void answer_finish(struct request *r)
{
	bool lasting = false;

	for (size_t i = 0; i < sizeof(r->fences) / sizeof(r->fences[0]); i++)
		lasting |= r->fences[i] != 0;
	if (!lasting || json_is_null(r->id)) {
		answer_reply(r);
		return;
	}
	r->answer = answer_answer;
	r->step = answer_step;
	answer_step(r);
}

void act_answer(struct request *r, const json_t *args)
{
	const json_t *list = json_object_get(args, "answers");
	size_t n = json_array_size(list);

	if (n < 1 || n > ANSWERS_MAX) {
		request_fail(r, "invalid", "answers is an array of 1 to %d", ANSWERS_MAX);
		return;
	}
	if (nobody_asks(r))
		return;
	for (size_t i = 0; i < n; i++) {
		json_t *v = json_array_get(list, i);
		char why[NOTES_WHY_MAX + 1];
		struct ask_answer a;
		enum ask_state s;

		if (!answer_parse(v, &a, why)) {
			add_failed(&r->list, v, "invalid");
			continue;
		}
		s = ask_answer(r->control->env.ask, r->client, &a);
		if (s != ASK_OK) {
			add_failed(&r->list, v, state_code(s));
			continue;
		}
		r->count++;
		if (a.lasting.ns && a.lasting.ns != MSG_REMEMBER_NOT)
			r->fences[ids_worker(a.context) / 64] |= UINT64_C(1)
								 << ids_worker(a.context) % 64;
	}
	answer_finish(r);
}

void act_ping(struct request *r, const json_t *args)
{
	(void)args;
	request_ok(r, json_object());
}

/* ---- questions ---- */

/* By hand: this is what a pended connection costs, and nothing in it needs escaping. */
struct line {
	char text[LINE_MAX_Q];
	size_t len;
};

static void put(struct line *l, const char *text)
{
	size_t n = strlen(text);

	if (n >= sizeof(l->text) - l->len)
		return;
	memcpy(l->text + l->len, text, n + 1);
	l->len += n;
}

/* ,"key": */
static void put_key(struct line *l, const char *key)
{
	put(l, ",\"");
	put(l, key);
	put(l, "\":");
}

static void put_text(struct line *l, const char *key, const char *text)
{
	put_key(l, key);
	put(l, "\"");
	put(l, text);
	put(l, "\"");
}

static void put_number(struct line *l, const char *key, uint64_t v)
{
	char digits[21], *p = digits + sizeof(digits) - 1;

	*p = '\0';
	do
		*--p = (char)('0' + v % 10);
	while (v /= 10);
	put_key(l, key);
	put(l, p);
}

static void put_address(struct line *l, const char *key, const char *port_key,
			const struct pend_info *i, const uint8_t addr[16], uint16_t port)
{
	char text[FLOW_ADDR_TEXT];

	put_text(l, key, flow_addr_print(addr, i->family, text));
	if (port)
		put_number(l, port_key, port);
}

/* Interfaces may have any name: one that is not plain is told by its number. */
static void put_interface(struct line *l, const struct view *v, uint32_t index)
{
	char name[IF_NAMESIZE];

	if (!index)
		return;
	view_interface(v, index, name);
	for (const char *p = name; *p; p++)
		if ((unsigned char)*p <= ' ' || *p == '"' || *p == '\\' ||
		    (unsigned char)*p > '~') {
			snprintf(name, sizeof(name), "%u", index);
			break;
		}
	put_text(l, "interface", name);
}

static void put_flow(struct line *l, const struct pend_info *i, const struct view *v)
{
	const char *proto = flow_proto_name(i->protocol);

	if (proto)
		put_text(l, "protocol", proto);
	else
		put_number(l, "protocol", i->protocol);
	put_address(l, "source", "source_port", i, i->source, i->source_port);
	put_address(l, "dest", "dest_port", i, i->dest, i->dest_port);
	if (i->protocol == 1 || i->protocol == 58) {
		put_number(l, "icmp_type", i->icmp_type);
		put_number(l, "icmp_code", i->icmp_code);
	}
	put_interface(l, v, i->in_interface);
}

/* What every line about a question begins with. */
static void put_head(struct line *l, const char *kind, pend_context context, const char *authority)
{
	char id[IDS_TEXT];

	put(l, "{\"");
	put(l, kind);
	put(l, "\":{\"id\":\"");
	put(l, ids_print(context, id));
	put(l, "\"");
	put_text(l, "authority", authority);
}

void control_question(struct control_client *cc, const char *authority, const struct pend_info *i,
		      uint64_t remaining_ns)
{
	struct control_env *env = &cc->control->env;
	struct line l;

	l.len = 0;
	put_head(&l, "question", i->context, authority);
	put_number(&l, "remaining_ms", remaining_ns / MONO_NS_PER_MS);
	put_flow(&l, i, env->view);
	if (i->rule != CLASSIFY_NO_RULE)
		put_number(&l, "rule", i->rule);
	put_number(&l, "generation", MSG_TAG_GENERATION(i->tag));
	put_number(&l, "retransmits", i->retransmits);
	put(&l, "}}\n");
	env->write(cc->client, l.text, l.len);
	cc->asked++;
}

void control_withdrawn(struct control_client *cc, const char *authority, pend_context context,
		       enum ask_why why)
{
	static const char *const names[] = {[ASK_WHY_TIMEOUT] = "timeout",
					    [ASK_WHY_DECIDED] = "decided",
					    [ASK_WHY_GONE] = "gone",
					    [ASK_WHY_POLICY] = "policy",
					    [ASK_WHY_SILENT] = "heartbeat"};
	struct control_env *env = &cc->control->env;
	struct line l = {.len = 0};

	if (cc->closing || cc->eof)
		return;
	put_head(&l, "withdrawn", context, authority);
	put_text(&l, "why", names[why]);
	put(&l, "}}\n");
	env->write(cc->client, l.text, l.len);
}
