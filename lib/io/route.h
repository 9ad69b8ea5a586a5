/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where an address is, as the routing tables say (rtnetlink, RTM_GETROUTE). */
#ifndef IO_ROUTE_H
#define IO_ROUTE_H

#include <stdbool.h>
#include <stdint.h>

/* A socket for route_lookup, or -errno; close() it. */
int route_open(void);
struct route {
	uint32_t interface; /* index; where packets to the address leave */
	bool local;         /* it is an address of this host */
};

/* 0, or -errno: there is no route, or the kernel does not say. */
int route_lookup(int fd, uint8_t family, const uint8_t addr[16], struct route *out);

#endif
