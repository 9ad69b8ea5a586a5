/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The promises of <pend.h> that only a program can break, on a real kernel: handles used too late, contexts
 * that are no contexts, two callouts of one mind or of two. Prints TAP.
 *
 *     apitool CLIENT-NAMESPACE HOST-ADDRESS      in the host's namespace, as root
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pend.h>
#include <poll.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { TCP_PORT = 80, UDP_PORT = 85 };

/* What a callout does, and what it saw. */
enum behaviour {
	PASS,
	PERMIT,
	BLOCK,
	BLOCK_IN_PASS, /* only in the completion pass */
	PEND,
	PEND_AND_PERMIT,   /* pends, but answers permit (R4) */
	PEND_AND_COMPLETE, /* completes inside the classify call (R10) */
	PROBE,             /* all the ways to pend wrongly, then pends */
};

struct callout {
	enum behaviour does;
	uint32_t id;
	unsigned calls, passes; /* initial, completion */
	pend_context context;
	struct pend_completion *handle;
	struct pend_packet *clone;
	enum pend_status probe[3];
	uint32_t pass_flags;
	bool pass_can_pend;
};

static struct pend_engine *engine;
static struct pend_hook *hook;
static struct callout first, second;
static int client_ns, host_ns, tests, failures, tcp_server, udp_server;
static struct sockaddr_in host;
static enum pend_release release_as = PEND_RELEASE_BUFFER;
static struct pend_event last_end;
static unsigned ends;

static void is(long got, long want, const char *text)
{
	tests++;
	printf("%sok %d - %s\n", got == want ? "" : "not ", tests, text);
	if (got == want)
		return;
	failures++;
	printf("# got %ld, want %ld; %s\n", got, want, pend_engine_error(engine));
}

static void die(const char *what)
{
	printf("Bail out! %s: %s\n", what, strerror(errno));
	exit(1);
}

/* ---- callouts ---- */

static enum pend_status pend_it(struct callout *c, const struct pend_metadata *m)
{
	struct pend_options o;

	pend_options_init(&o);
	o.release = release_as;
	o.mode = PEND_MODE_HOLD;
	o.timeout_ns = 20ull * 1000000000;
	return pend_operation(engine, m->completion, &o, &c->context);
}

static void probe(struct callout *c, const struct pend_metadata *m)
{
	struct pend_options o;
	pend_context ignored = 1;

	pend_options_init(&o);
	c->probe[0] = pend_operation(engine, NULL, &o, &ignored);
	c->probe[1] = pend_operation(engine, m->completion, &o, NULL);
	o.timeout_ns = 0;
	c->probe[2] = pend_operation(engine, m->completion, &o, &ignored);
	if (ignored != 1)
		c->probe[2] = PEND_OK; /* an out parameter was written on an error */
}

static void initial(struct callout *c, const struct pend_metadata *m, const struct pend_packet *p,
		    struct pend_classify_out *out)
{
	c->calls++;
	switch (c->does) {
	case PASS:
	case BLOCK_IN_PASS:
		return;
	case PERMIT:
		pend_out_permit(out);
		return;
	case BLOCK:
		pend_out_block(out, PEND_BLOCK_DROP);
		return;
	case PROBE:
		probe(c, m);
		break;
	case PEND:
	case PEND_AND_PERMIT:
	case PEND_AND_COMPLETE:
		break;
	}
	c->handle = m->completion;
	if (pend_it(c, m) != PEND_OK)
		return;
	pend_out_pended(out);
	if (!c->clone)
		c->clone = pend_packet_clone(engine, p);
	if (c->does == PEND_AND_PERMIT)
		pend_out_permit(out);
	if (c->does == PEND_AND_COMPLETE)
		pend_complete(engine, c->context, PEND_VERDICT_PERMIT, 7);
}

static void classify(void *context, const struct pend_values *v, const struct pend_metadata *m,
		     const struct pend_packet *p, struct pend_classify_out *out)
{
	struct callout *c = context;

	(void)v;
	if (!(m->flags & PEND_META_COMPLETION)) {
		initial(c, m, p, out);
		return;
	}
	c->passes++;
	c->pass_flags = m->flags;
	c->pass_can_pend = m->completion != NULL;
	if (c->does == BLOCK_IN_PASS)
		pend_out_block(out, PEND_BLOCK_DROP);
	else if (c->does == PEND && !(m->flags & PEND_META_PENDER) && m->completion &&
		 pend_it(c, m) == PEND_OK)
		pend_out_pended(out);
}

static void notify(void *context, const struct pend_event *e)
{
	(void)context;
	if (e->type == PEND_EVENT_COMPLETED) {
		last_end = *e;
		ends++;
	}
}

/* ---- the world ---- */

