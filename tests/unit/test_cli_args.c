/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pendctl's options, exit codes without a daemon, and what it does to text before a terminal gets it. */
#include "unit.h"
#include "cli/cli.h"
#include <string.h>
#include <unistd.h>

#define MAX 16

struct result {
	struct cli cli;
	bool all;
	const char *name;
	uint32_t port;
	int argc;
	char *argv[MAX];
	char words[256];
};

static struct result parse(const char *line, bool first)
{
	static struct result r;
	const struct cli_opt opts[] = {
		{"all", 'a', CLI_FLAG, &r.all},
		{"name", 'n', CLI_TEXT, &r.name},
		{"port", 'p', CLI_NUMBER, &r.port},
	};
	char *save = NULL;

	memset(&r, 0, sizeof(r));
	r.cli.color = "auto";
	snprintf(r.words, sizeof(r.words), "%s", line);
	for (char *w = strtok_r(r.words, " ", &save); w; w = strtok_r(NULL, " ", &save))
		r.argv[r.argc++] = w;
	r.argc = cli_parse(&r.cli, opts, 3, first, r.argc, r.argv);
	return r;
}

START_TEST(options_anywhere)
{
	struct result r = parse("x one -ap22 --name=n --json two", false);

	ck_assert_int_eq(r.argc, 3);
	ck_assert_str_eq(r.argv[1], "one");
	ck_assert_str_eq(r.argv[2], "two");
	ck_assert(r.all && r.port == 22 && r.cli.json);
	ck_assert_str_eq(r.name, "n");
	ck_assert_ptr_eq(r.cli.out.ops, &out_json);
}
END_TEST

START_TEST(end_of_options_and_stop_at_the_first_operand)
{
	struct result r = parse("x -a -- --name -p", false);

	ck_assert(r.all && r.argc == 3);
	ck_assert_str_eq(r.argv[1], "--name");
	r = parse("x --json status --all -s", true);
	ck_assert(r.cli.json && !r.all && r.argc == 4);
	ck_assert_str_eq(r.argv[3], "-s");
	r = parse("x -", false);
	ck_assert_int_eq(r.argc, 2);
}
END_TEST

static const char *const wrong[] = {
	"x --nonsense", "x -z",           "x --port",     "x -p",
	"x --port x",   "x --port -1",    "x --port 22x", "x --port 4294967296",
	"x --all=1",    "x --color=blue", "x --",         "x -ap",
};

START_TEST(wrong_options)
{
	struct result r = parse(wrong[_i], false);

	/* "x --" is right */
	ck_assert_int_eq(r.argc, strcmp(wrong[_i], "x --") ? -1 : 1);
}
END_TEST

