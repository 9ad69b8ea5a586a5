/* SPDX-License-Identifier: GPL-2.0-or-later */
/* When an authority, or one of its servers, fails, and what is done about it. */
#include "unit.h"
#include "tests/unit/ask_run.h"
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

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

	patience(IDP, silences[_i].silence, 200);
	seen.alive = silences[_i].alive;
	serve(0, IDP, 0);
	for (; n < ASK_BREAKER_FAILS; n++)
		question(n, IDP);
	run_ms(50);
	if (silences[_i].answers) {
		question(100, IDP);
		ck_assert_int_eq(answer(0, 100, ASK_PERMIT), ASK_OK);
	}
	run_ms(200);
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

/* An older question was answered meanwhile: it is one of many then. */
START_TEST(a_probe_that_comes_late)
{
	unsigned n = 2;

	patience(IDP, ASK_SILENCE_MEANT, 10000);
	serve(0, IDP, 0);
	question_for(0, IDP, 10000);
	question_for(1, IDP, 10000);
	for (; n < 2 + ASK_BREAKER_FAILS; n++) {
		question(n, IDP);
		ck_assert_int_eq(answer(0, n, ASK_ERROR), ASK_OK);
	}
	run_ms(ASK_BREAKER_MIN_NS / MS + 20);
	question(n, IDP);
	ck_assert_int_eq(stats_of(IDP).breaker, ASK_HALF_OPEN);
	ck_assert_int_eq(answer(0, 0, ASK_PERMIT), ASK_OK);
	ck_assert_int_eq(stats_of(IDP).breaker, ASK_CLOSED);
	ck_assert_int_eq(answer(0, n, ASK_ERROR), ASK_OK);
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

Suite *suite(void)
{
	Suite *s = suite_create("ask_fail");
	TCase *tc = tcase_create("ask_fail");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, breaker);
	tcase_add_loop_test(tc, silence_is_a_failure_where_it_is_one, 0,
			    sizeof(silences) / sizeof(silences[0]));
	tcase_add_test(tc, who_had_no_time_has_not_failed);
	tcase_add_test(tc, a_probe_without_an_answer);
	tcase_add_test(tc, a_probe_that_comes_late);
	tcase_add_test(tc, the_worker_sees_the_end_first);
	tcase_add_test(tc, a_stopped_server_is_passed_over);
	tcase_set_timeout(tc, 60);
	suite_add_tcase(s, tc);
	return s;
}
