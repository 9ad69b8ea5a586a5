/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Parsing. Every header is taken from a bounded reader as a whole and only then looked at,
 * so no field is read that is not there. The reader ends where the IP header says that the packet
 * ends, or where the bytes do: what a link layer padded is never part of a header.
 */
#include "core/packet.h"
#include "core/packet_bytes.h"
#include "base/buf.h"
#include <string.h>

enum {
	FRAG_MORE_V4 = 0x2000,
	FRAG_OFFSET_V4 = 0x1fff,
	FRAG_MORE_V6 = 0x0001,
	FRAG_OFFSET_V6 = 0xfff8
};

static uint16_t offset(const struct packet *p, const struct rbuf *b)
{
	return (uint16_t)(b->p - p->data); /* bound() keeps it below 64 KiB */
}

/*
 * End the reader at p->total, which is not before its cursor, and at what a 16-bit offset can
 * name: no header is that far in.
 */
static void bound(const struct packet *p, struct rbuf *b)
{
	uint32_t end = p->total < p->len ? p->total : p->len;

	b->end = p->data + (end < UINT16_MAX ? end : UINT16_MAX);
}

/* Bytes from the transport header on, by the IP header. */
static uint32_t transport_len(const struct packet *p)
{
	return p->total - p->l4;
}

static void take_ports(struct packet *p, const uint8_t *h)
{
	p->flow.sport = be16_at(h);
	p->flow.dport = be16_at(h + 2);
	p->has_ports = true;
}

static uint8_t tcp_kind(uint8_t flags)
{
	if (flags & TCP_RST)
		return PACKET_TCP_RST;
	if ((flags & (TCP_SYN | TCP_ACK | TCP_FIN)) == TCP_SYN)
		return PACKET_TCP_SYN;
	return PACKET_TCP_MID;
}

static enum packet_result parse_tcp(struct packet *p, struct rbuf *b)
{
	const uint8_t *h = rbuf_take(b, TCP_HEADER);
	unsigned len;

	if (!h)
		return PACKET_TRUNCATED;
	take_ports(p, h);
	p->isn = be32_at(h + 4);
	p->ack = be32_at(h + 8);
	p->tcp_flags = h[13];
	p->kind = tcp_kind(h[13]);
	len = (h[12] >> 4) * 4u;
	if (len < TCP_HEADER)
		return PACKET_MALFORMED;
	if (len > transport_len(p) && !p->more_frags)
		return PACKET_MALFORMED;
	if (!rbuf_take(b, len - TCP_HEADER))
		return PACKET_TRUNCATED;
	p->payload = offset(p, b);
	return PACKET_OK;
}

/*
 * The length of UDP (RFC 768), or UDP-Lite's coverage in its place (RFC 3828: 0 is all). That
 * of a first fragment speaks of bytes that are elsewhere.
 */
static bool udp_length_ok(const struct packet *p, uint16_t len)
{
	if (len < UDP_HEADER)
		return !len && p->flow.proto == IPPROTO_UDPLITE;
	return p->more_frags || len <= transport_len(p);
}

static enum packet_result parse_udp(struct packet *p, struct rbuf *b)
{
	const uint8_t *h = rbuf_take(b, UDP_HEADER);

	if (!h)
		return PACKET_TRUNCATED;
	take_ports(p, h);
	p->kind = PACKET_UDP;
	if (!udp_length_ok(p, be16_at(h + 4)))
		return PACKET_MALFORMED;
	p->payload = offset(p, b);
	return PACKET_OK;
}

/* Only an echo has an identifier that belongs to the flow; a reply's key is the reversed one. */
static enum packet_result parse_icmp(struct packet *p, struct rbuf *b, uint8_t request,
				     uint8_t reply)
{
	const uint8_t *h = rbuf_take(b, ICMP_HEADER);

	if (!h)
		return PACKET_TRUNCATED;
	p->icmp_type = h[0];
	p->icmp_code = h[1];
	p->flow.dport = be16_at(h);
	if (h[0] == request || h[0] == reply)
		p->flow.sport = be16_at(h + 4);
	p->kind = h[0] == request ? PACKET_ICMP_ECHO : PACKET_ICMP_OTHER;
	p->payload = offset(p, b);
	return PACKET_OK;
}

/* RFC 9260, 3.3.2: the chunk's header, then the initiate tag. */
static enum packet_result parse_sctp_init(struct packet *p, struct rbuf *b)
{
	const uint8_t *h = rbuf_take(b, SCTP_INIT_CHUNK);

