/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The `authorities` command: who is asked, what its definition says, and how well it answers. */
#include "base/str.h"
#include "daemon/control_impl.h"
#include "daemon/control_json.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

static void set_int(json_t *o, const char *key, uint64_t v)
{
	json_object_set_new(o, key, json_integer((json_int_t)v));
}

static void set_text(json_t *o, const char *key, const char *s)
{
	json_object_set_new(o, key, cj_text(s));
}

/* ---- the definition ---- */

static const char *type_name(unsigned type)
{
	static const char *const names[] = {
		[AUTHORITY_OPERATOR] = "operator", [AUTHORITY_STATIC] = "static",
		[AUTHORITY_SOCKET] = "socket",     [AUTHORITY_EXEC] = "exec",
		[AUTHORITY_DNSBL] = "dnsbl",       [AUTHORITY_HTTP] = "http",
		[AUTHORITY_UNIT] = "unit",         [AUTHORITY_TOTP] = "totp",
		[AUTHORITY_ANY] = "any",           [AUTHORITY_ALL] = "all",
		[AUTHORITY_QUORUM] = "quorum",     [AUTHORITY_CHAIN] = "chain"};

	return type < sizeof(names) / sizeof(names[0]) && names[type] ? names[type] : "unknown";
}

static const char *absent_name(unsigned v)
{
	static const char *const names[] = {[CLASSIFY_ABSENT_BLOCK] = "block",
					    [CLASSIFY_ABSENT_PERMIT] = "permit",
					    [CLASSIFY_ABSENT_WAIT] = "wait"};

	return v < sizeof(names) / sizeof(names[0]) ? names[v] : "block";
}

static const char *error_name(unsigned v)
{
	static const char *const names[] = {[CLASSIFY_ERROR_BLOCK] = "block",
					    [CLASSIFY_ERROR_PERMIT] = "permit",
					    [CLASSIFY_ERROR_NEXT] = "next"};

	return v < sizeof(names) / sizeof(names[0]) ? names[v] : "block";
}

static bool served(const struct classify_authority *a)
{
	return a->type == AUTHORITY_SOCKET || classify_authority_is_ours(a->type);
}

static void add_members(json_t *o, const struct classifier *c, const struct classify_authority *a)
{
	json_t *list = json_array();
	struct classify_authority m;

	for (unsigned i = 0; i < a->members; i++)
		if (classify_authority(c, a->member[i], &m))
			json_array_append_new(list, cj_text(m.name));
	json_object_set_new(o, "members", list);
	if (a->type == AUTHORITY_QUORUM)
		set_int(o, "need", a->need);
}

static void add_served(json_t *o, const struct classify_authority *a, uint32_t max_pending)
{
	set_text(o, "on_absent", absent_name(a->on_absent));
	set_text(o, "on_error", error_name(a->on_error));
	set_int(o, "max_pending", max_pending);
	if (*a->user)
		set_text(o, "user", a->user);
	if (*a->group)
		set_text(o, "group", a->group);
}

/* What its program needs, which may be secret. */
static void add_config(json_t *o, const struct classify_authority *a)
{
	json_t *config = json_loads(a->config, 0, NULL);

	json_object_set_new(o, "config", config ? config : json_object());
}

static json_t *definition(const struct classifier *c, const struct classify_authority *a)
{
	const char *on_timeout = cj_verdict_name(a->on_timeout);
	char timeout[STR_DURATION_MAX];
	json_t *o = json_object();

	set_text(o, "name", a->name);
	set_text(o, "type", type_name(a->type));
	set_text(o, "timeout", str_duration_print(a->timeout_ns, timeout));
	set_text(o, "on_timeout", on_timeout ? on_timeout : "block");
	if (a->type == AUTHORITY_STATIC && cj_verdict_name(a->answer))
		set_text(o, "answer", cj_verdict_name(a->answer));
	if (a->members)
		add_members(o, c, a);
	return o;
}

/* ---- health ---- */

static const char *breaker_name(enum ask_breaker b)
{
	switch (b) {
	case ASK_CLOSED:
		return "closed";
	case ASK_OPEN:
		return "open";
	case ASK_HALF_OPEN:
		return "half-open";
	}
	return "closed";
}

/* In one word: the worst that is true. */
static const char *state_name(const struct ask_authority_stats *s)
{
	if (!s->servers)
		return "absent";
	if (s->breaker != ASK_CLOSED)
		return "failing";
	if (s->open + s->waiting >= s->max_pending)
		return "full";
	return s->waiting ? "behind" : "ok";
}

static const struct figure {
	const char *key, *metric, *help;
	size_t at;
	bool wide, counter; /* 64 bits; it only grows */
} figures[] = {
#define GAUGE(field, name, help)                                                              \
	{                                                                                     \
#field, name, help, offsetof(struct ask_authority_stats, field), false, false \
	}
#define COUNT(field, name, help)                                                            \
	{                                                                                   \
#field, name, help, offsetof(struct ask_authority_stats, field), true, true \
	}
	GAUGE(servers, "servers", "Programs that serve an authority"),
	GAUGE(open, "open", "Questions that an authority was asked and has not answered"),
	GAUGE(waiting, "waiting", "Questions that wait for a program with room"),
	COUNT(asked, "asked", "Questions put to an authority"),
	COUNT(permits, "permits", "Answers: permit"),
	COUNT(blocks, "blocks", "Answers: block"),
	COUNT(continues, "continues", "Answers: no opinion"),
	COUNT(errors, "errors", "Answers: error, and programs that went with questions open"),
	COUNT(timeouts, "timeouts", "Questions that were not answered in time"),
	COUNT(absent, "absent", "Questions that nobody was there to answer"),
	COUNT(limited, "limited", "Questions above max-pending"),
	COUNT(refused, "refused", "Questions not asked because an authority fails"),
	COUNT(late, "late", "Answers to questions that were over"),
	COUNT(answers, "answers", "Answers, of any kind, in time"),
#undef GAUGE
#undef COUNT
};

