/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The names of the interfaces, for rules that name one: kept up to date from rtnetlink's link
 * events and handed to each worker as a copy of its own.
 */
#ifndef DAEMON_IFACES_H
#define DAEMON_IFACES_H

#include "core/classify.h"

/* The table as it is now, malloced; NULL when out of memory or the kernel does not say. */
struct classify_ifaces *ifaces_read(void);
struct classify_ifaces *ifaces_copy(const struct classify_ifaces *t); /* NULL: out of memory */
/* A socket that is readable when a link or an address changed, or -errno. */
int ifaces_watch(void);
/* ... and a route too, or not. */
void ifaces_watch_routes(int fd, bool on);

enum { IFACES_LINK = 1, IFACES_ADDRESS = 2, IFACES_ROUTE = 4 };

/* Read away what waits there: which of these have changed. All of them when some events were lost. */
unsigned ifaces_drain(int fd);
/*
 * A number that is another one when interfaces are: which there are, their names, to what bridge or bond they
 * belong, their addresses. Not their traffic, nor how long an address is good for. 0: the kernel does not say.
 */
uint64_t ifaces_digest(void);

#endif