	if (!h)
		return PACKET_TRUNCATED;
	p->kind = PACKET_SCTP_INIT;
	p->isn = be32_at(h + 4);
	return be16_at(h + 2) < SCTP_INIT_CHUNK ? PACKET_MALFORMED : PACKET_OK;
}

static enum packet_result parse_sctp(struct packet *p, struct rbuf *b)
{
	const uint8_t *h = rbuf_take(b, SCTP_HEADER);

	if (!h)
		return PACKET_TRUNCATED;
	take_ports(p, h);
	p->payload = offset(p, b);
	p->kind = PACKET_SCTP_OTHER;
	if (!rbuf_left(b))
		return PACKET_TRUNCATED;
	return *b->p == SCTP_CHUNK_INIT ? parse_sctp_init(p, b) : PACKET_OK;
}

/* RFC 4340, 5.1. By its ports alone: a Request that comes again has another sequence number. */
static enum packet_result parse_dccp(struct packet *p, struct rbuf *b)
{
	const uint8_t *h = rbuf_take(b, DCCP_HEADER);
	unsigned len;

	if (!h)
		return PACKET_TRUNCATED;
	take_ports(p, h);
	len = h[4] * 4u;
	if (len < DCCP_HEADER || (len > transport_len(p) && !p->more_frags))
		return PACKET_MALFORMED;
	if (!rbuf_take(b, len - DCCP_HEADER))
		return PACKET_TRUNCATED;
	p->payload = offset(p, b);
	return PACKET_OK;
}

static enum packet_result parse_transport(struct packet *p, struct rbuf *b)
{
	p->l4 = offset(p, b);
	switch (p->flow.proto) {
	case IPPROTO_TCP:
		return parse_tcp(p, b);
	case IPPROTO_UDP:
	case IPPROTO_UDPLITE:
		return parse_udp(p, b);
	case IPPROTO_SCTP:
		return parse_sctp(p, b);
	case IPPROTO_DCCP:
		return parse_dccp(p, b);
	case IPPROTO_ICMP:
		if (p->flow.family == FLOW_V4)
			return parse_icmp(p, b, ICMP4_ECHO_REQUEST, ICMP4_ECHO_REPLY);
		return PACKET_OK;
	case IPPROTO_ICMPV6:
		if (p->flow.family == FLOW_V6)
			return parse_icmp(p, b, ICMP6_ECHO_REQUEST, ICMP6_ECHO_REPLY);
		return PACKET_OK;
	default:
		return PACKET_OK; /* by number only */
	}
}

/*
 * What the kernel put together of the segments of one flow may be longer than its header can say, which is 0 then
 * (BIG TCP: iph_set_totlen(); for IPv6 kernels do it with a jumbo option or without).
 * Nothing else is that long: no link carries such a packet. What is short and says 0 is no such thing.
 */
static bool is_big(const struct packet *p, uint16_t said, uint32_t header)
{
	return !said && p->total > header + UINT16_MAX;
}

/* ... and nobody makes one that opens or resets a connection. */
static enum packet_result parse_big(struct packet *p, struct rbuf *b)
{
	enum packet_result r = p->flow.proto == IPPROTO_TCP ? parse_transport(p, b)
							    : PACKET_MALFORMED;

	return r == PACKET_OK && p->kind != PACKET_TCP_MID ? PACKET_MALFORMED : r;
}

static enum packet_result parse_v4(struct packet *p, struct rbuf *b)
{
	const uint8_t *h = rbuf_take(b, IP4_HEADER);
	unsigned header;
	uint16_t frag;
	bool big;

	if (!h)
		return PACKET_TRUNCATED;
	p->tos = h[1];
	p->ttl = h[8];
	p->flow.family = FLOW_V4;
	p->flow.proto = h[9];
	memcpy(p->flow.src, h + 12, 4);
	memcpy(p->flow.dst, h + 16, 4);
	header = (h[0] & 0xf) * 4u;
	big = is_big(p, be16_at(h + 2), 0);
	if (!big)
		p->total = be16_at(h + 2);
	if (header < IP4_HEADER || p->total < header)
		return PACKET_MALFORMED;
	bound(p, b);
	if (!rbuf_take(b, header - IP4_HEADER))
		return PACKET_TRUNCATED;
	frag = be16_at(h + 6);
	if (frag & FRAG_OFFSET_V4)
		return PACKET_FRAGMENT;
	p->more_frags = frag & FRAG_MORE_V4;
	return big ? parse_big(p, b) : parse_transport(p, b);
}

