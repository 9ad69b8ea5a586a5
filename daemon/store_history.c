/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What was decided: written, asked for and cleared up; see store_db.h. */
#include "daemon/store_db_impl.h"
#include "core/flow.h"
#include <string.h>

/* FNV-1a, ends included: the rule's identity in the file. */
static uint64_t hash_text(uint64_t h, const char *s)
{
	do
		h = (h ^ (uint8_t)*s) * 0x100000001b3ull;
	while (*s++);
	return h;
}

static uint64_t rule_hash(const struct store_event *e)
{
	uint64_t h = hash_text(0xcbf29ce484222325ull, e->layer);

	h = hash_text(hash_text(h, e->rule), e->file);
	return (h ^ e->line) * 0x100000001b3ull;
}

static int rule_find(struct store_db *db, uint64_t hash, int64_t *id)
{
	sqlite3_stmt *s = db->stmt[SQL_RULE_FIND];
	int code;

	sqlite3_bind_int64(s, 1, (int64_t)hash);
	code = sqlite3_step(s);
	if (code == SQLITE_ROW)
		*id = sqlite3_column_int64(s, 0);
	sqlite3_reset(s);
	return code == SQLITE_ROW ? 0 : store_sql_errno(db);
}

/* The number of the rule's text in the file; 0: it has none. */
static int rule_id(struct store_db *db, const struct store_event *e, int64_t *id)
{
	uint64_t hash = rule_hash(e);
	sqlite3_stmt *s = db->stmt[SQL_RULE_ADD];
	int r;

	*id = 0;
	if (!*e->rule)
		return 0;
	if (db->rule[hash % STORE_RULES].hash == hash) {
		*id = db->rule[hash % STORE_RULES].id;
		return 0;
	}
	sqlite3_bind_int64(s, 1, (int64_t)hash);
	store_sql_text(s, 2, e->layer);
	store_sql_text(s, 3, e->rule);
	store_sql_text(s, 4, e->file);
	sqlite3_bind_int64(s, 5, e->line);
	r = store_sql_run(db, SQL_RULE_ADD);
	if (!r)
		r = rule_find(db, hash, id);
	if (r)
		return r;
	db->rule[hash % STORE_RULES].hash = hash;
	db->rule[hash % STORE_RULES].id = *id;
	return 0;
}

static void bind_some(sqlite3_stmt *s, int at, const char *text)
{
	if (*text)
		store_sql_text(s, at, text);
}

int store_db_event(struct store_db *db, const struct store_event *e)
{
	sqlite3_stmt *s = db->stmt[SQL_EVENT];
	int64_t rule;
	int r = rule_id(db, e, &rule);

	if (r)
		return r;
	sqlite3_bind_int64(s, 1, e->time_ms);
	sqlite3_bind_int64(s, 2, (int64_t)e->context);
	sqlite3_bind_int(s, 3, e->family);
	sqlite3_bind_int(s, 4, e->protocol);
	store_sql_addr(s, 5, e->source, e->family);
	sqlite3_bind_int(s, 6, e->source_port);
	store_sql_addr(s, 7, e->dest, e->family);
	sqlite3_bind_int(s, 8, e->dest_port);
	bind_some(s, 9, e->interface);
	if (rule)
		sqlite3_bind_int64(s, 10, rule);
	sqlite3_bind_int(s, 11, e->state);
	sqlite3_bind_int(s, 12, e->verdict);
	sqlite3_bind_int64(s, 13, e->reason);
	bind_some(s, 14, e->by);
	bind_some(s, 15, e->why);
	sqlite3_bind_int64(s, 16, e->pended_ms);
	bind_some(s, 17, e->authority);
	return store_sql_run(db, SQL_EVENT);
}

/* ---- asking ---- */

static void read_event(sqlite3_stmt *s, struct store_found *f)
{
	struct store_event *e = &f->e;

	memset(f, 0, sizeof(*f));
	f->id = sqlite3_column_int64(s, 0);
	e->time_ms = sqlite3_column_int64(s, 1);
	e->context = (pend_context)sqlite3_column_int64(s, 2);
	e->family = sqlite3_column_int(s, 3) == FLOW_V6 ? FLOW_V6 : FLOW_V4;
	e->protocol = (uint8_t)sqlite3_column_int(s, 4);
	store_sql_get_addr(s, 5, e->family, e->source);
	e->source_port = (uint16_t)sqlite3_column_int(s, 6);
	store_sql_get_addr(s, 7, e->family, e->dest);
	e->dest_port = (uint16_t)sqlite3_column_int(s, 8);
	e->interface = store_sql_get_text(s, 9);
	e->state = (uint8_t)sqlite3_column_int(s, 10);
	e->verdict = (uint8_t)sqlite3_column_int(s, 11);
	e->reason = (uint32_t)sqlite3_column_int64(s, 12);
	e->by = store_sql_get_text(s, 13);
	e->why = store_sql_get_text(s, 14);
	e->pended_ms = sqlite3_column_int64(s, 15);
	e->authority = store_sql_get_text(s, 16);
	e->layer = store_sql_get_text(s, 17);
	e->rule = store_sql_get_text(s, 18);
	e->file = store_sql_get_text(s, 19);
	e->line = (uint32_t)sqlite3_column_int64(s, 20);
}

