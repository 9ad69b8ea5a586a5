/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What outlives the daemon: changes of sets and what they come to, a file that cannot be read for a while, one that is damaged
 * at run time. The queue of changes and the store are the real ones, the verdict process is made up.
 */
#include "unit.h"
#include "store_ask.h"
#include "daemon/lasting.h"
#include "io/policyfile.h"
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MS 1000000

static char dir[64], folder[96], path[128], config[96];
static struct loop *l;
static struct view view;
static struct notes *notes;
static struct journal *journal;
static struct changes *c;
static struct lasting *la;
static struct msg sent, asked; /* to be answered: a change; a part of the list */
static unsigned generation, revision, ended, said, parts, synced;
static int sync_status;
static struct remembered_entry table[2500]; /* the verdict process's */
static unsigned ntable, nback;
static uint64_t back; /* a bit for each of these, by the end of its address */

/* ---- the verdict process ---- */

static int take(void *ctx, const struct msg *m, int fd)
{
	(void)ctx;
	if (m->type != MSG_KEEP)
		sent = *m;
	close(fd);
	return 0;
}

static void restore(const struct msg *m, int fd)
{
	struct remembered_entry e;

	said += !m->u.decisions.cursor;
	nback += m->u.decisions.count;
	for (unsigned i = 0; i < m->u.decisions.count; i++) {
		ck_assert_int_eq(pread(fd, &e, sizeof(e), (off_t)(i * sizeof(e))), sizeof(e));
		back |= 1ull << e.k.source[3] % 64;
	}
}

/* What is asked for is answered in the next round. */
static int post_fd(void *ctx, unsigned worker, const struct msg *m, int fd)
{
	(void)ctx;
	ck_assert_uint_eq(worker, MSG_MAIN);
	if (m->type == MSG_RESTORE)
		restore(m, fd);
	else if (m->type == MSG_DECISIONS)
		asked = *m;
	else
		sent = *m;
	if (fd >= 0)
		close(fd);
	return 0;
}

static struct msg late; /* the last part once more, as if it had been answered twice */

/* It is said to be the last: what is not known by then would be left out. */
static void answer_late(void)
{
	if (!late.type)
		return;
	late.u.decisions.count = 0;
	late.u.decisions.cursor = 0;
	lasting_decisions(la, &late, -1);
}

static void answer_list(const struct msg *q)
{
	struct msg m = {.version = MSG_VERSION, .type = MSG_DECISIONS, .seq = q->seq};
	uint32_t at = q->u.decisions.cursor, n = 0;
	struct remembered_entry list[MSG_FLOWS];
	int fd;

	ck_assert(lasting_is_ours(q->seq));
	for (; at < ntable && n < MSG_FLOWS; at++)
		if (table[at].k.rule)
			list[n++] = table[at];
	fd = n ? policyfile_image_fd(list, n * sizeof(list[0])) : -1;
	m.u.decisions.count = n;
	m.u.decisions.cursor = at < ntable ? at : 0;
	parts++;
	answer_late();
	lasting_decisions(la, &m, fd);
	late = m;
	if (fd >= 0)
		close(fd);
}

static void answer(void)
{
	struct msg q = sent, m = {.version = MSG_VERSION, .type = MSG_DONE, .seq = q.seq};

	sent.type = 0;
	if (q.type == MSG_POLICY) {
		generation++;
		revision = 0;
	} else {
		revision++;
	}
	m.u.done.status = PEND_OK;
	m.u.done.generation = generation;
	m.u.done.revision = revision;
	ck_assert(changes_answer(c, &m));
}

static void spin(int ms)
{
	ck_assert_int_eq(loop_once(l, mono_add(loop_clock(), (uint64_t)ms * MONO_NS_PER_MS)), 0);
	if (asked.type) {
		struct msg q = asked;

		asked.type = 0;
		answer_list(&q);
	}
	if (sent.type)
		answer();
	lasting_policy(la);
	lasting_tidy(la);
}

/* ---- between the parts, as the authority process has it ---- */

static uint64_t wall(void)
{
	return (uint64_t)time(NULL) * 1000;
}

static void done(void *ctx, const struct amend *ch, const struct amend_result *res)
{
	(void)ctx;
	ck_assert_msg(!res->code, "%s", res->text);
	if (ch->kind == AMEND_RESTORE)
		lasting_restored(la, ch, res->code ? res->text : NULL);
	else
		lasting_set(la, ch);
	ended++;
}

static int change(void *ctx, struct amend *ch)
{
	(void)ctx;
	return changes_add(c, ch);
}

static const struct overlay *in_force(void *ctx)
{
	(void)ctx;
	return changes_overlay(c);
}

