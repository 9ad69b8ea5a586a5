/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside the control server: control.c has clients and the life of requests, control_show.c and
 * control_act.c the commands.
 */
#ifndef DAEMON_CONTROL_IMPL_H
#define DAEMON_CONTROL_IMPL_H

#include "base/err.h"
#include "base/list.h"
#include "daemon/control.h"

struct request;

struct command {
	const char *op;
	enum role need;
	const char *args; /* allowed keys, each between spaces */
	/* Starts it. Ends it at once with request_ok or request_fail, or lets it live on. */
	void (*start)(struct request *r, const json_t *args);
};

struct request {
	struct list link; /* client->requests */
	struct control_client *client;
	struct control *control;
	const struct command *command;
	json_t *id;
	uint16_t slot, generation;
	struct loop_timer deadline;
	/* An answer came; index is that of request_post. */
	void (*answer)(struct request *r, unsigned worker, unsigned index, const struct msg *m,
		       int fd);
	/* Go on after the client or the channel was full. NULL: nothing to go on with. */
	void (*step)(struct request *r);
	/* Instead of a timeout error. */
	void (*expired)(struct request *r);
	bool stalled; /* step is owed */

	/* for the commands */
	unsigned worker; /* walk: which one is asked */
	uint32_t cursor; /* ... and where it goes on */
	unsigned next, outstanding;
	uint64_t count, limit;
	struct msg_match match;
	uint8_t verdict, block;
	pend_context *ids;
	size_t nids;
	json_t *list;
	bool incomplete;             /* somebody did not answer */
	struct collected *collected; /* status */
};

struct control_client {
	struct list link; /* control->clients */
	struct control *control;
	void *client;
	enum role role;
	uint32_t uid;
	struct list requests;
	unsigned nrequests;
	unsigned bad;
	bool eof, closing;
	uint32_t follow; /* mask of event types; 0 = does not follow */
	uint64_t sent;   /* events sent to it */
};

struct control {
	struct control_env env;
	struct control_stats stats;
	struct list clients;
	struct request *request[CONTROL_REQUESTS];
	uint16_t generation[CONTROL_REQUESTS];
};

/* Message number `index` (below CONTROL_IDS_MAX) of a request, to a worker; as env.post. */
int request_post(struct request *r, unsigned worker, unsigned index, struct msg *m);
/* Number that names the request itself. */
uint32_t request_seq(const struct request *r, unsigned index);
/* Wait for so long from now. */
void request_wait(struct request *r, uint64_t ms);
/* The client cannot take more: `step` is called when it can, and no deadline runs meanwhile. */
bool request_hold(struct request *r);
/* All three take `result` and, but for the first, end and free the request. */
void request_part(struct request *r, json_t *result);
void request_ok(struct request *r, json_t *result);
void request_fail(struct request *r, const char *code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* As request_fail, with a result of its own (a failed check still has diagnostics). */
void request_fail_with(struct request *r, const char *code, const char *message, json_t *result);
/* Fails with "denied" and says true when the client has a lesser role. */
bool request_denied(struct request *r, enum role need);
/* Sum of what all clients follow; called when that may have changed. */
void control_follow_changed(struct control *c);

/* control_show.c */
void show_status(struct request *r, const json_t *args);
void show_pending(struct request *r, const json_t *args);
void show_rules(struct request *r, const json_t *args);
void show_authorities(struct request *r, const json_t *args);
void show_version(struct request *r, const json_t *args);
void collected_free(struct collected *c);
/* control_act.c */
void act_complete(struct request *r, const json_t *args);
void act_events(struct request *r, const json_t *args);
void act_reload(struct request *r, const json_t *args);
void act_check(struct request *r, const json_t *args);
void act_hookup(struct request *r, const json_t *args);
void act_stop(struct request *r, const json_t *args);
void act_reloaded(struct request *r, const struct reload_result *result);

#endif
