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
/* A socket that is readable when a link changed, or -errno. */
int ifaces_watch(void);
/* Read away what waits there. */
void ifaces_drain(int fd);

#endif
