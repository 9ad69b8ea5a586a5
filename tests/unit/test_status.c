/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names, sentences and numbers of the status codes and states; the defaults. */
#include "core/settings.h"
#include "unit.h"
#include <pend.h>
#include <string.h>

START_TEST(every_status_has_its_name_and_sentence)
{
	ck_assert_str_eq(pend_status_name(PEND_OK), "PEND_OK");
	ck_assert_str_eq(pend_status_name(PEND_E_LOOP), "PEND_E_LOOP");
	for (int i = PEND_OK; i <= PEND_E_LOOP; i++) {
		ck_assert_ptr_nonnull(pend_status_name((enum pend_status)i));
		ck_assert(strlen(pend_status_text((enum pend_status)i)) > 3);
		for (int j = PEND_OK; j < i; j++)
			ck_assert_str_ne(pend_status_name((enum pend_status)i),
					 pend_status_name((enum pend_status)j));
		ck_assert_int_eq(!pend_status_ntstatus((enum pend_status)i), i == PEND_OK);
	}
	ck_assert_str_eq(pend_status_name((enum pend_status)999), "PEND_E_?");
	ck_assert_ptr_nonnull(pend_status_text((enum pend_status)999));
	ck_assert(pend_status_ntstatus((enum pend_status)999) != 0);
}
END_TEST

/* What ntstatus.h and the pages of the functions say. */
START_TEST(numbers_are_those_of_windows)
{
	ck_assert_uint_eq(pend_status_ntstatus(PEND_E_CANNOT_PEND), 0xC0220103);
	ck_assert_uint_eq(pend_status_ntstatus(PEND_E_NULL_POINTER), 0xC022001C);
	ck_assert_uint_eq(pend_status_ntstatus(PEND_E_NOT_FOUND), 0xC0220008);
	ck_assert_uint_eq(pend_status_ntstatus(PEND_E_ALREADY), 0xC0220009);
	ck_assert_uint_eq(pend_status_ntstatus(PEND_E_ACCESS_DENIED), 0xC0000022);
	ck_assert_uint_eq(pend_status_ntstatus(PEND_E_BUSY), 0x80000011);
	ck_assert_uint_eq(pend_status_ntstatus(PEND_E_INVALID), 0xC000000D);
}
END_TEST

START_TEST(every_state_has_its_name)
{
	ck_assert_str_eq(pend_state_name(PEND_STATE_PENDED), "PENDED");
	ck_assert_str_eq(pend_state_name(PEND_STATE_TIMED_OUT), "TIMED_OUT");
	for (int i = 0; i < PEND_STATE_COUNT; i++) {
		ck_assert_ptr_nonnull(pend_state_name((enum pend_state)i));
		ck_assert_str_ne(pend_state_name((enum pend_state)i), "?");
	}
	ck_assert_str_eq(pend_state_name(PEND_STATE_COUNT), "?");
}
END_TEST

START_TEST(defaults_fail_closed)
{
	struct pend_engine_config c;
	struct pend_options o;

	pend_engine_config_init(&c);
	ck_assert(!c.fail_open && c.default_action == PEND_ACTION_BLOCK &&
		  c.on_malformed == PEND_ACTION_BLOCK);
	ck_assert(c.mark_mask == PEND_MARK_MASK && c.queue_fd == -1 && c.epoch == 1);
	pend_options_init(&o);
	ck_assert(o.on_timeout == PEND_VERDICT_BLOCK && o.release == PEND_RELEASE_FLUSH &&
		  o.mode == PEND_MODE_AUTO && o.block == PEND_BLOCK_DROP);
	ck_assert(o.timeout_ns == 30000000000ull);
}
END_TEST

/* The daemon's settings and the library's config agree. */
START_TEST(settings_repeat_the_defaults)
{
	struct pend_engine_config c;
	struct settings s;

	pend_engine_config_init(&c);
	settings_init(&s);
	ck_assert(s.max_contexts == c.max_contexts && s.max_per_source == c.max_per_source &&
		  s.max_per_service == c.max_per_service && s.max_packets == c.max_packets);
	ck_assert(s.max_bytes == c.max_bytes && s.hold_max == c.hold_max &&
		  s.high_watermark_percent == c.high_watermark_percent);
	ck_assert(s.kernel_queue == c.kernel_queue && s.receive_buffer == c.receive_buffer);
	ck_assert(s.mark_mask == c.mark_mask && s.raw_reinject == c.raw_reinject &&
		  s.track_established == c.track_established && s.fail_open == c.fail_open);
}
END_TEST

Suite *suite(void)
{
	Suite *s = suite_create("status");
	TCase *tc = tcase_create("names");

	tcase_add_test(tc, every_status_has_its_name_and_sentence);
	tcase_add_test(tc, numbers_are_those_of_windows);
	tcase_add_test(tc, every_state_has_its_name);
	tcase_add_test(tc, defaults_fail_closed);
	tcase_add_test(tc, settings_repeat_the_defaults);
	suite_add_tcase(s, tc);
	return s;
}
