/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What pending and completing a connection costs by the number of those pended, and how much memory each
 * takes. The engine runs without a kernel: SYNs of as many peers are handed to it, a callout pends each of
 * them, and they are permitted in an order that has nothing to do with that of their arrival. Twice: held
 * in the kernel and let in (the kernel's word on it comes after every 64), and absorbed and flushed.
 *
 * The first round brings memory into place and is weighed; those after it are timed, and the median is
 * printed. What lingers is forgotten between rounds, which is not timed. Prints "key value" lines; figures
 * for people go to standard error.
 *
 * usage: bench/contexts [MOST]     most contexts, 1,000 to 1,000,000 (default)
 */
#include "core/engine.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LEAST      1000u
#define MOST       1000000u
#define BATCH      64u      /* verdicts sent at once */
#define OPERATIONS 1000000u /* timed, of each number of contexts */
#define ROUNDS_MIN 3u
#define ROUNDS_MAX 100u
#define ANSWERS    32u   /* completed at once, as they come from programs */
#define GAP_NS     1000u /* between arrivals: a million a second */
#define SYN_LEN    40u

struct bench {
	struct pend_engine e;
	struct pend_options options;
	pend_context *pended; /* of this round */
	pend_context *next;   /* of them */
	uint32_t contexts, next_id, unsent;
	uint64_t events;
};

static uint64_t state = 1;

static uint64_t rnd(void)
{
	uint64_t z = (state += 0x9e3779b97f4a7c15ull);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	return z ^ (z >> 27);
}

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "contexts: %s\n", what);
	exit(EXIT_FAILURE);
}

/* Of this thread's processor time: what others run in between does not count. */
static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static size_t resident(void)
{
	unsigned long total, pages = 0;
	FILE *f = fopen("/proc/self/statm", "re");

	if (!f || fscanf(f, "%lu %lu", &total, &pages) != 2)
		die("cannot read /proc/self/statm");
	fclose(f);
	return pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* ---- what the engine asks for ---- */

static void on_verdict(void *io, uint32_t id, enum engine_verdict v, uint32_t mark, uint32_t seq)
{
	struct bench *b = io;

	(void)id;
	(void)v;
	(void)mark;
	(void)seq;
	b->unsent++;
}

static bool on_packet(void *io, const uint8_t *data, uint32_t len, const struct flow *f,
		      uint32_t iif)
{
	(void)io;
	(void)data;
	(void)len;
	(void)f;
	(void)iif;
	return true;
}

static enum engine_track on_track(void *io, const struct flow *f)
{
	(void)io;
	(void)f;
	return TRACK_OPENING;
}

static const struct engine_ops ops = {
	.verdict = on_verdict, .inject = on_packet, .answer = on_packet, .track = on_track};

static void on_event(void *arg, const struct pend_event *ev)
{
	struct bench *b = arg;

	b->events += ev->info.context & 1;
}

static void classify(void *arg, const struct pend_values *v, const struct pend_metadata *m,
		     const struct pend_packet *p, struct pend_classify_out *out)
{
	struct bench *b = arg;

	(void)v;
	(void)p;
	if (m->flags & PEND_META_COMPLETION)
		return;
	if (pend_operation(&b->e, m->completion, &b->options, b->next++) != PEND_OK)
		die("pend_operation");
	pend_out_pended(out);
}

/* The verdicts are sent, and the kernel says that it had every packet. */
static void send_verdicts(struct bench *b)
{
	b->unsent = 0;
	if (!b->e.barrier_wanted)
		return;
	b->e.barrier_wanted = false;
	complete_acknowledged(&b->e, b->e.barrier++);
}

/* ---- the rounds ---- */

static void put32(uint8_t *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> (24 - 8 * i));
}

/* Peers are spread over all addresses: an odd factor makes no two of them equal. */
static void make_syn(struct bench *b, uint32_t peer, uint8_t syn[SYN_LEN], struct engine_input *in)
{
	static const uint8_t head[] = {0x45, 0, 0, SYN_LEN, 0, 0, 0x40, 0, 64, 6};

	*in = (struct engine_input){.data = syn,
				    .len = SYN_LEN,
				    .total = SYN_LEN,
				    .id = ++b->next_id,
				    .iif = 2,
				    .hook = 1};
	memset(syn, 0, SYN_LEN);
	memcpy(syn, head, sizeof(head));
	put32(syn + 12, peer * 2654435761u);
	put32(syn + 16, 0xc0000201);
	put32(syn + 20, 0x9c400050); /* port 40000 to port 80 */
	put32(syn + 24, peer);
	syn[32] = 0x50;
	syn[33] = 0x02;
}

/* As they come from the queue. */
static void send_syns(struct bench *b, uint32_t first, uint32_t n)
{
	struct engine_input in[ENGINE_BATCH];
	const struct engine_input *batch[ENGINE_BATCH];
	uint8_t syn[ENGINE_BATCH][SYN_LEN];

	for (uint32_t i = 0; i < n; i++) {
		make_syn(b, first + i, syn[i], &in[i]);
		batch[i] = &in[i];
	}
	b->e.now = mono_add(b->e.now, n * GAP_NS);
	b->next = b->pended + first;
	engine_packets(&b->e, batch, n);
	if (b->unsent >= BATCH)
		send_verdicts(b);
}

