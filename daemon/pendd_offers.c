/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Decisions that hold for a while, offered to the kernel. See offers.h for the way from the workers.
 *
 * What may be offered is found out here, when it is offered: the policy in force decides by the connection's key
 * alone (core/classify_key.h), by a rule of which an answer is remembered for longer than the moment. Whatever
 * could change that takes all of them out of the kernel again, before anybody is told that it has changed; they
 * come back by use. All of it happens in this thread, one after the other, so that nothing is offered by what was
 * true before.
 */
#include "core/classify_key.h"
#include "daemon/ifaces.h"
#include "daemon/log.h"
#include "daemon/pendd.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ROUND_MS     10u
#define ROUND_MAX_MS 160u  /* when nothing of the last round could be offered */
#define RECHECKS     1024u /* in one round; above, all are taken out */
#define LOOK         256u  /* of a source's, for people */
#define END_MS       100u /* an element ends that much before its decision: it takes time to get there */
#define LEAST_MS     1000u
#define PAUSE_NS     MONO_NS_PER_S        /* after the kernel refused */
#define FULL_NS      (60 * MONO_NS_PER_S) /* then what is in use may have the places */
#define SLEPT_NS     (50 * MONO_NS_PER_MS)

/* ---- what holds now ---- */

static struct pend_values values_of(const struct offer_key *k)
{
	struct pend_values v = {.family = k->family,
				.protocol = k->protocol,
				.has_ports = true,
				.hook = 1,
				.dest_port = k->dest_port,
				.in_interface = k->in_interface};

	memcpy(v.source, k->source, sizeof(v.source));
	memcpy(v.dest, k->dest, sizeof(v.dest));
	return v;
}

/* What is remembered of all connections of this key, by this rule. */
static bool remembered_of(const struct pendd *d, const struct offer_key *k,
			  const struct classify_result *r, uint64_t now_ns,
			  struct remembered_value *said)
{
	const struct remembered_flow f = {.family = k->family,
					  .protocol = k->protocol,
					  .dest_port = k->dest_port,
					  .source = k->source,
					  .dest = k->dest};

	return r->action == CLASSIFY_PEND &&
	       remembered_about_all(d->remembered,
				    classify_rule_key(d->snapshot->classifier, r->rule), &f, now_ns,
				    said);
}

/* What every connection of this key is told, and until when; false: it depends, or somebody would have to be asked. */
static bool decide(struct pendd *d, const struct offer_key *k, uint64_t now_ns,
		   struct offer_held *h)
{
	struct offers *o = &d->offers;
	struct pend_values v = values_of(k);
	struct classify_else_at at;
	struct classify_result r;
	struct remembered_value said;

	if (!classify_by_key(d->snapshot->classifier, o->ifaces, &v, &r, &at)) {
		o->varies++;
		o->varies_at = at;
		o->varies_generation = d->generation;
		return false;
	}
	if (!remembered_of(d, k, &r, now_ns, &said) ||
	    said.until_ns < now_ns + (END_MS + LEAST_MS) * MONO_NS_PER_MS)
		return false;
	*h = (struct offer_held){.k = *k,
				 .until_ns = said.until_ns - END_MS * MONO_NS_PER_MS,
				 .rule = classify_rule_key(d->snapshot->classifier, r.rule),
				 .verdict = said.verdict,
				 .block = r.block};
	return true;
}

/* ---- taken back ---- */

static bool in_place(const struct pendd *d)
{
	return d->offers.state == MSG_OFFERS_ON && d->hook_installed;
}

static void forget_all(struct offers *o)
{
	o->n = 0;
	offers_clear(o->table);
}

void pendd_offers_flush(struct pendd *d)
{
	struct offers *o = &d->offers;

	if (o->state != MSG_OFFERS_ON || (!offers_count(o->table) && !o->doubt))
		return;
	forget_all(o);
	o->flushes++;
	o->doubt = in_place(d) && pend_hook_undecide(d->hook) != PEND_OK;
	if (!o->doubt)
		return;
	log_error("offers", "decisions stay in the kernel, the rules are made anew: %s",
		  pend_hook_error(d->hook));
	o->doubt = pend_hook_repair(d->hook) != PEND_OK;
}

void pendd_offers_reset(struct pendd *d)
{
	if (d->offers.state != MSG_OFFERS_ON)
		return;
	forget_all(&d->offers);
	d->offers.doubt = false;
}

/* ---- offered ---- */

