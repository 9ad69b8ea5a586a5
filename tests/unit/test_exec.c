/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `type exec`: the splitting of commands, and both modes with real programs, of one line each. */
#include "unit.h"
#include "agent_fake.h"
#include "agents/exec.h"
#include <errno.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct fake_agent a;
static char path[] = "/tmp/pend-exec.XXXXXX";
static bool started;

static void setup(void)
{
	strcpy(path, "/tmp/pend-exec.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(path));
	signal(SIGPIPE, SIG_IGN); /* as the agent does */
	fake_init(&a);
	started = false;
}

static void teardown(void)
{
	char command[64];

	while (started && !list_empty(&a.agent.questions))
		fake_withdraw(container_of(a.agent.questions.next, struct agent_question, link),
			      &agent_exec);
	agent_exec.stop(&a.agent);
	fake_deinit(&a);
	ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1); /* no child, no zombie */
	snprintf(command, sizeof(command), "rm -rf %s", path);
	ck_assert_int_eq(system(command), 0);
}

/* A shell script of that text, in that mode. */
static int start(const char *mode, unsigned processes, const char *script, struct err *e)
{
	char file[64], command[80];
	json_t *config;
	FILE *f;
	int r;

	snprintf(file, sizeof(file), "%s/prog", path);
	f = fopen(file, "w");
	ck_assert_ptr_nonnull(f);
	fprintf(f, "#!/bin/sh\n%s\n", script);
	fchmod(fileno(f), 0755);
	fclose(f);
	snprintf(command, sizeof(command), "%s 'an argument'", file);
	config = json_pack("{s:s, s:s, s:i}", "command", command, "mode", mode, "processes",
			   (int)processes);
	r = agent_exec.start(&a.agent, config, e);
	json_decref(config);
	started = r == 0;
	return r;
}

static void begin(const char *mode, unsigned processes, const char *script)
{
	struct err e = {0};
	int r = start(mode, processes, script, &e);

	ck_assert_msg(r == 0, "%s", e.text);
}

static struct agent_question *put(const char *id, uint64_t ms)
{
	struct agent_question *q = fake_question(&a, id, ms);

	agent_exec.question(q);
	return q;
}

static void run(uint64_t ms)
{
	mono_t end = mono_add(loop_clock(), ms * MONO_NS_PER_MS);

	while (mono_before(loop_clock(), end))
		ck_assert_int_eq(loop_once(a.agent.loop, end), 0);
}

/* At most 10 s. */
static void until(unsigned answers)
{
	mono_t end = mono_add(loop_clock(), 10 * MONO_NS_PER_S);

	while (a.nanswers < answers && mono_before(loop_clock(), end))
		ck_assert_int_eq(loop_once(a.agent.loop, end), 0);
	ck_assert_uint_eq(a.nanswers, answers);
}

static void answered(unsigned n, const char *id, enum pend_client_answer answer, const char *why)
{
	ck_assert_str_eq(a.answers[n].id, id);
	ck_assert_int_eq(a.answers[n].answer, answer);
	ck_assert_str_eq(a.answers[n].why, why);
}

/* ---- commands ---- */

static const struct {
	const char *text;
	int n;
	const char *words[6];
} commands[] = {
	{"/bin/x", 1, {"/bin/x"}},
	{"  /bin/x\t a  b ", 3, {"/bin/x", "a", "b"}},
	{"/bin/x 'a b' \"c d\"", 3, {"/bin/x", "a b", "c d"}},
	{"/bin/x a'b c'\"d e\"f", 2, {"/bin/x", "ab cd ef"}},
	{"/bin/x '' \"\"", 3, {"/bin/x", "", ""}},
	{"/bin/x a\\ b \\' \\\\", 4, {"/bin/x", "a b", "'", "\\"}},
	{"/bin/x 'a\\b' \"a\\\"b\"", 3, {"/bin/x", "a\\b", "a\"b"}},
	{"/bin/x a\\", 2, {"/bin/x", "a\\"}},
	{"/bin/x $HOME *;|&", 3, {"/bin/x", "$HOME", "*;|&"}},
	{"", -EINVAL, {NULL}},
	{" \t", -EINVAL, {NULL}},
	{"/bin/x 'a", -EINVAL, {NULL}},
	{"/bin/x a\"", -EINVAL, {NULL}},
	{"\"", -EINVAL, {NULL}},
};

