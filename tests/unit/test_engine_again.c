/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A packet of a flow that was permitted in another epoch (R31 to R34), in the simulation. */
#include "tests/unit/engine_sim.h"
#include "unit.h"
#include <string.h>

enum { LOCAL_IN = 1, FORWARD = 2, LOCAL_OUT = 3 };

static struct sim sim, *s;
static struct sim_callout top;
static uint8_t buf[256];

static void setup(void)
{
	s = &sim;
	sim_new(s);
	sim_callout(s, &top, 100, DO_PERMIT);
}

static void teardown(void)
{
	sim_end(s);
}

/* Turn an IPv4 packet round, ports included. */
static void turn(uint8_t *p)
{
	uint8_t addr[4], port[2];

	memcpy(addr, p + 12, 4);
	memcpy(p + 12, p + 16, 4);
	memcpy(p + 16, addr, 4);
	memcpy(port, p + 20, 2);
	memcpy(p + 20, p + 22, 2);
	memcpy(p + 22, port, 2);
}

/* As the tag chains queue it. */
static uint32_t again(enum sim_kind kind, bool reply, uint8_t hook, bool stamp)
{
	struct sim_tuple t = sim_peer(4000);
	struct engine_input in = {.data = buf, .hook = hook, .stamp = stamp};
	uint32_t other = 0x00000005;

	in.len = in.total = sim_make(buf, kind, &t, 77, 0, 0);
	if (reply)
		turn(buf);
	in.iif = hook == LOCAL_OUT ? 0 : 2;
	in.oif = hook == LOCAL_IN ? 0 : 3;
	in.mark = mark_put(&s->e.marks, other, mark_value_again(reply));
	return sim_input(s, &in);
}

static enum engine_verdict verdict_of(uint32_t id)
{
	return s->ledger[id - 1].verdict;
}

START_TEST(R31_classified_once_with_the_reason)
{
	uint32_t id = again(SIM_ACK, false, LOCAL_IN, false);

	ck_assert_uint_eq(top.calls, 1);
	ck_assert_uint_eq(top.meta.flags, PEND_META_REAUTHORIZE);
	ck_assert_int_eq(top.meta.reason, PEND_REASON_POLICY_CHANGE);
	ck_assert_ptr_null(top.handle);
	ck_assert_int_eq(verdict_of(id), ENGINE_ACCEPT); /* and stamp */
	ck_assert_uint_eq(s->ledger[id - 1].mark & ~s->e.marks.mask, 5);
	ck_assert_uint_eq(sim_stats(s).reauthorized, 1);
	ck_assert_uint_eq(sim_stats(s).reauth_ended, 0);
	ck_assert_uint_eq(s->ends, 0);
}
END_TEST

/* Both ways it is the flow's opening that is judged (R31), by where it came in. */
START_TEST(R31_values_are_those_of_the_opening)
{
	struct pend_values want;

	again(SIM_ACK, false, LOCAL_IN, false);
	want = top.values;
	ck_assert_uint_eq(want.source_port, 4000);
	ck_assert_uint_eq(want.dest_port, 22);
	ck_assert_uint_eq(want.tcp_flags, 2); /* SYN */
	ck_assert_uint_eq(want.in_interface, 2);
	ck_assert_uint_eq(want.tcp_flags_unknown, 0xe8); /* but FIN, SYN, RST, ACK */
	ck_assert_uint_eq(want.mark, 5);
	ck_assert(!want.mark_unknown); /* it is that of this packet */
	again(SIM_ACK, true, LOCAL_OUT, false);
	ck_assert_uint_eq(top.meta.flags, PEND_META_REAUTHORIZE | PEND_META_REPLY);
	want.in_interface = 3; /* where the reply leaves */
	want.mark = 0;
	want.mark_unknown = true;
	ck_assert_mem_eq(&top.values, &want, sizeof(want));
	again(SIM_ACK, true, FORWARD, false);
	want.out_interface = 2;
	want.hook = FORWARD;
	ck_assert_mem_eq(&top.values, &want, sizeof(want));
}
END_TEST

START_TEST(R33_never_pended)
{
	uint32_t id;

	top.first = DO_PEND;
	id = again(SIM_ACK, false, LOCAL_IN, false);
	ck_assert_int_eq(top.pend_status, PEND_E_CANNOT_PEND);
	ck_assert_uint_eq(sim_stats(s).pended, 0);
	ck_assert_int_eq(verdict_of(id), ENGINE_END); /* that callout blocks then */
}
END_TEST

