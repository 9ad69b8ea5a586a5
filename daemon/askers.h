/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Between the workers' questions and those who answer them: daemon/ask.h with the policy in force, the
 * channels and the control server's clients around it.
 */
#ifndef DAEMON_ASKERS_H
#define DAEMON_ASKERS_H

#include "daemon/ask.h"
#include "daemon/msg.h"
#include "daemon/notes.h"
#include "daemon/view.h"
#include "io/loop.h"

struct askers_env {
	void *ctx;
	struct loop *loop;
	const struct view *view;
	struct notes *notes; /* NULL: who and why is not kept */
	unsigned workers;
	uint32_t max_questions;
	/* As struct control_env has it. */
	int (*post)(void *ctx, unsigned worker, const struct msg *m);
};

/* Numbers of our own messages; no request's number is below 4096. */
#define ASKERS_SEQ      4001 /* MSG_COMPLETE */
#define ASKERS_SEQ_LIST 4002 /* MSG_LIST */

struct askers;

/* 0 or -ENOMEM. */
int askers_new(struct askers **out, const struct askers_env *env);
void askers_free(struct askers *s); /* NULL is allowed; before its loop is freed */
struct ask *askers_ask(struct askers *s);
/* The policy that is shown may be another one: take its authorities. */
void askers_policy(struct askers *s);
/* Of the view whose authorities they are. */
uint64_t askers_serial(const struct askers *s);
/* MSG_QUESTION */
void askers_question(struct askers *s, const struct pend_info *info);
/* Ask anew about everything that is pended and not known: after a start. */
void askers_again(struct askers *s);
/* True: it was an answer to a message of ours. */
bool askers_answer(struct askers *s, unsigned worker, const struct msg *m);
/* There is room for messages again. */
void askers_room(struct askers *s);

#endif
