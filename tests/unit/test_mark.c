/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The mark protocol: layouts, values, and that foreign bits are never touched. */
#include "unit.h"

#include "core/mark.h"
#include "pend.h"

START_TEST(layout_accepts_eight_consecutive_bits)
{
	for (unsigned s = 0; s <= 24; s++) {
		struct mark_layout l;

		ck_assert(mark_layout_init(&l, 0xffu << s));
		ck_assert_uint_eq(l.shift, s);
		ck_assert_uint_eq(l.mask, 0xffu << s);
	}
}
END_TEST

START_TEST(layout_refuses_everything_else)
{
	static const uint32_t bad[] = {0,          1,          0x7f,       0x1ff,
				       0xfe00001,  0xfe000000, 0x80000000, 0xffffffff,
				       0xff00ff00, 0x000005fe, 0x0000fe01};
	struct mark_layout l = {42, 7};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		ck_assert_msg(!mark_layout_init(&l, bad[i]), "0x%x", (unsigned)bad[i]);
	ck_assert_uint_eq(l.mask, 42);
	ck_assert_uint_eq(l.shift, 7);
}
END_TEST

START_TEST(layout_is_exactly_the_25_masks)
{
	uint64_t seed = unit_seed("mark");
	struct mark_layout l;

	for (int i = 0; i < 200000; i++) {
		uint32_t m = (uint32_t)unit_rand(&seed);
		bool good = false;

		for (unsigned s = 0; s <= 24; s++)
			good |= m == 0xffu << s;
		ck_assert_int_eq(mark_layout_init(&l, m), good);
	}
}
END_TEST

START_TEST(value_round_trip)
{
	struct mark_layout l;

	ck_assert(mark_layout_init(&l, PEND_MARK_MASK));
	for (unsigned v = 0; v < 256; v++) {
		uint8_t kind = mark_value_kind((uint8_t)v), epoch = mark_value_epoch((uint8_t)v);
		uint32_t m = mark_put(&l, 0xa5a5a5a5, (uint8_t)v);

		ck_assert_uint_le(kind, 3);
		ck_assert_uint_le(epoch, 63);
		ck_assert_uint_eq(mark_value((enum mark_kind)kind, epoch), v);
		ck_assert_uint_eq(mark_get(&l, m), v);
		ck_assert_uint_eq(m & ~l.mask, 0xa5a5a5a5 & ~l.mask);
	}
}
END_TEST

/* The numbers are protocol: rules written by hand and older runs' ct marks depend on them. */
START_TEST(numbers_are_fixed)
{
	struct mark_layout l;

	ck_assert(mark_layout_init(&l, 0x7f800000));
	ck_assert_uint_eq(mark_permit(&l, 1), 5u << 23);
	ck_assert_uint_eq(mark_permit(&l, 62), 249u << 23);
	ck_assert_uint_eq(mark_permit_once(&l), 1u << 23);
	ck_assert_uint_eq(mark_reset(&l), 2u << 23);
	ck_assert_uint_eq(mark_unreach(&l), 3u << 23);
	ck_assert_uint_eq(mark_inject(&l), 253u << 23);
	ck_assert_uint_eq(mark_bits(&l, mark_value_dnat()), 4u << 23);
	for (uint32_t v = 0; v < 256; v++)
		ck_assert_int_eq(mark_is_dnat(&l, v << 23 | 0x807fffff), v == 4 || v == 20);
	ck_assert_uint_eq(mark_bits(&l, mark_value_ended(false)), 16u << 23);
	ck_assert_uint_eq(mark_bits(&l, mark_value_ended(true)), 20u << 23);
	for (uint32_t v = 0; v < 256; v++)
		ck_assert_int_eq(mark_is_ended(&l, v << 23 | 0x807fffff), v == 16 || v == 20);
}
END_TEST

START_TEST(connection_marks)
{
	struct mark_layout l;

	ck_assert(mark_layout_init(&l, 0xff));
	for (unsigned e = 0; e < 64; e++) {
		uint8_t epoch = (uint8_t)e;

		ck_assert_int_eq(mark_is_permitted(&l, mark_value(MARK_PERMIT, epoch)),
				 e >= 1 && e <= 62);
		ck_assert(mark_is_blocked(&l, mark_value(MARK_BLOCKED, epoch)));
		ck_assert(!mark_is_permitted(&l, mark_value(MARK_BLOCKED, epoch)));
		ck_assert(!mark_is_blocked(&l, mark_value(MARK_PERMIT, epoch)));
		ck_assert(!mark_is_blocked(&l, mark_value(MARK_UNREACH, epoch)));
	}
	ck_assert(!mark_is_permitted(&l, 0xffffff00));
	ck_assert(!mark_is_blocked(&l, 0));
}
END_TEST

Suite *suite(void)
{
	Suite *s = suite_create("mark");
	TCase *t = tcase_create("mark");

	tcase_add_test(t, layout_accepts_eight_consecutive_bits);
	tcase_add_test(t, layout_refuses_everything_else);
	tcase_add_test(t, layout_is_exactly_the_25_masks);
	tcase_add_test(t, value_round_trip);
	tcase_add_test(t, numbers_are_fixed);
	tcase_add_test(t, connection_marks);
	suite_add_tcase(s, t);
	return s;
}
