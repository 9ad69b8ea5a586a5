/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The resolver process: it reads /proc and the cgroup tree for the threads that decide, which
 * open nothing. It has CAP_SYS_PTRACE and no other capability, none of the network, a system
 * call filter, and writes to nothing but its channels. It does nothing while nobody asks, and
 * ends when the channels are closed.
 */
#ifndef DAEMON_RESOLVER_H
#define DAEMON_RESOLVER_H

#include "daemon/authority.h"
#include <stdint.h>

#define RESOLVER_PATH         256
#define RESOLVER_CHANNELS_MAX (PEND_MAX_WORKERS + 1)

struct resolver_question {
	uint64_t seq;
	uint64_t cookie, cgroup; /* struct listener_socket */
	uint32_t inode;
	uint32_t need; /* bits of enum classify_listener_field */
};

struct resolver_answer {
	uint64_t seq, cookie; /* of the question */
	uint64_t at_ns;       /* CLOCK_BOOTTIME: when it was true */
	uint32_t asked, known;
	uint32_t gid, pad;
	char executable[RESOLVER_PATH],
		cgroup[RESOLVER_PATH]; /* terminated, as struct classify_listener */
};

struct resolver_args {
	unsigned channels; /* descriptors 3 and on: SOCK_SEQPACKET */
	const char *user;  /* become this one, when root; "": stay */
};

/* Gives up all other rights and serves until the last channel is closed. The exit status. */
int resolver_main(const struct resolver_args *args);

#endif
