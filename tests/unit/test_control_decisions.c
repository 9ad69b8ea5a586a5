/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Decisions that hold for a while, over the control protocol: what is asked of the verdict process, and its answers. */
#include "unit.h"
#include "control_fake.h"
#include "daemon/remembered.h"
#include "io/policyfile.h"
#include <unistd.h>

static struct fake_control fake;
static struct fake_client out; /* of both */
static struct control_client *cc, *low;

static int post(void *ctx, unsigned worker, const struct msg *m)
{
	ck_assert_uint_eq(worker, MSG_MAIN);
	return fake_post(ctx, worker, m);
}

static void setup(void)
{
	struct control_env env;

	fake_begin(&fake);
	fake.room = 4;
	fake_put_in_force(
		&fake, "layer l { permit proto icmp; pend proto tcp to port ssh remember 8h; }\n",
		5);
	env = fake_env(&fake, 2);
	env.post = post;
	ck_assert_int_eq(control_new(&fake.control, &env), 0);
	cc = fake_open(&fake, &out, ROLE_DECIDE, 0);
	low = fake_open(&fake, &out, ROLE_OBSERVE, 7);
}

static void teardown(void)
{
	control_closed(cc);
	control_closed(low);
	fake_end(&fake);
}

static const char *ask(struct control_client *who, const char *line)
{
	return fake_says(who, &out, line);
}

/* ---- forget ---- */

#define F "{\"id\":1,\"op\":\"forget\""

static const struct {
	const char *line, *want;
} refused[] = {
	{F "}", "all decisions"},
	{F ",\"all\":false}", "all decisions"},
	{F ",\"source\":\"203.0.113.0/33\"}", "\"invalid\""},
	{F ",\"source\":7}", "\"invalid\""},
	{F ",\"rule\":-1}", "\"invalid\""},
	{F ",\"rule\":99}", "\"not-found\""},
	{F ",\"rule\":4294967295}", "\"invalid\""},
	{F ",\"source\":\"203.0.113.7\",\"rule\":2000}", "\"not-found\""},
	{F ",\"port\":22}", "does not take"},
};

START_TEST(forget_refuses)
{
	HAS(ask(cc, refused[_i].line), refused[_i].want);
	ck_assert_uint_eq(fake.nposted, 0);
}
END_TEST

START_TEST(forget_needs_a_role)
{
	HAS(ask(low, F ",\"all\":true}"), "\"denied\"");
	ck_assert_uint_eq(fake.nposted, 0);
}
END_TEST

START_TEST(forget_says_which)
{
	const uint8_t source[16] = {203, 0, 113};
	struct msg done = {.version = MSG_VERSION, .type = MSG_DONE};

	ask(cc, F ",\"source\":\"203.0.113.0/24\",\"rule\":1}");
	ck_assert_uint_eq(fake.nposted, 1);
	ck_assert_uint_eq(fake.posted[0].type, MSG_FORGET);
	ck_assert_uint_eq(fake.posted[0].u.decisions.family, 4);
	ck_assert_uint_eq(fake.posted[0].u.decisions.prefix_len, 24);
	ck_assert_mem_eq(fake.posted[0].u.decisions.source, source, 16);
	ck_assert_uint_eq(fake.posted[0].u.decisions.rule,
			  classify_rule_key(fake.view.classifier, 1));
	done.seq = fake.posted[0].seq;
	done.u.done.count = 3;
	control_answer(fake.control, 0, &done, -1); /* not who was asked */
	ck_assert_uint_eq(out.len, 0);
	control_answer(fake.control, MSG_MAIN, &done, -1);
	HAS(out.text, "{\"forgotten\":3}");
	ask(cc, F ",\"all\":true}");
	ck_assert_uint_eq(fake.posted[1].u.decisions.family, 0);
	ck_assert_uint_eq(fake.posted[1].u.decisions.rule, 0);
	done.seq = fake.posted[1].seq;
	done.u.done.status = PEND_E_INVALID;
	control_answer(fake.control, MSG_MAIN, &done, -1);
	HAS(out.text, "nothing was forgotten");
}
END_TEST

