/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The `metrics` command: everything that `status` counts, and the hits of every rule, as OpenMetrics
 * text (https://github.com/OpenObservability/OpenMetrics, version 1.0.0).
 *
 * It is made of the status itself, so that a counter added there is in here too: without a row in
 * the tables below it is of type unknown, and named after its place.
 */
#include "base/str.h"
#include "daemon/control_impl.h"
#include "daemon/control_json.h"
#include "daemon/ids.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kind { COUNTER, GAUGE, UNKNOWN };

struct metric {
	const char *section, *key; /* in the status */
	const char *name;          /* without "pend_" and without "_total" */
	enum kind kind;
	const char *help;
};

/* "worker" is what the engines count, and has that label. */
static const struct metric metrics[] = {
	{"worker", "packets", "packets", COUNTER, "Packets read from the queue"},
	{"worker", "permitted_direct", "permitted_direct", COUNTER,
	 "Packets permitted without a pend"},
	{"worker", "blocked_direct", "blocked_direct", COUNTER, "Packets blocked without a pend"},
	{"worker", "pended", "pended", COUNTER, "Connections pended"},
	{"worker", "pending", "pending", GAUGE, "Connections that wait for a decision"},
	{"worker", "pending_peak", "pending_peak", GAUGE, "The most that ever waited at once"},
	{"worker", "lingering", "lingering", GAUGE,
	 "Decided connections kept for their peers' retransmissions"},
	{"worker", "held", "held_packets", GAUGE, "Packets that wait in the kernel"},
	{"worker", "held_peak", "held_packets_peak", GAUGE,
	 "The most packets that ever waited in the kernel"},
	{"worker", "copied_bytes", "copied_bytes", GAUGE, "Packets that wait as copies"},
	{"worker", "memory", "memory_bytes", GAUGE,
	 "Address space reserved for contexts and copies"},
	{"worker", "retransmits", "retransmits", COUNTER, "Retransmissions that joined a context"},
	{"worker", "stamped_later", "stamped_later", COUNTER,
	 "Flows of datagrams that got their stamp behind their first packets"},
	{"worker", "late_copies", "late_copies", COUNTER,
	 "Copies of a decided attempt, answered from its context"},
	{"worker", "kernel_lost", "kernel_lost", COUNTER, "Held packets that the kernel dropped"},
	{"worker", "reattached", "reattached", COUNTER,
	 "Contexts that a retransmission revived after that"},
	{"worker", "verdicts", "verdicts", COUNTER, "Verdicts sent to the kernel"},
	{"worker", "verdict_errors", "verdict_errors", COUNTER, "Verdicts that the kernel refused"},
	{"worker", "malformed", "malformed_packets", COUNTER, "Packets that did not parse"},
	{"worker", "limit_contexts", "limit_contexts", COUNTER,
	 "Packets refused: too many contexts"},
	{"worker", "limit_source", "limit_source", COUNTER,
	 "Packets refused: too many contexts of their source"},
	{"worker", "limit_service", "limit_service", COUNTER,
	 "Packets refused: too many contexts of their service"},
	{"worker", "limit_bytes", "limit_bytes", COUNTER,
	 "Packets refused: no room for another copy"},
	{"worker", "limit_packets", "limit_packets", COUNTER,
	 "Packets refused: too many of one context"},
	{"worker", "watermark_drops", "watermark_drops", COUNTER,
	 "First packets that opened no context above the watermark"},
	{"worker", "pend_failed", "pend_failed", COUNTER, "Connections that could not be pended"},
	{"worker", "completion_blocked", "completion_blocked", COUNTER,
	 "Permits that the second classify refused"},
	{"worker", "dangling", "dangling", COUNTER,
	 "Contexts whose callout answered something else"},
	{"worker", "injected", "injected", COUNTER, "Copies of packets sent"},
	{"worker", "inject_failed", "inject_failed", COUNTER,
	 "Copies of packets that could not be sent"},
	{"worker", "answers_forged", "answers_forged", COUNTER, "Resets and ICMP errors sent"},
	{"worker", "established", "established", COUNTER, "Permitted connections that came about"},
	{"worker", "flow_closed", "flow_closed", COUNTER,
	 "Permitted connections that came to nothing"},
	{"worker", "reauthorized", "reauthorized_packets", COUNTER,
	 "Packets of live flows that were permitted before the policy changed"},
	{"worker", "reauth_ended", "reauth_ended_packets", COUNTER,
	 "Of these, packets that ended their flow"},
	{"worker", "socket_overruns", "socket_overruns", COUNTER, "Overruns of the queue's socket"},
	{"worker", "loops", "loops", COUNTER, "Contexts ended because they went in circles"},
	{"totals", "events_dropped", "events_dropped", COUNTER,
	 "Events that the workers could not send"},
	{"totals", "questions_refused", "questions_refused", COUNTER,
	 "Questions to authorities that could not be sent"},
	{"totals", "bad_messages", "bad_messages", COUNTER,
	 "Malformed messages of the authority process"},
	{"totals", "dispatches", "dispatches", COUNTER, "Rounds of the workers"},
	{"totals", "busy_polls", "busy_polls", COUNTER,
	 "Questions whose answer the workers polled for"},
	{"totals", "busy_poll_answers", "busy_poll_answers", COUNTER,
	 "Of these, questions that were answered meanwhile"},
	{"kernel", "queued", "kernel_queued_packets", GAUGE, "Packets in the kernel's queues"},
	{"kernel", "queue_dropped", "kernel_queue_dropped", COUNTER,
	 "Packets dropped because the kernel's queue was full"},
	{"kernel", "user_dropped", "kernel_user_dropped", COUNTER,
	 "Packets dropped because our socket was full"},
	{"kernel", "flushed", "kernel_flushed", COUNTER,
	 "Packets that vanished from the queues, estimated"},
	{"live_flows", "runs", "live_flows_runs", COUNTER,
	 "Times that live flows were authorized again"},
	{"live_flows", "examined", "live_flows_examined", COUNTER, "Live flows looked at"},
	{"live_flows", "ended", "live_flows_ended", COUNTER,
	 "Live flows ended by a change of policy"},
	{"live_flows", "failed", "live_flows_failed", COUNTER,
	 "Live flows that could not be ended"},
	{"listeners", "lookups", "listener_lookups", COUNTER,
	 "Packets and live flows whose rules asked who listens"},
	{"listeners", "cached", "listener_cached", COUNTER,
	 "Look-ups answered from what the resolver had told before"},
	{"listeners", "asked", "listener_asked", COUNTER, "Questions to the resolver"},
	{"listeners", "unknown", "listener_unknown", COUNTER,
	 "Look-ups that left something unknown"},
	{"listeners", "resolver_restarts", "resolver_restarts", COUNTER,
	 "Starts of the resolver but the first"},
	{"agents", "wanted", "agents_wanted", GAUGE,
	 "Authorities whose programs the daemon starts"},
	{"agents", "running", "agents_running", GAUGE, "Programs of authorities that run"},
	{"agents", "failing", "agents_failing", GAUGE,
	 "Programs of authorities that end again and again"},
	{"agents", "elsewhere", "agents_elsewhere", GAUGE,
	 "Authorities whose programs another service starts"},
	{"agents", "restarts", "agents_restarts", COUNTER,
	 "Programs of authorities that ended and were started again"},
	{"hookup", "repairs", "hookup_repairs", COUNTER, "Kernel rules put back"},
	{"kernel_decisions", "elements", "kernel_decisions", GAUGE,
	 "Connections whose like the kernel decides"},
	{"kernel_decisions", "kernel_permits", "kernel_permits", COUNTER,
	 "Connections that the kernel permitted by a decision"},
	{"kernel_decisions", "kernel_blocks", "kernel_blocks", COUNTER,
	 "Packets that the kernel blocked by a decision"},
	{"kernel_decisions", "offered", "kernel_decisions_offered", COUNTER,
	 "Decisions put into the kernel"},
	{"kernel_decisions", "varies", "kernel_decisions_varies", COUNTER,
	 "Decisions not offered to the kernel: they depend on something else too"},
	{"kernel_decisions", "full", "kernel_decisions_full", COUNTER,
	 "Decisions not offered to the kernel for want of room"},
	{"kernel_decisions", "missed", "kernel_decisions_missed", COUNTER,
	 "Decisions not offered to the kernel: too many at once"},
	{"kernel_decisions", "failed", "kernel_decisions_failed", COUNTER,
	 "Transactions with decisions that the kernel refused"},
	{"kernel_decisions", "flushes", "kernel_decisions_flushes", COUNTER,
	 "Times that all decisions were taken out of the kernel"},
	{"policy", "generation", "policy_generation", GAUGE, "Number of the policy in force"},
	{"policy", "limit_refused", "policy_limit_refused", COUNTER,
	 "Times that a rate or a quota of a rule had nothing left"},
	{"policy", "limit_forgotten", "policy_limit_forgotten", COUNTER,
	 "Sources that quotas forgot because their table was full"},
	{"policy", "rules", "policy_rules", GAUGE, "Rules of the policy in force"},
	{"policy", "authorities", "policy_authorities", GAUGE,
	 "Authorities of the policy in force"},
	{"", "uptime_s", "uptime_seconds", GAUGE, "Time since the daemon was started"},
	{"", "authority_restarts", "authority_restarts", COUNTER,
	 "Starts of the authority process but the first"},
	{"store", "queued", "store_queued", GAUGE, "Decisions and events that wait to be written"},
	{"store", "written", "store_written", COUNTER, "Decisions and events written"},
	{"store", "dropped", "store_dropped", COUNTER, "Events that were not written"},
	{"store", "lost", "store_lost", COUNTER, "Decisions above the queue's bound"},
	{"store", "errors", "store_errors", COUNTER, "Times that the file could not be used"},
	{"store", "commits", "store_commits", COUNTER, "Transactions"},
	{"store", "put_aside", "store_put_aside", COUNTER, "Damaged files put aside"},
	{"store", "size", "store_size_bytes", GAUGE, "Size of the file without its log"},
	{"store", "restored", "store_restored", GAUGE, "Decisions given back at start"},
	{"store", "waiting", "store_waiting", GAUGE,
	 "Decisions of rules that the policy does not have"},
	{"control", "swept", "store_swept", COUNTER,
	 "Pended connections that were decided by what was said of their like"},
	{"control", "busy_polls", "control_busy_polls", COUNTER,
	 "Times that the authority process polled instead of sleeping"},
	{"control", "busy_poll_answers", "control_busy_poll_answers", COUNTER,
	 "Of these, times that something came meanwhile"},
	{"control", "clients", "control_clients", GAUGE, "Connections to the control socket"},
	{"control", "accepted", "control_accepted", COUNTER, "Connections ever accepted there"},
	{"control", "refused", "control_refused", COUNTER,
	 "Connections and requests refused for want of a right or room"},
	{"control", "overrun", "control_overrun", COUNTER, "Connections closed for reading slowly"},
	{"control", "requests", "control_requests", COUNTER, "Requests"},
	{"control", "errors", "control_errors", COUNTER, "Requests answered with an error"},
	{"control", "malformed", "control_malformed", COUNTER, "Lines that were no request"},
	{"control", "swept", "swept", COUNTER,
	 "Pended connections that were decided by what is remembered of one like them"},
	{"control", "unlocks", "unlocks", COUNTER, "Codes that were brought to authorities"},
	{"control", "unlocks_refused", "unlocks_refused", COUNTER, "Codes that opened nothing"},
	{"control", "subscriptions_lost", "control_subscriptions_lost", COUNTER,
	 "Followers of events that were too slow"},
	{"control", "timeouts", "control_timeouts", COUNTER,
	 "Requests that the verdict process did not answer in time"},
	{"control", "stray_answers", "control_stray_answers", COUNTER,
	 "Answers of the verdict process to nobody"},
	{"control", "bad_messages", "control_bad_messages", COUNTER,
	 "Malformed messages of the verdict process"},
	{"control", "questions", "control_questions", COUNTER, "Questions to authorities"},
	{"control", "events", "control_events", COUNTER, "Events"},
	{"control", "log_dropped", "control_log_dropped", COUNTER,
	 "Lines of the log that could not be written"},
	{"control", "changes", "control_changes", COUNTER, "Changes of the policy put in force"},
	{"control", "changes_failed", "control_changes_failed", COUNTER,
	 "Changes of the policy that were wrong"},
	{"control", "changes_refused", "control_changes_refused", COUNTER,
	 "Changes refused because too many waited"},
	{"control", "changes_halved", "control_changes_halved", COUNTER,
	 "Times that changes were taken apart to find the wrong one"},
	{"control", "policies_made", "control_policies_made", COUNTER, "Policies compiled"},
	{"control", "sets_edited", "control_sets_edited", COUNTER,
	 "Changes of sets that needed no new policy"},
	{"control", "questions_open", "control_questions_open", GAUGE,
	 "Questions that wait for an answer"},
	{"control", "questions_decided", "control_questions_decided", COUNTER,
	 "Questions that were decided by votes"},
	{"control", "questions_limited", "control_questions_limited", COUNTER,
	 "Questions that were over a limit"},
	{"control", "answers_ambiguous", "control_answers_ambiguous", COUNTER,
	 "Answers refused because they did not say for which of several authorities"},
	{"control", "servers_silent", "control_servers_silent", COUNTER,
	 "Programs that serve no more for want of a heartbeat"},
};

/* Told below in another way. */
static bool told_elsewhere(const char *key)
{
	return !strncmp(key, "ended_", 6) || !strcmp(key, "answers") ||
	       !strcmp(key, "answer_us_mean");
}

__attribute__((format(printf, 2, 3))) static void line(json_t *lines, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	json_array_append_new(lines, json_string(text));
}

/* The family's name for a row, or one made of its place. */
static struct metric metric_find(const char *section, const char *key, char made[100])
{
	struct metric m = {section, key, made, UNKNOWN, key};

	for (size_t i = 0; i < sizeof(metrics) / sizeof(metrics[0]); i++)
		if (!strcmp(metrics[i].section, section) && !strcmp(metrics[i].key, key))
			return metrics[i];
	snprintf(made, 100, "%.40s_%.50s", strcmp(section, "worker") ? section : "engine", key);
	return m;
}

static void head(json_t *lines, const struct metric *m)
{
	static const char *const kinds[] = {
		[COUNTER] = "counter", [GAUGE] = "gauge", [UNKNOWN] = "unknown"};

	line(lines, "# TYPE pend_%s %s", m->name, kinds[m->kind]);
	line(lines, "# HELP pend_%s %s.", m->name, m->help);
}

static void sample(json_t *lines, const struct metric *m, const char *labels, const json_t *value)
{
	line(lines, "pend_%s%s%s %" JSON_INTEGER_FORMAT, m->name,
	     m->kind == COUNTER ? "_total" : "", labels, json_integer_value(value));
}

/* All numbers of a part of the status, but those that the workers have. */
static void section_lines(json_t *lines, const char *section, json_t *o, const json_t *without)
{
	const char *key;
	char made[100];
	json_t *value;

	json_object_foreach(o, key, value)
	{
		struct metric m;

		if (!json_is_integer(value) || told_elsewhere(key) || json_object_get(without, key))
			continue;
		m = metric_find(section, key, made);
		head(lines, &m);
		sample(lines, &m, "", value);
	}
}

static void ended_lines(json_t *lines, const struct collected *c, unsigned workers)
{
	char name[IDS_TEXT];

	line(lines, "# TYPE pend_ended counter");
	line(lines, "# HELP pend_ended Pended connections by the way they ended.");
	for (unsigned i = 0; i < workers; i++)
		for (unsigned s = PEND_STATE_PERMITTED; c->have[i] && s < PEND_STATE_COUNT; s++)
			line(lines, "pend_ended_total{worker=\"%s\",state=\"%s\"} %" PRIu64,
			     worker_name(i, name), cj_state_name(s), c->stats[i].ended[s]);
}

/* A worker that did not answer has no samples: nothing is known of it. */
static void worker_lines(json_t *lines, const struct collected *c, unsigned workers, json_t *stats)
{
	char made[100], name[IDS_TEXT], labels[50];
	const char *key;
	json_t *value;

	json_object_foreach(json_array_get(stats, 0), key, value)
	{
		struct metric m;

		if (told_elsewhere(key))
			continue;
		m = metric_find("worker", key, made);
		head(lines, &m);
		for (unsigned i = 0; i < workers; i++) {
			snprintf(labels, sizeof(labels), "{worker=\"%s\"}", worker_name(i, name));
			if (c->have[i])
				sample(lines, &m, labels,
				       json_object_get(json_array_get(stats, i), key));
		}
	}
	line(lines, "# TYPE pend_worker_up gauge");
	line(lines, "# HELP pend_worker_up Does this worker answer?");
	for (unsigned i = 0; i < workers; i++)
		line(lines, "pend_worker_up{worker=\"%s\"} %d", worker_name(i, name), c->have[i]);
}

static void state_lines(json_t *lines, const json_t *status)
{
	static const char *const states[] = {"ok", "degraded", "stopping"};
	const char *state = json_string_value(json_object_get(status, "state"));

	line(lines, "# TYPE pend_build info");
	line(lines, "# HELP pend_build Version of the daemon.");
	line(lines, "pend_build_info{version=\"" PEND_VERSION "\"} 1");
	line(lines, "# TYPE pend_state stateset");
	line(lines, "# HELP pend_state Health of the daemon.");
	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++)
		line(lines, "pend_state{pend_state=\"%s\"} %d", states[i],
		     state && !strcmp(state, states[i]));
}

