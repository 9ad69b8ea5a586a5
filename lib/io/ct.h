/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Conntrack: looking one flow up by its original tuple (ctnetlink, nf_conntrack_netlink.c). */
#ifndef IO_CT_H
#define IO_CT_H

#include "core/flow.h"
#include <stdint.h>

struct ct;

struct ct_info {
	uint32_t mark;
	uint32_t status;   /* enum ip_conntrack_status bits */
	uint8_t tcp_state; /* enum tcp_conntrack, 0 if not TCP */
};

/* 0 or -errno. Needs CAP_NET_ADMIN at every call, not only here. */
int ct_open(struct ct **out);
void ct_close(struct ct *c); /* NULL is allowed */
/* The kernel answers at once; nothing here waits. 0, -ENOENT: no such entry, or -errno. */
int ct_get(struct ct *c, const struct flow *f, struct ct_info *info);

#endif
