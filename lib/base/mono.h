/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Time. One type, nanoseconds of CLOCK_BOOTTIME, so that a deadline counts the time a host
 * was suspended and no clock step can move it. The clock is read once per loop round
 * and handed down as `now`: lib/base and lib/core never ask for the time themselves.
 */
#ifndef BASE_MONO_H
#define BASE_MONO_H

#include <stdint.h>

typedef struct {
	uint64_t ns;
} mono_t;

#define MONO_NS_PER_MS 1000000ull
#define MONO_NS_PER_S  1000000000ull
#define MONO_NEVER     ((mono_t){UINT64_MAX})

static inline mono_t mono_ns(uint64_t ns)
{
	return (mono_t){ns};
}

static inline mono_t mono_ms(uint64_t ms)
{
	return (mono_t){ms * MONO_NS_PER_MS};
}

/* Saturates at MONO_NEVER. */
static inline mono_t mono_add(mono_t t, uint64_t ns)
{
	return (mono_t){t.ns > UINT64_MAX - ns ? UINT64_MAX : t.ns + ns};
}

/* a - b in nanoseconds, 0 when b is later. */
static inline uint64_t mono_since(mono_t a, mono_t b)
{
	return a.ns > b.ns ? a.ns - b.ns : 0;
}

static inline int mono_before(mono_t a, mono_t b)
{
	return a.ns < b.ns;
}

#endif
