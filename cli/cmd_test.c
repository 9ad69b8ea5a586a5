/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pendctl test: what the policy in force says about a connection. */
#include "cli/cli.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print_rule(const json_t *v, const char *indent)
{
	if (!json_object_get(v, "rule")) {
		out_printf("%sno layer has an opinion\n", indent);
		return;
	}
	out_printf("%srule %lld, %s:%lld, layer %s\n", indent, out_int(v, "rule"),
		   out_get(v, "file"), out_int(v, "line"), out_get(v, "layer"));
	out_printf("%s%s\n", indent, out_get(v, "text"));
}

static void print_answer(struct out *o, const json_t *v)
{
	const char *action = out_get(v, "action"), *how = out_get(v, "block");

	out_styled(o, strcmp(action, "block") ? OUT_BOLD : OUT_BAD, action);
	if (strcmp(action, "pend") == 0)
		out_printf(", ask %s, timeout %s, then %s; release %s, mode %s",
			   out_get(v, "authority"), out_get(v, "timeout"), out_get(v, "on_timeout"),
			   out_get(v, "release"), out_get(v, "mode"));
	if (*how && strcmp(how, "drop") != 0)
		out_printf(strcmp(action, "pend") ? ", by %s" : ", a block by %s", how);
	if (json_is_true(json_object_get(v, "depends_on_listener")))
		out_printf(", or else, as who listens is not known here");
	out_printf("\n");
	print_rule(v, "  ");
}

/* The questions behind the first one. */
static void print_then(struct out *o, const json_t *then)
{
	const json_t *e;
	size_t i;

	json_array_foreach(then, i, e)
	{
		out_printf("when permitted: ");
		print_answer(o, e);
	}
}

static void print_layer(const json_t *l)
{
	const char *why = out_get(l, "why");
	bool limited = json_is_true(json_object_get(l, "limited"));
	char rule[OUT_CELL] = "-";

	if (json_object_get(l, "rule"))
		snprintf(rule, sizeof(rule), "%s %lld",
			 json_is_true(json_object_get(l, "default")) ? "default" : "rule",
			 out_int(l, "rule"));
	out_printf("  %-16s %-7s %-12s %s%s\n", out_get(l, "layer"),
		   *out_get(l, "action") ? out_get(l, "action") : "-", rule,
		   strcmp(why, "wins") == 0         ? "wins"
		   : strcmp(why, "no-opinion") == 0 ? "no rule decides"
		   : strcmp(why, "milder") == 0     ? "another layer is more restrictive"
		   : strcmp(why, "asks-next") == 0  ? "asks when those before it have permitted"
						    : "as restrictive, but behind the winner",
		   limited ? ", as long as its rate or quota lasts" : "");
}

static void print_miss(const json_t *m)
{
	const char *condition = out_get(m, "condition");
	bool absent = json_is_true(json_object_get(m, "absent"));

	out_printf("  rule %-5lld %s\n", out_int(m, "rule"), out_get(m, "text"));
	out_printf("             %s: %s\n", condition,
		   json_is_true(json_object_get(m, "unknown"))   ? "who listens is not known"
		   : absent                                      ? "the packet has none"
		   : json_is_true(json_object_get(m, "negated")) ? "is one of those excluded"
								 : "does not match");
}

static void print_inspect(const json_t *r)
{
	out_printf("  rule %-5lld %s\n", out_int(r, "rule"), out_get(r, "text"));
}

static void print_trace(const json_t *trace)
{
	const json_t *misses = json_object_get(trace, "misses"),
		     *inspects = json_object_get(trace, "inspects"), *e;
	size_t i;

	out_printf("layers, in order of evaluation; the most restrictive wins:\n");
	json_array_foreach(json_object_get(trace, "layers"), i, e) print_layer(e);
	if (json_array_size(inspects))
		out_printf("rules that match, and inspect only:\n");
	json_array_foreach(inspects, i, e) print_inspect(e);
	if (json_array_size(misses))
		out_printf("rules that did not match:\n");
	json_array_foreach(misses, i, e) print_miss(e);
	if (out_int(trace, "more"))
		out_printf("  and %lld more\n", out_int(trace, "more"));
}

