/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who listens, for a thread that decides. See listeners.h. */
#include "daemon/listeners.h"
#include "daemon/resolver.h"
#include "io/listener.h"
#include "io/loop.h"
#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CACHE       256 /* by cookie; a socket that is pushed out is asked about again */
#define ANSWERS_MAX 64  /* read in one go */

struct listeners {
	struct listener_diag diag;
	_Atomic int next; /* a new channel, or -1 */
	int fd;           /* -1: no resolver */
	uint64_t seq;
	mono_t quiet_until;
	mono_t second;     /* the one that is being counted, */
	uint64_t waited;   /* ... and of it so much */
	uint64_t patience; /* left of it, and what is told since then holds */
	mono_t patient_since;
	bool late;
	_Atomic uint64_t lookups, cached, asked, unknown;
	struct classify_listener found; /* what the last find returned */
	struct resolver_answer cache[CACHE];
	mono_t asked_at[CACHE]; /* what is not waited for is not asked with every packet */
};

static void count(_Atomic uint64_t *n)
{
	atomic_store_explicit(n, atomic_load_explicit(n, memory_order_relaxed) + 1,
			      memory_order_relaxed);
}

int listeners_new(struct listeners **out)
{
	struct listeners *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	listener_open(&l->diag);
	l->next = l->fd = -1;
	*out = l;
	return 0;
}

static void hang_up(struct listeners *l)
{
	if (l->fd >= 0)
		close(l->fd);
	l->fd = -1;
}

void listeners_free(struct listeners *l)
{
	if (!l)
		return;
	listeners_connect(l, -1);
	hang_up(l);
	listener_close(&l->diag);
	free(l);
}

void listeners_connect(struct listeners *l, int fd)
{
	int unused = atomic_exchange(&l->next, fd);

	if (unused >= 0)
		close(unused);
}

void listeners_patient(struct listeners *l, uint64_t patience_ns)
{
	if (!l)
		return;
	l->patience = patience_ns;
	l->patient_since = loop_clock();
}

static void take_channel(struct listeners *l)
{
	int fd = atomic_exchange(&l->next, -1);

	if (fd < 0)
		return;
	hang_up(l);
	l->fd = fd;
	l->quiet_until = mono_ns(0);
}

static struct resolver_answer *slot(struct listeners *l, uint64_t cookie)
{
	return &l->cache[cookie % CACHE];
}

/* Its time is that of the look, however late it comes. */
static void keep(struct listeners *l, const struct resolver_answer *a, mono_t now)
{
	struct resolver_answer *s = slot(l, a->cookie);

	*s = *a;
	s->executable[sizeof(s->executable) - 1] = s->cgroup[sizeof(s->cgroup) - 1] = '\0';
	s->known &= s->asked;
	if (s->at_ns > now.ns)
		s->at_ns = now.ns;
}

/* What has come in. True: also the answer to the last question. */
static bool read_answers(struct listeners *l, mono_t now)
{
	bool ours = false;

	for (int i = 0; i < ANSWERS_MAX && l->fd >= 0; i++) {
		struct resolver_answer a;
		ssize_t n = recv(l->fd, &a, sizeof(a), MSG_DONTWAIT);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			break;
		if (n != (ssize_t)sizeof(a)) {
			hang_up(l); /* it has ended, or it is mad */
			break;
		}
		keep(l, &a, now);
		l->quiet_until = mono_ns(0);
		ours |= a.seq == l->seq;
	}
	return ours;
}

