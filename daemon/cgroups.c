/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The cgroup2 tree. See cgroups.h. */
#include "daemon/cgroups.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#define DEPTH_MAX 32

static int open_cgroup2(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct statfs s;

	if (fd >= 0 && (fstatfs(fd, &s) < 0 || s.f_type != CGROUP2_SUPER_MAGIC)) {
		close(fd);
		fd = -1;
	}
	return fd;
}

void cgroups_open(struct cgroups *c, const char *root)
{
	memset(c, 0, sizeof(*c));
	if (root) {
		c->fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		return;
	}
	c->fd = open_cgroup2("/sys/fs/cgroup");
	if (c->fd < 0)
		c->fd = open_cgroup2("/sys/fs/cgroup/unified");
}

static void remember(struct cgroups *c, uint64_t id, const char *path)
{
	c->known[id % CGROUPS_KNOWN].id = id;
	snprintf(c->known[id % CGROUPS_KNOWN].path, CGROUPS_PATH, "%s", path);
}

static bool recall(const struct cgroups *c, uint64_t id, char out[CGROUPS_PATH])
{
	if (c->known[id % CGROUPS_KNOWN].id != id)
		return false;
	memcpy(out, c->known[id % CGROUPS_KNOWN].path, CGROUPS_PATH);
	return true;
}

/* The folders in `path`, which is "" at the root. True: among them was the one of `id`, now in
 * `path`. */
static bool walk(struct cgroups *c, int at, char path[CGROUPS_PATH], uint64_t id, int depth)
{
	size_t len = strlen(path);
	bool found = false;
	struct dirent *d;
	DIR *dir = depth < DEPTH_MAX ? fdopendir(at) : NULL;

	if (!dir) {
		close(at);
		return false;
	}
	while (!found && (d = readdir(dir))) {
		size_t more = strlen(d->d_name);
		int fd;

		if (d->d_type != DT_DIR || d->d_name[0] == '.' || len + 1 + more >= CGROUPS_PATH)
			continue;
		path[len] = '/';
		memcpy(path + len + 1, d->d_name, more + 1);
		remember(c, d->d_ino, path);
		found = d->d_ino == id;
		fd = found ? -1 : openat(at, d->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd >= 0)
			found = walk(c, fd, path, id, depth + 1);
	}
	if (!found)
		path[len] = '\0';
	closedir(dir);
	return found;
}

bool cgroups_path(struct cgroups *c, uint64_t id, char out[CGROUPS_PATH])
{
	struct stat st;
	int fd;

	if (c->fd < 0 || !id)
		return false;
	if (recall(c, id, out))
		return true;
	if (fstat(c->fd, &st) == 0 && st.st_ino == id) {
		snprintf(out, CGROUPS_PATH, "/");
		return true;
	}
	fd = openat(c->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	out[0] = '\0';
	return fd >= 0 && walk(c, fd, out, id, 0);
}

int cgroups_processes(const struct cgroups *c, const char *path)
{
	char name[CGROUPS_PATH + sizeof("/cgroup.procs")];
	int fd;

	snprintf(name, sizeof(name), ".%s/cgroup.procs", path);
	fd = c->fd < 0 ? -1 : openat(c->fd, name, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -ENOENT : fd;
}
