/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The client library; see pend-client.h. Everything goes through one path: bytes are fed in, whole
 * lines come out as JSON values, a sink looks at each. Blocking calls are a loop around that.
 */
#include "client/client_impl.h"
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define READ_SIZE   65536
#define EVENTS_HELD 4096 /* events that came during a call; above that the oldest go */

struct buffer {
	char *data;
	size_t len, cap;
};

struct pend_client {
	int fd;
	bool greeted;
	enum pend_client_error failed; /* the connection is of no use any more */
	uint64_t next_id;
	struct buffer in, out;
	char *line; /* while a sink looks at it: in `in` */
	size_t line_len;
	json_t *events; /* array: held until pend_client_events */
	char version[32], role[16], code[40], message[512];
};

const char *pend_client_error_text(enum pend_client_error e)
{
	switch (e) {
	case PEND_CLIENT_OK:
		return "no error";
	case PEND_CLIENT_E_NOT_RUNNING:
		return "pendd is not running";
	case PEND_CLIENT_E_DENIED:
		return "permission denied";
	case PEND_CLIENT_E_BUSY:
		return "pendd has too many clients";
	case PEND_CLIENT_E_TIMEOUT:
		return "pendd did not answer in time";
	case PEND_CLIENT_E_CLOSED:
		return "pendd closed the connection";
	case PEND_CLIENT_E_PROTOCOL:
		return "what answers is not pendd, or another version of it";
	case PEND_CLIENT_E_REMOTE:
		return "pendd answered with an error";
	case PEND_CLIENT_E_INVALID:
		return "invalid argument";
	case PEND_CLIENT_E_NO_MEMORY:
		return "out of memory";
	case PEND_CLIENT_E_SYSTEM:
		return "system error";
	}
	return "unknown error";
}

__attribute__((format(printf, 4, 5))) static enum pend_client_error
fail(struct pend_client *c, enum pend_client_error e, const char *code, const char *fmt, ...)
{
	va_list ap;

	snprintf(c->code, sizeof(c->code), "%s", code ? code : "");
	va_start(ap, fmt);
	vsnprintf(c->message, sizeof(c->message), fmt, ap);
	va_end(ap);
	return e;
}

/* A failure after which the stream cannot be used. */
static enum pend_client_error fail_for_good(struct pend_client *c, enum pend_client_error e,
					    const char *text)
{
	c->failed = e;
	return fail(c, e, NULL, "%s", text);
}

static bool buffer_add(struct buffer *b, const void *data, size_t len)
{
	size_t cap = b->cap ? b->cap : 4096;
	char *p;

	while (cap < b->len + len)
		cap *= 2;
	if (cap != b->cap) {
		p = realloc(b->data, cap);
		if (!p)
			return false;
		b->data = p;
		b->cap = cap;
	}
	if (len)
		memcpy(b->data + b->len, data, len);
	b->len += len;
	return true;
}

static void buffer_drop(struct buffer *b, size_t len)
{
	b->len -= len;
	memmove(b->data, b->data + len, b->len);
}

struct pend_client *pend_client_new(void)
{
	struct pend_client *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->fd = -1;
	c->events = json_array();
	if (!c->events) {
		free(c);
		return NULL;
	}
	return c;
}

void pend_client_close(struct pend_client *c)
{
	if (!c)
		return;
	if (c->fd >= 0)
		close(c->fd);
	free(c->in.data);
	free(c->out.data);
	json_decref(c->events);
	free(c);
}

const char *pend_client_version(const struct pend_client *c)
{
	return c->version;
}

const char *pend_client_role(const struct pend_client *c)
{
	return c->role;
}

const char *pend_client_code(const struct pend_client *c)
{
	return c->code;
}

const char *pend_client_message(const struct pend_client *c)
{
	return c->message;
}

int pend_client_fd(const struct pend_client *c)
{
	return c->fd;
}

bool pend_client_wants_write(const struct pend_client *c)
{
	return c->out.len > 0;
}

const void *pend_client_output(const struct pend_client *c, size_t *len)
{
	*len = c->out.len;
	return c->out.data;
}

void pend_client_sent(struct pend_client *c, size_t len)
{
	buffer_drop(&c->out, len < c->out.len ? len : c->out.len);
}

/* ----------------------------------------------------------- lines of the server ---- */

