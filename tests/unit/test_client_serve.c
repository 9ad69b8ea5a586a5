/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Serving an authority with the client library, against a scripted daemon: answers, in bulk and late, withdrawn
 * questions, garbage, and what happens when the connection ends. The daemon is a process of its own, for the
 * library waits for its greeting.
 */
#include "unit.h"
#include <pend-client.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define HELLO   "{\"pend\":{\"version\":\"0.1.0\",\"protocol\":1,\"role\":\"admin\"}}\n"
#define SERVING "{\"id\":1,\"ok\":true,\"result\":{\"authority\":\"idp\",\"timeout_ms\":5000}}\n"
#define QUESTION(id)                                                                    \
	"{\"question\":{\"id\":\"" id "\",\"authority\":\"idp\",\"remaining_ms\":4990," \
	"\"protocol\":\"tcp\",\"source\":\"203.0.113.7\",\"source_port\":4000,"         \
	"\"dest\":\"192.0.2.1\",\"dest_port\":22,\"interface\":\"eth0\",\"rule\":2,"    \
	"\"generation\":5,\"retransmits\":1}}\n"
#define LINE_MAX_SENT 65536

/* ---- the daemon ---- */

enum act {
	END,
	ACCEPT, /* the next connection, and greet, with this text if there is one */
	SEND,   /* this text */
	LINE,   /* a line comes that has this in it */
	IDS,    /* so many answers come, in lines of which none is too long; text: their number */
	HANG_UP,
	REFUSE, /* accept and close, without a word */
	WAIT_EOF,
};

struct step {
	enum act act;
	const char *text;
};

static char folder[] = "/tmp/pend-serve-XXXXXX";
static char sock[80];
static int listen_fd;
static pid_t daemon_pid;

static FILE *in;
static int fd = -1;

static _Noreturn void wrong(const char *what, const char *got)
{
	fprintf(stderr, "the daemon waits for %s, and got %s\n", what, got ? got : "nothing");
	_exit(1);
}

static const char *line_in(void)
{
	static char *line;
	static size_t cap;
	ssize_t n = in ? getline(&line, &cap, in) : -1;

	if (n > LINE_MAX_SENT)
		wrong("a shorter line", "a long one");
	return n < 0 ? NULL : line;
}

static unsigned ids_in(const char *line)
{
	unsigned n = 0;

	while ((line = strstr(line, "{\"id\":\"")) != NULL) {
		line++;
		n++;
	}
	return n;
}

static void hang_up(void)
{
	if (in)
		fclose(in);
	in = NULL;
	fd = -1;
}

static void send_text(const char *text)
{
	for (size_t at = 0, len = strlen(text); at < len;) {
		ssize_t n = send(fd, text + at, len - at, MSG_NOSIGNAL);

		if (n <= 0)
			return;
		at += (size_t)n;
	}
}

static void accept_one(const char *greeting)
{
	hang_up();
	fd = accept(listen_fd, NULL, NULL);
	if (fd < 0)
		wrong("a connection", NULL);
	in = fdopen(fd, "r");
	if (greeting)
		send_text(greeting);
	else
		hang_up();
}

static void step_do(const struct step *s)
{
	const char *line = NULL;
	unsigned left;

	switch (s->act) {
	case ACCEPT:
		accept_one(s->text ? s->text : HELLO);
		break;
	case REFUSE:
		accept_one(NULL);
		break;
	case SEND:
		send_text(s->text);
		break;
	case LINE:
		line = line_in();
		if (!line || !strstr(line, s->text))
			wrong(s->text, line);
		break;
	case IDS:
		for (left = (unsigned)atoi(s->text); left; left -= ids_in(line)) {
			line = line_in();
			if (!line || !ids_in(line) || ids_in(line) > left)
				wrong("answers", line);
		}
		break;
	case HANG_UP:
		hang_up();
		break;
	case WAIT_EOF:
		if (line_in())
			wrong("the end", "a line");
		break;
	case END:
		break;
	}
}