static uint32_t least(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static void pend_all(struct bench *b)
{
	for (uint32_t i = 0; i < b->contexts; i += ENGINE_BATCH)
		send_syns(b, i, least(b->contexts - i, ENGINE_BATCH));
	send_verdicts(b);
}

static void shuffle(struct bench *b)
{
	for (uint32_t i = b->contexts - 1; i > 0; i--) {
		uint32_t j = (uint32_t)(rnd() % (i + 1));
		pend_context c = b->pended[i];

		b->pended[i] = b->pended[j];
		b->pended[j] = c;
	}
}

static void complete_all(struct bench *b)
{
	for (uint32_t i = 0; i < b->contexts; i++) {
		if (i % ANSWERS == 0)
			pend_context_prefetch(&b->e, b->pended + i,
					      least(b->contexts - i, ANSWERS));
		if (pend_complete(&b->e, b->pended[i], PEND_VERDICT_PERMIT, 1) != PEND_OK)
			die("pend_complete");
		if (i % BATCH == BATCH - 1)
			send_verdicts(b);
	}
	send_verdicts(b);
}

static void forget_all(struct bench *b)
{
	b->e.now = mono_add(b->e.now, 300 * MONO_NS_PER_S);
	engine_expire(&b->e, 0);
	if (b->e.table.slab.used)
		die("contexts are left over");
}

/* One round: nanoseconds of a pend and of a complete. */
static void round_of(struct bench *b, double *pend_ns, double *complete_ns)
{
	double start = now(), pended;

	pend_all(b);
	pended = now();
	*pend_ns = (pended - start) / b->contexts * 1e9;
	if (b->e.table.live != b->contexts)
		die("not all were pended");
	shuffle(b);
	start = now();
	complete_all(b);
	*complete_ns = (now() - start) / b->contexts * 1e9;
	forget_all(b);
}

static void begin(struct bench *b, uint32_t contexts, enum pend_mode mode)
{
	static const struct siphash_key key = {{0x70656e64, 0x62656e63}};
	struct pend_callout callout = {
		.name = "bench", .layers = 3, .classify = classify, .context = b};
	struct pend_engine_config cfg;
	uint32_t id;

	memset(b, 0, sizeof(*b));
	b->contexts = contexts;
	b->pended = malloc(contexts * sizeof(*b->pended));
	if (!b->pended)
		die("out of memory");
	memset(b->pended, 1, contexts * sizeof(*b->pended));
	pend_options_init(&b->options);
	b->options.mode = mode;
	b->options.release = mode == PEND_MODE_HOLD ? PEND_RELEASE_BUFFER : PEND_RELEASE_FLUSH;
	b->options.timeout_ns = 100 * MONO_NS_PER_S;
	pend_engine_config_init(&cfg);
	cfg.max_contexts = contexts;
	cfg.max_per_source = 0;
	cfg.max_bytes = (uint64_t)contexts * PCTX_BLOCK_DATA; /* room for ids of the held as well */
	cfg.high_watermark_percent = 100;
	cfg.track_established = false;
	cfg.notify = on_event;
	cfg.notify_context = b;
	if (engine_init(&b->e, &cfg, &ops, b, &key, mono_ms(1000000)) != PEND_OK)
		die("engine_init");
	b->e.started = true;
	if (pend_callout_register(&b->e, &callout, &id) != PEND_OK)
		die("pend_callout_register");
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *v, uint32_t n)
{
	qsort(v, n, sizeof(*v), by_value);
	return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

/* The cost of a pend and its complete in nanoseconds; *bytes: of each pended context. */
static double measure(uint32_t contexts, enum pend_mode mode, double *bytes)
{
	static struct bench b;
	double pend[ROUNDS_MAX], complete[ROUNDS_MAX], both[ROUNDS_MAX], result;
	uint32_t rounds = OPERATIONS / contexts;
	size_t before;

	if (rounds < ROUNDS_MIN)
		rounds = ROUNDS_MIN;
	if (rounds > ROUNDS_MAX)
		rounds = ROUNDS_MAX;
	begin(&b, contexts, mode);
	before = resident();
	pend_all(&b);
	*bytes = (double)(resident() - before) / contexts;
	shuffle(&b);
	complete_all(&b);
	forget_all(&b);
	for (uint32_t i = 0; i < rounds; i++) {
		round_of(&b, &pend[i], &complete[i]);
		both[i] = pend[i] + complete[i];
	}
	result = median(both, rounds);
	fprintf(stderr,
		"%8u contexts, %-7s pend %6.1f ns, complete %6.1f ns, both %6.1f; %.0f bytes each\n",
		contexts, mode == PEND_MODE_HOLD ? "held:" : "flushed:", median(pend, rounds),
		median(complete, rounds), result, *bytes);
	engine_deinit(&b.e);
	free(b.pended);
	return result;
}

static void series(const char *name, enum pend_mode mode, uint32_t most)
{
	double first = 0, cost = 0, bytes = 0;

	for (uint32_t n = LEAST; n <= most; n *= 10) {
		cost = measure(n, mode, &bytes);
		first = n == LEAST ? cost : first;
		printf("pend_complete%s_ns_%u %.1f\n", name, n, cost);
	}
	printf("pend_growth%s_ratio %.3f\n", name, cost / first);
	printf("context%s_bytes %.0f\n", name, bytes);
}

int main(int argc, char **argv)
{
	uint32_t most = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : MOST;

	if (argc > 2 || most < LEAST || most > MOST)
		die("usage: contexts [MOST]: 1,000 to 1,000,000");
	series("", PEND_MODE_ABSORB, most);
	series("_held", PEND_MODE_HOLD, most);
	return EXIT_SUCCESS;
}
