/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The error policy, for all code here.
 *
 * - 0 is success. A negative value is -errno: the operation did not happen; callers undo
 *   what they did and hand the value on unchanged. They never match on one that came from our own
 *   code, only on one that came from the kernel or from a library.
 * - A positive value is a documented result of that one function (an enum beside its prototype) which its
 *   caller handles on the spot and never passes on.
 * - Constructors write their out pointer last and only on success. Destructors accept NULL and
 *   half-built objects.
 * - Libraries do not log and do not exit. What a person needs to know beyond the number
 *   travels in a struct err: one sentence that says what failed and what to do about it.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include <stddef.h>

#define ERR_TEXT_MAX 512

struct err {
	int code;                /* negative errno, 0 when unset */
	char text[ERR_TEXT_MAX]; /* one line, no newline, may be cut */
};

/* Set (e may be NULL) and return `code`. */
int err_set(struct err *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* As err_set, with ": " and strerror(-code) appended. */
int err_sys(struct err *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#endif
