/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Live flows that were ended, in JSON. See reauth_json.h. */
#include "daemon/reauth_json.h"
#include "core/flow.h"
#include "daemon/control_impl.h"
#include "daemon/control_json.h"
#include <unistd.h>

enum { PROTO_ICMP = 1, PROTO_ICMP6 = 58 };

const char *reauth_reason_name(unsigned reason)
{
	static const char *const names[MSG_REASONS] = {
		[PEND_REASON_CLASSIFY_COMPLETION] = "completion",
		[PEND_REASON_POLICY_CHANGE] = "policy-change",
		[PEND_REASON_NEW_ARRIVAL_INTERFACE] = "new-arrival-interface",
		[PEND_REASON_MID_STREAM] = "mid-stream",
		[PEND_REASON_NEW_NEXTHOP_INTERFACE] = "new-nexthop-interface",
		[PEND_REASON_DECISION_EXPIRED] = "decision-expired",
	};

	return reason < MSG_REASONS ? names[reason] : NULL;
}

static void set_int(json_t *o, const char *key, uint64_t v)
{
	json_object_set_new(o, key, json_integer((json_int_t)v));
}

static void set_address(json_t *o, const char *key, const uint8_t addr[16], uint8_t family)
{
	char text[FLOW_ADDR_TEXT];

	if (family == FLOW_V4 || family == FLOW_V6)
		json_object_set_new(o, key, json_string(flow_addr_print(addr, family, text)));
}

static void set_ports(json_t *o, const struct reauth_flow *f)
{
	if (f->protocol == PROTO_ICMP || f->protocol == PROTO_ICMP6) {
		set_int(o, "icmp_type", f->dest_port >> 8);
		set_int(o, "icmp_code", f->dest_port & 0xff);
		return;
	}
	if (f->source_port)
		set_int(o, "source_port", f->source_port);
	if (f->dest_port)
		set_int(o, "dest_port", f->dest_port);
}

json_t *reauth_flow_json(const struct reauth_flow *f, const struct classifier *c)
{
	bool ruled = f->rule != CLASSIFY_NO_RULE;
	json_t *o = ruled ? rule_object(c, f->rule) : json_object();
	const char *proto = flow_proto_name(f->protocol);

	if (proto)
		json_object_set_new(o, "protocol", json_string(proto));
	else
		set_int(o, "protocol", f->protocol);
	set_address(o, "source", f->source, f->family);
	set_address(o, "dest", f->dest, f->family);
	set_ports(o, f);
	if (f->failed)
		json_object_set_new(o, "failed", json_true());
	return o;
}

unsigned reauth_flows_read(const struct msg_reauth *m, int fd, struct reauth_flow flow[MSG_FLOWS])
{
	size_t want = m->listed < MSG_FLOWS ? m->listed : MSG_FLOWS;
	ssize_t n = fd < 0 ? 0 : pread(fd, flow, want * sizeof(*flow), 0);

	return n < 0 ? 0 : (unsigned)((size_t)n / sizeof(*flow));
}
