/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Does a rule match a packet? What classify() and classify_trace() share, so that what is told
 * about a decision is what makes it. Inline: this is the packet path.
 */
#ifndef CORE_CLASSIFY_MATCH_H
#define CORE_CLASSIFY_MATCH_H

#include "core/classify_listener.h"
#include "core/classify_patched.h"
#include "core/classify_unknown.h"
#include "core/classify_view.h"
#include "core/policy_ast.h"
#include <string.h>

enum { HOOK_IN = 1, HOOK_OUT = 3, PROTO_ICMP = 1, PROTO_TCP = 6, PROTO_ICMP6 = 58 };

/* The condition's word, for people. */
const char *classify_cond_name(enum pol_cond cond);
/* What is said by this rule, or by none. */
void classify_result_of(const struct classifier *c, uint32_t rule, struct classify_result *r);

struct query {
	const struct classifier *c;
	const struct classify_context *now;
	const struct pend_values *v;
	uint32_t source4, dest4; /* host order */
	struct index_rows rows;
	const struct classify_listener *listener; /* NULL: not asked yet */
	uint32_t unknown; /* conditions on what is unknown, in part at least, of the packet */
	bool unsure;      /* ... and what the last layer says depends on that */
	bool milder;      /* ... and some layer so far permits or pends, or may */
};

static inline uint32_t load32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline bool in_v4(const struct image_v4 *r, uint32_t n, uint32_t addr)
{
	uint32_t lo = 0, mid;

	while (lo < n) { /* the first interval that ends at or behind addr */
		mid = lo + (n - lo) / 2;
		if (r[mid].hi < addr) {
			lo = mid + 1;
		} else if (r[mid].lo <= addr) {
			return true;
		} else {
			n = mid;
		}
	}
	return false;
}

static inline bool in_v6(const struct image_v6 *r, uint32_t n, const uint8_t addr[16])
{
	uint32_t lo = 0, mid;

	while (lo < n) {
		mid = lo + (n - lo) / 2;
		if (memcmp(r[mid].hi, addr, 16) < 0) {
			lo = mid + 1;
		} else if (memcmp(r[mid].lo, addr, 16) <= 0) {
			return true;
		} else {
			n = mid;
		}
	}
	return false;
}

static inline bool match_addr(const struct query *q, struct image_span members, uint32_t v4,
			      const uint8_t addr[16])
{
	const struct classifier *c = q->c;
	const struct image_set *s;
	uint32_t i, set;
	bool in;

	for (i = 0; i < members.n; i++) {
		set = c->members[members.first + i];
		s = &c->sets[set];
		if (c->patch && classify_patched_set(c->patch, set, q->v->family, v4, addr, &in)) {
			if (in)
				return true;
			continue;
		}
		if (q->v->family == 4 ? in_v4(c->v4 + s->v4.first, s->v4.n, v4)
				      : in_v6(c->v6 + s->v6.first, s->v6.n, addr))
			return true;
	}
	return false;
}

static inline bool match_port(const struct query *q, struct image_span span, uint16_t port)
{
	const struct image_port *p = q->c->ports + span.first;
	uint32_t lo = 0, n = span.n, mid;

	while (lo < n) {
		mid = lo + (n - lo) / 2;
		if (p[mid].hi < port) {
			lo = mid + 1;
		} else if (p[mid].lo <= port) {
			return true;
		} else {
			n = mid;
		}
	}
	return false;
}

/* NULL when the index has no name that we know. */
static inline const char *iface_name(const struct classify_ifaces *t, uint32_t index)
{
	uint32_t lo = 0, n = t ? t->n : 0, mid;

	while (lo < n) {
		mid = lo + (n - lo) / 2;
		if (t->iface[mid].index == index)
			return t->iface[mid].name;
		if (t->iface[mid].index < index)
			lo = mid + 1;
		else
			n = mid;
	}
	return NULL;
}

static inline bool match_iface(const struct query *q, struct image_span span, uint32_t index)
{
	const struct image_iface *f = q->c->ifaces + span.first;
	const char *name;
	size_t len;
	uint32_t i;

	if (!index)
		return true;
	name = iface_name(q->now->ifaces, index);
	if (!name)
		return false;
	len = strnlen(name, sizeof(f->name));
	for (i = 0; i < span.n; i++, f++)
		if ((f->wild ? len >= f->len : len == f->len) && !memcmp(f->name, name, f->len))
			return true;
	return false;
}

static inline bool match_bits(const struct query *q, uint32_t at, uint8_t value)
{
	return q->c->bits[at].b[value / 8] >> value % 8 & 1;
}

/* An unknown time is before every end (R32). */
static inline bool match_until(const struct query *q, const struct image_rule *r)
{
	if (r->until_day)
		return !q->now->clock || (q->now->clock - 1) % CLASSIFY_DAY < r->until;
	return q->now->minute < r->until;
}

/* Does the packet have what the condition is about? Where not, the rule does not match, negated or not. */
static inline bool applies(const struct query *q, enum pol_cond cond)
{
	const struct pend_values *v = q->v;

	switch (cond) {
	case COND_SPORT:
	case COND_DPORT:
		return v->has_ports;
	case COND_ICMP_TYPE:
	case COND_ICMP_CODE:
		return v->protocol == PROTO_ICMP || v->protocol == PROTO_ICMP6;
	case COND_TCP_FLAGS:
		return v->protocol == PROTO_TCP;
	case COND_REASON:
		return q->now->reason != PEND_REASON_NONE;
	case COND_IN:
		return v->hook != HOOK_OUT;
	case COND_OUT:
		return v->hook != HOOK_IN;
	case COND_PROTO:
	case COND_FAMILY:
	case COND_FROM:
	case COND_TO:
	case COND_HOOK:
	case COND_MARK:
	case COND_TIME:
	case COND_DAY:
	case COND_REAUTHORIZE:
	case COND_UNTIL:
	case COND_COUNTRY:
	case COND_USER:
	case COND_CGROUP:
	case COND_UNIT:
	case COND_GROUP:
	case COND_EXECUTABLE:
	case COND_COUNT:
		break;
	}
	return true;
}

