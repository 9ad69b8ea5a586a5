/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The engine in a simulated kernel: no socket, no clock, no root. Packets are queued with ids and
 * get verdicts; a ledger fails the test when an id gets two verdicts, or none by the end. What the
 * kernel "loses" is answered with ENOENT, and barriers are acknowledged in the order of sending.
 *
 * A failed check prints its place and aborts: that is a failure under Check, a crash to a fuzzer.
 */
#ifndef TESTS_ENGINE_SIM_H
#define TESTS_ENGINE_SIM_H

#include "core/engine.h"
#include "tests/unit/abort_unless.h"
#include <stdio.h>
#include <stdlib.h>

#define SIM_CHECK ABORT_UNLESS

/* What a callout of the tests does when it is asked. */
enum sim_do {
	DO_CONTINUE,
	DO_PERMIT,
	DO_HARD_PERMIT, /* and take the right to change it from those below */
	DO_BLOCK,       /* as pend_out_block does */
	DO_BLOCK_ONCE,  /* ... for now */
	DO_SOFT_BLOCK,  /* the right is left to those below */
	DO_PEND,        /* opt; what pend_operation said is in pend_status */
	DO_PEND_DANGLE, /* pend, then answer permit (R4) */
	DO_PEND_EARLY,  /* pend and complete with `early` inside the call (R10) */
};

struct sim;
struct sim_callout;
typedef void (*sim_hook)(struct sim_callout *c, const struct pend_values *v,
			 const struct pend_metadata *m, const struct pend_packet *p,
			 struct pend_classify_out *out);

struct sim_callout {
	struct sim *s;
	uint32_t id;
	enum sim_do first, pass; /* asked for the first time, and in a completion pass */
	struct pend_options opt;
	enum pend_verdict early;
	enum pend_block how; /* of DO_BLOCK */
	sim_hook hook;       /* instead of all that */
	void *arg;
	/* what happened */
	unsigned calls, passes;
	enum pend_status pend_status, early_status;
	pend_context ctx; /* of the last pend that succeeded */
	struct pend_completion *handle;
	struct pend_metadata meta;
	struct pend_values values;
	uint32_t rights;
};

/* One packet in the ledger; its id is the index + 1. */
struct sim_packet {
	struct flow flow;
	uint32_t isn, len;
	uint8_t last_byte;
	uint8_t kind;
	bool lost;    /* the kernel has dropped it */
	bool decided; /* a verdict was sent */
	bool given;   /* and has reached the kernel */
	bool injected;
	enum engine_verdict verdict;
	uint32_t mark;
};

struct sim_verdict {
	uint32_t id, seq;
	enum engine_verdict v;
};

struct sim_answer {
	uint32_t seq, id, barrier;
	bool enoent;
};

struct sim_bytes {
	uint8_t *data;
	uint32_t len, iif;
};

#define SIM_ALLOWED (1u << 16)
#define SIM_EVENTS  64u

struct sim {
	struct pend_engine e;
	struct pend_engine_config cfg;
	struct sim_packet *ledger;
	uint32_t packets, room;
	struct sim_verdict *out; /* gathered, not sent */
	unsigned outs, out_room;
	struct sim_answer *in; /* the kernel's, not read */
	unsigned ins, in_room;
	struct sim_bytes *injected; /* on their way over lo */
	unsigned injections, inject_room;
	bool inject_fails, answer_fails, end_fails, lose_answers;
	bool trace; /* check that what is accepted was permitted (I2) */
	enum engine_track track;
	unsigned tracks;
	uint32_t *delivered; /* ids in the order in which they were let in */
	unsigned deliveries, deliver_room;
	unsigned answers; /* RST and ICMP of ours */
	uint8_t answer[PACKET_ANSWER_MAX];
	uint32_t answer_len;
	unsigned resets, unreaches; /* by NF_REPEAT */
	unsigned ends;              /* live flows that were to be ended, and the last of them */
	struct flow ended;
	unsigned stamps; /* set behind a verdict, and the last of them */
	struct flow stamped;
	unsigned stamp_misses; /* so many more find no flow */
	bool stamp_fails, stamp_lacks_memory;
	struct pend_event last[16]; /* of each type */
	unsigned events[16];
	struct {
		enum pend_event_type type;
		enum pend_state state;
	} log[SIM_EVENTS]; /* the first ones, in order */
	unsigned logged;
	void (*on_event)(struct sim *s, const struct pend_event *ev);
	void *arg;
	uint64_t *allowed; /* attempts that somebody permitted: a set of hashes */
};

