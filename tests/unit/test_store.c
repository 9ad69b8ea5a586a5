/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The store: what is written is there again, by a thread and without; full queues; files that are none of ours. */
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

static void setup(void)
{
	snprintf(dir, sizeof(dir), "/tmp/pend-store-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/state.db", dir);
	db = NULL;
	st = NULL;
	ck_assert_int_eq(loop_new(&l), 0);
}

static void teardown(void)
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

static enum store_open open_at(const char *where, char *text)
{
	struct err e = {0};
	enum store_open o = store_db_open(&db, where, &e);

	if (text)
		strcpy(text, e.text);
	return o;
}

static void reopen(void)
{
	store_db_close(db);
	db = NULL;
	ck_assert_int_eq(open_at(path, NULL), STORE_OPEN_OK);
}

static struct store_decision decision(uint8_t n, int64_t since, int64_t until)
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

static struct store_event event(unsigned n)
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

static bool take(void *ctx, const struct store_decision *d)
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

static unsigned load(int64_t now)
{
	ngot = 0;
	ck_assert_int_eq(store_db_load(db, now, take, NULL), 0);
	return ngot;
}

static void write_decision(const struct store_decision *d)
{
	ck_assert_int_eq(store_db_begin(db), 0);
	ck_assert_int_eq(store_db_decision(db, d), 0);
	ck_assert_int_eq(store_db_commit(db), 0);
}

/* ---- the database ---- */

START_TEST(a_decision_is_there_again)
{
	struct store_decision d = decision(7, 1000, 1000 + HOUR);
	struct stat s;

	ck_assert_int_eq(open_at(path, NULL), STORE_OPEN_OK);
	write_decision(&d);
	reopen();
	ck_assert_uint_eq(load(2000), 1);
	ck_assert_mem_eq(&got[0].e.k, &d.e.k, sizeof(d.e.k));
	ck_assert_int_eq(got[0].e.v.verdict, PEND_VERDICT_BLOCK);
	ck_assert_int_eq(got[0].e.v.reason, REASON_OPERATOR);
	ck_assert_int_eq(got[0].since_ms, 1000);
	ck_assert_int_eq(got[0].until_ms, 1000 + HOUR);
	ck_assert_str_eq(texts[0][0], "default");
	ck_assert_str_eq(texts[0][1], "pend proto tcp");
	ck_assert_str_eq(texts[0][2], "root");
	ck_assert_str_eq(texts[0][3], "ticket 4711");
	ck_assert_uint_eq(load(1000 + HOUR), 0); /* it is over */
	ck_assert_int_eq(stat(path, &s), 0);
	ck_assert_int_eq(s.st_mode & 0777, 0600);
	/* the same again is another word, and takes its place */
	d.until_ms += HOUR;
	d.e.v.verdict = PEND_VERDICT_PERMIT;
	write_decision(&d);
	ck_assert_uint_eq(load(2000), 1);
	ck_assert_int_eq(got[0].e.v.verdict, PEND_VERDICT_PERMIT);
	ck_assert_int_eq(store_db_drop(db, &d.e.k), 0);
	ck_assert_uint_eq(load(2000), 0);
}
END_TEST

START_TEST(an_older_word_does_not_replace_a_newer_one)
{
	struct store_decision d = decision(7, 1000, 1000 + HOUR);

	ck_assert_int_eq(open_at("", NULL), STORE_OPEN_OK);
	write_decision(&d);
	d.until_ms += HOUR;
	d.if_new = true;
	write_decision(&d);
	ck_assert_uint_eq(load(2000), 1);
	ck_assert_int_eq(got[0].until_ms, 1000 + HOUR);
	d.e.k.source_port++;
	write_decision(&d);
	ck_assert_uint_eq(load(2000), 2);
}
END_TEST

START_TEST(what_was_not_committed_is_not_there)
{
	struct store_decision d = decision(7, 1000, 1000 + HOUR);

	ck_assert_int_eq(open_at(path, NULL), STORE_OPEN_OK);
	ck_assert_int_eq(store_db_begin(db), 0);
	ck_assert_int_eq(store_db_decision(db, &d), 0);
	store_db_rollback(db);
	store_db_rollback(db); /* idempotent */
	reopen();
	ck_assert_uint_eq(load(2000), 0);
}
END_TEST

