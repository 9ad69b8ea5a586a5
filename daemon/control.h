/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The control protocol's server side (docs/protocol.md): clients, their roles and their requests.
 *
 * It knows neither sockets nor channels: lines go out, and messages to the verdict process, through
 * struct control_env, so that tests and fuzzers run it without either. A request that needs the
 * verdict process lives until its answers are there or its deadline has passed; nothing blocks.
 */
#ifndef DAEMON_CONTROL_H
#define DAEMON_CONTROL_H

#include "daemon/changes.h"
#include "daemon/ask.h"
#include "daemon/events.h"
#include "daemon/msg.h"
#include "daemon/reload.h"
#include "daemon/store_db.h"
#include "daemon/view.h"
#include "io/loop.h"
#include <jansson.h>

#define CONTROL_PROTOCOL     1
#define CONTROL_LINE_MAX     65536 /* of a request */
#define CONTROL_BAD_MAX      8     /* lines that are not JSON, then the client is closed */
#define CONTROL_REQUESTS     256   /* in progress at once, of all clients */
#define CONTROL_REQUESTS_ONE 32    /* ... of one */
#define CONTROL_IDS_MAX      4096  /* in one `complete` */
#define CONTROL_DEADLINE_MS  5000  /* for an answer of the verdict process */
#define CONTROL_STATUS_MS    200   /* for `status`, which then tells who did not answer */

enum role { ROLE_NONE = 0, ROLE_SERVE, ROLE_OBSERVE, ROLE_DECIDE, ROLE_ADMIN };

const char *role_name(enum role r); /* "observe"; NULL for ROLE_NONE */

struct control_env {
	void *ctx;
	struct loop *loop;
	const struct view *view;
	struct events *events;
	unsigned workers;
	struct ask *ask;     /* questions for programs; NULL: none are asked */
	struct notes *notes; /* who decides and why; NULL: it is not kept */
	const char *config;  /* path of the policy file, to be shown */
	/* Queue a message for a worker, or for the main thread (MSG_MAIN). 0; positive: no room now,
	 * control_room is called later; negative: it is gone. */
	int (*post)(void *ctx, unsigned worker, const struct msg *m);
	/* The same with a descriptor, which is the callee's on 0. NULL: this cannot be done. */
	int (*post_fd)(void *ctx, unsigned worker, const struct msg *m, int fd);
	/* Begin to parse (policy text, or the file for NULL); control_reloaded is called with `seq`. 0 or
	 * -EBUSY. */
	int (*reload)(void *ctx, enum reload_kind kind, const char *text, size_t len, uint32_t seq);
	/* Begin to change the policy in force; takes it on 0, and control_changed is called with its `seq`.
	 * -EBUSY: too many wait. NULL: this cannot be done. */
	int (*change)(void *ctx, struct amend *ch);
	/* A connection that has made changes of its own is gone. */
	void (*session)(void *ctx, uint64_t session, const struct overlay_who *who);
	/* What was changed so far. */
	const struct overlay *(*overlay)(void *ctx);
	const struct journal *journal;
	/* What lasts: say by control_synced when all that was made before is written. Positive: it will; 0: there is
	 * no file; negative: it cannot. NULL: as 0. */
	int (*sync)(void *ctx, uint32_t seq);
	/* Decisions are being forgotten; and were, `w` (NULL: none). */
	void (*forget_begin)(void *ctx);
	void (*forget_end)(void *ctx, const struct store_which *w);
	/* Begin to read; control_found is called with `seq`. 0 or -ENOMEM. NULL: this cannot be done. */
	int (*history)(void *ctx, const struct store_query *q, uint32_t seq);
	/* Somebody follows these types of events, or nobody (0). */
	void (*follow)(void *ctx, uint32_t mask);
	/* Add figures of the process itself to the status. */
	void (*figures)(void *ctx, json_t *status);
	/* Who listens, as struct classify_context has it. NULL: that is not known here. */
	const struct classify_listener *(*listener)(void *ctx, const struct pend_values *v,
						    unsigned need);
	/* A client, by what control_open was given. */
	void (*write)(void *client, const char *line, size_t len);
	bool (*backlogged)(void *client);
	bool (*busy)(void *client); /* questions wait; NULL: when it is backlogged */
	void (*close)(void *client);
	/* May this client serve the authority although its role is less than `decide`? NULL: no. */
	bool (*may_serve)(void *ctx, void *client, const char *authority);
};

struct control_stats {
	uint64_t requests, errors, not_json, overlong, denied, subscriptions_lost, timeouts, stray;
	uint64_t unlocks, unlocks_refused; /* codes that were brought; of these, to no avail */
	uint64_t silent;                   /* taken out of service for want of a heartbeat */
};

struct control;        /* the server */
struct control_client; /* one client */

/* `env` is copied. 0 or -ENOMEM. */
int control_new(struct control **out, const struct control_env *env);
/* Clients must be closed before. NULL is allowed. */
void control_free(struct control *c);
const struct control_stats *control_stats(const struct control *c);

/* Greets; with ROLE_NONE the greeting is a refusal and the client is closed. NULL: out of memory. */
struct control_client *control_open(struct control *c, void *client, enum role role, uint32_t uid);
void control_pid(struct control_client *cc, int32_t pid); /* of the process that connected */
void control_line(struct control_client *cc, const char *line, size_t len);
void control_overlong(struct control_client *cc);
/* It will say no more: closed as soon as all is answered. */
void control_eof(struct control_client *cc);
/* Its output is low again. */
void control_drained(struct control_client *cc);
/* It is gone; frees it. NULL is allowed. */
void control_closed(struct control_client *cc);

/* A message that is an answer; `fd` (-1: none) stays the caller's. Strays are counted. */
void control_answer(struct control *c, unsigned worker, const struct msg *m, int fd);
/* MSG_REAUTHORIZED: events for those who follow, and an answer if it was asked for. */
void control_reauthorized(struct control *c, const struct msg *m, int fd);
/* There is room for messages to the verdict process again. */
void control_room(struct control *c);
void control_reloaded(struct control *c, uint32_t seq, const struct reload_result *result);
void control_changed(struct control *c, const struct amend *ch, const struct amend_result *result);
/* It is written, or (status, a sentence) could not be. */
void control_synced(struct control *c, uint32_t seq, int status, const char *error);
void control_found(struct control *c, uint32_t seq, int status, const struct store_found *f,
		   size_t n);
/* Whose request it is; false: it is gone. */
bool control_who(const struct control *c, uint32_t seq, struct overlay_who *out);
/* Tell those who follow. */
void control_event(struct control *c, const struct event *e);

/* control_ask.c: lines to a client that serves an authority. */
void control_question(struct control_client *cc, const char *authority,
		      const struct pend_info *info, uint64_t remaining_ns);
void control_withdrawn(struct control_client *cc, const char *authority, pend_context context,
		       enum ask_why why);
/* It does not serve that authority any more; `why`: a code. */
void control_unserved(struct control_client *cc, const char *authority, const char *why);
/* Of all connections there ever were. */
uint64_t control_client_number(const struct control_client *cc);
/* Has it said anything since, or promised to within a minute? A promise that is broken ends what it serves. */
bool control_alive(const struct control_client *cc, mono_t since);
/* What it is owed waits. */
bool control_backlogged(const struct control_client *cc);

#endif