/*
 * Those that the kernel walks through (ipv6_ext_hdr() in net/ipv6/exthdrs_core.c), since conntrack and the rules
 * know the flow by what it finds behind them. Mobility (RFC 6275), HIP and shim6 are protocols to it.
 */
static bool is_extension(uint8_t proto)
{
	switch (proto) {
	case IPPROTO_HOPOPTS:
	case IPPROTO_ROUTING:
	case IPPROTO_DSTOPTS:
	case IPPROTO_FRAGMENT:
	case IPPROTO_AH:
		return true;
	default:
		return false;
	}
}

/* A fragment header (RFC 8200, 4.5). Offset 0 without more to come is a whole packet (RFC 6946). */
static enum packet_result step_fragment(struct packet *p, const uint8_t *h)
{
	uint16_t frag = be16_at(h + 2);

	if (frag & FRAG_OFFSET_V6)
		return PACKET_FRAGMENT;
	if (frag & FRAG_MORE_V6)
		p->more_frags = true;
	else
		p->atomic_frag = true;
	return PACKET_OK;
}

/* One extension header; flow.proto moves on to the next one. */
static enum packet_result step_extension(struct packet *p, struct rbuf *b)
{
	uint8_t proto = p->flow.proto;
	const uint8_t *h = rbuf_take(b, 8); /* none is shorter */
	unsigned more;

	if (!h)
		return PACKET_TRUNCATED;
	if (proto == IPPROTO_FRAGMENT) {
		p->flow.proto = h[0];
		return step_fragment(p, h);
	}
	/* AH counts in 4 bytes, less 2; all others in 8 bytes, less 1 (RFC 4302, 2.2; RFC 6564). */
	more = proto == IPPROTO_AH ? h[1] * 4u : h[1] * 8u;
	if (!rbuf_take(b, more))
		return PACKET_TRUNCATED;
	p->flow.proto = h[0];
	return PACKET_OK;
}

static enum packet_result parse_v6(struct packet *p, struct rbuf *b)
{
	const uint8_t *h = rbuf_take(b, IP6_HEADER);
	enum packet_result r;
	bool big;

	if (!h)
		return PACKET_TRUNCATED;
	p->tos = (uint8_t)(be16_at(h) >> 4);
	p->ttl = h[7];
	p->flow.family = FLOW_V6;
	p->flow.proto = h[6];
	memcpy(p->flow.src, h + 8, 16);
	memcpy(p->flow.dst, h + 24, 16);
	big = is_big(p, be16_at(h + 4), IP6_HEADER);
	if (!big)
		p->total = IP6_HEADER + be16_at(h + 4);
	bound(p, b);
	while (is_extension(p->flow.proto)) {
		r = step_extension(p, b);
		if (r != PACKET_OK)
			return r;
	}
	return big ? parse_big(p, b) : parse_transport(p, b);
}

enum packet_result packet_parse(struct packet *p, const void *data, size_t len)
{
	return packet_parse_cut(p, data, len, len);
}

enum packet_result packet_parse_cut(struct packet *p, const void *data, size_t len, size_t whole)
{
	struct rbuf b;

	*p = (struct packet){.data = data,
			     .len = len < UINT32_MAX ? (uint32_t)len : UINT32_MAX,
			     .total = whole < UINT32_MAX ? (uint32_t)whole : UINT32_MAX};
	if (!len)
		return PACKET_TRUNCATED;
	b = rbuf_of(data, p->len);
	switch (p->data[0] >> 4) {
	case 4:
		return parse_v4(p, &b);
	case 6:
		return parse_v6(p, &b);
	default:
		return PACKET_MALFORMED;
	}
}

const char *packet_kind_name(enum packet_kind k)
{
	switch (k) {
	case PACKET_OTHER:
		return "other";
	case PACKET_TCP_SYN:
		return "tcp-syn";
	case PACKET_TCP_RST:
		return "tcp-rst";
	case PACKET_TCP_MID:
		return "tcp";
	case PACKET_UDP:
		return "udp";
	case PACKET_ICMP_ECHO:
		return "icmp-echo";
	case PACKET_ICMP_OTHER:
		return "icmp";
	case PACKET_SCTP_INIT:
		return "sctp-init";
	case PACKET_SCTP_OTHER:
		return "sctp";
	}
	return "unknown";
}

const char *packet_result_name(enum packet_result r)
{
	switch (r) {
	case PACKET_OK:
		return "ok";
	case PACKET_TRUNCATED:
		return "truncated";
	case PACKET_MALFORMED:
		return "malformed";
	case PACKET_FRAGMENT:
		return "fragment";
	}
	return "unknown";
}
