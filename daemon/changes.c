/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The queue of changes; see changes.h. */
#include "daemon/changes.h"
#include "daemon/log.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RETRY_MS  5000  /* for ends that could not be put in force */
#define TIMER_MS  60000 /* at most so long until the clock is looked at again */
#define SEQ_SETS  1001  /* behind those of reload.c, and below all of the control server */
#define SEQ_COUNT 1000

struct changes {
	struct changes_env env;
	struct changes_stats stats;
	struct reload *reload;
	struct overlay *master, *next; /* next: what is being put in force */
	struct list waiting, batch, later;
	size_t limit;      /* of a batch */
	bool go, stepping; /* stepping: somebody up the stack looks at the queue */
	bool compile;      /* edits were not taken */
	bool restore_failed;
	uint32_t sets_seq; /* of our MSG_SETS; 0: none is under way */
	uint32_t seq;
	bool partial;               /* of it came as edits, and no word on them */
	uint32_t adopted;           /* revision of the policy that was handed over */
	struct classify_edit *edit; /* of it */
	size_t edits;
	struct loop_timer timer, retry, soon;
};

/* Does it go by itself, whatever anybody wants? */
static bool is_end(const struct amend *ch)
{
	return ch->kind == AMEND_SESSION || ch->kind == AMEND_EXPIRED;
}

static size_t list_count(const struct list *l)
{
	size_t n = 0;

	for (const struct list *p = l->next; p != l; p = p->next)
		n++;
	return n;
}

static struct amend *first_of(const struct list *l)
{
	return list_empty(l) ? NULL : container_of(l->next, struct amend, link);
}

/* ------------------------------------------------------------------------- results ---- */

static enum journal_kind journal_kind(const struct amend *ch)
{
	switch (ch->kind) {
	case AMEND_RELOAD:
	case AMEND_CHECK:
	case AMEND_DRY:
		return JOURNAL_RELOAD;
	case AMEND_POLICY:
		return JOURNAL_POLICY;
	case AMEND_SET:
	case AMEND_RESTORE:
		return JOURNAL_SET;
	case AMEND_SESSION:
		return JOURNAL_SESSION;
	case AMEND_EXPIRED:
		return JOURNAL_EXPIRED;
	}
	return JOURNAL_RELOAD;
}

/* Those of before are tried again and again: that they fail is told once. */
static bool is_told(struct changes *c, const struct amend *ch, const struct amend_result *res)
{
	bool told = c->restore_failed;

	if (ch->kind != AMEND_RESTORE)
		return false;
	c->restore_failed = res->code;
	return told && res->code;
}

static void record(struct changes *c, const struct amend *ch, const struct amend_result *res)
{
	struct journal_entry e = {
		.time_ms = c->env.wall_ms(),
		.generation = res->generation,
		.revision = res->revision,
		.kind = journal_kind(ch),
		.who = ch->terms.who,
	};

	if (ch->kind == AMEND_CHECK || ch->kind == AMEND_DRY || is_told(c, ch, res))
		return;
	snprintf(e.what, sizeof(e.what), "%s", ch->what);
	snprintf(e.why, sizeof(e.why), "%s", ch->terms.why);
	snprintf(e.status, sizeof(e.status), "%s", res->code ? res->text : "ok");
	journal_add(c->env.journal, &e);
}

/* Tells who waits, and takes the change. */
static void finish(struct changes *c, struct amend *ch, const struct amend_result *res)
{
	list_del(&ch->link);
	if (res->code)
		c->stats.failed++;
	else
		c->stats.in_force++;
	record(c, ch, res);
	c->env.done(c->env.ctx, ch, res);
	amend_free(ch);
}

static struct amend_result result(const struct changes *c)
{
	return (struct amend_result){.text = "",
				     .generation = c->env.view->generation,
				     .revision = c->env.view->revision};
}

static void fail(struct changes *c, struct amend *ch, int err, const char *text)
{
	struct amend_result res = result(c);

	res.code = err == -ENOENT   ? "not-found"
		   : err == -ENOSPC ? "limit"
		   : err == -EINVAL ? "invalid"
		   : err == -ENOMEM ? "no-memory"
				    : "system";
	res.text = *text ? text : strerror(-err);
	finish(c, ch, &res);
}

/* -------------------------------------------------------------------------- applying ---- */

static uint64_t wall_s(const struct changes *c)
{
	return c->env.wall_ms() / 1000;
}

