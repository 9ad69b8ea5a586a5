/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Answers forged in the name of the service, for a peer whose packet the kernel no longer has. They
 * are built from the flow alone: what a context keeps of a connection attempt is enough.
 */
#include "core/packet.h"
#include "core/packet_bytes.h"
#include "base/buf.h"
#include <errno.h>
#include <string.h>

enum {
	TTL = 64,
	TOS_INTERNETWORK = 0xc0, /* precedence of ICMP errors (RFC 1812, 4.3.2.5) */
	ICMP4_ADMIN_PROHIBITED = 13,
	ICMP6_ADMIN_PROHIBITED = 1,
};

struct ip_fields {
	uint8_t proto, tos;
	uint16_t len; /* of what follows the header */
};

static bool is_multicast(const uint8_t addr[16], uint8_t family)
{
	return family == FLOW_V4 ? addr[0] >= 224 : addr[0] == 0xff; /* with 240/4 and broadcast */
}

static bool is_unspecified(const uint8_t addr[16])
{
	static const uint8_t zero[16];

	return !memcmp(addr, zero, sizeof(zero));
}

/* RFC 1122, 3.2.2 and 4.2.3.10: nothing is answered that was not from one host to one host. */
static bool answerable(const struct flow *f)
{
	if (f->family != FLOW_V4 && f->family != FLOW_V6)
		return false;
	return !is_multicast(f->src, f->family) && !is_multicast(f->dst, f->family) &&
	       !is_unspecified(f->src) && !is_unspecified(f->dst);
}

static void put_ip4(struct wbuf *b, const uint8_t *src, const uint8_t *dst,
		    const struct ip_fields *ip)
{
	uint8_t *header = b->p;

	wbuf_u8(b, 0x45);
	wbuf_u8(b, ip->tos);
	wbuf_be16(b, (uint16_t)(IP4_HEADER + ip->len));
	wbuf_be32(b, 0x4000); /* no identification, don't fragment */
	wbuf_u8(b, TTL);
	wbuf_u8(b, ip->proto);
	wbuf_be16(b, 0); /* checksum */
	wbuf_bytes(b, src, 4);
	wbuf_bytes(b, dst, 4);
	if (!b->bad)
		packet_sum_ip4(header);
}

static void put_ip6(struct wbuf *b, const uint8_t *src, const uint8_t *dst,
		    const struct ip_fields *ip)
{
	wbuf_be32(b, 0x60000000 | (uint32_t)ip->tos << 20);
	wbuf_be16(b, ip->len);
	wbuf_u8(b, ip->proto);
	wbuf_u8(b, TTL);
	wbuf_bytes(b, src, 16);
	wbuf_bytes(b, dst, 16);
}

static void put_ip(struct wbuf *b, uint8_t family, const uint8_t *src, const uint8_t *dst,
		   const struct ip_fields *ip)
{
	if (family == FLOW_V4)
		put_ip4(b, src, dst, ip);
	else
		put_ip6(b, src, dst, ip);
}

/* Checksums last: over the whole packet, by the code that mends other people's packets. */
static int finish(struct wbuf *b)
{
	int r = b->bad ? -EINVAL : packet_fix_checksum(b->start, wbuf_len(b));

	return r ? r : (int)wbuf_len(b);
}

int packet_make_reset(const struct flow *f, uint32_t isn, uint32_t extra,
		      uint8_t out[PACKET_ANSWER_MAX])
{
	const struct ip_fields ip = {.proto = IPPROTO_TCP, .len = TCP_HEADER};
	struct wbuf b = wbuf_of(out, PACKET_ANSWER_MAX);

	if (f->proto != IPPROTO_TCP || !answerable(f))
		return -EINVAL;
	put_ip(&b, f->family, f->dst, f->src, &ip);
	wbuf_be16(&b, f->dport);
	wbuf_be16(&b, f->sport);
	wbuf_be32(&b, 0);
	wbuf_be32(&b, isn + 1 + extra);
	wbuf_u8(&b, TCP_HEADER / 4 << 4);
	wbuf_u8(&b, TCP_RST | TCP_ACK);
	wbuf_zero(&b, 6); /* window, checksum, urgent pointer */
	return finish(&b);
}

