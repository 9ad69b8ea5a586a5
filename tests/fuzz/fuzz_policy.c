/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Any text as a policy: what parses prints, parses again to the same text, compiles, attaches and classifies.
 * The first byte that is 0xff ends the policy; what is behind it is a file that it can name.
 */
#include "core/classify.h"
#include "core/policy.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct files {
	const uint8_t *data;
	size_t main, second, size; /* end of the policy, start of the other file, end of that */
};

/* The first file is the policy, every other path the second part of the input. */
static int fuzz_read(void *ctx, const char *from, const char *path, char **data, size_t *len)
{
	const struct files *f = ctx;
	size_t start = from ? f->second : 0, n = from ? f->size - f->second : f->main;

	(void)path;
	*data = malloc(n + 1);
	if (!*data)
		return -ENOMEM;
	if (n)
		memcpy(*data, f->data + start, n);
	(*data)[n] = '\0';
	*len = n;
	return 0;
}

static int fuzz_glob(void *ctx, const char *from, const char *pattern, char ***paths, size_t *n)
{
	(void)ctx;
	(void)from;
	*paths = malloc(sizeof(**paths));
	if (!*paths)
		return -ENOMEM;
	(*paths)[0] = strdup(pattern);
	*n = 1;
	return (*paths)[0] ? 0 : -ENOMEM;
}

/* Names of an even length are there. */
static int fuzz_id(void *ctx, bool group, const char *name, uint32_t *out)
{
	(void)ctx;
	*out = (uint32_t)strlen(name) * 2 + group;
	return strlen(name) % 2 ? -ENOENT : 0;
}

/* A to M are known, by a few networks which need be none. */
static int fuzz_country(void *ctx, const char *database, const char *code,
			bool (*add)(void *arg, uint8_t family, const uint8_t lo[16],
				    const uint8_t hi[16]),
			void *arg)
{
	uint8_t lo[16] = {10, (uint8_t)(code[1] - 'A')}, hi[16] = {10, 5};

	(void)ctx;
	if (strlen(database) % 8 == 7)
		return -ENOENT;
	if (code[0] > 'M')
		return -ESRCH;
	return add(arg, 4, lo, hi) && add(arg, 6, lo, hi) ? 0 : -ECANCELED;
}

static uint32_t fuzz_minute(void *ctx, int year, int month, int day, int hour, int minute)
{
	(void)ctx;
	if (month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 || minute > 59)
		abort();
	return (uint32_t)((((year - 1970) * 12 + month) * 31 + day) * 24 + hour);
}

static struct policy *parse(struct files *f)
{
	struct policy_loader loader = {.read = fuzz_read,
				       .glob = fuzz_glob,
				       .id = fuzz_id,
				       .country = fuzz_country,
				       .minute = fuzz_minute,
				       .now = 200000,
				       .ctx = f};
	struct policy_diag diag;
	struct policy *p = NULL;
	int err = policy_parse(&p, "p", &loader, &diag);

	if ((err == 0) != (diag.errors == 0) || (err == 0) != (p != NULL))
		abort();
	if (diag.errors > POLICY_MAX_ERRORS || (diag.errors && !diag.text))
		abort();
	policy_diag_deinit(&diag);
	return p;
}

/* The canonical text is read back in front of the same second part. */
static void check_again(const struct files *f, const char *text)
{
	size_t n = strlen(text), rest = f->size - f->second;
	uint8_t *both = malloc(n + rest + 1);
	struct files again = {both, n, n, n + rest};
	struct policy *p;
	char *twice;

	if (!both)
		abort();
	memcpy(both, text, n);
	if (rest)
		memcpy(both + n, f->data + f->second, rest);
	p = parse(&again);
	if (!p || policy_print(p, &twice) || strcmp(text, twice))
		abort();
	free(twice);
	free(both);
	policy_free(p);
}

static void check_classify(const struct policy *p, const uint8_t *data, size_t size)
{
	struct classifier *c = NULL;
	struct pend_values v = {.family = 4, .protocol = 6, .has_ports = true, .hook = 1};
	struct classify_result r;
	void *image = NULL;
	size_t n = 0;

	if (policy_compile(p, &image, &n) || classify_attach(&c, image, n))
		abort();
	if (size)
		memcpy(v.source, data, size < 4 ? size : 4);
	classify(c, &v, &r);
	v.family = 6;
	classify(c, &v, &r);
	if (r.rule != CLASSIFY_NO_RULE && r.rule >= classify_rules(c))
		abort();
	classify_detach(c);
	free(image);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *cut = size ? memchr(data, 0xff, size) : NULL;
	size_t end = cut ? (size_t)(cut - data) : size;
	struct files f = {data, end, cut ? end + 1 : size, size};
	struct policy *p;
	char *text;

	p = parse(&f);
	if (!p)
		return 0;
	if (policy_print(p, &text))
		abort();
	check_again(&f, text);
	check_classify(p, data, size);
	free(text);
	policy_free(p);
	return 0;
}
