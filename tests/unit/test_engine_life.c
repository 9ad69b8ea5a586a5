/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Draining, callouts that come and go, reentrancy and handles (R23, R54, R55), in the simulation. */
#include "tests/unit/engine_sim.h"
#include "unit.h"
#include <string.h>

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

static void drain_of(unsigned n, enum pend_verdict v)
{
	for (unsigned i = 0; i < n; i++)
		sim_syn(s, (uint16_t)(1000 + i), 1);
	while (pend_engine_drain(&s->e, v, 256) == PEND_E_BUSY)
		sim_round(s);
	ck_assert_int_eq(sim_stats(s).ended[PEND_STATE_DRAINED], n);
	ck_assert_int_eq(sim_stats(s).pending, 0);
	ck_assert_int_eq(s->deliveries, v == PEND_VERDICT_PERMIT ? n : 0);
	ck_assert_int_eq(s->last[PEND_EVENT_COMPLETED].info.reason, PEND_CODE_DRAIN);
}

START_TEST(T4_drain_1)
{
	drain_of(1, PEND_VERDICT_BLOCK);
}
END_TEST

START_TEST(T4_drain_1000)
{
	drain_of(1000, PEND_VERDICT_BLOCK);
}
END_TEST

START_TEST(T4_drain_1000_permitted)
{
	drain_of(1000, PEND_VERDICT_PERMIT);
}
END_TEST

START_TEST(R55_drain_refuses_new_pends)
{
	uint32_t id;

	sim_syn(s, 4000, 1);
	sim_callout(s, &low, 50, DO_PEND);
	ck_assert_int_eq(pend_engine_drain(&s->e, PEND_VERDICT_CONTINUE, 0), PEND_E_INVALID);
	ck_assert_int_eq(pend_engine_drain(&s->e, PEND_VERDICT_PERMIT, 0), PEND_OK);
	ck_assert_int_eq(low.calls, 1);
	ck_assert_int_eq(low.pend_status, PEND_E_CANNOT_PEND);
	id = sim_syn(s, 4001, 1);
	ck_assert_int_eq(top.pend_status, PEND_E_CANNOT_PEND);
	ck_assert(sim_dropped(s, id));
	ck_assert_int_eq(sim_stats(s).pended, 1);
}
END_TEST

START_TEST(R55_drain_is_busy_until_the_kernel_has_answered)
{
	sim_syn(s, 4000, 1);
	ck_assert_int_eq(pend_engine_drain(&s->e, PEND_VERDICT_PERMIT, 0), PEND_E_BUSY);
	sim_flush(s);
	ck_assert_int_eq(pend_engine_drain(&s->e, PEND_VERDICT_PERMIT, 0), PEND_E_BUSY);
	sim_read(s);
	ck_assert_int_eq(pend_engine_drain(&s->e, PEND_VERDICT_PERMIT, 0), PEND_OK);
}
END_TEST

/* Copies on their way are let in before the engine ends, and the kernel has to say so. */
START_TEST(R42_drain_waits_for_its_copies)
{
	top.opt.mode = PEND_MODE_ABSORB;
	sim_syn(s, 4000, 1);
	sim_udp(s, 4001, 1);
	sim_udp(s, 4001, 2);
	ck_assert_int_eq(pend_engine_drain(&s->e, PEND_VERDICT_PERMIT, 0), PEND_E_BUSY);
	ck_assert_uint_eq(sim_stats(s).injected, 3);
	sim_arrive(s);
	ck_assert_int_eq(pend_engine_drain(&s->e, PEND_VERDICT_PERMIT, 0), PEND_E_BUSY);
	ck_assert_uint_eq(sim_stats(s).ended[PEND_STATE_DRAINED], 0);
	sim_round(s);
	ck_assert_int_eq(pend_engine_drain(&s->e, PEND_VERDICT_PERMIT, 0), PEND_OK);
	ck_assert_uint_eq(s->deliveries, 3);
	ck_assert_uint_eq(sim_stats(s).ended[PEND_STATE_DRAINED], 2);
}
END_TEST

