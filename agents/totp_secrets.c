/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The file of secrets; see totp.h. */
#include "agents/totp.h"
#include <errno.h>
#include <fcntl.h>
#include <liboath/oath.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define WORD_MAX   160 /* bytes: more than a name, or a secret with its dashes, has */
#define PERIOD_MIN 10
#define PERIOD_MAX 300

struct parser {
	const char *at, *end; /* of the line */
	unsigned line;
	struct err *e;
};

static int wrong(const struct parser *p, const char *what)
{
	return err_set(p->e, -EINVAL, "line %u: %s", p->line, what);
}

static bool blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* The next word of the line. 0: there is none; -EINVAL: it is too long, or has a byte that is none of text. */
static int word(struct parser *p, char out[WORD_MAX + 1])
{
	size_t n = 0;

	while (p->at < p->end && blank(*p->at))
		p->at++;
	if (p->at < p->end && *p->at == '#')
		p->at = p->end;
	for (; p->at < p->end && !blank(*p->at); p->at++) {
		if (n == WORD_MAX || *p->at <= ' ' || *p->at > '~')
			return wrong(p, "a word is too long, or not of ASCII");
		out[n++] = *p->at;
	}
	out[n] = '\0';
	return (int)n;
}

static bool name_ok(const char *s)
{
	size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._@+-");

	return n && n <= TOTP_NAME_MAX && !s[n];
}

static int key_decode(const struct parser *p, char *text, struct totp_secret *s)
{
	char *raw = NULL;
	size_t n = 0, len = 0;
	int r;

	for (const char *c = text; *c; c++)
		if (*c != '-')
			text[len++] = *c;
	r = oath_base32_decode(text, len, &raw, &n);
	if (r != OATH_OK)
		return wrong(p, "the secret is not base32 (A to Z, 2 to 7)");
	if (n >= TOTP_KEY_MIN && n <= TOTP_KEY_MAX)
		memcpy(s->key, raw, n);
	s->key_len = (uint8_t)n;
	explicit_bzero(raw, n);
	free(raw);
	return n >= TOTP_KEY_MIN && n <= TOTP_KEY_MAX ? 0 : wrong(p, "a secret has 10 to 64 bytes");
}

static int number(const char *text, int min, int max)
{
	char *end;
	long v = strtol(text, &end, 10);

	return *text >= '0' && *text <= '9' && !*end && v >= min && v <= max ? (int)v : -1;
}

static int option(const struct parser *p, const char *w, struct totp_secret *s)
{
	static const struct {
		const char *name;
		uint8_t flag;
	} hashes[] = {
		{"sha1", 0}, {"sha256", OATH_TOTP_HMAC_SHA256}, {"sha512", OATH_TOTP_HMAC_SHA512}};
	int v;

	if (!strncmp(w, "digits=", 7)) {
		v = number(w + 7, 6, 8);
		s->digits = (uint8_t)v;
		return v < 0 ? wrong(p, "digits is 6, 7 or 8") : 0;
	}
	if (!strncmp(w, "period=", 7)) {
		v = number(w + 7, PERIOD_MIN, PERIOD_MAX);
		s->period = (uint16_t)v;
		return v < 0 ? wrong(p, "period is 10 to 300 seconds") : 0;
	}
	for (size_t i = 0; !strncmp(w, "hash=", 5) && i < sizeof(hashes) / sizeof(hashes[0]); i++)
		if (!strcmp(w + 5, hashes[i].name)) {
			s->hash = hashes[i].flag;
			return 0;
		}
	return wrong(p, "expected digits=6, period=30 or hash=sha1, sha256, sha512");
}

/* 1: a secret; 0: the line says nothing. */
static int line(struct parser *p, struct totp_secret *s)
{
	char w[WORD_MAX + 1];
	int r = word(p, w);

	*s = (struct totp_secret){.digits = 6, .period = 30, .last_step = -1};
	if (r <= 0)
		return r;
	if (!name_ok(w))
		return wrong(p, "a name is of at most 32 letters, digits and ._@+-");
	memcpy(s->name, w, (size_t)r);
	r = word(p, w);
	if (r == 0)
		return wrong(p, "expected NAME SECRET");
	if (r > 0)
		r = key_decode(p, w, s);
	explicit_bzero(w, sizeof(w));
	while (r >= 0 && (r = word(p, w)) > 0)
		r = option(p, w, s);
	return r < 0 ? r : 1;
}

