/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What becomes of the packets: rules R43 to R53 of docs/semantics.md, hold and absorb, refusals. */
#include "tests/unit/engine_pends.h"
#include <string.h>

START_TEST(R43_fifo)
{
	uint32_t id[5];

	for (uint8_t i = 0; i < 5; i++)
		id[i] = sim_udp(s, 4000, i);
	ck_assert_int_eq(top.calls, 1);
	sim_complete(s, top.ctx, PEND_VERDICT_PERMIT);
	sim_round(s);
	ck_assert_int_eq(s->deliveries, 5);
	for (int i = 0; i < 5; i++)
		ck_assert_int_eq(s->delivered[i], id[i]);
}
END_TEST

START_TEST(R43_fifo_of_copies)
{
	top.opt.mode = PEND_MODE_ABSORB;
	for (uint8_t i = 0; i < 5; i++)
		ck_assert(sim_dropped(s, sim_udp(s, 4000, (uint8_t)(i * 8))));
	sim_complete(s, top.ctx, PEND_VERDICT_PERMIT);
	sim_feed(s);
	ck_assert_int_eq(s->deliveries, 5);
	for (uint32_t i = 0; i < 5; i++) /* the last byte of each: fill + 3 */
		ck_assert_int_eq(s->ledger[s->delivered[i] - 1].last_byte, i * 8 + 3);
	ck_assert_int_eq(ended(PEND_STATE_PERMITTED), 1);
	ck_assert_int_eq(sim_stats(s).injected, 5);
	ck_assert_int_eq(top.calls, 1);
}
END_TEST

/* Ours come to the queue like any other's, and are lost there like them (R26, R28, T21). */
START_TEST(R26_a_lost_copy_is_not_permitted)
{
	uint32_t before;

	top.opt.mode = PEND_MODE_ABSORB;
	sim_syn(s, 4000, 100);
	before = s->packets;
	sim_complete(s, top.ctx, PEND_VERDICT_PERMIT);
	sim_arrive(s);
	ck_assert_uint_eq(s->packets, before + 1);
	ck_assert_uint_eq(ended(PEND_STATE_PERMITTED), 0); /* the verdict is not even sent */
	sim_lose(s, s->packets);
	sim_round(s);
	ck_assert_uint_eq(ended(PEND_STATE_PERMITTED), 0);
	ck_assert_uint_eq(ended(PEND_STATE_FLUSHED), 1);
	ck_assert(sim_accepted(s, sim_syn(s, 4000, 100)));
}
END_TEST

START_TEST(R26_some_of_the_copies_do_not_come_back)
{
	top.opt.mode = PEND_MODE_ABSORB;
	for (uint8_t i = 0; i < 3; i++)
		sim_udp(s, 4000, i);
	sim_complete(s, top.ctx, PEND_VERDICT_PERMIT);
	free(s->injected[--s->injections].data);
	sim_feed(s);
	ck_assert_uint_eq(s->deliveries, 2);
	ck_assert_uint_eq(ended(PEND_STATE_PERMITTED), 0); /* one is on its way yet */
	sim_wait(s, 1100);
	ck_assert_uint_eq(ended(PEND_STATE_PERMITTED), 1);
}
END_TEST

/* What the peer sends meanwhile is let in, and is no copy that came back. */
START_TEST(R26_the_peers_own_packet_is_no_copy)
{
	uint32_t id;

	top.opt.mode = PEND_MODE_ABSORB;
	sim_udp(s, 4000, 1);
	sim_complete(s, top.ctx, PEND_VERDICT_PERMIT);
	id = sim_udp(s, 4000, 2);
	ck_assert(sim_accepted(s, id));
	free(s->injected[--s->injections].data); /* dropped on lo */
	sim_round(s);
	ck_assert_int_eq(sim_state(s, top.ctx), PEND_STATE_COMPLETING);
	sim_wait(s, 1100);
	ck_assert_uint_eq(ended(PEND_STATE_PERMITTED), 0);
	ck_assert_uint_eq(ended(PEND_STATE_FLUSHED), 1);
	/* Nor does it count as one where the copy comes, and the kernel has lost it. */
	sim_syn(s, 4001, 100);
	sim_complete(s, top.ctx, PEND_VERDICT_PERMIT);
	ck_assert(sim_accepted(s, sim_syn(s, 4001, 100)));
	sim_arrive(s);
	sim_lose(s, s->packets);
	sim_round(s);
	ck_assert_uint_eq(ended(PEND_STATE_PERMITTED), 0);
	ck_assert_uint_eq(ended(PEND_STATE_FLUSHED), 2);
}
END_TEST

