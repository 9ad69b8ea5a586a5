/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is known of addresses in zones; see dnsbl.h. A lookup is known (`known`, used longest ago first), waits
 * to be sent (`waiting`), or is at the name servers (on no list). Questions about the same share it.
 */
#include "agents/dnsbl.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

int dnsbl_cache_init(struct dnsbl *d)
{
	list_init(&d->known);
	list_init(&d->waiting);
	if (getrandom(&d->hash_key, sizeof(d->hash_key), 0) != (ssize_t)sizeof(d->hash_key))
		return -EIO;
	return htable_init(&d->by_key, DNSBL_CACHE_MAX);
}

static void lookup_free(struct dnsbl_lookup *l)
{
	list_del(&l->link);
	htable_del(&l->dnsbl->by_key, &l->by_key);
	free(l);
}

static void free_all(struct list *all)
{
	while (!list_empty(all))
		lookup_free(container_of(all->next, struct dnsbl_lookup, link));
}

void dnsbl_cache_forget(struct dnsbl *d)
{
	free_all(&d->known);
	d->nknown = 0;
}

void dnsbl_cache_deinit(struct dnsbl *d)
{
	if (!d->by_key.bucket)
		return;
	dnsbl_cache_forget(d);
	free_all(&d->waiting);
	htable_deinit(&d->by_key);
}

static uint32_t hash_of(const struct dnsbl *d, const struct dnsbl_key *key)
{
	return (uint32_t)siphash13(&d->hash_key, key, sizeof(*key));
}

static struct dnsbl_lookup *find(const struct dnsbl *d, const struct dnsbl_key *key, uint32_t h)
{
	for (struct hnode *n = htable_first(&d->by_key, h); n; n = htable_next(n, h)) {
		struct dnsbl_lookup *l = container_of(n, struct dnsbl_lookup, by_key);

		if (!memcmp(&l->key, key, sizeof(*key)))
			return l;
	}
	return NULL;
}

static struct dnsbl_lookup *lookup_new(struct dnsbl *d, const struct dnsbl_key *key, uint32_t h)
{
	struct dnsbl_lookup *l = d->nwaiting < DNSBL_WAIT_MAX ? calloc(1, sizeof(*l)) : NULL;

	if (!l) {
		d->stats.limited++;
		return NULL;
	}
	l->dnsbl = d;
	l->key = *key;
	list_init(&l->votes);
	list_add_tail(&d->waiting, &l->link);
	d->nwaiting++;
	htable_add(&d->by_key, &l->by_key, h);
	return l;
}

struct dnsbl_lookup *dnsbl_lookup(struct dnsbl *d, const struct dnsbl_key *key,
				  struct dnsbl_vote *v)
{
	uint32_t h = hash_of(d, key);
	struct dnsbl_lookup *l = find(d, key, h);

	if (l && l->done && !mono_before(loop_now(agent_loop(d->agent)), l->until)) {
		lookup_free(l);
		d->nknown--;
		l = NULL;
	}
	if (l && l->done) {
		d->stats.cached++;
		list_del(&l->link);
		list_add_tail(&d->known, &l->link);
		return l;
	}
	d->stats.joined += l != NULL;
	if (!l)
		l = lookup_new(d, key, h);
	if (l)
		list_add_tail(&l->votes, &v->link);
	return l;
}

struct dnsbl_lookup *dnsbl_lookup_next(struct dnsbl *d)
{
	while (!list_empty(&d->waiting)) {
		struct dnsbl_lookup *l = container_of(d->waiting.next, struct dnsbl_lookup, link);

		d->nwaiting--;
		if (list_empty(&l->votes)) {
			lookup_free(l);
			continue;
		}
		list_del(&l->link);
		d->nopen++;
		d->stats.lookups++;
		return l;
	}
	return NULL;
}

/* Telling may free votes, those of other lookups too, but no lookup. */
void dnsbl_lookup_done(struct dnsbl_lookup *l)
{
	struct dnsbl *d = l->dnsbl;
	struct list *v;

	l->done = true;
	l->until = mono_add(loop_now(agent_loop(d->agent)), l->said.seconds * MONO_NS_PER_S);
	d->nopen--;
	list_add_tail(&d->known, &l->link);
	d->nknown++;
	while ((v = list_pop(&l->votes)) != NULL)
		dnsbl_voted(container_of(v, struct dnsbl_vote, link), l);
	while (d->nknown > DNSBL_CACHE_MAX) {
		lookup_free(container_of(d->known.next, struct dnsbl_lookup, link));
		d->nknown--;
		d->stats.evicted++;
	}
}
