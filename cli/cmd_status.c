/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pendctl status, rules, layers. */
#include "cli/cli.h"
#include <stdio.h>
#include <string.h>

static void status_totals(const json_t *t)
{
	char memory[OUT_CELL];

	out_size(out_int(t, "memory"), memory);
	out_printf("pending   %lld now, %lld at most; %lld in the kernel, %s reserved\n",
		   out_int(t, "pending"), out_int(t, "pending_peak"), out_int(t, "held"), memory);
	out_printf("pended    %lld: %lld permitted, %lld flushed, %lld blocked, %lld timed out,\n",
		   out_int(t, "pended"), out_int(t, "ended_permitted"), out_int(t, "ended_flushed"),
		   out_int(t, "ended_blocked"), out_int(t, "ended_timed_out"));
	out_printf("          %lld abandoned, %lld lost, %lld drained\n",
		   out_int(t, "ended_abandoned"), out_int(t, "ended_lost"),
		   out_int(t, "ended_drained"));
	out_printf("direct    %lld permitted, %lld blocked, of %lld %s\n",
		   out_int(t, "permitted_direct"), out_int(t, "blocked_direct"),
		   out_int(t, "packets"), out_noun(out_int(t, "packets"), "packet", "packets"));
	out_printf("refused   %lld contexts, %lld source, %lld service, %lld bytes, %lld packets, "
		   "%lld watermark\n",
		   out_int(t, "limit_contexts"), out_int(t, "limit_source"),
		   out_int(t, "limit_service"), out_int(t, "limit_bytes"),
		   out_int(t, "limit_packets"), out_int(t, "watermark_drops"));
	if (out_int(t, "kernel_lost"))
		out_printf("lost      %lld %s by the kernel; %lld came back\n",
			   out_int(t, "kernel_lost"),
			   out_noun(out_int(t, "kernel_lost"), "packet", "packets"),
			   out_int(t, "reattached"));
}

static const char *why_not(const char *state)
{
	static const struct {
		const char *state, *why;
	} t[] = {{"off", "kernel-decisions is no"},
		 {"iptables", "iptables has no place for them"},
		 {"no-hookup", "the rules are not the daemon's"},
		 {"no-input", "nothing that comes to this host is held"}};

	for (size_t i = 0; i < sizeof(t) / sizeof(*t); i++)
		if (!strcmp(state, t[i].state))
			return t[i].why;
	return state;
}

/* Decisions that hold for a while, where the kernel takes them. */
static void status_decisions(const json_t *d)
{
	const char *state = out_get(d, "state"), *by = out_get(d, "varies_by");

	if (strcmp(state, "on") != 0) {
		out_printf("decided   nothing by the kernel: %s\n", why_not(state));
		return;
	}
	out_printf("decided   %lld permitted, %lld blocked by the kernel, which has %lld %s\n",
		   out_int(d, "kernel_permits"), out_int(d, "kernel_blocks"),
		   out_int(d, "elements"),
		   out_noun(out_int(d, "elements"), "decision", "decisions"));
	if (*by)
		out_printf("          %lld not offered, lately for \"%s\" in rule %lld\n",
			   out_int(d, "varies"), by, out_int(d, "varies_rule"));
}

static void status_hookup(const json_t *v)
{
	const json_t *h = json_object_get(v, "hookup"), *k = json_object_get(v, "kernel");
	const json_t *l = json_object_get(v, "live_flows"), *a = json_object_get(v, "agents"),
		     *d = json_object_get(v, "kernel_decisions");

	if (h)
		out_printf("hookup    %s, %s, fail %s (%lld %s)\n", out_get(h, "kind"),
			   out_get(h, "state"), out_get(h, "fail"), out_int(h, "repairs"),
			   out_noun(out_int(h, "repairs"), "repair", "repairs"));
	if (k)
		out_printf("kernel    %lld queued, %lld + %lld dropped, %lld flushed by others\n",
			   out_int(k, "queued"), out_int(k, "queue_dropped"),
			   out_int(k, "user_dropped"), out_int(k, "flushed"));
	if (d)
		status_decisions(d);
	if (a && out_int(a, "wanted") + out_int(a, "elsewhere"))
		out_printf("agents    %lld of %lld run, %lld elsewhere, %lld %s\n",
			   out_int(a, "running"), out_int(a, "wanted"), out_int(a, "elsewhere"),
			   out_int(a, "restarts"),
			   out_noun(out_int(a, "restarts"), "restart", "restarts"));
	if (l && out_int(l, "runs"))
		out_printf("live      %lld flows authorized again, %lld ended\n",
			   out_int(l, "examined"), out_int(l, "ended"));
}

/* Nothing to say of a store in memory that nobody has asked for. */
static void status_store(const json_t *s)
{
	const char *state = out_get(s, "state"), *error = out_get(s, "error");

	if (!s || (!strcmp(state, "memory") && !out_int(s, "dropped")))
		return;
	out_printf("store     %s, %lld written, %lld queued, %lld dropped, %lld %s%s%s\n", state,
		   out_int(s, "written"), out_int(s, "queued"), out_int(s, "dropped"),
		   out_int(s, "errors"), out_noun(out_int(s, "errors"), "error", "errors"),
		   *error && strcmp(state, "file") ? ": " : "", strcmp(state, "file") ? error : "");
}

