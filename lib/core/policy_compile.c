/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A checked policy -> the image of core/classify_image.h. */
#include "core/policy_ast.h"
#include "core/classify_image.h"
#include "core/classify_listener.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint32_t record_size[IMAGE_SECTIONS] = {
	[IMAGE_STRINGS] = 1,
	[IMAGE_AUTHORITIES] = sizeof(struct image_authority),
	[IMAGE_LAYERS] = sizeof(struct image_layer),
	[IMAGE_RULES] = sizeof(struct image_rule),
	[IMAGE_SETS] = sizeof(struct image_set),
	[IMAGE_MEMBERS] = sizeof(uint32_t),
	[IMAGE_V4] = sizeof(struct image_v4),
	[IMAGE_V6] = sizeof(struct image_v6),
	[IMAGE_PORTS] = sizeof(struct image_port),
	[IMAGE_IFACES] = sizeof(struct image_iface),
	[IMAGE_BITS] = sizeof(struct image_bits),
	[IMAGE_LIMITS] = sizeof(struct classify_limit),
	[IMAGE_IDS] = sizeof(struct image_id),
	[IMAGE_TEXTS] = sizeof(uint32_t),
};

struct section {
	char *data;
	size_t n, cap; /* records */
};

struct compiler {
	const struct policy *p;
	struct section section[IMAGE_SECTIONS];
	uint32_t *file_names; /* string offsets */
	int err;
};

/* Room for `n` more records, zeroed; NULL after an error, which sticks. */
static void *more(struct compiler *c, enum image_section which, size_t n)
{
	struct section *s = &c->section[which];
	size_t size = record_size[which], cap = s->cap ? s->cap : 16;
	char *data;

	if (c->err)
		return NULL;
	if ((s->n + n) * size > IMAGE_SIZE_MAX) {
		c->err = -E2BIG;
		return NULL;
	}
	while (cap < s->n + n)
		cap *= 2;
	if (cap != s->cap) {
		data = realloc(s->data, cap * size);
		if (!data) {
			c->err = -ENOMEM;
			return NULL;
		}
		s->data = data;
		s->cap = cap;
	}
	data = s->data + s->n * size;
	s->n += n;
	return memset(data, 0, n * size);
}

static uint32_t count(const struct compiler *c, enum image_section which)
{
	return (uint32_t)c->section[which].n;
}

_Static_assert(IMAGE_GROUP_MAX == CLASSIFY_MEMBERS_MAX, "members");

static uint32_t string(struct compiler *c, const char *s)
{
	uint32_t at = count(c, IMAGE_STRINGS);
	size_t len = strlen(s) + 1;
	char *to = more(c, IMAGE_STRINGS, len);

	if (to)
		memcpy(to, s, len);
	return at;
}

/* What `user` and `group` say, as they say it. */
static uint32_t compile_id(struct compiler *c, const struct pol_id *id)
{
	char number[16];

	if (!id)
		return 0; /* the first string is an empty one */
	snprintf(number, sizeof(number), "%u", id->lo);
	return string(c, id->name ? id->name : number);
}

static uint32_t compile_config(struct compiler *c, const struct pol_authority *a)
{
	struct pol_text text = {0};
	uint32_t at = 0;

	pol_served_json(a, &text);
	if (text.oom)
		c->err = -ENOMEM;
	else
		at = string(c, text.s);
	free(text.s);
	return at;
}

static void compile_authority(struct compiler *c, const struct pol_authority *a)
{
	struct image_authority out = {.type = a->type,
				      .answer = a->answer,
				      .on_timeout = a->on_timeout,
				      .on_absent = a->on_absent,
				      .on_error = a->on_error,
				      .need = a->of.need,
				      .members = a->of.n,
				      .max_pending = a->max_pending,
				      .uid = a->user ? a->user->lo : UINT32_MAX,
				      .gid = a->group ? a->group->lo : UINT32_MAX,
				      .timeout_ns = a->timeout_ns},
			       *to;

	for (unsigned i = 0; i < a->of.n; i++)
		out.member[i] = a->of.member[i].authority->index;
	out.name = string(c, a->name);
	out.user = compile_id(c, a->user);
	out.group = compile_id(c, a->group);
	out.config = compile_config(c, a);
	to = more(c, IMAGE_AUTHORITIES, 1);
	if (to)
		*to = out;
}

/* -------------------------------------------------------------------- addresses ---- */