static int client(int type, uint16_t port)
{
	struct sockaddr_in to = host;
	int fd;

	setns(client_ns, CLONE_NEWNET);
	fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	setns(host_ns, CLONE_NEWNET);
	to.sin_port = htons(port);
	if (fd < 0 || (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0 && errno != EINPROGRESS))
		die("client");
	if (type == SOCK_DGRAM && send(fd, "hello", 5, 0) != 5)
		die("send");
	return fd;
}

static int server(int type, uint16_t port)
{
	struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (fd < 0 || bind(fd, (struct sockaddr *)&any, sizeof(any)) < 0 ||
	    (type == SOCK_STREAM && listen(fd, 64) < 0))
		die("server");
	return fd;
}

static long now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Run the engine until `fd` has `events`, or `calls` reaches `want`, or the time is over. */
static bool run(long ms, int fd, short events, const unsigned *calls, unsigned want)
{
	long until = now_ms() + ms;

	do {
		struct pollfd p[2] = {{.fd = pend_engine_fd(engine), .events = POLLIN},
				      {.fd = fd, .events = events}};

		pend_engine_dispatch(engine, 0, NULL);
		if (calls && *calls >= want)
			return true;
		poll(p, 2, 5);
		if (p[1].revents & events)
			return true;
	} while (now_ms() < until);
	return false;
}

static bool connected(int fd, long ms)
{
	int err = 0;
	socklen_t len = sizeof(err);

	if (!run(ms, fd, POLLOUT, NULL, 0))
		return false;
	getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len);
	return err == 0;
}

static bool delivered(long ms)
{
	char data[16];

	run(ms, udp_server, POLLIN, NULL, 0);
	return recv(udp_server, data, sizeof(data), 0) > 0;
}

static void begin(enum behaviour a, enum behaviour b)
{
	uint32_t ia = first.id, ib = second.id;

	pend_packet_free(first.clone);
	pend_packet_free(second.clone);
	first = (struct callout){.does = a, .id = ia};
	second = (struct callout){.does = b, .id = ib};
	release_as = PEND_RELEASE_BUFFER;
	ends = 0;
}

static struct pend_stats stats(void)
{
	struct pend_stats s;

	pend_engine_stats(engine, &s);
	return s;
}

static enum pend_state state_of(pend_context c)
{
	struct pend_info i;

	return pend_context_info(engine, c, &i) == PEND_OK ? i.state : PEND_STATE_FREE;
}

static void set_up_engine(void)
{
	struct pend_engine_config c;
	struct pend_callout a = {.name = "first",
				 .weight = 20,
				 .layers = 3,
				 .classify = classify,
				 .context = &first};
	struct pend_callout b = {.name = "second",
				 .weight = 10,
				 .layers = 3,
				 .classify = classify,
				 .context = &second};

	pend_engine_config_init(&c);
	c.queue = 300;
	c.id = 1;
	c.epoch = 5;
	c.raw_reinject = true;
	c.notify = notify;
	c.default_action = PEND_ACTION_PERMIT;
	c.repeat = pend_hook_wants_repeat(hook);
	c.can_reject = pend_hook_can_reject(hook);
	if (pend_engine_open(&engine, &c) != PEND_OK)
		die("engine");
	is(pend_engine_dispatch(engine, 0, NULL), PEND_E_NOT_READY,
	   "R2: not ready before the queue is bound");
	if (pend_callout_register(engine, &a, &first.id) != PEND_OK ||
	    pend_callout_register(engine, &b, &second.id) != PEND_OK)
		die("callout");
	is(pend_engine_start(engine), PEND_OK, "the queue is bound");
}

static void set_up(const char *ns, const char *address)
{
	struct pend_hook_config c;
	char path[200];

	snprintf(path, sizeof(path), "/run/netns/%s", ns);
	client_ns = open(path, O_RDONLY | O_CLOEXEC);
	host_ns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	host.sin_family = AF_INET;
	if (client_ns < 0 || host_ns < 0 || inet_pton(AF_INET, address, &host.sin_addr) != 1)
		die(path);
	tcp_server = server(SOCK_STREAM, TCP_PORT);
	udp_server = server(SOCK_DGRAM, UDP_PORT);
	pend_hook_config_init(&c);
	c.queue_first = 300;
	c.queue_count = 1;
	c.epoch = 5;
	if (pend_hook_open(&hook, &c) != PEND_OK)
		die("hook");
	set_up_engine();
	is(pend_hook_install(hook), PEND_OK, "the rules are in place");
}

/* ---- the tests ---- */

