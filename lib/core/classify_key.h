/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is decided about a connection by its interface, addresses, protocol and destination port alone, so that
 * others can decide about its like: sets in the kernel, that see nothing else.
 */
#ifndef CORE_CLASSIFY_KEY_H
#define CORE_CLASSIFY_KEY_H

#include "core/classify.h"

/* Why something else matters: a condition (enum pol_cond), or one of these. */
enum classify_else {
	CLASSIFY_ELSE_INPUT = 64, /* it does not come to this host, or has no ports */
	CLASSIFY_ELSE_LIMIT,      /* a rate or a quota */
	CLASSIFY_ELSE_INSPECT,    /* a rule that tells of each */
	CLASSIFY_ELSE_LOG,
	CLASSIFY_ELSE_COUNTER,
	CLASSIFY_ELSE_PENDS, /* another layer asks too: one answer is not all of them */
};

struct classify_else_at {
	uint32_t rule; /* CLASSIFY_NO_RULE: of none */
	uint8_t what;  /* enum pol_cond or enum classify_else */
};

/*
 * True, and *r as of classify_with(): every packet that opens a connection to this host from `v`'s interface and
 * source to its destination, protocol and destination port is decided so, whatever else is in it, whenever it
 * comes, whoever listens, and nobody is to be told or to count. It holds as long as this classifier and
 * the names of interfaces do. False: where something else matters, in *at. As dear as classify_with(). Any number
 * of threads.
 */
bool classify_by_key(const struct classifier *c, const struct classify_ifaces *ifaces,
		     const struct pend_values *v, struct classify_result *r,
		     struct classify_else_at *at);
/* For people: "from port", "time", "rate"; NULL for an unknown one. */
const char *classify_else_name(unsigned what);

#endif
