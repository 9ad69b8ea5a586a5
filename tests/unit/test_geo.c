/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Countries out of databases, good and bad. */
#include "unit.h"
#include "mmdb_write.h"
#include "core/classify.h"
#include "io/geo.h"
#include "io/policyfile.h"
#include <arpa/inet.h>
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[] = "/tmp/pend-geo-XXXXXX", path[64];

static void make_dir(void)
{
	strcpy(dir, "/tmp/pend-geo-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/c.mmdb", dir);
}

static void remove_dir(void)
{
	unlink(path);
	ck_assert_int_eq(rmdir(dir), 0);
}

static void add_net(struct mmdb_writer *w, const char *net, uint32_t record)
{
	char text[64];
	uint8_t addr[16] = {0};
	unsigned prefix;
	bool v6 = strchr(net, ':');

	ck_assert_int_eq(sscanf(net, "%63[^/]/%u", text, &prefix), 2);
	ck_assert_int_eq(inet_pton(v6 ? AF_INET6 : AF_INET, text, addr), 1);
	mmdb_add(w, v6 ? 6 : 4, addr, prefix, record);
}

/* DE: 10.0.0.0/24 and its neighbour, 2001:db8::/32; AT by registration; nobody: 192.0.2.0/24. */
static void write_good(struct mmdb_writer *w, unsigned version)
{
	uint32_t de, at, none;

	mmdb_init(w, version);
	de = mmdb_record(w, "country", "DE");
	at = mmdb_record(w, "registered_country", "AT");
	none = mmdb_record(w, "continent", "EU");
	add_net(w, "10.0.0.0/24", de);
	add_net(w, "10.0.1.0/24", de);
	add_net(w, "10.0.3.0/24", at);
	add_net(w, "255.255.255.255/32", at);
	add_net(w, "192.0.2.0/24", none);
	if (version == 6) {
		uint8_t zero[16] = {0}, mapped[16] = {[10] = 255, [11] = 255}, six[2] = {0x20, 2};
		uint32_t v4 = *mmdb_at(w, zero, 96);

		add_net(w, "2001:db8::/32", de);
		add_net(w, "2001:db8:1::/48", at);
		*mmdb_at(w, mapped, 96) = v4; /* other ways to IPv4 */
		*mmdb_at(w, six, 16) = v4;
	}
	mmdb_finish(w);
}

struct list {
	char text[4096];
	size_t len;
	unsigned n, stop;
};

static bool list_net(void *arg, uint8_t family, const uint8_t lo[16], const uint8_t hi[16])
{
	char a[INET6_ADDRSTRLEN], b[INET6_ADDRSTRLEN];
	struct list *l = arg;
	int af = family == 4 ? AF_INET : AF_INET6;

	l->len += (size_t)snprintf(l->text + l->len, sizeof(l->text) - l->len, "%s-%s ",
				   inet_ntop(af, lo, a, sizeof(a)),
				   inet_ntop(af, hi, b, sizeof(b)));
	ck_assert_uint_lt(l->len, sizeof(l->text));
	return ++l->n != l->stop;
}

static void expect(struct geo *g, const char *code, const char *want)
{
	struct list l = {.text = ""};

	ck_assert_int_eq(geo_country(g, code, list_net, &l), 0);
	ck_assert_str_eq(l.text, want);
}

static void expect_at(const struct geo *g, const char *addr, const char *want)
{
	uint8_t a[16] = {0};
	char code[3] = "";
	bool v6 = strchr(addr, ':');
	int r;

	ck_assert_int_eq(inet_pton(v6 ? AF_INET6 : AF_INET, addr, a), 1);
	r = geo_lookup(g, v6 ? 6 : 4, a, code);
	ck_assert_int_eq(r, *want ? 0 : -ENOENT);
	ck_assert_str_eq(code, want);
}

