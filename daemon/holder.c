/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Processes by their sockets. See holder.h. */
#include "daemon/holder.h"
#include "io/loop.h"
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PIDS_MAX   4096 /* of one cgroup */
#define WALK_SHARE 10
#define HINTS      256 /* who held a socket the last time */
#define TEXT_MAX   4096
#define DELETED    " (deleted)"

/* ---- texts ---- */

static bool field(const char *text, const char *name, unsigned long long *value, const char **end)
{
	size_t len = strlen(name);
	char *stop;

	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, name, len) != 0)
			continue;
		line += len;
		while (*line == ' ' || *line == '\t')
			line++;
		if (!isdigit((unsigned char)*line))
			return false;
		errno = 0;
		*value = strtoull(line, &stop, 10);
		*end = stop;
		return errno == 0;
	}
	return false;
}

bool holder_parse_fdinfo(const char *text, uint32_t *mount, uint64_t *inode)
{
	unsigned long long m, i;
	const char *end;

	if (!field(text, "mnt_id:", &m, &end) || !field(text, "ino:", &i, &end) || m > UINT32_MAX)
		return false;
	*mount = (uint32_t)m;
	*inode = i;
	return true;
}

/* "Gid:	real	effective	saved	of files" */
bool holder_parse_status(const char *text, uint32_t *gid)
{
	unsigned long long g;
	const char *p;
	char *stop;

	if (!field(text, "Gid:", &g, &p) || *p != '\t' || !isdigit((unsigned char)p[1]))
		return false;
	errno = 0;
	g = strtoull(p + 1, &stop, 10);
	if (errno || g > UINT32_MAX || *stop != '\t')
		return false;
	*gid = (uint32_t)g;
	return true;
}

bool holder_parse_exe(const char *text, size_t len, char out[HOLDER_PATH])
{
	size_t tail = sizeof(DELETED) - 1;

	if (!len || len >= HOLDER_PATH || text[0] != '/')
		return false;
	memcpy(out, text, len);
	out[len] = '\0';
	if (len >= tail && !memcmp(text + len - tail, DELETED, tail))
		out[0] = '\0';
	return true;
}

/* ---- /proc ---- */

static bool read_text(int at, const char *name, char text[TEXT_MAX])
{
	int fd = openat(at, name, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return false;
	n = read(fd, text, TEXT_MAX - 1);
	close(fd);
	if (n <= 0)
		return false;
	text[n] = '\0';
	return true;
}

static int open_folder(int at, const char *name)
{
	return openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int open_process(int proc, uint32_t pid)
{
	char name[16];

	snprintf(name, sizeof(name), "%u", pid);
	return open_folder(proc, name);
}

uint32_t holder_mount(int proc, int socket)
{
	char name[48], text[TEXT_MAX];
	uint32_t mount = 0;
	uint64_t inode;

	snprintf(name, sizeof(name), "self/fdinfo/%d", socket);
	if (!read_text(proc, name, text) || !holder_parse_fdinfo(text, &mount, &inode))
		return 0;
	return mount;
}

static bool holds(int process, uint32_t mount, uint32_t inode)
{
	int at = open_folder(process, "fdinfo");
	DIR *dir = at < 0 ? NULL : fdopendir(at);
	char text[TEXT_MAX];
	struct dirent *d;
	bool found = false;

	if (!dir) {
		if (at >= 0)
			close(at);
		return false;
	}
	while (!found && (d = readdir(dir))) {
		uint32_t m;
		uint64_t i;

		found = isdigit((unsigned char)d->d_name[0]) && read_text(at, d->d_name, text) &&
			holder_parse_fdinfo(text, &m, &i) && m == mount && i == inode;
	}
	closedir(dir);
	return found;
}

static void describe(int process, struct holder *out)
{
	char text[TEXT_MAX];
	ssize_t n = readlinkat(process, "exe", text, HOLDER_PATH);

	out->has_executable = n > 0 && holder_parse_exe(text, (size_t)n, out->executable);
	out->has_gid = read_text(process, "status", text) && holder_parse_status(text, &out->gid);
}

/* The folder stays that of this process, whoever gets its id next. */
static bool try_process(int proc, uint32_t pid, uint32_t mount, uint32_t inode, struct holder *out)
{
	int process = open_process(proc, pid);
	bool found = process >= 0 && holds(process, mount, inode);

	if (found)
		describe(process, out);
	if (process >= 0)
		close(process);
	return found;
}

/* The ids in a list of a cgroup, sorted, without process 1 and those that are not of our
 * namespace. */
static unsigned read_pids(int fd, uint32_t pids[PIDS_MAX])
{
	FILE *f = fdopen(fd, "r");
	unsigned n = 0, i;
	unsigned pid;

	if (!f) {
		close(fd);
		return 0;
	}
	while (n < PIDS_MAX && fscanf(f, "%u", &pid) == 1) {
		if (pid < 2)
			continue;
		for (i = n++; i > 0 && pids[i - 1] > pid; i--)
			pids[i] = pids[i - 1];
		pids[i] = pid;
	}
	fclose(f);
	return n;
}

static uint32_t in_cgroup(int proc, uint32_t mount, uint32_t inode, int list, struct holder *out)
{
	static uint32_t pids[PIDS_MAX];
	unsigned n = read_pids(list, pids);

	for (unsigned i = 0; i < n; i++)
		if (try_process(proc, pids[i], mount, inode, out))
			return pids[i];
	return 0;
}

/* /proc lists processes by their ids. */
static uint32_t anywhere(int proc, uint32_t mount, uint32_t inode, struct holder *out)
{
	int at = open_folder(proc, ".");
	DIR *dir = at < 0 ? NULL : fdopendir(at);
	uint32_t found = 0;
	struct dirent *d;

	if (!dir) {
		if (at >= 0)
			close(at);
		return 0;
	}
	while (!found && (d = readdir(dir))) {
		uint32_t pid = (uint32_t)strtoul(d->d_name, NULL, 10);

		if (pid > 1 && try_process(proc, pid, mount, inode, out))
			found = pid;
	}
	closedir(dir);
	return found ? found : try_process(proc, 1, mount, inode, out);
}

/* Who held a socket the last time. A walk over all processes that found nobody (sockets of the
 * kernel's own have no holder) is not repeated before ten times its length has passed. */
struct hint {
	uint32_t inode, pid;
	mono_t not_before;
};

static uint32_t search(int proc, uint32_t mount, struct hint *h, int cgroup, struct holder *out)
{
	uint32_t pid = cgroup >= 0 ? in_cgroup(proc, mount, h->inode, cgroup, out) : 0;
	mono_t start = loop_clock(), end;

	if (pid || mono_before(start, h->not_before))
		return pid;
	pid = anywhere(proc, mount, h->inode, out);
	end = loop_clock();
	if (!pid)
		h->not_before = mono_add(end, WALK_SHARE * mono_since(end, start));
	return pid;
}

bool holder_find(int proc, uint32_t mount, uint32_t inode, int cgroup, struct holder *out)
{
	static struct hint hints[HINTS];
	struct hint *h = &hints[inode % HINTS];

	*out = (struct holder){0};
	if (h->inode != inode)
		*h = (struct hint){.inode = inode};
	if (h->pid > 1 && try_process(proc, h->pid, mount, inode, out)) {
		if (cgroup >= 0)
			close(cgroup);
		return true;
	}
	h->pid = search(proc, mount, h, cgroup, out);
	return h->pid;
}
