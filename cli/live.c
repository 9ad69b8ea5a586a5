/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A connection for screens; see live.h. */
#include "cli/live.h"
#include "cli/out.h"
#include <stdlib.h>
#include <string.h>

void live_init(struct live *l, const char *path, const struct live_ops *ops, void *ctx)
{
	*l = (struct live){.path = path, .ops = ops, .ctx = ctx};
}

static void calls_forget(struct live *l)
{
	for (size_t i = 0; i < LIVE_CALLS; i++) {
		json_decref(l->call[i].all);
		l->call[i] = (struct live_call){0};
	}
}

void live_deinit(struct live *l)
{
	calls_forget(l);
	pend_client_close(l->client);
	l->client = NULL;
}

static void go_down(struct live *l, enum pend_client_error e, const char *why, int64_t now)
{
	char text[512];

	snprintf(text, sizeof(text), "%s", why && *why ? why : pend_client_error_text(e));
	live_deinit(l);
	l->retry_at = now + LIVE_RETRY_MS;
	if (!l->told_down)
		l->ops->down(l->ctx, e, text);
	l->told_down = true;
}

static void go_up(struct live *l, int64_t now)
{
	enum pend_client_error e = pend_client_connect(&l->client, l->path, LIVE_GREETING_MS);

	if (e != PEND_CLIENT_OK) {
		go_down(l, e, l->client ? pend_client_message(l->client) : NULL, now);
		return;
	}
	l->told_down = false;
	l->ops->up(l->ctx);
}

bool live_ask(struct live *l, const char *op, json_t *args, live_reply_fn *fn, int64_t now)
{
	char *text = args ? json_dumps(args, JSON_COMPACT) : NULL;
	struct live_call *c = l->call, *end = l->call + LIVE_CALLS;
	bool ok = false;

	json_decref(args);
	while (c < end && c->fn)
		c++;
	if (l->client && c < end &&
	    pend_client_send(l->client, op, text, &c->id) == PEND_CLIENT_OK) {
		c->fn = fn;
		c->all = json_object();
		c->deadline = now + LIVE_PATIENCE_MS;
		ok = true;
	}
	free(text);
	return ok;
}

void live_join(json_t *all, json_t *part)
{
	json_t *value;
	const char *key;

	json_object_foreach(part, key, value)
	{
		json_t *before = json_object_get(all, key);

		if (json_is_array(before) && json_is_array(value))
			json_array_extend(before, value);
		else
			json_object_set(all, key, value);
	}
}

/* The call is over before its function runs, which may ask again. */
static void reply(struct live *l, struct live_call *c, const json_t *v)
{
	const json_t *error = json_object_get(v, "error");
	struct live_call done = *c;

	*c = (struct live_call){0};
	done.fn(l->ctx, done.all, error ? out_get(error, "code") : NULL,
		error ? out_get(error, "message") : "");
	json_decref(done.all);
}

static bool take(void *ctx, const char *text)
{
	struct live *l = ctx;
	json_t *v = json_loads(text, 0, NULL), *event = json_object_get(v, "event");
	uint64_t id = (uint64_t)out_int(v, "id");

	if (event)
		l->ops->event(l->ctx, event);
	for (size_t i = 0; !event && i < LIVE_CALLS; i++) {
		struct live_call *c = &l->call[i];

		if (!c->fn || c->id != id)
			continue;
		live_join(c->all, json_object_get(v, "result"));
		if (!json_is_true(json_object_get(v, "more")))
			reply(l, c, v);
		break;
	}
	json_decref(v);
	return true;
}

static bool late(const struct live *l, int64_t now)
{
	for (size_t i = 0; i < LIVE_CALLS; i++)
		if (l->call[i].fn && l->call[i].deadline <= now)
			return true;
	return false;
}

void live_run(struct live *l, int64_t now)
{
	enum pend_client_error e;

	if (!l->client) {
		if (now < l->retry_at)
			return;
		go_up(l, now);
	}
	if (!l->client)
		return;
	e = pend_client_flush(l->client);
	if (e == PEND_CLIENT_OK)
		e = pend_client_read(l->client, take, l);
	if (e == PEND_CLIENT_OK)
		e = pend_client_flush(l->client); /* what was asked meanwhile */
	if (e != PEND_CLIENT_OK)
		go_down(l, e, pend_client_message(l->client), now);
	else if (late(l, now))
		go_down(l, PEND_CLIENT_E_TIMEOUT, NULL, now);
}

int live_fd(const struct live *l)
{
	return l->client ? pend_client_fd(l->client) : -1;
}

bool live_wants_write(const struct live *l)
{
	return l->client && pend_client_wants_write(l->client);
}

int live_timeout_ms(const struct live *l, int64_t now)
{
	int64_t first = l->client ? INT64_MAX : l->retry_at;

	for (size_t i = 0; i < LIVE_CALLS; i++)
		if (l->call[i].fn && l->call[i].deadline < first)
			first = l->call[i].deadline;
	if (first == INT64_MAX)
		return -1;
	return first <= now ? 0 : (int)(first - now);
}

bool live_done(const char *code)
{
	return !code || !strcmp(code, "store");
}

const char *live_role(const struct live *l)
{
	return l->client ? pend_client_role(l->client) : "";
}
