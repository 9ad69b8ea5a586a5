/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Golden files: tests/policy/NAME.in is parsed; NAME.ok is its canonical text and NAME.err what
 * was said about it (errors, or warnings of a good one). UPDATE_GOLDEN=1 writes both anew: read the diff.
 * Limits, whose inputs would be large files, are made here.
 */
#include "unit.h"
#include "io/policyfile.h"
#include "policy_help.h"
#include <glob.h>
#include <unistd.h>

static glob_t golden;

static char *slurp(const char *path)
{
	FILE *f = fopen(path, "r");
	char *s = calloc(1, 1 << 20);
	size_t n;

	if (!f)
		return s;
	n = fread(s, 1, (1 << 20) - 1, f);
	s[n] = '\0';
	fclose(f);
	return s;
}

static void spit(const char *path, const char *text)
{
	FILE *f;

	unlink(path);
	if (!*text)
		return;
	f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
}

static void compare(const char *in, const char *suffix, const char *text)
{
	char path[256], *want;

	snprintf(path, sizeof(path), "%.*s%s", (int)(strlen(in) - 3), in, suffix);
	if (getenv("UPDATE_GOLDEN")) {
		spit(path, text);
		return;
	}
	want = slurp(path);
	ck_assert_msg(!strcmp(want, text), "%s differs; now:\n%s", path, text);
	free(want);
}

/* The canonical text, parsed as if it stood where the input does, prints as itself. */
static void check_fixpoint(const char *in, const char *text)
{
	struct policy *p = NULL;
	struct policy_diag diag;
	char path[] = "canonical.tmpXXXXXX", *again;
	int fd = mkstemp(path);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
	ck_assert_msg(!policyfile_load(path, &p, &diag), "%s: %s", in, diag.text);
	unlink(path);
	again = print_good(p);
	ck_assert_str_eq(text, again);
	free(again);
	policy_diag_deinit(&diag);
	policy_free(p);
}

START_TEST(golden_file)
{
	const char *in = golden.gl_pathv[_i];
	struct policy *p = NULL;
	struct policy_diag diag;
	char *text = NULL;
	int err = policyfile_load(in, &p, &diag);

	ck_assert_int_eq(err == 0, diag.errors == 0);
	ck_assert_int_eq(diag.len, diag.text ? strlen(diag.text) : 0);
	if (!err) {
		text = print_good(p);
		check_fixpoint(in, text);
	} else {
		ck_assert_int_eq(err, -EINVAL);
		ck_assert_ptr_null(p);
	}
	compare(in, ".ok", text ? text : "");
	compare(in, ".err", diag.text ? diag.text : "");
	free(text);
	policy_free(p);
	policy_diag_deinit(&diag);
}
END_TEST

/* ------------------------------------------------------------------------ limits ---- */

static void expect_error(const char *text, const char *want)
{
	struct policy *p = NULL;
	struct policy_diag diag;

	ck_assert_int_eq(parse_text(text, &p, &diag), -EINVAL);
	ck_assert_msg(strstr(diag.text, want) != NULL, "%s, wanted: %s", diag.text, want);
	policy_diag_deinit(&diag);
}

struct repeat {
	const char *before, *each, *after; /* each: one %u, counted from 0 */
	unsigned n;
	const char *error;
};

static const struct repeat repeats[] = {
	{"", "define v%u = 1\n", "", 4097, "more than 4096 variables"},
	{"", "set s%u { }\n", "", 4097, "more than 4096 sets"},
	{"", "authority a%u { type operator }\n", "", 257, "more than 256 authorities"},
	{"", "layer l%u { }\n", "", 65, "more than 64 layers"},
	{"layer l {", "permit mark %u\n", "}", 100001, "more than 100000 rules"},
	{"layer l { permit to port {", "%u,", "} }", 65537, "list has more than 65536 elements"},
	{"layer l { permit mark 1 from {", "10.%u.0.0,", "} }", 10, NULL},
	{"set l {", "10.0.0.0, # %u\n", "}", 65537, "list has more than 65536 elements"},
	{"define v = {", "%u,", "}", 1048577, "variables have more than 1048576 words together"},
	{"define v = { 1, 1, 1, 1, 1, 1, 1, 1 }\nlayer l {",
	 "permit to port { $v, $v, $v, $v, $v, $v, $v, $v } # %u\n", "}", 65537,
	 "lists have more than 4194304 elements together"},
};

static char *make_text(const struct repeat *r)
{
	size_t cap = strlen(r->before) + strlen(r->after) + (strlen(r->each) + 8) * r->n + 1;
	char *text = malloc(cap), *to;
	unsigned i;

	to = text + sprintf(text, "%s", r->before);
	for (i = 0; i < r->n; i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		to += sprintf(to, r->each, i);
#pragma GCC diagnostic pop
	}
	strcpy(to, r->after);
	return text;
}