static void status_text(struct out *o, const json_t *v)
{
	const json_t *p = json_object_get(v, "policy"), *c = json_object_get(v, "control"),
		     *problem;
	long long workers = (long long)json_array_size(json_object_get(v, "workers"));
	const char *state = out_get(v, "state");
	char up[OUT_CELL], generation[OUT_CELL];
	size_t i;

	out_age(out_int(v, "uptime_s") * 1000, up);
	fputs("pendd     ", stdout);
	out_styled(o, strcmp(state, "ok") ? OUT_BAD : OUT_GOOD, state);
	out_printf(", version %s, up %s, %lld %s\n", out_get(v, "version"), up, workers,
		   out_noun(workers, "worker", "workers"));
	json_array_foreach(json_object_get(v, "problems"), i, problem)
		out_printf("problem   %s\n", json_string_value(problem));
	out_generation(p, generation);
	if (p)
		out_printf("policy    %s, generation %s, %lld %s, %lld %s\n", out_get(p, "file"),
			   generation, out_int(p, "rules"),
			   out_noun(out_int(p, "rules"), "rule", "rules"),
			   out_int(p, "authorities"),
			   out_noun(out_int(p, "authorities"), "authority", "authorities"));
	status_hookup(v);
	status_totals(json_object_get(v, "totals"));
	status_store(json_object_get(v, "store"));
	out_printf("control   %lld %s, %lld %s, %lld %s\n", out_int(c, "clients"),
		   out_noun(out_int(c, "clients"), "client", "clients"), out_int(c, "requests"),
		   out_noun(out_int(c, "requests"), "request", "requests"), out_int(c, "errors"),
		   out_noun(out_int(c, "errors"), "error", "errors"));
}

int cmd_status(struct cli *cli, int argc, char **argv)
{
	json_t *v;
	int r;

	argc = cli_parse(cli, NULL, 0, false, argc, argv);
	if (argc != 1)
		return argc < 0 ? CLI_USAGE : cli_usage("status", "status takes no argument");
	r = cli_call(cli, "status", NULL, NULL, NULL, &v);
	if (r == CLI_OK) {
		cli->out.ops->object(&cli->out, v, status_text);
		if (strcmp(out_get(v, "state"), "ok") != 0)
			r = CLI_DEGRADED;
	}
	json_decref(v);
	return r;
}

static void rule_number(const json_t *v, char cell[OUT_CELL])
{
	snprintf(cell, OUT_CELL, "%lld", out_int(v, "rule"));
}

static void rule_place(const json_t *v, char cell[OUT_CELL])
{
	const char *file = out_get(v, "file"), *slash = strrchr(file, '/');

	snprintf(cell, OUT_CELL, "%s:%lld", slash ? slash + 1 : file, out_int(v, "line"));
}

static void rule_text(const json_t *v, char cell[OUT_CELL])
{
	snprintf(cell, OUT_CELL, "%s", out_get(v, "text"));
}

static const struct out_column rule_columns[] = {
	{"RULE", 4, rule_number},      {"HITS", 9, out_hits},      {"BYTES", 11, out_bytes},
	{"LAST (UTC)", -19, out_last}, {"PLACE", -14, rule_place}, {"TEXT", 0, rule_text},
};

static const struct out_list rule_list = {"rules", "The policy has no rules.", rule_columns, 6};

/* Each part of a long reply: its rows go out as they come. */
struct rows {
	struct out *out;
	const char *name;
};

static bool rows_put(void *ctx, const char *text)
{
	const struct rows *rows = ctx;
	json_t *v = json_loads(text, 0, NULL), *row;
	size_t i;

	json_array_foreach(json_object_get(v, rows->name), i, row)
		rows->out->ops->list_row(rows->out, row);
	json_decref(v);
	return true;
}

int cli_list(struct cli *cli, int argc, char **argv, const struct out_list *list)
{
	struct rows rows = {&cli->out, list->name};
	int r;

	argc = cli_parse(cli, NULL, 0, false, argc, argv);
	if (argc != 1)
		return argc < 0 ? CLI_USAGE
				: cli_usage(list->name, "%s takes no argument", list->name);
	r = cli_connect(cli);
	if (r != CLI_OK)
		return r;
	cli->out.ops->list_begin(&cli->out, list);
	r = cli_call(cli, list->name, NULL, rows_put, &rows, NULL);
	cli->out.ops->list_end(&cli->out, r == CLI_OK);
	return r;
}

int cmd_rules(struct cli *cli, int argc, char **argv)
{
	return cli_list(cli, argc, argv, &rule_list);
}

static void layer_name(const json_t *v, char cell[OUT_CELL])
{
	snprintf(cell, OUT_CELL, "%s", out_get(v, "layer"));
}

static void layer_permit(const json_t *v, char cell[OUT_CELL])
{
	snprintf(cell, OUT_CELL, "%lld", out_int(v, "permit"));
}

static void layer_block(const json_t *v, char cell[OUT_CELL])
{
	snprintf(cell, OUT_CELL, "%lld", out_int(v, "block"));
}

static void layer_pend(const json_t *v, char cell[OUT_CELL])
{
	snprintf(cell, OUT_CELL, "%lld", out_int(v, "pend"));
}

static void layer_veto(const json_t *v, char cell[OUT_CELL])
{
	snprintf(cell, OUT_CELL, "%lld", out_int(v, "veto"));
}

static const struct out_column layer_columns[] = {
	{"LAYER", -20, layer_name}, {"PERMIT", 11, layer_permit}, {"BLOCK", 11, layer_block},
	{"PEND", 11, layer_pend},   {"VETO", 11, layer_veto},
};

static const struct out_list layer_list = {"layers", "The policy has no layers.", layer_columns, 5};

int cmd_layers(struct cli *cli, int argc, char **argv)
{
	return cli_list(cli, argc, argv, &layer_list);
}
