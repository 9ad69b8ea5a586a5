/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is not known of a live flow: its mark, some of its opener's flags, sometimes its interfaces (R32). */
#include "unit.h"
#include "core/flow.h"
#include "policy_loaded.h"

#define NONE CLASSIFY_NO_RULE

static struct pend_values live(const char *text)
{
	struct pend_values v;
	struct flow f;

	ck_assert_int_eq(flow_parse(text, &f), 0);
	flow_values(&f, &v);
	return v;
}

static struct classify_result decide(const char *rules, const struct pend_values *v,
				     const struct classify_context *now)
{
	struct classify_result r;
	struct loaded l;
	char text[400];

	snprintf(text, sizeof(text), strstr(rules, "layer") ? "%s" : "layer a { %s }", rules);
	l = load(text);
	classify_with(l.c, now, v, &r);
	unload(&l);
	return r;
}

static const struct {
	const char *rules;
	uint32_t rule;
	uint8_t action;
	bool unsure;
} cases[] = {
	/* what permits does not match, and every other does */
	{"permit proto tcp mark 0x10 to port 22; block", 1, CLASSIFY_BLOCK, true},
	{"permit mark !0x10; block", 1, CLASSIFY_BLOCK, true},
	{"permit mark 0x10; permit", 1, CLASSIFY_PERMIT, true},
	{"permit mark 0x10", NONE, CLASSIFY_BLOCK, true},
	{"block mark 0x10; permit", 0, CLASSIFY_BLOCK, true},
	{"block mark !0x10; permit", 0, CLASSIFY_BLOCK, true},
	{"pend mark 0x10; block", 0, CLASSIFY_PEND, true},
	{"inspect mark 0x10; block", 1, CLASSIFY_BLOCK, false},
	{"inspect mark 0x10; permit", 1, CLASSIFY_PERMIT, false},
	/* only where all else in the rule does */
	{"permit mark 0x10 to port 23; block", 1, CLASSIFY_BLOCK, false},
	{"permit mark 0x10 from 203.0.113.0/24; block", 1, CLASSIFY_BLOCK, false},
	{"block mark 0x10 proto udp; permit", 1, CLASSIFY_PERMIT, false},
	{"permit mark 0x10 reauthorize no; permit", 1, CLASSIFY_PERMIT, true},
	{"permit mark 0x10 reauthorize; block", 1, CLASSIFY_BLOCK, false},
	/* and before what decides */
	{"permit to port 22; block mark 0x10", 0, CLASSIFY_PERMIT, false},
	{"block to port 22; permit mark 0x10", 0, CLASSIFY_BLOCK, false},
	/* a mask of no bits */
	{"permit mark 0/0; block", 0, CLASSIFY_PERMIT, false},
	{"permit mark !0/0; block", 1, CLASSIFY_BLOCK, false},
	/* the flags that make a SYN are known, and decide */
	{"permit tcp-flags syn/syn,ack,rst,fin; block", 0, CLASSIFY_PERMIT, false},
	{"permit tcp-flags !syn/syn,ack; block", 1, CLASSIFY_BLOCK, false},
	{"permit tcp-flags ack/ack; block", 1, CLASSIFY_BLOCK, false},
	{"permit tcp-flags syn,ack,ece; block", 1, CLASSIFY_BLOCK, false},
	{"permit tcp-flags !ack,ece; block", 0, CLASSIFY_PERMIT, false},
	{"block tcp-flags fin,urg; permit", 1, CLASSIFY_PERMIT, false},
	{"permit tcp-flags none/rst,fin; block", 0, CLASSIFY_PERMIT, false},
	/* the others do not */
	{"permit tcp-flags syn,ece,cwr; block", 1, CLASSIFY_BLOCK, true},
	{"permit tcp-flags syn/syn,ece; block", 1, CLASSIFY_BLOCK, true},
	{"permit tcp-flags !ece; block", 1, CLASSIFY_BLOCK, true},
	{"block tcp-flags psh; permit", 0, CLASSIFY_BLOCK, true},
	{"block tcp-flags none/urg; permit", 0, CLASSIFY_BLOCK, true},
	{"permit tcp-flags ece mark 1; block", 1, CLASSIFY_BLOCK, true},
	{"permit tcp-flags ack,ece mark 1; block", 1, CLASSIFY_BLOCK, false},
	/* what is sure behind what perhaps blocks */
	{"block mark 0x10; block to port 22 with reset; permit", 1, CLASSIFY_BLOCK, false},
	{"block mark 0x10; block tcp-flags ece; pend to port 22; permit", 2, CLASSIFY_PEND, false},
	{"block mark 0x10; default block", 1, CLASSIFY_BLOCK, false},
	{"block mark 0x10", 0, CLASSIFY_BLOCK, false}, /* or nothing, which is the same */
	{"block mark 0x10; permit to port 23", 0, CLASSIFY_BLOCK, false},
	{"block mark 0x10; permit to port 22; block", 0, CLASSIFY_BLOCK, true},
	{"block mark 0x10; permit mark 0x20; block", 0, CLASSIFY_BLOCK, true},
	{"block mark 0x10; pend mark 0x20; block", 0, CLASSIFY_BLOCK, true},
	{"permit mark 0x10; block mark 0x20; block", 1, CLASSIFY_BLOCK, true},
	/* and in other layers */
	{"layer a { permit mark 1; block } layer b { block }", 2, CLASSIFY_BLOCK, false},
	{"layer a { block mark 1; permit } layer b { pend }", 2, CLASSIFY_PEND, false},
	{"layer a { block mark 1; permit } layer b { permit }", 0, CLASSIFY_BLOCK, true},
	{"layer a { block mark 1 } layer b { permit }", 0, CLASSIFY_BLOCK, true},
	{"layer a { block mark 1 } layer b { block mark 1 }", 0, CLASSIFY_BLOCK, false},
	{"layer a { permit mark 1 } layer b { permit }", 1, CLASSIFY_PERMIT, false},
	{"layer a { permit mark 1 } layer b { block }", 1, CLASSIFY_BLOCK, false},
	{"layer a { permit mark 1 } layer b { block to port 23 }", NONE, CLASSIFY_BLOCK, true},
	{"layer a { pend mark 1 } layer b { block mark 1 }", 1, CLASSIFY_BLOCK, true},
};

