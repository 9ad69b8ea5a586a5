/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The whole authority process, forked and without rights, between a client on its socket and a made-up
 * verdict side on its channels.
 *
 * pend-test: no-valgrind the system call filter kills valgrind's own calls
 */
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
static unsigned ready, completed, stops, policies, reloaded_status = 99, last_uid, lists;
static uint32_t subscribed;

static const char good[] = "settings { user \"\"; control-group \"\"; observe-group \"\"; }\n"
			   "authority ops { type operator; timeout 30s; on-timeout block; }\n"
			   "layer default { pend proto tcp to port 22 ask ops\n block }\n";

static const char nobody[] =
	"settings { user \"nobody\"; control-group \"\"; observe-group \"\"; }\n"
	"layer default { block }\n";

static void config_write(const char *text)
{
	FILE *f = fopen(config, "w");

	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
}

static int listener(void)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

static void spawn(void)
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

static void reply(unsigned i, const struct msg *to, struct msg *m)
{
	m->version = MSG_VERSION;
	m->worker = i == WORKERS ? MSG_MAIN : (uint16_t)i;
	m->seq = to->seq;
	ck_assert_int_eq(chan_send(chan[i], m), 0);
}

static void reply_done(unsigned i, const struct msg *to, int32_t status, uint32_t count,
		       uint32_t cursor)
{
	struct msg m = {.type = MSG_DONE};

	m.u.done.status = status;
	m.u.done.count = count;
	m.u.done.cursor = cursor;
	m.u.done.generation = policies + 1;
	reply(i, to, &m);
}

static struct pend_info context(unsigned worker, uint32_t slot)
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

static void on_list(unsigned i, const struct msg *q)
{
	uint32_t at = q->u.match.cursor, n = 0;

	lists++;
	for (; at < CONTEXTS && n < MSG_LIST_MAX; at++, n++) {
		struct msg m = {.type = MSG_CONTEXT, .u.info = context(i, at)};

		reply(i, q, &m);
	}
	reply_done(i, q, PEND_OK, n, at < CONTEXTS ? at : 0);
}

static void on_worker(unsigned i, const struct msg *q)
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
		last_uid = q->u.complete.uid;
		if (ids_slot(q->u.complete.context) < CONTEXTS) {
			completed++;
			reply_done(i, q, PEND_OK, 0, 0);
		} else {
			reply_done(i, q, PEND_E_NOT_FOUND, 0, 0);
		}
		return;
	case MSG_COMPLETE_MATCH:
		reply_done(i, q, PEND_OK, 3, q->u.match.cursor ? 0 : 2048);
		return;
	}
	ck_abort_msg("unexpected message %u", q->type);
}

static void on_policy(const struct msg *q, int fd)
{
	const void *image;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(policyfile_image_map(fd, q->u.policy.size, &image), 0);
	policyfile_image_unmap(image, q->u.policy.size);
	policies++;
	reply_done(WORKERS, q, PEND_OK, 0, 0);
}

static void on_hook(const struct msg *q)
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

static void on_main(const struct msg *q, int fd)
{
	struct msg m = {.type = q->type};

	switch (q->type) {
	case MSG_READY:
		ready++;
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
	case MSG_POLICY:
		on_policy(q, fd);
		return;
	case MSG_HOOK:
		on_hook(q);
		return;
	}
	ck_abort_msg("unexpected message %u", q->type);
}

