/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pendctl reload, check, hookup, stop. */
#include "cli/cli.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define EXIT_CONFIG 78 /* pendd -t */

static void reload_text(struct out *o, const json_t *v)
{
	(void)o;
	out_lines(json_object_get(v, "diagnostics"));
	if (*out_get(v, "needs_restart"))
		out_printf("These settings changed and need a restart: %s\n",
			   out_get(v, "needs_restart"));
	if (json_object_get(v, "generation"))
		out_printf("Policy %lld is in force.\n", out_int(v, "generation"));
}

static void would_text(const json_t *c)
{
	const json_t *w = json_object_get(c, "would");
	char source[OUT_CELL], dest[OUT_CELL], proto[OUT_CELL];

	out_endpoint(c, "source", "source_port", source);
	out_endpoint(c, "dest", "dest_port", dest);
	out_protocol(c, proto);
	out_printf("  %s %s %s > %s: ", out_get(c, "id"), proto, source, dest);
	if (json_object_get(w, "rule"))
		out_printf("%s by %s:%lld: %s\n", out_get(w, "action"), out_get(w, "file"),
			   out_int(w, "line"), out_get(w, "text"));
	else
		out_printf("%s, as no layer has an opinion\n", out_get(w, "action"));
}

static void dry_pending(const json_t *v)
{
	const json_t *pending = json_object_get(v, "pending"), *c;
	long long n = out_int(v, "decided"), of = out_int(v, "examined");
	size_t i;

	out_printf("Of %lld pended connection%s it would not hold %lld%s\n", of, of == 1 ? "" : "s",
		   n, n ? ":" : ".");
	json_array_foreach(pending, i, c) would_text(c);
	if (n > (long long)i)
		out_printf("  and %lld more\n", n - (long long)i);
	if (n)
		out_printf(
			"They wait on, for their answers: a permit lets none in that it blocks.\n");
	if (out_int(v, "unsure"))
		out_printf("Of %lld it may say another thing: who listens is not known here.\n",
			   out_int(v, "unsure"));
	if (json_is_true(json_object_get(v, "incomplete")))
		out_printf("A worker did not answer: there may be more.\n");
}

/* A diff is read by its first column. */
static void diff_text(const struct out *o, const json_t *lines)
{
	const json_t *line;
	size_t i;

	json_array_foreach(lines, i, line)
	{
		const char *s = json_string_value(line);
		enum out_style style = *s == '+' ? OUT_GOOD : *s == '-' ? OUT_BAD : OUT_PLAIN;

		if (o->color && style != OUT_PLAIN)
			fputs(style == OUT_GOOD ? "\033[32m" : "\033[31m", stdout);
		out_printf("%s", s);
		fputs(o->color && style != OUT_PLAIN ? "\033[0m\n" : "\n", stdout);
	}
}

static void dry_text(struct out *o, const json_t *v)
{
	const json_t *diff = json_object_get(v, "diff");

	if (!json_object_get(v, "changed")) { /* it is wrong: there are only diagnostics */
		reload_text(o, v);
		return;
	}
	if (!json_is_true(json_object_get(v, "changed")))
		out_printf("The policy in the file is the one in force.\n");
	else if (!diff)
		out_printf("The policies differ in more than can be shown.\n");
	else if (!json_array_size(diff))
		out_printf("The text is the same; where rules stand, or what set files hold, "
			   "differs.\n");
	if (json_array_size(diff)) {
		out_printf("--- in force\n");
		out_printf("+++ in the file\n");
	}
	diff_text(o, diff);
	reload_text(o, v);
	dry_pending(v);
	if (json_object_get(v, "live"))
		live_text(json_object_get(v, "live"), true);
}

int cmd_reload(struct cli *cli, int argc, char **argv)
{
	bool dry = false;
	const struct cli_opt opts[] = {{"dry-run", 'n', CLI_FLAG, &dry}};
	json_t *v;
	int r;

	argc = cli_parse(cli, opts, 1, false, argc, argv);
	if (argc < 0)
		return CLI_USAGE;
	if (argc > 1)
		return cli_usage("reload", "reload takes options only, not \"%s\"", argv[1]);
	cli->timeout_ms = CLI_CHANGE_TIMEOUT_MS; /* a large policy, on a host that is busy */
	r = cli_call(cli, "reload", dry ? json_pack("{s:b}", "dry_run", 1) : NULL, NULL, NULL, &v);
	if (v)
		cli->out.ops->object(&cli->out, v, dry ? dry_text : reload_text);
	json_decref(v);
	return r;
}

