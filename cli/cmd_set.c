/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pendctl set: what is in sets of addresses, and changes of it while the daemon runs. Many elements go
 * in parts, each a request below the protocol's bound; the daemon acts with the last.
 */
#include "cli/cli.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ELEMENT_MAX 128 /* bytes: more than any range of addresses has */

struct set_opts {
	const char *why, *duration;
	int64_t until; /* s since 1970; 0: as `duration` says */
	bool session;
};

struct parts {
	struct cli *cli;
	const struct set_opts *o;
	const char *set, *action;
	const char *file; /* NULL: elements are arguments */
	json_t *elements; /* of the part in the making */
	size_t len;       /* of their JSON text */
	unsigned *lines;  /* of each of them in the file */
	size_t cap;
	json_t *result;
};

/* ---------------------------------------------------------------------- elements ---- */

static size_t json_len(const char *s)
{
	size_t n = 3; /* quotes and comma */

	for (; *s; s++)
		n += (unsigned char)*s < ' ' ? 6 : *s == '"' || *s == '\\' ? 2 : 1;
	return n;
}

static json_t *part_args(const struct parts *p, bool last)
{
	json_t *args = json_object();

	json_object_set_new(args, "set", json_string(p->set));
	json_object_set_new(args, "action", json_string(p->action));
	if (p->elements)
		json_object_set(args, "elements", p->elements);
	if (!last)
		json_object_set_new(args, "part", json_true());
	if (p->o->why)
		json_object_set_new(args, "why", json_string(p->o->why));
	if (p->o->until)
		json_object_set_new(args, "until", json_integer(p->o->until));
	else if (p->o->duration)
		json_object_set_new(args, "for", json_string(p->o->duration));
	json_object_set_new(args, "stay", json_boolean(!p->o->session));
	return args;
}

/* The daemon counts the elements of a request; say in which line that one is. */
static void part_place(const struct parts *p)
{
	size_t n;

	if (sscanf(pend_client_message(p->cli->client), "element %zu:", &n) == 1 && n &&
	    n <= json_array_size(p->elements))
		cli_fail(0, "element %zu is %s:%u", n, p->file, p->lines[n - 1]);
}

static int part_send(struct parts *p, bool last)
{
	int r;

	p->cli->timeout_ms = CLI_CHANGE_TIMEOUT_MS;
	r = cli_call(p->cli, "set", part_args(p, last), NULL, NULL, last ? &p->result : NULL);
	if (r != CLI_OK && p->file && p->cli->client)
		part_place(p);
	json_array_clear(p->elements);
	p->len = 0;
	return r;
}

static bool line_keep(struct parts *p, unsigned line)
{
	size_t n = json_array_size(p->elements);

	if (n == p->cap) {
		size_t cap = p->cap ? p->cap * 2 : 256;
		unsigned *lines = realloc(p->lines, cap * sizeof(*lines));

		if (!lines)
			return false;
		p->lines = lines;
		p->cap = cap;
	}
	p->lines[n] = line;
	return true;
}

static int element_wrong(const struct parts *p, unsigned line, const char *text)
{
	if (p->file)
		return cli_fail(CLI_USAGE, "%s:%u: %s", p->file, line, text);
	return cli_usage("set", "set %s: %s", p->action, text);
}

static int element_add(struct parts *p, const char *s, unsigned line)
{
	size_t len = json_len(s), base = 256;
	json_t *e;
	int r = CLI_OK;

	if (strlen(s) > ELEMENT_MAX)
		return element_wrong(p, line, "too long for an address, prefix or range");
	e = json_string(s);
	if (!e)
		return element_wrong(p, line, "not UTF-8");
	if (p->o->why)
		base += json_len(p->o->why);
	if (p->len + len + base + strlen(p->set) > CLI_REQUEST_MAX)
		r = part_send(p, false);
	if (r != CLI_OK || !line_keep(p, line)) {
		json_decref(e);
		return r != CLI_OK ? r : cli_fail(CLI_FAILURE, "out of memory");
	}
	json_array_append_new(p->elements, e);
	p->len += len;
	return CLI_OK;
}

