/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the hookup does to packets, chain by chain. */
#include "io/hook_rules.h"

#include <assert.h>
#include <stddef.h>

enum { FIN = 1, SYN = 2, RST = 4, ACK = 16 };

#define MARK_ALL  0xff
#define MARK_KIND 0x03

struct list {
	struct hook_rule *out;
	unsigned n;
};

static void add(struct list *l, struct hook_rule r)
{
	assert(l->n < HOOK_RULES_MAX);
	l->out[l->n++] = r;
}

/* Most packets have nothing to do with a chain that is about marks of ours: they pass by one rule. */
static void unmarked_rule(struct list *l)
{
	add(l, (struct hook_rule){
		       .match = HOOK_M_MARK,
		       .mark = 0,
		       .mark_mask = MARK_ALL,
		       .action = HOOK_DO_ACCEPT,
	       });
}

/* So do the later packets of a permitted flow, which no verdict has marked, past all rules that are not for them. */
static void permitted_rule(struct list *l)
{
	add(l, (struct hook_rule){
		       .match = HOOK_M_MARK | HOOK_M_CT_VALID,
		       .mark = 0,
		       .mark_mask = MARK_ALL,
		       .action = HOOK_DO_ACCEPT,
	       });
}

/* Nothing that comes in may bring marks of ours, but for our own copies on lo (R39). */
static void clear_rules(struct list *l, const struct hook_policy *p)
{
	if (p->style == HOOK_STYLE_NFT)
		unmarked_rule(l);
	add(l, (struct hook_rule){
		       .match = HOOK_M_LO | HOOK_M_MARK,
		       .mark = mark_value(MARK_PERMIT, MARK_EPOCH_INJECT),
		       .mark_mask = MARK_ALL,
		       .action = HOOK_DO_ACCEPT,
	       });
	add(l, (struct hook_rule){
		       .match = HOOK_M_MARK_NOT,
		       .mark_not = 0,
		       .action = HOOK_DO_CLEAR,
	       });
}

/* Blocks come back by NF_REPEAT and are answered here and now. */
static void answer_rules(struct list *l)
{
	add(l, (struct hook_rule){
		       .match = HOOK_M_MARK | HOOK_M_TCP,
		       .mark = mark_value(MARK_RESET, MARK_EPOCH_NONE),
		       .mark_mask = MARK_ALL,
		       .action = HOOK_DO_RESET,
		       .note = "reset",
	       });
	add(l, (struct hook_rule){
		       .match = HOOK_M_MARK,
		       .mark = MARK_RESET,
		       .mark_mask = MARK_RESET, /* the bit that RESET and UNREACH share */
		       .action = HOOK_DO_UNREACH,
		       .note = "unreachable",
	       });
}

/*
 * A flow that was authorized again and is blocked. What is said to a packet of TCP is blocked_rules()' to say, as
 * to all that come after it; any other might begin the flow anew there, and just did not.
 */
static void end_rules(struct list *l)
{
	struct hook_rule r = {
		.match = HOOK_M_MARK,
		.mark = mark_value(MARK_RESET, MARK_EPOCH_END),
		.mark_mask = MARK_ALL,
		.ct_mark = MARK_BLOCKED,
		.action = HOOK_DO_STAMP,
		.note = "ended",
	};

	add(l, r);
	r.note = NULL;
	r.match = HOOK_M_MARK | HOOK_M_TCP;
	r.action = HOOK_DO_CLEAR;
	add(l, r);
	r.match = HOOK_M_MARK;
	r.action = HOOK_DO_DROP;
	add(l, r);
}

/*
 * iptables has no later chain to stamp in, so permits come back by NF_REPEAT too. A permit of another
 * epoch than ours is let in unstamped; to queue it again could go on for ever (R40). REJECT exists in
 * the filter table only, which ran before: the engine forges its answers, and what asks for one here
 * all the same is dropped.
 */
static void repeat_rules(struct list *l, const struct hook_policy *p)
{
	add(l, (struct hook_rule){
		       .match = HOOK_M_MARK,
		       .mark = mark_value(MARK_PERMIT, p->epoch),
		       .mark_mask = MARK_ALL,
		       .action = HOOK_DO_GOTO_STAMP,
	       });
	add(l, (struct hook_rule){
		       .match = HOOK_M_MARK | HOOK_M_MARK_NOT,
		       .mark = MARK_PERMIT,
		       .mark_mask = MARK_KIND,
		       .mark_not = mark_value(MARK_PERMIT, MARK_EPOCH_INJECT),
		       .action = HOOK_DO_GOTO_PASS,
	       });
	add(l, (struct hook_rule){
		       .match = HOOK_M_MARK,
		       .mark = MARK_RESET,
		       .mark_mask = MARK_RESET,
		       .action = HOOK_DO_DROP,
	       });
}

