/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The policy: text -> syntax tree with places -> checked -> a flat, position-independent
 * image that any process can map and classify with (core/classify.h).
 *
 * Nothing here reads files: a loader brings the text. A policy is either wholly right or not there;
 * the diagnostics name file, line and column of every error found, with the source line under it.
 */
#ifndef CORE_POLICY_H
#define CORE_POLICY_H

#include "core/settings.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct policy; /* the syntax tree; opaque */

struct policy_loader {
	/* A whole file: *data malloced and NUL-terminated. 0 or -errno. `path` is absolute or
	 * relative to the file that names it; `from` is that file (NULL for the first). */
	int (*read)(void *ctx, const char *from, const char *path, char **data, size_t *len);
	/* Paths that match a pattern, sorted, each as read() takes it; *paths and its elements malloced. 0 or -errno;
	 * no match is 0 with *n == 0. NULL: patterns are refused. */
	int (*glob)(void *ctx, const char *from, const char *pattern, char ***paths, size_t *n);
	/* The number of a user or group. 0, -ENOENT: there is none of that name, or -errno. NULL: names are
	 * refused. */
	int (*id)(void *ctx, bool group, const char *name, uint32_t *out);
	/* Calls `add` for every network of a country, both ends of which belong to it (IPv4 in the first four
	 * bytes), until it says false. 0, -ENOENT: there is no such file, -ESRCH: it knows no such country, or
	 * -errno. NULL: countries are refused. */
	int (*country)(void *ctx, const char *database, const char *code,
		       bool (*add)(void *arg, uint8_t family, const uint8_t lo[16],
				   const uint8_t hi[16]),
		       void *arg);
	/* Minutes since 1970, UTC, of a local time whose parts are in range; `month` and `day` from 1.
	 * 0: there is no such moment. NULL: dates are refused. */
	uint32_t (*minute)(void *ctx, int year, int month, int day, int hour, int minute);
	uint32_t now; /* in such minutes; 0: unknown, and nothing is past */
	void *ctx;
};

#define POLICY_MAX_ERRORS 20

struct policy_diag {
	char *text; /* malloced; messages as below, one after the other; NULL when none */
	size_t len;
	unsigned errors, warnings;
};

/*
 *	pend.conf:12:23: error: unknown protocol "tpc", did you mean "tcp"?
 *	  pend proto tpc to port ssh ask ops
 *	             ^~~
 */
void policy_diag_deinit(struct policy_diag *d);

/* 0, -EINVAL (the diagnostics say why), -ENOMEM, or the loader's error for the first file. */
int policy_parse(struct policy **out, const char *path, const struct policy_loader *loader,
		 struct policy_diag *diag);
void policy_free(struct policy *p); /* NULL is allowed */
const struct settings *policy_settings(const struct policy *p);
/* Canonical text that parses back to the same policy; malloced. 0 or -ENOMEM. */
int policy_print(const struct policy *p, char **text);
/* The image; *size bytes, malloced. 0, -ENOMEM, -E2BIG. */
int policy_compile(const struct policy *p, void **image, size_t *size);

#endif
