/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Authorities, those who serve them, and how they fail; see ask.h. */
#include "daemon/ask_impl.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- circuit breaker ---- */

bool ask_breaker_allows(struct ask *a, struct authority *au, bool *probe)
{
	*probe = false;
	if (au->breaker == ASK_CLOSED)
		return true;
	if (loop_now(a->env.loop).ns < au->open_until_ns || au->probing)
		return false;
	au->breaker = ASK_HALF_OPEN;
	au->probing = *probe = true;
	return true;
}

/* The probe decides alone, until something else has closed the breaker. */
void ask_failed(struct ask *a, struct authority *au, bool probe)
{
	bool alone = probe && au->breaker == ASK_HALF_OPEN;

	au->fails++;
	if (!alone && (au->breaker != ASK_CLOSED || au->fails < ASK_BREAKER_FAILS))
		return;
	au->backoff_ns = au->backoff_ns ? 2 * au->backoff_ns : ASK_BREAKER_MIN_NS;
	if (au->backoff_ns > ASK_BREAKER_MAX_NS)
		au->backoff_ns = ASK_BREAKER_MAX_NS;
	au->breaker = ASK_OPEN;
	au->open_until_ns = loop_now(a->env.loop).ns + au->backoff_ns;
}

/* An answer to an older question is a sign of life as good as the probe's. */
void ask_worked(struct authority *au, bool probe)
{
	(void)probe;
	au->fails = 0;
	au->backoff_ns = 0;
	au->breaker = ASK_CLOSED;
}

/* ---- how long answers take ---- */

/* Four buckets to an octave of microseconds. */
static unsigned bucket_of(uint64_t us)
{
	unsigned octave, b;

	if (us < 4)
		return (unsigned)us;
	octave = 63 - (unsigned)__builtin_clzll(us);
	b = 4 * (octave - 1) + (unsigned)(us >> (octave - 2) & 3);
	return b < ASK_BUCKETS ? b : ASK_BUCKETS - 1;
}

/* The largest value that a bucket counts. */
static uint64_t bucket_end(unsigned b)
{
	unsigned octave = b / 4 + 1;

	return b < 4 ? b : ((4ull + b % 4 + 1) << (octave - 2)) - 1;
}

void ask_measured(struct authority *au, uint64_t ns)
{
	au->stats.answers++;
	au->stats.answer_ns_sum += ns;
	au->bucket[bucket_of(ns / 1000)]++;
}

static uint64_t percentile(const struct authority *au, unsigned percent)
{
	uint64_t want = (au->stats.answers * percent + 99) / 100, sum = 0;

	for (unsigned b = 0; b < ASK_BUCKETS && want; b++) {
		sum += au->bucket[b];
		if (sum >= want)
			return bucket_end(b);
	}
	return 0;
}

/* ---- servers ---- */

struct authority *ask_authority_find(const struct ask *a, const char *name)
{
	for (struct list *at = a->authorities.next; at != &a->authorities; at = at->next) {
		struct authority *au = container_of(at, struct authority, link);

		if (!strcmp(au->name, name))
			return au;
	}
	return NULL;
}

static struct ask_server *server_find(struct authority *au, const void *client)
{
	for (struct list *at = au->servers.next; at != &au->servers; at = at->next) {
		struct ask_server *s = container_of(at, struct ask_server, of_authority);

		if (s->client == client)
			return s;
	}
	return NULL;
}

bool ask_serves(const struct ask *a, const void *client, const char *authority)
{
	struct authority *au = ask_authority_find(a, authority);

	return au && server_find(au, client);
}

bool ask_is_taken(const struct ask *a, const char *authority)
{
	const struct authority *au = ask_authority_find(a, authority);

	return au && au->def.alone && au->nservers;
}

void *ask_server_client(const struct ask *a, const char *authority)
{
	struct authority *au = ask_authority_find(a, authority);

	for (struct list *at = au ? au->servers.next : NULL; at && at != &au->servers;
	     at = at->next) {
		struct ask_server *s = container_of(at, struct ask_server, of_authority);

		if (!a->env.backlogged(a->env.ctx, s->client))
			return s->client;
	}
	return NULL;
}

static bool has_room(const struct ask *a, const struct ask_server *s)
{
	return s->open < s->max && !a->env.backlogged(a->env.ctx, s->client);
}

/* Round robin; one that lets its questions time out has its turn when no other has room, and then
 * with one question. */
struct ask_server *ask_pick(struct ask *a, struct authority *au)
{
	struct ask_server *doubtful = NULL;
	struct list *at, *tmp;

