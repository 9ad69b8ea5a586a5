/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The hookup by iptables: chains of our own, and one jump to each from a built-in chain.
 *
 * The chains that queue are in the `security` table: it runs behind `filter`, so that only what the
 * host's own filter accepted is ever held, and an ACCEPT there cannot hide us, as it would a rule at
 * the end of filter INPUT. Where the kernel has no security table (an old iptables on a kernel
 * without it) `mangle` is used: that is before the filter, which then judges what we let in. Jumps
 * are put first, so that no ACCEPT in the same table hides us either.
 *
 * Every change is one run per family of iptables-restore --noflush, which changes each table
 * atomically and leaves the built-in chains, and so all held packets, alone (L6). Only our chains and
 * rules that jump to them are touched.
 */
#include <stdio.h>

#include "io/hook.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "io/exec.h"

#define FAMILIES 2

static const char *const families[FAMILIES] = {"IPv4", "IPv6"};
static const char *const prefixes[FAMILIES] = {"iptables", "ip6tables"};
static const char *const tables[] = {"raw", "mangle", "security"};

#define TABLES (sizeof(tables) / sizeof(*tables))

static const char *suffix(enum hook_chain chain)
{
	switch (chain) {
	case HOOK_CHAIN_CLEAR:
		return "CLEAR";
	case HOOK_CHAIN_TAG_INPUT:
		return "IN";
	case HOOK_CHAIN_TAG_FORWARD:
		return "FWD";
	case HOOK_CHAIN_TAG_OUTPUT:
		return "OUT";
	case HOOK_CHAIN_PERMIT:
		return "PERMIT";
	case HOOK_CHAIN_PASS:
		return "PASS";
	case HOOK_CHAIN_STAMP_INPUT: /* nft only */
	case HOOK_CHAIN_STAMP_FORWARD:
	case HOOK_CHAIN_STAMP_OUTPUT:
	case HOOK_CHAIN_DECIDED:
	case HOOK_CHAIN_COUNT:
		break;
	}
	return NULL;
}

const char *hook_ipt_chain(const struct pend_hook *h, enum hook_chain chain,
			   char buf[HOOK_IPT_NAME_MAX])
{
	const char *s = suffix(chain);
	size_t n = 0;

	if (!s)
		return NULL;
	for (; h->name[n]; n++)
		buf[n] = (char)toupper((unsigned char)h->name[n]);
	snprintf(buf + n, HOOK_IPT_NAME_MAX - n, "-%s", s);
	return buf;
}

const char *hook_ipt_parent(enum hook_chain chain)
{
	switch (chain) {
	case HOOK_CHAIN_CLEAR:
		return "PREROUTING";
	case HOOK_CHAIN_TAG_INPUT:
		return "INPUT";
	case HOOK_CHAIN_TAG_FORWARD:
		return "FORWARD";
	case HOOK_CHAIN_TAG_OUTPUT:
		return "OUTPUT";
	case HOOK_CHAIN_PERMIT:
	case HOOK_CHAIN_PASS:
	case HOOK_CHAIN_STAMP_INPUT:
	case HOOK_CHAIN_STAMP_FORWARD:
	case HOOK_CHAIN_STAMP_OUTPUT:
	case HOOK_CHAIN_DECIDED:
	case HOOK_CHAIN_COUNT:
		break;
	}
	return NULL;
}

/* ---- the programs ---- */

/* "iptables-nft-save"; without a variant's own name the plain one. */
static bool find_tool(const struct hook_ipt *i, int family, const char *what,
		      char path[EXEC_PATH_MAX])
{
	char name[48];

	snprintf(name, sizeof(name), "%s-%s-%s", prefixes[family], i->variant, what);
	if (exec_find(name, path))
		return true;
	snprintf(name, sizeof(name), "%s-%s", prefixes[family], what);
	return exec_find(name, path);
}

static int run_tool(struct pend_hook *h, int family, const char *what, const char *arg1,
		    const char *arg2, const char *arg3, const char *input, struct exec_out *out)
{
	char path[EXEC_PATH_MAX];
	const char *const argv[] = {path, arg1, arg2, arg3, NULL};
	int err;

	if (!find_tool(&h->ipt, family, what, path))
		return err_set(&h->err, -EOPNOTSUPP, "%s-%s was not found: install iptables",
			       prefixes[family], what);
	err = exec_run(argv, input, out);
	return err ? err_sys(&h->err, err, "running %s failed", path) : 0;
}