static bool fresh(const struct listeners *l, const struct resolver_answer *a, uint64_t cookie,
		  uint32_t need, mono_t now)
{
	if (a->cookie != cookie || !a->seq || need & ~a->asked)
		return false;
	return mono_since(now, mono_ns(a->at_ns)) < LISTENERS_FRESH_NS ||
	       (l->patient_since.ns && a->at_ns >= l->patient_since.ns);
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* How long; 0: not at all. */
static uint64_t may_wait(struct listeners *l, mono_t now)
{
	if (l->patience)
		return least(l->patience, LISTENERS_PATIENT_NS);
	if (mono_since(now, l->second) >= MONO_NS_PER_S) {
		l->second = now;
		l->waited = 0;
	}
	return l->waited < LISTENERS_SHARE_NS ? LISTENERS_WAIT_NS : 0;
}

static void await(struct listeners *l, mono_t until)
{
	mono_t begin = loop_clock(), now = begin;

	while (l->fd >= 0 && !read_answers(l, now) && mono_before(now, until)) {
		struct pollfd p = {.fd = l->fd, .events = POLLIN};

		poll(&p, 1, (int)(mono_since(until, now) / MONO_NS_PER_MS) + 1);
		now = loop_clock();
	}
	l->waited += mono_since(now, begin);
	l->patience -= least(l->patience, mono_since(now, begin));
	if (!mono_before(now, until))
		l->quiet_until = mono_add(now, LISTENERS_QUIET_NS);
}

static void ask(struct listeners *l, const struct listener_socket *s, uint32_t need, mono_t now)
{
	struct resolver_question q = {.seq = ++l->seq,
				      .cookie = s->cookie,
				      .cgroup = s->cgroup,
				      .inode = s->inode,
				      .need = need};

	mono_t *last = &l->asked_at[s->cookie % CACHE];
	uint64_t wait = may_wait(l, now);

	if (l->fd < 0 || (!wait && mono_since(now, *last) < LISTENERS_WAIT_NS))
		return;
	if (send(l->fd, &q, sizeof(q), MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)sizeof(q)) {
		if (errno != EAGAIN)
			hang_up(l);
		return;
	}
	*last = now;
	count(&l->asked);
	if (wait)
		await(l, mono_add(now, wait));
}

/* What is known of it beyond its user, or NULL. */
static const struct resolver_answer *details(struct listeners *l, const struct listener_socket *s,
					     uint32_t need)
{
	const struct resolver_answer *a = slot(l, s->cookie);
	mono_t now = loop_clock();

	take_channel(l);
	if (!fresh(l, a, s->cookie, need, now))
		read_answers(l, now); /* to an earlier packet, too late for it */
	if (fresh(l, a, s->cookie, need, now)) {
		count(&l->cached);
		return a;
	}
	if (!l->patience && mono_before(now, l->quiet_until))
		return NULL;
	/* Fields of one socket are asked together, or two rules would push out each other's. */
	if (a->cookie == s->cookie)
		need |= a->asked;
	ask(l, s, need, now);
	return fresh(l, a, s->cookie, need, loop_clock()) ? a : NULL;
}

static void fill(struct classify_listener *f, const struct resolver_answer *a)
{
	f->known |= (uint8_t)a->known;
	f->gid = a->gid;
	f->executable = a->executable;
	f->cgroup = a->cgroup;
}

const struct classify_listener *listeners_find(void *listeners, const struct pend_values *v,
					       unsigned need)
{
	struct listeners *l = listeners;
	static const struct classify_listener nothing = {.state = LISTENER_UNKNOWN};
	const struct resolver_answer *a;
	struct listener_socket s;

	if (!l)
		return &nothing;
	count(&l->lookups);
	l->late = false;
	l->found = (struct classify_listener){.executable = "", .cgroup = ""};
	l->found.state = (uint8_t)listener_find(&l->diag, v, &s);
	if (l->found.state == LISTENER_FOUND) {
		l->found.known = LISTENER_USER;
		l->found.uid = s.uid;
		a = need & ~(unsigned)LISTENER_USER
			    ? details(l, &s, need & ~(unsigned)LISTENER_USER)
			    : NULL;
		l->late = !a && need & ~(unsigned)LISTENER_USER;
		if (a)
			fill(&l->found, a);
	}
	if (l->found.state == LISTENER_UNKNOWN ||
	    (l->found.state == LISTENER_FOUND && need & ~(unsigned)l->found.known))
		count(&l->unknown);
	return &l->found;
}

bool listeners_late(const struct listeners *l)
{
	return l && l->late;
}

void listeners_count(const struct listeners *l, struct listeners_counts *out)
{
	*out = (struct listeners_counts){0};
	if (!l)
		return;
	out->lookups = atomic_load_explicit(&l->lookups, memory_order_relaxed);
	out->cached = atomic_load_explicit(&l->cached, memory_order_relaxed);
	out->asked = atomic_load_explicit(&l->asked, memory_order_relaxed);
	out->unknown = atomic_load_explicit(&l->unknown, memory_order_relaxed);
}
