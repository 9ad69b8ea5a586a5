/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The whole authority process, forked and without rights, between a client on its socket and a made-up
 * verdict side on its channels: for the tests of what it does.
 */
#ifndef TESTS_AUTHORITY_RUN_H
#define TESTS_AUTHORITY_RUN_H

#include "unit.h"
#include "daemon/authority.h"
#include "daemon/ids.h"
#include "daemon/msg.h"
#include "io/chan.h"
#include "io/policyfile.h"
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <pend-client.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORKERS  2
#define CONTEXTS 60 /* of each worker; MSG_LIST_MAX go into one answer */

static char dir[] = "/tmp/pend-test-XXXXXX";
static char path[64], config[64];
static struct chan *chan[WORKERS + 1]; /* the last one is the main channel */
static pid_t pid;
static struct pend_client *client;
static int mute = -1; /* this channel does not answer */
static unsigned ready, completed, stops, policies, reloaded_status = 99, last_reason, lists;
static unsigned authorities; /* how often it said that it knows them, since a policy was answered */
static uint32_t subscribed;

static const char good[] = "settings { user \"\"; control-group \"\"; observe-group \"\"; }\n"
			   "authority ops { type operator; timeout 30s; on-timeout block; }\n"
			   "layer default { pend proto tcp to port 22 ask ops\n block }\n";

static const char nobody[] =
	"settings { user \"nobody\"; control-group \"\"; observe-group \"\"; }\n"
	"layer default { block }\n";

static inline void config_write(const char *text)
{
	FILE *f = fopen(config, "w");

	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
}

static inline int listener(void)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

static inline void spawn(void)
{
	struct authority_args args = {.workers = WORKERS, .config = config};
	int fd[2], theirs[WORKERS + 1];

	for (int i = 0; i <= WORKERS; i++) {
		ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fd), 0);
		ck_assert_int_eq(
			chan_new(&chan[i], fd[0], sizeof(struct msg), MSG_PER_DATAGRAM, 2048), 0);
		theirs[i] = fd[1];
	}
	args.listen_fd = listener();
	args.main_fd = theirs[WORKERS];
	memcpy(args.worker_fd, theirs, WORKERS * sizeof(int));
	fflush(NULL);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		for (int i = 0; i <= WORKERS; i++)
			close(chan_fd(chan[i]));
		exit(authority_main(&args));
	}
	for (int i = 0; i <= WORKERS; i++)
		close(theirs[i]);
	close(args.listen_fd);
}

static inline void reply(unsigned i, const struct msg *to, struct msg *m)
{
	m->version = MSG_VERSION;
	m->worker = i == WORKERS ? MSG_MAIN : (uint16_t)i;
	m->seq = to->seq;
	ck_assert_int_eq(chan_send(chan[i], m), 0);
}

static inline void reply_done(unsigned i, const struct msg *to, int32_t status, uint32_t count,
			      uint32_t cursor)
{
	struct msg m = {.type = MSG_DONE};

	m.u.done.status = status;
	m.u.done.count = count;
	m.u.done.cursor = cursor;
	m.u.done.generation = policies + 1;
	reply(i, to, &m);
}

static inline struct pend_info context(unsigned worker, uint32_t slot)
{
	struct pend_info info = {
		.context = ids_make(worker, slot, 1),
		.state = PEND_STATE_PENDED,
		.family = 4,
		.protocol = 6,
		.source_port = (uint16_t)(4000 + slot),
		.dest_port = 22,
		.source = {203, 0, 113, 7},
		.dest = {192, 0, 2, 1},
		.tag = MSG_TAG(1, 0),
	};

	return info;
}

static inline void on_list(unsigned i, const struct msg *q)
{
	uint32_t at = q->u.match.cursor, n = 0;

	lists++;
	for (; at < CONTEXTS && n < MSG_LIST_MAX; at++, n++) {
		struct msg m = {.type = MSG_CONTEXT, .u.info = context(i, at)};

		reply(i, q, &m);
	}
	reply_done(i, q, PEND_OK, n, at < CONTEXTS ? at : 0);
}

