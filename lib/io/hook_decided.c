/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sets of connections that are decided in the kernel: pend_hook_decide() and its like.
 *
 * Their elements go by themselves. What the kernel counts by them starts anew when the rules are replaced, so what was
 * counted before is kept here.
 */
#include <stdio.h>

#include "io/hook.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <libnftnl/set.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>

/* What nft calls the parts of a key, 6 bits each; for `nft list` only. */
enum { TYPE_IP = 7, TYPE_IP6 = 8, TYPE_PROTO = 12, TYPE_SERVICE = 13, TYPE_IFINDEX = 20 };
#define TYPE_BITS 6

#define FIRST_ID    2 /* 1 is the set of epochs */
#define GC_MS       10000
#define PERMIT_SETS 2 /* HOOK_SET_PERMIT4, HOOK_SET_PERMIT6 */
#define DUMP_TRIES  8

struct key {
	uint8_t b[4 + 2 * 16 + 4 + 4];
	uint32_t len;
};

const char *hook_nft_set(enum hook_set set)
{
	static const char *const names[HOOK_SET_COUNT] = {
		[HOOK_SET_PERMIT4] = "permit4",       [HOOK_SET_PERMIT6] = "permit6",
		[HOOK_SET_DROP4] = "drop4",           [HOOK_SET_DROP6] = "drop6",
		[HOOK_SET_RESET4] = "reset4",         [HOOK_SET_RESET6] = "reset6",
		[HOOK_SET_UNREACH4] = "unreachable4", [HOOK_SET_UNREACH6] = "unreachable6",
	};

	return names[set];
}

bool hook_decides(const struct pend_hook *h)
{
	struct hook_policy p = hook_policy(h, HOOK_STYLE_NFT);

	return h->kind == PEND_HOOK_NFT && hook_chain_used(&p, HOOK_CHAIN_DECIDED);
}

static uint32_t key_type(bool v6)
{
	uint32_t addr = v6 ? TYPE_IP6 : TYPE_IP, t = TYPE_IFINDEX;

	t = t << TYPE_BITS | addr;
	t = t << TYPE_BITS | addr;
	t = t << TYPE_BITS | TYPE_PROTO;
	return t << TYPE_BITS | TYPE_SERVICE;
}

static uint32_t key_len(bool v6)
{
	return 4 + (v6 ? 32 : 8) + 4 + 4;
}

static struct nftnl_set *set_of(const struct pend_hook *h, enum hook_set set)
{
	struct nftnl_set *s = nftnl_set_alloc();

	if (!s)
		return NULL;
	nftnl_set_set_str(s, NFTNL_SET_TABLE, h->name);
	nftnl_set_set_str(s, NFTNL_SET_NAME, hook_nft_set(set));
	nftnl_set_set_u32(s, NFTNL_SET_FAMILY, NFPROTO_INET);
	nftnl_set_set_u32(s, NFTNL_SET_ID, FIRST_ID + (uint32_t)set);
	return s;
}

static void put_set(struct nft_tx *t, const struct pend_hook *h, enum hook_set set)
{
	struct nlmsghdr *nlh = nft_tx_message(t, NFT_MSG_NEWSET, NFPROTO_INET, NLM_F_CREATE);
	struct nftnl_set *s = set_of(h, set);

	if (nlh && s) {
		nftnl_set_set_u32(s, NFTNL_SET_FLAGS, NFT_SET_TIMEOUT);
		nftnl_set_set_u32(s, NFTNL_SET_KEY_TYPE, key_type(hook_set_is_v6(set)));
		nftnl_set_set_u32(s, NFTNL_SET_KEY_LEN, key_len(hook_set_is_v6(set)));
		nftnl_set_set_u32(s, NFTNL_SET_DESC_SIZE, PEND_HOOK_DECISIONS_SIZE);
		nftnl_set_set_u32(s, NFTNL_SET_GC_INTERVAL, GC_MS);
		nftnl_set_nlmsg_build_payload(nlh, s);
		nft_tx_done(t);
	}
	t->bad |= !s;
	if (s)
		nftnl_set_free(s);
}

static void put_flush(struct nft_tx *t, const struct pend_hook *h, enum hook_set set)
{
	struct nlmsghdr *nlh = nft_tx_message(t, NFT_MSG_DELSETELEM, NFPROTO_INET, 0);

	if (!nlh)
		return;
	mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_TABLE, h->name);
	mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_SET, hook_nft_set(set));
	nft_tx_done(t);
}

