/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pendctl policy: rules that are added, replaced and taken away while the daemon runs. */
#include "cli/cli.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct change_opts {
	const char *layer, *why, *duration, *until;
	bool last, session;
};

/* Words to one text. NULL: out of memory. */
static char *join(int argc, char **argv)
{
	size_t len = 1;
	char *text, *w;

	for (int i = 0; i < argc; i++)
		len += strlen(argv[i]) + 1;
	text = w = malloc(len);
	if (!text)
		return NULL;
	*w = '\0';
	for (int i = 0; i < argc; i++)
		w = stpcpy(stpcpy(w, i ? " " : ""), argv[i]);
	return text;
}

static bool object_id(const char *word, uint32_t *id)
{
	unsigned long v;
	char *end;

	errno = 0;
	v = strtoul(word, &end, 10);
	if (errno || *end || *word < '0' || *word > '9' || v > UINT32_MAX)
		return false;
	*id = (uint32_t)v;
	return true;
}

/* ---------------------------------------------------------------------- requests ---- */

static json_t *change_add(const char *rule, const char *layer, bool last)
{
	json_t *c = json_pack("{s:s}", "add", rule);

	if (layer)
		json_object_set_new(c, "layer", json_string(layer));
	if (last)
		json_object_set_new(c, "at", json_string("last"));
	return c;
}

static json_t *change_replace(uint32_t id, const char *rule)
{
	return json_pack("{s:I,s:s}", "replace", (json_int_t)id, "with", rule);
}

static json_t *change_delete(uint32_t id)
{
	return json_pack("{s:I}", "delete", (json_int_t)id);
}

static void changed_text(struct out *o, const json_t *v)
{
	const json_t *objects = json_object_get(v, "objects"), *id;
	char generation[OUT_CELL];
	size_t i;

	(void)o;
	out_lines(json_object_get(v, "diagnostics"));
	if (!json_object_get(v, "generation"))
		return;
	json_array_foreach(objects, i, id) out_printf("%s%lld",
						      i                              ? ", "
						      : json_array_size(objects) > 1 ? "Objects "
										     : "Object ",
						      json_integer_value(id));
	out_generation(v, generation);
	out_printf("%s%s is in force.\n", i ? ": policy " : "Policy ", generation);
}

/* Takes changes; on failure *result (may be NULL) is what came with the error, for the caller to decref. */
static int changes_send(struct cli *cli, json_t *changes, const struct change_opts *o,
			const char *name, json_t **result)
{
	json_t *args = json_pack("{s:o}", "changes", changes);
	size_t len;
	int r;

	if (o->why)
		json_object_set_new(args, "why", json_string(o->why));
	if (o->duration)
		json_object_set_new(args, "for", json_string(o->duration));
	if (o->until)
		json_object_set_new(args, "until", json_string(o->until));
	json_object_set_new(args, "stay", json_boolean(!o->session));
	len = json_dumpb(args, NULL, 0, JSON_COMPACT);
	if (!args || !len || len > CLI_REQUEST_MAX) {
		json_decref(args);
		return cli_fail(CLI_FAILURE,
				args ? "%s: this makes a request of %zu bytes, and %d is the most: "
				       "take several steps, or use the policy's file"
				     : "%s: not UTF-8",
				name, len, CLI_REQUEST_MAX);
	}
	cli->timeout_ms = CLI_CHANGE_TIMEOUT_MS;
	r = cli_call(cli, "policy", args, NULL, NULL, result);
	if (*result)
		cli->out.ops->object(&cli->out, *result, changed_text);
	return r == CLI_OK && o->session ? cli_session(cli) : r;
}

/* Takes change. */
static int change_send(struct cli *cli, json_t *change, const struct change_opts *o,
		       const char *name)
{
	json_t *v = NULL;
	int r;

	if (!change)
		return cli_usage("policy", "policy %s: the rule is not UTF-8", name);
	r = changes_send(cli, json_pack("[o]", change), o, name, &v);
	json_decref(v);
	return r;
}

static int policy_add(struct cli *cli, int argc, char **argv, const struct change_opts *o)
{
	char *rule = join(argc - 2, argv + 2);
	int r;

	if (argc < 3)
		r = cli_usage("policy", "policy add: which rule?");
	else
		r = change_send(cli, change_add(rule, o->layer, o->last), o, "add");
	free(rule);
	return r;
}

