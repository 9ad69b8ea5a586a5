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

/* ------------------------------------------------------------------ authorities ---- */

/*
 * Answering: a server serves one authority of the policy. It connects, says so, is put questions and
 * answers them, at once or later, in any order; when the connection ends it connects again, ever
 * slower up to 5 s, until it is stopped. Questions whose time is over, or that somebody else has
 * answered, are withdrawn; an answer to one of those does no harm.
 */
struct pend_client_server;

struct pend_client_question {
	const char *id;                        /* "a0.1": to answer with */
	const char *authority;                 /* of the policy: the one that is served */
	const char *protocol;                  /* "tcp", or a number */
	const char *source, *dest, *interface; /* "" where not known */
	uint16_t source_port, dest_port;
	uint32_t rule, generation; /* as `pendctl rules` numbers them */
	uint32_t retransmits;
	uint64_t remaining_ms;
	const char *json; /* all of it, as an object */
};

enum pend_client_answer {
	PEND_CLIENT_ANSWER_PERMIT,
	PEND_CLIENT_ANSWER_BLOCK,
	PEND_CLIENT_ANSWER_CONTINUE, /* no opinion: the next authority is asked */
	PEND_CLIENT_ANSWER_ERROR,    /* could not find out: the authority's on-error decides */
	PEND_CLIENT_ANSWER_LATER,    /* not yet: pend_client_server_answer will be called */
};

/* A code that a person has brought (`pendctl unlock`), for an authority that codes open. */
struct pend_client_unlock {
	uint64_t token; /* to answer with */
	const char *authority;
	const char *source; /* the address that is to be let in */
	const char *code;   /* 1 to 64 printable bytes */
	const char *user;   /* who brought it, by the kernel's word; "" without a name */
	uint32_t uid;
};

/* Called from inside pend_client_server_run and _process. All but `question` may be NULL. */
struct pend_client_handlers {
	/* What it points at is valid during the call; keep a copy of the id. */
	enum pend_client_answer (*question)(void *ctx, struct pend_client_server *s,
					    const struct pend_client_question *q);
	void (*withdrawn)(void *ctx, struct pend_client_server *s, const char *id, const char *why);
	/* It serves (again), or why it does not: then it tries again by itself. */
	void (*state)(void *ctx, struct pend_client_server *s, bool serving, const char *why);
	/* Answer with pend_client_server_unlocked, now or within 5 s. Without this every code is refused. What
	 * `u` points at is valid during the call. */
	void (*unlock)(void *ctx, struct pend_client_server *s, const struct pend_client_unlock *u);
	/* Close what codes have opened, for `u->source` or, where that is "", for all; there is no code. Answer
	 * with pend_client_server_unlocked, too. */
	void (*lock)(void *ctx, struct pend_client_server *s, const struct pend_client_unlock *u);
};

/* `handlers` is copied. NULL path: PEND_CLIENT_SOCKET. max: questions open at once, 0: 1000. NULL: out
 * of memory. Does not connect yet. */
PEND_CLIENT_API struct pend_client_server *
pend_client_server_new(const char *path, const char *authority, uint32_t max,
		       const struct pend_client_handlers *handlers, void *ctx);
PEND_CLIENT_API void pend_client_server_free(struct pend_client_server *s); /* NULL is allowed */
/*
 * From the next connection on, promise a sign of life every so many seconds (1 to 3600; 0, the default: none). The
 * library gives them by itself, as long as _run or _process gets its turn that often; the daemon gives the questions
 * of a program that has stopped to others, and the program serves again when it goes on.
 */
PEND_CLIENT_API void pend_client_server_heartbeat(struct pend_client_server *s, unsigned seconds);
/*
 * What the daemon did not take, and why: "not-found" (the question is over, or there was none), "not-yours" (asked of
 * another program), "invalid". `id` "": a whole line, or an answer without an id that could be told. Without a handler,
 * the default, nothing is told; such a question ends by its time.
 */
