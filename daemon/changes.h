/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Everything that changes the policy in force goes through here, in order: reloads, rules and elements
 * of sets that are changed at run time, what ends with a connection or by itself.
 *
 * What comes while a policy is made waits. Then all that has come is put in force as one: as edits of
 * sets if nothing else has changed, else as one new policy. When that is wrong, it is halved until what is wrong
 * stands alone and fails alone; the rest is put in force. Nothing is in force before it was answered, and
 * what fails has changed nothing.
 */
#ifndef DAEMON_CHANGES_H
#define DAEMON_CHANGES_H

#include "base/list.h"
#include "daemon/journal.h"
#include "daemon/reload.h"

#define CHANGES_WAITING 4096u /* of people: what ends by itself is never refused */
#define CHANGES_STEPS   1000u /* in one request */

enum amend_kind {
	AMEND_RELOAD,
	AMEND_CHECK, /* nothing is put in force */
	AMEND_DRY,   /* ... nor by this */
	AMEND_POLICY,
	AMEND_SET,
	AMEND_RESTORE, /* changes of sets from before the start; comes before all that waits */
	AMEND_SESSION,
	AMEND_EXPIRED,
};

enum amend_op { STEP_ADD, STEP_DELETE, STEP_REPLACE };

struct amend_step {
	enum amend_op op;
	uint32_t number;
	bool last;
	char layer[OVERLAY_NAME];
	char *text;
};

struct amend {
	struct list link;
	enum amend_kind kind;
	uint32_t seq; /* who is to be answered; RELOAD_SEQ_NONE: nobody */
	struct overlay_terms terms;
	/* POLICY; what becomes of it: the objects that were added or replaced, in order */
	struct amend_step *step;
	size_t steps;
	uint32_t *object;
	size_t objects;
	/* SET */
	char set[OVERLAY_NAME];
	enum overlay_action action;
	struct policy_spans spans;
	size_t added, removed; /* elements, by what was in it when this was asked for */
	bool same;             /* all of them were there already, or gone: nothing has changed */
	/* RESTORE */
	struct overlay_change *old;
	size_t olds;
	/* CHECK: NULL: the file */
	char *text;
	size_t len;
	/* SESSION: OVERLAY_ANY_SESSION: all */
	uint64_t session;
	char what[JOURNAL_WHAT]; /* for the journal */
};

struct amend *amend_new(enum amend_kind kind); /* zeroed but for that; NULL: no memory */
void amend_free(struct amend *ch);             /* NULL is allowed */

/* Does it to `o`, a clone of `before`, and says so in ch->what. 1; 0: there is nothing to do; or an error as
 * the functions of an overlay have them. */
int amend_apply(struct amend *ch, struct overlay *o, const struct overlay *before,
		const struct view *v, uint64_t now, struct err *e);

struct amend_result {
	const char *code; /* of the protocol; NULL: it is in force */
	const char *text; /* one sentence */
	uint32_t generation, revision;
	const struct reload_result *reload; /* NULL: no policy was made */
};

struct changes_env {
	void *ctx;
	struct loop *loop;
	struct view *view;
	const char *config;
	struct journal *journal;
	/* As struct reload_env. */
	int (*send)(void *ctx, const struct msg *m, int fd);
	/* The end of a change; it is freed behind this. */
	void (*done)(void *ctx, const struct amend *ch, const struct amend_result *res);
	uint64_t (*wall_ms)(void); /* since 1970 */
};

struct changes_stats {
	uint64_t in_force, failed, busy, compiled, patched, halved;
	unsigned waiting;
};

struct changes;

/* `env` is copied. Nothing is begun before changes_go. 0 or -errno. */
int changes_new(struct changes **out, const struct changes_env *env);
void changes_free(struct changes *c); /* NULL is allowed */
struct reload *changes_reload(struct changes *c);
const struct changes_stats *changes_stats(const struct changes *c);
/* What is in force now. */
const struct overlay *changes_overlay(const struct changes *c);
/* Some of it came from another process as edits: who brought it, and how long it stays, is not known. */
bool changes_partial(const struct changes *c);
/* The verdict process has told all that it knows. */
void changes_go(struct changes *c);

/* Takes it on 0. -EBUSY: too many wait. env.done is never called from inside. */
int changes_add(struct changes *c, struct amend *ch);
/* The connection is gone, and with it what was its own. */
void changes_session(struct changes *c, uint64_t session, const struct overlay_who *who);
/* MSG_DONE of the main channel: true if it was the answer to a message of ours. */
bool changes_answer(struct changes *c, const struct msg *m);
/* The main channel's MSG_POLICY and MSG_SETS at start: what is in force. `fd` stays the caller's. 0 or
 * -errno. */
int changes_adopt(struct changes *c, const struct msg *m, int fd);
int changes_adopt_sets(struct changes *c, const struct msg *m, int fd);
/* MSG_KEEP: what the last authority process knew besides, if it is about what is in force now. */
int changes_adopt_kept(struct changes *c, const struct msg *m, int fd);

#endif
