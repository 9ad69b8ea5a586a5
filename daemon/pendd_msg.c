/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The main thread and the authority process. Every field that comes in is checked here. */
#include "daemon/kernel.h"
#include "daemon/log.h"
#include "daemon/notify.h"
#include "daemon/pendd.h"
#include "daemon/spawn.h"
#include "io/policyfile.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MAIN_BACKLOG     256u
#define RESTORE_MS       3000u /* at start, for what was remembered before */
#define RESPAWN_FIRST_MS 100u
#define RESPAWN_LAST_MS  6400u
#define RESPAWN_CALM_NS  (60 * MONO_NS_PER_S)

static void flush(struct pendd *d)
{
	int r;

	if (!d->chan)
		return;
	r = chan_flush(d->chan);
	if (r < 0)
		return; /* the end shows on the next read */
	loop_mod(d->loop, chan_fd(d->chan), EPOLLIN | (r == CHAN_AGAIN ? (uint32_t)EPOLLOUT : 0u));
}

void pendd_send_fd(struct pendd *d, struct msg *m, int fd)
{
	m->version = MSG_VERSION;
	m->worker = MSG_MAIN;
	if (!d->chan || (fd >= 0 ? chan_send_fd(d->chan, m, fd) : chan_send(d->chan, m)) != 0) {
		if (fd >= 0)
			close(fd);
		return;
	}
	flush(d);
}

void pendd_send(struct pendd *d, const struct msg *m)
{
	struct msg copy = *m;

	pendd_send_fd(d, &copy, -1);
}

