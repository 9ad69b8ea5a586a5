/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Message channels over SOCK_SEQPACKET; see chan.h. */
#include "io/chan.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define CHAN_FDS 4 /* room for more than the one we take, so as to close the rest */

struct chan {
	int fd;
	size_t size;
	unsigned batch, capacity;
	unsigned head, used;
	unsigned char *ring; /* capacity * size */
	int *attached;       /* capacity; -1 = none */
	struct chan_stats stats;
};

union chan_control {
	struct cmsghdr align;
	char buf[CMSG_SPACE(CHAN_FDS * sizeof(int))];
};

static int fd_nonblock(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	return 0;
}

int chan_new(struct chan **out, int fd, size_t size, unsigned batch, unsigned backlog)
{
	struct chan *c;
	int r;

	if (fd < 0 || !size || !batch || backlog < batch)
		return -EINVAL;
	r = fd_nonblock(fd);
	if (r < 0)
		return r;
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	*c = (struct chan){.fd = -1, .size = size, .batch = batch, .capacity = backlog};
	c->ring = calloc(backlog, size);
	c->attached = calloc(backlog, sizeof(*c->attached));
	if (!c->ring || !c->attached) {
		chan_free(c);
		return -ENOMEM;
	}
	c->fd = fd;
	*out = c;
	return 0;
}

static unsigned ring_at(const struct chan *c, unsigned i)
{
	return (c->head + i) % c->capacity;
}

void chan_free(struct chan *c)
{
	if (!c)
		return;
	for (unsigned i = 0; i < c->used; i++)
		if (c->attached[ring_at(c, i)] >= 0)
			close(c->attached[ring_at(c, i)]);
	if (c->fd >= 0)
		close(c->fd);
	free(c->ring);
	free(c->attached);
	free(c);
}

int chan_fd(const struct chan *c)
{
	return c->fd;
}

int chan_send_fd(struct chan *c, const void *message, int fd)
{
	unsigned at;

	if (c->used == c->capacity) {
		c->stats.refused++;
		return CHAN_FULL;
	}
	at = ring_at(c, c->used++);
	memcpy(c->ring + at * c->size, message, c->size);
	c->attached[at] = fd;
	c->stats.backlog = c->used;
	if (c->used > c->stats.backlog_peak)
		c->stats.backlog_peak = c->used;
	return 0;
}

int chan_send(struct chan *c, const void *message)
{
	return chan_send_fd(c, message, -1);
}

unsigned chan_room(const struct chan *c)
{
	return c->capacity - c->used;
}

bool chan_pending(const struct chan *c)
{
	return c->used > 0;
}

/* How many messages go into the next datagram: one that carries a descriptor goes alone. */
static unsigned chan_gather(const struct chan *c)
{
	unsigned n = 0, max = c->used < c->batch ? c->used : c->batch;

	while (n < max && c->attached[ring_at(c, n)] < 0)
		n++;
	return n ? n : 1;
}

static void chan_attach(struct msghdr *mh, union chan_control *control, int fd)
{
	struct cmsghdr *cm;

	memset(control, 0, sizeof(*control));
	mh->msg_control = control->buf;
	mh->msg_controllen = CMSG_SPACE(sizeof(int));
	cm = CMSG_FIRSTHDR(mh);
	cm->cmsg_level = SOL_SOCKET;
	cm->cmsg_type = SCM_RIGHTS;
	cm->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cm), &fd, sizeof(fd));
}

static ssize_t chan_write(struct chan *c, unsigned n)
{
	unsigned first = c->capacity - c->head < n ? c->capacity - c->head : n;
	struct iovec iov[2] = {
		{c->ring + c->head * c->size, first * c->size},
		{c->ring, (n - first) * c->size},
	};
	struct msghdr mh = {.msg_iov = iov, .msg_iovlen = n > first ? 2 : 1};
	union chan_control control;
	ssize_t r;

	if (c->attached[c->head] >= 0)
		chan_attach(&mh, &control, c->attached[c->head]);
	do
		r = sendmsg(c->fd, &mh, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : r;
}

static void chan_consume(struct chan *c, unsigned n)
{
	if (c->attached[c->head] >= 0)
		close(c->attached[c->head]);
	c->head = ring_at(c, n);
	c->used -= n;
	c->stats.backlog = c->used;
	c->stats.sent += n;
	c->stats.datagrams_out++;
}

int chan_flush(struct chan *c)
{
	while (c->used) {
		unsigned n = chan_gather(c);
		ssize_t r = chan_write(c, n);

		/* ENOBUFS, ENOMEM: as good as a full socket; it is tried again */
		if (r == -EAGAIN || r == -ENOBUFS || r == -ENOMEM) {
			c->stats.stalled++;
			return CHAN_AGAIN;
		}
		if (r < 0)
			return r == -ECONNRESET ? -EPIPE : (int)r;
		chan_consume(c, n);
	}
	return 0;
}

/* The first descriptor that came along, or -1; all others are closed. */
static int chan_detach(struct msghdr *mh)
{
	int fd = -1;

	for (struct cmsghdr *cm = CMSG_FIRSTHDR(mh); cm; cm = CMSG_NXTHDR(mh, cm)) {
		size_t n = (cm->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (cm->cmsg_level != SOL_SOCKET || cm->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < n; i++) {
			int got;

			memcpy(&got, CMSG_DATA(cm) + i * sizeof(int), sizeof(got));
			if (fd < 0)
				fd = got;
			else
				close(got);
		}
	}
	return fd;
}

static int chan_reject(struct chan *c, int fd)
{
	if (fd >= 0)
		close(fd);
	c->stats.bad++;
	return CHAN_BAD;
}

int chan_recv(struct chan *c, void *messages, unsigned *n, int *fd)
{
	union chan_control control;
	struct iovec iov = {messages, c->batch * c->size};
	struct msghdr mh = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf),
	};
	ssize_t r;
	int got;

	do
		r = recvmsg(c->fd, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return errno == EAGAIN ? CHAN_AGAIN : errno == ECONNRESET ? -EPIPE : -errno;
	got = chan_detach(&mh);
	if (r == 0) {
		if (got >= 0)
			close(got);
		return -EPIPE;
	}
	if (mh.msg_flags & (MSG_TRUNC | MSG_CTRUNC) || (size_t)r % c->size)
		return chan_reject(c, got);
	*n = (unsigned)((size_t)r / c->size);
	*fd = got;
	c->stats.received += *n;
	c->stats.datagrams_in++;
	return 0;
}

const struct chan_stats *chan_stats(const struct chan *c)
{
	return &c->stats;
}
