/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The difference of two texts by lines, as `diff -u` writes it: Myers, "An O(ND) Difference
 * Algorithm and Its Variations" (1986), with bounds.
 */
#ifndef DAEMON_TEXTDIFF_H
#define DAEMON_TEXTDIFF_H

#include <stddef.h>

#define TEXTDIFF_LINES 200000 /* of each, without the lines that both begin and end with */
#define TEXTDIFF_EDITS 1000   /* lines added and removed */
#define TEXTDIFF_BYTES 131072 /* of the result */

/* *out is malloced, "" when the texts are the same. 0, -E2BIG above a bound, or -ENOMEM. */
int textdiff(const char *a, const char *b, char **out);

#endif
