/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The daemon's command line. */
#ifndef DAEMON_OPTS_H
#define DAEMON_OPTS_H

#include <stdbool.h>

enum opts_mode { OPTS_RUN, OPTS_CHECK, OPTS_AUTHORITY, OPTS_RESOLVER, OPTS_AGENT, OPTS_EXIT };

struct opts {
	enum opts_mode mode;
	const char *config;
	bool debug;
	bool verbose;      /* with CHECK: print the policy in canonical form */
	unsigned workers;  /* AUTHORITY, RESOLVER: how many channels were inherited */
	const char *user;  /* RESOLVER: become this one, when root; AGENT: its number */
	const char *group; /* AGENT: the same */
	char **program;    /* AGENT: what to become */
	int status;        /* EXIT: the exit status */
};

/* sysexits.h, for what a person can put right. */
enum {
	EXIT_USAGE = 64,
	EXIT_UNAVAILABLE = 69, /* the kernel lacks something, or a queue is taken */
	EXIT_NOPERM = 77,
	EXIT_CONFIG = 78,
};

/* Prints help, version and usage errors itself. */
void opts_parse(struct opts *o, int argc, char **argv);

#endif
