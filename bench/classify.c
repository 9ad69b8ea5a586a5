/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a classify costs by the number of rules and of prefixes: policies are written, compiled and attached
 * as the daemon does it, and random packets are classified. Of the largest policy also what it takes to
 * compile it, and the memory that is resident because of it afterwards. Then a set of a million prefixes is edited,
 * one address at a time, and what that and a classify cost is told after 1, 1,000, 10,000 and 60,000
 * edits. Prints "key value" lines; the
 * packets and policies are the same in every run.
 *
 * usage: bench/classify [PACKETS]
 */
#include "core/classify.h"
#include "core/classify_patch.h"
#include "core/policy.h"
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PACKETS_MAX 10000000u
#define SLICES      31u
#define POOL        65536u /* packets; more than a cache holds of what they touch */

struct text {
	char *data;
	size_t len, cap;
};

struct files {
	struct text policy, set;
};

static uint64_t state;

static uint32_t rnd(void)
{
	uint64_t z = (state += 0x9e3779b97f4a7c15ull);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return (uint32_t)(z >> 32);
}

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "classify: %s\n", what);
	exit(EXIT_FAILURE);
}

static void add(struct text *t, const char *s)
{
	size_t n = strlen(s);

	if (t->len + n + 1 > t->cap) {
		t->cap = (t->cap + n + 1) * 2;
		t->data = realloc(t->data, t->cap);
		if (!t->data)
			die("out of memory");
	}
	memcpy(t->data + t->len, s, n + 1);
	t->len += n;
}

static int load(void *ctx, const char *from, const char *path, char **data, size_t *len)
{
	const struct files *f = ctx;
	const struct text *t = strstr(path, ".set") ? &f->set : &f->policy;

	(void)from;
	*data = malloc(t->len + 1);
	if (!*data)
		return -ENOMEM;
	memcpy(*data, t->data ? t->data : "", t->len + 1);
	*len = t->len;
	return 0;
}

/* Rules as administrators write them: a source, a service, sometimes both ends. */
static void write_policy(struct files *f, uint32_t rules, uint32_t prefixes)
{
	char line[160];

	f->policy.len = f->set.len = 0;
	add(&f->set, "");
	for (uint32_t i = 0; i < prefixes; i++) {
		uint32_t a = rnd();

		snprintf(line, sizeof(line), "%u.%u.%u.0/24\n", a >> 24, a >> 16 & 255,
			 a >> 8 & 255);
		add(&f->set, line);
	}
	add(&f->policy, "settings { control \"/run/pend/x\"; }\n");
	if (prefixes)
		add(&f->policy, "set many { file \"many.set\" }\n");
	add(&f->policy, "layer default {\n");
	if (prefixes)
		add(&f->policy, "block from @many to port 81\n");
	for (uint32_t i = 1; i < rules; i++) {
		uint32_t a = rnd();

		snprintf(line, sizeof(line), "%s proto tcp from %u.%u.%u.0/24 to port %u\n",
			 i % 3 ? "permit" : "block", a >> 24, a >> 16 & 255, a >> 8 & 255,
			 1024 + i % 4096);
		add(&f->policy, line);
	}
	add(&f->policy, "permit proto tcp to port 80\n}\n");
}

/* Of this thread's processor time: what others run in between does not count. */
static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static double resident_mib(void)
{
	unsigned long total, pages = 0;
	FILE *f = fopen("/proc/self/statm", "re");

	if (!f || fscanf(f, "%lu %lu", &total, &pages) != 2)
		die("cannot read /proc/self/statm");
	fclose(f);
	return (double)pages * (double)sysconf(_SC_PAGESIZE) / (1 << 20);
}

static void random_packets(struct pend_values *v)
{
	for (uint32_t i = 0; i < POOL; i++) {
		uint32_t a = rnd();

		v[i] = (struct pend_values){
			.family = 4,
			.protocol = 6,
			.has_ports = true,
			.source_port = (uint16_t)rnd(),
			.hook = 1,
			.dest_port = rnd() % 2 ? 80 : (uint16_t)(1024 + rnd() % 4096)};
		memcpy(v[i].source, &a, 4);
		memcpy(v[i].dest, "\xc0\x00\x02\x01", 4);
	}
}

struct cost {
	double compile_s, memory_mib, classify_ns;
};

/* The image in the form in which every worker uses it; the parsed policy is gone. */
static struct classifier *compile(struct files *f, void **image, size_t *size)
{
	struct policy_loader loader = {.read = load, .ctx = f};
	struct policy_diag diag = {0};
	struct classifier *c;
	struct policy *p;

