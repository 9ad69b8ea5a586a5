/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How the votes of a group decide, what of it is to be remembered, and whose vote an answer is. */
#include "unit.h"
#include "tests/unit/ask_run.h"

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
	ck_assert_int_eq(answer(3, 1, ASK_PERMIT), ASK_OK); /* it was never asked for another */
	ended(1, PEND_VERDICT_PERMIT, REASON_AUTHORITY);
}
END_TEST

/* The policy has another definition of one member: those that serve the others are not in doubt. */
START_TEST(what_a_reload_moved)
{
	defs[ALL].members = 2;
	defs[IDP].on_absent = ASK_BY_WAIT;
	ck_assert_int_eq(ask_configure(a, 1, defs, DEFS), 0);
	serve(0, IDP, 0);
	serve(1, DNS, 0);
	question(1, ALL);
	question(2, ALL);
	defs[IDP].version++;
	ck_assert_int_eq(ask_configure(a, 2, defs, DEFS), 0);
	memset(seen.open[0], 0, sizeof(seen.open[0]));
	seen.held[0] = 0;
	ck_assert_int_eq(answer(1, 1, ASK_BLOCK), ASK_OK);
	ended(1, PEND_VERDICT_BLOCK, REASON_AUTHORITY);
	ck_assert_int_eq(answer(1, 2, ASK_BLOCK), ASK_OK);
	ended(2, PEND_VERDICT_BLOCK, REASON_AUTHORITY);
	ck_assert_uint_eq(ask_stats(a)->ambiguous, 0);
}
END_TEST

/* Asked for the other member now: it may be the late answer for the one that was taken from it. */
START_TEST(who_had_it_answers_late)
{
	defs[ALL].members = 2;
	ck_assert_int_eq(ask_configure(a, 1, defs, DEFS), 0);
	serve(0, DNS, 0);
	serve(1, IDP, 0);
	question(1, ALL);
	serve(2, DNS, 0);
	seen.open[0][1][DNS] = false;
	seen.held[0] = 0;
	ask_client_silent(a, &client_id[0]);
	ck_assert(seen.open[2][1][DNS]);
	serve(0, IDP, 0);
	seen.open[1][1][IDP] = false;
	seen.held[1] = 0;
	ask_client_gone(a, &client_id[1]);
	ck_assert(seen.open[0][1][IDP]);
	ck_assert_int_eq(answer(0, 1, ASK_PERMIT), ASK_AMBIGUOUS);
	ck_assert_int_eq(answer_for(0, 1, IDP, ASK_PERMIT), ASK_OK);
	ck_assert_int_eq(answer(2, 1, ASK_PERMIT), ASK_OK);
	ended(1, PEND_VERDICT_PERMIT, REASON_AUTHORITY);
}
END_TEST

/* Its memory may be that of one that was asked for another member, and is gone. */
START_TEST(a_new_client_is_not_the_one_before)
{
	defs[ALL].members = 2;
	defs[IDP].timeout_ns = 10 * MS;
	defs[IDP].on_timeout = ASK_BY_PERMIT;
	ck_assert_int_eq(ask_configure(a, 1, defs, DEFS), 0);
	serve(0, IDP, 0);
	serve(1, DNS, 0);
	question(1, ALL);
	run_ms(20);
	ask_client_gone(a, &client_id[0]);
	client_number[0] = 100;
	serve(0, DNS, 0);
	seen.open[1][1][DNS] = false;
	seen.held[1] = 0;
	ask_client_gone(a, &client_id[1]);
	ck_assert(seen.open[0][1][DNS]);
	ck_assert_int_eq(answer(0, 1, ASK_PERMIT), ASK_OK);
	ended(1, PEND_VERDICT_PERMIT, REASON_AUTHORITY);
}
END_TEST

Suite *suite(void)
{
	Suite *s = suite_create("ask_groups");
	TCase *tc = tcase_create("ask_groups");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, groups);
	tcase_add_test(tc, chain);
	tcase_add_loop_test(tc, an_error_is_not_remembered, 0,
			    sizeof(substitutes) / sizeof(substitutes[0]));
	tcase_add_test(tc, nor_is_what_stood_in_for_silence);
	tcase_add_loop_test(tc, a_reload_leaves_open_groups_as_they_were, 0,
			    2 * sizeof(lives) / sizeof(lives[0]));
	tcase_add_test(tc, an_answer_is_for_one_authority);
	tcase_add_test(tc, in_a_chain_too);
	tcase_add_test(tc, what_was_moved);
	tcase_add_test(tc, what_a_reload_moved);
	tcase_add_test(tc, who_had_it_answers_late);
	tcase_add_test(tc, a_new_client_is_not_the_one_before);
	tcase_set_timeout(tc, 60);
	suite_add_tcase(s, tc);
	return s;
}
