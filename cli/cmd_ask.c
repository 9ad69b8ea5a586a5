/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pendctl ask: what waits is put to a person, one question after the other, with a prompt in the last
 * line. What is asked and said is in ask_model.c and interview_text.c; here are the terminal and the
 * daemon.
 */
#include "cli/interview.h"
#include "cli/filter.h"
#include "cli/live.h"
#include "cli/term.h"
#include <errno.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LIST_MS   1000 /* between listings of what waits; sooner when something is pended */
#define SOON_MS   200  /* ... but not sooner than this behind the last */
#define FOUND_MS  400  /* so long a question waits for what is looked up about it */
#define SETTLE_MS 1000 /* at most, for what the last decision does to others */
#define RULES_MS  2000 /* between attempts to get the rules of a newer policy */

struct asking {
	struct cli *cli;
	struct interview ask;
	struct live live;
	struct lookup lookup;
	struct term term;
	int signals;
	const struct cli_filter *filter;
	bool names, dumb; /* the terminal cannot erase a line */
	bool quit;
	int exit;
	int64_t now, list_at, listed_at, show_at, rules_at;
	int64_t settled_at; /* a decision may hold for what would be asked next: until then, or a list */
	bool listing, deciding, printed, have_country, have_history;
	unsigned countries, histories; /* replies to come */
	size_t asked;                  /* ids of the last decision */
	char prompt[ASK_LINE_MAX];     /* as it stands in the last line */
};

/* ------------------------------------------------------------------ the screen ---- */

static void prompt_erase(struct asking *s)
{
	if (!s->prompt[0])
		return;
	fputs(s->dumb ? "\n" : "\r\033[K", stdout);
	s->prompt[0] = '\0';
}

static void put(void *ctx, const char *line)
{
	struct asking *s = ctx;
	char text[ASK_LINE_MAX];

	snprintf(text, sizeof(text), "%s", line);
	term_charset(text);
	prompt_erase(s);
	puts(text);
}

