/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The hookup by nf_tables: one table `inet NAME` that belongs to our netlink socket.
 *
 * Nobody else's `flush ruleset` takes it away, and it goes when the socket goes. Each change is one
 * transaction. Taking a base chain away drops every packet that is held in the namespace (L6), so
 * that happens in two cases only: on removal, and when the chains that are there are not the
 * ones that are wanted (another set of hooks, another priority, a leftover that no socket owns).
 */
#include <stdio.h>

#include "io/hook.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <libnftnl/chain.h>
#include <libnftnl/expr.h>
#include <libnftnl/gen.h>
#include <libnftnl/rule.h>
#include <libnftnl/set.h>
#include <libnftnl/table.h>
#include <libnftnl/udata.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>

#define CLEAR_PRIORITY (-310) /* before raw (-300), behind defragmentation (-400) */
#define STAMP_AFTER    10     /* the stamp chain's distance to the tag chain */
#define TYPE_MARK      19     /* what nft calls the set's keys; for `nft list` only */
#define HOST_ORDER     1      /* so too */
#define DUMP_TRIES     8

const char *hook_nft_chain(enum hook_chain chain)
{
	switch (chain) {
	case HOOK_CHAIN_CLEAR:
		return "clear";
	case HOOK_CHAIN_TAG_INPUT:
		return "tag-input";
	case HOOK_CHAIN_TAG_FORWARD:
		return "tag-forward";
	case HOOK_CHAIN_STAMP_INPUT:
		return "stamp-input";
	case HOOK_CHAIN_STAMP_FORWARD:
		return "stamp-forward";
	case HOOK_CHAIN_TAG_OUTPUT:
		return "tag-output";
	case HOOK_CHAIN_STAMP_OUTPUT:
		return "stamp-output";
	case HOOK_CHAIN_DECIDED:
		return "decided";
	case HOOK_CHAIN_PERMIT:
	case HOOK_CHAIN_PASS:
	case HOOK_CHAIN_COUNT:
		break;
	}
	return NULL;
}

struct hook_base hook_nft_base(const struct pend_hook *h, enum hook_chain chain)
{
	int tag = h->config.priority, stamp = tag + STAMP_AFTER;

	switch (chain) {
	case HOOK_CHAIN_CLEAR:
		return (struct hook_base){"prerouting", NF_INET_PRE_ROUTING, CLEAR_PRIORITY};
	case HOOK_CHAIN_TAG_INPUT:
		return (struct hook_base){"input", NF_INET_LOCAL_IN, tag};
	case HOOK_CHAIN_TAG_FORWARD:
		return (struct hook_base){"forward", NF_INET_FORWARD, tag};
	case HOOK_CHAIN_STAMP_INPUT:
		return (struct hook_base){"input", NF_INET_LOCAL_IN, stamp};
	case HOOK_CHAIN_STAMP_FORWARD:
		return (struct hook_base){"forward", NF_INET_FORWARD, stamp};
	case HOOK_CHAIN_TAG_OUTPUT:
		return (struct hook_base){"output", NF_INET_LOCAL_OUT, tag};
	case HOOK_CHAIN_STAMP_OUTPUT:
		return (struct hook_base){"output", NF_INET_LOCAL_OUT, stamp};
	case HOOK_CHAIN_DECIDED: /* of no hook: others jump there */
	case HOOK_CHAIN_PERMIT:
	case HOOK_CHAIN_PASS:
	case HOOK_CHAIN_COUNT:
		break;
	}
	return (struct hook_base){NULL, 0, 0};
}

/* ---- what is there ---- */

enum table_state { TABLE_ABSENT, TABLE_OURS, TABLE_UNOWNED, TABLE_FOREIGN };

struct look {
	const struct pend_hook *h;
	enum table_state state;
	uint32_t owner;
	unsigned chains; /* 1 << enum hook_chain: there, as wanted */
	bool other;      /* a base chain that is not as wanted */
	char old[HOOK_NAME_MAX +
		 1];   /* another table of our socket: it was adopted and the name changed */
	bool iptables; /* chains of the iptables hookup were left behind by another run */
};

