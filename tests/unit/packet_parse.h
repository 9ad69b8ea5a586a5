/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Parsing a built packet and holding the result to what is true of any bytes. */
#ifndef TESTS_PACKET_PARSE_H
#define TESTS_PACKET_PARSE_H

#include "unit.h"
#include "packet_build.h"
#include "core/packet.h"

/* The IPv6 headers that the walk goes through. */
static const uint8_t extensions[] = {0, 43, 60, 44, 51};

/* Parse a copy of exactly `len` bytes, so that a sanitizer sees a read beyond them. */
static inline enum packet_result parse_exact(struct packet *p, const uint8_t *data, size_t len)
{
	uint8_t *copy = malloc(len + !len);
	enum packet_result r;

	if (!copy)
		ck_abort_msg("no memory");
	memcpy(copy, data, len);
	memset(p, 0xa5, sizeof(*p));
	r = packet_parse(p, copy, len);
	p->data = NULL;
	free(copy);
	return r;
}

/* What holds for any bytes: NULL or what does not. */
static inline const char *broken(const struct packet *p, size_t len, enum packet_result r)
{
	static const uint8_t zero[12];
	const struct flow *f = &p->flow;

	if (p->len != len || p->l4 > len || p->payload > len)
		return "an offset is outside";
	if (p->payload && p->payload < p->l4)
		return "the payload is before the transport header";
	if (f->zero)
		return "flow.zero is not zero";
	if (f->family == FLOW_V4 && (memcmp(f->src + 4, zero, 12) || memcmp(f->dst + 4, zero, 12)))
		return "an address is padded with something";
	if (r == PACKET_FRAGMENT && (p->l4 || p->has_ports || f->sport || f->dport))
		return "a fragment has ports";
	if (r == PACKET_OK && (!p->l4 || (f->family != FLOW_V4 && f->family != FLOW_V6)))
		return "a whole packet has no transport header";
	return NULL;
}

/* Check takes microseconds for an assertion, so there is one only where it fails. */
static inline void check_invariants(const struct packet *p, size_t len, enum packet_result r)
{
	const char *what = broken(p, len, r);

	if (what)
		ck_abort_msg("%s (%s)", what, packet_result_name(r));
}

static inline enum packet_result parse(struct packet *p, const struct build *b)
{
	enum packet_result r = parse_exact(p, b->d, b->n);

	check_invariants(p, b->n, r);
	return r;
}

static inline void base(struct build *b, bool v6)
{
	if (v6)
		build_v6(b);
	else
		build_v4(b);
}

#endif
