/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * When live flows are authorized again: after every change of policy, once all workers decide by
 * the new one, so that nothing the old one permitted can come in behind the dump; when interfaces or routes have
 * changed, where the policy asks for them; at start, and on request. In a thread of
 * its own: a hundred thousand flows take their time, and the watchdog does not wait.
 */
#include "core/classify_place.h"
#include "daemon/background.h"
#include "daemon/ifaces.h"
#include "daemon/log.h"
#include "daemon/pendd.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_MS 200
/* ... for what the resolver tells, in all: a hundred services on a busy machine. */
#define LISTENERS_PATIENCE_NS (5 * MONO_NS_PER_S)

/* What the thread gets; the job is d->reauth_job, which the main thread leaves alone meanwhile. */
struct task {
	struct reauth_judge judge;
	struct listeners *listeners;
	struct reauth_job *job;
	const _Atomic bool *cancel, *stop;
	int mail;
};

/*
 * A dump of conntrack is milliseconds in the kernel, also when it finds nothing: packets go first. On a
 * machine without a free moment the flows that are to end wait PATIENCE_MS longer.
 */
static void *run(void *arg)
{
	struct task *t = arg;
	struct mail m = {.type = MAIL_REAUTHORIZED};
	struct background b;

	background_begin(&b, PATIENCE_MS);
	listeners_patient(t->listeners, LISTENERS_PATIENCE_NS);
	reauth_run(&t->judge, t->job, t->cancel, t->stop);
	background_end(&b);
	while (write(t->mail, &m, sizeof(m)) < 0 && (errno == EAGAIN || errno == EINTR))
		usleep(1000);
	free(t);
	return NULL;
}

static bool late(const void *listeners)
{
	return listeners_late(listeners);
}

static struct task *task_new(struct pendd *d, struct reauth_job *job)
{
	struct task *t = calloc(1, sizeof(*t));

	if (!t || !mark_layout_init(&t->judge.marks, d->settings.mark_mask)) {
		free(t);
		return NULL;
	}
	t->judge.classifier = d->snapshot->classifier;
	t->judge.clock = pendd_clock(d);
	t->judge.minute = (uint32_t)(time(NULL) / 60);
	t->judge.listener = listeners_find;
	t->judge.late = late;
	t->judge.arg = t->listeners = d->listeners;
	t->judge.remembered = d->remembered;
	t->judge.generation = d->snapshot->generation;
	t->judge.revision = d->snapshot->revision;
	t->job = job;
	t->cancel = &d->reauth_cancel;
	t->stop = &d->reauth_stop;
	t->mail = d->mail[1];
	return t;
}

static int spawn(struct pendd *d, struct task *t)
{
	sigset_t all, old;
	int r;

	sigfillset(&all); /* signals are the main thread's */
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = -pthread_create(&d->reauth_thread, NULL, run, t);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return r;
}

/* ---- what is told of it ---- */

