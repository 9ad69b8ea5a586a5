/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Telling the service manager: the sd_notify protocol, one datagram a message. Nothing happens
 * without $NOTIFY_SOCKET. */
#ifndef DAEMON_NOTIFY_H
#define DAEMON_NOTIFY_H

#include <stdint.h>

/* Reads and removes the variables from the environment. */
void notify_open(void);
void notify_send(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Keep this descriptor over a restart, under this name; it stays the caller's. */
void notify_store_fd(int fd, const char *name);
/* A stored descriptor that was handed back, or -1. The caller owns it. Call once, at start. */
int notify_take_fd(const char *name);
/* Nanoseconds between two WATCHDOG=1 messages, 0 if none are wanted. */
uint64_t notify_watchdog_ns(void);

#endif
