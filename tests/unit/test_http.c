/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a web server's response means, and the headers of requests. */
#include "unit.h"
#include "agents/http.h"
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct http_answer read_one(long status, const char *body)
{
	struct http_answer a;

	http_answer_read(status, body, strlen(body), &a);
	return a;
}

START_TEST(statuses)
{
	static const struct {
		long status;
		enum pend_client_answer answer;
	} all[] = {
		{204, PEND_CLIENT_ANSWER_PERMIT}, {403, PEND_CLIENT_ANSWER_BLOCK},
		{201, PEND_CLIENT_ANSWER_ERROR},  {301, PEND_CLIENT_ANSWER_ERROR},
		{401, PEND_CLIENT_ANSWER_ERROR},  {404, PEND_CLIENT_ANSWER_ERROR},
		{500, PEND_CLIENT_ANSWER_ERROR},  {0, PEND_CLIENT_ANSWER_ERROR},
	};

	/* The body counts with 200 only. */
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		ck_assert_int_eq(read_one(all[i].status, "{\"verdict\":\"permit\"}").answer,
				 all[i].answer);
	ck_assert_str_eq(read_one(502, "").why, "the response has the status 502");
}
END_TEST

START_TEST(verdicts)
{
	static const struct {
		const char *body;
		enum pend_client_answer answer;
		const char *how, *why;
	} all[] = {
		{"{\"verdict\":\"permit\"}", PEND_CLIENT_ANSWER_PERMIT, NULL, ""},
		{"{\"verdict\":\"permit\",\"block\":\"reset\"}", PEND_CLIENT_ANSWER_PERMIT, NULL,
		 ""},
		{"{\"verdict\":\"block\",\"why\":\"no\"}", PEND_CLIENT_ANSWER_BLOCK, NULL, "no"},
		{"{\"verdict\":\"block\",\"block\":\"drop\"}", PEND_CLIENT_ANSWER_BLOCK, "drop",
		 ""},
		{"{\"verdict\":\"block\",\"block\":\"reset\"}", PEND_CLIENT_ANSWER_BLOCK, "reset",
		 ""},
		{"{\"verdict\":\"block\",\"block\":\"unreachable\"}", PEND_CLIENT_ANSWER_BLOCK,
		 "unreachable", ""},
		{"{\"verdict\":\"block\",\"block\":\"explode\"}", PEND_CLIENT_ANSWER_BLOCK, NULL,
		 ""},
		{"{\"verdict\":\"block\",\"block\":7}", PEND_CLIENT_ANSWER_BLOCK, NULL, ""},
		{" {\"verdict\" : \"continue\", \"x\": [1]} ", PEND_CLIENT_ANSWER_CONTINUE, NULL,
		 ""},
		{"{\"verdict\":\"error\",\"why\":\"db\"}", PEND_CLIENT_ANSWER_ERROR, NULL, "db"},
		{"{\"verdict\":\"permit\",\"why\":\"a\\u001b[31m\\u0007\"}",
		 PEND_CLIENT_ANSWER_PERMIT, NULL, "a\\x1B[31m\\x07"},
		{"{\"verdict\":\"permit\",\"why\":5}", PEND_CLIENT_ANSWER_PERMIT, NULL, ""},
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct http_answer a = read_one(200, all[i].body);

		ck_assert_msg(a.answer == all[i].answer, "%s", all[i].body);
		ck_assert_pstr_eq(a.how, all[i].how);
		ck_assert_msg(!strcasecmp(a.why, all[i].why), "%s", a.why);
	}
}
END_TEST

/* Nobody is let in by what is not an answer. */
START_TEST(no_verdict)
{
	static const char *const all[] = {"",
					  "permit",
					  "\"permit\"",
					  "[\"permit\"]",
					  "{}",
					  "null",
					  "{\"verdict\":true}",
					  "{\"verdict\":\"Permit\"}",
					  "{\"verdict\":\"permit \"}",
					  "{\"verdict\":\"later\"}",
					  "{\"verdict\":\"block\",\"verdict\":\"permit\"}",
					  "{\"verdict\":\"permit\"} {}",
					  "{\"verdict\":\"permit\"",
					  "{\"verdict\":\"per\\u0000mit\"}",
					  "{\"verdict\":\"permit\",\"why\":\"\xff\"}",
					  "<html>permit</html>"};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct http_answer a = read_one(200, all[i]);

		ck_assert_msg(a.answer == PEND_CLIENT_ANSWER_ERROR, "%s", all[i]);
		ck_assert_str_ne(a.why, "");
	}
	ck_assert_int_eq(read_one(200, "{\"verdict\":\"permit\"}x").answer,
			 PEND_CLIENT_ANSWER_ERROR);
}
END_TEST

START_TEST(long_why)
{
	char body[2048] = "{\"verdict\":\"block\",\"why\":\"";
	struct http_answer a;

	memset(body + strlen(body), 'w', 1000);
	strcat(body, "\"}");
	a = read_one(200, body);
	ck_assert_int_eq(a.answer, PEND_CLIENT_ANSWER_BLOCK);
	ck_assert_uint_eq(strlen(a.why), HTTP_WHY_MAX - 1);
}
END_TEST