START_TEST(both_families)
{
	struct list one = {.stop = 1};
	struct mmdb_writer w;
	struct geo *g;

	write_good(&w, 6);
	mmdb_save(path, w.out, w.len);
	ck_assert_int_eq(geo_open(&g, path), 0);
	expect(g, "DE",
	       "10.0.0.0-10.0.1.255 "
	       "2001:db8::-2001:db8:0:ffff:ffff:ffff:ffff:ffff "
	       "2001:db8:2::-2001:db8:ffff:ffff:ffff:ffff:ffff:ffff ");
	expect(g, "AT",
	       "10.0.3.0-10.0.3.255 255.255.255.255-255.255.255.255 "
	       "2001:db8:1::-2001:db8:1:ffff:ffff:ffff:ffff:ffff ");
	ck_assert_int_eq(geo_country(g, "FR", list_net, &one), -ESRCH);
	ck_assert_int_eq(geo_country(g, "DE", list_net, &one), 0);
	ck_assert_uint_eq(one.n, 1);
	expect_at(g, "10.0.1.7", "DE");
	expect_at(g, "10.0.3.7", "AT");
	expect_at(g, "10.0.2.7", "");
	expect_at(g, "192.0.2.1", "");
	expect_at(g, "2001:db8:1::1", "AT");
	expect_at(g, "2001:db9::1", "");
	geo_close(g);
	mmdb_deinit(&w);
}
END_TEST

START_TEST(only_ipv4)
{
	struct mmdb_writer w;
	struct geo *g;

	write_good(&w, 4);
	mmdb_save(path, w.out, w.len);
	ck_assert_int_eq(geo_open(&g, path), 0);
	expect(g, "DE", "10.0.0.0-10.0.1.255 ");
	expect_at(g, "2001:db8::1", "");
	geo_close(g);
	mmdb_deinit(&w);
}
END_TEST

/* A leaf above ::/96 speaks for all of IPv4 too. */
START_TEST(everything)
{
	struct mmdb_writer w;
	struct geo *g;

	mmdb_init(&w, 6);
	add_net(&w, "::/1", mmdb_record(&w, "country", "DE"));
	mmdb_finish(&w);
	mmdb_save(path, w.out, w.len);
	ck_assert_int_eq(geo_open(&g, path), 0);
	expect(g, "DE", "0.0.0.0-255.255.255.255 ::-7fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ");
	geo_close(g);
	mmdb_deinit(&w);
}
END_TEST

START_TEST(no_database)
{
	struct geo *g = NULL;

	ck_assert_int_eq(geo_open(&g, path), -ENOENT);
	ck_assert_int_eq(geo_open(&g, dir), -EISDIR);
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	ck_assert_int_eq(geo_open(&g, path), -EINVAL);
	unlink(path);
	mmdb_save(path, "", 0);
	ck_assert_int_eq(geo_open(&g, path), -EBADMSG);
	mmdb_save(path, "nothing of the kind", 19);
	ck_assert_int_eq(geo_open(&g, path), -EBADMSG);
	ck_assert_ptr_null(g);
	geo_close(NULL);
}
END_TEST

static bool count_net(void *arg, uint8_t family, const uint8_t lo[16], const uint8_t hi[16])
{
	ck_assert(family == 4 || family == 6);
	ck_assert_int_le(memcmp(lo, hi, family == 4 ? 4 : 16), 0);
	++*(unsigned *)arg;
	return true;
}

/* Any bytes are read to some end. 0: it was taken for a database. */
static int try_bytes(const void *data, size_t len)
{
	static const uint8_t addr[4][16] = {{10}, {0x20, 1, 0x0d, 0xb8}, {255, 255, 255, 255}, {0}};
	unsigned n = 0;
	char code[3];
	struct geo *g;
	int r;

	mmdb_save(path, data, len);
	r = geo_open(&g, path);
	if (r)
		return r;
	r = geo_country(g, "DE", count_net, &n);
	ck_assert(r == 0 || r == -ESRCH || r == -EBADMSG);
	for (int i = 0; i < 4; i++) {
		geo_lookup(g, 4, addr[i], code);
		geo_lookup(g, 6, addr[i], code);
	}
	geo_close(g);
	return r;
}

START_TEST(cut_short)
{
	struct mmdb_writer w;

	write_good(&w, 6);
	ck_assert_int_eq(try_bytes(w.out, w.len), 0);
	for (size_t n = 0; n < w.len; n++)
		ck_assert_int_lt(try_bytes(w.out, n), 0);
	mmdb_deinit(&w);
}
END_TEST

