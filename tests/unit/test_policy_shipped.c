/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What people copy from is right: the shipped policy, its examples, and every example of
 * pend.conf(5).
 */
#include "unit.h"
#include "io/policyfile.h"
#include "policy_help.h"
#include <glob.h>

static char *slurp(const char *path)
{
	FILE *f = fopen(path, "r");
	char *s = calloc(1, 1 << 20);

	ck_assert_msg(f != NULL, "%s: run from the top of the tree", path);
	s[fread(s, 1, (1 << 20) - 1, f)] = '\0';
	fclose(f);
	return s;
}

static struct policy *load_good(const char *path)
{
	struct policy *p = NULL;
	struct policy_diag diag;

	ck_assert_msg(!policyfile_load(path, &p, &diag), "%s", diag.text);
	ck_assert_msg(!diag.text, "%s", diag.text);
	policy_diag_deinit(&diag);
	return p;
}

/* The shipped policy permits everything: nobody is locked out by installing it. */
START_TEST(shipped_permits)
{
	struct policy *p = load_good("conf/pend.conf");
	struct pend_values v = {.family = 4, .protocol = 6, .has_ports = true, .dest_port = 22};
	struct classify_result r;
	struct classifier *c = NULL;
	struct settings s;
	void *image;
	size_t size;

	settings_init(&s);
	ck_assert_mem_eq(policy_settings(p), &s, sizeof(s));
	ck_assert_int_eq(policy_compile(p, &image, &size), 0);
	ck_assert_int_eq(classify_attach(&c, image, size), 0);
	classify(c, &v, &r);
	ck_assert_uint_eq(r.action, CLASSIFY_PERMIT);
	classify_detach(c);
	free(image);
	policy_free(p);
}
END_TEST

/* Its commented settings are all there are, and are the defaults; its commented rules are rules. */
START_TEST(shipped_comments)
{
	char *text = slurp("conf/pend.conf"), *s;
	struct settings defaults;
	struct policy *p;

	for (s = text; (s = strstr(s, "\t#")) != NULL; s++)
		if (s[2] != ' ')
			s[1] = ' ';
	s = strstr(text, "include ");
	*s = '#';
	p = parse_good(text);
	settings_init(&defaults);
	ck_assert_mem_eq(policy_settings(p), &defaults, sizeof(defaults));
	/* The first word of each line of the canonical settings was seen in the file. */
	ck_assert_uint_eq(p->settings_seen & (p->settings_seen + 1), 0);
	ck_assert_uint_eq((unsigned)__builtin_popcountll(p->settings_seen), 38);
	ck_assert_uint_eq(p->nrules, 3);
	policy_free(p);
	free(text);
}
END_TEST

static int example_read(void *ctx, const char *from, const char *path, char **data, size_t *len)
{
	(void)path;
	*data = strdup(from ? "" : ctx);
	*len = *data ? strlen(*data) : 0;
	return *data ? 0 : -ENOMEM;
}

static int example_glob(void *ctx, const char *from, const char *pattern, char ***paths, size_t *n)
{
	(void)ctx;
	(void)from;
	(void)pattern;
	*paths = NULL;
	*n = 0;
	return 0;
}

static int example_id(void *ctx, bool group, const char *name, uint32_t *out)
{
	(void)ctx;
	*out = (uint32_t)strlen(name) + group;
	return 0;
}

/* What is past is no example: a warning fails the test. */
static uint32_t example_minute(void *ctx, int year, int month, int day, int hour, int minute)
{
	(void)ctx;
	return (uint32_t)((((year - 1970) * 12 + month) * 31 + day) * 24 + hour) * 60 +
	       (uint32_t)minute;
}

static int example_country(void *ctx, const char *database, const char *code,
			   bool (*add)(void *arg, uint8_t family, const uint8_t lo[16],
				       const uint8_t hi[16]),
			   void *arg)
{
	uint8_t net[16] = {(uint8_t)code[0], (uint8_t)code[1]};

	(void)ctx;
	return *database && add(arg, 4, net, net) ? 0 : -ENOENT;
}

static bool parses(const char *before, const char *text, const char *after, char **why)
{
	char *whole = malloc(strlen(before) + strlen(text) + strlen(after) + 1);
	struct policy_loader loader = {.read = example_read,
				       .glob = example_glob,
				       .id = example_id,
				       .country = example_country,
				       .minute = example_minute,
				       .ctx = whole};
	struct policy_diag diag;
	struct policy *p = NULL;
	bool ok;

	sprintf(whole, "%s%s%s", before, text, after);
	ok = !policy_parse(&p, "example", &loader, &diag);
	policy_free(p);
	free(whole);
	free(*why);
	*why = diag.text;
	return ok;
}

