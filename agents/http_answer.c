/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a response means: 200 with a JSON object that has a `verdict`; 204 is permit, 403 is block; everything
 * else is an error, which never lets anybody in by itself.
 */
#include "agents/http.h"
#include <stdio.h>
#include <string.h>

/* Of the protocol. */
#define REMEMBER_MIN 1000000000ull
#define REMEMBER_MAX (365 * 86400ull * 1000000000)

static void is(struct http_answer *out, enum pend_client_answer answer, const char *why)
{
	out->answer = answer;
	snprintf(out->why, sizeof(out->why), "%s", why);
}

/* -1: there is no such verdict. */
static int verdict_of(const char *s)
{
	static const char *const names[] = {[PEND_CLIENT_ANSWER_PERMIT] = "permit",
					    [PEND_CLIENT_ANSWER_BLOCK] = "block",
					    [PEND_CLIENT_ANSWER_CONTINUE] = "continue",
					    [PEND_CLIENT_ANSWER_ERROR] = "error"};

	for (size_t i = 0; s && i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(s, names[i]))
			return (int)i;
	return -1;
}

static const char *const ways[] = {"drop", "reset", "unreachable", NULL};
static const char *const scopes[] = {"service", "source", "flow", NULL};

/* The same word of the list; NULL: it is none of them. */
static const char *one_of(const char *const *list, const json_t *v)
{
	const char *s = json_string_value(v);

	for (; *list; list++)
		if (str_eq(s, *list))
			return *list;
	return NULL;
}

/* What is said wrongly is not remembered at all: it was meant to hold for less, or for others. */
static void read_memory(const json_t *o, struct http_answer *out)
{
	const json_t *remember = json_object_get(o, "remember"),
		     *scope = json_object_get(o, "scope");
	const char *s = json_string_value(remember);
	uint64_t ns;

	out->scope = one_of(scopes, scope);
	out->told = remember || (scope && !out->scope);
	if (s && (!scope || out->scope) && !str_duration(s, &ns) && ns >= REMEMBER_MIN &&
	    ns <= REMEMBER_MAX)
		str_duration_print(ns, out->remember);
}

static void read_object(const json_t *o, struct http_answer *out)
{
	int v = verdict_of(json_string_value(json_object_get(o, "verdict")));
	const char *why = json_string_value(json_object_get(o, "why"));

	if (v < 0) {
		is(out, PEND_CLIENT_ANSWER_ERROR, "the response has no verdict");
		return;
	}
	out->answer = (enum pend_client_answer)v;
	if (out->answer == PEND_CLIENT_ANSWER_BLOCK)
		out->how = one_of(ways, json_object_get(o, "block"));
	if (out->answer <= PEND_CLIENT_ANSWER_BLOCK)
		read_memory(o, out);
	str_sanitize(why ? why : "", out->why, sizeof(out->why));
}

static void read_body(const char *body, size_t len, struct http_answer *out)
{
	json_t *o = json_loadb(body, len, JSON_REJECT_DUPLICATES, NULL);

	if (json_is_object(o))
		read_object(o, out);
	else
		is(out, PEND_CLIENT_ANSWER_ERROR, "the response is not a JSON object");
	json_decref(o);
}

void http_answer_read(long status, const char *body, size_t len, struct http_answer *out)
{
	*out = (struct http_answer){0};
	if (status == 200) {
		read_body(body ? body : "", len, out);
	} else if (status == 204) {
		is(out, PEND_CLIENT_ANSWER_PERMIT, "");
	} else if (status == 403) {
		is(out, PEND_CLIENT_ANSWER_BLOCK, "");
	} else {
		out->answer = PEND_CLIENT_ANSWER_ERROR;
		snprintf(out->why, sizeof(out->why), "the response has the status %ld", status);
	}
}
