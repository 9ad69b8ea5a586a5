/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Inside `type exec`: exec.c has the kind, exec_child.c its processes, exec_once.c and exec_stay.c the modes. */
#ifndef AGENTS_EXEC_H
#define AGENTS_EXEC_H

#include "agents/agent.h"
#include <sys/types.h>

#define EXEC_PROCESSES_MAX 256
#define EXEC_LINE_MAX      4096 /* of what a program says; what is longer: see the mode */
#define EXEC_AHEAD         64   /* questions at one process of `mode stay` */
#define EXEC_IGNORED_MAX   8    /* deadlines in a row that it let pass: it is started anew */
#define EXEC_JUNK_MAX      100  /* lines in a row that answer nothing: it is started anew */

struct exec {
	struct agent *agent;
	char **argv;
	bool once;
	unsigned max, running;
	struct list children, waiting; /* waiting: struct exec_work */
};

/* What a question is waiting for. */
struct exec_work {
	struct list link;         /* exec->waiting, or child->work */
	struct agent_question *q; /* NULL: withdrawn, and the program's answer is still to come */
	struct exec_child *child; /* NULL: it waits */
};

struct exec_child {
	struct list link;
	struct exec *exec;
	pid_t pid;   /* 0: it has ended */
	int in, out; /* its standard input and output; -1: closed */
	struct list work;
	unsigned open;           /* pieces of work */
	struct loop_timer timer; /* once: the deadline; stay: when it is started again */
	uint64_t backoff_ms;
	unsigned ignored, junk;
	bool by_id; /* stay: it names the questions that it answers */
	bool lost;  /* stay: nothing that it says counts any more */
	char *to;   /* still to be written */
	size_t to_len;
	char line[EXEC_LINE_MAX];
	size_t len;
};

/* exec.c */
/* "cmd 'a b' c" -> its words; the number of them, -EINVAL or -ENOMEM. */
int exec_split(const char *text, char ***out);
void exec_split_free(char **argv);

/* Takes the question, which waits in x->waiting. NULL: it was answered, for want of memory. */
struct exec_work *exec_work_new(struct exec *x, struct agent_question *q);
void exec_work_take(struct exec_work *w, struct exec_child *c);
/* Answers, unless it was withdrawn, and frees. */
void exec_work_end(struct exec_work *w, enum pend_client_answer answer, const char *how,
		   const char *why);
/* The question was withdrawn. */
void exec_work_drop(struct exec_work *w);
struct exec_work *exec_work_first(struct exec_child *c); /* the oldest; NULL */

/* exec_child.c */
struct exec_child *exec_child_new(struct exec *x, loop_timer_fn *on_timer);
/* Ends what runs, with all that it has started. No work may be left that has a question. */
void exec_child_free(struct exec_child *c);
/* Start the program; with a question: in its environment. 0 or -errno, and then nothing runs. */
int exec_child_start(struct exec_child *c, const struct agent_question *q);
/* A line for its input. False: it does not read, or there is no memory. */
bool exec_child_put(struct exec_child *c, const char *json);
void exec_child_kill(struct exec_child *c, int signo);
/* What is there to be read; false: nothing is. */
bool exec_child_read(struct exec_child *c);
void exec_child_close(struct exec_child *c); /* both pipes */
void exec_on_child(void *exec, int signo);
void exec_child_end_all(struct exec *x); /* and free them */

/* exec_once.c */
void exec_once_question(struct exec *x, struct agent_question *q);
void exec_once_withdrawn(struct agent_question *q);
void exec_once_ended(struct exec_child *c, int status); /* frees it */

/* exec_stay.c */
int exec_stay_start(struct exec *x, struct err *e);
void exec_stay_question(struct exec *x, struct agent_question *q);
void exec_stay_withdrawn(struct agent_question *q);
void exec_stay_lines(struct exec_child *c); /* there is something in c->line */
void exec_stay_ended(struct exec_child *c, int status);

#endif