static void decision_lines(json_t *lines, const struct collected *c)
{
	line(lines, "# TYPE pend_decision_seconds summary");
	line(lines, "# HELP pend_decision_seconds Time from pend to decision.");
	line(lines, "pend_decision_seconds_count %" PRIu64, c->answers);
	line(lines, "pend_decision_seconds_sum %" PRIu64 ".%09" PRIu64,
	     (uint64_t)(c->answer_ns / MONO_NS_PER_S), (uint64_t)(c->answer_ns % MONO_NS_PER_S));
}

/* Of live flows that were authorized again. */
static void reauth_lines(json_t *lines, const json_t *status)
{
	json_t *live = json_object_get(status, "live_flows");
	json_t *by = json_object_get(live, "by_reason"), *o;
	const char *reason;

	section_lines(lines, "live_flows", live, NULL);
	line(lines, "# TYPE pend_live_flows_by_reason counter");
	line(lines,
	     "# HELP pend_live_flows_by_reason Live flows ended, by why they were looked at.");
	json_object_foreach(by, reason, o)
		line(lines, "pend_live_flows_by_reason_total{reason=\"%s\"} %" PRIu64, reason,
		     (uint64_t)json_integer_value(json_object_get(o, "ended")));
}

static json_t *all_lines(struct request *r)
{
	static const char *const sections[] = {"kernel", "kernel_decisions", "listeners", "agents",
					       "hookup", "policy",           "control"};
	unsigned workers = r->control->env.workers;
	json_t *lines = json_array(), *status = status_json(r), *stats = json_array();

	for (unsigned i = 0; i < workers; i++)
		json_array_append_new(stats, cj_stats(&r->collected->stats[i]));
	state_lines(lines, status);
	worker_lines(lines, r->collected, workers, stats);
	ended_lines(lines, r->collected, workers);
	decision_lines(lines, r->collected);
	section_lines(lines, "", status, NULL);
	section_lines(lines, "totals", json_object_get(status, "totals"), json_array_get(stats, 0));
	for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]); i++)
		section_lines(lines, sections[i], json_object_get(status, sections[i]), NULL);
	reauth_lines(lines, status);
	authority_lines(r, lines);
	json_decref(status);
	json_decref(stats);
	return lines;
}

