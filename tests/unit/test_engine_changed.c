/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What was decided and lingers, when the callouts change their minds (R21, R31, R34, R51, T8), in the simulation. */
#include "tests/unit/engine_sim.h"
#include "unit.h"

static struct sim sim, *s;
static struct sim_callout top;

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

/* The policy of another moment: what a first packet gets, and what a completion pass says of it. */
static void policy(enum sim_do first, enum sim_do pass)
{
	top.first = first;
	top.pass = pass;
	ck_assert_int_eq(pend_engine_policy_changed(&s->e, false), PEND_OK);
}

static void flush_permit(void)
{
	top.opt.release = PEND_RELEASE_FLUSH;
	sim_syn(s, 4000, 100);
	sim_complete(s, top.ctx, PEND_VERDICT_PERMIT);
	sim_round(s);
	ck_assert_uint_eq(sim_stats(s).ended[PEND_STATE_FLUSHED], 1);
}

START_TEST(R51_an_authorization_ends_with_its_policy)
{
	uint32_t id;

	flush_permit();
	policy(DO_BLOCK, DO_BLOCK);
	top.how = PEND_BLOCK_RESET;
	id = sim_syn(s, 4000, 100);
	sim_round(s);
	ck_assert(!sim_accepted(s, id));
	ck_assert_uint_eq(top.calls,
			  2); /* as if it were the first: with what that rule says of it */
	ck_assert_uint_eq(s->answers + s->resets, 1);
	ck_assert_uint_eq(sim_stats(s).lingering, 0);
}
END_TEST

START_TEST(R21_it_stands_where_the_policy_would_ask_still)
{
	flush_permit();
	policy(DO_PEND, DO_CONTINUE);
	ck_assert(sim_accepted(s, sim_syn(s, 4000, 100)));
	ck_assert_uint_eq(top.calls, 1);
	ck_assert_uint_eq(top.passes, 2);
	ck_assert_int_eq(top.meta.verdict, PEND_VERDICT_PERMIT);
	ck_assert_uint_eq(top.meta.flags & (PEND_META_COMPLETION | PEND_META_PENDER),
			  PEND_META_COMPLETION | PEND_META_PENDER);
	ck_assert_ptr_null(top.handle);
	/* once for each change */
	ck_assert(sim_accepted(s, sim_syn(s, 4000, 100)));
	ck_assert_uint_eq(top.passes, 2);
}
END_TEST

/* What is owed is not lost to a filter that cannot say for now. */
START_TEST(T20_an_authorization_waits_for_who_cannot_tell_yet)
{
	flush_permit();
	policy(DO_PEND, DO_BLOCK_ONCE);
	ck_assert(sim_dropped(s, sim_syn(s, 4000, 100)));
	ck_assert(sim_dropped(s, sim_syn(s, 4000, 100)));
	top.pass = DO_CONTINUE;
	ck_assert(sim_accepted(s, sim_syn(s, 4000, 100)));
	ck_assert_uint_eq(top.calls, 1);
	/* Another attempt is none of its. */
	policy(DO_PEND, DO_BLOCK_ONCE);
	ck_assert(sim_undecided(s, sim_syn(s, 4000, 200)));
	ck_assert_uint_eq(top.calls, 2);
}
END_TEST

START_TEST(R31_a_block_waits_for_who_cannot_tell_yet)
{
	sim_udp(s, 4000, 1);
	sim_complete(s, top.ctx, PEND_VERDICT_BLOCK);
	sim_round(s);
	policy(DO_PERMIT, DO_BLOCK_ONCE);
	ck_assert(sim_dropped(s, sim_udp(s, 4000, 2)));
	top.pass = DO_PERMIT;
	ck_assert(sim_accepted(s, sim_udp(s, 4000, 3)));
}
END_TEST

START_TEST(R34_datagrams_of_a_permit_stop)
{
	sim_udp(s, 4000, 1);
	sim_complete(s, top.ctx, PEND_VERDICT_PERMIT);
	sim_round(s);
	ck_assert(sim_accepted(s, sim_udp(s, 4000, 2)));
	policy(DO_BLOCK, DO_BLOCK);
	ck_assert(sim_dropped(s, sim_udp(s, 4000, 3)));
	policy(DO_PERMIT, DO_PERMIT);
	ck_assert(sim_accepted(s, sim_udp(s, 4000, 4)));
}
END_TEST

/* A peer that never stops would be blocked for ever. */
START_TEST(R31_datagrams_of_a_block_are_let_in)
{
	sim_udp(s, 4000, 1);
	sim_complete(s, top.ctx, PEND_VERDICT_BLOCK);
	sim_round(s);
	for (unsigned i = 0; i < 100; i++) {
		ck_assert(sim_dropped(s, sim_udp(s, 4000, 2)));
		sim_wait(s, 1000);
	}
	ck_assert_uint_eq(top.calls, 1);
	policy(DO_PEND, DO_CONTINUE); /* somebody has said no, and would be asked again */
	ck_assert(sim_dropped(s, sim_udp(s, 4000, 3)));
	ck_assert_uint_eq(top.calls, 1);
	policy(DO_PERMIT, DO_PERMIT);
	ck_assert(sim_accepted(s, sim_udp(s, 4000, 4)));
	ck_assert_uint_eq(top.calls, 2);
}
END_TEST

