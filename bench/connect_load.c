/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The load of the benchmark: N TCP connections in all, K of them being opened at any time, their sources
 * spread over several addresses; each is reset as soon as it is open, so that no port stays taken. With
 * `serve` it is the other side: accept, and forget.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif
#define TOTAL_MAX        1000000
#define OPEN_MAX_AT_ONCE 4096
#define LIMIT_SECONDS    60

static const char usage_text[] =
	"usage: connect_load ADDRESS PORT TOTAL OPEN SOURCE SOURCES\n"
	"       connect_load serve PORT\n"
	"The sources are SOURCE and those counted up from it. Prints\n"
	"{\"connected\":N,\"failed\":N,\"seconds\":S,\"rate\":R,\"p50_us\":L,\"p99_us\":L}.\n";

struct load {
	struct sockaddr_in peer, source;
	unsigned total, open, sources, started, done, failed;
	int epoll;
	double *begun, *latency; /* by connection number */
};

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* The number and the descriptor travel in the event. */
static void start(struct load *l)
{
	uint32_t n = l->started++;
	struct sockaddr_in from = l->source;
	struct linger hard = {.l_onoff = 1, .l_linger = 0};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
	struct epoll_event want = {.events = EPOLLOUT,
				   .data.u64 = (uint64_t)n << 32 | (uint32_t)fd};

	if (fd < 0)
		die("socket");
	from.sin_addr.s_addr = htonl(ntohl(from.sin_addr.s_addr) + n % l->sources);
	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	if (bind(fd, (struct sockaddr *)&from, sizeof(from)) < 0)
		die("bind");
	l->begun[n] = now();
	if (connect(fd, (struct sockaddr *)&l->peer, sizeof(l->peer)) < 0 && errno != EINPROGRESS)
		die("connect");
	if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, fd, &want) < 0)
		die("epoll_ctl");
}

static void finish(struct load *l, uint64_t data)
{
	int fd = (int)(uint32_t)data, error = 0;
	uint32_t n = (uint32_t)(data >> 32);
	socklen_t len = sizeof(error);

	getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);
	l->latency[n] = now() - l->begun[n];
	l->failed += error != 0;
	l->done++;
	close(fd);
}

static void run(struct load *l)
{
	struct epoll_event events[256];
	double limit = now() + LIMIT_SECONDS;

	while (l->done < l->total) {
		int n;

		while (l->started < l->total && l->started - l->done < l->open)
			start(l);
		n = epoll_wait(l->epoll, events, 256, 1000);
		for (int i = 0; i < n; i++)
			finish(l, events[i].data.u64);
		if (now() > limit) {
			l->failed += l->total - l->done;
			break;
		}
	}
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void open_files(void)
{
	struct rlimit files;

	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
}

static _Noreturn void serve(int port)
{
	struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1, peer;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&any, sizeof(any)) < 0 || listen(fd, 65535) < 0)
		die("serve");
	puts("ready");
	fflush(stdout);
	for (;;) {
		peer = accept(fd, NULL, NULL);
		if (peer >= 0)
			close(peer);
	}
}

static void print(struct load *l, double seconds)
{
	unsigned good = l->done;

	qsort(l->latency, good, sizeof(*l->latency), by_value);
	printf("{\"connected\":%u,\"failed\":%u,\"seconds\":%.4f,\"rate\":%.1f,\"p50_us\":%.1f,"
	       "\"p99_us\":%.1f}\n",
	       l->total - l->failed, l->failed, seconds, (l->total - l->failed) / seconds,
	       good ? l->latency[good / 2] * 1e6 : 0, good ? l->latency[good * 99 / 100] * 1e6 : 0);
}

int main(int argc, char **argv)
{
	struct load l = {.peer.sin_family = AF_INET, .source.sin_family = AF_INET};
	double begin;

	open_files();
	if (argc == 3 && !strcmp(argv[1], "serve"))
		serve(atoi(argv[2]));
	if (argc != 7 || inet_pton(AF_INET, argv[1], &l.peer.sin_addr) != 1 ||
	    inet_pton(AF_INET, argv[5], &l.source.sin_addr) != 1)
		return fputs(usage_text, stderr), 2;
	l.peer.sin_port = htons((uint16_t)atoi(argv[2]));
	l.total = (unsigned)atoi(argv[3]);
	l.open = (unsigned)atoi(argv[4]);
	l.sources = (unsigned)atoi(argv[6]);
	if (!l.total || l.total > TOTAL_MAX || !l.open || l.open > OPEN_MAX_AT_ONCE || !l.sources)
		return fputs(usage_text, stderr), 2;
	l.begun = calloc(l.total, sizeof(double));
	l.latency = calloc(l.total, sizeof(double));
	l.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (!l.begun || !l.latency || l.epoll < 0)
		die("connect_load");
	begin = now();
	run(&l);
	print(&l, now() - begin);
	return l.failed != 0;
}
