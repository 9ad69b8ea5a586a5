/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Single nf_tables expressions appended to a rule. */
#include "io/nft_expr.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <libnftnl/udata.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/xt_NFQUEUE.h>

/* XT_ALIGN of struct xt_NFQ_info_v3: the kernel compares with the padded size. */
#define XT_NFQ_SIZE 8

/* Offsets in headers; the destination address follows the source address. */
enum { IP4_SOURCE = 12, IP6_SOURCE = 8, DEST_PORT = 2 };

static void rule_note(struct nftnl_rule *r, const char *note)
{
	struct nftnl_udata_buf *u = nftnl_udata_buf_alloc(NFTNL_UDATA_COMMENT_MAXLEN + 8);

	if (!u)
		return; /* a comment is not worth a failure */
	if (nftnl_udata_put_strz(u, NFTNL_UDATA_RULE_COMMENT, note))
		nftnl_rule_set_data(r, NFTNL_RULE_USERDATA, nftnl_udata_buf_data(u),
				    nftnl_udata_buf_len(u));
	nftnl_udata_buf_free(u);
}

void nft_rule_begin(struct nft_rule *n, const char *table, const char *chain, const char *note)
{
	*n = (struct nft_rule){.r = nftnl_rule_alloc()};
	if (!n->r) {
		n->bad = true;
		return;
	}
	if (nftnl_rule_set_str(n->r, NFTNL_RULE_TABLE, table) ||
	    nftnl_rule_set_str(n->r, NFTNL_RULE_CHAIN, chain))
		n->bad = true;
	if (note)
		rule_note(n->r, note);
}

void nft_rule_end(struct nft_rule *n)
{
	if (n->r)
		nftnl_rule_free(n->r);
	n->r = NULL;
}

/* An expression that is in the rule already; NULL and bad when there is no memory. */
static struct nftnl_expr *add(struct nft_rule *n, const char *name)
{
	struct nftnl_expr *e = n->bad ? NULL : nftnl_expr_alloc(name);

	if (!e) {
		n->bad = true;
		return NULL;
	}
	nftnl_rule_add_expr(n->r, e);
	return e;
}

static void put(struct nft_rule *n, struct nftnl_expr *e, uint16_t attr, const void *data,
		uint32_t len)
{
	if (nftnl_expr_set(e, attr, data, len) < 0)
		n->bad = true;
}

static void add_keyed(struct nft_rule *n, const char *name, uint16_t key_attr, uint32_t key,
		      uint16_t reg_attr)
{
	struct nftnl_expr *e = add(n, name);

	if (!e)
		return;
	nftnl_expr_set_u32(e, key_attr, key);
	nftnl_expr_set_u32(e, reg_attr, NFT_REG_1);
}

void nft_meta(struct nft_rule *n, uint32_t key)
{
	add_keyed(n, "meta", NFTNL_EXPR_META_KEY, key, NFTNL_EXPR_META_DREG);
}

void nft_meta_set(struct nft_rule *n, uint32_t key)
{
	add_keyed(n, "meta", NFTNL_EXPR_META_KEY, key, NFTNL_EXPR_META_SREG);
}

void nft_ct(struct nft_rule *n, uint32_t key)
{
	add_keyed(n, "ct", NFTNL_EXPR_CT_KEY, key, NFTNL_EXPR_CT_DREG);
}

void nft_ct_set(struct nft_rule *n, uint32_t key)
{
	add_keyed(n, "ct", NFTNL_EXPR_CT_KEY, key, NFTNL_EXPR_CT_SREG);
}

void nft_fib_daddr_type(struct nft_rule *n)
{
	struct nftnl_expr *e = add(n, "fib");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE);
	nftnl_expr_set_u32(e, NFTNL_EXPR_FIB_FLAGS, NFTA_FIB_F_DADDR);
	nftnl_expr_set_u32(e, NFTNL_EXPR_FIB_DREG, NFT_REG_1);
}

void nft_transport(struct nft_rule *n, uint32_t offset, uint32_t len)
{
	struct nftnl_expr *e = add(n, "payload");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_BASE, NFT_PAYLOAD_TRANSPORT_HEADER);
	nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_OFFSET, offset);
	nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_LEN, len);
	nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_DREG, NFT_REG_1);
}

void nft_bitwise(struct nft_rule *n, uint32_t len, const void *mask, const void * xor)
{
	struct nftnl_expr *e = add(n, "bitwise");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_SREG, NFT_REG_1);
	nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_DREG, NFT_REG_1);
	nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_OP, NFT_BITWISE_BOOL);
	nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_LEN, len);
	put(n, e, NFTNL_EXPR_BITWISE_MASK, mask, len);
	put(n, e, NFTNL_EXPR_BITWISE_XOR, xor, len);
}

void nft_bitwise32(struct nft_rule *n, uint32_t mask, uint32_t xor)
{
	nft_bitwise(n, sizeof(mask), &mask, &xor);
}

