/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the main thread offers to the kernel, and when it takes it back. The hookup is a list here. */
#include "unit.h"
#include "policy_help.h"
#include "daemon/pendd.h"
#include <string.h>

#define S     UINT64_C(1000000000)
#define HOUR  (3600 * S)
#define LIST  70000u
#define OTHER 9 /* the last byte of another source */

/* ---- the hookup ---- */

static struct {
	struct pend_hook_decision list[LIST];
	unsigned n, undone, repaired, batches, largest;
	enum pend_status decide, undecide;
	bool can, repeat;
} kernel;

enum pend_status pend_hook_decide(struct pend_hook *h, const struct pend_hook_decision *d,
				  unsigned n)
{
	(void)h;
	ck_assert(n && n <= PEND_HOOK_DECISIONS_MAX);
	if (kernel.decide != PEND_OK)
		return kernel.decide;
	kernel.batches++;
	kernel.largest = n > kernel.largest ? n : kernel.largest;
	ck_assert_uint_le(kernel.n + n, LIST);
	memcpy(kernel.list + kernel.n, d, n * sizeof(*d));
	kernel.n += n;
	return PEND_OK;
}

enum pend_status pend_hook_undecide(struct pend_hook *h)
{
	(void)h;
	kernel.undone++;
	if (kernel.undecide == PEND_OK)
		kernel.n = 0;
	return kernel.undecide;
}

enum pend_status pend_hook_repair(struct pend_hook *h)
{
	(void)h;
	kernel.repaired++;
	kernel.n = 0;
	return PEND_OK;
}

enum pend_status pend_hook_decided(struct pend_hook *h, struct pend_hook_decided *out)
{
	(void)h;
	*out = (struct pend_hook_decided){7, 8};
	return PEND_OK;
}

bool pend_hook_can_decide(const struct pend_hook *h)
{
	(void)h;
	return kernel.can;
}

bool pend_hook_wants_repeat(const struct pend_hook *h)
{
	(void)h;
	return kernel.repeat;
}

const char *pend_hook_error(const struct pend_hook *h)
{
	(void)h;
	return "the hookup of a test";
}

/* ---- the main thread ---- */

static struct pendd d;
static struct snapshot snap;
static struct policy *policy;
static void *image;

static void load(const char *rules)
{
	char text[1000];
	size_t size;

	snprintf(text, sizeof(text), "layer a { %s }", rules);
	policy = parse_good(text);
	ck_assert_int_eq(policy_compile(policy, &image, &size), 0);
	ck_assert_int_eq(classify_attach(&snap.classifier, image, size), 0);
	d.snapshot = &snap;
	d.generation++;
}

static void unload(void)
{
	classify_detach(snap.classifier);
	free(image);
	policy_free(policy);
}

static void setup(void)
{
	memset(&d, 0, sizeof(d));
	memset(&kernel, 0, sizeof(kernel));
	kernel.can = true;
	d.settings.kernel_decisions = true;
	d.settings.queue_count = d.workers = 2;
	d.hook_installed = true;
	ck_assert_int_eq(loop_new(&d.loop), 0);
	ck_assert_int_eq(remembered_new(&d.remembered), 0);
	load("block from port 1-99 to port 23; pend with reset");
	ck_assert_int_eq(pendd_offers_init(&d), 0);
}

static void teardown(void)
{
	pendd_offers_free(&d);
	unload();
	remembered_free(d.remembered);
	loop_free(d.loop);
}

static struct offer tcp(uint8_t source, uint16_t port)
{
	return (struct offer){.k = {.source = {192, 0, 2, source},
				    .dest = {192, 0, 2, 1},
				    .in_interface = 2,
				    .dest_port = port,
				    .family = 4,
				    .protocol = 6}};
}

/* As an authority's answer about this connection, in a worker. */
static void said(const struct offer *o, uint8_t scope, uint8_t verdict, uint64_t ns)
{
	uint64_t now = loop_clock().ns;
	struct remembered_value v = {.until_ns = now + ns, .since_ns = now, .verdict = verdict};
	struct remembered_key k = remembered_key_of(
		classify_rule_key(snap.classifier, classify_rules(snap.classifier) - 1), scope,
		o->k.family, o->k.protocol, o->k.source, 4000, o->k.dest, o->k.dest_port);

	ck_assert(remembered_add(d.remembered, &k, &v, now));
}

