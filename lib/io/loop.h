/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The event loop of every thread here: epoll, one timerfd on CLOCK_BOOTTIME, signalfd.
 *
 * The clock is read once per round; callbacks use loop_now(). Level triggered. Descriptors are
 * named by their number and stay the caller's: take one out with loop_del before it is closed.
 * Callbacks may add, change and delete any descriptor or timer, their own included; an event of
 * the same round for something deleted is not delivered, even if the number is in use again.
 * Not thread safe: a loop belongs to the thread that runs it.
 */
#ifndef IO_LOOP_H
#define IO_LOOP_H

#include "base/busy.h"
#include "base/mono.h"
#include "base/wheel.h"
#include <stdint.h>
#include <sys/epoll.h>

struct loop;

/* `events`: EPOLLIN, EPOLLOUT, EPOLLERR, EPOLLHUP as epoll tells them. */
typedef void loop_fn(void *ctx, uint32_t events);
typedef void loop_timer_fn(void *ctx);
typedef void loop_signal_fn(void *ctx, int signo);
/* See loop_set_idle. */
typedef mono_t loop_idle_fn(void *ctx, mono_t now);

struct loop_timer {
	struct wheel_timer w;
	loop_timer_fn *fn;
	void *ctx;
};

/* CLOCK_BOOTTIME, now. For start-up; inside callbacks use loop_now. */
mono_t loop_clock(void);

/* 0 or -errno. */
int loop_new(struct loop **out);
/* Closes what the loop itself opened. NULL is allowed. Not from inside a callback. */
void loop_free(struct loop *l);

/* 0 or -errno; -EEXIST when the descriptor is there already. */
int loop_add(struct loop *l, int fd, uint32_t events, loop_fn *fn, void *ctx);
/* Change what is waited for. 0 or -errno; -ENOENT when it is not there. */
int loop_mod(struct loop *l, int fd, uint32_t events);
/* No effect if it is not there. */
void loop_del(struct loop *l, int fd);

void loop_timer_init(struct loop_timer *t, loop_timer_fn *fn, void *ctx);
/* Arm or re-arm; resolution is a millisecond, never early. */
void loop_timer_arm(struct loop *l, struct loop_timer *t, mono_t when);
void loop_timer_cancel(struct loop *l, struct loop_timer *t);
static inline int loop_timer_armed(const struct loop_timer *t)
{
	return wheel_timer_armed(&t->w);
}

#define LOOP_SIGNALS 8
/*
 * Deliver this signal to fn by way of the loop. Blocks it in the calling thread: call before other
 * threads are started, so that they inherit the mask. 0 or -errno; -ENOSPC above LOOP_SIGNALS.
 */
int loop_signal(struct loop *l, int signo, loop_signal_fn *fn, void *ctx);

/*
 * One function that is called at the end of every round, before the loop sleeps: the place to send
 * what the round has gathered. It returns when it wants to be called again at the latest (a time
 * already past: at once, after the descriptors were looked at); MONO_NEVER for no wish. The first round does
 * not sleep before it.
 */
void loop_set_idle(struct loop *l, loop_idle_fn *fn, void *ctx);

/*
 * Busy polling (base/busy.h), for less than a millisecond: timers wait. Other threads of this processor get their
 * turn meanwhile. An empty round follows when nothing has come.
 */
/* Before each sleep, for at most so long, while the last sleeps were as short. 0: never, as from the start. */
void loop_set_busy(struct loop *l, uint32_t us);
/* Without that: until then, a time that is past: not. For the idle function, round by round. */
void loop_poll_until(struct loop *l, mono_t until);
/* What loop_set_busy came to. */
const struct busy *loop_busy(const struct loop *l);
/* So long or, where the process has but one processor, 0. */
uint32_t loop_busy_us(uint32_t us);

/* The time at which this round began. */
mono_t loop_now(const struct loop *l);
/* One round: waits at most until `limit`. 0 or -errno (of epoll; never -EINTR). */
int loop_once(struct loop *l, mono_t limit);
/* Rounds until loop_stop. Returns what was given to loop_stop, or -errno. */
int loop_run(struct loop *l);
/* loop_run returns `code` (not negative) after this round. From callbacks only. */
void loop_stop(struct loop *l, int code);

#endif
