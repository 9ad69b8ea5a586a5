/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See busy.h. */
#include "base/busy.h"

void busy_init(struct busy *b, uint32_t max_us)
{
	*b = (struct busy){.max_ns = max_us * 1000ull, .asked = MONO_NEVER};
}

void busy_asked(struct busy *b, unsigned questions, mono_t now)
{
	bool few = b->max_ns && questions <= BUSY_BURST;

	b->asked = few ? now : MONO_NEVER;
	b->polls = few && b->quick && !b->rest;
	b->tries += b->polls;
	if (few && b->rest)
		b->rest--;
}

static void in_vain(struct busy *b)
{
	b->polls = b->quick = false;
	b->rests = b->rests < BUSY_REST ? (uint8_t)(2 * b->rests + 1) : BUSY_REST;
	b->rest = b->rests;
}

/* An answer that was slept for comes late by the time that waking takes, about as long again. */
void busy_answered(struct busy *b, mono_t now)
{
	uint64_t took = mono_since(now, b->asked);

	if (b->asked.ns == MONO_NEVER.ns)
		return;
	b->asked = MONO_NEVER;
	if (b->polls && took > b->max_ns) { /* others had the processor */
		in_vain(b);
		return;
	}
	b->quick = took <= 2 * b->max_ns;
	if (b->polls) {
		b->answers++;
		b->rests = b->rest = 0;
	}
	b->polls = false;
}

mono_t busy_until(struct busy *b, mono_t now)
{
	mono_t until;

	if (!b->polls)
		return mono_ns(0);
	until = mono_add(b->asked, b->max_ns);
	if (mono_before(now, until))
		return until;
	in_vain(b);
	return mono_ns(0);
}
