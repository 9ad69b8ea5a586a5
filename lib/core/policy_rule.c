/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Rules: an action, conditions in any order, options. One table entry for each word. */
#include "core/policy_ast.h"
#include "base/str.h"
#include "core/flow.h"
#include <string.h>

#define IFACE_NAME_MAX 15 /* IFNAMSIZ - 1 */

/* ------------------------------------------------------------------- elements ---- */

static bool element_proto(struct pol_parser *ps, void *ctx)
{
	struct pol_loc loc;
	const char *s = pol_word(ps, "a protocol", &loc);
	struct pol_guess g;
	int proto, i;

	if (!s)
		return false;
	proto = flow_proto_parse(s);
	if (proto >= 0) {
		pol_bits_add(ctx, (unsigned)proto);
		return true;
	}
	g = pol_guess_for(s);
	for (i = 0; i < 256; i++)
		if (flow_proto_name((uint8_t)i))
			pol_guess_try(&g, flow_proto_name((uint8_t)i));
	return pol_unknown(ps, &loc, "protocol", s, g.best);
}

static bool port_number(const char *s, uint16_t *out)
{
	uint64_t v;

	if (str_u64(s, UINT16_MAX, &v))
		return false;
	*out = (uint16_t)v;
	return true;
}

/* "22", "1000-2000", "ssh": 0 good, 1 unknown, 2 out of range or order */
static int port_parse(const char *s, struct pol_ports *out)
{
	const char *dash = strchr(s, '-');
	char lo[8] = "";
	int port;

	if (s[0] < '0' || s[0] > '9') {
		port = pol_service_port(s);
		out->lo = out->hi = (uint16_t)port;
		return port < 0;
	}
	if (!dash) {
		if (!port_number(s, &out->lo))
			return 2;
		out->hi = out->lo;
		return 0;
	}
	if (dash - s >= (long)sizeof(lo))
		return 2;
	memcpy(lo, s, (size_t)(dash - s));
	return port_number(lo, &out->lo) && port_number(dash + 1, &out->hi) && out->lo <= out->hi
		       ? 0
		       : 2;
}

static bool element_port(struct pol_parser *ps, void *ctx)
{
	struct pol_ports **list = ctx, *port = pol_alloc(&ps->p->arena, sizeof(*port));
	struct pol_loc loc;
	const char *s = pol_word(ps, "a port", &loc);
	struct pol_guess g;

	if (!s)
		return false;
	if (!port)
		return pol_oom(ps);
	switch (port_parse(s, port)) {
	case 1:
		g = pol_guess_for(s);
		pol_service_guess(&g);
		return pol_unknown(ps, &loc, "service", s, g.best);
	case 2:
		return pol_error(ps, &loc,
				 "a port is a number from 0 to 65535, a range like 1000-2000, or a "
				 "service");
	}
	while (*list)
		list = &(*list)->next;
	*list = port;
	return true;
}

static bool iface_check(const char *s, size_t len, bool wild)
{
	size_t i;

	if ((!len && !wild) || len > IFACE_NAME_MAX || !strcmp(s, ".") || !strcmp(s, ".."))
		return false;
	for (i = 0; i < len; i++)
		if (s[i] == '*' || s[i] == '/' || s[i] == ':' || (unsigned char)s[i] <= ' ' ||
		    (unsigned char)s[i] > '~')
			return false;
	return true;
}

static bool element_iface(struct pol_parser *ps, void *ctx)
{
	struct pol_iface **list = ctx, *iface = pol_alloc(&ps->p->arena, sizeof(*iface));
	struct pol_loc loc;
	const char *s = pol_value(ps, "an interface", &loc);
	size_t len;

	if (!s)
		return false;
	if (!iface)
		return pol_oom(ps);
	len = strlen(s);
	iface->wild = len && s[len - 1] == '*';
	len -= iface->wild;
	if (!iface_check(s, len, iface->wild))
		return pol_error(ps, &loc,
				 "an interface name has 1 to 15 characters, not '/' or ':', and "
				 "'*' only at its end");
	iface->name = pol_strndup(&ps->p->arena, s, len);
	if (!iface->name)
		return pol_oom(ps);
	while (*list)
		list = &(*list)->next;
	*list = iface;
	return true;
}

static bool element_hook(struct pol_parser *ps, void *ctx)
{
	int v = pol_keyword(ps, pol_hooks, "hook");

	if (v < 0)
		return false;
	*(uint8_t *)ctx |= (uint8_t)POL_BIT(v);
	return true;
}

