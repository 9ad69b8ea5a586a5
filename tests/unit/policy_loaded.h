/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A policy from text, compiled and ready to be asked. */
#ifndef TESTS_POLICY_LOADED_H
#define TESTS_POLICY_LOADED_H

#include "core/classify.h"
#include "core/policy.h"
#include "policy_help.h"

struct loaded {
	struct policy *p;
	void *image;
	size_t size;
	struct classifier *c;
};

static inline struct loaded load(const char *text)
{
	struct loaded l = {.p = parse_good(text)};

	ck_assert_int_eq(policy_compile(l.p, &l.image, &l.size), 0);
	ck_assert_int_eq(classify_attach(&l.c, l.image, l.size), 0);
	return l;
}

static inline void unload(struct loaded *l)
{
	classify_detach(l->c);
	free(l->image);
	policy_free(l->p);
}

#endif
