/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A simulated engine whose one callout pends everything, for the tests that begin with one. */
#ifndef TESTS_ENGINE_PENDS_H
#define TESTS_ENGINE_PENDS_H

#include "tests/unit/engine_sim.h"
#include "unit.h"

static struct sim sim, *s;
static struct sim_callout top;

static void setup(void)
{
	s = &sim;
	sim_new(s);
	s->trace = true;
	sim_callout(s, &top, 100, DO_PEND);
}

static void teardown(void)
{
	sim_end(s);
}

static inline uint64_t ended(enum pend_state st)
{
	return sim_stats(s).ended[st];
}

#endif
