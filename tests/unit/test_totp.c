/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One-time codes: the file of secrets, codes of RFC 6238 that are taken once, and how fast wrong ones may come. */
#include "unit.h"
#include "agents/totp.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* "12345678901234567890", and 32 and 64 bytes of the same: the keys of RFC 6238, appendix B. */
#define KEY1  "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
#define KEY32 "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZA"
#define KEY64                                                                                          \
	"GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3T" \
	"QOJQGEZDGNA"

static struct totp_secrets s;
static struct err e;

static int parse(const char *text)
{
	memset(&e, 0, sizeof(e));
	totp_secrets_free(&s);
	return totp_secrets_parse(text, strlen(text), &s, &e);
}

static void teardown(void)
{
	totp_secrets_free(&s);
}

START_TEST(file)
{
	ck_assert_int_eq(
		parse("# who\n\nalice " KEY1 "\n"
		      "\tbob GEZD-GNBV-GY3T-QOJQ digits=8 period=60 hash=sha256 # comment\r\n"
		      "c@d.org gezdgnbvgy3tqojqgezdgnbvgy3tqojq hash=sha512"),
		0);
	ck_assert_uint_eq(s.n, 3);
	ck_assert_str_eq(s.of[0].name, "alice");
	ck_assert_int_eq(s.of[0].key_len, 20);
	ck_assert_int_eq(memcmp(s.of[0].key, "12345678901234567890", 20), 0);
	ck_assert_int_eq(s.of[0].digits, 6);
	ck_assert_int_eq(s.of[0].period, 30);
	ck_assert_int_eq(s.of[1].key_len, 10);
	ck_assert_int_eq(s.of[1].digits, 8);
	ck_assert_int_eq(s.of[1].period, 60);
	ck_assert_int_eq(s.of[1].hash, 1);
	ck_assert_int_eq(s.of[2].key_len, 20);
	ck_assert_int_eq(s.of[2].hash, 2);
	ck_assert_int_eq(parse(""), 0);
	ck_assert_uint_eq(s.n, 0);
}
END_TEST

static const struct {
	const char *text, *says;
} wrong[] = {
	{"alice\n", "line 1: expected NAME SECRET"},
	{"\n# x\nalice # " KEY1 "\n", "line 3: expected NAME SECRET"},
	{"al/ice " KEY1 "\n", "line 1: a name"},
	{"a23456789012345678901234567890123 " KEY1 "\n", "line 1: a name"},
	{"alice 0189\n", "line 1: the secret is not base32"},
	{"alice GEZDGNBV\n", "line 1: a secret has 10 to 64 bytes"},
	{"alice " KEY64 "GEZDGNBV\n", "line 1: "},
	{"alice " KEY1 "\nbob " KEY1 " digits=5\n", "line 2: digits"},
	{"alice " KEY1 " digits=+6\n", "line 1: digits"},
	{"alice " KEY1 " period=9\n", "line 1: period"},
	{"alice " KEY1 " period=301\n", "line 1: period"},
	{"alice " KEY1 " hash=md5\n", "line 1: expected"},
	{"alice " KEY1 " colour=red\n", "line 1: expected"},
	{"alice " KEY1 "\nalice " KEY1 "\n", "line 2: this name is there already"},
	{"alice \x01" KEY1 "\n", "line 1: a word"},
};

START_TEST(wrong_files)
{
	ck_assert_int_eq(parse(wrong[_i].text), -EINVAL);
	if (strncmp(e.text, wrong[_i].says, strlen(wrong[_i].says)) != 0)
		ck_abort_msg("%s", e.text);
	ck_assert_ptr_null(strstr(e.text, "GEZD")); /* no secret in a log */
	ck_assert_ptr_null(s.of);
}
END_TEST

START_TEST(too_many)
{
	size_t len = 0;
	char *text = malloc(TOTP_FILE_MAX);

	for (int i = 0; i <= TOTP_SECRETS_MAX; i++)
		len += (size_t)sprintf(text + len, "u%d " KEY1 "\n", i);
	ck_assert_int_eq(totp_secrets_parse(text, len, &s, &e), -EINVAL);
	ck_assert_str_eq(e.text, "line 257: more than 256 secrets");
	free(text);
}
END_TEST

/* RFC 6238, appendix B. */
static const struct {
	const char *line;
	int64_t now;
	const char *code;
} vectors[] = {
	{"a " KEY1 " digits=8", 59, "94287082"},
	{"a " KEY1 " digits=8", 1111111109, "07081804"},
	{"a " KEY1 " digits=8", 20000000000, "65353130"},
	{"a " KEY1, 59, "287082"},
	{"a " KEY32 " digits=8 hash=sha256", 59, "46119246"},
	{"a " KEY64 " digits=8 hash=sha512", 59, "90693936"},
};

START_TEST(codes)
{
	ck_assert_int_eq(parse(vectors[_i].line), 0);
	ck_assert_ptr_eq(totp_secrets_take(&s, vectors[_i].code, vectors[_i].now), s.of);
	ck_assert_ptr_null(totp_secrets_take(&s, vectors[_i].code, vectors[_i].now));
}
END_TEST

