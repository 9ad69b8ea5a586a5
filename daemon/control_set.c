/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sets of addresses while the daemon runs: what is in them, and changes of it. */
#include "core/classify_patch.h"
#include "daemon/control_json.h"
#include "daemon/control_policy.h"
#include <stdlib.h>
#include <string.h>

#define LIST_PART 1000 /* elements in one part of a list */

/* Elements that came with "part", until the rest is there. */
struct parts {
	char set[OVERLAY_NAME];
	enum overlay_action action;
	struct policy_span *span;
	size_t n, cap;
};

static void set_int(json_t *o, const char *key, uint64_t v)
{
	json_object_set_new(o, key, json_integer((json_int_t)v));
}

void parts_free(struct control_client *cc)
{
	if (!cc->parts)
		return;
	cc->control->parts_held -= cc->parts->n;
	free(cc->parts->span);
	free(cc->parts);
	cc->parts = NULL;
}

/* ------------------------------------------------------------------------ changes ---- */

/* More of the same; what is there is forgotten when it is about something else. */
static bool parts_begin(struct request *r, const char *set, enum overlay_action action)
{
	struct control_client *cc = r->client;

	if (cc->parts && (cc->parts->action != action || strcmp(cc->parts->set, set) != 0)) {
		request_fail(r, "invalid",
			     "parts of \"%s\" were begun, and are forgotten: their last one must "
			     "come first",
			     cc->parts->set);
		return false;
	}
	if (cc->parts)
		return true;
	cc->parts = calloc(1, sizeof(*cc->parts));
	if (!cc->parts) {
		request_fail(r, "no-memory", "no memory");
		return false;
	}
	snprintf(cc->parts->set, sizeof(cc->parts->set), "%s", set);
	cc->parts->action = action;
	return true;
}

static bool parts_room(struct request *r, struct parts *p, size_t more)
{
	size_t cap = p->cap ? p->cap : 64;
	struct policy_span *span;

	if (r->control->parts_held + more > OVERLAY_SPANS_MAX) {
		request_fail(r, "limit", "more than %u elements wait for their last part",
			     OVERLAY_SPANS_MAX);
		return false;
	}
	while (cap < p->n + more)
		cap *= 2;
	span = cap == p->cap ? p->span : realloc(p->span, cap * sizeof(*span));
	if (!span) {
		request_fail(r, "no-memory", "no memory");
		return false;
	}
	p->span = span;
	p->cap = cap;
	return true;
}

static bool parts_add(struct request *r, struct parts *p, const json_t *elements)
{
	size_t n = json_array_size(elements);

	if (!parts_room(r, p, n))
		return false;
	for (size_t i = 0; i < n; i++) {
		const json_t *e = json_array_get(elements, i);
		const char *s = json_string_value(e);

		if (!s || strlen(s) != json_string_length(e) ||
		    policy_span_parse(s, &p->span[p->n]) < 0) {
			request_fail(r, "invalid",
				     "element %zu: \"%.60s\" is no address, prefix or range", i + 1,
				     s ? s : "?");
			return false;
		}
		p->n++;
		r->control->parts_held++;
	}
	return true;
}

/* All parts are there. */
static void set_change(struct request *r, struct amend *ch)
{
	struct parts *p = r->client->parts;

	memcpy(ch->set, p->set, sizeof(ch->set));
	ch->action = p->action;
	if (!policy_spans_make(&ch->spans, p->span, p->n)) {
		amend_free(ch);
		parts_free(r->client);
		request_fail(r, "no-memory", "no memory");
		return;
	}
	set_count_change(r->control->env.view->classifier, ch, p->span, p->n);
	parts_free(r->client);
	control_change(r, ch);
}

static bool elements_ok(struct request *r, enum overlay_action action, const json_t *elements,
			const json_t *part)
{
	bool more = r->client->parts != NULL;

	if (part && !json_is_boolean(part))
		request_fail(r, "invalid", "part is true or false");
	else if (action == OVERLAY_FLUSH && (elements || json_is_true(part)))
		request_fail(r, "invalid", "flush takes no elements");
	else if (elements && !json_is_array(elements))
		request_fail(r, "invalid",
			     "elements is an array of addresses, prefixes and ranges");
	else if ((action == OVERLAY_ADD || action == OVERLAY_DELETE) && !more &&
		 !json_array_size(elements))
		request_fail(r, "invalid", "elements is an array of at least one");
	else
		return true;
	return false;
}