static const struct {
	const char *line;
	int exit;
} codes[] = {
	{"pendctl", CLI_USAGE},
	{"pendctl nonsense", CLI_USAGE},
	{"pendctl --nonsense", CLI_USAGE},
	{"pendctl help", CLI_OK},
	{"pendctl help block", CLI_OK},
	{"pendctl help nonsense", CLI_USAGE},
	{"pendctl block --help", CLI_OK},
	{"pendctl --version", CLI_OK},
	{"pendctl -s /nonexistent/x status", CLI_NOT_RUNNING},
	{"pendctl -s /nonexistent/x status extra", CLI_USAGE},
	{"pendctl -s /nonexistent/x pending --port 22", CLI_NOT_RUNNING},
	{"pendctl -s /nonexistent/x pending extra", CLI_USAGE},
	{"pendctl -s /nonexistent/x permit a0.1", CLI_NOT_RUNNING},
	{"pendctl -s /nonexistent/x permit 203.0.113.7", CLI_NOT_RUNNING},
	{"pendctl -s /nonexistent/x permit", CLI_USAGE},
	{"pendctl -s /nonexistent/x permit a0.1 --all", CLI_USAGE},
	{"pendctl -s /nonexistent/x permit a0.1 --port 22", CLI_USAGE},
	{"pendctl -s /nonexistent/x block a0.1 --reset --drop", CLI_USAGE},
	{"pendctl -s /nonexistent/x permit a0.1 --once --for 1h", CLI_USAGE},
	{"pendctl -s /nonexistent/x permit a0.1 --for 1h --scope source --why x", CLI_NOT_RUNNING},
	{"pendctl -s /nonexistent/x history extra", CLI_USAGE},
	{"pendctl -s /nonexistent/x history --since 2h -n 5", CLI_NOT_RUNNING},
	{"pendctl -s /nonexistent/x decisions import", CLI_USAGE},
	{"pendctl -s /nonexistent/x decisions import a b", CLI_USAGE},
	{"pendctl -s /nonexistent/x decisions import /dev/null --format csv", CLI_USAGE},
	{"pendctl -s /nonexistent/x decisions import /nonexistent/list", CLI_FAILURE},
	{"pendctl -s /nonexistent/x decisions import tests/banlists/plain.txt --format crowdsec",
	 CLI_USAGE},
	{"pendctl -s /nonexistent/x decisions import tests/banlists/plain.txt", CLI_NOT_RUNNING},
	{"pendctl -s /nonexistent/x events -n x", CLI_USAGE},
	{"pendctl -s /nonexistent/x reload", CLI_NOT_RUNNING},
	{"pendctl -s /nonexistent/x hookup", CLI_USAGE},
	{"pendctl -s /nonexistent/x hookup burn", CLI_USAGE},
	{"pendctl -s /nonexistent/x hookup verify", CLI_NOT_RUNNING},
	{"pendctl -s /nonexistent/x stop", CLI_NOT_RUNNING},
	{"pendctl -s /nonexistent/x rules --json", CLI_NOT_RUNNING},
	{"pendctl -s /nonexistent/x authorities now", CLI_USAGE},
	{"pendctl check a b", CLI_USAGE},
	{"pendctl -s /nonexistent/x permit zz", CLI_USAGE},
	{"pendctl -s /nonexistent/x permit a0", CLI_USAGE},
	{"pendctl -s /nonexistent/x permit a0.1 a0.1x", CLI_USAGE},
	{"pendctl -s /nonexistent/x permit 203.0.113.300", CLI_USAGE},
	{"pendctl -s /nonexistent/x permit 203.0.113.0/33", CLI_USAGE},
	{"pendctl -s /nonexistent/x permit 203.0.113.0/", CLI_USAGE},
	{"pendctl -s /nonexistent/x permit 2001:db8::/129", CLI_USAGE},
	{"pendctl -s /nonexistent/x permit fe80::/10", CLI_NOT_RUNNING},
	{"pendctl -s /nonexistent/x block --all --port 22", CLI_USAGE},
	{"pendctl -s /nonexistent/x test", CLI_USAGE},
	{"pendctl -s /nonexistent/x test tcp 203.0.113.7:1", CLI_USAGE},
	{"pendctl -s /nonexistent/x test tcp 203.0.113.7:1 > 192.0.2.1:22", CLI_NOT_RUNNING},
	{"pendctl -s /nonexistent/x test tcp 203.0.113.7:1 > 192.0.2.1:22 in", CLI_USAGE},
	{"pendctl -s /nonexistent/x test a > b in eth0 --mark 0x7 -q", CLI_NOT_RUNNING},
	{"pendctl -s /nonexistent/x test a > b --mark x", CLI_USAGE},
	{"pendctl -s /nonexistent/x test a > b --mark 0x100000000", CLI_USAGE},
	{"pendctl -s /nonexistent/x show", CLI_USAGE},
	{"pendctl -s /nonexistent/x show rules", CLI_USAGE},
	{"pendctl -s /nonexistent/x show policy", CLI_NOT_RUNNING},
	{"pendctl -s /nonexistent/x metrics", CLI_NOT_RUNNING},
	{"pendctl -s /nonexistent/x metrics now", CLI_USAGE},
	{"pendctl -s /nonexistent/x reload --dry-run", CLI_NOT_RUNNING},
	{"pendctl -s /nonexistent/x reload now", CLI_USAGE},
	{"pendctl -s /nonexistent/x policy", CLI_USAGE},
	{"pendctl -s /nonexistent/x policy burn", CLI_USAGE},
	{"pendctl -s /nonexistent/x policy add", CLI_USAGE},
	{"pendctl -s /nonexistent/x policy add permit", CLI_NOT_RUNNING},
	{"pendctl -s /nonexistent/x policy add permit --for 1h --until 18:00", CLI_USAGE},
	{"pendctl -s /nonexistent/x policy delete", CLI_USAGE},
	{"pendctl -s /nonexistent/x policy delete 17 x", CLI_USAGE},
	{"pendctl -s /nonexistent/x policy delete 4294967296", CLI_USAGE},
	{"pendctl -s /nonexistent/x policy delete 17 --last", CLI_USAGE},
	{"pendctl -s /nonexistent/x policy delete 17 --session", CLI_USAGE},
	{"pendctl -s /nonexistent/x policy delete 17 18", CLI_NOT_RUNNING},
	{"pendctl -s /nonexistent/x policy replace 17", CLI_USAGE},
	{"pendctl -s /nonexistent/x policy replace x permit", CLI_USAGE},
	{"pendctl -s /nonexistent/x policy replace 17 permit", CLI_NOT_RUNNING},
	{"pendctl -s /nonexistent/x policy list", CLI_NOT_RUNNING},
	{"pendctl -s /nonexistent/x policy list all", CLI_USAGE},
	{"pendctl -s /nonexistent/x policy list --why not", CLI_USAGE},
	{"pendctl -s /nonexistent/x policy apply", CLI_USAGE},
	{"pendctl -s /nonexistent/x policy apply /nonexistent/file", CLI_FAILURE},
	{"pendctl -s /nonexistent/x set", CLI_USAGE},
	{"pendctl -s /nonexistent/x set burn s", CLI_USAGE},
	{"pendctl -s /nonexistent/x set list", CLI_NOT_RUNNING},
	{"pendctl -s /nonexistent/x set list s", CLI_NOT_RUNNING},
	{"pendctl -s /nonexistent/x set list s t", CLI_USAGE},
	{"pendctl -s /nonexistent/x set list --for 1h", CLI_USAGE},
	{"pendctl -s /nonexistent/x set add s", CLI_USAGE},
	{"pendctl -s /nonexistent/x set add s 10.0.0.1 10.0.0.2", CLI_NOT_RUNNING},
	{"pendctl -s /nonexistent/x set flush", CLI_USAGE},
	{"pendctl -s /nonexistent/x set flush s --for 1h", CLI_USAGE},
	{"pendctl -s /nonexistent/x set delete s 10.0.0.1 --session", CLI_USAGE},
	{"pendctl -s /nonexistent/x set delete s 10.0.0.1 --why w", CLI_NOT_RUNNING},
	{"pendctl -s /nonexistent/x set flush s now", CLI_USAGE},
	{"pendctl -s /nonexistent/x set load s", CLI_USAGE},
	{"pendctl -s /nonexistent/x set load s /nonexistent/file", CLI_FAILURE},
	{"pendctl -s /nonexistent/x set load s /dev/null", CLI_NOT_RUNNING},
	{"pendctl -s /nonexistent/x set test s", CLI_USAGE},
	{"pendctl -s /nonexistent/x set test s 10.0.0.1", CLI_NOT_RUNNING},
	{"pendctl -s /nonexistent/x reauthorize --dry-run", CLI_NOT_RUNNING},
	{"pendctl -s /nonexistent/x reauthorize now", CLI_USAGE},
	{"pendctl -s /nonexistent/x reauthorize --port x", CLI_USAGE},
	{"pendctl -s /nonexistent/x journal -n 5", CLI_NOT_RUNNING},
	{"pendctl -s /nonexistent/x journal 5", CLI_USAGE},
};

