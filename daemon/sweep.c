/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See sweep.h. */
#include "daemon/sweep.h"
#include <string.h>

#define PAUSE_MIN_NS (2 * MONO_NS_PER_MS)
#define PAUSE_TIMES  4u

static void over(struct sweep *s)
{
	uint64_t pause = PAUSE_TIMES * mono_since(loop_clock(), s->began);

	s->running = false;
	loop_timer_arm(s->loop, &s->next,
		       mono_add(loop_now(s->loop), pause > PAUSE_MIN_NS ? pause : PAUSE_MIN_NS));
}

static void step(struct sweep *s)
{
	struct msg m = {.version = MSG_VERSION, .type = MSG_APPLY, .seq = SWEEP_SEQ};

	s->stalled = false;
	for (; s->worker < s->workers; s->worker++, s->cursor = 0) {
		int r;

		m.worker = (uint16_t)s->worker;
		m.u.match.cursor = s->cursor;
		r = s->post(s->ctx, s->worker, &m);
		s->stalled = r > 0;
		if (r >= 0)
			return;
	}
	over(s);
}

static void begin(struct sweep *s)
{
	s->wanted = false;
	s->running = true;
	s->worker = 0;
	s->cursor = 0;
	s->began = loop_clock();
	step(s);
}

static void on_next(void *ctx)
{
	struct sweep *s = ctx;

	if (s->wanted)
		begin(s);
}

void sweep_init(struct sweep *s, struct loop *loop, unsigned workers, void *ctx,
		int (*post)(void *ctx, unsigned worker, const struct msg *m))
{
	memset(s, 0, sizeof(*s));
	s->loop = loop;
	s->workers = workers;
	s->ctx = ctx;
	s->post = post;
	loop_timer_init(&s->next, on_next, s);
}

void sweep_stop(struct sweep *s)
{
	if (s->loop)
		loop_timer_cancel(s->loop, &s->next);
	s->loop = NULL;
}

void sweep_want(struct sweep *s)
{
	s->wanted = true;
	if (!s->running && !loop_timer_armed(&s->next))
		begin(s);
}

bool sweep_answer(struct sweep *s, unsigned worker, const struct msg *m)
{
	if (m->seq != SWEEP_SEQ)
		return false;
	if (m->type != MSG_DONE || !s->running || worker != s->worker)
		return true;
	s->decided += m->u.done.count;
	if (m->u.done.cursor > s->cursor) {
		s->cursor = m->u.done.cursor;
	} else {
		s->cursor = 0;
		s->worker++;
	}
	step(s);
	return true;
}

void sweep_room(struct sweep *s)
{
	if (s->stalled)
		step(s);
}
