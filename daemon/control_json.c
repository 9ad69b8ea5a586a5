/* SPDX-License-Identifier: GPL-2.0-or-later */
/* JSON of the control protocol; see control_json.h. */
#include "daemon/control_json.h"
#include "base/str.h"
#include "core/flow.h"
#include "daemon/ids.h"
#include "io/loop.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* Nesting is bounded before the parser recurses. */
static bool depth_ok(const char *p, size_t len)
{
	unsigned depth = 0;
	bool quoted = false;

	for (size_t i = 0; i < len; i++) {
		if (quoted) {
			if (p[i] == '\\')
				i++;
			else if (p[i] == '"')
				quoted = false;
		} else if (p[i] == '"') {
			quoted = true;
		} else if (p[i] == '{' || p[i] == '[') {
			if (++depth > JSON_DEPTH_MAX)
				return false;
		} else if ((p[i] == '}' || p[i] == ']') && depth) {
			depth--;
		}
	}
	return true;
}

json_t *cj_parse(const char *line, size_t len, struct err *e)
{
	json_error_t je;
	json_t *v;

	if (!depth_ok(line, len)) {
		err_set(e, -EINVAL, "nested deeper than %d", JSON_DEPTH_MAX);
		return NULL;
	}
	v = json_loadb(line, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &je);
	if (!v)
		err_set(e, -EINVAL, "not JSON: %s (column %d)", je.text, je.column);
	return v;
}

json_t *cj_text(const char *s)
{
	size_t cap = strlen(s) * 4 + 1;
	char *clean = malloc(cap);
	json_t *v;

	if (!clean)
		return NULL;
	str_sanitize(s, clean, cap);
	v = json_string(clean);
	free(clean);
	return v;
}

json_t *cj_field(const char *s, size_t size)
{
	char *copy = strndup(s, size);
	json_t *v = copy ? cj_text(copy) : NULL;

	free(copy);
	return v;
}

json_t *cj_wall_time(int64_t ms)
{
	time_t t = (time_t)(ms / 1000);
	char day[32], text[48];
	struct tm tm;

	gmtime_r(&t, &tm);
	strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text, sizeof(text), "%s.%03uZ", day, (unsigned)(ms % 1000));
	return json_string(text);
}

json_t *cj_time(uint64_t boottime_ns)
{
	uint64_t ago = mono_since(loop_clock(), mono_ns(boottime_ns)), wall;
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	wall = (uint64_t)ts.tv_sec * MONO_NS_PER_S + (uint64_t)ts.tv_nsec;
	return cj_wall_time((int64_t)((wall > ago ? wall - ago : 0) / MONO_NS_PER_MS));
}

static const char *const states[] = {
	[PEND_STATE_STORED] = "stored",
	[PEND_STATE_PENDED] = "pended",
	[PEND_STATE_COMPLETING] = "completing",
	[PEND_STATE_PERMITTED] = "permitted",
	[PEND_STATE_BLOCKED] = "blocked",
	[PEND_STATE_FLUSHED] = "flushed",
	[PEND_STATE_TIMED_OUT] = "timed-out",
	[PEND_STATE_ABANDONED] = "abandoned",
	[PEND_STATE_LOST] = "lost",
	[PEND_STATE_DRAINED] = "drained",
};

static const char *const event_types[] = {
	[PEND_EVENT_PENDED] = "pended",
	[PEND_EVENT_RETRANSMIT] = "retransmit",
	[PEND_EVENT_KERNEL_LOST] = "kernel-lost",
	[PEND_EVENT_COMPLETED] = "completed",
	[PEND_EVENT_ESTABLISHED] = "established",
	[PEND_EVENT_CLOSED] = "closed",
	[PEND_EVENT_CLASSIFIED] = "classified",
	[PEND_EVENT_LIMIT] = "limit",
	[PEND_EVENT_LOOP] = "loop",
	[PEND_EVENT_ANSWERED] = "answered",
};

static const char *const blocks[] = {
	[PEND_BLOCK_DROP] = "drop",
	[PEND_BLOCK_RESET] = "reset",
	[PEND_BLOCK_UNREACHABLE] = "unreachable",
};

static const char *const verdicts[] = {
	[PEND_VERDICT_BLOCK] = "block",
	[PEND_VERDICT_PERMIT] = "permit",
	[PEND_VERDICT_CONTINUE] = "continue",
};

