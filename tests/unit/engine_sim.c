/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The engine in a simulated kernel. See engine_sim.h. */
#include "tests/unit/engine_sim.h"
#include "tests/unit/packet_build.h"
#include <string.h>

static const struct siphash_key sim_key = {{0x70656e64, 0x73696d}};

/* ---- what the engine asks for ---- */

static void *grow(void *p, size_t size, unsigned used, unsigned *room)
{
	if (used < *room)
		return p;
	*room = *room ? *room * 2 : 64;
	p = realloc(p, size * *room);
	if (!p)
		abort();
	return p;
}

static uint64_t attempt(const struct flow *f, uint32_t isn)
{
	struct {
		struct flow f;
		uint32_t isn;
	} k = {*f, isn};

	return siphash13(&sim_key, &k, sizeof(k)) | 1;
}

void sim_allow(struct sim *s, const struct flow *f, uint32_t isn)
{
	uint64_t h = attempt(f, isn);
	uint32_t i = (uint32_t)(h >> 16) % SIM_ALLOWED;

	while (s->allowed[i] && s->allowed[i] != h)
		i = (i + 1) % SIM_ALLOWED;
	s->allowed[i] = h;
}

static bool allowed(const struct sim *s, const struct flow *f, uint32_t isn)
{
	uint64_t h = attempt(f, isn);
	uint32_t i = (uint32_t)(h >> 16) % SIM_ALLOWED;

	while (s->allowed[i] && s->allowed[i] != h)
		i = (i + 1) % SIM_ALLOWED;
	return s->allowed[i] == h;
}

/* I2. A segment in the middle of a flow has no ISN: the flow must have had a permit. */
static void check_trace(struct sim *s, const struct sim_packet *p, enum engine_verdict v)
{
	if (!s->trace || p->kind == PACKET_TCP_RST)
		return;
	if (v == ENGINE_ACCEPT || v == ENGINE_ACCEPT_ONCE)
		SIM_CHECK(allowed(s, &p->flow, p->kind == PACKET_TCP_MID ? 0 : p->isn));
}

static void op_verdict(void *io, uint32_t id, enum engine_verdict v, uint32_t mark, uint32_t seq)
{
	struct sim *s = io;
	struct sim_packet *p;

	SIM_CHECK(id >= 1 && id <= s->packets);
	p = &s->ledger[id - 1];
	SIM_CHECK(!p->decided); /* T26 */
	p->decided = true;
	p->verdict = v;
	p->mark = mark;
	check_trace(s, p, v);
	s->out = grow(s->out, sizeof(*s->out), s->outs, &s->out_room);
	s->out[s->outs++] = (struct sim_verdict){id, seq, v};
}

static bool op_inject(void *io, const uint8_t *data, uint32_t len, const struct flow *f,
		      uint32_t iif)
{
	struct sim *s = io;
	struct sim_bytes *b;

	(void)f;
	if (s->inject_fails)
		return false;
	s->injected = grow(s->injected, sizeof(*s->injected), s->injections, &s->inject_room);
	b = &s->injected[s->injections++];
	*b = (struct sim_bytes){malloc(len), len, iif};
	if (!b->data)
		abort();
	memcpy(b->data, data, len);
	return true;
}

static bool op_answer(void *io, const uint8_t *data, uint32_t len, const struct flow *f,
		      uint32_t iif)
{
	struct sim *s = io;

	(void)f;
	(void)iif;
	SIM_CHECK(len <= sizeof(s->answer));
	if (s->answer_fails)
		return false;
	memcpy(s->answer, data, len);
	s->answer_len = len;
	s->answers++;
	return true;
}

static enum engine_track op_track(void *io, const struct flow *f)
{
	struct sim *s = io;

	(void)f;
	s->tracks++;
	return s->track;
}

static bool op_end(void *io, const struct flow *f)
{
	struct sim *s = io;

	s->ends++;
	s->ended = *f;
	return !s->end_fails;
}

static enum engine_stamp op_stamp(void *io, const struct flow *f)
{
	struct sim *s = io;

	if (s->stamp_fails)
		return STAMP_CANNOT;
	if (s->stamp_lacks_memory)
		return STAMP_NOT_NOW;
	if (s->stamp_misses) {
		s->stamp_misses--;
		return STAMP_NO_FLOW;
	}
	s->stamps++;
	s->stamped = *f;
	return STAMP_SET;
}

