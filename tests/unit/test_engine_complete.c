/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Completing: rules R20 to R29 of docs/semantics.md, and what the kernel loses, in the simulation. */
#include "tests/unit/engine_pends.h"
#include <string.h>

static struct sim_callout low;

START_TEST(R20_deadline)
{
	uint32_t id;
	pend_context ctx;

	top.opt.timeout_ns = 2 * MONO_NS_PER_S;
	id = sim_syn(s, 4000, 1);
	ctx = top.ctx;
	sim_wait(s, 1999);
	ck_assert(sim_undecided(s, id));
	sim_wait(s, 2);
	ck_assert(sim_dropped(s, id));
	ck_assert_int_eq(ended(PEND_STATE_TIMED_OUT), 1);
	ck_assert_int_eq(s->last[PEND_EVENT_COMPLETED].info.reason, PEND_CODE_DEADLINE);
	ck_assert_int_eq(pend_complete(&s->e, ctx, PEND_VERDICT_PERMIT, 0), PEND_E_ALREADY);
	sim_wait(s, 200000);
	ck_assert_int_eq(pend_complete(&s->e, ctx, PEND_VERDICT_PERMIT, 0), PEND_E_NOT_FOUND);
	ck_assert_int_eq(sim_stats(s).lingering, 0);
	ck_assert_int_eq(top.calls, 1);
}
END_TEST

START_TEST(R20_deadline_permits_where_asked_to)
{
	uint32_t id;

	s->trace = false;
	top.opt.timeout_ns = MONO_NS_PER_S;
	top.opt.on_timeout = PEND_VERDICT_PERMIT;
	id = sim_syn(s, 4000, 1);
	sim_wait(s, 1001);
	ck_assert(sim_accepted(s, id));
	ck_assert_int_eq(ended(PEND_STATE_TIMED_OUT), 1);
	ck_assert_int_eq(top.passes, 1);
}
END_TEST

START_TEST(T32_each_its_own_deadline)
{
	uint32_t a, b;

	top.opt.timeout_ns = 3 * MONO_NS_PER_S;
	a = sim_syn(s, 4000, 1);
	top.opt.timeout_ns = 1 * MONO_NS_PER_S;
	b = sim_syn(s, 4001, 1);
	sim_wait(s, 1500);
	ck_assert(sim_undecided(s, a) && sim_dropped(s, b));
	sim_wait(s, 1600);
	ck_assert(sim_dropped(s, a));
}
END_TEST

START_TEST(T22_storm_after_suspend)
{
	for (unsigned i = 0; i < 1000; i++)
		sim_syn(s, (uint16_t)(2000 + i), 1);
	sim_round(s);
	s->e.now = mono_add(s->e.now, 3600 * MONO_NS_PER_S);
	for (int i = 0; i < 4; i++) {
		engine_expire(&s->e, 256);
		sim_round(s);
	}
	ck_assert_int_eq(ended(PEND_STATE_TIMED_OUT), 1000);
	ck_assert_int_eq(sim_stats(s).pending, 0);
}
END_TEST

START_TEST(R21_new_policy_seen_by_completion_pass)
{
	uint32_t id = sim_syn(s, 4000, 1);

	top.pass = DO_BLOCK;
	top.how = PEND_BLOCK_RESET;
	ck_assert_int_eq(sim_complete(s, top.ctx, PEND_VERDICT_PERMIT), PEND_OK);
	sim_round(s);
	ck_assert_int_eq(s->ledger[id - 1].verdict, ENGINE_RESET);
	ck_assert_int_eq(ended(PEND_STATE_BLOCKED), 1);
	ck_assert_int_eq(top.meta.reason, PEND_REASON_CLASSIFY_COMPLETION);
	ck_assert_int_eq(top.meta.flags, PEND_META_COMPLETION | PEND_META_PENDER);
	ck_assert_int_eq(top.meta.injection, PEND_INJECTED_BY_SELF);
	ck_assert_int_eq(top.meta.verdict, PEND_VERDICT_PERMIT);
	ck_assert(top.meta.context == top.ctx);
}
END_TEST

