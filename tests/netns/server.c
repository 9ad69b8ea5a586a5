/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A server of plain sockets that knows nothing of pend: it accepts and echoes TCP, echoes UDP, and writes down
 * every peer that reached it and when. What it did not see, did not get through.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PEERS       8192    /* UDP peers followed, a power of two */
#define NUMBERS_MAX 1048576 /* datagram numbers followed for each */

static const char usage_text[] =
	"usage: server [-o FILE] [-s] [-b BACKLOG] [-n] [tcp|udp]:PORT...\n"
	"  -o FILE   where what was seen is written, a line of JSON each (standard output)\n"
	"  -s        silent: echo nothing\n"
	"  -b N      listen backlog (4096)\n"
	"  -n        do not accept: connections stay in the backlog\n"
	"{\"event\":\"accept\",\"at\":MS,\"peer\":\"ADDR:PORT\",\"port\":N}, {\"event\":\"data\",...} for the first\n"
	"bytes of each, {\"event\":\"datagram\",...} for the first of each UDP peer. On SIGUSR1 and at the end a\n"
	"{\"event\":\"peer\",\"received\":N,\"missing\":N,\"reordered\":N,\"duplicates\":N} for each UDP peer\n"
	"and a {\"event\":\"summary\",\"accepted\":N,\"datagrams\":N}.\n";

struct peer {
	struct sockaddr_in6 address;
	unsigned received, reordered, duplicates;
	uint32_t top;  /* one above the highest number seen */
	uint32_t size; /* of the bitmap, in numbers */
	uint8_t *seen;
	int port;
};

enum kind { LISTENER, DATAGRAM, STREAM, SIGNALS };
struct endpoint {
	enum kind kind;
	int fd, port;
	bool had_data;
	struct sockaddr_in6 peer;
};

static struct {
	FILE *out;
	bool silent, no_accept;
	int backlog, epoll;
	unsigned long accepted, datagrams;
	struct peer *peers;
} server = {.backlog = 4096};

static void die(const char *what)
{
	perror(what);
	exit(2);
}

static double at_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* IPv4 peers come as mapped addresses: print what they are. */
static const char *show(const struct sockaddr_in6 *a)
{
	static char text[80];
	char ip[INET6_ADDRSTRLEN];

	if (IN6_IS_ADDR_V4MAPPED(&a->sin6_addr)) {
		inet_ntop(AF_INET, &a->sin6_addr.s6_addr[12], ip, sizeof(ip));
		snprintf(text, sizeof(text), "%s:%u", ip, ntohs(a->sin6_port));
	} else {
		inet_ntop(AF_INET6, &a->sin6_addr, ip, sizeof(ip));
		snprintf(text, sizeof(text), "[%s]:%u", ip, ntohs(a->sin6_port));
	}
	return text;
}

static void note(const char *event, const struct sockaddr_in6 *peer, int port)
{
	fprintf(server.out, "{\"event\":\"%s\",\"at\":%.1f,\"peer\":\"%s\",\"port\":%d}\n", event,
		at_ms(), show(peer), port);
	fflush(server.out);
}

static struct peer *peer_get(const struct sockaddr_in6 *a, int port)
{
	uint32_t hash = 2166136261u;

	for (int i = 0; i < 16; i++)
		hash = (hash ^ a->sin6_addr.s6_addr[i]) * 16777619u;
	hash = (hash ^ a->sin6_port) * 16777619u;
	for (unsigned i = 0; i < PEERS; i++) {
		struct peer *p = &server.peers[(hash + i) % PEERS];

		if (!p->received) {
			p->address = *a;
			p->port = port;
			return p;
		}
		if (p->port == port && p->address.sin6_port == a->sin6_port &&
		    !memcmp(&p->address.sin6_addr, &a->sin6_addr, 16))
			return p;
	}
	return NULL;
}

static bool peer_grow(struct peer *p, uint32_t number)
{
	uint32_t size = p->size ? p->size : 1024;
	uint8_t *seen;

	while (size <= number)
		size *= 2;
	if (size == p->size)
		return true;
	seen = realloc(p->seen, size / 8);
	if (!seen)
		return false;
	memset(seen + p->size / 8, 0, (size - p->size) / 8);
	p->seen = seen;
	p->size = size;
	return true;
}

static void peer_count(struct peer *p, uint32_t number)
{
	if (!p->received++)
		note("datagram", &p->address, p->port);
	if (number >= NUMBERS_MAX || !peer_grow(p, number))
		return;
	if (p->seen[number / 8] & 1 << number % 8)
		p->duplicates++;
	else if (number < p->top)
		p->reordered++;
	p->seen[number / 8] |= (uint8_t)(1 << number % 8);
	if (number >= p->top)
		p->top = number + 1;
}

