/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pend-agent: the authorities that come with pend but are not part of the daemon. One process serves one
 * authority of the policy, over the control socket like anybody else, so that what a name server, a
 * web server or a script sends is read by a process that has no rights and decides for nobody else.
 *
 * agent.c connects and keeps the questions, definition.c reads what the policy says about the authority;
 * a kind (exec.c, ...) finds the answers.
 */
#ifndef AGENTS_AGENT_H
#define AGENTS_AGENT_H

#include "base/err.h"
#include "base/htable.h"
#include "base/list.h"
#include "io/loop.h"
#include <jansson.h>
#include <pend-client.h>

#define AGENT_QUESTIONS 65536u /* open at once; what is more is answered "error" */

struct agent;

/* Lives until it is answered or withdrawn. */
struct agent_question {
	struct list link;   /* agent's */
	struct hnode by_id; /* agent's */
	struct agent *agent;
	char id[40];
	char protocol[16], source[48], dest[48], interface[24];
	uint16_t source_port, dest_port;
	uint32_t rule;
	mono_t deadline;
	char *json; /* all of it, as one line */
	void *work; /* the kind's */
};

struct agent_kind {
	const char *type;
	/* It keeps what it knows to itself: one process serves an authority at a time, of which the daemon takes care. */
	bool alone;
	/* `config`: the definition's own keys. 0, or -errno with a sentence: the agent then ends; `stop`
	 * is called in any case. */
	int (*start)(struct agent *a, const json_t *config, struct err *e);
	/* Answer now, or later: by the deadline, or it is withdrawn. */
	void (*question)(struct agent_question *q);
	/* Nobody waits for it any more: give up `work`; the question is freed afterwards. */
	void (*withdrawn)(struct agent_question *q);
	/* No question is left. */
	void (*stop)(struct agent *a);
	/* A person has brought a code: call agent_unlocked. NULL: no code opens anything. */
	void (*unlock)(struct agent *a, const struct pend_client_unlock *u);
	/* Close what codes have opened, and call agent_unlocked. NULL: there is nothing. */
	void (*lock)(struct agent *a, const struct pend_client_unlock *u);
};

/* Frees the question. */
void agent_say(struct agent_question *q, const struct pend_client_say *say);
/* The same, less to say. `how`, `why`: as pend_client_server_answer; `how` is for a block. */
void agent_answer(struct agent_question *q, enum pend_client_answer answer, const char *how,
		  const char *why);
/* Oldest first: &question->link; the head is returned. */
struct list *agent_questions(struct agent *a);

/* As pend_client_server_unlocked. */
void agent_unlocked(struct agent *a, uint64_t token, bool ok, uint64_t open_ms, const char *why);

struct loop *agent_loop(struct agent *a);
void *agent_data(const struct agent *a); /* the kind's own */
void agent_set_data(struct agent *a, void *data);
const char *agent_name(const struct agent *a);
const char *agent_socket(const struct agent *a); /* path of the control socket */
void agent_log(const struct agent *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* End the process; it is started anew. */
void agent_fail(struct agent *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/*
 * The authority's definition, of policy `generation` at least, from the daemon at `path`. NULL, with a sentence, when
 * it cannot be had.
 */
json_t *agent_definition(const char *path, const char *name, unsigned generation, struct err *e);

/* As if the policy said `type exec; mode once`. NULL: no memory. */
json_t *agent_definition_exec(const char *command, unsigned processes);

int agent_main(int argc, char **argv);

extern const struct agent_kind agent_exec;
extern const struct agent_kind agent_totp;
extern const struct agent_kind agent_dnsbl;
extern const struct agent_kind agent_http;
extern const struct agent_kind agent_unit;

#endif
