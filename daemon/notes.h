/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who has decided and why, by number: the verdict process carries a number with each decision (MSG_REASON), and never
 * sees the text. The same words have the same number for as long as they are among the last that were said.
 */
#ifndef DAEMON_NOTES_H
#define DAEMON_NOTES_H

#include <stdbool.h>
#include <stdint.h>

#define NOTES_KEPT    65536u /* the oldest go */
#define NOTES_BY_MAX  64u    /* bytes, without the end */
#define NOTES_WHY_MAX 200u

struct notes;

/* 0, -ENOMEM or -EIO. */
int notes_new(struct notes **out);
void notes_free(struct notes *n); /* NULL is allowed */
/* The number of these words, cut where they are too long; NULL is "". 0: there are none, or no memory for them. */
uint32_t notes_add(struct notes *n, const char *by, const char *why);
/* False, and "": there is no such note, or not any more. The texts are valid until the next notes_add. */
bool notes_find(const struct notes *n, uint32_t number, const char **by, const char **why);

#endif
