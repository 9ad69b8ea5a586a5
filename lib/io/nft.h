/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * nf_tables transactions and dumps over one netlink socket.
 *
 * The kernel handles a batch while it is being sent, so that all answers wait in the socket when
 * nft_tx_commit() reads them: nothing here blocks for longer than the kernel works.
 */
#ifndef IO_NFT_H
#define IO_NFT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libmnl/libmnl.h>

struct nft {
	struct mnl_socket *nl; /* NULL: closed */
	uint32_t seq;
	uint32_t portid; /* what the kernel calls the owner of our tables */
};

/* fd < 0 opens a socket; else `fd` is adopted (ours from then on, also its closing). 0 or -errno. */
int nft_open(struct nft *n, int fd);
void nft_close(struct nft *n);
int nft_fd(const struct nft *n);

#define NFT_TX_MAX 192 /* messages in one transaction */

struct nft_tx {
	struct nft *nft;
	struct mnl_nlmsg_batch *batch;
	char *buf;
	uint32_t first; /* sequence number of the message after the batch's begin */
	unsigned count;
	bool bad;            /* out of memory or of room: nothing will be sent */
	int err[NFT_TX_MAX]; /* after commit: -errno of each message */
};

/* Begin; never fails (a failure shows at commit as -ENOMEM). */
void nft_tx_begin(struct nft_tx *t, struct nft *n);
/*
 * Room for one message (NFT_MSG_*), to be filled with a libnftnl payload and ended with
 * nft_tx_done(). NULL when the transaction is bad: fill nothing then.
 */
struct nlmsghdr *nft_tx_message(struct nft_tx *t, uint16_t type, uint16_t family, uint16_t flags);
void nft_tx_done(struct nft_tx *t);
/*
 * Send. 0: all of it is in force. -errno: nothing is; t->err[] tells which message was refused.
 * With `dry` the end of the batch is left out: the kernel tries every message and undoes all.
 * Frees the transaction's memory in every case.
 */
int nft_tx_commit(struct nft_tx *t, bool dry);

/*
 * Ask and call `cb` for each answer; flags is NLM_F_DUMP or 0 (one object; -ENOENT if there is
 * none). `fill` (may be NULL) adds attributes to the request. 0 or -errno; -EINTR: what was dumped changed
 * meanwhile, and may be asked for again.
 */
int nft_get(struct nft *n, uint16_t type, uint16_t family, uint16_t flags,
	    void (*fill)(struct nlmsghdr *nlh, void *data), mnl_cb_t cb, void *data);

#endif
