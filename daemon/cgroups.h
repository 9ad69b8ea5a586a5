/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Folders of the cgroup2 tree by their ids. An id is never used again and a folder of cgroup2
 * cannot be renamed, so what was found stays true.
 */
#ifndef DAEMON_CGROUPS_H
#define DAEMON_CGROUPS_H

#include <stdbool.h>
#include <stdint.h>

#define CGROUPS_PATH  256
#define CGROUPS_KNOWN 1024

struct cgroups {
	int fd; /* the root of the tree; -1: there is none */
	struct {
		uint64_t id;
		char path[CGROUPS_PATH];
	} known[CGROUPS_KNOWN];
};

/* `root`: NULL for where cgroup2 is mounted. */
void cgroups_open(struct cgroups *c, const char *root);
/* "/system.slice/ssh.service". False: there is no such folder any more, or its path is too long. */
bool cgroups_path(struct cgroups *c, uint64_t id, char out[CGROUPS_PATH]);
/* Its list of processes, open for reading, or -errno. */
int cgroups_processes(const struct cgroups *c, const char *path);

#endif
