/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The hookup's rules as nf_tables expressions. */
#include <stdio.h>

#include "io/hook.h"

#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>

#include <libnftnl/rule.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_tables.h>

#include "io/nft_expr.h"

#define TCP_FLAGS_OFFSET 13
#define LO_INDEX         1 /* in every namespace */
#define DIR_ORIGINAL     0 /* enum ip_conntrack_dir */
#define DIR_REPLY        1

static void cmp_mark(struct nft_rule *n, const struct pend_hook *h, uint8_t mask, bool equal,
		     uint8_t value)
{
	nft_bitwise32(n, mark_bits(&h->mark, mask), 0);
	nft_cmp32(n, equal, mark_bits(&h->mark, value));
}

static void match_marks(struct nft_rule *n, const struct pend_hook *h, const struct hook_rule *r)
{
	if (r->match & HOOK_M_MARK) {
		nft_meta(n, NFT_META_MARK);
		cmp_mark(n, h, r->mark_mask, true, r->mark);
	}
	if (r->match & HOOK_M_MARK_NOT) {
		nft_meta(n, NFT_META_MARK);
		cmp_mark(n, h, 0xff, false, r->mark_not);
	}
	if (r->match & HOOK_M_CT_MARK) {
		nft_ct(n, NFT_CT_MARK);
		cmp_mark(n, h, r->ct_mask, true, r->ct_mark);
	}
	if (r->match & HOOK_M_CT_VALID) {
		nft_ct(n, NFT_CT_MARK);
		nft_bitwise32(n, h->mark.mask, 0);
		nft_lookup(n, HOOK_NFT_SET);
	}
}

static void match_protocol(struct nft_rule *n, uint8_t protocol)
{
	nft_meta(n, NFT_META_L4PROTO);
	nft_cmp8(n, true, protocol);
}

static void match_not_icmp(struct nft_rule *n, uint8_t family, uint8_t protocol, uint8_t type)
{
	nft_meta(n, NFT_META_NFPROTO);
	nft_cmp8(n, true, family);
	match_protocol(n, protocol);
	nft_transport(n, 0, 1);
	nft_cmp8(n, false, type);
}

static void match_flags(struct nft_rule *n, const struct hook_rule *r)
{
	const uint8_t zero = 0;

	nft_transport(n, TCP_FLAGS_OFFSET, 1);
	nft_bitwise(n, 1, &r->flags_mask, &zero);
	nft_cmp8(n, r->match & HOOK_M_FLAGS, r->flags);
}

static void match_direction(struct nft_rule *n, const struct hook_rule *r)
{
	if (!(r->match & (HOOK_M_ORIGINAL | HOOK_M_REPLY)))
		return;
	nft_ct(n, NFT_CT_DIRECTION);
	nft_cmp8(n, true, r->match & HOOK_M_REPLY ? DIR_REPLY : DIR_ORIGINAL);
}

static void match_decided(struct nft_rule *n, enum hook_set set)
{
	bool v6 = hook_set_is_v6(set);

	nft_meta(n, NFT_META_NFPROTO);
	nft_cmp8(n, true, v6 ? NFPROTO_IPV6 : NFPROTO_IPV4);
	nft_lookup_tuple(n, v6, hook_nft_set(set));
}

static void match(struct nft_rule *n, const struct pend_hook *h, const struct hook_rule *r)
{
	if (r->match & HOOK_M_LO) {
		nft_meta(n, NFT_META_IIF);
		nft_cmp32(n, true, LO_INDEX);
	}
	match_marks(n, h, r);
	if (r->match & HOOK_M_TCP)
		match_protocol(n, IPPROTO_TCP);
	if (r->match & HOOK_M_UDP)
		match_protocol(n, IPPROTO_UDP);
	if (r->match & (HOOK_M_FLAGS | HOOK_M_FLAGS_NOT))
		match_flags(n, r);
	if (r->match & HOOK_M_ICMP)
		match_not_icmp(n, NFPROTO_IPV4, IPPROTO_ICMP, ICMP_ECHO);
	if (r->match & HOOK_M_ICMP6)
		match_not_icmp(n, NFPROTO_IPV6, IPPROTO_ICMPV6, ICMP6_ECHO_REQUEST);
	if (r->match & HOOK_M_DST) {
		nft_fib_daddr_type(n);
		nft_cmp32(n, true, r->dst);
	}
	if (r->match & HOOK_M_STATE) {
		nft_ct(n, NFT_CT_STATE);
		nft_bitwise32(n, r->state, 0);
		nft_cmp32(n, false, 0);
	}
	if (r->match & HOOK_M_DNAT) {
		nft_ct(n, NFT_CT_STATUS);
		nft_bitwise32(n, IPS_DST_NAT, 0);
		nft_cmp32(n, false, 0);
	}
	match_direction(n, r);
	if (r->match & HOOK_M_DECIDED)
		match_decided(n, (enum hook_set)r->set);
}

