/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who is asked, and what servers that have little room, go or come do to it. */
#include "unit.h"
#include "tests/unit/ask_run.h"
#include <errno.h>

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

/* The policy was without it for a while: its program has ended, and is started anew. */
START_TEST(one_that_comes_back_is_waited_for)
{
	begin_anew(200, 1);
	serve(0, IDP, 0);
	ck_assert_int_eq(ask_configure(a, 3, defs, IDP), 0);
	run_ms(250);
	ck_assert_int_eq(ask_configure(a, 1, defs, DEFS), 0);
	question(1, IDP);
	ck_assert_int_eq(seen.done[1], 0);
	serve(1, IDP, 0);
	ck_assert_int_eq(answer(1, 1, ASK_PERMIT), ASK_OK);
	ended(1, PEND_VERDICT_PERMIT, REASON_AUTHORITY);
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
	tcase_add_test(tc, gone_and_no_room);
	tcase_add_test(tc, lasting_and_why);
	tcase_add_test(tc, policies_come_and_go);
	tcase_add_test(tc, random_lives);
	tcase_add_test(tc, questions_wait_for_a_program_that_is_being_started);
	tcase_add_test(tc, one_that_comes_back_is_waited_for);
	tcase_add_test(tc, nobody_is_waited_for_for_ever);
	tcase_add_test(tc, behind_its_end_a_program_is_waited_for);
	tcase_add_test(tc, those_of_another_definition_are_sent_away);
	tcase_set_timeout(tc, 60);
	suite_add_tcase(s, tc);
	return s;
}
