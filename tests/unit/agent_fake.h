/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The agent around a kind, for its tests: what agents/agent.c does, without a daemon. Include it in one file of the
 * program; agents/agent.c is then not linked. Questions are made with fake_question(), answers are kept.
 */
#ifndef TESTS_UNIT_AGENT_FAKE_H
#define TESTS_UNIT_AGENT_FAKE_H

#include "agents/agent_self.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FAKE_ANSWERS 4096

struct fake_agent {
	struct agent agent;
	unsigned nanswers, nlogged;
	struct {
		char id[40], how[16], why[256];
		enum pend_client_answer answer;
	} answers[FAKE_ANSWERS];
	char logged[512]; /* the last line */
};

static struct fake_agent *fake_current; /* agent_log has a const one */

static void __attribute__((format(printf, 1, 0))) fake_log(const char *fmt, va_list ap)
{
	struct fake_agent *f = fake_current;

	vsnprintf(f->logged, sizeof(f->logged), fmt, ap);
	f->nlogged++;
}

void agent_log(const struct agent *a, const char *fmt, ...)
{
	va_list ap;

	(void)a;
	va_start(ap, fmt);
	fake_log(fmt, ap);
	va_end(ap);
}

void agent_fail(struct agent *a, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fake_log(fmt, ap);
	va_end(ap);
	a->failed = true;
}

void agent_answer(struct agent_question *q, enum pend_client_answer answer, const char *how,
		  const char *why)
{
	struct fake_agent *f = container_of(q->agent, struct fake_agent, agent);
	unsigned n = f->nanswers < FAKE_ANSWERS ? f->nanswers++ : FAKE_ANSWERS - 1;

	snprintf(f->answers[n].id, sizeof(f->answers[n].id), "%s", q->id);
	snprintf(f->answers[n].how, sizeof(f->answers[n].how), "%s", how ? how : "");
	snprintf(f->answers[n].why, sizeof(f->answers[n].why), "%s", why ? why : "");
	f->answers[n].answer = answer;
	agent_question_free(q);
}

static inline void fake_init(struct fake_agent *f)
{
	memset(f, 0, sizeof(*f));
	f->agent.name = "fake";
	list_init(&f->agent.questions);
	fake_current = f;
	if (loop_new(&f->agent.loop) || htable_init(&f->agent.by_id, FAKE_ANSWERS))
		abort();
}

static inline void fake_deinit(struct fake_agent *f)
{
	struct list *questions = &f->agent.questions;

	while (!list_empty(questions))
		agent_question_free(container_of(questions->next, struct agent_question, link));
	htable_deinit(&f->agent.by_id);
	loop_free(f->agent.loop);
}

/* One that waits so long. */
static inline struct agent_question *fake_question(struct fake_agent *f, const char *id,
						   uint64_t ms)
{
	struct agent_question *q;
	char json[200];
	const struct pend_client_question in = {.json = json,
						.id = id,
						.protocol = "tcp",
						.source = "203.0.113.7",
						.dest = "192.0.2.1",
						.interface = "eth0",
						.source_port = 4000,
						.dest_port = 22,
						.rule = 3};

	snprintf(json, sizeof(json), "{\"id\":\"%s\",\"source\":\"203.0.113.7\"}", id);
	q = agent_question_new(&f->agent, &in);
	if (!q)
		abort();
	q->deadline = mono_add(loop_clock(), ms * MONO_NS_PER_MS); /* the loop may not run yet */
	return q;
}

/* As the daemon does, when nobody waits for it any more. */
static inline void fake_withdraw(struct agent_question *q, const struct agent_kind *kind)
{
	kind->withdrawn(q);
	agent_question_free(q);
}

#endif
