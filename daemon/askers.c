/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See askers.h. */
#include "daemon/askers.h"
#include "daemon/control.h"
#include "daemon/ids.h"
#include "daemon/log.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(CLASSIFY_MEMBERS_MAX == ASK_MEMBERS_MAX, "members");

#define PATIENCE_NS (2 * MONO_NS_PER_S) /* with programs of ours, which pendd is starting */
#define MAX_PENDING 50000u              /* of an authority that does not say */

struct askers {
	struct askers_env env;
	struct ask *ask;
	uint64_t serial;     /* of the view whose authorities we have */
	uint64_t not_pended; /* verdicts that came too late for their context */
	/* the walk over what is pended, one worker after the other */
	unsigned walk_worker;
	uint32_t walk_cursor;
	bool walking, walk_stalled, walk_anew;
	bool ahead; /* a question of a policy that we do not know yet is among it */
};

/* Deadlines and absences are nobody's words: they have no note. An error has only what it says of itself. */
static uint32_t reason_of(const struct askers *s, const struct ask_decision *d)
{
	bool said = d->code == REASON_AUTHORITY || d->code == REASON_STATIC;
	bool noted = s->env.notes && (said || (d->code == REASON_ERROR && d->why));

	return MSG_REASON(d->code,
			  noted ? notes_add(s->env.notes, said ? d->by : NULL, d->why) : 0);
}

static int on_complete(void *ctx, const struct ask_decision *d)
{
	struct askers *s = ctx;
	struct msg m = {.version = MSG_VERSION,
			.type = MSG_COMPLETE,
			.worker = (uint16_t)ids_worker(d->context),
			.seq = ASKERS_SEQ};

	m.u.complete.context = d->context;
	m.u.complete.verdict = (uint8_t)d->verdict;
	m.u.complete.block = d->block;
	m.u.complete.reason = reason_of(s, d);
	m.u.complete.lasting = d->lasting;
	m.u.complete.quiet = 1;
	return s->env.post(s->env.ctx, ids_worker(d->context), &m);
}

static void on_question(void *ctx, void *client, const char *authority,
			const struct pend_info *info, uint64_t remaining_ns)
{
	(void)ctx;
	control_question(client, authority, info, remaining_ns);
}

static void on_withdrawn(void *ctx, void *client, const char *authority, pend_context context,
			 enum ask_why why)
{
	(void)ctx;
	control_withdrawn(client, authority, context, why);
}

static void on_unserved(void *ctx, void *client, const char *authority, enum ask_why why)
{
	(void)ctx;
	control_unserved(client, authority, why == ASK_WHY_SILENT ? "heartbeat" : "policy");
}

static bool on_backlogged(void *ctx, void *client)
{
	(void)ctx;
	return control_backlogged(client);
}

static uint64_t on_number(void *ctx, const void *client)
{
	(void)ctx;
	return control_client_number(client);
}

static bool on_alive(void *ctx, void *client, uint64_t since_ns)
{
	(void)ctx;
	return control_alive(client, mono_ns(since_ns));
}

int askers_new(struct askers **out, const struct askers_env *env)
{
	struct askers *s = calloc(1, sizeof(*s));
	struct ask_env ask = {.loop = env->loop,
			      .max_questions = env->max_questions,
			      .complete = on_complete,
			      .question = on_question,
			      .withdrawn = on_withdrawn,
			      .unserved = on_unserved,
			      .backlogged = on_backlogged,
			      .number = on_number,
			      .alive = on_alive};
	int r;

	if (!s)
		return -ENOMEM;
	s->env = *env;
	ask.ctx = s;
	r = ask_new(&s->ask, &ask);
	if (r) {
		free(s);
		return r;
	}
	*out = s;
	return 0;
}

void askers_free(struct askers *s)
{
	if (s)
		ask_free(s->ask);
	free(s);
}

struct ask *askers_ask(struct askers *s)
{
	return s->ask;
}

