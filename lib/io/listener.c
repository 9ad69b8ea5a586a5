/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Local sockets by what they would receive. See listener.h. */
#include "io/listener.h"
#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HOOK_UNKNOWN, HOOK_LOCAL_IN };
enum { STATE_SYN_RECV = 3, STATE_TIME_WAIT = 6, STATE_LISTEN = 10 };
enum { ATTR_CGROUP_ID = 21 }; /* INET_DIAG_CGROUP_ID, of Linux 5.8 */

#define STALE_MAX 8 /* answers to earlier questions that are read over */

struct request {
	struct nlmsghdr nlh;
	struct inet_diag_req_v2 r;
};

static void take_cgroup(const uint8_t *p, size_t len, struct listener_socket *out)
{
	struct nlattr a;

	while (len >= sizeof(a)) {
		size_t step;

		memcpy(&a, p, sizeof(a));
		if (a.nla_len < sizeof(a) || a.nla_len > len)
			return;
		if ((a.nla_type & NLA_TYPE_MASK) == ATTR_CGROUP_ID &&
		    a.nla_len >= sizeof(a) + sizeof(out->cgroup))
			memcpy(&out->cgroup, p + sizeof(a), sizeof(out->cgroup));
		step = NLA_ALIGN(a.nla_len);
		if (step > len)
			return;
		p += step;
		len -= step;
	}
}

static void take_socket(const struct inet_diag_msg *m, struct listener_socket *out)
{
	*out = (struct listener_socket){
		.cookie = (uint64_t)m->id.idiag_cookie[1] << 32 | m->id.idiag_cookie[0],
		.uid = m->idiag_uid,
		.inode = m->idiag_inode,
		.state = m->idiag_state,
	};
}

int listener_parse(const void *buf, size_t len, uint32_t seq, struct listener_socket *out)
{
	const uint8_t *body = (const uint8_t *)buf + NLMSG_HDRLEN;
	struct inet_diag_msg m;
	struct nlmsghdr nlh;
	int error;

	if (len < sizeof(nlh))
		return -EPROTO;
	memcpy(&nlh, buf, sizeof(nlh));
	if (nlh.nlmsg_len < NLMSG_HDRLEN || nlh.nlmsg_len > len)
		return -EPROTO;
	if (nlh.nlmsg_seq != seq)
		return LISTENER_PARSED_OTHER;
	len = nlh.nlmsg_len - NLMSG_HDRLEN;
	if (nlh.nlmsg_type == NLMSG_ERROR) {
		if (len < sizeof(error))
			return -EPROTO;
		memcpy(&error, body, sizeof(error));
		return error < 0 && error >= -4095 ? error : -EPROTO;
	}
	if (nlh.nlmsg_type != SOCK_DIAG_BY_FAMILY || len < sizeof(m))
		return -EPROTO;
	memcpy(&m, body, sizeof(m));
	take_socket(&m, out);
	take_cgroup(body + sizeof(m), len - sizeof(m), out);
	return LISTENER_PARSED;
}

static int ask(struct listener_diag *d, struct request *q, struct listener_socket *out)
{
	uint8_t buf[1024];
	int r = LISTENER_PARSED_OTHER;

	q->nlh.nlmsg_seq = ++d->seq;
	if (send(d->fd, q, sizeof(*q), MSG_DONTWAIT) < 0)
		return -errno;
	for (int i = 0; i < STALE_MAX && r == LISTENER_PARSED_OTHER; i++) {
		ssize_t n = recv(d->fd, buf, sizeof(buf), MSG_DONTWAIT);

		if (n < 0)
			return -errno;
		r = listener_parse(buf, (size_t)n, d->seq, out);
	}
	return r == LISTENER_PARSED_OTHER ? -EPROTO : r;
}

static void prepare(struct request *q, uint8_t family, uint8_t protocol)
{
	*q = (struct request){.nlh = {.nlmsg_len = sizeof(*q),
				      .nlmsg_type = SOCK_DIAG_BY_FAMILY,
				      .nlmsg_flags = NLM_F_REQUEST}};
	q->r.sdiag_family = family == 6 ? AF_INET6 : AF_INET;
	q->r.sdiag_protocol = protocol;
	q->r.idiag_states = UINT32_MAX;
	q->r.id.idiag_cookie[0] = q->r.id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
}

/* As the packet has it. TCP names the socket's side "src"; UDP the packet's: udp_dump_one() of
 * the kernel says that they are swapped for historical reasons. */
