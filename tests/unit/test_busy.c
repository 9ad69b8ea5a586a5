/* SPDX-License-Identifier: GPL-2.0-or-later */
/* When a worker polls for an answer: after quick ones, a bounded time, and ever more rarely in vain. */
#include "unit.h"
#include "base/busy.h"

#define US 1000ull

static struct busy b;
static mono_t now;

static void setup(void)
{
	now = mono_ns(1000000000);
	busy_init(&b, 100);
}

static bool polls(void)
{
	return mono_before(now, busy_until(&b, now));
}

/* A question whose answer comes after so long; was it polled for? */
static bool question(uint64_t us)
{
	bool polled;

	busy_asked(&b, 1, now);
	polled = polls();
	now = mono_add(now, us * US);
	busy_until(&b, now); /* the loop's next round */
	busy_answered(&b, now);
	ck_assert(!polls());
	return polled;
}

START_TEST(polls_after_a_quick_answer)
{
	ck_assert(!question(150));
	ck_assert(question(50));
	ck_assert(question(99));
	ck_assert_uint_eq(b.tries, 2);
	ck_assert_uint_eq(b.answers, 2);
}
END_TEST

START_TEST(sleeps_after_a_slow_one)
{
	ck_assert(!question(201));
	ck_assert(!question(1000000));
	ck_assert(!question(10));
	ck_assert(question(10));
}
END_TEST

START_TEST(polls_no_longer_than_it_may)
{
	question(10);
	busy_asked(&b, 1, now);
	ck_assert_uint_eq(busy_until(&b, now).ns, now.ns + 100 * US);
	now = mono_add(now, 99 * US);
	ck_assert(polls());
	now = mono_add(now, 1 * US);
	ck_assert(!polls());
	/* and not for the next, as nothing has come */
	busy_asked(&b, 1, now);
	ck_assert(!polls());
	ck_assert_uint_eq(b.tries, 1);
	ck_assert_uint_eq(b.answers, 0);
}
END_TEST

/* Answers that come just behind the end cost a try less and less often. */
START_TEST(rests_after_tries_in_vain)
{
	unsigned tries = 0;

	for (unsigned i = 0; i < 1000; i++)
		tries += question(150);
	ck_assert_uint_ge(tries, 1000 / (BUSY_REST + 2));
	ck_assert_uint_le(tries, 1000 / BUSY_REST + 6);
	ck_assert_uint_eq(b.answers, 0);
	/* once they are quick it does not rest for good */
	for (unsigned i = 0; i <= BUSY_REST; i++)
		question(50);
	ck_assert(question(50));
	ck_assert(question(50));
}
END_TEST

/* Where others want the processor, a look is not a quick one. */
START_TEST(an_answer_seen_too_late_was_polled_for_in_vain)
{
	question(10);
	busy_asked(&b, 1, now);
	ck_assert(polls());
	now = mono_add(now, 3000 * US);
	busy_answered(&b, now);
	ck_assert_uint_eq(b.answers, 0);
	ck_assert(!question(10));
	ck_assert(question(10));
	ck_assert_uint_eq(b.answers, 1);
}
END_TEST

START_TEST(bursts_are_slept_for)
{
	question(10);
	busy_asked(&b, BUSY_BURST + 1, now);
	ck_assert(!polls());
	busy_answered(&b, mono_add(now, 1000000 * US)); /* which says nothing about few */
	ck_assert(question(10));
	busy_asked(&b, BUSY_BURST, now);
	ck_assert(polls());
}
END_TEST

START_TEST(answers_to_nothing_say_nothing)
{
	busy_answered(&b, now);
	ck_assert(!question(10));
	ck_assert(question(10));
	busy_answered(&b, mono_add(now, 1000000 * US));
	ck_assert(question(10));
}
END_TEST

START_TEST(never_where_it_is_off)
{
	busy_init(&b, 0);
	for (unsigned k = 0; k < 10; k++)
		ck_assert(!question(0));
	ck_assert_uint_eq(b.tries, 0);
}
END_TEST

Suite *suite(void)
{
	Suite *s = suite_create("busy");
	TCase *tc = tcase_create("busy");

	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_test(tc, polls_after_a_quick_answer);
	tcase_add_test(tc, sleeps_after_a_slow_one);
	tcase_add_test(tc, polls_no_longer_than_it_may);
	tcase_add_test(tc, rests_after_tries_in_vain);
	tcase_add_test(tc, an_answer_seen_too_late_was_polled_for_in_vain);
	tcase_add_test(tc, bursts_are_slept_for);
	tcase_add_test(tc, answers_to_nothing_say_nothing);
	tcase_add_test(tc, never_where_it_is_off);
	suite_add_tcase(s, tc);
	return s;
}
