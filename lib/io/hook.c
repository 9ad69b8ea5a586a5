/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pend_hook_*: check the configuration, choose a back end, hand on. */
#include <stdio.h>

#include "io/hook.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "core/settings.h"
#include "io/probe.h"

void pend_hook_config_init(struct pend_hook_config *c)
{
	*c = (struct pend_hook_config){
		.kind = PEND_HOOK_AUTO,
		.name = "pend",
		.queue_count = 1,
		.mark_mask = PEND_MARK_MASK,
		.epoch = MARK_EPOCH_MIN,
		.hooks = PEND_HOOK_INPUT | PEND_HOOK_FORWARD,
		.priority = 20,
		.iptables = "",
		.nft_fd = -1,
	};
}

struct hook_policy hook_policy(const struct pend_hook *h, enum hook_style style)
{
	return (struct hook_policy){
		.style = style,
		.epoch = h->config.epoch,
		.input = h->config.hooks & PEND_HOOK_INPUT,
		.forward = h->config.hooks & PEND_HOOK_FORWARD,
		.loopback = h->config.loopback,
		.multicast = h->config.multicast,
		.lazy = h->config.lazy && style == HOOK_STYLE_NFT,
		.decisions = h->config.decisions && style == HOOK_STYLE_NFT,
	};
}

enum pend_status hook_status(int err)
{
	switch (-err) {
	case 0:
		return PEND_OK;
	case EPERM:
	case EACCES:
		return PEND_E_PERMISSION;
	case EBUSY:
	case EEXIST:
		return PEND_E_IN_USE;
	case ENOENT:
		return PEND_E_NOT_FOUND;
	case ENOMEM:
		return PEND_E_NO_MEMORY;
	case EOPNOTSUPP:
	case EPROTONOSUPPORT:
	case EAFNOSUPPORT:
		return PEND_E_UNSUPPORTED;
	default:
		return PEND_E_SYSTEM;
	}
}

/* nft and iptables both take it as it is: a letter, then letters, digits, _ and -. */
static bool name_valid(const char *name)
{
	size_t n = name ? strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") : 0;

	return n >= 1 && n <= HOOK_NAME_MAX && !name[n] && name[0] >= 'a' && name[0] <= 'z';
}

static bool variant_valid(const char *variant)
{
	return !variant || !variant[0] || str_eq(variant, "nft") || str_eq(variant, "legacy");
}

static bool config_valid(const struct pend_hook_config *c)
{
	const unsigned all = PEND_HOOK_INPUT | PEND_HOOK_FORWARD;
	struct mark_layout layout;

	return (unsigned)c->kind <= PEND_HOOK_NONE && name_valid(c->name) &&
	       variant_valid(c->iptables) && c->queue_count > 0 &&
	       c->queue_first + (unsigned)c->queue_count <= UINT16_MAX + 1u &&
	       mark_layout_init(&layout, c->mark_mask) && mark_epoch_valid(c->epoch) && c->hooks &&
	       !(c->hooks & ~all) && c->priority >= SETTINGS_PRIORITY_MIN &&
	       c->priority <= SETTINGS_PRIORITY_MAX && c->nft_fd >= -1;
}

static void copy_config(struct pend_hook *h, const struct pend_hook_config *c)
{
	h->config = *c;
	snprintf(h->name, sizeof(h->name), "%s", c->name);
	snprintf(h->variant, sizeof(h->variant), "%s", c->iptables ? c->iptables : "");
	h->config.name = h->name;
	h->config.iptables = h->variant;
	(void)mark_layout_init(&h->mark, c->mark_mask);
	h->kind = c->kind;
}

/* Without the right to ask, nft is taken for granted; installing will then tell what is wrong. */
static void choose(struct pend_hook *h)
{
	bool ready;

	if (h->kind == PEND_HOOK_NONE)
		return;
	h->have_probed = probe_kernel(&h->probed, &h->err) == 0;
	ready = !h->have_probed || probe_nft_ready(h->probed, NULL, 0);
	if (h->kind == PEND_HOOK_AUTO)
		h->kind = ready ? PEND_HOOK_NFT : PEND_HOOK_IPTABLES;
	h->xt_queue = h->have_probed && !(h->probed & PROBE_NFT_QUEUE) &&
		      h->probed & PROBE_NFT_XT_QUEUE;
	h->err = (struct err){0};
}

/* iptables cannot change an epoch in one step for both families, nor reset an established flow behind
 * its filter table. */
static bool lazy_possible(const struct pend_hook *h)
{
	return h->kind == PEND_HOOK_NFT || (h->kind == PEND_HOOK_NONE && !h->variant[0]);
}

enum pend_status pend_hook_open(struct pend_hook **out, const struct pend_hook_config *c)
{
	struct pend_hook *h;
	int err;

	if (!out || !c)
		return PEND_E_NULL_POINTER;
	if (!config_valid(c))
		return PEND_E_INVALID;
	h = calloc(1, sizeof(*h));
	if (!h)
		return PEND_E_NO_MEMORY;
	copy_config(h, c);
	choose(h);
	if (c->lazy && !lazy_possible(h)) {
		free(h);
		return PEND_E_UNSUPPORTED;
	}
	if (c->nft_fd >= 0 && h->kind != PEND_HOOK_NFT)
		close(c->nft_fd); /* and with it goes the table of an earlier hookup by nft */
	if (c->nft_fd >= 0 && h->kind == PEND_HOOK_NFT) {
		err = nft_open(&h->nft, c->nft_fd);
		if (err) {
			free(h);
			return err == -ENOMEM ? PEND_E_NO_MEMORY : PEND_E_INVALID;
		}
	}
	*out = h;
	return PEND_OK;
}

