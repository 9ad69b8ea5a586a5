/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The hookup without a kernel: what a configuration may be, what the rules are, and their text. */
#include "unit.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "io/exec.h"
#include "io/hook.h"
#include "io/probe.h"
#include <pend.h>

static struct pend_hook_config base(void)
{
	struct pend_hook_config c;

	pend_hook_config_init(&c);
	c.kind = PEND_HOOK_NONE;
	return c;
}

static enum pend_status try(const struct pend_hook_config *c)
{
	struct pend_hook *h = NULL;
	enum pend_status s = pend_hook_open(&h, c);

	ck_assert((s == PEND_OK) == (h != NULL));
	pend_hook_close(h);
	return s;
}

START_TEST(defaults)
{
	struct pend_hook_config c;

	pend_hook_config_init(&c);
	ck_assert_int_eq(c.kind, PEND_HOOK_AUTO);
	ck_assert_str_eq(c.name, "pend");
	ck_assert_uint_eq(c.mark_mask, PEND_MARK_MASK);
	ck_assert_uint_eq(c.hooks, PEND_HOOK_INPUT | PEND_HOOK_FORWARD);
	ck_assert_int_eq(c.priority, 20);
	ck_assert_int_eq(c.nft_fd, -1);
	ck_assert(!c.loopback && !c.multicast && !c.fail_open && !c.decisions);
	c = base();
	ck_assert_int_eq(try(&c), PEND_OK);
}
END_TEST

START_TEST(null_pointers)
{
	struct pend_hook_config c = base();
	struct pend_hook *h;

	ck_assert_int_eq(pend_hook_open(NULL, &c), PEND_E_NULL_POINTER);
	ck_assert_int_eq(pend_hook_open(&h, NULL), PEND_E_NULL_POINTER);
	ck_assert_int_eq(pend_hook_install(NULL), PEND_E_NULL_POINTER);
	ck_assert_int_eq(pend_hook_verify(NULL), PEND_E_NULL_POINTER);
	ck_assert_int_eq(pend_hook_repair(NULL), PEND_E_NULL_POINTER);
	ck_assert_int_eq(pend_hook_remove(NULL), PEND_E_NULL_POINTER);
	ck_assert_int_eq(pend_hook_set_epoch(NULL, 1), PEND_E_NULL_POINTER);
	ck_assert_ptr_null(pend_hook_print(NULL, PEND_HOOK_NFT));
	ck_assert_str_eq(pend_hook_error(NULL), "");
	ck_assert_str_eq(pend_hook_warning(NULL), "");
	ck_assert_str_eq(pend_hook_features(NULL), "");
	ck_assert_int_eq(pend_hook_fd(NULL), -1);
	ck_assert(!pend_hook_can_reject(NULL) && !pend_hook_wants_repeat(NULL));
	ck_assert(!pend_hook_can_decide(NULL));
	ck_assert_int_eq(pend_hook_decide(NULL, NULL, 0), PEND_E_NULL_POINTER);
	ck_assert_int_eq(pend_hook_undecide(NULL), PEND_E_NULL_POINTER);
	ck_assert_int_eq(pend_hook_decided(NULL, NULL), PEND_E_NULL_POINTER);
	pend_hook_close(NULL);
}
END_TEST

static const struct {
	const char *name;
	enum pend_status want;
} names[] = {
	{"pend", PEND_OK},
	{"a", PEND_OK},
	{"a-b_9", PEND_OK},
	{"abcdefghijklmnop", PEND_OK},
	{"abcdefghijklmnopq", PEND_E_INVALID},
	{"", PEND_E_INVALID},
	{NULL, PEND_E_INVALID},
	{"Pend", PEND_E_INVALID},
	{"-pend", PEND_E_INVALID},
	{"9pend", PEND_E_INVALID},
	{"pe nd", PEND_E_INVALID},
	{"pend\n", PEND_E_INVALID},
	{"pend;", PEND_E_INVALID},
	{"p\xc3\xa4nd", PEND_E_INVALID},
};

START_TEST(name)
{
	struct pend_hook_config c = base();

	c.name = names[_i].name;
	ck_assert_int_eq(try(&c), names[_i].want);
}
END_TEST

static void set_queue(struct pend_hook_config *c, unsigned first, unsigned count)
{
	c->queue_first = (uint16_t)first;
	c->queue_count = (uint16_t)count;
}

START_TEST(queues)
{
	static const struct {
		unsigned first, count;
		enum pend_status want;
	} t[] = {
		{0, 1, PEND_OK},     {0, 65535, PEND_OK},        {65535, 1, PEND_OK},
		{65532, 4, PEND_OK}, {65533, 4, PEND_E_INVALID}, {0, 0, PEND_E_INVALID},
		{1, 65535, PEND_OK}, {2, 65535, PEND_E_INVALID},
	};

	for (size_t i = 0; i < sizeof(t) / sizeof(*t); i++) {
		struct pend_hook_config c = base();

		set_queue(&c, t[i].first, t[i].count);
		ck_assert_msg(try(&c) == t[i].want, "%u + %u", t[i].first, t[i].count);
	}
}
END_TEST

