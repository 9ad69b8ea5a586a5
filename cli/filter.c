/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See filter.h. */
#include "cli/filter.h"

bool cli_filter_any(const struct cli_filter *f)
{
	return f->source || f->family || f->proto || f->port != CLI_FILTER_NONE ||
	       f->rule != CLI_FILTER_NONE;
}

json_t *cli_filter_json(const struct cli_filter *f)
{
	json_t *o = json_object();

	if (f->source)
		json_object_set_new(o, "source", json_string(f->source));
	if (f->family)
		json_object_set_new(o, "family", json_integer(f->family));
	if (f->proto)
		json_object_set_new(o, "protocol", json_string(f->proto));
	if (f->authority)
		json_object_set_new(o, "authority", json_string(f->authority));
	if (f->port != CLI_FILTER_NONE)
		json_object_set_new(o, "port", json_integer(f->port));
	if (f->rule != CLI_FILTER_NONE)
		json_object_set_new(o, "rule", json_integer(f->rule));
	return o;
}
