/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pendctl: options, commands, exit codes. A command is a row of the table in commands.c.
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include "cli/out.h"
#include <pend-client.h>
#include <stdint.h>
#include <stdio.h>

/* Documented in pendctl(1). */
enum cli_exit {
	CLI_OK = 0,
	CLI_FAILURE = 1,
	CLI_USAGE = 2,
	CLI_NOT_RUNNING = 3,
	CLI_NOT_FOUND = 4,
	CLI_DENIED = 5,
	CLI_POLICY = 6,
	CLI_DEGRADED = 7,
	CLI_WOULD_BLOCK = 10, /* test --quiet */
	CLI_WOULD_PEND = 11,
	CLI_WOULD_DEPEND = 12,
};

#define CLI_TIMEOUT_MS 6000 /* a little more than the daemon gives itself */
/* A change may wait for another's compile, and its own may be of a million elements. */
#define CLI_CHANGE_TIMEOUT_MS 60000
/* A request without op and id, so that the line stays below the protocol's 65,536 bytes. */
#define CLI_REQUEST_MAX 65400

struct cli {
	const char *socket; /* NULL: the default */
	const char *color;  /* "auto", "always", "never" */
	bool json, no_headers, help, version;
	struct out out;
	struct pend_client *client; /* after cli_connect */
	int timeout_ms;             /* of a call; 0: CLI_TIMEOUT_MS */
};

enum cli_opt_kind { CLI_FLAG, CLI_TEXT, CLI_NUMBER };

struct cli_opt {
	const char *name; /* without the dashes */
	char letter;      /* 0: none */
	enum cli_opt_kind kind;
	void *target; /* bool, const char * or uint32_t */
};

struct command {
	const char *name;
	const char *args;    /* "ID..." for the usage line */
	const char *summary; /* one line for the list of commands */
	const char *help;    /* more, for `help COMMAND`; may be "" */
	int (*run)(struct cli *cli, int argc, char **argv);
};

extern const struct command commands[];
extern const size_t ncommands;
const struct command *command_find(const char *name);

/* The whole program; returns the exit code. */
int cli_main(int argc, char **argv);

/*
 * Take the options out of argv[1..argc), wherever they stand before "--"; operands move to the
 * front and argv[0] stays. The global options are known besides `opts`. `first` stops at the first
 * operand. Returns the new argc, or -1 after an error line (exit CLI_USAGE).
 */
int cli_parse(struct cli *cli, const struct cli_opt *opts, size_t nopts, bool first, int argc,
	      char **argv);
/* "pendctl: ..." on standard error; returns `code`. */
int cli_fail(int code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* As cli_fail with CLI_USAGE, and how to get help. */
int cli_usage(const char *command, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* 0, or the exit code after an error line. */
int cli_connect(struct cli *cli);
/* The error line and exit code for a failed call. */
int cli_remote(struct cli *cli, enum pend_client_error e);
/*
 * One request; `args` is taken (NULL: none). On CLI_OK *result (NULL: not wanted) is the caller's
 * to decref; also on failure it is set to what came, or NULL.
 */
int cli_call(struct cli *cli, const char *op, json_t *args, pend_client_fn part, void *ctx,
	     json_t **result);
/* As cli_call, for a reply in parts: their arrays are put together. */
int cli_gather(struct cli *cli, const char *op, json_t *args, json_t **result);
/* A command that takes nothing and shows a list; the operation has the name of the list. */
int cli_list(struct cli *cli, int argc, char **argv, const struct out_list *list);
/* As `set add`, that stays; says nothing but errors. `until`: s since 1970; 0: for `duration`, or for good (NULL). */
int cli_set_add(struct cli *cli, const char *set, const char *const *elements, size_t n,
		int64_t until, const char *duration, const char *why);
/* decisions import */
int cli_import(struct cli *cli, int argc, char **argv);
/*
 * Stay connected, as what the request made goes with the connection: CLI_OK after SIGINT or SIGTERM,
 * CLI_FAILURE after an error line when the daemon ends it.
 */
int cli_session(struct cli *cli);
/* Can it stand in a request? What cannot would be left out in silence. NULL can. */
bool cli_utf8(const char *text);
/* A file's name, or "-": standard input. NULL after an error line. */
FILE *cli_open(const char *name);
/*
 * The next line that says something, without its newline, comment ('#'; `quotes`: not within "...")
 * and the blanks around; *number counts lines. NULL at the end, or when it cannot be read: ferror().
 */
char *cli_line(FILE *f, bool quotes, char **buf, size_t *cap, unsigned *number);

/* A program for each event from now on; `args` of op events is borrowed. */
int events_exec(struct cli *cli, const char *program, const json_t *args);
/* pending --by source: the groups of a list, and a command of its own; takes args. */
json_t *pending_by_source(const json_t *pending);
int pending_show_sources(struct cli *cli, json_t *args);
/* What live flows would be or were ended; shared by reload --dry-run and reauthorize. */
void live_text(const json_t *live, bool would);

int cmd_policy(struct cli *cli, int argc, char **argv);
int cmd_set(struct cli *cli, int argc, char **argv);
int cmd_reauthorize(struct cli *cli, int argc, char **argv);
int cmd_journal(struct cli *cli, int argc, char **argv);
int cmd_status(struct cli *cli, int argc, char **argv);
int cmd_pending(struct cli *cli, int argc, char **argv);
int cmd_permit(struct cli *cli, int argc, char **argv);
int cmd_block(struct cli *cli, int argc, char **argv);
int cmd_ask(struct cli *cli, int argc, char **argv);
int cmd_top(struct cli *cli, int argc, char **argv);
int cmd_events(struct cli *cli, int argc, char **argv);
/* `ask --exec PROGRAM`; NULL authority: the only one there is. Does not return when all is well. */
int cmd_ask_exec(struct cli *cli, const char *program, const char *authority, uint32_t processes);
int cmd_rules(struct cli *cli, int argc, char **argv);
int cmd_history(struct cli *cli, int argc, char **argv);
int cmd_decisions(struct cli *cli, int argc, char **argv);
int cmd_lock(struct cli *cli, int argc, char **argv);
int cmd_unlock(struct cli *cli, int argc, char **argv);
int cmd_counters(struct cli *cli, int argc, char **argv);
int cmd_layers(struct cli *cli, int argc, char **argv);
int cmd_authorities(struct cli *cli, int argc, char **argv);
int cmd_test(struct cli *cli, int argc, char **argv);
int cmd_show(struct cli *cli, int argc, char **argv);
int cmd_metrics(struct cli *cli, int argc, char **argv);
int cmd_reload(struct cli *cli, int argc, char **argv);
int cmd_check(struct cli *cli, int argc, char **argv);
int cmd_hookup(struct cli *cli, int argc, char **argv);
int cmd_stop(struct cli *cli, int argc, char **argv);
int cmd_version(struct cli *cli, int argc, char **argv);
int cmd_help(struct cli *cli, int argc, char **argv);

#endif