START_TEST(commands_are_split_as_a_shell_does)
{
	char **argv = NULL;

	ck_assert_int_eq(exec_split(commands[_i].text, &argv), commands[_i].n);
	for (int i = 0; i < commands[_i].n; i++)
		ck_assert_str_eq(argv[i], commands[_i].words[i]);
	if (commands[_i].n > 0)
		ck_assert_ptr_null(argv[commands[_i].n]);
	exec_split_free(argv);
}
END_TEST

static const char *const wrong[] = {
	"{\"command\":\"bin/x\"}",       "{\"command\":\"\"}",
	"{\"command\":\"/bin/sh 'x\"}",  "{\"command\":\"/nonexistent/program\"}",
	"{\"command\":\"/etc/passwd\"}", "{}",
};

START_TEST(what_cannot_be_started_is_told)
{
	json_t *config = json_loads(wrong[_i], 0, NULL);
	struct err e = {0};

	ck_assert_int_lt(agent_exec.start(&a.agent, config, &e), 0);
	ck_assert_str_ne(e.text, "");
	json_decref(config);
}
END_TEST

/* ---- once ---- */

static const struct {
	const char *script;
	enum pend_client_answer answer;
	const char *why;
} once[] = {
	{"exit 0", PEND_CLIENT_ANSWER_PERMIT, ""},
	{"exit 1", PEND_CLIENT_ANSWER_BLOCK, ""},
	{"exit 2", PEND_CLIENT_ANSWER_CONTINUE, ""},
	{"exit 3", PEND_CLIENT_ANSWER_ERROR, ""},
	{"exit 126", PEND_CLIENT_ANSWER_ERROR, ""},
	{"kill -9 $$", PEND_CLIENT_ANSWER_ERROR, ""},
	{"kill -15 $$", PEND_CLIENT_ANSWER_ERROR, ""},
	{"echo because; echo more; exit 1", PEND_CLIENT_ANSWER_BLOCK, "because"},
	{"printf 'no newline'; exit 0", PEND_CLIENT_ANSWER_PERMIT, "no newline"},
	{"echo $1; exit 0", PEND_CLIENT_ANSWER_PERMIT, "an argument"},
	{"echo $PEND_ID $PEND_PROTOCOL $PEND_SOURCE $PEND_SOURCE_PORT $PEND_DEST $PEND_DEST_PORT "
	 "$PEND_INTERFACE $PEND_RULE $PEND_AUTHORITY",
	 PEND_CLIENT_ANSWER_PERMIT, "q tcp 203.0.113.7 4000 192.0.2.1 22 eth0 3 fake"},
	{"read -r l; echo \"$l\"", PEND_CLIENT_ANSWER_PERMIT,
	 "{\"id\":\"q\",\"source\":\"203.0.113.7\"}"},
	{"cat >/dev/null; echo all", PEND_CLIENT_ANSWER_PERMIT, "all"},
	{"exec <&-; exit 1", PEND_CLIENT_ANSWER_BLOCK, ""},
	{"exec >&-; sleep 0.05; exit 1", PEND_CLIENT_ANSWER_BLOCK, ""},
	{"head -c 1048576 /dev/zero; exit 1", PEND_CLIENT_ANSWER_BLOCK, ""},
	{"sleep 100 & exit 0", PEND_CLIENT_ANSWER_PERMIT, ""}, /* it goes too, and holds nothing */
};

START_TEST(its_status_answers)
{
	begin("once", 4, once[_i].script);
	put("q", 5000);
	until(1);
	answered(0, "q", once[_i].answer, once[_i].why);
}
END_TEST

START_TEST(a_long_line_is_cut)
{
	begin("once", 4, "head -c 100000 /dev/zero | tr '\\0' x; exit 0");
	put("q", 5000);
	until(1);
	ck_assert_int_eq(a.answers[0].answer, PEND_CLIENT_ANSWER_PERMIT);
	ck_assert_uint_eq(strspn(a.answers[0].why, "x"), sizeof(a.answers[0].why) - 1);
}
END_TEST