START_TEST(exit_codes)
{
	char words[128], *argv[MAX], *save = NULL;
	int argc = 0;

	ck_assert_ptr_nonnull(freopen("/dev/null", "w", stdout));
	snprintf(words, sizeof(words), "%s", codes[_i].line);
	for (char *w = strtok_r(words, " ", &save); w; w = strtok_r(NULL, " ", &save))
		argv[argc++] = w;
	argv[argc] = NULL;
	ck_assert_int_eq(cli_main(argc, argv), codes[_i].exit);
}
END_TEST

START_TEST(text_for_terminals)
{
	char s[] = "a\033[2J\nb\x7f\xc2\x9b"
		   "c\xe2\x80\xae"
		   "d\xff\xc3\xa4\xf0\x9f\x98\x80\xe2";

	out_clean(s);
	ck_assert_str_eq(s, "a?[2J?b??c?d?\xc3\xa4\xf0\x9f\x98\x80?");
}
END_TEST

START_TEST(ages_and_sizes)
{
	static const struct {
		long long v;
		const char *age, *size;
	} table[] = {
		{0, "0.0s", "0B"},          {9999, "9.9s", "9.8k"},      {59999, "59s", "59k"},
		{61000, "1m01s", "60k"},    {3599999, "59m59s", "3.4M"}, {7500000, "2h05m", "7.2M"},
		{90000000, "1d01h", "86M"},
	};
	char cell[OUT_CELL];

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		out_age(table[i].v, cell);
		ck_assert_str_eq(cell, table[i].age);
		out_size(table[i].v, cell);
		ck_assert_str_eq(cell, table[i].size);
	}
}
END_TEST

