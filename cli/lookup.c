/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names and listeners, looked up in a child process; see lookup.h. */
#include "cli/lookup.h"
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define TCP 6
#define UDP 17

/* ------------------------------------------------------------------- the child ---- */

/* "0100007F:1F90": words as this machine keeps them, which are bytes of the network. */
static const char *hex_address(const char *s, size_t words, uint8_t *addr, unsigned *port)
{
	int n = 0;

	for (size_t i = 0; i < words; i++, s += 8) {
		unsigned v;

		if (sscanf(s, "%8x", &v) != 1)
			return NULL;
		memcpy(addr + 4 * i, &v, 4);
	}
	return sscanf(s, ":%4x%n", port, &n) == 1 ? s + n : NULL;
}

/* 3: its very address, 2: every address, 1: every address of both families. */
static int fit(const struct lookup_question *q, bool v6, const uint8_t *addr)
{
	static const uint8_t any[16], mapped[12] = {[10] = 0xff, [11] = 0xff};
	bool same_family = v6 == (q->family == 6);

	if (same_family && memcmp(addr, q->dest, v6 ? 16 : 4) == 0)
		return 3;
	if (!memcmp(addr, any, v6 ? 16 : 4))
		return same_family ? 2 : v6;
	if (v6 && q->family == 4 && !memcmp(addr, mapped, 12) && !memcmp(addr + 12, q->dest, 4))
		return 3;
	return 0;
}

int lookup_socket(const char *line, const struct lookup_question *q, bool v6, unsigned *uid,
		  unsigned long *inode)
{
	unsigned state, port, listening = q->proto == TCP ? 0x0a : 0x07;
	const char *s = strchr(line, ':');
	uint8_t addr[16] = {0};
	unsigned long ino;
	unsigned owner;

	s = s ? s + 1 + strspn(s + 1, " ") : NULL;
	if (!s || strspn(s, "0123456789ABCDEF") != (v6 ? 32 : 8))
		return 0;
	s = hex_address(s, v6 ? 4 : 1, addr, &port);
	if (!s || port != q->port ||
	    sscanf(s, " %*s %x %*s %*s %*s %u %*s %lu", &state, &owner, &ino) != 3 ||
	    state != listening)
		return 0;
	*uid = owner;
	*inode = ino;
	return fit(q, v6, addr);
}

/* The best of one file; *best is what there was before. */
static void scan(const char *path, const struct lookup_question *q, bool v6, int *best,
		 unsigned *uid, unsigned long *inode)
{
	FILE *f = fopen(path, "re");
	char line[512];

	while (f && fgets(line, sizeof(line), f)) {
		unsigned owner;
		unsigned long ino;
		int n = lookup_socket(line, q, v6, &owner, &ino);

		if (n <= *best)
			continue;
		*best = n;
		*uid = owner;
		*inode = ino;
	}
	if (f)
		fclose(f);
}

void lookup_unit(const char *line, char *unit, size_t size)
{
	static const char *const ends[] = {".service", ".socket", ".scope"};
	size_t n = strcspn(line, "\n");

	*unit = '\0';
	while (n) {
		size_t begin = n;

		while (begin && line[begin - 1] != '/')
			begin--;
		for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
			size_t end = strlen(ends[i]);

			if (n - begin > end && !strncmp(line + n - end, ends[i], end)) {
				snprintf(unit, size, "%.*s", (int)(n - begin), line + begin);
				return;
			}
		}
		n = begin ? begin - 1 : 0;
	}
}

static bool holds_socket(const char *pid, const char *name)
{
	char path[300], link[64];
	struct dirent *e;
	bool found = false;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%.20s/fd", pid);
	d = opendir(path);
	while (d && !found && (e = readdir(d))) {
		ssize_t n;

		snprintf(path, sizeof(path), "/proc/%.20s/fd/%.20s", pid, e->d_name);
		n = readlink(path, link, sizeof(link) - 1);
		link[n > 0 ? n : 0] = '\0';
		found = strcmp(link, name) == 0;
	}
	if (d)
		closedir(d);
	return found;
}

