/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The index of a classifier: which rules a packet can match at all, without looking at the rules.
 *
 * For each dimension (source, its country, destination, ports, protocol, hook and family) all values are
 * divided into classes that no rule tells apart, and each class has a row: one bit a rule, set when the rule
 * does not mind this value. A packet's rows, ANDed, leave the rules that match in all those dimensions; the first
 * bit that is left, in the order of the file, is the answer once the few other conditions were
 * looked at. In front of each row stands a summary, one bit for 64 rules, so that empty stretches
 * are skipped 4096 rules at a time (Baboescu, Varghese: "Scalable Packet Classification", 2001).
 *
 * Built once when the image is attached, from checked data; constant afterwards.
 */
#ifndef CORE_CLASSIFY_INDEX_H
#define CORE_CLASSIFY_INDEX_H

#include "core/classify_image.h"
#include <pend.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct classifier;
struct classify_patch;

enum index_dim {
	DIM_FROM4,
	DIM_FROM6,
	DIM_TO4,
	DIM_TO6,
	DIM_SPORT,
	DIM_DPORT,
	DIM_PROTO,
	DIM_PLACE, /* hook and family */
	DIM_COUNTRY4,
	DIM_COUNTRY6,
	DIM_COUNT,
};

#define INDEX_NO_PORT   65536u /* DIM_SPORT, DIM_DPORT: a packet without ports */
#define INDEX_PLACES    16u    /* hook (0 to 7), and 8 more for IPv6 */
#define INDEX_BYTES_MAX (192u << 20)

struct index_v6 {
	uint64_t hi, lo;
};

/* A class by its name: the names of the groups that are active in it, XORed. */
struct index_slot {
	uint64_t name[2];
	uint32_t class;
	bool used;
};

/* Rules that ask the same of a dimension; active where what they ask for is. */
struct index_group {
	uint64_t name[2];
	uint32_t first, n; /* its rules, in `order` */
};

/* One condition's, sources or destinations; both families share them. */
struct index_groups {
	struct index_group *group;
	uint32_t *order; /* rules, group by group */
	uint32_t n;
	struct index_use {
		uint32_t set, group;
	} * use; /* which groups ask for a set that has a name; by set */
	uint32_t uses;
};

/* The rows of one dimension, and the way from a value to its class. */
struct index_part {
	uint64_t *rows; /* class -> rows + class * stride; NULL: nothing depends on it */
	uint32_t classes, capacity;
	uint32_t *class_of; /* by value (ports, protocol, place), or by interval */
	uint32_t n;         /* intervals */
	uint32_t *start4;   /* ... sorted by where they start; the first starts at 0 */
	struct index_v6 *start6;
	uint32_t *top;       /* IPv4: 65537 places in start4, by the upper 16 bits */
	uint64_t (*name)[2]; /* addresses: by class; and the way back */
	struct index_slot *slot;
	uint32_t slots;
};

struct classify_index {
	uint32_t rules;
	uint32_t words, sums, stride; /* of a row, in 64-bit words: bits, summary, both */
	uint32_t residual;            /* bits of enum pol_cond that are still to be looked at */
	size_t bytes;
	struct index_part part[DIM_COUNT];
	struct index_groups from, to;
};

/* 0 or -ENOMEM. A dimension whose rows would take too much is left to `residual`. */
int classify_index_build(struct classify_index *ix, const struct classifier *c);
void classify_index_free(struct classify_index *ix); /* idempotent, safe on a zeroed struct */

/* The rows of a packet; only dimensions that matter are in them. */
struct index_rows {
	const uint64_t *row[DIM_COUNT];
	unsigned n;
};

/* `patch` may be NULL. */
void classify_index_rows(const struct classify_index *ix, const struct classify_patch *patch,
			 const struct pend_values *v, uint32_t source4, uint32_t dest4,
			 struct index_rows *rows);
/* The interval of an address, from 0; of a part that has rows. */
uint32_t classify_index_interval4(const struct index_part *p, uint32_t addr);
uint32_t classify_index_interval6(const struct index_part *p, struct index_v6 addr);
/* The slot of a name, used or not; there are always some that are not. */
struct index_slot *classify_index_slot(struct index_slot *slot, uint32_t slots,
				       const uint64_t name[2]);
/*
 * The first rule at or after *rule and before `end` that the rows leave. False: none. Go on from
 * *rule + 1.
 */
bool classify_index_next(const struct classify_index *ix, const struct index_rows *rows,
			 uint32_t *rule, uint32_t end);

#endif