static int elements_read(struct parts *p, FILE *f)
{
	unsigned line = 0;
	char *buf = NULL, *s;
	size_t cap = 0;
	int r = CLI_OK;

	while (r == CLI_OK && (s = cli_line(f, false, &buf, &cap, &line)))
		r = element_add(p, s, line);
	if (r == CLI_OK && ferror(f))
		r = cli_fail(CLI_FAILURE, "cannot read %s: %s", p->file, strerror(errno));
	free(buf);
	return r;
}

static void changed_text(struct out *o, const json_t *v)
{
	long long n = out_int(v, "elements");
	char generation[OUT_CELL];

	(void)o;
	out_lines(json_object_get(v, "diagnostics"));
	if (!json_object_get(v, "generation"))
		return;
	out_generation(v, generation);
	out_printf("%lld added, %lld taken out: the set has %lld %s, policy %s is in force.\n",
		   out_int(v, "added"), out_int(v, "removed"), n,
		   out_noun(n, "element", "elements"), generation);
}

static void refused_text(struct out *o, const json_t *v)
{
	(void)o;
	out_lines(json_object_get(v, "diagnostics"));
}

/* The last part, what came of it, and the session. Ends the parts. */
static int parts_end(struct parts *p, int r)
{
	if (r == CLI_OK)
		r = part_send(p, true);
	if (p->result)
		p->cli->out.ops->object(&p->cli->out, p->result,
					r == CLI_OK ? changed_text : refused_text);
	json_decref(p->result);
	json_decref(p->elements);
	free(p->lines);
	return r == CLI_OK && p->o->session ? cli_session(p->cli) : r;
}

int cli_set_add(struct cli *cli, const char *set, const char *const *elements, size_t n,
		int64_t until, const char *duration, const char *why)
{
	const struct set_opts o = {.why = why, .duration = duration, .until = until};
	struct parts p = {.cli = cli, .o = &o, .set = set, .action = "add"};
	int r = CLI_OK;

	p.elements = json_array();
	for (size_t i = 0; i < n && r == CLI_OK; i++)
		r = element_add(&p, elements[i], 0);
	if (r == CLI_OK)
		r = part_send(&p, true);
	json_decref(p.result);
	json_decref(p.elements);
	free(p.lines);
	return r;
}

/* ----------------------------------------------------------------------- actions ---- */

static int set_change(struct cli *cli, int argc, char **argv, const struct set_opts *o)
{
	struct parts p = {.cli = cli, .o = o, .set = argv[2], .action = argv[1]};
	int r = CLI_OK;

	p.elements = json_array();
	for (int i = 3; i < argc && r == CLI_OK; i++)
		r = element_add(&p, argv[i], 0);
	return parts_end(&p, r);
}

static int set_flush(struct cli *cli, int argc, char **argv, const struct set_opts *o)
{
	struct parts p = {.cli = cli, .o = o, .set = argv[2], .action = argv[1]};

	(void)argc;
	return parts_end(&p, CLI_OK);
}

static int set_load(struct cli *cli, int argc, char **argv, const struct set_opts *o)
{
	struct parts p = {.cli = cli, .o = o, .set = argv[2], .action = argv[1], .file = argv[3]};
	FILE *f = cli_open(p.file);
	int r;

	(void)argc;
	if (!f)
		return CLI_FAILURE;
	p.elements = json_array();
	r = elements_read(&p, f);
	if (f != stdin)
		fclose(f);
	return parts_end(&p, r);
}

static void put_element(const json_t *v, char cell[OUT_CELL])
{
	snprintf(cell, OUT_CELL, "%s", json_string_value(v));
}

static void put_set(const json_t *v, char cell[OUT_CELL])
{
	snprintf(cell, OUT_CELL, "%s", out_get(v, "set"));
}

static void put_count(const json_t *v, char cell[OUT_CELL])
{
	snprintf(cell, OUT_CELL, "%lld", out_int(v, "elements"));
}

static void put_changed(const json_t *v, char cell[OUT_CELL])
{
	snprintf(cell, OUT_CELL, "%s", json_is_true(json_object_get(v, "changed")) ? "yes" : "no");
}

static const struct out_column set_columns[] = {
	{"SET", -16, put_set}, {"ELEMENTS", 8, put_count}, {"CHANGED", 0, put_changed}};