START_TEST(so_many_at_a_time)
{
	struct exec *x;

	begin("once", 2, "sleep 0.1; exit 0");
	x = agent_data(&a.agent);
	for (int i = 0; i < 6; i++) {
		char id[8];

		snprintf(id, sizeof(id), "q%d", i);
		put(id, 5000);
		ck_assert_uint_le(x->running, 2);
	}
	until(6);
	ck_assert_uint_eq(x->running, 0);
}
END_TEST

START_TEST(one_that_hangs_is_killed_at_the_deadline)
{
	struct exec *x;

	begin("once", 1, "trap '' TERM; while :; do sleep 10; done");
	x = agent_data(&a.agent);
	put("q", 50);
	run(100);
	ck_assert_uint_eq(x->running, 1); /* the daemon withdraws first */
	until(1);
	ck_assert_int_eq(a.answers[0].answer, PEND_CLIENT_ANSWER_ERROR);
	put("r", 5000);
	run(200);
	ck_assert_uint_eq(x->running, 1); /* the next one has its turn */
}
END_TEST

START_TEST(withdrawn_it_is_told_and_then_killed)
{
	struct agent_question *q;
	struct exec *x;

	begin("once", 1, _i ? "trap '' TERM; while :; do sleep 10; done" : "sleep 10; exit 0");
	x = agent_data(&a.agent);
	q = put("q", 300);
	run(50);
	fake_withdraw(q, &agent_exec);
	run(100);
	ck_assert_uint_eq(x->running, _i ? 1 : 0);
	run(900);
	ck_assert_uint_eq(x->running, 0);
	ck_assert_uint_eq(a.nanswers, 0);
}
END_TEST

START_TEST(its_whole_group_goes)
{
	char text[200] = "";
	FILE *f;
	int pid;

	begin("once", 1, "sleep 1000 & echo $! >\"${0%/*}/pid\"; wait");
	put("q", 100);
	until(1);
	snprintf(text, sizeof(text), "%s/pid", path);
	f = fopen(text, "r");
	ck_assert_ptr_nonnull(f);
	ck_assert_int_eq(fscanf(f, "%d", &pid), 1);
	fclose(f);
	for (int i = 0; i < 100 && kill(pid, 0) == 0;
	     i++) { /* a zombie of the system's init, for a while */
		snprintf(text, sizeof(text), "/proc/%d/stat", pid);
		f = fopen(text, "r");
		if (f && fscanf(f, "%*d %*s %c", text) == 1 && *text == 'Z') {
			fclose(f);
			return;
		}
		if (f)
			fclose(f);
		run(10);
	}
	ck_assert_int_eq(kill(pid, 0), -1);
}
END_TEST

/* ---- stay ---- */

#define LOOP(body) "while read -r l; do " body "; done"
#define ID         "id=${l#*id\\\":\\\"}; id=${id%%\\\"*}; "

START_TEST(lines_answer_in_order)
{
	begin("stay", 1,
	      LOOP("n=$((n+1)); [ $((n % 2)) = 0 ] && v=permit || v=block; "
		   "echo \"{\\\"verdict\\\":\\\"$v\\\",\\\"why\\\":\\\"$n\\\"}\""));
	put("a", 5000);
	put("b", 5000);
	put("c", 5000);
	until(3);
	answered(0, "a", PEND_CLIENT_ANSWER_BLOCK, "1");
	answered(1, "b", PEND_CLIENT_ANSWER_PERMIT, "2");
	answered(2, "c", PEND_CLIENT_ANSWER_BLOCK, "3");
}
END_TEST