static void hint(struct offer o, bool fresh)
{
	o.fresh = fresh;
	if (offers_push(&d.offers.ring[o.k.dest_port % 2], &o))
		pendd_offers_called(&d);
}

/* Until the main thread has nothing to do. */
static void rounds(void)
{
	for (unsigned i = 0; loop_timer_armed(&d.offers.timer); i++) {
		ck_assert_uint_lt(i, 10000);
		ck_assert_int_eq(loop_once(d.loop, mono_add(loop_clock(), S)), 0);
	}
}

static struct offer known(uint8_t source, uint16_t port)
{
	struct offer o = tcp(source, port);

	said(&o, CLASSIFY_SCOPE_SERVICE, PEND_VERDICT_PERMIT, HOUR);
	hint(o, false);
	rounds();
	return o;
}

static struct msg_offers status(void)
{
	struct msg_offers s;

	pendd_offers_status(&d, &s);
	return s;
}

/* ---- */

START_TEST(offered_once)
{
	struct offer o = known(7, 22), v6 = tcp(7, 22);
	const struct pend_hook_decision *k = kernel.list;

	ck_assert_uint_eq(kernel.n, 1);
	ck_assert(k->family == 4 && k->protocol == 6 && k->dest_port == 22 && k->in_interface == 2);
	ck_assert_int_eq(k->verdict, PEND_VERDICT_PERMIT);
	ck_assert_mem_eq(k->source, o.k.source, 16);
	ck_assert_mem_eq(k->dest, o.k.dest, 16);
	/* at most what is left, and hardly less */
	ck_assert(k->timeout_ms <= 3600 * 1000 - 100 && k->timeout_ms > 3600 * 1000 - 3000);
	for (unsigned i = 0; i < 20; i++)
		hint(o, false);
	rounds();
	ck_assert_uint_eq(kernel.n, 1);
	v6.k.family = 6;
	said(&v6, CLASSIFY_SCOPE_SOURCE, PEND_VERDICT_BLOCK, HOUR);
	hint(v6, true);
	rounds();
	ck_assert_uint_eq(kernel.n, 2);
	ck_assert_int_eq(kernel.list[1].verdict, PEND_VERDICT_BLOCK);
	ck_assert_int_eq(kernel.list[1].block, PEND_BLOCK_RESET);
	ck_assert_uint_eq(kernel.undone, 0);
	ck_assert_uint_eq(status().elements, 2);
	ck_assert(status().permits == 7 && status().blocks == 8 && status().offered == 2);
}
END_TEST

/* A hint is no more than that. */
START_TEST(not_by_the_hint_alone)
{
	struct offer o = tcp(7, 22), odd = tcp(7, 23);

	hint(o, true); /* nothing is remembered */
	said(&odd, CLASSIFY_SCOPE_SERVICE, PEND_VERDICT_PERMIT, HOUR);
	hint(odd, false); /* the source port decides too */
	said(&o, CLASSIFY_SCOPE_SERVICE, PEND_VERDICT_PERMIT, S / 2);
	hint(o, false); /* it is nearly over */
	rounds();
	ck_assert_uint_eq(kernel.n, 0);
	ck_assert_uint_eq(status().varies, 1);
	ck_assert_uint_eq(status().varies_rule, 0);
	ck_assert_str_eq(classify_else_name(status().varies_by), "from port");
	d.generation++; /* of a rule of another policy */
	ck_assert_uint_eq(status().varies_rule, CLASSIFY_NO_RULE);
	/* something is remembered of single flows of the rule */
	said(&o, CLASSIFY_SCOPE_FLOW, PEND_VERDICT_BLOCK, HOUR);
	said(&o, CLASSIFY_SCOPE_SERVICE, PEND_VERDICT_PERMIT, HOUR);
	hint(o, false);
	rounds();
	ck_assert_uint_eq(kernel.n, 0);
}
END_TEST

/* By the policy in force when it is offered, not when it was noted. */
START_TEST(as_it_is_now)
{
	struct offer o = tcp(7, 22);

	said(&o, CLASSIFY_SCOPE_SERVICE, PEND_VERDICT_PERMIT, HOUR);
	hint(o, false);
	unload();
	load("block from 192.0.2.7; block from port 1-99 to port 23; pend with reset");
	rounds();
	ck_assert_uint_eq(kernel.n, 0);
}
END_TEST

