/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The sockets of a library that wants to be told which of them is ready: there are few, and they come and go. */
#ifndef AGENTS_WATCH_H
#define AGENTS_WATCH_H

#include "base/list.h"
#include "io/loop.h"

struct watches {
	struct loop *loop;
	/* May change what is watched, this descriptor included. */
	void (*ready)(void *ctx, int fd, uint32_t events);
	void *ctx;
	struct list all;
};

void watches_init(struct watches *w, struct loop *loop,
		  void (*ready)(void *ctx, int fd, uint32_t events), void *ctx);
/* Wait for these events of the descriptor from now on; 0: for none, it may be closed. 0 or -errno. */
int watches_set(struct watches *w, int fd, uint32_t events);
void watches_deinit(struct watches *w);

#endif