/* A flow of datagrams has no end that could be seen: a decision about it has. */
START_TEST(R46_a_flow_that_is_never_quiet_is_asked_about_again)
{
	for (unsigned verdict = PEND_VERDICT_BLOCK; verdict <= PEND_VERDICT_PERMIT; verdict++) {
		uint16_t port = (uint16_t)(4000 + verdict);
		unsigned calls = top.calls;

		sim_udp(s, port, 1);
		sim_complete(s, top.ctx, (enum pend_verdict)verdict);
		sim_round(s);
		for (unsigned i = 0; i < 125; i++) {
			sim_udp(s, port, 2);
			sim_wait(s, 1000);
		}
		ck_assert_uint_eq(top.calls, calls + 1);
		sim_wait(s, 6000);
		sim_udp(s, port, 3);
		ck_assert_uint_eq(top.calls, calls + 2);
		ck_assert_int_eq(sim_state(s, top.ctx), PEND_STATE_PENDED);
	}
}
END_TEST

/* The packet was gone when the deadline let it in: its peer comes again, and is not asked about twice. */
START_TEST(R20_what_a_deadline_permits_is_owed)
{
	uint32_t id;

	top.opt.on_timeout = PEND_VERDICT_PERMIT;
	top.opt.timeout_ns = 100 * MONO_NS_PER_MS;
	id = sim_syn(s, 4000, 100);
	sim_lose(s, id);
	sim_wait(s, 200);
	sim_round(s);
	ck_assert_uint_eq(sim_stats(s).ended[PEND_STATE_TIMED_OUT], 1);
	sim_allow(s, &s->ledger[id - 1].flow, 100);
	ck_assert(sim_accepted(s, sim_syn(s, 4000, 100)));
	ck_assert_uint_eq(top.calls, 1);
}
END_TEST

/* Who says no though the policy says yes by then means it, whatever else changes. */
START_TEST(R24_a_block_against_the_policy_stands)
{
	sim_syn(s, 4000, 100);
	policy(DO_PERMIT, DO_PERMIT);
	ck_assert(!sim_accepted(s, sim_syn(s, 4000, 100))); /* it waits on (R21) */
	sim_complete(s, top.ctx, PEND_VERDICT_BLOCK);
	sim_round(s);
	policy(DO_PERMIT, DO_PERMIT);
	ck_assert(sim_dropped(s, sim_syn(s, 4000, 100)));
	ck_assert_uint_eq(top.calls, 1);
}
END_TEST

START_TEST(a_timeout_is_a_decision_too)
{
	top.opt.timeout_ns = 100 * MONO_NS_PER_MS;
	sim_syn(s, 4000, 100);
	sim_wait(s, 200);
	ck_assert_uint_eq(sim_stats(s).ended[PEND_STATE_TIMED_OUT], 1);
	ck_assert(sim_dropped(s, sim_syn(s, 4000, 100)));
	policy(DO_PERMIT, DO_PERMIT);
	ck_assert(sim_accepted(s, sim_syn(s, 4000, 100)));
}
END_TEST

START_TEST(R39_our_copy_comes_back_to_another_policy)
{
	top.opt.mode = PEND_MODE_ABSORB;
	sim_syn(s, 4000, 100);
	sim_complete(s, top.ctx, PEND_VERDICT_PERMIT);
	ck_assert_uint_eq(sim_stats(s).injected, 1);
	policy(DO_BLOCK, DO_BLOCK);
	sim_feed(s);
	ck_assert_uint_eq(s->deliveries, 0);
	ck_assert_uint_eq(top.calls, 1); /* it is no packet of lo, to be judged as such */
	ck_assert_uint_eq(sim_stats(s).ended[PEND_STATE_PERMITTED], 0);
	ck_assert_uint_eq(sim_stats(s).pending, 0);
}
END_TEST

/* Nor does it join what its peer has begun meanwhile, or open anything. */
START_TEST(R39_our_copy_comes_back_to_nothing)
{
	top.opt.mode = PEND_MODE_ABSORB;
	sim_syn(s, 4000, 100);
	sim_complete(s, top.ctx, PEND_VERDICT_PERMIT);
	sim_syn(s, 4000, 200);
	ck_assert_uint_eq(top.calls, 2);
	sim_feed(s);
	ck_assert_uint_eq(s->deliveries, 0);
	ck_assert_uint_eq(top.calls, 2);
	ck_assert_int_eq(sim_state(s, top.ctx), PEND_STATE_PENDED);
	ck_assert_uint_eq(sim_stats(s).retransmits, 0);
}
END_TEST

/* Other packets than those that open a flow are judged as any that come from nowhere. */
START_TEST(R17_segments_of_it_are_judged_anew)
{
	struct sim_tuple t = sim_peer(4000);

	flush_permit();
	ck_assert(sim_accepted(s, sim_send(s, SIM_ACK, &t, 101)));
	policy(DO_BLOCK, DO_BLOCK);
	ck_assert(sim_dropped(s, sim_send(s, SIM_ACK, &t, 101)));
	ck_assert_int_eq(top.meta.reason, PEND_REASON_MID_STREAM);
}
END_TEST

