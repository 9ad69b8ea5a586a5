/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What was changed at run time, laid over what the files say: rules that are put before or behind
 * those of a layer, and sets whose content differs from what the policy gives them.
 */
#ifndef CORE_POLICY_OVERLAY_H
#define CORE_POLICY_OVERLAY_H

#include "core/policy.h"
#include <stdbool.h>

/* ------------------------------------------------------------------ addresses ---- */

/* Both ends belong to it; IPv4 in the first four bytes, zeros behind. Ordered by its first 17 bytes. */
struct policy_span {
	uint8_t family; /* 4 or 6 */
	uint8_t lo[16], hi[16];
};

/* Sorted, neither overlapping nor adjacent. Zeroes: none. */
struct policy_spans {
	struct policy_span *span;
	size_t n;
};

void policy_spans_deinit(struct policy_spans *s);
/* An address, a prefix (bits behind it are ignored) or a range. 0 or -EINVAL. */
int policy_span_parse(const char *text, struct policy_span *out);
#define POLICY_SPAN_TEXT 96
/* The shortest of these forms. */
const char *policy_span_print(const struct policy_span *s, char buf[POLICY_SPAN_TEXT]);

/* All of these: false when there is no memory, and nothing has changed then. */
/* From any spans, in any order. `*out` is written last. */
bool policy_spans_make(struct policy_spans *out, const struct policy_span *span, size_t n);
bool policy_spans_copy(struct policy_spans *out, const struct policy_spans *s);
bool policy_spans_add(struct policy_spans *s, const struct policy_spans *more);
bool policy_spans_remove(struct policy_spans *s, const struct policy_spans *less);
/* What of `s` lies within; quick when that is little. `*out` is written last. */
bool policy_spans_within(struct policy_spans *out, const struct policy_spans *s,
			 const struct policy_spans *within);
/* Are these spans as a struct policy_spans must be? For bytes that came from elsewhere. */
bool policy_spans_valid(const struct policy_span *span, size_t n);

/* -------------------------------------------------------------------- overlay ---- */

/* One rule. Those at the beginning of a layer keep their order, and so do those at its end. */
struct policy_object {
	uint32_t number;   /* its rule's file is "object NUMBER", line 1 */
	uint32_t change;   /* messages call it "change CHANGE"; 0: by its number */
	bool last;         /* behind the rules of the layer, else before them */
	const char *layer; /* "": the policy has only one */
	const char *text;  /* one line */
};

/* What the policy gives the set, but for `removed` or all of it, and `added`. */
struct policy_set_edit {
	const char *set;
	bool replaced;
	struct policy_spans added, removed; /* the caller's */
	struct policy_spans base;           /* set by the parse: what the policy gives it */
	bool found;                         /* ... there is such a set */
};

struct policy_overlay {
	const struct policy_object *object;
	size_t objects;
	struct policy_set_edit *edit;
	size_t edits;
};

/* As policy_parse. NULL: nothing was changed. */
int policy_parse_with(struct policy **out, const char *path, const struct policy_loader *loader,
		      const struct policy_overlay *overlay, struct policy_diag *diag);

#endif