const char *client_text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static enum pend_client_error remote_error(struct pend_client *c, const json_t *error)
{
	const char *code = client_text(error, "code");
	enum pend_client_error e = PEND_CLIENT_E_REMOTE;

	if (strcmp(code, "denied") == 0)
		e = PEND_CLIENT_E_DENIED;
	if (strcmp(code, "timeout") == 0)
		e = PEND_CLIENT_E_TIMEOUT;
	return fail(c, e, code, "%s", client_text(error, "message"));
}

static enum pend_client_error greeting(struct pend_client *c, const json_t *v)
{
	const json_t *pend = json_object_get(v, "pend"), *error = json_object_get(v, "error");
	enum pend_client_error e;

	if (!json_is_object(pend))
		return fail_for_good(c, PEND_CLIENT_E_PROTOCOL, "what answers there is not pendd");
	c->greeted = true;
	snprintf(c->version, sizeof(c->version), "%s", client_text(pend, "version"));
	snprintf(c->role, sizeof(c->role), "%s", client_text(pend, "role"));
	if (json_is_object(error)) {
		e = remote_error(c, error);
		if (strcmp(c->code, "busy") == 0)
			e = PEND_CLIENT_E_BUSY;
		c->failed = e;
		return e;
	}
	if (json_integer_value(json_object_get(pend, "protocol")) != PEND_CLIENT_PROTOCOL)
		return fail_for_good(c, PEND_CLIENT_E_PROTOCOL,
				     "pendd speaks another version of the protocol");
	return PEND_CLIENT_OK;
}

static enum pend_client_error take_line(struct pend_client *c, const char *line, size_t len,
					client_sink_fn sink, void *ctx, bool *stop)
{
	json_error_t je;
	json_t *v = json_loadb(line, len, JSON_REJECT_DUPLICATES, &je);
	enum pend_client_error e;

	if (!json_is_object(v)) {
		json_decref(v);
		return fail_for_good(c, PEND_CLIENT_E_PROTOCOL, "pendd sent what is not an object");
	}
	if (c->greeted) {
		e = sink(c, ctx, v, stop);
	} else {
		e = greeting(c, v);
		*stop = !sink;
	}
	json_decref(v);
	return e;
}

/* Hands whole lines to the sink; after *stop the remaining ones stay in the buffer. */
static enum pend_client_error take_lines(struct pend_client *c, client_sink_fn sink, void *ctx,
					 bool *stop)
{
	enum pend_client_error e = c->failed;
	size_t used = 0;

	while (e == PEND_CLIENT_OK && !*stop && used < c->in.len) {
		const char *nl = memchr(c->in.data + used, '\n', c->in.len - used);

		if (!nl)
			break;
		c->line = c->in.data + used;
		c->line_len = (size_t)(nl - c->line);
		used += c->line_len + 1;
		e = take_line(c, c->line, c->line_len, sink, ctx, stop);
	}
	if (used)
		buffer_drop(&c->in, used);
	if (e == PEND_CLIENT_OK && !*stop && c->in.len > PEND_CLIENT_LINE_MAX)
		return fail_for_good(c, PEND_CLIENT_E_PROTOCOL, "pendd sent a line without end");
	return e;
}

static enum pend_client_error feed(struct pend_client *c, const void *data, size_t len,
				   client_sink_fn sink, void *ctx, bool *stop)
{
	if (c->failed)
		return c->failed;
	if (!buffer_add(&c->in, data, len))
		return fail_for_good(c, PEND_CLIENT_E_NO_MEMORY, "out of memory");
	return take_lines(c, sink, ctx, stop);
}

char *client_line(const struct pend_client *c, size_t *len)
{
	*len = c->line_len;
	return c->line;
}

struct line_sink {
	pend_client_fn fn;
	void *ctx;
};

static enum pend_client_error sink_text(struct pend_client *c, pend_client_fn fn, void *ctx,
					const json_t *v, bool *more)
{
	char *text = json_dumps(v, JSON_COMPACT);

	if (!text)
		return fail_for_good(c, PEND_CLIENT_E_NO_MEMORY, "out of memory");
	*more = fn ? fn(ctx, text) : true;
	free(text);
	return PEND_CLIENT_OK;
}

static enum pend_client_error sink_lines(struct pend_client *c, void *ctx, json_t *v, bool *stop)
{
	const struct line_sink *s = ctx;
	bool more;

