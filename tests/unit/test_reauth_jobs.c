/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Jobs for live flows: they are joined, none is lost, and requests are answered in their order. */
#include "unit.h"
#include "daemon/reauth_jobs.h"
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

static struct reauth_jobs q;

static void setup(void)
{
	reauth_jobs_init(&q);
}

static void teardown(void)
{
	reauth_jobs_deinit(&q);
}

static void address(uint8_t out[16], const char *text)
{
	memset(out, 0, 16);
	ck_assert_int_eq(inet_pton(strchr(text, ':') ? AF_INET6 : AF_INET, text, out), 1);
}

/* Pairs of addresses, up to NULL. */
static struct reauth_ranges *ranges(const char *const *pair)
{
	struct reauth_ranges *r = calloc(1, sizeof(*r) + 16 * sizeof(r->edit[0]));

	ck_assert_ptr_nonnull(r);
	for (; *pair; pair += 2, r->n++) {
		r->edit[r->n].family = strchr(*pair, ':') ? 6 : 4;
		address(r->edit[r->n].lo, pair[0]);
		address(r->edit[r->n].hi, pair[1]);
	}
	return r;
}
#define RANGES(...) ranges((const char *const[]){__VA_ARGS__, NULL})

static bool has(const struct reauth_ranges *r, const char *text)
{
	uint8_t addr[16];

	address(addr, text);
	return reauth_ranges_has(r, strchr(text, ':') ? 6 : 4, addr);
}

START_TEST(ranges_are_found)
{
	struct reauth_ranges *r = RANGES("203.0.113.9", "203.0.113.9", "10.0.0.0", "10.255.255.255",
					 "2001:db8::", "2001:db8::ffff", "10.1.0.0", "11.0.0.0",
					 "0.0.0.0", "0.0.0.1");

	reauth_ranges_sort(r);
	ck_assert_uint_eq(r->n, 4); /* 10.0.0.0 to 11.0.0.0 is one */
	ck_assert(has(r, "203.0.113.9") && !has(r, "203.0.113.8") && !has(r, "203.0.113.10"));
	ck_assert(has(r, "10.0.0.0") && has(r, "11.0.0.0") && !has(r, "11.0.0.1"));
	ck_assert(!has(r, "9.255.255.255") && has(r, "0.0.0.0") && !has(r, "0.0.0.2"));
	ck_assert(has(r, "2001:db8::ff") && !has(r, "2001:db8::1:0"));
	ck_assert(!has(r, "::")); /* not IPv4's */
	ck_assert(!has(r, "255.255.255.255") && !has(r, "ffff::"));
	free(r);
}
END_TEST

static uint32_t seed;
static uint32_t rnd(uint32_t n)
{
	seed = seed * 1664525u + 1013904223u;
	return (seed >> 8) % n;
}

/* Against looking at every range, in a small world where they overlap and touch. */
START_TEST(ranges_at_random)
{
	seed = (uint32_t)time(NULL);
	for (int round = 0; round < 2000; round++) {
		struct reauth_ranges *r = calloc(1, sizeof(*r) + 8 * sizeof(r->edit[0]));
		bool in[2][64] = {{false}};

		r->n = 1 + rnd(8);
		for (uint32_t i = 0; i < r->n; i++) {
			uint8_t lo = (uint8_t)rnd(64), hi = (uint8_t)(lo + rnd(64u - lo)),
				v6 = (uint8_t)rnd(2), at = v6 ? 15 : 3;

			r->edit[i].family = v6 ? 6 : 4;
			r->edit[i].lo[at] = lo;
			r->edit[i].hi[at] = hi;
			memset(&in[v6][lo], true, hi - lo + 1u);
		}
		reauth_ranges_sort(r);
		for (uint8_t v6 = 0; v6 < 2; v6++)
			for (uint8_t a = 0; a < 64; a++) {
				uint8_t addr[16] = {0};

				addr[v6 ? 15 : 3] = a;
				ck_assert_msg(reauth_ranges_has(r, v6 ? 6 : 4, addr) == in[v6][a],
					      "seed %u", seed);
			}
		free(r);
	}
}
END_TEST

static struct reauth_job *next(enum pend_reason reason)
{
	struct reauth_job *j = reauth_jobs_next(&q);

	ck_assert_ptr_nonnull(j);
	ck_assert(!j->asked);
	ck_assert_int_eq(j->what.reason, reason);
	return j;
}

