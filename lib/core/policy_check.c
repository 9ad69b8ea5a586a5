/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the grammar cannot say: names resolved, contradictions found, defaults filled in. */
#include "core/policy_ast.h"
#include "core/flow.h"
#include <stdlib.h>
#include <string.h>

#define PROTO_ICMP   1
#define PROTO_TCP    6
#define PROTO_ICMPV6 58

/* ---------------------------------------------------------------------- sets ---- */

static int compare_names(const void *key, const void *set)
{
	return strcmp(key, (*(struct pol_set *const *)set)->name);
}

static int compare_sets(const void *a, const void *b)
{
	return compare_names((*(struct pol_set *const *)a)->name, b);
}

static void resolve_ref(struct pol_parser *ps, struct pol_item *it)
{
	struct policy *p = ps->p;
	struct pol_set **hit = NULL, *s;
	struct pol_guess g;

	if (p->nsets)
		hit = bsearch(it->name, p->by_name, p->nsets, sizeof(*p->by_name), compare_names);
	if (hit) {
		it->set = *hit;
		return;
	}
	g = pol_guess_for(it->name);
	for (s = p->sets; s; s = s->next)
		pol_guess_try(&g, s->name);
	pol_unknown(ps, &it->loc, "set", it->name, g.best);
}

static bool index_sets(struct pol_parser *ps)
{
	struct policy *p = ps->p;
	struct pol_set *s;
	uint32_t n = 0;

	p->by_name = pol_alloc(&p->arena, (p->nsets + 1) * sizeof(*p->by_name));
	if (!p->by_name)
		return pol_oom(ps);
	for (s = p->sets; s; s = s->next)
		p->by_name[n++] = s;
	qsort(p->by_name, n, sizeof(*p->by_name), compare_sets);
	return true;
}

static void resolve_items(struct pol_parser *ps, struct pol_items *items)
{
	struct pol_item *it;

	for (it = items->first; it; it = it->next)
		if (it->kind == POL_REF && !pol_stopped(ps))
			resolve_ref(ps, it);
}

static bool set_resolve(struct pol_parser *ps, struct pol_set *s, unsigned depth);

static bool set_resolve_item(struct pol_parser *ps, struct pol_set *s, struct pol_item *it,
			     unsigned depth)
{
	if (it->kind == POL_FILE || (it->kind == POL_REF && !it->set))
		return true;
	if (it->kind == POL_RANGE)
		return pol_ranges_add(&s->ranges, &it->range) ? true : pol_oom(ps);
	if (it->set->state == 1)
		return pol_error(ps, &it->loc, "set \"%s\" contains itself", it->set->name);
	if (depth == POLICY_SET_DEPTH_MAX)
		return pol_error(ps, &it->loc, "sets contain each other more than %d deep",
				 POLICY_SET_DEPTH_MAX);
	return set_resolve(ps, it->set, depth + 1);
}

static uint32_t elements(const struct pol_set *s)
{
	return (uint32_t)(s->ranges.n4 + s->ranges.n6);
}

/* Once, however many ways lead to it. How many elements that makes more. */
static uint32_t set_include(struct pol_set *s, struct pol_set *other)
{
	if (other->mark == s->index + 1)
		return 0;
	other->mark = s->index + 1;
	s->all[s->nall++] = other;
	return elements(other);
}

/* What it names has been resolved: `all` is that, and what that contains. */
static bool set_close(struct pol_parser *ps, struct pol_set *s)
{
	uint64_t total = elements(s);
	const struct pol_item *it;
	size_t most = 0;
	uint32_t i;

	for (it = s->items.first; it; it = it->next)
		if (it->kind == POL_REF && it->set)
			most += 1 + it->set->nall;
	if (!most)
		return true;
	if (most > ps->p->nsets)
		most = ps->p->nsets;
	s->all = pol_alloc(&ps->p->arena, most * sizeof(struct pol_set *));
	if (!s->all)
		return pol_oom(ps);
	for (it = s->items.first; it; it = it->next) {
		if (it->kind != POL_REF || !it->set)
			continue;
		total += set_include(s, it->set);
		for (i = 0; i < it->set->nall; i++)
			total += set_include(s, it->set->all[i]);
		if (total > POLICY_SET_MAX)
			return pol_error(ps, &it->loc, "set \"%s\" has more than %d elements",
					 s->name, POLICY_SET_MAX);
	}
	return true;
}

static bool set_resolve(struct pol_parser *ps, struct pol_set *s, unsigned depth)
{
	struct pol_item *it;

	if (s->state == 2)
		return true;
	s->state = 1;
	for (it = s->items.first; it; it = it->next)
		if (!set_resolve_item(ps, s, it, depth))
			return false;
	s->state = 2;
	pol_ranges_normalize(&s->ranges);
	return set_close(ps, s);
}

static void check_sets(struct pol_parser *ps)
{
	struct pol_set *s;
	size_t total = 0;

	if (!index_sets(ps))
		return;
	for (s = ps->p->sets; s; s = s->next)
		resolve_items(ps, &s->items);
	for (s = ps->p->sets; s; s = s->next) {
		if (s->state == 0)
			set_resolve(ps, s, 1);
		total += elements(s);
		if (total > POLICY_SET_TOTAL_MAX) {
			pol_error(ps, &s->loc, "all sets together have more than %d elements",
				  POLICY_SET_TOTAL_MAX);
			return;
		}
	}
}

