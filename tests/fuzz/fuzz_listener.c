/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Answers about local sockets: nothing is read outside of the datagram, and what is filled is
 * what was said. */
#include "io/listener.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SEQ 7u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct listener_socket s = {.state = UINT8_MAX};
	uint8_t *copy = malloc(size ? size : 1);
	uint32_t count = 0;
	int r;

	if (!copy)
		abort();
	memcpy(copy, data, size);
	r = listener_parse(copy, size, SEQ, &s);
	if (r > LISTENER_PARSED_OTHER || r < -4095)
		abort();
	if (r != LISTENER_PARSED && s.state != UINT8_MAX)
		abort(); /* written although there was nothing */
	r = listener_dump_parse(copy, size, SEQ, &count);
	if (r > LISTENER_PARSED_OTHER || r < -4095 || count > size / 16)
		abort();
	free(copy);
	return 0;
}
