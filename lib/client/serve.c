/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Serving an authority; see pend-client.h. */
#include "client/client_impl.h"
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define GREETING_MS   2000
#define BACKOFF_MIN   50
#define BACKOFF_MAX   5000
#define STOP_MS       1000
#define ID_MAX        40
#define WHY_MAX       200
#define HEARTBEAT_MAX 3600
#define ANSWERS_FULL  49152 /* bytes of one line: the daemon's bound is 65,536 */

struct pend_client_server {
	char *path, *authority;
	uint32_t max;
	struct pend_client_handlers on;
	pend_client_refused_fn on_refused;
	pend_client_line_fn on_line;
	void *ctx;
	struct pend_client *client; /* NULL: not connected */
	bool serving;
	uint64_t serve_id;
	int64_t retry_at;
	int backoff_ms;
	unsigned heartbeat_s; /* 0: none was promised */
	int64_t beat_at;      /* the next, if nothing else is said before */
	volatile sig_atomic_t stop;
	/* answers that were not sent yet: the inside of the array */
	char *answers;
	size_t len, cap;
};

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

struct pend_client_server *pend_client_server_new(const char *path, const char *authority,
						  uint32_t max,
						  const struct pend_client_handlers *handlers,
						  void *ctx)
{
	struct pend_client_server *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->path = strdup(path ? path : PEND_CLIENT_SOCKET);
	s->authority = strdup(authority);
	s->max = max;
	s->on = *handlers;
	s->ctx = ctx;
	s->backoff_ms = BACKOFF_MIN;
	if (s->path && s->authority)
		return s;
	pend_client_server_free(s);
	return NULL;
}

void pend_client_server_free(struct pend_client_server *s)
{
	if (!s)
		return;
	pend_client_close(s->client);
	free(s->answers);
	free(s->path);
	free(s->authority);
	free(s);
}

void pend_client_server_heartbeat(struct pend_client_server *s, unsigned seconds)
{
	s->heartbeat_s = seconds < HEARTBEAT_MAX ? seconds : HEARTBEAT_MAX;
}

void pend_client_server_on_refused(struct pend_client_server *s, pend_client_refused_fn fn)
{
	s->on_refused = fn;
}

void pend_client_server_on_line(struct pend_client_server *s, pend_client_line_fn fn)
{
	s->on_line = fn;
}

void pend_client_server_stop(struct pend_client_server *s)
{
	s->stop = 1;
}

struct pend_client *pend_client_server_client(struct pend_client_server *s)
{
	return s->client;
}

static void lost(struct pend_client_server *s, const char *text)
{
	char why[512];

	snprintf(why, sizeof(why), "%s", text); /* it may be the connection's */
	pend_client_close(s->client);
	s->client = NULL;
	s->serving = false;
	s->len = 0;
	s->retry_at = now_ms() + s->backoff_ms;
	s->backoff_ms = 2 * s->backoff_ms < BACKOFF_MAX ? 2 * s->backoff_ms : BACKOFF_MAX;
	if (s->on.state)
		s->on.state(s->ctx, s, false, why);
}

/* ---- requests of its own ---- */

/* With an id that no request of the program's has: its reply is not the program's. */
static enum pend_client_error send_own(struct pend_client_server *s, json_t *o, const char *op)
{
	enum pend_client_error e = PEND_CLIENT_E_NO_MEMORY;
	char *text;

	json_object_set_new(o, "op", json_string(op));
	json_object_set_new(o, "id", json_string("library"));
	text = o ? json_dumps(o, JSON_COMPACT) : NULL;
	json_decref(o);
	if (text)
		e = client_put(s->client, text, strlen(text));
	if (e == PEND_CLIENT_OK)
		e = client_put(s->client, "\n", 1);
	free(text);
	return e;
}

/* ---- heartbeat ---- */

static void said_something(struct pend_client_server *s)
{
	if (s->heartbeat_s)
		s->beat_at = now_ms() + (int64_t)s->heartbeat_s * 1000;
}

