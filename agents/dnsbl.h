/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside `type dnsbl`: dnsbl.c has the kind and the questions, dnsbl_name.c what needs no network (names, codes,
 * the score), dnsbl_reply.c what an answer says, dnsbl_cache.c what is known of each address and zone, dnsbl_dns.c
 * the name servers.
 */
#ifndef AGENTS_DNSBL_H
#define AGENTS_DNSBL_H

#include "agents/agent.h"
#include "agents/watch.h"
#include "base/siphash.h"
#include <ares.h>

#define DNSBL_ZONES_MAX    32 /* of the policy's language, and so are codes and servers */
#define DNSBL_CODES_MAX    64
#define DNSBL_SERVERS_MAX  8
#define DNSBL_NAME_MAX     256
#define DNSBL_OPEN_MAX     512   /* at the name servers; what is more waits */
#define DNSBL_WAIT_MAX     65536 /* above it a lookup fails at once */
#define DNSBL_CACHE_MAX    65536 /* answers; above it those go that were used longest ago */
#define DNSBL_RECORDS_MAX  64    /* of one answer that are looked at */
#define DNSBL_TIMEOUT_MS   800   /* of the first try; the second waits twice as long */
#define DNSBL_TRIES        2
#define DNSBL_PORT_QUERIES 4   /* that leave by one UDP port */
#define DNSBL_CHANNELS_MAX 128 /* above it the newest goes on with its port */
#define DNSBL_TTL_MIN      1   /* seconds that an answer counts, whatever its TTL */
#define DNSBL_TTL_MAX      3600
#define DNSBL_TTL_NOT      60 /* of one that says no */
#define DNSBL_TTL_FAILED   1

/* ---- dnsbl_name.c ---- */

/* What is looked up. All bytes count: zero it first. */
struct dnsbl_key {
	uint8_t addr[16]; /* of IPv4 the first four */
	uint8_t family;   /* 4, 6 */
	uint8_t zone;
};

struct dnsbl_range {
	uint32_t lo, hi; /* host order */
};

enum dnsbl_result { DNSBL_NOT, DNSBL_LISTED, DNSBL_FAILED };

/* What a zone has said of an address. */
struct dnsbl_said {
	enum dnsbl_result result;
	uint32_t code;    /* that made it listed or failed; 0 */
	const char *why;  /* it failed; static */
	unsigned seconds; /* that it counts */
};

/* Weights of the zones, by what they have said. */
struct dnsbl_score {
	unsigned listed, failed, waiting;
};

enum dnsbl_outcome { DNSBL_OPEN, DNSBL_IS_LISTED, DNSBL_IS_NOT, DNSBL_UNKNOWN };

/* Address and family of the key. An IPv4 address in IPv6 is one. False: it is none. */
bool dnsbl_address(const char *text, struct dnsbl_key *key);
/* "7.113.0.203.ZONE". False: it would be too long. */
bool dnsbl_name(const struct dnsbl_key *key, const char *zone, char out[DNSBL_NAME_MAX]);
/* "127.0.0.2", "127.0.0.2-127.0.0.11". */
bool dnsbl_range_parse(const char *text, struct dnsbl_range *out);
/*
 * What the addresses that a zone answered with (host order) mean; `*which` is the one that made it so. 127.255.255.0/24 is
 * what lists say that do not want to be asked, and what is outside of 127.0.0.0/8 is no list's word.
 */
enum dnsbl_result dnsbl_judge(const struct dnsbl_range *codes, unsigned ncodes,
			      const uint32_t *addr, int n, uint32_t *which);
/* As soon as what is to come cannot change it. */
enum dnsbl_outcome dnsbl_outcome(const struct dnsbl_score *s, unsigned threshold);

/* ---- dnsbl_reply.c ---- */

/* The answer to a query, as c-ares hands it over: its status, and with ARES_SUCCESS the packet. */
struct dnsbl_said dnsbl_read(const struct dnsbl_range *codes, unsigned ncodes, int status,
			     const unsigned char *packet, int len);

/* ---- the kind ---- */

struct dnsbl_zone {
	char *name;
	unsigned weight;
};

struct dnsbl_stats {
	uint64_t questions, listed, not_listed, failed;
	uint64_t lookups, cached, joined, limited, evicted;
};

struct dnsbl {
	struct agent *agent;
	struct dnsbl_zone zone[DNSBL_ZONES_MAX];
	unsigned nzones, threshold;
	struct dnsbl_range codes[DNSBL_CODES_MAX];
	unsigned ncodes;
	enum pend_client_answer listed, unlisted;
	struct dnsbl_stats stats;
	/* dnsbl_cache.c */
	struct siphash_key hash_key;
	struct htable by_key;
	struct list known, waiting; /* lookups: used longest ago first; to be sent */
	unsigned nknown, nwaiting, nopen;
	/* dnsbl_dns.c */
	struct ares_addr_port_node server[DNSBL_SERVERS_MAX];
	unsigned nservers; /* 0: the system's */
	bool have_library, failing;
	struct list channels;
	struct dnsbl_channel *current; /* the one that takes queries; NULL: none yet */
	unsigned nchannels;
	uint64_t resolv_stamp; /* of the system's file, and when it is looked at again */
	mono_t resolv_next;
};

/* One question and one zone; linked while it waits for a lookup. */
struct dnsbl_vote {
	struct list link;
	struct dnsbl_work *work;
	uint8_t zone;
};

/* ---- dnsbl_cache.c ---- */

struct dnsbl_lookup {
	struct hnode by_key;
	struct list link; /* known, waiting, or none: it is at the name servers */
	struct list votes;
	struct dnsbl *dnsbl;
	struct dnsbl_channel *channel; /* while it is at the name servers */
	struct dnsbl_key key;
	bool done;
	struct dnsbl_said said;
	mono_t until;
};

int dnsbl_cache_init(struct dnsbl *d);
/* All that is known, and what waits. Nothing may be at the name servers. */
void dnsbl_cache_deinit(struct dnsbl *d);
void dnsbl_cache_forget(struct dnsbl *d); /* what is known */
/*
 * What is known; if it is not `done`, the vote is told of it later (dnsbl_voted) and dnsbl_dns_pump sends it.
 * NULL: too many wait, or no memory.
 */
struct dnsbl_lookup *dnsbl_lookup(struct dnsbl *d, const struct dnsbl_key *key,
				  struct dnsbl_vote *v);
/* The next to be sent that somebody waits for, counted as open. NULL: none. */
struct dnsbl_lookup *dnsbl_lookup_next(struct dnsbl *d);
/* What it says is there: tell who waits. */
void dnsbl_lookup_done(struct dnsbl_lookup *l);

/* ---- dnsbl_dns.c ---- */

int dnsbl_dns_init(struct dnsbl *d, struct err *e);
void dnsbl_dns_deinit(struct dnsbl *d);
void dnsbl_dns_pump(struct dnsbl *d); /* what waits goes out, as far as there is room */

/* ---- dnsbl.c ---- */

void dnsbl_voted(struct dnsbl_vote *v, const struct dnsbl_lookup *l);

#endif
