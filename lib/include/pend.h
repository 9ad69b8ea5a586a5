/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libpend: hold an inbound connection while somebody decides about it.
 *
 * The Linux analogue of the Windows Filtering Platform's callouts with
 * FwpsPendOperation0 / FwpsCompleteOperation0 at ALE_AUTH_RECV_ACCEPT, over NFQUEUE.
 *
 * A program opens an engine, registers callouts, and runs the engine in a loop of its own. For each
 * packet that opens a flow the callouts' classify functions are called in order of weight. A callout
 * permits, blocks, passes on, or pends: it calls pend_operation() with the completion handle of that very call,
 * keeps the context it gets, and completes it later with pend_complete() or, the WFP way, with
 * pend_complete_operation(). Completing runs a second classify (the completion pass) and then releases, flushes
 * or refuses the held packet. Rules named R.., L.. are explained in docs/semantics.md.
 *
 * Threads: an engine and all that belongs to it is owned by one thread; every function must be called
 * from that thread. Engines share nothing, so a program may run one per queue, each in a thread of
 * its own. Answers from elsewhere are handed over by the program's own means (a pipe, an eventfd).
 *
 * Errors: functions return enum pend_status; PEND_OK is 0. Out parameters are written on success only.
 */
#ifndef PEND_H
#define PEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PEND_API __attribute__((visibility("default")))

#define PEND_VERSION_MAJOR 0
#define PEND_VERSION_MINOR 1

/* ------------------------------------------------------------------ status codes ---- */

/* What each means in WFP is given beside it; pend_status_ntstatus() gives that number. */
enum pend_status {
	PEND_OK = 0,
	PEND_E_NULL_POINTER, /* STATUS_FWP_NULL_POINTER: no completion handle, no engine (R2) */
	PEND_E_NOT_READY,    /* STATUS_FWP_TCPIP_NOT_READY: the queue is not bound (R2) */
	PEND_E_CANNOT_PEND, /* STATUS_FWP_CANNOT_PEND: reauthorization, no right, wrong layer (R1, R3, R7) */
	PEND_E_STALE,     /* completion handle used outside of its classify call (R2, T31) */
	PEND_E_NOT_FOUND, /* STATUS_FWP_NOT_FOUND: unknown, expired or released context (R20, R23) */
	PEND_E_ALREADY,   /* STATUS_FWP_ALREADY_EXISTS: the context was completed before (R23) */
	PEND_E_ACCESS_DENIED, /* STATUS_ACCESS_DENIED: a context of another engine (R23) */
	PEND_E_LIMIT,       /* STATUS_QUOTA_EXCEEDED: a limit of the table; nothing changed (R19) */
	PEND_E_BUSY,        /* STATUS_DEVICE_BUSY: contexts are outstanding (R55) */
	PEND_E_INVALID,     /* STATUS_INVALID_PARAMETER */
	PEND_E_NO_MEMORY,   /* STATUS_NO_MEMORY */
	PEND_E_PERMISSION,  /* the kernel refused: CAP_NET_ADMIN is missing */
	PEND_E_IN_USE,      /* the queue is bound by another program */
	PEND_E_UNSUPPORTED, /* the kernel lacks something; pend_engine_error() names it */
	PEND_E_SYSTEM,      /* any other failure of the kernel; pend_engine_error() */
	PEND_E_LOOP,        /* too many pends or reinvocations of one context (R29, R40) */
};

/* "PEND_E_NOT_FOUND"; never NULL. */
PEND_API const char *pend_status_name(enum pend_status s);
/* One sentence for people; never NULL. */
PEND_API const char *pend_status_text(enum pend_status s);
/* The NTSTATUS a WFP callout would see, 0 for PEND_OK. */
PEND_API uint32_t pend_status_ntstatus(enum pend_status s);

/* ------------------------------------------------------------------------ values ---- */

enum pend_layer {
	PEND_LAYER_RECV_ACCEPT_V4 = 0, /* FWPM_LAYER_ALE_AUTH_RECV_ACCEPT_V4 */
	PEND_LAYER_RECV_ACCEPT_V6,
	PEND_LAYER_COUNT,
};

enum pend_action {
	PEND_ACTION_CONTINUE =
		0, /* no opinion: the next callout, and after the last one the default */
	PEND_ACTION_PERMIT,
	PEND_ACTION_BLOCK,
};

/* How a block is told to the peer. */
enum pend_block {
	PEND_BLOCK_DROP = 0,    /* silently */
	PEND_BLOCK_RESET,       /* TCP: RST; other protocols: as UNREACHABLE */
	PEND_BLOCK_UNREACHABLE, /* ICMP administratively prohibited */
};

