/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The state of schedules.c, its policy file, and the client's and the server's sockets.
 */
#ifndef TESTS_NETNS_SCHEDULES_H
#define TESTS_NETNS_SCHEDULES_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SLOTS_MAX   250 /* client addresses that the harness makes */
#define PORT_FIRST  10000
#define CONTEXTS    12
#define ACTIONS     12
#define REQUESTS    24 /* of the 32 that pendd takes */
#define HISTORY     6144
#define LINE_MAX_IN (1 << 20)
#define FAILURES    5
#define STUCK_MS    60000
#define NEVER       UINT64_MAX
/* A busy machine may not run pendd for a while: a limit is so many times what it promises, which all but a few keep. */
#define GRACE        3
#define SLOW_PERCENT 5
#define MS(ns)       ((double)(ns) / 1e6)

enum kind { A_DECIDE, A_DOUBLE, A_STALE, A_GARBAGE, A_OVERLAY, A_WRONG, A_CLOSE, A_AGAIN };
static const char *const kind_names[] = {"decide",  "double", "stale", "garbage",
					 "overlay", "wrong",  "close", "again"};
static const char *const blocks[] = {"drop", "reset", "unreachable"};
enum overlay { O_NONE, O_PERMIT, O_BLOCK };
static const char *const overlays[] = {"pend", "permit", "block"};

struct action {
	enum kind kind;
	uint64_t at; /* ms after the connect */
	bool permit, match, done;
	int block;      /* A_DECIDE */
	int overlay;    /* A_OVERLAY */
	unsigned again; /* times it had to be asked again */
};

struct context {
	char id[32];
	uint64_t pended, ended;
	unsigned attempt;
	char state[16];
	bool permit, unseen; /* unseen: it ended while nobody listened */
};

enum result { R_NONE, R_CONNECTED, R_REFUSED, R_CLOSED };

struct schedule {
	unsigned number, attempt;
	uint64_t rng, started;
	struct slot *slot;
	bool v6;
	char address[INET6_ADDRSTRLEN];
	uint16_t sport;
	int fd, server_fd;
	enum result result;
	uint64_t connect_at, result_at, first_byte, accepted_at;
	unsigned accepts, server_bytes;
	/* what was sent that could permit, or block, this attempt: NEVER, or the earliest time */
	uint64_t permit_at, block_at;
	bool solid_block;  /* the policy was known to block when a permit was sent */
	bool policy_block; /* it may have blocked at some time */
	bool strict;       /* no rule change excuses a delay */
	unsigned effective_permits, effective_blocks;
	bool blocked;       /* pendd says so */
	enum result expect; /* R_NONE: nothing more */
	uint64_t expect_soon, expect_by;
	unsigned foreign_then, extended;
	uint64_t done_at; /* nothing is expected any more: watch until then */
	bool gap;         /* events may be missing */
	struct context ctx[CONTEXTS];
	unsigned contexts;
	struct action action[ACTIONS];
	unsigned actions, requests;
	char history[HISTORY];
	size_t history_len;
};

struct slot {
	unsigned index;
	int listener;
	int mode, release, block, timeout_ms; /* of the rule */
	bool timeout_permit;
	enum overlay want, sent;
	/* a bit for each that may be in force: what was last known to be, and all that was sent since. A load
	 * that nobody answered, for the authority process was killed, may have been carried out or not */
	unsigned may;
	uint64_t solid_since; /* known and not changed since */
	struct schedule *s;
	char stale[32]; /* an id of an earlier schedule */
};

enum request_kind { Q_FREE, Q_DECIDE, Q_STALE, Q_RELOAD, Q_WRONG, Q_FOLLOW, Q_PENDING, Q_STATUS };

struct request {
	enum request_kind kind;
	unsigned long id;
	struct schedule *s;
	unsigned number, attempt, action, contexts;
	uint64_t sent;
};