START_TEST(R45_udp_flush_leaves_an_entry)
{
	uint32_t a, b;

	top.opt.release = PEND_RELEASE_FLUSH;
	a = sim_udp(s, 4000, 1);
	sim_complete(s, top.ctx, PEND_VERDICT_PERMIT);
	sim_round(s);
	ck_assert(sim_dropped(s, a)); /* there is no retransmission: it is lost, as documented */
	b = sim_udp(s, 4000, 2);
	ck_assert(sim_accepted(s, b));
	ck_assert_int_eq(ended(PEND_STATE_FLUSHED), 1);
}
END_TEST

START_TEST(R46_later_datagrams_pass_unclassified)
{
	uint32_t id;

	sim_udp(s, 4000, 1);
	sim_complete(s, top.ctx, PEND_VERDICT_PERMIT);
	sim_round(s);
	for (int i = 0; i < 10; i++) {
		id = sim_udp(s, 4000, 2);
		ck_assert(sim_accepted(s, id));
		sim_wait(s, 1000);
	}
	ck_assert_int_eq(top.calls, 1);
}
END_TEST

START_TEST(T15_many_udp_pends_with_buffer_lose_nothing)
{
	unsigned n = 0;

	for (unsigned i = 0; i < 3000; i++) {
		sim_udp(s, (uint16_t)(1000 + i), (uint8_t)i);
		sim_udp(s, (uint16_t)(1000 + i), (uint8_t)(i + 1));
		sim_complete(s, top.ctx, PEND_VERDICT_PERMIT);
		n += 2;
		if (i % 64 == 0)
			sim_wait(s, 2000);
	}
	sim_round(s);
	ck_assert_int_eq(s->deliveries, n);
}
END_TEST

START_TEST(R45_echo_request)
{
	struct sim_tuple t = sim_peer(77);
	uint32_t id = sim_send(s, SIM_ECHO, &t, 0);

	ck_assert(sim_undecided(s, id));
	ck_assert_int_eq(top.values.icmp_type, 8);
	sim_complete(s, top.ctx, PEND_VERDICT_PERMIT);
	sim_round(s);
	ck_assert(sim_accepted(s, id));
	t.sport = 78; /* another identifier: another flow */
	ck_assert(sim_undecided(s, sim_send(s, SIM_ECHO, &t, 0)));
	t.family = 6;
	ck_assert(sim_undecided(s, sim_send(s, SIM_ECHO, &t, 0)));
	ck_assert_int_eq(top.values.icmp_type, 128);
}
END_TEST

START_TEST(R51_flush_and_buffer)
{
	uint32_t a, b;

	top.opt.release = PEND_RELEASE_FLUSH;
	a = sim_syn(s, 4000, 1);
	sim_complete(s, top.ctx, PEND_VERDICT_PERMIT);
	sim_round(s);
	ck_assert(sim_dropped(s, a));
	ck_assert_int_eq(ended(PEND_STATE_FLUSHED), 1);
	sim_wait(s, 1000);
	b = sim_syn(s, 4000, 1);
	ck_assert(sim_accepted(s, b));
	ck_assert_int_eq(s->ledger[b - 1].verdict, ENGINE_ACCEPT);
	top.opt.release = PEND_RELEASE_BUFFER;
	a = sim_syn(s, 4001, 1);
	sim_complete(s, top.ctx, PEND_VERDICT_PERMIT);
	sim_round(s);
	ck_assert(sim_accepted(s, a));
	ck_assert_int_eq(ended(PEND_STATE_PERMITTED), 1);
	ck_assert_int_eq(top.calls, 2);
}
END_TEST

