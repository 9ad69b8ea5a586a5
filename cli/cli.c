/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Options, connection and errors of pendctl; see cli.h. */
#include "cli/cli.h"
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

__attribute__((format(printf, 1, 0))) static void error_line(const char *fmt, va_list ap)
{
	char text[1024];

	vsnprintf(text, sizeof(text), fmt, ap);
	out_clean(text);
	fflush(stdout);
	fprintf(stderr, "pendctl: %s\n", text);
}

int cli_fail(int code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	error_line(fmt, ap);
	va_end(ap);
	return code;
}

int cli_usage(const char *command, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	error_line(fmt, ap);
	va_end(ap);
	if (command)
		fprintf(stderr, "Try 'pendctl help %s'.\n", command);
	else
		fprintf(stderr, "Try 'pendctl help'.\n");
	return CLI_USAGE;
}

static int opt_number(const struct cli_opt *o, const char *value)
{
	unsigned long v;
	char *end;

	errno = 0;
	v = strtoul(value, &end, 10);
	if (errno || *end || value[0] < '0' || value[0] > '9' || v > UINT32_MAX) {
		cli_usage(NULL, "--%s: \"%s\" is not a number", o->name, value);
		return -1;
	}
	*(uint32_t *)o->target = (uint32_t)v;
	return 0;
}

static int opt_set(const struct cli_opt *o, const char *value)
{
	switch (o->kind) {
	case CLI_FLAG:
		*(bool *)o->target = true;
		return 0;
	case CLI_TEXT:
		*(const char **)o->target = value;
		return 0;
	case CLI_NUMBER:
		return opt_number(o, value);
	}
	return -1;
}

struct parser {
	const struct cli_opt *set[2];
	size_t n[2];
	int argc;
	char **argv;
	int at; /* the next word */
};

static const struct cli_opt *opt_find(const struct parser *p, const char *name, size_t len,
				      char letter)
{
	for (int s = 0; s < 2; s++)
		for (size_t i = 0; i < p->n[s]; i++) {
			const struct cli_opt *o = &p->set[s][i];

			if (letter ? o->letter == letter
				   : strlen(o->name) == len && !strncmp(o->name, name, len))
				return o;
		}
	return NULL;
}

/* The value: behind "=" or the letter, or the next word. */
static int opt_take(struct parser *p, const struct cli_opt *o, const char *value)
{
	if (o->kind == CLI_FLAG && value) {
		cli_usage(NULL, "--%s takes no value", o->name);
		return -1;
	}
	if (o->kind != CLI_FLAG && !value) {
		if (p->at >= p->argc) {
			cli_usage(NULL, "--%s needs a value", o->name);
			return -1;
		}
		value = p->argv[p->at++];
	}
	return opt_set(o, value);
}

static int parse_long(struct parser *p, const char *word)
{
	size_t len = strcspn(word, "=");
	const struct cli_opt *o = opt_find(p, word, len, 0);

	if (!o) {
		cli_usage(NULL, "unknown option --%.*s", (int)len, word);
		return -1;
	}
	return opt_take(p, o, word[len] ? word + len + 1 : NULL);
}

static int parse_short(struct parser *p, const char *word)
{
	while (*word) {
		const struct cli_opt *o = opt_find(p, NULL, 0, *word);
		bool value = o && o->kind != CLI_FLAG && word[1];

		if (!o) {
			cli_usage(NULL, "unknown option -%c", *word);
			return -1;
		}
		if (opt_take(p, o, value ? word + 1 : NULL) < 0)
			return -1;
		if (o->kind != CLI_FLAG)
			return 0;
		word++;
	}
	return 0;
}

static int out_open(struct cli *cli)
{
	const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
	bool plain = (no_color && *no_color) || !term || strcmp(term, "dumb") == 0;

	cli->out.ops = cli->json ? &out_json : &out_text;
	cli->out.headers = !cli->no_headers;
	cli->out.terminal = isatty(STDOUT_FILENO) == 1;
	if (strcmp(cli->color, "always") == 0)
		cli->out.color = true;
	else if (strcmp(cli->color, "auto") == 0)
		cli->out.color = cli->out.terminal && !plain;
	else if (strcmp(cli->color, "never") != 0)
		return cli_usage(NULL, "--color is auto, always or never");
	return CLI_OK;
}

int cli_parse(struct cli *cli, const struct cli_opt *opts, size_t nopts, bool first, int argc,
	      char **argv)
{
	const struct cli_opt globals[] = {
		{"socket", 's', CLI_TEXT, &cli->socket},
		{"json", 'j', CLI_FLAG, &cli->json},
		{"no-headers", 'H', CLI_FLAG, &cli->no_headers},
		{"color", 0, CLI_TEXT, &cli->color},
		{"help", 'h', CLI_FLAG, &cli->help},
		{"version", 'V', CLI_FLAG, &cli->version},
	};
	struct parser p = {
		.set = {opts, globals},
		.n = {nopts, sizeof(globals) / sizeof(globals[0])},
		.argc = argc,
		.argv = argv,
		.at = 1,
	};
	int out = 1;

	while (p.at < argc) {
		char *word = argv[p.at++];

		if (strcmp(word, "--") == 0)
			break;
		if (word[0] != '-' || !word[1]) {
			argv[out++] = word;
			if (first)
				break;
		} else if ((word[1] == '-' ? parse_long(&p, word + 2) : parse_short(&p, word + 1)) <
			   0) {
			return -1;
		}
	}
	while (p.at < argc)
		argv[out++] = argv[p.at++];
	return out_open(cli) == CLI_OK ? out : -1;
}