START_TEST(own_jobs_are_joined_by_reason)
{
	struct reauth_job *j;

	reauth_jobs_add(&q, PEND_REASON_POLICY_CHANGE, RANGES("10.0.0.1", "10.0.0.1"));
	reauth_jobs_add(&q, PEND_REASON_NEW_ARRIVAL_INTERFACE, NULL);
	reauth_jobs_add(&q, PEND_REASON_POLICY_CHANGE, RANGES("10.0.0.3", "10.0.0.3"));
	reauth_jobs_add(&q, PEND_REASON_NEW_ARRIVAL_INTERFACE, NULL);
	j = next(PEND_REASON_POLICY_CHANGE);
	ck_assert(has(j->ranges, "10.0.0.1") && has(j->ranges, "10.0.0.3"));
	ck_assert(!has(j->ranges, "10.0.0.2"));
	reauth_job_free(j);
	j = next(PEND_REASON_NEW_ARRIVAL_INTERFACE);
	ck_assert_ptr_null(j->ranges);
	reauth_job_free(j);
	ck_assert_ptr_null(reauth_jobs_next(&q));
	/* all and some are all, in either order */
	reauth_jobs_add(&q, PEND_REASON_POLICY_CHANGE, NULL);
	reauth_jobs_add(&q, PEND_REASON_POLICY_CHANGE, RANGES("10.0.0.3", "10.0.0.3"));
	j = next(PEND_REASON_POLICY_CHANGE);
	ck_assert_ptr_null(j->ranges);
	reauth_job_free(j);
	reauth_jobs_add(&q, PEND_REASON_POLICY_CHANGE, RANGES("10.0.0.3", "10.0.0.3"));
	reauth_jobs_add(&q, PEND_REASON_POLICY_CHANGE, NULL);
	j = next(PEND_REASON_POLICY_CHANGE);
	ck_assert_ptr_null(j->ranges);
	reauth_job_free(j);
	ck_assert_ptr_null(reauth_jobs_next(&q));
}
END_TEST

static struct remembered_flow flow(uint16_t source_port, uint16_t dest_port)
{
	static const uint8_t source[16] = {10, 0, 0, 1}, dest[16] = {192, 0, 2, 1};

	return (struct remembered_flow){.family = 4,
					.protocol = 6,
					.source_port = source_port,
					.dest_port = dest_port,
					.source = source,
					.dest = dest};
}

/* The decision of a scope about such a flow. */
static struct reauth_keys *ended(uint64_t rule, uint8_t scope, uint16_t source_port,
				 uint16_t dest_port)
{
	struct reauth_keys *k = calloc(1, sizeof(*k) + sizeof(k->key[0]));
	struct remembered_flow f = flow(source_port, dest_port);

	ck_assert_ptr_nonnull(k);
	k->n = 1;
	k->key[0] = remembered_key_of(rule, scope, f.family, f.protocol, f.source, f.source_port,
				      f.dest, f.dest_port);
	return k;
}

static bool covers(const struct reauth_keys *k, uint16_t source_port, uint16_t dest_port)
{
	struct remembered_flow f = flow(source_port, dest_port);

	return reauth_keys_cover(k, &f);
}

START_TEST(ended_keys_cover_their_scope)
{
	static const uint8_t other[16] = {10, 0, 0, 2};
	struct remembered_flow f = flow(4000, 7005);
	struct reauth_keys *k = ended(77, CLASSIFY_SCOPE_SERVICE, 4000, 7005);

	reauth_keys_sort(k);
	ck_assert(covers(k, 4000, 7005) && covers(k, 4001, 7005)); /* whatever the rule */
	ck_assert(!covers(k, 4000, 7002));
	f.protocol = 17;
	ck_assert(!reauth_keys_cover(k, &f));
	f = flow(4000, 7005);
	f.source = other;
	ck_assert(!reauth_keys_cover(k, &f));
	f = flow(4000, 7005);
	f.dest = other;
	ck_assert(!reauth_keys_cover(k, &f));
	f = flow(4000, 7005);
	f.family = 6;
	ck_assert(!reauth_keys_cover(k, &f));
	free(k);
	k = ended(77, CLASSIFY_SCOPE_FLOW, 4000, 7005);
	reauth_keys_sort(k);
	ck_assert(covers(k, 4000, 7005) && !covers(k, 4001, 7005));
	free(k);
	k = ended(77, CLASSIFY_SCOPE_SOURCE, 4000, 7005);
	reauth_keys_sort(k);
	ck_assert(covers(k, 4001, 7002));
	f.family = 4;
	f.source = other;
	ck_assert(!reauth_keys_cover(k, &f));
	free(k);
}
END_TEST

