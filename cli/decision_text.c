/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Cells about a decision; see decision_text.h. */
#include "cli/decision_text.h"
#include <stdio.h>

void decision_text_source(const json_t *v, char cell[OUT_CELL])
{
	long long port = out_int(v, "source_port");

	if (port)
		snprintf(cell, OUT_CELL, "%s port %lld", out_get(v, "source"), port);
	else
		snprintf(cell, OUT_CELL, "%s", out_get(v, "source"));
}

void decision_text_service(const json_t *v, char cell[OUT_CELL])
{
	if (!*out_get(v, "dest"))
		snprintf(cell, OUT_CELL, "all");
	else
		snprintf(cell, OUT_CELL, "%s %s port %lld", out_get(v, "protocol"),
			 out_get(v, "dest"), out_int(v, "dest_port"));
}

void decision_text_by(const json_t *v, char cell[OUT_CELL])
{
	const char *by = out_get(v, "by");

	snprintf(cell, OUT_CELL, "%s", *by ? by : out_get(v, "reason"));
}

void decision_text_left(long long ms, char cell[OUT_CELL])
{
	long long s = ms / 1000;

	if (s >= 86400)
		snprintf(cell, OUT_CELL, "%lldd%lldh", s / 86400, s % 86400 / 3600);
	else if (s >= 3600)
		snprintf(cell, OUT_CELL, "%lldh%lldm", s / 3600, s % 3600 / 60);
	else
		snprintf(cell, OUT_CELL, "%lldm%llds", s / 60, s % 60);
}

void decision_text_rule(const json_t *v, char cell[OUT_CELL])
{
	const char *text = out_get(v, "text");

	snprintf(cell, OUT_CELL, "%s", *text ? text : "(in no policy any more)");
}