START_TEST(R51_authorization_lasts_for_the_next_retransmission)
{
	top.opt.release = PEND_RELEASE_FLUSH;
	sim_syn(s, 4000, 1);
	sim_wait(s, 20000); /* the peer's next one comes within about as long again */
	sim_complete(s, top.ctx, PEND_VERDICT_PERMIT);
	sim_wait(s, 40000);
	ck_assert(sim_accepted(s, sim_syn(s, 4000, 1)));
	ck_assert_int_eq(top.calls, 1);
	sim_wait(s, 200000); /* not for ever */
	ck_assert(sim_undecided(s, sim_syn(s, 4000, 1)));
	ck_assert_int_eq(top.calls, 2);
}
END_TEST

/* Copies before this one were lost: the context is young, the peer's retry interval is 64 s. */
START_TEST(R51_authorization_outlasts_a_lossy_link)
{
	top.opt.release = PEND_RELEASE_FLUSH;
	sim_syn(s, 4000, 1);
	sim_complete(s, top.ctx, PEND_VERDICT_PERMIT);
	sim_wait(s, 64500);
	ck_assert(sim_accepted(s, sim_syn(s, 4000, 1)));
	ck_assert_int_eq(top.calls, 1);
	sim_syn(s, 4001, 1);
	sim_complete(s, top.ctx, PEND_VERDICT_BLOCK);
	sim_wait(s, 60000); /* a refusal is not kept for that long */
	ck_assert(sim_undecided(s, sim_syn(s, 4001, 1)));
}
END_TEST

START_TEST(R52_caps)
{
	uint32_t id[70];

	s->e.table.limits.packets = 8;
	for (unsigned i = 0; i < 20; i++)
		id[i] = sim_udp(s, 4000, (uint8_t)i);
	for (unsigned i = 0; i < 8; i++)
		ck_assert(sim_undecided(s, id[i]));
	for (unsigned i = 8; i < 20; i++) /* the newest gives way */
		ck_assert(sim_dropped(s, id[i]));
	ck_assert_int_eq(sim_stats(s).limit_packets, 12);
	top.opt.mode = PEND_MODE_ABSORB;
	s->e.table.limits.bytes = 100;
	for (unsigned i = 0; i < 20; i++)
		sim_udp(s, 4001, (uint8_t)i);
	ck_assert_int_eq(sim_stats(s).copied_bytes, 96); /* three of 32 */
	ck_assert_int_eq(sim_stats(s).limit_bytes, 17);
	sim_complete(s, top.ctx, PEND_VERDICT_PERMIT);
	sim_feed(s);
	ck_assert_int_eq(s->deliveries, 3);
	ck_assert_int_eq(sim_stats(s).copied_bytes, 0);
}
END_TEST

START_TEST(R53_no_half_state)
{
	uint32_t id;

	/* Blocked, timed out and lost: no authorization. */
	sim_syn(s, 4000, 1);
	sim_complete(s, top.ctx, PEND_VERDICT_BLOCK);
	ck_assert(!sim_accepted(s, sim_syn(s, 4000, 1)));
	top.opt.timeout_ns = MONO_NS_PER_S;
	sim_syn(s, 4001, 1);
	sim_wait(s, 1100);
	ck_assert(!sim_accepted(s, sim_syn(s, 4001, 1)));
	id = sim_syn(s, 4002, 1);
	sim_lose(s, id);
	sim_wait(s, 1100);
	ck_assert_int_eq(ended(PEND_STATE_LOST), 1);
	ck_assert(!sim_accepted(s, sim_syn(s, 4002, 1)));
	/* Permitted to one attempt, no other. */
	top.opt.release = PEND_RELEASE_FLUSH;
	sim_syn(s, 4003, 1);
	sim_complete(s, top.ctx, PEND_VERDICT_PERMIT);
	ck_assert(!sim_accepted(s, sim_syn(s, 4003, 2)));
	ck_assert_int_eq(s->deliveries, 0);
}
END_TEST

