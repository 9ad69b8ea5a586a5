/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The commands that judge by a policy and decide nothing: test, and the dry run of reload. */
#include "unit.h"
#include "control_fake.h"
#include "daemon/ids.h"

#define WORKERS 2

static struct fake_control fake;
static struct fake_client admin;
static struct control_client *cc;
static uint32_t reload_seq;
static struct classify_listener listens; /* all that is known of who listens */
static uint32_t listens_in;              /* where the packet would come to them */

static const struct classify_listener *listener(void *ctx, const struct pend_values *v,
						unsigned need)
{
	(void)ctx;
	(void)need;
	listens_in = v->in_interface;
	return &listens;
}

static int reload(void *ctx, enum reload_kind kind, const char *text, size_t len, uint32_t seq)
{
	(void)ctx;
	(void)kind;
	(void)text;
	(void)len;
	reload_seq = seq;
	return 0;
}

static void setup(void)
{
	struct control_env env;

	listens = (struct classify_listener){.executable = "", .cgroup = ""};
	fake_begin(&fake);
	env = fake_env(&fake, WORKERS);
	env.reload = reload;
	env.listener = listener;
	ck_assert_int_eq(control_new(&fake.control, &env), 0);
	cc = fake_open(&fake, &admin, ROLE_ADMIN, 0);
}

static void teardown(void)
{
	control_closed(cc);
	fake_end(&fake);
}

static const char policy_text[] =
	"settings { timeout 7s }\n"
	"authority ops { type operator; timeout 9s; on-timeout permit }\n"
	"layer guard { weight 9; permit; }\n"
	"layer default {\n\tpermit proto icmp counter pings\n\tpend proto tcp to port 22 in eth0 ask ops\n"
	"\tpermit mark 7\n\tpend proto udp hook forward out ppp0\n\tblock with reset\n}\n";

static void put_in_force(const char *text)
{
	fake_put_in_force(&fake, text, 1);
}

/* Says a line and expects this in what comes back. */
static void expect(const char *line, const char *want)
{
	HAS(fake_says(cc, &admin, line), want);
}

/* ---------------------------------------------------------------------- test ---- */

#define ASK "{\"id\":1,\"op\":\"test\",\"flow\":"

static const struct {
	const char *line, *want;
} asked[] = {
	{ASK "\"tcp 203.0.113.7:4000 > 192.0.2.1:22\"}", "\"action\":\"pend\""},
	{ASK "\"tcp 203.0.113.7 > 192.0.2.1:22\"}", "\"timeout\":\"9s\""},
	{ASK "\"tcp 203.0.113.7:4000 > 192.0.2.1:22\"}", "\"on_timeout\":\"permit\""},
	{ASK "\"tcp 203.0.113.7:4000 > 192.0.2.1:22\"}", "\"file\":\"p\""},
	{ASK "\"tcp 203.0.113.7:4000 > 192.0.2.1:22\"}", "\"line\":6"},
	{ASK "\"tcp 203.0.113.7:4000 > 192.0.2.1:22\"}",
	 "\"text\":\"pend in eth0 proto tcp to port ssh ask ops\""},
	{ASK "\"tcp 203.0.113.7:4000 > 192.0.2.1:22\",\"in\":\"eth0\"}", "\"rule\":2"},
	{ASK "\"tcp 203.0.113.7:4000 > 192.0.2.1:22\",\"in\":\"eth1\"}", "\"block\":\"reset\""},
	{ASK "\"icmp 203.0.113.7 > 192.0.2.1\"}", "\"action\":\"permit\""},
	{ASK "\"tcp 203.0.113.7:1 > 192.0.2.1:23\",\"mark\":7}", "\"action\":\"permit\""},
	{ASK "\"udp 203.0.113.7:1 > 192.0.2.1:53\"}", "\"action\":\"block\""},
	{ASK "\"udp 203.0.113.7:1 > 192.0.2.1:53\",\"hook\":\"forward\"}", "\"action\":\"pend\""},
	{ASK "\"udp 203.0.113.7:1 > 192.0.2.1:53\",\"hook\":\"forward\",\"out\":\"lan0\"}",
	 "\"action\":\"block\""},
	{ASK "\"udp [2001:db8::7]:1 > [2001:db8::1]:53\"}",
	 "\"flow\":\"udp [2001:db8::7]:1 > [2001:db8::1]:53\""},
	{ASK "\"tcp 203.0.113.7:4000 > 192.0.2.1:22\",\"trace\":true}", "\"why\":\"wins\""},
	{ASK "\"tcp 203.0.113.7:4000 > 192.0.2.1:22\",\"trace\":true}", "\"why\":\"milder\""},
	{ASK "\"tcp 203.0.113.7:4000 > 192.0.2.1:22\",\"trace\":true}", "\"condition\":\"proto\""},
	{ASK "\"nonsense\"}", "\"invalid\""},
	{ASK "7}", "\"invalid\""},
	{"{\"id\":1,\"op\":\"test\"}", "\"invalid\""},
	{ASK "\"udp 203.0.113.7:1 > 192.0.2.1:53\",\"hook\":\"x\"}", "\"invalid\""},
	{ASK "\"udp 203.0.113.7:1 > 192.0.2.1:53\",\"mark\":4294967296}", "\"invalid\""},
	{ASK "\"udp 203.0.113.7:1 > 192.0.2.1:53\",\"mark\":-1}", "\"invalid\""},
	{ASK "\"udp 203.0.113.7:1 > 192.0.2.1:53\",\"out\":\"eth0\"}", "goes out nowhere"},
	{ASK "\"udp 203.0.113.7:1 > 192.0.2.1:53\",\"in\":\"e\",\"hook\":\"output\"}",
	 "came in nowhere"},
	{ASK "\"udp 203.0.113.7:1 > 192.0.2.1:53\",\"in\":\"0123456789012345\"}", "\"invalid\""},
	{ASK "\"udp 203.0.113.7:1 > 192.0.2.1:53\",\"in\":\"\"}", "\"invalid\""},
	{ASK "\"udp 203.0.113.7:1 > 192.0.2.1:53\",\"trace\":1}", "\"invalid\""},
};

