/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The daemon's small parts that need no kernel: counters from /proc, options, sd_notify. */
#include "daemon/kernel.h"
#include "daemon/notify.h"
#include "daemon/opts.h"
#include "unit.h"
#include <fcntl.h>
#include <getopt.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

START_TEST(kernel_sums_our_queues)
{
	struct kernel_queues k;
	static const char text[] = "   99  1     5 2 65531     7     8       10  1\n"
				   "  100  2     1 2 65531     2     3       10  1\n"
				   "  101  3    10 2 65531    20    30       10  1\n"
				   "  102  4   100 2 65531   200   300       10  1\n";

	kernel_queues_parse(&k, text, 100, 2);
	ck_assert(k.present == 2 && k.queued == 11 && k.queue_dropped == 22 &&
		  k.user_dropped == 33);
	kernel_queues_parse(&k, text, 65535, 1);
	ck_assert(k.present == 0 && k.queued == 0);
	kernel_queues_parse(&k, NULL, 100, 2);
	ck_assert(k.present == 0);
}
END_TEST

START_TEST(kernel_takes_any_text)
{
	static const char *const texts[] = {
		"",        "\n\n\n",
		"100",     "100 1 2 3\n100 1 2 3 4 5 6 7 8",
		"x y z\n", "100 99999999999999999999999 1 1 1 1 1 1 1\n",
	};
	struct kernel_queues k;

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
		kernel_queues_parse(&k, texts[i], 100, 1);
}
END_TEST

static struct opts parse(const char *a, const char *b, const char *c)
{
	static char text[4][32]; /* config points into it */
	const char *words[] = {"pendd", a, b, c};
	char *argv[5] = {NULL};
	struct opts o;
	int n = 0;

	for (; n < 4 && words[n]; n++) {
		snprintf(text[n], sizeof(text[n]), "%s", words[n]);
		argv[n] = text[n];
	}
	optind = 0; /* glibc: start anew */
	ck_assert_ptr_nonnull(freopen("/dev/null", "w", stdout));
	opts_parse(&o, n, argv);
	return o;
}

START_TEST(options)
{
	ck_assert(parse(NULL, NULL, NULL).mode == OPTS_RUN);
	ck_assert_str_eq(parse("-c", "/x", NULL).config, "/x");
	ck_assert(parse("-t", NULL, NULL).mode == OPTS_CHECK);
	ck_assert(parse("-n", "-v", NULL).verbose);
	ck_assert(parse("-d", NULL, NULL).debug);
	ck_assert(parse("--version", NULL, NULL).status == EXIT_SUCCESS);
	ck_assert(parse("-h", NULL, NULL).mode == OPTS_EXIT);
	ck_assert_int_eq(parse("-x", NULL, NULL).status, EXIT_USAGE);
	ck_assert_int_eq(parse("stray", NULL, NULL).status, EXIT_USAGE);
	ck_assert_int_eq(parse("-c", NULL, NULL).status, EXIT_USAGE);
	ck_assert_int_eq(parse("--authority-process", NULL, NULL).status, EXIT_USAGE);
	ck_assert(parse("--authority-process", "--workers", "2").workers == 2);
	ck_assert_int_eq(parse("--authority-process", "--workers", "100000").status, EXIT_USAGE);
	ck_assert_int_eq(parse("--resolver-process", NULL, NULL).status, EXIT_USAGE);
	ck_assert(parse("--resolver-process", "--workers", "2").mode == OPTS_RESOLVER);
	ck_assert_int_eq(parse("--resolver-process", "--workers", "100000").status, EXIT_USAGE);
}
END_TEST

START_TEST(notify_sends_one_datagram_each)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	char buf[600], name[64];
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	ssize_t n;

	notify_send("STATUS=%s", "before open: nothing happens");
	snprintf(name, sizeof(name), "@pend-test-%ld", (long)getpid());
	memcpy(sun.sun_path + 1, name + 1, strlen(name) - 1);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sun,
			      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name))),
			 0);
	setenv("NOTIFY_SOCKET", name, 1);
	notify_open();
	ck_assert_ptr_null(getenv("NOTIFY_SOCKET"));
	notify_send("READY=1\nSTATUS=%d", 7);
	n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
	ck_assert(n == 16 && !memcmp(buf, "READY=1\nSTATUS=7", 16));
	notify_store_fd(fd, "queue-0");
	n = recv(fd, buf, sizeof(buf) - 1, MSG_DONTWAIT);
	ck_assert(n > 0);
	buf[n] = '\0';
	ck_assert_ptr_nonnull(strstr(buf, "FDNAME=queue-0"));
	close(fd);
	notify_send("nobody listens any more");
}
END_TEST

START_TEST(notify_bad_addresses_are_ignored)
{
	char longer[300];

	memset(longer, 'a', sizeof(longer) - 1);
	longer[0] = '/';
	longer[sizeof(longer) - 1] = '\0';
	setenv("NOTIFY_SOCKET", longer, 1);
	notify_open();
	setenv("NOTIFY_SOCKET", "relative", 1);
	notify_open();
	setenv("NOTIFY_SOCKET", "", 1);
	notify_open();
	notify_send("READY=1");
}
END_TEST

START_TEST(notify_takes_stored_descriptors_by_name)
{
	char pid[32];

	snprintf(pid, sizeof(pid), "%ld", (long)getpid());
	ck_assert_int_eq(notify_take_fd("queue-0"), -1);
	setenv("LISTEN_FDS", "3", 1);
	setenv("LISTEN_FDNAMES", "table:queue-0:queue-1", 1);
	setenv("LISTEN_PID", "1", 1);
	ck_assert_int_eq(notify_take_fd("queue-0"), -1); /* another process's */
	setenv("LISTEN_PID", pid, 1);
	ck_assert_int_eq(notify_take_fd("table"), 3);
	ck_assert_int_eq(notify_take_fd("queue-1"), 5);
	ck_assert_int_eq(notify_take_fd("queue"), -1);
	ck_assert_int_eq(notify_take_fd("queue-00"), -1);
	setenv("LISTEN_FDS", "1", 1);
	ck_assert_int_eq(notify_take_fd("queue-1"), -1); /* more names than descriptors */
}
END_TEST

START_TEST(notify_watchdog_is_half_of_what_is_asked)
{
	ck_assert(notify_watchdog_ns() == 0);
	setenv("WATCHDOG_USEC", "30000000", 1);
	ck_assert(notify_watchdog_ns() == 15000000000ull);
	setenv("WATCHDOG_PID", "1", 1);
	ck_assert(notify_watchdog_ns() == 0);
}
END_TEST

Suite *suite(void)
{
	Suite *s = suite_create("daemon, small parts");
	TCase *tc = tcase_create("parts");

	tcase_add_test(tc, kernel_sums_our_queues);
	tcase_add_test(tc, kernel_takes_any_text);
	tcase_add_test(tc, options);
	tcase_add_test(tc, notify_sends_one_datagram_each);
	tcase_add_test(tc, notify_bad_addresses_are_ignored);
	tcase_add_test(tc, notify_takes_stored_descriptors_by_name);
	tcase_add_test(tc, notify_watchdog_is_half_of_what_is_asked);
	suite_add_tcase(s, tc);
	return s;
}
