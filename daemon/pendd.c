/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The verdict process: start and stop, as two lists that mirror each other. See pendd.h. */
#include "daemon/pendd.h"
#include "base/err.h"
#include "daemon/agent_exec.h"
#include "daemon/background.h"
#include "daemon/ifaces.h"
#include "daemon/log.h"
#include "daemon/notify.h"
#include "daemon/resolver.h"
#include "daemon/sandbox.h"
#include "daemon/spawn.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define STOP_MAX_NS (8 * MONO_NS_PER_S)

/* ---- what the loop calls ---- */

static void send_mail_to_all(struct pendd *d, const struct mail *m)
{
	for (unsigned i = 0; i < d->workers; i++)
		if (d->worker[i].started)
			worker_mail(&d->worker[i], m);
}

void pendd_stop(struct pendd *d, int status)
{
	struct mail m = {.type = MAIL_DRAIN};

	if (d->stopping)
		return;
	d->stopping = true;
	d->exit_status = status;
	m.u.verdict = d->settings.on_stop == PEND_VERDICT_PERMIT ? PEND_VERDICT_PERMIT
								 : PEND_VERDICT_BLOCK;
	notify_send("STOPPING=1\nSTATUS=completing what is pended");
	send_mail_to_all(d, &m);
	pendd_agents_end(d);
	if (!d->running)
		loop_stop(d->loop, 0);
}

void pendd_mail(void *ctx, uint32_t events)
{
	struct pendd *d = ctx;
	struct mail m;

	(void)events;
	while (read(d->mail[0], &m, sizeof(m)) == (ssize_t)sizeof(m)) {
		if (m.type == MAIL_RELEASED) {
			pendd_released(d, m.u.snapshot);
		} else if (m.type == MAIL_CHANGED) {
			pendd_changed(d);
		} else if (m.type == MAIL_REAUTHORIZED) {
			pendd_reauthorized(d);
		} else if (m.type == MAIL_RECONSIDERED) {
			pendd_reconsidered(d);
		} else if (m.type == MAIL_OFFERED) {
			pendd_offers_called(d);
		} else if (m.type == MAIL_FAILED) {
			pendd_stop(d, EXIT_FAILURE);
		} else if (m.type == MAIL_ENDED && d->running) {
			d->running--;
			if (!d->stopping)
				pendd_stop(d, EXIT_FAILURE);
			if (!d->running)
				loop_stop(d->loop, 0);
		}
	}
}

static void on_term(void *ctx, int signo)
{
	log_notice("daemon", "stopping: signal %d", signo);
	pendd_stop(ctx, EXIT_SUCCESS);
}

static void on_hup(void *ctx, int signo)
{
	struct msg m = {.type = MSG_RELOAD};

	(void)signo;
	notify_send("RELOADING=1");
	pendd_send(ctx, &m);
}

static void on_child(void *ctx, int signo)
{
	struct pendd *d = ctx;
	pid_t pid;
	int status;

	(void)signo;
	pendd_resolver_ended(d);
	pendd_agents_child(d);
	/* Others' children are iptables-restore's, waited for where they are started. */
	pid = d->authority > 0 ? waitpid(d->authority, &status, WNOHANG) : 0;
	if (pid != d->authority || !pid)
		return;
	d->authority = 0;
	pendd_authority_gone(d);
}

static void respawn(void *ctx)
{
	struct pendd *d = ctx;

	if (d->stopping)
		return;
	if (pendd_start_authority(d) < 0) {
		log_error("daemon", "cannot start the authority process");
		pendd_stop(d, EXIT_FAILURE);
	}
}

static void send_ifaces(struct pendd *d)
{
	struct classify_ifaces *t = ifaces_read();

	for (unsigned i = 0; t && i < d->workers; i++) {
		struct mail m = {.type = MAIL_IFACES, .u.ifaces = ifaces_copy(t)};

		if (m.u.ifaces && worker_mail(&d->worker[i], &m))
			free(m.u.ifaces);
	}
	if (t)
		pendd_offers_ifaces(d, t);
	free(t);
}

static void on_link(void *ctx, uint32_t events)
{
	struct pendd *d = ctx;
	unsigned kinds = ifaces_drain(d->link_fd);

	(void)events;
	if (kinds & IFACES_LINK)
		send_ifaces(d);
	pendd_reauth_link(d, kinds);
}

