/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Completion contexts as people type them: the worker's letters (a..z, aa..), the slot and, behind a
 * dot, the generation, both decimal: "a0.1". One handle has one text and the other way round.
 */
#ifndef DAEMON_IDS_H
#define DAEMON_IDS_H

#include <pend.h>

#define IDS_TEXT 24 /* "iv16777215.4294967295" and the end */

/* The three parts of a handle, as pend.h lays them out. */
static inline unsigned ids_worker(pend_context c)
{
	return (unsigned)(c >> 56);
}

static inline uint32_t ids_slot(pend_context c)
{
	return (uint32_t)(c >> 32) & 0xffffff;
}

static inline uint32_t ids_generation(pend_context c)
{
	return (uint32_t)c;
}

static inline pend_context ids_make(unsigned worker, uint32_t slot, uint32_t generation)
{
	return (pend_context)(worker & 0xff) << 56 | (pend_context)(slot & 0xffffff) << 32 |
	       generation;
}

const char *ids_print(pend_context c, char buf[IDS_TEXT]);
/* Strict: lower case, no leading zeros, in range, generation not 0. 0 or -EINVAL. */
int ids_parse(const char *s, pend_context *out);

#endif
