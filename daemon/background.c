/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Threads that let others go first. See background.h. */
#include "daemon/background.h"
#include <sched.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* sched(7): a limit of 20 - n allows the nice value n. SCHED_IDLE can be left by who may have its own. */
#define NICE_LIMIT(n) ((rlim_t)(20 - (n)))

void background_allow(void)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NICE, &l) || l.rlim_cur >= NICE_LIMIT(0))
		return;
	l.rlim_cur = NICE_LIMIT(0);
	if (l.rlim_max < l.rlim_cur)
		l.rlim_max = l.rlim_cur;
	setrlimit(RLIMIT_NICE, &l);
}

static bool may_return(void)
{
	int own = getpriority(PRIO_PROCESS, 0);
	struct rlimit l;

	return getrlimit(RLIMIT_NICE, &l) == 0 && l.rlim_cur >= NICE_LIMIT(own);
}

static void *nurse(void *arg)
{
	const struct sched_param none = {0};
	struct background *b = arg;
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += b->patience_ms / 1000;
	until.tv_nsec += b->patience_ms % 1000 * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	pthread_mutex_lock(&b->lock);
	while (!b->ended && pthread_cond_timedwait(&b->wake, &b->lock, &until) == 0)
		;
	if (!b->ended)
		sched_setscheduler(b->thread, SCHED_OTHER, &none);
	pthread_mutex_unlock(&b->lock);
	return NULL;
}

static bool watch(struct background *b)
{
	pthread_condattr_t a;

	b->thread = (pid_t)syscall(SYS_gettid);
	pthread_mutex_init(&b->lock, NULL);
	pthread_condattr_init(&a);
	pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
	pthread_cond_init(&b->wake, &a);
	pthread_condattr_destroy(&a);
	return pthread_create(&b->nurse, NULL, nurse, b) == 0;
}

/*
 * Also a nice thread finishes its slice before another that wakes up gets its turn: so the shortest that there is.
 * Since Linux 6.12; before, the kernel ignores it. Not in glibc's headers before 2.41.
 */
static void be_nice(void)
{
	struct {
		uint32_t size, policy;
		uint64_t flags;
		int32_t nice;
		uint32_t priority;
		uint64_t runtime, deadline, period;
	} attr = {.size = sizeof(attr),
		  .policy = SCHED_OTHER,
		  .nice = BACKGROUND_NICE,
		  .runtime = BACKGROUND_SLICE_NS};

	if (syscall(SYS_sched_setattr, 0, &attr, 0))
		setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), BACKGROUND_NICE);
}

void background_nice(void)
{
	be_nice();
	sched_yield();
}

void background_begin(struct background *b, unsigned patience_ms)
{
	const struct sched_param none = {0};

	*b = (struct background){.patience_ms = patience_ms};
	b->watched = may_return() && watch(b);
	if (!b->watched || sched_setscheduler(0, SCHED_IDLE, &none))
		be_nice();
	sched_yield(); /* who waits by now would wait for the end of the slice that has begun */
}

void background_end(struct background *b)
{
	if (!b->watched)
		return;
	pthread_mutex_lock(&b->lock);
	b->ended = true;
	pthread_cond_signal(&b->wake);
	pthread_mutex_unlock(&b->lock);
	pthread_join(b->nurse, NULL);
	pthread_cond_destroy(&b->wake);
	pthread_mutex_destroy(&b->lock);
}