void nft_cmp(struct nft_rule *n, bool equal, const void *data, uint32_t len)
{
	struct nftnl_expr *e = add(n, "cmp");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_CMP_SREG, NFT_REG_1);
	nftnl_expr_set_u32(e, NFTNL_EXPR_CMP_OP, equal ? NFT_CMP_EQ : NFT_CMP_NEQ);
	put(n, e, NFTNL_EXPR_CMP_DATA, data, len);
}

void nft_cmp32(struct nft_rule *n, bool equal, uint32_t value)
{
	nft_cmp(n, equal, &value, sizeof(value));
}

void nft_cmp8(struct nft_rule *n, bool equal, uint8_t value)
{
	nft_cmp(n, equal, &value, sizeof(value));
}

void nft_lookup(struct nft_rule *n, const char *set)
{
	struct nftnl_expr *e = add(n, "lookup");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_LOOKUP_SREG, NFT_REG_1);
	if (nftnl_expr_set_str(e, NFTNL_EXPR_LOOKUP_SET, set) < 0)
		n->bad = true;
}

static void meta_to(struct nft_rule *n, uint32_t key, uint32_t reg)
{
	struct nftnl_expr *e = add(n, "meta");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_META_KEY, key);
	nftnl_expr_set_u32(e, NFTNL_EXPR_META_DREG, reg);
}

static void payload_to(struct nft_rule *n, uint32_t base, uint32_t offset, uint32_t len,
		       uint32_t reg)
{
	struct nftnl_expr *e = add(n, "payload");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_BASE, base);
	nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_OFFSET, offset);
	nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_LEN, len);
	nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_DREG, reg);
}

/* Register 1 is where NFT_REG32_00 is. */
void nft_lookup_tuple(struct nft_rule *n, bool v6, const char *set)
{
	uint32_t reg = NFT_REG32_00, words = v6 ? 4 : 1;
	uint32_t source = v6 ? IP6_SOURCE : IP4_SOURCE;

	meta_to(n, NFT_META_IIF, NFT_REG_1);
	payload_to(n, NFT_PAYLOAD_NETWORK_HEADER, source, 4 * words, reg + 1);
	payload_to(n, NFT_PAYLOAD_NETWORK_HEADER, source + 4 * words, 4 * words, reg + 1 + words);
	meta_to(n, NFT_META_L4PROTO, reg + 1 + 2 * words);
	payload_to(n, NFT_PAYLOAD_TRANSPORT_HEADER, DEST_PORT, 2, reg + 2 + 2 * words);
	nft_lookup(n, set);
}

void nft_counter(struct nft_rule *n)
{
	(void)add(n, "counter");
}

void nft_verdict(struct nft_rule *n, uint32_t verdict)
{
	struct nftnl_expr *e = add(n, "immediate");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT);
	nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_VERDICT, verdict);
}

void nft_jump(struct nft_rule *n, const char *chain)
{
	struct nftnl_expr *e = add(n, "immediate");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT);
	nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_VERDICT, (uint32_t)NFT_JUMP);
	if (nftnl_expr_set_str(e, NFTNL_EXPR_IMM_CHAIN, chain) < 0)
		n->bad = true;
}

void nft_reject(struct nft_rule *n, uint32_t type, uint8_t code)
{
	struct nftnl_expr *e = add(n, "reject");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_REJECT_TYPE, type);
	nftnl_expr_set_u8(e, NFTNL_EXPR_REJECT_CODE, code);
}

void nft_queue(struct nft_rule *n, uint16_t first, uint16_t count, bool bypass)
{
	struct nftnl_expr *e = add(n, "queue");

	if (!e)
		return;
	nftnl_expr_set_u16(e, NFTNL_EXPR_QUEUE_NUM, first);
	nftnl_expr_set_u16(e, NFTNL_EXPR_QUEUE_TOTAL, count);
	nftnl_expr_set_u16(e, NFTNL_EXPR_QUEUE_FLAGS, bypass ? NFT_QUEUE_FLAG_BYPASS : 0);
}

void nft_xt_queue(struct nft_rule *n, uint16_t first, uint16_t count, bool bypass)
{
	const struct xt_NFQ_info_v3 info = {
		.queuenum = first,
		.queues_total = count,
		.flags = bypass ? NFQ_FLAG_BYPASS : 0,
	};
	struct nftnl_expr *e = add(n, "target");
	void *copy = e ? calloc(1, XT_NFQ_SIZE) : NULL; /* the expression frees it */

	if (!copy) {
		n->bad = true;
		return;
	}
	n->xt_info = copy;
	memcpy(copy, &info, sizeof(info));
	if (nftnl_expr_set_str(e, NFTNL_EXPR_TG_NAME, "NFQUEUE") < 0)
		n->bad = true;
	nftnl_expr_set_u32(e, NFTNL_EXPR_TG_REV, 3);
	put(n, e, NFTNL_EXPR_TG_INFO, copy, XT_NFQ_SIZE);
}
