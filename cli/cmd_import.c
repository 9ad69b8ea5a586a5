/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pendctl decisions import: ban lists of other programs, into sets of the policy. */
#include "cli/banlist.h"
#include "cli/cli.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FILE_MAX   (256u << 20)
#define GROUPS_MAX 500u /* requests, about: elements that end together go together */
#define LEAST_S    60   /* an end that is nearer would be past when it arrives */

struct import {
	struct cli *cli;
	const char *file, *set, *allow_set, *why, *duration;
	struct banlist list;
	int64_t now;
	size_t taken, allowed, unused; /* unused: allowed, and there is no set for them */
	unsigned groups;
};

/* ---- reading ---- */

static int read_all(struct import *im, char **data, size_t *len)
{
	FILE *f = cli_open(im->file);
	size_t cap = 0;
	int r = CLI_OK;

	*len = 0;
	*data = NULL;
	if (!f)
		return CLI_FAILURE;
	for (;;) {
		size_t n;

		if (*len == cap) {
			char *p = cap < FILE_MAX ? realloc(*data, cap = cap ? 2 * cap : 65536)
						 : NULL;

			if (!p) {
				r = cli_fail(CLI_FAILURE, "%s: too long", im->file);
				break;
			}
			*data = p;
		}
		n = fread(*data + *len, 1, cap - *len, f);
		*len += n;
		if (!n)
			break;
	}
	if (r == CLI_OK && ferror(f))
		r = cli_fail(CLI_FAILURE, "cannot read %s: %s", im->file, strerror(errno));
	if (f != stdin)
		fclose(f);
	return r;
}

static int parse(struct import *im, enum banlist_format format)
{
	const char *error;
	size_t len;
	char *data;
	int r = read_all(im, &data, &len), e;

	if (r == CLI_OK) {
		e = banlist_parse(&im->list, data ? data : "", len, format, im->now, &error);
		if (e == -EINVAL)
			r = cli_fail(CLI_USAGE, "%s: %s", im->file, error);
		else if (e == -E2BIG)
			r = cli_fail(CLI_FAILURE, "%s has more than %u entries", im->file,
				     BANLIST_MAX);
		else if (e)
			r = cli_fail(CLI_FAILURE, "out of memory");
	}
	free(data);
	return r;
}

/* ---- sending ---- */

/* Those from i on that end together; returns how many they are. */
static size_t group_at(const struct import *im, size_t i, const char ***elements)
{
	const struct ban *first = &im->list.ban[i];
	size_t n = 0;

	while (i + n < im->list.n && im->list.ban[i + n].until == first->until &&
	       im->list.ban[i + n].allow == first->allow)
		n++;
	*elements = calloc(n, sizeof(**elements));
	for (size_t k = 0; *elements && k < n; k++)
		(*elements)[k] = im->list.ban[i + k].element;
	return n;
}

/* While those before were sent the clock went on. */
static int leave_out(struct import *im, const struct ban *first, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (banlist_skip(&im->list, first[i].element, strlen(first[i].element),
				 first[i].line, "it is over"))
			return cli_fail(CLI_FAILURE, "out of memory");
	return CLI_OK;
}

static int send_group(struct import *im, const struct ban *first, const char **elements, size_t n)
{
	const char *set = first->allow ? im->allow_set : im->set;
	int64_t now = (int64_t)time(NULL), until = first->until;
	int r;

	if (until && until <= now)
		return leave_out(im, first, n);
	if (until && until < now + LEAST_S) /* it may take more than one request */
		until = now + LEAST_S;
	r = cli_set_add(im->cli, set, elements, n, until, im->duration, im->why);

	if (r != CLI_OK)
		return r;
	im->groups++;
	if (first->allow)
		im->allowed += n;
	else
		im->taken += n;
	return CLI_OK;
}

static int send_all(struct import *im)
{
	int r = CLI_OK;
	size_t n;

	for (size_t i = 0; r == CLI_OK && i < im->list.n; i += n) {
		const struct ban *first = &im->list.ban[i];
		const char **elements;

		n = group_at(im, i, &elements);
		if (!elements)
			return cli_fail(CLI_FAILURE, "out of memory");
		if (first->allow && !im->allow_set)
			im->unused += n;
		else
			r = send_group(im, first, elements, n);
		free(elements);
	}
	return r;
}