static void arm(struct changes *c)
{
	uint64_t end = overlay_next_end(c->master), now = wall_s(c), ms = TIMER_MS;

	loop_timer_cancel(c->env.loop, &c->timer);
	if (!end)
		return;
	if (end <= now)
		ms = 1;
	else if ((end - now) * 1000 < ms)
		ms = (end - now) * 1000;
	loop_timer_arm(c->env.loop, &c->timer,
		       mono_add(loop_now(c->env.loop), ms * MONO_NS_PER_MS));
}

static void postpone(struct changes *c, struct amend *ch)
{
	list_del(&ch->link);
	list_add_tail(&c->later, &ch->link);
	loop_timer_arm(c->env.loop, &c->retry,
		       mono_add(loop_now(c->env.loop), RETRY_MS * MONO_NS_PER_MS));
}

/* It changes nothing. For ends, the clock may have been set back since the timer: nothing else looks at it again. */
static void nothing(struct changes *c, struct amend *ch)
{
	if (ch->kind == AMEND_EXPIRED)
		arm(c);
	list_del(&ch->link);
	amend_free(ch);
}

/* The change becomes part of c->next, or is over. */
static void take(struct changes *c, struct amend *ch)
{
	struct overlay *o = overlay_clone(c->next);
	struct err e = {0};
	int r = o ? amend_apply(ch, o, c->next, c->env.view, wall_s(c), &e) : -ENOMEM;

	if (r > 0) {
		overlay_put(c->next);
		c->next = o;
		list_del(&ch->link);
		list_add_tail(&c->batch, &ch->link);
		return;
	}
	overlay_put(o);
	if (r < 0 && is_end(ch))
		postpone(c, ch);
	else if (r < 0)
		fail(c, ch, r, e.text);
	else
		nothing(c, ch);
}

static bool alone(const struct amend *ch)
{
	return ch->kind == AMEND_CHECK || ch->kind == AMEND_DRY;
}

/* Up to the limit; a reload is the last of its batch, for the sets behind it are those of the new policy. */
static void gather(struct changes *c)
{
	struct amend *ch;
	size_t n = 0;

	overlay_put(c->next);
	c->next = c->master;
	c->next->users++;
	while (n < c->limit && (ch = first_of(&c->waiting)) && !alone(ch)) {
		bool last = ch->kind == AMEND_RELOAD;

		take(c, ch);
		n++;
		if (last)
			break;
	}
}

/* --------------------------------------------------------------------- putting in force ---- */

static void soon(struct changes *c)
{
	if (c->go)
		loop_timer_arm(c->env.loop, &c->soon, loop_now(c->env.loop));
}

/*
 * What an image cannot have, for it was made before: how long elements stay that came as edits, and who
 * brought them. The verdict process keeps the last word for our successor.
 */
static void leave_word(struct changes *c)
{
	struct msg m = {.version = MSG_VERSION, .type = MSG_KEEP, .worker = MSG_MAIN};
	struct policyfile_bytes part[POLICYFILE_PARTS] = {{0}};
	char *overlay = NULL, *journal = NULL;
	int fd = -ENOMEM;

	if (overlay_flatten(c->master, &overlay, &part[POLICYFILE_OVERLAY].len) == 0 &&
	    journal_flatten(c->env.journal, &journal, &part[POLICYFILE_JOURNAL].len) == 0) {
		part[POLICYFILE_OVERLAY].data = overlay;
		part[POLICYFILE_JOURNAL].data = journal;
		fd = policyfile_parts_fd("", 1, part);
	}
	free(overlay);
	free(journal);
	m.u.policy.size = 1;
	m.u.policy.generation = c->env.view->generation;
	m.u.policy.revision = c->env.view->revision;
	if (fd >= 0 && c->env.send(c->env.ctx, &m, fd) != 0)
		close(fd);
}

/* All of the batch are in force. */
static void commit(struct changes *c, const struct reload_result *res)
{
	struct amend_result r = result(c);
	struct amend *ch;

	r.reload = res;
	overlay_put(c->master);
	c->master = c->next;
	c->next = NULL;
	c->compile = false;
	if (list_empty(&c->waiting))
		c->limit = CHANGES_WAITING;
	while ((ch = first_of(&c->batch)))
		finish(c, ch, &r);
	leave_word(c);
	arm(c);
	soon(c);
}

