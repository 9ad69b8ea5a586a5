/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Codes of RFC 6238, each of which is taken once (5.2 there); see totp.h. */
#include "agents/totp.h"
#include "base/siphash.h"
#include <errno.h>
#include <liboath/oath.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CODE_MAX 8

/* In a time that says nothing of where they differ. */
static bool same(const char *a, const char *b, size_t len)
{
	unsigned char diff = 0;

	for (size_t i = 0; i < len; i++)
		diff |= (unsigned char)(a[i] ^ b[i]);
	return !diff;
}

/* `code` has CODE_MAX bytes, of which `len` count. */
static bool is_code(const struct totp_secret *s, const char *code, size_t len, int64_t step)
{
	char want[CODE_MAX + 1] = "";
	int r = step < 0 ? -1
			 : oath_totp_generate2((const char *)s->key, s->key_len,
					       (time_t)(step * s->period), s->period, 0, s->digits,
					       s->hash, want);
	bool yes = r == OATH_OK && same(code, want, CODE_MAX) && len == s->digits;

	explicit_bzero(want, sizeof(want));
	return yes;
}

struct totp_secret *totp_secrets_take(struct totp_secrets *s, const char *code, int64_t now)
{
	struct totp_secret *found = NULL;
	char digits[CODE_MAX] = "";
	size_t len = strlen(code);
	int64_t at = 0;

	if (len > CODE_MAX || now < 0)
		return NULL;
	memcpy(digits, code, len);
	for (size_t i = 0; i < s->n; i++) {
		struct totp_secret *of = &s->of[i];

		for (int64_t d = -TOTP_WINDOW; d <= TOTP_WINDOW; d++) {
			int64_t step = now / of->period + d;

			if (is_code(of, digits, len, step) && step > of->last_step) {
				found = of;
				at = step;
			}
		}
	}
	explicit_bzero(digits, sizeof(digits));
	if (found)
		found->last_step = at;
	return found;
}

static struct totp_secret *find(const struct totp_secrets *s, const char *name)
{
	for (size_t i = 0; i < s->n; i++)
		if (!strcmp(s->of[i].name, name))
			return &s->of[i];
	return NULL;
}

static void used(struct totp_secret *s, int64_t step)
{
	if (step > s->last_step)
		s->last_step = step;
}

void totp_secrets_inherit(struct totp_secrets *s, const struct totp_secrets *from)
{
	for (size_t i = 0; i < s->n; i++) {
		const struct totp_secret *f = find(from, s->of[i].name);

		/* steps of another length, or codes of another secret, are no replay */
		if (f && f->period == s->of[i].period && f->key_len == s->of[i].key_len &&
		    !memcmp(f->key, s->of[i].key, f->key_len))
			used(&s->of[i], f->last_step);
	}
}

void totp_secrets_expire(struct totp_secrets *s, int64_t now)
{
	for (size_t i = 0; i < s->n; i++)
		used(&s->of[i], now / s->of[i].period + TOTP_WINDOW);
}

/*
 * Steps count periods, and codes are of a key: a step says nothing of another period or key. Their number shows whose it
 * is, and of the key too little to be of use. Digits and hash are not in it, for their codes are known by one another.
 */
static uint32_t tag_of(const struct totp_secret *s)
{
	uint8_t data[TOTP_KEY_MAX + 2];
	uint64_t h;

	memcpy(data, s->key, s->key_len);
	data[s->key_len] = (uint8_t)(s->period >> 8);
	data[s->key_len + 1] = (uint8_t)s->period;
	h = siphash13(&(struct siphash_key){{0}}, data, s->key_len + 2u);
	explicit_bzero(data, sizeof(data));
	return (uint32_t)h;
}

int totp_used_print(const struct totp_secrets *s, char **out)
{
	size_t len = 0, cap = s->n * TOTP_USED_LINE + 1;
	char *text = malloc(cap);

	if (!text)
		return -ENOMEM;
	text[0] = '\0';
	for (size_t i = 0; i < s->n; i++)
		if (s->of[i].last_step >= 0)
			len += (size_t)snprintf(text + len, cap - len, "%s %lld %08x\n",
						s->of[i].name, (long long)s->of[i].last_step,
						tag_of(&s->of[i]));
	*out = text;
	return (int)len;
}

/* Of what was written without a tag the period is not known: such a step is not in the future, whatever it says. */
static void used_line(const struct totp_secrets *s, const char *line, int64_t now)
{
	char name[TOTP_NAME_MAX + 1], rest[2];
	struct totp_secret *of;
	int64_t latest;
	long long step;
	unsigned tag;
	int n = sscanf(line, "%32s %19lld %8x %1s", name, &step, &tag, rest);

	of = n == 2 || n == 3 ? find(s, name) : NULL;
	if (!of)
		return;
	latest = now / of->period + TOTP_WINDOW;
	if (n == 2)
		used(of, step < latest ? step : latest);
	else if (tag == tag_of(of))
		used(of, step);
}

void totp_used_parse(struct totp_secrets *s, const char *text, size_t len, int64_t now)
{
	const char *end = text + len;

	while (text < end) {
		const char *nl = memchr(text, '\n', (size_t)(end - text));
		size_t n = (size_t)((nl ? nl : end) - text);
		char line[TOTP_USED_LINE + 1];

		if (n < sizeof(line)) {
			memcpy(line, text, n);
			line[n] = '\0';
			used_line(s, line, now);
		}
		text += n + 1;
	}
}