static void by_packet(struct request *q, const struct pend_values *v)
{
	struct inet_diag_sockid *id = &q->r.id;
	size_t len = v->family == 6 ? 16 : 4;
	bool tcp = v->protocol == IPPROTO_TCP;

	prepare(q, v->family, v->protocol);
	id->idiag_if = v->in_interface;
	memcpy(id->idiag_src, tcp ? v->dest : v->source, len);
	memcpy(id->idiag_dst, tcp ? v->source : v->dest, len);
	id->idiag_sport = htons(tcp ? v->dest_port : v->source_port);
	id->idiag_dport = htons(tcp ? v->source_port : v->dest_port);
}

/* From nobody: only a socket that listens is found. */
static void from_nobody(struct request *q)
{
	memset(q->r.id.idiag_dst, 0, sizeof(q->r.id.idiag_dst));
	q->r.id.idiag_dport = 0;
}

/* What is left of a connection, or has only begun, has no owner to be told of. */
static bool has_owner(const struct listener_socket *s)
{
	return s->state != STATE_SYN_RECV && s->state != STATE_TIME_WAIT;
}

/* By the exact tuple first: of several sockets on one port (SO_REUSEPORT) it finds the one that
 * the packet will. */
static int find_tcp(struct listener_diag *d, const struct pend_values *v,
		    struct listener_socket *out)
{
	struct listener_socket own;
	struct request q;
	int r;

	by_packet(&q, v);
	r = ask(d, &q, out);
	if (r || out->state == STATE_LISTEN)
		return r;
	own = *out;
	from_nobody(&q);
	r = ask(d, &q, out);
	if (r != -ENOENT || !has_owner(&own))
		return r;
	*out = own;
	return 0;
}

static int find_udp(struct listener_diag *d, const struct pend_values *v,
		    struct listener_socket *out)
{
	struct request q;

	by_packet(&q, v);
	return ask(d, &q, out);
}

static enum classify_listener_state state_of(int r)
{
	return r == 0 ? LISTENER_FOUND : r == -ENOENT ? LISTENER_NONE : LISTENER_UNKNOWN;
}

enum classify_listener_state listener_find(struct listener_diag *d, const struct pend_values *v,
					   struct listener_socket *out)
{
	if (v->hook == HOOK_UNKNOWN)
		return LISTENER_UNKNOWN;
	if (v->hook != HOOK_LOCAL_IN)
		return LISTENER_NONE;
	switch (v->protocol) {
	case IPPROTO_TCP:
		return d->tcp ? state_of(find_tcp(d, v, out)) : LISTENER_UNKNOWN;
	case IPPROTO_UDP:
		return d->udp ? state_of(find_udp(d, v, out)) : LISTENER_UNKNOWN;
	case IPPROTO_UDPLITE:
		return d->udplite ? state_of(find_udp(d, v, out)) : LISTENER_UNKNOWN;
	case IPPROTO_SCTP:
	case IPPROTO_DCCP:
		return LISTENER_UNKNOWN;
	default:
		return LISTENER_NONE;
	}
}

/* "No such socket" and "no such protocol" are one error, but not for a list: here one of no
 * socket. */
static bool can_tell(struct listener_diag *d, uint8_t protocol)
{
	uint8_t buf[4096];
	struct nlmsghdr nlh;
	struct request q;
	int error = -1;
	ssize_t n;

	prepare(&q, 4, protocol);
	q.nlh.nlmsg_seq = ++d->seq;
	q.nlh.nlmsg_flags |= NLM_F_DUMP;
	q.r.idiag_states = 0;
	if (send(d->fd, &q, sizeof(q), 0) < 0)
		return false;
	n = recv(d->fd, buf, sizeof(buf), 0);
	if (n < (ssize_t)(NLMSG_HDRLEN + sizeof(error)))
		return false;
	memcpy(&nlh, buf, sizeof(nlh));
	memcpy(&error, buf + NLMSG_HDRLEN, sizeof(error));
	return nlh.nlmsg_type == NLMSG_DONE && error == 0;
}

void listener_open(struct listener_diag *d)
{
	*d = (struct listener_diag){
		.fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK,
			     NETLINK_SOCK_DIAG),
	};
	if (d->fd < 0)
		return;
	d->tcp = can_tell(d, IPPROTO_TCP);
	d->udp = can_tell(d, IPPROTO_UDP);
	d->udplite = can_tell(d, IPPROTO_UDPLITE);
}

void listener_close(struct listener_diag *d)
{
	if (d->fd >= 0)
		close(d->fd);
	*d = (struct listener_diag){.fd = -1};
}
