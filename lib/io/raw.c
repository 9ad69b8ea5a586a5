/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Raw sockets for reinjection and answers. See raw.h. */
#include "io/raw.h"
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* IPPROTO_RAW implies that we bring the IP header (raw(7), net/ipv6/raw.c). */
static int open_one(int family, uint32_t mark)
{
	int fd = socket(family, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_RAW);

	if (fd < 0)
		return -errno;
	if (mark && setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) < 0) {
		int r = -errno;

		close(fd);
		return r;
	}
	return fd;
}

static int open_pair(int *v4, int *v6, uint32_t mark)
{
	*v4 = open_one(AF_INET, mark);
	if (*v4 < 0)
		return *v4;
	*v6 = open_one(AF_INET6, mark); /* a host without IPv6 does without */
	return 0;
}

int raw_open(struct raw *r, uint32_t inject_mark)
{
	int err;

	*r = (struct raw){-1, -1, -1, -1};
	err = open_pair(&r->inject4, &r->inject6, inject_mark);
	if (!err)
		err = open_pair(&r->answer4, &r->answer6, 0);
	if (err)
		raw_close(r);
	return err;
}

void raw_close(struct raw *r)
{
	int *fds[] = {&r->inject4, &r->inject6, &r->answer4, &r->answer6};

	for (size_t i = 0; i < sizeof(fds) / sizeof(*fds); i++) {
		if (*fds[i] >= 0)
			close(*fds[i]);
		*fds[i] = -1;
	}
}

static bool send4(int fd, const void *data, uint32_t len, const uint8_t *to)
{
	struct sockaddr_in sin = {.sin_family = AF_INET};

	memcpy(&sin.sin_addr, to, sizeof(sin.sin_addr));
	return fd >= 0 &&
	       sendto(fd, data, len, 0, (struct sockaddr *)&sin, sizeof(sin)) == (ssize_t)len;
}

static bool send6(int fd, const void *data, uint32_t len, const uint8_t *to, uint32_t scope)
{
	struct sockaddr_in6 sin6 = {.sin6_family = AF_INET6};

	memcpy(&sin6.sin6_addr, to, sizeof(sin6.sin6_addr));
	if (IN6_IS_ADDR_LINKLOCAL(&sin6.sin6_addr))
		sin6.sin6_scope_id = scope;
	return fd >= 0 &&
	       sendto(fd, data, len, 0, (struct sockaddr *)&sin6, sizeof(sin6)) == (ssize_t)len;
}

bool raw_inject(const struct raw *r, const void *data, uint32_t len, const struct flow *f,
		uint32_t iif)
{
	if (f->family == FLOW_V6)
		return send6(r->inject6, data, len, f->dst, iif);
	return send4(r->inject4, data, len, f->dst);
}

bool raw_answer(const struct raw *r, const void *data, uint32_t len, const struct flow *f,
		uint32_t iif)
{
	if (f->family == FLOW_V6)
		return send6(r->answer6, data, len, f->src, iif);
	return send4(r->answer4, data, len, f->src);
}
