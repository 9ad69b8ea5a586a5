/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Changes of sets that outlive the daemon. Each goes to the file as it is made. What they come to is in the overlay; when
 * there are many more of them than that takes, it is written instead of them, and the file stays small whatever is
 * done.
 *
 * At start all that the file has is one change, which comes before those that people have made meanwhile: these are in
 * the file as well, or are added here, and are done again behind it. So the newer word counts, also when
 * the file could not be read for a while.
 */
#include "daemon/lasting_impl.h"
#include "daemon/log.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ROWS_SPARE  4096u      /* changes, above twice what they come to */
#define BYTES_SPARE (1u << 20) /* ... of these; an element has 33 */
#define ROW_BYTES   200u       /* of a change, besides its elements */

static int64_t wall_s(void)
{
	return (int64_t)time(NULL);
}

/* ---- what is in the file ---- */

/* NULL: no memory. */
static struct lasting_kept *kept_of(struct lasting *l, const char *set)
{
	struct lasting_kept *list;

	for (size_t i = 0; i < l->nkept; i++)
		if (!strcmp(l->kept[i].set, set))
			return &l->kept[i];
	list = realloc(l->kept, (l->nkept + 1) * sizeof(*list));
	if (!list)
		return NULL;
	l->kept = list;
	list[l->nkept] = (struct lasting_kept){.rows = 0};
	snprintf(list[l->nkept].set, sizeof(list->set), "%s", set);
	return &list[l->nkept++];
}

static void count(struct lasting *l, const struct store_set *c)
{
	struct lasting_kept *k = kept_of(l, c->set);

	if (!k)
		return;
	if (c->action == OVERLAY_FLUSH || c->action == OVERLAY_LOAD)
		k->rows = k->bytes = 0;
	k->rows++;
	k->bytes += c->size + ROW_BYTES;
	l->changed = true;
}

static void not_kept(struct lasting *l, const char *set)
{
	struct lasting_kept *k = kept_of(l, set);

	if (k)
		k->dirty = true;
	lasting_retry(l);
}

void lasting_sets_rewrite(struct lasting *l)
{
	const struct overlay *o = l->env.overlay ? l->env.overlay(l->env.ctx) : NULL;

	for (size_t i = 0; o && i < o->sets; i++)
		kept_of(l, o->set[i]->name);
	for (size_t i = 0; i < l->nkept; i++)
		l->kept[i].dirty = true;
	l->changed = true;
}

bool lasting_sets_dirty(const struct lasting *l)
{
	for (size_t i = 0; i < l->nkept; i++)
		if (l->kept[i].dirty)
			return true;
	return false;
}

/* ---- what it comes to ---- */

static struct store_set row(const char *set, enum overlay_action action,
			    const struct policy_spans *s, uint64_t until)
{
	return (struct store_set){.set = set,
				  .action = (uint8_t)action,
				  .since_s = wall_s(),
				  .until_s = (int64_t)until,
				  .spans = s->span,
				  .size = s->n * sizeof(*s->span),
				  .by = "",
				  .why = ""};
}

/* As changes that make it; there is room for two and the leases. */
static size_t rows_of(const struct overlay_set *s, struct store_set *list)
{
	size_t n = 0;

	if (s->replaced) {
		list[n++] = row(s->name, OVERLAY_LOAD, &s->added, 0);
	} else {
		if (s->removed.n)
			list[n++] = row(s->name, OVERLAY_DELETE, &s->removed, 0);
		if (s->added.n)
			list[n++] = row(s->name, OVERLAY_ADD, &s->added, 0);
	}
	for (size_t i = 0; i < s->leases; i++)
		if (!s->lease[i].session)
			list[n++] = row(s->name, OVERLAY_ADD, &s->lease[i].spans,
					s->lease[i].until);
	return n;
}

static uint64_t bytes_of(const struct store_set *list, size_t n)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < n; i++)
		bytes += list[i].size + ROW_BYTES;
	return bytes;
}

static const struct overlay_set *find(const struct overlay *o, const char *set)
{
	for (size_t i = 0; i < o->sets; i++)
		if (!strcmp(o->set[i]->name, set))
			return o->set[i];
	return NULL;
}

/* A set that does not differ from its policy has come to nothing. */
static void tidy_one(struct lasting *l, struct lasting_kept *k, const struct overlay_set *s)
{
	struct store_set *list = calloc((s ? s->leases : 0) + 2, sizeof(*list));
	size_t n = list && s ? rows_of(s, list) : 0;
	uint64_t bytes = bytes_of(list, n);

	if (list &&
	    (k->dirty || k->rows > 2 * n + ROWS_SPARE || k->bytes > 2 * bytes + BYTES_SPARE)) {
		k->dirty = !store_set_state(l->store, k->set, list, n);
		k->rows = n;
		k->bytes = bytes;
	}
	free(list);
}

/* Of a set that the policy does not have the file knows more than the overlay. */
static bool is_known(const struct lasting *l, const char *set)
{
	const struct classifier *c = l->env.view->classifier;

	return c && classify_set_find(c, set) != UINT32_MAX;
}

void lasting_tidy(struct lasting *l)
{
	const struct overlay *o = l->env.overlay ? l->env.overlay(l->env.ctx) : NULL;
	bool whole = l->env.whole && l->env.whole(l->env.ctx);

	if (!l->changed || !o || l->sets != LASTING_SETS_DONE)
		return;
	l->changed = false;
	for (size_t i = 0; i < l->nkept; i++)
		if (is_known(l, l->kept[i].set) && (whole || l->kept[i].dirty))
			tidy_one(l, &l->kept[i], find(o, l->kept[i].set));
		else
			l->kept[i].dirty = false;
	if (lasting_sets_dirty(l))
		lasting_retry(l);
}