/* --------------------------------------------------------------------- rules ---- */

static bool has(const struct pol_rule *r, enum pol_cond c)
{
	return r->seen & POL_BIT(c);
}

static bool plain(const struct pol_rule *r, enum pol_cond c)
{
	return has(r, c) && !(r->neg & POL_BIT(c));
}

static bool has_ports(unsigned proto)
{
	return proto == 6 || proto == 17 || proto == 33 || proto == 132 || proto == 136;
}

/* A condition that only some protocols have must not stand beside one without it. */
static void check_proto(struct pol_parser *ps, const struct pol_rule *r)
{
	bool icmp = has(r, COND_ICMP_TYPE) || has(r, COND_ICMP_CODE);
	bool ports = has(r, COND_SPORT) || has(r, COND_DPORT);
	unsigned i;

	if (icmp && (ports || has(r, COND_TCP_FLAGS))) {
		pol_error(ps, &r->loc, "%s and ICMP types cannot both match",
			  ports ? "ports" : "TCP flags");
		return;
	}
	for (i = 0; plain(r, COND_PROTO) && i < 256; i++) {
		if (!pol_bits_has(&r->proto, i))
			continue;
		if (ports && !has_ports(i)) {
			pol_error(ps, &r->cond_loc[COND_PROTO],
				  "only tcp, udp, udplite, sctp and dccp have ports");
			return;
		}
		if (has(r, COND_TCP_FLAGS) && i != PROTO_TCP) {
			pol_error(ps, &r->cond_loc[COND_PROTO], "only tcp has TCP flags");
			return;
		}
		if (icmp && i != PROTO_ICMP && i != PROTO_ICMPV6) {
			pol_error(ps, &r->cond_loc[COND_PROTO],
				  "only icmp and icmpv6 have ICMP types");
			return;
		}
	}
}

#define FAMILY_V4 1u
#define FAMILY_V6 2u

static unsigned families_of(const struct pol_items *items)
{
	const struct pol_item *it;
	unsigned f = 0;

	for (it = items->first; it; it = it->next)
		f |= it->kind != POL_RANGE         ? FAMILY_V4 | FAMILY_V6
		     : it->range.family == FLOW_V4 ? FAMILY_V4
						   : FAMILY_V6;
	return f ? f : FAMILY_V4 | FAMILY_V6;
}

static void check_family(struct pol_parser *ps, const struct pol_rule *r)
{
	unsigned f = FAMILY_V4 | FAMILY_V6;
	const struct pol_loc *at = &r->loc;

	if (has(r, COND_FAMILY))
		f = (r->family == FLOW_V4) == plain(r, COND_FAMILY) ? FAMILY_V4 : FAMILY_V6;
	if (plain(r, COND_FROM)) {
		f &= families_of(&r->from);
		at = &r->cond_loc[COND_FROM];
	}
	if (f && plain(r, COND_TO)) {
		f &= families_of(&r->to);
		at = &r->cond_loc[COND_TO];
	}
	if (!f)
		pol_error(ps, at, "rule mixes IPv4 and IPv6 and can never match");
}

static uint8_t hooks_of(const struct pol_rule *r)
{
	uint8_t hooks = 0x0e; /* 1 to 3 */

	if (has(r, COND_HOOK))
		hooks &= plain(r, COND_HOOK) ? r->hooks : (uint8_t)~r->hooks;
	return hooks;
}

static void check_hook(struct pol_parser *ps, const struct pol_rule *r)
{
	uint8_t hooks = hooks_of(r);

	if (!hooks) {
		pol_error(ps, &r->cond_loc[COND_HOOK],
			  "rule excludes every hook and can never match");
		return;
	}
	if (has(r, COND_OUT) && !(hooks & 0x0c))
		pol_error(ps, &r->cond_loc[COND_OUT], "packets of hook input have no \"out\"");
	if (has(r, COND_IN) && !(hooks & 0x06))
		pol_error(ps, &r->cond_loc[COND_IN], "packets of hook output have no \"in\"");
}

static void check_day(struct pol_parser *ps, const struct pol_rule *r)
{
	if (has(r, COND_DAY) && !plain(r, COND_DAY) && r->days == 0x7f)
		pol_error(ps, &r->cond_loc[COND_DAY],
			  "rule excludes every day and can never match");
}

/* What comes in over one of them finds a socket here, or nobody. */
static void check_listener(struct pol_parser *ps, const struct pol_rule *r)
{
	uint32_t asks = r->seen & POL_LISTENER;
	const struct pol_loc *at = asks ? &r->cond_loc[__builtin_ctz(asks)] : NULL;
	bool can = !plain(r, COND_PROTO);
	unsigned i;

	for (i = 0; i < 256 && !can; i++)
		can = pol_bits_has(&r->proto, i) && has_ports(i);
	if (asks && !can)
		pol_error(ps, at, "only tcp, udp, udplite, sctp and dccp have a listener");
	else if (asks && !(hooks_of(r) & POL_BIT(1)))
		pol_error(ps, at, "only packets of hook input have a listener");
}