START_TEST(R21_new_callout_seen_by_completion_pass)
{
	uint32_t id = sim_syn(s, 4000, 1);
	struct sim_callout above;

	sim_callout(s, &low, 50, DO_BLOCK);
	sim_complete(s, top.ctx, PEND_VERDICT_PERMIT);
	sim_round(s);
	ck_assert(sim_dropped(s, id));
	ck_assert_int_eq(low.calls, 1);
	low.first = DO_CONTINUE;
	id = sim_syn(s, 4001, 1);
	sim_callout(s, &above, 200, DO_CONTINUE);
	above.pass = DO_BLOCK;
	sim_complete(s, top.ctx, PEND_VERDICT_PERMIT);
	sim_round(s);
	ck_assert(sim_dropped(s, id));
	ck_assert_int_eq(above.passes, 1);
	ck_assert_int_eq(pend_callout_unregister(&s->e, above.id, false), PEND_OK);
}
END_TEST

/* A filter above the pender cannot say yet whether it would block what was permitted. */
static uint32_t put_off(struct sim_callout *above)
{
	uint32_t id;

	sim_callout(s, above, 200, DO_CONTINUE);
	above->pass = DO_BLOCK_ONCE;
	id = sim_syn(s, 4000, 1);
	ck_assert_int_eq(sim_complete(s, top.ctx, PEND_VERDICT_PERMIT), PEND_OK);
	sim_wait(s, 300);
	ck_assert(sim_undecided(s, id));
	ck_assert_int_eq(sim_state(s, top.ctx), PEND_STATE_PENDED);
	return id;
}

START_TEST(T7_a_permit_waits_for_who_cannot_tell_yet)
{
	struct sim_callout above;
	uint32_t first = put_off(&above), id;

	ck_assert_int_eq(pend_complete(&s->e, top.ctx, PEND_VERDICT_BLOCK, 0), PEND_E_ALREADY);
	id = sim_syn(s, 4000, 1);
	ck_assert(sim_dropped(s, first) && sim_undecided(s, id));
	above.pass = DO_CONTINUE;
	sim_wait(s, 150);
	ck_assert(sim_accepted(s, id));
	ck_assert_int_eq(ended(PEND_STATE_PERMITTED), 1);
	ck_assert_int_eq(top.calls, 1);
	ck_assert_int_eq(sim_stats(s).completion_blocked, 0);
	pend_callout_unregister(&s->e, above.id, false);
}
END_TEST

START_TEST(T7_who_never_tells_is_asked_anew)
{
	struct sim_callout above;
	uint32_t id = put_off(&above);

	sim_wait(s, 2000);
	ck_assert(sim_dropped(s, id));
	ck_assert_int_eq(ended(PEND_STATE_BLOCKED), 1);
	ck_assert_int_eq(sim_stats(s).lingering, 0);
	ck_assert(sim_undecided(s, sim_syn(s, 4000, 1)));
	ck_assert_int_eq(top.calls, 2);
	/* Nor does what is at its end wait. */
	id = sim_syn(s, 4001, 1);
	pend_engine_drain(&s->e, PEND_VERDICT_PERMIT, 0);
	sim_round(s);
	ck_assert(sim_dropped(s, id));
	pend_callout_unregister(&s->e, above.id, false);
}
END_TEST

START_TEST(T7_who_tells_a_block_means_it)
{
	struct sim_callout above;
	uint32_t id = put_off(&above);

	above.pass = DO_BLOCK;
	sim_wait(s, 150);
	ck_assert(sim_dropped(s, id));
	ck_assert(sim_dropped(s, sim_syn(s, 4000, 1)));
	ck_assert_int_eq(top.calls, 1);
	ck_assert_int_eq(sim_stats(s).completion_blocked, 1);
	pend_callout_unregister(&s->e, above.id, false);
}
END_TEST

