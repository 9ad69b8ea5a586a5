/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The commands that show the policy in force at work and as text: test, show. `test` asks the
 * classifier itself, on the very image that the workers have.
 */
#include "base/str.h"
#include "core/classify_trace.h"
#include "core/flow.h"
#include "daemon/control_impl.h"
#include "daemon/control_json.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HOOK_IN = 1, HOOK_FWD = 2, HOOK_OUT = 3 };
enum { IF_IN = 1, IF_OUT = 2 }; /* made-up indexes */

#define SHOW_PART       200        /* lines in one part of a reply */
#define SHOW_LINE       (4u << 20) /* bytes; a client takes lines of twice that */
#define SHOW_PART_BYTES (128u << 10)

static void set_int(json_t *o, const char *key, uint64_t v)
{
	json_object_set_new(o, key, json_integer((json_int_t)v));
}

static void set_text(json_t *o, const char *key, const char *s)
{
	json_object_set_new(o, key, cj_text(s));
}

static void set_name(json_t *o, const char *key, const char *name)
{
	if (name)
		set_text(o, key, name);
}

/* ---------------------------------------------------------------------- test ---- */

/* What is asked about. */
struct question {
	struct flow flow;
	struct pend_values v;
	struct classify_ifaces *ifaces;
	struct judge judge;
};

static bool has_ports(uint8_t proto)
{
	return proto == 6 || proto == 17 || proto == 33 || proto == 132 || proto == 136;
}

static void values_of(const struct flow *f, struct pend_values *v)
{
	flow_values(f, v);
	v->mark_unknown = false; /* a plain SYN, of the mark that is asked about */
	v->tcp_flags_unknown = 0;
	v->has_ports = has_ports(f->proto); /* a port of 0 may be asked about */
	v->hook = HOOK_IN;
}

static int ask_hook(const json_t *hook, struct pend_values *v, struct err *e)
{
	static const char *const names[] = {
		[HOOK_IN] = "input", [HOOK_FWD] = "forward", [HOOK_OUT] = "output"};
	const char *s = json_string_value(hook);

	if (!hook)
		return 0;
	for (uint8_t i = HOOK_IN; s && i <= HOOK_OUT; i++)
		if (!strcmp(s, names[i])) {
			v->hook = i;
			return 0;
		}
	return err_set(e, -EINVAL, "hook is \"input\", \"forward\" or \"output\"");
}

/* Rules name interfaces and packets number them: here the one named has the number that is asked. */
static int ask_iface(const json_t *name, const char *key, uint32_t index, uint32_t *value,
		     struct classify_ifaces *t, struct err *e)
{
	const char *s = json_string_value(name);
	struct classify_iface *f = &t->iface[t->n];

	if (!name)
		return 0;
	if (!s || !*s || strlen(s) >= sizeof(f->name))
		return err_set(e, -EINVAL, "%s is the name of an interface, of 1 to 15 bytes", key);
	f->index = index;
	snprintf(f->name, sizeof(f->name), "%s", s);
	*value = index;
	t->n++;
	return 0;
}

/* As rules see it: without the bits that are pend's own. */
static int ask_mark(const json_t *mark, uint32_t own, struct pend_values *v, struct err *e)
{
	json_int_t n = json_integer_value(mark);

	if (!mark)
		return 0;
	if (!json_is_integer(mark) || n < 0 || n > (json_int_t)UINT32_MAX)
		return err_set(e, -EINVAL, "mark is a number of 32 bits");
	v->mark = (uint32_t)n & ~own;
	return 0;
}

static int ask_places(const json_t *args, uint32_t own_mark, struct question *q, struct err *e)
{
	const json_t *in = json_object_get(args, "in"), *out = json_object_get(args, "out");

	if (ask_hook(json_object_get(args, "hook"), &q->v, e) < 0 ||
	    ask_mark(json_object_get(args, "mark"), own_mark, &q->v, e) < 0 ||
	    ask_iface(in, "in", IF_IN, &q->v.in_interface, q->ifaces, e) < 0 ||
	    ask_iface(out, "out", IF_OUT, &q->v.out_interface, q->ifaces, e) < 0)
		return -EINVAL;
	if (out && q->v.hook == HOOK_IN)
		return err_set(e, -EINVAL, "a packet of hook input goes out nowhere");
	if (in && q->v.hook == HOOK_OUT)
		return err_set(e, -EINVAL, "a packet of hook output came in nowhere");
	return 0;
}

