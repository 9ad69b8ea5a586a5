/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A client of plain sockets that knows nothing of pend: it opens connections, or sends numbered datagrams,
 * and prints what became of each as one line of JSON. The kernel tests judge by what it and the server saw.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif
#define SOURCES_MAX 256
#define PAYLOAD_MAX 65536

static const char usage_text[] =
	"usage: client [OPTION]... ADDRESS PORT\n"
	"  -n COUNT        connections in all (1)\n"
	"  -c COUNT        at most so many at a time (all)\n"
	"  -t MS           give up on one after so long (10000)\n"
	"  -s ADDR[,ADDR]  source addresses, taken in turn\n"
	"  -P PORT         source port of the first, counted up\n"
	"  -i MS           between one start and the next (0)\n"
	"  -l BYTES        sent on each, and its echo awaited (0: only connect)\n"
	"  -k MS           keep each open for so long after that (0)\n"
	"  -u              UDP: -d datagrams, each awaited back\n"
	"  -d COUNT        datagrams a socket (1)\n"
	"  -g MS           between two datagrams (0)\n"
	"  -r              close with a reset, so that no port stays taken\n"
	"  -q              only the summary\n"
	"A line: {\"n\":0,\"source\":\"..\",\"result\":\"connected|answered|refused|unreachable|timeout|error\",\n"
	"  \"ms\":..,\"at\":..,\"sent\":..,\"received\":..}; ms is the time to connect or to the first answer, at\n"
	"  the moment of that, in ms of the system clock. Exit status: 0 all connected, 1 not all, 2 usage.\n";

enum state { FREE, CONNECTING, EXCHANGING, KEEPING };

struct conn {
	enum state state;
	int fd;
	unsigned n;
	double started, ready, deadline, at, next_send;
	size_t sent, received; /* bytes; datagrams for UDP */
	const char *result;
};

struct client {
	unsigned count, concurrency, datagrams, started, finished, good, sources;
	int timeout_ms, interval_ms, keep_ms, gap_ms, source_port, epoll;
	size_t payload;
	bool udp, reset, quiet;
	struct sockaddr_storage peer, source[SOURCES_MAX];
	socklen_t peer_len;
	struct conn *conns;
	double next_start;
};

static double clock_ms(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static double now_ms(void)
{
	return clock_ms(CLOCK_MONOTONIC);
}

static void die(const char *what)
{
	perror(what);
	exit(2);
}

static socklen_t parse_address(const char *text, const char *port, struct sockaddr_storage *out)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)out;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;

	memset(out, 0, sizeof(*out));
	if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons((uint16_t)atoi(port));
		return sizeof(*v4);
	}
	if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons((uint16_t)atoi(port));
		return sizeof(*v6);
	}
	fprintf(stderr, "client: %s is no address\n", text);
	exit(2);
}

static void format_address(const struct sockaddr_storage *a, char *out, size_t size)
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)a;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)a;
	char text[INET6_ADDRSTRLEN] = "?";

	if (a->ss_family == AF_INET)
		snprintf(out, size, "%s:%u", inet_ntop(AF_INET, &v4->sin_addr, text, sizeof(text)),
			 ntohs(v4->sin_port));
	else
		snprintf(out, size, "[%s]:%u",
			 inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof(text)),
			 ntohs(v6->sin6_port));
}

