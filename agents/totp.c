/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `type totp`: a connection waits until somebody brings a one-time code for its source (`pendctl unlock`), and then
 * that source is open for a while. A question of a source that is not open waits for its deadline.
 */
#include "agents/agent.h"
#include "agents/totp.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define OPEN_MAX      4096u /* sources that are open at once; a code for one more is refused */
#define CODE_WRONG    1
#define LOCK_MS       1000 /* that another one may hold the file of what was taken */
#define LOCK_PAUSE_MS 10
#define USED_MAX      (TOTP_SECRETS_MAX * TOTP_USED_LINE)

struct open_source {
	struct hnode node;
	struct list link; /* totp->open */
	mono_t until;
	char source[48], name[TOTP_NAME_MAX + 1];
};

struct totp {
	struct agent *agent;
	char *path;          /* of the secrets */
	char used[PATH_MAX]; /* of what was taken; "": it cannot be kept */
	struct totp_secrets secrets;
	struct stat read; /* the file, when it was read */
	bool wrong;       /* ... and was of no use: no code is taken */
	uint64_t open_ns;
	struct totp_limit limit;
	struct htable by_source;
	struct list open;
	unsigned nopen;
};

/* ---- what was taken ---- */

static void used_path(struct totp *t)
{
	const char *socket = agent_socket(t->agent), *slash = strrchr(socket, '/');
	int dir = slash ? (int)(slash - socket) : 0, n;

	n = snprintf(t->used, sizeof(t->used), "%.*s/totp-%s.used", dir, socket,
		     agent_name(t->agent));
	if (n < 0 || (size_t)n >= sizeof(t->used) - 8 || strchr(agent_name(t->agent), '/'))
		t->used[0] = '\0';
}

/* A new file in the old one's place, so that half a one is never read. */
static int used_write(const struct totp *t)
{
	char tmp[PATH_MAX], *text = NULL;
	int len = totp_used_print(&t->secrets, &text), fd, r = 0;

	if (len < 0)
		return len;
	snprintf(tmp, sizeof(tmp), "%.*s.new", (int)sizeof(tmp) - 8, t->used);
	fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, text, (size_t)len) != len || rename(tmp, t->used) < 0)
		r = -errno;
	if (fd >= 0)
		close(fd);
	free(text);
	return r;
}

/* A program that is stopped while it holds the lock must not stop this one. */
static int lock_try(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	struct stat locked, there;
	int r = fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0 || fstat(fd, &locked) < 0 ? -errno : 0;

	/* another one may have put a new file in its place meanwhile */
	if (r == 0 && (lstat(path, &there) < 0 || there.st_ino != locked.st_ino ||
		       there.st_dev != locked.st_dev))
		r = -EWOULDBLOCK;
	if (r < 0 && fd >= 0)
		close(fd);
	return r < 0 ? r : fd;
}

/* Whoever else serves this authority has to wait: the file, to be closed, or -errno. */
static int used_lock(const struct totp *t)
{
	const struct timespec pause = {.tv_nsec = LOCK_PAUSE_MS * 1000000L};
	int fd = lock_try(t->used);

	for (int i = 0; fd == -EWOULDBLOCK && i < LOCK_MS / LOCK_PAUSE_MS; i++) {
		nanosleep(&pause, NULL);
		fd = lock_try(t->used);
	}
	return fd;
}

static int used_read(struct totp *t, int fd)
{
	char *text = malloc(USED_MAX);
	ssize_t n = text ? read(fd, text, USED_MAX) : -1;
	int r = text ? n < 0 ? -errno : 0 : -ENOMEM;

	if (n > 0)
		totp_used_parse(&t->secrets, text, (size_t)n, time(NULL));
	free(text);
	return r;
}

/* Nothing there is the first start since the host's own; what cannot be known was perhaps taken. */
static void used_begin(struct totp *t)
{
	int fd, r;

	used_path(t);
	fd = t->used[0] ? used_lock(t) : -ENAMETOOLONG;
	r = fd < 0 ? fd : used_read(t, fd);
	if (r == 0)
		r = used_write(t);
	if (fd >= 0)
		close(fd);
	if (r == 0)
		return;
	agent_log(t->agent, "codes that are valid already will be refused: cannot keep %s: %s",
		  t->used, strerror(-r));
	t->used[0] = '\0';
	totp_secrets_expire(&t->secrets, time(NULL));
}

/* ---- secrets ---- */

