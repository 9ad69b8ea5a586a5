/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Questions and votes; see ask.h. */
#include "daemon/ask_impl.h"
#include "daemon/msg.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

static void vote(struct part *p, enum ask_vote v, uint8_t block, uint32_t reason);

static uint32_t hash_of(const struct ask *a, pend_context context)
{
	return (uint32_t)siphash13(&a->key, &context, sizeof(context));
}

static struct question *find(const struct ask *a, pend_context context)
{
	uint32_t hash = hash_of(a, context);

	for (struct hnode *n = htable_first(&a->table, hash); n; n = htable_next(n, hash)) {
		struct question *q = container_of(n, struct question, node);

		if (q->info.context == context)
			return q;
	}
	return NULL;
}

/* ---- parts ---- */

/*
 * A server has room: what waits is put to it in the loop's next round. Not at once, for whoever ends a part may be in the
 * middle of votes, or about to end many.
 */
static void pump_soon(struct ask *a, struct authority *au)
{
	if (list_empty(&au->waiting) || list_linked(&au->pump))
		return;
	if (list_empty(&a->pumps))
		loop_timer_arm(a->env.loop, &a->pump, loop_now(a->env.loop));
	list_add_tail(&a->pumps, &au->pump);
}

/* Out of its server or queue, and of its question. */
static void part_free(struct ask *a, struct part *p)
{
	struct authority *au = p->authority;

	if (p->server) {
		p->server->open--;
		au->open--;
		pump_soon(a, au);
	} else if (list_linked(&p->link)) {
		au->nwaiting--;
	}
	if (p->probe)
		au->probing = false;
	list_del(&p->link);
	list_del(&p->of_question);
	loop_timer_cancel(a->env.loop, &p->deadline);
	slab_put(&a->parts, p);
}

static void part_withdraw(struct ask *a, struct part *p, enum ask_why why)
{
	struct authority *au = p->authority;

	if (p->server)
		a->env.withdrawn(a->env.ctx, p->server->client, au->name, p->question->info.context,
				 why);
	part_free(a, p);
}

static void withdraw_all(struct ask *a, struct question *q, enum ask_why why)
{
	struct list *at, *tmp;

	list_foreach(at, tmp, &q->parts)
		part_withdraw(a, container_of(at, struct part, of_question), why);
}

static void question_free(struct ask *a, struct question *q)
{
	htable_del(&a->table, &q->node);
	list_del(&q->unsent);
	free(q->why);
	ask_def_put(a, q->def);
	a->stats.open--;
	slab_put(&a->questions, q);
}

/* ---- deciding ---- */

static bool say(struct ask *a, struct question *q)
{
	return a->env.complete(a->env.ctx, &q->decision) <= 0;
}

/* Said, and over; or said when there is room. */
static void say_or_wait(struct ask *a, struct question *q)
{
	if (say(a, q)) {
		question_free(a, q);
		return;
	}
	if (q->decision.why)
		q->why = strdup(q->decision.why);
	q->decision.why = q->why;
	list_add_tail(&a->unsent, &q->unsent);
}

/*
 * Would it be the same whatever they had said for whom on-timeout, on-absent or on-error stood in? Else it holds for
 * the one connection: an outage must not be remembered.
 */
static bool was_said(const struct question *q, enum pend_verdict v)
{
	const struct ask_def *d = q->group;
	unsigned need = d->rule == ASK_QUORUM ? d->need : 1, silent = q->left + q->stood_in;

	if (!q->stood_in)
		return true;
	switch ((enum ask_rule)d->rule) {
	case ASK_ONE:
	case ASK_CHAIN:
		return false;
	case ASK_ALL:
		return v == PEND_VERDICT_BLOCK && q->said_block;
	case ASK_ANY:
	case ASK_QUORUM:
		return v == PEND_VERDICT_PERMIT ? q->said_permit >= need
						: q->said_permit + silent < need;
	}
	return false;
}

