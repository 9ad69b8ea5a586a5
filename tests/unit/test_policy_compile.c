/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The image: what is in it, that attach refuses what is wrong with one, and its way through a memory file. */
#include "unit.h"
#include "policy_random.h"
#include "core/classify_image.h"
#include "io/policyfile.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

static const char text[] =
	"set s { 10.0.0.0/8, 192.0.2.1, 10.1.0.0/16, 2001:db8::/32 }\n"
	"authority no { type static; answer block }\n"
	"authority idp { type socket; on-absent wait; on-error next; max-pending 9; user 7 }\n"
	"authority some { type quorum 1; of { no, idp } }\n"
	"layer light { permit proto tcp to port { 22, 20-25, 80 }; default block with reset }\n"
	"layer heavy { weight 9; pend from { @s, 172.16.0.1 } in eth* ask no; block icmp-type 8 }\n";

static void *image;
static size_t size;

static void setup(void)
{
	struct policy *p = parse_good(text);

	ck_assert_int_eq(policy_compile(p, &image, &size), 0);
	policy_free(p);
}

static void teardown(void)
{
	free(image);
}

START_TEST(contents)
{
	const struct image_header *h = image;
	struct classifier *c = NULL;
	struct classify_rule r;
	struct classify_authority a;

	ck_assert_int_eq(classify_attach(&c, image, size), 0);
	ck_assert_uint_eq(h->size, size);
	ck_assert_uint_eq(classify_rules(c), 4);
	ck_assert(classify_rule(c, 2, &r));
	ck_assert_str_eq(r.text, "pend in eth* from { @s, 172.16.0.1 } ask no");
	ck_assert_str_eq(r.layer, "heavy");
	ck_assert_str_eq(r.file, "t");
	ck_assert_uint_eq(r.line, 6);
	ck_assert_uint_eq(r.action, CLASSIFY_PEND);
	ck_assert(classify_authority(c, r.authority, &a));
	ck_assert_str_eq(a.name, "no");
	ck_assert_uint_eq(a.type, AUTHORITY_STATIC);
	ck_assert_uint_eq(a.answer, PEND_VERDICT_BLOCK);
	ck_assert(classify_rule(c, 1, &r));
	ck_assert_str_eq(r.text, "default block with reset");
	ck_assert(!classify_rule(c, 4, &r));
	ck_assert(!classify_authority(c, 4, &a));
	/* Intervals are merged: 10/8 and 192.0.2.1; 172.16.0.1 stands in a set of the rule. */
	ck_assert_uint_eq(h->section[IMAGE_V4].n, 3);
	ck_assert_uint_eq(h->section[IMAGE_SETS].n, 2);
	ck_assert_uint_eq(h->section[IMAGE_PORTS].n, 2);
	classify_detach(c);
	classify_detach(NULL);
}
END_TEST

/* What a policy with this authority, and rules that ask `ask`, has as the last authority. */
static struct classifier *compiled(const char *authorities, const char *ask,
				   struct classify_authority *a)
{
	struct classifier *c = NULL;
	struct policy *p;
	char whole[4096];
	uint32_t n;

	snprintf(whole, sizeof(whole), "%slayer l { pend ask %s; pend ask %s }", authorities, ask,
		 ask);
	p = parse_good(whole);
	free(image);
	ck_assert_int_eq(policy_compile(p, &image, &size), 0);
	ck_assert_int_eq(classify_attach(&c, image, size), 0);
	n = classify_authorities(c);
	ck_assert(classify_authority(c, (uint16_t)(n - 1), a));
	ck_assert(!classify_authority(c, (uint16_t)n, a));
	policy_free(p);
	return c;
}