/* ---- start ---- */

static int fail(struct pendd *d, int status, const char *text)
{
	fprintf(stderr, "pendd: %s\n", text);
	d->exit_status = status;
	return -EIO;
}

static int exit_of(enum pend_status s)
{
	switch (s) {
	case PEND_E_PERMISSION:
		return EXIT_NOPERM;
	case PEND_E_IN_USE:
	case PEND_E_UNSUPPORTED:
		return EXIT_UNAVAILABLE;
	case PEND_E_INVALID:
		return EXIT_CONFIG;
	case PEND_OK:
	case PEND_E_NULL_POINTER:
	case PEND_E_NOT_READY:
	case PEND_E_CANNOT_PEND:
	case PEND_E_STALE:
	case PEND_E_NOT_FOUND:
	case PEND_E_ALREADY:
	case PEND_E_ACCESS_DENIED:
	case PEND_E_LIMIT:
	case PEND_E_BUSY:
	case PEND_E_NO_MEMORY:
	case PEND_E_SYSTEM:
	case PEND_E_LOOP:
		return EXIT_FAILURE;
	}
	return EXIT_FAILURE;
}

static int start_loop(struct pendd *d)
{
	int r = loop_new(&d->loop);

	signal(SIGPIPE, SIG_IGN);
	loop_timer_init(&d->second, pendd_watch, d);
	loop_timer_init(&d->queues, pendd_watch_queues, d);
	loop_timer_init(&d->respawn, respawn, d);
	pendd_agents_init(d);
	if (!r && pipe2(d->mail, O_CLOEXEC | O_NONBLOCK) < 0)
		r = -errno;
	d->making.mail = d->mail[1];
	if (!r)
		r = loop_add(d->loop, d->mail[0], EPOLLIN, pendd_mail, d);
	if (!r)
		r = loop_signal(d->loop, SIGTERM, on_term, d);
	if (!r)
		r = loop_signal(d->loop, SIGINT, on_term, d);
	if (!r)
		r = loop_signal(d->loop, SIGHUP, on_hup, d);
	if (!r)
		r = loop_signal(d->loop, SIGCHLD, on_child, d);
	return r ? fail(d, EXIT_FAILURE, "cannot make the event loop") : 0;
}

static int start_policy(struct pendd *d)
{
	if (pendd_load_policy(d)) {
		d->exit_status = EXIT_CONFIG;
		return -EINVAL;
	}
	return 0;
}

static int start_control(struct pendd *d)
{
	struct err err = {0};

	d->listen_fd = spawn_control_socket(&d->settings, &err);
	if (d->listen_fd >= 0)
		return 0;
	if (d->listen_fd == -EACCES || d->listen_fd == -EPERM) {
		fail(d, EXIT_NOPERM, err.text);
		return fail(d, EXIT_NOPERM,
			    "start it as root, or as its service does: with "
			    "CAP_NET_ADMIN and a folder of its own");
	}
	return fail(d, d->listen_fd == -EADDRINUSE ? EXIT_UNAVAILABLE : EXIT_FAILURE, err.text);
}

static void hook_config(const struct pendd *d, struct pend_hook_config *c)
{
	const struct settings *s = &d->settings;

	pend_hook_config_init(c);
	c->kind = (enum pend_hook_kind)s->hookup;
	c->name = s->table;
	c->queue_first = s->queue_first;
	c->queue_count = s->queue_count;
	c->mark_mask = s->mark_mask;
	c->epoch = d->epoch;
	c->hooks = s->hooks;
	c->priority = s->priority;
	c->loopback = s->loopback;
	c->multicast = s->multicast;
	c->fail_open = s->fail_open;
	c->lazy = s->reauthorize == SETTINGS_REAUTHORIZE_LAZY;
	c->decisions = s->kernel_decisions && s->hookup != PEND_HOOK_NONE;
	c->iptables = s->iptables;
	c->nft_fd = notify_take_fd("nft");
}

/* A restarted daemon must not take an earlier one's marks for its own (R36). */
static uint8_t choose_epoch(void)
{
	uint8_t b = 0;

	if (getrandom(&b, 1, 0) != 1)
		b = (uint8_t)getpid();
	return (uint8_t)(1 + b % 62);
}

