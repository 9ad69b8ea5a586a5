/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What stands in a state file. */
#ifndef TESTS_STORE_ASK_H
#define TESTS_STORE_ASK_H

#include "unit.h"
#include <sqlite3.h>

/* By another connection, which sees what is committed. */
static inline int64_t store_ask(const char *file, const char *text)
{
	sqlite3_stmt *q = NULL;
	sqlite3 *s = NULL;
	int64_t v;

	ck_assert_int_eq(sqlite3_open(file, &s), SQLITE_OK);
	ck_assert_int_eq(sqlite3_prepare_v2(s, text, -1, &q, NULL), SQLITE_OK);
	ck_assert_int_eq(sqlite3_step(q), SQLITE_ROW);
	v = sqlite3_column_int64(q, 0);
	sqlite3_finalize(q);
	sqlite3_close(s);
	return v;
}

#endif
