/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The authority process: the part of the daemon that reads bytes from people and programs. It has
 * no capability, no right to gain one, and a system call filter; it reaches the verdict process
 * only through the messages of msg.h.
 */
#ifndef DAEMON_AUTHORITY_H
#define DAEMON_AUTHORITY_H

#include "core/settings.h"

#define PEND_MAX_WORKERS SETTINGS_QUEUES_MAX

/* The descriptors become authority_main's. */
struct authority_args {
	int listen_fd;                   /* AF_UNIX, SOCK_STREAM, bound; listen() is called here */
	int main_fd;                     /* SOCK_SEQPACKET to the verdict process's main thread */
	int worker_fd[PEND_MAX_WORKERS]; /* ... and to each worker */
	unsigned workers;
	const char *config; /* path of the policy file */
	int debug;          /* log level debug */
	int handed_over;    /* the policy in force comes by main_fd, at once */
};

/*
 * Drops all privileges, serves until MSG_BYE, SIGTERM or the end of the main channel, and returns
 * the exit status: 0, or 1 after an error that was logged. An environment of its own is not needed:
 * the caller may clear it, but for JOURNAL_STREAM.
 */
int authority_main(const struct authority_args *args);

#endif