/* Every other field, one wrong value at a time. */
START_TEST(fields)
{
	struct pend_hook_config c[12];
	size_t n = 0;

	for (size_t i = 0; i < sizeof(c) / sizeof(*c); i++)
		c[i] = base();
	c[n++].mark_mask = 0;
	c[n++].mark_mask = 0x1ff;
	c[n++].mark_mask = 0xff00ff00;
	c[n++].epoch = 0;
	c[n++].epoch = 63;
	c[n++].hooks = 0;
	c[n++].hooks = 4;
	c[n++].priority = -200;
	c[n++].priority = 1001;
	c[n++].iptables = "both";
	c[n++].nft_fd = -2;
	c[n++].kind = (enum pend_hook_kind)4;
	for (size_t i = 0; i < n; i++)
		ck_assert_msg(try(&c[i]) == PEND_E_INVALID, "case %zu", i);
}
END_TEST

START_TEST(none_does_nothing)
{
	struct pend_hook_config c = base();
	struct pend_hook *h;

	ck_assert_int_eq(pend_hook_open(&h, &c), PEND_OK);
	ck_assert_str_eq(pend_hook_describe(h), "none");
	ck_assert_int_eq(pend_hook_install(h), PEND_OK);
	ck_assert_int_eq(pend_hook_set_epoch(h, 62), PEND_OK);
	ck_assert_int_eq(pend_hook_set_epoch(h, 63), PEND_E_INVALID);
	ck_assert_int_eq(pend_hook_remove(h), PEND_OK);
	ck_assert_int_eq(pend_hook_fd(h), -1);
	ck_assert(pend_hook_can_reject(h) && !pend_hook_wants_repeat(h));
	pend_hook_close(h);
	c.iptables = "nft"; /* the administrator's own rules are like iptables' */
	ck_assert_int_eq(pend_hook_open(&h, &c), PEND_OK);
	ck_assert(!pend_hook_can_reject(h) && pend_hook_wants_repeat(h));
	pend_hook_close(h);
}
END_TEST

/* ---- rules ---- */

static struct hook_policy policy(enum hook_style style)
{
	return (struct hook_policy){.style = style, .epoch = 1, .input = true, .forward = true};
}

static int find(const struct hook_rule *r, unsigned n, unsigned match, enum hook_do action)
{
	for (unsigned i = 0; i < n; i++)
		if ((r[i].match & match) == match && r[i].action == action)
			return (int)i;
	return -1;
}

static int find_exact(const struct hook_rule *r, unsigned n, unsigned match, enum hook_do action)
{
	for (unsigned i = 0; i < n; i++)
		if (r[i].match == match && r[i].action == action)
			return (int)i;
	return -1;
}

START_TEST(order_of_the_tag_chain)
{
	struct hook_policy p = policy((enum hook_style)_i);
	struct hook_rule r[HOOK_RULES_MAX];
	unsigned n = hook_rules(&p, HOOK_CHAIN_TAG_INPUT, r);
	int lo = find(r, n, HOOK_M_LO, HOOK_DO_ACCEPT);
	int blocked = find(r, n, HOOK_M_CT_MARK, HOOK_DO_DROP);
	int anew = find(r, n, HOOK_M_CT_MARK | HOOK_M_FLAGS, HOOK_DO_QUEUE);
	int valid = find_exact(r, n, HOOK_M_CT_VALID, HOOK_DO_ACCEPT);
	int state = find(r, n, HOOK_M_STATE, HOOK_DO_ACCEPT);
	int rst = find(r, n, HOOK_M_FLAGS | HOOK_M_STATE, HOOK_DO_QUEUE);
	int midstream = find(r, n, HOOK_M_FLAGS_NOT | HOOK_M_STATE, HOOK_DO_DROP);

	ck_assert_int_ge(lo, 0);
	ck_assert_int_lt(lo, anew);
	ck_assert_int_lt(anew, blocked);
	ck_assert_int_lt(blocked, valid);
	ck_assert_int_lt(valid, state); /* R46 */
	ck_assert_int_lt(state, rst);
	ck_assert_int_lt(rst, midstream);
	ck_assert_uint_eq(r[n - 1].match, 0); /* whatever is left is asked for */
	ck_assert_int_eq(r[n - 1].action, HOOK_DO_QUEUE);
}
END_TEST