/* A restoration that came meanwhile is before all of them still: it would undo what it follows. */
static void restore_first(struct changes *c)
{
	struct list *at, *tmp;

	list_foreach(at, tmp, &c->waiting) {
		if (container_of(at, struct amend, link)->kind != AMEND_RESTORE)
			continue;
		list_del(at);
		list_add_head(&c->waiting, at);
		return;
	}
}

/* Back to where they were. */
static void put_back(struct changes *c)
{
	while (!list_empty(&c->batch)) {
		struct list *last = c->batch.prev;

		list_del(last);
		list_add_head(&c->waiting, last);
	}
	restore_first(c);
	overlay_put(c->next);
	c->next = NULL;
	soon(c);
}

/* What people asked for fails; what must go is tried again. */
static void fail_batch(struct changes *c, const struct reload_result *res)
{
	struct amend_result r = result(c);
	struct amend *ch;

	r.reload = res;
	r.code = reload_code(res);
	r.text = res->text;
	overlay_put(c->next);
	c->next = NULL;
	c->compile = false;
	c->limit = CHANGES_WAITING;
	while ((ch = first_of(&c->batch))) {
		if (is_end(ch)) {
			log_error("changes", "%s could not be removed: %s", ch->what, res->text);
			postpone(c, ch);
		} else {
			finish(c, ch, &r);
		}
	}
	soon(c);
}

static bool has_reload(struct changes *c)
{
	struct list *p, *tmp;

	list_foreach(p, tmp, &c->batch)
		if (container_of(p, struct amend, link)->kind == AMEND_RELOAD)
			return true;
	return false;
}

/*
 * With how many of the batch to try again; 0: it is not for one of them that all have failed. What only a
 * reload meets, a file that cannot be read, is left to the reload, which is the last.
 */
static size_t fewer(struct changes *c, int status)
{
	size_t n = list_count(&c->batch);

	if (n < 2 || status == -ENOMEM)
		return 0;
	if (status == -EINVAL || status == -E2BIG)
		return (n + 1) / 2;
	return has_reload(c) ? n - 1 : 0;
}

static void compiled(void *ctx, enum reload_kind kind, const struct reload_result *res)
{
	struct changes *c = ctx;
	size_t n = fewer(c, res->status);

	(void)kind;
	if (res->status == 0) {
		commit(c, res);
	} else if (n) {
		c->stats.halved++;
		c->limit = n;
		put_back(c);
	} else {
		fail_batch(c, res);
	}
}

static void start_failed(struct changes *c, int err)
{
	struct reload_result res = {.status = err, .diagnostics = "", .restart = ""};

	snprintf(res.text, sizeof(res.text), "cannot start: %s", strerror(-err));
	fail_batch(c, &res);
}

static void compile(struct changes *c)
{
	const struct reload_input in = {
		.kind = RELOAD_LOAD, .overlay = c->next, .files = has_reload(c)};
	int r;

	c->stats.compiled++;
	r = reload_start(c->reload, &in);
	if (r < 0)
		start_failed(c, r);
}

/* A dry run is told by the reload that it would be. */
static void compile_alone(struct changes *c)
{
	struct amend *ch = first_of(&c->waiting);
	struct reload_input in = {
		.kind = ch->kind == AMEND_DRY ? RELOAD_DRY : RELOAD_CHECK,
		.text = ch->text,
		.len = ch->len,
		.files = !ch->text,
		.overlay = ch->text ? NULL : c->master,
	};
	int r;

	overlay_put(c->next);
	c->next = c->master;
	c->next->users++;
	list_del(&ch->link);
	list_add_tail(&c->batch, &ch->link);
	r = reload_start(c->reload, &in);
	if (r < 0)
		start_failed(c, r);
}

static void edits_free(struct changes *c)
{
	free(c->edit);
	c->edit = NULL;
	c->edits = 0;
}

static int send_edits(struct changes *c)
{
	struct msg m = {.version = MSG_VERSION, .type = MSG_SETS, .worker = MSG_MAIN};
	int fd = policyfile_image_fd(c->edit, c->edits * sizeof(*c->edit)), r;

	if (fd < 0)
		return fd;
	c->seq = c->seq % SEQ_COUNT + 1;
	m.seq = SEQ_SETS + c->seq - 1;
	m.u.sets.generation = c->env.view->generation;
	m.u.sets.count = (uint32_t)c->edits;
	r = c->env.send(c->env.ctx, &m, fd);
	if (r != 0) {
		close(fd);
		return r < 0 ? r : -EAGAIN;
	}
	c->sets_seq = m.seq;
	c->stats.patched++;
	return 0;
}