static inline void on_worker(unsigned i, const struct msg *q)
{
	struct msg m = {.type = MSG_WORKER_STATS};

	switch (q->type) {
	case MSG_SUBSCRIBE:
		subscribed = q->u.subscribe.events;
		return;
	case MSG_STATS:
		m.u.stats.stats.pending = 10 + i;
		reply(i, q, &m);
		return;
	case MSG_LIST:
		on_list(i, q);
		return;
	case MSG_COMPLETE:
		last_reason = q->u.complete.reason;
		if (ids_slot(q->u.complete.context) < CONTEXTS) {
			completed++;
			reply_done(i, q, PEND_OK, 0, 0);
		} else {
			reply_done(i, q, PEND_E_NOT_FOUND, 0, 0);
		}
		return;
	case MSG_APPLY:
	case MSG_FENCE:
		reply_done(i, q, PEND_OK, 0, 0);
		return;
	case MSG_COMPLETE_MATCH:
		reply_done(i, q, PEND_OK, 3, q->u.match.cursor ? 0 : 2048);
		return;
	}
	ck_abort_msg("unexpected message %u", q->type);
}

static inline void on_policy(const struct msg *q, int fd)
{
	const void *image;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(policyfile_image_map(fd, q->u.policy.size, &image), 0);
	policyfile_image_unmap(image, q->u.policy.size);
	policies++;
	authorities = 0;
	reply_done(WORKERS, q, PEND_OK, 0, 0);
}

static inline void on_hook(const struct msg *q)
{
	static const char rules[] = "table inet pend {\n\tchain in {\n\t}\n}\n";
	struct msg m = {.version = MSG_VERSION, .type = MSG_HOOK_RESULT, .seq = q->seq};
	int fd;

	if (q->u.hook.op != HOOK_PRINT) {
		m.u.hook.status = PEND_E_NOT_FOUND;
		memset(m.u.hook.text, 'x', sizeof(m.u.hook.text)); /* not terminated */
		ck_assert_int_eq(chan_send(chan[WORKERS], &m), 0);
		return;
	}
	fd = memfd_create("rules", MFD_CLOEXEC);
	ck_assert_int_eq(write(fd, rules, sizeof(rules) - 1), sizeof(rules) - 1);
	ck_assert_int_eq(chan_send_fd(chan[WORKERS], &m, fd), 0);
}

/* Two live flows of 120 are ended, or would be; and there are more than are listed. */
static inline void on_live(const struct msg *q, int fd)
{
	struct reauth_flow flow[2] = {{.family = 4,
				       .protocol = 6,
				       .source_port = 4000,
				       .dest_port = 22,
				       .source = {203, 0, 113, 7},
				       .dest = {192, 0, 2, 1},
				       .rule = 1},
				      {.family = 4,
				       .protocol = 17,
				       .source_port = 4001,
				       .dest_port = 53,
				       .source = {203, 0, 113, 8},
				       .dest = {192, 0, 2, 1},
				       .rule = UINT32_MAX}};
	struct msg m = {.version = MSG_VERSION, .type = MSG_REAUTHORIZED, .seq = q->seq};
	int out = memfd_create("flows", MFD_CLOEXEC);
	const void *image;

	if (q->type == MSG_REAUTHORIZE) {
		m.u.reauth = q->u.reauth;
	} else {
		ck_assert_int_ge(fd, 0);
		ck_assert_int_eq(policyfile_image_map(fd, q->u.policy.size, &image), 0);
		policyfile_image_unmap(image, q->u.policy.size);
		m.u.reauth.dry = 1;
	}
	m.u.reauth.reason = PEND_REASON_POLICY_CHANGE;
	m.u.reauth.examined = 120;
	m.u.reauth.ended = 5;
	m.u.reauth.listed = 2;
	m.u.reauth.generation = policies + 1;
	ck_assert_int_eq(write(out, flow, sizeof(flow)), sizeof(flow));
	ck_assert_int_eq(chan_send_fd(chan[WORKERS], &m, out), 0);
}

static inline void on_main(const struct msg *q, int fd)
{
	struct msg m = {.type = q->type};

	switch (q->type) {
	case MSG_READY:
		ready++;
		return;
	case MSG_AUTHORITIES:
		authorities++;
		return;
	case MSG_KEEP:
	case MSG_RESTORE:
		return;
	case MSG_RELOADED:
		reloaded_status = (unsigned)q->u.done.status;
		return;
	case MSG_STOP:
		stops++;
		return;
	case MSG_MAIN_STATUS:
		m.u.main.generation = policies + 1;
		m.u.main.hook_state = 1;
		memset(m.u.main.hook_kind, 'n', sizeof(m.u.main.hook_kind)); /* not terminated */
		reply(WORKERS, q, &m);
		return;
	case MSG_RULE_HITS:
		m.u.hits.first = q->u.hits.first;
		m.u.hits.count = MSG_HITS;
		m.u.hits.rule[0].hits = 42;
		reply(WORKERS, q, &m);
		return;
	case MSG_LAYER_COUNTS:
		m.u.layers.first = q->u.layers.first;
		m.u.layers.count = MSG_LAYERS;
		m.u.layers.layer[0].pend = 43;
		reply(WORKERS, q, &m);
		return;
	case MSG_POLICY:
		on_policy(q, fd);
		return;
	case MSG_REAUTHORIZE:
	case MSG_POLICY_DRY:
		on_live(q, fd);
		return;
	case MSG_HOOK:
		on_hook(q);
		return;
	}
	ck_abort_msg("unexpected message %u", q->type);
}

