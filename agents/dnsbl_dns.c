/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The name servers; see dnsbl.h. c-ares makes, sends and reads the packets, checks where an answer comes from and
 * what it answers, and asks again by TCP what was cut short; here are its sockets and its clock in our loop.
 */
#include "agents/dnsbl.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/time.h>

#define CLASS_IN      1
#define TYPE_A        1
#define RESOLV_CONF   "/etc/resolv.conf"
#define RESOLV_LOOK_S 5

/*
 * Some queries, by sockets of their own. c-ares keeps its UDP port as long as a query is open, under load for ever, and who
 * knows a port needs but 65,536 tries to forge an answer. So a channel takes a few, ends with the last of them, and the
 * next one has another port. Newer versions do that themselves, and one channel knows better which server is dead.
 */
struct dnsbl_channel {
	struct list link;
	struct dnsbl *dnsbl;
	ares_channel ares;
	struct watches watches;
	struct loop_timer timer;
	unsigned sent, open;
};

static struct loop *loop_of(const struct dnsbl *d)
{
	return agent_loop(d->agent);
}

static bool is_used_up(const struct dnsbl_channel *c)
{
#ifdef ARES_OPT_UDP_MAX_QUERIES
	(void)c;
	return false;
#else
	return c->sent >= DNSBL_PORT_QUERIES && c->dnsbl->nchannels < DNSBL_CHANNELS_MAX;
#endif
}

/* What is open ends as failed. */
static void channel_free(struct dnsbl_channel *c)
{
	struct dnsbl *d = c->dnsbl;

	if (d->current == c)
		d->current = NULL;
	ares_destroy(c->ares);
	watches_deinit(&c->watches);
	loop_timer_cancel(loop_of(d), &c->timer);
	list_del(&c->link);
	d->nchannels--;
	free(c);
}

/* It takes no more, and ends with what is open. */
static void channel_retire(struct dnsbl_channel *c)
{
	c->dnsbl->current = NULL;
	if (!c->open)
		channel_free(c);
}

/* ---- sockets and time ---- */

static void arm(struct dnsbl_channel *c)
{
	struct timeval tv, *next = c->open ? ares_timeout(c->ares, NULL, &tv) : NULL;
	struct loop *l = loop_of(c->dnsbl);

	if (next)
		loop_timer_arm(l, &c->timer,
			       mono_add(loop_now(l), (uint64_t)next->tv_sec * MONO_NS_PER_S +
							     (uint64_t)next->tv_usec * 1000));
	else
		loop_timer_cancel(l, &c->timer);
}

static void process(struct dnsbl_channel *c, ares_socket_t in, ares_socket_t out)
{
	struct dnsbl *d = c->dnsbl;

	ares_process_fd(c->ares, in, out);
	if (c->open || c == d->current)
		arm(c);
	else
		channel_free(c);
	dnsbl_dns_pump(d);
}

