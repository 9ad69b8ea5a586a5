/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Limits of the table, the watermark, memory and cost (R19), in the simulation. */
#include "tests/unit/engine_sim.h"
#include "unit.h"
#include <string.h>

static struct sim sim, *s;
static struct sim_callout top, low;

static void setup(void)
{
	s = &sim;
	sim_config(s);
}

static void start(void)
{
	sim_start(s);
	sim_callout(s, &top, 100, DO_PEND);
}

static uint32_t syn_from(uint8_t family, uint32_t host, uint16_t sport, uint16_t dport)
{
	struct sim_tuple t = {family, host, sport, dport};

	return sim_send(s, SIM_SYN, &t, host * 31 + sport);
}

START_TEST(R19_contexts)
{
	s->cfg.max_contexts = 10;
	start();
	for (uint16_t i = 0; i < 15; i++) {
		uint32_t id = sim_syn(s, (uint16_t)(4000 + i), 1);

		ck_assert_int_eq(top.pend_status, i < 10 ? PEND_OK : PEND_E_LIMIT);
		ck_assert(i < 10 ? sim_undecided(s, id) : sim_dropped(s, id));
	}
	ck_assert_int_eq(sim_stats(s).limit_contexts, 5);
	ck_assert_int_eq(sim_stats(s).pend_failed, 5);
	ck_assert_int_eq(sim_stats(s).pending, 10);
	ck_assert_int_eq(sim_stats(s).pending_peak, 10);
	/* Room again once one has ended. */
	sim_complete(s, top.ctx, PEND_VERDICT_PERMIT);
	sim_round(s);
	ck_assert(sim_undecided(s, sim_syn(s, 5000, 1)));
	sim_end(s);
}
END_TEST

START_TEST(R19_per_source)
{
	s->cfg.max_per_source = 3;
	start();
	for (uint16_t i = 0; i < 5; i++)
		syn_from(4, 1, (uint16_t)(4000 + i), 22);
	ck_assert_int_eq(sim_stats(s).limit_source, 2);
	ck_assert_int_eq(s->events[PEND_EVENT_LIMIT], 1); /* told once in a while */
	sim_wait(s, 150);
	syn_from(4, 1, 4100, 22);
	ck_assert_int_eq(s->events[PEND_EVENT_LIMIT], 2);
	syn_from(4, 2, 4000, 22); /* another source is not concerned */
	ck_assert_int_eq(top.pend_status, PEND_OK);
	for (uint16_t i = 0; i < 5; i++)
		syn_from(6, 1, (uint16_t)(4000 + i), 22);
	ck_assert_int_eq(sim_stats(s).limit_source, 5);
	/* What is decided is not charged. */
	pend_complete(&s->e, top.ctx, PEND_VERDICT_BLOCK, 0);
	syn_from(4, 2, 4001, 22);
	ck_assert_int_eq(top.pend_status, PEND_OK);
	sim_end(s);
}
END_TEST

START_TEST(R19_a_source_is_a_64_in_ipv6)
{
	uint8_t buf[256];
	struct sim_tuple t = {6, 9, 4000, 22};
	uint32_t len = sim_make(buf, SIM_SYN, &t, 1, 0, 0);

	s->cfg.max_per_source = 3;
	start();
	for (uint8_t i = 0; i < 5; i++) {
		buf[23] = i; /* another host of the same network */
		sim_queue(s, buf, len, 2, false);
	}
	ck_assert_int_eq(sim_stats(s).limit_source, 2);
	sim_end(s);
}
END_TEST

START_TEST(R19_per_service)
{
	s->cfg.max_per_service = 3;
	start();
	for (uint32_t i = 0; i < 5; i++)
		syn_from(4, i, 4000, 22);
	ck_assert_int_eq(sim_stats(s).limit_service, 2);
	syn_from(4, 1, 4000, 80);
	ck_assert_int_eq(top.pend_status, PEND_OK);
	sim_end(s);
}
END_TEST

START_TEST(R19_bytes)
{
	struct pend_stats st;

	s->cfg.max_bytes = 1000;
	start();
	top.opt.mode = PEND_MODE_ABSORB;
	for (uint16_t i = 0; i < 30; i++)
		sim_syn(s, (uint16_t)(4000 + i), 1);
	st = sim_stats(s);
	ck_assert(st.limit_bytes > 0 && st.copied_bytes <= 1000);
	ck_assert_int_eq(st.limit_bytes + st.pended, 30);
	ck_assert_int_eq(st.pending, st.pended);
	ck_assert_int_eq(top.pend_status, PEND_E_LIMIT);
	/* Nothing to copy: not concerned. */
	top.opt.release = PEND_RELEASE_FLUSH;
	sim_syn(s, 5000, 1);
	ck_assert_int_eq(top.pend_status, PEND_OK);
	sim_end(s);
}
END_TEST

