/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The policy as the engine's callouts, over the simulated kernel: layers that ask one after the other (R18). */
#include "daemon/decide.h"
#include "core/policy.h"
#include "daemon/msg.h"
#include "daemon/resolver.h"
#include "daemon/worker.h"
#include "io/loop.h"
#include "io/policyfile.h"
#include "tests/unit/engine_sim.h"
#include "unit.h"
#include "tests/unit/policy_help.h"
#include <netinet/in.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define S         UINT64_C(1000000000)
#define HOUR_NS   (3600 * S)
#define ASKED_MAX 64

static struct sim sim, *s;
static struct worker w;
static int other;
/* What was pended, in order: the rules and handles; the last is open, if any. */
static uint32_t asked[ASKED_MAX];
static unsigned n;
static pend_context ctx;
static struct pend_info over; /* of the last PEND_EVENT_ANSWERED */

static void on_event(struct sim *sm, const struct pend_event *ev)
{
	(void)sm;
	worker_notify(&w, ev);
	if (ev->type == PEND_EVENT_ANSWERED)
		over = ev->info;
	if (ev->type != PEND_EVENT_PENDED)
		return;
	ctx = ev->info.context;
	ck_assert_uint_lt(n, ASKED_MAX);
	asked[n++] = ev->info.rule;
}

static struct snapshot *snapshot_of(const char *text, uint32_t generation)
{
	struct policy *p = parse_good(text);
	struct snapshot *made = NULL;
	void *image = NULL;
	size_t size;
	int fd;

	ck_assert_int_eq(policy_compile(p, &image, &size), 0);
	policy_free(p);
	fd = policyfile_image_fd(image, size);
	free(image);
	ck_assert_int_eq(snapshot_from_fd(&made, fd, size, generation, 1), 0);
	close(fd);
	return made;
}

static void begin(const char *text)
{
	int fds[2];

	n = 0;
	s = &sim;
	sim_new(s);
	s->on_event = on_event;
	w = (struct worker){.engine = &s->e, .on_limit = PEND_ACTION_BLOCK};
	w.snapshot = snapshot_of(text, 1);
	ck_assert_int_eq(remembered_new(&w.remembered), 0);
	ck_assert_int_eq(worker_callouts(&w), PEND_OK);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
	ck_assert_int_eq(chan_new(&w.chan, fds[0], sizeof(struct msg), MSG_PER_DATAGRAM,
				  WORKER_REPLY_ROOM + 4096),
			 0);
	other = fds[1];
}

static void end(void)
{
	sim_end(s);
	chan_free(w.chan);
	close(other);
	remembered_free(w.remembered);
	listeners_free(w.listeners);
	snapshot_free(w.snapshot);
}

/* As an operator does, by message. */
static void say(uint8_t verdict, uint64_t remember_ns)
{
	struct msg m = {.version = MSG_VERSION, .type = MSG_COMPLETE};

	m.u.complete.context = ctx;
	m.u.complete.verdict = verdict;
	m.u.complete.block = 255;
	m.u.complete.reason = MSG_REASON(REASON_OPERATOR, 0);
	m.u.complete.lasting = (struct msg_lasting){.ns = remember_ns ? remember_ns
								      : MSG_REMEMBER_NOT};
	worker_message(&w, &m);
	sim_round(s);
}

static void permit(void)
{
	say(PEND_VERDICT_PERMIT, 0);
}

static void block(void)
{
	say(PEND_VERDICT_BLOCK, 0);
}

#define ASKED(...)                                                               \
	do {                                                                     \
		const uint32_t want_[] = {__VA_ARGS__};                          \
		ck_assert_uint_eq(n, sizeof(want_) / sizeof(*want_));            \
		for (unsigned i_ = 0; i_ < sizeof(want_) / sizeof(*want_); i_++) \
			ck_assert_uint_eq(asked[i_], want_[i_]);                 \
		n = 0;                                                           \
	} while (0)

