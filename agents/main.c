/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The program; all of it is in agent.c, for tests. */
#include "agents/agent.h"

int main(int argc, char **argv)
{
	return agent_main(argc, argv);
}
