/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Policies in the whole authority process: reload, dry run, check, and what shows the one in force.
 *
 * pend-test: no-valgrind the system call filter kills valgrind's own calls
 */
#include "unit.h"
#include "authority_run.h"

static int text_load(void *ctx, const char *from, const char *name, char **data, size_t *len)
{
	const char *const *text = ctx;

	(void)from;
	(void)name;
	*data = strdup(*text);
	*len = strlen(*text);
	return *data ? 0 : -ENOMEM;
}

/* As the verdict process hands the policy over. */
static int image_with_text(const char *text, uint64_t *size)
{
	struct policy_loader loader = {.read = text_load, .ctx = &text};
	struct policy_diag diag;
	struct policy *p = NULL;
	void *image;
	size_t n;
	int fd;

	ck_assert_int_eq(policy_parse(&p, "t", &loader, &diag), 0);
	policy_diag_deinit(&diag);
	ck_assert_int_eq(policy_compile(p, &image, &n), 0);
	policy_free(p);
	fd = policyfile_image_text_fd(image, n, text);
	free(image);
	ck_assert_int_ge(fd, 0);
	*size = n;
	return fd;
}

static const char *first_line(const struct wanted *w, const char *key, size_t i)
{
	const json_t *lines = json_object_get(json_object_get(w->last, "result"), key);
	const char *s = json_string_value(json_array_get(lines, i));

	return s ? s : "";
}

START_TEST(reload_puts_a_policy_in_force)
{
	struct wanted w;

	config_write("settings { user \"\"; control-group \"\"; observe-group \"\"; queues 7-9; }\n"
		     "layer default { block }\n");
	w = ask("reload", NULL);
	ck_assert_str_eq(code_of(&w), "");
	ck_assert_uint_eq(policies, 1);
	ck_assert_int_eq(number_of(&w, "generation"), 2);
	ck_assert_str_eq(json_string_value(json_object_get(json_object_get(w.last, "result"),
							   "needs_restart")),
			 "queues");
	for (int i = 0; i < 200 && reloaded_status == 99; i++)
		serve(10);
	ck_assert_uint_eq(reloaded_status, PEND_OK);
	for (int i = 0; i < 200 && !authorities; i++)
		serve(10);
	ck_assert_uint_eq(authorities, 1); /* their programs may change now, and not before */
	json_decref(w.last);
	w = ask("rules", NULL);
	ck_assert_uint_eq(w.rows, 1);
	json_decref(w.last);
}
END_TEST

START_TEST(wrong_policy_changes_nothing)
{
	struct msg m = {.version = MSG_VERSION, .type = MSG_RELOAD};
	struct wanted w;

	config_write("layer default { permt }\n");
	w = ask("reload", NULL);
	ck_assert_str_eq(code_of(&w), "policy");
	ck_assert_uint_ge(
		json_array_size(json_object_get(json_object_get(w.last, "result"), "diagnostics")),
		2);
	ck_assert_uint_eq(policies, 0);
	json_decref(w.last);
	reloaded_status = 99;
	ck_assert_int_eq(chan_send(chan[WORKERS], &m), 0);
	ck_assert_int_eq(chan_flush(chan[WORKERS]), 0);
	for (int i = 0; i < 200 && reloaded_status == 99; i++)
		serve(10);
	ck_assert_uint_eq(reloaded_status, PEND_E_INVALID);
}
END_TEST

static void live_is_told(const json_t *live)
{
	const json_t *flows = json_object_get(live, "flows"), *f = json_array_get(flows, 0);

	ck_assert_int_eq(json_integer_value(json_object_get(live, "examined")), 120);
	ck_assert_int_eq(json_integer_value(json_object_get(live, "ended")), 5);
	ck_assert_int_eq(json_integer_value(json_object_get(live, "more")), 3);
	ck_assert_uint_eq(json_array_size(flows), 2);
	ck_assert_str_eq(json_string_value(json_object_get(f, "source")), "203.0.113.7");
	ck_assert_int_eq(json_integer_value(json_object_get(f, "dest_port")), 22);
	ck_assert_str_eq(json_string_value(json_object_get(f, "text")), "block");
	ck_assert_ptr_null(json_object_get(json_array_get(flows, 1), "rule"));
}

START_TEST(live_flows_on_request)
{
	struct wanted w = ask("reauthorize", "{\"match\":{\"source\":\"203.0.113.0/24\","
					     "\"protocol\":\"tcp\",\"port\":22}}");

	live_is_told(json_object_get(w.last, "result"));
	json_decref(w.last);
	/* each of them is an event, and those that were not listed are one */
	w = ask("events", "{\"last\":10,\"types\":[\"ended\",\"note\"]}");
	ck_assert_uint_eq(
		json_array_size(json_object_get(json_object_get(w.last, "result"), "events")), 3);
	json_decref(w.last);
	w = ask("events", "{\"last\":10,\"types\":[\"ended\"]}");
	ck_assert_uint_eq(
		json_array_size(json_object_get(json_object_get(w.last, "result"), "events")), 2);
	json_decref(w.last);
	w = ask("reauthorize", "{\"dry_run\":true}");
	live_is_told(json_object_get(w.last, "result"));
	json_decref(w.last);
	w = ask("events", "{\"last\":10,\"types\":[\"ended\"]}");
	ck_assert_uint_eq(
		json_array_size(json_object_get(json_object_get(w.last, "result"), "events")), 2);
	json_decref(w.last);
	w = ask("reauthorize", "{\"match\":{\"authority\":\"ops\"}}");
	ck_assert_str_eq(code_of(&w), "invalid");
	json_decref(w.last);
	w = ask("reauthorize", "{\"match\":{\"source\":\"203.0.113.0/33\"}}");
	ck_assert_str_eq(code_of(&w), "invalid");
	json_decref(w.last);
}
END_TEST