static uint64_t hits(uint32_t rule)
{
	struct rule_count count;

	snapshot_count(w.snapshot, rule, &count);
	return count.hits;
}

static const char guarded[] =
	"layer guard { weight 9; pend timeout 8s complete buffer }\n"
	"layer services { pend timeout 5s on-timeout permit complete buffer with reset }\n";

START_TEST(one_after_the_other)
{
	struct pend_info i;
	pend_context first;
	uint32_t id;

	begin(guarded);
	id = sim_syn(s, 4000, 1);
	first = ctx;
	ASKED(0);
	permit();
	ASKED(1);
	ck_assert(ctx != first);
	ck_assert_uint_eq(over.context, first);
	ck_assert_uint_eq(over.rule, 0);
	/* All of it is the second rule's. */
	ck_assert_int_eq(pend_context_info(&s->e, ctx, &i), PEND_OK);
	ck_assert_uint_eq(i.deadline_ns, s->e.now.ns + 5 * S);
	ck_assert_uint_eq(i.on_timeout, PEND_VERDICT_PERMIT);
	ck_assert(sim_undecided(s, id));
	permit();
	ck_assert_uint_eq(n, 0);
	ck_assert(sim_accepted(s, id));
	ck_assert_uint_eq(sim_stats(s).pended, 1);
	ck_assert_uint_eq(hits(0), 1);
	ck_assert_uint_eq(hits(1), 1);
	end();
}
END_TEST

START_TEST(a_block_of_either_blocks)
{
	uint32_t id;

	begin(guarded);
	id = sim_syn(s, 4000, 1);
	block();
	ASKED(0);
	ck_assert(sim_dropped(s, id));
	id = sim_syn(s, 4001, 1);
	permit();
	block();
	ASKED(0, 1);
	ck_assert_int_eq(s->ledger[id - 1].verdict, ENGINE_RESET);
	end();
}
END_TEST

START_TEST(each_has_its_own_deadline)
{
	uint32_t id;

	begin(guarded);
	id = sim_syn(s, 4000, 1);
	sim_wait(s, 7900);
	permit();
	ASKED(0, 1);
	sim_wait(s, 4900);
	ck_assert(sim_undecided(s, id));
	sim_wait(s, 200);
	ck_assert(sim_accepted(s, id)); /* on-timeout permit */
	id = sim_syn(s, 4001, 1);
	sim_wait(s, 8100);
	ASKED(0);
	ck_assert(sim_dropped(s, id));
	end();
}
END_TEST

/* A deadline that permits is an answer like any other. */
START_TEST(a_deadline_passes_it_on)
{
	uint32_t id;

	begin("layer a { pend timeout 2s on-timeout permit complete buffer }\n"
	      "layer b { pend timeout 2s complete buffer }\n");
	id = sim_syn(s, 4000, 1);
	sim_wait(s, 2100);
	ASKED(0, 1);
	ck_assert(sim_undecided(s, id));
	sim_wait(s, 2100);
	ck_assert(sim_dropped(s, id));
	end();
}
END_TEST

START_TEST(each_is_remembered_by_its_own_rule)
{
	uint32_t id;

	begin(guarded);
	sim_syn(s, 4000, 1);
	say(PEND_VERDICT_PERMIT, HOUR_NS);
	permit();
	ASKED(0, 1);
	id = sim_syn(s, 4001, 1);
	ASKED(1);
	ck_assert(sim_undecided(s, id));
	say(PEND_VERDICT_PERMIT, HOUR_NS);
	ck_assert(sim_accepted(s, id));
	id = sim_syn(s, 4002, 1);
	sim_round(s);
	ck_assert_uint_eq(n, 0);
	ck_assert(sim_accepted(s, id));
	end();
}
END_TEST

