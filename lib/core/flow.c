/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The flow key: hash, compare, reverse, and its text form, which people type at
 * `pendctl test` and read in events. Everything that is printed parses back to the same bytes.
 */
#include "core/flow.h"
#include <pend.h>
#include "core/packet_bytes.h"
#include "base/str.h"
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

/* The first name of a number is the one that is printed. */
static const struct {
	const char *name;
	uint8_t proto;
} protos[] = {
	{"icmp", IPPROTO_ICMP},
	{"igmp", IPPROTO_IGMP},
	{"ipip", IPPROTO_IPIP},
	{"ipencap", IPPROTO_IPIP},
	{"tcp", IPPROTO_TCP},
	{"udp", IPPROTO_UDP},
	{"dccp", IPPROTO_DCCP},
	{"ipv6", IPPROTO_IPV6},
	{"rsvp", IPPROTO_RSVP},
	{"gre", IPPROTO_GRE},
	{"esp", IPPROTO_ESP},
	{"ah", IPPROTO_AH},
	{"icmpv6", IPPROTO_ICMPV6},
	{"icmp6", IPPROTO_ICMPV6},
	{"ipv6-icmp", IPPROTO_ICMPV6},
	{"ipv6-nonxt", IPPROTO_NONE},
	{"ospf", 89},
	{"pim", IPPROTO_PIM},
	{"vrrp", 112},
	{"l2tp", 115},
	{"sctp", IPPROTO_SCTP},
	{"udplite", IPPROTO_UDPLITE},
};

#define N_PROTOS (sizeof(protos) / sizeof(protos[0]))

uint32_t flow_hash(const struct flow *f, const struct siphash_key *key)
{
	return (uint32_t)siphash13(key, f, sizeof(*f));
}

bool flow_equal(const struct flow *a, const struct flow *b)
{
	return !memcmp(a, b, sizeof(*a));
}

static bool flow_is_icmp(uint8_t proto, uint8_t family)
{
	return family == FLOW_V4 ? proto == IPPROTO_ICMP : proto == IPPROTO_ICMPV6;
}

/* What the other side sends in answer: echo request <-> reply; every other message has none. */
static uint16_t icmp_reverse(uint16_t type_code, uint8_t family)
{
	uint8_t type = type_code >> 8, code = type_code & 0xff;

	if (family == FLOW_V4 && (type == ICMP4_ECHO_REQUEST || type == ICMP4_ECHO_REPLY))
		type ^= ICMP4_ECHO_REQUEST ^ ICMP4_ECHO_REPLY;
	else if (family == FLOW_V6 && (type == ICMP6_ECHO_REQUEST || type == ICMP6_ECHO_REPLY))
		type ^= ICMP6_ECHO_REQUEST ^ ICMP6_ECHO_REPLY;
	return (uint16_t)(type << 8 | code);
}

struct flow flow_reverse(const struct flow *f)
{
	struct flow r = *f;

	memcpy(r.src, f->dst, sizeof(r.src));
	memcpy(r.dst, f->src, sizeof(r.dst));
	if (flow_is_icmp(f->proto, f->family)) {
		r.dport = icmp_reverse(f->dport, f->family);
	} else {
		r.sport = f->dport;
		r.dport = f->sport;
	}
	return r;
}

bool flow_addr_loopback(const uint8_t addr[16], uint8_t family)
{
	static const uint8_t loopback6[16] = {[15] = 1};

	return family == FLOW_V4 ? addr[0] == 127 : !memcmp(addr, loopback6, sizeof(loopback6));
}

bool flow_addr_link_scope(const uint8_t addr[16], uint8_t family)
{
	unsigned scope = addr[1] & 0xf;

	if (family != FLOW_V6)
		return false;
	return addr[0] == 0xff ? scope == 1 || scope == 2
			       : addr[0] == 0xfe && (addr[1] & 0xc0) == 0x80;
}

bool flow_addr_in(const uint8_t addr[16], const uint8_t prefix[16], unsigned len)
{
	unsigned bytes = len / 8, bits = len % 8;

	if (len > 128 || memcmp(addr, prefix, bytes))
		return false;
	return !bits || !((addr[bytes] ^ prefix[bytes]) >> (8 - bits));
}