static void test_handles(void)
{
	struct pend_engine_config c;
	struct pend_engine *other = NULL;
	struct pend_options o;
	pend_context ignored = 1;
	int fd;

	begin(PROBE, PASS);
	fd = client(SOCK_STREAM, TCP_PORT);
	run(3000, -1, 0, &first.calls, 1);
	is(first.probe[0], PEND_E_NULL_POINTER, "R2: pend without a handle");
	is(first.probe[1] != PEND_OK, 1, "T1: pend without a place for the context");
	is(first.probe[2], PEND_E_INVALID, "R20: pend without a deadline");
	is(state_of(first.context), PEND_STATE_PENDED, "and then as it should be");
	pend_options_init(&o);
	is(pend_operation(engine, first.handle, &o, &ignored), PEND_E_STALE,
	   "T31: the handle is stale after its call");
	is((long)ignored, 1, "T31: and nothing was written");
	is(pend_complete(engine, 0, PEND_VERDICT_PERMIT, 0), PEND_E_NOT_FOUND, "T1: context 0");
	is(pend_complete(engine, 0x01ffffffdeadbeefull, PEND_VERDICT_PERMIT, 0), PEND_E_NOT_FOUND,
	   "T1: garbage");
	is(pend_complete(engine, first.context + 1, PEND_VERDICT_PERMIT, 0), PEND_E_NOT_FOUND,
	   "T1: a generation that is not yet");
	is(pend_complete(engine, first.context ^ 1ull << 57, PEND_VERDICT_PERMIT, 0),
	   PEND_E_ACCESS_DENIED, "T1: another engine's");
	is(pend_complete(NULL, first.context, PEND_VERDICT_PERMIT, 0), PEND_E_NULL_POINTER,
	   "T1: no engine at all");
	pend_engine_config_init(&c);
	c.id = 2;
	c.queue = 301;
	c.epoch = 5;
	if (pend_engine_open(&other, &c) != PEND_OK)
		die("second engine");
	is(pend_complete(other, first.context, PEND_VERDICT_PERMIT, 0), PEND_E_ACCESS_DENIED,
	   "R23: our context, in another engine");
	pend_engine_close(other);
	is(state_of(first.context), PEND_STATE_PENDED, "T1: none of it did anything");
	is(connected(fd, 300), false, "T24: nor let anything in");
	is(pend_complete(engine, first.context, PEND_VERDICT_PERMIT, 0), PEND_OK, "the right one");
	is(connected(fd, 500), true, "lets it in");
	is(pend_complete(engine, first.context, PEND_VERDICT_BLOCK, 0) != PEND_OK, 1,
	   "R23: a second completion is an error");
	is(ends, 1, "R24: one terminal state");
	is(first.passes, 1, "C1: one completion pass");
	is(first.calls, 1 + (unsigned)stats().dangling, "T7: and no second initial classify");
	close(fd);
}

static void test_two_minds_udp(void)
{
	begin(PEND, BLOCK);
	close(client(SOCK_DGRAM, UDP_PORT));
	run(3000, -1, 0, &first.calls, 1);
	is(state_of(first.context), PEND_STATE_PENDED, "T14: the first callout pends a datagram");
	is(pend_complete(engine, first.context, PEND_VERDICT_PERMIT, 0), PEND_OK,
	   "T14: and permits it");
	is(second.calls + second.passes > 0, 1, "T14: the second is consulted");
	is(delivered(400), false, "T14: its block stands, nothing is delivered");
	is(last_end.info.state, PEND_STATE_BLOCKED, "R18: and the context ends as blocked");

	begin(BLOCK_IN_PASS, PEND);
	close(client(SOCK_DGRAM, UDP_PORT));
	run(3000, -1, 0, &second.calls, 1);
	pend_complete(engine, second.context, PEND_VERDICT_PERMIT, 0);
	is(first.passes, 1, "C1: a callout above the pender is asked again");
	is(delivered(400), false, "R27: its block stands");
	is(last_end.info.state, PEND_STATE_BLOCKED, "R27: and the context ends as blocked");

	begin(PEND, PASS);
	close(client(SOCK_DGRAM, UDP_PORT));
	run(3000, -1, 0, &first.calls, 1);
	is(delivered(200), false, "T15: nothing is delivered before the completion");
	pend_complete(engine, first.context, PEND_VERDICT_PERMIT, 0);
	is(delivered(1000), true, "T14: without a block it is delivered");
	is(last_end.info.state, PEND_STATE_PERMITTED, "and permitted");
}

static void test_two_pend(void)
{
	pend_context old;
	int fd;

	begin(PEND, PEND);
	fd = client(SOCK_STREAM, TCP_PORT);
	run(3000, -1, 0, &first.calls, 1);
	old = first.context;
	is(second.context == 0 || second.context == old, 1,
	   "R18: pends of one connection are serial");
	is(pend_complete(engine, old, PEND_VERDICT_PERMIT, 0), PEND_OK, "T13: the first permits");
	is(second.context != 0, 1, "R18: the second is asked then, and pends");
	is(second.context != old, 1, "R18: under a new handle");
	is(connected(fd, 300), false, "R18: one permit of two is none");
	is(pend_complete(engine, old, PEND_VERDICT_PERMIT, 0) != PEND_OK, 1,
	   "T13: the first's handle is used up");
	is(connected(fd, 200), false, "and did not decide for the second");
	is(pend_complete(engine, second.context, PEND_VERDICT_PERMIT, 0), PEND_OK,
	   "the second permits");
	is(connected(fd, 1000), true, "T13: it ends, and lets in");
	is(first.calls + second.calls <= 3, 1, "T13: without turning in circles");
	close(fd);
}

