/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Parsing: every field, every length, fragments and extension headers (T27). */
#include "packet_parse.h"
#include <sys/mman.h>

#define SAMPLES 60

/* -------------------------------------------------------------------- IP headers ---- */

START_TEST(v4_syn_has_every_field)
{
	struct build b;
	struct packet p;

	build_v4(&b);
	build_tcp(&b, 0x02, 10);
	build_finish(&b);
	ck_assert_int_eq(parse(&p, &b), PACKET_OK);
	ck_assert_uint_eq(p.total, 60);
	ck_assert_uint_eq(p.flow.family, FLOW_V4);
	ck_assert_uint_eq(p.flow.proto, 6);
	ck_assert_mem_eq(p.flow.src, build_src4, 16);
	ck_assert_mem_eq(p.flow.dst, build_dst4, 16);
	ck_assert_uint_eq(p.flow.sport, 4000);
	ck_assert_uint_eq(p.flow.dport, 22);
	ck_assert(p.has_ports);
	ck_assert_uint_eq(p.isn, 0x01020304);
	ck_assert_uint_eq(p.ack, 0x0a0b0c0d);
	ck_assert_uint_eq(p.l4, 20);
	ck_assert_uint_eq(p.payload, 60);
	ck_assert_uint_eq(p.kind, PACKET_TCP_SYN);
	ck_assert_uint_eq(p.tcp_flags, 0x02);
	ck_assert_uint_eq(p.ttl, 57);
	ck_assert_uint_eq(p.tos, 0x10);
	ck_assert(!p.atomic_frag && !p.more_frags);
}
END_TEST

START_TEST(v6_syn_has_every_field)
{
	struct build b;
	struct packet p;

	build_v6(&b);
	build_tcp(&b, 0x02, 5);
	build_finish(&b);
	ck_assert_int_eq(parse(&p, &b), PACKET_OK);
	ck_assert_uint_eq(p.total, 60);
	ck_assert_uint_eq(p.flow.family, FLOW_V6);
	ck_assert_mem_eq(p.flow.src, build_src, 16);
	ck_assert_mem_eq(p.flow.dst, build_dst, 16);
	ck_assert_uint_eq(p.flow.dport, 22);
	ck_assert_uint_eq(p.l4, 40);
	ck_assert_uint_eq(p.payload, 60);
	ck_assert_uint_eq(p.kind, PACKET_TCP_SYN);
	ck_assert_uint_eq(p.ttl, 57);
	ck_assert_uint_eq(p.tos, 0x10);
}
END_TEST

START_TEST(no_bytes_is_truncated)
{
	struct packet p;

	ck_assert_int_eq(packet_parse(&p, NULL, 0), PACKET_TRUNCATED);
	ck_assert_int_eq(packet_parse(&p, "", 0), PACKET_TRUNCATED);
	ck_assert_uint_eq(p.flow.family, 0);
}
END_TEST

