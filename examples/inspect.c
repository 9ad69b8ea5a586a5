/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A callout program on pend.h alone: pends every connection to one port, asks on the terminal and
 * completes it. Organised as the WFP sample "inspect" is, so that whoever has written a callout
 * driver finds the parts again:
 *
 *	TLInspectALERecvAcceptClassify	-> classify()
 *	FwpsPendOperation0		-> pend_operation()
 *	the worker and its list		-> ask(), the terminal
 *	FwpsCompleteOperation0		-> pend_complete()
 *	FwpsCalloutRegister/Unregister	-> pend_callout_register(), pend_callout_unregister()
 *
 * Usage: inspect PORT [QUEUE]
 * It hooks itself up (nft or iptables) for its run and takes the rules away at the end. Other ports are permitted.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <pend.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define WAITING_MAX 64

struct inspect {
	struct pend_engine *engine;
	uint16_t port;
	pend_context waiting[WAITING_MAX]; /* the order in which they are asked about */
	unsigned count;
};

static volatile sig_atomic_t stop;

static void on_signal(int signo)
{
	(void)signo;
	stop = 1;
}

static void classify(void *context, const struct pend_values *v, const struct pend_metadata *meta,
		     const struct pend_packet *packet, struct pend_classify_out *out)
{
	struct inspect *in = context;
	struct pend_options o;
	pend_context ctx;

	/* Our own reinjected packet, or the completion pass: the decision has been made. */
	if (pend_packet_injection_state(packet) == PEND_INJECTED_BY_SELF)
		return;
	if (!v->has_ports || v->dest_port != in->port) {
		pend_out_permit(out);
		return;
	}
	/* Without the right to change the action only a veto is allowed. */
	if (!(out->rights & PEND_RIGHT_ACTION_WRITE))
		return;
	pend_options_init(&o);
	o.timeout_ns = 60ull * 1000000000;
	o.release = PEND_RELEASE_BUFFER;
	if (in->count == WAITING_MAX ||
	    pend_operation(in->engine, meta->completion, &o, &ctx) != PEND_OK) {
		pend_out_block(out, PEND_BLOCK_DROP); /* fail closed */
		return;
	}
	in->waiting[in->count++] = ctx;
	pend_out_pended(out);
}

static void describe(const struct pend_info *i, char *buf, size_t cap)
{
	char src[INET6_ADDRSTRLEN], dst[INET6_ADDRSTRLEN];
	int af = i->family == 6 ? AF_INET6 : AF_INET;

	inet_ntop(af, i->source, src, sizeof(src));
	inet_ntop(af, i->dest, dst, sizeof(dst));
	snprintf(buf, cap, "%s port %u -> %s port %u (protocol %u)", src, i->source_port, dst,
		 i->dest_port, i->protocol);
}

static void notify(void *context, const struct pend_event *ev)
{
	char text[160];

	(void)context;
	if (ev->type != PEND_EVENT_COMPLETED)
		return;
	describe(&ev->info, text, sizeof(text));
	printf("%s: %s\n", text, pend_state_name(ev->info.state));
}

/* Forget what ended without us (timeout, peer gone), then ask about the first that is left. */
static void ask(struct inspect *in)
{
	struct pend_info info;
	char text[160];
	static pend_context asked;

	while (in->count) {
		if (pend_context_info(in->engine, in->waiting[0], &info) == PEND_OK &&
		    info.state == PEND_STATE_PENDED)
			break;
		memmove(in->waiting, in->waiting + 1, --in->count * sizeof(in->waiting[0]));
	}
	if (!in->count || asked == in->waiting[0])
		return;
	asked = in->waiting[0];
	describe(&info, text, sizeof(text));
	printf("%s: permit? [y/n] ", text);
	fflush(stdout);
}

