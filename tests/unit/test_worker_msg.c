/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a worker answers to the authority process, over the simulated kernel. */
#include "daemon/msg.h"
#include "core/policy.h"
#include "daemon/worker.h"
#include "tests/unit/engine_sim.h"
#include "unit.h"
#include "tests/unit/policy_help.h"
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct sim sim, *s;
static struct sim_callout c;
static struct worker w;
static struct msg in[256];
static unsigned ins;
static int other;

static void on_event(struct sim *sm, const struct pend_event *ev)
{
	(void)sm;
	worker_notify(&w, ev);
}

static void make_worker(void)
{
	int fds[2];

	s = &sim;
	sim_new(s);
	s->on_event = on_event;
	w = (struct worker){.number = 3, .engine = &s->e, .on_limit = PEND_ACTION_BLOCK};
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
	ck_assert_int_eq(chan_new(&w.chan, fds[0], sizeof(struct msg), MSG_PER_DATAGRAM,
				  WORKER_REPLY_ROOM + 128),
			 0);
	other = fds[1];
}

static void setup(void)
{
	make_worker();
	sim_callout(s, &c, 1, DO_PEND);
}

static void teardown(void)
{
	sim_end(s);
	chan_free(w.chan);
	close(other);
}

static void receive(void)
{
	ssize_t n;

	ins = 0;
	ck_assert_int_eq(chan_flush(w.chan), 0);
	while ((n = recv(other, &in[ins], sizeof(in) - ins * sizeof(*in), MSG_DONTWAIT)) > 0)
		ins += (unsigned)((size_t)n / sizeof(*in));
}

static struct msg make(enum msg_type type)
{
	return (struct msg){.version = MSG_VERSION, .type = (uint16_t)type, .seq = 42};
}

static const struct msg *ask(struct msg *m)
{
	worker_message(&w, m);
	receive();
	ck_assert(ins > 0);
	ck_assert_int_eq(in[ins - 1].worker, 3);
	ck_assert_int_eq(in[ins - 1].seq, 42);
	return &in[ins - 1];
}

static int complete(pend_context ctx, uint8_t verdict, uint8_t block)
{
	struct msg m = make(MSG_COMPLETE);
	const struct msg *r;

	m.u.complete.context = ctx;
	m.u.complete.verdict = verdict;
	m.u.complete.block = block;
	r = ask(&m);
	ck_assert_int_eq(r->type, MSG_DONE);
	return r->u.done.status;
}

START_TEST(complete_answers_with_the_status)
{
	uint32_t id = sim_syn(s, 4000, 1);

	ck_assert_int_eq(complete(c.ctx, PEND_VERDICT_PERMIT, 255), PEND_OK);
	ck_assert_int_eq(complete(c.ctx, PEND_VERDICT_PERMIT, 255), PEND_E_ALREADY);
	ck_assert_int_eq(complete(c.ctx + 1, PEND_VERDICT_PERMIT, 255), PEND_E_NOT_FOUND);
	ck_assert_int_eq(complete(c.ctx ^ 1ull << 56, PEND_VERDICT_PERMIT, 255),
			 PEND_E_ACCESS_DENIED);
	sim_round(s);
	ck_assert(sim_accepted(s, id));
	ck_assert_int_eq(w.bad_messages, 0);
}
END_TEST

/* Who asks for many wants to hear of what went wrong only. */
START_TEST(quiet_completion)
{
	struct msg m = make(MSG_COMPLETE);

	sim_syn(s, 4000, 1);
	m.u.complete.context = c.ctx;
	m.u.complete.verdict = PEND_VERDICT_PERMIT;
	m.u.complete.block = 255;
	m.u.complete.quiet = 1;
	receive();
	worker_message(&w, &m);
	receive();
	ck_assert_uint_eq(ins, 0);
	ck_assert_int_eq(ask(&m)->u.done.status, PEND_E_ALREADY);
}
END_TEST