static void daemon_start(const struct step *script)
{
	daemon_pid = fork();
	ck_assert_int_ge(daemon_pid, 0);
	if (daemon_pid)
		return;
	alarm(20);
	for (; script->act != END; script++)
		step_do(script);
	_exit(0);
}

static void daemon_was_content(void)
{
	int status;

	ck_assert_int_eq(waitpid(daemon_pid, &status, 0), daemon_pid);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the daemon was not content");
}

/* ---- the program ---- */

static struct {
	unsigned questions, withdrawn, up, down;
	char ids[64], why[256], gone[64], asked[64];
	enum pend_client_answer answer;
	unsigned stop_after; /* questions */
	struct pend_client_question last;
} saw;

static enum pend_client_answer on_question(void *ctx, struct pend_client_server *s,
					   const struct pend_client_question *q)
{
	(void)ctx;
	snprintf(saw.asked, sizeof(saw.asked), "%s %s %s", q->id, q->source, q->protocol);
	saw.last = *q;
	if (++saw.questions == saw.stop_after)
		pend_client_server_stop(s);
	return saw.answer;
}

static void on_withdrawn(void *ctx, struct pend_client_server *s, const char *id, const char *why)
{
	(void)ctx;
	(void)s;
	saw.withdrawn++;
	snprintf(saw.gone, sizeof(saw.gone), "%s %s", id, why);
}

static void on_state(void *ctx, struct pend_client_server *s, bool serving, const char *why)
{
	(void)ctx;
	(void)s;
	saw.up += serving;
	saw.down += !serving;
	snprintf(saw.why, sizeof(saw.why), "%s", why);
}

static const struct pend_client_handlers handlers = {
	.question = on_question, .withdrawn = on_withdrawn, .state = on_state};
static struct pend_client_server *server;

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void round_once(int ms)
{
	struct pollfd p = {.fd = pend_client_server_fd(server), .events = POLLIN};
	int timeout = pend_client_server_timeout_ms(server);

	if (pend_client_server_wants_write(server))
		p.events |= POLLOUT;
	poll(&p, 1, timeout >= 0 && timeout < ms ? timeout : ms);
	ck_assert_int_eq(pend_client_server_process(server), PEND_CLIENT_OK);
}

/* Serve until *counter is `want`. */
static void serve_until(const unsigned *counter, unsigned want)
{
	int64_t until = now_ms() + 10000;

	while (*counter < want && now_ms() < until)
		round_once(50);
	ck_assert_uint_eq(*counter, want);
}

