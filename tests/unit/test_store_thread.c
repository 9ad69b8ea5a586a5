/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The thread of the store: what was confirmed is written; full queues, files that cannot be written. */
#include "store_help.h"

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
	ck_assert_int_eq(seen.status, -EROFS);
	ck_assert_ptr_nonnull(strstr(seen.error, "newer"));
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
	Suite *s = suite_create("store_thread");
	TCase *tc = tcase_create("thread");

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
