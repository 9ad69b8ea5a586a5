/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Canonical text: every include and variable resolved, every setting written out, one
 * rule a line. Parsing it gives the same policy, and printing that the same text.
 */
#include "core/policy_ast.h"
#include "base/str.h"
#include "core/flow.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* "{ a, b }" around more than one; begin returns what to put before element i. */
static const char *before(bool list, unsigned i)
{
	return i ? ", " : list ? "{ " : "";
}

static void print_neg(const struct pol_rule *r, enum pol_cond c, struct pol_text *t)
{
	pol_text_add(t, r->neg & POL_BIT(c) ? " !" : " ");
}

static void print_proto(const struct pol_rule *r, struct pol_text *t)
{
	unsigned i, n = 0, count = 0;

	for (i = 0; i < 256; i++)
		count += pol_bits_has(&r->proto, i);
	for (i = 0; i < 256; i++) {
		if (!pol_bits_has(&r->proto, i))
			continue;
		pol_text_add(t, "%s", before(count != 1, n++));
		if (flow_proto_name((uint8_t)i))
			pol_text_add(t, "%s", flow_proto_name((uint8_t)i));
		else
			pol_text_add(t, "%u", i);
	}
	pol_text_add(t, "%s", count == 1 ? "" : " }");
}

/* Relative to the folder of the first file, as far as it lies there; a '/' too many would make it absolute. */
static const char *relative(const char *path, const char *root)
{
	size_t dir = strlen(root);

	if (!dir || strncmp(path, root, dir))
		return path;
	return path + dir + strspn(path + dir, "/");
}

static void print_items(const struct pol_items *items, const char *root, bool braces,
			struct pol_text *t)
{
	const struct pol_item *it;
	bool list = braces || items->n != 1;
	unsigned i = 0;

	for (it = items->first; it; it = it->next) {
		pol_text_add(t, "%s", before(list, i++));
		if (it->kind == POL_RANGE) {
			pol_range_print(&it->range, t);
		} else if (it->kind == POL_REF) {
			pol_text_add(t, "@%s", it->name);
		} else {
			pol_text_add(t, "file ");
			pol_text_quote(t, relative(it->name, root));
		}
	}
	pol_text_add(t, "%s", !list ? "" : i ? " }" : "{ }");
}

static void print_ports(const struct pol_rule *r, enum pol_cond c, struct pol_text *t)
{
	const struct pol_ports *p, *first = c == COND_SPORT ? r->sport : r->dport;
	bool list = first && first->next;
	unsigned i = 0;

	pol_text_add(t, " port");
	print_neg(r, c, t);
	for (p = first; p; p = p->next) {
		const char *name = p->lo == p->hi ? pol_service_name(p->lo) : NULL;

		pol_text_add(t, "%s", before(list, i++));
		if (name)
			pol_text_add(t, "%s", name);
		else if (p->lo == p->hi)
			pol_text_add(t, "%u", p->lo);
		else
			pol_text_add(t, "%u-%u", p->lo, p->hi);
	}
	pol_text_add(t, "%s", list ? " }" : "");
}

static void print_end(const struct pol_rule *r, enum pol_cond addr, struct pol_text *t)
{
	enum pol_cond port = addr == COND_FROM ? COND_SPORT : COND_DPORT;

	if (!(r->seen & (POL_BIT(addr) | POL_BIT(port))))
		return;
	pol_text_add(t, addr == COND_FROM ? " from" : " to");
	if (r->seen & POL_BIT(addr)) {
		print_neg(r, addr, t);
		print_items(addr == COND_FROM ? &r->from : &r->to, "", false, t);
	}
	if (r->seen & POL_BIT(port))
		print_ports(r, port, t);
}

/* Does it read as one word? Else it is printed as a string. */
static bool iface_is_word(const char *s)
{
	return !s[strspn(s,
			 "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.+%-")] &&
	       strcmp(s, "not");
}

