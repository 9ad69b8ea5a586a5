/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The thread and its queue; see store.h. */
#include "daemon/background.h"
#include "daemon/log.h"
#include "daemon/store_op.h"
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define MODULE   "store"
#define PRUNE_MS 1000u
#define LEAVE_MS 2000u /* for what waits at the end */
#define MS       1000000L

struct store {
	struct store_config c;
	struct loop *loop;
	int fd; /* results are there */
	pthread_t thread;
	bool started;
	/* both threads, under the lock */
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct list queue, results;
	struct timespec first; /* when the oldest of the queue came */
	uint32_t queued, events, decisions;
	bool urgent, leave, anew;
	struct store_stats stats;
	/* the thread's own */
	struct store_db *db;
	bool asleep; /* it failed: wait, whatever comes */
	bool unread; /* ... reading did */
	struct timespec retry, pruned;
};

/* ---- time ---- */

static struct timespec after(struct timespec t, unsigned ms)
{
	t.tv_nsec += (long)(ms % 1000) * MS;
	t.tv_sec += ms / 1000 + t.tv_nsec / (1000 * MS);
	t.tv_nsec %= 1000 * MS;
	return t;
}

static bool before(struct timespec a, struct timespec b)
{
	return a.tv_sec < b.tv_sec || (a.tv_sec == b.tv_sec && a.tv_nsec < b.tv_nsec);
}

static struct timespec now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t;
}

static int64_t wall_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / MS;
}

/* ---- the file ---- */

static void set_state(struct store *s, enum store_state state, const char *error)
{
	bool news = s->stats.state != state || (error && strcmp(s->stats.error, error) != 0);

	pthread_mutex_lock(&s->lock);
	s->stats.state = state;
	if (error) {
		s->stats.errors++;
		snprintf(s->stats.error, sizeof(s->stats.error), "%s", error);
	}
	pthread_mutex_unlock(&s->lock);
	if (error && news)
		log_error(MODULE, "%s", error);
}

/* Only what is in memory, from here on. */
static void refuse(struct store *s, const char *error)
{
	struct err e = {0};

	set_state(s, STORE_REFUSED, error);
	log_error(MODULE, "going on without the file: decisions end with the daemon");
	store_db_open(&s->db, "", &e);
}

static void put_aside(struct store *s, const char *error)
{
	char name[512];
	int r = store_db_aside(s->c.path, name, sizeof(name));

	log_error(MODULE, "%s is damaged: %s", s->c.path, error);
	if (r < 0) {
		log_error(MODULE, "cannot put it aside: %s", strerror(-r));
		return;
	}
	log_error(MODULE, "it is %s now, and a new one is begun", name);
	pthread_mutex_lock(&s->lock);
	s->stats.put_aside++;
	s->anew = true;
	pthread_mutex_unlock(&s->lock);
}

static void open_db(struct store *s)
{
	struct err e = {0};
	enum store_open o = store_db_open(&s->db, s->c.path, &e);

	if (o == STORE_OPEN_CORRUPT && *s->c.path) {
		put_aside(s, e.text);
		e.text[0] = '\0';
		o = store_db_open(&s->db, s->c.path, &e);
	}
	if (o == STORE_OPEN_OK) {
		set_state(s, *s->c.path ? STORE_FILE : STORE_MEMORY, NULL);
	} else if (o == STORE_OPEN_NEWER) {
		refuse(s, e.text);
	} else {
		set_state(s, STORE_FAILING, *e.text ? e.text : "the file cannot be opened");
	}
}

/* ---- a batch ---- */

/* What of the queue is done in one go. A question comes last, or alone: it sees what was written before it. */
static unsigned take(struct store *s, struct list *batch)
{
	unsigned n = 0;

	pthread_mutex_lock(&s->lock);
	while (n < STORE_BATCH && !list_empty(&s->queue)) {
		struct store_op *op = container_of(s->queue.next, struct store_op, link);
		bool asks = store_op_asks(op);

		if (asks && n)
			break;
		list_del(&op->link);
		list_add_tail(batch, &op->link);
		n++;
		if (asks)
			break;
	}
	s->first = now();
	pthread_mutex_unlock(&s->lock);
	return n;
}

static int run_all(struct store *s, struct list *batch)
{
	struct store_op *first = container_of(batch->next, struct store_op, link);
	struct list *at, *tmp;
	int r;

	/* questions are answered also when nothing can be written */
	if (!s->db || store_op_asks(first))
		return s->db ? store_op_run(first, s->db) : -EIO;
	r = store_db_begin(s->db);
	list_foreach(at, tmp, batch) {
		if (r)
			return r;
		r = store_op_run(container_of(at, struct store_op, link), s->db);
	}
	return r ? r : store_db_commit(s->db);
}

