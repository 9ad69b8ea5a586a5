/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Starting the other processes. See spawn.h. */
#include "daemon/spawn.h"
#include "daemon/authority.h"
#include "daemon/sandbox.h"
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define FD_FIRST       3 /* listen, main, then one per worker */
#define CHANNEL_BUFFER (1 << 20)

static int make_folder(const char *path, struct err *err)
{
	char dir[SETTINGS_PATH_MAX];
	char *slash;

	snprintf(dir, sizeof(dir), "%s", path);
	slash = strrchr(dir, '/');
	if (!slash || slash == dir)
		return 0;
	*slash = '\0';
	if (mkdir(dir, 0755) < 0 && errno != EEXIST)
		return err_sys(err, -errno, "cannot make the folder %s for the control socket",
			       dir);
	return 0;
}

/* Somebody who answers there is a running daemon; a socket without one is a leftover. */
static int clear_leftover(const struct sockaddr_un *sun, struct err *err)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int r;

	if (fd < 0)
		return -errno;
	r = connect(fd, (const struct sockaddr *)sun, sizeof(*sun)) < 0 ? -errno : 0;
	close(fd);
	if (r == 0 || r == -EAGAIN)
		return err_set(
			err, -EADDRINUSE,
			"another pendd serves %s: stop it first, or set another \"control\" path",
			sun->sun_path);
	if (r == -ECONNREFUSED && unlink(sun->sun_path) < 0)
		return err_sys(err, -errno, "cannot remove the old socket %s", sun->sun_path);
	return 0;
}

static void give_group(const char *path, const char *group)
{
	struct group *g = *group ? getgrnam(group) : NULL;

	/* Without the group the socket is root's alone, as it should be. */
	if (g && chown(path, (uid_t)-1, g->gr_gid) < 0)
		return;
}

int spawn_control_socket(const struct settings *s, struct err *err)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd, r;

	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", s->control);
	r = make_folder(s->control, err);
	if (!r)
		r = clear_leftover(&sun, err);
	if (r)
		return r;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_sys(err, -errno, "cannot make the control socket");
	fchmod(fd, 0666);
	if (bind(fd, (struct sockaddr *)&sun, sizeof(sun)) < 0) {
		r = err_sys(err, -errno, "cannot bind the control socket %s", s->control);
		close(fd);
		return r;
	}
	/* Anybody may connect: who they are is asked of the kernel, and most are refused. */
	chmod(s->control, 0666);
	give_group(s->control, s->control_group);
	return fd;
}

int spawn_channel(int pair[2])
{
	int size = CHANNEL_BUFFER;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		return -errno;
	for (int i = 0; i < 2; i++)
		setsockopt(pair[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	return 0;
}

/* In the child, between fork and exec: only what is safe there. Numbers are first moved out of
 * the way, so that no target is a source that is still needed. */
static void place_fds(const int *fds, unsigned n)
{
	int high[PEND_MAX_WORKERS + 2];

	for (unsigned i = 0; i < n; i++) {
		high[i] = fcntl(fds[i], F_DUPFD, FD_FIRST + (int)n);
		if (high[i] < 0)
			_exit(127);
	}
	for (unsigned i = 0; i < n; i++) {
		if (dup2(high[i], FD_FIRST + (int)i) < 0)
			_exit(127);
		close(high[i]);
	}
}

static void child(const int *fds, unsigned n, char *const argv[], void (*prepare)(void))
{
	sigset_t none;

	if (prepare)
		prepare();
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	place_fds(fds, n);
	execv("/proc/self/exe", argv);
	_exit(127);
}

pid_t spawn_authority(int listen_fd, int main_fd, const int *worker_fd, unsigned workers,
		      const char *config, bool debug)
{
	char count[12];
	char *argv[] = {(char *)(uintptr_t) "pendd",
			(char *)(uintptr_t) "--authority-process",
			(char *)(uintptr_t) "--workers",
			count,
			(char *)(uintptr_t) "-c",
			(char *)(uintptr_t)config,
			debug ? (char *)(uintptr_t) "-d" : NULL,
			NULL};
	int fds[PEND_MAX_WORKERS + 2] = {listen_fd, main_fd};
	pid_t pid;
	int r;

	for (unsigned i = 0; i < workers; i++)
		fds[2 + i] = worker_fd[i];
	snprintf(count, sizeof(count), "%u", workers);
	pid = fork();
	if (pid == 0)
		child(fds, workers + 2, argv, NULL);
	r = -errno;
	close(main_fd);
	for (unsigned i = 0; i < workers; i++)
		close(worker_fd[i]);
	return pid < 0 ? r : pid;
}

pid_t spawn_resolver(const int *fd, unsigned n, const char *user, bool debug)
{
	char count[12];
	char *argv[] = {(char *)(uintptr_t) "pendd",
			(char *)(uintptr_t) "--resolver-process",
			(char *)(uintptr_t) "--workers",
			count,
			(char *)(uintptr_t) "--user",
			(char *)(uintptr_t)user,
			debug ? (char *)(uintptr_t) "-d" : NULL,
			NULL};
	pid_t pid;
	int r;

	snprintf(count, sizeof(count), "%u", n);
	pid = fork();
	if (pid == 0)
		child(fd, n, argv, sandbox_resolver_child);
	r = -errno;
	for (unsigned i = 0; i < n; i++)
		close(fd[i]);
	return pid < 0 ? r : pid;
}

static void id_text(uint32_t id, char text[12])
{
	snprintf(text, 12, "%u", id);
	if (id == UINT32_MAX)
		*text = '\0';
}

pid_t spawn_agent(const struct spawn_agent *a)
{
	char user[12], group[12], generation[12];
	const char *const words[] = {"pendd",       "--agent-process", "--user",
				     user,          "--group",         group,
				     "--",          a->path,           "--socket",
				     a->control,    "--generation",    generation,
				     "--authority", a->authority};
	char *argv[sizeof(words) / sizeof(*words) + 1];
	size_t n = sizeof(words) / sizeof(*words);
	pid_t pid;

	id_text(a->uid, user);
	id_text(a->gid, group);
	snprintf(generation, sizeof(generation), "%u", a->generation);
	for (size_t i = 0; i < n; i++)
		argv[i] = (char *)(uintptr_t)words[i];
	argv[n] = NULL;
	pid = fork();
	if (pid == 0) {
		setpgid(0, 0);
		child(NULL, 0, argv, NULL);
	}
	if (pid < 0)
		return -errno;
	setpgid(pid, pid); /* whoever comes first */
	return pid;
}
