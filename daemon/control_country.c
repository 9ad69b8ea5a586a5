/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The country of an address, as rules would find it: by the database of the settings. */
#include "core/flow.h"
#include "daemon/control_impl.h"
#include "daemon/control_json.h"
#include "io/geo.h"
#include <errno.h>
#include <string.h>

/* The database is opened for each question: it is mapped, and may have been replaced meanwhile. */
static void country_reply(struct request *r, const char *database, uint8_t family,
			  const uint8_t addr[16])
{
	char code[3] = "";
	struct geo *g = NULL;
	int ret = geo_open(&g, database);

	if (ret == 0)
		ret = geo_lookup(g, family, addr, code);
	geo_close(g);
	if (ret == 0)
		request_ok(r, json_pack("{s:s}", "country", code));
	else if (ret == -ENOENT && g)
		request_ok(r, json_pack("{s:n}", "country"));
	else
		request_fail(r, "system", "country-database \"%s\": %s", database,
			     ret == -EBADMSG ? "it is broken" : strerror(-ret));
}

void show_country(struct request *r, const json_t *args)
{
	const char *text = json_string_value(json_object_get(args, "address"));
	const char *database = r->control->env.view->settings.country_database;
	uint8_t addr[16] = {0}, family;

	if (!text || flow_addr_parse(text, addr, &family) < 0)
		request_fail(r, "invalid", "address is one address");
	else if (!*database)
		request_fail(r, "unsupported", "the settings name no country-database");
	else
		country_reply(r, database, family, addr);
}