static int policy_replace(struct cli *cli, int argc, char **argv, const struct change_opts *o)
{
	uint32_t id;
	char *rule;
	int r;

	if (argc < 4)
		return cli_usage("policy", "policy replace: which object, and by which rule?");
	if (!object_id(argv[2], &id))
		return cli_usage("policy", "policy replace: \"%s\" is not the number of an object",
				 argv[2]);
	rule = join(argc - 3, argv + 3);
	r = change_send(cli, change_replace(id, rule), o, "replace");
	free(rule);
	return r;
}

static int policy_delete(struct cli *cli, int argc, char **argv, const struct change_opts *o)
{
	json_t *changes = json_array(), *v = NULL;
	uint32_t id;
	int r;

	for (int i = 2; i < argc; i++) {
		if (!object_id(argv[i], &id)) {
			json_decref(changes);
			return cli_usage("policy",
					 "policy delete: \"%s\" is not the number of an object",
					 argv[i]);
		}
		json_array_append_new(changes, change_delete(id));
	}
	if (argc < 3) {
		json_decref(changes);
		return cli_usage("policy",
				 "policy delete: which object? See 'pendctl policy list'");
	}
	r = changes_send(cli, changes, o, "delete", &v);
	json_decref(v);
	return r;
}

/* ------------------------------------------------------------------------- apply ---- */

struct apply {
	const char *name; /* of the file */
	json_t *changes;
	unsigned line, *lines; /* of each change */
	size_t cap;
};

/* The first word of *s, which moves on to the next one. */
static char *word_take(char **s)
{
	char *word = *s;

	*s += strcspn(*s, " \t");
	if (**s)
		*(*s)++ = '\0';
	*s += strspn(*s, " \t");
	return word;
}

static int line_wrong(const struct apply *a, const char *text)
{
	return cli_fail(CLI_POLICY, "%s:%u: %s", a->name, a->line, text);
}

/* Takes change. */
static int apply_change(struct apply *a, json_t *change)
{
	size_t n = json_array_size(a->changes);

	if (!change)
		return line_wrong(a, "not UTF-8");
	if (n == a->cap) {
		size_t cap = a->cap ? a->cap * 2 : 64;
		unsigned *lines = realloc(a->lines, cap * sizeof(*lines));

		if (!lines) {
			json_decref(change);
			return cli_fail(CLI_FAILURE, "out of memory");
		}
		a->lines = lines;
		a->cap = cap;
	}
	a->lines[n] = a->line;
	json_array_append_new(a->changes, change);
	return CLI_OK;
}

static int apply_add(struct apply *a, char *s)
{
	const char *layer = NULL;
	bool last = false;

	while (*s == '-') {
		const char *opt = word_take(&s);

		if (strcmp(opt, "--last") == 0)
			last = true;
		else if (strncmp(opt, "--layer=", 8) == 0)
			layer = opt + 8;
		else if (strcmp(opt, "--layer") == 0 && *s)
			layer = word_take(&s);
		else
			return line_wrong(a, "the options are --layer LAYER and --last");
	}
	if (!cli_utf8(layer))
		return line_wrong(a, "not UTF-8");
	return *s ? apply_change(a, change_add(s, layer, last)) : line_wrong(a, "which rule?");
}

static int apply_delete(struct apply *a, char *s)
{
	uint32_t id;
	int r = CLI_OK;

	if (!*s)
		return line_wrong(a, "which object?");
	while (*s && r == CLI_OK)
		r = object_id(word_take(&s), &id)
			    ? apply_change(a, change_delete(id))
			    : line_wrong(a, "delete takes numbers of objects");
	return r;
}

static int apply_replace(struct apply *a, char *s)
{
	uint32_t id;

	if (!object_id(word_take(&s), &id) || !*s)
		return line_wrong(a, "replace takes the number of an object, and a rule");
	return apply_change(a, change_replace(id, s));
}

static int apply_line(struct apply *a, char *s)
{
	const char *verb = word_take(&s);

	if (strcmp(verb, "add") == 0)
		return apply_add(a, s);
	if (strcmp(verb, "delete") == 0)
		return apply_delete(a, s);
	if (strcmp(verb, "replace") == 0)
		return apply_replace(a, s);
	return line_wrong(a, "a line is: add RULE, delete ID, or replace ID RULE");
}

