/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One end of a SOCK_SEQPACKET socket pair that carries messages of one fixed size, several per
 * datagram, and descriptors with them. Nothing here blocks: what cannot be sent now waits in a
 * backlog of fixed size, and when that is full the caller is told and decides what gives way.
 *
 * The other side is not trusted: a datagram that is not a whole number of messages, or that was
 * cut, is thrown away and counted. Contents are the caller's to check.
 */
#ifndef IO_CHAN_H
#define IO_CHAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct chan;

struct chan_stats {
	uint64_t sent, received; /* messages */
	uint64_t datagrams_out, datagrams_in;
	uint64_t refused;               /* chan_send said CHAN_FULL */
	uint64_t stalled;               /* the socket was full */
	uint64_t bad;                   /* datagrams thrown away */
	uint32_t backlog, backlog_peak; /* messages that wait */
};

enum chan_result {
	CHAN_FULL = 1,  /* chan_send: no room in the backlog; nothing was queued */
	CHAN_AGAIN = 2, /* chan_flush: the socket is full; chan_recv: nothing there */
	CHAN_BAD = 3,   /* chan_recv: a malformed datagram was thrown away; go on */
};

/*
 * `fd` becomes the channel's (and non-blocking) on success. `size` bytes a message, at most
 * `batch` a datagram, at most `backlog` waiting. 0, -EINVAL, -ENOMEM or -errno.
 */
int chan_new(struct chan **out, int fd, size_t size, unsigned batch, unsigned backlog);
/* Closes the descriptor and those that still wait to be sent. NULL is allowed. */
void chan_free(struct chan *c);
int chan_fd(const struct chan *c);

/* Queue a copy of one message; chan_flush sends. 0 or CHAN_FULL. */
int chan_send(struct chan *c, const void *message);
/* As chan_send, with a descriptor that becomes the channel's on success (closed once sent). */
int chan_send_fd(struct chan *c, const void *message, int fd);
/* How many more messages chan_send takes now. */
unsigned chan_room(const struct chan *c);
/* Does anything wait to be sent? Then flush, and on CHAN_AGAIN wait for EPOLLOUT. */
bool chan_pending(const struct chan *c);
/* Send all that waits. 0, CHAN_AGAIN, or -errno (-EPIPE: the other side is gone). */
int chan_flush(struct chan *c);

/*
 * Read one datagram into `messages` (room for `batch`). On 0, *n of them, and *fd the descriptor
 * that came along, to be closed by the caller, or -1. CHAN_AGAIN, CHAN_BAD, -EPIPE at the end,
 * or -errno.
 */
int chan_recv(struct chan *c, void *messages, unsigned *n, int *fd);

const struct chan_stats *chan_stats(const struct chan *c);

#endif
