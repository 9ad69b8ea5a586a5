/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Stamps: which verdict sets one, and those that wait until they cannot reorder (R31, R43, R46). */
#include "tests/unit/engine_pends.h"

START_TEST(R46_stamp_of_datagrams)
{
	struct sim_tuple t = sim_peer(4000);
	uint8_t buf[256];
	uint32_t len = sim_make(buf, SIM_UDP, &t, 0, 4, 1), a, b;

	/* Two in a row: the release must not stamp, or what comes now overtakes what is queued. */
	a = sim_udp(s, 4000, 1);
	b = sim_udp(s, 4000, 2);
	sim_complete(s, top.ctx, PEND_VERDICT_PERMIT);
	ck_assert_int_eq(s->ledger[a - 1].verdict, ENGINE_ACCEPT_ONCE);
	ck_assert_int_eq(s->ledger[b - 1].verdict, ENGINE_ACCEPT_ONCE);
	sim_round(s);
	a = sim_queue(s, buf, len, 2, false);
	b = sim_queue(s, buf, len, 2, true); /* the last of its batch */
	ck_assert_int_eq(s->ledger[a - 1].verdict, ENGINE_ACCEPT_ONCE);
	ck_assert_int_eq(s->ledger[b - 1].verdict, ENGINE_ACCEPT);
	/* Quiet for a while, and alone: it stamps. Of two the first one's entry stays in conntrack: later. */
	a = sim_udp(s, 4001, 1);
	sim_wait(s, 50);
	sim_complete(s, top.ctx, PEND_VERDICT_PERMIT);
	ck_assert_int_eq(s->ledger[a - 1].verdict, ENGINE_ACCEPT);
	a = sim_udp(s, 4004, 1);
	b = sim_udp(s, 4004, 2);
	sim_wait(s, 50);
	sim_complete(s, top.ctx, PEND_VERDICT_PERMIT);
	ck_assert_int_eq(s->ledger[a - 1].verdict, ENGINE_ACCEPT_ONCE);
	ck_assert_int_eq(s->ledger[b - 1].verdict, ENGINE_ACCEPT_ONCE);
	/* A direct permit: by the batch as well; a SYN always. */
	top.first = DO_PERMIT;
	t.sport = 4002;
	len = sim_make(buf, SIM_UDP, &t, 0, 4, 1);
	a = sim_queue(s, buf, len, 2, false);
	b = sim_queue(s, buf, len, 2, true);
	ck_assert_int_eq(s->ledger[a - 1].verdict, ENGINE_ACCEPT_ONCE);
	ck_assert_int_eq(s->ledger[b - 1].verdict, ENGINE_ACCEPT);
	a = sim_syn(s, 4003, 1);
	ck_assert_int_eq(s->ledger[a - 1].verdict, ENGINE_ACCEPT);
}
END_TEST

static struct flow udp_flow(uint16_t port)
{
	struct sim_tuple t = sim_peer(port);

	return sim_flow(SIM_UDP, &t);
}

/* R31, R46: what is let in without a stamp gets one, or no policy could ever end it. */
START_TEST(R46_a_stamp_comes_when_the_flow_is_quiet)
{
	struct flow f = udp_flow(4000);

	top.first = DO_PERMIT;
	sim_udp(s, 4000, 1);
	ck_assert_uint_eq(s->stamps, 0);
	sim_wait(s, 10);
	sim_udp(s, 4000, 2); /* not quiet */
	sim_wait(s, 15);
	ck_assert_uint_eq(s->stamps, 0);
	sim_wait(s, 30);
	ck_assert_uint_eq(s->stamps, 1);
	ck_assert(flow_equal(&s->stamped, &f));
	ck_assert_uint_eq(sim_stats(s).stamped_later, 1);
	sim_wait(s, 1000);
	ck_assert_uint_eq(s->stamps, 1);
	/* one whose verdict was late is looked for once more */
	s->stamp_misses = 1;
	sim_udp(s, 4002, 1);
	sim_wait(s, 1000);
	ck_assert_uint_eq(s->stamps, 2);
	s->stamp_misses = 2;
	sim_udp(s, 4003, 1);
	sim_wait(s, 1000);
	ck_assert_uint_eq(s->stamps, 2);
	ck_assert_uint_eq(s->stamp_misses, 0);
	ck_assert_uint_eq(sim_stats(s).stamped_later, 2);
	/* one that is never quiet */
	for (unsigned i = 0; i < 60; i++) {
		sim_udp(s, 4001, (uint8_t)i);
		sim_wait(s, 10);
	}
	ck_assert_uint_eq(s->stamps, 3);
}
END_TEST

