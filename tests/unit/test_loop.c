/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The event loop: delivery, deletion inside callbacks, timers, signals, the idle function. */
#include "unit.h"
#include "io/loop.h"
#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

struct pair {
	struct loop *l;
	int fd[2];
	int other;
	int calls;
};

static struct loop *l;

static void setup(void)
{
	ck_assert_int_eq(loop_new(&l), 0);
}

static void teardown(void)
{
	loop_free(l);
}

static struct pair pair_make(void)
{
	struct pair p = {.l = l, .other = -1};

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, p.fd), 0);
	return p;
}

static void pair_close(struct pair *p)
{
	close(p->fd[0]);
	close(p->fd[1]);
}

static void on_read(void *ctx, uint32_t events)
{
	struct pair *p = ctx;
	char c;

	ck_assert(events & EPOLLIN);
	ck_assert_int_eq(read(p->fd[0], &c, 1), 1);
	p->calls++;
	if (p->other >= 0)
		loop_del(p->l, p->other);
}

static mono_t soon(void)
{
	return mono_add(loop_clock(), 20 * MONO_NS_PER_MS);
}

START_TEST(delivers_and_waits_no_longer_than_asked)
{
	struct pair p = pair_make();

	ck_assert_int_eq(loop_add(l, p.fd[0], EPOLLIN, on_read, &p), 0);
	ck_assert_int_eq(loop_add(l, p.fd[0], EPOLLIN, on_read, &p), -EEXIST);
	ck_assert_int_eq(loop_once(l, soon()), 0);
	ck_assert_int_eq(p.calls, 0);
	ck_assert_int_eq(write(p.fd[1], "xx", 2), 2);
	ck_assert_int_eq(loop_once(l, soon()), 0);
	ck_assert_int_eq(p.calls, 1);
	ck_assert_int_eq(loop_once(l, soon()), 0);
	ck_assert_int_eq(p.calls, 2);
	loop_del(l, p.fd[0]);
	loop_del(l, p.fd[0]);
	ck_assert_int_eq(loop_mod(l, p.fd[0], EPOLLIN), -ENOENT);
	pair_close(&p);
}
END_TEST

/* Both are ready in one round and each deletes the other: exactly one callback runs. */
START_TEST(no_event_after_deletion_in_the_same_round)
{
	struct pair a = pair_make(), b = pair_make();

	a.other = b.fd[0];
	b.other = a.fd[0];
	ck_assert_int_eq(loop_add(l, a.fd[0], EPOLLIN, on_read, &a), 0);
	ck_assert_int_eq(loop_add(l, b.fd[0], EPOLLIN, on_read, &b), 0);
	ck_assert_int_eq(write(a.fd[1], "x", 1), 1);
	ck_assert_int_eq(write(b.fd[1], "x", 1), 1);
	ck_assert_int_eq(loop_once(l, soon()), 0);
	ck_assert_int_eq(a.calls + b.calls, 1);
	loop_del(l, a.fd[0]);
	loop_del(l, b.fd[0]);
	pair_close(&a);
	pair_close(&b);
}
END_TEST

static void on_replace(void *ctx, uint32_t events)
{
	struct pair *p = ctx;

	(void)events;
	p->calls++;
	loop_del(p->l, p->other);
	ck_assert_int_eq(loop_add(p->l, p->other, EPOLLIN, on_read, p), 0);
	loop_del(p->l, p->fd[0]);
}

/* The number is in use again before its old event was delivered: the new owner must not see it. */
START_TEST(old_event_not_delivered_to_a_new_owner)
{
	struct pair a = pair_make(), b = pair_make();

	a.other = b.fd[0];
	b.other = a.fd[0];
	ck_assert_int_eq(loop_add(l, a.fd[0], EPOLLIN, on_replace, &a), 0);
	ck_assert_int_eq(loop_add(l, b.fd[0], EPOLLIN, on_replace, &b), 0);
	ck_assert_int_eq(write(a.fd[1], "x", 1), 1);
	ck_assert_int_eq(write(b.fd[1], "x", 1), 1);
	ck_assert_int_eq(loop_once(l, soon()), 0);
	ck_assert_int_eq(a.calls + b.calls, 1);
	pair_close(&a);
	pair_close(&b);
}
END_TEST

static mono_t polls_until;

static mono_t on_polling_idle(void *ctx, mono_t now)
{
	++*(int *)ctx;
	(void)now;
	loop_poll_until(l, polls_until);
	return MONO_NEVER;
}

/* Polling ends with an event, or in an empty round at the time given; then it sleeps. */
START_TEST(polls_until_it_is_told)
{
	struct pair p = pair_make();
	int idles = 0;

	ck_assert_int_eq(loop_add(l, p.fd[0], EPOLLIN, on_read, &p), 0);
	loop_set_idle(l, on_polling_idle, &idles);
	polls_until = MONO_NEVER;
	ck_assert_int_eq(loop_once(l, mono_ns(0)), 0);
	ck_assert_int_eq(write(p.fd[1], "x", 1), 1);
	ck_assert_int_eq(loop_once(l, MONO_NEVER), 0);
	ck_assert_int_eq(p.calls, 1);
	polls_until = mono_add(loop_clock(), MONO_NS_PER_MS);
	loop_poll_until(l, polls_until);
	ck_assert_int_eq(loop_once(l, MONO_NEVER), 0); /* empty: nobody would have ended a sleep */
	ck_assert(!mono_before(loop_now(l), polls_until));
	ck_assert_int_eq(p.calls, 1);
	ck_assert_int_eq(idles, 3);
	ck_assert_int_eq(write(p.fd[1], "x", 1), 1);
	ck_assert_int_eq(loop_once(l, MONO_NEVER), 0);
	ck_assert_int_eq(p.calls, 2);
	loop_del(l, p.fd[0]);
	pair_close(&p);
}
END_TEST

