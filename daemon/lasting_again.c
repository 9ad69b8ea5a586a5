/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A damaged file was put aside, and a new one begun; or the store had no room for a decision: what still holds is written into
 * the file. Decisions are asked for at the verdict process, which has them all; those that were made since are in the file, or
 * before these in the queue, and count. What was forgotten since is not listed, or is forgotten behind these.
 */
#include "daemon/lasting_impl.h"
#include "daemon/log.h"
#include "io/policyfile.h"
#include <errno.h>
#include <string.h>
#include <unistd.h>

static void ask_part(struct lasting *l, uint32_t cursor)
{
	struct msg m = {.version = MSG_VERSION, .type = MSG_DECISIONS, .worker = MSG_MAIN};

	l->seq = (l->seq + 1) % LASTING_SEQS;
	m.seq = LASTING_SEQ + l->seq;
	m.u.decisions.cursor = cursor;
	l->cursor = cursor;
	l->stalled = false;
	l->listing = l->env.post_fd(l->env.ctx, MSG_MAIN, &m, -1) == 0;
	lasting_retry(l);
}

/* Before what holds, so that it takes nothing of that away. */
static bool forget_first(struct lasting *l)
{
	if (!l->unforgotten)
		return true;
	if (!store_forget(l->store, &l->to_forget))
		return false;
	l->unforgotten = false;
	if (l->again)
		lasting_load(l);
	return true;
}

static void list(struct lasting *l)
{
	if (forget_first(l))
		ask_part(l, l->cursor);
	else
		lasting_retry(l);
}

/* A part that is on its way is of an earlier list. */
static void begin(struct lasting *l)
{
	l->rewrite = true;
	l->listed = l->listing = false;
	l->cursor = 0;
}

void lasting_anew(void *ctx)
{
	struct lasting *l = ctx;

	lasting_sets_rewrite(l);
	lasting_tidy(l);
	begin(l);
	list(l);
}

void lasting_missed(struct lasting *l)
{
	if (!l->missed)
		log_error(LASTING_MODULE, "not all decisions could be taken to be written: "
					  "it is tried again with what holds");
	l->missed = true;
	begin(l);
	lasting_retry(l);
}

/* Of several of them all goes: that is safe, and what holds is written behind it. */
void lasting_unforgotten(struct lasting *l, const struct store_which *w)
{
	l->to_forget = l->unforgotten ? (struct store_which){0} : *w;
	l->unforgotten = true;
	lasting_missed(l);
}

static void on_written(void *ctx, uint32_t tag, int status, const char *error)
{
	struct lasting *l = ctx;

	(void)tag;
	(void)error;
	if (!l->listed || !l->rewrite)
		return; /* it was begun again meanwhile */
	if (status || lasting_sets_dirty(l)) {
		lasting_retry(l);
		return;
	}
	l->rewrite = l->missed = false;
	l->retry_ms = LASTING_RETRY_MS;
	log_notice(LASTING_MODULE, "what holds is in the file");
}

/* All of it is in the queue: it is done when that is in the file. */
static void await_written(struct lasting *l)
{
	if (!store_sync(l->store, on_written, l, 0))
		lasting_retry(l);
}

void lasting_rewrite(struct lasting *l)
{
	if (l->listed) {
		await_written(l);
	} else if (l->listing && !l->stalled) {
		l->stalled = true; /* until a part comes, or the next time */
		lasting_retry(l);
	} else {
		list(l);
	}
}

static bool keep_all(struct lasting *l, int fd, uint32_t n)
{
	size_t size = n * sizeof(struct remembered_entry);
	const void *image = NULL;
	bool ok = true;

	if (!n)
		return true;
	if (n > MSG_FLOWS || fd < 0 || policyfile_image_map(fd, size, &image) < 0)
		return false;
	for (uint32_t i = 0; ok && i < n; i++) {
		struct remembered_entry e;

		memcpy(&e, (const char *)image + i * sizeof(e), sizeof(e));
		ok = lasting_keep(l, &e);
	}
	policyfile_image_unmap(image, size);
	return ok;
}

void lasting_decisions(struct lasting *l, const struct msg *m, int fd)
{
	uint32_t next = m->u.decisions.cursor;

	/* one that comes late is of a list that was begun anew since */
	if (!l->rewrite || !l->listing || m->seq != LASTING_SEQ + l->seq)
		return;
	l->listing = false;
	if (!keep_all(l, fd, m->u.decisions.count)) {
		lasting_retry(l); /* this part once more */
	} else if (next > l->cursor) {
		ask_part(l, next);
	} else {
		l->listed = true;
		await_written(l);
	}
}
