/* SPDX-License-Identifier: GPL-2.0-or-later */
/* NFQUEUE over libmnl and libnetfilter_queue. See nfqueue.h. */
#include "io/nfqueue.h"
#include "io/nfqueue_parse.h"
#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <libnetfilter_queue/libnetfilter_queue.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define RX_SIZE    (65536u + 1024u) /* a packet of 64 kB and the attributes before it */
#define TX_SIZE    16384u
#define SEND_TRIES 100
#define ASK_TRIES  3
#define TX_ONE     64u /* header, verdict and mark of one verdict, rounded up */

struct nfqueue {
	struct mnl_socket *sk;
	uint16_t queue;
	uint32_t asked; /* configuration messages: the number of the last one */
	uint32_t early;
	uint8_t *rx;
	struct mmsghdr msgs[NFQ_BATCH];
	struct iovec iov[NFQ_BATCH];
	uint8_t tx[TX_SIZE];
	size_t tx_len;
	struct nlmsghdr *tx_last;
};

int nfqueue_new(struct nfqueue **out)
{
	struct nfqueue *q = calloc(1, sizeof(*q));

	if (!q)
		return -ENOMEM;
	q->rx = malloc((size_t)NFQ_BATCH * RX_SIZE);
	if (!q->rx) {
		free(q);
		return -ENOMEM;
	}
	for (unsigned i = 0; i < NFQ_BATCH; i++) {
		q->iov[i] = (struct iovec){q->rx + (size_t)i * RX_SIZE, RX_SIZE};
		q->msgs[i].msg_hdr.msg_iov = &q->iov[i];
		q->msgs[i].msg_hdr.msg_iovlen = 1;
	}
	*out = q;
	return 0;
}

void nfqueue_free(struct nfqueue *q)
{
	if (!q)
		return;
	if (q->sk)
		mnl_socket_close(q->sk);
	free(q->rx);
	free(q);
}

int nfqueue_fd(const struct nfqueue *q)
{
	return q->sk ? mnl_socket_get_fd(q->sk) : -1;
}

uint32_t nfqueue_early(const struct nfqueue *q)
{
	return q->early;
}

/*
 * With the rules in place, packets come as soon as the queue takes any, and an adopted socket may be full of
 * them. To keep them for the engine would take a buffer, and a word to whoever waits for the socket to become
 * readable; it takes some microseconds to start, and peers send again.
 */
static void drop_early(struct nfqueue *q, const void *buf, size_t len)
{
	struct nfqueue_item item;

	if (!nfqueue_parse_message(buf, len, &item) || item.type != NFQ_PACKET)
		return;
	q->early++;
	(void)nfqueue_verdict(q, item.in.id, NF_DROP, item.in.mark, ENGINE_SEQ_NONE);
}

/* The kernel has answered before the send returned. -ENOBUFS: a full socket had no room for the answer. */
static int read_answer(struct nfqueue *q, uint32_t seq)
{
	for (;;) {
		ssize_t n = recv(nfqueue_fd(q), q->rx, RX_SIZE, MSG_DONTWAIT);
		int error;

		if (n < 0 && errno != EINTR && errno != ENOBUFS)
			return errno == EAGAIN ? -ENOBUFS : -errno;
		if (n < 0)
			continue;
		if (nfqueue_parse_answer(q->rx, (size_t)n, seq, &error))
			return -error;
		drop_early(q, q->rx, (size_t)n);
	}
}

/*
 * Send one configuration message and read the kernel's answer: to this one, by its number. A kernel that lacks
 * one flag refuses the whole message, copy mode included, and packets then vanish in spite of `bypass`.
 */
static int config(struct nfqueue *q, struct nlmsghdr *nlh)
{
	int r = -ENOBUFS;

	nlh->nlmsg_flags |= NLM_F_ACK;
	for (int i = 0; i < ASK_TRIES && r == -ENOBUFS; i++) {
		nlh->nlmsg_seq = ++q->asked;
		if (mnl_socket_sendto(q->sk, nlh, nlh->nlmsg_len) < 0)
			return -errno;
		r = read_answer(q, nlh->nlmsg_seq);
	}
	return r;
}