START_TEST(ended_keys_are_joined)
{
	struct reauth_job *j;

	reauth_jobs_add_ended(&q, ended(77, CLASSIFY_SCOPE_SERVICE, 4000, 7005));
	reauth_jobs_add_ended(&q, ended(77, CLASSIFY_SCOPE_FLOW, 4000, 7002));
	reauth_jobs_add_ended(&q, ended(78, CLASSIFY_SCOPE_SERVICE, 4000, 7005));
	j = next(PEND_REASON_DECISION_EXPIRED);
	ck_assert_uint_eq(j->keys->n, 2);
	reauth_jobs_back(&q, j);
	reauth_jobs_add_ended(&q, ended(77, CLASSIFY_SCOPE_SERVICE, 4000, 7001));
	j = next(PEND_REASON_DECISION_EXPIRED);
	ck_assert(covers(j->keys, 4001, 7005) && covers(j->keys, 4000, 7002));
	ck_assert(covers(j->keys, 4001, 7001) && !covers(j->keys, 4001, 7002));
	reauth_job_free(j);
	/* what is not known is all of it */
	reauth_jobs_add_ended(&q, ended(77, CLASSIFY_SCOPE_SERVICE, 4000, 7005));
	reauth_jobs_add_ended(&q, NULL);
	j = next(PEND_REASON_DECISION_EXPIRED);
	ck_assert_ptr_null(j->keys);
	ck_assert_ptr_null(j->ranges);
	reauth_jobs_add_ended(&q, ended(77, CLASSIFY_SCOPE_SERVICE, 4000, 7005));
	reauth_jobs_back(&q, j);
	j = next(PEND_REASON_DECISION_EXPIRED);
	ck_assert_ptr_null(j->keys);
	reauth_job_free(j);
	reauth_jobs_add_ended(&q,
			      ended(77, CLASSIFY_SCOPE_SERVICE, 4000, 7005)); /* freed with it */
}
END_TEST

START_TEST(what_was_cancelled_is_not_lost)
{
	struct reauth_job *j;

	for (unsigned i = 0; i < REAUTH_CARRIED; i++) {
		char text[20];

		snprintf(text, sizeof(text), "10.0.0.%u", i);
		reauth_jobs_add(&q, PEND_REASON_POLICY_CHANGE, RANGES(text, text));
		j = next(PEND_REASON_POLICY_CHANGE);
		ck_assert_uint_eq(j->carried, i);
		reauth_jobs_back(&q, j);
	}
	reauth_jobs_add(&q, PEND_REASON_POLICY_CHANGE, RANGES("2001:db8::1", "2001:db8::1"));
	j = next(PEND_REASON_POLICY_CHANGE);
	ck_assert(has(j->ranges, "10.0.0.0") && has(j->ranges, "10.0.0.2"));
	ck_assert(has(j->ranges, "2001:db8::1"));
	ck_assert_uint_ge(j->carried, REAUTH_CARRIED); /* it runs to its end now */
	reauth_job_free(j);
	/* a job for all that was cancelled makes the next one a job for all */
	reauth_jobs_add(&q, PEND_REASON_POLICY_CHANGE, NULL);
	j = next(PEND_REASON_POLICY_CHANGE);
	ck_assert_uint_eq(j->carried, 0);
	reauth_jobs_add(&q, PEND_REASON_POLICY_CHANGE, RANGES("10.0.0.3", "10.0.0.3"));
	reauth_jobs_back(&q, j);
	j = next(PEND_REASON_POLICY_CHANGE);
	ck_assert_ptr_null(j->ranges);
	reauth_job_free(j);
}
END_TEST

