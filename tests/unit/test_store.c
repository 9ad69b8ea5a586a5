/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The database: what is written is there again; files that are none of ours, and older ones. */
#include "store_help.h"
#include "store_ask.h"

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
	d.since_ms++;
	write_decision(&d);
	ck_assert_uint_eq(load(2000), 1);
	ck_assert_int_eq(got[0].until_ms, 1000 + 2 * HOUR);
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
	ck_assert_int_eq(store_ask(path, "SELECT count(*)FROM rule"), 1300);
	do {
		ck_assert_int_eq(store_db_prune(db, now, 2200, 100000, &more), 0);
		now += 60000;
	} while (more);
	ck_assert_int_eq(store_ask(path, "SELECT count(*)FROM rule"), 100);
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
	ck_assert_int_eq(store_ask(path, "PRAGMA user_version"), STORE_DB_VERSION);
	ck_assert_uint_eq(load(2000), 1);
	ck_assert_str_eq(texts[0][3], "ticket");
	ck_assert_uint_eq(load_sets(500), 1);
	ck_assert_uint_eq(query(q), 1);
	ck_assert_str_eq(found_rule[0], "pend proto tcp");
	ck_assert_int_eq(store_db_prune(db, 100000, 0, 1000, &more), 0);
	ck_assert_int_eq(store_ask(path, "SELECT count(*)FROM rule"), 1);
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
	return s;
}
