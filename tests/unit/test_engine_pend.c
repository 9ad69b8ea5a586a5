/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Pending, and what happens while pended: rules R1 to R19 of docs/semantics.md, in the simulation. */
#include "tests/unit/engine_pends.h"
#include <string.h>

static struct sim_callout low;

START_TEST(T1_complete_null_garbage_stale_foreign)
{
	pend_context ctx, garbage[] = {0,
				       1,
				       7ull << 56,
				       7ull << 56 | 1,
				       7ull << 56 | 5ull << 32 | 1,
				       (7ull << 56) | 0xffffffffffffffull};

	ck_assert_int_eq(pend_complete(NULL, 1, PEND_VERDICT_PERMIT, 0), PEND_E_NULL_POINTER);
	ck_assert_int_eq(pend_complete(&s->e, 0, PEND_VERDICT_PERMIT, 0), PEND_E_NOT_FOUND);
	ck_assert_int_eq(pend_complete(&s->e, 1, PEND_VERDICT_PERMIT, 0), PEND_E_ACCESS_DENIED);
	for (size_t i = 2; i < sizeof(garbage) / sizeof(*garbage); i++)
		ck_assert_int_eq(pend_complete(&s->e, garbage[i], PEND_VERDICT_PERMIT, 0),
				 PEND_E_NOT_FOUND);
	sim_syn(s, 4000, 1);
	ctx = top.ctx;
	ck_assert_int_eq(pend_complete(&s->e, ctx ^ 1ull << 56, PEND_VERDICT_PERMIT, 0),
			 PEND_E_ACCESS_DENIED);
	ck_assert_int_eq(pend_complete(&s->e, ctx + 1, PEND_VERDICT_PERMIT, 0), PEND_E_NOT_FOUND);
	ck_assert_int_eq(pend_complete(&s->e, ctx, (enum pend_verdict)9, 0), PEND_E_INVALID);
	ck_assert_int_eq(pend_complete_block(&s->e, ctx, (enum pend_block)9, 0), PEND_E_INVALID);
	ck_assert_int_eq(sim_state(s, ctx), PEND_STATE_PENDED);
	/* Abandoned: gone at once, and the handle with it. */
	sim_syn(s, 4000, 2);
	ck_assert(top.ctx != ctx);
	ck_assert_int_eq(pend_complete(&s->e, ctx, PEND_VERDICT_PERMIT, 0), PEND_E_NOT_FOUND);
	ck_assert_int_eq(sim_state(s, top.ctx), PEND_STATE_PENDED);
}
END_TEST

static void ask_in_all_ways(struct sim_callout *c, const struct pend_values *v,
			    const struct pend_metadata *m, const struct pend_packet *p,
			    struct pend_classify_out *out)
{
	struct pend_engine *e = &c->s->e;
	struct pend_options o = c->opt, bad;
	pend_context ctx = 0;

	(void)v;
	(void)p;
	if (m->flags & PEND_META_COMPLETION)
		return;
	ck_assert_int_eq(pend_operation(NULL, m->completion, &o, &ctx), PEND_E_NULL_POINTER);
	ck_assert_int_eq(pend_operation(e, NULL, &o, &ctx), PEND_E_NULL_POINTER);
	ck_assert_int_eq(pend_operation(e, m->completion, NULL, &ctx), PEND_E_NULL_POINTER);
	ck_assert_int_eq(pend_operation(e, m->completion, &o, NULL), PEND_E_NULL_POINTER);
	bad = o;
	bad.timeout_ns = 0;
	ck_assert_int_eq(pend_operation(e, m->completion, &bad, &ctx), PEND_E_INVALID);
	bad = o;
	bad.on_timeout = PEND_VERDICT_CONTINUE;
	ck_assert_int_eq(pend_operation(e, m->completion, &bad, &ctx), PEND_E_INVALID);
	bad = o;
	bad.release = (enum pend_release)2;
	ck_assert_int_eq(pend_operation(e, m->completion, &bad, &ctx), PEND_E_INVALID);
	bad = o;
	bad.mode = (enum pend_mode)3;
	ck_assert_int_eq(pend_operation(e, m->completion, &bad, &ctx), PEND_E_INVALID);
	e->started = false;
	ck_assert_int_eq(pend_operation(e, m->completion, &o, &ctx), PEND_E_NOT_READY);
	e->started = true;
	ck_assert_int_eq(ctx, 0);
	ck_assert_int_eq(sim_stats(c->s).pending, 0);
	ck_assert_int_eq(pend_operation(e, m->completion, &o, &ctx), PEND_OK);
	ck_assert_int_eq(pend_operation(e, m->completion, &o, &ctx), PEND_E_CANNOT_PEND);
	pend_out_pended(out);
	c->ctx = ctx;
}