START_TEST(the_second_one_is_remembered)
{
	uint32_t id;

	begin(guarded);
	sim_syn(s, 4000, 1);
	permit();
	say(PEND_VERDICT_PERMIT, HOUR_NS);
	ASKED(0, 1);
	id = sim_syn(s, 4001, 1);
	permit();
	ASKED(0);
	ck_assert(sim_accepted(s, id));
	end();
}
END_TEST

/* Nobody is asked in vain. */
START_TEST(a_remembered_block_behind_an_open_question)
{
	uint32_t id;

	begin(guarded);
	sim_syn(s, 4000, 1);
	permit();
	say(PEND_VERDICT_BLOCK, HOUR_NS);
	ASKED(0, 1);
	id = sim_syn(s, 4001, 1);
	ck_assert_uint_eq(n, 0);
	ck_assert_int_eq(s->ledger[id - 1].verdict, ENGINE_RESET);
	end();
}
END_TEST

/* What a rate says is said once, in the first pass, and holds for the connection. */
START_TEST(limits_are_asked_once)
{
	uint32_t id;

	begin("layer a { pend complete buffer }\n"
	      "layer b { permit rate 1/minute burst 1; pend complete buffer }\n");
	id = sim_syn(s, 4000, 1);
	permit();
	ASKED(0);
	ck_assert(sim_accepted(s, id));
	id = sim_syn(s, 4001, 1);
	sim_wait(s, 100);
	permit();
	ASKED(0, 2);
	ck_assert(sim_undecided(s, id));
	permit();
	ck_assert(sim_accepted(s, id));
	end();
}
END_TEST

START_TEST(limited_questions)
{
	uint32_t id;

	begin("layer a { pend timeout 5m complete buffer }\n"
	      "layer b { pend rate 1/minute burst 1 complete buffer; permit }\n");
	sim_syn(s, 4000, 1);
	permit();
	ASKED(0, 1);
	id = sim_syn(s, 4001, 1);
	sim_wait(s, 70000); /* there is one again, and it is not this one's */
	permit();
	ASKED(0);
	ck_assert(sim_accepted(s, id));
	end();
}
END_TEST

/* The layer that asked does so no more: the one behind it was not answered by that. */
START_TEST(the_hour_changes_meanwhile)
{
	uint32_t id;

	begin("layer night { weight 9; pend time 22:00-06:00 complete buffer }\n"
	      "layer services { pend complete buffer }\n");
	w.clock = WORKER_CLOCK(classify_clock(0, 359), 1000);
	id = sim_syn(s, 4000, 1);
	ASKED(0);
	w.clock = WORKER_CLOCK(classify_clock(0, 361), 1002);
	permit();
	ASKED(1);
	permit();
	ck_assert(sim_accepted(s, id));
	end();
}
END_TEST

START_TEST(the_policy_changes_meanwhile)
{
	struct snapshot *old;
	uint32_t id;

	begin(guarded);
	id = sim_syn(s, 4000, 1);
	ASKED(0);
	old = w.snapshot;
	w.snapshot = snapshot_of(
		"layer guard { weight 9; permit to port 1; pend complete buffer }\n"
		"layer more { weight 5; permit to port 2; pend complete buffer }\n"
		"layer services { pend complete buffer }\n",
		2);
	snapshot_free(old);
	permit();
	ASKED(3);
	permit();
	ASKED(4);
	permit();
	ck_assert(sim_accepted(s, id));
	/* One that blocks, blocks. */
	id = sim_syn(s, 4001, 1);
	permit();
	ASKED(1, 3);
	old = w.snapshot;
	w.snapshot = snapshot_of("layer guard { weight 9; pend complete buffer } layer z { block }",
				 3);
	snapshot_free(old);
	permit();
	ck_assert_uint_eq(n, 0);
	ck_assert(sim_dropped(s, id));
	end();
}
END_TEST