/* Not those of the texts: where they are broken, libmaxminddb 1.7 loses some memory. */
START_TEST(other_bytes)
{
	static const uint8_t values[] = {0x00, 0x01, 0x20, 0x7f, 0x80, 0xe1, 0xff};
	uint64_t state = unit_seed("geo");
	unsigned good = 0, bad = 0;
	struct mmdb_writer w;

	write_good(&w, 4);
	for (size_t at = 0; at < w.texts; at++) {
		uint8_t was = w.out[at];

		for (size_t v = 0; v < sizeof(values); v++) {
			w.out[at] = values[v];
			try_bytes(w.out, w.len) ? bad++ : good++;
		}
		w.out[at] = was;
	}
	ck_assert_uint_gt(good, 100);
	ck_assert_uint_gt(bad, 100);
	for (int i = 0; i < 1000; i++) {
		mmdb_finish(&w);
		for (unsigned k = 1 + (unsigned)unit_rand(&state) % 8; k; k--)
			w.out[unit_rand(&state) % w.metadata] = (uint8_t)unit_rand(&state);
		try_bytes(w.out, w.len);
	}
	mmdb_deinit(&w);
}
END_TEST

/* Few nodes, and more ways through them than anybody can go. */
START_TEST(no_tree)
{
	struct mmdb_writer w;
	uint32_t de;

	mmdb_init(&w, 6);
	de = mmdb_record(&w, "country", "DE");
	for (w.n = 0; w.n < 127; w.n++)
		w.node[w.n][0] = w.node[w.n][1] = w.n + 1;
	w.node[w.n][0] = w.node[w.n][1] = de;
	w.n++;
	mmdb_finish(&w);
	ck_assert_int_eq(try_bytes(w.out, w.len), -EBADMSG);
	w.n = 1; /* in a circle */
	w.node[0][0] = w.node[0][1] = 0;
	mmdb_finish(&w);
	ck_assert_int_lt(try_bytes(w.out, w.len), 0);
	w.n = 1000; /* deeper than addresses */
	for (uint32_t i = 0; i < w.n; i++) {
		w.node[i][0] = MMDB_EMPTY;
		w.node[i][1] = i + 1 < w.n ? i + 1 : de;
	}
	mmdb_finish(&w);
	ck_assert_int_eq(try_bytes(w.out, w.len), -EBADMSG);
	mmdb_deinit(&w);
}
END_TEST

/* ---- one way and the other ---- */

struct seek {
	uint8_t family, addr[16];
	bool found;
};

static bool seek_net(void *arg, uint8_t family, const uint8_t lo[16], const uint8_t hi[16])
{
	struct seek *s = arg;
	size_t n = family == 4 ? 4 : 16;

	s->found |= family == s->family && memcmp(lo, s->addr, n) <= 0 &&
		    memcmp(s->addr, hi, n) <= 0;
	return true;
}

START_TEST(random_trees)
{
	static const char *const codes[] = {"DE", "AT", "FR", "US"};
	uint64_t state = unit_seed("random_trees");

	for (int round = 0; round < 60; round++) {
		struct mmdb_writer w;
		uint32_t record[4];
		struct geo *g;

		mmdb_init(&w, unit_rand(&state) % 2 ? 4 : 6);
		for (int i = 0; i < 4; i++)
			record[i] = mmdb_record(&w, i % 2 ? "country" : "registered_country",
						codes[i]);
		for (unsigned i = 0; i < 40; i++) {
			unsigned len = 1 + (unsigned)unit_rand(&state) % 32;
			uint64_t a = unit_rand(&state) & 0x0f0f0f0f03030303ull;

			if (w.version == 4 || i < 20)
				mmdb_add(&w, 4, (uint8_t *)&a, len, record[i % 4]);
			else
				mmdb_add(&w, 6,
					 (uint8_t[16]){0x20, 1, (uint8_t)a, (uint8_t)(a >> 8)},
					 len + 4, record[i % 4]);
		}
		mmdb_finish(&w);
		mmdb_save(path, w.out, w.len);
		ck_assert_int_eq(geo_open(&g, path), 0);
		for (int i = 0; i < 100; i++) {
			uint64_t a = unit_rand(&state) & 0x0f0f0f0f03030303ull;
			struct seek s = {.family = i % 2 && w.version == 6 ? 6 : 4};
			char code[3] = "";

			memcpy(s.addr + (s.family == 6 ? 2 : 0), &a, 4);
			if (s.family == 6)
				memcpy(s.addr, "\x20\x01", 2);
			geo_lookup(g, s.family, s.addr, code);
			for (int k = 0; k < 4; k++) {
				int r;

				s.found = false;
				r = geo_country(g, codes[k], seek_net, &s);
				ck_assert(!r || r == -ESRCH);
				ck_assert_int_eq(s.found, strcmp(code, codes[k]) == 0);
			}
		}
		geo_close(g);
		mmdb_deinit(&w);
	}
}
END_TEST

