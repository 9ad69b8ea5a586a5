/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Line server on a Unix stream socket; see usock.h. */
#include "io/usock.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_SIZE       16384
#define ACCEPT_BATCH    16
#define ACCEPT_PAUSE_MS 500 /* after EMFILE and the like */

struct usock_client {
	struct list link, dirty;
	struct usock *server;
	int fd;
	bool closing; /* goes when the output is sent */
	bool eof;     /* nothing more to read */
	bool dead;    /* goes at the next flush */
	bool high;    /* is above out_high: its lines are not read */
	bool busy;    /* was above out_low: `drained` is owed */
	struct usock_peer peer;
	void *user;
	char *in;
	size_t in_len, in_cap;
	char *out;
	size_t out_start, out_len, out_cap;
	struct loop_timer stall;
};

struct usock {
	struct loop *loop;
	int fd;
	struct usock_handler h;
	void *ctx;
	struct usock_limits limits;
	struct usock_stats stats;
	struct list clients, dirty;
	struct loop_timer pause;
};

int usock_peer_get(int fd, struct usock_peer *out)
{
	struct ucred cred;
	socklen_t len = sizeof(cred), glen = sizeof(out->groups);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return -errno;
	*out = (struct usock_peer){.pid = cred.pid, .uid = cred.uid, .gid = cred.gid};
	/* ERANGE: more groups than we look at; none is taken then, which can only deny */
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, out->groups, &glen) == 0)
		out->ngroups = (unsigned)(glen / sizeof(out->groups[0]));
	return 0;
}

bool usock_peer_in(const struct usock_peer *p, gid_t gid)
{
	if (p->gid == gid)
		return true;
	for (unsigned i = 0; i < p->ngroups; i++)
		if (p->groups[i] == gid)
			return true;
	return false;
}

static void client_dirty(struct usock_client *c)
{
	if (!list_linked(&c->dirty))
		list_add_tail(&c->server->dirty, &c->dirty);
}

void usock_kill(struct usock_client *c)
{
	c->dead = c->closing = true;
	client_dirty(c);
}

void usock_close(struct usock_client *c)
{
	c->closing = true;
	client_dirty(c);
}

bool usock_backlogged(const struct usock_client *c)
{
	return c->out_len > c->server->limits.out_high;
}

bool usock_busy(const struct usock_client *c)
{
	return c->out_len > c->server->limits.out_low;
}

size_t usock_waiting(const struct usock_client *c)
{
	return c->out_len;
}

const struct usock_peer *usock_peer(const struct usock_client *c)
{
	return &c->peer;
}

void usock_set_user(struct usock_client *c, void *user)
{
	c->user = user;
}

void *usock_user(const struct usock_client *c)
{
	return c->user;
}

/* Room for `more` bytes behind buf[0..len); 0 or -ENOMEM. */
static int grow(char **buf, size_t *cap, size_t len, size_t more)
{
	size_t want = *cap ? *cap : 1024;
	char *p;

	if (len + more <= *cap)
		return 0;
	while (want < len + more)
		want *= 2;
	p = realloc(*buf, want);
	if (!p)
		return -ENOMEM;
	*buf = p;
	*cap = want;
	return 0;
}

int usock_send(struct usock_client *c, const void *data, size_t len)
{
	struct usock *s = c->server;

	if (c->dead)
		return USOCK_FULL;
	if (c->out_len + len > s->limits.out_max) {
		s->stats.overrun++;
		usock_kill(c);
		return USOCK_FULL;
	}
	if (c->out_start && c->out_start + c->out_len + len > c->out_cap) {
		memmove(c->out, c->out + c->out_start, c->out_len);
		c->out_start = 0;
	}
	if (grow(&c->out, &c->out_cap, c->out_start + c->out_len, len) < 0) {
		usock_kill(c);
		return USOCK_FULL;
	}
	memcpy(c->out + c->out_start + c->out_len, data, len);
	c->out_len += len;
	c->high = c->high || usock_backlogged(c);
	c->busy = c->busy || usock_busy(c);
	client_dirty(c);
	return 0;
}