START_TEST(lines_answer_by_id_in_any_order)
{
	begin("stay", 1,
	      "read -r x; read -r y; read -r z\n"
	      "echo '{\"id\":\"c\",\"verdict\":\"continue\"}'\n"
	      "echo '{\"id\":\"a\",\"verdict\":\"block\",\"block\":\"reset\",\"why\":\"no\"}'\n"
	      "echo '{\"id\":\"b\",\"verdict\":\"permit\"}'; cat >/dev/null");
	put("a", 5000);
	put("b", 5000);
	put("c", 5000);
	until(3);
	answered(0, "c", PEND_CLIENT_ANSWER_CONTINUE, "");
	answered(1, "a", PEND_CLIENT_ANSWER_BLOCK, "no");
	ck_assert_str_eq(a.answers[1].how, "reset");
	answered(2, "b", PEND_CLIENT_ANSWER_PERMIT, "");
}
END_TEST

static const char *const garbage[] = {"yes",        "{}",
				      "[]",         "{\\\"verdict\\\":1}",
				      "\\377\\000", "{\\\"verdict\\\":\\\"perhaps\\\"}",
				      "null",       "{\\\"verdict\\\":\\\"permit\\\"} x"};

START_TEST(what_is_no_answer_is_an_error)
{
	char script[200];

	snprintf(script, sizeof(script), LOOP("printf \"%s\\n\""), garbage[_i]);
	begin("stay", 1, script);
	put("a", 5000);
	until(1);
	ck_assert_int_eq(a.answers[0].answer, PEND_CLIENT_ANSWER_ERROR);
	put("b", 5000);
	until(2);
}
END_TEST

/* The same program, started anew, does not do it again. */
#define FIRST_TIME(body) "[ -e \"$0.was\" ] || { >\"$0.was\"; " body "; }\n"
#define IN_ORDER                                                       \
	LOOP("n=$((n+1)); [ $((n % 2)) = 0 ] && v=permit || v=block; " \
	     "echo \"{\\\"verdict\\\":\\\"$v\\\",\\\"why\\\":\\\"$n\\\"}\"")

static const char *const stray[] = {
	"warning: no list",
	"{\"verdict\":\"maybe\"}",
	"{\"id\":7,\"verdict\":\"permit\"}",
	"{\"verdict\":\"permit\",\"verdict\":\"permit\"}",
};

#define FIRST_PART  "[ -e \"$0.was\" ] || { >\"$0.was\"; read -r l; read -r l; echo '"
#define SECOND_PART "'; echo '{\"verdict\":\"block\"}'; echo '{\"verdict\":\"permit\"}'; cat; }\n"

/* What would be about the next question is about none. */
START_TEST(a_stray_line_moves_no_answer)
{
	char script[500];

	snprintf(script, sizeof(script), "%s%s%s%s", FIRST_PART, stray[_i], SECOND_PART, IN_ORDER);
	begin("stay", 1, script);
	put("a", 5000);
	put("b", 5000);
	until(2);
	answered(0, "a", PEND_CLIENT_ANSWER_ERROR, "the program said what is no answer");
	answered(1, "b", PEND_CLIENT_ANSWER_ERROR, "the program said what is no answer");
	ck_assert_ptr_nonnull(strstr(a.logged, "starting it anew"));
	put("c", 5000);
	put("d", 5000);
	until(4);
	answered(2, "c", PEND_CLIENT_ANSWER_BLOCK, "1");
	answered(3, "d", PEND_CLIENT_ANSWER_PERMIT, "2");
}
END_TEST

/* ... also not while it ends: what was said before does count. */
START_TEST(a_stray_line_before_the_end)
{
	begin("stay", 1,
	      "read -r l; read -r l; read -r l; echo '{\"verdict\":\"permit\"}'; echo x; "
	      "echo '{\"verdict\":\"permit\"}'");
	put("a", 5000);
	put("b", 5000);
	put("c", 5000);
	until(3);
	answered(0, "a", PEND_CLIENT_ANSWER_PERMIT, "");
	answered(1, "b", PEND_CLIENT_ANSWER_ERROR, "the program said what is no answer");
	answered(2, "c", PEND_CLIENT_ANSWER_ERROR, "the program said what is no answer");
}
END_TEST