static void print_ifaces(const struct pol_rule *r, enum pol_cond c, struct pol_text *t)
{
	const struct pol_iface *f, *first = c == COND_IN ? r->in : r->out;
	bool list = first && first->next;
	unsigned i = 0;

	pol_text_add(t, c == COND_IN ? " in" : " out");
	print_neg(r, c, t);
	for (f = first; f; f = f->next) {
		pol_text_add(t, "%s", before(list, i++));
		if (iface_is_word(f->name)) {
			pol_text_add(t, "%s%s", f->name, f->wild ? "*" : "");
			continue;
		}
		pol_text_quote(t, f->name);
		if (f->wild && !t->oom) { /* the star goes inside of the quotes */
			t->len--;
			pol_text_add(t, "*\"");
		}
	}
	pol_text_add(t, "%s", list ? " }" : "");
}

static void print_hook(const struct pol_rule *r, struct pol_text *t)
{
	const struct pol_keyword *k;
	bool list = r->hooks & (r->hooks - 1);
	unsigned i = 0;

	pol_text_add(t, " hook");
	print_neg(r, COND_HOOK, t);
	for (k = pol_hooks; k->name; k++)
		if (r->hooks & POL_BIT(k->value))
			pol_text_add(t, "%s%s", before(list, i++), k->name);
	pol_text_add(t, "%s", list ? " }" : "");
}

static void print_icmp(const struct pol_rule *r, struct pol_text *t)
{
	bool list = r->icmp && r->icmp->next;
	const struct pol_icmp *m;
	unsigned i = 0;

	pol_text_add(t, " icmp-type");
	print_neg(r, COND_ICMP_TYPE, t);
	for (m = r->icmp; m; m = m->next) {
		pol_text_add(t, "%s", before(list, i++));
		if (m->name)
			pol_text_add(t, "%s", m->name);
		else
			pol_text_add(t, "%d", m->v4);
	}
	pol_text_add(t, "%s", list ? " }" : "");
}

static void print_icmp_code(const struct pol_rule *r, struct pol_text *t)
{
	unsigned i, n = 0, count = 0;

	for (i = 0; i < 256; i++)
		count += pol_bits_has(&r->icmp_code, i);
	pol_text_add(t, " icmp-code");
	print_neg(r, COND_ICMP_CODE, t);
	for (i = 0; i < 256; i++)
		if (pol_bits_has(&r->icmp_code, i))
			pol_text_add(t, "%s%u", before(count != 1, n++), i);
	pol_text_add(t, "%s", count == 1 ? "" : " }");
}

static void print_mark(const struct pol_rule *r, struct pol_text *t)
{
	pol_text_add(t, " mark");
	print_neg(r, COND_MARK, t);
	pol_text_add(t, "0x%x", r->mark);
	if (r->mark_mask != UINT32_MAX)
		pol_text_add(t, "/0x%x", r->mark_mask);
}

static void print_conditions(const struct pol_rule *r, struct pol_text *t)
{
	if (r->seen & POL_BIT(COND_HOOK))
		print_hook(r, t);
	if (r->seen & POL_BIT(COND_IN))
		print_ifaces(r, COND_IN, t);
	if (r->seen & POL_BIT(COND_OUT))
		print_ifaces(r, COND_OUT, t);
	if (r->seen & POL_BIT(COND_FAMILY)) {
		pol_text_add(t, " family");
		print_neg(r, COND_FAMILY, t);
		pol_text_add(t, r->family == FLOW_V4 ? "ipv4" : "ipv6");
	}
	if (r->seen & POL_BIT(COND_PROTO)) {
		pol_text_add(t, " proto");
		print_neg(r, COND_PROTO, t);
		print_proto(r, t);
	}
	if (r->seen & POL_BIT(COND_COUNTRY))
		pol_print_country(r, t);
	print_end(r, COND_FROM, t);
	print_end(r, COND_TO, t);
	if (r->seen & POL_BIT(COND_ICMP_TYPE))
		print_icmp(r, t);
	if (r->seen & POL_BIT(COND_ICMP_CODE))
		print_icmp_code(r, t);
	if (r->seen & POL_BIT(COND_TCP_FLAGS)) {
		pol_text_add(t, " tcp-flags");
		print_neg(r, COND_TCP_FLAGS, t);
		pol_print_tcp_flags(r, t);
	}
	if (r->seen & POL_BIT(COND_MARK))
		print_mark(r, t);
	if (r->seen & POL_BIT(COND_TIME)) {
		pol_text_add(t, " time");
		print_neg(r, COND_TIME, t);
		pol_print_time(r, t);
	}
	if (r->seen & POL_BIT(COND_DAY)) {
		pol_text_add(t, " day");
		print_neg(r, COND_DAY, t);
		pol_print_day(r, t);
	}
	if (r->seen & POL_BIT(COND_REAUTHORIZE))
		pol_text_add(t, r->neg & POL_BIT(COND_REAUTHORIZE) ? " reauthorize no"
								   : " reauthorize");
	if (r->seen & POL_BIT(COND_REASON)) {
		pol_text_add(t, " reauthorize reason");
		print_neg(r, COND_REASON, t);
		pol_print_reasons(r, t);
	}
	if (r->seen & POL_BIT(COND_UNTIL))
		pol_print_until(r, t);
	pol_print_listener(r, t);
}

