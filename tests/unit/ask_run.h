/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Questions, authorities and clients around daemon/ask.h, for its tests: what each client holds and what became of each
 * question is in `seen`. Include it in one file of the program.
 */
#ifndef TESTS_UNIT_ASK_RUN_H
#define TESTS_UNIT_ASK_RUN_H

#include "unit.h"
#include "daemon/ask.h"
#include "daemon/msg.h"
#include <string.h>

#define CLIENTS   4
#define QUESTIONS 4096u
#define MS        MONO_NS_PER_MS

enum { OPS, IDP, DNS, YES, NO, LAZY, ANY, ALL, TWO, CHAIN, DEFS };

static struct loop *l;
static struct ask *a;

/* What the world saw. */
static struct {
	int done[QUESTIONS]; /* completions */
	uint8_t verdict[QUESTIONS];
	uint32_t reason[QUESTIONS];
	bool open[CLIENTS][QUESTIONS][DEFS]; /* the client holds this question */
	unsigned held[CLIENTS], asked, withdrawn, unserved, silent;
	bool backlogged[CLIENTS], no_room, alive;
	char by[QUESTIONS][16], why[QUESTIONS][32];
	struct msg_lasting lasting[QUESTIONS];
} seen;

static int client_id[CLIENTS];
static uint64_t client_number[CLIENTS]; /* another one: another client at the same address */
static struct ask_def defs[DEFS];

static inline unsigned number(pend_context c)
{
	ck_assert_uint_lt(c, QUESTIONS);
	return (unsigned)c;
}

static inline unsigned def_index(const char *name)
{
	for (unsigned i = 0; i < DEFS; i++)
		if (!strcmp(defs[i].name, name))
			return i;
	ck_abort_msg("no authority %s", name);
	return 0;
}

static inline int on_complete(void *ctx, const struct ask_decision *d)
{
	unsigned n = number(d->context);

	(void)ctx;
	if (seen.no_room)
		return 1;
	seen.done[n]++;
	seen.verdict[n] = (uint8_t)d->verdict;
	seen.reason[n] = d->code;
	seen.lasting[n] = d->lasting;
	snprintf(seen.by[n], sizeof(seen.by[n]), "%s", d->by);
	snprintf(seen.why[n], sizeof(seen.why[n]), "%s", d->why ? d->why : "");
	return 0;
}

static inline void on_question(void *ctx, void *client, const char *authority,
			       const struct pend_info *info, uint64_t remaining_ns)
{
	unsigned c = (unsigned)*(int *)client, n = number(info->context);
	bool *open = &seen.open[c][n][def_index(authority)];

	(void)ctx;
	(void)remaining_ns;
	ck_assert(!*open);
	*open = true;
	seen.held[c]++;
	seen.asked++;
}

static inline void on_withdrawn(void *ctx, void *client, const char *authority,
				pend_context context, enum ask_why why)
{
	unsigned c = (unsigned)*(int *)client;
	bool *open = &seen.open[c][number(context)][def_index(authority)];

	(void)ctx;
	(void)why;
	ck_assert(*open);
	*open = false;
	seen.held[c]--;
	seen.withdrawn++;
}

static inline void on_unserved(void *ctx, void *client, const char *authority, enum ask_why why)
{
	(void)ctx;
	ck_assert(ask_serves(a, client, authority));
	seen.unserved++;
	seen.silent += why == ASK_WHY_SILENT;
}

static inline bool on_backlogged(void *ctx, void *client)
{
	(void)ctx;
	return seen.backlogged[*(int *)client];
}

static inline uint64_t on_number(void *ctx, const void *client)
{
	(void)ctx;
	return client_number[*(const int *)client];
}

static inline bool on_alive(void *ctx, void *client, uint64_t since_ns)
{
	(void)ctx;
	(void)client;
	ck_assert_uint_le(since_ns, loop_now(l).ns);
	return seen.alive;
}

