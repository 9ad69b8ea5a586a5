/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of completion contexts: storage, charges, packets, handles. */
#include "core/pctx.h"
#include "unit.h"
#include <string.h>

static struct pctx_table t;
static struct pend_stats st;
static const struct siphash_key key = {{3, 4}};

static const struct pctx_limits few = {.contexts = 8,
				       .per_source = 0,
				       .packets = 4,
				       .hold = 4,
				       .watermark = UINT32_MAX,
				       .bytes = 4096};

static void init(const struct pctx_limits *l)
{
	memset(&st, 0, sizeof(st));
	ck_assert_int_eq(pctx_table_init(&t, l, 9, &key, mono_ms(1000), &st), 0);
}

static void setup(void)
{
	init(&few);
}

static void teardown(void)
{
	pctx_table_deinit(&t);
	pctx_table_deinit(&t); /* idempotent */
}

static struct flow flow(uint16_t sport)
{
	struct flow f = {.src = {10, 0, 0, 1},
			 .dst = {10, 0, 0, 2},
			 .sport = sport,
			 .dport = 22,
			 .family = FLOW_V4,
			 .proto = 6};

	return f;
}

static struct pctx *add(uint16_t sport)
{
	struct flow f = flow(sport);
	struct pctx *c = NULL;

	ck_assert_int_eq(pctx_new(&t, &f, pctx_hash(&t, &f), 1, mono_ms(1000), &c), PEND_OK);
	return c;
}

START_TEST(found_by_flow_and_by_handle)
{
	struct flow f = flow(1), other = flow(2);
	struct pctx *c = add(1), *found = NULL;
	pend_context h = pctx_handle(&t, c);

	ck_assert_ptr_eq(pctx_lookup(&t, &f, pctx_hash(&t, &f)), c);
	ck_assert_ptr_null(pctx_lookup(&t, &other, pctx_hash(&t, &other)));
	ck_assert_int_eq(c->state, PEND_STATE_STORED);
	ck_assert_int_eq(pctx_find(&t, h, &found), PEND_OK);
	ck_assert_ptr_eq(found, c);
	c->state = PEND_STATE_COMPLETING;
	ck_assert_int_eq(pctx_find(&t, h, &found), PEND_E_ALREADY);
	c->state = PEND_STATE_PENDED;
	c->flags |= PCTX_EARLY;
	ck_assert_int_eq(pctx_find(&t, h, &found), PEND_E_ALREADY);
	ck_assert_int_eq(pctx_find(&t, h ^ 1ull << 60, &found), PEND_E_ACCESS_DENIED);
	ck_assert_int_eq(pctx_find(&t, h + (1ull << 32), &found), PEND_E_NOT_FOUND);
	ck_assert_int_eq(pctx_find(&t, 9ull << 56 | 0xffffffull << 32 | 1, &found),
			 PEND_E_NOT_FOUND);
	pctx_free(&t, c);
	ck_assert_int_eq(pctx_find(&t, h, &found), PEND_E_NOT_FOUND);
	ck_assert_ptr_null(pctx_lookup(&t, &f, pctx_hash(&t, &f)));
}
END_TEST

START_TEST(a_slot_used_again_has_another_handle)
{
	pend_context h[100];

	for (unsigned i = 0; i < 100; i++) {
		struct pctx *c = add(1);

		h[i] = pctx_handle(&t, c);
		for (unsigned j = 0; j < i; j++)
			ck_assert(h[i] != h[j]);
		pctx_free(&t, c);
	}
	ck_assert_int_eq(t.slab.fresh, 1);
}
END_TEST

START_TEST(generation_skips_zero)
{
	struct pctx *c = add(1);

	c->generation = UINT32_MAX;
	pctx_free(&t, c);
	c = add(1);
	ck_assert_int_eq(c->generation, 1);
	ck_assert(pctx_handle(&t, c) != 0);
	pctx_free(&t, c);
}
END_TEST