START_TEST(R55_unregister_busy_or_forced)
{
	uint32_t id = sim_syn(s, 4000, 1), other;

	sim_callout(s, &low, 50, DO_PEND);
	ck_assert_int_eq(pend_callout_unregister(&s->e, 999, true), PEND_E_NOT_FOUND);
	ck_assert_int_eq(pend_callout_unregister(&s->e, top.id, false), PEND_E_BUSY);
	ck_assert(sim_undecided(s, id));
	/* The other one has none. */
	ck_assert_int_eq(pend_callout_unregister(&s->e, low.id, false), PEND_OK);
	sim_callout(s, &low, 200, DO_CONTINUE); /* above: top moves down a place */
	ck_assert_int_eq(pend_callout_unregister(&s->e, top.id, false), PEND_E_BUSY);
	low.first = DO_PEND;
	other = sim_syn(s, 4001, 1);
	ck_assert_int_eq(pend_callout_unregister(&s->e, top.id, true), PEND_OK);
	sim_round(s);
	ck_assert(sim_dropped(s, id));
	ck_assert(sim_undecided(s, other));
	ck_assert_int_eq(sim_stats(s).ended[PEND_STATE_DRAINED], 1);
	ck_assert_int_eq(pend_callout_unregister(&s->e, top.id, true), PEND_E_NOT_FOUND);
	sim_complete(s, low.ctx, PEND_VERDICT_PERMIT);
	sim_round(s);
	ck_assert(sim_accepted(s, other));
}
END_TEST

START_TEST(R55_unregister_while_it_stands_below)
{
	sim_callout(s, &low, 50, DO_PEND);
	sim_syn(s, 4000, 1);
	sim_complete(s, top.ctx, PEND_VERDICT_PERMIT); /* low has it now */
	ck_assert_int_eq(pend_callout_unregister(&s->e, top.id, false), PEND_OK);
	ck_assert_int_eq(pend_callout_unregister(&s->e, low.id, false), PEND_E_BUSY);
	sim_complete(s, low.ctx, PEND_VERDICT_PERMIT);
	sim_round(s);
	ck_assert_int_eq(s->deliveries, 1);
	ck_assert_int_eq(pend_callout_unregister(&s->e, low.id, false), PEND_OK);
}
END_TEST

START_TEST(R54_no_callout_is_the_default)
{
	ck_assert_int_eq(pend_callout_unregister(&s->e, top.id, false), PEND_OK);
	ck_assert(sim_dropped(s, sim_syn(s, 4000, 1)));
	s->e.cfg.default_action = PEND_ACTION_PERMIT;
	ck_assert(sim_accepted(s, sim_syn(s, 4001, 1)));
}
END_TEST

static void permit_next_of_arg(struct sim *sm, const struct pend_event *ev)
{
	pend_context *next = sm->arg;

	if (ev->type == PEND_EVENT_COMPLETED && *next)
		sim_complete(sm, *next, PEND_VERDICT_PERMIT);
}

START_TEST(R55_forced_unregister_is_not_pended_behind_its_back)
{
	struct sim_callout above;
	pend_context mine, other;

	/* While low's context is drained, the notify function permits another one to low. */
	sim_callout(s, &above, 200, DO_PEND);
	sim_syn(s, 4001, 1);
	other = above.ctx;
	above.first = top.first = DO_CONTINUE;
	sim_callout(s, &low, 50, DO_PEND);
	sim_syn(s, 4000, 1);
	mine = low.ctx;
	ck_assert((uint32_t)(mine >> 32) > (uint32_t)(other >> 32));
	s->arg = &other;
	s->on_event = permit_next_of_arg;
	ck_assert_int_eq(pend_callout_unregister(&s->e, low.id, true), PEND_OK);
	s->on_event = NULL;
	sim_round(s);
	ck_assert_int_eq(sim_stats(s).pending, 0);
	ck_assert_int_eq(low.calls, 1);
	ck_assert_int_eq(pend_callout_unregister(&s->e, above.id, false), PEND_OK);
}
END_TEST

