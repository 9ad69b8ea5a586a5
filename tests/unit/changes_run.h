/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The queue of changes between a made-up verdict process and a made-up clock. */
#ifndef TESTS_CHANGES_RUN_H
#define TESTS_CHANGES_RUN_H

#include "unit.h"
#include "daemon/changes.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char dir[] = "/tmp/pend-test-XXXXXX";
static char config[64];
static struct loop *l;
static struct view view;
static struct journal *journal;
static struct changes *c;
static uint64_t now_ms;
static struct msg sent, kept;
static int sent_fd, kept_fd = -1;
static unsigned posted, done, failed, generation, revision;
static char codes[4096], texts[8192], restarts[256]; /* restarts: of the last reload */
static uint32_t last_object;
static bool last_same;
static bool dead; /* the verdict process does not take messages */

static const char policy[] = "set a { 10.0.0.0/8, 192.0.2.1 }\nset b { @a }\n"
			     "layer default {\n\tblock from @a\n\tpermit\n}\n";

static inline int take(void *ctx, const struct msg *m, int fd)
{
	(void)ctx;
	if (dead)
		return -EPIPE;
	if (m->type == MSG_KEEP) {
		if (kept_fd >= 0)
			close(kept_fd);
		kept = *m;
		kept_fd = fd;
		return 0;
	}
	ck_assert_int_eq(sent.type, 0);
	sent = *m;
	sent_fd = fd;
	posted++;
	return 0;
}

static inline void ended(void *ctx, const struct amend *ch, const struct amend_result *res)
{
	size_t n = strlen(codes), t = strlen(texts);

	(void)ctx;
	snprintf(codes + n, sizeof(codes) - n, "%s%s", n ? " " : "", res->code ? res->code : "ok");
	if (res->reload)
		snprintf(restarts, sizeof(restarts), "%s", res->reload->restart);
	if (res->reload)
		snprintf(texts + t, sizeof(texts) - t, "%s|%s", res->text,
			 res->reload->diagnostics);
	else
		snprintf(texts + t, sizeof(texts) - t, "%s|", res->text);
	last_same = ch->same;
	if (ch->objects)
		last_object = ch->object[0];
	done += !res->code;
	failed += res->code != NULL;
}

static inline uint64_t wall(void)
{
	return now_ms;
}

static inline void file(const char *text)
{
	FILE *f = fopen(config, "w");

	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
}

static inline void open_changes(void)
{
	const struct changes_env env = {
		.loop = l,
		.view = &view,
		.config = config,
		.journal = journal,
		.send = take,
		.done = ended,
		.wall_ms = wall,
	};

	ck_assert_int_eq(changes_new(&c, &env), 0);
}

static inline void setup(void)
{
	char text[MSG_TEXT];

	now_ms = 1795000000000;
	posted = done = failed = revision = last_object = 0;
	generation = 1;
	dead = false;
	sent = (struct msg){0};
	codes[0] = texts[0] = '\0';
	strcpy(dir, "/tmp/pend-test-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(config, sizeof(config), "%s/conf", dir);
	file(policy);
	ck_assert_int_eq(loop_new(&l), 0);
	view_init(&view);
	ck_assert_int_eq(journal_new(&journal), 0);
	open_changes();
	ck_assert_int_eq(reload_first(changes_reload(c), text, sizeof(text)), 0);
	view.generation = 1;
	changes_go(c);
}

static inline void teardown(void)
{
	if (sent.type)
		close(sent_fd);
	changes_free(c);
	journal_free(journal);
	view_deinit(&view);
	loop_free(l);
	if (kept_fd >= 0)
		close(kept_fd);
	kept_fd = -1;
	unlink(config);
	rmdir(dir);
}

static inline void spin(int ms)
{
	ck_assert_int_eq(loop_once(l, mono_add(loop_clock(), (uint64_t)ms * MONO_NS_PER_MS)), 0);
}

/* Until a message was sent, or this many changes have ended. */
static inline bool sends(unsigned ends)
{
	for (int i = 0; i < 1000 && !sent.type && done + failed < ends; i++)
		spin(5);
	return sent.type != 0;
}

/* The verdict process answers. The image is attached, the edits are counted. */
static inline void answer(enum pend_status status)
{
	struct msg m = {.version = MSG_VERSION, .type = MSG_DONE, .seq = sent.seq};

	ck_assert_int_ne(sent.type, 0);
	if (status == PEND_OK && sent.type == MSG_POLICY) {
		generation++;
		revision = 0;
	} else if (status == PEND_OK) {
		ck_assert_uint_eq(sent.u.sets.generation, generation);
		revision++;
	}
	m.u.done.status = (int32_t)status;
	m.u.done.generation = generation;
	m.u.done.revision = revision;
	close(sent_fd);
	sent = (struct msg){0};
	ck_assert(changes_answer(c, &m));
}

/* Until so many have ended, all messages answered well. */
static inline void settle(unsigned ends)
{
	while (done + failed < ends && sends(ends))
		answer(PEND_OK);
	ck_assert_uint_eq(done + failed, ends);
	codes[sizeof(codes) - 1] = '\0';
}

static inline struct amend *rule(const char *text, uint64_t session, uint64_t until)
{
	struct amend *ch = amend_new(AMEND_POLICY);

	ck_assert_ptr_nonnull(ch);
	ch->seq = 5000;
	ch->terms.session = session;
	ch->terms.until = until;
	ch->terms.who = (struct overlay_who){.uid = 7, .pid = 123, .user = "alice"};
	snprintf(ch->terms.why, sizeof(ch->terms.why), "ticket");
	ch->step = calloc(4, sizeof(*ch->step));
	ch->steps = 1;
	ch->step[0].op = STEP_ADD;
	ch->step[0].text = strdup(text);
	return ch;
}

static inline void add_rule(const char *text)
{
	ck_assert_int_eq(changes_add(c, rule(text, 0, 0)), 0);
}

enum by_number { DELETE, REPLACE };

static inline struct amend *number(enum by_number op, uint32_t n, const char *text)
{
	struct amend *ch = rule("", 0, 0);

	free(ch->step[0].text);
	ch->step[0].text = text ? strdup(text) : NULL;
	ch->step[0].op = op == DELETE ? STEP_DELETE : STEP_REPLACE;
	ch->step[0].number = n;
	return ch;
}

static struct amend *elements(enum overlay_action action, const char *list, uint64_t session,
			      uint64_t until)
{
	struct amend *ch = amend_new(AMEND_SET);
	struct policy_span span[16];
	char copy[256], *save = NULL;
	size_t n = 0;

	snprintf(copy, sizeof(copy), "%s", list);
	ch->seq = 5001;
	ch->action = action;
	ch->terms.session = session;
	ch->terms.until = until;
	snprintf(ch->set, sizeof(ch->set), "a");
	for (char *p = strtok_r(copy, " ", &save); p; p = strtok_r(NULL, " ", &save))
		ck_assert_int_eq(policy_span_parse(p, &span[n++]), 0);
	ck_assert(policy_spans_make(&ch->spans, span, n));
	return ch;
}

static inline bool in(const char *address)
{
	struct policy_span s;

	ck_assert_int_eq(policy_span_parse(address, &s), 0);
	return classify_set_has(view.classifier, classify_set_find(view.classifier, "a"), s.family,
				s.lo);
}

static inline const struct journal_entry *last_entry(void)
{
	return journal_at(journal, journal_count(journal));
}

#endif
