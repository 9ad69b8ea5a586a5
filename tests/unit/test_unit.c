/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is started when a connection waits: the machine with a made-up world, and its parts with the real one. */
#include "unit.h"
#include "agents/unit.h"
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define MS MONO_NS_PER_MS
#define S  MONO_NS_PER_S

/* The world: who listens, who waits, and what the machine has asked for. */
static struct {
	bool listens, busy, later, stop_first, stops_at_once, cannot;
	unsigned waiting, permitted, failed, starts, stops, kills, probes;
	char why[ERR_TEXT_MAX + 64];
} w;

static struct unit_machine m;
static mono_t now;

static enum unit_seen probe(void *ctx)
{
	(void)ctx;
	w.probes++;
	return w.later ? UNIT_LATER : w.listens ? UNIT_READY : UNIT_NOT_READY;
}

static bool busy(void *ctx)
{
	(void)ctx;
	return w.busy;
}

static int start(void *ctx, struct err *e)
{
	(void)ctx;
	w.starts++;
	if (w.stop_first) {
		w.stop_first = false;
		return UNIT_STOP_FIRST;
	}
	return w.cannot ? err_set(e, -ENOENT, "no such thing") : 0;
}

static bool stop(void *ctx, bool failed)
{
	(void)ctx;
	(void)failed;
	w.stops++;
	return !w.stops_at_once;
}

static void kill_it(void *ctx)
{
	(void)ctx;
	w.kills++;
}

static bool waiting(void *ctx)
{
	(void)ctx;
	return w.waiting;
}

static void permit(void *ctx)
{
	(void)ctx;
	w.permitted += w.waiting;
	w.waiting = 0;
}

static void refuse(void *ctx, const char *why)
{
	(void)ctx;
	w.failed += w.waiting;
	w.waiting = 0;
	snprintf(w.why, sizeof(w.why), "%s", why);
}

static const struct unit_ops ops = {probe, busy, start, stop, kill_it, waiting, permit, refuse};

static void setup(void)
{
	memset(&w, 0, sizeof(w));
	w.stops_at_once = true;
	m = (struct unit_machine){.ops = &ops, .next = MONO_NEVER};
	now = mono_ns(1000 * S);
}

static void question(void)
{
	w.waiting++;
	unit_machine_question(&m, now);
}

/* Time goes on, with all ticks that are due. */
static void pass(uint64_t ns)
{
	mono_t end = mono_add(now, ns);

	while (!mono_before(end, m.next)) {
		now = mono_before(now, m.next) ? m.next : now;
		unit_machine_tick(&m, now);
	}
	now = end;
}

START_TEST(wakes_once_for_all)
{
	for (int i = 0; i < 5; i++)
		question();
	ck_assert_uint_eq(w.starts, 1);
	ck_assert_uint_eq(w.permitted, 0);
	pass(3 * S);
	question();
	ck_assert_uint_eq(w.starts, 1);
	w.listens = true;
	pass(UNIT_POLL_MAX_NS);
	ck_assert_uint_eq(w.permitted, 6);
	ck_assert_int_eq(m.state, UNIT_UP);
	question();
	ck_assert_uint_eq(w.permitted, 7);
	ck_assert_uint_eq(w.starts, 1);
}
END_TEST

START_TEST(looks_often_at_first)
{
	question();
	w.probes = 0;
	pass(100 * MS);
	ck_assert_uint_ge(w.probes, 5);
	pass(10 * S);
	w.probes = 0;
	pass(10 * S);
	ck_assert_uint_eq(w.probes, 50);
}
END_TEST

START_TEST(ready_already)
{
	w.listens = true;
	question();
	ck_assert_uint_eq(w.permitted, 1);
	ck_assert_uint_eq(w.starts, 0);
	ck_assert_uint_eq(m.next.ns, MONO_NEVER.ns);
}
END_TEST

/* It went by itself: the next one starts it again, and nobody is let in before it is there. */
START_TEST(gone_by_itself)
{
	w.listens = true;
	question();
	w.listens = false;
	question();
	ck_assert_uint_eq(w.permitted, 1);
	ck_assert_uint_eq(w.starts, 1);
	w.listens = true;
	pass(S);
	ck_assert_uint_eq(w.permitted, 2);
}
END_TEST

