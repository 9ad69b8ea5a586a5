/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The last EVENTS_KEPT events, as they came: they become JSON when somebody looks.
 */
#ifndef DAEMON_EVENTS_H
#define DAEMON_EVENTS_H

#include "daemon/msg.h"
#include "daemon/view.h"
#include <jansson.h>
#include <pend.h>

#define EVENTS_KEPT 1024
#define EVENTS_TEXT 160
/* The bit of the daemon's own events (policy loaded, hookup changed) in a mask of types. */
#define EVENTS_NOTE 0u
/* ... and of live flows that were ended, which are the verdict process's main thread's. */
#define EVENTS_ENDED 31u
#define EVENTS_ALL   0xffffffffu
/* What is asked for when nobody follows; the rest costs too much to be kept unseen. */
#define EVENTS_BASE                                                                            \
	(1u << PEND_EVENT_PENDED | 1u << PEND_EVENT_KERNEL_LOST | 1u << PEND_EVENT_COMPLETED | \
	 1u << PEND_EVENT_CLASSIFIED | 1u << PEND_EVENT_LIMIT | 1u << PEND_EVENT_LOOP |        \
	 1u << PEND_EVENT_ANSWERED)

struct event {
	uint64_t seq;            /* from 1 */
	struct pend_event event; /* type EVENTS_NOTE: only now_ns and text count */
	char text[EVENTS_TEXT];  /* notes only */
	/* ended flows only */
	struct reauth_flow flow;
	uint8_t reason; /* enum pend_reason */
	uint32_t generation;
};

struct events; /* the ring */

/* 0 or -ENOMEM. */
int events_new(struct events **out);
void events_free(struct events *r); /* NULL is allowed */
/* Both return the event as it was put in; valid until EVENTS_KEPT more have come. */
const struct event *events_add(struct events *r, const struct pend_event *e);
const struct event *events_note(struct events *r, uint64_t now_ns, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
const struct event *events_ended(struct events *r, uint64_t now_ns, const struct reauth_flow *flow,
				 uint8_t reason, uint32_t generation);
/* How many there have been. */
uint64_t events_count(const struct events *r);
/* By number; NULL if it is gone or still to come. */
const struct event *events_at(const struct events *r, uint64_t seq);

/* Is the event's type in this mask? */
static inline bool event_in(const struct event *e, uint32_t mask)
{
	return (unsigned)e->event.type < 32 && mask & 1u << e->event.type;
}

json_t *event_json(const struct event *e, const struct view *v);

#endif