static bool is_icmp(const struct flow *f)
{
	return f->proto == (f->family == FLOW_V4 ? IPPROTO_ICMP : IPPROTO_ICMPV6);
}

/* An error about an error must not be sent (RFC 1122, 3.2.2; RFC 4443, 2.4 e), so only echos. */
static bool is_echo_request(const struct flow *f)
{
	return f->dport >> 8 == (f->family == FLOW_V4 ? ICMP4_ECHO_REQUEST : ICMP6_ECHO_REQUEST);
}

static void quote_ports(struct wbuf *b, const struct flow *f)
{
	wbuf_be16(b, f->sport);
	wbuf_be16(b, f->dport);
}

/*
 * The first bytes of the opening packet's transport header, as far as they are known: enough for
 * the peer's stack to find its socket. SCTP finds it by the initiate tag of the INIT chunk when
 * the verification tag is 0 (RFC 9260, 10, rule 6), so that is quoted as well.
 */
static void quote_transport(struct wbuf *b, const struct flow *f, uint32_t isn)
{
	switch (f->proto) {
	case IPPROTO_TCP:
		quote_ports(b, f);
		wbuf_be32(b, isn);
		return;
	case IPPROTO_DCCP:
		quote_ports(b, f);
		wbuf_zero(b, 4); /* data offset, checksum */
		return;
	case IPPROTO_UDP:
	case IPPROTO_UDPLITE:
		quote_ports(b, f);
		wbuf_be16(b, UDP_HEADER);
		wbuf_be16(b, 0);
		return;
	case IPPROTO_SCTP:
		quote_ports(b, f);
		wbuf_zero(b, 8); /* verification tag, checksum */
		wbuf_be32(b, SCTP_CHUNK_INIT << 24 | SCTP_INIT_CHUNK);
		wbuf_be32(b, isn);
		return;
	default:
		wbuf_be16(b, is_icmp(f) ? f->dport : 0);
		wbuf_be16(b, 0);
		wbuf_be16(b, is_icmp(f) ? f->sport : 0);
		wbuf_be16(b, 0);
	}
}

/* What the opening packet's header will have announced at least. */
static uint16_t quoted_len(uint8_t proto)
{
	if (proto == IPPROTO_TCP)
		return TCP_HEADER;
	return proto == IPPROTO_SCTP ? SCTP_HEADER + SCTP_INIT_CHUNK : 8;
}

int packet_make_unreachable(const struct flow *f, uint32_t isn, uint8_t out[PACKET_ANSWER_MAX])
{
	bool v4 = f->family == FLOW_V4;
	uint16_t header = v4 ? IP4_HEADER : IP6_HEADER;
	uint16_t quote = f->proto == IPPROTO_SCTP ? SCTP_HEADER + 8 : 8;
	const struct ip_fields outer = {
		.proto = v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6,
		.tos = TOS_INTERNETWORK,
		.len = (uint16_t)(ICMP_HEADER + header + quote),
	};
	const struct ip_fields inner = {.proto = f->proto, .len = quoted_len(f->proto)};
	struct wbuf b = wbuf_of(out, PACKET_ANSWER_MAX);

	if (!answerable(f) || (is_icmp(f) && !is_echo_request(f)))
		return -EINVAL;
	put_ip(&b, f->family, f->dst, f->src, &outer);
	wbuf_be16(&b, v4 ? ICMP4_UNREACHABLE << 8 | ICMP4_ADMIN_PROHIBITED
			 : ICMP6_UNREACHABLE << 8 | ICMP6_ADMIN_PROHIBITED);
	wbuf_zero(&b, 6); /* checksum, unused */
	put_ip(&b, f->family, f->src, f->dst, &inner);
	quote_transport(&b, f, isn);
	return finish(&b);
}