/* A label's value: printable, with what must be escaped escaped. */
static void label(const char *s, char *out, size_t cap)
{
	char clean[400];
	size_t n = 0;

	str_sanitize(s, clean, sizeof(clean));
	for (const char *p = clean; *p && n + 3 < cap; p++) {
		if (*p == '\\' || *p == '"')
			out[n++] = '\\';
		out[n++] = *p;
	}
	out[n] = '\0';
}

static json_t *rule_sample(const struct view *v, uint32_t i, const char *name, uint64_t value)
{
	struct classify_rule rule = {0};
	char file[500], layer[100], counter[100] = "", text[1000];

	/* a rule without a place is one that is not there any more: the walk ends before it */
	if (v->classifier)
		classify_rule(v->classifier, i, &rule);
	label(rule.file ? rule.file : "", file, sizeof(file));
	label(rule.layer ? rule.layer : "", layer, sizeof(layer));
	if (rule.counter && *rule.counter) /* names are of letters, digits, - and _ */
		snprintf(counter, sizeof(counter), ",counter=\"%.60s\"", rule.counter);
	snprintf(text, sizeof(text),
		 "pend_rule_%s_total{rule=\"%u\",layer=\"%s\",action=\"%s\",file=\"%s\","
		 "line=\"%u\"%s} %" PRIu64,
		 name, i, layer, action_name(rule.action), file, rule.line, counter, value);
	return json_string(text);
}

