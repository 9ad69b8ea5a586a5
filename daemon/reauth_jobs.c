/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What live flows are still to be looked at. See reauth_jobs.h. */
#include "daemon/reauth_jobs.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- ranges ---- */

static int by_start(const void *a, const void *b)
{
	const struct classify_edit *x = a, *y = b;

	return x->family != y->family ? x->family - y->family : memcmp(x->lo, y->lo, 16);
}

void reauth_ranges_sort(struct reauth_ranges *r)
{
	uint32_t n = 0;

	qsort(r->edit, r->n, sizeof(r->edit[0]), by_start);
	for (uint32_t i = 0; i < r->n; i++) {
		struct classify_edit *last = n ? &r->edit[n - 1] : NULL;

		if (!last || last->family != r->edit[i].family ||
		    memcmp(last->hi, r->edit[i].lo, 16) < 0)
			r->edit[n++] = r->edit[i];
		else if (memcmp(last->hi, r->edit[i].hi, 16) < 0)
			memcpy(last->hi, r->edit[i].hi, 16);
	}
	r->n = n;
}

bool reauth_ranges_has(const struct reauth_ranges *r, uint8_t family, const uint8_t addr[16])
{
	uint32_t lo = 0, n = r->n;

	while (lo < n) { /* the first range that ends at or behind it */
		uint32_t mid = lo + (n - lo) / 2;
		const struct classify_edit *e = &r->edit[mid];

		if (e->family < family || (e->family == family && memcmp(e->hi, addr, 16) < 0))
			lo = mid + 1;
		else
			n = mid;
	}
	return lo < r->n && r->edit[lo].family == family && memcmp(r->edit[lo].lo, addr, 16) <= 0;
}

/* Both are taken over. NULL, which is all addresses: one of them is, they are too many, or there is no memory. */
static struct reauth_ranges *ranges_join(struct reauth_ranges *a, struct reauth_ranges *b)
{
	struct reauth_ranges *r = NULL;

	if (a && b && (uint64_t)a->n + b->n <= REAUTH_RANGES_MAX)
		r = realloc(a, sizeof(*a) + (a->n + b->n) * sizeof(a->edit[0]));
	if (r) {
		memcpy(r->edit + r->n, b->edit, b->n * sizeof(b->edit[0]));
		r->n += b->n;
		reauth_ranges_sort(r);
	} else {
		free(a);
	}
	free(b);
	return r;
}

/* ---- keys ---- */

static int by_bytes(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct remembered_key));
}

void reauth_keys_sort(struct reauth_keys *k)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < k->n; i++)
		k->key[i].rule = 0;
	qsort(k->key, k->n, sizeof(k->key[0]), by_bytes);
	for (uint32_t i = 0; i < k->n; i++)
		if (!n || by_bytes(&k->key[n - 1], &k->key[i]) != 0)
			k->key[n++] = k->key[i];
	k->n = n;
}

bool reauth_keys_cover(const struct reauth_keys *k, const struct remembered_flow *f)
{
	for (uint8_t scope = 0; scope <= CLASSIFY_SCOPE_FLOW; scope++) {
		const struct remembered_key about = remembered_key_of(
			0, scope, f->family, f->protocol, f->source, f->source_port, f->dest,
			f->dest_port);

		if (bsearch(&about, k->key, k->n, sizeof(about), by_bytes))
			return true;
	}
	return false;
}

/* As ranges_join. */
static struct reauth_keys *keys_join(struct reauth_keys *a, struct reauth_keys *b)
{
	struct reauth_keys *k = NULL;

	if (a && b && (uint64_t)a->n + b->n <= REAUTH_RANGES_MAX)
		k = realloc(a, sizeof(*a) + (a->n + b->n) * sizeof(a->key[0]));
	if (k) {
		memcpy(k->key + k->n, b->key, b->n * sizeof(b->key[0]));
		k->n += b->n;
		reauth_keys_sort(k);
	} else {
		free(a);
	}
	free(b);
	return k;
}

/* ---- the queue ---- */

void reauth_jobs_init(struct reauth_jobs *q)
{
	*q = (struct reauth_jobs){.turn = false};
	list_init(&q->asked);
}

void reauth_jobs_forget(struct reauth_jobs *q)
{
	struct list *p, *tmp;

	list_foreach(p, tmp, &q->asked)
		reauth_job_free(container_of(p, struct reauth_job, link));
	q->nasked = 0;
}