START_TEST(the_policy_is_asked)
{
	put_in_force(policy_text);
	expect(asked[_i].line, asked[_i].want);
	ck_assert_uint_eq(fake.nposted, 0);
}
END_TEST

#define ASK_SSH ASK "\"tcp 203.0.113.7:1 > 192.0.2.1:22\""

START_TEST(the_listener_is_looked_up)
{
	put_in_force(
		"layer a { permit to port 22 in lo user 0\n permit unit x.service\n block }\n");
	expect(ASK_SSH "}", "\"action\":\"block\",\"block\":\"drop\",\"depends_on_listener\":true");
	listens.state = LISTENER_FOUND;
	listens.known = LISTENER_USER;
	expect(ASK_SSH ",\"in\":\"lo\"}", "\"action\":\"permit\",\"depends_on_listener\":false");
	ck_assert_uint_eq(listens_in, 1);
	expect(ASK_SSH ",\"in\":\"none\"}", "\"depends_on_listener\":true");
	ck_assert_uint_eq(listens_in, 0);
	listens.state = LISTENER_NONE;
	expect(ASK_SSH "}",
	       "\"action\":\"block\",\"block\":\"drop\",\"depends_on_listener\":false");
}
END_TEST

START_TEST(own_bits_of_the_mark_are_not_seen)
{
	put_in_force("layer a { permit mark 7\n block }\n");
	fake.view.settings.mark_mask = 0x7f800000;
	expect(ASK_SSH ",\"mark\":268435463}", "\"action\":\"permit\"");
	expect(ASK_SSH ",\"mark\":2147483655}", "\"action\":\"block\"");
}
END_TEST

START_TEST(a_date_that_is_past_is_past)
{
	put_in_force("layer a { permit until \"2020-01-01 00:00\"\n block }\n");
	expect(ASK "\"tcp 203.0.113.7:1 > 192.0.2.1:22\"}", "\"action\":\"block\"");
}
END_TEST

/* ------------------------------------------------------------------- dry run ---- */

static void answer_list(unsigned at, unsigned contexts)
{
	struct msg m = {.version = MSG_VERSION, .type = MSG_CONTEXT, .seq = fake.posted[at].seq};

	m.u.info = (struct pend_info){.state = PEND_STATE_PENDED,
				      .family = 4,
				      .protocol = 6,
				      .hook = 1,
				      .source = {203, 0, 113, 7},
				      .dest = {192, 0, 2, 1},
				      .source_port = 4000,
				      .dest_port = 22};
	while (contexts--) {
		m.u.info.context = ids_make(at, contexts, 1);
		m.u.info.dest_port = contexts % 2 ? 22 : 23;
		control_answer(fake.control, at, &m, -1);
	}
	m.type = MSG_DONE;
	memset(&m.u, 0, sizeof(m.u));
	control_answer(fake.control, at, &m, -1);
}