static bool changed(const struct totp *t, const struct stat *st)
{
	return st->st_mtim.tv_sec != t->read.st_mtim.tv_sec ||
	       st->st_mtim.tv_nsec != t->read.st_mtim.tv_nsec ||
	       st->st_ctim.tv_sec != t->read.st_ctim.tv_sec ||
	       st->st_ctim.tv_nsec != t->read.st_ctim.tv_nsec || st->st_ino != t->read.st_ino ||
	       st->st_dev != t->read.st_dev || st->st_size != t->read.st_size;
}

/* When the file has changed. False: it is of no use now. */
static bool secrets_fresh(struct totp *t)
{
	struct totp_secrets fresh;
	struct err e = {0};
	struct stat st = {0};

	if (stat(t->path, &st) == 0 && !changed(t, &st))
		return !t->wrong;
	t->read = st;
	t->wrong = totp_secrets_load(t->path, &fresh, &e) < 0;
	if (t->wrong) {
		agent_log(t->agent, "no code is taken: %s", e.text);
		return false;
	}
	totp_secrets_inherit(&fresh, &t->secrets);
	totp_secrets_free(&t->secrets);
	t->secrets = fresh;
	agent_log(t->agent, "%zu secrets were read", fresh.n);
	return true;
}

/* ---- sources ---- */

static uint32_t hash(const char *s)
{
	uint32_t h = 2166136261u;

	for (; *s; s++)
		h = (h ^ (unsigned char)*s) * 16777619u;
	return h;
}

static void source_close(struct totp *t, struct open_source *s)
{
	htable_del(&t->by_source, &s->node);
	list_del(&s->link);
	t->nopen--;
	free(s);
}

/* NULL: it is not open. */
static struct open_source *source_find(struct totp *t, const char *source)
{
	uint32_t h = hash(source);

	for (struct hnode *n = htable_first(&t->by_source, h); n; n = htable_next(n, h)) {
		struct open_source *s = container_of(n, struct open_source, node);

		if (strcmp(s->source, source) != 0)
			continue;
		if (mono_before(loop_now(agent_loop(t->agent)), s->until))
			return s;
		source_close(t, s);
		return NULL;
	}
	return NULL;
}

static void sources_expire(struct totp *t)
{
	mono_t now = loop_now(agent_loop(t->agent));
	struct list *at, *tmp;

	list_foreach(at, tmp, &t->open) {
		struct open_source *s = container_of(at, struct open_source, link);

		if (!mono_before(now, s->until))
			source_close(t, s);
	}
}

/* NULL: there are too many, or no memory. */
static struct open_source *source_get(struct totp *t, const char *source)
{
	struct open_source *s = source_find(t, source);

	if (s)
		return s;
	if (t->nopen == OPEN_MAX)
		sources_expire(t);
	s = t->nopen < OPEN_MAX ? calloc(1, sizeof(*s)) : NULL;
	if (!s)
		return NULL;
	snprintf(s->source, sizeof(s->source), "%s", source);
	htable_add(&t->by_source, &s->node, hash(source));
	list_add_tail(&t->open, &s->link);
	t->nopen++;
	return s;
}

static void permit(struct agent_question *q, const struct open_source *s)
{
	char why[64];

	snprintf(why, sizeof(why), "code of %s", s->name);
	agent_answer(q, PEND_CLIENT_ANSWER_PERMIT, NULL, why);
}

static void question(struct agent_question *q)
{
	const struct open_source *s = source_find(agent_data(q->agent), q->source);

	if (s)
		permit(q, s);
}

/* It has nothing but the agent's list. */
static void withdrawn(struct agent_question *q)
{
	(void)q;
}

static void permit_waiting(struct totp *t, const struct open_source *s)
{
	struct list *at, *tmp;

	list_foreach(at, tmp, agent_questions(t->agent)) {
		struct agent_question *q = container_of(at, struct agent_question, link);

		if (!strcmp(q->source, s->source))
			permit(q, s);
	}
}

/* ---- codes ---- */

static void refuse(struct totp *t, const struct pend_client_unlock *u, const char *why)
{
	agent_log(t->agent, "%s, for %s, by %s (uid %u)", why, u->source, *u->user ? u->user : "?",
		  u->uid);
	agent_unlocked(t->agent, u->token, false, 0, why);
}

/* One whose use cannot be told to whoever serves next, or besides, does not count. 0, CODE_WRONG or -errno. */
static int take(struct totp *t, const char *code, const struct totp_secret **out)
{
	int fd = t->used[0] ? used_lock(t) : -1;
	int r = !t->used[0] ? 0 : fd < 0 ? fd : used_read(t, fd);

	*out = r == 0 ? totp_secrets_take(&t->secrets, code, time(NULL)) : NULL;
	if (r == 0 && !*out)
		r = CODE_WRONG;
	else if (r == 0 && fd >= 0)
		r = used_write(t);
	if (fd >= 0)
		close(fd);
	return r;
}