/*
 * TCP that was ended (R34): whichever end speaks next is told, where the table can reject. A peer that begins anew
 * from the same port is no part of it, though conntrack may know it by the same entry for some seconds: it is
 * classified like any other, and a permit replaces the mark.
 */
static void blocked_tcp_rules(struct list *l, const struct hook_policy *p)
{
	struct hook_rule r = {
		.match = HOOK_M_CT_MARK | HOOK_M_TCP | HOOK_M_FLAGS,
		.ct_mark = MARK_BLOCKED,
		.ct_mask = MARK_KIND,
		.flags = SYN,
		.flags_mask = FIN | SYN | RST | ACK,
		.action = HOOK_DO_QUEUE,
		.note = "begun anew",
	};

	add(l, r);
	/* The end of one side is the other's to know, on lo and where packets are forwarded. */
	r.flags = r.flags_mask = RST;
	r.action = HOOK_DO_ACCEPT;
	r.note = NULL;
	add(l, r);
	r.match = HOOK_M_CT_MARK | HOOK_M_TCP;
	r.action = p->style == HOOK_STYLE_NFT ? HOOK_DO_RESET : HOOK_DO_DROP;
	r.note = "blocked tcp";
	add(l, r);
}

/*
 * Where there is no SYN, every packet of the opener may begin the flow anew. The engine is told whose it is: what
 * ended the flow keeps it ended. The entry stays until then. Without it this host, which may go on sending, would
 * be the flow's opener, and the peer's packets its replies.
 */
static void ended_rules(struct list *l)
{
	struct hook_rule r = {
		.match = HOOK_M_CT_MARK | HOOK_M_STATE | HOOK_M_ORIGINAL,
		.ct_mark = MARK_BLOCKED,
		.ct_mask = MARK_KIND,
		.state = HOOK_CT_NEW | HOOK_CT_ESTABLISHED,
		.mark = mark_value_ended(false),
		.action = HOOK_DO_MARK,
	};

	add(l, r);
	r.match |= HOOK_M_DNAT;
	r.mark = mark_value_ended(true);
	add(l, r);
	add(l, (struct hook_rule){
		       .match = HOOK_M_MARK,
		       .mark = mark_value_ended(false) & mark_value_ended(true),
		       .mark_mask = (uint8_t) ~(mark_value_ended(false) ^ mark_value_ended(true)),
		       .action = HOOK_DO_QUEUE,
		       .note = "begun anew",
	       });
}

/* A flow that was ended, as its packets come in. */
static void blocked_rules(struct list *l, const struct hook_policy *p)
{
	blocked_tcp_rules(l, p);
	ended_rules(l);
	add(l, (struct hook_rule){
		       .match = HOOK_M_CT_MARK,
		       .ct_mark = MARK_BLOCKED,
		       .ct_mask = MARK_KIND,
		       .action = HOOK_DO_DROP,
		       .note = "blocked flow",
	       });
}

/*
 * What local sockets say to one: not the other way, which is on lo, and judged when it comes in. Nor is an ICMP
 * error of it, by which a peer is told that it is refused.
 */
static void blocked_reply_rule(struct list *l)
{
	add(l, (struct hook_rule){
		       .match = HOOK_M_CT_MARK | HOOK_M_STATE | HOOK_M_REPLY,
		       .ct_mark = MARK_BLOCKED,
		       .ct_mask = MARK_KIND,
		       .state = HOOK_CT_ESTABLISHED,
		       .action = HOOK_DO_DROP,
		       .note = "blocked flow",
	       });
}

/*
 * A flow that was permitted in another epoch (R31): the engine is told which way the packet goes, since
 * that decides whose flow it is. What is merely related to it (an ICMP error) is not of it. The flow has
 * a permit: with nobody there to ask, it goes on as it is (R36, R57).
 */
static void again_rules(struct list *l, bool original)
{
	struct hook_rule r = {
		.match = HOOK_M_CT_MARK | HOOK_M_STATE | HOOK_M_ORIGINAL,
		.ct_mark = MARK_PERMIT,
		.ct_mask = MARK_KIND,
		.state = HOOK_CT_NEW | HOOK_CT_ESTABLISHED,
		.mark = mark_value_again(false),
		.action = HOOK_DO_MARK,
	};

	if (original)
		add(l, r);
	r.match = HOOK_M_CT_MARK | HOOK_M_STATE | HOOK_M_REPLY;
	r.mark = mark_value_again(true);
	add(l, r);
	add(l, (struct hook_rule){
		       .match = HOOK_M_MARK,
		       .mark = mark_value_again(false) & mark_value_again(true),
		       .mark_mask = (uint8_t) ~(mark_value_again(false) ^ mark_value_again(true)),
		       .action = HOOK_DO_QUEUE_OR_PASS,
		       .note = "again",
	       });
}

