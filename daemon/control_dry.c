/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `reload` with "dry_run": the policy of the file was compiled; what is pended now is classified with it,
 * and what it would not pend is told. Nothing is changed.
 */
#include "daemon/control_impl.h"
#include "core/flow.h"
#include "daemon/control_json.h"
#include <stdlib.h>
#include <string.h>

#define DRY_MAX 1000 /* connections that are told one by one; the others are counted */

static void set_int(json_t *o, const char *key, uint64_t v)
{
	json_object_set_new(o, key, json_integer((json_int_t)v));
}

static json_t *diff_lines(const char *p)
{
	json_t *a = json_array();

	while (*p) {
		const char *nl = strchrnul(p, '\n');
		char *line = strndup(p, (size_t)(nl - p));

		/* the indentation of a line stands behind its sign */
		for (char *t = line; t && *t && (t - line < 4); t++)
			if (*t == '\t')
				*t = ' ';
		if (line)
			json_array_append_new(a, cj_text(line));
		free(line);
		p = *nl ? nl + 1 : nl;
	}
	return a;
}

static void dry_finish(struct request *r)
{
	json_t *o = r->result;

	json_object_set_new(o, "pending", r->list ? r->list : json_array());
	r->list = NULL;
	set_int(o, "decided", r->count);
	set_int(o, "examined", r->limit);
	set_int(o, "unsure", r->unsure);
	json_object_set_new(o, "incomplete", json_boolean(r->incomplete));
	dry_live(r);
}

static void dry_step(struct request *r)
{
	struct msg m = {.type = MSG_LIST, .u.match = r->match};

	for (; r->worker < r->control->env.workers; r->worker++, r->cursor = 0) {
		m.u.match.cursor = r->cursor;
		if (request_post(r, r->worker, r->worker, &m) >= 0)
			return;
		r->incomplete = true;
	}
	dry_finish(r);
}

static void add_iface(const struct view *v, uint32_t index, struct classify_ifaces *t)
{
	struct classify_iface *f = &t->iface[t->n];

	if (view_interface_known(v, index, f->name)) {
		f->index = index;
		t->n++;
	}
}

/* The names of its interfaces, sorted by index; NULL when there is no memory. */
static struct classify_ifaces *ifaces_of(const struct view *v, const struct pend_info *i)
{
	uint32_t a = i->in_interface, b = i->out_interface;
	struct classify_ifaces *t = calloc(1, sizeof(*t) + 2 * sizeof(t->iface[0]));

	if (!t)
		return NULL;
	add_iface(v, a < b ? a : b, t);
	if (a != b)
		add_iface(v, a < b ? b : a, t);
	return t;
}

static void dry_context(struct request *r, const struct pend_info *i)
{
	const struct classifier *c = r->candidate->classifier;
	struct classify_ifaces *t = ifaces_of(r->control->env.view, i);
	struct judge j;
	struct pend_values v;
	struct classify_result res;
	json_t *o;

	flow_info_values(i, &v);
	judge_init(&j, &r->control->env, t, i->in_interface);
	classify_with(c, &j.now, &v, &res);
	free(t);
	r->limit++;
	r->unsure += j.unsure;
	if (res.action == CLASSIFY_PEND || r->count++ >= DRY_MAX)
		return;
	o = cj_context(i, r->control->env.view, loop_now(r->control->env.loop));
	json_object_set_new(o, "would",
			    res.rule == CLASSIFY_NO_RULE ? json_object()
							 : rule_object(c, res.rule));
	json_object_set_new(json_object_get(o, "would"), "action",
			    json_string(action_name(res.action)));
	if (!r->list)
		r->list = json_array();
	json_array_append_new(r->list, o);
}

static void dry_answer(struct request *r, unsigned worker, unsigned index, const struct msg *m,
		       int fd)
{
	(void)fd;
	if (worker != r->worker || index != r->worker)
		return;
	if (m->type == MSG_CONTEXT) {
		dry_context(r, &m->u.info);
		return;
	}
	if (m->type != MSG_DONE)
		return;
	/* a cursor that goes back would be followed for ever */
	if (m->u.done.cursor > r->cursor) {
		r->cursor = m->u.done.cursor;
	} else {
		r->cursor = 0;
		r->worker++;
	}
	request_wait(r, CONTROL_DEADLINE_MS);
	dry_step(r);
}

/* A worker that does not answer: the rest is not known, and that is said. */
static void dry_expired(struct request *r)
{
	r->incomplete = true;
	dry_finish(r);
}

void dry_begin(struct request *r, const struct reload_result *res, json_t *result)
{
	r->candidate = res->candidate;
	r->candidate->users++;
	r->result = result;
	json_object_set_new(result, "changed", json_boolean(res->changed));
	if (res->diff)
		json_object_set_new(result, "diff", diff_lines(res->diff));
	r->match = (struct msg_match){.authority = 0xffff, .rule = UINT32_MAX};
	r->answer = dry_answer;
	r->step = dry_step;
	r->expired = dry_expired;
	request_wait(r, CONTROL_DEADLINE_MS);
	dry_step(r);
}