static bool element_icmp_type(struct pol_parser *ps, void *ctx)
{
	struct pol_icmp **list = ctx, *type = pol_alloc(&ps->p->arena, sizeof(*type));
	struct pol_loc loc;
	const char *s = pol_word(ps, "an ICMP type", &loc);
	struct pol_guess g;
	uint64_t v;

	if (!s)
		return false;
	if (!type)
		return pol_oom(ps);
	if (!str_u64(s, 255, &v)) {
		type->v4 = type->v6 = (int)v;
	} else if (!pol_icmp_lookup(s, type)) {
		g = pol_guess_for(s);
		pol_icmp_guess(&g);
		return pol_unknown(ps, &loc, "ICMP type", s, g.best);
	}
	while (*list)
		list = &(*list)->next;
	*list = type;
	return true;
}

static bool element_icmp_code(struct pol_parser *ps, void *ctx)
{
	struct pol_loc loc;
	const char *s = pol_word(ps, "an ICMP code", &loc);
	uint64_t v;

	if (!s)
		return false;
	if (str_u64(s, 255, &v))
		return pol_error(ps, &loc, "an ICMP code is a number from 0 to 255");
	pol_bits_add(ctx, (unsigned)v);
	return true;
}

/* ----------------------------------------------------------------- conditions ---- */

static bool cond_seen(struct pol_parser *ps, struct pol_rule *r, enum pol_cond c, const char *word,
		      const struct pol_loc *at)
{
	if (r->seen & POL_BIT(c))
		return pol_error(ps, at, "\"%s\" is given twice", word);
	r->seen |= POL_BIT(c);
	r->cond_loc[c] = *at;
	return true;
}

static void negation(struct pol_parser *ps, struct pol_rule *r, enum pol_cond c)
{
	if (pol_is(ps, "not"))
		pol_advance(ps);
	else if (!pol_accept(ps, TOK_BANG))
		return;
	r->neg |= POL_BIT(c);
}

static bool cond_family(struct pol_parser *ps, struct pol_rule *r)
{
	static const struct pol_keyword families[] = {
		{"ipv4", FLOW_V4}, {"ipv6", FLOW_V6}, {NULL, 0}};
	int v = pol_keyword(ps, families, "family");

	r->family = (uint8_t)v;
	return v >= 0;
}

/* "5" or "0x10/0xf0" */
static bool cond_mark(struct pol_parser *ps, struct pol_rule *r)
{
	struct pol_loc loc;
	const char *s = pol_word(ps, "a mark", &loc), *slash;
	uint64_t value = 0, mask = UINT32_MAX;
	char head[POLICY_WORD_MAX + 1] = "";

	if (!s)
		return false;
	slash = strchr(s, '/');
	memcpy(head, s, slash ? (size_t)(slash - s) : strlen(s));
	if (str_u64(head, UINT32_MAX, &value) || (slash && str_u64(slash + 1, UINT32_MAX, &mask)))
		return pol_error(ps, &loc, "a mark is a number or number/mask of 32 bits");
	if (value & ~mask)
		return pol_error(ps, &loc, "mark has bits outside of its mask and can never match");
	r->mark = (uint32_t)value;
	r->mark_mask = (uint32_t)mask;
	return true;
}

static bool element_address(struct pol_parser *ps, void *ctx)
{
	return pol_parse_address(ps, ctx);
}

static bool parse_ports(struct pol_parser *ps, struct pol_rule *r, enum pol_cond c)
{
	struct pol_loc at = ps->tok.loc;

	pol_advance(ps);
	if (!cond_seen(ps, r, c, "port", &at))
		return false;
	negation(ps, r, c);
	return pol_list(ps, element_port, c == COND_SPORT ? &r->sport : &r->dport, "a port");
}

/* from|to ADDRESSES, from|to port PORTS, or both */
static bool parse_end(struct pol_parser *ps, struct pol_rule *r, enum pol_cond addr,
		      const struct pol_loc *at)
{
	enum pol_cond port = addr == COND_FROM ? COND_SPORT : COND_DPORT;
	struct pol_items *items = addr == COND_FROM ? &r->from : &r->to;
	const char *word = addr == COND_FROM ? "from" : "to";

	if (pol_is(ps, "port"))
		return parse_ports(ps, r, port);
	if ((r->seen & (POL_BIT(addr) | POL_BIT(port))) || r->any & POL_BIT(addr))
		return pol_error(ps, at, "\"%s\" is given twice", word);
	if (pol_is(ps, "any")) {
		r->any |= POL_BIT(addr);
		pol_advance(ps);
	} else {
		cond_seen(ps, r, addr, word, at);
		negation(ps, r, addr);
		if (!pol_list(ps, element_address, items, "an address, prefix, range or @set"))
			return false;
	}
	return pol_is(ps, "port") ? parse_ports(ps, r, port) : true;
}