static void decide(struct ask *a, struct question *q, enum pend_verdict v, uint8_t block,
		   uint32_t reason, const char *by)
{
	const struct ask_answer *said = q->starting ? NULL : a->answer;

	q->decided = true;
	q->decision = (struct ask_decision){
		.context = q->info.context, .verdict = v, .block = block, .code = reason, .by = by};
	if (said && (reason == REASON_AUTHORITY || reason == REASON_ERROR))
		q->decision.why = said->why;
	if (said && reason == REASON_AUTHORITY)
		q->decision.lasting = said->lasting;
	if (!was_said(q, v))
		q->decision.lasting = (struct msg_lasting){.ns = MSG_REMEMBER_NOT};
	a->stats.decided++;
	withdraw_all(a, q, ASK_WHY_DECIDED);
	if (!q->starting) /* whoever starts its parts looks at `decided` */
		say_or_wait(a, q);
}

void ask_room(struct ask *a)
{
	struct list *at, *tmp;

	list_foreach(at, tmp, &a->unsent) {
		struct question *q = container_of(at, struct question, unsent);

		if (!say(a, q))
			return;
		question_free(a, q);
	}
}

static enum ask_vote by_default(uint8_t d)
{
	return d == ASK_BY_PERMIT ? ASK_PERMIT : d == ASK_BY_NEXT ? ASK_CONTINUE : ASK_BLOCK;
}

/* ---- asking ---- */

static uint64_t time_left(const struct ask *a, const struct part *p)
{
	uint64_t all = p->question->info.deadline_ns, now = loop_now(a->env.loop).ns;
	uint64_t left = all > now ? all - now : 0;

	return left < p->authority->def.timeout_ns ? left : p->authority->def.timeout_ns;
}

static void arm(struct ask *a, struct part *p)
{
	mono_t when = mono_add(loop_now(a->env.loop), time_left(a, p));

	if (p->patient && p->authority->patient_until_ns < when.ns)
		when.ns = p->authority->patient_until_ns;
	loop_timer_arm(a->env.loop, &p->deadline, when);
}

/* Nobody serves it yet, and somebody is about to. */
static bool is_patient(const struct ask *a, const struct authority *au)
{
	return au->live && !au->nservers && loop_now(a->env.loop).ns < au->patient_until_ns;
}

static void wait_patiently(struct ask *a, struct part *p)
{
	if (p->authority->def.on_absent == ASK_BY_WAIT)
		return;
	p->patient = true;
	arm(a, p);
}

/* Somebody came, and has no room yet; or nobody did. */
static void patience_over(struct ask *a, struct part *p)
{
	struct authority *au = p->authority;

	p->patient = false;
	if (au->nservers) {
		arm(a, p);
		return;
	}
	au->stats.absent++;
	vote(p, by_default(au->def.on_absent), UINT8_MAX, REASON_ABSENT);
}

/* The connection's own time may be what is over: the rule says what then, and the worker does the same just now. */
static enum ask_vote timed_out(const struct ask *a, const struct part *p)
{
	const struct pend_info *i = &p->question->info;

	if (loop_now(a->env.loop).ns < i->deadline_ns)
		return by_default(p->authority->def.on_timeout);
	return i->on_timeout == PEND_VERDICT_PERMIT  ? ASK_PERMIT
	       : i->on_timeout == PEND_VERDICT_BLOCK ? ASK_BLOCK
						     : ASK_CONTINUE;
}

/*
 * It was put to somebody, for as long as the definition says. A rule with less patience says nothing of who was asked,
 * nor does a question that waited for room, or came late; an eighth is for the way.
 */
static bool had_its_time(const struct ask *a, const struct part *p)
{
	const struct pend_info *i = &p->question->info;
	uint64_t all = p->authority->def.timeout_ns;

	return p->server && i->deadline_ns - i->created_ns >= all &&
	       loop_now(a->env.loop).ns - p->sent_ns >= all - all / 8;
}