void reauth_jobs_deinit(struct reauth_jobs *q)
{
	if (!q->asked.next)
		return; /* it never began */
	reauth_jobs_forget(q);
	for (unsigned i = 0; i < MSG_REASONS; i++) {
		free(q->due[i].ranges);
		free(q->due[i].keys);
	}
	reauth_jobs_init(q);
}

static void due_add(struct reauth_due *d, struct reauth_ranges *ranges, struct reauth_keys *keys,
		    unsigned carried)
{
	d->ranges = d->due ? ranges_join(d->ranges, ranges) : ranges;
	d->keys = d->due ? keys_join(d->keys, keys) : keys;
	d->due = true;
	if (carried > d->carried)
		d->carried = carried;
}

void reauth_jobs_add(struct reauth_jobs *q, enum pend_reason reason, struct reauth_ranges *ranges)
{
	if (ranges)
		reauth_ranges_sort(ranges);
	due_add(&q->due[reason], ranges, NULL, 0);
}

void reauth_jobs_add_ended(struct reauth_jobs *q, struct reauth_keys *keys)
{
	if (keys)
		reauth_keys_sort(keys);
	due_add(&q->due[PEND_REASON_DECISION_EXPIRED], NULL, keys, 0);
}

static struct reauth_job *job_new(void)
{
	struct reauth_job *j = calloc(1, sizeof(*j));

	if (!j)
		return NULL;
	list_init(&j->link);
	j->image = -1;
	j->what.rule = UINT32_MAX;
	return j;
}

void reauth_job_free(struct reauth_job *j)
{
	if (!j)
		return;
	list_del(&j->link);
	if (j->image >= 0)
		close(j->image);
	free(j->ranges);
	free(j->keys);
	free(j->result.flow);
	free(j);
}

static void job_candidate(struct reauth_job *j, uint64_t size)
{
	j->what.dry = 1;
	j->what.reason = PEND_REASON_POLICY_CHANGE;
	j->size = size;
}

int reauth_jobs_ask(struct reauth_jobs *q, const struct msg *m, int image)
{
	struct reauth_job *j;
	int r;

	if (q->nasked == REAUTH_ASKED_MAX)
		return -EBUSY;
	j = job_new();
	if (!j)
		return -ENOMEM;
	if (image >= 0) {
		j->image = fcntl(image, F_DUPFD_CLOEXEC, 0);
		if (j->image < 0) {
			r = -errno;
			reauth_job_free(j);
			return r;
		}
	}
	j->asked = true;
	j->seq = m->seq;
	if (m->type == MSG_REAUTHORIZE)
		j->what = m->u.reauth;
	else
		job_candidate(j, m->u.policy.size);
	list_add_tail(&q->asked, &j->link);
	q->nasked++;
	return 0;
}

static struct reauth_job *next_asked(struct reauth_jobs *q)
{
	struct list *l = list_pop(&q->asked);

	if (!l)
		return NULL;
	q->nasked--;
	return container_of(l, struct reauth_job, link);
}

static struct reauth_job *next_due(struct reauth_jobs *q)
{
	struct reauth_due *d = q->due;
	struct reauth_job *j;

	while (d < q->due + MSG_REASONS && !d->due)
		d++;
	j = d < q->due + MSG_REASONS ? job_new() : NULL;
	if (!j)
		return NULL;
	j->what.reason = (uint8_t)(d - q->due);
	j->ranges = d->ranges;
	j->keys = d->keys;
	j->carried = d->carried;
	*d = (struct reauth_due){.due = false};
	return j;
}

struct reauth_job *reauth_jobs_next(struct reauth_jobs *q)
{
	struct reauth_job *j = q->turn ? next_asked(q) : next_due(q);

	if (!j)
		j = q->turn ? next_due(q) : next_asked(q);
	if (j)
		q->turn = !j->asked;
	return j;
}

void reauth_jobs_back(struct reauth_jobs *q, struct reauth_job *j)
{
	j->carried++;
	if (j->asked) {
		list_add_head(&q->asked, &j->link);
		q->nasked++;
		return;
	}
	due_add(&q->due[j->what.reason], j->ranges, j->keys, j->carried);
	j->ranges = NULL;
	j->keys = NULL;
	reauth_job_free(j);
}
