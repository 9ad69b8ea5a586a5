/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The packet threads. See worker.h. */
#include "daemon/worker.h"
#include "daemon/decide.h"
#include "daemon/log.h"
#include "daemon/msg.h"
#include "daemon/sandbox.h"
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHANNEL_BACKLOG 8192u /* messages: events and answers that wait for the authority process */
/* Events are for people: they are sent a datagram at a time, or when the oldest is this old, so
 * that a connection does not cost a wake-up of the other process. */
#define EVENT_DELAY_NS (20 * MONO_NS_PER_MS)
#define DRAIN_BUDGET   1024u /* contexts a round */
#define DRAIN_MAX_NS   (3 * MONO_NS_PER_S)
/* Of one connection: what the engine takes for no circle (R40). One callout more than that many questions take: what it
 * would ask is blocked, not passed by. */
#define QUESTIONS_MAX 9
#define LAST_WORDS_MS 500 /* for the authority process to take the last events */

static void engine_config(struct pend_engine_config *c, const struct settings *s,
			  const struct pend_hook *hook)
{
	pend_engine_config_init(c);
	c->mark_mask = s->mark_mask;
	c->fail_open = s->fail_open;
	c->max_contexts = s->max_contexts;
	c->max_per_source = s->max_per_source;
	c->max_per_service = s->max_per_service;
	c->max_packets = s->max_packets;
	c->max_bytes = s->max_bytes;
	c->hold_max = s->hold_max;
	c->high_watermark_percent = s->high_watermark_percent;
	c->kernel_queue = s->kernel_queue;
	c->receive_buffer = s->receive_buffer;
	c->raw_reinject = s->raw_reinject;
	c->track_established = s->track_established;
	c->reauthorize = s->reauthorize == SETTINGS_REAUTHORIZE_LAZY;
	c->on_malformed = (enum pend_action)s->on_malformed;
	c->repeat = pend_hook_wants_repeat(hook);
	c->can_reject = pend_hook_can_reject(hook);
}

enum pend_status worker_callouts(struct worker *w)
{
	struct pend_callout callout = {.name = "policy",
				       .layers = 1u << PEND_LAYER_RECV_ACCEPT_V4 |
						 1u << PEND_LAYER_RECV_ACCEPT_V6,
				       .classify = decide_classify,
				       .context = w};
	uint32_t id;
	enum pend_status s = pend_callout_register(w->engine, &callout, &id);

	callout.name = "policy: next question";
	callout.classify = decide_next;
	callout.follows = true;
	for (unsigned i = 0; i < QUESTIONS_MAX && s == PEND_OK; i++)
		s = pend_callout_register(w->engine, &callout, &id);
	return s;
}