START_TEST(spill_from_hold_to_absorb)
{
	struct pend_info info;
	pend_context ctx[8];

	s->e.cfg.hold_max = 4;
	for (unsigned i = 0; i < 8; i++) {
		sim_syn(s, (uint16_t)(4000 + i), 1);
		ctx[i] = top.ctx;
	}
	for (unsigned i = 0; i < 8; i++) {
		ck_assert_int_eq(pend_context_info(&s->e, ctx[i], &info), PEND_OK);
		ck_assert_int_eq(info.mode, i < 4 ? PEND_MODE_HOLD : PEND_MODE_ABSORB);
	}
	ck_assert_int_eq(sim_stats(s).held, 4);
	ck_assert_int_eq(sim_stats(s).held_peak, 4);
	for (unsigned i = 0; i < 8; i++)
		sim_complete(s, ctx[i], PEND_VERDICT_PERMIT);
	sim_round(s);
	sim_feed(s);
	ck_assert_int_eq(s->deliveries, 8);
	ck_assert_int_eq(ended(PEND_STATE_PERMITTED), 8);
}
END_TEST

START_TEST(absorb_buffer_reinjects)
{
	uint32_t id;

	top.opt.mode = PEND_MODE_ABSORB;
	id = sim_syn(s, 4000, 1);
	sim_round(s);
	ck_assert(sim_dropped(s, id));
	ck_assert_int_eq(sim_stats(s).copied_bytes, 40);
	sim_complete(s, top.ctx, PEND_VERDICT_PERMIT);
	ck_assert_int_eq(s->injections, 1);
	ck_assert_int_eq(sim_state(s, top.ctx), PEND_STATE_COMPLETING);
	sim_feed(s);
	ck_assert_int_eq(ended(PEND_STATE_PERMITTED), 1);
	ck_assert_int_eq(s->deliveries, 1);
	ck_assert_int_eq(top.calls, 1); /* our own copy is no question (R39) */
}
END_TEST

START_TEST(absorb_buffer_never_returns)
{
	top.opt.mode = PEND_MODE_ABSORB;
	sim_syn(s, 4000, 1);
	sim_complete(s, top.ctx, PEND_VERDICT_PERMIT);
	sim_wait(s, 1100);
	ck_assert_int_eq(ended(PEND_STATE_PERMITTED), 0);
	ck_assert_int_eq(ended(PEND_STATE_FLUSHED), 1);
	ck_assert(sim_accepted(s, sim_syn(s, 4000, 1)));
	/* Or cannot be sent at all. */
	s->inject_fails = true;
	sim_syn(s, 4001, 1);
	sim_complete(s, top.ctx, PEND_VERDICT_PERMIT);
	ck_assert_int_eq(ended(PEND_STATE_FLUSHED), 2);
	ck_assert_int_eq(sim_stats(s).inject_failed, 1);
}
END_TEST

/* A packet that the tag chain says was translated. */
static uint32_t send_dnat_to(uint8_t hook, enum sim_kind kind, uint16_t sport, uint32_t isn)
{
	struct sim_tuple t = sim_peer(sport);
	struct engine_input in = {.iif = 2, .hook = hook};
	uint8_t buf[256];

	in.mark = mark_bits(&s->e.marks, mark_value_dnat()) | 5;
	in.len = in.total = sim_make(buf, kind, &t, isn, 4, 0);
	in.data = buf;
	return sim_input(s, &in);
}

static uint32_t send_dnat(enum sim_kind kind, uint16_t sport, uint32_t isn)
{
	return send_dnat_to(1, kind, sport, isn);
}

