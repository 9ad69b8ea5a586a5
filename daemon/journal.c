/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The record of changes; see journal.h. */
#include "daemon/journal.h"
#include "base/str.h"
#include "daemon/log.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct journal {
	uint64_t count;
	struct journal_entry entry[JOURNAL_KEPT];
};

const char *journal_kind_name(uint32_t kind)
{
	static const char *const names[JOURNAL_KINDS] = {
		[JOURNAL_START] = "start",     [JOURNAL_RELOAD] = "reload",
		[JOURNAL_POLICY] = "policy",   [JOURNAL_SET] = "set",
		[JOURNAL_SESSION] = "session", [JOURNAL_EXPIRED] = "expired",
	};

	return kind < JOURNAL_KINDS ? names[kind] : "?";
}

int journal_new(struct journal **out)
{
	struct journal *j = calloc(1, sizeof(*j));

	if (!j)
		return -ENOMEM;
	*out = j;
	return 0;
}

void journal_free(struct journal *j)
{
	free(j);
}

static struct journal_entry *keep(struct journal *j, const struct journal_entry *e)
{
	struct journal_entry *to = &j->entry[j->count++ % JOURNAL_KEPT];

	*to = *e;
	str_sanitize(e->who.user, to->who.user, sizeof(to->who.user));
	str_sanitize(e->what, to->what, sizeof(to->what));
	str_sanitize(e->why, to->why, sizeof(to->why));
	str_sanitize(e->status, to->status, sizeof(to->status));
	to->number = j->count;
	return to;
}

void journal_add(struct journal *j, const struct journal_entry *e)
{
	const struct journal_entry *k = keep(j, e);
	char by[80] = "";

	if (k->who.pid)
		snprintf(by, sizeof(by), " by %s (uid %" PRIu32 ", pid %" PRId32 ")",
			 *k->who.user ? k->who.user : "?", k->who.uid, k->who.pid);
	log_notice("journal",
		   "change=%" PRIu64 " kind=%s policy=%" PRIu32 ".%" PRIu32 "%s: %s%s%s: %s",
		   k->number, journal_kind_name(k->kind), k->generation, k->revision, by, k->what,
		   *k->why ? ", why: " : "", k->why, k->status);
}

uint64_t journal_count(const struct journal *j)
{
	return j->count;
}

const struct journal_entry *journal_at(const struct journal *j, uint64_t number)
{
	if (!number || number > j->count || j->count - number >= JOURNAL_KEPT)
		return NULL;
	return j->entry[(number - 1) % JOURNAL_KEPT].number == number
		       ? &j->entry[(number - 1) % JOURNAL_KEPT]
		       : NULL;
}

int journal_flatten(const struct journal *j, char **data, size_t *len)
{
	struct journal_entry *to;
	uint64_t n = 0;

	while (journal_at(j, j->count - n))
		n++;
	to = calloc(n + 1, sizeof(*to));
	if (!to)
		return -ENOMEM;
	for (uint64_t i = 0; i < n; i++)
		to[i] = *journal_at(j, j->count - n + 1 + i);
	*data = (char *)to;
	*len = n * sizeof(*to);
	return 0;
}

static bool terminated(const char *s, size_t size)
{
	return memchr(s, '\0', size) != NULL;
}

static bool entry_ok(const struct journal_entry *e)
{
	return e->number && e->kind < JOURNAL_KINDS &&
	       terminated(e->who.user, sizeof(e->who.user)) &&
	       terminated(e->what, sizeof(e->what)) && terminated(e->why, sizeof(e->why)) &&
	       terminated(e->status, sizeof(e->status));
}

void journal_unflatten(struct journal *j, const void *data, size_t len)
{
	struct journal_entry e;
	const char *p = data;

	memset(j, 0, sizeof(*j));
	for (; len >= sizeof(e); p += sizeof(e), len -= sizeof(e)) {
		memcpy(&e, p, sizeof(e));
		/* one behind the other: a gap would show what never was */
		if (!entry_ok(&e) || (j->count && e.number != j->count + 1) ||
		    e.number == UINT64_MAX)
			return;
		j->count = e.number - 1;
		keep(j, &e);
	}
}
