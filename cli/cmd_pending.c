/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pendctl pending, permit, block. */
#include "cli/filter.h"
#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void put_id(const json_t *v, char cell[OUT_CELL])
{
	snprintf(cell, OUT_CELL, "%s", out_get(v, "id"));
}

static void put_source(const json_t *v, char cell[OUT_CELL])
{
	out_endpoint(v, "source", "source_port", cell);
}

static void put_dest(const json_t *v, char cell[OUT_CELL])
{
	out_endpoint(v, "dest", "dest_port", cell);
}

static void put_age(const json_t *v, char cell[OUT_CELL])
{
	out_age(out_int(v, "age_ms"), cell);
}

static void put_left(const json_t *v, char cell[OUT_CELL])
{
	out_age(out_int(v, "remaining_ms"), cell);
}

static void put_retransmits(const json_t *v, char cell[OUT_CELL])
{
	snprintf(cell, OUT_CELL, "%lld", out_int(v, "retransmits"));
}

static void put_rule(const json_t *v, char cell[OUT_CELL])
{
	if (json_object_get(v, "rule"))
		snprintf(cell, OUT_CELL, "%lld", out_int(v, "rule"));
	else
		snprintf(cell, OUT_CELL, "-");
}

/* 80 columns with IPv4 addresses. */
static const struct out_column columns[] = {
	{"ID", -7, put_id},          {"PROTO", -5, out_protocol},
	{"SOURCE", -21, put_source}, {"DESTINATION", -20, put_dest},
	{"AGE", 6, put_age},         {"LEFT", 6, put_left},
	{"TRY", 3, put_retransmits}, {"RULE", 4, put_rule},
};

static const struct out_list list = {"pending", "Nothing is pended.", columns,
				     sizeof(columns) / sizeof(columns[0])};

static bool rows_put(void *ctx, const char *text)
{
	struct out *o = ctx;
	json_t *v = json_loads(text, 0, NULL), *row;
	size_t i;

	json_array_foreach(json_object_get(v, "pending"), i, row) o->ops->list_row(o, row);
	json_decref(v);
	return true;
}

static int pending_once(struct cli *cli, const struct cli_filter *f, uint32_t limit, bool sources)
{
	json_t *args = cli_filter_json(f);
	int r = cli_connect(cli);

	if (r != CLI_OK) {
		json_decref(args);
		return r;
	}
	if (limit)
		json_object_set_new(args, "limit", json_integer(limit));
	if (sources)
		return pending_show_sources(cli, args);
	cli->out.ops->list_begin(&cli->out, &list);
	r = cli_call(cli, "pending", args, rows_put, &cli->out, NULL);
	cli->out.ops->list_end(&cli->out, r == CLI_OK);
	return r;
}

int cmd_pending(struct cli *cli, int argc, char **argv)
{
	struct cli_filter f = CLI_FILTER_INIT;
	uint32_t limit = 0, interval = 1;
	const char *by = NULL;
	bool watch = false;
	const struct cli_opt opts[] = {
		{"watch", 'w', CLI_FLAG, &watch},
		{"interval", 0, CLI_NUMBER, &interval},
		{"limit", 0, CLI_NUMBER, &limit},
		{"source", 0, CLI_TEXT, &f.source},
		{"family", 0, CLI_NUMBER, &f.family},
		{"by", 0, CLI_TEXT, &by},
		CLI_FILTER_OPTS(&f),
	};
	int r;

	argc = cli_parse(cli, opts, sizeof(opts) / sizeof(opts[0]), false, argc, argv);
	if (argc < 0)
		return CLI_USAGE;
	if (by && strcmp(by, "source") != 0)
		return cli_usage("pending", "--by takes source, not \"%s\"", by);
	if (argc > 1)
		return cli_usage("pending", "pending takes options only, not \"%s\"", argv[1]);
	if (!interval)
		return cli_usage("pending", "--interval must be at least 1");
	r = pending_once(cli, &f, limit, by != NULL);
	while (r == CLI_OK && watch) {
		nanosleep(&(struct timespec){.tv_sec = interval}, NULL);
		cli->out.ops->redraw(&cli->out);
		r = pending_once(cli, &f, limit, by != NULL);
	}
	return r;
}

/* ----------------------------------------------------------------- permit, block ---- */

/* "a0.1": letters, a number, a dot, a number. The daemon knows which there are. */
static bool looks_like_id(const char *s)
{
	const char *p = s;

	while (islower((unsigned char)*p))
		p++;
	if (p == s || !isdigit((unsigned char)*p))
		return false;
	p += strspn(p, "0123456789");
	if (*p++ != '.' || !isdigit((unsigned char)*p))
		return false;
	return p[strspn(p, "0123456789")] == '\0';
}

