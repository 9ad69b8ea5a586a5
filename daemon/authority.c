/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The authority process's life, and the traffic between its parts: lines of clients go to the
 * control server, its messages to the verdict process, answers and events back. See authority.h.
 */
#include "daemon/authority_impl.h"
#include "daemon/agent_exec.h"
#include "daemon/askers.h"
#include "daemon/changes.h"
#include "daemon/control.h"
#include "daemon/events.h"
#include "daemon/log.h"
#include "daemon/sandbox.h"
#include "daemon/view.h"
#include "io/chan.h"
#include "io/usock.h"
#include <errno.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MODULE        "authority"
#define CHAN_BACKLOG  1024
#define PEER_DONE     (CHAN_BAD + 1)
#define RECV_BURST    64    /* datagrams of one channel in a round */
#define BYE_MS        10000 /* after SIGTERM, for the verdict process to say MSG_BYE */
#define LEAVE_MS      500   /* after MSG_BYE, for clients to take what is owed to them */
#define FILES_SPARE   64
#define POLICY_MS     5000 /* at start, for the policy in force */
#define QUESTIONS_MAX (1u << 20)
#define SEQ_STATUS    4000 /* our own MSG_MAIN_STATUS; no request's number is below 4096 */

/* ----------------------------------------------------------------- channels ---- */

static struct peer *peer_find(struct authority *a, unsigned worker)
{
	if (worker == MSG_MAIN)
		return &a->main;
	return worker < a->args->workers ? &a->worker[worker] : NULL;
}

int authority_post_fd(struct authority *a, unsigned worker, const struct msg *m, int fd)
{
	struct peer *p = peer_find(a, worker);
	int r;

	if (!p || !p->chan)
		return -EPIPE;
	r = chan_send_fd(p->chan, m, fd);
	a->full = a->full || r > 0;
	return r;
}

int authority_post(void *ctx, unsigned worker, const struct msg *m)
{
	return authority_post_fd(ctx, worker, m, -1);
}

static void post_simple(struct authority *a, enum msg_type type, int32_t status)
{
	struct msg m = {.version = MSG_VERSION, .type = type, .worker = MSG_MAIN};

	m.u.done.status = status;
	authority_post(a, MSG_MAIN, &m);
}

static void peer_close(struct peer *p)
{
	if (!p->chan)
		return;
	loop_del(p->a->loop, chan_fd(p->chan));
	chan_free(p->chan);
	p->chan = NULL;
}

/* The workers' last events may still be in their channels, and our clients' output in ours. */
static void leave(struct authority *a)
{
	if (a->leaving)
		return;
	a->leaving = true;
	loop_timer_arm(a->loop, &a->late, mono_add(loop_now(a->loop), LEAVE_MS * MONO_NS_PER_MS));
}

static void leave_late(void *ctx)
{
	struct authority *a = ctx;

	loop_stop(a->loop, 0);
}

static bool all_is_said(const struct authority *a)
{
	for (unsigned i = 0; i < a->args->workers; i++)
		if (a->worker[i].chan)
			return false;
	return usock_all_sent(a->usock);
}

static void peer_lost(struct peer *p)
{
	if (p->number == MSG_MAIN) {
		log_notice(MODULE, "the verdict process is gone: exiting");
		leave(p->a);
	} else {
		/* usual at the end; else `status` says which worker does not answer */
		log_debug(MODULE, "the channel to worker %u is closed", p->number);
	}
	peer_close(p);
}

