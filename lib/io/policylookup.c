/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Accounts by /etc/passwd and /etc/group, dates in the local time zone; see policylookup.h. */
#include "io/policylookup.h"
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LINE_MAX_BYTES (1u << 20) /* of a group with very many members */

struct account {
	struct passwd pw;
	struct group gr;
	char *buf;
};

/* The next of the file: its name and number. 0, or an errno; ENOENT at its end. */
static int account_next(struct account *a, bool group, FILE *f, const char **name, uint32_t *id)
{
	struct passwd *pw = NULL;
	struct group *gr = NULL;
	int err = group ? fgetgrent_r(f, &a->gr, a->buf, LINE_MAX_BYTES, &gr)
			: fgetpwent_r(f, &a->pw, a->buf, LINE_MAX_BYTES, &pw);

	if (gr) {
		*name = gr->gr_name;
		*id = gr->gr_gid;
	} else if (pw) {
		*name = pw->pw_name;
		*id = pw->pw_uid;
	}
	return err;
}

static int account_find(struct account *a, bool group, const char *name, uint32_t *out)
{
	FILE *f = fopen(group ? "/etc/group" : "/etc/passwd", "re");
	const char *found = "";
	uint32_t id = 0;
	int err = f ? 0 : errno;

	while (err == 0) {
		err = account_next(a, group, f, &found, &id);
		if (err == 0 && strcmp(found, name) == 0)
			break;
	}
	if (err == 0)
		*out = id;
	if (f)
		fclose(f);
	return err;
}

/*
 * By the files, and not by getpwnam(3): what that asks (a cache, a directory server, modules to be loaded) takes
 * system calls that the process which loads policies anew may not make, and a name has to mean the same at each
 * loading.
 */
int policylookup_id(void *ctx, bool group, const char *name, uint32_t *out)
{
	struct account a = {.buf = malloc(LINE_MAX_BYTES)};
	int err = a.buf ? account_find(&a, group, name, out) : ENOMEM;

	(void)ctx;
	free(a.buf);
	return -err;
}

/* What a change of the clock leaves out does not exist: mktime(3) would move it. */
static uint32_t minute_of(void *ctx, int year, int month, int day, int hour, int minute)
{
	struct tm tm = {.tm_year = year - 1900,
			.tm_mon = month - 1,
			.tm_mday = day,
			.tm_hour = hour,
			.tm_min = minute,
			.tm_isdst = -1};
	time_t t = mktime(&tm);

	(void)ctx;
	if (t < 60 || t / 60 > UINT32_MAX || tm.tm_hour != hour || tm.tm_min != minute)
		return 0;
	return (uint32_t)(t / 60);
}

void policylookup_init(struct policy_loader *loader)
{
	loader->id = policylookup_id;
	loader->minute = minute_of;
	loader->now = (uint32_t)(time(NULL) / 60);
}
