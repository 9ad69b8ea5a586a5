/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A decision that is made here, for people to see: `test`, and the dry run of `reload`. The workers decide; this asks
 * the same classifier, and what it asks beyond the packet is answered as far as this process may: it has no resolver.
 */
#include "daemon/control_impl.h"
#include <time.h>

static void know_time(struct classify_context *now)
{
	time_t t = time(NULL);
	struct tm tm;

	now->minute = (uint32_t)(t / 60);
	if (localtime_r(&t, &tm))
		now->clock = classify_clock((unsigned)(tm.tm_wday + 6) % 7,
					    (unsigned)(tm.tm_hour * 60 + tm.tm_min));
}

/* Rules may know the interface by a number that is made up; a socket is bound to the real one. */
static const struct classify_listener *listener(void *arg, const struct pend_values *v,
						unsigned need)
{
	const struct judge *j = arg;
	struct pend_values as_kernel = *v;

	as_kernel.in_interface = j->in_interface;
	return j->env->listener(j->env->ctx, &as_kernel, need);
}

void judge_init(struct judge *j, const struct control_env *env,
		const struct classify_ifaces *ifaces, uint32_t in_interface)
{
	*j = (struct judge){.env = env, .in_interface = in_interface};
	j->now.ifaces = ifaces;
	j->now.listener = env->listener ? listener : NULL;
	j->now.unsure = &j->unsure;
	j->now.arg = j;
	know_time(&j->now);
}
