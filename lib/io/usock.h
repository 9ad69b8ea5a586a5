/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A server of newline-separated lines on a Unix stream socket, for clients that are not trusted.
 *
 * Each client's credentials are those of the kernel at the time of its connect. Every buffer has a
 * bound: a line longer than line_max, or output beyond out_max, ends the client and nobody else; a
 * client that lets more than out_high wait is not read from until less than out_low is left; one
 * that takes nothing at all for stall_ns is closed. The callbacks run from inside the loop; they
 * may send, close and kill any client, their own included.
 */
#ifndef IO_USOCK_H
#define IO_USOCK_H

#include "io/loop.h"
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define USOCK_GROUPS 64 /* further supplementary groups of a client are not looked at */

struct usock;        /* the server */
struct usock_client; /* valid from `open` until `closed` has returned */

struct usock_peer {
	pid_t pid;
	uid_t uid;
	gid_t gid;
	gid_t groups[USOCK_GROUPS];
	unsigned ngroups;
};

struct usock_handler {
	/* A new client. Sending is possible; usock_close refuses it politely. */
	void (*open)(void *ctx, struct usock_client *c);
	/* A whole line without its newline, NUL-terminated, maybe with NULs inside; writable. */
	void (*line)(void *ctx, struct usock_client *c, char *line, size_t len);
	/* The line is too long: the client is closed after what this sends. */
	void (*overlong)(void *ctx, struct usock_client *c);
	/* The client will say no more, but may still read: close it now or when all is answered. */
	void (*eof)(void *ctx, struct usock_client *c);
	/* Output fell to half of out_low after it was above out_low. */
	void (*drained)(void *ctx, struct usock_client *c);
	/* The last call for this client. */
	void (*closed)(void *ctx, struct usock_client *c);
};

struct usock_limits {
	unsigned max_clients;
	unsigned reserve; /* further places for root and our own user: nobody locks them out */
	size_t line_max;
	size_t out_high, out_low, out_max;
	uint64_t stall_ns;
	const char *refusal; /* a line for those above max_clients; kept by reference */
};

struct usock_stats {
	uint64_t accepted, refused, overlong, overrun, stalled;
	unsigned clients, clients_peak;
};

enum usock_result {
	USOCK_FULL = 1, /* usock_send: the client is over out_max and is being closed */
};

/* `listen_fd` becomes the server's on success; handler and limits are copied. 0 or -errno. */
int usock_new(struct usock **out, struct loop *l, int listen_fd, const struct usock_handler *h,
	      void *ctx, const struct usock_limits *limits);
/* Closes all clients (`closed` is called for each). NULL is allowed. Not from inside a callback. */
void usock_free(struct usock *s);
/* Send what was gathered and free closed clients: call it from the loop's idle function. */
void usock_flush(struct usock *s);
/* Nothing waits to be sent to anybody. */
bool usock_all_sent(const struct usock *s);
const struct usock_stats *usock_stats(const struct usock *s);

/* Queue bytes for a client; usock_flush sends. 0 or USOCK_FULL. Ignored for one that is closing. */
int usock_send(struct usock_client *c, const void *data, size_t len);
/* No further input; closed once the output is sent (or stalls). */
void usock_close(struct usock_client *c);
/* Closed at the next usock_flush, output thrown away. */
void usock_kill(struct usock_client *c);
/* More than out_high waits: hold back what can wait until `drained`. Its lines are not read until then. */
bool usock_backlogged(const struct usock_client *c);
/*
 * More than out_low waits. What a client has not asked for is held back from here on until `drained`: if it
 * filled the output up to out_high again and again, the client's lines would never be read.
 */
bool usock_busy(const struct usock_client *c);
/* Bytes that wait. */
size_t usock_waiting(const struct usock_client *c);
const struct usock_peer *usock_peer(const struct usock_client *c);
void usock_set_user(struct usock_client *c, void *user);
void *usock_user(const struct usock_client *c);

/* Credentials of the other end, supplementary groups included. 0 or -errno. */
int usock_peer_get(int fd, struct usock_peer *out);
/* Is the peer in this group? */
bool usock_peer_in(const struct usock_peer *p, gid_t gid);

#endif
