/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A control server without sockets, workers and files, for its tests and for the fuzz targets: what is posted and what
 * clients are told is kept, and a policy comes from memory. A test adds what it is about to fake_env().
 *
 * A failed check prints its place and aborts: that is a failure under Check, a crash to a fuzzer.
 */
#ifndef TESTS_CONTROL_FAKE_H
#define TESTS_CONTROL_FAKE_H

#include "core/policy.h"
#include "daemon/control.h"
#include "tests/unit/abort_unless.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FAKE_POSTED 64
#define FAKE_TEXT   (1u << 20)

#define FAKE_CHECK ABORT_UNLESS

/* For ck_assert: the text has this in it. */
#define HAS(text, want) ck_assert_msg(strstr(text, want) != NULL, "%s is not in \"%s\"", want, text)

struct fake_control {
	struct loop *loop;
	struct view view;
	struct events *events;
	struct control *control;
	struct msg posted[FAKE_POSTED]; /* the last ones */
	unsigned nposted;
	unsigned room; /* for no more than these, FAKE_POSTED at most; 0: any number */
	uint32_t followed;
};

/* What control_open() is given: one for each client, or one for some. */
struct fake_client {
	char text[FAKE_TEXT];
	size_t len;
	bool closed, slow;
};

/* ---- the outside world ---- */

static inline int fake_post(void *ctx, unsigned worker, const struct msg *m)
{
	struct fake_control *f = ctx;

	(void)worker;
	FAKE_CHECK(!f->room || f->nposted < f->room);
	f->posted[f->nposted++ % FAKE_POSTED] = *m;
	return 0;
}

static inline void fake_follow(void *ctx, uint32_t mask)
{
	((struct fake_control *)ctx)->followed = mask;
}

static inline void fake_write(void *client, const char *line, size_t len)
{
	struct fake_client *to = client;

	FAKE_CHECK(to->len + len < sizeof(to->text));
	memcpy(to->text + to->len, line, len);
	to->len += len;
	to->text[to->len] = '\0';
}

static inline bool fake_backlogged(void *client)
{
	return ((struct fake_client *)client)->slow;
}

static inline void fake_close(void *client)
{
	((struct fake_client *)client)->closed = true;
}

static inline struct control_env fake_env(struct fake_control *f, unsigned workers)
{
	return (struct control_env){
		.ctx = f,
		.loop = f->loop,
		.view = &f->view,
		.events = f->events,
		.workers = workers,
		.config = "p",
		.post = fake_post,
		.follow = fake_follow,
		.write = fake_write,
		.backlogged = fake_backlogged,
		.close = fake_close,
	};
}

/* ---- policies ---- */

static inline int fake_load(void *ctx, const char *from, const char *path, char **data, size_t *len)
{
	const char *const *text = ctx;

	(void)from;
	(void)path;
	*data = strdup(*text);
	*len = strlen(*text);
	return *data ? 0 : -ENOMEM;
}

/* Every date that a policy names is long past. */
static inline uint32_t fake_past(void *ctx, int year, int month, int day, int hour, int minute)
{
	(void)ctx;
	(void)year;
	(void)month;
	(void)day;
	(void)hour;
	(void)minute;
	return 1;
}

/* Must be right. */
static inline struct policy *fake_parse(const char *text)
{
	const struct policy_loader loader = {.read = fake_load, .minute = fake_past, .ctx = &text};
	struct policy *p = NULL;

	FAKE_CHECK(policy_parse(&p, "p", &loader, NULL) == 0);
	return p;
}

static inline void fake_release(void *image, size_t size)
{
	(void)size;
	free(image);
}

static inline void fake_put_in_force(struct fake_control *f, const char *text, uint32_t generation)
{
	struct policy *p = fake_parse(text);
	void *image = NULL;
	size_t size = 0;

	FAKE_CHECK(policy_compile(p, &image, &size) == 0);
	policy_free(p);
	FAKE_CHECK(view_set(&f->view, image, size, fake_release, generation) == 0);
}

/* ---- begin and end; between them, control_new() ---- */

static inline void fake_begin(struct fake_control *f)
{
	memset(f, 0, sizeof(*f));
	FAKE_CHECK(loop_new(&f->loop) == 0);
	FAKE_CHECK(events_new(&f->events) == 0);
	view_init(&f->view);
}

/* The clients are closed. */
static inline void fake_end(struct fake_control *f)
{
	control_free(f->control);
	events_free(f->events);
	view_deinit(&f->view);
	loop_free(f->loop);
}

static inline void fake_forget(struct fake_client *out)
{
	out->len = 0;
	out->text[0] = '\0';
}

static inline struct control_client *fake_open(struct fake_control *f, struct fake_client *out,
					       enum role role, uint32_t uid)
{
	struct control_client *c;

	fake_forget(out);
	out->closed = out->slow = false;
	c = control_open(f->control, out, role, uid);
	FAKE_CHECK(c);
	return c;
}

/* What it is told then. */
static inline const char *fake_says(struct control_client *who, struct fake_client *out,
				    const char *line)
{
	fake_forget(out);
	control_line(who, line, strlen(line));
	return out->text;
}

#endif