START_TEST(with_ids_a_stray_line_does_no_harm)
{
	begin("stay", 1,
	      LOOP(ID "echo \"{\\\"id\\\":\\\"$id\\\",\\\"verdict\\\":\\\"permit\\\"}\"; "
		      "echo warning; echo '{\"verdict\":\"block\"}'; echo '{\"id\":\"zz\"}'"));
	put("a", 5000);
	until(1);
	put("b", 5000);
	put("c", 5000);
	until(3);
	answered(1, "b", PEND_CLIENT_ANSWER_PERMIT, "");
	answered(2, "c", PEND_CLIENT_ANSWER_PERMIT, "");
	ck_assert_ptr_nonnull(strstr(a.logged, "said what answers nothing"));
}
END_TEST

START_TEST(unasked_lines_answer_nothing)
{
	begin("stay", 1,
	      "echo hello; echo '{\"id\":\"zz\",\"verdict\":\"permit\"}'\n" LOOP(
		      ID "echo \"{\\\"id\\\":\\\"$id\\\",\\\"verdict\\\":\\\"block\\\"}\""));
	run(100);
	put("a", 5000);
	until(1);
	answered(0, "a", PEND_CLIENT_ANSWER_BLOCK, "");
}
END_TEST

/* A little later it would have been the answer to somebody's question. */
START_TEST(a_verdict_too_many_ends_it)
{
	begin("stay", 1, FIRST_TIME("echo '{\"verdict\":\"permit\"}'; cat") IN_ORDER);
	for (unsigned i = 0; i < 500 && !strstr(a.logged, "ended ("); i++)
		run(20);
	ck_assert_msg(strstr(a.logged, "ended ("), "%s",
		      a.logged); /* by the end of its input, or a signal */
	put("a", 5000);
	until(1);
	answered(0, "a", PEND_CLIENT_ANSWER_BLOCK, "1");
}
END_TEST

START_TEST(a_program_that_only_talks_is_started_anew)
{
	begin("stay", 1, "echo x >>\"${0%/*}/starts\"; while :; do echo noise; done");
	run(1500);
	ck_assert_uint_ge(a.nlogged, 2);
	put("a", 5000);
	until(1); /* at the latest when it has failed again */
	ck_assert_int_eq(a.answers[0].answer, PEND_CLIENT_ANSWER_ERROR);
}
END_TEST

START_TEST(too_long_a_line_ends_it)
{
	begin("stay", 1, "read -r l; head -c 5000 /dev/zero | tr '\\0' x; sleep 100");
	put("a", 5000);
	until(1);
	answered(0, "a", PEND_CLIENT_ANSWER_ERROR, "the program said what is no answer");
}
END_TEST

START_TEST(the_longest_line_is_read)
{
	begin("stay", 1,
	      LOOP("printf '%-4095s\\n' '{\"verdict\":\"permit\"}'; printf '{\"ver'; sleep 0.05; "
		   "printf 'dict\":\"block\"}\\n'"));
	put("a", 5000);
	put("b", 5000);
	until(2);
	answered(0, "a", PEND_CLIENT_ANSWER_PERMIT, "");
	answered(1, "b", PEND_CLIENT_ANSWER_BLOCK, "");
}
END_TEST

START_TEST(one_that_ends_is_started_again)
{
	begin("stay", 1, "read -r l; echo '{\"verdict\":\"permit\"}'; exit 7");
	put("a", 9000);
	put("b", 9000); /* it is asked too, and does not answer */
	until(2);
	answered(0, "a", PEND_CLIENT_ANSWER_PERMIT, "");
	answered(1, "b", PEND_CLIENT_ANSWER_ERROR, "the program ended");
	put("c", 9000); /* waits for the next one */
	until(3);
	answered(2, "c", PEND_CLIENT_ANSWER_PERMIT, "");
}
END_TEST

START_TEST(while_it_ends_again_and_again_nobody_waits)
{
	mono_t before;

	begin("stay", 2, "exit 1");
	run(1000);
	before = loop_clock();
	put("a", 9000);
	until(1);
	ck_assert_uint_lt(mono_since(loop_clock(), before), MONO_NS_PER_S);
	ck_assert_int_eq(a.answers[0].answer, PEND_CLIENT_ANSWER_ERROR);
}
END_TEST