/* What becomes of the packet when a pended connection is permitted (R51). */
enum pend_release {
	PEND_RELEASE_FLUSH = 0, /* drop it: the peer retransmits and that copy is let in */
	PEND_RELEASE_BUFFER, /* let the held packet, or our copy of it, in at once. A copy can go to
				 * this host only, and not behind destination NAT: FLUSH then */
};

/* Where the packet waits (R11). */
enum pend_mode {
	PEND_MODE_AUTO = 0, /* HOLD below the engine's hold_max, ABSORB above */
	PEND_MODE_HOLD,     /* in the kernel's queue */
	PEND_MODE_ABSORB,   /* dropped in the kernel; a copy is kept only for PEND_RELEASE_BUFFER */
};

enum pend_verdict {
	PEND_VERDICT_BLOCK = 0,
	PEND_VERDICT_PERMIT,
	PEND_VERDICT_CONTINUE, /* classify again from the pender on (R29); capped */
};

/* The life of a context; the last seven are terminal (R24). */
enum pend_state {
	PEND_STATE_FREE = 0,
	PEND_STATE_STORED, /* pended, classify has not returned yet (R10) */
	PEND_STATE_PENDED,
	PEND_STATE_COMPLETING, /* verdict sent, the kernel has not confirmed it yet */
	PEND_STATE_PERMITTED,  /* the packet was let in */
	PEND_STATE_BLOCKED,
	PEND_STATE_FLUSHED,   /* permitted; the peer's next retransmission is let in */
	PEND_STATE_TIMED_OUT, /* deadline passed; the timeout's verdict was applied */
	PEND_STATE_ABANDONED, /* the peer gave up (RST, R16) or began anew (another ISN, R15) */
	PEND_STATE_LOST,    /* the kernel dropped the packet and the peer did not come back (R28) */
	PEND_STATE_DRAINED, /* the engine or the callout went away (R55) */
	PEND_STATE_COUNT,
};

PEND_API const char *pend_state_name(enum pend_state s); /* "PENDED" */

/* Why a classify or a completion happens; the reasons of WFP that have a meaning here (R30). */
enum pend_reason {
	PEND_REASON_NONE = 0,
	PEND_REASON_CLASSIFY_COMPLETION,
	PEND_REASON_POLICY_CHANGE,
	PEND_REASON_NEW_ARRIVAL_INTERFACE,
	PEND_REASON_MID_STREAM,
	PEND_REASON_NEW_NEXTHOP_INTERFACE,
	PEND_REASON_DECISION_EXPIRED, /* no reason of WFP: what was decided holds no longer */
};

/* FWPS_INCOMING_VALUES0: what a filter can match on. Addresses in network order, IPv4 in the
 * first 4 bytes; ports in host order. Valid only during the call. */
struct pend_values {
	uint8_t family;       /* 4 or 6 */
	uint8_t protocol;     /* IANA number */
	uint16_t source_port; /* 0 when the protocol has none */
	uint16_t dest_port;
	uint8_t icmp_type, icmp_code; /* of an echo request */
	uint8_t tcp_flags;
	bool has_ports;
	uint8_t source[16], dest[16];
	uint32_t in_interface;  /* index; 0 = unknown: matches as FWP_EMPTY (R32) */
	uint32_t out_interface; /* FORWARD only, else 0 */
	uint32_t mark;          /* skb mark outside of the engine's mask */
	uint8_t hook;           /* NF_INET_LOCAL_IN 1, NF_INET_FORWARD 2, NF_INET_LOCAL_OUT 3 */
	/* Nobody keeps all of the packet that opened a flow. What is not known of it when the flow is asked about
	 * again (PEND_META_REAUTHORIZE with PEND_REASON_POLICY_CHANGE) is 0 above and told here: a filter cannot
	 * match on it, and for its sake no flow should be ended (R32). In all other calls everything is known. */
	bool mark_unknown; /* in a reply: it does not have the mark of the opener's packets */
	uint8_t tcp_flags_unknown; /* bits of tcp_flags: all but SYN, which was set, and ACK, RST, FIN */
};

enum pend_injection {
	PEND_INJECTION_NONE = 0, /* FWPS_PACKET_NOT_INJECTED */
	PEND_INJECTED_BY_SELF,   /* FWPS_PACKET_INJECTED_BY_SELF (R39) */
};

enum {
	PEND_META_REAUTHORIZE = 1u << 0, /* FWP_CONDITION_FLAG_IS_REAUTHORIZE */
	PEND_META_COMPLETION = 1u << 1,  /* this is the completion pass; pender: see `verdict` */
	PEND_META_LOOPBACK = 1u << 2,    /* FWP_CONDITION_FLAG_IS_LOOPBACK */
	PEND_META_MALFORMED =
		1u << 3,            /* the packet does not parse; values are what could be read */
	PEND_META_PENDER = 1u << 4, /* completion pass: this callout pended the context */
	/* With REAUTHORIZE and POLICY_CHANGE: the packet goes against its flow's direction (FWPS packetDirection,
	 * R31). The values are the flow's all the same: as those of the packet that opened it, as far as they are
	 * known. */
	PEND_META_REPLY = 1u << 5,
};