/* Under the lock: it is not in the queue any more. */
static void leave_queue(struct store *s, const struct store_op *op)
{
	s->queued--;
	s->events -= op->type == OP_EVENT;
	s->decisions -= store_op_counts(op);
}

/* Those that wait for a word get it; the others are done with. */
static void dispose(struct store *s, struct store_op *op, int status, const char *error)
{
	leave_queue(s, op);
	if (!op->done && !op->loaded && !op->told && !op->found) {
		store_op_free(op);
		return;
	}
	if (status)
		op->status = status;
	snprintf(op->error, sizeof(op->error), "%s", error);
	list_add_tail(&s->results, &op->link);
}

/* What went to memory instead of the file is not written. */
static void dispose_written(struct store *s, struct store_op *op)
{
	bool lost = op->type == OP_SYNC && s->stats.state == STORE_REFUSED;

	s->stats.written += op->type == OP_EVENT || store_op_counts(op);
	dispose(s, op, lost ? -EROFS : 0, lost ? s->stats.error : "");
}

static void written(struct store *s, struct list *batch)
{
	uint64_t size = store_db_size(s->db);
	struct list *at;

	pthread_mutex_lock(&s->lock);
	while ((at = list_pop(batch)) != NULL)
		dispose_written(s, container_of(at, struct store_op, link));
	s->stats.commits++;
	s->stats.committed_ms = wall_ms();
	s->stats.size = size;
	pthread_mutex_unlock(&s->lock);
}

/*
 * Decisions go back to the head of the queue, in their order. Questions about the history do not wait behind them: they go
 * before them, or fail where there is nothing to be asked. Who asks for what holds is told that it failed: the
 * file does not know of what waits, and what was forgotten would be given back.
 */
static void failed(struct store *s, struct list *batch, int status, const char *error)
{
	struct list back = LIST_INIT(back), asks = LIST_INIT(asks), *at;

	pthread_mutex_lock(&s->lock);
	while ((at = list_pop(batch)) != NULL) {
		struct store_op *op = container_of(at, struct store_op, link);

		s->stats.dropped += op->type == OP_EVENT;
		if (store_op_counts(op))
			list_add_tail(&back, &op->link);
		else
			dispose(s, op, status, error);
	}
	/* whoever waits for them behind these need not wait for ever */
	while ((at = list_pop(&s->queue)) != NULL) {
		struct store_op *op = container_of(at, struct store_op, link);

		if (op->type == OP_SYNC || store_op_reads(op) || (store_op_asks(op) && !s->db))
			dispose(s, op, status, error);
		else
			list_add_tail(store_op_asks(op) ? &asks : &back, &op->link);
	}
	list_splice_tail(&s->queue, &asks);
	list_splice_tail(&s->queue, &back);
	pthread_mutex_unlock(&s->lock);
}

static void tell(struct store *s)
{
	uint64_t one = 1;
	bool any;

	pthread_mutex_lock(&s->lock);
	any = !list_empty(&s->results) || s->anew;
	pthread_mutex_unlock(&s->lock);
	if (any && write(s->fd, &one, sizeof(one)) < 0)
		log_debug(MODULE, "cannot wake the loop: %s", strerror(errno));
}

static void on_failure(struct store *s, struct list *batch, int r)
{
	char text[sizeof(s->stats.error)];

	if (s->db)
		snprintf(text, sizeof(text), "cannot write %.80s: %s",
			 *s->c.path ? s->c.path : "the history", store_db_error(s->db));
	else
		snprintf(text, sizeof(text), "%s", s->stats.error);
	if (s->db) {
		store_db_rollback(s->db);
		set_state(s, s->stats.state == STORE_REFUSED ? STORE_REFUSED : STORE_FAILING, text);
	}
	if (r == -EBADMSG && *s->c.path && s->stats.state != STORE_REFUSED) {
		store_db_close(s->db);
		s->db = NULL;
		put_aside(s, text);
		open_db(s);
	}
	s->asleep = true;
	s->retry = after(now(), STORE_RETRY_MS);
	failed(s, batch, r, text);
}

static void do_batch(struct store *s)
{
	struct list batch = LIST_INIT(batch);
	bool asks;
	int r;

	if (!s->db)
		open_db(s);
	if (!take(s, &batch))
		return;
	asks = store_op_asks(container_of(batch.next, struct store_op, link));
	r = run_all(s, &batch);
	if (r) {
		s->unread = asks && s->stats.state != STORE_FAILING;
		on_failure(s, &batch, r);
	} else {
		if (s->stats.state == STORE_FAILING && (!asks || s->unread)) {
			s->unread = false;
			set_state(s, STORE_FILE, NULL);
			log_notice(MODULE, "%s can be written again", s->c.path);
		}
		written(s, &batch);
	}
	tell(s);
}