static int apply_read(struct apply *a, FILE *f)
{
	char *buf = NULL, *s;
	size_t cap = 0;
	int r = CLI_OK;

	while (r == CLI_OK && (s = cli_line(f, true, &buf, &cap, &a->line)))
		r = apply_line(a, s);
	if (r == CLI_OK && ferror(f))
		r = cli_fail(CLI_FAILURE, "cannot read %s: %s", a->name, strerror(errno));
	else if (r == CLI_OK && !json_array_size(a->changes))
		r = cli_fail(CLI_USAGE, "%s: there is no change in it", a->name);
	free(buf);
	return r;
}

static unsigned apply_place(const struct apply *a, const char *text, unsigned before)
{
	unsigned n;

	if (sscanf(text, "change %u:", &n) != 1 || n == before || n < 1 ||
	    n > json_array_size(a->changes))
		return before;
	cli_fail(0, "change %u is %s:%u", n, a->name, a->lines[n - 1]);
	return n;
}

/* The daemon counts changes; say which lines of the file those are. */
static void apply_places(const struct apply *a, const struct cli *cli, const json_t *v)
{
	unsigned before = 0;
	const json_t *d;
	size_t i;

	if (cli->client)
		before = apply_place(a, pend_client_message(cli->client), 0);
	json_array_foreach(json_object_get(v, "diagnostics"), i, d)
		before = apply_place(a, json_string_value(d), before);
}

static int policy_apply(struct cli *cli, int argc, char **argv, const struct change_opts *o)
{
	struct apply a = {.name = argc == 3 ? argv[2] : NULL};
	json_t *v = NULL;
	FILE *f;
	int r;

	if (argc != 3)
		return cli_usage("policy", "policy apply takes one file, or - for the input");
	f = cli_open(a.name);
	if (!f)
		return CLI_FAILURE;
	a.changes = json_array();
	r = apply_read(&a, f);
	if (f != stdin)
		fclose(f);
	if (r == CLI_OK)
		r = changes_send(cli, json_incref(a.changes), o, a.name, &v);
	if (r != CLI_OK)
		apply_places(&a, cli, v);
	json_decref(v);
	json_decref(a.changes);
	free(a.lines);
	return r;
}

/* -------------------------------------------------------------------------- list ---- */

static void put_object(const json_t *v, char cell[OUT_CELL])
{
	snprintf(cell, OUT_CELL, "%lld", out_int(v, "object"));
}

static void put_layer(const json_t *v, char cell[OUT_CELL])
{
	const char *layer = out_get(v, "layer");

	snprintf(cell, OUT_CELL, "%s", *layer ? layer : "-"); /* the only one */
}

static void put_at(const json_t *v, char cell[OUT_CELL])
{
	snprintf(cell, OUT_CELL, "%s", out_get(v, "at"));
}

static void put_user(const json_t *v, char cell[OUT_CELL])
{
	if (*out_get(v, "user"))
		snprintf(cell, OUT_CELL, "%s", out_get(v, "user"));
	else
		snprintf(cell, OUT_CELL, "%lld", out_int(v, "uid"));
}

/* How long it stays: in UTC, for its session, or for good. */
static void put_until(const json_t *v, char cell[OUT_CELL])
{
	const char *until = out_get(v, "until");

	if (*until)
		snprintf(cell, OUT_CELL, "%.19s", until);
	else
		snprintf(cell, OUT_CELL, "%s",
			 json_is_false(json_object_get(v, "stay")) ? "session" : "-");
}

static void put_text(const json_t *v, char cell[OUT_CELL])
{
	const char *why = out_get(v, "why");

	snprintf(cell, OUT_CELL, "%s%s%s", out_get(v, "text"), *why ? " # " : "", why);
}

static const struct out_column object_columns[] = {
	{"OBJECT", 6, put_object}, {"LAYER", -8, put_layer},        {"AT", -5, put_at},
	{"BY", -8, put_user},      {"UNTIL (UTC)", -19, put_until}, {"RULE", 0, put_text},
};

static const struct out_list object_list = {"objects", "No rule was added while the daemon runs.",
					    object_columns, 6};

