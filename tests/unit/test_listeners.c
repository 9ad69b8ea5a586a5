/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a thread that decides knows of who listens, with a resolver played here. */
#include "daemon/listeners.h"
#include "daemon/resolver.h"
#include "io/loop.h"
#include "unit.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ALL (LISTENER_USER | LISTENER_CGROUP | LISTENER_GROUP | LISTENER_EXECUTABLE)

static struct listeners *l;
static struct pend_values v;
static uint64_t cookie;
static int service, peer; /* a socket that listens; the resolver's end */

static void connect_resolver(void)
{
	int pair[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	peer = pair[1];
	listeners_connect(l, pair[0]);
}

static void set_up(void)
{
	struct sockaddr_in sa = {.sin_family = AF_INET};
	socklen_t len = sizeof(sa), size = sizeof(cookie);

	inet_pton(AF_INET, "127.0.0.1", &sa.sin_addr);
	service = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(service, (struct sockaddr *)&sa, sizeof(sa)), 0);
	ck_assert_int_eq(getsockname(service, (struct sockaddr *)&sa, &len), 0);
	ck_assert_int_eq(getsockopt(service, SOL_SOCKET, SO_COOKIE, &cookie, &size), 0);
	v = (struct pend_values){.family = 4,
				 .protocol = IPPROTO_UDP,
				 .has_ports = true,
				 .source_port = 4000,
				 .dest_port = ntohs(sa.sin_port),
				 .in_interface = 1,
				 .hook = 1};
	memcpy(v.dest, &sa.sin_addr, 4);
	memcpy(v.source, &sa.sin_addr, 4);
	ck_assert_int_eq(listeners_new(&l), 0);
	connect_resolver();
}

static void tear_down(void)
{
	listeners_free(l);
	close(service);
	close(peer);
}

static struct resolver_answer answer(uint64_t seq)
{
	return (struct resolver_answer){.seq = seq,
					.cookie = cookie,
					.at_ns = loop_clock().ns,
					.asked = ALL & ~(unsigned)LISTENER_USER,
					.known = ALL & ~(unsigned)LISTENER_USER,
					.gid = 33,
					.executable = "/usr/sbin/nginx",
					.cgroup = "/system.slice/nginx.service"};
}

static void say(const struct resolver_answer *a)
{
	ck_assert_int_eq(send(peer, a, sizeof(*a), 0), sizeof(*a));
}

static unsigned questions(struct resolver_question *last)
{
	unsigned n = 0;

	while (recv(peer, last, sizeof(*last), MSG_DONTWAIT) == (ssize_t)sizeof(*last))
		n++;
	return n;
}

static struct listeners_counts counts(void)
{
	struct listeners_counts c;

	listeners_count(l, &c);
	return c;
}

START_TEST(the_user_needs_no_resolver)
{
	struct resolver_question q;
	const struct classify_listener *f = listeners_find(l, &v, LISTENER_USER);

	ck_assert(f->state == LISTENER_FOUND && f->known == LISTENER_USER && f->uid == getuid());
	ck_assert_uint_eq(questions(&q), 0);
	ck_assert(counts().lookups == 1 && !counts().asked && !counts().unknown);
}
END_TEST

START_TEST(an_answer_is_kept)
{
	struct resolver_answer a = answer(1);
	const struct classify_listener *f;
	struct resolver_question q;

	say(&a);
	f = listeners_find(l, &v, ALL);
	ck_assert(f->known == ALL && f->gid == 33);
	ck_assert_str_eq(f->executable, "/usr/sbin/nginx");
	ck_assert_str_eq(f->cgroup, "/system.slice/nginx.service");
	f = listeners_find(l, &v, LISTENER_EXECUTABLE);
	ck_assert(f->known & LISTENER_EXECUTABLE);
	ck_assert_uint_eq(questions(&q), 0); /* it was there before anybody asked */
	ck_assert(counts().lookups == 2 && counts().cached == 2 && !counts().asked);
}
END_TEST

START_TEST(what_is_old_is_asked_again)
{
	struct resolver_answer a = answer(0);
	struct resolver_question q;

	a.seq = 99;
	a.at_ns -= LISTENERS_FRESH_NS;
	say(&a);
	ck_assert_uint_eq(listeners_find(l, &v, ALL)->known, LISTENER_USER);
	ck_assert_uint_eq(questions(&q), 1);
	ck_assert(q.cookie == cookie && q.inode && q.need == (ALL & ~(unsigned)LISTENER_USER));
	ck_assert(counts().unknown == 1 && counts().asked == 1);
}
END_TEST

