/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bytes as a schedule of packets, decisions, losses and callouts over the simulated kernel: after each
 * step the counters, the ledger and I2 hold, and at the end nothing is left. See engine_drive.h.
 */
#include "tests/unit/engine_drive.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct bytes {
	struct drive_source base;
	const uint8_t *data;
	size_t left;
};

static bool next(struct drive_source *src, uint8_t *out)
{
	struct bytes *b = (struct bytes *)src;

	if (!b->left)
		return false;
	b->left--;
	*out = *b->data++;
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes b = {{next}, data, size};

	engine_drive(&b.base);
	return 0;
}