static const char *const reasons[] = {
	[REASON_NONE] = "none",         [REASON_OPERATOR] = "operator",
	[REASON_TIMEOUT] = "timeout",   [REASON_POLICY] = "policy",
	[REASON_STATIC] = "static",     [REASON_AUTHORITY] = "authority",
	[REASON_SHUTDOWN] = "shutdown", [REASON_BACKLOG] = "backlog",
	[REASON_ABSENT] = "absent",     [REASON_ERROR] = "on-error",
};

static const char *const modes[] = {
	[PEND_MODE_AUTO] = "auto",
	[PEND_MODE_HOLD] = "hold",
	[PEND_MODE_ABSORB] = "absorb",
};

static const char *const releases[] = {
	[PEND_RELEASE_FLUSH] = "flush",
	[PEND_RELEASE_BUFFER] = "buffer",
};

static const char *const scopes[] = {
	[CLASSIFY_SCOPE_SERVICE] = "service",
	[CLASSIFY_SCOPE_SOURCE] = "source",
	[CLASSIFY_SCOPE_FLOW] = "flow",
};

/* The codes of errors in replies. */
static const char *const codes[] = {
	[PEND_OK] = "ok",
	[PEND_E_NULL_POINTER] = "internal",
	[PEND_E_NOT_READY] = "not-ready",
	[PEND_E_CANNOT_PEND] = "cannot-pend",
	[PEND_E_STALE] = "not-found",
	[PEND_E_NOT_FOUND] = "not-found",
	[PEND_E_ALREADY] = "already",
	[PEND_E_ACCESS_DENIED] = "not-found",
	[PEND_E_LIMIT] = "limit",
	[PEND_E_BUSY] = "busy",
	[PEND_E_INVALID] = "invalid",
	[PEND_E_NO_MEMORY] = "no-memory",
	[PEND_E_PERMISSION] = "permission",
	[PEND_E_IN_USE] = "in-use",
	[PEND_E_UNSUPPORTED] = "unsupported",
	[PEND_E_SYSTEM] = "system",
	[PEND_E_LOOP] = "loop",
};

static const char *name_of(const char *const *table, size_t n, unsigned i)
{
	return i < n ? table[i] : NULL;
}

static int index_of(const char *const *table, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (str_eq(table[i], name))
			return (int)i;
	return -1;
}

const char *cj_state_name(unsigned state)
{
	return name_of(states, COUNT(states), state);
}

const char *cj_event_name(unsigned type)
{
	return name_of(event_types, COUNT(event_types), type);
}

const char *cj_block_name(unsigned block)
{
	return name_of(blocks, COUNT(blocks), block);
}

const char *cj_verdict_name(unsigned verdict)
{
	return name_of(verdicts, COUNT(verdicts), verdict);
}

const char *cj_reason_name(unsigned reason)
{
	return name_of(reasons, COUNT(reasons), MSG_REASON_CODE(reason));
}

const char *cj_scope_name(unsigned scope)
{
	return name_of(scopes, COUNT(scopes), scope);
}

const char *cj_status_code(int32_t status)
{
	const char *s = name_of(codes, COUNT(codes), status < 0 ? UINT32_MAX : (unsigned)status);

	return s ? s : "system";
}

int cj_event_parse(const char *name)
{
	return index_of(event_types, COUNT(event_types), name);
}

int cj_block_parse(const char *name)
{
	return index_of(blocks, COUNT(blocks), name);
}

int cj_verdict_parse(const char *name)
{
	return index_of(verdicts, COUNT(verdicts), name);
}

/* A string, or nothing at all for NULL. */
static void set_name(json_t *o, const char *key, const char *name)
{
	if (name)
		json_object_set_new(o, key, json_string(name));
}

static void set_number(json_t *o, const char *key, uint64_t v)
{
	json_object_set_new(o, key, json_integer((json_int_t)v));
}

static void set_address(json_t *o, const char *key, const uint8_t addr[16], uint8_t family)
{
	char text[FLOW_ADDR_TEXT];

	if (family == FLOW_V4 || family == FLOW_V6)
		set_name(o, key, flow_addr_print(addr, family, text));
}

