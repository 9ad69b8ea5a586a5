/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which packets may be pended, what a callout sees of them, and direct refusals, in the simulation. */
#include "tests/unit/engine_sim.h"
#include "tests/unit/packet_build.h"
#include "unit.h"

enum { SYN = 0x02, ECE = 0x40, CWR = 0x80 };

static struct sim sim, *s;
static struct sim_callout top, low;

static void setup(void)
{
	s = &sim;
	sim_new(s);
	sim_callout(s, &top, 100, DO_PEND);
}

static void teardown(void)
{
	sim_end(s);
}

static uint32_t send(struct build *b)
{
	build_finish(b);
	return sim_queue(s, b->d, (uint32_t)b->n, 2, false);
}

START_TEST(R1_R17_only_what_opens_a_flow_may_be_pended)
{
	/* As enum packet_kind: other, SYN, RST, mid, UDP, echo, other ICMP, INIT, other SCTP. */
	static const bool pendable[] = {true, true, false, false, true, true, false, true, false};
	struct build b;
	size_t headers;
	bool more = true;
	int kind;

	for (unsigned i = 0; more; i++) {
		unsigned calls = top.calls;
		uint32_t id;

		more = build_sample(&b, i, &headers, &kind);
		id = sim_queue(s, b.d, (uint32_t)b.n, 2, false);
		if (top.calls == calls)
			continue; /* a RST, or a packet of a flow that is pended already */
		ck_assert_int_eq(top.pend_status == PEND_OK, pendable[kind]);
		ck_assert_int_eq(!(top.meta.flags & PEND_META_REAUTHORIZE), pendable[kind]);
		if (pendable[kind])
			ck_assert(sim_undecided(s, id));
		else
			ck_assert(sim_dropped(s, id));
	}
	ck_assert(sim_stats(s).pended >= 10);
}
END_TEST

START_TEST(R14_R15_sctp_attempts_are_told_apart_by_tag)
{
	struct build b;
	uint32_t first, second;

	build_v4(&b);
	build_sctp(&b, 1, 20);
	first = send(&b);
	second = send(&b);
	ck_assert(sim_dropped(s, first) && sim_undecided(s, second));
	ck_assert_int_eq(sim_stats(s).retransmits, 1);
	build_put32(b.d + b.l4 + 16, 0x12345678);
	send(&b);
	ck_assert(sim_dropped(s, second));
	ck_assert_int_eq(sim_stats(s).ended[PEND_STATE_ABANDONED], 1);
}
END_TEST

START_TEST(values_are_those_of_the_packet)
{
	struct sim_tuple t = {6, 5, 4000, 80};

	sim_send(s, SIM_SYN, &t, 77);
	ck_assert(top.values.family == 6 && top.values.protocol == 6);
	ck_assert(top.values.source_port == 4000 && top.values.dest_port == 80);
	ck_assert(top.values.has_ports && top.values.tcp_flags == 2 && top.values.hook == 1);
	ck_assert(top.values.in_interface == 2 && top.meta.isn == 77);
	ck_assert(top.meta.now_ns == s->e.now.ns && top.meta.reason == PEND_REASON_NONE);
}
END_TEST

/* What a filter matched on in the first pass, it must match on in the second. */
START_TEST(T9_values_and_flags_are_the_same_in_the_completion_pass)
{
	struct pend_values v;
	struct build b;

	build_v4(&b);
	build_tcp(&b, SYN | ECE | CWR, 5);
	build_put32(b.d + 12, 0x7f000001);
	build_put32(b.d + 16, 0x7f000001);
	send(&b);
	v = top.values;
	ck_assert_int_eq(top.meta.flags, PEND_META_LOOPBACK);
	sim_callout(s, &low, 50, DO_CONTINUE);
	sim_complete(s, top.ctx, PEND_VERDICT_PERMIT);
	ck_assert_int_eq(top.meta.flags,
			 PEND_META_LOOPBACK | PEND_META_COMPLETION | PEND_META_PENDER);
	ck_assert_int_eq(low.meta.flags, PEND_META_LOOPBACK);
	ck_assert(!memcmp(&v, &top.values, sizeof(v)));
	ck_assert(!memcmp(&v, &low.values, sizeof(v)));
	ck_assert_uint_eq(v.tcp_flags, SYN | ECE | CWR);
	ck_assert(!v.mark_unknown && !v.tcp_flags_unknown);
}
END_TEST

/* As Linux does: what was asked about is what is decided. */
START_TEST(R14_a_copy_without_ecn_does_not_change_the_flags)
{
	struct pend_info info;
	struct build b;
	uint32_t first;

	top.opt.release = PEND_RELEASE_BUFFER;
	build_v4(&b);
	build_tcp(&b, SYN | ECE | CWR, 5);
	first = send(&b);
	b.d[b.l4 + 13] = SYN;
	send(&b);
	ck_assert(sim_dropped(s, first));
	ck_assert_int_eq(pend_context_info(&s->e, top.ctx, &info), PEND_OK);
	ck_assert_uint_eq(info.tcp_flags, SYN | ECE | CWR);
	sim_complete(s, top.ctx, PEND_VERDICT_PERMIT);
	ck_assert_uint_eq(top.values.tcp_flags, SYN | ECE | CWR);
	/* another attempt is another question */
	build_put32(b.d + b.l4 + 4, 0x77777777);
	send(&b);
	ck_assert_int_eq(pend_context_info(&s->e, top.ctx, &info), PEND_OK);
	ck_assert_uint_eq(info.tcp_flags, SYN);
}
END_TEST

