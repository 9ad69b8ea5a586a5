/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * When live flows are authorized again: after every change of policy, once all workers decide by
 * the new one, so that nothing the old one permitted can come in behind the dump. In a thread of
 * its own: a hundred thousand flows take their time, and the watchdog does not wait.
 */
#include "daemon/log.h"
#include "daemon/pendd.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct job {
	const struct snapshot *snapshot;
	struct mark_layout marks;
	uint32_t clock;
	const _Atomic bool *cancel;
	int mail;
};

static void *run(void *arg)
{
	struct job *job = arg;
	struct mail m = {.type = MAIL_REAUTHORIZED};

	m.u.reauth = calloc(1, sizeof(*m.u.reauth));
	if (m.u.reauth)
		reauth_run(job->snapshot, &job->marks, job->clock, job->cancel, m.u.reauth);
	if (write(job->mail, &m, sizeof(m)) != (ssize_t)sizeof(m))
		free(m.u.reauth);
	free(job);
	return NULL;
}

void pendd_reauthorize(struct pendd *d, struct reauth_ranges *ranges)
{
	struct job *job;

	free(ranges);
	if (!d->settings.reauthorize || d->stopping)
		return;
	if (d->reauth_running)
		return;
	job = calloc(1, sizeof(*job));
	if (!job || !mark_layout_init(&job->marks, d->settings.mark_mask)) {
		free(job);
		return;
	}
	job->snapshot = d->reauth_snapshot = d->snapshot;
	job->cancel = &d->reauth_cancel;
	d->reauth_cancel = false;
	job->mail = d->mail[1];
	job->clock = pendd_clock(d);
	d->snapshot->users++;
	if (pthread_create(&d->reauth_thread, NULL, run, job)) {
		log_error("reauth", "cannot start a thread: live flows go on");
		d->snapshot->users--;
		free(job);
		return;
	}
	d->reauth_running = true;
}

static void report(const struct reauth_result *r)
{
	if (r->error == -ECANCELED)
		log_debug("reauth", "policy %u: another policy came first", r->generation);
	else if (r->error)
		log_error("reauth", "cannot look at the live flows, they go on: %s",
			  strerror(-r->error));
	else
		log_notice("reauth",
			   "policy %u: %llu live flows looked at, %llu ended, %llu could not be "
			   "ended, in %llu ms",
			   r->generation, (unsigned long long)r->examined,
			   (unsigned long long)r->ended, (unsigned long long)r->failed,
			   (unsigned long long)(r->took_ns / MONO_NS_PER_MS));
}

void pendd_reauthorized(struct pendd *d, struct reauth_result *r)
{
	struct snapshot *s = d->reauth_snapshot;

	pthread_join(d->reauth_thread, NULL);
	d->reauth_running = false;
	d->reauth_snapshot = NULL;
	if (r) {
		report(r);
		d->reauth_runs++;
		d->reauth_examined += r->examined;
		d->reauth_ended += r->ended;
		d->reauth_failed += r->failed;
	}
	free(r);
	pendd_released(d, s);
	pendd_policy_resume(d);
}

void pendd_reauth_join(struct pendd *d)
{
	struct mail m;

	if (!d->reauth_running)
		return;
	d->reauth_cancel = true;
	pthread_join(d->reauth_thread, NULL);
	d->reauth_running = false;
	while (read(d->mail[0], &m, sizeof(m)) == (ssize_t)sizeof(m))
		if (m.type == MAIL_REAUTHORIZED)
			free(m.u.reauth);
	if (d->reauth_snapshot != d->snapshot)
		snapshot_free(d->reauth_snapshot);
}

void pendd_reauth_request(struct pendd *d, const struct msg *m, int fd)
{
	struct msg out = {.type = MSG_REAUTHORIZED, .seq = m->seq, .u.reauth = m->u.reauth};

	(void)fd;
	out.u.reauth.status = PEND_E_UNSUPPORTED;
	pendd_send(d, &out);
}