static struct {
	uint64_t seed, rng, begin, now, lag_grace;
	unsigned schedules, nslots, started, finished, failures;
	double factor;
	bool kill, foreign, may_flush;
	long only;
	int host_ns, client_ns;
	const char *socket, *config;
	long pid;
	struct slot slot[SLOTS_MAX];
	struct schedule *live[SLOTS_MAX];
	/* control connection */
	int control;
	bool listed, ever_lost; /* listed: we know what is pending */
	uint64_t control_since;
	char *in;
	size_t in_len;
	struct request request[REQUESTS];
	unsigned long next_id;
	/* policy */
	char *head; /* of the policy file, up to the rules */
	bool policy_dirty, reload_busy, wrong_wanted;
	bool kill_load,
		kill_unheard; /* the next kill: with a load under way; in place of its answer */
	/* what goes on around */
	unsigned foreigns;
	uint64_t foreign_next, kill_next;
	unsigned kill_ms; /* between two kills, to twice that */
	pid_t foreign_pid;
	bool foreign_table;
	/* counts for the summary */
	unsigned events_pended, events_completed, kills, reloads, wrongs, doubles, stales, lost,
		permitted, flushed, blocked, timed_out, abandoned, connected, refused, retransmits,
		kernel_lost, unseen, slow;
	char status[65536];
} g;

/* ------------------------------------------------------------------ small things ---- */

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t ms(double n)
{
	return (uint64_t)(n * 1e6);
}

static uint64_t random_next(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static unsigned roll(uint64_t *state, unsigned n)
{
	return (unsigned)(random_next(state) % n);
}

static void die(const char *what)
{
	printf("# schedules: %s: %s\n", what, strerror(errno));
	exit(2);
}

__attribute__((format(printf, 2, 3))) static void note(struct schedule *s, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (s->history_len + 160 > HISTORY)
		return;
	n = snprintf(s->history + s->history_len, HISTORY - s->history_len, "#   %9.1f  ",
		     MS(now_ns() - s->started));
	s->history_len += (size_t)n;
	va_start(ap, fmt);
	n = vsnprintf(s->history + s->history_len, HISTORY - s->history_len - 2, fmt, ap);
	va_end(ap);
	s->history_len += (size_t)n < HISTORY - s->history_len - 2 ? (size_t)n : 0;
	s->history[s->history_len++] = '\n';
	s->history[s->history_len] = '\0';
}

static void tell(const struct schedule *s)
{
	const struct slot *l = s->slot;

	printf("# schedule %u: %s:%u to port %u: timeout %d ms, on-timeout %s, block %d, %s, mode "
	       "%d%s\n%s",
	       s->number, s->address, s->sport, PORT_FIRST + l->index, l->timeout_ms,
	       l->timeout_permit ? "permit" : "block", l->block, l->release ? "buffer" : "flush",
	       l->mode, s->gap ? ", events missing" : "", s->history);
}

__attribute__((format(printf, 2, 3))) static void fail(struct schedule *s, const char *fmt, ...)
{
	va_list ap;

	g.failures++;
	printf("not ok - ");
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
	if (s) {
		printf("# at %.1f ms of the schedule; SEED=%llu\n", MS(now_ns() - s->started),
		       (unsigned long long)g.seed);
		tell(s);
	}
	fflush(stdout);
}

/* "key":"text" of a flat piece of JSON, or "key":number; false when it is not there. */
static bool field(const char *json, const char *key, char *out, size_t size)
{
	char want[48];
	const char *p;
	size_t n;

	snprintf(want, sizeof(want), "\"%s\":", key);
	p = strstr(json, want);
	if (!p)
		return false;
	p += strlen(want);
	p += *p == '"';
	n = strcspn(p, "\",}");
	if (n >= size)
		return false;
	memcpy(out, p, n);
	out[n] = '\0';
	return true;
}

static long number(const char *json, const char *key)
{
	char text[24];

	return field(json, key, text, sizeof(text)) ? atol(text) : -1;
}

/* -------------------------------------------------------------------- the policy ---- */

static void slots_make(void)
{
	static const int timeouts[] = {1200, 1200, 2500, 20000};
	uint64_t rng = g.seed ^ 0x5107;

	for (unsigned i = 0; i < g.nslots; i++)
		g.slot[i] = (struct slot){.index = i,
					  .may = 1u << O_NONE,
					  .mode = (int)roll(&rng, 3),
					  .release = (int)roll(&rng, 2),
					  .block = (int)roll(&rng, 3),
					  .timeout_ms = timeouts[roll(&rng, 4)],
					  .timeout_permit = roll(&rng, 3) == 0};
}

static void rule_print(FILE *f, const struct slot *l, enum overlay o)
{
	static const char *const modes[] = {"", " hold", " absorb"};

	fprintf(f, "\t%s proto tcp to port %u", overlays[o], PORT_FIRST + l->index);
	if (o == O_NONE)
		fprintf(f, " ask ops timeout %dms on-timeout %s complete %s%s", l->timeout_ms,
			l->timeout_permit ? "permit" : "block", l->release ? "buffer" : "flush",
			modes[l->mode]);
	if (o != O_PERMIT)
		fprintf(f, " with %s", blocks[l->block]);
	fputc('\n', f);
}

static bool may_say(const struct slot *l, enum overlay o)
{
	return l->may & 1u << o;
}

static bool must_say(const struct slot *l, enum overlay o)
{
	return l->may == 1u << o;
}

static void policy_print(void)
{
	printf("authority ops { type operator; timeout 30s; on-timeout block; }\n"
	       "layer default {\n");
	for (unsigned i = 0; i < g.nslots; i++)
		rule_print(stdout, &g.slot[i], O_NONE);
	printf("\tpermit\n}\n");
}

static void policy_read(void)
{
	FILE *f = fopen(g.config, "r");
	char *end;
	size_t n;

	g.head = calloc(1, 65536);
	if (!f || !g.head)
		die(g.config);
	n = fread(g.head, 1, 65535, f);
	fclose(f);
	g.head[n] = '\0';
	end = strstr(g.head, "layer default {\n");
	if (!end)
		die("no layer in the policy");
	end[strlen("layer default {\n")] = '\0';
}

/* A wrong one permits everything, and must never be in force. */
static void policy_write(bool wrong)
{
	char path[512];
	FILE *f;

	snprintf(path, sizeof(path), "%s.new", g.config);
	f = fopen(path, "w");
	if (!f)
		die(path);
	fputs(g.head, f);
	for (unsigned i = 0; i < g.nslots && !wrong; i++)
		rule_print(f, &g.slot[i], g.slot[i].sent);
	fputs("\tpermit\n}\n", f);
	if (wrong)
		fputs("layer second { permit proto tpc }\n", f);
	if (fclose(f) || chmod(path, 0644) || rename(path, g.config))
		die(g.config);
}

/* ------------------------------------------------------------- client and server ---- */

static int epoll_fd;

static void watch(int fd, uint32_t events)
{
	struct epoll_event e = {.events = events, .data.fd = fd};

	/* level-triggered wake-ups only: every round looks at all that is live */
	epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &e);
}

