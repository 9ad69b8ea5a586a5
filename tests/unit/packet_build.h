/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Packets for tests, built byte by byte and apart from the code under test. Lengths are filled in by
 * build_finish; checksums are 0 unless a test fills them in.
 */
#ifndef TESTS_PACKET_BUILD_H
#define TESTS_PACKET_BUILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct build {
	uint8_t d[4096];
	size_t n;
	size_t next; /* where the number of the next header goes; 0 in IPv4 once it is known */
	size_t l4;
};

static const uint8_t build_src[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 7};
static const uint8_t build_dst[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 1};
static const uint8_t build_src4[16] = {203, 0, 113, 7};
static const uint8_t build_dst4[16] = {192, 0, 2, 1};

static inline void build_put16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline void build_put32(uint8_t *p, uint32_t v)
{
	build_put16(p, v >> 16);
	build_put16(p + 2, v & 0xffff);
}

static inline uint8_t *build_room(struct build *b, size_t n)
{
	uint8_t *p = b->d + b->n;

	if (b->n + n > sizeof(b->d))
		abort();
	memset(p, 0, n);
	b->n += n;
	return p;
}

static inline void build_v4_header(struct build *b, unsigned ihl, unsigned frag)
{
	uint8_t *h;

	memset(b, 0, sizeof(*b));
	h = build_room(b, ihl * 4u);
	h[0] = (uint8_t)(0x40 | ihl);
	h[1] = 0x10;
	build_put16(h + 6, frag);
	h[8] = 57;
	memcpy(h + 12, build_src4, 4);
	memcpy(h + 16, build_dst4, 4);
	if (ihl > 5)
		memset(h + 20, 1, (ihl - 5) * 4u); /* no-operation options */
	b->next = 9;
}

static inline void build_v4(struct build *b)
{
	build_v4_header(b, 5, 0x4000);
}

static inline void build_v6(struct build *b)
{
	uint8_t *h;

	memset(b, 0, sizeof(*b));
	h = build_room(b, 40);
	h[0] = 0x61;
	h[1] = 0x0f; /* traffic class 0x10, some flow label */
	h[2] = 0x12;
	h[7] = 57;
	memcpy(h + 8, build_src, 16);
	memcpy(h + 24, build_dst, 16);
	b->next = 6;
}

/* An extension header other than AH and fragment: 8 + 8 * more bytes. */
static inline uint8_t *build_ext(struct build *b, uint8_t proto, uint8_t more)
{
	uint8_t *h;

	b->d[b->next] = proto;
	b->next = b->n;
	h = build_room(b, 8 + 8u * more);
	h[1] = more;
	if (proto == 0 || proto == 60) { /* one PadN option */
		h[2] = 1;
		h[3] = 4;
	}
	return h;
}

static inline void build_fragment(struct build *b, unsigned offset_flags)
{
	uint8_t *h = build_ext(b, 44, 0);

	build_put16(h + 2, offset_flags);
	build_put32(h + 4, 0xabad1dea);
}

/* `words` of 4 bytes after the first 8. */
static inline void build_ah(struct build *b, uint8_t words)
{
	uint8_t *h;

	b->d[b->next] = 51;
	b->next = b->n;
	h = build_room(b, 8 + 4u * words);
	h[1] = words;
}

static inline uint8_t *build_l4(struct build *b, uint8_t proto, size_t n)
{
	b->d[b->next] = proto;
	b->l4 = b->n;
	return build_room(b, n);
}

static inline uint8_t *build_tcp(struct build *b, uint8_t flags, unsigned doff)
{
	uint8_t *h = build_l4(b, 6, doff * 4u);

	build_put16(h, 4000);
	build_put16(h + 2, 22);
	build_put32(h + 4, 0x01020304);
	build_put32(h + 8, 0x0a0b0c0d);
	h[12] = (uint8_t)(doff << 4);
	h[13] = flags;
	build_put16(h + 14, 64240);
	return h;
}

static inline uint8_t *build_udp(struct build *b, uint8_t proto, unsigned payload)
{
	uint8_t *h = build_l4(b, proto, 8 + payload);

	build_put16(h, 4000);
	build_put16(h + 2, 53);
	build_put16(h + 4, 8 + payload);
	return h;
}

static inline uint8_t *build_icmp(struct build *b, uint8_t proto, uint8_t type, uint8_t code)
{
	uint8_t *h = build_l4(b, proto, 8);

	h[0] = type;
	h[1] = code;
	build_put16(h + 4, 777);
	build_put16(h + 6, 1);
	return h;
}