static const struct out_column element_columns[] = {{"ELEMENT", 0, put_element}};
static const struct out_list set_rows = {"sets", "The policy has no sets.", set_columns, 3};
static const struct out_list element_rows = {"elements", NULL, element_columns, 1};

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

/* Without a name: the sets. With one: its elements, as a file of them would be. */
static int set_list(struct cli *cli, int argc, char **argv, const struct set_opts *o)
{
	const struct out_list *list = argc > 2 ? &element_rows : &set_rows;
	struct rows rows = {&cli->out, list->name};
	json_t *args = NULL;
	int r = cli_connect(cli);

	(void)o;
	if (r != CLI_OK)
		return r;
	if (argc > 2) {
		args = json_pack("{s:s,s:s}", "set", argv[2], "action", "list");
		cli->out.headers = false;
	}
	cli->out.ops->list_begin(&cli->out, list);
	r = cli_call(cli, argc > 2 ? "set" : "sets", args, rows_put, &rows, NULL);
	cli->out.ops->list_end(&cli->out, r == CLI_OK);
	return r;
}

static void test_text(struct out *o, const json_t *v)
{
	(void)o;
	out_printf("%s is %sin %s.\n", out_get(v, "address"),
		   json_is_true(json_object_get(v, "in")) ? "" : "not ", out_get(v, "set"));
}

static int set_test(struct cli *cli, int argc, char **argv, const struct set_opts *o)
{
	json_t *args = json_pack("{s:s,s:s,s:[s]}", "set", argv[2], "action", "test", "elements",
				 argv[3]),
	       *v;
	int r = cli_call(cli, "set", args, NULL, NULL, &v);

	(void)argc;
	(void)o;
	if (r == CLI_OK) {
		if (!json_is_true(json_object_get(v, "in")))
			r = CLI_NOT_FOUND;
		json_object_set_new(v, "set", json_string(argv[2]));
		json_object_set_new(v, "address", json_string(argv[3]));
		cli->out.ops->object(&cli->out, v, test_text);
	}
	json_decref(v);
	return r;
}

static const struct action {
	const char *name, *args;
	int least, most; /* words, with the action */
	int (*run)(struct cli *cli, int argc, char **argv, const struct set_opts *o);
	bool why, lifetime; /* which options it takes */
} actions[] = {
	{"list", "[NAME]", 1, 2, set_list, false, false},
	{"add", "NAME ELEMENT...", 3, 0, set_change, true, true},
	{"delete", "NAME ELEMENT...", 3, 0, set_change, true, false},
	{"flush", "NAME", 2, 2, set_flush, true, false},
	{"load", "NAME FILE|-", 3, 3, set_load, true, false},
	{"test", "NAME ADDRESS", 3, 3, set_test, false, false},
};

int cmd_set(struct cli *cli, int argc, char **argv)
{
	struct set_opts o = {0};
	const struct cli_opt opts[] = {
		{"for", 0, CLI_TEXT, &o.duration},
		{"why", 'w', CLI_TEXT, &o.why},
		{"session", 0, CLI_FLAG, &o.session},
	};

	argc = cli_parse(cli, opts, 3, false, argc, argv);
	if (argc < 0)
		return CLI_USAGE;
	for (size_t i = 0; argc > 1 && i < sizeof(actions) / sizeof(actions[0]); i++) {
		const struct action *a = &actions[i];

		if (strcmp(a->name, argv[1]) != 0)
			continue;
		if (argc - 1 < a->least || (a->most && argc - 1 > a->most))
			return cli_usage("set", "set %s %s", a->name, a->args);
		if ((!a->why && o.why) || (!a->lifetime && (o.duration || o.session)))
			return cli_usage("set", "set %s takes no such option", a->name);
		if (!cli_utf8(o.why) || !cli_utf8(o.duration) || !cli_utf8(argv[2]) ||
		    !cli_utf8(argc > 3 ? argv[3] : NULL))
			return cli_usage("set", "set %s: not UTF-8", a->name);
		return a->run(cli, argc, argv, &o);
	}
	return cli_usage("set", "set list, add, delete, flush, load or test");
}
