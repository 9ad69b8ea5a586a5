/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The engine with its sockets: the rest of pend.h's engine functions. */
#include "core/engine.h"
#include "io/ct.h"
#include "io/loop.h"
#include "io/nfqueue.h"
#include "io/raw.h"
#include "io/sockdestroy.h"
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_conntrack_tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

enum { PROTO_TCP = 6 };

#define DISPATCH_BUDGET 256u
#define EXPIRE_BUDGET   1024u

struct engine_io {
	struct pend_engine engine; /* first: pend_engine * is engine_io * */
	struct nfqueue *nfq;
	struct raw raw;
	struct ct *ct;
	int diag; /* to end local sockets; -1: not open */
	struct nfqueue_item items[NFQ_BATCH];
};

static struct engine_io *io_of(struct pend_engine *e)
{
	return (struct engine_io *)e->io;
}

static void op_verdict(void *ctx, uint32_t id, enum engine_verdict v, uint32_t mark, uint32_t seq)
{
	struct engine_io *io = ctx;
	const struct mark_layout *l = &io->engine.marks;
	uint32_t nf = NF_ACCEPT;

	switch (v) {
	case ENGINE_ACCEPT:
		mark = (mark & ~l->mask) | mark_permit(l, io->engine.cfg.epoch);
		nf = io->engine.cfg.repeat ? NF_REPEAT : NF_ACCEPT;
		break;
	case ENGINE_ACCEPT_ONCE:
		mark = (mark & ~l->mask) | mark_permit_once(l);
		break;
	case ENGINE_DROP:
		nf = NF_DROP;
		break;
	case ENGINE_RESET:
		mark = (mark & ~l->mask) | mark_reset(l);
		nf = NF_REPEAT;
		break;
	case ENGINE_UNREACH:
		mark = (mark & ~l->mask) | mark_unreach(l);
		nf = NF_REPEAT;
		break;
	case ENGINE_END:
		mark = (mark & ~l->mask) | mark_end(l);
		nf = NF_REPEAT;
		break;
	}
	if (!nfqueue_verdict(io->nfq, id, nf, mark, seq))
		io->engine.stats.verdict_errors++;
}

static bool op_inject(void *ctx, const uint8_t *data, uint32_t len, const struct flow *f,
		      uint32_t iif)
{
	struct engine_io *io = ctx;

	return io->engine.cfg.raw_reinject && raw_inject(&io->raw, data, len, f, iif);
}

static bool op_answer(void *ctx, const uint8_t *data, uint32_t len, const struct flow *f,
		      uint32_t iif)
{
	struct engine_io *io = ctx;

	return io->engine.cfg.raw_reinject && raw_answer(&io->raw, data, len, f, iif);
}

static enum engine_track op_track(void *ctx, const struct flow *f)
{
	struct engine_io *io = ctx;
	struct ct_info info;
	int r = io->ct ? ct_get(io->ct, f, &info) : -ENOSYS;

	if (r == -ENOENT)
		return TRACK_NONE;
	if (r)
		return TRACK_UNKNOWN;
	if (info.status & IPS_ASSURED)
		return TRACK_ESTABLISHED;
	return info.tcp_state == TCP_CONNTRACK_CLOSE ? TRACK_CLOSED : TRACK_OPENING;
}

static mono_t op_now(void *ctx)
{
	(void)ctx;
	return loop_clock();
}

static bool op_end(void *ctx, const struct flow *f)
{
	struct engine_io *io = ctx;
	const struct mark_layout *l = &io->engine.marks;
	struct ct_info info;

	if (f->proto == PROTO_TCP)
		return io->diag >= 0 && sockdestroy_tcp(io->diag, f) == 0;
	return io->ct && ct_get(io->ct, f, &info) == 0 &&
	       ct_set_mark(io->ct, &info.orig, mark_blocked(l), l->mask) == 0;
}

static enum engine_stamp stamp_result(int r)
{
	switch (r) {
	case 0:
		return STAMP_SET;
	case -ENOENT:
		return STAMP_NO_FLOW;
	case -ENOMEM:
	case -ENOBUFS: /* netlink's word for it */
	case -EAGAIN:
		return STAMP_NOT_NOW;
	default:
		return STAMP_CANNOT;
	}
}