START_TEST(tcp)
{
	struct pend_values v = live("tcp 192.0.2.7:4000 > 192.0.2.1:22");
	struct classify_result r = decide(cases[_i].rules, &v, NULL);

	ck_assert(v.mark_unknown && v.tcp_flags == 0x02 && v.tcp_flags_unknown == 0xe8);
	ck_assert_msg(r.rule == cases[_i].rule, "rule %u", r.rule);
	ck_assert_uint_eq(r.action, cases[_i].action);
	ck_assert_int_eq(r.unsure, cases[_i].unsure);
}
END_TEST

/* The same rules with nothing unknown: some may be matched, and none is unsure. */
START_TEST(known)
{
	struct pend_values v = live("tcp 192.0.2.7:4000 > 192.0.2.1:22");

	v.mark_unknown = false;
	v.tcp_flags_unknown = 0;
	for (uint32_t mark = 0; mark < 0x30; mark += 8) {
		v.mark = mark;
		ck_assert(!decide(cases[_i].rules, &v, NULL).unsure);
	}
}
END_TEST

START_TEST(datagrams_have_no_flags)
{
	struct pend_values v = live("udp 192.0.2.7:4000 > 192.0.2.1:22");
	struct classify_result r = decide("permit tcp-flags ece; block", &v, NULL);

	ck_assert(v.mark_unknown && !v.tcp_flags && !v.tcp_flags_unknown);
	ck_assert(r.rule == 1 && !r.unsure);
	r = decide("permit mark 1; block", &v, NULL);
	ck_assert(r.rule == 1 && r.unsure);
}
END_TEST

/* Of a live flow between addresses that are on every link. */
static const struct {
	const char *rules;
	uint32_t rule;
	uint8_t action;
	bool unsure;
} places[] = {
	{"permit in lan0 to port 22; block", 1, CLASSIFY_BLOCK, true},
	{"permit in !lan0; block", 1, CLASSIFY_BLOCK, true},
	{"permit in lan*; block", 1, CLASSIFY_BLOCK, true},
	{"block in lan0; permit", 0, CLASSIFY_BLOCK, true},
	{"block in { lan0, wan0 }; block to port 22", 1, CLASSIFY_BLOCK, false},
	{"pend in lan0; block", 0, CLASSIFY_PEND, true},
	{"permit in lan0 to port 23; block", 1, CLASSIFY_BLOCK, false},
	{"permit in lan0 mark 1; block", 1, CLASSIFY_BLOCK, true},
	{"permit to port 22; block in lan0", 0, CLASSIFY_PERMIT, false},
	/* a packet of hook input has no other interface */
	{"permit hook forward out lan0; block", 1, CLASSIFY_BLOCK, false},
	{"layer a { permit in lan0; block } layer b { block }", 2, CLASSIFY_BLOCK, false},
	{"layer a { block in lan0; permit } layer b { permit }", 0, CLASSIFY_BLOCK, true},
};