static void enter(int ns)
{
	if (setns(ns, CLONE_NEWNET) < 0)
		die("setns");
}

static void listeners_open(void)
{
	int zero = 0, one = 1;

	enter(g.host_ns);
	for (unsigned i = 0; i < g.nslots; i++) {
		struct sockaddr_in6 any = {.sin6_family = AF_INET6,
					   .sin6_port = htons((uint16_t)(PORT_FIRST + i))};
		int fd = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		if (fd < 0 || bind(fd, (struct sockaddr *)&any, sizeof(any)) < 0 ||
		    listen(fd, 16) < 0)
			die("listen");
		g.slot[i].listener = fd;
		watch(fd, EPOLLIN);
	}
	enter(g.client_ns);
}

static void address_set(struct sockaddr_storage *a, socklen_t *len, const char *text, uint16_t port)
{
	struct sockaddr_in6 *six = (struct sockaddr_in6 *)a;
	struct sockaddr_in *four = (struct sockaddr_in *)a;

	memset(a, 0, sizeof(*a));
	if (strchr(text, ':')) {
		six->sin6_family = AF_INET6;
		six->sin6_port = htons(port);
		inet_pton(AF_INET6, text, &six->sin6_addr);
		*len = sizeof(*six);
	} else {
		four->sin_family = AF_INET;
		four->sin_port = htons(port);
		inet_pton(AF_INET, text, &four->sin_addr);
		*len = sizeof(*four);
	}
}

static void client_close(struct schedule *s)
{
	struct linger hard = {1, 0};
	struct sockaddr none = {.sa_family = AF_UNSPEC};

	if (s->fd >= 0) {
		setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
		/* a child of ours between fork and exec has it too: end it in any case */
		connect(s->fd, &none, sizeof(none));
		close(s->fd);
	}
	s->fd = -1;
}