/* While workers go from one policy to the next, nothing is added: it might be by either. */
START_TEST(not_between_policies)
{
	d.changing = CHANGE_SETTLING;
	known(7, 22);
	ck_assert_uint_eq(kernel.n, 0);
	d.changing = CHANGE_NONE;
	known(7, 22);
	ck_assert_uint_eq(kernel.n, 1);
	d.hook_installed = false;
	known(7, 24);
	ck_assert_uint_eq(kernel.n, 1);
}
END_TEST

static bool has(const struct offer *o, uint8_t scope)
{
	struct remembered_key k = remembered_key_of(
		classify_rule_key(snap.classifier, classify_rules(snap.classifier) - 1), scope,
		o->k.family, o->k.protocol, o->k.source, 4000, o->k.dest, o->k.dest_port);

	return pendd_offers_has(&d, &k, loop_clock().ns);
}

/* Which decisions the kernel has connections of. */
START_TEST(told_of_decisions)
{
	struct offer o = known(7, 22), other = tcp(7, 80), another = tcp(OTHER, 22);

	ck_assert(has(&o, CLASSIFY_SCOPE_SERVICE));
	ck_assert(!has(&o, CLASSIFY_SCOPE_SOURCE));
	ck_assert(!has(&o, CLASSIFY_SCOPE_FLOW));
	ck_assert(!has(&other, CLASSIFY_SCOPE_SERVICE));
	ck_assert(!has(&another, CLASSIFY_SCOPE_SERVICE));
	said(&other, CLASSIFY_SCOPE_SOURCE, PEND_VERDICT_PERMIT, HOUR);
	hint(other, true);
	rounds();
	ck_assert(has(&other, CLASSIFY_SCOPE_SOURCE));
	ck_assert(has(&o, CLASSIFY_SCOPE_SERVICE));
	pendd_offers_flush(&d);
	ck_assert(!has(&o, CLASSIFY_SCOPE_SERVICE) && !has(&other, CLASSIFY_SCOPE_SOURCE));
}
END_TEST

START_TEST(taken_back)
{
	struct classify_ifaces none = {.n = 0};

	pendd_offers_flush(&d); /* nothing is there: nothing to do */
	ck_assert_uint_eq(kernel.undone, 0);
	known(7, 22);
	pendd_offers_flush(&d);
	ck_assert_uint_eq(kernel.n, 0);
	known(7, 22); /* and comes back */
	ck_assert_uint_eq(kernel.n, 1);
	pendd_offers_ifaces(&d, &none);
	ck_assert_uint_eq(kernel.n, 0);
	known(7, 22);
	pendd_offers_reset(&d); /* who made the rules anew has emptied the sets */
	kernel.n = 0;
	known(7, 22);
	ck_assert_uint_eq(kernel.n, 1);
	ck_assert_uint_eq(kernel.undone, 2);
	ck_assert_uint_eq(status().flushes, 2);
}
END_TEST

/* Another answer about the same, or a narrower one, or a shorter one. */
START_TEST(another_answer)
{
	struct offer wide = tcp(7, 22), other = tcp(OTHER, 22), third = tcp(OTHER, 80);

	said(&wide, CLASSIFY_SCOPE_SOURCE, PEND_VERDICT_PERMIT, HOUR);
	hint(wide, true);
	known(OTHER, 22);
	ck_assert_uint_eq(kernel.n, 2);
	/* about another of the source's services: what is there is as it was */
	said(&third, CLASSIFY_SCOPE_SERVICE, PEND_VERDICT_PERMIT, HOUR);
	hint(third, true);
	rounds();
	ck_assert_uint_eq(kernel.n, 3);
	ck_assert_uint_eq(kernel.undone, 0);
	/* narrower, and otherwise */
	said(&wide, CLASSIFY_SCOPE_SERVICE, PEND_VERDICT_BLOCK, HOUR);
	hint(wide, true);
	rounds();
	ck_assert_uint_eq(kernel.undone, 1);
	ck_assert_uint_eq(kernel.n, 1); /* that itself, and the others when they are used */
	ck_assert_int_eq(kernel.list[0].verdict, PEND_VERDICT_BLOCK);
	hint(other, false);
	rounds();
	ck_assert_uint_eq(kernel.n, 2);
	said(&other, CLASSIFY_SCOPE_SERVICE, PEND_VERDICT_PERMIT, HOUR / 2);
	hint(other, true);
	rounds();
	ck_assert_uint_eq(kernel.undone, 2);
	ck_assert_uint_eq(kernel.n, 1);
	ck_assert_uint_lt(kernel.list[0].timeout_ms, 1800 * 1000);
}
END_TEST

