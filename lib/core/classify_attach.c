/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Checks an image before anything trusts it: every section inside of the bytes, every
 * index inside of its section, every value one that its reader knows. Any bytes are safe here; what passes is
 * safe for classify(), whatever made it.
 */
#include "core/classify_listener.h"
#include "core/classify_patched.h"
#include "core/classify_view.h"
#include "core/policy_ast.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool span_ok(const struct classifier *c, enum image_section s, struct image_span span)
{
	return span.n <= c->n[s] && span.first <= c->n[s] - span.n;
}

static bool section_ok(const struct image_header *h, size_t size, enum image_section s,
		       size_t record)
{
	uint64_t end = (uint64_t)h->section[s].n * record + h->section[s].offset;

	return h->section[s].offset >= sizeof(*h) && h->section[s].offset % IMAGE_ALIGN == 0 &&
	       end <= size;
}

static bool attach_sections(struct classifier *c, const struct image_header *h, size_t size)
{
	static const size_t record[IMAGE_SECTIONS] = {
		1,
		sizeof(*c->authorities),
		sizeof(*c->layers),
		sizeof(*c->rules),
		sizeof(*c->sets),
		sizeof(*c->members),
		sizeof(*c->v4),
		sizeof(*c->v6),
		sizeof(*c->ports),
		sizeof(*c->ifaces),
		sizeof(*c->bits),
		sizeof(*c->limits),
		sizeof(*c->ids),
		sizeof(*c->texts),
	};
	const void *at[IMAGE_SECTIONS];
	int i;

	for (i = 0; i < IMAGE_SECTIONS; i++) {
		if (!section_ok(h, size, (enum image_section)i, record[i]))
			return false;
		at[i] = (const char *)h + h->section[i].offset;
		c->n[i] = h->section[i].n;
	}
	c->strings = at[IMAGE_STRINGS];
	c->authorities = at[IMAGE_AUTHORITIES];
	c->layers = at[IMAGE_LAYERS];
	c->rules = at[IMAGE_RULES];
	c->sets = at[IMAGE_SETS];
	c->members = at[IMAGE_MEMBERS];
	c->v4 = at[IMAGE_V4];
	c->v6 = at[IMAGE_V6];
	c->ports = at[IMAGE_PORTS];
	c->ifaces = at[IMAGE_IFACES];
	c->bits = at[IMAGE_BITS];
	c->limits = at[IMAGE_LIMITS];
	c->ids = at[IMAGE_IDS];
	c->texts = at[IMAGE_TEXTS];
	return true;
}

static bool string_ok(const struct classifier *c, uint32_t at)
{
	return at < c->n[IMAGE_STRINGS]; /* the section ends with a NUL */
}

static bool verdict_ok(uint8_t v)
{
	return v == PEND_VERDICT_BLOCK || v == PEND_VERDICT_PERMIT;
}

static bool is_group(const struct image_authority *a)
{
	return a->type >= AUTHORITY_ANY;
}

/* A group has members, none of which is one; nobody else has any. */
static bool members_ok(const struct classifier *c, const struct image_authority *a)
{
	if (a->members > IMAGE_GROUP_MAX || (a->members != 0) != is_group(a) ||
	    a->need > a->members || !a->need != (a->type != AUTHORITY_QUORUM))
		return false;
	for (unsigned i = 0; i < a->members; i++)
		if (a->member[i] >= c->n[IMAGE_AUTHORITIES] ||
		    is_group(&c->authorities[a->member[i]]))
			return false;
	return true;
}

static bool authority_ok(const struct classifier *c, const struct image_authority *a)
{
	return string_ok(c, a->name) && string_ok(c, a->user) && string_ok(c, a->group) &&
	       string_ok(c, a->config) && verdict_ok(a->answer) && verdict_ok(a->on_timeout) &&
	       a->on_absent <= CLASSIFY_ABSENT_WAIT && a->on_error <= CLASSIFY_ERROR_NEXT &&
	       a->timeout_ns && a->type >= AUTHORITY_OPERATOR && a->type <= AUTHORITY_CHAIN &&
	       members_ok(c, a);
}

static bool authorities_ok(const struct classifier *c)
{
	uint32_t i;

	for (i = 0; i < c->n[IMAGE_AUTHORITIES]; i++)
		if (!authority_ok(c, &c->authorities[i]))
			return false;
	return i <= UINT16_MAX;
}

