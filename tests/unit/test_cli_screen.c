/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What screens are made of: keys, widths, who listens, names, and a connection that comes and goes. */
#include "unit.h"
#include "cli/cli.h"
#include "cli/live.h"
#include "cli/lookup.h"
#include "cli/out.h"
#include "cli/term.h"
#include <arpa/inet.h>
#include <locale.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* ----------------------------------------------------------------------- keys ---- */

static const struct {
	const char *bytes, *keys; /* '.': none */
} sequences[] = {
	{"yn", "yn"},        {"\x1b[A", "."},  {"y\x1b[1;5Dn", "y.n"}, {"\x1bOPy", ".y"},
	{"\x1b[15~y", ".y"}, {"\x1b", "\x1b"}, {"y\x1b", "y\x1b"},     {"\x1b[", "."},
	{"\x1b[1;", "."},    {"\x1bxy", ".y"}, /* Alt and a key */
};

START_TEST(keys_of_a_terminal)
{
	const unsigned char *s = (const unsigned char *)sequences[_i].bytes;
	size_t n = strlen(sequences[_i].bytes), at = 0, got = 0;
	char keys[16] = "";

	while (at < n) {
		int key = term_key(s, n, &at);

		keys[got++] = (char)(key == TERM_KEY_NONE ? '.' : key);
	}
	ck_assert_str_eq(keys, sequences[_i].keys);
}
END_TEST

START_TEST(any_bytes_are_keys_of_some_kind)
{
	uint64_t seed = unit_seed("keys");
	unsigned char s[32];

	for (int i = 0; i < 20000; i++) {
		size_t n = unit_rand(&seed) % sizeof(s) + 1, at = 0, before;

		for (size_t k = 0; k < n; k++)
			s[k] = "\x1b[O1;~Ay\xff"[unit_rand(&seed) % 9];
		for (before = 0; at < n; before = at) {
			term_key(s, n, &at);
			ck_assert(at > before && at <= n);
		}
	}
}
END_TEST

START_TEST(columns)
{
	char utf8[] = "a\xc3\xa4\xe6\xbc\xa2z", bytes[] = "a\xff\xfez", plain[] = "a\xc3\xa4";

	if (!setlocale(LC_CTYPE, "C.UTF-8"))
		return;
	ck_assert_int_eq(term_width(utf8), 5);
	term_charset(utf8);
	term_cut(utf8, 3); /* the wide one would need two */
	ck_assert_str_eq(utf8, "a\xc3\xa4");
	term_cut(bytes, 3);
	ck_assert_uint_eq(strlen(bytes), 3);
	setlocale(LC_CTYPE, "C");
	term_charset(plain);
	ck_assert_str_eq(plain, "a??");
}
END_TEST

/* --------------------------------------------------------------------- lookups ---- */

#define TAIL " 00000000:00000000 00:00000000 00000000  1000        0 4711 1 0000"

static const struct {
	const char *line;
	bool v6;
	int fit;
} sockets[] = {
	{"   0: 00000000:0016 00000000:0000 0A" TAIL, false, 2},
	{"   0: 010200C0:0016 00000000:0000 0A" TAIL, false, 3},
	{"   0: 0100007F:0016 00000000:0000 0A" TAIL, false, 0},
	{"   0: 00000000:0017 00000000:0000 0A" TAIL, false, 0},
	{"   0: 00000000:0016 00000000:0000 01" TAIL, false, 0},
	{"   0: 00000000000000000000000000000000:0016 00000000000000000000000000000000:0000 0A" TAIL,
	 true, 1},
	{"   0: 0000000000000000FFFF0000010200C0:0016 00000000000000000000000000000000:0000 0A" TAIL,
	 true, 3},
	{"   0: B80D0120000000000000000001000000:0016 00000000000000000000000000000000:0000 0A" TAIL,
	 true, 0},
	{"  sl  local_address rem_address   st tx_queue rx_queue", false, 0},
	{"   0: 00000000:0016", false, 0},
	{"   0: 0000", false, 0},
	{"", false, 0},
};

static const struct lookup_question to_ssh = {
	.family = 4, .proto = 6, .port = 22, .dest = {192, 0, 2, 1}};

START_TEST(who_takes_it)
{
	unsigned long inode = 0;
	unsigned uid = 0;

	ck_assert_int_eq(lookup_socket(sockets[_i].line, &to_ssh, sockets[_i].v6, &uid, &inode),
			 sockets[_i].fit);
	if (sockets[_i].fit) {
		ck_assert_uint_eq(uid, 1000);
		ck_assert_uint_eq(inode, 4711);
	}
}
END_TEST