/* alone, yes or no; or `reason` and which */
static bool parse_reauthorize(struct pol_parser *ps, struct pol_rule *r, const struct pol_loc *at)
{
	if (r->seen & (POL_BIT(COND_REAUTHORIZE) | POL_BIT(COND_REASON)))
		return pol_error(ps, at, "\"%s\" is given twice", "reauthorize");
	if (pol_is(ps, "reason")) {
		pol_advance(ps);
		cond_seen(ps, r, COND_REASON, "reauthorize", at);
		negation(ps, r, COND_REASON);
		return pol_list(ps, pol_element_reason, &r->reasons, "a reason");
	}
	cond_seen(ps, r, COND_REAUTHORIZE, "reauthorize", at);
	if (pol_is(ps, "no"))
		r->neg |= POL_BIT(COND_REAUTHORIZE);
	if (pol_is(ps, "no") || pol_is(ps, "yes"))
		pol_advance(ps);
	return true;
}

struct cond_word {
	const char *word;
	enum pol_cond cond;
};

static const struct cond_word cond_words[] = {
	{"proto", COND_PROTO},
	{"family", COND_FAMILY},
	{"from", COND_FROM},
	{"to", COND_TO},
	{"in", COND_IN},
	{"out", COND_OUT},
	{"hook", COND_HOOK},
	{"icmp-type", COND_ICMP_TYPE},
	{"icmp-code", COND_ICMP_CODE},
	{"mark", COND_MARK},
	{"tcp-flags", COND_TCP_FLAGS},
	{"time", COND_TIME},
	{"day", COND_DAY},
	{"reauthorize", COND_REAUTHORIZE},
	{"until", COND_UNTIL},
	{"country", COND_COUNTRY},
	{"user", COND_USER},
	{"group", COND_GROUP},
	{"executable", COND_EXECUTABLE},
	{"cgroup", COND_CGROUP},
	{"unit", COND_UNIT},
};

#define NCONDS (sizeof(cond_words) / sizeof(cond_words[0]))

static bool parse_cond(struct pol_parser *ps, struct pol_rule *r, const struct cond_word *w,
		       const struct pol_loc *at)
{
	if (w->cond == COND_FROM || w->cond == COND_TO)
		return parse_end(ps, r, w->cond, at);
	if (w->cond == COND_REAUTHORIZE)
		return parse_reauthorize(ps, r, at);
	if (!cond_seen(ps, r, w->cond, w->word, at))
		return false;
	if (w->cond == COND_UNTIL)
		return pol_parse_until(ps, r);
	negation(ps, r, w->cond);
	switch (w->cond) {
	case COND_PROTO:
		return pol_list(ps, element_proto, &r->proto, "a protocol");
	case COND_FAMILY:
		return cond_family(ps, r);
	case COND_IN:
		return pol_list(ps, element_iface, &r->in, "an interface");
	case COND_OUT:
		return pol_list(ps, element_iface, &r->out, "an interface");
	case COND_HOOK:
		return pol_list(ps, element_hook, &r->hooks, "a hook");
	case COND_ICMP_TYPE:
		return pol_list(ps, element_icmp_type, &r->icmp, "an ICMP type");
	case COND_ICMP_CODE:
		return pol_list(ps, element_icmp_code, &r->icmp_code, "an ICMP code");
	case COND_MARK:
		return cond_mark(ps, r);
	case COND_TCP_FLAGS:
		return pol_parse_tcp_flags(ps, r);
	case COND_TIME:
		return pol_list(ps, pol_element_time, &r->time, "a time of day");
	case COND_DAY:
		return pol_list(ps, pol_element_day, &r->days, "a day");
	case COND_COUNTRY:
		return pol_list(ps, pol_element_country, &r->country, "a country");
	case COND_USER:
		return pol_list(ps, pol_element_user, &r->user, "a user");
	case COND_GROUP:
		return pol_list(ps, pol_element_group, &r->group, "a group");
	case COND_EXECUTABLE:
		return pol_list(ps, pol_element_executable, &r->executable,
				"the path of a program as a string");
	case COND_CGROUP:
		return pol_list(ps, pol_element_cgroup, &r->cgroup,
				"the path of a control group as a string");
	case COND_UNIT:
		return pol_list(ps, pol_element_unit, &r->unit, "a unit");
	case COND_FROM:
	case COND_SPORT:
	case COND_TO:
	case COND_DPORT:
	case COND_REAUTHORIZE:
	case COND_REASON:
	case COND_UNTIL:
	case COND_COUNT:
		break;
	}
	return false;
}

