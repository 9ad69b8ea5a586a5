/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What waits for the store's thread, and what comes back from it: each a piece of memory with its texts behind it. */
#ifndef DAEMON_STORE_OP_H
#define DAEMON_STORE_OP_H

#include "base/list.h"
#include "daemon/store.h"

enum store_op_type {
	OP_DECISION,
	OP_DROP,
	OP_FORGET,
	OP_EVENT,
	OP_SET,
	OP_STATE, /* of a set, u.set.set: `sets` instead of all its changes */
	OP_SYNC,
	OP_LOAD,
	OP_SETS,
	OP_QUERY
};

struct store_op {
	struct list link;
	enum store_op_type type;
	union {
		struct store_decision decision;
		struct remembered_key key;
		struct store_which which;
		struct store_event event;
		struct store_set set;
		struct store_query query;
		int64_t now_ms;
	} u;
	/* results; `sets` of OP_STATE is what is written */
	store_done_fn *done;
	store_loaded_fn *loaded;
	store_sets_fn *told;
	store_found_fn *found;
	void *ctx;
	uint32_t tag;
	int status;
	char error[160];
	struct store_decision *decisions;
	struct store_found *events;
	struct store_set *sets;
	size_t n, cap;
	struct list texts; /* of the results */
};

/* NULL: no memory. */
struct store_op *store_op_new(enum store_op_type type);
struct store_op *store_op_decision(const struct store_decision *d);
struct store_op *store_op_set(const struct store_set *s);
struct store_op *store_op_state(const char *set, const struct store_set *s, size_t n);
struct store_op *store_op_event(const struct store_event *e);
void store_op_free(struct store_op *op); /* NULL is allowed */

/* It must be written for the state to be right; others are questions and records. */
static inline bool store_op_counts(const struct store_op *op)
{
	return op->type == OP_DECISION || op->type == OP_DROP || op->type == OP_FORGET ||
	       op->type == OP_SET || op->type == OP_STATE;
}

/* It is answered from what is in the file, also when nothing can be written. */
static inline bool store_op_asks(const struct store_op *op)
{
	return op->type == OP_LOAD || op->type == OP_SETS || op->type == OP_QUERY;
}

/* It asks for all that holds. */
static inline bool store_op_reads(const struct store_op *op)
{
	return op->type == OP_LOAD || op->type == OP_SETS;
}

/* In the thread: does it. 0 or -errno; a result that has no memory is cut, with -ENOMEM in op->status. */
int store_op_run(struct store_op *op, struct store_db *db);
/* In the loop's thread: tells whoever waits. */
void store_op_tell(struct store_op *op);

#endif
