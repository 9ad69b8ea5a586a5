/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Netlink messages of the queue, made by hand; which datagrams may stamp their flow. */
#include "io/nfqueue_parse.h"
#include "tests/unit/packet_build.h"
#include "unit.h"
#include <errno.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <linux/netlink.h>

static uint8_t m[8192] __attribute__((aligned(8)));
static uint32_t n;

static void *put(const void *p, uint32_t len)
{
	void *at = m + n;

	memset(at, 0, (len + 3) & ~3u);
	if (p)
		memcpy(at, p, len);
	n += (len + 3) & ~3u;
	return at;
}

static void begin(uint16_t type, uint32_t seq)
{
	struct nlmsghdr h = {.nlmsg_type = type, .nlmsg_seq = seq};
	uint32_t family = 0;

	n = 0;
	put(&h, sizeof(h));
	put(&family, 4);
}

static void attr(uint16_t type, const void *p, uint16_t len)
{
	struct nlattr a = {.nla_len = (uint16_t)(sizeof(a) + len), .nla_type = type};

	put(&a, sizeof(a));
	put(p, len);
}

static void attr32(uint16_t type, uint32_t v)
{
	uint8_t b[4];

	build_put32(b, v);
	attr(type, b, 4);
}

static int parse(struct nfqueue_item *it)
{
	((struct nlmsghdr *)(void *)m)->nlmsg_len = n;
	return nfqueue_parse_message(m, n, it);
}

static void put_packet_header(uint32_t id, uint8_t hook)
{
	uint8_t h[7] = {0, 0, 0, 0, 8, 0, hook};

	build_put32(h, id);
	attr(NFQA_PACKET_HDR, h, sizeof(h));
}

#define PACKET (3 << 8 | NFQNL_MSG_PACKET)

START_TEST(packet)
{
	struct nfqueue_item it;
	uint8_t bytes[21] = {0x45};

	begin(PACKET, 0);
	put_packet_header(0x01020304, 1);
	attr32(NFQA_MARK, 0xaabbccdd);
	attr32(NFQA_IFINDEX_INDEV, 7);
	attr32(NFQA_IFINDEX_OUTDEV, 8);
	attr32(NFQA_SKB_INFO, NFQA_SKB_CSUMNOTREADY);
	attr32(NFQA_CAP_LEN, 1500);
	attr(NFQA_PAYLOAD, bytes, sizeof(bytes));
	ck_assert_int_eq(parse(&it), 1);
	ck_assert_int_eq(it.type, NFQ_PACKET);
	ck_assert_uint_eq(it.in.id, 0x01020304);
	ck_assert_uint_eq(it.in.mark, 0xaabbccdd);
	ck_assert(it.in.iif == 7 && it.in.oif == 8 && it.in.hook == 1);
	ck_assert(it.in.csum_pending && !it.in.stamp);
	ck_assert(it.in.len == 21 && it.in.total == 1500 && it.in.data[0] == 0x45);
}
END_TEST

START_TEST(packet_of_few_attributes)
{
	struct nfqueue_item it;

	begin(PACKET, 0);
	put_packet_header(5, 3);
	ck_assert_int_eq(parse(&it), 1); /* without payload: malformed is for the engine to say */
	ck_assert(it.in.len == 0 && it.in.id == 5 && !it.in.csum_pending && it.in.iif == 0);
	begin(PACKET, 0);
	attr32(NFQA_MARK, 1);
	ck_assert_int_eq(parse(&it), 0); /* without an id there is nothing to answer */
	begin(PACKET, 0);
	attr32(NFQA_PACKET_HDR, 1); /* too short */
	ck_assert_int_eq(parse(&it), 0);
}
END_TEST

START_TEST(cut_at_every_byte)
{
	struct nfqueue_item it;
	uint32_t whole;

	begin(PACKET, 0);
	put_packet_header(5, 1);
	attr32(NFQA_MARK, 9);
	attr(NFQA_PAYLOAD, "0123456789012345678901234567", 28);
	whole = n;
	for (n = 0; n < whole; n++) {
		((struct nlmsghdr *)(void *)m)->nlmsg_len = whole;
		ck_assert_int_eq(nfqueue_parse_message(m, n, &it), 0);
		if (n >= sizeof(struct nlmsghdr))
			(void)parse(&it); /* a length that agrees */
	}
}
END_TEST