START_TEST(R2_arguments_and_readiness)
{
	top.hook = ask_in_all_ways;
	sim_syn(s, 4000, 1);
	ck_assert_int_eq(sim_state(s, top.ctx), PEND_STATE_PENDED);
}
END_TEST

START_TEST(T31_stale_token)
{
	pend_context ctx;

	sim_syn(s, 4000, 1);
	ck_assert_ptr_nonnull(top.handle);
	ck_assert_int_eq(pend_operation(&s->e, top.handle, &top.opt, &ctx), PEND_E_STALE);
	ck_assert_int_eq(sim_stats(s).pended, 1);
}
END_TEST

static struct pend_completion *stolen;
static enum pend_status stolen_status;

static void steal(struct sim_callout *c, const struct pend_values *v, const struct pend_metadata *m,
		  const struct pend_packet *p, struct pend_classify_out *out)
{
	pend_context ctx;

	(void)v;
	(void)p;
	(void)out;
	if (!stolen)
		stolen = m->completion;
	else
		stolen_status = pend_operation(&c->s->e, stolen, &c->opt, &ctx);
}

START_TEST(T31_token_of_another_callout)
{
	sim_callout(s, &low, 50, DO_CONTINUE);
	top.hook = low.hook = steal;
	stolen = NULL;
	stolen_status = PEND_OK;
	sim_syn(s, 4000, 1);
	ck_assert_int_eq(stolen_status, PEND_E_STALE);
	ck_assert_int_eq(sim_stats(s).pended, 0);
}
END_TEST

START_TEST(R3_cannot_pend_on_reauth)
{
	struct sim_tuple t = sim_peer(4000);
	uint32_t id = sim_send(s, SIM_ACK, &t, 5);

	ck_assert(top.meta.flags & PEND_META_REAUTHORIZE);
	ck_assert_int_eq(top.meta.reason, PEND_REASON_MID_STREAM);
	ck_assert_ptr_null(top.handle);
	ck_assert_int_eq(top.pend_status, PEND_E_CANNOT_PEND);
	ck_assert_int_eq(sim_stats(s).pended, 0);
	ck_assert(sim_dropped(s, id));
	/* Nor in a completion pass. */
	sim_syn(s, 4001, 1);
	top.pass = DO_PEND;
	ck_assert_int_eq(sim_complete(s, top.ctx, PEND_VERDICT_PERMIT), PEND_OK);
	ck_assert_ptr_null(top.handle);
	ck_assert_int_eq(top.pend_status, PEND_E_CANNOT_PEND);
	ck_assert_int_eq(sim_stats(s).pended, 1);
}
END_TEST

START_TEST(R4_dangling_pend_is_blocked)
{
	uint32_t id;

	top.first = DO_PEND_DANGLE;
	s->trace = false; /* the callout's answer looks like a permit */
	id = sim_syn(s, 4000, 1);
	sim_round(s);
	ck_assert(sim_dropped(s, id));
	ck_assert_int_eq(sim_state(s, top.ctx), PEND_STATE_BLOCKED);
	ck_assert_int_eq(sim_stats(s).dangling, 1);
	ck_assert_int_eq(s->last[PEND_EVENT_COMPLETED].info.reason, PEND_CODE_DANGLING);
}
END_TEST

