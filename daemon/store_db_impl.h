/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Inside the database: store_db.c has the file and the decisions, store_history.c the events. */
#ifndef DAEMON_STORE_DB_IMPL_H
#define DAEMON_STORE_DB_IMPL_H

#include "daemon/store_db.h"
#include <sqlite3.h>

#define STORE_PRUNE_STEP 500
#define STORE_RULES      256 /* texts whose numbers are known without asking */
#define STORE_TIDY_MS    60000

enum store_sql {
	SQL_BEGIN,
	SQL_COMMIT,
	SQL_ROLLBACK,
	SQL_DECISION,
	SQL_DECISION_NEW,
	SQL_DROP,
	SQL_FORGET,
	SQL_LOAD,
	SQL_ENDED,
	SQL_RULE_ADD,
	SQL_RULE_FIND,
	SQL_EVENT,
	SQL_QUERY,
	SQL_OLD,
	SQL_COUNT,
	SQL_MANY,
	SQL_RULE_TIDY,
	SQL_SET_ADD,
	SQL_SET_CLEAR,
	SQL_SET_LOAD,
	SQL_SET_ENDED,
	SQL_STATEMENTS,
};

struct store_db {
	sqlite3 *sql;
	sqlite3_stmt *stmt[SQL_STATEMENTS];
	struct {
		uint64_t hash;
		int64_t id; /* 0: none */
	} rule[STORE_RULES];
	bool gone;       /* events: there may be rules that none refers to */
	int64_t tidy_ms; /* when such rules were looked for */
};

/* Steps a statement that returns nothing; resets it. 0 or -errno. */
int store_sql_run(struct store_db *db, enum store_sql which);
int store_sql_errno(const struct store_db *db);
void store_sql_text(sqlite3_stmt *s, int at, const char *text);
void store_sql_addr(sqlite3_stmt *s, int at, const uint8_t addr[16], uint8_t family);
/* What is not as it should be is left 0. */
void store_sql_get_addr(sqlite3_stmt *s, int at, uint8_t family, uint8_t out[16]);
const char *store_sql_get_text(sqlite3_stmt *s, int at); /* "" for NULL */
/* The addresses of a prefix, as the database compares them. */
void store_sql_range(sqlite3_stmt *s, int lo, int hi, const uint8_t source[16], uint8_t family,
		     uint8_t prefix_len);

#endif