START_TEST(served)
{
	static const struct {
		const char *keys, *config;
	} all[] = {
		{"type exec; command \"/x \\\"y\\\" \\\\\"",
		 "{\"command\":\"/x \\\"y\\\" \\\\\",\"mode\":\"stay\",\"processes\":4}"},
		{"type exec; command \"/x\"; mode once; processes 1",
		 "{\"command\":\"/x\",\"mode\":\"once\",\"processes\":1}"},
		{"type dnsbl; zones a.org",
		 "{\"zones\":[{\"name\":\"a.org\",\"weight\":1}],\"codes\":[\"127.0.0.2-127.0.0.255\"],"
		 "\"threshold\":1,\"servers\":[],\"listed\":\"block\",\"unlisted\":\"permit\"}"},
		{"type dnsbl; zones { a.org, b.org weight 2 }; codes { 127.0.0.4/31, 127.0.0.9 };"
		 "threshold 3; servers { ::1 port 5353, 10.0.0.1 }; listed permit",
		 "{\"zones\":[{\"name\":\"a.org\",\"weight\":1},{\"name\":\"b.org\",\"weight\":2}],"
		 "\"codes\":[\"127.0.0.4-127.0.0.5\",\"127.0.0.9\"],\"threshold\":3,"
		 "\"servers\":[{\"address\":\"::1\",\"port\":5353},"
		 "{\"address\":\"10.0.0.1\",\"port\":53}],\"listed\":\"permit\",\"unlisted\":\"continue\"}"},
		{"type dnsbl; zones a.org; unlisted continue",
		 "{\"zones\":[{\"name\":\"a.org\",\"weight\":1}],\"codes\":[\"127.0.0.2-127.0.0.255\"],"
		 "\"threshold\":1,\"servers\":[],\"listed\":\"block\",\"unlisted\":\"continue\"}"},
		{"type http; url \"https://a.org\"",
		 "{\"url\":\"https://a.org\",\"ca\":\"\",\"headers\":[],\"header-file\":\"\"}"},
		{"type http; url \"https://[2001:db8::1]:8/?x\"; ca \"/c\"; header \"A: b\"; header \"C:\";"
		 "header-file \"/h\"",
		 "{\"url\":\"https://[2001:db8::1]:8/?x\",\"ca\":\"/c\",\"headers\":[\"A: b\",\"C:\"],"
		 "\"header-file\":\"/h\"}"},
		{"type unit; start a.socket", "{\"start\":\"a.socket\"}"},
		{"type unit; command \"/d\"; ready udp 5 address ::1; idle-stop 1500us",
		 "{\"command\":\"/d\",\"ready\":{\"protocol\":\"udp\",\"port\":5,\"address\":\"::1\"},"
		 "\"idle_stop_ms\":2}"},
		{"type totp; secrets \"/s\"", "{\"secrets\":\"/s\",\"open_ms\":600000}"},
		{"type totp; secrets \"/s\"; open 1h", "{\"secrets\":\"/s\",\"open_ms\":3600000}"},
		{"type socket", "{}"},
		{"type operator", "{}"},
	};
	struct classify_authority a;
	struct classifier *c;
	char text_of[512];

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		snprintf(text_of, sizeof(text_of), "authority x { %s; user 0; group 12 }",
			 all[i].keys);
		if (!strcmp(all[i].config, "{}") && strstr(all[i].keys, "operator"))
			snprintf(text_of, sizeof(text_of), "authority x { %s }", all[i].keys);
		c = compiled(text_of, "x", &a);
		ck_assert_str_eq(a.config, all[i].config);
		ck_assert_str_eq(a.user, strstr(text_of, "user") ? "0" : "");
		ck_assert_uint_eq(a.gid, strstr(text_of, "group") ? 12 : UINT32_MAX);
		classify_detach(c);
	}
}
END_TEST

#define MEMBERS                                                                        \
	"settings { timeout 9s } authority s { type static; answer permit }"           \
	"authority a { type socket; timeout 2s; on-timeout permit; on-absent permit }" \
	"authority b { type socket; timeout 3s; on-timeout permit; on-error permit }"  \
	"authority c { type socket; timeout 1s; user \"web\"; group root; max-pending 5 }"

START_TEST(groups)
{
	static const struct {
		const char *ask, *name;
		uint8_t type, need, on_timeout;
		unsigned timeout_s;
	} all[] = {
		{"any { a b }", "any { a b }", AUTHORITY_ANY, 0, PEND_VERDICT_PERMIT, 3},
		{"any { s, a }", "any { s a }", AUTHORITY_ANY, 0, PEND_VERDICT_PERMIT, 2},
		{"all { a, c }", "all { a c }", AUTHORITY_ALL, 0, PEND_VERDICT_BLOCK, 2},
		{"chain { b s a }", "chain { b s a }", AUTHORITY_CHAIN, 0, PEND_VERDICT_PERMIT, 5},
		{"2 of { a b c }", "2 of { a b c }", AUTHORITY_QUORUM, 2, PEND_VERDICT_BLOCK, 3},
		{"any { a operator }", "any { a operator }", AUTHORITY_ANY, 0, PEND_VERDICT_BLOCK,
		 9},
	};
	struct classify_authority a;
	struct classify_result r;
	struct pend_values v = {.family = 4, .protocol = 6};
	struct classifier *c;

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		c = compiled(MEMBERS, all[i].ask, &a);
		ck_assert_str_eq(a.name, all[i].name);
		ck_assert_uint_eq(classify_authorities(c), 6); /* one for both rules */
		ck_assert_uint_eq(a.type, all[i].type);
		ck_assert_uint_eq(a.need, all[i].need);
		ck_assert_uint_ge(a.members, 2);
		ck_assert_uint_eq(a.on_timeout, all[i].on_timeout);
		ck_assert_uint_eq(a.timeout_ns, all[i].timeout_s * 1000000000ull);
		ck_assert_str_eq(a.config, "{}");
		classify(c, &v, &r);
		ck_assert_uint_eq(r.authority, 5);
		ck_assert_uint_eq(r.timeout_ns, a.timeout_ns);
		ck_assert_uint_eq(r.on_timeout, a.on_timeout);
		ck_assert(classify_authority(c, a.member[0], &a));
		ck_assert_int_eq(a.name[0], strchr(all[i].name, '{')[2]);
		ck_assert(classify_authority(c, 4, &a));
		ck_assert_str_eq(a.name, "c");
		ck_assert_str_eq(a.user, "web");
		ck_assert_str_eq(a.group, "root");
		ck_assert_uint_eq(a.gid, 0);
		ck_assert_uint_eq(a.max_pending, 5);
		ck_assert_uint_eq(a.on_absent, CLASSIFY_ABSENT_BLOCK);
		classify_detach(c);
	}
}
END_TEST

