/* SPDX-License-Identifier: GPL-2.0-or-later */
/* classify() against a reference over the syntax tree, and its rules one by one. */
#include "unit.h"
#include "daemon/sandbox.h" /* is it sanitized? */
#include "policy_random.h"
#include "policy_reference.h"
#include "policy_loaded.h"
#include <stddef.h>

static struct classify_ifaces *ifaces;

static void make_ifaces(void)
{
	static const struct classify_iface list[] = {
		{1, "lo"}, {2, "eth0"}, {3, "eth1"}, {4, "wlan0"}};

	ifaces = malloc(sizeof(*ifaces) + sizeof(list));
	ifaces->n = 4;
	memcpy(ifaces->iface, list, sizeof(list));
}

static void drop_ifaces(void)
{
	free(ifaces);
}

static bool same_result(const struct classify_result *r, const struct ref_result *want)
{
	const struct pol_rule *rule = want->rule;
	bool pend = rule->action == CLASSIFY_PEND; /* an answered one too */

	return r->action == want->action && r->pends == want->pends && r->block == rule->with &&
	       r->log == !!(rule->opts & POL_BIT(OPT_LOG)) &&
	       r->authority == (pend ? rule->authority->index : 0) &&
	       r->timeout_ns == (pend ? rule->timeout_ns : 0) &&
	       r->on_timeout == (pend ? rule->on_timeout : 0) &&
	       r->release == (pend ? rule->complete : 0) && r->mode == (pend ? rule->mode : 0) &&
	       r->remember_ns == rule->remember_ns && r->remember_scope == rule->remember_scope &&
	       r->remember_end == rule->remember_end;
}

/* The rules that visit() was called for; what it says depends on nothing but the rule. */
struct visits {
	uint32_t rule[64];
	unsigned n, salt;
	struct classify_listener listener, told;
	unsigned asked, needs; /* how often for the listener, and what rules need */
};

/* No more is known than was asked for: so `need` has to be right. */
static const struct classify_listener *listener(void *arg, const struct pend_values *v,
						unsigned need)
{
	struct visits *s = arg;

	(void)v;
	s->asked++;
	s->told = s->listener;
	s->told.known &= (uint8_t)need;
	s->needs |= need;
	return &s->told;
}

static bool visit(void *arg, uint32_t rule)
{
	struct visits *s = arg;

	if (s->n < 64)
		s->rule[s->n++] = rule;
	return (rule * 2654435761u ^ s->salt) >> 13 & 1;
}

static bool visited(const struct visits *s, uint32_t rule)
{
	unsigned i = 0;

	while (i < s->n && s->rule[i] != rule)
		i++;
	return i < s->n;
}

/* The reference asks every layer, the classifier none behind a block; in one they are the same. */
static bool same_visits(const struct policy *p, const struct visits *want, const struct visits *got)
{
	unsigned i;

	for (i = 0; i < got->n; i++)
		if (!visited(want, got->rule[i]))
			return false;
	return p->nlayers > 1 ? got->n <= want->n : got->n == want->n;
}

static void check_packet(const struct loaded *l, struct random_policy *rp, unsigned counts[5])
{
	struct visits seen[2] = {0};
	struct classify_context now;
	struct ref_result ref;
	const struct pol_rule *want;
	struct classify_result r;
	struct pend_values v;

	random_packet(rp, &v);
	random_context(rp, ifaces, &now);
	if (!rnd(rp, 4))
		now.answered = rnd(rp, 64);
	if (rnd(rp, 8))
		now.visit = visit;
	seen[0].salt = seen[1].salt = rnd(rp, 65536);
	random_listener(rp, &seen[0].listener);
	seen[1].listener = seen[0].listener;
	if (rnd(rp, 8))
		now.listener = listener;
	now.arg = &seen[0];
	ref = ref_classify(l->p, &now, &v);
	want = ref.rule;
	now.arg = &seen[1];
	classify_with(l->c, &now, &v, &r);
	/* Checked by hand: Check's own bookkeeping costs more than classify. */
	if (r.rule != ref_number(l->p, want) || r.unsure != ref.unsure ||
	    (want ? !same_result(&r, &ref) : r.action != CLASSIFY_BLOCK) ||
	    !same_visits(l->p, &seen[0], &seen[1]) || seen[1].asked > 1 ||
	    (seen[1].asked && !seen[0].asked) || seen[1].needs & ~classify_needs(l->c))
		ck_abort_msg("rule %u, not %u: family %u proto %u ports %u %u hook %u in %u out %u "
			     "mark %u icmp %u/%u addresses %u %u visits %u %u asked %u %u flags %x "
			     "unknown %u %x unsure %u of\n%s",
			     r.rule, ref_number(l->p, want), v.family, v.protocol, v.source_port,
			     v.dest_port, v.hook, v.in_interface, v.out_interface, v.mark,
			     v.icmp_type, v.icmp_code, v.source[v.family == 4 ? 3 : 15],
			     v.dest[v.family == 4 ? 3 : 15], seen[0].n, seen[1].n, seen[0].asked,
			     seen[1].asked, v.tcp_flags, v.mark_unknown, v.tcp_flags_unknown,
			     r.unsure, rp->text);
	counts[ref.action]++;
	counts[4] += ref.unsure;
}

