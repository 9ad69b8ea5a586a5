/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The sockets of a local port, counted; see listener.h. */
#include "io/listener.h"
#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <string.h>
#include <sys/socket.h>

/* of the kernel's net/tcp_states.h */
#define BIT(state)  (1u << (state))
#define ESTABLISHED BIT(1)
#define SYN_RECV    BIT(3)
#define FIN_WAIT1   BIT(4)
#define FIN_WAIT2   BIT(5)
#define UNCONNECTED BIT(7) /* of UDP */
#define CLOSE_WAIT  BIT(8)
#define LISTEN      BIT(10)

enum { STATE_FIN_WAIT2 = 5 };

struct request {
	struct nlmsghdr nlh;
	struct inet_diag_req_v2 r;
};

static uint32_t states(uint8_t protocol, enum listener_which which)
{
	if (which == LISTENER_LISTENS)
		return protocol == IPPROTO_TCP ? LISTEN : UNCONNECTED;
	/* what has only to be forgotten (TIME_WAIT, LAST_ACK, CLOSING) needs its program no more */
	return protocol == IPPROTO_TCP ? ESTABLISHED | SYN_RECV | FIN_WAIT1 | FIN_WAIT2 | CLOSE_WAIT
				       : ESTABLISHED;
}

/* Half closed by a program that has closed it all is nobody's (its socket has no inode any more). */
static bool counts(const struct inet_diag_msg *m)
{
	return m->idiag_state != STATE_FIN_WAIT2 || m->idiag_inode;
}

int listener_dump_parse(const void *buf, size_t len, uint32_t seq, uint32_t *count)
{
	const uint8_t *at = buf;

	while (len >= NLMSG_HDRLEN) {
		struct inet_diag_msg m;
		struct nlmsghdr nlh;
		int error = 0;
		size_t step;

		memcpy(&nlh, at, sizeof(nlh));
		if (nlh.nlmsg_len < NLMSG_HDRLEN || nlh.nlmsg_len > len)
			return -EPROTO;
		if (nlh.nlmsg_seq != seq)
			return LISTENER_PARSED_OTHER;
		if (nlh.nlmsg_len >= NLMSG_HDRLEN + sizeof(error))
			memcpy(&error, at + NLMSG_HDRLEN, sizeof(error));
		if (nlh.nlmsg_type == NLMSG_DONE)
			return LISTENER_PARSED;
		if (nlh.nlmsg_type == NLMSG_ERROR)
			return error < 0 && error >= -4095 ? error : -EPROTO;
		if (nlh.nlmsg_type != SOCK_DIAG_BY_FAMILY ||
		    nlh.nlmsg_len < NLMSG_HDRLEN + sizeof(m))
			return -EPROTO;
		memcpy(&m, at + NLMSG_HDRLEN, sizeof(m));
		*count += counts(&m);
		step = NLMSG_ALIGN(nlh.nlmsg_len);
		step = step < len ? step : len;
		at += step;
		len -= step;
	}
	return LISTENER_PARSED_OTHER;
}

static int dump(struct listener_diag *d, uint8_t family, uint8_t protocol, uint16_t port,
		enum listener_which which, uint32_t *count)
{
	struct request q = {.nlh = {.nlmsg_len = sizeof(q),
				    .nlmsg_type = SOCK_DIAG_BY_FAMILY,
				    .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
				    .nlmsg_seq = ++d->seq}};
	_Alignas(struct nlmsghdr) uint8_t buf[16384];
	int r = LISTENER_PARSED_OTHER;

	q.r.sdiag_family = family;
	q.r.sdiag_protocol = protocol;
	q.r.idiag_states = states(protocol, which);
	q.r.id.idiag_sport = htons(port);
	q.r.id.idiag_cookie[0] = q.r.id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
	if (send(d->fd, &q, sizeof(q), MSG_DONTWAIT) < 0)
		return -errno;
	/* each receive makes the kernel look up the next part */
	while (r == LISTENER_PARSED_OTHER) {
		ssize_t n = recv(d->fd, buf, sizeof(buf), MSG_DONTWAIT);

		if (n < 0)
			return -errno;
		r = listener_dump_parse(buf, (size_t)n, d->seq, count);
	}
	return r;
}

int listener_count(struct listener_diag *d, uint8_t protocol, uint16_t port,
		   enum listener_which which, uint32_t *count)
{
	int r;

	*count = 0;
	if (d->fd < 0)
		return -EOPNOTSUPP;
	r = dump(d, AF_INET, protocol, port, which, count);
	if (r == 0)
		r = dump(d, AF_INET6, protocol, port, which, count);
	return r == -ENOENT ? -EOPNOTSUPP : r;
}
