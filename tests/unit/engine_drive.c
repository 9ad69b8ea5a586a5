/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A schedule of engine operations from bytes. See engine_drive.h. */
#include "tests/unit/engine_drive.h"
#include <string.h>

#define HANDLES  64u
#define CALLOUTS 4u

struct drive {
	struct sim s;
	struct drive_source *src;
	struct sim_callout callouts[CALLOUTS];
	bool registered[CALLOUTS];
	pend_context handles[HANDLES]; /* the last that were given out, dead ones too */
	unsigned handle_at;
	uint8_t notify_left; /* completions from inside of events */
	bool over;
	unsigned steps;
};

static uint8_t draw(struct drive *d)
{
	uint8_t b = 0;

	if (!d->over && !d->src->next(d->src, &b))
		d->over = true;
	return d->over ? 0 : b;
}

static void remember(struct drive *d, pend_context ctx)
{
	d->handles[d->handle_at++ % HANDLES] = ctx;
}

/* The last ones more often than old ones. */
static pend_context some_handle(struct drive *d)
{
	uint8_t b = draw(d);
	unsigned back = b & 0x80 ? b & (HANDLES - 1) : b & 7;

	if (b == 0x7f)
		return (pend_context)draw(d) << 56 | (pend_context)draw(d) << 32 | draw(d);
	return d->handles[(d->handle_at - 1 - back) % HANDLES];
}

static void complete_some(struct drive *d)
{
	pend_context ctx = some_handle(d);
	uint8_t how = draw(d);
	struct pend_stats before = sim_stats(&d->s);
	bool live = sim_state(&d->s, ctx) == PEND_STATE_PENDED;
	enum pend_status st;

	if (how % 8 < 3)
		st = sim_complete(&d->s, ctx, PEND_VERDICT_PERMIT);
	else if (how % 8 < 5)
		st = pend_complete_block(&d->s.e, ctx, (enum pend_block)(how / 8 % 3), how);
	else if (how % 8 == 5)
		st = pend_complete(&d->s.e, ctx, PEND_VERDICT_CONTINUE, how);
	else if (how % 8 == 6)
		st = pend_complete_operation(&d->s.e, ctx, NULL);
	else
		st = pend_complete(&d->s.e, ctx, PEND_VERDICT_BLOCK, how);
	if (!live && !d->s.e.depth)
		SIM_CHECK(st != PEND_OK);
	/* Late, repeated and foreign completions change nothing (R23). */
	if (st == PEND_E_NOT_FOUND || st == PEND_E_ALREADY || st == PEND_E_ACCESS_DENIED)
		SIM_CHECK(sim_stats(&d->s).verdicts == before.verdicts &&
			  sim_stats(&d->s).pending == before.pending);
}

static void on_event(struct sim *s, const struct pend_event *ev)
{
	struct drive *d = s->arg;

	if (ev->info.context)
		remember(d, ev->info.context);
	if (!d->notify_left)
		return;
	d->notify_left--;
	complete_some(d); /* a notify function that completes, itself or others */
}

static void choose_options(struct drive *d, struct sim_callout *c)
{
	uint8_t b = draw(d);

	c->opt.mode = (enum pend_mode)(b % 3);
	c->opt.release = (enum pend_release)(b >> 2 & 1);
	c->opt.block = (enum pend_block)((b >> 3 & 3) % 3);
	c->opt.on_timeout = (enum pend_verdict)(b >> 5 & 1);
	c->opt.timeout_ns = (1 + (uint64_t)draw(d) * 40) * MONO_NS_PER_MS;
	c->opt.tag = b;
}

static void pend_in_call(struct drive *d, struct sim_callout *c, const struct pend_metadata *m,
			 uint8_t how, struct pend_classify_out *out)
{
	choose_options(d, c);
	c->pend_status = pend_operation(&c->s->e, m->completion, &c->opt, &c->ctx);
	if (c->pend_status != PEND_OK) {
		if (how & 0x80)
			pend_out_permit(out);
		else
			pend_out_block(out, PEND_BLOCK_DROP);
		return;
	}
	/* A deadline that permits is a permit of this attempt. */
	if (c->opt.on_timeout == PEND_VERDICT_PERMIT) {
		const struct pctx *x = slab_at(&c->s->e.table.slab,
					       (uint32_t)(c->ctx >> 32) & 0xffffff);

		sim_allow(c->s, &x->flow, x->isn);
		sim_allow(c->s, &x->flow, 0);
	}
	remember(d, c->ctx);
	pend_out_pended(out);
	if ((how & 0x70) == 0x10)
		out->rights |= PEND_RIGHT_ACTION_WRITE; /* dangling */
	if ((how & 0x70) == 0x20)
		(void)sim_complete(c->s, c->ctx, (enum pend_verdict)(how >> 7));
	if ((how & 0x70) == 0x30)
		complete_some(d); /* any, from inside of a call */
}

