/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The policy as a callout: what the daemon answers for a packet. */
#ifndef DAEMON_DECIDE_H
#define DAEMON_DECIDE_H

#include <pend.h>

struct worker;

/* A pend_classify_fn; `context` is a struct worker. */
void decide_classify(void *context, const struct pend_values *v, const struct pend_metadata *meta,
		     const struct pend_packet *packet, struct pend_classify_out *out);

/*
 * The same for the callouts behind it: each can pend a connection once, so there are as many as a connection may be asked
 * about. When the question of one above has got its permit, the next layer that pends asks its own (R18).
 */
void decide_next(void *context, const struct pend_values *v, const struct pend_metadata *meta,
		 const struct pend_packet *packet, struct pend_classify_out *out);

/*
 * What a context's rule and authority are in the policy in force: those that would ask about it now. They are left
 * as they were where no rule would ask, and decide_before() says so.
 */
struct pend_info decide_today(const struct worker *w, const struct pend_info *i);
bool decide_before(const struct worker *w, const struct pend_info *i);

#endif
