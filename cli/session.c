/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What changes of the running policy share: staying for a session, and reading files of lines. */
#include "cli/cli.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>

static volatile sig_atomic_t signalled;

static void on_signal(int sig)
{
	(void)sig;
	signalled = 1;
}

/* From here on the two signals only come while ppoll waits; `old` is the mask for that. */
static void catch_signals(sigset_t *old)
{
	struct sigaction sa = {.sa_handler = on_signal};
	sigset_t set;

	signalled = 0;
	sigemptyset(&sa.sa_mask);
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, old);
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
}

/* What the daemon says meanwhile is no business of ours. */
static bool ignore(void *ctx, const char *json)
{
	(void)ctx;
	(void)json;
	return true;
}

int cli_session(struct cli *cli)
{
	struct pollfd p = {.fd = pend_client_fd(cli->client), .events = POLLIN};
	sigset_t old;

	catch_signals(&old);
	while (!signalled) {
		if (ppoll(&p, 1, NULL, &old) < 0 && errno != EINTR)
			return cli_fail(CLI_FAILURE, "cannot wait: %s", strerror(errno));
		if (!signalled && pend_client_read(cli->client, ignore, NULL) != PEND_CLIENT_OK)
			return cli_fail(CLI_FAILURE,
					"%s: what this session changed has gone with it",
					pend_client_message(cli->client));
	}
	return CLI_OK;
}

bool cli_utf8(const char *text)
{
	json_t *s = text ? json_string(text) : json_null();

	json_decref(s);
	return s != NULL;
}

FILE *cli_open(const char *name)
{
	FILE *f = strcmp(name, "-") ? fopen(name, "re") : stdin;

	if (!f)
		cli_fail(0, "cannot open %s: %s", name, strerror(errno));
	return f;
}

/* Where the comment begins, or the line ends. */
static char *comment(char *s, bool quotes)
{
	bool inside = false;

	for (; *s; s++) {
		if (quotes && *s == '"')
			inside = !inside;
		else if (inside && *s == '\\' && s[1])
			s++;
		else if (*s == '#' && !inside)
			break;
	}
	return s;
}

char *cli_line(FILE *f, bool quotes, char **buf, size_t *cap, unsigned *number)
{
	ssize_t n;

	while ((n = getline(buf, cap, f)) >= 0) {
		char *s, *end;

		++*number;
		for (s = *buf; s < *buf + n; s++)
			if (!*s) /* hides nothing behind it */
				*s = '?';
		s = *buf + strspn(*buf, " \t\r\n");
		end = comment(s, quotes);
		while (end > s && strchr(" \t\r\n", end[-1]))
			end--;
		*end = '\0';
		if (end > s)
			return s;
	}
	return NULL;
}