/* The answer to a question that was withdrawn is not the next one's. */
START_TEST(a_late_line_is_for_the_question_that_is_gone)
{
	struct agent_question *q;

	begin("stay", 1,
	      LOOP("sleep 0.2; echo \"{\\\"verdict\\\":\\\"permit\\\",\\\"why\\\":\\\"$((n=n+1))\\\"}\""));
	q = put("a", 1000);
	run(20);
	fake_withdraw(q, &agent_exec);
	put("b", 5000);
	until(1);
	answered(0, "b", PEND_CLIENT_ANSWER_PERMIT, "2");
}
END_TEST

START_TEST(one_that_does_not_answer_is_started_anew)
{
	begin("stay", 1, "cat >/dev/null");
	for (int i = 0; i < EXEC_IGNORED_MAX; i++) {
		struct agent_question *q = put("q", 1);

		run(5);
		ck_assert_uint_eq(a.nlogged, 0);
		fake_withdraw(q, &agent_exec);
	}
	ck_assert_ptr_nonnull(strstr(a.logged, "does not answer"));
	run(50);
	ck_assert_msg(strstr(a.logged, "ended (signal 9)"), "%s", a.logged);
}
END_TEST

START_TEST(several_share_the_work)
{
	begin("stay", 3,
	      LOOP("sleep 0.1; echo \"{\\\"verdict\\\":\\\"permit\\\",\\\"why\\\":\\\"$$\\\"}\""));
	put("a", 5000);
	put("b", 5000);
	put("c", 5000);
	until(3);
	ck_assert_str_ne(a.answers[0].why, a.answers[1].why);
	ck_assert_str_ne(a.answers[1].why, a.answers[2].why);
	ck_assert_str_ne(a.answers[0].why, a.answers[2].why);
}
END_TEST

START_TEST(stopped_nothing_is_left)
{
	struct exec *x;

	begin("stay", 4, "trap '' TERM; while :; do sleep 10; done");
	x = agent_data(&a.agent);
	run(50);
	ck_assert_uint_eq(x->running, 4);
}
END_TEST

Suite *suite(void)
{
	Suite *s = suite_create("exec");
	TCase *t = tcase_create("exec");

	tcase_set_timeout(t, 30);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, commands_are_split_as_a_shell_does, 0,
			    (int)(sizeof(commands) / sizeof(*commands)));
	tcase_add_loop_test(t, what_cannot_be_started_is_told, 0,
			    (int)(sizeof(wrong) / sizeof(*wrong)));
	tcase_add_loop_test(t, its_status_answers, 0, (int)(sizeof(once) / sizeof(*once)));
	tcase_add_test(t, a_long_line_is_cut);
	tcase_add_test(t, so_many_at_a_time);
	tcase_add_test(t, one_that_hangs_is_killed_at_the_deadline);
	tcase_add_loop_test(t, withdrawn_it_is_told_and_then_killed, 0, 2);
	tcase_add_test(t, its_whole_group_goes);
	tcase_add_test(t, lines_answer_in_order);
	tcase_add_test(t, lines_answer_by_id_in_any_order);
	tcase_add_loop_test(t, what_is_no_answer_is_an_error, 0,
			    (int)(sizeof(garbage) / sizeof(*garbage)));
	tcase_add_loop_test(t, a_stray_line_moves_no_answer, 0,
			    (int)(sizeof(stray) / sizeof(*stray)));
	tcase_add_test(t, a_stray_line_before_the_end);
	tcase_add_test(t, with_ids_a_stray_line_does_no_harm);
	tcase_add_test(t, unasked_lines_answer_nothing);
	tcase_add_test(t, a_verdict_too_many_ends_it);
	tcase_add_test(t, a_program_that_only_talks_is_started_anew);
	tcase_add_test(t, too_long_a_line_ends_it);
	tcase_add_test(t, the_longest_line_is_read);
	tcase_add_test(t, one_that_ends_is_started_again);
	tcase_add_test(t, while_it_ends_again_and_again_nobody_waits);
	tcase_add_test(t, a_late_line_is_for_the_question_that_is_gone);
	tcase_add_test(t, one_that_does_not_answer_is_started_anew);
	tcase_add_test(t, several_share_the_work);
	tcase_add_test(t, stopped_nothing_is_left);
	suite_add_tcase(s, t);
	return s;
}