/* ---- decisions ---- */

static struct remembered_entry entry(uint8_t scope, uint8_t family, uint64_t rule)
{
	const uint8_t source[16] = {203, 0, 113, 7}, dest[16] = {192, 0, 2, 1};
	struct remembered_entry d = {
		.k = remembered_key_of(rule, scope, family, 6, source, 4000, dest, 22),
		.v = {.verdict = PEND_VERDICT_PERMIT, .reason = REASON_OPERATOR}};

	d.v.since_ns = loop_clock().ns;
	d.v.until_ns = d.v.since_ns + 60 * MONO_NS_PER_S;
	return d;
}

static void answer(const struct remembered_entry *d, uint32_t n, uint32_t count, uint32_t cursor)
{
	struct msg m = {.version = MSG_VERSION,
			.type = MSG_DECISIONS,
			.seq = fake.posted[fake.nposted - 1].seq};
	int fd = n ? policyfile_image_fd(d, n * sizeof(*d)) : -1;

	m.u.decisions.count = count;
	m.u.decisions.cursor = cursor;
	m.u.decisions.kept = 9;
	control_answer(fake.control, MSG_MAIN, &m, fd);
	if (fd >= 0)
		close(fd);
}

START_TEST(list_in_parts)
{
	uint64_t key = classify_rule_key(fake.view.classifier, 1);
	struct remembered_entry d[2] = {entry(CLASSIFY_SCOPE_SERVICE, 4, key),
					entry(CLASSIFY_SCOPE_SOURCE, 4, 12345)};

	ask(low, "{\"id\":1,\"op\":\"decisions\"}");
	ck_assert_uint_eq(fake.posted[0].type, MSG_DECISIONS);
	ck_assert_uint_eq(fake.posted[0].u.decisions.cursor, 0);
	answer(d, 1, 1, 100);
	HAS(out.text, "\"scope\":\"service\"");
	HAS(out.text, "\"dest_port\":22");
	HAS(out.text, "pend proto tcp to port");
	HAS(out.text, "\"more\":true");
	ck_assert_ptr_null(strstr(out.text, "source_port"));
	ck_assert_uint_eq(fake.posted[1].u.decisions.cursor, 100);
	fake_forget(&out);
	answer(d + 1, 1, 1, 0);
	HAS(out.text, "\"scope\":\"source\"");
	HAS(out.text, "\"count\":2");
	HAS(out.text, "\"kept\":9");
	ck_assert_ptr_null(strstr(out.text, "\"dest\""));
	ck_assert_ptr_null(strstr(out.text, "\"text\""));
}
END_TEST

/* What the other process says is not believed. */
START_TEST(list_of_nonsense)
{
	struct remembered_entry d[2] = {entry(99, 4, 1), entry(CLASSIFY_SCOPE_FLOW, 9, 1)};

	ask(cc, "{\"id\":1,\"op\":\"decisions\"}");
	d[0].v.verdict = d[0].v.reason = 255;
	answer(d, 2, 2, 100);
	HAS(out.text, "\"scope\":\"unknown\"");
	answer(d, 1, MSG_FLOWS + 1, 101);
	answer(d, 1, 2, 102); /* more than there are */
	fake_forget(&out);
	answer(d, 0, 1, 50); /* back, and none attached */
	HAS(out.text, "\"count\":1");
	ck_assert_uint_eq(fake.nposted, 4);
}
END_TEST

Suite *suite(void)
{
	Suite *s = suite_create("control_decisions");
	TCase *t = tcase_create("control_decisions");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, forget_refuses, 0, sizeof(refused) / sizeof(refused[0]));
	tcase_add_test(t, forget_needs_a_role);
	tcase_add_test(t, forget_says_which);
	tcase_add_test(t, list_in_parts);
	tcase_add_test(t, list_of_nonsense);
	suite_add_tcase(s, t);
	return s;
}
