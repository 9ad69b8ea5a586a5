/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Groups of authorities. A group has a name of its own (`authority NAME { type any; of { a, b } }`), or stands in a
 * rule (`ask any { a b }`): then it is an authority all the same, whose name is what stands there, shared by
 * all rules that say the same.
 */
#include "core/policy_ast.h"
#include "base/str.h"
#include <stdlib.h>
#include <string.h>

bool pol_group_is(uint8_t type)
{
	return type >= AUTHORITY_ANY && type <= AUTHORITY_CHAIN;
}

/* --------------------------------------------------------------------- parsing ---- */

static bool element_member(struct pol_parser *ps, void *ctx)
{
	struct pol_group *g = ctx;
	struct pol_loc loc;
	const char *s = pol_word(ps, "the name of an authority", &loc);

	if (!s)
		return false;
	for (unsigned i = 0; i < g->n; i++)
		if (!strcmp(g->member[i].name, s))
			return pol_error(ps, &loc, "\"%s\" is given twice", g->member[i].name);
	if (g->n == CLASSIFY_MEMBERS_MAX)
		return pol_error(ps, &loc, "a group has at most %d members", CLASSIFY_MEMBERS_MAX);
	s = pol_strndup(&ps->p->arena, s, strlen(s));
	if (!s)
		return pol_oom(ps);
	g->member[g->n++] = (struct pol_member){.name = s, .loc = loc};
	return true;
}

bool pol_parse_members(struct pol_parser *ps, struct pol_group *g)
{
	struct pol_loc at = ps->tok.loc;

	if (!pol_names(ps, element_member, g, "the name of an authority"))
		return false;
	return g->n >= 2 || pol_error(ps, &at, "a group has at least 2 members");
}

bool pol_parse_need(struct pol_parser *ps, struct pol_group *g)
{
	uint32_t need;

	if (!pol_number(ps, "how many must agree", 1, CLASSIFY_MEMBERS_MAX, &need))
		return false;
	g->need = (uint8_t)need;
	return true;
}

/* `2 of`, its number being `word`. */
static bool asked_quorum(struct pol_parser *ps, struct pol_group *g, const char *word,
			 const struct pol_loc *at)
{
	uint64_t need;

	if (str_u64(word, CLASSIFY_MEMBERS_MAX, &need) || !need)
		return pol_error(ps, at, "expected how many must agree from 1 to %d",
				 CLASSIFY_MEMBERS_MAX);
	if (!pol_is(ps, "of"))
		return pol_expected(ps, "\"of\"");
	pol_advance(ps);
	g->type = AUTHORITY_QUORUM;
	g->need = (uint8_t)need;
	return true;
}

/* A name that is one of these words is followed by no brace. */
static uint8_t group_word(const char *s)
{
	return !strcmp(s, "any")     ? AUTHORITY_ANY
	       : !strcmp(s, "all")   ? AUTHORITY_ALL
	       : !strcmp(s, "chain") ? AUTHORITY_CHAIN
				     : 0;
}

static const char *group_text(struct pol_parser *ps, const struct pol_group *g)
{
	struct pol_text t = {0};
	const char *s = NULL;

	if (g->type == AUTHORITY_QUORUM)
		pol_text_add(&t, "%u of {", g->need);
	else
		pol_text_add(&t, "%s {", pol_keyword_name(pol_authtypes, g->type));
	for (unsigned i = 0; i < g->n; i++)
		pol_text_add(&t, " %s", g->member[i].name);
	pol_text_add(&t, " }");
	if (!t.oom)
		s = pol_strndup(&ps->p->arena, t.s, t.len);
	free(t.s);
	return s;
}

