/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ring of events: numbering, wrap-around, notes, and safe text. */
#include "unit.h"
#include "daemon/events.h"
#include <string.h>

static struct events *r;
static struct view view = {.if_fd = -1};

static void setup(void)
{
	ck_assert_int_eq(events_new(&r), 0);
}

static void teardown(void)
{
	events_free(r);
}

START_TEST(the_last_ones_are_kept)
{
	struct pend_event e = {.type = PEND_EVENT_PENDED};

	ck_assert_ptr_null(events_at(r, 0));
	ck_assert_ptr_null(events_at(r, 1));
	for (uint64_t i = 1; i <= 3 * EVENTS_KEPT; i++) {
		e.now_ns = i;
		ck_assert_uint_eq(events_add(r, &e)->seq, i);
	}
	ck_assert_uint_eq(events_count(r), 3 * EVENTS_KEPT);
	ck_assert_ptr_null(events_at(r, 2 * EVENTS_KEPT));
	ck_assert_uint_eq(events_at(r, 2 * EVENTS_KEPT + 1)->event.now_ns, 2 * EVENTS_KEPT + 1);
	ck_assert_uint_eq(events_at(r, 3 * EVENTS_KEPT)->event.now_ns, 3 * EVENTS_KEPT);
	ck_assert_ptr_null(events_at(r, 3 * EVENTS_KEPT + 1));
}
END_TEST

START_TEST(masks)
{
	struct pend_event e = {.type = PEND_EVENT_LIMIT};
	const struct event *v = events_add(r, &e);

	ck_assert(event_in(v, 1u << PEND_EVENT_LIMIT));
	ck_assert(!event_in(v, 1u << PEND_EVENT_PENDED));
	e.type = (enum pend_event_type)4000;
	ck_assert(!event_in(events_add(r, &e), EVENTS_ALL));
	ck_assert(event_in(events_note(r, 0, "x"), 1u << EVENTS_NOTE));
}
END_TEST

START_TEST(notes_cannot_carry_control_characters)
{
	json_t *v = event_json(events_note(r, 1, "a\033[2J%s", "b\nc"), &view);
	const char *text = json_string_value(json_object_get(v, "text"));

	ck_assert_str_eq(json_string_value(json_object_get(v, "type")), "note");
	ck_assert_ptr_nonnull(text);
	ck_assert_ptr_null(strpbrk(text, "\033\n"));
	json_decref(v);
}
END_TEST

START_TEST(fields_of_a_completed_one)
{
	struct pend_event e = {
		.type = PEND_EVENT_COMPLETED,
		.info =
			{
				.context = 1,
				.state = PEND_STATE_BLOCKED,
				.family = 6,
				.protocol = 6,
				.source = {0x20, 1, 0xd, 0xb8, [15] = 7},
				.source_port = 4000,
				.dest_port = 22,
				.block = PEND_BLOCK_RESET,
				.rule = 3,
				.reason = 1,
				.created_ns = 1000000,
				.completed_ns = 9000000,
			},
	};
	json_t *v = event_json(events_add(r, &e), &view);

	ck_assert_str_eq(json_string_value(json_object_get(v, "source")), "2001:db8::7");
	ck_assert_str_eq(json_string_value(json_object_get(v, "block")), "reset");
	ck_assert_str_eq(json_string_value(json_object_get(v, "reason")), "operator");
	ck_assert_int_eq(json_integer_value(json_object_get(v, "pended_ms")), 8);
	ck_assert_uint_eq(strlen(json_string_value(json_object_get(v, "time"))), 24);
	json_decref(v);
}
END_TEST

Suite *suite(void)
{
	Suite *s = suite_create("events");
	TCase *t = tcase_create("events");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, the_last_ones_are_kept);
	tcase_add_test(t, masks);
	tcase_add_test(t, notes_cannot_carry_control_characters);
	tcase_add_test(t, fields_of_a_completed_one);
	suite_add_tcase(s, t);
	return s;
}