/* As edits of sets; false: it takes a new policy. */
static bool patch(struct changes *c)
{
	int r;

	if (c->next->compile || c->compile || !c->env.view->classifier)
		return false;
	edits_free(c);
	r = overlay_edits(c->next, c->env.view->classifier, &c->edit, &c->edits);
	if (r < 0)
		return false;
	if (c->edits)
		return send_edits(c) == 0;
	r = overlay_settle(c->next, NULL);
	if (r < 0)
		return false;
	commit(c, NULL);
	return true;
}

/* Begins what is next, if nothing is under way. */
static void step(void *ctx)
{
	struct changes *c = ctx;
	struct amend *ch;

	if (!c->go)
		return;
	while (!reload_busy(c->reload) && !c->sets_seq && list_empty(&c->batch) &&
	       (ch = first_of(&c->waiting))) {
		if (alone(ch)) {
			compile_alone(c);
			return;
		}
		gather(c);
		if (list_empty(&c->batch))
			continue;
		if (has_reload(c) || !patch(c))
			compile(c);
	}
}

static bool patch_view(struct changes *c, uint32_t revision)
{
	struct classifier *n;
	int r = classify_patch(&n, c->env.view->classifier, c->edit, c->edits);

	if (r < 0)
		return false;
	view_set_classifier(c->env.view, n, revision);
	return true;
}

static void sets_answer(struct changes *c, const struct msg *m)
{
	bool ok = m->u.done.status == PEND_OK && m->u.done.generation == c->env.view->generation;

	c->sets_seq = 0;
	ok = ok && patch_view(c, m->u.done.revision) && overlay_settle(c->next, NULL) == 0;
	edits_free(c);
	if (ok) {
		commit(c, NULL);
		return;
	}
	/* too much was changed, or whatever it is: a new policy has it all */
	c->compile = true;
	c->limit = list_count(&c->batch);
	put_back(c);
}

bool changes_answer(struct changes *c, const struct msg *m)
{
	if (c->sets_seq && m->type == MSG_DONE && m->seq == c->sets_seq) {
		sets_answer(c, m);
		return true;
	}
	return reload_answer(c->reload, m);
}

/* --------------------------------------------------------------------------- from outside ---- */

int changes_add(struct changes *c, struct amend *ch)
{
	if (ch->kind == AMEND_RESTORE) {
		list_add_head(&c->waiting, &ch->link);
		soon(c);
		return 0;
	}
	if (!is_end(ch) && list_count(&c->waiting) >= CHANGES_WAITING) {
		c->stats.busy++;
		return -EBUSY;
	}
	list_add_tail(&c->waiting, &ch->link);
	soon(c);
	return 0;
}

void changes_session(struct changes *c, uint64_t session, const struct overlay_who *who)
{
	struct amend *ch = amend_new(AMEND_SESSION);

	if (!ch) {
		log_error("changes", "no memory to remove what a connection has left behind");
		return;
	}
	ch->session = session;
	if (who)
		ch->terms.who = *who;
	changes_add(c, ch);
}

static void on_timer(void *ctx)
{
	struct changes *c = ctx;
	uint64_t end = overlay_next_end(c->master);
	struct amend *ch;

	if (end && end <= wall_s(c) && (ch = amend_new(AMEND_EXPIRED)))
		changes_add(c, ch);
	else
		arm(c);
}

static void on_retry(void *ctx)
{
	struct changes *c = ctx;

	while (!list_empty(&c->later)) {
		struct list *p = c->later.next;

		list_del(p);
		list_add_tail(&c->waiting, p);
	}
	soon(c);
}

static void start_entry(struct changes *c)
{
	struct journal_entry e = {
		.time_ms = c->env.wall_ms(),
		.generation = c->env.view->generation,
		.revision = c->env.view->revision,
		.kind = JOURNAL_START,
		.what = "authority process started",
		.status = "ok",
	};

	journal_add(c->env.journal, &e);
}

void changes_go(struct changes *c)
{
	if (c->go)
		return;
	c->go = true;
	start_entry(c);
	/* connections ended with the process that had them */
	if (overlay_has_session(c->master, OVERLAY_ANY_SESSION))
		changes_session(c, OVERLAY_ANY_SESSION, NULL);
	arm(c);
	soon(c);
}

