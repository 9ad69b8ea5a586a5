/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Making a policy: parse and compile in a thread of its own (a million prefixes take a while, and
 * nobody's answer may wait for that), hand the image to the verdict process, wait for its word. The
 * old policy stays in force on every error. One at a time; changes.h has the queue.
 */
#ifndef DAEMON_RELOAD_H
#define DAEMON_RELOAD_H

#include "daemon/msg.h"
#include "daemon/overlay.h"
#include "daemon/view.h"
#include "io/loop.h"
#include "io/policyfile.h"
#include <errno.h>

enum reload_kind {
	RELOAD_LOAD,  /* parse, compile, put in force */
	RELOAD_CHECK, /* parse and compile only */
	RELOAD_DRY,   /* ... and tell what it would change */
};

/* Sequence number of a reload that no client has asked for. */
#define RELOAD_SEQ_NONE 0

/* A policy that is not in force, to be asked what it would decide. */
struct candidate {
	unsigned users;
	struct classifier *classifier;
	void *image;
	size_t size;
};

void candidate_put(struct candidate *c); /* frees it with its last user; NULL is allowed */

struct reload_result {
	int status;          /* 0, -EINVAL: the policy is wrong; else it could not be done */
	uint32_t generation; /* RELOAD_LOAD: of the policy now in force */
	unsigned errors, warnings;
	const char *diagnostics; /* lines with places, "" if none */
	const char
		*restart; /* settings that changed and need a restart: "queues, user"; "" if none */
	/* RELOAD_DRY: from the policy in force to this one, as diff -u; NULL: too much to be told, or
	 * the text in force is not known */
	const char *diff;
	bool changed;                /* RELOAD_DRY: not the policy in force, byte for byte */
	struct candidate *candidate; /* RELOAD_DRY: count yourself as a user to keep it */
	char text[MSG_TEXT];         /* one sentence when status is not 0 */
};

/* The code of the protocol for one that failed. A file that cannot be read is a policy that is wrong. */
static inline const char *reload_code(const struct reload_result *r)
{
	return r->status == -EINVAL || r->errors ? "policy" : "system";
}

struct reload_env {
	void *ctx;
	struct loop *loop;
	struct view *view; /* gets the new policy once it is in force */
	const char *config;
	/* Send MSG_POLICY with this descriptor, which is the callee's on 0. 0, positive or -errno. */
	int (*send)(void *ctx, const struct msg *m, int fd);
	void (*done)(void *ctx, enum reload_kind kind, const struct reload_result *r);
	/* What else goes with an image: POLICYFILE_JOURNAL, malloced. NULL: nothing. 0 or -errno. */
	int (*journal)(void *ctx, char **data, size_t *len);
};

struct reload_input {
	enum reload_kind kind;
	/* CHECK: this text (copied) and no file; nothing of run time is put over it. */
	const char *text;
	size_t len;
	/* The policy's files as they are now; else the policy in force, from what was read for it. */
	bool files;
	/* Put over it (NULL: nothing), and kept until the end. LOAD: settled before it is sent. */
	struct overlay *overlay;
};

struct reload;
struct journal;

/* `env` is copied. 0 or -errno. */
int reload_new(struct reload **out, const struct reload_env *env);
/* Waits for the thread, which is bounded by what parsing takes. NULL is allowed. */
void reload_free(struct reload *r);
/* Begin; env.done is called later, never from inside. 0, -EBUSY, -ENOMEM or -errno of the thread. */
int reload_start(struct reload *r, const struct reload_input *in);
bool reload_busy(const struct reload *r);
/* MSG_DONE of the main channel: true if it was the answer to our MSG_POLICY. */
bool reload_answer(struct reload *r, const struct msg *m);
/*
 * The main channel's MSG_POLICY: a memory file with the policy in force. Shows it from now on. `fd`
 * stays the caller's. What was changed at run time goes to *overlay, and to journal_unflatten; *overlay
 * stays as it is when there is nothing of the kind. 0 or -errno.
 */
int reload_adopt(struct reload *r, int fd, uint64_t size, uint32_t generation,
		 struct overlay **overlay, struct journal *journal);
/* Only what was changed at run time, from the parts behind so many bytes. */
int reload_adopt_changes(int fd, uint64_t size, struct overlay **overlay, struct journal *journal);
/* Parse the file at start-up, in this thread: settings and names for the view. As policy_parse. */
int reload_first(struct reload *r, char *text, size_t size);
/* The same of the policy that the verdict process hands over: what the files hold by now does not matter. */
int reload_settings(struct reload *r);

#endif