/* The same before the first of them has got to the kernel. */
START_TEST(another_answer_in_one_round)
{
	struct offer o = tcp(7, 22);

	said(&o, CLASSIFY_SCOPE_SERVICE, PEND_VERDICT_PERMIT, HOUR);
	hint(o, true);
	said(&o, CLASSIFY_SCOPE_SERVICE, PEND_VERDICT_BLOCK, HOUR);
	hint(o, true);
	rounds();
	ck_assert_uint_eq(kernel.n, 1);
	ck_assert_int_eq(kernel.list[0].verdict, PEND_VERDICT_BLOCK);
}
END_TEST

/* What was to be looked at is not known: all may be over. */
START_TEST(lost_ones)
{
	struct offer o = tcp(OTHER, 22);

	known(7, 22);
	for (unsigned i = 0; i < OFFERS_RING + 1; i++)
		hint(o, true);
	rounds();
	ck_assert_uint_eq(kernel.undone, 1);
	ck_assert_uint_eq(kernel.n, 0);
	ck_assert_uint_eq(status().missed, 1);
}
END_TEST

/* A source with very much in the kernel is not looked at piece by piece. */
START_TEST(too_many_to_look_at)
{
	struct offer o = tcp(7, 22);

	said(&o, CLASSIFY_SCOPE_SOURCE, PEND_VERDICT_PERMIT, HOUR);
	for (uint16_t port = 1000; port < 1000 + 1020; port++) {
		d.offers.round_ms = 0;
		hint(tcp(7, port), false);
		if (port % 100 == 0)
			rounds();
	}
	rounds();
	hint(tcp(OTHER, 22), true);
	rounds();
	ck_assert_uint_eq(kernel.n, 1020);
	hint(o, true); /* as before, each of them */
	rounds();
	ck_assert_uint_eq(kernel.undone, 0);
	for (uint16_t port = 3000; port < 3010; port++)
		hint(tcp(7, port), false);
	rounds();
	hint(o, true);
	rounds();
	ck_assert_uint_eq(kernel.undone, 1);
}
END_TEST

START_TEST(evicted)
{
	known(7, 22);
	pendd_offers_watch(&d);
	ck_assert_uint_eq(kernel.undone, 0);
	/* more than there is room for */
	for (uint32_t i = 0; i < 4 * REMEMBERED_MAX; i++) {
		struct offer o = tcp(7, 22);

		memcpy(o.k.source, &i, sizeof(i));
		said(&o, CLASSIFY_SCOPE_SERVICE, PEND_VERDICT_PERMIT, HOUR);
	}
	pendd_offers_watch(&d);
	ck_assert_uint_eq(kernel.undone, 1);
	ck_assert_uint_eq(kernel.n, 0);
}
END_TEST

START_TEST(slept)
{
	known(7, 22);
	d.offers.asleep_ns -= (int64_t)S; /* what had been slept before */
	pendd_offers_watch(&d);
	ck_assert_uint_eq(kernel.undone, 1);
	known(7, 22);
	pendd_offers_watch(&d);
	ck_assert_uint_eq(kernel.n, 1);
}
END_TEST

/* The kernel refuses: it is left alone for a while, and nothing is thought to be there. */
START_TEST(refused)
{
	kernel.decide = PEND_E_LIMIT;
	known(7, 22);
	ck_assert_uint_eq(status().failed, 1);
	ck_assert_uint_eq(status().elements, 0);
	kernel.decide = PEND_OK;
	known(7, 22);
	ck_assert_uint_eq(kernel.n, 0);
	d.offers.pause_until_ns = 0;
	known(7, 22);
	ck_assert_uint_eq(kernel.n, 1);
	/* ... and what is to go: the rules are made anew */
	kernel.undecide = PEND_E_SYSTEM;
	pendd_offers_flush(&d);
	ck_assert_uint_eq(kernel.repaired, 1);
	ck_assert_uint_eq(kernel.n, 0);
}
END_TEST