/* What the tool said, on one line and without its remarks on other tables ("# Warning: ..."). */
static void one_line(char *said)
{
	char *out = said;

	for (char *line = said, *next; *line; line = next) {
		size_t len = strcspn(line, "\n");

		next = line + len + (line[len] != 0);
		if (*line == '#')
			continue;
		if (out != said)
			*out++ = ' ';
		memmove(out, line, len);
		out += len;
	}
	*out = 0;
}

/* The tools have no number for why they failed. */
static int reason(const char *said)
{
	static const struct {
		const char *words;
		int err;
	} reasons[] = {
		{"Permission denied", -EPERM},          {"must be root", -EPERM},
		{"missing kernel module", -EOPNOTSUPP}, {"No chain/target/match", -EOPNOTSUPP},
		{"Table does not exist", -EOPNOTSUPP},  {"Couldn't load", -EOPNOTSUPP},
	};

	for (size_t i = 0; i < sizeof(reasons) / sizeof(*reasons); i++)
		if (strstr(said, reasons[i].words))
			return reasons[i].err;
	return -EIO;
}

static int tool_failed(struct pend_hook *h, int family, const char *what, struct exec_out *out)
{
	int err;

	one_line(out->said);
	err = reason(out->said);
	free(out->text);
	return err_set(&h->err, err, "%s-%s failed (status %d): %s", prefixes[family], what,
		       out->status, out->said[0] ? out->said : "it did not say why");
}

/* iptables-save of one table, or of all that are in use; *text is malloced. */
static int save(struct pend_hook *h, int family, const char *table, char **text)
{
	struct exec_out out = {0};
	int err = run_tool(h, family, "save", table ? "-t" : NULL, table, NULL, NULL, &out);

	if (err)
		return err;
	if (out.status)
		return tool_failed(h, family, "save", &out);
	*text = out.text;
	return 0;
}

static int restore(struct pend_hook *h, int family, const char *input)
{
	struct exec_out out = {0};
	int err = run_tool(h, family, "restore", "--noflush", "-w", "5", input, &out);

	if (err)
		return err;
	if (out.status)
		return tool_failed(h, family, "restore", &out);
	free(out.text);
	return 0;
}

/* `iptables -V` ends in (nf_tables) or (legacy); before 1.8 there was no other than the latter. */
static int detect_variant(struct pend_hook *h)
{
	char path[EXEC_PATH_MAX];
	const char *const argv[] = {path, "-V", NULL};
	struct exec_out out = {0};
	int err;

	if (h->variant[0]) {
		memcpy(h->ipt.variant, h->variant, sizeof(h->ipt.variant));
		return 0;
	}
	if (!exec_find("iptables", path))
		return err_set(&h->err, -EOPNOTSUPP,
			       "iptables was not found: install it, or use nft");
	err = exec_run(argv, NULL, &out);
	if (err)
		return err_sys(&h->err, err, "running %s -V failed", path);
	snprintf(h->ipt.variant, sizeof(h->ipt.variant), "%s",
		 strstr(out.text, "nf_tables") ? "nft" : "legacy");
	free(out.text);
	return 0;
}

static void warn(struct pend_hook *h)
{
	static const char *const paths[] = {"/proc/net/ip_tables_names",
					    "/proc/net/ip6_tables_names"};
	bool legacy = false;

	for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
		FILE *f = fopen(paths[i], "re");

		legacy |= f && fgetc(f) != EOF;
		if (f)
			fclose(f);
	}
	h->warning[0] = 0;
	if (legacy && str_eq(h->ipt.variant, "nft"))
		snprintf(
			h->warning, sizeof(h->warning),
			"tables of iptables-legacy are in use beside iptables-nft; packets pass through "
			"both (iptables-legacy-save shows them)");
	else if (h->ipt.tag_table && str_eq(h->ipt.tag_table, "mangle"))
		snprintf(
			h->warning, sizeof(h->warning),
			"iptables has no table \"security\" here: connections are decided in \"mangle\", "
			"before the host's own filter sees them");
}

static bool table_works(struct pend_hook *h, int family, const char *table)
{
	char *text = NULL;
	bool works = save(h, family, table, &text) == 0;

	free(text);
	return works;
}

/* Which program, which families, which tables. Asked once, and again by install: to ask takes as long
 * as all the rest. */