/* Answer what the authority process asks, for at most so long. */
static void serve(int ms)
{
	struct pollfd p[WORKERS + 1];
	struct msg m[MSG_PER_DATAGRAM];
	unsigned n;
	int fd;

	for (int i = 0; i <= WORKERS; i++)
		p[i] = (struct pollfd){chan_fd(chan[i]), POLLIN, 0};
	if (poll(p, WORKERS + 1, ms) <= 0)
		return;
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

static bool on_line(void *ctx, const char *text)
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

static void wait_line(struct wanted *w)
{
	for (int i = 0; i < 3000 && !w->last; i++) {
		ck_assert_int_eq(pend_client_flush(client), PEND_CLIENT_OK);
		serve(2);
		ck_assert_int_eq(pend_client_read(client, on_line, w), PEND_CLIENT_OK);
	}
	ck_assert_ptr_nonnull(w->last);
}

static struct wanted ask(const char *op, const char *args)
{
	struct wanted w = {0};

	ck_assert_int_eq(pend_client_send(client, op, args, &w.id), PEND_CLIENT_OK);
	wait_line(&w);
	ck_assert_uint_eq(w.others, 0);
	return w;
}

static const char *code_of(const struct wanted *w)
{
	const char *s = json_string_value(
		json_object_get(json_object_get(w->last, "error"), "code"));

	return s ? s : "";
}

static json_int_t number_of(const struct wanted *w, const char *key)
{
	return json_integer_value(json_object_get(json_object_get(w->last, "result"), key));
}

static void begin(const char *policy)
{
	mute = -1;
	ready = completed = stops = policies = last_uid = lists = subscribed = 0;
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

static void setup(void)
{
	begin(good);
}

static void setup_nobody(void)
{
	begin(nobody);
}

static void teardown(void)
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

START_TEST(status_collects_from_all)
{
	struct wanted w = ask("status", NULL);
	const json_t *r = json_object_get(w.last, "result");

	ck_assert_str_eq(json_string_value(json_object_get(r, "state")), "ok");
	ck_assert_int_eq(
		json_integer_value(json_object_get(json_object_get(r, "totals"), "pending")), 21);
	ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(r, "policy"), "rules")),
			 2);
	json_decref(w.last);
}
END_TEST

START_TEST(status_in_time_when_a_worker_hangs)
{
	struct timespec a, b;
	struct wanted w;

	mute = 1;
	clock_gettime(CLOCK_MONOTONIC, &a);
	w = ask("status", NULL);
	clock_gettime(CLOCK_MONOTONIC, &b);
	ck_assert_str_eq(
		json_string_value(json_object_get(json_object_get(w.last, "result"), "state")),
		"degraded");
	ck_assert_int_lt((b.tv_sec - a.tv_sec) * 1000 + (b.tv_nsec - a.tv_nsec) / 1000000, 400);
	json_decref(w.last);
}
END_TEST

START_TEST(pending_walks_all_workers)
{
	struct wanted w = ask("pending", "{\"port\":22}");

	ck_assert_uint_eq(w.rows, WORKERS * CONTEXTS);
	ck_assert_int_eq(number_of(&w, "count"), WORKERS * CONTEXTS);
	ck_assert_uint_gt(w.parts, 2);
	json_decref(w.last);
}
END_TEST

START_TEST(pending_in_pages)
{
	unsigned rows = 0, pages = 0;
	char args[80] = "{\"limit\":10}";
	const char *next;

	do {
		struct wanted w = ask("pending", args);

		rows += w.rows;
		pages++;
		next = json_string_value(
			json_object_get(json_object_get(w.last, "result"), "next"));
		snprintf(args, sizeof(args), "{\"limit\":10,\"from\":\"%s\"}", next ? next : "");
		if (next)
			next = args;
		json_decref(w.last);
	} while (next && pages < 20);
	ck_assert_uint_eq(rows, WORKERS * CONTEXTS);
	ck_assert_uint_ge(pages, 6);
}
END_TEST

START_TEST(complete_by_id)
{
	struct wanted w = ask(
		"complete",
		"{\"ids\":[\"a0.1\",\"b3.1\",\"a99.1\",\"c0.1\"],\"verdict\":\"permit\"}");
	const json_t *failed = json_object_get(json_object_get(w.last, "result"), "failed");

	ck_assert_int_eq(number_of(&w, "completed"), 2);
	ck_assert_uint_eq(completed, 2);
	ck_assert_uint_eq(last_uid, getuid());
	ck_assert_uint_eq(json_array_size(failed), 2);
	ck_assert_str_eq(json_string_value(json_object_get(json_array_get(failed, 1), "code")),
			 "not-found");
	json_decref(w.last);
}
END_TEST

