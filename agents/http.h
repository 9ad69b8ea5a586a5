/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside `type http`: http.c has the kind and its questions, http_curl.c the transfers, http_answer.c what a
 * response means, http_headers.c the lines that go with a request.
 */
#ifndef AGENTS_HTTP_H
#define AGENTS_HTTP_H

#include "agents/agent.h"
#include "agents/watch.h"
#include "base/str.h"
#include <curl/curl.h>

#define HTTP_OPEN_MAX    64    /* requests under way, each with a connection; what is more waits */
#define HTTP_OPEN_TWO    100   /* ... where the server speaks HTTP/2: over one, as curl has it */
#define HTTP_BODY_MAX    65536 /* of a response; what is larger is an error */
#define HTTP_HEADERS_MAX 16    /* of the policy, and as many of the file */
#define HTTP_FILE_MAX    16384 /* of the file */
#define HTTP_WHY_MAX     200
#define HTTP_CONNECT_MS  5000

/* ---- http_answer.c ---- */

struct http_answer {
	enum pend_client_answer answer;
	const char *how, *scope; /* static; NULL: as the rule says */
	bool told;               /* of remembering; else as the rule says */
	char remember[STR_DURATION_MAX];
	char why[HTTP_WHY_MAX];
};

/* `body` need not end with a zero byte. */
void http_answer_read(long status, const char *body, size_t len, struct http_answer *out);

/* ---- http_headers.c ---- */

/* "Name: value" to the end of the list. 0, or -errno with a sentence. */
int http_headers_add(struct curl_slist **list, const char *text, struct err *e);
/* Lines of a file; empty ones and those that begin with # are none. `path` is for the sentence. */
int http_headers_parse(struct curl_slist **list, const char *text, size_t len, const char *path,
		       struct err *e);
/* It has secrets: nobody else may read it, nor change it. */
int http_headers_load(struct curl_slist **list, const char *path, struct err *e);

/* ---- the kind ---- */

/* Requests under way keep those that they began with. */
struct http_headers {
	unsigned refs;
	struct curl_slist *list;
};

struct http_stats {
	uint64_t questions, permits, blocks, continues, errors, connections;
};

struct http {
	struct agent *agent;
	json_t *config;
	const char *url, *ca; /* of the config; ca NULL: the system's */
	struct http_headers *headers;
	bool have_library, failing;
	CURLM *multi;
	struct watches watches;
	struct loop_timer timer;
	struct list waiting, open; /* struct http_work */
	unsigned nopen, max;
	struct http_stats stats;
};

/* A question on its way. */
struct http_work {
	struct list link;
	struct http *http;
	struct agent_question *q;
	struct http_headers *headers;
	CURL *easy;
	char *body;
	size_t len;
	bool open, too_large;
	char error[CURL_ERROR_SIZE];
};

struct http_headers *http_headers_get(struct http_headers *h);
void http_headers_put(struct http_headers *h); /* NULL is allowed */
/* The transfer is over, or could not begin: answers and frees. `status` 0: there was no response, `why` says so. */
void http_done(struct http_work *w, long status, const char *why);

/* ---- http_curl.c ---- */

int http_curl_init(struct http *h, struct err *e);
void http_curl_deinit(struct http *h);
/* What waits begins, as far as there is room. */
void http_curl_pump(struct http *h);
/* Gives the transfer up, if there is one. */
void http_curl_end(struct http_work *w);

#endif
