/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A callout program on pend.h alone: pends every connection to one port, asks on the terminal and
 * completes it. Organised as the WFP sample "inspect" is, so that whoever has written a callout
 * driver finds the parts again, in the same order:
 *
 *	TLInspectALERecvAcceptClassify	-> classify()
 *	  FwpsPendOperation0		->   pend_operation()
 *	gConnList, the pended list	-> struct inspect, waiting[]
 *	TLInspectWorker			-> ask() and answer(): the terminal is the worker
 *	  FwpsCompleteOperation0	->   pend_complete()
 *	DriverEntry, FwpsCalloutRegister	-> load()
 *	TLInspectUnload, FwpsCalloutUnregister	-> unload()
 *	FwpmFilterAdd (which packets come)	-> the hookup, pend_hook_install()
 *
 * There is no lock and no reference to count: an engine belongs to one thread, which reads the queue
 * and the terminal in turn; a context is a number, and a stale one is an error (R23).
 *
 * Usage: inspect PORT [QUEUE]. Needs root. It hooks itself up (nft or iptables) for its run and takes the
 * rules away at the end (SIGINT, or the end of its input). Other ports are permitted.
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
#define TIMEOUT_NS  (60ull * 1000000000)

struct inspect {
	struct pend_engine *engine;
	struct pend_hook *hook;
	uint32_t callout;
	uint16_t port;
	pend_context waiting[WAITING_MAX]; /* in the order in which they are asked about */
	unsigned count;
	pend_context asked; /* the question on the screen; 0: none */
};

static volatile sig_atomic_t stop;

static void on_signal(int signo)
{
	(void)signo;
	stop = 1;
}

/* ---- classify: once for each opening packet, and once more when it is completed ---- */

static void classify(void *context, const struct pend_values *v, const struct pend_metadata *meta,
		     const struct pend_packet *packet, struct pend_classify_out *out)
{
	struct inspect *in = context;
	struct pend_options o;
	pend_context ctx;

	(void)packet;
	/* The completion pass: we have decided, and have nothing to add. Leaving the action at
	 * CONTINUE lets the verdict of pend_complete() stand; a block would overrule it (R27). */
	if (meta->flags & PEND_META_COMPLETION)
		return;
	if (!v->has_ports || v->dest_port != in->port) {
		pend_out_permit(out);
		return;
	}
	/* A reauthorization has no completion handle: what may not be pended is blocked (R3). */
	if (!meta->completion) {
		pend_out_block(out, PEND_BLOCK_DROP);
		return;
	}
	pend_options_init(&o);
	o.timeout_ns = TIMEOUT_NS;
	o.release =
		PEND_RELEASE_BUFFER; /* FLUSH, the default, leaves it to the peer to send again */
	if (in->count == WAITING_MAX ||
	    pend_operation(in->engine, meta->completion, &o, &ctx) != PEND_OK) {
		pend_out_block(out, PEND_BLOCK_DROP); /* fail closed (R6) */
		return;
	}
	in->waiting[in->count++] = ctx;
	pend_out_pended(out); /* BLOCK and ABSORB, without ACTION_WRITE (R4) */
}

/* ---- notify: what became of it ---- */

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

/* ---- the worker: people decide, one connection after the other ---- */

/* Forget what ended without us (timeout, peer gone), then ask about the first that is left. */
static void ask(struct inspect *in)
{
	struct pend_info info;
	char text[160];

	while (in->count) {
		if (pend_context_info(in->engine, in->waiting[0], &info) == PEND_OK &&
		    info.state == PEND_STATE_PENDED)
			break;
		memmove(in->waiting, in->waiting + 1, --in->count * sizeof(in->waiting[0]));
	}
	if (!in->count || in->asked == in->waiting[0])
		return;
	in->asked = in->waiting[0];
	describe(&info, text, sizeof(text));
	printf("%s: permit? [y/n] ", text);
	fflush(stdout);
}

/* False at the end of the input. The answer is for the question that was on the screen, whatever
 * has become of it: pend_complete() knows a context that has ended. */
