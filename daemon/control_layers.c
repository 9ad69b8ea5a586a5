/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What each layer of the policy has said. */
#include "daemon/control_impl.h"

static void set_count(json_t *o, const char *key, uint64_t n)
{
	json_object_set_new(o, key, json_integer((json_int_t)n));
}

static json_t *layer_json(const struct view *v, uint32_t i, const struct layer_count *n)
{
	json_t *o = json_object();

	json_object_set_new(o, "layer", json_string(classify_layer_name(v->classifier, i)));
	set_count(o, "permit", n->permit);
	set_count(o, "block", n->block);
	set_count(o, "pend", n->pend);
	set_count(o, "veto", n->veto);
	return o;
}

static void layers_end(struct request *r)
{
	json_t *o = json_object();

	json_object_set_new(o, "layers", r->list ? r->list : json_array());
	r->list = NULL;
	set_count(o, "count", r->count);
	set_count(o, "generation", r->control->env.view->generation);
	request_ok(r, o);
}

static void layers_step(struct request *r)
{
	const struct view *v = r->control->env.view;
	struct msg m = {.type = MSG_LAYER_COUNTS, .u.layers.first = r->cursor};

	if (!v->classifier || r->cursor >= classify_layers(v->classifier))
		r->rows_end(r);
	else if (request_post(r, MSG_MAIN, 0, &m) < 0)
		request_fail(r, "system", "the verdict process is gone");
}

static void layers_answer(struct request *r, unsigned worker, unsigned index, const struct msg *m,
			  int fd)
{
	const struct view *v = r->control->env.view;
	uint32_t total = v->classifier ? classify_layers(v->classifier) : 0;

	(void)index;
	(void)fd;
	if (worker != MSG_MAIN || m->type != MSG_LAYER_COUNTS || m->u.layers.first != r->cursor)
		return;
	if (!m->u.layers.count || m->u.layers.count > MSG_LAYERS) {
		r->rows_end(r);
		return;
	}
	if (!r->list)
		r->list = json_array();
	for (uint32_t i = 0; i < m->u.layers.count && r->cursor < total; i++, r->count++)
		json_array_append_new(r->list, layer_json(v, r->cursor++, &m->u.layers.layer[i]));
	request_wait(r, CONTROL_DEADLINE_MS);
	layers_step(r);
}

void layers_walk(struct request *r)
{
	r->answer = layers_answer;
	r->step = layers_step;
	r->cursor = 0;
	request_wait(r, CONTROL_DEADLINE_MS);
	layers_step(r);
}

void show_layers(struct request *r, const json_t *args)
{
	(void)args;
	r->rows_end = layers_end;
	layers_walk(r);
}
