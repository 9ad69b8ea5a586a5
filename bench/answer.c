/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The quickest somebody on the control socket can be: follows the events and permits each connection as soon
 * as it is told of it. Prints "ready" once it follows; ends with the daemon or by a signal.
 *
 * usage: bench/answer SOCKET
 */
#include <pend-client.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ID_MAX    64
#define LIFE_MS   120000 /* without an event */
#define REPLY_MS  5000
#define FOLLOW    "{\"last\":0,\"follow\":true,\"types\":[\"pended\"]}"
#define ID_BEFORE "\"id\":\""

static _Noreturn void die(const struct pend_client *c, const char *what)
{
	fprintf(stderr, "answer: %s: %s\n", what, c ? pend_client_message(c) : "out of memory");
	exit(EXIT_FAILURE);
}

/* Replies have a number for an id; only an event's is a string. */
static bool on_line(void *ctx, const char *json)
{
	struct pend_client *c = ctx;
	const char *id = strstr(json, ID_BEFORE);
	char args[ID_MAX + 64];
	int len;

	if (!id || !strstr(json, "\"pended\""))
		return true;
	id += strlen(ID_BEFORE);
	len = (int)strcspn(id, "\"");
	if (len > ID_MAX)
		return true;
	snprintf(args, sizeof(args), "{\"ids\":[\"%.*s\"],\"verdict\":\"permit\"}", len, id);
	if (pend_client_send(c, "complete", args, NULL) != PEND_CLIENT_OK ||
	    pend_client_flush(c) != PEND_CLIENT_OK)
		die(c, "complete");
	return true;
}

int main(int argc, char **argv)
{
	struct pend_client *c = NULL;
	struct pollfd p;

	if (argc != 2)
		return fputs("usage: answer SOCKET\n", stderr), 2;
	if (pend_client_connect(&c, argv[1], REPLY_MS) != PEND_CLIENT_OK)
		die(c, argv[1]);
	if (pend_client_call(c, "events", FOLLOW, REPLY_MS, NULL, NULL, NULL) != PEND_CLIENT_OK)
		die(c, "events");
	puts("ready");
	fflush(stdout);
	p = (struct pollfd){.fd = pend_client_fd(c), .events = POLLIN};
	while (poll(&p, 1, LIFE_MS) > 0)
		if (pend_client_read(c, on_line, c) != PEND_CLIENT_OK)
			break;
	pend_client_close(c);
	return EXIT_SUCCESS;
}