static bool answer(struct inspect *in)
{
	enum pend_verdict v;
	enum pend_status s;
	char line[64];

	if (!fgets(line, sizeof(line), stdin))
		return false;
	if (!in->asked || (line[0] != 'y' && line[0] != 'n')) {
		in->asked = 0; /* ask again */
		return true;
	}
	v = line[0] == 'y' ? PEND_VERDICT_PERMIT : PEND_VERDICT_BLOCK;
	s = pend_complete(in->engine, in->asked, v, 0);
	if (s != PEND_OK)
		printf("too late: %s\n", pend_status_text(s));
	return true;
}

/* ---- the loop ---- */

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
		if (poll(p, 2, more ? 0 : wait_ms(in->engine)) < 0) {
			if (errno != EINTR)
				return EXIT_FAILURE;
			continue;
		}
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

/* ---- load and unload ---- */

static int fail(const char *what, enum pend_status s, const char *why)
{
	fprintf(stderr, "inspect: %s: %s\n", what, *why ? why : pend_status_text(s));
	return EXIT_FAILURE;
}

/* Which packets come, and what the engine has to know about the rules that bring them. */
static enum pend_status open_hook(struct inspect *in, struct pend_engine_config *ec)
{
	struct pend_hook_config hc;
	enum pend_status s;

	pend_hook_config_init(&hc);
	hc.name = "inspect";
	hc.queue_first = ec->queue;
	hc.mark_mask = ec->mark_mask;
	hc.epoch = ec->epoch;
	s = pend_hook_open(&in->hook, &hc);
	if (s == PEND_OK) {
		ec->repeat = pend_hook_wants_repeat(in->hook);
		ec->can_reject = pend_hook_can_reject(in->hook);
	}
	return s;
}

/* The queue first, the rules last: nothing is dropped for want of a listener. */
static int load(struct inspect *in, uint16_t queue)
{
	const struct pend_callout callout = {.name = "inspect",
					     .layers = 1u << PEND_LAYER_RECV_ACCEPT_V4 |
						       1u << PEND_LAYER_RECV_ACCEPT_V6,
					     .classify = classify,
					     .context = in};
	struct pend_engine_config ec;
	enum pend_status s;

	pend_engine_config_init(&ec);
	ec.queue = queue;
	ec.notify = notify;
	s = open_hook(in, &ec);
	if (s != PEND_OK)
		return fail("cannot prepare the rules", s, "");
	s = pend_engine_open(&in->engine, &ec);
	if (s == PEND_OK)
		s = pend_callout_register(in->engine, &callout, &in->callout);
	if (s == PEND_OK)
		s = pend_engine_start(in->engine);
	if (s != PEND_OK)
		return fail("cannot start", s, pend_engine_error(in->engine));
	s = pend_hook_install(in->hook);
	if (s != PEND_OK)
		return fail("cannot install the rules", s, pend_hook_error(in->hook));
	return EXIT_SUCCESS;
}

/* In reverse. `force` completes what is still pended with a block; a driver that unloads with
 * contexts outstanding gets PEND_E_BUSY otherwise (R55). */
static void unload(struct inspect *in)
{
	if (in->callout)
		pend_callout_unregister(in->engine, in->callout, true);
	if (in->hook)
		pend_hook_remove(in->hook);
	pend_hook_close(in->hook);
	pend_engine_close(in->engine);
}

static long number(const char *s, long min)
{
	char *end;
	long n = strtol(s, &end, 10);

	return *s && !*end && n >= min && n <= UINT16_MAX ? n : -1;
}

int main(int argc, char **argv)
{
	struct inspect in = {0};
	long port = argc > 1 ? number(argv[1], 1) : -1;
	long queue = argc > 2 ? number(argv[2], 0) : 77;
	int ret;

	if (port < 0 || queue < 0 || argc > 3) {
		fprintf(stderr, "usage: inspect PORT [QUEUE]\n");
		return 2;
	}
	signal(SIGINT, on_signal);
	signal(SIGTERM, on_signal);
	setvbuf(stdout, NULL, _IOLBF, 0);
	setvbuf(stdin, NULL, _IONBF, 0); /* poll() must see what was not read */
	in.port = (uint16_t)port;
	ret = load(&in, (uint16_t)queue);
	if (ret == EXIT_SUCCESS) {
		printf("connections to port %u wait for your answer; ^C ends\n", in.port);
		ret = run(&in);
	}
	unload(&in);
	return ret;
}