START_TEST(block_as_the_rule_says_or_as_told)
{
	uint32_t id;

	c.opt.block = PEND_BLOCK_RESET;
	id = sim_syn(s, 4000, 1);
	ck_assert_int_eq(complete(c.ctx, PEND_VERDICT_BLOCK, 255), PEND_OK);
	ck_assert_int_eq(s->ledger[id - 1].verdict, ENGINE_RESET);
	id = sim_syn(s, 4001, 1);
	ck_assert_int_eq(complete(c.ctx, PEND_VERDICT_BLOCK, PEND_BLOCK_DROP), PEND_OK);
	ck_assert_int_eq(s->ledger[id - 1].verdict, ENGINE_DROP);
}
END_TEST

START_TEST(hostile_fields_are_refused_and_counted)
{
	struct msg m = make(MSG_LIST);

	sim_syn(s, 4000, 1);
	ck_assert_int_eq(complete(c.ctx, PEND_VERDICT_CONTINUE, 255), PEND_E_INVALID);
	ck_assert_int_eq(complete(c.ctx, 200, 255), PEND_E_INVALID);
	ck_assert_int_eq(complete(c.ctx, PEND_VERDICT_BLOCK, 3), PEND_E_INVALID);
	m.u.match.family = 5;
	ck_assert_int_eq(ask(&m)->u.done.status, PEND_E_INVALID);
	m.u.match.family = 4;
	m.u.match.prefix_len = 33;
	ck_assert_int_eq(ask(&m)->u.done.status, PEND_E_INVALID);
	m.u.match.family = 0;
	m.u.match.prefix_len = 1;
	ck_assert_int_eq(ask(&m)->u.done.status, PEND_E_INVALID);
	m = make(MSG_COMPLETE_MATCH);
	m.u.match.verdict = 9;
	ck_assert_int_eq(ask(&m)->u.done.status, PEND_E_INVALID);
	m = make((enum msg_type)99);
	ck_assert_int_eq(ask(&m)->u.done.status, PEND_E_INVALID);
	ck_assert_int_eq(w.bad_messages, 8);
	m.version = MSG_VERSION + 1; /* nothing of it can be trusted, its seq neither */
	worker_message(&w, &m);
	receive();
	ck_assert_int_eq(ins, 0);
	ck_assert_int_eq(w.bad_messages, 9);
	ck_assert_int_eq(sim_state(s, c.ctx), PEND_STATE_PENDED);
}
END_TEST

static struct msg_match any(void)
{
	return (struct msg_match){.authority = UINT16_MAX, .rule = UINT32_MAX, .block = 255};
}

START_TEST(list_pages_through_the_table)
{
	struct msg m = make(MSG_LIST);
	unsigned seen = 0, rounds = 0;

	for (unsigned i = 0; i < 100; i++)
		sim_syn(s, (uint16_t)(1000 + i), 1);
	m.u.match = any();
	do {
		const struct msg *r = ask(&m);

		ck_assert_int_eq(r->u.done.status, PEND_OK);
		ck_assert_int_eq(r->u.done.count, ins - 1);
		ck_assert(ins - 1 <= MSG_LIST_MAX);
		for (unsigned i = 0; i + 1 < ins; i++)
			ck_assert_int_eq(in[i].type, MSG_CONTEXT);
		seen += ins - 1;
		m.u.match.cursor = r->u.done.cursor;
	} while (m.u.match.cursor && rounds++ < 20);
	ck_assert_int_eq(seen, 100);
	m.u.match.cursor = UINT32_MAX;
	ck_assert_int_eq(ask(&m)->u.done.count, 0);
}
END_TEST

START_TEST(match_filters)
{
	struct sim_tuple t = {6, 5, 4000, 80};
	struct msg m = make(MSG_LIST);

	c.opt.tag = MSG_TAG(1, 2);
	c.opt.rule = 11;
	sim_syn(s, 4000, 1);
	c.opt.tag = MSG_TAG(1, 3);
	c.opt.rule = 12;
	sim_send(s, SIM_SYN, &t, 1);
	sim_udp(s, 4001, 1);
#define COUNT(field, value, expected)                                \
	do {                                                         \
		m.u.match = any();                                   \
		m.u.match.field = value;                             \
		ck_assert_int_eq(ask(&m)->u.done.count, (expected)); \
	} while (0)
	COUNT(protocol, 17, 1);
	COUNT(protocol, 6, 2);
	COUNT(dest_port, 80, 1);
	COUNT(authority, 2, 1);
	COUNT(authority, 3, 2);
	COUNT(rule, 12, 2);
	COUNT(rule, 99, 0);
	COUNT(family, 6, 1);
	m.u.match = any();
	m.u.match.family = 4;
	m.u.match.prefix_len = 8;
	m.u.match.source[0] = 10;
	ck_assert_int_eq(ask(&m)->u.done.count, 2);
	m.u.match.source[0] = 11;
	ck_assert_int_eq(ask(&m)->u.done.count, 0);
}
END_TEST