typedef void (*pend_client_refused_fn)(void *ctx, struct pend_client_server *s, const char *id,
				       const char *code);
PEND_CLIENT_API void pend_client_server_on_refused(struct pend_client_server *s,
						   pend_client_refused_fn fn);
/*
 * What comes and is not about serving: replies to requests that the program has sent by pend_client_server_client, and
 * events, as JSON objects. Without a handler, the default, they are passed over.
 */
typedef void (*pend_client_line_fn)(void *ctx, struct pend_client_server *s, const char *json);
PEND_CLIENT_API void pend_client_server_on_line(struct pend_client_server *s,
						pend_client_line_fn fn);
/* Serve until pend_client_server_stop; blocks. PEND_CLIENT_OK, or E_NO_MEMORY. */
PEND_CLIENT_API enum pend_client_error pend_client_server_run(struct pend_client_server *s);
/* From inside a handler, or from a signal handler. */
PEND_CLIENT_API void pend_client_server_stop(struct pend_client_server *s);
/*
 * An answer with all that can be said about it. Begin with PEND_CLIENT_SAY: what is NULL then is as the rule says. It
 * may get more members; `size` tells which of them the program knows.
 */
struct pend_client_say {
	size_t size; /* of this structure */
	enum pend_client_answer answer;
	const char *how; /* of a block: "drop", "reset" or "unreachable" */
	const char *why; /* a text for the record, of at most 200 bytes */
	/* how long it holds for others: "8h", from "1s" to "365d"; "" not, also where the rule does */
	const char *remember;
	const char *scope; /* for whom: "service", "source" or "flow" */
	/* As the question has it: where the program serves others over the same connection
	 * (pend_client_server_client), and may be asked about one id for several. */
	const char *authority;
};

#define PEND_CLIENT_SAY(what)                                                        \
	{                                                                            \
		sizeof(struct pend_client_say), (what), NULL, NULL, NULL, NULL, NULL \
	}

/*
 * The answer to a question that was put off. Sent with the next _process or _run round. E_INVALID: no id, or a value
 * that the daemon would not take, and then nothing is sent; or not connected: the question was withdrawn with the connection.
 */
PEND_CLIENT_API enum pend_client_error pend_client_server_say(struct pend_client_server *s,
							      const char *id,
							      const struct pend_client_say *say);
/*
 * The same, less to say. `how` (of a block): NULL, "drop", "reset" or
 * "unreachable"; `why`: a short text for the record, or NULL. Sent with the next _process or _run round. E_INVALID:
 * no id, or not connected: the question was withdrawn with the connection.
 */
PEND_CLIENT_API enum pend_client_error pend_client_server_answer(struct pend_client_server *s,
								 const char *id,
								 enum pend_client_answer answer,
								 const char *how, const char *why);
/*
 * What became of a code: `open_ms`, how long it opens something (0: not said); `why`: a short text for who brought
 * it, or NULL. E_INVALID: not connected.
 */
PEND_CLIENT_API enum pend_client_error pend_client_server_unlocked(struct pend_client_server *s,
								   uint64_t token, bool ok,
								   uint64_t open_ms,
								   const char *why);
/*
 * For event loops: wait for the descriptor (-1: none now) to be readable, and writable while
 * _wants_write, at most _timeout_ms (-1: for ever), then call _process. The descriptor changes with each connection.
 */
PEND_CLIENT_API int pend_client_server_fd(const struct pend_client_server *s);
PEND_CLIENT_API bool pend_client_server_wants_write(const struct pend_client_server *s);
PEND_CLIENT_API int pend_client_server_timeout_ms(const struct pend_client_server *s);
PEND_CLIENT_API enum pend_client_error pend_client_server_process(struct pend_client_server *s);
/* The connection, for requests of its own with pend_client_send (pend_client_server_on_line has the replies); NULL: none now. */
PEND_CLIENT_API struct pend_client *pend_client_server_client(struct pend_client_server *s);

#ifdef __cplusplus
}
#endif
#endif