static json_t *hits_line(const struct view *v, uint32_t i, const struct rule_count *n)
{
	return rule_sample(v, i, "hits", n->hits);
}

static json_t *bytes_line(const struct view *v, uint32_t i, const struct rule_count *n)
{
	return rule_sample(v, i, "bytes", n->bytes);
}

/* The samples of a family stand together, so that rules are walked once for each. */
static void rules_begin(struct request *r, json_t *lines,
			json_t *(*row)(const struct view *v, uint32_t i,
				       const struct rule_count *n),
			void (*end)(struct request *r))
{
	json_t *o = json_object();

	json_object_set_new(o, "lines", lines);
	request_part(r, o);
	r->row = row;
	r->rows = "lines";
	r->rows_end = end;
	rules_walk(r);
}

static json_t *take_list(struct request *r)
{
	json_t *list = r->list ? r->list : json_array();

	r->list = NULL;
	return list;
}

static void metrics_end(struct request *r)
{
	json_t *o = json_object(), *lines = take_list(r);

	line(lines, "# EOF");
	json_object_set_new(o, "lines", lines);
	request_ok(r, o);
}

static void layer_samples(json_t *lines, const json_t *l)
{
	static const char *const actions[] = {"permit", "block", "pend"};
	char name[100];

	label(json_string_value(json_object_get(l, "layer")), name, sizeof(name));
	for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++)
		line(lines,
		     "pend_layer_opinions_total{layer=\"%s\",action=\"%s\"} %" JSON_INTEGER_FORMAT,
		     name, actions[i], json_integer_value(json_object_get(l, actions[i])));
}

