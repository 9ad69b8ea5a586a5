/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A change of policy or of its sets, from the authority process's message to the answer:
 *
 *   made		by a thread (daemon/change.h), from what was sent
 *   put in force	when no live flow is judged by the one before (pendd_swap)
 *   settled		every worker has it: the answer, and live flows are judged again
 *
 * One at a time; one more may wait. What else the main thread does goes on meanwhile.
 */
#include "daemon/log.h"
#include "daemon/pendd.h"
#include "io/policyfile.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define IMAGE_MAX (1ull << 30)

static void answer(struct pendd *d, uint32_t seq, enum pend_status s, const char *text)
{
	struct msg m = {.type = MSG_DONE, .seq = seq};

	m.u.done.status = (int32_t)s;
	m.u.done.generation = d->generation;
	m.u.done.revision = d->snapshot->revision;
	snprintf(m.u.done.text, sizeof(m.u.done.text), "%s", text);
	pendd_send(d, &m);
}

/* To whoever asked for what is under way; nobody if it is gone. */
static void answer_asker(struct pendd *d, enum pend_status s, const char *text)
{
	if (!d->change_orphaned)
		answer(d, d->change_seq, s, text);
}

static void refuse(struct pendd *d, int error)
{
	bool sets = d->making.request.type == MSG_SETS;

	if (error == -EINVAL)
		d->bad_messages++;
	if (error == -E2BIG)
		answer_asker(d, PEND_E_LIMIT, "too much has changed since the policy was compiled");
	else if (error == -ENOMEM)
		answer_asker(d, PEND_E_NO_MEMORY, "no memory for the policy");
	else
		answer_asker(d, PEND_E_INVALID,
			     sets ? "the edits are not valid" : "the compiled policy is not valid");
}

/* ---- begun ---- */

static enum pend_status check(const struct pendd *d, const struct msg *m, int fd)
{
	uint32_t n;

	if (d->stopping)
		return PEND_E_BUSY;
	if (m->type == MSG_POLICY)
		return fd >= 0 && m->u.policy.size && m->u.policy.size <= IMAGE_MAX
			       ? PEND_OK
			       : PEND_E_INVALID;
	if (fd < 0 || !m->u.sets.count || m->u.sets.count > CLASSIFY_PATCH_MAX)
		return PEND_E_INVALID;
	if (m->u.sets.generation != d->generation)
		return PEND_E_STALE;
	snapshot_edits(d->snapshot, &n);
	return n + m->u.sets.count > CLASSIFY_PATCH_MAX ? PEND_E_LIMIT : PEND_OK;
}

static const char *why(enum pend_status s)
{
	return s == PEND_E_BUSY    ? "the daemon is stopping"
	       : s == PEND_E_STALE ? "the sets are those of another policy"
	       : s == PEND_E_LIMIT ? "too much has changed since the policy was compiled"
				   : "not a policy, and no change of one";
}

static void begin(struct pendd *d, const struct msg *m, int fd)
{
	struct change_request q = {.type = m->type,
				   .size = m->u.policy.size,
				   .generation = d->generation + 1,
				   .from = d->snapshot};
	enum pend_status s = check(d, m, fd);

	if (s == PEND_OK) {
		q.fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
		s = q.fd < 0 ? PEND_E_SYSTEM : PEND_OK;
	}
	if (s != PEND_OK) {
		if (s == PEND_E_INVALID)
			d->bad_messages++;
		answer(d, m->seq, s, s == PEND_E_SYSTEM ? "no descriptor is left" : why(s));
		return;
	}
	if (m->type == MSG_SETS) {
		q.size = 0;
		q.count = m->u.sets.count;
	}
	d->change_seq = m->seq;
	d->change_orphaned = false;
	d->changing = CHANGE_MADE;
	change_start(&d->making, &q);
}

static void forget_waiting(struct pendd *d)
{
	if (d->waiting.type && d->waiting_fd >= 0)
		close(d->waiting_fd);
	d->waiting.type = 0;
}

/* Nothing is under way: the one that waits, or at least free what is no longer read. */
static void next(struct pendd *d)
{
	struct msg m = d->waiting;

	if (d->changing != CHANGE_NONE || d->making.running)
		return;
	if (m.type) {
		d->waiting.type = 0;
		begin(d, &m, d->waiting_fd);
		if (d->waiting_fd >= 0)
			close(d->waiting_fd);
	}
	if (!d->making.running && d->making.garbage && !d->stopping)
		change_start(&d->making, NULL);
}

