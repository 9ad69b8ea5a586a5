/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The clients of the control socket, and what the control server asks of the authority process. */
#include "daemon/authority_impl.h"
#include "daemon/log.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Its definition names them, or it is one of our own programs, which may be asked for nothing else. */
static bool named(const struct authority *a, const struct usock_peer *p,
		  const struct classify_authority *c)
{
	if (c->uid != UINT32_MAX && p->uid == c->uid)
		return true;
	if (c->gid != UINT32_MAX && usock_peer_in(p, c->gid))
		return true;
	return c->uid == UINT32_MAX && classify_authority_is_ours(c->type) &&
	       a->agents_uid != UINT32_MAX && p->uid == a->agents_uid;
}

/* NULL: any of the policy in force. */
static bool serves(const struct authority *a, const struct usock_peer *p, const char *name)
{
	const struct classifier *k = a->view.classifier;
	uint32_t n = k ? classify_authorities(k) : 0;
	struct classify_authority c;

	for (uint32_t i = 0; i < n; i++)
		if (classify_authority(k, (uint16_t)i, &c) && (!name || !strcmp(c.name, name)) &&
		    named(a, p, &c))
			return true;
	return false;
}

static bool env_may_serve(void *ctx, void *client, const char *name)
{
	return serves(ctx, usock_peer(client), name);
}

static enum role role_of(const struct authority *a, const struct usock_peer *p)
{
	if (p->uid == 0 || p->uid == geteuid())
		return ROLE_ADMIN;
	if (a->control_gid != (gid_t)-1 && usock_peer_in(p, a->control_gid))
		return ROLE_ADMIN;
	if (a->observe_gid != (gid_t)-1 && usock_peer_in(p, a->observe_gid))
		return ROLE_OBSERVE;
	return serves(a, p, NULL) ? ROLE_SERVE : ROLE_NONE;
}

static void client_open(void *ctx, struct usock_client *c)
{
	struct authority *a = ctx;
	const struct usock_peer *peer = usock_peer(c);
	struct control_client *cc = control_open(a->control, c, role_of(a, peer), peer->uid);

	if (cc)
		control_pid(cc, peer->pid);
	usock_set_user(c, cc);
	if (!cc)
		usock_kill(c);
}

static void client_line(void *ctx, struct usock_client *c, char *line, size_t len)
{
	(void)ctx;
	if (usock_user(c))
		control_line(usock_user(c), line, len);
}

static void client_overlong(void *ctx, struct usock_client *c)
{
	(void)ctx;
	if (usock_user(c))
		control_overlong(usock_user(c));
}

static void client_eof(void *ctx, struct usock_client *c)
{
	(void)ctx;
	if (usock_user(c))
		control_eof(usock_user(c));
}

static void client_drained(void *ctx, struct usock_client *c)
{
	(void)ctx;
	if (usock_user(c))
		control_drained(usock_user(c));
}

static void client_closed(void *ctx, struct usock_client *c)
{
	(void)ctx;
	control_closed(usock_user(c));
	usock_set_user(c, NULL);
}

static const struct usock_handler client_handler = {
	.open = client_open,
	.line = client_line,
	.overlong = client_overlong,
	.eof = client_eof,
	.drained = client_drained,
	.closed = client_closed,
};

static void env_write(void *client, const char *line, size_t len)
{
	usock_send(client, line, len);
}

static int env_post_fd(void *ctx, unsigned worker, const struct msg *m, int fd)
{
	return authority_post_fd(ctx, worker, m, fd);
}

static bool env_backlogged(void *client)
{
	return usock_backlogged(client);
}

static bool env_busy(void *client)
{
	return usock_busy(client);
}

static void env_close(void *client)
{
	usock_close(client);
}

static int env_reload(void *ctx, enum reload_kind kind, const char *text, size_t len, uint32_t seq)
{
	static const enum amend_kind kinds[] = {[RELOAD_LOAD] = AMEND_RELOAD,
						[RELOAD_CHECK] = AMEND_CHECK,
						[RELOAD_DRY] = AMEND_DRY};
	struct authority *a = ctx;
	struct amend *ch = amend_new(kinds[kind]);
	int r = ch ? 0 : -ENOMEM;

	if (r == 0 && text) {
		ch->text = malloc(len + 1);
		r = ch->text ? 0 : -ENOMEM;
	}
	if (r == 0 && text) {
		memcpy(ch->text, text, len);
		ch->text[len] = '\0';
		ch->len = len;
	}
	if (r == 0) {
		ch->seq = seq;
		control_who(a->control, seq, &ch->terms.who);
		r = changes_add(a->changes, ch);
	}
	if (r < 0)
		amend_free(ch);
	return r;
}

static int env_change(void *ctx, struct amend *ch)
{
	struct authority *a = ctx;

	return changes_add(a->changes, ch);
}

