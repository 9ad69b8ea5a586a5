/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The control socket, and starting the authority process on it, and the resolver. */
#ifndef DAEMON_SPAWN_H
#define DAEMON_SPAWN_H

#include "base/err.h"
#include "core/settings.h"
#include <stdbool.h>
#include <sys/types.h>

/* Bind the control socket: its folder is made if it is missing, a dead one is replaced, a live one is an
 * error. The descriptor, or -errno with a sentence in *err. */
int spawn_control_socket(const struct settings *s, struct err *err);

/*
 * fork and exec ourselves as the authority process with the listening socket and the other ends of
 * the channels, which are closed here. The process id, or -errno.
 */
pid_t spawn_authority(int listen_fd, int main_fd, const int *worker_fd, unsigned workers,
		      const char *config, bool debug);

/* The same as the resolver process, with the other ends of `n` channels. */
pid_t spawn_resolver(const int *fd, unsigned n, const char *user, bool debug);

/* The program of an authority. */
struct spawn_agent {
	const char *path, *authority, *control;
	uint32_t generation;
	uint32_t uid, gid; /* UINT32_MAX: as we are */
	bool debug;
};

/* The first of a process group of its own, in agent_exec.h's hands. The process id, or -errno. */
pid_t spawn_agent(const struct spawn_agent *a);

/* A SOCK_SEQPACKET pair, both close-on-exec. 0 or -errno. */
int spawn_channel(int pair[2]);

#endif