/* pendd beside ourselves, in ../sbin, or by PATH: the first that can be started. */
static void exec_pendd(const char *file)
{
	static const char *const places[] = {"pendd", "../sbin/pendd"};
	const char *argv[] = {"pendd", "-t", "-c", file, NULL};
	char self[3000], path[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	union {
		const char **in;
		char *const *out; /* exec does not change them */
	} args = {argv};

	self[n > 0 ? n : 0] = '\0';
	if (strrchr(self, '/'))
		strrchr(self, '/')[1] = '\0';
	if (!file)
		argv[2] = NULL;
	for (size_t i = 0; n > 0 && i < sizeof(places) / sizeof(places[0]); i++) {
		snprintf(path, sizeof(path), "%s%s", self, places[i]);
		execv(path, args.out);
	}
	execvp("pendd", args.out);
	cli_fail(0, "cannot start pendd: %s: is it installed?", strerror(errno));
	_exit(127);
}

static int wait_pendd(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return cli_fail(CLI_FAILURE, "cannot wait for pendd: %s", strerror(errno));
	if (!WIFEXITED(status))
		return cli_fail(CLI_FAILURE, "pendd -t died by signal %d", WTERMSIG(status));
	switch (WEXITSTATUS(status)) {
	case 0:
		return CLI_OK;
	case EXIT_CONFIG:
		return CLI_POLICY;
	}
	return CLI_FAILURE;
}

static void check_text(struct out *o, const json_t *v)
{
	(void)o;
	if (json_is_true(json_object_get(v, "ok")))
		out_printf("The policy is right.\n");
}

int cmd_check(struct cli *cli, int argc, char **argv)
{
	json_t *v;
	pid_t pid;
	int r;

	argc = cli_parse(cli, NULL, 0, false, argc, argv);
	if (argc < 0)
		return CLI_USAGE;
	if (argc > 2)
		return cli_usage("check", "check takes one file");
	fflush(stdout);
	pid = fork();
	if (pid < 0)
		return cli_fail(CLI_FAILURE, "cannot fork: %s", strerror(errno));
	if (pid == 0) {
		if (cli->json) /* ours is the only document; its words are for people */
			dup2(STDERR_FILENO, STDOUT_FILENO);
		exec_pendd(argc > 1 ? argv[1] : NULL);
	}
	r = wait_pendd(pid);
	v = json_pack("{s:b}", "ok", r == CLI_OK);
	if (cli->json)
		cli->out.ops->object(&cli->out, v, check_text);
	json_decref(v);
	return r;
}

static void hookup_text(struct out *o, const json_t *v)
{
	(void)o;
	out_lines(json_object_get(v, "rules"));
	if (!json_object_get(v, "rules") && *out_get(v, "text"))
		out_printf("%s\n", out_get(v, "text"));
}

int cmd_hookup(struct cli *cli, int argc, char **argv)
{
	static const char *const actions[] = {"print", "install", "remove", "verify"};
	bool known = false;
	json_t *v;
	int r;

	argc = cli_parse(cli, NULL, 0, false, argc, argv);
	if (argc < 0)
		return CLI_USAGE;
	for (size_t i = 0; argc == 2 && i < sizeof(actions) / sizeof(actions[0]); i++)
		known = known || strcmp(actions[i], argv[1]) == 0;
	if (!known)
		return cli_usage("hookup", "hookup print, install, remove or verify");
	r = cli_call(cli, "hookup", json_pack("{s:s}", "action", argv[1]), NULL, NULL, &v);
	if (r == CLI_OK)
		cli->out.ops->object(&cli->out, v, hookup_text);
	json_decref(v);
	return r;
}

static void stop_text(struct out *o, const json_t *v)
{
	(void)o;
	(void)v;
	out_printf("pendd is stopping.\n");
}

int cmd_stop(struct cli *cli, int argc, char **argv)
{
	json_t *v;
	int r;

	argc = cli_parse(cli, NULL, 0, false, argc, argv);
	if (argc < 0)
		return CLI_USAGE;
	if (argc > 1)
		return cli_usage("stop", "stop takes no argument");
	r = cli_call(cli, "stop", NULL, NULL, NULL, &v);
	if (r == CLI_OK)
		cli->out.ops->object(&cli->out, v, stop_text);
	json_decref(v);
	return r;
}
