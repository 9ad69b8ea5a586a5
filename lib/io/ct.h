/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Conntrack over ctnetlink (nf_conntrack_netlink.c): one flow, all flows of a mark. */
#ifndef IO_CT_H
#define IO_CT_H

#include "core/flow.h"
#include <stdbool.h>
#include <stdint.h>

struct ct;

struct ct_info {
	struct flow orig; /* as its opener sent it */
	uint32_t mark;
	uint32_t status;   /* enum ip_conntrack_status bits */
	uint8_t tcp_state; /* enum tcp_conntrack, 0 if not TCP */
};

/* 0 or -errno. Needs CAP_NET_ADMIN at every call, not only here. */
int ct_open(struct ct **out);
void ct_close(struct ct *c); /* NULL is allowed */
/*
 * A flow by what the input and forward hooks see of it, behind destination NAT and before source NAT. The kernel
 * answers at once; nothing here waits. 0, -ENOENT: no such entry, or one that is translated both ways and found
 * by neither of its tuples; or -errno.
 */
int ct_get(struct ct *c, const struct flow *seen, struct ct_info *info);

/* A flow as conntrack knows it. */
struct ct_flow {
	struct flow orig; /* as its opener sent it */
	struct flow
		seen; /* the same behind destination NAT: what the input and forward hooks see */
	uint32_t mark;
};

/* False ends the dump. */
typedef bool ct_flow_fn(void *ctx, const struct ct_flow *f);

/* All flows whose mark, under the mask, is this. May not be used by fn. 0, -ECANCELED (fn said so; the
 * socket is of no use then) or -errno. */
int ct_dump(struct ct *c, uint32_t mark, uint32_t mask, ct_flow_fn *fn, void *ctx);
/* Change the bits of the mask in its mark. 0, -ENOENT, -errno. */
int ct_set_mark(struct ct *c, const struct flow *orig, uint32_t mark, uint32_t mask);
/* Forget the flow. 0, -ENOENT, -errno. */
int ct_delete(struct ct *c, const struct flow *orig);

#endif