/* What was blocked since, or stamped by a packet behind, stays as it is. */
static enum engine_stamp op_stamp(void *ctx, const struct flow *f)
{
	struct engine_io *io = ctx;
	const struct mark_layout *l = &io->engine.marks;
	struct ct_info info;
	int r = io->ct ? ct_get(io->ct, f, &info) : -ENOSYS;

	if (!r && mark_value_kind(mark_get(l, info.mark)) == MARK_NONE)
		r = ct_set_mark(io->ct, &info.orig, mark_permit(l, io->engine.cfg.epoch), l->mask);
	return stamp_result(r);
}

static const struct engine_ops ops = {op_verdict, op_inject, op_answer, op_track,
				      op_now,     op_end,    op_stamp};

enum pend_status pend_engine_open(struct pend_engine **out, const struct pend_engine_config *c)
{
	struct siphash_key key;
	struct engine_io *io;
	enum pend_status s;

	if (!out || !c)
		return PEND_E_NULL_POINTER;
	if (getrandom(&key, sizeof(key), 0) != (ssize_t)sizeof(key))
		return PEND_E_SYSTEM;
	io = calloc(1, sizeof(*io));
	if (!io)
		return PEND_E_NO_MEMORY;
	io->raw = (struct raw){-1, -1, -1, -1};
	io->diag = -1;
	s = engine_init(&io->engine, c, &ops, io, &key, loop_clock());
	if (s == PEND_OK && nfqueue_new(&io->nfq) < 0) {
		engine_deinit(&io->engine);
		s = PEND_E_NO_MEMORY;
	}
	if (s != PEND_OK) {
		free(io);
		return s;
	}
	*out = &io->engine;
	return PEND_OK;
}

static enum pend_status status_of(int r)
{
	switch (r) {
	case 0:
		return PEND_OK;
	case -EPERM:
	case -EACCES:
		return PEND_E_PERMISSION;
	case -EBUSY:
		return PEND_E_IN_USE;
	case -EOPNOTSUPP:
		return PEND_E_UNSUPPORTED;
	case -ENOMEM:
	case -ENOBUFS: /* netlink's word for it */
	case -EAGAIN:
		return PEND_E_NO_MEMORY;
	default:
		return PEND_E_SYSTEM;
	}
}

/* Packets that the kernel queued before we were ready: read, and dropped. */
static void count_early(struct pend_stats *s, uint32_t n)
{
	s->packets += n;
	s->verdicts += n;
	s->blocked_direct += n;
}

static int open_sockets(struct engine_io *io, struct err *err)
{
	const struct pend_engine_config *c = &io->engine.cfg;
	struct nfqueue_config nc = {.queue = c->queue,
				    .fail_open = c->fail_open,
				    .kernel_queue = c->kernel_queue,
				    .receive_buffer = c->receive_buffer,
				    .fd = c->queue_fd};
	int r = nfqueue_start(io->nfq, &nc, err);

	if (r)
		return r;
	count_early(&io->engine.stats, nfqueue_early(io->nfq));
	if (c->raw_reinject) {
		r = raw_open(&io->raw, mark_inject(&io->engine.marks));
		if (r)
			return err_sys(
				err, r,
				"cannot open a raw socket (CAP_NET_RAW): absorbed packets cannot be buffered");
	}
	/* A report less, nothing that decides; a flow that is ended is marked then, and every one stamped at once. */
	if (ct_open(&io->ct) < 0)
		io->ct = NULL;
	if (c->reauthorize)
		io->diag = sockdestroy_open();
	return 0;
}

enum pend_status pend_engine_start(struct pend_engine *e)
{
	struct err err = {0};
	int r;

	if (!e)
		return PEND_E_NULL_POINTER;
	if (e->started)
		return PEND_E_ALREADY;
	r = open_sockets(io_of(e), &err);
	snprintf(e->error, sizeof(e->error), "%.255s", err.text);
	e->started = !r;
	return status_of(r);
}

const char *pend_engine_error(const struct pend_engine *e)
{
	return e ? e->error : "";
}