/* As many as there may be, in bounded batches; when it is full for long, what is in use may have the places. */
START_TEST(many)
{
	unsigned i, before;

	d.workers = 1; /* it gets all of a round */
	for (i = 0; i < OFFERS_MAX + 4000; i++) {
		struct offer o = tcp(7, 22);

		memcpy(o.k.source, &i, sizeof(i));
		d.offers.round_ms = 0; /* do not wait */
		said(&o, CLASSIFY_SCOPE_SERVICE, PEND_VERDICT_PERMIT, HOUR);
		hint(o, false);
		if (i % 250 == 249)
			rounds();
	}
	rounds();
	ck_assert_uint_le(kernel.n, OFFERS_MAX);
	ck_assert_uint_gt(kernel.n, OFFERS_MAX / 4 * 3);
	ck_assert_uint_le(kernel.largest, PEND_HOOK_DECISIONS_MAX);
	ck_assert_uint_eq(status().elements, kernel.n);
	ck_assert_uint_gt(status().full, 0);
	before = kernel.undone;
	d.offers.full_since_ns = loop_clock().ns - 61 * S;
	for (i = OFFERS_MAX + 4000; kernel.undone == before && i < OFFERS_MAX + 8000; i++) {
		struct offer o = tcp(7, 22);

		memcpy(o.k.source, &i, sizeof(i));
		d.offers.round_ms = 0;
		said(&o, CLASSIFY_SCOPE_SERVICE, PEND_VERDICT_PERMIT, HOUR);
		hint(o, false);
		rounds();
	}
	ck_assert_uint_eq(kernel.undone, before + 1);
	ck_assert_uint_lt(kernel.n, 10);
}
END_TEST

START_TEST(impossible)
{
	static const struct {
		bool setting, repeat, can;
		uint8_t hookup;
		enum msg_offers_state want;
	} t[] = {{false, false, true, PEND_HOOK_NFT, MSG_OFFERS_OFF},
		 {true, false, false, PEND_HOOK_NONE, MSG_OFFERS_NO_HOOKUP},
		 {true, true, false, PEND_HOOK_AUTO, MSG_OFFERS_IPTABLES},
		 {true, false, false, PEND_HOOK_NFT, MSG_OFFERS_NO_INPUT}};
	struct classify_ifaces none = {.n = 0};

	pendd_offers_free(&d);
	memset(&d.offers, 0, sizeof(d.offers));
	d.settings.kernel_decisions = t[_i].setting;
	d.settings.hookup = t[_i].hookup;
	kernel.repeat = t[_i].repeat;
	kernel.can = t[_i].can;
	ck_assert_int_eq(pendd_offers_init(&d), 0);
	ck_assert_int_eq(status().state, t[_i].want);
	ck_assert_ptr_null(d.offers.ring);
	/* and none of it does any harm */
	pendd_offers_called(&d);
	pendd_offers_flush(&d);
	pendd_offers_reset(&d);
	pendd_offers_watch(&d);
	pendd_offers_ifaces(&d, &none);
	ck_assert_uint_eq(kernel.undone, 0);
}
END_TEST

Suite *suite(void)
{
	Suite *s = suite_create("pendd_offers");
	TCase *t = tcase_create("pendd_offers");

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, offered_once);
	tcase_add_test(t, not_by_the_hint_alone);
	tcase_add_test(t, as_it_is_now);
	tcase_add_test(t, not_between_policies);
	tcase_add_test(t, told_of_decisions);
	tcase_add_test(t, taken_back);
	tcase_add_test(t, another_answer);
	tcase_add_test(t, another_answer_in_one_round);
	tcase_add_test(t, lost_ones);
	tcase_add_test(t, too_many_to_look_at);
	tcase_add_test(t, evicted);
	tcase_add_test(t, slept);
	tcase_add_test(t, refused);
	tcase_add_test(t, many);
	tcase_add_loop_test(t, impossible, 0, 4);
	suite_add_tcase(s, t);
	return s;
}