/* A step a second; at once again while there is more. */
static void prune(struct store *s)
{
	int64_t wall = wall_ms();
	bool more = false;
	int r;

	s->pruned = now();
	if (!s->db)
		return;
	r = store_db_begin(s->db);
	if (!r)
		r = store_db_prune(s->db, wall, s->c.keep_ms ? wall - (int64_t)s->c.keep_ms : 0,
				   s->c.most, &more);
	if (!r)
		r = store_db_commit(s->db);
	if (r) {
		store_db_rollback(s->db);
		return; /* what is written next says what is wrong */
	}
	if (more)
		s->pruned = after(s->pruned, 50), s->pruned.tv_sec -= PRUNE_MS / 1000;
}

/* ---- the thread ---- */

/* Under the lock: when is there something to do? */
static struct timespec due(const struct store *s)
{
	struct timespec next = after(s->pruned, PRUNE_MS), t;

	if (s->asleep)
		return before(s->retry, next) ? s->retry : next;
	if (list_empty(&s->queue))
		return next;
	t = after(s->first, s->urgent ? STORE_DECISION_MS : STORE_EVENT_MS);
	if (s->queued >= STORE_BATCH)
		t = s->first;
	return before(t, next) ? t : next;
}

static bool wait_for_work(struct store *s)
{
	bool leave;

	pthread_mutex_lock(&s->lock);
	for (;;) {
		struct timespec t = due(s);

		if (s->leave || !before(now(), t))
			break;
		pthread_cond_timedwait(&s->wake, &s->lock, &t);
	}
	leave = s->leave;
	if (list_empty(&s->queue))
		s->urgent = false;
	pthread_mutex_unlock(&s->lock);
	return !leave;
}

static bool has_work(struct store *s)
{
	bool any;

	pthread_mutex_lock(&s->lock);
	any = !list_empty(&s->queue);
	pthread_mutex_unlock(&s->lock);
	return any;
}

static void *run(void *arg)
{
	struct store *s = arg;
	struct timespec end;

	background_nice(); /* packets and answers go first */
	open_db(s);
	tell(s);
	while (wait_for_work(s)) {
		struct timespec t = now();

		if (s->asleep && !before(t, s->retry))
			s->asleep = false;
		if (!s->asleep && has_work(s))
			do_batch(s);
		if (!before(t, after(s->pruned, PRUNE_MS)))
			prune(s);
	}
	end = after(now(), LEAVE_MS);
	s->asleep = false;
	while (has_work(s) && !s->asleep && before(now(), end))
		do_batch(s);
	store_db_close(s->db);
	return NULL;
}

/* ---- the other side ---- */

static void on_results(void *ctx, uint32_t events)
{
	struct list all = LIST_INIT(all), *at;
	struct store *s = ctx;
	bool anew;
	uint64_t n;

	(void)events;
	if (read(s->fd, &n, sizeof(n)) < 0)
		return;
	pthread_mutex_lock(&s->lock);
	list_splice_tail(&all, &s->results);
	anew = s->anew;
	s->anew = false;
	pthread_mutex_unlock(&s->lock);
	if (anew && s->c.anew)
		s->c.anew(s->c.ctx);
	while ((at = list_pop(&all)) != NULL) {
		struct store_op *op = container_of(at, struct store_op, link);

		store_op_tell(op);
		store_op_free(op);
	}
}

int store_new(struct store **out, struct loop *loop, const struct store_config *c)
{
	struct store *s = calloc(1, sizeof(*s));
	pthread_condattr_t attr;
	int r;

	if (!s)
		return -ENOMEM;
	s->c = *c;
	s->loop = loop;
	s->c.path = strdup(c->path);
	s->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (!*c->path && s->c.most > STORE_MEMORY_KEPT)
		s->c.most = STORE_MEMORY_KEPT;
	list_init(&s->queue);
	list_init(&s->results);
	pthread_mutex_init(&s->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&s->wake, &attr);
	pthread_condattr_destroy(&attr);
	r = !s->c.path  ? -ENOMEM
	    : s->fd < 0 ? -errno
			: loop_add(loop, s->fd, EPOLLIN, on_results, s);
	if (r) {
		store_free(s);
		return r;
	}
	*out = s;
	return 0;
}

int store_start(struct store *s)
{
	int r = pthread_create(&s->thread, NULL, run, s);

	s->started = r == 0;
	return -r;
}