void flow_addr_mask(uint8_t addr[16], uint8_t family, unsigned len)
{
	unsigned max = family == FLOW_V4 ? 32 : 128;
	unsigned bytes = (len < max ? len : max) / 8, bits = len < max ? len % 8 : 0;

	if (bits) {
		addr[bytes] &= (uint8_t)(0xff << (8 - bits));
		bytes++;
	}
	memset(addr + bytes, 0, 16 - bytes);
}

/* The first of the longest runs of two or more zero words, or 8 (RFC 5952, 4.2). */
static unsigned zero_run(const uint8_t addr[16], unsigned *len)
{
	unsigned best = 8, n;

	*len = 1;
	for (unsigned i = 0; i < 8; i += n + 1) {
		for (n = 0; i + n < 8 && !be16_at(addr + 2 * (i + n)); n++)
			;
		if (n > *len) {
			best = i;
			*len = n;
		}
	}
	return best;
}

static void print_v4(const uint8_t *a, char *buf, size_t *len)
{
	str_append(buf, FLOW_ADDR_TEXT, len, "%u.%u.%u.%u", a[0], a[1], a[2], a[3]);
}

/* Not by inet_ntop: C libraries differ in which addresses they end in dots. */
static void print_v6(const uint8_t addr[16], char *buf, size_t *len)
{
	unsigned run, zeros = zero_run(addr, &run);

	for (unsigned i = 0; i < 8; i++) {
		if (i == zeros) {
			str_append(buf, FLOW_ADDR_TEXT, len, "::");
			i += run - 1;
			continue;
		}
		str_append(buf, FLOW_ADDR_TEXT, len, "%s%x", i && i != zeros + run ? ":" : "",
			   be16_at(addr + 2 * i));
	}
}

const char *flow_addr_print(const uint8_t addr[16], uint8_t family, char buf[FLOW_ADDR_TEXT])
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	size_t len = 0;

	if (family == FLOW_V4) {
		print_v4(addr, buf, &len);
	} else if (!memcmp(addr, mapped, sizeof(mapped))) {
		str_append(buf, FLOW_ADDR_TEXT, &len, "::ffff:");
		print_v4(addr + 12, buf, &len);
	} else {
		print_v6(addr, buf, &len);
	}
	return buf;
}

int flow_addr_parse(const char *s, uint8_t addr[16], uint8_t *family)
{
	uint8_t a[16] = {0};

	if (inet_pton(AF_INET, s, a) == 1)
		*family = FLOW_V4;
	else if (inet_pton(AF_INET6, s, a) == 1)
		*family = FLOW_V6;
	else
		return -EINVAL;
	memcpy(addr, a, sizeof(a));
	return 0;
}

const char *flow_proto_name(uint8_t proto)
{
	for (size_t i = 0; i < N_PROTOS; i++) {
		if (protos[i].proto == proto)
			return protos[i].name;
	}
	return NULL;
}

int flow_proto_parse(const char *s)
{
	uint64_t number;

	for (size_t i = 0; i < N_PROTOS; i++) {
		if (!strcmp(protos[i].name, s))
			return protos[i].proto;
	}
	if (s[strspn(s, "0123456789")] || str_u64(s, UINT8_MAX, &number))
		return -1;
	return (int)number;
}

/*
 * ICMP by name means the one of the family, so "icmp" over IPv6 is refused when read and
 * printed as a number: it is legal on the wire, but nobody who types it means it.
 */
static bool proto_fits(uint8_t proto, uint8_t family)
{
	if (proto == IPPROTO_ICMP || proto == IPPROTO_ICMPV6)
		return flow_is_icmp(proto, family);
	return true;
}

static bool proto_has_ports(uint8_t proto)
{
	return proto == IPPROTO_TCP || proto == IPPROTO_UDP || proto == IPPROTO_UDPLITE ||
	       proto == IPPROTO_SCTP || proto == IPPROTO_DCCP;
}

