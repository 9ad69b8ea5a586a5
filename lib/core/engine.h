/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The engine without its sockets: from a packet's bytes to a verdict. The walk, file by file:
 *
 *   engine.c    a packet: parse, known context or new flow; retransmissions, RST, late copies
 *   again.c     a packet of a flow that was permitted before the policy changed
 *   arbiter.c   classify: the callouts in order, rights and veto, pend_operation
 *   complete.c  the only way out of the table: decision, deadline, drain; completion pass;
 *               release, flush or refuse; what the kernel said about it; terminal state
 *   stamp.c     stamps that wait until they cannot reorder
 *   linger.c    what comes behind that: late copies, the flow in conntrack, forgetting
 *
 * What leaves goes through struct engine_ops: netlink in lib/io, a recorder in the tests.
 */
#ifndef CORE_ENGINE_H
#define CORE_ENGINE_H

#include "core/mark.h"
#include "core/packet.h"
#include "core/pctx.h"
#include <pend.h>

enum engine_verdict {
	ENGINE_ACCEPT,      /* and stamp: later packets of the flow pass in the kernel */
	ENGINE_ACCEPT_ONCE, /* this packet only */
	ENGINE_DROP,
	ENGINE_RESET, /* NF_REPEAT into the hookup's reject rules */
	ENGINE_UNREACH,
	ENGINE_END, /* NF_REPEAT: the hookup marks the flow BLOCKED, and drops or resets all of it */
};

#define ENGINE_SEQ_NONE 0u
#define ENGINE_SEQ_BARRIER \
	0x80000000u /* on the last tracked verdict of a send: please acknowledge */
#define ENGINE_SEQ_SLOT      0x00ffffffu /* slot + 1 of the context it belongs to, */
#define ENGINE_SEQ_GEN_SHIFT 24          /* and the low bits of its generation */
#define ENGINE_SEQ_GEN_MASK  0x3fu
#define ENGINE_SEQ_OLD       0x40000000u /* of a copy that a newer one has replaced */

enum engine_track { TRACK_NONE, TRACK_OPENING, TRACK_ESTABLISHED, TRACK_CLOSED, TRACK_UNKNOWN };

/* What the engine asks of its I/O. None of these may call back into the engine. */
enum engine_stamp {
	STAMP_SET,
	STAMP_NO_FLOW, /* it is not there, or not yet: its verdict is on its way */
	STAMP_NOT_NOW, /* for want of memory */
	STAMP_CANNOT,
};

struct engine_ops {
	/* Queue a verdict for sending. seq: ENGINE_SEQ_NONE, or slot + 1. `mark` is the packet's. */
	void (*verdict)(void *io, uint32_t id, enum engine_verdict v, uint32_t mark, uint32_t seq);
	/* Send a whole packet to a local address as if it came in; checksums are right. `iif`
	 * is where the original came in: the scope of link-local addresses. */
	bool (*inject)(void *io, const uint8_t *data, uint32_t len, const struct flow *f,
		       uint32_t iif);
	/* Send a packet of ours to the peer of this flow. */
	bool (*answer)(void *io, const uint8_t *data, uint32_t len, const struct flow *f,
		       uint32_t iif);
	/* What conntrack knows of a flow. NONE: it is not there, or was translated both ways. */
	enum engine_track (*track)(void *io, const struct flow *f);
	/* The clock, for calls that come between two dispatches. NULL: time stands still there. */
	mono_t (*now)(void *io);
	/* A live flow was blocked. TCP: end its local socket, if there is one. Others: mark it BLOCKED in conntrack;
	 * true when that was done. NULL: nothing can be. */
	bool (*end)(void *io, const struct flow *f);
	/* A flow was let in without a stamp: set it now. NULL: there is no way to. */
	enum engine_stamp (*stamp)(void *io, const struct flow *f);
};

/* A queued packet, as the kernel describes it. */
struct engine_input {
	const uint8_t *data;
	uint32_t len, total; /* total > len: the kernel's copy was cut */
	uint32_t id, mark, iif, oif;
	uint8_t hook;
	bool csum_pending;
	bool stamp; /* nothing of this flow is known to wait behind it: a stamp cannot reorder */
};

struct pend_packet {
	const uint8_t *data;
	uint32_t len;
	uint32_t isn, iif;
	struct flow flow;
	bool csum_pending, clone;
	uint8_t hook;
	enum pend_injection injection;
};

struct engine_callout {
	uint32_t id;
	struct pend_callout c;
	char name[32];
	uint32_t live; /* contexts it has pended */
};