START_TEST(forget_by_rule_and_source)
{
	struct store_which w = {.rule = 78};

	ck_assert_int_eq(open_at("", NULL), STORE_OPEN_OK);
	for (uint8_t n = 0; n < 20; n++) {
		struct store_decision d = decision(n, 1000, 1000 + HOUR);

		write_decision(&d);
	}
	ck_assert_int_eq(store_db_forget(db, &w), 0); /* odd ones */
	ck_assert_uint_eq(load(2000), 10);
	w = (struct store_which){.family = 4, .prefix_len = 29, .source = {203, 0, 113, 3}};
	ck_assert_int_eq(store_db_forget(db, &w), 0); /* 0 to 7 */
	ck_assert_uint_eq(load(2000), 6);
	w.family = 6;
	w.prefix_len = 0;
	ck_assert_int_eq(store_db_forget(db, &w), 0);
	ck_assert_uint_eq(load(2000), 6);
	w.family = 0;
	ck_assert_int_eq(store_db_forget(db, &w), 0);
	ck_assert_uint_eq(load(2000), 0);
}
END_TEST

/* ---- history ---- */

static struct store_found found[300];
static char found_rule[300][64], found_why[64];
static unsigned nfound;

static void take_found(void *ctx, const struct store_found *f)
{
	(void)ctx;
	ck_assert_uint_lt(nfound, 300);
	found[nfound] = *f;
	snprintf(found_rule[nfound], 64, "%s", f->e.rule);
	snprintf(found_why, 64, "%s", f->e.why);
	nfound++;
}

static unsigned query(struct store_query q)
{
	nfound = 0;
	ck_assert_int_eq(store_db_query(db, &q, take_found, NULL), 0);
	return nfound;
}

static void write_events(unsigned n)
{
	ck_assert_int_eq(store_db_begin(db), 0);
	for (unsigned i = 0; i < n; i++) {
		struct store_event e = event(i);

		ck_assert_int_eq(store_db_event(db, &e), 0);
	}
	ck_assert_int_eq(store_db_commit(db), 0);
}

START_TEST(history_and_its_filters)
{
	struct store_query q = {.verdict = -1, .limit = 1000};

	ck_assert_int_eq(open_at(path, NULL), STORE_OPEN_OK);
	write_events(200);
	reopen();
	ck_assert_uint_eq(query(q), 200);
	ck_assert_int_eq(found[0].e.time_ms, 1000199); /* newest first */
	ck_assert_uint_eq(found[0].e.context, 200);
	ck_assert_uint_eq(found[0].e.line, 3);
	ck_assert_int_eq(found[0].e.source[3], 199);
	ck_assert_str_eq(found_rule[199], "pend proto udp");
	ck_assert_str_eq(found_why, "known");
	q.limit = 10;
	ck_assert_uint_eq(query(q), 10);
	q.before = found[9].id;
	ck_assert_uint_eq(query(q), 10);
	ck_assert_int_eq(found[0].e.time_ms, 1000189);
	q = (struct store_query){.verdict = PEND_VERDICT_BLOCK, .limit = 1000};
	ck_assert_uint_eq(query(q), 100);
	q = (struct store_query){
		.verdict = -1, .limit = 1000, .since_ms = 1000150, .until_ms = 1000160};
	ck_assert_uint_eq(query(q), 10);
	q = (struct store_query){.verdict = -1, .limit = 1000, .rule = "udp"};
	ck_assert_uint_eq(query(q), 40);
	q = (struct store_query){.verdict = -1, .limit = 1000, .authority = "ops"};
	ck_assert_uint_eq(query(q), 67);
	q = (struct store_query){.verdict = -1, .limit = 1000, .authority = "' OR 1=1 --"};
	ck_assert_uint_eq(query(q), 0);
	q = (struct store_query){.verdict = -1,
				 .limit = 1000,
				 .family = 4,
				 .prefix_len = 30,
				 .source = {203, 0, 113, 9}};
	ck_assert_uint_eq(query(q), 4);
	q.family = 6;
	ck_assert_uint_eq(query(q), 0);
}
END_TEST

