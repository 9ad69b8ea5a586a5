/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pendctl events --exec: a program for each event, one at a time. What comes meanwhile waits; above
 * EXEC_QUEUE events the newest are dropped and counted, and the program is told how many. It outlives the
 * daemon, and takes up following when that is back.
 */
#include "cli/cli.h"
#include "cli/live.h"
#include "cli/term.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define EXEC_QUEUE   1000
#define EXEC_TIME_MS 60000 /* a program that takes longer is ended */
#define VARIABLES    18

extern char **environ;

struct hook {
	const char *program;
	const json_t *args; /* of op events */
	struct live live;
	int signals;
	int64_t now, deadline;
	json_t *queue;
	pid_t pid; /* of the program that runs; 0: none */
	unsigned long long dropped, told;
	bool quit;
	int exit;
};

/* ------------------------------------------------------------------ the program ---- */

/* "PEND_SOURCE=203.0.113.7", cleaned; NULL: the event has no such member, or no memory. */
static char *variable(const json_t *event, const char *key)
{
	const json_t *v = json_object_get(event, key);
	char *text = NULL;
	int n = -1;

	if (json_is_string(v))
		n = asprintf(&text, "PEND_%s=%s", key, json_string_value(v));
	else if (json_is_integer(v))
		n = asprintf(&text, "PEND_%s=%lld", key, (long long)json_integer_value(v));
	if (n < 0)
		return NULL;
	for (char *s = text + strlen("PEND_"); *s && *s != '='; s++)
		*s = (char)(*s >= 'a' && *s <= 'z' ? *s - 'a' + 'A' : *s);
	out_clean(text);
	return text;
}

/* Ours and what there was, but for what was called so before. NULL: no memory. */
static char **environment(const json_t *event, unsigned long long dropped, char *own[VARIABLES])
{
	static const char *const keys[] = {
		"type",   "id",        "time",      "protocol",    "source", "source_port",
		"dest",   "dest_port", "interface", "rule",        "state",  "verdict",
		"reason", "why",       "authority", "retransmits", "text"};
	size_t n = 0, k = 0;
	char **env;

	while (environ[n])
		n++;
	env = calloc(n + VARIABLES + 1, sizeof(*env));
	for (size_t i = 0; env && i < n; i++)
		if (strncmp(environ[i], "PEND_", 5) != 0 ||
		    !strncmp(environ[i], "PEND_NOTIFY_", 12)) /* settings of the examples */
			env[k++] = environ[i];
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		own[i] = variable(event, keys[i]);
	if (asprintf(&own[VARIABLES - 1], "PEND_DROPPED=%llu", dropped) < 0)
		own[VARIABLES - 1] = NULL;
	for (size_t i = 0; env && i < VARIABLES; i++)
		if (own[i])
			env[k++] = own[i];
	return env;
}

/* A file with the event on a line, to be read from its beginning; -1. */
static int input(const json_t *event)
{
	char *text = json_dumps(event, JSON_COMPACT);
	int fd = memfd_create("event", MFD_CLOEXEC);
	bool ok = text && fd >= 0 && dprintf(fd, "%s\n", text) > 0 && lseek(fd, 0, SEEK_SET) == 0;

	free(text);
	if (!ok && fd >= 0)
		close(fd);
	return ok ? fd : -1;
}

static int spawn(struct hook *h, int fd, char **env)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	char *argv[] = {NULL, NULL};
	sigset_t none;
	int r;

	argv[0] = strdup(h->program);
	sigemptyset(&none);
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_adddup2(&files, fd, STDIN_FILENO);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
	r = argv[0] ? posix_spawnp(&h->pid, h->program, &files, &attr, argv, env) : ENOMEM;
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&files);
	free(argv[0]);
	if (r)
		h->pid = 0;
	return r;
}

static void run_program(struct hook *h, const json_t *event)
{
	char *own[VARIABLES] = {NULL}, **env = environment(event, h->dropped, own);
	int fd = input(event), r = env && fd >= 0 ? spawn(h, fd, env) : ENOMEM;

	h->deadline = h->now + EXEC_TIME_MS;
	if (r)
		cli_fail(0, "cannot run %s: %s", h->program, strerror(r));
	if (fd >= 0)
		close(fd);
	for (size_t i = 0; i < VARIABLES; i++)
		free(own[i]);
	free(env);
}