static void put_in(struct pendd *d, uint64_t now_ns)
{
	struct offers *o = &d->offers;
	struct pend_hook_decision list[PEND_HOOK_DECISIONS_MAX];
	enum pend_status s;

	for (unsigned i = 0; i < o->n; i++) {
		const struct offer_held *h = &o->batch[i];

		list[i] = (struct pend_hook_decision){
			.family = h->k.family,
			.protocol = h->k.protocol,
			.verdict = h->verdict,
			.block = h->block,
			.dest_port = h->k.dest_port,
			.in_interface = h->k.in_interface,
			.timeout_ms = (h->until_ns - now_ns) / MONO_NS_PER_MS,
		};
		memcpy(list[i].source, h->k.source, sizeof(list[i].source));
		memcpy(list[i].dest, h->k.dest, sizeof(list[i].dest));
	}
	s = pend_hook_decide(d->hook, list, o->n);
	if (s == PEND_OK) {
		o->offered += o->n;
		o->n = 0;
		return;
	}
	/* None of them is there, and the table says that they are. */
	o->failed++;
	o->pause_until_ns = now_ns + PAUSE_NS;
	log_warning("offers", "%s", pend_hook_error(d->hook));
	pendd_offers_flush(d);
}

/* A table that is full of what nobody uses any more helps nobody. */
static void no_room(struct pendd *d, uint64_t now_ns)
{
	struct offers *o = &d->offers;

	o->full++;
	if (!o->full_since_ns)
		o->full_since_ns = now_ns;
	if (now_ns - o->full_since_ns < FULL_NS)
		return;
	o->full_since_ns = 0;
	pendd_offers_flush(d);
}

static void offer_one(struct pendd *d, const struct offer_key *k, uint64_t now_ns)
{
	struct offers *o = &d->offers;
	struct offer_held h;

	if (offers_has(o->table, k, now_ns) || !decide(d, k, now_ns, &h))
		return;
	if (!offers_add(o->table, &h, now_ns)) {
		no_room(d, now_ns);
		return;
	}
	o->batch[o->n++] = h;
	if (o->n == PEND_HOOK_DECISIONS_MAX)
		put_in(d, now_ns);
}

/*
 * Something was remembered about this source. What the kernel has of it may be over: another answer about the
 * same, a narrower one, a shorter one.
 */
static void recheck(struct pendd *d, const struct offer_key *k, uint64_t now_ns)
{
	struct offers *o = &d->offers;
	struct offer_held had, now;

	for (uint32_t cursor = 0; offers_next(o->table, k->source, &cursor, now_ns, &had);) {
		if (++o->rechecks <= RECHECKS && decide(d, &had.k, now_ns, &now) &&
		    now.verdict == had.verdict && now.block == had.block &&
		    now.until_ns >= had.until_ns)
			continue;
		pendd_offers_flush(d);
		return;
	}
}

/* Some of each worker's. */
static unsigned take(struct pendd *d, struct offer_ring *r, unsigned most, uint64_t now_ns)
{
	struct offers *o = &d->offers;
	bool usable = in_place(d) && d->changing != CHANGE_SETTLING && !d->stopping &&
		      now_ns >= o->pause_until_ns;
	struct offer offer;
	unsigned n = 0;

	if (atomic_exchange(&r->lost, false))
		pendd_offers_flush(d);
	for (; n < most && offers_pop(r, &offer); n++) {
		if (offer.fresh)
			recheck(d, &offer.k, now_ns);
		if (usable)
			offer_one(d, &offer.k, now_ns);
	}
	return n;
}

static void arm(struct pendd *d)
{
	loop_timer_arm(d->loop, &d->offers.timer,
		       mono_add(loop_now(d->loop), d->offers.round_ms * MONO_NS_PER_MS));
}

/* True: all rings are empty, and whoever puts something in says so. */
static bool rest(struct offers *o, unsigned workers)
{
	bool all = true;

	for (unsigned i = 0; i < workers; i++)
		all &= offers_rest(&o->ring[i]);
	return all;
}

static void slept(struct pendd *d)
{
	struct offers *o = &d->offers;
	struct timespec t;
	int64_t asleep;

	/* The kernel's time-outs stand still while the machine sleeps, decisions do not. */
	clock_gettime(CLOCK_MONOTONIC, &t);
	asleep = (int64_t)loop_clock().ns - ((int64_t)t.tv_sec * 1000000000 + t.tv_nsec);
	if (asleep - o->asleep_ns > (int64_t)SLEPT_NS)
		pendd_offers_flush(d);
	o->asleep_ns = asleep;
}

static void on_round(void *pendd)
{
	struct pendd *d = pendd;
	struct offers *o = &d->offers;
	uint64_t now = loop_now(d->loop).ns, offered = o->offered;
	unsigned taken = 0, most = PEND_HOOK_DECISIONS_MAX / d->workers;

	slept(d);
	o->rechecks = 0;
	for (unsigned i = 0; i < d->workers; i++)
		taken += take(d, &o->ring[i], most ? most : 1, now);
	if (o->n)
		put_in(d, now);
	if (o->offered != offered || !taken)
		o->round_ms = ROUND_MS;
	else if (o->round_ms < ROUND_MAX_MS)
		o->round_ms *= 2;
	if (!rest(o, d->workers))
		arm(d);
}