/* A memory file, so that text of any length crosses in one message. */
static int text_fd(const char *text)
{
	int fd = memfd_create("pend-text", MFD_CLOEXEC);

	if (fd >= 0 && write(fd, text, strlen(text)) < 0) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static enum pend_status hook_op(struct pendd *d, uint32_t op, int *fd)
{
	enum pend_status s = PEND_E_INVALID;
	char *text;

	switch (op) {
	case HOOK_VERIFY:
		return pend_hook_verify(d->hook);
	case HOOK_INSTALL:
		s = pend_hook_install(d->hook);
		d->hook_installed = s == PEND_OK && d->settings.hookup != PEND_HOOK_NONE;
		d->hook_state = s == PEND_OK ? 1 : 2;
		pendd_offers_reset(d);
		return s;
	case HOOK_REMOVE:
		s = pend_hook_remove(d->hook);
		d->hook_installed = false;
		d->hook_state = 3;
		pendd_offers_reset(d);
		return s;
	case HOOK_PRINT:
		text = pend_hook_print(d->hook, PEND_HOOK_AUTO);
		if (!text)
			return PEND_E_SYSTEM;
		*fd = text_fd(text);
		free(text);
		return *fd < 0 ? PEND_E_SYSTEM : PEND_OK;
	default:
		d->bad_messages++;
		return s;
	}
}

static void take_hook(struct pendd *d, const struct msg *m)
{
	struct msg out = {.type = MSG_HOOK_RESULT, .seq = m->seq};
	int fd = -1;
	enum pend_status s = hook_op(d, m->u.hook.op, &fd);

	out.u.hook.op = m->u.hook.op;
	out.u.hook.status = (int32_t)s;
	snprintf(out.u.hook.text, sizeof(out.u.hook.text), "%.*s", MSG_TEXT - 1,
		 s == PEND_OK ? pend_hook_describe(d->hook) : pend_hook_error(d->hook));
	pendd_send_fd(d, &out, fd);
}

static void agents_status(const struct pendd *d, struct msg_main_status *st)
{
	struct agents_stats s;

	agents_stats(&d->agents, &s);
	st->agents_wanted = s.wanted;
	st->agents_running = s.running;
	st->agents_failing = s.failing;
	st->agents_foreign = s.foreign;
	st->agents_restarts = s.restarts;
}

static void send_status(struct pendd *d, const struct msg *m)
{
	struct msg out = {.type = MSG_MAIN_STATUS, .seq = m->seq};
	struct msg_main_status *st = &out.u.main;
	struct kernel_queues k = {0};

	kernel_queues_read(&k, d->settings.queue_first, d->settings.queue_count);
	st->generation = d->generation;
	st->revision = d->snapshot->revision;
	st->workers = d->workers;
	st->started_ns = d->started_ns;
	st->policy_loaded_ns = d->snapshot->loaded_ns;
	st->hook_state = d->hook_state;
	st->fail_open = d->settings.fail_open;
	st->draining = d->stopping;
	st->hook_repairs = d->hook_repairs;
	snprintf(st->hook_kind, sizeof(st->hook_kind), "%s", pend_hook_describe(d->hook));
	snprintf(st->caps, sizeof(st->caps), "%s", pend_hook_features(d->hook));
	st->reauth_runs = d->reauth_runs;
	st->reauth_examined = d->reauth_examined;
	st->reauth_ended = d->reauth_ended;
	st->reauth_failed = d->reauth_failed;
	for (unsigned i = 0; i < MSG_REASONS; i++) {
		st->reauth_by[i].runs = d->reauth_by[i].runs;
		st->reauth_by[i].ended = d->reauth_by[i].ended;
	}
	st->kernel_queued = k.queued;
	st->kernel_dropped = k.queue_dropped;
	st->user_dropped = k.user_dropped;
	st->kernel_flushed = d->kernel_flushed;
	snapshot_limits(d->snapshot, &st->limit_refused, &st->limit_forgotten);
	st->bad_messages = d->bad_messages;
	st->authority_restarts = d->authority_restarts;
	st->resolver_restarts = d->resolver_restarts;
	st->resolver = d->resolver > 0;
	listeners_count(d->listeners, &st->listeners);
	agents_status(d, st);
	pendd_offers_status(d, &st->offers);
	pendd_send_fd(d, &out, -1);
}

static void send_hits(struct pendd *d, const struct msg *m)
{
	struct msg out = {.type = MSG_RULE_HITS, .seq = m->seq};
	uint32_t first = m->u.hits.first, n = 0;

	out.u.hits.first = first;
	out.u.hits.generation = d->generation;
	while (n < MSG_HITS && first < d->snapshot->rules && n < d->snapshot->rules - first) {
		snapshot_count(d->snapshot, first + n, &out.u.hits.rule[n]);
		n++;
	}
	out.u.hits.count = n;
	pendd_send_fd(d, &out, -1);
}

static void send_layers(struct pendd *d, const struct msg *m)
{
	struct msg out = {.type = MSG_LAYER_COUNTS, .seq = m->seq};
	uint32_t first = m->u.layers.first, n = 0;

	out.u.layers.first = first;
	out.u.layers.generation = d->generation;
	while (n < MSG_LAYERS && first < d->snapshot->layers && n < d->snapshot->layers - first) {
		snapshot_count_layer(d->snapshot, first + n, &out.u.layers.layer[n]);
		n++;
	}
	out.u.layers.count = n;
	pendd_send_fd(d, &out, -1);
}

/* The image is of before any change of sets: what was changed since comes behind it. */
static void show_sets(struct pendd *d)
{
	struct msg m = {.type = MSG_SETS};
	const struct classify_edit *edit = snapshot_edits(d->snapshot, &m.u.sets.count);
	int fd;

	if (!m.u.sets.count)
		return;
	m.u.sets.generation = d->snapshot->generation;
	fd = policyfile_image_fd(edit, m.u.sets.count * sizeof(*edit));
	if (fd < 0)
		log_error("policy", "cannot tell the authority process of changed sets: %s",
			  strerror(-fd));
	else
		pendd_send_fd(d, &m, fd);
}

/* It shows rules by name: those in force, not those that stand in the file by now. */
static void show_policy(struct pendd *d)
{
	struct msg m = {.type = MSG_POLICY};

	m.u.policy.size = d->snapshot->size;
	m.u.policy.generation = d->snapshot->generation;
	m.u.policy.revision = d->snapshot->revision;
	pendd_send_fd(d, &m, fcntl(d->snapshot->fd, F_DUPFD_CLOEXEC, 0));
	show_sets(d);
	if (d->kept.type)
		pendd_send_fd(d, &d->kept, fcntl(d->kept_fd, F_DUPFD_CLOEXEC, 0));
}

/* Its own words to its successor: they are not looked at here. */
static void take_kept(struct pendd *d, const struct msg *m, int fd)
{
	int copy = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);

	if (copy < 0) {
		d->bad_messages++;
		return;
	}
	if (d->kept.type)
		close(d->kept_fd);
	d->kept = *m;
	d->kept_fd = copy;
}

void pendd_announce(struct pendd *d)
{
	if (d->ready || !d->authority_ready || !d->started_ns)
		return;
	d->ready = true;
	log_notice("daemon", "ready: %u queue%s from %u, hookup %s, policy %u", d->workers,
		   d->workers == 1 ? "" : "s", d->settings.queue_first, pend_hook_describe(d->hook),
		   d->generation);
	notify_send("READY=1");
	pendd_status_line(d);
}

static void message(struct pendd *d, const struct msg *m, int fd)
{
	if (m->version != MSG_VERSION) {
		d->bad_messages++;
		return;
	}
	switch (m->type) {
	case MSG_READY:
		d->authority_ready = true;
		pendd_agents_policy(d);
		pendd_announce(d);
		break;
	case MSG_POLICY:
	case MSG_SETS:
		pendd_change(d, m, fd);
		break;
	case MSG_HOOK:
		take_hook(d, m);
		break;
	case MSG_MAIN_STATUS:
		send_status(d, m);
		break;
	case MSG_RULE_HITS:
		send_hits(d, m);
		break;
	case MSG_DECISIONS:
		pendd_decisions_list(d, m);
		break;
	case MSG_RESTORE:
		pendd_decisions_restore(d, m, fd);
		break;
	case MSG_FORGET:
		pendd_decisions_forget(d, m);
		break;
	case MSG_LAYER_COUNTS:
		send_layers(d, m);
		break;
	case MSG_STOP:
		log_notice("daemon", "stopping: asked to by pendctl");
		pendd_stop(d, EXIT_SUCCESS);
		break;
	case MSG_REAUTHORIZE:
	case MSG_POLICY_DRY:
		pendd_reauth_request(d, m, fd);
		break;
	case MSG_KEEP:
		take_kept(d, m, fd);
		break;
	case MSG_AUTHORITIES:
		pendd_agents_policy(d);
		break;
	case MSG_RELOADED:
		notify_send("READY=1");
		break;
	default:
		d->bad_messages++;
	}
}