/* What waits to be sent is as good, whenever the daemon reads it; the next one has its time in any case. */
static enum pend_client_error beat(struct pend_client_server *s)
{
	if (!s->heartbeat_s || now_ms() < s->beat_at)
		return PEND_CLIENT_OK;
	said_something(s);
	if (pend_client_wants_write(s->client))
		return PEND_CLIENT_OK;
	return send_own(s, json_object(), "ping");
}

static void dial(struct pend_client_server *s)
{
	enum pend_client_error e = pend_client_connect(&s->client, s->path, GREETING_MS);
	json_t *o = json_pack("{s:s}", "authority", s->authority);
	char *args;

	if (o && s->max)
		json_object_set_new(o, "max", json_integer(s->max));
	if (o && s->heartbeat_s)
		json_object_set_new(o, "heartbeat", json_integer(s->heartbeat_s));
	args = o ? json_dumps(o, JSON_COMPACT) : NULL;
	json_decref(o);
	if (e == PEND_CLIENT_OK)
		e = args ? pend_client_send(s->client, "serve", args, &s->serve_id)
			 : PEND_CLIENT_E_NO_MEMORY;
	free(args);
	said_something(s);
	if (e == PEND_CLIENT_OK)
		return;
	lost(s, s->client ? pend_client_message(s->client) : pend_client_error_text(e));
}

/* ---- answers ---- */

static bool answers_add(struct pend_client_server *s, const char *text)
{
	size_t len = strlen(text), cap = s->cap ? s->cap : 4096;
	char *p;

	while (cap < s->len + len + 1)
		cap *= 2;
	if (cap != s->cap) {
		p = realloc(s->answers, cap);
		if (!p)
			return false;
		s->answers = p;
		s->cap = cap;
	}
	memcpy(s->answers + s->len, text, len + 1);
	s->len += len;
	return true;
}

/* All that was gathered, as one line. */
static enum pend_client_error answers_send(struct pend_client_server *s)
{
	static const char head[] = "{\"op\":\"answer\",\"answers\":[", tail[] = "]}\n";
	enum pend_client_error e;

	if (!s->len || !s->client)
		return PEND_CLIENT_OK;
	said_something(s);
	e = client_put(s->client, head, sizeof(head) - 1);
	if (e == PEND_CLIENT_OK)
		e = client_put(s->client, s->answers, s->len);
	if (e == PEND_CLIENT_OK)
		e = client_put(s->client, tail, sizeof(tail) - 1);
	s->len = 0;
	return e;
}

static const char *answer_name(enum pend_client_answer a)
{
	switch (a) {
	case PEND_CLIENT_ANSWER_PERMIT:
		return "permit";
	case PEND_CLIENT_ANSWER_BLOCK:
		return "block";
	case PEND_CLIENT_ANSWER_CONTINUE:
		return "continue";
	case PEND_CLIENT_ANSWER_ERROR:
	case PEND_CLIENT_ANSWER_LATER:
		break;
	}
	return "error";
}

/* Ids are letters, digits and a dot: what is none would break the line. */
static bool id_ok(const char *id)
{
	size_t len = strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789.");

	return len && !id[len] && len < ID_MAX;
}

static bool how_ok(const char *how)
{
	return !how || !strcmp(how, "drop") || !strcmp(how, "reset") || !strcmp(how, "unreachable");
}

static bool scope_ok(const char *scope)
{
	return !scope || !strcmp(scope, "service") || !strcmp(scope, "source") ||
	       !strcmp(scope, "flow");
}

/* What the daemon would not take. */
static bool say_ok(const struct pend_client_say *say)
{
	return how_ok(say->how) && (!say->how || say->answer == PEND_CLIENT_ANSWER_BLOCK) &&
	       scope_ok(say->scope) &&
	       (!say->remember || !*say->remember || client_remember_ok(say->remember));
}

static void set_text(json_t *o, const char *key, const char *text)
{
	if (text)
		json_object_set_new(o, key, json_string(text));
}