/* ---- as they are made ---- */

static void change_free(struct overlay_change *c)
{
	policy_spans_deinit(&c->spans);
}

static bool change_of(struct overlay_change *out, const struct store_set *s)
{
	*out = (struct overlay_change){.action = (enum overlay_action)s->action,
				       .until = (uint64_t)s->until_s};
	snprintf(out->set, sizeof(out->set), "%s", s->set);
	return policy_spans_make(&out->spans, s->spans, s->size / sizeof(struct policy_span));
}

/* It is in force before those of before: it is done again behind them. */
static bool behind(struct amend *ch, const struct store_set *c)
{
	struct overlay_change *list = realloc(ch->old, (ch->olds + 1) * sizeof(*list));

	if (!list)
		return false;
	ch->old = list;
	if (!change_of(&list[ch->olds], c))
		return false;
	ch->olds++;
	return true;
}

/* What was done again (no connection has asked for it) is in the file already. */
void lasting_set(struct lasting *l, const struct amend *ch)
{
	const struct overlay_terms *t = &ch->terms;
	const struct store_set c = {.set = ch->set,
				    .action = (uint8_t)ch->action,
				    .since_s = (int64_t)t->since,
				    .until_s = (int64_t)t->until,
				    .uid = t->who.uid,
				    .spans = ch->spans.span,
				    .size = ch->spans.n * sizeof(*ch->spans.span),
				    .by = t->who.user,
				    .why = t->why};

	if (ch->kind != AMEND_SET || t->session || ch->seq == RELOAD_SEQ_NONE)
		return;
	if (l->restore && !behind(l->restore, &c))
		log_error(LASTING_MODULE, "no memory for a change of %s", ch->set);
	/* before those of before are there, nothing is known to make no difference */
	if (ch->same && l->sets == LASTING_SETS_DONE)
		return;
	count(l, &c);
	if (!store_set(l->store, &c))
		not_kept(l, ch->set);
}

/* ---- those of before ---- */

void lasting_sets_free(struct lasting *l)
{
	if (l->sets == LASTING_SETS_ASKED)
		amend_free(l->restore);
	free(l->kept);
}

static void sets_failed(struct lasting *l, const char *why)
{
	log_error(LASTING_MODULE, "the changes of sets of before cannot be made again: %s", why);
	l->restore = NULL;
	l->sets = LASTING_SETS_FAILED;
	lasting_say(l);
	lasting_retry(l);
}

static void sets_done(struct lasting *l)
{
	l->restore = NULL;
	l->sets = LASTING_SETS_DONE;
	l->retry_ms = LASTING_RETRY_MS;
	l->sets_wait_ms = 0;
	l->changed = true;
	lasting_say(l);
}

/* The file's first, then what has come since. False: no memory. */
static bool put_first(struct amend *ch, const struct store_set *s, size_t n)
{
	struct overlay_change *list = calloc(n + ch->olds + 1, sizeof(*list));
	size_t have = 0;

	while (list && have < n && change_of(&list[have], &s[have]))
		have++;
	if (!list || have < n) {
		while (list && have--)
			change_free(&list[have]);
		free(list);
		return false;
	}
	if (ch->olds)
		memcpy(list + n, ch->old, ch->olds * sizeof(*list));
	free(ch->old);
	ch->old = list;
	ch->olds += n;
	return true;
}

static void on_sets(void *ctx, int status, const struct store_set *s, size_t n)
{
	struct lasting *l = ctx;
	struct amend *ch = l->restore;

	if (!status && !put_first(ch, s, n))
		status = -ENOMEM;
	if (status) {
		amend_free(ch);
		sets_failed(l, strerror(-status));
		return;
	}
	for (size_t i = 0; i < n; i++)
		count(l, &s[i]);
	if (!n) {
		amend_free(ch);
		sets_done(l);
		return;
	}
	l->sets = LASTING_SETS_MADE;
	if (l->env.change(l->env.ctx, ch) == 0)
		return;
	amend_free(ch);
	sets_failed(l, "they are not taken");
}

static void sets_ask(struct lasting *l)
{
	l->restore = amend_new(AMEND_RESTORE);
	if (l->restore)
		l->restore->seq = RELOAD_SEQ_NONE;
	l->sets = LASTING_SETS_ASKED;
	if (l->restore && store_sets(l->store, wall_s() * 1000, on_sets, l))
		return;
	amend_free(l->restore);
	sets_failed(l, strerror(ENOMEM));
}

void lasting_sets(struct lasting *l, bool known)
{
	if (l->sets != LASTING_SETS_NONE)
		return;
	if (known || !l->env.change)
		sets_done(l);
	else
		sets_ask(l);
}

void lasting_sets_again(struct lasting *l)
{
	if (mono_before(loop_clock(), l->sets_again))
		lasting_retry(l);
	else
		sets_ask(l);
}

/* They were read well, and will hardly be others the next time. */
static void made_in_vain(struct lasting *l)
{
	l->sets_wait_ms = l->sets_wait_ms ? 2 * l->sets_wait_ms : LASTING_SLOW_MS;
	if (l->sets_wait_ms > LASTING_MADE_MS)
		l->sets_wait_ms = LASTING_MADE_MS;
	l->sets_again = mono_add(loop_clock(), l->sets_wait_ms * MONO_NS_PER_MS);
}

void lasting_restored(struct lasting *l, const struct amend *ch, const char *error)
{
	if (error) {
		made_in_vain(l);
		sets_failed(l, error);
		return;
	}
	log_notice(LASTING_MODULE, "%s", ch->what);
	sets_done(l);
}