START_TEST(limit)
{
	const struct repeat *r = &repeats[_i];
	char *text = make_text(r);

	if (r->error)
		expect_error(text, r->error);
	else
		policy_free(parse_good(text));
	free(text);
}
END_TEST

START_TEST(file_too_large)
{
	char *text = malloc(POLICY_FILE_MAX + 2);
	struct memory_file files[] = {{"t", "include \"big\""}, {"big", text}, {NULL, NULL}};
	struct policy_loader loader = {.read = memory_read, .ctx = files};
	struct policy *p = NULL;
	struct policy_diag diag;

	memset(text, '\n', POLICY_FILE_MAX + 1);
	text[POLICY_FILE_MAX + 1] = '\0';
	expect_error(text, "t: error: file is larger than 16 MiB\n");
	ck_assert_int_eq(policy_parse(&p, "t", &loader, &diag), -EINVAL);
	ck_assert_ptr_nonnull(strstr(diag.text, "t:1:9: error: \"big\" is larger than 16 MiB\n"));
	policy_diag_deinit(&diag);
	files[0].text = "set s { file \"big\" }";
	ck_assert_int_eq(policy_parse(&p, "t", &loader, &diag), 0);
	policy_diag_deinit(&diag);
	policy_free(p);
	free(text);
}
END_TEST

/* Set files: a million lines are fine, one more element than the limit is not. */
START_TEST(set_file_limits)
{
	char *text = malloc((POLICY_SET_MAX + 1) * 16 + 1), *to = text;
	struct memory_file files[] = {{"t", "set s { file \"big\" }"}, {"big", text}, {NULL, NULL}};
	struct policy_loader loader = {.read = memory_read, .ctx = files};
	struct policy *p = NULL;
	struct policy_diag diag;
	unsigned i;

	for (i = 0; i < POLICY_SET_MAX; i++)
		to += sprintf(to, "10.%u.%u.%u\n", i / 65536 * 2, i / 256 % 256, i % 256);
	ck_assert_int_eq(policy_parse(&p, "t", &loader, &diag), 0);
	ck_assert_uint_eq(p->sets->ranges.n4, POLICY_SET_MAX / 65536);
	policy_diag_deinit(&diag);
	policy_free(p);
	strcpy(to, "1.1.1.1\n");
	ck_assert_int_eq(policy_parse(&p, "t", &loader, &diag), -EINVAL);
	ck_assert_ptr_nonnull(strstr(diag.text, "set \"s\" has more than 1048576 elements"));
	policy_diag_deinit(&diag);
	free(text);
}
END_TEST

/* The total over all sets: one million elements, in nine sets. */
START_TEST(sets_too_large)
{
	char *text = malloc(POLICY_SET_MAX * 16 + 1), *to = text;
	struct memory_file files[] = {{"t", NULL}, {"big", text}, {NULL, NULL}};
	struct policy_loader loader = {.read = memory_read, .ctx = files};
	struct policy *p = NULL;
	struct policy_diag diag;
	unsigned i;

	for (i = 0; i < POLICY_SET_MAX; i++)
		to += sprintf(to, "10.%u.%u.%u\n", i / 32768, i / 128 % 256, i % 128 * 2);
	files[0].text = "set a { file \"big\" } set b { file \"big\" } set c { file \"big\" }\n"
			"set d { file \"big\" } set e { file \"big\" } set f { file \"big\" }\n"
			"set g { file \"big\" } set h { file \"big\" }\nset i { 1.1.1.1 }\n";
	ck_assert_int_eq(policy_parse(&p, "t", &loader, &diag), -EINVAL);
	ck_assert_ptr_nonnull(strstr(
		diag.text, "t:4:5: error: all sets together have more than 8388608 elements\n"));
	policy_diag_deinit(&diag);
	files[0].text = "set a { file \"big\" }\nset b { @a, @c } set c { 1.1.1.1 }";
	ck_assert_int_eq(policy_parse(&p, "t", &loader, &diag), -EINVAL);
	ck_assert_ptr_nonnull(
		strstr(diag.text, "t:2:13: error: set \"b\" has more than 1048576 elements\n"));
	policy_diag_deinit(&diag);
	free(text);
}
END_TEST

