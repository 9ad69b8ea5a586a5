/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the policy says about an authority; see agent.h. */
#include "agents/agent.h"
#include <errno.h>
#include <string.h>
#include <time.h>

#define CALL_MS  5000
#define AGAIN_MS 20

struct wanted {
	const char *name;
	json_t *found;
	json_int_t generation;
};

static bool look(void *ctx, const char *text)
{
	struct wanted *w = ctx;
	json_t *o = json_loads(text, 0, NULL), *v;
	size_t i;

	json_array_foreach(json_object_get(o, "authorities"), i, v)
	{
		const char *name = json_string_value(json_object_get(v, "name"));

		if (name && strcmp(name, w->name) == 0 && !w->found)
			w->found = json_incref(v);
	}
	if (json_is_integer(json_object_get(o, "generation")))
		w->generation = json_integer_value(json_object_get(o, "generation"));
	json_decref(o);
	return true;
}

static void pause_a_little(void)
{
	const struct timespec ts = {.tv_nsec = AGAIN_MS * 1000000L};

	nanosleep(&ts, NULL);
}

/* Who starts us knows of a policy a little before whoever tells of it. */
static enum pend_client_error ask(struct pend_client *c, unsigned generation, struct wanted *w)
{
	enum pend_client_error r = PEND_CLIENT_OK;

	for (int i = 0; i < CALL_MS / AGAIN_MS; i++) {
		if (i)
			pause_a_little();
		json_decref(w->found);
		w->found = NULL;
		r = pend_client_call(c, "authorities", NULL, CALL_MS, look, w, NULL);
		if (r != PEND_CLIENT_OK || w->generation >= (json_int_t)generation)
			break;
	}
	return r;
}

json_t *agent_definition(const char *path, const char *name, unsigned generation, struct err *e)
{
	struct wanted w = {.name = name};
	struct pend_client *c;
	enum pend_client_error r = pend_client_connect(&c, path, CALL_MS);

	if (r == PEND_CLIENT_OK)
		r = ask(c, generation, &w);
	if (r != PEND_CLIENT_OK) {
		err_set(e, -EIO, "%s", c ? pend_client_message(c) : pend_client_error_text(r));
		json_decref(w.found);
		w.found = NULL;
	} else if (!w.found) {
		err_set(e, -ENOENT,
			"the policy in force has no such authority that this user may serve");
	} else if (!json_is_object(json_object_get(w.found, "config"))) {
		err_set(e, -EACCES, "this user may not serve it");
		json_decref(w.found);
		w.found = NULL;
	}
	pend_client_close(c);
	return w.found;
}

json_t *agent_definition_exec(const char *command, unsigned processes)
{
	return json_pack("{s:s,s:{s:s,s:s,s:i}}", "type", "exec", "config", "command", command,
			 "mode", "once", "processes", (int)processes);
}
