/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who is asked about a pended connection, and what becomes of the answers.
 *
 * A question belongs to one context. It is put to an authority, or to the members of a group, each of which
 * makes a part of it: a part waits for a server (a client that serves this authority) with room, is sent, and
 * ends with a vote. The votes decide as the group says; then the context is completed, and what is
 * still open elsewhere is withdrawn.
 *
 * A slow, stopped or dead server delays nobody else's questions: each authority has its own queue with a
 * bound, each part its own deadline, and an authority that fails again and again is not asked for a
 * while (circuit breaker). What is no answer is a failure only where somebody is to blame for it: enum ask_silence. The worker's deadline stands behind all of this: what is lost here ends there.
 *
 * It knows neither sockets nor channels: everything goes through struct ask_env, so that tests and
 * fuzzers run it without either.
 */
#ifndef DAEMON_ASK_H
#define DAEMON_ASK_H

#include "core/classify.h"
#include "daemon/msg.h"
#include "io/loop.h"
#include <pend.h>

#define ASK_MEMBERS_MAX    8     /* of a group */
#define ASK_SERVERS_MAX    256   /* of one authority */
#define ASK_SERVER_ROOM    1000  /* questions open at one server, unless it says otherwise */
#define ASK_SERVER_MAX     65536 /* ... at most */
#define ASK_BREAKER_FAILS  5     /* one after the other */
#define ASK_BREAKER_MIN_NS MONO_NS_PER_S
#define ASK_BREAKER_MAX_NS (60 * MONO_NS_PER_S)
#define ASK_BUCKETS        128 /* of the histogram: four to an octave of microseconds */

enum ask_vote {
	ASK_PERMIT = 1,
	ASK_BLOCK,
	ASK_CONTINUE, /* no opinion: the next one is asked */
	ASK_ERROR,
};

/* What a vote that did not come counts as. WAIT: nothing yet. */
enum ask_default { ASK_BY_BLOCK, ASK_BY_PERMIT, ASK_BY_NEXT, ASK_BY_WAIT };

/*
 * What it says of an authority that a question put to it was not answered in its time.
 * DEAD: that nobody is there, if nothing else was heard of who serves it: there may be a person behind it.
 * WRONG: that it hangs, if it has answered nothing since: a machine that answers all it is asked.
 * MEANT: nothing. It answers only when there is something to say, and errors by itself.
 */
enum ask_silence { ASK_SILENCE_DEAD, ASK_SILENCE_WRONG, ASK_SILENCE_MEANT };

enum ask_rule { ASK_ONE, ASK_ANY, ASK_ALL, ASK_QUORUM, ASK_CHAIN };

/* An authority as the policy defines it. */
struct ask_def {
	const char *name;
	bool served;        /* by programs; else people or nobody answer by themselves */
	bool alone;         /* ... by one at a time: it keeps what it knows to itself */
	uint8_t fixed;      /* enum ask_vote of a static one; 0 */
	uint8_t on_timeout; /* enum ask_default: BLOCK, PERMIT */
	uint8_t on_absent;  /* BLOCK, PERMIT, WAIT */
	uint8_t on_error;   /* BLOCK, PERMIT, NEXT */
	uint8_t silence;    /* enum ask_silence */
	uint8_t rule;       /* enum ask_rule */
	uint8_t need;       /* QUORUM */
	uint8_t members;    /* of a group: indexes into the same table, none of them a group */
	uint16_t member[ASK_MEMBERS_MAX];
	uint32_t max_pending;
	uint64_t timeout_ns;
	/* While its program is being started, and after it has gone: how long a question waits for it,
	 * whatever on_absent says. 0: not at all. */
	uint64_t patience_ns;
	/* Of what its programs are told: those that serve another one are sent away. */
	uint64_t version;
};

struct ask_answer {
	pend_context context;
	const char *authority;      /* for whom; NULL: not said */
	uint8_t vote;               /* enum ask_vote */
	uint8_t block;              /* enum pend_block; 255: as the rule says */
	struct msg_lasting lasting; /* of the decision that the vote makes, if it does */
	const char *why;            /* ... NULL: not said; during the call */
};

/* What is to become of a context. */
struct ask_decision {
	pend_context context;
	enum pend_verdict verdict;
	uint8_t block; /* enum pend_block; 255: as the rule says */
	uint32_t code; /* enum msg_complete_reason */
	struct msg_lasting lasting;
	const char *by, *why; /* the authority's name; NULL: not said */
};

enum ask_state {
	ASK_OK,
	ASK_NOT_FOUND, /* not asked, or over */
	ASK_NOT_YOURS, /* asked of somebody else */
	ASK_AMBIGUOUS, /* asked of this client for several authorities, and it does not say for which it answers */
	ASK_NO_AUTHORITY,
	ASK_LIMIT,
};

