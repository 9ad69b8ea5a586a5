/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See notes.h. */
#include "daemon/notes.h"
#include "base/htable.h"
#include "base/list.h"
#include "base/siphash.h"
#include "daemon/msg.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

struct note {
	struct hnode node;
	uint32_t number;
	size_t why;  /* where it begins in `text` */
	char text[]; /* who, NUL, why, NUL */
};

struct notes {
	struct siphash_key key;
	struct htable table;
	uint32_t last;
	struct note *kept[NOTES_KEPT]; /* by number */
};

/* The text of a note as it is kept and compared. */
struct words {
	char text[NOTES_BY_MAX + NOTES_WHY_MAX + 2];
	size_t why, len;
};

static void words_of(const char *by, const char *why, struct words *w)
{
	w->why = strnlen(by, NOTES_BY_MAX) + 1;
	memcpy(w->text, by, w->why - 1);
	w->text[w->why - 1] = '\0';
	w->len = w->why + strnlen(why, NOTES_WHY_MAX) + 1;
	memcpy(w->text + w->why, why, w->len - w->why - 1);
	w->text[w->len - 1] = '\0';
}

int notes_new(struct notes **out)
{
	struct notes *n = calloc(1, sizeof(*n));
	int r = n ? htable_init(&n->table, NOTES_KEPT) : -ENOMEM;

	/* An earlier process's numbers may still be about: begin somewhere else. */
	if (!r && (getrandom(&n->key, sizeof(n->key), 0) != (ssize_t)sizeof(n->key) ||
		   getrandom(&n->last, sizeof(n->last), 0) != (ssize_t)sizeof(n->last)))
		r = -EIO;
	if (r) {
		notes_free(n);
		return r;
	}
	n->last &= MSG_NOTE_MAX;
	*out = n;
	return 0;
}

void notes_free(struct notes *n)
{
	for (uint32_t i = 0; n && i < NOTES_KEPT; i++)
		free(n->kept[i]);
	if (n)
		htable_deinit(&n->table);
	free(n);
}

static void drop(struct notes *n, uint32_t number)
{
	struct note **slot = &n->kept[number % NOTES_KEPT];

	if (*slot)
		htable_del(&n->table, &(*slot)->node);
	free(*slot);
	*slot = NULL;
}

/* One that is about to go does not count: what refers to it should live. */
static uint32_t find(const struct notes *n, const struct words *w, uint32_t hash)
{
	for (struct hnode *at = htable_first(&n->table, hash); at; at = htable_next(at, hash)) {
		const struct note *o = container_of(at, struct note, node);

		if (o->why == w->why && !memcmp(o->text, w->text, w->why) &&
		    !strcmp(o->text + o->why, w->text + w->why) &&
		    ((n->last - o->number) & MSG_NOTE_MAX) < NOTES_KEPT / 2)
			return o->number;
	}
	return 0;
}

uint32_t notes_add(struct notes *n, const char *by, const char *why)
{
	struct note *o;
	struct words w;
	uint32_t hash, number;

	words_of(by ? by : "", why ? why : "", &w);
	if (w.len == 2)
		return 0;
	hash = (uint32_t)siphash13(&n->key, w.text, w.len);
	number = find(n, &w, hash);
	if (number)
		return number;
	o = malloc(sizeof(*o) + w.len);
	if (!o)
		return 0;
	n->last = n->last == MSG_NOTE_MAX ? 1 : n->last + 1;
	*o = (struct note){.number = n->last, .why = w.why};
	memcpy(o->text, w.text, w.len);
	drop(n, o->number);
	n->kept[o->number % NOTES_KEPT] = o;
	htable_add(&n->table, &o->node, hash);
	return o->number;
}

bool notes_find(const struct notes *n, uint32_t number, const char **by, const char **why)
{
	const struct note *o = n && number ? n->kept[number % NOTES_KEPT] : NULL;
	bool known = o && o->number == number;

	*by = known ? o->text : "";
	*why = known ? o->text + o->why : "";
	return known;
}