static const struct engine_ops sim_ops = {.verdict = op_verdict,
					  .inject = op_inject,
					  .answer = op_answer,
					  .track = op_track,
					  .end = op_end,
					  .stamp = op_stamp};

static void on_event(void *arg, const struct pend_event *ev)
{
	struct sim *s = arg;

	SIM_CHECK((unsigned)ev->type < 16);
	s->events[ev->type]++;
	s->last[ev->type] = *ev;
	if (s->logged < SIM_EVENTS) {
		s->log[s->logged].type = ev->type;
		s->log[s->logged++].state = ev->info.state;
	}
	sim_check(s); /* "in every snapshot" */
	if (s->on_event)
		s->on_event(s, ev);
}

/* ---- life ---- */

void sim_config(struct sim *s)
{
	memset(s, 0, sizeof(*s));
	pend_engine_config_init(&s->cfg);
	s->cfg.id = 7;
	s->cfg.max_contexts = 1024;
	s->cfg.max_bytes = 1u << 20;
	s->cfg.high_watermark_percent = 100;
	s->cfg.track_established = false;
	s->cfg.notify = on_event;
	s->cfg.notify_context = s;
	s->track = TRACK_OPENING;
}

void sim_start(struct sim *s)
{
	s->allowed = calloc(SIM_ALLOWED, sizeof(*s->allowed));
	if (!s->allowed)
		abort();
	SIM_CHECK(engine_init(&s->e, &s->cfg, &sim_ops, s, &sim_key, mono_ms(1000000)) == PEND_OK);
	s->e.started = true;
}

void sim_new(struct sim *s)
{
	sim_config(s);
	sim_start(s);
}

static void sim_free(struct sim *s)
{
	for (unsigned i = 0; i < s->injections; i++)
		free(s->injected[i].data);
	free(s->injected);
	free(s->ledger);
	free(s->out);
	free(s->in);
	free(s->delivered);
	free(s->allowed);
	engine_deinit(&s->e);
}

void sim_end(struct sim *s)
{
	struct pend_stats st;

	s->on_event = NULL;
	(void)pend_engine_drain(&s->e, PEND_VERDICT_BLOCK, 0);
	sim_wait(s, 1100);
	SIM_CHECK(pend_engine_drain(&s->e, PEND_VERDICT_BLOCK, 0) == PEND_OK);
	sim_round(s);
	sim_check(s);
	for (uint32_t i = 0; i < s->packets; i++)
		SIM_CHECK(s->ledger[i].decided && s->ledger[i].given);
	st = sim_stats(s);
	SIM_CHECK(st.pending == 0 && st.held == 0 && st.copied_bytes == 0);
	SIM_CHECK(list_empty(&s->e.table.completing));
	sim_free(s);
}

/* ---- callouts ---- */

static void do_pend(struct sim_callout *c, const struct pend_metadata *m, enum sim_do what,
		    struct pend_classify_out *out)
{
	pend_context ctx;

	c->pend_status = pend_operation(&c->s->e, m->completion, &c->opt, &ctx);
	if (c->pend_status != PEND_OK) {
		pend_out_block(out, PEND_BLOCK_DROP); /* R6 */
		return;
	}
	c->ctx = ctx;
	pend_out_pended(out);
	if (what == DO_PEND_DANGLE)
		pend_out_permit(out);
	if (what == DO_PEND_EARLY)
		c->early_status = sim_complete(c->s, ctx, c->early);
}

static void act(struct sim_callout *c, const struct pend_values *v, const struct pend_metadata *m,
		enum sim_do what, struct pend_classify_out *out)
{
	(void)v;
	switch (what) {
	case DO_CONTINUE:
		break;
	case DO_HARD_PERMIT:
		out->rights &= ~(uint32_t)PEND_RIGHT_ACTION_WRITE;
		pend_out_permit(out);
		break;
	case DO_PERMIT:
		pend_out_permit(out);
		break;
	case DO_BLOCK:
		pend_out_block(out, c->how);
		break;
	case DO_BLOCK_ONCE:
		pend_out_block(out, c->how);
		out->rights |= PEND_OUT_ONCE;
		break;
	case DO_SOFT_BLOCK:
		out->action = PEND_ACTION_BLOCK;
		break;
	case DO_PEND:
	case DO_PEND_DANGLE:
	case DO_PEND_EARLY:
		do_pend(c, m, what, out);
		break;
	}
}

