/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What outlives the daemon: decisions that hold for others go to the store as they are made, and back to the verdict
 * process at start; what became of connections is written down. Between the workers' messages, the policy in
 * force and daemon/store.h.
 *
 * Decisions of rules that the policy does not have stay in the store, and are given back when it has them again.
 */
#ifndef DAEMON_LASTING_H
#define DAEMON_LASTING_H

#include "daemon/changes.h"
#include "daemon/msg.h"
#include "daemon/notes.h"
#include "daemon/store.h"
#include "daemon/view.h"
#include <jansson.h>

struct lasting_env {
	void *ctx;
	struct loop *loop;
	const struct view *view;
	struct notes *notes;
	/* To the main thread, with a descriptor (-1: none) that is the callee's on 0. As struct control_env has it. */
	int (*post_fd)(void *ctx, unsigned worker, const struct msg *m, int fd);
	/* Take it as a change of the policy: 0 or -errno; its end is lasting_restored(). NULL: sets are not kept. */
	int (*change)(void *ctx, struct amend *ch);
	/* What is in force of changes; is it known how long each of them stays? */
	const struct overlay *(*overlay)(void *ctx);
	bool (*whole)(void *ctx);
	/* A word on what was asked with `seq`: as control_synced. */
	void (*synced)(void *ctx, uint32_t seq, int status, const char *error);
	void (*found)(void *ctx, uint32_t seq, int status, const struct store_found *f, size_t n);
};

struct lasting;

/* By the settings of the view. 0 or -errno. Opens no file. */
int lasting_new(struct lasting **out, const struct lasting_env *env);
int lasting_start(struct lasting *l); /* when all rights are given up */
void lasting_free(struct lasting *l); /* NULL is allowed; before its loop is freed */

/* MSG_REMEMBERED, PEND_EVENT_COMPLETED, PEND_EVENT_ANSWERED */
void lasting_remembered(struct lasting *l, const struct msg *m);
void lasting_event(struct lasting *l, const struct pend_event *ev);
/* A change of a set is in force. */
void lasting_set(struct lasting *l, const struct amend *ch);
/* Changes can be made from here on: those of before. `known`: the last authority process has made them. Done once. */
void lasting_sets(struct lasting *l, bool known);
void lasting_restored(struct lasting *l, const struct amend *ch,
		      const char *error); /* NULL: they are in force */
/* Nothing is to be done for now: are there many changes that come to little? Cheap when there are none. */
void lasting_tidy(struct lasting *l);
/* Numbers of our own MSG_DECISIONS: behind those of changes.c, and below all others. */
#define LASTING_SEQ  2001
#define LASTING_SEQS 1000
static inline bool lasting_is_ours(uint32_t seq)
{
	return seq - LASTING_SEQ < LASTING_SEQS;
}
void lasting_decisions(struct lasting *l, const struct msg *m,
		       int fd); /* `fd` stays the caller's */
/* The policy that is shown may be another one. Cheap when it is not. */
void lasting_policy(struct lasting *l);

/* Around MSG_FORGET: nothing is given back meanwhile. `w` NULL: nothing was forgotten. */
void lasting_forget_begin(struct lasting *l);
void lasting_forget_end(struct lasting *l, const struct store_which *w);
/* Positive: `synced` will be called; 0: there is no file to wait for; -ENOMEM; -ENOBUFS: not all that was made before could be
 * taken to be written. */
int lasting_sync(struct lasting *l, uint32_t seq);
int lasting_query(struct lasting *l, const struct store_query *q, uint32_t seq); /* 0 or -ENOMEM */
void lasting_figures(struct lasting *l, json_t *status);

#endif