/* The valid mark comes before the state: a one-way UDP flow stays NEW for ever (R46). */
static void known_flow_rules(struct list *l, const struct hook_policy *p)
{
	if (!p->loopback)
		add(l, (struct hook_rule){
			       .match = HOOK_M_LO | HOOK_M_MARK_NOT,
			       .mark_not = mark_value(MARK_PERMIT, MARK_EPOCH_INJECT),
			       .action = HOOK_DO_ACCEPT,
		       });
	blocked_rules(l, p);
	add(l, (struct hook_rule){.match = HOOK_M_CT_VALID, .action = HOOK_DO_ACCEPT});
	if (p->lazy)
		again_rules(l, true);
	add(l, (struct hook_rule){
		       .match = HOOK_M_STATE,
		       .state = HOOK_CT_ESTABLISHED | HOOK_CT_RELATED,
		       .action = HOOK_DO_ACCEPT,
	       });
}

/*
 * What is never pended: ICMP but echo requests, neighbour discovery and MLD among it (R17), and what
 * has no single peer (R48).
 */
static void exempt_rules(struct list *l, const struct hook_policy *p)
{
	/* Not anycast: what is sent to such an address reaches a socket like any other. */
	static const uint8_t dst[] = {HOOK_DST_BROADCAST, HOOK_DST_MULTICAST};

	add(l, (struct hook_rule){.match = HOOK_M_ICMP, .action = HOOK_DO_ACCEPT});
	add(l, (struct hook_rule){.match = HOOK_M_ICMP6, .action = HOOK_DO_ACCEPT});
	for (size_t i = 0; i < sizeof(dst) && !p->multicast; i++)
		add(l, (struct hook_rule){
			       .match = HOOK_M_DST, .dst = dst[i], .action = HOOK_DO_ACCEPT});
}

/*
 * TCP that cannot open a flow. A reset may be the peer of a held SYN giving up (R16). What looks like
 * the middle of a connection that conntrack has not seen is dropped: it would open one unasked by
 * a SYN cookie's ACK or by conntrack's loose pick-up. A peer whose connection is older than conntrack
 * goes on as soon as this host sends it something. A SYN that conntrack calls invalid has no entry
 * that a permit could be remembered in. Other invalid packets are the host's business, and so
 * are the later packets of flows that the host chose not to track.
 */
static void tcp_rules(struct list *l)
{
	add(l, (struct hook_rule){
		       .match = HOOK_M_TCP | HOOK_M_FLAGS | HOOK_M_STATE,
		       .flags = RST,
		       .flags_mask = RST,
		       .state = HOOK_CT_INVALID,
		       .action = HOOK_DO_QUEUE,
	       });
	add(l, (struct hook_rule){
		       .match = HOOK_M_TCP | HOOK_M_FLAGS_NOT | HOOK_M_STATE,
		       .flags = SYN,
		       .flags_mask = FIN | SYN | RST | ACK,
		       .state = HOOK_CT_NEW,
		       .action = HOOK_DO_DROP,
		       .note = "midstream",
	       });
	add(l, (struct hook_rule){
		       .match = HOOK_M_TCP | HOOK_M_FLAGS | HOOK_M_STATE,
		       .flags = SYN,
		       .flags_mask = SYN | ACK,
		       .state = HOOK_CT_INVALID,
		       .action = HOOK_DO_DROP,
		       .note = "invalid syn",
	       });
	add(l, (struct hook_rule){
		       .match = HOOK_M_STATE,
		       .state = HOOK_CT_INVALID,
		       .action = HOOK_DO_ACCEPT,
	       });
	add(l, (struct hook_rule){
		       .match = HOOK_M_TCP | HOOK_M_FLAGS_NOT | HOOK_M_STATE,
		       .flags = SYN,
		       .flags_mask = FIN | SYN | RST | ACK,
		       .state = HOOK_CT_UNTRACKED,
		       .action = HOOK_DO_ACCEPT,
	       });
}

static void decided_rule(struct list *l, enum hook_set set, unsigned match, enum hook_do action,
			 uint8_t mark)
{
	add(l, (struct hook_rule){.match = HOOK_M_DECIDED | match,
				  .set = (uint8_t)set,
				  .mark = mark,
				  .action = action,
				  .note = "decided"});
}