START_TEST(set_file_too_large)
{
	char *text = malloc(POLICY_SETFILE_MAX + 2);
	struct memory_file files[] = {{"t", "set s { file \"big\" }"}, {"big", text}, {NULL, NULL}};
	struct policy_loader loader = {.read = memory_read, .ctx = files};
	struct policy *p = NULL;
	struct policy_diag diag;

	memset(text, '\n', POLICY_SETFILE_MAX + 1);
	text[POLICY_SETFILE_MAX + 1] = '\0';
	ck_assert_int_eq(policy_parse(&p, "t", &loader, &diag), -EINVAL);
	ck_assert_ptr_nonnull(strstr(diag.text, "t:1:14: error: \"big\" is larger than 64 MiB\n"));
	policy_diag_deinit(&diag);
	free(text);
}
END_TEST

static int broken_glob(void *ctx, const char *from, const char *pattern, char ***paths, size_t *n)
{
	(void)ctx;
	(void)from;
	(void)pattern;
	(void)paths;
	(void)n;
	return -EACCES;
}

/* What a file is called cannot move the cursor of whoever reads the message. */
START_TEST(hostile_name)
{
	struct memory_file files[] = {{"\033[2J", "x"}, {NULL, NULL}};
	struct policy_loader loader = {.read = memory_read, .ctx = files};
	struct policy *p = NULL;
	struct policy_diag diag;

	ck_assert_int_eq(policy_parse(&p, "\033[2J", &loader, &diag), -EINVAL);
	ck_assert_str_eq(diag.text, "?[2J:1:1: error: unknown statement \"x\"\n  x\n  ^\n");
	policy_diag_deinit(&diag);
}
END_TEST

START_TEST(cannot_list)
{
	struct memory_file files[] = {{"t", "include \"d/*\""}, {NULL, NULL}};
	struct policy_loader loader = {.read = memory_read, .glob = broken_glob, .ctx = files};
	struct policy *p = NULL;
	struct policy_diag diag;

	ck_assert_int_eq(policy_parse(&p, "t", &loader, &diag), -EINVAL);
	ck_assert_ptr_nonnull(
		strstr(diag.text, "t:1:9: error: cannot list \"d/*\": Permission denied\n"));
	policy_diag_deinit(&diag);
}
END_TEST

START_TEST(too_many_files)
{
	struct memory_file files[] = {{"t", NULL}, {"e", ""}, {NULL, NULL}};
	struct policy_loader loader = {.read = memory_read, .ctx = files};
	struct policy_diag diag;
	struct policy *p = NULL;
	char *text = make_text(&(struct repeat){"", "include \"e\" # %u\n", "", 1024, NULL});

	files[0].text = text;
	ck_assert_int_eq(policy_parse(&p, "t", &loader, &diag), -EINVAL);
	ck_assert_ptr_nonnull(strstr(diag.text, "t:1024:9: error: more than 1024 files\n"));
	policy_diag_deinit(&diag);
	free(text);
	text = make_text(&(struct repeat){"", "set s%u { file \"e\" }\n", "", 1024, NULL});
	files[0].text = text;
	ck_assert_int_eq(policy_parse(&p, "t", &loader, &diag), -EINVAL);
	ck_assert_ptr_nonnull(strstr(diag.text, "error: more than 1024 files\n"));
	policy_diag_deinit(&diag);
	free(text);
}
END_TEST

START_TEST(no_patterns)
{
	expect_error("include \"*.x\"", "t:1:9: error: patterns cannot be included here\n");
}
END_TEST

START_TEST(absent)
{
	struct policy *p = NULL;
	struct policy_diag diag;

	ck_assert_int_eq(policyfile_load("no/such/file", &p, &diag), -ENOENT);
	ck_assert_str_eq(diag.text,
			 "no/such/file: error: cannot read: No such file or directory\n");
	policy_diag_deinit(&diag);
	ck_assert_int_eq(policyfile_load(".", &p, &diag), -EISDIR);
	policy_diag_deinit(&diag);
	ck_assert_int_eq(policyfile_load("no/such/file", &p, NULL), -ENOENT);
}
END_TEST

Suite *suite(void)
{
	Suite *s = suite_create("policy_parse");
	TCase *t = tcase_create("golden"), *l = tcase_create("limits");

	if (chdir("tests/policy") || glob("*.in", 0, NULL, &golden))
		abort();
	tcase_add_loop_test(t, golden_file, 0, (int)golden.gl_pathc);
	tcase_add_test(t, absent);
	tcase_add_test(t, no_patterns);
	tcase_add_test(t, hostile_name);
	suite_add_tcase(s, t);
	tcase_set_timeout(l, 120);
	tcase_add_loop_test(l, limit, 0, sizeof(repeats) / sizeof(repeats[0]));
	tcase_add_test(l, file_too_large);
	tcase_add_test(l, set_file_limits);
	tcase_add_test(l, set_file_too_large);
	tcase_add_test(l, sets_too_large);
	tcase_add_test(l, cannot_list);
	tcase_add_test(l, too_many_files);
	suite_add_tcase(s, l);
	return s;
}
