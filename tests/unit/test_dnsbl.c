/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names, codes and scores of lists of addresses. */
#include "unit.h"
#include "agents/dnsbl.h"
#include <string.h>

static struct dnsbl_key key_of(const char *address)
{
	struct dnsbl_key k = {0};

	ck_assert_msg(dnsbl_address(address, &k), "%s", address);
	return k;
}

START_TEST(names)
{
	static const struct {
		const char *address, *name;
	} all[] = {
		{"203.0.113.7", "7.113.0.203.bl.example.org"},
		{"0.0.0.0", "0.0.0.0.bl.example.org"},
		{"255.254.253.252", "252.253.254.255.bl.example.org"},
		{"::ffff:192.0.2.1", "1.2.0.192.bl.example.org"},
		{"2001:db8:1:2:3:4:567:89ab",
		 "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.bl.example.org"},
		{"::1",
		 "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.bl.example.org"},
	};
	char name[DNSBL_NAME_MAX];

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct dnsbl_key k = key_of(all[i].address);

		ck_assert(dnsbl_name(&k, "bl.example.org", name));
		ck_assert_str_eq(name, all[i].name);
	}
}
END_TEST

/* The longest zone that the policy takes has room behind every address; a longer one is told. */
START_TEST(long_names)
{
	struct dnsbl_key k = key_of("2001:db8::1");
	char zone[DNSBL_NAME_MAX], name[DNSBL_NAME_MAX];

	memset(zone, 'a', sizeof(zone));
	zone[189] = '\0';
	ck_assert(dnsbl_name(&k, zone, name));
	ck_assert_uint_eq(strlen(name), 253);
	zone[189] = 'a';
	zone[192] = '\0';
	ck_assert(!dnsbl_name(&k, zone, name));
}
END_TEST

START_TEST(addresses)
{
	static const char *const none[] = {
		"", "x", "203.0.113", "203.0.113.7/32", "2001:db8::g", "203.0.113.256"};
	struct dnsbl_key k = {0}, l = {0};

	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
		ck_assert_msg(!dnsbl_address(none[i], &k), "%s", none[i]);
	/* Equal addresses are equal bytes, whatever was there before. */
	k = key_of("2001:db8::1");
	ck_assert(dnsbl_address("203.0.113.7", &k));
	ck_assert(dnsbl_address("::ffff:203.0.113.7", &l));
	ck_assert_mem_eq(&k, &l, sizeof(k));
}
END_TEST

START_TEST(ranges)
{
	static const char *const none[] = {"",
					   "127.0.0",
					   "128.0.0.1",
					   "127.0.0.9-127.0.0.8",
					   "127.0.0.1-",
					   "-127.0.0.1",
					   "127.0.0.1-x",
					   "127.0.0.1-128.0.0.1",
					   "10.0.0.1",
					   "127.0.0.000000000000000000001"};
	struct dnsbl_range r;

	ck_assert(dnsbl_range_parse("127.0.0.2", &r));
	ck_assert_uint_eq(r.lo, 0x7f000002);
	ck_assert_uint_eq(r.hi, 0x7f000002);
	ck_assert(dnsbl_range_parse("127.0.0.2-127.1.0.255", &r));
	ck_assert_uint_eq(r.lo, 0x7f000002);
	ck_assert_uint_eq(r.hi, 0x7f0100ff);
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
		ck_assert_msg(!dnsbl_range_parse(none[i], &r), "%s", none[i]);
}
END_TEST

#define A(d)     (0x7f000000u | (d))
#define PARKED   0xcb007101u /* 203.0.113.1 */
#define REFUSED  0x7ffffffeu
#define NOT_ONE  A(1)
#define COMMENTS A(10)

