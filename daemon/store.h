/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The thread that keeps decisions and history in a database (daemon/store_db.h), so that a slow or full disk delays
 * nobody's answer. What is to be kept waits in a queue; what has come within a few milliseconds is committed
 * together.
 *
 * Events above the queue's bound are dropped, and counted. Decisions are kept in it until they could be written: when
 * that fails, those who wait for it are told so, and it is tried again every second. A file that is damaged is
 * put aside and a new one begun; one of a newer version is left alone, and nothing is written until the next start.
 */
#ifndef DAEMON_STORE_H
#define DAEMON_STORE_H

#include "daemon/store_db.h"
#include "io/loop.h"

#define STORE_BATCH       512u    /* at most, in one commit */
#define STORE_DECISION_MS 5u      /* that a decision waits for others */
#define STORE_EVENT_MS    200u    /* ... an event */
#define STORE_EVENTS_MAX  8192u   /* that wait */
#define STORE_QUEUE_MAX   131072u /* decisions that wait */
#define STORE_FORGETS_MAX 1024u   /* ... above these, of what is to be forgotten */
#define STORE_RETRY_MS    1000u
#define STORE_MEMORY_KEPT 10000u /* events, without a file */

struct store;

struct store_config {
	const char *path; /* "": in memory */
	uint64_t keep_ms; /* events; 0: until there are too many */
	uint64_t most;    /* events */
	/* In the loop's thread: a damaged file was put aside, and nothing of what was written is in the new one. */
	void (*anew)(void *ctx);
	void *ctx;
};

enum store_state {
	STORE_MEMORY,  /* no file is configured */
	STORE_FILE,    /* all is well */
	STORE_FAILING, /* the file cannot be written now */
	STORE_REFUSED, /* the file is a newer pendd's, or somebody else's: only memory is used */
};

struct store_stats {
	enum store_state state;
	char error[160]; /* the last one; "" */
	uint32_t queued;
	uint64_t written, dropped, errors, lost; /* lost: decisions above the bound */
	uint64_t commits, put_aside, size;
	int64_t committed_ms; /* the last commit; 0: none */
};

/* 0 or -errno. Opens nothing but an eventfd; the results come by `loop`. */
int store_new(struct store **out, struct loop *loop, const struct store_config *c);
/* The thread; from here on the file is open, or is being opened. After rights are dropped. 0 or -errno. */
int store_start(struct store *s);
/* Writes what waits, as far as that can be done within a moment. NULL is allowed. */
void store_free(struct store *s);
void store_stats(struct store *s, struct store_stats *out);
/* Is there a file, or should there be one? */
bool store_lasts(const struct store *s);

/* Texts are copied. False: there are too many already, and it is lost. */
bool store_decision(struct store *s, const struct store_decision *d);
bool store_drop(struct store *s, const struct remembered_key *k);
bool store_forget(struct store *s, const struct store_which *w);
void store_event(struct store *s, const struct store_event *e);

/*
 * Called in the loop's thread when all that was queued before is written, or that has failed (`error` is a
 * sentence). False: it will not be called, for want of memory.
 */
typedef void store_done_fn(void *ctx, uint32_t tag, int status, const char *error);
bool store_sync(struct store *s, store_done_fn *fn, void *ctx, uint32_t tag);

/* An array of what is in force, in the order of the file; during the call. */
typedef void store_loaded_fn(void *ctx, int status, const struct store_decision *d, size_t n);
bool store_load(struct store *s, int64_t now_ms, store_loaded_fn *fn, void *ctx);
/* A change of a set; or all that its changes have come to, instead of them. False: it is lost, as above. */
bool store_set(struct store *s, const struct store_set *c);
bool store_set_state(struct store *s, const char *set, const struct store_set *list, size_t n);
typedef void store_sets_fn(void *ctx, int status, const struct store_set *s, size_t n);
bool store_sets(struct store *s, int64_t now_ms, store_sets_fn *fn, void *ctx);
typedef void store_found_fn(void *ctx, uint32_t tag, int status, const struct store_found *f,
			    size_t n);
bool store_query(struct store *s, const struct store_query *q, store_found_fn *fn, void *ctx,
		 uint32_t tag);

#endif