static void put_name(const json_t *v, char cell[OUT_CELL])
{
	snprintf(cell, OUT_CELL, "%s", out_get(v, "name"));
}

static void put_long(const json_t *v, char cell[OUT_CELL])
{
	snprintf(cell, OUT_CELL, "%.*s", (int)out_int(v, "len"), "0123456789012345678901234567890");
}

/* However long the cells, and however many rows: each column begins in one place. */
START_TEST(columns_do_not_run_together)
{
	static const struct out_column columns[] = {
		{"NAME", -5, put_name}, {"LONG", -6, put_long}, {"AGAIN", 3, put_long}};
	static const struct out_list list = {"x", "None.", columns, 3};
	struct out o = {.ops = &out_text, .headers = true};
	char line[200];
	int at = -1, n = 0;

	ck_assert_ptr_nonnull(freopen("/tmp/pend-test-columns", "w+", stdout));
	o.ops->list_begin(&o, &list);
	for (int i = 0; i < OUT_KEPT + 7; i++) {
		json_t *row = json_pack("{s:s,s:i}", "name", i % 2 ? "a" : "abcdefgh", "len",
					1 + i % 28);

		o.ops->list_row(&o, row);
		json_decref(row);
	}
	o.ops->list_end(&o, true);
	rewind(stdout);
	while (fgets(line, sizeof(line), stdout)) {
		const char *p = strpbrk(line, "0L");

		ck_assert_ptr_nonnull(p);
		ck_assert_int_eq(p[-1], ' ');
		ck_assert(at < 0 || p - line == at);
		at = (int)(p - line);
		n++;
	}
	ck_assert_int_eq(n, OUT_KEPT + 8);
	unlink("/tmp/pend-test-columns");
}
END_TEST

Suite *suite(void)
{
	Suite *s = suite_create("cli_args");
	TCase *t = tcase_create("cli_args");

	tcase_add_test(t, options_anywhere);
	tcase_add_test(t, end_of_options_and_stop_at_the_first_operand);
	tcase_add_loop_test(t, wrong_options, 0, sizeof(wrong) / sizeof(wrong[0]));
	tcase_add_loop_test(t, exit_codes, 0, sizeof(codes) / sizeof(codes[0]));
	tcase_add_test(t, text_for_terminals);
	tcase_add_test(t, ages_and_sizes);
	tcase_add_test(t, columns_do_not_run_together);
	suite_add_tcase(s, t);
	return s;
}