/* "203.0.113.7", "2001:db8::/32" */
static bool looks_like_address(const char *s)
{
	unsigned char addr[16];
	char text[64];
	const char *slash = strchr(s, '/'), *len = slash ? slash + 1 : "0";
	size_t n = slash ? (size_t)(slash - s) : strlen(s);
	bool v6 = strchr(s, ':') != NULL;

	if (n >= sizeof(text) || !*len || strlen(len) > 3 || len[strspn(len, "0123456789")] ||
	    atoi(len) > (v6 ? 128 : 32))
		return false;
	memcpy(text, s, n);
	text[n] = '\0';
	return inet_pton(v6 ? AF_INET6 : AF_INET, text, addr) == 1;
}

struct decision {
	struct cli *cli;
	const char *verb;  /* "permit" */
	const char *block; /* NULL, "reset" */
	const char *remember, *scope, *why;
	bool once;
	struct cli_filter f;
	bool all;
	long long completed, remembered;
	int exit;
	json_t *failed;
};

static const char *failure_text(const char *code)
{
	if (strcmp(code, "already") == 0)
		return "was decided before";
	if (strcmp(code, "not-found") == 0)
		return "is not pended: it was decided, has ended or never was; see 'pendctl pending'";
	return code;
}

static void decision_failed(struct decision *d, const json_t *failed)
{
	json_t *f;
	size_t i;

	json_array_foreach(failed, i, f)
	{
		const char *code = out_get(f, "code");
		bool gone = !strcmp(code, "not-found") || !strcmp(code, "already");

		json_array_append(d->failed, f);
		if (!d->exit)
			d->exit = gone ? CLI_NOT_FOUND : CLI_FAILURE;
		cli_fail(0, "%s %s", out_get(f, "id"), failure_text(code));
	}
}

static void decision_text_arg(json_t *args, const char *key, const char *text)
{
	if (text)
		json_object_set_new(args, key, json_string(text));
}

/* Takes args. */
static void decision_send(struct decision *d, json_t *args)
{
	json_t *result;
	int r;

	json_object_set_new(args, "verdict", json_string(d->verb));
	if (d->block)
		json_object_set_new(args, "block", json_string(d->block));
	if (d->once)
		json_object_set_new(args, "remember", json_false());
	decision_text_arg(args, "remember", d->remember);
	decision_text_arg(args, "scope", d->scope);
	decision_text_arg(args, "why", d->why);
	r = cli_call(d->cli, "complete", args, NULL, NULL, &result);
	if (r != CLI_OK)
		d->exit = r;
	d->remembered += out_int(result, "remembered");
	d->completed += out_int(result, "completed");
	decision_failed(d, json_object_get(result, "failed"));
	if (r == CLI_OK && json_is_true(json_object_get(result, "incomplete")) && !d->exit)
		d->exit = cli_fail(CLI_FAILURE, "a worker did not answer: see 'pendctl status'");
	json_decref(result);
}

static void decision_match(struct decision *d, const char *source)
{
	struct cli_filter f = d->f;
	json_t *args = json_object(), *match;
	long long before = d->completed;
	int exit = d->exit;

	f.source = source;
	match = cli_filter_json(&f);
	if (!json_object_size(match))
		json_object_set_new(args, "all", json_true());
	json_object_set(args, "match", match);
	decision_send(d, args);
	if (d->completed == before && d->exit == exit && !exit)
		d->exit = cli_fail(CLI_NOT_FOUND, "nothing is pended%s%s%s", source ? " from " : "",
				   source ? source : "",
				   json_object_size(match) > (source ? 1 : 0) ? " that fits" : "");
	json_decref(match);
}

static void decision_ids(struct decision *d, int argc, char **argv)
{
	json_t *ids = json_array(), *args;

	for (int i = 1; i < argc; i++)
		if (looks_like_id(argv[i]))
			json_array_append_new(ids, json_string(argv[i]));
	if (!json_array_size(ids)) {
		json_decref(ids);
		return;
	}
	args = json_object();
	json_object_set_new(args, "ids", ids);
	decision_send(d, args);
}

static void decision_text(struct out *o, const json_t *v)
{
	long long n = out_int(v, "completed"), kept = out_int(v, "remembered");

	(void)o;
	if (n)
		out_printf("%s %lld connection%s%s\n", out_get(v, "verdict"), n, n == 1 ? "" : "s",
			   kept ? ", and those like it" : "");
}

