/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pendctl; everything is in cli.c, where tests reach it. */
#include "cli/cli.h"

int main(int argc, char **argv)
{
	return cli_main(argc, argv);
}
