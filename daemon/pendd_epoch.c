/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `reauthorize lazy`: a change of policy begins a new epoch, and each live flow is authorized again by its
 * next packet (R31). There are 62 epochs, in a ring. Before a number is used again, the flows that still
 * carry it from the last time round, or from an earlier daemon, are moved to the epoch that ends now: they
 * had no packet since, and their next one is asked about like all others.
 */
#include "daemon/log.h"
#include "daemon/pendd.h"
#include "io/ct.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct found {
	struct flow *flow;
	size_t n, cap;
	bool oom;
};

static bool remember(void *ctx, const struct ct_flow *f)
{
	struct found *found = ctx;

	if (found->n == found->cap) {
		size_t cap = found->cap ? found->cap * 2 : 64;
		struct flow *flow = realloc(found->flow, cap * sizeof(*flow));

		found->oom = !flow;
		if (!flow)
			return false;
		found->flow = flow;
		found->cap = cap;
	}
	found->flow[found->n++] = f->orig;
	return true;
}

static int move(struct ct *ct, const struct mark_layout *l, uint8_t from, uint8_t to)
{
	struct found found = {0};
	int r = ct_dump(ct, mark_permit(l, from), l->mask, remember, &found);

	for (size_t i = 0; i < found.n && !r; i++) {
		r = ct_set_mark(ct, &found.flow[i], mark_permit(l, to), l->mask);
		if (r == -ENOENT)
			r = 0;
	}
	if (found.n)
		log_debug("epoch", "%zu flows of epoch %u are of %u now", found.n, from, to);
	free(found.flow);
	return found.oom ? -ENOMEM : r;
}

/* No flow carries `epoch` afterwards. */
static int vacate(const struct pendd *d, uint8_t epoch, uint8_t to)
{
	struct mark_layout l;
	struct ct *ct;
	int r;

	if (!mark_layout_init(&l, d->settings.mark_mask))
		return -EINVAL;
	r = ct_open(&ct);
	if (r)
		return r;
	r = move(ct, &l, epoch, to);
	ct_close(ct);
	return r;
}

static bool lazy(const struct pendd *d)
{
	return d->settings.reauthorize == SETTINGS_REAUTHORIZE_LAZY;
}

/* What an earlier daemon let in is not ours (R36), also where its number happens to be. */
void pendd_epoch_begin(struct pendd *d)
{
	int r = vacate(d, d->epoch, mark_epoch_before(d->epoch));

	if (r &&
	    (lazy(d) ||
	     r != -EPERM)) /* who may not do that may not bind a queue either, and is told so */
		log_warning("epoch", "flows of an earlier daemon may not be authorized again: %s",
			    strerror(-r));
}

/* The old number is good until the hookup has the new one, and the stamp chains know both. */
static bool begin_next(struct pendd *d)
{
	uint8_t next = mark_epoch_after(d->epoch);
	struct mail m = {.type = MAIL_EPOCH, .u.epoch = next};
	int r;

	if (!lazy(d) || !d->hook_installed)
		return false;
	r = vacate(d, next, d->epoch);
	if (r || pend_hook_set_epoch(d->hook, next) != PEND_OK) {
		log_error("epoch", "no new epoch, all live flows are looked at instead: %s",
			  r ? strerror(-r) : pend_hook_error(d->hook));
		return false;
	}
	d->epoch = next;
	for (unsigned i = 0; i < d->workers; i++)
		if (d->worker[i].started && worker_mail(&d->worker[i], &m))
			log_error("epoch", "worker %u did not take epoch %u", i, next);
	return true;
}

void pendd_epoch_settled(struct pendd *d)
{
	d->epoch_settled = begin_next(d);
}

bool pendd_epoch_next(struct pendd *d)
{
	bool begun = d->epoch_settled;

	d->epoch_settled = false;
	return begun || begin_next(d);
}
