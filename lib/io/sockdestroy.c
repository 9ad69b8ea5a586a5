/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Ending local TCP connections. See sockdestroy.h. */
#include "io/sockdestroy.h"
#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <string.h>
#include <sys/socket.h>

#ifndef SOCK_DESTROY
#define SOCK_DESTROY 21
#endif

int sockdestroy_open(void)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_SOCK_DIAG);

	return fd < 0 ? -errno : fd;
}

/* The acknowledgement is there when the send returns. */
static int read_answer(int fd)
{
	char buf[1024] __attribute__((aligned(8)));
	ssize_t n = recv(fd, buf, sizeof(buf), 0);
	const struct nlmsghdr *nlh = (const struct nlmsghdr *)(const void *)buf;
	const struct nlmsgerr *e = (const struct nlmsgerr *)(const void *)(buf + NLMSG_HDRLEN);

	if (n < 0)
		return -errno;
	if ((size_t)n < NLMSG_HDRLEN + sizeof(*e) || nlh->nlmsg_type != NLMSG_ERROR)
		return -EPROTO;
	return e->error;
}

int sockdestroy_tcp(int fd, const struct flow *seen)
{
	struct {
		struct nlmsghdr nlh;
		struct inet_diag_req_v2 r;
	} req;
	size_t len = seen->family == FLOW_V6 ? 16 : 4;

	memset(&req, 0, sizeof(req));
	req.nlh.nlmsg_len = sizeof(req);
	req.nlh.nlmsg_type = SOCK_DESTROY;
	req.nlh.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	req.r.sdiag_family = seen->family == FLOW_V6 ? AF_INET6 : AF_INET;
	req.r.sdiag_protocol = IPPROTO_TCP;
	req.r.idiag_states = UINT32_MAX;
	req.r.id.idiag_sport = htons(seen->dport);
	req.r.id.idiag_dport = htons(seen->sport);
	memcpy(req.r.id.idiag_src, seen->dst, len);
	memcpy(req.r.id.idiag_dst, seen->src, len);
	req.r.id.idiag_cookie[0] = req.r.id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
	if (send(fd, &req, sizeof(req), 0) < 0)
		return -errno;
	return read_answer(fd);
}
