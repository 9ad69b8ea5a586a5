/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What this kernel can do for us, asked of the kernel itself. */
#include "io/probe.h"

#include <errno.h>
#include <stdio.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <libnftnl/chain.h>
#include <libnftnl/rule.h>
#include <libnftnl/table.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>

#include "base/str.h"
#include "io/nft.h"
#include "io/nft_expr.h"

#define PROBE_CHAIN "probe"

static const struct {
	unsigned bit;
	const char *name;
} names[] = {
	{PROBE_NFT, "nft"},
	{PROBE_NFT_OWNER, "nft owner"},
	{PROBE_NFT_QUEUE, "nft queue"},
	{PROBE_NFT_XT_QUEUE, "nft xtables NFQUEUE"},
	{PROBE_NFT_CT_MARK, "ct mark"},
	{PROBE_NFT_FIB, "nft fib"},
	{PROBE_NFT_REJECT, "nft reject"},
	{PROBE_RAW4, "raw IPv4 socket"},
	{PROBE_RAW6, "raw IPv6 socket"},
	{PROBE_SECURITY4, "IPv4 security table"},
	{PROBE_SECURITY6, "IPv6 security table"},
};

#define NAMES (sizeof(names) / sizeof(*names))

static void ask_queue(struct nft_rule *r)
{
	nft_queue(r, 0, 1, false);
}

static void ask_xt_queue(struct nft_rule *r)
{
	nft_xt_queue(r, 0, 1, false);
}

static void ask_ct_mark(struct nft_rule *r)
{
	nft_ct(r, NFT_CT_MARK);
	nft_bitwise32(r, 0xffffffff, 0);
	nft_ct_set(r, NFT_CT_MARK);
}

static void ask_fib(struct nft_rule *r)
{
	nft_fib_daddr_type(r);
}

static void ask_reject(struct nft_rule *r)
{
	nft_reject(r, NFT_REJECT_ICMPX_UNREACH, NFT_REJECT_ICMPX_ADMIN_PROHIBITED);
}

static const struct {
	unsigned bit;
	void (*ask)(struct nft_rule *r);
} questions[] = {
	{PROBE_NFT_QUEUE, ask_queue},     {PROBE_NFT_XT_QUEUE, ask_xt_queue},
	{PROBE_NFT_CT_MARK, ask_ct_mark}, {PROBE_NFT_FIB, ask_fib},
	{PROBE_NFT_REJECT, ask_reject},
};

#define QUESTIONS (sizeof(questions) / sizeof(*questions))

static void put_table(struct nft_tx *t, const char *name, uint32_t flags)
{
	struct nlmsghdr *nlh = nft_tx_message(t, NFT_MSG_NEWTABLE, NFPROTO_INET,
					      NLM_F_CREATE | NLM_F_EXCL);
	struct nftnl_table *table = nftnl_table_alloc();

	if (nlh && table) {
		nftnl_table_set_str(table, NFTNL_TABLE_NAME, name);
		nftnl_table_set_u32(table, NFTNL_TABLE_FLAGS, flags);
		nftnl_table_nlmsg_build_payload(nlh, table);
		nft_tx_done(t);
	}
	t->bad |= !table;
	if (table)
		nftnl_table_free(table);
}

static void put_chain(struct nft_tx *t, const char *table)
{
	struct nlmsghdr *nlh = nft_tx_message(t, NFT_MSG_NEWCHAIN, NFPROTO_INET, NLM_F_CREATE);
	struct nftnl_chain *chain = nftnl_chain_alloc();

	if (nlh && chain) {
		nftnl_chain_set_str(chain, NFTNL_CHAIN_TABLE, table);
		nftnl_chain_set_str(chain, NFTNL_CHAIN_NAME, PROBE_CHAIN);
		nftnl_chain_nlmsg_build_payload(nlh, chain);
		nft_tx_done(t);
	}
	t->bad |= !chain;
	if (chain)
		nftnl_chain_free(chain);
}

static void put_question(struct nft_tx *t, const char *table, void (*ask)(struct nft_rule *r))
{
	struct nlmsghdr *nlh;
	struct nft_rule r;

	nft_rule_begin(&r, table, PROBE_CHAIN, NULL);
	ask(&r);
	nlh = nft_tx_message(t, NFT_MSG_NEWRULE, NFPROTO_INET, NLM_F_CREATE | NLM_F_APPEND);
	if (nlh && !r.bad) {
		nftnl_rule_nlmsg_build_payload(nlh, r.r);
		nft_tx_done(t);
	}
	t->bad |= r.bad;
	nft_rule_end(&r);
}

