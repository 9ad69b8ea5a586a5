/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Packets that are taken together, and contexts that are brought near before they are completed: in a table so large
 * that the engine does look ahead, the same comes of them as one after the other.
 */
#include "tests/unit/engine_sim.h"
#include "unit.h"
#include <string.h>

#define PEERS  (PCTX_LARGE + 500)
#define ROUNDS 400

struct half {
	struct sim sim;
	struct sim_callout callout;
	pend_context pended[PEERS + ROUNDS * ENGINE_BATCH];
	unsigned n;
};

static struct half together, one_by_one;

static void pended(struct sim *s, const struct pend_event *ev)
{
	struct half *h = s->arg;

	if (ev->type == PEND_EVENT_PENDED)
		h->pended[h->n++] = ev->info.context;
}

static void begin(struct half *h)
{
	h->n = 0;
	sim_config(&h->sim);
	h->sim.cfg.max_contexts = 2 * PEERS;
	h->sim.cfg.max_per_source = 0;
	h->sim.cfg.max_bytes = 64 << 20;
	sim_start(&h->sim);
	h->sim.arg = h;
	h->sim.on_event = pended;
	sim_callout(&h->sim, &h->callout, 1, DO_PEND);
	for (uint32_t i = 0; i < PEERS; i++) {
		struct sim_tuple t = {
			.family = i % 3 ? 4 : 6, .host = i, .sport = 4000, .dport = 22};

		sim_send(&h->sim, SIM_SYN, &t, i);
	}
}

static void setup(void)
{
	begin(&together);
	begin(&one_by_one);
}

static void teardown(void)
{
	sim_end(&together.sim);
	sim_end(&one_by_one.sim);
}

static uint32_t rnd(uint64_t *r, uint32_t n)
{
	return (uint32_t)(unit_rand(r) % n);
}

/* SYNs of peers that are pended and others, copies and new attempts, resets, datagrams, and what does not parse. */
static struct engine_input make(uint64_t *r, uint8_t buf[256])
{
	struct sim_tuple t = {.family = rnd(r, 2) ? 4 : 6,
			      .host = rnd(r, PEERS + 100),
			      .sport = 4000,
			      .dport = 22};
	enum sim_kind kind = (enum sim_kind)rnd(r, SIM_ECHO + 1);
	struct engine_input in = {.data = buf, .iif = 2, .hook = 1};

	if (rnd(r, 2))
		kind = SIM_SYN;
	t.family = t.host % 3 ? 4 : 6;
	in.len = sim_make(buf, kind, &t, t.host + rnd(r, 3), rnd(r, 8), 7);
	in.total = in.len;
	if (!rnd(r, 10))
		in.len = rnd(r, in.len);
	in.stamp = rnd(r, 2);
	return in;
}

static void complete_some(struct half *h, unsigned first, unsigned n, bool ahead)
{
	if (ahead)
		pend_context_prefetch(&h->sim.e, h->pended + first, n);
	for (unsigned i = first; i < first + n; i++)
		pend_complete(&h->sim.e, h->pended[i],
			      i % 3 ? PEND_VERDICT_PERMIT : PEND_VERDICT_BLOCK, 0);
	sim_round(&h->sim);
}

static void same(void)
{
	const struct sim *a = &together.sim, *b = &one_by_one.sim;

	ck_assert_uint_eq(a->packets, b->packets);
	for (uint32_t i = 0; i < a->packets; i++) {
		ck_assert_int_eq(a->ledger[i].decided, b->ledger[i].decided);
		ck_assert_int_eq(a->ledger[i].verdict, b->ledger[i].verdict);
		ck_assert_uint_eq(a->ledger[i].mark, b->ledger[i].mark);
	}
	ck_assert_mem_eq(&a->e.stats, &b->e.stats, sizeof(a->e.stats));
}

START_TEST(packets_taken_together_fare_as_alone)
{
	static uint8_t buf[ENGINE_BATCH][256];
	struct engine_input in[ENGINE_BATCH];
	uint64_t r = unit_seed("engine_batch");

	ck_assert_uint_ge(together.sim.e.table.by_flow.used, PCTX_LARGE);
	for (unsigned round = 0; round < ROUNDS; round++) {
		unsigned n = 1 + rnd(&r, ENGINE_BATCH);

		for (unsigned i = 0; i < n; i++)
			in[i] = make(&r, buf[i]);
		sim_inputs(&together.sim, in, n);
		for (unsigned i = 0; i < n; i++)
			sim_input(&one_by_one.sim, &in[i]);
	}
	same();
	ck_assert_uint_gt(together.sim.e.stats.retransmits, 0);
	ck_assert_uint_gt(together.sim.e.stats.malformed, 0);
	ck_assert_uint_gt(together.sim.e.stats.pended, PEERS);
}
END_TEST

START_TEST(contexts_brought_near_complete_as_others)
{
	const pend_context garbage[] = {0,
					1,
					7ull << 56,
					UINT64_MAX,
					7ull << 56 | 0xffffffull << 32 | 1,
					together.pended[0] + 1};

	pend_context_prefetch(NULL, garbage, 6);
	pend_context_prefetch(&together.sim.e, NULL, 6);
	pend_context_prefetch(&together.sim.e, garbage, 6);
	for (unsigned i = 0; i + 32 < 4096; i += 32) {
		complete_some(&together, i, 32, true);
		complete_some(&one_by_one, i, 32, false);
	}
	/* what they are has no meaning any more */
	pend_context_prefetch(&together.sim.e, together.pended, 64);
	same();
}
END_TEST

Suite *suite(void)
{
	Suite *su = suite_create("engine: batches");
	TCase *tc = tcase_create("batch");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, packets_taken_together_fare_as_alone);
	tcase_add_test(tc, contexts_brought_near_complete_as_others);
	suite_add_tcase(su, tc);
	return su;
}