struct pend_completion; /* a completion handle (FWPS_METADATA_FIELD_COMPLETION_HANDLE) */
struct pend_packet;     /* a packet; opaque */
struct pend_engine;

/* A completion context: 8 bits engine, 24 bits slot, 32 bits generation. 0 is never one. Stale values
 * are detected, never dereferenced. */
typedef uint64_t pend_context;

/* FWPS_INCOMING_METADATA_VALUES0. Valid only during the call. */
struct pend_metadata {
	uint32_t flags;
	enum pend_reason reason;
	enum pend_injection injection;
	struct pend_completion *completion; /* NULL where pending is not possible */
	pend_context context;               /* completion pass: the context, else 0 */
	enum pend_verdict verdict;          /* completion pass: what was decided */
	uint64_t tag;                       /* completion pass: pend_options.tag */
	uint64_t now_ns;                    /* CLOCK_BOOTTIME */
	uint32_t isn;
};

enum {
	PEND_RIGHT_ACTION_WRITE = 1u
				  << 0, /* FWPS_RIGHT_ACTION_WRITE: without it only a veto (R7) */
	PEND_OUT_ABSORB = 1u << 1,      /* FWPS_CLASSIFY_OUT_FLAG_ABSORB: silent (R5) */
	PEND_OUT_EVENT = 1u << 2,       /* tell the notify function of this permit or block */
	/* With PEND_META_REAUTHORIZE: a permit of this packet alone, the flow's next one is asked about again. A block
	 * that is not known to be right yet: in the completion pass of a permit, the context waits some two seconds
	 * more (PEND_E_ALREADY to others), and the pass is done again until it is known. */
	PEND_OUT_ONCE = 1u << 3,
};

/* FWPS_CLASSIFY_OUT0 */
struct pend_classify_out {
	enum pend_action action;
	uint32_t rights; /* in: what the callout may do; clear ACTION_WRITE to make it final */
	enum pend_block block; /* with PEND_ACTION_BLOCK */
	uint32_t rule;         /* the program's own rule number, for events */
};

/*
 * Called for every packet that opens a flow, and again (PEND_META_COMPLETION) when a context is
 * completed. Must be fast and must not block (R58). It may call pend_operation, pend_complete (of any context),
 * pend_packet_clone and the query functions; it must not dispatch, drain or close the engine.
 * After pend_operation succeeded it must leave action BLOCK with PEND_RIGHT_ACTION_WRITE cleared:
 * pend_out_pended() does that; anything else is an error and completes the context as a block (R4).
 */
typedef void (*pend_classify_fn)(void *callout_context, const struct pend_values *values,
				 const struct pend_metadata *meta, const struct pend_packet *packet,
				 struct pend_classify_out *out);

/* FWPS_CALLOUT0. Copied by pend_callout_register. */
struct pend_callout {
	const char *name; /* for events and errors; copied, at most 31 bytes are kept */
	uint32_t weight;  /* higher is asked first; equal: in order of registration */
	uint32_t layers;  /* bits: 1u << enum pend_layer */
	pend_classify_fn classify;
	void *context; /* handed to classify; must outlive the registration */
	bool follows; /* asked first when one above has pended the connection, and permits it; in passes, as all are */
};

static inline void pend_out_permit(struct pend_classify_out *out)
{
	out->action = PEND_ACTION_PERMIT;
}

static inline void pend_out_block(struct pend_classify_out *out, enum pend_block how)
{
	out->action = PEND_ACTION_BLOCK;
	out->block = how;
	out->rights &= ~(uint32_t)PEND_RIGHT_ACTION_WRITE;
}

static inline void pend_out_pended(struct pend_classify_out *out)
{
	out->action = PEND_ACTION_BLOCK;
	out->rights &= ~(uint32_t)PEND_RIGHT_ACTION_WRITE;
	out->rights |= PEND_OUT_ABSORB;
}

/* ------------------------------------------------------------------------ events ---- */

enum pend_event_type {
	PEND_EVENT_PENDED = 1,  /* a context was made */
	PEND_EVENT_RETRANSMIT,  /* another copy joined it (R14) */
	PEND_EVENT_KERNEL_LOST, /* the kernel dropped its packet; it waits for a retransmission */
	PEND_EVENT_COMPLETED,   /* it reached a terminal state */
	PEND_EVENT_ESTABLISHED, /* the handshake of a permitted TCP flow was seen to finish (R44) */
	PEND_EVENT_CLOSED,      /* a permitted flow came to nothing (reset, or no handshake) */
	PEND_EVENT_CLASSIFIED,  /* a permit or block without a pend, on request (PEND_OUT_EVENT) */
	PEND_EVENT_LIMIT,       /* a limit refused a pend; at most one in 100 ms */
	PEND_EVENT_LOOP,        /* R29, R40 */
	/* Its pender's question was answered with a permit, and a lower callout asks another one (R18): this
	 * handle is over, and PENDED tells of the next. */
	PEND_EVENT_ANSWERED,
};

