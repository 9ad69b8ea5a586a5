/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pendctl ask --exec: an authority of type socket that a program answers for, once for each question. Who runs the
 * programs is pend-agent, as for authorities of type exec; this looks whether it can work, and becomes it.
 */
#include "cli/cli.h"
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PROCESSES_MAX 256 /* as the policy's `processes` */

/* The names of those that programs serve: "idp, other". */
static void names_of(const json_t *authorities, char *text, size_t size, size_t *count)
{
	const json_t *v;
	size_t i, len = 0;

	*count = 0;
	text[0] = '\0';
	json_array_foreach(authorities, i, v)
	{
		if (strcmp(out_get(v, "type"), "socket") != 0)
			continue;
		len += (size_t)snprintf(text + len, size - len, "%s%s", *count ? ", " : "",
					out_get(v, "name"));
		++*count;
		if (len >= size)
			len = size - 1;
	}
}

static bool is_socket(const json_t *authorities, const char *name)
{
	const json_t *v;
	size_t i;

	json_array_foreach(authorities, i, v)
	{
		if (!strcmp(out_get(v, "name"), name) && !strcmp(out_get(v, "type"), "socket"))
			return true;
	}
	return false;
}

/* Which one, into `name`: the one that was asked for, or the only one. */
static int choose(struct cli *cli, const char *wanted, char *name, size_t size)
{
	char names[256];
	json_t *result, *all;
	size_t n;
	int r = cli_gather(cli, "authorities", NULL, &result);

	if (r != CLI_OK)
		return r;
	all = json_object_get(result, "authorities");
	names_of(all, names, sizeof(names), &n);
	if (!n)
		r = cli_fail(CLI_NOT_FOUND, "the policy in force has no authority of type socket");
	else if (wanted && !is_socket(all, wanted))
		r = cli_fail(CLI_NOT_FOUND, "no authority \"%s\" of type socket: there is %s",
			     wanted, names);
	else if (!wanted && n > 1)
		r = cli_usage("ask", "--authority says which one: %s", names);
	else
		snprintf(name, size, "%s", wanted ? wanted : names);
	json_decref(result);
	return r;
}

/* To serve no longer what one does not serve is refused to those who may not serve it, and else not found. */
static int may_serve(struct cli *cli, const char *name)
{
	json_t *args = json_pack("{s:s,s:b}", "authority", name, "stop", 1);
	char *text = json_dumps(args, JSON_COMPACT);
	enum pend_client_error e = pend_client_call(cli->client, "serve", text, CLI_TIMEOUT_MS,
						    NULL, NULL, NULL);

	json_decref(args);
	free(text);
	if (e == PEND_CLIENT_OK ||
	    (e == PEND_CLIENT_E_REMOTE && !strcmp(pend_client_code(cli->client), "not-found")))
		return CLI_OK;
	return cli_remote(cli, e);
}

/* The program's full path; 0 or an exit code. `name` is looked for as a shell does. */
static int find(const char *name, char path[PATH_MAX])
{
	const char *p = getenv("PATH"), *end;
	char try[PATH_MAX];

	if (strchr(name, '/')) {
		if (realpath(name, path) && access(path, X_OK) == 0)
			return CLI_OK;
		return cli_fail(CLI_FAILURE, "%s: %s", name, strerror(errno));
	}
	for (; p && *p && *name; p = *end ? end + 1 : end) {
		end = strchrnul(p, ':');
		if (snprintf(try, sizeof(try), "%.*s/%s", (int)(end - p), p, name) <
			    (int)sizeof(try) &&
		    access(try, X_OK) == 0 && realpath(try, path))
			return CLI_OK;
	}
	return cli_fail(CLI_FAILURE, "there is no program \"%s\"", name);
}

/* As a command of one word, which pend-agent splits into words as a shell does. */
static void quote(const char *path, char command[2 * PATH_MAX])
{
	for (; *path; path++) {
		if (strchr(" \t\"'\\", *path))
			*command++ = '\\';
		*command++ = *path;
	}
	*command = '\0';
}

/* Beside pendctl, as in a build folder, or where it is installed. */
static void agent_path(char path[PATH_MAX])
{
	ssize_t n = readlink("/proc/self/exe", path, PATH_MAX - 1);
	char *slash;

	path[n > 0 ? n : 0] = '\0';
	slash = strrchr(path, '/');
	if (slash && (size_t)(slash - path) + sizeof("/pend-agent") <= PATH_MAX) {
		strcpy(slash, "/pend-agent");
		if (access(path, X_OK) == 0)
			return;
	}
	snprintf(path, PATH_MAX, "%s", PEND_LIBEXECDIR "/pend-agent");
}

static int become(struct cli *cli, const char *name, const char *program, uint32_t processes)
{
	char path[PATH_MAX], command[2 * PATH_MAX], number[16];
	const char *argv[] = {"pend-agent",
			      "--authority",
			      name,
			      "--socket",
			      cli->socket ? cli->socket : PEND_CLIENT_SOCKET,
			      "--exec",
			      command,
			      "--processes",
			      number,
			      NULL};
	char *args[sizeof(argv) / sizeof(argv[0])];

	snprintf(number, sizeof(number), "%u", processes);
	quote(program, command);
	memcpy(args, argv, sizeof(args));
	agent_path(path);
	fflush(NULL);
	execv(path, args);
	return cli_fail(CLI_FAILURE, "%s: %s", path, strerror(errno));
}

int cmd_ask_exec(struct cli *cli, const char *program, const char *authority, uint32_t processes)
{
	char name[256], path[PATH_MAX];
	int r;

	if (processes < 1 || processes > PROCESSES_MAX)
		return cli_usage("ask", "--processes is 1 to %d", PROCESSES_MAX);
	r = find(program, path);
	if (r == CLI_OK)
		r = choose(cli, authority, name, sizeof(name));
	if (r == CLI_OK)
		r = may_serve(cli, name);
	if (r != CLI_OK)
		return r;
	pend_client_close(cli->client);
	cli->client = NULL;
	return become(cli, name, path, processes);
}
