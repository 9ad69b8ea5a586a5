/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sd_notify(3) and sd_listen_fds(3), as far as they are needed. See notify.h. */
#include "daemon/notify.h"
#include <fcntl.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define LISTEN_FDS_START 3

static struct sockaddr_un addr;
static socklen_t addr_len;
static int fd = -1;

void notify_open(void)
{
	const char *path = getenv("NOTIFY_SOCKET");
	size_t len = path ? strlen(path) : 0;

	if (len < 2 || len >= sizeof(addr.sun_path) || (*path != '/' && *path != '@'))
		return;
	addr.sun_family = AF_UNIX;
	memcpy(addr.sun_path, path, len);
	if (*path == '@')
		addr.sun_path[0] = '\0';
	addr_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	unsetenv("NOTIFY_SOCKET");
}

static void send_text(const char *text, int pass)
{
	struct iovec iov = {(void *)(uintptr_t)text, strlen(text)};
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {{0}};
	struct msghdr m = {
		.msg_name = &addr, .msg_namelen = addr_len, .msg_iov = &iov, .msg_iovlen = 1};

	if (fd < 0)
		return;
	if (pass >= 0) {
		struct cmsghdr *c;

		m.msg_control = control.buf;
		m.msg_controllen = sizeof(control.buf);
		c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &pass, sizeof(int));
	}
	(void)sendmsg(fd, &m, MSG_NOSIGNAL);
}

void notify_send(const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	send_text(text, -1);
}

void notify_store_fd(int store, const char *name)
{
	char text[128];

	/* FDPOLL=0: a netlink socket that was overrun shows POLLERR, and would be thrown away. */
	snprintf(text, sizeof(text), "FDSTORE=1\nFDNAME=%s\nFDPOLL=0", name);
	send_text(text, store);
}

int notify_take_fd(const char *name)
{
	const char *pid = getenv("LISTEN_PID"), *names = getenv("LISTEN_FDNAMES");
	int n = getenv("LISTEN_FDS") ? atoi(getenv("LISTEN_FDS")) : 0;

	if (!pid || !names || atol(pid) != (long)getpid())
		return -1;
	for (int i = 0; i < n && names; i++) {
		size_t len = strcspn(names, ":");

		if (len == strlen(name) && !strncmp(names, name, len)) {
			fcntl(LISTEN_FDS_START + i, F_SETFD, FD_CLOEXEC);
			return LISTEN_FDS_START + i;
		}
		names = names[len] ? names + len + 1 : NULL;
	}
	return -1;
}

uint64_t notify_watchdog_ns(void)
{
	const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");

	if (!usec || (pid && atol(pid) != (long)getpid()))
		return 0;
	return strtoull(usec, NULL, 10) * 1000 / 2;
}
