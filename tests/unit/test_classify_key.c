/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is decided by interface, addresses, protocol and destination port alone, against packets that differ in all else. */
#include "unit.h"
#include "policy_random.h"
#include "policy_loaded.h"
#include "core/classify_key.h"

static const struct {
	uint32_t n;
	struct classify_iface iface[4];
} names = {4, {{1, "lo"}, {2, "eth0"}, {3, "eth1"}, {5, "wlan0"}}};

static const struct classify_ifaces *ifaces(void)
{
	return (const struct classify_ifaces *)(const void *)&names;
}

/* ---- random policies ---- */

struct visits {
	struct random_policy *rp;
	struct classify_listener listener;
	unsigned n;
};

static bool visit(void *arg, uint32_t rule)
{
	struct visits *at = arg;

	(void)rule;
	at->n++;
	return rnd(at->rp, 2);
}

static const struct classify_listener *listener(void *arg, const struct pend_values *v,
						unsigned need)
{
	struct visits *at = arg;

	(void)v;
	(void)need;
	return &at->listener;
}

/* The same connection as far as the kernel's sets see it. */
static void vary(struct random_policy *rp, struct pend_values *v, struct classify_context *now,
		 struct visits *at)
{
	v->source_port = (uint16_t)(rnd(rp, 4) ? 14 + rnd(rp, 24) : rnd(rp, 65536));
	v->mark = rnd(rp, 6);
	v->tcp_flags = (uint8_t)(2 | rnd(rp, 256));
	v->icmp_type = (uint8_t)rnd(rp, 256);
	v->icmp_code = (uint8_t)rnd(rp, 3);
	v->out_interface = rnd(rp, 6);
	random_listener(rp, &at->listener);
	*now = (struct classify_context){
		.ifaces = ifaces(),
		.clock = rnd(rp, 8) ? classify_clock(rnd(rp, 7), rnd(rp, 1440)) : 0,
		.minute = rnd(rp, 4) ? fake_minute(NULL, 2026, 1, 1 + (int)rnd(rp, 2),
						   (int)rnd(rp, 24), 0) -
					       rnd(rp, 2)
				     : 0,
		.visit = visit,
		.listener = listener,
		.arg = at,
	};
}

static bool same(const struct classify_result *a, const struct classify_result *b)
{
	return a->rule == b->rule && a->action == b->action && a->block == b->block &&
	       a->remember_ns == b->remember_ns && a->remember_scope == b->remember_scope;
}

/* What depends for sure: two packets of the same key that are decided otherwise. */
static void check_key(const struct loaded *l, struct random_policy *rp, unsigned counts[3])
{
	struct visits at = {.rp = rp};
	struct classify_result key, r, first = {0};
	struct classify_context now;
	struct classify_else_at why;
	struct pend_values v;
	bool good, differs = false;

	random_packet(rp, &v);
	v.hook = 1;
	v.protocol = rnd(rp, 2) ? 6 : 17;
	v.has_ports = true;
	v.dest_port = (uint16_t)(14 + rnd(rp, 24));
	good = classify_by_key(l->c, ifaces(), &v, &key, &why);
	if (!good && !classify_else_name(why.what))
		ck_abort_msg("no name for %u", why.what);
	for (unsigned i = 0; i < 40; i++) {
		vary(rp, &v, &now, &at);
		classify_with(l->c, &now, &v, &r);
		if (!i)
			first = r;
		differs |= !same(&first, &r) || at.n || r.log;
		if (good && (!same(&key, &r) || at.n || r.log || r.pends & (r.pends - 1)))
			ck_abort_msg(
				"rule %u, not %u (%u visits): family %u proto %u ports %u %u in %u "
				"mark %u addresses %u %u of\n%s",
				r.rule, key.rule, at.n, v.family, v.protocol, v.source_port,
				v.dest_port, v.in_interface, v.mark,
				v.source[v.family == 4 ? 3 : 15], v.dest[v.family == 4 ? 3 : 15],
				rp->text);
	}
	counts[good ? 0 : differs ? 1 : 2]++;
}