static void layer_vetoes(json_t *lines, const json_t *l)
{
	char name[100];

	label(json_string_value(json_object_get(l, "layer")), name, sizeof(name));
	line(lines, "pend_layer_vetoes_total{layer=\"%s\"} %" JSON_INTEGER_FORMAT, name,
	     json_integer_value(json_object_get(l, "veto")));
}

static void metrics_layers(struct request *r)
{
	json_t *layers = take_list(r), *l;
	size_t i;

	r->list = json_array();
	line(r->list, "# TYPE pend_layer_opinions counter");
	line(r->list, "# HELP pend_layer_opinions What a layer of the policy in force said of new "
		      "connections, overruled or not.");
	json_array_foreach(layers, i, l) layer_samples(r->list, l);
	line(r->list, "# TYPE pend_layer_vetoes counter");
	line(r->list, "# HELP pend_layer_vetoes Blocks that overruled a layer in front.");
	json_array_foreach(layers, i, l) layer_vetoes(r->list, l);
	json_decref(layers);
	metrics_end(r);
}

static void metrics_rules(struct request *r)
{
	json_t *o = json_object();

	json_object_set_new(o, "lines", take_list(r));
	request_part(r, o);
	r->rows_end = metrics_layers;
	layers_walk(r);
}

static void metrics_hits(struct request *r)
{
	json_t *lines = take_list(r);

	line(lines, "# TYPE pend_rule_bytes counter");
	line(lines, "# HELP pend_rule_bytes Bytes of these packets, with their IP headers.");
	rules_begin(r, lines, bytes_line, metrics_rules);
}

static void metrics_collected(struct request *r)
{
	json_t *lines = all_lines(r);

	r->expired = NULL;
	if (!r->collected->have_main) {
		r->list = lines;
		metrics_end(r);
		return;
	}
	line(lines, "# TYPE pend_rule_hits counter");
	line(lines, "# HELP pend_rule_hits Packets that a rule of the policy in force has decided "
		    "about or inspected.");
	rules_begin(r, lines, hits_line, metrics_hits);
}

void show_metrics(struct request *r, const json_t *args)
{
	(void)args;
	status_collect(r, metrics_collected);
}