/* ---- what the kernel's queue keeps (R19, L12) ---- */

enum { QUEUE = 80, ROOM = 80 - 80 / 8 - 1 };

static void start_short_queue(void)
{
	s->cfg.kernel_queue = QUEUE;
	s->cfg.hold_max = 4;
	start();
}

START_TEST(R19_datagrams_of_held_contexts_leave_the_queue_room)
{
	uint32_t id = 0, held = 0;

	start_short_queue();
	for (uint8_t d = 0; d < 64; d++)
		for (uint16_t i = 0; i < 4; i++) {
			id = sim_udp(s, (uint16_t)(4000 + i), d);
			held += sim_undecided(s, id);
		}
	ck_assert_int_eq(held, ROOM);
	ck_assert(sim_dropped(s, id)); /* R52: the newest gives way */
	ck_assert_int_eq(sim_stats(s).held, ROOM);
	ck_assert_int_eq(sim_stats(s).limit_packets, 4 * 64 - ROOM);
	/* The others still are pended: by their copies. */
	sim_syn(s, 5000, 1);
	ck_assert_int_eq(top.pend_status, PEND_OK);
	ck_assert_int_eq(sim_stats(s).held, ROOM);
	sim_end(s);
}
END_TEST

START_TEST(R19_hold_leaves_the_queue_room)
{
	uint32_t first = 0, id;

	start_short_queue();
	top.opt.mode = PEND_MODE_HOLD;
	for (uint16_t i = 0; i < QUEUE; i++) {
		id = sim_syn(s, (uint16_t)(4000 + i), 1);
		first = first ? first : id;
		ck_assert_int_eq(top.pend_status, i < ROOM ? PEND_OK : PEND_E_LIMIT);
		ck_assert(i < ROOM ? sim_undecided(s, id) : sim_dropped(s, id));
	}
	ck_assert_int_eq(sim_stats(s).held, ROOM);
	ck_assert_int_eq(sim_stats(s).pending, ROOM);
	ck_assert_int_eq(sim_stats(s).limit_packets, QUEUE - ROOM);
	ck_assert_int_eq(s->events[PEND_EVENT_LIMIT], 1);
	/* A newer copy takes the place of the older one: it needs no more room. */
	id = sim_syn(s, 4000, 1);
	ck_assert(sim_undecided(s, id) && sim_dropped(s, first));
	/* Room again once one has ended. */
	sim_complete(s, top.ctx, PEND_VERDICT_PERMIT);
	sim_round(s);
	ck_assert(sim_undecided(s, sim_syn(s, 5000, 1)));
	sim_end(s);
}
END_TEST

START_TEST(R19_hold_max_above_the_queue)
{
	struct pend_info info;

	s->cfg.kernel_queue = QUEUE;
	s->cfg.hold_max = 4096;
	start();
	for (uint16_t i = 0; i < QUEUE; i++) {
		sim_syn(s, (uint16_t)(4000 + i), 1);
		ck_assert_int_eq(pend_context_info(&s->e, top.ctx, &info), PEND_OK);
		ck_assert_int_eq(info.mode, i < ROOM ? PEND_MODE_HOLD : PEND_MODE_ABSORB);
	}
	ck_assert_int_eq(sim_stats(s).limit_packets, 0);
	sim_end(s);
}
END_TEST

START_TEST(R6_a_limit_may_permit_where_the_callout_says_so)
{
	uint32_t id;

	s->cfg.max_contexts = 1;
	start();
	sim_syn(s, 4000, 1);
	top.first = DO_PERMIT; /* what a callout with on-limit permit answers */
	id = sim_syn(s, 4001, 1);
	ck_assert(sim_accepted(s, id));
	sim_end(s);
}
END_TEST

static void fill_to_watermark(void)
{
	s->cfg.max_contexts = 100;
	s->cfg.high_watermark_percent = 50;
	start();
	for (uint16_t i = 0; i < 50; i++)
		sim_syn(s, (uint16_t)(1000 + i), 1);
	ck_assert_int_eq(sim_stats(s).pending, 50);
	ck_assert_int_eq(sim_stats(s).watermark_drops, 0);
}

