/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * unlock, unlocked: a person brings a code for an authority, and the program that serves it says whether it opens
 * anything. The code is the authorization: whoever may look at the daemon may bring one. What the program does with it
 * is its own business; here it is told who asks, by the kernel's word.
 */
#include "daemon/control_impl.h"
#include "daemon/control_json.h"
#include "base/str.h"
#include "core/flow.h"
#include <stdio.h>
#include <string.h>

#define CODE_MAX 64  /* bytes */
#define WHY_MAX  200 /* ... of what the program says */

/* Of `text`: printable, and not more than CODE_MAX bytes. */
static bool code_ok(const char *text)
{
	char clean[CODE_MAX + 1];

	if (!text || !*text || strlen(text) > CODE_MAX)
		return false;
	str_sanitize(text, clean, sizeof(clean));
	return !strcmp(text, clean);
}

static void tell(struct request *r, const char *authority, const char *source, const char *code)
{
	json_t *o = json_object(), *in = json_object();
	struct overlay_who who;

	client_who(r->client, &who);
	json_object_set_new(in, "token", json_integer(request_seq(r, 0)));
	json_object_set_new(in, "authority", json_string(authority));
	json_object_set_new(in, "source", json_string(source));
	json_object_set_new(in, "code", json_string(code));
	json_object_set_new(in, "user", cj_text(who.user));
	json_object_set_new(in, "uid", json_integer(who.uid));
	json_object_set_new(o, "unlock", in);
	control_put(r->told, o);
}

static void expired(struct request *r)
{
	request_fail(r, "timeout", "the program that serves the authority did not answer in time");
}

void act_unlock(struct request *r, const json_t *args)
{
	const char *authority = json_string_value(json_object_get(args, "authority"));
	const char *from = json_string_value(json_object_get(args, "source"));
	const char *code = json_string_value(json_object_get(args, "code"));
	struct ask *ask = r->control->env.ask;
	char source[FLOW_ADDR_TEXT];
	uint8_t addr[16], family;

	if (!authority || !from || flow_addr_parse(from, addr, &family) < 0 || !code_ok(code)) {
		request_fail(
			r, "invalid",
			"unlock takes \"authority\", a name, \"source\", an address, and \"code\"");
		return;
	}
	if (!ask || !ask_authority_timeout(ask, authority)) {
		request_fail(r, "not-found", "no authority \"%.40s\" is served by programs",
			     authority);
		return;
	}
	r->told = ask_server_client(ask, authority);
	if (!r->told) {
		request_fail(r, "absent", "nobody serves \"%.40s\" now", authority);
		return;
	}
	r->control->stats.unlocks++;
	r->expired = expired;
	tell(r, authority, flow_addr_print(addr, family, source), code);
}

static void unlocked(struct request *r, const json_t *args)
{
	const json_t *open = json_object_get(args, "open_ms");
	const char *why = json_string_value(json_object_get(args, "why"));
	char clean[WHY_MAX + 1];
	json_t *o;

	str_sanitize(why ? why : "", clean, sizeof(clean));
	if (!json_is_true(json_object_get(args, "ok"))) {
		r->control->stats.unlocks_refused++;
		request_fail(r, "denied", "%s", *clean ? clean : "the code was refused");
		return;
	}
	o = json_object();
	json_object_set_new(o, "why", cj_text(clean));
	if (json_is_integer(open))
		json_object_set_new(o, "open_ms", json_integer(json_integer_value(open)));
	request_ok(r, o);
}

/* Of the program that was told; nobody else's word counts. */
void act_unlocked(struct request *r, const json_t *args)
{
	const json_t *token = json_object_get(args, "token");
	json_int_t n = json_integer_value(token);
	struct request *asked;

	if (!json_is_integer(token) || n < 0 || n > UINT32_MAX ||
	    !json_is_boolean(json_object_get(args, "ok"))) {
		request_fail(r, "invalid", "unlocked takes \"token\", a number, and \"ok\"");
		return;
	}
	asked = request_find(r->control, (uint32_t)n);
	if (!asked || asked->told != r->client) {
		request_fail(r, "not-found", "nobody waits for this");
		return;
	}
	unlocked(asked, args);
	request_ok(r, json_object());
}

void unlock_gone(struct control_client *server)
{
	struct control *c = server->control;

	for (unsigned i = 0; i < CONTROL_REQUESTS; i++) {
		struct request *r = c->request[i];

		if (r && r->told == server)
			request_fail(r, "absent", "the program that serves the authority is gone");
	}
}