/* The port id of the queue's owner, from /proc; 0: nobody, or not to be read. */
static unsigned long queue_owner(uint16_t queue)
{
	FILE *f = fopen("/proc/self/net/netfilter/nfnetlink_queue", "re");
	unsigned long num, port, owner = 0;
	char line[256];

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "%lu %lu", &num, &port) == 2 && num == queue)
			owner = port;
	if (f)
		fclose(f);
	return owner;
}

static int bind_error(struct nfqueue *q, int r, struct err *err)
{
	unsigned long owner = queue_owner(q->queue);

	if ((r == -EPERM || r == -EBUSY) && owner)
		return err_set(
			err, -EBUSY,
			"queue %u is bound by another program (netlink port %lu): stop it, or choose other queues",
			q->queue, owner);
	if (r == -EPERM)
		return err_set(
			err, r,
			"no permission to bind queue %u: CAP_NET_ADMIN in this network namespace is needed",
			q->queue);
	if (r == -EINVAL || r == -EOPNOTSUPP || r == -EPROTONOSUPPORT)
		return err_sys(err, -EOPNOTSUPP,
			       "this kernel has no NFQUEUE (nfnetlink_queue): load the module");
	return err_sys(err, r, "cannot bind queue %u", q->queue);
}

static int bind_queue(struct nfqueue *q, struct err *err)
{
	char buf[512];
	struct nlmsghdr *nlh = nfq_nlmsg_put(buf, NFQNL_MSG_CONFIG, q->queue);
	int r;

	nfq_nlmsg_cfg_put_cmd(nlh, AF_UNSPEC, NFQNL_CFG_CMD_BIND);
	r = config(q, nlh);
	return r ? bind_error(q, r, err) : 0;
}

static int set_flag(struct nfqueue *q, uint32_t flag, bool on)
{
	char buf[512];
	struct nlmsghdr *nlh = nfq_nlmsg_put(buf, NFQNL_MSG_CONFIG, q->queue);

	mnl_attr_put_u32(nlh, NFQA_CFG_FLAGS, htonl(on ? flag : 0));
	mnl_attr_put_u32(nlh, NFQA_CFG_MASK, htonl(flag));
	return config(q, nlh);
}

/*
 * The copy mode comes last. A bound queue without one takes no packet: the kernel drops what a rule sends there,
 * `bypass` or not (nfqnl_enqueue_packet, EINVAL), for the few calls in between. With it packets come, to a queue
 * that is then as long and as open as it shall be.
 */
static int set_params(struct nfqueue *q, const struct nfqueue_config *c, struct err *err)
{
	char buf[512];
	struct nlmsghdr *nlh = nfq_nlmsg_put(buf, NFQNL_MSG_CONFIG, q->queue);
	int r;

	nfq_nlmsg_cfg_put_qmaxlen(nlh, c->kernel_queue);
	r = config(q, nlh);
	if (r)
		return err_sys(err, r, "cannot set the length of queue %u", q->queue);
	/* Without it the kernel splits large packets and computes their checksums: only slower. */
	(void)set_flag(q, NFQA_CFG_F_GSO, true);
	r = set_flag(q, NFQA_CFG_F_FAIL_OPEN, c->fail_open);
	if (r && c->fail_open)
		return err_sys(err, -EOPNOTSUPP,
			       "the kernel refuses fail-open for queue %u: set \"fail closed\"",
			       q->queue);
	nlh = nfq_nlmsg_put(buf, NFQNL_MSG_CONFIG, q->queue);
	nfq_nlmsg_cfg_put_params(nlh, NFQNL_COPY_PACKET, 0xffff);
	r = config(q, nlh);
	return r ? err_sys(err, r, "cannot set the copy mode of queue %u", q->queue) : 0;
}

static void set_socket(struct nfqueue *q, uint32_t rcvbuf)
{
	int fd = nfqueue_fd(q), one = 1;

	/* An overrun must not make every later call fail; it is counted by the kernel
	 * (user_dropped) and read from /proc. */
	mnl_socket_setsockopt(q->sk, NETLINK_NO_ENOBUFS, &one, sizeof(one));
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &rcvbuf, sizeof(rcvbuf)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &rcvbuf, sizeof(rcvbuf));
}

