/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Bytes of a server to the client library, in pieces of any size; and what pendctl does to text. */
#include "cli/out.h"
#include <pend-client.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool on_line(void *ctx, const char *json)
{
	char *copy = strdup(json);

	++*(unsigned *)ctx;
	if (!copy)
		return false;
	out_clean(copy);
	for (const unsigned char *p = (const unsigned char *)copy; *p; p++)
		if (*p < 0x20 || *p == 0x7f)
			abort();
	free(copy);
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pend_client *c = pend_client_new();
	size_t at = 0, piece = size ? data[0] % 64 + 1u : 1;
	unsigned lines = 0, n = 0;
	char text[64];
	uint64_t id;

	if (!c)
		return 0;
	pend_client_send(c, "status", NULL, &id);
	while (at < size) {
		size_t len = size - at < piece ? size - at : piece;

		if (pend_client_feed(c, data + at, len, on_line, &lines) != PEND_CLIENT_OK)
			break;
		at += len;
		piece = piece * 7 % 61 + 1;
		n++;
	}
	if (n && strlen(pend_client_message(c)) > 511)
		abort();
	/* bytes that are not UTF-8, too */
	memset(text, 0, sizeof(text));
	memcpy(text, data, size < sizeof(text) - 1 ? size : sizeof(text) - 1);
	out_clean(text);
	pend_client_close(c);
	return 0;
}