/* False at the end of the input. */
static bool answer(struct inspect *in)
{
	char line[64];
	enum pend_verdict v;
	enum pend_status s;

	if (!fgets(line, sizeof(line), stdin))
		return false;
	if (!in->count)
		return true;
	v = line[0] == 'y' ? PEND_VERDICT_PERMIT : PEND_VERDICT_BLOCK;
	s = pend_complete(in->engine, in->waiting[0], v, 0);
	if (s != PEND_OK)
		printf("%s\n", pend_status_text(s));
	return true;
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static int wait_ms(const struct pend_engine *e)
{
	uint64_t next = pend_engine_next(e), now = now_ns();

	if (next == UINT64_MAX)
		return -1;
	return next <= now ? 0 : (int)((next - now) / 1000000 + 1);
}

static int run(struct inspect *in)
{
	struct pollfd p[2] = {{.fd = pend_engine_fd(in->engine), .events = POLLIN},
			      {.fd = STDIN_FILENO, .events = POLLIN}};
	bool more = false;

	while (!stop) {
		if (poll(p, 2, more ? 0 : wait_ms(in->engine)) < 0 && errno != EINTR)
			return EXIT_FAILURE;
		if (p[1].revents && !answer(in))
			break;
		if (pend_engine_dispatch(in->engine, 0, &more) != PEND_OK) {
			fprintf(stderr, "inspect: %s\n", pend_engine_error(in->engine));
			return EXIT_FAILURE;
		}
		ask(in);
	}
	return EXIT_SUCCESS;
}

static struct pend_hook *hook_up(struct pend_engine_config *ec)
{
	struct pend_hook_config hc;
	struct pend_hook *h = NULL;

	pend_hook_config_init(&hc);
	hc.name = "inspect";
	hc.queue_first = ec->queue;
	hc.queue_count = 1;
	hc.mark_mask = ec->mark_mask;
	hc.epoch = ec->epoch;
	if (pend_hook_open(&h, &hc) != PEND_OK)
		return NULL;
	ec->repeat = pend_hook_wants_repeat(h);
	ec->can_reject = pend_hook_can_reject(h);
	return h;
}

int main(int argc, char **argv)
{
	struct pend_engine_config ec;
	struct pend_callout callout = {.name = "inspect",
				       .layers = 1u << PEND_LAYER_RECV_ACCEPT_V4 |
						 1u << PEND_LAYER_RECV_ACCEPT_V6,
				       .classify = classify};
	struct inspect in = {0};
	struct pend_hook *hook;
	uint32_t id;
	int ret = EXIT_FAILURE;

	if (argc < 2) {
		fprintf(stderr, "usage: inspect PORT [QUEUE]\n");
		return 2;
	}
	signal(SIGINT, on_signal);
	signal(SIGTERM, on_signal);
	setvbuf(stdout, NULL, _IOLBF, 0);
	in.port = (uint16_t)atoi(argv[1]);
	pend_engine_config_init(&ec);
	ec.queue = argc > 2 ? (uint16_t)atoi(argv[2]) : 77;
	ec.notify = notify;
	callout.context = &in;
	hook = hook_up(&ec);
	if (!hook || pend_engine_open(&in.engine, &ec) != PEND_OK) {
		fprintf(stderr, "inspect: cannot open the engine or the hookup\n");
		return EXIT_FAILURE;
	}
	/* The queue first, the rules last: nothing is dropped for want of a listener. */
	if (pend_callout_register(in.engine, &callout, &id) != PEND_OK ||
	    pend_engine_start(in.engine) != PEND_OK)
		fprintf(stderr, "inspect: %s\n", pend_engine_error(in.engine));
	else if (pend_hook_install(hook) != PEND_OK)
		fprintf(stderr, "inspect: %s\n", pend_hook_error(hook));
	else
		ret = run(&in);
	pend_callout_unregister(in.engine, id, true);
	pend_hook_remove(hook);
	pend_hook_close(hook);
	pend_engine_close(in.engine);
	return ret;
}