/* "-": as the rule says; "": not. */
START_TEST(memory)
{
	static const struct {
		const char *keys, *remember, *scope;
	} all[] = {
		{"", "-", NULL},
		{",\"remember\":\"8h\"", "8h", NULL},
		{",\"remember\":\"90m\",\"scope\":\"source\"", "1h30m", "source"},
		{",\"scope\":\"flow\"", "-", "flow"},
		{",\"remember\":false", "", NULL},
		{",\"remember\":\"365d\"", "365d", NULL},
		{",\"remember\":\"1s\"", "1s", NULL},
		/* What is wrong holds for this one alone. */
		{",\"remember\":true", "", NULL},
		{",\"remember\":3600", "", NULL},
		{",\"remember\":\"\"", "", NULL},
		{",\"remember\":\"0s\"", "", NULL},
		{",\"remember\":\"999ms\"", "", NULL},
		{",\"remember\":\"366d\"", "", NULL},
		{",\"remember\":\"8 hours\"", "", NULL},
		{",\"remember\":\"8h\",\"scope\":\"world\"", "", NULL},
		{",\"scope\":\"world\"", "", NULL},
		{",\"scope\":7", "", NULL},
	};
	char body[256];

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct http_answer a;

		snprintf(body, sizeof(body), "{\"verdict\":\"permit\"%s}", all[i].keys);
		a = read_one(200, body);
		ck_assert_int_eq(a.answer, PEND_CLIENT_ANSWER_PERMIT);
		ck_assert_msg(!strcmp(a.told ? a.remember : "-", all[i].remember), "%s: %s", body,
			      a.remember);
		ck_assert_pstr_eq(a.scope, all[i].scope);
	}
	/* No opinion is not remembered, and neither is an error. */
	ck_assert(!read_one(200, "{\"verdict\":\"error\",\"remember\":\"8h\"}").told);
	ck_assert(!read_one(204, "").told);
}
END_TEST

static struct curl_slist *list;
static struct err e;

static void forget(void)
{
	curl_slist_free_all(list);
	list = NULL;
}

START_TEST(headers)
{
	static const char *const wrong[] = {"",       ":",          "x",       "X y: z", "X\n: y",
					    "X: y\n", "X: y\rZ: a", "X: \x7f", " X: y"};

	ck_assert_int_eq(http_headers_add(&list, "X-Box: a: b", &e), 0);
	ck_assert_int_eq(http_headers_add(&list, "X-Empty:  ", &e), 0);
	ck_assert_str_eq(list->data, "X-Box: a: b");
	ck_assert_str_eq(list->next->data, "X-Empty;");
	ck_assert_ptr_null(list->next->next);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		ck_assert_msg(http_headers_add(&list, wrong[i], &e) == -EINVAL, "%s", wrong[i]);
	forget();
}
END_TEST

static int parse(const char *text)
{
	return http_headers_parse(&list, text, strlen(text), "/f", &e);
}

START_TEST(header_lines)
{
	char many[1024] = "";

	ck_assert_int_eq(parse("# a comment\n\nA: 1\r\n  B: 2  \n\t# C: 3\nD: 4"), 0);
	ck_assert_str_eq(list->data, "A: 1");
	ck_assert_str_eq(list->next->data, "B: 2");
	ck_assert_str_eq(list->next->next->data, "D: 4");
	ck_assert_ptr_null(list->next->next->next);
	forget();
	/* Where it is wrong is told, and not the secret. */
	ck_assert_int_eq(parse("A: 1\n\nsecret"), -EINVAL);
	ck_assert_str_eq(e.text, "/f:3: expected a header like \"Name: value\"");
	ck_assert_int_eq(http_headers_parse(&list, "A: \0b", 5, "/f", &e), -EINVAL);
	forget();
	for (int i = 0; i <= HTTP_HEADERS_MAX; i++)
		strcat(many, "A: 1\n");
	ck_assert_int_eq(parse(many), -E2BIG);
	forget();
}
END_TEST

START_TEST(header_file)
{
	char path[] = "/tmp/pend-test-headers-XXXXXX";
	int fd = mkstemp(path), r;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, "Authorization: Bearer x\n", 24), 24);
	ck_assert_int_eq(http_headers_load(&list, path, &e), 0);
	ck_assert_str_eq(list->data, "Authorization: Bearer x");
	forget();
	fchmod(fd, 0640);
	ck_assert_int_eq(http_headers_load(&list, path, &e), 0);
	forget();
	for (unsigned bit = 1; bit < 0100; bit <<= 1) {
		fchmod(fd, 0400 | bit);
		r = http_headers_load(&list, path, &e);
		/* The group may read it (or run it, for what that is worth); others may nothing. */
		ck_assert_int_eq(r, bit & 0050 ? 0 : -EPERM);
		forget();
	}
	fchmod(fd, 0600);
	ck_assert_int_eq(ftruncate(fd, HTTP_FILE_MAX + 1), 0);
	ck_assert_int_eq(http_headers_load(&list, path, &e), -EFBIG);
	unlink(path);
	close(fd);
	ck_assert_int_eq(http_headers_load(&list, path, &e), -ENOENT);
	ck_assert_int_eq(http_headers_load(&list, "/tmp", &e), -EINVAL);
}
END_TEST

Suite *suite(void)
{
	Suite *s = suite_create("http");
	TCase *t = tcase_create("http");

	tcase_add_test(t, statuses);
	tcase_add_test(t, verdicts);
	tcase_add_test(t, no_verdict);
	tcase_add_test(t, long_why);
	tcase_add_test(t, memory);
	tcase_add_test(t, headers);
	tcase_add_test(t, header_lines);
	tcase_add_test(t, header_file);
	suite_add_tcase(s, t);
	return s;
}
