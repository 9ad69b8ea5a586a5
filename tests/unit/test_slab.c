/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The object pool: order, reuse, exhaustion, and that reserved memory is not touched. */
#include "unit.h"

#include "base/slab.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

START_TEST(init_refuses_nonsense)
{
	struct slab s = {0};

	ck_assert_int_eq(slab_init(&s, 0, 1), -EINVAL);
	ck_assert_int_eq(slab_init(&s, 3, 1), -EINVAL);
	ck_assert_int_eq(slab_init(&s, SIZE_MAX, 1), -EINVAL);
	ck_assert_int_eq(slab_init(&s, 8, 0), -EINVAL);
	ck_assert_int_eq(slab_init(&s, 8, SLAB_NONE), -EINVAL);
	ck_assert_ptr_null(s.mem);
	slab_deinit(&s);
	slab_deinit(&s);
}
END_TEST

START_TEST(get_is_lowest_fresh_then_last_freed)
{
	struct slab s;
	void *obj[4];

	ck_assert_int_eq(slab_init(&s, 20, 4), 0);
	ck_assert_uint_eq(s.size, 24);
	for (uint32_t i = 0; i < 4; i++) {
		ck_assert_ptr_null(slab_at(&s, i));
		obj[i] = slab_get(&s);
		ck_assert_uint_eq(slab_index(&s, obj[i]), i);
		ck_assert_ptr_eq(slab_at(&s, i), obj[i]);
	}
	ck_assert_ptr_null(slab_get(&s));
	slab_put(&s, obj[1]);
	slab_put(&s, obj[3]);
	ck_assert_uint_eq(s.used, 2);
	ck_assert_uint_eq(s.peak, 4);
	ck_assert_ptr_eq(slab_get(&s), obj[3]);
	ck_assert_ptr_eq(slab_get(&s), obj[1]);
	ck_assert_ptr_null(slab_get(&s));
	ck_assert_ptr_null(slab_at(&s, 4));
	ck_assert_ptr_null(slab_at(&s, SLAB_NONE));
	slab_deinit(&s);
	ck_assert_ptr_null(slab_get(&s));
}
END_TEST

START_TEST(freed_object_keeps_all_but_four_bytes)
{
	unsigned char want[32];
	unsigned char *p;
	struct slab s;

	ck_assert_int_eq(slab_init(&s, sizeof(want), 2), 0);
	p = slab_get(&s);
	memset(want, 0, sizeof(want));
	ck_assert_mem_eq(p, want, sizeof(want));
	memset(want, 0xa5, sizeof(want));
	memset(p, 0xa5, sizeof(want));
	slab_put(&s, p);
	ck_assert_mem_eq((unsigned char *)slab_at(&s, 0) + 4, want + 4, sizeof(want) - 4);
	ck_assert_ptr_eq(slab_get(&s), p);
	ck_assert_mem_eq(p + 4, want + 4, sizeof(want) - 4);
	slab_deinit(&s);
}
END_TEST

/* Against a model: which objects are live and what each holds. */
START_TEST(random_use_keeps_objects_apart)
{
	enum { CAP = 97, STEPS = 20000 };
	uint64_t seed = unit_seed("slab");
	uint64_t *live[CAP] = {0};
	uint32_t used = 0;
	struct slab s;

	ck_assert_int_eq(slab_init(&s, sizeof(uint64_t) * 2, CAP), 0);
	for (int step = 0; step < STEPS; step++) {
		uint32_t i = (uint32_t)(unit_rand(&seed) % CAP);
		uint64_t *p = live[i];

		if (p) {
			ck_assert_uint_eq(p[0], i);
			ck_assert_uint_eq(p[1], ~(uint64_t)i);
			slab_put(&s, p);
			live[i] = NULL;
			used--;
		} else {
			p = live[i] = slab_get(&s);
			ck_assert_ptr_nonnull(p);
			p[0] = i;
			p[1] = ~(uint64_t)i;
			used++;
		}
		ck_assert_uint_eq(s.used, used);
	}
	slab_deinit(&s);
}
END_TEST

static size_t resident(const struct slab *s)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t len = s->size * s->capacity / page * page;
	uintptr_t start = ((uintptr_t)s->mem + page - 1) / page * page;
	unsigned char *vec = calloc(len / page, 1);
	size_t n = 0;

	ck_assert_ptr_nonnull(vec);
	ck_assert_int_eq(mincore((void *)start, len - page, vec), 0);
	for (size_t i = 0; i < len / page - 1; i++)
		n += vec[i] & 1;
	free(vec);
	return n;
}

START_TEST(reserved_memory_is_not_touched)
{
	const char *preload = getenv("LD_PRELOAD");
	struct slab s;

	/* Valgrind's calloc clears what it returns. */
	if (preload && strstr(preload, "vgpreload"))
		return;
	ck_assert_int_eq(slab_init(&s, 256, 1u << 20), 0);
	ck_assert_uint_eq(resident(&s), 0);
	for (int i = 0; i < 1000; i++)
		memset(slab_get(&s), 1, 256);
	/* 1000 objects are 63 pages; a huge page is 512. */
	ck_assert_uint_le(resident(&s), 1024);
	slab_deinit(&s);
}
END_TEST

Suite *suite(void)
{
	Suite *s = suite_create("slab");
	TCase *t = tcase_create("slab");

	tcase_add_test(t, init_refuses_nonsense);
	tcase_add_test(t, get_is_lowest_fresh_then_last_freed);
	tcase_add_test(t, freed_object_keeps_all_but_four_bytes);
	tcase_add_test(t, random_use_keeps_objects_apart);
	tcase_add_test(t, reserved_memory_is_not_touched);
	suite_add_tcase(s, t);
	return s;
}
