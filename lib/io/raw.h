/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Raw sockets: copies of absorbed packets on their way in again, and answers to peers whose
 * packet is no longer in the kernel. A copy is sent to a local address, comes back over lo with
 * the INJECT mark and is queued like any other: the mark only keeps it from being exempt as
 * loopback traffic, it lets nothing in (R39).
 */
#ifndef IO_RAW_H
#define IO_RAW_H

#include "core/flow.h"
#include <stdbool.h>
#include <stdint.h>

struct raw {
	int inject4, inject6, answer4, answer6; /* -1 when not open */
};

/* Opens what the kernel allows (CAP_NET_RAW). 0, or -errno with all closed. */
int raw_open(struct raw *r, uint32_t inject_mark);
void raw_close(struct raw *r); /* idempotent after raw_open */
bool raw_inject(const struct raw *r, const void *data, uint32_t len, const struct flow *f,
		uint32_t iif);
bool raw_answer(const struct raw *r, const void *data, uint32_t len, const struct flow *f,
		uint32_t iif);

#endif
