/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pendd: everything is in pendd.c, so that tests can link it. */
#include "daemon/pendd.h"

int main(int argc, char **argv)
{
	return pendd_main(argc, argv);
}