/* 287082 is of step 1: 30 to 59. */
START_TEST(window)
{
	static const struct {
		int64_t now;
		bool good;
	} at[] = {{-1, false}, {0, true}, {29, true}, {30, true}, {89, true}, {90, false}};

	for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		ck_assert_int_eq(parse("a " KEY1), 0);
		ck_assert_int_eq(totp_secrets_take(&s, "287082", at[i].now) != NULL, at[i].good);
	}
}
END_TEST

START_TEST(no_codes)
{
	static const char *const none[] = {"",         "28708",  "2870820", "287083",
					   "94287082", "28708a", "287082 ", "287082000000000000"};

	ck_assert_int_eq(parse("a " KEY1), 0);
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
		ck_assert_ptr_null(totp_secrets_take(&s, none[i], 59));
	ck_assert_ptr_nonnull(totp_secrets_take(&s, "287082", 59));
}
END_TEST

/* Of step 0: 755224 (RFC 4226, appendix D). What is older than the last one taken is not taken any more. */
START_TEST(once)
{
	struct totp_secrets before;
	char *used;
	int len;

	ck_assert_int_eq(parse("a " KEY1 "\nb " KEY32), 0);
	ck_assert_str_eq(totp_secrets_take(&s, "287082", 59)->name, "a");
	ck_assert_ptr_null(totp_secrets_take(&s, "287082", 59));
	ck_assert_ptr_null(totp_secrets_take(&s, "755224", 59));
	ck_assert_str_eq(totp_secrets_take(&s, "359152", 59)->name, "a");
	/* over a change of the file */
	before = s;
	s = (struct totp_secrets){.of = NULL};
	ck_assert_int_eq(parse("b " KEY1 "\na " KEY1), 0);
	totp_secrets_inherit(&s, &before);
	ck_assert_str_eq(totp_secrets_take(&s, "359152", 59)->name, "b");
	ck_assert_ptr_null(totp_secrets_take(&s, "359152", 59));
	/* another secret of the same name is another */
	ck_assert_int_eq(parse("a GEZDGNBVGY3TQOJQ"), 0);
	totp_secrets_inherit(&s, &before);
	ck_assert_int_eq(s.of[0].last_step, -1);
	/* over a restart */
	len = totp_used_print(&before, &used);
	ck_assert_int_eq(strncmp(used, "a 2 ", 4), 0);
	ck_assert_int_eq(parse("a " KEY1), 0);
	totp_used_parse(&s, used, (size_t)len, 59);
	ck_assert_ptr_null(totp_secrets_take(&s, "359152", 59));
	free(used);
	totp_secrets_free(&before);
	/* and where it is not known what was taken */
	ck_assert_int_eq(parse("a " KEY1), 0);
	totp_secrets_expire(&s, 59);
	ck_assert_ptr_null(totp_secrets_take(&s, "359152", 59));
	ck_assert_ptr_nonnull(totp_secrets_take(&s, "969429", 60)); /* step 3 */
}
END_TEST

START_TEST(used_that_is_none)
{
	static const char text[] =
		"\nb 7\na\na x\na 5 6\na 99999999999999999999999999999999999999\n"
		"a -3\na 4\na 7 0123\na 8 zz\nb 9 x y";

	ck_assert_int_eq(parse("a " KEY1), 0);
	totp_used_parse(&s, text, sizeof(text) - 1, 1000);
	/* one whose tag is none counts as one without */
	ck_assert_int_eq(s.of[0].last_step, 8);
	totp_used_parse(&s, "", 0, 1000);
}
END_TEST

static const struct {
	const char *line; /* the secret, after "a 20 TAG" was written of "a KEY1" at 600 */
	int64_t last_step;
} changes[] = {
	{"a " KEY1, 20},
	{"a " KEY1 " digits=8", 20}, /* its end is the code of six */
	{"a " KEY1 " period=60", -1},
	{"a GEZDGNBVGY3TQOJQ", -1},
	{"b " KEY1, -1},
};

START_TEST(used_of_what_has_changed)
{
	char *used;
	int len;

	ck_assert_int_eq(parse("a " KEY1), 0);
	s.of[0].last_step = 20;
	len = totp_used_print(&s, &used);
	ck_assert_int_gt(len, 0);
	ck_assert_int_eq(parse(changes[_i].line), 0);
	totp_used_parse(&s, used, (size_t)len, 600);
	ck_assert_int_eq(s.of[0].last_step, changes[_i].last_step);
	free(used);
}
END_TEST

/* Of an earlier version, where the period is not known: of what could have been used nothing is taken, and later
 * all is. */
START_TEST(used_without_a_tag)
{
	ck_assert_int_eq(parse("a " KEY1), 0);
	totp_used_parse(&s, "a 20\n", 5, 600);
	ck_assert_int_eq(s.of[0].last_step, 20);
	ck_assert_int_eq(parse("a " KEY1 " period=60"), 0);
	totp_used_parse(&s, "a 20\n", 5, 600);
	ck_assert_int_eq(s.of[0].last_step, 10 + TOTP_WINDOW);
}
END_TEST

