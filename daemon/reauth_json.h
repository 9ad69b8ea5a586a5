/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Live flows that were ended, as people and programs are told of them. */
#ifndef DAEMON_REAUTH_JSON_H
#define DAEMON_REAUTH_JSON_H

#include "core/classify.h"
#include "daemon/msg.h"
#include <jansson.h>

/* "policy-change"; NULL for values that are none. */
const char *reauth_reason_name(unsigned reason);
/* The tuple, and the rule by number; by name too when its policy is known (NULL: it is not). */
json_t *reauth_flow_json(const struct reauth_flow *f, const struct classifier *c);
/* Reads the flows of a MSG_REAUTHORIZED out of its memory file; how many there are. */
unsigned reauth_flows_read(const struct msg_reauth *m, int fd, struct reauth_flow flow[MSG_FLOWS]);

#endif
