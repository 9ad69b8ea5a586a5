/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A queued packet's bytes -> offsets and fields. A total function: every input, however
 * short or senseless, yields a result and never an access outside of the bytes given.
 *
 * The payload starts at the network header, as NFQUEUE delivers it (nfnetlink_queue.c).
 * Packets were reassembled by conntrack's defragmentation before they got here (L15), so a
 * fragment that does not start at offset 0 is PACKET_FRAGMENT and its flow has no ports.
 */
#ifndef CORE_PACKET_H
#define CORE_PACKET_H

#include "core/flow.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum packet_result {
	PACKET_OK = 0,
	PACKET_TRUNCATED, /* a header is not wholly there */
	PACKET_MALFORMED, /* a field contradicts another or the standard (version, header length, ...) */
	PACKET_FRAGMENT, /* a later fragment: addresses and protocol only */
};

/* What kind of opening a packet is: classify treats them alike, contexts do not. */
enum packet_kind {
	PACKET_OTHER = 0,  /* any protocol or packet that fits none below; DCCP, which has ports */
	PACKET_TCP_SYN,    /* SYN without ACK, RST, FIN; ECE, CWR, PSH, URG and data allowed */
	PACKET_TCP_RST,    /* RST, with or without ACK */
	PACKET_TCP_MID,    /* every other TCP segment */
	PACKET_UDP,        /* UDP and UDP-Lite */
	PACKET_ICMP_ECHO,  /* ICMP or ICMPv6 echo request */
	PACKET_ICMP_OTHER, /* any other ICMP or ICMPv6 message, errors included */
	PACKET_SCTP_INIT,  /* first chunk is INIT */
	PACKET_SCTP_OTHER,
};

struct packet {
	const uint8_t *data;
	uint32_t len; /* bytes present */
	uint32_t
		total; /* bytes the IP header announces, or has (BIG TCP); > len when the queue truncated it */
	struct flow flow;
	uint32_t isn;  /* TCP: sequence number; SCTP INIT: initiate tag; otherwise 0 */
	uint32_t ack;  /* TCP acknowledgement number */
	uint32_t hash; /* for the engine: pctx_hash() of the flow, once it was asked for; else 0 */
	uint16_t l4;   /* offset of the transport header, 0 if not reached */
	uint16_t payload; /* offset of what follows the transport header, 0 if not reached */
	uint8_t kind;     /* enum packet_kind */
	uint8_t tcp_flags;
	uint8_t ttl;
	uint8_t tos;
	uint8_t icmp_type, icmp_code;
	bool has_ports;   /* flow.sport and flow.dport are real ports */
	bool atomic_frag; /* IPv6 fragment header with offset 0 and no more fragments */
	bool more_frags;  /* the first of several fragments: later bytes are elsewhere */
};

/*
 * Fills *p as far as the bytes go. IPv6: walks hop-by-hop, routing, destination options,
 * fragment and AH headers to the transport, in any order, bounded by the bytes (a chain that never ends is
 * PACKET_TRUNCATED). All others end the chain as a protocol of their own, ESP and "no next header" among
 * them, and mobility, HIP and shim6, as they do in the kernel. A header that the packet is too short for is PACKET_TRUNCATED, whether
 * the queue cut it or its sender did (total tells which).
 */
enum packet_result packet_parse(struct packet *p, const void *data, size_t len);
/*
 * So it does with the first `len` bytes of a packet that the queue has cut and that had `whole`. That counts for what
 * is too long to say so in its header only (BIG TCP): total is this then, of any other what its header announces.
 */
enum packet_result packet_parse_cut(struct packet *p, const void *data, size_t len, size_t whole);

const char *packet_kind_name(enum packet_kind k);
const char *packet_result_name(enum packet_result r);

/*
 * Compute the transport checksum of a whole packet in place (TCP, UDP, ICMP, ICMPv6, SCTP's CRC32c;
 * UDP-Lite's is left alone) and the IPv4 header checksum. Needed for a copy that the kernel handed
 * over with its checksum not filled in (NFQA_SKB_CSUMNOTREADY). The addresses are those of the IP
 * header, as they are at the end of a source route. 0, or -EINVAL, and nothing is touched, when
 * the packet is cut, a fragment or of a protocol we cannot do.
 */
int packet_fix_checksum(uint8_t *data, size_t len);

/* ---- answers made by ourselves, for a peer whose packet is no longer in the kernel ---- */

#define PACKET_ANSWER_MAX 160

/*
 * The RST|ACK that a closed port would send to the SYN with this flow and ISN (RFC 9293,
 * 3.10.7.1): from flow.dst to flow.src, seq 0, ack isn + 1 (+ payload bytes of the SYN in `extra`).
 * A whole packet with checksums. Returns its length, or -EINVAL if the flow is not TCP or not
 * from one host to one host (RFC 1122, 4.2.3.10: multicast, broadcast, unspecified).
 */
int packet_make_reset(const struct flow *f, uint32_t isn, uint32_t extra,
		      uint8_t out[PACKET_ANSWER_MAX]);
/*
 * ICMP destination unreachable / administratively prohibited (type 3 code 13, ICMPv6 type 1
 * code 1) quoting a reconstructed IP header plus 8 bytes of transport header (TCP: ports and
 * sequence number; UDP: ports, length; ICMP echo: type, code, id), of SCTP 20, with the INIT's tag.
 * Returns its length, or -EINVAL where no error may be sent (RFC 1122, 3.2.2): for an ICMP message
 * that is not an echo request, and as above.
 */
int packet_make_unreachable(const struct flow *f, uint32_t isn, uint8_t out[PACKET_ANSWER_MAX]);

#endif
