/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Single nf_tables expressions appended to a rule. All work in register 1. An allocation that fails
 * leaves the rule unusable and says so in `bad`; check once per rule.
 */
#ifndef IO_NFT_EXPR_H
#define IO_NFT_EXPR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct nftnl_rule;

struct nft_rule {
	struct nftnl_rule *r;
	bool bad;
	const void *xt_info; /* of nft_xt_queue(); the rule owns it */
};

/* The rule's table and chain; `note` (may be NULL) shows as a comment in `nft list ruleset`. */
void nft_rule_begin(struct nft_rule *n, const char *table, const char *chain, const char *note);
void nft_rule_end(struct nft_rule *n);

void nft_meta(struct nft_rule *n, uint32_t key);
void nft_meta_set(struct nft_rule *n, uint32_t key);
void nft_ct(struct nft_rule *n, uint32_t key);
void nft_ct_set(struct nft_rule *n, uint32_t key);
void nft_fib_daddr_type(struct nft_rule *n);
/* `len` bytes at `offset` of the transport header. */
void nft_transport(struct nft_rule *n, uint32_t offset, uint32_t len);
/* reg = (reg & mask) ^ xor, of `len` bytes in host order. */
void nft_bitwise(struct nft_rule *n, uint32_t len, const void *mask, const void * xor);
void nft_bitwise32(struct nft_rule *n, uint32_t mask, uint32_t xor);
void nft_cmp(struct nft_rule *n, bool equal, const void *data, uint32_t len);
void nft_cmp32(struct nft_rule *n, bool equal, uint32_t value);
void nft_cmp8(struct nft_rule *n, bool equal, uint8_t value);
void nft_lookup(struct nft_rule *n, const char *set);
/*
 * Incoming interface, source and destination address, protocol and destination port, one behind the other, each
 * padded to 4 bytes: is that in the set? The family must be known before.
 */
void nft_lookup_tuple(struct nft_rule *n, bool v6, const char *set);
void nft_counter(struct nft_rule *n);
void nft_verdict(struct nft_rule *n, uint32_t verdict);
void nft_jump(struct nft_rule *n, const char *chain);
void nft_reject(struct nft_rule *n, uint32_t type, uint8_t code);
void nft_queue(struct nft_rule *n, uint16_t first, uint16_t count, bool bypass);
/* The same by the xtables target, for kernels without the queue expression. */
void nft_xt_queue(struct nft_rule *n, uint16_t first, uint16_t count, bool bypass);

#endif
