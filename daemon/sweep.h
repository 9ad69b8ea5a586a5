/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A decision that holds for a while also decides those of its like that are pended already: the workers are asked
 * to look what they hold up among what is remembered, a slice of a table at a time. One walk serves all decisions that
 * came before it began; the next one waits for four times as long as the last has taken, so that no flood of decisions
 * takes more than a fifth of a worker.
 */
#ifndef DAEMON_SWEEP_H
#define DAEMON_SWEEP_H

#include "daemon/msg.h"
#include "io/loop.h"

/* Number of our own messages; no request's number is below 4096. */
#define SWEEP_SEQ 4003

struct sweep {
	struct loop *loop;
	unsigned workers;
	void *ctx; /* of post, as struct control_env has it */
	int (*post)(void *ctx, unsigned worker, const struct msg *m);
	struct loop_timer next;
	bool wanted, running, stalled;
	unsigned worker;
	uint32_t cursor;
	mono_t began;
	uint64_t decided; /* by what was remembered */
};

void sweep_init(struct sweep *s, struct loop *loop, unsigned workers, void *ctx,
		int (*post)(void *ctx, unsigned worker, const struct msg *m));
void sweep_stop(struct sweep *s); /* before its loop is freed; idempotent */
/* Something is remembered. */
void sweep_want(struct sweep *s);
/* True: it was an answer to a message of ours. */
bool sweep_answer(struct sweep *s, unsigned worker, const struct msg *m);
/* There is room for messages again. */
void sweep_room(struct sweep *s);

#endif
