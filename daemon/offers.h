/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Connections whose like is decided for a while, on their way into the kernel (pend_hook_decide()).
 *
 * A worker that decides one by what is remembered, or has just been told something to remember, notes it in a ring of
 * its own: no lock, no system call, no allocation. That is a hint and no more. The main thread empties the rings
 * every few milliseconds, finds out itself what holds, and keeps a table of what the kernel has, so that
 * nothing is offered twice.
 */
#ifndef DAEMON_OFFERS_H
#define DAEMON_OFFERS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define OFFERS_RING 256u   /* a power of two */
#define OFFERS_MAX  65536u /* connections in the kernel, in all */

/* What the kernel's sets see of a connection to this host. */
struct offer_key {
	uint8_t source[16], dest[16];
	uint32_t in_interface; /* index */
	uint16_t dest_port;
	uint8_t family, protocol;
};

struct offer_key offer_key_of(uint8_t family, uint8_t protocol, const uint8_t source[16],
			      const uint8_t dest[16], uint16_t dest_port, uint32_t in_interface);

struct offer {
	struct offer_key k;
	uint32_t
		fresh; /* a decision was remembered just now: others about this source may be over */
};

struct offer_ring {
	_Atomic uint32_t head; /* the worker's */
	_Atomic uint32_t tail; /* the main thread's */
	_Atomic bool called;   /* the main thread was told, and will look again */
	_Atomic bool lost;     /* a fresh one found no room */
	_Atomic uint64_t missed;
	struct offer offer[OFFERS_RING];
};

/* The worker. True: the main thread is to be told that there is something. */
bool offers_push(struct offer_ring *r, const struct offer *o);
/* The main thread. False: nothing is there. */
bool offers_pop(struct offer_ring *r, struct offer *o);
/* The main thread will not look by itself any more. False: something has come, and it has to. */
bool offers_rest(struct offer_ring *r);

/* ---- what the kernel has ---- */

struct offers_table;

struct offer_held {
	struct offer_key k;
	uint64_t until_ns; /* CLOCK_BOOTTIME */
	uint64_t rule;     /* classify_rule_key() */
	uint8_t verdict;   /* enum pend_verdict */
	uint8_t block;     /* enum pend_block */
};

/* 0, -ENOMEM or -EIO. */
int offers_table_new(struct offers_table **out);
void offers_table_free(struct offers_table *t); /* NULL is allowed */
bool offers_has(const struct offers_table *t, const struct offer_key *k, uint64_t now_ns);
/* False: there is no room. */
bool offers_add(struct offers_table *t, const struct offer_held *h, uint64_t now_ns);
void offers_clear(struct offers_table *t);
/* How many, those that have ended lately among them. */
uint32_t offers_count(const struct offers_table *t);
/* Those of a source, in no order; *cursor is 0 to begin. Nothing may be added meanwhile. False: no more. */
bool offers_next(const struct offers_table *t, const uint8_t source[16], uint32_t *cursor,
		 uint64_t now_ns, struct offer_held *h);
/* Look at a part of the table for those that have ended; all of it in OFFERS_SWEEPS calls. */
#define OFFERS_SWEEPS 16u
void offers_sweep(struct offers_table *t, uint64_t now_ns);

#endif
