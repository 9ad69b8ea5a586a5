/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What classify_trace() tells is what classify() does, and true of every layer and rule. */
#include "unit.h"
#include "policy_random.h"
#include "policy_reference.h"
#include "core/classify_trace.h"

struct loaded {
	struct policy *p;
	void *image;
	struct classifier *c;
};

static struct classify_ifaces *ifaces;

static void make_ifaces(void)
{
	static const struct classify_iface list[] = {{1, "lo"}, {2, "eth0"}, {3, "eth1"}};

	ifaces = malloc(sizeof(*ifaces) + sizeof(list));
	ifaces->n = 3;
	memcpy(ifaces->iface, list, sizeof(list));
}

static void drop_ifaces(void)
{
	free(ifaces);
}

/* NULL image: families contradict, and the policy is refused. */
static struct loaded load(const char *text)
{
	struct loaded l = {0};
	struct policy_diag diag;
	size_t size;

	if (parse_text(text, &l.p, &diag) == 0) {
		ck_assert_int_eq(policy_compile(l.p, &l.image, &size), 0);
		ck_assert_int_eq(classify_attach(&l.c, l.image, size), 0);
	}
	policy_diag_deinit(&diag);
	return l;
}

static void unload(struct loaded *l)
{
	classify_detach(l->c);
	free(l->image);
	policy_free(l->p);
}

/* Everything that was told. */
struct told {
	struct classify_trace layer[8], miss[CLASSIFY_TRACE_MISSES], inspect[CLASSIFY_TRACE_MISSES];
	unsigned layers, misses, inspects, wins;
	uint32_t winner, more;
};

static void tell(void *ctx, const struct classify_trace *s)
{
	struct told *t = ctx;

	switch (s->kind) {
	case CLASSIFY_TRACE_LAYER:
		ck_assert_uint_lt(t->layers, 8);
		ck_assert_uint_eq(s->layer, t->layers);
		t->layer[t->layers++] = *s;
		if (s->why == CLASSIFY_TRACE_WINS) {
			t->wins++;
			t->winner = s->rule;
		}
		return;
	case CLASSIFY_TRACE_INSPECT:
		ck_assert_uint_lt(t->inspects, CLASSIFY_TRACE_MISSES);
		t->inspect[t->inspects++] = *s;
		return;
	case CLASSIFY_TRACE_MISS:
		ck_assert_uint_lt(t->misses, CLASSIFY_TRACE_MISSES);
		t->miss[t->misses++] = *s;
		return;
	case CLASSIFY_TRACE_MORE:
		ck_assert_uint_eq(t->misses, CLASSIFY_TRACE_MISSES);
		ck_assert_uint_gt(s->count, 0);
		t->more = s->count;
		return;
	}
	ck_abort_msg("a step of kind %d", (int)s->kind);
}

static struct told trace(const struct loaded *l, const struct pend_values *v)
{
	struct told t = {.winner = CLASSIFY_NO_RULE};

	classify_trace(l->c, &(struct classify_context){.ifaces = ifaces}, v, tell, &t);
	return t;
}

static const struct pol_rule *numbered(const struct policy *p, uint32_t n)
{
	for (const struct pol_layer *l = p->layers; l; l = l->next)
		for (const struct pol_rule *r = l->rules; r; r = r->next)
			if (!n--)
				return r;
	return NULL;
}

static const struct pol_layer *named(const struct policy *p, const char *name)
{
	const struct pol_layer *l = p->layers;

	while (strcmp(l->name, name) != 0)
		l = l->next;
	return l;
}

static bool layers_are_true(const struct loaded *l, const struct pend_values *v,
			    const struct told *t)
{
	for (unsigned i = 0; i < t->layers; i++) {
		const struct classify_trace *s = &t->layer[i];
		struct ref_said said;
		const struct pol_rule *r = ref_layer(l->p, named(l->p, s->layer_name),
						     &(struct classify_context){.ifaces = ifaces},
						     v, &said);

		if (s->rule != ref_number(l->p, r) || (s->why == CLASSIFY_TRACE_NO_OPINION) != !r ||
		    (r && s->action != r->action) || (r && s->is_default != r->is_default))
			return false;
	}
	return t->layers == l->p->nlayers;
}