static void classify(void *arg, const struct pend_values *v, const struct pend_metadata *m,
		     const struct pend_packet *p, struct pend_classify_out *out)
{
	struct sim_callout *c = arg;
	bool pass = m->flags & PEND_META_COMPLETION;

	c->rights = out->rights;
	c->meta = *m;
	c->values = *v;
	c->handle = m->completion;
	pass ? c->passes++ : c->calls++;
	if (c->hook)
		c->hook(c, v, m, p, out);
	else
		act(c, v, m, pass ? c->pass : c->first, out);
	/* A direct permit, or one that a completion pass gives by itself. */
	if (out->action == PEND_ACTION_PERMIT) {
		sim_allow(c->s, &p->flow, m->isn);
		sim_allow(c->s, &p->flow, 0);
	}
}

void sim_callout(struct sim *s, struct sim_callout *c, uint32_t weight, enum sim_do first)
{
	struct pend_callout pc = {
		.name = "sim", .weight = weight, .layers = 3, .classify = classify, .context = c};

	*c = (struct sim_callout){.s = s, .first = first};
	pend_options_init(&c->opt);
	c->opt.release = PEND_RELEASE_BUFFER;
	SIM_CHECK(pend_callout_register(&s->e, &pc, &c->id) == PEND_OK);
}

/* ---- packets ---- */

static void put_addresses(struct build *b, const struct sim_tuple *t)
{
	if (t->family == 4) {
		b->d[12] = 10;
		build_put16(b->d + 13, t->host >> 8 & 0xffff);
		b->d[15] = (uint8_t)t->host;
	} else {
		build_put32(b->d + 12, t->host); /* 2001:db8:host::7 */
	}
}

uint32_t sim_make(uint8_t buf[256], enum sim_kind kind, const struct sim_tuple *t, uint32_t isn,
		  unsigned payload, uint8_t fill)
{
	static const uint8_t flags[] = {[SIM_SYN] = 0x02, [SIM_RST] = 0x04, [SIM_ACK] = 0x10};
	bool v6 = t->family == 6;
	struct build b;
	uint8_t *h;

	v6 ? build_v6(&b) : build_v4(&b);
	put_addresses(&b, t);
	if (kind == SIM_ECHO) {
		h = build_icmp(&b, v6 ? 58 : 1, v6 ? 128 : 8, 0);
		build_put16(h + 4, t->sport);
	} else {
		h = kind == SIM_UDP ? build_udp(&b, 17, 0) : build_tcp(&b, flags[kind], 5);
		build_put16(h, t->sport);
		build_put16(h + 2, t->dport);
		if (kind == SIM_UDP)
			build_put16(h + 4, 8 + payload);
		else
			build_put32(h + 4, isn);
	}
	build_data(&b, payload, fill);
	build_finish(&b);
	SIM_CHECK(b.n <= 256);
	memcpy(buf, b.d, b.n);
	return (uint32_t)b.n;
}

static struct engine_input enter(struct sim *s, const struct engine_input *from)
{
	struct engine_input in = *from;
	struct packet parsed;

	s->ledger = grow(s->ledger, sizeof(*s->ledger), s->packets, &s->room);
	(void)packet_parse(&parsed, in.data, in.len);
	s->ledger[s->packets] = (struct sim_packet){.flow = parsed.flow,
						    .isn = parsed.isn,
						    .len = in.len,
						    .kind = parsed.kind,
						    .injected = in.iif == 1};
	if (in.len > 0)
		s->ledger[s->packets].last_byte = in.data[in.len - 1];
	in.id = ++s->packets;
	return in;
}

uint32_t sim_input(struct sim *s, const struct engine_input *from)
{
	struct engine_input in = enter(s, from);

	engine_packet(&s->e, &in);
	return in.id;
}

void sim_inputs(struct sim *s, const struct engine_input *from, unsigned n)
{
	struct engine_input in[ENGINE_BATCH];
	const struct engine_input *at[ENGINE_BATCH];

	for (unsigned i = 0; i < n; i++) {
		in[i] = enter(s, &from[i]);
		at[i] = &in[i];
	}
	engine_packets(&s->e, at, n);
}