static void run_next(struct hook *h)
{
	while (!h->pid && json_array_size(h->queue)) {
		json_t *event = json_incref(json_array_get(h->queue, 0));

		json_array_remove(h->queue, 0);
		run_program(h, event);
		json_decref(event);
	}
	if (h->dropped != h->told && !json_array_size(h->queue)) {
		cli_fail(0, "%llu events were dropped so far: %s is too slow", h->dropped,
			 h->program);
		h->told = h->dropped;
	}
}

static void reap(struct hook *h)
{
	int status;

	if (!h->pid || waitpid(h->pid, &status, WNOHANG) != h->pid)
		return;
	h->pid = 0;
	if (WIFSIGNALED(status))
		cli_fail(0, "%s was ended by signal %d", h->program, WTERMSIG(status));
	else if (WEXITSTATUS(status))
		cli_fail(0, "%s ended with status %d", h->program, WEXITSTATUS(status));
}

/* ------------------------------------------------------------------- the events ---- */

static void event(void *ctx, json_t *e)
{
	struct hook *h = ctx;

	if (json_array_size(h->queue) >= EXEC_QUEUE)
		h->dropped++;
	else
		json_array_append(h->queue, e);
}

static void following(void *ctx, const json_t *result, const char *code, const char *message)
{
	struct hook *h = ctx;

	(void)result;
	if (!code)
		return;
	h->quit = true;
	h->exit = cli_fail(strcmp(code, "invalid") ? CLI_FAILURE : CLI_USAGE, "%s", message);
}

static void follow(struct hook *h)
{
	live_ask(&h->live, "events", json_deep_copy(h->args), following, h->now);
}

static void up(void *ctx)
{
	follow(ctx);
}

static void down(void *ctx, enum pend_client_error e, const char *why)
{
	struct hook *h = ctx;

	if (e == PEND_CLIENT_E_DENIED) {
		h->quit = true;
		h->exit = cli_fail(CLI_DENIED, "%s", why);
		return;
	}
	cli_fail(0, "%s; trying again", why);
}

/* Too slow for the daemon is too slow for us: what it kept back is lost, and counted as one. */
static void lost_or_event(void *ctx, json_t *e)
{
	struct hook *h = ctx;

	if (strcmp(out_get(e, "type"), "subscription-lost") != 0) {
		event(h, e);
		return;
	}
	h->dropped++;
	follow(h);
}

static int catch_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void wait_all(struct hook *h)
{
	struct pollfd p[] = {{.fd = h->signals, .events = POLLIN},
			     {.fd = live_fd(&h->live), .events = POLLIN}};
	int ms = live_timeout_ms(&h->live, h->now), sig;

	if (h->pid && (ms < 0 || ms > h->deadline - h->now))
		ms = h->deadline > h->now ? (int)(h->deadline - h->now) : 0;
	if (live_wants_write(&h->live))
		p[1].events |= POLLOUT;
	poll(p, 2, ms);
	h->now = term_now_ms();
	while ((sig = term_signal(h->signals)))
		h->quit |= sig != SIGCHLD;
	reap(h);
	if (h->pid && h->now >= h->deadline)
		kill(h->pid, SIGKILL);
}

/* It gets two seconds to end well. */
static void end_program(struct hook *h)
{
	kill(h->pid, SIGTERM);
	for (int i = 0; i < 100; i++) {
		if (waitpid(h->pid, NULL, WNOHANG) == h->pid)
			return;
		nanosleep(&(struct timespec){.tv_nsec = 20 * 1000 * 1000}, NULL);
	}
	kill(h->pid, SIGKILL);
	waitpid(h->pid, NULL, 0);
}

int events_exec(struct cli *cli, const char *program, const json_t *args)
{
	static const struct live_ops ops = {.up = up, .event = lost_or_event, .down = down};
	struct hook h = {.program = program, .args = args, .queue = json_array()};
	int r = cli_connect(cli); /* what is wrong from the start is an error */

	pend_client_close(cli->client);
	cli->client = NULL;
	h.signals = r == CLI_OK ? catch_signals() : -1;
	if (r == CLI_OK && h.signals < 0)
		r = cli_fail(CLI_FAILURE, "cannot wait for signals: %s", strerror(errno));
	live_init(&h.live, cli->socket, &ops, &h);
	for (h.now = term_now_ms(); r == CLI_OK && !h.quit;) {
		live_run(&h.live, h.now);
		run_next(&h);
		if (!h.quit)
			wait_all(&h);
	}
	if (h.pid)
		end_program(&h);
	live_deinit(&h.live);
	json_decref(h.queue);
	if (h.signals >= 0)
		close(h.signals);
	return r == CLI_OK ? h.exit : r;
}
