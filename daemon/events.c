/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ring of events; see events.h. */
#include "daemon/events.h"
#include "daemon/control_json.h"
#include "daemon/reauth_json.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct events {
	uint64_t count;
	struct event ring[EVENTS_KEPT];
};

int events_new(struct events **out)
{
	struct events *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	*out = r;
	return 0;
}

void events_free(struct events *r)
{
	free(r);
}

static struct event *next(struct events *r)
{
	struct event *e = &r->ring[r->count++ % EVENTS_KEPT];

	e->seq = r->count;
	return e;
}

const struct event *events_add(struct events *r, const struct pend_event *event)
{
	struct event *e = next(r);

	e->event = *event;
	e->text[0] = '\0';
	return e;
}

const struct event *events_note(struct events *r, uint64_t now_ns, const char *fmt, ...)
{
	struct event *e = next(r);
	va_list ap;

	e->event = (struct pend_event){.now_ns = now_ns};
	va_start(ap, fmt);
	vsnprintf(e->text, sizeof(e->text), fmt, ap);
	va_end(ap);
	return e;
}

const struct event *events_ended(struct events *r, uint64_t now_ns, const struct reauth_flow *flow,
				 uint8_t reason, uint32_t generation)
{
	struct event *e = next(r);

	e->event = (struct pend_event){.now_ns = now_ns};
	memcpy(&e->event.type, &(uint32_t){EVENTS_ENDED}, sizeof(uint32_t));
	e->text[0] = '\0';
	e->flow = *flow;
	e->reason = reason;
	e->generation = generation;
	return e;
}

uint64_t events_count(const struct events *r)
{
	return r->count;
}

const struct event *events_at(const struct events *r, uint64_t seq)
{
	if (seq == 0 || seq > r->count || r->count - seq >= EVENTS_KEPT)
		return NULL;
	return &r->ring[(seq - 1) % EVENTS_KEPT];
}

static json_t *ended_json(const struct event *e, const struct view *v)
{
	const char *reason = reauth_reason_name(e->reason);
	json_t *o = reauth_flow_json(&e->flow,
				     v->generation == e->generation ? v->classifier : NULL);

	json_object_set_new(o, "type", json_string("ended"));
	if (reason)
		json_object_set_new(o, "reason", json_string(reason));
	json_object_set_new(o, "generation", json_integer((json_int_t)e->generation));
	return o;
}

json_t *event_json(const struct event *e, const struct view *v)
{
	json_t *o;

	if ((unsigned)e->event.type == EVENTS_NOTE) {
		o = json_object();
		json_object_set_new(o, "type", json_string("note"));
		json_object_set_new(o, "text", cj_text(e->text));
	} else if ((unsigned)e->event.type == EVENTS_ENDED) {
		o = ended_json(e, v);
	} else {
		o = cj_event(&e->event, v);
	}
	json_object_set_new(o, "seq", json_integer((json_int_t)e->seq));
	json_object_set_new(o, "time", cj_time(e->event.now_ns));
	return o;
}