/* The sum of a chain is a timeout still. */
START_TEST(long_chain)
{
	struct classify_authority a;
	struct classifier *c;

	c = compiled(
		"authority x { type socket; timeout 20h } authority y { type socket; timeout 20h }",
		"chain { x y }", &a);
	ck_assert_uint_eq(a.timeout_ns, POLICY_TIMEOUT_MAX);
	classify_detach(c);
}
END_TEST

/* No image makes a group of groups, or one that nobody can satisfy. */
START_TEST(attach_groups)
{
	struct image_header *h = image;
	struct image_authority *list = (void *)((char *)image +
						h->section[IMAGE_AUTHORITIES].offset),
			       *group = &list[3], old = *group;
	struct classifier *c = NULL;
#define REFUSED(change)                                                      \
	do {                                                                 \
		change;                                                      \
		ck_assert_int_eq(classify_attach(&c, image, size), -EINVAL); \
		*group = old;                                                \
	} while (0)

	ck_assert_uint_eq(group->type, AUTHORITY_QUORUM);
	REFUSED(group->member[1] = 3);
	REFUSED(group->member[1] = 4);
	REFUSED(group->members = 0);
	REFUSED(group->members = 9);
	REFUSED(group->need = 3);
	REFUSED(group->need = 0);
	REFUSED(group->type = AUTHORITY_SOCKET);
	REFUSED(group->type = AUTHORITY_ANY); /* which needs no number */
	REFUSED(group->type = AUTHORITY_CHAIN + 1);
	REFUSED(group->on_absent = CLASSIFY_ABSENT_WAIT + 1);
	REFUSED(group->on_error = CLASSIFY_ERROR_NEXT + 1);
	REFUSED(group->config = (uint32_t)size);
	REFUSED(group->user = (uint32_t)size);
	REFUSED(group->group = (uint32_t)size);
	ck_assert_int_eq(classify_attach(&c, image, size), 0);
	classify_detach(c);
}
END_TEST

START_TEST(attach_refuses)
{
	struct image_header *h = image;
	struct classifier *c = NULL;
	size_t n;

	for (n = 0; n < size; n++)
		ck_assert_int_eq(classify_attach(&c, image, n), -EINVAL);
	h->version++;
	ck_assert_int_eq(classify_attach(&c, image, size), -EINVAL);
	h->version--;
	h->magic ^= 1;
	ck_assert_int_eq(classify_attach(&c, image, size), -EINVAL);
	h->magic ^= 1;
	for (n = 0; n < IMAGE_SECTIONS; n++) {
		h->section[n].n += (uint32_t)size;
		ck_assert_int_eq(classify_attach(&c, image, size), -EINVAL);
		h->section[n].n -= (uint32_t)size;
		h->section[n].offset += (uint32_t)size;
		ck_assert_int_eq(classify_attach(&c, image, size), -EINVAL);
		h->section[n].offset -= (uint32_t)size;
	}
	ck_assert_ptr_null(c);
	ck_assert_int_eq(classify_attach(&c, image, size), 0);
	classify_detach(c);
}
END_TEST

