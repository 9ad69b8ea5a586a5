/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Ban lists of other programs: whatever comes, only addresses, prefixes and ranges come out. */
#include "cli/banlist.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NOW 1769860800

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char allowed[] = "0123456789abcdef:./-";

	for (int f = BANLIST_AUTO; f <= BANLIST_CROWDSEC; f++) {
		const char *error = NULL;
		struct banlist l;
		int r = banlist_parse(&l, (const char *)data, size, (enum banlist_format)f, NOW,
				      &error);

		if ((r && r != -EINVAL) || !error || (r == -EINVAL && !*error))
			abort();
		banlist_group(&l, 4);
		for (size_t i = 0; i < l.n; i++)
			if (!l.ban[i].element[0] ||
			    l.ban[i].element[strspn(l.ban[i].element, allowed)] ||
			    (l.ban[i].until && l.ban[i].until <= NOW))
				abort();
		if (l.nskip > l.skipped)
			abort();
		banlist_deinit(&l);
		banlist_deinit(&l);
	}
	return 0;
}