/* Programs that were built before it was there do not have it. */
static const char *say_authority(const struct pend_client_say *say)
{
	return say->size >= sizeof(*say) ? say->authority : NULL;
}

/* The answer as JSON, malloced. What is no UTF-8 is left out. */
static char *say_json(const char *id, const struct pend_client_say *say)
{
	json_t *o = json_object();
	char *text;

	set_text(o, "id", id);
	set_text(o, "authority", say_authority(say));
	set_text(o, "verdict", answer_name(say->answer));
	set_text(o, "block", say->how);
	set_text(o, "scope", say->scope);
	if (say->remember && !*say->remember)
		json_object_set_new(o, "remember", json_false());
	else
		set_text(o, "remember", say->remember);
	if (say->why)
		json_object_set_new(o, "why", json_stringn(say->why, strnlen(say->why, WHY_MAX)));
	text = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	return text;
}

/* Most are no more than a verdict; both words have been looked at. */
static bool add_short(struct pend_client_server *s, const char *id, enum pend_client_answer a)
{
	char text[ID_MAX + 40];

	snprintf(text, sizeof(text), "%s{\"id\":\"%s\",\"verdict\":\"%s\"}", s->len ? "," : "", id,
		 answer_name(a));
	return answers_add(s, text);
}

static bool add_long(struct pend_client_server *s, const char *id,
		     const struct pend_client_say *say)
{
	char *text = say_json(id, say);
	bool ok = text && (!s->len || answers_add(s, ",")) && answers_add(s, text);

	free(text);
	return ok;
}

enum pend_client_error pend_client_server_say(struct pend_client_server *s, const char *id,
					      const struct pend_client_say *say)
{
	bool ok = say->size >= offsetof(struct pend_client_say, authority) && s->client &&
		  id_ok(id) && say_ok(say);

	if (ok && !say->how && !say->scope && !say->remember && !say->why && !say_authority(say))
		ok = add_short(s, id, say->answer);
	else if (ok)
		ok = add_long(s, id, say);
	if (!ok)
		return PEND_CLIENT_E_INVALID;
	return s->len < ANSWERS_FULL ? PEND_CLIENT_OK : answers_send(s);
}

enum pend_client_error pend_client_server_answer(struct pend_client_server *s, const char *id,
						 enum pend_client_answer answer, const char *how,
						 const char *why)
{
	struct pend_client_say say = PEND_CLIENT_SAY(answer);

	say.how = how;
	say.why = why;
	return pend_client_server_say(s, id, &say);
}

/* ---- codes ---- */

enum pend_client_error pend_client_server_unlocked(struct pend_client_server *s, uint64_t token,
						   bool ok, uint64_t open_ms, const char *why)
{
	json_t *o;

	if (!s->client)
		return PEND_CLIENT_E_INVALID;
	o = json_pack("{s:I,s:b}", "token", (json_int_t)token, "ok", (int)ok);
	if (o && open_ms)
		json_object_set_new(o, "open_ms", json_integer((json_int_t)open_ms));
	if (o && why)
		json_object_set_new(o, "why", json_stringn(why, strnlen(why, WHY_MAX)));
	return send_own(s, o, "unlocked");
}

/* ---- lines ---- */

static uint64_t number_of(const json_t *o, const char *key)
{
	json_int_t v = json_integer_value(json_object_get(o, key));

	return v > 0 ? (uint64_t)v : 0;
}

/*
 * The question as it stands in its line, which is faster than to write it anew. NULL: the line has another
 * shape.
 */
static char *text_in_line(const struct pend_client *c)
{
	static const char head[] = "{\"question\":{";
	size_t len, from = sizeof(head) - 2;
	char *line = client_line(c, &len);

	if (len < sizeof(head) + 1 || memcmp(line, head, sizeof(head) - 1) != 0 ||
	    memcmp(line + len - 2, "}}", 2) != 0)
		return NULL;
	line[len - 1] = '\0';
	return line + from;
}

