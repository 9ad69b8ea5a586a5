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
#define TX_ONE     64u /* header, verdict and mark of one verdict, rounded up */

struct nfqueue {
	struct mnl_socket *sk;
	uint16_t queue;
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

/*
 * Send one configuration message and read the kernel's answer. A kernel that lacks one flag
 * refuses the whole message, copy mode included, and packets then vanish in spite of `bypass`.
 */
static int config(struct nfqueue *q, struct nlmsghdr *nlh)
{
	char buf[8192];
	ssize_t n;

	nlh->nlmsg_flags |= NLM_F_ACK;
	nlh->nlmsg_seq = 1;
	if (mnl_socket_sendto(q->sk, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	n = mnl_socket_recvfrom(q->sk, buf, sizeof(buf));
	if (n < 0)
		return -errno;
	return mnl_cb_run(buf, (size_t)n, 1, mnl_socket_get_portid(q->sk), NULL, NULL) < 0 ? -errno
											   : 0;
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

static int set_params(struct nfqueue *q, const struct nfqueue_config *c, struct err *err)
{
	char buf[512];
	struct nlmsghdr *nlh = nfq_nlmsg_put(buf, NFQNL_MSG_CONFIG, q->queue);
	int r;

	nfq_nlmsg_cfg_put_params(nlh, NFQNL_COPY_PACKET, 0xffff);
	r = config(q, nlh);
	if (r)
		return err_sys(err, r, "cannot set the copy mode of queue %u", q->queue);
	nlh = nfq_nlmsg_put(buf, NFQNL_MSG_CONFIG, q->queue);
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
	return 0;
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

int nfqueue_start(struct nfqueue *q, const struct nfqueue_config *c, struct err *err)
{
	bool adopt = c->fd >= 0;
	int r;

	q->queue = c->queue;
	q->sk = adopt ? mnl_socket_fdopen(c->fd)
		      : mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	if (!q->sk)
		return err_sys(err, -errno, "cannot open a netlink socket");
	if (!adopt && mnl_socket_bind(q->sk, 0, MNL_SOCKET_AUTOPID) < 0)
		return err_sys(err, -errno, "cannot bind a netlink socket");
	r = adopt ? 0 : bind_queue(q, err);
	if (!r)
		r = set_params(q, c, err);
	if (r) {
		mnl_socket_close(q->sk);
		q->sk = NULL;
		return r;
	}
	set_socket(q, c->receive_buffer);
	return 0;
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

uint32_t nfqueue_barrier_seq(const struct nfqueue *q)
{
	return q->tx_last->nlmsg_seq | ENGINE_SEQ_BARRIER;
}

int nfqueue_send(struct nfqueue *q, bool ack)
{
	if (!q->tx_len)
		return 0;
	if (ack) {
		q->tx_last->nlmsg_flags |= NLM_F_ACK;
		q->tx_last->nlmsg_seq |= ENGINE_SEQ_BARRIER;
	}
	if (mnl_socket_sendto(q->sk, q->tx, q->tx_len) < 0)
		return -errno;
	q->tx_len = 0;
	return 0;
}

bool nfqueue_verdict(struct nfqueue *q, uint32_t id, uint32_t verdict, uint32_t mark, uint32_t seq)
{
	struct nlmsghdr *nlh;

	/* The kernel takes these one after the other before the call returns; it fails only for
	 * want of memory, and then there is nothing to do but to ask again. */
	for (int i = 0; q->tx_len + TX_ONE > TX_SIZE && i < SEND_TRIES; i++)
		(void)nfqueue_send(q, false);
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