START_TEST(R46_stamps_of_released_and_late_datagrams)
{
	struct flow f = udp_flow(4000);

	sim_udp(s, 4000, 1);
	sim_udp(s, 4000, 2);
	sim_complete(s, top.ctx, PEND_VERDICT_PERMIT);
	sim_round(s);
	sim_wait(s, 100);
	ck_assert_uint_eq(s->stamps, 1);
	ck_assert(flow_equal(&s->stamped, &f));
	top.opt.mode = PEND_MODE_ABSORB;
	sim_udp(s, 4001, 1);
	sim_complete(s, top.ctx, PEND_VERDICT_PERMIT);
	sim_feed(s);
	sim_wait(s, 100);
	ck_assert_uint_eq(s->stamps, 2);
	/* a policy that changes must see it */
	sim_udp(s, 4001, 1);
	ck_assert(pend_engine_settled(&s->e));
	ck_assert_int_eq(pend_engine_policy_changed(&s->e, false), PEND_OK);
	ck_assert(!pend_engine_settled(&s->e));
	sim_wait(s, 1);
	ck_assert_uint_eq(s->stamps, 3);
	ck_assert(pend_engine_settled(&s->e));
	sim_wait(s, 100);
	ck_assert_uint_eq(s->stamps, 3);
	/* a few at a time, and not what comes behind the change */
	top.first = DO_PERMIT;
	for (uint16_t port = 5000; port < 5020; port++)
		sim_udp(s, port, 1);
	ck_assert_int_eq(pend_engine_policy_changed(&s->e, false), PEND_OK);
	sim_udp(s, 6000, 1);
	engine_expire(&s->e, 0);
	ck_assert_uint_lt(s->stamps, 3 + 20);
	ck_assert(!pend_engine_settled(&s->e));
	sim_wait(s, 5);
	ck_assert(pend_engine_settled(&s->e));
	ck_assert_uint_ge(s->stamps, 3 + 18); /* one or two had no room, and were stamped at once */
}
END_TEST

START_TEST(R46_stamps_without_room_come_at_once)
{
	unsigned later = 0;
	uint32_t id;

	top.first = DO_PERMIT;
	for (uint16_t port = 1000; port < 1000 + 4 * STAMP_FLOWS; port++) {
		id = sim_udp(s, port, 1);
		later += s->ledger[id - 1].verdict == ENGINE_ACCEPT_ONCE;
	}
	ck_assert_uint_gt(later, STAMP_FLOWS / 2);
	ck_assert_uint_le(later, STAMP_FLOWS);
	sim_wait(s, 2000);
	ck_assert_uint_eq(s->stamps, later);
	/* no conntrack to be spoken to */
	s->stamp_fails = true;
	sim_udp(s, 900, 1);
	sim_wait(s, 100);
	id = sim_udp(s, 901, 1);
	ck_assert_int_eq(s->ledger[id - 1].verdict, ENGINE_ACCEPT);
	ck_assert_uint_eq(s->stamps, later);
}
END_TEST

/* For a moment only: what waits for its stamp gets it then, and a policy that changes waits for that. */
START_TEST(R46_stamps_wait_for_memory)
{
	uint32_t id;

	top.first = DO_PERMIT;
	s->stamp_lacks_memory = true;
	sim_udp(s, 4000, 1);
	sim_udp(s, 4001, 1);
	sim_wait(s, 1000);
	ck_assert_uint_eq(s->stamps, 0);
	id = sim_udp(s, 4002, 1);
	ck_assert_int_eq(s->ledger[id - 1].verdict, ENGINE_ACCEPT_ONCE);
	ck_assert_int_eq(pend_engine_policy_changed(&s->e, false), PEND_OK);
	sim_wait(s, 1000);
	ck_assert(!pend_engine_settled(&s->e));
	s->stamp_lacks_memory = false;
	sim_wait(s, 50);
	ck_assert_uint_eq(s->stamps, 3);
	ck_assert(pend_engine_settled(&s->e));
}
END_TEST

START_TEST(malformed_is_never_stamped)
{
	struct sim_tuple t = sim_peer(4000);
	uint8_t buf[256];
	uint32_t len = sim_make(buf, SIM_SYN, &t, 1, 0, 0), id;

	s->trace = false;
	id = sim_queue(s, buf, len - 19, 2, true);
	ck_assert(sim_dropped(s, id));
	s->e.cfg.on_malformed = PEND_ACTION_PERMIT;
	id = sim_queue(s, buf, len - 19, 2, true);
	ck_assert_int_eq(s->ledger[id - 1].verdict, ENGINE_ACCEPT_ONCE);
	id = sim_queue(s, NULL, 0, 2, true);
	ck_assert_int_eq(s->ledger[id - 1].verdict, ENGINE_ACCEPT_ONCE);
	ck_assert_int_eq(sim_stats(s).malformed, 3);
	ck_assert_int_eq(top.calls, 0);
}
END_TEST

Suite *suite(void)
{
	Suite *su = suite_create("engine: stamps");
	TCase *tc = tcase_create("stamp");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, R46_stamp_of_datagrams);
	tcase_add_test(tc, R46_a_stamp_comes_when_the_flow_is_quiet);
	tcase_add_test(tc, R46_stamps_of_released_and_late_datagrams);
	tcase_add_test(tc, R46_stamps_without_room_come_at_once);
	tcase_add_test(tc, R46_stamps_wait_for_memory);
	tcase_add_test(tc, malformed_is_never_stamped);
	suite_add_tcase(su, tc);
	return su;
}
