/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What was changed at run time: rules, and elements of sets. Lives in the authority process, which puts it
 * over every policy that it compiles.
 *
 * An overlay is changed by cloning it, changing the clone, and dropping one of the two: a clone shares
 * with its original what it does not change, and costs a pointer for each rule and set. Only the thread that owns
 * them clones and drops; another one may read.
 */
#ifndef DAEMON_OVERLAY_H
#define DAEMON_OVERLAY_H

#include "base/err.h"
#include "core/classify.h"
#include "core/classify_patch.h"
#include "core/policy_overlay.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OVERLAY_OBJECTS_MAX 10000u
#define OVERLAY_RULE_MAX    4096u    /* bytes of a rule */
#define OVERLAY_WHY_MAX     200u     /* bytes of a reason */
#define OVERLAY_SETS_MAX    4096u    /* that differ from their policy */
#define OVERLAY_SPANS_MAX   1048576u /* of all changed sets together */
#define OVERLAY_LEASES_MAX  65536u   /* elements that go by themselves: groups that came together */
#define OVERLAY_NAME        32u

struct overlay_who {
	uint32_t uid;
	int32_t pid;   /* at the time */
	char user[33]; /* "": it has no name */
};

/* For whom and for how long. */
struct overlay_terms {
	struct overlay_who who;
	uint64_t session;              /* goes with this connection; 0: stays */
	uint64_t until;                /* s since 1970: goes then; 0: never */
	uint64_t since;                /* s since 1970 */
	char why[OVERLAY_WHY_MAX + 1]; /* printable */
};

struct overlay_object {
	unsigned users;
	uint32_t number; /* from 1, never used again */
	uint32_t change; /* of the request that is under way; 0: it is in force */
	bool last;
	char layer[OVERLAY_NAME]; /* "": the only one */
	struct overlay_terms terms;
	char text[];
};

/* Elements that go by themselves. */
struct overlay_lease {
	uint64_t session, until;
	struct policy_spans spans;
};

/* Its content: `base`, if it is not replaced, without `removed`; and `added`, and all leases. */
struct overlay_set {
	unsigned users;
	char name[OVERLAY_NAME];
	bool replaced;
	struct policy_spans base, added, removed;
	struct policy_spans touched; /* since it was last in force: where it may differ */
	struct overlay_lease *lease; /* by their end */
	size_t leases;
};

struct overlay {
	unsigned users;
	struct overlay_object **object; /* in order of creation */
	size_t objects;
	struct overlay_set **set;
	size_t sets;
	uint32_t next; /* number of the next object */
	bool restored; /* what was kept of before the daemon's start is part of it */
	bool compile; /* since it was last in force: it takes a new image, not only edits of sets */
};

/* NULL: no memory. */
struct overlay *overlay_new(void);
struct overlay *overlay_clone(const struct overlay *o);
void overlay_put(struct overlay *o); /* NULL is allowed */

/*
 * All of these change a clone: 0; -EINVAL, -ENOENT, -ENOSPC with a sentence in *e, or -ENOMEM. After an
 * error it is to be dropped.
 */
/* `change` is what messages about the rule call it. */
int overlay_add(struct overlay *o, const char *layer, bool last, const char *text, uint32_t change,
		const struct overlay_terms *terms, uint32_t *number, struct err *e);
int overlay_delete(struct overlay *o, uint32_t number, struct err *e);
/* Its place and how long it stays are kept. */
int overlay_replace(struct overlay *o, uint32_t number, const char *text, uint32_t change,
		    const struct overlay_terms *terms, struct err *e);

enum overlay_action { OVERLAY_ADD, OVERLAY_DELETE, OVERLAY_FLUSH, OVERLAY_LOAD };

/* `c`: the policy in force, with the overlay that this is a clone of. 1; 0: it makes no difference, now or later. */
int overlay_elements(struct overlay *o, const struct classifier *c, const char *set,
		     enum overlay_action action, const struct policy_spans *spans,
		     const struct overlay_terms *terms, struct err *e);
/* A change as it was kept. */
struct overlay_change {
	char set[OVERLAY_NAME];
	enum overlay_action action;
	uint64_t until;
	struct policy_spans spans;
};

/*
 * All of them, in their order, at once: thousands are quick, too. No bound is looked at, for they were within them
 * once. Also when some of them are part of it already: these are done again, behind what they were behind. *done: without
 * those of sets that the policy does not have. 0 or -ENOMEM.
 */
int overlay_restore(struct overlay *o, const struct classifier *c,
		    const struct overlay_change *list, size_t n, size_t *done);
/* Of this connection; OVERLAY_ANY_SESSION: of any. 1 when something has changed, 0, or -ENOMEM. */
#define OVERLAY_ANY_SESSION UINT64_MAX
int overlay_end_session(struct overlay *o, uint64_t session);
bool overlay_has_session(const struct overlay *o, uint64_t session);
/* What ends at this time or did before: as overlay_end_session. */
int overlay_expire(struct overlay *o, uint64_t now);
/* The time of the next end; 0: none. */
uint64_t overlay_next_end(const struct overlay *o);
/* What another authority process has told: edits of the policy `c`, which does not have them yet. 0,
 * -EINVAL or -ENOMEM. */
int overlay_adopt(struct overlay *o, const struct classifier *c, const struct classify_edit *edit,
		  size_t n);

/* What was touched, as edits of the policy in force; malloced. 0, -E2BIG or -ENOMEM. */
int overlay_edits(const struct overlay *o, const struct classifier *c, struct classify_edit **edit,
		  size_t *n);

/* What the parser needs to know; points into the overlay but for the edits' spans. */
struct overlay_plan {
	struct policy_object *object;
	struct policy_overlay overlay;
};

int overlay_plan(const struct overlay *o, struct overlay_plan *plan); /* 0 or -ENOMEM */
void overlay_plan_deinit(struct overlay_plan *plan);
/* It is in force, or is about to be. `plan`: as a new image, which was made by this (what it tells of sets is
 * taken); NULL: as edits. 0 or -ENOMEM. */
int overlay_settle(struct overlay *o, struct overlay_plan *plan);

/* Set number i, as one that no other overlay shares; NULL: no memory. */
struct overlay_set *overlay_own(struct overlay *o, size_t i);
void overlay_set_put(struct overlay_set *s); /* one user less */
void overlay_lease_drop(struct overlay_set *s, size_t i);

/* As bytes, malloced, and back: any bytes are safe to ask. 0, -EINVAL or -ENOMEM. */
int overlay_flatten(const struct overlay *o, char **data, size_t *len);
int overlay_unflatten(struct overlay **out, const void *data, size_t len);

#endif
