/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The settings block: one table says how each field is read, limited and printed. */
#include "core/policy_ast.h"
#include "base/str.h"
#include <string.h>

enum kind {
	KIND_PATH,     /* char[size], an absolute path as a string */
	KIND_FILE,     /* the same, or "" */
	KIND_STATE,    /* the same, or the word auto */
	KIND_NAME,     /* char[size], a name or "" */
	KIND_TABLE,    /* char[size], [a-z][a-z0-9_-]{0,15} */
	KIND_QUEUES,   /* queue_first and queue_count */
	KIND_MASK,     /* 8 consecutive bits */
	KIND_WORD8,    /* uint8_t, of a table */
	KIND_BOOL,     /* bool, of a table */
	KIND_HOOKS,    /* a list */
	KIND_PRIORITY, /* int */
	KIND_IPT,      /* iptables variant */
	KIND_U32,      /* uint32_t */
	KIND_SIZE32,   /* uint32_t bytes */
	KIND_SIZE64,   /* uint64_t bytes */
	KIND_TIME,     /* uint64_t nanoseconds */
};

struct setting {
	const char *name;
	enum kind kind;
	size_t offset, size;
	uint64_t min, max;
	const struct pol_keyword *words;
};

static const struct pol_keyword yes_no[] = {{"yes", 1}, {"no", 0}, {NULL, 0}};
/* "yes" is an older word for "now", which is printed. */
static const struct pol_keyword reauthorize[] = {{"now", SETTINGS_REAUTHORIZE_NOW},
						 {"yes", SETTINGS_REAUTHORIZE_NOW},
						 {"lazy", SETTINGS_REAUTHORIZE_LAZY},
						 {"no", SETTINGS_REAUTHORIZE_NO},
						 {NULL, 0}};
static const struct pol_keyword open_closed[] = {{"open", 1}, {"closed", 0}, {NULL, 0}};
static const struct pol_keyword hookups[] = {{"auto", PEND_HOOK_AUTO},
					     {"nft", PEND_HOOK_NFT},
					     {"iptables", PEND_HOOK_IPTABLES},
					     {"none", PEND_HOOK_NONE},
					     {NULL, 0}};
static const struct pol_keyword limit_actions[] = {
	{"block", PEND_ACTION_BLOCK}, {"permit", PEND_ACTION_PERMIT}, {NULL, 0}};
static const struct pol_keyword hook_bits[] = {
	{"input", PEND_HOOK_INPUT}, {"forward", PEND_HOOK_FORWARD}, {NULL, 0}};
static const struct pol_keyword variants[] = {{"auto", 0}, {"nft", 1}, {"legacy", 2}, {NULL, 0}};

static const struct pol_keyword histories[] = {{"all", SETTINGS_HISTORY_ALL},
					       {"asked", SETTINGS_HISTORY_ASKED},
					       {"decided", SETTINGS_HISTORY_DECIDED},
					       {"none", SETTINGS_HISTORY_NONE},
					       {NULL, 0}};

#define HISTORY_KEEP_MAX (3650ull * 24 * 3600 * 1000000000)

#define FIELD(f) offsetof(struct settings, f), sizeof(((struct settings *)0)->f)