int changes_adopt(struct changes *c, const struct msg *m, int fd)
{
	if (fd < 0)
		return -EINVAL;
	c->adopted = m->u.policy.revision;
	return reload_adopt(c->reload, fd, m->u.policy.size, m->u.policy.generation, &c->master,
			    c->env.journal);
}

static int adopt_edits(struct changes *c, const struct classify_edit *edit, size_t n,
		       uint32_t revision)
{
	struct view *v = c->env.view;
	struct overlay *o = overlay_clone(c->master);
	struct classifier *patched = NULL;
	int r = o ? overlay_adopt(o, v->classifier, edit, n) : -ENOMEM;

	if (r == 0)
		r = classify_patch(&patched, v->classifier, edit, n);
	if (r == 0)
		r = overlay_settle(o, NULL);
	if (r < 0) {
		classify_detach(patched);
		overlay_put(o);
		return r;
	}
	view_set_classifier(v, patched, revision);
	overlay_put(c->master);
	c->master = o;
	c->partial = true;
	return 0;
}

int changes_adopt_sets(struct changes *c, const struct msg *m, int fd)
{
	size_t n = m->u.sets.count, size = n * sizeof(struct classify_edit);
	const void *edit = NULL;
	int r;

	if (c->go || fd < 0 || !n || n > CLASSIFY_PATCH_MAX || !c->env.view->classifier ||
	    m->u.sets.generation != c->env.view->generation)
		return -EINVAL;
	r = policyfile_image_map(fd, size, &edit);
	if (r == 0)
		r = adopt_edits(c, edit, n, c->adopted);
	policyfile_image_unmap(edit, size);
	return r;
}

int changes_adopt_kept(struct changes *c, const struct msg *m, int fd)
{
	const struct view *v = c->env.view;
	int r;

	if (c->go || fd < 0 || m->u.policy.size != 1)
		return -EINVAL;
	if (m->u.policy.generation != v->generation || m->u.policy.revision != v->revision)
		return 0;
	r = reload_adopt_changes(fd, 1, &c->master, c->env.journal);
	c->partial = c->partial && r < 0;
	return r;
}

/* -------------------------------------------------------------------------- start and end ---- */

static int journal_bytes(void *ctx, char **data, size_t *len)
{
	const struct changes *c = ctx;

	return journal_flatten(c->env.journal, data, len);
}

static int send_image(void *ctx, const struct msg *m, int fd)
{
	const struct changes *c = ctx;

	return c->env.send(c->env.ctx, m, fd);
}

int changes_new(struct changes **out, const struct changes_env *env)
{
	struct changes *c = calloc(1, sizeof(*c));
	struct reload_env renv;
	int r;

	if (!c)
		return -ENOMEM;
	c->env = *env;
	c->limit = CHANGES_WAITING;
	list_init(&c->waiting);
	list_init(&c->batch);
	list_init(&c->later);
	loop_timer_init(&c->timer, on_timer, c);
	loop_timer_init(&c->retry, on_retry, c);
	loop_timer_init(&c->soon, step, c);
	c->master = overlay_new();
	renv = (struct reload_env){
		.ctx = c,
		.loop = env->loop,
		.view = env->view,
		.config = env->config,
		.send = send_image,
		.done = compiled,
		.journal = journal_bytes,
	};
	r = c->master ? 0 : -ENOMEM;
	if (r == 0)
		r = reload_new(&c->reload, &renv);
	if (r < 0) {
		overlay_put(c->master);
		free(c);
		return r;
	}
	*out = c;
	return 0;
}

static void drop_all(struct list *l)
{
	struct amend *ch;

	while ((ch = first_of(l))) {
		list_del(&ch->link);
		amend_free(ch);
	}
}

void changes_free(struct changes *c)
{
	if (!c)
		return;
	loop_timer_cancel(c->env.loop, &c->timer);
	loop_timer_cancel(c->env.loop, &c->retry);
	loop_timer_cancel(c->env.loop, &c->soon);
	reload_free(c->reload);
	drop_all(&c->waiting);
	drop_all(&c->batch);
	drop_all(&c->later);
	overlay_put(c->master);
	overlay_put(c->next);
	edits_free(c);
	free(c);
}

struct reload *changes_reload(struct changes *c)
{
	return c->reload;
}

const struct changes_stats *changes_stats(const struct changes *c)
{
	return &c->stats;
}

bool changes_partial(const struct changes *c)
{
	return c->partial;
}

const struct overlay *changes_overlay(const struct changes *c)
{
	return c->master;
}