int pend_engine_fd(const struct pend_engine *e)
{
	return e && e->started ? nfqueue_fd(((const struct engine_io *)e->io)->nfq) : -1;
}

uint64_t pend_engine_next(const struct pend_engine *e)
{
	return wheel_next(&e->table.wheel).ns;
}

static void on_error(struct pend_engine *e, const struct nfqueue_item *it)
{
	if (it->error == ENOENT)
		complete_kernel_lost(e, it->seq, it->id);
	else if (it->error)
		e->stats.verdict_errors++;
	if (it->seq & ENGINE_SEQ_BARRIER)
		complete_acknowledged(e, it->barrier);
}

/* One batch. The number of packets in it, or -errno. */
static int receive(struct pend_engine *e, bool *drained)
{
	struct engine_io *io = io_of(e);
	const struct engine_input *in[ENGINE_BATCH];
	uint32_t asked = e->barrier - 1;
	unsigned gathered = 0;
	int packets = 0;
	int n = nfqueue_receive(io->nfq, io->items, drained);

	if (n == -ENOBUFS) {
		e->stats.socket_overruns++;
		return 0;
	}
	if (n < 0)
		return n;
	e->now = loop_clock();
	for (int i = 0; i < n; i++) {
		bool packet = io->items[i].type != NFQ_ERROR;

		if (packet) {
			in[gathered++] = &io->items[i].in;
			packets++;
		}
		if (gathered && (!packet || gathered == ENGINE_BATCH || i == n - 1)) {
			engine_packets(e, in, gathered);
			gathered = 0;
		}
		if (!packet)
			on_error(e, &io->items[i]);
	}
	/* All that was sent before this read has been answered; an answer that is missing was
	 * dropped by an overrun, and what it stood for is not known to have happened. */
	if (*drained)
		complete_unacknowledged(e, asked);
	return packets;
}

enum pend_status pend_engine_flush(struct pend_engine *e)
{
	struct engine_io *io;
	int r;

	if (!e)
		return PEND_E_NULL_POINTER;
	if (!e->started)
		return PEND_E_NOT_READY;
	io = io_of(e);
	if (!nfqueue_pending(io->nfq))
		return PEND_OK;
	r = nfqueue_send(io->nfq, e->barrier_wanted, e->barrier);
	if (r) {
		snprintf(e->error, sizeof(e->error), "cannot send verdicts: %s", strerror(-r));
		return status_of(r);
	}
	e->barrier += e->barrier_wanted;
	e->barrier_wanted = false;
	return PEND_OK;
}

enum pend_status pend_engine_dispatch(struct pend_engine *e, unsigned budget, bool *more)
{
	bool drained = false;
	unsigned done = 0;
	int n = 0;

	if (!e)
		return PEND_E_NULL_POINTER;
	if (!e->started)
		return PEND_E_NOT_READY;
	if (e->depth || e->notifying)
		return PEND_E_BUSY;
	e->now = loop_clock();
	if (!budget)
		budget = DISPATCH_BUDGET;
	/* What was just asked of the kernel it has answered by now: read that in the same go. */
	do {
		n = receive(e, &drained);
		if (n < 0)
			break;
		done += (unsigned)n;
		pend_engine_flush(e);
	} while ((!drained || e->barrier - 1 != e->acked) && done < budget);
	engine_expire(e, EXPIRE_BUDGET);
	if (more)
		*more = n >= 0 && !drained;
	if (n < 0) {
		snprintf(e->error, sizeof(e->error), "cannot read queue %u: %s", e->cfg.queue,
			 strerror(-n));
		return status_of(n);
	}
	return pend_engine_flush(e);
}

void pend_engine_close(struct pend_engine *e)
{
	struct engine_io *io;

	if (!e)
		return;
	io = io_of(e);
	if (e->started && !e->depth && !e->notifying) {
		e->now = loop_clock();
		(void)pend_engine_drain(e, PEND_VERDICT_BLOCK, 0);
		(void)pend_engine_flush(e);
		stamp_all(e);
	}
	nfqueue_free(io->nfq);
	raw_close(&io->raw);
	ct_close(io->ct);
	if (io->diag >= 0)
		close(io->diag);
	engine_deinit(e);
	free(io);
}