struct decision {
	enum pend_verdict verdict;
	enum pend_block block;
	enum pend_state
		outcome; /* where a block or a permit ends: BLOCKED, TIMED_OUT, DRAINED ...; FREE = by verdict */
	uint32_t reason;
	bool pass;  /* the completion pass alone decides (R22) */
	bool flush; /* whatever the context's release says */
};
/* The classify call in progress; they nest when a callout completes another context. */
struct engine_call {
	uint64_t token;                /* the completion handle last given out; 0: cannot pend */
	bool offered;                  /* ... to the callout that is asked now */
	unsigned notifying;            /* e->notifying when it began */
	const struct engine_input *in; /* NULL in a completion pass */
	const struct packet *packet;
	struct pctx *ctx; /* made or taken up again in this call; or the pass's */
	unsigned callout; /* index of the callout that is asked now */
	bool pended, deferred, limited, early;
	uint8_t aggregate;        /* of the callouts asked before */
	struct decision decision; /* early: the context was completed inside the call (R10) */
	struct engine_call *outer;
};

/* Flows of datagrams that were let in and get their stamp later: core/stamp.c. */
#define STAMP_FLOWS 256u

struct stamp_flow {
	struct flow flow;
	mono_t first, last; /* datagrams of it */
	bool waits;
	bool tried; /* ... once more, as it was not there */
};

struct stamps {
	struct stamp_flow slot[STAMP_FLOWS]; /* by the flow's hash */
	uint16_t ring[STAMP_FLOWS];          /* those that wait, the longest first */
	uint16_t head, n;
	uint16_t owed; /* so many of the first ones are stamped as soon as can be */
	bool off;
	struct wheel_timer timer;
};

struct pend_engine {
	struct pend_engine_config cfg;
	struct mark_layout marks;
	struct pctx_table table;
	struct pend_stats stats;
	struct engine_callout callout[PEND_CALLOUT_MAX];
	unsigned callouts;
	uint32_t next_callout_id;
	const struct engine_ops *ops;
	void *io;
	mono_t now;
	uint64_t next_token;
	struct engine_call *call; /* innermost */
	unsigned depth;
	unsigned notifying;  /* nested calls of the notify function */
	uint16_t turn;       /* changes with what the callouts would say */
	uint16_t forgotten;  /* permits of earlier turns that were taken up are over; 0: none are */
	uint32_t barrier;    /* number of the send being gathered, from 1 */
	uint32_t acked;      /* ... and of the last one that is settled */
	bool barrier_wanted; /* a context waits for it */
	bool started, draining;
	mono_t limit_told; /* the last PEND_EVENT_LIMIT */
	uint32_t drain_cursor;
	uint32_t track_budget; /* look-ups left in this second */
	mono_t track_second;
	struct stamps stamps;
	uint8_t *scratch; /* 64 KiB: a copy on its way out */
	char error[256];
};

#define ENGINE_SCRATCH 65536u
#define ENGINE_DEPTH   4 /* nested classify calls */
#define ENGINE_NOTIFY_DEPTH \
	16 /* nested notify calls that may complete: each takes a kilobyte of stack or so */

/* core/engine.c */
enum pend_status engine_init(struct pend_engine *e, const struct pend_engine_config *c,
			     const struct engine_ops *ops, void *io, const struct siphash_key *key,
			     mono_t now);
void engine_deinit(struct pend_engine *e);
void engine_packet(struct pend_engine *e, const struct engine_input *in);
/* So do these, in their order; ENGINE_BATCH of them at most. Cheaper than one after the other where much is pended. */
#define ENGINE_BATCH 16u
void engine_packets(struct pend_engine *e, const struct engine_input *const *in, unsigned n);
/* Fire what is due; at most `budget` timers (0 = all). */
void engine_expire(struct pend_engine *e, uint32_t budget);
/* Block a packet that no context owns. */
void engine_refuse(struct pend_engine *e, const struct engine_input *in, const struct flow *f,
		   uint32_t isn, enum pend_block how);

/* The verdict that lets the packet in, and its flow with it. */
enum engine_verdict engine_accept(struct pend_engine *e, const struct engine_input *in,
				  const struct flow *f);

/* core/again.c: a packet of a flow that was permitted in another epoch (R31 to R34). */
void again_packet(struct pend_engine *e, const struct engine_input *in, const struct packet *p);
/* A packet that may begin a flow anew that was ended: true when it does not, and has its verdict. */
bool again_stays_ended(struct pend_engine *e, const struct engine_input *in,
		       const struct packet *p);

