/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `type exec`: programs answer. `mode once`: one process a question, which gets it on its standard input and
 * in its environment, and answers by its exit status; the first line it prints is the reason.
 * `mode stay`: a few processes that live on, one line of JSON in, one out.
 */
#include "agents/exec.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- the command ---- */

static bool space(char c)
{
	return c == ' ' || c == '\t';
}

/* One word from *text to *to. False: a quote of it is open. */
static bool word(const char **text, char **to)
{
	const char *s = *text;
	char quote = 0;

	for (; *s && (quote || !space(*s)); s++) {
		if (quote ? *s == quote : *s == '"' || *s == '\'')
			quote = quote ? 0 : *s;
		else if (*s == '\\' && quote != '\'' && s[1])
			*(*to)++ = *++s;
		else
			*(*to)++ = *s;
	}
	*(*to)++ = '\0';
	*text = s;
	return !quote;
}

/* As a shell splits words: quotes of both kinds, a backslash outside of single ones. */
int exec_split(const char *text, char ***out)
{
	size_t len = strlen(text);
	char **argv = calloc(len / 2 + 2, sizeof(*argv));
	char *buf = argv ? malloc(2 * len + 2) : NULL, *to = buf;
	bool ok = true;
	int n = 0;

	if (!buf) {
		free(argv);
		return -ENOMEM;
	}
	argv[0] = buf; /* for the one free() */
	for (;;) {
		for (; space(*text); text++)
			;
		if (!*text || !ok)
			break;
		argv[n++] = to;
		ok = word(&text, &to);
	}
	if (n && ok) {
		*out = argv;
		return n;
	}
	exec_split_free(argv);
	return -EINVAL;
}

void exec_split_free(char **argv)
{
	if (argv)
		free(argv[0]);
	free(argv);
}

/* ---- work ---- */

struct exec_work *exec_work_new(struct exec *x, struct agent_question *q)
{
	struct exec_work *w = calloc(1, sizeof(*w));

	if (!w) {
		agent_answer(q, PEND_CLIENT_ANSWER_ERROR, NULL, "out of memory");
		return NULL;
	}
	w->q = q;
	q->work = w;
	list_add_tail(&x->waiting, &w->link);
	return w;
}

void exec_work_take(struct exec_work *w, struct exec_child *c)
{
	list_del(&w->link);
	list_add_tail(&c->work, &w->link);
	w->child = c;
	c->open++;
}

static void work_free(struct exec_work *w)
{
	list_del(&w->link);
	if (w->child)
		w->child->open--;
	if (w->q)
		w->q->work = NULL;
	free(w);
}

void exec_work_end(struct exec_work *w, enum pend_client_answer answer, const char *how,
		   const char *why)
{
	struct agent_question *q = w->q;

	work_free(w);
	if (q)
		agent_answer(q, answer, how, why);
}

void exec_work_drop(struct exec_work *w)
{
	work_free(w);
}

struct exec_work *exec_work_first(struct exec_child *c)
{
	return list_empty(&c->work) ? NULL : container_of(c->work.next, struct exec_work, link);
}

/* ---- the kind ---- */

static int config_read(struct exec *x, const json_t *config, struct err *e)
{
	const char *command = json_string_value(json_object_get(config, "command"));
	const char *mode = json_string_value(json_object_get(config, "mode"));
	json_int_t n = json_integer_value(json_object_get(config, "processes"));
	int r = command ? exec_split(command, &x->argv) : -EINVAL;

	if (r == -ENOMEM)
		return err_set(e, r, "out of memory");
	if (r < 0)
		return err_set(e, r, "the command is empty, or a quote of it is open");
	if (x->argv[0][0] != '/')
		return err_set(e, -EINVAL, "the command needs a full path: %s", x->argv[0]);
	if (access(x->argv[0], X_OK) < 0)
		return err_sys(e, -errno, "%s cannot be started", x->argv[0]);
	x->once = mode && strcmp(mode, "once") == 0;
	x->max = n > 0 && n <= EXEC_PROCESSES_MAX ? (unsigned)n : x->once ? 16 : 1;
	return 0;
}

static int start(struct agent *a, const json_t *config, struct err *e)
{
	struct exec *x = calloc(1, sizeof(*x));
	int r;

	if (!x)
		return err_set(e, -ENOMEM, "out of memory");
	x->agent = a;
	list_init(&x->children);
	list_init(&x->waiting);
	agent_set_data(a, x);
	r = config_read(x, config, e);
	if (!r) {
		r = loop_signal(agent_loop(a), SIGCHLD, exec_on_child, x);
		if (r)
			err_sys(e, r, "cannot wait for programs");
	}
	if (!r && !x->once)
		r = exec_stay_start(x, e);
	return r;
}

static void question(struct agent_question *q)
{
	struct exec *x = agent_data(q->agent);

	if (x->once)
		exec_once_question(x, q);
	else
		exec_stay_question(x, q);
}

static void withdrawn(struct agent_question *q)
{
	const struct exec *x = agent_data(q->agent);

	if (x->once)
		exec_once_withdrawn(q);
	else
		exec_stay_withdrawn(q);
}

static void stop(struct agent *a)
{
	struct exec *x = agent_data(a);

	if (!x)
		return;
	exec_child_end_all(x);
	exec_split_free(x->argv);
	free(x);
}

const struct agent_kind agent_exec = {
	.type = "exec",
	.start = start,
	.question = question,
	.withdrawn = withdrawn,
	.stop = stop,
};