static void report(void)
{
	for (unsigned i = 0; i < PEERS; i++) {
		const struct peer *p = &server.peers[i];
		unsigned missing = 0;

		if (!p->received)
			continue;
		for (uint32_t n = 0; n < p->top && n < p->size; n++)
			missing += !(p->seen[n / 8] & 1 << n % 8);
		fprintf(server.out,
			"{\"event\":\"peer\",\"peer\":\"%s\",\"port\":%d,\"received\":%u,\"missing\":%u,"
			"\"reordered\":%u,\"duplicates\":%u}\n",
			show(&p->address), p->port, p->received, missing, p->reordered,
			p->duplicates);
	}
	fprintf(server.out, "{\"event\":\"summary\",\"accepted\":%lu,\"datagrams\":%lu}\n",
		server.accepted, server.datagrams);
	fflush(server.out);
}

static void watch(enum kind kind, int fd, int port, const struct sockaddr_in6 *peer)
{
	struct endpoint *e = calloc(1, sizeof(*e));
	struct epoll_event want = {.events = EPOLLIN, .data.ptr = e};

	if (!e)
		die("server");
	*e = (struct endpoint){.kind = kind, .fd = fd, .port = port};
	if (peer)
		e->peer = *peer;
	if (epoll_ctl(server.epoll, EPOLL_CTL_ADD, fd, &want) < 0)
		die("server: epoll_ctl");
}

static void open_port(const char *spec)
{
	bool udp = !strncmp(spec, "udp:", 4);
	int port = atoi(strncmp(spec, "tcp:", 4) && !udp ? spec : spec + 4), one = 1, zero = 0;
	int size = 64 << 20, fd;
	struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};

	fd = socket(AF_INET6, (udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		die("server: socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
	if (udp)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	if (bind(fd, (struct sockaddr *)&any, sizeof(any)) < 0 ||
	    (!udp && listen(fd, server.backlog) < 0))
		die(spec);
	if (udp || !server.no_accept)
		watch(udp ? DATAGRAM : LISTENER, fd, port, NULL);
}

static void accept_all(struct endpoint *e)
{
	struct sockaddr_in6 peer;
	socklen_t len;
	int fd;

	while (len = sizeof(peer), (fd = accept4(e->fd, (struct sockaddr *)&peer, &len,
						 SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		server.accepted++;
		note("accept", &peer, e->port);
		watch(STREAM, fd, e->port, &peer);
	}
}

static void echo_stream(struct endpoint *e)
{
	char data[65536];
	ssize_t n = recv(e->fd, data, sizeof(data), 0);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		close(e->fd);
		free(e);
		return;
	}
	if (!e->had_data)
		note("data", &e->peer, e->port);
	e->had_data = true;
	/* What does not fit is dropped: the tests' payloads fit. */
	if (!server.silent && send(e->fd, data, (size_t)n, MSG_NOSIGNAL) < 0 && errno != EAGAIN) {
		close(e->fd);
		free(e);
	}
}

static void echo_datagrams(struct endpoint *e)
{
	char data[65536];
	struct sockaddr_in6 from;

	for (int i = 0; i < 256; i++) {
		socklen_t len = sizeof(from);
		ssize_t n = recvfrom(e->fd, data, sizeof(data), 0, (struct sockaddr *)&from, &len);
		struct peer *p;
		uint32_t number = 0;

		if (n < 0)
			return;
		server.datagrams++;
		p = peer_get(&from, e->port);
		if (n >= 4)
			memcpy(&number, data, 4);
		if (p)
			peer_count(p, ntohl(number));
		if (!server.silent)
			sendto(e->fd, data, (size_t)n, 0, (struct sockaddr *)&from, len);
	}
}

/* Returns false when it is time to end. */
static bool on_signal(int fd)
{
	struct signalfd_siginfo info;

	if (read(fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return true;
	report();
	return info.ssi_signo == SIGUSR1;
}

static void run(void)
{
	struct epoll_event events[128];

	for (;;) {
		int n = epoll_wait(server.epoll, events, 128, -1);

		for (int i = 0; i < n; i++) {
			struct endpoint *e = events[i].data.ptr;

			if (e->kind == LISTENER)
				accept_all(e);
			else if (e->kind == DATAGRAM)
				echo_datagrams(e);
			else if (e->kind == STREAM)
				echo_stream(e);
			else if (!on_signal(e->fd))
				return;
		}
	}
}

static void setup(void)
{
	struct rlimit files;
	sigset_t set;

	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	server.epoll = epoll_create1(EPOLL_CLOEXEC);
	server.peers = calloc(PEERS, sizeof(*server.peers));
	if (server.epoll < 0 || !server.peers)
		die("server");
	watch(SIGNALS, signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC), 0, NULL);
}

int main(int argc, char **argv)
{
	int o;

	server.out = stdout;
	while ((o = getopt(argc, argv, "o:sb:n")) != -1) {
		if (o == 'o' && !(server.out = fopen(optarg, "ae")))
			die(optarg);
		else if (o == 's')
			server.silent = true;
		else if (o == 'b')
			server.backlog = atoi(optarg);
		else if (o == 'n')
			server.no_accept = true;
		else if (o == '?')
			return fputs(usage_text, stderr), 2;
	}
	if (optind == argc)
		return fputs(usage_text, stderr), 2;
	setup();
	while (optind < argc)
		open_port(argv[optind++]);
	fprintf(server.out, "{\"event\":\"ready\",\"at\":%.1f}\n", at_ms());
	fflush(server.out);
	run();
	return 0;
}