static void print_end(const uint8_t addr[16], const struct flow *f, const uint16_t *port, char *buf,
		      size_t *len)
{
	char text[FLOW_ADDR_TEXT];

	flow_addr_print(addr, f->family, text);
	if (!port)
		str_append(buf, FLOW_TEXT, len, "%s", text);
	else if (f->family == FLOW_V4)
		str_append(buf, FLOW_TEXT, len, "%s:%u", text, *port);
	else
		str_append(buf, FLOW_TEXT, len, "[%s]:%u", text, *port);
}

static const char *echo_name(uint16_t type_code, uint8_t family)
{
	bool v4 = family == FLOW_V4;

	if (type_code == (v4 ? ICMP4_ECHO_REQUEST : ICMP6_ECHO_REQUEST) << 8)
		return "echo-request";
	if (type_code == (v4 ? ICMP4_ECHO_REPLY : ICMP6_ECHO_REPLY) << 8)
		return "echo-reply";
	return NULL;
}

static void print_icmp(const struct flow *f, char *buf, size_t *len)
{
	const char *name = echo_name(f->dport, f->family);

	if (name)
		str_append(buf, FLOW_TEXT, len, " %s", name);
	else
		str_append(buf, FLOW_TEXT, len, " type %u code %u", f->dport >> 8, f->dport & 0xff);
	if (name || f->sport)
		str_append(buf, FLOW_TEXT, len, " id %u", f->sport);
}

const char *flow_print(const struct flow *f, char buf[FLOW_TEXT])
{
	const char *name = proto_fits(f->proto, f->family) ? flow_proto_name(f->proto) : NULL;
	bool icmp = flow_is_icmp(f->proto, f->family);
	bool ports = !icmp && (proto_has_ports(f->proto) || f->sport || f->dport);
	size_t len = 0;

	if (name)
		str_append(buf, FLOW_TEXT, &len, "%s ", name);
	else
		str_append(buf, FLOW_TEXT, &len, "%u ", f->proto);
	print_end(f->src, f, ports ? &f->sport : NULL, buf, &len);
	str_append(buf, FLOW_TEXT, &len, " > ");
	print_end(f->dst, f, ports ? &f->dport : NULL, buf, &len);
	if (icmp)
		print_icmp(f, buf, &len);
	return buf;
}

static int parse_u16(const char *s, uint16_t max, uint16_t *out)
{
	uint64_t v;

	if (!s || str_u64(s, max, &v))
		return -EINVAL;
	*out = (uint16_t)v;
	return 0;
}

/* Cut a word into host and port (NULL: none). A bare IPv6 address has two colons at least. */
static int split_end(char *word, char **host, char **port)
{
	char *end;

	*host = word;
	*port = NULL;
	if (*word == '[') {
		end = strchr(++*host, ']');
		if (!end || (end[1] && end[1] != ':'))
			return -EINVAL;
		*port = end[1] ? end + 2 : NULL;
		*end = '\0';
		return 0;
	}
	end = strchr(word, ':');
	if (end && !strchr(end + 1, ':')) {
		*port = end + 1;
		*end = '\0';
	}
	return 0;
}

/* "192.0.2.1", "192.0.2.1:22", "2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:22" */
static int parse_end(char *word, uint8_t addr[16], uint8_t *family, uint16_t *port)
{
	char *host, *port_text;

	if (!word || split_end(word, &host, &port_text) || flow_addr_parse(host, addr, family))
		return -EINVAL;
	if ((host > word || port_text) && (host > word) != (*family == FLOW_V6))
		return -EINVAL; /* brackets are for IPv6, and IPv6 with a port needs them */
	return port_text ? parse_u16(port_text, UINT16_MAX, port) : 0;
}

static char *next_word(char **text)
{
	return strtok_r(NULL, " \t", text);
}