/* Why a context ended, where the program did not say. A program's own numbers are below these. */
enum pend_code {
	PEND_CODE_DEADLINE = 0x70000001, /* R20 */
	PEND_CODE_COMPLETION_PASS,       /* a permit was refused by the second classify (R27) */
	PEND_CODE_PEER,                  /* R15, R16 */
	PEND_CODE_DRAIN,                 /* R55 */
	PEND_CODE_DANGLING,              /* R4 */
	PEND_CODE_LOOP,                  /* R29, R40 */
};

/* A snapshot of a context. */
struct pend_info {
	pend_context context;
	enum pend_state state;
	uint8_t family, protocol, hook;
	uint8_t mode;       /* enum pend_mode: HOLD or ABSORB */
	uint8_t release;    /* enum pend_release */
	uint8_t on_timeout; /* enum pend_verdict */
	uint8_t verdict;    /* enum pend_verdict, once completed */
	uint8_t block;      /* enum pend_block, once blocked */
	uint16_t source_port, dest_port;
	uint8_t source[16], dest[16];
	uint8_t icmp_type, icmp_code;
	bool kernel_lost; /* the kernel lost its packet at least once */
	bool established;
	uint32_t in_interface, out_interface;
	uint32_t isn;
	uint32_t mark;
	uint32_t packets; /* waiting for it: held, or copied */
	uint32_t retransmits;
	uint8_t tcp_flags; /* of the packet that it began with; 0: not known, or no TCP */
	uint64_t created_ns,
		deadline_ns; /* CLOCK_BOOTTIME; deadline_ns of the first pend or the last CONTINUE */
	uint64_t completed_ns; /* 0 while pended */
	uint64_t tag;
	uint32_t rule;
	uint32_t reason; /* enum pend_code, or what the program gave to pend_complete */
};

struct pend_event {
	enum pend_event_type type;
	uint64_t now_ns;
	struct pend_info info; /* CLASSIFIED and LIMIT: no context, but all else */
};

/* Called from inside dispatch, complete or drain. It may query, and pend_complete other contexts; not dispatch. */
typedef void (*pend_notify_fn)(void *notify_context, const struct pend_event *event);

/* ------------------------------------------------------------------------ engine ---- */

struct pend_engine_config {
	uint8_t id;         /* 0..255, unique among the program's engines; part of the handles */
	uint16_t queue;     /* NFQUEUE number */
	uint32_t mark_mask; /* 8 consecutive bits that are ours; default PEND_MARK_MASK */
	uint8_t epoch;  /* 1..62: written to permitted flows' ct mark by the hookup's stamp chain */
	bool fail_open; /* NFQA_CFG_F_FAIL_OPEN: a full kernel queue accepts (default drop) */
	uint32_t max_contexts; /* default 65536; up to 13,000,000 */
	uint32_t
		max_per_source; /* contexts per source address (IPv6: /64); default 1024, 0 = no limit */
	uint32_t max_per_service; /* contexts per local address and port; 0 = no limit (default) */
	uint32_t max_packets;     /* kept per context, default 64 (R52) */
	uint64_t max_bytes;       /* of copied packets in all, default 64 MiB */
	uint32_t hold_max;        /* packets left in the kernel before AUTO absorbs; default 4096.
	                           * Behind destination NAT, and at most: kernel_queue less its reserve */
	uint32_t
		high_watermark_percent; /* above it the first packet of an unknown flow opens no context; default 80, 100 = off */
	/* NFQA_CFG_QUEUE_MAXLEN; default 65535, not 0. An eighth is a reserve for what was not read yet: no mode
	 * leaves a packet there above it (limit_packets). */
	uint32_t kernel_queue;
	uint32_t receive_buffer; /* SO_RCVBUFFORCE bytes; default 16 MiB */
	bool raw_reinject; /* open raw sockets (CAP_NET_RAW): buffer and reset for absorbed packets */
	int queue_fd;      /* adopt this bound netlink socket; -1 (default) opens one */
	bool track_established; /* look permitted TCP flows up in conntrack (R44); default true */
	bool reauthorize; /* the hookup is `lazy`: open what ending a live flow takes; default false */
	enum pend_action default_action; /* nobody had an opinion; default BLOCK */
	enum pend_action on_malformed;   /* packets that do not parse; default BLOCK */
	bool repeat;                     /* permit by NF_REPEAT: pend_hook_wants_repeat() */
	bool can_reject; /* reset and unreachable by NF_REPEAT: pend_hook_can_reject(); default true */
	pend_notify_fn notify;
	void *notify_context;
};