START_TEST(clearing_up)
{
	struct store_query q = {.verdict = -1, .limit = 1000};
	struct store_decision d = decision(1, 1000, 2000);
	bool more = false;

	ck_assert_int_eq(open_at("", NULL), STORE_OPEN_OK);
	write_decision(&d);
	d = decision(2, 1000, 1000 + HOUR);
	write_decision(&d);
	write_events(200);
	ck_assert_int_eq(store_db_prune(db, 3000, 1000050, 1000, &more), 0);
	ck_assert(!more);
	ck_assert_uint_eq(query(q), 150);
	ck_assert_uint_eq(load(0), 1);
	ck_assert_int_eq(store_db_prune(db, 3000, 0, 100, &more), 0);
	ck_assert_uint_eq(query(q), 100);
	ck_assert_int_eq(found[99].e.time_ms, 1000100); /* the oldest went */
	for (unsigned i = 0; i < 10; i++)
		write_events(200);
	do
		ck_assert_int_eq(store_db_prune(db, 3000, 0, 100, &more), 0);
	while (more);
	ck_assert_uint_eq(query(q), 100);
}
END_TEST

/* By another connection, which sees what is committed. */
static int64_t ask_file(const char *text)
{
	sqlite3_stmt *q = NULL;
	sqlite3 *s = NULL;
	int64_t v;

	ck_assert_int_eq(sqlite3_open(path, &s), SQLITE_OK);
	ck_assert_int_eq(sqlite3_prepare_v2(s, text, -1, &q, NULL), SQLITE_OK);
	ck_assert_int_eq(sqlite3_step(q), SQLITE_ROW);
	v = sqlite3_column_int64(q, 0);
	sqlite3_finalize(q);
	sqlite3_close(s);
	return v;
}

START_TEST(rules_go_with_their_last_event)
{
	struct store_query q = {.verdict = -1, .limit = 1000};
	struct store_event e = event(1);
	int64_t now = 2000000;
	bool more = false;
	char rule[32];

	ck_assert_int_eq(open_at(path, NULL), STORE_OPEN_OK);
	ck_assert_int_eq(store_db_begin(db), 0);
	for (unsigned i = 0; i < 1300; i++) {
		snprintf(rule, sizeof(rule), "pend proto tcp to port %u", i);
		e.rule = rule;
		e.time_ms = 1000 + i;
		ck_assert_int_eq(store_db_event(db, &e), 0);
	}
	ck_assert_int_eq(store_db_commit(db), 0);
	ck_assert_int_eq(ask_file("SELECT count(*)FROM rule"), 1300);
	do {
		ck_assert_int_eq(store_db_prune(db, now, 2200, 100000, &more), 0);
		now += 60000;
	} while (more);
	ck_assert_int_eq(ask_file("SELECT count(*)FROM rule"), 100);
	/* one that went is known to be gone, and comes again with a number of its own */
	snprintf(rule, sizeof(rule), "pend proto tcp to port 77");
	ck_assert_int_eq(store_db_event(db, &e), 0);
	ck_assert_uint_eq(query(q), 101);
	ck_assert_str_eq(found_rule[0], "pend proto tcp to port 77");
	ck_assert_str_eq(found_rule[1], "pend proto tcp to port 1299");
	/* nothing went since: nobody looks */
	ck_assert_int_eq(store_db_prune(db, now + 600000, 0, 100000, &more), 0);
	ck_assert(!more);
}
END_TEST

/* ---- sets ---- */

static struct store_set sets[16];
static char set_name[16][OVERLAY_NAME];
static unsigned nsets;

static bool take_set(void *ctx, const struct store_set *s)
{
	(void)ctx;
	ck_assert_uint_lt(nsets, 16);
	snprintf(set_name[nsets], OVERLAY_NAME, "%s", s->set);
	sets[nsets++] = *s;
	return true;
}

static unsigned load_sets(int64_t now)
{
	nsets = 0;
	ck_assert_int_eq(store_db_sets(db, now, take_set, NULL), 0);
	return nsets;
}

static int change(const char *set, enum overlay_action action, uint8_t n, int64_t until)
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

