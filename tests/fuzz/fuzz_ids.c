/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Short ids: whatever parses prints as the same text again. */
#include "daemon/ids.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char text[64], back[IDS_TEXT];
	pend_context c;

	if (size >= sizeof(text))
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	if (ids_parse(text, &c) == 0 && strcmp(ids_print(c, back), text) != 0)
		abort();
	return 0;
}