static bool whole(void *ctx)
{
	(void)ctx;
	return !changes_partial(c);
}

static void on_synced(void *ctx, uint32_t seq, int status, const char *error)
{
	(void)ctx;
	(void)seq;
	(void)error;
	synced++;
	sync_status = status;
}

static void write_config(const char *sets)
{
	FILE *f = fopen(config, "w");

	ck_assert_ptr_nonnull(f);
	fprintf(f,
		"settings { state \"%s\"; user \"\" }\n%slayer default {\n"
		"\tpend proto tcp to port 22 remember 1h\n\tblock from @a\n\tpermit\n}\n",
		path, sets);
	fclose(f);
}

/* A daemon's start. */
static void begin(void)
{
	const struct changes_env cenv = {.loop = l,
					 .view = &view,
					 .config = config,
					 .journal = journal,
					 .send = take,
					 .done = done,
					 .wall_ms = wall};
	const struct lasting_env env = {.loop = l,
					.view = &view,
					.notes = notes,
					.post_fd = post_fd,
					.change = change,
					.overlay = in_force,
					.whole = whole,
					.synced = on_synced};
	char text[MSG_TEXT];

	generation = 1;
	revision = ended = said = parts = synced = nback = 0;
	back = 0;
	sent.type = asked.type = late.type = 0;
	view_init(&view);
	ck_assert_int_eq(changes_new(&c, &cenv), 0);
	ck_assert_int_eq(reload_first(changes_reload(c), text, sizeof(text)), 0);
	view.generation = 1;
	ck_assert_int_eq(lasting_new(&la, &env), 0);
	ck_assert_int_eq(lasting_start(la), 0);
	changes_go(c);
	lasting_sets(la, changes_overlay(c)->restored);
	lasting_policy(la);
}

static void stop(void)
{
	lasting_free(la);
	changes_free(c);
	view_deinit(&view);
	la = NULL;
	c = NULL;
}

