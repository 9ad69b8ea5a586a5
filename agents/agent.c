/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One authority's process; see agent.h. */
#include "agents/agent_self.h"
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define HEARTBEAT_S 5  /* a stopped one costs others no more than twice that */
#define ALONE_TRIES 20 /* of 100 ms: the one before may be about to end */

static const char usage_text[] =
	"usage: pend-agent --authority NAME [--socket PATH] [--generation N]\n"
	"                  [--exec PROGRAM [--processes N]]\n"
	"       pend-agent --version | --help\n"
	"pendd starts it for each authority of its kinds; see pend-agent(8)\n";

static const struct agent_kind *const kinds[] = {&agent_exec, &agent_totp, &agent_dnsbl,
						 &agent_http, &agent_unit};

/* What it was started with. */
struct start {
	unsigned generation;
	const char *program; /* NULL: as the policy says */
	unsigned processes;
};

/* Standard error is the daemon's, which is the journal. */
static void __attribute__((format(printf, 2, 0)))
say(const struct agent *a, const char *fmt, va_list ap)
{
	char text[ERR_TEXT_MAX];

	vsnprintf(text, sizeof(text), fmt, ap);
	fprintf(stderr, "pend-agent: %s: %s\n", a->name, text);
}

void agent_log(const struct agent *a, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(a, fmt, ap);
	va_end(ap);
}

void agent_fail(struct agent *a, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(a, fmt, ap);
	va_end(ap);
	a->failed = true;
}

/* ---- questions ---- */

void agent_say(struct agent_question *q, const struct pend_client_say *what)
{
	struct pend_client_server *s = q->agent->server;
	struct pend_client_say say = *what;

	if (say.answer != PEND_CLIENT_ANSWER_BLOCK)
		say.how = NULL;
	/* A way to block that there is not is a block all the same. Not connected: it was withdrawn with
	 * the connection. */
	if (pend_client_server_say(s, q->id, &say) == PEND_CLIENT_E_INVALID && say.how) {
		say.how = NULL;
		pend_client_server_say(s, q->id, &say);
	}
	agent_question_free(q);
}

void agent_answer(struct agent_question *q, enum pend_client_answer answer, const char *how,
		  const char *why)
{
	struct pend_client_say say = PEND_CLIENT_SAY(answer);

	say.how = how;
	say.why = why;
	agent_say(q, &say);
}

static void question_drop(struct agent_question *q)
{
	q->agent->kind->withdrawn(q);
	agent_question_free(q);
}

static enum pend_client_answer on_question(void *ctx, struct pend_client_server *s,
					   const struct pend_client_question *in)
{
	struct agent *a = ctx;
	struct agent_question *q = agent_question_find(a, in->id);

	(void)s;
	if (q) /* put once more: the first time is over */
		question_drop(q);
	q = agent_question_new(a, in);
	if (!q)
		return PEND_CLIENT_ANSWER_ERROR;
	a->kind->question(q);
	return PEND_CLIENT_ANSWER_LATER;
}

static void on_withdrawn(void *ctx, struct pend_client_server *s, const char *id, const char *why)
{
	struct agent_question *q = agent_question_find(ctx, id);

	(void)s;
	(void)why;
	if (q)
		question_drop(q);
}

/* What is over is so often. All else is a fault, and would end by the deadline without a word. */
static void on_refused(void *ctx, struct pend_client_server *s, const char *id, const char *code)
{
	(void)s;
	if (strcmp(code, "not-found") != 0)
		agent_log(ctx, "the daemon did not take an answer%s%s: %s", *id ? " to " : "", id,
			  code);
}

static void on_unlock(void *ctx, struct pend_client_server *s, const struct pend_client_unlock *u)
{
	struct agent *a = ctx;

	(void)s;
	if (a->kind->unlock)
		a->kind->unlock(a, u);
	else
		agent_unlocked(a, u->token, false, 0, "no code opens this authority");
}

static void on_lock(void *ctx, struct pend_client_server *s, const struct pend_client_unlock *u)
{
	struct agent *a = ctx;

	(void)s;
	if (a->kind->lock)
		a->kind->lock(a, u);
	else
		agent_unlocked(a, u->token, false, 0, "no code opens this authority");
}

