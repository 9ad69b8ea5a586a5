/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The table of completion contexts: storage only. What a context does next is decided in
 * core/complete.c; this file finds, makes, charges and frees them, and keeps their packets.
 *
 * The life of a context:
 *  1. pctx_new: found free, charged to its source and service, in the hash: STORED.
 *  2. classify returned: PENDED, the deadline runs. Retransmissions join it (R14).
 *  3. A decision, the deadline, the peer or the engine's end completes it, once (R24). If a packet
 *     in the kernel was part of that: COMPLETING, until the kernel's word on it was read.
 *  4. A terminal state. It lingers, so that late copies of the same attempt meet the same decision
 *     without a second question (R14, T20), and is freed when no copy can be on its way any more.
 *
 * One context per flow is in the hash; the flow's ISN tells attempts apart (R15). Memory is
 * reserved at init and never grows. Not thread safe.
 */
#ifndef CORE_PCTX_H
#define CORE_PCTX_H

#include "base/htable.h"
#include "base/slab.h"
#include "base/wheel.h"
#include "core/flow.h"
#include <pend.h>

enum pctx_flags {
	PCTX_ISN = 1u << 0,       /* attempts are told apart by isn (TCP, SCTP) */
	PCTX_LIVE = 1u << 1,      /* charged to the limits: not terminal */
	PCTX_LOST_ONCE = 1u << 2, /* the kernel dropped a packet of it */
	PCTX_ESTABLISHED = 1u << 3,
	PCTX_TRACKED = 1u << 4,  /* its flow is being looked up in conntrack */
	PCTX_EARLY = 1u << 5,    /* completed while STORED (R10): verdict and block say how */
	PCTX_INJECTED = 1u << 6, /* a copy of ours is on its way (R39) */
	PCTX_EXPIRED = 1u << 7,  /* the deadline completed it */
	PCTX_AGAINST =
		1u << 11,    /* blocked though the callouts of that moment would have let it in */
	PCTX_USED = 1u << 9, /* the peer came back for its permit */
	PCTX_DNAT = 1u << 8, /* this host translates its destination: no copy can go in */
	PCTX_ENDED =
		1u
		<< 10, /* conntrack has its flow marked BLOCKED, by an end before this beginning */
	PCTX_UNTOLD =
		1u << 12, /* decided, but a callout of the completion pass could not tell for now */
};

#define PCTX_NOBODY UINT8_MAX /* a pender that is not registered any more */

struct pctx {
	uint32_t slab_link;
	uint32_t generation; /* of the handle; never 0; changes when the slot is freed */
	struct hnode node;
	struct wheel_timer timer; /* deadline, then the end of lingering */
	struct list link;         /* COMPLETING: awaiting the barrier. Lingering: oldest first */
	struct flow flow;
	mono_t created, deadline, completed;
	mono_t linger; /* terminal: when it is forgotten */
	uint64_t tag;
	uint32_t isn, mark, iif, oif;
	uint32_t rule, reason;
	uint32_t retransmits;
	uint32_t last_ms;     /* arrival of its newest packet, after `created` */
	uint32_t packets;     /* in the list below */
	uint32_t first, last; /* struct pkept, in order of arrival */
	union {
		uint32_t barrier; /* COMPLETING: the acknowledgement that settles it */
		uint32_t away;    /* ... PCTX_INJECTED: copies of ours that have not come back */
	};
	uint32_t source;       /* LIVE: the counter of its source that it is charged to */
	uint16_t sent, failed; /* COMPLETING: release verdicts sent, and refused with ENOENT */
	uint16_t turn;         /* of the engine, when this was pended, then decided */
	uint16_t flags;
	uint8_t state; /* enum pend_state */
	uint8_t hook, mode, release, on_timeout;
	uint8_t verdict, block; /* the decision, from COMPLETING on */
	uint8_t outcome;        /* COMPLETING: the state to end in if all goes well */
	uint8_t pender;         /* index of the callout that pended it */
	uint8_t aggregate : 3;  /* enum pend_action of the callouts above the pender (R18) */
	uint8_t reinvoked : 5;  /* R29 */
	uint8_t hops : 4;       /* R40 */
	uint8_t track : 4;      /* conntrack look-ups made */
	/* Of the packet that was asked about first: a client sends its next copy without ECN (RFC 3168, 6.1.1.1) */
	uint8_t tcp_flags;
};

/* A packet that waits: by its id in the kernel's queue, or as a copy in a chain of blocks. */
struct pkept {
	uint32_t slab_link;
	uint32_t next;
	uint32_t id;    /* kernel packet id; unused for a copy */
	uint32_t block; /* first block of the copy, SLAB_NONE: in the kernel */
	uint32_t len;
	uint32_t csum_pending; /* the copy's transport checksum is not filled in */
};

#define PCTX_BLOCK_DATA 248u
#define PCTX_LARGE      8192u /* contexts: some 2 MiB */

struct pctx_block {
	uint32_t slab_link;
	uint32_t next;
	uint8_t data[PCTX_BLOCK_DATA];
};

