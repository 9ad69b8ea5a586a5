/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pendctl counters: what rules that share the name of a counter have counted together. */
#include "cli/cli.h"
#include <stdio.h>
#include <string.h>

static void add(json_t *to, const json_t *from, const char *key)
{
	json_object_set_new(to, key, json_integer(out_int(to, key) + out_int(from, key)));
}

/* Times are of one form and zone: the later one is the greater text. */
static void later(json_t *to, const json_t *from)
{
	if (strcmp(out_get(from, "last"), out_get(to, "last")) > 0)
		json_object_set(to, "last", json_object_get(from, "last"));
}

/* By name, in the order of the rules. */
static json_t *sum(const json_t *rules)
{
	json_t *counters = json_object(), *rule, *c;
	size_t i;

	json_array_foreach(rules, i, rule)
	{
		const char *name = out_get(rule, "counter");

		if (!*name)
			continue;
		c = json_object_get(counters, name);
		if (!c) {
			c = json_pack("{s:s,s:i,s:i,s:i}", "counter", name, "rules", 0, "hits", 0,
				      "bytes", 0);
			json_object_set_new(counters, name, c);
		}
		json_object_set_new(c, "rules", json_integer(out_int(c, "rules") + 1));
		add(c, rule, "hits");
		add(c, rule, "bytes");
		later(c, rule);
	}
	return counters;
}

static void put_name(const json_t *v, char cell[OUT_CELL])
{
	snprintf(cell, OUT_CELL, "%s", out_get(v, "counter"));
}

static void put_rules(const json_t *v, char cell[OUT_CELL])
{
	snprintf(cell, OUT_CELL, "%lld", out_int(v, "rules"));
}

static const struct out_column columns[] = {
	{"COUNTER", -20, put_name}, {"RULES", 5, put_rules},     {"HITS", 9, out_hits},
	{"BYTES", 11, out_bytes},   {"LAST (UTC)", 0, out_last},
};

static const struct out_list list = {"counters", "No rule of the policy names a counter.", columns,
				     sizeof(columns) / sizeof(columns[0])};

int cmd_counters(struct cli *cli, int argc, char **argv)
{
	json_t *v, *counters, *row;
	const char *name;
	int r;

	argc = cli_parse(cli, NULL, 0, false, argc, argv);
	if (argc != 1)
		return argc < 0 ? CLI_USAGE : cli_usage("counters", "counters takes no argument");
	r = cli_gather(cli, "rules", NULL, &v);
	if (r != CLI_OK)
		return r;
	counters = sum(json_object_get(v, "rules"));
	cli->out.ops->list_begin(&cli->out, &list);
	json_object_foreach(counters, name, row) cli->out.ops->list_row(&cli->out, row);
	cli->out.ops->list_end(&cli->out, true);
	json_decref(counters);
	json_decref(v);
	return CLI_OK;
}
