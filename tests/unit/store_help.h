/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A store in a folder of its own, and what goes in: for the tests of the database and of its thread. */
#ifndef TESTS_STORE_HELP_H
#define TESTS_STORE_HELP_H

#include "unit.h"
#include "daemon/msg.h"
#include "daemon/overlay.h"
#include "daemon/store.h"
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define HOUR (3600 * INT64_C(1000))

static char dir[64], path[96];
static struct store_db *db;
static struct store *st;
static struct loop *l;

static inline void setup(void)
{
	snprintf(dir, sizeof(dir), "/tmp/pend-store-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/state.db", dir);
	db = NULL;
	st = NULL;
	ck_assert_int_eq(loop_new(&l), 0);
}

static inline void teardown(void)
{
	glob_t g;

	store_free(st);
	store_db_close(db);
	loop_free(l);
	strcat(path, "*");
	if (glob(path, 0, NULL, &g) == 0)
		for (size_t i = 0; i < g.gl_pathc; i++)
			unlink(g.gl_pathv[i]);
	globfree(&g);
	ck_assert_int_eq(rmdir(dir), 0);
}

static inline enum store_open open_at(const char *where, char *text)
{
	struct err e = {0};
	enum store_open o = store_db_open(&db, where, &e);

	if (text)
		strcpy(text, e.text);
	return o;
}

static inline void reopen(void)
{
	store_db_close(db);
	db = NULL;
	ck_assert_int_eq(open_at(path, NULL), STORE_OPEN_OK);
}

static inline struct store_decision decision(uint8_t n, int64_t since, int64_t until)
{
	struct store_decision d = {.since_ms = since,
				   .until_ms = until,
				   .layer = "default",
				   .rule = "pend proto tcp",
				   .by = "root",
				   .why = "ticket 4711"};
	uint8_t src[16] = {203, 0, 113, n}, dst[16] = {192, 0, 2, 1};

	d.e.k = remembered_key_of(77 + n % 2, CLASSIFY_SCOPE_FLOW, 4, 6, src, 4000, dst, 22);
	d.e.v.verdict = n % 2 ? PEND_VERDICT_BLOCK : PEND_VERDICT_PERMIT;
	d.e.v.reason = REASON_OPERATOR;
	return d;
}

static inline struct store_event event(unsigned n)
{
	return (struct store_event){.time_ms = 1000000 + n,
				    .pended_ms = 7,
				    .context = n + 1,
				    .family = 4,
				    .protocol = 6,
				    .state = PEND_STATE_BLOCKED,
				    .verdict = n % 2 ? PEND_VERDICT_BLOCK : PEND_VERDICT_PERMIT,
				    .reason = REASON_AUTHORITY,
				    .source_port = 4000,
				    .dest_port = 22,
				    .source = {203, 0, 113, (uint8_t)n},
				    .dest = {192, 0, 2, 1},
				    .interface = "eth0",
				    .authority = n % 3 ? "idp" : "ops",
				    .layer = "default",
				    .rule = n % 5 ? "pend proto tcp" : "pend proto udp",
				    .file = "p",
				    .line = 3,
				    .by = "idp",
				    .why = "known"};
}

static struct store_decision got[300];
static char texts[300][4][64];
static unsigned ngot;

static inline bool take(void *ctx, const struct store_decision *d)
{
	(void)ctx;
	ck_assert_uint_lt(ngot, 300);
	got[ngot] = *d;
	snprintf(texts[ngot][0], 64, "%s", d->layer);
	snprintf(texts[ngot][1], 64, "%s", d->rule);
	snprintf(texts[ngot][2], 64, "%s", d->by);
	snprintf(texts[ngot][3], 64, "%s", d->why);
	ngot++;
	return true;
}

static inline unsigned load(int64_t now)
{
	ngot = 0;
	ck_assert_int_eq(store_db_load(db, now, take, NULL), 0);
	return ngot;
}

static inline void write_decision(const struct store_decision *d)
{
	ck_assert_int_eq(store_db_begin(db), 0);
	ck_assert_int_eq(store_db_decision(db, d), 0);
	ck_assert_int_eq(store_db_commit(db), 0);
}

/* ---- history ---- */

static struct store_found found[300];
static char found_rule[300][64], found_why[64];
static unsigned nfound;

static inline void take_found(void *ctx, const struct store_found *f)
{
	(void)ctx;
	ck_assert_uint_lt(nfound, 300);
	found[nfound] = *f;
	snprintf(found_rule[nfound], 64, "%s", f->e.rule);
	snprintf(found_why, 64, "%s", f->e.why);
	nfound++;
}

static inline unsigned query(struct store_query q)
{
	nfound = 0;
	ck_assert_int_eq(store_db_query(db, &q, take_found, NULL), 0);
	return nfound;
}

static inline void write_events(unsigned n)
{
	ck_assert_int_eq(store_db_begin(db), 0);
	for (unsigned i = 0; i < n; i++) {
		struct store_event e = event(i);

		ck_assert_int_eq(store_db_event(db, &e), 0);
	}
	ck_assert_int_eq(store_db_commit(db), 0);
}

/* ---- sets ---- */

static struct store_set sets[16];
static char set_name[16][OVERLAY_NAME];
static unsigned nsets;

static inline bool take_set(void *ctx, const struct store_set *s)
{
	(void)ctx;
	ck_assert_uint_lt(nsets, 16);
	snprintf(set_name[nsets], OVERLAY_NAME, "%s", s->set);
	sets[nsets++] = *s;
	return true;
}

static inline unsigned load_sets(int64_t now)
{
	nsets = 0;
	ck_assert_int_eq(store_db_sets(db, now, take_set, NULL), 0);
	return nsets;
}

static inline int change(const char *set, enum overlay_action action, uint8_t n, int64_t until)
{
	static struct policy_span span;
	struct store_set s = {.set = set,
			      .action = (uint8_t)action,
			      .since_s = 5,
			      .until_s = until,
			      .spans = &span,
			      .size = n ? sizeof(span) : 0,
			      .by = "root",
			      .why = ""};

	span = (struct policy_span){.family = 4, .lo = {10, 0, 0, n}, .hi = {10, 0, 0, n}};
	return store_db_set(db, &s);
}

static inline void sql(const char *text)
{
	sqlite3 *s = NULL;

	ck_assert_int_eq(sqlite3_open(path, &s), SQLITE_OK);
	ck_assert_int_eq(sqlite3_exec(s, text, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(s);
}

#endif