/*
 * What a queued packet would be told, for connections of which it is known. Permits have the mark of this
 * epoch, so that they are stamped as any other. pend_hook_decided() knows the counters by their order.
 */
static void decided_rules(struct list *l, const struct hook_policy *p)
{
	uint8_t permit = mark_value(MARK_PERMIT, p->epoch);

	decided_rule(l, HOOK_SET_PERMIT4, 0, HOOK_DO_MARK, permit);
	decided_rule(l, HOOK_SET_PERMIT6, 0, HOOK_DO_MARK, permit);
	add(l, (struct hook_rule){.match = HOOK_M_MARK,
				  .mark = permit,
				  .mark_mask = MARK_ALL,
				  .action = HOOK_DO_ACCEPT});
	decided_rule(l, HOOK_SET_DROP4, 0, HOOK_DO_DROP, 0);
	decided_rule(l, HOOK_SET_DROP6, 0, HOOK_DO_DROP, 0);
	decided_rule(l, HOOK_SET_RESET4, HOOK_M_TCP, HOOK_DO_RESET, 0);
	decided_rule(l, HOOK_SET_RESET6, HOOK_M_TCP, HOOK_DO_RESET, 0);
	decided_rule(l, HOOK_SET_UNREACH4, 0, HOOK_DO_UNREACH, 0);
	decided_rule(l, HOOK_SET_UNREACH6, 0, HOOK_DO_UNREACH, 0);
}

/*
 * Only what conntrack takes for the beginning of a flow, so that a permit is stamped, and what bears no mark
 * of ours: neither a copy on lo, which its context waits for, nor a flow to be authorized again. What the rules
 * behind would not queue is in no set: it never came to be decided.
 */
static void ask_decided(struct list *l)
{
	struct hook_rule r = {.match = HOOK_M_STATE | HOOK_M_MARK | HOOK_M_TCP | HOOK_M_FLAGS,
			      .state = HOOK_CT_NEW,
			      .mark = 0,
			      .mark_mask = MARK_ALL,
			      .flags = SYN,
			      .flags_mask = FIN | SYN | RST | ACK,
			      .action = HOOK_DO_JUMP_DECIDED};

	add(l, r);
	r.match = HOOK_M_STATE | HOOK_M_MARK | HOOK_M_UDP;
	add(l, r);
}

static void tag_rules(struct list *l, const struct hook_policy *p, bool input)
{
	if (p->style == HOOK_STYLE_NFT)
		permitted_rule(l);
	if (p->lazy)
		end_rules(l);
	if (p->style == HOOK_STYLE_NFT)
		answer_rules(l);
	else
		repeat_rules(l, p);
	known_flow_rules(l, p);
	if (p->decisions && input)
		ask_decided(l);
	exempt_rules(l, p);
	tcp_rules(l);
	/* What the engine cannot see in the packet. It cannot come from outside: see clear_rules(). */
	add(l, (struct hook_rule){
		       .match = HOOK_M_DNAT, .mark = mark_value_dnat(), .action = HOOK_DO_MARK});
	add(l, (struct hook_rule){.action = HOOK_DO_QUEUE, .note = "queue"});
}

/*
 * Replies of local sockets. A reset is let go, whatever became of the flow: it is what its peer should get.
 * Only what was permitted has such a mark, so that nothing else is ever queued here.
 */
static void lazy_output_rules(struct list *l)
{
	end_rules(l);
	add(l, (struct hook_rule){.match = HOOK_M_CT_VALID, .action = HOOK_DO_ACCEPT});
	add(l, (struct hook_rule){
		       .match = HOOK_M_TCP | HOOK_M_FLAGS,
		       .flags = RST,
		       .flags_mask = RST,
		       .action = HOOK_DO_ACCEPT,
	       });
	add(l, (struct hook_rule){
		       .match = HOOK_M_CT_MARK | HOOK_M_TCP | HOOK_M_REPLY,
		       .ct_mark = MARK_BLOCKED,
		       .ct_mask = MARK_KIND,
		       .action = HOOK_DO_RESET,
		       .note = "blocked tcp",
	       });
	blocked_reply_rule(l);
	again_rules(l, false);
}

/* When all flows are looked at, a socket of TCP is destroyed, and its last word tells the peer. */
static void output_rules(struct list *l, const struct hook_policy *p)
{
	if (p->lazy) {
		lazy_output_rules(l);
		return;
	}
	add(l, (struct hook_rule){.match = HOOK_M_TCP, .action = HOOK_DO_ACCEPT});
	blocked_reply_rule(l);
}