START_TEST(with_interfaces)
{
	static const struct classify_ifaces ifaces = {
		.n = 2, .iface = {{.index = 2, .name = "lan0"}, {.index = 3, .name = "wan0"}}};
	struct classify_context now = {.ifaces = &ifaces, .interfaces_unknown = true};
	struct pend_values v = live("tcp [fe80::7]:4000 > [fe80::1]:22");
	struct classify_result r;

	v.hook = 1;
	r = decide(places[_i].rules, &v, &now);
	ck_assert_msg(r.rule == places[_i].rule, "rule %u", r.rule);
	ck_assert_uint_eq(r.action, places[_i].action);
	ck_assert_int_eq(r.unsure, places[_i].unsure);
	now.interfaces_unknown = false;
	v.mark_unknown = false;
	for (v.in_interface = 2; v.in_interface <= 4; v.in_interface++)
		ck_assert(!decide(places[_i].rules, &v, &now).unsure);
}
END_TEST

START_TEST(with_interfaces_of_a_forwarded_flow)
{
	const struct classify_context now = {.interfaces_unknown = true};
	struct pend_values v = live("tcp [fe80::7]:4000 > [fe80::1]:22");
	struct classify_result r;

	v.hook = 2;
	r = decide("permit hook forward out lan0; block", &v, &now);
	ck_assert(r.rule == 1 && r.unsure);
}
END_TEST

static unsigned asked;

static const struct classify_listener *ask(void *arg, const struct pend_values *v, unsigned need)
{
	(void)v;
	(void)need;
	asked++;
	return arg;
}

/* The dearest of the conditions is looked at last, and has to hold too. */
START_TEST(with_a_listener)
{
	struct classify_listener who = {.state = LISTENER_FOUND, .known = LISTENER_ALL, .uid = 33};
	struct classify_context now = {.listener = ask, .arg = &who};
	struct pend_values v = live("tcp 192.0.2.7:4000 > 192.0.2.1:22");
	struct classify_result r;

	asked = 0;
	r = decide("permit tcp-flags ack user 33; block", &v, &now);
	ck_assert(r.rule == 1 && !r.unsure && !asked);
	r = decide("permit mark 1 user 33; block", &v, &now);
	ck_assert(r.rule == 1 && r.unsure && asked == 1);
	r = decide("permit mark 1 user 34; block", &v, &now);
	ck_assert(r.rule == 1 && !r.unsure);
	who.state = LISTENER_UNKNOWN; /* it permits not for that either */
	r = decide("permit mark 1 user 33; block", &v, &now);
	ck_assert(r.rule == 1 && !r.unsure);
}
END_TEST

static unsigned visits;

static bool visit(void *arg, uint32_t rule)
{
	(void)arg;
	(void)rule;
	visits++;
	return false;
}

/* What does not match uses up nothing. */
START_TEST(with_a_limit)
{
	struct classify_context now = {.visit = visit};
	struct pend_values v = live("tcp 192.0.2.7:4000 > 192.0.2.1:22");
	struct classify_result r;

	visits = 0;
	r = decide("permit mark 1 rate 1/second; block", &v, &now);
	ck_assert(r.rule == 1 && r.unsure && !visits);
	r = decide("block mark 1 rate 1/second; permit", &v, &now);
	ck_assert(r.rule == 1 && !r.unsure && visits == 1);
}
END_TEST

Suite *suite(void)
{
	Suite *s = suite_create("classify_unknown");
	TCase *t = tcase_create("classify_unknown");

	tcase_add_loop_test(t, tcp, 0, sizeof(cases) / sizeof(*cases));
	tcase_add_loop_test(t, known, 0, sizeof(cases) / sizeof(*cases));
	tcase_add_test(t, datagrams_have_no_flags);
	tcase_add_loop_test(t, with_interfaces, 0, sizeof(places) / sizeof(*places));
	tcase_add_test(t, with_interfaces_of_a_forwarded_flow);
	tcase_add_test(t, with_a_listener);
	tcase_add_test(t, with_a_limit);
	suite_add_tcase(s, t);
	return s;
}