/* More than a channel's backlog takes at once. */
START_TEST(complete_very_many)
{
	json_t *o = json_pack("{s:[],s:s}", "ids", "verdict", "permit");
	struct wanted w;
	char *args, id[IDS_TEXT];

	for (uint32_t i = 0; i < 4000; i++)
		json_array_append_new(json_object_get(o, "ids"),
				      json_string(ids_print(ids_make(0, i % CONTEXTS, 1), id)));
	args = json_dumps(o, JSON_COMPACT);
	w = ask("complete", args);
	ck_assert_int_eq(number_of(&w, "completed"), 4000);
	json_decref(w.last);
	json_decref(o);
	free(args);
}
END_TEST

START_TEST(complete_by_address)
{
	struct wanted w = ask(
		"complete",
		"{\"match\":{\"source\":\"203.0.113.0/24\"},\"verdict\":\"block\",\"block\":\"reset\"}");

	ck_assert_int_eq(number_of(&w, "completed"), WORKERS * 2 * 3);
	json_decref(w.last);
}
END_TEST

static const struct {
	const char *op, *args, *code;
} wrong[] = {
	{"complete", "{\"match\":{},\"verdict\":\"permit\"}", "invalid"},
	{"complete", "{\"match\":{\"sorce\":\"1.2.3.4\"},\"verdict\":\"permit\"}", "invalid"},
	{"complete", "{\"match\":{\"port\":22},\"all\":true,\"verdict\":\"permit\"}", "invalid"},
	{"complete", "{\"ids\":[],\"verdict\":\"permit\"}", "invalid"},
	{"complete", "{\"ids\":[\"a0\"],\"verdict\":\"permit\"}", "invalid"},
	{"complete", "{\"ids\":[\"a0.1\"],\"verdict\":\"permit\",\"block\":\"reset\"}", "invalid"},
	{"complete", "{\"ids\":[\"a0.1\"]}", "invalid"},
	{"complete", "{\"ids\":[\"a0.1\"],\"match\":{\"port\":1},\"verdict\":\"permit\"}",
	 "invalid"},
	{"pending", "{\"source\":\"1.2.3.4/33\"}", "invalid"},
	{"pending", "{\"source\":\"nonsense\"}", "invalid"},
	{"pending", "{\"port\":65536}", "invalid"},
	{"pending", "{\"authority\":\"nobody\"}", "invalid"},
	{"pending", "{\"from\":\"9.0\"}", "invalid"},
	{"pending", "{\"prot\":22}", "invalid"},
	{"events", "{\"types\":[\"x\"]}", "invalid"},
	{"hookup", "{\"action\":\"burn\"}", "invalid"},
	{"hookup", "{\"action\":\"verify\"}", "missing"},
	{"nonsense", NULL, "unknown-op"},
};

START_TEST(wrong_requests)
{
	struct wanted w = ask(wrong[_i].op, wrong[_i].args);

	ck_assert_str_eq(code_of(&w), wrong[_i].code);
	ck_assert_uint_eq(completed, 0);
	json_decref(w.last);
}
END_TEST

START_TEST(reload_puts_a_policy_in_force)
{
	struct wanted w;

	config_write("settings { user \"\"; control-group \"\"; observe-group \"\"; queues 7-9; }\n"
		     "layer default { block }\n");
	w = ask("reload", NULL);
	ck_assert_str_eq(code_of(&w), "");
	ck_assert_uint_eq(policies, 1);
	ck_assert_int_eq(number_of(&w, "generation"), 2);
	ck_assert_str_eq(json_string_value(json_object_get(json_object_get(w.last, "result"),
							   "needs_restart")),
			 "queues");
	for (int i = 0; i < 200 && reloaded_status == 99; i++)
		serve(10);
	ck_assert_uint_eq(reloaded_status, PEND_OK);
	json_decref(w.last);
	w = ask("rules", NULL);
	ck_assert_uint_eq(w.rows, 1);
	json_decref(w.last);
}
END_TEST

