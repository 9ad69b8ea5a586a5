/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Run a short-lived system program with an argument vector (no shell) and collect what it says. */
#ifndef IO_EXEC_H
#define IO_EXEC_H

#include <stdbool.h>
#include <stddef.h>

struct exec_out {
	int status;      /* exit status; 128 + signal when it was killed */
	char *text;      /* its standard output, terminated; malloced */
	char said[1024]; /* the beginning of its standard error */
};

#define EXEC_PATH_MAX 64

/* Look for `name` in the system's program folders, whatever PATH says. */
bool exec_find(const char *name, char path[EXEC_PATH_MAX]);
/*
 * argv[0] is a full path, `input` (may be NULL) its standard input. Waits, at most 20 seconds.
 * 0 with *out filled in (free out->text) whatever the program's status is, or -errno.
 */
int exec_run(const char *const argv[], const char *input, struct exec_out *out);

#endif
