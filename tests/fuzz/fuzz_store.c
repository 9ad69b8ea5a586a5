/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A database file of any bytes: opened, read, searched, written to and cleared up. */
#include "daemon/overlay.h"
#include "daemon/store_db.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char path[64];

static void remove_all(void)
{
	static const char *const more[] = {"", "-wal", "-shm", "-journal"};
	char name[96];

	for (int i = 0; i < 4; i++) {
		snprintf(name, sizeof(name), "%s%s", path, more[i]);
		unlink(name);
	}
}

static bool put(const uint8_t *data, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	bool ok = fd >= 0 && write(fd, data, size) == (ssize_t)size;

	if (fd >= 0)
		close(fd);
	return ok;
}

static bool on_decision(void *ctx, const struct store_decision *d)
{
	unsigned *n = ctx;

	/* what comes out is as the rest takes it for granted */
	if ((d->e.k.family != 4 && d->e.k.family != 6) || d->e.k.scope > CLASSIFY_SCOPE_FLOW ||
	    d->until_ms <= d->since_ms || d->e.v.end > 1 || !d->by || !d->why)
		abort();
	return ++*n < 100;
}

static void on_event(void *ctx, const struct store_found *f)
{
	unsigned *n = ctx;

	*n += (unsigned)(strlen(f->e.by) + strlen(f->e.rule) + strlen(f->e.file));
}

static bool on_set(void *ctx, const struct store_set *s)
{
	unsigned *n = ctx;

	if (s->action > OVERLAY_LOAD ||
	    !policy_spans_valid(s->spans, s->size / sizeof(struct policy_span)))
		abort();
	return ++*n < 200;
}

static void use(struct store_db *db)
{
	struct store_query q = {.verdict = -1, .limit = 100, .rule = "tcp"};
	struct store_decision d = {
		.since_ms = 1, .until_ms = 1000, .layer = "", .rule = "", .by = "", .why = ""};
	struct store_event e = {.family = 4,
				.interface = "",
				.authority = "",
				.layer = "l",
				.rule = "r",
				.file = "f",
				.by = "",
				.why = ""};
	unsigned n = 0;
	bool more;

	store_db_load(db, 0, on_decision, &n);
	store_db_query(db, &q, on_event, &n);
	store_db_sets(db, 0, on_set, &n);
	q.rule[0] = '\0';
	q.family = 4;
	q.prefix_len = 8;
	store_db_query(db, &q, on_event, &n);
	d.e.k.family = 4;
	if (store_db_begin(db) || store_db_decision(db, &d) || store_db_event(db, &e) ||
	    store_db_prune(db, 5000, 5000, 1, &more) || store_db_commit(db))
		store_db_rollback(db);
	store_db_error(db);
	store_db_size(db);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct store_db *db = NULL;
	struct err e = {0};

	if (!*path)
		snprintf(path, sizeof(path), "/dev/shm/pend-fuzz-store.%d", (int)getpid());
	remove_all();
	if (put(data, size) && store_db_open(&db, path, &e) == STORE_OPEN_OK)
		use(db);
	store_db_close(db);
	remove_all();
	return 0;
}