START_TEST(switches_of_the_tag_chain)
{
	struct hook_policy p = policy((enum hook_style)_i);
	struct hook_rule r[HOOK_RULES_MAX];
	unsigned n;

	p.loopback = p.multicast = true;
	n = hook_rules(&p, HOOK_CHAIN_TAG_FORWARD, r);
	ck_assert_int_eq(find(r, n, HOOK_M_LO, HOOK_DO_ACCEPT), -1);
	ck_assert_int_eq(find(r, n, HOOK_M_DST, HOOK_DO_ACCEPT), -1);
	p.forward = false;
	ck_assert_uint_eq(hook_rules(&p, HOOK_CHAIN_TAG_FORWARD, r), 0);
	ck_assert_uint_eq(hook_rules(&p, HOOK_CHAIN_STAMP_FORWARD, r), 0);
	ck_assert_uint_gt(hook_rules(&p, HOOK_CHAIN_TAG_INPUT, r), 0);
}
END_TEST

/* The last word before the queue, in both; and what came in with the value has lost it before. */
START_TEST(translated_destinations_are_told)
{
	struct hook_policy p = policy((enum hook_style)_i);
	struct hook_rule r[HOOK_RULES_MAX];
	unsigned n;
	int at;

	for (int c = HOOK_CHAIN_TAG_INPUT; c <= HOOK_CHAIN_TAG_FORWARD; c++) {
		n = hook_rules(&p, (enum hook_chain)c, r);
		at = find_exact(r, n, HOOK_M_DNAT, HOOK_DO_MARK);
		ck_assert_int_eq(at, (int)n - 2);
		ck_assert_uint_eq(r[at].mark, mark_value_dnat());
	}
	n = hook_rules(&p, HOOK_CHAIN_CLEAR, r);
	at = find_exact(r, n, HOOK_M_MARK_NOT, HOOK_DO_CLEAR);
	ck_assert_int_eq(at, (int)n - 1);
	ck_assert_uint_eq(r[at].mark_not, 0);
	for (int i = 0; i < at; i++) { /* what is let through has none, or is on lo, and ours */
		ck_assert(r[i].match & HOOK_M_MARK && r[i].mark_mask == 0xff);
		ck_assert(r[i].mark == 0 ||
			  (r[i].match & HOOK_M_LO && r[i].mark != mark_value_dnat()));
	}
}
END_TEST

/* nft swaps an epoch in the set and the stamp chains alone; the tag chain must not know it. */
START_TEST(nft_tag_chain_knows_no_epoch)
{
	struct hook_rule a[HOOK_RULES_MAX], b[HOOK_RULES_MAX];
	struct hook_policy p = policy(HOOK_STYLE_NFT);
	unsigned n;

	memset(a, 0, sizeof(a));
	memset(b, 0, sizeof(b));
	n = hook_rules(&p, HOOK_CHAIN_TAG_INPUT, a);
	p.epoch = 2;
	ck_assert_uint_eq(hook_rules(&p, HOOK_CHAIN_TAG_INPUT, b), n);
	for (unsigned i = 0; i < n; i++) {
		ck_assert_uint_eq(a[i].mark, b[i].mark);
		ck_assert_uint_eq(a[i].ct_mark, b[i].ct_mark);
	}
	ck_assert_int_ge(find(a, n, HOOK_M_MARK | HOOK_M_TCP, HOOK_DO_RESET), 0);
	ck_assert_int_ge(find(a, n, HOOK_M_MARK, HOOK_DO_UNREACH), 0);
}
END_TEST

START_TEST(iptables_has_no_actions_of_nft)
{
	struct hook_policy p = policy(HOOK_STYLE_IPTABLES);
	struct hook_rule r[HOOK_RULES_MAX];

	for (int c = 0; c < HOOK_CHAIN_COUNT; c++) {
		unsigned n = hook_rules(&p, (enum hook_chain)c, r);

		ck_assert_int_eq(find(r, n, 0, HOOK_DO_RESET), -1);
		ck_assert_int_eq(find(r, n, 0, HOOK_DO_UNREACH), -1);
	}
	ck_assert(!hook_chain_used(&p, HOOK_CHAIN_STAMP_INPUT));
	ck_assert(hook_chain_used(&p, HOOK_CHAIN_PERMIT));
}
END_TEST

/* ---- flows of other epochs (R31) ---- */

