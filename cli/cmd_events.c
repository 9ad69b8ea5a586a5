/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pendctl events. */
#include "cli/filter.h"
#include <stdio.h>
#include <string.h>

static void event_what(const json_t *v, char cell[OUT_CELL])
{
	const char *type = out_get(v, "type"), *state = out_get(v, "state");

	/* the outcome says more than "completed" */
	snprintf(cell, OUT_CELL, "%s", strcmp(type, "completed") ? type : state);
}

static void event_tuple(const json_t *v)
{
	char source[OUT_CELL], dest[OUT_CELL];
	const char *proto = out_get(v, "protocol");

	out_endpoint(v, "source", "source_port", source);
	out_endpoint(v, "dest", "dest_port", dest);
	if (*proto)
		out_printf(" %s %s > %s", proto, source, dest);
	else
		out_printf(" %lld %s > %s", out_int(v, "protocol"), source, dest);
}

static void event_details(const json_t *v)
{
	char ms[OUT_CELL];

	if (json_object_get(v, "rule"))
		out_printf(" rule %lld", out_int(v, "rule"));
	if (*out_get(v, "authority"))
		out_printf(" ask %s", out_get(v, "authority"));
	if (out_int(v, "retransmits"))
		out_printf(" try %lld", out_int(v, "retransmits"));
	if (*out_get(v, "block") && strcmp(out_get(v, "block"), "drop") != 0)
		out_printf(" with %s", out_get(v, "block"));
	if (*out_get(v, "reason") && strcmp(out_get(v, "reason"), "none") != 0)
		out_printf(" by %s", out_get(v, "reason"));
	if (json_object_get(v, "pended_ms")) {
		out_age(out_int(v, "pended_ms"), ms);
		out_printf(" after %s", ms);
	}
}

static void event_text(struct out *o, const json_t *v)
{
	const char *time = out_get(v, "time"), *type = out_get(v, "type"), *t = strchr(time, 'T');
	char what[OUT_CELL], clock[16];

	event_what(v, what);
	snprintf(clock, sizeof(clock), "%.12s", t ? t + 1 : "-");
	out_printf("%-12s ", clock);
	out_styled(o, strcmp(what, "blocked") ? OUT_PLAIN : OUT_BAD, what);
	if (strcmp(type, "note") == 0 || strcmp(type, "subscription-lost") == 0) {
		out_printf(" %s\n", out_get(v, "text"));
		return;
	}
	out_printf("%*s %-7s", strlen(what) < 11 ? (int)(11 - strlen(what)) : 0, "",
		   out_get(v, "id"));
	event_tuple(v);
	event_details(v);
	out_printf("\n");
}

struct stream {
	struct out *out;
	bool lost;
};

static bool event_put(void *ctx, const char *text)
{
	struct stream *s = ctx;
	json_t *v = json_loads(text, 0, NULL);

	s->out->ops->record(s->out, v, event_text);
	s->lost = strcmp(out_get(v, "type"), "subscription-lost") == 0;
	json_decref(v);
	return !s->lost;
}

/* "pended,completed" to an array. */
static json_t *types_json(const char *types)
{
	json_t *a = json_array();

	while (*types) {
		size_t n = strcspn(types, ",");

		if (n)
			json_array_append_new(a, json_stringn(types, n));
		types += n + (types[n] == ',');
	}
	return a;
}

static int events_follow(struct cli *cli)
{
	struct stream s = {.out = &cli->out};
	enum pend_client_error e = pend_client_events(cli->client, -1, event_put, &s);

	if (s.lost)
		return cli_fail(CLI_FAILURE, "events came faster than they were read");
	return cli_remote(cli, e);
}

/* Arguments of the operation; the filter's are borrowed. */
static json_t *events_args(uint32_t last, bool follow, const char *types,
			   const struct cli_filter *f)
{
	json_t *args = json_pack("{s:I,s:b}", "last", (json_int_t)last, "follow", (int)follow);
	json_t *match = cli_filter_json(f);

	if (types)
		json_object_set_new(args, "types", types_json(types));
	if (json_object_size(match))
		json_object_set(args, "match", match);
	json_decref(match);
	return args;
}

static int events_show(struct cli *cli, json_t *args, bool follow)
{
	json_t *v, *e;
	int r = cli_call(cli, "events", args, NULL, NULL, &v);
	size_t i;

	json_array_foreach(json_object_get(v, "events"), i, e)
		cli->out.ops->record(&cli->out, e, event_text);
	json_decref(v);
	return r == CLI_OK && follow ? events_follow(cli) : r;
}

int cmd_events(struct cli *cli, int argc, char **argv)
{
	const char *types = NULL, *program = NULL;
	uint32_t last = 50;
	bool follow = false;
	struct cli_filter f = CLI_FILTER_INIT;
	const struct cli_opt opts[] = {
		{"last", 'n', CLI_NUMBER, &last},
		{"follow", 'f', CLI_FLAG, &follow},
		{"type", 't', CLI_TEXT, &types},
		{"source", 0, CLI_TEXT, &f.source},
		{"family", 0, CLI_NUMBER, &f.family},
		{"exec", 0, CLI_TEXT, &program},
		CLI_FILTER_OPTS(&f),
	};
	json_t *args;
	int r;

	argc = cli_parse(cli, opts, sizeof(opts) / sizeof(opts[0]), false, argc, argv);
	if (argc < 0)
		return CLI_USAGE;
	if (argc > 1)
		return cli_usage("events", "events takes options only, not \"%s\"", argv[1]);
	if (!program)
		return events_show(cli, events_args(last, follow, types, &f), follow);
	args = events_args(0, true, types, &f);
	r = events_exec(cli, program, args);
	json_decref(args);
	return r;
}
