/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Many live flows, every byte of which is checked.
 *
 *     flows serve PORT             takes TCP and UDP: checks and echoes streams, counts datagrams
 *     flows tcp ADDRESS PORT N     N connections that send 64 bytes every interval and check the echo
 *     flows udp ADDRESS PORT N     N one-way flows, a numbered datagram every interval
 *
 * Options of the last two: -i MS (interval, 500), -s ADDRESS/COUNT (so many source addresses from this one on, in
 * turn), -t SECONDS (at most). The byte at offset n of a stream is a function of n.
 *
 * Prints lines of JSON: {"ready":N}; on SIGTERM or in the end one for each source address, and a summary. SIGUSR1
 * sets a mark: ends are told relative to it, and datagrams that come behind it are counted apart. On SIGTERM a
 * client sends no more, and waits until what is on its way has come back.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PIECE = 64, SLOTS = 20, GROUPS = 256, SEQS = 65536, DRAIN_MS = 8000, IN_FLIGHT = 256 };
enum state { NEW, OPEN, ENDED, REFUSED };

struct flow {
	int fd;
	enum state state;
	unsigned group;
	bool wrong;
	uint64_t target, tx, rx; /* bytes; UDP: datagrams */
	uint64_t heard, gap;     /* ns: when it last heard something, and the longest silence */
	uint64_t gap_before;     /* ... until the mark */
};

/* One UDP flow of the server, by the last byte of its source and its port. */
struct counted {
	uint32_t got, next, behind_mark;
};

static struct flow *flows;
static unsigned nflows, nsources = 1;
static uint64_t interval = 500, seconds = 120;
static struct sockaddr_in to, from;
static int ep;
static volatile sig_atomic_t stop, mark_asked;
static uint64_t mark, first_end, last_end;
static struct counted *counted[GROUPS];
static unsigned streams_wrong, streams;

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void on_signal(int signo)
{
	if (signo == SIGUSR1)
		mark_asked = 1;
	else
		stop = 1;
}

static uint8_t byte_at(uint64_t n)
{
	return (uint8_t)(n ^ n >> 8 ^ n >> 16);
}

static void take_mark(void)
{
	if (!mark_asked)
		return;
	mark_asked = 0;
	mark = now_ns();
	first_end = last_end = 0;
	for (unsigned i = 0; i < nflows; i++) {
		flows[i].gap_before = flows[i].gap;
		flows[i].gap = 0;
	}
	printf("{\"mark\":true}\n");
	fflush(stdout);
}

static void flow_end(struct flow *f, enum state s)
{
	uint64_t now = now_ns();

	f->state = s;
	close(f->fd);
	f->fd = -1;
	if (!first_end)
		first_end = now;
	last_end = now;
}

/* False: it is over. */
static bool flow_send(struct flow *f)
{
	uint8_t piece[1024];

	while (f->tx < f->target) {
		size_t n = f->target - f->tx < sizeof(piece) ? f->target - f->tx : sizeof(piece);
		ssize_t r;

		for (size_t i = 0; i < n; i++)
			piece[i] = byte_at(f->tx + i);
		r = send(f->fd, piece, n, MSG_NOSIGNAL);
		if (r < 0)
			return errno == EAGAIN || errno == EINTR;
		f->tx += (size_t)r;
	}
	return true;
}

static bool flow_receive(struct flow *f)
{
	uint8_t piece[4096];

	for (;;) {
		ssize_t r = recv(f->fd, piece, sizeof(piece), 0);
		uint64_t now;

		if (r < 0)
			return errno == EAGAIN || errno == EINTR;
		if (r == 0)
			return false;
		for (ssize_t i = 0; i < r; i++)
			f->wrong |= piece[i] != byte_at(f->rx + (uint64_t)i);
		f->rx += (uint64_t)r;
		now = now_ns();
		if (f->heard && now - f->heard > f->gap)
			f->gap = now - f->heard;
		f->heard = now;
	}
}

static void watch(struct flow *f, uint32_t events)
{
	struct epoll_event e = {.events = events | EPOLLET, .data.ptr = f};

	if (epoll_ctl(ep, EPOLL_CTL_ADD, f->fd, &e) < 0)
		die("epoll_ctl");
}

/* ---- the server ---- */

static void serve_stream(struct flow *f, uint32_t events)
{
	bool before = f->wrong, alive = !(events & EPOLLERR) && flow_receive(f);

	streams_wrong += f->wrong && !before;
	f->target = f->rx;
	if (alive && flow_send(f))
		return;
	close(f->fd);
	free(f);
}

static void serve_accept(int listener)
{
	int fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
		struct flow *f = calloc(1, sizeof(*f));

		if (!f)
			die("calloc");
		f->fd = fd;
		streams++;
		watch(f, EPOLLIN | EPOLLOUT);
	}
}

