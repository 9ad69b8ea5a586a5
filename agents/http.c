/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `type http`: a web server answers. Each question is one POST of its JSON, and the response is the answer
 * (http_answer.c). The address, the certificate and the limits are the policy's; nothing of the environment
 * changes where a question goes.
 */
#include "agents/http.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* ---- headers ---- */

struct http_headers *http_headers_get(struct http_headers *h)
{
	h->refs++;
	return h;
}

void http_headers_put(struct http_headers *h)
{
	if (!h || --h->refs)
		return;
	for (struct curl_slist *s = h->list; s; s = s->next)
		explicit_bzero(s->data, strlen(s->data));
	curl_slist_free_all(h->list);
	free(h);
}

static int read_headers(struct http_headers *h, const json_t *config, struct err *e)
{
	const char *file = json_string_value(json_object_get(config, "header-file"));
	size_t i;
	json_t *v;
	int r = http_headers_add(&h->list, "Content-Type: application/json", e);

	if (!r)
		r = http_headers_add(&h->list, "Accept: application/json", e);
	json_array_foreach(json_object_get(config, "headers"), i, v)
	{
		const char *s = json_string_value(v);

		if (!r)
			r = http_headers_add(&h->list, s ? s : "", e);
	}
	return r || !file || !*file ? r : http_headers_load(&h->list, file, e);
}

static int headers_new(struct http_headers **out, const json_t *config, struct err *e)
{
	struct http_headers *h = calloc(1, sizeof(*h));
	int r;

	if (!h)
		return err_set(e, -ENOMEM, "out of memory");
	h->refs = 1;
	r = read_headers(h, config, e);
	if (r < 0)
		http_headers_put(h);
	else
		*out = h;
	return r;
}

/* ---- questions ---- */

static void work_free(struct http_work *w)
{
	w->http->nopen -= w->open;
	list_del(&w->link);
	http_curl_end(w);
	http_headers_put(w->headers);
	free(w->body);
	free(w);
}

static void count(struct http *h, enum pend_client_answer answer)
{
	h->stats.permits += answer == PEND_CLIENT_ANSWER_PERMIT;
	h->stats.blocks += answer == PEND_CLIENT_ANSWER_BLOCK;
	h->stats.continues += answer == PEND_CLIENT_ANSWER_CONTINUE;
	h->stats.errors += answer == PEND_CLIENT_ANSWER_ERROR;
}

/* The log has where failures begin and end, and not each of them. */
static void tell(struct http *h, const struct http_answer *a)
{
	bool failing = a->answer == PEND_CLIENT_ANSWER_ERROR;

	if (failing && !h->failing)
		agent_log(h->agent, "no answer: %s", a->why);
	else if (!failing && h->failing)
		agent_log(h->agent, "there are answers again");
	h->failing = failing;
}

static void say(struct agent_question *q, const struct http_answer *a)
{
	struct pend_client_say s = PEND_CLIENT_SAY(a->answer);

	s.how = a->how;
	s.why = a->why[0] ? a->why : NULL;
	s.remember = a->told ? a->remember : NULL;
	s.scope = a->scope;
	agent_say(q, &s);
}

void http_done(struct http_work *w, long status, const char *why)
{
	struct agent_question *q = w->q;
	struct http_answer a = {.answer = PEND_CLIENT_ANSWER_ERROR};

	if (status)
		http_answer_read(status, w->body, w->len, &a);
	else
		str_sanitize(why, a.why, sizeof(a.why));
	count(w->http, a.answer);
	tell(w->http, &a);
	work_free(w); /* its request is the question's text */
	say(q, &a);
}

static void question(struct agent_question *q)
{
	struct http *h = agent_data(q->agent);
	struct http_work *w = calloc(1, sizeof(*w));

	h->stats.questions++;
	if (!w) {
		agent_answer(q, PEND_CLIENT_ANSWER_ERROR, NULL, "out of memory");
		return;
	}
	w->http = h;
	w->q = q;
	q->work = w;
	list_add_tail(&h->waiting, &w->link);
	http_curl_pump(h);
}

static void withdrawn(struct agent_question *q)
{
	struct http *h = agent_data(q->agent);

	work_free(q->work);
	http_curl_pump(h);
}

/* ---- the kind ---- */

static void on_usr1(void *ctx, int signo)
{
	const struct http *h = ctx;
	const struct http_stats *s = &h->stats;

	(void)signo;
	agent_log(h->agent,
		  "questions %llu, permit %llu, block %llu, continue %llu, error %llu; connections "
		  "%llu; open %u",
		  (unsigned long long)s->questions, (unsigned long long)s->permits,
		  (unsigned long long)s->blocks, (unsigned long long)s->continues,
		  (unsigned long long)s->errors, (unsigned long long)s->connections, h->nopen);
}

/* The secrets may be new ones. What is wrong with them leaves the old ones. */
static void on_hup(void *ctx, int signo)
{
	struct http *h = ctx;
	struct http_headers *fresh = NULL;
	struct err e = {0};

	(void)signo;
	if (headers_new(&fresh, h->config, &e) < 0) {
		agent_log(h->agent, "%s: the headers stay as they were", e.text);
		return;
	}
	http_headers_put(h->headers);
	h->headers = fresh;
}

static int start(struct agent *a, const json_t *config, struct err *e)
{
	struct http *h = calloc(1, sizeof(*h));
	const char *ca;
	int r;

	if (!h)
		return err_set(e, -ENOMEM, "out of memory");
	h->agent = a;
	list_init(&h->waiting);
	list_init(&h->open);
	agent_set_data(a, h);
	h->config = json_deep_copy(config);
	h->url = json_string_value(json_object_get(h->config, "url"));
	ca = json_string_value(json_object_get(h->config, "ca"));
	h->ca = ca && *ca ? ca : NULL;
	if (!h->url)
		return err_set(e, -EINVAL, "the definition is not one of http");
	r = headers_new(&h->headers, h->config, e);
	if (r < 0)
		return r;
	r = loop_signal(agent_loop(a), SIGUSR1, on_usr1, h);
	if (!r)
		r = loop_signal(agent_loop(a), SIGHUP, on_hup, h);
	return r < 0 ? err_sys(e, r, "cannot wait for signals") : http_curl_init(h, e);
}

static void stop(struct agent *a)
{
	struct http *h = agent_data(a);

	if (!h)
		return;
	http_curl_deinit(h);
	http_headers_put(h->headers);
	json_decref(h->config);
	free(h);
}

const struct agent_kind agent_http = {
	.type = "http",
	.start = start,
	.question = question,
	.withdrawn = withdrawn,
	.stop = stop,
};
