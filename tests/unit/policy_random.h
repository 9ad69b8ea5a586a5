/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random policies (as text) and packets from small worlds, so that rules match often. What they mean
 * is said in policy_reference.h.
 */
#ifndef TESTS_POLICY_RANDOM_H
#define TESTS_POLICY_RANDOM_H

#include "policy_help.h"
#include "core/flow.h"

#define RANDOM_TEXT_MAX 65536

struct random_policy {
	uint64_t state;
	char text[RANDOM_TEXT_MAX];
	size_t len;
	unsigned sets;
};

static inline unsigned rnd(struct random_policy *r, unsigned n)
{
	return (unsigned)(unit_rand(&r->state) >> 33) % n;
}

__attribute__((format(printf, 2, 3))) static inline void emit(struct random_policy *r,
							      const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	r->len += (size_t)vsnprintf(r->text + r->len, RANDOM_TEXT_MAX - r->len, fmt, ap);
	va_end(ap);
	if (r->len >= RANDOM_TEXT_MAX)
		abort();
}

static inline void emit_neg(struct random_policy *r)
{
	if (!rnd(r, 4))
		emit(r, rnd(r, 2) ? "!" : "not ");
}

/* A list of 1 to 3, or one alone. */
static inline void emit_list(struct random_policy *r, void (*one)(struct random_policy *))
{
	unsigned n = rnd(r, 4);

	if (!n) {
		one(r);
		return;
	}
	emit(r, "{ ");
	while (n--) {
		one(r);
		emit(r, n ? ", " : " }");
	}
}

static inline void emit_addr(struct random_policy *r)
{
	unsigned a = rnd(r, 16), b = a + rnd(r, 16 - a);

	switch (rnd(r, r->sets ? 8 : 6)) {
	case 0:
		emit(r, "10.0.0.%u", a);
		break;
	case 1:
		emit(r, "10.0.0.%u/%u", a & 8, 29);
		break;
	case 2:
		emit(r, "10.0.0.%u-10.0.0.%u", a, b);
		break;
	case 3:
		emit(r, "2001:db8::%x", a);
		break;
	case 4:
		emit(r, "2001:db8::%x/%u", a & 12, 126);
		break;
	case 5:
		emit(r, "2001:db8::%x-2001:db8::%x", a, b);
		break;
	default:
		emit(r, "@s%u", rnd(r, r->sets));
	}
}

static inline void emit_port(struct random_policy *r)
{
	static const char *const names[] = {"ssh", "smtp", "domain", "telnet"};
	unsigned a = 15 + rnd(r, 16);

	if (!rnd(r, 4))
		emit(r, "%s", names[rnd(r, 4)]);
	else if (rnd(r, 2))
		emit(r, "%u", a);
	else
		emit(r, "%u-%u", a, a + rnd(r, 6));
}

static inline void emit_proto(struct random_policy *r)
{
	static const char *const names[] = {"tcp", "udp", "6", "17", "sctp"};

	emit(r, "%s", names[rnd(r, 5)]);
}

static inline void emit_any_proto(struct random_policy *r)
{
	static const char *const names[] = {"tcp", "udp", "icmp", "icmpv6", "47"};

	emit(r, "%s", names[rnd(r, 5)]);
}

static inline void emit_iface(struct random_policy *r)
{
	static const char *const names[] = {"eth0", "eth1", "eth*", "\"wlan0\"", "*", "e", "lo"};

	emit(r, "%s", names[rnd(r, 7)]);
}

static inline void emit_icmp(struct random_policy *r)
{
	static const char *const names[] = {"echo-request", "echo-reply", "packet-too-big", "8",
					    "129"};

	emit(r, "%s", names[rnd(r, 5)]);
}

static inline void emit_code(struct random_policy *r)
{
	emit(r, "%u", rnd(r, 3));
}

static inline void emit_hook(struct random_policy *r)
{
	static const char *const names[] = {"input", "forward", "output"};

	emit(r, "%s", names[rnd(r, 3)]);
}

static inline void emit_end(struct random_policy *r, const char *word, bool ports)
{
	unsigned what = 1 + rnd(r, ports ? 3 : 1);

	emit(r, " %s ", word);
	if (what & 1) {
		emit_neg(r);
		emit_list(r, emit_addr);
	}
	if (what & 2) {
		emit(r, " port ");
		emit_neg(r);
		emit_list(r, emit_port);
	}
}

static inline void emit_time(struct random_policy *r)
{
	unsigned from = rnd(r, 24), to = (from + 1 + rnd(r, 23)) % 24, half = rnd(r, 2) * 30;

	if (!rnd(r, 6))
		emit(r, "%02u:00-24:00", from);
	else
		emit(r, "%02u:%02u-%02u:%02u", from, half, to, half);
}

