/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the hookup's rules are, chain by chain, before any back end has written them down. */
#include "unit.h"

#include <string.h>

#include "io/hook_rules.h"

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

/* ---- flows that were ended (R34) ---- */

/* TCP has its SYN; of all others the opener's packets are asked about, and nothing else passes. */
START_TEST(ended_flows_begin_anew)
{
	const unsigned match = HOOK_M_CT_MARK | HOOK_M_STATE | HOOK_M_ORIGINAL;
	struct hook_policy p = policy((enum hook_style)_i);
	struct hook_rule r[HOOK_RULES_MAX];

	for (int c = HOOK_CHAIN_TAG_INPUT; c <= HOOK_CHAIN_TAG_FORWARD; c++) {
		unsigned n = hook_rules(&p, (enum hook_chain)c, r);
		int syn = find(r, n, HOOK_M_CT_MARK | HOOK_M_TCP | HOOK_M_FLAGS, HOOK_DO_QUEUE);

		ck_assert_int_ge(syn, 0);
		/* one side's reset reaches the other */
		ck_assert_uint_eq(r[++syn].match, HOOK_M_CT_MARK | HOOK_M_TCP | HOOK_M_FLAGS);
		ck_assert_uint_eq(r[syn].flags, 4);
		ck_assert_int_eq(r[syn].action, HOOK_DO_ACCEPT);
		ck_assert_uint_eq(r[syn + 1].match, HOOK_M_CT_MARK | HOOK_M_TCP);
		ck_assert_int_eq(r[syn + 1].action,
				 p.style == HOOK_STYLE_NFT ? HOOK_DO_RESET : HOOK_DO_DROP);
		ck_assert_uint_eq(r[syn + 2].match, match);
		ck_assert_uint_eq(r[syn + 3].match, match | HOOK_M_DNAT);
		for (int i = syn + 2; i <= syn + 3; i++) {
			ck_assert_int_eq(r[i].action, HOOK_DO_MARK);
			ck_assert_uint_eq(r[i].mark, mark_value_ended(i == syn + 3));
			/* A one-way flow stays new; an ICMP error is not of it (R17). */
			ck_assert_uint_eq(r[i].state, HOOK_CT_NEW | HOOK_CT_ESTABLISHED);
		}
		ck_assert_uint_eq(r[syn + 4].match, HOOK_M_MARK);
		ck_assert_int_eq(r[syn + 4].action, HOOK_DO_QUEUE);
		for (unsigned v = 0; v < 256; v++)
			ck_assert_int_eq((v & r[syn + 4].mark_mask) == r[syn + 4].mark,
					 v == mark_value_ended(false) ||
						 v == mark_value_ended(true));
		ck_assert_uint_eq(r[syn + 5].match, HOOK_M_CT_MARK);
		ck_assert_int_eq(r[syn + 5].action, HOOK_DO_DROP);
	}
}
END_TEST

/* A local socket that goes on speaks to nobody; what refuses the peer reaches it, and so does all of TCP. */
START_TEST(ended_flows_get_no_replies)
{
	struct hook_policy p = policy((enum hook_style)_i);
	struct hook_rule r[HOOK_RULES_MAX];
	unsigned n = hook_rules(&p, HOOK_CHAIN_TAG_OUTPUT, r);

	ck_assert_uint_eq(n, 2);
	ck_assert_uint_eq(r[0].match, HOOK_M_TCP);
	ck_assert_int_eq(r[0].action, HOOK_DO_ACCEPT);
	ck_assert_uint_eq(r[1].match, HOOK_M_CT_MARK | HOOK_M_STATE | HOOK_M_REPLY);
	ck_assert_int_eq(r[1].action, HOOK_DO_DROP);
	ck_assert_uint_eq(r[1].state, HOOK_CT_ESTABLISHED);
	ck_assert(r[1].ct_mark == MARK_BLOCKED && r[1].ct_mask == 3);
	p.input = false;
	ck_assert(!hook_chain_used(&p, HOOK_CHAIN_TAG_OUTPUT));
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
	original = find(r + valid, n - (unsigned)valid,
			HOOK_M_CT_MARK | HOOK_M_STATE | HOOK_M_ORIGINAL, HOOK_DO_MARK) +
		   valid;
	reply = find(r, n, HOOK_M_CT_MARK | HOOK_M_STATE | HOOK_M_REPLY, HOOK_DO_MARK);
	again = find(r, n, HOOK_M_MARK, HOOK_DO_QUEUE_OR_PASS);
	state = find_exact(r, n, HOOK_M_STATE, HOOK_DO_ACCEPT);
	ck_assert_int_eq(ended, 1); /* behind what no verdict has marked */
	ck_assert_uint_eq(r[ended].ct_mark, MARK_BLOCKED);
	/* TCP is answered by a rule behind; no other begins anew by the packet that ended it. */
	ck_assert_uint_eq(r[ended + 1].match, HOOK_M_MARK | HOOK_M_TCP);
	ck_assert_int_eq(r[ended + 1].action, HOOK_DO_CLEAR);
	ck_assert_uint_eq(r[ended + 2].match, HOOK_M_MARK);
	ck_assert_int_eq(r[ended + 2].action, HOOK_DO_DROP);
	ck_assert_uint_eq(r[ended + 2].mark, r[ended].mark);
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

	ck_assert(!hook_chain_used(&p, HOOK_CHAIN_STAMP_OUTPUT));
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

Suite *suite(void)
{
	Suite *s = suite_create("hook_rules");
	TCase *t = tcase_create("rules");

	tcase_add_loop_test(t, order_of_the_tag_chain, HOOK_STYLE_NFT, HOOK_STYLE_IPTABLES + 1);
	tcase_add_loop_test(t, translated_destinations_are_told, HOOK_STYLE_NFT,
			    HOOK_STYLE_IPTABLES + 1);
	tcase_add_loop_test(t, switches_of_the_tag_chain, HOOK_STYLE_NFT, HOOK_STYLE_IPTABLES + 1);
	tcase_add_test(t, nft_tag_chain_knows_no_epoch);
	tcase_add_test(t, iptables_has_no_actions_of_nft);
	tcase_add_loop_test(t, ended_flows_begin_anew, HOOK_STYLE_NFT, HOOK_STYLE_IPTABLES + 1);
	tcase_add_loop_test(t, ended_flows_get_no_replies, HOOK_STYLE_NFT, HOOK_STYLE_IPTABLES + 1);
	tcase_add_test(t, lazy_tag_chain);
	tcase_add_test(t, lazy_output_chain);
	tcase_add_test(t, a_late_permit_is_stamped_as_one_of_before);
	tcase_add_loop_test(t, the_short_way, 0, 2);
	tcase_add_loop_test(t, decisions_in_the_tag_chain, 0, 2);
	tcase_add_loop_test(t, decisions_are_carried_out, 1, 63);
	suite_add_tcase(s, t);
	return s;
}