/* ---- telling ---- */

static json_t *summary(const struct import *im)
{
	json_t *o = json_object(), *list = json_array();

	for (size_t i = 0; i < im->list.nskip; i++) {
		const struct banlist_skip *s = &im->list.skip[i];
		json_t *e = json_object();

		json_object_set_new(e, "line", s->line ? json_integer(s->line) : json_null());
		json_object_set_new(e, "why", json_string(s->why));
		json_object_set_new(e, "text", json_string(cli_utf8(s->text) ? s->text : "?"));
		json_array_append_new(list, e);
	}
	json_object_set_new(o, "file", json_string(im->file));
	json_object_set_new(o, "set", json_string(im->set));
	json_object_set_new(o, "taken", json_integer((json_int_t)im->taken));
	json_object_set_new(o, "allowed", json_integer((json_int_t)im->allowed));
	json_object_set_new(o, "allow_unused", json_integer((json_int_t)im->unused));
	json_object_set_new(o, "requests", json_integer(im->groups));
	json_object_set_new(o, "skipped", json_integer((json_int_t)im->list.skipped));
	json_object_set_new(o, "skips", list);
	return o;
}

static void summary_text(struct out *o, const json_t *v)
{
	long long taken = out_int(v, "taken"), skipped = out_int(v, "skipped");
	const json_t *s;
	size_t i;

	(void)o;
	json_array_foreach(json_object_get(v, "skips"), i, s)
	{
		if (out_int(s, "line"))
			out_printf("%s:%lld: skipped: %s: %s\n", out_get(v, "file"),
				   out_int(s, "line"), out_get(s, "why"), out_get(s, "text"));
		else
			out_printf("%s: skipped: %s: %s\n", out_get(v, "file"), out_get(s, "why"),
				   out_get(s, "text"));
	}
	if (skipped > (long long)i)
		out_printf("... and %lld more\n", skipped - (long long)i);
	out_printf("%lld %s taken into %s, %lld skipped", taken,
		   out_noun(taken, "entry", "entries"), out_get(v, "set"), skipped);
	if (out_int(v, "allowed"))
		out_printf(", %lld allowed", out_int(v, "allowed"));
	if (out_int(v, "allow_unused"))
		out_printf(", %lld allowances left out: --allow-set says where to",
			   out_int(v, "allow_unused"));
	out_printf(".\n");
}

int cli_import(struct cli *cli, int argc, char **argv)
{
	struct import im = {.cli = cli, .set = "banned", .now = (int64_t)time(NULL)};
	const char *format = "auto";
	const struct cli_opt opts[] = {
		{"set", 0, CLI_TEXT, &im.set},    {"allow-set", 0, CLI_TEXT, &im.allow_set},
		{"format", 0, CLI_TEXT, &format}, {"for", 0, CLI_TEXT, &im.duration},
		{"why", 'w', CLI_TEXT, &im.why},
	};
	json_t *v;
	int r;

	argc = cli_parse(cli, opts, sizeof(opts) / sizeof(opts[0]), false, argc, argv);
	if (argc < 0)
		return CLI_USAGE;
	if (argc != 2 || banlist_format_parse(format) < 0)
		return cli_usage(
			"decisions",
			"decisions import FILE|- [--set NAME] [--format auto|list|fail2ban|crowdsec]");
	if (!cli_utf8(im.why) || !cli_utf8(im.set) || !cli_utf8(im.allow_set) ||
	    !cli_utf8(im.duration) || !cli_utf8(argv[1]))
		return cli_usage("decisions", "decisions import: not UTF-8");
	im.file = argv[1];
	r = parse(&im, (enum banlist_format)banlist_format_parse(format));
	if (r == CLI_OK)
		r = cli_connect(cli);
	if (r == CLI_OK) {
		banlist_group(&im.list, GROUPS_MAX);
		r = send_all(&im);
		v = summary(&im);
		if (r == CLI_OK || im.taken || cli->json)
			cli->out.ops->object(&cli->out, v, summary_text);
		json_decref(v);
	}
	banlist_deinit(&im.list);
	return r;
}