static bool set_ok(const struct classifier *c, const struct image_set *s)
{
	uint32_t i;

	if (!span_ok(c, IMAGE_V4, s->v4) || !span_ok(c, IMAGE_V6, s->v6))
		return false;
	for (i = 0; i < s->v4.n; i++) {
		const struct image_v4 *r = &c->v4[s->v4.first + i];

		if (r->lo > r->hi || (i && r[-1].hi >= r->lo))
			return false;
	}
	for (i = 0; i < s->v6.n; i++) {
		const struct image_v6 *r = &c->v6[s->v6.first + i];

		if (memcmp(r->lo, r->hi, 16) > 0 || (i && memcmp(r[-1].hi, r->lo, 16) >= 0))
			return false;
	}
	return true;
}

static bool sets_ok(const struct classifier *c)
{
	uint64_t checked = 0, included = 0;
	uint32_t i;

	for (i = 0; i < c->n[IMAGE_SETS]; i++) {
		included += c->sets[i].includes.n;
		if (included > c->n[IMAGE_MEMBERS] ||
		    !span_ok(c, IMAGE_MEMBERS, c->sets[i].includes))
			return false;
		/* Sets do not share intervals, so no image makes this loop longer than it is. */
		checked += (uint64_t)c->sets[i].v4.n + c->sets[i].v6.n;
		if (checked > (uint64_t)c->n[IMAGE_V4] + c->n[IMAGE_V6] ||
		    !string_ok(c, c->sets[i].name) || !set_ok(c, &c->sets[i]))
			return false;
	}
	for (i = 0; i < c->n[IMAGE_MEMBERS]; i++)
		if (c->members[i] >= c->n[IMAGE_SETS])
			return false;
	return true;
}

static bool ports_ok(const struct classifier *c, struct image_span span)
{
	uint32_t i;

	if (!span_ok(c, IMAGE_PORTS, span) || span.n > 65536)
		return false;
	for (i = 0; i < span.n; i++) {
		const struct image_port *p = &c->ports[span.first + i];

		if (p->lo > p->hi || (i && p[-1].hi >= p->lo))
			return false;
	}
	return true;
}

static bool ifaces_ok(const struct classifier *c)
{
	uint32_t i;

	for (i = 0; i < c->n[IMAGE_IFACES]; i++)
		if (c->ifaces[i].len > sizeof(c->ifaces[i].name) || c->ifaces[i].wild > 1)
			return false;
	return true;
}

static bool limits_ok(const struct classifier *c)
{
	for (uint32_t i = 0; i < c->n[IMAGE_LIMITS]; i++) {
		const struct classify_limit *l = &c->limits[i];

		if (l->rate > CLASSIFY_RATE_MAX || l->burst > CLASSIFY_BURST_MAX ||
		    (l->rate && (!l->burst || !l->per_s || l->per_s > 3600)))
			return false;
	}
	return c->n[IMAGE_LIMITS] <= c->n[IMAGE_RULES];
}

static bool ids_ok(const struct classifier *c, struct image_span span)
{
	uint32_t i;

	if (!span_ok(c, IMAGE_IDS, span))
		return false;
	for (i = 0; i < span.n; i++) {
		const struct image_id *p = &c->ids[span.first + i];

		if (p->lo > p->hi || (i && p[-1].hi >= p->lo))
			return false;
	}
	return true;
}

/* Paths begin with a '/', and nothing is longer than the packet path should look at. */
static bool texts_ok(const struct classifier *c, struct image_span span, bool path)
{
	uint32_t i, at;
	size_t len;

	if (!span_ok(c, IMAGE_TEXTS, span))
		return false;
	for (i = 0; i < span.n; i++) {
		at = c->texts[span.first + i];
		if (!string_ok(c, at))
			return false;
		len = strnlen(c->strings + at, IMAGE_TEXT_MAX + 1);
		if (!len || len > (path ? IMAGE_TEXT_MAX : LISTENER_UNIT_MAX) ||
		    (path && c->strings[at] != '/'))
			return false;
	}
	return true;
}

