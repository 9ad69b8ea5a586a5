/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How fast wrong codes may come: after the free ones every wrong code doubles the wait, for the user up to five
 * minutes, and for all together, who share the secrets, up to half a minute, so that one user who guesses makes others
 * wait but a little. See totp.h.
 */
#include "agents/totp.h"

static struct totp_fails *of_user(struct totp_limit *l, uint32_t uid)
{
	return &l->user[uid % TOTP_USERS];
}

static void forget(struct totp_fails *f, mono_t now)
{
	if (mono_since(now, f->last) >= TOTP_FORGET_S * MONO_NS_PER_S)
		*f = (struct totp_fails){.n = 0};
}

static void count(struct totp_fails *f, uint32_t free, uint64_t max_s, mono_t now)
{
	uint64_t wait;

	f->n += f->n < UINT32_MAX;
	f->last = now;
	if (f->n <= free)
		return;
	wait = f->n - free > 16 ? max_s : 1ull << (f->n - free - 1);
	f->until = mono_add(now, (wait < max_s ? wait : max_s) * MONO_NS_PER_S);
}

static uint64_t left(const struct totp_fails *f, mono_t now)
{
	return (mono_since(f->until, now) + MONO_NS_PER_S - 1) / MONO_NS_PER_S;
}

uint64_t totp_limit_wait(struct totp_limit *l, uint32_t uid, mono_t now)
{
	struct totp_fails *f = of_user(l, uid);
	uint64_t user, all;

	forget(f, now);
	forget(&l->all, now);
	user = left(f, now);
	all = left(&l->all, now);
	if (user || all)
		l->limited++;
	return user > all ? user : all;
}

void totp_limit_wrong(struct totp_limit *l, uint32_t uid, mono_t now)
{
	l->wrong++;
	count(of_user(l, uid), TOTP_USER_FREE, TOTP_USER_MAX_S, now);
	count(&l->all, TOTP_ALL_FREE, TOTP_ALL_MAX_S, now);
}

/* The others' wrong codes stay counted: who guesses must not be saved by who does not. */
void totp_limit_right(struct totp_limit *l, uint32_t uid)
{
	*of_user(l, uid) = (struct totp_fails){.n = 0};
}
