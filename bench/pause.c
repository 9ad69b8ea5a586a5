/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How long a new connection has to wait at worst: one is opened every millisecond and reset as soon as it is
 * open, until standard input ends (a minute at most). What could not be opened in time is opened at once
 * after, so that a pause is seen whole by the connection that met it.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define GAP_NS          1000000
#define CONNECTIONS_MAX 60000u

static const char usage_text[] =
	"usage: pause ADDRESS PORT SOURCE SOURCES <pipe\n"
	"The sources are SOURCE and those counted up from it. Prints\n"
	"{\"connected\":N,\"failed\":N,\"p50_us\":L,\"p99_us\":L,\"longest_us\":L}.\n";

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

/* Microseconds until it was open; negative: it was refused. */
static double open_one(const struct sockaddr_in *peer, const struct sockaddr_in *from)
{
	struct linger hard = {.l_onoff = 1, .l_linger = 0};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	double begun, us;

	if (fd < 0)
		die("socket");
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	if (bind(fd, (const struct sockaddr *)from, sizeof(*from)) < 0)
		die("bind");
	begun = now();
	if (connect(fd, (const struct sockaddr *)peer, sizeof(*peer)) < 0)
		us = -1;
	else
		us = (now() - begun) * 1e6;
	close(fd);
	return us;
}

/* Waits for the next millisecond; false: standard input has ended. */
static int wait_turn(struct timespec *turn)
{
	struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};

	turn->tv_nsec += GAP_NS;
	if (turn->tv_nsec >= 1000000000) {
		turn->tv_nsec -= 1000000000;
		turn->tv_sec++;
	}
	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, turn, NULL);
	return poll(&in, 1, 0) == 0;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	struct sockaddr_in peer = {.sin_family = AF_INET}, source = {.sin_family = AF_INET}, from;
	static double us[CONNECTIONS_MAX];
	unsigned sources, done = 0, failed = 0;
	struct timespec turn;

	if (argc != 5 || inet_pton(AF_INET, argv[1], &peer.sin_addr) != 1 ||
	    inet_pton(AF_INET, argv[3], &source.sin_addr) != 1 ||
	    !(sources = (unsigned)atoi(argv[4])))
		return fputs(usage_text, stderr), 2;
	peer.sin_port = htons((uint16_t)atoi(argv[2]));
	clock_gettime(CLOCK_MONOTONIC, &turn);
	for (unsigned n = 0; n < CONNECTIONS_MAX && wait_turn(&turn); n++) {
		from = source;
		from.sin_addr.s_addr = htonl(ntohl(source.sin_addr.s_addr) + n % sources);
		us[done] = open_one(&peer, &from);
		us[done] < 0 ? failed++ : done++;
	}
	qsort(us, done, sizeof(*us), by_value);
	printf("{\"connected\":%u,\"failed\":%u,\"p50_us\":%.1f,\"p99_us\":%.1f,\"longest_us\":%.1f}\n",
	       done, failed, done ? us[done / 2] : 0, done ? us[done * 99 / 100] : 0,
	       done ? us[done - 1] : 0);
	return failed || !done;
}