void hook_decided_put(struct nft_tx *t, const struct pend_hook *h)
{
	if (!hook_decides(h))
		return;
	for (int i = 0; i < HOOK_SET_COUNT; i++) {
		put_set(t, h, (enum hook_set)i);
		put_flush(t, h, (enum hook_set)i);
	}
}

/* ---- add ---- */

static enum hook_set set_for(const struct pend_hook_decision *d)
{
	unsigned v6 = d->family == 6, kind = HOOK_SET_PERMIT4;

	if (d->verdict == PEND_VERDICT_BLOCK)
		switch ((enum pend_block)d->block) {
		case PEND_BLOCK_DROP:
			kind = HOOK_SET_DROP4;
			break;
		case PEND_BLOCK_RESET:
			kind = d->protocol == IPPROTO_TCP ? HOOK_SET_RESET4 : HOOK_SET_UNREACH4;
			break;
		case PEND_BLOCK_UNREACHABLE:
			kind = HOOK_SET_UNREACH4;
			break;
		}
	return (enum hook_set)(kind + v6);
}

static bool valid(const struct pend_hook_decision *d)
{
	return (d->family == 4 || d->family == 6) &&
	       (d->protocol == IPPROTO_TCP || d->protocol == IPPROTO_UDP) &&
	       (d->verdict == PEND_VERDICT_PERMIT || d->verdict == PEND_VERDICT_BLOCK) &&
	       d->block <= PEND_BLOCK_UNREACHABLE && d->in_interface && d->timeout_ms;
}

static void put_bytes(struct key *k, const void *data, uint32_t len)
{
	memcpy(k->b + k->len, data, len);
	k->len += (len + 3) & ~3u;
}

static struct key key_of(const struct pend_hook_decision *d)
{
	uint32_t addr = d->family == 6 ? 16 : 4;
	uint16_t port = htons(d->dest_port);
	struct key k = {.len = 0};

	put_bytes(&k, &d->in_interface, sizeof(d->in_interface));
	put_bytes(&k, d->source, addr);
	put_bytes(&k, d->dest, addr);
	put_bytes(&k, &d->protocol, sizeof(d->protocol));
	put_bytes(&k, &port, sizeof(port));
	return k;
}

static bool add_element(struct nftnl_set *s, const struct pend_hook_decision *d)
{
	struct nftnl_set_elem *e = nftnl_set_elem_alloc();
	struct key k = key_of(d);

	if (!e)
		return false;
	nftnl_set_elem_add(s, e); /* freed with the set */
	nftnl_set_elem_set_u64(e, NFTNL_SET_ELEM_TIMEOUT, d->timeout_ms);
	return nftnl_set_elem_set(e, NFTNL_SET_ELEM_KEY, k.b, k.len) == 0;
}

static void put_elements(struct nft_tx *t, const struct pend_hook *h, enum hook_set set,
			 const struct pend_hook_decision *d, unsigned n)
{
	struct nftnl_set *s = NULL;
	struct nlmsghdr *nlh;
	bool good = true;

	for (unsigned i = 0; i < n && good; i++) {
		if (set_for(&d[i]) != set)
			continue;
		if (!s)
			s = set_of(h, set);
		good = s && add_element(s, &d[i]);
	}
	t->bad |= !good;
	nlh = s && good ? nft_tx_message(t, NFT_MSG_NEWSETELEM, NFPROTO_INET, NLM_F_CREATE) : NULL;
	if (nlh) {
		nftnl_set_elems_nlmsg_build_payload(nlh, s);
		nft_tx_done(t);
	}
	if (s)
		nftnl_set_free(s);
}

static enum pend_status refused(struct pend_hook *h, int err)
{
	if (err == -ENFILE) {
		err_set(&h->err, err, "a set of decisions in table inet %s is full", h->name);
		return PEND_E_LIMIT;
	}
	err_sys(&h->err, err, "cannot change the decisions in table inet %s", h->name);
	return hook_status(err);
}

/* A socket is there once the rules are. */
static bool ready(const struct pend_hook *h)
{
	return hook_decides(h) && h->nft.nl;
}

bool pend_hook_can_decide(const struct pend_hook *h)
{
	return h && hook_decides(h);
}