/* Who is valid goes on, and who is ended stays so; only then the others are asked about, with their direction. */
START_TEST(lazy_tag_chain)
{
	struct hook_policy p = policy(HOOK_STYLE_NFT);
	struct hook_rule r[HOOK_RULES_MAX];
	int ended, blocked, valid, original, reply, again, state;
	unsigned n;

	p.lazy = true;
	n = hook_rules(&p, HOOK_CHAIN_TAG_INPUT, r);
	ended = find(r, n, HOOK_M_MARK, HOOK_DO_STAMP);
	blocked = find(r, n, HOOK_M_CT_MARK, HOOK_DO_DROP);
	valid = find_exact(r, n, HOOK_M_CT_VALID, HOOK_DO_ACCEPT);
	original = find(r, n, HOOK_M_CT_MARK | HOOK_M_STATE | HOOK_M_ORIGINAL, HOOK_DO_MARK);
	reply = find(r, n, HOOK_M_CT_MARK | HOOK_M_STATE | HOOK_M_REPLY, HOOK_DO_MARK);
	again = find(r, n, HOOK_M_MARK, HOOK_DO_QUEUE_OR_PASS);
	state = find_exact(r, n, HOOK_M_STATE, HOOK_DO_ACCEPT);
	ck_assert_int_eq(ended, 1); /* behind what no verdict has marked */
	ck_assert_uint_eq(r[ended].ct_mark, MARK_BLOCKED);
	ck_assert_int_lt(ended, blocked);
	ck_assert_int_lt(blocked, valid);
	ck_assert_int_lt(valid, original);
	ck_assert_int_lt(original, again);
	ck_assert_int_lt(reply, again);
	ck_assert_int_lt(again, state);
	ck_assert_uint_eq(r[original].mark, mark_value_again(false));
	ck_assert_uint_eq(r[reply].mark, mark_value_again(true));
	/* Both of them, and neither of what else is in a packet's mark there. */
	for (unsigned v = 0; v < 256; v++)
		ck_assert_int_eq((v & r[again].mark_mask) == r[again].mark,
				 v == mark_value_again(false) || v == mark_value_again(true));
	/* R17: an ICMP error has its flow's mark and is not of it. */
	ck_assert(!(r[original].state & HOOK_CT_RELATED) && !(r[reply].state & HOOK_CT_RELATED));
}
END_TEST

START_TEST(lazy_output_chain)
{
	struct hook_policy p = policy(HOOK_STYLE_NFT);
	struct hook_rule r[HOOK_RULES_MAX];
	unsigned n;

	ck_assert(!hook_chain_used(&p, HOOK_CHAIN_TAG_OUTPUT));
	p.lazy = true;
	n = hook_rules(&p, HOOK_CHAIN_TAG_OUTPUT, r);
	ck_assert_uint_gt(n, 0);
	ck_assert(hook_chain_used(&p, HOOK_CHAIN_STAMP_OUTPUT));
	/* What this host dials is none of our business. */
	ck_assert_int_eq(find(r, n, 0, HOOK_DO_QUEUE), -1);
	ck_assert_int_eq(find(r, n, HOOK_M_ORIGINAL, HOOK_DO_MARK), -1);
	ck_assert_int_ge(find(r, n, HOOK_M_REPLY, HOOK_DO_MARK), 0);
	/* The reset of a socket that was ended gets out. */
	ck_assert_int_lt(find(r, n, HOOK_M_TCP | HOOK_M_FLAGS, HOOK_DO_ACCEPT),
			 find(r, n, HOOK_M_CT_MARK, HOOK_DO_DROP));
	p.input = false;
	ck_assert(!hook_chain_used(&p, HOOK_CHAIN_TAG_OUTPUT));
}
END_TEST

/* The ct mark that a packet's mark leaves behind, as the kernel would run the chain; -1: none. */
static int stamped(const struct hook_policy *p, uint8_t mark)
{
	struct hook_rule r[HOOK_RULES_MAX];
	unsigned n = hook_rules(p, HOOK_CHAIN_STAMP_INPUT, r);
	int ct = -1;

	for (unsigned i = 0; i < n; i++) {
		if (r[i].match & HOOK_M_MARK && (mark & r[i].mark_mask) != r[i].mark)
			continue;
		if (r[i].match & HOOK_M_MARK_NOT && mark == r[i].mark_not)
			continue;
		if (r[i].action == HOOK_DO_STAMP)
			ct = r[i].ct_mark;
		else if (r[i].action == HOOK_DO_CLEAR)
			mark = 0;
	}
	ck_assert_uint_eq(mark, 0); /* nothing of ours is left on any packet */
	return ct;
}

/* A permit that comes between two epochs is not lost: its flow is asked about once more. */
START_TEST(a_late_permit_is_stamped_as_one_of_before)
{
	struct hook_policy p = policy(HOOK_STYLE_NFT);

	p.lazy = true;
	for (unsigned now = 1; now <= 62; now++) {
		p.epoch = (uint8_t)now;
		for (unsigned e = 1; e <= 62; e++) {
			int ct = stamped(&p, mark_value(MARK_PERMIT, (uint8_t)e));

			if (e == now)
				ck_assert_int_eq(ct, mark_value(MARK_PERMIT, (uint8_t)e));
			else
				ck_assert_int_eq(
					ct, mark_value(MARK_PERMIT, mark_epoch_before(p.epoch)));
		}
		ck_assert_uint_ne(mark_epoch_before(p.epoch), now);
		ck_assert_uint_eq(mark_epoch_after(mark_epoch_before(p.epoch)), now);
		ck_assert(mark_epoch_valid(mark_epoch_after(p.epoch)));
	}
	ck_assert_int_eq(stamped(&p, mark_value(MARK_PERMIT, MARK_EPOCH_NONE)), -1);
	ck_assert_int_eq(stamped(&p, mark_value(MARK_PERMIT, MARK_EPOCH_INJECT)), -1);
	ck_assert_int_eq(stamped(&p, mark_value_again(false)), -1);
	ck_assert_int_eq(stamped(&p, mark_value_again(true)), -1);
	ck_assert_int_eq(stamped(&p, mark_value_dnat()), -1);
	ck_assert_int_eq(stamped(&p, 0), -1);
	p.lazy = false; /* what there was before */
	p.epoch = 5;
	ck_assert_int_eq(stamped(&p, mark_value(MARK_PERMIT, 5)), mark_value(MARK_PERMIT, 5));
	ck_assert_int_eq(stamped(&p, mark_value(MARK_PERMIT, 4)), -1);
}
END_TEST