START_TEST(random_policies)
{
	struct random_policy *rp = malloc(sizeof(*rp));
	/* Ten million decisions and more, where a decision takes a fraction of a microsecond. */
	bool slow = getenv("PEND_SLOW") || SANDBOX_OFF;
	unsigned i, j, counts[5] = {0}, policies = 3500, packets = slow ? 400 : 4400;

	if (getenv("POLICIES"))
		policies = (unsigned)atoi(getenv("POLICIES"));
	rp->state = unit_seed("classify");
	for (i = 0; i < policies; i++) {
		struct policy *p = NULL;
		struct policy_diag diag;
		struct loaded l;
		int err;

		random_policy(rp);
		/* Families may contradict: such a policy is refused, and there is another. */
		err = parse_text(rp->text, &p, &diag);
		policy_free(err ? NULL : p);
		ck_assert_msg(!err || strstr(diag.text, "can never match") ||
				      strstr(diag.text, "have no") || strstr(diag.text, "only "),
			      "%s%s", diag.text, rp->text);
		policy_diag_deinit(&diag);
		if (err)
			continue;
		l = load(rp->text);
		for (j = 0; j < packets; j++)
			check_packet(&l, rp, counts);
		unload(&l);
	}
	fprintf(stderr, "classify: default %u permit %u block %u pend %u, unsure %u\n", counts[0],
		counts[1], counts[2], counts[3], counts[4]);
	if (!slow && !getenv("POLICIES"))
		ck_assert_uint_gt(counts[0] + counts[1] + counts[2] + counts[3], 10000000);
	/* Every outcome was seen often: the worlds are small enough. */
	for (i = 0; i < 4; i++)
		ck_assert_uint_gt(counts[i], policies);
	ck_assert_uint_gt(counts[4], policies / 4);
	free(rp);
}
END_TEST

/* ---------------------------------------------------------------- one by one ---- */

static struct pend_values tcp_to(uint16_t port)
{
	return (struct pend_values){.family = 4,
				    .protocol = 6,
				    .has_ports = true,
				    .source = {192, 0, 2, 1},
				    .dest = {198, 51, 100, 1},
				    .source_port = 40000,
				    .dest_port = port,
				    .hook = 1,
				    .in_interface = 2};
}

static struct classify_result decide_at(const char *text, const struct pend_values *v,
					const struct classify_context *now)
{
	struct loaded l = load(text);
	struct classify_result r;

	classify_with(l.c, now, v, &r);
	unload(&l);
	return r;
}

static struct classify_result decide(const char *text, const struct pend_values *v)
{
	struct classify_context now = {.ifaces = ifaces};

	return decide_at(text, v, &now);
}

START_TEST(nothing_blocks)
{
	struct pend_values v = tcp_to(22);
	struct classify_result r = decide("", &v);

	ck_assert_uint_eq(r.action, CLASSIFY_BLOCK);
	ck_assert_uint_eq(r.rule, CLASSIFY_NO_RULE);
	r = decide("layer a { permit to port 23 }", &v);
	ck_assert_uint_eq(r.action, CLASSIFY_BLOCK);
	ck_assert_uint_eq(r.rule, CLASSIFY_NO_RULE);
}
END_TEST

START_TEST(first_match_wins)
{
	struct pend_values v = tcp_to(22);
	struct classify_result r = decide("layer a { permit to port 23; pend to port 22; block }",
					  &v);

	ck_assert_uint_eq(r.action, CLASSIFY_PEND);
	ck_assert_uint_eq(r.rule, 1);
}
END_TEST

