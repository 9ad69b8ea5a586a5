/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a daemon says to a program that serves an authority: the client library connects, serves, and gets the input
 * behind the greeting. The first byte says what the program answers.
 */
#include <pend-client.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char hello[] =
	"{\"pend\":{\"version\":\"0.1.0\",\"protocol\":1,\"role\":\"admin\"}}\n"
	"{\"id\":1,\"ok\":true,\"result\":{\"authority\":\"idp\",\"timeout_ms\":5000}}\n";

static struct {
	char path[64];
	int fd;
	uint8_t *data; /* for the next connection, whose answer() frees it */
	size_t size;
} peer;

static void send_all(int fd, const void *data, size_t len)
{
	while (len) {
		ssize_t n = send(fd, data, len, MSG_NOSIGNAL);

		if (n <= 0)
			return;
		data = (const char *)data + n;
		len -= (size_t)n;
	}
}

/* The other end of each connection, in turn. */
static void *answer(void *arg)
{
	char sink[4096];

	for (;;) {
		int fd = accept(peer.fd, NULL, NULL);
		uint8_t *data = peer.data;
		size_t size = peer.size;

		if (fd < 0)
			return arg;
		send_all(fd, hello, sizeof(hello) - 1);
		send_all(fd, data, size);
		free(data);
		shutdown(fd, SHUT_WR);
		while (recv(fd, sink, sizeof(sink), 0) > 0)
			;
		close(fd);
	}
}

static void peer_clean(void)
{
	unlink(peer.path);
}

static void peer_start(void)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	pthread_t thread;

	snprintf(peer.path, sizeof(peer.path), "/tmp/fuzz-serve-%d", (int)getpid());
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", peer.path);
	unlink(peer.path);
	peer.fd = socket(AF_UNIX, SOCK_STREAM, 0);
	if (peer.fd < 0 || bind(peer.fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ||
	    listen(peer.fd, 4) < 0 || pthread_create(&thread, NULL, answer, NULL))
		abort();
	pthread_detach(thread);
	atexit(peer_clean);
}

struct program {
	unsigned how;
	bool down;
	char id[64];
};

static enum pend_client_answer on_question(void *ctx, struct pend_client_server *s,
					   const struct pend_client_question *q)
{
	struct program *p = ctx;

	/* all of it is text */
	if (strlen(q->id) + strlen(q->authority) + strlen(q->protocol) + strlen(q->source) +
		    strlen(q->dest) + strlen(q->interface) + strlen(q->json) >
	    (1u << 24))
		abort();
	snprintf(p->id, sizeof(p->id), "%s", q->id);
	pend_client_server_answer(s, q->id, (enum pend_client_answer)(p->how % 4),
				  p->how & 16 ? "reset" : NULL, p->how & 32 ? q->json : NULL);
	return (enum pend_client_answer)(p->how % 5);
}

static void on_withdrawn(void *ctx, struct pend_client_server *s, const char *id, const char *why)
{
	struct program *p = ctx;

	pend_client_server_answer(s, id, PEND_CLIENT_ANSWER_PERMIT, NULL, why);
	pend_client_server_answer(s, p->id, PEND_CLIENT_ANSWER_ERROR, NULL, why);
}

static void on_state(void *ctx, struct pend_client_server *s, bool serving, const char *why)
{
	struct program *p = ctx;

	(void)s;
	if (strlen(why) > 511)
		abort();
	p->down = p->down || !serving;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct pend_client_handlers on = {
		.question = on_question, .withdrawn = on_withdrawn, .state = on_state};
	static const uint8_t nothing;
	struct program p;
	struct pend_client_server *s;

	if (!size)
		data = &nothing;
	p = (struct program){.how = data[0]};
	if (!peer.fd)
		peer_start();
	peer.size = size ? size - 1 : 0;
	peer.data = malloc(peer.size + 1);
	if (!peer.data)
		return 0;
	memcpy(peer.data, data + 1, peer.size);
	s = pend_client_server_new(peer.path, "idp", p.how, &on, &p);
	if (!s)
		return 0;
	pend_client_server_heartbeat(s, p.how & 64 ? 1 : 0);
	while (!p.down)
		if (pend_client_server_process(s) != PEND_CLIENT_OK)
			break;
	pend_client_server_free(s);
	return 0;
}
