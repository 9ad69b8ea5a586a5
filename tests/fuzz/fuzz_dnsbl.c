/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A name server's answer to the question whether an address is listed. */
#include "agents/dnsbl.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct dnsbl_range codes[] = {{0x7f000002, 0x7f0000ff},
						   {0x7f000100, 0x7fffffff}};
	struct dnsbl_said s;

	if (size > 65535)
		return 0;
	s = dnsbl_read(codes, 2, ARES_SUCCESS, data, (int)size);
	switch (s.result) {
	case DNSBL_NOT:
		if (s.why || s.code)
			abort();
		break;
	case DNSBL_LISTED: /* by a code, and not by a refusal */
		if (s.why || s.code < codes[0].lo || (s.code & 0xffffff00u) == 0x7fffff00u)
			abort();
		break;
	case DNSBL_FAILED:
		if (!s.why)
			abort();
		break;
	}
	if (s.seconds < DNSBL_TTL_MIN || s.seconds > DNSBL_TTL_MAX)
		abort();
	return 0;
}