START_TEST(dnat_absorbed_ends_flushed)
{
	struct pend_info info;

	top.opt.mode = PEND_MODE_ABSORB;
	ck_assert(sim_dropped(s, send_dnat(SIM_SYN, 4000, 1)));
	ck_assert(sim_dropped(s, send_dnat(SIM_SYN, 4000, 1)));
	ck_assert_int_eq(sim_stats(s).copied_bytes, 0);
	ck_assert_int_eq(pend_context_info(&s->e, top.ctx, &info), PEND_OK);
	ck_assert_int_eq(info.release, PEND_RELEASE_FLUSH);
	ck_assert_uint_eq(info.mark, 5); /* the host's bits, not ours */
	sim_complete(s, top.ctx, PEND_VERDICT_PERMIT);
	sim_feed(s);
	ck_assert_int_eq(s->injections, 0);
	ck_assert_int_eq(sim_stats(s).injected, 0);
	ck_assert_int_eq(sim_stats(s).inject_failed, 0);
	ck_assert_int_eq(ended(PEND_STATE_FLUSHED), 1);
	ck_assert_int_eq(ended(PEND_STATE_PERMITTED), 0);
	ck_assert(sim_accepted(s, send_dnat(SIM_SYN, 4000, 1)));
	ck_assert_int_eq(top.calls, 1);
	/* Datagrams likewise. */
	ck_assert(sim_dropped(s, send_dnat(SIM_UDP, 4001, 0)));
	sim_complete(s, top.ctx, PEND_VERDICT_PERMIT);
	ck_assert_int_eq(ended(PEND_STATE_FLUSHED), 2);
	ck_assert(sim_accepted(s, send_dnat(SIM_UDP, 4001, 0)));
}
END_TEST

/* The host's rules changed while it waited: copies from before are not sent. */
START_TEST(dnat_begins_while_absorbed)
{
	top.opt.mode = PEND_MODE_ABSORB;
	sim_udp(s, 4000, 1);
	ck_assert_int_ne(sim_stats(s).copied_bytes, 0);
	send_dnat(SIM_UDP, 4000, 0);
	sim_complete(s, top.ctx, PEND_VERDICT_PERMIT);
	ck_assert_int_eq(s->injections, 0);
	ck_assert_int_eq(sim_stats(s).copied_bytes, 0);
	ck_assert_int_eq(ended(PEND_STATE_FLUSHED), 1);
}
END_TEST

START_TEST(dnat_is_pended_again_without_a_copy)
{
	static struct sim_callout low;

	top.opt.mode = PEND_MODE_ABSORB;
	sim_callout(s, &low, 50, DO_PEND);
	send_dnat(SIM_SYN, 4000, 1);
	sim_complete(s, top.ctx, PEND_VERDICT_PERMIT);
	ck_assert_int_eq(low.calls, 1);
	send_dnat(SIM_SYN, 4000, 1);
	ck_assert_int_eq(sim_stats(s).copied_bytes, 0);
	sim_complete(s, low.ctx, PEND_VERDICT_PERMIT);
	ck_assert_int_eq(s->injections, 0);
	ck_assert_int_eq(ended(PEND_STATE_FLUSHED), 1);
}
END_TEST

START_TEST(dnat_held_is_let_in)
{
	uint32_t id = send_dnat(SIM_SYN, 4000, 1);

	sim_complete(s, top.ctx, PEND_VERDICT_PERMIT);
	sim_round(s);
	ck_assert(sim_accepted(s, id));
	ck_assert_int_eq(ended(PEND_STATE_PERMITTED), 1);
}
END_TEST

/* Above hold_max it is still held, until the kernel's queue has little room left. */
START_TEST(dnat_is_held_above_hold_max)
{
	const uint32_t most = 80 - 80 / 8 - 1;
	struct pend_info info;

	s->e.cfg.hold_max = 4;
	s->e.cfg.kernel_queue = 80;
	for (uint32_t i = 0; i < 80; i++) {
		send_dnat(SIM_SYN, (uint16_t)(4000 + i), 1);
		ck_assert_int_eq(pend_context_info(&s->e, top.ctx, &info), PEND_OK);
		ck_assert_int_eq(info.mode, i < most ? PEND_MODE_HOLD : PEND_MODE_ABSORB);
	}
	ck_assert_uint_eq(sim_stats(s).held, most);
	sim_syn(s, 5000, 1);
	ck_assert_int_eq(pend_context_info(&s->e, top.ctx, &info), PEND_OK);
	ck_assert_int_eq(info.mode, PEND_MODE_ABSORB);
	/* A queue shorter than hold_max bounds it, too. */
	s->e.cfg.hold_max = 100;
	s->e.cfg.kernel_queue = 1;
	send_dnat(SIM_SYN, 5001, 1);
	ck_assert_int_eq(pend_context_info(&s->e, top.ctx, &info), PEND_OK);
	ck_assert_int_eq(info.mode, PEND_MODE_ABSORB);
}
END_TEST