START_TEST(changes_of_sets)
{
	ck_assert_int_eq(open_at("", NULL), STORE_OPEN_OK);
	ck_assert_int_eq(change("a", OVERLAY_ADD, 1, 0), 0);
	ck_assert_int_eq(change("a", OVERLAY_ADD, 2, 1000), 0);
	ck_assert_int_eq(change("b", OVERLAY_ADD, 3, 0), 0);
	ck_assert_int_eq(change("a", OVERLAY_DELETE, 1, 0), 0);
	ck_assert_int_eq(change("a", OVERLAY_ADD, 1, 0), 0); /* again: behind the others */
	ck_assert_uint_eq(load_sets(500), 5);
	ck_assert_int_eq(sets[1].until_s, 1000);
	ck_assert_int_eq(sets[3].action, OVERLAY_DELETE);
	ck_assert_int_eq(sets[4].action, OVERLAY_ADD);
	ck_assert_uint_eq(sets[4].size, sizeof(struct policy_span));
	ck_assert_uint_eq(load_sets(1000), 4); /* one is over */
	ck_assert_int_eq(change("a", OVERLAY_FLUSH, 0, 0), 0);
	ck_assert_uint_eq(load_sets(500), 2); /* and what stands in b */
	ck_assert_int_eq(change("a", OVERLAY_LOAD, 7, 0), 0);
	ck_assert_uint_eq(load_sets(500), 2);
}
END_TEST

START_TEST(changes_of_sets_have_no_bound)
{
	ck_assert_int_eq(open_at("", NULL), STORE_OPEN_OK);
	ck_assert_int_eq(store_db_begin(db), 0);
	for (unsigned i = 0; i < 10000; i++)
		ck_assert_int_eq(change("a", OVERLAY_ADD, 1, i < 9990 ? 1000 + i : 0), 0);
	ck_assert_int_eq(store_db_commit(db), 0);
	ck_assert_uint_eq(load_sets(1000 + 9990), 10);
}
END_TEST

/* ---- files that are not as they should be ---- */