static enum pend_status notify_status;

static void permit_when_pended(struct sim *sm, const struct pend_event *ev)
{
	if (ev->type == PEND_EVENT_PENDED)
		notify_status = sim_complete(sm, ev->info.context, PEND_VERDICT_PERMIT);
}

START_TEST(R4_dangling_pend_cannot_be_permitted_by_notify)
{
	uint32_t id;

	top.first = DO_PEND_DANGLE;
	s->trace = false;
	s->on_event = permit_when_pended;
	id = sim_syn(s, 4000, 1);
	sim_round(s);
	ck_assert_int_eq(notify_status, PEND_E_ALREADY);
	ck_assert(sim_dropped(s, id));
	ck_assert_int_eq(sim_stats(s).ended[PEND_STATE_BLOCKED], 1);
}
END_TEST

START_TEST(R5_pend_is_silent)
{
	uint32_t id = sim_syn(s, 4000, 1);

	ck_assert(sim_undecided(s, id));
	ck_assert_int_eq(sim_stats(s).blocked_direct, 0);
	ck_assert_int_eq(s->logged, 1);
	ck_assert_int_eq(s->log[0].type, PEND_EVENT_PENDED);
}
END_TEST

START_TEST(R7_no_right_no_pend)
{
	uint32_t id;

	sim_callout(s, &low, 50, DO_PEND);
	top.first = DO_HARD_PERMIT;
	low.hook = NULL;
	id = sim_syn(s, 4000, 1);
	ck_assert_ptr_null(low.handle);
	ck_assert_int_eq(low.rights & PEND_RIGHT_ACTION_WRITE, 0);
	ck_assert_int_eq(low.pend_status, PEND_E_CANNOT_PEND);
	ck_assert_int_eq(sim_stats(s).pended, 0);
	/* do_pend answered block: a veto. */
	ck_assert(sim_dropped(s, id));
}
END_TEST

START_TEST(R7_veto_and_rights)
{
	uint32_t id;

	sim_callout(s, &low, 50, DO_PERMIT);
	top.first = DO_BLOCK; /* final */
	id = sim_syn(s, 4000, 1);
	ck_assert(sim_dropped(s, id));
	top.first = DO_SOFT_BLOCK; /* may be changed by those below */
	id = sim_syn(s, 4001, 1);
	ck_assert(sim_accepted(s, id));
	top.first = DO_HARD_PERMIT;
	low.first = DO_BLOCK; /* a veto wins over a final permit */
	id = sim_syn(s, 4002, 1);
	ck_assert(sim_dropped(s, id));
	top.first = low.first = DO_CONTINUE; /* nobody has an opinion: the default */
	id = sim_syn(s, 4003, 1);
	ck_assert(sim_dropped(s, id));
	s->trace = false;
	s->e.cfg.default_action = PEND_ACTION_PERMIT;
	id = sim_syn(s, 4004, 1);
	ck_assert(sim_accepted(s, id));
}
END_TEST

START_TEST(R8_handles_are_unique_and_not_packet_ids)
{
	pend_context seen[200];

	for (unsigned i = 0; i < 200; i++) {
		sim_syn(s, (uint16_t)(4000 + i), i);
		seen[i] = top.ctx;
		ck_assert(seen[i] >> 56 == 7 && seen[i] != 0);
		for (unsigned j = 0; j < i; j++)
			ck_assert(seen[j] != seen[i]);
		if (i % 3 == 0)
			sim_complete(s, top.ctx, PEND_VERDICT_PERMIT);
		sim_round(s);
	}
}
END_TEST

static enum pend_state seen_state;