#define PEND_MARK_MASK 0x7f800000u

/* All defaults. Always start from this. */
PEND_API void pend_engine_config_init(struct pend_engine_config *c);
/*
 * Allocate all tables (address space; pages when used), open and bind nothing yet. `c` is copied.
 * PEND_E_INVALID (pend_engine_error(NULL) is not available: check the ranges above), PEND_E_NO_MEMORY.
 */
PEND_API enum pend_status pend_engine_open(struct pend_engine **out,
					   const struct pend_engine_config *c);
/*
 * Bind the queue, set copy mode, flags, length and socket options, each with its acknowledgement read.
 * PEND_E_PERMISSION, PEND_E_IN_USE, PEND_E_UNSUPPORTED, PEND_E_SYSTEM: pend_engine_error() says what and what to do.
 */
PEND_API enum pend_status pend_engine_start(struct pend_engine *e);
/* One sentence about the last failure of this engine; "" if none. Valid until the next call. */
PEND_API const char *pend_engine_error(const struct pend_engine *e);
/* The descriptor to poll for input; -1 before start. Owned by the engine. */
PEND_API int pend_engine_fd(const struct pend_engine *e);
/* CLOCK_BOOTTIME nanoseconds of the next deadline, UINT64_MAX if there is none. */
PEND_API uint64_t pend_engine_next(const struct pend_engine *e);
/*
 * Read what is queued (at most `budget` packets, 0 = a default), classify, expire what is due and send all
 * verdicts. Does not block. `more` (may be NULL) tells that packets may be left. PEND_E_NOT_READY
 * before start; PEND_E_SYSTEM when the socket is gone (pend_engine_error()).
 */
PEND_API enum pend_status pend_engine_dispatch(struct pend_engine *e, unsigned budget, bool *more);
/* Send what pend_complete() left to send; dispatch does it by itself. */
PEND_API enum pend_status pend_engine_flush(struct pend_engine *e);
/*
 * Refuse new pends (they are blocked) and complete every context as DRAINED with `verdict`, at most `budget`
 * at a time (0 = all). Returns PEND_E_BUSY while some are left, PEND_OK when none is (R55, T4).
 */
PEND_API enum pend_status pend_engine_drain(struct pend_engine *e, enum pend_verdict verdict,
					    unsigned budget);
/* Drains with BLOCK, unbinds, frees. NULL is allowed. */
PEND_API void pend_engine_close(struct pend_engine *e);
/*
 * Change the epoch that permits are stamped with, from the next verdict on (1..62). With a hookup that is `lazy`
 * each change of what the callouts answer is followed by a new epoch, in this order: all engines
 * answer by the new policy; no live flow carries the new number any more (there are 62, in a ring);
 * pend_hook_set_epoch(); this, for every engine. A permit that names the epoch before meanwhile is good: its flow is
 * asked about once more. The next packet of every flow of another epoch, in either direction, is then classified with
 * PEND_META_REAUTHORIZE and PEND_REASON_POLICY_CHANGE (R31). It cannot be pended (R33). Permit: the flow is of this epoch
 * and not asked about again. Block: it is ended: TCP is reset at both ends. Others are cut off; their opener's next
 * packets are classified once more in this way, and when they are permitted, as if they opened a flow (R34).
 */
PEND_API enum pend_status pend_engine_set_epoch(struct pend_engine *e, uint8_t epoch);

/*
 * What the callouts answer may be otherwise from here on. A decision lasts for the later copies of its attempt and
 * the later datagrams of its flow: of those made before, each is put to the callouts once more, as in a
 * completion pass that cannot pend, before it decides another packet. Where they would decide otherwise, that
 * packet is classified as if it were the first. Pended contexts have their own completion pass (R21). With `ended`,
 * flows were ended for another reason: then a permit that its peer has taken up is over in any case. Flows
 * of datagrams that wait for their stamps, some hundred at most, get them next, a few in each dispatch; who looks at the
 * live flows waits until pend_engine_settled(), or does not see them. pend_engine_flush() comes before. Whatever lingers
 * costs nothing by itself.
 */
PEND_API enum pend_status pend_engine_policy_changed(struct pend_engine *e, bool ended);
/* Has all that was let in before the last change its stamp? */
PEND_API bool pend_engine_settled(const struct pend_engine *e);

/* ---------------------------------------------------------------------- callouts ---- */

#define PEND_CALLOUT_MAX 16

PEND_API enum pend_status pend_callout_register(struct pend_engine *e, const struct pend_callout *c,
						uint32_t *id);
/*
 * PEND_E_BUSY while it has pended contexts, unless `force`: then those are completed as DRAINED with a
 * block first (R55). PEND_E_NOT_FOUND for an unknown id. Not from inside classify: PEND_E_BUSY.
 */