START_TEST(R20_a_deadline_that_permits_waits_too)
{
	struct sim_callout above;
	uint32_t id;

	s->trace = false;
	sim_callout(s, &above, 200, DO_CONTINUE);
	above.pass = DO_BLOCK_ONCE;
	top.opt.timeout_ns = MONO_NS_PER_S;
	top.opt.on_timeout = PEND_VERDICT_PERMIT;
	id = sim_syn(s, 4000, 1);
	sim_wait(s, 1500);
	ck_assert(sim_undecided(s, id));
	above.pass = DO_CONTINUE;
	sim_wait(s, 150);
	ck_assert(sim_accepted(s, id));
	ck_assert_int_eq(ended(PEND_STATE_TIMED_OUT), 1);
	pend_callout_unregister(&s->e, above.id, false);
}
END_TEST

/* The second question is one like the first, and what is asked behind it is asked when it can tell. */
START_TEST(R18_a_callout_below_cannot_tell_yet)
{
	uint32_t id;

	sim_callout(s, &low, 50, DO_BLOCK_ONCE);
	id = sim_syn(s, 4000, 1);
	sim_complete(s, top.ctx, PEND_VERDICT_PERMIT);
	sim_wait(s, 300);
	ck_assert(sim_undecided(s, id));
	low.first = DO_PEND;
	sim_wait(s, 150);
	ck_assert(sim_undecided(s, id));
	ck_assert_int_eq(sim_state(s, low.ctx), PEND_STATE_PENDED);
	ck_assert_int_eq(sim_complete(s, low.ctx, PEND_VERDICT_PERMIT), PEND_OK);
	sim_round(s);
	ck_assert(sim_accepted(s, id));
}
END_TEST

START_TEST(R22_complete_operation_without_packet)
{
	uint32_t id = sim_syn(s, 4000, 1);

	/* The pass is the judge, and a pender that has nothing to say blocks, */
	ck_assert_int_eq(pend_complete_operation(&s->e, top.ctx, NULL), PEND_OK);
	sim_round(s);
	ck_assert(sim_dropped(s, id));
	ck_assert_int_eq(ended(PEND_STATE_BLOCKED), 1);
	/* whatever a callout above it thinks. */
	sim_callout(s, &low, 200, DO_PERMIT);
	low.pass = DO_PERMIT;
	id = sim_syn(s, 4001, 1);
	ck_assert_int_eq(pend_complete_operation(&s->e, top.ctx, NULL), PEND_OK);
	sim_round(s);
	ck_assert_int_eq(ended(PEND_STATE_BLOCKED), 2);
	/* A permit flushes: the retransmission is let in. */
	top.pass = DO_PERMIT;
	id = sim_syn(s, 4002, 1);
	ck_assert_int_eq(pend_complete_operation(&s->e, top.ctx, NULL), PEND_OK);
	sim_round(s);
	ck_assert(sim_dropped(s, id));
	ck_assert_int_eq(sim_state(s, top.ctx), PEND_STATE_FLUSHED);
	ck_assert(sim_accepted(s, sim_syn(s, 4002, 1)));
}
END_TEST

static struct pend_packet *kept_clone;

static void clone_and_pend(struct sim_callout *c, const struct pend_values *v,
			   const struct pend_metadata *m, const struct pend_packet *p,
			   struct pend_classify_out *out)
{
	(void)v;
	if (m->flags & PEND_META_COMPLETION) {
		ck_assert_ptr_null(pend_packet_clone(&c->s->e, p)); /* its bytes are elsewhere */
		return;
	}
	kept_clone = pend_packet_clone(&c->s->e, p);
	ck_assert_ptr_nonnull(kept_clone);
	ck_assert_int_eq(pend_operation(&c->s->e, m->completion, &c->opt, &c->ctx), PEND_OK);
	pend_out_pended(out);
}