int store_db_query(struct store_db *db, const struct store_query *q,
		   void (*fn)(void *ctx, const struct store_found *f), void *ctx)
{
	sqlite3_stmt *s = db->stmt[SQL_QUERY];
	struct store_found f;
	int code;

	sqlite3_bind_int(s, 1, q->family);
	store_sql_range(s, 2, 3, q->source, q->family ? q->family : FLOW_V4, q->prefix_len);
	sqlite3_bind_int64(s, 4, q->since_ms);
	sqlite3_bind_int64(s, 5, q->until_ms);
	store_sql_text(s, 6, q->rule);
	store_sql_text(s, 7, q->authority);
	sqlite3_bind_int(s, 8, q->verdict);
	sqlite3_bind_int64(s, 9, q->before);
	sqlite3_bind_int64(s, 10, q->limit);
	while ((code = sqlite3_step(s)) == SQLITE_ROW) {
		read_event(s, &f);
		fn(ctx, &f);
	}
	sqlite3_reset(s);
	return code == SQLITE_DONE ? 0 : store_sql_errno(db);
}

/* ---- clearing up ---- */

static int events_kept(struct store_db *db, int64_t *n)
{
	sqlite3_stmt *s = db->stmt[SQL_COUNT];
	int code = sqlite3_step(s);

	*n = code == SQLITE_ROW ? sqlite3_column_int64(s, 0) : 0;
	sqlite3_reset(s);
	return code == SQLITE_ROW ? 0 : store_sql_errno(db);
}

/* sqlite3_changes() is of the last statement that changes rows: each asks for it at once. */
static int prune(struct store_db *db, enum store_sql which, int64_t when, int64_t most, bool *more)
{
	sqlite3_stmt *s = db->stmt[which];
	int r;

	if (which == SQL_MANY) {
		sqlite3_bind_int64(s, 1, most);
	} else {
		sqlite3_bind_int64(s, 1, when);
		sqlite3_bind_int64(s, 2, most);
	}
	r = store_sql_run(db, which);
	*more = *more || (!r && sqlite3_changes(db->sql) >= STORE_PRUNE_STEP);
	db->gone = db->gone || (!r && which != SQL_ENDED && sqlite3_changes(db->sql) > 0);
	return r;
}

/*
 * The texts of rules that no event refers to any more, every change of a policy leaves some: now and then,
 * for each that is still referred to is looked at.
 */
static int tidy_rules(struct store_db *db, int64_t now_ms, bool *more)
{
	int64_t age = now_ms - db->tidy_ms; /* negative: the clock was set back */
	int r;

	if (!db->gone || (age >= 0 && age < STORE_TIDY_MS))
		return 0;
	sqlite3_bind_int64(db->stmt[SQL_RULE_TIDY], 1, STORE_PRUNE_STEP);
	r = store_sql_run(db, SQL_RULE_TIDY);
	if (r)
		return r;
	if (sqlite3_changes(db->sql))
		memset(db->rule, 0, sizeof(db->rule)); /* their numbers may be given again */
	if (sqlite3_changes(db->sql) >= STORE_PRUNE_STEP) {
		*more = true;
		return 0;
	}
	db->gone = false;
	db->tidy_ms = now_ms;
	return 0;
}

int store_db_prune(struct store_db *db, int64_t now_ms, int64_t oldest_ms, uint64_t most,
		   bool *more)
{
	int64_t kept;
	int r;

	*more = false;
	sqlite3_bind_int64(db->stmt[SQL_SET_ENDED], 1, now_ms / 1000);
	r = store_sql_run(db, SQL_SET_ENDED);
	if (!r)
		r = prune(db, SQL_ENDED, now_ms, STORE_PRUNE_STEP, more);
	if (!r)
		r = prune(db, SQL_OLD, oldest_ms, STORE_PRUNE_STEP, more);
	if (!r)
		r = events_kept(db, &kept);
	if (!r && kept > (int64_t)most) {
		kept -= (int64_t)most;
		r = prune(db, SQL_MANY, 0, kept < STORE_PRUNE_STEP ? kept : STORE_PRUNE_STEP, more);
	}
	return r ? r : tidy_rules(db, now_ms, more);
}