static void setup(void)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};

	memset(&saw, 0, sizeof(saw));
	strcpy(folder, "/tmp/pend-serve-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(sock, sizeof(sock), "%s/s", folder);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", sock);
	listen_fd = socket(AF_UNIX, SOCK_STREAM, 0);
	ck_assert_int_eq(bind(listen_fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	ck_assert_int_eq(listen(listen_fd, 8), 0);
	server = pend_client_server_new(sock, "idp", 7, &handlers, NULL);
	ck_assert_ptr_nonnull(server);
	ck_assert_int_eq(pend_client_server_fd(server), -1);
	ck_assert_ptr_null(pend_client_server_client(server));
}

static void teardown(void)
{
	pend_client_server_free(server);
	close(listen_fd);
	unlink(sock);
	rmdir(folder);
}

START_TEST(it_serves_and_answers_at_once)
{
	static const struct step script[] = {
		{ACCEPT, NULL},
		{LINE, "\"op\":\"serve\""},
		{SEND, SERVING QUESTION("a0.1")},
		{LINE,
		 "{\"op\":\"answer\",\"answers\":[{\"id\":\"a0.1\",\"verdict\":\"permit\"}]}"},
		{WAIT_EOF, NULL},
		{END, NULL}};

	saw.answer = PEND_CLIENT_ANSWER_PERMIT;
	daemon_start(script);
	serve_until(&saw.questions, 1);
	ck_assert_uint_eq(saw.up, 1);
	ck_assert_uint_eq(saw.down, 0);
	ck_assert_str_eq(saw.asked, "a0.1 203.0.113.7 tcp");
	ck_assert_uint_eq(saw.last.source_port, 4000);
	ck_assert_uint_eq(saw.last.dest_port, 22);
	ck_assert_uint_eq(saw.last.rule, 2);
	ck_assert_uint_eq(saw.last.generation, 5);
	ck_assert_uint_eq(saw.last.retransmits, 1);
	ck_assert_uint_eq(saw.last.remaining_ms, 4990);
	ck_assert_int_ge(pend_client_server_fd(server), 0);
	ck_assert_ptr_nonnull(pend_client_server_client(server));
	round_once(0);
	pend_client_server_free(server);
	server = NULL;
	daemon_was_content();
}
END_TEST

static const struct {
	enum pend_client_answer answer;
	const char *want;
} answers[] = {
	{PEND_CLIENT_ANSWER_PERMIT, "\"verdict\":\"permit\"}"},
	{PEND_CLIENT_ANSWER_BLOCK, "\"verdict\":\"block\"}"},
	{PEND_CLIENT_ANSWER_CONTINUE, "\"verdict\":\"continue\"}"},
	{PEND_CLIENT_ANSWER_ERROR, "\"verdict\":\"error\"}"},
};

START_TEST(each_answer_has_its_name)
{
	const struct step script[] = {{ACCEPT, NULL},
				      {LINE, "\"max\":7"},
				      {SEND, SERVING QUESTION("a0.1")},
				      {LINE, answers[_i].want},
				      {END, NULL}};

	saw.answer = answers[_i].answer;
	daemon_start(script);
	serve_until(&saw.questions, 1);
	daemon_was_content();
}
END_TEST

START_TEST(later_in_any_order_and_with_a_reason)
{
	static const struct step script[] = {
		{ACCEPT, NULL},
		{LINE, "\"authority\":\"idp\""},
		{SEND, SERVING QUESTION("a0.1") QUESTION("b1.2") QUESTION("c2.3")},
		{LINE,
		 "[{\"id\":\"c2.3\",\"verdict\":\"block\",\"block\":\"reset\",\"why\":\"a \\\"b\\\"\\n\"},"
		 "{\"id\":\"a0.1\",\"verdict\":\"permit\"}]"},
		{LINE, "[{\"id\":\"b1.2\",\"verdict\":\"error\",\"why\":\"x\"}]"},
		{END, NULL}};

	saw.answer = PEND_CLIENT_ANSWER_LATER;
	daemon_start(script);
	serve_until(&saw.questions, 3);
	ck_assert(!pend_client_server_wants_write(server));
	ck_assert_int_eq(pend_client_server_answer(server, "c2.3", PEND_CLIENT_ANSWER_BLOCK,
						   "reset", "a \"b\"\n"),
			 PEND_CLIENT_OK);
	ck_assert(pend_client_server_wants_write(server));
	ck_assert_int_eq(
		pend_client_server_answer(server, "a0.1", PEND_CLIENT_ANSWER_PERMIT, NULL, NULL),
		PEND_CLIENT_OK);
	round_once(0);
	ck_assert_int_eq(
		pend_client_server_answer(server, "b1.2", PEND_CLIENT_ANSWER_ERROR, NULL, "x"),
		PEND_CLIENT_OK);
	round_once(0);
	daemon_was_content();
}
END_TEST

static const struct {
	const char *id, *how;
} invalid[] = {{"", NULL},       {"a0.1\"", NULL},
	       {"a0 1", NULL},   {"A0.1", NULL},
	       {"a0.1", "burn"}, {"a0.1\n", NULL},
	       {"a0.1", ""},     {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", NULL}};

/* Nothing of it goes out: the next line is whole. */
START_TEST(what_is_no_answer_is_refused)
{
	static const struct step script[] = {
		{ACCEPT, NULL},
		{LINE, "serve"},
		{SEND, SERVING QUESTION("a0.1")},
		{LINE,
		 "{\"op\":\"answer\",\"answers\":[{\"id\":\"a0.1\",\"verdict\":\"block\",\"block\":\"drop\"}]}"},
		{END, NULL}};

	ck_assert_int_eq(
		pend_client_server_answer(server, "a0.1", PEND_CLIENT_ANSWER_PERMIT, NULL, NULL),
		PEND_CLIENT_E_INVALID); /* not connected */
	saw.answer = PEND_CLIENT_ANSWER_LATER;
	daemon_start(script);
	serve_until(&saw.questions, 1);
	for (size_t i = 0; i < sizeof(invalid) / sizeof(invalid[0]); i++)
		ck_assert_int_eq(pend_client_server_answer(server, invalid[i].id,
							   PEND_CLIENT_ANSWER_BLOCK, invalid[i].how,
							   "why"),
				 PEND_CLIENT_E_INVALID);
	ck_assert(!pend_client_server_wants_write(server));
	ck_assert_int_eq(
		pend_client_server_answer(server, "a0.1", PEND_CLIENT_ANSWER_BLOCK, "drop", NULL),
		PEND_CLIENT_OK);
	round_once(0);
	daemon_was_content();
}
END_TEST

#define BULK 5000

START_TEST(many_answers_in_lines_that_are_not_too_long)
{
	static const struct step script[] = {
		{ACCEPT, NULL}, {LINE, "serve"}, {SEND, SERVING}, {IDS, "5000"}, {END, NULL}};
	char id[16], why[201];

	memset(why, '"', sizeof(why) - 1); /* twice as long when quoted */
	why[sizeof(why) - 1] = '\0';
	daemon_start(script);
	serve_until(&saw.up, 1);
	for (unsigned i = 1; i <= BULK; i++) {
		snprintf(id, sizeof(id), "a%u.1", i);
		ck_assert_int_eq(pend_client_server_answer(server, id, PEND_CLIENT_ANSWER_BLOCK,
							   "unreachable", why),
				 PEND_CLIENT_OK);
	}
	for (int64_t until = now_ms() + 10000;
	     pend_client_server_wants_write(server) && now_ms() < until;)
		round_once(20);
	daemon_was_content();
}
END_TEST

START_TEST(withdrawn_questions_are_told)
{
	static const struct step script[] = {
		{ACCEPT, NULL},
		{LINE, "serve"},
		{SEND,
		 SERVING QUESTION(
			 "a0.1") "{\"withdrawn\":{\"id\":\"a0.1\",\"authority\":\"idp\",\"why\":\"timeout\"}}\n"},
		/* an answer to it does no harm, and what the daemon says of it neither */
		{LINE, "a0.1"},
		{SEND,
		 "{\"id\":null,\"ok\":true,\"result\":{\"answered\":0,\"failed\":[{\"id\":\"a0.1\","
		 "\"code\":\"not-found\"}]}}\n{\"event\":{\"type\":\"note\"}}\n{}\n" QUESTION(
			 "a0.2")},
		{WAIT_EOF, NULL},
		{END, NULL}};

	saw.answer = PEND_CLIENT_ANSWER_LATER;
	daemon_start(script);
	serve_until(&saw.withdrawn, 1);
	ck_assert_str_eq(saw.gone, "a0.1 timeout");
	ck_assert_int_eq(
		pend_client_server_answer(server, "a0.1", PEND_CLIENT_ANSWER_PERMIT, NULL, NULL),
		PEND_CLIENT_OK);
	serve_until(&saw.questions, 2);
	ck_assert_uint_eq(saw.down, 0);
	pend_client_server_free(server);
	server = NULL;
	daemon_was_content();
}
END_TEST

/* ---- codes ---- */

#define CODE(kind, token)                                                              \
	"{\"" kind "\":{\"token\":" token ",\"authority\":\"idp\",\"source\":\"::1\"," \
	"\"code\":\"12 34\",\"user\":\"joe\",\"uid\":1000}}\n"

static unsigned codes;
static char brought[128];

static void on_unlock(void *ctx, struct pend_client_server *s, const struct pend_client_unlock *u)
{
	(void)ctx;
	codes++;
	snprintf(brought, sizeof(brought), "%s %s %s %s %u", u->authority, u->source, u->code,
		 u->user, u->uid);
	ck_assert_int_eq(pend_client_server_unlocked(s, u->token, true, 5000, "of \"joe\"\n"),
			 PEND_CLIENT_OK);
}

static void on_lock(void *ctx, struct pend_client_server *s, const struct pend_client_unlock *u)
{
	(void)ctx;
	codes++;
	snprintf(brought, sizeof(brought), "%s %s", u->authority, u->source);
	ck_assert_int_eq(pend_client_server_unlocked(s, u->token, false, 0, NULL), PEND_CLIENT_OK);
}

START_TEST(codes_are_handed_over)
{
	static const struct step script[] = {
		{ACCEPT, NULL},
		{LINE, "serve"},
		{SEND, SERVING CODE("unlock", "4097")},
		{LINE, "\"ok\":true,\"open_ms\":5000,\"why\":\"of \\\"joe\\\"\\n\""},
		{SEND, "{\"lock\":{\"token\":7,\"authority\":\"idp\",\"user\":\"\",\"uid\":0}}\n"},
		{LINE, "\"token\":7,\"ok\":false"},
		{WAIT_EOF, NULL},
		{END, NULL}};
	struct pend_client_handlers on = handlers;

	on.unlock = on_unlock;
	on.lock = on_lock;
	codes = 0;
	pend_client_server_free(server);
	server = pend_client_server_new(sock, "idp", 7, &on, NULL);
	ck_assert_int_eq(pend_client_server_unlocked(server, 1, true, 0, NULL),
			 PEND_CLIENT_E_INVALID); /* not connected */
	daemon_start(script);
	serve_until(&codes, 1);
	ck_assert_str_eq(brought, "idp ::1 12 34 joe 1000");
	serve_until(&codes, 2);
	ck_assert_str_eq(brought, "idp ");
	round_once(0);
	pend_client_server_free(server);
	server = NULL;
	daemon_was_content();
}
END_TEST

/* A program that knows nothing of codes refuses them. */
START_TEST(codes_are_refused)
{
	static const struct step script[] = {
		{ACCEPT, NULL},
		{LINE, "serve"},
		{SEND, SERVING CODE("unlock", "4097") CODE("lock", "8")},
		{LINE, "\"token\":4097,\"ok\":false"},
		{LINE, "\"token\":8,\"ok\":false"},
		{SEND, QUESTION("a0.1")},
		{LINE, "a0.1"},
		{END, NULL}};

	saw.answer = PEND_CLIENT_ANSWER_PERMIT;
	daemon_start(script);
	serve_until(&saw.questions, 1);
	daemon_was_content();
}
END_TEST

/* Whatever ends the serving, it is told why, and begins again. */
static const struct {
	const char *text, *why;
} ends[] = {
	{SERVING "{\"unserved\":{\"authority\":\"idp\",\"why\":\"policy\"}}\n", "policy"},
	{"{\"id\":1,\"ok\":false,\"error\":{\"code\":\"denied\",\"message\":\"you may not\"}}\n",
	 "you may not"},
	{"{\"id\":1,\"ok\":false,\"error\":{}}\n", "refused"},
	{SERVING "this is not JSON\n", ""},
	{SERVING "{\"question\":{\n", ""},
	{SERVING "[1,2]\n", ""},
	{"{\"pend\":", ""},
};

START_TEST(it_begins_again)
{
	const struct step script[] = {{ACCEPT, NULL},  {LINE, "serve"},  {SEND, ends[_i].text},
				      {HANG_UP, NULL}, {ACCEPT, NULL},   {LINE, "serve"},
				      {SEND, SERVING}, {WAIT_EOF, NULL}, {END, NULL}};
	unsigned before = strncmp(ends[_i].text, SERVING, strlen(SERVING)) == 0;

	daemon_start(script);
	serve_until(&saw.down, 1);
	ck_assert_uint_eq(saw.up, before);
	ck_assert_msg(*saw.why && strstr(saw.why, ends[_i].why), "told: \"%s\"", saw.why);
	ck_assert_int_eq(pend_client_server_fd(server), -1);
	ck_assert_int_eq(
		pend_client_server_answer(server, "a0.1", PEND_CLIENT_ANSWER_PERMIT, NULL, NULL),
		PEND_CLIENT_E_INVALID);
	serve_until(&saw.up, before + 1);
	pend_client_server_free(server);
	server = NULL;
	daemon_was_content();
}
END_TEST

/* Members of another type, or none of them. */
static const char *const odd[] = {
	"{\"question\":{}}\n",
	"{\"question\":7}\n",
	"{\"question\":{\"id\":7,\"source\":[],\"dest_port\":\"22\",\"rule\":-1,\"protocol\":6}}\n",
	"{\"question\":{\"id\":\"a0.1\\\"}]}\",\"protocol\":1e99}}\n",
	"{\"withdrawn\":7}\n",
	"{\"unserved\":{\"authority\":\"another\",\"why\":\"policy\"}}\n",
	"{\"id\":{},\"ok\":1}\n",
	"{\"id\":9,\"ok\":false,\"error\":7}\n",
};

START_TEST(odd_lines_do_no_harm)
{
	const struct step script[] = {
		{ACCEPT, NULL},
		{LINE, "serve"},
		{SEND, SERVING},
		{SEND, odd[_i]},
		{SEND, QUESTION("a0.2")},
		{LINE,
		 "{\"op\":\"answer\",\"answers\":[{\"id\":\"a0.2\",\"verdict\":\"permit\"}]}"},
		{END, NULL}};
	int64_t until = now_ms() + 5000;

	daemon_start(script);
	while (strncmp(saw.asked, "a0.2 ", 5) && now_ms() < until)
		round_once(20);
	ck_assert_uint_eq(saw.down, 0);
	round_once(0);
	daemon_was_content();
}
END_TEST

/* By itself, when there is nothing else to say. */
START_TEST(signs_of_life)
{
	static const struct step script[] = {
		{ACCEPT, NULL},
		{LINE, "\"heartbeat\":1"},
		{SEND, SERVING},
		{LINE, "\"op\":\"ping\""},
		{SEND, "{\"id\":2,\"ok\":true,\"result\":{}}\n"},
		{LINE, "\"op\":\"ping\""},
		{SEND, "{\"unserved\":{\"authority\":\"idp\",\"why\":\"heartbeat\"}}\n"},
		{ACCEPT, NULL},
		{LINE, "\"heartbeat\":1"},
		{END, NULL}};
	int64_t began = now_ms();

	pend_client_server_heartbeat(server, 1);
	daemon_start(script);
	serve_until(&saw.up, 1);
	ck_assert_int_gt(pend_client_server_timeout_ms(server), 0);
	ck_assert_int_le(pend_client_server_timeout_ms(server), 1000);
	serve_until(&saw.down, 1);
	ck_assert_int_ge(now_ms() - began, 2000);
	ck_assert_msg(strstr(saw.why, "heard"), "%s", saw.why);
	while (!pend_client_server_client(server))
		round_once(20);
	daemon_was_content();
}
END_TEST

/* Each time it waits twice as long, and begins anew after a success. */
START_TEST(ever_slower)
{
	static const struct step script[] = {{REFUSE, NULL},  {REFUSE, NULL},  {REFUSE, NULL},
					     {ACCEPT, NULL},  {LINE, "serve"}, {SEND, SERVING},
					     {HANG_UP, NULL}, {END, NULL}};
	int waits[5];

	daemon_start(script);
	for (unsigned i = 0; i < 3; i++) {
		serve_until(&saw.down, i + 1);
		waits[i] = pend_client_server_timeout_ms(server);
	}
	serve_until(&saw.up, 1);
	serve_until(&saw.down, 4);
	waits[3] = pend_client_server_timeout_ms(server);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_le(waits[i], 50 << i);
		ck_assert_int_gt(waits[i], i ? 25 << i : 0);
	}
	ck_assert_int_le(waits[3], 50);
	daemon_was_content();
}
END_TEST

START_TEST(nobody_listens)
{
	unlink(sock);
	ck_assert_int_eq(pend_client_server_process(server), PEND_CLIENT_OK);
	ck_assert_uint_eq(saw.down, 1);
	ck_assert_ptr_nonnull(strstr(saw.why, "not running"));
	/* not before its time */
	ck_assert_int_eq(pend_client_server_process(server), PEND_CLIENT_OK);
	ck_assert_uint_eq(saw.down, 1);
	ck_assert_int_gt(pend_client_server_timeout_ms(server), 0);
}
END_TEST

START_TEST(another_version_is_not_served)
{
	static const struct step script[] = {
		{ACCEPT, "{\"pend\":{\"version\":\"9\",\"protocol\":2,\"role\":\"admin\"}}\n"},
		{WAIT_EOF, NULL},
		{ACCEPT,
		 "{\"pend\":{\"version\":\"0.1.1\",\"protocol\":1,\"role\":\"admin\",\"new\":1},"
		 "\"newer\":[]}\n"},
		{LINE, "serve"},
		{SEND, SERVING},
		{END, NULL}};

	daemon_start(script);
	serve_until(&saw.down, 1);
	ck_assert_msg(strstr(saw.why, "version"), "%s", saw.why);
	serve_until(&saw.up, 1);
	daemon_was_content();
}
END_TEST

/* What was answered before the end goes out. */
START_TEST(run_ends_when_it_is_told_to)
{
	static const struct step script[] = {{ACCEPT, NULL},
					     {LINE, "serve"},
					     {SEND, SERVING QUESTION("a0.1") QUESTION("a0.2")},
					     {LINE, "\"a0.1\""},
					     {WAIT_EOF, NULL},
					     {END, NULL}};

	saw.stop_after = 1;
	daemon_start(script);
	ck_assert_int_eq(pend_client_server_run(server), PEND_CLIENT_OK);
	ck_assert_uint_eq(saw.questions, 1);
	pend_client_server_free(server);
	server = NULL;
	daemon_was_content();
}
END_TEST

static void stop_it(int signo)
{
	(void)signo;
	pend_client_server_stop(server);
}

START_TEST(or_by_a_signal)
{
	static const struct step script[] = {
		{ACCEPT, NULL}, {LINE, "serve"}, {SEND, SERVING}, {WAIT_EOF, NULL}, {END, NULL}};

	daemon_start(script);
	signal(SIGALRM, stop_it);
	alarm(1);
	ck_assert_int_eq(pend_client_server_run(server), PEND_CLIENT_OK);
	ck_assert_uint_eq(saw.up, 1);
	pend_client_server_free(server);
	server = NULL;
	daemon_was_content();
}
END_TEST

#define COUNT(a) (int)(sizeof(a) / sizeof((a)[0]))

Suite *suite(void)
{
	Suite *s = suite_create("client_serve");
	TCase *t = tcase_create("client_serve");

	tcase_set_timeout(t, 30);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, it_serves_and_answers_at_once);
	tcase_add_loop_test(t, each_answer_has_its_name, 0, COUNT(answers));
	tcase_add_test(t, later_in_any_order_and_with_a_reason);
	tcase_add_test(t, what_is_no_answer_is_refused);
	tcase_add_test(t, many_answers_in_lines_that_are_not_too_long);
	tcase_add_test(t, withdrawn_questions_are_told);
	tcase_add_test(t, codes_are_handed_over);
	tcase_add_test(t, codes_are_refused);
	tcase_add_loop_test(t, it_begins_again, 0, COUNT(ends));
	tcase_add_loop_test(t, odd_lines_do_no_harm, 0, COUNT(odd));
	tcase_add_test(t, signs_of_life);
	tcase_add_test(t, ever_slower);
	tcase_add_test(t, nobody_listens);
	tcase_add_test(t, another_version_is_not_served);
	tcase_add_test(t, run_ends_when_it_is_told_to);
	tcase_add_test(t, or_by_a_signal);
	suite_add_tcase(s, t);
	return s;
}