START_TEST(callouts_in_order_of_weight_then_registration)
{
	struct sim_callout c[20];
	struct pend_callout pc = {.name = "one too many", .layers = 1, .weight = 1};
	uint32_t id;

	ck_assert_int_eq(pend_callout_unregister(&s->e, top.id, false), PEND_OK);
	for (unsigned i = 0; i < PEND_CALLOUT_MAX; i++)
		sim_callout(s, &c[i], i % 4, DO_CONTINUE);
	for (unsigned i = 1; i < s->e.callouts; i++) {
		const struct engine_callout *a = &s->e.callout[i - 1], *b = &s->e.callout[i];

		ck_assert(a->c.weight > b->c.weight ||
			  (a->c.weight == b->c.weight && a->id < b->id));
		ck_assert_str_eq(b->c.name, "sim");
	}
	ck_assert_int_eq(pend_callout_register(&s->e, &pc, &id), PEND_E_NULL_POINTER);
	pc.classify = s->e.callout[0].c.classify;
	ck_assert_int_eq(pend_callout_register(&s->e, &pc, &id), PEND_E_LIMIT);
	pc.layers = 4;
	ck_assert_int_eq(pend_callout_register(&s->e, &pc, &id), PEND_E_INVALID);
	for (unsigned i = 0; i < PEND_CALLOUT_MAX; i++)
		ck_assert_int_eq(pend_callout_unregister(&s->e, c[i].id, false), PEND_OK);
}
END_TEST

START_TEST(layers_are_asked_for_their_family)
{
	struct pend_callout pc;
	struct sim_tuple t = {6, 1, 4000, 22};
	uint32_t id;

	pc = s->e.callout[0].c;
	pc.name = "v6 only";
	ck_assert_int_eq(pend_callout_unregister(&s->e, top.id, false), PEND_OK);
	pc.layers = 1u << PEND_LAYER_RECV_ACCEPT_V6;
	ck_assert_int_eq(pend_callout_register(&s->e, &pc, &id), PEND_OK);
	sim_syn(s, 4000, 1);
	ck_assert_int_eq(top.calls, 0);
	sim_send(s, SIM_SYN, &t, 1);
	ck_assert_int_eq(top.calls, 1);
}
END_TEST

static void complete_next(struct sim *sm, const struct pend_event *ev)
{
	pend_context *list = sm->arg;

	if (ev->type != PEND_EVENT_COMPLETED)
		return;
	while (*list && sim_state(sm, *list) != PEND_STATE_PENDED)
		list++;
	sm->arg = list;
	if (*list)
		(void)pend_complete(&sm->e, *list, (enum pend_verdict)(*list >> 32 & 1), 0);
}

START_TEST(notify_completes_reentrantly)
{
	static pend_context list[1001];
	unsigned started = 0;

	for (unsigned i = 0; i < 1000; i++) {
		top.opt.mode = i % 3 ? PEND_MODE_AUTO : PEND_MODE_ABSORB;
		top.opt.release = PEND_RELEASE_FLUSH;
		sim_syn(s, (uint16_t)(1000 + i), 1);
		list[i] = top.ctx;
	}
	s->arg = list;
	s->on_event = complete_next;
	for (unsigned i = 0; i < 1000; i++)
		if (sim_state(s, list[i]) == PEND_STATE_PENDED) {
			ck_assert_int_eq(pend_complete(&s->e, list[i], PEND_VERDICT_BLOCK, 0),
					 PEND_OK);
			started++;
		}
	ck_assert_int_eq(sim_stats(s).pending, 0);
	/* Each start ended a chain of bounded length. */
	ck_assert(started >= 1000 / (ENGINE_NOTIFY_DEPTH + 1));
	ck_assert_int_eq(s->events[PEND_EVENT_COMPLETED], 1000);
}
END_TEST

static enum pend_status in_event[5];

