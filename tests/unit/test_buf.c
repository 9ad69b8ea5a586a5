/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Cursors: exact ends, stickiness of `bad`, nothing written past the end. */
#include "unit.h"

#include "base/buf.h"

#include <string.h>

START_TEST(reads_in_network_order)
{
	static const uint8_t in[] = {1, 2, 3, 0xff, 0xfe, 0xfd, 0xfc, 9, 8};
	struct rbuf b = rbuf_of(in, sizeof(in));

	ck_assert_uint_eq(rbuf_u8(&b), 1);
	ck_assert_uint_eq(rbuf_be16(&b), 0x0203);
	ck_assert_uint_eq(rbuf_be32(&b), 0xfffefdfc);
	rbuf_skip(&b, 1);
	ck_assert_ptr_eq(rbuf_take(&b, 1), in + 8);
	ck_assert_ptr_eq(rbuf_take(&b, 0), in + 9);
	ck_assert_uint_eq(rbuf_left(&b), 0);
	ck_assert(!b.bad);
}
END_TEST

START_TEST(reading_past_the_end_is_sticky)
{
	static const uint8_t in[] = {1, 2, 3};
	struct rbuf b = rbuf_of(in, sizeof(in));

	ck_assert_uint_eq(rbuf_be32(&b), 0);
	ck_assert(b.bad);
	ck_assert_uint_eq(rbuf_left(&b), 0);
	ck_assert_uint_eq(rbuf_u8(&b), 0);
	ck_assert_uint_eq(rbuf_be16(&b), 0);
	ck_assert_ptr_null(rbuf_take(&b, 0));
	b = rbuf_of(in, sizeof(in));
	rbuf_skip(&b, SIZE_MAX);
	ck_assert(b.bad);
	b = rbuf_of(NULL, 0);
	ck_assert_ptr_nonnull(rbuf_take(&b, 0));
	ck_assert_uint_eq(rbuf_u8(&b), 0);
	ck_assert(b.bad);
}
END_TEST

START_TEST(writes_in_network_order)
{
	static const uint8_t want[] = {1, 2, 3, 0xff, 0xfe, 0xfd, 0xfc, 0, 0, 'a', 'b'};
	uint8_t out[sizeof(want)];
	struct wbuf b = wbuf_of(out, sizeof(out));

	memset(out, 0x55, sizeof(out));
	wbuf_u8(&b, 1);
	wbuf_be16(&b, 0x0203);
	wbuf_be32(&b, 0xfffefdfc);
	wbuf_zero(&b, 2);
	wbuf_bytes(&b, "ab", 2);
	wbuf_bytes(&b, NULL, 0);
	ck_assert(!b.bad);
	ck_assert_uint_eq(wbuf_len(&b), sizeof(want));
	ck_assert_mem_eq(out, want, sizeof(want));
}
END_TEST

START_TEST(what_does_not_fit_is_not_written)
{
	uint8_t out[8];
	struct wbuf b = wbuf_of(out, 3);

	memset(out, 0x55, sizeof(out));
	wbuf_be16(&b, 0x0102);
	wbuf_be32(&b, 0x03040506);
	ck_assert(b.bad);
	wbuf_u8(&b, 7);
	wbuf_zero(&b, SIZE_MAX);
	ck_assert_uint_eq(wbuf_len(&b), 2);
	for (size_t i = 2; i < sizeof(out); i++)
		ck_assert_uint_eq(out[i], 0x55);
}
END_TEST

Suite *suite(void)
{
	Suite *s = suite_create("buf");
	TCase *t = tcase_create("buf");

	tcase_add_test(t, reads_in_network_order);
	tcase_add_test(t, reading_past_the_end_is_sticky);
	tcase_add_test(t, writes_in_network_order);
	tcase_add_test(t, what_does_not_fit_is_not_written);
	suite_add_tcase(s, t);
	return s;
}
