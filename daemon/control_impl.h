/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside the control server: control.c has clients and the life of requests, the other control_*.c
 * the commands.
 */
#ifndef DAEMON_CONTROL_IMPL_H
#define DAEMON_CONTROL_IMPL_H

#include "base/err.h"
#include "base/list.h"
#include "daemon/control.h"
#include "daemon/event_match.h"

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
	/* What it has made lasts, or (status, a sentence) does not. */
	void (*synced)(struct request *r, int status, const char *error);
	bool stalled; /* step is owed */

	/* for the commands */
	unsigned worker; /* walk: which one is asked */
	uint32_t cursor; /* ... and where it goes on */
	unsigned next, outstanding;
	uint64_t count, limit;
	struct msg_match match;
	uint8_t verdict, block;
	struct msg_lasting lasting;
	uint32_t note;
	uint64_t remembered;
	pend_context *ids;
	size_t nids;
	json_t *list;
	bool incomplete; /* somebody did not answer */
	uint32_t unsure; /* answers that may be others, for want of knowing who listens */
	struct collected *collected; /* status, metrics */
	/* rules, metrics: what is told about each rule, in which list, and the end of it all */
	json_t *(*row)(const struct view *v, uint32_t rule, const struct rule_count *n);
	const char *rows;
	void (*rows_end)(struct request *r);
	struct candidate *candidate; /* reload, dry */
	json_t *result;              /* ... what the last reply will have besides */
	struct store_query *history;
	uint64_t fences[4]; /* answer: workers that are still to say that it is done */
	bool forgetting;    /* forget: the store was told that it began */
	struct store_which which;
	const char *text; /* show: what is still to be said, while this is in force */
	uint64_t shown;
	struct control_client *told; /* unlock: who is to answer */
};

#define WORKERS_MAX 256

/* What has come in for one `status`. */
struct collected {
	struct msg_main_status main;
	bool have_main;
	bool have[WORKERS_MAX];
	struct pend_stats stats[WORKERS_MAX], sum;
	uint64_t events_dropped, questions_refused, bad_messages, dispatches, answer_ns, answers;
	uint64_t busy_polls, busy_poll_answers;
	struct listeners_counts listeners;
};

struct control_client {
	struct list link; /* control->clients */
	struct control *control;
	void *client;
	enum role role;
	uint32_t uid;
	int32_t pid;
	uint64_t session;    /* its number, of all connections */
	bool own_changes;    /* some of them go with it */
	struct parts *parts; /* of a `set` that is not complete; NULL: none */
	struct list requests;
	unsigned nrequests;
	unsigned bad;
	bool eof, closing;
	struct event_match follow; /* no types: it does not follow */
	uint64_t sent;             /* events sent to it */
	unsigned serves;           /* authorities */
	uint64_t heartbeat_ns;     /* it says something as often as that; 0: when it likes */
	mono_t heard;              /* its last line */
	struct loop_timer silence;
	uint64_t asked; /* questions put to it */
};

struct control {
	struct control_env env;
	struct control_stats stats;
	struct list clients;
	uint64_t sessions; /* so far */
	size_t parts_held; /* elements, of all clients */
	struct request *request[CONTROL_REQUESTS];
	uint16_t generation[CONTROL_REQUESTS];
};

/* Message number `index` (below CONTROL_IDS_MAX) of a request, to a worker; as env.post. */
int request_post(struct request *r, unsigned worker, unsigned index, struct msg *m);
/* Number that names the request itself. */
uint32_t request_seq(const struct request *r, unsigned index);
/*
 * Go on by `synced` when what was made is written; at once where there is no file. `late` says what is true when that
 * takes too long.
 */
void request_sync(struct request *r,
		  void (*synced)(struct request *r, int status, const char *error));