static bool listener_ok(const struct classifier *c, const struct image_rule *r)
{
	return ids_ok(c, r->user) && ids_ok(c, r->group) && texts_ok(c, r->executable, true) &&
	       texts_ok(c, r->cgroup, true) && texts_ok(c, r->unit, false) &&
	       !(listener_fields(r->seen) & ~(unsigned)r->need) && !(r->need & ~LISTENER_ALL);
}

static bool until_ok(const struct image_rule *r)
{
	if (!(r->seen & POL_BIT(COND_UNTIL)))
		return true;
	return r->until && r->until_day <= 1 && (!r->until_day || r->until < CLASSIFY_DAY);
}

static bool remember_ok(const struct image_rule *r)
{
	return r->remember_scope <= CLASSIFY_SCOPE_FLOW && r->remember_end <= 1 &&
	       r->remember_ns <= CLASSIFY_REMEMBER_MAX;
}

static bool bits_ok(const struct classifier *c, const struct image_rule *r, enum pol_cond cond,
		    uint32_t at, uint32_t n)
{
	return !(r->seen & POL_BIT(cond)) || span_ok(c, IMAGE_BITS, (struct image_span){at, n});
}

static bool conditions_ok(const struct classifier *c, const struct image_rule *r)
{
	return !(r->seen >> COND_COUNT) && !(r->neg & ~r->seen) &&
	       span_ok(c, IMAGE_MEMBERS, r->from) && span_ok(c, IMAGE_MEMBERS, r->to) &&
	       span_ok(c, IMAGE_MEMBERS, r->country) && listener_ok(c, r) && until_ok(r) &&
	       ports_ok(c, r->sport) && ports_ok(c, r->dport) && ports_ok(c, r->time) &&
	       span_ok(c, IMAGE_IFACES, r->in) && span_ok(c, IMAGE_IFACES, r->out) &&
	       bits_ok(c, r, COND_PROTO, r->proto, 1) &&
	       bits_ok(c, r, COND_ICMP_TYPE, r->icmp_type, 2) &&
	       bits_ok(c, r, COND_ICMP_CODE, r->icmp_code, 1);
}

static bool action_ok(const struct classifier *c, const struct image_rule *r)
{
	if (r->action < CLASSIFY_PERMIT || r->action > CLASSIFY_INSPECT || r->log > 1 ||
	    r->block > PEND_BLOCK_UNREACHABLE || r->release > PEND_RELEASE_BUFFER ||
	    r->mode > PEND_MODE_ABSORB || !verdict_ok(r->on_timeout) || !remember_ok(r))
		return false;
	return r->action != CLASSIFY_PEND ||
	       (r->authority < c->n[IMAGE_AUTHORITIES] && r->timeout_ns);
}

/* Rules do not share lists either: one classify looks at no more than there is. */
static bool rules_ok(const struct classifier *c)
{
	uint64_t ports = 0, members = 0, ifaces = 0, ids = 0, texts = 0;
	uint32_t i;

	for (i = 0; i < c->n[IMAGE_RULES]; i++) {
		const struct image_rule *r = &c->rules[i];

		ports += (uint64_t)r->sport.n + r->dport.n + r->time.n;
		members += (uint64_t)r->from.n + r->to.n + r->country.n;
		ifaces += (uint64_t)r->in.n + r->out.n;
		ids += (uint64_t)r->user.n + r->group.n;
		texts += (uint64_t)r->executable.n + r->cgroup.n + r->unit.n;
		if (ports > c->n[IMAGE_PORTS] || members > c->n[IMAGE_MEMBERS] ||
		    ifaces > c->n[IMAGE_IFACES] || ids > c->n[IMAGE_IDS] ||
		    texts > c->n[IMAGE_TEXTS] || !string_ok(c, r->file) || !string_ok(c, r->text) ||
		    r->limit > c->n[IMAGE_LIMITS] || !string_ok(c, r->counter) ||
		    r->layer >= c->n[IMAGE_LAYERS] || !conditions_ok(c, r) || !action_ok(c, r))
			return false;
	}
	return true;
}

