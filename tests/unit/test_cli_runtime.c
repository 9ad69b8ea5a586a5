/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pendctl's changes of a running policy against a scripted server: what it asks for, prints and ends with. */
#include "unit.h"
#include "cli/cli.h"
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define HELLO    "{\"pend\":{\"version\":\"0.1.0\",\"protocol\":1,\"role\":\"admin\"}}\n"
#define REQUESTS 40
#define WORDS    16

enum after { HANG_UP, STAY, SIGNAL };

static struct {
	char dir[40], sock[80], file[80], out[80], err[80];
	int listen_fd;
	pthread_t thread, main;
	/* the script: what follows "id":N in each reply; the last stands for all that follow */
	const char *const *replies;
	size_t nreplies;
	enum after after;
	/* what came */
	json_t *requests[REQUESTS];
	size_t n, longest;
	char output[4096], errors[4096];
} t;

static void setup(void)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};

	memset(&t, 0, sizeof(t));
	strcpy(t.dir, "/tmp/pend-cli-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(t.dir));
	snprintf(t.sock, sizeof(t.sock), "%s/s", t.dir);
	snprintf(t.file, sizeof(t.file), "%s/file", t.dir);
	snprintf(t.out, sizeof(t.out), "%s/out", t.dir);
	snprintf(t.err, sizeof(t.err), "%s/err", t.dir);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", t.sock);
	t.listen_fd = socket(AF_UNIX, SOCK_STREAM, 0);
	ck_assert_int_eq(bind(t.listen_fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	ck_assert_int_eq(listen(t.listen_fd, 4), 0);
	t.main = pthread_self();
}

static void teardown(void)
{
	for (size_t i = 0; i < t.n; i++)
		json_decref(t.requests[i]);
	close(t.listen_fd);
	unlink(t.sock);
	unlink(t.file);
	unlink(t.out);
	unlink(t.err);
	rmdir(t.dir);
}

static void answer(int fd, const char *line)
{
	json_t *v = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
	const char *text = t.replies[t.n < t.nreplies ? t.n : t.nreplies - 1];

	if (strlen(line) > t.longest)
		t.longest = strlen(line);
	if (t.n < REQUESTS)
		t.requests[t.n] = v;
	t.n++;
	dprintf(fd, "{\"id\":%lld,%s}\n", out_int(v, "id"), text);
}

static void *serve(void *arg)
{
	int fd = accept(t.listen_fd, NULL, NULL);
	FILE *f = fdopen(fd, "r");
	char *line = NULL;
	size_t cap = 0;
	struct sigaction before; /* the test runner's own */
	sigset_t all;

	(void)arg;
	sigaction(SIGTERM, NULL, &before);
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, NULL);
	dprintf(fd, HELLO);
	while (getline(&line, &cap, f) >= 0) {
		answer(fd, line);
		if (t.after == HANG_UP && t.n == t.nreplies)
			break;
		/* it is ready once it catches the signal; before, that would end the test */
		while (t.after == SIGNAL) {
			struct sigaction sa;

			usleep(1000);
			sigaction(SIGTERM, NULL, &sa);
			if (sa.sa_handler == before.sa_handler)
				continue;
			pthread_kill(t.main, SIGTERM);
			break;
		}
	}
	free(line);
	fclose(f);
	return NULL;
}

static void read_back(const char *path, char *text, size_t size)
{
	FILE *f = fopen(path, "r");

	text[fread(text, 1, size - 1, f)] = '\0';
	fclose(f);
}

/* Run a command; words are separated by '|'. Its exit status. */
static int run(const char *words, enum after after, const char *const *replies, size_t n)
{
	char copy[1024], socket_opt[] = "-s", name[] = "pendctl";
	char *argv[WORDS] = {name, socket_opt, t.sock}, *save = NULL;
	int argc = 3, r;

	t.after = after;
	t.replies = replies;
	t.nreplies = n;
	ck_assert_int_eq(pthread_create(&t.thread, NULL, serve, NULL), 0);
	snprintf(copy, sizeof(copy), "%s", words);
	for (char *w = strtok_r(copy, "|", &save); w; w = strtok_r(NULL, "|", &save))
		argv[argc++] = w;
	ck_assert_ptr_nonnull(freopen(t.out, "w", stdout));
	ck_assert_ptr_nonnull(freopen(t.err, "w", stderr));
	r = cli_main(argc, argv);
	fflush(stdout);
	fflush(stderr);
	pthread_join(t.thread, NULL);
	read_back(t.out, t.output, sizeof(t.output));
	read_back(t.err, t.errors, sizeof(t.errors));
	return r;
}

#define RUN(words, after, ...)                                \
	run(words, after, (const char *const[]){__VA_ARGS__}, \
	    sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static void write_file(const char *text)
{
	FILE *f = fopen(t.file, "w");

	fputs(text, f);
	fclose(f);
}

/* With t.file as the last word. */
static int run_file(const char *words, const char *const *replies, size_t n)
{
	char all[200];

	snprintf(all, sizeof(all), "%s|%s", words, t.file);
	return run(all, STAY, replies, n);
}

#define RUN_FILE(words, ...)                                \
	run_file(words, (const char *const[]){__VA_ARGS__}, \
		 sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

/* The i-th request, without its number. */
static void asked(size_t i, const char *json)
{
	json_t *want = json_loads(json, 0, NULL);
	char *text;

	ck_assert_msg(want != NULL, "wrong in the test: %s", json);
	ck_assert_uint_lt(i, t.n);
	json_object_del(t.requests[i], "id");
	text = json_dumps(t.requests[i], JSON_SORT_KEYS);
	ck_assert_msg(json_equal(want, t.requests[i]), "asked: %s\nwant: %s", text, json);
	free(text);
	json_decref(want);
}

#define IN_FORCE                                                                    \
	"\"ok\":true,\"result\":{\"objects\":[17],\"generation\":5,\"revision\":0," \
	"\"diagnostics\":[],\"errors\":0,\"warnings\":0}"
#define ERROR(code, text) "\"ok\":false,\"error\":{\"code\":\"" code "\",\"message\":\"" text "\"}"

START_TEST(add_a_rule)
{
	ck_assert_int_eq(
		RUN("policy|add|permit|proto tcp|to port 22|--why|ticket 4711", STAY, IN_FORCE),
		CLI_OK);
	asked(0, "{\"op\":\"policy\",\"changes\":[{\"add\":\"permit proto tcp to port 22\"}],"
		 "\"why\":\"ticket 4711\",\"stay\":true}");
	ck_assert_str_eq(t.output, "Object 17: policy 5 is in force.\n");
	ck_assert_str_eq(t.errors, "");
}
END_TEST

START_TEST(add_with_options)
{
	ck_assert_int_eq(
		RUN("policy|add|--layer|guard|--last|--for|1h|--json|block", STAY, IN_FORCE),
		CLI_OK);
	asked(0, "{\"op\":\"policy\",\"changes\":[{\"add\":\"block\",\"layer\":\"guard\","
		 "\"at\":\"last\"}],\"for\":\"1h\",\"stay\":true}");
	ck_assert_ptr_nonnull(strstr(t.output, "\"generation\": 5"));
}
END_TEST

/* A time of day is the next one. */
START_TEST(until_a_time_of_day)
{
	time_t soon = time(NULL) + 300, late = soon - 600;
	char words[100], want[200], hour[8], day[32];
	struct tm tm;
	bool later = _i;

	localtime_r(later ? &late : &soon, &tm);
	strftime(hour, sizeof(hour), "%H:%M", &tm);
	tm.tm_mday += later;
	tm.tm_isdst = -1;
	mktime(&tm);
	strftime(day, sizeof(day), "%Y-%m-%d %H:%M", &tm);
	snprintf(words, sizeof(words), "policy|add|permit|--until|%s", hour);
	snprintf(
		want, sizeof(want),
		"{\"op\":\"policy\",\"changes\":[{\"add\":\"permit\"}],\"until\":\"%s\",\"stay\":true}",
		day);
	ck_assert_int_eq(RUN(words, STAY, IN_FORCE), CLI_OK);
	asked(0, want);
}
END_TEST

START_TEST(delete_and_replace)
{
	ck_assert_int_eq(RUN("policy|delete|17|18|-w|done", STAY, IN_FORCE), CLI_OK);
	asked(0,
	      "{\"op\":\"policy\",\"changes\":[{\"delete\":17},{\"delete\":18}],\"why\":\"done\","
	      "\"stay\":true}");
}
END_TEST

START_TEST(replace_until)
{
	ck_assert_int_eq(RUN("policy|replace|18|block from|203.0.113.9|--until|2026-12-24 18:00",
			     STAY, ERROR("not-found", "there is no object 18")),
			 CLI_NOT_FOUND);
	asked(0,
	      "{\"op\":\"policy\",\"changes\":[{\"replace\":18,\"with\":\"block from 203.0.113.9\"}],"
	      "\"until\":\"2026-12-24 18:00\",\"stay\":true}");
	ck_assert_str_eq(t.errors, "pendctl: there is no object 18\n");
}
END_TEST

START_TEST(diagnostics_are_printed_as_they_come)
{
	ck_assert_int_eq(
		RUN("policy|add|permt", STAY,
		    ERROR("policy",
			  "1 error in the changes") ",\"result\":{\"diagnostics\":[\"change 1:1: error: unknown\","
						    "\"permt\",\"^~~~~\"],\"errors\":1,\"warnings\":0}"),
		CLI_POLICY);
	ck_assert_str_eq(t.output, "change 1:1: error: unknown\npermt\n^~~~~\n");
	ck_assert_str_eq(t.errors, "pendctl: 1 error in the changes\n");
}
END_TEST

START_TEST(apply_a_file)
{
	write_file("# tonight\n\n add --last --layer guard permit from 203.0.113.7 # him\r\n"
		   "delete 3 4\n\treplace 5 block executable \"/opt/a#b\"\nadd --layer=x log");
	ck_assert_int_eq(RUN_FILE("policy|apply", IN_FORCE), CLI_OK);
	asked(0, "{\"op\":\"policy\",\"changes\":["
		 "{\"add\":\"permit from 203.0.113.7\",\"layer\":\"guard\",\"at\":\"last\"},"
		 "{\"delete\":3},{\"delete\":4},"
		 "{\"replace\":5,\"with\":\"block executable \\\"/opt/a#b\\\"\"},"
		 "{\"add\":\"log\",\"layer\":\"x\"}],\"stay\":true}");
}
END_TEST

START_TEST(apply_names_the_line_of_a_diagnostic)
{
	char want[200];

	write_file("delete 1\n\nadd permt\n");
	ck_assert_int_eq(
		RUN_FILE(
			"policy|apply",
			ERROR("policy",
			      "1 error") ",\"result\":{\"diagnostics\":[\"change 2:1: error: unknown\"]}"),
		CLI_POLICY);
	snprintf(want, sizeof(want), "pendctl: 1 error\npendctl: change 2 is %s:3\n", t.file);
	ck_assert_str_eq(t.errors, want);
}
END_TEST

static const struct {
	const char *text, *said;
} wrong_files[] = {
	{"add permit\nadd\n", ":2: which rule?"},
	{"remove 3\n", ":1: a line is: add RULE"},
	{"delete\n", ":1: which object?"},
	{"delete 3 x\n", ":1: delete takes numbers"},
	{"replace 3\n", ":1: replace takes the number"},
	{"add --first permit\n", ":1: the options are"},
	{"add \xff\n", ":1: not UTF-8"},
	{"# nothing\n", "there is no change in it"},
};

/* Without a server: it must not get so far. */
static int apply_alone(void)
{
	char name[] = "pendctl", policy[] = "policy", apply[] = "apply";
	char *argv[] = {name, policy, apply, t.file, NULL};
	int r;

	ck_assert_ptr_nonnull(freopen(t.err, "w", stderr));
	r = cli_main(4, argv);
	fflush(stderr);
	read_back(t.err, t.errors, sizeof(t.errors));
	return r;
}

START_TEST(wrong_file)
{
	int r;

	write_file(wrong_files[_i].text);
	r = apply_alone();
	ck_assert_int_ne(r, CLI_OK);
	ck_assert_int_ne(r, CLI_NOT_RUNNING);
	ck_assert_msg(strstr(t.errors, wrong_files[_i].said) != NULL, "said: %s", t.errors);
}
END_TEST

START_TEST(apply_bounds_the_request)
{
	FILE *f = fopen(t.file, "w");

	for (int i = 0; i < 3000; i++)
		fprintf(f, "add permit from 203.0.113.7\n");
	fclose(f);
	ck_assert_int_eq(apply_alone(), CLI_FAILURE);
	ck_assert_ptr_nonnull(strstr(t.errors, "is the most"));
}
END_TEST

START_TEST(list_of_objects)
{
	ck_assert_int_eq(
		RUN("policy|list", STAY,
		    "\"more\":true,\"result\":{\"objects\":[{\"object\":17,\"layer\":\"default\",\"at\":\"first\","
		    "\"text\":\"permit\",\"stay\":false,\"user\":\"root\",\"uid\":0,\"why\":\"w\",\"until\":null}]}}\n"
		    "{\"id\":1,\"ok\":true,\"result\":{\"objects\":[{\"object\":18,\"layer\":\"default\",\"at\":"
		    "\"last\",\"text\":\"block\",\"stay\":true,\"user\":null,\"uid\":7,\"why\":null,"
		    "\"until\":\"2026-12-24T17:00:00.000Z\"}],\"sets\":[{\"set\":\"s\",\"added\":3,\"removed\":1,"
		    "\"replaced\":false}],\"count\":2}"),
		CLI_OK);
	asked(0, "{\"op\":\"objects\"}");
	ck_assert_str_eq(t.output, "OBJECT LAYER    AT    BY       UNTIL (UTC)         RULE\n"
				   "    17 default  first root     session             permit # w\n"
				   "    18 default  last  7        2026-12-24T17:00:00 block\n"
				   "Set s: 3 added, 1 taken out\n");
}
END_TEST

START_TEST(session_ends_by_a_signal)
{
	ck_assert_int_eq(RUN("policy|add|--session|permit", SIGNAL, IN_FORCE), CLI_OK);
	asked(0, "{\"op\":\"policy\",\"changes\":[{\"add\":\"permit\"}],\"stay\":false}");
	ck_assert_str_eq(t.errors, "");
}
END_TEST

START_TEST(session_ends_with_the_daemon)
{
	ck_assert_int_eq(RUN("set|add|s|203.0.113.7|--session|--for|1h", HANG_UP,
			     "\"ok\":true,\"result\":{\"added\":1,\"removed\":0,\"elements\":4,"
			     "\"generation\":5,\"revision\":3}"),
			 CLI_FAILURE);
	asked(0, "{\"op\":\"set\",\"set\":\"s\",\"action\":\"add\",\"elements\":[\"203.0.113.7\"],"
		 "\"stay\":false,\"for\":\"1h\"}");
	ck_assert_str_eq(t.output,
			 "1 added, 0 taken out: the set has 4 elements, policy 5.3 is in force.\n");
	ck_assert_str_eq(t.errors,
			 "pendctl: pendd closed the connection: what this session changed "
			 "has gone with it\n");
}
END_TEST

/* ------------------------------------------------------------------------- sets ---- */

#define LOADED                                                                         \
	"\"ok\":true,\"result\":{\"added\":2,\"removed\":0,\"elements\":2,\"held\":7," \
	"\"generation\":5,\"revision\":0}"

START_TEST(load_a_file)
{
	write_file("# list\n10.0.0.0/8 # ours\n\n\t10.1.0.1-10.1.0.9\r\n");
	ck_assert_int_eq(RUN_FILE("set|load|s", LOADED), CLI_OK);
	asked(0, "{\"op\":\"set\",\"set\":\"s\",\"action\":\"load\",\"elements\":[\"10.0.0.0/8\","
		 "\"10.1.0.1-10.1.0.9\"],\"stay\":true}");
}
END_TEST

START_TEST(load_behind_a_byte_order_mark)
{
	write_file("\xef\xbb\xbf"
		   "10.0.0.1\n");
	ck_assert_int_eq(RUN_FILE("set|load|s", LOADED), CLI_OK);
	asked(0, "{\"op\":\"set\",\"set\":\"s\",\"action\":\"load\",\"elements\":[\"10.0.0.1\"],"
		 "\"stay\":true}");
}
END_TEST

START_TEST(load_nothing)
{
	write_file("# list\n");
	ck_assert_int_eq(RUN_FILE("set|load|s", LOADED), CLI_OK);
	asked(0,
	      "{\"op\":\"set\",\"set\":\"s\",\"action\":\"load\",\"elements\":[],\"stay\":true}");
}
END_TEST

/* All elements arrive, in order, in parts below the bound, only the last of which has no "part". */
START_TEST(load_in_parts)
{
	FILE *f = fopen(t.file, "w");
	int n = 0;

	for (int i = 0; i < 20000; i++)
		fprintf(f, "10.%d.%d.0/24\n", i / 256, i % 256);
	fclose(f);
	ck_assert_int_eq(RUN_FILE("set|load|s", LOADED), CLI_OK);
	ck_assert_uint_ge(t.n, 4);
	ck_assert_uint_lt(t.n, REQUESTS);
	ck_assert_uint_le(t.longest, 65536);
	ck_assert_uint_gt(t.longest, 60000);
	for (size_t i = 0; i < t.n; i++) {
		json_t *e;
		size_t k;

		ck_assert_int_eq(json_is_true(json_object_get(t.requests[i], "part")), i + 1 < t.n);
		json_array_foreach(json_object_get(t.requests[i], "elements"), k, e)
		{
			char want[40];

			snprintf(want, sizeof(want), "10.%d.%d.0/24", n / 256, n % 256);
			ck_assert_str_eq(json_string_value(e), want);
			n++;
		}
	}
	ck_assert_int_eq(n, 20000);
}
END_TEST

/* Characters that JSON writes longer count as long as they get. */
START_TEST(load_counts_escapes)
{
	FILE *f = fopen(t.file, "w");

	for (int i = 0; i < 2000; i++)
		fprintf(f, "\"\\\x01\x02\x03%0100d\n", i);
	fclose(f);
	ck_assert_int_eq(RUN_FILE("set|load|s", LOADED), CLI_OK);
	ck_assert_uint_le(t.longest, 65536);
	ck_assert_uint_gt(t.longest, 60000);
}
END_TEST

START_TEST(load_names_the_line)
{
	char want[200];

	write_file("10.0.0.0/8\n\nnonsense\n");
	ck_assert_int_eq(RUN_FILE("set|load|s", ERROR("invalid", "element 2: that is no address")),
			 CLI_USAGE);
	snprintf(want, sizeof(want),
		 "pendctl: element 2: that is no address\npendctl: element 2 is %s:3\n", t.file);
	ck_assert_str_eq(t.errors, want);
}
END_TEST

START_TEST(load_stops_at_the_first_error)
{
	FILE *f = fopen(t.file, "w");

	for (int i = 0; i < 20000; i++)
		fprintf(f, "10.%d.%d.0/24\n", i / 256, i % 256);
	fclose(f);
	ck_assert_int_eq(RUN_FILE("set|load|s", LOADED, ERROR("not-found", "there is no set s")),
			 CLI_NOT_FOUND);
	ck_assert_uint_eq(t.n, 2);
}
END_TEST

START_TEST(flush_and_delete)
{
	ck_assert_int_eq(RUN("set|flush|s|-w|over", STAY, LOADED), CLI_OK);
	asked(0,
	      "{\"op\":\"set\",\"set\":\"s\",\"action\":\"flush\",\"why\":\"over\",\"stay\":true}");
}
END_TEST

START_TEST(elements_as_a_file_of_them)
{
	ck_assert_int_eq(RUN("set|list|s", STAY,
			     "\"more\":true,\"result\":{\"elements\":[\"10.0.0.0/8\"]}}\n"
			     "{\"id\":1,\"ok\":true,\"result\":{\"elements\":[\"2001:db8::/32\"],"
			     "\"count\":2}"),
			 CLI_OK);
	asked(0, "{\"op\":\"set\",\"set\":\"s\",\"action\":\"list\"}");
	ck_assert_str_eq(t.output, "10.0.0.0/8\n2001:db8::/32\n");
}
END_TEST

START_TEST(elements_for_programs)
{
	ck_assert_int_eq(
		RUN("set|list|s|--json", STAY,
		    "\"ok\":true,\"result\":{\"elements\":[\"10.0.0.0/8\",\"::1\"],\"count\":2}"),
		CLI_OK);
	ck_assert_str_eq(t.output, "{\"elements\":[\n\"10.0.0.0/8\",\n\"::1\"]}\n");
}
END_TEST

START_TEST(all_sets)
{
	ck_assert_int_eq(
		RUN("set|list", STAY,
		    "\"ok\":true,\"result\":{\"sets\":[{\"set\":\"scanners\",\"elements\":3,"
		    "\"changed\":true}],\"count\":1}"),
		CLI_OK);
	asked(0, "{\"op\":\"sets\"}");
	ck_assert_str_eq(t.output,
			 "SET              ELEMENTS CHANGED\nscanners                3 yes\n");
}
END_TEST

static const struct {
	const char *reply, *said;
	int exit;
} tests_of_sets[] = {
	{"\"ok\":true,\"result\":{\"in\":true}", "10.1.2.3 is in s.\n", CLI_OK},
	{"\"ok\":true,\"result\":{\"in\":false}", "10.1.2.3 is not in s.\n", CLI_NOT_FOUND},
	{ERROR("not-found", "there is no set s"), "", CLI_NOT_FOUND},
};

START_TEST(is_it_in)
{
	ck_assert_int_eq(RUN("set|test|s|10.1.2.3", STAY, tests_of_sets[_i].reply),
			 tests_of_sets[_i].exit);
	asked(0, "{\"op\":\"set\",\"set\":\"s\",\"action\":\"test\",\"elements\":[\"10.1.2.3\"]}");
	ck_assert_str_eq(t.output, tests_of_sets[_i].said);
}
END_TEST

/* -------------------------------------------------------------- live flows, journal ---- */

#define LIVE                                                                                               \
	"{\"examined\":120,\"ended\":2,\"failed\":1,\"took_ms\":4,\"generation\":5,\"revision\":0,"        \
	"\"flows\":[{\"protocol\":\"tcp\",\"source\":\"203.0.113.7\",\"source_port\":4000,\"dest\":"       \
	"\"192.0.2.1\",\"dest_port\":22,\"rule\":2,\"file\":\"/etc/p\",\"line\":14,\"layer\":\"default\"," \
	"\"text\":\"block\"}],\"more\":1}"

START_TEST(reauthorize)
{
	ck_assert_int_eq(
		RUN("reauthorize|--from|203.0.113.0/24|--port|22|--protocol|tcp|--family|4", STAY,
		    "\"ok\":true,\"result\":" LIVE),
		CLI_OK);
	asked(0, "{\"op\":\"reauthorize\",\"match\":{\"source\":\"203.0.113.0/24\",\"port\":22,"
		 "\"protocol\":\"tcp\",\"family\":4}}");
	ck_assert_str_eq(t.output, "Of 120 live flows it has ended 2:\n"
				   "  tcp 203.0.113.7:4000 > 192.0.2.1:22 by /etc/p:14: block\n"
				   "  and 1 more\n"
				   "1 could not be ended: the daemon's log says why.\n");
}
END_TEST

START_TEST(reauthorize_dry)
{
	ck_assert_int_eq(RUN("reauthorize|-n", STAY,
			     "\"ok\":true,\"result\":{\"examined\":1,\"ended\":0,\"flows\":[]}"),
			 CLI_OK);
	asked(0, "{\"op\":\"reauthorize\",\"match\":{},\"dry_run\":true}");
	ck_assert_str_eq(t.output, "Of 1 live flow it would end 0.\n");
}
END_TEST

START_TEST(dry_reload_shows_live_flows)
{
	ck_assert_int_eq(
		RUN("reload|--dry-run", STAY,
		    "\"ok\":true,\"result\":{\"changed\":false,\"diagnostics\":[],\"examined\":0,"
		    "\"decided\":0,\"pending\":[],\"live\":" LIVE "}"),
		CLI_OK);
	ck_assert_ptr_nonnull(strstr(t.output, "Of 120 live flows it would end 2:\n  tcp "));
}
END_TEST

START_TEST(dry_reload_says_what_becomes_of_pended_ones)
{
	ck_assert_int_eq(
		RUN("reload|--dry-run", STAY,
		    "\"ok\":true,\"result\":{\"changed\":false,\"diagnostics\":[],\"examined\":3,"
		    "\"decided\":1,\"unsure\":1,\"pending\":[{\"id\":\"a0.1\",\"protocol\":\"tcp\","
		    "\"source\":\"10.0.0.1\",\"source_port\":7,\"dest\":\"10.0.0.2\",\"dest_port\":22,"
		    "\"would\":{\"action\":\"block\"}}]}"),
		CLI_OK);
	ck_assert_str_eq(t.output,
			 "The policy in the file is the one in force.\n"
			 "Of 3 pended connections it would not hold 1:\n"
			 "  a0.1 tcp 10.0.0.1:7 > 10.0.0.2:22: block, as no layer has an opinion\n"
			 "They wait on, for their answers: a permit lets none in that it blocks.\n"
			 "Of 1 it may say another thing: who listens is not known here.\n");
}
END_TEST

#define RULE(number, name, hits, bytes, last)                                              \
	"{\"rule\":" number ",\"counter\":\"" name "\",\"hits\":" hits ",\"bytes\":" bytes \
	",\"last\":\"" last "\"}"

START_TEST(counters_by_name)
{
	ck_assert_int_eq(
		RUN("counters", STAY,
		    "\"ok\":true,\"result\":{\"rules\":[" RULE(
			    "0", "scans", "3", "180",
			    "2026-11-23T00:00:01.5Z") ","
						      "{\"rule\":1,\"hits\":9,\"bytes\":9}," RULE(
							      "2", "web", "0", "0",
							      "") "," RULE("3", "scans", "4",
									   "5000000000",
									   "2026-11-23T00:00:09.0Z") "],\"count\":4}"),
		CLI_OK);
	asked(0, "{\"op\":\"rules\"}");
	ck_assert_str_eq(t.output,
			 "COUNTER              RULES      HITS       BYTES LAST (UTC)\n"
			 "scans                    2         7  5000000180 2026-11-23T00:00:09\n"
			 "web                      1         0           0 -\n");
}
END_TEST

START_TEST(test_says_it_in_lines)
{
	ck_assert_int_eq(
		RUN("test|tcp 203.0.113.7:4000 > 192.0.2.1:22", STAY,
		    "\"ok\":true,\"result\":{\"action\":\"block\",\"block\":\"reset\",\"log\":false,"
		    "\"flow\":\"tcp 203.0.113.7:4000 > 192.0.2.1:22\",\"rule\":3,\"file\":\"/etc/p\","
		    "\"line\":6,\"layer\":\"guard\",\"text\":\"block proto tcp\"}"),
		CLI_OK);
	asked(0, "{\"op\":\"test\",\"flow\":\"tcp 203.0.113.7:4000 > 192.0.2.1:22\","
		 "\"trace\":false}");
	ck_assert_str_eq(t.output, "tcp 203.0.113.7:4000 > 192.0.2.1:22\n"
				   "block, by reset\n"
				   "  rule 3, /etc/p:6, layer guard\n"
				   "  block proto tcp\n");
}
END_TEST

#define DEPENDS                                                                          \
	"\"ok\":true,\"result\":{\"action\":\"block\",\"block\":\"drop\",\"log\":false," \
	"\"depends_on_listener\":true,\"flow\":\"tcp 10.0.0.1 > 10.0.0.2:22\"}"

START_TEST(test_traces)
{
	ck_assert_int_eq(
		RUN("test|-t|icmp 10.0.0.1 > 10.0.0.2", STAY,
		    "\"ok\":true,\"result\":{\"action\":\"block\",\"block\":\"drop\",\"log\":false,"
		    "\"flow\":\"icmp 10.0.0.1 > 10.0.0.2\",\"trace\":{\"layers\":["
		    "{\"layer\":\"a\",\"why\":\"no-opinion\",\"default\":false,\"limited\":false},"
		    "{\"layer\":\"b\",\"rule\":3,\"action\":\"permit\",\"why\":\"milder\",\"limited\":true}],"
		    "\"inspects\":[{\"rule\":1,\"text\":\"inspect\",\"layer\":\"a\"}],\"misses\":[],"
		    "\"more\":0}}"),
		CLI_OK);
	ck_assert_str_eq(
		t.output,
		"icmp 10.0.0.1 > 10.0.0.2\n"
		"block\n"
		"  no layer has an opinion\n"
		"layers, in order of evaluation; the most restrictive wins:\n"
		"  a                -       -            no rule decides\n"
		"  b                permit  rule 3       another layer is more restrictive, "
		"as long as its rate or quota lasts\n"
		"rules that match, and inspect only:\n"
		"  rule 1     inspect\n");
}
END_TEST

START_TEST(test_says_that_it_does_not_know)
{
	ck_assert_int_eq(RUN("test|tcp 10.0.0.1 > 10.0.0.2:22", STAY, DEPENDS), CLI_OK);
	ck_assert_str_eq(t.output, "tcp 10.0.0.1 > 10.0.0.2:22\n"
				   "block, or else, as who listens is not known here\n"
				   "  no layer has an opinion\n");
	ck_assert_int_eq(RUN("test|-q|tcp 10.0.0.1 > 10.0.0.2:22", STAY, DEPENDS),
			 CLI_WOULD_DEPEND);
	ck_assert_str_eq(t.output, "");
}
END_TEST

static const struct {
	const char *word;
	long long mark; /* -1: wrong */
} marks[] = {{"010", 10},        {"0x1F", 31}, {"4294967295", 4294967295},
	     {"4294967296", -1}, {"a", -1},    {"0x", -1},
	     {"-1", -1},         {" 1", -1},   {"0x0x1", -1},
	     {"0X1", -1},        {"1/1", -1},  {"0x-1", -1}};

START_TEST(test_takes_marks_as_policies_do)
{
	char words[80];
	int want = marks[_i].mark < 0 ? CLI_USAGE : CLI_OK;

	snprintf(words, sizeof(words), "test|tcp 10.0.0.1 > 10.0.0.2:22|--mark|%s", marks[_i].word);
	if (want != CLI_OK) { /* nothing is asked, so nobody needs to answer */
		char *argv[] = {(char[]){"pendctl"},
				(char[]){"test"},
				(char[]){"tcp 10.0.0.1 > 10.0.0.2:22"},
				(char[]){"--mark"},
				strrchr(words, '|') + 1,
				NULL};

		ck_assert_int_eq(cli_main(5, argv), want);
		return;
	}
	ck_assert_int_eq(RUN(words, STAY, DEPENDS), want);
	ck_assert_int_eq(out_int(t.requests[0], "mark"), marks[_i].mark);
}
END_TEST

START_TEST(journal)
{
	ck_assert_int_eq(
		RUN("journal|-n|2", STAY,
		    "\"ok\":true,\"result\":{\"journal\":[{\"number\":11,\"time\":\"2026-11-23T00:00:01.500Z\","
		    "\"generation\":5,\"revision\":3,\"kind\":\"set\",\"user\":\"root\",\"uid\":0,\"pid\":1,"
		    "\"what\":\"set add s\",\"why\":\"ticket 4711\",\"status\":\"ok\"},{\"number\":12,\"time\":"
		    "\"2026-11-23T00:00:02.500Z\",\"generation\":5,\"revision\":0,\"kind\":\"reload\",\"user\":null,"
		    "\"what\":\"reload\",\"why\":null,\"status\":\"2 errors\"}],\"count\":2}"),
		CLI_OK);
	asked(0, "{\"op\":\"journal\",\"last\":2}");
	ck_assert_str_eq(
		t.output,
		"NUMBER TIME (UTC)          POLICY KIND    BY         WHAT\n"
		"    11 2026-11-23T00:00:01 5.3    set     root       set add s (ticket 4711)\n"
		"    12 2026-11-23T00:00:02 5      reload  -          reload: 2 errors\n");
}
END_TEST

Suite *suite(void)
{
	Suite *s = suite_create("cli_runtime");
	TCase *c = tcase_create("cli_runtime");

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, add_a_rule);
	tcase_add_test(c, add_with_options);
	tcase_add_loop_test(c, until_a_time_of_day, 0, 2);
	tcase_add_test(c, delete_and_replace);
	tcase_add_test(c, replace_until);
	tcase_add_test(c, diagnostics_are_printed_as_they_come);
	tcase_add_test(c, apply_a_file);
	tcase_add_test(c, apply_names_the_line_of_a_diagnostic);
	tcase_add_loop_test(c, wrong_file, 0, sizeof(wrong_files) / sizeof(wrong_files[0]));
	tcase_add_test(c, apply_bounds_the_request);
	tcase_add_test(c, list_of_objects);
	tcase_add_test(c, session_ends_by_a_signal);
	tcase_add_test(c, session_ends_with_the_daemon);
	tcase_add_test(c, load_a_file);
	tcase_add_test(c, load_behind_a_byte_order_mark);
	tcase_add_test(c, load_nothing);
	tcase_add_test(c, load_in_parts);
	tcase_add_test(c, load_counts_escapes);
	tcase_add_test(c, load_names_the_line);
	tcase_add_test(c, load_stops_at_the_first_error);
	tcase_add_test(c, flush_and_delete);
	tcase_add_test(c, elements_as_a_file_of_them);
	tcase_add_test(c, elements_for_programs);
	tcase_add_test(c, all_sets);
	tcase_add_loop_test(c, is_it_in, 0, sizeof(tests_of_sets) / sizeof(tests_of_sets[0]));
	tcase_add_test(c, reauthorize);
	tcase_add_test(c, reauthorize_dry);
	tcase_add_test(c, dry_reload_shows_live_flows);
	tcase_add_test(c, dry_reload_says_what_becomes_of_pended_ones);
	tcase_add_test(c, counters_by_name);
	tcase_add_test(c, test_says_it_in_lines);
	tcase_add_test(c, test_traces);
	tcase_add_test(c, test_says_that_it_does_not_know);
	tcase_add_loop_test(c, test_takes_marks_as_policies_do, 0,
			    sizeof(marks) / sizeof(marks[0]));
	tcase_add_test(c, journal);
	suite_add_tcase(s, c);
	return s;
}
