/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which local socket would take a packet: the kernel's answers, real ones and wrong ones. */
#include "io/listener.h"
#include "unit.h"
#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static struct listener_diag diag;

static void open_diag(void)
{
	listener_open(&diag);
}

static void close_diag(void)
{
	listener_close(&diag);
	listener_close(&diag);
}

/* A socket of ours on a free port of its own. `only`: an IPv6 socket for IPv6 alone. */
static int socket_on(const char *addr, int type, bool only, bool share, uint16_t *port)
{
	bool v6 = strchr(addr, ':');
	struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(*port)};
	struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(*port)};
	struct sockaddr *sa = v6 ? (struct sockaddr *)&six : (struct sockaddr *)&four;
	socklen_t len = v6 ? sizeof(six) : sizeof(four);
	int fd = socket(v6 ? AF_INET6 : AF_INET, type | SOCK_CLOEXEC, 0), on = 1, v6only = only;

	ck_assert_int_ge(fd, 0);
	inet_pton(v6 ? AF_INET6 : AF_INET, addr,
		  v6 ? (void *)&six.sin6_addr : (void *)&four.sin_addr);
	if (v6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof(v6only));
	if (share)
		setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
	ck_assert_int_eq(bind(fd, sa, len), 0);
	if (type == SOCK_STREAM)
		ck_assert_int_eq(listen(fd, 5), 0);
	ck_assert_int_eq(getsockname(fd, sa, &len), 0);
	*port = ntohs(v6 ? six.sin6_port : four.sin_port);
	return fd;
}

static struct pend_values packet(const char *to, uint8_t protocol, uint16_t port)
{
	struct pend_values v = {.family = strchr(to, ':') ? 6 : 4,
				.protocol = protocol,
				.source_port = 40000,
				.dest_port = port,
				.has_ports = true,
				.in_interface = 1,
				.hook = 1};

	inet_pton(v.family == 6 ? AF_INET6 : AF_INET, to, v.dest);
	memcpy(v.source, v.dest, sizeof(v.source));
	return v;
}

static bool is_socket(const struct listener_socket *s, int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && s->inode == st.st_ino && s->uid == getuid() && s->cookie;
}

static const struct {
	const char *bind, *to;
	bool only, found;
} places[] = {
	{"0.0.0.0", "127.0.0.1", false, true},
	{"127.0.0.1", "127.0.0.1", false, true},
	{"127.0.0.2", "127.0.0.1", false, false},
	{"::", "::1", false, true},
	{"::1", "::1", true, true},
	{"::", "127.0.0.1", false, true},
	{"::", "127.0.0.1", true, false},
	{"0.0.0.0", "::1", false, false},
};

static void finds(unsigned i, int type, uint8_t protocol)
{
	uint16_t port = 0;
	int fd = socket_on(places[i].bind, type, places[i].only, false, &port);
	struct pend_values v = packet(places[i].to, protocol, port);
	struct listener_socket s;

	ck_assert_int_eq(listener_find(&diag, &v, &s),
			 places[i].found ? LISTENER_FOUND : LISTENER_NONE);
	ck_assert(!places[i].found || is_socket(&s, fd));
	close(fd);
	ck_assert_int_eq(listener_find(&diag, &v, &s), LISTENER_NONE);
}

START_TEST(tcp)
{
	if (diag.tcp)
		finds((unsigned)_i, SOCK_STREAM, IPPROTO_TCP);
}
END_TEST

START_TEST(udp)
{
	if (diag.udp)
		finds((unsigned)_i, SOCK_DGRAM, IPPROTO_UDP);
}
END_TEST

/* Of several on one port, one of them: the same for the same packet. */
START_TEST(shared_port)
{
	uint16_t port = 0;
	int a = socket_on("127.0.0.1", SOCK_STREAM, false, true, &port);
	int b = socket_on("127.0.0.1", SOCK_STREAM, false, true, &port);
	struct pend_values v = packet("127.0.0.1", IPPROTO_TCP, port);
	struct listener_socket s, again;
	unsigned first = 0;

	for (uint16_t i = 0; diag.tcp && i < 64; i++) {
		v.source_port = (uint16_t)(40000 + i);
		ck_assert_int_eq(listener_find(&diag, &v, &s), LISTENER_FOUND);
		ck_assert(is_socket(&s, a) || is_socket(&s, b));
		ck_assert_int_eq(listener_find(&diag, &v, &again), LISTENER_FOUND);
		ck_assert(s.cookie == again.cookie);
		first += is_socket(&s, a);
	}
	ck_assert(!diag.tcp || (first > 0 && first < 64));
	close(a);
	close(b);
}
END_TEST

/* A live connection is judged by who listens, as it was when it began; by itself when nobody
 * does. */
START_TEST(live_connection)
{
	uint16_t port = 0, own = 0;
	int listener = socket_on("127.0.0.1", SOCK_STREAM, false, false, &port);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), accepted;
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
	socklen_t len = sizeof(to);
	struct listener_socket s;
	struct pend_values v;

	inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&to, &len), 0);
	own = ntohs(to.sin_port);
	accepted = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	v = packet("127.0.0.1", IPPROTO_TCP, port);
	v.source_port = own;
	ck_assert(!diag.tcp ||
		  (listener_find(&diag, &v, &s) == LISTENER_FOUND && is_socket(&s, listener)));
	close(listener);
	ck_assert(!diag.tcp ||
		  (listener_find(&diag, &v, &s) == LISTENER_FOUND && is_socket(&s, accepted)));
	close(fd);
	close(accepted);
	/* What is left of it (TIME_WAIT) has no owner. */
	ck_assert(!diag.tcp || listener_find(&diag, &v, &s) == LISTENER_NONE);
}
END_TEST

