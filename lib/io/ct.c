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
	char buf[8192];
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

static struct nlmsghdr *get_request(struct ct *c, const struct flow *f)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(c->buf);
	struct nfgenmsg *nfg;
	struct nlattr *tuple;

	nlh->nlmsg_type = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET;
	nlh->nlmsg_flags = NLM_F_REQUEST;
	nlh->nlmsg_seq = ++c->seq;
	nfg = mnl_nlmsg_put_extra_header(nlh, sizeof(*nfg));
	nfg->nfgen_family = f->family == FLOW_V6 ? AF_INET6 : AF_INET;
	nfg->version = NFNETLINK_V0;
	tuple = mnl_attr_nest_start(nlh, CTA_TUPLE_ORIG);
	put_ip(nlh, f);
	put_proto(nlh, f);
	mnl_attr_nest_end(nlh, tuple);
	return nlh;
}

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

static int on_entry(const struct nlmsghdr *nlh, void *data)
{
	struct ct_info *info = data;
	struct nlattr *a;

	mnl_attr_for_each(a, nlh, sizeof(struct nfgenmsg)) {
		uint16_t type = mnl_attr_get_type(a);

		if (type == CTA_STATUS && mnl_attr_get_payload_len(a) >= 4)
			info->status = ntohl(mnl_attr_get_u32(a));
		else if (type == CTA_MARK && mnl_attr_get_payload_len(a) >= 4)
			info->mark = ntohl(mnl_attr_get_u32(a));
		else if (type == CTA_PROTOINFO)
			read_protoinfo(a, info);
	}
	return MNL_CB_OK;
}

int ct_get(struct ct *c, const struct flow *f, struct ct_info *info)
{
	struct nlmsghdr *nlh = get_request(c, f);
	ssize_t n;

	*info = (struct ct_info){0};
	if (mnl_socket_sendto(c->sk, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	n = mnl_socket_recvfrom(c->sk, c->buf, sizeof(c->buf));
	if (n < 0)
		return -errno;
	if (mnl_cb_run(c->buf, (size_t)n, c->seq, c->portid, on_entry, info) < 0)
		return -errno;
	return 0;
}
