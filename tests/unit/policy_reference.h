/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The reference: what a policy means, said over the syntax tree as plainly as possible. */
#ifndef TESTS_POLICY_REFERENCE_H
#define TESTS_POLICY_REFERENCE_H

#include "policy_help.h"
#include "core/classify.h"
#include "core/flow.h"
#include <fnmatch.h>

static inline const char *ref_name(const struct classify_ifaces *t, uint32_t index)
{
	uint32_t i;

	for (i = 0; t && i < t->n; i++)
		if (t->iface[i].index == index)
			return t->iface[i].name;
	return NULL;
}

static inline bool ref_items(const struct pol_items *items, const uint8_t addr[16], uint8_t family)
{
	const struct pol_item *it;

	for (it = items->first; it; it = it->next) {
		if (it->kind == POL_REF && ref_items(&it->set->items, addr, family))
			return true;
		if (it->kind == POL_RANGE && it->range.family == family &&
		    memcmp(it->range.lo, addr, 16) <= 0 && memcmp(addr, it->range.hi, 16) <= 0)
			return true;
	}
	return false;
}

static inline bool ref_ports(const struct pol_ports *p, uint16_t port)
{
	for (; p; p = p->next)
		if (p->lo <= port && port <= p->hi)
			return true;
	return false;
}

static inline bool ref_ifaces(const struct pol_iface *f, const struct classify_ifaces *t,
			      uint32_t index)
{
	const char *name = ref_name(t, index);

	if (!index)
		return true;
	for (; name && f; f = f->next)
		if (f->wild ? !strncmp(name, f->name, strlen(f->name)) : !strcmp(name, f->name))
			return true;
	return false;
}

static inline bool ref_icmp(const struct pol_icmp *m, const struct pend_values *v)
{
	for (; m; m = m->next)
		if ((v->protocol == 1 ? m->v4 : m->v6) == v->icmp_type)
			return true;
	return false;
}

static inline bool ref_time(const struct pol_ports *s, uint32_t clock)
{
	unsigned minute = (clock - 1) % 1440;

	for (; clock && s; s = s->next)
		if (s->lo < s->hi ? s->lo <= minute && minute < s->hi
				  : s->lo <= minute || minute < s->hi)
			return true;
	return !clock;
}

static inline bool ref_country(const struct pol_country *c, const struct pend_values *v)
{
	for (; c; c = c->next)
		for (size_t i = 0; i < FAKE_NETS; i++) {
			uint8_t lo[16] = {0}, hi[16] = {0}, family;

			flow_addr_parse(fake_nets[i].lo, lo, &family);
			flow_addr_parse(fake_nets[i].hi, hi, &family);
			if (!strcmp(fake_nets[i].code, c->set->name) && family == v->family &&
			    memcmp(lo, v->source, 16) <= 0 && memcmp(v->source, hi, 16) <= 0)
				return true;
		}
	return false;
}

static inline bool ref_until(const struct pol_rule *r, const struct classify_context *now)
{
	if (r->until_text)
		return !now->minute || now->minute < r->until;
	return !now->clock || (now->clock - 1) % 1440 < r->until;
}

static inline bool ref_id(const struct pol_id *i, uint32_t id)
{
	for (; i; i = i->next)
		if (i->lo <= id && id <= i->hi)
			return true;
	return false;
}

static inline bool ref_executable(const struct pol_string *s, const char *path)
{
	for (; s; s = s->next)
		if (!strcmp(s->text, path) || (s->text[strlen(s->text) - 1] == '/' &&
					       !strncmp(s->text, path, strlen(s->text))))
			return true;
	return false;
}

static inline bool ref_cgroup(const struct pol_string *s, const char *path)
{
	char with[256], below[256];

	for (; s; s = s->next) {
		snprintf(with, sizeof(with), "%s/", path);
		snprintf(below, sizeof(below), "%s%s", s->text, s->text[1] ? "/" : "");
		if (*path && !strncmp(with, below, strlen(below)))
			return true;
	}
	return false;
}

/* From the front, the other way round. */
static inline bool ref_unit(const struct pol_string *s, const char *path)
{
	static const char *const kinds[] = {"service", "socket", "scope", "mount", "swap"};
	char copy[256], unit[256] = "", slice[256] = "", *part, *save = NULL;

	snprintf(copy, sizeof(copy), "%s", path);
	for (part = strtok_r(copy, "/", &save); part; part = strtok_r(NULL, "/", &save)) {
		const char *dot = strrchr(part, '.');

		for (size_t i = 0; dot && i < 5; i++)
			if (!strcmp(dot + 1, kinds[i]))
				strcpy(unit, part);
		if (dot && !strcmp(dot, ".slice"))
			strcpy(slice, part);
	}
	if (!*unit)
		strcpy(unit, slice);
	for (; *unit && s; s = s->next)
		if (!fnmatch(s->text, unit, 0))
			return true;
	return false;
}