static inline uint8_t *build_sctp(struct build *b, uint8_t chunk, unsigned chunk_len)
{
	uint8_t *h = build_l4(b, 132, 12 + chunk_len);

	build_put16(h, 4000);
	build_put16(h + 2, 36412);
	h[12] = chunk;
	build_put16(h + 14, chunk_len);
	if (chunk_len >= 8)
		build_put32(h + 16, 0x5eedf00d);
	return h;
}

/* A Request (RFC 4340, 5.1), `words` of 4 bytes long: 5 are its header. */
static inline uint8_t *build_dccp(struct build *b, unsigned words)
{
	uint8_t *h = build_l4(b, 33, words * 4u);

	build_put16(h, 4000);
	build_put16(h + 2, 5000);
	h[4] = (uint8_t)words;
	h[8] = 1; /* type Request, extended sequence numbers */
	build_put32(h + 12, 77);
	build_put32(h + 16, 0x64697363);
	return h;
}

static inline void build_data(struct build *b, size_t n, uint8_t first)
{
	uint8_t *p = build_room(b, n);

	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(first + i);
}

static inline void build_finish(struct build *b)
{
	if (b->d[0] >> 4 == 4)
		build_put16(b->d + 2, (unsigned)b->n);
	else
		build_put16(b->d + 4, (unsigned)b->n - 40);
}

/*
 * One packet of every kind, in both families. Returns false behind the last; *headers is where
 * the last byte that the parser must see ends, *kind an enum packet_kind.
 */
static inline bool build_sample(struct build *b, unsigned i, size_t *headers, int *kind)
{
	enum { OTHER, SYN, RST, MID, UDP, ECHO, ICMP, INIT, SCTP }; /* as enum packet_kind */
	bool v6 = i & 1;

	v6 ? build_v6(b) : build_v4(b);
	if (v6 && i >= 30) {
		build_ext(b, 0, 0);
		build_ext(b, 43, 2);
		build_fragment(b, 0);
		build_ah(b, 4);
		build_ext(b, 60, 1);
	} else if (i >= 30) {
		build_v4_header(b, 15, 0);
	}
	switch (i / 2 % 15) {
	case 0:
		build_tcp(b, 0x02, 10);
		*headers = b->n;
		*kind = SYN;
		break;
	case 1:
		build_tcp(b, 0x14, 5);
		*headers = b->n;
		*kind = RST;
		break;
	case 2:
		build_tcp(b, 0x18, 8);
		*headers = b->n;
		*kind = MID;
		build_data(b, 33, 'a');
		break;
	case 3:
		build_tcp(b, 0x02, 5);
		*headers = b->n;
		*kind = SYN;
		build_data(b, 5, 'a');
		break;
	case 4:
		build_udp(b, 17, 0);
		*headers = b->n;
		*kind = UDP;
		break;
	case 5:
		build_udp(b, 17, 27);
		*headers = b->l4 + 8;
		*kind = UDP;
		break;
	case 6:
		build_udp(b, 136, 9);
		*headers = b->l4 + 8;
		*kind = UDP;
		break;
	case 7:
		build_icmp(b, v6 ? 58 : 1, v6 ? 128 : 8, 0);
		*headers = b->n;
		*kind = ECHO;
		build_data(b, 56, 0);
		break;
	case 8:
		build_icmp(b, v6 ? 58 : 1, v6 ? 129 : 0, 0);
		*headers = b->n;
		*kind = ICMP;
		break;
	case 9:
		build_icmp(b, v6 ? 58 : 1, v6 ? 1 : 3, 1);
		*headers = b->n;
		*kind = ICMP;
		build_data(b, 48, 0x45);
		break;
	case 10:
		build_sctp(b, 1, 20);
		*headers = b->n;
		*kind = INIT;
		break;
	case 11:
		build_sctp(b, 0, 19);
		*headers = b->l4 + 13;
		*kind = SCTP;
		break;
	case 12:
		build_l4(b, 47, 24);
		*headers = b->l4;
		*kind = OTHER;
		break;
	case 13:
		build_l4(b, 50, 32);
		*headers = b->l4;
		*kind = OTHER;
		break;
	default:
		build_l4(b, 59, 0);
		*headers = b->n;
		*kind = OTHER;
	}
	build_finish(b);
	return i < 60;
}

#endif