/* In the order in which they are printed. */
static const struct setting settings[] = {
	{"control", KIND_PATH, FIELD(control), 0, 0, NULL},
	{"control-group", KIND_NAME, FIELD(control_group), 0, 0, NULL},
	{"observe-group", KIND_NAME, FIELD(observe_group), 0, 0, NULL},
	{"user", KIND_NAME, FIELD(user), 0, 0, NULL},
	{"queues", KIND_QUEUES, FIELD(queue_first), 0, 0, NULL},
	{"mark-mask", KIND_MASK, FIELD(mark_mask), 0, 0, NULL},
	{"hookup", KIND_WORD8, FIELD(hookup), 0, 0, hookups},
	{"table", KIND_TABLE, FIELD(table), 0, 0, NULL},
	{"hooks", KIND_HOOKS, FIELD(hooks), 0, 0, NULL},
	{"priority", KIND_PRIORITY, FIELD(priority), 0, 0, NULL},
	{"iptables", KIND_IPT, FIELD(iptables), 0, 0, NULL},
	{"loopback", KIND_BOOL, FIELD(loopback), 0, 0, yes_no},
	{"multicast", KIND_BOOL, FIELD(multicast), 0, 0, yes_no},
	{"fail", KIND_BOOL, FIELD(fail_open), 0, 0, open_closed},
	{"raw", KIND_BOOL, FIELD(raw_reinject), 0, 0, yes_no},
	{"track-established", KIND_BOOL, FIELD(track_established), 0, 0, yes_no},
	{"reauthorize", KIND_WORD8, FIELD(reauthorize), 0, 0, reauthorize},
	{"kernel-decisions", KIND_BOOL, FIELD(kernel_decisions), 0, 0, yes_no},
	{"max-contexts", KIND_U32, FIELD(max_contexts), 1, 13000000, NULL},
	{"max-per-source", KIND_U32, FIELD(max_per_source), 0, 16000000, NULL},
	{"max-per-service", KIND_U32, FIELD(max_per_service), 0, 16000000, NULL},
	{"max-packets", KIND_U32, FIELD(max_packets), 1, 65535, NULL},
	{"max-bytes", KIND_SIZE64, FIELD(max_bytes), 65536, 1ull << 40, NULL},
	{"hold-max", KIND_U32, FIELD(hold_max), 0, 65535, NULL},
	{"high-watermark-percent", KIND_U32, FIELD(high_watermark_percent), 1, 100, NULL},
	{"kernel-queue", KIND_U32, FIELD(kernel_queue), 1, 65535, NULL},
	{"receive-buffer", KIND_SIZE32, FIELD(receive_buffer), 65536, 1u << 30, NULL},
	{"busy-poll", KIND_U32, FIELD(busy_poll), 0, 1000, NULL},
	{"max-clients", KIND_U32, FIELD(max_clients), 1, 65535, NULL},
	{"on-limit", KIND_WORD8, FIELD(on_limit), 0, 0, limit_actions},
	{"on-malformed", KIND_WORD8, FIELD(on_malformed), 0, 0, limit_actions},
	{"on-stop", KIND_WORD8, FIELD(on_stop), 0, 0, pol_verdicts},
	{"country-database", KIND_FILE, FIELD(country_database), 0, 0, NULL},
	{"state", KIND_STATE, FIELD(state), 0, 0, NULL},
	{"history", KIND_WORD8, FIELD(history), 0, 0, histories},
	{"history-keep", KIND_TIME, FIELD(history_keep), 1, HISTORY_KEEP_MAX, NULL},
	{"history-max", KIND_U32, FIELD(history_max), 1, 100000000, NULL},
	{"timeout", KIND_TIME, FIELD(timeout_ns), 1, POLICY_TIMEOUT_MAX, NULL},
};

#define NSETTINGS (sizeof(settings) / sizeof(settings[0]))

_Static_assert(NSETTINGS <= 64, "settings_seen has a bit for each");

static bool read_text(struct pol_parser *ps, const struct setting *st, char *out)
{
	struct pol_loc loc;
	bool path = st->kind == KIND_PATH || st->kind == KIND_FILE || st->kind == KIND_STATE;
	const char *s = path ? pol_string(ps, "a path as a string", &loc)
			     : pol_value(ps, "a name", &loc);
	size_t i;

	if (!s)
		return false;
	if (strlen(s) >= st->size)
		return pol_error(ps, &loc, "\"%s\" is longer than %zu bytes", st->name,
				 st->size - 1);
	if (path && s[0] != '/' && (st->kind == KIND_PATH || s[0]))
		return pol_error(ps, &loc, "\"%s\" must be an absolute path", st->name);
	for (i = 0; st->kind == KIND_NAME && s[i]; i++)
		if (s[i] <= ' ' || s[i] > '~' || strchr("/:,\"\\", s[i]))
			return pol_error(ps, &loc, "\"%s\" must be the name of an account or group",
					 st->name);
	memset(out, 0, st->size);
	memcpy(out, s, strlen(s));
	return true;
}

static bool read_state(struct pol_parser *ps, const struct setting *st, char *out)
{
	if (!pol_is(ps, SETTINGS_STATE_AUTO))
		return read_text(ps, st, out);
	pol_advance(ps);
	memset(out, 0, st->size);
	strcpy(out, SETTINGS_STATE_AUTO);
	return true;
}

