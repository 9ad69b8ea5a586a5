/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Any bytes as a packet: offsets stay inside, keys are canonical, what is printed reads back,
 * mending checksums touches checksums only, and answers made for the flow are packets themselves.
 */
#include "core/packet.h"
#include <stdlib.h>
#include <string.h>

#define CHECK(cond)              \
	do {                     \
		if (!(cond))     \
			abort(); \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const struct flow *f)
{
	char text[FLOW_TEXT];
	struct flow back, twice = flow_reverse(f);

	CHECK(!flow_parse(flow_print(f, text), &back));
	CHECK(flow_equal(f, &back));
	twice = flow_reverse(&twice);
	CHECK(flow_equal(f, &twice));
}

static void check_answer(const uint8_t *out, int len)
{
	uint8_t copy[PACKET_ANSWER_MAX];
	struct packet p;

	if (len < 0)
		return;
	CHECK(len <= PACKET_ANSWER_MAX);
	CHECK(packet_parse(&p, out, (size_t)len) == PACKET_OK);
	CHECK(p.total == (uint32_t)len);
	memcpy(copy, out, (size_t)len);
	CHECK(!packet_fix_checksum(copy, (size_t)len));
	CHECK(!memcmp(copy, out, (size_t)len));
}

static void check_answers(const struct packet *p)
{
	uint8_t out[PACKET_ANSWER_MAX];

	check_answer(out, packet_make_reset(&p->flow, p->isn, p->total, out));
	check_answer(out, packet_make_unreachable(&p->flow, p->isn, out));
}

/* Where the transport checksum is; 0 bytes where there is none that is computed. */
static size_t sum_field(const struct packet *p, size_t *bytes)
{
	*bytes = 2;
	switch ((enum packet_kind)p->kind) {
	case PACKET_TCP_SYN:
	case PACKET_TCP_RST:
	case PACKET_TCP_MID:
		return p->l4 + 16u;
	case PACKET_ICMP_ECHO:
	case PACKET_ICMP_OTHER:
		return p->l4 + 2u;
	case PACKET_SCTP_INIT:
	case PACKET_SCTP_OTHER:
		*bytes = 4;
		return p->l4 + 8u;
	case PACKET_UDP:
		*bytes = p->flow.proto == 17 ? 2 : 0;
		return p->l4 + 6u;
	case PACKET_OTHER:
		break;
	}
	*bytes = 0;
	return 0;
}

static void check_sum(const struct packet *p, const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size), *again = malloc(size);
	size_t bytes, field = sum_field(p, &bytes);

	CHECK(copy && again);
	memcpy(copy, data, size);
	if (!packet_fix_checksum(copy, size)) {
		memcpy(again, copy, size);
		CHECK(!packet_fix_checksum(again, size));
		CHECK(!memcmp(copy, again, size));
		memcpy(copy + field, data + field, bytes);
		if (p->flow.family == FLOW_V4)
			memcpy(copy + 10, data + 10, 2);
	}
	CHECK(!memcmp(copy, data, size));
	free(copy);
	free(again);
}

static void check_packet(const struct packet *p, size_t size, enum packet_result r)
{
	static const uint8_t zero[12];

	CHECK(p->len == size && p->l4 <= size && p->payload <= size);
	CHECK(!p->payload || p->payload >= p->l4);
	CHECK(!p->flow.zero);
	CHECK(p->flow.family == FLOW_V6 ||
	      (!memcmp(p->flow.src + 4, zero, 12) && !memcmp(p->flow.dst + 4, zero, 12)));
	if (r == PACKET_FRAGMENT)
		CHECK(!p->l4 && !p->has_ports && !p->flow.sport && !p->flow.dport);
	if (r == PACKET_OK)
		CHECK(p->l4 && p->l4 <= p->total);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct packet p;
	enum packet_result r;

	memset(&p, 0xa5, sizeof(p));
	r = packet_parse(&p, data, size);
	check_packet(&p, size, r);
	if (p.flow.family)
		check_text(&p.flow);
	if (r == PACKET_OK)
		check_answers(&p);
	if (size)
		check_sum(&p, data, size);
	return 0;
}
