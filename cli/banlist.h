/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lists of banned addresses as other programs write them: plain lists, fail2ban, CrowdSec. Text in, elements of
 * a set out, each with its own end; what cannot be taken is told with its line and why.
 */
#ifndef CLI_BANLIST_H
#define CLI_BANLIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BANLIST_ELEMENT 96       /* bytes: two IPv6 addresses and a dash */
#define BANLIST_TEXT    64       /* of a line that is told of */
#define BANLIST_MAX     1048576u /* entries */
#define BANLIST_SKIPPED 1000u    /* told of one by one; more are counted */

enum banlist_format {
	BANLIST_AUTO,
	BANLIST_LIST,     /* an address, prefix or range a line; # and ; begin comments; ! allows */
	BANLIST_FAIL2BAN, /* `fail2ban-client banned`, `... get JAIL banip [--with-time]` */
	BANLIST_CROWDSEC, /* `cscli decisions list -o raw` and `-o json` */
};

struct ban {
	char element[BANLIST_ELEMENT]; /* as a set takes it */
	int64_t until;                 /* s since 1970; 0: it does not say */
	unsigned line;                 /* 0: the format has none */
	bool allow;                    /* let it in, rather */
};

struct banlist_skip {
	unsigned line;
	const char *why; /* constant */
	char text[BANLIST_TEXT];
};

struct banlist {
	enum banlist_format format; /* what it was */
	struct ban *ban;
	size_t n;
	struct banlist_skip *skip;
	size_t nskip, skipped; /* told; in all */
	size_t cap, skip_cap;
};

/* -1: there is no such format. */
int banlist_format_parse(const char *name);
/*
 * `now`: s since 1970; fail2ban's times are local ones. 0; -EINVAL: it is not of that format as a whole, with
 * *error a sentence; -E2BIG: more than BANLIST_MAX; -ENOMEM.
 */
int banlist_parse(struct banlist *out, const char *data, size_t len, enum banlist_format format,
		  int64_t now, const char **error);
void banlist_deinit(struct banlist *l); /* idempotent, safe on a zeroed struct */

/*
 * Rounds ends up, so that there are at most `most` different ones, and sorts by allow and end. Returns by how much
 * (s) an end may be later than it was said. The step is a minute or 2, 4, 8 ... of them, counted from 1970.
 */
int64_t banlist_group(struct banlist *l, size_t most);

/* banlist_crowdsec.c */
int banlist_crowdsec(struct banlist *l, const char *data, size_t len, int64_t now,
		     const char **error);
/* for the formats: takes an element, or says why not */
int banlist_take(struct banlist *l, const char *text, size_t len, int64_t until, unsigned line,
		 bool allow, int64_t now);
int banlist_skip(struct banlist *l, const char *text, size_t len, unsigned line, const char *why);

#endif
