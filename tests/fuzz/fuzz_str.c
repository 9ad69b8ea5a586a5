/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Text of any kind through the parsers and the sanitizer of lib/base/str.h. The first byte
 * says how much room the sanitizer gets. Properties: what is parsed prints and parses to the
 * same value, an error leaves the result alone, and what comes out of the sanitizer is
 * terminated, in bounds, clean by an independent check and the same when sanitized again.
 */
#include "base/str.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define UNTOUCHED 0x5eed5eed5eedull

static void must(bool ok)
{
	if (!ok)
		abort();
}

static void check_parser(int ret, uint64_t v)
{
	must(ret == 0 || ret == -EINVAL || ret == -ERANGE);
	must(ret == 0 || v == UNTOUCHED);
}

static void check_duration(uint64_t ns)
{
	char text[STR_DURATION_MAX];
	uint64_t back;

	must(str_duration_print(ns, text) == text);
	must(strlen(text) < sizeof(text));
	must(str_duration(text, &back) == 0 && back == ns);
}

static void check_parsers(const char *s)
{
	uint64_t v = UNTOUCHED;
	int ret = str_duration(s, &v);

	check_parser(ret, v);
	if (ret == 0)
		check_duration(v);
	v = UNTOUCHED;
	check_parser(str_size(s, &v), v);
	v = UNTOUCHED;
	ret = str_u64(s, 65535, &v);
	check_parser(ret, v);
	must(ret || v <= 65535);
}

/*
 * The length of the printable character at `s`, 0 if there is none: by the table of
 * well-formed sequences (Unicode, table 3-7), and not by a decoder as in what is tested.
 */
static size_t clean_len(const uint8_t *s)
{
	static const struct {
		uint8_t lo, hi, lo2, hi2, len;
	} form[] = {
		{0x20, 0x7e, 0, 0, 1},       {0xc2, 0xdf, 0x80, 0xbf, 2},
		{0xe0, 0xe0, 0xa0, 0xbf, 3}, {0xe1, 0xec, 0x80, 0xbf, 3},
		{0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
		{0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4},
		{0xf4, 0xf4, 0x80, 0x8f, 4},
	};

	for (size_t i = 0; i < sizeof(form) / sizeof(form[0]); i++) {
		size_t n = 1;

		if (s[0] < form[i].lo || s[0] > form[i].hi)
			continue;
		if (form[i].len > 1 && (s[1] < form[i].lo2 || s[1] > form[i].hi2))
			return 0;
		while (n < form[i].len && s[n] >= 0x80 && s[n] <= 0xbf)
			n++;
		return n == form[i].len ? n : 0;
	}
	return 0;
}

static bool is_direction_mark(const uint8_t *s)
{
	if (s[0] == 0xe2 && s[1] == 0x80)
		return s[2] == 0x8e || s[2] == 0x8f || (s[2] >= 0xa8 && s[2] <= 0xae);
	if (s[0] == 0xe2 && s[1] == 0x81)
		return s[2] >= 0xa6 && s[2] <= 0xa9;
	return s[0] == 0xd8 && s[1] == 0x9c;
}

static void check_clean(const char *text)
{
	const uint8_t *s = (const uint8_t *)text;

	while (*s) {
		size_t len = clean_len(s);

		must(len > 0);
		must(!is_direction_mark(s));
		must(!(s[0] == 0xc2 && s[1] < 0xa0));
		s += len;
	}
}

/* `cap` bytes on the heap, so that a sanitizer of the compiler sees one too many. */
static void check_sanitize(const char *in, size_t cap)
{
	char *out = malloc(cap);
	char *again = malloc(cap);

	must(out && again);
	str_sanitize(in, out, cap);
	must(memchr(out, '\0', cap) != NULL);
	check_clean(out);
	str_sanitize(out, again, cap);
	must(strcmp(out, again) == 0);
	free(out);
	free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t room;
	char *s;

	if (size < 1 || size > 4096)
		return 0;
	room = (size_t)data[0] + 1;
	s = malloc(size);
	must(s != NULL);
	memcpy(s, data + 1, size - 1);
	s[size - 1] = '\0';
	check_parsers(s);
	check_sanitize(s, room);
	check_sanitize(s, 4 * size + 1);
	must(str_distance(s, s, 2) == 0);
	must(str_distance(s, "permit", 2) == str_distance("permit", s, 2));
	free(s);
	return 0;
}