	if (policy_parse(&p, "bench.conf", &loader, &diag))
		die(diag.text ? diag.text : "policy");
	if (policy_compile(p, image, size) || classify_attach(&c, *image, *size))
		die("cannot compile");
	policy_diag_deinit(&diag);
	policy_free(p);
	return c;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* The median of SLICES, so that what else the machine does spoils some of them and not the result. */
static double classify_ns(struct classifier *c, const struct pend_values *v, uint32_t packets,
			  double *sum)
{
	double ns[SLICES];
	uint32_t n = packets / SLICES + 1, at = 0;
	struct classify_result r;

	for (uint32_t s = 0; s < SLICES; s++) {
		double start = now();

		for (uint32_t i = 0; i < n; i++) {
			classify(c, &v[at++ % POOL], &r);
			*sum += r.rule;
		}
		ns[s] = (now() - start) / n * 1e9;
	}
	qsort(ns, SLICES, sizeof(*ns), by_value);
	return ns[SLICES / 2];
}

static struct cost one(struct files *f, const char *key, uint32_t rules, uint32_t prefixes,
		       uint32_t packets)
{
	static struct pend_values v[POOL];
	struct cost cost;
	struct classify_result r;
	struct classifier *c;
	double start, sum = 0, before;
	void *image;
	size_t size;

	write_policy(f, rules, prefixes);
	random_packets(v);
	malloc_trim(0);
	before = resident_mib();
	start = now();
	c = compile(f, &image, &size);
	cost.compile_s = now() - start;
	malloc_trim(0);
	for (uint32_t i = 0; i < POOL; i++) {
		classify(c, &v[i], &r);
		sum += r.rule;
	}
	cost.memory_mib = resident_mib() - before;
	cost.classify_ns = classify_ns(c, v, packets, &sum);
	printf("%s %.1f\n", key, cost.classify_ns);
	fprintf(stderr,
		"%-26s %6u rules %8u prefixes: compiled in %.2f s, image %zu kB, "
		"resident %.1f MiB (%g)\n",
		key, rules, prefixes, cost.compile_s, size / 1024, cost.memory_mib, sum);
	classify_detach(c);
	free(image);
	return cost;
}

static void random_edit(struct classify_edit *e)
{
	uint32_t a = rnd();

	*e = (struct classify_edit){.family = 4};
	memcpy(e->lo, &a, 4);
	memcpy(e->hi, &a, 4);
}

static struct classifier *edit_one(struct classifier *c)
{
	struct classify_edit e;
	struct classifier *made;

	random_edit(&e);
	/* What is in it comes out, so that no edit is in vain. */
	e.remove = classify_set_has(c, e.set, 4, e.lo);
	if (classify_patch(&made, c, &e, 1))
		die("cannot edit the set");
	classify_detach(c);
	return made;
}

/* Edits up to so many; the time of each of the last ones. */
static struct classifier *edit_to(struct classifier *c, uint32_t *done, uint32_t edits, double *us)
{
	uint32_t some = edits - *done < 1000 ? edits - *done : 1000;
	double start = 0;

	for (; *done < edits; ++*done) {
		if (*done + some == edits)
			start = now();
		c = edit_one(c);
	}
	*us = (now() - start) / some * 1e6;
	return c;
}

static void edit(struct files *f, uint32_t packets)
{
	static const struct {
		uint32_t edits;
		const char *classify, *edit;
	} curve[] = {{0, "classify_ns_patched_0", NULL},
		     {1, "classify_ns_patched_1", NULL},
		     {1000, "classify_ns_patched_1k", "set_edit_us_1k_edits"},
		     {10000, "classify_ns_patched_10k", "set_edit_us_1m_prefixes"},
		     {60000, "classify_ns_patched", "set_edit_us_60k_edits"}};
	static struct pend_values v[POOL];
	struct classifier *c;
	uint32_t done = 0;
	double us, sum = 0, before;
	void *image;
	size_t size;

	write_policy(f, 10, 1000000);
	random_packets(v);
	c = compile(f, &image, &size);
	malloc_trim(0);
	before = resident_mib();
	for (size_t i = 0; i < sizeof(curve) / sizeof(*curve); i++) {
		us = 0;
		if (curve[i].edits)
			c = edit_to(c, &done, curve[i].edits, &us);
		printf("%s %.1f\n", curve[i].classify, classify_ns(c, v, packets, &sum));
		if (curve[i].edit)
			printf("%s %.1f\n", curve[i].edit, us);
	}
	malloc_trim(0);
	fprintf(stderr, "%u edits: %.1f MiB (%g)\n", done, resident_mib() - before, sum);
	classify_detach(c);
	free(image);
}

int main(int argc, char **argv)
{
	uint32_t packets = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 2000000;
	struct files f = {0};
	struct cost cost;

	state = 1;
	if (!packets || packets > PACKETS_MAX)
		die("PACKETS is 1 to 10,000,000");
	one(&f, "classify_ns_10", 10, 0, packets);
	one(&f, "classify_ns_100", 100, 0, packets);
	one(&f, "classify_ns_1000", 1000, 0, packets);
	one(&f, "classify_ns_10000", 10000, 0, packets);
	one(&f, "classify_ns_1k_prefixes", 10, 1000, packets);
	one(&f, "classify_ns_1m_prefixes", 10, 1000000, packets);
	cost = one(&f, "classify_ns_10000_1m", 10000, 1000000, packets);
	printf("policy_compile_s %.3f\n", cost.compile_s);
	printf("policy_memory_mib %.1f\n", cost.memory_mib);
	edit(&f, packets);
	free(f.policy.data);
	free(f.set.data);
	return EXIT_SUCCESS;
}
