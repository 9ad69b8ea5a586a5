/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What this kernel can do for us, asked of the kernel itself.
 *
 * nf_tables is asked by one transaction that is never ended, so that the kernel tries each part and
 * undoes all. It holds no base chain: taking one of those away would drop every packet that waits in
 * any queue of the namespace (L6, L7).
 */
#ifndef IO_PROBE_H
#define IO_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum {
	PROBE_NFT = 1u << 0,          /* nf_tables with the inet family */
	PROBE_NFT_OWNER = 1u << 1,    /* tables that belong to a socket */
	PROBE_NFT_QUEUE = 1u << 2,    /* the queue expression */
	PROBE_NFT_XT_QUEUE = 1u << 3, /* the xtables NFQUEUE target inside of nf_tables */
	PROBE_NFT_CT_MARK = 1u << 4,  /* connection marks */
	PROBE_NFT_FIB = 1u << 5,      /* fib daddr type */
	PROBE_NFT_REJECT = 1u << 6,
	PROBE_RAW4 = 1u << 7, /* raw sockets */
	PROBE_RAW6 = 1u << 8,
	PROBE_SECURITY4 =
		1u << 9, /* iptables' security table is in use, or nf_tables stands in for it */
	PROBE_SECURITY6 = 1u << 10,
};

/* All that a hookup by nf_tables needs, but for one of the two ways to queue. */
#define PROBE_NFT_NEEDED \
	(PROBE_NFT | PROBE_NFT_OWNER | PROBE_NFT_CT_MARK | PROBE_NFT_FIB | PROBE_NFT_REJECT)
#define PROBE_NFT_QUEUES (PROBE_NFT_QUEUE | PROBE_NFT_XT_QUEUE)

/*
 * 0 and *bits, or -errno: -EPERM without CAP_NET_ADMIN, when nothing can be told. A kernel without
 * nf_tables is no error.
 */
int probe_kernel(unsigned *bits, struct err *e);
/* "nft queue" and so on for a single bit; NULL for an unknown one. */
const char *probe_name(unsigned bit);
/* "nft, nft owner, ...; missing: nft queue" into buf, cut if need be; returns buf. */
const char *probe_text(unsigned bits, char *buf, size_t cap);
/* Can nft do a hookup? If not and why is not NULL: the missing parts as text. */
bool probe_nft_ready(unsigned bits, char *why, size_t cap);

#endif
