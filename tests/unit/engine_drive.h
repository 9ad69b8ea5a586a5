/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A schedule of everything that can happen to an engine, drawn from a stream of bytes: a seeded
 * generator in the random test, a fuzzer's input in fuzz_engine. After every step what must always
 * hold is checked: the counters, the ledger, I2 and the deadlines.
 */
#ifndef TESTS_ENGINE_DRIVE_H
#define TESTS_ENGINE_DRIVE_H

#include "tests/unit/engine_sim.h"

struct drive_source {
	/* The next byte; false: the schedule is over. */
	bool (*next)(struct drive_source *src, uint8_t *out);
};

/* Runs until the source ends, then drains and checks that nothing is left. Returns the steps. */
unsigned engine_drive(struct drive_source *src);

#endif