/* So that it is no miss; what speaks may be one behind it. */
static bool matches(const struct pol_rule *r, const struct classify_context *now,
		    const struct pend_values *v)
{
	enum ref_match m = ref_match(r, now, v);

	return m == REF_ALWAYS || (m == REF_PERHAPS && r->action != CLASSIFY_PERMIT);
}

static bool misses_are_true(const struct loaded *l, const struct pend_values *v,
			    const struct told *t)
{
	for (unsigned i = 0; i < t->misses; i++)
		if (!*t->miss[i].condition ||
		    matches(numbered(l->p, t->miss[i].rule),
			    &(struct classify_context){.ifaces = ifaces}, v))
			return false;
	return true;
}

/* Every rule of the winning layer that did not match before the one that speaks was told, or counted. */
static bool none_is_forgotten(const struct loaded *l, const struct pend_values *v,
			      const struct told *t)
{
	const struct classify_context now = {.ifaces = ifaces};
	const struct pol_rule *speaks = numbered(l->p, t->winner);
	unsigned n = 0;

	if (t->winner == CLASSIFY_NO_RULE)
		return true;
	for (const struct pol_rule *r = speaks->layer->rules; r; r = r->next) {
		if (r == speaks && !speaks->is_default)
			break;
		/* One that only inspects matches, and does not speak; nor does one that perhaps blocks. */
		n += !r->is_default && !matches(r, &now, v);
	}
	return t->misses + t->more == n;
}

START_TEST(random_policies)
{
	struct random_policy *rp = malloc(sizeof(*rp));
	unsigned policies = 1000, wins = 0, missed = 0;

	rp->state = unit_seed("classify_trace");
	for (unsigned i = 0; i < policies; i++) {
		struct loaded l;

		random_policy(rp);
		l = load(rp->text);
		for (unsigned k = 0; l.c && k < 200; k++) {
			struct classify_result r;
			struct pend_values v;
			struct told t;

			random_packet(rp, &v);
			classify_with(l.c, &(struct classify_context){.ifaces = ifaces}, &v, &r);
			t = trace(&l, &v);
			if (t.winner != r.rule || t.wins != (r.rule != CLASSIFY_NO_RULE) ||
			    !layers_are_true(&l, &v, &t) || !misses_are_true(&l, &v, &t) ||
			    !none_is_forgotten(&l, &v, &t))
				ck_abort_msg("rule %u, told %u of\n%s", r.rule, t.winner, rp->text);
			wins += t.wins;
			missed += t.misses;
		}
		unload(&l);
	}
	ck_assert_uint_gt(wins, policies);
	ck_assert_uint_gt(missed, policies);
	free(rp);
}
END_TEST

static struct pend_values ssh(void)
{
	return (struct pend_values){.family = 4,
				    .protocol = 6,
				    .has_ports = true,
				    .source = {203, 0, 113, 7},
				    .dest = {192, 0, 2, 1},
				    .source_port = 4000,
				    .dest_port = 22,
				    .hook = 1,
				    .in_interface = 2};
}

START_TEST(why_a_layer_does_not_win)
{
	struct loaded l = load("layer a { permit }\n"
			       "layer b { weight 9; pend to port 22 }\n"
			       "layer c { pend }\n"
			       "layer d { block to port 23 }\n"
			       "layer e { default permit; block to port 24 }\n");
	struct loaded m = load("layer a { block } layer b { pend } layer c { block }");
	struct pend_values v = ssh();
	struct told t = trace(&m, &v);

	ck_assert_int_eq(t.layer[0].why, CLASSIFY_TRACE_WINS);
	ck_assert_int_eq(t.layer[1].why, CLASSIFY_TRACE_MILDER);
	ck_assert_int_eq(t.layer[2].why, CLASSIFY_TRACE_LIGHTER);
	unload(&m);
	t = trace(&l, &v);
	ck_assert_uint_eq(t.layers, 5);
	ck_assert_str_eq(t.layer[0].layer_name, "b");
	ck_assert_int_eq(t.layer[0].why, CLASSIFY_TRACE_WINS);
	ck_assert_str_eq(t.layer[1].layer_name, "a");
	ck_assert_int_eq(t.layer[1].why, CLASSIFY_TRACE_MILDER);
	ck_assert_int_eq(t.layer[2].why, CLASSIFY_TRACE_ASKS_NEXT);
	ck_assert_int_eq(t.layer[3].why, CLASSIFY_TRACE_NO_OPINION);
	ck_assert(t.layer[4].is_default && t.layer[4].why == CLASSIFY_TRACE_MILDER);
	ck_assert_uint_eq(t.misses, 0);
	unload(&l);
}
END_TEST