static void client_interest(struct usock_client *c)
{
	uint32_t events = 0;

	if (!c->closing && !c->eof && !c->high)
		events |= EPOLLIN;
	if (c->out_len)
		events |= EPOLLOUT;
	loop_mod(c->server->loop, c->fd, events);
}

static void client_stalled(void *ctx)
{
	struct usock_client *c = ctx;

	c->server->stats.stalled++;
	usock_kill(c);
}

static void client_free(struct usock_client *c)
{
	struct usock *s = c->server;

	s->h.closed(s->ctx, c);
	loop_timer_cancel(s->loop, &c->stall);
	loop_del(s->loop, c->fd);
	close(c->fd);
	list_del(&c->link);
	list_del(&c->dirty);
	s->stats.clients--;
	free(c->in);
	free(c->out);
	free(c);
}

/* The stall timer runs while output waits and starts anew whenever some of it went. */
static void client_progress(struct usock_client *c, bool sent)
{
	struct loop *l = c->server->loop;

	if (!c->out_len)
		loop_timer_cancel(l, &c->stall);
	else if (sent || !loop_timer_armed(&c->stall))
		loop_timer_arm(l, &c->stall, mono_add(loop_now(l), c->server->limits.stall_ns));
}

static void client_write(struct usock_client *c)
{
	bool sent = false;

	while (c->out_len) {
		ssize_t r = send(c->fd, c->out + c->out_start, c->out_len,
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0 && errno != EAGAIN)
			usock_kill(c);
		if (r < 0)
			break;
		c->out_start += (size_t)r;
		c->out_len -= (size_t)r;
		sent = true;
	}
	if (!c->out_len)
		c->out_start = 0;
	client_progress(c, sent);
}

static void client_flush(struct usock_client *c)
{
	struct usock *s = c->server;

	if (!c->dead)
		client_write(c);
	if (c->dead || (c->closing && !c->out_len)) {
		client_free(c);
		return;
	}
	if (c->busy && c->out_len <= s->limits.out_low / 2) {
		c->high = c->busy = false;
		s->h.drained(s->ctx, c);
	}
	client_interest(c);
}

void usock_flush(struct usock *s)
{
	struct list *p;

	/* `drained` and `closed` may send to others: they join the end of the list */
	while ((p = list_pop(&s->dirty)))
		client_flush(container_of(p, struct usock_client, dirty));
}

/* Hands over the whole lines in the buffer and moves the rest to its beginning. */
static void client_lines(struct usock_client *c)
{
	struct usock *s = c->server;
	char *p = c->in, *end = c->in + c->in_len, *nl;

	while (!c->closing && (nl = memchr(p, '\n', (size_t)(end - p)))) {
		*nl = '\0';
		if ((size_t)(nl - p) > s->limits.line_max)
			break;
		s->h.line(s->ctx, c, p, (size_t)(nl - p));
		p = nl + 1;
	}
	c->in_len = (size_t)(end - p);
	memmove(c->in, p, c->in_len);
	if (!c->closing && c->in_len > s->limits.line_max) {
		s->stats.overlong++;
		s->h.overlong(s->ctx, c);
		usock_close(c);
	}
}

static void client_read(struct usock_client *c)
{
	ssize_t r;

	if (grow(&c->in, &c->in_cap, c->in_len, READ_SIZE) < 0) {
		usock_kill(c);
		return;
	}
	do
		r = recv(c->fd, c->in + c->in_len, READ_SIZE, MSG_DONTWAIT);
	while (r < 0 && errno == EINTR);
	if (r < 0 && errno == EAGAIN)
		return;
	if (r <= 0) {
		c->eof = true;
		if (r == 0)
			c->server->h.eof(c->server->ctx, c);
		else
			usock_kill(c);
		return;
	}
	c->in_len += (size_t)r;
	client_lines(c);
}

static void client_event(void *ctx, uint32_t events)
{
	struct usock_client *c = ctx;

	if (events & EPOLLERR || (events & EPOLLHUP && !(events & EPOLLIN))) {
		usock_kill(c);
		return;
	}
	if (events & EPOLLIN && !c->closing && !c->eof)
		client_read(c);
	client_dirty(c);
}