START_TEST(absorb_flush_keeps_nothing)
{
	top.opt.mode = PEND_MODE_ABSORB;
	top.opt.release = PEND_RELEASE_FLUSH;
	ck_assert(sim_dropped(s, sim_syn(s, 4000, 1)));
	ck_assert_int_eq(sim_stats(s).copied_bytes, 0);
	ck_assert(sim_dropped(s, sim_syn(s, 4000, 1)));
	ck_assert_int_eq(sim_stats(s).retransmits, 1);
	sim_complete(s, top.ctx, PEND_VERDICT_PERMIT);
	ck_assert(sim_accepted(s, sim_syn(s, 4000, 1)));
}
END_TEST

START_TEST(T18_block_with_reset_answers_the_held_packet)
{
	uint32_t id = sim_syn(s, 4000, 1);

	ck_assert_int_eq(pend_complete_block(&s->e, top.ctx, PEND_BLOCK_RESET, 5), PEND_OK);
	ck_assert_int_eq(s->ledger[id - 1].verdict, ENGINE_RESET);
	sim_round(s);
	ck_assert_int_eq(s->resets, 1);
	ck_assert_int_eq(s->answers, 0);
	id = sim_syn(s, 4000, 1); /* a late copy is refused in the same way */
	ck_assert_int_eq(s->ledger[id - 1].verdict, ENGINE_RESET);
	id = sim_udp(s, 4000, 1);
	pend_complete_block(&s->e, top.ctx, PEND_BLOCK_UNREACHABLE, 5);
	ck_assert_int_eq(s->ledger[id - 1].verdict, ENGINE_UNREACH);
}
END_TEST

static void check_reset(uint32_t isn)
{
	struct packet p;

	ck_assert_int_eq(packet_parse(&p, s->answer, s->answer_len), PACKET_OK);
	ck_assert_int_eq(p.kind, PACKET_TCP_RST);
	ck_assert_int_eq(p.ack, isn + 1);
	ck_assert_int_eq(p.flow.sport, 22);
}

START_TEST(block_with_reset_forged_when_absorbed)
{
	top.opt.mode = PEND_MODE_ABSORB;
	sim_syn(s, 4000, 77);
	pend_complete_block(&s->e, top.ctx, PEND_BLOCK_RESET, 5);
	sim_round(s);
	ck_assert_int_eq(s->answers, 1);
	ck_assert_int_eq(sim_stats(s).answers_forged, 1);
	check_reset(77);
	/* Rules that cannot reject: forged as well. */
	top.opt.mode = PEND_MODE_HOLD;
	s->e.cfg.can_reject = false;
	ck_assert(sim_undecided(s, sim_syn(s, 4001, 99)));
	pend_complete_block(&s->e, top.ctx, PEND_BLOCK_RESET, 5);
	sim_round(s);
	ck_assert_int_eq(s->answers, 2);
	check_reset(99);
	ck_assert_int_eq(s->resets, 0);
}
END_TEST

START_TEST(block_with_reset_forged_when_lost)
{
	uint32_t id = sim_syn(s, 4000, 5), again;

	sim_lose(s, id);
	again = sim_syn(s, 4000, 5);
	sim_lose(s, again);
	pend_complete_block(&s->e, top.ctx, PEND_BLOCK_RESET, 5);
	sim_round(s);
	ck_assert_int_eq(s->resets, 0);
	ck_assert_int_eq(s->answers, 1); /* once, for two packets lost */
	check_reset(5);
	ck_assert_int_eq(ended(PEND_STATE_BLOCKED), 1);
}
END_TEST

