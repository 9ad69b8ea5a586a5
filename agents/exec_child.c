/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The processes of `type exec`: started without a shell, each the first of a process group that ends with it, so
 * that a script leaves nothing behind.
 */
#include "agents/exec.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define OUT_MAX    (1u << 20) /* written ahead to one process */
#define STOP_TICKS 50         /* of 10 ms: then what does not end by SIGTERM is killed */

static struct loop *loop_of(const struct exec_child *c)
{
	return agent_loop(c->exec->agent);
}

static void close_fd(struct exec_child *c, int *fd)
{
	if (*fd < 0)
		return;
	loop_del(loop_of(c), *fd);
	close(*fd);
	*fd = -1;
}

void exec_child_close(struct exec_child *c)
{
	close_fd(c, &c->in);
	close_fd(c, &c->out);
	c->to_len = 0;
}

struct exec_child *exec_child_new(struct exec *x, loop_timer_fn *on_timer)
{
	struct exec_child *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->exec = x;
	c->in = c->out = -1;
	list_init(&c->work);
	loop_timer_init(&c->timer, on_timer, c);
	list_add_tail(&x->children, &c->link);
	return c;
}

static struct exec_child *find(const struct exec *x, pid_t pid)
{
	for (struct list *at = x->children.next; at != &x->children; at = at->next) {
		struct exec_child *c = container_of(at, struct exec_child, link);

		if (c->pid == pid)
			return c;
	}
	return NULL;
}

void exec_child_kill(struct exec_child *c, int signo)
{
	if (c->pid)
		kill(-c->pid, signo);
}

static void end_now(struct exec_child *c)
{
	if (!c->pid)
		return;
	exec_child_kill(c, SIGKILL);
	waitpid(c->pid, NULL, 0);
	c->pid = 0;
	c->exec->running--;
}

void exec_child_free(struct exec_child *c)
{
	struct exec_work *w;

	end_now(c);
	while ((w = exec_work_first(c)) != NULL)
		exec_work_drop(w);
	loop_timer_cancel(loop_of(c), &c->timer);
	exec_child_close(c);
	list_del(&c->link);
	free(c->to);
	free(c);
}

void exec_child_end_all(struct exec *x)
{
	const struct timespec tick = {.tv_nsec = 10 * 1000000L};
	struct list *at, *tmp;

	list_foreach(at, tmp, &x->children)
		exec_child_kill(container_of(at, struct exec_child, link), SIGTERM);
	for (int i = 0; i < STOP_TICKS && x->running; i++) {
		siginfo_t si = {0};

		if (i)
			nanosleep(&tick, NULL);
		while (waitid(P_ALL, 0, &si, WEXITED | WNOHANG | WNOWAIT) == 0 && si.si_pid) {
			struct exec_child *c = find(x, si.si_pid);

			if (c)
				end_now(c);
			else
				waitpid(si.si_pid, NULL, 0);
			si.si_pid = 0;
		}
	}
	while (!list_empty(&x->children))
		exec_child_free(container_of(x->children.next, struct exec_child, link));
}

/* ---- start ---- */

static void set_number(const char *name, unsigned v)
{
	char n[12];

	snprintf(n, sizeof(n), "%u", v);
	setenv(name, n, 1);
}

static void set_env(const struct agent_question *q)
{
	setenv("PEND_ID", q->id, 1);
	setenv("PEND_PROTOCOL", q->protocol, 1);
	setenv("PEND_SOURCE", q->source, 1);
	setenv("PEND_DEST", q->dest, 1);
	setenv("PEND_INTERFACE", q->interface, 1);
	set_number("PEND_SOURCE_PORT", q->source_port);
	set_number("PEND_DEST_PORT", q->dest_port);
	set_number("PEND_RULE", q->rule);
}

/* This process has one thread, so the child may do more than is safe elsewhere. */
static void child_main(const struct exec *x, const struct agent_question *q, int in, int out)
{
	sigset_t none;

	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* should this process be killed */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	if (dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0)
		_exit(126);
	setenv("PEND_AUTHORITY", agent_name(x->agent), 1);
	if (q)
		set_env(q);
	execv(x->argv[0], x->argv);
	fprintf(stderr, "pend-agent: %s: %s: %s\n", agent_name(x->agent), x->argv[0],
		strerror(errno));
	_exit(126);
}

