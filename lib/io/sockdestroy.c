/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Ending local TCP connections. See sockdestroy.h. */
#include "io/sockdestroy.h"
#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <stdbool.h>
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

enum { STATE_LISTEN = 10 }; /* TCP_LISTEN of net/tcp_states.h */

struct request {
	struct nlmsghdr nlh;
	struct inet_diag_req_v2 r;
};

static void make_request(struct request *q, uint16_t type, uint16_t flags, const struct flow *seen)
{
	size_t len = seen->family == FLOW_V6 ? 16 : 4;

	memset(q, 0, sizeof(*q));
	q->nlh.nlmsg_len = sizeof(*q);
	q->nlh.nlmsg_type = type;
	q->nlh.nlmsg_flags = NLM_F_REQUEST | flags;
	q->r.sdiag_family = seen->family == FLOW_V6 ? AF_INET6 : AF_INET;
	q->r.sdiag_protocol = IPPROTO_TCP;
	q->r.idiag_states = UINT32_MAX;
	q->r.id.idiag_sport = htons(seen->dport);
	q->r.id.idiag_dport = htons(seen->sport);
	memcpy(q->r.id.idiag_src, seen->dst, len);
	memcpy(q->r.id.idiag_dst, seen->src, len);
	q->r.id.idiag_cookie[0] = q->r.id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
}

/* The answer is there when the send returns. Its length, or -errno: of the call, or of an error message. */
static ssize_t ask(int fd, const struct request *q, void *buf, size_t cap)
{
	const struct nlmsghdr *nlh = buf;
	const struct nlmsgerr *e = (const struct nlmsgerr *)(const void *)((char *)buf +
									   NLMSG_HDRLEN);
	ssize_t n;

	if (send(fd, q, sizeof(*q), 0) < 0)
		return -errno;
	n = recv(fd, buf, cap, 0);
	if (n < 0)
		return -errno;
	if ((size_t)n < NLMSG_HDRLEN)
		return -EPROTO;
	if (nlh->nlmsg_type != NLMSG_ERROR)
		return n;
	return (size_t)n < NLMSG_HDRLEN + sizeof(*e) ? -EPROTO : e->error;
}

/* The one that this message tells of, by its name. */
static int destroy(int fd, const struct flow *seen, const struct inet_diag_msg *found)
{
	char buf[512] __attribute__((aligned(8)));
	struct request q;
	ssize_t n;

	make_request(&q, SOCK_DESTROY, NLM_F_ACK, seen);
	q.r.id.idiag_if = found->id.idiag_if;
	memcpy(q.r.id.idiag_cookie, found->id.idiag_cookie, sizeof(q.r.id.idiag_cookie));
	n = ask(fd, &q, buf, sizeof(buf));
	return n < 0 ? (int)n : 0;
}

static bool is_it(const struct inet_diag_msg *m, const struct request *q)
{
	return m->idiag_state != STATE_LISTEN && m->id.idiag_sport == q->r.id.idiag_sport &&
	       m->id.idiag_dport == q->r.id.idiag_dport &&
	       !memcmp(m->id.idiag_src, q->r.id.idiag_src, sizeof(m->id.idiag_src)) &&
	       !memcmp(m->id.idiag_dst, q->r.id.idiag_dst, sizeof(m->id.idiag_dst));
}

/* Connections between the same addresses and ports, each on a link of its own. */
#define LINKS_MAX 16

/* What a part of the dump tells of; true: it was the last. */
static bool collect(void *part, size_t len, const struct request *q, struct inet_diag_msg *found,
		    unsigned *n)
{
	struct nlmsghdr *nlh = part;

	for (; NLMSG_OK(nlh, len); nlh = NLMSG_NEXT(nlh, len)) {
		const struct inet_diag_msg *m = NLMSG_DATA(nlh);

		if (nlh->nlmsg_type == NLMSG_DONE || nlh->nlmsg_type == NLMSG_ERROR)
			return true;
		if (nlh->nlmsg_len >= NLMSG_LENGTH(sizeof(*m)) && is_it(m, q) && *n < LINKS_MAX)
			found[(*n)++] = *m;
	}
	return false;
}

/*
 * A socket with an address of its link is bound to that, and found only by who names the link, which connection
 * tracking does not know. So all sockets with these ports are looked at.
 */
static int destroy_on_any_link(int fd, const struct flow *seen)
{
	char buf[16384] __attribute__((aligned(8)));
	struct inet_diag_msg found[LINKS_MAX];
	unsigned n = 0;
	struct request q;
	ssize_t len;
	int r = -ENOENT;

	make_request(&q, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, seen);
	if (send(fd, &q, sizeof(q), 0) < 0)
		return -errno;
	do
		len = recv(fd, buf, sizeof(buf), 0);
	while (len > 0 && !collect(buf, (size_t)len, &q, found, &n));
	for (unsigned i = 0; i < n; i++) {
		int one = destroy(fd, seen, &found[i]);

		if (r == -ENOENT || (r == 0 && one != -ENOENT))
			r = one;
	}
	return r;
}

/*
 * The kernel looks a connection up as it does for a packet: where there is none, it finds the
 * listener, and would destroy that. So the socket is looked at first, and named by its cookie.
 */
int sockdestroy_tcp(int fd, const struct flow *seen)
{
	char buf[2048] __attribute__((aligned(8)));
	const struct inet_diag_msg *found =
		(const struct inet_diag_msg *)(const void *)(buf + NLMSG_HDRLEN);
	struct request q;
	ssize_t n;

	if (flow_addr_link_scope(seen->src, seen->family) ||
	    flow_addr_link_scope(seen->dst, seen->family))
		return destroy_on_any_link(fd, seen);
	make_request(&q, SOCK_DIAG_BY_FAMILY, 0, seen);
	n = ask(fd, &q, buf, sizeof(buf));
	if (n < 0)
		return (int)n;
	if ((size_t)n < NLMSG_HDRLEN + sizeof(*found))
		return -EPROTO;
	if (found->idiag_state == STATE_LISTEN || found->id.idiag_dport != htons(seen->sport))
		return -ENOENT;
	return destroy(fd, seen, found);
}