static void serve_datagrams(int fd)
{
	struct sockaddr_in peer;
	socklen_t len = sizeof(peer);
	uint32_t seq;

	while (recvfrom(fd, &seq, sizeof(seq), MSG_TRUNC, (struct sockaddr *)&peer, &len) >= 4) {
		unsigned group = ntohl(peer.sin_addr.s_addr) & 0xff;
		struct counted *c = counted[group];

		if (!c)
			c = counted[group] = calloc(SEQS, sizeof(*c));
		if (!c)
			die("calloc");
		c += ntohs(peer.sin_port);
		c->got++;
		c->next = seq + 1 > c->next ? seq + 1 : c->next;
		c->behind_mark += mark != 0;
		len = sizeof(peer);
	}
}

static void serve_report(void)
{
	for (unsigned g = 0; g < GROUPS; g++) {
		unsigned n = 0;
		uint64_t got = 0, lost = 0, behind = 0;

		for (unsigned p = 0; counted[g] && p < SEQS; p++) {
			n += counted[g][p].got != 0;
			got += counted[g][p].got;
			lost += counted[g][p].next - counted[g][p].got;
			behind += counted[g][p].behind_mark;
		}
		if (n)
			printf("{\"udp\":%u,\"flows\":%u,\"got\":%llu,\"lost\":%llu,\"behind\":%llu}"
			       "\n",
			       g, n, (unsigned long long)got, (unsigned long long)lost,
			       (unsigned long long)behind);
	}
	printf("{\"summary\":\"server\",\"streams\":%u,\"wrong\":%u}\n", streams, streams_wrong);
}

static int server_socket(int type, uint16_t port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = socket(AF_INET, type | SOCK_NONBLOCK, 0), one = 1, big = 64 << 20;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &big, sizeof(big));
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		die("bind");
	if (type == SOCK_STREAM && listen(fd, 65535) < 0)
		die("listen");
	return fd;
}

static int serve(uint16_t port)
{
	struct flow tcp = {.fd = server_socket(SOCK_STREAM, port)};
	struct flow udp = {.fd = server_socket(SOCK_DGRAM, port)};
	struct epoll_event e[256];

	watch(&tcp, EPOLLIN);
	watch(&udp, EPOLLIN);
	printf("{\"ready\":0}\n");
	fflush(stdout);
	while (!stop) {
		int n = epoll_wait(ep, e, 256, 1000);

		if (mark_asked) {
			serve_datagrams(udp.fd); /* what is here came before it */
			take_mark();
		}
		for (int i = 0; i < n; i++) {
			if (e[i].data.ptr == &tcp)
				serve_accept(tcp.fd);
			else if (e[i].data.ptr == &udp)
				serve_datagrams(udp.fd);
			else
				serve_stream(e[i].data.ptr, e[i].events);
		}
	}
	serve_report();
	return 0;
}

/* ---- the clients ---- */