PEND_API enum pend_status pend_callout_unregister(struct pend_engine *e, uint32_t id, bool force);

/* --------------------------------------------------------------- pend and complete ---- */

struct pend_options {
	uint64_t timeout_ns;          /* from now; default 30 s; 0 is PEND_E_INVALID (R20) */
	enum pend_verdict on_timeout; /* default BLOCK */
	enum pend_block block;        /* how a block is told, unless pend_complete says otherwise */
	enum pend_release release;    /* default FLUSH */
	enum pend_mode mode;          /* default AUTO */
	uint32_t rule;                /* for events */
	uint64_t tag; /* the program's own; comes back in pend_info and pend_metadata */
};

PEND_API void pend_options_init(struct pend_options *o);

/*
 * FwpsPendOperation0. `completion` is the handle of the classify call in progress. On success the context
 * exists before this returns (R9) and *context names it until it is terminal and its memory is
 * reused. Only the initial authorization may pend (R3); a lower callout may pend the same connection
 * after the first pender's permit: the context is the same, its generation and so its handle are new (R18).
 *
 * PEND_E_NULL_POINTER, PEND_E_STALE, PEND_E_NOT_READY, PEND_E_CANNOT_PEND, PEND_E_LIMIT, PEND_E_INVALID, PEND_E_LOOP. On
 * any error nothing changed; what to answer then is the caller's: block is the rule (R6). Above the high watermark an
 * opening packet that is seen for the first time gets PEND_E_LIMIT and is dropped whatever the callout
 * answers: a peer that is really there sends it again, and that copy may pend.
 */
PEND_API enum pend_status pend_operation(struct pend_engine *e, struct pend_completion *completion,
					 const struct pend_options *o, pend_context *context);

/*
 * Decide a pended connection. Runs the completion pass (C1, R21, R27): every callout is classified with
 * PEND_META_COMPLETION; the pender answers CONTINUE to let `verdict` stand. A permit then releases the packet as the
 * context's pend_release says. From inside the classify call that pended it the decision is remembered and carried
 * out when that returns (R10). `reason` is the program's own number, kept for events.
 *
 * PEND_E_NOT_FOUND (never existed, gone), PEND_E_ALREADY (completed before), PEND_E_ACCESS_DENIED (another engine's),
 * PEND_E_LOOP (CONTINUE too often: the context was blocked), PEND_E_INVALID.
 */
PEND_API enum pend_status pend_complete(struct pend_engine *e, pend_context context,
					enum pend_verdict verdict, uint32_t reason);
/* As pend_complete with PEND_VERDICT_BLOCK and this way to tell the peer. */
PEND_API enum pend_status pend_complete_block(struct pend_engine *e, pend_context context,
					      enum pend_block how, uint32_t reason);

/*
 * FwpsCompleteOperation0, for code that is organised the WFP way (R22).
 * packet != NULL: the operation is permitted and this clone is what the peer's packet is replaced by; it stays
 * the caller's and is injected with pend_inject_receive() afterwards, or freed.
 * packet == NULL: whatever is queued is flushed, and the completion pass alone decides, as after
 * FwpsCompleteOperation0(context, NULL): a pender that answers PERMIT there lets the peer's retransmission in, anything
 * else blocks. Errors as pend_complete.
 */
PEND_API enum pend_status pend_complete_operation(struct pend_engine *e, pend_context context,
						  struct pend_packet *packet);

/* FwpsAllocateCloneNetBufferList0: a deep copy that outlives the classify call. NULL if out of memory or of bytes. */
PEND_API struct pend_packet *pend_packet_clone(struct pend_engine *e, const struct pend_packet *p);
PEND_API void pend_packet_free(struct pend_packet *p);
/* The bytes, from the IP header on; valid as long as the packet. */
PEND_API const void *pend_packet_data(const struct pend_packet *p, size_t *len);
/*
 * FwpsInjectTransportReceiveAsync0: let a clone of a completed context's packet in. It is sent through a raw socket
 * and comes to the queue like the peer's own next copy. PEND_E_NOT_FOUND without a permit that
 * covers its flow, PEND_E_UNSUPPORTED without raw_reinject (the peer will retransmit), PEND_E_SYSTEM. The clone stays the caller's.
 */
PEND_API enum pend_status pend_inject_receive(struct pend_engine *e, const struct pend_packet *p);
/* FwpsQueryPacketInjectionState0 (R39). */
PEND_API enum pend_injection pend_packet_injection_state(const struct pend_packet *p);

/*
 * These contexts, some dozens at most, are about to be completed. A hint that changes nothing and cannot fail: with very
 * many contexts most of what a completion costs is to wait for memory, which comes for all of them at once this
 * way. Handles of any kind are allowed, NULL for the engine too. No counterpart in WFP.
 */
PEND_API void pend_context_prefetch(const struct pend_engine *e, const pend_context *context,
				    unsigned n);

