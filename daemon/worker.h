/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A worker: one thread, one queue, one engine, one channel to the authority process. Nothing is
 * shared with other threads but the immutable snapshot; the main thread speaks through mail.
 */
#ifndef DAEMON_WORKER_H
#define DAEMON_WORKER_H

#include "core/settings.h"
#include "base/busy.h"
#include "daemon/listeners.h"
#include "daemon/offers.h"
#include "daemon/remembered.h"
#include "daemon/snapshot.h"
#include "io/chan.h"
#include "io/loop.h"
#include <pend.h>
#include <pthread.h>
#include <stdatomic.h>

enum mail_type {
	/* main -> worker */
	MAIL_SNAPSHOT = 1, /* use this from now on */
	MAIL_CHANNEL,      /* a new channel descriptor; the authority process was restarted */
	MAIL_EPOCH,
	MAIL_RECONSIDER, /* u.ended: pend_engine_policy_changed() */
	MAIL_IFACES,     /* the worker's own table from now on */
	MAIL_DRAIN,      /* complete everything, then end the thread */
	/* worker -> main */
	MAIL_RELEASED = 32, /* this snapshot is no longer read here */
	MAIL_FAILED,        /* the queue is gone; the thread ended */
	MAIL_ENDED,
	MAIL_REAUTHORIZED, /* from the thread of pendd_reauth.c */
	MAIL_CHANGED,      /* from the thread of change.c */
	MAIL_RECONSIDERED, /* what MAIL_RECONSIDER said is so */
	MAIL_OFFERED,      /* something is in this worker's ring of offers */
};

/* Fits in PIPE_BUF: written and read whole. */
struct mail {
	uint32_t type;
	uint32_t worker;
	union {
		struct snapshot *snapshot;
		struct classify_ifaces *ifaces;
		int fd;
		uint8_t epoch;
		uint8_t verdict;
		bool ended;
	} u;
};

/* The moment, as struct classify_context has it, in one piece. */
#define WORKER_CLOCK(clock, minute) ((uint64_t)(minute) << 32 | (clock))

struct worker {
	unsigned number;
	pthread_t thread;
	int started;
	struct pend_engine *engine;
	struct snapshot *snapshot;
	struct snapshot *releasing; /* the one before, until what it permitted is settled; NULL */
	unsigned reconsidered;      /* answers that wait for the same */
	struct classify_ifaces *ifaces; /* NULL: no name is known */
	struct listeners *listeners;
	struct loop *loop;
	struct chan *chan; /* NULL between two authority processes */
	int mail_in, mail_out;
	int mail_main;                 /* the main thread's end of mail_in */
	struct remembered *remembered; /* of all workers */
	uint64_t answered_tag;     /* of the context whose completion pass was the last; decide.c */
	struct saying *saying;     /* the decision that is being carried out; NULL: none */
	struct offer_ring *offers; /* NULL: the kernel takes no decisions */
	uint32_t subscribed;       /* bits of enum pend_event_type */
	unsigned unsent;           /* events gathered since `unsent_since` */
	mono_t unsent_since;
	unsigned questions; /* of these */
	bool urgent;        /* an answer or a question is among what waits to be sent */
	struct busy busy;
	uint8_t on_limit; /* enum pend_action */
	bool draining, more;
	uint8_t drain_verdict;
	uint64_t drain_until_ns;
	uint64_t events_dropped, questions_refused, bad_messages, dispatches;
	uint64_t answer_ns_sum, answers;
	_Atomic uint64_t clock; /* WORKER_CLOCK, from the main thread once a second */
	/* for the main thread's status line */
	_Atomic uint64_t pending, held;
};

/*
 * Engine opened and queue bound; the thread is not running. `mail_out`: the pipe to the main thread,
 * shared by all. 0, or -errno with a sentence in *err; *status then is the engine's.
 */
int worker_init(struct worker *w, unsigned number, const struct settings *s,
		const struct pend_hook *hook, uint8_t epoch, int mail_out, char *err,
		size_t err_cap, enum pend_status *status);
/* The policy as the engine's callouts: a part of worker_init. */
enum pend_status worker_callouts(struct worker *w);
void worker_deinit(struct worker *w); /* after worker_join; idempotent */
/* Takes over chan_fd. */
int worker_start(struct worker *w, struct snapshot *s, int chan_fd);
void worker_join(struct worker *w);
/* From the main thread. 0 or -errno. */
int worker_mail(const struct worker *w, const struct mail *m);

/* This connection was decided by what is remembered, or (`fresh`) something about it was remembered just now. */
void worker_offer(struct worker *w, const struct offer *o, uint8_t hook);

/* Room in the channel that events leave to answers: one datagram of MSG_LIST makes 32 x 25 of them. */
#define WORKER_REPLY_ROOM 1024u

/* daemon/worker_msg.c: what the authority process asks. */
void worker_message(struct worker *w, const void *message);
/* These, a datagram at most, come next. */
void worker_prefetch(const struct worker *w, const void *messages, unsigned n);
void worker_notify(void *worker, const struct pend_event *ev);
/* The context's authority is to be asked; when it cannot be, on-limit answers. */
void worker_ask(struct worker *w, pend_context context);

#endif
