/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pendctl top: a screen of what goes on, anew every second, with keys to decide. What is on it is made
 * in top.c and top_lines.c; here it is drawn, by ncurses, or, with --batch, printed.
 */
#include "cli/filter.h"
#include "cli/live.h"
#include "cli/term.h"
#include "cli/top.h"
#include <curses.h>
#include <errno.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BATCH_COLUMNS     132
#define DECISIONS_MS      5000 /* between looks at what is remembered, and a millisecond more for each */
#define DECISIONS_SOON_MS 1000 /* ... when there is a reason */
#define EVENTS_AT_ONCE    20

struct watching {
	struct cli *cli;
	struct top top;
	struct live live;
	const struct cli_filter *filter;
	int signals, page, exit;
	int64_t now, refresh_at, decisions_at, decisions_soon, interval;
	bool quit, color;
	struct top_line line[TOP_LINES];
};

/* ------------------------------------------------------------------ the daemon ---- */

static void status_come(void *ctx, const json_t *result, const char *code, const char *message)
{
	struct watching *w = ctx;

	(void)message;
	if (!code)
		top_status(&w->top, result, w->now);
}

static void authorities_come(void *ctx, const json_t *result, const char *code, const char *message)
{
	struct watching *w = ctx;

	(void)message;
	if (!code)
		top_authorities(&w->top, result);
}

static void pending_come(void *ctx, const json_t *result, const char *code, const char *message)
{
	struct watching *w = ctx;

	if (code)
		snprintf(w->top.message, sizeof(w->top.message), "%s", message);
	else
		top_pending(&w->top, json_object_get(result, "pending"),
			    json_object_get(result, "next") != NULL, w->now);
}

static void decisions_come(void *ctx, const json_t *result, const char *code, const char *message)
{
	struct watching *w = ctx;

	(void)message;
	if (!code)
		top_decisions(&w->top, result, w->now);
	w->decisions_soon = w->now + DECISIONS_SOON_MS +
			    (int64_t)json_array_size(json_object_get(result, "decisions"));
	w->decisions_at = w->decisions_soon + DECISIONS_MS - DECISIONS_SOON_MS;
}

static void events_come(void *ctx, const json_t *result, const char *code, const char *message)
{
	struct watching *w = ctx;
	const json_t *e;
	size_t i;

	(void)code;
	(void)message;
	json_array_foreach(json_object_get(result, "events"), i, e) top_event(&w->top, e);
}

/* Unless a reply is awaited, which then says it. */
static void decisions_soon(struct watching *w)
{
	if (w->decisions_at != INT64_MAX && w->decisions_at > w->decisions_soon)
		w->decisions_at = w->decisions_soon;
}

static void decided(void *ctx, const json_t *result, const char *code, const char *message)
{
	struct watching *w = ctx;

	top_decided(&w->top, result, code, message);
	w->refresh_at = w->now;
	decisions_soon(w);
}

static json_t *pending_args(const struct watching *w)
{
	json_t *args = cli_filter_json(w->filter);

	json_object_set_new(args, "limit", json_integer(TOP_ROWS));
	return args;
}

static json_t *events_args(const struct watching *w, int follow)
{
	json_t *match = cli_filter_json(w->filter), *args;

	args = json_pack("{s:i,s:b,s:[sssssss]}", "last", EVENTS_AT_ONCE, "follow", follow, "types",
			 "pended", "completed", "answered", "kernel-lost", "limit", "ended",
			 "note");
	if (json_object_size(match))
		json_object_set(args, "match", match);
	json_decref(match);
	return args;
}

static void refresh_all(struct watching *w)
{
	w->refresh_at = w->now + w->interval;
	live_ask(&w->live, "status", NULL, status_come, w->now);
	live_ask(&w->live, "authorities", NULL, authorities_come, w->now);
	live_ask(&w->live, "pending", pending_args(w), pending_come, w->now);
	if (w->now < w->decisions_at)
		return;
	w->decisions_at = INT64_MAX; /* until the reply has come */
	live_ask(&w->live, "decisions", NULL, decisions_come, w->now);
}

static void up(void *ctx)
{
	struct watching *w = ctx;

	top_up(&w->top, live_role(&w->live));
	w->decisions_at = w->now;
	live_ask(&w->live, "events", events_args(w, 1), events_come, w->now);
	refresh_all(w);
}

static void down(void *ctx, enum pend_client_error e, const char *why)
{
	struct watching *w = ctx;

	(void)e;
	top_down(&w->top, why);
}

static void event(void *ctx, json_t *e)
{
	struct watching *w = ctx;

	if (!strcmp(out_get(e, "type"), "subscription-lost"))
		live_ask(&w->live, "events", events_args(w, 1), events_come, w->now);
	else if (!w->top.paused)
		top_event(&w->top, e);
}