#define FIGURES (sizeof(figures) / sizeof(figures[0]))

static uint64_t figure(const struct figure *f, const struct ask_authority_stats *s)
{
	const char *at = (const char *)s + f->at;
	uint32_t narrow;
	uint64_t wide;

	if (f->wide) {
		memcpy(&wide, at, sizeof(wide));
		return wide;
	}
	memcpy(&narrow, at, sizeof(narrow));
	return narrow;
}

static json_t *health(const struct ask_authority_stats *s)
{
	json_t *o = json_object();

	set_text(o, "state", state_name(s));
	set_text(o, "breaker", breaker_name(s->breaker));
	for (size_t i = 0; i < FIGURES; i++)
		set_int(o, figures[i].key, figure(&figures[i], s));
	set_int(o, "p50_us", s->p50_us);
	set_int(o, "p99_us", s->p99_us);
	return o;
}

/* ---- the command ---- */

/* Whoever may only serve sees what that is. */
static json_t *authority_json(const struct request *r, const struct classifier *c,
			      const struct classify_authority *a)
{
	bool may = control_may_serve(r->client, a->name);
	const struct ask *ask = r->control->env.ask;
	struct ask_authority_stats s;
	bool known;
	json_t *o;

	if (r->client->role < ROLE_OBSERVE && !may)
		return NULL;
	o = definition(c, a);
	if (!served(a))
		return o;
	known = ask && ask_authority_stats(ask, a->name, &s);
	add_served(o, a, known ? s.max_pending : a->max_pending);
	if (may)
		add_config(o, a);
	if (known)
		json_object_set_new(o, "health", health(&s));
	return o;
}

void show_authorities(struct request *r, const json_t *args)
{
	const struct view *v = r->control->env.view;
	json_t *o = json_object(), *list = json_array(), *one;
	uint32_t n = v->classifier ? classify_authorities(v->classifier) : 0;
	struct classify_authority a;

	(void)args;
	for (uint32_t i = 0; i < n; i++) {
		one = classify_authority(v->classifier, (uint16_t)i, &a)
			      ? authority_json(r, v->classifier, &a)
			      : NULL;
		if (one)
			json_array_append_new(list, one);
	}
	set_int(o, "count", json_array_size(list));
	json_object_set_new(o, "authorities", list);
	set_int(o, "generation", v->generation);
	request_ok(r, o);
}

/* ---- metrics ---- */

static void line(json_t *lines, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void line(json_t *lines, const char *fmt, ...)
{
	char text[400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	json_array_append_new(lines, json_string(text));
}

/* Names of authorities are words: nothing in them needs escaping. */
static void each(const struct request *r, json_t *lines,
		 void (*put)(json_t *lines, const struct ask_authority_stats *s, const void *arg),
		 const void *arg)
{
	const struct classifier *c = r->control->env.view->classifier;
	uint32_t n = c && r->control->env.ask ? classify_authorities(c) : 0;
	struct ask_authority_stats s;
	struct classify_authority a;

	for (uint32_t i = 0; i < n; i++)
		if (classify_authority(c, (uint16_t)i, &a) && served(&a) &&
		    ask_authority_stats(r->control->env.ask, a.name, &s))
			put(lines, &s, arg);
}

static void put_figure(json_t *lines, const struct ask_authority_stats *s, const void *arg)
{
	const struct figure *f = arg;

	line(lines, "pend_authority_%s%s{authority=\"%s\"} %" PRIu64, f->metric,
	     f->counter ? "_total" : "", s->name, figure(f, s));
}

static void put_state(json_t *lines, const struct ask_authority_stats *s, const void *arg)
{
	static const char *const states[] = {"ok", "behind", "full", "failing", "absent"};

	(void)arg;
	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++)
		line(lines, "pend_authority_state{authority=\"%s\",pend_authority_state=\"%s\"} %d",
		     s->name, states[i], !strcmp(states[i], state_name(s)));
}

static void put_time(json_t *lines, const struct ask_authority_stats *s, const void *arg)
{
	(void)arg;
	line(lines, "pend_authority_answer_seconds{authority=\"%s\",quantile=\"0.5\"} %.6f",
	     s->name, (double)s->p50_us / 1e6);
	line(lines, "pend_authority_answer_seconds{authority=\"%s\",quantile=\"0.99\"} %.6f",
	     s->name, (double)s->p99_us / 1e6);
	line(lines, "pend_authority_answer_seconds_count{authority=\"%s\"} %" PRIu64, s->name,
	     s->answers);
	line(lines, "pend_authority_answer_seconds_sum{authority=\"%s\"} %.9f", s->name,
	     (double)s->answer_ns_sum / 1e9);
}

void authority_lines(struct request *r, json_t *lines)
{
	for (size_t i = 0; i < FIGURES; i++) {
		line(lines, "# TYPE pend_authority_%s %s", figures[i].metric,
		     figures[i].counter ? "counter" : "gauge");
		line(lines, "# HELP pend_authority_%s %s.", figures[i].metric, figures[i].help);
		each(r, lines, put_figure, &figures[i]);
	}
	line(lines, "# TYPE pend_authority_state stateset");
	line(lines, "# HELP pend_authority_state Health of an authority that programs serve.");
	each(r, lines, put_state, NULL);
	line(lines, "# TYPE pend_authority_answer_seconds summary");
	line(lines, "# HELP pend_authority_answer_seconds Time from question to answer.");
	each(r, lines, put_time, NULL);
}
