/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Checksums: against a second implementation that does it the slow way of the RFCs, which itself is held
 * to published vectors, and against packets whose sums are known.
 */
#include "unit.h"
#include "packet_build.h"
#include "core/packet.h"
#include <errno.h>

#define SAMPLES 60

/* RFC 1071, 4.1, over 16-bit words with end-around carry after each. */
static uint16_t slow_sum(const uint8_t *p, size_t n)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < n; i++) {
		sum += i & 1 ? p[i] : (uint32_t)p[i] << 8;
		sum = (sum & 0xffff) + (sum >> 16);
	}
	return (uint16_t)~sum;
}

/* One bit at a time, polynomial 0x1edc6f41 (RFC 3385). */
static uint32_t slow_crc32c(const uint8_t *p, size_t n)
{
	uint32_t crc = 0xffffffff;

	while (n--) {
		crc ^= *p++;
		for (int i = 0; i < 8; i++)
			crc = crc & 1 ? crc >> 1 ^ 0x82f63b78 : crc >> 1;
	}
	return ~crc;
}

/* The transport sum of a packet whose field is zero, over a pseudo-header written out. */
static uint16_t slow_transport(const struct build *b, uint8_t proto, size_t len)
{
	static uint8_t buf[40 + sizeof(b->d)];
	size_t n = 0;

	memset(buf, 0, 40);
	if (b->d[0] >> 4 == 4 && proto != 1) {
		memcpy(buf, b->d + 12, 8);
		buf[9] = proto;
		build_put16(buf + 10, (unsigned)len);
		n = 12;
	} else if (b->d[0] >> 4 == 6) {
		memcpy(buf, b->d + 8, 32);
		build_put32(buf + 32, (uint32_t)len);
		buf[39] = proto;
		n = 40;
	}
	memcpy(buf + n, b->d + b->l4, len);
	return slow_sum(buf, n + len);
}

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

