/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Parsing behind the IP header: every flag, length, type and protocol. */
#include "packet_parse.h"

START_TEST(tcp_kind_of_every_flag_byte)
{
	struct build b;
	struct packet p;

	build_v4(&b);
	build_tcp(&b, 0, 5);
	build_data(&b, 7, 0);
	build_finish(&b);
	for (unsigned flags = 0; flags < 256; flags++) {
		int want = PACKET_TCP_MID;

		if (flags & 0x04)
			want = PACKET_TCP_RST;
		else if ((flags & 0x02) && !(flags & 0x11))
			want = PACKET_TCP_SYN; /* whatever of ECE, CWR, PSH, URG; with data */
		b.d[33] = (uint8_t)flags;
		ck_assert_int_eq(parse(&p, &b), PACKET_OK);
		ck_assert_int_eq(p.kind, want);
		ck_assert_uint_eq(p.tcp_flags, flags);
		ck_assert_uint_eq(p.payload, 40);
	}
}
END_TEST

START_TEST(tcp_data_offset_of_every_value)
{
	struct build b;
	struct packet p;

	for (unsigned v6 = 0; v6 < 2; v6++) {
		base(&b, v6);
		build_tcp(&b, 0x02, 10);
		build_finish(&b);
		for (unsigned doff = 0; doff < 16; doff++) {
			bool ok = doff >= 5 && doff <= 10;

			b.d[b.l4 + 12] = (uint8_t)(doff << 4 | 0xf);
			ck_assert_int_eq(parse(&p, &b), ok ? PACKET_OK : PACKET_MALFORMED);
			ck_assert_uint_eq(p.payload, ok ? b.l4 + doff * 4 : 0);
			ck_assert(p.has_ports);
		}
	}
}
END_TEST

START_TEST(udp_length_of_every_value)
{
	struct build b;
	struct packet p;

	build_v4(&b);
	build_udp(&b, 17, 10);
	build_finish(&b);
	for (unsigned n = 0; n <= 0xffff; n++) {
		bool ok = n >= 8 && n <= 18;

		build_put16(b.d + 24, n);
		if (packet_parse(&p, b.d, b.n) != (ok ? PACKET_OK : PACKET_MALFORMED) ||
		    p.flow.dport != 53)
			ck_abort_msg("length %u", n);
	}
}
END_TEST

START_TEST(udplite_coverage_of_every_value)
{
	struct build b;
	struct packet p;

	build_v6(&b);
	build_udp(&b, 136, 10);
	build_finish(&b);
	for (unsigned n = 0; n <= 0xffff; n++) {
		bool ok = !n || (n >= 8 && n <= 18);

		build_put16(b.d + 44, n);
		if (packet_parse(&p, b.d, b.n) != (ok ? PACKET_OK : PACKET_MALFORMED) ||
		    p.flow.proto != 136 || p.kind != PACKET_UDP)
			ck_abort_msg("coverage %u", n);
	}
}
END_TEST

/* R45: the identifier is part of an echo's key, and of no other message's. */
START_TEST(icmp_key_of_every_type)
{
	struct build b;
	struct packet p;

	for (unsigned v6 = 0; v6 < 2; v6++) {
		unsigned request = v6 ? 128 : 8, reply = v6 ? 129 : 0;

		for (unsigned type = 0; type < 256; type++) {
			base(&b, v6);
			build_icmp(&b, v6 ? 58 : 1, (uint8_t)type, 3);
			build_finish(&b);
			ck_assert_int_eq(parse(&p, &b), PACKET_OK);
			ck_assert_uint_eq(p.icmp_type, type);
			ck_assert_uint_eq(p.icmp_code, 3);
			ck_assert_uint_eq(p.flow.dport, type << 8 | 3);
			ck_assert_uint_eq(p.flow.sport, type == request || type == reply ? 777 : 0);
			ck_assert_int_eq(p.kind,
					 type == request ? PACKET_ICMP_ECHO : PACKET_ICMP_OTHER);
			ck_assert(!p.has_ports && !p.isn);
		}
	}
}
END_TEST

START_TEST(icmp_of_the_other_family_is_by_number)
{
	struct build b;
	struct packet p;

	for (unsigned v6 = 0; v6 < 2; v6++) {
		base(&b, v6);
		build_icmp(&b, v6 ? 1 : 58, v6 ? 8 : 128, 0);
		build_finish(&b);
		ck_assert_int_eq(parse(&p, &b), PACKET_OK);
		ck_assert_int_eq(p.kind, PACKET_OTHER);
		ck_assert(!p.flow.sport && !p.flow.dport);
	}
}
END_TEST