/* Wait for so long from now. */
void request_wait(struct request *r, uint64_t ms);
/* The client cannot take more: `step` is called when it can, and no deadline runs meanwhile. */
bool request_hold(struct request *r);
/* All three take `result` and, but for the first, end and free the request. */
void request_part(struct request *r, json_t *result);
void request_ok(struct request *r, json_t *result);
/* Ends it without a reply. */
void request_silent(struct request *r);
void request_fail(struct request *r, const char *code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* As request_fail, with a result of its own (a failed check still has diagnostics). */
void request_fail_with(struct request *r, const char *code, const char *message, json_t *result);
/* Fails with "denied" and says true when the client has a lesser role. */
bool request_denied(struct request *r, enum role need);
/* The request that request_seq() named; NULL: it is over. */
struct request *request_find(const struct control *c, uint32_t seq);
/* One line to the client; takes `v`. */
void control_put(struct control_client *cc, json_t *v);
/* From now on it is told of these events; takes what `m` owns. NULL: of none. */
void control_follow(struct control_client *cc, struct event_match *m);

/* control_show.c */
void show_status(struct request *r, const json_t *args);
void show_pending(struct request *r, const json_t *args);
void show_rules(struct request *r, const json_t *args);
void show_version(struct request *r, const json_t *args);
void collected_free(struct collected *c);
/* Ask all for their counters; `finish` is called when they are there, or late. */
void status_collect(struct request *r, void (*finish)(struct request *r));
json_t *status_json(struct request *r);
/* "a" for worker 0 */
const char *worker_name(unsigned worker, char buf[24]);
/* Hits of every rule, from r->row, in parts. */
void rules_walk(struct request *r);
/* What each layer has said, in order, into r->list; then r->rows_end. */
void layers_walk(struct request *r);
/* What is known of a rule: number, place, text, action. */
json_t *rule_object(const struct classifier *c, uint32_t rule);
const char *action_name(unsigned action);
/* control_judge.c: a decision by what is known now; classify with `now`, then look at `unsure`. */
struct judge {
	const struct control_env *env;
	struct classify_context now;
	uint32_t in_interface; /* as the kernel numbers it; 0: not known */
	bool unsure;           /* it may be another, as who listens is not known */
};
/* The judge stays where it is; `ifaces` must outlive it. */
void judge_init(struct judge *j, const struct control_env *env,
		const struct classify_ifaces *ifaces, uint32_t in_interface);
/* control_test.c */
void show_test(struct request *r, const json_t *args);
void show_text(struct request *r, const json_t *args);
/* control_country.c */
void show_country(struct request *r, const json_t *args);
/* control_metrics.c */
void show_metrics(struct request *r, const json_t *args);
/* control_dry.c: the policy that was compiled against what is pended; takes `result`. */
void dry_begin(struct request *r, const struct reload_result *res, json_t *result);
/* control_reauth.c */
void act_reauthorize(struct request *r, const json_t *args);
/* Asks what r->candidate would end, adds it to r->result, and replies with that. */
void dry_live(struct request *r);
/* control_policy.c */
void act_policy(struct request *r, const json_t *args);
void act_set(struct request *r, const json_t *args);
void show_objects(struct request *r, const json_t *args);
void show_sets(struct request *r, const json_t *args);
void show_journal(struct request *r, const json_t *args);
void act_changed(struct request *r, const struct amend *ch, const struct amend_result *result);
void parts_free(struct control_client *cc);
/* Their number, name and process. */
void client_who(const struct control_client *cc, struct overlay_who *out);
/* control_layers.c */
void show_layers(struct request *r, const json_t *args);
/* control_decisions.c */
void show_decisions(struct request *r, const json_t *args);
void act_forget(struct request *r, const json_t *args);
/* control_authorities.c */
void show_authorities(struct request *r, const json_t *args);
/* Of each that is asked: health, as the metrics have it. */
void authority_lines(struct request *r, json_t *lines);
/* The store is told what was forgotten (NULL: nothing), once. */
void forget_end(struct request *r, const struct store_which *w);
/* control_history.c */
void show_history(struct request *r, const json_t *args);
/* control_ask.c */
/* Its role suffices, or the authority names it. */
bool control_may_serve(const struct control_client *cc, const char *name);
#define CONTROL_SERVES_MAX    64   /* authorities that one client serves */
#define CONTROL_HEARTBEAT_MAX 3600 /* seconds */
#define CONTROL_HEARTBEATS    2    /* that it may miss */
/* Who promises less often may be dead for longer than others should wait to find out. */
#define CONTROL_HEARTBEAT_GOOD (60 * MONO_NS_PER_S)
void heartbeat_init(struct control_client *cc);
void act_serve(struct request *r, const json_t *args);
void act_answer(struct request *r, const json_t *args);
void act_ping(struct request *r, const json_t *args);
/* control_unlock.c */
void act_unlock(struct request *r, const json_t *args);
void act_lock(struct request *r, const json_t *args);
void act_unlocked(struct request *r, const json_t *args);
/* It serves no longer: what it was told of fails. */
void unlock_gone(struct control_client *server);
/* control_act.c */
/* The diagnostics of a policy, as `reload` has them. */
json_t *reload_json(const struct reload_result *res);
void act_complete(struct request *r, const json_t *args);
void act_events(struct request *r, const json_t *args);
void act_reload(struct request *r, const json_t *args);
void act_check(struct request *r, const json_t *args);
void act_hookup(struct request *r, const json_t *args);
void act_stop(struct request *r, const json_t *args);
void act_reloaded(struct request *r, const struct reload_result *result);

#endif