static void peer_flush(struct peer *p)
{
	int r = p->chan ? chan_flush(p->chan) : 0;

	if (!p->chan)
		return;
	if (r < 0)
		peer_lost(p);
	else
		loop_mod(p->a->loop, chan_fd(p->chan),
			 r == CHAN_AGAIN ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

static void subscribe(struct authority *a, uint32_t mask)
{
	struct msg m = {.version = MSG_VERSION, .type = MSG_SUBSCRIBE, .u.subscribe.events = mask};

	if (mask == a->subscribed)
		return;
	a->subscribed = mask;
	for (unsigned i = 0; i < a->args->workers; i++) {
		m.worker = (uint16_t)i;
		authority_post(a, i, &m);
	}
}

void authority_follow(void *ctx, uint32_t mask)
{
	subscribe(ctx, (mask | EVENTS_BASE) & ~(1u << EVENTS_NOTE));
}

static void worker_event(struct authority *a, const struct pend_event *ev)
{
	/* An answered one is asked about by another handle from now on. */
	if (ev->type == PEND_EVENT_COMPLETED || ev->type == PEND_EVENT_ANSWERED) {
		ask_gone(askers_ask(a->askers), ev->info.context);
		lasting_event(a->lasting, ev);
	}
	control_event(a->control, events_add(a->events, ev));
}

static bool worker_message(struct authority *a, unsigned worker, const struct msg *m, int fd)
{
	switch (m->type) {
	case MSG_DONE:
	case MSG_CONTEXT:
		if (!askers_answer(a->askers, worker, m) && !sweep_answer(&a->sweep, worker, m))
			control_answer(a->control, worker, m, fd);
		return true;
	case MSG_WORKER_STATS:
		control_answer(a->control, worker, m, fd);
		return true;
	case MSG_EVENT:
		worker_event(a, &m->u.event);
		return true;
	case MSG_REMEMBERED:
		lasting_remembered(a->lasting, m);
		sweep_want(&a->sweep);
		return true;
	case MSG_QUESTION:
		a->questions++;
		askers_question(a->askers, &m->u.event.info);
		return true;
	}
	return false;
}

static void reload_begin(struct authority *a)
{
	struct amend *ch = amend_new(AMEND_RELOAD);
	int r = ch ? changes_add(a->changes, ch) : -ENOMEM;

	if (r < 0) {
		amend_free(ch);
		log_error("reload", "cannot start: %s", strerror(-r));
		post_simple(a, MSG_RELOADED, PEND_E_SYSTEM);
	}
}

static void policy_adopt(struct authority *a, const struct msg *m, int fd)
{
	int r = changes_adopt(a->changes, m, fd);

	a->adopted = a->adopted || r == 0;
	if (r < 0)
		log_error("reload", "the policy in force cannot be read: %s", strerror(-r));
}

static void sets_adopt(struct authority *a, const struct msg *m, int fd)
{
	int r = changes_adopt_sets(a->changes, m, fd);

	if (r < 0)
		log_error("reload", "the sets in force cannot be read: %s", strerror(-r));
}

static void main_answer(struct authority *a, const struct msg *m, int fd)
{
	if (m->type == MSG_MAIN_STATUS && m->seq == SEQ_STATUS) {
		if (!a->view.generation)
			a->view.generation = m->u.main.generation;
		/* what is in force was sent before this */
		changes_go(a->changes);
		lasting_sets(a->lasting, changes_overlay(a->changes)->restored);
		askers_again(a->askers);
	} else if (m->type == MSG_DECISIONS && lasting_is_ours(m->seq)) {
		lasting_decisions(a->lasting, m, fd);
	} else if (!changes_answer(a->changes, m)) {
		control_answer(a->control, MSG_MAIN, m, fd);
	}
}

static bool main_message(struct authority *a, unsigned number, const struct msg *m, int fd)
{
	(void)number;
	switch (m->type) {
	case MSG_DONE:
	case MSG_HOOK_RESULT:
	case MSG_MAIN_STATUS:
	case MSG_RULE_HITS:
	case MSG_LAYER_COUNTS:
	case MSG_DECISIONS:
		main_answer(a, m, fd);
		return true;
	case MSG_REAUTHORIZED:
		control_reauthorized(a->control, m, fd);
		return true;
	case MSG_POLICY:
		policy_adopt(a, m, fd);
		return true;
	case MSG_SETS:
		sets_adopt(a, m, fd);
		return true;
	case MSG_KEEP:
		if (changes_adopt_kept(a->changes, m, fd) < 0)
			log_error("reload", "the last process's word on changes cannot be read");
		return true;
	case MSG_RELOAD:
		reload_begin(a);
		return true;
	case MSG_BYE:
		leave(a);
		return true;
	}
	return false;
}

static void peer_message(struct peer *p, const struct msg *m, int fd)
{
	bool known = m->version == MSG_VERSION;

	if (known)
		known = p->number == MSG_MAIN ? main_message(p->a, p->number, m, fd)
					      : worker_message(p->a, p->number, m, fd);
	if (known)
		return;
	p->a->bad_messages++;
	log_error(MODULE, "unknown message (type %u, version %u) from channel %u", m->type,
		  m->version, p->number);
}

/* 0, PEER_DONE when there is probably no more for now, CHAN_AGAIN when there is none, or -errno. */
static int peer_read(struct peer *p)
{
	struct msg m[MSG_PER_DATAGRAM];
	unsigned n;
	int fd, r = chan_recv(p->chan, m, &n, &fd);

	if (r != 0)
		return r == CHAN_BAD ? 0 : r;
	for (unsigned i = 0; i < n && p->chan; i++)
		peer_message(p, &m[i], fd);
	if (fd >= 0)
		close(fd);
	return n < MSG_PER_DATAGRAM ? PEER_DONE : 0;
}

static void peer_event(void *ctx, uint32_t events)
{
	struct peer *p = ctx;
	int r = 0;

	for (int i = 0; i < RECV_BURST && r == 0 && p->chan; i++)
		r = peer_read(p);
	if (r < 0 || (events & (EPOLLERR | EPOLLHUP) && r == CHAN_AGAIN))
		peer_lost(p);
}

/* The descriptor is the peer's also on error. */
static int peer_open(struct authority *a, struct peer *p, unsigned number, int fd)
{
	int r;

	*p = (struct peer){.a = a, .number = number};
	r = chan_new(&p->chan, fd, sizeof(struct msg), MSG_PER_DATAGRAM, CHAN_BACKLOG);
	if (r < 0) {
		close(fd);
		return r;
	}
	r = loop_add(a->loop, fd, EPOLLIN, peer_event, p);
	if (r < 0) {
		chan_free(p->chan);
		p->chan = NULL;
	}
	return r;
}

/* ------------------------------------------------------------------- reload ---- */

static void reload_log(const struct reload_result *res)
{
	const char *p = res->diagnostics;

	if (res->status == 0)
		log_notice("reload", "policy %u is in force", res->generation);
	else
		log_error("reload", "%s", res->text);
	for (int i = 0; *p && i < 60; i++) {
		const char *nl = strchrnul(p, '\n');

		log_warning("reload", "%.*s", (int)(nl - p), p);
		p = *nl ? nl + 1 : nl;
	}
	if (*res->restart)
		log_warning("reload", "these settings need a restart: %s", res->restart);
}

static void reload_done(struct authority *a, const struct reload_result *res)
{
	reload_log(res);
	post_simple(a, MSG_RELOADED,
		    res->status == 0         ? PEND_OK
		    : res->status == -EINVAL ? PEND_E_INVALID
					     : PEND_E_SYSTEM);
}

static void change_note(struct authority *a, const struct amend *ch, const struct amend_result *res)
{
	uint64_t now = loop_now(a->loop).ns;

	if (ch->kind == AMEND_CHECK || ch->kind == AMEND_DRY)
		return;
	if (ch->kind == AMEND_RELOAD && res->code)
		control_event(a->control,
			      events_note(a->events, now, "reload failed: %s", res->text));
	else if (ch->kind == AMEND_RELOAD)
		control_event(a->control, events_note(a->events, now, "policy %u is in force",
						      res->generation));
	else if (!res->code)
		control_event(a->control, events_note(a->events, now, "policy %u.%u: %s",
						      res->generation, res->revision, ch->what));
}

static void change_done(void *ctx, const struct amend *ch, const struct amend_result *res)
{
	struct authority *a = ctx;

	change_note(a, ch, res);
	if (ch->kind == AMEND_RELOAD)
		reload_done(a, res->reload);
	if (ch->kind == AMEND_RESTORE)
		lasting_restored(a->lasting, ch, res->code ? res->text : NULL);
	else if (!res->code)
		lasting_set(a->lasting, ch);
	if (ch->seq == RELOAD_SEQ_NONE)
		return;
	if (ch->kind == AMEND_POLICY || ch->kind == AMEND_SET)
		control_changed(a->control, ch, res);
	else
		control_reloaded(a->control, ch->seq, res->reload);
}

static uint64_t wall_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* ------------------------------------------------------------- start and end ---- */

static mono_t idle(void *ctx, mono_t now)
{
	struct authority *a = ctx;

	(void)now;
	if (a->full) {
		a->full = false;
		askers_room(a->askers);
		sweep_room(&a->sweep);
		control_room(a->control);
	}
	askers_policy(a->askers);
	/* A program that is ended before that would take its questions for lost. */
	if (a->askers_serial != askers_serial(a->askers)) {
		a->askers_serial = askers_serial(a->askers);
		post_simple(a, MSG_AUTHORITIES, PEND_OK);
	}
	lasting_policy(a->lasting);
	lasting_tidy(a->lasting);
	usock_flush(a->usock);
	for (unsigned i = 0; i < a->args->workers; i++)
		peer_flush(&a->worker[i]);
	peer_flush(&a->main);
	if (a->leaving && all_is_said(a))
		loop_stop(a->loop, 0);
	return MONO_NEVER;
}

static void bye_late(void *ctx)
{
	struct authority *a = ctx;

	log_warning(MODULE, "the verdict process did not say goodbye: exiting");
	loop_stop(a->loop, 0);
}

/* A service manager signals all processes; the verdict process still needs us while it drains. */
static void on_term(void *ctx, int signo)
{
	struct authority *a = ctx;

	(void)signo;
	if (!loop_timer_armed(&a->bye))
		loop_timer_arm(a->loop, &a->bye,
			       mono_add(loop_now(a->loop), BYE_MS * MONO_NS_PER_MS));
}

static gid_t group_find(const char *name)
{
	const struct group *g = *name ? getgrnam(name) : NULL;

	if (*name && !g)
		log_warning(MODULE, "there is no group \"%s\": nobody has its role", name);
	return g ? g->gr_gid : (gid_t)-1;
}

static int open_channels(struct authority *a)
{
	int r = peer_open(a, &a->main, MSG_MAIN, a->args->main_fd);

	for (unsigned i = 0; i < a->args->workers; i++) {
		int ret = peer_open(a, &a->worker[i], i, a->args->worker_fd[i]);

		r = r < 0 ? r : ret;
	}
	return r;
}

static int send_policy(void *ctx, const struct msg *m, int fd)
{
	return authority_post_fd(ctx, MSG_MAIN, m, fd);
}

static int open_changes(struct authority *a)
{
	const struct changes_env env = {
		.ctx = a,
		.loop = a->loop,
		.view = &a->view,
		.config = a->args->config,
		.journal = a->journal,
		.send = send_policy,
		.done = change_done,
		.wall_ms = wall_ms,
	};

	return changes_new(&a->changes, &env);
}

static int open_askers(struct authority *a)
{
	const struct settings *s = &a->view.settings;
	uint64_t most = (uint64_t)s->max_contexts * a->args->workers;
	const struct askers_env env = {.ctx = a,
				       .loop = a->loop,
				       .view = &a->view,
				       .notes = a->notes,
				       .workers = a->args->workers,
				       .max_questions = most < QUESTIONS_MAX ? (uint32_t)most
									     : QUESTIONS_MAX,
				       .post = authority_post};

	return askers_new(&a->askers, &env);
}

static int to_main(void *ctx, unsigned worker, const struct msg *m, int fd)
{
	return authority_post_fd(ctx, worker, m, fd);
}

static int again(void *ctx, struct amend *ch)
{
	struct authority *a = ctx;

	return changes_add(a->changes, ch);
}

static const struct overlay *in_force(void *ctx)
{
	const struct authority *a = ctx;

	return changes_overlay(a->changes);
}

static bool is_whole(void *ctx)
{
	const struct authority *a = ctx;

	return !changes_partial(a->changes);
}

static void on_synced(void *ctx, uint32_t seq, int status, const char *error)
{
	struct authority *a = ctx;

	control_synced(a->control, seq, status, error);
}

static void on_found(void *ctx, uint32_t seq, int status, const struct store_found *f, size_t n)
{
	struct authority *a = ctx;

	control_found(a->control, seq, status, f, n);
}

static int open_lasting(struct authority *a)
{
	const struct lasting_env env = {.ctx = a,
					.loop = a->loop,
					.view = &a->view,
					.notes = a->notes,
					.post_fd = to_main,
					.change = again,
					.overlay = in_force,
					.whole = is_whole,
					.synced = on_synced,
					.found = on_found};

	return lasting_new(&a->lasting, &env);
}

static int open_parts(struct authority *a)
{
	int r = events_new(&a->events);

	if (r == 0)
		r = notes_new(&a->notes);
	if (r == 0)
		r = listeners_new(&a->listeners);
	a->view.notes = a->notes;
	sweep_init(&a->sweep, a->loop, a->args->workers, a, authority_post);
	if (r == 0)
		r = open_lasting(a);
	if (r == 0)
		r = open_askers(a);
	return r == 0 ? authority_open_control(a) : r;
}

static int drop_rights(struct authority *a)
{
	unsigned files = a->view.settings.max_clients + a->args->workers + FILES_SPARE;
	struct err e = {0};
	int r = sandbox_bounding(&e);

	if (r == 0)
		r = sandbox_user(a->view.settings.user, &e);
	if (r == -ENOENT) {
		log_warning(MODULE, "%s; staying root without capabilities", e.text);
		r = 0;
	}
	if (r == 0)
		r = sandbox_limits(files, &e);
	if (r == 0)
		r = sandbox_capabilities(&e);
	if (r < 0)
		log_error(MODULE, "%s", e.text);
	else if (access(a->args->config, R_OK) < 0)
		log_warning(MODULE, "%s cannot be read as user \"%s\": reload will fail",
			    a->args->config, a->view.settings.user);
	return r;
}

static int open_signals(struct authority *a)
{
	/* the terminal's and the service's other signals are for the verdict process to act on */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	loop_timer_init(&a->bye, bye_late, a);
	loop_timer_init(&a->late, leave_late, a);
	return loop_signal(a->loop, SIGTERM, on_term, a);
}

/* Messages that are there already, or come within that time; the loop does not run yet. */
static void wait_for_policy(struct authority *a)
{
	struct pollfd p = {.fd = chan_fd(a->main.chan), .events = POLLIN};
	int r = 0;

	while (a->main.chan && !a->adopted && (r == 0 || r == PEER_DONE) &&
	       poll(&p, 1, POLICY_MS) > 0)
		r = peer_read(&a->main);
}

/*
 * The policy that the verdict process has in force, and its settings. Only where that does not hand it
 * over, as no pendd does, the file counts: it may be another one by now.
 */
static void first_view(struct authority *a)
{
	char text[MSG_TEXT] = "";

	if (a->args->handed_over)
		wait_for_policy(a);
	if ((!a->adopted || reload_settings(changes_reload(a->changes)) < 0) &&
	    reload_first(changes_reload(a->changes), text, sizeof(text)) < 0)
		log_warning(MODULE, "%s", text);
	a->control_gid = group_find(a->view.settings.control_group);
	a->observe_gid = group_find(a->view.settings.observe_group);
	a->agents_uid = agent_exec_user(&a->view.settings);
}

static int start(struct authority *a)
{
	struct err e = {0};
	int r = loop_new(&a->loop);

	view_init(&a->view);
	if (r == 0)
		r = open_signals(a);
	if (r == 0)
		r = open_channels(a);
	if (r == 0)
		r = journal_new(&a->journal);
	if (r == 0)
		r = open_changes(a);
	if (r < 0) {
		log_error(MODULE, "cannot start: %s", strerror(-r));
		return r;
	}
	first_view(a);
	r = drop_rights(a);
	if (r < 0)
		return r;
	json_object_seed(0);
	r = listen(a->args->listen_fd, 64) < 0 ? -errno : open_parts(a);
	if (r < 0) {
		log_error(MODULE, "cannot serve the control socket: %s", strerror(-r));
		return r;
	}
	r = sandbox_syscalls(&e);
	if (r < 0) {
		log_error(MODULE, "%s", e.text);
		return r;
	}
	r = lasting_start(a->lasting);
	if (r < 0)
		log_error("store", "cannot start its thread: %s", strerror(-r));
	return r;
}

/* The verdict process is told, the workers are asked for events, the policy's number is asked. */
static void announce(struct authority *a)
{
	struct msg m = {.version = MSG_VERSION, .type = MSG_MAIN_STATUS, .worker = MSG_MAIN};

	loop_set_idle(a->loop, idle, a);
	loop_set_busy(a->loop, a->view.settings.busy_poll);
	subscribe(a, EVENTS_BASE);
	m.seq = SEQ_STATUS;
	post_simple(a, MSG_READY, PEND_OK);
	authority_post(a, MSG_MAIN, &m);
	idle(a, loop_now(a->loop));
}

static void stop(struct authority *a)
{
	usock_free(a->usock);
	control_free(a->control);
	askers_free(a->askers);
	sweep_stop(&a->sweep);
	lasting_free(a->lasting);
	notes_free(a->notes);
	changes_free(a->changes);
	journal_free(a->journal);
	listeners_free(a->listeners);
	events_free(a->events);
	for (unsigned i = 0; i < a->args->workers; i++)
		peer_close(&a->worker[i]);
	peer_close(&a->main);
	view_deinit(&a->view);
	loop_free(a->loop);
}

int authority_main(const struct authority_args *args)
{
	struct authority a = {.args = args, .view.if_fd = -1};
	int r;

	log_open("pendd-authority", args->debug ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO);
	r = start(&a);
	if (r == 0) {
		announce(&a);
		r = loop_run(a.loop);
	}
	if (r < 0)
		log_error(MODULE, "exiting: %s", strerror(-r));
	stop(&a);
	return r < 0;
}
