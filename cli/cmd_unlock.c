/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pendctl unlock, lock: bring a one-time code to an authority, and close what such codes have opened. */
#include "cli/cli.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#define CODE_MAX 64 /* bytes; the daemon's bound */

/* One line of `f` without its newline and the blanks in it ("123 456"). */
static bool line_from(FILE *f, char code[CODE_MAX + 1])
{
	size_t n = 0;
	int c;

	while ((c = getc(f)) != EOF && c != '\n') {
		if (c == ' ' || c == '\t' || c == '\r')
			continue;
		if (n == CODE_MAX)
			return false;
		code[n++] = (char)c;
	}
	code[n] = '\0';
	return n > 0;
}

/* The terminal as it was, to be put back also when a signal ends us. */
static struct {
	int fd;
	struct termios was;
} terminal;

static void on_signal(int signo)
{
	tcsetattr(terminal.fd, TCSAFLUSH, &terminal.was);
	raise(signo); /* SA_RESETHAND: for good */
}

static void handle(void (*fn)(int))
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
	struct sigaction sa = {.sa_handler = fn, .sa_flags = (int)SA_RESETHAND | SA_NODEFER};

	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sigaction(signals[i], &sa, NULL);
}

/* At the terminal, without echo. */
static bool code_typed(FILE *tty, char code[CODE_MAX + 1])
{
	struct termios quiet;
	bool ok;

	terminal.fd = fileno(tty);
	if (tcgetattr(terminal.fd, &terminal.was) < 0)
		return false;
	quiet = terminal.was;
	quiet.c_lflag &= ~(tcflag_t)ECHO;
	handle(on_signal);
	fputs("Code: ", stderr);
	tcsetattr(terminal.fd, TCSAFLUSH, &quiet);
	ok = line_from(tty, code);
	tcsetattr(terminal.fd, TCSAFLUSH, &terminal.was);
	handle(SIG_DFL);
	fputs("\n", stderr);
	return ok;
}

static bool code_read(char code[CODE_MAX + 1])
{
	FILE *tty = isatty(STDIN_FILENO) ? fopen("/dev/tty", "re") : NULL;
	bool ok = tty ? code_typed(tty, code) : line_from(stdin, code);

	if (tty)
		fclose(tty);
	return ok;
}

/* Where this SSH session comes from: the first word of what sshd(8) says. */
static bool ssh_source(char *out, size_t cap)
{
	const char *from = getenv("SSH_CONNECTION");
	size_t len = from ? strcspn(from, " ") : 0;

	if (!len || len >= cap)
		return false;
	memcpy(out, from, len);
	out[len] = '\0';
	return true;
}

static int source_of(const char *arg, char *out, size_t cap)
{
	if (strcmp(arg, "ssh") != 0)
		snprintf(out, cap, "%s", arg);
	else if (!ssh_source(out, cap))
		return cli_fail(CLI_USAGE, "this is no SSH session: SSH_CONNECTION is not set");
	return CLI_OK;
}

static void opened_text(struct out *o, const json_t *v)
{
	long long s = out_int(v, "open_ms") / 1000;
	const char *why = out_get(v, "why");

	(void)o;
	out_printf("Open");
	if (s)
		out_printf(" for %lldm%llds", s / 60, s % 60);
	out_printf("%s%s.\n", *why ? ": " : "", why);
}

static int unlock(struct cli *cli, const char *authority, const char *source, const char *code)
{
	json_t *args = json_object(), *result;
	int r;

	json_object_set_new(args, "authority", json_string(authority));
	json_object_set_new(args, "source", json_string(source));
	json_object_set_new(args, "code", json_string(code));
	r = cli_call(cli, "unlock", args, NULL, NULL, &result);
	if (r == CLI_OK)
		cli->out.ops->object(&cli->out, result, opened_text);
	json_decref(result);
	return r;
}

int cmd_unlock(struct cli *cli, int argc, char **argv)
{
	char source[64], code[CODE_MAX + 1];
	int r;

	argc = cli_parse(cli, NULL, 0, false, argc, argv);
	if (argc < 0)
		return CLI_USAGE;
	if (argc != 3 && argc != 4)
		return cli_usage("unlock", "unlock takes AUTHORITY, ADDRESS and perhaps CODE");
	if (!cli_utf8(argv[1]) || !cli_utf8(argv[2]) || (argc == 4 && !cli_utf8(argv[3])))
		return cli_usage("unlock", "this is not UTF-8");
	r = source_of(argv[2], source, sizeof(source));
	if (r != CLI_OK)
		return r;
	/* Before a person types a code that would be lost. */
	r = cli_connect(cli);
	if (r != CLI_OK)
		return r;
	if (argc == 4)
		snprintf(code, sizeof(code), "%s", argv[3]);
	else if (!code_read(code))
		return cli_fail(CLI_USAGE, "no code was given");
	r = unlock(cli, argv[1], source, code);
	explicit_bzero(code, sizeof(code));
	return r;
}

static void closed_text(struct out *o, const json_t *v)
{
	(void)o;
	out_printf("%s.\n", out_get(v, "why"));
}

int cmd_lock(struct cli *cli, int argc, char **argv)
{
	char source[64];
	json_t *args, *result;
	int r;

	argc = cli_parse(cli, NULL, 0, false, argc, argv);
	if (argc < 0)
		return CLI_USAGE;
	if (argc != 2 && argc != 3)
		return cli_usage("lock", "lock takes AUTHORITY and perhaps ADDRESS");
	if (!cli_utf8(argv[1]) || (argc == 3 && !cli_utf8(argv[2])))
		return cli_usage("lock", "this is not UTF-8");
	r = argc == 3 ? source_of(argv[2], source, sizeof(source)) : CLI_OK;
	if (r != CLI_OK)
		return r;
	args = json_object();
	json_object_set_new(args, "authority", json_string(argv[1]));
	if (argc == 3)
		json_object_set_new(args, "source", json_string(source));
	r = cli_call(cli, "lock", args, NULL, NULL, &result);
	if (r == CLI_OK)
		cli->out.ops->object(&cli->out, result, closed_text);
	json_decref(result);
	return r;
}