void pendd_change(struct pendd *d, const struct msg *m, int fd)
{
	if (d->waiting.type) {
		answer(d, m->seq, PEND_E_BUSY, "another policy is being put in force");
		return;
	}
	d->waiting = *m;
	d->waiting_fd = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
	next(d);
}

/* ---- put in force ---- */

static void change_over(struct pendd *d)
{
	free(d->change_ranges);
	d->change_ranges = NULL;
	d->changing = CHANGE_NONE;
	next(d);
}

static void give_up(struct pendd *d)
{
	change_discard(&d->making, d->change_next);
	d->change_next = NULL;
}

static void put_in_force(struct pendd *d)
{
	struct snapshot *s = d->change_next, *old = d->snapshot;
	struct reauth_ranges *r = d->change_ranges;

	if (r && snapshot_keep_edits(s, r->edit, r->n)) {
		give_up(d);
		refuse(d, -ENOMEM);
		pendd_reauthorize(d, NULL); /* what was cancelled for this */
		change_over(d);
		return;
	}
	d->change_next = NULL;
	d->changing = CHANGE_SETTLING;
	if (!r)
		s->loaded_ns = loop_clock().ns;
	d->generation = s->generation;
	/* Workers take snapshots in order: when the old one is back from all, they have the new one. */
	d->leaving = old;
	if (pendd_swap(d, s))
		return;
	d->leaving = NULL;
	pendd_offers_flush(d);
	answer_asker(d, PEND_E_SYSTEM, "not every worker took the new policy");
	pendd_reauthorize(d, NULL);
	change_over(d);
}

/*
 * A policy may not be replaced while live flows are judged by it: a flow that the next one permits could
 * be ended by it. The judge stops at the next flow, so the wait is short.
 */
static void try_to_put_in_force(struct pendd *d)
{
	if (d->reauth_running)
		d->reauth_cancel = true;
	else
		put_in_force(d);
}

void pendd_policy_resume(struct pendd *d)
{
	if (d->changing == CHANGE_READY && !d->stopping)
		put_in_force(d);
}

void pendd_changed(struct pendd *d)
{
	struct change *c = &d->making;

	change_join(c);
	if (d->changing != CHANGE_MADE) { /* something was freed */
		next(d);
		return;
	}
	d->change_next = c->made;
	d->change_ranges = c->edits;
	c->made = NULL;
	c->edits = NULL;
	if (c->status == 0 && !d->change_orphaned && !d->stopping) {
		d->changing = CHANGE_READY;
		try_to_put_in_force(d);
		return;
	}
	if (c->status) {
		refuse(d, c->status);
	} else {
		give_up(d);
		answer_asker(d, PEND_E_BUSY, why(PEND_E_BUSY));
	}
	change_over(d);
}

/* ---- settled ---- */

static void settled(struct pendd *d)
{
	struct reauth_ranges *ranges = d->change_ranges;

	d->leaving = NULL;
	d->change_ranges = NULL;
	snapshot_settle(d->snapshot);
	if (d->snapshot->revision)
		log_info("policy", "policy %u.%u is in force", d->generation,
			 d->snapshot->revision);
	else
		log_notice("policy", "policy %u is in force", d->generation);
	pendd_offers_flush(d);
	pendd_epoch_settled(d);
	/* Whoever asked for it may rely on it from here on. */
	answer_asker(d, PEND_OK, "");
	pendd_status_line(d);
	change_over(d);
	pendd_reauthorize(d, ranges);
}

void pendd_released(struct pendd *d, struct snapshot *s)
{
	bool was_leaving = s && s == d->leaving;

	if (!s || !s->users || --s->users || s == d->snapshot)
		return;
	change_discard(&d->making, s);
	if (was_leaving)
		settled(d);
	else
		next(d);
}

/* ---- the authority process is gone, or we are ---- */

void pendd_change_orphan(struct pendd *d)
{
	forget_waiting(d);
	d->change_orphaned = true;
	if (d->changing != CHANGE_READY)
		return;
	/* Its successor is shown what is in force, so this may not follow. */
	give_up(d);
	pendd_reauthorize(d, NULL);
	change_over(d);
}

void pendd_change_join(struct pendd *d)
{
	struct change *c = &d->making;

	change_join(c);
	forget_waiting(d);
	if (c->made)
		change_discard(c, c->made);
	free(c->edits);
	free(d->change_ranges);
	if (d->change_next)
		change_discard(c, d->change_next);
	if (d->leaving && d->leaving != d->reauth_snapshot)
		change_discard(c, d->leaving);
	while (c->garbage) {
		struct snapshot *s = c->garbage;

		c->garbage = s->next;
		snapshot_free(s);
	}
}
