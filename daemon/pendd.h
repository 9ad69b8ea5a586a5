/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The verdict process: its main thread starts and stops everything, swaps policies, minds the
 * hookup, the authority process and the service manager. Packets are the workers'.
 */
#ifndef DAEMON_PENDD_H
#define DAEMON_PENDD_H

#include "core/settings.h"
#include "daemon/agents.h"
#include "daemon/authority.h"
#include "daemon/change.h"
#include "core/classify_key.h"
#include "daemon/msg.h"
#include "daemon/offers.h"
#include "daemon/opts.h"
#include "daemon/reauth.h"
#include "daemon/worker.h"

/* How far a change of policy is: daemon/pendd_change.c. */
enum changing { CHANGE_NONE, CHANGE_MADE, CHANGE_READY, CHANGE_SETTLING };

/* daemon/pendd_offers.c */
struct offers {
	uint8_t state;           /* enum msg_offers_state */
	bool doubt;              /* the kernel may have some that were taken back */
	struct offer_ring *ring; /* of each worker */
	struct offers_table *table;
	struct classify_ifaces *ifaces; /* NULL: no name is known */
	struct loop_timer timer;
	unsigned round_ms, rechecks;
	struct offer_held batch[PEND_HOOK_DECISIONS_MAX]; /* in the table, not yet in the kernel */
	unsigned n;
	uint64_t pause_until_ns, full_since_ns;
	uint64_t evicted;  /* remembered_stats, at the last look */
	int64_t asleep_ns; /* the machine, since it was booted */
	uint64_t offered, varies, full, failed, flushes;
	struct classify_else_at varies_at; /* the last one, of policy varies_generation */
	uint32_t varies_generation;
};

struct pendd {
	struct opts opts;
	struct settings settings;
	struct loop *loop;
	struct pend_hook *hook;
	struct worker worker[PEND_MAX_WORKERS];
	unsigned workers, running;
	struct snapshot *snapshot; /* the newest */
	uint32_t generation;
	/* a change of the policy or of its sets */
	enum changing changing;
	struct change making;                /* the thread */
	uint32_t change_seq;                 /* of the message that asked for it */
	bool change_orphaned;                /* whoever asked is gone */
	struct snapshot *change_next;        /* READY: waits until nobody judges live flows */
	struct reauth_ranges *change_ranges; /* of changed sets; NULL: a policy */
	struct snapshot *leaving; /* SETTLING: it is over when no worker reads this one any more */
	struct msg waiting;       /* the change behind that one; type 0: none */
	int waiting_fd;
	struct msg kept; /* MSG_KEEP, to be handed to the next authority process; type 0: none */
	int kept_fd;
	uint32_t minute;                       /* since 1970 */
	uint32_t next_end;                     /* when an `until` passes; 0: none does */
	uint32_t ends_minute, ends_generation; /* when that was looked for */

	int mail[2]; /* workers -> main */
	int listen_fd;
	int link_fd;       /* link events */
	struct chan *chan; /* to the authority process */
	pid_t authority;
	uint32_t authority_restarts;
	uint32_t respawn_ms;
	mono_t authority_started;
	bool authority_ready, ready, stopping, hook_installed, hook_removed;
	uint8_t epoch;
	bool epoch_settled; /* begun for the policy that has just settled */
	uint64_t started_ns, stop_deadline_ns;
	uint64_t bad_messages;
	uint32_t hook_repairs;
	uint8_t hook_state; /* as in struct msg_main_status */
	uint64_t kernel_flushed;
	uint64_t held_before; /* by the last look at the kernel's queues */
	struct loop_timer second, queues, respawn;
	pid_t resolver; /* 0: it does not run */
	uint32_t resolver_restarts, resolver_ms;
	mono_t resolver_started;
	struct loop_timer resolver_timer;
	struct agents agents; /* programs of authorities */
	struct loop_timer agents_timer;
	uint32_t agents_uid;           /* of those whose authority names none */
	uint32_t agents_generation;    /* of the policy that they are for; 0: none was seen */
	struct remembered *remembered; /* decisions that hold for a while */
	struct offers offers;          /* ... and what the kernel has of them */
	bool restored;                 /* ... and those of before are among them, and in sets */
	/* re-authorization of live flows */
	struct listeners *listeners; /* that thread's */
	pthread_t reauth_thread;
	bool reauth_running;
	unsigned reconsidering; /* workers that have not said so yet */
	_Atomic bool reauth_cancel;
	struct snapshot *reauth_snapshot;
	_Atomic bool reauth_stop; /* as reauth_cancel, for good */
	struct reauth_jobs reauth_jobs;
	struct reauth_job *reauth_job; /* the thread's, while it runs */
	uint64_t reauth_runs, reauth_examined, reauth_ended, reauth_failed;
	struct {
		uint64_t runs, ended;
	} reauth_by[MSG_REASONS];
	uint64_t reauth_took_ns;          /* the last run */
	struct loop_timer link_timer;     /* links or routes changed: look at live flows soon */
	uint64_t link_digest;             /* ifaces_digest() at the last look */
	bool link_changed, route_changed; /* since then */
	int exit_status;
	char error[512];
};

int pendd_main(int argc, char **argv);

