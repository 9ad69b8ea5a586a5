/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The event loop; see loop.h. */
#include "io/loop.h"
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define LOOP_EVENTS 64

/* Indexed by descriptor. The generation tells an old event from one of a new owner. */
struct slot {
	loop_fn *fn;
	void *ctx;
	uint32_t events;
	uint32_t generation;
};

struct handler {
	int signo;
	loop_signal_fn *fn;
	void *ctx;
};

struct loop {
	int epoll_fd, timer_fd, signal_fd;
	struct slot *slot;
	size_t slots;
	struct wheel wheel;
	mono_t now;
	mono_t armed; /* what timer_fd is set to; MONO_NEVER when it is not */
	struct handler handler[LOOP_SIGNALS];
	unsigned handlers;
	sigset_t signals;
	loop_idle_fn *idle;
	void *idle_ctx;
	mono_t idle_next;
	mono_t poll_until;
	struct busy busy;
	bool stopped;
	int code;
};

mono_t loop_clock(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return mono_ns((uint64_t)ts.tv_sec * MONO_NS_PER_S + (uint64_t)ts.tv_nsec);
}

static int slots_grow(struct loop *l, int fd)
{
	size_t want = l->slots ? l->slots : 32;
	struct slot *p;

	if ((size_t)fd < l->slots)
		return 0;
	while (want <= (size_t)fd)
		want *= 2;
	p = realloc(l->slot, want * sizeof(*p));
	if (!p)
		return -ENOMEM;
	memset(p + l->slots, 0, (want - l->slots) * sizeof(*p));
	l->slot = p;
	l->slots = want;
	return 0;
}

static struct slot *slot_find(struct loop *l, int fd)
{
	if (fd < 0 || (size_t)fd >= l->slots || !l->slot[fd].fn)
		return NULL;
	return &l->slot[fd];
}

static int epoll_set(struct loop *l, int op, int fd, const struct slot *s)
{
	struct epoll_event ev = {
		.events = s->events,
		.data.u64 = (uint64_t)s->generation << 32 | (uint32_t)fd,
	};

	return epoll_ctl(l->epoll_fd, op, fd, &ev) < 0 ? -errno : 0;
}

int loop_add(struct loop *l, int fd, uint32_t events, loop_fn *fn, void *ctx)
{
	struct slot *s;
	int r;

	if (fd < 0)
		return -EBADF;
	r = slots_grow(l, fd);
	if (r < 0)
		return r;
	s = &l->slot[fd];
	if (s->fn)
		return -EEXIST;
	s->events = events;
	s->generation++;
	r = epoll_set(l, EPOLL_CTL_ADD, fd, s);
	if (r < 0)
		return r;
	s->fn = fn;
	s->ctx = ctx;
	return 0;
}

int loop_mod(struct loop *l, int fd, uint32_t events)
{
	struct slot *s = slot_find(l, fd);

	if (!s)
		return -ENOENT;
	if (s->events == events)
		return 0;
	s->events = events;
	return epoll_set(l, EPOLL_CTL_MOD, fd, s);
}

void loop_del(struct loop *l, int fd)
{
	struct slot *s = slot_find(l, fd);

	if (!s)
		return;
	epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
	s->fn = NULL;
	s->generation++;
}

void loop_timer_init(struct loop_timer *t, loop_timer_fn *fn, void *ctx)
{
	wheel_timer_init(&t->w);
	t->fn = fn;
	t->ctx = ctx;
}

void loop_timer_arm(struct loop *l, struct loop_timer *t, mono_t when)
{
	wheel_arm(&l->wheel, &t->w, when);
}

void loop_timer_cancel(struct loop *l, struct loop_timer *t)
{
	wheel_cancel(&l->wheel, &t->w);
}

static void timer_fire(void *ctx, struct wheel_timer *w)
{
	struct loop_timer *t = container_of(w, struct loop_timer, w);

	(void)ctx;
	t->fn(t->ctx);
}

/* The expiry itself is of no interest: every round looks at the wheel. */
static void timer_drain(void *ctx, uint32_t events)
{
	struct loop *l = ctx;
	uint64_t n;

	(void)events;
	if (read(l->timer_fd, &n, sizeof(n)) == (ssize_t)sizeof(n))
		l->armed = MONO_NEVER;
}

static void signal_read(void *ctx, uint32_t events)
{
	struct loop *l = ctx;
	struct signalfd_siginfo si;

	(void)events;
	if (read(l->signal_fd, &si, sizeof(si)) != (ssize_t)sizeof(si))
		return;
	for (unsigned i = 0; i < l->handlers; i++)
		if (l->handler[i].signo == (int)si.ssi_signo)
			l->handler[i].fn(l->handler[i].ctx, (int)si.ssi_signo);
}