START_TEST(layers_most_restrictive)
{
	struct pend_values v = tcp_to(22);

	ck_assert_uint_eq(decide("layer a { permit } layer b { pend } layer c { permit }", &v).rule,
			  1);
	ck_assert_uint_eq(decide("layer a { pend } layer b { block }", &v).rule, 1);
	ck_assert_uint_eq(decide("layer a { pend } layer b { weight 5; pend }", &v).rule, 1);
	ck_assert_uint_eq(decide("layer a { pend } layer b { pend }", &v).rule, 0);
	/* One without an opinion does not count. */
	ck_assert_uint_eq(decide("layer a { block to port 1 } layer b { permit }", &v).rule, 1);
	ck_assert_uint_eq(
		decide("layer a { default block; permit to port 1 } layer b { permit }", &v).rule,
		0);
}
END_TEST

/* R32: an unknown interface is empty, and empty matches equal. */
START_TEST(unknown_interface)
{
	struct pend_values v = tcp_to(22);

	ck_assert_uint_eq(decide("layer a { permit in eth0 }", &v).rule, 0);
	ck_assert_uint_eq(decide("layer a { permit in eth1 }", &v).rule, CLASSIFY_NO_RULE);
	v.in_interface = 0;
	ck_assert_uint_eq(decide("layer a { permit in eth1 }", &v).rule, 0);
	ck_assert_uint_eq(decide("layer a { permit in !eth1 }", &v).rule, CLASSIFY_NO_RULE);
	v.in_interface = 77; /* has no name yet */
	ck_assert_uint_eq(decide("layer a { permit in * }", &v).rule, CLASSIFY_NO_RULE);
	ck_assert_uint_eq(decide("layer a { permit in !eth1 }", &v).rule, 0);
	/* A packet to this host goes out nowhere: not empty, but none. */
	v.out_interface = 0;
	ck_assert_uint_eq(decide("layer a { permit out eth1 }", &v).rule, CLASSIFY_NO_RULE);
	ck_assert_uint_eq(decide("layer a { permit out !eth1 }", &v).rule, CLASSIFY_NO_RULE);
}
END_TEST

/* Negation of a port does not make a rule for packets that have none. */
START_TEST(ports_need_ports)
{
	struct pend_values v = tcp_to(0);

	v.protocol = 1;
	v.has_ports = false;
	ck_assert_uint_eq(decide("layer a { permit to port !22 }", &v).rule, CLASSIFY_NO_RULE);
	ck_assert_uint_eq(decide("layer a { permit to port 0-65535 }", &v).rule, CLASSIFY_NO_RULE);
	ck_assert_uint_eq(decide("layer a { permit icmp-type !8 }", &v).rule, 0);
}
END_TEST

START_TEST(tcp_flags)
{
	struct pend_values v = tcp_to(22);

	v.tcp_flags = 0x02;
	ck_assert_uint_eq(decide("layer a { permit tcp-flags syn/syn,ack }", &v).rule, 0);
	ck_assert_uint_eq(decide("layer a { permit tcp-flags syn,ack }", &v).rule,
			  CLASSIFY_NO_RULE);
	v.tcp_flags = 0x12;
	ck_assert_uint_eq(decide("layer a { permit tcp-flags syn/syn,ack }", &v).rule,
			  CLASSIFY_NO_RULE);
	ck_assert_uint_eq(decide("layer a { permit tcp-flags !syn/syn,ack }", &v).rule, 0);
	ck_assert_uint_eq(decide("layer a { permit tcp-flags syn }", &v).rule, 0);
	ck_assert_uint_eq(decide("layer a { permit tcp-flags none/rst,fin }", &v).rule, 0);
	v.protocol = 17; /* negated or not: it has none */
	ck_assert_uint_eq(decide("layer a { permit tcp-flags !syn/syn,ack }", &v).rule,
			  CLASSIFY_NO_RULE);
}
END_TEST

static bool matches_at(const char *conditions, uint32_t clock)
{
	struct pend_values v = tcp_to(22);
	struct classify_context now = {.clock = clock};
	char text[200];

	snprintf(text, sizeof(text), "layer a { permit %s }", conditions);
	return decide_at(text, &v, &now).rule == 0;
}