static void look_when_pended(struct sim *sm, const struct pend_event *ev)
{
	struct pend_info info;

	if (ev->type != PEND_EVENT_PENDED)
		return;
	ck_assert_int_eq(pend_context_info(&sm->e, ev->info.context, &info), PEND_OK);
	seen_state = info.state;
	ck_assert_int_eq(sim_complete(sm, ev->info.context, PEND_VERDICT_PERMIT), PEND_OK);
}

START_TEST(R9_context_exists_before_its_event)
{
	uint32_t id;

	s->on_event = look_when_pended;
	id = sim_syn(s, 4000, 1);
	sim_round(s);
	ck_assert_int_eq(seen_state, PEND_STATE_PENDED);
	ck_assert(sim_accepted(s, id));
	ck_assert_int_eq(sim_stats(s).ended[PEND_STATE_PERMITTED], 1);
}
END_TEST

START_TEST(R10_completion_inside_classify)
{
	uint32_t id;

	top.first = DO_PEND_EARLY;
	top.early = PEND_VERDICT_PERMIT;
	id = sim_syn(s, 4000, 1);
	ck_assert_int_eq(top.early_status, PEND_OK);
	ck_assert_int_eq(top.passes, 1);
	sim_round(s);
	ck_assert(sim_accepted(s, id));
	top.early = PEND_VERDICT_BLOCK;
	id = sim_syn(s, 4001, 1);
	sim_round(s);
	ck_assert(sim_dropped(s, id));
	ck_assert_int_eq(sim_state(s, top.ctx), PEND_STATE_BLOCKED);
	ck_assert_int_eq(sim_stats(s).ended[PEND_STATE_PERMITTED], 1);
}
END_TEST

static void complete_twice(struct sim_callout *c, const struct pend_values *v,
			   const struct pend_metadata *m, const struct pend_packet *p,
			   struct pend_classify_out *out)
{
	struct pend_info info;

	(void)v;
	(void)p;
	if (m->flags & PEND_META_COMPLETION)
		return;
	ck_assert_int_eq(pend_operation(&c->s->e, m->completion, &c->opt, &c->ctx), PEND_OK);
	pend_out_pended(out);
	ck_assert_int_eq(sim_state(c->s, c->ctx), PEND_STATE_STORED);
	ck_assert_int_eq(pend_complete(&c->s->e, c->ctx, PEND_VERDICT_BLOCK, 3), PEND_OK);
	ck_assert_int_eq(pend_complete(&c->s->e, c->ctx, PEND_VERDICT_PERMIT, 4), PEND_E_ALREADY);
	ck_assert_int_eq(pend_context_info(&c->s->e, c->ctx, &info), PEND_OK);
}

START_TEST(R10_only_the_first_completion_inside_classify_counts)
{
	uint32_t id;

	top.hook = complete_twice;
	id = sim_syn(s, 4000, 1);
	sim_round(s);
	ck_assert(sim_dropped(s, id));
	ck_assert_int_eq(s->last[PEND_EVENT_COMPLETED].info.reason, 3);
}
END_TEST

START_TEST(R13_nothing_of_a_pended_flow_passes)
{
	struct sim_tuple t = sim_peer(4000);
	uint32_t syn = sim_syn(s, 4000, 1), ack;

	ack = sim_send(s, SIM_ACK, &t, 2);
	ck_assert(sim_dropped(s, ack));
	ck_assert(sim_undecided(s, syn));
	ck_assert_int_eq(top.calls, 1);
}
END_TEST

