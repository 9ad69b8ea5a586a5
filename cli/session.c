/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What changes of the running policy share: staying for a session, and reading files of lines. */
#include "cli/cli.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

/* Installed for those who look whether we are ready; the signals are read from the descriptor. */
static void on_signal(int sig)
{
	(void)sig;
}

/* From here on the two signals come as input of a descriptor; -1 with errno. */
static int catch_signals(void)
{
	struct sigaction sa = {.sa_handler = on_signal};
	sigset_t set;
	int fd;

	sigemptyset(&sa.sa_mask);
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	fd = signalfd(-1, &set, SFD_CLOEXEC);
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	return fd;
}

/* What the daemon says meanwhile is no business of ours. */
static bool ignore(void *ctx, const char *json)
{
	(void)ctx;
	(void)json;
	return true;
}

static int session(struct cli *cli, int signals)
{
	struct pollfd p[] = {{.fd = pend_client_fd(cli->client), .events = POLLIN},
			     {.fd = signals, .events = POLLIN}};

	while (!p[1].revents) {
		if (poll(p, 2, -1) < 0 && errno != EINTR)
			return cli_fail(CLI_FAILURE, "cannot wait: %s", strerror(errno));
		if (p[0].revents && pend_client_read(cli->client, ignore, NULL) != PEND_CLIENT_OK)
			return cli_fail(CLI_FAILURE,
					"%s: what this session changed has gone with it",
					pend_client_message(cli->client));
	}
	return CLI_OK;
}

int cli_session(struct cli *cli)
{
	int signals = catch_signals(), r;

	if (signals < 0)
		return cli_fail(CLI_FAILURE, "cannot wait for signals: %s", strerror(errno));
	r = session(cli, signals);
	close(signals);
	return r;
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
		s = *buf;
		if (*number == 1 && !strncmp(s, "\xef\xbb\xbf", 3)) /* as in a policy */
			s += 3;
		s += strspn(s, " \t\r\n");
		end = comment(s, quotes);
		while (end > s && strchr(" \t\r\n", end[-1]))
			end--;
		*end = '\0';
		if (end > s)
			return s;
	}
	return NULL;
}