static void set_interface(json_t *o, const char *key, uint32_t index, const struct view *v)
{
	char name[IF_NAMESIZE];

	if (index)
		json_object_set_new(o, key, cj_text(view_interface(v, index, name)));
}

static void set_tuple(json_t *o, const struct pend_info *i)
{
	const char *proto = flow_proto_name(i->protocol);

	if (proto)
		set_name(o, "protocol", proto);
	else
		set_number(o, "protocol", i->protocol);
	set_address(o, "source", i->source, i->family);
	if (i->source_port)
		set_number(o, "source_port", i->source_port);
	set_address(o, "dest", i->dest, i->family);
	if (i->dest_port)
		set_number(o, "dest_port", i->dest_port);
	if (i->protocol == 1 || i->protocol == 58) {
		set_number(o, "icmp_type", i->icmp_type);
		set_number(o, "icmp_code", i->icmp_code);
	}
}

/* Rule and authority, named as far as the policy that made them is the one we show. */
static void set_rule(json_t *o, const struct pend_info *i, const struct view *v)
{
	const char *authority = i->tag ? view_authority(v, i->tag) : NULL;

	if (i->rule != CLASSIFY_NO_RULE)
		set_number(o, "rule", i->rule);
	if (i->tag)
		set_number(o, "generation", MSG_TAG_GENERATION(i->tag));
	if (authority)
		json_object_set_new(o, "authority", cj_text(authority));
}

static void set_common(json_t *o, const struct pend_info *i, const struct view *v)
{
	char id[IDS_TEXT];

	if (i->context)
		set_name(o, "id", ids_print(i->context, id));
	set_name(o, "state", cj_state_name(i->state));
	set_tuple(o, i);
	set_interface(o, "interface", i->in_interface, v);
	set_interface(o, "out_interface", i->out_interface, v);
	set_rule(o, i, v);
	set_number(o, "retransmits", i->retransmits);
}

static uint64_t ms_between(uint64_t later, uint64_t earlier)
{
	return mono_since(mono_ns(later), mono_ns(earlier)) / MONO_NS_PER_MS;
}

/* A bool that another process has written may hold any byte, and reading that as a bool is undefined. */
static bool flag(const bool *b)
{
	return *(const unsigned char *)b != 0;
}

json_t *cj_context(const struct pend_info *i, const struct view *v, mono_t now)
{
	json_t *o = json_object();

	set_common(o, i, v);
	set_number(o, "age_ms", ms_between(now.ns, i->created_ns));
	set_number(o, "remaining_ms", ms_between(i->deadline_ns, now.ns));
	set_number(o, "packets", i->packets);
	set_name(o, "mode", name_of(modes, COUNT(modes), i->mode));
	set_name(o, "release", name_of(releases, COUNT(releases), i->release));
	set_name(o, "on_timeout", cj_verdict_name(i->on_timeout));
	json_object_set_new(o, "kernel_lost", json_boolean(flag(&i->kernel_lost)));
	return o;
}

/* Who has said so, and why, where that is known. */
static void set_note(json_t *o, const struct view *v, uint32_t number)
{
	const char *by, *why;

	if (!notes_find(v->notes, number, &by, &why))
		return;
	if (*by)
		json_object_set_new(o, "by", cj_text(by));
	if (*why)
		json_object_set_new(o, "why", cj_text(why));
}

static void set_outcome(json_t *o, const struct pend_info *i, const struct view *v)
{
	set_name(o, "verdict", cj_verdict_name(i->verdict));
	if (i->verdict == PEND_VERDICT_BLOCK)
		set_name(o, "block", cj_block_name(i->block));
	set_name(o, "reason", cj_reason_name(i->reason));
	if (i->completed_ns)
		set_number(o, "pended_ms", ms_between(i->completed_ns, i->created_ns));
	set_note(o, v, MSG_REASON_NOTE(i->reason));
}

json_t *cj_event(const struct pend_event *e, const struct view *v)
{
	const char *type = cj_event_name(e->type);
	json_t *o = json_object();

	set_name(o, "type", type ? type : "unknown");
	set_common(o, &e->info, v);
	if (e->type == PEND_EVENT_ANSWERED) /* the question has; the connection goes on */
		set_name(o, "state", cj_event_name(e->type));
	if (e->type == PEND_EVENT_COMPLETED || e->type == PEND_EVENT_CLASSIFIED ||
	    e->type == PEND_EVENT_ANSWERED)
		set_outcome(o, &e->info, v);
	return o;
}