static void taken(struct totp *t, const struct pend_client_unlock *u, const char *name)
{
	struct open_source *s = source_get(t, u->source);
	char why[64];

	if (!s) {
		refuse(t, u, "too many sources are open");
		return;
	}
	snprintf(s->name, sizeof(s->name), "%s", name);
	s->until = mono_add(loop_now(agent_loop(t->agent)), t->open_ns);
	agent_log(t->agent, "%s is open by a code of %s, brought by %s (uid %u)", u->source, name,
		  *u->user ? u->user : "?", u->uid);
	snprintf(why, sizeof(why), "code of %s", name);
	agent_unlocked(t->agent, u->token, true, t->open_ns / MONO_NS_PER_MS, why);
	permit_waiting(t, s);
}

static void unlock(struct agent *a, const struct pend_client_unlock *u)
{
	struct totp *t = agent_data(a);
	mono_t now = loop_now(agent_loop(a));
	uint64_t wait = totp_limit_wait(&t->limit, u->uid, now);
	const struct totp_secret *s;
	char why[80];
	int r;

	if (wait) {
		snprintf(why, sizeof(why), "too many wrong codes: try again in %llu s",
			 (unsigned long long)wait);
		refuse(t, u, why);
		return;
	}
	if (!secrets_fresh(t)) {
		refuse(t, u, "the secrets cannot be read: the daemon's log says why");
		return;
	}
	r = take(t, u->code, &s);
	if (r == 0) {
		totp_limit_right(&t->limit, u->uid);
		taken(t, u, s->name);
	} else if (r == CODE_WRONG) {
		totp_limit_wrong(&t->limit, u->uid, now);
		refuse(t, u, "the code is wrong, or was used before");
	} else {
		agent_log(t->agent, "cannot keep %s: %s", t->used,
			  r == -EWOULDBLOCK ? "another program holds it" : strerror(-r));
		refuse(t, u, "what was used cannot be kept: the daemon's log says why");
	}
}

/* Connections that were let in go on. */
static void lock(struct agent *a, const struct pend_client_unlock *u)
{
	struct totp *t = agent_data(a);
	struct open_source *s = *u->source ? source_find(t, u->source) : NULL;
	unsigned n = s ? 1 : 0;
	char why[48];

	sources_expire(t);
	for (; !*u->source && !list_empty(&t->open); n++)
		source_close(t, container_of(t->open.next, struct open_source, link));
	if (s)
		source_close(t, s);
	snprintf(why, sizeof(why), n == 1 ? "%u source was closed" : "%u sources were closed", n);
	agent_log(a, "%s, by %s (uid %u)", why, *u->user ? u->user : "?", u->uid);
	agent_unlocked(a, u->token, true, 0, why);
}

/* ---- the kind ---- */

static int start(struct agent *a, const json_t *config, struct err *e)
{
	const char *path = json_string_value(json_object_get(config, "secrets"));
	json_int_t open = json_integer_value(json_object_get(config, "open_ms"));
	struct totp *t = calloc(1, sizeof(*t));
	int r;

	if (!t)
		return err_set(e, -ENOMEM, "out of memory");
	agent_set_data(a, t);
	t->agent = a;
	list_init(&t->open);
	t->path = path ? strdup(path) : NULL;
	if (!t->path || open <= 0)
		return err_set(e, -EINVAL, "the definition has no file of secrets");
	t->open_ns = (uint64_t)open * MONO_NS_PER_MS;
	if (htable_init(&t->by_source, OPEN_MAX))
		return err_set(e, -ENOMEM, "out of memory");
	if (stat(path, &t->read) < 0)
		memset(&t->read, 0, sizeof(t->read));
	r = totp_secrets_load(path, &t->secrets, e);
	if (r == 0)
		used_begin(t);
	return r;
}

static void stop(struct agent *a)
{
	struct totp *t = agent_data(a);

	if (!t)
		return;
	while (!list_empty(&t->open))
		source_close(t, container_of(t->open.next, struct open_source, link));
	htable_deinit(&t->by_source);
	totp_secrets_free(&t->secrets);
	free(t->path);
	free(t);
}

const struct agent_kind agent_totp = {
	.type = "totp",
	.alone = true,
	.start = start,
	.question = question,
	.withdrawn = withdrawn,
	.stop = stop,
	.unlock = unlock,
	.lock = lock,
};