__attribute__((format(printf, 2, 3))) static void say(struct asking *s, const char *fmt, ...)
{
	char text[ASK_LINE_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	out_clean(text);
	put(s, text);
}

/* A terminal that cannot erase gets a new prompt only where it says something else than the time. */
static void prompt_put(struct asking *s)
{
	char text[ASK_LINE_MAX];
	int columns, lines;

	interview_prompt(&s->ask, s->now, text);
	if (interview_current(&s->ask) && !s->printed)
		text[0] = '\0'; /* the question comes first */
	term_size(&columns, &lines);
	term_charset(text);
	term_cut(text, columns - 1);
	if (strcmp(text, s->prompt) == 0 || (s->dumb && s->prompt[0]))
		return;
	prompt_erase(s);
	if (s->cli->out.color)
		printf("\033[1m%s\033[0m", text);
	else
		fputs(text, stdout);
	fflush(stdout);
	memcpy(s->prompt, text, sizeof(text));
}

/* ------------------------------------------------------------------ the daemon ---- */

static void end(struct asking *s, int code)
{
	s->quit = true;
	s->exit = code;
}

static void listed(void *ctx, const json_t *result, const char *code, const char *message)
{
	struct asking *s = ctx;

	s->listing = false;
	if (!s->deciding)
		s->settled_at = s->now;
	if (code) {
		prompt_erase(s);
		end(s, cli_fail(strcmp(code, "invalid") ? CLI_FAILURE : CLI_USAGE, "%s", message));
		return;
	}
	interview_listed(&s->ask, json_object_get(result, "pending"),
			 json_object_get(result, "next") != NULL, s->now);
}

/* Many that wait are listed less often: 10,000 of them every two seconds at most. */
static int64_t rest(const struct asking *s)
{
	return (int64_t)s->ask.n / 5;
}

static void list(struct asking *s)
{
	json_t *args = cli_filter_json(s->filter);

	json_object_set_new(args, "limit", json_integer(ASK_ROWS));
	s->listing = live_ask(&s->live, "pending", args, listed, s->now);
	s->listed_at = s->now;
	s->list_at = s->now + LIST_MS + rest(s);
}

/* Something was pended: look soon, but not for each of many. */
static void list_soon(struct asking *s)
{
	int64_t at = s->listed_at + SOON_MS + rest(s);

	if (s->list_at > at)
		s->list_at = at;
}

static void rules_come(void *ctx, const json_t *result, const char *code, const char *message)
{
	struct asking *s = ctx;

	(void)message;
	if (!code)
		interview_rules(&s->ask, result);
}

/* Of this question: an answered one may be followed by another about the same connection. */
static bool is_end(const json_t *event)
{
	const char *type = out_get(event, "type");

	return !strcmp(type, "completed") || !strcmp(type, "answered");
}

static void past_come(void *ctx, const json_t *result, const char *code, const char *message)
{
	struct asking *s = ctx;
	const json_t *e;
	size_t i;

	(void)code;
	(void)message;
	json_array_clear(s->ask.past);
	json_array_foreach(json_object_get(result, "events"), i, e) if (is_end(e))
		interview_ended(&s->ask, e);
}

static void follow(struct asking *s)
{
	json_t *args = json_pack("{s:i,s:b,s:[sss]}", "last", ASK_PAST, "follow", 1, "types",
				 "pended", "completed", "answered");
	json_t *match = cli_filter_json(s->filter);

	if (json_object_size(match))
		json_object_set(args, "match", match);
	json_decref(match);
	live_ask(&s->live, "events", args, past_come, s->now);
}

static void up(void *ctx)
{
	struct asking *s = ctx;

	follow(s);
	s->rules_at = s->now;
	live_ask(&s->live, "rules", NULL, rules_come, s->now);
	list(s);
}

static void down(void *ctx, enum pend_client_error e, const char *why)
{
	struct asking *s = ctx;

	interview_listed(&s->ask, NULL, false, s->now);
	s->listing = s->deciding = false;
	s->countries = s->histories = 0;
	say(s, "%s; trying again", why);
	if (e == PEND_CLIENT_E_DENIED)
		end(s, CLI_DENIED);
}

static void event(void *ctx, json_t *e)
{
	struct asking *s = ctx;
	const char *type = out_get(e, "type");

	if (is_end(e) && interview_ended(&s->ask, e))
		interview_text_ended(e, put, s);
	else if (!strcmp(type, "pended"))
		list_soon(s);
	else if (!strcmp(type, "subscription-lost"))
		follow(s);
}

static void decided(void *ctx, const json_t *result, const char *code, const char *message)
{
	const json_t *failed = json_object_get(result, "failed"), *f;
	struct asking *s = ctx;
	long long n = out_int(result, "completed");
	size_t i;

	if (code)
		say(s, "%s: %s", live_done(code) ? "warning" : "not done", message);
	if (live_done(code) && s->asked > ASK_MANY)
		say(s, "%lld of %zu were decided", n, s->asked);
	json_array_foreach(failed, i, f)
	{
		const char *what = out_get(f, "code");

		if (s->asked <= ASK_MANY && strcmp(what, "not-found") && strcmp(what, "already"))
			say(s, "%s: not done: %s", out_get(f, "id"), what);
	}
	if (!live_done(code) || json_array_size(failed))
		interview_refused(&s->ask); /* what is over is not listed any more */
	s->deciding = false;
	s->list_at = s->now;
}

/* -------------------------------------------------------------- the questions ---- */

static void country_come(void *ctx, const json_t *result, const char *code, const char *message)
{
	struct asking *s = ctx;

	(void)message;
	if (--s->countries) /* about an earlier question */
		return;
	s->have_country = true;
	if (!code)
		snprintf(s->ask.country, sizeof(s->ask.country), "%s", out_get(result, "country"));
}

static void history_come(void *ctx, const json_t *result, const char *code, const char *message)
{
	struct asking *s = ctx;

	(void)message;
	if (--s->histories) /* about an earlier question */
		return;
	s->have_history = true;
	if (!code) /* else it keeps none */
		interview_history(&s->ask, result);
}

static void question_begin(struct asking *s)
{
	const struct interview_row *row = interview_current(&s->ask);
	struct lookup_question q;

	s->printed = s->have_country = s->have_history = false;
	s->show_at = s->ask.shown = s->now + FOUND_MS;
	if (!interview_question(&s->ask, s->names, &q) || !lookup_ask(&s->lookup, &q, s->now))
		s->ask.late = true;
	s->countries += live_ask(&s->live, "country",
				 json_pack("{s:O}", "address", json_object_get(row->v, "source")),
				 country_come, s->now);
	s->histories += live_ask(&s->live, "history",
				 json_pack("{s:O,s:i}", "source", json_object_get(row->v, "source"),
					   "limit", ASK_HISTORY),
				 history_come, s->now);
}

static bool question_ready(const struct asking *s)
{
	const struct interview *a = &s->ask;

	return s->now >= s->show_at || (a->have_listener && (a->have_target || !s->names) &&
					s->have_country && s->have_history && a->rules);
}

/* A policy came meanwhile: its rules are asked for, now and then. */
static void rules_refresh(struct asking *s, const struct interview_row *row)
{
	if (out_int(row->v, "generation") <= s->ask.generation || s->now < s->rules_at + RULES_MS)
		return;
	s->rules_at = s->now;
	live_ask(&s->live, "rules", NULL, rules_come, s->now);
}

static void question(struct asking *s)
{
	char before[ASK_ID];

	memcpy(before, s->ask.current, sizeof(before));
	if (!interview_waits(&s->ask) && before[0] && s->printed && !s->quit)
		say(s, "%s does not wait any more", before);
	if (s->now >= s->settled_at && interview_next(&s->ask, s->now))
		question_begin(s);
	if (!interview_current(&s->ask))
		return;
	rules_refresh(s, interview_current(&s->ask));
	if (s->printed || !question_ready(s))
		return;
	put(s, "");
	interview_text(&s->ask, s->now, put, s);
	s->printed = true;
	s->ask.shown = s->now;
}

static void looked_up(struct asking *s)
{
	struct lookup_answer a;

	while (lookup_read(&s->lookup, &a)) {
		if (a.kind == LOOKUP_LISTENER) {
			s->ask.listener = a;
			s->ask.have_listener = true;
			continue;
		}
		if (a.kind == LOOKUP_TARGET) {
			s->ask.target = a;
			s->ask.have_target = true;
			if (s->printed)
				interview_text_target(&s->ask, put, s);
			continue;
		}
		s->ask.name = a;
		s->ask.have_name = true;
		if (s->printed)
			interview_text_name(&s->ask, put, s);
	}
	if (lookup_late(&s->lookup, s->now))
		s->ask.late = true;
}

static void decisions_come(void *ctx, const json_t *result, const char *code, const char *message)
{
	struct asking *s = ctx;
	const struct interview_row *row = interview_current(&s->ask);
	const json_t *d;
	size_t i;

	(void)message;
	if (!row)
		return;
	json_decref(s->ask.decisions);
	s->ask.decisions = code ? NULL : json_array();
	json_array_foreach(json_object_get(result, "decisions"), i,
			   d) if (!strcmp(out_get(d, "source"), out_get(row->v, "source")))
		json_array_append_new(s->ask.decisions, json_deep_copy(d));
	interview_details(&s->ask, s->now, put, s);
}

static void act(struct asking *s, struct interview_action *action)
{
	switch (action->what) {
	case ASK_NOTHING:
	case ASK_REDRAW:
	case ASK_AGAIN:
		return;
	case ASK_DECIDE:
		s->asked = json_array_size(action->ids);
		s->settled_at = s->now + SETTLE_MS;
		s->deciding = true;
		if (!live_ask(&s->live, "complete", interview_request(&s->ask, action), decided,
			      s->now))
			interview_refused(&s->ask);
		return;
	case ASK_DETAILS:
		live_ask(&s->live, "decisions", NULL, decisions_come, s->now);
		return;
	case ASK_HELP:
		interview_help(put, s);
		return;
	case ASK_QUIT:
		end(s, CLI_OK);
		return;
	}
}

static void keys(struct asking *s)
{
	unsigned char buf[256];
	ssize_t n = read(STDIN_FILENO, buf, sizeof(buf));
	struct interview_action action;
	size_t at = 0;

	if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN)) {
		end(s, CLI_OK); /* the terminal is gone */
		return;
	}
	while (n > 0 && at < (size_t)n && !s->quit) {
		int key = term_key(buf, (size_t)n, &at);

		if (key == TERM_KEY_NONE)
			continue;
		interview_key(&s->ask, key, s->now, &action);
		act(s, &action);
	}
}