static bool may_enter(const struct usock *s, const struct usock_peer *p)
{
	unsigned max = s->limits.max_clients;

	if (p->uid == 0 || p->uid == geteuid())
		max += s->limits.reserve;
	return s->stats.clients < max;
}

static void client_refuse(struct usock *s, int fd)
{
	s->stats.refused++;
	if (s->limits.refusal)
		send(fd, s->limits.refusal, strlen(s->limits.refusal), MSG_NOSIGNAL | MSG_DONTWAIT);
	close(fd);
}

static int client_new(struct usock *s, int fd, const struct usock_peer *peer)
{
	struct usock_client *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return -ENOMEM;
	c->server = s;
	c->fd = fd;
	c->peer = *peer;
	list_init(&c->dirty);
	loop_timer_init(&c->stall, client_stalled, c);
	r = loop_add(s->loop, fd, EPOLLIN, client_event, c);
	if (r < 0) {
		free(c);
		return r;
	}
	list_add_tail(&s->clients, &c->link);
	s->stats.accepted++;
	s->stats.clients++;
	if (s->stats.clients > s->stats.clients_peak)
		s->stats.clients_peak = s->stats.clients;
	s->h.open(s->ctx, c);
	client_dirty(c);
	return 0;
}

static void accept_one(struct usock *s, int fd)
{
	struct usock_peer peer;

	if (usock_peer_get(fd, &peer) < 0)
		close(fd);
	else if (!may_enter(s, &peer) || client_new(s, fd, &peer) < 0)
		client_refuse(s, fd);
}

static void accept_resume(void *ctx)
{
	struct usock *s = ctx;

	loop_mod(s->loop, s->fd, EPOLLIN);
}

static void accept_event(void *ctx, uint32_t events)
{
	struct usock *s = ctx;

	(void)events;
	for (int i = 0; i < ACCEPT_BATCH; i++) {
		int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd >= 0) {
			accept_one(s, fd);
			continue;
		}
		if (errno == EINTR || errno == ECONNABORTED)
			continue;
		if (errno == EAGAIN)
			return;
		/* EMFILE, ENFILE, ENOMEM: the connection stays in the queue; do not spin on it */
		loop_mod(s->loop, s->fd, 0);
		loop_timer_arm(s->loop, &s->pause,
			       mono_add(loop_now(s->loop), ACCEPT_PAUSE_MS * MONO_NS_PER_MS));
		return;
	}
}

int usock_new(struct usock **out, struct loop *l, int listen_fd, const struct usock_handler *h,
	      void *ctx, const struct usock_limits *limits)
{
	struct usock *s = calloc(1, sizeof(*s));
	int flags = fcntl(listen_fd, F_GETFL), r;

	if (!s)
		return -ENOMEM;
	*s = (struct usock){.loop = l, .fd = listen_fd, .h = *h, .ctx = ctx, .limits = *limits};
	list_init(&s->clients);
	list_init(&s->dirty);
	loop_timer_init(&s->pause, accept_resume, s);
	if (flags < 0 || fcntl(listen_fd, F_SETFL, flags | O_NONBLOCK) < 0)
		r = -errno;
	else
		r = loop_add(l, listen_fd, EPOLLIN, accept_event, s);
	if (r < 0) {
		free(s);
		return r;
	}
	*out = s;
	return 0;
}

void usock_free(struct usock *s)
{
	struct list *p, *tmp;

	if (!s)
		return;
	list_foreach(p, tmp, &s->clients)
		client_free(container_of(p, struct usock_client, link));
	loop_timer_cancel(s->loop, &s->pause);
	loop_del(s->loop, s->fd);
	close(s->fd);
	free(s);
}

bool usock_all_sent(const struct usock *s)
{
	struct list *p;

	for (p = s->clients.next; p != &s->clients; p = p->next)
		if (container_of(p, struct usock_client, link)->out_len)
			return false;
	return true;
}

const struct usock_stats *usock_stats(const struct usock *s)
{
	return &s->stats;
}