/* -------------------------------------------------------------------- options ---- */

struct opt_word {
	const char *word;
	enum pol_opt opt;
};

static const struct opt_word opt_words[] = {
	{"ask", OPT_ASK},     {"timeout", OPT_TIMEOUT},   {"on-timeout", OPT_ON_TIMEOUT},
	{"with", OPT_WITH},   {"complete", OPT_COMPLETE}, {"hold", OPT_MODE},
	{"absorb", OPT_MODE}, {"log", OPT_LOG},           {"counter", OPT_COUNTER},
	{"rate", OPT_RATE},   {"quota", OPT_QUOTA},       {"remember", OPT_REMEMBER},
};

#define NOPTS (sizeof(opt_words) / sizeof(opt_words[0]))

static bool opt_counter(struct pol_parser *ps, struct pol_rule *r)
{
	struct pol_loc loc;

	r->counter = pol_new_name(ps, "a name for the counter", &loc);
	return r->counter != NULL;
}

/* Behind a quota `in` is a duration's word, or else the condition's. */
static bool opt_quota(struct pol_parser *ps, struct pol_rule *r)
{
	struct pol_loc at;

	if (!pol_parse_quota(ps, r))
		return false;
	if (!pol_is(ps, "in"))
		return true;
	at = ps->tok.loc;
	pol_advance(ps);
	if (pol_at_duration(ps))
		return pol_duration(ps, "a quota's time", POLICY_TIMEOUT_MAX, &r->limit.window_ns);
	if (!cond_seen(ps, r, COND_IN, "in", &at))
		return false;
	negation(ps, r, COND_IN);
	return pol_list(ps, element_iface, &r->in, "an interface");
}

static bool opt_keyword(struct pol_parser *ps, const struct pol_keyword *table, const char *what,
			uint8_t *out)
{
	int v = pol_keyword(ps, table, what);

	*out = (uint8_t)v;
	return v >= 0;
}

static bool parse_opt(struct pol_parser *ps, struct pol_rule *r, const struct opt_word *w,
		      const struct pol_loc *at)
{
	if (r->opts & POL_BIT(w->opt))
		return w->opt == OPT_MODE
			       ? pol_error(ps, at, "only one of \"hold\" and \"absorb\", once")
			       : pol_error(ps, at, "\"%s\" is given twice", w->word);
	r->opts |= POL_BIT(w->opt);
	r->opt_loc[w->opt] = *at;
	switch (w->opt) {
	case OPT_ASK:
		return pol_parse_ask(ps, r);
	case OPT_TIMEOUT:
		return pol_duration(ps, "timeout", POLICY_TIMEOUT_MAX, &r->timeout_ns);
	case OPT_ON_TIMEOUT:
		return opt_keyword(ps, pol_verdicts, "verdict", &r->on_timeout);
	case OPT_WITH:
		return opt_keyword(ps, pol_blocks, "way to block", &r->with);
	case OPT_COMPLETE:
		return opt_keyword(ps, pol_releases, "way to complete", &r->complete);
	case OPT_MODE:
		r->mode = w->word[0] == 'h' ? PEND_MODE_HOLD : PEND_MODE_ABSORB;
		return true;
	case OPT_LOG:
		return true;
	case OPT_COUNTER:
		return opt_counter(ps, r);
	case OPT_RATE:
		return pol_parse_rate(ps, r);
	case OPT_QUOTA:
		return opt_quota(ps, r);
	case OPT_REMEMBER:
		return pol_parse_remember(ps, r);
	case OPT_COUNT:
		break;
	}
	return false;
}

/* ---------------------------------------------------------------------- rules ---- */

static const struct cond_word *cond_find(const char *word)
{
	size_t i;

	for (i = 0; i < NCONDS; i++)
		if (!strcmp(cond_words[i].word, word))
			return &cond_words[i];
	return NULL;
}

static const struct opt_word *opt_find(const char *word)
{
	size_t i;

	for (i = 0; i < NOPTS; i++)
		if (!strcmp(opt_words[i].word, word))
			return &opt_words[i];
	return NULL;
}

bool pol_rule_word(const char *word)
{
	return cond_find(word) || opt_find(word);
}