START_TEST(others)
{
	struct pend_values v = packet("127.0.0.1", IPPROTO_ICMP, 0);
	struct listener_diag none = {.fd = -1};
	struct listener_socket s;

	ck_assert_int_eq(listener_find(&diag, &v, &s), LISTENER_NONE);
	v.protocol = IPPROTO_SCTP;
	ck_assert_int_eq(listener_find(&diag, &v, &s), LISTENER_UNKNOWN);
	v.protocol = IPPROTO_TCP;
	ck_assert_int_eq(listener_find(&none, &v, &s), LISTENER_UNKNOWN);
	none.tcp = true; /* and then its socket fails */
	ck_assert_int_eq(listener_find(&none, &v, &s), LISTENER_UNKNOWN);
	v.hook = 2;
	ck_assert_int_eq(listener_find(&diag, &v, &s), LISTENER_NONE);
	v.hook = 0;
	ck_assert_int_eq(listener_find(&diag, &v, &s), LISTENER_UNKNOWN);
}
END_TEST

/* ---- the parser ---- */

struct answer {
	struct nlmsghdr nlh;
	struct inet_diag_msg m;
	struct nlattr other;
	uint32_t other_value;
	struct nlattr cgroup;
	uint8_t cgroup_value[8];
};

static struct answer answer(void)
{
	struct answer a = {
		.nlh = {.nlmsg_len = sizeof(a), .nlmsg_type = SOCK_DIAG_BY_FAMILY, .nlmsg_seq = 7},
		.other = {.nla_len = 8, .nla_type = INET_DIAG_MARK},
		.cgroup = {.nla_len = 12, .nla_type = 21},
		.cgroup_value = {1},
	};

	a.m.idiag_state = 10;
	a.m.idiag_uid = 33;
	a.m.idiag_inode = 4711;
	a.m.id.idiag_cookie[0] = 5;
	a.m.id.idiag_cookie[1] = 6;
	return a;
}

START_TEST(parse)
{
	struct answer a = answer();
	struct listener_socket s;

	ck_assert_int_eq(listener_parse(&a, sizeof(a), 7, &s), LISTENER_PARSED);
	ck_assert(s.uid == 33 && s.inode == 4711 && s.cookie == (6ull << 32 | 5) && s.cgroup);
	ck_assert_int_eq(listener_parse(&a, sizeof(a), 8, &s), LISTENER_PARSED_OTHER);
	a.cgroup.nla_len = 11; /* too short for a number */
	ck_assert_int_eq(listener_parse(&a, sizeof(a), 7, &s), LISTENER_PARSED);
	ck_assert(!s.cgroup);
	a = answer();
	a.other.nla_len = 0; /* would never end */
	ck_assert_int_eq(listener_parse(&a, sizeof(a), 7, &s), LISTENER_PARSED);
	a.other.nla_len = UINT16_MAX;
	ck_assert_int_eq(listener_parse(&a, sizeof(a), 7, &s), LISTENER_PARSED);
	ck_assert(!s.cgroup);
}
END_TEST

START_TEST(parse_short)
{
	struct answer a = answer();
	struct listener_socket s;

	for (size_t n = 0; n < sizeof(a); n++) {
		ck_assert_int_eq(listener_parse(&a, n, 7, &s), -EPROTO);
		a.nlh.nlmsg_len = (uint32_t)n;
		ck_assert_int_eq(listener_parse(&a, sizeof(a), 7, &s),
				 n < sizeof(a.nlh) + sizeof(a.m) ? -EPROTO : LISTENER_PARSED);
		a.nlh.nlmsg_len = sizeof(a);
	}
	a.nlh.nlmsg_len = UINT32_MAX;
	ck_assert_int_eq(listener_parse(&a, sizeof(a), 7, &s), -EPROTO);
}
END_TEST

START_TEST(parse_error)
{
	static const struct {
		int error, want;
	} rows[] = {
		{-ENOENT, -ENOENT}, {-EPERM, -EPERM}, {0, -EPROTO}, {5, -EPROTO}, {-5000, -EPROTO}};
	struct {
		struct nlmsghdr nlh;
		struct nlmsgerr e;
	} m = {.nlh = {.nlmsg_len = sizeof(m), .nlmsg_type = NLMSG_ERROR, .nlmsg_seq = 7}};
	struct listener_socket s;

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		m.e.error = rows[i].error;
		ck_assert_int_eq(listener_parse(&m, sizeof(m), 7, &s), rows[i].want);
	}
	m.nlh.nlmsg_len = NLMSG_HDRLEN + 3;
	ck_assert_int_eq(listener_parse(&m, sizeof(m), 7, &s), -EPROTO);
}
END_TEST

Suite *suite(void)
{
	Suite *s = suite_create("listener");
	TCase *kernel = tcase_create("kernel"), *bytes = tcase_create("bytes");
	int n = (int)(sizeof(places) / sizeof(*places));

	tcase_add_checked_fixture(kernel, open_diag, close_diag);
	tcase_add_loop_test(kernel, tcp, 0, n);
	tcase_add_loop_test(kernel, udp, 0, n);
	tcase_add_test(kernel, shared_port);
	tcase_add_test(kernel, live_connection);
	tcase_add_test(kernel, others);
	tcase_add_test(bytes, parse);
	tcase_add_test(bytes, parse_short);
	tcase_add_test(bytes, parse_error);
	suite_add_tcase(s, kernel);
	suite_add_tcase(s, bytes);
	return s;
}
