/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside the authority process: authority.c has its life and its channels, authority_clients.c the control
 * socket's clients and what the control server asks of the rest.
 */
#ifndef DAEMON_AUTHORITY_IMPL_H
#define DAEMON_AUTHORITY_IMPL_H

#include "daemon/askers.h"
#include "daemon/authority.h"
#include "daemon/changes.h"
#include "daemon/control.h"
#include "daemon/events.h"
#include "daemon/lasting.h"
#include "daemon/listeners.h"
#include "daemon/notes.h"
#include "daemon/sweep.h"
#include "daemon/view.h"
#include "io/chan.h"
#include "io/usock.h"
#include <sys/types.h>

/* One channel to the verdict process. */
struct peer {
	struct authority *a;
	unsigned number; /* of the worker, or MSG_MAIN */
	struct chan *chan;
};

struct authority {
	const struct authority_args *args;
	struct loop *loop;
	struct view view;
	struct listeners *listeners; /* without a resolver: the kernel is asked, nobody else */
	struct events *events;
	struct control *control;
	struct askers *askers;
	uint64_t askers_serial; /* of which the main thread knows */
	struct notes *notes;
	struct sweep sweep;
	struct lasting *lasting;
	struct journal *journal;
	struct changes *changes;
	struct usock *usock;
	struct peer main, worker[PEND_MAX_WORKERS];
	struct loop_timer bye, late;
	gid_t control_gid, observe_gid; /* (gid_t)-1: none */
	uint32_t
		agents_uid; /* of our own programs whose authority names no user; UINT32_MAX: ours */
	uint32_t subscribed;
	bool full;    /* a message did not fit: tell the control server when there is room */
	bool adopted; /* the policy in force was handed over */
	bool leaving; /* the verdict process said goodbye */
	uint64_t bad_messages, questions;
};
/* A message to a worker, or to the main thread (MSG_MAIN): as struct control_env.post. */
int authority_post(void *authority, unsigned worker, const struct msg *m);
/* ... with a descriptor, which is the callee's on 0. */
int authority_post_fd(struct authority *a, unsigned worker, const struct msg *m, int fd);
/* Somebody follows these types of events. */
void authority_follow(void *authority, uint32_t mask);
/* The control server and its socket. 0 or -errno. */
int authority_open_control(struct authority *a);

#endif