static inline void emit_day(struct random_policy *r)
{
	static const char *const names[] = {"mon", "tue-thu", "fri", "sat-sun", "sun-tue", "sun"};

	emit(r, "%s", names[rnd(r, 6)]);
}

static inline void emit_reason(struct random_policy *r)
{
	static const char *const names[] = {"completion", "policy-change", "mid-stream",
					    "new-arrival-interface", "new-nexthop-interface"};

	emit(r, "%s", names[rnd(r, 5)]);
}

static inline void emit_user(struct random_policy *r)
{
	static const char *const names[] = {"root", "web", "\"not\"", "33", "1000-1999", "0-33"};

	emit(r, "%s", names[rnd(r, 6)]);
}

static inline void emit_group(struct random_policy *r)
{
	static const char *const names[] = {"root", "adm", "web", "4", "5-1000"};

	emit(r, "%s", names[rnd(r, 5)]);
}

static inline void emit_executable(struct random_policy *r)
{
	static const char *const names[] = {"/usr/sbin/sshd", "/usr/", "/usr/bin/", "/opt/x", "/"};

	emit(r, "\"%s\"", names[rnd(r, 5)]);
}

static inline void emit_cgroup(struct random_policy *r)
{
	static const char *const names[] = {"/", "/system.slice", "/system.slice/ssh.service",
					    "/user.slice/", "/sys"};

	emit(r, "\"%s\"", names[rnd(r, 5)]);
}

static inline void emit_unit(struct random_policy *r)
{
	static const char *const names[] = {
		"ssh.service", "\"web@*.service\"", "*.scope",      "\"[s-u]*\"",
		"\"[!s]*e\"",  "\"???.service\"",   "system.slice", "*"};

	emit(r, "%s", names[rnd(r, 8)]);
}

static inline void emit_listener(struct random_policy *r)
{
	static const struct {
		const char *word;
		void (*one)(struct random_policy *);
	} conds[] = {{"user", emit_user},
		     {"group", emit_group},
		     {"executable", emit_executable},
		     {"cgroup", emit_cgroup},
		     {"unit", emit_unit}};

	for (size_t i = 0; i < 5; i++) {
		if (rnd(r, 16))
			continue;
		emit(r, " %s ", conds[i].word);
		emit_neg(r);
		emit_list(r, conds[i].one);
	}
}

static inline void emit_country(struct random_policy *r)
{
	static const char *const names[] = {"AA", "BB", "CC", "ZZ"};

	emit(r, "%s", names[rnd(r, 4)]);
}

static inline void emit_until(struct random_policy *r)
{
	if (rnd(r, 2))
		emit(r, " until %02u:%s", rnd(r, 24), rnd(r, 2) ? "30" : "01");
	else
		emit(r, " until \"2026-01-0%u %02u:00\"", 1 + rnd(r, 2), rnd(r, 24));
}

/* What does not stand in the packet. */
static inline void emit_moment(struct random_policy *r)
{
	if (!rnd(r, 10)) {
		emit(r, " time ");
		emit_neg(r);
		emit_list(r, emit_time);
	}
	if (!rnd(r, 10)) {
		emit(r, " day ");
		emit_neg(r);
		emit_list(r, emit_day);
	}
	if (!rnd(r, 12))
		emit_until(r);
	if (!rnd(r, 12))
		emit(r, " reauthorize%s", rnd(r, 2) ? " no" : rnd(r, 2) ? " yes" : "");
	else if (!rnd(r, 12)) {
		emit(r, " reauthorize reason ");
		emit_neg(r);
		emit_list(r, emit_reason);
	}
}