START_TEST(charges_are_given_back_once)
{
	struct pctx_limits l = few;
	struct flow f = flow(100);
	struct pctx *c[8], *x;

	pctx_table_deinit(&t);
	l.per_source = 3;
	init(&l);
	for (uint16_t i = 0; i < 3; i++)
		c[i] = add(i);
	ck_assert_int_eq(pctx_new(&t, &f, pctx_hash(&t, &f), 1, mono_ms(1000), &x), PEND_E_LIMIT);
	ck_assert_int_eq(st.limit_source, 1);
	ck_assert_int_eq(t.live, 3);
	c[0]->state = PEND_STATE_BLOCKED;
	pctx_retire(&t, c[0]);
	ck_assert_int_eq(t.live, 2);
	ck_assert_int_eq(t.lingering, 1);
	c[3] = add(3);
	ck_assert_int_eq(pctx_new(&t, &f, pctx_hash(&t, &f), 1, mono_ms(1000), &x), PEND_E_LIMIT);
	pctx_free(&t, c[0]); /* already discharged */
	ck_assert_int_eq(t.live, 3);
	ck_assert_int_eq(t.lingering, 0);
	ck_assert_int_eq(pctx_new(&t, &f, pctx_hash(&t, &f), 1, mono_ms(1000), &x), PEND_E_LIMIT);
	for (int i = 1; i < 4; i++)
		pctx_free(&t, c[i]);
	ck_assert_int_eq(t.live, 0);
	for (uint32_t i = 0; i <= t.count_mask; i++)
		ck_assert(t.source[i] == 0 && t.service[i] == 0);
}
END_TEST

static void check_copy(struct pctx *c, uint32_t len)
{
	uint8_t data[1500], back[1500];
	struct pkept k;

	for (uint32_t i = 0; i < len; i++)
		data[i] = (uint8_t)(i * 7 + len);
	ck_assert(pctx_keep_copy(&t, c, data, len, len & 1));
	ck_assert_int_eq(t.bytes, len);
	ck_assert_int_eq(t.blocks.used, len ? (len + PCTX_BLOCK_DATA - 1) / PCTX_BLOCK_DATA : 1);
	ck_assert(pctx_take(&t, c, &k));
	ck_assert_int_eq(k.len, len);
	ck_assert_int_eq(k.csum_pending, len & 1);
	memset(back, 0xee, sizeof(back));
	ck_assert_int_eq(pctx_fetch_copy(&t, &k, back, sizeof(back)), len);
	ck_assert(!memcmp(back, data, len));
	ck_assert_int_eq(back[len], 0xee);
	ck_assert_int_eq(t.bytes, 0);
	ck_assert_int_eq(t.blocks.used, 0);
}

START_TEST(copies_of_every_length)
{
	struct pctx *c = add(1);

	for (uint32_t len = 0; len < 1400; len += len < 520 ? 1 : 37)
		check_copy(c, len);
	ck_assert_int_eq(t.kept.used, 0);
	pctx_free(&t, c);
}
END_TEST

START_TEST(a_copy_larger_than_the_room_is_cut_not_written_over)
{
	struct pctx *c = add(1);
	uint8_t data[600] = {1}, back[300];
	struct pkept k;

	ck_assert(pctx_keep_copy(&t, c, data, sizeof(data), false));
	ck_assert(pctx_take(&t, c, &k));
	ck_assert(pctx_fetch_copy(&t, &k, back, sizeof(back)) < sizeof(data));
	ck_assert_int_eq(t.blocks.used, 0);
	ck_assert(pctx_keep_copy(&t, c, data, sizeof(data), false));
	ck_assert(pctx_take(&t, c, &k));
	ck_assert_int_eq(pctx_fetch_copy(&t, &k, NULL, 0), 0);
	ck_assert_int_eq(t.bytes, 0);
	pctx_free(&t, c);
}
END_TEST

