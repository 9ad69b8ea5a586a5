/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The hookup's rules as text: for nft -f, and for iptables-restore --noflush. */
#include "io/hook.h"

#include <stdlib.h>

#include <netinet/in.h>

static uint32_t bits(const struct pend_hook *h, uint8_t value)
{
	return mark_bits(&h->mark, value);
}

static const char *dst_name(uint8_t dst, bool upper)
{
	switch ((enum hook_dst)dst) {
	case HOOK_DST_BROADCAST:
		return upper ? "BROADCAST" : "broadcast";
	case HOOK_DST_MULTICAST:
		return upper ? "MULTICAST" : "multicast";
	}
	return "?";
}

struct bit_name {
	unsigned bit;
	const char *lower, *upper;
};

static const struct bit_name state_names[] = {
	{HOOK_CT_INVALID, "invalid", "INVALID"},
	{HOOK_CT_ESTABLISHED, "established", "ESTABLISHED"},
	{HOOK_CT_RELATED, "related", "RELATED"},
	{HOOK_CT_NEW, "new", "NEW"},
	{HOOK_CT_UNTRACKED, "untracked", "UNTRACKED"},
	{0, NULL, NULL},
};

static const struct bit_name flag_names[] = {
	{1, "fin", "FIN"},  {2, "syn", "SYN"}, {4, "rst", "RST"},
	{16, "ack", "ACK"}, {0, NULL, NULL},
};

static void put_bits(FILE *f, const struct bit_name *names, unsigned value, bool upper,
		     const char *separator)
{
	const char *sep = "";

	for (; names->bit; names++) {
		if (!(value & names->bit))
			continue;
		fprintf(f, "%s%s", sep, upper ? names->upper : names->lower);
		sep = separator;
	}
}

/* ---- nft ---- */

static void nft_flags(FILE *f, const struct hook_rule *r)
{
	fputs("tcp flags & (", f);
	put_bits(f, flag_names, r->flags_mask, false, " | ");
	fprintf(f, ") %s ", r->match & HOOK_M_FLAGS ? "==" : "!=");
	put_bits(f, flag_names, r->flags, false, " | ");
	fputc(' ', f);
}

static void nft_marks(FILE *f, const struct pend_hook *h, const struct hook_rule *r)
{
	if (r->match & HOOK_M_MARK)
		fprintf(f, "meta mark & 0x%08x == 0x%08x ", bits(h, r->mark_mask),
			bits(h, r->mark));
	if (r->match & HOOK_M_MARK_NOT)
		fprintf(f, "meta mark & 0x%08x != 0x%08x ", h->mark.mask, bits(h, r->mark_not));
	if (r->match & HOOK_M_CT_MARK)
		fprintf(f, "ct mark & 0x%08x == 0x%08x ", bits(h, r->ct_mask), bits(h, r->ct_mark));
	if (r->match & HOOK_M_CT_VALID)
		fprintf(f, "ct mark & 0x%08x @" HOOK_NFT_SET " ", h->mark.mask);
}

static void nft_decided(FILE *f, enum hook_set set)
{
	const char *ip = hook_set_is_v6(set) ? "ip6" : "ip";

	fprintf(f, "iif . %s saddr . %s daddr . meta l4proto . th dport @%s ", ip, ip,
		hook_nft_set(set));
}

static void nft_match(FILE *f, const struct pend_hook *h, const struct hook_rule *r)
{
	if (r->match & HOOK_M_LO)
		fputs("iif \"lo\" ", f);
	nft_marks(f, h, r);
	if (r->match & HOOK_M_TCP)
		fputs("meta l4proto tcp ", f);
	if (r->match & HOOK_M_UDP)
		fputs("meta l4proto udp ", f);
	if (r->match & (HOOK_M_FLAGS | HOOK_M_FLAGS_NOT))
		nft_flags(f, r);
	if (r->match & HOOK_M_ICMP)
		fputs("icmp type != echo-request ", f);
	if (r->match & HOOK_M_ICMP6)
		fputs("icmpv6 type != echo-request ", f);
	if (r->match & HOOK_M_DST)
		fprintf(f, "fib daddr type %s ", dst_name(r->dst, false));
	if (r->match & HOOK_M_STATE) {
		fputs("ct state ", f);
		put_bits(f, state_names, r->state, false, ",");
		fputc(' ', f);
	}
	if (r->match & HOOK_M_DNAT)
		fputs("ct status dnat ", f);
	if (r->match & HOOK_M_ORIGINAL)
		fputs("ct direction original ", f);
	if (r->match & HOOK_M_REPLY)
		fputs("ct direction reply ", f);
	if (r->match & HOOK_M_DECIDED)
		nft_decided(f, (enum hook_set)r->set);
}