static void free_list(struct list *l)
{
	struct list *at;

	while ((at = list_pop(l)) != NULL)
		store_op_free(container_of(at, struct store_op, link));
}

void store_free(struct store *s)
{
	if (!s)
		return;
	if (s->started) {
		pthread_mutex_lock(&s->lock);
		s->leave = true;
		pthread_cond_signal(&s->wake);
		pthread_mutex_unlock(&s->lock);
		pthread_join(s->thread, NULL);
	}
	free_list(&s->queue);
	free_list(&s->results);
	if (s->fd >= 0) {
		loop_del(s->loop, s->fd);
		close(s->fd);
	}
	pthread_cond_destroy(&s->wake);
	pthread_mutex_destroy(&s->lock);
	free((char *)(uintptr_t)s->c.path);
	free(s);
}

void store_stats(struct store *s, struct store_stats *out)
{
	pthread_mutex_lock(&s->lock);
	*out = s->stats;
	out->queued = s->queued;
	pthread_mutex_unlock(&s->lock);
}

bool store_lasts(const struct store *s)
{
	return *s->c.path != '\0';
}

/* Under the lock. What was forgotten must not hold again: it has room of its own. */
static bool has_room(const struct store *s, const struct store_op *op)
{
	uint32_t more = op->type == OP_FORGET ? STORE_FORGETS_MAX : 0;

	if (op->type == OP_EVENT)
		return s->events < STORE_EVENTS_MAX;
	return !store_op_counts(op) || s->decisions < STORE_QUEUE_MAX + more;
}

/* False: above the bound. Takes `op` in any case. */
static bool add(struct store *s, struct store_op *op)
{
	bool event = op && op->type == OP_EVENT, counts = op && store_op_counts(op), ok;

	pthread_mutex_lock(&s->lock);
	ok = op && has_room(s, op);
	s->stats.dropped += !ok && event;
	s->stats.lost += !ok && counts;
	if (ok) {
		if (list_empty(&s->queue))
			s->first = now();
		list_add_tail(&s->queue, &op->link);
		s->queued++;
		s->events += event;
		s->decisions += counts;
		if (!event && !s->urgent) {
			s->urgent = true;
			s->first = now();
		}
		/* the thread knows the time of an event already */
		if (!event || s->queued == 1 || s->queued == STORE_BATCH)
			pthread_cond_signal(&s->wake);
	}
	pthread_mutex_unlock(&s->lock);
	if (!ok)
		store_op_free(op);
	return ok;
}

bool store_decision(struct store *s, const struct store_decision *d)
{
	return add(s, store_op_decision(d));
}

bool store_drop(struct store *s, const struct remembered_key *k)
{
	struct store_op *op = store_op_new(OP_DROP);

	if (op)
		op->u.key = *k;
	return add(s, op);
}

bool store_forget(struct store *s, const struct store_which *w)
{
	struct store_op *op = store_op_new(OP_FORGET);

	if (op)
		op->u.which = *w;
	return add(s, op);
}

void store_event(struct store *s, const struct store_event *e)
{
	add(s, store_op_event(e));
}

bool store_sync(struct store *s, store_done_fn *fn, void *ctx, uint32_t tag)
{
	struct store_op *op = store_op_new(OP_SYNC);

	if (op) {
		op->done = fn;
		op->ctx = ctx;
		op->tag = tag;
	}
	return add(s, op);
}

bool store_load(struct store *s, int64_t now_ms, store_loaded_fn *fn, void *ctx)
{
	struct store_op *op = store_op_new(OP_LOAD);

	if (op) {
		op->u.now_ms = now_ms;
		op->loaded = fn;
		op->ctx = ctx;
	}
	return add(s, op);
}

bool store_set(struct store *s, const struct store_set *c)
{
	return add(s, store_op_set(c));
}

bool store_set_state(struct store *s, const char *set, const struct store_set *list, size_t n)
{
	return add(s, store_op_state(set, list, n));
}

bool store_sets(struct store *s, int64_t now_ms, store_sets_fn *fn, void *ctx)
{
	struct store_op *op = store_op_new(OP_SETS);

	if (op) {
		op->u.now_ms = now_ms;
		op->told = fn;
		op->ctx = ctx;
	}
	return add(s, op);
}

bool store_query(struct store *s, const struct store_query *q, store_found_fn *fn, void *ctx,
		 uint32_t tag)
{
	struct store_op *op = store_op_new(OP_QUERY);

	if (op) {
		op->u.query = *q;
		op->found = fn;
		op->ctx = ctx;
		op->tag = tag;
	}
	return add(s, op);
}
