/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bytes as messages from the authority process to a worker that has contexts pended. Whatever they say,
 * the worker answers or counts them, and its engine stays whole.
 */
#include "daemon/msg.h"
#include "daemon/worker.h"
#include "tests/unit/engine_sim.h"
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CONTEXTS 12u

static void on_event(struct sim *s, const struct pend_event *ev)
{
	worker_notify(s->arg, ev);
}

/* All that the worker says must be a message. */
static void read_all(const struct worker *w, int fd)
{
	static struct msg in[MSG_PER_DATAGRAM];
	ssize_t n;

	SIM_CHECK(chan_flush(w->chan) == 0);
	while ((n = recv(fd, in, sizeof(in), MSG_DONTWAIT)) > 0) {
		SIM_CHECK((size_t)n % sizeof(struct msg) == 0);
		for (size_t i = 0; i < (size_t)n / sizeof(struct msg); i++)
			SIM_CHECK(in[i].version == MSG_VERSION && in[i].type >= MSG_DONE &&
				  in[i].type <= MSG_WORKER_STATS);
	}
}

static void one_message(struct sim *s, struct worker *w, const pend_context *ctx, const uint8_t **p,
			size_t *left)
{
	uint8_t head = *(*p)++;
	size_t n = --*left;
	struct msg m;

	memset(&m, 0, sizeof(m));
	if (n > sizeof(m))
		n = sizeof(m);
	if (n > 64 && !(head & 0x80)) /* most of a message is the union's longest member */
		n = 64;
	memcpy(&m, *p, n);
	*p += n;
	*left -= n;
	if (head & 1)
		m.version = MSG_VERSION;
	if (head & 2)
		m.type = 1 + m.type % 6;
	if (head & 4)
		m.u.complete.context = ctx[(head >> 3) % CONTEXTS];
	worker_message(w, &m);
	sim_check(s);
	sim_round(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	pend_context ctx[CONTEXTS];
	struct worker w = {.number = 3};
	struct sim_callout c;
	struct sim s;
	int fds[2];

	sim_config(&s);
	s.cfg.max_contexts = 64;
	sim_start(&s);
	sim_callout(&s, &c, 1, DO_PEND);
	s.arg = &w;
	s.on_event = on_event;
	w.engine = &s.e;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds))
		abort();
	if (chan_new(&w.chan, fds[0], sizeof(struct msg), MSG_PER_DATAGRAM, 64))
		abort();
	for (unsigned i = 0; i < CONTEXTS; i++) {
		sim_syn(&s, (uint16_t)(4000 + i), 1);
		ctx[i] = c.ctx;
	}
	while (size) {
		one_message(&s, &w, ctx, &data, &size);
		read_all(&w, fds[1]);
	}
	sim_end(&s);
	chan_free(w.chan);
	close(fds[1]);
	return 0;
}
