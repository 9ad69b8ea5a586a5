/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Any bytes as an image: refused, or safe to classify with and to ask about its rules. */
#include "core/classify.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_result(const struct classifier *c, const struct classify_result *r)
{
	struct classify_authority a;
	struct classify_rule rule;

	if (r->action < CLASSIFY_PERMIT || r->action > CLASSIFY_PEND)
		abort();
	if (r->rule != CLASSIFY_NO_RULE && !classify_rule(c, r->rule, &rule))
		abort();
	if (r->action == CLASSIFY_PEND &&
	    (!r->timeout_ns || !classify_authority(c, r->authority, &a)))
		abort();
	if (r->remember_ns > CLASSIFY_REMEMBER_MAX || r->remember_scope > CLASSIFY_SCOPE_FLOW)
		abort();
}

static bool take(void *arg, uint32_t rule)
{
	const struct classifier *c = arg;
	const struct classify_limit *l = classify_limit(c, classify_limit_of(c, rule));

	if (rule >= classify_rules(c) || (l && l->rate > CLASSIFY_RATE_MAX))
		abort();
	return rule % 2;
}

/* Any bits of it known, or none. */
static const struct classify_listener *listener(void *arg, const struct pend_values *v,
						unsigned need)
{
	static const char *const paths[] = {"", "/", "/usr/bin/x", "/a.slice/b.service/c"};
	static struct classify_listener l;

	if (need & ~LISTENER_ALL || need & ~classify_needs(arg))
		abort();
	l = (struct classify_listener){.state = v->source[3] % 3,
				       .known = v->source[3] / 3 % 16,
				       .uid = v->dest_port,
				       .gid = v->source[3],
				       .executable = paths[v->source[3] % 4],
				       .cgroup = paths[v->source[3] / 4 % 4]};
	return &l;
}

/* A few packets that reach every kind of condition. */
static void use(const struct classifier *c, uint8_t seed)
{
	static const uint8_t protocols[] = {6, 17, 1, 58, 255};
	static const struct classify_iface list[] = {{1, "lo"}, {2, "eth0"}};
	struct classify_ifaces *names = malloc(sizeof(*names) + sizeof(list));
	struct pend_values v = {.source = {10, 0, 0, seed}, .dest = {10, 0, 1, seed}};
	struct classify_context now = {0};
	struct classify_result r;
	unsigned i;

	if (!names)
		abort();
	names->n = 2;
	memcpy(names->iface, list, sizeof(list));
	for (i = 0; i < 20; i++) {
		v.family = i % 2 ? 6 : 4;
		v.protocol = protocols[i % 5];
		v.has_ports = i % 5 < 2;
		v.dest_port = (uint16_t)(seed * 251 + i);
		v.icmp_type = (uint8_t)(i + seed);
		v.hook = (uint8_t)(i % 4);
		v.in_interface = i % 3;
		now.ifaces = i % 7 ? names : NULL;
		now.clock = i % 5 ? classify_clock(i % 7, i * 71u) : 0;
		now.reauthorize = i % 2;
		now.visit = i % 3 ? take : NULL;
		now.arg = (void *)(uintptr_t)c;
		now.reason = (uint8_t)(i % 5);
		now.listener = i % 4 ? listener : NULL;
		now.minute = i % 3 * 29900000;
		v.tcp_flags = (uint8_t)(i + seed);
		v.mark_unknown = i % 8 == 7;
		v.tcp_flags_unknown = i % 10 ? 0 : (uint8_t)~seed;
		classify_with(c, &now, &v, &r);
		check_result(c, &r);
	}
	free(names);
}

static size_t check_authority(const struct classifier *c, const struct classify_authority *a)
{
	struct classify_authority member;

	if (a->members > CLASSIFY_MEMBERS_MAX || a->need > a->members)
		abort();
	for (unsigned i = 0; i < a->members; i++)
		if (!classify_authority(c, a->member[i], &member) || member.members)
			abort();
	return strlen(a->name) + strlen(a->user) + strlen(a->group) + strlen(a->config);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct classifier *c = NULL;
	struct classify_rule rule;
	struct classify_authority a;
	void *image = malloc(size ? size : 1); /* aligned, and exactly as large */
	size_t len = 0;
	uint32_t i;

	if (!image)
		abort();
	if (size)
		memcpy(image, data, size);
	if (!classify_attach(&c, image, size)) {
		use(c, data[size - 1]);
		for (i = 0; i < 64 && classify_rule(c, i, &rule); i++)
			len += strlen(rule.text) + strlen(rule.file) + strlen(rule.layer);
		for (i = 0; i < 64 && classify_authority(c, (uint16_t)i, &a); i++)
			len += check_authority(c, &a);
		if (len > 192 * size * 3)
			abort();
		if (!classify_next_end(c, classify_clock(1, data[0]), 29900000))
			abort();
	}
	classify_detach(c);
	free(image);
	return 0;
}