/*
 * Between two epochs a verdict may still name the one before. It is stamped as that, and so authorized once
 * more: unstamped, its flow would never be again.
 */
static void stamp_earlier_rules(struct list *l, const struct hook_policy *p)
{
	static const uint8_t none[] = {MARK_EPOCH_NONE, MARK_EPOCH_INJECT};

	for (size_t i = 0; i < sizeof(none); i++)
		add(l, (struct hook_rule){
			       .match = HOOK_M_MARK,
			       .mark = mark_value(MARK_PERMIT, none[i]),
			       .mark_mask = MARK_ALL,
			       .action = HOOK_DO_CLEAR,
		       });
	add(l, (struct hook_rule){
		       .match = HOOK_M_MARK | HOOK_M_MARK_NOT,
		       .mark = MARK_PERMIT,
		       .mark_mask = MARK_KIND,
		       .mark_not = mark_value(MARK_PERMIT, p->epoch),
		       .ct_mark = mark_value(MARK_PERMIT, mark_epoch_before(p->epoch)),
		       .action = HOOK_DO_STAMP,
		       .note = "permitted before",
	       });
}

/* The flow of a permit of this epoch is remembered; no mark of ours is left on any packet. */
static void stamp_rules(struct list *l, const struct hook_policy *p)
{
	uint8_t v = mark_value(MARK_PERMIT, p->epoch);

	unmarked_rule(l);
	if (p->lazy)
		stamp_earlier_rules(l, p);
	add(l, (struct hook_rule){
		       .match = HOOK_M_MARK,
		       .mark = v,
		       .mark_mask = MARK_ALL,
		       .ct_mark = v,
		       .action = HOOK_DO_STAMP,
		       .note = "permitted",
	       });
	add(l, (struct hook_rule){
		       .match = HOOK_M_MARK_NOT,
		       .mark_not = 0,
		       .action = HOOK_DO_CLEAR,
	       });
}

static void permit_rules(struct list *l, const struct hook_policy *p)
{
	add(l, (struct hook_rule){
		       .ct_mark = mark_value(MARK_PERMIT, p->epoch),
		       .action = HOOK_DO_STAMP,
	       });
	add(l, (struct hook_rule){.action = HOOK_DO_CLEAR});
}

bool hook_chain_used(const struct hook_policy *p, enum hook_chain chain)
{
	bool nft = p->style == HOOK_STYLE_NFT;

	switch (chain) {
	case HOOK_CHAIN_CLEAR:
		return true;
	case HOOK_CHAIN_TAG_INPUT:
	case HOOK_CHAIN_TAG_OUTPUT:
		return p->input;
	case HOOK_CHAIN_TAG_FORWARD:
		return p->forward;
	case HOOK_CHAIN_STAMP_INPUT:
		return nft && p->input;
	case HOOK_CHAIN_STAMP_FORWARD:
		return nft && p->forward;
	case HOOK_CHAIN_STAMP_OUTPUT:
		return nft && p->lazy && p->input;
	case HOOK_CHAIN_PERMIT:
	case HOOK_CHAIN_PASS:
		return !nft;
	case HOOK_CHAIN_DECIDED:
		return nft && p->decisions && p->input;
	case HOOK_CHAIN_COUNT:
		break;
	}
	return false;
}

unsigned hook_rules(const struct hook_policy *p, enum hook_chain chain,
		    struct hook_rule out[HOOK_RULES_MAX])
{
	struct list l = {.out = out};

	if (!hook_chain_used(p, chain))
		return 0;
	switch (chain) {
	case HOOK_CHAIN_CLEAR:
		clear_rules(&l, p);
		break;
	case HOOK_CHAIN_TAG_INPUT:
	case HOOK_CHAIN_TAG_FORWARD:
		tag_rules(&l, p, chain == HOOK_CHAIN_TAG_INPUT);
		break;
	case HOOK_CHAIN_STAMP_INPUT:
	case HOOK_CHAIN_STAMP_FORWARD:
	case HOOK_CHAIN_STAMP_OUTPUT:
		stamp_rules(&l, p);
		break;
	case HOOK_CHAIN_TAG_OUTPUT:
		output_rules(&l, p);
		break;
	case HOOK_CHAIN_PERMIT:
		permit_rules(&l, p);
		break;
	case HOOK_CHAIN_PASS:
		add(&l, (struct hook_rule){.action = HOOK_DO_CLEAR});
		break;
	case HOOK_CHAIN_DECIDED:
		decided_rules(&l, p);
		break;
	case HOOK_CHAIN_COUNT:
		break;
	}
	return l.n;
}
