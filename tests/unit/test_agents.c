/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which programs of authorities run: daemon/agents.c with processes that are numbers, and a clock that is one too. */
#include "unit.h"
#include "daemon/agents.h"
#include <errno.h>
#include <signal.h>
#include <string.h>

#define EXITED(code) ((code) << 8)

static struct agents a;
static struct agents_stats st;
static mono_t now;
static struct {
	char name[32];
	uint32_t generation;
	pid_t pid;
} started[64];
static unsigned nstarted, nsignals;
static struct {
	pid_t pid;
	int signo;
} signals[64];
static uint32_t foreign_uid;
static int start_error;

static pid_t env_start(void *ctx, const struct agents_start *s)
{
	(void)ctx;
	if (start_error)
		return start_error;
	snprintf(started[nstarted].name, sizeof(started[0].name), "%s", s->name);
	started[nstarted].generation = s->generation;
	started[nstarted].pid = 100 + (pid_t)nstarted;
	return started[nstarted++].pid;
}

static void env_signal(void *ctx, pid_t group, int signo)
{
	(void)ctx;
	signals[nsignals].pid = group;
	signals[nsignals++].signo = signo;
}

static bool env_may(void *ctx, uint32_t uid, uint32_t gid)
{
	(void)ctx;
	(void)gid;
	return uid != foreign_uid;
}

static void setup(void)
{
	const struct agents_env env = {.start = env_start, .signal = env_signal, .may = env_may};

	now = mono_ms(1000);
	nstarted = nsignals = 0;
	foreign_uid = 4242;
	start_error = 0;
	agents_init(&a, &env);
}

static void teardown(void)
{
	agents_deinit(&a);
}

static struct classify_authority of(const char *name, uint8_t type, const char *config,
				    uint32_t uid)
{
	return (struct classify_authority){
		.name = name, .type = type, .config = config, .uid = uid, .gid = UINT32_MAX};
}

static void want(uint32_t generation, const struct classify_authority *list, uint32_t n)
{
	ck_assert_int_eq(agents_want(&a, list, n, generation, now), 0);
}

static void want_one(uint32_t generation, const char *config, uint32_t uid)
{
	struct classify_authority c = of("x", AUTHORITY_EXEC, config, uid);

	want(generation, &c, 1);
}

static mono_t work(uint64_t ms)
{
	now = mono_add(now, ms * MONO_NS_PER_MS);
	return agents_work(&a, now);
}

START_TEST(each_of_ours_is_started_once)
{
	const struct classify_authority list[] = {
		of("ops", AUTHORITY_OPERATOR, "{}", UINT32_MAX),
		of("idp", AUTHORITY_SOCKET, "{}", UINT32_MAX),
		of("x", AUTHORITY_EXEC, "{}", UINT32_MAX),
		of("bl", AUTHORITY_DNSBL, "{}", UINT32_MAX),
		of("any", AUTHORITY_ANY, "{}", UINT32_MAX),
	};

	want(3, list, 5);
	ck_assert_uint_eq(work(0).ns, MONO_NEVER.ns);
	work(5000);
	ck_assert_uint_eq(nstarted, 2);
	ck_assert_str_eq(started[0].name, "x");
	ck_assert_uint_eq(started[0].generation, 3);
	ck_assert_str_eq(started[1].name, "bl");
	want(4, list, 5);
	work(0);
	ck_assert_uint_eq(nstarted, 2);
	ck_assert_uint_eq(nsignals, 0);
	agents_stats(&a, &st);
	ck_assert_uint_eq(st.wanted, 2);
	ck_assert_uint_eq(st.running, 2);
	ck_assert_int_eq(agents_next(&a, 0), 100);
	ck_assert_int_eq(agents_next(&a, 100), 101);
	ck_assert_int_eq(agents_next(&a, 101), 0);
}
END_TEST

START_TEST(one_that_is_gone_is_ended_and_killed_when_it_stays)
{
	want_one(1, "{}", UINT32_MAX);
	work(0);
	want(2, NULL, 0);
	ck_assert_uint_eq(nsignals, 1);
	ck_assert_int_eq(signals[0].signo, SIGTERM);
	ck_assert_uint_eq(work(0).ns, mono_add(now, AGENTS_GRACE_NS).ns);
	work(1999);
	ck_assert_uint_eq(nsignals, 1);
	work(1);
	ck_assert_uint_eq(nsignals, 2);
	ck_assert_int_eq(signals[1].signo, SIGKILL);
	ck_assert_uint_eq(work(1).ns, MONO_NEVER.ns);
	ck_assert(agents_ended(&a, 100, SIGKILL, now));
	ck_assert_int_eq(agents_next(&a, 0), 0);
	ck_assert(!agents_ended(&a, 100, 0, now));
	ck_assert_uint_eq(work(0).ns, MONO_NEVER.ns);
	ck_assert_uint_eq(nstarted, 1);
}
END_TEST