static void nft_queue_text(FILE *f, const struct pend_hook *h, bool bypass)
{
	unsigned first = h->config.queue_first, last = first + h->config.queue_count - 1u;

	fprintf(f, "queue num %u", first);
	if (last > first)
		fprintf(f, "-%u", last);
	if (bypass)
		fputs(" bypass", f);
}

static void nft_action(FILE *f, const struct pend_hook *h, const struct hook_rule *r)
{
	switch (r->action) {
	case HOOK_DO_ACCEPT:
		fputs("accept", f);
		break;
	case HOOK_DO_DROP:
		fputs("drop", f);
		break;
	case HOOK_DO_QUEUE:
		nft_queue_text(f, h, h->config.fail_open);
		break;
	case HOOK_DO_QUEUE_OR_PASS:
		nft_queue_text(f, h, true);
		break;
	case HOOK_DO_RESET:
		fputs("reject with tcp reset", f);
		break;
	case HOOK_DO_UNREACH:
		fputs("reject with icmpx type admin-prohibited", f);
		break;
	case HOOK_DO_STAMP:
		fprintf(f, "ct mark set ct mark & 0x%08x | 0x%08x", ~h->mark.mask,
			bits(h, r->ct_mark));
		break;
	case HOOK_DO_MARK:
		fprintf(f, "meta mark set meta mark & 0x%08x | 0x%08x", ~h->mark.mask,
			bits(h, r->mark));
		break;
	case HOOK_DO_CLEAR:
		fprintf(f, "meta mark set meta mark & 0x%08x", ~h->mark.mask);
		break;
	case HOOK_DO_JUMP_DECIDED:
		fprintf(f, "jump %s", hook_nft_chain(HOOK_CHAIN_DECIDED));
		break;
	case HOOK_DO_GOTO_STAMP: /* iptables only */
	case HOOK_DO_GOTO_PASS:
		break;
	}
}

static void nft_chain_text(FILE *f, const struct pend_hook *h, const struct hook_policy *p,
			   enum hook_chain chain)
{
	struct hook_rule r[HOOK_RULES_MAX];
	struct hook_base base = hook_nft_base(h, chain);
	unsigned n = hook_rules(p, chain, r);

	fprintf(f, "\tchain %s {\n", hook_nft_chain(chain));
	if (base.hook)
		fprintf(f, "\t\ttype filter hook %s priority %d; policy accept;\n", base.hook,
			base.priority);
	for (unsigned i = 0; i < n; i++) {
		fputs("\t\t", f);
		nft_match(f, h, &r[i]);
		if (r[i].note)
			fputs("counter ", f);
		nft_action(f, h, &r[i]);
		if (r[i].note)
			fprintf(f, " comment \"%s\"", r[i].note);
		fputc('\n', f);
	}
	fputs("\t}\n", f);
}

static void nft_sets_text(FILE *f, const struct hook_policy *p)
{
	for (int i = 0; i < HOOK_SET_COUNT && hook_chain_used(p, HOOK_CHAIN_DECIDED); i++) {
		const char *addr = hook_set_is_v6((enum hook_set)i) ? "ipv6_addr" : "ipv4_addr";

		fprintf(f,
			"\tset %s {\n\t\ttype iface_index . %s . %s . inet_proto . inet_service\n"
			"\t\tsize %u\n\t\tflags timeout\n\t}\n",
			hook_nft_set((enum hook_set)i), addr, addr, PEND_HOOK_DECISIONS_SIZE);
	}
}

