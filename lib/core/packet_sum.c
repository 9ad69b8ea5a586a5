/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Checksums: the Internet checksum (RFC 1071) with the pseudo-headers of IPv4 and IPv6, and the
 * CRC32c of SCTP (RFC 9260, appendix A). All sums are over big-endian words, so that they are the
 * same on every machine.
 */
#include "core/packet.h"
#include "core/packet_bytes.h"
#include <errno.h>
#include <string.h>

/* The one's complement sum is folded at the end: 64 bits hold 2^48 words. */
static uint64_t sum_bytes(uint64_t sum, const uint8_t *p, size_t len)
{
	for (; len >= 4; p += 4, len -= 4)
		sum += be32_at(p);
	if (len >= 2) {
		sum += be16_at(p);
		p += 2;
		len -= 2;
	}
	return len ? sum + ((uint64_t)*p << 8) : sum;
}

static uint16_t sum_finish(uint64_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

/* RFC 9293, 3.1 and RFC 8200, 8.1: one layout differs from the other in zeros only. */
static uint64_t sum_pseudo(const struct flow *f, uint32_t len)
{
	size_t addr = f->family == FLOW_V4 ? 4 : 16;
	uint64_t sum = sum_bytes(sum_bytes(0, f->src, addr), f->dst, addr);

	return sum + f->proto + len;
}

static void put_sum(uint8_t *field, uint16_t sum)
{
	field[0] = (uint8_t)(sum >> 8);
	field[1] = (uint8_t)sum;
}

static void fix_field(uint8_t *l4, uint32_t len, uint32_t field, uint64_t sum)
{
	put_sum(l4 + field, 0);
	put_sum(l4 + field, sum_finish(sum_bytes(sum, l4, len)));
}

/* The UDP length may be below the packet's. 0 on the wire means no checksum, so 0 is sent as ~0. */
static void fix_udp(const struct flow *f, uint8_t *l4)
{
	uint32_t len = be16_at(l4 + 4);

	fix_field(l4, len, 6, sum_pseudo(f, len));
	if (!be16_at(l4 + 6))
		put_sum(l4 + 6, 0xffff);
}

void packet_sum_ip4(uint8_t *header)
{
	fix_field(header, (header[0] & 0xf) * 4u, 10, 0);
}

/* CRC32c, reflected, four bits at a time: small, and only ever used for copies of our own. */
static uint32_t crc32c(uint32_t crc, const uint8_t *p, size_t len)
{
	static const uint32_t table[16] = {
		0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
		0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
		0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
	};

	while (len--) {
		crc ^= *p++;
		crc = crc >> 4 ^ table[crc & 0xf];
		crc = crc >> 4 ^ table[crc & 0xf];
	}
	return crc;
}

/* The one field of the Internet that travels with its least significant byte first. */
static void fix_sctp(uint8_t *l4, uint32_t len)
{
	uint32_t crc;

	memset(l4 + 8, 0, 4);
	crc = ~crc32c(UINT32_MAX, l4, len);
	for (unsigned i = 0; i < 4; i++)
		l4[8 + i] = (uint8_t)(crc >> 8 * i);
}

static int fix_transport(const struct packet *p, uint8_t *l4)
{
	const struct flow *f = &p->flow;
	uint32_t len = p->total - p->l4;

	switch ((enum packet_kind)p->kind) {
	case PACKET_TCP_SYN:
	case PACKET_TCP_RST:
	case PACKET_TCP_MID:
		fix_field(l4, len, 16, sum_pseudo(f, len));
		return 0;
	case PACKET_UDP:
		if (f->proto == IPPROTO_UDP)
			fix_udp(f, l4);
		return 0;
	case PACKET_ICMP_ECHO:
	case PACKET_ICMP_OTHER:
		fix_field(l4, len, 2, f->family == FLOW_V4 ? 0 : sum_pseudo(f, len));
		return 0;
	case PACKET_SCTP_INIT:
	case PACKET_SCTP_OTHER:
		fix_sctp(l4, len);
		return 0;
	case PACKET_OTHER:
		return -EINVAL;
	}
	return -EINVAL;
}

int packet_fix_checksum(uint8_t *data, size_t len)
{
	struct packet p;
	int r;

	if (packet_parse(&p, data, len) != PACKET_OK || p.more_frags || p.total > p.len)
		return -EINVAL;
	r = fix_transport(&p, data + p.l4);
	if (!r && p.flow.family == FLOW_V4)
		packet_sum_ip4(data);
	return r;
}