static void judge_table(struct look *l, const struct nftnl_table *t)
{
	const char *name = nftnl_table_get_str(t, NFTNL_TABLE_NAME);
	bool owned = nftnl_table_is_set(t, NFTNL_TABLE_OWNER);
	uint32_t owner = owned ? nftnl_table_get_u32(t, NFTNL_TABLE_OWNER) : 0;
	bool ours = owned && owner == l->h->nft.portid;

	if (strcmp(name, l->h->name) == 0) {
		l->owner = owner;
		l->state = ours ? TABLE_OURS : owned ? TABLE_FOREIGN : TABLE_UNOWNED;
	} else if (ours) {
		snprintf(l->old, sizeof(l->old), "%s", name);
	}
}

static int see_table(const struct nlmsghdr *nlh, void *data)
{
	struct nftnl_table *t = nftnl_table_alloc();

	if (!t)
		return MNL_CB_ERROR;
	if (nftnl_table_nlmsg_parse(nlh, t) == 0)
		judge_table(data, t);
	nftnl_table_free(t);
	return MNL_CB_OK;
}

static bool chain_as_wanted(const struct pend_hook *h, enum hook_chain c,
			    const struct nftnl_chain *chain)
{
	struct hook_policy p = hook_policy(h, HOOK_STYLE_NFT);
	struct hook_base base = hook_nft_base(h, c);

	if (!hook_chain_used(&p, c) ||
	    strcmp(nftnl_chain_get_str(chain, NFTNL_CHAIN_NAME), hook_nft_chain(c)) != 0)
		return false;
	if (!base.hook)
		return !nftnl_chain_is_set(chain, NFTNL_CHAIN_HOOKNUM);
	return nftnl_chain_is_set(chain, NFTNL_CHAIN_HOOKNUM) &&
	       nftnl_chain_get_u32(chain, NFTNL_CHAIN_HOOKNUM) == base.number &&
	       nftnl_chain_get_s32(chain, NFTNL_CHAIN_PRIO) == base.priority;
}

static bool is_ipt_chain(const struct pend_hook *h, const struct nftnl_chain *chain)
{
	const char *name = nftnl_chain_get_str(chain, NFTNL_CHAIN_NAME);
	char buf[HOOK_IPT_NAME_MAX];

	return strcmp(name, hook_ipt_chain(h, HOOK_CHAIN_TAG_INPUT, buf)) == 0 ||
	       strcmp(name, hook_ipt_chain(h, HOOK_CHAIN_TAG_FORWARD, buf)) == 0;
}

static int see_chain(const struct nlmsghdr *nlh, void *data)
{
	struct nftnl_chain *c = nftnl_chain_alloc();
	struct look *l = data;
	bool known = false;

	if (!c)
		return MNL_CB_ERROR;
	if (nftnl_chain_nlmsg_parse(nlh, c) < 0) {
		nftnl_chain_free(c);
		return MNL_CB_OK;
	}
	if (nftnl_chain_get_u32(c, NFTNL_CHAIN_FAMILY) != NFPROTO_INET) {
		l->iptables |= is_ipt_chain(l->h, c);
	} else if (strcmp(nftnl_chain_get_str(c, NFTNL_CHAIN_TABLE), l->h->name) == 0) {
		for (int i = 0; i < HOOK_CHAIN_COUNT && !known; i++)
			if (chain_as_wanted(l->h, (enum hook_chain)i, c)) {
				l->chains |= 1u << i;
				known = true;
			}
		l->other |= !known;
	}
	nftnl_chain_free(c);
	return MNL_CB_OK;
}

static int look(struct pend_hook *h, struct look *l)
{
	int err = -EINTR;

	for (int i = 0; i < DUMP_TRIES && err == -EINTR; i++) {
		*l = (struct look){.h = h, .state = TABLE_ABSENT};
		err = nft_get(&h->nft, NFT_MSG_GETTABLE, NFPROTO_INET, NLM_F_DUMP, NULL, see_table,
			      l);
		if (!err)
			err = nft_get(&h->nft, NFT_MSG_GETCHAIN, NFPROTO_UNSPEC, NLM_F_DUMP, NULL,
				      see_chain, l);
	}
	if (err == -EPERM)
		return err_set(&h->err, err, "reading nf_tables needs CAP_NET_ADMIN");
	return err ? err_sys(&h->err, err, "cannot read table inet %s", h->name) : 0;
}

