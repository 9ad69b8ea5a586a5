/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Decisions that hold for a while: what an authority or a person said about a connection, for others of the same
 * scope, so that they are not asked again (`remember` of a rule).
 *
 * One table for all threads. Looking up takes no lock and allocates nothing: an entry has a sequence number
 * that is odd while it is written, and a reader that saw it change takes the entry for none. Whoever writes
 * takes the entry by that number, and tries again when another has it. The table has a fixed
 * size: where it is full, what ends first goes; an entry with live flows to end is put aside for those who look for them. A decision belongs to a rule by its key, which is that
 * of the layer's name and of the rule's canonical text: it survives a policy in which the rule stays as it is, and
 * means nothing to any other.
 *
 * Looking one up costs nothing for rules of which nothing was ever remembered: each scope has a few marks by
 * rules' keys, which are looked at first and never taken back.
 */
#ifndef DAEMON_REMEMBERED_H
#define DAEMON_REMEMBERED_H

#include "core/classify.h"
#include <pend.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define REMEMBERED_MAX  65536u /* entries; a power of two */
#define REMEMBERED_WAYS 8u     /* places that one key can have */
/* Entries with live flows to end, whose place another has got since somebody looked. */
#define REMEMBERED_ENDING 1024u

/* What lies outside of the scope is 0. */
struct remembered_key {
	uint64_t rule; /* classify_rule_key() */
	uint8_t source[16], dest[16];
	uint16_t source_port, dest_port;
	uint8_t family, protocol, scope, pad;
};

struct remembered_value {
	uint64_t until_ns, since_ns; /* CLOCK_BOOTTIME */
	uint32_t
		note; /* MSG_REASON_NOTE(): who and why, as the authority process knows it; 0: unknown */
	uint8_t verdict; /* enum pend_verdict: BLOCK, PERMIT */
	uint8_t reason;  /* enum msg_complete_reason */
	uint8_t end;     /* live flows end with it */
	uint8_t kernel;  /* as it travels: the kernel decides by it. In the table 0 */
};

/* As it travels to the authority process. */
struct remembered_entry {
	struct remembered_key k;
	struct remembered_value v;
};

struct remembered_stats {
	_Atomic uint64_t kept, permits, blocks; /* made; looked up with success */
	_Atomic uint64_t evicted;               /* ended early: the table was full */
	_Atomic uint64_t forgotten;             /* on request */
};

struct remembered;

/* 0, -ENOMEM or -EIO. */
int remembered_new(struct remembered **out);
void remembered_free(struct remembered *t); /* NULL is allowed */
const struct remembered_stats *remembered_stats(const struct remembered *t);

struct remembered_key remembered_key_of(uint64_t rule, uint8_t scope, uint8_t family,
					uint8_t protocol, const uint8_t source[16],
					uint16_t source_port, const uint8_t dest[16],
					uint16_t dest_port);
/* Any thread. Is there one that has not ended by now? */
bool remembered_find(const struct remembered *t, const struct remembered_key *k, uint64_t now_ns,
		     struct remembered_value *v);
/* Who a connection is from and to, whatever the scope. */
struct remembered_flow {
	uint8_t family, protocol;
	uint16_t source_port, dest_port;
	const uint8_t *source, *dest; /* 16 bytes each */
};

/*
 * The decision that holds of a connection by this rule, whatever its scope; of several the one of the narrowest: flow,
 * service, source. Any thread.
 */
bool remembered_about(const struct remembered *t, uint64_t rule, const struct remembered_flow *f,
		      uint64_t now_ns, struct remembered_value *v);
/*
 * The same of connections from whatever source port. False also when something was ever remembered of a single flow by
 * this rule, or by one that shares its mark: then the port may matter.
 */
bool remembered_about_all(const struct remembered *t, uint64_t rule,
			  const struct remembered_flow *f, uint64_t now_ns,
			  struct remembered_value *v);
/* A connection was decided by it: count. */
void remembered_used(struct remembered *t, const struct remembered_value *v);
/* Any thread. False: every place of it is being written by others, again and again. */
bool remembered_add(struct remembered *t, const struct remembered_key *k,
		    const struct remembered_value *v, uint64_t now_ns);
/* As remembered_add; *evicted is the key of one that had to go although it held still: `rule` 0, none. */
bool remembered_put(struct remembered *t, const struct remembered_key *k,
		    const struct remembered_value *v, uint64_t now_ns,
		    struct remembered_key *evicted);
/*
 * The entries from *cursor on (0 to begin), also ended ones whose live flows have not been looked for yet.
 * False: no more. What is added meanwhile may be missed.
 */
bool remembered_next(const struct remembered *t, uint32_t *cursor, struct remembered_key *k,
		     struct remembered_value *v);
/* The one that remembered_next showed last, when it is still that one. True: it is gone. */
bool remembered_remove(struct remembered *t, uint32_t cursor, const struct remembered_key *k);
/* So many were removed on request. */
void remembered_forgot(struct remembered *t, uint64_t n);
/* The earliest end of an entry with live flows to end; UINT64_MAX: none. May be too early, never too late. */
uint64_t remembered_next_end(const struct remembered *t);
/* More has ended than could be put aside: any live flow may have to end. Said once. */
bool remembered_ends_lost(struct remembered *t);
/* After the ended ones were removed: look anew. */
void remembered_seek_end(struct remembered *t);

#endif