START_TEST(R22_complete_operation_with_clone)
{
	struct sim_tuple t = sim_peer(4000);
	uint32_t id;
	size_t len;

	top.hook = clone_and_pend;
	id = sim_syn(s, 4000, 1);
	ck_assert_ptr_nonnull(pend_packet_data(kept_clone, &len));
	ck_assert_int_eq(len, 40);
	ck_assert_int_eq(pend_packet_injection_state(kept_clone), PEND_INJECTION_NONE);
	ck_assert_int_eq(pend_inject_receive(&s->e, kept_clone), PEND_E_NOT_FOUND);
	struct flow f = sim_flow(SIM_SYN, &t);
	sim_allow(s, &f, 1);
	ck_assert_int_eq(pend_complete_operation(&s->e, top.ctx, kept_clone), PEND_OK);
	sim_round(s);
	ck_assert(sim_dropped(s, id));
	ck_assert_int_eq(pend_inject_receive(&s->e, kept_clone), PEND_OK);
	sim_feed(s);
	ck_assert_int_eq(s->deliveries, 1);
	ck_assert(sim_accepted(s, s->packets));
	s->inject_fails = true;
	ck_assert_int_eq(pend_inject_receive(&s->e, kept_clone), PEND_E_SYSTEM);
	ck_assert_int_eq(sim_stats(s).inject_failed, 1);
	s->e.cfg.raw_reinject = false;
	ck_assert_int_eq(pend_inject_receive(&s->e, kept_clone), PEND_E_UNSUPPORTED);
	pend_packet_free(kept_clone);
}
END_TEST

START_TEST(R23_codes)
{
	pend_context ctx;

	sim_syn(s, 4000, 1);
	ctx = top.ctx;
	ck_assert_int_eq(sim_complete(s, ctx, PEND_VERDICT_PERMIT), PEND_OK);
	ck_assert_int_eq(sim_state(s, ctx), PEND_STATE_COMPLETING);
	ck_assert_int_eq(sim_complete(s, ctx, PEND_VERDICT_PERMIT), PEND_E_ALREADY);
	ck_assert_int_eq(pend_complete_block(&s->e, ctx, PEND_BLOCK_DROP, 0), PEND_E_ALREADY);
	ck_assert_int_eq(pend_complete_operation(&s->e, ctx, NULL), PEND_E_ALREADY);
	sim_round(s);
	sim_syn(s, 4001, 1);
	ctx = top.ctx;
	ck_assert_int_eq(sim_complete(s, ctx, PEND_VERDICT_BLOCK), PEND_OK);
	ck_assert_int_eq(sim_complete(s, ctx, PEND_VERDICT_PERMIT), PEND_E_ALREADY);
	ck_assert_int_eq(sim_complete(s, ctx ^ 3ull << 56, PEND_VERDICT_PERMIT),
			 PEND_E_ACCESS_DENIED);
	ck_assert_int_eq(sim_complete(s, ctx ^ 3ull << 40, PEND_VERDICT_PERMIT), PEND_E_NOT_FOUND);
}
END_TEST

static unsigned completed_events;

static void count_completed(struct sim *sm, const struct pend_event *ev)
{
	(void)sm;
	completed_events += ev->type == PEND_EVENT_COMPLETED;
}

START_TEST(R24_every_context_one_terminal_state)
{
	enum pend_verdict verdicts[] = {PEND_VERDICT_PERMIT, PEND_VERDICT_BLOCK};
	struct pend_stats st;
	uint64_t sum = 0;

	completed_events = 0;
	s->on_event = count_completed;
	for (unsigned i = 0; i < 240; i++) {
		top.opt.mode = i & 1 ? PEND_MODE_HOLD : PEND_MODE_ABSORB;
		top.opt.release = i & 2 ? PEND_RELEASE_BUFFER : PEND_RELEASE_FLUSH;
		sim_syn(s, (uint16_t)(1000 + i), i);
		if (i % 5 == 0)
			sim_lose_all(s);
		if (i % 3)
			sim_complete(s, top.ctx, verdicts[i / 3 % 2]);
		if (i % 7 == 0)
			sim_round(s);
		if (i % 11 == 0)
			sim_syn(s, (uint16_t)(1000 + i), i + 5000);
	}
	sim_wait(s, 200000);
	st = sim_stats(s);
	for (int i = PEND_STATE_PERMITTED; i < PEND_STATE_COUNT; i++)
		sum += st.ended[i];
	ck_assert_int_eq(sum, st.pended);
	ck_assert_int_eq(completed_events, st.pended);
	ck_assert_int_eq(st.pending, 0);
	ck_assert_int_eq(st.lingering, 0);
	ck_assert_int_eq(s->e.table.slab.used, 0);
	ck_assert_int_eq(s->e.table.kept.used, 0);
	ck_assert_int_eq(s->e.table.blocks.used, 0);
}
END_TEST