static bool is_fault(const struct ask *a, const struct part *p)
{
	switch ((enum ask_silence)p->authority->def.silence) {
	case ASK_SILENCE_DEAD:
		return !a->env.alive(a->env.ctx, p->server->client, p->sent_ns);
	case ASK_SILENCE_WRONG:
		return p->server->answered_ns <= p->sent_ns;
	case ASK_SILENCE_MEANT:
		break;
	}
	return false;
}

/* Its time is over, and there is no answer. */
static void note_silence(struct ask *a, const struct part *p)
{
	struct authority *au = p->authority;

	au->stats.timeouts++;
	if (!had_its_time(a, p))
		return;
	if (is_fault(a, p)) {
		if (p->server->fails < ASK_BREAKER_FAILS)
			p->server->fails++;
		ask_failed(a, au, p->probe);
	} else if (p->probe) {
		ask_worked(au, p->probe);
	}
}

static void on_deadline(void *ctx)
{
	struct part *p = ctx;
	struct ask *a = p->question->ask;
	struct authority *au = p->authority;

	if (p->patient) {
		patience_over(a, p);
		return;
	}
	note_silence(a, p);
	if (p->server)
		a->env.withdrawn(a->env.ctx, p->server->client, au->name, p->question->info.context,
				 ASK_WHY_TIMEOUT);
	vote(p, timed_out(a, p), UINT8_MAX, REASON_TIMEOUT);
}

static void send_part(struct ask *a, struct part *p, struct ask_server *s)
{
	struct authority *au = p->authority;

	if (list_linked(&p->link)) {
		list_del(&p->link);
		au->nwaiting--;
	}
	if (p->patient) {
		p->patient = false;
		arm(a, p);
	}
	p->server = s;
	p->question->asked[p->member] = a->env.number(a->env.ctx, s->client);
	p->sent_ns = loop_now(a->env.loop).ns;
	list_add_tail(&s->parts, &p->link);
	s->open++;
	au->open++;
	au->stats.asked++;
	a->env.question(a->env.ctx, s->client, au->name, &p->question->info, time_left(a, p));
}

void ask_pump(struct ask *a, struct authority *au)
{
	while (!list_empty(&au->waiting)) {
		struct ask_server *s = ask_pick(a, au);

		if (!s)
			return;
		send_part(a, container_of(au->waiting.next, struct part, link), s);
	}
}

static void on_pump(void *ctx)
{
	struct ask *a = ctx;
	struct list *at;

	while ((at = list_pop(&a->pumps)) != NULL)
		ask_pump(a, container_of(at, struct authority, pump));
}

void ask_requeue(struct part *p, bool gone)
{
	struct authority *au = p->authority;
	struct question *q = p->question;

	if (!gone)
		q->was[p->member] = q->asked[p->member];
	q->asked[p->member] = 0;
	list_del(&p->link);
	p->server->open--;
	au->open--;
	p->server = NULL;
	list_add_tail(&au->waiting, &p->link);
	au->nwaiting++;
}

void ask_desert(struct ask *a, struct authority *au, bool error)
{
	struct list all = LIST_INIT(all), *at;

	/* A vote may end other parts of the same question, never parts of this list but its own. */
	list_splice_tail(&all, &au->waiting);
	while ((at = list_pop(&all)) != NULL) {
		struct part *p = container_of(at, struct part, link);

		if ((au->live && au->def.on_absent == ASK_BY_WAIT) ||
		    (!error && is_patient(a, au))) {
			list_add_tail(&au->waiting, &p->link);
			wait_patiently(a, p);
			continue;
		}
		au->nwaiting--;
		if (error) {
			au->stats.errors++;
			ask_failed(a, au, p->probe);
		} else {
			au->stats.absent++;
		}
		vote(p, by_default(error ? au->def.on_error : au->def.on_absent), UINT8_MAX,
		     error ? REASON_ERROR : REASON_ABSENT);
	}
}