/* ---- connections that are decided in the kernel ---- */

/* Most packets are of permitted flows and bear no mark: one rule of each chain of nft is for them. */
START_TEST(the_short_way)
{
	struct hook_policy p = policy(HOOK_STYLE_NFT);
	struct hook_rule r[HOOK_RULES_MAX];

	p.lazy = _i;
	hook_rules(&p, HOOK_CHAIN_TAG_INPUT, r);
	ck_assert_uint_eq(r[0].match, HOOK_M_MARK | HOOK_M_CT_VALID);
	ck_assert(r[0].action == HOOK_DO_ACCEPT && !r[0].mark && r[0].mark_mask == 0xff);
	for (int c = HOOK_CHAIN_STAMP_INPUT; c <= HOOK_CHAIN_STAMP_FORWARD; c++) {
		hook_rules(&p, (enum hook_chain)c, r);
		ck_assert_uint_eq(r[0].match, HOOK_M_MARK);
		ck_assert(r[0].action == HOOK_DO_ACCEPT && !r[0].mark && r[0].mark_mask == 0xff);
	}
	hook_rules(&p, HOOK_CHAIN_CLEAR, r);
	ck_assert_uint_eq(r[0].match, HOOK_M_MARK);
	ck_assert(r[0].action == HOOK_DO_ACCEPT && !r[0].mark && r[0].mark_mask == 0xff);
}
END_TEST

/* Behind all that is about flows, for what opens one; and for what comes to this host only. */
START_TEST(decisions_in_the_tag_chain)
{
	const unsigned match = HOOK_M_STATE | HOOK_M_MARK;
	struct hook_policy p = policy(HOOK_STYLE_NFT);
	struct hook_rule r[HOOK_RULES_MAX];
	unsigned n;
	int at;

	p.lazy = _i;
	n = hook_rules(&p, HOOK_CHAIN_TAG_INPUT, r);
	ck_assert_int_eq(find(r, n, 0, HOOK_DO_JUMP_DECIDED), -1);
	ck_assert_uint_eq(hook_rules(&p, HOOK_CHAIN_DECIDED, r), 0);
	p.decisions = true;
	n = hook_rules(&p, HOOK_CHAIN_TAG_INPUT, r);
	at = find(r, n, 0, HOOK_DO_JUMP_DECIDED);
	ck_assert_int_eq(find_exact(r, n, HOOK_M_STATE, HOOK_DO_ACCEPT), at - 1);
	ck_assert_uint_eq(r[at].match, match | HOOK_M_TCP | HOOK_M_FLAGS);
	ck_assert(r[at].flags == 2 && r[at].flags_mask == 0x17); /* no other begins a connection */
	ck_assert_uint_eq(r[at + 1].match, match | HOOK_M_UDP);
	for (int i = at; i <= at + 1; i++) {
		ck_assert_int_eq(r[i].action, HOOK_DO_JUMP_DECIDED);
		ck_assert_uint_eq(r[i].state, HOOK_CT_NEW);
		ck_assert(r[i].mark == 0 && r[i].mark_mask == 0xff);
	}
	n = hook_rules(&p, HOOK_CHAIN_TAG_FORWARD, r);
	ck_assert_int_eq(find(r, n, 0, HOOK_DO_JUMP_DECIDED), -1);
	p.input = false;
	ck_assert(!hook_chain_used(&p, HOOK_CHAIN_DECIDED));
	p.input = true;
	p.style = HOOK_STYLE_IPTABLES;
	ck_assert(!hook_chain_used(&p, HOOK_CHAIN_DECIDED));
}
END_TEST

