/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Run a short-lived system program and collect what it says.
 *
 * Its three standard descriptors are files in memory, so that nobody waits on a full pipe and no
 * SIGPIPE comes back from a program that died early.
 */
#include "io/exec.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TIMEOUT_MS 20000
#define STEP_MS    1
#define OUTPUT_MAX (64 * 1024 * 1024)

bool exec_find(const char *name, char path[EXEC_PATH_MAX])
{
	static const char *const dirs[] = {"/usr/sbin", "/sbin", "/usr/local/sbin", "/usr/bin",
					   "/bin"};

	for (size_t i = 0; i < sizeof(dirs) / sizeof(*dirs); i++) {
		int n = snprintf(path, EXEC_PATH_MAX, "%s/%s", dirs[i], name);

		if (n > 0 && n < EXEC_PATH_MAX && access(path, X_OK) == 0)
			return true;
	}
	path[0] = 0;
	return false;
}

/* An unnamed file, read from the start, with `text` in it. */
static int memory_file(const char *text)
{
	int fd = memfd_create("pend-exec", MFD_CLOEXEC);
	size_t len = text ? strlen(text) : 0;

	if (fd < 0)
		return -errno;
	if (len && (write(fd, text, len) != (ssize_t)len || lseek(fd, 0, SEEK_SET) < 0)) {
		close(fd);
		return -EIO;
	}
	return fd;
}

static int spawn(const char *const argv[], const int fd[3], pid_t *pid)
{
	static char path[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin", locale[] = "LC_ALL=C";
	char *const env[] = {path, locale, NULL};
	posix_spawn_file_actions_t a;
	posix_spawnattr_t attr;
	sigset_t none;
	int err;

	sigemptyset(&none);
	posix_spawn_file_actions_init(&a);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
	for (int i = 0; i < 3; i++)
		posix_spawn_file_actions_adddup2(&a, fd[i], i);
	/* posix_spawn() changes no string, it was only declared before const was. */
	err = posix_spawn(pid, argv[0], &a, &attr, (char *const *)(const void *)argv, env);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&a);
	return -err;
}

static int wait_for(pid_t pid, int *status)
{
	const struct timespec step = {.tv_nsec = STEP_MS * 1000000L};
	int raw = 0;

	for (int ms = 0;; ms += STEP_MS) {
		pid_t r = waitpid(pid, &raw, ms < TIMEOUT_MS ? WNOHANG : 0);

		if (r == pid)
			break;
		if (r < 0 && errno != EINTR)
			return -errno;
		if (ms >= TIMEOUT_MS - STEP_MS)
			kill(pid, SIGKILL);
		nanosleep(&step, NULL);
	}
	*status = WIFEXITED(raw) ? WEXITSTATUS(raw) : 128 + WTERMSIG(raw);
	return 0;
}

static int read_all(int fd, char **out)
{
	struct stat st;
	char *p;
	ssize_t n;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size > OUTPUT_MAX)
		return -EFBIG;
	p = malloc((size_t)st.st_size + 1);
	if (!p)
		return -ENOMEM;
	n = pread(fd, p, (size_t)st.st_size, 0);
	if (n < 0) {
		free(p);
		return -EIO;
	}
	p[n] = 0;
	*out = p;
	return 0;
}

static int collect(const int fd[3], pid_t pid, struct exec_out *out)
{
	struct exec_out o = {0};
	ssize_t n;
	int err = wait_for(pid, &o.status);

	if (!err)
		err = read_all(fd[1], &o.text);
	if (err)
		return err;
	n = pread(fd[2], o.said, sizeof(o.said) - 1, 0);
	o.said[n > 0 ? n : 0] = 0;
	*out = o;
	return 0;
}

int exec_run(const char *const argv[], const char *input, struct exec_out *out)
{
	int fd[3] = {-1, -1, -1}, err = 0;
	pid_t pid;

	if (access(argv[0], X_OK))
		return -errno;
	for (int i = 0; i < 3 && !err; i++) {
		fd[i] = memory_file(i == 0 ? input : NULL);
		err = fd[i] < 0 ? fd[i] : 0;
	}
	if (!err)
		err = spawn(argv, fd, &pid);
	if (!err)
		err = collect(fd, pid, out);
	for (int i = 0; i < 3; i++)
		if (fd[i] >= 0)
			close(fd[i]);
	return err;
}