/* 0 or an error after which nothing is known; a refusal of single parts is an answer. */
static int ask_nft(struct nft *n, unsigned *bits)
{
	char plain[32], owned[32];
	struct nft_tx t;
	int err;

	snprintf(plain, sizeof(plain), "pend-probe-%ld", (long)getpid());
	snprintf(owned, sizeof(owned), "pend-owned-%ld", (long)getpid());
	nft_tx_begin(&t, n);
	put_table(&t, plain, 0);
	put_chain(&t, plain);
	put_table(&t, owned, NFT_TABLE_F_OWNER);
	for (size_t i = 0; i < QUESTIONS; i++)
		put_question(&t, plain, questions[i].ask);
	err = nft_tx_commit(&t, true);
	if (err == -EPERM || err == -ENOMEM || err == -ENOBUFS)
		return err;
	if (!t.err[0] && !t.err[1])
		*bits |= PROBE_NFT;
	if (!t.err[2])
		*bits |= PROBE_NFT_OWNER;
	for (size_t i = 0; i < QUESTIONS; i++)
		if (!t.err[3 + i])
			*bits |= questions[i].bit;
	return 0;
}

static bool raw_socket(int family)
{
	int fd = socket(family, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

/* The kernel lists a table of the old iptables once something in the namespace has used it. */
static bool table_listed(const char *path, const char *table)
{
	FILE *f = fopen(path, "re");
	char line[64];
	bool found = false;

	while (f && !found && fgets(line, sizeof(line), f)) {
		size_t len = 0;

		while (line[len] && line[len] != '\n')
			len++;
		line[len] = 0;
		found = str_eq(line, table);
	}
	if (f)
		fclose(f);
	return found;
}

int probe_kernel(unsigned *bits, struct err *e)
{
	struct nft n;
	unsigned b = 0;
	int err = nft_open(&n, -1);

	if (!err) {
		err = ask_nft(&n, &b);
		nft_close(&n);
	}
	if (err == -EPERM)
		return err_set(e, err, "probing nf_tables needs CAP_NET_ADMIN");
	if (err && err != -EPROTONOSUPPORT)
		return err_sys(e, err, "probing nf_tables failed");
	if (raw_socket(AF_INET))
		b |= PROBE_RAW4;
	if (raw_socket(AF_INET6))
		b |= PROBE_RAW6;
	if ((b & PROBE_NFT) || table_listed("/proc/net/ip_tables_names", "security"))
		b |= PROBE_SECURITY4;
	if ((b & PROBE_NFT) || table_listed("/proc/net/ip6_tables_names", "security"))
		b |= PROBE_SECURITY6;
	*bits = b;
	return 0;
}

const char *probe_name(unsigned bit)
{
	for (size_t i = 0; i < NAMES; i++)
		if (names[i].bit == bit)
			return names[i].name;
	return NULL;
}

static void list(unsigned bits, char *buf, size_t cap, size_t *len)
{
	const char *sep = "";

	for (size_t i = 0; i < NAMES; i++) {
		if (!(bits & names[i].bit))
			continue;
		str_append(buf, cap, len, "%s%s", sep, names[i].name);
		sep = ", ";
	}
}

const char *probe_text(unsigned bits, char *buf, size_t cap)
{
	unsigned missing = 0;
	size_t len = 0;

	buf[0] = 0;
	for (size_t i = 0; i < NAMES; i++)
		missing |= ~bits & names[i].bit;
	list(bits, buf, cap, &len);
	if (missing)
		str_append(buf, cap, &len, "%smissing: ", len ? "; " : "");
	list(missing, buf, cap, &len);
	return buf;
}

bool probe_nft_ready(unsigned bits, char *why, size_t cap)
{
	unsigned missing = PROBE_NFT_NEEDED & ~bits;
	size_t len = 0;

	if (!(bits & PROBE_NFT_QUEUES))
		missing |= PROBE_NFT_QUEUE;
	if (why && cap) {
		why[0] = 0;
		list(missing, why, cap, &len);
	}
	return !missing;
}