START_TEST(too_many_ranges_are_all)
{
	struct reauth_ranges *big[2];
	struct reauth_job *j;

	for (unsigned k = 0; k < 2; k++) {
		uint32_t n = REAUTH_RANGES_MAX / 2 + k;

		big[k] = calloc(1, sizeof(*big[k]) + n * sizeof(big[k]->edit[0]));
		ck_assert_ptr_nonnull(big[k]);
		big[k]->n = n;
		for (uint32_t i = 0; i < n; i++) {
			struct classify_edit *e = &big[k]->edit[i];

			e->family = 4;
			e->lo[0] = e->hi[0] = (uint8_t)(10 + k);
			e->lo[1] = e->hi[1] = (uint8_t)(i >> 8);
			e->lo[2] = e->hi[2] = (uint8_t)i;
		}
		reauth_jobs_add(&q, PEND_REASON_POLICY_CHANGE, big[k]);
	}
	j = next(PEND_REASON_POLICY_CHANGE);
	ck_assert_ptr_null(j->ranges);
	reauth_job_free(j);
}
END_TEST

static struct msg request(uint32_t seq)
{
	struct msg m = {.type = MSG_REAUTHORIZE, .seq = seq};

	m.u.reauth.rule = UINT32_MAX;
	m.u.reauth.dest_port = 22;
	return m;
}

START_TEST(requests_keep_their_order_and_their_bound)
{
	struct reauth_job *j, *k;
	struct msg m;

	for (uint32_t i = 0; i < REAUTH_ASKED_MAX; i++) {
		m = request(i + 1);
		ck_assert_int_eq(reauth_jobs_ask(&q, &m, -1), 0);
	}
	ck_assert_int_eq(reauth_jobs_ask(&q, &m, -1), -EBUSY);
	reauth_jobs_add(&q, PEND_REASON_POLICY_CHANGE, NULL);
	reauth_job_free(next(PEND_REASON_POLICY_CHANGE));
	j = reauth_jobs_next(&q);
	ck_assert(j->asked && j->seq == 1 && j->what.dest_port == 22);
	j->result.ended = 7;
	reauth_jobs_back(&q, j); /* the same again, with what it has done */
	k = reauth_jobs_next(&q);
	ck_assert(k->seq == 1 && k->result.ended == 7 && k->carried == 1);
	reauth_job_free(k);
	/* neither kind keeps the other waiting */
	reauth_jobs_add(&q, PEND_REASON_POLICY_CHANGE, NULL);
	reauth_jobs_add(&q, PEND_REASON_MID_STREAM, NULL);
	reauth_job_free(next(PEND_REASON_POLICY_CHANGE));
	j = reauth_jobs_next(&q);
	ck_assert(j->asked && j->seq == 2);
	reauth_job_free(j);
	reauth_job_free(next(PEND_REASON_MID_STREAM));
	reauth_jobs_forget(&q);
	ck_assert_ptr_null(reauth_jobs_next(&q));
}
END_TEST

START_TEST(a_candidate_is_dry_and_has_a_descriptor_of_its_own)
{
	struct msg m = {.type = MSG_POLICY_DRY, .seq = 5, .u.policy.size = 77};
	struct reauth_job *j;
	int fd[2];

	ck_assert_int_eq(pipe(fd), 0);
	ck_assert_int_eq(reauth_jobs_ask(&q, &m, fd[0]), 0);
	close(fd[0]);
	close(fd[1]);
	j = reauth_jobs_next(&q);
	ck_assert(j->asked && j->what.dry && j->image >= 0 && j->size == 77);
	ck_assert_uint_eq(j->what.rule, UINT32_MAX);
	reauth_job_free(j);
	ck_assert_int_eq(reauth_jobs_ask(&q, &m, 1 << 20), -EBADF);
	ck_assert_ptr_null(reauth_jobs_next(&q));
}
END_TEST

Suite *suite(void)
{
	Suite *s = suite_create("reauth_jobs");
	TCase *t = tcase_create("reauth_jobs");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, ranges_are_found);
	tcase_add_test(t, ranges_at_random);
	tcase_add_test(t, own_jobs_are_joined_by_reason);
	tcase_add_test(t, ended_keys_cover_their_scope);
	tcase_add_test(t, ended_keys_are_joined);
	tcase_add_test(t, what_was_cancelled_is_not_lost);
	tcase_add_test(t, too_many_ranges_are_all);
	tcase_add_test(t, requests_keep_their_order_and_their_bound);
	tcase_add_test(t, a_candidate_is_dry_and_has_a_descriptor_of_its_own);
	suite_add_tcase(s, t);
	return s;
}