static void put_error(int error, uint32_t seq, uint32_t id, bool quote)
{
	struct nlmsghdr inner = {
		.nlmsg_type = 3 << 8 | NFQNL_MSG_VERDICT, .nlmsg_seq = seq, .nlmsg_pid = 4711};
	struct nlmsghdr h = {.nlmsg_type = NLMSG_ERROR};
	uint8_t v[8] = {0};
	uint32_t at, family = 0;
	int e = -error;

	n = 0;
	put(&h, sizeof(h));
	put(&e, 4);
	at = n;
	put(&inner, sizeof(inner));
	if (quote) {
		put(&family, 4);
		build_put32(v + 4, id);
		attr(NFQA_VERDICT_HDR, v, sizeof(v));
	}
	inner.nlmsg_len = quote ? n - at : sizeof(inner) + 20;
	memcpy(m + at, &inner, sizeof(inner));
}

START_TEST(errors_and_acknowledgements)
{
	struct nfqueue_item it;

	put_error(ENOENT, 0x80000005, 77, true);
	ck_assert_int_eq(parse(&it), 1);
	ck_assert_int_eq(it.type, NFQ_ERROR);
	ck_assert_int_eq(it.error, ENOENT);
	ck_assert_uint_eq(it.seq, 0x80000005);
	ck_assert_uint_eq(it.id, 77);
	ck_assert_uint_eq(it.barrier, 4711);
	put_error(0, 0x80000009, 0, false); /* quotes the header only */
	ck_assert_int_eq(parse(&it), 1);
	ck_assert(it.error == 0 && it.seq == 0x80000009 && it.id == 0);
	ck_assert_uint_eq(it.barrier, 4711);
	/* Of a configuration message: none of ours. */
	put_error(0, 1, 0, false);
	m[16 + 4 + 4] = NFQNL_MSG_CONFIG;
	ck_assert_int_eq(parse(&it), 0);
	begin(NLMSG_ERROR, 0);
	ck_assert_int_eq(parse(&it), 0);
	begin(NLMSG_NOOP, 0);
	ck_assert_int_eq(parse(&it), 0);
}
END_TEST

static void put_answer(uint8_t type, int error, uint32_t seq)
{
	put_error(error, seq, 0, false);
	m[16 + 4 + 4] = type;
	((struct nlmsghdr *)(void *)m)->nlmsg_len = n;
}

/* While the queue is set up: packets, and answers to what somebody else has asked. */
START_TEST(the_answer_among_other_datagrams)
{
	int error = -1;

	begin(PACKET, 7);
	put_packet_header(5, 1);
	((struct nlmsghdr *)(void *)m)->nlmsg_len = n;
	ck_assert(!nfqueue_parse_answer(m, n, 7, &error));
	begin(PACKET, 0);
	put_packet_header(5, 1);
	((struct nlmsghdr *)(void *)m)->nlmsg_len = n;
	ck_assert(!nfqueue_parse_answer(m, n, 0, &error));
	put_answer(NFQNL_MSG_CONFIG, 0, 6); /* the one before it */
	ck_assert(!nfqueue_parse_answer(m, n, 7, &error));
	put_answer(NFQNL_MSG_VERDICT, ENOENT, 7);
	ck_assert(!nfqueue_parse_answer(m, n, 7, &error));
	ck_assert_int_eq(error, -1);
	put_answer(NFQNL_MSG_CONFIG, EOPNOTSUPP, 7);
	ck_assert(nfqueue_parse_answer(m, n, 7, &error));
	ck_assert_int_eq(error, EOPNOTSUPP);
	put_answer(NFQNL_MSG_CONFIG, 0, 7);
	for (uint32_t len = 0; len < n; len++)
		ck_assert(!nfqueue_parse_answer(m, len, 7, &error));
	ck_assert(nfqueue_parse_answer(m, n, 7, &error));
	ck_assert_int_eq(error, 0);
}
END_TEST