START_TEST(rules_that_only_inspect)
{
	struct loaded l = load("layer a { weight 9\n inspect to port 23\n inspect proto tcp\n }\n"
			       "layer b { weight 8\n inspect\n permit to port 22\n inspect\n }\n"
			       "layer c { weight 7\n inspect\n default block\n }\n"
			       "layer d { inspect\n }\n");
	struct pend_values v = ssh();
	struct told t = trace(&l, &v);

	ck_assert_uint_eq(t.inspects, 3);
	ck_assert_uint_eq(t.inspect[0].rule, 1);
	ck_assert_str_eq(t.inspect[0].layer_name, "a");
	ck_assert_uint_eq(t.inspect[1].rule, 2);
	ck_assert_uint_eq(t.inspect[2].rule, 5);
	unload(&l);
}
END_TEST

START_TEST(rules_with_a_limit)
{
	struct loaded l = load("layer a { permit rate 1/hour\n block\n }\n"
			       "layer b { permit to port 22 quota 3 per source\n block\n }\n"
			       "layer c { permit rate 1/hour to port 23\n permit\n }\n");
	struct pend_values v = ssh();
	struct told t = trace(&l, &v);

	ck_assert_uint_eq(t.layers, 3);
	ck_assert(t.layer[0].limited);
	ck_assert(t.layer[1].limited);
	ck_assert(!t.layer[2].limited);
	unload(&l);
}
END_TEST

static const struct {
	const char *rule, *condition;
	bool negated, absent;
} conditions[] = {
	{"permit proto udp", "proto", false, false},
	{"permit family ipv6", "family", false, false},
	{"permit from 10.0.0.0/8", "from", false, false},
	{"permit from !203.0.113.0/24", "from", true, false},
	{"permit proto tcp from port 1", "from port", false, false},
	{"permit to 10.0.0.1", "to", false, false},
	{"permit to 192.0.2.1 port 23", "to port", false, false},
	{"permit in eth1", "in", false, false},
	{"permit in !eth0", "in", true, false},
	{"permit out eth1", "out", false, true},
	{"permit hook forward", "hook", false, false},
	{"permit mark 7", "mark", false, false},
	{"permit icmp-type echo-request", "icmp-type", false, true},
	{"permit country AA", "country", false, false},
};

START_TEST(the_condition_that_fails)
{
	struct pend_values v = ssh();
	struct loaded l;
	struct told t;
	char text[200];

	snprintf(text, sizeof(text),
		 "settings { country-database \"/geo\" } layer a { %s\n pend\n }\n",
		 conditions[_i].rule);
	l = load(text);
	ck_assert_ptr_nonnull(l.c);
	t = trace(&l, &v);
	ck_assert_uint_eq(t.winner, 1);
	ck_assert_uint_eq(t.misses, 1);
	ck_assert_uint_eq(t.miss[0].rule, 0);
	ck_assert_str_eq(t.miss[0].condition, conditions[_i].condition);
	ck_assert_int_eq(t.miss[0].negated, conditions[_i].negated);
	ck_assert_int_eq(t.miss[0].absent, conditions[_i].absent);
	unload(&l);
}
END_TEST

static struct classify_listener who;
static unsigned asked;

static const struct classify_listener *ask(void *arg, const struct pend_values *v, unsigned need)
{
	(void)arg;
	(void)v;
	(void)need;
	asked++;
	return &who;
}