enum pend_status pend_hook_decide(struct pend_hook *h, const struct pend_hook_decision *d,
				  unsigned n)
{
	struct nft_tx t;
	int err;

	if (!h || (n && !d))
		return PEND_E_NULL_POINTER;
	if (!ready(h))
		return PEND_E_UNSUPPORTED;
	for (unsigned i = 0; i < n; i++)
		if (!valid(&d[i]))
			return PEND_E_INVALID;
	if (n > PEND_HOOK_DECISIONS_MAX)
		return PEND_E_INVALID;
	if (!n)
		return PEND_OK;
	nft_tx_begin(&t, &h->nft);
	for (int i = 0; i < HOOK_SET_COUNT; i++)
		put_elements(&t, h, (enum hook_set)i, d, n);
	err = nft_tx_commit(&t, false);
	return err ? refused(h, err) : PEND_OK;
}

enum pend_status pend_hook_undecide(struct pend_hook *h)
{
	struct nft_tx t;
	int err;

	if (!h)
		return PEND_E_NULL_POINTER;
	if (!ready(h))
		return PEND_E_UNSUPPORTED;
	nft_tx_begin(&t, &h->nft);
	for (int i = 0; i < HOOK_SET_COUNT; i++)
		put_flush(&t, h, (enum hook_set)i);
	err = nft_tx_commit(&t, false);
	return err ? refused(h, err) : PEND_OK;
}

/* ---- count ---- */

struct counts {
	const struct pend_hook *h;
	unsigned seen; /* rules that count, so far: their order is that of the sets */
	uint64_t permits, blocks;
};

static int add_count(struct nftnl_expr *e, void *data)
{
	struct counts *c = data;
	uint64_t n;

	if (strcmp(nftnl_expr_get_str(e, NFTNL_EXPR_NAME), "counter") != 0)
		return 0;
	n = nftnl_expr_get_u64(e, NFTNL_EXPR_CTR_PACKETS);
	if (c->seen++ < PERMIT_SETS)
		c->permits += n;
	else
		c->blocks += n;
	return 0;
}

static int count_rule(const struct nlmsghdr *nlh, void *data)
{
	struct nftnl_rule *r = nftnl_rule_alloc();
	struct counts *c = data;

	if (!r)
		return MNL_CB_ERROR;
	if (nftnl_rule_nlmsg_parse(nlh, r) == 0 &&
	    strcmp(nftnl_rule_get_str(r, NFTNL_RULE_TABLE), c->h->name) == 0 &&
	    strcmp(nftnl_rule_get_str(r, NFTNL_RULE_CHAIN), hook_nft_chain(HOOK_CHAIN_DECIDED)) ==
		    0)
		nftnl_expr_foreach(r, add_count, c);
	nftnl_rule_free(r);
	return MNL_CB_OK;
}

static void ask_chain(struct nlmsghdr *nlh, void *data)
{
	const struct counts *c = data;

	mnl_attr_put_strz(nlh, NFTA_RULE_TABLE, c->h->name);
	mnl_attr_put_strz(nlh, NFTA_RULE_CHAIN, hook_nft_chain(HOOK_CHAIN_DECIDED));
}

/* Without the chain, nothing was counted. */
static int count(struct pend_hook *h, struct counts *c)
{
	int err = -EINTR;

	for (int i = 0; i < DUMP_TRIES && err == -EINTR; i++) {
		*c = (struct counts){.h = h};
		err = nft_get(&h->nft, NFT_MSG_GETRULE, NFPROTO_INET, NLM_F_DUMP, ask_chain,
			      count_rule, c);
	}
	return err == -ENOENT ? 0 : err;
}

void hook_decided_keep(struct pend_hook *h)
{
	struct counts c;

	if (!ready(h) || !h->nft_digest || count(h, &c))
		return;
	h->decided_permits += c.permits;
	h->decided_blocks += c.blocks;
}

enum pend_status pend_hook_decided(struct pend_hook *h, struct pend_hook_decided *out)
{
	struct counts c = {.permits = 0};
	int err;

	if (!h || !out)
		return PEND_E_NULL_POINTER;
	err = ready(h) ? count(h, &c) : 0;
	if (err)
		return refused(h, err);
	*out = (struct pend_hook_decided){h->decided_permits + c.permits,
					  h->decided_blocks + c.blocks};
	return PEND_OK;
}