/* The start belongs to it, the end does not; a list over midnight; 24:00. */
START_TEST(time_and_day)
{
	ck_assert(!matches_at("time 08:00-18:00", classify_clock(0, 8 * 60 - 1)));
	ck_assert(matches_at("time 08:00-18:00", classify_clock(0, 8 * 60)));
	ck_assert(matches_at("time 08:00-18:00", classify_clock(0, 18 * 60 - 1)));
	ck_assert(!matches_at("time 08:00-18:00", classify_clock(0, 18 * 60)));
	ck_assert(matches_at("time 22:30-06:00", classify_clock(6, 23 * 60)));
	ck_assert(matches_at("time 22:30-06:00", classify_clock(6, 0)));
	ck_assert(!matches_at("time 22:30-06:00", classify_clock(6, 6 * 60)));
	ck_assert(matches_at("time !22:30-06:00", classify_clock(6, 6 * 60)));
	ck_assert(matches_at("time { 01:00-02:00, 23:00-24:00 }", classify_clock(6, 1439)));
	ck_assert(matches_at("time 23:00-00:00", classify_clock(6, 1439)));
	ck_assert(!matches_at("time 23:00-00:00", classify_clock(6, 0)));
	ck_assert(matches_at("day mon-fri", classify_clock(4, 0)));
	ck_assert(!matches_at("day mon-fri", classify_clock(5, 0)));
	ck_assert(matches_at("day sat-mon", classify_clock(0, 0)));
	ck_assert(!matches_at("day sat-mon", classify_clock(1, 0)));
	/* R32 */
	ck_assert(matches_at("time 08:00-18:00 day sun", 0));
	ck_assert(!matches_at("time !08:00-18:00", 0));
	ck_assert(!matches_at("day !sun", 0));
}
END_TEST

START_TEST(reauthorization)
{
	struct pend_values v = tcp_to(22);
	struct classify_context now = {.reauthorize = true, .reason = PEND_REASON_MID_STREAM};
	static const char fresh[] = "layer a { permit reauthorize no }",
			  again[] = "layer a { permit reauthorize }",
			  mid[] = "layer a { permit reauthorize reason { mid-stream } }",
			  other[] = "layer a { permit reauthorize reason !mid-stream }";

	ck_assert_uint_eq(decide_at(again, &v, &now).rule, 0);
	ck_assert_uint_eq(decide_at(mid, &v, &now).rule, 0);
	ck_assert_uint_eq(decide_at(other, &v, &now).rule, CLASSIFY_NO_RULE);
	ck_assert_uint_eq(decide_at(fresh, &v, &now).rule, CLASSIFY_NO_RULE);
	/* The completion pass is no re-authorization, but it has a reason. */
	now = (struct classify_context){.reason = PEND_REASON_CLASSIFY_COMPLETION};
	ck_assert_uint_eq(decide_at(again, &v, &now).rule, CLASSIFY_NO_RULE);
	ck_assert_uint_eq(decide_at(fresh, &v, &now).rule, 0);
	ck_assert_uint_eq(decide_at(other, &v, &now).rule, 0);
	now.reason = PEND_REASON_NONE;
	ck_assert_uint_eq(decide_at(other, &v, &now).rule, CLASSIFY_NO_RULE);
	ck_assert_uint_eq(decide_at(mid, &v, NULL).rule, CLASSIFY_NO_RULE);
}
END_TEST

START_TEST(inspect_goes_on)
{
	struct pend_values v = tcp_to(22);
	struct visits seen = {0};
	struct classify_context now = {.visit = visit, .arg = &seen};
	static const char text[] = "layer a { inspect to port 23; inspect; inspect to port 22\n"
				   "permit to port 22; inspect } layer b { inspect; default block }"
				   "layer c { inspect }";

	ck_assert_uint_eq(decide_at(text, &v, &now).rule, 6);
	ck_assert_uint_eq(seen.n, 3);
	ck_assert_uint_eq(seen.rule[0], 1);
	ck_assert_uint_eq(seen.rule[1], 2);
	ck_assert_uint_eq(seen.rule[2], 5);
	ck_assert_uint_eq(decide_at("layer a { inspect }", &v, NULL).rule, CLASSIFY_NO_RULE);
}
END_TEST

/* R18: what one layer asks is not answered by what another one's authority has said. */
START_TEST(layers_ask_one_after_the_other)
{
	struct pend_values v = tcp_to(22);
	struct classify_context now = {.answered = 0};
	static const char text[] = "layer a { pend to port 22 timeout 7s }\n"
				   "layer b { permit to port 22 }\n"
				   "layer c { weight 9; pend to port 22 timeout 8s }\n"
				   "layer d { pend to port 22 timeout 9s }\n"
				   "layer e { pend to port 23 }\n";
	static const struct {
		uint64_t answered, pends;
		uint32_t rule; /* of the file */
	} steps[] = {{0, 1 | 2 | 8, 2}, {1, 2 | 8, 0}, {1 | 2, 8, 3}, {1 | 8, 2, 0}, {2, 1 | 8, 2}};
	struct classify_result r;

	for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
		now.answered = steps[i].answered;
		r = decide_at(text, &v, &now);
		ck_assert_uint_eq(r.action, CLASSIFY_PEND);
		ck_assert_uint_eq(r.rule, steps[i].rule);
		ck_assert_uint_eq(r.pends, steps[i].pends);
	}
	now.answered = UINT64_MAX;
	r = decide_at(text, &v, &now);
	ck_assert_uint_eq(r.action, CLASSIFY_PERMIT);
	ck_assert_uint_eq(r.pends, 0);
	/* Nothing answers a block. */
	r = decide_at("layer a { pend } layer b { block to port 22 }", &v, &now);
	ck_assert_uint_eq(r.action, CLASSIFY_BLOCK);
	ck_assert_uint_eq(decide_at("layer a { pend }", &v, &now).action, CLASSIFY_PERMIT);
}
END_TEST

