/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See agents.h. */
#include "daemon/agents.h"
#include "daemon/log.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#define MODULE "agents"

/* `wanted` and no process: it waits for `start_at`. */
struct one {
	struct list link;
	char *name, *config;
	uint8_t type;
	uint32_t uid, gid, generation;
	bool wanted, foreign;
	pid_t pid; /* 0: it does not run */
	bool ending, killed;
	mono_t kill_at, start_at, started;
	uint32_t backoff_ms; /* of the last start; 0: none yet */
	unsigned fails;      /* ends in a row */
};

void agents_init(struct agents *a, const struct agents_env *env)
{
	*a = (struct agents){.env = *env};
	list_init(&a->all);
}

static void one_free(struct one *o)
{
	list_del(&o->link);
	free(o->name);
	free(o->config);
	free(o);
}

void agents_deinit(struct agents *a)
{
	while (!list_empty(&a->all))
		one_free(container_of(a->all.next, struct one, link));
}

/* ---- what is wanted ---- */

static struct one *find(const struct agents *a, const char *name)
{
	for (struct list *at = a->all.next; at != &a->all; at = at->next) {
		struct one *o = container_of(at, struct one, link);

		if (strcmp(o->name, name) == 0)
			return o;
	}
	return NULL;
}

static void end(struct agents *a, struct one *o, mono_t now)
{
	if (!o->pid || o->ending)
		return;
	o->ending = true;
	o->kill_at = mono_add(now, AGENTS_GRACE_NS);
	a->env.signal(a->env.ctx, o->pid, SIGTERM);
}

static bool same(const struct one *o, const struct classify_authority *c)
{
	return o->type == c->type && o->uid == c->uid && o->gid == c->gid &&
	       strcmp(o->config, c->config) == 0;
}

static bool define(struct one *o, const struct classify_authority *c, uint32_t generation,
		   mono_t now)
{
	char *config = strdup(c->config);

	if (!config)
		return false;
	free(o->config);
	o->config = config;
	o->type = c->type;
	o->uid = c->uid;
	o->gid = c->gid;
	o->generation = generation;
	o->start_at = now;
	o->backoff_ms = 0;
	o->fails = 0;
	return true;
}

static struct one *one_new(struct agents *a, const char *name)
{
	struct one *o = calloc(1, sizeof(*o));

	if (!o)
		return NULL;
	list_add_tail(&a->all, &o->link);
	o->name = strdup(name);
	o->config = strdup("");
	if (o->name && o->config)
		return o;
	one_free(o);
	return NULL;
}

/* Told once, until it is ours again. */
static void look_whose(struct agents *a, struct one *o)
{
	bool foreign = !a->env.may(a->env.ctx, o->uid, o->gid);

	if (foreign && !o->foreign)
		log_notice(MODULE,
			   "authority %s is another user's, whom pendd may not become: start "
			   "pend-agent@%s.service, or pend-agent as that user, to serve it",
			   o->name, o->name);
	o->foreign = foreign;
}

static bool want(struct agents *a, const struct classify_authority *c, uint32_t generation,
		 mono_t now)
{
	struct one *o = find(a, c->name);
	bool fresh = !o;

	if (fresh)
		o = one_new(a, c->name);
	if (!o)
		return false;
	o->wanted = true;
	if (!fresh && same(o, c))
		return true;
	if (!define(o, c, generation, now))
		return false;
	look_whose(a, o);
	end(a, o, now);
	return true;
}

static void drop_unwanted(struct agents *a, mono_t now)
{
	struct list *at, *tmp;

	list_foreach(at, tmp, &a->all) {
		struct one *o = container_of(at, struct one, link);

		if (o->wanted)
			continue;
		if (o->pid)
			end(a, o, now);
		else
			one_free(o);
	}
}

static void want_none(struct agents *a)
{
	for (struct list *at = a->all.next; at != &a->all; at = at->next)
		container_of(at, struct one, link)->wanted = false;
}