void pol_action_guess(struct pol_guess *g)
{
	static const struct {
		const char *word, *action;
	} elsewhere[] = {{"deny", "block"},
			 {"drop", "block"},
			 {"reject", "block"},
			 {"allow", "permit"},
			 {"accept", "permit"}};
	const struct pol_keyword *k;
	size_t i;

	for (k = pol_actions; k->name; k++)
		pol_guess_try(g, k->name);
	for (i = 0; i < sizeof(elsewhere) / sizeof(elsewhere[0]); i++)
		if (!strcmp(g->word, elsewhere[i].word))
			*g = (struct pol_guess){g->word, elsewhere[i].action, 0};
}

void pol_rule_guess(struct pol_guess *g)
{
	size_t i;

	for (i = 0; i < NCONDS; i++)
		pol_guess_try(g, cond_words[i].word);
	for (i = 0; i < NOPTS; i++)
		pol_guess_try(g, opt_words[i].word);
}

static bool rule_unknown(struct pol_parser *ps, const char *word, const struct pol_loc *at,
			 bool conditions)
{
	struct pol_guess g = pol_guess_for(word);

	if (!strcmp(word, "port"))
		return pol_error(ps, at, "\"port\" stands behind \"from\" or \"to\"");
	if (!conditions)
		return pol_error(ps, at, "a default takes only \"with\" and \"log\"");
	if (word[0] == '/' || !strcmp(word, "-"))
		return pol_blank(ps, at, word[0]);
	if (conditions)
		pol_rule_guess(&g);
	return pol_unknown(ps, at, "condition or option", word, g.best);
}

static bool at_rule_end(const struct pol_parser *ps)
{
	if (ps->tok.type == TOK_SEMI || ps->tok.type == TOK_RBRACE || ps->tok.type == TOK_EOF)
		return true;
	return ps->tok.bol && !(ps->tok.type == TOK_WORD && pol_rule_word(ps->tok.text));
}

static bool parse_words(struct pol_parser *ps, struct pol_rule *r, bool conditions)
{
	const struct cond_word *c;
	const struct opt_word *o;
	const char *word;
	struct pol_loc at;

	while (!at_rule_end(ps)) {
		word = pol_word(ps, conditions ? "a condition or ';'" : "';'", &at);
		if (!word)
			return false;
		c = conditions ? cond_find(word) : NULL;
		o = opt_find(word);
		if (!c && !(o && (conditions || o->opt == OPT_WITH || o->opt == OPT_LOG)))
			return rule_unknown(ps, word, &at, conditions);
		if (c ? !parse_cond(ps, r, c, &at) : !parse_opt(ps, r, o, &at))
			return false;
	}
	return true;
}

static struct pol_rule *rule_new(struct pol_parser *ps, struct pol_layer *layer)
{
	struct pol_rule *r = pol_alloc(&ps->p->arena, sizeof(*r));

	if (!r) {
		pol_oom(ps);
		return NULL;
	}
	if (ps->p->nrules == POLICY_RULES_MAX) {
		pol_error(ps, &ps->tok.loc, "more than %d rules", POLICY_RULES_MAX);
		ps->errors = POLICY_MAX_ERRORS;
		return NULL;
	}
	r->loc = ps->tok.loc;
	r->layer = layer;
	r->broken = true;
	ps->p->nrules++;
	layer->n++;
	if (layer->last)
		layer->last->next = r;
	else
		layer->rules = r;
	layer->last = r;
	return r;
}

bool pol_parse_rule(struct pol_parser *ps, struct pol_layer *layer)
{
	struct pol_rule *r = rule_new(ps, layer);
	const struct pol_keyword *a;

	if (!r)
		return false;
	for (a = pol_actions; a->name; a++)
		if (pol_is(ps, a->name))
			r->action = (uint8_t)a->value;
	pol_advance(ps);
	r->broken = !parse_words(ps, r, true) || !pol_end(ps, "the rule");
	return !r->broken;
}

bool pol_parse_default(struct pol_parser *ps, struct pol_layer *layer)
{
	struct pol_rule *r = rule_new(ps, layer);
	struct pol_loc at = ps->tok.loc;
	int v;

	if (!r)
		return false;
	r->is_default = true;
	pol_advance(ps);
	v = pol_keyword(ps, pol_verdicts, "verdict");
	if (v < 0)
		return false;
	r->action = v == PEND_VERDICT_PERMIT ? CLASSIFY_PERMIT : CLASSIFY_BLOCK;
	if (layer->fallback)
		return pol_error(ps, &at, "\"default\" is given twice");
	layer->fallback = r;
	r->broken = !parse_words(ps, r, false) || !pol_end(ps, "the default");
	return !r->broken;
}
