/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Giving up rights for good. Each returns 0 or -errno with a sentence in *e; what could not be
 * given up is an error, never a silent success.
 */
#ifndef DAEMON_SANDBOX_H
#define DAEMON_SANDBOX_H

#include "base/err.h"
#include <stdbool.h>

/* A sanitizer's runtime needs system calls of its own. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANDBOX_OFF 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
	__has_feature(memory_sanitizer)
#define SANDBOX_OFF 1
#endif
#endif
#ifndef SANDBOX_OFF
#define SANDBOX_OFF 0
#endif

/*
 * As root: become this user, with its groups. Another uid, or "": nothing to do. A user that does
 * not exist is -ENOENT, and for the caller to judge.
 */
int sandbox_user(const char *user, struct err *e);
/*
 * Empty the bounding set. Needs CAP_SETPCAP, which a change of user takes away: call it first.
 * Without that capability the set stays as it is, which no_new_privs makes powerless.
 */
int sandbox_bounding(struct err *e);
/* No capability in any other set (ambient, permitted, ...), no new privileges, not dumpable. */
int sandbox_capabilities(struct err *e);
/* No core file, no children, so many descriptors. */
int sandbox_limits(unsigned files, struct err *e);
/*
 * Only the system calls that serving needs; anything else kills the process with SIGSYS and a line
 * in the kernel's audit log. A sanitizer's runtime needs others: there this does nothing.
 */
int sandbox_syscalls(struct err *e);

/*
 * The verdict process keeps CAP_NET_ADMIN, with `raw` CAP_NET_RAW, and as root what it takes to
 * restart the authority process as its own user; no new privileges. Children inherit that.
 * CAP_SYS_PTRACE it may give to the resolver, and does not use itself.
 */
int sandbox_verdict(bool raw, struct err *e);
/* The calling thread, and no other, has no capability any more: it computes. */
int sandbox_thread(struct err *e);
/* In the child that will be the resolver, before exec: of what is inherited only CAP_SYS_PTRACE. */
void sandbox_resolver_child(void);
/* The resolver: `user` when root, CAP_SYS_PTRACE alone, so many descriptors, and calls that read
 * files. SANDBOX_BLIND: without that capability it sees processes of its user only. */
enum sandbox_resolved { SANDBOX_SEES, SANDBOX_BLIND };
int sandbox_resolver(const char *user, unsigned files, struct err *e);
/* The calling thread is a worker: it reads packets and sends verdicts, and opens nothing. */
int sandbox_worker(struct err *e);

#endif