START_TEST(the_slow_way_is_right)
{
	static const uint8_t rfc1071[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
	static const uint8_t zeros[32];
	uint8_t ones[32];

	memset(ones, 0xff, sizeof(ones));
	ck_assert_uint_eq((uint16_t)~slow_sum(rfc1071, sizeof(rfc1071)), 0xddf2);
	ck_assert_uint_eq(slow_crc32c((const uint8_t *)"123456789", 9), 0xe3069283);
	ck_assert_uint_eq(slow_crc32c(zeros, 32), 0x8a9136aa); /* RFC 3720, B.4 */
	ck_assert_uint_eq(slow_crc32c(ones, 32), 0x62a8ab43);
}
END_TEST

/* A published header (RFC 791's sum is 0xb861) around a UDP datagram of zeros. */
START_TEST(known_v4_header)
{
	static const uint8_t header[20] = {0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40,
					   0x00, 0x40, 0x11, 0x00, 0x00, 0xc0, 0xa8,
					   0x00, 0x01, 0xc0, 0xa8, 0x00, 0xc7};
	uint8_t d[0x73] = {0};

	memcpy(d, header, sizeof(header));
	build_put16(d + 24, sizeof(d) - 20);
	ck_assert_int_eq(packet_fix_checksum(d, sizeof(d)), 0);
	ck_assert_uint_eq(get16(d + 10), 0xb861);
}
END_TEST

/* What Linux sent over a veth pair without checksum offload. */
START_TEST(packets_of_a_kernel)
{
	static const struct {
		size_t len, field;
		uint8_t d[80];
	} known[] = {
		/* echo request */
		{37, 22, {0x45, 0x00, 0x00, 0x25, 0x6a, 0x9a, 0x40, 0x00, 0x40, 0x01,
			  0xbc, 0x29, 0x0a, 0x09, 0x00, 0x01, 0x0a, 0x09, 0x00, 0x02,
			  0x08, 0x00, 0xaa, 0x51, 0x39, 0x9d, 0x00, 0x01, 0x00, 0x01,
			  0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08}},
		/* echo request over IPv6 */
		{55, 42, {0x60, 0x04, 0xb3, 0x34, 0x00, 0x0f, 0x3a, 0x40, 0xfd, 0x00, 0x00,
			  0x09, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
			  0x00, 0x01, 0xfd, 0x00, 0x00, 0x09, 0x00, 0x00, 0x00, 0x00, 0x00,
			  0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x80, 0x00, 0x3f, 0xf7,
			  0x39, 0x9e, 0x00, 0x01, 0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06}},
		/* SYN */
		{60, 36, {0x45, 0x00, 0x00, 0x3c, 0x83, 0xba, 0x40, 0x00, 0x40, 0x06, 0xa2, 0xed,
			  0x0a, 0x09, 0x00, 0x01, 0x0a, 0x09, 0x00, 0x02, 0x94, 0x52, 0x00, 0x16,
			  0x9c, 0x25, 0xea, 0xcb, 0x00, 0x00, 0x00, 0x00, 0xa0, 0x02, 0xfa, 0xf0,
			  0x59, 0x8b, 0x00, 0x00, 0x02, 0x04, 0x05, 0xb4, 0x04, 0x02, 0x08, 0x0a,
			  0x06, 0x85, 0xbd, 0x8d, 0x00, 0x00, 0x00, 0x00, 0x01, 0x03, 0x03, 0x0a}},
		/* reset */
		{40, 36, {0x45, 0x00, 0x00, 0x28, 0x00, 0x00, 0x40, 0x00, 0x40, 0x06,
			  0x26, 0xbc, 0x0a, 0x09, 0x00, 0x02, 0x0a, 0x09, 0x00, 0x01,
			  0x00, 0x16, 0x94, 0x52, 0x00, 0x00, 0x00, 0x00, 0x9c, 0x25,
			  0xea, 0xcc, 0x50, 0x14, 0x00, 0x00, 0x80, 0x61, 0x00, 0x00}},
		/* datagram */
		{33, 26, {0x45, 0x00, 0x00, 0x21, 0xd7, 0xad, 0x40, 0x00, 0x40, 0x11, 0x4f,
			  0x0a, 0x0a, 0x09, 0x00, 0x01, 0x0a, 0x09, 0x00, 0x02, 0xdd, 0x94,
			  0x00, 0x35, 0x00, 0x0d, 0xca, 0x23, 0x68, 0x65, 0x6c, 0x6c, 0x6f}},
		/* SYN over IPv6 */
		{80, 56, {0x60, 0x03, 0x11, 0xf7, 0x00, 0x28, 0x06, 0x40, 0xfd, 0x00, 0x00, 0x09,
			  0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01,
			  0xfd, 0x00, 0x00, 0x09, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
			  0x00, 0x00, 0x00, 0x02, 0x8d, 0xd2, 0x00, 0x16, 0x63, 0xed, 0x6a, 0x61,
			  0x00, 0x00, 0x00, 0x00, 0xa0, 0x02, 0xfd, 0x20, 0x06, 0xdc, 0x00, 0x00,
			  0x02, 0x04, 0x05, 0xa0, 0x04, 0x02, 0x08, 0x0a, 0x0d, 0x7f, 0xe0, 0x47,
			  0x00, 0x00, 0x00, 0x00, 0x01, 0x03, 0x03, 0x0a}},
		/* datagram over IPv6 */
		{53, 46, {0x60, 0x0a, 0xc5, 0x6d, 0x00, 0x0d, 0x11, 0x40, 0xfd, 0x00, 0x00,
			  0x09, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
			  0x00, 0x01, 0xfd, 0x00, 0x00, 0x09, 0x00, 0x00, 0x00, 0x00, 0x00,
			  0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0xb7, 0x38, 0x00, 0x35,
			  0x00, 0x0d, 0x0a, 0x7e, 0x68, 0x65, 0x6c, 0x6c, 0x6f}},
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
		uint8_t d[80];

		memcpy(d, known[i].d, sizeof(d));
		memset(d + known[i].field, 0xa5, 2);
		ck_assert_int_eq(packet_fix_checksum(d, known[i].len), 0);
		ck_assert_mem_eq(d, known[i].d, known[i].len);
	}
}
END_TEST

static void check_sample(const struct build *b, struct build *fixed, const struct packet *p)
{
	static const size_t field[256] = {[1] = 2, [6] = 16, [17] = 6, [58] = 2};
	uint8_t proto = p->flow.proto;
	struct build zeroed = *fixed;
	size_t len = b->n - b->l4;
	uint16_t want;

	if (proto == 132) {
		memset(zeroed.d + b->l4 + 8, 0, 4);
		uint32_t crc = slow_crc32c(zeroed.d + b->l4, len);

		for (int i = 0; i < 4; i++)
			ck_assert_uint_eq(fixed->d[b->l4 + 8 + (size_t)i], crc >> 8 * i & 0xff);
		memcpy(fixed->d + b->l4 + 8, b->d + b->l4 + 8, 4);
	} else if (field[proto]) {
		build_put16(zeroed.d + b->l4 + field[proto], 0);
		want = slow_transport(&zeroed, proto, len);
		ck_assert_uint_eq(get16(fixed->d + b->l4 + field[proto]), want);
		memcpy(fixed->d + b->l4 + field[proto], b->d + b->l4 + field[proto], 2);
	}
	if (b->d[0] >> 4 == 4) {
		ck_assert_uint_eq(slow_sum(fixed->d, (b->d[0] & 0xf) * 4u), 0);
		memcpy(fixed->d + 10, b->d + 10, 2);
	}
	ck_assert_mem_eq(fixed->d, b->d, sizeof(b->d)); /* nothing else was touched */
}

START_TEST(every_sample_from_a_wrong_sum)
{
	struct build b, fixed;
	struct packet p;
	size_t headers;
	int kind, r;

	build_sample(&b, (unsigned)_i, &headers, &kind);
	if (b.d[0] >> 4 == 4)
		build_put16(b.d + 10, 0xdead);
	ck_assert_int_eq(packet_parse(&p, b.d, b.n), PACKET_OK);
	if (kind >= PACKET_TCP_SYN && kind <= PACKET_TCP_MID)
		build_put16(b.d + b.l4 + 16, 0xdead);
	fixed = b;
	r = packet_fix_checksum(fixed.d, b.n);
	ck_assert_int_eq(r, kind == PACKET_OTHER ? -EINVAL : 0);
	if (r)
		ck_assert_mem_eq(fixed.d, b.d, sizeof(b.d));
	else
		check_sample(&b, &fixed, &p);
}
END_TEST

START_TEST(cut_packets_are_refused_untouched)
{
	struct build b, copy;
	size_t headers;
	int kind;

	build_sample(&b, (unsigned)_i, &headers, &kind);
	copy = b;
	for (size_t len = 0; len < b.n; len++) {
		if (packet_fix_checksum(copy.d, len) != -EINVAL)
			ck_abort_msg("%zu bytes", len);
	}
	ck_assert_mem_eq(copy.d, b.d, sizeof(b.d));
}
END_TEST

START_TEST(fragments_are_refused)
{
	struct build b;

	for (unsigned frag = 0; frag < 2; frag++) {
		build_v4_header(&b, 5, frag ? 0x2000 : 1);
		build_tcp(&b, 0x02, 5);
		build_finish(&b);
		ck_assert_int_eq(packet_fix_checksum(b.d, b.n), -EINVAL);
	}
}
END_TEST

/* 0 means "none" in UDP (RFC 768), so a sum of 0 is sent as its other form. */
START_TEST(udp_sum_of_zero_is_sent_as_ones)
{
	struct build b;

	build_v6(&b);
	build_udp(&b, 17, 2);
	build_finish(&b);
	ck_assert_int_eq(packet_fix_checksum(b.d, b.n), 0);
	memcpy(b.d + 48, b.d + 46, 2); /* its own sum as payload makes the sum 0 */
	ck_assert_int_eq(packet_fix_checksum(b.d, b.n), 0);
	ck_assert_uint_eq(get16(b.d + 46), 0xffff);
}
END_TEST

START_TEST(udp_length_shorter_than_the_packet)
{
	struct build b;

	build_v4(&b);
	build_put16(build_udp(&b, 17, 9) + 4, 8 + 5);
	build_data(&b, 1, 7);
	build_finish(&b);
	ck_assert_int_eq(packet_fix_checksum(b.d, b.n), 0);
	ck_assert_uint_eq(slow_transport(&b, 17, 13), 0);
}
END_TEST

START_TEST(padding_is_not_summed)
{
	struct build b;
	uint16_t sum;

	build_v4(&b);
	build_tcp(&b, 0x02, 5);
	build_finish(&b);
	ck_assert_int_eq(packet_fix_checksum(b.d, b.n), 0);
	sum = get16(b.d + 36);
	build_data(&b, 6, 0xee);
	ck_assert_int_eq(packet_fix_checksum(b.d, b.n), 0);
	ck_assert_uint_eq(get16(b.d + 36), sum);
}
END_TEST

START_TEST(random_payloads_of_every_length)
{
	uint64_t seed = unit_seed("random_payloads_of_every_length");
	struct build b;

	for (unsigned n = 0; n < 600; n++) {
		unsigned v6 = n & 1;

		v6 ? build_v6(&b) : build_v4(&b);
		build_tcp(&b, 0x18, 5);
		for (unsigned i = 0; i < n; i++)
			build_data(&b, 1, (uint8_t)(unit_rand(&seed) | (n % 3 ? 0 : 0xff)));
		build_finish(&b);
		ck_assert_int_eq(packet_fix_checksum(b.d, b.n), 0);
		ck_assert_uint_eq(slow_transport(&b, 6, b.n - b.l4), 0);
	}
}
END_TEST

/* The largest packet, all ones: the sum must not overflow on the way. */
START_TEST(largest_packet)
{
	uint8_t *d = malloc(65535);
	struct build b;

	ck_assert_ptr_nonnull(d);
	build_v4(&b);
	build_tcp(&b, 0x10, 5);
	memset(d, 0xff, 65535);
	memcpy(d, b.d, b.n);
	build_put16(d + 2, 65535);
	ck_assert_int_eq(packet_fix_checksum(d, 65535), 0);
	ck_assert_uint_eq(slow_sum(d, 20), 0);
	memmove(d + 8, d + 12, 8); /* the pseudo-header in front of the segment */
	d[16] = 0;
	d[17] = 6;
	build_put16(d + 18, 65515);
	ck_assert_uint_eq(slow_sum(d + 8, 65535 - 8), 0);
	free(d);
}
END_TEST

Suite *suite(void)
{
	Suite *s = suite_create("packet_sum");
	TCase *tc = tcase_create("sum");

	tcase_add_test(tc, the_slow_way_is_right);
	tcase_add_test(tc, known_v4_header);
	tcase_add_test(tc, packets_of_a_kernel);
	tcase_add_loop_test(tc, every_sample_from_a_wrong_sum, 0, SAMPLES);
	tcase_add_loop_test(tc, cut_packets_are_refused_untouched, 0, SAMPLES);
	tcase_add_test(tc, fragments_are_refused);
	tcase_add_test(tc, udp_sum_of_zero_is_sent_as_ones);
	tcase_add_test(tc, udp_length_shorter_than_the_packet);
	tcase_add_test(tc, padding_is_not_summed);
	tcase_add_test(tc, random_payloads_of_every_length);
	tcase_add_test(tc, largest_packet);
	tcase_set_timeout(tc, 60); /* valgrind */
	suite_add_tcase(s, tc);
	return s;
}