int loop_signal(struct loop *l, int signo, loop_signal_fn *fn, void *ctx)
{
	bool first = l->signal_fd < 0;
	int fd, r;

	if (l->handlers == LOOP_SIGNALS)
		return -ENOSPC;
	sigaddset(&l->signals, signo);
	r = pthread_sigmask(SIG_BLOCK, &l->signals, NULL);
	if (r)
		return -r;
	fd = signalfd(l->signal_fd, &l->signals, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return -errno;
	l->signal_fd = fd;
	if (first) {
		r = loop_add(l, fd, EPOLLIN, signal_read, l);
		if (r < 0)
			return r;
	}
	l->handler[l->handlers++] = (struct handler){signo, fn, ctx};
	return 0;
}

void loop_set_idle(struct loop *l, loop_idle_fn *fn, void *ctx)
{
	l->idle = fn;
	l->idle_ctx = ctx;
	l->idle_next = mono_ns(0);
}

int loop_new(struct loop **out)
{
	struct loop *l = calloc(1, sizeof(*l));
	int r;

	if (!l)
		return -ENOMEM;
	l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	l->timer_fd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	l->signal_fd = -1;
	l->armed = l->idle_next = MONO_NEVER;
	l->now = loop_clock();
	sigemptyset(&l->signals);
	wheel_init(&l->wheel, l->now);
	busy_init(&l->busy, 0);
	r = l->epoll_fd < 0 || l->timer_fd < 0 ? -errno : 0;
	if (r == 0)
		r = loop_add(l, l->timer_fd, EPOLLIN, timer_drain, l);
	if (r < 0) {
		loop_free(l);
		return r;
	}
	*out = l;
	return 0;
}

void loop_free(struct loop *l)
{
	if (!l)
		return;
	if (l->signal_fd >= 0)
		close(l->signal_fd);
	if (l->timer_fd >= 0)
		close(l->timer_fd);
	if (l->epoll_fd >= 0)
		close(l->epoll_fd);
	free(l->slot);
	free(l);
}

uint32_t loop_busy_us(uint32_t us)
{
	cpu_set_t set;

	/* it fails where there are more processors than fit the set */
	return sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) < 2 ? 0 : us;
}

const struct busy *loop_busy(const struct loop *l)
{
	return &l->busy;
}

void loop_set_busy(struct loop *l, uint32_t us)
{
	busy_init(&l->busy, loop_busy_us(us));
}

void loop_poll_until(struct loop *l, mono_t until)
{
	l->poll_until = until;
}

mono_t loop_now(const struct loop *l)
{
	return l->now;
}

/*
 * A timerfd and not epoll's timeout: CLOCK_BOOTTIME goes on while the host is suspended. It is set
 * only when the wanted time is earlier than the one it has; a late change costs one empty round.
 */
static int timer_set(struct loop *l, mono_t when)
{
	struct itimerspec its = {0};
	uint64_t ns = when.ns ? when.ns : 1;

	if (!mono_before(when, l->armed))
		return 0;
	its.it_value.tv_sec = (time_t)(ns / MONO_NS_PER_S);
	its.it_value.tv_nsec = (long)(ns % MONO_NS_PER_S);
	if (timerfd_settime(l->timer_fd, TFD_TIMER_ABSTIME, &its, NULL) < 0)
		return -errno;
	l->armed = when;
	return 0;
}

/* Others get their turn: who is waited for may need this very processor. */
static int loop_poll(struct loop *l, struct epoll_event *ev, mono_t until)
{
	int n = epoll_wait(l->epoll_fd, ev, LOOP_EVENTS, 0);

	while (n == 0 && mono_before(loop_clock(), until)) {
		sched_yield();
		n = epoll_wait(l->epoll_fd, ev, LOOP_EVENTS, 0);
	}
	return n;
}

static int loop_sleep(struct loop *l, struct epoll_event *ev, mono_t next)
{
	int r = timer_set(l, next);

	return r < 0 ? r : epoll_wait(l->epoll_fd, ev, LOOP_EVENTS, -1);
}

static mono_t loop_polls_until(struct loop *l)
{
	if (!l->busy.max_ns)
		return l->poll_until;
	busy_asked(&l->busy, 1, l->now);
	return busy_until(&l->busy, l->now);
}

static int loop_wait(struct loop *l, struct epoll_event *ev, mono_t limit)
{
	mono_t next = wheel_next(&l->wheel), until;
	int n;

	if (mono_before(l->idle_next, next))
		next = l->idle_next;
	if (mono_before(limit, next))
		next = limit;
	until = loop_polls_until(l);
	if (!mono_before(l->now, next))
		n = epoll_wait(l->epoll_fd, ev, LOOP_EVENTS, 0);
	else if (mono_before(l->now, until))
		n = loop_poll(l, ev, until);
	else
		n = loop_sleep(l, ev, next);
	return n < 0 ? (errno == EINTR ? 0 : -errno) : n;
}

static void loop_deliver(struct loop *l, const struct epoll_event *ev)
{
	int fd = (int)(uint32_t)ev->data.u64;
	struct slot *s = slot_find(l, fd);

	if (s && s->generation == (uint32_t)(ev->data.u64 >> 32))
		s->fn(s->ctx, ev->events);
}

int loop_once(struct loop *l, mono_t limit)
{
	struct epoll_event ev[LOOP_EVENTS];
	int n = loop_wait(l, ev, limit);

	if (n < 0)
		return n;
	l->now = loop_clock();
	if (n > 0)
		busy_answered(&l->busy, l->now);
	else
		busy_until(&l->busy, l->now);
	for (int i = 0; i < n; i++)
		loop_deliver(l, &ev[i]);
	wheel_advance(&l->wheel, l->now, 0, timer_fire, l);
	if (l->idle)
		l->idle_next = l->idle(l->idle_ctx, l->now);
	return 0;
}

int loop_run(struct loop *l)
{
	int r = 0;

	l->stopped = false;
	while (!l->stopped && r == 0)
		r = loop_once(l, MONO_NEVER);
	return r < 0 ? r : l->code;
}

void loop_stop(struct loop *l, int code)
{
	l->stopped = true;
	l->code = code;
}
