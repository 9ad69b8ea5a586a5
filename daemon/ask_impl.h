/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside the questions: ask.c has their life and the votes, ask_authority.c the authorities, their servers
 * and how they fail.
 */
#ifndef DAEMON_ASK_IMPL_H
#define DAEMON_ASK_IMPL_H

#include "base/htable.h"
#include "base/list.h"
#include "base/siphash.h"
#include "base/slab.h"
#include "daemon/ask.h"

struct authority;
struct question;

struct ask_server {
	struct list of_authority; /* authority->servers */
	struct list of_client;    /* ask->servers; a client's are found by looking */
	struct authority *authority;
	void *client;
	uint32_t max, open;
	unsigned fails; /* timeouts one after the other: at ASK_BREAKER_FAILS it is passed over */
	uint64_t answered_ns; /* last; errors are none */
	struct list parts;
};

/* What one authority is asked about one context. */
struct part {
	uint32_t free;    /* the slab's */
	bool probe;       /* the one question of a half-open breaker */
	bool patient;     /* `deadline` is the end of the authority's patience */
	uint8_t member;   /* its number in the group */
	struct list link; /* server->parts, or authority->waiting */
	struct list of_question;
	struct question *question;
	struct authority *authority;
	struct ask_server *server; /* NULL: it waits */
	struct loop_timer deadline;
	uint64_t sent_ns;
};

struct question {
	uint32_t free; /* the slab's */
	struct hnode node;
	struct ask *ask;
	struct pend_info info;
	struct list parts;
	struct list unsent; /* ask->unsent: decided, and there was no room to say so */
	struct authority *top;
	struct def *def; /* of the generation that asked */
	/* Who votes, and how votes count: in that generation. `top->def` may be of a newer one, with other
	 * indexes, members and rules. */
	const struct ask_def *group;
	uint8_t next; /* CHAIN: the member that is asked */
	uint8_t permits, blocks, left;
	uint8_t said_permit, said_block; /* of these, by whom was asked */
	uint8_t stood_in;                /* votes that a default made, whatever they are */
	bool decided, starting;
	/*
	 * Whom each member was put to last, and whom it was taken from last that may answer still: their answers may be
	 * about one or the other. Numbers, for a pointer may be another client's by now; 0: nobody.
	 */
	uint64_t asked[ASK_MEMBERS_MAX], was[ASK_MEMBERS_MAX];
	struct ask_decision decision;
	char *why; /* of a decision that could not be said at once; ours */
};

/* The definitions of one generation. */
struct def {
	struct list link;              /* ask->defs */
	uint32_t generation, n, users; /* users: questions */
	struct ask_def *ask;           /* names: those of `authority` */
	struct authority **authority;
};

struct authority {
	struct list link; /* ask->authorities */
	char *name;
	struct ask_def def; /* of the newest generation that has it */
	bool live;          /* it is in the policy in force */
	bool changed;       /* ... and its servers are those of another definition */
	unsigned refs;      /* definitions that name it */
	struct list servers, waiting;
	struct list pump; /* ask->pumps: a server has room for what waits */
	uint32_t nservers, open, nwaiting;
	uint64_t patient_until_ns; /* questions wait for a server until then */
	/* circuit breaker */
	enum ask_breaker breaker;
	unsigned fails;
	uint64_t backoff_ns, open_until_ns;
	bool probing;
	struct ask_authority_stats stats;
	uint64_t bucket[ASK_BUCKETS];
};

struct ask {
	struct ask_env env;
	struct siphash_key key;
	struct htable table;
	struct slab questions, parts;
	struct list authorities, servers, unsent, defs;
	struct list pumps;      /* authorities */
	struct loop_timer pump; /* ... and when they are looked at */
	struct def *now, *before;
	struct ask_stats stats;
	const struct ask_answer *answer; /* the one that is being taken; NULL: none */
};

/* ask_authority.c */
struct authority *ask_authority_find(const struct ask *a, const char *name);
/* A server with room, the one that had the fewest and the longest pause first; NULL: none now. */
struct ask_server *ask_pick(struct ask *a, struct authority *au);
/* May it be asked now? Half-open lets one through, which *probe says. */
bool ask_breaker_allows(struct ask *a, struct authority *au, bool *probe);
void ask_failed(struct ask *a, struct authority *au, bool probe);
void ask_worked(struct authority *au, bool probe);
void ask_measured(struct authority *au, uint64_t ns);
void ask_def_put(struct ask *a, struct def *d);
void ask_authority_put(struct authority *au);

/* ask.c */
/* What waits goes to servers that have room. */
void ask_pump(struct ask *a, struct authority *au);
/* Nobody serves it any more: what is open ends by its definition. `error`: they went away. */
void ask_desert(struct ask *a, struct authority *au, bool error);
/* Takes the part from its server, to be put to another. `gone`: that client says nothing any more. */
void ask_requeue(struct part *p, bool gone);

#endif