	(void)stop;
	return sink_text(c, s->fn, s->ctx, v, &more);
}

enum pend_client_error pend_client_feed(struct pend_client *c, const void *data, size_t len,
					pend_client_fn fn, void *ctx)
{
	struct line_sink s = {fn, ctx};
	bool stop = false;

	return feed(c, data, len, sink_lines, &s, &stop);
}

/* One read, without blocking. */
static enum pend_client_error read_some(struct pend_client *c, client_sink_fn sink, void *ctx,
					bool *stop)
{
	char buf[READ_SIZE];
	ssize_t n;

	do
		n = recv(c->fd, buf, sizeof(buf), MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n > 0)
		return feed(c, buf, (size_t)n, sink, ctx, stop);
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return PEND_CLIENT_OK;
	if (n < 0 && errno != ECONNRESET)
		return fail(c, c->failed = PEND_CLIENT_E_SYSTEM, NULL, "cannot read: %s",
			    strerror(errno));
	return fail_for_good(c, PEND_CLIENT_E_CLOSED, "pendd closed the connection");
}

enum pend_client_error pend_client_read(struct pend_client *c, pend_client_fn fn, void *ctx)
{
	struct line_sink s = {fn, ctx};
	bool stop = false;

	return c->failed ? c->failed : read_some(c, sink_lines, &s, &stop);
}

enum pend_client_error client_read(struct pend_client *c, client_sink_fn sink, void *ctx)
{
	bool stop = false;
	enum pend_client_error e = c->failed ? c->failed : take_lines(c, sink, ctx, &stop);

	return e == PEND_CLIENT_OK ? read_some(c, sink, ctx, &stop) : e;
}

/* ---------------------------------------------------------------------- requests ---- */

enum pend_client_error client_put(struct pend_client *c, const char *text, size_t len)
{
	if (c->failed)
		return c->failed;
	if (!buffer_add(&c->out, text, len))
		return fail_for_good(c, PEND_CLIENT_E_NO_MEMORY, "out of memory");
	return PEND_CLIENT_OK;
}

static json_t *request_make(struct pend_client *c, const char *op, const char *args)
{
	json_t *o = args ? json_loads(args, JSON_REJECT_DUPLICATES, NULL) : json_object();

	if (!json_is_object(o)) {
		json_decref(o);
		return NULL;
	}
	if (json_object_set_new(o, "op", json_string(op)) < 0 ||
	    json_object_set_new(o, "id", json_integer((json_int_t)++c->next_id)) < 0) {
		json_decref(o);
		return NULL;
	}
	return o;
}

enum pend_client_error pend_client_send(struct pend_client *c, const char *op, const char *args,
					uint64_t *id)
{
	json_t *o;
	char *text;
	bool ok;

	if (c->failed)
		return c->failed;
	o = request_make(c, op, args);
	if (!o)
		return fail(c, PEND_CLIENT_E_INVALID, NULL, "the arguments are not a JSON object");
	text = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	ok = text && buffer_add(&c->out, text, strlen(text)) && buffer_add(&c->out, "\n", 1);
	free(text);
	if (!ok)
		return fail_for_good(c, PEND_CLIENT_E_NO_MEMORY, "out of memory");
	if (id)
		*id = c->next_id;
	return PEND_CLIENT_OK;
}

enum pend_client_error pend_client_flush(struct pend_client *c)
{
	while (c->out.len && !c->failed) {
		ssize_t n = send(c->fd, c->out.data, c->out.len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n >= 0)
			buffer_drop(&c->out, (size_t)n);
		else if (errno == EAGAIN)
			break;
		else if (errno == EPIPE || errno == ECONNRESET)
			/* it may have said why: that is still to be read */
			c->out.len = 0;
		else if (errno != EINTR)
			return fail_for_good(c, PEND_CLIENT_E_SYSTEM, "cannot write");
	}
	return c->failed;
}

/* ------------------------------------------------------------------ blocking use ---- */

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Wait for the socket until `deadline` (INT64_MAX: for ever). */
static enum pend_client_error wait_socket(struct pend_client *c, int64_t deadline)
{
	struct pollfd p = {.fd = c->fd, .events = POLLIN};
	int64_t left = deadline - now_ms();
	int n;

