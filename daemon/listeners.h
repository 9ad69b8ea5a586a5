/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What rules may ask of the socket that would take a packet, for one thread that decides. The
 * socket and its user are asked of the kernel for each packet anew. What only /proc and the
 * cgroup tree know is asked of the resolver process (resolver.h), kept for LISTENERS_FRESH_NS,
 * and waited for no longer than LISTENERS_WAIT_NS. What is not told by then is unknown to this
 * packet.
 */
#ifndef DAEMON_LISTENERS_H
#define DAEMON_LISTENERS_H

#include "base/mono.h"
#include "core/classify.h"
#include "daemon/msg.h"

#define LISTENERS_FRESH_NS MONO_NS_PER_S
#define LISTENERS_WAIT_NS  (50 * MONO_NS_PER_MS)
/* After a wait in vain nobody waits, until an answer comes or this has passed. */
#define LISTENERS_QUIET_NS MONO_NS_PER_S

/* Of each second a thread waits for no longer than this in all: others' packets stand behind it. Then it asks without
 * waiting, and a peer's next packet finds the answer. */
#define LISTENERS_SHARE_NS (200 * MONO_NS_PER_MS)

/* No packet stands behind who is patient: one wait may take so long. */
#define LISTENERS_PATIENT_NS (200 * MONO_NS_PER_MS)

struct listeners;

int listeners_new(struct listeners **out); /* 0 or -ENOMEM */
void listeners_free(struct listeners *l);  /* NULL is allowed */
/* A channel to a new resolver; taken over. From any thread; the others are the owner's. */
void listeners_connect(struct listeners *l, int fd);
/*
 * What follows is one look at many flows: until `patience_ns` is waited up there is no share and no quiet time, and what
 * is told to it holds until the next such call. NULL is allowed.
 */
void listeners_patient(struct listeners *l, uint64_t patience_ns);
/* For struct classify_context.listener; `listeners` may be NULL: nothing is known. */
const struct classify_listener *listeners_find(void *listeners, const struct pend_values *v,
					       unsigned need);
/* The last find lacks what the resolver did not tell in time: the next may have it. */
bool listeners_late(const struct listeners *l);
void listeners_count(const struct listeners *l, struct listeners_counts *out);

#endif