static int ask(const json_t *args, uint32_t own_mark, struct question *q, struct err *e)
{
	const char *flow = json_string_value(json_object_get(args, "flow"));
	const json_t *trace = json_object_get(args, "trace");

	if (!flow || flow_parse(flow, &q->flow) < 0)
		return err_set(e, -EINVAL,
			       "flow is as in \"tcp 203.0.113.7:4000 > 192.0.2.1:22\", "
			       "\"udp [2001:db8::7]:1 > [2001:db8::1]:53\" or "
			       "\"icmp 203.0.113.7 > 192.0.2.1\"");
	if (trace && !json_is_boolean(trace))
		return err_set(e, -EINVAL, "trace is true or false");
	values_of(&q->flow, &q->v);
	return ask_places(args, own_mark, q, e);
}

static void answer_pend(json_t *o, const struct classifier *c, const struct classify_result *r)
{
	static const char *const modes[] = {"auto", "hold", "absorb"};
	char timeout[STR_DURATION_MAX];
	struct classify_authority a;

	if (classify_authority(c, r->authority, &a))
		set_text(o, "authority", a.name);
	set_text(o, "timeout", str_duration_print(r->timeout_ns, timeout));
	set_name(o, "on_timeout", cj_verdict_name(r->on_timeout));
	set_text(o, "release", r->release == PEND_RELEASE_BUFFER ? "buffer" : "flush");
	set_name(o, "mode", r->mode < 3 ? modes[r->mode] : NULL);
}

static json_t *answer_json(const struct classifier *c, const struct classify_result *r)
{
	json_t *o = r->rule == CLASSIFY_NO_RULE ? json_object() : rule_object(c, r->rule);

	set_text(o, "action", action_name(r->action));
	if (r->action == CLASSIFY_PEND)
		answer_pend(o, c, r);
	if (r->action != CLASSIFY_PERMIT)
		set_name(o, "block", cj_block_name(r->block));
	json_object_set_new(o, "log", json_boolean(r->log));
	return o;
}

struct tracing {
	const struct classifier *c;
	json_t *layers, *inspects, *misses;
	uint32_t more;
};

static const char *why_name(enum classify_trace_why why)
{
	switch (why) {
	case CLASSIFY_TRACE_WINS:
		return "wins";
	case CLASSIFY_TRACE_NO_OPINION:
		return "no-opinion";
	case CLASSIFY_TRACE_MILDER:
		return "milder";
	case CLASSIFY_TRACE_LIGHTER:
		return "lighter";
	case CLASSIFY_TRACE_ASKS_NEXT:
		return "asks-next";
	}
	return NULL;
}

static json_t *layer_json(const struct classifier *c, const struct classify_trace *s)
{
	bool rule = s->rule != CLASSIFY_NO_RULE;
	json_t *o = rule ? rule_object(c, s->rule) : json_object();

	set_text(o, "layer", s->layer_name);
	json_object_set_new(o, "default", json_boolean(s->is_default));
	json_object_set_new(o, "limited", json_boolean(s->limited));
	set_name(o, "why", why_name(s->why));
	return o;
}

static json_t *miss_json(const struct classifier *c, const struct classify_trace *s)
{
	json_t *o = rule_object(c, s->rule);

	set_text(o, "condition", s->condition);
	json_object_set_new(o, "negated", json_boolean(s->negated));
	json_object_set_new(o, "absent", json_boolean(s->absent));
	json_object_set_new(o, "unknown", json_boolean(s->unknown));
	return o;
}

static void trace_step(void *ctx, const struct classify_trace *s)
{
	struct tracing *t = ctx;

	switch (s->kind) {
	case CLASSIFY_TRACE_LAYER:
		json_array_append_new(t->layers, layer_json(t->c, s));
		return;
	case CLASSIFY_TRACE_INSPECT:
		json_array_append_new(t->inspects, rule_object(t->c, s->rule));
		return;
	case CLASSIFY_TRACE_MISS:
		json_array_append_new(t->misses, miss_json(t->c, s));
		return;
	case CLASSIFY_TRACE_MORE:
		t->more = s->count;
		return;
	}
}

static json_t *trace_json(const struct classifier *c, const struct question *q)
{
	struct tracing t = {
		.c = c, .layers = json_array(), .inspects = json_array(), .misses = json_array()};
	json_t *o = json_object();

	classify_trace(c, &q->judge.now, &q->v, trace_step, &t);
	json_object_set_new(o, "layers", t.layers);
	json_object_set_new(o, "inspects", t.inspects);
	json_object_set_new(o, "misses", t.misses);
	set_int(o, "more", t.more);
	return o;
}

