/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The local socket that would take a packet, asked of the kernel by sock_diag(7), which looks it
 * up as the stack itself does (net/ipv4/inet_diag.c, net/ipv4/udp_diag.c). Nothing is allocated,
 * and nothing is waited for: the kernel answers inside of the send.
 */
#ifndef IO_LISTENER_H
#define IO_LISTENER_H

#include "core/classify.h"
#include <pend.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct listener_socket {
	uint64_t cookie; /* never used again by the kernel */
	uint64_t cgroup; /* id: inode number of its folder in cgroup2. 0: not told (before 5.8) */
	uint32_t uid, inode;
	uint8_t state; /* of net/tcp_states.h */
};

struct listener_diag {
	int fd; /* -1: no such socket in this kernel */
	uint32_t seq;
	bool tcp, udp, udplite; /* the kernel can tell of these */
};

/* Asks the kernel what it can tell of, which may load its modules. Without any answer every
 * look-up is LISTENER_UNKNOWN. */
void listener_open(struct listener_diag *d);
void listener_close(struct listener_diag *d); /* idempotent */

/*
 * UNKNOWN: SCTP and DCCP, a hook that is not known, and what the kernel does not answer. NONE:
 * nobody listens; the packet is for another host; or no socket owns its protocol (ICMP; raw
 * sockets get copies). TCP: the socket that listens, and only where there is none any more, the
 * connection's own. *out is filled for FOUND.
 */
enum classify_listener_state listener_find(struct listener_diag *d, const struct pend_values *v,
					   struct listener_socket *out);

enum listener_parsed { LISTENER_PARSED, LISTENER_PARSED_OTHER };
/* One datagram of the kernel's; any bytes are safe. 0 and *out; LISTENER_PARSED_OTHER: it
 * answers another question than `seq`; -EPROTO, or the -errno in it: -ENOENT for no socket. */
int listener_parse(const void *buf, size_t len, uint32_t seq, struct listener_socket *out);

enum listener_which {
	LISTENER_LISTENS, /* waits for peers: a TCP listener, an unconnected UDP socket */
	LISTENER_BUSY,    /* has one: a connection that its program may still want */
};
/*
 * The sockets of this network namespace with local port `port` (TCP or UDP), of both families, at whatever address. It
 * walks all sockets of the host. 0 or -errno; -EOPNOTSUPP: the kernel cannot tell.
 */
int listener_count(struct listener_diag *d, uint8_t protocol, uint16_t port,
		   enum listener_which which, uint32_t *count);
/* One datagram of such a walk; any bytes are safe. LISTENER_PARSED: it was the last; LISTENER_PARSED_OTHER: there is
 * more to come, or it is of another question; -EPROTO, or the -errno in it. Adds to *count. */
int listener_dump_parse(const void *buf, size_t len, uint32_t seq, uint32_t *count);

#endif