START_TEST(start_fails)
{
	static const unsigned again[] = {1, 2, 4, 8, 16, 32, 60, 60, 60, 60, 60};

	for (size_t i = 0; i < sizeof(again) / sizeof(again[0]); i++) {
		question();
		ck_assert_uint_eq(w.starts, i + 1);
		unit_machine_failed(&m, "it ended with status 3", now);
		ck_assert_str_eq(w.why, "it ended with status 3");
		ck_assert_uint_eq(w.failed, 2 * i + 1);
		pass(again[i] * S - 1);
		question();
		ck_assert_str_eq(w.why, "it ended with status 3; not tried again for 1 s");
		ck_assert_uint_eq(w.failed, 2 * i + 2);
		pass(1);
	}
	question();
	w.listens = true;
	pass(S);
	ck_assert_uint_eq(w.permitted, 1);
	w.listens = false;
	question();
	unit_machine_failed(&m, "x", now);
	pass(S);
	question();
	ck_assert_int_eq(m.state, UNIT_STARTING); /* one that worked makes it forget */
	ck_assert_uint_eq(m.failures, 12);
}
END_TEST

START_TEST(cannot_start)
{
	w.cannot = true;
	question();
	ck_assert_str_eq(w.why, "no such thing");
	ck_assert_int_eq(m.state, UNIT_DOWN);
	/* it listens when somebody else has started it, backoff or not */
	w.listens = true;
	question();
	ck_assert_uint_eq(w.permitted, 1);
}
END_TEST

START_TEST(takes_too_long)
{
	question();
	pass(UNIT_START_NS - 300 * MS);
	ck_assert_uint_eq(w.failed, 0);
	pass(S);
	ck_assert_uint_eq(w.failed, 1);
	ck_assert_uint_eq(w.stops, 1);
	ck_assert_ptr_nonnull(strstr(w.why, "does not listen"));
}
END_TEST

/* The start's process says no, but somebody listens. */
START_TEST(fails_and_listens)
{
	question();
	w.listens = true;
	unit_machine_failed(&m, "x", now);
	ck_assert_uint_eq(w.permitted, 1);
	ck_assert_int_eq(m.state, UNIT_UP);
	unit_machine_failed(&m, "x", now);
	ck_assert_int_eq(m.state, UNIT_UP);
}
END_TEST

START_TEST(stops_without_use)
{
	m.idle_ns = 10 * S;
	w.listens = w.busy = true;
	w.stops_at_once = false;
	question();
	pass(100 * S);
	ck_assert_uint_eq(w.stops, 0);
	w.busy = false;
	pass(8 * S);
	ck_assert_uint_eq(w.stops, 0);
	question(); /* its time begins again */
	pass(9 * S);
	ck_assert_uint_eq(w.stops, 0);
	pass(2 * S);
	ck_assert_uint_eq(w.stops, 1);
	ck_assert_int_eq(m.state, UNIT_STOPPING);
	/* whoever comes now waits until it is gone, and is let in by the next one */
	question();
	ck_assert_uint_eq(w.permitted, 2);
	ck_assert_uint_eq(w.kills, 0);
	w.listens = false;
	unit_machine_stopped(&m, now);
	ck_assert_uint_eq(w.starts, 1);
	w.listens = true;
	pass(S);
	ck_assert_uint_eq(w.permitted, 3);
	ck_assert_uint_eq(m.stops, 1);
}
END_TEST

START_TEST(does_not_stop)
{
	m.idle_ns = S;
	w.listens = true;
	w.stops_at_once = false;
	question();
	pass(2 * S);
	pass(UNIT_STOP_NS);
	ck_assert_uint_eq(w.kills, 1);
	unit_machine_stopped(&m, now);
	ck_assert_int_eq(m.state, UNIT_DOWN);
	ck_assert_uint_eq(m.next.ns, MONO_NEVER.ns);
}
END_TEST

START_TEST(something_is_left)
{
	w.stop_first = true;
	w.stops_at_once = false;
	question();
	ck_assert_int_eq(m.state, UNIT_STOPPING);
	unit_machine_stopped(&m, now);
	ck_assert_int_eq(m.state, UNIT_STARTING);
	ck_assert_uint_eq(w.starts, 2);
	/* it has gone by itself before it was told to */
	setup();
	w.stop_first = true;
	question();
	pass(0);
	ck_assert_int_eq(m.state, UNIT_STARTING);
	ck_assert_uint_eq(w.starts, 2);
}
END_TEST

/* Of another host it is told later. */
START_TEST(told_later)
{
	w.later = true;
	question();
	question();
	ck_assert_uint_eq(w.probes, 1);
	ck_assert_uint_eq(w.starts, 0);
	unit_machine_probed(&m, false, now);
	ck_assert_uint_eq(w.starts, 1);
	pass(S);
	ck_assert_uint_eq(w.probes, 2); /* one at a time */
	unit_machine_probed(&m, true, now);
	ck_assert_uint_eq(w.permitted, 2);
	/* nobody waits any more when it is told: nothing is started for nobody */
	question();
	w.waiting = 0;
	unit_machine_probed(&m, false, now);
	ck_assert_uint_eq(w.starts, 1);
}
END_TEST