static void misbehave(struct sim *sm, const struct pend_event *ev)
{
	struct pend_callout pc = sm->e.callout[0].c;
	pend_context ctx;
	uint32_t id;

	(void)ev;
	in_event[0] = pend_engine_drain(&sm->e, PEND_VERDICT_BLOCK, 0);
	in_event[1] = pend_callout_unregister(&sm->e, top.id, true);
	in_event[2] = pend_callout_register(&sm->e, &pc, &id);
	in_event[3] = pend_operation(&sm->e, top.handle, &top.opt, &ctx);
	in_event[4] = pend_engine_dispatch(&sm->e, 0, NULL);
}

static pend_context victim;

static void complete_victim(struct sim_callout *c, const struct pend_values *v,
			    const struct pend_metadata *m, const struct pend_packet *p,
			    struct pend_classify_out *out)
{
	(void)v;
	(void)p;
	(void)out;
	c->handle = m->completion;
	if (!(m->flags & PEND_META_COMPLETION))
		pend_complete(&c->s->e, victim, PEND_VERDICT_BLOCK, 0);
}

START_TEST(notify_cannot_pend_drain_or_unregister)
{
	sim_syn(s, 4000, 1);
	victim = top.ctx;
	s->on_event = misbehave;
	top.hook = complete_victim;
	sim_syn(s, 4001, 1); /* the event comes from inside of a classify call */
	ck_assert_int_eq(in_event[0], PEND_E_INVALID);
	ck_assert_int_eq(in_event[1], PEND_E_BUSY);
	ck_assert_int_eq(in_event[2], PEND_E_BUSY);
	ck_assert_int_eq(in_event[3], PEND_E_STALE);
	ck_assert_int_eq(in_event[4], PEND_E_BUSY);
	ck_assert_int_eq(s->events[PEND_EVENT_COMPLETED], 1);
	s->on_event = NULL;
	top.hook = NULL;
}
END_TEST

static pend_context chain[8];
static enum pend_status chain_status[8];
static unsigned chain_at;

static void complete_chain(struct sim_callout *c, const struct pend_values *v,
			   const struct pend_metadata *m, const struct pend_packet *p,
			   struct pend_classify_out *out)
{
	unsigned i = chain_at;

	(void)v;
	(void)p;
	(void)out;
	if (!(m->flags & PEND_META_COMPLETION) || i >= 8)
		return;
	chain_at++;
	chain_status[i] = pend_complete(&c->s->e, chain[i], PEND_VERDICT_PERMIT, 0);
}

START_TEST(nested_completes)
{
	for (unsigned i = 0; i < 8; i++) {
		sim_syn(s, (uint16_t)(4000 + i), 1);
		chain[i] = top.ctx;
	}
	sim_syn(s, 5000, 1);
	chain_at = 0;
	top.hook = complete_chain;
	ck_assert_int_eq(pend_complete(&s->e, top.ctx, PEND_VERDICT_PERMIT, 0), PEND_OK);
	ck_assert_int_eq(chain_at, 4);
	for (unsigned i = 0; i < 3; i++)
		ck_assert_int_eq(chain_status[i], PEND_OK);
	ck_assert_int_eq(chain_status[3], PEND_E_BUSY);
	sim_round(s);
	ck_assert_int_eq(s->deliveries, 4);
	ck_assert_int_eq(sim_stats(s).pending, 5);
	top.hook = NULL;
}
END_TEST

START_TEST(handles_wrap_and_never_are_zero)
{
	struct pctx *c;
	pend_context ctx;

	sim_syn(s, 4000, 1);
	c = slab_at(&s->e.table.slab, 0);
	c->generation = UINT32_MAX;
	ck_assert_int_eq(pend_complete(&s->e, top.ctx, PEND_VERDICT_PERMIT, 0), PEND_E_NOT_FOUND);
	ctx = 7ull << 56 | UINT32_MAX;
	ck_assert_int_eq(sim_state(s, ctx), PEND_STATE_PENDED);
	/* Taken up by a lower callout: the next generation is 1. */
	sim_callout(s, &low, 50, DO_PEND);
	ck_assert_int_eq(sim_complete(s, ctx, PEND_VERDICT_PERMIT), PEND_OK);
	ck_assert(low.ctx == (7ull << 56 | 1));
	ck_assert_int_eq(sim_state(s, ctx), PEND_STATE_FREE);
	/* Freed: likewise. */
	c->generation = UINT32_MAX;
	sim_syn(s, 4000, 2);
	ck_assert(top.ctx == (7ull << 56 | 1));
}
END_TEST

