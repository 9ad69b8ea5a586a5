/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The quickest somebody on the control socket can be: serves an authority and permits everything. Prints
 * "ready" once it serves; ends by a signal, with the number of questions that it answered. With a COUNT: ends when
 * so many have been answered and nothing is pended any more, and prints how many a second that were, from the
 * moment that it served. A connection that pendd hung up on is taken up again, as the library does; not with a
 * COUNT, which would be one of another time.
 *
 * usage: bench/answer SOCKET AUTHORITY [COUNT]
 */
#include <jansson.h>
#include <pend-client.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define LIFE_S 600 /* whatever happens */

static struct pend_client_server *server;
static unsigned long long answered, count;
static double begun;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void on_signal(int signo)
{
	(void)signo;
	pend_client_server_stop(server);
}

static enum pend_client_answer question(void *ctx, struct pend_client_server *s,
					const struct pend_client_question *q)
{
	(void)ctx;
	(void)q;
	if (++answered == count)
		pend_client_server_stop(s);
	return PEND_CLIENT_ANSWER_PERMIT;
}

static void state(void *ctx, struct pend_client_server *s, bool serving, const char *why)
{
	static bool served;

	(void)ctx;
	begun = now();
	if (serving)
		puts("ready");
	else
		fprintf(stderr, "answer: %s\n", why);
	fflush(stdout);
	if (!serving && (count || !served))
		pend_client_server_stop(s);
	served = served || serving;
}

static bool nothing_pended(void *ctx, const char *json)
{
	json_t *o = json_loads(json, 0, NULL);
	const json_t *totals = json_object_get(o, "totals");
	bool *none = ctx;

	*none = totals && json_integer_value(json_object_get(totals, "pending")) == 0;
	json_decref(o);
	return true;
}

/* The last verdicts may be under way still. */
static int wait_for_verdicts(const char *path)
{
	const struct timespec tick = {.tv_nsec = 2000000};
	struct pend_client *c;
	bool none = false;

	if (pend_client_connect(&c, path, 2000) == PEND_CLIENT_OK)
		while (!none && pend_client_call(c, "status", NULL, 2000, nothing_pended, &none,
						 NULL) == PEND_CLIENT_OK)
			if (!none)
				nanosleep(&tick, NULL);
	pend_client_close(c);
	return none ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
	const struct pend_client_handlers on = {.question = question, .state = state};
	const int signals[] = {SIGTERM, SIGINT, SIGALRM};
	struct sigaction act = {.sa_handler = on_signal};
	enum pend_client_error e;

	if (argc != 3 && argc != 4)
		return fputs("usage: answer SOCKET AUTHORITY [COUNT]\n", stderr), 2;
	count = argc == 4 ? strtoull(argv[3], NULL, 10) : 0;
	server = pend_client_server_new(argv[1], argv[2], 65536, &on, NULL);
	if (!server)
		return EXIT_FAILURE;
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sigaction(signals[i], &act, NULL);
	alarm(LIFE_S);
	e = pend_client_server_run(server);
	if (count && wait_for_verdicts(argv[1]) != EXIT_SUCCESS)
		return fputs("answer: connections are pended still\n", stderr), EXIT_FAILURE;
	if (count)
		printf("{\"answered\":%llu,\"rate\":%.0f}\n", answered,
		       (double)answered / (now() - begun));
	else
		printf("answered %llu\n", answered);
	pend_client_server_free(server);
	return e == PEND_CLIENT_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