START_TEST(watermark_first_syn_dropped_retransmission_admitted)
{
	uint32_t id;

	fill_to_watermark();
	id = sim_syn(s, 4000, 77);
	ck_assert(sim_dropped(s, id));
	ck_assert_int_eq(top.pend_status, PEND_E_LIMIT);
	ck_assert_int_eq(sim_stats(s).watermark_drops, 1);
	ck_assert_int_eq(sim_stats(s).blocked_direct, 0);
	ck_assert_int_eq(sim_stats(s).pending, 50);
	sim_wait(s, 1000);
	id = sim_syn(s, 4000, 77);
	ck_assert(sim_undecided(s, id));
	ck_assert_int_eq(sim_stats(s).pending, 51);
	/* Another attempt is first seen again. */
	ck_assert(sim_dropped(s, sim_syn(s, 4001, 1)));
	ck_assert(sim_dropped(s, sim_syn(s, 4001, 2)));
	sim_end(s);
}
END_TEST

/* Senders that are made up have one datagram each, and must not take the room of everybody else. */
START_TEST(watermark_first_datagram_dropped_next_admitted)
{
	fill_to_watermark();
	for (uint16_t i = 0; i < 200; i++)
		ck_assert(sim_dropped(s, sim_udp(s, (uint16_t)(5000 + i), 1)));
	ck_assert_int_eq(sim_stats(s).pending, 50);
	ck_assert_int_eq(sim_stats(s).watermark_drops, 200);
	ck_assert(sim_undecided(s, sim_udp(s, 5199, 2)));
	ck_assert_int_eq(sim_stats(s).pending, 51);
	sim_end(s);
}
END_TEST

START_TEST(watermark_forgets)
{
	fill_to_watermark();
	ck_assert(sim_dropped(s, sim_syn(s, 4000, 77)));
	for (uint16_t i = 0; i < 3; i++) {
		sim_wait(s, 4500);
		sim_syn(s, (uint16_t)(4100 + i), 1);
	}
	ck_assert(sim_dropped(s, sim_syn(s, 4000, 77)));
	sim_end(s);
}
END_TEST

static void permit_on_limit(struct sim_callout *c, const struct pend_values *v,
			    const struct pend_metadata *m, const struct pend_packet *p,
			    struct pend_classify_out *out)
{
	(void)v;
	(void)p;
	if (pend_operation(&c->s->e, m->completion, &c->opt, &c->ctx) == PEND_OK)
		pend_out_pended(out);
	else
		pend_out_permit(out);
}

START_TEST(watermark_drops_whatever_is_answered)
{
	fill_to_watermark();
	top.hook = permit_on_limit;
	ck_assert(sim_dropped(s, sim_syn(s, 4000, 77)));
	sim_end(s);
}
END_TEST

START_TEST(watermark_second_callout_cannot_pend_the_first_syn)
{
	fill_to_watermark();
	top.hook = permit_on_limit;
	sim_callout(s, &low, 50, DO_PEND);
	ck_assert(sim_dropped(s, sim_syn(s, 4000, 77)));
	ck_assert_int_eq(low.calls, 0);
	ck_assert_int_eq(sim_stats(s).pending, 50);
	ck_assert(sim_undecided(s, sim_syn(s, 4000, 77)));
	sim_end(s);
}
END_TEST

START_TEST(real_client_under_a_flood_gets_in)
{
	uint32_t id = 0;

	s->cfg.max_contexts = 200;
	s->cfg.high_watermark_percent = 50;
	s->cfg.max_per_source = 0;
	start();
	for (uint32_t round = 0; round < 4; round++) {
		for (uint32_t i = 0; i < 3000; i++)
			syn_from(4, 100 + round * 3000 + i, (uint16_t)(1024 + i % 60000), 22);
		id = syn_from(4, 7, 4000, 22);
		sim_wait(s, 1000);
	}
	ck_assert(sim_undecided(s, id));
	ck_assert_int_eq(sim_stats(s).limit_contexts, 0);
	ck_assert(sim_stats(s).pending <= 110);
	sim_complete(s, top.ctx, PEND_VERDICT_PERMIT);
	sim_round(s);
	ck_assert(sim_accepted(s, id));
	sim_end(s);
}
END_TEST

START_TEST(lingering_gives_way_blocked_first)
{
	pend_context permitted;

	s->cfg.max_contexts = 16; /* 84 slots */
	start();
	top.opt.release = PEND_RELEASE_FLUSH;
	sim_syn(s, 4000, 1);
	permitted = top.ctx;
	sim_complete(s, permitted, PEND_VERDICT_PERMIT);
	for (uint16_t i = 0; i < 300; i++) {
		sim_syn(s, (uint16_t)(5000 + i), 1);
		ck_assert_int_eq(top.pend_status, PEND_OK);
		sim_complete(s, top.ctx, PEND_VERDICT_BLOCK);
	}
	/* The authorization that a peer waits for outlives them all. */
	ck_assert_int_eq(sim_state(s, permitted), PEND_STATE_FLUSHED);
	ck_assert(sim_accepted(s, sim_syn(s, 4000, 1)));
	ck_assert_int_eq(sim_stats(s).limit_contexts, 0);
	sim_end(s);
}
END_TEST