static inline void define(void)
{
	static const char *const names[DEFS] = {"ops",  "idp", "dns", "yes", "no",
						"lazy", "any", "all", "two", "chain"};

	for (unsigned i = 0; i < DEFS; i++)
		defs[i] = (struct ask_def){.name = names[i],
					   .max_pending = 64,
					   .timeout_ns = 1000 * MS,
					   .on_timeout = ASK_BY_BLOCK,
					   .on_error = ASK_BY_NEXT};
	defs[IDP].served = defs[DNS].served = defs[LAZY].served = true;
	defs[LAZY].on_absent = ASK_BY_WAIT;
	defs[YES].fixed = ASK_PERMIT;
	defs[NO].fixed = ASK_BLOCK;
	defs[ANY].rule = ASK_ANY;
	defs[ALL].rule = ASK_ALL;
	defs[TWO].rule = ASK_QUORUM;
	defs[TWO].need = 2;
	defs[CHAIN].rule = ASK_CHAIN;
	for (unsigned i = ANY; i < DEFS; i++) {
		defs[i].members = 3;
		defs[i].member[0] = IDP;
		defs[i].member[1] = DNS;
		defs[i].member[2] = LAZY;
	}
}

static inline void setup(void)
{
	struct ask_env env = {.max_questions = 1024,
			      .complete = on_complete,
			      .question = on_question,
			      .withdrawn = on_withdrawn,
			      .unserved = on_unserved,
			      .backlogged = on_backlogged,
			      .number = on_number,
			      .alive = on_alive};

	memset(&seen, 0, sizeof(seen));
	for (int i = 0; i < CLIENTS; i++)
		client_number[i] = 1 + (unsigned)(client_id[i] = i);
	ck_assert_int_eq(loop_new(&l), 0);
	env.loop = l;
	ck_assert_int_eq(ask_new(&a, &env), 0);
	define();
	ck_assert_int_eq(ask_configure(a, 1, defs, DEFS), 0);
}

static inline void teardown(void)
{
	ask_free(a);
	loop_free(l);
}

static inline void question_for(unsigned n, unsigned index, uint64_t ms)
{
	struct pend_info info = {.context = n,
				 .on_timeout = PEND_VERDICT_BLOCK,
				 .created_ns = loop_now(l).ns,
				 .deadline_ns = mono_add(loop_now(l), ms * MS).ns};

	ask_question(a, 1, (uint16_t)index, &info);
}

static inline void question(unsigned n, unsigned index)
{
	question_for(n, index, 1000);
}

static inline void serve(unsigned client, unsigned index, uint32_t max)
{
	ck_assert_int_eq(ask_serve(a, &client_id[client], defs[index].name, max, NULL), ASK_OK);
}

/* The client forgets a question of any authority, as one that answers does. */
static inline void forget(unsigned client, unsigned n)
{
	for (unsigned i = 0; i < DEFS; i++) {
		if (!seen.open[client][n][i])
			continue;
		seen.open[client][n][i] = false;
		seen.held[client]--;
		return;
	}
}

static inline enum ask_state answer(unsigned client, unsigned n, enum ask_vote v)
{
	struct ask_answer ans = {.context = n, .vote = (uint8_t)v, .block = UINT8_MAX};
	bool held[DEFS];
	enum ask_state s;

	for (unsigned i = 0; i < DEFS; i++)
		held[i] = seen.open[client][n][i];
	forget(client, n);
	s = ask_answer(a, &client_id[client], &ans);
	if (s == ASK_OK)
		return s;
	for (unsigned i = 0; i < DEFS; i++) /* it was no answer, so the question is where it was */
		if (held[i] && !seen.open[client][n][i]) {
			seen.open[client][n][i] = true;
			seen.held[client]++;
		}
	return s;
}

static inline void run_ms(uint64_t ms)
{
	mono_t end = mono_add(loop_clock(), ms * MS);

	while (mono_before(loop_clock(), end))
		ck_assert_int_eq(loop_once(l, end), 0);
}

static inline void ended(unsigned n, enum pend_verdict v, uint32_t reason)
{
	ck_assert_int_eq(seen.done[n], 1);
	ck_assert_int_eq(seen.verdict[n], v);
	ck_assert_uint_eq(seen.reason[n], reason);
}

static inline struct ask_authority_stats stats_of(unsigned index)
{
	struct ask_authority_stats s;

	ck_assert(ask_authority_stats(a, defs[index].name, &s));
	return s;
}

static inline void round_of_the_loop(void)
{
	ck_assert_int_eq(loop_once(l, mono_add(loop_clock(), MS)), 0);
}

static inline void patience(unsigned index, enum ask_silence silence, uint64_t ms)
{
	defs[index].silence = (uint8_t)silence;
	defs[index].timeout_ns = ms * MS;
	ck_assert_int_eq(ask_configure(a, 1, defs, DEFS), 0);
}

#endif