START_TEST(R14_retransmission_joins)
{
	struct pend_info info;
	uint32_t id[4];
	pend_context ctx;

	id[0] = sim_syn(s, 4000, 1);
	ctx = top.ctx;
	for (int i = 1; i < 4; i++) {
		sim_wait(s, 1000);
		id[i] = sim_syn(s, 4000, 1);
		sim_round(s);
		ck_assert(sim_dropped(s, id[i - 1]));
		ck_assert(sim_undecided(s, id[i]));
	}
	ck_assert_int_eq(top.calls, 1);
	ck_assert_int_eq(sim_stats(s).retransmits, 3);
	ck_assert_int_eq(s->events[PEND_EVENT_RETRANSMIT], 3);
	ck_assert_int_eq(pend_context_info(&s->e, ctx, &info), PEND_OK);
	ck_assert_int_eq(info.retransmits, 3);
	ck_assert_int_eq(info.packets, 1);
	sim_complete(s, ctx, PEND_VERDICT_PERMIT);
	sim_round(s);
	ck_assert_int_eq(s->deliveries, 1);
	ck_assert_int_eq(s->delivered[0], id[3]);
}
END_TEST

START_TEST(R15_new_isn_abandons)
{
	uint32_t a = sim_syn(s, 4000, 1), b;
	pend_context first = top.ctx;

	b = sim_syn(s, 4000, 99);
	sim_round(s);
	ck_assert(sim_dropped(s, a));
	ck_assert(sim_undecided(s, b));
	ck_assert(top.ctx != first);
	ck_assert_int_eq(sim_state(s, first), PEND_STATE_FREE);
	ck_assert_int_eq(sim_stats(s).ended[PEND_STATE_ABANDONED], 1);
	ck_assert_int_eq(s->last[PEND_EVENT_COMPLETED].info.reason, PEND_CODE_PEER);
}
END_TEST

START_TEST(R15_new_isn_while_completing)
{
	uint32_t a = sim_syn(s, 4000, 1), b;

	sim_complete(s, top.ctx, PEND_VERDICT_PERMIT);
	ck_assert_int_eq(sim_state(s, top.ctx), PEND_STATE_COMPLETING);
	b = sim_syn(s, 4000, 2); /* before the kernel has answered */
	sim_round(s);
	ck_assert(sim_accepted(s, a));
	ck_assert(sim_undecided(s, b));
	ck_assert_int_eq(sim_state(s, top.ctx), PEND_STATE_PENDED);
	ck_assert_int_eq(sim_stats(s).pending, 1);
	/* Not known to have been let in: not reported so. */
	ck_assert_int_eq(sim_stats(s).ended[PEND_STATE_FLUSHED], 1);
}
END_TEST

START_TEST(R16_rst_cancels_only_with_isn_plus_1)
{
	struct sim_tuple t = sim_peer(4000);
	uint32_t syn = sim_syn(s, 4000, 77), rst;

	rst = sim_send(s, SIM_RST, &t, 77);
	ck_assert(sim_dropped(s, rst));
	ck_assert(sim_undecided(s, syn));
	rst = sim_send(s, SIM_RST, &t, 79);
	ck_assert(sim_undecided(s, syn));
	rst = sim_send(s, SIM_RST, &t, 78);
	ck_assert(sim_dropped(s, syn) && sim_dropped(s, rst));
	ck_assert_int_eq(sim_stats(s).ended[PEND_STATE_ABANDONED], 1);
	ck_assert_int_eq(top.calls, 1);
	/* Of no pended flow: the socket's business. */
	rst = sim_send(s, SIM_RST, &t, 78);
	ck_assert(sim_accepted(s, rst));
	ck_assert_int_eq(s->ledger[rst - 1].verdict, ENGINE_ACCEPT_ONCE);
}
END_TEST