void pol_print_rule(const struct pol_rule *r, struct pol_text *t)
{
	char buf[STR_DURATION_MAX];

	pol_text_add(t, "%s%s", r->is_default ? "default " : "",
		     pol_keyword_name(pol_actions, r->action));
	print_conditions(r, t);
	if (r->opts & POL_BIT(OPT_ASK))
		pol_text_add(t, " ask %s", r->ask);
	if (r->opts & POL_BIT(OPT_TIMEOUT))
		pol_text_add(t, " timeout %s", str_duration_print(r->timeout_ns, buf));
	if (r->opts & POL_BIT(OPT_ON_TIMEOUT))
		pol_text_add(t, " on-timeout %s", pol_keyword_name(pol_verdicts, r->on_timeout));
	if (r->opts & POL_BIT(OPT_WITH))
		pol_text_add(t, " with %s", pol_keyword_name(pol_blocks, r->with));
	if (r->opts & POL_BIT(OPT_COMPLETE))
		pol_text_add(t, " complete %s", pol_keyword_name(pol_releases, r->complete));
	if (r->opts & POL_BIT(OPT_MODE))
		pol_text_add(t, r->mode == PEND_MODE_HOLD ? " hold" : " absorb");
	if (r->opts & POL_BIT(OPT_LOG))
		pol_text_add(t, " log");
	pol_print_limit(r, t);
	pol_print_remember(r, t);
	if (r->opts & POL_BIT(OPT_COUNTER))
		pol_text_add(t, " counter %s", r->counter);
}

static void print_set(const struct pol_set *s, const char *root, struct pol_text *t)
{
	pol_text_add(t, "set %s ", s->name);
	print_items(&s->items, root, true, t);
	pol_text_add(t, ";\n");
}

static void print_layer(const struct pol_layer *l, struct pol_text *t)
{
	const struct pol_rule *r;

	pol_text_add(t, "layer %s {\n", l->name);
	if (l->has_weight)
		pol_text_add(t, "\tweight %u;\n", l->weight);
	for (r = l->rules; r; r = r->next) {
		pol_text_add(t, "\t");
		pol_print_rule(r, t);
		pol_text_add(t, ";\n");
	}
	pol_text_add(t, "}\n");
}

/* The folder of the first file: paths of set files are printed as seen from there. */
static char *root_folder(const struct policy *p)
{
	const char *name = p->files[0].name, *slash = strrchr(name, '/');

	return strndup(name, slash ? (size_t)(slash - name) + 1 : 0);
}

int policy_print(const struct policy *p, char **text)
{
	const struct pol_authority *a;
	const struct pol_layer *l;
	const struct pol_set *s;
	struct pol_text t = {0};
	char *root = root_folder(p);

	if (!root)
		return -ENOMEM;
	pol_print_settings(p, &t);
	for (s = p->sets; s; s = s->next)
		print_set(s, root, &t);
	for (a = p->authorities; a; a = a->next)
		if (!a->builtin)
			pol_print_authority(a, &t);
	for (l = p->layers; l; l = l->next)
		print_layer(l, &t);
	free(root);
	if (t.oom) {
		free(t.s);
		return -ENOMEM;
	}
	*text = t.s;
	return 0;
}