START_TEST(complete_match_decides_what_matches)
{
	struct msg m = make(MSG_COMPLETE_MATCH);

	for (unsigned i = 0; i < 40; i++)
		sim_syn(s, (uint16_t)(1000 + i), 1);
	sim_udp(s, 2000, 1);
	m.u.match = any();
	m.u.match.protocol = 6;
	m.u.match.verdict = PEND_VERDICT_PERMIT;
	m.u.match.reason = REASON_OPERATOR;
	ck_assert_int_eq(ask(&m)->u.done.count, 40);
	ck_assert_int_eq(in[ins - 1].u.done.cursor, 0);
	sim_round(s);
	ck_assert_int_eq(s->deliveries, 40);
	ck_assert_int_eq(sim_stats(s).pending, 1);
	ck_assert_int_eq(s->last[PEND_EVENT_COMPLETED].info.reason, REASON_OPERATOR);
}
END_TEST

/* ---- what is remembered ---- */

#define S UINT64_C(1000000000)

static struct snapshot snap;
static void *image;

/* Rule 0 remembers nothing by itself, rule 1 does. */
static void setup_rules(void)
{
	static const char text[] = "layer l {\n"
				   "pend proto tcp to port 1 complete buffer\n"
				   "pend proto tcp to port 2 remember 8h scope source\n"
				   "}\n";
	struct policy *p = parse_good(text);
	size_t size;

	setup();
	ck_assert_int_eq(policy_compile(p, &image, &size), 0);
	policy_free(p);
	ck_assert_int_eq(classify_attach(&snap.classifier, image, size), 0);
	snap.generation = 1;
	w.snapshot = &snap;
	ck_assert_int_eq(remembered_new(&w.remembered), 0);
	c.opt.tag = MSG_TAG(1, 0);
}

static void teardown_rules(void)
{
	classify_detach(snap.classifier);
	free(image);
	remembered_free(w.remembered);
	teardown();
}

static struct msg saying(pend_context ctx, uint64_t ns, uint8_t scope)
{
	struct msg m = make(MSG_COMPLETE);

	m.u.complete.context = ctx;
	m.u.complete.verdict = PEND_VERDICT_PERMIT;
	m.u.complete.block = 255;
	m.u.complete.reason = MSG_REASON(REASON_OPERATOR, 4711);
	m.u.complete.lasting = (struct msg_lasting){.ns = ns, .scope = scope};
	return m;
}

/* The decision that was told of, before the answer; NULL: none was. */
static const struct remembered_entry *told(void)
{
	const struct msg *m = ins > 1 ? &in[ins - 2] : NULL;

	if (!m || m->type != MSG_REMEMBERED)
		return NULL;
	ck_assert_int_eq(m->seq, 42);
	return &m->u.remembered.entry;
}

