/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Policies in files: what they were made of is kept, and goes with the image in a memory file. */
#include "unit.h"
#include "io/policyfile.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static char dir[] = "/tmp/pend-test-XXXXXX";
static char main_path[64];
static struct policy_diag diag;

static void file(const char *name, const char *text)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
}

static void away(const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	unlink(path);
}

static void setup(void)
{
	strcpy(dir, "/tmp/pend-test-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(main_path, sizeof(main_path), "%s/p.conf", dir);
	file("p.conf",
	     "include \"*.inc\"\nset a { file \"list\", 192.0.2.1 }\n"
	     "set b { file \"list\" }\nlayer l { block from { @a, @b } user root group root }\n");
	file("1.inc", "layer one { permit }\n");
	file("2.inc", "layer two { permit proto 6 }\n");
	file("list", "10.0.0.0/8\n");
}

static void teardown(void)
{
	static const char *const names[] = {"p.conf", "1.inc", "2.inc", "3.inc", "list"};

	policy_diag_deinit(&diag);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		away(names[i]);
	rmdir(dir);
}

static char *printed(struct policy *p)
{
	char *text = NULL;

	ck_assert_int_eq(policy_print(p, &text), 0);
	policy_free(p);
	return text;
}

START_TEST(the_same_again_whatever_the_files_hold)
{
	struct policyfile_sources s = {0};
	struct policy *p = NULL;
	char *before, *after;

	ck_assert_int_eq(policyfile_load_with(main_path, &s, NULL, &p, &diag), 0);
	policy_diag_deinit(&diag);
	ck_assert(!s.lost && policyfile_sources_valid(s.data, s.len));
	before = printed(p);
	file("3.inc", "layer three { permit }\n");
	away("1.inc");
	away("list");
	file("p.conf", "nonsense\n");
	ck_assert_int_eq(policyfile_load_again(&s, NULL, &p, &diag), 0);
	after = printed(p);
	ck_assert_str_eq(before, after);
	ck_assert_ptr_nonnull(strstr(after, "layer one"));
	free(before);
	free(after);
	policyfile_sources_deinit(&s);
}
END_TEST

START_TEST(with_an_overlay)
{
	const struct policy_object o = {.number = 1, .layer = "l", .text = "permit from 192.0.2.7"};
	struct policy_overlay v = {.object = &o, .objects = 1};
	struct policyfile_sources s = {0};
	struct policy *p = NULL;
	char *text;

	ck_assert_int_eq(policyfile_load_with(main_path, &s, &v, &p, &diag), 0);
	policy_diag_deinit(&diag);
	policy_free(p);
	ck_assert_int_eq(policyfile_load_again(&s, &v, &p, &diag), 0);
	text = printed(p);
	ck_assert_ptr_nonnull(strstr(text, "permit from 192.0.2.7;"));
	free(text);
	policyfile_sources_deinit(&s);
	ck_assert_int_lt(policyfile_load_again(&s, &v, &p, &diag), 0);
}
END_TEST

/* A '/' more than needed, behind the folder of the policy. */
START_TEST(canonical_paths_lead_to_the_same_files)
{
	struct policy *p = NULL;
	char text[256], *once;

	snprintf(text, sizeof(text), "set a { file \"%s///list\" }\nset b { file \"%s/list\" }\n",
		 dir, dir);
	file("p.conf", text);
	ck_assert_int_eq(policyfile_load(main_path, &p, &diag), 0);
	policy_diag_deinit(&diag);
	once = printed(p);
	ck_assert_ptr_nonnull(strstr(once, "set a { file \"list\" };\nset b { file \"list\" };\n"));
	file("p.conf", once);
	ck_assert_int_eq(policyfile_load(main_path, &p, &diag), 0);
	policy_free(p);
	free(once);
}
END_TEST

START_TEST(patterns_in_folders_that_are_not_there)
{
	struct policy *p = NULL;
	char loop[64];

	file("p.conf", "include \"none/*.inc\"\ninclude \"none/*/x\"\nlayer l { permit }\n");
	ck_assert_int_eq(policyfile_load(main_path, &p, &diag), 0);
	policy_free(p);
	/* a folder that leads to itself is there, and cannot be looked into */
	snprintf(loop, sizeof(loop), "%s/loop", dir);
	ck_assert_int_eq(symlink(loop, loop), 0);
	file("p.conf", "include \"loop/*.inc\"\n");
	ck_assert_int_eq(policyfile_load(main_path, &p, &diag), -EINVAL);
	ck_assert_ptr_nonnull(strstr(diag.text, "cannot list \"loop/*.inc\": Too many levels"));
	away("loop");
}
END_TEST

/* Every cut and every flipped byte of the sources: refused, or safe to load from. */
START_TEST(damaged_sources)
{
	struct policyfile_sources s = {0}, t;
	struct policy *p = NULL;

	ck_assert_int_eq(policyfile_load_with(main_path, &s, NULL, &p, &diag), 0);
	policy_free(p);
	for (size_t i = 0; i < s.len; i++) {
		t = s;
		t.data = malloc(i ? i : 1);
		ck_assert_ptr_nonnull(t.data);
		memcpy(t.data, s.data, i);
		t.len = t.cap = i;
		if (policyfile_sources_valid(t.data, t.len)) {
			policy_diag_deinit(&diag);
			if (policyfile_load_again(&t, NULL, &p, &diag) == 0)
				policy_free(p);
		}
		free(t.data);
	}
	for (size_t i = 0; i < s.len; i++) {
		s.data[i] ^= 0x81;
		if (policyfile_sources_valid(s.data, s.len)) {
			policy_diag_deinit(&diag);
			if (policyfile_load_again(&s, NULL, &p, &diag) == 0)
				policy_free(p);
		}
		s.data[i] ^= 0x81;
	}
	policyfile_sources_deinit(&s);
}
END_TEST

static const char image[] = "an image of some bytes";

static int part_is(int fd, enum policyfile_part which, const char *want)
{
	char *data = NULL;
	size_t len = 0;
	int r = policyfile_part(fd, sizeof(image), which, &data, &len);

	if (r == 0)
		r = len == strlen(want) && !memcmp(data, want, len) && !data[len] ? 0 : 1;
	free(data);
	return r;
}

START_TEST(parts_behind_an_image)
{
	struct policyfile_bytes part[POLICYFILE_PARTS] = {
		[POLICYFILE_TEXT] = {"text", 4},
		[POLICYFILE_OVERLAY] = {"over\0lay", 8},
		[POLICYFILE_JOURNAL] = {"j", 1},
	};
	int fd = policyfile_parts_fd(image, sizeof(image), part);
	const void *map;
	char *text = NULL;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(policyfile_image_map(fd, sizeof(image), &map), 0);
	ck_assert_mem_eq(map, image, sizeof(image));
	policyfile_image_unmap(map, sizeof(image));
	ck_assert_int_eq(part_is(fd, POLICYFILE_TEXT, "text"), 0);
	ck_assert_int_eq(part_is(fd, POLICYFILE_JOURNAL, "j"), 0);
	ck_assert_int_eq(part_is(fd, POLICYFILE_SOURCES, ""), -ENOENT);
	ck_assert_int_eq(part_is(fd, POLICYFILE_OVERLAY, "over"), 1);
	ck_assert_int_eq(policyfile_text(fd, sizeof(image) - 1, &text), -EINVAL);
	ck_assert_int_eq(policyfile_text(fd, sizeof(image) + 1, &text), -EINVAL);
	ck_assert_int_eq(policyfile_text(fd, UINT64_MAX, &text), -EINVAL);
	close(fd);
	fd = policyfile_image_fd(image, sizeof(image));
	ck_assert_int_eq(policyfile_text(fd, sizeof(image), &text), -ENOENT);
	close(fd);
}
END_TEST

/* A sender that lies about lengths. */
START_TEST(damaged_parts)
{
	struct policyfile_bytes part[POLICYFILE_PARTS] = {[POLICYFILE_TEXT] = {"text", 4}};
	int good = policyfile_parts_fd(image, sizeof(image), part);
	unsigned char buf[256];
	ssize_t n = pread(good, buf, sizeof(buf), 0);

	ck_assert_int_gt(n, (int)sizeof(image));
	for (ssize_t i = (ssize_t)sizeof(image); i < n; i++) {
		for (int bit = 0; bit < 8; bit++) {
			int fd = memfd_create("bad", MFD_CLOEXEC), r;

			buf[i] ^= (unsigned char)(1 << bit);
			ck_assert_int_eq(write(fd, buf, (size_t)n), n);
			r = part_is(fd, POLICYFILE_TEXT, "text");
			ck_assert(i < n - 4 ? r < 0 : r == 1);
			buf[i] ^= (unsigned char)(1 << bit);
			close(fd);
		}
	}
	for (ssize_t i = (ssize_t)sizeof(image) + 1; i < n; i++) {
		int fd = memfd_create("cut", MFD_CLOEXEC);

		ck_assert_int_eq(write(fd, buf, (size_t)i), i);
		ck_assert_int_eq(part_is(fd, POLICYFILE_TEXT, "text"), -EINVAL);
		close(fd);
	}
	close(good);
}
END_TEST

Suite *suite(void)
{
	Suite *s = suite_create("policyfile");
	TCase *t = tcase_create("policyfile");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, the_same_again_whatever_the_files_hold);
	tcase_add_test(t, with_an_overlay);
	tcase_add_test(t, canonical_paths_lead_to_the_same_files);
	tcase_add_test(t, patterns_in_folders_that_are_not_there);
	tcase_add_test(t, damaged_sources);
	tcase_add_test(t, parts_behind_an_image);
	tcase_add_test(t, damaged_parts);
	suite_add_tcase(s, t);
	return s;
}