/* A rule belongs to one layer: then evaluating all layers looks at each rule once at most. */
static bool layers_ok(const struct classifier *c)
{
	uint64_t total = 0;
	uint32_t i, j;

	if (c->n[IMAGE_LAYERS] > POLICY_LAYERS_MAX) /* a bit each: struct classify_result */
		return false;
	for (i = 0; i < c->n[IMAGE_LAYERS]; i++) {
		const struct image_layer *l = &c->layers[i];

		total += l->rules.n;
		if (total > c->n[IMAGE_RULES] || !string_ok(c, l->name) ||
		    !span_ok(c, IMAGE_RULES, l->rules))
			return false;
		if (l->fallback != CLASSIFY_NO_RULE &&
		    (l->fallback >= c->n[IMAGE_RULES] || c->rules[l->fallback].layer != i ||
		     c->rules[l->fallback].action == CLASSIFY_INSPECT))
			return false;
		for (j = 0; j < l->rules.n; j++)
			if (c->rules[l->rules.first + j].layer != i)
				return false;
	}
	return total == c->n[IMAGE_RULES];
}

static bool image_ok(struct classifier *c, const void *image, size_t size)
{
	const struct image_header *h = image;
	uint32_t n;

	if (size < sizeof(*h) || (uintptr_t)image % IMAGE_ALIGN || h->magic != IMAGE_MAGIC ||
	    h->version != IMAGE_VERSION || h->size != size || size > IMAGE_SIZE_MAX ||
	    !attach_sections(c, h, size))
		return false;
	n = c->n[IMAGE_STRINGS];
	return n && !c->strings[n - 1] && authorities_ok(c) && sets_ok(c) && ifaces_ok(c) &&
	       limits_ok(c) && rules_ok(c) && layers_ok(c);
}

int classify_attach(struct classifier **out, const void *image, size_t size)
{
	struct classifier *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	if (!image_ok(c, image, size)) {
		free(c);
		return -EINVAL;
	}
	c->users = malloc(sizeof(*c->users));
	c->keys = calloc(c->n[IMAGE_RULES] + 1, sizeof(*c->keys));
	if (!c->users || !c->keys || classify_index_build(&c->index, c)) {
		free(c->keys);
		free(c->users);
		free(c);
		return -ENOMEM;
	}
	atomic_init(c->users, 1);
	*out = c;
	return 0;
}

void classify_detach(struct classifier *c)
{
	if (!c)
		return;
	classify_patch_free(c->patch);
	if (atomic_fetch_sub(c->users, 1) == 1) {
		classify_index_free(&c->index);
		free(c->keys);
		free(c->users);
	}
	free(c);
}

uint32_t classify_rules(const struct classifier *c)
{
	return c->n[IMAGE_RULES];
}

bool classify_rule(const struct classifier *c, uint32_t rule, struct classify_rule *out)
{
	const struct image_rule *r;

	if (rule >= c->n[IMAGE_RULES])
		return false;
	r = &c->rules[rule];
	*out = (struct classify_rule){.file = c->strings + r->file,
				      .line = r->line,
				      .layer = c->strings + c->layers[r->layer].name,
				      .text = c->strings + r->text,
				      .counter = c->strings + r->counter,
				      .action = r->action,
				      .authority = r->authority};
	return true;
}

static uint64_t hash_text(uint64_t h, const char *s)
{
	/* FNV-1a, the end of the text included */
	do
		h = (h ^ (uint8_t)*s) * 0x100000001b3ull;
	while (*s++);
	return h;
}

static uint64_t make_key(const struct classifier *c, const struct image_rule *r)
{
	uint64_t h = hash_text(0xcbf29ce484222325ull, c->strings + c->layers[r->layer].name);

	h = hash_text(h, c->strings + r->text);
	return h ? h : 1;
}

uint64_t classify_rule_key(const struct classifier *c, uint32_t rule)
{
	uint64_t key;

	if (rule >= c->n[IMAGE_RULES])
		return 0;
	/* Once: a rule can be as long as its lists, and packets ask. Two threads find the same. */
	key = atomic_load_explicit(&c->keys[rule], memory_order_relaxed);
	if (!key) {
		key = make_key(c, &c->rules[rule]);
		atomic_store_explicit(&c->keys[rule], key, memory_order_relaxed);
	}
	return key;
}

uint64_t classify_rule_remember(const struct classifier *c, uint32_t rule, uint8_t *scope,
				bool *end)
{
	const struct image_rule *r = rule < c->n[IMAGE_RULES] ? &c->rules[rule] : NULL;

	if (!r)
		return 0;
	*scope = r->remember_scope;
	*end = r->remember_end;
	return r->remember_ns;
}