/* The socket is opened when it is first needed: to print rules no right is asked for. */
static int ready_nft(struct pend_hook *h)
{
	char missing[200];
	int err;

	if (!h->have_probed) {
		err = probe_kernel(&h->probed, &h->err);
		if (err)
			return err;
		h->have_probed = true;
		h->xt_queue = !(h->probed & PROBE_NFT_QUEUE) && h->probed & PROBE_NFT_XT_QUEUE;
	}
	if (!probe_nft_ready(h->probed, missing, sizeof(missing)))
		return err_set(&h->err, -EOPNOTSUPP,
			       "this kernel's nf_tables lacks: %s; use the iptables hookup",
			       missing);
	if (h->nft.nl)
		return 0;
	err = nft_open(&h->nft, -1);
	return err ? err_sys(&h->err, err, "cannot open a netlink socket") : 0;
}

struct operation {
	int (*nft)(struct pend_hook *h);
	int (*iptables)(struct pend_hook *h);
};

static enum pend_status run(struct pend_hook *h, const struct operation *op)
{
	int err = 0;

	if (!h)
		return PEND_E_NULL_POINTER;
	h->err = (struct err){0};
	switch (h->kind) {
	case PEND_HOOK_NFT:
		err = ready_nft(h);
		if (!err)
			err = op->nft(h);
		break;
	case PEND_HOOK_IPTABLES:
		err = op->iptables(h);
		break;
	case PEND_HOOK_NONE:
	case PEND_HOOK_AUTO: /* was resolved by open */
		break;
	}
	return hook_status(err);
}

enum pend_status pend_hook_install(struct pend_hook *h)
{
	return run(h, &(struct operation){hook_nft_install, hook_ipt_install});
}

enum pend_status pend_hook_verify(struct pend_hook *h)
{
	return run(h, &(struct operation){hook_nft_verify, hook_ipt_verify});
}

enum pend_status pend_hook_repair(struct pend_hook *h)
{
	return run(h, &(struct operation){hook_nft_repair, hook_ipt_repair});
}

enum pend_status pend_hook_remove(struct pend_hook *h)
{
	return run(h, &(struct operation){hook_nft_remove, hook_ipt_remove});
}

enum pend_status pend_hook_set_epoch(struct pend_hook *h, uint8_t epoch)
{
	enum pend_status s;
	uint8_t before;
	struct err why;

	if (!h)
		return PEND_E_NULL_POINTER;
	if (!mark_epoch_valid(epoch))
		return PEND_E_INVALID;
	before = h->config.epoch;
	h->config.epoch = epoch;
	s = run(h, &(struct operation){hook_nft_set_epoch, hook_ipt_set_epoch});
	if (s != PEND_OK) {
		why = h->err;
		h->config.epoch = before;
		/* One family may have it already; nft's is one transaction. */
		if (h->kind == PEND_HOOK_IPTABLES && h->ipt.installed[0])
			(void)hook_ipt_repair(h);
		h->err = why;
	}
	return s;
}

const char *pend_hook_describe(const struct pend_hook *h)
{
	bool legacy;

	if (!h)
		return "none";
	switch (h->kind) {
	case PEND_HOOK_NFT:
		return h->xt_queue ? "nft with xtables NFQUEUE" : "nft";
	case PEND_HOOK_IPTABLES:
		legacy = str_eq(h->ipt.variant, "legacy") ||
			 (!h->ipt.variant[0] && str_eq(h->variant, "legacy"));
		return legacy ? "iptables-legacy" : "iptables-nft";
	case PEND_HOOK_NONE:
	case PEND_HOOK_AUTO:
		break;
	}
	return "none";
}

const char *pend_hook_error(const struct pend_hook *h)
{
	return h ? h->err.text : "";
}

const char *pend_hook_warning(const struct pend_hook *h)
{
	return h ? h->warning : "";
}

const char *pend_hook_features(struct pend_hook *h)
{
	if (!h || !h->have_probed)
		return "";
	return probe_text(h->probed, h->features, sizeof(h->features));
}

/* With rules of the administrator's own, the variant says which of the two texts they were made from. */
static bool by_iptables(const struct pend_hook *h)
{
	return h->kind == PEND_HOOK_IPTABLES || (h->kind == PEND_HOOK_NONE && h->variant[0]);
}

bool pend_hook_can_reject(const struct pend_hook *h)
{
	return h && !by_iptables(h);
}

bool pend_hook_wants_repeat(const struct pend_hook *h)
{
	return h && by_iptables(h);
}

int pend_hook_fd(const struct pend_hook *h)
{
	return h ? nft_fd(&h->nft) : -1;
}

char *pend_hook_print(const struct pend_hook *h, enum pend_hook_kind as)
{
	if (!h)
		return NULL;
	if (as == PEND_HOOK_IPTABLES)
		return hook_text_iptables(h);
	if (as == PEND_HOOK_NFT || !by_iptables(h))
		return hook_text_nft(h);
	return hook_text_iptables(h);
}

void pend_hook_close(struct pend_hook *h)
{
	if (!h)
		return;
	nft_close(&h->nft);
	hook_ipt_close(h);
	free(h);
}
