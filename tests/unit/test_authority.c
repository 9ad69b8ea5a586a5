/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The whole authority process, forked and without rights, between a client on its socket and a made-up
 * verdict side on its channels.
 *
 * pend-test: no-valgrind the system call filter kills valgrind's own calls
 */
#include "unit.h"
#include "authority_run.h"

START_TEST(status_collects_from_all)
{
	struct wanted w = ask("status", NULL);
	const json_t *r = json_object_get(w.last, "result");

	ck_assert_str_eq(json_string_value(json_object_get(r, "state")), "ok");
	ck_assert_int_eq(
		json_integer_value(json_object_get(json_object_get(r, "totals"), "pending")), 21);
	ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(r, "policy"), "rules")),
			 2);
	json_decref(w.last);
}
END_TEST

START_TEST(status_in_time_when_a_worker_hangs)
{
	struct timespec a, b;
	struct wanted w;

	mute = 1;
	clock_gettime(CLOCK_MONOTONIC, &a);
	w = ask("status", NULL);
	clock_gettime(CLOCK_MONOTONIC, &b);
	ck_assert_str_eq(
		json_string_value(json_object_get(json_object_get(w.last, "result"), "state")),
		"degraded");
	ck_assert_int_lt((b.tv_sec - a.tv_sec) * 1000 + (b.tv_nsec - a.tv_nsec) / 1000000, 400);
	json_decref(w.last);
}
END_TEST

START_TEST(pending_walks_all_workers)
{
	struct wanted w = ask("pending", "{\"port\":22}");

	ck_assert_uint_eq(w.rows, WORKERS * CONTEXTS);
	ck_assert_int_eq(number_of(&w, "count"), WORKERS * CONTEXTS);
	ck_assert_uint_gt(w.parts, 2);
	json_decref(w.last);
}
END_TEST

START_TEST(pending_in_pages)
{
	unsigned rows = 0, pages = 0;
	char args[80] = "{\"limit\":10}";
	const char *next;

	do {
		struct wanted w = ask("pending", args);

		rows += w.rows;
		pages++;
		next = json_string_value(
			json_object_get(json_object_get(w.last, "result"), "next"));
		snprintf(args, sizeof(args), "{\"limit\":10,\"from\":\"%s\"}", next ? next : "");
		if (next)
			next = args;
		json_decref(w.last);
	} while (next && pages < 20);
	ck_assert_uint_eq(rows, WORKERS * CONTEXTS);
	ck_assert_uint_ge(pages, 6);
}
END_TEST

START_TEST(complete_by_id)
{
	struct wanted w = ask(
		"complete",
		"{\"ids\":[\"a0.1\",\"b3.1\",\"a99.1\",\"c0.1\"],\"verdict\":\"permit\"}");
	const json_t *failed = json_object_get(json_object_get(w.last, "result"), "failed");

	ck_assert_int_eq(number_of(&w, "completed"), 2);
	ck_assert_uint_eq(completed, 2);
	ck_assert_uint_eq(MSG_REASON_CODE(last_reason), REASON_OPERATOR);
	ck_assert_uint_ne(MSG_REASON_NOTE(last_reason), 0);
	ck_assert_uint_eq(json_array_size(failed), 2);
	ck_assert_str_eq(json_string_value(json_object_get(json_array_get(failed, 1), "code")),
			 "not-found");
	json_decref(w.last);
}
END_TEST

/* More than a channel's backlog takes at once. */
START_TEST(complete_very_many)
{
	json_t *o = json_pack("{s:[],s:s}", "ids", "verdict", "permit");
	struct wanted w;
	char *args, id[IDS_TEXT];

	for (uint32_t i = 0; i < 4000; i++)
		json_array_append_new(json_object_get(o, "ids"),
				      json_string(ids_print(ids_make(0, i % CONTEXTS, 1), id)));
	args = json_dumps(o, JSON_COMPACT);
	w = ask("complete", args);
	ck_assert_int_eq(number_of(&w, "completed"), 4000);
	json_decref(w.last);
	json_decref(o);
	free(args);
}
END_TEST

START_TEST(complete_by_address)
{
	struct wanted w = ask(
		"complete",
		"{\"match\":{\"source\":\"203.0.113.0/24\"},\"verdict\":\"block\",\"block\":\"reset\"}");

	ck_assert_int_eq(number_of(&w, "completed"), WORKERS * 2 * 3);
	json_decref(w.last);
}
END_TEST

