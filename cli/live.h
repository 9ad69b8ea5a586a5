/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A connection that lives as long as a screen does: nothing blocks but the greeting (a second at
 * most), replies and events are handed on as they come, and when the daemon goes the connection is
 * made again, once a second. Times are of the caller's clock, in milliseconds.
 */
#ifndef CLI_LIVE_H
#define CLI_LIVE_H

#include <jansson.h>
#include <pend-client.h>

#define LIVE_CALLS       16   /* requests that wait for their reply; more are refused */
#define LIVE_RETRY_MS    1000 /* between attempts to connect */
#define LIVE_PATIENCE_MS 6000 /* without a reply the connection is given up */
#define LIVE_GREETING_MS 1000

/* Lists that came in parts are put together. `code` is NULL for success. Not called when the
 * connection ends first. */
typedef void live_reply_fn(void *ctx, const json_t *result, const char *code, const char *message);

struct live_ops {
	void (*up)(void *ctx);                   /* connected: ask for what is wanted */
	void (*event)(void *ctx, json_t *event); /* borrowed */
	/* It is not there (any more): told once, until the next `up`. */
	void (*down)(void *ctx, enum pend_client_error e, const char *why);
};

struct live_call {
	uint64_t id;
	live_reply_fn *fn;
	json_t *all;
	int64_t deadline;
};

struct live {
	const char *path; /* NULL: the default */
	const struct live_ops *ops;
	void *ctx;
	struct pend_client *client; /* NULL: not connected */
	bool told_down;
	int64_t retry_at;
	struct live_call call[LIVE_CALLS];
};

void live_init(struct live *l, const char *path, const struct live_ops *ops, void *ctx);
void live_deinit(struct live *l);
/* Takes args (NULL: none). False: not connected, or too many wait. */
bool live_ask(struct live *l, const char *op, json_t *args, live_reply_fn *fn, int64_t now);
int live_fd(const struct live *l); /* to poll for input; -1 while it is down */
bool live_wants_write(const struct live *l);
int live_timeout_ms(const struct live *l, int64_t now); /* -1: none */
/* Connect, read, write, and give up what takes too long. */
void live_run(struct live *l, int64_t now);
/* Was it done, by the reply's code? With "store" it was, but may not outlive the daemon. */
bool live_done(const char *code);
const char *live_role(const struct live *l); /* "" while it is down */
/* Put the members of a part into `all`; arrays of the same name are joined. */
void live_join(json_t *all, json_t *part);

#endif
