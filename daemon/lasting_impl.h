/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside what lasts: lasting.c has its life, decisions and events, lasting_sets.c changes of sets, lasting_again.c
 * what is written again into a file that was begun anew, or that misses some of it.
 */
#ifndef DAEMON_LASTING_IMPL_H
#define DAEMON_LASTING_IMPL_H

#include "daemon/lasting.h"

#define LASTING_MODULE   "store"
#define LASTING_RETRY_MS 1000u /* at first */
#define LASTING_SLOW_MS  4000u /* doubled up to that */
#define LASTING_MADE_MS \
	60000u /* ... or that: a policy may have to be made each time, to no effect */

/* What of a set is in the file, as far as it is known. */
struct lasting_kept {
	char set[OVERLAY_NAME];
	uint64_t rows, bytes;
	bool dirty; /* what is there is not all: it must be written as a whole */
};

enum lasting_sets_state {
	LASTING_SETS_NONE, /* not asked for yet */
	LASTING_SETS_ASKED,
	LASTING_SETS_MADE, /* they are being put in force */
	LASTING_SETS_FAILED,
	LASTING_SETS_DONE,
};

struct lasting {
	struct lasting_env env;
	struct store *store;
	struct loop_timer retry;
	uint32_t retry_ms;
	mono_t started;
	/* decisions */
	uint64_t serial;  /* of the view whose rules were looked at */
	uint64_t waiting; /* decisions of rules that the policy does not have */
	uint64_t restored;
	unsigned forgets; /* under way */
	uint64_t epoch;   /* grows with each */
	uint64_t asked;   /* ... when the store was asked */
	bool loading, again;
	bool told;   /* the verdict process has had all there is */
	bool failed; /* it could not be read, and is tried again */
	bool said;   /* the verdict process knows that this was all, or all for now */
	/* sets */
	enum lasting_sets_state sets;
	struct amend *
		restore; /* SETS_ASKED, SETS_MADE: what is done again; the queue of changes has it in the latter */
	mono_t sets_again;     /* after a failure: not before */
	uint32_t sets_wait_ms; /* ... which was of the changes themselves; 0: none was */
	struct lasting_kept *kept;
	size_t nkept;
	bool changed; /* some of them since they were last looked at */
	/* a file that was begun anew, or that misses what the store could not take */
	bool rewrite;
	bool missed;      /* the latter */
	bool unforgotten; /* ... and this is to be forgotten first */
	struct store_which to_forget;
	bool listing, stalled; /* a part of the list is awaited, for some time */
	bool listed;           /* all of it is in the store's queue */
	uint32_t cursor, seq;  /* of the part; seq: of the request, from 0 */
};

/* Again in a while, each time a longer one. */
void lasting_retry(struct lasting *l);
/* The decisions of before, unless something forbids it for now; then later. */
void lasting_load(struct lasting *l);
/* What can be said about before is said, or could not be read: nobody need wait for it any more. */
void lasting_say(struct lasting *l);

/* What holds, if the file does not have it, or an older one: false: it could not be taken. */
bool lasting_keep(struct lasting *l, const struct remembered_entry *e);

/* lasting_sets.c */
void lasting_sets_free(struct lasting *l);
void lasting_sets_again(struct lasting *l);   /* they failed */
void lasting_sets_rewrite(struct lasting *l); /* all of them are to be written as a whole */
bool lasting_sets_dirty(const struct lasting *l);

/* lasting_again.c */
void lasting_anew(void *lasting);       /* the file was begun anew */
void lasting_missed(struct lasting *l); /* the store could not take a decision */
void lasting_unforgotten(struct lasting *l, const struct store_which *w); /* ... or this */
void lasting_rewrite(struct lasting *l);                                  /* goes on */

#endif
