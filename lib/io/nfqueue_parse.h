/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The bytes of the queue socket -> items. Total: any bytes are safe. */
#ifndef IO_NFQUEUE_PARSE_H
#define IO_NFQUEUE_PARSE_H

#include "io/nfqueue.h"

/* One datagram holds one message. 1 when *item was filled, 0 when it is none of ours. */
int nfqueue_parse_message(const void *buf, size_t len, struct nfqueue_item *item);
/* Is it the kernel's answer to the configuration message of this number? Then *error is 0 or an errno. */
bool nfqueue_parse_answer(const void *buf, size_t len, uint32_t seq, int *error);
/*
 * Set `stamp` on the items that may stamp their flow: the last datagram of each flow in this batch, and
 * only if nothing was left in the socket behind it. A stamp lets later datagrams pass in the kernel,
 * where they would overtake those that still wait for us (R43, R46).
 */
void nfqueue_mark_stamps(struct nfqueue_item *items, unsigned n, bool drained);

#endif