void pendd_offers_called(struct pendd *d)
{
	if (d->offers.state == MSG_OFFERS_ON && !loop_timer_armed(&d->offers.timer))
		arm(d);
}

/* ---- once a second, and at other times ---- */

void pendd_offers_watch(struct pendd *d)
{
	struct offers *o = &d->offers;
	uint64_t evicted;

	if (o->state != MSG_OFFERS_ON)
		return;
	slept(d);
	evicted = atomic_load(&remembered_stats(d->remembered)->evicted);
	if (evicted != o->evicted || o->doubt)
		pendd_offers_flush(d);
	o->evicted = evicted;
	offers_sweep(o->table, loop_now(d->loop).ns);
	if (offers_count(o->table) < OFFERS_MAX / 2)
		o->full_since_ns = 0;
}

void pendd_offers_ifaces(struct pendd *d, const struct classify_ifaces *t)
{
	if (d->offers.state != MSG_OFFERS_ON)
		return;
	free(d->offers.ifaces);
	d->offers.ifaces = ifaces_copy(t);
	pendd_offers_flush(d);
}

/* Of connections that a narrower decision is about, that one is the one. */
static bool is_of(const struct pendd *d, const struct offer_held *h, const struct remembered_key *k,
		  uint64_t now_ns)
{
	struct remembered_key service = remembered_key_of(h->rule, CLASSIFY_SCOPE_SERVICE,
							  h->k.family, h->k.protocol, h->k.source,
							  0, h->k.dest, h->k.dest_port);
	struct remembered_value v;

	if (h->rule != k->rule || h->k.family != k->family)
		return false;
	if (k->scope == CLASSIFY_SCOPE_SERVICE)
		return memcmp(&service, k, sizeof(service)) == 0;
	return k->scope == CLASSIFY_SCOPE_SOURCE &&
	       !remembered_find(d->remembered, &service, now_ns, &v);
}

bool pendd_offers_has(const struct pendd *d, const struct remembered_key *k, uint64_t now_ns)
{
	const struct offers *o = &d->offers;
	struct offer_held h;
	unsigned n = 0;

	if (o->state != MSG_OFFERS_ON)
		return false;
	for (uint32_t cursor = 0;
	     n++ < LOOK && offers_next(o->table, k->source, &cursor, now_ns, &h);)
		if (is_of(d, &h, k, now_ns))
			return true;
	return false;
}

void pendd_offers_status(struct pendd *d, struct msg_offers *out)
{
	struct offers *o = &d->offers;
	struct pend_hook_decided n = {0, 0};

	*out = (struct msg_offers){.state = o->state};
	if (o->state != MSG_OFFERS_ON)
		return;
	pend_hook_decided(d->hook, &n);
	out->permits = n.permits;
	out->blocks = n.blocks;
	out->elements = offers_count(o->table);
	out->offered = o->offered;
	out->varies = o->varies;
	out->full = o->full;
	out->failed = o->failed;
	out->flushes = o->flushes;
	for (unsigned i = 0; i < d->workers; i++)
		out->missed += atomic_load_explicit(&o->ring[i].missed, memory_order_relaxed);
	out->varies_rule = CLASSIFY_NO_RULE;
	if (o->varies && o->varies_generation == d->generation) {
		out->varies_rule = o->varies_at.rule;
		out->varies_by = o->varies_at.what;
	}
}

static enum msg_offers_state possible(const struct pendd *d)
{
	if (!d->settings.kernel_decisions)
		return MSG_OFFERS_OFF;
	if (d->settings.hookup == PEND_HOOK_NONE)
		return MSG_OFFERS_NO_HOOKUP;
	if (pend_hook_wants_repeat(d->hook))
		return MSG_OFFERS_IPTABLES;
	return pend_hook_can_decide(d->hook) ? MSG_OFFERS_ON : MSG_OFFERS_NO_INPUT;
}

int pendd_offers_init(struct pendd *d)
{
	struct offers *o = &d->offers;
	int r;

	o->state = (uint8_t)possible(d);
	if (o->state != MSG_OFFERS_ON)
		return 0;
	r = offers_table_new(&o->table);
	o->ring = r ? NULL : calloc(d->settings.queue_count, sizeof(*o->ring));
	if (!o->ring)
		return r ? r : -ENOMEM;
	o->round_ms = ROUND_MS;
	loop_timer_init(&o->timer, on_round, d);
	slept(d);
	return 0;
}

void pendd_offers_free(struct pendd *d)
{
	free(d->offers.ring);
	free(d->offers.ifaces);
	offers_table_free(d->offers.table);
}