uint32_t sim_queue(struct sim *s, const uint8_t *data, uint32_t len, uint32_t iif, bool stamp)
{
	struct engine_input in = {
		.data = data, .len = len, .total = len, .iif = iif, .hook = 1, .stamp = stamp};

	return sim_input(s, &in);
}

struct sim_tuple sim_peer(uint16_t sport)
{
	return (struct sim_tuple){.family = 4, .host = 7, .sport = sport, .dport = 22};
}

struct flow sim_flow(enum sim_kind kind, const struct sim_tuple *t)
{
	struct packet p;
	uint8_t buf[256];
	uint32_t len = sim_make(buf, kind, t, 1, 0, 0);

	SIM_CHECK(packet_parse(&p, buf, len) == PACKET_OK);
	return p.flow;
}

uint32_t sim_send(struct sim *s, enum sim_kind kind, const struct sim_tuple *t, uint32_t isn)
{
	uint8_t buf[256];
	uint32_t len = sim_make(buf, kind, t, isn, 0, 0);

	return sim_queue(s, buf, len, 2, false);
}

uint32_t sim_syn(struct sim *s, uint16_t sport, uint32_t isn)
{
	struct sim_tuple t = sim_peer(sport);

	return sim_send(s, SIM_SYN, &t, isn);
}

uint32_t sim_udp(struct sim *s, uint16_t sport, uint8_t fill)
{
	struct sim_tuple t = sim_peer(sport);
	uint8_t buf[256];
	uint32_t len = sim_make(buf, SIM_UDP, &t, 0, 4, fill);

	return sim_queue(s, buf, len, 2, false);
}

/* ---- the kernel ---- */

static void kernel_answer(struct sim *s, const struct sim_answer *a)
{
	if (s->lose_answers)
		return;
	s->in = grow(s->in, sizeof(*s->in), s->ins, &s->in_room);
	s->in[s->ins++] = *a;
}

static void deliver(struct sim *s, const struct sim_verdict *v)
{
	switch (v->v) {
	case ENGINE_ACCEPT:
	case ENGINE_ACCEPT_ONCE:
		s->delivered = grow(s->delivered, sizeof(*s->delivered), s->deliveries,
				    &s->deliver_room);
		s->delivered[s->deliveries++] = v->id;
		break;
	case ENGINE_RESET:
		s->resets++;
		break;
	case ENGINE_UNREACH:
		s->unreaches++;
		break;
	case ENGINE_DROP:
	case ENGINE_END:
		break;
	}
}

void sim_flush(struct sim *s)
{
	for (unsigned i = 0; i < s->outs; i++) {
		const struct sim_verdict *v = &s->out[i];
		struct sim_packet *p = &s->ledger[v->id - 1];
		bool ask = s->e.barrier_wanted && i + 1 == s->outs;

		SIM_CHECK(!p->given);
		p->given = true;
		if (!p->lost)
			deliver(s, v);
		if (p->lost || ask)
			kernel_answer(s,
				      &(struct sim_answer){v->seq | (ask ? ENGINE_SEQ_BARRIER : 0),
							   v->id, s->e.barrier, p->lost});
		if (ask) {
			s->e.barrier++;
			s->e.barrier_wanted = false;
		}
	}
	s->outs = 0;
}

/* As engine_io's on_error and receive do it. */
void sim_read(struct sim *s)
{
	for (unsigned i = 0; i < s->ins; i++) {
		struct sim_answer a = s->in[i];

		if (a.enoent)
			complete_kernel_lost(&s->e, a.seq, a.id);
		if (a.seq & ENGINE_SEQ_BARRIER)
			complete_acknowledged(&s->e, a.barrier);
	}
	s->ins = 0;
	complete_unacknowledged(&s->e, s->e.barrier - 1);
}

void sim_round(struct sim *s)
{
	do {
		sim_flush(s);
		sim_read(s);
	} while (s->outs || s->ins);
}

