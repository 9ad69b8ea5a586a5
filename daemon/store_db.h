/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The database of decisions: those in force, and what was decided before. SQLite with a write-ahead log, one
 * connection, one thread (daemon/store.h). Every commit is on the disk before it returns (synchronous FULL): a
 * decision that was confirmed must survive the loss of power too, and many decisions share one commit.
 *
 * Without a path the database is in memory: the same questions can be asked, and nothing outlives the process.
 * Times are milliseconds of the wall clock, which goes on while nobody runs.
 */
#ifndef DAEMON_STORE_DB_H
#define DAEMON_STORE_DB_H

#include "base/err.h"
#include "core/classify.h"
#include "daemon/remembered.h"
#include <stdbool.h>
#include <stdint.h>

#define STORE_DB_VERSION 2

struct store_db;

/* A decision in force; until_ns and since_ns of `e` are not used. */
struct store_decision {
	struct remembered_entry e;
	int64_t since_ms, until_ms;
	const char *layer, *rule; /* as they were called when it was made */
	const char *by, *why;     /* "": not known */
	bool if_new; /* to be written only where the file knows none, or an older one */
};

/* A change of a set at run time that stays. They are kept in their order; see store_db_set_clear(). */
struct store_set {
	const char *set;
	uint8_t action;           /* enum overlay_action */
	int64_t since_s, until_s; /* until 0: for good */
	uint32_t uid;
	const void *spans; /* of struct policy_span */
	size_t size;       /* bytes */
	const char *by, *why;
};

/* What became of a connection that was pended. */
struct store_event {
	int64_t time_ms, pended_ms;
	pend_context context;
	uint8_t family, protocol;
	uint8_t state, verdict; /* enum pend_state, enum pend_verdict */
	uint32_t reason;        /* MSG_REASON_CODE() */
	uint16_t source_port, dest_port;
	uint8_t source[16], dest[16];
	const char *interface, *authority; /* "": not known */
	const char *layer, *rule, *file;   /* "": of a policy that is not known any more */
	uint32_t line;
	const char *by, *why;
};

/* Which decisions; 0, and MSG's any: all of them. Of those that were written before: clocks are not asked. */
struct store_which {
	uint64_t rule;
	uint8_t family, prefix_len; /* of the source; family 0: any */
	uint8_t source[16];
};

/* Which events, newest first. */
struct store_query {
	uint8_t family, prefix_len;
	uint8_t source[16];
	int64_t since_ms, until_ms; /* 0: any */
	char rule[256];             /* a piece of its text; "": any */
	char authority[64];         /* "": any */
	int verdict;                /* enum pend_verdict; -1: any */
	int64_t before;             /* only those with a smaller number; 0: any */
	uint32_t limit;
};

struct store_found {
	int64_t id;
	struct store_event e; /* texts are valid during the call */
};

enum store_open {
	STORE_OPEN_OK,
	STORE_OPEN_NEWER,   /* of a version that we do not know: left alone */
	STORE_OPEN_CORRUPT, /* no database of ours */
	STORE_OPEN_FAILED,
};

/* The file is made if it is not there, for its user alone. *out on STORE_OPEN_OK only; else a sentence in *e. */
enum store_open store_db_open(struct store_db **out, const char *path, struct err *e);
void store_db_close(struct store_db *db); /* NULL is allowed */
/* Put a file that is not usable aside, with the time behind its name. 0 or -errno. */
int store_db_aside(const char *path, char *name, size_t cap);

/* The rest is 0 or -errno: -ENOSPC, -EROFS, -EIO, -EBUSY (another program holds it), -EBADMSG (corrupt). */
int store_db_begin(struct store_db *db);
int store_db_commit(struct store_db *db);
void store_db_rollback(struct store_db *db);
const char *store_db_error(const struct store_db *db); /* a sentence about the last one */

int store_db_decision(struct store_db *db,
		      const struct store_decision *d); /* instead of its like */
int store_db_drop(struct store_db *db, const struct remembered_key *k);
int store_db_forget(struct store_db *db, const struct store_which *w);
/* All that have not ended by then. `fn` false: enough. */
int store_db_load(struct store_db *db, int64_t now_ms,
		  bool (*fn)(void *ctx, const struct store_decision *d), void *ctx);

/* Behind all others; OVERLAY_FLUSH and OVERLAY_LOAD instead of those of the set. */
int store_db_set(struct store_db *db, const struct store_set *s);
/* None of this set, before what all of them together have come to is written. */
int store_db_set_clear(struct store_db *db, const char *set);
/* In their order; all that have not ended by then. `fn` false: enough. */
int store_db_sets(struct store_db *db, int64_t now_s,
		  bool (*fn)(void *ctx, const struct store_set *s), void *ctx);

int store_db_event(struct store_db *db, const struct store_event *e);
int store_db_query(struct store_db *db, const struct store_query *q,
		   void (*fn)(void *ctx, const struct store_found *f), void *ctx);
/*
 * One step of clearing up: decisions that are over, events from before `oldest_ms` or above `most`, and the texts of rules
 * that none is of any more; *more: there is more to do. In a transaction of the caller's.
 */
int store_db_prune(struct store_db *db, int64_t now_ms, int64_t oldest_ms, uint64_t most,
		   bool *more);
uint64_t store_db_size(struct store_db *db); /* bytes, without the log */

#endif
