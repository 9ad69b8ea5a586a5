/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The resolver process, seen from the one that starts it. See resolver.h. */
#include "daemon/log.h"
#include "daemon/pendd.h"
#include "daemon/resolver.h"
#include "daemon/spawn.h"
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define AGAIN_FIRST_MS 100u
#define AGAIN_LAST_MS  6400u
#define CALM_NS        (60 * MONO_NS_PER_S)

/* One channel to each thread that may ask. */
static int connect_all(struct pendd *d, int other[RESOLVER_CHANNELS_MAX], unsigned *n)
{
	int pair[2];
	int r = 0;

	for (*n = 0; *n <= d->workers && !r; (*n)++) {
		r = spawn_channel(pair);
		if (r)
			break;
		listeners_connect(*n < d->workers ? d->worker[*n].listeners : d->listeners,
				  pair[0]);
		other[*n] = pair[1];
	}
	for (unsigned i = 0; r && i < *n; i++)
		close(other[i]);
	return r;
}

static int spawn(struct pendd *d)
{
	int other[RESOLVER_CHANNELS_MAX];
	unsigned n = 0;
	int r = connect_all(d, other, &n);

	if (r)
		return r;
	d->resolver_started = loop_clock();
	r = spawn_resolver(other, n, d->settings.user, d->opts.debug);
	d->resolver = r > 0 ? r : 0;
	return r < 0 ? r : 0;
}

/* At once, and ever slower when it ends again and again. */
static void start_later(struct pendd *d)
{
	if (mono_since(loop_clock(), d->resolver_started) > CALM_NS || !d->resolver_ms)
		d->resolver_ms = AGAIN_FIRST_MS;
	else if (d->resolver_ms < AGAIN_LAST_MS)
		d->resolver_ms *= 2;
	loop_timer_arm(d->loop, &d->resolver_timer,
		       mono_add(loop_clock(), d->resolver_ms * MONO_NS_PER_MS));
}

static void start_again(void *ctx)
{
	struct pendd *d = ctx;
	int r;

	if (d->stopping || d->resolver)
		return;
	d->resolver_restarts++;
	r = spawn(d);
	if (!r)
		return;
	log_error("resolver", "cannot start it: %s", strerror(-r));
	start_later(d);
}

int pendd_start_resolver(struct pendd *d)
{
	int r = listeners_new(&d->listeners);

	if (r)
		return r;
	loop_timer_init(&d->resolver_timer, start_again, d);
	r = spawn(d);
	if (!r)
		return 0;
	/* Rules that ask for nothing of it are served all the same. */
	log_error("resolver", "cannot start it: %s", strerror(-r));
	start_later(d);
	return 0;
}

void pendd_resolver_ended(struct pendd *d)
{
	int status;

	if (!d->resolver || waitpid(d->resolver, &status, WNOHANG) != d->resolver)
		return;
	d->resolver = 0;
	if (d->stopping)
		return;
	log_error("resolver", "it ended; starting another. Until then rules that permit by group, "
			      "executable, cgroup or unit match nothing");
	start_later(d);
}

void pendd_stop_resolver(struct pendd *d)
{
	int status;

	listeners_free(d->listeners); /* the last channel: its goodbye */
	d->listeners = NULL;
	for (int i = 0; d->resolver && i < 200; i++) {
		if (waitpid(d->resolver, &status, WNOHANG) == d->resolver)
			d->resolver = 0;
		else
			usleep(5000);
	}
	if (!d->resolver)
		return;
	kill(d->resolver, SIGKILL);
	waitpid(d->resolver, &status, 0);
	d->resolver = 0;
}