/* ------------------------------------------------------------------------- query ---- */

PEND_API enum pend_status pend_context_info(const struct pend_engine *e, pend_context context,
					    struct pend_info *info);
/*
 * Walk the contexts that are not terminal: start with *cursor = 0; looks at at most `scan` slots per
 * call (0 = all), so that a walk of a million does not stop the packets. Returns false at the end. info->context is 0
 * when the slots looked at held none. New contexts may or may not be seen.
 */
PEND_API bool pend_context_next(const struct pend_engine *e, uint32_t *cursor, uint32_t scan,
				struct pend_info *info);

/* Counters since open; see docs/architecture.md for the identity that holds in every snapshot:
 * pended = permitted + blocked + flushed + timed_out + abandoned + lost + drained + pending. */
struct pend_stats {
	uint64_t packets;                          /* read from the queue */
	uint64_t permitted_direct, blocked_direct; /* decided without a pend */
	uint64_t pended;
	uint64_t ended[PEND_STATE_COUNT]; /* by terminal state */
	uint64_t pending;                 /* not terminal now */
	uint64_t lingering;               /* terminal, kept for their peers' retransmissions */
	uint64_t held;                    /* packets waiting in the kernel */
	uint64_t copied_bytes;            /* packets waiting as copies */
	uint64_t retransmits;             /* joined (R14) */
	uint64_t late_copies;   /* copies of a decided attempt, answered from its context */
	uint64_t stamped_later; /* flows of datagrams that were let in first, to keep their order */
	uint64_t kernel_lost;   /* held packets that the kernel dropped (ENOENT) */
	uint64_t reattached;    /* contexts that a retransmission revived after that */
	uint64_t verdicts;      /* sent */
	uint64_t verdict_errors; /* refused by the kernel, ENOENT excepted */
	uint64_t malformed;      /* packets that did not parse */
	uint64_t limit_contexts, limit_source, limit_service, limit_bytes, limit_packets;
	uint64_t watermark_drops;    /* first packets that opened no context above the watermark */
	uint64_t pend_failed;        /* pend_operation errors */
	uint64_t completion_blocked; /* permits that the completion pass refused (R27) */
	uint64_t dangling;           /* callout pended and answered something else (R4) */
	uint64_t injected, inject_failed; /* copies sent (R42) */
	uint64_t answers_forged;          /* RST or ICMP made by ourselves */
	uint64_t established, flow_closed;
	uint64_t reauthorized,
		reauth_ended;     /* packets of flows of another epoch; those that were blocked */
	uint64_t socket_overruns; /* ENOBUFS on the queue socket */
	uint64_t loops;           /* R29, R40 */
	uint64_t pending_peak, held_peak;
	uint64_t memory; /* bytes of address space reserved for contexts and copies */
};

PEND_API void pend_engine_stats(const struct pend_engine *e, struct pend_stats *s);

/* ------------------------------------------------------------------------ hookup ---- */

/* Kernel rules that bring packets to the queues and let decided flows pass. */

enum pend_hook_kind {
	PEND_HOOK_AUTO = 0, /* nft if the kernel can, else iptables */
	PEND_HOOK_NFT, /* a table `inet <name>` of our own with the owner flag, through libnftnl */
	PEND_HOOK_IPTABLES, /* chains of our own, through iptables-restore --noflush */
	PEND_HOOK_NONE,     /* the administrator's own rules; print shows them */
};

enum { PEND_HOOK_INPUT = 1u << 0, PEND_HOOK_FORWARD = 1u << 1 };

struct pend_hook_config {
	enum pend_hook_kind kind;
	const char *name; /* table or chain prefix, default "pend"; [a-z][a-z0-9_-]{0,15} */
	uint16_t queue_first, queue_count; /* 1 at least; up to number 65535 */
	uint32_t mark_mask;
	uint8_t epoch;
	unsigned hooks; /* default INPUT | FORWARD */
	int priority; /* -199 (behind conntrack) to 1000; default 20, behind the host's own filter */
	bool loopback;  /* queue what arrives on lo too; default false */
	bool multicast; /* queue multicast and broadcast too (R48); default false */
	bool fail_open; /* the queue rule's bypass flag */
	/* Queue the next packet of flows that were permitted in another epoch, of replies on OUTPUT too, and let
	 * it go on when nobody takes it: the flow has a permit. nft only: else open says
	 * PEND_E_UNSUPPORTED. Default false: such flows go on */
	bool lazy;
	/* Sets of connections that are decided without being queued: pend_hook_decide(). nft only; else nothing
	 * is changed by it. Default false */
	bool decisions;
	const char *iptables; /* "", "nft" or "legacy": which variant; "" detects */
	int nft_fd; /* adopt this netlink socket that owns the table; -1. Once open succeeds it is the
	                          * hookup's, which closes it at once if it is not by nft */
};