static void setup(void)
{
	snprintf(dir, sizeof(dir), "/tmp/pend-lasting-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(folder, sizeof(folder), "%s/state", dir);
	snprintf(path, sizeof(path), "%s/state.db", folder);
	snprintf(config, sizeof(config), "%s/conf", dir);
	ck_assert_int_eq(mkdir(folder, 0700), 0);
	ck_assert_int_eq(loop_new(&l), 0);
	ck_assert_int_eq(journal_new(&journal), 0);
	ck_assert_int_eq(notes_new(&notes), 0);
	ntable = 0;
	write_config("set a { 10.0.0.1 }\nset b { }\n");
}

static void teardown(void)
{
	glob_t g;

	if (la)
		stop();
	notes_free(notes);
	journal_free(journal);
	loop_free(l);
	strcat(path, "*");
	if (glob(path, 0, NULL, &g) == 0)
		for (size_t i = 0; i < g.gl_pathc; i++)
			unlink(g.gl_pathv[i]);
	globfree(&g);
	unlink(config);
	rmdir(folder);
	ck_assert_int_eq(rmdir(dir), 0);
}

/* ---- words ---- */

/* Under valgrind the store's thread takes a minute for as much as it may have waiting. */
static mono_t patience(void)
{
	return mono_add(loop_clock(), (getenv("PEND_SLOW") ? 240 : 20) * MONO_NS_PER_S);
}

#define UNTIL(what)                                                                 \
	do {                                                                        \
		mono_t end = patience();                                            \
		while (!(what)) {                                                   \
			ck_assert_msg(mono_before(loop_clock(), end), "%s", #what); \
			spin(20);                                                   \
		}                                                                   \
	} while (0)

static void set(const char *name, enum overlay_action action, const char *element, uint64_t until)
{
	struct amend *ch = amend_new(AMEND_SET);
	unsigned want = ended + 1;
	struct policy_span span;

	ch->seq = 5001;
	ch->action = action;
	ch->terms.until = until;
	snprintf(ch->set, sizeof(ch->set), "%s", name);
	if (element)
		ck_assert_int_eq(policy_span_parse(element, &span), 0);
	ck_assert(policy_spans_make(&ch->spans, &span, element ? 1 : 0));
	ck_assert_int_eq(changes_add(c, ch), 0);
	UNTIL(ended == want);
}

static bool in(const char *name, const char *address)
{
	struct policy_span s;

	ck_assert_int_eq(policy_span_parse(address, &s), 0);
	return classify_set_has(view.classifier, classify_set_find(view.classifier, name), s.family,
				s.lo);
}

static void sync_now(int status)
{
	unsigned want = synced + 1;

	ck_assert_int_eq(lasting_sync(la, 7), 1);
	UNTIL(synced == want);
	ck_assert_int_eq(sync_status != 0, status != 0);
}

#define SETS "SELECT count(*)FROM set_change"

/* The first problem; "": none. */
static const char *problem(void)
{
	static char text[200];
	json_t *status = json_pack("{s:s,s:[]}", "state", "ok", "problems"), *p;

	lasting_figures(la, status);
	p = json_object_get(status, "problems");
	snprintf(text, sizeof(text), "%s",
		 json_array_size(p) ? json_string_value(json_array_get(p, json_array_size(p) - 1))
				    : "");
	ck_assert_str_eq(json_string_value(json_object_get(status, "state")),
			 *text ? "degraded" : "ok");
	json_decref(status);
	return text;
}

static void decide(uint8_t n)
{
	const uint8_t src[16] = {203, 0, (uint8_t)(113 + n / 250), n}, dst[16] = {192, 0, 2, 1};
	struct msg m = {.type = MSG_REMEMBERED};
	struct remembered_entry *e = &m.u.remembered.entry;

	e->k = remembered_key_of(classify_rule_key(view.classifier, 0), CLASSIFY_SCOPE_FLOW, 4, 6,
				 src, 4000, dst, 22);
	e->v.verdict = PEND_VERDICT_BLOCK;
	e->v.reason = REASON_OPERATOR;
	e->v.since_ns = loop_clock().ns - 1000 * (uint64_t)MS;
	e->v.until_ns = loop_clock().ns + 3600 * MONO_NS_PER_S;
	e->v.note = notes_add(notes, "root", "ticket");
	table[ntable++] = *e;
	lasting_remembered(la, &m);
}

/* ---- sets ---- */

START_TEST(changes_are_kept_however_many)
{
	uint64_t s = wall() / 1000 + 3600;
	char text[32];

	begin();
	UNTIL(said == 1);
	for (unsigned i = 0; i < 6000; i++) {
		snprintf(text, sizeof(text), "192.0.2.%u", i % 200);
		set("a", i / 200 % 2 ? OVERLAY_DELETE : OVERLAY_ADD, text, 0);
	}
	set("a", OVERLAY_ADD, "198.51.100.1", s);
	set("a", OVERLAY_DELETE, "10.0.0.1", 0); /* the policy's own */
	set("b", OVERLAY_ADD, "8.8.8.8", 0);
	sync_now(0);
	ck_assert_int_lt(store_ask(path, SETS), 4500);
	ck_assert_str_eq(problem(), "");
	set("a", OVERLAY_ADD, "198.51.100.2", 0);
	sync_now(0);
	stop();
	begin();
	UNTIL(said == 1);
	ck_assert(in("a", "198.51.100.1") && in("a", "198.51.100.2") && in("b", "8.8.8.8"));
	ck_assert(!in("a", "10.0.0.1") && !in("a", "192.0.2.7"));
	ck_assert_uint_eq(overlay_next_end(changes_overlay(c)), s);
	ck_assert_uint_eq(ended, 1); /* they are one change */
}
END_TEST

/* A file of a daemon that wrote each change, also those that came to nothing. */
START_TEST(what_a_long_file_comes_to_is_written)
{
	begin();
	UNTIL(said == 1);
	for (unsigned i = 0; i < 30; i++)
		set("a", i % 2 ? OVERLAY_DELETE : OVERLAY_ADD, "192.0.2.1", 0);
	set("a", OVERLAY_ADD, "192.0.2.2", 0);
	sync_now(0);
	store_ask(path,
		  "INSERT INTO set_change(name,action,since,until,uid,spans,by,why)"
		  "WITH RECURSIVE n(i)AS(SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<300)"
		  "SELECT name,action,since,until,uid,spans,by,why FROM set_change,n ORDER BY i,id "
		  "RETURNING 1");
	stop();
	ck_assert_int_gt(store_ask(path, SETS), 4096);
	begin();
	UNTIL(said == 1);
	sync_now(0);
	ck_assert_int_eq(store_ask(path, SETS), 1);
	ck_assert(in("a", "192.0.2.2") && !in("a", "192.0.2.1"));
}
END_TEST

START_TEST(loaded_and_flushed)
{
	begin();
	UNTIL(said == 1);
	set("a", OVERLAY_ADD, "192.0.2.1", 0);
	set("a", OVERLAY_LOAD, "192.0.2.2", 0);
	set("a", OVERLAY_ADD, "192.0.2.3", wall() / 1000 + 3600);
	set("b", OVERLAY_ADD, "192.0.2.1", 0);
	set("b", OVERLAY_FLUSH, NULL, 0);
	sync_now(0);
	stop();
	begin();
	UNTIL(said == 1);
	ck_assert(!in("a", "10.0.0.1") && !in("a", "192.0.2.1") && in("a", "192.0.2.2"));
	ck_assert(in("a", "192.0.2.3") && !in("b", "192.0.2.1"));
}
END_TEST

/* ---- a file that cannot be read for a while ---- */

START_TEST(read_when_it_can_be_read)
{
	char aside[128];

	begin();
	UNTIL(said == 1);
	set("a", OVERLAY_ADD, "192.0.2.1", 0);
	set("a", OVERLAY_ADD, "192.0.2.2", 0);
	decide(1);
	sync_now(0);
	stop();
	snprintf(aside, sizeof(aside), "%.60s/away", dir);
	ck_assert_int_eq(rename(folder, aside), 0);
	begin();
	UNTIL(said == 1); /* the rules do not wait for ever */
	ck_assert_str_ne(problem(), "");
	ck_assert(!in("a", "192.0.2.1"));
	/* meanwhile: not there as far as is known, and one that is new */
	set("a", OVERLAY_DELETE, "192.0.2.1", 0);
	set("a", OVERLAY_ADD, "192.0.2.3", 0);
	sync_now(-EIO);
	ck_assert_int_eq(rename(aside, folder), 0);
	UNTIL(in("a", "192.0.2.2"));
	UNTIL(nback == 1);
	ck_assert(!in("a", "192.0.2.1") && in("a", "192.0.2.3"));
	sync_now(0);
	UNTIL(!*problem());
	stop();
	begin();
	UNTIL(said == 1);
	ck_assert(!in("a", "192.0.2.1") && in("a", "192.0.2.2") && in("a", "192.0.2.3"));
}
END_TEST

/* More waits to be written than the store takes: whoever changes something is told, and it is written all the same. */
START_TEST(what_was_not_taken_is_written_later)
{
	struct msg m = {.type = MSG_REMEMBERED};
	char aside[128];

	begin();
	UNTIL(said == 1);
	snprintf(aside, sizeof(aside), "%.60s/away", dir);
	stop();
	ck_assert_int_eq(rename(folder, aside), 0);
	begin();
	UNTIL(said == 1);
	decide(1);
	m.u.remembered.entry = table[0];
	for (unsigned i = 0; i < STORE_QUEUE_MAX; i++)
		lasting_remembered(la, &m);
	set("a", OVERLAY_ADD, "192.0.2.1", 0);
	set("a", OVERLAY_DELETE, "10.0.0.1", 0);
	ck_assert_int_eq(lasting_sync(la, 7), -ENOBUFS);
	ck_assert_str_ne(problem(), "");
	ck_assert_int_eq(rename(aside, folder), 0);
	UNTIL(!*problem());
	sync_now(0);
	ck_assert_int_eq(store_ask(path, SETS), 2);
	stop();
	begin();
	UNTIL(said == 1);
	ck_assert(in("a", "192.0.2.1") && !in("a", "10.0.0.1"));
}
END_TEST

/* The file is away, and so much waits for it that no decision is taken any more. */
static void fill(const char *aside)
{
	struct msg m = {.type = MSG_REMEMBERED};

	ck_assert_int_eq(rename(folder, aside), 0);
	begin();
	UNTIL(said == 1);
	ntable = 0;
	decide(3);
	m.u.remembered.entry = table[0];
	for (unsigned i = 1; i < STORE_QUEUE_MAX; i++)
		lasting_remembered(la, &m);
}

START_TEST(decisions_that_were_not_taken_are_written_later)
{
	struct msg m = {.type = MSG_REMEMBERED};
	char aside[128];

	snprintf(aside, sizeof(aside), "%.60s/away", dir);
	fill(aside);
	decide(4);
	table[0].v.verdict = PEND_VERDICT_PERMIT; /* another word on one that the file has */
	table[0].v.since_ns += 500 * (uint64_t)MS;
	m.u.remembered.entry = table[0];
	lasting_remembered(la, &m);
	ck_assert_int_eq(lasting_sync(la, 7), -ENOBUFS);
	ck_assert_str_ne(problem(), "");
	ck_assert_int_eq(rename(aside, folder), 0);
	UNTIL(!*problem());
	sync_now(0);
	ck_assert_int_eq(store_ask(path, "SELECT count(*)FROM decision WHERE verdict=1"), 1);
	ck_assert_int_eq(store_ask(path, "SELECT count(*)FROM decision WHERE verdict=0"), 1);
}
END_TEST

static void forget(uint8_t n)
{
	const struct store_which w = {.family = 4, .prefix_len = 32, .source = {203, 0, 113, n}};

	lasting_forget_begin(la);
	lasting_forget_end(la, &w);
}

/* One, or two of them: then everything, and what holds is written behind it. */
START_TEST(what_was_forgotten_is_not_given_back)
{
	char aside[128];

	begin();
	UNTIL(said == 1);
	decide(1);
	decide(2);
	sync_now(0);
	stop();
	snprintf(aside, sizeof(aside), "%.60s/away", dir);
	fill(aside);
	for (unsigned i = 0; i < STORE_FORGETS_MAX; i++)
		forget(200);
	forget(1);
	if (_i)
		forget(201);
	ck_assert_int_eq(lasting_sync(la, 7), -ENOBUFS);
	ck_assert_int_eq(rename(aside, folder), 0);
	UNTIL(!*problem());
	sync_now(0);
	/* the third is what waited: it may be in the file before that is read */
	ck_assert_uint_eq(back & ~(1u << 3), _i ? 0 : 1u << 2);
	ck_assert_int_eq(store_ask(path, "SELECT count(*)FROM decision"), _i ? 1 : 2);
	ck_assert_int_eq(store_ask(path, "SELECT count(*)FROM decision WHERE source=x'"
					 "cb007101000000000000000000000000'"),
			 0);
}
END_TEST

/* ---- a file that is damaged at run time ---- */

/* All that SQLite would look at: the file, its log, and the index of that. */
static void damage(void)
{
	static const char *const more[] = {"-wal", "-shm", ""};
	char name[160], junk[4096];
	struct stat st;

	memset(junk, 'x', sizeof(junk));
	for (int i = 0; i < 3; i++) {
		int fd;

		snprintf(name, sizeof(name), "%s%s", path, more[i]);
		fd = open(name, O_WRONLY);
		ck_assert_int_ge(fd, 0);
		ck_assert_int_eq(fstat(fd, &st), 0);
		for (off_t at = 0; at < st.st_size; at += (off_t)sizeof(junk))
			ck_assert_int_gt(pwrite(fd, junk, sizeof(junk), at), 0);
		close(fd);
	}
}

START_TEST(what_holds_is_written_to_the_new_file)
{
	const struct store_which w = {.family = 4, .prefix_len = 32, .source = {203, 0, 113, 9}};

	begin();
	UNTIL(said == 1);
	for (unsigned i = 0; i < 2300; i++)
		decide((uint8_t)(i % 250));
	for (unsigned i = 0; i < 2300; i++) /* none is another one's like */
		table[i].k.source_port = (uint16_t)(1000 + i);
	set("a", OVERLAY_ADD, "192.0.2.1", 0);
	set("b", OVERLAY_ADD, "192.0.2.2", wall() / 1000 + 3600);
	set("a", OVERLAY_DELETE, "10.0.0.1", 0);
	sync_now(0);
	damage();
	decide(251); /* so that it is written to */
	UNTIL(*problem());
	lasting_forget_begin(la);
	for (unsigned i = 0; i < ntable; i++)
		if (table[i].k.source[2] == 113 && table[i].k.source[3] == 9)
			table[i].k.rule = 0;
	lasting_forget_end(la, &w);
	UNTIL(parts >= 3 && !*problem());
	ck_assert_int_eq(
		store_ask(path, "SELECT count(*)FROM decision WHERE by='root' AND why='ticket' AND "
				"text LIKE 'pend proto tcp to port ssh%'"),
		2291);
	ck_assert_int_eq(store_ask(path, SETS), 3);
	stop();
	begin();
	UNTIL(said == 1);
	ck_assert(in("a", "192.0.2.1") && in("b", "192.0.2.2") && !in("a", "10.0.0.1"));
}
END_TEST

Suite *suite(void)
{
	Suite *s = suite_create("lasting");
	TCase *tc = tcase_create("lasting");

	tcase_set_timeout(tc, 120);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, changes_are_kept_however_many);
	tcase_add_test(tc, what_a_long_file_comes_to_is_written);
	tcase_add_test(tc, loaded_and_flushed);
	tcase_add_test(tc, read_when_it_can_be_read);
	tcase_add_test(tc, what_was_not_taken_is_written_later);
	tcase_add_test(tc, decisions_that_were_not_taken_are_written_later);
	tcase_add_loop_test(tc, what_was_forgotten_is_not_given_back, 0, 2);
	tcase_add_test(tc, what_holds_is_written_to_the_new_file);
	suite_add_tcase(s, tc);
	return s;
}
