/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Conntrack look-ups. See ct.h. */
#include "io/ct.h"
#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

struct ct {
	struct mnl_socket *sk;
	unsigned portid;
	uint32_t seq;
	char buf[32768];
};

int ct_open(struct ct **out)
{
	struct ct *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->sk = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (!c->sk || mnl_socket_bind(c->sk, 0, MNL_SOCKET_AUTOPID) < 0) {
		int r = -errno;

		ct_close(c);
		return r;
	}
	c->portid = mnl_socket_get_portid(c->sk);
	*out = c;
	return 0;
}

void ct_close(struct ct *c)
{
	if (!c)
		return;
	if (c->sk)
		mnl_socket_close(c->sk);
	free(c);
}

static void put_ip(struct nlmsghdr *nlh, const struct flow *f)
{
	struct nlattr *ip = mnl_attr_nest_start(nlh, CTA_TUPLE_IP);

	if (f->family == FLOW_V6) {
		mnl_attr_put(nlh, CTA_IP_V6_SRC, 16, f->src);
		mnl_attr_put(nlh, CTA_IP_V6_DST, 16, f->dst);
	} else {
		mnl_attr_put(nlh, CTA_IP_V4_SRC, 4, f->src);
		mnl_attr_put(nlh, CTA_IP_V4_DST, 4, f->dst);
	}
	mnl_attr_nest_end(nlh, ip);
}

static void put_proto(struct nlmsghdr *nlh, const struct flow *f)
{
	struct nlattr *proto = mnl_attr_nest_start(nlh, CTA_TUPLE_PROTO);
	bool v6 = f->proto == IPPROTO_ICMPV6;

	mnl_attr_put_u8(nlh, CTA_PROTO_NUM, f->proto);
	if (f->proto == IPPROTO_ICMP || v6) {
		mnl_attr_put_u16(nlh, v6 ? CTA_PROTO_ICMPV6_ID : CTA_PROTO_ICMP_ID,
				 htons(f->sport));
		mnl_attr_put_u8(nlh, v6 ? CTA_PROTO_ICMPV6_TYPE : CTA_PROTO_ICMP_TYPE,
				(uint8_t)(f->dport >> 8));
		mnl_attr_put_u8(nlh, v6 ? CTA_PROTO_ICMPV6_CODE : CTA_PROTO_ICMP_CODE,
				(uint8_t)f->dport);
	} else {
		mnl_attr_put_u16(nlh, CTA_PROTO_SRC_PORT, htons(f->sport));
		mnl_attr_put_u16(nlh, CTA_PROTO_DST_PORT, htons(f->dport));
	}
	mnl_attr_nest_end(nlh, proto);
}

static struct nlmsghdr *request(struct ct *c, uint16_t type, uint16_t flags, int family)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(c->buf);
	struct nfgenmsg *nfg;

	nlh->nlmsg_type = (uint16_t)(NFNL_SUBSYS_CTNETLINK << 8 | type);
	nlh->nlmsg_flags = NLM_F_REQUEST | flags;
	nlh->nlmsg_seq = ++c->seq;
	nfg = mnl_nlmsg_put_extra_header(nlh, sizeof(*nfg));
	nfg->nfgen_family = (uint8_t)family;
	nfg->version = NFNETLINK_V0;
	return nlh;
}

/* `which` of an entry's two this flow is, CTA_TUPLE_ORIG or CTA_TUPLE_REPLY. */
static struct nlmsghdr *flow_request(struct ct *c, uint16_t type, uint16_t flags, uint16_t which,
				     const struct flow *f)
{
	struct nlmsghdr *nlh = request(c, type, flags, f->family == FLOW_V6 ? AF_INET6 : AF_INET);
	struct nlattr *tuple;

	tuple = mnl_attr_nest_start(nlh, which);
	put_ip(nlh, f);
	put_proto(nlh, f);
	mnl_attr_nest_end(nlh, tuple);
	return nlh;
}

static void read_ip(const struct nlattr *nest, struct flow *f)
{
	struct nlattr *a;

	mnl_attr_for_each_nested(a, nest) {
		uint16_t type = mnl_attr_get_type(a), len = mnl_attr_get_payload_len(a);
		bool v6 = type == CTA_IP_V6_SRC || type == CTA_IP_V6_DST;
		bool src = type == CTA_IP_V4_SRC || type == CTA_IP_V6_SRC;

		if (len != (v6 ? 16 : 4))
			continue;
		f->family = v6 ? FLOW_V6 : FLOW_V4;
		memcpy(src ? f->src : f->dst, mnl_attr_get_payload(a), len);
	}
}

