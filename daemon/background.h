/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Work that may not get in the way of packets: a thread says so of itself, and the scheduler lets every
 * other go first, at once and not at the end of a time slice (SCHED_IDLE). Where all processors stay busy
 * that could take minutes, so after its patience the thread becomes one like any other. In a
 * process without the right to that (RLIMIT_NICE, see background_allow) the thread is as nice as can be instead,
 * with short slices, and stays so.
 */
#ifndef DAEMON_BACKGROUND_H
#define DAEMON_BACKGROUND_H

#include <pthread.h>
#include <stdbool.h>
#include <sys/types.h>

#define BACKGROUND_PATIENCE_MS 1000 /* of what nobody waits for */
#define BACKGROUND_NICE        19
#define BACKGROUND_SLICE_NS    100000

struct background {
	pthread_t nurse; /* sleeps, and ends the thread's patience */
	unsigned patience_ms;
	bool watched, ended;
	pid_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
};

/* Once, while the process still has its rights: its threads may come back from SCHED_IDLE, and so may
 * those of the programs that it starts. */
void background_allow(void);
/* By the thread itself, around its work. What the kernel refuses is left as it is. */
void background_begin(struct background *b, unsigned patience_ms);
void background_end(struct background *b);
/* The calling thread is as nice as can be, with short slices, for good: for work that never ends. */
void background_nice(void);

#endif