static const struct {
	const char *line, *unit;
} units[] = {
	{"0::/system.slice/ssh.service\n", "ssh.service"},
	{"0::/system.slice/ssh.service/inner\n", "ssh.service"},
	{"0::/user.slice/user-0.slice/session-3.scope", "session-3.scope"},
	{"0::/\n", ""},
	{"0::/.service\n", ""},
	{"", ""},
};

START_TEST(unit_of_a_process)
{
	char unit[32];

	lookup_unit(units[_i].line, unit, sizeof(unit));
	ck_assert_str_eq(unit, units[_i].unit);
}
END_TEST

static bool answer(struct lookup *l, struct lookup_answer *a)
{
	struct pollfd p = {.fd = l->fd, .events = POLLIN};

	poll(&p, 1, 5000);
	return lookup_read(l, a);
}

/* What this process runs, as others see it: under valgrind that is valgrind. */
static const char *seen_from_outside(char text[256])
{
	char command[64];
	FILE *f;

	snprintf(command, sizeof(command), "readlink /proc/%d/exe", (int)getpid());
	f = popen(command, "r");
	ck_assert_ptr_nonnull(f);
	ck_assert_ptr_nonnull(fgets(text, 256, f));
	ck_assert_int_eq(pclose(f), 0);
	text[strcspn(text, "\n")] = '\0';
	return text;
}

START_TEST(this_host_is_looked_up)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	socklen_t len = sizeof(in);
	struct lookup_question q = {.family = 4,
				    .proto = 6,
				    .source = {127, 0, 0, 1},
				    .dest = {127, 0, 0, 1},
				    .names = true};
	struct lookup_answer a;
	struct lookup l;
	char self[256];

	ck_assert_int_eq(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	ck_assert_int_eq(listen(fd, 1), 0);
	getsockname(fd, (struct sockaddr *)&in, &len);
	q.port = ntohs(in.sin_port);
	lookup_init(&l);
	ck_assert(lookup_ask(&l, &q, 0));
	ck_assert(answer(&l, &a));
	ck_assert_int_eq(a.kind, LOOKUP_LISTENER);
	ck_assert(a.found && a.local);
	ck_assert_str_eq(a.executable, seen_from_outside(self));
	ck_assert(answer(&l, &a));
	ck_assert_int_eq(a.kind, LOOKUP_NAME);
	if (a.found)
		ck_assert(a.confirmed);
	ck_assert(answer(&l, &a));
	ck_assert_int_eq(a.kind, LOOKUP_TARGET);
	ck_assert(a.local && !a.found);
	ck_assert(!lookup_read(&l, &a) && !l.waiting);
	lookup_deinit(&l);
	close(fd);
}
END_TEST

START_TEST(what_takes_too_long_is_given_up)
{
	struct lookup_question q = {.family = 4, .source = {127, 0, 0, 1}};
	struct lookup_answer a;
	struct lookup l;
	pid_t first;

	lookup_init(&l);
	ck_assert(lookup_ask(&l, &q, 0));
	first = l.pid;
	ck_assert(!lookup_late(&l, LOOKUP_PATIENCE_MS - 1));
	ck_assert(lookup_late(&l, LOOKUP_PATIENCE_MS));
	ck_assert(!lookup_late(&l, LOOKUP_PATIENCE_MS));
	ck_assert(!lookup_read(&l, &a));
	ck_assert(lookup_ask(&l, &q, 0));
	ck_assert_int_ne(l.pid, first);
	ck_assert(lookup_ask(&l, &q, 0)); /* the one before is not waited for */
	ck_assert(answer(&l, &a) && a.seq == l.seq);
	lookup_deinit(&l);
}
END_TEST

/* --------------------------------------------------------------------- sources ---- */

static void put_row(json_t *list, const char *source, const char *proto, int port, int age,
		    int left)
{
	json_t *v = json_pack("{s:s,s:s,s:i,s:i}", "source", source, "protocol", proto, "age_ms",
			      age, "remaining_ms", left);

	if (port)
		json_object_set_new(v, "dest_port", json_integer(port));
	json_array_append_new(list, v);
}