#define COUNTER(name)                                    \
	{                                                \
#name, offsetof(struct pend_stats, name) \
	}

static const struct {
	const char *name;
	size_t offset;
} counters[] = {
	COUNTER(packets),
	COUNTER(permitted_direct),
	COUNTER(blocked_direct),
	COUNTER(pended),
	COUNTER(pending),
	COUNTER(lingering),
	COUNTER(held),
	COUNTER(copied_bytes),
	COUNTER(retransmits),
	COUNTER(late_copies),
	COUNTER(stamped_later),
	COUNTER(kernel_lost),
	COUNTER(reattached),
	COUNTER(verdicts),
	COUNTER(verdict_errors),
	COUNTER(malformed),
	COUNTER(limit_contexts),
	COUNTER(limit_source),
	COUNTER(limit_service),
	COUNTER(limit_bytes),
	COUNTER(limit_packets),
	COUNTER(watermark_drops),
	COUNTER(pend_failed),
	COUNTER(completion_blocked),
	COUNTER(dangling),
	COUNTER(injected),
	COUNTER(inject_failed),
	COUNTER(answers_forged),
	COUNTER(established),
	COUNTER(flow_closed),
	COUNTER(reauthorized),
	COUNTER(reauth_ended),
	COUNTER(socket_overruns),
	COUNTER(loops),
	COUNTER(pending_peak),
	COUNTER(held_peak),
	COUNTER(memory),
};

static uint64_t counter_get(const struct pend_stats *s, size_t i)
{
	uint64_t v;

	memcpy(&v, (const char *)s + counters[i].offset, sizeof(v));
	return v;
}

json_t *cj_stats(const struct pend_stats *s)
{
	json_t *o = json_object();

	for (size_t i = 0; i < COUNT(counters); i++)
		set_number(o, counters[i].name, counter_get(s, i));
	for (unsigned i = PEND_STATE_PERMITTED; i < PEND_STATE_COUNT; i++) {
		char key[32];

		snprintf(key, sizeof(key), "ended_%s", states[i]);
		if (i == PEND_STATE_TIMED_OUT)
			snprintf(key, sizeof(key), "ended_timed_out");
		set_number(o, key, s->ended[i]);
	}
	return o;
}

void cj_stats_add(struct pend_stats *sum, const struct pend_stats *s)
{
	for (size_t i = 0; i < COUNT(counters); i++) {
		uint64_t v = counter_get(sum, i) + counter_get(s, i);

		memcpy((char *)sum + counters[i].offset, &v, sizeof(v));
	}
	for (unsigned i = 0; i < PEND_STATE_COUNT; i++)
		sum->ended[i] += s->ended[i];
}

int cj_lasting(const json_t *o, struct msg_lasting *out, struct err *e)
{
	const json_t *remember = json_object_get(o, "remember"),
		     *scope = json_object_get(o, "scope");
	const char *text = json_string_value(remember);
	int s = scope ? index_of(scopes, COUNT(scopes), json_string_value(scope)) : 0;
	uint64_t ns = 0;

	if (remember && !json_is_false(remember) &&
	    (!text || str_duration(text, &ns) < 0 || ns < CLASSIFY_REMEMBER_MIN ||
	     ns > CLASSIFY_REMEMBER_MAX))
		return err_set(e, -EINVAL,
			       "remember is a duration from 1s to 365d, like \"8h\", or false");
	if (s < 0)
		return err_set(e, -EINVAL, "scope is \"service\", \"source\" or \"flow\"");
	*out = (struct msg_lasting){.ns = json_is_false(remember) ? MSG_REMEMBER_NOT : ns,
				    .scope = scope ? MSG_SCOPE(s) : MSG_SCOPE_RULE};
	return 0;
}

int cj_why(const json_t *o, char out[NOTES_WHY_MAX + 1], struct err *e)
{
	const json_t *why = json_object_get(o, "why");

	*out = '\0';
	if (why && !json_is_string(why))
		return err_set(e, -EINVAL, "why is a text");
	if (why)
		str_sanitize(json_string_value(why), out, NOTES_WHY_MAX + 1);
	return 0;
}

