/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Authorities: who is asked. One table says which key which type has; the keys of those that programs of
 * ours serve are read in policy_served.c, the members of groups in policy_group.c.
 */
#include "core/policy_ast.h"
#include "base/str.h"
#include <string.h>

#define PENDING_MAX 1000000u

#define TYPE(t) (1u << (t))
#define SERVED                                                                   \
	(TYPE(AUTHORITY_SOCKET) | TYPE(AUTHORITY_EXEC) | TYPE(AUTHORITY_DNSBL) | \
	 TYPE(AUTHORITY_HTTP) | TYPE(AUTHORITY_UNIT) | TYPE(AUTHORITY_TOTP))
#define GROUPS \
	(TYPE(AUTHORITY_ANY) | TYPE(AUTHORITY_ALL) | TYPE(AUTHORITY_QUORUM) | TYPE(AUTHORITY_CHAIN))
#define ALL (SERVED | GROUPS | TYPE(AUTHORITY_OPERATOR) | TYPE(AUTHORITY_STATIC))

static const struct authority_key {
	const char *name;
	enum pol_authority_key key;
	unsigned types, needed_by;
} authority_keys[] = {
	{"type", AUTH_TYPE, ALL, 0},
	{"timeout", AUTH_TIMEOUT, ALL, 0},
	{"on-timeout", AUTH_ON_TIMEOUT, ALL, 0},
	{"answer", AUTH_ANSWER, TYPE(AUTHORITY_STATIC), TYPE(AUTHORITY_STATIC)},
	{"of", AUTH_OF, GROUPS, GROUPS},
	{"command", AUTH_COMMAND, TYPE(AUTHORITY_EXEC) | TYPE(AUTHORITY_UNIT),
	 TYPE(AUTHORITY_EXEC)},
	{"mode", AUTH_MODE, TYPE(AUTHORITY_EXEC), 0},
	{"processes", AUTH_PROCESSES, TYPE(AUTHORITY_EXEC), 0},
	{"zones", AUTH_ZONES, TYPE(AUTHORITY_DNSBL), TYPE(AUTHORITY_DNSBL)},
	{"codes", AUTH_CODES, TYPE(AUTHORITY_DNSBL), 0},
	{"threshold", AUTH_THRESHOLD, TYPE(AUTHORITY_DNSBL), 0},
	{"servers", AUTH_SERVERS, TYPE(AUTHORITY_DNSBL), 0},
	{"listed", AUTH_LISTED, TYPE(AUTHORITY_DNSBL), 0},
	{"unlisted", AUTH_UNLISTED, TYPE(AUTHORITY_DNSBL), 0},
	{"url", AUTH_URL, TYPE(AUTHORITY_HTTP), TYPE(AUTHORITY_HTTP)},
	{"ca", AUTH_CA, TYPE(AUTHORITY_HTTP), 0},
	{"header", AUTH_HEADER, TYPE(AUTHORITY_HTTP), 0},
	{"header-file", AUTH_HEADER_FILE, TYPE(AUTHORITY_HTTP), 0},
	{"start", AUTH_START, TYPE(AUTHORITY_UNIT), 0},
	{"ready", AUTH_READY, TYPE(AUTHORITY_UNIT), 0},
	{"idle-stop", AUTH_IDLE_STOP, TYPE(AUTHORITY_UNIT), 0},
	{"secrets", AUTH_SECRETS, TYPE(AUTHORITY_TOTP), TYPE(AUTHORITY_TOTP)},
	{"open", AUTH_OPEN, TYPE(AUTHORITY_TOTP), 0},
	{"on-absent", AUTH_ON_ABSENT, SERVED, 0},
	{"on-error", AUTH_ON_ERROR, SERVED, 0},
	{"max-pending", AUTH_MAX_PENDING, SERVED, 0},
	{"user", AUTH_USER, SERVED, 0},
	{"group", AUTH_GROUP, SERVED, 0},
};

#define NKEYS (sizeof(authority_keys) / sizeof(authority_keys[0]))