/* ---- definitions ---- */

static enum ask_vote vote_of(uint8_t verdict)
{
	return verdict == PEND_VERDICT_PERMIT ? ASK_PERMIT : ASK_BLOCK;
}

/* FNV-1a; never 0. */
static uint64_t version_of(const struct classify_authority *c)
{
	uint64_t h = (14695981039346656037u ^ c->type) * 1099511628211u;

	for (const char *p = c->config; *p; p++)
		h = (h ^ (unsigned char)*p) * 1099511628211u;
	return h | 1;
}

/* pend.conf(5) says it, too: on-error. */
static enum ask_silence silence_of(const struct classify_authority *c)
{
	switch ((enum authority_type)c->type) {
	case AUTHORITY_DNSBL:
	case AUTHORITY_HTTP:
		return ASK_SILENCE_WRONG;
	case AUTHORITY_EXEC: /* a process for each question may wait for a person: its end is its answer */
		return strstr(c->config, ",\"mode\":\"once\",") ? ASK_SILENCE_MEANT
								: ASK_SILENCE_WRONG;
	case AUTHORITY_UNIT: /* it starts slowly, and says when it cannot */
	case AUTHORITY_TOTP: /* nobody has brought a code */
	case AUTHORITY_OPERATOR:
	case AUTHORITY_STATIC:
	case AUTHORITY_ANY:
	case AUTHORITY_ALL:
	case AUTHORITY_QUORUM:
	case AUTHORITY_CHAIN:
		return ASK_SILENCE_MEANT;
	case AUTHORITY_SOCKET:
		break;
	}
	return ASK_SILENCE_DEAD;
}

static struct ask_def def_of(const struct classify_authority *c)
{
	static const uint8_t rules[] = {[AUTHORITY_ANY] = ASK_ANY,
					[AUTHORITY_ALL] = ASK_ALL,
					[AUTHORITY_QUORUM] = ASK_QUORUM,
					[AUTHORITY_CHAIN] = ASK_CHAIN};
	static const uint8_t absent[] = {[CLASSIFY_ABSENT_BLOCK] = ASK_BY_BLOCK,
					 [CLASSIFY_ABSENT_PERMIT] = ASK_BY_PERMIT,
					 [CLASSIFY_ABSENT_WAIT] = ASK_BY_WAIT};
	static const uint8_t error[] = {[CLASSIFY_ERROR_BLOCK] = ASK_BY_BLOCK,
					[CLASSIFY_ERROR_PERMIT] = ASK_BY_PERMIT,
					[CLASSIFY_ERROR_NEXT] = ASK_BY_NEXT};
	struct ask_def d = {
		.name = c->name,
		.served = c->type == AUTHORITY_SOCKET || classify_authority_is_ours(c->type),
		.alone = c->type == AUTHORITY_TOTP || c->type == AUTHORITY_UNIT,
		.fixed = c->type == AUTHORITY_STATIC ? (uint8_t)vote_of(c->answer) : 0,
		.on_timeout = c->on_timeout == PEND_VERDICT_PERMIT ? ASK_BY_PERMIT : ASK_BY_BLOCK,
		.on_absent = absent[c->on_absent],
		.on_error = error[c->on_error],
		.silence = (uint8_t)silence_of(c),
		.rule = rules[c->type],
		.need = c->need,
		.members = c->members,
		.max_pending = c->max_pending ? c->max_pending : MAX_PENDING,
		.timeout_ns = c->timeout_ns};

	if (d.served)
		d.version = version_of(c);
	if (classify_authority_is_ours(c->type))
		d.patience_ns = PATIENCE_NS;

	memcpy(d.member, c->member, sizeof(d.member));
	return d;
}