static void nft_text(FILE *f, const struct pend_hook *h)
{
	struct hook_policy p = hook_policy(h, HOOK_STYLE_NFT);

	fprintf(f, "# For nft -f. Replace, do not load twice: nft delete table inet %s\n", h->name);
	fprintf(f, "table inet %s {\n", h->name);
	fprintf(f, "\tset " HOOK_NFT_SET " {\n\t\ttype mark\n\t\telements = { 0x%08x }\n\t}\n",
		mark_permit(&h->mark, p.epoch));
	nft_sets_text(f, &p);
	for (int c = 0; c < HOOK_CHAIN_COUNT; c++)
		if (hook_chain_used(&p, (enum hook_chain)c))
			nft_chain_text(f, h, &p, (enum hook_chain)c);
	fputs("}\n", f);
}

/* ---- iptables ---- */

static void ipt_marks(FILE *f, const struct pend_hook *h, const struct hook_rule *r, uint8_t epoch)
{
	if (r->match & HOOK_M_MARK)
		fprintf(f, " -m mark --mark 0x%x/0x%x", bits(h, r->mark), bits(h, r->mark_mask));
	if (r->match & HOOK_M_MARK_NOT)
		fprintf(f, " -m mark ! --mark 0x%x/0x%x", bits(h, r->mark_not), h->mark.mask);
	if (r->match & HOOK_M_CT_MARK)
		fprintf(f, " -m connmark --mark 0x%x/0x%x", bits(h, r->ct_mark),
			bits(h, r->ct_mask));
	if (r->match & HOOK_M_CT_VALID)
		fprintf(f, " -m connmark --mark 0x%x/0x%x", mark_permit(&h->mark, epoch),
			h->mark.mask);
}

static void ipt_flags(FILE *f, const struct hook_rule *r)
{
	fprintf(f, " -m tcp %s--tcp-flags ", r->match & HOOK_M_FLAGS ? "" : "! ");
	put_bits(f, flag_names, r->flags_mask, true, ",");
	fputc(' ', f);
	put_bits(f, flag_names, r->flags, true, ",");
}

static void ipt_match(FILE *f, const struct pend_hook *h, const struct hook_rule *r, uint8_t epoch)
{
	if (r->match & HOOK_M_ICMP)
		fputs(" -4 -p icmp -m icmp ! --icmp-type 8", f);
	if (r->match & HOOK_M_ICMP6)
		fputs(" -6 -p ipv6-icmp -m icmp6 ! --icmpv6-type 128", f);
	if (r->match & HOOK_M_DST && r->dst == HOOK_DST_BROADCAST)
		fputs(" -4", f); /* IPv6 has none, and addrtype refuses to look for it */
	if (r->match & HOOK_M_LO)
		fputs(" -i lo", f);
	if (r->match & HOOK_M_TCP)
		fputs(" -p tcp", f);
	if (r->match & (HOOK_M_FLAGS | HOOK_M_FLAGS_NOT))
		ipt_flags(f, r);
	ipt_marks(f, h, r, epoch);
	if (r->match & HOOK_M_DST)
		fprintf(f, " -m addrtype --dst-type %s", dst_name(r->dst, true));
	if (r->match & HOOK_M_STATE) {
		fputs(" -m conntrack --ctstate ", f);
		put_bits(f, state_names, r->state, true, ",");
	}
	if (r->match & HOOK_M_DNAT)
		fputs(" -m conntrack --ctstate DNAT", f);
	if (r->match & HOOK_M_ORIGINAL)
		fputs(" -m conntrack --ctdir ORIGINAL", f);
	if (r->match & HOOK_M_REPLY)
		fputs(" -m conntrack --ctdir REPLY", f);
}

static void ipt_queue(FILE *f, const struct pend_hook *h)
{
	unsigned first = h->config.queue_first, last = first + h->config.queue_count - 1u;

	if (last > first)
		fprintf(f, " -j NFQUEUE --queue-balance %u:%u", first, last);
	else
		fprintf(f, " -j NFQUEUE --queue-num %u", first);
	if (h->config.fail_open)
		fputs(" --queue-bypass", f);
}

