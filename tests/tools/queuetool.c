/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Queues that are opened while packets come: each of them must get its verdict, and be counted. A thread sends
 * datagrams over lo to a port that a rule queues, without a pause; the engine, which drops them all, is opened
 * under that, over and over: with a socket of its own, and with one that it adopts and that packets wait in. Prints
 * TAP.
 *
 *     queuetool ROUNDS QUEUE PORT      as root; the rule is in place
 */
#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <libnetfilter_queue/libnetfilter_queue.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <pend.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { STOP, SEND, QUIT };

static _Atomic int order = STOP, doing = STOP;
static uint16_t queue, port;
static int tests, failures;

static void is(unsigned long got, unsigned long want, const char *text)
{
	tests++;
	printf("%sok %d - %s\n", got == want ? "" : "not ", tests, text);
	if (got == want)
		return;
	failures++;
	printf("# got %lu, want %lu\n", got, want);
}

static void die(const char *what)
{
	printf("Bail out! %s\n", what);
	exit(1);
}

/* ---- packets that come ---- */

static void *sender(void *arg)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
				 .sin_port = htons(port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), what;

	(void)arg;
	while ((what = atomic_load(&order)) != QUIT) {
		atomic_store(&doing, what);
		if (what == SEND)
			(void)sendto(fd, "x", 1, 0, (struct sockaddr *)&to, sizeof(to));
		else
			usleep(50);
	}
	close(fd);
	return NULL;
}

static void send_packets(int what)
{
	atomic_store(&order, what);
	while (atomic_load(&doing) != what)
		usleep(10);
}

/* ---- what the kernel says of the queue ---- */

struct queue_line {
	unsigned long waiting, dropped, ids; /* dropped: of those that had got an id */
};

static struct queue_line kernel_says(void)
{
	FILE *f = fopen("/proc/self/net/netfilter/nfnetlink_queue", "re");
	struct queue_line l = {.waiting = 1};
	unsigned long number, ignored;
	char line[256];

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "%lu %lu %lu %lu %lu %lu %lu %lu", &number, &ignored, &l.waiting,
			   &ignored, &ignored, &ignored, &l.dropped, &l.ids) == 8 &&
		    number == queue)
			break;
	if (f)
		fclose(f);
	return l;
}

/* ---- the queues ---- */

static void ask(const struct mnl_socket *s, struct nlmsghdr *nlh)
{
	if (mnl_socket_sendto(s, nlh, nlh->nlmsg_len) < 0)
		die("cannot prepare a socket");
}

/* Bound, and taking packets, as a program that hands its socket over leaves it. */
static int taking_packets(void)
{
	struct mnl_socket *s = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	struct nlmsghdr *nlh;
	char buf[512];
	int fd;

	if (!s || mnl_socket_bind(s, 0, MNL_SOCKET_AUTOPID) < 0)
		die("no socket");
	nlh = nfq_nlmsg_put(buf, NFQNL_MSG_CONFIG, queue);
	nfq_nlmsg_cfg_put_cmd(nlh, AF_UNSPEC, NFQNL_CFG_CMD_BIND);
	ask(s, nlh);
	nlh = nfq_nlmsg_put(buf, NFQNL_MSG_CONFIG, queue);
	nfq_nlmsg_cfg_put_params(nlh, NFQNL_COPY_PACKET, 0xffff);
	ask(s, nlh);
	fd = dup(mnl_socket_get_fd(s));
	mnl_socket_close(s);
	return fd;
}

static struct pend_engine *open_engine(int fd)
{
	struct pend_engine *e;
	struct pend_engine_config c;

	pend_engine_config_init(&c);
	c.queue = queue;
	c.queue_fd = fd;
	c.max_contexts = 16;
	c.high_watermark_percent = 100;
	c.raw_reinject = c.track_established = false;
	if (pend_engine_open(&e, &c) != PEND_OK)
		die("no engine");
	if (pend_engine_start(e) != PEND_OK)
		die(pend_engine_error(e));
	return e;
}

/* Until all that came has been answered; the last of it may be on its way over lo still. */
static struct queue_line read_all(struct pend_engine *e, struct pend_stats *s)
{
	struct queue_line k;
	bool more;

	for (int i = 0; i < 100; i++) {
		do {
			if (pend_engine_dispatch(e, 0, &more) != PEND_OK)
				die(pend_engine_error(e));
		} while (more);
		pend_engine_stats(e, s);
		k = kernel_says();
		if (!k.waiting && s->packets == k.ids - k.dropped)
			break;
		usleep(1000);
	}
	return k;
}

static void rounds(unsigned n, bool adopt, const char *how)
{
	unsigned long left = 0, uncounted = 0, open = 0, packets = 0;
	char text[128];

	for (unsigned i = 0; i < n; i++) {
		struct pend_engine *e;
		struct queue_line k;
		struct pend_stats s;

		send_packets(SEND);
		e = open_engine(adopt ? taking_packets() : -1);
		usleep(200);
		send_packets(STOP);
		k = read_all(e, &s);
		left += k.waiting;
		uncounted += s.packets != k.ids - k.dropped;
		open += s.packets != s.verdicts || s.verdict_errors || s.kernel_lost;
		packets += s.packets;
		pend_engine_close(e);
	}
	snprintf(text, sizeof(text), "%s: packets came", how);
	is(packets > n, 1, text);
	snprintf(text, sizeof(text), "%s: T26: none of them waits for ever", how);
	is(left, 0, text);
	snprintf(text, sizeof(text), "%s: T26: each got one verdict", how);
	is(open, 0, text);
	snprintf(text, sizeof(text), "%s: and is counted", how);
	is(uncounted, 0, text);
}

int main(int argc, char **argv)
{
	pthread_t thread;

	if (argc != 4)
		die("queuetool ROUNDS QUEUE PORT");
	queue = (uint16_t)atoi(argv[2]);
	port = (uint16_t)atoi(argv[3]);
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (pthread_create(&thread, NULL, sender, NULL))
		die("no thread");
	rounds((unsigned)atoi(argv[1]), false, "a new queue");
	rounds((unsigned)atoi(argv[1]), true, "an adopted socket");
	atomic_store(&order, QUIT);
	pthread_join(thread, NULL);
	printf("1..%d\n", tests);
	return failures != 0;
}