static int make_pipes(int p[2][2])
{
	int r;

	if (pipe2(p[0], O_CLOEXEC) < 0)
		return -errno;
	if (pipe2(p[1], O_CLOEXEC) < 0) {
		r = -errno;
		close(p[0][0]);
		close(p[0][1]);
		return r;
	}
	fcntl(p[0][1], F_SETFL, O_NONBLOCK);
	fcntl(p[1][0], F_SETFL, O_NONBLOCK);
	return 0;
}

static void flush(struct exec_child *c);

static void on_input(void *ctx, uint32_t events)
{
	struct exec_child *c = ctx;

	if (events & EPOLLOUT) {
		flush(c);
		return;
	}
	/* Nobody reads: its answer may still come, or in `mode stay` none will. */
	close_fd(c, &c->in);
	c->to_len = 0;
	if (!c->exec->once)
		exec_child_kill(c, SIGKILL);
}

static void on_output(void *ctx, uint32_t events)
{
	struct exec_child *c = ctx;

	(void)events;
	if (exec_child_read(c) && !c->exec->once)
		exec_stay_lines(c);
}

static int watch(struct exec_child *c)
{
	int r = loop_add(loop_of(c), c->out, EPOLLIN, on_output, c);

	return r ? r : loop_add(loop_of(c), c->in, 0, on_input, c);
}

int exec_child_start(struct exec_child *c, const struct agent_question *q)
{
	int p[2][2], r = make_pipes(p);

	if (r)
		return r;
	c->len = c->ignored = c->junk = 0;
	c->by_id = c->lost = false;
	c->pid = fork();
	if (c->pid == 0)
		child_main(c->exec, q, p[0][0], p[1][1]);
	r = c->pid < 0 ? -errno : 0;
	close(p[0][0]);
	close(p[1][1]);
	c->in = p[0][1];
	c->out = p[1][0];
	if (r) {
		c->pid = 0;
	} else {
		setpgid(c->pid, c->pid); /* whoever comes first */
		c->exec->running++;
		r = watch(c);
	}
	if (r) {
		end_now(c);
		exec_child_close(c);
	}
	return r;
}

/* ---- its input and output ---- */

static void flush(struct exec_child *c)
{
	ssize_t n = c->in < 0 || !c->to_len ? 0 : write(c->in, c->to, c->to_len);

	if (n > 0) {
		c->to_len -= (size_t)n;
		memmove(c->to, c->to + n, c->to_len);
	}
	if (n < 0 && errno != EAGAIN)
		on_input(c, 0);
	else if (c->in >= 0 && c->exec->once && !c->to_len)
		close_fd(c, &c->in);
	else if (c->in >= 0)
		loop_mod(loop_of(c), c->in, c->to_len ? EPOLLOUT : 0);
}

bool exec_child_put(struct exec_child *c, const char *json)
{
	size_t len = strlen(json);
	char *to = c->in >= 0 && c->to_len + len < OUT_MAX ? realloc(c->to, c->to_len + len + 1)
							   : NULL;

	if (!to)
		return false;
	memcpy(to + c->to_len, json, len);
	to[c->to_len + len] = '\n';
	c->to = to;
	c->to_len += len + 1;
	flush(c);
	return true;
}

/* What does not fit is read and forgotten: a program that talks too much must not wait for us. */
bool exec_child_read(struct exec_child *c)
{
	char spill[4096];
	size_t room = sizeof(c->line) - c->len;
	ssize_t n = c->out < 0 ? -1
			       : read(c->out, room ? c->line + c->len : spill,
				      room ? room : sizeof(spill));

	if (n > 0) {
		c->len += room ? (size_t)n : 0;
		return true;
	}
	if (c->out >= 0 && (n == 0 || errno != EAGAIN)) {
		close_fd(c, &c->out);
		if (!c->exec->once)
			exec_child_kill(c, SIGKILL); /* it cannot answer any more */
	}
	return false;
}

/* ---- its end ---- */

void exec_on_child(void *ctx, int signo)
{
	struct exec *x = ctx;
	siginfo_t si = {0};
	int status;

	(void)signo;
	/* Not reaped yet: its number names the group, and nobody else's. */
	while (waitid(P_ALL, 0, &si, WEXITED | WNOHANG | WNOWAIT) == 0 && si.si_pid) {
		struct exec_child *c = find(x, si.si_pid);

		kill(-si.si_pid, SIGKILL);
		waitpid(si.si_pid, &status, 0);
		si.si_pid = 0;
		if (!c)
			continue;
		c->pid = 0;
		x->running--;
		if (x->once)
			exec_once_ended(c, status);
		else
			exec_stay_ended(c, status);
	}
}