static const struct {
	const char *op, *args, *code;
} wrong[] = {
	{"complete", "{\"match\":{},\"verdict\":\"permit\"}", "invalid"},
	{"complete", "{\"match\":{\"sorce\":\"1.2.3.4\"},\"verdict\":\"permit\"}", "invalid"},
	{"complete", "{\"match\":{\"port\":22},\"all\":true,\"verdict\":\"permit\"}", "invalid"},
	{"complete", "{\"ids\":[],\"verdict\":\"permit\"}", "invalid"},
	{"complete", "{\"ids\":[\"a0\"],\"verdict\":\"permit\"}", "invalid"},
	{"complete", "{\"ids\":[\"a0.1\"],\"verdict\":\"permit\",\"block\":\"reset\"}", "invalid"},
	{"complete", "{\"ids\":[\"a0.1\"]}", "invalid"},
	{"complete", "{\"ids\":[\"a0.1\"],\"match\":{\"port\":1},\"verdict\":\"permit\"}",
	 "invalid"},
	{"pending", "{\"source\":\"1.2.3.4/33\"}", "invalid"},
	{"pending", "{\"source\":\"nonsense\"}", "invalid"},
	{"pending", "{\"port\":65536}", "invalid"},
	{"pending", "{\"authority\":\"nobody\"}", "invalid"},
	{"pending", "{\"from\":\"9.0\"}", "invalid"},
	{"pending", "{\"prot\":22}", "invalid"},
	{"events", "{\"types\":[\"x\"]}", "invalid"},
	{"hookup", "{\"action\":\"burn\"}", "invalid"},
	{"test", "{\"flow\":\"tcp\"}", "invalid"},
	{"show", "{\"what\":\"everything\"}", "invalid"},
	{"metrics", "{\"format\":\"json\"}", "invalid"},
	{"reload", "{\"dry_run\":\"yes\"}", "invalid"},
	{"hookup", "{\"action\":\"verify\"}", "missing"},
	{"nonsense", NULL, "unknown-op"},
	{"version", "{\"protocol\":2}", "unsupported"},
	{"version", "{\"protocol\":\"1\"}", "invalid"},
	{"version", "{\"speak\":1}", "invalid"},
};

START_TEST(wrong_requests)
{
	struct wanted w = ask(wrong[_i].op, wrong[_i].args);

	ck_assert_str_eq(code_of(&w), wrong[_i].code);
	ck_assert_uint_eq(completed, 0);
	json_decref(w.last);
}
END_TEST

START_TEST(hookup_print_sends_the_rules)
{
	struct wanted w = ask("hookup", "{\"action\":\"print\"}");

	ck_assert_uint_eq(
		json_array_size(json_object_get(json_object_get(w.last, "result"), "rules")), 4);
	json_decref(w.last);
	w = ask("stop", NULL);
	serve(10);
	ck_assert_uint_eq(stops, 1);
	json_decref(w.last);
}
END_TEST

START_TEST(events_are_kept_and_followed)
{
	struct msg m = {.version = MSG_VERSION, .type = MSG_EVENT};
	struct wanted w = {0};

	m.u.event.type = PEND_EVENT_PENDED;
	m.u.event.info = context(0, 1);
	for (int i = 0; i < 50; i++)
		ck_assert_int_eq(chan_send(chan[0], &m), 0);
	ck_assert_int_eq(chan_flush(chan[0]), 0);
	w = ask("events", "{\"last\":20,\"follow\":true}");
	ck_assert_uint_eq(
		json_array_size(json_object_get(json_object_get(w.last, "result"), "events")), 20);
	json_decref(w.last);
	serve(20);
	ck_assert(subscribed & 1u << PEND_EVENT_RETRANSMIT);
	w = (struct wanted){0};
	ck_assert_int_eq(chan_send(chan[0], &m), 0);
	ck_assert_int_eq(chan_flush(chan[0]), 0);
	for (int i = 0; i < 200 && !w.events; i++) {
		serve(5);
		ck_assert_int_eq(pend_client_read(client, on_line, &w), PEND_CLIENT_OK);
	}
	ck_assert_uint_eq(w.events, 1);
}
END_TEST