/* Each set has one rule; a permit gets the mark that the stamp chain stamps with, whatever the epoch. */
START_TEST(decisions_are_carried_out)
{
	struct hook_policy p = policy(HOOK_STYLE_NFT);
	struct hook_rule r[HOOK_RULES_MAX];
	unsigned n, sets = 0;

	p.decisions = true;
	p.epoch = (uint8_t)_i;
	n = hook_rules(&p, HOOK_CHAIN_DECIDED, r);
	for (unsigned i = 0; i < n; i++) {
		if (!(r[i].match & HOOK_M_DECIDED)) {
			ck_assert_int_eq(r[i].action, HOOK_DO_ACCEPT);
			ck_assert_uint_eq(r[i].mark, mark_value(MARK_PERMIT, p.epoch));
			continue;
		}
		ck_assert(!(sets & 1u << r[i].set) && r[i].note);
		sets |= 1u << r[i].set;
		if (r[i].set <= HOOK_SET_PERMIT6)
			ck_assert_int_eq(stamped(&p, r[i].mark), r[i].mark);
		else
			ck_assert(r[i].action != HOOK_DO_MARK && r[i].action != HOOK_DO_ACCEPT);
		ck_assert_int_eq(r[i].action == HOOK_DO_RESET, !!(r[i].match & HOOK_M_TCP));
	}
	ck_assert_uint_eq(sets, (1u << HOOK_SET_COUNT) - 1);
}
END_TEST

START_TEST(decisions_need_a_place)
{
	struct pend_hook_config c = base();
	struct pend_hook_decision d = {.family = 4};
	struct pend_hook_decided n = {1, 1};
	struct pend_hook *h;

	c.decisions = true; /* but the rules are somebody else's */
	ck_assert_int_eq(pend_hook_open(&h, &c), PEND_OK);
	ck_assert(!pend_hook_can_decide(h));
	ck_assert_int_eq(pend_hook_decide(h, &d, 1), PEND_E_UNSUPPORTED);
	ck_assert_int_eq(pend_hook_undecide(h), PEND_E_UNSUPPORTED);
	ck_assert_int_eq(pend_hook_decided(h, &n), PEND_OK);
	ck_assert(!n.permits && !n.blocks);
	pend_hook_close(h);
	c.kind = PEND_HOOK_IPTABLES;
	ck_assert_int_eq(pend_hook_open(&h, &c), PEND_OK);
	ck_assert(!pend_hook_can_decide(h));
	pend_hook_close(h);
	c.kind = PEND_HOOK_NFT;
	ck_assert_int_eq(pend_hook_open(&h, &c), PEND_OK);
	ck_assert(pend_hook_can_decide(h));
	pend_hook_close(h);
	c.hooks = PEND_HOOK_FORWARD;
	ck_assert_int_eq(pend_hook_open(&h, &c), PEND_OK);
	ck_assert(!pend_hook_can_decide(h));
	pend_hook_close(h);
}
END_TEST

START_TEST(lazy_is_for_nft)
{
	struct pend_hook_config c = base();

	c.lazy = true;
	ck_assert_int_eq(try(&c), PEND_OK);
	c.iptables = "nft";
	ck_assert_int_eq(try(&c), PEND_E_UNSUPPORTED);
	c.iptables = "";
	c.kind = PEND_HOOK_IPTABLES;
	ck_assert_int_eq(try(&c), PEND_E_UNSUPPORTED);
}
END_TEST

/* ---- text ---- */

static char *text_of(const struct pend_hook_config *c, enum pend_hook_kind as)
{
	struct pend_hook *h;
	char *text;

	ck_assert_int_eq(pend_hook_open(&h, c), PEND_OK);
	text = pend_hook_print(h, as);
	ck_assert_ptr_nonnull(text);
	pend_hook_close(h);
	return text;
}

static void has(const char *text, const char *part)
{
	ck_assert_msg(strstr(text, part) != NULL, "no \"%s\" in:\n%s", part, text);
}

static void lacks(const char *text, const char *part)
{
	ck_assert_msg(strstr(text, part) == NULL, "\"%s\" in:\n%s", part, text);
}

START_TEST(nft_text)
{
	struct pend_hook_config c = base();
	char *t = text_of(&c, PEND_HOOK_NFT);

	has(t, "table inet pend {");
	has(t, "elements = { 0x02800000 }");
	has(t, "type filter hook prerouting priority -310; policy accept;");
	has(t, "type filter hook forward priority 20; policy accept;");
	has(t, "type filter hook forward priority 30; policy accept;");
	has(t, "ct mark & 0x7f800000 @valid accept");
	has(t, "ct mark & 0x01800000 == 0x01000000 counter drop");
	has(t, "tcp flags & (fin | syn | rst | ack) != syn ct state new counter drop");
	has(t, "ct mark set ct mark & 0x807fffff | 0x02800000");
	has(t, "ct status dnat meta mark set meta mark & 0x807fffff | 0x02000000\n");
	has(t, "counter queue num 0 comment");
	lacks(t, "bypass");
	free(t);
	c.queue_count = 4;
	c.fail_open = true;
	c.hooks = PEND_HOOK_FORWARD;
	c.name = "guard";
	t = text_of(&c, PEND_HOOK_NFT);
	has(t, "queue num 0-3 bypass");
	has(t, "table inet guard {");
	lacks(t, "hook input");
	free(t);
}
END_TEST

