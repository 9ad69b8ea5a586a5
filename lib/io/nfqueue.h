/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One NFQUEUE: bind and configure, receive in batches, send verdicts packed many to a datagram.
 *
 * Never NFQNL_MSG_VERDICT_BATCH: it decides every id up to the one given, and so other contexts'
 * packets (nfnetlink_queue.c, nfqnl_recv_verdict_batch). Many single verdicts in one sendmsg cost
 * the same. Errors come back on the same socket, after what was queued before: that order is what
 * the barrier rests on.
 */
#ifndef IO_NFQUEUE_H
#define IO_NFQUEUE_H

#include "base/err.h"
#include "core/engine.h"
#include <stdbool.h>
#include <stdint.h>

#define NFQ_BATCH 64u

struct nfqueue;

struct nfqueue_config {
	uint16_t queue;
	bool fail_open;
	uint32_t kernel_queue, receive_buffer;
	int fd; /* adopt a bound socket, or -1 */
};

/* Memory only. 0 or -ENOMEM. */
int nfqueue_new(struct nfqueue **out);
/* Unbinds by closing. NULL is allowed. */
void nfqueue_free(struct nfqueue *q);
/* -EPERM, -EBUSY (another program's queue), -EOPNOTSUPP, -errno, with a sentence in *err. A packet that comes before
 * the last acknowledgement is dropped: its peer sends again. */
int nfqueue_start(struct nfqueue *q, const struct nfqueue_config *c, struct err *err);
uint32_t nfqueue_early(const struct nfqueue *q); /* how many were */
int nfqueue_fd(const struct nfqueue *q);         /* -1 before start */

/* What was read from the queue socket, in order. */
enum nfqueue_item_type { NFQ_PACKET = 1, NFQ_ERROR };

struct nfqueue_item {
	enum nfqueue_item_type type;
	struct engine_input in; /* PACKET; its data are valid until the next receive */
	uint32_t seq, id;       /* ERROR: of the verdict */
	uint32_t barrier; /* ERROR: the number it was sent with, if seq has ENGINE_SEQ_BARRIER */
	int error;        /* ERROR: 0 = an acknowledgement, else errno */
};

/*
 * Read up to NFQ_BATCH messages without waiting. The number of items; *drained when nothing was
 * left behind them. -ENOBUFS (something was lost, go on), or -errno when the socket is of no use.
 */
int nfqueue_receive(struct nfqueue *q, struct nfqueue_item items[NFQ_BATCH], bool *drained);

/* Append a verdict; sends by itself when the buffer is full. `mark`: the packet's whole new mark.
 * False: the kernel has no memory to take any, and this one is not given. */
bool nfqueue_verdict(struct nfqueue *q, uint32_t id, uint32_t verdict, uint32_t mark, uint32_t seq);
/* Send what was appended; with `ack` the last one is acknowledged (ENGINE_SEQ_BARRIER in its seq), under the
 * number `barrier`. 0, or -errno: the rest is kept for the next call. */
int nfqueue_send(struct nfqueue *q, bool ack, uint32_t barrier);
bool nfqueue_pending(const struct nfqueue *q);

#endif