static int start_hook(struct pendd *d)
{
	struct pend_hook_config c;
	enum pend_status s;

	d->epoch = choose_epoch();
	hook_config(d, &c);
	s = pend_hook_open(&d->hook, &c);
	if (c.lazy && (s == PEND_E_UNSUPPORTED || c.kind == PEND_HOOK_NONE))
		return fail(
			d, EXIT_CONFIG,
			"\"reauthorize lazy\" needs the nft hookup: set \"reauthorize now\", or "
			"\"hookup nft\"");
	pendd_epoch_begin(d);
	if (s == PEND_OK)
		return 0;
	return fail(d, exit_of(s),
		    d->hook && *pend_hook_error(d->hook) ? pend_hook_error(d->hook)
							 : pend_status_text(s));
}

static int start_workers(struct pendd *d)
{
	enum pend_status s = PEND_OK;
	char text[300];

	if (remembered_new(&d->remembered))
		return fail(d, EXIT_FAILURE, "out of memory for decisions");
	if (pendd_offers_init(d))
		return fail(d, EXIT_FAILURE, "out of memory for decisions in the kernel");
	for (unsigned i = 0; i < d->settings.queue_count; i++) {
		int r = worker_init(&d->worker[i], i, &d->settings, d->hook, d->epoch, d->mail[1],
				    text, sizeof(text), &s);

		d->workers = i + 1;
		d->worker[i].remembered = d->remembered;
		d->worker[i].offers = d->offers.ring ? &d->offers.ring[i] : NULL;
		if (r)
			return fail(d, exit_of(s), text);
	}
	return 0;
}

static int start_authority(struct pendd *d)
{
	int r = pendd_start_authority(d);

	for (unsigned i = 0; i < d->workers; i++)
		d->running += d->worker[i].started != 0;
	return r ? fail(d, EXIT_FAILURE, "cannot start the authority process") : 0;
}

static int await_decisions(struct pendd *d)
{
	pendd_decisions_await(d);
	return d->stopping ? -EIO : 0;
}

/* The rules come last: from here on packets arrive, and there is somebody to take them. */
static int install_hook(struct pendd *d)
{
	enum pend_status s;

	if (d->settings.hookup == PEND_HOOK_NONE)
		return 0;
	s = pend_hook_install(d->hook);
	if (s != PEND_OK)
		return fail(d, exit_of(s), pend_hook_error(d->hook));
	d->hook_installed = true;
	d->hook_state = 1;
	if (*pend_hook_warning(d->hook))
		log_warning("hookup", "%s", pend_hook_warning(d->hook));
	if (pend_hook_fd(d->hook) >= 0)
		notify_store_fd(pend_hook_fd(d->hook), "nft");
	return 0;
}

static int start_ifaces(struct pendd *d)
{
	int r;

	d->link_fd = ifaces_watch();
	r = d->link_fd < 0 ? d->link_fd : loop_add(d->loop, d->link_fd, EPOLLIN, on_link, d);
	if (r)
		return fail(d, EXIT_FAILURE, "cannot watch the network interfaces");
	send_ifaces(d);
	pendd_reauth_init(d);
	return 0;
}

/* The time zone is read here, before there is no way to any file. */
static int start_clock(struct pendd *d)
{
	tzset();
	pendd_clock(d);
	return 0;
}

/* Sockets are open, the folder of the control socket is made: nothing below needs more. */
static int drop_rights(struct pendd *d)
{
	struct err err = {0};

	background_allow();
	return sandbox_verdict(d->settings.raw_reinject, &err) ? fail(d, EXIT_FAILURE, err.text)
							       : 0;
}

static int start(struct pendd *d)
{
	int (*const steps[])(struct pendd *) = {
		start_policy,         start_loop,      start_control,   start_hook,
		start_workers,        start_ifaces,    start_clock,     drop_rights,
		pendd_start_resolver, start_authority, await_decisions, install_hook,
	};

	for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
		int r = steps[i](d);

		if (r)
			return r;
	}
	d->started_ns = loop_clock().ns;
	pendd_announce(d);
	pendd_reauth_begin(d);
	loop_timer_arm(d->loop, &d->second, mono_add(loop_clock(), MONO_NS_PER_S));
	loop_timer_arm(d->loop, &d->queues, mono_add(loop_clock(), MONO_NS_PER_S / 5));
	return 0;
}