static struct candidate *candidate(const char *text)
{
	struct candidate *x = calloc(1, sizeof(*x));
	struct policy *p = fake_parse(text);
	size_t size;

	x->users = 1;
	ck_assert_int_eq(policy_compile(p, &x->image, &size), 0);
	ck_assert_int_eq(classify_attach(&x->classifier, x->image, size), 0);
	policy_free(p);
	return x;
}

START_TEST(dry_run_tells_what_would_be_decided)
{
	struct reload_result res = {.diagnostics = "",
				    .restart = "",
				    .diff = "@@ -1,1 +1,1 @@\n-\ta\n+\tb\n",
				    .changed = true};

	put_in_force(policy_text);
	expect("{\"id\":1,\"op\":\"reload\",\"dry_run\":1}", "\"invalid\"");
	expect("{\"id\":1,\"op\":\"reload\",\"dry_run\":true}", "");
	res.candidate = candidate("layer a { pend proto tcp to port 22\n permit }\n");
	control_reloaded(fake.control, reload_seq, &res);
	candidate_put(res.candidate);
	ck_assert_uint_eq(fake.nposted, 1);
	answer_list(0, 5);
	ck_assert_uint_eq(fake.nposted, 2);
	ck_assert_uint_eq(admin.len, 0);
	answer_list(1, 0);
	ck_assert_ptr_nonnull(strstr(admin.text, "\"examined\":5"));
	ck_assert_ptr_nonnull(strstr(admin.text, "\"decided\":3"));
	ck_assert_ptr_nonnull(strstr(admin.text, "\"would\":{\"action\":\"permit\""));
	ck_assert_ptr_nonnull(strstr(admin.text, "\"+ b\""));
	ck_assert_ptr_nonnull(strstr(admin.text, "\"incomplete\":false"));
}
END_TEST

/* Up to where the pended connections are asked for. */
static void dry_run(const char *text)
{
	struct reload_result res = {.diagnostics = "", .restart = "", .diff = ""};

	put_in_force(policy_text);
	expect("{\"id\":1,\"op\":\"reload\",\"dry_run\":true}", "");
	res.candidate = candidate(text);
	control_reloaded(fake.control, reload_seq, &res);
	candidate_put(res.candidate);
}

START_TEST(dry_run_knows_the_date)
{
	dry_run("layer a { permit until \"2020-01-01 00:00\"\n pend }\n");
	answer_list(0, 5);
	answer_list(1, 0);
	ck_assert_ptr_nonnull(strstr(admin.text, "\"decided\":0"));
}
END_TEST

START_TEST(dry_run_looks_the_listener_up)
{
	dry_run("layer a { permit to port 22 user 7\n block user 8\n pend }\n");
	listens = (struct classify_listener){
		.state = LISTENER_FOUND, .known = LISTENER_USER, .uid = 7};
	answer_list(0, 5);
	listens.state = LISTENER_UNKNOWN;
	answer_list(1, 2);
	/* two to port 22 and user 7; two that an unknown user might own */
	ck_assert_ptr_nonnull(strstr(admin.text, "\"decided\":4"));
	ck_assert_ptr_nonnull(strstr(admin.text, "\"unsure\":2"));
}
END_TEST

START_TEST(a_client_gone_during_a_dry_run)
{
	dry_run("layer a { block }\n");
	control_closed(cc);
	cc = NULL;
	answer_list(0, 3);
	ck_assert_uint_eq(control_stats(fake.control)->stray, 4);
}
END_TEST

Suite *suite(void)
{
	Suite *s = suite_create("control_test");
	TCase *t = tcase_create("control_test");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, the_policy_is_asked, 0, sizeof(asked) / sizeof(asked[0]));
	tcase_add_test(t, the_listener_is_looked_up);
	tcase_add_test(t, own_bits_of_the_mark_are_not_seen);
	tcase_add_test(t, a_date_that_is_past_is_past);
	tcase_add_test(t, dry_run_tells_what_would_be_decided);
	tcase_add_test(t, dry_run_knows_the_date);
	tcase_add_test(t, dry_run_looks_the_listener_up);
	tcase_add_test(t, a_client_gone_during_a_dry_run);
	suite_add_tcase(s, t);
	return s;
}