static void add_set(struct compiler *c, const char *name, const struct pol_ranges *rs)
{
	uint32_t at = *name ? string(c, name) : 0; /* the first string is an empty one */
	struct image_set *set = more(c, IMAGE_SETS, 1);
	struct image_v4 *v4;
	struct image_v6 *v6;
	size_t i;

	if (!set)
		return;
	set->name = at;
	set->v4 = (struct image_span){count(c, IMAGE_V4), (uint32_t)rs->n4};
	set->v6 = (struct image_span){count(c, IMAGE_V6), (uint32_t)rs->n6};
	v4 = more(c, IMAGE_V4, rs->n4);
	for (i = 0; v4 && i < rs->n4; i++)
		v4[i] = (struct image_v4){rs->v4[i].lo, rs->v4[i].hi};
	v6 = more(c, IMAGE_V6, rs->n6);
	for (i = 0; v6 && i < rs->n6; i++) {
		memcpy(v6[i].lo, rs->v6[i].lo, 16);
		memcpy(v6[i].hi, rs->v6[i].hi, 16);
	}
}

static void add_member(struct compiler *c, uint32_t set)
{
	uint32_t *member = more(c, IMAGE_MEMBERS, 1);

	if (member)
		*member = set;
}

/* The set, and what it contains. */
static void add_members(struct compiler *c, const struct pol_set *s)
{
	add_member(c, s->index);
	for (uint32_t i = 0; i < s->nall; i++)
		add_member(c, s->all[i]->index);
}

/* All sets are there. */
static void compile_includes(struct compiler *c)
{
	const struct pol_set *s;

	for (s = c->p->sets; s && !c->err; s = s->next) {
		struct image_span span = {count(c, IMAGE_MEMBERS), s->nall};
		struct image_set *sets = (void *)c->section[IMAGE_SETS].data;

		for (uint32_t i = 0; i < s->nall; i++)
			add_member(c, s->all[i]->index);
		sets[s->index].includes = span;
	}
}

/* The sets that are named, and one without a name for what stands in the rule itself. */
static struct image_span compile_items(struct compiler *c, const struct pol_items *items)
{
	struct image_span span = {count(c, IMAGE_MEMBERS), 0};
	struct pol_ranges own = {0};
	const struct pol_item *it;

	for (it = items->first; it && !c->err; it = it->next) {
		if (it->kind == POL_REF)
			add_members(c, it->set);
		else if (!pol_ranges_add(&own, &it->range))
			c->err = -ENOMEM;
	}
	if (own.n4 || own.n6) {
		pol_ranges_normalize(&own);
		add_member(c, count(c, IMAGE_SETS));
		add_set(c, "", &own);
	}
	pol_ranges_deinit(&own);
	span.n = count(c, IMAGE_MEMBERS) - span.first;
	return span;
}

/* ------------------------------------------------------------- ports and the rest ---- */

static int compare_ports(const void *a, const void *b)
{
	const struct image_port *x = a, *y = b;

	return (x->lo > y->lo) - (x->lo < y->lo);
}

/* Sorted, and merged where they meet; returns how many are left. */
static uint32_t merge_ports(struct image_port *port, uint32_t n)
{
	uint32_t i, last = 0;

	qsort(port, n, sizeof(*port), compare_ports);
	for (i = 1; i < n; i++) {
		if (port[i].lo > port[last].hi + 1)
			port[++last] = port[i];
		else if (port[i].hi > port[last].hi)
			port[last].hi = port[i].hi;
	}
	return last + 1;
}

static struct image_span compile_ports(struct compiler *c, const struct pol_ports *ports)
{
	struct image_span span = {count(c, IMAGE_PORTS), 0};
	const struct pol_ports *p;
	struct image_port *out;

	for (p = ports; p; p = p->next, span.n++) {
		out = more(c, IMAGE_PORTS, 1);
		if (!out)
			return span;
		*out = (struct image_port){p->lo, p->hi};
	}
	if (span.n) {
		out = (struct image_port *)(void *)c->section[IMAGE_PORTS].data + span.first;
		span.n = merge_ports(out, span.n);
		c->section[IMAGE_PORTS].n = span.first + span.n;
	}
	return span;
}