static void question(struct pend_client_server *s, const json_t *o)
{
	char proto[16];
	const json_t *p = json_object_get(o, "protocol");
	struct pend_client_question q = {
		.id = client_text(o, "id"),
		.authority = client_text(o, "authority"),
		.protocol = client_text(o, "protocol"),
		.source = client_text(o, "source"),
		.dest = client_text(o, "dest"),
		.interface = client_text(o, "interface"),
		.source_port = (uint16_t)number_of(o, "source_port"),
		.dest_port = (uint16_t)number_of(o, "dest_port"),
		.rule = (uint32_t)number_of(o, "rule"),
		.generation = (uint32_t)number_of(o, "generation"),
		.retransmits = (uint32_t)number_of(o, "retransmits"),
		.remaining_ms = number_of(o, "remaining_ms"),
	};
	char *in_line = text_in_line(s->client);
	char *json = in_line ? NULL : json_dumps(o, JSON_COMPACT);
	struct pend_client_say say = PEND_CLIENT_SAY(PEND_CLIENT_ANSWER_LATER);

	if (json_is_integer(p)) {
		snprintf(proto, sizeof(proto), "%u", (unsigned)json_integer_value(p));
		q.protocol = proto;
	}
	q.json = in_line ? in_line : json ? json : "{}";
	say.answer = s->on.question(s->ctx, s, &q);
	if (strcmp(q.authority, s->authority) != 0) /* else it goes without saying, and faster */
		say.authority = q.authority;
	if (say.answer != PEND_CLIENT_ANSWER_LATER)
		pend_client_server_say(s, q.id, &say);
	free(json);
}

static void unlock(struct pend_client_server *s, const json_t *o,
		   void (*fn)(void *, struct pend_client_server *,
			      const struct pend_client_unlock *))
{
	const struct pend_client_unlock u = {
		.token = number_of(o, "token"),
		.authority = client_text(o, "authority"),
		.source = client_text(o, "source"),
		.code = client_text(o, "code"),
		.user = client_text(o, "user"),
		.uid = (uint32_t)number_of(o, "uid"),
	};

	if (fn)
		fn(s->ctx, s, &u);
	else
		pend_client_server_unlocked(s, u.token, false, 0, "no code opens this authority");
}

static void serve_reply(struct pend_client_server *s, const json_t *v, const char **trouble)
{
	if (s->serving)
		return;
	if (!json_is_true(json_object_get(v, "ok"))) {
		*trouble = client_text(json_object_get(v, "error"), "message");
		return;
	}
	s->serving = true;
	s->backoff_ms = BACKOFF_MIN;
	if (s->on.state)
		s->on.state(s->ctx, s, true, "");
}

/* Of answers that went without an id only what failed is told, or that the whole line did. */
static void refused(struct pend_client_server *s, const json_t *v)
{
	const json_t *failed = json_object_get(json_object_get(v, "result"), "failed"), *f;
	const json_t *error = json_object_get(v, "error");
	size_t i;

	if (!s->on_refused)
		return;
	json_array_foreach(failed, i, f)
		s->on_refused(s->ctx, s, client_text(f, "id"), client_text(f, "code"));
	if (error)
		s->on_refused(s->ctx, s, "", client_text(error, "code"));
}

static void foreign(struct pend_client_server *s, const json_t *v)
{
	char *text = s->on_line ? json_dumps(v, JSON_COMPACT) : NULL;

	if (text)
		s->on_line(s->ctx, s, text);
	free(text);
}

static void other_line(struct pend_client_server *s, const json_t *v, const char **trouble)
{
	const json_t *id = json_object_get(v, "id");
	bool serves = json_is_integer(id) && number_of(v, "id") == s->serve_id;

	if (serves && json_object_get(v, "ok"))
		serve_reply(s, v, trouble);
	else if (json_is_null(id))
		refused(s, v);
	else if (!serves && (json_is_integer(id) || json_object_get(v, "event")))
		foreign(s, v);
}

