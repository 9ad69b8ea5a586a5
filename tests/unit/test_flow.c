/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The flow key: hash, compare, reverse, prefixes, and the text that must read back. */
#include "unit.h"
#include "core/flow.h"
#include "pend.h"
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

static const struct siphash_key key = {{0x0706050403020100, 0x0f0e0d0c0b0a0908}};

static struct flow flow_of(const char *text)
{
	struct flow f;

	ck_assert_msg(!flow_parse(text, &f), "%s", text);
	ck_assert_uint_eq(f.zero, 0);
	return f;
}

/* Any flow that a packet or a caller can bring; the padding is zero. */
static struct flow random_flow(uint64_t *seed)
{
	static const uint8_t common[] = {1, 6, 17, 58, 132, 136, 47, 50};
	uint64_t r = unit_rand(seed);
	struct flow f = {0};

	f.family = r & 1 ? FLOW_V6 : FLOW_V4;
	for (unsigned i = 0; i < (f.family == FLOW_V6 ? 16 : 4); i++) {
		uint64_t a = unit_rand(seed);

		f.src[i] = a & 3 ? 0 : (uint8_t)(a >> 8); /* runs of zeros */
		f.dst[i] = a & 4 ? 0 : (uint8_t)(a >> 16);
	}
	f.proto = r & 2 ? common[r >> 8 & 7] : (uint8_t)(r >> 16);
	f.sport = r & 4 ? 0 : (uint16_t)(r >> 24);
	f.dport = r & 8 ? 0 : (uint16_t)(r >> 40);
	if (r & 16) /* an echo */
		f.dport = (f.family == FLOW_V6 ? 128 + (r >> 5 & 1) : (r >> 5 & 1) * 8) << 8;
	return f;
}

START_TEST(hash_and_equal_see_every_bit)
{
	struct flow f = flow_of("tcp [2001:db8::7]:4000 > [2001:db8::1]:22"), g;
	uint32_t hash = flow_hash(&f, &key);

	for (unsigned bit = 0; bit < sizeof(f) * 8; bit++) {
		g = f;
		((uint8_t *)&g)[bit / 8] ^= (uint8_t)(1 << bit % 8);
		ck_assert(!flow_equal(&f, &g));
		ck_assert_uint_ne(flow_hash(&g, &key), hash);
	}
	g = f;
	ck_assert(flow_equal(&f, &g));
	ck_assert_uint_eq(flow_hash(&g, &key), hash);
	ck_assert_uint_ne(flow_hash(&g, &(struct siphash_key){{1, 2}}), hash);
}
END_TEST

START_TEST(reverse_swaps_ports)
{
	struct flow f = flow_of("tcp 203.0.113.7:4000 > 192.0.2.1:22");
	struct flow want = flow_of("tcp 192.0.2.1:22 > 203.0.113.7:4000"), r = flow_reverse(&f);

	ck_assert(flow_equal(&r, &want));
}
END_TEST

START_TEST(reverse_of_an_echo_is_its_reply)
{
	static const char *const texts[][2] = {
		{"icmp 203.0.113.7 > 192.0.2.1 echo-request id 7",
		 "icmp 192.0.2.1 > 203.0.113.7 echo-reply id 7"},
		{"icmpv6 2001:db8::7 > 2001:db8::1 echo-request id 7",
		 "icmpv6 2001:db8::1 > 2001:db8::7 echo-reply id 7"},
		{"icmp 203.0.113.7 > 192.0.2.1 type 3 code 1",
		 "icmp 192.0.2.1 > 203.0.113.7 type 3 code 1"},
		{"icmpv6 2001:db8::7 > 2001:db8::1 type 8 code 0",
		 "icmpv6 2001:db8::1 > 2001:db8::7 type 8 code 0"},
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		struct flow f = flow_of(texts[i][0]), want = flow_of(texts[i][1]);
		struct flow r = flow_reverse(&f);

		ck_assert(flow_equal(&r, &want));
	}
}
END_TEST

START_TEST(reverse_twice_is_the_same)
{
	uint64_t seed = unit_seed("reverse_twice_is_the_same");

	for (int i = 0; i < 20000; i++) {
		struct flow f = random_flow(&seed), r = flow_reverse(&f);

		r = flow_reverse(&r);
		if (!flow_equal(&f, &r))
			ck_abort_msg("flow %d", i);
	}
}
END_TEST