static void permit_ecn(struct sim_callout *c, const struct pend_values *v,
		       const struct pend_metadata *m, const struct pend_packet *p,
		       struct pend_classify_out *out)
{
	(void)p;
	if ((v->tcp_flags & (SYN | ECE)) != (SYN | ECE)) {
		pend_out_block(out, PEND_BLOCK_DROP);
	} else if (!(m->flags & PEND_META_COMPLETION)) {
		pend_options_init(&c->opt);
		c->opt.release = PEND_RELEASE_BUFFER;
		c->pend_status = pend_operation(&s->e, m->completion, &c->opt, &c->ctx);
		pend_out_pended(out);
	}
}

/* "pend tcp-flags syn,ece", and all else is blocked. */
START_TEST(R27_flags_that_were_asked_for_are_there_when_it_completes)
{
	struct build b;
	uint32_t id;

	top.hook = permit_ecn;
	build_v4(&b);
	build_tcp(&b, SYN | ECE | CWR, 5);
	id = send(&b);
	ck_assert_int_eq(top.pend_status, PEND_OK);
	sim_complete(s, top.ctx, PEND_VERDICT_PERMIT);
	sim_round(s);
	ck_assert(sim_accepted(s, id));
	ck_assert_int_eq(sim_stats(s).ended[PEND_STATE_PERMITTED], 1);
	ck_assert_int_eq(sim_stats(s).completion_blocked, 0);
}
END_TEST

START_TEST(direct_refusals)
{
	uint32_t id;

	top.first = DO_BLOCK;
	top.how = PEND_BLOCK_RESET;
	id = sim_syn(s, 4000, 1);
	ck_assert_int_eq(s->ledger[id - 1].verdict, ENGINE_RESET);
	top.how = PEND_BLOCK_UNREACHABLE;
	id = sim_udp(s, 4000, 1);
	ck_assert_int_eq(s->ledger[id - 1].verdict, ENGINE_UNREACH);
	s->e.cfg.can_reject = false; /* forged */
	id = sim_udp(s, 4001, 1);
	ck_assert(sim_dropped(s, id));
	top.how = PEND_BLOCK_RESET;
	ck_assert(sim_dropped(s, sim_syn(s, 4002, 1)));
	ck_assert_int_eq(s->answers, 2);
	s->answer_fails = true;
	ck_assert(sim_dropped(s, sim_syn(s, 4003, 1)));
	ck_assert_int_eq(sim_stats(s).answers_forged, 2);
	ck_assert_int_eq(sim_stats(s).blocked_direct, 5);
}
END_TEST

static void permit_and_tell(struct sim_callout *c, const struct pend_values *v,
			    const struct pend_metadata *m, const struct pend_packet *p,
			    struct pend_classify_out *out)
{
	(void)c;
	(void)v;
	(void)m;
	(void)p;
	pend_out_permit(out);
	out->rights |= PEND_OUT_EVENT;
	out->rule = 12;
}

START_TEST(direct_decisions_are_told_on_request)
{
	const struct pend_info *i = &s->last[PEND_EVENT_CLASSIFIED].info;

	top.first = DO_PERMIT;
	sim_syn(s, 4000, 1);
	ck_assert_int_eq(s->logged, 0);
	top.hook = permit_and_tell;
	sim_syn(s, 4001, 5);
	ck_assert_int_eq(s->events[PEND_EVENT_CLASSIFIED], 1);
	ck_assert(i->context == 0 && i->rule == 12 && i->verdict == PEND_VERDICT_PERMIT);
	ck_assert(i->source_port == 4001 && i->isn == 5);
	s->e.cfg.notify = NULL;
	sim_syn(s, 4002, 5);
	s->e.cfg.notify = s->cfg.notify;
	ck_assert_int_eq(s->events[PEND_EVENT_CLASSIFIED], 1);
}
END_TEST

START_TEST(late_segments_follow_the_decision)
{
	struct sim_tuple t = sim_peer(4000);

	top.opt.release = PEND_RELEASE_FLUSH;
	sim_syn(s, 4000, 1);
	sim_complete(s, top.ctx, PEND_VERDICT_PERMIT);
	sim_round(s);
	ck_assert(sim_accepted(s, sim_send(s, SIM_ACK, &t, 2)));
	t.sport = 4001;
	sim_syn(s, 4001, 1);
	pend_complete(&s->e, top.ctx, PEND_VERDICT_BLOCK, 0);
	ck_assert(sim_dropped(s, sim_send(s, SIM_ACK, &t, 2)));
	ck_assert_int_eq(top.calls, 2);
}
END_TEST

Suite *suite(void)
{
	Suite *su = suite_create("engine: kinds of packets");
	TCase *tc = tcase_create("packets");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, R1_R17_only_what_opens_a_flow_may_be_pended);
	tcase_add_test(tc, R14_R15_sctp_attempts_are_told_apart_by_tag);
	tcase_add_test(tc, values_are_those_of_the_packet);
	tcase_add_test(tc, T9_values_and_flags_are_the_same_in_the_completion_pass);
	tcase_add_test(tc, R14_a_copy_without_ecn_does_not_change_the_flags);
	tcase_add_test(tc, R27_flags_that_were_asked_for_are_there_when_it_completes);
	tcase_add_test(tc, direct_refusals);
	tcase_add_test(tc, direct_decisions_are_told_on_request);
	tcase_add_test(tc, late_segments_follow_the_decision);
	suite_add_tcase(su, tc);
	return su;
}
