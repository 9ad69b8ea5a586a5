/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Forged answers: their fields, their checksums, and to whom none is made. */
#include "unit.h"
#include "core/packet.h"
#include <errno.h>
#include <string.h>

static struct flow flow_of(const char *text)
{
	struct flow f;

	ck_assert_msg(!flow_parse(text, &f), "%s", text);
	return f;
}

static uint32_t get(const uint8_t *p, unsigned bytes)
{
	uint32_t v = 0;

	while (bytes--)
		v = v << 8 | *p++;
	return v;
}

/* The bytes must be a packet that stays the same when its checksums are computed again. */
static struct packet parsed(const uint8_t *out, int len)
{
	uint8_t copy[PACKET_ANSWER_MAX];
	struct packet p;

	ck_assert_int_gt(len, 0);
	ck_assert_int_le(len, PACKET_ANSWER_MAX);
	ck_assert_int_eq(packet_parse(&p, out, (size_t)len), PACKET_OK);
	ck_assert_uint_eq(p.total, (unsigned)len);
	memcpy(copy, out, (size_t)len);
	ck_assert_int_eq(packet_fix_checksum(copy, (size_t)len), 0);
	ck_assert_mem_eq(copy, out, (size_t)len);
	return p;
}

START_TEST(reset_answers_the_syn)
{
	static const char *const texts[] = {"tcp 203.0.113.7:4000 > 192.0.2.1:22",
					    "tcp [2001:db8::7]:4000 > [2001:db8::1]:22"};

	for (int i = 0; i < 2; i++) {
		struct flow f = flow_of(texts[i]), back = flow_reverse(&f);
		uint8_t out[PACKET_ANSWER_MAX];
		int len = packet_make_reset(&f, 0x01020304, 0, out);
		struct packet p = parsed(out, len);

		ck_assert_int_eq(len, i ? 60 : 40);
		ck_assert(flow_equal(&p.flow, &back));
		ck_assert_int_eq(p.kind, PACKET_TCP_RST);
		ck_assert_uint_eq(p.tcp_flags, 0x14);
		ck_assert_uint_eq(p.isn, 0);
		ck_assert_uint_eq(p.ack, 0x01020305);
		ck_assert_uint_eq(p.ttl, 64);
	}
}
END_TEST

START_TEST(reset_acknowledges_data_and_wraps)
{
	struct flow f = flow_of("tcp 203.0.113.7:4000 > 192.0.2.1:22");
	uint8_t out[PACKET_ANSWER_MAX];

	ck_assert_uint_eq(parsed(out, packet_make_reset(&f, 7, 100, out)).ack, 108);
	ck_assert_uint_eq(parsed(out, packet_make_reset(&f, UINT32_MAX, 0, out)).ack, 0);
	ck_assert_uint_eq(parsed(out, packet_make_reset(&f, UINT32_MAX, 5, out)).ack, 5);
}
END_TEST

START_TEST(reset_only_for_tcp)
{
	struct flow f = flow_of("udp 203.0.113.7:4000 > 192.0.2.1:22");
	uint8_t out[PACKET_ANSWER_MAX];

	ck_assert_int_eq(packet_make_reset(&f, 0, 0, out), -EINVAL);
	f.proto = 6;
	f.family = 0;
	ck_assert_int_eq(packet_make_reset(&f, 0, 0, out), -EINVAL);
	ck_assert_int_eq(packet_make_unreachable(&f, 0, out), -EINVAL);
}
END_TEST

/* The known bytes of one, so that a change of any is seen.. */
START_TEST(reset_bytes)
{
	static const uint8_t want[40] = {
		0x45, 0x00, 0x00, 0x28, 0x00, 0x00, 0x40, 0x00, 0x40, 0x06, 0x3c, 0xc7, 0xc0, 0x00,
		0x02, 0x01, 0xcb, 0x00, 0x71, 0x07, 0x00, 0x16, 0x0f, 0xa0, 0x00, 0x00, 0x00, 0x00,
		0x01, 0x02, 0x03, 0x05, 0x50, 0x14, 0x00, 0x00, 0x9e, 0x0a, 0x00, 0x00};
	struct flow f = flow_of("tcp 203.0.113.7:4000 > 192.0.2.1:22");
	uint8_t out[PACKET_ANSWER_MAX];

	ck_assert_int_eq(packet_make_reset(&f, 0x01020304, 0, out), 40);
	ck_assert_mem_eq(out, want, 40);
}
END_TEST

/* What an error quotes must look like the opening packet: header, flow, and its first bytes. */
static void check_quote(const struct flow *f, uint32_t isn, const uint8_t *q, size_t len)
{
	size_t header = f->family == FLOW_V4 ? 20 : 40;
	const uint8_t *l4 = q + header;
	struct packet p;
	enum packet_result r = packet_parse(&p, q, len);

	ck_assert(r == PACKET_OK || r == PACKET_TRUNCATED);
	ck_assert_uint_eq(p.flow.proto, f->proto);
	ck_assert_mem_eq(p.flow.src, f->src, 16);
	ck_assert_mem_eq(p.flow.dst, f->dst, 16);
	if (f->proto == 6 || f->proto == 17 || f->proto == 33 || f->proto == 132 ||
	    f->proto == 136) {
		ck_assert_uint_eq(get(l4, 2), f->sport);
		ck_assert_uint_eq(get(l4 + 2, 2), f->dport);
	}
	if (f->proto == 6)
		ck_assert_uint_eq(get(l4 + 4, 4), isn);
	if (f->proto == 132)
		ck_assert_uint_eq(get(l4 + 16, 4), isn);
	if (f->proto == 1 || f->proto == 58) {
		ck_assert_uint_eq(get(l4, 2), f->dport);
		ck_assert_uint_eq(get(l4 + 4, 2), f->sport);
	}
}