static int prepare(struct pend_hook *h, bool again)
{
	struct hook_ipt *i = &h->ipt;
	int err = i->tag_table && !again ? 0 : detect_variant(h);

	if (err)
		return err;
	if (i->tag_table && !again) {
		warn(h);
		return 0;
	}
	i->ipv6 = access("/proc/net/if_inet6", F_OK) == 0;
	i->tag_table = "security";
	i->clear_table = "raw";
	for (int f = 0; f < (i->ipv6 ? 2 : 1); f++) {
		if (!table_works(h, f, "security"))
			i->tag_table = "mangle";
		if (!table_works(h, f, "raw"))
			i->clear_table = "mangle";
	}
	warn(h);
	h->err = (struct err){0};
	return 0;
}

/* ---- reading what is there ---- */

/* One of our chains by its name; -1 if it is not ours. */
static int chain_of(const struct pend_hook *h, const char *name, size_t len)
{
	char buf[HOOK_IPT_NAME_MAX];

	for (int c = 0; c < HOOK_CHAIN_COUNT; c++)
		if (hook_ipt_chain(h, (enum hook_chain)c, buf) && strlen(buf) == len &&
		    memcmp(buf, name, len) == 0)
			return c;
	return -1;
}

static bool wanted(const struct pend_hook *h, enum hook_chain c, const char *table)
{
	struct hook_policy p = hook_policy(h, HOOK_STYLE_IPTABLES);

	return hook_chain_used(&p, c) &&
	       str_eq(table, c == HOOK_CHAIN_CLEAR ? h->ipt.clear_table : h->ipt.tag_table);
}

/* A line of iptables-save that concerns us. */
struct line {
	const char *text;
	size_t len;
	int chain; /* the chain of ours that it declares, fills or jumps to */
	enum { LINE_CHAIN, LINE_RULE, LINE_JUMP } what;
	bool plain; /* a jump exactly as we make it */
};

/* The chain that a rule ends in, by -j or -g. */
static int target_of(const struct pend_hook *h, const char *s, size_t len)
{
	int found = -1;

	for (size_t i = 0; i + 4 < len; i++) {
		size_t from = i + 4, to = from;

		if (memcmp(s + i, " -j ", 4) && memcmp(s + i, " -g ", 4))
			continue;
		while (to < len && s[to] != ' ')
			to++;
		found = chain_of(h, s + from, to - from);
	}
	return found;
}

static bool is_plain_jump(const struct pend_hook *h, const struct line *l)
{
	char want[96], name[HOOK_IPT_NAME_MAX];
	const char *parent = hook_ipt_parent((enum hook_chain)l->chain);
	int n;

	if (!parent)
		return false;
	n = snprintf(want, sizeof(want), "-A %s -j %s", parent,
		     hook_ipt_chain(h, (enum hook_chain)l->chain, name));
	return (size_t)n == l->len && memcmp(want, l->text, l->len) == 0;
}

static bool classify_line(const struct pend_hook *h, const char *s, size_t len, struct line *l)
{
	size_t skip = len > 1 && s[0] == ':' ? 1 : 3, end = skip;

	if (len <= 3 || (s[0] != ':' && memcmp(s, "-A ", 3)))
		return false;
	while (end < len && s[end] != ' ')
		end++;
	*l = (struct line){.text = s, .len = len, .chain = chain_of(h, s + skip, end - skip)};
	if (l->chain >= 0) {
		l->what = s[0] == ':' ? LINE_CHAIN : LINE_RULE;
		return true;
	}
	l->what = LINE_JUMP;
	l->chain = s[0] == ':' ? -1 : target_of(h, s, len);
	l->plain = l->chain >= 0 && is_plain_jump(h, l);
	return l->chain >= 0;
}

/* The next line of ours inside of `table`; *at moves on in the text. */
static bool next_line(const struct pend_hook *h, const char **at, const char *table, bool *inside,
		      struct line *l)
{
	while (*at && **at) {
		const char *s = *at;
		size_t len = strcspn(s, "\n");

		*at = s[len] ? s + len + 1 : s + len;
		if (s[0] == '*')
			*inside = strlen(table) == len - 1 && memcmp(s + 1, table, len - 1) == 0;
		else if (*inside && classify_line(h, s, len, l))
			return true;
	}
	return false;
}

struct facts {
	unsigned present; /* 1 << chain */
	unsigned rules[HOOK_CHAIN_COUNT];
	unsigned jumps[HOOK_CHAIN_COUNT]; /* plain ones */
};

static struct facts gather(const struct pend_hook *h, const char *text, const char *table)
{
	struct facts f = {0};
	bool inside = false;
	struct line l;