START_TEST(random_policies)
{
	struct random_policy *rp = malloc(sizeof(*rp));
	unsigned i, j, counts[3] = {0}, policies = 1500, keys = 40;

	if (getenv("POLICIES"))
		policies = (unsigned)atoi(getenv("POLICIES"));
	rp->state = unit_seed("classify_key");
	for (i = 0; i < policies; i++) {
		struct policy *p = NULL;
		struct policy_diag diag;
		struct loaded l;
		int err;

		random_policy(rp);
		err = parse_text(rp->text, &p, &diag); /* families may contradict */
		policy_free(err ? NULL : p);
		policy_diag_deinit(&diag);
		if (err)
			continue;
		l = load(rp->text);
		for (j = 0; j < keys; j++)
			check_key(&l, rp, counts);
		unload(&l);
	}
	fprintf(stderr, "classify_key: by key %u, else %u, perhaps %u\n", counts[0], counts[1],
		counts[2]);
	for (i = 0; i < 2; i++)
		ck_assert_uint_gt(counts[i], policies);
	free(rp);
}
END_TEST

/* ---- one by one ---- */

static const struct pend_values ssh = {.family = 4,
				       .protocol = 6,
				       .has_ports = true,
				       .source = {192, 0, 2, 7},
				       .source_port = 4000,
				       .dest = {192, 0, 2, 1},
				       .dest_port = 22,
				       .hook = 1,
				       .in_interface = 2};

static const struct {
	const char *rules;
	const char *why; /* NULL: the rule `rule` decides by the key */
	uint32_t rule;
} cases[] = {
	{"pend to port 22 remember 1h", NULL, 0},
	{"block from 192.0.2.8; pend to port 22 remember 1h", NULL, 1},
	{"block in eth1; pend in eth0 to port 22 remember 1h", NULL, 1},
	{"block country AA; pend to port 22 remember 1h", NULL, 1},
	/* that cannot match are passed over, whatever they ask */
	{"block from port 1-99 to port 23; pend to port 22 remember 1h", NULL, 1},
	{"block proto udp from port 1-99; pend to port 22 remember 1h", NULL, 1},
	{"block icmp-type 8; pend to port 22 remember 1h", NULL, 1},
	{"block out eth0; pend to port 22 remember 1h", NULL, 1},
	{"block hook forward mark 1; pend to port 22 remember 1h", NULL, 1},
	{"inspect to port 23; pend to port 22 remember 1h", NULL, 1},
	{"permit reauthorize; block reauthorize reason policy-change; pend to port 22 remember 1h",
	 NULL, 2},
	/* behind the one that decides */
	{"pend to port 22 remember 1h; block time 08:00-09:00", NULL, 0},
	/* that may match are not */
	{"block from port 1-99; pend to port 22 remember 1h", "from port", 0},
	{"block from port !1-99; pend to port 22 remember 1h", "from port", 0},
	{"block mark 1; pend to port 22 remember 1h", "mark", 0},
	{"block proto tcp tcp-flags syn; pend to port 22 remember 1h", "tcp-flags", 0},
	{"block time 08:00-09:00; pend to port 22 remember 1h", "time", 0},
	{"block day mon; pend to port 22 remember 1h", "day", 0},
	{"block until 20:00; pend to port 22 remember 1h", "until", 0},
	{"block user root; pend to port 22 remember 1h", "user", 0},
	{"block unit ssh.service; pend to port 22 remember 1h", "unit", 0},
	{"inspect; pend to port 22 remember 1h", "inspect", 0},
	{"permit rate 5/second; pend to port 22 remember 1h", "rate or quota", 0},
	{"permit quota 5 per source; pend to port 22 remember 1h", "rate or quota", 0},
	{"pend to port 22 remember 1h log", "log", 0},
	{"pend to port 22 remember 1h counter c", "counter", 0},
	{"pend to port 22 time 08:00-09:00 remember 1h", "time", 0},
	{"permit counter c to port 23; permit log from 192.0.2.8; pend to port 22 remember 1h",
	 NULL, 2},
};

