/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Decisions that hold for a while: what the main thread does with the workers' table. */
#include "core/flow.h"
#include "daemon/log.h"
#include "daemon/pendd.h"
#include "io/policyfile.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The decisions with whose end live flows end. */
struct ended {
	struct reauth_keys *keys;
	uint32_t cap;
	bool all; /* too many, or no memory, to name them */
};

static void add_ended(struct ended *e, const struct remembered_key *k)
{
	if (!e->keys || e->keys->n == e->cap) {
		uint32_t cap = e->cap ? 2 * e->cap : 64;
		struct reauth_keys *keys = realloc(e->keys,
						   sizeof(*keys) + cap * sizeof(keys->key[0]));

		if (!keys) {
			e->all = true;
			return;
		}
		if (!e->keys)
			keys->n = 0;
		e->keys = keys;
		e->cap = cap;
	}
	e->keys->key[e->keys->n++] = *k;
}

static void look_at(struct pendd *d, struct ended *e)
{
	if (e->all) {
		free(e->keys);
		e->keys = NULL;
	}
	if (e->all || e->keys)
		pendd_reauth_expired(d, e->keys);
}

/* Ended ones go, so that the table says when the next look is due. */
void pendd_decisions_watch(struct pendd *d)
{
	uint64_t now = loop_now(d->loop).ns;
	struct ended ended = {.all = false};
	struct remembered_value v;
	struct remembered_key k;

	if (!d->remembered || remembered_next_end(d->remembered) > now)
		return;
	ended.all = remembered_ends_lost(d->remembered);
	for (uint32_t cursor = 0; remembered_next(d->remembered, &cursor, &k, &v);)
		if (v.end && v.until_ns <= now && remembered_remove(d->remembered, cursor, &k))
			add_ended(&ended, &k);
	remembered_seek_end(d->remembered);
	look_at(d, &ended);
}

static void figures(const struct pendd *d, struct msg *out)
{
	const struct remembered_stats *s = remembered_stats(d->remembered);

	out->u.decisions.permits = atomic_load(&s->permits);
	out->u.decisions.blocks = atomic_load(&s->blocks);
	out->u.decisions.kept = atomic_load(&s->kept);
	out->u.decisions.evicted = atomic_load(&s->evicted);
	out->u.decisions.forgotten = atomic_load(&s->forgotten);
}

void pendd_decisions_list(struct pendd *d, const struct msg *m)
{
	struct msg out = {.type = MSG_DECISIONS, .seq = m->seq};
	struct remembered_entry *list = calloc(MSG_FLOWS, sizeof(*list));
	uint64_t now = loop_now(d->loop).ns;
	uint32_t cursor = m->u.decisions.cursor, n = 0;
	bool more = list != NULL;
	int fd = -1;

	while (more && n < MSG_FLOWS) {
		more = remembered_next(d->remembered, &cursor, &list[n].k, &list[n].v);
		if (!more || list[n].v.until_ns <= now)
			continue;
		list[n].v.kernel = pendd_offers_has(d, &list[n].k, now);
		n++;
	}
	if (n)
		fd = policyfile_image_fd(list, n * sizeof(*list));
	free(list);
	out.u.decisions.count = fd < 0 ? 0 : n;
	out.u.decisions.cursor = more ? cursor : 0;
	figures(d, &out);
	pendd_send_fd(d, &out, fd);
}

/* From a file, by way of the other process: every field is looked at. */
static bool entry_valid(const struct remembered_entry *e, uint64_t now)
{
	return (e->k.family == FLOW_V4 || e->k.family == FLOW_V6) &&
	       e->k.scope <= CLASSIFY_SCOPE_FLOW && e->k.rule && !e->k.pad &&
	       (e->v.verdict == PEND_VERDICT_PERMIT || e->v.verdict == PEND_VERDICT_BLOCK) &&
	       (e->v.reason == REASON_OPERATOR || e->v.reason == REASON_AUTHORITY) &&
	       e->v.end <= 1 && e->v.since_ns && e->v.since_ns <= now && e->v.until_ns > now &&
	       e->v.until_ns - now <= CLASSIFY_REMEMBER_MAX;
}

/* One that is there already stays as it is, but for the number of its note. */
static void restore_one(struct pendd *d, const struct remembered_entry *e, uint64_t now)
{
	struct remembered_value v = e->v, is;

	if (!entry_valid(e, now)) {
		d->bad_messages += e->v.until_ns > now;
		return;
	}
	if (remembered_find(d->remembered, &e->k, now, &is)) {
		v = is;
		v.note = e->v.note;
	}
	remembered_add(d->remembered, &e->k, &v, now);
}

void pendd_decisions_restore(struct pendd *d, const struct msg *m, int fd)
{
	uint32_t n = m->u.decisions.count;
	uint64_t now = loop_clock().ns;
	const void *image = NULL;
	size_t size = n * sizeof(struct remembered_entry);

	if (n > MSG_FLOWS || (n && (fd < 0 || policyfile_image_map(fd, size, &image) < 0))) {
		d->bad_messages++;
		n = 0;
	}
	for (uint32_t i = 0; i < n; i++) {
		struct remembered_entry e;

		memcpy(&e, (const char *)image + i * sizeof(e), sizeof(e));
		restore_one(d, &e, now);
	}
	if (image)
		policyfile_image_unmap(image, size);
	if (n) /* what the kernel has may be over, or of a wider scope */
		pendd_offers_flush(d);
	d->restored = d->restored || !m->u.decisions.cursor;
}

static bool matches(const struct msg *m, const struct remembered_key *k)
{
	if (m->u.decisions.family &&
	    (m->u.decisions.family != k->family ||
	     !flow_addr_in(k->source, m->u.decisions.source, m->u.decisions.prefix_len)))
		return false;
	return !m->u.decisions.rule || m->u.decisions.rule == k->rule;
}

static bool filter_valid(const struct msg *m)
{
	unsigned family = m->u.decisions.family, len = m->u.decisions.prefix_len;

	return (!family && !len) || (family == 4 && len <= 32) || (family == 6 && len <= 128);
}

void pendd_decisions_forget(struct pendd *d, const struct msg *m)
{
	struct msg out = {.type = MSG_DONE, .seq = m->seq};
	uint64_t now = loop_now(d->loop).ns;
	struct ended ended = {.all = false};
	struct remembered_value v;
	struct remembered_key k;

	if (!filter_valid(m)) {
		d->bad_messages++;
		out.u.done.status = PEND_E_INVALID;
		pendd_send(d, &out);
		return;
	}
	for (uint32_t cursor = 0; remembered_next(d->remembered, &cursor, &k, &v);) {
		if (!matches(m, &k) || !remembered_remove(d->remembered, cursor, &k))
			continue;
		out.u.done.count += v.until_ns > now; /* others were over already */
		if (v.end)
			add_ended(&ended, &k);
	}
	pendd_offers_flush(d);
	remembered_forgot(d->remembered, out.u.done.count);
	remembered_seek_end(d->remembered);
	look_at(d, &ended);
	pendd_send(d, &out);
}