START_TEST(loopback_addresses)
{
	static const struct {
		const char *text;
		bool loopback;
	} cases[] = {
		{"127.0.0.1", true},
		{"127.255.255.255", true},
		{"126.255.255.255", false},
		{"128.0.0.0", false},
		{"::1", true},
		{"::", false},
		{"::2", false},
		{"::127.0.0.1", false},
		{"7f00::1", false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		uint8_t a[16], family;

		ck_assert_int_eq(flow_addr_parse(cases[i].text, a, &family), 0);
		ck_assert_msg(flow_addr_loopback(a, family) == cases[i].loopback, "%s",
			      cases[i].text);
	}
}
END_TEST

START_TEST(addresses_of_a_link)
{
	static const struct {
		const char *text;
		bool link;
	} cases[] = {
		{"fe80::1", true},      {"febf:ffff::1", true}, {"fec0::1", false},
		{"fe7f::1", false},     {"fd80::1", false},     {"ff02::fb", true},
		{"ff12::1:ff00", true}, {"ff01::1", true},      {"ff05::2", false},
		{"ff0e::1", false},     {"2001:db8::1", false}, {"::1", false},
		{"254.128.0.1", false}, {"169.254.0.1", false}, {"224.0.0.251", false},
	};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint8_t a[16], family;

		ck_assert_int_eq(flow_addr_parse(cases[i].text, a, &family), 0);
		ck_assert_msg(flow_addr_link_scope(a, family) == cases[i].link, "%s",
			      cases[i].text);
	}
}
END_TEST