static void server_close(struct schedule *s)
{
	struct linger hard = {1, 0};

	if (s->server_fd >= 0) {
		setsockopt(s->server_fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
		close(s->server_fd);
	}
	s->server_fd = -1;
}

static void client_connect(struct schedule *s)
{
	struct sockaddr_storage from, to;
	socklen_t from_len, to_len;
	int one = 1;

	address_set(&from, &from_len, s->address, s->sport);
	address_set(&to, &to_len, s->v6 ? "2001:db8::1" : "192.0.2.1",
		    (uint16_t)(PORT_FIRST + s->slot->index));
	s->fd = socket(from.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (s->fd < 0)
		die("socket");
	setsockopt(s->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(s->fd, (struct sockaddr *)&from, from_len) < 0)
		die("bind of a client");
	s->attempt++;
	s->result = R_NONE;
	s->expect = R_NONE;
	s->blocked = s->solid_block = false;
	s->policy_block = may_say(s->slot, O_BLOCK);
	s->effective_permits = s->effective_blocks = 0;
	s->done_at = s->permit_at = s->block_at = NEVER;
	s->connect_at = now_ns();
	if (s->slot->timeout_permit)
		s->permit_at = s->connect_at + ms(s->slot->timeout_ms);
	else
		s->block_at = s->connect_at + ms(s->slot->timeout_ms);
	if (may_say(s->slot, O_PERMIT))
		s->permit_at = s->connect_at;
	if (may_say(s->slot, O_BLOCK))
		s->block_at = s->connect_at;
	note(s, "connect, attempt %u", s->attempt);
	if (connect(s->fd, (struct sockaddr *)&to, to_len) == 0 || errno != EINPROGRESS)
		die("connect");
	watch(s->fd, EPOLLOUT | EPOLLET);
}

/* Nothing may be there that nothing sent could have permitted. */
static void judge_existence(struct schedule *s, const char *what, uint64_t at)
{
	if (at < s->permit_at)
		fail(s, "%s before a permit", what);
	else if (s->blocked)
		fail(s, "%s after a block", what);
}

static void server_look(struct slot *l)
{
	struct sockaddr_in6 peer;
	socklen_t len = sizeof(peer);
	int fd = accept4(l->listener, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct schedule *s = l->s;

	if (fd < 0)
		return;
	if (!s || ntohs(peer.sin6_port) != s->sport || s->accepts) {
		fail(s, "port %u accepted a connection that nobody made", PORT_FIRST + l->index);
		close(fd);
		return;
	}
	s->accepts++;
	s->accepted_at = now_ns();
	note(s, "the server accepted");
	judge_existence(s, "a connection was accepted", s->accepted_at);
	s->server_fd = fd;
	watch(fd, EPOLLIN | EPOLLET);
}

static void server_echo(struct schedule *s)
{
	char c[16];
	ssize_t n = s->server_fd >= 0 ? recv(s->server_fd, c, sizeof(c), 0) : -1;

	if (n > 0) {
		s->server_bytes += (unsigned)n;
		judge_existence(s, "a byte came through", now_ns());
		if (send(s->server_fd, c, (size_t)n, MSG_NOSIGNAL) != n)
			note(s, "no echo: %s", strerror(errno));
	}
}

static void client_result(struct schedule *s)
{
	struct tcp_info info;
	socklen_t len = sizeof(info), elen = sizeof(int);
	int err = 0;

	if (getsockopt(s->fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0)
		die("TCP_INFO");
	if (info.tcpi_state == TCP_SYN_SENT)
		return;
	getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &err, &elen);
	s->result_at = now_ns();
	if (err == 0 && info.tcpi_state == TCP_ESTABLISHED) {
		s->result = R_CONNECTED;
		note(s, "the client is connected");
		judge_existence(s, "a client was connected", s->result_at);
		if (send(s->fd, "p", 1, MSG_NOSIGNAL) != 1)
			note(s, "the client cannot send: %s", strerror(errno));
		g.connected++;
		return;
	}
	s->result = R_REFUSED;
	note(s, "the client got: %s", strerror(err));
	g.refused++;
	if (err != ECONNREFUSED && err != EHOSTUNREACH && err != EACCES && err != ENETUNREACH)
		fail(s, "a client ended with %s", strerror(err));
	else if (s->result_at < s->block_at)
		fail(s, "a client was refused without a block");
}

static void client_look(struct schedule *s)
{
	char c;

	if (s->fd < 0)
		return;
	if (s->result == R_NONE)
		client_result(s);
	if (s->result == R_CONNECTED && !s->first_byte && recv(s->fd, &c, 1, 0) == 1) {
		s->first_byte = now_ns();
		note(s, "the client got its byte back");
	}
}

static void look(struct schedule *s)
{
	server_look(s->slot);
	server_echo(s);
	client_look(s);
}

/* Something that permits is about to be sent: what exists now was not permitted by it. */
static void permit_comes(struct schedule *s)
{
	look(s);
	if (s->permit_at > now_ns())
		s->permit_at = now_ns();
}

static void block_comes(struct schedule *s)
{
	if (s->block_at > now_ns())
		s->block_at = now_ns();
}

#endif