/* By itself, after a short sleep; what comes then is found so. */
START_TEST(busy_polls_while_sleeps_are_short)
{
	struct pair p = pair_make();

	ck_assert_int_eq(loop_add(l, p.fd[0], EPOLLIN, on_read, &p), 0);
	ck_assert_uint_eq(loop_busy_us(0), 0);
	loop_set_busy(l, 1000000);
	if (!loop_busy_us(1)) /* one processor */
		ck_assert_uint_eq(loop_busy(l)->max_ns, 0);
	for (int i = 1; i <= 3; i++) {
		ck_assert_int_eq(write(p.fd[1], "x", 1), 1);
		ck_assert_int_eq(loop_once(l, MONO_NEVER), 0);
		ck_assert_int_eq(p.calls, i);
	}
	ck_assert_uint_eq(loop_busy(l)->tries, loop_busy_us(1) ? 2 : 0);
	ck_assert_uint_eq(loop_busy(l)->answers, loop_busy(l)->tries);
	loop_del(l, p.fd[0]);
	pair_close(&p);
}
END_TEST

struct ticker {
	struct loop_timer t;
	int fired;
	mono_t due;
};

static void on_tick(void *ctx)
{
	struct ticker *t = ctx;

	ck_assert(!mono_before(loop_now(l), t->due));
	t->fired++;
	if (t->fired < 3) {
		t->due = mono_add(loop_now(l), 5 * MONO_NS_PER_MS);
		loop_timer_arm(l, &t->t, t->due);
	} else {
		loop_stop(l, 7);
	}
}

START_TEST(timers_fire_late_never_early)
{
	struct ticker t = {.due = mono_add(loop_clock(), 5 * MONO_NS_PER_MS)};
	struct ticker never = {.due = MONO_NEVER};
	mono_t begin = loop_clock();

	loop_timer_init(&t.t, on_tick, &t);
	loop_timer_init(&never.t, on_tick, &never);
	loop_timer_arm(l, &never.t, mono_add(begin, MONO_NS_PER_MS));
	loop_timer_cancel(l, &never.t);
	loop_timer_arm(l, &t.t, t.due);
	ck_assert(loop_timer_armed(&t.t));
	ck_assert_int_eq(loop_run(l), 7);
	ck_assert_int_eq(t.fired, 3);
	ck_assert_int_eq(never.fired, 0);
	ck_assert_uint_lt(mono_since(loop_clock(), begin), MONO_NS_PER_S);
}
END_TEST

static void on_signal(void *ctx, int signo)
{
	ck_assert_int_eq(signo, SIGHUP);
	++*(int *)ctx;
	loop_stop(l, 0);
}

START_TEST(signals_arrive_by_the_loop)
{
	int n = 0;

	ck_assert_int_eq(loop_signal(l, SIGHUP, on_signal, &n), 0);
	ck_assert_int_eq(loop_signal(l, SIGUSR1, on_signal, &n), 0);
	raise(SIGHUP);
	ck_assert_int_eq(loop_run(l), 0);
	ck_assert_int_eq(n, 1);
}
END_TEST

static mono_t on_idle(void *ctx, mono_t now)
{
	int *n = ctx;

	if (++*n == 3)
		loop_stop(l, 0);
	return *n == 1 ? now : mono_add(now, 2 * MONO_NS_PER_MS);
}

START_TEST(idle_runs_every_round_and_sets_the_pace)
{
	struct pair p = pair_make();
	int n = 0;

	loop_set_idle(l, on_idle, &n);
	ck_assert_int_eq(loop_add(l, p.fd[0], EPOLLIN, on_read, &p), 0);
	ck_assert_int_eq(write(p.fd[1], "x", 1), 1);
	ck_assert_int_eq(loop_run(l), 0);
	ck_assert_int_eq(n, 3);
	ck_assert_int_eq(p.calls, 1);
	pair_close(&p);
}
END_TEST

START_TEST(bad_descriptors_are_errors)
{
	ck_assert_int_eq(loop_add(l, -1, EPOLLIN, on_read, NULL), -EBADF);
	ck_assert_int_eq(loop_add(l, 1000, EPOLLIN, on_read, NULL), -EBADF);
	ck_assert_int_eq(loop_mod(l, 100000, EPOLLIN), -ENOENT);
	loop_del(l, 100000);
	loop_free(NULL);
}
END_TEST

Suite *suite(void)
{
	Suite *s = suite_create("loop");
	TCase *t = tcase_create("loop");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, delivers_and_waits_no_longer_than_asked);
	tcase_add_test(t, no_event_after_deletion_in_the_same_round);
	tcase_add_test(t, old_event_not_delivered_to_a_new_owner);
	tcase_add_test(t, timers_fire_late_never_early);
	tcase_add_test(t, signals_arrive_by_the_loop);
	tcase_add_test(t, polls_until_it_is_told);
	tcase_add_test(t, busy_polls_while_sleeps_are_short);
	tcase_add_test(t, idle_runs_every_round_and_sets_the_pace);
	tcase_add_test(t, bad_descriptors_are_errors);
	suite_add_tcase(s, t);
	return s;
}