void agent_unlocked(struct agent *a, uint64_t token, bool ok, uint64_t open_ms, const char *why)
{
	pend_client_server_unlocked(a->server, token, ok, open_ms, why);
}

static void drop_all(struct agent *a)
{
	while (!list_empty(&a->questions))
		question_drop(container_of(a->questions.next, struct agent_question, link));
}

/* ---- the connection ---- */

static bool same(const json_t *one, const json_t *other, const char *key)
{
	return json_equal(json_object_get(one, key), json_object_get(other, key));
}

/* One that keeps its state to itself must not have a second beside it. */
static bool taken(const struct agent *a, const json_t *def)
{
	return a->kind->alone &&
	       json_integer_value(json_object_get(json_object_get(def, "health"), "servers")) > 0;
}

static void say_taken(struct agent *a)
{
	agent_fail(a, "another program serves this authority, which has one at a time");
}

/* It may not: because it was slower than another one? */
static void look_whether_taken(struct agent *a)
{
	struct err e = {0};
	json_t *def = a->kind->alone ? agent_definition(a->socket, a->name, 0, &e) : NULL;

	if (taken(a, def))
		say_taken(a);
	json_decref(def);
}

/*
 * Connected again: to another daemon, or because the policy has changed. pendd starts those anew that it has started; others
 * see by themselves that they are to do something else now.
 */
static void look_again(struct agent *a)
{
	struct err e = {0};
	json_t *def = a->served ? agent_definition(a->socket, a->name, 0, &e) : NULL;

	if (a->served &&
	    (!def || !same(def, a->definition, "type") || !same(def, a->definition, "config"))) {
		agent_fail(a, "%s", def ? "its definition has changed: beginning anew" : e.text);
		a->again = def != NULL;
	}
	json_decref(def);
	a->served = true;
}

static void on_state(void *ctx, struct pend_client_server *s, bool serving, const char *why)
{
	struct agent *a = ctx;

	(void)s;
	if (serving) {
		a->serving = true;
		if (!a->own)
			look_again(a);
		return;
	}
	agent_log(a, "not serving: %s", why);
	if (!a->serving) /* else it would find itself */
		look_whether_taken(a);
	a->serving = false;
	if (a->fd >= 0)
		loop_del(a->loop, a->fd);
	a->fd = -1;
	drop_all(a);
}

static void on_server(void *ctx, uint32_t events)
{
	(void)ctx;
	(void)events; /* idle() reads and writes */
}

static void watch_server(struct agent *a)
{
	int fd = pend_client_server_fd(a->server);
	bool writing = pend_client_server_wants_write(a->server);

	if (fd >= 0 && a->fd < 0) {
		if (loop_add(a->loop, fd, EPOLLIN, on_server, a))
			agent_fail(a, "cannot wait for the daemon");
		a->fd = fd;
		a->writing = false;
	}
	if (fd >= 0 && writing != a->writing) {
		loop_mod(a->loop, fd, writing ? EPOLLIN | EPOLLOUT : EPOLLIN);
		a->writing = writing;
	}
}

/* What the round has answered goes out with it. */
static mono_t idle(void *ctx, mono_t now)
{
	struct agent *a = ctx;
	int ms;

	if (pend_client_server_process(a->server) != PEND_CLIENT_OK)
		agent_fail(a, "out of memory");
	watch_server(a);
	if (a->failed)
		loop_stop(a->loop, 1);
	ms = pend_client_server_timeout_ms(a->server);
	return ms < 0 ? MONO_NEVER : mono_add(now, (uint64_t)ms * MONO_NS_PER_MS);
}

static void on_term(void *ctx, int signo)
{
	struct agent *a = ctx;

	(void)signo;
	loop_stop(a->loop, 0);
}

/* ---- start and end ---- */

static const struct agent_kind *kind_of(const json_t *def)
{
	const char *type = json_string_value(json_object_get(def, "type"));

	for (size_t i = 0; type && i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strcmp(kinds[i]->type, type) == 0)
			return kinds[i];
	return NULL;
}