/* ---- a digest of all that could have been changed ---- */

struct digest {
	const struct pend_hook *h;
	uint64_t sum;
};

static void mix(struct digest *d, const void *data, size_t len)
{
	const uint8_t *p = data;

	for (size_t i = 0; i < len; i++)
		d->sum = (d->sum ^ p[i]) * 0x100000001b3ull;
}

static void mix_text(struct digest *d, const char *s)
{
	if (s)
		mix(d, s, strlen(s) + 1);
}

static int mix_expr(struct nftnl_expr *e, void *data)
{
	char text[512];

	/* A counter counts, all else stays. */
	if (strcmp(nftnl_expr_get_str(e, NFTNL_EXPR_NAME), "counter") == 0)
		return 0;
	mix_text(data, nftnl_expr_get_str(e, NFTNL_EXPR_NAME));
	if (nftnl_expr_snprintf(text, sizeof(text), e, NFTNL_OUTPUT_DEFAULT, 0) > 0)
		mix_text(data, text);
	return 0;
}

static int mix_rule(const struct nlmsghdr *nlh, void *data)
{
	struct nftnl_rule *r = nftnl_rule_alloc();
	struct digest *d = data;
	uint64_t handle;

	if (!r)
		return MNL_CB_ERROR;
	if (nftnl_rule_nlmsg_parse(nlh, r) == 0 &&
	    strcmp(nftnl_rule_get_str(r, NFTNL_RULE_TABLE), d->h->name) == 0) {
		handle = nftnl_rule_get_u64(r, NFTNL_RULE_HANDLE);
		mix(d, &handle, sizeof(handle));
		mix_text(d, nftnl_rule_get_str(r, NFTNL_RULE_CHAIN));
		nftnl_expr_foreach(r, mix_expr, d);
	}
	nftnl_rule_free(r);
	return MNL_CB_OK;
}

static int mix_elem(struct nftnl_set_elem *e, void *data)
{
	uint32_t len;
	const void *key = nftnl_set_elem_get(e, NFTNL_SET_ELEM_KEY, &len);

	mix(data, key, len);
	return 0;
}

static int mix_set(const struct nlmsghdr *nlh, void *data)
{
	struct nftnl_set *s = nftnl_set_alloc();

	if (!s)
		return MNL_CB_ERROR;
	if (nftnl_set_elems_nlmsg_parse(nlh, s) == 0)
		nftnl_set_elem_foreach(s, mix_elem, data);
	nftnl_set_free(s);
	return MNL_CB_OK;
}

static void ask_rules(struct nlmsghdr *nlh, void *data)
{
	const struct digest *d = data;

	mnl_attr_put_strz(nlh, NFTA_RULE_TABLE, d->h->name);
}

static void ask_elems(struct nlmsghdr *nlh, void *data)
{
	const struct digest *d = data;

	mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_TABLE, d->h->name);
	mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_SET, HOOK_NFT_SET);
}

static int see_generation(const struct nlmsghdr *nlh, void *data)
{
	struct nftnl_gen *g = nftnl_gen_alloc();
	uint32_t *out = data;

	if (!g)
		return MNL_CB_ERROR;
	if (nftnl_gen_nlmsg_parse(nlh, g) == 0)
		*out = nftnl_gen_get_u32(g, NFTNL_GEN_ID);
	nftnl_gen_free(g);
	return MNL_CB_OK;
}

static int generation(struct pend_hook *h, uint32_t *out)
{
	int err = nft_get(&h->nft, NFT_MSG_GETGEN, 0, 0, NULL, see_generation, out);

	return err ? err_sys(&h->err, err, "cannot read nf_tables' generation") : 0;
}

