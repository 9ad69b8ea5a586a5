/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pendctl decisions: what was said and holds still. */
#include "cli/cli.h"
#include "cli/decision_text.h"
#include <stdio.h>
#include <string.h>

static void d_verdict(const json_t *v, char cell[OUT_CELL])
{
	snprintf(cell, OUT_CELL, "%s", out_get(v, "verdict"));
}

static void d_left(const json_t *v, char cell[OUT_CELL])
{
	decision_text_left(out_int(v, "remaining_ms"), cell);
}

static void d_why(const json_t *v, char cell[OUT_CELL])
{
	const char *why = out_get(v, "why");

	snprintf(cell, OUT_CELL, "%s", *why ? why : "-");
}

static const struct out_column columns[] = {
	{"VERDICT", -8, d_verdict},
	{"SOURCE", -24, decision_text_source},
	{"TO", -28, decision_text_service},
	{"BY", -10, decision_text_by},
	{"LEFT", 8, d_left},
	{"WHY", -20, d_why},
	{"RULE", 0, decision_text_rule},
};

static const struct out_list list = {"decisions", "No decision is remembered.", columns,
				     sizeof(columns) / sizeof(columns[0])};

static void forgotten_text(struct out *o, const json_t *v)
{
	(void)o;
	out_printf("%lld forgotten.\n", out_int(v, "forgotten"));
}

#define NONE UINT32_MAX

static int forget(struct cli *cli, int argc, char **argv)
{
	const char *from = NULL;
	uint32_t rule = NONE;
	bool all = false;
	const struct cli_opt opts[] = {{"from", 'f', CLI_TEXT, &from},
				       {"rule", 0, CLI_NUMBER, &rule},
				       {"all", 'a', CLI_FLAG, &all}};
	json_t *args, *result = NULL;
	int r;

	argc = cli_parse(cli, opts, 3, false, argc, argv);
	if (argc < 0)
		return CLI_USAGE;
	if (argc != 1 || (!from && rule == NONE && !all))
		return cli_usage("decisions",
				 "decisions forget takes --from PREFIX, --rule N or --all");
	r = cli_connect(cli);
	if (r != CLI_OK)
		return r;
	args = json_object();
	if (from)
		json_object_set_new(args, "source", json_string(from));
	if (rule != NONE)
		json_object_set_new(args, "rule", json_integer(rule));
	if (all)
		json_object_set_new(args, "all", json_true());
	r = cli_call(cli, "forget", args, NULL, NULL, &result);
	if (r == CLI_OK)
		cli->out.ops->object(&cli->out, result, forgotten_text);
	json_decref(result);
	return r;
}

int cmd_decisions(struct cli *cli, int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "forget") == 0)
		return forget(cli, argc - 1, argv + 1);
	if (argc > 1 && strcmp(argv[1], "import") == 0)
		return cli_import(cli, argc - 1, argv + 1);
	if (argc > 1 && strcmp(argv[1], "list") == 0)
		return cli_list(cli, argc - 1, argv + 1, &list);
	if (argc > 1 && argv[1][0] != '-')
		return cli_usage("decisions", "there is no \"decisions %s\"", argv[1]);
	return cli_list(cli, argc, argv, &list);
}
