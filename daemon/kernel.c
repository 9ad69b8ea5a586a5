/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The kernel's own counters. See kernel.h. */
#include "daemon/kernel.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void kernel_queues_parse(struct kernel_queues *k, const char *text, unsigned first, unsigned count)
{
	*k = (struct kernel_queues){0};
	while (text && *text) {
		unsigned long num, port, queued, mode, range, qdrop, udrop;
		const char *end = strchr(text, '\n');

		/* nfnetlink_queue.c, seq_show: number, port id, queued, copy mode, copy range,
		 * queue_dropped, user_dropped, last id, 1 */
		if (sscanf(text, "%lu %lu %lu %lu %lu %lu %lu", &num, &port, &queued, &mode, &range,
			   &qdrop, &udrop) == 7 &&
		    num >= first && num < (unsigned long)first + count) {
			k->present++;
			k->queued += queued;
			k->queue_dropped += qdrop;
			k->user_dropped += udrop;
		}
		text = end ? end + 1 : NULL;
	}
}

int kernel_queues_read(struct kernel_queues *k, unsigned first, unsigned count)
{
	char buf[32768];
	size_t len = 0;
	ssize_t n;
	int fd = open("/proc/self/net/netfilter/nfnetlink_queue", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	while (len < sizeof(buf) - 1 && (n = read(fd, buf + len, sizeof(buf) - 1 - len)) > 0)
		len += (size_t)n;
	close(fd);
	buf[len] = '\0';
	kernel_queues_parse(k, buf, first, count);
	return 0;
}