START_TEST(R8_walk_of_the_table)
{
	struct pend_info info;
	uint32_t cursor = 0;
	unsigned n = 0;

	for (unsigned i = 0; i < 100; i++) {
		sim_syn(s, (uint16_t)(1000 + i), 1);
		if (i % 2)
			sim_complete(s, top.ctx, PEND_VERDICT_BLOCK);
	}
	while (pend_context_next(&s->e, &cursor, 7, &info))
		n += info.context != 0;
	n += info.context != 0;
	ck_assert_int_eq(n, 50);
	cursor = 0;
	for (n = 0; pend_context_next(&s->e, &cursor, 0, &info); n++)
		ck_assert_int_eq(info.state, PEND_STATE_PENDED);
	ck_assert_int_eq(n, 50);
	cursor = UINT32_MAX; /* any number is safe */
	ck_assert(!pend_context_next(&s->e, &cursor, 100, &info));
}
END_TEST

START_TEST(configuration_is_checked)
{
	static const struct siphash_key key = {{1, 2}};
	struct pend_engine_config c, good;
	struct pend_engine e;

	pend_engine_config_init(&good);
	good.max_contexts = 10;
	good.max_bytes = 1000;
#define BAD(field, value)                                                            \
	do {                                                                         \
		c = good;                                                            \
		c.field = value;                                                     \
		ck_assert_int_eq(engine_init(&e, &c, s->e.ops, s, &key, mono_ns(0)), \
				 PEND_E_INVALID);                                    \
	} while (0)
	BAD(mark_mask, 0);
	BAD(mark_mask, 0xff1);
	BAD(epoch, 0);
	BAD(epoch, 63);
	BAD(max_contexts, 0);
	BAD(max_contexts, 16000001);
	BAD(max_packets, 0);
	BAD(kernel_queue, 0);
	BAD(high_watermark_percent, 101);
	BAD(max_bytes, 2ull << 40);
	ck_assert_int_eq(pend_engine_set_epoch(&s->e, 63), PEND_E_INVALID);
	ck_assert_int_eq(pend_engine_set_epoch(&s->e, 5), PEND_OK);
	ck_assert_int_eq(pend_engine_set_epoch(NULL, 5), PEND_E_NULL_POINTER);
}
END_TEST

Suite *suite(void)
{
	Suite *su = suite_create("engine: life");
	TCase *tc = tcase_create("life");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, T4_drain_1);
	tcase_add_test(tc, T4_drain_1000);
	tcase_add_test(tc, T4_drain_1000_permitted);
	tcase_add_test(tc, R55_drain_refuses_new_pends);
	tcase_add_test(tc, R55_drain_is_busy_until_the_kernel_has_answered);
	tcase_add_test(tc, R42_drain_waits_for_its_copies);
	tcase_add_test(tc, R55_unregister_busy_or_forced);
	tcase_add_test(tc, R55_unregister_while_it_stands_below);
	tcase_add_test(tc, R54_no_callout_is_the_default);
	tcase_add_test(tc, R55_forced_unregister_is_not_pended_behind_its_back);
	tcase_add_test(tc, callouts_in_order_of_weight_then_registration);
	tcase_add_test(tc, layers_are_asked_for_their_family);
	tcase_add_test(tc, notify_completes_reentrantly);
	tcase_add_test(tc, notify_cannot_pend_drain_or_unregister);
	tcase_add_test(tc, nested_completes);
	tcase_add_test(tc, handles_wrap_and_never_are_zero);
	tcase_add_test(tc, R8_walk_of_the_table);
	tcase_add_test(tc, configuration_is_checked);
	suite_add_tcase(su, tc);
	return su;
}
