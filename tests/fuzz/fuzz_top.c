/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a daemon says and a person types, to `pendctl top` without its screen: the first two bytes are the screen's size,
 * lines of JSON are results and events; behind an empty line all bytes are keys. No line may move a cursor, and no
 * screen is longer than the terminal.
 */
#include "cli/top.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct top_line line[TOP_LINES];
static int columns, lines, page;

static void show(struct top *t, int64_t now)
{
	int n = top_lines(t, columns, lines, now, line, &page);

	if (n > TOP_LINES || (lines && n > (lines < 2 ? 2 : lines)) || page < 1)
		abort();
	for (int i = 0; i < n; i++)
		for (const unsigned char *p = (const unsigned char *)line[i].text; *p; p++)
			if (*p < 0x20 || *p == 0x7f)
				abort();
}

static void take(struct top *t, const json_t *v, int64_t now)
{
	if (json_object_get(v, "event"))
		top_event(t, json_object_get(v, "event"));
	else if (json_object_get(v, "pending"))
		top_pending(t, json_object_get(v, "pending"), json_object_get(v, "next"), now);
	else if (json_object_get(v, "authorities"))
		top_authorities(t, v);
	else if (json_object_get(v, "permits"))
		top_decisions(t, v, now);
	else if (json_object_get(v, "failed"))
		top_decided(t, v, NULL, NULL);
	else if (json_is_object(v))
		top_status(t, v, now);
	show(t, now);
}

static void type(struct top *t, const uint8_t *s, size_t n, int64_t now)
{
	for (size_t i = 0; i < n; i++, now += 100) {
		struct top_action action;

		top_key(t, s[i] < 0x80 ? s[i] : TOP_UP + s[i] % 6, page, &action);
		if (action.what == TOP_DECIDE)
			json_decref(top_request(&action));
		show(t, now);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct top t;
	int64_t now = 1000000;
	size_t at = 2;

	if (size < 2)
		return 0;
	columns = data[0];
	lines = data[1];
	top_init(&t);
	top_up(&t, "admin");
	while (at < size && data[at] != '\n') {
		const uint8_t *nl = memchr(data + at, '\n', size - at);
		size_t len = nl ? (size_t)(nl - data) - at : size - at;
		json_t *v = json_loadb((const char *)data + at, len, 0, NULL);

		take(&t, v, now);
		json_decref(v);
		now += 1000;
		at += len + (nl != NULL);
	}
	type(&t, data + at, size - at, now);
	top_down(&t, "gone\033");
	show(&t, now);
	top_deinit(&t);
	return 0;
}