#if SIZE_MAX > UINT32_MAX
START_TEST(more_than_32_bits_of_bytes)
{
	size_t len = (size_t)UINT32_MAX + 2;
	uint8_t *d = mmap(NULL, len, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct build b;
	struct packet p;

	if (d == MAP_FAILED)
		return; /* a limit on the address space */
	build_v4(&b);
	build_tcp(&b, 0x02, 5);
	build_finish(&b);
	memcpy(d, b.d, b.n);
	ck_assert_int_eq(packet_parse(&p, d, len), PACKET_OK);
	ck_assert_uint_eq(p.len, UINT32_MAX);
	munmap(d, len);
}
END_TEST
#endif

START_TEST(other_versions_are_malformed)
{
	uint8_t d[60] = {0};
	struct packet p;

	for (unsigned v = 0; v < 16; v++) {
		d[0] = (uint8_t)(v << 4);
		if (v != 4 && v != 6)
			ck_assert_int_eq(packet_parse(&p, d, sizeof(d)), PACKET_MALFORMED);
		if (v != 4 && v != 6)
			ck_assert_int_eq(packet_parse(&p, d, 1), PACKET_MALFORMED);
	}
}
END_TEST

START_TEST(v4_options_of_every_length)
{
	struct build b;
	struct packet p;

	for (unsigned ihl = 5; ihl <= 15; ihl++) {
		build_v4_header(&b, ihl, 0);
		build_tcp(&b, 0x02, 5);
		build_finish(&b);
		ck_assert_int_eq(parse(&p, &b), PACKET_OK);
		ck_assert_uint_eq(p.l4, ihl * 4);
		ck_assert_uint_eq(p.flow.dport, 22);
	}
}
END_TEST

START_TEST(v4_header_length_below_20_is_malformed)
{
	struct build b;
	struct packet p;

	for (unsigned ihl = 0; ihl < 5; ihl++) {
		build_v4(&b);
		build_tcp(&b, 0x02, 5);
		build_finish(&b);
		b.d[0] = (uint8_t)(0x40 | ihl);
		ck_assert_int_eq(parse(&p, &b), PACKET_MALFORMED);
		ck_assert_mem_eq(p.flow.src, build_src4, 16);
	}
}
END_TEST

START_TEST(v4_total_length_below_header_is_malformed)
{
	struct build b;
	struct packet p;

	for (unsigned total = 0; total < 32; total++) {
		build_v4_header(&b, 8, 0);
		build_tcp(&b, 0x02, 5);
		build_put16(b.d + 2, total);
		ck_assert_int_eq(parse(&p, &b), PACKET_MALFORMED);
	}
}
END_TEST

/* What the IP header does not count is padding, even if it looks like a header. */
START_TEST(bytes_behind_the_announced_end_are_no_header)
{
	struct build b;
	struct packet p;

	for (unsigned v6 = 0; v6 < 2; v6++) {
		base(&b, v6);
		build_tcp(&b, 0x02, 5);
		for (unsigned l4 = 0; l4 < 20; l4++) {
			build_put16(b.d + (v6 ? 4 : 2), l4 + (v6 ? 0 : 20));
			ck_assert_int_eq(parse(&p, &b), PACKET_TRUNCATED);
			ck_assert(!p.has_ports);
		}
	}
}
END_TEST

START_TEST(trailing_padding_is_ignored)
{
	struct build b;
	struct packet p;

	build_v4(&b);
	build_udp(&b, 17, 4);
	build_finish(&b);
	build_data(&b, 14, 0xee);
	ck_assert_int_eq(parse(&p, &b), PACKET_OK);
	ck_assert_uint_eq(p.total, 32);
	ck_assert_uint_eq(p.len, 46);
}
END_TEST

/* Every sample at every length: truncated below its headers, right from there on. */
START_TEST(every_truncation_of_every_sample)
{
	struct build b;
	struct packet p, whole;
	size_t headers;
	int kind;

	build_sample(&b, (unsigned)_i, &headers, &kind);
	ck_assert_int_eq(parse(&whole, &b), PACKET_OK);
	ck_assert_int_eq(whole.kind, kind);
	ck_assert_uint_eq(whole.l4, b.l4);
	for (size_t len = 0; len < b.n; len++) {
		enum packet_result r = parse_exact(&p, b.d, len);

		check_invariants(&p, len, r);
		ck_assert_int_eq(r, len < headers ? PACKET_TRUNCATED : PACKET_OK);
		if (r == PACKET_OK) {
			ck_assert(flow_equal(&p.flow, &whole.flow));
			ck_assert_int_eq(p.kind, whole.kind);
			ck_assert_uint_eq(p.isn, whole.isn);
			ck_assert_uint_eq(p.total, b.n);
		}
	}
}
END_TEST

/* --------------------------------------------------------------------- fragments ---- */

/* T27: the flags beside the offset must not count as one. All values of the field. */
START_TEST(v4_fragment_field_of_every_value)
{
	struct build b;
	struct packet p;

	for (unsigned v = 0; v <= 0xffff; v++) {
		enum packet_result want = v & 0x1fff ? PACKET_FRAGMENT : PACKET_OK;

		build_v4_header(&b, 5, v);
		build_tcp(&b, 0x02, 5);
		build_finish(&b);
		if (packet_parse(&p, b.d, b.n) != want || broken(&p, b.n, want) ||
		    p.more_frags != (want == PACKET_OK && v & 0x2000) || p.flow.proto != 6 ||
		    p.has_ports != (want == PACKET_OK) || p.atomic_frag)
			ck_abort_msg("0x%04x", v);
	}
}
END_TEST

START_TEST(v6_fragment_field_of_every_value)
{
	struct build b;
	struct packet p;

	for (unsigned v = 0; v <= 0xffff; v++) {
		enum packet_result want = v >> 3 ? PACKET_FRAGMENT : PACKET_OK;

		build_v6(&b);
		build_fragment(&b, v);
		build_udp(&b, 17, 0);
		build_finish(&b);
		if (packet_parse(&p, b.d, b.n) != want || broken(&p, b.n, want) ||
		    p.more_frags != (want == PACKET_OK && v & 1) ||
		    p.atomic_frag != (want == PACKET_OK && !(v & 1)) || p.flow.proto != 17)
			ck_abort_msg("0x%04x", v);
	}
}
END_TEST

/* The UDP length of a first fragment is that of the whole datagram. */
START_TEST(first_fragment_may_announce_more_than_it_has)
{
	struct build b;
	struct packet p;

	for (unsigned v6 = 0; v6 < 2; v6++) {
		build_v4_header(&b, 5, 0x2000);
		if (v6) {
			build_v6(&b);
			build_fragment(&b, 1);
		}
		build_put16(build_udp(&b, 17, 64) + 4, 4008);
		build_finish(&b);
		ck_assert_int_eq(parse(&p, &b), PACKET_OK);
		ck_assert(p.more_frags && p.has_ports);
	}
}
END_TEST

START_TEST(first_fragment_too_small_for_the_transport_header)
{
	struct build b;
	struct packet p;

	build_v4_header(&b, 5, 0x2000);
	build_tcp(&b, 0x02, 5);
	b.n = 20 + 8;
	build_finish(&b);
	ck_assert_int_eq(parse(&p, &b), PACKET_TRUNCATED);
	build_v4_header(&b, 5, 0x2000);
	build_tcp(&b, 0x02, 10);
	b.n = 20 + 24; /* the options go on elsewhere */
	build_finish(&b);
	ck_assert_int_eq(parse(&p, &b), PACKET_TRUNCATED);
}
END_TEST

START_TEST(v6_destination_options_after_the_fragment_header)
{
	struct build b;
	struct packet p;

	for (unsigned more = 0; more < 2; more++) {
		build_v6(&b);
		build_fragment(&b, more);
		build_ext(&b, 60, 1);
		build_tcp(&b, 0x02, 5);
		build_finish(&b);
		ck_assert_int_eq(parse(&p, &b), PACKET_OK);
		ck_assert(p.atomic_frag == !more && p.more_frags == more);
		ck_assert_uint_eq(p.l4, 64);
		ck_assert_uint_eq(p.flow.proto, 6);
	}
}
END_TEST

/* A later fragment's bytes are payload: what looks like an extension header there is none. */
START_TEST(v6_later_fragment_ends_the_walk)
{
	struct build b;
	struct packet p;

	build_v6(&b);
	build_ext(&b, 0, 0);
	build_fragment(&b, 8 | 1);
	build_ext(&b, 60, 0);
	build_tcp(&b, 0x02, 5);
	build_finish(&b);
	ck_assert_int_eq(parse(&p, &b), PACKET_FRAGMENT);
	ck_assert_uint_eq(p.flow.proto, 60);
	ck_assert(!p.more_frags && !p.atomic_frag);
	ck_assert_mem_eq(p.flow.src, build_src, 16);
}
END_TEST

/* ------------------------------------------------------------- BIG TCP ---- */

static void build_big(struct build *b, bool v6, bool jumbo, uint8_t flags)
{
	base(b, v6);
	if (jumbo)
		build_ext(b, 0, 0);
	build_tcp(b, flags, 8);
	build_data(b, 100, 0);
	build_put16(b->d + (v6 ? 4 : 2), 0);
}

static enum packet_result parse_whole(struct packet *p, const struct build *b, size_t whole)
{
	return packet_parse_cut(p, b->d, b->n, whole);
}

/* What segments were put together to has no length in its header; the queue knows it, and nothing short does so. */
START_TEST(big_tcp_has_the_length_of_its_bytes)
{
	bool v6 = _i > 0, jumbo = _i > 1;
	size_t least = v6 ? 40 + 65536 : 65536;
	struct build b;
	struct packet p;

	build_big(&b, v6, jumbo, 0x18);
	ck_assert_int_eq(parse_whole(&p, &b, least), PACKET_OK);
	ck_assert_uint_eq(p.total, least);
	ck_assert(p.len == b.n && p.kind == PACKET_TCP_MID && p.flow.dport == 22);
	ck_assert_uint_eq(p.payload, b.l4 + 32);
	ck_assert_int_eq(parse_whole(&p, &b, 500000), PACKET_OK);
	ck_assert_int_ne(parse_whole(&p, &b, least - 1), PACKET_OK);
	ck_assert_int_ne(parse_whole(&p, &b, b.n), PACKET_OK);
	ck_assert_int_ne(parse_whole(&p, &b, 0), PACKET_OK);
	ck_assert_int_ne(parse(&p, &b), PACKET_OK);
	/* One that says its length is as long as it says. */
	build_finish(&b);
	ck_assert_int_eq(parse_whole(&p, &b, 500000), PACKET_OK);
	ck_assert_uint_eq(p.total, b.n);
}
END_TEST

START_TEST(nothing_else_is_that_long)
{
	struct build b;
	struct packet p;

	build_big(&b, _i, false, 0x02);
	ck_assert_int_eq(parse_whole(&p, &b, 70000), PACKET_MALFORMED);
	build_big(&b, _i, false, 0x14);
	ck_assert_int_eq(parse_whole(&p, &b, 70000), PACKET_MALFORMED);
	base(&b, _i);
	build_udp(&b, 17, 100);
	build_put16(b.d + (_i ? 4 : 2), 0);
	ck_assert_int_eq(parse_whole(&p, &b, 70000), PACKET_MALFORMED);
	build_big(&b, _i, false, 0x18);
	b.n = b.l4 + 31; /* cut in its header */
	ck_assert_int_eq(parse_whole(&p, &b, 70000), PACKET_TRUNCATED);
}
END_TEST

START_TEST(big_tcp_that_was_not_cut)
{
	static uint8_t all[80000];
	struct build b;
	struct packet p;

	build_big(&b, _i, false, 0x10);
	memcpy(all, b.d, b.n);
	ck_assert_int_eq(packet_parse(&p, all, sizeof(all)), PACKET_OK);
	ck_assert(p.total == sizeof(all) && p.len == sizeof(all));
	ck_assert_int_ne(packet_parse(&p, all, 65535), PACKET_OK);
}
END_TEST

/* ------------------------------------------------------------- IPv6 extensions ---- */

static void add_extension(struct build *b, uint8_t proto, uint8_t more)
{
	if (proto == 44)
		build_fragment(b, 0);
	else if (proto == 51)
		build_ah(b, more);
	else
		build_ext(b, proto, more);
}

START_TEST(v6_each_extension_header)
{
	struct build b;
	struct packet p;

	for (unsigned more = 0; more < 256; more++) {
		build_v6(&b);
		add_extension(&b, extensions[_i], (uint8_t)more);
		build_tcp(&b, 0x02, 5);
		build_finish(&b);
		ck_assert_int_eq(parse(&p, &b), PACKET_OK);
		ck_assert_uint_eq(p.l4, b.l4);
		ck_assert_uint_eq(p.flow.proto, 6);
		ck_assert_uint_eq(p.kind, PACKET_TCP_SYN);
		ck_assert(p.atomic_frag == (extensions[_i] == 44));
	}
}
END_TEST

/* Mobility, HIP, shim6: with what is behind them they are what conntrack calls them. */
START_TEST(v6_protocols_that_look_like_extensions)
{
	static const uint8_t protocols[] = {135, 139, 140};
	struct build b;
	struct packet p;

	for (unsigned next = 0; next < 2; next++) {
		build_v6(&b);
		build_ext(&b, 60, 0);
		build_ext(&b, protocols[_i], 1);
		if (next)
			build_tcp(&b, 0x02, 5);
		else
			build_l4(&b, 59, 0);
		build_finish(&b);
		ck_assert_int_eq(parse(&p, &b), PACKET_OK);
		ck_assert_uint_eq(p.flow.proto, protocols[_i]);
		ck_assert_int_eq(p.kind, PACKET_OTHER);
		ck_assert(p.l4 == 48 && !p.has_ports);
	}
}
END_TEST

START_TEST(v6_hop_by_hop_and_destination_options)
{
	struct build b;
	struct packet p;

	build_v6(&b);
	build_ext(&b, 0, 0);
	build_ext(&b, 60, 0);
	build_ext(&b, 43, 2);
	build_ext(&b, 60, 3);
	build_icmp(&b, 58, 128, 0);
	build_finish(&b);
	ck_assert_int_eq(parse(&p, &b), PACKET_OK);
	ck_assert_uint_eq(p.kind, PACKET_ICMP_ECHO);
	ck_assert_uint_eq(p.l4, 40 + 8 + 8 + 24 + 32);
}
END_TEST

/* AH counts in 4 bytes: an 8-byte count would land in the middle of the next header. */
START_TEST(v6_ah_length_is_in_words)
{
	struct build b;
	struct packet p;

	build_v6(&b);
	build_ah(&b, 4);
	build_udp(&b, 17, 3);
	build_finish(&b);
	ck_assert_int_eq(parse(&p, &b), PACKET_OK);
	ck_assert_uint_eq(p.l4, 40 + 24);
	ck_assert_uint_eq(p.flow.dport, 53);
}
END_TEST

START_TEST(v6_random_chains_of_six)
{
	uint64_t seed = unit_seed("v6_random_chains_of_six");
	struct build b;
	struct packet p;

	for (int i = 0; i < 5000; i++) {
		unsigned n = (unsigned)(unit_rand(&seed) % 7);
		size_t cut;

		build_v6(&b);
		while (n--)
			add_extension(&b, extensions[unit_rand(&seed) % sizeof(extensions)],
				      (uint8_t)(unit_rand(&seed) % 5));
		build_tcp(&b, 0x02, 5);
		build_finish(&b);
		ck_assert_int_eq(parse(&p, &b), PACKET_OK);
		ck_assert_uint_eq(p.l4, b.l4);
		ck_assert_uint_eq(p.flow.dport, 22);
		cut = unit_rand(&seed) % b.n;
		ck_assert_int_eq(parse_exact(&p, b.d, cut), PACKET_TRUNCATED);
		check_invariants(&p, cut, PACKET_TRUNCATED);
	}
}
END_TEST

START_TEST(v6_chain_that_never_ends)
{
	size_t len = 40 + 65535;
	uint8_t *d = calloc(1, len);
	struct packet p;

	ck_assert_ptr_nonnull(d);
	d[0] = 0x60;
	d[4] = d[5] = 0xff;
	d[6] = 0; /* hop-by-hop, whose next is hop-by-hop, ... */
	ck_assert_int_eq(packet_parse(&p, d, len), PACKET_TRUNCATED);
	ck_assert_uint_eq(p.l4, 0);
	d[6] = 44; /* as atomic fragments */
	memset(d + 40, 0, len - 40);
	for (size_t i = 40; i < len; i += 8)
		d[i] = 44;
	ck_assert_int_eq(packet_parse(&p, d, len), PACKET_TRUNCATED);
	free(d);
}
END_TEST

/* Offsets have 16 bits, an IPv6 packet may have 40 bytes more than those. */
START_TEST(v6_transport_beyond_16_bits_is_truncated)
{
	size_t len = 40 + 65535, at = 40;
	uint8_t *d = calloc(1, len);
	struct packet p;

	ck_assert_ptr_nonnull(d);
	d[0] = 0x60;
	d[4] = d[5] = 0xff;
	d[6] = 60;
	for (; at + 2048 < 65500; at += 2048) {
		d[at] = 60;
		d[at + 1] = 255;
	}
	d[at] = 6; /* the last one: TCP follows at 65536 or later */
	d[at + 1] = (uint8_t)((65536 - at) / 8 - 1);
	d[65536 + 12] = 0x50;
	ck_assert_int_eq(packet_parse(&p, d, len), PACKET_TRUNCATED);
	ck_assert_uint_eq(p.l4, 0);
	free(d);
}
END_TEST

START_TEST(v6_esp_and_no_next_header_end_the_chain)
{
	static const uint8_t last[] = {50, 59};
	struct build b;
	struct packet p;

	for (size_t i = 0; i < 2; i++) {
		build_v6(&b);
		build_ext(&b, 60, 0);
		build_l4(&b, last[i], 24);
		build_finish(&b);
		ck_assert_int_eq(parse(&p, &b), PACKET_OK);
		ck_assert_uint_eq(p.flow.proto, last[i]);
		ck_assert_uint_eq(p.kind, PACKET_OTHER);
		ck_assert_uint_eq(p.l4, 48);
		ck_assert(!p.has_ports);
	}
}
END_TEST

/* ------------------------------------------------------------------------- any bytes ---- */

START_TEST(random_changes_to_samples)
{
	uint64_t seed = unit_seed("random_changes_to_samples");
	struct build b;
	struct packet p;
	size_t headers;
	int kind;

	for (int i = 0; i < 100000; i++) {
		size_t len;

		build_sample(&b, (unsigned)(unit_rand(&seed) % SAMPLES), &headers, &kind);
		for (unsigned n = (unsigned)(unit_rand(&seed) % 4); n; n--)
			b.d[unit_rand(&seed) % b.n] = (uint8_t)unit_rand(&seed);
		len = unit_rand(&seed) % (b.n + 1);
		check_invariants(&p, len, parse_exact(&p, b.d, len));
	}
}
END_TEST

START_TEST(names_are_never_null)
{
	for (int i = -1; i < 12; i++) {
		ck_assert_ptr_nonnull(packet_kind_name((enum packet_kind)i));
		ck_assert_ptr_nonnull(packet_result_name((enum packet_result)i));
	}
	ck_assert_str_eq(packet_kind_name(PACKET_TCP_SYN), "tcp-syn");
	ck_assert_str_eq(packet_kind_name(PACKET_SCTP_OTHER), "sctp");
	ck_assert_str_eq(packet_result_name(PACKET_FRAGMENT), "fragment");
	ck_assert_str_eq(packet_result_name(PACKET_OK), "ok");
}
END_TEST

static TCase *ip_case(void)
{
	TCase *tc = tcase_create("ip");

	tcase_add_test(tc, v4_syn_has_every_field);
	tcase_add_test(tc, v6_syn_has_every_field);
	tcase_add_test(tc, no_bytes_is_truncated);
#if SIZE_MAX > UINT32_MAX
	tcase_add_test(tc, more_than_32_bits_of_bytes);
#endif
	tcase_add_test(tc, other_versions_are_malformed);
	tcase_add_test(tc, v4_options_of_every_length);
	tcase_add_test(tc, v4_header_length_below_20_is_malformed);
	tcase_add_test(tc, v4_total_length_below_header_is_malformed);
	tcase_add_test(tc, bytes_behind_the_announced_end_are_no_header);
	tcase_add_test(tc, trailing_padding_is_ignored);
	tcase_add_loop_test(tc, every_truncation_of_every_sample, 0, SAMPLES);
	tcase_add_test(tc, random_changes_to_samples);
	tcase_add_test(tc, names_are_never_null);
	return tc;
}

static TCase *t27_case(void)
{
	TCase *tc = tcase_create("T27");

	tcase_add_test(tc, v4_fragment_field_of_every_value);
	tcase_add_test(tc, v6_fragment_field_of_every_value);
	tcase_add_test(tc, first_fragment_may_announce_more_than_it_has);
	tcase_add_test(tc, first_fragment_too_small_for_the_transport_header);
	tcase_add_test(tc, v6_destination_options_after_the_fragment_header);
	tcase_add_test(tc, v6_later_fragment_ends_the_walk);
	tcase_add_loop_test(tc, big_tcp_has_the_length_of_its_bytes, 0, 3);
	tcase_add_loop_test(tc, nothing_else_is_that_long, 0, 2);
	tcase_add_loop_test(tc, big_tcp_that_was_not_cut, 0, 2);
	tcase_add_loop_test(tc, v6_each_extension_header, 0, (int)sizeof(extensions));
	tcase_add_loop_test(tc, v6_protocols_that_look_like_extensions, 0, 3);
	tcase_add_test(tc, v6_hop_by_hop_and_destination_options);
	tcase_add_test(tc, v6_ah_length_is_in_words);
	tcase_add_test(tc, v6_random_chains_of_six);
	tcase_add_test(tc, v6_chain_that_never_ends);
	tcase_add_test(tc, v6_transport_beyond_16_bits_is_truncated);
	tcase_add_test(tc, v6_esp_and_no_next_header_end_the_chain);
	return tc;
}

Suite *suite(void)
{
	Suite *s = suite_create("packet");
	TCase *cases[] = {ip_case(), t27_case()};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		tcase_set_timeout(cases[i], 60); /* valgrind */
		suite_add_tcase(s, cases[i]);
	}
	return s;
}