START_TEST(R34_tcp_is_ended)
{
	struct sim_tuple t = sim_peer(4000);
	struct flow f = sim_flow(SIM_SYN, &t);
	uint32_t in, out;

	top.first = DO_BLOCK;
	top.how = PEND_BLOCK_DROP;
	in = again(SIM_ACK, false, LOCAL_IN, false);
	ck_assert(flow_equal(&s->ended, &f));
	s->end_fails = true; /* no local socket: the hookup's mark does it */
	out = again(SIM_ACK, true, LOCAL_OUT, false);
	ck_assert(flow_equal(&s->ended, &f));
	ck_assert_int_eq(verdict_of(in), ENGINE_END);
	ck_assert_int_eq(verdict_of(out), ENGINE_END);
	ck_assert_uint_eq(s->ends, 2);
	ck_assert_uint_eq(sim_stats(s).reauthorized, 2);
	ck_assert_uint_eq(sim_stats(s).reauth_ended, 2);
}
END_TEST

/* Marked, so that nobody's next packet opens a flow unasked; this one is refused as the rule says. */
START_TEST(R34_datagrams_are_ended)
{
	uint32_t id;

	top.first = DO_BLOCK;
	top.how = PEND_BLOCK_UNREACHABLE;
	id = again(SIM_UDP, false, LOCAL_IN, true);
	ck_assert_int_eq(verdict_of(id), ENGINE_UNREACH);
	id = again(SIM_UDP, true, LOCAL_OUT, true); /* our own socket is told nothing */
	ck_assert_int_eq(verdict_of(id), ENGINE_DROP);
	s->end_fails = true;
	id = again(SIM_UDP, false, LOCAL_IN, true);
	ck_assert_int_eq(verdict_of(id), ENGINE_END);
}
END_TEST

/* BIG TCP: more than its header can say, and the queue has cut it. */
START_TEST(R31_a_packet_of_more_than_64_kilobytes)
{
	struct sim_tuple t = sim_peer(4000);
	struct engine_input in = {.data = buf, .hook = LOCAL_IN, .iif = 2, .total = 180000};

	in.len = sim_make(buf, SIM_ACK, &t, 77, 0, 0);
	buf[2] = buf[3] = 0;
	in.mark = mark_put(&s->e.marks, 0, mark_value_again(false));
	ck_assert_int_eq(verdict_of(sim_input(s, &in)), ENGINE_ACCEPT);
	ck_assert_uint_eq(sim_stats(s).malformed, 0);
	in.total = in.len; /* somebody has forged it */
	ck_assert_int_eq(verdict_of(sim_input(s, &in)), ENGINE_DROP);
	ck_assert_uint_eq(sim_stats(s).malformed, 1);
}
END_TEST

/* A packet of a flow that was ended, from its opener: as the tag chain queues it. */
static uint32_t ended(bool dnat)
{
	struct sim_tuple t = sim_peer(4000);
	struct engine_input in = {.data = buf, .hook = LOCAL_IN, .iif = 2, .stamp = false};

	in.len = in.total = sim_make(buf, SIM_UDP, &t, 0, 0, 0);
	in.mark = mark_put(&s->e.marks, 5, mark_value_ended(dnat));
	return sim_input(s, &in);
}

static void block_live(struct sim_callout *c, const struct pend_values *v,
		       const struct pend_metadata *m, const struct pend_packet *p,
		       struct pend_classify_out *out)
{
	(void)c;
	(void)v;
	(void)p;
	if (m->flags & PEND_META_REAUTHORIZE)
		pend_out_block(out, PEND_BLOCK_UNREACHABLE);
	else
		pend_out_permit(out);
}

/* `block reauthorize; permit` ends flows, and permits what opens one: which this packet looks like. */
START_TEST(R34_what_ended_it_keeps_it_ended)
{
	top.hook = block_live;
	ck_assert_int_eq(verdict_of(again(SIM_UDP, false, LOCAL_IN, true)), ENGINE_UNREACH);
	ck_assert_int_eq(verdict_of(ended(false)), ENGINE_UNREACH);
	ck_assert_uint_eq(sim_stats(s).blocked_direct, 2);
	ck_assert_uint_eq(sim_stats(s).reauth_ended, 1); /* once */
}
END_TEST