static void write_file(const char *path, const char *text, mode_t mode)
{
	FILE *f = fopen(path, "w");

	fputs(text, f);
	fclose(f);
	chmod(path, mode);
}

START_TEST(permissions)
{
	char dir[] = "/tmp/pend-totp-XXXXXX", path[64];

	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/secrets", dir);
	ck_assert_int_eq(totp_secrets_load(path, &s, &e), -ENOENT);
	write_file(path, "a " KEY1 "\n", 0644);
	ck_assert_int_eq(totp_secrets_load(path, &s, &e), -EPERM);
	ck_assert_ptr_nonnull(strstr(e.text, "chmod o="));
	chmod(path, 0660);
	ck_assert_int_eq(totp_secrets_load(path, &s, &e), -EPERM);
	ck_assert_ptr_nonnull(strstr(e.text, "chmod g-w"));
	chmod(path, 0640);
	ck_assert_int_eq(totp_secrets_load(path, &s, &e), 0);
	ck_assert_uint_eq(s.n, 1);
	totp_secrets_free(&s);
	write_file(path, "a\n", 0600);
	ck_assert_int_eq(totp_secrets_load(path, &s, &e), -EINVAL);
	ck_assert_ptr_nonnull(strstr(e.text, "secrets: line 1"));
	ck_assert_int_eq(totp_secrets_load(dir, &s, &e), -EINVAL);
	unlink(path);
	rmdir(dir);
}
END_TEST

#define S(n) mono_ns((n)*MONO_NS_PER_S)

START_TEST(limits)
{
	static const unsigned waits[] = {0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300};
	struct totp_limit l = {.wrong = 0};
	uint64_t now = 1000;

	for (size_t i = 0; i < sizeof(waits) / sizeof(waits[0]); i++) {
		ck_assert_uint_eq(totp_limit_wait(&l, 7, S(now)), 0);
		totp_limit_wrong(&l, 7, S(now));
		ck_assert_uint_eq(totp_limit_wait(&l, 7, S(now)), waits[i]);
		ck_assert_uint_eq(totp_limit_wait(&l, 8, S(now)), 0);
		now += waits[i];
	}
	ck_assert_uint_eq(l.wrong, 13);
	ck_assert_uint_eq(l.limited, 11);
	/* one that is right, or a while without any */
	totp_limit_right(&l, 7);
	ck_assert_uint_eq(totp_limit_wait(&l, 7, S(now)), 0);
	totp_limit_wrong(&l, 7, S(now));
	totp_limit_wrong(&l, 7, S(now));
	totp_limit_wrong(&l, 7, S(now));
	ck_assert_uint_eq(totp_limit_wait(&l, 7, S(now)), 1);
	now += TOTP_FORGET_S;
	totp_limit_wait(&l, 7, S(now));
	totp_limit_wrong(&l, 7, S(now));
	ck_assert_uint_eq(totp_limit_wait(&l, 7, S(now)), 0);
}
END_TEST

/* Many users who guess a little each. */
START_TEST(limit_of_all)
{
	struct totp_limit l = {.wrong = 0};

	for (uint32_t u = 0; u < TOTP_ALL_FREE; u++)
		totp_limit_wrong(&l, u, S(1000));
	ck_assert_uint_eq(totp_limit_wait(&l, 50, S(1000)), 0);
	totp_limit_wrong(&l, 50, S(1000));
	ck_assert_uint_eq(totp_limit_wait(&l, 51, S(1000)), 1);
	for (uint32_t u = 0; u < 100; u++)
		totp_limit_wrong(&l, u, S(1000));
	totp_limit_right(&l, 51);
	ck_assert_uint_eq(totp_limit_wait(&l, 51, S(1000)), TOTP_ALL_MAX_S);
}
END_TEST

Suite *suite(void)
{
	Suite *su = suite_create("totp");
	TCase *t = tcase_create("totp");

	tcase_add_checked_fixture(t, NULL, teardown);
	tcase_add_test(t, file);
	tcase_add_loop_test(t, wrong_files, 0, sizeof(wrong) / sizeof(wrong[0]));
	tcase_add_test(t, too_many);
	tcase_add_loop_test(t, codes, 0, sizeof(vectors) / sizeof(vectors[0]));
	tcase_add_test(t, window);
	tcase_add_test(t, no_codes);
	tcase_add_test(t, once);
	tcase_add_test(t, used_that_is_none);
	tcase_add_loop_test(t, used_of_what_has_changed, 0, sizeof(changes) / sizeof(changes[0]));
	tcase_add_test(t, used_without_a_tag);
	tcase_add_test(t, permissions);
	tcase_add_test(t, limits);
	tcase_add_test(t, limit_of_all);
	suite_add_tcase(su, t);
	return su;
}