static uint64_t delivered_at_completed;

static void look_at_completed(struct sim *sm, const struct pend_event *ev)
{
	if (ev->type == PEND_EVENT_COMPLETED)
		delivered_at_completed = sm->deliveries;
}

START_TEST(R26_completed_is_said_when_the_kernel_has_answered)
{
	delivered_at_completed = UINT64_MAX;
	s->on_event = look_at_completed;
	sim_syn(s, 4000, 1);
	sim_complete(s, top.ctx, PEND_VERDICT_PERMIT);
	ck_assert_int_eq(s->events[PEND_EVENT_COMPLETED], 0);
	sim_flush(s);
	ck_assert_int_eq(s->events[PEND_EVENT_COMPLETED], 0);
	sim_read(s);
	ck_assert_int_eq(s->events[PEND_EVENT_COMPLETED], 1);
	ck_assert_int_eq(delivered_at_completed, 1);
}
END_TEST

static bool pass_saw_decision;

static void look_in_pass(struct sim_callout *c, const struct pend_values *v,
			 const struct pend_metadata *m, const struct pend_packet *p,
			 struct pend_classify_out *out)
{
	(void)v;
	(void)p;
	if (!(m->flags & PEND_META_COMPLETION)) {
		if (pend_operation(&c->s->e, m->completion, &c->opt, &c->ctx) == PEND_OK)
			pend_out_pended(out);
		return;
	}
	pass_saw_decision = m->verdict == PEND_VERDICT_PERMIT && m->tag == c->opt.tag;
	/* No lock is held: others may be completed from here, this one not again. */
	ck_assert_int_eq(pend_complete(&c->s->e, m->context, PEND_VERDICT_BLOCK, 0),
			 PEND_E_ALREADY);
}

START_TEST(R25_decision_is_there_before_the_pass)
{
	uint32_t id;

	top.hook = look_in_pass;
	top.opt.tag = 1234;
	id = sim_syn(s, 4000, 1);
	sim_complete(s, top.ctx, PEND_VERDICT_PERMIT);
	sim_round(s);
	ck_assert(pass_saw_decision);
	ck_assert(sim_accepted(s, id));
}
END_TEST

START_TEST(R27_completion_pass_blocks)
{
	uint32_t id;

	sim_callout(s, &low, 50, DO_BLOCK);
	id = sim_syn(s, 4000, 1);
	sim_complete(s, top.ctx, PEND_VERDICT_PERMIT);
	sim_round(s);
	ck_assert(sim_dropped(s, id));
	ck_assert_int_eq(s->last[PEND_EVENT_COMPLETED].info.state, PEND_STATE_BLOCKED);
	ck_assert_int_eq(s->last[PEND_EVENT_COMPLETED].info.reason, PEND_CODE_COMPLETION_PASS);
	ck_assert_int_eq(sim_stats(s).completion_blocked, 1);
	ck_assert(sim_dropped(s, sim_syn(s, 4000, 1))); /* R53: no authorization is left */
}
END_TEST

START_TEST(R28_hold_buffer_lost_is_flushed_never_permitted)
{
	uint32_t id = sim_syn(s, 4000, 1), again;

	sim_lose(s, id);
	sim_complete(s, top.ctx, PEND_VERDICT_PERMIT);
	sim_round(s);
	ck_assert_int_eq(ended(PEND_STATE_PERMITTED), 0);
	ck_assert_int_eq(ended(PEND_STATE_FLUSHED), 1);
	ck_assert_int_eq(sim_stats(s).kernel_lost, 1);
	ck_assert(s->last[PEND_EVENT_COMPLETED].info.kernel_lost);
	again = sim_syn(s, 4000, 1);
	ck_assert(sim_accepted(s, again));
	ck_assert_int_eq(top.calls, 1);
}
END_TEST