START_TEST(a_line_for_each_source)
{
	json_t *list = json_array(), *got;
	char *text;

	put_row(list, "203.0.113.9", "icmp", 0, 9000, 3000);
	put_row(list, "203.0.113.7", "tcp", 22, 1000, 20000);
	put_row(list, "203.0.113.7", "tcp", 22, 3000, 10000);
	put_row(list, "203.0.113.7", "udp", 22, 2000, 30000);
	put_row(list, "2001:db8::7", "tcp", 22, 9500, 30000);
	got = pending_by_source(list);
	text = json_dumps(got, JSON_COMPACT | JSON_SORT_KEYS);
	ck_assert_str_eq(
		text,
		"[{\"count\":3,\"oldest_ms\":3000,\"ports\":[\"tcp 22\",\"udp 22\"],"
		"\"remaining_ms\":10000,\"source\":\"203.0.113.7\"},"
		"{\"count\":1,\"oldest_ms\":9500,\"ports\":[\"tcp 22\"],\"remaining_ms\":30000,"
		"\"source\":\"2001:db8::7\"},"
		"{\"count\":1,\"oldest_ms\":9000,\"ports\":[\"icmp\"],\"remaining_ms\":3000,"
		"\"source\":\"203.0.113.9\"}]");
	free(text);
	json_decref(got);
	json_decref(list);
}
END_TEST

START_TEST(a_scan_of_many_ports)
{
	json_t *list = json_array(), *got, *ports;

	for (int i = 1; i <= 1000; i++)
		put_row(list, "203.0.113.7", "tcp", i, 1000, 1000);
	got = pending_by_source(list);
	ports = json_object_get(json_array_get(got, 0), "ports");
	ck_assert_uint_eq(json_array_size(ports), 9);
	ck_assert_str_eq(json_string_value(json_array_get(ports, 8)), "...");
	ck_assert_int_eq(out_int(json_array_get(got, 0), "count"), 1000);
	json_decref(got);
	json_decref(list);
}
END_TEST

/* ------------------------------------------------------------- the connection ---- */

static struct {
	struct live live;
	char dir[40], path[80];
	int listen_fd, fd;
	unsigned ups, downs, events, replies;
	json_t *result;
	char code[32];
} t;

static void up(void *ctx)
{
	(void)ctx;
	t.ups++;
}

static void down(void *ctx, enum pend_client_error e, const char *why)
{
	(void)ctx;
	(void)e;
	ck_assert_uint_gt(strlen(why), 0);
	t.downs++;
}

static void event(void *ctx, json_t *e)
{
	(void)ctx;
	ck_assert_str_eq(out_get(e, "type"), "note");
	t.events++;
}

static void replied(void *ctx, const json_t *result, const char *code, const char *message)
{
	(void)ctx;
	(void)message;
	json_decref(t.result);
	t.result = json_deep_copy(result);
	snprintf(t.code, sizeof(t.code), "%s", code ? code : "");
	t.replies++;
}

static const struct live_ops ops = {.up = up, .event = event, .down = down};