static inline bool match_cond(const struct query *q, const struct image_rule *r, enum pol_cond cond)
{
	const struct pend_values *v = q->v;

	switch (cond) {
	case COND_PROTO:
		return match_bits(q, r->proto, v->protocol);
	case COND_FAMILY:
		return r->family == v->family;
	case COND_FROM:
		return match_addr(q, r->from, q->source4, v->source);
	case COND_SPORT:
		return match_port(q, r->sport, v->source_port);
	case COND_TO:
		return match_addr(q, r->to, q->dest4, v->dest);
	case COND_DPORT:
		return match_port(q, r->dport, v->dest_port);
	case COND_IN:
		return match_iface(q, r->in, v->in_interface);
	case COND_OUT:
		return match_iface(q, r->out, v->out_interface);
	case COND_HOOK:
		return !v->hook || (v->hook < 8 && r->hooks >> v->hook & 1);
	case COND_ICMP_TYPE:
		return match_bits(q, r->icmp_type + (v->protocol == PROTO_ICMP6), v->icmp_type);
	case COND_ICMP_CODE:
		return match_bits(q, r->icmp_code, v->icmp_code);
	case COND_MARK:
		return (v->mark & r->mark_mask) == r->mark;
	case COND_TCP_FLAGS:
		return (v->tcp_flags & r->tcp_mask) == r->tcp_flags;
	case COND_TIME: /* an unknown one is empty, and empty matches equal (R32) */
		return !q->now->clock ||
		       match_port(q, r->time, (uint16_t)((q->now->clock - 1) % CLASSIFY_DAY));
	case COND_DAY:
		return !q->now->clock || r->days >> (q->now->clock - 1) / CLASSIFY_DAY % 7 & 1;
	case COND_REAUTHORIZE:
		return q->now->reauthorize;
	case COND_REASON:
		return r->reasons >> (q->now->reason & 7) & 1;
	case COND_UNTIL:
		return match_until(q, r);
	case COND_COUNTRY:
		return match_addr(q, r->country, q->source4, v->source);
	case COND_USER: /* these: listener_holds() */
	case COND_CGROUP:
	case COND_UNIT:
	case COND_GROUP:
	case COND_EXECUTABLE:
	case COND_COUNT:
		break;
	}
	return false;
}

/* The conditions that the index has not answered, without those of `but`. */
static inline bool match_rest(struct query *q, const struct image_rule *r, uint32_t but)
{
	uint32_t left = r->seen & q->c->index.residual & ~(POL_LISTENER | but);
	enum pol_cond cond;

	while (left) {
		cond = (enum pol_cond)__builtin_ctz(left);
		left &= left - 1;
		if (!applies(q, cond) || match_cond(q, r, cond) == !!(r->neg & POL_BIT(cond)))
			return false;
	}
	return !(r->seen & POL_LISTENER) || listener_match(q, r);
}

/* Of a rule that matches: does it decide, or does evaluation go on behind it? */
static inline bool decides(const struct query *q, uint32_t rule)
{
	const struct image_rule *r = &q->c->rules[rule];
	bool inspect = r->action == CLASSIFY_INSPECT, left = true;

	if (!inspect && !r->limit)
		return true;
	if (q->now->visit)
		left = q->now->visit(q->now->arg, rule);
	return left && !inspect;
}

/* The rule that speaks for this layer, or CLASSIFY_NO_RULE. */
static inline uint32_t match_layer(struct query *q, const struct image_layer *l)
{
	uint32_t rule = l->rules.first, end = l->rules.first + l->rules.n;

	if (q->unknown)
		return unknown_layer(q, l);
	for (; classify_index_next(&q->c->index, &q->rows, &rule, end); rule++)
		if (match_rest(q, &q->c->rules[rule], 0) && decides(q, rule))
			return rule;
	return l->fallback;
}

static inline unsigned severity(uint8_t action)
{
	return action == CLASSIFY_BLOCK ? 3 : action == CLASSIFY_PEND ? 2 : 1;
}

#define STANDING_MOST 5u

/* Of what the last layer says, among the layers: a block or pend that is sure goes before all that is not. */
static inline unsigned standing(const struct query *q, uint8_t action)
{
	return severity(action) + (q->unsure || action == CLASSIFY_PERMIT ? 0 : 2);
}

static inline void query_init(struct query *q, const struct classifier *c,
			      const struct classify_context *now, const struct pend_values *v)
{
	static const struct classify_context unknown;

	q->c = c;
	q->now = now ? now : &unknown;
	q->v = v;
	q->listener = NULL;
	q->unknown = (v->mark_unknown ? POL_BIT(COND_MARK) : 0) |
		     (v->tcp_flags_unknown ? POL_BIT(COND_TCP_FLAGS) : 0) |
		     (q->now->interfaces_unknown ? POL_BIT(COND_IN) | POL_BIT(COND_OUT) : 0);
	q->unsure = q->milder = false;
	q->source4 = load32(v->source);
	q->dest4 = load32(v->dest);
	classify_index_rows(&c->index, c->patch, v, q->source4, q->dest4, &q->rows);
}

#endif
