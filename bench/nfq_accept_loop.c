/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The bare loop that pendd is measured against: the least that a program on an NFQUEUE can do and still accept
 * every packet. It receives up to 64 packets with one recvmmsg, reads nothing of each but its id, and sends
 * the verdicts of all of them with one sendto. When it ends it prints the CPU time it took for each.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

#define BATCH       64
#define PACKET_MAX  2048
#define VERDICT_LEN 64 /* header 16, nfgenmsg 4, attribute 4 + 8: room enough */

static volatile sig_atomic_t stop;

static void on_signal(int number)
{
	(void)number;
	stop = 1;
}

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static struct nlmsghdr *begin(char *buf, uint16_t type, uint16_t queue, uint16_t flags)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct nfgenmsg *nfg;

	nlh->nlmsg_type = (uint16_t)(NFNL_SUBSYS_QUEUE << 8 | type);
	nlh->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
	nfg = mnl_nlmsg_put_extra_header(nlh, sizeof(*nfg));
	nfg->nfgen_family = AF_UNSPEC;
	nfg->version = NFNETLINK_V0;
	nfg->res_id = htons(queue);
	return nlh;
}

static void request(struct mnl_socket *nl, struct nlmsghdr *nlh)
{
	char buf[4096];
	ssize_t n;

	if (mnl_socket_sendto(nl, nlh, nlh->nlmsg_len) < 0)
		die("send");
	n = mnl_socket_recvfrom(nl, buf, sizeof(buf));
	if (n < 0 || mnl_cb_run(buf, (size_t)n, 0, mnl_socket_get_portid(nl), NULL, NULL) < 0)
		die("queue configuration");
}

static void configure(struct mnl_socket *nl, uint16_t queue, uint8_t mode)
{
	struct nfqnl_msg_config_cmd bind = {.command = NFQNL_CFG_CMD_BIND};
	struct nfqnl_msg_config_params params = {.copy_mode = mode, .copy_range = htonl(0xffff)};
	char buf[4096];
	struct nlmsghdr *nlh = begin(buf, NFQNL_MSG_CONFIG, queue, NLM_F_ACK);

	mnl_attr_put(nlh, NFQA_CFG_CMD, sizeof(bind), &bind);
	request(nl, nlh);
	nlh = begin(buf, NFQNL_MSG_CONFIG, queue, NLM_F_ACK);
	mnl_attr_put(nlh, NFQA_CFG_PARAMS, sizeof(params), &params);
	mnl_attr_put_u32(nlh, NFQA_CFG_QUEUE_MAXLEN, htonl(65535));
	request(nl, nlh);
}

static struct mnl_socket *open_queue(uint16_t queue, uint8_t mode)
{
	struct mnl_socket *nl = mnl_socket_open(NETLINK_NETFILTER);
	int one = 1, size = 8 << 20;

	if (!nl || mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) < 0)
		die("netlink socket");
	setsockopt(mnl_socket_get_fd(nl), SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	setsockopt(mnl_socket_get_fd(nl), SOL_NETLINK, NETLINK_NO_ENOBUFS, &one, sizeof(one));
	configure(nl, queue, mode);
	return nl;
}

/* The id of the packet in the message, in network order. */
static uint32_t packet_id(const struct nlmsghdr *nlh)
{
	struct nlattr *attr;

	mnl_attr_for_each(attr, nlh, sizeof(struct nfgenmsg))
		if (mnl_attr_get_type(attr) == NFQA_PACKET_HDR)
			return ((const struct nfqnl_msg_packet_hdr *)mnl_attr_get_payload(attr))
				->packet_id;
	return 0;
}

static size_t put_verdict(char *out, uint16_t queue, uint32_t id)
{
	struct nfqnl_msg_verdict_hdr verdict = {.verdict = htonl(NF_ACCEPT), .id = id};
	struct nlmsghdr *nlh = begin(out, NFQNL_MSG_VERDICT, queue, 0);

	mnl_attr_put(nlh, NFQA_VERDICT_HDR, sizeof(verdict), &verdict);
	return nlh->nlmsg_len;
}

static unsigned long run(struct mnl_socket *nl, uint16_t queue)
{
	static char packets[BATCH][PACKET_MAX] __attribute__((aligned(8)));
	static char verdicts[BATCH * VERDICT_LEN] __attribute__((aligned(8)));
	struct mmsghdr messages[BATCH];
	struct iovec parts[BATCH];
	unsigned long count = 0;

	memset(messages, 0, sizeof(messages));
	for (int i = 0; i < BATCH; i++) {
		parts[i] = (struct iovec){packets[i], PACKET_MAX};
		messages[i].msg_hdr.msg_iov = &parts[i];
		messages[i].msg_hdr.msg_iovlen = 1;
	}
	while (!stop) {
		int n = recvmmsg(mnl_socket_get_fd(nl), messages, BATCH, MSG_WAITFORONE, NULL);
		size_t len = 0;

		if (n < 0 && errno != EINTR && errno != ENOBUFS)
			die("recvmmsg");
		for (int i = 0; i < n; i++)
			len += put_verdict(verdicts + len, queue,
					   packet_id((const struct nlmsghdr *)packets[i]));
		if (n > 0 && mnl_socket_sendto(nl, verdicts, len) < 0)
			die("sendto");
		count += n > 0 ? (unsigned long)n : 0;
	}
	return count;
}

static double seconds(const struct timeval *t)
{
	return (double)t->tv_sec + (double)t->tv_usec / 1e6;
}

int main(int argc, char **argv)
{
	struct sigaction end = {.sa_handler = on_signal};
	uint16_t queue = argc > 1 ? (uint16_t)atoi(argv[1]) : 0;
	uint8_t mode = argc > 2 && !strcmp(argv[2], "meta") ? NFQNL_COPY_META : NFQNL_COPY_PACKET;
	struct mnl_socket *nl;
	struct rusage use;
	unsigned long count;

	if (argc > 3 || (argc > 1 && argv[1][0] == '-')) {
		fputs("usage: nfq_accept_loop [QUEUE [packet|meta]]\n", stderr);
		return 2;
	}
	sigaction(SIGTERM, &end, NULL);
	sigaction(SIGINT, &end, NULL);
	nl = open_queue(queue, mode);
	puts("ready");
	fflush(stdout);
	count = run(nl, queue);
	getrusage(RUSAGE_SELF, &use);
	printf("{\"packets\":%lu,\"user_us\":%.3f,\"system_us\":%.3f}\n", count,
	       count ? seconds(&use.ru_utime) * 1e6 / (double)count : 0,
	       count ? seconds(&use.ru_stime) * 1e6 / (double)count : 0);
	mnl_socket_close(nl);
	return 0;
}