/* True: it waits, or was sent. */
static bool ask_programs(struct ask *a, struct part *p)
{
	struct authority *au = p->authority;
	struct ask_server *s = NULL;

	if (!au->live ||
	    (!au->nservers && au->def.on_absent != ASK_BY_WAIT && !is_patient(a, au))) {
		au->stats.absent++;
		vote(p, by_default(au->def.on_absent), UINT8_MAX, REASON_ABSENT);
		return false;
	}
	if (au->open + au->nwaiting >= au->def.max_pending) {
		au->stats.limited++;
		a->stats.limited++;
		vote(p, by_default(au->def.on_absent), UINT8_MAX, REASON_BACKLOG);
		return false;
	}
	if (au->nservers && !ask_breaker_allows(a, au, &p->probe)) {
		au->stats.refused++;
		vote(p, by_default(au->def.on_error), UINT8_MAX, REASON_ERROR);
		return false;
	}
	if (!au->nwaiting)
		s = ask_pick(a, au);
	if (s) {
		send_part(a, p, s);
		return true;
	}
	list_add_tail(&au->waiting, &p->link);
	if (!au->nservers)
		wait_patiently(a, p);
	if (au->nwaiting++) /* nobody overtakes those that wait */
		ask_pump(a, au);
	return true;
}

static bool start_part(struct ask *a, struct question *q, struct authority *au, unsigned member)
{
	struct part *p = slab_get(&a->parts);

	if (!p)
		return false;
	*p = (struct part){.question = q, .authority = au, .member = (uint8_t)member};
	list_init(&p->link);
	list_add_tail(&q->parts, &p->of_question);
	loop_timer_init(&p->deadline, on_deadline, p);
	arm(a, p);
	if (au->def.fixed)
		vote(p, (enum ask_vote)au->def.fixed, UINT8_MAX, REASON_STATIC);
	else if (au->def.served)
		ask_programs(a, p);
	return true;
}

static bool start_member(struct ask *a, struct question *q, unsigned i)
{
	return start_part(a, q, q->def->authority[q->group->member[i]], i);
}

static bool start_members(struct ask *a, struct question *q)
{
	const struct ask_def *d = q->group;
	bool ok = true;

	if (d->rule == ASK_ONE) {
		q->left = 1;
		return start_part(a, q, q->top, 0);
	}
	if (d->rule == ASK_CHAIN) {
		q->left = d->members;
		return start_member(a, q, 0);
	}
	q->left = d->members;
	for (unsigned i = 0; i < d->members && ok && !q->decided; i++)
		ok = start_member(a, q, i);
	return ok;
}

/* ---- votes ---- */

/* After a vote: is it clear what they say together? 0: not yet. */
static enum ask_vote tally(const struct question *q)
{
	const struct ask_def *d = q->group;
	unsigned need = d->rule == ASK_QUORUM ? d->need : 1;

	switch ((enum ask_rule)d->rule) {
	case ASK_ONE:
	case ASK_CHAIN:
		if (q->permits || q->blocks)
			return q->permits ? ASK_PERMIT : ASK_BLOCK;
		break;
	case ASK_ALL:
		if (q->blocks)
			return ASK_BLOCK;
		if (!q->left && q->permits)
			return ASK_PERMIT;
		break;
	case ASK_ANY:
	case ASK_QUORUM:
		if (q->permits >= need)
			return ASK_PERMIT;
		if (q->permits + q->left < need && (q->blocks || d->rule == ASK_QUORUM))
			return ASK_BLOCK;
		break;
	}
	return q->left ? (enum ask_vote)0 : ASK_CONTINUE;
}

static void ask_next(struct ask *a, struct question *q, const char *by)
{
	a->answer = NULL; /* what one has said is not said of the next */
	if (!start_member(a, q, ++q->next) && !q->decided)
		decide(a, q, PEND_VERDICT_BLOCK, UINT8_MAX, REASON_BACKLOG, by);
}