START_TEST(wrong_policy_changes_nothing)
{
	struct msg m = {.version = MSG_VERSION, .type = MSG_RELOAD};
	struct wanted w;

	config_write("layer default { permt }\n");
	w = ask("reload", NULL);
	ck_assert_str_eq(code_of(&w), "policy");
	ck_assert_uint_ge(
		json_array_size(json_object_get(json_object_get(w.last, "result"), "diagnostics")),
		2);
	ck_assert_uint_eq(policies, 0);
	json_decref(w.last);
	reloaded_status = 99;
	ck_assert_int_eq(chan_send(chan[WORKERS], &m), 0);
	ck_assert_int_eq(chan_flush(chan[WORKERS]), 0);
	for (int i = 0; i < 200 && reloaded_status == 99; i++)
		serve(10);
	ck_assert_uint_eq(reloaded_status, PEND_E_INVALID);
}
END_TEST

START_TEST(check_of_a_text)
{
	struct wanted w = ask("check", "{\"policy\":\"layer default { block }\\n\"}");

	ck_assert_str_eq(code_of(&w), "");
	json_decref(w.last);
	w = ask("check", "{\"policy\":\"include \\\"/etc/passwd\\\"\\n\"}");
	ck_assert_str_eq(code_of(&w), "policy");
	json_decref(w.last);
	ck_assert_uint_eq(policies, 0);
}
END_TEST

START_TEST(hookup_print_sends_the_rules)
{
	struct wanted w = ask("hookup", "{\"action\":\"print\"}");

	ck_assert_uint_eq(
		json_array_size(json_object_get(json_object_get(w.last, "result"), "rules")), 4);
	json_decref(w.last);
	w = ask("stop", NULL);
	serve(10);
	ck_assert_uint_eq(stops, 1);
	json_decref(w.last);
}
END_TEST

START_TEST(events_are_kept_and_followed)
{
	struct msg m = {.version = MSG_VERSION, .type = MSG_EVENT};
	struct wanted w = {0};

	m.u.event.type = PEND_EVENT_PENDED;
	m.u.event.info = context(0, 1);
	for (int i = 0; i < 50; i++)
		ck_assert_int_eq(chan_send(chan[0], &m), 0);
	ck_assert_int_eq(chan_flush(chan[0]), 0);
	w = ask("events", "{\"last\":20,\"follow\":true}");
	ck_assert_uint_eq(
		json_array_size(json_object_get(json_object_get(w.last, "result"), "events")), 20);
	json_decref(w.last);
	serve(20);
	ck_assert(subscribed & 1u << PEND_EVENT_RETRANSMIT);
	w = (struct wanted){0};
	ck_assert_int_eq(chan_send(chan[0], &m), 0);
	ck_assert_int_eq(chan_flush(chan[0]), 0);
	for (int i = 0; i < 200 && !w.events; i++) {
		serve(5);
		ck_assert_int_eq(pend_client_read(client, on_line, &w), PEND_CLIENT_OK);
	}
	ck_assert_uint_eq(w.events, 1);
}
END_TEST

START_TEST(nonsense_from_the_verdict_side_is_survived)
{
	uint64_t seed = unit_seed("authority");
	struct wanted w;

	for (int i = 0; i < 3000; i++) {
		unsigned c = (unsigned)(unit_rand(&seed) % (WORKERS + 1));
		struct msg m;

		for (size_t k = 0; k + 8 <= sizeof(m); k += 8) {
			uint64_t r = unit_rand(&seed);

			memcpy((char *)&m + k, &r, 8);
		}
		m.version = unit_rand(&seed) % 8 ? MSG_VERSION : 7;
		m.type = (uint16_t)(unit_rand(&seed) % 100);
		if (m.type == MSG_BYE || m.type == MSG_RELOAD)
			continue;
		chan_send(chan[c], &m);
		chan_flush(chan[c]);
		serve(0);
	}
	w = ask("status", NULL);
	ck_assert_str_eq(code_of(&w), "");
	json_decref(w.last);
}
END_TEST

