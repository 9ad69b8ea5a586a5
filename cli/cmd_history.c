/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pendctl history: what was held before, and what became of it. */
#include "cli/cli.h"
#include <stdio.h>
#include <string.h>

/* A search through a large history takes a while. */
#define HISTORY_TIMEOUT_MS 35000

static void h_time(const json_t *v, char cell[OUT_CELL])
{
	snprintf(cell, OUT_CELL, "%.19s", out_get(v, "time"));
	for (char *p = cell; *p; p++)
		if (*p == 'T')
			*p = ' ';
}

static void h_state(const json_t *v, char cell[OUT_CELL])
{
	snprintf(cell, OUT_CELL, "%s", out_get(v, "state"));
}

static void h_source(const json_t *v, char cell[OUT_CELL])
{
	out_endpoint(v, "source", "source_port", cell);
}

static void h_dest(const json_t *v, char cell[OUT_CELL])
{
	out_endpoint(v, "dest", "dest_port", cell);
}

static void h_by(const json_t *v, char cell[OUT_CELL])
{
	const char *by = out_get(v, "by");

	snprintf(cell, OUT_CELL, "%s", *by ? by : out_get(v, "reason"));
}

static void h_held(const json_t *v, char cell[OUT_CELL])
{
	out_age(out_int(v, "pended_ms"), cell);
}

static void h_why(const json_t *v, char cell[OUT_CELL])
{
	snprintf(cell, OUT_CELL, "%s", out_get(v, "why"));
}

static const struct out_column columns[] = {
	{"TIME (UTC)", -19, h_time}, {"STATE", -9, h_state}, {"PROTO", -5, out_protocol},
	{"SOURCE", -21, h_source},   {"TO", -20, h_dest},    {"HELD", 6, h_held},
	{"BY", -10, h_by},           {"WHY", 0, h_why},
};

static const struct out_list list = {"history", "Nothing is written down that fits.", columns,
				     sizeof(columns) / sizeof(columns[0])};

struct asked {
	const char *source, *since, *until, *rule, *authority, *verdict;
	uint32_t limit;
};

static json_t *args_of(const struct asked *a)
{
	const struct {
		const char *key, *value;
	} texts[] = {{"source", a->source}, {"since", a->since},         {"until", a->until},
		     {"rule", a->rule},     {"authority", a->authority}, {"verdict", a->verdict}};
	json_t *o = json_object();

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (texts[i].value)
			json_object_set_new(o, texts[i].key, json_string(texts[i].value));
	if (a->limit)
		json_object_set_new(o, "limit", json_integer(a->limit));
	return o;
}

/* They come newest first; people read downwards. */
static void show(struct cli *cli, const json_t *result)
{
	const json_t *rows = json_object_get(result, "history");

	cli->out.ops->list_begin(&cli->out, &list);
	for (size_t i = json_array_size(rows); i-- > 0;)
		cli->out.ops->list_row(&cli->out, json_array_get(rows, i));
	cli->out.ops->list_end(&cli->out, true);
}

int cmd_history(struct cli *cli, int argc, char **argv)
{
	struct asked a = {.source = NULL};
	const struct cli_opt opts[] = {
		{"source", 0, CLI_TEXT, &a.source},       {"since", 0, CLI_TEXT, &a.since},
		{"until", 0, CLI_TEXT, &a.until},         {"rule", 0, CLI_TEXT, &a.rule},
		{"authority", 0, CLI_TEXT, &a.authority}, {"verdict", 0, CLI_TEXT, &a.verdict},
		{"limit", 'n', CLI_NUMBER, &a.limit},
	};
	json_t *result = NULL;
	int r;

	argc = cli_parse(cli, opts, sizeof(opts) / sizeof(opts[0]), false, argc, argv);
	if (argc < 0)
		return CLI_USAGE;
	if (argc > 1)
		return cli_usage("history", "history takes options only, not \"%s\"", argv[1]);
	if (!cli_utf8(a.rule) || !cli_utf8(a.authority))
		return cli_usage("history", "what is searched for is not UTF-8");
	cli->timeout_ms = HISTORY_TIMEOUT_MS;
	r = cli_gather(cli, "history", args_of(&a), &result);
	if (r == CLI_OK)
		show(cli, result);
	json_decref(result);
	return r;
}
