/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The bytes of a compiled policy: a header, then sections of fixed-size records that
 * name each other by index. No pointers; host byte order and alignment (it never leaves the host,
 * and the magic tells another order). classify_attach checks every index once, so that classify need not.
 *
 * A set is two sorted arrays of disjoint intervals, IPv4 and IPv6. What a set contains by naming
 * other sets is not among them: a rule that names it names those too. A rule names what it matches by
 * spans, [first, first + n) of a section. Sections may be added behind the last one; the version
 * changes with every change of a record.
 */
#ifndef CORE_CLASSIFY_IMAGE_H
#define CORE_CLASSIFY_IMAGE_H

#include <stdint.h>

#define IMAGE_MAGIC    0x504e4450u /* "PDNP" */
#define IMAGE_VERSION  5u
#define IMAGE_SIZE_MAX (1u << 30)
#define IMAGE_ALIGN    8u

enum image_section {
	IMAGE_STRINGS, /* bytes; the last is NUL */
	IMAGE_AUTHORITIES,
	IMAGE_LAYERS, /* in order of evaluation */
	IMAGE_RULES,  /* in order of the file */
	IMAGE_SETS,
	IMAGE_MEMBERS, /* uint32_t: set numbers */
	IMAGE_V4,
	IMAGE_V6,
	IMAGE_PORTS,
	IMAGE_IFACES,
	IMAGE_BITS,   /* struct image_bits */
	IMAGE_LIMITS, /* struct classify_limit */
	IMAGE_IDS,
	IMAGE_TEXTS, /* uint32_t: offsets into IMAGE_STRINGS */
	IMAGE_SECTIONS,
};

struct image_span {
	uint32_t first, n;
};

struct image_header {
	uint32_t magic, version;
	uint64_t size;
	struct {
		uint32_t offset, n; /* from the start of the image; n records */
	} section[IMAGE_SECTIONS];
};

#define IMAGE_GROUP_MAX 8u

struct image_authority {
	uint64_t timeout_ns;
	uint32_t name, user, group, config; /* offsets into IMAGE_STRINGS */
	uint32_t uid, gid;                  /* UINT32_MAX: not said */
	uint32_t max_pending;
	uint16_t member[IMAGE_GROUP_MAX]; /* of a group: authorities */
	uint8_t type, answer, on_timeout, on_absent, on_error;
	uint8_t need, members;
	uint8_t pad[5];
};

struct image_layer {
	uint32_t name;
	uint32_t fallback; /* its default rule, or CLASSIFY_NO_RULE */
	struct image_span rules;
};

struct image_set {
	struct image_span v4, v6;   /* its own */
	struct image_span includes; /* of IMAGE_MEMBERS: all sets within it, at any depth */
	uint32_t name; /* offset into IMAGE_STRINGS; an empty one: what stands in a rule itself */
};

struct image_v4 {
	uint32_t lo, hi; /* host order */
};

struct image_v6 {
	uint8_t lo[16], hi[16];
};

struct image_port {
	uint16_t lo, hi;
};

struct image_iface {
	uint8_t len, wild;
	char name[16]; /* len bytes and zeros */
};

struct image_id { /* of users or groups */
	uint32_t lo, hi;
};

#define IMAGE_TEXT_MAX 4095u /* bytes of an element of IMAGE_TEXTS */

struct image_bits {
	uint8_t b[32];
};

/* seen and neg: bits of enum pol_cond (core/policy_ast.h) */
struct image_rule {
	uint64_t timeout_ns, remember_ns;
	uint32_t file, line, text; /* file and text: offsets into IMAGE_STRINGS */
	uint32_t layer;
	uint32_t limit;   /* its number in IMAGE_LIMITS, from 1; 0: none */
	uint32_t counter; /* offset into IMAGE_STRINGS; the first string, an empty one: none */
	uint32_t seen, neg;
	struct image_span from, to;                 /* of IMAGE_MEMBERS */
	struct image_span sport, dport;             /* of IMAGE_PORTS, sorted and disjoint */
	struct image_span in, out;                  /* of IMAGE_IFACES */
	struct image_span time;                     /* of IMAGE_PORTS: minutes of the day */
	struct image_span country;                  /* of IMAGE_MEMBERS: sets without a name */
	struct image_span user, group;              /* of IMAGE_IDS, sorted and disjoint */
	struct image_span executable, cgroup, unit; /* of IMAGE_TEXTS */
	uint32_t until;                             /* a minute of the day, or since 1970 */
	uint32_t proto;                             /* of IMAGE_BITS, when seen */
	uint32_t icmp_type;                         /* ... two: ICMP, ICMPv6 */
	uint32_t icmp_code;
	uint32_t mark, mark_mask;
	uint16_t authority;
	uint8_t action, block, release, mode, on_timeout, log;
	uint8_t family, hooks, is_default;
	uint8_t tcp_flags, tcp_mask;
	uint8_t days, reasons;
	uint8_t until_day; /* `until` is a minute of the day */
	uint8_t need; /* bits of enum classify_listener_field, of this rule and all that come behind it */
	uint8_t remember_scope, remember_end, pad[5];
};

#endif