/* ---- stop: the same in reverse ---- */

/* The last that is heard of what was pended, also where nobody follows the events. */
static void log_drained(const struct pendd *d)
{
	unsigned long long drained = 0;
	struct pend_stats s;

	for (unsigned i = 0; i < d->workers; i++) {
		if (!d->worker[i].engine)
			continue;
		pend_engine_stats(d->worker[i].engine, &s);
		drained += s.ended[PEND_STATE_DRAINED];
	}
	if (drained)
		log_notice("daemon", "%llu that were pended are drained", drained);
}

static void stop_workers(struct pendd *d)
{
	struct mail m = {.type = MAIL_DRAIN, .u.verdict = PEND_VERDICT_BLOCK};

	if (!d->stopping)
		send_mail_to_all(d, &m);
	for (unsigned i = 0; i < d->workers; i++)
		worker_join(&d->worker[i]);
	log_drained(d);
}

static void stop_authority(struct pendd *d)
{
	struct msg m = {.type = MSG_BYE};
	int status;

	if (d->chan) {
		pendd_send(d, &m);
		chan_free(d->chan); /* the end of the channel is a goodbye too */
		d->chan = NULL;
	}
	for (int i = 0; d->authority > 0 && i < 200; i++) {
		if (waitpid(d->authority, &status, WNOHANG) == d->authority)
			d->authority = 0;
		else
			usleep(10000);
	}
	if (d->authority > 0) {
		kill(d->authority, SIGKILL);
		waitpid(d->authority, &status, 0);
	}
}

static void stop_all(struct pendd *d)
{
	stop_workers(d);
	pendd_change_join(d);
	pendd_reauth_join(d);
	if (d->hook_installed && pend_hook_remove(d->hook) != PEND_OK)
		log_error("hookup", "cannot take the rules out: %s", pend_hook_error(d->hook));
	pendd_agents_stop(d);
	stop_authority(d);
	for (unsigned i = 0; i < d->workers; i++)
		worker_deinit(&d->worker[i]);
	pendd_offers_free(d);
	remembered_free(d->remembered);
	pendd_stop_resolver(d);
	pend_hook_close(d->hook);
	if (d->listen_fd >= 0) {
		close(d->listen_fd);
		unlink(d->settings.control);
	}
	snapshot_free(d->snapshot);
	if (d->link_fd >= 0)
		close(d->link_fd);
	for (int i = 0; i < 2; i++)
		if (d->mail[i] >= 0)
			close(d->mail[i]);
	loop_free(d->loop);
}

static int run(struct pendd *d)
{
	int r = start(d);

	if (!r)
		r = loop_run(d->loop);
	if (r < 0 && !d->exit_status)
		d->exit_status = EXIT_FAILURE;
	stop_all(d);
	return d->exit_status;
}

static int authority(const struct opts *o)
{
	struct authority_args a = {.listen_fd = 3,
				   .main_fd = 4,
				   .workers = o->workers,
				   .config = o->config,
				   .debug = o->debug,
				   .handed_over = 1};

	for (unsigned i = 0; i < o->workers; i++)
		a.worker_fd[i] = 5 + (int)i;
	return authority_main(&a);
}

static int agent(const struct opts *o)
{
	const struct agent_exec x = {
		.user = o->user, .group = o->group, .argv = o->program, .debug = o->debug};

	return agent_exec_main(&x);
}

static int resolver(const struct opts *o)
{
	const struct resolver_args a = {.channels = o->workers, .user = o->user};

	log_open("pendd", o->debug ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO);
	return resolver_main(&a);
}

int pendd_main(int argc, char **argv)
{
	static struct pendd d = {.listen_fd = -1, .link_fd = -1, .mail = {-1, -1}};

	opts_parse(&d.opts, argc, argv);
	switch (d.opts.mode) {
	case OPTS_EXIT:
		return d.opts.status;
	case OPTS_AUTHORITY:
		return authority(&d.opts);
	case OPTS_RESOLVER:
		return resolver(&d.opts);
	case OPTS_AGENT:
		return agent(&d.opts);
	case OPTS_CHECK:
		return pendd_load_policy(&d) ? EXIT_CONFIG : EXIT_SUCCESS;
	case OPTS_RUN:
		break;
	}
	log_open("pendd", d.opts.debug ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO);
	notify_open();
	return run(&d);
}