/* ------------------------------------------------------------------ the screen ---- */

static attr_t attribute(const struct watching *w, enum top_style style)
{
	switch (style) {
	case TOP_PLAIN:
		return A_NORMAL;
	case TOP_TITLE:
		return A_BOLD | (w->color ? (attr_t)COLOR_PAIR(1) : A_NORMAL);
	case TOP_HEADER:
	case TOP_KEYS:
		return A_REVERSE;
	case TOP_SELECTED:
		return A_REVERSE | A_BOLD;
	case TOP_BAD:
		return A_BOLD | (w->color ? (attr_t)COLOR_PAIR(2) : A_NORMAL);
	case TOP_DIM:
		return w->color ? (attr_t)COLOR_PAIR(3) : A_NORMAL;
	}
	return A_NORMAL;
}

static bool whole_line(enum top_style style)
{
	return style == TOP_HEADER || style == TOP_SELECTED || style == TOP_KEYS;
}

static void draw(struct watching *w)
{
	int lines, columns, n;

	getmaxyx(stdscr, lines, columns);
	n = top_lines(&w->top, columns, lines, w->now, w->line, &w->page);
	erase();
	for (int i = 0; i < n; i++) {
		struct top_line *l = &w->line[i];

		term_charset(l->text);
		term_cut(l->text, columns);
		attrset(attribute(w, l->style));
		mvaddstr(i, 0, l->text);
		for (int k = term_width(l->text); whole_line(l->style) && k < columns; k++)
			addch(' ');
	}
	attrset(A_NORMAL);
	refresh();
}

static void resized(void)
{
	int columns, lines;

	term_size(&columns, &lines);
	resizeterm(lines, columns);
	clearok(stdscr, TRUE);
}

static void signalled(struct watching *w)
{
	int sig;

	while ((sig = term_signal(w->signals))) {
		if (sig == SIGWINCH) {
			resized();
		} else if (sig == SIGTSTP) {
			endwin();
			raise(SIGSTOP);
			refresh();
			resized();
		} else {
			w->quit = true;
		}
	}
}

static int key_of(int c)
{
	static const struct {
		int curses, key;
	} keys[] = {
		{KEY_UP, TOP_UP},           {KEY_DOWN, TOP_DOWN}, {KEY_PPAGE, TOP_PAGE_UP},
		{KEY_NPAGE, TOP_PAGE_DOWN}, {KEY_HOME, TOP_HOME}, {KEY_END, TOP_END},
		{KEY_BACKSPACE, '\b'},      {KEY_ENTER, '\r'},
	};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (keys[i].curses == c)
			return keys[i].key;
	return c < KEY_MIN ? c : 0;
}

static void act(struct watching *w, struct top_action *action)
{
	switch (action->what) {
	case TOP_NOTHING:
		return;
	case TOP_DECIDE:
		live_ask(&w->live, "complete", top_request(action), decided, w->now);
		return;
	case TOP_REFRESH:
		w->refresh_at = w->top.paused ? INT64_MAX : w->now;
		decisions_soon(w);
		return;
	case TOP_QUIT:
		w->quit = true;
		return;
	}
}

static void keys(struct watching *w)
{
	struct top_action action;
	int c;

	while (!w->quit && (c = getch()) != ERR) {
		int key = key_of(c);

		if (!key)
			continue;
		top_key(&w->top, key, w->page, &action);
		act(w, &action);
	}
}

static int next_wake(const struct watching *w)
{
	int ms = live_timeout_ms(&w->live, w->now);
	int64_t next = w->top.paused ? w->now + w->interval : w->refresh_at;

	next = next > w->now ? next - w->now : 0;
	if (next > w->interval)
		next = w->interval;
	return ms >= 0 && ms < next ? ms : (int)next;
}

static void wait_all(struct watching *w)
{
	struct pollfd p[] = {
		{.fd = STDIN_FILENO, .events = POLLIN},
		{.fd = w->signals, .events = POLLIN},
		{.fd = live_fd(&w->live),
		 .events = (short)(POLLIN | (live_wants_write(&w->live) ? POLLOUT : 0))},
	};

	if (poll(p, 3, next_wake(w)) < 0)
		return;
	w->now = term_now_ms();
	if (p[1].revents)
		signalled(w);
	if (p[0].revents & (POLLHUP | POLLERR))
		w->quit = true; /* the terminal is gone */
	else if (p[0].revents)
		keys(w);
}

static void run(struct watching *w)
{
	while (!w->quit) {
		w->now = term_now_ms();
		live_run(&w->live, w->now);
		if (!w->top.paused && w->now >= w->refresh_at) {
			if (w->live.client)
				refresh_all(w);
			else
				w->refresh_at = w->now + w->interval;
		}
		draw(w);
		wait_all(w);
	}
}