START_TEST(codes)
{
	static const struct dnsbl_range range[] = {{A(2), A(9)}, {A(256 + 4), A(256 + 4)}};
	static const struct {
		uint32_t addr[3];
		int n;
		enum dnsbl_result result;
		uint32_t which;
	} all[] = {
		{{A(2)}, 1, DNSBL_LISTED, A(2)},
		{{A(9)}, 1, DNSBL_LISTED, A(9)},
		{{A(256 + 4)}, 1, DNSBL_LISTED, A(256 + 4)},
		{{NOT_ONE}, 1, DNSBL_NOT, 0},
		{{COMMENTS}, 1, DNSBL_NOT, 0},
		{{0}, 0, DNSBL_NOT, 0},
		{{COMMENTS, A(3), A(4)}, 3, DNSBL_LISTED, A(3)},
		{{PARKED}, 1, DNSBL_FAILED, PARKED},
		{{PARKED, A(3)}, 2, DNSBL_LISTED, A(3)},
		{{A(3), PARKED}, 2, DNSBL_LISTED, A(3)},
		{{A(3), REFUSED}, 2, DNSBL_FAILED, REFUSED},
		{{REFUSED, A(3)}, 2, DNSBL_FAILED, REFUSED},
	};
	static const struct dnsbl_range every = {0x7f000000, 0x7fffffff};
	uint32_t which;

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		ck_assert_msg(dnsbl_judge(range, 2, all[i].addr, all[i].n, &which) == all[i].result,
			      "%zu", i);
		ck_assert_uint_eq(which, all[i].which);
	}
	/* A refusal is none of the codes, whatever these are. */
	ck_assert_int_eq(dnsbl_judge(&every, 1, (uint32_t[]){REFUSED}, 1, &which), DNSBL_FAILED);
}
END_TEST

/* An answer with `n` records of 127.0.0.2; how many bytes. */
static int packet(unsigned char *p, unsigned n, uint32_t ttl)
{
	static const unsigned char question[] = "\x01x\x04test\0\0\x01\0\x01";
	const unsigned char head[] = {0, 1, 0x81, 0x80, 0, 1, 0, (unsigned char)n, 0, 0, 0, 0};
	const unsigned char record[] = {0xc0,
					12,
					0,
					1,
					0,
					1,
					(unsigned char)(ttl >> 24),
					(unsigned char)(ttl >> 16),
					(unsigned char)(ttl >> 8),
					(unsigned char)ttl,
					0,
					4,
					127,
					0,
					0,
					2};
	size_t len = sizeof(head) + sizeof(question) - 1;

	memcpy(p, head, sizeof(head));
	memcpy(p + sizeof(head), question, sizeof(question) - 1);
	for (unsigned i = 0; i < n; i++, len += sizeof(record))
		memcpy(p + len, record, sizeof(record));
	return (int)len;
}

START_TEST(replies)
{
	static const struct dnsbl_range range = {A(2), A(2)};
	static const struct {
		uint32_t ttl;
		unsigned seconds;
	} ttls[] = {{0, 1}, {1, 1}, {60, 60}, {3600, 3600}, {86400, 3600}, {UINT32_MAX, 1}};
	unsigned char p[4096];
	struct dnsbl_said s;
	int len;

	for (size_t i = 0; i < sizeof(ttls) / sizeof(ttls[0]); i++) {
		s = dnsbl_read(&range, 1, ARES_SUCCESS, p, packet(p, 1, ttls[i].ttl));
		ck_assert_int_eq(s.result, DNSBL_LISTED);
		ck_assert_uint_eq(s.code, A(2));
		ck_assert_uint_eq(s.seconds, ttls[i].seconds);
	}
	s = dnsbl_read(&range, 1, ARES_SUCCESS, p, packet(p, 200, 60));
	ck_assert_int_eq(s.result, DNSBL_LISTED);
	s = dnsbl_read(&range, 1, ARES_SUCCESS, p, packet(p, 0, 60));
	ck_assert_int_eq(s.result, DNSBL_NOT);
	ck_assert_uint_eq(s.seconds, DNSBL_TTL_NOT);
	/* Whatever is cut off, nobody is listed or let in by it. */
	len = packet(p, 1, 60);
	for (int i = 0; i < len; i++)
		ck_assert_int_eq(dnsbl_read(&range, 1, ARES_SUCCESS, p, i).result, DNSBL_FAILED);
	ck_assert_int_eq(dnsbl_read(&range, 1, ARES_ENOTFOUND, NULL, 0).result, DNSBL_NOT);
	ck_assert_int_eq(dnsbl_read(&range, 1, ARES_ENODATA, NULL, 0).result, DNSBL_NOT);
	s = dnsbl_read(&range, 1, ARES_ETIMEOUT, NULL, 0);
	ck_assert_int_eq(s.result, DNSBL_FAILED);
	ck_assert_str_eq(s.why, "no answer in time");
}
END_TEST

