/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a name server's answer says; see dnsbl.h. c-ares takes the packet apart. */
#include "agents/dnsbl.h"
#include <arpa/inet.h>

static const char *cause(int status)
{
	return status == ARES_ETIMEOUT       ? "no answer in time"
	       : status == ARES_ECONNREFUSED ? "the name servers refuse or fail"
	       : status == ARES_EDESTRUCTION ? "the name servers have changed"
	       : status == ARES_EBADRESP     ? "the answer is malformed"
					     : ares_strerror(status);
}

static unsigned bounded_ttl(const struct ares_addrttl *a, int n)
{
	int ttl = DNSBL_TTL_MAX;

	for (int i = 0; i < n; i++)
		if (a[i].ttl < ttl)
			ttl = a[i].ttl;
	return ttl < DNSBL_TTL_MIN ? DNSBL_TTL_MIN : (unsigned)ttl;
}

static struct dnsbl_said failed(uint32_t code, const char *why)
{
	return (struct dnsbl_said){DNSBL_FAILED, code, why, DNSBL_TTL_FAILED};
}

static struct dnsbl_said judge(const struct dnsbl_range *codes, unsigned ncodes,
			       const struct ares_addrttl *a, int n)
{
	uint32_t addr[DNSBL_RECORDS_MAX], code;
	enum dnsbl_result r;

	for (int i = 0; i < n; i++)
		addr[i] = ntohl(a[i].ipaddr.s_addr);
	r = dnsbl_judge(codes, ncodes, addr, n, &code);
	if (r == DNSBL_FAILED)
		return failed(code, code >> 24 == 127 ? "the list refuses to answer"
						      : "the answer is no list's");
	return (struct dnsbl_said){r, code, NULL, bounded_ttl(a, n)};
}

struct dnsbl_said dnsbl_read(const struct dnsbl_range *codes, unsigned ncodes, int status,
			     const unsigned char *packet, int len)
{
	struct ares_addrttl a[DNSBL_RECORDS_MAX];
	int n = DNSBL_RECORDS_MAX;

	if (status == ARES_SUCCESS)
		status = ares_parse_a_reply(packet, len, NULL, a, &n);
	if (status == ARES_SUCCESS && n > 0)
		return judge(codes, ncodes, a, n);
	if (status == ARES_SUCCESS || status == ARES_ENODATA || status == ARES_ENOTFOUND)
		return (struct dnsbl_said){DNSBL_NOT, 0, NULL, DNSBL_TTL_NOT};
	return failed(0, cause(status));
}