START_TEST(R28_timeout_lost)
{
	uint32_t id;

	top.opt.timeout_ns = MONO_NS_PER_S;
	id = sim_syn(s, 4000, 1);
	sim_lose(s, id);
	sim_wait(s, 1500);
	ck_assert_int_eq(ended(PEND_STATE_LOST), 1);
	ck_assert_int_eq(ended(PEND_STATE_TIMED_OUT), 0);
	ck_assert_int_eq(sim_state(s, top.ctx), PEND_STATE_FREE);
}
END_TEST

START_TEST(R28_retransmission_reattaches)
{
	uint32_t id = sim_syn(s, 4000, 1), again;

	sim_lose(s, id);
	again = sim_syn(s, 4000, 1);
	sim_round(s);
	ck_assert_int_eq(s->events[PEND_EVENT_KERNEL_LOST], 1);
	ck_assert_int_eq(sim_stats(s).reattached, 1);
	sim_complete(s, top.ctx, PEND_VERDICT_PERMIT);
	sim_round(s);
	ck_assert(sim_accepted(s, again));
	ck_assert_int_eq(ended(PEND_STATE_PERMITTED), 1);
}
END_TEST

START_TEST(R28_loss_of_an_old_copy_says_nothing_of_the_new_one)
{
	uint32_t id = sim_syn(s, 4000, 1);

	sim_lose(s, id);
	sim_syn(s, 4000, 1);
	/* The decision goes out in the same send as the old copy's drop. */
	sim_complete(s, top.ctx, PEND_VERDICT_PERMIT);
	sim_round(s);
	ck_assert_int_eq(s->deliveries, 1);
	ck_assert_int_eq(ended(PEND_STATE_PERMITTED), 1);
}
END_TEST

START_TEST(R28_unanswered_barrier_is_not_permitted)
{
	sim_syn(s, 4000, 1);
	s->lose_answers = true; /* the socket was overrun */
	sim_complete(s, top.ctx, PEND_VERDICT_PERMIT);
	sim_round(s);
	ck_assert_int_eq(ended(PEND_STATE_PERMITTED), 0);
	ck_assert_int_eq(ended(PEND_STATE_FLUSHED), 1);
	s->lose_answers = false;
}
END_TEST

/* Of two that are out the first is dropped, with the word that the kernel has lost what it stands for. */
START_TEST(R28_an_acknowledgement_says_nothing_of_the_one_before)
{
	pend_context first, second;

	sim_lose(s, sim_syn(s, 4000, 1));
	first = top.ctx;
	s->lose_answers = true; /* the socket was overrun */
	sim_complete(s, first, PEND_VERDICT_PERMIT);
	sim_flush(s);
	s->lose_answers = false;
	sim_syn(s, 4001, 1);
	second = top.ctx;
	sim_complete(s, second, PEND_VERDICT_PERMIT);
	sim_flush(s);
	ck_assert_int_eq(sim_state(s, first), PEND_STATE_COMPLETING);
	sim_read(s);
	ck_assert_int_eq(sim_state(s, first), PEND_STATE_FLUSHED);
	ck_assert_int_eq(ended(PEND_STATE_PERMITTED), 1);
	ck_assert_int_eq(ended(PEND_STATE_FLUSHED), 1);
}
END_TEST

START_TEST(R28_an_acknowledgement_of_nothing_settles_nothing)
{
	sim_syn(s, 4000, 1);
	sim_complete(s, top.ctx, PEND_VERDICT_PERMIT);
	complete_acknowledged(&s->e, s->e.barrier); /* which is not sent */
	complete_acknowledged(&s->e, s->e.acked);
	ck_assert_int_eq(sim_state(s, top.ctx), PEND_STATE_COMPLETING);
	sim_round(s);
	ck_assert_int_eq(ended(PEND_STATE_PERMITTED), 1);
}
END_TEST