	while (next_line(h, &text, table, &inside, &l)) {
		if (l.what == LINE_CHAIN)
			f.present |= 1u << l.chain;
		else if (l.what == LINE_RULE)
			f.rules[l.chain]++;
		else if (l.plain)
			f.jumps[l.chain]++;
	}
	return f;
}

/* All lines of ours without their counters: what verify compares. */
static char *digest(const struct pend_hook *h, const char *text)
{
	char *out = NULL;
	size_t size;
	FILE *f = open_memstream(&out, &size);
	struct line l;

	for (size_t t = 0; f && t < TABLES; t++) {
		const char *at = text;
		bool inside = false;

		fprintf(f, "*%s\n", tables[t]);
		while (next_line(h, &at, tables[t], &inside, &l))
			fprintf(f, "%.*s\n",
				(int)(l.what == LINE_CHAIN ? strcspn(l.text, " ") : l.len), l.text);
	}
	if (f && fclose(f)) {
		free(out);
		out = NULL;
	}
	return out;
}

/* ---- changing it ---- */

/* Jumps that should not be: to a chain that is to go, doubled, or made by somebody else. */
static void drop_jumps(FILE *f, const struct pend_hook *h, const char *text, const char *table,
		       bool want)
{
	unsigned seen[HOOK_CHAIN_COUNT] = {0};
	bool inside = false;
	struct line l;

	while (next_line(h, &text, table, &inside, &l)) {
		bool keep = want && wanted(h, (enum hook_chain)l.chain, table);

		if (l.what != LINE_JUMP || (keep && l.plain && !seen[l.chain]++))
			continue;
		if (!keep || l.plain)
			fprintf(f, "-D%.*s\n", (int)l.len - 2, l.text + 2);
	}
}

static void drop_chains(FILE *f, const struct pend_hook *h, const char *table,
			const struct facts *facts, bool want, char how)
{
	char name[HOOK_IPT_NAME_MAX];

	for (int c = 0; c < HOOK_CHAIN_COUNT; c++)
		if (facts->present & 1u << c && !(want && wanted(h, (enum hook_chain)c, table)))
			fprintf(f, "-%c %s\n", how, hook_ipt_chain(h, (enum hook_chain)c, name));
}

static void fill_chains(FILE *f, const struct pend_hook *h, const char *table,
			const struct facts *facts)
{
	char name[HOOK_IPT_NAME_MAX];

	for (int i = 0; i < HOOK_CHAIN_COUNT; i++) {
		enum hook_chain c = (enum hook_chain)i;

		if (!wanted(h, c, table))
			continue;
		hook_text_ipt_rules(f, h, c);
		if (hook_ipt_parent(c) && !facts->jumps[c])
			fprintf(f, "-I %s 1 -j %s\n", hook_ipt_parent(c),
				hook_ipt_chain(h, c, name));
	}
}

static void write_table(FILE *f, const struct pend_hook *h, const char *text, const char *table,
			bool want)
{
	struct facts facts = gather(h, text, table);
	bool any = facts.present;

	for (int c = 0; c < HOOK_CHAIN_COUNT && want; c++)
		any |= wanted(h, (enum hook_chain)c, table);
	if (!any)
		return;
	fprintf(f, "*%s\n", table);
	for (int c = 0; c < HOOK_CHAIN_COUNT && want; c++)
		if (wanted(h, (enum hook_chain)c, table))
			hook_text_ipt_declare(f, h, (enum hook_chain)c);
	drop_jumps(f, h, text, table, want);
	drop_chains(f, h, table, &facts, want, 'F');
	drop_chains(f, h, table, &facts, want, 'X');
	if (want)
		fill_chains(f, h, table, &facts);
	fputs("COMMIT\n", f);
}

/* Make what is there what is wanted, or nothing. */
static int sync_family(struct pend_hook *h, int family, bool want)
{
	char *text = NULL, *input = NULL;
	size_t size = 0;
	FILE *f;
	int err = save(h, family, NULL, &text);

	if (err)
		return err;
	f = open_memstream(&input, &size);
	for (size_t t = 0; f && t < TABLES; t++)
		write_table(f, h, text, tables[t], want);
	if (!f || fclose(f))
		err = err_set(&h->err, -ENOMEM, "out of memory");
	else if (size)
		err = restore(h, family, input);
	free(input);
	free(text);
	return err;
}

static void forget(struct pend_hook *h)
{
	for (int f = 0; f < FAMILIES; f++) {
		free(h->ipt.installed[f]);
		h->ipt.installed[f] = NULL;
	}
}