static inline void emit_conditions(struct random_policy *r)
{
	bool icmp = !rnd(r, 4), ports = !icmp;

	if (!rnd(r, 3)) {
		emit(r, " proto ");
		emit_neg(r);
		if (icmp)
			emit(r, rnd(r, 2) ? "icmp" : "{ icmp, icmpv6 }");
		else
			emit_list(r, rnd(r, 3) ? emit_proto : emit_any_proto);
		ports = false;
	}
	if (!rnd(r, 3))
		emit_end(r, "from", ports);
	if (!rnd(r, 3))
		emit_end(r, "to", ports);
	if (!rnd(r, 6)) {
		emit(r, " in ");
		emit_neg(r);
		emit_list(r, emit_iface);
	}
	if (!rnd(r, 8)) {
		emit(r, " out ");
		emit_neg(r);
		emit_list(r, emit_iface);
	}
	if (!rnd(r, 6)) {
		emit(r, " family ");
		emit_neg(r);
		emit(r, rnd(r, 2) ? "ipv4" : "ipv6");
	}
	if (!rnd(r, 8)) {
		emit(r, " hook ");
		emit_neg(r);
		emit_list(r, emit_hook);
	}
	if (icmp && rnd(r, 2)) {
		emit(r, " icmp-type ");
		emit_neg(r);
		emit_list(r, emit_icmp);
	}
	if (icmp && !rnd(r, 3)) {
		emit(r, " icmp-code ");
		emit_neg(r);
		emit_list(r, emit_code);
	}
	if (!icmp && !rnd(r, 6)) {
		static const char *const flags[] = {"syn", "syn/syn,ack", "none/rst", "syn,ack",
						    "ack/fin,ack,rst"};

		emit(r, " tcp-flags ");
		emit_neg(r);
		emit(r, "%s", flags[rnd(r, 5)]);
	}
	emit_moment(r);
	if (!icmp)
		emit_listener(r);
	if (!rnd(r, 8)) {
		emit(r, " country ");
		emit_neg(r);
		emit_list(r, emit_country);
	}
	if (!rnd(r, 8)) {
		emit(r, " mark ");
		emit_neg(r);
		emit(r, rnd(r, 2) ? "0x%x/0x3" : "%u", rnd(r, 4));
	}
}

static inline void emit_ask(struct random_policy *r)
{
	static const char *const groups[] = {"any", "all", "chain", "1 of", "2 of"};
	static const char *const names[] = {"a0", "a1", "a2", "operator"};
	unsigned first = rnd(r, 4), n = 2 + rnd(r, 3);

	if (rnd(r, 3)) {
		emit(r, " ask %s", rnd(r, 5) ? names[first] : "g0");
		return;
	}
	emit(r, " ask %s { ", groups[rnd(r, 5)]);
	while (n--)
		emit(r, "%s%s", names[first++ % 4], n ? rnd(r, 2) ? ", " : " " : " }");
}

static inline void emit_limit(struct random_policy *r)
{
	static const char *const per[] = {"second", "minute", "hour"};

	if (!rnd(r, 8))
		emit(r, " rate %u/%s", 1 + rnd(r, 9), per[rnd(r, 3)]);
	else if (!rnd(r, 8))
		emit(r, " rate 7/second burst %u", 1 + rnd(r, 9));
	if (!rnd(r, 8))
		emit(r, " quota %u per source%s", 1 + rnd(r, 9), rnd(r, 2) ? " in 1h" : "");
}

static inline void emit_rule(struct random_policy *r)
{
	unsigned action = rnd(r, 3);

	if (!rnd(r, 8)) {
		emit(r, "\tinspect");
		emit_conditions(r);
		emit_limit(r);
		emit(r, "\n");
		return;
	}
	emit(r, "\t%s", action == 0 ? "permit" : action == 1 ? "block" : "pend");
	emit_conditions(r);
	if (action == 2) {
		if (rnd(r, 2))
			emit_ask(r);
		if (rnd(r, 2))
			emit(r, " timeout %us", 1 + rnd(r, 100));
		if (!rnd(r, 3))
			emit(r, " on-timeout %s", rnd(r, 2) ? "permit" : "block");
		if (!rnd(r, 3))
			emit(r, " complete %s", rnd(r, 2) ? "flush" : "buffer");
		if (!rnd(r, 3))
			emit(r, " %s", rnd(r, 2) ? "hold" : "absorb");
		if (!rnd(r, 3))
			emit(r, " remember %uh%s%s", 1 + rnd(r, 50),
			     rnd(r, 2)   ? ""
			     : rnd(r, 2) ? " scope source"
			     : rnd(r, 2) ? " scope flow"
					 : " scope service",
			     rnd(r, 2) ? "" : " end");
	}
	if (action && !rnd(r, 3))
		emit(r, " with %s", rnd(r, 2) ? "reset" : "unreachable");
	if (!rnd(r, 4))
		emit(r, " log");
	emit_limit(r);
	if (!rnd(r, 6))
		emit(r, " counter c%u", rnd(r, 3));
	emit(r, rnd(r, 2) ? ";\n" : "\n");
}

static inline void emit_layer(struct random_policy *r, unsigned number, unsigned rules)
{
	emit(r, "layer l%u {\n", number);
	if (rnd(r, 2))
		emit(r, "\tweight %u;\n", rnd(r, 3));
	if (!rnd(r, 3))
		emit(r, "\tdefault %s;\n", rnd(r, 2) ? "permit log" : "block with reset");
	while (rules--)
		emit_rule(r);
	emit(r, "}\n");
}

