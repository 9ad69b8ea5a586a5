/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What only the kernel knows of our queues: /proc/self/net/netfilter/nfnetlink_queue. */
#ifndef DAEMON_KERNEL_H
#define DAEMON_KERNEL_H

#include <stddef.h>
#include <stdint.h>

struct kernel_queues {
	unsigned present;       /* how many of ours are listed */
	uint64_t queued;        /* packets that wait */
	uint64_t queue_dropped; /* the queue was full */
	uint64_t user_dropped;  /* our socket was full */
};

/* Sum over queues first .. first+count-1. 0 or -errno. */
int kernel_queues_read(struct kernel_queues *k, unsigned first, unsigned count);
/* From the file's text; any bytes. */
void kernel_queues_parse(struct kernel_queues *k, const char *text, unsigned first, unsigned count);

#endif
