/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The thread that makes snapshots and frees them, so that neither the packet path nor the main thread waits
 * for a policy of a million prefixes: one request at a time, behind everything else on the processors
 * (daemon/background.h), without rights. Snapshots of one body are patched and freed here only.
 */
#ifndef DAEMON_CHANGE_H
#define DAEMON_CHANGE_H

#include "daemon/reauth.h"
#include "daemon/snapshot.h"
#include <pthread.h>

/* What is to be made: a policy's image, or edits of the sets of `from`. */
struct change_request {
	uint16_t type; /* MSG_POLICY, MSG_SETS; 0: nothing */
	int fd;        /* the image, or edits; taken over */
	uint64_t size; /* of the image */
	uint32_t count, generation;
	struct snapshot *from; /* the one in force; it stays until the thread has ended */
};

struct change {
	pthread_t thread;
	bool running;
	int mail; /* where MAIL_CHANGED is written when the thread has ended its work */
	struct snapshot *garbage; /* to be freed by the next run */
	/* the thread's while it runs */
	struct change_request request;
	struct snapshot *freeing;
	int status; /* 0; -EINVAL, -E2BIG, -ENOMEM or -errno */
	struct snapshot *made;
	struct reauth_ranges *edits; /* MSG_SETS: what was changed; a malloc */
};

/* Not while it runs. `request` may be NULL: what is to be freed is freed. Where no thread can be had the work is done
 * at once. */
void change_start(struct change *c, const struct change_request *request);
/* Waits for the thread if it runs; request, status, made and edits can be read then, and taken. */
void change_join(struct change *c);
/* Takes a snapshot that nobody reads any more. Any time. */
void change_discard(struct change *c, struct snapshot *s);

#endif