static void add_minutes(struct compiler *c, struct image_span *span, unsigned lo, unsigned end)
{
	struct image_port *out = lo < end ? more(c, IMAGE_PORTS, 1) : NULL;

	if (!out)
		return;
	*out = (struct image_port){(uint16_t)lo, (uint16_t)(end - 1)};
	span->n++;
}

/* Of one day: what goes over midnight is cut there. Both ends belong to it from here on. */
static struct image_span compile_time(struct compiler *c, const struct pol_ports *time)
{
	struct image_span span = {count(c, IMAGE_PORTS), 0};
	const struct pol_ports *s;

	for (s = time; s; s = s->next) {
		if (s->lo < s->hi) {
			add_minutes(c, &span, s->lo, s->hi);
			continue;
		}
		add_minutes(c, &span, s->lo, CLASSIFY_DAY);
		add_minutes(c, &span, 0, s->hi);
	}
	if (span.n && !c->err) {
		void *first = c->section[IMAGE_PORTS].data + span.first * sizeof(struct image_port);

		span.n = merge_ports(first, span.n);
		c->section[IMAGE_PORTS].n = span.first + span.n;
	}
	return span;
}

static struct image_span compile_ifaces(struct compiler *c, const struct pol_iface *ifaces)
{
	struct image_span span = {count(c, IMAGE_IFACES), 0};
	const struct pol_iface *f;
	struct image_iface *out;

	for (f = ifaces; f; f = f->next, span.n++) {
		out = more(c, IMAGE_IFACES, 1);
		if (!out)
			return span;
		out->len = (uint8_t)strlen(f->name);
		out->wild = f->wild;
		memcpy(out->name, f->name, out->len);
	}
	return span;
}

static uint32_t compile_bits(struct compiler *c, const struct pol_bits *bits)
{
	uint32_t at = count(c, IMAGE_BITS);
	struct image_bits *out = more(c, IMAGE_BITS, 1);

	if (out)
		memcpy(out->b, bits->b, sizeof(out->b));
	return at;
}

static uint32_t compile_icmp(struct compiler *c, const struct pol_icmp *types)
{
	struct pol_bits v4 = {{0}}, v6 = {{0}};
	const struct pol_icmp *t;
	uint32_t at;

	for (t = types; t; t = t->next) {
		if (t->v4 >= 0)
			pol_bits_add(&v4, (unsigned)t->v4);
		if (t->v6 >= 0)
			pol_bits_add(&v6, (unsigned)t->v6);
	}
	at = compile_bits(c, &v4);
	compile_bits(c, &v6);
	return at;
}

static int compare_ids(const void *a, const void *b)
{
	const struct image_id *x = a, *y = b;

	return (x->lo > y->lo) - (x->lo < y->lo);
}

/* Sorted, and merged where they meet. */
static struct image_span compile_ids(struct compiler *c, const struct pol_id *ids)
{
	struct image_span span = {count(c, IMAGE_IDS), 0};
	const struct pol_id *id;
	struct image_id *out;
	uint32_t i, last = 0;

	for (id = ids; id; id = id->next, span.n++) {
		out = more(c, IMAGE_IDS, 1);
		if (!out)
			return span;
		*out = (struct image_id){id->lo, id->hi};
	}
	if (!span.n)
		return span;
	out = (struct image_id *)(void *)c->section[IMAGE_IDS].data + span.first;
	qsort(out, span.n, sizeof(*out), compare_ids);
	for (i = 1; i < span.n; i++) {
		if (out[i].lo > out[last].hi && out[i].lo - out[last].hi > 1)
			out[++last] = out[i];
		else if (out[i].hi > out[last].hi)
			out[last].hi = out[i].hi;
	}
	span.n = last + 1;
	c->section[IMAGE_IDS].n = span.first + span.n;
	return span;
}

static struct image_span compile_texts(struct compiler *c, const struct pol_string *texts)
{
	struct image_span span = {count(c, IMAGE_TEXTS), 0};
	const struct pol_string *s;
	uint32_t at, *out;

	for (s = texts; s; s = s->next, span.n++) {
		at = string(c, s->text);
		out = more(c, IMAGE_TEXTS, 1);
		if (!out)
			return span;
		*out = at;
	}
	return span;
}

