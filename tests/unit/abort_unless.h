/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A check that prints its place and aborts: a failure under Check, a crash to a fuzzer. */
#ifndef TESTS_ABORT_UNLESS_H
#define TESTS_ABORT_UNLESS_H

#include <stdio.h>
#include <stdlib.h>

#define ABORT_UNLESS(cond)                                                                       \
	do {                                                                                     \
		if (!(cond)) {                                                                   \
			fprintf(stderr, "%s:%d: %s: not so: %s\n", __FILE__, __LINE__, __func__, \
				#cond);                                                          \
			abort();                                                                 \
		}                                                                                \
	} while (0)

#endif
