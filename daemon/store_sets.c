/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Changes of sets that stay: the log of them, to be done again at start; see store_db.h. */
#include "daemon/overlay.h"
#include "daemon/store_db_impl.h"
#include <errno.h>

int store_db_set_clear(struct store_db *db, const char *set)
{
	store_sql_text(db->stmt[SQL_SET_CLEAR], 1, set);
	return store_sql_run(db, SQL_SET_CLEAR);
}

int store_db_set(struct store_db *db, const struct store_set *c)
{
	sqlite3_stmt *s = db->stmt[SQL_SET_ADD];
	bool all = c->action == OVERLAY_FLUSH || c->action == OVERLAY_LOAD;
	int r = all ? store_db_set_clear(db, c->set) : 0;

	if (r)
		return r;
	store_sql_text(s, 1, c->set);
	sqlite3_bind_int(s, 2, c->action);
	sqlite3_bind_int64(s, 3, c->since_s);
	sqlite3_bind_int64(s, 4, c->until_s);
	sqlite3_bind_int64(s, 5, c->uid);
	sqlite3_bind_blob64(s, 6, c->size ? c->spans : "", c->size, SQLITE_STATIC);
	store_sql_text(s, 7, c->by);
	store_sql_text(s, 8, c->why);
	return store_sql_run(db, SQL_SET_ADD);
}

/* A file is not believed. */
static bool read_set(sqlite3_stmt *s, struct store_set *c)
{
	int64_t action = sqlite3_column_int64(s, 1), uid = sqlite3_column_int64(s, 4);

	*c = (struct store_set){.set = store_sql_get_text(s, 0),
				.action = (uint8_t)action,
				.since_s = sqlite3_column_int64(s, 2),
				.until_s = sqlite3_column_int64(s, 3),
				.uid = (uint32_t)uid,
				.spans = sqlite3_column_blob(s, 5),
				.size = (size_t)sqlite3_column_bytes(s, 5),
				.by = store_sql_get_text(s, 6),
				.why = store_sql_get_text(s, 7)};
	return action >= OVERLAY_ADD && action <= OVERLAY_LOAD && uid >= 0 && uid <= UINT32_MAX &&
	       c->since_s >= 0 && c->until_s >= 0 && c->size % sizeof(struct policy_span) == 0 &&
	       policy_spans_valid(c->spans, c->size / sizeof(struct policy_span));
}

int store_db_sets(struct store_db *db, int64_t now_s,
		  bool (*fn)(void *ctx, const struct store_set *s), void *ctx)
{
	sqlite3_stmt *s = db->stmt[SQL_SET_LOAD];
	struct store_set c;
	int code, r;

	sqlite3_bind_int64(s, 1, now_s);
	while ((code = sqlite3_step(s)) == SQLITE_ROW)
		if (read_set(s, &c) && !fn(ctx, &c))
			break;
	r = code == SQLITE_ROW || code == SQLITE_DONE ? 0 : store_sql_errno(db);
	sqlite3_reset(s);
	return r;
}