/* ["echo-request" | "echo-reply" | "type" N ["code" N]]; nothing is an echo request. */
static int parse_icmp_type(char **text, char **word, struct flow *f)
{
	bool v4 = f->family == FLOW_V4;
	uint16_t type = v4 ? ICMP4_ECHO_REQUEST : ICMP6_ECHO_REQUEST, code = 0;

	*word = next_word(text);
	if (str_eq(*word, "type")) {
		if (parse_u16(next_word(text), UINT8_MAX, &type))
			return -EINVAL;
		*word = next_word(text);
		if (str_eq(*word, "code")) {
			if (parse_u16(next_word(text), UINT8_MAX, &code))
				return -EINVAL;
			*word = next_word(text);
		}
	} else if (str_eq(*word, "echo-reply")) {
		type = v4 ? ICMP4_ECHO_REPLY : ICMP6_ECHO_REPLY;
		*word = next_word(text);
	} else if (str_eq(*word, "echo-request")) {
		*word = next_word(text);
	}
	f->dport = (uint16_t)(type << 8 | code);
	return 0;
}

static int parse_icmp(char **text, struct flow *f)
{
	char *word;

	if (f->sport || f->dport || parse_icmp_type(text, &word, f))
		return -EINVAL;
	if (!word)
		return 0;
	return str_eq(word, "id") ? parse_u16(next_word(text), UINT16_MAX, &f->sport) : -EINVAL;
}

int flow_parse(const char *s, struct flow *out)
{
	char buf[FLOW_TEXT], *text = buf, *name;
	struct flow f = {0};
	uint8_t dst_family;
	int proto;

	if (strlen(s) >= sizeof(buf))
		return -EINVAL;
	memcpy(buf, s, strlen(s) + 1);
	name = next_word(&text);
	proto = name ? flow_proto_parse(name) : -1;
	if (proto < 0 || parse_end(next_word(&text), f.src, &f.family, &f.sport) ||
	    !str_eq(next_word(&text), ">") ||
	    parse_end(next_word(&text), f.dst, &dst_family, &f.dport) || dst_family != f.family)
		return -EINVAL;
	f.proto = (uint8_t)proto;
	if (!proto_fits(f.proto, f.family) && *name > '9')
		return -EINVAL;
	if (flow_is_icmp(f.proto, f.family) && parse_icmp(&text, &f))
		return -EINVAL;
	if (next_word(&text))
		return -EINVAL;
	*out = f;
	return 0;
}

/* Of others, connection tracking may keep something else there: the call of PPTP's GRE, which no packet's
 * values have. */
static bool has_ports(uint8_t proto, uint16_t sport, uint16_t dport)
{
	return proto_has_ports(proto) && (sport || dport);
}

void flow_values(const struct flow *f, struct pend_values *v)
{
	bool icmp = f->proto == IPPROTO_ICMP || f->proto == IPPROTO_ICMPV6;
	bool ports = has_ports(f->proto, f->sport, f->dport);
	bool tcp = f->proto == IPPROTO_TCP;

	*v = (struct pend_values){
		.family = f->family,
		.protocol = f->proto,
		.source_port = ports ? f->sport : 0,
		.dest_port = ports ? f->dport : 0,
		.icmp_type = icmp ? (uint8_t)(f->dport >> 8) : 0,
		.icmp_code = icmp ? (uint8_t)f->dport : 0,
		.tcp_flags = tcp ? TCP_SYN : 0,
		.has_ports = ports,
		.mark_unknown = true,
		.tcp_flags_unknown = tcp ? (uint8_t) ~(TCP_FIN | TCP_SYN | TCP_RST | TCP_ACK) : 0,
	};
	memcpy(v->source, f->src, sizeof(v->source));
	memcpy(v->dest, f->dst, sizeof(v->dest));
}

void flow_info_values(const struct pend_info *i, struct pend_values *v)
{
	bool ports = has_ports(i->protocol, i->source_port, i->dest_port);

	*v = (struct pend_values){
		.family = i->family,
		.protocol = i->protocol,
		.source_port = ports ? i->source_port : 0,
		.dest_port = ports ? i->dest_port : 0,
		.icmp_type = i->icmp_type,
		.icmp_code = i->icmp_code,
		.tcp_flags = i->tcp_flags,
		.has_ports = ports,
		.in_interface = i->in_interface,
		.out_interface = i->out_interface,
		.mark = i->mark,
		.hook = i->hook,
	};
	memcpy(v->source, i->source, sizeof(v->source));
	memcpy(v->dest, i->dest, sizeof(v->dest));
}