static void signalled(struct asking *s)
{
	int sig;

	while ((sig = term_signal(s->signals))) {
		prompt_erase(s);
		fflush(stdout);
		if (sig == SIGTSTP)
			term_stop(&s->term);
		else if (sig != SIGWINCH)
			end(s, CLI_OK);
	}
}

static int next_wake(const struct asking *s)
{
	int64_t next = s->list_at;
	int ms = live_timeout_ms(&s->live, s->now);

	if (!s->live.client)
		next = s->now + LIST_MS;
	if (interview_current(&s->ask) && !s->printed && s->show_at < next)
		next = s->show_at;
	next = next > s->now ? next - s->now : 0;
	return ms >= 0 && ms < next ? ms : (int)next;
}

static void wait_all(struct asking *s)
{
	struct pollfd p[] = {
		{.fd = STDIN_FILENO, .events = POLLIN},
		{.fd = s->signals, .events = POLLIN},
		{.fd = live_fd(&s->live),
		 .events = POLLIN | (live_wants_write(&s->live) ? POLLOUT : 0)},
		{.fd = s->lookup.fd, .events = POLLIN},
	};

	if (poll(p, 4, next_wake(s)) < 0)
		return;
	s->now = term_now_ms();
	if (p[1].revents)
		signalled(s);
	looked_up(s);
	if (p[0].revents && !s->quit)
		keys(s);
}