	if (c->out.len)
		p.events |= POLLOUT;
	if (deadline == INT64_MAX)
		left = -1;
	else if (left < 0)
		left = 0;
	n = poll(&p, 1, left > 1000000 ? 1000000 : (int)left);
	if (n < 0 && errno != EINTR)
		return fail_for_good(c, PEND_CLIENT_E_SYSTEM, "cannot wait");
	if (n == 0 && deadline != INT64_MAX && now_ms() >= deadline)
		return fail(c, PEND_CLIENT_E_TIMEOUT, NULL, "pendd did not answer in time");
	return PEND_CLIENT_OK;
}

/* Run the connection until the sink says stop. The deadline begins anew with every progress. */
static enum pend_client_error run(struct pend_client *c, int timeout_ms, client_sink_fn sink,
				  void *ctx)
{
	enum pend_client_error e = PEND_CLIENT_OK;
	bool stop = false;

	e = take_lines(c, sink, ctx, &stop);
	while (e == PEND_CLIENT_OK && !stop) {
		int64_t deadline = timeout_ms < 0 ? INT64_MAX : now_ms() + timeout_ms;

		e = pend_client_flush(c);
		if (e == PEND_CLIENT_OK)
			e = wait_socket(c, deadline);
		if (e == PEND_CLIENT_OK)
			e = read_some(c, sink, ctx, &stop);
	}
	return e;
}

static void hold_event(struct pend_client *c, json_t *event)
{
	if (json_array_size(c->events) >= EVENTS_HELD)
		json_array_remove(c->events, 0);
	json_array_append(c->events, event);
}

struct call {
	uint64_t id;
	pend_client_fn part;
	void *ctx;
	char **result;
};

static enum pend_client_error call_end(struct pend_client *c, const struct call *call, json_t *v)
{
	const json_t *result = json_object_get(v, "result");

	if (call->result && result) {
		*call->result = json_dumps(result, JSON_COMPACT | JSON_ENCODE_ANY);
		if (!*call->result)
			return fail_for_good(c, PEND_CLIENT_E_NO_MEMORY, "out of memory");
	}
	if (json_is_true(json_object_get(v, "ok")))
		return PEND_CLIENT_OK;
	return remote_error(c, json_object_get(v, "error"));
}

/* The error lines without an id are about a line that could not be read: ours, or none at all. */
static bool is_ours(const struct call *call, const json_t *v)
{
	const json_t *id = json_object_get(v, "id");

	return json_is_null(id) || (json_is_integer(id) && json_integer_value(id) >= 0 &&
				    (uint64_t)json_integer_value(id) == call->id);
}

static enum pend_client_error sink_call(struct pend_client *c, void *ctx, json_t *v, bool *stop)
{
	const struct call *call = ctx;
	json_t *event = json_object_get(v, "event"), *result = json_object_get(v, "result");
	enum pend_client_error e = PEND_CLIENT_OK;
	bool more = true;

	if (event) {
		hold_event(c, event);
		return PEND_CLIENT_OK;
	}
	if (!is_ours(call, v))
		return PEND_CLIENT_OK;
	if (result && call->part)
		e = sink_text(c, call->part, call->ctx, result, &more);
	*stop = !more || !json_is_true(json_object_get(v, "more"));
	if (e != PEND_CLIENT_OK || json_is_true(json_object_get(v, "more")))
		return e;
	return call_end(c, call, v);
}

enum pend_client_error pend_client_call(struct pend_client *c, const char *op, const char *args,
					int timeout_ms, pend_client_fn part, void *ctx,
					char **result)
{
	struct call call = {.part = part, .ctx = ctx, .result = result};
	enum pend_client_error e;

	if (result)
		*result = NULL;
	c->code[0] = c->message[0] = '\0';
	e = pend_client_send(c, op, args, &call.id);
	if (e != PEND_CLIENT_OK)
		return e;
	return run(c, timeout_ms, sink_call, &call);
}

static enum pend_client_error sink_event(struct pend_client *c, void *ctx, json_t *v, bool *stop)
{
	const struct line_sink *s = ctx;
	const json_t *event = json_object_get(v, "event");
	bool more = true;
	enum pend_client_error e;

	if (!event)
		return PEND_CLIENT_OK;
	e = sink_text(c, s->fn, s->ctx, event, &more);
	*stop = !more;
	return e;
}