static void describe(const char *pid, struct lookup_answer *a)
{
	char path[64], line[512];
	ssize_t n;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%.20s/exe", pid);
	n = readlink(path, a->executable, sizeof(a->executable) - 1);
	a->executable[n > 0 ? n : 0] = '\0';
	snprintf(path, sizeof(path), "/proc/%.20s/cgroup", pid);
	f = fopen(path, "re");
	while (f && !*a->unit && fgets(line, sizeof(line), f))
		lookup_unit(line, a->unit, sizeof(a->unit));
	if (f)
		fclose(f);
}

/* Whose it is; root sees it of everybody, others of themselves. */
static void owner(unsigned long inode, struct lookup_answer *a)
{
	DIR *d = opendir("/proc");
	char name[64];
	struct dirent *e;

	snprintf(name, sizeof(name), "socket:[%lu]", inode);
	while (d && (e = readdir(d)))
		if (e->d_name[0] >= '1' && e->d_name[0] <= '9' && holds_socket(e->d_name, name)) {
			describe(e->d_name, a);
			break;
		}
	if (d)
		closedir(d);
}

static bool is_local(const struct lookup_question *q)
{
	struct ifaddrs *all = NULL, *i;
	bool found = false;

	if (getifaddrs(&all) < 0)
		return false;
	for (i = all; i && !found; i = i->ifa_next) {
		const struct sockaddr *sa = i->ifa_addr;

		if (sa && sa->sa_family == AF_INET && q->family == 4)
			found = !memcmp(&((const struct sockaddr_in *)(const void *)sa)->sin_addr,
					q->dest, 4);
		else if (sa && sa->sa_family == AF_INET6 && q->family == 6)
			found = !memcmp(&((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr,
					q->dest, 16);
	}
	freeifaddrs(all);
	return found || (q->family == 4 && q->dest[0] == 127);
}

static void user_name(unsigned uid, struct lookup_answer *a)
{
	struct passwd pw, *found = NULL;
	char buf[4096];

	if (getpwuid_r(uid, &pw, buf, sizeof(buf), &found) == 0 && found)
		snprintf(a->user, sizeof(a->user), "%s", pw.pw_name);
	else
		snprintf(a->user, sizeof(a->user), "%u", uid);
}

static void find_listener(const struct lookup_question *q, struct lookup_answer *a)
{
	const char *name = q->proto == TCP ? "tcp" : "udp";
	unsigned long inode = 0;
	struct servent se, *found = NULL;
	char path[32], buf[1024];
	unsigned uid = 0;
	int best = 0;

	a->kind = LOOKUP_LISTENER;
	a->local = is_local(q);
	if (q->proto != TCP && q->proto != UDP)
		return;
	if (getservbyport_r(htons(q->port), name, &se, buf, sizeof(buf), &found) == 0 && found)
		snprintf(a->service, sizeof(a->service), "%s", se.s_name);
	if (!a->local)
		return;
	if (q->family == 4) {
		snprintf(path, sizeof(path), "/proc/net/%s", name);
		scan(path, q, false, &best, &uid, &inode);
	}
	snprintf(path, sizeof(path), "/proc/net/%s6", name);
	scan(path, q, true, &best, &uid, &inode);
	a->found = best > 0;
	if (!best)
		return;
	user_name(uid, a);
	owner(inode, a);
}

static socklen_t address_of(uint8_t family, const uint8_t *addr, struct sockaddr_storage *ss)
{
	*ss = (struct sockaddr_storage){0};
	if (family == 4) {
		struct sockaddr_in *in = (struct sockaddr_in *)ss;

		in->sin_family = AF_INET;
		memcpy(&in->sin_addr, addr, 4);
		return sizeof(*in);
	}
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ss;

	in6->sin6_family = AF_INET6;
	memcpy(&in6->sin6_addr, addr, 16);
	return sizeof(*in6);
}

static bool leads_back(const char *name, uint8_t family, const uint8_t *addr)
{
	struct addrinfo hints = {.ai_family = family == 4 ? AF_INET : AF_INET6,
				 .ai_socktype = SOCK_STREAM},
			*all = NULL, *i;
	bool found = false;

	if (getaddrinfo(name, NULL, &hints, &all) != 0)
		return false;
	for (i = all; i && !found; i = i->ai_next)
		found = family == 4
				? !memcmp(&((struct sockaddr_in *)(void *)i->ai_addr)->sin_addr,
					  addr, 4)
				: !memcmp(&((struct sockaddr_in6 *)(void *)i->ai_addr)->sin6_addr,
					  addr, 16);
	freeaddrinfo(all);
	return found;
}

static void find_name(uint8_t family, const uint8_t *addr, struct lookup_answer *a)
{
	struct sockaddr_storage ss;
	socklen_t len = address_of(family, addr, &ss);

	a->found = getnameinfo((struct sockaddr *)&ss, len, a->name, sizeof(a->name), NULL, 0,
			       NI_NAMEREQD) == 0;
	if (!a->found)
		a->name[0] = '\0';
	else
		a->confirmed = leads_back(a->name, family, addr);
}

static bool tell(int fd, const struct lookup_answer *a)
{
	return send(fd, a, sizeof(*a), MSG_NOSIGNAL) == (ssize_t)sizeof(*a);
}

static bool tell_names(int fd, const struct lookup_question *q, bool local)
{
	struct lookup_answer source = {.seq = q->seq, .kind = LOOKUP_NAME};
	struct lookup_answer target = {.seq = q->seq, .kind = LOOKUP_TARGET, .local = local};

	find_name(q->family, q->source, &source);
	if (!tell(fd, &source))
		return false;
	if (!local)
		find_name(q->family, q->dest, &target);
	return tell(fd, &target);
}

static _Noreturn void child(int fd)
{
	struct lookup_question q;
	sigset_t none;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	while (recv(fd, &q, sizeof(q), 0) == (ssize_t)sizeof(q)) {
		struct lookup_answer a = {.seq = q.seq};

		find_listener(&q, &a);
		if (!tell(fd, &a) || (q.names && !tell_names(fd, &q, a.local)))
			break;
	}
	_exit(0);
}

/* ------------------------------------------------------------------ the parent ---- */

void lookup_init(struct lookup *l)
{
	*l = (struct lookup){.fd = -1, .pid = -1};
}

static bool begin(struct lookup *l)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return false;
	l->pid = fork();
	if (l->pid == 0) {
		close(pair[0]);
		child(pair[1]);
	}
	close(pair[1]);
	if (l->pid < 0) {
		close(pair[0]);
		return false;
	}
	l->fd = pair[0];
	return true;
}

void lookup_deinit(struct lookup *l)
{
	if (l->fd >= 0)
		close(l->fd);
	if (l->pid > 0) {
		kill(l->pid, SIGKILL);
		while (waitpid(l->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	l->fd = -1;
	l->pid = -1;
	l->waiting = 0;
}

bool lookup_ask(struct lookup *l, struct lookup_question *q, int64_t now)
{
	if (l->waiting) /* still at the one before */
		lookup_deinit(l);
	if (l->fd < 0 && !begin(l))
		return false;
	q->seq = ++l->seq;
	if (send(l->fd, q, sizeof(*q), MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)sizeof(*q)) {
		lookup_deinit(l);
		return false;
	}
	l->waiting = q->names ? LOOKUP_ANSWERS : 1;
	l->deadline = now + LOOKUP_PATIENCE_MS;
	return true;
}

bool lookup_read(struct lookup *l, struct lookup_answer *a)
{
	ssize_t n;

	if (l->fd < 0)
		return false;
	n = recv(l->fd, a, sizeof(*a), MSG_DONTWAIT);
	if (n != (ssize_t)sizeof(*a)) {
		if (n >= 0 || (errno != EAGAIN && errno != EINTR))
			lookup_deinit(l); /* it has ended */
		return false;
	}
	if (a->seq != l->seq || !l->waiting)
		return false;
	l->waiting--;
	return true;
}

bool lookup_late(struct lookup *l, int64_t now)
{
	if (!l->waiting || now < l->deadline)
		return false;
	lookup_deinit(l);
	return true;
}