START_TEST(packets_come_out_in_order)
{
	struct pctx *c = add(1);
	uint8_t byte;
	struct pkept k;

	ck_assert(pctx_keep_id(&t, c, 11));
	byte = 22;
	ck_assert(pctx_keep_copy(&t, c, &byte, 1, false));
	ck_assert(pctx_keep_id(&t, c, 33));
	ck_assert_int_eq(t.held, 2);
	ck_assert_int_eq(st.held_peak, 2);
	ck_assert(pctx_take(&t, c, &k) && k.id == 11 && k.block == SLAB_NONE);
	ck_assert(pctx_keep_id(&t, c, 44));
	ck_assert(pctx_take(&t, c, &k) && k.block != SLAB_NONE);
	ck_assert(pctx_fetch_copy(&t, &k, &byte, 1) == 1 && byte == 22);
	ck_assert(pctx_take(&t, c, &k) && k.id == 33);
	ck_assert(pctx_take(&t, c, &k) && k.id == 44);
	ck_assert(!pctx_take(&t, c, &k));
	ck_assert_int_eq(t.held, 0);
	ck_assert(pctx_keep_id(&t, c, 55)); /* empty and filled again */
	ck_assert(pctx_take(&t, c, &k) && k.id == 55);
	pctx_free(&t, c);
}
END_TEST

START_TEST(limits_of_packets_and_bytes)
{
	static uint8_t data[4097];
	struct pctx *c = add(1), *d = add(2);
	struct pkept k;

	for (uint32_t i = 0; i < 4; i++)
		ck_assert(pctx_keep_id(&t, c, i));
	ck_assert(!pctx_keep_id(&t, c, 4));
	ck_assert(!pctx_keep_copy(&t, c, data, 1, false));
	ck_assert_int_eq(st.limit_packets, 2);
	ck_assert(!pctx_keep_copy(&t, d, data, 4097, false));
	ck_assert_int_eq(st.limit_bytes, 1);
	ck_assert_int_eq(t.bytes, 0);
	ck_assert_int_eq(t.blocks.used, 0);
	while (pctx_take(&t, c, &k))
		;
	/* Blocks run out before bytes do. */
	for (int i = 0; i < 4; i++)
		ck_assert(pctx_keep_copy(&t, c, data, 1, false));
	for (int i = 0; i < 4; i++)
		ck_assert(pctx_keep_copy(&t, d, data, PCTX_BLOCK_DATA + 1, false));
	ck_assert_int_eq(t.blocks.used, 12);
	for (struct pctx *x = c; x; x = x == c ? d : NULL)
		while (pctx_take(&t, x, &k))
			pctx_fetch_copy(&t, &k, NULL, 0);
	ck_assert_int_eq(t.blocks.used, 0);
	pctx_free(&t, c);
	pctx_free(&t, d);
}
END_TEST

START_TEST(slots_are_taken_from_what_lingers)
{
	struct pctx *c;

	for (uint16_t i = 0; i < 1000; i++) {
		c = add(i);
		c->verdict = i % 2 ? PEND_VERDICT_PERMIT : PEND_VERDICT_BLOCK;
		c->state = i % 2 ? PEND_STATE_PERMITTED : PEND_STATE_BLOCKED;
		pctx_retire(&t, c);
	}
	ck_assert_int_eq(t.live, 0);
	ck_assert_int_eq(t.lingering, t.slab.capacity);
	ck_assert_int_eq(st.limit_contexts, 0);
}
END_TEST

START_TEST(authorizations_are_not_taken)
{
	struct flow f = flow(5000);
	struct pctx *c, *last = NULL;
	pend_context h;
	uint32_t n = 0;

	while (t.slab.used < t.slab.capacity) {
		c = add((uint16_t)n++);
		c->verdict = PEND_VERDICT_PERMIT;
		c->state = PEND_STATE_FLUSHED;
		c->flags |= PCTX_ISN;
		c->completed = c->created;
		pctx_retire(&t, c);
		last = c;
	}
	ck_assert_int_eq(pctx_new(&t, &f, pctx_hash(&t, &f), 1,
				  mono_add(last->completed, 4 * MONO_NS_PER_S), &c),
			 PEND_E_LIMIT);
	ck_assert_int_eq(st.limit_contexts, 1);
	/* What its peer came back for is owed to nobody. */
	h = pctx_handle(&t, last);
	pctx_used(&t, last);
	ck_assert_int_eq(pctx_new(&t, &f, pctx_hash(&t, &f), 1,
				  mono_add(last->completed, 4 * MONO_NS_PER_S), &c),
			 PEND_OK);
	ck_assert_int_eq(pctx_find(&t, h, &c), PEND_E_NOT_FOUND);
	/* Under pressure an authorization lasts for the next copy, not for the one after. */
	f.sport++;
	ck_assert_int_eq(pctx_new(&t, &f, pctx_hash(&t, &f), 1,
				  mono_add(mono_ms(1000), 60 * MONO_NS_PER_S), &c),
			 PEND_OK);
}
END_TEST

