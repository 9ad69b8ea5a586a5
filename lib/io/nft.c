/* SPDX-License-Identifier: GPL-2.0-or-later */
/* nf_tables transactions and dumps over one netlink socket. */
#include "io/nft.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <libnftnl/common.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>

/* All our rules are under 48 KiB; one message is far below TX_SPARE. */
#define TX_LIMIT    (64u * 1024)
#define TX_SPARE    (8u * 1024)
#define READ_MAX    (32u * 1024) /* netlink never fills more than that at once */
#define REQUEST_MAX 1024u

/* Read whatever is there, a dump to its end: nothing of it must be in the way of the next request. */
static void drain(struct nft *n)
{
	char buf[READ_MAX];
	ssize_t got;

	do
		got = recv(nft_fd(n), buf, sizeof(buf), MSG_DONTWAIT);
	while (got > 0 || (got < 0 && (errno == EINTR || errno == ENOBUFS)));
}

static int give_up(struct nft *n, int err)
{
	drain(n);
	return err;
}

int nft_open(struct nft *n, int fd)
{
	struct mnl_socket *nl;
	struct timeval patience = {.tv_sec = 5};
	int err, one = 1;

	nl = fd < 0 ? mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC) : mnl_socket_fdopen(fd);
	if (!nl)
		return -errno;
	if (fd < 0 && mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) < 0) {
		err = -errno;
		mnl_socket_close(nl);
		return err;
	}
	/* No child may keep our tables alive. */
	(void)fcntl(mnl_socket_get_fd(nl), F_SETFD, FD_CLOEXEC);
	/* Errors need not repeat what was asked. Old kernels do not know this: no harm. */
	(void)mnl_socket_setsockopt(nl, NETLINK_CAP_ACK, &one, sizeof(one));
	(void)setsockopt(mnl_socket_get_fd(nl), SOL_SOCKET, SO_RCVTIMEO, &patience,
			 sizeof(patience));
	*n = (struct nft){
		.nl = nl,
		.seq = (uint32_t)time(NULL),
		.portid = mnl_socket_get_portid(nl),
	};
	if (fd >= 0)
		drain(n); /* its last owner may not have read all */
	return 0;
}

void nft_close(struct nft *n)
{
	if (n->nl)
		mnl_socket_close(n->nl);
	n->nl = NULL;
}

int nft_fd(const struct nft *n)
{
	return n->nl ? mnl_socket_get_fd(n->nl) : -1;
}

void nft_tx_begin(struct nft_tx *t, struct nft *n)
{
	memset(t, 0, sizeof(*t));
	t->nft = n;
	t->buf = calloc(1, TX_LIMIT + TX_SPARE);
	t->batch = t->buf ? mnl_nlmsg_batch_start(t->buf, TX_LIMIT) : NULL;
	if (!t->batch) {
		t->bad = true;
		return;
	}
	nftnl_batch_begin(mnl_nlmsg_batch_current(t->batch), n->seq++);
	mnl_nlmsg_batch_next(t->batch);
	t->first = n->seq;
}

struct nlmsghdr *nft_tx_message(struct nft_tx *t, uint16_t type, uint16_t family, uint16_t flags)
{
	if (t->bad || t->count == NFT_TX_MAX) {
		t->bad = true;
		return NULL;
	}
	t->count++;
	return nftnl_nlmsg_build_hdr(mnl_nlmsg_batch_current(t->batch), type, family,
				     flags | NLM_F_ACK, t->nft->seq++);
}

void nft_tx_done(struct nft_tx *t)
{
	if (!t->bad && !mnl_nlmsg_batch_next(t->batch))
		t->bad = true;
}

static int error_of(const struct nlmsghdr *nlh)
{
	int err = 0;

	if (mnl_nlmsg_get_payload_len(nlh) >= sizeof(err))
		memcpy(&err, mnl_nlmsg_get_payload(nlh), sizeof(err));
	return err;
}

/* What is said of the batch as a whole has the number of its begin, or of its end. */
static void note_answer(struct nft_tx *t, const struct nlmsghdr *nlh, int *refused)
{
	uint32_t i = nlh->nlmsg_seq - t->first;
	int err;

	if (nlh->nlmsg_type != NLMSG_ERROR || i + 1 > t->count + 1)
		return;
	err = error_of(nlh);
	if (i < t->count)
		t->err[i] = err;
	if (err && !*refused)
		*refused = err;
}