START_TEST(flows_that_were_ended_are_asked_about_again)
{
	sim_udp(s, 4000, 1);
	sim_complete(s, top.ctx, PEND_VERDICT_PERMIT);
	sim_round(s);
	ck_assert_int_eq(pend_engine_policy_changed(&s->e, true), PEND_OK);
	ck_assert(sim_undecided(s, sim_udp(s, 4000, 2)));
	ck_assert_uint_eq(top.calls, 2);
	/* Said since: it holds. */
	sim_complete(s, top.ctx, PEND_VERDICT_PERMIT);
	sim_round(s);
	ck_assert(sim_accepted(s, sim_udp(s, 4000, 3)));
	policy(DO_PEND, DO_CONTINUE);
	ck_assert(sim_accepted(s, sim_udp(s, 4000, 4)));
	ck_assert_uint_eq(top.calls, 2);
}
END_TEST

/* The peer has nothing yet that could have been ended. */
START_TEST(an_authorization_that_is_owed_is_kept)
{
	flush_permit();
	ck_assert_int_eq(pend_engine_policy_changed(&s->e, true), PEND_OK);
	ck_assert(sim_accepted(s, sim_syn(s, 4000, 100)));
	ck_assert_uint_eq(top.calls, 1);
	sim_udp(s, 4002, 1); /* of datagrams, too */
	sim_complete(s, top.ctx, PEND_VERDICT_PERMIT);
	sim_round(s);
	ck_assert_int_eq(pend_engine_policy_changed(&s->e, true), PEND_OK);
	ck_assert(sim_accepted(s, sim_udp(s, 4002, 2)));
	ck_assert_uint_eq(top.calls, 2);
	ck_assert_int_eq(pend_engine_policy_changed(&s->e, true), PEND_OK);
	ck_assert(!sim_accepted(s, sim_udp(s, 4002, 3))); /* now it had something */
	ck_assert_uint_eq(top.calls, 3);
	/* a block is no flow either */
	sim_udp(s, 4001, 1);
	sim_complete(s, top.ctx, PEND_VERDICT_BLOCK);
	ck_assert_int_eq(pend_engine_policy_changed(&s->e, true), PEND_OK);
	ck_assert(sim_dropped(s, sim_udp(s, 4001, 2)));
	ck_assert_uint_eq(top.calls, 4);
}
END_TEST

START_TEST(R55_nobody_speaks_for_a_callout_that_left)
{
	struct sim_callout other;

	flush_permit();
	sim_callout(s, &other, 50, DO_CONTINUE);
	ck_assert_int_eq(pend_callout_unregister(&s->e, top.id, false), PEND_OK);
	ck_assert(sim_dropped(s, sim_syn(s, 4000, 100))); /* the default */
	ck_assert_uint_eq(other.calls, 1);
}
END_TEST

START_TEST(changes_without_an_end)
{
	flush_permit();
	for (unsigned i = 0; i < 70000; i++) /* the number of a change comes round */
		pend_engine_policy_changed(&s->e, false);
	policy(DO_BLOCK, DO_BLOCK);
	ck_assert(sim_dropped(s, sim_syn(s, 4000, 100)));
	ck_assert_int_eq(pend_engine_policy_changed(NULL, false), PEND_E_NULL_POINTER);
}
END_TEST

Suite *suite(void)
{
	Suite *su = suite_create("engine: a changed policy");
	TCase *tc = tcase_create("changed");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, R51_an_authorization_ends_with_its_policy);
	tcase_add_test(tc, R21_it_stands_where_the_policy_would_ask_still);
	tcase_add_test(tc, T20_an_authorization_waits_for_who_cannot_tell_yet);
	tcase_add_test(tc, R31_a_block_waits_for_who_cannot_tell_yet);
	tcase_add_test(tc, R34_datagrams_of_a_permit_stop);
	tcase_add_test(tc, R31_datagrams_of_a_block_are_let_in);
	tcase_add_test(tc, R46_a_flow_that_is_never_quiet_is_asked_about_again);
	tcase_add_test(tc, R20_what_a_deadline_permits_is_owed);
	tcase_add_test(tc, R24_a_block_against_the_policy_stands);
	tcase_add_test(tc, a_timeout_is_a_decision_too);
	tcase_add_test(tc, R39_our_copy_comes_back_to_another_policy);
	tcase_add_test(tc, R39_our_copy_comes_back_to_nothing);
	tcase_add_test(tc, R17_segments_of_it_are_judged_anew);
	tcase_add_test(tc, flows_that_were_ended_are_asked_about_again);
	tcase_add_test(tc, an_authorization_that_is_owed_is_kept);
	tcase_add_test(tc, R55_nobody_speaks_for_a_callout_that_left);
	tcase_add_test(tc, changes_without_an_end);
	suite_add_tcase(su, tc);
	return su;
}