static void test_inside(void)
{
	int fd;

	begin(PEND_AND_COMPLETE, PASS);
	fd = client(SOCK_STREAM, TCP_PORT);
	is(connected(fd, 1000), true, "R10: completed inside its own classify: let in");
	is(ends, 1, "R10: once");
	close(fd);

	begin(PEND_AND_PERMIT, PASS);
	fd = client(SOCK_STREAM, TCP_PORT);
	is(connected(fd, 400), false, "R4: pended and permitted at once: not let in");
	is((long)stats().dangling, 1, "R4: and counted");
	is(last_end.info.state, PEND_STATE_BLOCKED, "R4: and ended as a block");
	close(fd);
}

static void test_wfp_way(void)
{
	size_t len = 0;
	int fd;

	begin(PEND, PASS);
	fd = client(SOCK_STREAM, TCP_PORT);
	run(3000, -1, 0, &first.calls, 1);
	is(first.clone && pend_packet_data(first.clone, &len) && len >= 40, 1,
	   "T31: a clone outlives the call");
	is(pend_inject_receive(engine, first.clone), PEND_E_NOT_FOUND,
	   "R39: no injection without a permit");
	is(pend_complete_operation(engine, first.context, first.clone), PEND_OK,
	   "R22: complete with a clone");
	pend_inject_receive(engine, first.clone);
	is(connected(fd, 1000), true, "R22: and inject: let in");
	close(fd);

	begin(PEND, PASS);
	fd = client(SOCK_STREAM, TCP_PORT);
	run(3000, -1, 0, &first.calls, 1);
	is(pend_complete_operation(engine, first.context, NULL), PEND_OK,
	   "R22: complete with nothing");
	is(connected(fd, 300), false, "R22: and no permit in the pass: not let in");
	close(fd);
}

static void test_unregister(void)
{
	long began;
	int fd;

	begin(PEND, PASS);
	fd = client(SOCK_STREAM, TCP_PORT);
	run(3000, -1, 0, &first.calls, 1);
	is(pend_callout_unregister(engine, first.id, false), PEND_E_BUSY,
	   "R55: a callout with contexts is busy");
	is(state_of(first.context), PEND_STATE_PENDED, "R55: and they stay");
	began = now_ms();
	is(pend_callout_unregister(engine, first.id, true), PEND_OK, "R55: unless it is forced");
	is(now_ms() - began < 500, 1, "T5: in bounded time");
	is(last_end.info.state, PEND_STATE_DRAINED, "R55: then they are drained");
	is(pend_callout_unregister(engine, first.id, false), PEND_E_NOT_FOUND, "R55: once");
	is(connected(fd, 200), false, "R55: and not let in by that");
	close(fd);
}

static void test_end(void)
{
	int fds[20];

	begin(PASS, PEND);
	for (int i = 0; i < 20; i++)
		fds[i] = client(SOCK_STREAM, TCP_PORT);
	run(3000, -1, 0, &second.calls, 20);
	is((long)stats().pending, 20, "20 are pended");
	is(pend_engine_drain(engine, PEND_VERDICT_BLOCK, 0), PEND_OK, "T4: drained");
	is((long)stats().pending, 0, "T4: none is left");
	is((long)stats().packets, (long)stats().verdicts, "T26: a verdict for each packet");
	is((long)stats().verdict_errors, 0, "T26: and no verdict was refused");
	is((long)stats().kernel_lost, 0, "T26: or met nothing");
	is((long)stats().held, 0, "T26: nothing is held");
	begin(PASS, PASS);
	is(pend_hook_remove(hook), PEND_OK, "the rules are gone");
	pend_engine_close(engine);
	pend_hook_close(hook);
	for (int i = 0; i < 20; i++)
		close(fds[i]);
}

int main(int argc, char **argv)
{
	if (argc != 3)
		return fputs("usage: apitool CLIENT-NAMESPACE HOST-ADDRESS\n", stderr), 2;
	setvbuf(stdout, NULL, _IOLBF, 0);
	set_up(argv[1], argv[2]);
	test_handles();
	test_two_minds_udp();
	test_two_pend();
	test_inside();
	test_wfp_way();
	test_unregister();
	test_end();
	close(tcp_server);
	close(udp_server);
	printf("1..%d\n", tests);
	return failures != 0;
}