/* The questions of other layers, that come when this one has got its permit. */
static json_t *then_json(const struct classifier *c, const struct question *q,
			 const struct classify_result *first)
{
	struct classify_context now = q->judge.now;
	struct classify_result r = *first;
	json_t *then = json_array();

	while (r.action == CLASSIFY_PEND) {
		now.answered |= r.pends & -r.pends;
		classify_with(c, &now, &q->v, &r);
		if (r.action == CLASSIFY_PEND)
			json_array_append_new(then, answer_json(c, &r));
	}
	return then;
}

static void test_answer(struct request *r, const json_t *args, struct question *q)
{
	const struct view *v = r->control->env.view;
	struct classify_result result;
	char flow[FLOW_TEXT];
	json_t *o;

	classify_with(v->classifier, &q->judge.now, &q->v, &result);
	o = answer_json(v->classifier, &result);
	json_object_set_new(o, "depends_on_listener", json_boolean(q->judge.unsure));
	set_text(o, "flow", flow_print(&q->flow, flow));
	set_int(o, "generation", v->generation);
	if (result.pends & (result.pends - 1))
		json_object_set_new(o, "then", then_json(v->classifier, q, &result));
	if (json_is_true(json_object_get(args, "trace")))
		json_object_set_new(o, "trace", trace_json(v->classifier, q));
	request_ok(r, o);
}

void show_test(struct request *r, const json_t *args)
{
	struct question q = {0};
	struct err e = {0};

	q.ifaces = calloc(1, sizeof(*q.ifaces) + 2 * sizeof(q.ifaces->iface[0]));
	if (!q.ifaces)
		request_fail(r, "no-memory", "out of memory");
	else if (ask(args, r->control->env.view->settings.mark_mask, &q, &e) < 0)
		request_fail(r, "invalid", "%s", e.text);
	else if (!r->control->env.view->classifier)
		request_fail(r, "system", "the policy in force is not known");
	else {
		const struct control_env *env = &r->control->env;
		const char *in = json_string_value(json_object_get(args, "in"));

		judge_init(&q.judge, env, q.ifaces, in ? view_interface_index(env->view, in) : 0);
		test_answer(r, args, &q);
	}
	free(q.ifaces);
}

/* ---------------------------------------------------------------------- show ---- */

/* The tabs that indent a line stay; all else is cleaned. */
static json_t *line_json(const char *s, size_t len)
{
	size_t tabs = 0;
	json_t *clean, *v;
	char *copy;

	while (tabs < len && s[tabs] == '\t')
		tabs++;
	copy = strndup(s + tabs, len - tabs);
	clean = copy ? cj_text(copy) : NULL;
	v = json_sprintf("%.*s%s", (int)tabs, s, clean ? json_string_value(clean) : "");
	json_decref(clean);
	free(copy);
	return v;
}

/* As many lines as fit one part; *text goes on behind them. False: one is too long to be told. */
static bool show_lines(const char **text, json_t *lines)
{
	const char *p = *text, *begin = p;

	for (unsigned i = 0; i < SHOW_PART && *p && p - begin < (ptrdiff_t)SHOW_PART_BYTES; i++) {
		const char *nl = strchrnul(p, '\n');

		if (nl - p > (ptrdiff_t)SHOW_LINE)
			return false;
		json_array_append_new(lines, line_json(p, (size_t)(nl - p)));
		p = *nl ? nl + 1 : nl;
	}
	*text = p;
	return true;
}

/* The next part. The text is the view's: it goes when another policy comes. */
static void show_step(struct request *r)
{
	const struct view *v = r->control->env.view;

	for (;;) {
		json_t *o;

		if (request_hold(r))
			return;
		if (r->shown != v->serial) {
			request_fail(r, "busy", "another policy was put in force meanwhile: again");
			return;
		}
		o = json_pack("{s:[]}", "lines");
		if (!show_lines(&r->text, json_object_get(o, "lines"))) {
			json_decref(o);
			request_fail(r, "unsupported", "a line of the text is too long to be told");
			return;
		}
		if (!*r->text) {
			set_int(o, "generation", v->generation);
			request_ok(r, o);
			return;
		}
		request_part(r, o);
	}
}

void show_text(struct request *r, const json_t *args)
{
	const struct view *v = r->control->env.view;
	const char *what = json_string_value(json_object_get(args, "what"));
	bool settings = what && !strcmp(what, "settings");

	if (!what || (!settings && strcmp(what, "policy") != 0)) {
		request_fail(r, "invalid", "what is \"policy\" or \"settings\"");
		return;
	}
	r->text = settings ? v->settings_text : v->text;
	if (!r->text) {
		request_fail(r, "system", "its text is not known");
		return;
	}
	r->shown = v->serial;
	r->step = show_step;
	show_step(r);
}
