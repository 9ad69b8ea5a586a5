/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One change: its life, and what it does to an overlay; see changes.h. */
#include "base/str.h"
#include "daemon/changes.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct amend *amend_new(enum amend_kind kind)
{
	struct amend *ch = calloc(1, sizeof(*ch));

	if (!ch)
		return NULL;
	ch->kind = kind;
	list_init(&ch->link);
	return ch;
}

void amend_free(struct amend *ch)
{
	if (!ch)
		return;
	for (size_t i = 0; i < ch->steps; i++)
		free(ch->step[i].text);
	for (size_t i = 0; i < ch->olds; i++)
		policy_spans_deinit(&ch->old[i].spans);
	free(ch->old);
	free(ch->step);
	free(ch->object);
	free(ch->text);
	policy_spans_deinit(&ch->spans);
	free(ch);
}

static int apply_step(struct overlay *o, struct amend *ch, size_t i, size_t *len, struct err *e)
{
	static const char *const verbs[] = {
		[STEP_ADD] = "add", [STEP_DELETE] = "delete", [STEP_REPLACE] = "replace"};
	const struct amend_step *s = &ch->step[i];
	uint32_t number = s->number, change = (uint32_t)i + 1;
	int r = 0;

	switch (s->op) {
	case STEP_ADD:
		r = overlay_add(o, s->layer, s->last, s->text, change, &ch->terms, &number, e);
		break;
	case STEP_DELETE:
		r = overlay_delete(o, number, e);
		break;
	case STEP_REPLACE:
		r = overlay_replace(o, number, s->text, change, &ch->terms, e);
		break;
	}
	str_append(ch->what, sizeof(ch->what), len, "%s%s %u%s%s", i ? "; " : "", verbs[s->op],
		   (unsigned)number, s->text ? ": " : "", s->text ? s->text : "");
	if (r == 0 && s->op != STEP_DELETE)
		ch->object[ch->objects++] = number;
	return r;
}

static int apply_policy(struct overlay *o, struct amend *ch, struct err *e)
{
	size_t len = 0;
	int r = 0;

	free(ch->object);
	ch->objects = 0;
	ch->object = calloc(ch->steps + 1, sizeof(*ch->object));
	if (!ch->object)
		return -ENOMEM;
	for (size_t i = 0; r == 0 && i < ch->steps; i++)
		r = apply_step(o, ch, i, &len, e);
	return r;
}

static int apply_set(const struct classifier *c, struct overlay *o, struct amend *ch, struct err *e)
{
	static const char *const verbs[] = {[OVERLAY_ADD] = "add",
					    [OVERLAY_DELETE] = "delete",
					    [OVERLAY_FLUSH] = "flush",
					    [OVERLAY_LOAD] = "load"};
	char one[POLICY_SPAN_TEXT];
	size_t len = 0;

	str_append(ch->what, sizeof(ch->what), &len, "%s %s", verbs[ch->action], ch->set);
	for (size_t i = 0; i < ch->spans.n && i < 8; i++)
		str_append(ch->what, sizeof(ch->what), &len, "%s%s", i ? " " : ": ",
			   policy_span_print(&ch->spans.span[i], one));
	if (ch->spans.n > 8)
		str_append(ch->what, sizeof(ch->what), &len, " and %zu more", ch->spans.n - 8);
	return overlay_elements(o, c, ch->set, ch->action, &ch->spans, &ch->terms, e);
}

static int apply_old(const struct classifier *c, struct overlay *o, struct amend *ch)
{
	size_t done;
	int r = overlay_restore(o, c, ch->old, ch->olds, &done);

	snprintf(ch->what, sizeof(ch->what), "%zu of %zu changes of sets are made again", done,
		 ch->olds);
	return r;
}

/* What an end has taken: the objects that are in `before` and not in `after`, and sets. */
static void say_gone(const struct overlay *before, const struct overlay *after, struct amend *ch)
{
	size_t len = 0, k = 0;

	for (size_t i = 0; i < before->objects; i++) {
		if (k < after->objects && after->object[k] == before->object[i]) {
			k++;
			continue;
		}
		str_append(ch->what, sizeof(ch->what), &len, "%sobject %u", len ? ", " : "",
			   (unsigned)before->object[i]->number);
	}
	for (size_t i = 0; i < before->sets && i < after->sets; i++)
		if (before->set[i] != after->set[i])
			str_append(ch->what, sizeof(ch->what), &len, "%selements of %s",
				   len ? ", " : "", before->set[i]->name);
}

int amend_apply(struct amend *ch, struct overlay *o, const struct overlay *before,
		const struct view *v, uint64_t now, struct err *e)
{
	int r = 1;

	switch (ch->kind) {
	case AMEND_RELOAD:
		snprintf(ch->what, sizeof(ch->what), "reload");
		return 1;
	case AMEND_CHECK:
	case AMEND_DRY:
		return 1;
	case AMEND_POLICY:
		r = apply_policy(o, ch, e);
		return r < 0 ? r : 1;
	case AMEND_SET:
		r = apply_set(v->classifier, o, ch, e);
		ch->same = r == 0;
		return r < 0 ? r : 1;
	case AMEND_RESTORE:
		r = apply_old(v->classifier, o, ch);
		return r < 0 ? r : 1;
	case AMEND_SESSION:
		r = overlay_end_session(o, ch->session);
		break;
	case AMEND_EXPIRED:
		r = overlay_expire(o, now);
		break;
	}
	if (r > 0)
		say_gone(before, o, ch);
	return r;
}