START_TEST(static_authorities)
{
	uint32_t id;

	begin("authority yes { type static; answer permit }\n"
	      "authority no { type static; answer block }\n"
	      "layer a { pend ask yes complete buffer }\n"
	      "layer b { pend to port 1-65535 complete buffer }\n"
	      "layer c { pend ask no complete buffer }\n");
	id = sim_syn(s, 4000, 1);
	ASKED(0, 1);
	ck_assert(sim_undecided(s, id));
	permit();
	ASKED(2);
	ck_assert(sim_dropped(s, id));
	end();
}
END_TEST

/* R40: more than the engine takes for no circle. Nothing passes unasked. */
START_TEST(so_many_and_no_more)
{
	char text[2048] = "";
	uint32_t id;

	for (unsigned layers = 9; layers <= 20; layers += layers == 9 ? 1 : 10) {
		*text = '\0';
		for (unsigned i = 0; i < layers; i++)
			sprintf(text + strlen(text),
				"layer l%u { pend timeout 1h complete buffer }\n", i);
		begin(text);
		id = sim_syn(s, 4000, 1);
		for (unsigned i = 0; i < 9; i++) {
			ck_assert_uint_eq(n, i + 1);
			ck_assert(sim_undecided(s, id));
			permit();
		}
		ck_assert(layers == 9 ? sim_accepted(s, id) : sim_dropped(s, id));
		ck_assert_uint_eq(sim_stats(s).loops, layers > 9);
		end();
	}
}
END_TEST

/* Far behind the one that asks: limits there are known to the tag only together. */
START_TEST(many_layers_that_do_not_ask)
{
	char text[4096] = "layer a { pend complete buffer }\n";
	uint32_t id;

	for (unsigned i = 0; i < 61; i++)
		sprintf(text + strlen(text), "layer l%u { default permit }\n", i);
	strcat(text,
	       "layer x { permit rate 1/minute burst 1; pend complete buffer }\nlayer z { pend complete buffer }\n");
	begin(text);
	for (unsigned i = 0; i < 2; i++) {
		id = sim_syn(s, (uint16_t)(4000 + i), 1);
		permit();
		while (sim_undecided(s, id))
			permit();
		ck_assert(sim_accepted(s, id));
		/* both are far, and one of them asked */
		ck_assert_uint_eq(n, 3);
		n = 0;
	}
	end();
}
END_TEST

START_TEST(drained)
{
	static const uint8_t verdicts[] = {PEND_VERDICT_PERMIT, PEND_VERDICT_BLOCK};
	uint32_t a, b;

	for (unsigned i = 0; i < 2; i++) {
		begin(guarded);
		a = sim_syn(s, 4000, 1);
		permit();
		b = sim_syn(s, 4001, 1);
		w.draining = true;
		w.drain_verdict = verdicts[i];
		pend_engine_drain(&s->e, (enum pend_verdict)verdicts[i], 0);
		sim_round(s);
		ASKED(0, 1, 0); /* nobody is asked any more */
		ck_assert(!sim_undecided(s, a) && sim_accepted(s, a) == !i);
		ck_assert(i ? sim_dropped(s, b) : sim_accepted(s, b));
		end();
	}
}
END_TEST

/* As greylists do: the first packet is blocked by its quota, and the next one goes on. */
static const char greylist[] = "layer l {\n"
			       "block proto tcp to port { 22, 23 } quota 1 per source in 1h;\n"
			       "pend proto tcp to port 22 complete buffer;\n"
			       "permit }\n";

START_TEST(who_got_past_a_quota_is_past_it)
{
	struct sim_tuple t = sim_peer(4001);
	uint32_t id;

	begin(greylist);
	ck_assert(sim_dropped(s, sim_syn(s, 4000, 1)));
	id = sim_syn(s, 4000, 1);
	ASKED(1);
	permit();
	ck_assert(sim_accepted(s, id));
	ck_assert_uint_eq(sim_stats(s).completion_blocked, 0);
	/* a live flow, by another policy that is the same */
	snapshot_free(w.snapshot);
	w.snapshot = snapshot_of(greylist, 2);
	t.dport = 23;
	for (unsigned i = 0; i < 2; i++) {
		uint8_t buf[256];
		struct engine_input in = {.data = buf, .hook = 1, .iif = 2};

		in.len = in.total = sim_make(buf, SIM_ACK, &t, 77, 0, 0);
		in.mark = mark_put(&s->e.marks, 0, mark_value_again(false));
		id = sim_input(s, &in);
		ck_assert_int_eq(s->ledger[id - 1].verdict, ENGINE_ACCEPT);
	}
	end();
}
END_TEST