uint8_t classify_rule_action(const struct classifier *c, uint32_t rule)
{
	return rule < c->n[IMAGE_RULES] ? c->rules[rule].action : 0;
}

uint32_t classify_rule_layer(const struct classifier *c, uint32_t rule)
{
	return rule < c->n[IMAGE_RULES] ? c->rules[rule].layer : UINT32_MAX;
}

uint32_t classify_limits(const struct classifier *c)
{
	return c->n[IMAGE_LIMITS];
}

const struct classify_limit *classify_limit(const struct classifier *c, uint32_t limit)
{
	return limit < c->n[IMAGE_LIMITS] ? &c->limits[limit] : NULL;
}

uint32_t classify_limit_of(const struct classifier *c, uint32_t rule)
{
	return rule < c->n[IMAGE_RULES] ? c->rules[rule].limit - 1 : UINT32_MAX;
}

bool classify_got_past(const struct classifier *c, uint32_t rule)
{
	return classify_limit_of(c, rule) == UINT32_MAX ||
	       classify_rule_action(c, rule) != CLASSIFY_BLOCK;
}

unsigned classify_needs(const struct classifier *c)
{
	uint32_t seen = 0;

	for (uint32_t i = 0; i < c->n[IMAGE_RULES]; i++)
		seen |= c->rules[i].seen;
	return listener_fields(seen);
}

/* Minutes up to the end of this rule, or its next beginning, from the known ones of the two; UINT32_MAX: it is over, or unknown. */
static uint32_t rule_end(const struct image_rule *r, uint32_t clock, uint32_t minute)
{
	uint32_t now = clock ? (clock - 1) % CLASSIFY_DAY : 0;

	if (!(r->seen & POL_BIT(COND_UNTIL)) || !(r->until_day ? clock : minute))
		return UINT32_MAX;
	if (r->until_day) /* at midnight it begins again, which ends what it blocks */
		return r->until > now ? r->until - now : CLASSIFY_DAY - now;
	return r->until > minute ? r->until - minute : UINT32_MAX;
}

uint32_t classify_next_end(const struct classifier *c, uint32_t clock, uint32_t minute)
{
	uint32_t next = UINT32_MAX, end;

	for (uint32_t i = 0; i < c->n[IMAGE_RULES]; i++) {
		end = rule_end(&c->rules[i], clock, minute);
		if (end < next)
			next = end;
	}
	return next;
}

uint32_t classify_sets(const struct classifier *c)
{
	return c->n[IMAGE_SETS];
}

const char *classify_set_name(const struct classifier *c, uint32_t set)
{
	return set < c->n[IMAGE_SETS] ? c->strings + c->sets[set].name : "";
}

uint32_t classify_set_find(const struct classifier *c, const char *name)
{
	for (uint32_t i = 0; *name && i < c->n[IMAGE_SETS]; i++)
		if (strcmp(classify_set_name(c, i), name) == 0)
			return i;
	return UINT32_MAX;
}

uint32_t classify_layers(const struct classifier *c)
{
	return c->n[IMAGE_LAYERS];
}

const char *classify_layer_name(const struct classifier *c, uint32_t layer)
{
	return layer < c->n[IMAGE_LAYERS] ? c->strings + c->layers[layer].name : "";
}

uint32_t classify_authorities(const struct classifier *c)
{
	return c->n[IMAGE_AUTHORITIES];
}

bool classify_authority(const struct classifier *c, uint16_t authority,
			struct classify_authority *out)
{
	const struct image_authority *a;

	if (authority >= c->n[IMAGE_AUTHORITIES])
		return false;
	a = &c->authorities[authority];
	*out = (struct classify_authority){.name = c->strings + a->name,
					   .type = a->type,
					   .answer = a->answer,
					   .timeout_ns = a->timeout_ns,
					   .on_timeout = a->on_timeout,
					   .on_absent = a->on_absent,
					   .on_error = a->on_error,
					   .need = a->need,
					   .members = a->members,
					   .max_pending = a->max_pending,
					   .user = c->strings + a->user,
					   .group = c->strings + a->group,
					   .uid = a->uid,
					   .gid = a->gid,
					   .config = c->strings + a->config};
	memcpy(out->member, a->member, sizeof(out->member));
	return true;
}