static int digest(struct pend_hook *h, const struct look *l, uint64_t *out)
{
	struct digest d;
	int err = -EINTR;

	for (int i = 0; i < DUMP_TRIES && err == -EINTR; i++) {
		d = (struct digest){.h = h, .sum = 0xcbf29ce484222325ull};
		mix(&d, &l->chains, sizeof(l->chains));
		err = nft_get(&h->nft, NFT_MSG_GETRULE, NFPROTO_INET, NLM_F_DUMP, ask_rules,
			      mix_rule, &d);
		if (!err)
			err = nft_get(&h->nft, NFT_MSG_GETSETELEM, NFPROTO_INET, NLM_F_DUMP,
				      ask_elems, mix_set, &d);
	}
	if (err)
		return err_sys(&h->err, err, "cannot read the rules of table inet %s", h->name);
	*out = d.sum | 1; /* 0 means that there is none */
	return 0;
}

/* What we just made is what verify compares with. The generation is read first: a change by somebody
 * else in between costs one more comparison and hides nothing. */
static int remember(struct pend_hook *h)
{
	struct look l;
	int err = generation(h, &h->nft_generation);

	h->nft_digest = 0;
	if (!err)
		err = look(h, &l);
	return err ? err : digest(h, &l, &h->nft_digest);
}

/* ---- messages ---- */

static void put_table(struct nft_tx *t, const char *name, uint16_t type)
{
	bool make = type == NFT_MSG_NEWTABLE;
	struct nlmsghdr *nlh = nft_tx_message(t, type, NFPROTO_INET, make ? NLM_F_CREATE : 0);
	struct nftnl_table *table = nftnl_table_alloc();

	if (nlh && table) {
		nftnl_table_set_str(table, NFTNL_TABLE_NAME, name);
		if (make)
			nftnl_table_set_u32(table, NFTNL_TABLE_FLAGS, NFT_TABLE_F_OWNER);
		nftnl_table_nlmsg_build_payload(nlh, table);
		nft_tx_done(t);
	}
	t->bad |= !table;
	if (table)
		nftnl_table_free(table);
}

static void put_chain(struct nft_tx *t, const struct pend_hook *h, enum hook_chain c)
{
	struct hook_base base = hook_nft_base(h, c);
	struct nlmsghdr *nlh = nft_tx_message(t, NFT_MSG_NEWCHAIN, NFPROTO_INET, NLM_F_CREATE);
	struct nftnl_chain *chain = nftnl_chain_alloc();

	if (nlh && chain) {
		nftnl_chain_set_str(chain, NFTNL_CHAIN_TABLE, h->name);
		nftnl_chain_set_str(chain, NFTNL_CHAIN_NAME, hook_nft_chain(c));
		if (base.hook) {
			nftnl_chain_set_str(chain, NFTNL_CHAIN_TYPE, "filter");
			nftnl_chain_set_u32(chain, NFTNL_CHAIN_HOOKNUM, base.number);
			nftnl_chain_set_s32(chain, NFTNL_CHAIN_PRIO, base.priority);
			nftnl_chain_set_u32(chain, NFTNL_CHAIN_POLICY, NF_ACCEPT);
		}
		nftnl_chain_nlmsg_build_payload(nlh, chain);
		nft_tx_done(t);
	}
	t->bad |= !chain;
	if (chain)
		nftnl_chain_free(chain);
}

static void put_flush_chain(struct nft_tx *t, const struct pend_hook *h, enum hook_chain c)
{
	struct nlmsghdr *nlh = nft_tx_message(t, NFT_MSG_DELRULE, NFPROTO_INET, 0);

	if (!nlh)
		return;
	mnl_attr_put_strz(nlh, NFTA_RULE_TABLE, h->name);
	mnl_attr_put_strz(nlh, NFTA_RULE_CHAIN, hook_nft_chain(c));
	nft_tx_done(t);
}

static struct nftnl_set *valid_set(const struct pend_hook *h)
{
	struct nftnl_set *s = nftnl_set_alloc();

	if (!s)
		return NULL;
	nftnl_set_set_str(s, NFTNL_SET_TABLE, h->name);
	nftnl_set_set_str(s, NFTNL_SET_NAME, HOOK_NFT_SET);
	nftnl_set_set_u32(s, NFTNL_SET_FAMILY, NFPROTO_INET);
	nftnl_set_set_u32(s, NFTNL_SET_KEY_TYPE, TYPE_MARK);
	nftnl_set_set_u32(s, NFTNL_SET_KEY_LEN, sizeof(uint32_t));
	nftnl_set_set_u32(s, NFTNL_SET_ID, 1);
	return s;
}