static int compare_members(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* In one order, so that rules with the same countries are seen to ask the same. */
static struct image_span compile_countries(struct compiler *c, const struct pol_country *list)
{
	struct image_span span = {count(c, IMAGE_MEMBERS), 0};
	const struct pol_country *p;

	for (p = list; p; p = p->next)
		add_member(c, c->p->nsets + p->set->index);
	span.n = count(c, IMAGE_MEMBERS) - span.first;
	if (span.n && !c->err)
		qsort((uint32_t *)(void *)c->section[IMAGE_MEMBERS].data + span.first, span.n,
		      sizeof(uint32_t), compare_members);
	return span;
}

/* ------------------------------------------------------------------------ rules ---- */

static void compile_listener(struct compiler *c, const struct pol_rule *r, struct image_rule *out)
{
	out->user = compile_ids(c, r->user);
	out->group = compile_ids(c, r->group);
	out->executable = compile_texts(c, r->executable);
	out->cgroup = compile_texts(c, r->cgroup);
	out->unit = compile_texts(c, r->unit);
}

static void compile_conditions(struct compiler *c, const struct pol_rule *r, struct image_rule *out)
{
	out->seen = r->seen;
	out->neg = r->neg;
	out->from = compile_items(c, &r->from);
	out->to = compile_items(c, &r->to);
	out->sport = compile_ports(c, r->sport);
	out->dport = compile_ports(c, r->dport);
	out->in = compile_ifaces(c, r->in);
	out->out = compile_ifaces(c, r->out);
	if (r->seen & POL_BIT(COND_PROTO))
		out->proto = compile_bits(c, &r->proto);
	if (r->seen & POL_BIT(COND_ICMP_TYPE))
		out->icmp_type = compile_icmp(c, r->icmp);
	if (r->seen & POL_BIT(COND_ICMP_CODE))
		out->icmp_code = compile_bits(c, &r->icmp_code);
	out->family = r->family;
	out->hooks = r->hooks;
	out->mark = r->mark;
	out->mark_mask = r->mark_mask;
	out->time = compile_time(c, r->time);
	out->days = r->days;
	out->reasons = r->reasons;
	out->tcp_flags = r->tcp_flags;
	out->tcp_mask = r->tcp_mask;
	out->until = r->until;
	out->until_day = !r->until_text && r->seen & POL_BIT(COND_UNTIL);
	out->country = compile_countries(c, r->country);
	compile_listener(c, r, out);
}

static void compile_action(const struct pol_rule *r, struct image_rule *out)
{
	out->action = r->action;
	out->block = r->with;
	out->log = !!(r->opts & POL_BIT(OPT_LOG));
	out->is_default = r->is_default;
	if (r->action != CLASSIFY_PEND)
		return;
	out->authority = r->authority->index;
	out->timeout_ns = r->timeout_ns;
	out->on_timeout = r->on_timeout;
	out->release = r->complete;
	out->mode = r->mode;
	out->remember_ns = r->remember_ns;
	out->remember_scope = r->remember_scope;
	out->remember_end = r->remember_end;
}

/* The number of its limit, from 1; 0: it has none. */
static uint32_t compile_limit(struct compiler *c, const struct pol_rule *r)
{
	struct classify_limit *out;

	if (!r->limit.rate && !r->limit.quota)
		return 0;
	out = more(c, IMAGE_LIMITS, 1);
	if (out)
		*out = r->limit;
	return count(c, IMAGE_LIMITS);
}

static void compile_rule(struct compiler *c, const struct pol_rule *r, uint32_t layer)
{
	struct image_rule out = {.layer = layer, .line = r->loc.line}, *to;
	struct pol_text text = {0};

	pol_print_rule(r, &text);
	if (text.oom)
		c->err = -ENOMEM;
	else
		out.text = string(c, text.s);
	free(text.s);
	out.file = c->file_names[r->loc.file];
	compile_conditions(c, r, &out);
	compile_action(r, &out);
	out.limit = compile_limit(c, r);
	if (r->counter)
		out.counter = string(c, r->counter);
	to = more(c, IMAGE_RULES, 1);
	if (to)
		*to = out;
}

static void compile_layer(struct compiler *c, const struct pol_layer *l, uint32_t number)
{
	struct image_layer out = {.name = string(c, l->name), .fallback = CLASSIFY_NO_RULE}, *to;
	const struct pol_rule *r;

	out.rules = (struct image_span){count(c, IMAGE_RULES), l->n};
	for (r = l->rules; r && !c->err; r = r->next) {
		if (r->is_default)
			out.fallback = count(c, IMAGE_RULES);
		compile_rule(c, r, number);
	}
	to = more(c, IMAGE_LAYERS, 1);
	if (to)
		*to = out;
}

/* Rules are numbered in the order of the file; layers are then sorted, and rules told. */
static void sort_layers(struct compiler *c)
{
	struct image_layer sorted[POLICY_LAYERS_MAX],
		*layers = (void *)c->section[IMAGE_LAYERS].data;
	struct image_rule *rules = (void *)c->section[IMAGE_RULES].data;
	const struct pol_layer *l, *o;
	uint32_t i, n, rank, own = 0;

	for (l = c->p->layers; l; l = l->next, own++) {
		bool before = true;

		rank = 0;
		for (o = c->p->layers; o; o = o->next) {
			if (o == l)
				before = false;
			else if (o->weight > l->weight || (o->weight == l->weight && before))
				rank++;
		}
		sorted[rank] = layers[own];
		for (i = 0, n = layers[own].rules.n; i < n; i++)
			rules[layers[own].rules.first + i].layer = rank;
	}
	if (own)
		memcpy(layers, sorted, own * sizeof(*layers));
}

/* What a rule needs to know of the listener, and what the rules behind it may. */
static void compile_needs(struct compiler *c)
{
	const struct image_layer *layers = (void *)c->section[IMAGE_LAYERS].data;
	struct image_rule *rules = (void *)c->section[IMAGE_RULES].data, *r;
	unsigned need = 0;
	uint32_t i, j;

	for (i = count(c, IMAGE_LAYERS); i--;) {
		for (j = layers[i].rules.n; j--;) {
			r = &rules[layers[i].rules.first + j];
			need |= listener_fields(r->seen);
			r->need = (uint8_t)need;
		}
	}
}

static void compile_files(struct compiler *c)
{
	uint32_t i;

	c->file_names = calloc(c->p->nfiles, sizeof(*c->file_names));
	if (!c->file_names)
		c->err = -ENOMEM;
	for (i = 0; i < c->p->nfiles && !c->err; i++)
		c->file_names[i] = string(c, c->p->files[i].name);
}

static void compile_all(struct compiler *c)
{
	const struct pol_authority *a;
	const struct pol_layer *l;
	const struct pol_set *s;
	uint32_t number = 0;

	string(c, "");
	compile_files(c);
	for (a = c->p->authorities; a && !c->err; a = a->next)
		compile_authority(c, a);
	for (s = c->p->sets; s && !c->err; s = s->next)
		add_set(c, s->name, &s->ranges); /* in order, so that a set's number is its index */
	for (s = c->p->countries; s && !c->err; s = s->next)
		add_set(c, "", &s->ranges);
	compile_includes(c);
	for (l = c->p->layers; l && !c->err; l = l->next)
		compile_layer(c, l, number++);
	if (c->err)
		return;
	sort_layers(c);
	compile_needs(c);
}

static size_t aligned(size_t n)
{
	return (n + IMAGE_ALIGN - 1) / IMAGE_ALIGN * IMAGE_ALIGN;
}

static int assemble(const struct compiler *c, void **image, size_t *size)
{
	struct image_header h = {.magic = IMAGE_MAGIC, .version = IMAGE_VERSION};
	size_t at = aligned(sizeof(h));
	char *out;
	int i;

	for (i = 0; i < IMAGE_SECTIONS; i++) {
		if (at > IMAGE_SIZE_MAX)
			return -E2BIG;
		h.section[i].offset = (uint32_t)at;
		h.section[i].n = (uint32_t)c->section[i].n;
		at += aligned(c->section[i].n * record_size[i]);
	}
	if (at > IMAGE_SIZE_MAX)
		return -E2BIG;
	h.size = at;
	out = calloc(1, at);
	if (!out)
		return -ENOMEM;
	memcpy(out, &h, sizeof(h));
	for (i = 0; i < IMAGE_SECTIONS; i++)
		if (c->section[i].n)
			memcpy(out + h.section[i].offset, c->section[i].data,
			       c->section[i].n * record_size[i]);
	*image = out;
	*size = at;
	return 0;
}

int policy_compile(const struct policy *p, void **image, size_t *size)
{
	struct compiler c = {.p = p};
	int i, err;

	compile_all(&c);
	err = c.err ? c.err : assemble(&c, image, size);
	for (i = 0; i < IMAGE_SECTIONS; i++)
		free(c.section[i].data);
	free(c.file_names);
	return err;
}
