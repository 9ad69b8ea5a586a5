/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Between pendd and pend-agent: a process of ours that has given up every right becomes the program. What the program
 * and all that it starts may do is decided here, and nowhere else.
 */
#ifndef DAEMON_AGENT_EXEC_H
#define DAEMON_AGENT_EXEC_H

#include "core/settings.h"
#include <stdbool.h>
#include <stdint.h>

#define AGENT_EXEC_USER \
	"pend-agent" /* of those whose authority names none, if there is such a user */
#define AGENT_EXEC_PATH 4096

struct agent_exec {
	const char *user, *group; /* numbers; "": stay */
	char **argv;              /* of the program; [0] is its path */
	bool debug;
};

/* Does not return but to fail: the exit status. */
int agent_exec_main(const struct agent_exec *x);

/*
 * The user of authorities that name none: started as root, and the settings have a user, `pend-agent` or else that
 * user. UINT32_MAX: the one that pendd is.
 */
uint32_t agent_exec_user(const struct settings *s);
/* May this process start one as that user? Both UINT32_MAX: not said. */
bool agent_exec_may(uint32_t uid);
/* The path of pend-agent: beside pendd, as in a build folder, or where it is installed. */
void agent_exec_path(char path[AGENT_EXEC_PATH]);

#endif