START_TEST(dry_run_changes_nothing)
{
	struct wanted w = ask("reload", "{\"dry_run\":true}");
	const json_t *r = json_object_get(w.last, "result");

	ck_assert(json_is_false(json_object_get(r, "changed")));
	ck_assert_uint_eq(json_array_size(json_object_get(r, "diff")), 0);
	ck_assert_int_eq(number_of(&w, "examined"), WORKERS * CONTEXTS);
	ck_assert_int_eq(number_of(&w, "decided"), 0);
	json_decref(w.last);
	config_write("settings { user \"\"; control-group \"\"; observe-group \"\"; }\n"
		     "authority ops { type operator; timeout 30s; on-timeout block; }\n"
		     "layer default { permit proto tcp to port 22\n block }\n");
	w = ask("reload", "{\"dry_run\":true}");
	ck_assert_str_eq(first_line(&w, "diff", 4), "- pend proto tcp to port ssh ask ops;");
	ck_assert_str_eq(first_line(&w, "diff", 5), "+ permit proto tcp to port ssh;");
	ck_assert_int_eq(number_of(&w, "decided"), WORKERS * CONTEXTS);
	live_is_told(json_object_get(json_object_get(w.last, "result"), "live"));
	json_decref(w.last);
	config_write("layer default { permt }\n");
	w = ask("reload", "{\"dry_run\":true}");
	ck_assert_str_eq(code_of(&w), "policy");
	json_decref(w.last);
	ck_assert_uint_eq(policies, 0);
	ck_assert_uint_eq(reloaded_status, 99);
}
END_TEST

START_TEST(dry_run_without_a_worker)
{
	struct wanted w = {0};

	mute = 0;
	ck_assert_int_eq(pend_client_send(client, "reload", "{\"dry_run\":true}", &w.id),
			 PEND_CLIENT_OK);
	for (int i = 0; i < 700 && !w.last; i++) {
		ck_assert_int_eq(pend_client_flush(client), PEND_CLIENT_OK);
		serve(10);
		ck_assert_int_eq(pend_client_read(client, on_line, &w), PEND_CLIENT_OK);
	}
	ck_assert(json_is_true(json_object_get(json_object_get(w.last, "result"), "incomplete")));
	json_decref(w.last);
}
END_TEST

START_TEST(the_policy_in_force_answers_and_is_shown)
{
	static const char flow[] =
		"{\"flow\":\"tcp 203.0.113.7:4000 > 192.0.2.1:22\",\"trace\":true}";
	struct wanted w = ask("test", flow);

	ck_assert_int_eq(number_of(&w, "rule"), 0);
	json_decref(w.last);
	config_write("settings { user \"\"; control-group \"\"; observe-group \"\"; }\n"
		     "layer default {\n\tblock\n}\n");
	w = ask("reload", NULL);
	ck_assert_str_eq(code_of(&w), "");
	json_decref(w.last);
	w = ask("test", flow);
	ck_assert_str_eq(
		json_string_value(json_object_get(json_object_get(w.last, "result"), "action")),
		"block");
	json_decref(w.last);
	w = ask("show", "{\"what\":\"policy\"}");
	ck_assert_str_eq(first_line(&w, "lines", 0), "settings {");
	ck_assert_int_eq(number_of(&w, "generation"), 2);
	json_decref(w.last);
	w = ask("metrics", NULL);
	ck_assert_str_eq(code_of(&w), "");
	json_decref(w.last);
}
END_TEST

/* Another authority process sees what was put in force, whatever the file says by now. */
START_TEST(the_text_comes_with_the_image)
{
	static const char text[] = "settings {\n\ttimeout 1s;\n}\nlayer only {\n\tblock;\n}\n";
	struct msg m = {.version = MSG_VERSION, .type = MSG_POLICY};
	struct wanted w;
	int fd;

	m.u.policy.generation = 9;
	fd = image_with_text(text, &m.u.policy.size);
	ck_assert_int_eq(chan_send_fd(chan[WORKERS], &m, fd), 0);
	ck_assert_int_eq(chan_flush(chan[WORKERS]), 0);
	w = ask("show", "{\"what\":\"policy\"}");
	for (int i = 0; i < 100 && number_of(&w, "generation") != 9; i++) {
		json_decref(w.last);
		w = ask("show", "{\"what\":\"policy\"}");
	}
	ck_assert_str_eq(first_line(&w, "lines", 3), "layer only {");
	json_decref(w.last);
}
END_TEST

START_TEST(check_of_a_text)
{
	struct wanted w = ask("check", "{\"policy\":\"layer default { block }\\n\"}");

	ck_assert_str_eq(code_of(&w), "");
	json_decref(w.last);
	w = ask("check", "{\"policy\":\"include \\\"/etc/passwd\\\"\\n\"}");
	ck_assert_str_eq(code_of(&w), "policy");
	json_decref(w.last);
	ck_assert_uint_eq(policies, 0);
}
END_TEST

Suite *suite(void)
{
	Suite *s = suite_create("authority_policy");
	TCase *t = tcase_create("authority_policy");

	tcase_set_timeout(t, 30);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, reload_puts_a_policy_in_force);
	tcase_add_test(t, wrong_policy_changes_nothing);
	tcase_add_test(t, dry_run_changes_nothing);
	tcase_add_test(t, live_flows_on_request);
	tcase_add_test(t, dry_run_without_a_worker);
	tcase_add_test(t, the_policy_in_force_answers_and_is_shown);
	tcase_add_test(t, the_text_comes_with_the_image);
	tcase_add_test(t, check_of_a_text);
	suite_add_tcase(s, t);
	return s;
}
