/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside of `type unit`: something is started when a connection waits for it, and stopped when nobody uses it.
 * unit_machine.c decides, and knows neither processes nor sockets; unit_ready.c looks whether somebody listens;
 * unit_run.c has the processes; unit.c puts them together.
 */
#ifndef AGENTS_UNIT_H
#define AGENTS_UNIT_H

#include "base/err.h"
#include "base/mono.h"
#include "io/listener.h"
#include "io/loop.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* ---- the machine ---- */

#define UNIT_START_NS \
	(90 * MONO_NS_PER_S) /* a start that takes longer has failed: as systemd's default */
#define UNIT_STOP_NS (10 * MONO_NS_PER_S) /* then what does not end by SIGTERM is killed */
#define UNIT_POLL_MIN_NS \
	(5 * MONO_NS_PER_MS) /* how often a port that is awaited is looked at: first, */
#define UNIT_POLL_MAX_NS  (200 * MONO_NS_PER_MS) /* ... and at last */
#define UNIT_AGAIN_NS     MONO_NS_PER_S /* after a failure, and twice as long after the next, */
#define UNIT_AGAIN_MAX_NS (60 * MONO_NS_PER_S) /* ... up to this, nothing is started */

enum unit_state { UNIT_DOWN, UNIT_STARTING, UNIT_UP, UNIT_STOPPING };
enum unit_seen {
	UNIT_NOT_READY,
	UNIT_READY,
	UNIT_LATER, /* unit_machine_probed will be called */
};
#define UNIT_STOP_FIRST 1 /* of `start`: something of an earlier one is left */

struct unit_ops {
	enum unit_seen (*probe)(void *ctx);
	bool (*busy)(void *ctx); /* somebody uses it, or that cannot be known */
	/* Begin to start it. 0, UNIT_STOP_FIRST, or -errno with a sentence. */
	int (*start)(void *ctx, struct err *e);
	/* Begin to stop it, or what is left of a start that failed. False: there is nothing to wait for. */
	bool (*stop)(void *ctx, bool failed);
	void (*kill)(void *ctx);    /* what does not stop */
	bool (*waiting)(void *ctx); /* there are questions */
	void (*permit)(void *ctx);  /* answer them all */
	void (*fail)(void *ctx, const char *why);
};

struct unit_machine {
	const struct unit_ops *ops;
	void *ctx;
	uint64_t idle_ns; /* stop after so long without use; 0: never */
	enum unit_state state;
	bool probing;    /* unit_machine_probed is awaited */
	mono_t next;     /* unit_machine_tick is to be called then */
	mono_t deadline; /* STARTING, STOPPING */
	uint64_t poll_ns;
	mono_t used;       /* UP */
	unsigned fails;    /* in a row */
	mono_t not_before; /* nothing is started */
	char why[ERR_TEXT_MAX];
	uint64_t starts, failures, stops; /* counted */
};

/* A question has come, and is among those that `permit` and `fail` answer. */
void unit_machine_question(struct unit_machine *m, mono_t now);
void unit_machine_tick(struct unit_machine *m, mono_t now);
void unit_machine_probed(struct unit_machine *m, bool ready, mono_t now);
/* A start has failed while it was awaited; what failed, as a sentence. */
void unit_machine_failed(struct unit_machine *m, const char *why, mono_t now);
/* What `stop` has begun is done. */
void unit_machine_stopped(struct unit_machine *m, mono_t now);
/* It runs already: its time without use begins. */
void unit_machine_adopt(struct unit_machine *m, mono_t now);

/* ---- is it ready? ---- */

struct unit_target {
	uint8_t protocol; /* IPPROTO_TCP, IPPROTO_UDP; 0: there is no port to look at */
	uint8_t family;   /* 4, 6; 0: at whatever address of this host */
	uint16_t port;
	uint8_t address[16]; /* as struct pend_values has it */
};

/* Text of an address to a target. False: it is none. */
bool unit_target_address(struct unit_target *t, const char *text);
bool unit_target_loopback(const struct unit_target *t);

#define UNIT_TRY_NS   MONO_NS_PER_S /* for a TCP connection to another host */
#define UNIT_FRESH_NS MONO_NS_PER_S /* ... and so long one that came about is good for others */

struct unit_probe {
	struct loop *loop;
	struct listener_diag diag;
	struct unit_target at; /* of the try, and of the last one that came about */
	int fd;                /* of the try; -1 */
	struct loop_timer timer;
	mono_t good_until;
	void (*done)(void *ctx, bool ready); /* for UNIT_LATER */
	void *ctx;
};

void unit_probe_init(struct unit_probe *p, struct loop *l, void (*done)(void *, bool), void *ctx);
void unit_probe_deinit(struct unit_probe *p);
/* Does somebody listen there? A target with a port; UDP at another host is never told. */
enum unit_seen unit_probe(struct unit_probe *p, const struct unit_target *t);
/* At an address of this host, or at none in particular. */
bool unit_target_local(const struct unit_target *t);
/* Has it connections? What cannot be known is one. */
bool unit_busy(struct unit_probe *p, const struct unit_target *t);

/* ---- processes ---- */

/* Start a program without a shell, first of a process group, which ends when this process does. `out`: gets its
 * standard output, or -1: it goes where standard error goes. It is ended by SIGALRM after `seconds`, if not 0. */
pid_t unit_spawn(char *const argv[], const char *authority, int out, unsigned seconds);
/* Signal all that descends from this process. How many there are. */
unsigned unit_tree_signal(int signo);
/* What waitpid said, as words: "ended with status 3". */
void unit_status_text(int status, char *buf, size_t cap);
/* From what `systemctl show` printed: "failed (exit-code)". False: it has not failed. */
bool unit_state_failed(const char *shown, char *buf, size_t cap);

#endif