static int open_socket(struct nfqueue *q, int fd, struct err *err)
{
	q->sk = fd >= 0 ? mnl_socket_fdopen(fd) : mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	if (!q->sk)
		return err_sys(err, -errno, "cannot open a netlink socket");
	if (fd < 0 && mnl_socket_bind(q->sk, 0, MNL_SOCKET_AUTOPID) < 0)
		return err_sys(err, -errno, "cannot bind a netlink socket");
	return 0;
}

int nfqueue_start(struct nfqueue *q, const struct nfqueue_config *c, struct err *err)
{
	int r = open_socket(q, c->fd, err);

	q->queue = c->queue;
	q->early = 0;
	q->tx_len = 0;
	if (!r)
		set_socket(q, c->receive_buffer); /* first: what may come has to find room */
	if (!r && c->fd < 0)
		r = bind_queue(q, err);
	if (!r)
		r = set_params(q, c, err);
	if (!r) {
		(void)nfqueue_send(q, false, 0);
		return 0;
	}
	if (q->sk)
		mnl_socket_close(q->sk);
	q->sk = NULL;
	return r;
}

int nfqueue_receive(struct nfqueue *q, struct nfqueue_item items[NFQ_BATCH], bool *drained)
{
	int n = recvmmsg(nfqueue_fd(q), q->msgs, NFQ_BATCH, MSG_DONTWAIT, NULL);
	int used = 0;

	*drained = n < (int)NFQ_BATCH;
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	for (int i = 0; i < n; i++)
		used += nfqueue_parse_message(q->iov[i].iov_base, q->msgs[i].msg_len, &items[used]);
	if (used)
		nfqueue_mark_stamps(items, (unsigned)used, *drained);
	return used;
}

bool nfqueue_pending(const struct nfqueue *q)
{
	return q->tx_len > 0;
}

/* The kernel knows the sender by its socket; the port id of the header it only quotes (netlink_ack). */
static void ask(struct nlmsghdr *nlh, uint32_t barrier)
{
	nlh->nlmsg_flags |= NLM_F_ACK;
	nlh->nlmsg_seq |= ENGINE_SEQ_BARRIER;
	nlh->nlmsg_pid = barrier;
}

static void ask_not(struct nlmsghdr *nlh)
{
	nlh->nlmsg_flags &= (uint16_t)~NLM_F_ACK;
	nlh->nlmsg_seq &= ~ENGINE_SEQ_BARRIER;
}

int nfqueue_send(struct nfqueue *q, bool ack, uint32_t barrier)
{
	if (!q->tx_len)
		return 0;
	if (ack)
		ask(q->tx_last, barrier);
	if (mnl_socket_sendto(q->sk, q->tx, q->tx_len) < 0) {
		int r = -errno;

		ask_not(q->tx_last); /* it may not be the last one at the next try */
		return r;
	}
	q->tx_len = 0;
	return 0;
}

bool nfqueue_verdict(struct nfqueue *q, uint32_t id, uint32_t verdict, uint32_t mark, uint32_t seq)
{
	struct nlmsghdr *nlh;

	/* The kernel takes these one after the other before the call returns; it fails only for
	 * want of memory, and then there is nothing to do but to ask again. */
	for (int i = 0; q->tx_len + TX_ONE > TX_SIZE && i < SEND_TRIES; i++)
		(void)nfqueue_send(q, false, 0);
	if (q->tx_len + TX_ONE > TX_SIZE)
		return false;
	nlh = nfq_nlmsg_put((char *)q->tx + q->tx_len, NFQNL_MSG_VERDICT, q->queue);
	nlh->nlmsg_seq = seq;
	nfq_nlmsg_verdict_put(nlh, (int)id, (int)verdict);
	nfq_nlmsg_verdict_put_mark(nlh, mark);
	q->tx_last = nlh;
	q->tx_len += NLMSG_ALIGN(nlh->nlmsg_len);
	return true;
}
