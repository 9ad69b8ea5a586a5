/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See store_op.h. */
#include "daemon/store_op.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct text {
	struct list link;
	char s[];
};

struct store_op *store_op_new(enum store_op_type type)
{
	struct store_op *op = calloc(1, sizeof(*op));

	if (!op)
		return NULL;
	op->type = type;
	list_init(&op->texts);
	return op;
}

void store_op_free(struct store_op *op)
{
	struct list *at;

	if (!op)
		return;
	while ((at = list_pop(&op->texts)) != NULL)
		free(container_of(at, struct text, link));
	free(op->decisions);
	free(op->events);
	free(op->sets);
	free(op);
}

/* Copies of these, in one piece, that live as long as `op`. False: no memory; they are "". */
static bool keep_texts(struct store_op *op, const char **const *texts, size_t n)
{
	size_t len = 0;
	struct text *t;
	char *at;

	for (size_t i = 0; i < n; i++)
		len += *texts[i] ? strlen(*texts[i]) + 1 : 1;
	t = malloc(sizeof(*t) + len);
	if (t)
		list_add_tail(&op->texts, &t->link);
	at = t ? t->s : NULL;
	for (size_t i = 0; i < n; i++) {
		size_t size = *texts[i] ? strlen(*texts[i]) + 1 : 1;

		if (at)
			memcpy(at, *texts[i] ? *texts[i] : "", size);
		*texts[i] = at ? at : "";
		at = at ? at + size : NULL;
	}
	return t != NULL;
}

static bool keep_decision(struct store_op *op, struct store_decision *d)
{
	const char **const texts[] = {&d->layer, &d->rule, &d->by, &d->why};

	return keep_texts(op, texts, 4);
}

static bool keep_bytes(struct store_op *op, const void **data, size_t size)
{
	struct text *t = size ? malloc(sizeof(*t) + size) : NULL;

	if (!t)
		return !size;
	memcpy(t->s, *data, size);
	list_add_tail(&op->texts, &t->link);
	*data = t->s;
	return true;
}

static bool keep_set(struct store_op *op, struct store_set *s)
{
	const char **const texts[] = {&s->set, &s->by, &s->why};

	return keep_bytes(op, &s->spans, s->size) && keep_texts(op, texts, 3);
}

static bool keep_event(struct store_op *op, struct store_event *e)
{
	const char **const texts[] = {&e->interface, &e->authority, &e->layer, &e->rule,
				      &e->file,      &e->by,        &e->why};

	return keep_texts(op, texts, sizeof(texts) / sizeof(texts[0]));
}

struct store_op *store_op_decision(const struct store_decision *d)
{
	struct store_op *op = store_op_new(OP_DECISION);

	if (!op)
		return NULL;
	op->u.decision = *d;
	keep_decision(op, &op->u.decision); /* without a text it is a decision all the same */
	return op;
}

struct store_op *store_op_set(const struct store_set *s)
{
	struct store_op *op = store_op_new(OP_SET);

	if (!op)
		return NULL;
	op->u.set = *s;
	if (keep_set(op, &op->u.set))
		return op;
	store_op_free(op);
	return NULL;
}

static bool on_set(void *ctx, const struct store_set *s);

struct store_op *store_op_state(const char *set, const struct store_set *s, size_t n)
{
	struct store_op *op = store_op_new(OP_STATE);
	const char **const name[] = {&op->u.set.set};
	bool ok;

	if (!op)
		return NULL;
	op->u.set.set = set;
	ok = keep_texts(op, name, 1);
	for (size_t i = 0; ok && i < n; i++)
		ok = on_set(op, &s[i]) && !op->status;
	if (ok)
		return op;
	store_op_free(op);
	return NULL;
}

static int run_state(struct store_op *op, struct store_db *db)
{
	int r = store_db_set_clear(db, op->u.set.set);

	for (size_t i = 0; !r && i < op->n; i++)
		r = store_db_set(db, &op->sets[i]);
	return r;
}

struct store_op *store_op_event(const struct store_event *e)
{
	struct store_op *op = store_op_new(OP_EVENT);

	if (!op)
		return NULL;
	op->u.event = *e;
	keep_event(op, &op->u.event);
	return op;
}

/* Room for one more result of that size. */
static void *grow(struct store_op *op, void *array, size_t size)
{
	size_t cap = op->cap ? 2 * op->cap : 64;
	void *p;

	if (op->n < op->cap)
		return array;
	p = realloc(array, cap * size);
	if (!p) {
		op->status = -ENOMEM;
		return NULL;
	}
	op->cap = cap;
	return p;
}

static bool on_decision(void *ctx, const struct store_decision *d)
{
	struct store_op *op = ctx;
	struct store_decision *all = grow(op, op->decisions, sizeof(*all));

	if (!all)
		return false;
	op->decisions = all;
	all[op->n] = *d;
	if (!keep_decision(op, &all[op->n++]))
		op->status = -ENOMEM;
	return true;
}

static void on_event(void *ctx, const struct store_found *f)
{
	struct store_op *op = ctx;
	struct store_found *all = grow(op, op->events, sizeof(*all));

	if (!all)
		return;
	op->events = all;
	all[op->n] = *f;
	if (!keep_event(op, &all[op->n++].e))
		op->status = -ENOMEM;
}

static bool on_set(void *ctx, const struct store_set *s)
{
	struct store_op *op = ctx;
	struct store_set *all = grow(op, op->sets, sizeof(*all));

	if (!all)
		return false;
	op->sets = all;
	all[op->n] = *s;
	if (keep_set(op, &all[op->n]))
		op->n++;
	else
		op->status = -ENOMEM;
	return true;
}

int store_op_run(struct store_op *op, struct store_db *db)
{
	switch (op->type) {
	case OP_DECISION:
		return store_db_decision(db, &op->u.decision);
	case OP_DROP:
		return store_db_drop(db, &op->u.key);
	case OP_FORGET:
		return store_db_forget(db, &op->u.which);
	case OP_EVENT:
		return store_db_event(db, &op->u.event);
	case OP_SET:
		return store_db_set(db, &op->u.set);
	case OP_STATE:
		return run_state(op, db);
	case OP_SETS:
		return store_db_sets(db, op->u.now_ms / 1000, on_set, op);
	case OP_SYNC:
		return 0;
	case OP_LOAD:
		return store_db_load(db, op->u.now_ms, on_decision, op);
	case OP_QUERY:
		return store_db_query(db, &op->u.query, on_event, op);
	}
	return -EINVAL;
}

void store_op_tell(struct store_op *op)
{
	if (op->done)
		op->done(op->ctx, op->tag, op->status, op->error);
	if (op->loaded)
		op->loaded(op->ctx, op->status, op->decisions, op->n);
	if (op->told)
		op->told(op->ctx, op->status, op->sets, op->n);
	if (op->found)
		op->found(op->ctx, op->tag, op->status, op->events, op->n);
}