/* nft shows keys of unknown byte order as if they were in network order. */
static void set_byte_order(struct nftnl_set *s)
{
	struct nftnl_udata_buf *u = nftnl_udata_buf_alloc(32);

	if (!u)
		return;
	if (nftnl_udata_put_u32(u, NFTNL_UDATA_SET_KEYBYTEORDER, HOST_ORDER))
		nftnl_set_set_data(s, NFTNL_SET_USERDATA, nftnl_udata_buf_data(u),
				   nftnl_udata_buf_len(u));
	nftnl_udata_buf_free(u);
}

static void put_set(struct nft_tx *t, const struct pend_hook *h)
{
	struct nlmsghdr *nlh = nft_tx_message(t, NFT_MSG_NEWSET, NFPROTO_INET, NLM_F_CREATE);
	struct nftnl_set *s = valid_set(h);

	if (nlh && s) {
		set_byte_order(s);
		nftnl_set_nlmsg_build_payload(nlh, s);
		nft_tx_done(t);
	}
	t->bad |= !s;
	if (s)
		nftnl_set_free(s);
}

static void put_flush_set(struct nft_tx *t, const struct pend_hook *h)
{
	struct nlmsghdr *nlh = nft_tx_message(t, NFT_MSG_DELSETELEM, NFPROTO_INET, 0);

	if (!nlh)
		return;
	mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_TABLE, h->name);
	mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_SET, HOOK_NFT_SET);
	nft_tx_done(t);
}

static void put_valid_epoch(struct nft_tx *t, const struct pend_hook *h)
{
	uint32_t key = mark_permit(&h->mark, h->config.epoch);
	struct nlmsghdr *nlh = nft_tx_message(t, NFT_MSG_NEWSETELEM, NFPROTO_INET, NLM_F_CREATE);
	struct nftnl_set *s = valid_set(h);
	struct nftnl_set_elem *e = s ? nftnl_set_elem_alloc() : NULL;

	if (e) {
		if (nftnl_set_elem_set(e, NFTNL_SET_ELEM_KEY, &key, sizeof(key)) < 0)
			t->bad = true;
		nftnl_set_elem_add(s, e); /* freed with the set */
	}
	if (nlh && e) {
		nftnl_set_elems_nlmsg_build_payload(nlh, s);
		nft_tx_done(t);
	}
	t->bad |= !e;
	if (s)
		nftnl_set_free(s);
}

/* ---- operations ---- */

static int foreign(struct pend_hook *h, const struct look *l)
{
	return err_set(
		&h->err, -EBUSY,
		"table inet %s belongs to another process (netlink port %u, often its process "
		"id): stop it, or choose another name",
		h->name, l->owner);
}

static int refused(struct pend_hook *h, const struct nft_tx *t, int err)
{
	if (err == -EPERM && t->err[0] > 0)
		return err_set(&h->err, err, "changing nf_tables needs CAP_NET_ADMIN");
	if (err == -EPERM || err == -EEXIST || err == -EBUSY)
		return err_set(&h->err, -EBUSY,
			       "table inet %s was taken by another process: stop it, or choose "
			       "another name",
			       h->name);
	return err_sys(&h->err, err, "the kernel refused the rules of table inet %s", h->name);
}

/* All chains, empty, and then their rules: one that is jumped to is there before. */
static void put_chains(struct nft_tx *t, const struct pend_hook *h, unsigned there)
{
	struct hook_policy p = hook_policy(h, HOOK_STYLE_NFT);

	for (int i = 0; i < HOOK_CHAIN_COUNT; i++) {
		enum hook_chain c = (enum hook_chain)i;

		if (!hook_chain_used(&p, c))
			continue;
		if (there & 1u << i)
			put_flush_chain(t, h, c);
		else
			put_chain(t, h, c);
	}
	for (int i = 0; i < HOOK_CHAIN_COUNT; i++)
		hook_nft_add_rules(t, h, (enum hook_chain)i);
}