static void classify(struct sim_callout *c, const struct pend_values *v,
		     const struct pend_metadata *m, const struct pend_packet *p,
		     struct pend_classify_out *out)
{
	struct drive *d = c->arg;
	uint8_t how = draw(d);

	(void)v;
	(void)p;
	if (m->flags & PEND_META_COMPLETION) {
		if (how < 16)
			pend_out_block(out, (enum pend_block)(how % 3));
		if (how < 8)
			out->rights |= PEND_OUT_ONCE;
		else if (how >= 16 && how < 24)
			complete_some(d);
		else if (how >= 24 && how < 48)
			pend_out_permit(out);
		return;
	}
	switch (how & 0x0f) {
	case 0:
		break;
	case 1:
		pend_out_permit(out);
		break;
	case 2:
		pend_out_permit(out);
		out->rights &= ~(uint32_t)PEND_RIGHT_ACTION_WRITE;
		break;
	case 3:
		pend_out_block(out, (enum pend_block)(how >> 4) % 3);
		if (how & 0x80)
			out->rights |= PEND_OUT_ONCE;
		break;
	case 4:
		out->action = PEND_ACTION_BLOCK;
		break;
	case 5:
		complete_some(d);
		break;
	default:
		pend_in_call(d, c, m, how, out);
	}
}

static void toggle_callout(struct drive *d, uint8_t b)
{
	unsigned i = b % CALLOUTS;
	enum pend_status st;

	if (!d->registered[i]) {
		sim_callout(&d->s, &d->callouts[i], b >> 4, DO_CONTINUE);
		d->callouts[i].hook = classify;
		d->callouts[i].arg = d;
		d->registered[i] = true;
		return;
	}
	st = pend_callout_unregister(&d->s.e, d->callouts[i].id, b & 0x80);
	SIM_CHECK(st == PEND_OK || (st == PEND_E_BUSY && !(b & 0x80)));
	d->registered[i] = st != PEND_OK;
}

static struct sim_tuple some_tuple(struct drive *d)
{
	uint8_t b = draw(d);

	return (struct sim_tuple){.family = b & 0x80 ? 6 : 4,
				  .host = b >> 4 & 3,
				  .sport = (uint16_t)(4000 + b % 16),
				  .dport = b & 0x40 ? 80 : 22};
}

static void send_datagram(struct drive *d)
{
	struct sim_tuple t = some_tuple(d);
	uint8_t buf[256], b = draw(d);
	uint32_t len = sim_make(buf, b & 0x80 ? SIM_ECHO : SIM_UDP, &t, 0, b & 0x1f, b);

	sim_queue(&d->s, buf, len, 2, b & 0x40);
}

static void kernel_step(struct drive *d, uint8_t b)
{
	switch (b % 6) {
	case 0:
		sim_flush(&d->s);
		break;
	case 1:
		sim_round(&d->s);
		break;
	case 2:
		sim_lose_all(&d->s);
		break;
	case 3:
		if (d->s.packets)
			sim_lose(&d->s, 1 + (uint32_t)draw(d) % d->s.packets);
		break;
	case 4:
		sim_feed(&d->s);
		break;
	case 5:
		d->s.inject_fails = b & 0x80;
		d->s.lose_answers = b & 0x40;
		break;
	}
}

/* What a call site counts as its own must be what is pended by it. */
static void check_live(const struct drive *d)
{
	const struct pend_engine *e = &d->s.e;
	uint32_t live[PEND_CALLOUT_MAX] = {0};

	for (uint32_t i = 0; i < e->table.slab.fresh; i++) {
		const struct pctx *c = slab_at(&e->table.slab, i);

		if (c->state == PEND_STATE_PENDED)
			live[c->pender]++;
	}
	for (unsigned i = 0; i < PEND_CALLOUT_MAX; i++)
		SIM_CHECK(i < e->callouts ? e->callout[i].live == live[i] : !live[i]);
}

