/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The name servers; see dnsbl.h. c-ares makes, sends and reads the packets, checks where an answer comes from and
 * what it answers, and asks again by TCP what was cut short; here are its sockets and its clock in our loop.
 */
#include "agents/dnsbl.h"
#include <errno.h>
#include <sys/stat.h>
#include <sys/time.h>

#define CLASS_IN      1
#define TYPE_A        1
#define RESOLV_CONF   "/etc/resolv.conf"
#define RESOLV_LOOK_S 5

/* ---- sockets and time ---- */

static struct loop *loop_of(const struct dnsbl *d)
{
	return agent_loop(d->agent);
}

static void on_timer(void *ctx)
{
	struct dnsbl *d = ctx;

	ares_process_fd(d->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	dnsbl_dns_pump(d);
}

static void arm(struct dnsbl *d)
{
	struct timeval tv, *next;

	if (!d->nopen)
		loop_timer_cancel(loop_of(d), &d->timer);
	/* Queries that were sent since have more time than the one that it is armed for. */
	if (!d->nopen || loop_timer_armed(&d->timer))
		return;
	next = ares_timeout(d->channel, NULL, &tv);
	if (next)
		loop_timer_arm(
			loop_of(d), &d->timer,
			mono_add(loop_now(loop_of(d)), (uint64_t)next->tv_sec * MONO_NS_PER_S +
							       (uint64_t)next->tv_usec * 1000));
}

static void on_ready(void *ctx, int fd, uint32_t events)
{
	struct dnsbl *d = ctx;
	bool in = events & (EPOLLIN | EPOLLERR | EPOLLHUP), out = events & EPOLLOUT;

	ares_process_fd(d->channel, in ? fd : ARES_SOCKET_BAD, out ? fd : ARES_SOCKET_BAD);
	dnsbl_dns_pump(d);
}

static void on_state(void *ctx, ares_socket_t fd, int readable, int writable)
{
	struct dnsbl *d = ctx;

	if (watches_set(&d->watches, fd, (readable ? EPOLLIN : 0u) | (writable ? EPOLLOUT : 0u)) <
	    0)
		agent_fail(d->agent, "cannot wait for name servers");
}

/* ---- the channel ---- */

static int channel_open(struct dnsbl *d, struct err *e)
{
	struct ares_options o = {
		.flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES,
		.timeout = DNSBL_TIMEOUT_MS,
		.tries = DNSBL_TRIES,
		.sock_state_cb = on_state,
		.sock_state_cb_data = d,
	};
	int r = ares_init_options(&d->channel, &o,
				  ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES |
					  ARES_OPT_SOCK_STATE_CB);

	if (r == ARES_SUCCESS) {
		d->have_channel = true;
		if (d->nservers)
			r = ares_set_servers_ports(d->channel, d->server);
	}
	return r == ARES_SUCCESS ? 0 : err_set(e, -EIO, "name servers: %s", ares_strerror(r));
}

/* What is open ends as failed. */
static void channel_close(struct dnsbl *d)
{
	if (d->have_channel)
		ares_destroy(d->channel);
	d->have_channel = false;
}

static uint64_t resolv_stamp(void)
{
	struct stat st;

	if (stat(RESOLV_CONF, &st) < 0)
		return 0;
	return siphash13(&(struct siphash_key){{0}},
			 (uint64_t[]){st.st_dev, st.st_ino, (uint64_t)st.st_size,
				      (uint64_t)st.st_mtim.tv_sec, (uint64_t)st.st_mtim.tv_nsec},
			 5 * sizeof(uint64_t));
}

/* The system's servers may be others by now: c-ares reads them once. */
static bool channel_look(struct dnsbl *d)
{
	mono_t now = loop_now(loop_of(d));
	struct err e = {0};
	uint64_t stamp;

	if (d->have_channel && (d->nservers || mono_before(now, d->resolv_next)))
		return true;
	d->resolv_next = mono_add(now, RESOLV_LOOK_S * MONO_NS_PER_S);
	stamp = resolv_stamp();
	if (d->have_channel && stamp == d->resolv_stamp)
		return true;
	d->resolv_stamp = stamp;
	channel_close(d);
	if (!channel_open(d, &e))
		return true;
	agent_fail(d->agent, "%s", e.text);
	return false;
}

int dnsbl_dns_init(struct dnsbl *d, struct err *e)
{
	int r = ares_library_init(ARES_LIB_INIT_ALL);

	watches_init(&d->watches, loop_of(d), on_ready, d);
	loop_timer_init(&d->timer, on_timer, d);
	if (r != ARES_SUCCESS)
		return err_set(e, -EIO, "c-ares: %s", ares_strerror(r));
	d->have_library = true;
	for (unsigned i = 0; i + 1 < d->nservers; i++)
		d->server[i].next = &d->server[i + 1];
	d->resolv_stamp = resolv_stamp();
	d->resolv_next = mono_add(loop_now(loop_of(d)), RESOLV_LOOK_S * MONO_NS_PER_S);
	return channel_open(d, e);
}

void dnsbl_dns_deinit(struct dnsbl *d)
{
	channel_close(d);
	watches_deinit(&d->watches);
	if (d->have_library) {
		loop_timer_cancel(loop_of(d), &d->timer);
		ares_library_cleanup();
	}
}

/* ---- queries ---- */

static void reply(struct dnsbl_lookup *l, int status, const unsigned char *packet, int len)
{
	l->said = dnsbl_read(l->dnsbl->codes, l->dnsbl->ncodes, status, packet, len);
	dnsbl_lookup_done(l);
}

static void on_reply(void *arg, int status, int timeouts, unsigned char *packet, int len)
{
	(void)timeouts;
	reply(arg, status, packet, len);
}

static void send_one(struct dnsbl *d, struct dnsbl_lookup *l)
{
	char name[DNSBL_NAME_MAX];

	if (dnsbl_name(&l->key, d->zone[l->key.zone].name, name))
		ares_query(d->channel, name, CLASS_IN, TYPE_A, on_reply, l);
	else
		reply(l, ARES_EBADNAME, NULL, 0);
}

void dnsbl_dns_pump(struct dnsbl *d)
{
	struct dnsbl_lookup *l;

	while (d->nopen < DNSBL_OPEN_MAX && !list_empty(&d->waiting) && channel_look(d) &&
	       (l = dnsbl_lookup_next(d)) != NULL)
		send_one(d, l);
	arm(d);
}