/* Nobody waits twice in vain; what comes late is used by the next. */
START_TEST(a_silent_resolver)
{
	uint64_t start = loop_clock().ns, waited;
	struct resolver_answer a;
	struct resolver_question q;

	ck_assert_uint_eq(listeners_find(l, &v, ALL)->known, LISTENER_USER);
	ck_assert(listeners_late(l));
	waited = loop_clock().ns - start;
	ck_assert(waited >= LISTENERS_WAIT_NS && waited < 20 * LISTENERS_WAIT_NS);
	for (int i = 0; i < 1000; i++)
		ck_assert_uint_eq(listeners_find(l, &v, ALL)->known, LISTENER_USER);
	ck_assert_uint_eq(questions(&q), 1);
	listeners_find(l, &v, LISTENER_USER);
	ck_assert(!listeners_late(l));
	a = answer(q.seq);
	say(&a);
	ck_assert_uint_eq(listeners_find(l, &v, ALL)->known, ALL);
	ck_assert(!listeners_late(l));
	ck_assert_uint_eq(counts().unknown, 1001);
}
END_TEST

START_TEST(a_dead_resolver)
{
	struct resolver_answer a = answer(1);
	uint64_t start = loop_clock().ns;

	close(peer);
	for (int i = 0; i < 1000; i++)
		ck_assert_uint_eq(listeners_find(l, &v, ALL)->known, LISTENER_USER);
	ck_assert(loop_clock().ns - start < MONO_NS_PER_S);
	connect_resolver();
	say(&a);
	ck_assert_uint_eq(listeners_find(l, &v, ALL)->known, ALL);
	listeners_connect(l, -1);
	ck_assert_uint_eq(listeners_find(l, &v, ALL)->known, ALL);
}
END_TEST

/* Answers each question some time later, and ends with the connection. */
static pid_t slow_resolver(unsigned ms)
{
	const struct timespec some_time = {.tv_nsec = ms * 1000000L};
	struct resolver_question q;
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid)
		return pid;
	listeners_free(l); /* our end is the parent's alone */
	while (recv(peer, &q, sizeof(q), 0) == (ssize_t)sizeof(q)) {
		struct resolver_answer a = answer(q.seq);

		nanosleep(&some_time, NULL);
		a.cookie = q.cookie;
		a.at_ns = loop_clock().ns;
		if (send(peer, &a, sizeof(a), MSG_NOSIGNAL) < 0)
			break;
	}
	_exit(0);
}

enum { SOCKETS = 12 };

static void open_sockets(int fd[SOCKETS], uint16_t port[SOCKETS])
{
	struct sockaddr_in sa = {.sin_family = AF_INET};

	inet_pton(AF_INET, "127.0.0.1", &sa.sin_addr);
	for (unsigned i = 0; i < SOCKETS; i++) {
		socklen_t len = sizeof(sa);

		sa.sin_port = 0;
		fd[i] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		ck_assert_int_eq(bind(fd[i], (struct sockaddr *)&sa, sizeof(sa)), 0);
		ck_assert_int_eq(getsockname(fd[i], (struct sockaddr *)&sa, &len), 0);
		port[i] = ntohs(sa.sin_port);
	}
}

/* Of look-ups of all of them. */
static unsigned how_many_late(const uint16_t port[SOCKETS])
{
	unsigned late = 0;

	for (unsigned i = 0; i < SOCKETS; i++) {
		v.dest_port = port[i];
		listeners_find(l, &v, ALL);
		late += listeners_late(l);
	}
	return late;
}

static void close_sockets(const int fd[SOCKETS], pid_t resolver)
{
	for (unsigned i = 0; i < SOCKETS; i++)
		close(fd[i]);
	listeners_connect(l, -1);
	kill(resolver, SIGKILL);
	waitpid(resolver, NULL, 0);
}

/* Connections to many sockets, and a resolver that takes its time: those who wait do not take up all of it. */
START_TEST(a_slow_resolver)
{
	int fd[SOCKETS];
	uint16_t port[SOCKETS];
	pid_t pid = slow_resolver(40);

	open_sockets(fd, port);
	ck_assert_uint_ge(how_many_late(port), 1); /* of 480 ms that all would take */
	/* What was not waited for comes, and is there for the next packet. */
	v.dest_port = port[SOCKETS - 1];
	for (unsigned i = 0; i < 200 && listeners_find(l, &v, ALL)->known != ALL; i++)
		nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
	ck_assert_uint_eq(listeners_find(l, &v, ALL)->known, ALL);
	close_sockets(fd, pid);
}
END_TEST