static inline void random_policy(struct random_policy *r)
{
	unsigned i, n, layers;

	r->len = 0;
	r->sets = 0;
	emit(r, "settings { timeout %us; country-database \"/geo\" }\n", 1 + rnd(r, 50));
	emit(r, "authority a0 { type static; answer permit; on-timeout permit }\n");
	emit(r, "authority a1 { type socket; timeout %us; on-absent %s; on-timeout permit }\n",
	     1 + rnd(r, 50), rnd(r, 2) ? "wait" : "permit");
	emit(r, "authority a2 { type exec; command \"/x\"; on-error next%s }\n",
	     rnd(r, 2) ? "; max-pending 7" : "");
	emit(r, "authority g0 { type %s; of { a0, a1 } }\n",
	     rnd(r, 2)   ? "any"
	     : rnd(r, 2) ? "chain"
			 : "quorum 2");
	for (n = rnd(r, 4); r->sets < n; r->sets++) {
		emit(r, "set s%u { ", r->sets);
		for (i = rnd(r, 6); i; i--) {
			emit_addr(r);
			emit(r, ", ");
		}
		emit(r, "}\n");
	}
	layers = rnd(r, 4);
	for (i = 0; i < layers; i++)
		emit_layer(r, i, rnd(r, 8));
}

static inline void random_addr(struct random_policy *r, uint8_t family, uint8_t addr[16])
{
	static const uint8_t v4[16] = {10}, v6[16] = {0x20, 0x01, 0x0d, 0xb8};

	memcpy(addr, family == FLOW_V4 ? v4 : v6, 16);
	addr[family == FLOW_V4 ? 3 : 15] = (uint8_t)rnd(r, 17);
}

static inline void random_packet(struct random_policy *r, struct pend_values *v)
{
	static const uint8_t protos[] = {6, 17, 1, 58, 47, 132};
	static const uint8_t types[] = {0, 2, 8, 128, 129};

	*v = (struct pend_values){0};
	v->family = rnd(r, 2) ? FLOW_V4 : FLOW_V6;
	v->protocol = protos[rnd(r, 6)];
	v->has_ports = v->protocol == 6 || v->protocol == 17 || v->protocol == 132;
	if (v->has_ports) {
		v->source_port = (uint16_t)(14 + rnd(r, 24));
		v->dest_port = (uint16_t)(14 + rnd(r, 24));
	}
	v->icmp_type = types[rnd(r, 5)];
	v->icmp_code = (uint8_t)rnd(r, 3);
	random_addr(r, v->family, v->source);
	random_addr(r, v->family, v->dest);
	v->hook = (uint8_t)rnd(r, 4);
	v->in_interface = rnd(r, 6);
	v->out_interface = rnd(r, 6);
	v->mark = rnd(r, 6);
	v->tcp_flags = (uint8_t)rnd(r, 32);
	v->mark_unknown = !rnd(r, 8);
	if (v->protocol == 6 && !rnd(r, 8))
		v->tcp_flags_unknown = (uint8_t)rnd(r, 256);
}

static inline void random_listener(struct random_policy *r, struct classify_listener *l)
{
	static const uint32_t ids[] = {0, 4, 12, 33, 1000, 1500, 70000};
	static const char *const executables[] = {"/usr/sbin/sshd", "/usr/bin/x", "/usr", "",
						  "/opt/x",         "/opt/xy"};
	static const char *const cgroups[] = {"/",
					      "/system.slice/ssh.service",
					      "/system.slice/sshd.service/web@1.service",
					      "/system.slice",
					      "/user.slice/user-1.slice/user@1.service/app.slice",
					      "/user.slice/user-1.slice/session-2.scope/payload",
					      "/sys",
					      "/docker/0123",
					      ""};

	*l = (struct classify_listener){.state = (uint8_t)(rnd(r, 4) ? LISTENER_FOUND : rnd(r, 2)),
					.known = (uint8_t)(rnd(r, 3) ? LISTENER_ALL : rnd(r, 16)),
					.uid = ids[rnd(r, 7)],
					.gid = ids[rnd(r, 7)],
					.executable = executables[rnd(r, 6)],
					.cgroup = cgroups[rnd(r, 9)]};
}

static inline void random_context(struct random_policy *r, const struct classify_ifaces *ifaces,
				  struct classify_context *now)
{
	*now = (struct classify_context){.ifaces = rnd(r, 8) ? ifaces : NULL};
	if (rnd(r, 8))
		now->clock = classify_clock(rnd(r, 7), rnd(r, 48) * 30 + rnd(r, 2));
	if (!rnd(r, 2))
		return;
	if (rnd(r, 4))
		now->minute = fake_minute(NULL, 2026, 1, 1 + (int)rnd(r, 2), (int)rnd(r, 24), 0) -
			      rnd(r, 2);
	if (!rnd(r, 2))
		return;
	now->reason = (uint8_t)rnd(r, 5);
	now->reauthorize = now->reason && now->reason != PEND_REASON_CLASSIFY_COMPLETION;
}

#endif
