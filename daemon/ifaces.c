/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Interface names. See ifaces.h. */
#include "daemon/ifaces.h"
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static size_t table_size(uint32_t n)
{
	return sizeof(struct classify_ifaces) + n * sizeof(struct classify_iface);
}

static int by_index(const void *a, const void *b)
{
	const struct classify_iface *x = a, *y = b;

	return x->index < y->index ? -1 : x->index > y->index;
}

struct classify_ifaces *ifaces_read(void)
{
	struct if_nameindex *list = if_nameindex();
	struct classify_ifaces *t;
	uint32_t n = 0;

	if (!list)
		return NULL;
	while (list[n].if_index)
		n++;
	t = calloc(1, table_size(n));
	for (uint32_t i = 0; t && i < n; i++) {
		t->iface[i].index = list[i].if_index;
		strncpy(t->iface[i].name, list[i].if_name, sizeof(t->iface[i].name) - 1);
	}
	if (t) {
		t->n = n;
		qsort(t->iface, n, sizeof(t->iface[0]), by_index);
	}
	if_freenameindex(list);
	return t;
}

struct classify_ifaces *ifaces_copy(const struct classify_ifaces *t)
{
	struct classify_ifaces *copy = malloc(table_size(t->n));

	if (copy)
		memcpy(copy, t, table_size(t->n));
	return copy;
}

int ifaces_watch(void)
{
	struct sockaddr_nl nl = {.nl_family = AF_NETLINK,
				 .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR |
					      RTMGRP_IPV6_IFADDR};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
	int r;

	if (fd < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&nl, sizeof(nl)) == 0)
		return fd;
	r = -errno;
	close(fd);
	return r;
}

void ifaces_watch_routes(int fd, bool on)
{
	static const int groups[] = {RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE, RTNLGRP_IPV4_RULE,
				     RTNLGRP_IPV6_RULE};
	int what = on ? NETLINK_ADD_MEMBERSHIP : NETLINK_DROP_MEMBERSHIP;

	for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++)
		setsockopt(fd, SOL_NETLINK, what, &groups[i], sizeof(groups[i]));
}

static unsigned kind_of(uint16_t type)
{
	switch (type) {
	case RTM_NEWLINK:
	case RTM_DELLINK:
		return IFACES_LINK;
	case RTM_NEWADDR:
	case RTM_DELADDR:
		return IFACES_ADDRESS;
	case RTM_NEWROUTE:
	case RTM_DELROUTE:
	case RTM_NEWRULE:
	case RTM_DELRULE:
		return IFACES_ROUTE;
	default:
		return 0;
	}
}

unsigned ifaces_drain(int fd)
{
	char buf[8192] __attribute__((aligned(8)));
	unsigned kinds = 0;

	for (;;) {
		ssize_t n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);

		if (n < 0 && errno == ENOBUFS)
			kinds = IFACES_LINK | IFACES_ADDRESS | IFACES_ROUTE;
		else if (n < 0 && errno != EINTR)
			return kinds;
		/* one event each, but for dumps, which nobody asks for here */
		else if (n >= (ssize_t)sizeof(struct nlmsghdr))
			kinds |= kind_of(((const struct nlmsghdr *)(const void *)buf)->nlmsg_type);
	}
}

/* ---- the digest: a sum over all, for the kernel tells them in any order ---- */

struct digest {
	uint64_t sum;
};

static uint64_t mix(uint64_t h, const void *data, size_t n)
{
	const uint8_t *p = data;

	for (size_t i = 0; i < n; i++)
		h = (h ^ p[i]) * 1099511628211ull;
	return h ^ h >> 29;
}

static int on_link(const struct nlmsghdr *nlh, void *data)
{
	const struct ifinfomsg *m = mnl_nlmsg_get_payload(nlh);
	struct digest *d = data;
	struct nlattr *a;
	uint64_t h;

	if (nlh->nlmsg_type != RTM_NEWLINK)
		return MNL_CB_OK;
	h = mix(14695981039346656037ull, &m->ifi_index, sizeof(m->ifi_index));
	mnl_attr_for_each(a, nlh, sizeof(*m)) {
		uint16_t type = mnl_attr_get_type(a);

		if (type == IFLA_IFNAME || type == IFLA_MASTER)
			h = mix(h ^ type, mnl_attr_get_payload(a), mnl_attr_get_payload_len(a));
	}
	d->sum += h;
	return MNL_CB_OK;
}

static int on_address(const struct nlmsghdr *nlh, void *data)
{
	const struct ifaddrmsg *m = mnl_nlmsg_get_payload(nlh);
	struct digest *d = data;
	struct nlattr *a;
	uint64_t h;

	if (nlh->nlmsg_type != RTM_NEWADDR)
		return MNL_CB_OK;
	h = mix(7809847782465536322ull, &m->ifa_index, sizeof(m->ifa_index));
	h = mix(h, &m->ifa_prefixlen, sizeof(m->ifa_prefixlen));
	mnl_attr_for_each(a, nlh, sizeof(*m)) {
		uint16_t type = mnl_attr_get_type(a);

		if (type == IFA_ADDRESS || type == IFA_LOCAL)
			h = mix(h ^ type, mnl_attr_get_payload(a), mnl_attr_get_payload_len(a));
	}
	d->sum += h;
	return MNL_CB_OK;
}

static int dump(struct mnl_socket *sk, uint16_t type, size_t header, mnl_cb_t fn, struct digest *d)
{
	char buf[32768] __attribute__((aligned(8)));
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	int r = MNL_CB_OK;

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	nlh->nlmsg_seq = type;
	mnl_nlmsg_put_extra_header(nlh, header);
	if (mnl_socket_sendto(sk, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	while (r == MNL_CB_OK) {
		ssize_t n = mnl_socket_recvfrom(sk, buf, sizeof(buf));

		if (n < 0)
			return -errno;
		r = mnl_cb_run(buf, (size_t)n, type, mnl_socket_get_portid(sk), fn, d);
	}
	return r < 0 ? -errno : 0;
}

uint64_t ifaces_digest(void)
{
	struct mnl_socket *sk = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	struct digest d = {.sum = 1};
	int r = -1;

	if (!sk)
		return 0;
	if (mnl_socket_bind(sk, 0, MNL_SOCKET_AUTOPID) == 0)
		r = dump(sk, RTM_GETLINK, sizeof(struct ifinfomsg), on_link, &d);
	if (!r)
		r = dump(sk, RTM_GETADDR, sizeof(struct ifaddrmsg), on_address, &d);
	mnl_socket_close(sk);
	return r ? 0 : d.sum;
}
