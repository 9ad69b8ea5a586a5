/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Snapshots are made and freed. See change.h. */
#include "daemon/change.h"
#include "daemon/background.h"
#include "daemon/log.h"
#include "daemon/sandbox.h"
#include "daemon/worker.h"
#include "io/policyfile.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* So few are a matter of microseconds: whoever asked would only wait for a free processor. */
#define FEW_EDITS 256u

static bool edit_is_valid(const struct classify_edit *e)
{
	size_t len = e->family == 4 ? 4 : e->family == 6 ? 16 : 0;

	return len && e->remove <= 1 && !e->pad && memcmp(e->lo, e->hi, len) <= 0;
}

/* A copy: a file that is sealed and has that size and no other. */
static int edits_read(struct change *c)
{
	const struct change_request *q = &c->request;
	size_t size = (size_t)q->count * sizeof(struct classify_edit);
	const void *map = NULL;
	struct stat st;
	int r;

	if (!q->count || q->count > CLASSIFY_PATCH_MAX || fstat(q->fd, &st) ||
	    (uint64_t)st.st_size != size)
		return -EINVAL;
	c->edits = malloc(sizeof(*c->edits) + size);
	if (!c->edits)
		return -ENOMEM;
	r = policyfile_image_map(q->fd, size, &map);
	if (r)
		return r;
	c->edits->n = q->count;
	memcpy(c->edits->edit, map, size);
	policyfile_image_unmap(map, size);
	for (uint32_t i = 0; i < q->count; i++)
		if (!edit_is_valid(&c->edits->edit[i]))
			return -EINVAL;
	return 0;
}

static int make(struct change *c)
{
	const struct change_request *q = &c->request;
	int r;

	if (q->type == MSG_POLICY)
		return snapshot_after(&c->made, q->fd, q->size, q->generation, q->from);
	r = edits_read(c);
	return r ? r : snapshot_patched(&c->made, q->from, c->edits->edit, c->edits->n);
}

static void work(struct change *c)
{
	while (c->freeing) {
		struct snapshot *s = c->freeing;

		c->freeing = s->next;
		snapshot_free(s);
	}
	if (!c->request.type)
		return;
	c->status = make(c);
	close(c->request.fd);
	c->request.fd = -1;
}

/* The main thread is told behind the last access to what is now its own. */
static void tell(int mail)
{
	struct mail m = {.type = MAIL_CHANGED};

	while (write(mail, &m, sizeof(m)) < 0 && (errno == EAGAIN || errno == EINTR))
		usleep(1000);
}

static void *run(void *arg)
{
	struct change *c = arg;
	bool urgent = c->request.type == MSG_SETS && c->request.count <= FEW_EDITS && !c->freeing;
	struct background b = {0};
	struct err e = {0};

	if (!urgent)
		background_begin(&b, BACKGROUND_PATIENCE_MS);
	if (sandbox_thread(&e))
		log_warning("policy", "%s: going on without", e.text);
	work(c);
	background_end(&b);
	tell(c->mail);
	return NULL;
}

static int spawn(struct change *c)
{
	sigset_t all, old;
	int r;

	sigfillset(&all); /* signals are the main thread's */
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&c->thread, NULL, run, c);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return r;
}

void change_start(struct change *c, const struct change_request *request)
{
	c->request = request ? *request : (struct change_request){0};
	c->freeing = c->garbage;
	c->garbage = NULL;
	c->status = 0;
	c->made = NULL;
	c->edits = NULL;
	c->running = spawn(c) == 0;
	if (c->running)
		return;
	log_warning("policy", "cannot start a thread: packets may wait for the new policy");
	work(c);
	tell(c->mail);
}

void change_join(struct change *c)
{
	if (c->running)
		pthread_join(c->thread, NULL);
	c->running = false;
}

void change_discard(struct change *c, struct snapshot *s)
{
	s->next = c->garbage;
	c->garbage = s;
}