START_TEST(R18_two_callouts_in_series)
{
	uint32_t id;
	pend_context first;

	sim_callout(s, &low, 50, DO_PEND);
	low.opt.tag = 99;
	low.opt.timeout_ns = 5 * MONO_NS_PER_S;
	id = sim_syn(s, 4000, 1);
	ck_assert_int_eq(top.calls, 1);
	ck_assert_int_eq(low.calls, 0);
	first = top.ctx;
	ck_assert_int_eq(sim_complete(s, first, PEND_VERDICT_PERMIT), PEND_OK);
	sim_round(s);
	ck_assert_int_eq(low.calls, 1);
	ck_assert(sim_undecided(s, id));
	ck_assert(low.ctx != first);
	ck_assert_int_eq((uint32_t)(low.ctx >> 32), (uint32_t)(first >> 32));
	ck_assert_int_eq(pend_complete(&s->e, first, PEND_VERDICT_PERMIT, 0), PEND_E_NOT_FOUND);
	ck_assert_int_eq(s->events[PEND_EVENT_PENDED], 2);
	ck_assert_int_eq(sim_stats(s).pended, 1);
	ck_assert_int_eq(s->e.callout[0].live, 0);
	ck_assert_int_eq(s->e.callout[1].live, 1);
	ck_assert_int_eq(sim_complete(s, low.ctx, PEND_VERDICT_PERMIT), PEND_OK);
	sim_round(s);
	ck_assert(sim_accepted(s, id));
	ck_assert_int_eq(s->e.callout[1].live, 0);
	ck_assert_int_eq(top.calls, 1);
	ck_assert_int_eq(low.calls, 1);
	ck_assert_int_eq(top.passes, 2);
	ck_assert_int_eq(low.passes, 1);
}
END_TEST

static struct pend_info answered;
static unsigned answers;

static void on_answered(struct sim *sm, const struct pend_event *ev)
{
	(void)sm;
	if (ev->type != PEND_EVENT_ANSWERED)
		return;
	answered = ev->info;
	answers++;
}

/* Whoever was asked hears of the handle for the last time, and what the decision was. */
/* One that follows costs the packets nothing that nobody pends. */
START_TEST(R18_who_follows_is_asked_behind_a_permit)
{
	struct pend_callout pc = {.name = "next", .layers = 3, .follows = true};

	sim_callout(s, &low, 50, DO_PEND);
	pc.classify = s->e.callout[1].c.classify;
	pc.context = &low;
	ck_assert_int_eq(pend_callout_unregister(&s->e, low.id, false), PEND_OK);
	ck_assert_int_eq(pend_callout_register(&s->e, &pc, &low.id), PEND_OK);
	top.first = DO_PERMIT;
	ck_assert(sim_accepted(s, sim_syn(s, 4000, 1)));
	ck_assert_uint_eq(low.calls, 0);
	top.first = DO_PEND;
	sim_syn(s, 4001, 1);
	ck_assert_int_eq(sim_complete(s, top.ctx, PEND_VERDICT_PERMIT), PEND_OK);
	ck_assert_uint_eq(low.calls, 1);
	ck_assert_int_eq(sim_state(s, low.ctx), PEND_STATE_PENDED);
}
END_TEST

START_TEST(R18_the_first_question_is_told_to_be_over)
{
	struct sim_tuple t = sim_peer(4000);
	struct flow f = sim_flow(SIM_SYN, &t);
	struct pend_info i;
	pend_context first;

	sim_allow(s, &f, 1);
	answers = 0;
	s->on_event = on_answered;
	top.opt.rule = 7;
	top.opt.tag = 5;
	sim_callout(s, &low, 50, DO_PEND);
	low.opt.rule = 8;
	sim_syn(s, 4000, 1);
	first = top.ctx;
	ck_assert_int_eq(pend_complete(&s->e, first, PEND_VERDICT_PERMIT, 33), PEND_OK);
	ck_assert_uint_eq(answers, 1);
	ck_assert_uint_eq(answered.context, first);
	ck_assert_uint_eq(answered.rule, 7);
	ck_assert_uint_eq(answered.tag, 5);
	ck_assert_uint_eq(answered.verdict, PEND_VERDICT_PERMIT);
	ck_assert_uint_eq(answered.reason, 33);
	ck_assert_uint_eq(answered.completed_ns, s->e.now.ns);
	/* Of the next one nothing is decided. */
	ck_assert_int_eq(pend_context_info(&s->e, low.ctx, &i), PEND_OK);
	ck_assert_uint_eq(i.rule, 8);
	ck_assert_uint_eq(i.verdict, PEND_VERDICT_BLOCK);
	ck_assert_uint_eq(i.reason, 0);
	ck_assert_uint_eq(i.completed_ns, 0);
	ck_assert_int_eq(pend_complete(&s->e, low.ctx, PEND_VERDICT_PERMIT, 34), PEND_OK);
	sim_round(s);
	ck_assert_uint_eq(answers, 1);
	ck_assert_uint_eq(s->last[PEND_EVENT_COMPLETED].info.reason, 34);
}
END_TEST

