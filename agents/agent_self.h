/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The agent as it sees itself: kinds know agent.h alone. Apart from agent.c, which connects and answers, so that a test
 * of a kind has the same table of questions without a daemon.
 */
#ifndef AGENTS_AGENT_SELF_H
#define AGENTS_AGENT_SELF_H

#include "agents/agent.h"

struct agent {
	const char *name, *socket;
	const struct agent_kind *kind;
	struct loop *loop;
	struct pend_client_server *server;
	int fd; /* of the server, as the loop knows it; -1 */
	bool writing, failed;
	bool own; /* what it does was given, and does not come from the policy */
	bool serving;
	bool served; /* it has been connected before */
	bool again;  /* its definition is another one: begin anew */
	json_t *definition;
	struct list questions;
	struct htable by_id;
	unsigned open;
	void *data;
};

/* As the daemon asks it, the last of agent_questions(). NULL: no memory, or too many are open. */
struct agent_question *agent_question_new(struct agent *a, const struct pend_client_question *in);
/* NULL: there is none. */
struct agent_question *agent_question_find(const struct agent *a, const char *id);
/* Its `work` was given up. */
void agent_question_free(struct agent_question *q);

#endif
