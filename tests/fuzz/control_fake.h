/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A control server whose outside world swallows everything, for the fuzz targets. */
#ifndef TESTS_CONTROL_FAKE_H
#define TESTS_CONTROL_FAKE_H

#include "daemon/control.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FAKE_POSTED 64

struct fake_control {
	struct loop *loop;
	struct view view;
	struct events *events;
	struct control *control;
	struct control_client *client;
	struct msg posted[FAKE_POSTED]; /* the last ones, for answers that fit */
	unsigned nposted;
	uint32_t reload_seq;
	bool closed;
};

static inline int fake_post(void *ctx, unsigned worker, const struct msg *m)
{
	struct fake_control *f = ctx;

	(void)worker;
	f->posted[f->nposted++ % FAKE_POSTED] = *m;
	return 0;
}

static inline int fake_reload(void *ctx, enum reload_kind kind, const char *text, size_t len,
			      uint32_t seq)
{
	struct fake_control *f = ctx;

	(void)kind;
	(void)text;
	(void)len;
	f->reload_seq = seq;
	return 0;
}

static inline void fake_follow(void *ctx, uint32_t mask)
{
	(void)ctx;
	(void)mask;
}

static inline void fake_figures(void *ctx, json_t *status)
{
	(void)ctx;
	(void)status;
}

/* Whatever goes out is one line of JSON without a byte that a terminal would obey. */
static inline void fake_write(void *client, const char *line, size_t len)
{
	json_t *v = json_loadb(line, len, 0, NULL);

	(void)client;
	if (!v || line[len - 1] != '\n')
		abort();
	for (size_t i = 0; i + 1 < len; i++)
		if ((unsigned char)line[i] < 0x20)
			abort();
	json_decref(v);
}

static inline bool fake_backlogged(void *client)
{
	(void)client;
	return false;
}

static inline void fake_close(void *client)
{
	((struct fake_control *)client)->closed = true;
}

static inline void fake_open(struct fake_control *f)
{
	struct control_env env = {
		.ctx = f,
		.workers = 2,
		.config = "/etc/pend/pend.conf",
		.view = &f->view,
		.post = fake_post,
		.reload = fake_reload,
		.follow = fake_follow,
		.figures = fake_figures,
		.write = fake_write,
		.backlogged = fake_backlogged,
		.close = fake_close,
	};

	memset(f, 0, sizeof(*f));
	f->view.if_fd = -1;
	if (loop_new(&f->loop) < 0 || events_new(&f->events) < 0)
		abort();
	env.loop = f->loop;
	env.events = f->events;
	if (control_new(&f->control, &env) < 0)
		abort();
	f->client = control_open(f->control, f, ROLE_ADMIN, 0);
	if (!f->client)
		abort();
}

static inline void fake_shut(struct fake_control *f)
{
	control_closed(f->client);
	control_free(f->control);
	events_free(f->events);
	loop_free(f->loop);
}

#endif
