/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names, codes and the score; see dnsbl.h. */
#include "agents/dnsbl.h"
#include "base/str.h"
#include <arpa/inet.h>
#include <string.h>

#define LOOPBACK 127u
#define REFUSALS 0x7fffff00u /* 127.255.255.0/24 */

bool dnsbl_address(const char *text, struct dnsbl_key *key)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	uint8_t six[16];

	memset(key->addr, 0, sizeof(key->addr));
	key->family = 4;
	if (inet_pton(AF_INET, text, key->addr) == 1)
		return true;
	if (inet_pton(AF_INET6, text, six) != 1)
		return false;
	if (!memcmp(six, mapped, sizeof(mapped))) {
		memcpy(key->addr, six + sizeof(mapped), 4);
		return true;
	}
	key->family = 6;
	memcpy(key->addr, six, sizeof(six));
	return true;
}

/* RFC 5782, 2.1 and 2.4: octets or nibbles, the last one first. */
bool dnsbl_name(const struct dnsbl_key *key, const char *zone, char out[DNSBL_NAME_MAX])
{
	size_t len = 0;
	bool ok = true;

	if (key->family == 4)
		for (int i = 3; i >= 0; i--)
			ok &= str_append(out, DNSBL_NAME_MAX, &len, "%u.", key->addr[i]);
	else
		for (int i = 15; i >= 0; i--)
			ok &= str_append(out, DNSBL_NAME_MAX, &len, "%x.%x.", key->addr[i] & 15,
					 key->addr[i] >> 4);
	return ok && str_append(out, DNSBL_NAME_MAX, &len, "%s", zone);
}

static bool code_parse(const char *text, size_t len, uint32_t *out)
{
	char copy[INET_ADDRSTRLEN];
	struct in_addr a;

	if (len >= sizeof(copy))
		return false;
	memcpy(copy, text, len);
	copy[len] = '\0';
	if (inet_pton(AF_INET, copy, &a) != 1)
		return false;
	*out = ntohl(a.s_addr);
	return *out >> 24 == LOOPBACK;
}

bool dnsbl_range_parse(const char *text, struct dnsbl_range *out)
{
	size_t n = strcspn(text, "-");

	if (!code_parse(text, n, &out->lo))
		return false;
	out->hi = out->lo;
	return !text[n] ||
	       (code_parse(text + n + 1, strlen(text + n + 1), &out->hi) && out->lo <= out->hi);
}

static bool matches(const struct dnsbl_range *codes, unsigned ncodes, uint32_t addr)
{
	for (unsigned i = 0; i < ncodes; i++)
		if (addr >= codes[i].lo && addr <= codes[i].hi)
			return true;
	return false;
}

/* A refusal outweighs a code beside it, a code what is no list's word. */
enum dnsbl_result dnsbl_judge(const struct dnsbl_range *codes, unsigned ncodes,
			      const uint32_t *addr, int n, uint32_t *which)
{
	enum dnsbl_result r = DNSBL_NOT;

	*which = 0;
	for (int i = 0; i < n; i++) {
		bool refused = (addr[i] & 0xffffff00u) == REFUSALS;

		if (refused) {
			*which = addr[i];
			return DNSBL_FAILED;
		}
		if (matches(codes, ncodes, addr[i]) && r != DNSBL_LISTED) {
			*which = addr[i];
			r = DNSBL_LISTED;
		} else if (addr[i] >> 24 != LOOPBACK && r == DNSBL_NOT) {
			*which = addr[i];
			r = DNSBL_FAILED;
		}
	}
	return r;
}

enum dnsbl_outcome dnsbl_outcome(const struct dnsbl_score *s, unsigned threshold)
{
	if (s->listed >= threshold)
		return DNSBL_IS_LISTED;
	if (s->listed + s->failed + s->waiting < threshold)
		return DNSBL_IS_NOT;
	/* Those that failed could have made it listed, and the others cannot. */
	if (s->listed + s->failed >= threshold && s->listed + s->waiting < threshold)
		return DNSBL_UNKNOWN;
	return DNSBL_OPEN;
}
