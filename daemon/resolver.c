/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The resolver process. See resolver.h. */
#include "daemon/resolver.h"
#include "core/classify.h"
#include "daemon/cgroups.h"
#include "daemon/holder.h"
#include "daemon/log.h"
#include "daemon/sandbox.h"
#include "io/loop.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MODULE   "resolver"
#define FD_FIRST 3
#define FILES    64 /* besides the channels: the folders of a walk */

struct resolver {
	int proc;
	bool blind, told;
	uint32_t socket_mount;
	struct cgroups cgroups;
	unsigned channels;
	struct pollfd poll[RESOLVER_CHANNELS_MAX];
};

static void tell_cgroup(struct resolver *r, const struct resolver_question *q,
			struct resolver_answer *a)
{
	_Static_assert(sizeof(a->cgroup) == CGROUPS_PATH, "a path fits");
	if (cgroups_path(&r->cgroups, q->cgroup, a->cgroup))
		a->known |= LISTENER_CGROUP;
}

static void tell_blind(struct resolver *r)
{
	if (r->blind && !r->told)
		log_warning(MODULE, "other users' processes cannot be seen: rules by group or "
				    "executable need CAP_SYS_PTRACE");
	r->told = true;
}

static void tell_process(struct resolver *r, const struct resolver_question *q,
			 struct resolver_answer *a)
{
	char path[CGROUPS_PATH];
	struct holder h;
	int list = -1;

	_Static_assert(sizeof(a->executable) == sizeof(h.executable), "a path fits");
	if (!q->inode || !r->socket_mount)
		return;
	if (cgroups_path(&r->cgroups, q->cgroup, path))
		list = cgroups_processes(&r->cgroups, path);
	if (!holder_find(r->proc, r->socket_mount, q->inode, list, &h)) {
		tell_blind(r);
		return;
	}
	a->gid = h.gid;
	memcpy(a->executable, h.executable, sizeof(h.executable));
	a->known |= (h.has_gid ? LISTENER_GROUP : 0u) |
		    (h.has_executable ? LISTENER_EXECUTABLE : 0u);
}

static void answer(struct resolver *r, int fd, const struct resolver_question *q)
{
	struct resolver_answer a = {.seq = q->seq, .cookie = q->cookie, .asked = q->need};

	if (q->need & LISTENER_CGROUP)
		tell_cgroup(r, q, &a);
	if (q->need & (LISTENER_GROUP | LISTENER_EXECUTABLE))
		tell_process(r, q, &a);
	a.known &= q->need;
	a.at_ns = loop_clock().ns;
	/* Full: whoever asked has long gone on. */
	if (send(fd, &a, sizeof(a), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		return;
}

/* One question, so that all channels have their turn. */
static void serve(struct resolver *r, struct pollfd *p)
{
	struct resolver_question q;
	ssize_t n;

	if (!p->revents)
		return;
	n = recv(p->fd, &q, sizeof(q), MSG_DONTWAIT);
	if (n == (ssize_t)sizeof(q)) {
		answer(r, p->fd, &q);
	} else if (n >= 0 || (errno != EAGAIN && errno != EINTR)) {
		close(p->fd);
		p->fd = -1;
		r->channels--;
	}
}

static int give_up_rights(struct resolver *res, const struct resolver_args *args)
{
	struct err e = {0};
	int r = sandbox_resolver(args->user, args->channels + FILES, &e);

	if (r < 0)
		log_error(MODULE, "%s", e.text);
	res->blind = r == SANDBOX_BLIND;
	return r < 0 ? r : 0;
}

static int prepare(struct resolver *r, const struct resolver_args *args)
{
	r->channels = args->channels;
	for (unsigned i = 0; i < args->channels; i++)
		r->poll[i] = (struct pollfd){.fd = FD_FIRST + (int)i, .events = POLLIN};
	/* the terminal's and the service's signals are for the verdict process to act on */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	r->proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cgroups_open(&r->cgroups, NULL);
	if (r->proc >= 0)
		r->socket_mount = holder_mount(r->proc, FD_FIRST);
	return give_up_rights(r, args);
}

int resolver_main(const struct resolver_args *args)
{
	static struct resolver r;

	if (prepare(&r, args))
		return EXIT_FAILURE;
	while (r.channels) {
		if (poll(r.poll, args->channels, -1) < 0 && errno != EINTR)
			return EXIT_FAILURE;
		for (unsigned i = 0; i < args->channels; i++)
			if (r.poll[i].fd >= 0)
				serve(&r, &r.poll[i]);
	}
	return EXIT_SUCCESS;
}
