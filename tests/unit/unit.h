/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TESTS_UNIT_H
#define TESTS_UNIT_H

#include <check.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

Suite *suite(void);

/* The seed of a random test: $SEED, or the clock; printed when it is chosen, so that a failure can be repeated. */
static inline uint64_t unit_seed(const char *test)
{
	const char *s = getenv("SEED");
	uint64_t seed = s ? strtoull(s, NULL, 0) : (uint64_t)time(NULL);

	fprintf(stderr, "%s: SEED=%llu\n", test, (unsigned long long)seed);
	return seed;
}

/* splitmix64: small, seedable, the same on every machine. */
static inline uint64_t unit_rand(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15ull);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

#endif