/* Bind to the source that is this connection's turn, if sources or ports were asked for. */
static int bind_source(const struct client *c, const struct conn *k)
{
	struct sockaddr_storage a = c->sources ? c->source[k->n % c->sources] : c->peer;
	int one = 1;
	uint16_t port = htons((uint16_t)(c->source_port ? c->source_port + (int)k->n : 0));

	if (!c->sources && !c->source_port)
		return 0;
	if (a.ss_family == AF_INET) {
		if (!c->sources)
			((struct sockaddr_in *)&a)->sin_addr.s_addr = INADDR_ANY;
		((struct sockaddr_in *)&a)->sin_port = port;
	} else {
		if (!c->sources)
			((struct sockaddr_in6 *)&a)->sin6_addr = in6addr_any;
		((struct sockaddr_in6 *)&a)->sin6_port = port;
	}
	setsockopt(k->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (!c->source_port)
		setsockopt(k->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
	return bind(k->fd, (struct sockaddr *)&a, c->peer_len);
}

static void conn_print(const struct client *c, const struct conn *k)
{
	struct sockaddr_storage local = {0};
	socklen_t len = sizeof(local);
	char text[80] = "?";

	if (c->quiet)
		return;
	if (getsockname(k->fd, (struct sockaddr *)&local, &len) == 0)
		format_address(&local, text, sizeof(text));
	printf("{\"n\":%u,\"source\":\"%s\",\"result\":\"%s\",\"ms\":%.1f,\"at\":%.1f,"
	       "\"sent\":%zu,\"received\":%zu}\n",
	       k->n, text, k->result, k->ready - k->started, k->at, k->sent, k->received);
	fflush(stdout);
}

static void conn_end(struct client *c, struct conn *k)
{
	struct linger hard = {.l_onoff = 1, .l_linger = 0};

	conn_print(c, k);
	if (!strcmp(k->result, "connected") || !strcmp(k->result, "answered"))
		c->good++;
	if (c->reset)
		setsockopt(k->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	close(k->fd);
	k->state = FREE;
	c->finished++;
}

static void conn_result(struct conn *k, const char *result)
{
	if (k->result)
		return;
	k->result = result;
	k->ready = now_ms();
	k->at = clock_ms(CLOCK_REALTIME);
}

static void conn_fail(struct client *c, struct conn *k, int error)
{
	const char *what = "error";

	if (error == ECONNREFUSED)
		what = "refused";
	else if (error == ETIMEDOUT)
		what = "timeout";
	else if (error == EHOSTUNREACH || error == ENETUNREACH || error == EACCES)
		what = "unreachable";
	conn_result(k, what);
	conn_end(c, k);
}

static void conn_keep(struct client *c, struct conn *k)
{
	if (!c->keep_ms) {
		conn_end(c, k);
		return;
	}
	k->state = KEEPING;
	k->deadline = now_ms() + c->keep_ms;
}

/* Datagrams carry their number, so that the server can tell lost from late. */
static void udp_send(struct client *c, struct conn *k)
{
	char data[PAYLOAD_MAX] = {0};
	uint32_t number = htonl((uint32_t)k->sent);
	size_t len = c->payload < sizeof(number) ? sizeof(number) : c->payload;

	memcpy(data, &number, sizeof(number));
	if (send(k->fd, data, len, 0) < 0) {
		if (errno == EAGAIN || errno == ENOBUFS)
			return;
		conn_fail(c, k, errno);
		return;
	}
	k->sent++;
	k->next_send = now_ms() + c->gap_ms;
}

static void udp_receive(struct client *c, struct conn *k)
{
	char data[PAYLOAD_MAX];

	for (;;) {
		ssize_t n = recv(k->fd, data, sizeof(data), 0);

		if (n < 0) {
			if (errno != EAGAIN)
				conn_fail(c, k, errno);
			return;
		}
		conn_result(k, "answered");
		if (++k->received == c->datagrams) {
			conn_keep(c, k);
			return;
		}
	}
}

static void tcp_write(struct client *c, struct conn *k)
{
	static const char data[PAYLOAD_MAX];
	struct epoll_event want = {.events = EPOLLIN, .data.ptr = k};

	while (k->sent < c->payload) {
		size_t left = c->payload - k->sent;
		ssize_t n = send(k->fd, data, left < sizeof(data) ? left : sizeof(data),
				 MSG_NOSIGNAL);

		if (n < 0)
			return;
		k->sent += (size_t)n;
	}
	epoll_ctl(c->epoll, EPOLL_CTL_MOD, k->fd, &want);
}

static void tcp_read(struct client *c, struct conn *k)
{
	char data[PAYLOAD_MAX];

	for (;;) {
		ssize_t n = recv(k->fd, data, sizeof(data), 0);

		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) { /* ended by the other side: the counts tell how far it got */
			conn_end(c, k);
			return;
		}
		k->received += (size_t)n;
		if (k->state == EXCHANGING && k->received >= c->payload) {
			conn_keep(c, k);
			return;
		}
	}
}

static void tcp_connected(struct client *c, struct conn *k)
{
	struct epoll_event want = {.events = EPOLLIN, .data.ptr = k};
	int error = 0;
	socklen_t len = sizeof(error);

	getsockopt(k->fd, SOL_SOCKET, SO_ERROR, &error, &len);
	if (error) {
		conn_fail(c, k, error);
		return;
	}
	conn_result(k, "connected");
	k->state = EXCHANGING;
	if (c->payload) {
		tcp_write(c, k);
		return;
	}
	epoll_ctl(c->epoll, EPOLL_CTL_MOD, k->fd, &want);
	conn_keep(c, k);
}

static void conn_event(struct client *c, struct conn *k, uint32_t events)
{
	if (k->state == FREE)
		return;
	if (c->udp) {
		udp_receive(c, k);
		return;
	}
	if (k->state == CONNECTING) {
		tcp_connected(c, k);
		return;
	}
	if (events & EPOLLOUT)
		tcp_write(c, k);
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		tcp_read(c, k);
}

static void conn_start(struct client *c, struct conn *k)
{
	struct epoll_event want = {.events = c->udp ? EPOLLIN : EPOLLOUT, .data.ptr = k};

	*k = (struct conn){.state = c->udp ? EXCHANGING : CONNECTING, .n = c->started++};
	k->fd = socket(c->peer.ss_family, (c->udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_NONBLOCK, 0);
	if (k->fd < 0)
		die("client: socket");
	k->started = now_ms();
	k->deadline = k->started + c->timeout_ms;
	if (bind_source(c, k) < 0)
		die("client: bind");
	if (connect(k->fd, (struct sockaddr *)&c->peer, c->peer_len) < 0 && errno != EINPROGRESS) {
		conn_fail(c, k, errno);
		return;
	}
	if (epoll_ctl(c->epoll, EPOLL_CTL_ADD, k->fd, &want) < 0)
		die("client: epoll_ctl");
	if (c->udp)
		udp_send(c, k);
}

/* Time out, send what is due, start what may start; returns how long nothing more is due. */
static int client_turn(struct client *c)
{
	double now = now_ms(), wake = now + 50;

	for (unsigned i = 0; i < c->concurrency; i++) {
		struct conn *k = &c->conns[i];

		if (k->state == FREE && c->started < c->count && now >= c->next_start) {
			conn_start(c, k);
			c->next_start = (c->interval_ms ? now : 0) + c->interval_ms;
		}
		if (k->state == FREE)
			continue;
		while (c->udp && k->state == EXCHANGING && k->sent < c->datagrams &&
		       now_ms() >= k->next_send) {
			size_t before = k->sent;

			udp_send(c, k);
			if (k->sent == before || c->gap_ms || k->sent % 64 == 0)
				break;
		}
		if (k->state != FREE && now >= k->deadline) {
			conn_result(k, "timeout");
			conn_end(c, k);
		} else if (k->deadline < wake) {
			wake = k->deadline;
		}
		if (c->udp && k->state == EXCHANGING && k->sent < c->datagrams &&
		    k->next_send < wake)
			wake = k->next_send;
	}
	if (c->started < c->count && c->next_start < wake && c->next_start > now)
		wake = c->next_start;
	return wake <= now ? 0 : (int)(wake - now) + 1;
}

static void client_run(struct client *c)
{
	struct epoll_event events[256];

	while (c->finished < c->count) {
		int n = epoll_wait(c->epoll, events, 256, client_turn(c));

		for (int i = 0; i < n; i++)
			conn_event(c, events[i].data.ptr, events[i].events);
	}
}

static void parse_sources(struct client *c, char *list)
{
	for (char *at = strtok(list, ","); at && c->sources < SOURCES_MAX; at = strtok(NULL, ","))
		parse_address(at, "0", &c->source[c->sources++]);
}

static void parse_options(struct client *c, int argc, char **argv)
{
	int o;

	while ((o = getopt(argc, argv, "n:c:t:s:P:i:l:k:ud:g:rq")) != -1) {
		switch (o) {
		case 'n':
			c->count = (unsigned)atoi(optarg);
			break;
		case 'c':
			c->concurrency = (unsigned)atoi(optarg);
			break;
		case 't':
			c->timeout_ms = atoi(optarg);
			break;
		case 's':
			parse_sources(c, optarg);
			break;
		case 'P':
			c->source_port = atoi(optarg);
			break;
		case 'i':
			c->interval_ms = atoi(optarg);
			break;
		case 'l':
			c->payload = (size_t)atoi(optarg);
			break;
		case 'k':
			c->keep_ms = atoi(optarg);
			break;
		case 'u':
			c->udp = true;
			break;
		case 'd':
			c->datagrams = (unsigned)atoi(optarg);
			break;
		case 'g':
			c->gap_ms = atoi(optarg);
			break;
		case 'r':
			c->reset = true;
			break;
		case 'q':
			c->quiet = true;
			break;
		default:
			fputs(usage_text, stderr);
			exit(2);
		}
	}
	if (argc - optind != 2 || !c->count || !c->datagrams || c->count > 1000000 ||
	    (c->udp && c->payload > 60000)) {
		fputs(usage_text, stderr);
		exit(2);
	}
	c->peer_len = parse_address(argv[optind], argv[optind + 1], &c->peer);
	if (!c->concurrency || c->concurrency > c->count)
		c->concurrency = c->count;
}

int main(int argc, char **argv)
{
	struct client c = {.count = 1, .timeout_ms = 10000, .datagrams = 1};
	double begin = now_ms();

	parse_options(&c, argc, argv);
	c.conns = calloc(c.concurrency, sizeof(*c.conns));
	c.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (!c.conns || c.epoll < 0)
		die("client");
	client_run(&c);
	printf("{\"count\":%u,\"good\":%u,\"seconds\":%.3f}\n", c.count, c.good,
	       (now_ms() - begin) / 1e3);
	free(c.conns);
	return c.good == c.count ? 0 : 1;
}