static void listen_there(void)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", t.path);
	t.listen_fd = socket(AF_UNIX, SOCK_STREAM, 0);
	ck_assert_int_eq(bind(t.listen_fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	ck_assert_int_eq(listen(t.listen_fd, 4), 0);
}

static void setup(void)
{
	memset(&t, 0, sizeof(t));
	strcpy(t.dir, "/tmp/pend-live-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(t.dir));
	snprintf(t.path, sizeof(t.path), "%s/s", t.dir);
	t.listen_fd = t.fd = -1;
	live_init(&t.live, t.path, &ops, NULL);
}

static void teardown(void)
{
	live_deinit(&t.live);
	json_decref(t.result);
	close(t.fd);
	close(t.listen_fd);
	unlink(t.path);
	rmdir(t.dir);
}

/* What the other side will say lies ready before anybody waits for it. */
static void connected(int64_t now)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	static const char hello[] =
		"{\"pend\":{\"version\":\"0.1.0\",\"protocol\":1,\"role\":\"admin\"}}\n";
	pid_t pid;

	(void)addr;
	listen_there();
	pid = fork();
	if (pid == 0) { /* keeps its end until ours has read it, and sends what it is sent back */
		int fd = accept(t.listen_fd, NULL, NULL);
		char buf[4096];
		ssize_t n;

		if (write(fd, hello, sizeof(hello) - 1) < 0)
			_exit(1);
		while ((n = read(fd, buf, sizeof(buf))) > 0)
			if (write(fd, buf, (size_t)n) < 0)
				break;
		_exit(0);
	}
	live_run(&t.live, now);
	ck_assert_str_eq(live_role(&t.live), "admin");
}

START_TEST(down_is_told_once_and_tried_again)
{
	live_run(&t.live, 0);
	live_run(&t.live, LIVE_RETRY_MS - 1);
	live_run(&t.live, LIVE_RETRY_MS);
	ck_assert_uint_eq(t.downs, 1);
	ck_assert_int_eq(live_fd(&t.live), -1);
	ck_assert_int_eq(live_timeout_ms(&t.live, LIVE_RETRY_MS), LIVE_RETRY_MS);
	ck_assert(!live_ask(&t.live, "status", NULL, replied, 0));
	connected(2 * LIVE_RETRY_MS);
	ck_assert_uint_eq(t.ups, 1);
	live_deinit(&t.live);
}
END_TEST

/* Hand it lines as if they had come; the request's number is 1. */
static void comes(const char *text)
{
	int pair[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	ck_assert_int_eq(dup2(pair[0], live_fd(&t.live)), live_fd(&t.live));
	close(pair[0]);
	ck_assert_int_eq(write(pair[1], text, strlen(text)), (ssize_t)strlen(text));
	live_run(&t.live, 1);
	close(t.fd);
	t.fd = pair[1];
}

START_TEST(replies_in_parts_and_events)
{
	connected(0);
	ck_assert(live_ask(&t.live, "pending", NULL, replied, 0));
	comes("{\"id\":1,\"more\":true,\"result\":{\"pending\":[1,2]}}\n"
	      "{\"event\":{\"type\":\"note\"}}\n{\"id\":7,\"ok\":true,\"result\":{}}\n"
	      "{\"id\":1,\"ok\":true,\"result\":{\"pending\":[3],\"count\":3}}\n");
	ck_assert_uint_eq(t.replies, 1);
	ck_assert_uint_eq(t.events, 1);
	ck_assert_uint_eq(json_array_size(json_object_get(t.result, "pending")), 3);
	ck_assert_int_eq(out_int(t.result, "count"), 3);
	ck_assert_str_eq(t.code, "");
	ck_assert_int_eq(live_timeout_ms(&t.live, 1), -1);
}
END_TEST

START_TEST(an_error_is_a_reply)
{
	connected(0);
	live_ask(&t.live, "complete", json_pack("{s:[]}", "ids"), replied, 0);
	comes("{\"id\":1,\"ok\":false,\"error\":{\"code\":\"denied\",\"message\":\"no\"}}\n");
	ck_assert_str_eq(t.code, "denied");
	ck_assert_uint_eq(t.downs, 0);
}
END_TEST

START_TEST(without_a_reply_it_is_given_up)
{
	connected(0);
	for (int i = 0; i < LIVE_CALLS; i++)
		ck_assert(live_ask(&t.live, "status", NULL, replied, 0));
	ck_assert(!live_ask(&t.live, "status", NULL, replied, 0)); /* a bound */
	ck_assert_int_eq(live_timeout_ms(&t.live, 0), LIVE_PATIENCE_MS);
	comes("{\"event\":{\"type\":\"note\"}}\n");
	ck_assert_uint_eq(t.downs, 0);
	live_run(&t.live, LIVE_PATIENCE_MS);
	ck_assert_uint_eq(t.downs, 1);
	ck_assert_uint_eq(t.replies, 0);
	ck_assert_int_eq(live_fd(&t.live), -1);
}
END_TEST

Suite *suite(void)
{
	Suite *s = suite_create("cli_screen");
	TCase *keys = tcase_create("terminal"), *look = tcase_create("lookup"),
	      *live = tcase_create("live");

	tcase_add_loop_test(keys, keys_of_a_terminal, 0, sizeof(sequences) / sizeof(sequences[0]));
	tcase_add_test(keys, any_bytes_are_keys_of_some_kind);
	tcase_add_test(keys, columns);
	tcase_add_loop_test(look, who_takes_it, 0, sizeof(sockets) / sizeof(sockets[0]));
	tcase_add_loop_test(look, unit_of_a_process, 0, sizeof(units) / sizeof(units[0]));
	tcase_add_test(look, this_host_is_looked_up);
	tcase_add_test(look, what_takes_too_long_is_given_up);
	tcase_add_test(look, a_line_for_each_source);
	tcase_add_test(look, a_scan_of_many_ports);
	tcase_add_checked_fixture(live, setup, teardown);
	tcase_add_test(live, down_is_told_once_and_tried_again);
	tcase_add_test(live, replies_in_parts_and_events);
	tcase_add_test(live, an_error_is_a_reply);
	tcase_add_test(live, without_a_reply_it_is_given_up);
	suite_add_tcase(s, keys);
	suite_add_tcase(s, look);
	suite_add_tcase(s, live);
	return s;
}