START_TEST(lazy_nft_text)
{
	struct pend_hook_config c = base();
	char *t;

	c.lazy = true;
	c.epoch = 2;
	t = text_of(&c, PEND_HOOK_NFT);
	has(t, "elements = { 0x04800000 }");
	has(t, "type filter hook output priority 20; policy accept;");
	has(t, "type filter hook output priority 30; policy accept;");
	has(t, "meta mark & 0x7f800000 == 0x03000000 counter ct mark set ct mark & 0x807fffff | "
	       "0x01000000 comment \"ended\"");
	has(t, "ct mark & 0x01800000 == 0x00800000 ct state established,new ct direction original "
	       "meta mark set meta mark & 0x807fffff | 0x04000000\n");
	has(t, "ct direction reply meta mark set meta mark & 0x807fffff | 0x06000000\n");
	has(t, "meta mark & 0x7d800000 == 0x04000000 counter queue num 0 bypass comment \"again\"");
	has(t, "counter queue num 0 comment \"queue\""); /* fail closed */
	has(t, "ct mark set ct mark & 0x807fffff | 0x02800000 comment \"permitted before\"");
	has(t, "ct mark set ct mark & 0x807fffff | 0x04800000 comment \"permitted\"");
	free(t);
	t = text_of(&c, PEND_HOOK_IPTABLES); /* as if it were not lazy */
	lacks(t, "OUTPUT");
	free(t);
}
END_TEST

START_TEST(decisions_nft_text)
{
	struct pend_hook_config c = base();
	char *t;

	t = text_of(&c, PEND_HOOK_NFT);
	lacks(t, "decided");
	lacks(t, "permit4");
	free(t);
	c.decisions = true;
	t = text_of(&c, PEND_HOOK_NFT);
	has(t, "\tset permit4 {\n\t\ttype iface_index . ipv4_addr . ipv4_addr . inet_proto . "
	       "inet_service\n\t\tsize 65536\n\t\tflags timeout\n\t}\n");
	has(t,
	    "meta mark & 0x7f800000 == 0x00000000 meta l4proto tcp tcp flags & (fin | syn | rst | ack) "
	    "== syn ct state new jump decided\n");
	has(t, "meta mark & 0x7f800000 == 0x00000000 meta l4proto udp ct state new jump decided\n");
	has(t,
	    "\tchain decided {\n\t\tiif . ip saddr . ip daddr . meta l4proto . th dport @permit4 "
	    "counter meta mark set meta mark & 0x807fffff | 0x02800000 comment \"decided\"\n");
	has(t, "\t\tmeta mark & 0x7f800000 == 0x02800000 accept\n");
	has(t,
	    "meta l4proto tcp iif . ip6 saddr . ip6 daddr . meta l4proto . th dport @reset6 counter "
	    "reject with tcp reset comment \"decided\"\n");
	free(t);
}
END_TEST

START_TEST(iptables_text)
{
	struct pend_hook_config c = base();
	char *t = text_of(&c, PEND_HOOK_IPTABLES);

	has(t, "*raw\n:PEND-CLEAR - [0:0]\n");
	has(t, "*security\n:PEND-IN - [0:0]\n");
	has(t, "-I INPUT 1 -j PEND-IN\n");
	has(t, "-A PEND-IN -m connmark --mark 0x2800000/0x7f800000 -j RETURN\n");
	has(t, "-A PEND-IN -4 -p icmp -m icmp ! --icmp-type 8 -j RETURN\n");
	has(t, "-A PEND-IN -6 -p ipv6-icmp -m icmp6 ! --icmpv6-type 128 -j RETURN\n");
	has(t, "-A PEND-IN -4 -m addrtype --dst-type BROADCAST -j RETURN\n");
	has(t, "-A PEND-PERMIT -j CONNMARK --set-xmark 0x2800000/0x7f800000\n");
	has(t, "-A PEND-IN -m conntrack --ctstate DNAT -j MARK --set-xmark 0x2000000/0x7f800000\n"
	       "-A PEND-IN -j NFQUEUE --queue-num 0\n");
	lacks(t, "REJECT");
	lacks(t, "-j ACCEPT");
	free(t);
	c.queue_first = 7;
	c.queue_count = 2;
	c.fail_open = true;
	t = text_of(&c, PEND_HOOK_IPTABLES);
	has(t, "-j NFQUEUE --queue-balance 7:8 --queue-bypass\n");
	free(t);
}
END_TEST

START_TEST(longest_name_fits_iptables)
{
	struct pend_hook_config c = base();
	char *t;

	c.name = "abcdefghijklmnop";
	t = text_of(&c, PEND_HOOK_IPTABLES);
	has(t, "\n:ABCDEFGHIJKLMNOP-PERMIT - [0:0]\n"); /* 23; iptables takes 28 */
	free(t);
}
END_TEST

/* ---- helpers ---- */

