/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the hookup does to packets, written once. hook_nft.c puts these rules into the kernel,
 * hook_text.c writes them as text for nft and for iptables-restore.
 *
 * A rule holds when every match named in `match` holds. Marks are our eight bits (core/mark.h), not
 * whole marks.
 */
#ifndef IO_HOOK_RULES_H
#define IO_HOOK_RULES_H

#include <stdbool.h>
#include <stdint.h>

#include "core/mark.h"

enum {
	HOOK_M_MARK = 1u << 0,     /* (mark & mark_mask) == mark */
	HOOK_M_MARK_NOT = 1u << 1, /* mark != mark_not */
	HOOK_M_CT_MARK = 1u << 2,  /* (ct mark & ct_mask) == ct_mark */
	HOOK_M_CT_VALID = 1u << 3, /* ct mark is PERMIT of a valid epoch */
	HOOK_M_LO = 1u << 4,       /* came in over lo */
	HOOK_M_STATE = 1u << 5,    /* conntrack state is one of `state` */
	HOOK_M_TCP = 1u << 6,
	HOOK_M_FLAGS = 1u << 7,     /* TCP: (flags & flags_mask) == flags */
	HOOK_M_FLAGS_NOT = 1u << 8, /* TCP: (flags & flags_mask) != flags */
	HOOK_M_ICMP = 1u << 9,      /* IPv4: ICMP other than echo request */
	HOOK_M_ICMP6 = 1u << 10,    /* IPv6: ICMPv6 other than echo request */
	HOOK_M_DST = 1u << 11,      /* the destination address is of type `dst` */
	HOOK_M_DNAT = 1u << 12,     /* conntrack has translated the destination */
	HOOK_M_ORIGINAL = 1u << 13, /* in the direction of the packet that opened the flow */
	HOOK_M_REPLY = 1u << 14,    /* against it */
	HOOK_M_DECIDED = 1u << 15,  /* nft only: its addresses and port are in the set `set` */
	HOOK_M_UDP = 1u << 16,      /* nft only */
};

/* Of connections that are decided already, by interface, addresses, protocol and destination port. */
enum hook_set {
	HOOK_SET_PERMIT4,
	HOOK_SET_PERMIT6,
	HOOK_SET_DROP4,
	HOOK_SET_DROP6,
	HOOK_SET_RESET4,
	HOOK_SET_RESET6,
	HOOK_SET_UNREACH4,
	HOOK_SET_UNREACH6,
	HOOK_SET_COUNT,
};

static inline bool hook_set_is_v6(enum hook_set set)
{
	return set & 1;
}

/* RTN_* of linux/rtnetlink.h, as the kernel's fib answers. */
enum hook_dst { HOOK_DST_BROADCAST = 3, HOOK_DST_MULTICAST = 5 };

/* The bits that nf_tables uses (NF_CT_STATE_BIT). */
enum {
	HOOK_CT_INVALID = 1u << 0,
	HOOK_CT_ESTABLISHED = 1u << 1,
	HOOK_CT_RELATED = 1u << 2,
	HOOK_CT_NEW = 1u << 3,
	HOOK_CT_UNTRACKED = 1u << 6,
};

enum hook_do {
	HOOK_DO_ACCEPT, /* nft: accept; iptables: RETURN, so that the table's other rules still run */
	HOOK_DO_DROP,
	HOOK_DO_QUEUE,
	HOOK_DO_QUEUE_OR_PASS, /* nft only: goes on when nobody takes packets from the queue */
	HOOK_DO_RESET,         /* nft only */
	HOOK_DO_UNREACH,       /* nft only */
	HOOK_DO_STAMP,         /* ct mark = mark, bits outside of the mask kept; goes on */
	HOOK_DO_MARK,          /* our bits of the packet's mark = mark; goes on */
	HOOK_DO_CLEAR,         /* our bits of the packet's mark = 0; goes on */
	HOOK_DO_GOTO_STAMP,    /* iptables only: continue in HOOK_CHAIN_PERMIT, do not come back */
	HOOK_DO_GOTO_PASS,     /* iptables only: continue in HOOK_CHAIN_PASS, do not come back */
	HOOK_DO_JUMP_DECIDED,  /* nft only: to HOOK_CHAIN_DECIDED, and come back */
};

struct hook_rule {
	unsigned match;
	enum hook_do action;
	uint8_t mark, mark_mask, mark_not;
	uint8_t ct_mark, ct_mask;
	uint8_t flags, flags_mask;
	uint8_t state;
	uint8_t dst;
	uint8_t set;      /* enum hook_set */
	const char *note; /* a counter and a comment; NULL: neither */
};

enum hook_chain {
	HOOK_CHAIN_CLEAR = 0,
	HOOK_CHAIN_TAG_INPUT,
	HOOK_CHAIN_TAG_FORWARD,
	HOOK_CHAIN_STAMP_INPUT,   /* nft only */
	HOOK_CHAIN_STAMP_FORWARD, /* nft only */
	HOOK_CHAIN_TAG_OUTPUT,
	HOOK_CHAIN_STAMP_OUTPUT, /* nft only, with `lazy` */
	HOOK_CHAIN_PERMIT,       /* iptables only */
	HOOK_CHAIN_PASS,         /* iptables only */
	HOOK_CHAIN_DECIDED,      /* nft only, with `decisions`: reached from TAG_INPUT */
	HOOK_CHAIN_COUNT,
};

enum hook_style {
	HOOK_STYLE_NFT,      /* permits come back by NF_ACCEPT and are stamped by a later chain */
	HOOK_STYLE_IPTABLES, /* permits come back by NF_REPEAT and are stamped on top of the chain */
};

struct hook_policy {
	enum hook_style style;
	uint8_t epoch;
	bool input, forward, loopback, multicast;
	bool lazy;      /* nft only: flows of other epochs are queued, to be authorized again */
	bool decisions; /* nft only: sets of connections that need not be queued */
};

#define HOOK_RULES_MAX 40

/* Is this chain there at all? */
bool hook_chain_used(const struct hook_policy *p, enum hook_chain chain);
/* The rules of a chain, in order; returns their number (0 for a chain that is not used). */
unsigned hook_rules(const struct hook_policy *p, enum hook_chain chain,
		    struct hook_rule out[HOOK_RULES_MAX]);

#endif
