/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Netlink messages of the queue. See nfqueue_parse.h. */
#include "io/nfqueue_parse.h"
#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <libnetfilter_queue/libnetfilter_queue.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <string.h>

enum { PROTO_TCP = 6 };

static uint32_t attr_u32(const struct nlattr *a)
{
	return a && mnl_attr_get_payload_len(a) >= 4 ? ntohl(mnl_attr_get_u32(a)) : 0;
}

static bool parse_packet(const struct nlmsghdr *nlh, struct nfqueue_item *item)
{
	struct nlattr *a[NFQA_MAX + 1] = {0};
	const struct nfqnl_msg_packet_hdr *ph;
	struct engine_input *in = &item->in;

	if (nlh->nlmsg_len < NLMSG_LENGTH(sizeof(struct nfgenmsg)) || nfq_nlmsg_parse(nlh, a) < 0 ||
	    !a[NFQA_PACKET_HDR] || mnl_attr_get_payload_len(a[NFQA_PACKET_HDR]) < sizeof(*ph))
		return false;
	ph = mnl_attr_get_payload(a[NFQA_PACKET_HDR]);
	*in = (struct engine_input){
		.id = ntohl(ph->packet_id),
		.hook = ph->hook,
		.mark = attr_u32(a[NFQA_MARK]),
		.iif = attr_u32(a[NFQA_IFINDEX_INDEV]),
		.oif = attr_u32(a[NFQA_IFINDEX_OUTDEV]),
		.csum_pending = attr_u32(a[NFQA_SKB_INFO]) & NFQA_SKB_CSUMNOTREADY,
	};
	if (a[NFQA_PAYLOAD]) {
		in->data = mnl_attr_get_payload(a[NFQA_PAYLOAD]);
		in->len = mnl_attr_get_payload_len(a[NFQA_PAYLOAD]);
	}
	in->total = a[NFQA_CAP_LEN] ? attr_u32(a[NFQA_CAP_LEN]) : in->len;
	item->type = NFQ_PACKET;
	return true;
}

static int errno_of(const struct nlmsgerr *e)
{
	return e->error < -INT32_MAX ? INT32_MAX : -e->error;
}

/* The kernel's answer to a verdict quotes the verdict (netlink_ack). */
static bool parse_error(const struct nlmsghdr *nlh, struct nfqueue_item *item)
{
	const struct nlmsgerr *e = mnl_nlmsg_get_payload(nlh);
	const struct nfqnl_msg_verdict_hdr *vh;
	struct nlattr *a; /* not const: the macro casts it away */

	if (nlh->nlmsg_len < NLMSG_LENGTH(sizeof(*e)))
		return false;
	*item = (struct nfqueue_item){.type = NFQ_ERROR,
				      .seq = e->msg.nlmsg_seq,
				      .barrier = e->msg.nlmsg_pid,
				      .error = errno_of(e)};
	if (e->msg.nlmsg_type != (NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_VERDICT))
		return false;
	if (nlh->nlmsg_len < NLMSG_HDRLEN + sizeof(int) + e->msg.nlmsg_len ||
	    e->msg.nlmsg_len < NLMSG_LENGTH(sizeof(struct nfgenmsg)))
		return true; /* an acknowledgement quotes the header only */
	mnl_attr_for_each(a, &e->msg, sizeof(struct nfgenmsg)) {
		if (mnl_attr_get_type(a) != NFQA_VERDICT_HDR ||
		    mnl_attr_get_payload_len(a) < sizeof(*vh))
			continue;
		vh = mnl_attr_get_payload(a);
		item->id = ntohl(vh->id);
	}
	return true;
}

/* mnl_nlmsg_ok takes a length above INT_MAX for a negative one, and lets it pass. */
static bool is_whole(const struct nlmsghdr *nlh, size_t len)
{
	return mnl_nlmsg_ok(nlh, (int)(len > INT32_MAX ? INT32_MAX : len)) && nlh->nlmsg_len <= len;
}

bool nfqueue_parse_answer(const void *buf, size_t len, uint32_t seq, int *error)
{
	const struct nlmsghdr *nlh = buf;
	const struct nlmsgerr *e;

	if (!is_whole(nlh, len) || nlh->nlmsg_type != NLMSG_ERROR ||
	    nlh->nlmsg_len < NLMSG_LENGTH(sizeof(*e)))
		return false;
	e = mnl_nlmsg_get_payload(nlh);
	/* A verdict of whoever had the socket before may have had the same number. */
	if (e->msg.nlmsg_type != (NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_CONFIG) ||
	    e->msg.nlmsg_seq != seq)
		return false;
	*error = errno_of(e);
	return true;
}

int nfqueue_parse_message(const void *buf, size_t len, struct nfqueue_item *item)
{
	const struct nlmsghdr *nlh = buf;

	if (!is_whole(nlh, len))
		return 0;
	if (nlh->nlmsg_type == NLMSG_ERROR)
		return parse_error(nlh, item);
	if (nlh->nlmsg_type == (NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_PACKET))
		return parse_packet(nlh, item);
	return 0;
}

/* A cheap fingerprint of a datagram's flow; 0: TCP, or too short to have one. */
static uint32_t datagram_print(const struct engine_input *in)
{
	const uint8_t *p = in->data;
	uint32_t h = 2166136261u;
	unsigned from = 12, to = 24;

	if (in->len < 48 && (in->len < 24 || p[0] >> 4 == 6))
		return 0;
	if (p[0] >> 4 == 6) {
		from = 8;
		to = 44;
	}
	if (p[to == 44 ? 6 : 9] == PROTO_TCP)
		return 0;
	for (unsigned i = from; i < to; i++)
		h = (h ^ p[i]) * 16777619u;
	return h | 1;
}

void nfqueue_mark_stamps(struct nfqueue_item *items, unsigned n, bool drained)
{
	uint32_t later[NFQ_BATCH];
	unsigned k = 0;

	if (!drained)
		return;
	for (unsigned i = n; i-- > 0;) {
		uint32_t print;
		unsigned j = 0;

		if (items[i].type != NFQ_PACKET)
			continue;
		print = datagram_print(&items[i].in);
		if (!print)
			continue;
		while (j < k && later[j] != print)
			j++;
		items[i].in.stamp = j == k;
		if (j == k)
			later[k++] = print;
	}
}