/* ---- in a policy ---- */

static uint8_t decide(const struct policy *p, const char *source)
{
	struct pend_values v = {.family = 4, .protocol = 6, .hook = 1};
	struct classify_result r;
	struct classifier *c;
	void *image;
	size_t size;

	ck_assert_int_eq(inet_pton(AF_INET, source, v.source), 1);
	ck_assert_int_eq(policy_compile(p, &image, &size), 0);
	ck_assert_int_eq(classify_attach(&c, image, size), 0);
	classify(c, &v, &r);
	classify_detach(c);
	free(image);
	return r.action;
}

static void expect_policy(struct policy *p)
{
	ck_assert_int_eq(decide(p, "10.0.0.9"), CLASSIFY_PERMIT);
	ck_assert_int_eq(decide(p, "10.0.3.9"), CLASSIFY_PERMIT);
	ck_assert_int_eq(decide(p, "10.0.2.9"), CLASSIFY_BLOCK);
	policy_free(p);
}

START_TEST(policies)
{
	struct policyfile_sources keep = {0};
	char conf[64], text[256];
	struct policy_diag diag;
	struct mmdb_writer w;
	struct policy *p;

	snprintf(conf, sizeof(conf), "%s/p.conf", dir);
	snprintf(text, sizeof(text),
		 "settings { country-database \"%s\"; }\nlayer l { permit country { DE, AT } }\n",
		 path);
	mmdb_save(conf, text, strlen(text));
	ck_assert_int_eq(policyfile_load(conf, &p, &diag), -EINVAL); /* no database yet */
	ck_assert_ptr_nonnull(strstr(diag.text, "No such file"));
	policy_diag_deinit(&diag);
	write_good(&w, 6);
	mmdb_save(path, w.out, w.len);
	mmdb_deinit(&w);
	ck_assert_int_eq(policyfile_load(conf, &p, &diag), 0);
	policy_diag_deinit(&diag);
	expect_policy(p);
	ck_assert_int_eq(policyfile_load_with(conf, &keep, NULL, &p, &diag), 0);
	policy_diag_deinit(&diag);
	expect_policy(p);
	ck_assert(policyfile_sources_valid(keep.data, keep.len));
	/* what was kept needs the database no more */
	unlink(path);
	ck_assert_int_eq(policyfile_load_again(&keep, NULL, &p, &diag), 0);
	policy_diag_deinit(&diag);
	expect_policy(p);
	policyfile_sources_deinit(&keep);
	unlink(conf);
}
END_TEST

Suite *suite(void)
{
	Suite *s = suite_create("geo");
	TCase *t = tcase_create("geo");

	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, make_dir, remove_dir);
	tcase_add_test(t, both_families);
	tcase_add_test(t, only_ipv4);
	tcase_add_test(t, everything);
	tcase_add_test(t, no_database);
	tcase_add_test(t, cut_short);
	tcase_add_test(t, other_bytes);
	tcase_add_test(t, no_tree);
	tcase_add_test(t, random_trees);
	tcase_add_test(t, policies);
	suite_add_tcase(s, t);
	return s;
}