static int decide(struct decision *d, int argc, char **argv)
{
	bool filtered = d->f.port != CLI_FILTER_NONE || d->f.proto || d->f.authority ||
			d->f.rule != CLI_FILTER_NONE;
	bool matched = false;
	json_t *v;

	if (d->once && (d->remember || d->scope))
		return cli_usage(d->verb, "%s: --once goes without --for and --scope", d->verb);
	if (!cli_utf8(d->why))
		return cli_usage(d->verb, "%s: --why is not UTF-8", d->verb);
	if (d->remember && d->remember[strspn(d->remember, "0123456789.dhms")])
		return cli_usage(d->verb,
				 "%s: --for takes a duration from 1s to 365d, like 8h or 1h30m",
				 d->verb);
	if (argc < 2 && !d->all && !filtered)
		return cli_usage(d->verb, "%s: which? Give an id, an address or --all", d->verb);
	if (d->all && (argc > 1 || filtered))
		return cli_usage(d->verb, "%s: --all goes without ids, addresses and conditions",
				 d->verb);
	/* all are looked at before the first is decided */
	for (int i = 1; i < argc; i++) {
		if (filtered && looks_like_id(argv[i]))
			return cli_usage(d->verb, "%s: an id needs no conditions", d->verb);
		if (!looks_like_id(argv[i]) && !looks_like_address(argv[i]))
			return cli_usage(d->verb,
					 "%s: \"%s\" is neither an id (a0.1) nor an address "
					 "(203.0.113.7, 2001:db8::/32)",
					 d->verb, argv[i]);
	}
	d->failed = json_array();
	decision_ids(d, argc, argv);
	for (int i = 1; i < argc && d->exit != CLI_NOT_RUNNING && d->exit != CLI_DENIED; i++)
		if (!looks_like_id(argv[i]))
			decision_match(d, argv[i]);
	matched = argc > 1;
	if (!matched)
		decision_match(d, NULL);
	v = json_object();
	json_object_set_new(v, "verdict",
			    json_string(strcmp(d->verb, "permit") ? "blocked" : "permitted"));
	json_object_set_new(v, "completed", json_integer(d->completed));
	json_object_set_new(v, "remembered", json_integer(d->remembered));
	json_object_set_new(v, "failed", d->failed);
	d->cli->out.ops->object(&d->cli->out, v, decision_text);
	json_decref(v);
	return d->exit;
}

#define LASTING_OPTS(d)                                                            \
	{"for", 0, CLI_TEXT, &(d)->remember}, {"scope", 0, CLI_TEXT, &(d)->scope}, \
		{"once", 0, CLI_FLAG, &(d)->once},                                 \
	{                                                                          \
		"why", 'w', CLI_TEXT, &(d)->why                                    \
	}

int cmd_permit(struct cli *cli, int argc, char **argv)
{
	struct decision d = {.cli = cli, .verb = "permit"};
	const struct cli_opt opts[] = {
		{"all", 'a', CLI_FLAG, &d.all},
		LASTING_OPTS(&d),
		CLI_FILTER_OPTS(&d.f),
	};

	d.f = (struct cli_filter)CLI_FILTER_INIT;
	argc = cli_parse(cli, opts, sizeof(opts) / sizeof(opts[0]), false, argc, argv);
	return argc < 0 ? CLI_USAGE : decide(&d, argc, argv);
}

int cmd_block(struct cli *cli, int argc, char **argv)
{
	struct decision d = {.cli = cli, .verb = "block"};
	bool reset = false, unreachable = false, drop = false;
	const struct cli_opt opts[] = {
		{"all", 'a', CLI_FLAG, &d.all},
		{"reset", 'r', CLI_FLAG, &reset},
		{"unreachable", 'u', CLI_FLAG, &unreachable},
		{"drop", 'd', CLI_FLAG, &drop},
		LASTING_OPTS(&d),
		CLI_FILTER_OPTS(&d.f),
	};

	d.f = (struct cli_filter)CLI_FILTER_INIT;
	argc = cli_parse(cli, opts, sizeof(opts) / sizeof(opts[0]), false, argc, argv);
	if (argc < 0)
		return CLI_USAGE;
	if (reset + unreachable + drop > 1)
		return cli_usage("block", "one of --reset, --unreachable and --drop");
	d.block = reset ? "reset" : unreachable ? "unreachable" : "drop";
	return decide(&d, argc, argv);
}