START_TEST(a_changed_definition_is_another_process)
{
	struct classify_authority c = of("x", AUTHORITY_EXEC, "{\"a\":1}", UINT32_MAX);

	want(1, &c, 1);
	work(0);
	c.config = _i == 0 ? "{\"a\":2}" : c.config;
	c.type = _i == 1 ? AUTHORITY_UNIT : c.type;
	c.uid = _i == 2 ? 7 : c.uid;
	c.gid = _i == 3 ? 7 : c.gid;
	want(2, &c, 1);
	ck_assert_int_eq(signals[0].signo, SIGTERM);
	work(10);
	ck_assert_uint_eq(nstarted, 1); /* never two at once */
	ck_assert(agents_ended(&a, 100, EXITED(0), now));
	work(0);
	ck_assert_uint_eq(nstarted, 2);
	ck_assert_uint_eq(started[1].generation, 2);
	agents_stats(&a, &st);
	ck_assert_uint_eq(st.restarts, 0); /* it was asked to */
}
END_TEST

START_TEST(wanted_again_while_it_ends)
{
	want_one(1, "{}", UINT32_MAX);
	work(0);
	want(2, NULL, 0);
	want_one(3, "{}", UINT32_MAX);
	work(0);
	ck_assert_uint_eq(nstarted, 1);
	ck_assert(agents_ended(&a, 100, EXITED(0), now));
	work(0);
	ck_assert_uint_eq(nstarted, 2);
}
END_TEST

START_TEST(it_is_started_again_ever_slower)
{
	static const unsigned ms[] = {100, 200, 400, 800, 1600, 3200, 6400, 10000, 10000};

	want_one(1, "{}", UINT32_MAX);
	work(0);
	for (unsigned i = 0; i < sizeof(ms) / sizeof(*ms); i++) {
		ck_assert(agents_ended(&a, 100 + (pid_t)i, EXITED(1), now));
		agents_stats(&a, &st);
		ck_assert_uint_eq(st.failing, i + 1 >= AGENTS_FAILING);
		ck_assert_uint_eq(work(0).ns, mono_add(now, ms[i] * MONO_NS_PER_MS).ns);
		work(ms[i] - 1);
		ck_assert_uint_eq(nstarted, i + 1);
		work(1);
		ck_assert_uint_eq(nstarted, i + 2);
	}
	agents_stats(&a, &st);
	ck_assert_uint_eq(st.restarts, 9);
	ck_assert_uint_eq(st.failing, 0);
	now = mono_add(now, AGENTS_CALM_NS + 1); /* all is well again */
	ck_assert(agents_ended(&a, 109, SIGKILL, now));
	ck_assert_uint_eq(work(0).ns, mono_add(now, 100 * MONO_NS_PER_MS).ns);
}
END_TEST

START_TEST(a_start_that_fails_is_tried_again)
{
	start_error = -EAGAIN;
	want_one(1, "{}", UINT32_MAX);
	ck_assert_uint_eq(work(0).ns, mono_add(now, 100 * MONO_NS_PER_MS).ns);
	ck_assert_uint_eq(work(100).ns, mono_add(now, 200 * MONO_NS_PER_MS).ns);
	agents_stats(&a, &st);
	ck_assert_uint_eq(st.failing, 1);
	start_error = 0;
	work(200);
	ck_assert_uint_eq(nstarted, 1);
	agents_stats(&a, &st);
	ck_assert_uint_eq(st.running, 1);
}
END_TEST

START_TEST(another_users_is_not_started)
{
	want_one(1, "{}", foreign_uid);
	ck_assert_uint_eq(work(0).ns, MONO_NEVER.ns);
	agents_stats(&a, &st);
	ck_assert_uint_eq(st.foreign, 1);
	ck_assert_uint_eq(st.wanted, 0);
	want_one(2, "{}", 7);
	work(0);
	ck_assert_uint_eq(nstarted, 1);
	want_one(3, "{}", foreign_uid); /* and ours ends */
	ck_assert_int_eq(signals[0].signo, SIGTERM);
	ck_assert(agents_ended(&a, 100, EXITED(0), now));
	work(60000);
	ck_assert_uint_eq(nstarted, 1);
}
END_TEST

START_TEST(in_the_end_none_is_left)
{
	want_one(1, "{}", UINT32_MAX);
	work(0);
	agents_end(&a, now);
	agents_end(&a, now);
	ck_assert_uint_eq(nsignals, 1);
	ck_assert(agents_ended(&a, 100, EXITED(1), now));
	work(20000);
	ck_assert_uint_eq(nstarted, 1);
	ck_assert_int_eq(agents_next(&a, 0), 0);
}
END_TEST

Suite *suite(void)
{
	Suite *s = suite_create("agents");
	TCase *t = tcase_create("agents");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, each_of_ours_is_started_once);
	tcase_add_test(t, one_that_is_gone_is_ended_and_killed_when_it_stays);
	tcase_add_loop_test(t, a_changed_definition_is_another_process, 0, 4);
	tcase_add_test(t, wanted_again_while_it_ends);
	tcase_add_test(t, it_is_started_again_ever_slower);
	tcase_add_test(t, a_start_that_fails_is_tried_again);
	tcase_add_test(t, another_users_is_not_started);
	tcase_add_test(t, in_the_end_none_is_left);
	suite_add_tcase(s, t);
	return s;
}
