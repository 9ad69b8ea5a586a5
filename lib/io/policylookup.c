/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Accounts by getpwnam(3) and getgrnam(3), dates in the local time zone; see policylookup.h. */
#include "io/policylookup.h"
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <time.h>

#define ID_BUF_MAX (1u << 20) /* of a group with very many members */

/* One try with so much memory; ERANGE: more is needed. */
static int id_try(bool group, const char *name, uint32_t *out, size_t size)
{
	struct passwd pw, *user = NULL;
	struct group gr, *grp = NULL;
	char *buf = malloc(size);
	int err = ENOMEM;

	if (buf && group)
		err = getgrnam_r(name, &gr, buf, size, &grp);
	else if (buf)
		err = getpwnam_r(name, &pw, buf, size, &user);
	if (grp)
		*out = grp->gr_gid;
	else if (user)
		*out = user->pw_uid;
	else if (!err || err == ESRCH || err == EBADF || err == EPERM) /* getpwnam(3) */
		err = ENOENT;
	free(buf);
	return err;
}

static int id_find(void *ctx, bool group, const char *name, uint32_t *out)
{
	size_t size = 1024;
	int err;

	(void)ctx;
	do {
		err = id_try(group, name, out, size);
		size *= 4;
	} while (err == ERANGE && size <= ID_BUF_MAX);
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
	loader->id = id_find;
	loader->minute = minute_of;
	loader->now = (uint32_t)(time(NULL) / 60);
}