START_TEST(examples)
{
	glob_t g;
	size_t i;

	ck_assert_int_eq(glob("conf/policy.d/*.example", 0, NULL, &g), 0);
	for (i = 0; i < g.gl_pathc; i++) {
		char *text = slurp(g.gl_pathv[i]), *why = NULL;

		ck_assert_msg(parses("", text, "", &why), "%s: %s", g.gl_pathv[i], why);
		free(why);
		free(text);
	}
	ck_assert_uint_ge(i, 3);
	globfree(&g);
}
END_TEST

#define SETS      "set office { 192.0.2.0/24 } set scanners { }"
#define AUTHORITY "authority ops { type operator } settings { country-database \"/x\" }"

/* An example is a policy, or rules; it may use what the page defined before. */
static bool example_good(const char *text, char **why)
{
	return parses("", text, "", why) || parses(SETS AUTHORITY, text, "", why) ||
	       parses("layer x {", text, "}", why) ||
	       parses(SETS AUTHORITY "layer x {", text, "}", why);
}

/* Blocks of a recipe that begin with "```pend". */
static unsigned recipe(const char *path)
{
	char *page = slurp(path), *s = page, *end, *why = NULL;
	unsigned n = 0;

	while ((s = strstr(s, "\n```pend\n")) != NULL) {
		s += 9;
		end = strstr(s, "\n```\n");
		ck_assert_ptr_nonnull(end);
		*end = '\0';
		ck_assert_msg(parses("", s, "\n", &why), "%s: %s", path, why);
		s = end + 1;
		n++;
	}
	free(why);
	free(page);
	return n;
}

START_TEST(recipes)
{
	glob_t g;

	ck_assert_int_eq(glob("docs/recipes/*.md", 0, NULL, &g), 0);
	for (size_t i = 0; i < g.gl_pathc; i++)
		ck_assert_msg(recipe(g.gl_pathv[i]) || strstr(g.gl_pathv[i], "README"),
			      "%s has no policy", g.gl_pathv[i]);
	globfree(&g);
}
END_TEST

START_TEST(manual)
{
	char *page = slurp("man/pend.conf.5"), *s = page, *end, *why = NULL;
	unsigned n = 0;

	while ((s = strstr(s, "\n.Bd -literal")) != NULL) {
		s = strchr(s + 1, '\n') + 1;
		end = strstr(s, ".Ed\n");
		ck_assert_ptr_nonnull(end);
		*end = '\0';
		ck_assert_msg(example_good(s, &why), "%s%s", why, s);
		s = end + 1;
		n++;
	}
	ck_assert_uint_gt(n, 20);
	free(why);
	free(page);
}
END_TEST

/* Every setting, condition, option and statement has its place in the page. */
START_TEST(manual_is_complete)
{
	static const char *const words[] = {
		"settings",    "include",    "define",    "set",       "authority", "layer",
		"weight",      "default",    "proto",     "family",    "from",      "to",
		"port",        "in",         "out",       "hook",      "mark",      "ask",
		"timeout",     "on-timeout", "with",      "complete",  "hold",      "absorb",
		"log",         "icmp-type",  "icmp-code", "file",      "inspect",   "counter",
		"rate",        "burst",      "quota",     "tcp-flags", "time",      "day",
		"reauthorize", "reason",     "until",     "country",   "user",      "group",
		"executable",  "cgroup",     "unit",      "remember",  "scope",     "end"};
	char *page = slurp("man/pend.conf.5"), *text, *line, want[80];
	struct policy *p = parse_good("");
	size_t i;

	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		snprintf(want, sizeof(want), "\"%s\"", words[i]);
		ck_assert_msg(strstr(page, want) != NULL, "pend.conf(5) has no %s", want);
	}
	text = print_good(p);
	for (line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		if (*line++ != '\t')
			continue;
		line[strcspn(line, " ")] = '\0';
		snprintf(want, sizeof(want), ".It Cm %s ", line);
		ck_assert_msg(strstr(page, want) != NULL, "pend.conf(5) has no %s", want);
	}
	free(text);
	free(page);
	policy_free(p);
}
END_TEST

Suite *suite(void)
{
	Suite *s = suite_create("policy_shipped");
	TCase *t = tcase_create("shipped");

	tcase_add_test(t, shipped_permits);
	tcase_add_test(t, shipped_comments);
	tcase_add_test(t, examples);
	tcase_add_test(t, recipes);
	tcase_add_test(t, manual);
	tcase_add_test(t, manual_is_complete);
	suite_add_tcase(s, t);
	return s;
}