static int match_source(const json_t *v, struct msg_match *m, struct err *e)
{
	const char *s = json_string_value(v);
	char text[FLOW_ADDR_TEXT + 8];
	uint64_t len;
	char *slash;

	if (!s || strlen(s) >= sizeof(text))
		return err_set(e, -EINVAL, "source must be an address or a prefix");
	memcpy(text, s, strlen(s) + 1);
	slash = strchr(text, '/');
	if (slash)
		*slash++ = '\0';
	if (flow_addr_parse(text, m->source, &m->family) < 0)
		return err_set(e, -EINVAL, "\"%s\" is not an address", text);
	len = m->family == FLOW_V4 ? 32 : 128;
	if (slash && str_u64(slash, len, &len) < 0)
		return err_set(e, -EINVAL, "\"/%s\" is not a prefix length", slash);
	m->prefix_len = (uint8_t)len;
	flow_addr_mask(m->source, m->family, m->prefix_len);
	return 0;
}

static int match_family(const json_t *v, struct msg_match *m, struct err *e)
{
	json_int_t n = json_integer_value(v);

	if (n != FLOW_V4 && n != FLOW_V6)
		return err_set(e, -EINVAL, "family must be 4 or 6");
	if (m->family && m->family != n)
		return err_set(e, -EINVAL, "source is not of that family");
	m->family = (uint8_t)n;
	return 0;
}

static int match_protocol(const json_t *v, struct msg_match *m, struct err *e)
{
	int n = json_is_string(v) ? flow_proto_parse(json_string_value(v)) : -1;

	if (json_is_integer(v) && json_integer_value(v) > 0 && json_integer_value(v) < 256)
		n = (int)json_integer_value(v);
	if (n <= 0)
		return err_set(e, -EINVAL, "protocol must be a name or a number from 1 to 255");
	m->protocol = (uint8_t)n;
	return 0;
}

static int match_port(const json_t *v, struct msg_match *m, struct err *e)
{
	json_int_t n = json_integer_value(v);

	if (n < 1 || n > 65535)
		return err_set(e, -EINVAL, "port must be a number from 1 to 65535");
	m->dest_port = (uint16_t)n;
	return 0;
}

static int match_rule(const json_t *v, struct msg_match *m, struct err *e)
{
	json_int_t n = json_integer_value(v);

	if (!json_is_integer(v) || n < 0 || n >= (json_int_t)UINT32_MAX)
		return err_set(e, -EINVAL, "rule must be a rule's number");
	m->rule = (uint32_t)n;
	return 0;
}

static int match_authority(const json_t *v, const struct view *view, struct msg_match *m,
			   struct err *e)
{
	const char *name = json_string_value(v);
	int i = name ? view_authority_find(view, name) : -1;

	if (i < 0)
		return err_set(e, -EINVAL, "no such authority");
	m->authority = (uint16_t)i;
	return 0;
}

static const struct {
	const char *key;
	int (*parse)(const json_t *v, struct msg_match *m, struct err *e);
} conditions[] = {
	{"source", match_source}, {"family", match_family}, {"protocol", match_protocol},
	{"port", match_port},     {"rule", match_rule},
};

int cj_match(const json_t *args, const struct view *v, struct msg_match *out, bool *any,
	     struct err *e)
{
	const json_t *authority = json_object_get(args, "authority");
	struct msg_match m = {.authority = 0xffff, .rule = UINT32_MAX};

	*any = authority != NULL;
	for (size_t i = 0; i < COUNT(conditions); i++) {
		const json_t *value = json_object_get(args, conditions[i].key);

		if (value && conditions[i].parse(value, &m, e) < 0)
			return -EINVAL;
		*any = *any || value;
	}
	if (authority && match_authority(authority, v, &m, e) < 0)
		return -EINVAL;
	*out = m;
	return 0;
}

const char *cj_match_unknown(json_t *match)
{
	static const char *const known[] = {"source", "family",    "protocol",
					    "port",   "authority", "rule"};
	const char *key;
	json_t *value;

	json_object_foreach(match, key, value)
	{
		size_t i = 0;

		while (i < sizeof(known) / sizeof(known[0]) && strcmp(key, known[i]) != 0)
			i++;
		if (i == sizeof(known) / sizeof(known[0]))
			return key;
	}
	return NULL;
}