	list_foreach(at, tmp, &au->servers) {
		struct ask_server *s = container_of(at, struct ask_server, of_authority);

		if (!has_room(a, s))
			continue;
		if (s->fails >= ASK_BREAKER_FAILS) {
			if (!doubtful && !s->open)
				doubtful = s;
			continue;
		}
		list_del(at);
		list_add_tail(&au->servers, at);
		return s;
	}
	return doubtful;
}

enum ask_state ask_serve(struct ask *a, void *client, const char *authority, uint32_t max,
			 struct ask_server **out)
{
	struct authority *au = ask_authority_find(a, authority);
	struct ask_server *s;

	if (!au || !au->live || !au->def.served)
		return ASK_NO_AUTHORITY;
	s = server_find(au, client);
	if (!s && (au->nservers == ASK_SERVERS_MAX || ask_is_taken(a, authority)))
		return ASK_LIMIT;
	if (!s) {
		s = calloc(1, sizeof(*s));
		if (!s)
			return ASK_LIMIT;
		s->authority = au;
		s->client = client;
		list_init(&s->parts);
		list_add_tail(&au->servers, &s->of_authority);
		list_add_tail(&a->servers, &s->of_client);
		if (!au->nservers++) /* whoever comes new is not to blame for those before */
			ask_worked(au, false);
	}
	s->max = !max ? ASK_SERVER_ROOM : max < ASK_SERVER_MAX ? max : ASK_SERVER_MAX;
	if (out)
		*out = s;
	ask_pump(a, au);
	return ASK_OK;
}

static void be_patient(const struct ask *a, struct authority *au)
{
	au->patient_until_ns = loop_now(a->env.loop).ns + au->def.patience_ns;
}

/* `gone`: and so is its client. */
static void server_free(struct ask *a, struct ask_server *s, bool gone)
{
	struct authority *au = s->authority;
	bool asked = !list_empty(&s->parts);
	struct list *at, *tmp;

	list_foreach(at, tmp, &s->parts)
		ask_requeue(container_of(at, struct part, link), gone);
	list_del(&s->of_authority);
	list_del(&s->of_client);
	free(s);
	if (--au->nservers) {
		ask_pump(a, au);
		return;
	}
	be_patient(a, au);
	ask_desert(a, au, asked && !au->changed);
}

enum ask_state ask_unserve(struct ask *a, void *client, const char *authority)
{
	struct authority *au = ask_authority_find(a, authority);
	struct ask_server *s = au ? server_find(au, client) : NULL;

	if (!s)
		return ASK_NOT_FOUND;
	server_free(a, s, false);
	return ASK_OK;
}

void ask_client_gone(struct ask *a, void *client)
{
	struct list *at, *tmp;

	list_foreach(at, tmp, &a->servers) {
		struct ask_server *s = container_of(at, struct ask_server, of_client);

		if (s->client == client)
			server_free(a, s, true);
	}
}

void ask_client_silent(struct ask *a, void *client)
{
	struct list *at, *tmp;

	list_foreach(at, tmp, &a->servers) {
		struct ask_server *s = container_of(at, struct ask_server, of_client);

		if (s->client != client)
			continue;
		a->env.unserved(a->env.ctx, client, s->authority->name, ASK_WHY_SILENT);
		server_free(a, s, false);
	}
}

void ask_drained(struct ask *a, void *client)
{
	struct list *at, *tmp;

	list_foreach(at, tmp, &a->servers) {
		struct ask_server *s = container_of(at, struct ask_server, of_client);

		if (s->client == client)
			ask_pump(a, s->authority);
	}
}

/* ---- definitions ---- */

void ask_authority_put(struct authority *au)
{
	if (--au->refs)
		return;
	list_del(&au->link);
	list_del(&au->pump);
	free(au->name);
	free(au);
}

static struct authority *authority_get(struct ask *a, const char *name)
{
	struct authority *au = ask_authority_find(a, name);

	if (!au) {
		au = calloc(1, sizeof(*au));
		if (!au)
			return NULL;
		au->name = strdup(name);
		if (!au->name) {
			free(au);
			return NULL;
		}
		list_init(&au->servers);
		list_init(&au->waiting);
		list_init(&au->pump);
		list_add_tail(&a->authorities, &au->link);
	}
	au->refs++;
	return au;
}

static void def_free(struct def *d)
{
	if (!d)
		return;
	for (uint32_t i = 0; i < d->n && d->authority; i++)
		if (d->authority[i])
			ask_authority_put(d->authority[i]);
	list_del(&d->link);
	free(d->authority);
	free(d->ask);
	free(d);
}

/* One that is neither in force nor the one before goes with its last question. */
void ask_def_put(struct ask *a, struct def *d)
{
	if (!--d->users && d != a->now && d != a->before)
		def_free(d);
}

