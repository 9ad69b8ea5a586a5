/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sockets of libraries; see watch.h. */
#include "agents/watch.h"
#include <errno.h>
#include <stdlib.h>

struct watch {
	struct list link;
	struct watches *of;
	int fd;
};

void watches_init(struct watches *w, struct loop *loop,
		  void (*ready)(void *ctx, int fd, uint32_t events), void *ctx)
{
	w->loop = loop;
	w->ready = ready;
	w->ctx = ctx;
	list_init(&w->all);
}

static void on_ready(void *ctx, uint32_t events)
{
	const struct watch *v = ctx;

	v->of->ready(v->of->ctx, v->fd, events);
}

static struct watch *find(const struct watches *w, int fd)
{
	for (struct list *at = w->all.next; at != &w->all; at = at->next) {
		struct watch *v = container_of(at, struct watch, link);

		if (v->fd == fd)
			return v;
	}
	return NULL;
}

static void end(struct watch *v)
{
	loop_del(v->of->loop, v->fd);
	list_del(&v->link);
	free(v);
}

static int begin(struct watches *w, int fd, uint32_t events)
{
	struct watch *v = malloc(sizeof(*v));
	int r = v ? loop_add(w->loop, fd, events, on_ready, v) : -ENOMEM;

	if (r < 0) {
		free(v);
		return r;
	}
	v->of = w;
	v->fd = fd;
	list_add_tail(&w->all, &v->link);
	return 0;
}

int watches_set(struct watches *w, int fd, uint32_t events)
{
	struct watch *v = find(w, fd);

	if (v && events)
		return loop_mod(w->loop, fd, events);
	if (v)
		end(v);
	return events && !v ? begin(w, fd, events) : 0;
}

void watches_deinit(struct watches *w)
{
	struct list *at, *tmp;

	if (!w->all.next)
		return;
	list_foreach(at, tmp, &w->all)
		end(container_of(at, struct watch, link));
}