START_TEST(R34_it_begins_anew_by_what_does_not_end_it)
{
	ck_assert_int_eq(verdict_of(ended(false)), ENGINE_ACCEPT);
	ck_assert_uint_eq(top.calls, 2);
	ck_assert_uint_eq(top.meta.flags, 0); /* at last, as any other that opens a flow */
	ck_assert_uint_eq(top.values.mark, 5);
	ck_assert_uint_eq(sim_stats(s).permitted_direct, 1);
}
END_TEST

/* What a context remembers of the flow ends with it, or a policy that asks would not be asked. */
START_TEST(R34_an_ended_flow_has_no_permit_left)
{
	struct sim_tuple t = sim_peer(4000);

	top.first = DO_PEND;
	top.opt.release = PEND_RELEASE_FLUSH;
	sim_send(s, SIM_UDP, &t, 0);
	sim_complete(s, top.ctx, PEND_VERDICT_PERMIT);
	sim_round(s);
	ck_assert_uint_eq(sim_stats(s).lingering, 1);
	top.first = DO_BLOCK;
	ck_assert_int_eq(verdict_of(ended(false)), ENGINE_DROP);
	ck_assert_uint_eq(sim_stats(s).lingering, 0);
}
END_TEST

static void pend_new(struct sim_callout *c, const struct pend_values *v,
		     const struct pend_metadata *m, const struct pend_packet *p,
		     struct pend_classify_out *out)
{
	(void)v;
	(void)p;
	if (m->flags & PEND_META_COMPLETION)
		return;
	if (m->flags & PEND_META_REAUTHORIZE) {
		pend_out_permit(out); /* a decision stands (R33) */
		return;
	}
	c->pend_status = pend_operation(&c->s->e, m->completion, &c->opt, &c->ctx);
	pend_out_pended(out);
}

START_TEST(R34_it_is_asked_about_anew)
{
	uint32_t id;

	top.hook = pend_new;
	id = ended(true);
	ck_assert_int_eq(top.pend_status, PEND_OK);
	ck_assert(!s->ledger[id - 1].decided);
	id = ended(true); /* the next datagram waits behind it */
	ck_assert(!s->ledger[id - 1].decided);
	ck_assert_uint_eq(sim_stats(s).pended, 1);
	/* Whatever waits, its mark goes at once: what this host answers would be dropped until then. */
	sim_complete(s, top.ctx, PEND_VERDICT_PERMIT);
	ck_assert_int_eq(verdict_of(id - 1), ENGINE_ACCEPT);
	ck_assert_int_eq(verdict_of(id), ENGINE_ACCEPT_ONCE);
	sim_round(s);
	ck_assert_int_eq(verdict_of(ended(true)), ENGINE_ACCEPT);
}
END_TEST

/* A copy would come to the rules as a packet of the ended flow, on lo: the peer's own next one is let in. */
START_TEST(R34_what_begins_anew_is_not_sent_again)
{
	top.hook = pend_new;
	top.opt.mode = PEND_MODE_ABSORB;
	ended(false);
	sim_complete(s, top.ctx, PEND_VERDICT_PERMIT);
	sim_round(s);
	ck_assert_uint_eq(sim_stats(s).injected, 0);
	ck_assert_uint_eq(sim_stats(s).ended[PEND_STATE_FLUSHED], 1);
	ck_assert_int_eq(verdict_of(ended(false)), ENGINE_ACCEPT);
}
END_TEST

/* R33: datagrams that wait behind it must not be overtaken. */
START_TEST(R33_a_stamp_keeps_the_order)
{
	ck_assert_int_eq(verdict_of(again(SIM_UDP, false, LOCAL_IN, false)), ENGINE_ACCEPT_ONCE);
	ck_assert_int_eq(verdict_of(again(SIM_UDP, false, LOCAL_IN, true)), ENGINE_ACCEPT);
}
END_TEST

static void permit_once(struct sim_callout *c, const struct pend_values *v,
			const struct pend_metadata *m, const struct pend_packet *p,
			struct pend_classify_out *out)
{
	(void)c;
	(void)v;
	(void)m;
	(void)p;
	pend_out_permit(out);
	out->rights |= PEND_OUT_ONCE;
}