START_TEST(outcomes)
{
	static const struct {
		struct dnsbl_score score;
		unsigned threshold;
		enum dnsbl_outcome outcome;
	} all[] = {
		{{0, 0, 2}, 1, DNSBL_OPEN},
		{{1, 0, 1}, 1, DNSBL_IS_LISTED},
		{{0, 0, 0}, 1, DNSBL_IS_NOT},
		{{0, 1, 0}, 1, DNSBL_UNKNOWN},
		{{0, 1, 1}, 1, DNSBL_OPEN}, /* the other one may still list it */
		{{1, 1, 0}, 1, DNSBL_IS_LISTED},
		{{1, 0, 1}, 3, DNSBL_IS_NOT}, /* what is to come cannot reach it */
		{{0, 1, 1}, 3, DNSBL_IS_NOT},
		{{0, 1, 2}, 3, DNSBL_OPEN},
		{{1, 2, 1}, 3, DNSBL_UNKNOWN},
		{{2, 2, 1}, 3, DNSBL_OPEN},
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		ck_assert_msg(dnsbl_outcome(&all[i].score, all[i].threshold) == all[i].outcome,
			      "%zu", i);
}
END_TEST

/* What all the ways say together that what waits can still go. */
static unsigned reachable(struct dnsbl_score s, const unsigned *weight, unsigned n,
			  unsigned threshold)
{
	struct dnsbl_score t = s;
	unsigned seen;

	if (!n)
		return s.listed >= threshold              ? 1u << DNSBL_IS_LISTED
		       : s.listed + s.failed >= threshold ? 1u << DNSBL_UNKNOWN
							  : 1u << DNSBL_IS_NOT;
	seen = reachable(t, weight + 1, n - 1, threshold);
	t.listed += *weight;
	seen |= reachable(t, weight + 1, n - 1, threshold);
	t = s;
	t.failed += *weight;
	return seen | reachable(t, weight + 1, n - 1, threshold);
}

/* Never early and wrong: what is said while some wait is the only thing that can come of it, but for failures of those. */
START_TEST(early_is_right)
{
	uint64_t seed = unit_seed("early_is_right");

	for (int i = 0; i < 3000; i++) {
		unsigned weight[5], n = (unsigned)(unit_rand(&seed) % 6);
		unsigned threshold = 1 + (unsigned)(unit_rand(&seed) % 8), ways;
		struct dnsbl_score s = {.listed = (unsigned)(unit_rand(&seed) % 5),
					.failed = (unsigned)(unit_rand(&seed) % 5)};
		enum dnsbl_outcome o;

		for (unsigned k = 0; k < n; k++)
			s.waiting += weight[k] = 1 + (unsigned)(unit_rand(&seed) % 3);
		o = dnsbl_outcome(&s, threshold);
		ways = reachable(s, weight, n, threshold);
		if (o != DNSBL_OPEN)
			ck_assert_uint_eq(ways, 1u << o);
		else
			ck_assert_uint_ne(ways & (ways - 1), 0);
	}
}
END_TEST

Suite *suite(void)
{
	Suite *s = suite_create("dnsbl");
	TCase *t = tcase_create("dnsbl");

	tcase_add_test(t, names);
	tcase_add_test(t, long_names);
	tcase_add_test(t, addresses);
	tcase_add_test(t, ranges);
	tcase_add_test(t, codes);
	tcase_add_test(t, replies);
	tcase_add_test(t, outcomes);
	tcase_add_test(t, early_is_right);
	suite_add_tcase(s, t);
	return s;
}