static void objects_text(struct out *o, const json_t *v)
{
	const json_t *s;
	size_t i;

	o->ops->list_begin(o, &object_list);
	json_array_foreach(json_object_get(v, "objects"), i, s) o->ops->list_row(o, s);
	o->ops->list_end(o, true);
	json_array_foreach(json_object_get(v, "sets"), i, s)
	{
		if (json_is_true(json_object_get(s, "replaced")))
			out_printf("Set %s: its content was replaced\n", out_get(s, "set"));
		else
			out_printf("Set %s: %lld added, %lld taken out\n", out_get(s, "set"),
				   out_int(s, "added"), out_int(s, "removed"));
	}
}

static int policy_list(struct cli *cli, int argc, char **argv, const struct change_opts *o)
{
	json_t *v;
	int r;

	(void)o;
	if (argc > 2)
		return cli_usage("policy", "policy list takes no argument, not \"%s\"", argv[2]);
	r = cli_gather(cli, "objects", NULL, &v);
	if (r == CLI_OK)
		cli->out.ops->object(&cli->out, v, objects_text);
	json_decref(v);
	return r;
}

static const struct action {
	const char *name;
	int (*run)(struct cli *cli, int argc, char **argv, const struct change_opts *o);
	bool place, lifetime, why; /* which options it takes: --layer, --last; --for ...; --why */
} actions[] = {
	{"add", policy_add, true, true, true},
	{"delete", policy_delete, false, false, true},
	{"replace", policy_replace, false, true, true},
	{"list", policy_list, false, false, false},
	{"apply", policy_apply, false, true, true},
};

/* "18:00" is the next time it is that: with its day, as the daemon wants it. */
static const char *until_text(const char *until, char buf[32])
{
	time_t now = time(NULL), then;
	struct tm tm, want;
	const char *end;

	localtime_r(&now, &tm);
	want = tm;
	end = until ? strptime(until, "%H:%M", &want) : NULL;
	if (!end || *end)
		return until;
	want.tm_sec = 0;
	want.tm_isdst = -1;
	then = mktime(&want);
	if (then <= now) {
		want.tm_mday++;
		want.tm_isdst = -1;
		mktime(&want);
	}
	strftime(buf, 32, "%Y-%m-%d %H:%M", &want);
	return buf;
}

static int opts_check(const struct action *a, const struct change_opts *o)
{
	if (!a->place && (o->layer || o->last))
		return cli_usage("policy", "policy %s: --layer and --last go with add", a->name);
	if (!a->lifetime && (o->duration || o->until || o->session))
		return cli_usage("policy", "policy %s: --for, --until and --session go with rules",
				 a->name);
	if (!a->why && o->why)
		return cli_usage("policy", "policy %s: --why goes with a change", a->name);
	if (!cli_utf8(o->layer) || !cli_utf8(o->why) || !cli_utf8(o->duration) ||
	    !cli_utf8(o->until))
		return cli_usage("policy", "policy %s: an option is not UTF-8", a->name);
	if (o->duration && o->until)
		return cli_usage("policy", "policy %s: --for, or --until", a->name);
	return CLI_OK;
}

int cmd_policy(struct cli *cli, int argc, char **argv)
{
	struct change_opts o = {0};
	char until[32];
	const struct cli_opt opts[] = {
		{"layer", 'l', CLI_TEXT, &o.layer}, {"last", 0, CLI_FLAG, &o.last},
		{"for", 0, CLI_TEXT, &o.duration},  {"until", 0, CLI_TEXT, &o.until},
		{"why", 'w', CLI_TEXT, &o.why},     {"session", 0, CLI_FLAG, &o.session},
	};
	int r;

	argc = cli_parse(cli, opts, sizeof(opts) / sizeof(opts[0]), false, argc, argv);
	if (argc < 0)
		return CLI_USAGE;
	for (size_t i = 0; argc > 1 && i < sizeof(actions) / sizeof(actions[0]); i++) {
		if (strcmp(actions[i].name, argv[1]) != 0)
			continue;
		r = opts_check(&actions[i], &o);
		o.until = until_text(o.until, until);
		return r == CLI_OK ? actions[i].run(cli, argc, argv, &o) : r;
	}
	return cli_usage("policy", "policy add, delete, replace, list or apply");
}