/* core/arbiter.c */
struct arbiter_result {
	enum pend_action action;
	enum pend_block block;
	uint32_t rule;
	bool pended;   /* call->ctx is STORED and must be settled by the caller */
	bool dangling; /* it was pended, but the callout answered something else (R4) */
	bool deferred; /* drop it: above the watermark */
	bool event, early, loop;
	bool once;                /* a permit of the packet, not of its flow; a block for now */
	bool write;               /* lower callouts may still change it */
	struct decision decision; /* early */
};
/* Everything from callout `first` on; *r holds what those before it said, and gets the result. */
void arbiter_classify(struct pend_engine *e, struct engine_call *call, const struct pend_values *v,
		      struct pend_metadata *m, const struct pend_packet *p, unsigned first,
		      struct arbiter_result *r);
/* The completion pass over one context; PERMIT, BLOCK, or pended again. `asked` is the decision; with
 * PEND_VERDICT_CONTINUE the pass alone decides. */
void arbiter_complete(struct pend_engine *e, struct pctx *c, enum pend_verdict asked, bool reinvoke,
		      struct arbiter_result *r);
enum arbiter_word { ARBITER_FALLS, ARBITER_STANDS, ARBITER_UNTOLD };
/* Would the callouts of now decide a context that lingers as it was decided? Nobody may pend. UNTOLD: one of them
 * cannot say yet. */
enum arbiter_word arbiter_stands(struct pend_engine *e, struct pctx *c);
void arbiter_values(const struct engine_input *in, const struct packet *p,
		    const struct mark_layout *marks, struct pend_values *v);

/* core/begin.c: pend_operation of the call in progress, arguments checked. */
enum pend_status begin_pend(struct pend_engine *e, struct engine_call *call,
			    const struct pend_options *o, pend_context *context);
/* Leave a packet in the kernel's queue for this context. False: the queue, or the context, has no room for it
 * (counted as limit_packets). */
bool begin_hold(struct pend_engine *e, struct pctx *c, uint32_t id);
/* What each packet of a context says anew. */
void begin_input(const struct pend_engine *e, struct pctx *c, const struct engine_input *in);

/* core/complete.c */
/* After classify: STORED -> PENDED, or what was decided meanwhile (R10). */
void complete_stored(struct pend_engine *e, struct pctx *c, const struct engine_input *in,
		     const struct arbiter_result *r);
enum pend_status complete_decide(struct pend_engine *e, struct pctx *c, const struct decision *d);
/* The peer went away or began anew; its packets are dropped. The context is free afterwards. */
void complete_abandon(struct pend_engine *e, struct pctx *c);
/* The kernel did not know packet `id` of this slot (ENOENT). */
void complete_kernel_lost(struct pend_engine *e, uint32_t seq, uint32_t id);
/* The acknowledgement of send `barrier` was read. */
void complete_acknowledged(struct pend_engine *e, uint32_t barrier);
/* ... and none comes any more of those up to `barrier`. */
void complete_unacknowledged(struct pend_engine *e, uint32_t barrier);
void complete_timer(void *engine, struct wheel_timer *t);
/* A copy of ours came back, and its verdict is sent. */
void complete_returned(struct pend_engine *e, struct pctx *c);
/* Terminal: counted, told, and forgotten or left to linger. */
void complete_settle(struct pend_engine *e, struct pctx *c, enum pend_state state);

/* core/stamp.c */
/* The flow gets its stamp when it is quiet. False: it does not, and the verdict has to stamp. */
bool stamp_later(struct pend_engine *e, const struct flow *f);
/* All of them soon: what is in must be seen by who looks at the live flows. */
void stamp_owe(struct pend_engine *e);
/* ... or now. */
void stamp_all(struct pend_engine *e);
void stamp_timer(struct pend_engine *e);

/* core/linger.c */
void linger_begin(struct pend_engine *e, struct pctx *c);
/* Is it decided as it would be by the callouts of now? If it falls, it decides nothing any more; untold, it decides
 * nothing about this packet. */
enum arbiter_word linger_stands(struct pend_engine *e, struct pctx *c);
/* Another copy or datagram of a context that is COMPLETING or lingers. */
void linger_late(struct pend_engine *e, struct pctx *c, const struct engine_input *in);
void linger_timer(struct pend_engine *e, struct pctx *c);

void engine_event(struct pend_engine *e, enum pend_event_type type, const struct pctx *c);
/* An event about a packet that no context stands for. */
void engine_event_bare(struct pend_engine *e, enum pend_event_type type,
		       const struct engine_input *in, const struct packet *p,
		       const struct arbiter_result *r);
void engine_verdict(struct pend_engine *e, uint32_t id, enum engine_verdict v, uint32_t mark,
		    const struct pctx *c);

#endif