START_TEST(rules)
{
	struct classify_else_at at;
	struct classify_result r;
	char text[512];
	struct loaded l;

	snprintf(text, sizeof(text), "settings { country-database \"/geo\" } layer a { %s }",
		 cases[_i].rules);
	l = load(text);
	if (cases[_i].why) {
		ck_assert_msg(!classify_by_key(l.c, ifaces(), &ssh, &r, &at), "%s", text);
		ck_assert_str_eq(classify_else_name(at.what), cases[_i].why);
		ck_assert_uint_eq(at.rule, cases[_i].rule);
	} else {
		ck_assert_msg(classify_by_key(l.c, ifaces(), &ssh, &r, &at), "%s: %s of rule %u",
			      text, classify_else_name(at.what), at.rule);
		ck_assert_uint_eq(r.rule, cases[_i].rule);
		ck_assert_uint_eq(r.remember_ns, 3600ull * 1000000000);
	}
	unload(&l);
}
END_TEST

/* A milder layer may say what it wants; one that may be more restrictive may not depend on anything. */
START_TEST(layers)
{
	struct classify_else_at at;
	struct classify_result r;
	struct loaded l;

	l = load("layer a { weight 9; block from 192.0.2.9; default permit log }\n"
		 "layer b { pend to port 22 remember 1h }");
	ck_assert(classify_by_key(l.c, ifaces(), &ssh, &r, &at));
	ck_assert_uint_eq(r.action, CLASSIFY_PEND);
	unload(&l);
	l = load(
		"layer a { pend to port 22 remember 1h }\nlayer b { block day mon; default permit }");
	ck_assert(!classify_by_key(l.c, ifaces(), &ssh, &r, &at));
	ck_assert_str_eq(classify_else_name(at.what), "day");
	unload(&l);
	l = load(
		"layer a { weight 9; block to port 22 }\nlayer b { block day mon; default permit }");
	ck_assert(classify_by_key(l.c, ifaces(), &ssh, &r, &at));
	ck_assert_uint_eq(r.action, CLASSIFY_BLOCK);
	unload(&l);
	l = load("layer a { permit to port 23 }");
	ck_assert(classify_by_key(l.c, ifaces(), &ssh, &r, &at));
	ck_assert_uint_eq(r.rule, CLASSIFY_NO_RULE);
	unload(&l);
	/* Two that ask are two answers (R18); a block needs none. */
	l = load("layer a { weight 9; pend remember 1h }\nlayer b { permit }\n"
		 "layer c { pend to port 22 remember 1h }\nlayer d { default permit }");
	ck_assert(!classify_by_key(l.c, ifaces(), &ssh, &r, &at));
	ck_assert_str_eq(classify_else_name(at.what), "pend of another layer");
	ck_assert_uint_eq(at.rule, 2);
	unload(&l);
	l = load("layer a { pend remember 1h }\nlayer b { pend remember 1h }\nlayer c { block }");
	ck_assert(classify_by_key(l.c, ifaces(), &ssh, &r, &at));
	ck_assert_uint_eq(r.action, CLASSIFY_BLOCK);
	unload(&l);
}
END_TEST

START_TEST(others)
{
	struct pend_values v = ssh;
	struct classify_else_at at;
	struct classify_result r;
	struct loaded l = load("layer a { pend remember 1h }");

	v.hook = 2;
	ck_assert(!classify_by_key(l.c, ifaces(), &v, &r, &at));
	ck_assert_uint_eq(at.what, CLASSIFY_ELSE_INPUT);
	v.hook = 1;
	v.has_ports = false;
	ck_assert(!classify_by_key(l.c, ifaces(), &v, &r, &at));
	ck_assert_uint_eq(at.rule, CLASSIFY_NO_RULE);
	ck_assert_ptr_null(classify_else_name(200));
	unload(&l);
}
END_TEST

Suite *suite(void)
{
	Suite *s = suite_create("classify_key");
	TCase *t = tcase_create("classify_key");

	tcase_set_timeout(t, 120);
	tcase_add_test(t, random_policies);
	tcase_add_loop_test(t, rules, 0, sizeof(cases) / sizeof(*cases));
	tcase_add_test(t, layers);
	tcase_add_test(t, others);
	suite_add_tcase(s, t);
	return s;
}
