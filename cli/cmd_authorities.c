/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pendctl authorities: who is asked, and how well each answers. */
#include "cli/cli.h"
#include <stdio.h>
#include <string.h>

static const json_t *health(const json_t *v)
{
	return json_object_get(v, "health");
}

static void name(const json_t *v, char cell[OUT_CELL])
{
	snprintf(cell, OUT_CELL, "%s", out_get(v, "name"));
}

static void type(const json_t *v, char cell[OUT_CELL])
{
	if (json_object_get(v, "need"))
		snprintf(cell, OUT_CELL, "%s %lld", out_get(v, "type"), out_int(v, "need"));
	else
		snprintf(cell, OUT_CELL, "%s", out_get(v, "type"));
}

static void timeout(const json_t *v, char cell[OUT_CELL])
{
	snprintf(cell, OUT_CELL, "%s", out_get(v, "timeout"));
}

/* What counts when no answer comes: in time, for want of somebody, for an error. */
static void otherwise(const json_t *v, char cell[OUT_CELL])
{
	if (health(v))
		snprintf(cell, OUT_CELL, "%s/%s/%s", out_get(v, "on_timeout"),
			 out_get(v, "on_absent"), out_get(v, "on_error"));
	else
		snprintf(cell, OUT_CELL, "%s", out_get(v, "on_timeout"));
}

/* Those of whom nothing can be told have a dash. */
static void state(const json_t *v, char cell[OUT_CELL])
{
	snprintf(cell, OUT_CELL, "%s", health(v) ? out_get(health(v), "state") : "-");
}

static void number(const json_t *v, const char *key, char cell[OUT_CELL])
{
	if (health(v))
		snprintf(cell, OUT_CELL, "%lld", out_int(health(v), key));
	else
		snprintf(cell, OUT_CELL, "-");
}

static void servers(const json_t *v, char cell[OUT_CELL])
{
	number(v, "servers", cell);
}

static void open_now(const json_t *v, char cell[OUT_CELL])
{
	const json_t *h = health(v);

	if (h)
		snprintf(cell, OUT_CELL, "%lld", out_int(h, "open") + out_int(h, "waiting"));
	else
		snprintf(cell, OUT_CELL, "-");
}

static void asked(const json_t *v, char cell[OUT_CELL])
{
	number(v, "asked", cell);
}

static void answers(const json_t *v, char cell[OUT_CELL])
{
	const json_t *h = health(v);

	if (h)
		snprintf(cell, OUT_CELL, "%lld+%lld+%lld", out_int(h, "permits"),
			 out_int(h, "blocks"), out_int(h, "continues"));
	else
		snprintf(cell, OUT_CELL, "-");
}

/* Questions that came to no answer, for whatever reason. */
static void failed(const json_t *v, char cell[OUT_CELL])
{
	static const char *const keys[] = {"errors", "timeouts", "absent", "limited", "refused"};
	long long sum = 0;

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		sum += out_int(health(v), keys[i]);
	if (health(v))
		snprintf(cell, OUT_CELL, "%lld", sum);
	else
		snprintf(cell, OUT_CELL, "-");
}

static void micros(long long us, char text[32])
{
	if (us < 1000)
		snprintf(text, 32, "%lldus", us);
	else if (us < 1000000)
		snprintf(text, 32, "%lld.%lldms", us / 1000, us / 100 % 10);
	else
		snprintf(text, 32, "%lld.%llds", us / 1000000, us / 100000 % 10);
}

static void took(const json_t *v, char cell[OUT_CELL])
{
	const json_t *h = health(v);
	char half[32], most[32];

	if (h && out_int(h, "answers")) {
		micros(out_int(h, "p50_us"), half);
		micros(out_int(h, "p99_us"), most);
		snprintf(cell, OUT_CELL, "%s/%s", half, most);
	} else {
		snprintf(cell, OUT_CELL, "-");
	}
}

/* The members of a group; else what the definition says besides. */
static void of(const json_t *v, char cell[OUT_CELL])
{
	const json_t *m;
	size_t i, len = 0;

	snprintf(cell, OUT_CELL, "%s%s", *out_get(v, "answer") ? "answers " : "",
		 out_get(v, "answer"));
	json_array_foreach(json_object_get(v, "members"), i, m)
	{
		if (len < OUT_CELL - 1)
			len += (size_t)snprintf(cell + len, OUT_CELL - len, "%s%s", i ? ", " : "",
						json_string_value(m));
	}
	if (*out_get(v, "user"))
		len += (size_t)snprintf(cell, OUT_CELL, "user %s", out_get(v, "user"));
	if (*out_get(v, "group") && len < OUT_CELL - 1)
		snprintf(cell + len, OUT_CELL - len, "%sgroup %s", len ? ", " : "",
			 out_get(v, "group"));
}

static const struct out_column columns[] = {
	{"AUTHORITY", -12, name}, {"TYPE", -8, type},    {"TIMEOUT", 7, timeout},
	{"ELSE", -6, otherwise},  {"STATE", -7, state},  {"SERVERS", 7, servers},
	{"OPEN", 6, open_now},    {"ASKED", 8, asked},   {"PERMIT+BLOCK+CONT", 17, answers},
	{"FAILED", 7, failed},    {"P50/P99", 12, took}, {"OF", 0, of},
};

static const struct out_list list = {"authorities", "The policy has no authorities.", columns, 12};

int cmd_authorities(struct cli *cli, int argc, char **argv)
{
	return cli_list(cli, argc, argv, &list);
}