START_TEST(adopts)
{
	m.idle_ns = S;
	unit_machine_adopt(&m, now);
	ck_assert_int_eq(m.state, UNIT_DOWN);
	w.listens = true;
	unit_machine_adopt(&m, now);
	pass(3 * S);
	ck_assert_uint_eq(w.stops, 1);
}
END_TEST

/* Whatever happens in whatever order, nobody is let in while nobody listens, and nobody is forgotten. */
START_TEST(at_random)
{
	uint64_t seed = unit_seed("at_random");

	m.idle_ns = 5 * S;
	for (int i = 0; i < 200000; i++) {
		unsigned permitted = w.permitted;

		w.stops_at_once = unit_rand(&seed) % 2;
		w.stop_first = unit_rand(&seed) % 8 == 0;
		switch (unit_rand(&seed) % 8) {
		case 0:
			w.listens = !w.listens;
			break;
		case 1:
			w.busy = !w.busy;
			break;
		case 2:
			unit_machine_failed(&m, "x", now);
			break;
		case 3:
			unit_machine_stopped(&m, now);
			break;
		case 4:
			w.waiting = 0;
			break;
		case 5:
			pass(unit_rand(&seed) % (20 * S));
			break;
		default:
			question();
		}
		pass(0);
		ck_assert(w.listens || w.permitted == permitted);
		ck_assert(m.state != UNIT_UP || !w.waiting);
		ck_assert(m.state != UNIT_DOWN || !w.waiting);
		ck_assert(m.state == UNIT_DOWN || m.next.ns != MONO_NEVER.ns);
	}
	ck_assert_uint_gt(m.starts, 1000);
	ck_assert_uint_gt(m.stops, 1000);
}
END_TEST

/* ---- the real world ---- */

static struct loop *l;
static struct unit_probe p;
static int told;

static void done(void *ctx, bool ready)
{
	(void)ctx;
	told = ready;
}

static int listener(int type, const char *address, uint16_t *port)
{
	struct sockaddr_in a = {.sin_family = AF_INET};
	socklen_t n = sizeof(a);
	int fd = socket(AF_INET, type, 0);

	inet_pton(AF_INET, address, &a.sin_addr);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&a, n), 0);
	if (type == SOCK_STREAM)
		ck_assert_int_eq(listen(fd, 4), 0);
	getsockname(fd, (struct sockaddr *)&a, &n);
	*port = ntohs(a.sin_port);
	return fd;
}