static void env_session(void *ctx, uint64_t session, const struct overlay_who *who)
{
	struct authority *a = ctx;

	changes_session(a->changes, session, who);
}

static const struct overlay *env_overlay(void *ctx)
{
	struct authority *a = ctx;

	return changes_overlay(a->changes);
}

static int env_sync(void *ctx, uint32_t seq)
{
	struct authority *a = ctx;

	return lasting_sync(a->lasting, seq);
}

static void env_forget_begin(void *ctx)
{
	struct authority *a = ctx;

	lasting_forget_begin(a->lasting);
}

static void env_forget_end(void *ctx, const struct store_which *w)
{
	struct authority *a = ctx;

	lasting_forget_end(a->lasting, w);
}

static int env_history(void *ctx, const struct store_query *q, uint32_t seq)
{
	struct authority *a = ctx;

	return lasting_query(a->lasting, q, seq);
}

static void set_int(json_t *o, const char *key, uint64_t v)
{
	json_object_set_new(o, key, json_integer((json_int_t)v));
}

static void env_figures(void *ctx, json_t *status)
{
	const struct authority *a = ctx;
	const struct usock_stats *u = usock_stats(a->usock);
	const struct control_stats *c = control_stats(a->control);
	const struct changes_stats *g = changes_stats(a->changes);
	const struct ask_stats *q = ask_stats(askers_ask(a->askers));
	json_t *o = json_object();

	set_int(o, "busy_polls", loop_busy(a->loop)->tries);
	set_int(o, "busy_poll_answers", loop_busy(a->loop)->answers);
	set_int(o, "clients", u->clients);
	set_int(o, "accepted", u->accepted);
	set_int(o, "refused", u->refused + c->denied);
	set_int(o, "overrun", u->overrun + u->stalled);
	set_int(o, "requests", c->requests);
	set_int(o, "errors", c->errors);
	set_int(o, "malformed", c->not_json + c->overlong);
	set_int(o, "subscriptions_lost", c->subscriptions_lost);
	set_int(o, "timeouts", c->timeouts);
	set_int(o, "stray_answers", c->stray);
	set_int(o, "unlocks", c->unlocks);
	set_int(o, "unlocks_refused", c->unlocks_refused);
	set_int(o, "bad_messages", a->bad_messages);
	set_int(o, "questions", a->questions);
	set_int(o, "questions_open", q->open);
	set_int(o, "questions_decided", q->decided);
	set_int(o, "questions_limited", q->limited);
	set_int(o, "answers_ambiguous", q->ambiguous);
	set_int(o, "swept", a->sweep.decided);
	set_int(o, "servers_silent", c->silent);
	set_int(o, "events", events_count(a->events));
	set_int(o, "log_dropped", log_dropped());
	set_int(o, "changes", g->in_force);
	set_int(o, "changes_failed", g->failed);
	set_int(o, "changes_refused", g->busy);
	set_int(o, "changes_halved", g->halved);
	set_int(o, "policies_made", g->compiled);
	set_int(o, "sets_edited", g->patched);
	json_object_set_new(status, "control", o);
	lasting_figures(a->lasting, status);
}

static const struct classify_listener *env_listener(void *ctx, const struct pend_values *v,
						    unsigned need)
{
	const struct authority *a = ctx;

	return listeners_find(a->listeners, v, need);
}

int authority_open_control(struct authority *a)
{
	const struct control_env env = {
		.ctx = a,
		.loop = a->loop,
		.view = &a->view,
		.events = a->events,
		.workers = a->args->workers,
		.ask = askers_ask(a->askers),
		.notes = a->notes,
		.config = a->args->config,
		.post = authority_post,
		.post_fd = env_post_fd,
		.reload = env_reload,
		.change = env_change,
		.session = env_session,
		.overlay = env_overlay,
		.sync = env_sync,
		.forget_begin = env_forget_begin,
		.forget_end = env_forget_end,
		.history = env_history,
		.journal = a->journal,
		.follow = authority_follow,
		.figures = env_figures,
		.listener = env_listener,
		.write = env_write,
		.backlogged = env_backlogged,
		.busy = env_busy,
		.close = env_close,
		.may_serve = env_may_serve,
	};
	const struct usock_limits limits = {
		.max_clients = a->view.settings.max_clients,
		.reserve = 8,
		.line_max = CONTROL_LINE_MAX,
		.out_high = 256u << 10,
		.out_low = 64u << 10,
		.out_max = 8u << 20,
		.stall_ns = 30 * MONO_NS_PER_S,
		.refusal = "{\"pend\":{\"version\":\"" PEND_VERSION
			   "\",\"protocol\":1,\"role\":null},\"error\":{\"code\":\"busy\","
			   "\"message\":\"too many control connections: close some\"}}\n",
	};
	int r = control_new(&a->control, &env);

	if (r == 0)
		r = usock_new(&a->usock, a->loop, a->args->listen_fd, &client_handler, a, &limits);
	return r;
}