struct pend_hook;

PEND_API void pend_hook_config_init(struct pend_hook_config *c);
PEND_API enum pend_status pend_hook_open(struct pend_hook **out, const struct pend_hook_config *c);
/* Rules in place, as one transaction; stale ones of a crashed run are replaced. Errors: pend_hook_error(). */
PEND_API enum pend_status pend_hook_install(struct pend_hook *h);
/* PEND_OK when the rules are as installed, PEND_E_NOT_FOUND when something is missing (pend_hook_error() says what). */
PEND_API enum pend_status pend_hook_verify(struct pend_hook *h);
/* Put back what verify misses, without touching a base chain that is there. */
PEND_API enum pend_status pend_hook_repair(struct pend_hook *h);
/* Take the rules out; PEND_OK also if there were none. */
PEND_API enum pend_status pend_hook_remove(struct pend_hook *h);
/*
 * Valid only this epoch's ct marks from now on, in one step. Not `lazy`: only flows that conntrack calls
 * new (one-way UDP) are asked about again. Errors: pend_hook_error(), and the epoch is as before.
 */
PEND_API enum pend_status pend_hook_set_epoch(struct pend_hook *h, uint8_t epoch);
/*
 * Decisions that hold for a while, in the kernel: the first packet of a TCP or UDP connection to this host that is
 * like one of them is not queued, but permitted, and its flow stamped as any other, or blocked. They go by
 * themselves, and all of them with pend_hook_undecide(), install, repair and remove; not with a new epoch.
 */
#define PEND_HOOK_DECISIONS_MAX  256u   /* in one call */
#define PEND_HOOK_DECISIONS_SIZE 65536u /* by family and kind of verdict */

struct pend_hook_decision {
	uint8_t family, protocol; /* 4 or 6; IPPROTO_TCP or IPPROTO_UDP */
	uint8_t verdict;          /* enum pend_verdict: PERMIT, BLOCK */
	uint8_t block; /* enum pend_block; what is reset and is not TCP is told unreachable */
	uint16_t dest_port;
	uint32_t in_interface; /* index */
	uint8_t source[16], dest[16];
	uint64_t timeout_ms; /* from now; 1 at least */
};

/* What they decided since the hookup was opened. */
struct pend_hook_decided {
	uint64_t permits, blocks;
};

/* Is there a place for them? By nft, with `decisions` and PEND_HOOK_INPUT. */
PEND_API bool pend_hook_can_decide(const struct pend_hook *h);
/*
 * Add all, or none. One that is there keeps its end. PEND_E_LIMIT: a set is full; PEND_E_UNSUPPORTED: there is no place
 * for them; PEND_E_INVALID: one of them is not as it should be, or too many; others: pend_hook_error().
 */
PEND_API enum pend_status pend_hook_decide(struct pend_hook *h, const struct pend_hook_decision *d,
					   unsigned n);
/* Forget all: when it returns PEND_OK no packet is decided by them any more. */
PEND_API enum pend_status pend_hook_undecide(struct pend_hook *h);
PEND_API enum pend_status pend_hook_decided(struct pend_hook *h, struct pend_hook_decided *out);
/* "nft", "nft with xtables NFQUEUE", "iptables-nft", "iptables-legacy", "none" */
PEND_API const char *pend_hook_describe(const struct pend_hook *h);
PEND_API const char *pend_hook_error(const struct pend_hook *h);
/* One sentence about something odd that does not stop us (both kinds of iptables in use); "" if nothing. */
PEND_API const char *pend_hook_warning(const struct pend_hook *h);
/* What the kernel was found to offer: "nft, nft owner, ...; missing: nft queue"; "" if it was not asked. */
PEND_API const char *pend_hook_features(struct pend_hook *h);
/*
 * What the engine has to know about the rules (pend_engine_config), known after open. iptables cannot reject behind
 * its own filter: the engine forges RST and ICMP. And it has one chain for both, tagging and stamping: permits come
 * back by NF_REPEAT. With PEND_HOOK_NONE, a config's `iptables` other than "" says that rules like iptables' are used.
 */
PEND_API bool pend_hook_can_reject(const struct pend_hook *h);
PEND_API bool pend_hook_wants_repeat(const struct pend_hook *h);
/* The netlink socket that owns the nft table (for systemd's fd store), -1 if none. */
PEND_API int pend_hook_fd(const struct pend_hook *h);
/* The rules as text that nft -f, or iptables-restore, reads; malloced, caller frees; NULL on error. */
PEND_API char *pend_hook_print(const struct pend_hook *h, enum pend_hook_kind as);
/* Closes; rules with the owner flag vanish, iptables rules stay until pend_hook_remove. NULL is allowed. */
PEND_API void pend_hook_close(struct pend_hook *h);

#ifdef __cplusplus
}
#endif
#endif
