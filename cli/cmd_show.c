/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pendctl show, metrics: text that the daemon makes, line by line. */
#include "cli/cli.h"
#include <stdio.h>
#include <string.h>

struct lines {
	struct cli *cli;
	json_t *all; /* for --json: one document */
};

/* The indentation of the policy's text is tabs, which out_printf would not let through. */
static void line_put(const char *s)
{
	for (; *s == '\t'; s++)
		putchar('\t');
	out_printf("%s\n", s);
}

static bool lines_put(void *ctx, const char *text)
{
	struct lines *l = ctx;
	json_t *v = json_loads(text, 0, NULL);
	const json_t *lines = json_object_get(v, "lines");
	json_t *line;
	size_t i;

	json_array_foreach(lines, i, line)
	{
		if (l->cli->json)
			json_array_append(l->all, line);
		else
			line_put(json_string_value(line) ? json_string_value(line) : "");
	}
	json_decref(v);
	return true;
}

static void nothing(struct out *o, const json_t *v)
{
	(void)o;
	(void)v;
}

static int show_lines(struct cli *cli, const char *op, json_t *args)
{
	struct lines l = {cli, json_array()};
	int r = cli_call(cli, op, args, lines_put, &l, NULL);
	json_t *v = json_pack("{s:o}", "lines", l.all);

	if (r == CLI_OK && cli->json)
		cli->out.ops->object(&cli->out, v, nothing);
	json_decref(v);
	return r;
}

int cmd_show(struct cli *cli, int argc, char **argv)
{
	argc = cli_parse(cli, NULL, 0, false, argc, argv);
	if (argc < 0)
		return CLI_USAGE;
	if (argc != 2 || (strcmp(argv[1], "policy") != 0 && strcmp(argv[1], "settings") != 0))
		return cli_usage("show", "show policy, or show settings");
	return show_lines(cli, "show", json_pack("{s:s}", "what", argv[1]));
}

int cmd_metrics(struct cli *cli, int argc, char **argv)
{
	argc = cli_parse(cli, NULL, 0, false, argc, argv);
	if (argc != 1)
		return argc < 0 ? CLI_USAGE : cli_usage("metrics", "metrics takes no argument");
	return show_lines(cli, "metrics", NULL);
}