static void read_proto(const struct nlattr *nest, struct flow *f)
{
	struct nlattr *a;
	uint8_t type = 0, code = 0;

	mnl_attr_for_each_nested(a, nest) {
		size_t len = mnl_attr_get_payload_len(a);
		uint16_t t = mnl_attr_get_type(a);

		if (t == CTA_PROTO_NUM && len >= 1)
			f->proto = mnl_attr_get_u8(a);
		else if ((t == CTA_PROTO_SRC_PORT || t == CTA_PROTO_ICMP_ID ||
			  t == CTA_PROTO_ICMPV6_ID) &&
			 len >= 2)
			f->sport = ntohs(mnl_attr_get_u16(a));
		else if (t == CTA_PROTO_DST_PORT && len >= 2)
			f->dport = ntohs(mnl_attr_get_u16(a));
		else if ((t == CTA_PROTO_ICMP_TYPE || t == CTA_PROTO_ICMPV6_TYPE) && len >= 1)
			type = mnl_attr_get_u8(a);
		else if ((t == CTA_PROTO_ICMP_CODE || t == CTA_PROTO_ICMPV6_CODE) && len >= 1)
			code = mnl_attr_get_u8(a);
	}
	if (f->proto == IPPROTO_ICMP || f->proto == IPPROTO_ICMPV6)
		f->dport = (uint16_t)(type << 8 | code);
}

static void read_tuple(const struct nlattr *nest, struct flow *f)
{
	struct nlattr *a;

	mnl_attr_for_each_nested(a, nest) {
		if (mnl_attr_get_type(a) == CTA_TUPLE_IP)
			read_ip(a, f);
		else if (mnl_attr_get_type(a) == CTA_TUPLE_PROTO)
			read_proto(a, f);
	}
}

/* What the input and forward hooks see of it. */
static struct flow seen_of(const struct flow *orig, const struct flow *reply)
{
	struct flow seen = *orig;

	memcpy(seen.dst, reply->src, sizeof(seen.dst));
	if (orig->proto != IPPROTO_ICMP && orig->proto != IPPROTO_ICMPV6)
		seen.dport = reply->sport;
	return seen;
}

/* ---- one flow ---- */

static void read_protoinfo(const struct nlattr *nest, struct ct_info *info)
{
	struct nlattr *tcp, *a; /* not const: the macro casts it away */

	mnl_attr_for_each_nested(tcp, nest) {
		if (mnl_attr_get_type(tcp) != CTA_PROTOINFO_TCP)
			continue;
		mnl_attr_for_each_nested(a, tcp) {
			if (mnl_attr_get_type(a) == CTA_PROTOINFO_TCP_STATE &&
			    mnl_attr_get_payload_len(a) >= 1)
				info->tcp_state = mnl_attr_get_u8(a);
		}
	}
}

struct entry {
	struct ct_info *info;
	struct flow reply;
};

static int on_entry(const struct nlmsghdr *nlh, void *data)
{
	struct entry *e = data;
	struct ct_info *info = e->info;
	struct nlattr *a;

	mnl_attr_for_each(a, nlh, sizeof(struct nfgenmsg)) {
		uint16_t type = mnl_attr_get_type(a);

		if (type == CTA_STATUS && mnl_attr_get_payload_len(a) >= 4)
			info->status = ntohl(mnl_attr_get_u32(a));
		else if (type == CTA_MARK && mnl_attr_get_payload_len(a) >= 4)
			info->mark = ntohl(mnl_attr_get_u32(a));
		else if (type == CTA_PROTOINFO)
			read_protoinfo(a, info);
		else if (type == CTA_TUPLE_ORIG)
			read_tuple(a, &info->orig);
		else if (type == CTA_TUPLE_REPLY)
			read_tuple(a, &e->reply);
	}
	return MNL_CB_OK;
}

/* The entry one of whose tuples is `tuple`, if the hooks see it as that. */
static int find(struct ct *c, uint16_t which, const struct flow *tuple, const struct flow *seen,
		struct ct_info *info)
{
	struct nlmsghdr *nlh = flow_request(c, IPCTNL_MSG_CT_GET, 0, which, tuple);
	struct entry e = {.info = info};
	struct flow found;
	ssize_t n;

