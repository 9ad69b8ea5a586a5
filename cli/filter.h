/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The filters of pending, permit, block and events, as options and as the protocol's conditions. */
#ifndef CLI_FILTER_H
#define CLI_FILTER_H

#include "cli/cli.h"

struct cli_filter {
	const char *source, *proto, *authority;
	uint32_t port, rule;
	uint32_t family; /* 0: any */
};

#define CLI_FILTER_NONE UINT32_MAX
#define CLI_FILTER_INIT                                \
	{                                              \
		.port = UINT32_MAX, .rule = UINT32_MAX \
	}

/* But for source and family, which not all of them have. */
#define CLI_FILTER_OPTS(f)                                                          \
	{"port", 'p', CLI_NUMBER, &(f)->port}, {"proto", 0, CLI_TEXT, &(f)->proto}, \
		{"authority", 0, CLI_TEXT, &(f)->authority},                        \
	{                                                                           \
		"rule", 0, CLI_NUMBER, &(f)->rule                                   \
	}

/* Is there one, but for the authority? */
bool cli_filter_any(const struct cli_filter *f);
json_t *cli_filter_json(const struct cli_filter *f);

#endif