static void flow_open(struct flow *f, unsigned number, int type)
{
	struct sockaddr_in a = from;
	int one = 1;

	f->group = number % nsources;
	f->fd = socket(AF_INET, type | SOCK_NONBLOCK, 0);
	if (f->fd < 0)
		die("socket");
	a.sin_addr.s_addr = htonl(ntohl(from.sin_addr.s_addr) + f->group);
	setsockopt(f->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
	setsockopt(f->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (bind(f->fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		die("bind");
	if (connect(f->fd, (struct sockaddr *)&to, sizeof(to)) < 0 && errno != EINPROGRESS)
		die("connect");
	if (type == SOCK_STREAM)
		watch(f, EPOLLIN | EPOLLOUT);
	else
		f->state = OPEN;
}

static void client_event(struct flow *f, uint32_t events, unsigned *opened)
{
	int error = 0;
	socklen_t len = sizeof(error);

	if (f->state == NEW) {
		getsockopt(f->fd, SOL_SOCKET, SO_ERROR, &error, &len);
		++*opened;
		if (error || events & EPOLLERR) {
			flow_end(f, REFUSED);
			return;
		}
		f->state = OPEN;
	}
	if (f->state != OPEN)
		return;
	if (!flow_receive(f) || !flow_send(f))
		flow_end(f, ENDED);
}

/* True: there may be more. */
static bool client_poll(int ms, unsigned *opened)
{
	struct epoll_event e[256];
	int n = epoll_wait(ep, e, 256, ms);

	take_mark();
	for (int i = 0; i < n; i++)
		client_event(e[i].data.ptr, e[i].events, opened);
	return n == 256;
}

static void client_connect(int type)
{
	unsigned started = 0, opened = 0;
	uint64_t limit = now_ns() + 30 * 1000000000ull;

	while ((type == SOCK_STREAM ? opened : started) < nflows && !stop && now_ns() < limit) {
		for (; started < nflows && started - opened < IN_FLIGHT; started++) {
			flow_open(&flows[started], started, type);
			opened += type == SOCK_DGRAM;
		}
		if (type == SOCK_STREAM)
			client_poll(20, &opened);
	}
	printf("{\"ready\":%u}\n", opened);
	fflush(stdout);
}

/* One part of the flows, so that they do not all speak at once. */
static void client_speak(unsigned slot, int type)
{
	for (unsigned i = slot; i < nflows; i += SLOTS) {
		struct flow *f = &flows[i];
		uint32_t seq = (uint32_t)f->tx;

		if (f->state != OPEN)
			continue;
		if (type == SOCK_DGRAM) {
			f->tx += send(f->fd, &seq, sizeof(seq), 0) == sizeof(seq);
			continue;
		}
		f->target += PIECE;
		if (!flow_send(f))
			flow_end(f, ENDED);
	}
}

static bool all_is_back(void)
{
	for (unsigned i = 0; i < nflows; i++)
		if (flows[i].state == OPEN && flows[i].rx < flows[i].target)
			return false;
	return true;
}

static void client_run(int type)
{
	uint64_t start = now_ns(), step = interval * 1000000u / SLOTS, next = start;
	unsigned slot = 0, ignored = 0;
	int ms;

	/* What the machine is too busy for is left out, not made up for: that would never end. */
	while (!stop && now_ns() - start < seconds * 1000000000u) {
		if (now_ns() >= next) {
			client_speak(slot++ % SLOTS, type);
			next = now_ns() > next + interval * 1000000u ? now_ns() : next + step;
		}
		ms = now_ns() < next ? (int)(step / 1000000u / 2 + 1) : 0;
		while (client_poll(ms, &ignored) && !stop)
			;
	}
	start = now_ns();
	while (type == SOCK_STREAM && !all_is_back() && now_ns() - start < DRAIN_MS * 1000000ull)
		client_poll(20, &ignored);
}

struct sum {
	unsigned flows, open, ended, refused, wrong;
	uint64_t missing, gap, before, bytes;
};

static void sum_add(struct sum *s, const struct flow *f)
{
	s->flows++;
	s->open += f->state == OPEN;
	s->ended += f->state == ENDED;
	s->refused += f->state == REFUSED || f->state == NEW;
	s->wrong += f->wrong;
	s->bytes += f->tx;
	if (f->state != OPEN)
		return;
	s->missing += f->target - f->rx;
	s->gap = f->gap > s->gap ? f->gap : s->gap;
	s->before = f->gap_before > s->before ? f->gap_before : s->before;
}

static void sum_print(const char *what, unsigned group, const struct sum *s)
{
	printf("{\"%s\":%u,\"flows\":%u,\"open\":%u,\"ended\":%u,\"refused\":%u,\"wrong\":%u,"
	       "\"sent\":%llu,\"missing\":%llu,\"gap_ms\":%llu,\"gap_before_ms\":%llu}\n",
	       what, group, s->flows, s->open, s->ended, s->refused, s->wrong,
	       (unsigned long long)s->bytes, (unsigned long long)s->missing,
	       (unsigned long long)(s->gap / 1000000u), (unsigned long long)(s->before / 1000000u));
}

static int client(int type)
{
	struct sum all = {0}, group[GROUPS] = {{0}};

	flows = calloc(nflows, sizeof(*flows));
	if (!flows)
		die("calloc");
	client_connect(type);
	client_run(type);
	for (unsigned i = 0; i < nflows; i++) {
		sum_add(&all, &flows[i]);
		sum_add(&group[flows[i].group], &flows[i]);
	}
	for (unsigned g = 0; g < nsources; g++)
		sum_print("source", g, &group[g]);
	sum_print("summary", 0, &all);
	if (mark && last_end)
		printf("{\"mark\":0,\"first_end_ms\":%lld,\"last_end_ms\":%lld}\n",
		       (long long)(first_end - mark) / 1000000,
		       (long long)(last_end - mark) / 1000000);
	return 0;
}

static void source_range(char *text)
{
	char *count = strchr(text, '/');

	if (count)
		*count++ = '\0';
	from.sin_family = AF_INET;
	nsources = count ? (unsigned)strtoul(count, NULL, 10) : 1;
	if (inet_pton(AF_INET, text, &from.sin_addr) != 1 || !nsources || nsources > GROUPS)
		exit(2);
}

int main(int argc, char **argv)
{
	const struct sigaction sa = {.sa_handler = on_signal};
	int c;

	while ((c = getopt(argc, argv, "i:s:t:")) != -1) {
		if (c == 'i')
			interval = strtoul(optarg, NULL, 10);
		else if (c == 's')
			source_range(optarg);
		else if (c == 't')
			seconds = strtoul(optarg, NULL, 10);
		else
			return 2;
	}
	argv += optind;
	argc -= optind;
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGUSR1, &sa, NULL);
	ep = epoll_create1(0);
	if (ep < 0)
		die("epoll_create1");
	if (argc == 2 && !strcmp(argv[0], "serve"))
		return serve((uint16_t)strtoul(argv[1], NULL, 10));
	if (argc != 4 || interval < SLOTS)
		return 2;
	to.sin_family = AF_INET;
	to.sin_port = htons((uint16_t)strtoul(argv[2], NULL, 10));
	nflows = (unsigned)strtoul(argv[3], NULL, 10);
	if (inet_pton(AF_INET, argv[1], &to.sin_addr) != 1)
		return 2;
	return client(strcmp(argv[0], "udp") ? SOCK_STREAM : SOCK_DGRAM);
}
