/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A web server's response, and the lines of a header file: the first byte says which. */
#include "agents/http.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool text(const char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < ' ' || *s == 0x7f)
			return false;
	return true;
}

static void response(const char *body, size_t len)
{
	struct http_answer a;

	http_answer_read(200, body, len, &a);
	if (a.answer > PEND_CLIENT_ANSWER_ERROR || !text(a.why) || strlen(a.why) >= sizeof(a.why))
		abort();
	if (a.how && a.answer != PEND_CLIENT_ANSWER_BLOCK)
		abort();
	if (strlen(a.remember) >= sizeof(a.remember) || (a.remember[0] && !a.told))
		abort();
	if (a.answer > PEND_CLIENT_ANSWER_BLOCK && (a.told || a.scope))
		abort();
	/* What lets somebody in names the verdict. */
	if (a.answer == PEND_CLIENT_ANSWER_PERMIT && !memmem(body, len, "verdict", 7) &&
	    !memchr(body, '\\', len))
		abort();
}

static void headers(const char *body, size_t len)
{
	struct curl_slist *list = NULL;
	struct err e = {0};
	unsigned n = 0;

	http_headers_parse(&list, body, len, "f", &e);
	for (const struct curl_slist *s = list; s; s = s->next, n++)
		if (!text(s->data) && !strchr(s->data, '\t'))
			abort();
	if (n > HTTP_HEADERS_MAX + 1)
		abort();
	curl_slist_free_all(list);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *rest = (const char *)data + 1;

	if (!size)
		return 0;
	if (data[0] & 1)
		headers(rest, size - 1);
	else
		response(rest, size - 1);
	return 0;
}