/* All conditions on the listener. */
static inline bool ref_listener(const struct pol_rule *r, const struct classify_context *now,
				const struct pend_values *v)
{
	static const struct classify_listener unknown = {.state = LISTENER_UNKNOWN};
	const struct classify_listener *l = now->listener ? now->listener(now->arg, v, LISTENER_ALL)
							  : &unknown;
	bool else_ = r->action != CLASSIFY_PERMIT;
#define HOLDS(cond, field, matches)                                                       \
	(!(r->seen & POL_BIT(cond)) || (l->state == LISTENER_FOUND && l->known & (field)  \
						? (matches) != !!(r->neg & POL_BIT(cond)) \
						: l->state != LISTENER_NONE && else_))

	return HOLDS(COND_USER, LISTENER_USER, ref_id(r->user, l->uid)) &&
	       HOLDS(COND_GROUP, LISTENER_GROUP, ref_id(r->group, l->gid)) &&
	       HOLDS(COND_EXECUTABLE, LISTENER_EXECUTABLE,
		     ref_executable(r->executable, l->executable)) &&
	       HOLDS(COND_CGROUP, LISTENER_CGROUP, ref_cgroup(r->cgroup, l->cgroup)) &&
	       HOLDS(COND_UNIT, LISTENER_CGROUP, ref_unit(r->unit, l->cgroup));
#undef HOLDS
}

static inline bool ref_rule(const struct pol_rule *r, const struct classify_context *now,
			    const struct pend_values *v)
{
	const struct classify_ifaces *t = now->ifaces;
	bool icmp = v->protocol == 1 || v->protocol == 58;
#define FAILS(cond, applies, holds) \
	((r->seen & POL_BIT(cond)) && (!(applies) || (holds) == !!(r->neg & POL_BIT(cond))))

	return !FAILS(COND_PROTO, true, pol_bits_has(&r->proto, v->protocol)) &&
	       !FAILS(COND_FAMILY, true, r->family == v->family) &&
	       !FAILS(COND_FROM, true, ref_items(&r->from, v->source, v->family)) &&
	       !FAILS(COND_TO, true, ref_items(&r->to, v->dest, v->family)) &&
	       !FAILS(COND_SPORT, v->has_ports, ref_ports(r->sport, v->source_port)) &&
	       !FAILS(COND_DPORT, v->has_ports, ref_ports(r->dport, v->dest_port)) &&
	       !FAILS(COND_IN, v->hook != 3, ref_ifaces(r->in, t, v->in_interface)) &&
	       !FAILS(COND_OUT, v->hook != 1, ref_ifaces(r->out, t, v->out_interface)) &&
	       !FAILS(COND_HOOK, true, !v->hook || (r->hooks & 1u << v->hook)) &&
	       !FAILS(COND_ICMP_TYPE, icmp, ref_icmp(r->icmp, v)) &&
	       !FAILS(COND_ICMP_CODE, icmp, pol_bits_has(&r->icmp_code, v->icmp_code)) &&
	       !FAILS(COND_TCP_FLAGS, v->protocol == 6,
		      (v->tcp_flags & r->tcp_mask) == r->tcp_flags) &&
	       !FAILS(COND_TIME, true, ref_time(r->time, now->clock)) &&
	       !FAILS(COND_DAY, true, !now->clock || r->days >> (now->clock - 1) / 1440 & 1) &&
	       !FAILS(COND_REAUTHORIZE, true, now->reauthorize) &&
	       !FAILS(COND_REASON, now->reason, r->reasons >> now->reason & 1) &&
	       !FAILS(COND_COUNTRY, true, ref_country(r->country, v)) &&
	       !FAILS(COND_UNTIL, true, ref_until(r, now)) &&
	       !FAILS(COND_MARK, true, (v->mark & r->mark_mask) == r->mark) &&
	       (!(r->seen & POL_LISTENER) || ref_listener(r, now, v));
#undef FAILS
}

/* With all that is unknown known to be this; `tcp_flags` has no others. */
static inline struct pend_values ref_known(const struct pend_values *v, uint32_t mark,
					   unsigned tcp_flags)
{
	struct pend_values k = *v;

	if (v->mark_unknown)
		k.mark = mark;
	k.tcp_flags = (uint8_t)((v->tcp_flags & ~v->tcp_flags_unknown) | tcp_flags);
	k.mark_unknown = false;
	k.tcp_flags_unknown = 0;
	return k;
}

enum ref_match { REF_NEVER, REF_ALWAYS, REF_PERHAPS };

/* Whatever the unknown is? All flags are tried, and a mark that matches and one that does not. */
static inline enum ref_match ref_match(const struct pol_rule *r, const struct classify_context *now,
				       const struct pend_values *v)
{
	uint32_t asked = r->seen & (POL_BIT(COND_MARK) | POL_BIT(COND_TCP_FLAGS));
	unsigned unknown = v->tcp_flags_unknown, flags = 0;
	bool all = true, any = false;

	if (!asked || (!v->mark_unknown && !unknown))
		return ref_rule(r, now, v) ? REF_ALWAYS : REF_NEVER;
	do {
		for (unsigned i = 0; i < 2; i++) {
			struct pend_values k = ref_known(v, i ? ~r->mark : r->mark, flags);
			bool m = ref_rule(r, now, &k);

			all &= m;
			any |= m;
		}
		flags = (flags - unknown) & unknown; /* the next of its subsets */
	} while (flags);
	return all ? REF_ALWAYS : any ? REF_PERHAPS : REF_NEVER;
}