/* The policy has changed since they were pended: what rules and authorities are called is as it is now. */
START_TEST(of_an_earlier_policy)
{
	struct sim_tuple now_one = {4, 5, 4000, 2}, nobody = {4, 5, 4001, 22};
	struct msg m = make(MSG_LIST);
	pend_context ctx;

	c.opt.tag = MSG_TAG(0x7fff, 1); /* and these numbers mean something else today */
	c.opt.rule = 0;
	sim_send(s, SIM_SYN, &now_one, 1);
	ctx = c.ctx;
	sim_send(s, SIM_SYN, &nobody, 1);
	COUNT(rule, 0, 0);
	COUNT(rule, 1, 1);
	ck_assert_int_eq(in[0].u.info.rule, 1);
	ck_assert_uint_eq(in[0].u.info.tag, MSG_TAG(1, 0));
	COUNT(authority, 1, 0);
	COUNT(authority, 0, 1);
	COUNT(protocol, 6, 2); /* whom no rule would ask about is there, by its own numbers */
	ck_assert_uint_eq(in[1].u.info.tag, c.opt.tag);
	m = saying(ctx, 0, 0);
	ck_assert_uint_eq(ask(&m)->u.done.remembered, 1);
	ck_assert_int_eq(told()->k.scope, CLASSIFY_SCOPE_SOURCE); /* as rule 1 says */
	ck_assert_uint_eq(told()->k.rule, classify_rule_key(snap.classifier, 1));
	m = saying(c.ctx, 60 * S, 0);
	ck_assert_uint_eq(ask(&m)->u.done.remembered, 0); /* no rule would find it */
}
END_TEST

START_TEST(a_rule_or_a_person_says_for_how_long)
{
	static const struct {
		uint32_t rule;
		uint64_t ns;
		uint8_t scope;
		uint64_t lasts; /* s; 0: not at all */
		uint8_t for_whom;
	} cases[] = {
		{0, 0, 0, 0, 0},
		{0, 60 * S, 0, 60, CLASSIFY_SCOPE_SERVICE},
		{0, 60 * S, MSG_SCOPE(CLASSIFY_SCOPE_FLOW), 60, CLASSIFY_SCOPE_FLOW},
		{0, 0, MSG_SCOPE(CLASSIFY_SCOPE_SOURCE), 0, 0},
		{1, 0, 0, 8 * 3600, CLASSIFY_SCOPE_SOURCE},
		{1, 0, MSG_SCOPE(CLASSIFY_SCOPE_SERVICE), 8 * 3600, CLASSIFY_SCOPE_SERVICE},
		{1, 90 * S, 0, 90, CLASSIFY_SCOPE_SOURCE},
		{1, MSG_REMEMBER_NOT, 0, 0, 0},
	};

	for (unsigned release = 0; release < 2; release++)
		for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
			const struct remembered_entry *e;
			struct msg m;

			c.opt.release = release ? PEND_RELEASE_BUFFER : PEND_RELEASE_FLUSH;
			c.opt.rule = cases[i].rule;
			sim_syn(s, (uint16_t)(4000 + i + 100 * release), 1);
			m = saying(c.ctx, cases[i].ns, cases[i].scope);
			ck_assert_int_eq(ask(&m)->u.done.remembered, cases[i].lasts != 0);
			e = told();
			ck_assert_int_eq(e != NULL, cases[i].lasts != 0);
			sim_round(s);
			receive();
			ck_assert_int_eq(ins, 0); /* once is enough */
			if (!e)
				continue;
			ck_assert_uint_eq(e->v.until_ns - e->v.since_ns, cases[i].lasts * S);
			ck_assert_int_eq(e->k.scope, cases[i].for_whom);
			ck_assert_uint_eq(e->v.note, 4711);
			ck_assert_int_eq(e->v.reason, REASON_OPERATOR);
			ck_assert_uint_eq(e->k.rule,
					  classify_rule_key(snap.classifier, cases[i].rule));
		}
	ck_assert_int_eq(w.bad_messages, 0);
}
END_TEST

/* A rule that remembers, and an answer that says so: neither makes a deadline, an absence or an error hold for others. */
START_TEST(only_what_somebody_said_is_remembered)
{
	for (uint32_t code = REASON_NONE; code <= REASON_ERROR; code++)
		for (unsigned i = 0; i < 2; i++) {
			bool said = code == REASON_OPERATOR || code == REASON_AUTHORITY;
			struct msg m;

			c.opt.rule = 1;
			sim_syn(s, (uint16_t)(4000 + 2 * code + i), 1);
			m = saying(c.ctx, i ? 60 * S : 0, 0);
			m.u.complete.reason = MSG_REASON(code, 4711);
			ck_assert_int_eq(ask(&m)->u.done.remembered, said);
			ck_assert_int_eq(told() != NULL, said);
			sim_round(s);
			receive();
		}
}
END_TEST

