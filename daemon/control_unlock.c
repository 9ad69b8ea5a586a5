/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * unlock, lock, unlocked: a person brings a code for an authority, and the program that serves it says whether it opens
 * anything. The code is the authorization: whoever may look at the daemon may bring one. What the program does with it
 * is its own business; here it is told who asks, by the kernel's word. Whoever may decide may also close what is open.
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

/* Takes `in`. */
static void tell(struct request *r, const char *kind, const char *authority, json_t *in)
{
	json_t *o = json_object();
	struct overlay_who who;

	client_who(r->client, &who);
	json_object_set_new(in, "token", json_integer(request_seq(r, 0)));
	json_object_set_new(in, "authority", json_string(authority));
	json_object_set_new(in, "user", cj_text(who.user));
	json_object_set_new(in, "uid", json_integer(who.uid));
	json_object_set_new(o, kind, in);
	control_put(r->told, o);
}

static void expired(struct request *r)
{
	request_fail(r, "timeout", "the program that serves the authority did not answer in time");
}

/* Who is to be told. False: nobody, and the request has ended. */
static bool find_server(struct request *r, const char *authority)
{
	struct ask *ask = r->control->env.ask;

	if (!ask || !ask_authority_timeout(ask, authority)) {
		request_fail(r, "not-found", "no authority \"%.40s\" is served by programs",
			     authority);
		return false;
	}
	r->told = ask_server_client(ask, authority);
	if (!r->told) {
		request_fail(r, "absent", "nobody serves \"%.40s\" now: see the log", authority);
		return false;
	}
	r->expired = expired;
	return true;
}

/* An address, canonical. False: it is none. */
static bool source_parse(const char *from, char source[FLOW_ADDR_TEXT])
{
	uint8_t addr[16], family;

	if (!from || flow_addr_parse(from, addr, &family) < 0)
		return false;
	flow_addr_print(addr, family, source);
	return true;
}

void act_unlock(struct request *r, const json_t *args)
{
	const char *authority = json_string_value(json_object_get(args, "authority"));
	const char *from = json_string_value(json_object_get(args, "source"));
	const char *code = json_string_value(json_object_get(args, "code"));
	char source[FLOW_ADDR_TEXT];
	json_t *in;

	if (from && !source_parse(from, source)) {
		request_fail(r, "invalid", "\"%.40s\" is not an address", from);
		return;
	}
	if (!authority || !from || !code_ok(code)) {
		request_fail(
			r, "invalid",
			"unlock takes \"authority\", a name, \"source\", an address, and \"code\"");
		return;
	}
	if (!find_server(r, authority))
		return;
	r->control->stats.unlocks++;
	in = json_object();
	json_object_set_new(in, "source", json_string(source));
	json_object_set_new(in, "code", json_string(code));
	tell(r, "unlock", authority, in);
}

void act_lock(struct request *r, const json_t *args)
{
	const char *authority = json_string_value(json_object_get(args, "authority"));
	const json_t *from = json_object_get(args, "source");
	char source[FLOW_ADDR_TEXT];
	json_t *in;

	if (json_is_string(from) && !source_parse(json_string_value(from), source)) {
		request_fail(r, "invalid", "\"%.40s\" is not an address", json_string_value(from));
		return;
	}
	if (!authority || (from && !json_is_string(from))) {
		request_fail(r, "invalid",
			     "lock takes \"authority\", a name, and \"source\", an address");
		return;
	}
	if (!find_server(r, authority))
		return;
	in = json_object();
	if (from)
		json_object_set_new(in, "source", json_string(source));
	tell(r, "lock", authority, in);
}

static void unlocked(struct request *r, const json_t *args)
{
	const json_t *open = json_object_get(args, "open_ms");
	const char *why = json_string_value(json_object_get(args, "why"));
	char clean[WHY_MAX + 1];
	json_t *o;

	str_sanitize(why ? why : "", clean, sizeof(clean));
	if (!json_is_true(json_object_get(args, "ok"))) {
		r->control->stats.unlocks_refused += r->command->start == act_unlock;
		request_fail(r, "denied", "%s", *clean ? clean : "it was refused");
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