/* Every length, every bit: a difference counts within the prefix and nowhere else. */
START_TEST(prefix_of_every_length)
{
	uint64_t seed = unit_seed("prefix_of_every_length");
	uint8_t a[16], b[16];

	for (unsigned i = 0; i < 16; i++)
		a[i] = (uint8_t)unit_rand(&seed);
	for (unsigned len = 0; len <= 128; len++) {
		memcpy(b, a, 16);
		ck_assert(flow_addr_in(a, b, len));
		for (unsigned bit = 0; bit < 128; bit++) {
			b[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
			if (flow_addr_in(a, b, len) != (bit >= len))
				ck_abort_msg("length %u, bit %u", len, bit);
			b[bit / 8] = a[bit / 8];
		}
	}
	ck_assert(!flow_addr_in(a, a, 129));
	ck_assert(!flow_addr_in(a, a, UINT32_MAX));
}
END_TEST

START_TEST(mask_of_every_length)
{
	for (unsigned len = 0; len < 140; len++) {
		uint8_t a[16], ones[16];

		memset(ones, 0xff, 16);
		memset(a, 0xff, 16);
		flow_addr_mask(a, FLOW_V6, len);
		for (unsigned bit = 0; bit < 128; bit++)
			ck_assert((a[bit / 8] >> (7 - bit % 8) & 1) == (bit < len));
		memset(a, 0xff, 16);
		flow_addr_mask(a, FLOW_V4, len);
		for (unsigned bit = 0; bit < 128; bit++)
			ck_assert((a[bit / 8] >> (7 - bit % 8) & 1) == (bit < len && bit < 32));
	}
}
END_TEST

/* RFC 5952, section 4 and 5, and the examples of RFC 4291. */
START_TEST(addresses_are_printed_canonically)
{
	static const char *const cases[][2] = {
		{"2001:0db8:0000:0000:0001:0000:0000:0001", "2001:db8::1:0:0:1"},
		{"2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"},
		{"2001:db8::1:1:1:1:1", "2001:db8:0:1:1:1:1:1"},
		{"2001:0:0:1:0:0:0:1", "2001:0:0:1::1"},
		{"2001:DB8:AAAA::F", "2001:db8:aaaa::f"},
		{"1::", "1::"},
		{"::", "::"},
		{"::1", "::1"},
		{"::2:0", "::2:0"},
		{"0:1:0:1:0:1:0:1", "0:1:0:1:0:1:0:1"},
		{"0:0:1:0:0:1:0:0", "::1:0:0:1:0:0"},
		{"1:0:0:2:3:4:0:0", "1::2:3:4:0:0"},
		{"1:2:3:4:5:6:0:0", "1:2:3:4:5:6::"},
		{"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
		 "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
		{"::ffff:c000:0201", "::ffff:192.0.2.1"},
		{"::192.0.2.1", "::c000:201"},
		{"64:ff9b::192.0.2.1", "64:ff9b::c000:201"},
		{"0.0.0.0", "0.0.0.0"},
		{"255.255.255.255", "255.255.255.255"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		uint8_t a[16], family;
		char buf[FLOW_ADDR_TEXT];

		ck_assert_int_eq(flow_addr_parse(cases[i][0], a, &family), 0);
		ck_assert_str_eq(flow_addr_print(a, family, buf), cases[i][1]);
	}
}
END_TEST

START_TEST(random_addresses_read_back)
{
	uint64_t seed = unit_seed("random_addresses_read_back");

	for (int i = 0; i < 20000; i++) {
		struct flow f = random_flow(&seed);
		uint8_t a[16], family = 0;
		char buf[FLOW_ADDR_TEXT];

		flow_addr_print(f.src, f.family, buf);
		if (flow_addr_parse(buf, a, &family) || family != f.family ||
		    memcmp(a, f.src, 16) || strlen(buf) >= FLOW_ADDR_TEXT)
			ck_abort_msg("%s", buf);
		if (family == FLOW_V6 && (inet_pton(AF_INET6, buf, a) != 1 || memcmp(a, f.src, 16)))
			ck_abort_msg("%s", buf);
	}
}
END_TEST

START_TEST(bad_addresses_change_nothing)
{
	static const char *const bad[] = {
		"",          " ",         "1",           "1.2.3",         "1.2.3.4.5",
		"1.2.3.256", "1.2.3.4 ",  " 1.2.3.4",    "01.2.3.4",      "0x1.2.3.4",
		"1.2.3.-4",  ":",         ":::",         "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9",
		"1::2::3",   "12345::",   "g::",         "fe80::1%lo",    "[::1]",
		"::1/128",   "localhost", "::1.2.3.4.5",
	};
	uint8_t a[16], family = 77;

	memset(a, 0xa5, sizeof(a));
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		ck_assert_msg(flow_addr_parse(bad[i], a, &family) == -EINVAL, "\"%s\"", bad[i]);
	ck_assert_uint_eq(family, 77);
	ck_assert_uint_eq(a[0], 0xa5);
	ck_assert_uint_eq(a[15], 0xa5);
}
END_TEST

START_TEST(an_ipv4_address_fills_all_bytes)
{
	static const uint8_t want[16] = {192, 0, 2, 1};
	uint8_t a[16], family;

	memset(a, 0xa5, sizeof(a));
	ck_assert_int_eq(flow_addr_parse("192.0.2.1", a, &family), 0);
	ck_assert_mem_eq(a, want, 16);
}
END_TEST

START_TEST(protocols_by_name_and_number)
{
	ck_assert_int_eq(flow_proto_parse("tcp"), 6);
	ck_assert_int_eq(flow_proto_parse("icmp6"), 58);
	ck_assert_int_eq(flow_proto_parse("ipv6-icmp"), 58);
	ck_assert_str_eq(flow_proto_name(58), "icmpv6");
	ck_assert_str_eq(flow_proto_name(136), "udplite");
	ck_assert_ptr_null(flow_proto_name(253));
	for (int i = 0; i < 256; i++) {
		char text[16];

		snprintf(text, sizeof(text), "%d", i);
		ck_assert_int_eq(flow_proto_parse(text), i);
		if (flow_proto_name((uint8_t)i))
			ck_assert_int_eq(flow_proto_parse(flow_proto_name((uint8_t)i)), i);
	}
}
END_TEST

START_TEST(no_protocols)
{
	static const char *const bad[] = {"",   " ",   "256", "-1",    "+6",   "6 ", "0x6",
					  "6a", "TCP", "tpc", "99999", "tcp ", "1e1"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		ck_assert_msg(flow_proto_parse(bad[i]) == -1, "\"%s\"", bad[i]);
}
END_TEST

/* What is printed for a flow, and that the same text reads back to it. */
START_TEST(canonical_texts)
{
	static const char *const texts[] = {
		"tcp 203.0.113.7:4000 > 192.0.2.1:22",
		"tcp [2001:db8::7]:4000 > [2001:db8::1]:22",
		"udp 203.0.113.7:0 > 192.0.2.1:65535",
		"udplite [::1]:1 > [::1]:2",
		"dccp 203.0.113.7:4000 > 192.0.2.1:0",
		"sctp 203.0.113.7:4000 > 192.0.2.1:36412",
		"icmp 203.0.113.7 > 192.0.2.1 echo-request id 7",
		"icmp 203.0.113.7 > 192.0.2.1 echo-reply id 0",
		"icmp 203.0.113.7 > 192.0.2.1 type 3 code 13",
		"icmp 203.0.113.7 > 192.0.2.1 type 8 code 1 id 5",
		"icmpv6 2001:db8::7 > 2001:db8::1 echo-request id 65535",
		"icmpv6 2001:db8::7 > 2001:db8::1 type 0 code 0",
		"gre 203.0.113.7 > 192.0.2.1",
		"253 203.0.113.7 > 192.0.2.1",
		"1 2001:db8::7 > 2001:db8::1",
		"58 203.0.113.7 > 192.0.2.1",
		"gre 203.0.113.7:1 > 192.0.2.1:0",
		("icmpv6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff > "
		 "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff type 255 code 255 id 65535"),
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		struct flow f = flow_of(texts[i]);
		char buf[FLOW_TEXT];

		ck_assert_str_eq(flow_print(&f, buf), texts[i]);
	}
}
END_TEST

/* What people may write instead. */
START_TEST(shorter_texts)
{
	static const char *const texts[][2] = {
		{"icmp 203.0.113.7 > 192.0.2.1", "icmp 203.0.113.7 > 192.0.2.1 echo-request id 0"},
		{"icmp 203.0.113.7 > 192.0.2.1 id 9",
		 "icmp 203.0.113.7 > 192.0.2.1 echo-request id 9"},
		{"icmp 203.0.113.7 > 192.0.2.1 echo-request",
		 "icmp 203.0.113.7 > 192.0.2.1 echo-request id 0"},
		{"icmp6 2001:db8::7 > 2001:db8::1 echo-reply",
		 "icmpv6 2001:db8::7 > 2001:db8::1 echo-reply id 0"},
		{"icmp 203.0.113.7 > 192.0.2.1 type 3",
		 "icmp 203.0.113.7 > 192.0.2.1 type 3 code 0"},
		{"icmp 203.0.113.7 > 192.0.2.1 type 8 id 3",
		 "icmp 203.0.113.7 > 192.0.2.1 echo-request id 3"},
		{"tcp 203.0.113.7 > 192.0.2.1:22", "tcp 203.0.113.7:0 > 192.0.2.1:22"},
		{"tcp 2001:db8::7 > [2001:db8::1]:22", "tcp [2001:db8::7]:0 > [2001:db8::1]:22"},
		{"6 [2001:DB8::7] > [2001:db8:0::1]:22", "tcp [2001:db8::7]:0 > [2001:db8::1]:22"},
		{"  tcp\t203.0.113.7:4000   >  192.0.2.1:22 ",
		 "tcp 203.0.113.7:4000 > 192.0.2.1:22"},
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		struct flow f = flow_of(texts[i][0]);
		char buf[FLOW_TEXT];

		ck_assert_str_eq(flow_print(&f, buf), texts[i][1]);
	}
}
END_TEST

START_TEST(bad_texts_change_nothing)
{
	static const char *const bad[] = {
		"",
		" ",
		"tcp",
		"tcp 1.2.3.4:1",
		"tcp 1.2.3.4:1 >",
		"tcp 1.2.3.4:1 > 1.2.3.4:2 x",
		"tcp 1.2.3.4:1 < 1.2.3.4:2",
		"tcp 1.2.3.4:1>1.2.3.4:2",
		"tpc 1.2.3.4:1 > 1.2.3.4:2",
		"tcp 1.2.3.4:65536 > 1.2.3.4:2",
		"tcp 1.2.3.4: > 1.2.3.4:2",
		"tcp 1.2.3.4:-1 > 1.2.3.4:2",
		"tcp 1.2.3.4:1 > 1.2.3.4:2:3",
		"tcp :1 > 1.2.3.4:2",
		"tcp 1.2.3.4:1 > [::1]:2",
		"tcp [1.2.3.4]:1 > 1.2.3.4:2",
		"tcp [::1:1 > [::1]:2",
		"tcp [::1]1 > [::1]:2",
		"tcp [::1]: > [::1]:2",
		"tcp [] > [::1]:2",
		"tcp [ > [::1]:2",
		"tcp [::1]] > [::1]:2",
		"icmp ::1 > ::1",
		"icmpv6 1.2.3.4 > 1.2.3.4",
		"icmp 1.2.3.4:1 > 1.2.3.4",
		"icmp 1.2.3.4 > 1.2.3.4:1",
		"icmp 1.2.3.4 > 1.2.3.4 echo",
		"icmp 1.2.3.4 > 1.2.3.4 id",
		"icmp 1.2.3.4 > 1.2.3.4 id 65536",
		"icmp 1.2.3.4 > 1.2.3.4 type",
		"icmp 1.2.3.4 > 1.2.3.4 type 256",
		"icmp 1.2.3.4 > 1.2.3.4 type 3 code",
		"icmp 1.2.3.4 > 1.2.3.4 type 3 code 256",
		"icmp 1.2.3.4 > 1.2.3.4 type 3 code 1 4",
		"icmp 1.2.3.4 > 1.2.3.4 echo-request id 1 2",
		"icmp 1.2.3.4 > 1.2.3.4 code 1",
		"udp 1.2.3.4:1 > 1.2.3.4:2 echo-request",
		("tcp                                                                "
		 "                              203.0.113.7:4000 > 192.0.2.1:22 "),
	};
	struct flow f, before;

	memset(&before, 0xa5, sizeof(before));
	f = before;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		ck_assert_msg(flow_parse(bad[i], &f) == -EINVAL, "\"%s\"", bad[i]);
		ck_assert(flow_equal(&f, &before));
	}
}
END_TEST

START_TEST(random_flows_read_back)
{
	uint64_t seed = unit_seed("random_flows_read_back");

	for (int i = 0; i < 50000; i++) {
		struct flow f = random_flow(&seed), g;
		char buf[FLOW_TEXT];

		if (flow_parse(flow_print(&f, buf), &g) || !flow_equal(&f, &g))
			ck_abort_msg("%s", buf);
	}
}
END_TEST

/* Of packets, and of what connection tracking keeps of them: the call of PPTP's GRE, the number of an echo. */
START_TEST(ports_are_those_of_protocols_that_have_them)
{
	static const struct {
		uint8_t proto;
		uint16_t sport, dport;
		bool ports;
	} cases[] = {{6, 4000, 22, true}, {17, 4000, 53, true},  {132, 4000, 36412, true},
		     {33, 0, 5001, true}, {136, 9, 0, true},     {17, 0, 0, false},
		     {47, 7, 9, false},   {1, 7, 8 << 8, false}, {50, 0, 0, false}};
	struct pend_values v;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct flow f = {.family = FLOW_V4,
				 .proto = cases[i].proto,
				 .sport = cases[i].sport,
				 .dport = cases[i].dport};
		struct pend_info info = {.family = 4,
					 .protocol = cases[i].proto,
					 .source_port = cases[i].sport,
					 .dest_port = cases[i].dport};

		flow_values(&f, &v);
		ck_assert(v.has_ports == cases[i].ports);
		ck_assert_uint_eq(v.source_port, cases[i].ports ? cases[i].sport : 0);
		ck_assert_uint_eq(v.dest_port, cases[i].ports ? cases[i].dport : 0);
		flow_info_values(&info, &v);
		ck_assert(v.has_ports == cases[i].ports);
		ck_assert_uint_eq(v.source_port, cases[i].ports ? cases[i].sport : 0);
		ck_assert_uint_eq(v.dest_port, cases[i].ports ? cases[i].dport : 0);
	}
}
END_TEST

Suite *suite(void)
{
	Suite *s = suite_create("flow");
	TCase *tc = tcase_create("flow");

	tcase_add_test(tc, hash_and_equal_see_every_bit);
	tcase_add_test(tc, reverse_swaps_ports);
	tcase_add_test(tc, reverse_of_an_echo_is_its_reply);
	tcase_add_test(tc, reverse_twice_is_the_same);
	tcase_add_test(tc, loopback_addresses);
	tcase_add_test(tc, addresses_of_a_link);
	tcase_add_test(tc, prefix_of_every_length);
	tcase_add_test(tc, mask_of_every_length);
	tcase_add_test(tc, addresses_are_printed_canonically);
	tcase_add_test(tc, random_addresses_read_back);
	tcase_add_test(tc, bad_addresses_change_nothing);
	tcase_add_test(tc, an_ipv4_address_fills_all_bytes);
	tcase_add_test(tc, protocols_by_name_and_number);
	tcase_add_test(tc, no_protocols);
	tcase_add_test(tc, canonical_texts);
	tcase_add_test(tc, shorter_texts);
	tcase_add_test(tc, bad_texts_change_nothing);
	tcase_add_test(tc, random_flows_read_back);
	tcase_add_test(tc, ports_are_those_of_protocols_that_have_them);
	tcase_set_timeout(tc, 60); /* valgrind */
	suite_add_tcase(s, tc);
	return s;
}