static void check_counts(const struct drive *d)
{
	const struct pctx_table *t = &d->s.e.table;
	uint32_t live = 0, lingering = 0, packets = 0, queue = d->s.cfg.kernel_queue;

	for (uint32_t i = 0; i < t->slab.fresh; i++) {
		const struct pctx *c = slab_at(&t->slab, i);

		if (c->state == PEND_STATE_FREE)
			continue;
		SIM_CHECK(c->state != PEND_STATE_STORED);
		SIM_CHECK(pctx_lookup(t, &c->flow, pctx_hash(t, &c->flow)) == c);
		SIM_CHECK((c->state <= PEND_STATE_COMPLETING) == !!(c->flags & PCTX_LIVE));
		SIM_CHECK(c->state <= PEND_STATE_COMPLETING || !c->packets);
		SIM_CHECK(wheel_timer_armed(&c->timer) || list_linked(&c->link));
		live += c->state <= PEND_STATE_COMPLETING;
		lingering += c->state > PEND_STATE_COMPLETING;
		packets += c->packets;
	}
	SIM_CHECK(live == t->live && lingering == t->lingering && packets == t->kept.used);
	SIM_CHECK(t->held <= queue - queue / 8 - 1);
	SIM_CHECK(live + lingering == t->slab.used && t->slab.used == t->by_flow.used);
	SIM_CHECK(d->s.e.depth == 0 && d->s.e.notifying == 0 && !d->s.e.call);
}

static void drain_some(struct drive *d)
{
	const struct slab *slab = &d->s.e.table.slab;

	for (uint32_t i = 0; i < slab->fresh; i++) {
		const struct pctx *c = slab_at(slab, i);

		if (c->state != PEND_STATE_PENDED)
			continue;
		sim_allow(&d->s, &c->flow, c->isn);
		sim_allow(&d->s, &c->flow, 0);
	}
	(void)pend_engine_drain(&d->s.e, PEND_VERDICT_PERMIT, 1 + draw(d) % 4);
}

static void step(struct drive *d)
{
	uint8_t op = draw(d), b;
	struct sim_tuple t;

	switch (op % 16) {
	case 0:
	case 1:
	case 2:
	case 3:
		t = some_tuple(d);
		sim_send(&d->s, SIM_SYN, &t, draw(d) % 4 ? 100 : 200);
		break;
	case 4:
		t = some_tuple(d);
		sim_send(&d->s, SIM_RST, &t, draw(d) % 4 ? 101 : 201);
		break;
	case 5:
		t = some_tuple(d);
		sim_send(&d->s, SIM_ACK, &t, 102);
		break;
	case 6:
	case 7:
		send_datagram(d);
		break;
	case 8:
	case 9:
	case 10:
		complete_some(d);
		break;
	case 11:
		sim_wait(&d->s, draw(d) * (op & 0x80 ? 100u : 4u));
		break;
	case 12:
	case 13:
		kernel_step(d, draw(d));
		break;
	case 14:
		b = draw(d);
		d->notify_left = b % 8;
		if (b >= 0xc0)
			(void)pend_engine_policy_changed(&d->s.e, b & 0x20);
		break;
	case 15:
		b = draw(d);
		if (op == 0xff && b == 0xff)
			drain_some(d);
		else
			toggle_callout(d, b);
		break;
	}
	sim_check(&d->s);
	check_live(d);
	check_counts(d);
}

static void configure(struct drive *d)
{
	uint8_t b = draw(d);
	struct pend_engine_config *c;

	sim_config(&d->s);
	c = &d->s.cfg;
	c->max_contexts = 8 + (b & 31);
	c->max_per_source = b & 0x20 ? 6 : 0;
	c->max_per_service = b & 0x40 ? 10 : 0;
	c->kernel_queue = b & 0x80 ? 8 : c->kernel_queue;
	c->max_packets = 4;
	c->max_bytes = 2048;
	b = draw(d);
	c->hold_max = b & 7;
	c->high_watermark_percent = b & 8 ? 50 : 100;
	c->track_established = b & 0x10;
	c->can_reject = b & 0x20;
	d->s.track = (enum engine_track)((b >> 6) + 1);
	sim_start(&d->s);
	d->s.trace = true;
	d->s.arg = d;
	d->s.on_event = on_event;
}

unsigned engine_drive(struct drive_source *src)
{
	struct drive *d = calloc(1, sizeof(*d));
	unsigned steps;

	if (!d)
		abort();
	d->src = src;
	configure(d);
	toggle_callout(d, 0x40);
	toggle_callout(d, 0x21);
	while (!d->over) {
		step(d);
		d->steps++;
	}
	d->s.lose_answers = false;
	steps = d->steps;
	sim_end(&d->s);
	free(d);
	return steps;
}