/* R32: what could not be told of a reply is asked about with the next packet. */
START_TEST(R32_a_permit_of_one_packet_stamps_nothing)
{
	top.hook = permit_once;
	ck_assert_int_eq(verdict_of(again(SIM_ACK, true, LOCAL_OUT, true)), ENGINE_ACCEPT_ONCE);
	ck_assert_int_eq(verdict_of(again(SIM_UDP, true, LOCAL_OUT, true)), ENGINE_ACCEPT_ONCE);
	top.hook = NULL;
	ck_assert_int_eq(verdict_of(again(SIM_ACK, false, LOCAL_IN, true)), ENGINE_ACCEPT);
}
END_TEST

/* A context that lingers after its permit neither answers for the flow, nor lets it in when it was ended. */
START_TEST(a_lingering_permit_does_not_decide)
{
	struct sim_tuple t = sim_peer(4000);
	struct sim_callout *c = &top;
	uint32_t id;

	c->first = DO_PEND;
	c->opt.release = PEND_RELEASE_FLUSH;
	sim_send(s, SIM_UDP, &t, 0);
	sim_complete(s, c->ctx, PEND_VERDICT_PERMIT);
	sim_round(s);
	ck_assert_uint_eq(sim_stats(s).lingering, 1);
	c->first = DO_BLOCK;
	again(SIM_UDP, false, LOCAL_IN, true);
	ck_assert_uint_eq(c->calls, 2);
	ck_assert_uint_eq(sim_stats(s).lingering, 0);
	id = sim_send(s, SIM_UDP, &t, 0);
	ck_assert(sim_dropped(s, id));
	ck_assert_uint_eq(c->calls, 3);
}
END_TEST

START_TEST(nobody_has_an_opinion)
{
	top.first = DO_CONTINUE;
	ck_assert_int_eq(verdict_of(again(SIM_ACK, false, LOCAL_IN, false)), ENGINE_END);
	s->e.cfg.default_action = PEND_ACTION_PERMIT;
	ck_assert_int_eq(verdict_of(again(SIM_ACK, false, LOCAL_IN, false)), ENGINE_ACCEPT);
}
END_TEST

static void event_on_request(struct sim_callout *c, const struct pend_values *v,
			     const struct pend_metadata *m, const struct pend_packet *p,
			     struct pend_classify_out *out)
{
	(void)c;
	(void)v;
	(void)m;
	(void)p;
	pend_out_block(out, PEND_BLOCK_DROP);
	out->rights |= PEND_OUT_EVENT;
}

START_TEST(told_as_the_flow_it_was)
{
	const struct pend_info *i = &s->last[PEND_EVENT_CLASSIFIED].info;

	top.hook = event_on_request;
	again(SIM_ACK, true, LOCAL_OUT, false);
	ck_assert_uint_eq(s->events[PEND_EVENT_CLASSIFIED], 1);
	ck_assert_uint_eq(i->source_port, 4000);
	ck_assert_uint_eq(i->dest_port, 22);
	ck_assert_uint_eq(i->hook, LOCAL_IN);
	ck_assert_uint_eq(i->in_interface, 3);
	ck_assert_int_eq(i->verdict, PEND_VERDICT_BLOCK);
	ck_assert_uint_eq(i->tcp_flags, 0);
}
END_TEST

Suite *suite(void)
{
	Suite *su = suite_create("engine: flows of another epoch");
	TCase *tc = tcase_create("again");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, R31_classified_once_with_the_reason);
	tcase_add_test(tc, R31_values_are_those_of_the_opening);
	tcase_add_test(tc, R31_a_packet_of_more_than_64_kilobytes);
	tcase_add_test(tc, R33_never_pended);
	tcase_add_test(tc, R34_tcp_is_ended);
	tcase_add_test(tc, R34_datagrams_are_ended);
	tcase_add_test(tc, R34_what_ended_it_keeps_it_ended);
	tcase_add_test(tc, R34_it_begins_anew_by_what_does_not_end_it);
	tcase_add_test(tc, R34_an_ended_flow_has_no_permit_left);
	tcase_add_test(tc, R34_it_is_asked_about_anew);
	tcase_add_test(tc, R34_what_begins_anew_is_not_sent_again);
	tcase_add_test(tc, R33_a_stamp_keeps_the_order);
	tcase_add_test(tc, R32_a_permit_of_one_packet_stamps_nothing);
	tcase_add_test(tc, a_lingering_permit_does_not_decide);
	tcase_add_test(tc, nobody_has_an_opinion);
	tcase_add_test(tc, told_as_the_flow_it_was);
	suite_add_tcase(su, tc);
	return su;
}
