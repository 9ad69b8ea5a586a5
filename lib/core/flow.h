/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The flow key: what a completion context is looked up by. The direction is that of the
 * packet which opened the flow (source = peer), as in the original tuple of conntrack.
 */
#ifndef CORE_FLOW_H
#define CORE_FLOW_H

#include "base/siphash.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FLOW_V4 = 4, FLOW_V6 = 6 };

/* All bytes are significant: padding must be zero (flow_init). Addresses are in network order;
 * an IPv4 address is the first 4 bytes and the other 12 are zero. */
struct flow {
	uint8_t src[16], dst[16];
	/* Host order. ICMP: dport = type << 8 | code, and of an echo sport = identifier. */
	uint16_t sport, dport;
	uint8_t family; /* FLOW_V4 or FLOW_V6 */
	uint8_t proto;  /* IANA protocol number of the transport header */
	uint16_t zero;
};

_Static_assert(sizeof(struct flow) == 40, "flow has padding");

uint32_t flow_hash(const struct flow *f, const struct siphash_key *key);
bool flow_equal(const struct flow *a, const struct flow *b);
/* The same flow seen from the other side: addresses and ports swapped. ICMP keeps its identifier,
 * an echo request becomes the reply and back, so that a reply's flow reversed is its request's. */
struct flow flow_reverse(const struct flow *f);

struct pend_info;
struct pend_values;
/*
 * What the opening packet of this flow is to a filter, as far as the key tells; all else is zero, and where that
 * may be wrong, said to be unknown: its mark, and of TCP the flags that do not make a SYN.
 */
void flow_values(const struct flow *f, struct pend_values *v);
/* What the packet was to it that a context began with: all of it is known. */
void flow_info_values(const struct pend_info *i, struct pend_values *v);

/* Is dst (or src) in 127/8 or ::1? */
bool flow_addr_loopback(const uint8_t addr[16], uint8_t family);
/* Does it mean another host on every link (RFC 4291, 2.5.6 and 2.7: scopes 1 and 2)? The route to such a one names any. */
bool flow_addr_link_scope(const uint8_t addr[16], uint8_t family);
/* Does addr match prefix/len? len at most 32 or 128. */
bool flow_addr_in(const uint8_t addr[16], const uint8_t prefix[16], unsigned len);
/* Zero all bits behind the first `len`. */
void flow_addr_mask(uint8_t addr[16], uint8_t family, unsigned len);

#define FLOW_ADDR_TEXT 46
/* Canonical text of an address (RFC 5952), the same with every libc; mapped IPv4 ends in dots. */
const char *flow_addr_print(const uint8_t addr[16], uint8_t family, char buf[FLOW_ADDR_TEXT]);
/* 0 or -EINVAL; fills all 16 bytes and the family. */
int flow_addr_parse(const char *s, uint8_t addr[16], uint8_t *family);

#define FLOW_TEXT 128
/* "tcp 203.0.113.7:4000 > 192.0.2.1:22", "icmp 203.0.113.7 > 192.0.2.1 echo-request id 7",
 * "tcp [2001:db8::7]:4000 > [2001:db8::1]:22"; protocols without a name by number. */
const char *flow_print(const struct flow *f, char buf[FLOW_TEXT]);
/* Reads what flow_print writes, and less: a port or identifier left out is 0, ICMP without a type
 * is an echo request. "icmp" is IPv4's and "icmpv6" IPv6's; the numbers 1 and 58 go with both.
 * 0 or -EINVAL; *out is untouched then. */
int flow_parse(const char *s, struct flow *out);

/* "tcp" ... or NULL; and back: a name or a decimal number, -1 if neither. */
const char *flow_proto_name(uint8_t proto);
int flow_proto_parse(const char *s);

#endif