/* Packets come to the rules without the bits that are pend's own. */
static void check_mark(struct pol_parser *ps, const struct pol_rule *r)
{
	uint32_t own = ps->p->settings.mark_mask;

	if (has(r, COND_MARK) && r->mark & own)
		pol_error(ps, &r->cond_loc[COND_MARK],
			  "mark has bits of \"mark-mask\" (0x%08x), which no rule sees", own);
}

static void check_options(struct pol_parser *ps, const struct pol_rule *r)
{
	static const struct {
		enum pol_opt opt;
		const char *word;
	} pend_only[] = {{OPT_ASK, "ask"},
			 {OPT_TIMEOUT, "timeout"},
			 {OPT_ON_TIMEOUT, "on-timeout"},
			 {OPT_COMPLETE, "complete"},
			 {OPT_MODE, "hold\" or \"absorb"},
			 {OPT_REMEMBER, "remember"}};
	size_t i;

	for (i = 0; r->action != CLASSIFY_PEND && i < sizeof(pend_only) / sizeof(*pend_only); i++)
		if (r->opts & POL_BIT(pend_only[i].opt))
			pol_error(ps, &r->opt_loc[pend_only[i].opt], "\"%s\" only with \"pend\"",
				  pend_only[i].word);
	if (r->action != CLASSIFY_BLOCK && r->action != CLASSIFY_PEND &&
	    r->opts & POL_BIT(OPT_WITH))
		pol_error(ps, &r->opt_loc[OPT_WITH], "\"with\" only with \"block\" and \"pend\"");
	if (r->opts & POL_BIT(OPT_MODE) && r->mode == PEND_MODE_ABSORB &&
	    r->complete == PEND_RELEASE_BUFFER && !ps->p->settings.raw_reinject)
		pol_warn(ps, &r->opt_loc[OPT_MODE],
			 "absorb with complete buffer needs \"raw yes\": packets will be flushed");
}

static void check_pend(struct pol_parser *ps, struct pol_rule *r)
{
	const char *name = r->ask ? r->ask : "operator";
	const struct pol_loc *at = &r->opt_loc[OPT_ASK];

	if (r->group_asked)
		r->authority = pol_group_authority(ps, name, r->group_asked, at);
	else
		r->authority = pol_authority_find(ps->p, name);
	if (!r->authority) {
		if (!r->group_asked)
			pol_authority_unknown(ps, at, name);
		return;
	}
	if (!(r->opts & POL_BIT(OPT_TIMEOUT)))
		r->timeout_ns = r->authority->timeout_ns;
	if (!(r->opts & POL_BIT(OPT_ON_TIMEOUT)))
		r->on_timeout = r->authority->on_timeout;
}

static void check_rule(struct pol_parser *ps, struct pol_rule *r)
{
	resolve_items(ps, &r->from);
	resolve_items(ps, &r->to);
	check_proto(ps, r);
	check_family(ps, r);
	check_hook(ps, r);
	check_day(ps, r);
	check_listener(ps, r);
	check_mark(ps, r);
	check_options(ps, r);
	if (r->action == CLASSIFY_PEND)
		check_pend(ps, r);
	if (has(r, COND_UNTIL))
		pol_check_until(ps, r);
}

/* A layer may stand in several files, and in what was added at run time. */
static void warn_unreached(struct pol_parser *ps, const struct pol_rule *r,
			   const struct pol_rule *all)
{
	const struct pol_file *f = &ps->p->files[all->loc.file];

	if (all->loc.file == r->loc.file)
		pol_warn(ps, &r->loc, "never reached: the rule of line %u matches all",
			 all->loc.line);
	else if (f->one_line)
		pol_warn(ps, &r->loc, "never reached: the rule of %s matches all", f->name);
	else
		pol_warn(ps, &r->loc, "never reached: the rule of %s:%u matches all", f->name,
			 all->loc.line);
}

static void check_layer(struct pol_parser *ps, const struct pol_layer *l)
{
	const struct pol_rule *all = NULL;
	struct pol_rule *r;

	for (r = l->rules; r && !pol_stopped(ps); r = r->next) {
		if (r->broken)
			continue;
		check_rule(ps, r);
		if (r->is_default)
			continue;
		if (all && all->next == r)
			warn_unreached(ps, r, all);
		if (!all && !r->seen && r->action != CLASSIFY_INSPECT &&
		    !(r->opts & (POL_BIT(OPT_RATE) | POL_BIT(OPT_QUOTA))))
			all = r;
	}
}

void pol_check(struct pol_parser *ps)
{
	const struct pol_layer *l;

	pol_check_authorities(ps);
	check_sets(ps);
	pol_check_countries(ps);
	for (l = ps->p->layers; l && !pol_stopped(ps); l = l->next)
		check_layer(ps, l);
	if (!ps->p->layers && !ps->errors)
		pol_warn(ps, &(struct pol_loc){0}, "no layer: everything is blocked");
}
