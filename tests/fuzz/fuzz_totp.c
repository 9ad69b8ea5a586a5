/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Files of secrets, and of the codes that were taken: nothing of a wrong one is kept, and what a good one has is in
 * its bounds. */
#include "agents/totp.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void bounds(const struct totp_secret *s)
{
	if (!s->name[0] || strlen(s->name) > TOTP_NAME_MAX || s->key_len < TOTP_KEY_MIN ||
	    s->key_len > TOTP_KEY_MAX || s->digits < 6 || s->digits > 8 || s->period < 10 ||
	    s->period > 300 || s->hash > 2)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct totp_secrets s = {.of = NULL};
	char *copy = malloc(size ? size : 1), *used = NULL;
	struct err e = {0};
	int r;

	if (!copy)
		abort();
	memcpy(copy, data, size);
	r = totp_secrets_parse(copy, size, &s, &e);
	if (r > 0 || (r < 0 && (s.of || !e.text[0])) || s.n > TOTP_SECRETS_MAX)
		abort();
	for (size_t i = 0; i < s.n; i++)
		bounds(&s.of[i]);
	if (r == 0) {
		totp_used_parse(&s, copy, size, 1700000000);
		/* each may have this code, in three steps, and each step is taken once */
		for (size_t i = 0; i <= 3 * s.n; i++)
			if (i == 3 * s.n && totp_secrets_take(&s, "123456", 1000000))
				abort();
			else if (!totp_secrets_take(&s, "123456", 1000000))
				break;
		if (totp_used_print(&s, &used) < 0)
			abort();
	}
	free(used);
	totp_secrets_free(&s);
	free(copy);
	return 0;
}