static const char *unserved_text(const char *why)
{
	if (!strcmp(why, "policy") || !strcmp(why, "not-found"))
		return "the authority is not in the policy any more";
	if (!strcmp(why, "heartbeat"))
		return "nothing was heard of this program for too long";
	if (!strcmp(why, "busy"))
		return "the daemon has no room for another program that serves this authority";
	return "the daemon ended the serving of this authority";
}

struct pump {
	struct pend_client_server *s;
	char why[256]; /* the serving ended: because of this */
};

static enum pend_client_error on_line(struct pend_client *c, void *ctx, json_t *v, bool *stop)
{
	struct pump *pump = ctx;
	struct pend_client_server *s = pump->s;
	const json_t *q = json_object_get(v, "question"), *w = json_object_get(v, "withdrawn"),
		     *u = json_object_get(v, "unserved"), *code = json_object_get(v, "unlock"),
		     *lock = json_object_get(v, "lock");
	const char *trouble = NULL;

	(void)c;
	if (q)
		question(s, q);
	else if (w && s->on.withdrawn)
		s->on.withdrawn(s->ctx, s, client_text(w, "id"), client_text(w, "why"));
	else if (code)
		unlock(s, code, s->on.unlock);
	else if (lock)
		unlock(s, lock, s->on.lock);
	else if (u && !strcmp(client_text(u, "authority"), s->authority))
		trouble = unserved_text(client_text(u, "why"));
	else
		other_line(s, v, &trouble);
	if (trouble)
		snprintf(pump->why, sizeof(pump->why), "%s", *trouble ? trouble : "refused");
	*stop = pump->why[0] || s->stop;
	return PEND_CLIENT_OK;
}

enum pend_client_error pend_client_server_process(struct pend_client_server *s)
{
	struct pump pump = {.s = s};
	enum pend_client_error e;

	if (!s->client) {
		if (now_ms() < s->retry_at)
			return PEND_CLIENT_OK;
		dial(s);
	}
	if (!s->client)
		return PEND_CLIENT_OK;
	e = client_read(s->client, on_line, &pump);
	if (e == PEND_CLIENT_OK)
		e = answers_send(s);
	if (e == PEND_CLIENT_OK)
		e = beat(s);
	if (e == PEND_CLIENT_OK)
		e = pend_client_flush(s->client);
	if (pump.why[0])
		lost(s, pump.why);
	else if (e != PEND_CLIENT_OK)
		lost(s, pend_client_message(s->client));
	return e == PEND_CLIENT_E_NO_MEMORY ? e : PEND_CLIENT_OK;
}

int pend_client_server_fd(const struct pend_client_server *s)
{
	return s->client ? pend_client_fd(s->client) : -1;
}

bool pend_client_server_wants_write(const struct pend_client_server *s)
{
	return s->client && (s->len || pend_client_wants_write(s->client));
}

int pend_client_server_timeout_ms(const struct pend_client_server *s)
{
	int64_t left;

	if (s->client && !s->heartbeat_s)
		return -1;
	left = (s->client ? s->beat_at : s->retry_at) - now_ms();
	return left > 0 ? (int)left : 0;
}

static int wait_ms(int ms)
{
	return ms < 0 || ms > STOP_MS ? STOP_MS : ms;
}

enum pend_client_error pend_client_server_run(struct pend_client_server *s)
{
	enum pend_client_error e = pend_client_server_process(s);

	while (e == PEND_CLIENT_OK && !s->stop) {
		struct pollfd p = {.fd = pend_client_server_fd(s), .events = POLLIN};

		if (pend_client_server_wants_write(s))
			p.events |= POLLOUT;
		/* a signal handler may have said stop just before */
		poll(&p, 1, wait_ms(pend_client_server_timeout_ms(s)));
		if (!s->stop)
			e = pend_client_server_process(s);
	}
	if (s->client && answers_send(s) == PEND_CLIENT_OK)
		pend_client_flush(s->client);
	return e;
}
