/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * JSON of the control protocol: strict reading of requests, and the objects of the replies.
 * docs/protocol.md is the specification of every name here.
 */
#ifndef DAEMON_CONTROL_JSON_H
#define DAEMON_CONTROL_JSON_H

#include "base/err.h"
#include "base/mono.h"
#include "daemon/msg.h"
#include "daemon/notes.h"
#include "daemon/view.h"
#include <jansson.h>

#define JSON_DEPTH_MAX 16

/*
 * One value, the whole line; no duplicate keys, no NULs, at most JSON_DEPTH_MAX levels. NULL, with
 * the reason in *e.
 */
json_t *cj_parse(const char *line, size_t len, struct err *e);
/* A JSON string of any bytes: what is not printable is escaped as \xNN. */
json_t *cj_text(const char *s);
/* As cj_text, of a field that need not be terminated. */
json_t *cj_field(const char *s, size_t size);
/* "2026-01-31T12:00:00.000Z" for a time of CLOCK_BOOTTIME. */
json_t *cj_time(uint64_t boottime_ns);

json_t *cj_wall_time(int64_t ms); /* ... for a time of the wall clock */

/* Names; NULL for values that are none. */
const char *cj_state_name(unsigned state);       /* "pended" */
const char *cj_event_name(unsigned type);        /* "retransmit" */
const char *cj_block_name(unsigned block);       /* "reset" */
const char *cj_verdict_name(unsigned verdict);   /* "permit" */
const char *cj_reason_name(unsigned reason);     /* "operator", of a MSG_REASON too */
const char *cj_scope_name(unsigned scope);       /* "service" */
const char *cj_status_code(int32_t pend_status); /* "not-found" */
/* And back: -1 if it is none. */
int cj_event_parse(const char *name);
int cj_block_parse(const char *name);
int cj_verdict_parse(const char *name);

/*
 * `remember` and `scope` of a decision; where they are missing, as the rule says. 0, or -EINVAL with a sentence in *e.
 */
int cj_lasting(const json_t *o, struct msg_lasting *out, struct err *e);
/* `why` as it is kept: printable, cut after NOTES_WHY_MAX bytes; "" without one. -EINVAL: it is no text. */
int cj_why(const json_t *o, char out[NOTES_WHY_MAX + 1], struct err *e);

/* A pended or ended context. `now` is CLOCK_BOOTTIME. */
json_t *cj_context(const struct pend_info *info, const struct view *v, mono_t now);
/* Without sequence number and time, which the ring knows. */
json_t *cj_event(const struct pend_event *event, const struct view *v);
/* Every counter of the engine by its name. */
json_t *cj_stats(const struct pend_stats *s);
void cj_stats_add(struct pend_stats *sum, const struct pend_stats *s);

/*
 * The conditions source, family, protocol, port, authority, rule of `args` (absent ones match
 * everything). *any: was there one? 0, or -EINVAL with a sentence in *e.
 */
int cj_match(const json_t *args, const struct view *v, struct msg_match *out, bool *any,
	     struct err *e);
/* The first key of a match that is not one of these; NULL. */
const char *cj_match_unknown(json_t *match);

#endif