/* Between two questions comes a policy with a greylist, which this connection was not asked about. */
START_TEST(limits_of_a_later_policy_do_not_ask)
{
	uint32_t id;

	begin(guarded);
	id = sim_syn(s, 4000, 1);
	snapshot_free(w.snapshot);
	w.snapshot = snapshot_of("layer guard { weight 9; pend timeout 8s complete buffer }\n"
				 "layer services {\n"
				 "block quota 1 per source in 1h;\n"
				 "pend complete buffer }\n",
				 2);
	permit();
	ASKED(0, 2);
	permit();
	ck_assert(sim_accepted(s, id));
	end();
}
END_TEST

/* Who was refused by the second question is let in by a policy that asks nobody. */
START_TEST(a_later_policy_permits)
{
	begin(guarded);
	sim_syn(s, 4000, 1);
	permit();
	block();
	ASKED(0, 1);
	ck_assert(!sim_accepted(s, sim_syn(s, 4000, 1)));
	snapshot_free(w.snapshot);
	w.snapshot = snapshot_of("layer l { permit }\n", 2);
	ck_assert_int_eq(pend_engine_policy_changed(&s->e, false), PEND_OK);
	ck_assert(sim_accepted(s, sim_syn(s, 4000, 1)));
	end();
	/* ... and by one that asks still it is not. */
	begin(guarded);
	sim_syn(s, 4000, 1);
	permit();
	block();
	ASKED(0, 1);
	ck_assert_int_eq(pend_engine_policy_changed(&s->e, false), PEND_OK);
	ck_assert(!sim_accepted(s, sim_syn(s, 4000, 1)));
	ck_assert_uint_eq(n, 0);
	end();
}
END_TEST

/* ---- who listens, with a resolver played here ---- */

static uint64_t cookie;
static uint16_t port;
static int service, resolver;

static void begin_listening(const char *text)
{
	struct sockaddr_in sa = {.sin_family = AF_INET};
	socklen_t len = sizeof(sa), size = sizeof(cookie);
	int pair[2];

	begin(text);
	service = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(service, (struct sockaddr *)&sa, sizeof(sa)), 0);
	ck_assert_int_eq(listen(service, 1), 0);
	ck_assert_int_eq(getsockname(service, (struct sockaddr *)&sa, &len), 0);
	ck_assert_int_eq(getsockopt(service, SOL_SOCKET, SO_COOKIE, &cookie, &size), 0);
	port = ntohs(sa.sin_port);
	ck_assert_int_eq(listeners_new(&w.listeners), 0);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	listeners_connect(w.listeners, pair[0]);
	resolver = pair[1];
}

static void end_listening(void)
{
	end();
	close(service);
	close(resolver);
}

static void resolve(uint64_t age_ns)
{
	struct resolver_answer a = {.seq = 1,
				    .cookie = cookie,
				    .at_ns = loop_clock().ns - age_ns,
				    .asked = LISTENER_EXECUTABLE,
				    .known = LISTENER_EXECUTABLE,
				    .executable = "/usr/sbin/sshd"};

	ck_assert_int_eq(send(resolver, &a, sizeof(a), 0), sizeof(a));
}