static bool read_table(struct pol_parser *ps, const struct setting *st, char *out)
{
	struct pol_loc loc;
	const char *s = pol_value(ps, "a name", &loc);

	if (!s)
		return false;
	if (s[0] < 'a' || s[0] > 'z' || strlen(s) > 16 ||
	    s[strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_-")])
		return pol_error(ps, &loc,
				 "\"table\" has 1 to 16 lower-case letters, digits, '-' or "
				 "'_', a letter first");
	memset(out, 0, st->size);
	memcpy(out, s, strlen(s));
	return true;
}

/* "100" or "100-103" */
static bool read_queues(struct pol_parser *ps, struct settings *s)
{
	struct pol_loc loc;
	const char *w = pol_word(ps, "a queue number or range", &loc), *dash;
	char head[POLICY_WORD_MAX + 1] = "";
	uint64_t lo, hi;

	if (!w)
		return false;
	dash = strchr(w, '-');
	memcpy(head, w, dash ? (size_t)(dash - w) : strlen(w));
	if (str_u64(head, UINT16_MAX, &lo) || (dash && str_u64(dash + 1, UINT16_MAX, &hi)))
		return pol_error(ps, &loc, "queues are a number from 0 to 65535 or a range");
	if (!dash)
		hi = lo;
	if (hi < lo || hi - lo >= SETTINGS_QUEUES_MAX)
		return pol_error(ps, &loc, "a range of queues has 1 to %d numbers",
				 SETTINGS_QUEUES_MAX);
	s->queue_first = (uint16_t)lo;
	s->queue_count = (uint16_t)(hi - lo + 1);
	return true;
}

static bool read_mask(struct pol_parser *ps, uint32_t *out)
{
	struct pol_loc loc;
	const char *w = pol_word(ps, "a mask", &loc);
	uint64_t v;

	if (!w)
		return false;
	if (str_u64(w, UINT32_MAX, &v) || !v || v / (v & -v) != 0xff)
		return pol_error(ps, &loc,
				 "\"mark-mask\" must be 8 consecutive bits, like "
				 "0x7f800000");
	*out = (uint32_t)v;
	return true;
}

static bool element_hook_bit(struct pol_parser *ps, void *ctx)
{
	int v = pol_keyword(ps, hook_bits, "hook");

	if (v < 0)
		return false;
	*(unsigned *)ctx |= (unsigned)v;
	return true;
}

static bool read_hooks(struct pol_parser *ps, unsigned *out)
{
	unsigned bits = 0;

	if (!pol_list(ps, element_hook_bit, &bits, "a hook"))
		return false;
	*out = bits;
	return true;
}

static bool read_priority(struct pol_parser *ps, const struct setting *st, int *out)
{
	struct pol_loc loc;
	const char *w = pol_word(ps, "a number", &loc);
	bool minus;
	uint64_t v;

	if (!w)
		return false;
	minus = w[0] == '-';
	if (str_u64(w + minus, minus ? -SETTINGS_PRIORITY_MIN : SETTINGS_PRIORITY_MAX, &v))
		return pol_error(ps, &loc, "\"%s\" must be a number from %d to %d", st->name,
				 SETTINGS_PRIORITY_MIN, SETTINGS_PRIORITY_MAX);
	*out = minus ? -(int)v : (int)v;
	return true;
}

static bool read_number(struct pol_parser *ps, const struct setting *st, void *out)
{
	bool size = st->kind != KIND_U32;
	struct pol_loc loc;
	const char *w = pol_word(ps, size ? "a size" : "a number", &loc);
	uint64_t v;

	if (!w)
		return false;
	if ((size ? str_size(w, &v) : str_u64(w, UINT64_MAX, &v)) || v < st->min || v > st->max)
		return pol_error(ps, &loc, "\"%s\" must be a %s from %llu to %llu", st->name,
				 size ? "size" : "number", (unsigned long long)st->min,
				 (unsigned long long)st->max);
	if (st->kind == KIND_SIZE64)
		*(uint64_t *)out = v;
	else
		*(uint32_t *)out = (uint32_t)v;
	return true;
}

static bool read_word(struct pol_parser *ps, const struct setting *st, void *out)
{
	int v = pol_keyword(ps, st->kind == KIND_IPT ? variants : st->words, "value");

	if (v < 0)
		return false;
	if (st->kind == KIND_BOOL)
		*(bool *)out = v;
	else if (st->kind == KIND_WORD8)
		*(uint8_t *)out = (uint8_t)v;
	else
		strcpy(out, v ? pol_keyword_name(variants, v) : "");
	return true;
}

static bool read_setting(struct pol_parser *ps, const struct setting *st)
{
	struct settings *s = &ps->p->settings;
	void *field = (char *)s + st->offset;

	switch (st->kind) {
	case KIND_PATH:
	case KIND_FILE:
	case KIND_NAME:
		return read_text(ps, st, field);
	case KIND_STATE:
		return read_state(ps, st, field);
	case KIND_TABLE:
		return read_table(ps, st, field);
	case KIND_QUEUES:
		return read_queues(ps, s);
	case KIND_MASK:
		return read_mask(ps, field);
	case KIND_HOOKS:
		return read_hooks(ps, field);
	case KIND_PRIORITY:
		return read_priority(ps, st, field);
	case KIND_U32:
	case KIND_SIZE32:
	case KIND_SIZE64:
		return read_number(ps, st, field);
	case KIND_TIME:
		return pol_duration(ps, st->name, st->max, field);
	case KIND_WORD8:
	case KIND_BOOL:
	case KIND_IPT:
		break;
	}
	return read_word(ps, st, field);
}

bool pol_parse_setting(struct pol_parser *ps)
{
	struct pol_loc at;
	const char *w = pol_word(ps, "a setting", &at);
	struct policy *p = ps->p;
	struct pol_guess g;
	size_t i;

	if (!w)
		return false;
	g = pol_guess_for(w);
	for (i = 0; i < NSETTINGS && strcmp(settings[i].name, w); i++)
		pol_guess_try(&g, settings[i].name);
	if (i == NSETTINGS)
		return pol_unknown(ps, &at, "setting", w, g.best);
	if (p->settings_seen & 1ull << i)
		return pol_error(ps, &at, "\"%s\" is given twice, first at %s:%u", w,
				 p->files[p->settings_loc[i].file].name, p->settings_loc[i].line);
	p->settings_seen |= 1ull << i;
	p->settings_loc[i] = at;
	return read_setting(ps, &settings[i]) && pol_end(ps, "the value");
}

/* -------------------------------------------------------------------- printing ---- */

static void print_hooks(unsigned hooks, struct pol_text *t)
{
	const struct pol_keyword *k;
	const char *sep = "{ ";

	for (k = hook_bits; k->name; k++) {
		if (!(hooks & (unsigned)k->value))
			continue;
		pol_text_add(t, "%s%s", sep, k->name);
		sep = ", ";
	}
	pol_text_add(t, " }");
}

static void print_value(const struct setting *st, const struct settings *s, struct pol_text *t)
{
	const void *field = (const char *)s + st->offset;
	char buf[STR_DURATION_MAX];

	switch (st->kind) {
	case KIND_PATH:
	case KIND_FILE:
	case KIND_NAME:
	case KIND_TABLE:
		pol_text_quote(t, field);
		break;
	case KIND_STATE:
		if (strcmp(field, SETTINGS_STATE_AUTO) == 0)
			pol_text_add(t, "%s", SETTINGS_STATE_AUTO);
		else
			pol_text_quote(t, field);
		break;
	case KIND_QUEUES:
		pol_text_add(t, "%u", s->queue_first);
		if (s->queue_count > 1)
			pol_text_add(t, "-%u", s->queue_first + s->queue_count - 1);
		break;
	case KIND_MASK:
		pol_text_add(t, "0x%08x", s->mark_mask);
		break;
	case KIND_WORD8:
		pol_text_add(t, "%s", pol_keyword_name(st->words, *(const uint8_t *)field));
		break;
	case KIND_BOOL:
		pol_text_add(t, "%s", pol_keyword_name(st->words, *(const bool *)field));
		break;
	case KIND_HOOKS:
		print_hooks(s->hooks, t);
		break;
	case KIND_PRIORITY:
		pol_text_add(t, "%d", *(const int *)field);
		break;
	case KIND_IPT:
		pol_text_add(t, "%s", s->iptables[0] ? s->iptables : "auto");
		break;
	case KIND_U32:
	case KIND_SIZE32:
		pol_text_add(t, "%u", *(const uint32_t *)field);
		break;
	case KIND_SIZE64:
		pol_text_add(t, "%llu", (unsigned long long)*(const uint64_t *)field);
		break;
	case KIND_TIME:
		pol_text_add(t, "%s", str_duration_print(*(const uint64_t *)field, buf));
		break;
	}
}

void pol_print_settings(const struct policy *p, struct pol_text *t)
{
	size_t i;

	pol_text_add(t, "settings {\n");
	for (i = 0; i < NSETTINGS; i++) {
		pol_text_add(t, "\t%s ", settings[i].name);
		print_value(&settings[i], &p->settings, t);
		pol_text_add(t, ";\n");
	}
	pol_text_add(t, "}\n");
}
