/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Rates refill, quotas begin anew, workers share, and the table forgets rather than grows. */
#include "unit.h"
#include "policy_help.h"
#include "core/limiter.h"

#define SECOND UINT64_C(1000000000)

static const struct siphash_key key = {{1, 2}};
static void *image;
static struct classifier *c;
static struct limiter *l;
static uint64_t start = 1000 * SECOND;

static void make(const char *text, unsigned workers)
{
	struct policy *p = parse_good(text);
	size_t size;

	ck_assert_int_eq(policy_compile(p, &image, &size), 0);
	ck_assert_int_eq(classify_attach(&c, image, size), 0);
	ck_assert_int_eq(limiter_new(&l, c, workers, &key), 0);
	policy_free(p);
}

static void unmake(void)
{
	limiter_free(l);
	classify_detach(c);
	free(image);
	l = NULL;
	c = NULL;
	image = NULL;
}

static bool take(uint32_t limit, uint32_t source, uint64_t now)
{
	uint8_t addr[16] = {(uint8_t)(source >> 24), (uint8_t)(source >> 16),
			    (uint8_t)(source >> 8), (uint8_t)source};

	return limiter_take(l, limit, 4, addr, now);
}

/* How many of 1000 in that second, a millisecond apart. */
static unsigned taken(uint32_t limit, uint32_t source, uint64_t from)
{
	unsigned n = 0;

	for (unsigned i = 0; i < 1000; i++)
		n += take(limit, source, from + i * (SECOND / 1000));
	return n;
}

START_TEST(rate)
{
	make("layer a { permit rate 10/second burst 3; permit rate 6/minute }", 1);
	ck_assert_uint_eq(classify_limits(c), 2);
	ck_assert_uint_eq(classify_limit_of(c, 1), 1);
	for (unsigned i = 0; i < 3; i++)
		ck_assert(take(0, i, start));
	ck_assert(!take(0, 9, start));
	ck_assert(!take(0, 9, start + SECOND / 10 - 1));
	ck_assert(take(0, 9, start + SECOND / 10));
	ck_assert(!take(0, 9, start + SECOND / 10));
	/* The burst, and what comes in within the second. */
	ck_assert_uint_eq(taken(0, 9, start + 60 * SECOND), 3 + 9);
	ck_assert_uint_eq(taken(1, 9, start), 5);
	ck_assert(!take(1, 9, start + 9 * SECOND));
	ck_assert(take(1, 9, start + 10 * SECOND));
	ck_assert_uint_gt(limiter_stats(l)->refused, 1000);
	ck_assert(!take(2, 9, start));
	unmake();
}
END_TEST

START_TEST(shares)
{
	make("layer a { permit rate 10/second burst 8; permit rate 1/second burst 1 }", 4);
	for (unsigned i = 0; i < 2; i++)
		ck_assert(take(0, 1, start));
	ck_assert(!take(0, 1, start + 4 * SECOND / 10 - 1));
	ck_assert(take(0, 1, start + 4 * SECOND / 10));
	ck_assert(take(1, 1, start));
	ck_assert(!take(1, 1, start + 4 * SECOND - 1));
	ck_assert(take(1, 1, start + 4 * SECOND));
	unmake();
}
END_TEST

START_TEST(quota)
{
	uint8_t a[16] = {0x20, 1, 0xd, 0xb8}, b[16] = {0x20, 1, 0xd, 0xb8, [15] = 1},
		other[16] = {0x20, 1, 0xd, 0xb8, [7] = 1};

	make("layer a { permit quota 2 per source in 1h; permit quota 1 per source }", 3);
	ck_assert(take(0, 1, start) && take(0, 1, start));
	ck_assert(!take(0, 1, start + 3599 * SECOND));
	ck_assert(take(0, 2, start));
	ck_assert(take(0, 1, start + 3600 * SECOND));
	ck_assert(take(0, 1, start + 3601 * SECOND));
	ck_assert(!take(0, 1, start + 3602 * SECOND));
	/* Without a time it does not come back, and each rule has its own. */
	ck_assert(take(1, 1, start));
	ck_assert(!take(1, 1, start + 1000000 * SECOND));
	/* A network is one source. */
	ck_assert(limiter_take(l, 1, 6, a, start));
	ck_assert(!limiter_take(l, 1, 6, b, start));
	ck_assert(limiter_take(l, 1, 6, other, start));
	unmake();
}
END_TEST

/* What the one refuses the other does not pay for. */
START_TEST(both)
{
	make("layer a { permit quota 2 per source rate 1/second burst 1 }", 1);
	ck_assert(take(0, 1, start));
	ck_assert(!take(0, 1, start));
	ck_assert(!take(0, 1, start));
	ck_assert(take(0, 1, start + SECOND));
	ck_assert(!take(0, 1, start + 2 * SECOND));
	ck_assert(take(0, 2, start + 2 * SECOND));
	unmake();
}
END_TEST

START_TEST(table_is_full)
{
	unsigned again = 0;

	make("layer a { permit quota 1 per source }", 1);
	for (uint32_t i = 0; i < 4 * LIMITER_SOURCES; i++)
		ck_assert(take(0, i, start + i));
	ck_assert_uint_ge(limiter_stats(l)->forgotten, 3 * LIMITER_SOURCES);
	ck_assert_uint_lt(limiter_stats(l)->forgotten, 4 * LIMITER_SOURCES - LIMITER_SOURCES / 2);
	/* The last ones are remembered. */
	for (uint32_t i = 0; i < LIMITER_SOURCES / 8; i++)
		again += take(0, 4 * LIMITER_SOURCES - 1 - i, start + SECOND);
	ck_assert_uint_lt(again, LIMITER_SOURCES / 8 / 10);
	unmake();
}
END_TEST

START_TEST(no_limits)
{
	make("layer a { permit }", 1);
	ck_assert_ptr_null(l);
	ck_assert(!take(0, 1, start));
	ck_assert_uint_eq(classify_limit_of(c, 0), UINT32_MAX);
	ck_assert_uint_eq(classify_limit_of(c, 1), UINT32_MAX);
	unmake();
}
END_TEST

Suite *suite(void)
{
	Suite *s = suite_create("limiter");
	TCase *t = tcase_create("limiter");

	tcase_add_test(t, rate);
	tcase_add_test(t, shares);
	tcase_add_test(t, quota);
	tcase_add_test(t, both);
	tcase_add_test(t, table_is_full);
	tcase_add_test(t, no_limits);
	suite_add_tcase(s, t);
	return s;
}