static void sql(const char *text)
{
	sqlite3 *s = NULL;

	ck_assert_int_eq(sqlite3_open(path, &s), SQLITE_OK);
	ck_assert_int_eq(sqlite3_exec(s, text, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(s);
}

START_TEST(a_newer_or_foreign_file_is_left_alone)
{
	char text[ERR_TEXT_MAX];

	ck_assert_int_eq(open_at(path, NULL), STORE_OPEN_OK);
	store_db_close(db);
	db = NULL;
	sql("PRAGMA user_version=3");
	ck_assert_int_eq(open_at(path, text), STORE_OPEN_NEWER);
	ck_assert_ptr_nonnull(strstr(text, "version 3, and this pendd knows version 2"));
	sql("PRAGMA user_version=2;PRAGMA application_id=7");
	ck_assert_int_eq(open_at(path, text), STORE_OPEN_NEWER);
	ck_assert_ptr_nonnull(strstr(text, "none of pend's"));
	unlink(path);
	sql("CREATE TABLE address_book(name)");
	ck_assert_int_eq(open_at(path, text), STORE_OPEN_NEWER);
}
END_TEST

/* As pendd wrote it before: with a decision, a change of a set, and an event. */
static const char version_1[] =
	"PRAGMA journal_mode=WAL;"
	"CREATE TABLE decision(rule INTEGER NOT NULL,scope INTEGER NOT NULL,family INTEGER NOT NULL,"
	"protocol INTEGER NOT NULL,source BLOB NOT NULL,source_port INTEGER NOT NULL,dest BLOB NOT NULL,"
	"dest_port INTEGER NOT NULL,verdict INTEGER NOT NULL,reason INTEGER NOT NULL,ends INTEGER NOT NULL,"
	"since INTEGER NOT NULL,until INTEGER NOT NULL,layer TEXT NOT NULL,text TEXT NOT NULL,"
	"by TEXT NOT NULL,why TEXT NOT NULL,PRIMARY KEY(rule,scope,family,protocol,source,source_port,dest,"
	"dest_port))WITHOUT ROWID;"
	"CREATE INDEX decision_until ON decision(until);"
	"CREATE TABLE set_change(id INTEGER PRIMARY KEY,name TEXT NOT NULL,action INTEGER NOT NULL,"
	"since INTEGER NOT NULL,until INTEGER NOT NULL,uid INTEGER NOT NULL,spans BLOB NOT NULL,"
	"by TEXT NOT NULL,why TEXT NOT NULL);"
	"CREATE TABLE rule(id INTEGER PRIMARY KEY,hash INTEGER NOT NULL UNIQUE,layer TEXT NOT NULL,"
	"text TEXT NOT NULL,file TEXT NOT NULL,line INTEGER NOT NULL);"
	"CREATE TABLE history(id INTEGER PRIMARY KEY,time INTEGER NOT NULL,context INTEGER NOT NULL,"
	"family INTEGER NOT NULL,protocol INTEGER NOT NULL,source BLOB NOT NULL,"
	"source_port INTEGER NOT NULL,dest BLOB NOT NULL,dest_port INTEGER NOT NULL,interface TEXT,"
	"rule INTEGER,state INTEGER NOT NULL,verdict INTEGER NOT NULL,reason INTEGER NOT NULL,by TEXT,"
	"why TEXT,pended INTEGER NOT NULL,authority TEXT);"
	"CREATE INDEX history_time ON history(time);"
	"CREATE INDEX history_source ON history(source);"
	"PRAGMA user_version=1;PRAGMA application_id=1885695588;"
	"INSERT INTO decision VALUES(77,2,4,6,x'cb007107',4000,x'c0000201',22,1,3,0,1000,3601000,'default',"
	"'pend proto tcp','root','ticket');"
	"INSERT INTO set_change VALUES(1,'a',0,5,0,0,x'"
	"040a0000070000000000000000000000000a000007000000000000000000000000','root','');"
	"INSERT INTO rule VALUES(1,7,'default','pend proto tcp','p',3);"
	"INSERT INTO rule VALUES(2,8,'default','of a policy of long ago','p',3);"
	"INSERT INTO history VALUES(1,1000,1,4,6,x'cb007107',4000,x'c0000201',22,'eth0',1,3,1,3,NULL,NULL,7,"
	"NULL);";

START_TEST(an_older_file_becomes_one_of_now)
{
	struct store_query q = {.verdict = -1, .limit = 1000};
	bool more;

	sql(version_1);
	ck_assert_int_eq(open_at(path, NULL), STORE_OPEN_OK);
	ck_assert_int_eq(ask_file("PRAGMA user_version"), STORE_DB_VERSION);
	ck_assert_uint_eq(load(2000), 1);
	ck_assert_str_eq(texts[0][3], "ticket");
	ck_assert_uint_eq(load_sets(500), 1);
	ck_assert_uint_eq(query(q), 1);
	ck_assert_str_eq(found_rule[0], "pend proto tcp");
	ck_assert_int_eq(store_db_prune(db, 100000, 0, 1000, &more), 0);
	ck_assert_int_eq(ask_file("SELECT count(*)FROM rule"), 1);
	reopen();
	ck_assert_uint_eq(load(2000), 1);
	/* one that says it is older, and is not */
	store_db_close(db);
	db = NULL;
	sql("PRAGMA user_version=1;DROP TABLE history");
	ck_assert_int_eq(open_at(path, NULL), STORE_OPEN_CORRUPT);
}
END_TEST

START_TEST(a_damaged_file_is_known)
{
	char junk[8192], text[ERR_TEXT_MAX];
	int fd = open(path, O_WRONLY | O_CREAT, 0600);

	memset(junk, 'x', sizeof(junk));
	ck_assert_int_eq(write(fd, junk, sizeof(junk)), sizeof(junk));
	close(fd);
	ck_assert_int_eq(open_at(path, text), STORE_OPEN_CORRUPT);
	unlink(path);
	ck_assert_int_eq(open_at(path, NULL), STORE_OPEN_OK);
	store_db_close(db);
	db = NULL;
	sql("DROP TABLE decision");
	ck_assert_int_eq(open_at(path, text), STORE_OPEN_CORRUPT);
	ck_assert_int_eq(open_at("/nonexistent/folder/state.db", text), STORE_OPEN_FAILED);
	ck_assert_ptr_nonnull(strstr(text, "/nonexistent/folder/state.db"));
	ck_assert_int_eq(open_at(dir, text), STORE_OPEN_FAILED);
}
END_TEST

/* What no pendd has written is no decision. */
START_TEST(rows_are_not_believed)
{
	struct store_decision d = decision(2, 1000, 1000 + HOUR);
	static const char *const wrong[] = {
		"UPDATE decision SET family=5",
		"UPDATE decision SET scope=3",
		"UPDATE decision SET scope=-1",
		"UPDATE decision SET verdict=9",
		"UPDATE decision SET until=since+40000000000000",
		"UPDATE decision SET since=-5",
		"UPDATE decision SET since=until",
	};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		unlink(path);
		ck_assert_int_eq(open_at(path, NULL), STORE_OPEN_OK);
		write_decision(&d);
		ck_assert_uint_eq(load(2000), 1);
		store_db_close(db);
		db = NULL;
		sql(wrong[i]);
		ck_assert_int_eq(open_at(path, NULL), STORE_OPEN_OK);
		ck_assert_msg(load(2000) == 0, "%s", wrong[i]);
		store_db_close(db);
		db = NULL;
	}
}
END_TEST

/* ---- the thread ---- */

/* Here what is over is cleared up. */
static int64_t wall(void)
{
	return (int64_t)time(NULL) * 1000;
}

static struct {
	unsigned done, loaded, found;
	int status;
	size_t n;
	char error[160];
} seen;

static void on_done(void *ctx, uint32_t tag, int status, const char *error)
{
	ck_assert_ptr_eq(ctx, &seen);
	ck_assert_uint_eq(tag, 42);
	seen.done++;
	seen.status = status;
	snprintf(seen.error, sizeof(seen.error), "%s", error);
}

static void on_loaded(void *ctx, int status, const struct store_decision *d, size_t n)
{
	(void)ctx;
	(void)d;
	seen.loaded++;
	seen.status = status;
	seen.n = n;
}

static void on_found(void *ctx, uint32_t tag, int status, const struct store_found *f, size_t n)
{
	(void)ctx;
	(void)tag;
	seen.found++;
	seen.status = status;
	seen.n = n;
	if (n)
		ck_assert_str_eq(f[0].e.by, "idp");
}

static void begin(const char *where, uint64_t most)
{
	const struct store_config c = {.path = where, .most = most};

	memset(&seen, 0, sizeof(seen));
	ck_assert_int_eq(store_new(&st, l, &c), 0);
	ck_assert_int_eq(store_start(st), 0);
}

static void wait_until(const unsigned *n, unsigned want)
{
	mono_t end = mono_add(loop_clock(), 20 * MONO_NS_PER_S);

	while (*n < want) {
		ck_assert(mono_before(loop_clock(), end));
		loop_once(l, mono_add(loop_clock(), 100 * MONO_NS_PER_MS));
	}
}

static void sync_now(void)
{
	unsigned want = seen.done + 1;

	ck_assert(store_sync(st, on_done, &seen, 42));
	wait_until(&seen.done, want);
}

START_TEST(confirmed_means_written)
{
	struct store_stats s;

	begin(path, 1000);
	ck_assert(store_lasts(st));
	for (uint8_t n = 0; n < 100; n++) {
		struct store_decision d = decision(n, wall() - 1000, wall() + HOUR);

		ck_assert(store_decision(st, &d));
	}
	sync_now();
	ck_assert_int_eq(seen.status, 0);
	/* by another connection, while the thread has its own */
	ck_assert_int_eq(open_at(path, NULL), STORE_OPEN_OK);
	ck_assert_uint_eq(load(wall()), 100);
	store_stats(st, &s);
	ck_assert_int_eq(s.state, STORE_FILE);
	ck_assert_uint_eq(s.written, 100);
	ck_assert_uint_eq(s.queued, 0);
	ck_assert_uint_le(s.commits, 20); /* together */
	ck_assert_int_gt(s.committed_ms, 0);
	ck_assert_uint_gt(s.size, 4096);
	ck_assert(store_load(st, wall(), on_loaded, &seen));
	wait_until(&seen.loaded, 1);
	ck_assert_uint_eq(seen.n, 100);
}
END_TEST

/* The clock was set back by two hours in between: what the file has is from tomorrow, as it seems. */
START_TEST(forgotten_whatever_the_clock_says)
{
	struct store_decision d = decision(7, wall() + 2 * HOUR, wall() + 3 * HOUR);
	struct store_which w = {.family = 4, .prefix_len = 32, .source = {203, 0, 113, 7}};

	begin(path, 1000);
	ck_assert(store_decision(st, &d));
	ck_assert(store_forget(st, &w));
	sync_now();
	ck_assert_int_eq(open_at(path, NULL), STORE_OPEN_OK);
	ck_assert_uint_eq(load(wall()), 0);
	/* what is decided behind it stays */
	ck_assert(store_forget(st, &w));
	ck_assert(store_decision(st, &d));
	sync_now();
	ck_assert_uint_eq(load(wall()), 1);
}
END_TEST

START_TEST(a_set_and_what_it_has_come_to)
{
	const struct policy_span span = {.family = 4, .lo = {10, 0, 0, 9}, .hi = {10, 0, 0, 9}};
	struct store_set c = {.set = "a",
			      .action = OVERLAY_ADD,
			      .since_s = 5,
			      .spans = &span,
			      .size = sizeof(span),
			      .by = "",
			      .why = ""};
	struct store_set all[2];

	begin(path, 1000);
	for (unsigned i = 0; i < 5; i++)
		ck_assert(store_set(st, &c));
	c.set = "b";
	ck_assert(store_set(st, &c));
	c.set = "a";
	all[0] = all[1] = c;
	all[0].action = OVERLAY_LOAD;
	all[1].until_s = wall() / 1000 + 100;
	ck_assert(store_set_state(st, "a", all, 2));
	ck_assert(store_set(st, &c));
	sync_now();
	ck_assert_int_eq(open_at(path, NULL), STORE_OPEN_OK);
	ck_assert_uint_eq(load_sets(0), 4);
	ck_assert_str_eq(set_name[0], "b");
	ck_assert_int_eq(sets[1].action, OVERLAY_LOAD);
	ck_assert_int_eq(sets[2].until_s, all[1].until_s);
	ck_assert_int_eq(sets[3].until_s, 0);
	ck_assert(store_set_state(st, "a", NULL, 0)); /* it is as the policy has it */
	sync_now();
	ck_assert_uint_eq(load_sets(0), 1);
}
END_TEST

START_TEST(the_end_writes_what_waits)
{
	struct store_decision d = decision(1, wall() - 1000, wall() + HOUR);
	struct store_event e = event(1);
	struct store_query q = {.verdict = -1, .limit = 10};

	begin(path, 1000);
	store_event(st, &e);
	ck_assert(store_decision(st, &d));
	store_free(st);
	st = NULL;
	ck_assert_int_eq(open_at(path, NULL), STORE_OPEN_OK);
	ck_assert_uint_eq(load(wall()), 1);
	ck_assert_uint_eq(query(q), 1);
}
END_TEST

START_TEST(events_above_the_bound_are_dropped)
{
	const struct store_config c = {.path = "", .most = 100000};
	struct store_query q = {.verdict = -1, .limit = 10};
	struct store_decision d = decision(1, wall() - 1000, wall() + HOUR);
	struct store_event e = event(1);
	struct store_stats s;

	memset(&seen, 0, sizeof(seen));
	ck_assert_int_eq(store_new(&st, l, &c), 0); /* not started: nothing is taken */
	ck_assert(!store_lasts(st));
	for (unsigned i = 0; i < STORE_EVENTS_MAX + 10; i++)
		store_event(st, &e);
	ck_assert(store_decision(st, &d)); /* these are not */
	store_stats(st, &s);
	ck_assert_uint_eq(s.dropped, 10);
	ck_assert_uint_eq(s.queued, STORE_EVENTS_MAX + 1);
	ck_assert_int_eq(store_start(st), 0);
	sync_now();
	store_stats(st, &s);
	ck_assert_int_eq(s.state, STORE_MEMORY);
	ck_assert_uint_eq(s.written, STORE_EVENTS_MAX + 1);
	ck_assert(store_query(st, &q, on_found, &seen, 1));
	wait_until(&seen.found, 1);
	ck_assert_uint_eq(seen.n, 10);
}
END_TEST

START_TEST(what_cannot_be_written_is_tried_again)
{
	const struct store_query q = {.limit = 10};
	struct store_decision d = decision(1, wall() - 1000, wall() + HOUR);
	struct store_event e = event(1);
	char folder[128];
	struct store_stats s;

	snprintf(folder, sizeof(folder), "%s/later", dir);
	snprintf(path, sizeof(path), "%.60s/state.db", folder);
	begin(path, 1000);
	ck_assert(store_decision(st, &d));
	store_event(st, &e);
	sync_now();
	ck_assert_int_lt(seen.status, 0);
	ck_assert_ptr_nonnull(strstr(seen.error, path));
	store_stats(st, &s);
	ck_assert_int_eq(s.state, STORE_FAILING);
	ck_assert_uint_ge(s.errors, 1);
	ck_assert_uint_eq(s.queued, 1); /* the decision */
	ck_assert_uint_eq(s.dropped, 1);
	/* who asks does not wait behind what cannot be written */
	ck_assert(store_query(st, &q, on_found, &seen, 1));
	wait_until(&seen.found, 1);
	ck_assert_int_lt(seen.status, 0);
	ck_assert_int_eq(mkdir(folder, 0700), 0);
	for (int i = 0; i < 100 && (store_stats(st, &s), s.queued); i++)
		usleep(100000);
	sync_now();
	ck_assert_int_eq(seen.status, 0);
	store_stats(st, &s);
	ck_assert_int_eq(s.state, STORE_FILE);
	ck_assert_int_eq(open_at(path, NULL), STORE_OPEN_OK);
	ck_assert_uint_eq(load(wall()), 1);
	store_free(st);
	store_db_close(db);
	st = NULL;
	db = NULL;
	unlink(path);
	ck_assert_int_eq(rmdir(folder), 0);
}
END_TEST

START_TEST(a_damaged_file_is_put_aside)
{
	struct store_decision d = decision(1, wall() - 1000, wall() + HOUR);
	int fd = open(path, O_WRONLY | O_CREAT, 0600);
	char name[128];
	struct store_stats s;
	glob_t g;

	for (int i = 0; i < 1000; i++)
		ck_assert_int_eq(write(fd, "damage, not data", 16), 16);
	close(fd);
	begin(path, 1000);
	ck_assert(store_decision(st, &d));
	sync_now();
	ck_assert_int_eq(seen.status, 0);
	store_stats(st, &s);
	ck_assert_int_eq(s.state, STORE_FILE);
	ck_assert_uint_eq(s.put_aside, 1);
	snprintf(name, sizeof(name), "%s.corrupt-*Z", path);
	ck_assert_int_eq(glob(name, 0, NULL, &g), 0);
	ck_assert_uint_eq(g.gl_pathc, 1);
	globfree(&g);
}
END_TEST

START_TEST(a_newer_file_is_refused)
{
	struct store_decision d = decision(1, wall() - 1000, wall() + HOUR);
	struct store_stats s;

	ck_assert_int_eq(open_at(path, NULL), STORE_OPEN_OK);
	store_db_close(db);
	db = NULL;
	sql("PRAGMA user_version=3");
	begin(path, 1000);
	ck_assert(store_decision(st, &d));
	sync_now();
	store_stats(st, &s);
	ck_assert_int_eq(s.state, STORE_REFUSED);
	ck_assert_ptr_nonnull(strstr(s.error, "newer"));
	store_free(st);
	st = NULL;
	sql("PRAGMA user_version=2");
	ck_assert_int_eq(open_at(path, NULL), STORE_OPEN_OK);
	ck_assert_uint_eq(load(wall()), 0); /* it was left alone */
}
END_TEST

Suite *suite(void)
{
	Suite *s = suite_create("store");
	TCase *tc = tcase_create("database");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, a_decision_is_there_again);
	tcase_add_test(tc, an_older_word_does_not_replace_a_newer_one);
	tcase_add_test(tc, what_was_not_committed_is_not_there);
	tcase_add_test(tc, forget_by_rule_and_source);
	tcase_add_test(tc, history_and_its_filters);
	tcase_add_test(tc, clearing_up);
	tcase_add_test(tc, rules_go_with_their_last_event);
	tcase_add_test(tc, changes_of_sets);
	tcase_add_test(tc, changes_of_sets_have_no_bound);
	tcase_add_test(tc, a_newer_or_foreign_file_is_left_alone);
	tcase_add_test(tc, an_older_file_becomes_one_of_now);
	tcase_add_test(tc, a_damaged_file_is_known);
	tcase_add_test(tc, rows_are_not_believed);
	suite_add_tcase(s, tc);
	tc = tcase_create("thread");
	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, confirmed_means_written);
	tcase_add_test(tc, forgotten_whatever_the_clock_says);
	tcase_add_test(tc, a_set_and_what_it_has_come_to);
	tcase_add_test(tc, the_end_writes_what_waits);
	tcase_add_test(tc, events_above_the_bound_are_dropped);
	tcase_add_test(tc, what_cannot_be_written_is_tried_again);
	tcase_add_test(tc, a_damaged_file_is_put_aside);
	tcase_add_test(tc, a_newer_file_is_refused);
	suite_add_tcase(s, tc);
	return s;
}