START_TEST(lengths_that_lie)
{
	static const uint32_t lies[] = {0,          1,          15,         16,
					0x7fffffff, 0x80000000, 0xfffffff0, 0xffffffff};
	struct nfqueue_item it;

	for (size_t i = 0; i < sizeof(lies) / sizeof(*lies); i++) {
		struct nlmsghdr *exact = calloc(1, 36);

		ck_assert_ptr_nonnull(exact);
		exact->nlmsg_type = i & 1 ? NLMSG_ERROR : PACKET;
		exact->nlmsg_len = lies[i];
		(void)nfqueue_parse_message(exact, 36, &it);
		exact->nlmsg_type = i & 1 ? PACKET : NLMSG_ERROR;
		ck_assert_int_eq(nfqueue_parse_message(exact, 20, &it), 0);
		free(exact);
	}
	put_error(ENOENT, 1, 2, true);
	memcpy(m + 16, "\0\0\0\x80", 4);
	ck_assert_int_eq(parse(&it), 1);
	ck_assert_int_eq(it.error, INT32_MAX);
	/* The quoted message's own length. */
	put_error(ENOENT, 1, 2, true);
	memcpy(m + 20, "\xff\xff\xff\xff", 4);
	ck_assert_int_eq(parse(&it), 1);
	ck_assert_uint_eq(it.id, 0);
}
END_TEST

static struct nfqueue_item items[NFQ_BATCH];
static struct build bytes[NFQ_BATCH];

static void set_item(unsigned i, bool v6, uint8_t proto, uint16_t sport)
{
	struct build *b = &bytes[i];
	uint8_t *h;

	v6 ? build_v6(b) : build_v4(b);
	h = proto == 6 ? build_tcp(b, 2, 5) : build_udp(b, proto, 3);
	build_put16(h, sport);
	build_finish(b);
	items[i] = (struct nfqueue_item){.type = NFQ_PACKET,
					 .in = {.data = b->d, .len = (uint32_t)b->n, .id = i}};
}

START_TEST(nfqueue_mark_stamps_last_of_each_flow)
{
	for (int v6 = 0; v6 < 2; v6++) {
		set_item(0, v6, 17, 1000);
		set_item(1, v6, 17, 1001);
		set_item(2, v6, 17, 1000);
		set_item(3, v6, 6, 1000);
		set_item(4, v6, 17, 1001);
		items[5] = (struct nfqueue_item){.type = NFQ_ERROR};
		nfqueue_mark_stamps(items, 6, true);
		ck_assert(!items[0].in.stamp && !items[1].in.stamp);
		ck_assert(items[2].in.stamp && items[4].in.stamp);
		ck_assert(!items[3].in.stamp); /* TCP needs none */
	}
}
END_TEST

START_TEST(nfqueue_mark_stamps_not_when_more_is_waiting)
{
	set_item(0, false, 17, 1000);
	nfqueue_mark_stamps(items, 1, false);
	ck_assert(!items[0].in.stamp);
}
END_TEST

START_TEST(nfqueue_mark_stamps_full_batch_and_short_packets)
{
	for (unsigned i = 0; i < NFQ_BATCH; i++)
		set_item(i, i & 1, 17, (uint16_t)(1000 + i));
	nfqueue_mark_stamps(items, NFQ_BATCH, true);
	for (unsigned i = 0; i < NFQ_BATCH; i++)
		ck_assert(items[i].in.stamp);
	for (uint32_t len = 0; len < 60; len++) {
		uint8_t *exact = malloc(len ? len : 1);

		ck_assert_ptr_nonnull(exact);
		set_item(0, len & 1, 17, 1);
		memcpy(exact, bytes[0].d, len < bytes[0].n ? len : bytes[0].n);
		items[0].in.data = len ? exact : NULL;
		items[0].in.len = len < bytes[0].n ? len : (uint32_t)bytes[0].n;
		nfqueue_mark_stamps(items, 1, true);
		free(exact);
	}
}
END_TEST

Suite *suite(void)
{
	Suite *s = suite_create("nfqueue_parse");
	TCase *tc = tcase_create("messages");

	tcase_add_test(tc, packet);
	tcase_add_test(tc, packet_of_few_attributes);
	tcase_add_test(tc, cut_at_every_byte);
	tcase_add_test(tc, errors_and_acknowledgements);
	tcase_add_test(tc, the_answer_among_other_datagrams);
	tcase_add_test(tc, lengths_that_lie);
	tcase_add_test(tc, nfqueue_mark_stamps_last_of_each_flow);
	tcase_add_test(tc, nfqueue_mark_stamps_not_when_more_is_waiting);
	tcase_add_test(tc, nfqueue_mark_stamps_full_batch_and_short_packets);
	suite_add_tcase(s, tc);
	return s;
}