/* A rule that has nothing left is passed over, as if it did not match. */
START_TEST(limit_reached)
{
	struct pend_values v = tcp_to(22);
	struct visits seen = {0};
	struct classify_context now = {.visit = visit, .arg = &seen};
	static const char text[] = "layer a { permit rate 1/second; block quota 1 per source\n"
				   "permit to port 22 }";
	unsigned want;

	ck_assert_uint_eq(decide_at(text, &v, NULL).rule, 0);
	for (seen.salt = 0; seen.salt < 65536; seen.salt += 1021) {
		want = visit(&seen, 0) ? 0 : visit(&seen, 1) ? 1 : 2;
		seen.n = 0;
		ck_assert_uint_eq(decide_at(text, &v, &now).rule, want);
		ck_assert_uint_eq(seen.n, want ? 2 : 1);
	}
}
END_TEST

START_TEST(pend_defaults)
{
	struct pend_values v = tcp_to(22);
	struct classify_result r = decide("layer a { pend } settings { timeout 7s }", &v);
	struct loaded l;
	struct classify_authority a;

	ck_assert_uint_eq(r.timeout_ns, 7000000000);
	ck_assert_uint_eq(r.on_timeout, PEND_VERDICT_BLOCK);
	ck_assert_uint_eq(r.mode, PEND_MODE_AUTO);
	ck_assert_uint_eq(r.release, PEND_RELEASE_FLUSH);
	l = load(
		"layer a { pend ask x } authority x { type operator; timeout 9s; on-timeout permit }");
	classify(l.c, &v, &r);
	ck_assert_uint_eq(r.timeout_ns, 9000000000);
	ck_assert_uint_eq(r.on_timeout, PEND_VERDICT_PERMIT);
	ck_assert(classify_authority(l.c, r.authority, &a));
	ck_assert_str_eq(a.name, "x");
	ck_assert_uint_eq(classify_authorities(l.c), 2);
	unload(&l);
}
END_TEST

START_TEST(edges_of_addresses)
{
	struct pend_values v = tcp_to(22);

	memset(v.source, 0xff, 4);
	ck_assert_uint_eq(decide("layer a { permit from 255.255.255.255 }", &v).rule, 0);
	ck_assert_uint_eq(decide("layer a { permit from 0.0.0.0/0 }", &v).rule, 0);
	ck_assert_uint_eq(decide("layer a { permit from ::/0 }", &v).rule, CLASSIFY_NO_RULE);
	v.family = 6;
	memset(v.source, 0xff, 16);
	ck_assert_uint_eq(decide("layer a { permit from ::/0 }", &v).rule, 0);
	ck_assert_uint_eq(decide("layer a { permit from ffff:ffff:ffff:ffff:ffff:ffff:ffff:fff0-"
				 "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff }",
				 &v)
				  .rule,
			  0);
	ck_assert_uint_eq(decide("layer a { permit from !0.0.0.0/0 }", &v).rule, 0);
}
END_TEST

Suite *suite(void)
{
	Suite *s = suite_create("classify");
	TCase *t = tcase_create("classify");

	tcase_add_checked_fixture(t, make_ifaces, drop_ifaces);
	tcase_set_timeout(t, 300);
	tcase_add_test(t, random_policies);
	tcase_add_test(t, nothing_blocks);
	tcase_add_test(t, first_match_wins);
	tcase_add_test(t, layers_most_restrictive);
	tcase_add_test(t, unknown_interface);
	tcase_add_test(t, ports_need_ports);
	tcase_add_test(t, tcp_flags);
	tcase_add_test(t, time_and_day);
	tcase_add_test(t, reauthorization);
	tcase_add_test(t, inspect_goes_on);
	tcase_add_test(t, limit_reached);
	tcase_add_test(t, layers_ask_one_after_the_other);
	tcase_add_test(t, pend_defaults);
	tcase_add_test(t, edges_of_addresses);
	suite_add_tcase(s, t);
	return s;
}
