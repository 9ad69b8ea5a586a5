/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a daemon says and a person types, to `pendctl ask` without its terminal: lines of JSON are lists of what waits,
 * events and rules in turn; behind an empty line all bytes are keys. Nothing that is said may move a cursor.
 */
#include "cli/interview.h"
#include "cli/term.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void line(void *ctx, const char *text)
{
	(void)ctx;
	for (const unsigned char *p = (const unsigned char *)text; *p; p++)
		if (*p < 0x20 || *p == 0x7f)
			abort();
}

static void say_all(const struct interview *a, int64_t now)
{
	char prompt[ASK_LINE_MAX];

	interview_text(a, now, line, NULL);
	interview_text_name(a, line, NULL);
	interview_details(a, now, line, NULL);
	interview_prompt(a, now, prompt);
	line(NULL, prompt);
	term_cut(prompt, 20);
}

static void take(struct interview *a, const json_t *v, int64_t now)
{
	const json_t *e = json_object_get(v, "event");

	if (json_object_get(v, "rules"))
		interview_rules(a, v);
	else if (json_object_get(v, "pending"))
		interview_listed(a, json_object_get(v, "pending"), false, now);
	else if (json_object_get(v, "history"))
		interview_history(a, v);
	else if (json_is_object(e)) {
		interview_text_ended(e, line, NULL);
		interview_ended(a, e);
	}
	interview_next(a, now);
	say_all(a, now);
}

static void type(struct interview *a, const uint8_t *s, size_t n, int64_t now)
{
	for (size_t at = 0; at < n; now += ASK_SETTLE) {
		int key = term_key(s, n, &at);
		struct interview_action action;

		interview_key(a, key, now, &action);
		if (action.what == ASK_DECIDE)
			json_decref(interview_request(a, &action));
		interview_next(a, now);
		say_all(a, now);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct interview a;
	int64_t now = 1000000;
	size_t at = 0;

	interview_init(&a);
	while (at < size && data[at] != '\n') {
		const uint8_t *nl = memchr(data + at, '\n', size - at);
		size_t len = nl ? (size_t)(nl - data) - at : size - at;
		json_t *v = json_loadb((const char *)data + at, len, 0, NULL);

		take(&a, v, now);
		json_decref(v);
		now += 1000;
		at += len + (nl != NULL);
	}
	type(&a, data + at, size - at, now);
	interview_deinit(&a);
	return 0;
}