/* daemon/pendd_msg.c: the channel to the authority process. */
int pendd_start_authority(struct pendd *d);
void pendd_authority_gone(struct pendd *d);
/* Once, when all is started (the rules are in place) and the authority process serves: the service is ready. */
void pendd_announce(struct pendd *d);
void pendd_send(struct pendd *d, const struct msg *m);
void pendd_send_fd(struct pendd *d, struct msg *m, int fd); /* takes fd; -1: none */
/* daemon/pendd_change.c */
void pendd_change(struct pendd *d, const struct msg *m, int fd); /* MSG_POLICY, MSG_SETS */
void pendd_changed(struct pendd *d);                             /* the thread has ended */
/* The thread that looked at live flows has ended: take the policy that waited for it. */
void pendd_policy_resume(struct pendd *d);
/* A worker, or whoever judged live flows, does not read it any more. */
void pendd_released(struct pendd *d, struct snapshot *s);
void pendd_change_orphan(struct pendd *d); /* the authority process is gone */
void pendd_change_join(struct pendd *d);   /* workers have ended */
/* daemon/pendd_watch.c: once a second. */
void pendd_watch(void *pendd);
void pendd_watch_queues(void *pendd); /* five times a second */
void pendd_status_line(struct pendd *d);
uint32_t pendd_clock(struct pendd *d); /* now; sets d->minute, and tells the workers */
/* daemon/pendd_policy.c */
int pendd_load_policy(struct pendd *d);
/* Give a new snapshot to all workers; takes it over. False: not all of them took it. */
bool pendd_swap(struct pendd *d, struct snapshot *s);
/* daemon/pendd_decisions.c */
void pendd_decisions_watch(struct pendd *d); /* once a second */
void pendd_decisions_list(struct pendd *d, const struct msg *m);
/* Before the rules are installed: wait a moment for the decisions, and the changes of sets, of before. */
void pendd_decisions_await(struct pendd *d);
void pendd_decisions_restore(struct pendd *d, const struct msg *m, int fd);
void pendd_decisions_forget(struct pendd *d, const struct msg *m);
/* daemon/pendd_offers.c: decisions in the kernel. Failures are logged; none of them stops anything. */
int pendd_offers_init(struct pendd *d); /* 0 or -errno; before workers are started */
void pendd_offers_free(struct pendd *d);
void pendd_offers_called(struct pendd *d); /* a worker has put something in its ring */
/* No packet is decided by the kernel any more when it returns. Cheap when there is nothing to do. */
void pendd_offers_flush(struct pendd *d);
void pendd_offers_reset(struct pendd *d); /* the rules were made or removed: the sets are empty */
void pendd_offers_watch(struct pendd *d); /* once a second */
void pendd_offers_ifaces(struct pendd *d, const struct classify_ifaces *t);
/* Has the kernel some connection that this decision decides? */
bool pendd_offers_has(const struct pendd *d, const struct remembered_key *k, uint64_t now_ns);
void pendd_offers_status(struct pendd *d, struct msg_offers *out);
/* daemon/pendd_reauth.c */
void pendd_reconsidered(struct pendd *d);
/* The time of a rule is over. */
void pendd_reauth_until(struct pendd *d);
/* Decisions about flows from these addresses are over; takes the ranges. */
void pendd_reauth_expired(struct pendd *d, struct reauth_keys *keys);
/*
 * The policy has changed, and all workers have it: live flows are judged again, those of the ranges
 * (taken over) or all (NULL). Never waits; what is still to be done is joined with what is asked now.
 * The rules for whoever replaces d->snapshot: while d->reauth_running, set d->reauth_cancel and wait for
 * pendd_policy_resume(). What was cancelled is done after the next policy has settled, by itself.
 */
void pendd_reauthorize(struct pendd *d, struct reauth_ranges *ranges);
/* MSG_REAUTHORIZE, MSG_POLICY_DRY (`fd`, the caller's: the image): answers by MSG_REAUTHORIZED. */
void pendd_reauth_request(struct pendd *d, const struct msg *m, int fd);
void pendd_reauth_link(struct pendd *d, unsigned kinds); /* of ifaces_drain */
void pendd_reauthorized(struct pendd *d);                /* the thread has ended */
void pendd_reauth_init(struct pendd *d);
void pendd_reauth_begin(struct pendd *d);  /* all runs: look at the flows of an earlier daemon */
void pendd_reauth_forget(struct pendd *d); /* the authority process is gone */
void pendd_reauth_join(struct pendd *d);
/* daemon/pendd_epoch.c: `reauthorize lazy` */
void pendd_epoch_begin(struct pendd *d); /* before the rules are installed */
/* All workers have the policy: from here on each live flow is asked about once more. False: it is not
 * lazy, or it could not be done; the flows are to be looked at now. */
bool pendd_epoch_next(struct pendd *d);
/* The same for a new policy, before anybody is told of it; the next pendd_epoch_next() is done then. */
void pendd_epoch_settled(struct pendd *d);
/* daemon/pendd_resolver.c: it is started again when it ends; no packet waits for that. */
int pendd_start_resolver(struct pendd *d);
void pendd_resolver_ended(struct pendd *d); /* perhaps: a child has */
void pendd_stop_resolver(struct pendd *d);  /* when no thread asks any more */
/* daemon/pendd_agents.c */
void pendd_agents_init(struct pendd *d);
/* The policy in force may be another one: its authorities' programs run from here on, and no others. They
 * need an authority process that knows of it: to this one, a program that ends has lost its questions, unless its
 * definition has changed. */
void pendd_agents_policy(struct pendd *d);
void pendd_agents_child(struct pendd *d); /* perhaps: one has ended */
void pendd_agents_end(struct pendd *d);   /* all are told to; the loop goes on */
void pendd_agents_stop(struct pendd *d);  /* none is left */
/* daemon/pendd.c */
void pendd_mail(void *pendd, uint32_t events); /* what threads have to say */
void pendd_stop(struct pendd *d, int status);

#endif
