/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which authorities of the policy have a program of ours (agents/), which of these run, and when one is
 * started or ended. It knows neither processes nor clocks: pendd_agents.c has the former, and `now` is given.
 *
 * One process for each; one whose definition changed is ended and started anew; one that ends by itself is
 * started again, ever slower. What does not end by SIGTERM is killed after AGENTS_GRACE_NS.
 */
#ifndef DAEMON_AGENTS_H
#define DAEMON_AGENTS_H

#include "base/list.h"
#include "base/mono.h"
#include "core/classify.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define AGENTS_GRACE_NS   (2 * MONO_NS_PER_S)
#define AGENTS_CALM_NS    (60 * MONO_NS_PER_S)
#define AGENTS_BACKOFF_MS 100u
#define AGENTS_SLOWEST_MS 10000u
#define AGENTS_FAILING    2 /* ends in a row: one that fails */

#define AGENTS_ID_NONE UINT32_MAX /* as struct classify_authority has it */

/* An authority's program, as it is to be started. */
struct agents_start {
	const char *name;
	uint32_t uid, gid;   /* AGENTS_ID_NONE: not said */
	uint32_t generation; /* of the policy that defines it */
};

struct agents_env {
	void *ctx;
	/* The process, first of a group of its own; or -errno. */
	pid_t (*start)(void *ctx, const struct agents_start *s);
	void (*signal)(void *ctx, pid_t group, int signo);
	/* May we start it as this user? Else somebody else has to. */
	bool (*may)(void *ctx, uint32_t uid, uint32_t gid);
};

struct agents_stats {
	uint32_t wanted, running;
	uint32_t failing; /* not running, having ended AGENTS_FAILING times in a row */
	uint32_t foreign; /* ours to define, somebody else's to run: not in `wanted` */
	uint64_t restarts;
};

struct agents {
	struct agents_env env;
	struct list all;
	uint64_t restarts;
};

void agents_init(struct agents *a, const struct agents_env *env);
/* Forgets them all; what still runs is the caller's to end. */
void agents_deinit(struct agents *a);
/*
 * The authorities of the policy that is in force from now on; those that are not ours are left out here. Call
 * agents_work() then. 0 or -ENOMEM: some of them are not known.
 */
int agents_want(struct agents *a, const struct classify_authority *list, uint32_t n,
		uint32_t generation, mono_t now);
/* None is wanted any more: all are told to end. */
void agents_end(struct agents *a, mono_t now);
/* Start and kill what is due; returns when it has to be called next, at the latest. */
mono_t agents_work(struct agents *a, mono_t now);
/* This process has ended, with the status of wait(2). False: it is none of these. */
bool agents_ended(struct agents *a, pid_t pid, int status, mono_t now);
/* The processes, one after the other: behind `pid`, 0 for the first; 0: there are no more. */
pid_t agents_next(const struct agents *a, pid_t pid);
void agents_stats(const struct agents *a, struct agents_stats *out);

#endif
