/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside of `type totp`: the file of secrets (totp_secrets.c), codes that are taken once (totp_codes.c), and how fast
 * wrong ones may come (totp_limit.c). Codes are RFC 6238, computed by liboath.
 */
#ifndef AGENTS_TOTP_H
#define AGENTS_TOTP_H

#include "base/err.h"
#include "base/mono.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TOTP_NAME_MAX    32
#define TOTP_KEY_MAX     64         /* bytes of a secret */
#define TOTP_KEY_MIN     10         /* ... RFC 4226 wants 16; some apps make 10 */
#define TOTP_SECRETS_MAX 256        /* in one file: each makes a guess more likely to be right */
#define TOTP_FILE_MAX    (64 << 10) /* bytes */
#define TOTP_WINDOW      1          /* steps, before and after now */

struct totp_secret {
	char name[TOTP_NAME_MAX + 1];
	uint8_t key[TOTP_KEY_MAX];
	uint8_t key_len;
	uint8_t digits;  /* 6, 7, 8 */
	uint8_t hash;    /* liboath's flag: 0 is SHA-1 */
	uint16_t period; /* s */
	int64_t last_step; /* the last that was taken: neither it nor one before it is taken again. -1: none */
};

struct totp_secrets {
	struct totp_secret *of;
	size_t n;
};

/*
 * Lines "NAME SECRET [digits=6] [period=30] [hash=sha1]", '#' begins a comment; SECRET is base32 in groups of any
 * length that '-' separates. 0, -EINVAL with the line's number and what is wrong, or -ENOMEM.
 */
int totp_secrets_parse(const char *text, size_t len, struct totp_secrets *out, struct err *e);
/* Wipes them. */
void totp_secrets_free(struct totp_secrets *s);
/*
 * Read a file, which nobody but its owner (root or this user) may write, and nobody but owner and group read. 0 or
 * -errno with a sentence.
 */
int totp_secrets_load(const char *path, struct totp_secrets *out, struct err *e);

/*
 * Whose code is it? `now`: s since 1970. NULL: nobody's, or it was taken before. What is found is taken with it. All
 * codes of all secrets are computed and compared in any case.
 */
struct totp_secret *totp_secrets_take(struct totp_secrets *s, const char *code, int64_t now);
/* The steps that were taken: from an older reading of the file, by name. */
void totp_secrets_inherit(struct totp_secrets *s, const struct totp_secrets *from);
/* Take no code that could have been valid until now: what was taken before is not known. */
void totp_secrets_expire(struct totp_secrets *s, int64_t now);

#define TOTP_USED_LINE (TOTP_NAME_MAX + 32) /* bytes, at most */

/* Lines "NAME STEP TAG", for a later run. The length, or -ENOMEM; the text is the caller's. */
int totp_used_print(const struct totp_secrets *s, char **out);
/*
 * Passed over are lines that are none, names that are not there, and what is of another key or period than the secret of that
 * name has now. Those of "NAME STEP", which earlier versions wrote, are of any.
 */
void totp_used_parse(struct totp_secrets *s, const char *text, size_t len, int64_t now);

/* ---- limits ---- */

#define TOTP_USERS      64 /* places that all users share, by number */
#define TOTP_USER_FREE  2  /* wrong codes before a user has to wait */
#define TOTP_ALL_FREE   20 /* ... of all users together */
#define TOTP_USER_MAX_S 300
#define TOTP_ALL_MAX_S  30
#define TOTP_FORGET_S   900 /* after so long without a wrong code all is as it was */

struct totp_fails {
	uint32_t n;
	mono_t last, until;
};

struct totp_limit {
	struct totp_fails user[TOTP_USERS], all;
	uint64_t wrong, limited; /* counted */
};

/* Whole seconds until this user may try a code; 0: now. */
uint64_t totp_limit_wait(struct totp_limit *l, uint32_t uid, mono_t now);
void totp_limit_wrong(struct totp_limit *l, uint32_t uid, mono_t now);
void totp_limit_right(struct totp_limit *l, uint32_t uid);

#endif
