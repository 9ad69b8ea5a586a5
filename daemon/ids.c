/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Short ids; see ids.h. */
#include "daemon/ids.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#define LETTERS 26u

const char *ids_print(pend_context c, char buf[IDS_TEXT])
{
	unsigned w = ids_worker(c);
	char letters[3] = {0};

	if (w < LETTERS) {
		letters[0] = (char)('a' + w);
	} else {
		letters[0] = (char)('a' + w / LETTERS - 1);
		letters[1] = (char)('a' + w % LETTERS);
	}
	snprintf(buf, IDS_TEXT, "%s%" PRIu32 ".%" PRIu32, letters, ids_slot(c), ids_generation(c));
	return buf;
}

static int letters_parse(const char **s, unsigned *worker)
{
	unsigned n = 0, v = 0;

	for (; **s >= 'a' && **s <= 'z'; ++*s, n++) {
		if (n == 2)
			return -EINVAL;
		v = (n ? v + 1 : 0) * LETTERS + (unsigned)(**s - 'a');
	}
	if (!n || v > 255)
		return -EINVAL;
	*worker = v;
	return 0;
}

static int number_parse(const char **s, uint64_t max, uint64_t *out)
{
	const char *begin = *s;
	uint64_t v = 0;

	for (; **s >= '0' && **s <= '9'; ++*s) {
		v = v * 10 + (uint64_t)(**s - '0');
		if (v > max)
			return -EINVAL;
	}
	if (*s == begin || (*begin == '0' && *s - begin > 1))
		return -EINVAL;
	*out = v;
	return 0;
}

int ids_parse(const char *s, pend_context *out)
{
	uint64_t slot, generation;
	unsigned worker;

	if (letters_parse(&s, &worker) < 0 || number_parse(&s, 0xffffff, &slot) < 0)
		return -EINVAL;
	if (*s++ != '.' || number_parse(&s, UINT32_MAX, &generation) < 0)
		return -EINVAL;
	if (*s || !generation)
		return -EINVAL;
	*out = ids_make(worker, (uint32_t)slot, (uint32_t)generation);
	return 0;
}