enum pend_client_error pend_client_events(struct pend_client *c, int timeout_ms, pend_client_fn fn,
					  void *ctx)
{
	struct line_sink s = {fn, ctx};
	bool more = true;

	while (json_array_size(c->events)) {
		json_t *first = json_incref(json_array_get(c->events, 0));
		enum pend_client_error e;

		json_array_remove(c->events, 0);
		e = sink_text(c, fn, ctx, first, &more);
		json_decref(first);
		if (e != PEND_CLIENT_OK || !more)
			return e;
	}
	return run(c, timeout_ms, sink_event, &s);
}

static enum pend_client_error complete_result(struct pend_client *c, const char *text)
{
	json_t *o = json_loads(text ? text : "{}", 0, NULL);
	const json_t *failed = json_array_get(json_object_get(o, "failed"), 0);
	enum pend_client_error e = PEND_CLIENT_OK;

	if (failed)
		e = fail(c, PEND_CLIENT_E_REMOTE, client_text(failed, "code"),
			 "%s is not pending (any more)", client_text(failed, "id"));
	json_decref(o);
	return e;
}

enum pend_client_error pend_client_complete(struct pend_client *c, const char *id,
					    enum pend_client_verdict v, const char *how,
					    int timeout_ms)
{
	json_t *o = json_pack("{s:[s],s:s}", "ids", id, "verdict",
			      v == PEND_CLIENT_PERMIT ? "permit" : "block");
	enum pend_client_error e;
	char *args, *result = NULL;

	if (o && how)
		json_object_set_new(o, "block", json_string(how));
	args = o ? json_dumps(o, 0) : NULL;
	json_decref(o);
	if (!args)
		return fail(c, PEND_CLIENT_E_INVALID, NULL, "the id is not valid text");
	e = pend_client_call(c, "complete", args, timeout_ms, NULL, NULL, &result);
	if (e == PEND_CLIENT_OK)
		e = complete_result(c, result);
	free(args);
	free(result);
	return e;
}

/* ------------------------------------------------------------------------ connect ---- */

static enum pend_client_error dial_failed(struct pend_client *c, const char *path, int err)
{
	switch (err) {
	case ENOENT:
	case ECONNREFUSED:
		return fail(c, c->failed = PEND_CLIENT_E_NOT_RUNNING, NULL,
			    "pendd is not running (nothing answers at %s)", path);
	case EACCES:
	case EPERM:
		return fail(c, c->failed = PEND_CLIENT_E_DENIED, "denied",
			    "%s: permission denied: be root or a member of pendd's control or "
			    "observe group",
			    path);
	case EAGAIN:
		return fail(c, c->failed = PEND_CLIENT_E_BUSY, "busy",
			    "%s: too many connections wait: try again", path);
	}
	return fail(c, c->failed = PEND_CLIENT_E_SYSTEM, NULL, "%s: %s", path, strerror(err));
}

/* A Unix socket connects at once or not at all (EAGAIN: the listener's queue is full). */
static enum pend_client_error dial(struct pend_client *c, const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};

	if (strlen(path) >= sizeof(addr.sun_path))
		return fail(c, c->failed = PEND_CLIENT_E_INVALID, NULL, "%s: path too long", path);
	memcpy(addr.sun_path, path, strlen(path));
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (c->fd < 0 || connect(c->fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0)
		return dial_failed(c, path, errno);
	return PEND_CLIENT_OK;
}

/* Without a sink the input stops behind the greeting, and the rest stays for the first call. */
static enum pend_client_error wait_greeting(struct pend_client *c, int timeout_ms)
{
	int64_t deadline = timeout_ms < 0 ? INT64_MAX : now_ms() + timeout_ms;
	enum pend_client_error e = PEND_CLIENT_OK;
	bool stop = false;

	while (e == PEND_CLIENT_OK && !c->greeted) {
		e = wait_socket(c, deadline);
		if (e == PEND_CLIENT_OK)
			e = read_some(c, NULL, NULL, &stop);
	}
	return e;
}

enum pend_client_error pend_client_connect(struct pend_client **out, const char *path,
					   int timeout_ms)
{
	struct pend_client *c = pend_client_new();
	enum pend_client_error e;

	*out = c;
	if (!c)
		return PEND_CLIENT_E_NO_MEMORY;
	e = dial(c, path ? path : PEND_CLIENT_SOCKET);
	return e == PEND_CLIENT_OK ? wait_greeting(c, timeout_ms) : e;
}