static void settle(struct ask *a, struct question *q, uint8_t block, uint32_t reason,
		   const char *by)
{
	enum ask_vote v = tally(q);

	if (v == ASK_PERMIT)
		decide(a, q, PEND_VERDICT_PERMIT, UINT8_MAX, reason, by);
	else if (v == ASK_BLOCK)
		decide(a, q, PEND_VERDICT_BLOCK, block, reason, by);
	else if (v == ASK_CONTINUE) /* nobody has an opinion: as when nobody answers in time */
		decide(a, q, (enum pend_verdict)q->info.on_timeout, UINT8_MAX, REASON_TIMEOUT, by);
	else if (q->group->rule == ASK_CHAIN)
		ask_next(a, q, by);
}

/* Ends the part; may free its question. */
static void vote(struct part *p, enum ask_vote v, uint8_t block, uint32_t reason)
{
	struct question *q = p->question;
	const char *by = p->authority->name;
	struct ask *a = q->ask;
	bool said = reason == REASON_AUTHORITY || reason == REASON_STATIC;

	part_free(a, p);
	if (q->decided)
		return;
	q->left--;
	q->permits += v == ASK_PERMIT;
	q->blocks += v == ASK_BLOCK;
	q->said_permit += said && v == ASK_PERMIT;
	q->said_block += said && v == ASK_BLOCK;
	q->stood_in += !said;
	settle(a, q, block, reason, by);
}

/* ---- from outside ---- */

static struct def *def_of(const struct ask *a, uint32_t generation)
{
	if (a->now && a->now->generation == generation)
		return a->now;
	return a->before && a->before->generation == generation ? a->before : NULL;
}

static struct question *question_new(struct ask *a, struct def *d, uint16_t index,
				     const struct pend_info *info)
{
	struct question *q = slab_get(&a->questions);

	if (!q)
		return NULL;
	*q = (struct question){.ask = a,
			       .info = *info,
			       .top = d->authority[index],
			       .def = d,
			       .group = &d->ask[index]};
	list_init(&q->parts);
	list_init(&q->unsent);
	htable_add(&a->table, &q->node, hash_of(a, info->context));
	d->users++;
	a->stats.open++;
	return q;
}

void ask_question(struct ask *a, uint32_t generation, uint16_t index, const struct pend_info *info)
{
	struct def *d = def_of(a, generation);
	struct question *q;
	bool ok;

	if (!d || index >= d->n) {
		a->stats.unknown++;
		return; /* its deadline decides */
	}
	if (find(a, info->context))
		return;
	a->stats.questions++;
	q = question_new(a, d, index, info);
	if (!q) {
		a->stats.limited++;
		a->env.complete(a->env.ctx,
				&(struct ask_decision){.context = info->context,
						       .verdict = PEND_VERDICT_BLOCK,
						       .block = UINT8_MAX,
						       .code = REASON_BACKLOG,
						       .by = d->authority[index]->name});
		return;
	}
	q->starting = true;
	ok = start_members(a, q);
	q->starting = false;
	if (!ok && !q->decided)
		decide(a, q, PEND_VERDICT_BLOCK, UINT8_MAX, REASON_BACKLOG, q->top->name);
	else if (q->decided)
		say_or_wait(a, q);
}

void ask_gone(struct ask *a, pend_context context)
{
	struct question *q = find(a, context);

	if (!q || q->starting)
		return;
	if (loop_now(a->env.loop).ns >= q->info.deadline_ns) /* the worker was first to see it */
		for (struct list *at = q->parts.next; at != &q->parts; at = at->next)
			note_silence(a, container_of(at, struct part, of_question));
	withdraw_all(a, q, ASK_WHY_GONE);
	question_free(a, q);
}

/* The part of this question that this client was asked; NULL `authority`: any. */
static struct part *part_of(const struct question *q, const void *client, const char *authority)
{
	for (struct list *at = q->parts.next; at != &q->parts; at = at->next) {
		struct part *p = container_of(at, struct part, of_question);

		if (p->server && p->server->client == client &&
		    (!authority || !strcmp(p->authority->name, authority)))
			return p;
	}
	return NULL;
}