static void test_text(struct out *o, const json_t *v)
{
	out_printf("%s\n", out_get(v, "flow"));
	print_answer(o, v);
	print_then(o, json_object_get(v, "then"));
	if (json_object_get(v, "trace"))
		print_trace(json_object_get(v, "trace"));
}

/* "... in eth0" and "... out eth1" at the end of the words; the others are the flow. */
static int test_words(json_t *args, int argc, char **argv)
{
	char flow[256] = "";
	size_t len = 0;

	for (int i = 1; i < argc; i++) {
		bool in = !strcmp(argv[i], "in"), out = !strcmp(argv[i], "out");

		if ((in || out) && i + 1 == argc)
			return cli_usage("test", "%s needs the name of an interface", argv[i]);
		if (in || out) {
			const char *key = argv[i++];

			json_object_set_new(args, key, json_string(argv[i]));
			continue;
		}
		len += (size_t)snprintf(flow + len, sizeof(flow) - len, "%s%s", len ? " " : "",
					argv[i]);
		if (len >= sizeof(flow))
			return cli_usage("test", "the flow is too long");
	}
	if (!strchr(flow, '>'))
		return cli_usage("test", "which? As in: pendctl test 'tcp 203.0.113.7:4000 > "
					 "192.0.2.1:22' (in quotes, or the shell takes the \">\")");
	json_object_set_new(args, "flow", json_string(flow));
	return CLI_OK;
}

/* As in a policy, where a 0 in front does not make it octal. */
static int mark_parse(const char *s, json_t *args)
{
	bool hex = s[0] == '0' && s[1] == 'x';
	const char *digits = hex ? s + 2 : s;
	char *end;
	unsigned long v = strtoul(digits, &end, hex ? 16 : 10);

	if (!isxdigit((unsigned char)*digits) || *end || v > UINT32_MAX ||
	    (hex && digits[1] == 'x'))
		return cli_usage("test", "--mark: \"%s\" is not a number of 32 bits", s);
	json_object_set_new(args, "mark", json_integer((json_int_t)v));
	return CLI_OK;
}

static int quiet_exit(const json_t *v)
{
	const char *action = out_get(v, "action");

	if (json_is_true(json_object_get(v, "depends_on_listener")))
		return CLI_WOULD_DEPEND;
	return strcmp(action, "permit") == 0  ? CLI_OK
	       : strcmp(action, "block") == 0 ? CLI_WOULD_BLOCK
					      : CLI_WOULD_PEND;
}

static int test_ask(struct cli *cli, json_t *args, bool quiet)
{
	json_t *v;
	int r = cli_call(cli, "test", args, NULL, NULL, &v);

	if (r == CLI_OK && !quiet)
		cli->out.ops->object(&cli->out, v, test_text);
	else if (r == CLI_OK)
		r = quiet_exit(v);
	json_decref(v);
	return r;
}

int cmd_test(struct cli *cli, int argc, char **argv)
{
	const char *hook = NULL, *mark = NULL;
	bool trace = false, quiet = false;
	const struct cli_opt opts[] = {
		{"hook", 0, CLI_TEXT, &hook},
		{"mark", 0, CLI_TEXT, &mark},
		{"trace", 't', CLI_FLAG, &trace},
		{"quiet", 'q', CLI_FLAG, &quiet},
	};
	json_t *args;
	int r;

	argc = cli_parse(cli, opts, sizeof(opts) / sizeof(opts[0]), false, argc, argv);
	if (argc < 0)
		return CLI_USAGE;
	args = json_pack("{s:b}", "trace", (int)trace);
	r = test_words(args, argc, argv);
	if (hook)
		json_object_set_new(args, "hook", json_string(hook));
	if (r == CLI_OK && mark)
		r = mark_parse(mark, args);
	if (r == CLI_OK)
		return test_ask(cli, args, quiet);
	json_decref(args);
	return r;
}
