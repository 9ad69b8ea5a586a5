/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A program that serves by the client library, against a scripted daemon, which is a process of its own, for the
 * library waits for its greeting. Include it in one file of the program.
 */
#ifndef TESTS_UNIT_SERVE_SCRIPT_H
#define TESTS_UNIT_SERVE_SCRIPT_H

#include "unit.h"
#include <pend-client.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define HELLO        "{\"pend\":{\"version\":\"0.1.0\",\"protocol\":1,\"role\":\"admin\"}}\n"
#define SERVING      "{\"id\":1,\"ok\":true,\"result\":{\"authority\":\"idp\",\"timeout_ms\":5000}}\n"
#define QUESTION(id) QUESTION_FOR(id, "idp")
#define QUESTION_FOR(id, authority)                                                               \
	"{\"question\":{\"id\":\"" id "\",\"authority\":\"" authority "\",\"remaining_ms\":4990," \
	"\"protocol\":\"tcp\",\"source\":\"203.0.113.7\",\"source_port\":4000,"                   \
	"\"dest\":\"192.0.2.1\",\"dest_port\":22,\"interface\":\"eth0\",\"rule\":2,"              \
	"\"generation\":5,\"retransmits\":1}}\n"
#define CODE(kind, token)                                                              \
	"{\"" kind "\":{\"token\":" token ",\"authority\":\"idp\",\"source\":\"::1\"," \
	"\"code\":\"12 34\",\"user\":\"joe\",\"uid\":1000}}\n"
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
	REST, /* read nothing for a while; text: ms */
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

static inline _Noreturn void wrong(const char *what, const char *got)
{
	fprintf(stderr, "the daemon waits for %s, and got %s\n", what, got ? got : "nothing");
	_exit(1);
}

static inline const char *line_in(void)
{
	static char *line;
	static size_t cap;
	ssize_t n = in ? getline(&line, &cap, in) : -1;

	if (n > LINE_MAX_SENT)
		wrong("a shorter line", "a long one");
	return n < 0 ? NULL : line;
}

static inline unsigned ids_in(const char *line)
{
	unsigned n = 0;

	while ((line = strstr(line, "{\"id\":\"")) != NULL) {
		line++;
		n++;
	}
	return n;
}

static inline void hang_up(void)
{
	if (in)
		fclose(in);
	in = NULL;
	fd = -1;
}

static inline void send_text(const char *text)
{
	for (size_t at = 0, len = strlen(text); at < len;) {
		ssize_t n = send(fd, text + at, len - at, MSG_NOSIGNAL);

		if (n <= 0)
			return;
		at += (size_t)n;
	}
}

static inline void accept_one(const char *greeting)
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

static inline void step_do(const struct step *s)
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
	case REST:
		poll(NULL, 0, atoi(s->text));
		break;
	case END:
		break;
	}
}

static inline void daemon_start(const struct step *script)
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

static inline void daemon_was_content(void)
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

static inline enum pend_client_answer on_question(void *ctx, struct pend_client_server *s,
						  const struct pend_client_question *q)
{
	(void)ctx;
	snprintf(saw.asked, sizeof(saw.asked), "%s %s %s", q->id, q->source, q->protocol);
	saw.last = *q;
	if (++saw.questions == saw.stop_after)
		pend_client_server_stop(s);
	return saw.answer;
}

static inline void on_withdrawn(void *ctx, struct pend_client_server *s, const char *id,
				const char *why)
{
	(void)ctx;
	(void)s;
	saw.withdrawn++;
	snprintf(saw.gone, sizeof(saw.gone), "%s %s", id, why);
}

static inline void on_state(void *ctx, struct pend_client_server *s, bool serving, const char *why)
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

static inline int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static inline void round_once(int ms)
{
	struct pollfd p = {.fd = pend_client_server_fd(server), .events = POLLIN};
	int timeout = pend_client_server_timeout_ms(server);

	if (pend_client_server_wants_write(server))
		p.events |= POLLOUT;
	poll(&p, 1, timeout >= 0 && timeout < ms ? timeout : ms);
	ck_assert_int_eq(pend_client_server_process(server), PEND_CLIENT_OK);
}

/* Serve until *counter is `want`. */
static inline void serve_until(const unsigned *counter, unsigned want)
{
	int64_t until = now_ms() + 10000;

	while (*counter < want && now_ms() < until)
		round_once(50);
	ck_assert_uint_eq(*counter, want);
}

static inline void setup(void)
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

static inline void teardown(void)
{
	pend_client_server_free(server);
	close(listen_fd);
	unlink(sock);
	rmdir(folder);
}

#define COUNT(a) (int)(sizeof(a) / sizeof((a)[0]))

#endif