START_TEST(sctp_init_has_its_tag)
{
	struct build b;
	struct packet p;

	build_v4(&b);
	build_sctp(&b, 1, 24);
	build_finish(&b);
	ck_assert_int_eq(parse(&p, &b), PACKET_OK);
	ck_assert_int_eq(p.kind, PACKET_SCTP_INIT);
	ck_assert_uint_eq(p.isn, 0x5eedf00d);
	ck_assert_uint_eq(p.flow.dport, 36412);
	ck_assert_uint_eq(p.payload, 32);
}
END_TEST

START_TEST(sctp_chunk_of_every_type)
{
	struct build b;
	struct packet p;

	for (unsigned type = 0; type < 256; type++) {
		build_v4(&b);
		build_sctp(&b, (uint8_t)type, 20);
		build_finish(&b);
		ck_assert_int_eq(parse(&p, &b), PACKET_OK);
		ck_assert_int_eq(p.kind, type == 1 ? PACKET_SCTP_INIT : PACKET_SCTP_OTHER);
		ck_assert_uint_eq(p.isn, type == 1 ? 0x5eedf00d : 0);
	}
}
END_TEST

START_TEST(sctp_init_too_short_is_malformed)
{
	struct build b;
	struct packet p;

	build_v4(&b);
	build_put16(build_sctp(&b, 1, 20) + 14, 19);
	build_finish(&b);
	ck_assert_int_eq(parse(&p, &b), PACKET_MALFORMED);
	build_v4(&b);
	build_sctp(&b, 1, 19);
	build_finish(&b);
	ck_assert_int_eq(parse(&p, &b), PACKET_TRUNCATED);
}
END_TEST

START_TEST(dccp_has_ports)
{
	struct build b;
	struct packet p;

	base(&b, _i);
	build_dccp(&b, 7);
	build_data(&b, 3, 'a');
	build_finish(&b);
	ck_assert_int_eq(parse(&p, &b), PACKET_OK);
	ck_assert_int_eq(p.kind, PACKET_OTHER);
	ck_assert(p.has_ports && p.flow.sport == 4000 && p.flow.dport == 5000);
	ck_assert_uint_eq(p.payload, b.l4 + 28);
	ck_assert_uint_eq(p.isn, 0);
	for (unsigned words = 0; words < 256; words++) {
		b.d[b.l4 + 4] = (uint8_t)words;
		ck_assert_int_eq(parse(&p, &b),
				 words >= 3 && words <= 7 ? PACKET_OK : PACKET_MALFORMED);
		ck_assert(p.has_ports);
	}
}
END_TEST

START_TEST(all_other_protocols_by_number)
{
	struct build b;
	struct packet p;

	for (unsigned proto = 0; proto < 256; proto++) {
		bool v6 = _i, known = false;

		for (size_t i = 0; v6 && i < sizeof(extensions); i++)
			known |= extensions[i] == proto;
		if (known || proto == 6 || proto == 17 || proto == 136 || proto == 132 ||
		    proto == 33 || proto == (v6 ? 58 : 1))
			continue;
		base(&b, v6);
		build_l4(&b, (uint8_t)proto, 0);
		build_finish(&b);
		ck_assert_int_eq(parse(&p, &b), PACKET_OK);
		ck_assert_uint_eq(p.flow.proto, proto);
		ck_assert_int_eq(p.kind, PACKET_OTHER);
		ck_assert(!p.has_ports && !p.payload && p.l4 == b.l4);
	}
}
END_TEST

Suite *suite(void)
{
	Suite *s = suite_create("packet_transport");
	TCase *tc = tcase_create("transport");

	tcase_add_test(tc, tcp_kind_of_every_flag_byte);
	tcase_add_test(tc, tcp_data_offset_of_every_value);
	tcase_add_test(tc, udp_length_of_every_value);
	tcase_add_test(tc, udplite_coverage_of_every_value);
	tcase_add_test(tc, icmp_key_of_every_type);
	tcase_add_test(tc, icmp_of_the_other_family_is_by_number);
	tcase_add_test(tc, sctp_init_has_its_tag);
	tcase_add_test(tc, sctp_chunk_of_every_type);
	tcase_add_test(tc, sctp_init_too_short_is_malformed);
	tcase_add_loop_test(tc, dccp_has_ports, 0, 2);
	tcase_add_loop_test(tc, all_other_protocols_by_number, 0, 2);
	tcase_set_timeout(tc, 60); /* valgrind */
	suite_add_tcase(s, tc);
	return s;
}