START_TEST(what_is_remembered_decides_the_pended)
{
	struct msg m, all = make(MSG_APPLY);
	pend_context first;

	c.opt.rule = 1;
	sim_syn(s, 4000, 1);
	first = c.ctx;
	sim_syn(s, 4001, 1);
	sim_syn(s, 4002, 1);
	c.opt.rule = 0; /* another rule, and another policy: left alone */
	sim_syn(s, 4003, 1);
	c.opt.rule = 1;
	c.opt.tag = MSG_TAG(2, 0);
	sim_syn(s, 4004, 1);
	ck_assert_int_eq(ask(&all)->u.done.count, 0);
	m = saying(first, 0, 0);
	ck_assert_int_eq(ask(&m)->u.done.remembered, 1);
	ck_assert_int_eq(ask(&all)->u.done.count, 2);
	ck_assert_int_eq(in[ins - 1].u.done.cursor, 0);
	ck_assert_int_eq(ins, 1); /* and is not remembered anew */
	sim_round(s);
	ck_assert_int_eq(sim_stats(s).pending, 2);
	ck_assert_uint_eq(s->last[PEND_EVENT_COMPLETED].info.reason,
			  MSG_REASON(REASON_OPERATOR, 4711));
	ck_assert_uint_eq(atomic_load(&remembered_stats(w.remembered)->permits), 2);
	ck_assert_int_eq(ask(&all)->u.done.count, 0);
}
END_TEST

/* All that waits to be sent; *remembered: how many decisions it tells of. The last message. */
static struct msg drain(unsigned *remembered)
{
	struct msg last = {0}, got[MSG_PER_DATAGRAM];

	while (chan_pending(w.chan)) {
		ssize_t n;

		ck_assert_int_ge(chan_flush(w.chan), 0);
		while ((n = recv(other, got, sizeof(got), MSG_DONTWAIT)) > 0)
			for (size_t i = 0; i < (size_t)n / sizeof(*got); i++) {
				*remembered += got[i].type == MSG_REMEMBERED;
				last = got[i];
			}
	}
	return last;
}

/* A datagram of requests, each of which would fill what room there is. */
START_TEST(no_reply_is_lost_for_want_of_room)
{
	struct msg m = make(MSG_COMPLETE_MATCH), event = make(MSG_EVENT), last;
	unsigned decided = 0, told_of = 0, rounds = 0;

	c.opt.rule = 1;
	for (unsigned i = 0; i < 700; i++)
		sim_syn(s, (uint16_t)(1000 + i), 1);
	drain(&told_of);
	m.u.match = any();
	m.u.match.verdict = PEND_VERDICT_BLOCK;
	m.u.match.reason = MSG_REASON(REASON_OPERATOR, 4711);
	do {
		while (chan_room(w.chan) > 300)
			ck_assert_int_eq(chan_send(w.chan, &event), 0);
		for (unsigned i = 0; i < MSG_PER_DATAGRAM; i++)
			worker_message(&w, &m);
		last = drain(&told_of);
		ck_assert_int_eq(last.type, MSG_DONE);
		ck_assert_int_eq(last.u.done.status, PEND_OK);
		ck_assert(!last.u.done.cursor || last.u.done.cursor > m.u.match.cursor);
		m.u.match.cursor = last.u.done.cursor;
		decided = 700 - (unsigned)sim_stats(s).pending;
		ck_assert_uint_eq(told_of, decided);
	} while (m.u.match.cursor && rounds++ < 1000);
	ck_assert_uint_gt(rounds, 0);
	ck_assert_uint_eq(decided, 700);
	ck_assert_uint_eq(w.events_dropped, 0);
}
END_TEST

