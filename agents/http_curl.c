/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Requests; see http.h. curl keeps the connections and uses them again, several requests at a time where the server
 * speaks HTTP/2; here are its sockets and its clock in our loop, and what waits: curl is given no more than may
 * be under way, so that the order and the bound are ours.
 */
#include "agents/http.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct loop *loop_of(const struct http *h)
{
	return agent_loop(h->agent);
}

/* ---- a transfer ---- */

static size_t on_body(char *data, size_t one, size_t n, void *ctx)
{
	struct http_work *w = ctx;
	char *longer;

	(void)one;
	w->too_large = n > HTTP_BODY_MAX - w->len;
	longer = w->too_large || !n ? NULL : realloc(w->body, w->len + n);
	if (!longer)
		return 0;
	memcpy(longer + w->len, data, n);
	w->body = longer;
	w->len += n;
	return n;
}

static void only_http(CURL *c)
{
#if LIBCURL_VERSION_NUM >= 0x075500
	curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
#else
	curl_easy_setopt(c, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
}

/* A CA of the policy's own is the only one then: the system's folder counts no more. */
static CURLcode with_trust(CURL *c, const char *ca)
{
	curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, 2L);
	curl_easy_setopt(c, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	if (!ca)
		return CURLE_OK;
	curl_easy_setopt(c, CURLOPT_CAPATH, NULL);
	return curl_easy_setopt(c, CURLOPT_CAINFO, ca);
}

/* No proxy of the environment, no redirect, no credentials of files: where it goes is the policy's word. */
static void as_we_want(CURL *c)
{
	only_http(c);
	curl_easy_setopt(c, CURLOPT_PROXY, "");
	curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(c, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
	curl_easy_setopt(c, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, (long)HTTP_CONNECT_MS);
	curl_easy_setopt(c, CURLOPT_USERAGENT, "pend-agent/" PEND_VERSION);
}

/* The question's deadline withdraws it; this is for what that does not reach. */
static long patience_ms(const struct http_work *w)
{
	uint64_t ms = mono_since(w->q->deadline, loop_now(loop_of(w->http))) / MONO_NS_PER_MS;

	return (long)ms + 1000;
}

static bool begin(struct http_work *w)
{
	struct http *h = w->http;
	CURL *c = w->easy = curl_easy_init();

	if (!c)
		return false;
	as_we_want(c);
	w->headers = http_headers_get(h->headers);
	curl_easy_setopt(c, CURLOPT_HTTPHEADER, w->headers->list);
	curl_easy_setopt(c, CURLOPT_POSTFIELDS, w->q->json);
	curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE, (long)strlen(w->q->json));
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, w);
	curl_easy_setopt(c, CURLOPT_ERRORBUFFER, w->error);
	curl_easy_setopt(c, CURLOPT_PRIVATE, w);
	curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, patience_ms(w));
	return with_trust(c, h->ca) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_URL, h->url) == CURLE_OK &&
	       curl_multi_add_handle(h->multi, c) == CURLM_OK;
}

void http_curl_end(struct http_work *w)
{
	if (!w->easy)
		return;
	curl_multi_remove_handle(w->http->multi, w->easy);
	curl_easy_cleanup(w->easy);
	w->easy = NULL;
}

void http_curl_pump(struct http *h)
{
	while (h->nopen < h->max && !list_empty(&h->waiting)) {
		struct http_work *w = container_of(h->waiting.next, struct http_work, link);

		list_del(&w->link);
		list_add_tail(&h->open, &w->link);
		h->nopen++;
		w->open = true;
		if (!begin(w))
			http_done(w, 0, "the request cannot be made");
	}
}

/* ---- all of them ---- */

static void end_one(struct http_work *w, CURLcode r)
{
	const char *why = w->error[0] ? w->error : curl_easy_strerror(r);
	long status = 0, connects = 0, version = 0;

	curl_easy_getinfo(w->easy, CURLINFO_NUM_CONNECTS, &connects);
	w->http->stats.connections += (uint64_t)connects;
	curl_easy_getinfo(w->easy, CURLINFO_HTTP_VERSION, &version);
	w->http->max = version >= CURL_HTTP_VERSION_2_0 ? HTTP_OPEN_TWO : HTTP_OPEN_MAX;
	if (r == CURLE_OK)
		curl_easy_getinfo(w->easy, CURLINFO_RESPONSE_CODE, &status);
	else if (w->too_large)
		why = "the response is too large";
	http_done(w, status, why);
}

static void look(struct http *h)
{
	CURLMsg *m;
	int left;

	while ((m = curl_multi_info_read(h->multi, &left)) != NULL) {
		char *w = NULL;

		if (m->msg == CURLMSG_DONE &&
		    curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &w) == CURLE_OK)
			end_one((struct http_work *)(void *)w, m->data.result);
	}
	http_curl_pump(h);
}

static void act(struct http *h, curl_socket_t fd, int what)
{
	int running;
	CURLMcode r = curl_multi_socket_action(h->multi, fd, what, &running);

	if (r != CURLM_OK)
		agent_fail(h->agent, "curl: %s", curl_multi_strerror(r));
	look(h);
}

static void on_ready(void *ctx, int fd, uint32_t events)
{
	act(ctx, fd,
	    (events & (EPOLLIN | EPOLLHUP) ? CURL_CSELECT_IN : 0) |
		    (events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
		    (events & EPOLLERR ? CURL_CSELECT_ERR : 0));
}

static void on_timer(void *ctx)
{
	act(ctx, CURL_SOCKET_TIMEOUT, 0);
}

static int on_socket(CURL *c, curl_socket_t fd, int what, void *ctx, void *socket)
{
	struct http *h = ctx;
	uint32_t events = 0;

	(void)c;
	(void)socket;
	if (what == CURL_POLL_IN || what == CURL_POLL_INOUT)
		events |= EPOLLIN;
	if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT)
		events |= EPOLLOUT;
	return watches_set(&h->watches, fd, events) < 0 ? -1 : 0;
}

static int on_clock(CURLM *m, long ms, void *ctx)
{
	struct http *h = ctx;

	(void)m;
	if (ms < 0)
		loop_timer_cancel(loop_of(h), &h->timer);
	else
		loop_timer_arm(loop_of(h), &h->timer,
			       mono_add(loop_now(loop_of(h)), (uint64_t)ms * MONO_NS_PER_MS));
	return 0;
}

int http_curl_init(struct http *h, struct err *e)
{
	watches_init(&h->watches, loop_of(h), on_ready, h);
	loop_timer_init(&h->timer, on_timer, h);
	h->have_library = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
	h->multi = h->have_library ? curl_multi_init() : NULL;
	if (!h->multi)
		return err_set(e, -ENOMEM, "curl cannot be used");
	curl_multi_setopt(h->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(h->multi, CURLMOPT_SOCKETDATA, h);
	curl_multi_setopt(h->multi, CURLMOPT_TIMERFUNCTION, on_clock);
	curl_multi_setopt(h->multi, CURLMOPT_TIMERDATA, h);
	curl_multi_setopt(h->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_MULTIPLEX);
	curl_multi_setopt(h->multi, CURLMOPT_MAXCONNECTS, (long)HTTP_OPEN_MAX);
	h->max = HTTP_OPEN_MAX;
	return 0;
}

void http_curl_deinit(struct http *h)
{
	if (h->multi) {
		curl_multi_cleanup(h->multi);
		loop_timer_cancel(loop_of(h), &h->timer);
	}
	watches_deinit(&h->watches);
	if (h->have_library)
		curl_global_cleanup();
}