START_TEST(info_says_what_is_known)
{
	struct flow f = flow(5000);
	struct pend_info i;
	struct pctx *c = add(4000);

	c->tag = 77;
	c->flags |= PCTX_LOST_ONCE;
	c->state = PEND_STATE_PENDED;
	pctx_info(&t, c, &i);
	ck_assert(i.context == pctx_handle(&t, c));
	ck_assert(i.family == 4 && i.protocol == 6 && i.source_port == 4000 && i.dest_port == 22);
	ck_assert(i.kernel_lost && !i.established && i.tag == 77 && i.isn == 1);
	ck_assert_int_eq(i.source[0], 10);
	f.proto = 1;
	f.sport = 9;
	f.dport = 8 << 8 | 3;
	ck_assert_int_eq(pctx_new(&t, &f, pctx_hash(&t, &f), 0, mono_ms(1000), &c), PEND_OK);
	pctx_info(&t, c, &i);
	ck_assert(i.icmp_type == 8 && i.icmp_code == 3 && i.dest_port == 0);
}
END_TEST

START_TEST(deferred_once)
{
	struct pctx_limits l = few;
	struct flow f = flow(1), g = flow(2);

	ck_assert(!pctx_defer(&t, &f, 1, mono_ms(1000)));
	pctx_table_deinit(&t);
	l.watermark = 1;
	init(&l);
	ck_assert(!pctx_defer(&t, &f, 1, mono_ms(1000))); /* below it */
	add(3);
	ck_assert(pctx_defer(&t, &f, 1, mono_ms(1000)));
	ck_assert(!pctx_defer(&t, &f, 1, mono_ms(2000)));
	ck_assert(pctx_defer(&t, &f, 2, mono_ms(2000)));
	ck_assert(pctx_defer(&t, &g, 1, mono_ms(2000)));
	ck_assert(!pctx_defer(&t, &f, 1, mono_ms(5500))); /* a turn later */
	ck_assert(pctx_defer(&t, &g, 9, mono_ms(9600)));
	ck_assert(pctx_defer(&t, &f, 1, mono_ms(9700))); /* two turns later */
	ck_assert_int_eq(st.watermark_drops, 5);
}
END_TEST

START_TEST(memory_is_told)
{
	ck_assert(pctx_table_memory(&t) > t.slab.capacity * sizeof(struct pctx));
}
END_TEST

Suite *suite(void)
{
	Suite *s = suite_create("pctx");
	TCase *tc = tcase_create("table");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, found_by_flow_and_by_handle);
	tcase_add_test(tc, a_slot_used_again_has_another_handle);
	tcase_add_test(tc, generation_skips_zero);
	tcase_add_test(tc, charges_are_given_back_once);
	tcase_add_test(tc, copies_of_every_length);
	tcase_add_test(tc, a_copy_larger_than_the_room_is_cut_not_written_over);
	tcase_add_test(tc, packets_come_out_in_order);
	tcase_add_test(tc, limits_of_packets_and_bytes);
	tcase_add_test(tc, slots_are_taken_from_what_lingers);
	tcase_add_test(tc, authorizations_are_not_taken);
	tcase_add_test(tc, info_says_what_is_known);
	tcase_add_test(tc, deferred_once);
	tcase_add_test(tc, memory_is_told);
	suite_add_tcase(s, tc);
	return s;
}