static const struct {
	const char *rule, *condition; /* NULL: it matches */
	uint8_t state, known;
	bool negated, absent, unknown;
} of_listener[] = {
	{"permit user 5", "user", LISTENER_FOUND, 15, false, false, false},
	{"permit user !33", "user", LISTENER_FOUND, 15, true, false, false},
	{"permit user 33 group 5", "group", LISTENER_FOUND, 15, false, false, false},
	{"permit user 33 group 4 executable \"/x\"", "executable", LISTENER_FOUND, 15, false, false,
	 false},
	{"permit cgroup \"/x\"", "cgroup", LISTENER_FOUND, 15, false, false, false},
	{"permit executable \"/x\" unit !a.service", "unit", LISTENER_FOUND, 15, true, false,
	 false},
	{"permit user !33", "user", LISTENER_NONE, 0, true, true, false},
	{"permit user !5", "user", LISTENER_UNKNOWN, 0, true, false, true},
	{"permit user 33 group !5", "group", LISTENER_FOUND, LISTENER_USER, true, false, true},
	{"block user 5", NULL, LISTENER_UNKNOWN, 0, false, false, false},
	{"permit user 33 until 18:00", "until", LISTENER_FOUND, 15, false, false, false},
	{"permit user 33 until \"2026-12-24 18:00\"", "until", LISTENER_FOUND, 15, false, false,
	 false},
};

START_TEST(the_listener_that_fails)
{
	struct classify_context now = {.listener = ask,
				       .clock = classify_clock(0, 18 * 60),
				       .minute = fake_minute(NULL, 2027, 1, 1, 0, 0)};
	struct told t = {.winner = CLASSIFY_NO_RULE};
	struct pend_values v = ssh();
	struct loaded l;
	char text[200];

	who = (struct classify_listener){.state = of_listener[_i].state,
					 .known = of_listener[_i].known,
					 .uid = 33,
					 .gid = 4,
					 .executable = "/usr/bin/a",
					 .cgroup = "/system.slice/a.service"};
	asked = 0;
	snprintf(text, sizeof(text), "layer a { %s\n permit user 99\n pend\n }\n",
		 of_listener[_i].rule);
	l = load(text);
	classify_trace(l.c, &now, &v, tell, &t);
	ck_assert_uint_eq(asked, 1);
	if (of_listener[_i].condition) {
		ck_assert_uint_eq(t.winner, 2);
		ck_assert_uint_eq(t.miss[0].rule, 0);
		ck_assert_str_eq(t.miss[0].condition, of_listener[_i].condition);
		ck_assert_int_eq(t.miss[0].negated, of_listener[_i].negated);
		ck_assert_int_eq(t.miss[0].absent, of_listener[_i].absent);
		ck_assert_int_eq(t.miss[0].unknown, of_listener[_i].unknown);
	} else {
		ck_assert_uint_eq(t.winner, 0);
	}
	unload(&l);
}
END_TEST

START_TEST(many_misses_are_counted)
{
	char text[4096] = "layer a {\n";
	struct pend_values v = ssh();
	struct loaded l;
	struct told t;

	for (int i = 0; i < 100; i++)
		strcat(text, "permit to port 23\n");
	strcat(text, "}\n");
	l = load(text);
	t = trace(&l, &v);
	ck_assert_uint_eq(t.winner, CLASSIFY_NO_RULE);
	ck_assert_uint_eq(t.misses, CLASSIFY_TRACE_MISSES);
	ck_assert_uint_eq(t.more, 100 - CLASSIFY_TRACE_MISSES);
	unload(&l);
	/* no layer at all */
	l = load("");
	t = trace(&l, &v);
	ck_assert_uint_eq(t.layers + t.misses + t.more, 0);
	unload(&l);
}
END_TEST

Suite *suite(void)
{
	Suite *s = suite_create("classify_trace");
	TCase *t = tcase_create("classify_trace");

	tcase_add_checked_fixture(t, make_ifaces, drop_ifaces);
	tcase_set_timeout(t, 120);
	tcase_add_test(t, random_policies);
	tcase_add_test(t, why_a_layer_does_not_win);
	tcase_add_test(t, rules_that_only_inspect);
	tcase_add_test(t, rules_with_a_limit);
	tcase_add_loop_test(t, the_condition_that_fails, 0,
			    sizeof(conditions) / sizeof(conditions[0]));
	tcase_add_loop_test(t, the_listener_that_fails, 0,
			    sizeof(of_listener) / sizeof(of_listener[0]));
	tcase_add_test(t, many_misses_are_counted);
	suite_add_tcase(s, t);
	return s;
}
