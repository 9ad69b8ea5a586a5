/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Does somebody listen? On this host the kernel's own look-up says so (sock_diag), without privileges and without a
 * connection that the service would see; of another host only a TCP connection can tell.
 */
#include "agents/unit.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HOOK_LOCAL_IN = 1 };

bool unit_target_address(struct unit_target *t, const char *text)
{
	memset(t->address, 0, sizeof(t->address));
	t->family = inet_pton(AF_INET, text, t->address) == 1    ? 4
		    : inet_pton(AF_INET6, text, t->address) == 1 ? 6
								 : 0;
	return t->family;
}

bool unit_target_loopback(const struct unit_target *t)
{
	return t->family == 4 ? t->address[0] == 127
			      : t->family == 6 && !memcmp(t->address, &in6addr_loopback, 16);
}

static socklen_t sockaddr_of(const struct unit_target *t, struct sockaddr_storage *out)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)out;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;

	memset(out, 0, sizeof(*out));
	if (t->family == 4) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(t->port);
		memcpy(&v4->sin_addr, t->address, 4);
		return sizeof(*v4);
	}
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons(t->port);
	memcpy(&v6->sin6_addr, t->address, 16);
	return sizeof(*v6);
}

/* What is sent to an address of this host is sent from it. */
bool unit_target_local(const struct unit_target *t)
{
	struct sockaddr_storage to, from;
	socklen_t len, n = sizeof(from);
	bool local = false;
	int fd;

	if (!t->family || unit_target_loopback(t))
		return true;
	len = sockaddr_of(t, &to);
	fd = socket(to.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	if (connect(fd, (struct sockaddr *)&to, len) == 0 &&
	    getsockname(fd, (struct sockaddr *)&from, &n) == 0)
		local = t->family == 4
				? !memcmp(&((struct sockaddr_in *)&from)->sin_addr, t->address, 4)
				: !memcmp(&((struct sockaddr_in6 *)&from)->sin6_addr, t->address,
					  16);
	close(fd);
	return local;
}

/* ---- this host ---- */

static bool listens_at(struct unit_probe *p, const struct unit_target *t)
{
	struct pend_values v = {.hook = HOOK_LOCAL_IN,
				.family = t->family,
				.protocol = t->protocol,
				.dest_port = t->port};
	struct listener_socket s;

	memcpy(v.dest, t->address, sizeof(v.dest));
	return listener_find(&p->diag, &v, &s) == LISTENER_FOUND;
}

/* Most listen at all addresses, which is seen without a walk over all sockets. */
static bool listens(struct unit_probe *p, const struct unit_target *t)
{
	struct unit_target at = *t;
	uint32_t n;

	if (t->family)
		return listens_at(p, t);
	if ((unit_target_address(&at, "127.0.0.1") && listens_at(p, &at)) ||
	    (unit_target_address(&at, "::1") && listens_at(p, &at)))
		return true;
	return listener_count(&p->diag, t->protocol, t->port, LISTENER_LISTENS, &n) == 0 && n;
}

bool unit_busy(struct unit_probe *p, const struct unit_target *t)
{
	uint32_t n;

	if (!t->protocol || !unit_target_local(t))
		return true;
	return listener_count(&p->diag, t->protocol, t->port, LISTENER_BUSY, &n) < 0 || n;
}

/* ---- another host ---- */

static void try_end(struct unit_probe *p)
{
	loop_timer_cancel(p->loop, &p->timer);
	if (p->fd < 0)
		return;
	loop_del(p->loop, p->fd);
	close(p->fd);
	p->fd = -1;
}

static void on_timer(void *ctx)
{
	struct unit_probe *p = ctx;

	try_end(p);
	p->done(p->ctx, false);
}

static void on_connected(void *ctx, uint32_t events)
{
	struct unit_probe *p = ctx;
	socklen_t len = sizeof(int);
	int error = 0;

	(void)events;
	if (getsockopt(p->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		error = errno;
	try_end(p);
	if (!error)
		p->good_until = mono_add(loop_now(p->loop), UNIT_FRESH_NS);
	p->done(p->ctx, !error);
}

static enum unit_seen try_begin(struct unit_probe *p, const struct unit_target *t)
{
	struct sockaddr_storage to;
	socklen_t len = sockaddr_of(t, &to);

	p->at = *t;
	p->good_until = mono_ns(0);
	p->fd = socket(to.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (p->fd < 0)
		return UNIT_NOT_READY;
	if ((connect(p->fd, (struct sockaddr *)&to, len) == 0 || errno == EINPROGRESS) &&
	    loop_add(p->loop, p->fd, EPOLLOUT, on_connected, p) == 0) {
		loop_timer_arm(p->loop, &p->timer, mono_add(loop_now(p->loop), UNIT_TRY_NS));
		return UNIT_LATER;
	}
	close(p->fd);
	p->fd = -1;
	return UNIT_NOT_READY;
}

static bool same(const struct unit_target *a, const struct unit_target *b)
{
	return a->family == b->family && a->port == b->port &&
	       !memcmp(a->address, b->address, sizeof(a->address));
}

enum unit_seen unit_probe(struct unit_probe *p, const struct unit_target *t)
{
	if (unit_target_local(t))
		return listens(p, t) ? UNIT_READY : UNIT_NOT_READY;
	if (t->protocol != IPPROTO_TCP)
		return UNIT_NOT_READY;
	if (p->fd >= 0)
		return UNIT_LATER;
	if (same(&p->at, t) && mono_before(loop_now(p->loop), p->good_until))
		return UNIT_READY;
	return try_begin(p, t);
}

void unit_probe_init(struct unit_probe *p, struct loop *l, void (*done)(void *, bool), void *ctx)
{
	*p = (struct unit_probe){.loop = l, .fd = -1, .done = done, .ctx = ctx};
	listener_open(&p->diag);
	loop_timer_init(&p->timer, on_timer, p);
}

void unit_probe_deinit(struct unit_probe *p)
{
	if (!p->loop)
		return;
	try_end(p);
	listener_close(&p->diag);
}