static uint32_t arrive(enum sim_kind kind, uint32_t mark)
{
	struct sim_tuple t = sim_peer(4000);
	uint8_t buf[256];
	struct engine_input in = {.data = buf, .hook = 1, .iif = 2, .mark = mark};

	t.dport = port;
	in.len = in.total = sim_make(buf, kind, &t, 1, 0, 0);
	return sim_input(s, &in);
}

static enum engine_verdict live_packet(void)
{
	uint32_t id = arrive(SIM_ACK, mark_put(&s->e.marks, 0, mark_value_again(false)));

	return s->ledger[id - 1].verdict;
}

/* A stamp would keep them until the policy changes again. */
START_TEST(a_live_flow_is_not_stamped_before_the_resolver_tells)
{
	static const char *const policy[] = {
		"layer l { block proto tcp executable \"/usr/bin/nc\"; permit }",
		"layer l { pend proto tcp executable \"/usr/bin/nc\" complete buffer; permit }"};

	for (unsigned i = 0; i < 2; i++) {
		begin_listening(policy[i]);
		ck_assert_int_eq(live_packet(), ENGINE_ACCEPT_ONCE);
		ck_assert_int_eq(live_packet(), ENGINE_ACCEPT_ONCE);
		resolve(0);
		ck_assert_int_eq(live_packet(), ENGINE_ACCEPT);
		end_listening();
	}
	begin_listening("layer l { block proto tcp executable \"/usr/sbin/\"; permit }");
	ck_assert_int_eq(live_packet(), ENGINE_ACCEPT_ONCE);
	resolve(0);
	ck_assert_int_eq(live_packet(), ENGINE_END);
	end_listening();
}
END_TEST

/* What somebody has permitted is not lost to a resolver that is late for the completion pass. */
START_TEST(a_permit_waits_for_the_resolver)
{
	uint32_t id;

	begin_listening("layer l {\n"
			"block proto tcp executable \"/usr/bin/nc\"\n"
			"pend timeout 8s remember 1h complete buffer }\n");
	resolve(LISTENERS_FRESH_NS - 200 * MONO_NS_PER_MS);
	id = arrive(SIM_SYN, 0);
	ASKED(1);
	nanosleep(&(struct timespec){.tv_nsec = 250000000}, NULL); /* that is old now */
	say(PEND_VERDICT_PERMIT, HOUR_NS);
	ck_assert(sim_undecided(s, id));
	ck_assert_uint_eq(remembered_stats(w.remembered)->kept, 1);
	resolve(0);
	sim_wait(s, 150);
	ck_assert(sim_accepted(s, id));
	ck_assert_uint_eq(n, 0);
	end_listening();
}
END_TEST

Suite *suite(void)
{
	Suite *su = suite_create("decide");
	TCase *t = tcase_create("layers");

	tcase_add_test(t, one_after_the_other);
	tcase_add_test(t, a_block_of_either_blocks);
	tcase_add_test(t, each_has_its_own_deadline);
	tcase_add_test(t, a_deadline_passes_it_on);
	tcase_add_test(t, each_is_remembered_by_its_own_rule);
	tcase_add_test(t, the_second_one_is_remembered);
	tcase_add_test(t, a_remembered_block_behind_an_open_question);
	tcase_add_test(t, limits_are_asked_once);
	tcase_add_test(t, limited_questions);
	tcase_add_test(t, the_hour_changes_meanwhile);
	tcase_add_test(t, the_policy_changes_meanwhile);
	tcase_add_test(t, static_authorities);
	tcase_add_test(t, so_many_and_no_more);
	tcase_add_test(t, many_layers_that_do_not_ask);
	tcase_add_test(t, drained);
	tcase_add_test(t, limits_of_a_later_policy_do_not_ask);
	tcase_add_test(t, a_later_policy_permits);
	tcase_add_test(t, who_got_past_a_quota_is_past_it);
	tcase_add_test(t, a_permit_waits_for_the_resolver);
	tcase_add_test(t, a_live_flow_is_not_stamped_before_the_resolver_tells);
	suite_add_tcase(su, t);
	return su;
}