static int add(const struct parser *p, struct totp_secrets *list, const struct totp_secret *s)
{
	for (size_t i = 0; i < list->n; i++)
		if (!strcmp(list->of[i].name, s->name))
			return wrong(p, "this name is there already");
	if (list->n == TOTP_SECRETS_MAX)
		return wrong(p, "more than 256 secrets");
	list->of[list->n++] = *s;
	return 0;
}

int totp_secrets_parse(const char *text, size_t len, struct totp_secrets *out, struct err *e)
{
	struct totp_secrets list = {.of = calloc(TOTP_SECRETS_MAX, sizeof(*list.of))};
	struct parser p = {.e = e};
	struct totp_secret s;
	int r = list.of ? 0 : err_set(e, -ENOMEM, "out of memory");

	for (const char *end = text + len, *nl; r == 0 && text < end; text = nl ? nl + 1 : end) {
		nl = memchr(text, '\n', (size_t)(end - text));
		p.at = text;
		p.end = nl ? nl : end;
		p.line++;
		r = line(&p, &s);
		if (r > 0)
			r = add(&p, &list, &s);
	}
	explicit_bzero(&s, sizeof(s));
	if (r < 0)
		totp_secrets_free(&list);
	else
		*out = list;
	return r;
}

void totp_secrets_free(struct totp_secrets *s)
{
	if (s->of)
		explicit_bzero(s->of, TOTP_SECRETS_MAX * sizeof(*s->of));
	free(s->of);
	*s = (struct totp_secrets){.of = NULL};
}

/* ---- the file ---- */

static int trusted(const char *path, const struct stat *st, struct err *e)
{
	if (!S_ISREG(st->st_mode))
		return err_set(e, -EINVAL, "%s is not a file", path);
	if (st->st_uid != 0 && st->st_uid != geteuid())
		return err_set(e, -EPERM, "%s belongs to another user: chown root %s", path, path);
	if (st->st_mode & 0007)
		return err_set(e, -EPERM, "every user may read or change %s: chmod o= %s", path,
			       path);
	if (st->st_mode & 0020)
		return err_set(e, -EPERM, "its group may write %s: chmod g-w %s", path, path);
	if (st->st_size > TOTP_FILE_MAX)
		return err_set(e, -EFBIG, "%s has more than %d bytes", path, TOTP_FILE_MAX);
	return 0;
}

static int parse_file(const char *path, const char *text, size_t len, struct totp_secrets *out,
		      struct err *e)
{
	struct err at = {0};
	int r = totp_secrets_parse(text, len, out, &at);

	return r < 0 ? err_set(e, r, "%s: %s", path, at.text) : r;
}

int totp_secrets_load(const char *path, struct totp_secrets *out, struct err *e)
{
	char *text = malloc(TOTP_FILE_MAX);
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), r = 0;
	struct stat st;
	size_t len = 0;
	ssize_t n = 1;

	if (!text)
		r = err_set(e, -ENOMEM, "out of memory");
	else if (fd < 0 || fstat(fd, &st) < 0)
		r = err_sys(e, -errno, "cannot open %s", path);
	else
		r = trusted(path, &st, e);
	while (r == 0 && n > 0 && len < TOTP_FILE_MAX) {
		n = read(fd, text + len, TOTP_FILE_MAX - len);
		if (n < 0)
			r = err_sys(e, -errno, "cannot read %s", path);
		len += n > 0 ? (size_t)n : 0;
	}
	if (r == 0)
		r = parse_file(path, text, len, out, e);
	if (fd >= 0)
		close(fd);
	if (text)
		explicit_bzero(text, TOTP_FILE_MAX);
	free(text);
	return r;
}