struct pctx_limits {
	uint32_t contexts, per_source, per_service, packets;
	uint32_t hold; /* kernel packets before AUTO absorbs */
	uint32_t
		watermark; /* live contexts above which a first packet opens none; UINT32_MAX = off */
	uint64_t bytes;
};

struct pctx_table {
	struct slab slab, kept, blocks;
	struct htable by_flow;
	struct siphash_key key;
	struct wheel wheel;
	struct list completing; /* in order of their barriers */
	/* Oldest first; the last one: permitted, and the peer has not come back for it yet. */
	struct list linger_block, linger_permit, linger_owed;
	uint32_t *source, *service; /* counters by keyed hash: collisions only ever make a
						 limit stricter, and no peer can aim for one */
	uint32_t count_mask;
	uint32_t *seen[2]; /* fingerprints of openers refused above the watermark */
	uint32_t seen_mask;
	mono_t seen_turn;
	struct pctx_limits limits;
	uint32_t live, lingering, held;
	uint64_t bytes; /* in copies */
	uint8_t engine; /* id, for handles */
	struct pend_stats *stats;
};

int pctx_table_init(struct pctx_table *t, const struct pctx_limits *l, uint8_t engine,
		    const struct siphash_key *key, mono_t now, struct pend_stats *stats);
void pctx_table_deinit(struct pctx_table *t); /* idempotent, safe on a zeroed struct */
uint64_t pctx_table_memory(const struct pctx_table *t);

/* Of a flow, for the two below; never 0. */
uint32_t pctx_hash(const struct pctx_table *t, const struct flow *f);
/* The context of this flow, live or lingering; NULL. */
struct pctx *pctx_lookup(const struct pctx_table *t, const struct flow *f, uint32_t hash);
static inline bool pctx_any(const struct pctx_table *t)
{
	return t->by_flow.used;
}

/*
 * Where a table does not fit into the caches, most of the cost of a packet or of a completion is to wait for
 * memory. These bring it while others are dealt with; they are hints, and change nothing.
 */
static inline bool pctx_is_large(const struct pctx_table *t)
{
	return t->by_flow.used >= PCTX_LARGE;
}
void pctx_prefetch_flow(const struct pctx_table *t, const struct flow *f, uint32_t hash);
void pctx_prefetch_found(const struct pctx_table *t, uint32_t hash); /* some time after that */
void pctx_prefetch(const struct pctx_table *t, pend_context handle);
void pctx_prefetch_around(const struct pctx_table *t, pend_context handle); /* ... after that */

/* By handle: PEND_OK with a context that is STORED or PENDED; ALREADY, NOT_FOUND, ACCESS_DENIED (R23). */
enum pend_status pctx_find(const struct pctx_table *t, pend_context handle, struct pctx **out);
pend_context pctx_handle(const struct pctx_table *t, const struct pctx *c);

/*
 * A new live context in state STORED, in the hash, charged, with nothing armed. PEND_E_LIMIT (the counter
 * that refused is incremented): contexts, source, or service. Room is made by forgetting what lingers
 * longest, blocked ones first, never an authorization that a flushed peer still needs.
 */
enum pend_status pctx_new(struct pctx_table *t, const struct flow *f, uint32_t hash, uint32_t isn,
			  mono_t now, struct pctx **out);
/* Gives the charges back and puts it on its linger list; `c` is terminal from here on. */
void pctx_retire(struct pctx_table *t, struct pctx *c);
/* The peer of a retired permit came back: it is owed nothing any more. */
void pctx_used(struct pctx_table *t, struct pctx *c);
/* Is this a permit that its peer still has to come back for? */
bool pctx_owed(const struct pctx *c);
/* Out of the hash, timers and lists; packets must have been taken. The handle is stale from here on. */
void pctx_free(struct pctx_table *t, struct pctx *c);

/* Is this first sight of (flow, isn), and is the table above its watermark? Then remember it and say so. */
bool pctx_defer(struct pctx_table *t, const struct flow *f, uint32_t isn, mono_t now);

/* Keep a packet that stays in the kernel. False: no room (counted as limit_packets). */
bool pctx_keep_id(struct pctx_table *t, struct pctx *c, uint32_t id);
/* Keep a copy. False: no room (counted as limit_bytes or limit_packets). */
bool pctx_keep_copy(struct pctx_table *t, struct pctx *c, const void *data, uint32_t len,
		    bool csum_pending);
/* Take the oldest packet off the context; false when there is none. A copy must be fetched or dropped next. */
bool pctx_take(struct pctx_table *t, struct pctx *c, struct pkept *out);
/* Bytes of a taken copy to buf[cap], and give its blocks back. The number of bytes. cap 0 drops it. */
uint32_t pctx_fetch_copy(struct pctx_table *t, const struct pkept *k, uint8_t *buf, uint32_t cap);

void pctx_info(const struct pctx_table *t, const struct pctx *c, struct pend_info *info);

#endif
