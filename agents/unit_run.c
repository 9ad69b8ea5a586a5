/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The processes of `type unit`. This process takes in the orphans of what it starts (PR_SET_CHILD_SUBREAPER), so that
 * a command that puts itself into the background is found again when it is to be stopped.
 */
#include "agents/unit.h"
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define TREE_MAX 65536u /* processes of the host that are looked at */

/* This process has one thread, so the child may do more than is safe elsewhere. */
static void child_main(char *const argv[], const char *authority, int out, unsigned seconds)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	sigset_t none;

	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* should this process be killed */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	if (null < 0 || dup2(null, STDIN_FILENO) < 0 ||
	    dup2(out < 0 ? STDERR_FILENO : out, STDOUT_FILENO) < 0)
		_exit(126);
	setenv("PEND_AUTHORITY", authority, 1);
	alarm(seconds); /* outlives exec */
	execv(argv[0], argv);
	fprintf(stderr, "pend-agent: %s: %s: %s\n", authority, argv[0], strerror(errno));
	_exit(126);
}

pid_t unit_spawn(char *const argv[], const char *authority, int out, unsigned seconds)
{
	pid_t pid = fork();

	if (pid == 0)
		child_main(argv, authority, out, seconds);
	return pid < 0 ? -errno : pid;
}

void unit_status_text(int status, char *buf, size_t cap)
{
	if (WIFSIGNALED(status))
		snprintf(buf, cap, "was ended by signal %d (%s)", WTERMSIG(status),
			 strsignal(WTERMSIG(status)));
	else
		snprintf(buf, cap, "ended with status %d", WEXITSTATUS(status));
}

/* ---- all that descends from here ---- */

struct process {
	pid_t pid, parent;
	bool ours;
};

/* The parent is behind the name, which may have any byte in it. */
static pid_t parent_of(const char *name)
{
	char path[64], text[512], *end;
	int fd, parent = 0;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%.20s/stat", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (fd >= 0)
		close(fd);
	if (n <= 0)
		return 0;
	text[n] = '\0';
	end = strrchr(text, ')');
	return end && sscanf(end + 1, " %*c %d", &parent) == 1 ? parent : 0;
}

static size_t processes(struct process *list, size_t max)
{
	DIR *dir = opendir("/proc");
	struct dirent *d;
	size_t n = 0;

	while (dir && n < max && (d = readdir(dir)) != NULL) {
		if (!isdigit((unsigned char)d->d_name[0]))
			continue;
		list[n].pid = (pid_t)strtol(d->d_name, NULL, 10);
		list[n].parent = parent_of(d->d_name);
		list[n++].ours = false;
	}
	if (dir)
		closedir(dir);
	return n;
}

static bool descends(const struct process *list, size_t n, pid_t parent)
{
	if (parent == getpid())
		return true;
	for (size_t i = 0; i < n; i++)
		if (list[i].ours && list[i].pid == parent)
			return true;
	return false;
}

unsigned unit_tree_signal(int signo)
{
	struct process *list = calloc(TREE_MAX, sizeof(*list));
	size_t n = list ? processes(list, TREE_MAX) : 0;
	unsigned found = 0;
	bool more = true;

	while (more) {
		more = false;
		for (size_t i = 0; i < n; i++) {
			if (list[i].ours || !descends(list, n, list[i].parent))
				continue;
			list[i].ours = more = true;
			found++;
		}
	}
	for (size_t i = 0; i < n; i++)
		if (list[i].ours)
			kill(list[i].pid, signo);
	/* what was stopped would not see it */
	for (size_t i = 0; signo != SIGKILL && i < n; i++)
		if (list[i].ours)
			kill(list[i].pid, SIGCONT);
	free(list);
	return found;
}

/* ---- systemd ---- */

static bool value_of(const char *shown, const char *key, char *buf, size_t cap)
{
	size_t len = strlen(key);

	for (const char *s = shown; s && *s; s = strchr(s, '\n'), s = s ? s + 1 : NULL)
		if (!strncmp(s, key, len) && s[len] == '=') {
			snprintf(buf, cap, "%.*s", (int)strcspn(s + len + 1, "\n"), s + len + 1);
			return true;
		}
	return false;
}

bool unit_state_failed(const char *shown, char *buf, size_t cap)
{
	char state[32], result[48] = "";

	if (!value_of(shown, "ActiveState", state, sizeof(state)) || strcmp(state, "failed") != 0)
		return false;
	value_of(shown, "Result", result, sizeof(result));
	snprintf(buf, cap, "%s%s%s%s", state, *result ? " (" : "", result, *result ? ")" : "");
	return true;
}