bool pol_parse_ask(struct pol_parser *ps, struct pol_rule *r)
{
	struct pol_loc loc;
	const char *s = pol_word(ps, "the name of an authority", &loc);
	bool digit = s && s[0] >= '0' && s[0] <= '9';

	if (!s)
		return false;
	r->opt_loc[OPT_ASK] = loc;
	if (!strcmp(s, "quorum") && ps->tok.type == TOK_WORD && ps->tok.text[0] >= '0' &&
	    ps->tok.text[0] <= '9')
		return pol_error(ps, &loc, "in a rule it is \"ask %s of { ... }\"", ps->tok.text);
	if (!digit && (ps->tok.type != TOK_LBRACE || !group_word(s))) {
		r->ask = pol_strndup(&ps->p->arena, s, strlen(s));
		return r->ask ? true : pol_oom(ps);
	}
	r->group_asked = pol_alloc(&ps->p->arena, sizeof(*r->group_asked));
	if (!r->group_asked)
		return pol_oom(ps);
	r->group_asked->type = group_word(s);
	if (digit && !asked_quorum(ps, r->group_asked, s, &loc))
		return false;
	if (!pol_parse_members(ps, r->group_asked))
		return false;
	r->ask = group_text(ps, r->group_asked);
	return r->ask ? true : pol_oom(ps);
}

/* ---------------------------------------------------------------------- checks ---- */

static bool resolve(struct pol_parser *ps, struct pol_group *g)
{
	bool good = true;

	for (unsigned i = 0; i < g->n; i++) {
		struct pol_member *m = &g->member[i];

		m->authority = pol_authority_find(ps->p, m->name);
		if (!m->authority)
			good = pol_authority_unknown(ps, &m->loc, m->name);
		else if (pol_group_is(m->authority->type))
			good = pol_error(ps, &m->loc, "\"%s\" is a group, and a group holds none",
					 m->name);
	}
	return good;
}

/* The longest of its members, which in a chain wait one after the other. Static ones do not. */
static uint64_t members_timeout(const struct pol_group *g)
{
	uint64_t longest = 0, sum = 0, t;

	for (unsigned i = 0; i < g->n; i++) {
		t = g->member[i].authority->timeout_ns;
		if (g->member[i].authority->type == AUTHORITY_STATIC)
			continue;
		sum += t;
		longest = t > longest ? t : longest;
	}
	if (g->type == AUTHORITY_CHAIN)
		longest = sum < POLICY_TIMEOUT_MAX ? sum : POLICY_TIMEOUT_MAX;
	return longest;
}

/* Permit if all who may be late do. */
static uint8_t members_on_timeout(const struct pol_group *g)
{
	uint8_t permits = 0;

	for (unsigned i = 0; i < g->n; i++) {
		const struct pol_authority *m = g->member[i].authority;

		if (m->type != AUTHORITY_STATIC && m->on_timeout == PEND_VERDICT_BLOCK)
			return PEND_VERDICT_BLOCK;
		permits |= m->type != AUTHORITY_STATIC;
	}
	return permits ? PEND_VERDICT_PERMIT : PEND_VERDICT_BLOCK;
}

void pol_check_group(struct pol_parser *ps, struct pol_authority *a)
{
	struct pol_group *g = &a->of;
	uint64_t timeout;

	if (!resolve(ps, g) || !g->n)
		return;
	if (g->type == AUTHORITY_QUORUM && g->need > g->n)
		pol_error(ps, &a->loc, "%u must agree, of %u", g->need, g->n);
	timeout = members_timeout(g);
	if (!(a->seen & POL_BIT(AUTH_TIMEOUT)) && timeout)
		a->timeout_ns = timeout;
	if (!(a->seen & POL_BIT(AUTH_ON_TIMEOUT)))
		a->on_timeout = members_on_timeout(g);
}

struct pol_authority *pol_group_authority(struct pol_parser *ps, const char *name,
					  const struct pol_group *g, const struct pol_loc *at)
{
	struct pol_authority *a = pol_authority_find(ps->p, name);
	unsigned errors = ps->errors;

	if (a)
		return a;
	a = pol_alloc(&ps->p->arena, sizeof(*a));
	if (!a) {
		pol_oom(ps);
		return NULL;
	}
	*a = (struct pol_authority){.name = name, .loc = *at, .builtin = true, .type = g->type};
	a->seen = POL_BIT(AUTH_TYPE) | POL_BIT(AUTH_OF);
	a->timeout_ns = ps->p->settings.timeout_ns;
	a->of = *g;
	a->index = (uint16_t)ps->p->nauthorities;
	pol_check_group(ps, a);
	return ps->errors == errors && pol_authority_add(ps, a, at) ? a : NULL;
}