/* Without a name its answer may be a late one, or a second, for another member that the same client was asked for. */
static bool is_ambiguous(const struct question *q, const struct part *p)
{
	uint64_t who = q->asked[p->member];

	for (unsigned i = 0; i < q->group->members; i++)
		if (i != p->member && (q->asked[i] == who || q->was[i] == who))
			return true;
	return false;
}

static void note_answer(struct ask *a, struct part *p, enum ask_vote v)
{
	struct authority *au = p->authority;

	p->server->fails = 0;
	au->stats.permits += v == ASK_PERMIT;
	au->stats.blocks += v == ASK_BLOCK;
	au->stats.continues += v == ASK_CONTINUE;
	ask_measured(au, loop_now(a->env.loop).ns - p->sent_ns);
	if (v == ASK_ERROR) {
		au->stats.errors++;
		ask_failed(a, au, p->probe);
	} else {
		p->server->answered_ns = loop_now(a->env.loop).ns;
		ask_worked(au, p->probe);
	}
}

/* Whoever answers late is alive. */
static void late(struct ask *a, const void *client, const struct ask_answer *answer)
{
	for (struct list *at = a->servers.next; at != &a->servers; at = at->next) {
		struct ask_server *s = container_of(at, struct ask_server, of_client);

		if (s->client != client ||
		    (answer->authority && strcmp(s->authority->name, answer->authority) != 0))
			continue;
		s->fails = 0;
		if (answer->vote != ASK_ERROR)
			s->answered_ns = loop_now(a->env.loop).ns;
		s->authority->stats.late++;
		ask_pump(a, s->authority);
		return;
	}
}

static enum ask_state no_answer(struct ask *a, const struct question *q, const void *client,
				const struct ask_answer *answer)
{
	bool theirs = answer->authority && ask_serves(a, client, answer->authority);

	if (q && !q->decided && !theirs)
		return ASK_NOT_YOURS;
	late(a, client, answer);
	return ASK_NOT_FOUND;
}

enum ask_state ask_answer(struct ask *a, void *client, const struct ask_answer *answer)
{
	struct question *q = find(a, answer->context);
	enum ask_vote v = (enum ask_vote)answer->vote;
	struct authority *au;
	struct part *p;

	p = q && !q->decided ? part_of(q, client, answer->authority) : NULL;
	if (!p)
		return no_answer(a, q, client, answer);
	if (!answer->authority && is_ambiguous(q, p)) {
		a->stats.ambiguous++;
		return ASK_AMBIGUOUS;
	}
	au = p->authority;
	au->refs++; /* the question may be the last that knows it */
	note_answer(a, p, v);
	a->answer = answer;
	vote(p, v == ASK_ERROR ? by_default(au->def.on_error) : v, answer->block,
	     v == ASK_ERROR ? REASON_ERROR : REASON_AUTHORITY);
	a->answer = NULL;
	ask_pump(a, au);
	ask_authority_put(au);
	return ASK_OK;
}

int ask_new(struct ask **out, const struct ask_env *env)
{
	struct ask *a = calloc(1, sizeof(*a));
	int r;

	if (!a)
		return -ENOMEM;
	a->env = *env;
	list_init(&a->authorities);
	list_init(&a->servers);
	list_init(&a->unsent);
	list_init(&a->defs);
	list_init(&a->pumps);
	loop_timer_init(&a->pump, on_pump, a);
	if (getrandom(&a->key, sizeof(a->key), 0) != (ssize_t)sizeof(a->key)) {
		free(a);
		return -EIO;
	}
	r = htable_init(&a->table, env->max_questions);
	if (!r)
		r = slab_init(&a->questions, sizeof(struct question), env->max_questions);
	if (!r)
		r = slab_init(&a->parts, sizeof(struct part), 2 * env->max_questions);
	if (r)
		ask_free(a);
	else
		*out = a;
	return r;
}
