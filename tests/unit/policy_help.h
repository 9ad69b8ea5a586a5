/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Policies from memory, and canonical text, for the tests of the policy. */
#ifndef TESTS_POLICY_HELP_H
#define TESTS_POLICY_HELP_H

#include "core/policy_ast.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct memory_file {
	const char *name, *text;
};

/* ctx: files, ended by one without a name; names are compared with the path as it is written. */
static inline int memory_read(void *ctx, const char *from, const char *path, char **data,
			      size_t *len)
{
	const struct memory_file *f;

	(void)from;
	for (f = ctx; f->name; f++) {
		if (strcmp(f->name, path))
			continue;
		*data = strdup(f->text);
		*len = strlen(f->text);
		return *data ? 0 : -ENOMEM;
	}
	return -ENOENT;
}

static inline int parse_text(const char *text, struct policy **p, struct policy_diag *diag)
{
	struct memory_file files[] = {{"t", text}, {NULL, NULL}};
	struct policy_loader loader = {.read = memory_read, .ctx = files};

	return policy_parse(p, "t", &loader, diag);
}

/* Must be right; NULL is never returned. */
static inline struct policy *parse_good(const char *text)
{
	struct policy *p = NULL;
	struct policy_diag diag;
	int err = parse_text(text, &p, &diag);

	ck_assert_msg(!err, "%s%s", diag.text ? diag.text : "no memory", text);
	policy_diag_deinit(&diag);
	return p;
}

static inline char *print_good(const struct policy *p)
{
	char *text = NULL;
	int err = policy_print(p, &text);

	ck_assert_int_eq(err, 0);
	return text;
}

#endif