static int run(struct asking *s)
{
	while (!s->quit) {
		s->now = term_now_ms();
		live_run(&s->live, s->now);
		if (s->live.client && !s->listing && s->now >= s->list_at)
			list(s);
		else if (s->listing && s->now >= s->list_at)
			s->list_at = s->now + LIST_MS;
		question(s);
		if (s->quit)
			break;
		prompt_put(s);
		wait_all(s);
	}
	prompt_erase(s);
	fflush(stdout);
	return s->exit;
}

/* Only who may decide is asked. */
static int may_decide(struct cli *cli)
{
	int r = cli_connect(cli);
	const char *role;

	if (r != CLI_OK)
		return r;
	role = pend_client_role(cli->client);
	if (strcmp(role, "admin") != 0 && strcmp(role, "decide") != 0)
		r = cli_fail(CLI_DENIED, "your role is %s: you may look (pendctl top), not decide",
			     role);
	pend_client_close(cli->client);
	cli->client = NULL;
	return r;
}

static int ask_people(struct cli *cli, const struct cli_filter *filter, bool names)
{
	static const struct live_ops ops = {.up = up, .event = event, .down = down};
	const char *term = getenv("TERM");
	struct asking s = {.cli = cli, .filter = filter, .names = names};
	int r = may_decide(cli);

	if (r != CLI_OK)
		return r;
	setlocale(LC_CTYPE, "");
	s.dumb = !term || !*term || !strcmp(term, "dumb");
	s.signals = term_signals();
	if (s.signals < 0 || term_open(&s.term) < 0)
		return cli_fail(CLI_FAILURE, "cannot use the terminal: %s", strerror(errno));
	interview_init(&s.ask);
	lookup_init(&s.lookup);
	live_init(&s.live, cli->socket, &ops, &s);
	r = run(&s);
	term_close(&s.term);
	live_deinit(&s.live);
	lookup_deinit(&s.lookup);
	interview_deinit(&s.ask);
	close(s.signals);
	return r;
}

int cmd_ask(struct cli *cli, int argc, char **argv)
{
	struct cli_filter f = CLI_FILTER_INIT;
	const char *program = NULL;
	uint32_t processes = 16;
	bool no_names = false;
	const struct cli_opt opts[] = {
		{"exec", 'e', CLI_TEXT, &program},    {"processes", 0, CLI_NUMBER, &processes},
		{"no-names", 0, CLI_FLAG, &no_names}, {"source", 0, CLI_TEXT, &f.source},
		{"family", 0, CLI_NUMBER, &f.family}, CLI_FILTER_OPTS(&f),
	};

	argc = cli_parse(cli, opts, sizeof(opts) / sizeof(opts[0]), false, argc, argv);
	if (argc < 0)
		return CLI_USAGE;
	if (argc > 1)
		return cli_usage("ask", "ask takes options only, not \"%s\"", argv[1]);
	if (program && cli_filter_any(&f))
		return cli_usage("ask",
				 "a program is asked about all of its authority: --exec goes "
				 "without a filter, but for --authority");
	if (program)
		return cmd_ask_exec(cli, program, f.authority, processes);
	if (cli->json || !isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
		return cli_usage(
			"ask", "ask is for a person at a terminal; a program answers with --exec, "
			       "or as an authority of type exec or socket, see pend.conf(5)");
	return ask_people(cli, &f, !no_names);
}