START_TEST(statuses)
{
	ck_assert_int_eq(hook_status(0), PEND_OK);
	ck_assert_int_eq(hook_status(-EPERM), PEND_E_PERMISSION);
	ck_assert_int_eq(hook_status(-EBUSY), PEND_E_IN_USE);
	ck_assert_int_eq(hook_status(-EEXIST), PEND_E_IN_USE);
	ck_assert_int_eq(hook_status(-ENOENT), PEND_E_NOT_FOUND);
	ck_assert_int_eq(hook_status(-ENOMEM), PEND_E_NO_MEMORY);
	ck_assert_int_eq(hook_status(-EOPNOTSUPP), PEND_E_UNSUPPORTED);
	ck_assert_int_eq(hook_status(-EINVAL), PEND_E_SYSTEM);
}
END_TEST

START_TEST(probe_texts)
{
	const unsigned all = PROBE_NFT_NEEDED | PROBE_NFT_QUEUE;
	char buf[256];

	has(probe_text(PROBE_NFT | PROBE_NFT_QUEUE, buf, sizeof(buf)), "nft, nft queue; missing: ");
	has(probe_text(0, buf, sizeof(buf)), "missing: nft, ");
	ck_assert_str_eq(probe_name(PROBE_NFT_QUEUE), "nft queue");
	ck_assert_ptr_null(probe_name(1u << 31));
	ck_assert_uint_lt(strlen(probe_text(0, buf, 16)), 16);
	ck_assert(probe_nft_ready(all, NULL, 0));
	ck_assert(probe_nft_ready(PROBE_NFT_NEEDED | PROBE_NFT_XT_QUEUE, buf, sizeof(buf)));
	ck_assert_str_eq(buf, "");
	ck_assert(!probe_nft_ready(PROBE_NFT_NEEDED, buf, sizeof(buf)));
	ck_assert_str_eq(buf, "nft queue");
	ck_assert(!probe_nft_ready(all & ~(unsigned)PROBE_NFT_OWNER, buf, sizeof(buf)));
	ck_assert_str_eq(buf, "nft owner");
}
END_TEST

START_TEST(exec_passes_bytes_and_status)
{
	char path[EXEC_PATH_MAX];
	struct exec_out out;

	ck_assert(!exec_find("no-such-program-of-pend", path));
	ck_assert(exec_find("cat", path));
	ck_assert_int_eq(exec_run((const char *[]){path, NULL}, "some\ntext", &out), 0);
	ck_assert_int_eq(out.status, 0);
	ck_assert_str_eq(out.text, "some\ntext");
	ck_assert_str_eq(out.said, "");
	free(out.text);
	ck_assert_int_eq(exec_run((const char *[]){path, "/no; such $(file)", NULL}, NULL, &out),
			 0);
	ck_assert_int_eq(out.status, 1);
	has(out.said, "/no; such $(file)");
	free(out.text);
	ck_assert_int_lt(exec_run((const char *[]){"/no/such/program", NULL}, NULL, &out), 0);
}
END_TEST

Suite *suite(void)
{
	Suite *s = suite_create("hook");
	TCase *t = tcase_create("hook");

	tcase_add_test(t, defaults);
	tcase_add_test(t, null_pointers);
	tcase_add_loop_test(t, name, 0, sizeof(names) / sizeof(*names));
	tcase_add_test(t, queues);
	tcase_add_test(t, fields);
	tcase_add_test(t, none_does_nothing);
	tcase_add_loop_test(t, order_of_the_tag_chain, HOOK_STYLE_NFT, HOOK_STYLE_IPTABLES + 1);
	tcase_add_loop_test(t, translated_destinations_are_told, HOOK_STYLE_NFT,
			    HOOK_STYLE_IPTABLES + 1);
	tcase_add_loop_test(t, switches_of_the_tag_chain, HOOK_STYLE_NFT, HOOK_STYLE_IPTABLES + 1);
	tcase_add_test(t, nft_tag_chain_knows_no_epoch);
	tcase_add_test(t, iptables_has_no_actions_of_nft);
	tcase_add_test(t, lazy_tag_chain);
	tcase_add_test(t, lazy_output_chain);
	tcase_add_test(t, a_late_permit_is_stamped_as_one_of_before);
	tcase_add_loop_test(t, the_short_way, 0, 2);
	tcase_add_loop_test(t, decisions_in_the_tag_chain, 0, 2);
	tcase_add_loop_test(t, decisions_are_carried_out, 1, 63);
	tcase_add_test(t, decisions_need_a_place);
	tcase_add_test(t, decisions_nft_text);
	tcase_add_test(t, lazy_is_for_nft);
	tcase_add_test(t, nft_text);
	tcase_add_test(t, lazy_nft_text);
	tcase_add_test(t, iptables_text);
	tcase_add_test(t, longest_name_fits_iptables);
	tcase_add_test(t, statuses);
	tcase_add_test(t, probe_texts);
	tcase_add_test(t, exec_passes_bytes_and_status);
	suite_add_tcase(s, t);
	return s;
}
