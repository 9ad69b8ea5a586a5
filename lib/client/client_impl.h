/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Inside the client library: lines as values, for those of its parts that read them. */
#ifndef CLIENT_IMPL_H
#define CLIENT_IMPL_H

#include <jansson.h>
#include <pend-client.h>

/* What a line is handed to. PEND_CLIENT_OK to go on; *stop: leave the rest of the input for later. */
typedef enum pend_client_error (*client_sink_fn)(struct pend_client *c, void *ctx, json_t *v,
						 bool *stop);

/* Inside a sink: the text of its line, which is the sink's to write to. */
char *client_line(const struct pend_client *c, size_t *len);
/* One read, without blocking, and what was left over before it. */
enum pend_client_error client_read(struct pend_client *c, client_sink_fn sink, void *ctx);
/* Queue bytes to be sent: whole lines. */
enum pend_client_error client_put(struct pend_client *c, const char *text, size_t len);
const char *client_text(const json_t *o, const char *key); /* "" if there is none */

/* remember.c: "8h", a duration from 1s to 365d. */
bool client_remember_ok(const char *s);

#endif
