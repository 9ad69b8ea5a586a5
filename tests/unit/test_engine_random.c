/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Seeded random schedules over the simulated kernel. SEED=n repeats one. */
#include "tests/unit/engine_drive.h"
#include "unit.h"

struct random_source {
	struct drive_source base;
	uint64_t state;
	unsigned left;
};

static bool next(struct drive_source *src, uint8_t *out)
{
	struct random_source *r = (struct random_source *)src;

	if (!r->left)
		return false;
	r->left--;
	*out = (uint8_t)unit_rand(&r->state);
	return true;
}

START_TEST(schedules)
{
	uint64_t seed = unit_seed("engine schedules");
	unsigned steps = 0, want = getenv("PEND_SLOW") ? 2000 : 40000;

	for (unsigned i = 0; steps < want; i++) {
		struct random_source r = {{next}, seed + i * 0x1000193ull, 500 + i % 7 * 1500};

		steps += engine_drive(&r.base);
	}
}
END_TEST

Suite *suite(void)
{
	Suite *su = suite_create("engine: schedules");
	TCase *tc = tcase_create("random");

	tcase_set_timeout(tc, 240);
	tcase_add_test(tc, schedules);
	suite_add_tcase(su, tc);
	return su;
}
