/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ending a local TCP connection: SOCK_DESTROY of sock_diag (net/ipv4/tcp_diag.c). The local
 * program's calls fail with ECONNABORTED and the peer gets a reset. Needs CAP_NET_ADMIN.
 */
#ifndef IO_SOCKDESTROY_H
#define IO_SOCKDESTROY_H

#include "core/flow.h"

/* A socket for sockdestroy_tcp, or -errno; close() it. */
int sockdestroy_open(void);
/* `seen`: the flow as the local socket has it, its peer as the source. 0, -ENOENT: no such
 * socket here, -EOPNOTSUPP: not in this kernel, -errno. */
int sockdestroy_tcp(int fd, const struct flow *seen);

#endif