START_TEST(R18_lower_pender_after_an_early_completion)
{
	uint32_t id;

	top.first = DO_PEND_EARLY;
	top.early = PEND_VERDICT_PERMIT;
	sim_callout(s, &low, 50, DO_PEND);
	id = sim_syn(s, 4000, 1);
	ck_assert(sim_undecided(s, id));
	ck_assert_int_eq(sim_state(s, low.ctx), PEND_STATE_PENDED);
	ck_assert_int_eq(sim_complete(s, low.ctx, PEND_VERDICT_PERMIT), PEND_OK);
	sim_round(s);
	ck_assert(sim_accepted(s, id));
}
END_TEST

START_TEST(R18_lower_callout_is_asked_as_for_a_fresh_packet)
{
	sim_callout(s, &low, 50, DO_PEND);
	top.opt.tag = 5;
	sim_syn(s, 4000, 1);
	sim_complete(s, top.ctx, PEND_VERDICT_PERMIT);
	ck_assert_int_eq(low.meta.flags, 0);
	/* "By us" would tell it to let the packet go unseen (R39). */
	ck_assert_int_eq(low.meta.injection, PEND_INJECTION_NONE);
	ck_assert_int_eq(low.meta.context, 0);
	ck_assert_int_eq(low.meta.tag, 0);
}
END_TEST

START_TEST(R18_a_block_above_stands)
{
	uint32_t id;

	top.first = DO_PERMIT;
	sim_callout(s, &low, 50, DO_PEND);
	id = sim_syn(s, 4000, 1);
	top.pass = DO_BLOCK; /* the policy has changed meanwhile (R21) */
	sim_complete(s, low.ctx, PEND_VERDICT_PERMIT);
	sim_round(s);
	ck_assert(sim_dropped(s, id));
	ck_assert_int_eq(sim_stats(s).completion_blocked, 1);
}
END_TEST

START_TEST(T13_pends_in_turn_terminate)
{
	struct sim_callout more[12];
	uint32_t id;
	pend_context ctx;
	unsigned rounds = 0;

	for (unsigned i = 0; i < 12; i++)
		sim_callout(s, &more[i], 50 - i, DO_PEND);
	id = sim_syn(s, 4000, 1);
	ctx = top.ctx;
	while (sim_undecided(s, id) && rounds++ < 40) {
		pend_context next = 0;

		sim_complete(s, ctx, PEND_VERDICT_PERMIT);
		sim_round(s);
		for (unsigned i = 0; i < 12; i++)
			if (sim_state(s, more[i].ctx) == PEND_STATE_PENDED)
				next = more[i].ctx;
		ctx = next;
	}
	ck_assert(rounds < 20);
	ck_assert(sim_dropped(s, id)); /* R40: above the cap it is blocked */
	ck_assert_int_eq(sim_stats(s).loops, 1);
	ck_assert_int_eq(s->events[PEND_EVENT_LOOP], 1);
	for (unsigned i = 0; i < s->e.callouts; i++)
		ck_assert_int_eq(s->e.callout[i].live, 0);
}
END_TEST