START_TEST(nonsense_from_the_verdict_side_is_survived)
{
	uint64_t seed = unit_seed("authority");
	struct wanted w;

	for (int i = 0; i < 3000; i++) {
		unsigned c = (unsigned)(unit_rand(&seed) % (WORKERS + 1));
		struct msg m;

		for (size_t k = 0; k + 8 <= sizeof(m); k += 8) {
			uint64_t r = unit_rand(&seed);

			memcpy((char *)&m + k, &r, 8);
		}
		m.version = unit_rand(&seed) % 8 ? MSG_VERSION : 7;
		m.type = (uint16_t)(unit_rand(&seed) % 100);
		if (m.type == MSG_BYE || m.type == MSG_RELOAD)
			continue;
		chan_send(chan[c], &m);
		chan_flush(chan[c]);
		serve(0);
	}
	w = ask("status", NULL);
	ck_assert_str_eq(code_of(&w), "");
	json_decref(w.last);
}
END_TEST

/* The kernel's own words on the process. */
START_TEST(holds_no_right)
{
	char name[64], line[256];
	unsigned seen = 0;
	FILE *f;

	snprintf(name, sizeof(name), "/proc/%d/status", (int)pid);
	f = fopen(name, "r");
	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof(line), f)) {
		unsigned long long v;

		if (sscanf(line, "CapPrm: %llx", &v) == 1 ||
		    sscanf(line, "CapEff: %llx", &v) == 1 ||
		    sscanf(line, "CapAmb: %llx", &v) == 1 ||
		    (getuid() == 0 && sscanf(line, "CapBnd: %llx", &v) == 1)) {
			ck_assert_msg(v == 0, "%s", line);
			seen++;
		}
		if (strcmp(line, "NoNewPrivs:\t1\n") == 0)
			seen++;
	}
	fclose(f);
	ck_assert_uint_eq(seen, getuid() == 0 ? 5 : 4);
}
END_TEST

/* As another user the bounding set must be gone too, and the policy still be readable. */
START_TEST(becomes_the_user_of_the_settings)
{
	char name[64], line[256];
	unsigned seen = 0;
	FILE *f;

	if (getuid() != 0)
		return;
	snprintf(name, sizeof(name), "/proc/%d/status", (int)pid);
	f = fopen(name, "r");
	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof(line), f))
		seen += !strncmp(line, "Uid:\t65534\t65534\t65534\t65534", 28) ||
			!strcmp(line, "CapBnd:\t0000000000000000\n") ||
			!strcmp(line, "CapPrm:\t0000000000000000\n");
	fclose(f);
	ck_assert_uint_eq(seen, 3);
}
END_TEST

START_TEST(malformed_lines_and_goodbye)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	char buf[8192];
	ssize_t n;
	size_t got = 0;

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	for (int i = 0; i < 9; i++)
		strcpy(buf + 16 * (size_t)i, "{\"id\":1,\"id\":2}\n");
	/* at once: behind the eighth it hangs up */
	ck_assert_int_eq(send(fd, buf, 9 * 16, MSG_NOSIGNAL), 9 * 16);
	while ((n = recv(fd, buf + got, sizeof(buf) - 1 - got, 0)) > 0)
		got += (size_t)n;
	buf[got] = '\0';
	ck_assert_ptr_nonnull(strstr(buf, "\"malformed\""));
	ck_assert_ptr_nonnull(strstr(buf, "\"too-many-errors\""));
	close(fd);
}
END_TEST

Suite *suite(void)
{
	Suite *s = suite_create("authority");
	TCase *t = tcase_create("authority");

	tcase_set_timeout(t, 30);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, status_collects_from_all);
	tcase_add_test(t, status_in_time_when_a_worker_hangs);
	tcase_add_test(t, pending_walks_all_workers);
	tcase_add_test(t, pending_in_pages);
	tcase_add_test(t, complete_by_id);
	tcase_add_test(t, complete_very_many);
	tcase_add_test(t, complete_by_address);
	tcase_add_loop_test(t, wrong_requests, 0, sizeof(wrong) / sizeof(wrong[0]));
	tcase_add_test(t, hookup_print_sends_the_rules);
	tcase_add_test(t, events_are_kept_and_followed);
	tcase_add_test(t, nonsense_from_the_verdict_side_is_survived);
	tcase_add_test(t, holds_no_right);
	tcase_add_test(t, malformed_lines_and_goodbye);
	suite_add_tcase(s, t);
	t = tcase_create("user");
	tcase_add_checked_fixture(t, setup_nobody, teardown);
	tcase_add_test(t, becomes_the_user_of_the_settings);
	suite_add_tcase(s, t);
	return s;
}