static bool def_valid(const struct ask_def *def, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		if (def[i].members > ASK_MEMBERS_MAX || !def[i].members != (def[i].rule == ASK_ONE))
			return false;
		for (unsigned m = 0; m < def[i].members; m++)
			if (def[i].member[m] >= n || def[def[i].member[m]].members)
				return false;
	}
	return true;
}

static struct def *def_new(struct ask *a, uint32_t generation, const struct ask_def *def,
			   uint32_t n)
{
	struct def *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	list_add_tail(&a->defs, &d->link);
	d->generation = generation;
	d->n = n;
	d->ask = calloc(n + 1, sizeof(*d->ask));
	d->authority = calloc(n + 1, sizeof(struct authority *));
	for (uint32_t i = 0; d->ask && d->authority && i < n; i++) {
		d->authority[i] = authority_get(a, def[i].name);
		if (!d->authority[i])
			break;
		d->ask[i] = def[i];
		d->ask[i].name = d->authority[i]->name;
		if (i + 1 == n)
			return d;
	}
	if (d->ask && d->authority && !n)
		return d;
	def_free(d);
	return NULL;
}

static void drop_servers(struct ask *a, struct authority *au)
{
	struct list *at, *tmp;

	list_foreach(at, tmp, &au->servers) {
		struct ask_server *s = container_of(at, struct ask_server, of_authority);

		a->env.unserved(a->env.ctx, s->client, au->name, ASK_WHY_POLICY);
		server_free(a, s, false);
	}
	ask_desert(a, au, !au->changed);
}

/* A program is started for one that is another, or that was not there for a while. */
static void put_in_force(struct ask *a, struct def *d)
{
	struct list *at, *tmp;

	for (uint32_t i = 0; i < d->n; i++) {
		struct authority *au = d->authority[i];

		au->changed = au->def.version != d->ask[i].version;
		au->def = d->ask[i];
		if (au->changed || !au->live)
			be_patient(a, au);
	}
	list_foreach(at, tmp, &a->authorities)
		container_of(at, struct authority, link)->live = false;
	for (uint32_t i = 0; i < d->n; i++)
		d->authority[i]->live = true;
}

int ask_configure(struct ask *a, uint32_t generation, const struct ask_def *def, uint32_t n)
{
	struct def *d = def_valid(def, n) ? def_new(a, generation, def, n) : NULL, *old = a->before;
	struct list *at, *tmp;

	if (!d)
		return def_valid(def, n) ? -ENOMEM : -EINVAL;
	put_in_force(a, d);
	if (old)
		old->users++;
	a->before = a->now;
	a->now = d;
	list_foreach(at, tmp, &a->authorities) {
		struct authority *au = container_of(at, struct authority, link);

		if (!au->live || !au->def.served || au->changed) {
			au->refs++; /* questions that end here may be the last that name it */
			drop_servers(a, au);
			au->changed = false;
			tmp = au->link.next;
			ask_authority_put(au);
		}
	}
	if (old)
		ask_def_put(a, old);
	return 0;
}

static void free_all(struct ask *a)
{
	struct list *at, *tmp;

	list_foreach(at, tmp, &a->servers) {
		list_del(at);
		free(container_of(at, struct ask_server, of_client));
	}
	list_foreach(at, tmp, &a->defs)
		def_free(container_of(at, struct def, link));
}

void ask_free(struct ask *a)
{
	if (!a)
		return;
	for (uint32_t i = 0; i < a->parts.fresh; i++) {
		struct part *p = slab_at(&a->parts, i);

		if (p->question)
			loop_timer_cancel(a->env.loop, &p->deadline);
	}
	loop_timer_cancel(a->env.loop, &a->pump);
	free_all(a);
	slab_deinit(&a->parts);
	slab_deinit(&a->questions);
	htable_deinit(&a->table);
	free(a);
}

const struct ask_stats *ask_stats(const struct ask *a)
{
	return &a->stats;
}

bool ask_authority_stats(const struct ask *a, const char *authority,
			 struct ask_authority_stats *out)
{
	const struct authority *au = ask_authority_find(a, authority);

	if (!au || !au->live || au->def.members)
		return false;
	*out = au->stats;
	out->name = au->name;
	out->servers = au->nservers;
	out->open = au->open;
	out->waiting = au->nwaiting;
	out->max_pending = au->def.max_pending;
	out->breaker = au->breaker;
	out->p50_us = percentile(au, 50);
	out->p99_us = percentile(au, 99);
	return true;
}

uint64_t ask_authority_timeout(const struct ask *a, const char *authority)
{
	const struct authority *au = ask_authority_find(a, authority);

	return au && au->live && au->def.served ? au->def.timeout_ns : 0;
}
