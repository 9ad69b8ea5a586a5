/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pendctl reauthorize, journal. */
#include "cli/cli.h"
#include <stdio.h>
#include <string.h>

static void flow_text(const json_t *f)
{
	char source[OUT_CELL], dest[OUT_CELL], proto[OUT_CELL];

	out_endpoint(f, "source", "source_port", source);
	out_endpoint(f, "dest", "dest_port", dest);
	out_protocol(f, proto);
	out_printf("  %s %s > %s", proto, source, dest);
	if (*out_get(f, "text"))
		out_printf(" by %s:%lld: %s", out_get(f, "file"), out_int(f, "line"),
			   out_get(f, "text"));
	else if (json_object_get(f, "rule")) /* of a policy that is gone by now */
		out_printf(" by rule %lld", out_int(f, "rule"));
	else
		out_printf(", as no layer has an opinion");
	out_printf(json_is_true(json_object_get(f, "failed")) ? " (it could not be ended)\n"
							      : "\n");
}

void live_text(const json_t *live, bool would)
{
	long long n = out_int(live, "ended"), of = out_int(live, "examined");
	long long more = out_int(live, "more"), failed = out_int(live, "failed");
	const json_t *flows = json_object_get(live, "flows"), *f;
	size_t i;

	out_printf("Of %lld live %s %s %lld%s\n", of, out_noun(of, "flow", "flows"),
		   would ? "it would end" : "it has ended", n, json_array_size(flows) ? ":" : ".");
	json_array_foreach(flows, i, f) flow_text(f);
	if (more)
		out_printf("  and %lld more\n", more);
	if (failed)
		out_printf("%lld could not be ended: the daemon's log says why.\n", failed);
}

static void would_text(struct out *o, const json_t *v)
{
	(void)o;
	live_text(v, true);
}

static void ended_text(struct out *o, const json_t *v)
{
	(void)o;
	live_text(v, false);
}

struct match {
	const char *from, *proto;
	uint32_t port, family, rule;
};

#define NONE UINT32_MAX

static json_t *match_json(const struct match *m)
{
	json_t *o = json_object();

	if (m->from)
		json_object_set_new(o, "source", json_string(m->from));
	if (m->proto)
		json_object_set_new(o, "protocol", json_string(m->proto));
	if (m->port != NONE)
		json_object_set_new(o, "port", json_integer(m->port));
	if (m->family != NONE)
		json_object_set_new(o, "family", json_integer(m->family));
	if (m->rule != NONE)
		json_object_set_new(o, "rule", json_integer(m->rule));
	return o;
}

int cmd_reauthorize(struct cli *cli, int argc, char **argv)
{
	struct match m = {.port = NONE, .family = NONE, .rule = NONE};
	bool dry = false;
	const struct cli_opt opts[] = {
		{"dry-run", 'n', CLI_FLAG, &dry},     {"from", 0, CLI_TEXT, &m.from},
		{"source", 0, CLI_TEXT, &m.from},     {"port", 'p', CLI_NUMBER, &m.port},
		{"protocol", 0, CLI_TEXT, &m.proto},  {"proto", 0, CLI_TEXT, &m.proto},
		{"family", 0, CLI_NUMBER, &m.family}, {"rule", 0, CLI_NUMBER, &m.rule},
	};
	json_t *args, *v;
	int r;

	argc = cli_parse(cli, opts, sizeof(opts) / sizeof(opts[0]), false, argc, argv);
	if (argc < 0)
		return CLI_USAGE;
	if (argc > 1)
		return cli_usage("reauthorize", "reauthorize takes options only, not \"%s\"",
				 argv[1]);
	args = json_object();
	json_object_set_new(args, "match", match_json(&m));
	if (dry)
		json_object_set_new(args, "dry_run", json_true());
	cli->timeout_ms = CLI_CHANGE_TIMEOUT_MS;
	r = cli_gather(cli, "reauthorize", args, &v);
	if (r == CLI_OK)
		cli->out.ops->object(&cli->out, v, dry ? would_text : ended_text);
	json_decref(v);
	return r;
}

/* ----------------------------------------------------------------------- journal ---- */

static void entry_text(const struct out *o, const json_t *e)
{
	const char *why = out_get(e, "why"), *status = out_get(e, "status"), *user;
	char generation[OUT_CELL];
	bool failed = *status && strcmp(status, "ok") != 0;

	user = out_get(e, "user");
	out_generation(e, generation);
	out_printf("%6lld %-19.19s %-6s %-7s %-10s %s", out_int(e, "number"), out_get(e, "time"),
		   generation, out_get(e, "kind"), *user ? user : "-", out_get(e, "what"));
	if (*why)
		out_printf(" (%s)", why);
	if (failed) {
		fputs(": ", stdout);
		out_styled(o, OUT_BAD, status);
	}
	putchar('\n');
}

static void journal_text(struct out *o, const json_t *v)
{
	const json_t *entries = json_object_get(v, "journal"), *e;
	size_t i;

	if (o->headers && json_array_size(entries))
		out_printf("%6s %-19s %-6s %-7s %-10s %s\n", "NUMBER", "TIME (UTC)", "POLICY",
			   "KIND", "BY", "WHAT");
	if (o->headers && !json_array_size(entries))
		out_printf("Nothing was changed since the start.\n");
	json_array_foreach(entries, i, e) entry_text(o, e);
}

int cmd_journal(struct cli *cli, int argc, char **argv)
{
	uint32_t last = 50;
	const struct cli_opt opts[] = {{"last", 'n', CLI_NUMBER, &last}};
	json_t *v;
	int r;

	argc = cli_parse(cli, opts, 1, false, argc, argv);
	if (argc < 0)
		return CLI_USAGE;
	if (argc > 1)
		return cli_usage("journal", "journal takes options only, not \"%s\"", argv[1]);
	r = cli_gather(cli, "journal", json_pack("{s:I}", "last", (json_int_t)last), &v);
	if (r == CLI_OK)
		cli->out.ops->object(&cli->out, v, journal_text);
	json_decref(v);
	return r;
}