static const struct pol_keyword absents[] = {{"block", CLASSIFY_ABSENT_BLOCK},
					     {"permit", CLASSIFY_ABSENT_PERMIT},
					     {"wait", CLASSIFY_ABSENT_WAIT},
					     {NULL, 0}};
static const struct pol_keyword errors[] = {{"block", CLASSIFY_ERROR_BLOCK},
					    {"permit", CLASSIFY_ERROR_PERMIT},
					    {"next", CLASSIFY_ERROR_NEXT},
					    {NULL, 0}};

/* --------------------------------------------------------------------- parsing ---- */

static bool keyword(struct pol_parser *ps, const struct pol_keyword *table, const char *what,
		    uint8_t *out)
{
	int v = pol_keyword(ps, table, what);

	*out = (uint8_t)v;
	return v >= 0;
}

static bool authority_type(struct pol_parser *ps, struct pol_authority *a)
{
	int type = pol_keyword(ps, pol_authtypes, "authority type");

	if (type < 0)
		return false;
	a->type = a->of.type = (uint8_t)type;
	return a->type != AUTHORITY_QUORUM || pol_parse_need(ps, &a->of);
}

static bool authority_value(struct pol_parser *ps, struct pol_authority *a,
			    enum pol_authority_key key)
{
	switch (key) {
	case AUTH_TYPE:
		return authority_type(ps, a);
	case AUTH_OF:
		return pol_parse_members(ps, &a->of);
	case AUTH_ANSWER:
		return keyword(ps, pol_verdicts, "verdict", &a->answer);
	case AUTH_TIMEOUT:
		return pol_duration(ps, "timeout", POLICY_TIMEOUT_MAX, &a->timeout_ns);
	case AUTH_ON_TIMEOUT:
		return keyword(ps, pol_verdicts, "verdict", &a->on_timeout);
	case AUTH_ON_ABSENT:
		return keyword(ps, absents, "way out", &a->on_absent);
	case AUTH_ON_ERROR:
		return keyword(ps, errors, "way out", &a->on_error);
	case AUTH_MAX_PENDING:
		return pol_number(ps, "a number", 1, PENDING_MAX, &a->max_pending);
	case AUTH_USER:
		return pol_parse_id(ps, false, &a->user);
	case AUTH_GROUP:
		return pol_parse_id(ps, true, &a->group);
	case AUTH_COMMAND:
	case AUTH_MODE:
	case AUTH_PROCESSES:
	case AUTH_ZONES:
	case AUTH_CODES:
	case AUTH_THRESHOLD:
	case AUTH_SERVERS:
	case AUTH_LISTED:
	case AUTH_UNLISTED:
	case AUTH_URL:
	case AUTH_CA:
	case AUTH_HEADER:
	case AUTH_HEADER_FILE:
	case AUTH_START:
	case AUTH_READY:
	case AUTH_IDLE_STOP:
	case AUTH_SECRETS:
	case AUTH_OPEN:
		return pol_parse_served(ps, a, key);
	case AUTH_COUNT:
		break;
	}
	return false;
}

/* All of the type, or all there are before it is known; `what` begins the sentence. */
static bool unknown_key(struct pol_parser *ps, const struct pol_authority *a,
			const struct pol_loc *at, const char *word)
{
	unsigned types = a->type ? TYPE(a->type) : ALL;
	char what[64] = "authority statement", list[256] = "", show[POL_SHOW_MAX];
	struct pol_guess g = pol_guess_for(word);
	size_t len = 0;

	if (a->type) {
		what[0] = '\0';
		str_append(what, sizeof(what), &(size_t){0}, "statement for authority type %s",
			   pol_keyword_name(pol_authtypes, a->type));
	}
	for (size_t i = 0; i < NKEYS; i++) {
		if (!(authority_keys[i].types & types))
			continue;
		pol_guess_try(&g, authority_keys[i].name);
		str_append(list, sizeof(list), &len, "%s%s", len ? ", " : "",
			   authority_keys[i].name);
	}
	if (g.best || !a->type)
		return pol_unknown(ps, at, what, word, g.best);
	return pol_error(ps, at, "unknown %s \"%s\", it has %s", what, pol_show(word, show), list);
}