static bool lasts(struct request *r, enum overlay_action action, const struct overlay_terms *t)
{
	if (action == OVERLAY_ADD || !(t->session || t->until))
		return true;
	if (t->until || action != OVERLAY_DELETE) {
		request_fail(r, "invalid",
			     "only what is added can go by itself: say \"stay\": true, and no end");
		return false;
	}
	return true;
}

/* False: it has failed, and with it the parts that came before. */
static bool alter(struct request *r, const json_t *args, const char *set,
		  enum overlay_action action, struct amend *ch)
{
	const json_t *elements = json_object_get(args, "elements"),
		     *part = json_object_get(args, "part");

	if (!elements_ok(r, action, elements, part) || !parts_begin(r, set, action) ||
	    !control_terms(r, args, &ch->terms) || !lasts(r, action, &ch->terms) ||
	    !parts_add(r, r->client->parts, elements))
		return false;
	if (action != OVERLAY_ADD)
		ch->terms.session = 0;
	if (json_is_true(part)) {
		amend_free(ch);
		request_ok(r, json_pack("{s:I}", "held", (json_int_t)r->client->parts->n));
	} else {
		set_change(r, ch);
	}
	return true;
}

static void set_alter(struct request *r, const json_t *args, const char *set,
		      enum overlay_action action)
{
	struct control_client *cc = r->client;
	struct amend *ch = amend_new(AMEND_SET);

	if (!ch) {
		request_fail(r, "no-memory", "no memory");
	} else if (!alter(r, args, set, action, ch)) {
		amend_free(ch);
		parts_free(cc);
	}
}

static bool count_one(void *ctx, uint8_t family, const uint8_t lo[16], const uint8_t hi[16])
{
	(void)family;
	(void)lo;
	(void)hi;
	++*(uint64_t *)ctx;
	return true;
}

static uint64_t set_count(const struct classifier *c, uint32_t set)
{
	uint64_t n = 0;

	classify_set_each(c, set, count_one, &n);
	return n;
}

void set_result(struct request *r, const struct amend *ch, json_t *o)
{
	const struct classifier *c = r->control->env.view->classifier;
	uint32_t set = c ? classify_set_find(c, ch->set) : UINT32_MAX;

	set_int(o, "added", ch->added);
	set_int(o, "removed", ch->removed);
	set_int(o, "elements", set == UINT32_MAX ? 0 : set_count(c, set));
}

/* -------------------------------------------------------------------------- looking ---- */

/* The elements from r->count on, as many as fit one part. */
struct listing {
	json_t *list;
	uint64_t skip, room;
	bool more;
};

static bool list_one(void *ctx, uint8_t family, const uint8_t lo[16], const uint8_t hi[16])
{
	struct policy_span s = {.family = family};
	char text[POLICY_SPAN_TEXT];
	struct listing *l = ctx;

	if (l->skip) {
		l->skip--;
		return true;
	}
	if (json_array_size(l->list) >= l->room) {
		l->more = true;
		return false;
	}
	memcpy(s.lo, lo, family == 4 ? 4 : 16);
	memcpy(s.hi, hi, family == 4 ? 4 : 16);
	json_array_append_new(l->list, json_string(policy_span_print(&s, text)));
	return true;
}

static uint64_t view_state(const struct view *v)
{
	return v->serial << 32 | v->revision;
}

/* The set's number is in r->next; the view must stay what it was. */
static void list_step(struct request *r)
{
	const struct view *v = r->control->env.view;

	for (;;) {
		uint64_t left = r->limit - r->count;
		struct listing l = {.list = json_array(),
				    .skip = r->count,
				    .room = left < LIST_PART ? left : LIST_PART};
		json_t *o = json_pack("{s:o}", "elements", l.list);

		if (r->shown != view_state(v)) {
			json_decref(o);
			request_fail(r, "busy", "the set was changed meanwhile: again");
			return;
		}
		classify_set_each(v->classifier, r->next, list_one, &l);
		r->count += json_array_size(l.list);
		if (!l.more || r->count >= r->limit) {
			set_int(o, "count", r->count);
			request_ok(r, o);
			return;
		}
		request_part(r, o);
		if (request_hold(r))
			return;
	}
}