START_TEST(T13_mutual_pend_loop_terminates)
{
	uint32_t id;
	unsigned n = 0;

	sim_callout(s, &low, 50, DO_PEND);
	id = sim_syn(s, 4000, 1);
	sim_complete(s, top.ctx, PEND_VERDICT_CONTINUE);
	ck_assert_int_eq(top.calls, 2);
	sim_complete(s, top.ctx, PEND_VERDICT_PERMIT);
	ck_assert_int_eq(low.calls, 1); /* both are consulted */
	while (sim_undecided(s, id) && n++ < 100)
		sim_complete(s, low.ctx, PEND_VERDICT_CONTINUE);
	sim_round(s);
	ck_assert(sim_dropped(s, id));
	ck_assert(n < 20);
	ck_assert_int_eq(sim_stats(s).loops, 1);
}
END_TEST

START_TEST(T20_one_syn_delivered_and_no_second_question)
{
	unsigned n = 0;

	for (int i = 0; i < 4; i++) {
		sim_syn(s, 4000, 1);
		sim_wait(s, 1000);
	}
	sim_complete(s, top.ctx, PEND_VERDICT_BLOCK);
	for (int i = 0; i < 5; i++) { /* it goes on trying: same answer, no question */
		sim_syn(s, 4000, 1);
		sim_wait(s, 2000);
	}
	ck_assert_int_eq(top.calls, 1);
	ck_assert_int_eq(s->deliveries, 0);
	ck_assert_int_eq(sim_stats(s).late_copies, 5);
	sim_syn(s, 5000, 1);
	sim_syn(s, 5000, 1);
	sim_complete(s, top.ctx, PEND_VERDICT_PERMIT);
	sim_round(s);
	n = s->deliveries;
	ck_assert_int_eq(n, 1);
	ck_assert_int_eq(top.calls, 2);
}
END_TEST

Suite *suite(void)
{
	Suite *su = suite_create("engine: pending");
	TCase *tc = tcase_create("pend");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, T1_complete_null_garbage_stale_foreign);
	tcase_add_test(tc, R2_arguments_and_readiness);
	tcase_add_test(tc, T31_stale_token);
	tcase_add_test(tc, T31_token_of_another_callout);
	tcase_add_test(tc, R3_cannot_pend_on_reauth);
	tcase_add_test(tc, R4_dangling_pend_is_blocked);
	tcase_add_test(tc, R4_dangling_pend_cannot_be_permitted_by_notify);
	tcase_add_test(tc, R5_pend_is_silent);
	tcase_add_test(tc, R7_no_right_no_pend);
	tcase_add_test(tc, R7_veto_and_rights);
	tcase_add_test(tc, R8_handles_are_unique_and_not_packet_ids);
	tcase_add_test(tc, R9_context_exists_before_its_event);
	tcase_add_test(tc, R10_completion_inside_classify);
	tcase_add_test(tc, R10_only_the_first_completion_inside_classify_counts);
	tcase_add_test(tc, R13_nothing_of_a_pended_flow_passes);
	tcase_add_test(tc, R14_retransmission_joins);
	tcase_add_test(tc, R15_new_isn_abandons);
	tcase_add_test(tc, R15_new_isn_while_completing);
	tcase_add_test(tc, R16_rst_cancels_only_with_isn_plus_1);
	tcase_add_test(tc, R18_two_callouts_in_series);
	tcase_add_test(tc, R18_who_follows_is_asked_behind_a_permit);
	tcase_add_test(tc, R18_the_first_question_is_told_to_be_over);
	tcase_add_test(tc, R18_lower_pender_after_an_early_completion);
	tcase_add_test(tc, R18_lower_callout_is_asked_as_for_a_fresh_packet);
	tcase_add_test(tc, R18_a_block_above_stands);
	tcase_add_test(tc, T13_pends_in_turn_terminate);
	tcase_add_test(tc, T13_mutual_pend_loop_terminates);
	tcase_add_test(tc, T20_one_syn_delivered_and_no_second_question);
	suite_add_tcase(su, tc);
	return su;
}
