/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The quickest somebody on the control socket can be: serves an authority and permits everything. Prints
 * "ready" once it serves; ends by a signal, with the number of questions that it answered.
 *
 * usage: bench/answer SOCKET AUTHORITY
 */
#include <pend-client.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define LIFE_S 120 /* whatever happens */

static struct pend_client_server *server;
static unsigned long long answered;

static void on_signal(int signo)
{
	(void)signo;
	pend_client_server_stop(server);
}

static enum pend_client_answer question(void *ctx, struct pend_client_server *s,
					const struct pend_client_question *q)
{
	(void)ctx;
	(void)s;
	(void)q;
	answered++;
	return PEND_CLIENT_ANSWER_PERMIT;
}

static void state(void *ctx, struct pend_client_server *s, bool serving, const char *why)
{
	(void)ctx;
	if (serving)
		puts("ready");
	else
		fprintf(stderr, "answer: %s\n", why);
	fflush(stdout);
	if (!serving)
		pend_client_server_stop(s);
}

int main(int argc, char **argv)
{
	const struct pend_client_handlers on = {.question = question, .state = state};
	const int signals[] = {SIGTERM, SIGINT, SIGALRM};
	struct sigaction act = {.sa_handler = on_signal};
	enum pend_client_error e;

	if (argc != 3)
		return fputs("usage: answer SOCKET AUTHORITY\n", stderr), 2;
	server = pend_client_server_new(argv[1], argv[2], 65536, &on, NULL);
	if (!server)
		return EXIT_FAILURE;
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sigaction(signals[i], &act, NULL);
	alarm(LIFE_S);
	e = pend_client_server_run(server);
	printf("answered %llu\n", answered);
	pend_client_server_free(server);
	return e == PEND_CLIENT_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