static void colors(struct watching *w)
{
	w->color = w->cli->out.color && has_colors() && start_color() == OK;
	if (!w->color)
		return;
	use_default_colors();
	init_pair(1, COLOR_GREEN, -1);
	init_pair(2, COLOR_RED, -1);
	init_pair(3, COLOR_CYAN, -1);
}

static int screen(struct watching *w)
{
	static const struct live_ops ops = {.up = up, .event = event, .down = down};
	SCREEN *s;

	setlocale(LC_CTYPE, "");
	w->signals = term_signals();
	if (w->signals < 0)
		return cli_fail(CLI_FAILURE, "cannot wait for signals: %s", strerror(errno));
	s = newterm(NULL, stdout, stdin);
	if (!s)
		return cli_fail(CLI_FAILURE, "this terminal is not known: TERM is \"%s\"",
				getenv("TERM") ? getenv("TERM") : "");
	cbreak();
	noecho();
	keypad(stdscr, TRUE);
	nodelay(stdscr, TRUE);
	set_escdelay(25);
	curs_set(0);
	colors(w);
	live_init(&w->live, w->cli->socket, &ops, w);
	run(w);
	live_deinit(&w->live);
	endwin();
	delscreen(s);
	close(w->signals);
	return CLI_OK;
}

/* ------------------------------------------------------------------------ batch ---- */

static int batch_gather(struct watching *w, const char *op, json_t *args, live_reply_fn *come)
{
	json_t *v;
	int r = cli_gather(w->cli, op, args, &v);

	if (r == CLI_OK)
		come(w, v, NULL, "");
	json_decref(v);
	return r;
}

static int batch_once(struct watching *w)
{
	int r, n;

	w->now = term_now_ms();
	r = batch_gather(w, "status", NULL, status_come);
	if (r == CLI_OK)
		r = batch_gather(w, "authorities", NULL, authorities_come);
	if (r == CLI_OK)
		r = batch_gather(w, "pending", pending_args(w), pending_come);
	if (r == CLI_OK)
		r = batch_gather(w, "decisions", NULL, decisions_come);
	json_array_clear(w->top.events);
	if (r == CLI_OK)
		r = batch_gather(w, "events", events_args(w, 0), events_come);
	if (r != CLI_OK)
		return r;
	n = top_lines(&w->top, BATCH_COLUMNS, 0, w->now, w->line, NULL);
	for (int i = 0; i < n; i++)
		puts(w->line[i].text);
	fflush(stdout);
	return CLI_OK;
}

static int batch(struct watching *w, uint32_t times)
{
	int r = cli_connect(w->cli);

	if (r == CLI_OK)
		top_up(&w->top, pend_client_role(w->cli->client));
	for (uint32_t i = 0; r == CLI_OK && i < times; i++) {
		if (i) {
			puts("");
			nanosleep(&(struct timespec){.tv_sec = w->interval / 1000}, NULL);
		}
		r = batch_once(w);
	}
	return r;
}

int cmd_top(struct cli *cli, int argc, char **argv)
{
	struct cli_filter f = CLI_FILTER_INIT;
	uint32_t times = 1, interval = 1;
	bool in_batch = false;
	const struct cli_opt opts[] = {
		{"batch", 'b', CLI_FLAG, &in_batch},    {"times", 'n', CLI_NUMBER, &times},
		{"interval", 0, CLI_NUMBER, &interval}, {"source", 0, CLI_TEXT, &f.source},
		{"family", 0, CLI_NUMBER, &f.family},   CLI_FILTER_OPTS(&f),
	};
	struct watching *w;
	int r;

	argc = cli_parse(cli, opts, sizeof(opts) / sizeof(opts[0]), false, argc, argv);
	if (argc < 0)
		return CLI_USAGE;
	if (argc > 1)
		return cli_usage("top", "top takes options only, not \"%s\"", argv[1]);
	if (!interval || interval > 3600)
		return cli_usage("top", "--interval is 1 to 3600");
	if (cli->json)
		return cli_usage("top",
				 "top is for people: programs use status, pending and events");
	if (!in_batch && (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)))
		return cli_usage("top", "top needs a terminal; --batch prints instead");
	w = calloc(1, sizeof(*w));
	if (!w)
		return cli_fail(CLI_FAILURE, "out of memory");
	w->cli = cli;
	w->filter = &f;
	w->interval = (int64_t)interval * 1000;
	top_init(&w->top);
	r = in_batch ? batch(w, times) : screen(w);
	top_deinit(&w->top);
	free(w);
	return r;
}
