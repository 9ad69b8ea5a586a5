/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who changed what, when, why, and what came of it: the last JOURNAL_KEPT changes of the policy. Each one is a
 * line of the log too.
 */
#ifndef DAEMON_JOURNAL_H
#define DAEMON_JOURNAL_H

#include "daemon/overlay.h"

#define JOURNAL_KEPT   1000u
#define JOURNAL_WHAT   240u
#define JOURNAL_STATUS 160u

enum journal_kind {
	JOURNAL_START,
	JOURNAL_RELOAD,
	JOURNAL_POLICY,
	JOURNAL_SET,
	JOURNAL_SESSION, /* what went with a connection */
	JOURNAL_EXPIRED, /* what went by itself */
	JOURNAL_KINDS,
};

/* Pointer-free; all text is printable and terminated. */
struct journal_entry {
	uint64_t number;  /* from 1; journal_add sets it */
	uint64_t time_ms; /* since 1970 */
	uint32_t generation, revision;
	uint32_t kind; /* enum journal_kind */
	struct overlay_who who;
	char what[JOURNAL_WHAT], why[OVERLAY_WHY_MAX + 1];
	char status[JOURNAL_STATUS]; /* "ok", or what was wrong */
};

struct journal;

int journal_new(struct journal **out); /* 0 or -ENOMEM */
void journal_free(struct journal *j);  /* NULL is allowed */
/* Keeps it, and logs it. What is not printable in its text is escaped. */
void journal_add(struct journal *j, const struct journal_entry *e);
uint64_t journal_count(const struct journal *j);
/* By number; NULL if it is gone, or still to come. */
const struct journal_entry *journal_at(const struct journal *j, uint64_t number);
const char *journal_kind_name(uint32_t kind); /* "reload" */

/* All that is kept as bytes, malloced. 0 or -ENOMEM. */
int journal_flatten(const struct journal *j, char **data, size_t *len);
/* Those of an earlier process, in place of all that is kept. Any bytes are safe; what is wrong is left out. */
void journal_unflatten(struct journal *j, const void *data, size_t len);

#endif
