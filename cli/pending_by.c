/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pendctl pending --by source: a line for each source of what waits. */
#include "cli/cli.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PORTS 8 /* of a source that are named; more are "..." */

static void larger(json_t *group, const char *key, long long ms)
{
	if (ms > out_int(group, key))
		json_object_set_new(group, key, json_integer(ms));
}

static void smaller(json_t *group, const char *key, long long ms)
{
	if (!json_object_get(group, key) || ms < out_int(group, key))
		json_object_set_new(group, key, json_integer(ms));
}

/* "tcp 22", once each; ICMP and the like have no port. */
static void add_port(json_t *ports, const json_t *row)
{
	char proto[OUT_CELL], text[OUT_CELL + 32];
	const json_t *port;
	size_t i;

	out_protocol(row, proto);
	if (json_object_get(row, "dest_port"))
		snprintf(text, sizeof(text), "%s %lld", proto, out_int(row, "dest_port"));
	else
		snprintf(text, sizeof(text), "%s", proto);
	if (json_array_size(ports) > PORTS)
		return;
	json_array_foreach(ports, i, port) if (!strcmp(json_string_value(port), text)) return;
	json_array_append_new(ports, json_string(json_array_size(ports) < PORTS ? text : "..."));
}

static void add_row(json_t *groups, const json_t *row)
{
	const char *source = out_get(row, "source");
	json_t *g = json_object_get(groups, source);

	if (!g) {
		g = json_pack("{s:s,s:i,s:[]}", "source", source, "count", 0, "ports");
		if (!g || json_object_set_new(groups, source, g) < 0)
			return;
	}
	json_object_set_new(g, "count", json_integer(out_int(g, "count") + 1));
	larger(g, "oldest_ms", out_int(row, "age_ms"));
	smaller(g, "remaining_ms", out_int(row, "remaining_ms"));
	add_port(json_object_get(g, "ports"), row);
}

/* Those with most first, and of these the one that waits longest. */
static int by_count(const void *x, const void *y)
{
	const json_t *a = *(const json_t *const *)x, *b = *(const json_t *const *)y;
	long long m = out_int(a, "count"), n = out_int(b, "count");

	if (m != n)
		return m > n ? -1 : 1;
	m = out_int(a, "oldest_ms");
	n = out_int(b, "oldest_ms");
	return m != n ? (m > n ? -1 : 1) : strcmp(out_get(a, "source"), out_get(b, "source"));
}

json_t *pending_by_source(const json_t *pending)
{
	json_t *groups = json_object(), *out = json_array(), *row, **sorted;
	size_t n = 0, i;
	const char *key;

	json_array_foreach(pending, i, row) add_row(groups, row);
	sorted = calloc(json_object_size(groups) + 1, sizeof(json_t *));
	json_object_foreach(groups, key, row) if (sorted) sorted[n++] = row;
	if (n)
		qsort(sorted, n, sizeof(json_t *), by_count);
	for (i = 0; i < n; i++)
		json_array_append(out, sorted[i]);
	free(sorted);
	json_decref(groups);
	return out;
}

static void put_source(const json_t *v, char cell[OUT_CELL])
{
	snprintf(cell, OUT_CELL, "%s", out_get(v, "source"));
}

static void put_count(const json_t *v, char cell[OUT_CELL])
{
	snprintf(cell, OUT_CELL, "%lld", out_int(v, "count"));
}

static void put_oldest(const json_t *v, char cell[OUT_CELL])
{
	out_age(out_int(v, "oldest_ms"), cell);
}

static void put_left(const json_t *v, char cell[OUT_CELL])
{
	out_age(out_int(v, "remaining_ms"), cell);
}

static void put_ports(const json_t *v, char cell[OUT_CELL])
{
	const json_t *port;
	size_t i, n = 0;

	*cell = '\0';
	json_array_foreach(json_object_get(v, "ports"), i, port)
	{
		snprintf(cell + n, OUT_CELL - n, "%s%s", i ? ", " : "", json_string_value(port));
		n = strlen(cell);
	}
}

static const struct out_column columns[] = {
	{"SOURCE", -24, put_source}, {"COUNT", 5, put_count}, {"OLDEST", 6, put_oldest},
	{"LEFT", 6, put_left},       {"TO", 0, put_ports},
};

static const struct out_list list = {"sources", "Nothing is pended.", columns,
				     sizeof(columns) / sizeof(columns[0])};

int pending_show_sources(struct cli *cli, json_t *args)
{
	json_t *v, *sources, *row;
	int r = cli_gather(cli, "pending", args, &v);
	size_t i;

	if (r != CLI_OK)
		return r;
	sources = pending_by_source(json_object_get(v, "pending"));
	cli->out.ops->list_begin(&cli->out, &list);
	json_array_foreach(sources, i, row) cli->out.ops->list_row(&cli->out, row);
	cli->out.ops->list_end(&cli->out, true);
	json_decref(sources);
	json_decref(v);
	return CLI_OK;
}