static int make_mailbox(struct worker *w)
{
	int p[2];

	if (pipe2(p, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	w->mail_in = p[0];
	w->mail_main = p[1];
	return 0;
}

static int make_rest(struct worker *w)
{
	int r = make_mailbox(w);

	return r ? r : listeners_new(&w->listeners);
}

int worker_init(struct worker *w, unsigned number, const struct settings *s,
		const struct pend_hook *hook, uint8_t epoch, int mail_out, char *err,
		size_t err_cap, enum pend_status *status)
{
	struct pend_engine_config c;

	*w = (struct worker){.number = number,
			     .mail_in = -1,
			     .mail_main = -1,
			     .mail_out = mail_out,
			     .on_limit = s->on_limit};
	busy_init(&w->busy, loop_busy_us(s->busy_poll));
	engine_config(&c, s, hook);
	c.id = (uint8_t)number;
	c.queue = (uint16_t)(s->queue_first + number);
	c.epoch = epoch;
	c.notify = worker_notify;
	c.notify_context = w;
	*status = pend_engine_open(&w->engine, &c);
	if (*status == PEND_OK)
		*status = worker_callouts(w);
	if (*status == PEND_OK)
		*status = pend_engine_start(w->engine);
	if (*status != PEND_OK) {
		const char *why = w->engine ? pend_engine_error(w->engine) : "";

		snprintf(err, err_cap, "%s", *why ? why : pend_status_text(*status));
		return -EIO;
	}
	return make_rest(w);
}

/* Mail that came too late to be read. */
static void drop_mail(struct worker *w)
{
	struct mail m;

	while (w->mail_in >= 0 && read(w->mail_in, &m, sizeof(m)) == (ssize_t)sizeof(m)) {
		if (m.type == MAIL_IFACES)
			free(m.u.ifaces);
		else if (m.type == MAIL_CHANNEL)
			close(m.u.fd);
	}
}

void worker_deinit(struct worker *w)
{
	drop_mail(w);
	pend_engine_close(w->engine);
	w->engine = NULL;
	chan_free(w->chan);
	w->chan = NULL;
	free(w->ifaces);
	w->ifaces = NULL;
	listeners_free(w->listeners);
	w->listeners = NULL;
	if (w->mail_in >= 0)
		close(w->mail_in);
	if (w->mail_main >= 0)
		close(w->mail_main);
	w->mail_in = w->mail_main = -1;
}

static void tell_main(const struct worker *w, enum mail_type type, struct snapshot *s)
{
	struct mail m = {.type = type, .worker = w->number, .u.snapshot = s};

	/* A few dozen bytes a worker into a pipe of 64 KiB: it is never full. */
	if (write(w->mail_out, &m, sizeof(m)) != (ssize_t)sizeof(m))
		log_error("worker", "cannot reach the main thread: %s", strerror(errno));
}

void worker_offer(struct worker *w, const struct offer *o, uint8_t hook)
{
	if (!w->offers || hook != 1 || !o->k.in_interface ||
	    (o->k.protocol != IPPROTO_TCP && o->k.protocol != IPPROTO_UDP))
		return;
	if (offers_push(w->offers, o))
		tell_main(w, MAIL_OFFERED, NULL);
}

int worker_mail(const struct worker *w, const struct mail *m)
{
	return write(w->mail_main, m, sizeof(*m)) == (ssize_t)sizeof(*m) ? 0 : -errno;
}

static void on_queue(void *ctx, uint32_t events)
{
	struct worker *w = ctx;
	enum pend_status s = pend_engine_dispatch(w->engine, 0, &w->more);

	(void)events;
	w->dispatches++;
	if (s == PEND_OK || s == PEND_E_NO_MEMORY)
		return;
	log_error("worker", "queue %u failed: %s", w->number, pend_engine_error(w->engine));
	tell_main(w, MAIL_FAILED, NULL);
	loop_stop(w->loop, 1);
}

static void drop_channel(struct worker *w)
{
	if (!w->chan)
		return;
	loop_del(w->loop, chan_fd(w->chan));
	chan_free(w->chan);
	w->chan = NULL;
	w->subscribed = 0;
}

static mono_t flush_due(const struct worker *w)
{
	if (!w->chan || (!w->urgent && !w->unsent))
		return MONO_NEVER;
	if (w->urgent || w->unsent >= MSG_PER_DATAGRAM)
		return mono_ns(0);
	return mono_add(w->unsent_since, EVENT_DELAY_NS);
}

/* Requests are left in the socket while there may be no room for their answers. */
static bool may_read(const struct worker *w)
{
	return chan_room(w->chan) >= WORKER_REPLY_ROOM;
}

static void wait_channel(struct worker *w)
{
	loop_mod(w->loop, chan_fd(w->chan),
		 (may_read(w) ? (uint32_t)EPOLLIN : 0u) |
			 (chan_pending(w->chan) ? (uint32_t)EPOLLOUT : 0u));
}

static void flush_channel(struct worker *w, mono_t now)
{
	int r;

	if (!w->chan || mono_before(now, flush_due(w)))
		return;
	if (w->questions)
		busy_asked(&w->busy, w->questions, now);
	w->unsent = w->questions = 0;
	w->urgent = false;
	r = chan_flush(w->chan);
	if (r < 0)
		drop_channel(w); /* the main thread starts another authority process */
	else
		wait_channel(w);
}

static void on_channel(void *ctx, uint32_t events)
{
	struct worker *w = ctx;
	static _Thread_local struct msg in[MSG_PER_DATAGRAM];

	if (events & EPOLLOUT)
		w->urgent = true;
	for (int round = 0; round < 16 && w->chan && may_read(w); round++) {
		unsigned n = 0;
		int fd = -1;
		int r = chan_recv(w->chan, in, &n, &fd);

		if (fd >= 0)
			close(fd);
		if (r == CHAN_AGAIN)
			return;
		if (r == CHAN_BAD) {
			w->bad_messages++;
			continue;
		}
		if (r < 0) {
			drop_channel(w);
			return;
		}
		worker_prefetch(w, in, n);
		for (unsigned i = 0; i < n; i++) {
			if (in[i].type == MSG_COMPLETE)
				busy_answered(&w->busy, loop_now(w->loop));
			worker_message(w, &in[i]);
		}
		if (n <
		    MSG_PER_DATAGRAM) /* rarely is there another one, and the loop would say so */
			return;
	}
}

static void take_channel(struct worker *w, int fd)
{
	drop_channel(w);
	if (chan_new(&w->chan, fd, sizeof(struct msg), MSG_PER_DATAGRAM, CHANNEL_BACKLOG)) {
		close(fd);
		w->chan = NULL;
		return;
	}
	if (loop_add(w->loop, fd, EPOLLIN, on_channel, w)) {
		chan_free(w->chan);
		w->chan = NULL;
	}
}

/* The old policy is done with when what it permits is in, and to be seen, by who looks at the live flows then. */
static void settle(struct worker *w)
{
	if (!pend_engine_settled(w->engine))
		return;
	if (w->releasing)
		tell_main(w, MAIL_RELEASED, w->releasing);
	w->releasing = NULL;
	for (; w->reconsidered; w->reconsidered--)
		tell_main(w, MAIL_RECONSIDERED, NULL);
}

/* A stamp is for what the kernel has: verdicts first. */
static void changed(struct worker *w, bool ended)
{
	pend_engine_flush(w->engine);
	pend_engine_policy_changed(w->engine, ended);
}

static void take_snapshot(struct worker *w, struct snapshot *s)
{
	if (w->releasing) /* the main thread waits for one before it sends another */
		tell_main(w, MAIL_RELEASED, w->releasing);
	changed(w, false);
	snapshot_take_over(s, w->snapshot, w->number);
	w->releasing = w->snapshot;
	w->snapshot = s;
	settle(w);
}

static void on_mail(void *ctx, uint32_t events)
{
	struct worker *w = ctx;
	struct mail m;

	(void)events;
	while (read(w->mail_in, &m, sizeof(m)) == (ssize_t)sizeof(m)) {
		if (m.type == MAIL_SNAPSHOT) {
			take_snapshot(w, m.u.snapshot);
		} else if (m.type == MAIL_RECONSIDER) {
			changed(w, m.u.ended);
			w->reconsidered++;
			settle(w);
		} else if (m.type == MAIL_CHANNEL) {
			take_channel(w, m.u.fd);
		} else if (m.type == MAIL_IFACES) {
			free(w->ifaces);
			w->ifaces = m.u.ifaces;
		} else if (m.type == MAIL_EPOCH) {
			pend_engine_set_epoch(w->engine, m.u.epoch);
		} else if (m.type == MAIL_DRAIN && !w->draining) {
			w->draining = true;
			w->drain_verdict = m.u.verdict;
			w->drain_until_ns = mono_add(loop_now(w->loop), DRAIN_MAX_NS).ns;
		}
	}
}

/* R55, T4: some contexts a round, so that their verdicts go out in batches; then a bounded wait for
 * the kernel's word on them. */
static void drain_some(struct worker *w, mono_t now)
{
	enum pend_status s = pend_engine_drain(w->engine, (enum pend_verdict)w->drain_verdict,
					       DRAIN_BUDGET);

	if (s == PEND_OK || now.ns >= w->drain_until_ns)
		loop_stop(w->loop, 0);
}

static mono_t earlier(mono_t a, mono_t b)
{
	return mono_before(a, b) ? a : b;
}

static mono_t on_idle(void *ctx, mono_t now)
{
	struct worker *w = ctx;
	mono_t next = mono_ns(pend_engine_next(w->engine));
	struct pend_stats s;
	bool unsent;

	if (w->draining)
		drain_some(w, now);
	if (w->more || !mono_before(now, next))
		on_queue(w, 0);
	settle(w);
	unsent = pend_engine_flush(w->engine) != PEND_OK; /* for want of memory: try it again */
	flush_channel(w, now);
	loop_poll_until(w->loop, busy_until(&w->busy, now));
	pend_engine_stats(w->engine, &s);
	atomic_store_explicit(&w->pending, s.pending, memory_order_relaxed);
	atomic_store_explicit(&w->held, s.held, memory_order_relaxed);
	if (w->draining || unsent)
		return mono_add(now, MONO_NS_PER_MS);
	if (w->more)
		return now;
	return earlier(mono_ns(pend_engine_next(w->engine)), flush_due(w));
}

/* How the drained ones ended is told before the channel is closed. */
static void last_words(struct worker *w)
{
	mono_t until = mono_add(loop_clock(), LAST_WORDS_MS * MONO_NS_PER_MS);

	while (w->chan && chan_flush(w->chan) == CHAN_AGAIN && mono_before(loop_clock(), until)) {
		struct pollfd p = {.fd = chan_fd(w->chan), .events = POLLOUT};

		poll(&p, 1, 10);
	}
}

static void *worker_thread(void *arg)
{
	struct worker *w = arg;
	struct err e = {0};

	if (sandbox_worker(&e))
		log_warning("worker", "%s: going on without", e.text);
	loop_run(w->loop);
	last_words(w);
	drop_channel(w);
	loop_free(w->loop);
	w->loop = NULL;
	if (w->releasing)
		tell_main(w, MAIL_RELEASED, w->releasing);
	tell_main(w, MAIL_ENDED, w->snapshot);
	return NULL;
}

int worker_start(struct worker *w, struct snapshot *s, int chan)
{
	sigset_t all, old;
	int r = loop_new(&w->loop);

	w->snapshot = s;
	if (!r)
		r = loop_add(w->loop, pend_engine_fd(w->engine), EPOLLIN, on_queue, w);
	if (!r)
		r = loop_add(w->loop, w->mail_in, EPOLLIN, on_mail, w);
	if (r)
		return r;
	loop_set_idle(w->loop, on_idle, w);
	take_channel(w, chan);
	sigfillset(&all); /* signals are the main thread's */
	pthread_sigmask(SIG_BLOCK, &all, &old);
	r = -pthread_create(&w->thread, NULL, worker_thread, w);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	w->started = !r;
	return r;
}

void worker_join(struct worker *w)
{
	if (w->started)
		pthread_join(w->thread, NULL);
	w->started = 0;
}
