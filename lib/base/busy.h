/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Busy polling: whether it is worth looking for something again and again instead of sleeping until it comes. To
 * wake a thread costs a microsecond or two, but tens where a virtual processor has to be started for it, and the
 * answer of a program on this host takes no longer than that.
 *
 * As the halt polling of KVM does, it goes by what was: while what is waited for comes quickly it is polled for,
 * a bounded time; the first that does not come by then ends that, until one comes quickly again, and each in a
 * row lets twice as many waits pass before the next try. So what is slow (people, programs that ask others) costs
 * nothing, and neither does a burst, which is worth a wake-up.
 *
 * The words are those of a question and its answer. Pure: it neither polls nor asks for the time. Not thread
 * safe.
 */
#ifndef BASE_BUSY_H
#define BASE_BUSY_H

#include "base/mono.h"
#include <stdbool.h>
#include <stdint.h>

#define BUSY_BURST 4u  /* questions at once that are more are not waited for */
#define BUSY_REST  63u /* questions that pass at most before the next try */

struct busy {
	uint64_t max_ns; /* 0: never */
	mono_t asked; /* the last question; MONO_NEVER: none is out, or it is not waited for any more */
	bool quick;       /* the last answer came quickly */
	bool polls;       /* ... so that this question's is polled for */
	uint8_t rests;    /* questions that are let pass after a try in vain; */
	uint8_t rest;     /* of these, the ones still to come */
	uint64_t tries;   /* questions whose answer was polled for */
	uint64_t answers; /* ... and came meanwhile */
};

/* Polls for so long at most; 0: never. */
void busy_init(struct busy *b, uint32_t max_us);
/* So many questions go out now. */
void busy_asked(struct busy *b, unsigned questions, mono_t now);
void busy_answered(struct busy *b, mono_t now);
/* Until when to poll; a time that is past: sleep. */
mono_t busy_until(struct busy *b, mono_t now);

#endif