	*info = (struct ct_info){.mark = 0};
	if (mnl_socket_sendto(c->sk, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	n = mnl_socket_recvfrom(c->sk, c->buf, sizeof(c->buf));
	if (n < 0)
		return -errno;
	if (mnl_cb_run(c->buf, (size_t)n, c->seq, c->portid, on_entry, &e) < 0)
		return -errno;
	found = seen_of(&info->orig, &e.reply);
	return flow_equal(&found, seen) ? 0 : -ENOENT;
}

/*
 * The kernel finds an entry by either of its tuples, whichever is asked for. With its destination translated the
 * reply's is what we see, turned round; with its source translated the original's is what we see.
 */
int ct_get(struct ct *c, const struct flow *seen, struct ct_info *info)
{
	struct flow reply = flow_reverse(seen);
	int r = find(c, CTA_TUPLE_REPLY, &reply, seen, info);

	return r == -ENOENT ? find(c, CTA_TUPLE_ORIG, seen, seen, info) : r;
}

/* Send a change and read what the kernel says of it. */
static int change(struct ct *c, struct nlmsghdr *nlh)
{
	ssize_t n;

	if (mnl_socket_sendto(c->sk, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	n = mnl_socket_recvfrom(c->sk, c->buf, sizeof(c->buf));
	if (n < 0)
		return -errno;
	return mnl_cb_run(c->buf, (size_t)n, c->seq, c->portid, NULL, NULL) < 0 ? -errno : 0;
}

int ct_set_mark(struct ct *c, const struct flow *orig, uint32_t mark, uint32_t mask)
{
	struct nlmsghdr *nlh = flow_request(c, IPCTNL_MSG_CT_NEW, NLM_F_ACK, CTA_TUPLE_ORIG, orig);

	mnl_attr_put_u32(nlh, CTA_MARK, htonl(mark));
	mnl_attr_put_u32(nlh, CTA_MARK_MASK, htonl(mask));
	return change(c, nlh);
}

int ct_delete(struct ct *c, const struct flow *orig)
{
	return change(c, flow_request(c, IPCTNL_MSG_CT_DELETE, NLM_F_ACK, CTA_TUPLE_ORIG, orig));
}

/* ---- dumps ---- */

struct dump {
	uint32_t mark, mask;
	ct_flow_fn *fn;
	void *ctx;
};

static int on_flow(const struct nlmsghdr *nlh, void *data)
{
	const struct dump *d = data;
	struct ct_flow f = {.mark = 0};
	struct flow reply = {.family = 0};
	struct nlattr *a;

	mnl_attr_for_each(a, nlh, sizeof(struct nfgenmsg)) {
		uint16_t type = mnl_attr_get_type(a);

		if (type == CTA_TUPLE_ORIG)
			read_tuple(a, &f.orig);
		else if (type == CTA_TUPLE_REPLY)
			read_tuple(a, &reply);
		else if (type == CTA_MARK && mnl_attr_get_payload_len(a) >= 4)
			f.mark = ntohl(mnl_attr_get_u32(a));
	}
	/* An old kernel does not filter for us. */
	if ((f.mark & d->mask) != d->mark || !f.orig.family || f.orig.family != reply.family)
		return MNL_CB_OK;
	f.seen = seen_of(&f.orig, &reply);
	if (d->fn(d->ctx, &f))
		return MNL_CB_OK;
	errno = ECANCELED;
	return MNL_CB_ERROR;
}

int ct_dump(struct ct *c, uint32_t mark, uint32_t mask, ct_flow_fn *fn, void *ctx)
{
	struct dump d = {.mark = mark, .mask = mask, .fn = fn, .ctx = ctx};
	struct nlmsghdr *nlh = request(c, IPCTNL_MSG_CT_GET, NLM_F_DUMP, AF_UNSPEC);
	int r = MNL_CB_OK;

	mnl_attr_put_u32(nlh, CTA_MARK, htonl(mark));
	mnl_attr_put_u32(nlh, CTA_MARK_MASK, htonl(mask));
	if (mnl_socket_sendto(c->sk, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	/* The kernel fills the socket again whenever it is read: there is nothing to wait for. */
	while (r == MNL_CB_OK) {
		ssize_t n = mnl_socket_recvfrom(c->sk, c->buf, sizeof(c->buf));

		if (n < 0)
			return -errno;
		r = mnl_cb_run(c->buf, (size_t)n, c->seq, c->portid, on_flow, &d);
	}
	return r < 0 ? -errno : 0;
}