START_TEST(R29_continue_capped)
{
	uint32_t id = sim_syn(s, 4000, 1);
	enum pend_status st = PEND_OK;
	unsigned n = 0;

	while (st == PEND_OK && n++ < 100)
		st = pend_complete(&s->e, top.ctx, PEND_VERDICT_CONTINUE, 0);
	ck_assert_int_eq(st, PEND_E_LOOP);
	ck_assert_int_eq(n, 17);
	ck_assert_int_eq(top.calls, 17);
	sim_round(s);
	ck_assert(sim_dropped(s, id));
	ck_assert_int_eq(sim_stats(s).loops, 1);
	ck_assert_int_eq(s->last[PEND_EVENT_COMPLETED].info.reason, PEND_CODE_LOOP);
	ck_assert_int_eq(s->e.callout[0].live, 0);
}
END_TEST

START_TEST(R29_continue_sees_the_policy_above)
{
	uint32_t id;
	struct sim_callout above;

	sim_callout(s, &above, 200, DO_CONTINUE);
	id = sim_syn(s, 4000, 1);
	above.pass = DO_BLOCK;
	top.first = DO_PERMIT;
	ck_assert_int_eq(pend_complete(&s->e, top.ctx, PEND_VERDICT_CONTINUE, 0), PEND_OK);
	sim_round(s);
	ck_assert(sim_dropped(s, id));
	ck_assert_int_eq(above.passes, 1);
	ck_assert_int_eq(pend_callout_unregister(&s->e, above.id, false), PEND_OK);
}
END_TEST

START_TEST(R29_continue_without_an_opinion_is_the_default)
{
	uint32_t id = sim_syn(s, 4000, 1);

	s->trace = false;
	s->e.cfg.default_action = PEND_ACTION_PERMIT;
	top.first = DO_CONTINUE;
	pend_complete(&s->e, top.ctx, PEND_VERDICT_CONTINUE, 0);
	sim_round(s);
	ck_assert(sim_accepted(s, id));
}
END_TEST

START_TEST(T7_pass_neither_asks_again_nor_blocks_by_default)
{
	uint32_t id = sim_syn(s, 4000, 1);

	ck_assert_int_eq(s->e.cfg.default_action, PEND_ACTION_BLOCK);
	sim_complete(s, top.ctx, PEND_VERDICT_PERMIT);
	sim_round(s);
	ck_assert_int_eq(top.calls, 1);
	ck_assert(sim_accepted(s, id));
}
END_TEST

START_TEST(T9_rights_identical_in_both_passes)
{
	struct sim_callout above, middle;
	uint32_t first, id;

	sim_callout(s, &above, 200, DO_PERMIT);
	sim_callout(s, &middle, 50, DO_HARD_PERMIT);
	above.pass = DO_PERMIT;
	middle.pass = DO_HARD_PERMIT;
	sim_callout(s, &low, 10, DO_CONTINUE);
	top.first = DO_CONTINUE;
	sim_syn(s, 4000, 1);
	first = low.rights;
	ck_assert_int_eq(first & PEND_RIGHT_ACTION_WRITE, 0);
	top.first = DO_PEND;
	id = sim_syn(s, 4001, 1);
	ck_assert_int_eq(above.rights & top.rights & PEND_RIGHT_ACTION_WRITE,
			 PEND_RIGHT_ACTION_WRITE);
	above.rights = top.rights = low.rights = 0;
	sim_complete(s, top.ctx, PEND_VERDICT_PERMIT);
	ck_assert_int_eq(above.rights & PEND_RIGHT_ACTION_WRITE, PEND_RIGHT_ACTION_WRITE);
	ck_assert_int_eq(top.rights & PEND_RIGHT_ACTION_WRITE, PEND_RIGHT_ACTION_WRITE);
	ck_assert_int_eq(low.rights, first);
	sim_round(s);
	ck_assert(sim_accepted(s, id));
}
END_TEST