static inline uint32_t ref_number(const struct policy *p, const struct pol_rule *rule)
{
	const struct pol_layer *l;
	const struct pol_rule *r;
	uint32_t n = 0;

	for (l = p->layers; l; l = l->next)
		for (r = l->rules; r; r = r->next, n++)
			if (r == rule)
				return n;
	return CLASSIFY_NO_RULE;
}

/* Does a rule that matches decide? */
static inline bool ref_decides(const struct policy *p, const struct pol_rule *r,
			       const struct classify_context *now)
{
	bool inspect = r->action == CLASSIFY_INSPECT, left = true;

	if ((inspect || r->limit.rate || r->limit.quota) && now->visit)
		left = now->visit(now->arg, ref_number(p, r));
	return left && !inspect;
}

struct ref_said {
	bool unsure; /* of a layer: it may say something else */
	bool milder; /* ... or says already, that is no block */
};

/*
 * What perhaps matches counts unless it permits, and makes unsure: but not where all of that blocks, and what
 * matches for sure behind it does not permit.
 */
static inline const struct pol_rule *ref_layer(const struct policy *p, const struct pol_layer *l,
					       const struct classify_context *now,
					       const struct pend_values *v, struct ref_said *said)
{
	const struct pol_rule *r, *first = NULL, *last = l->fallback;
	unsigned perhaps[CLASSIFY_INSPECT + 1] = {0};

	for (r = l->rules; r; r = r->next) {
		enum ref_match m = r->is_default ? REF_NEVER : ref_match(r, now, v);

		if (m == REF_NEVER)
			continue;
		if ((m == REF_ALWAYS || r->action != CLASSIFY_PERMIT) && !ref_decides(p, r, now))
			continue;
		if (m == REF_ALWAYS) {
			last = r;
			break;
		}
		perhaps[r->action]++;
		if (!first && r->action != CLASSIFY_PERMIT)
			first = r;
	}
	said->milder = perhaps[CLASSIFY_PERMIT] || perhaps[CLASSIFY_PEND] ||
		       (last && last->action != CLASSIFY_BLOCK);
	said->unsure = perhaps[CLASSIFY_PERMIT] || perhaps[CLASSIFY_PEND] ||
		       (perhaps[CLASSIFY_BLOCK] && (!last || last->action == CLASSIFY_PERMIT));
	return said->unsure && first ? first : last;
}

/* A layer's place in the order of evaluation: the heavier ones and, of equals, those before it are in front. */
static inline unsigned ref_place(const struct policy *p, const struct pol_layer *layer)
{
	const struct pol_layer *l;
	unsigned n = 0;
	bool behind = false;

	for (l = p->layers; l; l = l->next) {
		behind |= l == layer;
		n += l->weight > layer->weight || (l->weight == layer->weight && !behind);
	}
	return n;
}

struct ref_result {
	const struct pol_rule *rule; /* NULL: no layer has an opinion */
	uint8_t action;
	uint64_t pends; /* layers that ask, if nobody blocks */
	bool unsure;
};

/*
 * What decides: the most restrictive, then the heaviest layer, then the first. A question that was answered permits.
 * What blocks or pends for sure goes before what is unsure.
 */
static inline struct ref_result ref_classify(const struct policy *p,
					     const struct classify_context *now,
					     const struct pend_values *v)
{
	static const int rank[][2] = {
		[CLASSIFY_PERMIT] = {1, 1}, [CLASSIFY_PEND] = {4, 2}, [CLASSIFY_BLOCK] = {5, 3}};
	struct ref_result best = {.rule = NULL};
	const struct pol_rule *r;
	const struct pol_layer *l;
	bool milder = false;
	struct ref_said said;
	int most = 0, this;

	for (l = p->layers; l; l = l->next) {
		unsigned place = ref_place(p, l);
		uint8_t action;

		r = ref_layer(p, l, now, v, &said);
		milder |= said.milder;
		if (!r) {
			best.unsure |= !best.rule && said.unsure;
			continue;
		}
		action = (uint8_t)r->action;
		if (action == CLASSIFY_PEND && now->answered >> place & 1)
			action = CLASSIFY_PERMIT;
		if (action == CLASSIFY_PEND)
			best.pends |= UINT64_C(1) << place;
		this = rank[action][said.unsure];
		if (this > most || (this == most && l->weight > best.rule->layer->weight)) {
			best.rule = r;
			best.action = action;
			best.unsure = said.unsure;
			most = this;
		}
	}
	if (best.action != CLASSIFY_PEND)
		best.pends = 0;
	best.unsure &= milder;
	return best;
}

#endif
