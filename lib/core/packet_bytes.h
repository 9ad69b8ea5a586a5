/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What packet.c, packet_sum.c and packet_make.c share: big-endian fields at an offset of a
 * header that was bounds-checked as a whole, and the numbers of the headers.
 */
#ifndef CORE_PACKET_BYTES_H
#define CORE_PACKET_BYTES_H

#include <netinet/in.h>
#include <stdint.h>

enum {
	IP4_HEADER = 20,
	IP6_HEADER = 40,
	TCP_HEADER = 20,
	UDP_HEADER = 8,
	ICMP_HEADER = 8,
	DCCP_HEADER = 12,
	SCTP_HEADER = 12,
	SCTP_INIT_CHUNK = 20,
};

enum { TCP_FIN = 0x01, TCP_SYN = 0x02, TCP_RST = 0x04, TCP_ACK = 0x10 };

enum { ICMP4_ECHO_REPLY = 0, ICMP4_UNREACHABLE = 3, ICMP4_ECHO_REQUEST = 8 };
enum { ICMP6_UNREACHABLE = 1, ICMP6_ECHO_REQUEST = 128, ICMP6_ECHO_REPLY = 129 };

enum { SCTP_CHUNK_INIT = 1 };

static inline uint16_t be16_at(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t be32_at(const uint8_t *p)
{
	return (uint32_t)be16_at(p) << 16 | be16_at(p + 2);
}

/* Compute the checksum of a whole IPv4 header (RFC 791), whose length field is at least 5. */
void packet_sum_ip4(uint8_t *header);

#endif