enum ask_why { ASK_WHY_TIMEOUT, ASK_WHY_DECIDED, ASK_WHY_GONE, ASK_WHY_POLICY, ASK_WHY_SILENT };

struct ask_server; /* one client that serves one authority */

struct ask_env {
	void *ctx;
	struct loop *loop;
	uint32_t max_questions;
	/*
	 * Complete a context. 0; positive: no room now, ask_room is called later; negative: it cannot be
	 * reached, and ends by its deadline.
	 */
	int (*complete)(void *ctx, const struct ask_decision *d);
	/* Put a question to a client; `remaining_ns` is this authority's time. */
	void (*question)(void *ctx, void *client, const char *authority,
			 const struct pend_info *info, uint64_t remaining_ns);
	void (*withdrawn)(void *ctx, void *client, const char *authority, pend_context context,
			  enum ask_why why);
	/* It is not served any more: the policy has no such authority for programs (POLICY), or ask_client_silent. */
	void (*unserved)(void *ctx, void *client, const char *authority, enum ask_why why);
	/* Its output waits: no more questions for now; ask_drained is called when it may have them. */
	bool (*backlogged)(void *ctx, void *client);
	/* Its number, which no other client ever has; never 0. */
	uint64_t (*number)(void *ctx, const void *client);
	/* Has it said anything since, or promised to, and keeps the promise? */
	bool (*alive)(void *ctx, void *client, uint64_t since_ns);
};

enum ask_breaker { ASK_CLOSED, ASK_OPEN, ASK_HALF_OPEN };

struct ask_authority_stats {
	const char *name;
	uint32_t servers, open, waiting, max_pending;
	enum ask_breaker breaker;
	uint64_t asked, permits, blocks, continues, errors, timeouts, absent, limited, refused;
	uint64_t late; /* answers that nobody waited for any more */
	uint64_t answer_ns_sum, answers;
	uint64_t p50_us, p99_us; /* of answers; upper ends of histogram buckets */
};

struct ask_stats {
	uint32_t open;
	uint64_t questions, decided, limited, unknown, ambiguous;
};

struct ask;

/* `env` is copied. 0 or -ENOMEM. */
int ask_new(struct ask **out, const struct ask_env *env);
void ask_free(struct ask *a); /* NULL is allowed */

/*
 * The authorities of a policy, by the index that contexts name. An authority of the same name goes on with
 * its servers, questions and counters; one that is gone gives its questions up as absent. Those of the
 * generation before stay known, for contexts that are older than the policy. 0 or -ENOMEM: as before.
 */
int ask_configure(struct ask *a, uint32_t generation, const struct ask_def *def, uint32_t n);

/*
 * A context was pended for authority `index` of that generation. One that is known already is not
 * asked again.
 */
void ask_question(struct ask *a, uint32_t generation, uint16_t index, const struct pend_info *info);
/* The context was decided, or is gone: whatever is open about it is withdrawn. */
void ask_gone(struct ask *a, pend_context context);

/* `client` serves `authority` with at most `max` questions open (0: ASK_SERVER_ROOM). */
enum ask_state ask_serve(struct ask *a, void *client, const char *authority, uint32_t max,
			 struct ask_server **out);
/* Again with other bounds: ask_serve of the same client and authority. This ends it. */
enum ask_state ask_unserve(struct ask *a, void *client, const char *authority);
bool ask_serves(const struct ask *a, const void *client, const char *authority);
/* One more may not: it is served by one at a time. */
bool ask_is_taken(const struct ask *a, const char *authority);
/* One who serves it, to be told something; NULL: nobody. */
void *ask_server_client(const struct ask *a, const char *authority);
/* The client is gone: whatever it served goes to others, or counts as an error. */
void ask_client_gone(struct ask *a, void *client);
/* The same for one that is there and says nothing; it is told, and may serve again. */
void ask_client_silent(struct ask *a, void *client);
enum ask_state ask_answer(struct ask *a, void *client, const struct ask_answer *answer);
/* The client's output is low again. */
void ask_drained(struct ask *a, void *client);
/* There is room for completions again. */
void ask_room(struct ask *a);

const struct ask_stats *ask_stats(const struct ask *a);
/* Of an authority of the policy in force; false: there is none, or it is a group. */
bool ask_authority_stats(const struct ask *a, const char *authority,
			 struct ask_authority_stats *out);
/* The timeout that its definition has; 0: there is no such authority, or programs do not serve it. */
uint64_t ask_authority_timeout(const struct ask *a, const char *authority);

#endif