/* A live flow that is not judged now is not judged again: who looks at them waits for all, and has no quiet time. */
START_TEST(a_slow_resolver_of_a_patient_one)
{
	int fd[SOCKETS];
	uint16_t port[SOCKETS];
	uint64_t asked;
	pid_t pid = slow_resolver(60);

	open_sockets(fd, port);
	listeners_patient(l, 10 * MONO_NS_PER_S);
	ck_assert_uint_eq(how_many_late(port), 0);
	asked = counts().asked;
	nanosleep(&(struct timespec){.tv_sec = 1}, NULL);
	ck_assert_uint_eq(how_many_late(port), 0); /* it holds for the whole look, */
	ck_assert_uint_eq(counts().asked, asked);
	listeners_patient(l, 10 * MONO_NS_PER_S);
	ck_assert_uint_eq(how_many_late(port), 0);
	ck_assert_uint_eq(counts().asked, asked + SOCKETS); /* ... and not for the next */
	close_sockets(fd, pid);
}
END_TEST

START_TEST(a_silent_resolver_of_a_patient_one)
{
	uint64_t start = loop_clock().ns, waited;

	listeners_patient(l, 300 * MONO_NS_PER_MS);
	for (int i = 0; i < 1000; i++) {
		ck_assert_uint_eq(listeners_find(l, &v, ALL)->known, LISTENER_USER);
		ck_assert(listeners_late(l));
	}
	waited = loop_clock().ns - start;
	ck_assert(waited >= 300 * MONO_NS_PER_MS && waited < 3 * MONO_NS_PER_S);
}
END_TEST

START_TEST(wrong_answers)
{
	struct resolver_answer a = answer(1);

	a.at_ns = UINT64_MAX; /* it does not stay for ever */
	a.asked = LISTENER_GROUP;
	a.known = UINT32_MAX;
	memset(a.executable, 'x', sizeof(a.executable));
	memset(a.cgroup, 'y', sizeof(a.cgroup));
	say(&a);
	ck_assert_uint_eq(listeners_find(l, &v, LISTENER_GROUP)->known,
			  LISTENER_GROUP | LISTENER_USER);
	a.cookie++; /* of another socket */
	say(&a);
	ck_assert_uint_eq(listeners_find(l, &v, ALL)->known, LISTENER_USER);
	ck_assert_int_eq(send(peer, &a, sizeof(a) - 1, 0), sizeof(a) - 1);
	ck_assert_uint_eq(listeners_find(l, &v, ALL)->known, LISTENER_USER);
	ck_assert_int_lt(send(peer, &a, sizeof(a), MSG_NOSIGNAL), 0); /* hung up */
}
END_TEST

START_TEST(nobody)
{
	struct resolver_question q;

	v.protocol = IPPROTO_ICMP;
	ck_assert_uint_eq(listeners_find(l, &v, ALL)->state, LISTENER_NONE);
	v.protocol = IPPROTO_SCTP;
	ck_assert_uint_eq(listeners_find(l, &v, ALL)->state, LISTENER_UNKNOWN);
	ck_assert_uint_eq(listeners_find(NULL, &v, ALL)->state, LISTENER_UNKNOWN);
	ck_assert_uint_eq(questions(&q), 0);
	ck_assert_uint_eq(counts().unknown, 1);
}
END_TEST

Suite *suite(void)
{
	Suite *s = suite_create("listeners");
	TCase *tc = tcase_create("all");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_set_timeout(tc, 20);
	tcase_add_test(tc, the_user_needs_no_resolver);
	tcase_add_test(tc, an_answer_is_kept);
	tcase_add_test(tc, what_is_old_is_asked_again);
	tcase_add_test(tc, a_silent_resolver);
	tcase_add_test(tc, a_dead_resolver);
	tcase_add_test(tc, a_slow_resolver);
	tcase_add_test(tc, a_slow_resolver_of_a_patient_one);
	tcase_add_test(tc, a_silent_resolver_of_a_patient_one);
	tcase_add_test(tc, wrong_answers);
	tcase_add_test(tc, nobody);
	suite_add_tcase(s, tc);
	return s;
}
