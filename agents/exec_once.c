/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `type exec; mode once`: a process for each question, so many at a time. */
#include "agents/exec.h"
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

/* By then the daemon has withdrawn the question, and the authority's on-timeout has decided. */
#define GRACE_NS (MONO_NS_PER_S / 2)

static void deadline(void *ctx)
{
	struct exec_child *c = ctx;
	struct exec_work *w = exec_work_first(c);

	if (w)
		exec_work_end(w, PEND_CLIENT_ANSWER_ERROR, NULL, "the program took too long");
	exec_child_kill(c, SIGKILL);
}

static void begin(struct exec *x, struct exec_work *w)
{
	struct exec_child *c = exec_child_new(x, deadline);
	struct agent_question *q = w->q;

	if (!c || exec_child_start(c, q)) {
		exec_work_end(w, PEND_CLIENT_ANSWER_ERROR, NULL, "cannot start the program");
		if (c)
			exec_child_free(c);
		return;
	}
	exec_work_take(w, c);
	loop_timer_arm(agent_loop(x->agent), &c->timer, mono_add(q->deadline, GRACE_NS));
	exec_child_put(c, q->json);
}

static void pump(struct exec *x)
{
	while (!list_empty(&x->waiting) && x->running < x->max)
		begin(x, container_of(x->waiting.next, struct exec_work, link));
}

void exec_once_question(struct exec *x, struct agent_question *q)
{
	if (exec_work_new(x, q))
		pump(x);
}

/* One that does not end by SIGTERM is killed at the deadline. */
void exec_once_withdrawn(struct agent_question *q)
{
	struct exec_work *w = q->work;
	struct exec_child *c = w ? w->child : NULL;

	if (w)
		exec_work_drop(w);
	if (c)
		exec_child_kill(c, SIGTERM);
}

static enum pend_client_answer answer_of(int status)
{
	switch (WIFEXITED(status) ? WEXITSTATUS(status) : -1) {
	case 0:
		return PEND_CLIENT_ANSWER_PERMIT;
	case 1:
		return PEND_CLIENT_ANSWER_BLOCK;
	case 2:
		return PEND_CLIENT_ANSWER_CONTINUE;
	default:
		return PEND_CLIENT_ANSWER_ERROR;
	}
}

void exec_once_ended(struct exec_child *c, int status)
{
	struct exec *x = c->exec;
	struct exec_work *w = exec_work_first(c);

	while (c->len < sizeof(c->line) && exec_child_read(c))
		;
	c->line[c->len < sizeof(c->line) ? c->len : sizeof(c->line) - 1] = '\0';
	c->line[strcspn(c->line, "\r\n")] = '\0';
	if (w)
		exec_work_end(w, answer_of(status), NULL, *c->line ? c->line : NULL);
	exec_child_free(c);
	pump(x);
}