static void on_timer(void *ctx)
{
	process(ctx, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
}

static void on_ready(void *ctx, int fd, uint32_t events)
{
	bool in = events & (EPOLLIN | EPOLLERR | EPOLLHUP), out = events & EPOLLOUT;

	process(ctx, in ? fd : ARES_SOCKET_BAD, out ? fd : ARES_SOCKET_BAD);
}

static void on_state(void *ctx, ares_socket_t fd, int readable, int writable)
{
	struct dnsbl_channel *c = ctx;

	if (watches_set(&c->watches, fd, (readable ? EPOLLIN : 0u) | (writable ? EPOLLOUT : 0u)) <
	    0)
		agent_fail(c->dnsbl->agent, "cannot wait for name servers");
}

/* ---- the channel ---- */

static int ares_open(struct dnsbl_channel *c)
{
	struct ares_options o = {
		.flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES,
		.timeout = DNSBL_TIMEOUT_MS,
		.tries = DNSBL_TRIES,
		.sock_state_cb = on_state,
		.sock_state_cb_data = c,
	};
	int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB;
	int r;

#ifdef ARES_OPT_UDP_MAX_QUERIES
	o.udp_max_queries = DNSBL_PORT_QUERIES;
	mask |= ARES_OPT_UDP_MAX_QUERIES;
#endif
	r = ares_init_options(&c->ares, &o, mask);
	if (r == ARES_SUCCESS && c->dnsbl->nservers) {
		r = ares_set_servers_ports(c->ares, c->dnsbl->server);
		if (r != ARES_SUCCESS)
			ares_destroy(c->ares);
	}
	return r;
}

static int channel_open(struct dnsbl *d, struct err *e)
{
	struct dnsbl_channel *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return err_set(e, -ENOMEM, "out of memory");
	c->dnsbl = d;
	watches_init(&c->watches, loop_of(d), on_ready, c);
	loop_timer_init(&c->timer, on_timer, c);
	r = ares_open(c);
	if (r != ARES_SUCCESS) {
		watches_deinit(&c->watches);
		free(c);
		return err_set(e, -EIO, "name servers: %s", ares_strerror(r));
	}
	list_add_tail(&d->channels, &c->link);
	d->nchannels++;
	d->current = c;
	return 0;
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

/* The system's servers may be others by now: a channel reads them once. */
static bool servers_changed(struct dnsbl *d)
{
	mono_t now = loop_now(loop_of(d));
	uint64_t before = d->resolv_stamp;

	if (d->nservers || mono_before(now, d->resolv_next))
		return false;
	d->resolv_next = mono_add(now, RESOLV_LOOK_S * MONO_NS_PER_S);
	d->resolv_stamp = resolv_stamp();
	return d->resolv_stamp != before;
}

/* One that takes a query: false when there is none to be had. */
static bool channel_get(struct dnsbl *d)
{
	struct err e = {0};

	if (d->current && (servers_changed(d) || is_used_up(d->current)))
		channel_retire(d->current);
	if (d->current || !channel_open(d, &e))
		return true;
	agent_fail(d->agent, "%s", e.text);
	return false;
}

int dnsbl_dns_init(struct dnsbl *d, struct err *e)
{
	int r = ares_library_init(ARES_LIB_INIT_ALL);

	if (r != ARES_SUCCESS)
		return err_set(e, -EIO, "c-ares: %s", ares_strerror(r));
	d->have_library = true;
	list_init(&d->channels);
	for (unsigned i = 0; i + 1 < d->nservers; i++)
		d->server[i].next = &d->server[i + 1];
	d->resolv_stamp = resolv_stamp();
	d->resolv_next = mono_add(loop_now(loop_of(d)), RESOLV_LOOK_S * MONO_NS_PER_S);
	return channel_open(d, e);
}

void dnsbl_dns_deinit(struct dnsbl *d)
{
	if (!d->have_library)
		return;
	while (!list_empty(&d->channels))
		channel_free(container_of(d->channels.next, struct dnsbl_channel, link));
	ares_library_cleanup();
}

/* ---- queries ---- */

static void reply(struct dnsbl_lookup *l, int status, const unsigned char *packet, int len)
{
	if (l->channel)
		l->channel->open--;
	l->channel = NULL;
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
	struct dnsbl_channel *c = d->current;
	char name[DNSBL_NAME_MAX];

	if (!dnsbl_name(&l->key, d->zone[l->key.zone].name, name)) {
		reply(l, ARES_EBADNAME, NULL, 0);
		return;
	}
	l->channel = c;
	c->sent++;
	c->open++;
	ares_query(c->ares, name, CLASS_IN, TYPE_A, on_reply, l);
	arm(c);
}

void dnsbl_dns_pump(struct dnsbl *d)
{
	struct dnsbl_lookup *l;

	while (d->nopen < DNSBL_OPEN_MAX && !list_empty(&d->waiting) && channel_get(d) &&
	       (l = dnsbl_lookup_next(d)) != NULL)
		send_one(d, l);
}
