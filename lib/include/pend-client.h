/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libpend-client: talk to pendd over its control socket, as pendctl does.
 *
 * Requests and replies are JSON texts (docs/protocol.md has them all); the library connects, frames,
 * numbers requests, matches replies and checks what the server sends. It links nothing but libc and
 * a JSON library, so that programs under any licence may use it.
 *
 * Two ways to use it. Blocking: pend_client_connect, then pend_client_call and the helpers. In an
 * event loop: the same connection with pend_client_fd, pend_client_send, pend_client_read and
 * pend_client_flush; or, for a program that does its own input and output, pend_client_feed with
 * the bytes and pend_client_output for those to send.
 *
 * Threads: a client belongs to one thread at a time. Nothing is global. No signal is raised.
 */
#ifndef PEND_CLIENT_H
#define PEND_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PEND_CLIENT_API __attribute__((visibility("default")))

#define PEND_CLIENT_SOCKET   "/run/pend/control.sock"
#define PEND_CLIENT_PROTOCOL 1
#define PEND_CLIENT_LINE_MAX (8u << 20) /* a longer line of the server is an error */

enum pend_client_error {
	PEND_CLIENT_OK = 0,
	PEND_CLIENT_E_NOT_RUNNING, /* nobody listens there, or there is no such socket */
	PEND_CLIENT_E_DENIED,      /* the socket, or the daemon, refuses this user */
	PEND_CLIENT_E_BUSY,        /* the daemon has too many clients */
	PEND_CLIENT_E_TIMEOUT,
	PEND_CLIENT_E_CLOSED,   /* the daemon ended the connection */
	PEND_CLIENT_E_PROTOCOL, /* it sent what is not the protocol, or another version of it */
	PEND_CLIENT_E_REMOTE,   /* it answered with an error: pend_client_code() */
	PEND_CLIENT_E_INVALID,  /* an argument of the caller */
	PEND_CLIENT_E_NO_MEMORY,
	PEND_CLIENT_E_SYSTEM, /* errno, at the time */
};

struct pend_client;

/* One sentence; never NULL. */
PEND_CLIENT_API const char *pend_client_error_text(enum pend_client_error e);

/*
 * Connect (NULL: PEND_CLIENT_SOCKET) and read the greeting, within timeout_ms (-1: no limit). The
 * client is written also on failure, unless memory ran out, so that pend_client_message can say more;
 * close it in any case.
 */
PEND_CLIENT_API enum pend_client_error pend_client_connect(struct pend_client **out,
							   const char *path, int timeout_ms);
/* A client without a socket, for pend_client_feed. NULL: out of memory. */
PEND_CLIENT_API struct pend_client *pend_client_new(void);
/* NULL is allowed. */
PEND_CLIENT_API void pend_client_close(struct pend_client *c);

/* From the greeting; "" before it came. Valid until close. */
PEND_CLIENT_API const char *pend_client_version(const struct pend_client *c);
PEND_CLIENT_API const char *pend_client_role(const struct pend_client *c);
/* Of the last failure: the server's code ("not-found"; "" if it was none of its), and a sentence. */
PEND_CLIENT_API const char *pend_client_code(const struct pend_client *c);
PEND_CLIENT_API const char *pend_client_message(const struct pend_client *c);

/* ---------------------------------------------------------------- blocking use ---- */

/* An object's JSON text; valid during the call. false: stop waiting (pend_client_call returns OK). */
typedef bool (*pend_client_fn)(void *ctx, const char *json);

/*
 * One request: `op`, and its arguments as the text of a JSON object (NULL: none). Waits for the
 * reply; each part of a long one is handed to `part` (NULL: parts are not wanted), and so is the last. On
 * PEND_CLIENT_OK *result (may be NULL) is the text of the last part, malloced, freed by the caller. It is also
 * set, else NULL, with PEND_CLIENT_E_REMOTE when the error came with a result. timeout_ms bounds
 * the time between two lines of the server.
 */
PEND_CLIENT_API enum pend_client_error pend_client_call(struct pend_client *c, const char *op,
							const char *args, int timeout_ms,
							pend_client_fn part, void *ctx,
							char **result);
/*
 * Wait for events (after an `events` request with "follow") until fn returns false: OK. With
 * timeout_ms -1 that may take for ever. Events that came during other calls are not lost.
 */
PEND_CLIENT_API enum pend_client_error pend_client_events(struct pend_client *c, int timeout_ms,
							  pend_client_fn fn, void *ctx);

enum pend_client_verdict { PEND_CLIENT_PERMIT, PEND_CLIENT_BLOCK };

/* Complete one pended connection by id ("a0.1"). `how`: NULL, "drop", "reset" or "unreachable". */
PEND_CLIENT_API enum pend_client_error pend_client_complete(struct pend_client *c, const char *id,
							    enum pend_client_verdict v,
							    const char *how, int timeout_ms);

/* ------------------------------------------------------------------ event loops ---- */

/* To poll for input, and for output while pend_client_wants_write. -1 without a socket. */
PEND_CLIENT_API int pend_client_fd(const struct pend_client *c);
PEND_CLIENT_API bool pend_client_wants_write(const struct pend_client *c);
/* Queue a request; *id (may be NULL) is the number its replies will have. Does not block. */
PEND_CLIENT_API enum pend_client_error pend_client_send(struct pend_client *c, const char *op,
							const char *args, uint64_t *id);
/* Send what is queued, as far as the socket takes it. */
PEND_CLIENT_API enum pend_client_error pend_client_flush(struct pend_client *c);
/*
 * Read what is there and hand each line of the server (replies and events, as JSON objects) to fn.
 * fn may not close the client. Its result is not used here.
 */
PEND_CLIENT_API enum pend_client_error pend_client_read(struct pend_client *c, pend_client_fn fn,
							void *ctx);
/* As pend_client_read, with bytes that the caller has read. */
PEND_CLIENT_API enum pend_client_error pend_client_feed(struct pend_client *c, const void *data,
							size_t len, pend_client_fn fn, void *ctx);
/* The bytes to be sent; pend_client_sent says how many of them were. */
PEND_CLIENT_API const void *pend_client_output(const struct pend_client *c, size_t *len);
PEND_CLIENT_API void pend_client_sent(struct pend_client *c, size_t len);

#ifdef __cplusplus
}
#endif
#endif