static void ipt_action(FILE *f, const struct pend_hook *h, const struct hook_rule *r)
{
	char name[HOOK_IPT_NAME_MAX];

	switch (r->action) {
	case HOOK_DO_ACCEPT:
		fputs(" -j RETURN", f);
		break;
	case HOOK_DO_DROP:
		fputs(" -j DROP", f);
		break;
	case HOOK_DO_QUEUE:
		ipt_queue(f, h);
		break;
	case HOOK_DO_STAMP:
		fprintf(f, " -j CONNMARK --set-xmark 0x%x/0x%x", bits(h, r->ct_mark), h->mark.mask);
		break;
	case HOOK_DO_MARK:
		fprintf(f, " -j MARK --set-xmark 0x%x/0x%x", bits(h, r->mark), h->mark.mask);
		break;
	case HOOK_DO_CLEAR:
		fprintf(f, " -j MARK --set-xmark 0x0/0x%x", h->mark.mask);
		break;
	case HOOK_DO_GOTO_STAMP:
		fprintf(f, " -g %s", hook_ipt_chain(h, HOOK_CHAIN_PERMIT, name));
		break;
	case HOOK_DO_GOTO_PASS:
		fprintf(f, " -g %s", hook_ipt_chain(h, HOOK_CHAIN_PASS, name));
		break;
	case HOOK_DO_RESET: /* nft only */
	case HOOK_DO_UNREACH:
	case HOOK_DO_QUEUE_OR_PASS:
	case HOOK_DO_JUMP_DECIDED:
		break;
	}
}

void hook_text_ipt_declare(FILE *f, const struct pend_hook *h, enum hook_chain chain)
{
	char name[HOOK_IPT_NAME_MAX];

	fprintf(f, ":%s - [0:0]\n", hook_ipt_chain(h, chain, name));
}

void hook_text_ipt_rules(FILE *f, const struct pend_hook *h, enum hook_chain chain)
{
	struct hook_policy p = hook_policy(h, HOOK_STYLE_IPTABLES);
	struct hook_rule r[HOOK_RULES_MAX];
	char name[HOOK_IPT_NAME_MAX];
	unsigned n = hook_rules(&p, chain, r);

	for (unsigned i = 0; i < n; i++) {
		fprintf(f, "-A %s", hook_ipt_chain(h, chain, name));
		ipt_match(f, h, &r[i], p.epoch);
		ipt_action(f, h, &r[i]);
		fputc('\n', f);
	}
}

static void ipt_table_text(FILE *f, const struct pend_hook *h, bool clear)
{
	struct hook_policy p = hook_policy(h, HOOK_STYLE_IPTABLES);
	char name[HOOK_IPT_NAME_MAX];

	if (clear)
		fprintf(f, "*%s\n", h->ipt.clear_table ? h->ipt.clear_table : "raw");
	else
		fprintf(f, "*%s\n", h->ipt.tag_table ? h->ipt.tag_table : "security");
	for (int i = 0; i < HOOK_CHAIN_COUNT; i++)
		if (hook_chain_used(&p, (enum hook_chain)i) && (i == HOOK_CHAIN_CLEAR) == clear)
			hook_text_ipt_declare(f, h, (enum hook_chain)i);
	for (int i = 0; i < HOOK_CHAIN_COUNT; i++) {
		enum hook_chain c = (enum hook_chain)i;

		if (!hook_chain_used(&p, c) || (c == HOOK_CHAIN_CLEAR) != clear)
			continue;
		hook_text_ipt_rules(f, h, c);
		if (hook_ipt_parent(c))
			fprintf(f, "-I %s 1 -j %s\n", hook_ipt_parent(c),
				hook_ipt_chain(h, c, name));
	}
	fputs("COMMIT\n", f);
}

static void ipt_text(FILE *f, const struct pend_hook *h)
{
	fputs("# For iptables-restore --noflush and ip6tables-restore --noflush, each once: loading\n"
	      "# it again adds the jumps (-I) again.\n",
	      f);
	ipt_table_text(f, h, true);
	ipt_table_text(f, h, false);
}

/* ---- */

static char *to_text(const struct pend_hook *h, void (*write)(FILE *, const struct pend_hook *))
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);
	bool bad;

	if (!f)
		return NULL;
	write(f, h);
	bad = ferror(f);
	if (fclose(f) || bad) {
		free(text);
		return NULL;
	}
	return text;
}

char *hook_text_nft(const struct pend_hook *h)
{
	return to_text(h, nft_text);
}

char *hook_text_iptables(const struct pend_hook *h)
{
	return to_text(h, ipt_text);
}