void askers_policy(struct askers *s)
{
	const struct view *v = s->env.view;
	uint32_t n = v->classifier ? classify_authorities(v->classifier) : 0;
	struct ask_def *def;

	if (s->serial == v->serial)
		return;
	def = calloc(n + 1, sizeof(*def));
	for (uint32_t i = 0; def && i < n; i++) {
		struct classify_authority a;

		if (classify_authority(v->classifier, (uint16_t)i, &a))
			def[i] = def_of(&a);
	}
	if (!def || ask_configure(s->ask, v->generation, def, n) < 0)
		log_error("ask", "the authorities of policy %u are not known: out of memory",
			  v->generation);
	else
		s->serial = v->serial;
	free(def);
	if (s->serial == v->serial && s->ahead)
		askers_again(s);
}

uint64_t askers_serial(const struct askers *s)
{
	return s->serial;
}

/* ---- questions ---- */

/*
 * Workers ask by a policy as soon as they have it, we hear that it is in force when all have: what was asked
 * meanwhile is asked for again then.
 */
void askers_question(struct askers *s, const struct pend_info *info)
{
	uint32_t generation = MSG_TAG_GENERATION(info->tag);

	askers_policy(s);
	if ((int32_t)(generation - s->env.view->generation) > 0)
		s->ahead = true;
	else
		ask_question(s->ask, generation, MSG_TAG_AUTHORITY(info->tag), info);
}

/* What was asked of the authority process before us, or by a policy that we did not know. */
static void walk(struct askers *s)
{
	struct msg m = {.version = MSG_VERSION, .type = MSG_LIST, .seq = ASKERS_SEQ_LIST};

	s->walk_stalled = false;
	m.u.match.authority = UINT16_MAX;
	m.u.match.rule = UINT32_MAX;
	while (s->walking) {
		int r;

		if (s->walk_worker == s->env.workers) {
			s->walking = s->walk_anew;
			s->walk_anew = false;
			s->walk_worker = 0;
			continue;
		}
		m.worker = (uint16_t)s->walk_worker;
		m.u.match.cursor = s->walk_cursor;
		r = s->env.post(s->env.ctx, s->walk_worker, &m);
		s->walk_stalled = r > 0;
		if (r >= 0)
			return;
		s->walk_worker++;
		s->walk_cursor = 0;
	}
}

void askers_again(struct askers *s)
{
	s->ahead = false;
	if (s->walking) { /* its answers are on their way: to the end, and once more */
		s->walk_anew = true;
		return;
	}
	s->walk_worker = 0;
	s->walk_cursor = 0;
	s->walking = true;
	walk(s);
}

static void walk_on(struct askers *s, unsigned worker, const struct msg *m)
{
	if (!s->walking || worker != s->walk_worker)
		return;
	s->walk_cursor = m->u.done.cursor;
	if (!s->walk_cursor)
		s->walk_worker++;
	walk(s);
}

/* An operator looks at what is pended, and is not asked. */
static bool asks_nobody(const struct askers *s, const struct pend_info *info)
{
	const struct view *v = s->env.view;
	struct classify_authority c;

	return v->classifier && MSG_TAG_GENERATION(info->tag) == v->generation &&
	       classify_authority(v->classifier, MSG_TAG_AUTHORITY(info->tag), &c) &&
	       c.type == AUTHORITY_OPERATOR;
}

bool askers_answer(struct askers *s, unsigned worker, const struct msg *m)
{
	if (m->seq != ASKERS_SEQ && m->seq != ASKERS_SEQ_LIST)
		return false;
	if (m->type == MSG_CONTEXT) {
		if (!asks_nobody(s, &m->u.info))
			askers_question(s, &m->u.info);
	} else if (m->type == MSG_DONE && m->seq == ASKERS_SEQ_LIST) {
		walk_on(s, worker, m);
	} else if (m->type == MSG_DONE && m->u.done.status != PEND_OK) {
		s->not_pended++;
	}
	return true;
}

void askers_room(struct askers *s)
{
	ask_room(s->ask);
	if (s->walk_stalled)
		walk(s);
}