static void set_list(struct request *r, const json_t *args, uint32_t set)
{
	const json_t *limit = json_object_get(args, "limit");

	if (limit && (!json_is_integer(limit) || json_integer_value(limit) < 0)) {
		request_fail(r, "invalid", "limit is a number");
		return;
	}
	r->limit = limit ? (uint64_t)json_integer_value(limit) : UINT64_MAX;
	r->next = set;
	r->shown = view_state(r->control->env.view);
	r->step = list_step;
	list_step(r);
}

static void set_test(struct request *r, const json_t *args, uint32_t set)
{
	const json_t *elements = json_object_get(args, "elements");
	const char *s = json_string_value(json_array_get(elements, 0));
	const struct classifier *c = r->control->env.view->classifier;
	struct policy_span span;

	if (json_array_size(elements) != 1 || !s || policy_span_parse(s, &span) < 0 ||
	    memcmp(span.lo, span.hi, sizeof(span.lo)) != 0)
		request_fail(r, "invalid", "\"%.60s\" is no address: elements is an array of one",
			     s ? s : "?");
	else
		request_ok(r, json_pack("{s:b}", "in",
					classify_set_has(c, set, span.family, span.lo)));
}

/* UINT32_MAX: the request has failed. */
static uint32_t set_find(struct request *r, const char *name)
{
	const struct classifier *c = r->control->env.view->classifier;
	uint32_t set = c && *name ? classify_set_find(c, name) : UINT32_MAX;

	if (set == UINT32_MAX)
		request_fail(r, "not-found", "there is no set \"%.40s\" in the policy", name);
	return set;
}

void act_set(struct request *r, const json_t *args)
{
	static const char *const verbs[] = {[OVERLAY_ADD] = "add",
					    [OVERLAY_DELETE] = "delete",
					    [OVERLAY_FLUSH] = "flush",
					    [OVERLAY_LOAD] = "load"};
	const char *name = json_string_value(json_object_get(args, "set")),
		   *action = json_string_value(json_object_get(args, "action"));
	bool list = action && !strcmp(action, "list"), test = action && !strcmp(action, "test");
	uint32_t set;

	if (!name || !*name || strlen(name) >= OVERLAY_NAME) {
		request_fail(r, "invalid", "set is the name of a set");
		return;
	}
	if (list || test) {
		set = set_find(r, name);
		if (set == UINT32_MAX)
			return;
		list ? set_list(r, args, set) : set_test(r, args, set);
		return;
	}
	for (unsigned i = 0; action && i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		if (strcmp(action, verbs[i]) != 0)
			continue;
		if (!request_denied(r, ROLE_ADMIN))
			set_alter(r, args, name, (enum overlay_action)i);
		return;
	}
	request_fail(r, "invalid",
		     "action is \"add\", \"delete\", \"flush\", \"load\", \"list\" or \"test\"");
}

static bool set_changed(const struct request *r, const char *name)
{
	const struct overlay *v = r->control->env.overlay
					  ? r->control->env.overlay(r->control->env.ctx)
					  : NULL;

	for (size_t i = 0; v && i < v->sets; i++)
		if (!strcmp(v->set[i]->name, name))
			return true;
	return false;
}

void show_sets(struct request *r, const json_t *args)
{
	const struct classifier *c = r->control->env.view->classifier;
	json_t *list = json_array(), *o = json_pack("{s:o}", "sets", list), *s;

	(void)args;
	for (uint32_t i = 0; c && i < classify_sets(c); i++) {
		const char *name = classify_set_name(c, i);

		if (!name || !*name)
			continue;
		s = json_object();
		json_object_set_new(s, "set", cj_text(name));
		set_int(s, "elements", set_count(c, i));
		json_object_set_new(s, "changed", json_boolean(set_changed(r, name)));
		json_array_append_new(list, s);
	}
	set_int(o, "count", json_array_size(list));
	request_ok(r, o);
}