/* The tests' defaults: small tables, no watermark, the clock at 1000 s. Change s->cfg, then start. */
void sim_config(struct sim *s);
void sim_start(struct sim *s);
/* sim_config and sim_start. */
void sim_new(struct sim *s);
/* Complete what is left, check the ledger and the counters, free. */
void sim_end(struct sim *s);

void sim_callout(struct sim *s, struct sim_callout *c, uint32_t weight, enum sim_do first);

/* ---- packets ---- */
struct sim_tuple {
	uint8_t family; /* 4, 6 */
	uint32_t host;  /* of the peer: 10.h.h.h, or 2001:db8:h:h:: */
	uint16_t sport, dport;
};

enum sim_kind { SIM_SYN, SIM_RST, SIM_ACK, SIM_UDP, SIM_ECHO };

/* A whole packet into buf; its length. */
uint32_t sim_make(uint8_t buf[256], enum sim_kind kind, const struct sim_tuple *t, uint32_t isn,
		  unsigned payload, uint8_t fill);
/* Queue bytes and hand them to the engine; the id. */
uint32_t sim_input(struct sim *s, const struct engine_input *in); /* but for its id */
void sim_inputs(struct sim *s, const struct engine_input *in,
		unsigned n); /* at once; ENGINE_BATCH at most */
uint32_t sim_queue(struct sim *s, const uint8_t *data, uint32_t len, uint32_t iif, bool stamp);
uint32_t sim_send(struct sim *s, enum sim_kind kind, const struct sim_tuple *t, uint32_t isn);
/* With the tests' usual peer. */
uint32_t sim_syn(struct sim *s, uint16_t sport, uint32_t isn);
uint32_t sim_udp(struct sim *s, uint16_t sport, uint8_t fill);

/* ---- the kernel ---- */
void sim_flush(struct sim *s);  /* send what is gathered; the kernel's answers wait */
void sim_read(struct sim *s);   /* read them */
void sim_round(struct sim *s);  /* both, until nothing is left */
void sim_arrive(struct sim *s); /* injected copies come to the queue */
void sim_feed(struct sim *s);   /* they do, and a round */
void sim_lose(struct sim *s, uint32_t id);
void sim_lose_all(struct sim *s);
/* Advance the clock from timer to timer, firing what is due, each with a round. */
void sim_wait(struct sim *s, uint64_t ms);

/* ---- looking ---- */
bool sim_accepted(const struct sim *s, uint32_t id);
bool sim_dropped(const struct sim *s, uint32_t id);
bool sim_undecided(const struct sim *s, uint32_t id);
enum pend_state sim_state(const struct sim *s, pend_context ctx); /* FREE: gone */
struct pend_stats sim_stats(const struct sim *s);
/* Everything that must hold between two calls. */
void sim_check(const struct sim *s);
void sim_allow(struct sim *s, const struct flow *f, uint32_t isn);
struct flow sim_flow(enum sim_kind kind, const struct sim_tuple *t);
/* pend_complete, and remember a permit. */
enum pend_status sim_complete(struct sim *s, pend_context ctx, enum pend_verdict v);
/* The usual peer's tuple. */
struct sim_tuple sim_peer(uint16_t sport);

#endif