/* Sealed, so that the reader may map it. */
static int flows_fd(const struct reauth_result *r)
{
	size_t size = r->listed * sizeof(*r->flow);
	int fd;

	if (!size)
		return -1;
	fd = memfd_create("pend-flows", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -1;
	if (write(fd, r->flow, size) == (ssize_t)size &&
	    fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
		return fd;
	close(fd);
	return -1;
}

static enum pend_status status_of(int error)
{
	switch (error) {
	case 0:
		return PEND_OK;
	case -EBUSY:
		return PEND_E_BUSY;
	case -ENOMEM:
		return PEND_E_NO_MEMORY;
	case -EINVAL:
		return PEND_E_INVALID;
	default:
		return PEND_E_SYSTEM;
	}
}

static void tell(struct pendd *d, const struct reauth_job *job)
{
	const struct reauth_result *r = &job->result;
	struct msg m = {.type = MSG_REAUTHORIZED, .seq = job->seq, .u.reauth = job->what};
	struct msg_reauth *out = &m.u.reauth;
	int fd = flows_fd(r);

	out->status = (int32_t)status_of(r->error);
	out->listed = fd < 0 ? 0 : r->listed;
	out->generation = r->generation;
	out->revision = r->revision;
	out->examined = r->examined;
	out->ended = r->ended;
	out->failed = r->failed;
	out->took_ns = r->took_ns;
	pendd_send_fd(d, &m, fd);
}

static void report(const struct reauth_job *job)
{
	static const char *const why[MSG_REASONS] = {
		[PEND_REASON_POLICY_CHANGE] = "",
		[PEND_REASON_NEW_ARRIVAL_INTERFACE] = " (an interface changed)",
		[PEND_REASON_MID_STREAM] = " (of an earlier run)",
		[PEND_REASON_NEW_NEXTHOP_INTERFACE] = " (a route changed)",
		[PEND_REASON_DECISION_EXPIRED] = " (a decision is over)",
	};
	const struct reauth_result *r = &job->result;
	const char *text = why[job->what.reason] ? why[job->what.reason] : "";

	if (r->error == -ECANCELED && !r->ended)
		log_debug("reauth", "policy %u: another change came first", r->generation);
	else if (r->error && r->error != -ECANCELED)
		log_error("reauth", "cannot look at the live flows, they go on: %s",
			  strerror(-r->error));
	else if (!job->what.dry && (r->examined || !*text))
		log_notice("reauth",
			   "policy %u: %llu live flows%s looked at, %llu ended, %llu could not be "
			   "ended, in %llu ms",
			   r->generation, (unsigned long long)r->examined, text,
			   (unsigned long long)r->ended, (unsigned long long)r->failed,
			   (unsigned long long)(r->took_ns / MONO_NS_PER_MS));
}

static void count(struct pendd *d, const struct reauth_job *job)
{
	const struct reauth_result *r = &job->result;

	if (job->what.dry)
		return;
	d->reauth_took_ns = r->took_ns;
	d->reauth_runs++;
	d->reauth_examined += r->examined;
	d->reauth_ended += r->ended;
	d->reauth_failed += r->failed;
	d->reauth_by[job->what.reason].runs++;
	d->reauth_by[job->what.reason].ended += r->ended;
}

/*
 * A cancelled job of ours reports what it did, and goes back to be joined with what comes next; a cancelled
 * request keeps what it did, and is answered once.
 */
static void job_over(struct pendd *d, struct reauth_job *job)
{
	bool cancelled = job->result.error == -ECANCELED;

	if (!cancelled || !job->asked) {
		report(job);
		count(d, job);
		if (job->asked ? job->seq != 0 : job->result.listed != 0)
			tell(d, job);
	}
	if (cancelled)
		reauth_jobs_back(&d->reauth_jobs, job);
	else
		reauth_job_free(job);
}

/* ---- one after the other ---- */

static void failed(struct pendd *d, struct reauth_job *job)
{
	log_error("reauth", "cannot start a thread: live flows go on");
	job->result.error = -ENOMEM;
	if (job->asked && job->seq)
		tell(d, job);
	reauth_job_free(job);
}

/* Not between two policies: what the old one permits until all workers have the new one must be seen. Nor while a worker
 * may let in what is about to be ended. */
static bool may_start(const struct pendd *d)
{
	return !d->reauth_running && !d->stopping && !d->reconsidering &&
	       d->changing != CHANGE_READY && d->changing != CHANGE_SETTLING;
}

static void start_next(struct pendd *d)
{
	struct reauth_job *job = may_start(d) ? reauth_jobs_next(&d->reauth_jobs) : NULL;
	struct task *t;

	if (!job)
		return;
	t = task_new(d, job);
	d->reauth_cancel = false;
	if (!t || spawn(d, t)) {
		free(t);
		failed(d, job);
		return;
	}
	d->reauth_job = job;
	d->reauth_snapshot = d->snapshot;
	d->snapshot->users++;
	d->reauth_running = true;
}

void pendd_reauthorized(struct pendd *d)
{
	struct snapshot *s = d->reauth_snapshot;
	struct reauth_job *job = d->reauth_job;

	if (!d->reauth_running)
		return;
	pthread_join(d->reauth_thread, NULL);
	d->reauth_running = false;
	d->reauth_snapshot = NULL;
	d->reauth_job = NULL;
	job_over(d, job);
	pendd_released(d, s);
	pendd_policy_resume(d);
	start_next(d);
}

/* ---- what asks for it ---- */

static void ask_routes(struct pendd *d)
{
	if (d->link_fd >= 0)
		ifaces_watch_routes(d->link_fd, classify_depends_on_place(d->snapshot->classifier));
}

/* Flows that an earlier daemon let in, also those that say nothing for now (R36). Lazily: by their next
 * packet, as they are of another epoch. */
void pendd_reauth_begin(struct pendd *d)
{
	ask_routes(d);
	if (d->settings.reauthorize != SETTINGS_REAUTHORIZE_NOW)
		return;
	reauth_jobs_add(&d->reauth_jobs, PEND_REASON_MID_STREAM, NULL);
	start_next(d);
}

void pendd_reauthorize(struct pendd *d, struct reauth_ranges *ranges)
{
	ask_routes(d);
	/* before the rules are there: pendd_reauth_begin() is about all flows */
	if (!d->settings.reauthorize || d->stopping || !d->started_ns || pendd_epoch_next(d))
		free(ranges);
	else
		reauth_jobs_add(&d->reauth_jobs, PEND_REASON_POLICY_CHANGE, ranges);
	start_next(d); /* requests have waited for the policy to settle, too */
}

/* What the workers remember of flows that are about to be ended would let them in again. */
static void reconsider(struct pendd *d, bool ended)
{
	struct mail m = {.type = MAIL_RECONSIDER, .u.ended = ended};

	for (unsigned i = 0; i < d->workers; i++)
		d->reconsidering += worker_mail(&d->worker[i], &m) == 0;
}

void pendd_reconsidered(struct pendd *d)
{
	if (d->reconsidering && !--d->reconsidering)
		start_next(d);
}

void pendd_reauth_until(struct pendd *d)
{
	reconsider(d, false);
	pendd_reauthorize(d, NULL);
}

void pendd_reauth_expired(struct pendd *d, struct reauth_keys *keys)
{
	if (d->stopping) {
		free(keys);
	} else {
		reconsider(d, true);
		reauth_jobs_add_ended(&d->reauth_jobs, keys);
	}
	start_next(d);
}

/*
 * Links and routes have been quiet for a moment, or not. A policy that asks neither where flows come in nor
 * where they go says the same of them as before.
 */
static void link_settled(void *ctx)
{
	struct pendd *d = ctx;
	uint64_t digest = d->link_changed ? ifaces_digest() : d->link_digest;
	bool moved = !digest || digest != d->link_digest;

	if (d->settings.reauthorize && !d->stopping &&
	    classify_depends_on_place(d->snapshot->classifier)) {
		if (moved)
			reauth_jobs_add(&d->reauth_jobs, PEND_REASON_NEW_ARRIVAL_INTERFACE, NULL);
		if (d->route_changed)
			reauth_jobs_add(&d->reauth_jobs, PEND_REASON_NEW_NEXTHOP_INTERFACE, NULL);
		start_next(d);
	}
	d->link_digest = digest;
	d->link_changed = d->route_changed = false;
}

/* Not more often than it takes a small part of the time. */
static uint64_t link_wait(const struct pendd *d)
{
	return MONO_NS_PER_S + 20 * d->reauth_took_ns;
}

void pendd_reauth_link(struct pendd *d, unsigned kinds)
{
	d->link_changed = d->link_changed || kinds & (IFACES_LINK | IFACES_ADDRESS);
	d->route_changed = d->route_changed || kinds & IFACES_ROUTE;
	if (kinds && !loop_timer_armed(&d->link_timer))
		loop_timer_arm(d->loop, &d->link_timer, mono_add(loop_now(d->loop), link_wait(d)));
}

void pendd_reauth_init(struct pendd *d)
{
	reauth_jobs_init(&d->reauth_jobs);
	loop_timer_init(&d->link_timer, link_settled, d);
	d->link_digest = ifaces_digest();
}

static bool filter_is_valid(const struct msg_reauth *w)
{
	unsigned bits = w->family == FLOW_V4 ? 32 : w->family == FLOW_V6 ? 128 : 0;

	return w->family == 0 || bits ? w->prefix_len <= bits : false;
}

void pendd_reauth_request(struct pendd *d, const struct msg *m, int fd)
{
	struct reauth_job refused = {.asked = true, .seq = m->seq, .image = -1};
	struct msg q = *m;
	int r = 0;

	if (m->type == MSG_REAUTHORIZE) {
		q.u.reauth.reason = PEND_REASON_POLICY_CHANGE;
		r = filter_is_valid(&q.u.reauth) ? 0 : -EINVAL;
	} else if (fd < 0) {
		r = -EINVAL;
	}
	if (r)
		d->bad_messages++;
	else
		r = d->stopping ? -EBUSY : reauth_jobs_ask(&d->reauth_jobs, &q, fd);
	if (r) {
		refused.result.error = r;
		tell(d, &refused);
		return;
	}
	if (q.u.reauth.pended && !q.u.reauth.dry)
		reconsider(d, true);
	start_next(d);
}

void pendd_reauth_forget(struct pendd *d)
{
	reauth_jobs_forget(&d->reauth_jobs);
	if (d->reauth_job)
		d->reauth_job->seq = 0;
}

void pendd_reauth_join(struct pendd *d)
{
	if (d->reauth_running) {
		d->reauth_stop = true;
		pthread_join(d->reauth_thread, NULL);
		d->reauth_running = false;
		reauth_job_free(d->reauth_job);
		if (d->reauth_snapshot != d->snapshot)
			snapshot_free(d->reauth_snapshot);
	}
	reauth_jobs_deinit(&d->reauth_jobs);
}
