/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The process that holds a socket. Of several it is the one of the lowest id in the socket's
 * cgroup, which has most often opened it; else the lowest of all; process 1, which opens sockets
 * for others, only when it is alone. By /proc/PID/fdinfo (Linux 5.14), which CAP_SYS_PTRACE
 * opens; /proc/PID/fd would need a right to every file.
 */
#ifndef DAEMON_HOLDER_H
#define DAEMON_HOLDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HOLDER_PATH 256

struct holder {
	uint32_t gid; /* effective */
	bool has_gid, has_executable;
	char executable[HOLDER_PATH]; /* as the process sees it; "": deleted */
};

/* `proc`: a descriptor of /proc; `mount`: the mount id of sockets. `cgroup`: list of the
 * processes of the socket's cgroup, closed here, or negative. False: no process is seen to hold
 * it. */
bool holder_find(int proc, uint32_t mount, uint32_t inode, int cgroup, struct holder *out);

/* Of a socket's own entry: what the mount id of all sockets is. 0: this kernel does not say. */
uint32_t holder_mount(int proc, int socket);

/* Texts of /proc. False: not there. */
bool holder_parse_fdinfo(const char *text, uint32_t *mount, uint64_t *inode);
bool holder_parse_status(const char *text, uint32_t *gid);
/* What a link `exe` says, of `len` bytes of HOLDER_PATH. */
bool holder_parse_exe(const char *text, size_t len, char out[HOLDER_PATH]);

#endif