static int dial(uint16_t port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

static void probe_open(void)
{
	ck_assert_int_eq(loop_new(&l), 0);
	unit_probe_init(&p, l, done, NULL);
	told = -1;
}

static void probe_shut(void)
{
	unit_probe_deinit(&p);
	loop_free(l);
}

START_TEST(addresses)
{
	struct unit_target t = {.protocol = IPPROTO_TCP, .port = 1};

	ck_assert(unit_target_local(&t));
	ck_assert(unit_target_address(&t, "127.0.0.9") && unit_target_loopback(&t));
	ck_assert(unit_target_local(&t));
	ck_assert(unit_target_address(&t, "::1") && unit_target_loopback(&t));
	ck_assert(unit_target_address(&t, "192.0.2.77") && !unit_target_loopback(&t));
	ck_assert(!unit_target_local(&t));
	ck_assert(!unit_target_address(&t, "box"));
	t.protocol = 0;
	ck_assert(unit_busy(&p, &t)); /* not known */
}
END_TEST

START_TEST(tcp)
{
	struct unit_target t = {.protocol = IPPROTO_TCP}, at;
	int fd = listener(SOCK_STREAM, "127.0.0.3", &t.port), one, two;

	if (!p.diag.tcp)
		return; /* a kernel without sock_diag */
	at = t;
	ck_assert_int_eq(unit_probe(&p, &t), UNIT_READY);
	unit_target_address(&at, "127.0.0.3");
	ck_assert_int_eq(unit_probe(&p, &at), UNIT_READY);
	unit_target_address(&at, "127.0.0.4");
	ck_assert_int_eq(unit_probe(&p, &at), UNIT_NOT_READY);
	close(fd);
	ck_assert_int_eq(unit_probe(&p, &t), UNIT_NOT_READY);
	fd = listener(SOCK_STREAM, "127.0.0.1", &t.port);
	ck_assert(!unit_busy(&p, &t));
	one = dial(t.port);
	ck_assert(unit_busy(&p, &t)); /* although nobody has accepted it */
	two = accept(fd, NULL, NULL);
	ck_assert(unit_busy(&p, &t));
	close(one);
	ck_assert(unit_busy(&p, &t)); /* half closed */
	close(two);
	ck_assert(!unit_busy(&p, &t));
	close(fd);
}
END_TEST

START_TEST(udp)
{
	struct unit_target t = {.protocol = IPPROTO_UDP};
	int fd = listener(SOCK_DGRAM, "0.0.0.0", &t.port);

	if (!p.diag.udp)
		return;
	ck_assert_int_eq(unit_probe(&p, &t), UNIT_READY);
	unit_target_address(&t, "127.0.0.4");
	ck_assert_int_eq(unit_probe(&p, &t), UNIT_READY);
	close(fd);
	ck_assert_int_eq(unit_probe(&p, &t), UNIT_NOT_READY);
}
END_TEST

START_TEST(another_host)
{
	struct unit_target t = {.protocol = IPPROTO_TCP, .port = 1};

	/* of a range that nobody has: no route, or no answer */
	unit_target_address(&t, "192.0.2.77");
	if (unit_probe(&p, &t) == UNIT_LATER) {
		ck_assert_int_eq(unit_probe(&p, &t), UNIT_LATER);
		for (int i = 0; i < 40 && told < 0; i++)
			loop_once(l, mono_add(loop_clock(), 100 * MS));
		ck_assert_int_eq(told, 0);
	}
	t.protocol = IPPROTO_UDP;
	ck_assert_int_eq(unit_probe(&p, &t), UNIT_NOT_READY);
	t.protocol = IPPROTO_TCP;
	ck_assert(unit_busy(&p, &t));
}
END_TEST

START_TEST(status_text)
{
	char text[96];

	unit_status_text(3 << 8, text, sizeof(text));
	ck_assert_str_eq(text, "ended with status 3");
	unit_status_text(SIGKILL, text, sizeof(text));
	ck_assert_str_eq(text, "was ended by signal 9 (Killed)");
	ck_assert(unit_state_failed("Result=exit-code\nActiveState=failed\n", text, sizeof(text)));
	ck_assert_str_eq(text, "failed (exit-code)");
	ck_assert(unit_state_failed("ActiveState=failed", text, sizeof(text)));
	ck_assert_str_eq(text, "failed");
	ck_assert(
		!unit_state_failed("ActiveState=activating\nResult=success\n", text, sizeof(text)));
	ck_assert(!unit_state_failed("", text, sizeof(text)));
	ck_assert(!unit_state_failed("XActiveState=failed\n", text, sizeof(text)));
}
END_TEST

/* A child, its child in the background, and that one's, in sessions of their own. */
START_TEST(tree)
{
	char sh[] = "/bin/sh", c[] = "-c",
	     script[] = "setsid sh -c 'setsid sleep 60 & sleep 60' & exit 0";
	char *argv[] = {sh, c, script, NULL};
	int status;
	unsigned n = 0;

	ck_assert_int_eq(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
	pid_t pid = unit_spawn(argv, "x", -1, 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	for (int i = 0; i < 200 && (n = unit_tree_signal(0)) < 3; i++)
		usleep(10000);
	ck_assert_uint_eq(n, 3);
	unit_tree_signal(SIGKILL);
	while (waitpid(-1, &status, 0) > 0)
		;
	ck_assert_uint_eq(unit_tree_signal(0), 0);
}
END_TEST

START_TEST(spawn_fails)
{
	char no[] = "/nonexistent", sleep_[] = "/bin/sleep", s60[] = "60";
	char *argv[] = {no, NULL}, *slow[] = {sleep_, s60, NULL};
	int status;
	pid_t pid = unit_spawn(argv, "x", -1, 0);

	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(WEXITSTATUS(status), 126);
	pid = unit_spawn(slow, "x", -1, 1);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(WTERMSIG(status), SIGALRM);
}
END_TEST

Suite *suite(void)
{
	Suite *s = suite_create("unit");
	TCase *t = tcase_create("machine"), *r = tcase_create("real");

	tcase_add_checked_fixture(t, setup, NULL);
	tcase_add_test(t, wakes_once_for_all);
	tcase_add_test(t, looks_often_at_first);
	tcase_add_test(t, ready_already);
	tcase_add_test(t, gone_by_itself);
	tcase_add_test(t, start_fails);
	tcase_add_test(t, cannot_start);
	tcase_add_test(t, takes_too_long);
	tcase_add_test(t, fails_and_listens);
	tcase_add_test(t, stops_without_use);
	tcase_add_test(t, does_not_stop);
	tcase_add_test(t, something_is_left);
	tcase_add_test(t, told_later);
	tcase_add_test(t, adopts);
	tcase_add_test(t, at_random);
	suite_add_tcase(s, t);
	tcase_add_checked_fixture(r, probe_open, probe_shut);
	tcase_set_timeout(r, 20);
	tcase_add_test(r, addresses);
	tcase_add_test(r, tcp);
	tcase_add_test(r, udp);
	tcase_add_test(r, another_host);
	tcase_add_test(r, status_text);
	tcase_add_test(r, tree);
	tcase_add_test(r, spawn_fails);
	suite_add_tcase(s, r);
	return s;
}