static void on_main(void *ctx, uint32_t events)
{
	struct pendd *d = ctx;
	static struct msg in[MSG_PER_DATAGRAM];

	(void)events;
	for (int round = 0; round < 16 && d->chan; round++) {
		unsigned n = 0;
		int fd = -1;
		int r = chan_recv(d->chan, in, &n, &fd);

		if (r == CHAN_AGAIN)
			break;
		if (r == CHAN_BAD) {
			d->bad_messages++;
			continue;
		}
		if (r < 0) {
			pendd_authority_gone(d);
			return;
		}
		for (unsigned i = 0; i < n; i++)
			message(d, &in[i], i == 0 ? fd : -1);
		if (fd >= 0)
			close(fd);
	}
	flush(d);
}

/* Changes of sets are put in force as always: a thread makes them, and the workers say when they have them. */
void pendd_decisions_await(struct pendd *d)
{
	mono_t end = mono_add(loop_clock(), RESTORE_MS * MONO_NS_PER_MS);

	while (d->chan && !d->restored && !d->stopping && mono_before(loop_clock(), end)) {
		struct pollfd p[2] = {{.fd = chan_fd(d->chan), .events = POLLIN},
				      {.fd = d->mail[0], .events = POLLIN}};

		if (poll(p, 2, 50) <= 0)
			continue;
		if (p[1].revents)
			pendd_mail(d, 0);
		if (p[0].revents)
			on_main(d, 0);
	}
	if (d->chan && !d->restored)
		log_warning("store",
			    "what was decided and changed before is not there yet: going on");
}

void pendd_authority_gone(struct pendd *d)
{
	if (!d->chan)
		return;
	loop_del(d->loop, chan_fd(d->chan));
	chan_free(d->chan);
	d->chan = NULL;
	d->authority_ready = false;
	pendd_change_orphan(d);
	pendd_reauth_forget(d);
	if (d->stopping)
		return;
	if (!d->ready) {
		log_error("daemon", "the authority process could not start; its message is above");
		pendd_stop(d, EXIT_FAILURE);
		return;
	}
	/* Nothing pended is lost with it: contexts and deadlines are the workers'. */
	log_error("daemon", "the authority process ended; starting another");
	d->authority_restarts++;
	/* At once, and ever slower when it ends again and again. */
	if (mono_since(loop_now(d->loop), d->authority_started) > RESPAWN_CALM_NS)
		d->respawn_ms = RESPAWN_FIRST_MS;
	else if (d->respawn_ms < RESPAWN_LAST_MS)
		d->respawn_ms *= 2;
	loop_timer_arm(d->loop, &d->respawn,
		       mono_add(loop_now(d->loop), d->respawn_ms * MONO_NS_PER_MS));
}

/* The ends of the new channels: ours to the workers, the others to the new process. */
static int make_channels(struct pendd *d, int *main_other, int *worker_ours, int *worker_other)
{
	int pair[2];
	int r = spawn_channel(pair);

	if (r)
		return r;
	*main_other = pair[1];
	r = chan_new(&d->chan, pair[0], sizeof(struct msg), MSG_PER_DATAGRAM, MAIN_BACKLOG);
	for (unsigned i = 0; i < d->workers && !r; i++) {
		r = spawn_channel(pair);
		worker_ours[i] = pair[0];
		worker_other[i] = pair[1];
	}
	return r;
}

int pendd_start_authority(struct pendd *d)
{
	int main_other = -1, ours[PEND_MAX_WORKERS], other[PEND_MAX_WORKERS];
	int r = make_channels(d, &main_other, ours, other);

	if (r)
		return r;
	d->authority = spawn_authority(d->listen_fd, main_other, other, d->workers, d->opts.config,
				       d->opts.debug);
	if (d->authority < 0)
		return d->authority;
	d->authority_started = loop_clock();
	if (!d->respawn_ms)
		d->respawn_ms = RESPAWN_FIRST_MS;
	for (unsigned i = 0; i < d->workers && !r; i++) {
		struct mail m = {.type = MAIL_CHANNEL, .u.fd = ours[i]};

		if (d->worker[i].started)
			r = worker_mail(&d->worker[i], &m);
		else
			r = worker_start(&d->worker[i], d->snapshot, ours[i]);
		if (!r && !d->ready)
			d->snapshot->users++;
	}
	if (!r)
		r = loop_add(d->loop, chan_fd(d->chan), EPOLLIN, on_main, d);
	if (!r)
		show_policy(d);
	return r;
}
