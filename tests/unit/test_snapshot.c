/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Policies in use: what is attached, what is refused, counters of hits. */
#include "daemon/snapshot.h"
#include "core/policy.h"
#include "io/policyfile.h"
#include "unit.h"
#include "tests/unit/policy_help.h"
#include <unistd.h>

/* A sealed memory file with an image of three rules and a default; `flip` spoils one byte of it. */
static int image_file(size_t *size, int flip)
{
	struct policy *p = parse_good("layer default {\n"
				      "\tblock from 10.0.0.0/8\n"
				      "\tpermit proto tcp to port 22\n"
				      "\tblock\n"
				      "}\n");
	void *image = NULL;
	int fd;

	ck_assert_int_eq(policy_compile(p, &image, size), 0);
	policy_free(p);
	if (flip >= 0)
		((uint8_t *)image)[flip] ^= 0xff;
	fd = policyfile_image_fd(image, *size);
	ck_assert_int_ge(fd, 0);
	free(image);
	return fd;
}

START_TEST(hits_are_summed_over_workers)
{
	struct snapshot *s = NULL;
	struct rule_count n;
	size_t size;
	int fd = image_file(&size, -1);

	ck_assert_int_eq(snapshot_from_fd(&s, fd, size, 7, 3), 0);
	close(fd); /* stays the caller's */
	ck_assert_int_eq(s->generation, 7);
	ck_assert(s->rules >= 3);
	snapshot_hit(s, 0, 1, 60, 1000);
	snapshot_hit(s, 2, 1, 100, 3000);
	snapshot_hit(s, 2, 1, 40, 2000);
	snapshot_hit(s, 1, 0, 60, 500);
	snapshot_hit(s, 1, s->rules, 60, 1); /* no such rule: nothing */
	snapshot_hit(s, 2, UINT32_MAX, 60, 1);
	snapshot_count(s, 1, &n);
	ck_assert(n.hits == 3 && n.bytes == 200 && n.last_ns == 2000);
	snapshot_count(s, 0, &n);
	ck_assert(n.hits == 1 && n.bytes == 60 && n.last_ns == 500);
	snapshot_count(s, 2, &n);
	ck_assert(n.hits == 0 && n.bytes == 0 && n.last_ns == 0);
	snapshot_count(s, UINT32_MAX, &n);
	ck_assert(n.hits == 0);
	snapshot_free(s);
	snapshot_free(NULL);
}
END_TEST

START_TEST(a_bad_image_is_refused)
{
	struct snapshot *s = NULL;
	size_t size;
	int fd = image_file(&size, 0), good = image_file(&size, -1);

	ck_assert(snapshot_from_fd(&s, fd, size, 1, 1) < 0);
	ck_assert(snapshot_from_fd(&s, good, size - 1, 1, 1) < 0);
	ck_assert(snapshot_from_fd(&s, -1, size, 1, 1) < 0);
	ck_assert_ptr_null(s);
	close(fd);
	close(good);
}
END_TEST

Suite *suite(void)
{
	Suite *su = suite_create("snapshot");
	TCase *tc = tcase_create("snapshot");

	tcase_add_test(tc, hits_are_summed_over_workers);
	tcase_add_test(tc, a_bad_image_is_refused);
	suite_add_tcase(su, tc);
	return su;
}
