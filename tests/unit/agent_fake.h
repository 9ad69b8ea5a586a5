/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The agent around a kind, for its tests: what agents/agent.c offers, without a daemon. Include it in one file of the
 * program; agents/agent.c is then not linked. Questions are made with fake_question(), answers are kept.
 */
#ifndef TESTS_UNIT_AGENT_FAKE_H
#define TESTS_UNIT_AGENT_FAKE_H

#include "agents/agent.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FAKE_ANSWERS 4096

struct agent {
	struct loop *loop;
	struct list questions;
	void *data;
	unsigned nanswers, nlogged;
	bool failed, quiet;
	struct {
		char id[40], how[16], why[256];
		enum pend_client_answer answer;
	} answers[FAKE_ANSWERS];
	char logged[512]; /* the last line */
};

struct loop *agent_loop(struct agent *a)
{
	return a->loop;
}

struct list *agent_questions(struct agent *a)
{
	return &a->questions;
}

void *agent_data(const struct agent *a)
{
	return a->data;
}

void agent_set_data(struct agent *a, void *data)
{
	a->data = data;
}

const char *agent_name(const struct agent *a)
{
	(void)a;
	return "fake";
}

static void fake_log(struct agent *a, const char *fmt, va_list ap)
	__attribute__((format(printf, 2, 0)));

static void fake_log(struct agent *a, const char *fmt, va_list ap)
{
	vsnprintf(a->logged, sizeof(a->logged), fmt, ap);
	a->nlogged++;
}

static struct agent *fake_current; /* agent_log has a const one */

void agent_log(const struct agent *a, const char *fmt, ...)
{
	va_list ap;

	(void)a;
	va_start(ap, fmt);
	fake_log(fake_current, fmt, ap);
	va_end(ap);
}

void agent_fail(struct agent *a, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fake_log(a, fmt, ap);
	va_end(ap);
	a->failed = true;
}

static void fake_question_free(struct agent_question *q)
{
	list_del(&q->link);
	free(q->json);
	free(q);
}

void agent_answer(struct agent_question *q, enum pend_client_answer answer, const char *how,
		  const char *why)
{
	struct agent *a = q->agent;
	unsigned n = a->nanswers < FAKE_ANSWERS ? a->nanswers++ : FAKE_ANSWERS - 1;

	snprintf(a->answers[n].id, sizeof(a->answers[n].id), "%s", q->id);
	snprintf(a->answers[n].how, sizeof(a->answers[n].how), "%s", how ? how : "");
	snprintf(a->answers[n].why, sizeof(a->answers[n].why), "%s", why ? why : "");
	a->answers[n].answer = answer;
	fake_question_free(q);
}

static inline void fake_init(struct agent *a)
{
	memset(a, 0, sizeof(*a));
	list_init(&a->questions);
	fake_current = a;
	if (loop_new(&a->loop))
		abort();
}

static inline void fake_deinit(struct agent *a)
{
	while (!list_empty(&a->questions))
		fake_question_free(container_of(a->questions.next, struct agent_question, link));
	loop_free(a->loop);
}

/* One that waits so long. */
static inline struct agent_question *fake_question(struct agent *a, const char *id, uint64_t ms)
{
	struct agent_question *q = calloc(1, sizeof(*q));
	char json[200];

	if (!q)
		abort();
	snprintf(json, sizeof(json), "{\"id\":\"%s\",\"source\":\"203.0.113.7\"}", id);
	q->json = strdup(json);
	q->agent = a;
	snprintf(q->id, sizeof(q->id), "%s", id);
	snprintf(q->protocol, sizeof(q->protocol), "tcp");
	snprintf(q->source, sizeof(q->source), "203.0.113.7");
	snprintf(q->dest, sizeof(q->dest), "192.0.2.1");
	snprintf(q->interface, sizeof(q->interface), "eth0");
	q->source_port = 4000;
	q->dest_port = 22;
	q->rule = 3;
	q->deadline = mono_add(loop_clock(), ms * MONO_NS_PER_MS);
	list_add_tail(&a->questions, &q->link);
	return q;
}

/* As the daemon does, when nobody waits for it any more. */
static inline void fake_withdraw(struct agent_question *q, const struct agent_kind *kind)
{
	kind->withdrawn(q);
	fake_question_free(q);
}

#endif