/* Answer what the authority process asks, for at most so long. */
static inline void serve(int ms)
{
	struct pollfd p[WORKERS + 1];
	struct msg m[MSG_PER_DATAGRAM];
	unsigned n;
	int fd;

	for (int i = 0; i <= WORKERS; i++)
		p[i] = (struct pollfd){chan_fd(chan[i]), POLLIN, 0};
	poll(p, WORKERS + 1, ms);
	for (unsigned i = 0; i <= WORKERS; i++) {
		/* a datagram of MSG_LIST makes 32 * 25 answers */
		while (chan_room(chan[i]) > 1000 && chan_recv(chan[i], m, &n, &fd) == 0) {
			for (unsigned k = 0; k < n && (int)i != mute; k++)
				i == WORKERS ? on_main(&m[k], fd) : on_worker(i, &m[k]);
			if (fd >= 0)
				close(fd);
			chan_flush(chan[i]);
		}
		chan_flush(chan[i]);
	}
}

struct wanted {
	uint64_t id;
	json_t *last; /* the last line with that id */
	unsigned parts, rows, events, others;
};

static inline bool on_line(void *ctx, const char *text)
{
	struct wanted *w = ctx;
	json_t *v = json_loads(text, 0, NULL);
	const json_t *result = json_object_get(v, "result");

	w->events += json_object_get(v, "event") != NULL;
	w->rows += (unsigned)json_array_size(json_object_get(result, "pending"));
	w->rows += (unsigned)json_array_size(json_object_get(result, "rules"));
	if (!json_object_get(v, "ok")) {
		w->parts += json_is_true(json_object_get(v, "more"));
		json_decref(v);
		return true;
	}
	w->others += json_integer_value(json_object_get(v, "id")) != (json_int_t)w->id;
	json_decref(w->last);
	w->last = v;
	return true;
}

static inline void wait_line(struct wanted *w)
{
	for (int i = 0; i < 3000 && !w->last; i++) {
		ck_assert_int_eq(pend_client_flush(client), PEND_CLIENT_OK);
		serve(2);
		ck_assert_int_eq(pend_client_read(client, on_line, w), PEND_CLIENT_OK);
	}
	ck_assert_ptr_nonnull(w->last);
}

static inline struct wanted ask(const char *op, const char *args)
{
	struct wanted w = {0};

	ck_assert_int_eq(pend_client_send(client, op, args, &w.id), PEND_CLIENT_OK);
	wait_line(&w);
	ck_assert_uint_eq(w.others, 0);
	return w;
}

static inline const char *code_of(const struct wanted *w)
{
	const char *s = json_string_value(
		json_object_get(json_object_get(w->last, "error"), "code"));

	return s ? s : "";
}

static inline json_int_t number_of(const struct wanted *w, const char *key)
{
	return json_integer_value(json_object_get(json_object_get(w->last, "result"), key));
}

static inline void begin(const char *policy)
{
	mute = -1;
	ready = completed = stops = policies = last_reason = lists = subscribed = authorities = 0;
	reloaded_status = 99;
	strcpy(dir, "/tmp/pend-test-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/sock", dir);
	snprintf(config, sizeof(config), "%s/conf", dir);
	config_write(policy);
	spawn();
	for (int i = 0; i < 500 && !ready; i++)
		serve(10);
	ck_assert_uint_eq(ready, 1);
	ck_assert_int_eq(pend_client_connect(&client, path, 2000), PEND_CLIENT_OK);
	ck_assert_str_eq(pend_client_role(client), "admin");
}

static inline void setup(void)
{
	begin(good);
}

static inline void setup_nobody(void)
{
	begin(nobody);
}

static inline void teardown(void)
{
	int status;

	pend_client_close(client);
	for (int i = 0; i <= WORKERS; i++)
		chan_free(chan[i]);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x", status);
	unlink(path);
	unlink(config);
	rmdir(dir);
}

#endif