static bool authority_statement(struct pol_parser *ps, struct pol_authority *a)
{
	const struct authority_key *k = authority_keys;
	struct pol_loc at;
	const char *s = pol_word(ps, "an authority statement", &at);

	if (!s)
		return false;
	while (k < authority_keys + NKEYS && strcmp(k->name, s))
		k++;
	if (k == authority_keys + NKEYS)
		return unknown_key(ps, a, &at, s);
	if (a->seen & POL_BIT(k->key) && k->key != AUTH_HEADER)
		return pol_error(ps, &at, "\"%s\" is given twice", k->name);
	a->seen |= POL_BIT(k->key);
	a->key_loc[k->key] = at;
	return authority_value(ps, a, k->key) && pol_end(ps, "the value");
}

struct pol_authority *pol_authority_find(const struct policy *p, const char *name)
{
	struct pol_authority *a = p->authorities;

	while (a && strcmp(a->name, name))
		a = a->next;
	return a;
}

bool pol_authority_unknown(struct pol_parser *ps, const struct pol_loc *at, const char *name)
{
	struct pol_guess g = pol_guess_for(name);
	const struct pol_authority *a;

	for (a = ps->p->authorities; a; a = a->next)
		pol_guess_try(&g, a->name);
	return pol_unknown(ps, at, "authority", name, g.best);
}

bool pol_authority_add(struct pol_parser *ps, struct pol_authority *a, const struct pol_loc *at)
{
	struct policy *p = ps->p;

	if (p->nauthorities == POLICY_AUTHORITIES_MAX)
		return pol_error(ps, at, "more than %d authorities", POLICY_AUTHORITIES_MAX);
	p->nauthorities++;
	if (p->last_authority)
		p->last_authority->next = a;
	else
		p->authorities = a;
	p->last_authority = a;
	return true;
}

static bool authority_new(struct pol_parser *ps, struct pol_authority *a, const char *name,
			  const struct pol_loc *loc)
{
	const struct pol_authority *o = pol_authority_find(ps->p, name);

	a->name = name;
	a->loc = *loc;
	if (o)
		return pol_redefined(ps, loc, "authority", name, &o->loc);
	return pol_authority_add(ps, a, loc);
}

bool pol_parse_authority(struct pol_parser *ps, const struct pol_loc *at)
{
	struct pol_authority *a = pol_alloc(&ps->p->arena, sizeof(*a));
	struct pol_loc loc, open;
	const char *name;
	unsigned level;

	(void)at;
	if (!a)
		return pol_oom(ps);
	name = pol_new_name(ps, "a name for the authority", &loc);
	if (!name || !authority_new(ps, a, name, &loc))
		return false;
	open = ps->tok.loc;
	if (!pol_expect(ps, TOK_LBRACE, "'{'"))
		return false;
	level = ps->depth;
	while (!pol_at_block_end(ps)) {
		loc = ps->tok.loc;
		if (!pol_accept(ps, TOK_SEMI) && !authority_statement(ps, a)) {
			a->broken = true;
			pol_recover(ps, level, true, &loc);
		}
	}
	return pol_block_close(ps, &open) && pol_block_end(ps);
}

/* ---------------------------------------------------------------------- checks ---- */

static bool wrong_type(struct pol_parser *ps, const struct pol_authority *a,
		       const struct authority_key *k)
{
	const struct pol_keyword *t;
	char list[160] = "";
	size_t len = 0;

	for (t = pol_authtypes; t->name; t++)
		if (k->types & TYPE(t->value))
			str_append(list, sizeof(list), &len, "%s%s", len ? ", " : "", t->name);
	return pol_error(ps, &a->key_loc[k->key],
			 "an authority of type %s has no \"%s\", which is for type %s",
			 pol_keyword_name(pol_authtypes, a->type), k->name, list);
}

