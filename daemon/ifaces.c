/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Interface names. See ifaces.h. */
#include "daemon/ifaces.h"
#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static size_t table_size(uint32_t n)
{
	return sizeof(struct classify_ifaces) + n * sizeof(struct classify_iface);
}

static int by_index(const void *a, const void *b)
{
	const struct classify_iface *x = a, *y = b;

	return x->index < y->index ? -1 : x->index > y->index;
}

struct classify_ifaces *ifaces_read(void)
{
	struct if_nameindex *list = if_nameindex();
	struct classify_ifaces *t;
	uint32_t n = 0;

	if (!list)
		return NULL;
	while (list[n].if_index)
		n++;
	t = calloc(1, table_size(n));
	for (uint32_t i = 0; t && i < n; i++) {
		t->iface[i].index = list[i].if_index;
		strncpy(t->iface[i].name, list[i].if_name, sizeof(t->iface[i].name) - 1);
	}
	if (t) {
		t->n = n;
		qsort(t->iface, n, sizeof(t->iface[0]), by_index);
	}
	if_freenameindex(list);
	return t;
}

struct classify_ifaces *ifaces_copy(const struct classify_ifaces *t)
{
	struct classify_ifaces *copy = malloc(table_size(t->n));

	if (copy)
		memcpy(copy, t, table_size(t->n));
	return copy;
}

int ifaces_watch(void)
{
	struct sockaddr_nl nl = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
	int r;

	if (fd < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&nl, sizeof(nl)) == 0)
		return fd;
	r = -errno;
	close(fd);
	return r;
}

void ifaces_drain(int fd)
{
	char buf[8192];

	/* ENOBUFS says that events were lost: all the same, something changed. */
	while (recv(fd, buf, sizeof(buf), MSG_DONTWAIT) >= 0 || errno == ENOBUFS || errno == EINTR)
		;
}
