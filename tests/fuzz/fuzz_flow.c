/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Any text as a flow: what is accepted prints and reads back to the same bytes. */
#include "core/flow.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_addr(const char *text)
{
	char printed[FLOW_ADDR_TEXT];
	uint8_t a[16], b[16], family_a, family_b;

	if (flow_addr_parse(text, a, &family_a))
		return;
	flow_addr_print(a, family_a, printed);
	if (flow_addr_parse(printed, b, &family_b) || family_a != family_b || memcmp(a, b, 16))
		abort();
}

static void check_flow(const char *text)
{
	char printed[FLOW_TEXT], again[FLOW_TEXT];
	struct flow f, g;

	if (flow_parse(text, &f))
		return;
	if (f.zero || flow_parse(flow_print(&f, printed), &g) || !flow_equal(&f, &g))
		abort();
	if (strcmp(printed, flow_print(&g, again)))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1); /* exactly, so that a read behind the end is seen */

	if (!text)
		abort();
	if (size)
		memcpy(text, data, size);
	text[size] = '\0';
	check_flow(text);
	check_addr(text);
	if (flow_proto_parse(text) > 255)
		abort();
	free(text);
	return 0;
}
