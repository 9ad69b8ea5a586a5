/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The inside of struct pend_hook, shared by its back ends.
 *
 * hook.c checks the configuration and chooses; hook_nft.c and hook_ipt.c do; hook_rules.c says what
 * the rules are, hook_text.c writes them down.
 */
#ifndef IO_HOOK_H
#define IO_HOOK_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <pend.h>

#include "base/err.h"
#include "core/mark.h"
#include "io/hook_rules.h"
#include "io/nft.h"

#define HOOK_NAME_MAX 16

/* Where the iptables back end put its chains; "" when it does not know yet. */
struct hook_ipt {
	char variant[8];         /* "nft", "legacy" */
	const char *tag_table;   /* "security", else "mangle" */
	const char *clear_table; /* "raw", else "mangle" */
	bool ipv6;
	char *installed[2]; /* what iptables-save said of us after the last change, by family */
};

struct pend_hook {
	struct pend_hook_config config; /* its strings are the arrays below */
	char name[HOOK_NAME_MAX + 1];
	char variant[8];
	struct mark_layout mark;
	enum pend_hook_kind kind; /* AUTO until the kernel was asked */
	unsigned probed;          /* PROBE_* */
	bool have_probed;
	bool xt_queue; /* nft: the kernel has the xtables target only */
	struct nft nft;
	uint64_t nft_digest; /* of the table as it was installed; 0: not by this object */
	uint32_t nft_generation;
	/* Of rules that were replaced: hook_decided.c. */
	uint64_t decided_permits, decided_blocks;
	struct hook_ipt ipt;
	struct err err;
	char warning[256];
	char features[256];
};

/* The rules that this configuration asks for. */
struct hook_policy hook_policy(const struct pend_hook *h, enum hook_style style);
/* -errno of the kernel as a status for the program. */
enum pend_status hook_status(int err);

/* The nft back end. All return 0 or -errno with h->err set; verify -ENOENT when something is missing. */
const char *hook_nft_chain(enum hook_chain chain);
/* Hook and priority of a base chain. */
struct hook_base {
	const char *hook;
	uint32_t number; /* NF_INET_* */
	int priority;
};
struct hook_base hook_nft_base(const struct pend_hook *h, enum hook_chain chain);
#define HOOK_NFT_SET "valid"
int hook_nft_install(struct pend_hook *h);
int hook_nft_verify(struct pend_hook *h);
int hook_nft_repair(struct pend_hook *h);
int hook_nft_remove(struct pend_hook *h);
int hook_nft_set_epoch(struct pend_hook *h);
const char *hook_nft_set(enum hook_set set);
/* Does the table have sets of decisions? */
bool hook_decides(const struct pend_hook *h);
/* The sets, empty, as messages of the transaction. */
void hook_decided_put(struct nft_tx *t, const struct pend_hook *h);
/* The counters start at 0 with the next transaction: remember what they say. */
void hook_decided_keep(struct pend_hook *h);
/* The rules of hook_rules() as messages of the transaction. */
void hook_nft_add_rules(struct nft_tx *t, const struct pend_hook *h, enum hook_chain chain);

/* The iptables back end, likewise. */
#define HOOK_IPT_NAME_MAX 32
/* "PEND-IN"; NULL for a chain that iptables has no use for. */
const char *hook_ipt_chain(const struct pend_hook *h, enum hook_chain chain,
			   char buf[HOOK_IPT_NAME_MAX]);
/* "INPUT" for PEND-IN; NULL for a chain that is reached from ours only. */
const char *hook_ipt_parent(enum hook_chain chain);
int hook_ipt_install(struct pend_hook *h);
int hook_ipt_verify(struct pend_hook *h);
int hook_ipt_repair(struct pend_hook *h);
int hook_ipt_remove(struct pend_hook *h);
int hook_ipt_set_epoch(struct pend_hook *h);
void hook_ipt_close(struct pend_hook *h);

/* Text. All are malloced, NULL without memory. */
char *hook_text_nft(const struct pend_hook *h);
char *hook_text_iptables(const struct pend_hook *h);
/*
 * The lines of one chain for iptables-restore: its declaration (which empties it if it is there) or
 * its rules. Lines with -4 or -6 are skipped by the other family's program.
 */
void hook_text_ipt_declare(FILE *f, const struct pend_hook *h, enum hook_chain chain);
void hook_text_ipt_rules(FILE *f, const struct pend_hook *h, enum hook_chain chain);

#endif