START_TEST(R44_established_and_closed_are_seen)
{
	s->e.cfg.track_established = true;
	s->track = TRACK_ESTABLISHED;
	sim_syn(s, 4000, 1);
	sim_complete(s, top.ctx, PEND_VERDICT_PERMIT);
	sim_round(s);
	sim_wait(s, 400);
	ck_assert_int_eq(s->events[PEND_EVENT_ESTABLISHED], 1);
	ck_assert_int_eq(sim_stats(s).established, 1);
	s->track = TRACK_CLOSED;
	sim_syn(s, 4001, 1);
	sim_complete(s, top.ctx, PEND_VERDICT_PERMIT);
	sim_round(s);
	sim_wait(s, 400);
	ck_assert_int_eq(s->events[PEND_EVENT_CLOSED], 1);
	s->track = TRACK_UNKNOWN;
	sim_syn(s, 4002, 1);
	sim_complete(s, top.ctx, PEND_VERDICT_PERMIT);
	sim_round(s);
	sim_wait(s, 10000);
	ck_assert_int_eq(s->tracks, 3);
	/* Bounded: look-ups a second. */
	s->tracks = 0;
	s->track = TRACK_OPENING;
	for (unsigned i = 0; i < 900; i++) {
		sim_syn(s, (uint16_t)(5000 + i), 1);
		sim_complete(s, top.ctx, PEND_VERDICT_PERMIT);
	}
	sim_round(s);
	sim_wait(s, 310);
	ck_assert_int_eq(s->tracks, 500);
}
END_TEST

/* Conntrack finds no flow whose destination and source are both translated. */
START_TEST(R44_not_found_is_not_closed_where_it_cannot_be_found)
{
	s->e.cfg.track_established = true;
	s->track = TRACK_NONE;
	send_dnat_to(2, SIM_SYN, 4000, 1);
	sim_complete(s, top.ctx, PEND_VERDICT_PERMIT);
	sim_round(s);
	sim_wait(s, 400);
	ck_assert_int_eq(s->tracks, 1);
	ck_assert_int_eq(s->events[PEND_EVENT_CLOSED], 0);
	send_dnat(SIM_SYN, 4001, 1);
	sim_complete(s, top.ctx, PEND_VERDICT_PERMIT);
	sim_round(s);
	sim_wait(s, 400);
	ck_assert_int_eq(s->events[PEND_EVENT_CLOSED], 1);
	ck_assert_int_eq(sim_stats(s).flow_closed, 1);
}
END_TEST

Suite *suite(void)
{
	Suite *su = suite_create("engine: packets");
	TCase *tc = tcase_create("release");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, R43_fifo);
	tcase_add_test(tc, R43_fifo_of_copies);
	tcase_add_test(tc, R26_a_lost_copy_is_not_permitted);
	tcase_add_test(tc, R26_some_of_the_copies_do_not_come_back);
	tcase_add_test(tc, R26_the_peers_own_packet_is_no_copy);
	tcase_add_test(tc, R45_udp_flush_leaves_an_entry);
	tcase_add_test(tc, R46_later_datagrams_pass_unclassified);
	tcase_add_test(tc, T15_many_udp_pends_with_buffer_lose_nothing);
	tcase_add_test(tc, R45_echo_request);
	tcase_add_test(tc, R51_flush_and_buffer);
	tcase_add_test(tc, R51_authorization_lasts_for_the_next_retransmission);
	tcase_add_test(tc, R51_authorization_outlasts_a_lossy_link);
	tcase_add_test(tc, R52_caps);
	tcase_add_test(tc, R53_no_half_state);
	tcase_add_test(tc, spill_from_hold_to_absorb);
	tcase_add_test(tc, absorb_buffer_reinjects);
	tcase_add_test(tc, absorb_buffer_never_returns);
	tcase_add_test(tc, dnat_absorbed_ends_flushed);
	tcase_add_test(tc, dnat_begins_while_absorbed);
	tcase_add_test(tc, dnat_is_pended_again_without_a_copy);
	tcase_add_test(tc, dnat_held_is_let_in);
	tcase_add_test(tc, dnat_is_held_above_hold_max);
	tcase_add_test(tc, absorb_flush_keeps_nothing);
	tcase_add_test(tc, T18_block_with_reset_answers_the_held_packet);
	tcase_add_test(tc, block_with_reset_forged_when_absorbed);
	tcase_add_test(tc, block_with_reset_forged_when_lost);
	tcase_add_test(tc, R44_established_and_closed_are_seen);
	tcase_add_test(tc, R44_not_found_is_not_closed_where_it_cannot_be_found);
	suite_add_tcase(su, tc);
	return su;
}