/* The kernel's own words on the process. */
START_TEST(holds_no_right)
{
	char name[64], line[256];
	unsigned seen = 0;
	FILE *f;

	snprintf(name, sizeof(name), "/proc/%d/status", (int)pid);
	f = fopen(name, "r");
	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof(line), f)) {
		unsigned long long v;

		if (sscanf(line, "CapPrm: %llx", &v) == 1 ||
		    sscanf(line, "CapEff: %llx", &v) == 1 ||
		    sscanf(line, "CapAmb: %llx", &v) == 1 ||
		    (getuid() == 0 && sscanf(line, "CapBnd: %llx", &v) == 1)) {
			ck_assert_msg(v == 0, "%s", line);
			seen++;
		}
		if (strcmp(line, "NoNewPrivs:\t1\n") == 0)
			seen++;
	}
	fclose(f);
	ck_assert_uint_eq(seen, getuid() == 0 ? 5 : 4);
}
END_TEST

/* As another user the bounding set must be gone too, and the policy still be readable. */
START_TEST(becomes_the_user_of_the_settings)
{
	char name[64], line[256];
	unsigned seen = 0;
	FILE *f;

	if (getuid() != 0)
		return;
	snprintf(name, sizeof(name), "/proc/%d/status", (int)pid);
	f = fopen(name, "r");
	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof(line), f))
		seen += !strncmp(line, "Uid:\t65534\t65534\t65534\t65534", 28) ||
			!strcmp(line, "CapBnd:\t0000000000000000\n") ||
			!strcmp(line, "CapPrm:\t0000000000000000\n");
	fclose(f);
	ck_assert_uint_eq(seen, 3);
}
END_TEST

START_TEST(malformed_lines_and_goodbye)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	char buf[8192];
	ssize_t n;
	size_t got = 0;

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	for (int i = 0; i < 9; i++)
		ck_assert_int_eq(send(fd, "{\"id\":1,\"id\":2}\n", 16, MSG_NOSIGNAL), 16);
	while ((n = recv(fd, buf + got, sizeof(buf) - 1 - got, 0)) > 0)
		got += (size_t)n;
	buf[got] = '\0';
	ck_assert_ptr_nonnull(strstr(buf, "\"malformed\""));
	ck_assert_ptr_nonnull(strstr(buf, "\"too-many-errors\""));
	close(fd);
}
END_TEST

Suite *suite(void)
{
	Suite *s = suite_create("authority");
	TCase *t = tcase_create("authority");

	tcase_set_timeout(t, 30);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, status_collects_from_all);
	tcase_add_test(t, status_in_time_when_a_worker_hangs);
	tcase_add_test(t, pending_walks_all_workers);
	tcase_add_test(t, pending_in_pages);
	tcase_add_test(t, complete_by_id);
	tcase_add_test(t, complete_very_many);
	tcase_add_test(t, complete_by_address);
	tcase_add_loop_test(t, wrong_requests, 0, sizeof(wrong) / sizeof(wrong[0]));
	tcase_add_test(t, reload_puts_a_policy_in_force);
	tcase_add_test(t, wrong_policy_changes_nothing);
	tcase_add_test(t, check_of_a_text);
	tcase_add_test(t, hookup_print_sends_the_rules);
	tcase_add_test(t, events_are_kept_and_followed);
	tcase_add_test(t, nonsense_from_the_verdict_side_is_survived);
	tcase_add_test(t, holds_no_right);
	tcase_add_test(t, malformed_lines_and_goodbye);
	suite_add_tcase(s, t);
	t = tcase_create("user");
	tcase_add_checked_fixture(t, setup_nobody, teardown);
	tcase_add_test(t, becomes_the_user_of_the_settings);
	suite_add_tcase(s, t);
	return s;
}