static int replace(struct pend_hook *h, const struct look *l)
{
	bool keep = l->state == TABLE_OURS && !l->other;
	struct nft_tx t;
	int err;

	hook_decided_keep(h);
	nft_tx_begin(&t, &h->nft);
	if (l->state != TABLE_ABSENT && !keep)
		put_table(&t, h->name, NFT_MSG_DELTABLE);
	if (l->old[0])
		put_table(&t, l->old, NFT_MSG_DELTABLE);
	put_table(&t, h->name, NFT_MSG_NEWTABLE);
	put_set(&t, h);
	if (keep)
		put_flush_set(&t, h);
	put_valid_epoch(&t, h);
	hook_decided_put(&t, h);
	put_chains(&t, h, keep ? l->chains : 0);
	err = nft_tx_commit(&t, false);
	return err ? refused(h, &t, err) : remember(h);
}

int hook_nft_install(struct pend_hook *h)
{
	struct look l;
	int err = look(h, &l);

	if (err)
		return err;
	h->warning[0] = 0;
	if (l.iptables)
		snprintf(
			h->warning, sizeof(h->warning),
			"rules of an iptables hookup of the same name are still there: packets are "
			"queued twice until they are removed");
	return l.state == TABLE_FOREIGN ? foreign(h, &l) : replace(h, &l);
}

int hook_nft_repair(struct pend_hook *h)
{
	return hook_nft_install(h);
}

int hook_nft_verify(struct pend_hook *h)
{
	uint32_t gen = 0;
	uint64_t sum = 0;
	struct look l;
	int err = generation(h, &gen);

	if (err || (h->nft_digest && gen == h->nft_generation))
		return err;
	err = look(h, &l);
	if (err)
		return err;
	if (l.state == TABLE_ABSENT)
		return err_set(&h->err, -ENOENT, "table inet %s is not there", h->name);
	if (l.state != TABLE_OURS || !h->nft_digest)
		return err_set(&h->err, -ENOENT, "table inet %s was not made by this program",
			       h->name);
	err = digest(h, &l, &sum);
	if (err)
		return err;
	if (l.other || sum != h->nft_digest)
		return err_set(&h->err, -ENOENT, "the rules of table inet %s were changed",
			       h->name);
	h->nft_generation = gen;
	return 0;
}

int hook_nft_remove(struct pend_hook *h)
{
	struct nft_tx t;
	struct look l;
	int err = look(h, &l);

	if (err)
		return err;
	if (l.state == TABLE_FOREIGN)
		return foreign(h, &l);
	hook_decided_keep(h);
	h->nft_digest = 0;
	if (l.state == TABLE_ABSENT)
		return 0;
	nft_tx_begin(&t, &h->nft);
	put_table(&t, h->name, NFT_MSG_DELTABLE);
	err = nft_tx_commit(&t, false);
	return err ? refused(h, &t, err) : 0;
}

int hook_nft_set_epoch(struct pend_hook *h)
{
	static const enum hook_chain stamps[] = {HOOK_CHAIN_STAMP_INPUT, HOOK_CHAIN_STAMP_FORWARD,
						 HOOK_CHAIN_STAMP_OUTPUT, HOOK_CHAIN_DECIDED};
	struct hook_policy p = hook_policy(h, HOOK_STYLE_NFT);
	struct nft_tx t;
	int err;

	hook_decided_keep(h);
	nft_tx_begin(&t, &h->nft);
	put_flush_set(&t, h);
	put_valid_epoch(&t, h);
	for (size_t i = 0; i < sizeof(stamps) / sizeof(*stamps); i++) {
		if (!hook_chain_used(&p, stamps[i]))
			continue;
		put_flush_chain(&t, h, stamps[i]);
		hook_nft_add_rules(&t, h, stamps[i]);
	}
	err = nft_tx_commit(&t, false);
	if (err == -ENOENT)
		return err_set(&h->err, err, "table inet %s is not there", h->name);
	return err ? refused(h, &t, err) : remember(h);
}