static int serve(struct agent *a)
{
	const struct pend_client_handlers on = {.question = on_question,
						.withdrawn = on_withdrawn,
						.state = on_state,
						.unlock = on_unlock,
						.lock = on_lock};
	int r;

	a->server = pend_client_server_new(a->socket, a->name, AGENT_QUESTIONS, &on, a);
	if (!a->server)
		return 1;
	pend_client_server_heartbeat(a->server, HEARTBEAT_S);
	pend_client_server_on_refused(a->server, on_refused);
	loop_set_idle(a->loop, idle, a);
	r = loop_run(a->loop);
	drop_all(a);
	pend_client_server_free(a->server);
	return r != 0;
}

static json_t *definition(const struct agent *a, const struct start *s, struct err *e)
{
	json_t *def;

	if (!s->program)
		return agent_definition(a->socket, a->name, s->generation, e);
	def = agent_definition_exec(s->program, s->processes);
	if (!def)
		err_set(e, -ENOMEM, "out of memory");
	return def;
}

/* False: it stays taken. */
static bool await_turn(struct agent *a, const struct start *s)
{
	const struct timespec pause = {.tv_nsec = 100 * 1000000L};
	struct err e = {0};

	for (int i = 0; taken(a, a->definition) && i < ALONE_TRIES; i++) {
		json_t *def;

		nanosleep(&pause, NULL);
		def = definition(a, s, &e);
		if (!def || kind_of(def) != a->kind) {
			json_decref(def);
			break;
		}
		json_decref(a->definition);
		a->definition = def;
	}
	return !taken(a, a->definition);
}

static int begin(struct agent *a, const struct start *s)
{
	struct err e = {0};
	int r;

	if (!await_turn(a, s)) {
		say_taken(a);
		return 1;
	}
	r = a->kind->start(a, json_object_get(a->definition, "config"), &e);
	if (r < 0)
		agent_log(a, "%s", e.text);
	else
		r = serve(a);
	a->kind->stop(a);
	return r;
}

static int run(struct agent *a, const struct start *s)
{
	struct err e = {0};
	json_t *def = definition(a, s, &e);

	a->kind = kind_of(def);
	if (!def || !a->kind) {
		agent_log(a, "%s", def ? "not a kind of authority that pend-agent knows" : e.text);
		json_decref(def);
		return 1;
	}
	a->definition = def;
	a->own = s->program != NULL;
	return begin(a, s) != 0;
}

static int usage(void)
{
	fputs(usage_text, stderr);
	return 2;
}

static int tell(int what)
{
	if (what == 'h')
		fputs(usage_text, stdout);
	else
		puts("pend-agent " PEND_VERSION);
	return 0;
}

static int run_all(struct agent *a, const struct start *s)
{
	int r = 1;

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	signal(SIGPIPE, SIG_IGN);
	list_init(&a->questions);
	if (!htable_init(&a->by_id, AGENT_QUESTIONS) && !loop_new(&a->loop) &&
	    !loop_signal(a->loop, SIGTERM, on_term, a) && !loop_signal(a->loop, SIGINT, on_term, a))
		r = run(a, s);
	loop_free(a->loop);
	htable_deinit(&a->by_id);
	json_decref(a->definition);
	return r;
}

int agent_main(int argc, char **argv)
{
	static const struct option options[] = {{"authority", required_argument, NULL, 'a'},
						{"socket", required_argument, NULL, 's'},
						{"generation", required_argument, NULL, 'g'},
						{"exec", required_argument, NULL, 'e'},
						{"processes", required_argument, NULL, 'p'},
						{"version", no_argument, NULL, 'V'},
						{"help", no_argument, NULL, 'h'},
						{NULL, 0, NULL, 0}};
	struct agent a = {.fd = -1, .socket = PEND_CLIENT_SOCKET};
	struct start s = {.generation = 0};
	int c;

	while ((c = getopt_long(argc, argv, "a:s:g:e:p:Vh", options, NULL)) != -1) {
		if (c == 'a')
			a.name = optarg;
		else if (c == 's')
			a.socket = optarg;
		else if (c == 'g')
			s.generation = (unsigned)strtoul(optarg, NULL, 10);
		else if (c == 'e')
			s.program = optarg;
		else if (c == 'p')
			s.processes = (unsigned)strtoul(optarg, NULL, 10);
		else if (c == 'V' || c == 'h')
			return tell(c);
		else
			return usage();
	}
	if (!a.name || optind != argc)
		return usage();
	c = run_all(&a, &s);
	if (a.again)
		execv("/proc/self/exe", argv);
	return c;
}