START_TEST(a_fence_is_answered_and_nonsense_is_not_remembered)
{
	struct msg m = make(MSG_FENCE);

	ck_assert_int_eq(ask(&m)->type, MSG_DONE);
	sim_syn(s, 4000, 1);
	m = saying(c.ctx, S - 1, 0);
	ck_assert_int_eq(ask(&m)->u.done.status, PEND_E_INVALID);
	m = saying(c.ctx, CLASSIFY_REMEMBER_MAX + 1, 0);
	ck_assert_int_eq(ask(&m)->u.done.status, PEND_E_INVALID);
	m = saying(c.ctx, S, MSG_SCOPE(3));
	ck_assert_int_eq(ask(&m)->u.done.status, PEND_E_INVALID);
	c.opt.rule = 7; /* there is no such rule */
	sim_syn(s, 4001, 1);
	m = saying(c.ctx, S, 0);
	ck_assert_int_eq(ask(&m)->u.done.status, PEND_OK);
	ck_assert_int_eq(in[ins - 1].u.done.remembered, 0);
	ck_assert_int_eq(sim_state(s, c.ctx) == PEND_STATE_PENDED, false);
}
END_TEST

START_TEST(only_subscribed_events_are_sent)
{
	struct msg m = make(MSG_SUBSCRIBE);

	sim_syn(s, 4000, 1);
	receive();
	ck_assert_int_eq(ins, 0);
	m.u.subscribe.events = 1u << PEND_EVENT_PENDED;
	worker_message(&w, &m);
	sim_syn(s, 4001, 1);
	pend_complete(&s->e, c.ctx, PEND_VERDICT_BLOCK, 0);
	receive();
	ck_assert_int_eq(ins, 1);
	ck_assert_int_eq(in[0].type, MSG_EVENT);
	ck_assert_int_eq(in[0].u.event.type, PEND_EVENT_PENDED);
	ck_assert_int_eq(w.answers, 1);
}
END_TEST

START_TEST(a_full_backlog_drops_events_and_counts)
{
	struct msg m = make(MSG_SUBSCRIBE);

	m.u.subscribe.events = UINT32_MAX;
	worker_message(&w, &m);
	for (unsigned i = 0; i < 300; i++)
		sim_syn(s, (uint16_t)(1000 + i), 1);
	ck_assert_int_eq(w.events_dropped, 300 - 128);
	receive();
	m = make(MSG_STATS);
	ck_assert_int_eq(ask(&m)->type, MSG_WORKER_STATS);
	ck_assert_int_eq(in[ins - 1].u.stats.events_dropped, 300 - 128);
	ck_assert_int_eq(in[ins - 1].u.stats.stats.pending, 300);
}
END_TEST

START_TEST(without_a_channel_nothing_breaks)
{
	struct msg m = make(MSG_STATS);
	struct chan *ch = w.chan;

	w.chan = NULL;
	w.subscribed = UINT32_MAX;
	sim_syn(s, 4000, 1);
	worker_message(&w, &m);
	ck_assert_int_eq(w.events_dropped, 2);
	w.chan = ch;
}
END_TEST

Suite *suite(void)
{
	Suite *su = suite_create("worker_msg");
	TCase *tc = tcase_create("messages");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, complete_answers_with_the_status);
	tcase_add_test(tc, quiet_completion);
	tcase_add_test(tc, block_as_the_rule_says_or_as_told);
	tcase_add_test(tc, hostile_fields_are_refused_and_counted);
	tcase_add_test(tc, list_pages_through_the_table);
	tcase_add_test(tc, match_filters);
	tcase_add_test(tc, complete_match_decides_what_matches);
	tcase_add_test(tc, only_subscribed_events_are_sent);
	tcase_add_test(tc, a_full_backlog_drops_events_and_counts);
	tcase_add_test(tc, without_a_channel_nothing_breaks);
	suite_add_tcase(su, tc);
	tc = tcase_create("remembered");
	tcase_add_checked_fixture(tc, setup_rules, teardown_rules);
	tcase_add_test(tc, of_an_earlier_policy);
	tcase_add_test(tc, a_rule_or_a_person_says_for_how_long);
	tcase_add_test(tc, only_what_somebody_said_is_remembered);
	tcase_add_test(tc, what_is_remembered_decides_the_pended);
	tcase_add_test(tc, no_reply_is_lost_for_want_of_room);
	tcase_add_test(tc, a_fence_is_answered_and_nonsense_is_not_remembered);
	suite_add_tcase(su, tc);
	return su;
}