int agents_want(struct agents *a, const struct classify_authority *list, uint32_t n,
		uint32_t generation, mono_t now)
{
	int r = 0;

	want_none(a);
	for (uint32_t i = 0; i < n; i++)
		if (classify_authority_is_ours(list[i].type) && !want(a, &list[i], generation, now))
			r = -ENOMEM;
	drop_unwanted(a, now);
	return r;
}

void agents_end(struct agents *a, mono_t now)
{
	want_none(a);
	drop_unwanted(a, now);
}

/* ---- processes ---- */

/* At once the first time, and ever slower when it ends again and again. */
static void start_later(struct one *o, mono_t now)
{
	if (o->started.ns && mono_since(now, o->started) > AGENTS_CALM_NS) {
		o->backoff_ms = 0;
		o->fails = 0;
	}
	o->fails++;
	o->backoff_ms = o->backoff_ms ? 2 * o->backoff_ms : AGENTS_BACKOFF_MS;
	if (o->backoff_ms > AGENTS_SLOWEST_MS)
		o->backoff_ms = AGENTS_SLOWEST_MS;
	o->start_at = mono_add(now, o->backoff_ms * MONO_NS_PER_MS);
}

static void start(struct agents *a, struct one *o, mono_t now)
{
	const struct agents_start s = {
		.name = o->name, .uid = o->uid, .gid = o->gid, .generation = o->generation};
	pid_t pid = a->env.start(a->env.ctx, &s);

	o->ending = o->killed = false;
	o->started = now;
	if (pid > 0) {
		o->pid = pid;
		return;
	}
	log_error(MODULE, "cannot start the program of authority %s: %s", o->name, strerror(-pid));
	start_later(o, now);
}

static bool startable(const struct one *o)
{
	return o->wanted && !o->foreign && !o->pid;
}

mono_t agents_work(struct agents *a, mono_t now)
{
	mono_t next = MONO_NEVER;

	for (struct list *at = a->all.next; at != &a->all; at = at->next) {
		struct one *o = container_of(at, struct one, link);

		if (startable(o) && !mono_before(now, o->start_at))
			start(a, o, now);
		if (o->ending && !o->killed && !mono_before(now, o->kill_at)) {
			o->killed = true;
			a->env.signal(a->env.ctx, o->pid, SIGKILL);
		}
		if (startable(o) && mono_before(o->start_at, next))
			next = o->start_at;
		if (o->ending && !o->killed && mono_before(o->kill_at, next))
			next = o->kill_at;
	}
	return next;
}

static void tell_end(const struct one *o, int status)
{
	if (WIFSIGNALED(status))
		log_error(MODULE, "the program of authority %s was ended by signal %d", o->name,
			  WTERMSIG(status));
	else
		log_error(MODULE, "the program of authority %s ended with status %d", o->name,
			  WEXITSTATUS(status));
}

bool agents_ended(struct agents *a, pid_t pid, int status, mono_t now)
{
	struct one *o = NULL;

	for (struct list *at = a->all.next; at != &a->all && !o; at = at->next)
		if (container_of(at, struct one, link)->pid == pid)
			o = container_of(at, struct one, link);
	if (!o)
		return false;
	o->pid = 0;
	if (!o->wanted) {
		one_free(o);
		return true;
	}
	if (!o->ending) { /* else a new definition waits for this */
		tell_end(o, status);
		a->restarts++;
		start_later(o, now);
	}
	o->ending = false;
	return true;
}

pid_t agents_next(const struct agents *a, pid_t pid)
{
	bool seen = !pid;

	for (struct list *at = a->all.next; at != &a->all; at = at->next) {
		const struct one *o = container_of(at, struct one, link);

		if (seen && o->pid)
			return o->pid;
		seen = seen || o->pid == pid;
	}
	return 0;
}

void agents_stats(const struct agents *a, struct agents_stats *out)
{
	*out = (struct agents_stats){.restarts = a->restarts};
	for (struct list *at = a->all.next; at != &a->all; at = at->next) {
		const struct one *o = container_of(at, struct one, link);

		out->running += o->pid > 0;
		out->foreign += o->wanted && o->foreign;
		out->wanted += o->wanted && !o->foreign;
		out->failing += startable(o) && o->fails >= AGENTS_FAILING;
	}
}
