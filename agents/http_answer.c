/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a response means: 200 with a JSON object that has a `verdict`; 204 is permit, 403 is block; everything
 * else is an error, which never lets anybody in by itself.
 */
#include "agents/http.h"
#include "base/str.h"
#include <stdio.h>
#include <string.h>

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

/* One that there is not blocks as the rule says: the block counts. */
static const char *way_of(const char *s)
{
	static const char *const names[] = {"drop", "reset", "unreachable"};

	for (size_t i = 0; s && i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(s, names[i]))
			return names[i];
	return NULL;
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
		out->how = way_of(json_string_value(json_object_get(o, "block")));
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
