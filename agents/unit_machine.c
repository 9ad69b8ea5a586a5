/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * When something is started and stopped, and what becomes of those who wait for it; see unit.h.
 *
 *	DOWN -- question --> STARTING -- ready --> UP -- nobody uses it --> STOPPING --> DOWN
 *
 * A question in UP is permitted when somebody listens at that moment, so that what has gone by itself is started
 * again. One start at a time; what waits is permitted together. Nothing is permitted in STOPPING, whoever listens.
 */
#include "agents/unit.h"
#include <stdio.h>
#include <string.h>

#define IDLE_PARTS  8 /* a time without use is measured this exactly, */
#define LOOK_MIN_NS (50 * MONO_NS_PER_MS)
#define LOOK_MAX_NS (10 * MONO_NS_PER_S) /* ... and at most so roughly */

static void up(struct unit_machine *m, mono_t now)
{
	m->state = UNIT_UP;
	m->fails = 0;
	m->used = now;
	m->next = m->idle_ns ? mono_add(now, m->idle_ns) : MONO_NEVER;
	m->ops->permit(m->ctx);
}

static void stop(struct unit_machine *m, bool failed, mono_t now)
{
	m->state = UNIT_STOPPING;
	m->deadline = m->next = mono_add(now, UNIT_STOP_NS);
	if (m->ops->stop(m->ctx, failed))
		return;
	m->state = UNIT_DOWN;
	m->next = MONO_NEVER;
}

static uint64_t again_ns(unsigned fails)
{
	uint64_t ns = fails > 8 ? UNIT_AGAIN_MAX_NS : UNIT_AGAIN_NS << (fails - 1);

	return ns < UNIT_AGAIN_MAX_NS ? ns : UNIT_AGAIN_MAX_NS;
}

void unit_machine_failed(struct unit_machine *m, const char *why, mono_t now)
{
	if (m->state != UNIT_STARTING)
		return;
	/* it may listen all the same: a program that handed on what it had to do */
	if (m->ops->probe(m->ctx) == UNIT_READY) {
		up(m, now);
		return;
	}
	m->fails++;
	m->failures++;
	m->not_before = mono_add(now, again_ns(m->fails));
	snprintf(m->why, sizeof(m->why), "%s", why);
	stop(m, true, now);
	m->ops->fail(m->ctx, m->why);
}

static void refuse(struct unit_machine *m, mono_t now)
{
	char why[ERR_TEXT_MAX + 64];
	uint64_t left = mono_since(m->not_before, now);

	snprintf(why, sizeof(why), "%s; not tried again for %llu s", m->why,
		 (unsigned long long)((left + MONO_NS_PER_S - 1) / MONO_NS_PER_S));
	m->ops->fail(m->ctx, why);
}

static void begin(struct unit_machine *m, mono_t now)
{
	struct err e = {0};
	int r;

	if (m->fails && mono_before(now, m->not_before)) {
		m->state = UNIT_DOWN;
		m->next = MONO_NEVER;
		refuse(m, now);
		return;
	}
	m->state = UNIT_STARTING;
	m->starts++;
	m->deadline = mono_add(now, UNIT_START_NS);
	m->poll_ns = UNIT_POLL_MIN_NS;
	m->next = mono_add(now, m->poll_ns);
	r = m->ops->start(m->ctx, &e);
	if (r < 0)
		unit_machine_failed(m, e.text, now);
	if (r != UNIT_STOP_FIRST)
		return;
	stop(m, false, now);
	if (m->state == UNIT_DOWN)
		m->next = now; /* it has gone meanwhile */
}

static void not_ready(struct unit_machine *m, mono_t now)
{
	if (m->state != UNIT_STARTING) {
		begin(m, now);
		return;
	}
	if (!mono_before(now, m->deadline)) {
		unit_machine_failed(m, "it was started, and does not listen", now);
		return;
	}
	m->next = mono_add(now, m->poll_ns);
	m->poll_ns += m->poll_ns / 2;
	if (m->poll_ns > UNIT_POLL_MAX_NS)
		m->poll_ns = UNIT_POLL_MAX_NS;
}

static void look(struct unit_machine *m, mono_t now)
{
	if (m->probing)
		return;
	switch (m->ops->probe(m->ctx)) {
	case UNIT_READY:
		up(m, now);
		break;
	case UNIT_NOT_READY:
		not_ready(m, now);
		break;
	case UNIT_LATER:
		m->probing = true;
		if (m->state == UNIT_STARTING)
			m->next = MONO_NEVER;
		break;
	}
}

void unit_machine_question(struct unit_machine *m, mono_t now)
{
	if (m->state == UNIT_DOWN || m->state == UNIT_UP)
		look(m, now);
}

void unit_machine_probed(struct unit_machine *m, bool ready, mono_t now)
{
	m->probing = false;
	if (m->state == UNIT_STOPPING)
		return;
	if (ready)
		up(m, now);
	else if (m->state == UNIT_STARTING || m->ops->waiting(m->ctx))
		not_ready(m, now);
}

static void idle(struct unit_machine *m, mono_t now)
{
	uint64_t part = m->idle_ns / IDLE_PARTS;

	part = part < LOOK_MIN_NS ? LOOK_MIN_NS : part > LOOK_MAX_NS ? LOOK_MAX_NS : part;
	if (m->ops->busy(m->ctx)) {
		m->used = now;
		m->next = mono_add(now, part);
		return;
	}
	if (mono_since(now, m->used) < m->idle_ns) {
		m->next = mono_add(m->used, m->idle_ns);
		return;
	}
	m->stops++;
	stop(m, false, now);
}

void unit_machine_tick(struct unit_machine *m, mono_t now)
{
	if (mono_before(now, m->next))
		return;
	m->next = MONO_NEVER;
	switch (m->state) {
	case UNIT_DOWN:
		if (m->ops->waiting(m->ctx))
			look(m, now);
		break;
	case UNIT_STARTING:
		look(m, now);
		break;
	case UNIT_UP:
		idle(m, now);
		break;
	case UNIT_STOPPING:
		m->ops->kill(m->ctx);
		m->next = mono_add(now, UNIT_STOP_NS);
		break;
	}
}

void unit_machine_stopped(struct unit_machine *m, mono_t now)
{
	if (m->state != UNIT_STOPPING)
		return;
	m->state = UNIT_DOWN;
	m->next = MONO_NEVER;
	if (m->ops->waiting(m->ctx))
		look(m, now);
}

void unit_machine_adopt(struct unit_machine *m, mono_t now)
{
	if (m->state == UNIT_DOWN && m->ops->probe(m->ctx) == UNIT_READY)
		up(m, now);
}