static const char *const quoted[] = {
	"tcp 203.0.113.7:4000 > 192.0.2.1:22",
	"udp 203.0.113.7:4000 > 192.0.2.1:53",
	"udplite 203.0.113.7:4000 > 192.0.2.1:53",
	"sctp 203.0.113.7:4000 > 192.0.2.1:36412",
	"dccp 203.0.113.7:4000 > 192.0.2.1:5000",
	"icmp 203.0.113.7 > 192.0.2.1 echo-request id 777",
	"gre 203.0.113.7 > 192.0.2.1",
	"tcp [2001:db8::7]:4000 > [2001:db8::1]:22",
	"udp [2001:db8::7]:4000 > [2001:db8::1]:53",
	"udplite [2001:db8::7]:4000 > [2001:db8::1]:53",
	"sctp [2001:db8::7]:4000 > [2001:db8::1]:36412",
	"dccp [2001:db8::7]:4000 > [2001:db8::1]:5000",
	"icmpv6 2001:db8::7 > 2001:db8::1 echo-request id 777",
	"gre 2001:db8::7 > 2001:db8::1",
};

START_TEST(unreachable_quotes_the_opening_packet)
{
	struct flow f = flow_of(quoted[_i]);
	bool v4 = f.family == FLOW_V4;
	uint8_t out[PACKET_ANSWER_MAX];
	int len = packet_make_unreachable(&f, 0xfeedbeef, out);
	struct packet p = parsed(out, len);

	ck_assert_int_eq(len, (v4 ? 20 : 40) * 2 + 8 + (f.proto == 132 ? 20 : 8));
	ck_assert_uint_eq(p.flow.proto, v4 ? 1 : 58);
	ck_assert_int_eq(p.kind, PACKET_ICMP_OTHER);
	ck_assert_uint_eq(p.icmp_type, v4 ? 3 : 1);
	ck_assert_uint_eq(p.icmp_code, v4 ? 13 : 1);
	ck_assert_mem_eq(p.flow.src, f.dst, 16);
	ck_assert_mem_eq(p.flow.dst, f.src, 16);
	check_quote(&f, 0xfeedbeef, out + p.payload, (size_t)len - p.payload);
}
END_TEST

START_TEST(unreachable_quotes_a_header_with_its_sum)
{
	struct flow f = flow_of("udp 203.0.113.7:4000 > 192.0.2.1:53");
	uint8_t out[PACKET_ANSWER_MAX];
	uint32_t sum = 0;

	ck_assert_int_eq(packet_make_unreachable(&f, 0, out), 56);
	for (int i = 28; i < 48; i += 2)
		sum += get(out + i, 2);
	ck_assert_uint_eq((sum & 0xffff) + (sum >> 16), 0xffff);
}
END_TEST

START_TEST(no_error_about_an_error)
{
	static const char *const texts[] = {"icmp 203.0.113.7 > 192.0.2.1 type 3 code 1",
					    "icmp 203.0.113.7 > 192.0.2.1 echo-reply id 1",
					    "icmpv6 2001:db8::7 > 2001:db8::1 type 1 code 4",
					    "icmpv6 2001:db8::7 > 2001:db8::1 type 135 code 0"};
	uint8_t out[PACKET_ANSWER_MAX];

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		struct flow f = flow_of(texts[i]);

		ck_assert_int_eq(packet_make_unreachable(&f, 0, out), -EINVAL);
	}
}
END_TEST

START_TEST(no_answer_from_or_to_more_than_one)
{
	static const char *const texts[] = {
		"tcp 203.0.113.7:1 > 224.0.0.1:2",   "tcp 203.0.113.7:1 > 255.255.255.255:2",
		"tcp 239.1.1.1:1 > 192.0.2.1:2",     "tcp 0.0.0.0:1 > 192.0.2.1:2",
		"tcp 203.0.113.7:1 > 0.0.0.0:2",     "tcp [2001:db8::7]:1 > [ff02::1]:2",
		"tcp [ff02::1]:1 > [2001:db8::1]:2", "tcp [::]:1 > [2001:db8::1]:2",
		"tcp [2001:db8::7]:1 > [::]:2",
	};
	uint8_t out[PACKET_ANSWER_MAX];

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		struct flow f = flow_of(texts[i]);

		ck_assert_int_eq(packet_make_reset(&f, 1, 0, out), -EINVAL);
		ck_assert_int_eq(packet_make_unreachable(&f, 1, out), -EINVAL);
	}
}
END_TEST

Suite *suite(void)
{
	Suite *s = suite_create("packet_make");
	TCase *tc = tcase_create("make");

	tcase_add_test(tc, reset_answers_the_syn);
	tcase_add_test(tc, reset_acknowledges_data_and_wraps);
	tcase_add_test(tc, reset_only_for_tcp);
	tcase_add_test(tc, reset_bytes);
	tcase_add_loop_test(tc, unreachable_quotes_the_opening_packet, 0,
			    (int)(sizeof(quoted) / sizeof(*quoted)));
	tcase_add_test(tc, unreachable_quotes_a_header_with_its_sum);
	tcase_add_test(tc, no_error_about_an_error);
	tcase_add_test(tc, no_answer_from_or_to_more_than_one);
	suite_add_tcase(s, tc);
	return s;
}