/* Absorbed, released by flush: what a context costs when a million of them wait. */
START_TEST(memory_per_context)
{
	struct pctx_limits l = {.contexts = 1000000,
				.packets = 64,
				.hold = 4096,
				.watermark = 800000,
				.bytes = 64u << 20};
	struct siphash_key key = {{1, 2}};
	struct pend_stats st = {0};
	struct pctx_table t;
	uint64_t used;

	ck_assert_int_eq(pctx_table_init(&t, &l, 0, &key, mono_ns(0), &st), 0);
	used = (uint64_t)t.slab.size * l.contexts +
	       ((uint64_t)t.by_flow.mask + 1) * sizeof(void *) +
	       2 * ((uint64_t)t.count_mask + 1) * sizeof(uint32_t) +
	       2 * ((uint64_t)t.seen_mask + 1) * sizeof(uint32_t);
	fprintf(stderr, "%zu bytes each, %llu in all\n", t.slab.size,
		(unsigned long long)(used / l.contexts));
	ck_assert(used <= 256ull * l.contexts);
	pctx_table_deinit(&t);
}
END_TEST

static double mean_probes(const struct pctx_table *t, unsigned *longest)
{
	uint64_t probes = 0;

	*longest = 0;
	for (uint32_t b = 0; b <= t->by_flow.mask; b++) {
		unsigned len = 0;

		for (const struct hnode *n = t->by_flow.bucket[b]; n; n = n->next)
			probes += ++len;
		if (len > *longest)
			*longest = len;
	}
	return (double)probes / (t->by_flow.used ? t->by_flow.used : 1);
}

START_TEST(cost_does_not_grow_with_contexts)
{
	uint32_t all = getenv("PEND_SLOW") ? 5000 : 100000;
	unsigned longest_few, longest;
	double few, many;

	s->cfg.max_contexts = all;
	s->cfg.max_per_source = 0;
	s->cfg.notify = NULL;
	start();
	top.opt.mode = PEND_MODE_ABSORB;
	top.opt.release = PEND_RELEASE_FLUSH;
	for (uint32_t i = 0; i < all; i++) {
		syn_from(4, i / 1000, (uint16_t)(1000 + i % 1000), 22);
		if (i == 999)
			few = mean_probes(&s->e.table, &longest_few);
	}
	many = mean_probes(&s->e.table, &longest);
	ck_assert_int_eq(sim_stats(s).pending, all);
	ck_assert(few < 1.2 && many < 1.6 && longest <= 12);
	ck_assert_int_eq(s->e.table.wheel.armed, all);
	sim_end(s);
}
END_TEST

Suite *suite(void)
{
	Suite *su = suite_create("engine: limits");
	TCase *tc = tcase_create("limits");

	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_set_timeout(tc, 200);
	tcase_add_test(tc, R19_contexts);
	tcase_add_test(tc, R19_per_source);
	tcase_add_test(tc, R19_a_source_is_a_64_in_ipv6);
	tcase_add_test(tc, R19_per_service);
	tcase_add_test(tc, R19_bytes);
	tcase_add_test(tc, R19_datagrams_of_held_contexts_leave_the_queue_room);
	tcase_add_test(tc, R19_hold_leaves_the_queue_room);
	tcase_add_test(tc, R19_hold_max_above_the_queue);
	tcase_add_test(tc, R6_a_limit_may_permit_where_the_callout_says_so);
	tcase_add_test(tc, watermark_first_syn_dropped_retransmission_admitted);
	tcase_add_test(tc, watermark_first_datagram_dropped_next_admitted);
	tcase_add_test(tc, watermark_forgets);
	tcase_add_test(tc, watermark_drops_whatever_is_answered);
	tcase_add_test(tc, watermark_second_callout_cannot_pend_the_first_syn);
	tcase_add_test(tc, real_client_under_a_flood_gets_in);
	tcase_add_test(tc, lingering_gives_way_blocked_first);
	tcase_add_test(tc, memory_per_context);
	tcase_add_test(tc, cost_does_not_grow_with_contexts);
	suite_add_tcase(su, tc);
	return su;
}
