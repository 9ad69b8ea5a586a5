/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An authority for pend in C, with libpend-client:
 *
 *	authority NAME [SOCKET]
 *
 * Serves the authority NAME of the policy (`authority NAME { type socket; }`) and permits what comes
 * from a port below 1024, blocks the rest. Replace decide() by what you need.
 *
 *	cc -o authority authority.c $(pkg-config --cflags --libs pend-client)
 */
#include <pend-client.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static struct pend_client_server *server;

static void on_signal(int signo)
{
	(void)signo;
	pend_client_server_stop(server);
}

static enum pend_client_answer decide(void *ctx, struct pend_client_server *s,
				      const struct pend_client_question *q)
{
	(void)ctx;
	(void)s;
	printf("%s %s from %s port %u to %s port %u\n", q->id, q->protocol, q->source,
	       q->source_port, q->dest, q->dest_port);
	fflush(stdout);
	return q->source_port < 1024 ? PEND_CLIENT_ANSWER_PERMIT : PEND_CLIENT_ANSWER_BLOCK;
}

static void state(void *ctx, struct pend_client_server *s, bool serving, const char *why)
{
	(void)ctx;
	(void)s;
	fprintf(stderr, "%s%s%s\n", serving ? "serving" : "not serving", *why ? ": " : "", why);
}

int main(int argc, char **argv)
{
	const struct pend_client_handlers handlers = {.question = decide, .state = state};
	enum pend_client_error e;

	if (argc < 2 || argc > 3) {
		fprintf(stderr, "usage: authority NAME [SOCKET]\n");
		return 2;
	}
	server = pend_client_server_new(argc > 2 ? argv[2] : NULL, argv[1], 0, &handlers, NULL);
	if (!server)
		return 1;
	pend_client_server_heartbeat(server, 10);
	signal(SIGINT, on_signal);
	signal(SIGTERM, on_signal);
	e = pend_client_server_run(server);
	pend_client_server_free(server);
	return e != PEND_CLIENT_OK;
}
