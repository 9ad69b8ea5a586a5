/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The hash table: lookup, duplicates, collisions, and a random run against a model. */
#include "unit.h"

#include "base/htable.h"

#include <errno.h>
#include <stdbool.h>

START_TEST(init_rounds_up_and_refuses_nonsense)
{
	struct htable t = {0};

	ck_assert_int_eq(htable_init(&t, 0), -EINVAL);
	ck_assert_int_eq(htable_init(&t, UINT32_MAX), -EINVAL);
	ck_assert_ptr_null(t.bucket);
	htable_deinit(&t);
	ck_assert_int_eq(htable_init(&t, 1), 0);
	ck_assert_uint_eq(t.mask, 0);
	htable_deinit(&t);
	ck_assert_int_eq(htable_init(&t, 65), 0);
	ck_assert_uint_eq(t.mask, 127);
	htable_deinit(&t);
	htable_deinit(&t);
}
END_TEST

static unsigned count(const struct htable *t, uint32_t hash)
{
	unsigned n = 0;

	for (struct hnode *p = htable_first(t, hash); p; p = htable_next(p, hash)) {
		ck_assert_uint_eq(p->hash, hash);
		n++;
	}
	return n;
}

START_TEST(finds_only_its_hash_in_a_shared_bucket)
{
	struct hnode n[5];
	struct htable t;

	ck_assert_int_eq(htable_init(&t, 4), 0);
	ck_assert_ptr_null(htable_first(&t, 1));
	htable_add(&t, &n[0], 1);
	htable_add(&t, &n[1], 5);
	htable_add(&t, &n[2], 1);
	htable_add(&t, &n[3], 9);
	htable_add(&t, &n[4], 2);
	ck_assert_uint_eq(count(&t, 1), 2);
	ck_assert_uint_eq(count(&t, 5), 1);
	ck_assert_uint_eq(count(&t, 13), 0);
	htable_del(&t, &n[1]);
	ck_assert_uint_eq(count(&t, 5), 0);
	htable_del(&t, &n[3]);
	htable_del(&t, &n[0]);
	ck_assert_ptr_eq(htable_first(&t, 1), &n[2]);
	htable_del(&t, &n[2]);
	htable_del(&t, &n[4]);
	ck_assert_uint_eq(t.used, 0);
	htable_deinit(&t);
}
END_TEST

START_TEST(random_run_agrees_with_model)
{
	enum { NODES = 300, HASHES = 64, STEPS = 20000 };
	uint64_t seed = unit_seed("htable");
	static struct hnode node[NODES];
	unsigned want[HASHES] = {0};
	bool in[NODES] = {false};
	uint32_t used = 0;
	struct htable t;

	ck_assert_int_eq(htable_init(&t, 16), 0);
	for (int step = 0; step < STEPS; step++) {
		size_t i = unit_rand(&seed) % NODES;
		uint32_t h = (uint32_t)(unit_rand(&seed) % HASHES);

		if (in[i]) {
			want[node[i].hash]--;
			htable_del(&t, &node[i]);
			used--;
		} else {
			htable_add(&t, &node[i], h);
			want[h]++;
			used++;
		}
		in[i] = !in[i];
		ck_assert_uint_eq(t.used, used);
		ck_assert_uint_eq(count(&t, h), want[h]);
	}
	htable_deinit(&t);
}
END_TEST

Suite *suite(void)
{
	Suite *s = suite_create("htable");
	TCase *t = tcase_create("htable");

	tcase_add_test(t, init_rounds_up_and_refuses_nonsense);
	tcase_add_test(t, finds_only_its_hash_in_a_shared_bucket);
	tcase_add_test(t, random_run_agrees_with_model);
	suite_add_tcase(s, t);
	return s;
}
