/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who is asked, how votes decide, and what servers that are slow, gone or wrong do to it. */
#include "unit.h"
#include "base/list.h"
#include "daemon/ask.h"
#include "daemon/msg.h"
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

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
static struct ask_def defs[DEFS];

static unsigned number(pend_context c)
{
	ck_assert_uint_lt(c, QUESTIONS);
	return (unsigned)c;
}

static unsigned def_index(const char *name)
{
	for (unsigned i = 0; i < DEFS; i++)
		if (!strcmp(defs[i].name, name))
			return i;
	ck_abort_msg("no authority %s", name);
	return 0;
}

static int on_complete(void *ctx, const struct ask_decision *d)
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

static void on_question(void *ctx, void *client, const char *authority,
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

static void on_withdrawn(void *ctx, void *client, const char *authority, pend_context context,
			 enum ask_why why)
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

static void on_unserved(void *ctx, void *client, const char *authority, enum ask_why why)
{
	(void)ctx;
	ck_assert(ask_serves(a, client, authority));
	seen.unserved++;
	seen.silent += why == ASK_WHY_SILENT;
}

static bool on_backlogged(void *ctx, void *client)
{
	(void)ctx;
	return seen.backlogged[*(int *)client];
}

static bool on_alive(void *ctx, void *client, uint64_t since_ns)
{
	(void)ctx;
	(void)client;
	ck_assert_uint_le(since_ns, loop_now(l).ns);
	return seen.alive;
}

static void define(void)
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

static void setup(void)
{
	struct ask_env env = {.max_questions = 1024,
			      .complete = on_complete,
			      .question = on_question,
			      .withdrawn = on_withdrawn,
			      .unserved = on_unserved,
			      .backlogged = on_backlogged,
			      .alive = on_alive};

	memset(&seen, 0, sizeof(seen));
	for (int i = 0; i < CLIENTS; i++)
		client_id[i] = i;
	ck_assert_int_eq(loop_new(&l), 0);
	env.loop = l;
	ck_assert_int_eq(ask_new(&a, &env), 0);
	define();
	ck_assert_int_eq(ask_configure(a, 1, defs, DEFS), 0);
}

static void teardown(void)
{
	ask_free(a);
	loop_free(l);
}

static void question_for(unsigned n, unsigned index, uint64_t ms)
{
	struct pend_info info = {.context = n,
				 .on_timeout = PEND_VERDICT_BLOCK,
				 .created_ns = loop_now(l).ns,
				 .deadline_ns = mono_add(loop_now(l), ms * MS).ns};

	ask_question(a, 1, (uint16_t)index, &info);
}

static void question(unsigned n, unsigned index)
{
	question_for(n, index, 1000);
}

static void serve(unsigned client, unsigned index, uint32_t max)
{
	ck_assert_int_eq(ask_serve(a, &client_id[client], defs[index].name, max, NULL), ASK_OK);
}

/* The client forgets a question of any authority, as one that answers does. */
static void forget(unsigned client, unsigned n)
{
	for (unsigned i = 0; i < DEFS; i++) {
		if (!seen.open[client][n][i])
			continue;
		seen.open[client][n][i] = false;
		seen.held[client]--;
		return;
	}
}

static enum ask_state answer(unsigned client, unsigned n, enum ask_vote v)
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

static void run_ms(uint64_t ms)
{
	mono_t end = mono_add(loop_clock(), ms * MS);

	while (mono_before(loop_clock(), end))
		ck_assert_int_eq(loop_once(l, end), 0);
}

static void ended(unsigned n, enum pend_verdict v, uint32_t reason)
{
	ck_assert_int_eq(seen.done[n], 1);
	ck_assert_int_eq(seen.verdict[n], v);
	ck_assert_uint_eq(seen.reason[n], reason);
}

static struct ask_authority_stats stats_of(unsigned index)
{
	struct ask_authority_stats s;

	ck_assert(ask_authority_stats(a, defs[index].name, &s));
	return s;
}

START_TEST(an_answer_decides)
{
	serve(0, IDP, 0);
	question(1, IDP);
	question(2, IDP);
	ck_assert_uint_eq(seen.held[0], 2);
	ck_assert_int_eq(answer(0, 2, ASK_BLOCK), ASK_OK);
	ck_assert_int_eq(answer(0, 1, ASK_PERMIT), ASK_OK);
	ended(1, PEND_VERDICT_PERMIT, REASON_AUTHORITY);
	ended(2, PEND_VERDICT_BLOCK, REASON_AUTHORITY);
	ck_assert_str_eq(seen.by[1], "idp");
	ck_assert_uint_eq(ask_stats(a)->open, 0);
	ck_assert_uint_eq(stats_of(IDP).permits, 1);
	ck_assert_uint_eq(stats_of(IDP).answers, 2);
}
END_TEST

START_TEST(answers_that_are_none)
{
	serve(0, IDP, 0);
	serve(1, DNS, 0);
	question(1, IDP);
	ck_assert_int_eq(answer(1, 1, ASK_PERMIT), ASK_NOT_YOURS);
	ck_assert_int_eq(answer(0, 7, ASK_PERMIT), ASK_NOT_FOUND);
	ck_assert_int_eq(answer(0, 1, ASK_PERMIT), ASK_OK);
	ck_assert_int_eq(answer(0, 1, ASK_BLOCK), ASK_NOT_FOUND);
	ended(1, PEND_VERDICT_PERMIT, REASON_AUTHORITY);
	ck_assert_int_eq(ask_serve(a, &client_id[0], "ops", 0, NULL), ASK_NO_AUTHORITY);
	ck_assert_int_eq(ask_serve(a, &client_id[0], "any", 0, NULL), ASK_NO_AUTHORITY);
	ck_assert_int_eq(ask_serve(a, &client_id[0], "nobody", 0, NULL), ASK_NO_AUTHORITY);
	ck_assert_int_eq(ask_unserve(a, &client_id[0], "dns"), ASK_NOT_FOUND);
}
END_TEST

START_TEST(nobody_serves)
{
	question(1, IDP);
	ended(1, PEND_VERDICT_BLOCK, REASON_ABSENT);
	defs[IDP].on_absent = ASK_BY_PERMIT;
	ck_assert_int_eq(ask_configure(a, 1, defs, DEFS), 0);
	question(2, IDP);
	ended(2, PEND_VERDICT_PERMIT, REASON_ABSENT);
	question(3, LAZY);
	ck_assert_int_eq(seen.done[3], 0);
	serve(0, LAZY, 0);
	ck_assert(seen.open[0][3][LAZY]);
	ck_assert_int_eq(answer(0, 3, ASK_PERMIT), ASK_OK);
	ended(3, PEND_VERDICT_PERMIT, REASON_AUTHORITY);
}
END_TEST

START_TEST(the_deadline_decides)
{
	serve(0, IDP, 0);
	question_for(1, IDP, 10);
	question_for(2, OPS, 10);
	run_ms(40);
	ended(1, PEND_VERDICT_BLOCK, REASON_TIMEOUT);
	ended(2, PEND_VERDICT_BLOCK, REASON_TIMEOUT);
	ck_assert_uint_eq(seen.held[0], 0);
	ck_assert_int_eq(answer(0, 1, ASK_PERMIT), ASK_NOT_FOUND);
	ck_assert_uint_eq(stats_of(IDP).timeouts, 1);
	ck_assert_uint_eq(stats_of(IDP).late, 1);
}
END_TEST

/* The worker ends it at the same moment as its rule says: whoever is first, it is the same. */
START_TEST(at_the_end_of_a_context_its_rule_decides)
{
	struct pend_info info = {.context = 1,
				 .on_timeout = PEND_VERDICT_PERMIT,
				 .deadline_ns = mono_add(loop_now(l), 10 * MS).ns};

	serve(0, IDP, 0);
	ask_question(a, 1, OPS, &info);
	info.context = 2;
	ask_question(a, 1, IDP, &info);
	run_ms(40);
	ended(1, PEND_VERDICT_PERMIT, REASON_TIMEOUT);
	ended(2, PEND_VERDICT_PERMIT, REASON_TIMEOUT);
}
END_TEST

START_TEST(room_and_order)
{
	serve(0, IDP, 2);
	for (unsigned n = 1; n <= 6; n++)
		question(n, IDP);
	ck_assert_uint_eq(seen.held[0], 2);
	ck_assert_uint_eq(stats_of(IDP).waiting, 4);
	ck_assert_int_eq(answer(0, 1, ASK_PERMIT), ASK_OK);
	ck_assert(seen.open[0][3][IDP]);
	serve(1, IDP, 0);
	ck_assert_uint_eq(seen.held[1], 3);
	ck_assert_uint_eq(stats_of(IDP).waiting, 0);
	seen.backlogged[0] = seen.backlogged[1] = true;
	question(7, IDP);
	ck_assert_uint_eq(stats_of(IDP).waiting, 1);
	seen.backlogged[1] = false;
	ask_drained(a, &client_id[1]);
	ck_assert(seen.open[1][7][IDP]);
}
END_TEST

static void round_of_the_loop(void)
{
	ck_assert_int_eq(loop_once(l, mono_add(loop_clock(), MS)), 0);
}

static const enum { GONE, LATE, DECIDED, ANSWERED } ways[] = {GONE, LATE, DECIDED, ANSWERED};

/* However a question ends that a server has, the next one has its place; first come, first served. */
START_TEST(room_is_used_whatever_made_it)
{
	serve(0, IDP, 1);
	serve(1, DNS, 0);
	question_for(1, ways[_i] == DECIDED ? ANY : IDP, ways[_i] == LATE ? 10 : 1000);
	ck_assert(seen.open[0][1][IDP]);
	question(2, IDP);
	question(3, IDP);
	ck_assert_uint_eq(seen.held[0], 1);
	if (ways[_i] == GONE)
		ask_gone(a, 1);
	else if (ways[_i] == LATE)
		run_ms(20);
	else if (ways[_i] == DECIDED)
		ck_assert_int_eq(answer(1, 1, ASK_PERMIT), ASK_OK);
	else
		ck_assert_int_eq(answer(0, 1, ASK_BLOCK), ASK_OK);
	question(4, IDP); /* does not overtake */
	round_of_the_loop();
	ck_assert(seen.open[0][2][IDP]);
	ck_assert_uint_eq(seen.held[0], 1);
	ck_assert_int_eq(answer(0, 2, ASK_PERMIT), ASK_OK);
	ck_assert(seen.open[0][3][IDP]);
	ck_assert_uint_eq(stats_of(IDP).waiting, 1);
}
END_TEST

START_TEST(no_more_than_max_pending)
{
	serve(0, IDP, 10);
	for (unsigned n = 0; n < 70; n++)
		question(n, IDP);
	ck_assert_uint_eq(stats_of(IDP).open + stats_of(IDP).waiting, 64);
	ck_assert_uint_eq(stats_of(IDP).limited, 6);
	ended(64, PEND_VERDICT_BLOCK, REASON_BACKLOG);
}
END_TEST

START_TEST(a_server_leaves)
{
	serve(0, IDP, 0);
	serve(1, IDP, 0);
	for (unsigned n = 1; n <= 4; n++)
		question(n, IDP);
	ck_assert_uint_eq(seen.held[0], 2); /* round robin */
	memset(seen.open[0], 0, sizeof(seen.open[0]));
	seen.held[0] = 0;
	ask_client_gone(a, &client_id[0]);
	ck_assert_uint_eq(seen.held[1], 4);
	memset(seen.open[1], 0, sizeof(seen.open[1]));
	ask_client_gone(a, &client_id[1]);
	for (unsigned n = 1; n <= 4; n++) /* nobody has an opinion */
		ended(n, PEND_VERDICT_BLOCK, REASON_TIMEOUT);
	ck_assert_uint_eq(ask_stats(a)->open, 0);
}
END_TEST

/* As if it left, but it is told, and only of what it served. */
START_TEST(a_server_is_silent)
{
	serve(0, IDP, 0);
	serve(0, DNS, 0);
	serve(1, IDP, 0);
	for (unsigned n = 1; n <= 4; n++)
		question(n, IDP);
	question(5, DNS);
	ck_assert_uint_eq(seen.held[0], 3);
	memset(seen.open[0], 0, sizeof(seen.open[0]));
	seen.held[0] = 0;
	ask_client_silent(a, &client_id[0]);
	ck_assert_uint_eq(seen.silent, 2);
	ck_assert_uint_eq(seen.held[1], 4);
	ended(5, PEND_VERDICT_BLOCK, REASON_TIMEOUT);
	ck_assert_int_eq(answer(0, 1, ASK_PERMIT), ASK_NOT_YOURS);
	serve(0, IDP, 0); /* it goes on */
	question(6, IDP);
	question(7, IDP);
	ck_assert_uint_eq(seen.held[0], 1);
}
END_TEST

START_TEST(waiting_outlasts_a_restart)
{
	serve(0, LAZY, 0);
	question(1, LAZY);
	memset(seen.open, 0, sizeof(seen.open));
	ask_client_gone(a, &client_id[0]);
	ck_assert_int_eq(seen.done[1], 0);
	serve(1, LAZY, 0);
	ck_assert_int_eq(answer(1, 1, ASK_PERMIT), ASK_OK);
	ended(1, PEND_VERDICT_PERMIT, REASON_AUTHORITY);
}
END_TEST

START_TEST(groups)
{
	for (unsigned i = 0; i < 3; i++)
		serve(i, i == 2 ? LAZY : IDP + i, 0);
	question(1, ANY);
	ck_assert_int_eq(answer(0, 1, ASK_BLOCK), ASK_OK);
	ck_assert_int_eq(answer(1, 1, ASK_PERMIT), ASK_OK);
	ended(1, PEND_VERDICT_PERMIT, REASON_AUTHORITY);
	ck_assert_uint_eq(seen.held[2], 0); /* withdrawn */
	question(2, ALL);
	ck_assert_int_eq(answer(0, 2, ASK_PERMIT), ASK_OK);
	ck_assert_int_eq(answer(1, 2, ASK_CONTINUE), ASK_OK);
	ck_assert_int_eq(seen.done[2], 0);
	ck_assert_int_eq(answer(2, 2, ASK_PERMIT), ASK_OK);
	ended(2, PEND_VERDICT_PERMIT, REASON_AUTHORITY);
	question(3, ALL);
	ck_assert_int_eq(answer(2, 3, ASK_BLOCK), ASK_OK);
	ended(3, PEND_VERDICT_BLOCK, REASON_AUTHORITY);
	question(4, TWO);
	ck_assert_int_eq(answer(2, 4, ASK_PERMIT), ASK_OK);
	ck_assert_int_eq(answer(0, 4, ASK_BLOCK), ASK_OK);
	ck_assert_int_eq(seen.done[4], 0);
	ck_assert_int_eq(answer(1, 4, ASK_BLOCK), ASK_OK);
	ended(4, PEND_VERDICT_BLOCK, REASON_AUTHORITY);
	question(5, ANY);
	for (unsigned i = 0; i < 3; i++)
		ck_assert_int_eq(answer(i, 5, ASK_CONTINUE), ASK_OK);
	ended(5, PEND_VERDICT_BLOCK, REASON_TIMEOUT);
	ck_assert_uint_eq(ask_stats(a)->open, 0);
}
END_TEST

START_TEST(chain)
{
	for (unsigned i = 0; i < 3; i++)
		serve(i, i == 2 ? LAZY : IDP + i, 0);
	question(1, CHAIN);
	ck_assert_uint_eq(seen.asked, 1);
	ck_assert_int_eq(answer(0, 1, ASK_CONTINUE), ASK_OK);
	ck_assert(seen.open[1][1][DNS]);
	ck_assert_int_eq(answer(1, 1, ASK_ERROR), ASK_OK); /* on-error next */
	ck_assert_int_eq(answer(2, 1, ASK_PERMIT), ASK_OK);
	ended(1, PEND_VERDICT_PERMIT, REASON_AUTHORITY);
	ask_client_gone(a, &client_id[0]);
	ask_client_gone(a, &client_id[1]);
	question(2, CHAIN); /* the first is absent: block */
	ended(2, PEND_VERDICT_BLOCK, REASON_ABSENT);
}
END_TEST

START_TEST(breaker)
{
	unsigned n = 0;

	serve(0, IDP, 0);
	for (; n < ASK_BREAKER_FAILS; n++) {
		question(n, IDP);
		ck_assert_int_eq(answer(0, n, ASK_ERROR), ASK_OK);
	}
	ck_assert_int_eq(stats_of(IDP).breaker, ASK_OPEN);
	question(n, IDP);
	ended(n++, PEND_VERDICT_BLOCK, REASON_TIMEOUT);
	ck_assert_uint_eq(seen.held[0], 0);
	run_ms(ASK_BREAKER_MIN_NS / MS + 20);
	question(n, IDP); /* the probe */
	ck_assert_uint_eq(seen.held[0], 1);
	question(n + 1, IDP);
	ck_assert_uint_eq(seen.held[0], 1);
	ended(n + 1, PEND_VERDICT_BLOCK, REASON_TIMEOUT);
	ck_assert_int_eq(answer(0, n, ASK_PERMIT), ASK_OK);
	ck_assert_int_eq(stats_of(IDP).breaker, ASK_CLOSED);
	question(n + 2, IDP);
	ck_assert_uint_eq(seen.held[0], 1);
}
END_TEST

static void patience(unsigned index, enum ask_silence silence, uint64_t ms)
{
	defs[index].silence = (uint8_t)silence;
	defs[index].timeout_ns = ms * MS;
	ck_assert_int_eq(ask_configure(a, 1, defs, DEFS), 0);
}

static const struct {
	enum ask_silence silence;
	bool alive, answers; /* it says something; it answers somebody else */
	enum ask_breaker breaker;
} silences[] = {
	{ASK_SILENCE_DEAD, false, false, ASK_OPEN},    {ASK_SILENCE_DEAD, true, false, ASK_CLOSED},
	{ASK_SILENCE_WRONG, true, false, ASK_OPEN},    {ASK_SILENCE_WRONG, true, true, ASK_CLOSED},
	{ASK_SILENCE_MEANT, false, false, ASK_CLOSED},
};

/* Strangers that nobody answers for do not keep those out that somebody does. */
START_TEST(silence_is_a_failure_where_it_is_one)
{
	unsigned n = 0;

	patience(IDP, silences[_i].silence, 20);
	seen.alive = silences[_i].alive;
	serve(0, IDP, 0);
	for (; n < ASK_BREAKER_FAILS; n++)
		question(n, IDP);
	run_ms(10);
	if (silences[_i].answers) {
		question(100, IDP);
		ck_assert_int_eq(answer(0, 100, ASK_PERMIT), ASK_OK);
	}
	run_ms(20);
	ck_assert_uint_eq(stats_of(IDP).timeouts, ASK_BREAKER_FAILS);
	ck_assert_int_eq(stats_of(IDP).breaker, silences[_i].breaker);
	question(n, IDP);
	ck_assert_uint_eq(seen.held[0], silences[_i].breaker == ASK_CLOSED);
}
END_TEST

/* Their rule has less patience than the authority's definition, or they waited for room. */
START_TEST(who_had_no_time_has_not_failed)
{
	unsigned n = 0;

	serve(0, IDP, 0);
	for (; n < 2 * ASK_BREAKER_FAILS; n++)
		question_for(n, IDP, 10);
	run_ms(20);
	ck_assert_int_eq(stats_of(IDP).breaker, ASK_CLOSED);
	patience(IDP, ASK_SILENCE_DEAD, 20);
	serve(0, IDP, 1);
	for (; n < 4 * ASK_BREAKER_FAILS; n++)
		question(n, IDP);
	run_ms(30);
	ck_assert_uint_eq(stats_of(IDP).timeouts, n);
	ck_assert_int_eq(stats_of(IDP).breaker, ASK_CLOSED);
}
END_TEST

/* Nor does the one question of a half-open breaker open it again, or keep it for itself. */
START_TEST(a_probe_without_an_answer)
{
	unsigned n = 0;

	serve(0, IDP, 0);
	for (; n < ASK_BREAKER_FAILS; n++) {
		question(n, IDP);
		ck_assert_int_eq(answer(0, n, ASK_ERROR), ASK_OK);
	}
	run_ms(ASK_BREAKER_MIN_NS / MS + 20);
	question_for(n, IDP, 10);
	run_ms(20);
	ck_assert_int_eq(stats_of(IDP).breaker, ASK_HALF_OPEN);
	patience(IDP, ASK_SILENCE_MEANT, 20);
	question(n + 1, IDP);
	ck_assert_uint_eq(seen.held[0], 1);
	run_ms(30);
	ck_assert_int_eq(stats_of(IDP).breaker, ASK_CLOSED);
}
END_TEST

static void on_worker(void *ctx, uint32_t events)
{
	unsigned *n = ctx;

	(void)events;
	for (unsigned i = 0; i < *n; i++)
		ask_gone(a, i);
}

/* The worker's word that a connection's time is over may come before one's own clock has said so. */
START_TEST(the_worker_sees_the_end_first)
{
	unsigned n = 0;
	int fd = eventfd(1, EFD_CLOEXEC);

	patience(IDP, ASK_SILENCE_DEAD, 20);
	serve(0, IDP, 0);
	for (; n < ASK_BREAKER_FAILS; n++)
		question_for(n, IDP, 20);
	ck_assert_int_eq(loop_add(l, fd, EPOLLIN, on_worker, &n), 0);
	usleep(30000);
	round_of_the_loop();
	loop_del(l, fd);
	close(fd);
	ck_assert_uint_eq(seen.held[0], 0);
	ck_assert_uint_eq(stats_of(IDP).timeouts, n);
	ck_assert_int_eq(stats_of(IDP).breaker, ASK_OPEN);
}
END_TEST

START_TEST(a_stopped_server_is_passed_over)
{
	patience(IDP, ASK_SILENCE_DEAD, 15);
	serve(0, IDP, 0);
	serve(1, IDP, 0);
	for (unsigned n = 0; n < 20; n++) {
		question_for(n, IDP, 15);
		if (seen.open[1][n][IDP])
			answer(1, n, ASK_PERMIT);
		run_ms(2);
	}
	run_ms(40);
	/* by now client 0 is known to be stopped */
	for (unsigned n = 100; n < 110; n++) {
		question(n, IDP);
		ck_assert(seen.open[1][n][IDP]);
		ck_assert_int_eq(answer(1, n, ASK_PERMIT), ASK_OK);
	}
	ck_assert_int_eq(answer(0, 0, ASK_PERMIT), ASK_NOT_FOUND); /* it lives again */
	question(200, IDP);
	question(201, IDP);
	ck_assert_uint_eq(seen.held[0], 1);
}
END_TEST

START_TEST(gone_and_no_room)
{
	serve(0, IDP, 0);
	question(1, IDP);
	question(1, IDP); /* known already */
	ck_assert_uint_eq(seen.asked, 1);
	ask_gone(a, 1);
	ck_assert_uint_eq(seen.held[0], 0);
	ck_assert_int_eq(seen.done[1], 0);
	ask_gone(a, 1);
	seen.no_room = true;
	question(2, YES);
	question(3, IDP);
	ck_assert_int_eq(answer(0, 3, ASK_PERMIT), ASK_OK);
	ask_room(a);
	ck_assert_uint_eq(ask_stats(a)->open, 2);
	seen.no_room = false;
	ask_room(a);
	ended(2, PEND_VERDICT_PERMIT, REASON_STATIC);
	ended(3, PEND_VERDICT_PERMIT, REASON_AUTHORITY);
	ck_assert_uint_eq(ask_stats(a)->open, 0);
}
END_TEST

/* What an answer says of itself goes with the decision that it makes, also when that has to wait. */
START_TEST(lasting_and_why)
{
	for (unsigned i = 0; i < 2; i++) {
		char why[] = "on the list";
		struct ask_answer ans = {.context = i,
					 .vote = ASK_PERMIT,
					 .block = UINT8_MAX,
					 .lasting = {.ns = 60000 * MS, .scope = MSG_SCOPE(1)},
					 .why = why};

		serve(0, IDP, 0);
		question(i, IDP);
		seen.no_room = i;
		forget(0, i);
		ck_assert_int_eq(ask_answer(a, &client_id[0], &ans), ASK_OK);
		memset(why, 'x', sizeof(why) - 1);
		seen.no_room = false;
		ask_room(a);
		ended(i, PEND_VERDICT_PERMIT, REASON_AUTHORITY);
		ck_assert_str_eq(seen.by[i], "idp");
		ck_assert_str_eq(seen.why[i], "on the list");
		ck_assert_uint_eq(seen.lasting[i].ns, 60000 * MS);
		ck_assert_int_eq(seen.lasting[i].scope, MSG_SCOPE(1));
	}
	question(3, NO); /* whoever says nothing of it */
	ended(3, PEND_VERDICT_BLOCK, REASON_STATIC);
	ck_assert_str_eq(seen.why[3], "");
	ck_assert_uint_eq(seen.lasting[3].ns, 0);
}
END_TEST

/*
 * What is to be remembered is what they have said, not what stood in for an answer that did not come. The three
 * are asked in order, `on_error` is of all.
 */
static const struct {
	unsigned index;
	enum ask_default on_error;
	enum ask_vote votes[3];
	enum pend_verdict verdict;
	uint32_t reason;
	bool lasts;
} substitutes[] = {
	{IDP, ASK_BY_PERMIT, {ASK_ERROR}, PEND_VERDICT_PERMIT, REASON_ERROR, false},
	{IDP, ASK_BY_BLOCK, {ASK_ERROR}, PEND_VERDICT_BLOCK, REASON_ERROR, false},
	{IDP, ASK_BY_NEXT, {ASK_ERROR}, PEND_VERDICT_BLOCK, REASON_TIMEOUT, false},
	{CHAIN,
	 ASK_BY_PERMIT,
	 {ASK_CONTINUE, ASK_PERMIT},
	 PEND_VERDICT_PERMIT,
	 REASON_AUTHORITY,
	 true},
	{CHAIN, ASK_BY_PERMIT, {ASK_CONTINUE, ASK_ERROR}, PEND_VERDICT_PERMIT, REASON_ERROR, false},
	{CHAIN, ASK_BY_NEXT, {ASK_ERROR, ASK_PERMIT}, PEND_VERDICT_PERMIT, REASON_AUTHORITY, false},
	{ALL,
	 ASK_BY_PERMIT,
	 {ASK_ERROR, ASK_PERMIT, ASK_PERMIT},
	 PEND_VERDICT_PERMIT,
	 REASON_AUTHORITY,
	 false},
	{ALL,
	 ASK_BY_PERMIT,
	 {ASK_PERMIT, ASK_PERMIT, ASK_ERROR},
	 PEND_VERDICT_PERMIT,
	 REASON_ERROR,
	 false},
	{ALL,
	 ASK_BY_NEXT,
	 {ASK_ERROR, ASK_PERMIT, ASK_PERMIT},
	 PEND_VERDICT_PERMIT,
	 REASON_AUTHORITY,
	 false},
	{ALL, ASK_BY_PERMIT, {ASK_ERROR, ASK_BLOCK}, PEND_VERDICT_BLOCK, REASON_AUTHORITY, true},
	{ALL, ASK_BY_BLOCK, {ASK_PERMIT, ASK_ERROR}, PEND_VERDICT_BLOCK, REASON_ERROR, false},
	{ANY, ASK_BY_BLOCK, {ASK_ERROR, ASK_PERMIT}, PEND_VERDICT_PERMIT, REASON_AUTHORITY, true},
	{ANY, ASK_BY_PERMIT, {ASK_BLOCK, ASK_ERROR}, PEND_VERDICT_PERMIT, REASON_ERROR, false},
	{ANY,
	 ASK_BY_BLOCK,
	 {ASK_ERROR, ASK_BLOCK, ASK_BLOCK},
	 PEND_VERDICT_BLOCK,
	 REASON_AUTHORITY,
	 false},
	{ANY,
	 ASK_BY_BLOCK,
	 {ASK_BLOCK, ASK_BLOCK, ASK_BLOCK},
	 PEND_VERDICT_BLOCK,
	 REASON_AUTHORITY,
	 true},
	{TWO, ASK_BY_PERMIT, {ASK_PERMIT, ASK_ERROR}, PEND_VERDICT_PERMIT, REASON_ERROR, false},
	{TWO, ASK_BY_PERMIT, {ASK_ERROR, ASK_PERMIT}, PEND_VERDICT_PERMIT, REASON_AUTHORITY, false},
	{TWO,
	 ASK_BY_BLOCK,
	 {ASK_ERROR, ASK_PERMIT, ASK_PERMIT},
	 PEND_VERDICT_PERMIT,
	 REASON_AUTHORITY,
	 true},
	{TWO, ASK_BY_BLOCK, {ASK_ERROR, ASK_BLOCK}, PEND_VERDICT_BLOCK, REASON_AUTHORITY, false},
	{TWO, ASK_BY_BLOCK, {ASK_BLOCK, ASK_BLOCK}, PEND_VERDICT_BLOCK, REASON_AUTHORITY, true},
};

START_TEST(an_error_is_not_remembered)
{
	defs[IDP].on_error = defs[DNS].on_error = defs[LAZY].on_error =
		(uint8_t)substitutes[_i].on_error;
	ck_assert_int_eq(ask_configure(a, 1, defs, DEFS), 0);
	for (unsigned i = 0; i < 3; i++)
		serve(i, i == 2 ? LAZY : IDP + i, 0);
	question(1, substitutes[_i].index);
	for (unsigned i = 0; i < 3 && substitutes[_i].votes[i]; i++) {
		struct ask_answer ans = {.context = 1,
					 .vote = (uint8_t)substitutes[_i].votes[i],
					 .block = UINT8_MAX,
					 .lasting = {.ns = 60000 * MS},
					 .why = "so"};

		ck_assert_int_eq(seen.done[1], 0);
		forget(i, 1);
		ck_assert_int_eq(ask_answer(a, &client_id[i], &ans), ASK_OK);
	}
	ended(1, substitutes[_i].verdict, substitutes[_i].reason);
	ck_assert_int_eq(substitutes[_i].lasts, substitutes[_i].reason == REASON_AUTHORITY &&
							seen.lasting[1].ns != MSG_REMEMBER_NOT);
	if (substitutes[_i].reason != REASON_AUTHORITY)
		ck_assert(seen.lasting[1].ns == 0 || seen.lasting[1].ns == MSG_REMEMBER_NOT);
	ck_assert_str_eq(seen.why[1], substitutes[_i].reason == REASON_TIMEOUT ? "" : "so");
}
END_TEST

/* Nobody there, too late, and not asked: the last word is a real one all the same. */
START_TEST(nor_is_what_stood_in_for_silence)
{
	defs[DNS].on_absent = defs[DNS].on_timeout = ASK_BY_PERMIT;
	defs[DNS].timeout_ns = 10 * MS;
	ck_assert_int_eq(ask_configure(a, 1, defs, DEFS), 0);
	serve(0, IDP, 0);
	serve(2, LAZY, 0);
	question(1, ALL);
	serve(1, DNS, 0);
	question(2, ALL);
	run_ms(30);
	for (unsigned n = 1; n <= 2; n++) {
		ck_assert_int_eq(answer(0, n, ASK_PERMIT), ASK_OK);
		ck_assert_int_eq(answer(2, n, ASK_PERMIT), ASK_OK);
		ended(n, PEND_VERDICT_PERMIT, REASON_AUTHORITY);
		ck_assert_uint_eq(seen.lasting[n].ns, MSG_REMEMBER_NOT);
	}
}
END_TEST

START_TEST(policies_come_and_go)
{
	struct ask_def few[2];
	struct pend_info info = {.context = 9, .deadline_ns = mono_add(loop_now(l), 1000 * MS).ns};

	serve(0, IDP, 0);
	serve(1, DNS, 0);
	question(1, IDP);
	question(2, DNS);
	few[0] = defs[NO];
	few[1] = defs[IDP];
	ck_assert_int_eq(ask_configure(a, 2, few, 2), 0);
	ck_assert_uint_eq(seen.unserved, 1);
	ck_assert(ask_serves(a, &client_id[0], "idp") && !ask_serves(a, &client_id[1], "dns"));
	ended(2, PEND_VERDICT_BLOCK, REASON_TIMEOUT); /* by on-error next */
	ck_assert_int_eq(seen.done[1], 0);
	question(3, IDP); /* of generation 1 still */
	ck_assert(seen.open[0][3][IDP]);
	ask_question(a, 2, 1, &info);
	ck_assert(seen.open[0][9][IDP]);
	ask_question(a, 2, 2, &info);
	ask_question(a, 7, 0, &info);
	ck_assert_uint_eq(ask_stats(a)->unknown, 2);
	ck_assert_int_eq(ask_configure(a, 3, few, 1), 0);
	ck_assert_int_eq(ask_configure(a, 4, few, 1), 0);
	ck_assert_uint_eq(ask_stats(a)->open, 0);
	few[0].members = 1;
	ck_assert_int_eq(ask_configure(a, 5, few, 1), -EINVAL);
}
END_TEST

/* Another order, others before them, and groups of other members and rules; with `gone` no groups at all. */
static void put_in_another_order(bool gone)
{
	static char names[60][8];
	struct ask_def all[60 + DEFS];
	unsigned n = 60, first = gone ? LAZY : CHAIN;

	for (unsigned i = 0; i < 60; i++) {
		snprintf(names[i], sizeof(names[i]), "x%u", i);
		all[i] = defs[NO];
		all[i].name = names[i];
	}
	for (int i = (int)first; i >= 0; i--, n++) {
		all[n] = defs[i];
		if (i < ANY)
			continue;
		all[n].rule = i == ALL ? ASK_ANY : ASK_ALL;
		all[n].members = 2;
		all[n].member[0] = (uint16_t)(60 + first - NO);
		all[n].member[1] = (uint16_t)(60 + first - YES);
	}
	ck_assert_int_eq(ask_configure(a, 2, all, n), 0);
}

/* What a question of the chain, any, all or quorum needs to end: the votes of the three, in order; 0: not asked of it. */
static const struct {
	unsigned index;
	enum ask_vote votes[3];
	enum pend_verdict verdict;
} lives[] = {
	{CHAIN, {ASK_CONTINUE, ASK_CONTINUE, ASK_PERMIT}, PEND_VERDICT_PERMIT},
	{CHAIN, {ASK_CONTINUE, ASK_BLOCK}, PEND_VERDICT_BLOCK},
	{ANY, {ASK_BLOCK, ASK_CONTINUE, ASK_PERMIT}, PEND_VERDICT_PERMIT},
	{ANY, {ASK_BLOCK, ASK_BLOCK, ASK_BLOCK}, PEND_VERDICT_BLOCK},
	{ALL, {ASK_PERMIT, ASK_PERMIT, ASK_PERMIT}, PEND_VERDICT_PERMIT},
	{ALL, {ASK_PERMIT, ASK_BLOCK}, PEND_VERDICT_BLOCK},
	{TWO, {ASK_PERMIT, ASK_BLOCK, ASK_PERMIT}, PEND_VERDICT_PERMIT},
	{TWO, {ASK_BLOCK, ASK_BLOCK}, PEND_VERDICT_BLOCK},
};

START_TEST(a_reload_leaves_open_groups_as_they_were)
{
	unsigned which = (unsigned)_i / 2;

	for (unsigned i = 0; i < 3; i++)
		serve(i, i == 2 ? LAZY : IDP + i, 0);
	question(1, lives[which].index);
	put_in_another_order(_i % 2);
	for (unsigned i = 0; i < 3 && lives[which].votes[i]; i++) {
		ck_assert_int_eq(seen.done[1], 0);
		ck_assert_int_eq(answer(i, 1, lives[which].votes[i]), ASK_OK);
	}
	ended(1, lives[which].verdict, REASON_AUTHORITY);
	ck_assert_uint_eq(ask_stats(a)->open, 0);
	for (unsigned i = 0; i < 3; i++)
		ck_assert_uint_eq(seen.held[i], 0);
}
END_TEST

static enum ask_state answer_for(unsigned client, unsigned n, unsigned index, enum ask_vote v)
{
	struct ask_answer ans = {.context = n,
				 .authority = defs[index].name,
				 .vote = (uint8_t)v,
				 .block = UINT8_MAX};
	bool *open = &seen.open[client][n][index];
	enum ask_state s = ask_answer(a, &client_id[client], &ans);

	if (s == ASK_OK && *open) {
		*open = false;
		seen.held[client]--;
	}
	return s;
}

/* One client answers for two members: what comes late for the one is no word about the other. */
START_TEST(an_answer_is_for_one_authority)
{
	defs[IDP].timeout_ns = 10 * MS;
	defs[IDP].on_timeout = ASK_BY_PERMIT;
	defs[ALL].members = 2;
	ck_assert_int_eq(ask_configure(a, 1, defs, DEFS), 0);
	serve(0, IDP, 0);
	serve(0, DNS, 0);
	question(1, ALL);
	run_ms(20);
	ck_assert(!seen.open[0][1][IDP] && seen.open[0][1][DNS]);
	ck_assert_int_eq(answer(0, 1, ASK_PERMIT), ASK_AMBIGUOUS);
	ck_assert_uint_eq(ask_stats(a)->ambiguous, 1);
	ck_assert_int_eq(answer_for(0, 1, IDP, ASK_PERMIT), ASK_NOT_FOUND);
	ck_assert_uint_eq(stats_of(IDP).late, 1);
	ck_assert_uint_eq(stats_of(DNS).late, 0);
	ck_assert_int_eq(answer_for(0, 1, LAZY, ASK_PERMIT), ASK_NOT_YOURS);
	ck_assert_int_eq(seen.done[1], 0);
	ck_assert_int_eq(answer_for(0, 1, DNS, ASK_BLOCK), ASK_OK);
	ended(1, PEND_VERDICT_BLOCK, REASON_AUTHORITY);
	ck_assert_str_eq(seen.by[1], "dns");
	question(2, IDP); /* asked for one alone: it goes without saying */
	ck_assert_int_eq(answer(0, 2, ASK_PERMIT), ASK_OK);
	ck_assert_int_eq(answer_for(0, 2, IDP, ASK_PERMIT), ASK_NOT_FOUND);
}
END_TEST

/* Nor is a second answer of the one before. */
START_TEST(in_a_chain_too)
{
	defs[CHAIN].members = 2;
	ck_assert_int_eq(ask_configure(a, 1, defs, DEFS), 0);
	serve(0, IDP, 0);
	serve(0, DNS, 0);
	question(1, CHAIN);
	ck_assert_int_eq(answer(0, 1, ASK_CONTINUE), ASK_OK);
	ck_assert(seen.open[0][1][DNS]);
	ck_assert_int_eq(answer(0, 1, ASK_PERMIT), ASK_AMBIGUOUS);
	ck_assert_int_eq(answer_for(0, 1, IDP, ASK_PERMIT), ASK_NOT_FOUND);
	ck_assert_int_eq(answer_for(0, 1, DNS, ASK_BLOCK), ASK_OK);
	ended(1, PEND_VERDICT_BLOCK, REASON_AUTHORITY);
}
END_TEST

/* What was taken from a client that is there still may be answered by it; one that is gone says nothing. */
START_TEST(what_was_moved)
{
	defs[ALL].members = 2;
	ck_assert_int_eq(ask_configure(a, 1, defs, DEFS), 0);
	serve(0, IDP, 0);
	serve(1, DNS, 0);
	serve(2, IDP, 1);
	question(1, ALL);
	ck_assert(seen.open[0][1][IDP]);
	seen.open[0][1][IDP] = false;
	seen.held[0] = 0;
	ask_client_gone(a, &client_id[0]);
	ck_assert(seen.open[2][1][IDP]);
	ck_assert_int_eq(answer(2, 1, ASK_PERMIT), ASK_OK);
	serve(3, DNS, 0);
	seen.open[1][1][DNS] = false;
	seen.held[1] = 0;
	ask_client_silent(a, &client_id[1]);
	ck_assert(seen.open[3][1][DNS]);
	ck_assert_int_eq(answer(3, 1, ASK_PERMIT), ASK_AMBIGUOUS);
	ck_assert_int_eq(answer_for(3, 1, DNS, ASK_PERMIT), ASK_OK);
	ended(1, PEND_VERDICT_PERMIT, REASON_AUTHORITY);
}
END_TEST

/* Whatever happens: each question ends once, nobody holds more than agreed, nothing is left. */
static void random_step(uint64_t *state, bool *serving, unsigned *next)
{
	unsigned c = (unsigned)(unit_rand(state) >> 33) % CLIENTS;
	unsigned index = IDP + (c & 1), n;

	switch ((unit_rand(state) >> 33) % 12) {
	case 0:
		serve(c, index, 1 + c * 3);
		serving[c] = true;
		break;
	case 1:
		if (!serving[c] || (unit_rand(state) >> 33) % 4)
			break;
		memset(seen.open[c], 0, sizeof(seen.open[c]));
		seen.held[c] = 0;
		ask_client_gone(a, &client_id[c]);
		serving[c] = false;
		break;
	case 2:
		seen.backlogged[c] = !seen.backlogged[c];
		if (!seen.backlogged[c])
			ask_drained(a, &client_id[c]);
		break;
	case 3:
		seen.no_room = !seen.no_room;
		if (!seen.no_room)
			ask_room(a);
		break;
	case 4:
		loop_once(l, loop_clock());
		break;
	case 5:
		if (!*next)
			break;
		n = (unsigned)(unit_rand(state) >> 33) % *next;
		ask_gone(a, n);
		if (!seen.done[n])
			seen.done[n] = 1;
		break;
	case 6:
	case 7:
	case 8:
		if (*next < QUESTIONS)
			question_for((*next)++, (unsigned)(unit_rand(state) >> 33) % DEFS,
				     1 + (unit_rand(state) >> 33) % 30);
		break;
	default:
		for (n = 0; n < *next && seen.held[c]; n++)
			if ((seen.open[c][n][IDP] || seen.open[c][n][DNS]) &&
			    !((unit_rand(state) >> 33) % 3)) {
				ck_assert_int_eq(
					answer(c, n,
					       (enum ask_vote)(1 + (unit_rand(state) >> 33) % 4)),
					ASK_OK);
				break;
			}
	}
}

START_TEST(random_lives)
{
	uint64_t state = unit_seed("ask");
	bool serving[CLIENTS] = {0};
	unsigned next = 0;

	for (unsigned i = 0; i < 20000; i++) {
		random_step(&state, serving, &next);
		for (unsigned c = 0; c < CLIENTS; c++)
			ck_assert_uint_le(seen.held[c], 1 + c * 3);
	}
	seen.no_room = false;
	ask_room(a);
	run_ms(60);
	ck_assert_uint_eq(ask_stats(a)->open, 0);
	for (unsigned n = 0; n < next; n++)
		ck_assert_msg(seen.done[n] == 1, "question %u ended %d times", n, seen.done[n]);
	for (unsigned c = 0; c < CLIENTS; c++)
		ck_assert_uint_eq(seen.held[c], 0);
}
END_TEST

/* Its program is being started: the same definitions, with patience and another version. */
static void begin_anew(uint64_t patience_ms, uint64_t version)
{
	defs[IDP].patience_ns = patience_ms * MS;
	defs[IDP].version = version;
	ck_assert_int_eq(ask_configure(a, 2, defs, DEFS), 0);
}

START_TEST(questions_wait_for_a_program_that_is_being_started)
{
	question(1, IDP);
	ended(1, PEND_VERDICT_BLOCK, REASON_ABSENT);
	begin_anew(200, 1);
	question(2, IDP);
	run_ms(50);
	ck_assert_int_eq(seen.done[2], 0);
	serve(0, IDP, 0);
	ck_assert_uint_eq(seen.held[0], 1);
	run_ms(300); /* it has all its time, once it is asked */
	ck_assert_int_eq(seen.done[2], 0);
	ck_assert_int_eq(answer(0, 2, ASK_PERMIT), ASK_OK);
	ended(2, PEND_VERDICT_PERMIT, REASON_AUTHORITY);
}
END_TEST

START_TEST(nobody_is_waited_for_for_ever)
{
	begin_anew(100, 1);
	question(1, IDP);
	run_ms(150);
	ended(1, PEND_VERDICT_BLOCK, REASON_ABSENT);
	question(2, IDP);
	ended(2, PEND_VERDICT_BLOCK, REASON_ABSENT);
	ck_assert_uint_eq(stats_of(IDP).absent, 2);
}
END_TEST

START_TEST(behind_its_end_a_program_is_waited_for)
{
	begin_anew(200, 1);
	run_ms(250);
	serve(0, IDP, 0);
	question(1, IDP);
	ask_client_gone(a, &client_id[0]);
	ended(1, PEND_VERDICT_BLOCK, REASON_TIMEOUT); /* an error, which has no opinion */
	question(2, IDP);
	run_ms(50);
	ck_assert_int_eq(seen.done[2], 0);
	serve(1, IDP, 0);
	ck_assert_int_eq(answer(1, 2, ASK_PERMIT), ASK_OK);
	ended(2, PEND_VERDICT_PERMIT, REASON_AUTHORITY);
}
END_TEST

START_TEST(those_of_another_definition_are_sent_away)
{
	begin_anew(200, 1);
	serve(0, IDP, 0);
	question(1, IDP);
	begin_anew(200, 1);
	ck_assert(ask_serves(a, &client_id[0], "idp"));
	begin_anew(200, 2);
	ck_assert(!ask_serves(a, &client_id[0], "idp"));
	ck_assert_int_eq(seen.done[1], 0); /* it is put to the next one */
	serve(1, IDP, 0);
	ck_assert_uint_eq(seen.held[1], 1);
	ck_assert_int_eq(answer(1, 1, ASK_PERMIT), ASK_OK);
	ended(1, PEND_VERDICT_PERMIT, REASON_AUTHORITY);
	ck_assert_uint_eq(stats_of(IDP).errors, 0);
}
END_TEST

Suite *suite(void)
{
	Suite *s = suite_create("ask");
	TCase *tc = tcase_create("ask");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, an_answer_decides);
	tcase_add_test(tc, answers_that_are_none);
	tcase_add_test(tc, nobody_serves);
	tcase_add_test(tc, the_deadline_decides);
	tcase_add_test(tc, at_the_end_of_a_context_its_rule_decides);
	tcase_add_test(tc, room_and_order);
	tcase_add_loop_test(tc, room_is_used_whatever_made_it, 0, sizeof(ways) / sizeof(ways[0]));
	tcase_add_test(tc, no_more_than_max_pending);
	tcase_add_test(tc, a_server_leaves);
	tcase_add_test(tc, a_server_is_silent);
	tcase_add_test(tc, waiting_outlasts_a_restart);
	tcase_add_test(tc, groups);
	tcase_add_test(tc, chain);
	tcase_add_test(tc, breaker);
	tcase_add_loop_test(tc, silence_is_a_failure_where_it_is_one, 0,
			    sizeof(silences) / sizeof(silences[0]));
	tcase_add_test(tc, who_had_no_time_has_not_failed);
	tcase_add_test(tc, a_probe_without_an_answer);
	tcase_add_test(tc, the_worker_sees_the_end_first);
	tcase_add_test(tc, a_stopped_server_is_passed_over);
	tcase_add_test(tc, gone_and_no_room);
	tcase_add_test(tc, lasting_and_why);
	tcase_add_loop_test(tc, an_error_is_not_remembered, 0,
			    sizeof(substitutes) / sizeof(substitutes[0]));
	tcase_add_test(tc, nor_is_what_stood_in_for_silence);
	tcase_add_test(tc, policies_come_and_go);
	tcase_add_loop_test(tc, a_reload_leaves_open_groups_as_they_were, 0,
			    2 * sizeof(lives) / sizeof(lives[0]));
	tcase_add_test(tc, questions_wait_for_a_program_that_is_being_started);
	tcase_add_test(tc, nobody_is_waited_for_for_ever);
	tcase_add_test(tc, behind_its_end_a_program_is_waited_for);
	tcase_add_test(tc, those_of_another_definition_are_sent_away);
	tcase_add_test(tc, an_answer_is_for_one_authority);
	tcase_add_test(tc, in_a_chain_too);
	tcase_add_test(tc, what_was_moved);
	tcase_add_test(tc, random_lives);
	tcase_set_timeout(tc, 60);
	suite_add_tcase(s, tc);
	return s;
}