static void use(const struct classifier *c, struct random_policy *rp)
{
	struct classify_authority a;
	struct classify_result r;
	struct classify_rule rule;
	struct pend_values v;
	size_t len = 0;
	uint32_t i;

	for (i = 0; i < 20; i++) {
		random_packet(rp, &v);
		classify(c, &v, &r);
		if (r.action < CLASSIFY_PERMIT || r.action > CLASSIFY_PEND ||
		    (r.action == CLASSIFY_PEND && !classify_authority(c, r.authority, &a)))
			ck_abort_msg("result out of range");
	}
	for (i = 0; classify_rule(c, i, &rule); i++)
		len += strlen(rule.text) + strlen(rule.file) + strlen(rule.layer);
	for (i = 0; classify_authority(c, (uint16_t)i, &a); i++)
		len += strlen(a.name) + strlen(a.config) + strlen(a.user) + strlen(a.group);
	ck_assert_uint_le(len, size * (i + 1 + classify_rules(c)) * 6);
}

/* Every single word of the image set to something else: refused, or safe to use. */
START_TEST(attach_is_total)
{
	struct random_policy *rp = calloc(1, sizeof(*rp));
	static const uint32_t values[] = {0, 1, 2, 0x7f, 0xff, 0xffff, 0x7fffffff, UINT32_MAX};
	uint32_t *words = image, old;
	unsigned good = 0, bad = 0;
	size_t i, j;

	rp->state = unit_seed("policy_compile");
	for (i = 0; i < size / 4; i++) {
		for (j = 0; j < 10; j++) {
			struct classifier *c = NULL;

			old = words[i];
			words[i] = j < 8 ? values[j] : (uint32_t)unit_rand(&rp->state);
			if (classify_attach(&c, image, size)) {
				bad++;
			} else {
				good++;
				use(c, rp);
			}
			classify_detach(c);
			words[i] = old;
		}
	}
	ck_assert_uint_gt(good, 100);
	ck_assert_uint_gt(bad, 100);
	free(rp);
}
END_TEST

START_TEST(memory_file)
{
	const void *map = NULL;
	int fd = policyfile_image_fd(image, size), plain;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(policyfile_image_map(fd, size, &map), 0);
	ck_assert_mem_eq(map, image, size);
	policyfile_image_unmap(map, size);
	policyfile_image_unmap(NULL, 0);
	ck_assert_int_eq(policyfile_image_map(fd, size + 1, &map), -EINVAL);
	ck_assert_int_eq(policyfile_image_map(fd, 0, &map), -EINVAL);
	ck_assert_int_eq(write(fd, "x", 1), -1);
	ck_assert_int_eq(ftruncate(fd, 0), -1);
	close(fd);
	plain = memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	ck_assert_int_eq(write(plain, image, size), (ssize_t)size);
	ck_assert_int_eq(policyfile_image_map(plain, size, &map), -EINVAL);
	close(plain);
	ck_assert_int_eq(policyfile_image_map(-1, size, &map), -EINVAL);
}
END_TEST

/* Ten thousand rules over a set of a hundred thousand prefixes: seconds at most. */
START_TEST(large)
{
	char *t = malloc(16 << 20), *to = t;
	struct policy *p;
	struct classifier *c = NULL;
	unsigned i;

	for (i = 0; i < 10; i++) {
		unsigned j;

		to += sprintf(to, "set s%u {\n", i);
		for (j = 0; j < 10000; j++)
			to += sprintf(to, "%u.%u.%u.0/24,\n", 10 + i, j / 256, j % 256 & 0xfe);
		to += sprintf(to, "}\n");
	}
	to += sprintf(to, "layer l {\n");
	for (i = 0; i < 10000; i++)
		to += sprintf(to, "permit proto tcp from { @s%u, 192.0.2.%u } to port %u\n", i % 10,
			      i % 256, i);
	sprintf(to, "}\n");
	p = parse_good(t);
	free(image);
	ck_assert_int_eq(policy_compile(p, &image, &size), 0);
	ck_assert_int_eq(classify_attach(&c, image, size), 0);
	ck_assert_uint_eq(classify_rules(c), 10000);
	ck_assert_uint_lt(size, 8 << 20);
	classify_detach(c);
	policy_free(p);
	free(t);
}
END_TEST

Suite *suite(void)
{
	Suite *s = suite_create("policy_compile");
	TCase *t = tcase_create("compile");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 120);
	tcase_add_test(t, contents);
	tcase_add_test(t, served);
	tcase_add_test(t, groups);
	tcase_add_test(t, long_chain);
	tcase_add_test(t, attach_groups);
	tcase_add_test(t, attach_refuses);
	tcase_add_test(t, attach_is_total);
	tcase_add_test(t, memory_file);
	tcase_add_test(t, large);
	suite_add_tcase(s, t);
	return s;
}