void sim_arrive(struct sim *s)
{
	unsigned n = s->injections;

	for (unsigned i = 0; i < n; i++) {
		struct sim_bytes b = s->injected[i];

		struct engine_input in = {.data = b.data,
					  .len = b.len,
					  .total = b.len,
					  .iif = 1,
					  .mark = mark_inject(&s->e.marks),
					  .hook = 1};

		sim_input(s, &in);
		free(b.data);
	}
	s->injections -= n;
	if (s->injections)
		memmove(s->injected, s->injected + n, s->injections * sizeof(*s->injected));
}

void sim_feed(struct sim *s)
{
	sim_arrive(s);
	sim_round(s);
}

void sim_lose(struct sim *s, uint32_t id)
{
	struct sim_packet *p = &s->ledger[id - 1];

	if (!p->given)
		p->lost = true;
}

void sim_lose_all(struct sim *s)
{
	for (uint32_t id = 1; id <= s->packets; id++)
		sim_lose(s, id);
}

/* I4: nobody outlives a deadline by more than a tick. */
static void check_deadlines(const struct sim *s)
{
	const struct slab *slab = &s->e.table.slab;

	for (uint32_t i = 0; i < slab->fresh; i++) {
		const struct pctx *c = slab_at(slab, i);

		if (c->state != PEND_STATE_PENDED)
			continue;
		SIM_CHECK(wheel_timer_armed(&c->timer));
		SIM_CHECK(mono_since(s->e.now, c->deadline) <= MONO_NS_PER_MS);
	}
}

void sim_wait(struct sim *s, uint64_t ms)
{
	mono_t end = mono_add(s->e.now, ms * MONO_NS_PER_MS);

	for (;;) {
		mono_t next = wheel_next(&s->e.table.wheel);

		if (mono_before(end, next))
			next = end;
		if (mono_before(s->e.now, next))
			s->e.now = next;
		engine_expire(&s->e, 0);
		sim_round(s);
		if (!mono_before(s->e.now, end) &&
		    mono_before(s->e.now, wheel_next(&s->e.table.wheel)))
			break;
	}
	check_deadlines(s);
}

/* ---- looking ---- */

static const struct sim_packet *packet_at(const struct sim *s, uint32_t id)
{
	SIM_CHECK(id >= 1 && id <= s->packets);
	return &s->ledger[id - 1];
}

bool sim_accepted(const struct sim *s, uint32_t id)
{
	const struct sim_packet *p = packet_at(s, id);

	return p->decided && (p->verdict == ENGINE_ACCEPT || p->verdict == ENGINE_ACCEPT_ONCE);
}

bool sim_dropped(const struct sim *s, uint32_t id)
{
	const struct sim_packet *p = packet_at(s, id);

	return p->decided && p->verdict == ENGINE_DROP;
}

bool sim_undecided(const struct sim *s, uint32_t id)
{
	return !packet_at(s, id)->decided;
}

enum pend_state sim_state(const struct sim *s, pend_context ctx)
{
	struct pend_info info;

	if (pend_context_info(&s->e, ctx, &info) != PEND_OK)
		return PEND_STATE_FREE;
	return info.state;
}

struct pend_stats sim_stats(const struct sim *s)
{
	struct pend_stats st;

	pend_engine_stats(&s->e, &st);
	return st;
}

void sim_check(const struct sim *s)
{
	struct pend_stats st = sim_stats(s);
	uint64_t ended = 0;

	for (int i = PEND_STATE_PERMITTED; i < PEND_STATE_COUNT; i++)
		ended += st.ended[i];
	SIM_CHECK(st.pended == ended + st.pending); /* I3 */
	SIM_CHECK(st.copied_bytes <= s->cfg.max_bytes);
	SIM_CHECK(st.pending <= s->cfg.max_contexts);
	SIM_CHECK(s->e.table.slab.used >= st.pending);
}

enum pend_status sim_complete(struct sim *s, pend_context ctx, enum pend_verdict v)
{
	struct pend_info info;

	/* An allowance stays, even if the pass refuses: tests that care look at the verdicts. */
	if (v == PEND_VERDICT_PERMIT && pend_context_info(&s->e, ctx, &info) == PEND_OK) {
		const struct pctx *c = slab_at(&s->e.table.slab, (uint32_t)(ctx >> 32) & 0xffffff);

		sim_allow(s, &c->flow, c->isn);
		sim_allow(s, &c->flow, 0);
	}
	return pend_complete(&s->e, ctx, v, 42);
}