static void check_authority(struct pol_parser *ps, struct pol_authority *a)
{
	if (!(a->seen & POL_BIT(AUTH_TIMEOUT)))
		a->timeout_ns = ps->p->settings.timeout_ns;
	if (!(a->seen & POL_BIT(AUTH_TYPE)))
		pol_error(ps, &a->loc, "authority \"%s\" has no type", a->name);
	if (!a->type)
		return;
	for (const struct authority_key *k = authority_keys; k < authority_keys + NKEYS; k++) {
		bool seen = a->seen & POL_BIT(k->key);

		if (seen && !(k->types & TYPE(a->type)))
			wrong_type(ps, a, k);
		if (!seen && !a->broken && k->needed_by & TYPE(a->type))
			pol_error(ps, &a->loc, "authority \"%s\" of type %s needs \"%s\"", a->name,
				  pol_keyword_name(pol_authtypes, a->type), k->name);
	}
	pol_check_served(ps, a);
}

/* `operator` exists unless the policy says what that is. */
static void add_builtin(struct pol_parser *ps)
{
	struct policy *p = ps->p;
	struct pol_authority *a;

	if (pol_authority_find(p, "operator"))
		return;
	a = pol_alloc(&p->arena, sizeof(*a));
	if (!a) {
		pol_oom(ps);
		return;
	}
	*a = (struct pol_authority){.next = p->authorities, .name = "operator", .builtin = true};
	a->seen = POL_BIT(AUTH_TYPE);
	a->type = AUTHORITY_OPERATOR;
	p->authorities = a;
	if (!p->last_authority)
		p->last_authority = a;
	p->nauthorities++;
}

void pol_check_authorities(struct pol_parser *ps)
{
	struct pol_authority *a;
	uint16_t index = 0;

	add_builtin(ps);
	for (a = ps->p->authorities; a; a = a->next) {
		a->index = index++;
		check_authority(ps, a);
	}
	for (a = ps->p->authorities; a; a = a->next)
		if (pol_group_is(a->type))
			pol_check_group(ps, a);
}

/* -------------------------------------------------------------------- printing ---- */

static void print_type(const struct pol_authority *a, struct pol_text *t)
{
	pol_text_add(t, "authority %s {\n\ttype %s", a->name,
		     pol_keyword_name(pol_authtypes, a->type));
	if (a->type == AUTHORITY_QUORUM)
		pol_text_add(t, " %u", a->of.need);
	pol_text_add(t, ";\n");
	if (!pol_group_is(a->type))
		return;
	pol_text_add(t, "\tof { ");
	for (unsigned i = 0; i < a->of.n; i++)
		pol_text_add(t, "%s%s", i ? ", " : "", a->of.member[i].name);
	pol_text_add(t, " };\n");
}

static void print_id(const char *word, const struct pol_id *id, struct pol_text *t)
{
	pol_text_add(t, "\t%s ", word);
	pol_print_id(id, t);
	pol_text_add(t, ";\n");
}

void pol_print_authority(const struct pol_authority *a, struct pol_text *t)
{
	char buf[STR_DURATION_MAX];

	print_type(a, t);
	if (a->seen & POL_BIT(AUTH_ANSWER))
		pol_text_add(t, "\tanswer %s;\n", pol_keyword_name(pol_verdicts, a->answer));
	pol_print_served(a, t);
	if (a->seen & POL_BIT(AUTH_TIMEOUT))
		pol_text_add(t, "\ttimeout %s;\n", str_duration_print(a->timeout_ns, buf));
	if (a->seen & POL_BIT(AUTH_ON_TIMEOUT))
		pol_text_add(t, "\ton-timeout %s;\n",
			     pol_keyword_name(pol_verdicts, a->on_timeout));
	if (a->seen & POL_BIT(AUTH_ON_ABSENT))
		pol_text_add(t, "\ton-absent %s;\n", pol_keyword_name(absents, a->on_absent));
	if (a->seen & POL_BIT(AUTH_ON_ERROR))
		pol_text_add(t, "\ton-error %s;\n", pol_keyword_name(errors, a->on_error));
	if (a->seen & POL_BIT(AUTH_MAX_PENDING))
		pol_text_add(t, "\tmax-pending %u;\n", a->max_pending);
	if (a->user)
		print_id("user", a->user, t);
	if (a->group)
		print_id("group", a->group, t);
	pol_text_add(t, "}\n");
}