/* Every message asked for its acknowledgement; those that got none were not looked at. */
static int read_answers(struct nft_tx *t)
{
	char buf[READ_MAX];
	int refused = 0;

	for (;;) {
		ssize_t n = recv(nft_fd(t->nft), buf, sizeof(buf), MSG_DONTWAIT);
		const struct nlmsghdr *nlh = (const struct nlmsghdr *)(const void *)buf;
		int left = (int)n;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			break;
		if (n <= 0)
			return give_up(t->nft, n ? -errno : -EPROTO);
		for (; mnl_nlmsg_ok(nlh, left); nlh = mnl_nlmsg_next(nlh, &left))
			note_answer(t, nlh, &refused);
	}
	for (unsigned i = 0; i < t->count && !refused; i++)
		refused = t->err[i] > 0 ? -EPROTO : t->err[i];
	return refused;
}

static int send_batch(struct nft_tx *t, bool dry)
{
	if (!dry) {
		nftnl_batch_end(mnl_nlmsg_batch_current(t->batch), t->nft->seq++);
		mnl_nlmsg_batch_next(t->batch);
	}
	for (unsigned i = 0; i < t->count; i++)
		t->err[i] = 1; /* not answered */
	if (mnl_socket_sendto(t->nft->nl, mnl_nlmsg_batch_head(t->batch),
			      mnl_nlmsg_batch_size(t->batch)) < 0)
		return -errno;
	return read_answers(t);
}

int nft_tx_commit(struct nft_tx *t, bool dry)
{
	int err = t->bad ? -ENOMEM : send_batch(t, dry);

	if (t->batch)
		mnl_nlmsg_batch_stop(t->batch);
	free(t->buf);
	t->batch = NULL;
	t->buf = NULL;
	return err;
}

/* What is said to the request `seq`. */
struct answer {
	uint32_t seq, portid;
	mnl_cb_t cb;
	void *data;
	bool done, interrupted;
	int err;
};

/* After an error the rest is read all the same: the kernel would take no other dump before its end. */
static void take(struct answer *a, const struct nlmsghdr *nlh)
{
	if (nlh->nlmsg_seq != a->seq || !mnl_nlmsg_portid_ok(nlh, a->portid))
		return;
	a->interrupted |= nlh->nlmsg_flags & NLM_F_DUMP_INTR;
	if (nlh->nlmsg_type == NLMSG_ERROR || nlh->nlmsg_type == NLMSG_DONE) {
		a->done = true;
		a->err = a->err ? a->err : error_of(nlh);
	} else if (nlh->nlmsg_type >= NLMSG_MIN_TYPE && !a->err && !a->interrupted &&
		   a->cb(nlh, a->data) < MNL_CB_STOP) {
		a->err = -errno;
	}
}

static int take_all(struct nft *n, struct answer *a)
{
	char buf[READ_MAX];

	while (!a->done) {
		ssize_t got = recv(nft_fd(n), buf, sizeof(buf), MSG_TRUNC);
		const struct nlmsghdr *nlh = (const struct nlmsghdr *)(const void *)buf;
		int left = (int)got;

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return give_up(n, got ? -errno : -EPROTO);
		if ((size_t)got > sizeof(buf))
			return give_up(n, -ENOSPC);
		for (; mnl_nlmsg_ok(nlh, left); nlh = mnl_nlmsg_next(nlh, &left))
			take(a, nlh);
	}
	return a->interrupted ? -EINTR : a->err;
}

int nft_get(struct nft *n, uint16_t type, uint16_t family, uint16_t flags,
	    void (*fill)(struct nlmsghdr *nlh, void *data), mnl_cb_t cb, void *data)
{
	struct answer a = {.seq = n->seq++, .portid = n->portid, .cb = cb, .data = data};
	char buf[REQUEST_MAX];
	struct nlmsghdr *nlh = nftnl_nlmsg_build_hdr(buf, type, family, flags ? flags : NLM_F_ACK,
						     a.seq);

	if (fill)
		fill(nlh, data);
	if (mnl_socket_sendto(n->nl, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	return take_all(n, &a);
}