static void queue(struct nft_rule *n, const struct pend_hook *h, bool bypass)
{
	const struct pend_hook_config *c = &h->config;

	if (h->xt_queue)
		nft_xt_queue(n, c->queue_first, c->queue_count, bypass);
	else
		nft_queue(n, c->queue_first, c->queue_count, bypass);
}

static void set_mark(struct nft_rule *n, const struct pend_hook *h, uint8_t value)
{
	nft_meta(n, NFT_META_MARK);
	nft_bitwise32(n, ~h->mark.mask, mark_bits(&h->mark, value));
	nft_meta_set(n, NFT_META_MARK);
}

static void act(struct nft_rule *n, const struct pend_hook *h, const struct hook_rule *r)
{
	switch (r->action) {
	case HOOK_DO_ACCEPT:
		nft_verdict(n, NF_ACCEPT);
		break;
	case HOOK_DO_DROP:
		nft_verdict(n, NF_DROP);
		break;
	case HOOK_DO_QUEUE:
		queue(n, h, h->config.fail_open);
		break;
	case HOOK_DO_QUEUE_OR_PASS:
		queue(n, h, true);
		break;
	case HOOK_DO_RESET:
		nft_reject(n, NFT_REJECT_TCP_RST, 0);
		break;
	case HOOK_DO_UNREACH:
		nft_reject(n, NFT_REJECT_ICMPX_UNREACH, NFT_REJECT_ICMPX_ADMIN_PROHIBITED);
		break;
	case HOOK_DO_STAMP:
		nft_ct(n, NFT_CT_MARK);
		nft_bitwise32(n, ~h->mark.mask, mark_bits(&h->mark, r->ct_mark));
		nft_ct_set(n, NFT_CT_MARK);
		break;
	case HOOK_DO_MARK:
		set_mark(n, h, r->mark);
		break;
	case HOOK_DO_CLEAR:
		set_mark(n, h, 0);
		break;
	case HOOK_DO_JUMP_DECIDED:
		nft_jump(n, hook_nft_chain(HOOK_CHAIN_DECIDED));
		break;
	case HOOK_DO_GOTO_STAMP: /* iptables only */
	case HOOK_DO_GOTO_PASS:
		n->bad = true;
		break;
	}
}

static void add_rule(struct nft_tx *t, const struct pend_hook *h, enum hook_chain chain,
		     const struct hook_rule *r)
{
	struct nlmsghdr *nlh;
	struct nft_rule n;

	nft_rule_begin(&n, h->name, hook_nft_chain(chain), r->note);
	match(&n, h, r);
	if (r->note)
		nft_counter(&n);
	act(&n, h, r);
	nlh = nft_tx_message(t, NFT_MSG_NEWRULE, NFPROTO_INET, NLM_F_CREATE | NLM_F_APPEND);
	if (nlh && !n.bad) {
		nftnl_rule_nlmsg_build_payload(nlh, n.r);
		nft_tx_done(t);
	}
	t->bad |= n.bad;
	nft_rule_end(&n);
}

void hook_nft_add_rules(struct nft_tx *t, const struct pend_hook *h, enum hook_chain chain)
{
	struct hook_policy p = hook_policy(h, HOOK_STYLE_NFT);
	struct hook_rule r[HOOK_RULES_MAX];
	unsigned n = hook_rules(&p, chain, r);

	for (unsigned i = 0; i < n; i++)
		add_rule(t, h, chain, &r[i]);
}
