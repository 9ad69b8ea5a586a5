/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bytes as datagrams from the queue socket, each with its length in two bytes before it: parsed,
 * marked, and handed to an engine whose callout pends. Every packet gets one verdict, nothing is read
 * outside of a message and its padding.
 */
#include "io/nfqueue_parse.h"
#include "tests/unit/engine_sim.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct batch {
	struct nfqueue_item items[NFQ_BATCH];
	uint8_t *buf[NFQ_BATCH];
	unsigned items_used, bufs;
};

/* A copy in a block of exactly its size, rounded up as netlink does. */
static void take(struct batch *b, const uint8_t *data, size_t len)
{
	size_t room = (len + 3) & ~(size_t)3;
	uint8_t *copy = calloc(1, room ? room : 4);
	int r;

	if (!copy)
		abort();
	memcpy(copy, data, len);
	b->buf[b->bufs++] = copy;
	(void)nfqueue_parse_answer(copy, len, 1, &r);
	r = nfqueue_parse_message(copy, len, &b->items[b->items_used]);
	SIM_CHECK(r == 0 || r == 1);
	if (!r)
		return;
	if (b->items[b->items_used].type == NFQ_PACKET) {
		const struct engine_input *in = &b->items[b->items_used].in;

		SIM_CHECK(!in->len || (in->data >= copy && in->data + in->len <= copy + room));
		SIM_CHECK(!in->stamp);
	}
	b->items_used++;
}

static void split(struct batch *b, const uint8_t *data, size_t size)
{
	while (size >= 2 && b->bufs < NFQ_BATCH) {
		size_t len = (size_t)data[0] << 8 | data[1];

		data += 2;
		size -= 2;
		if (len > size)
			len = size;
		take(b, data, len);
		data += len;
		size -= len;
	}
}

static void feed(struct sim *s, const struct batch *b)
{
	for (unsigned i = 0; i < b->items_used; i++) {
		const struct nfqueue_item *it = &b->items[i];

		if (it->type == NFQ_PACKET)
			sim_input(s, &it->in);
		else if (it->error)
			complete_kernel_lost(&s->e, it->seq, it->id);
		sim_check(s);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct batch b = {.items_used = 0};
	struct sim_callout c;
	struct sim s;
	bool drained;

	if (size < 1)
		return 0;
	drained = data[0] & 1;
	split(&b, data + 1, size - 1);
	nfqueue_mark_stamps(b.items, b.items_used, drained);
	for (unsigned i = 0; i < b.items_used && !drained; i++)
		SIM_CHECK(b.items[i].type != NFQ_PACKET || !b.items[i].in.stamp);
	sim_config(&s);
	s.cfg.max_contexts = 16;
	s.cfg.max_bytes = 1024;
	s.cfg.on_malformed = data[0] & 2 ? PEND_ACTION_PERMIT : PEND_ACTION_BLOCK;
	sim_start(&s);
	sim_callout(&s, &c, 1, data[0] & 4 ? DO_PEND : DO_PERMIT);
	c.opt.mode = (enum pend_mode)(data[0] >> 3 & 3) % 3;
	feed(&s, &b);
	sim_end(&s);
	for (unsigned i = 0; i < b.bufs; i++)
		free(b.buf[i]);
	return 0;
}