START_TEST(T14_second_callout_blocks_udp_after_first_permits)
{
	uint32_t id[3];

	sim_callout(s, &low, 50, DO_BLOCK);
	for (uint8_t i = 0; i < 3; i++)
		id[i] = sim_udp(s, 4000, i);
	sim_complete(s, top.ctx, PEND_VERDICT_PERMIT);
	sim_round(s);
	for (int i = 0; i < 3; i++)
		ck_assert(sim_dropped(s, id[i]));
	ck_assert_int_eq(s->deliveries, 0);
	ck_assert(sim_dropped(s, sim_udp(s, 4000, 9)));
}
END_TEST

START_TEST(T19_deny_scoped_to_tuple_and_attempt)
{
	struct sim_tuple t = sim_peer(4000);

	sim_syn(s, 4000, 1);
	sim_complete(s, top.ctx, PEND_VERDICT_BLOCK);
	sim_round(s);
	ck_assert(sim_dropped(s, sim_syn(s, 4000, 1)));
	ck_assert_int_eq(top.calls, 1);
	t.dport = 23; /* another port */
	ck_assert(sim_undecided(s, sim_send(s, SIM_SYN, &t, 1)));
	ck_assert(sim_undecided(s, sim_syn(s, 4001, 1))); /* another source port */
	ck_assert(sim_undecided(s, sim_syn(s, 4000, 2))); /* another attempt */
	ck_assert_int_eq(top.calls, 4);
}
END_TEST

Suite *suite(void)
{
	Suite *su = suite_create("engine: completing");
	TCase *tc = tcase_create("complete");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, R20_deadline);
	tcase_add_test(tc, R20_deadline_permits_where_asked_to);
	tcase_add_test(tc, T32_each_its_own_deadline);
	tcase_add_test(tc, T22_storm_after_suspend);
	tcase_add_test(tc, R21_new_policy_seen_by_completion_pass);
	tcase_add_test(tc, R21_new_callout_seen_by_completion_pass);
	tcase_add_test(tc, T7_a_permit_waits_for_who_cannot_tell_yet);
	tcase_add_test(tc, T7_who_never_tells_is_asked_anew);
	tcase_add_test(tc, T7_who_tells_a_block_means_it);
	tcase_add_test(tc, R20_a_deadline_that_permits_waits_too);
	tcase_add_test(tc, R18_a_callout_below_cannot_tell_yet);
	tcase_add_test(tc, R22_complete_operation_without_packet);
	tcase_add_test(tc, R22_complete_operation_with_clone);
	tcase_add_test(tc, R23_codes);
	tcase_add_test(tc, R24_every_context_one_terminal_state);
	tcase_add_test(tc, R26_completed_is_said_when_the_kernel_has_answered);
	tcase_add_test(tc, R25_decision_is_there_before_the_pass);
	tcase_add_test(tc, R27_completion_pass_blocks);
	tcase_add_test(tc, R28_hold_buffer_lost_is_flushed_never_permitted);
	tcase_add_test(tc, R28_timeout_lost);
	tcase_add_test(tc, R28_retransmission_reattaches);
	tcase_add_test(tc, R28_loss_of_an_old_copy_says_nothing_of_the_new_one);
	tcase_add_test(tc, R28_unanswered_barrier_is_not_permitted);
	tcase_add_test(tc, R28_an_acknowledgement_says_nothing_of_the_one_before);
	tcase_add_test(tc, R28_an_acknowledgement_of_nothing_settles_nothing);
	tcase_add_test(tc, R29_continue_capped);
	tcase_add_test(tc, R29_continue_sees_the_policy_above);
	tcase_add_test(tc, R29_continue_without_an_opinion_is_the_default);
	tcase_add_test(tc, T7_pass_neither_asks_again_nor_blocks_by_default);
	tcase_add_test(tc, T9_rights_identical_in_both_passes);
	tcase_add_test(tc, T14_second_callout_blocks_udp_after_first_permits);
	tcase_add_test(tc, T19_deny_scoped_to_tuple_and_attempt);
	suite_add_tcase(su, tc);
	return su;
}