static int remember(struct pend_hook *h, int family)
{
	char *text = NULL;
	int err = save(h, family, NULL, &text);

	if (err)
		return err;
	free(h->ipt.installed[family]);
	h->ipt.installed[family] = digest(h, text);
	free(text);
	return h->ipt.installed[family] ? 0 : err_set(&h->err, -ENOMEM, "out of memory");
}

static int sync_all(struct pend_hook *h, bool again)
{
	int err = prepare(h, again);

	for (int f = 0; !err && f < (h->ipt.ipv6 ? 2 : 1); f++) {
		err = sync_family(h, f, true);
		if (!err)
			err = remember(h, f);
	}
	return err;
}

int hook_ipt_install(struct pend_hook *h)
{
	int err = sync_all(h, true);
	struct err why = h->err;

	if (err && h->ipt.variant[0]) {
		(void)hook_ipt_remove(h); /* all or nothing */
		h->err = why;
	}
	return err;
}

int hook_ipt_repair(struct pend_hook *h)
{
	return sync_all(h, false);
}

int hook_ipt_set_epoch(struct pend_hook *h)
{
	if (!h->ipt.installed[0])
		return err_set(&h->err, -ENOENT, "our iptables rules are not there");
	return sync_all(h, false);
}

int hook_ipt_remove(struct pend_hook *h)
{
	int err = prepare(h, false), first = err;

	for (int f = 0; !first && f < (h->ipt.ipv6 ? 2 : 1); f++) {
		int e = sync_family(h, f, false);

		err = err ? err : e;
	}
	forget(h);
	return err;
}

/* ---- verify ---- */

static unsigned rules_in(const struct pend_hook *h, int family, enum hook_chain c)
{
	struct hook_policy p = hook_policy(h, HOOK_STYLE_IPTABLES);
	struct hook_rule r[HOOK_RULES_MAX];
	unsigned n = hook_rules(&p, c, r), count = 0;

	for (unsigned i = 0; i < n; i++) {
		bool v4 = r[i].match & HOOK_M_ICMP ||
			  (r[i].match & HOOK_M_DST && r[i].dst == HOOK_DST_BROADCAST);
		bool v6 = r[i].match & HOOK_M_ICMP6;

		count += !(family == 0 ? v6 : v4);
	}
	return count;
}

static int check_chain(struct pend_hook *h, int family, const char *table,
		       const struct facts *facts, enum hook_chain c)
{
	const char *parent = hook_ipt_parent(c);
	char name[HOOK_IPT_NAME_MAX];

	hook_ipt_chain(h, c, name);
	if (!(facts->present & 1u << c))
		return err_set(&h->err, -ENOENT, "chain %s is missing in the %s table %s", name,
			       families[family], table);
	if (parent && !facts->jumps[c])
		return err_set(&h->err, -ENOENT,
			       "the jump from %s to %s is missing in the %s table %s", parent, name,
			       families[family], table);
	if (facts->rules[c] != rules_in(h, family, c))
		return err_set(&h->err, -ENOENT,
			       "chain %s in the %s table %s has %u rules instead of %u", name,
			       families[family], table, facts->rules[c], rules_in(h, family, c));
	return 0;
}

static int verify_family(struct pend_hook *h, int family)
{
	char *text = NULL, *now;
	int err = save(h, family, NULL, &text);

	for (size_t t = 0; !err && t < TABLES; t++) {
		struct facts facts = gather(h, text, tables[t]);

		for (int c = 0; !err && c < HOOK_CHAIN_COUNT; c++)
			if (wanted(h, (enum hook_chain)c, tables[t]))
				err = check_chain(h, family, tables[t], &facts, (enum hook_chain)c);
	}
	if (!err && h->ipt.installed[family]) {
		now = digest(h, text);
		if (!now)
			err = err_set(&h->err, -ENOMEM, "out of memory");
		else if (!str_eq(now, h->ipt.installed[family]))
			err = err_set(&h->err, -ENOENT, "our %s rules were changed",
				      families[family]);
		free(now);
	}
	free(text);
	return err;
}

int hook_ipt_verify(struct pend_hook *h)
{
	int err = prepare(h, false);

	for (int f = 0; !err && f < (h->ipt.ipv6 ? 2 : 1); f++)
		err = verify_family(h, f);
	return err;
}

void hook_ipt_close(struct pend_hook *h)
{
	forget(h);
}
