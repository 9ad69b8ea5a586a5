/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What an agent has, and its table of questions; see agent_self.h. */
#include "agents/agent_self.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
	return a->name;
}

const char *agent_socket(const struct agent *a)
{
	return a->socket;
}

/* ---- questions ---- */

/* FNV-1a: ids are the daemon's, which has no reason to make them collide. */
static uint32_t hash_id(const char *id)
{
	uint32_t h = 2166136261u;

	for (; *id; id++)
		h = (h ^ (unsigned char)*id) * 16777619u;
	return h;
}

void agent_question_free(struct agent_question *q)
{
	list_del(&q->link);
	htable_del(&q->agent->by_id, &q->by_id);
	q->agent->open--;
	free(q->json);
	free(q);
}

struct agent_question *agent_question_find(const struct agent *a, const char *id)
{
	uint32_t h = hash_id(id);

	for (struct hnode *n = htable_first(&a->by_id, h); n; n = htable_next(n, h)) {
		struct agent_question *q = container_of(n, struct agent_question, by_id);

		if (strcmp(q->id, id) == 0)
			return q;
	}
	return NULL;
}

struct agent_question *agent_question_new(struct agent *a, const struct pend_client_question *in)
{
	struct agent_question *q = a->open < AGENT_QUESTIONS ? calloc(1, sizeof(*q)) : NULL;

	if (!q)
		return NULL;
	q->json = strdup(in->json);
	if (!q->json) {
		free(q);
		return NULL;
	}
	q->agent = a;
	snprintf(q->id, sizeof(q->id), "%s", in->id);
	snprintf(q->protocol, sizeof(q->protocol), "%s", in->protocol);
	snprintf(q->source, sizeof(q->source), "%s", in->source);
	snprintf(q->dest, sizeof(q->dest), "%s", in->dest);
	snprintf(q->interface, sizeof(q->interface), "%s", in->interface);
	q->source_port = in->source_port;
	q->dest_port = in->dest_port;
	q->rule = in->rule;
	q->deadline = mono_add(loop_now(a->loop), in->remaining_ms * MONO_NS_PER_MS);
	list_add_tail(&a->questions, &q->link);
	htable_add(&a->by_id, &q->by_id, hash_id(q->id));
	a->open++;
	return q;
}