int cli_connect(struct cli *cli)
{
	enum pend_client_error e;

	if (cli->client)
		return CLI_OK;
	e = pend_client_connect(&cli->client, cli->socket, CLI_TIMEOUT_MS);
	return e == PEND_CLIENT_OK ? CLI_OK : cli_remote(cli, e);
}

static int remote_exit(const char *code)
{
	static const struct {
		const char *code;
		int exit;
	} codes[] = {
		{"not-found", CLI_NOT_FOUND}, {"already", CLI_NOT_FOUND}, {"denied", CLI_DENIED},
		{"permission", CLI_DENIED},   {"policy", CLI_POLICY},     {"missing", CLI_DEGRADED},
		{"invalid", CLI_USAGE},
	};

	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		if (strcmp(codes[i].code, code) == 0)
			return codes[i].exit;
	return CLI_FAILURE;
}

int cli_remote(struct cli *cli, enum pend_client_error e)
{
	const char *message = cli->client ? pend_client_message(cli->client) : "";

	if (!*message)
		message = pend_client_error_text(e);
	switch (e) {
	case PEND_CLIENT_E_NOT_RUNNING:
		return cli_fail(CLI_NOT_RUNNING,
				"%s: start it with 'systemctl start pendd', or name its "
				"socket by --socket",
				message);
	case PEND_CLIENT_E_DENIED:
		return cli_fail(CLI_DENIED, "%s", message);
	case PEND_CLIENT_E_CLOSED:
		return cli_fail(CLI_NOT_RUNNING, "%s: see 'systemctl status pendd'", message);
	case PEND_CLIENT_E_REMOTE:
		return cli_fail(remote_exit(pend_client_code(cli->client)), "%s", message);
	case PEND_CLIENT_OK:
	case PEND_CLIENT_E_BUSY:
	case PEND_CLIENT_E_TIMEOUT:
	case PEND_CLIENT_E_PROTOCOL:
	case PEND_CLIENT_E_INVALID:
	case PEND_CLIENT_E_NO_MEMORY:
	case PEND_CLIENT_E_SYSTEM:
		break;
	}
	return cli_fail(CLI_FAILURE, "%s", message);
}

int cli_call(struct cli *cli, const char *op, json_t *args, pend_client_fn part, void *ctx,
	     json_t **result)
{
	char *text = args ? json_dumps(args, JSON_COMPACT) : NULL, *reply = NULL;
	enum pend_client_error e;
	int r;

	json_decref(args);
	if (result)
		*result = NULL;
	r = cli_connect(cli);
	if (r == CLI_OK) {
		e = pend_client_call(cli->client, op, text,
				     cli->timeout_ms ? cli->timeout_ms : CLI_TIMEOUT_MS, part, ctx,
				     &reply);
		if (result && reply)
			*result = json_loads(reply, JSON_DECODE_ANY, NULL);
		if (e != PEND_CLIENT_OK)
			r = cli_remote(cli, e);
	}
	free(text);
	free(reply);
	return r;
}

static bool gather_part(void *ctx, const char *text)
{
	json_t *all = ctx, *v = json_loads(text, 0, NULL), *value;
	const char *key;

	json_object_foreach(v, key, value)
	{
		json_t *before = json_object_get(all, key);

		if (json_is_array(before) && json_is_array(value))
			json_array_extend(before, value);
		else
			json_object_set(all, key, value);
	}
	json_decref(v);
	return true;
}

int cli_gather(struct cli *cli, const char *op, json_t *args, json_t **result)
{
	json_t *all = json_object();
	int r = cli_call(cli, op, args, gather_part, all, NULL);

	if (r != CLI_OK) {
		json_decref(all);
		all = NULL;
	}
	*result = all;
	return r;
}

/* A full disk or a closed pipe must not look like success. */
static int out_close(int code)
{
	if ((fflush(stdout) != 0 || ferror(stdout)) && code == CLI_OK)
		return cli_fail(CLI_FAILURE, "cannot write the output");
	return code;
}

static bool wants_help(int argc, char **argv)
{
	for (int i = 2; i < argc && strcmp(argv[i], "--") != 0; i++)
		if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))
			return true;
	return false;
}

int cli_main(int argc, char **argv)
{
	struct cli cli = {.color = "auto"};
	const struct command *cmd;
	int r;

	signal(SIGPIPE, SIG_DFL);
	argc = cli_parse(&cli, NULL, 0, true, argc, argv);
	if (argc < 0)
		return CLI_USAGE;
	if (cli.version)
		return cmd_version(&cli, 0, NULL);
	if (argc < 2 && !cli.help)
		return cli_usage(NULL, "no command given");
	cmd = command_find(argc < 2 ? "help" : argv[1]);
	if (!cmd)
		return cli_usage(NULL, "unknown command \"%s\"", argv[1]);
	if (cli.help || wants_help(argc, argv))
		return cmd_help(&cli, argc, argv);
	r = cmd->run(&cli, argc - 1, argv + 1);
	pend_client_close(cli.client);
	return out_close(r);
}
