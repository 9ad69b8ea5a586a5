/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The programs of authorities, seen from the one that starts them. See agents.h. */
#include "daemon/agent_exec.h"
#include "daemon/log.h"
#include "daemon/pendd.h"
#include "daemon/spawn.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MODULE   "agents"
#define TICK_US  5000
#define LAST_MAX 100 /* ticks behind SIGKILL */

static pid_t env_start(void *ctx, const struct agents_start *s)
{
	const struct pendd *d = ctx;
	char path[AGENT_EXEC_PATH];
	const struct spawn_agent a = {.path = path,
				      .authority = s->name,
				      .control = d->settings.control,
				      .generation = s->generation,
				      .uid = s->uid == AGENTS_ID_NONE ? d->agents_uid : s->uid,
				      .gid = s->gid,
				      .debug = d->opts.debug};

	agent_exec_path(path);
	return spawn_agent(&a);
}

static void env_signal(void *ctx, pid_t group, int signo)
{
	(void)ctx;
	/* it becomes a group before fork() has returned here */
	kill(-group, signo);
}

static bool env_may(void *ctx, uint32_t uid, uint32_t gid)
{
	(void)ctx;
	(void)gid; /* whoever may not take it serves without: see pend.conf(5) */
	return agent_exec_may(uid);
}

static void work(void *ctx)
{
	struct pendd *d = ctx;
	mono_t next = agents_work(&d->agents, loop_clock());

	if (next.ns != MONO_NEVER.ns)
		loop_timer_arm(d->loop, &d->agents_timer, next);
}

void pendd_agents_init(struct pendd *d)
{
	const struct agents_env env = {
		.ctx = d, .start = env_start, .signal = env_signal, .may = env_may};

	agents_init(&d->agents, &env);
	loop_timer_init(&d->agents_timer, work, d);
	d->agents_uid = agent_exec_user(&d->settings);
}

void pendd_agents_policy(struct pendd *d)
{
	const struct classifier *c = d->snapshot->classifier;
	uint32_t n = classify_authorities(c);
	struct classify_authority *list;

	if (d->stopping || !d->authority_ready || d->agents_generation == d->generation)
		return;
	list = calloc(n + 1, sizeof(*list));
	for (uint32_t i = 0; list && i < n; i++)
		classify_authority(c, (uint16_t)i, &list[i]);
	if (!list || agents_want(&d->agents, list, n, d->generation, loop_clock()))
		log_error(MODULE, "no memory for the programs of policy %u", d->generation);
	free(list);
	d->agents_generation = d->generation;
	work(d);
}

/* Not reaped before its group is ended: until then the number is nobody else's. */
static bool reap(struct pendd *d, pid_t pid)
{
	siginfo_t si = {0};
	int status;

	if (waitid(P_PID, (id_t)pid, &si, WEXITED | WNOHANG | WNOWAIT) < 0 || !si.si_pid)
		return false;
	kill(-pid, SIGKILL);
	if (waitpid(pid, &status, WNOHANG) != pid)
		return false;
	return agents_ended(&d->agents, pid, status, loop_clock());
}

static unsigned reap_all(struct pendd *d)
{
	unsigned left = 0;
	pid_t pid = 0, next;

	for (pid = agents_next(&d->agents, 0); pid; pid = next) {
		next = agents_next(&d->agents, pid);
		left += !reap(d, pid);
	}
	return left;
}

void pendd_agents_child(struct pendd *d)
{
	reap_all(d);
	work(d);
}

void pendd_agents_end(struct pendd *d)
{
	agents_end(&d->agents, loop_clock());
	work(d);
}

void pendd_agents_stop(struct pendd *d)
{
	mono_t last = MONO_NEVER, now = loop_clock();

	if (!d->agents.env.start) /* it did not come so far */
		return;
	agents_end(&d->agents, now);
	while (reap_all(d) && mono_before(now, last)) {
		mono_t next = agents_work(&d->agents, now);

		if (next.ns == MONO_NEVER.ns && last.ns == MONO_NEVER.ns)
			last = mono_add(now, LAST_MAX * TICK_US * 1000ull); /* all were killed */
		usleep(TICK_US);
		now = loop_clock();
	}
	agents_deinit(&d->agents);
}
