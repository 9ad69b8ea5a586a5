/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of completion contexts: storage, limits and packets. See pctx.h. */
#include "core/pctx.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A SYN that was refused above the watermark is remembered for one to two turns; the first
 * retransmission comes after 1 s, or after 3 s from old stacks. */
#define SEEN_TURN_NS (4 * MONO_NS_PER_S)
/* A permit that its peer has not come back for is kept at least this long and twice the time it was
 * held, whatever the pressure. */
#define OWED_MIN_NS (5 * MONO_NS_PER_S)
#define SEEN_SLOTS  (1u << 20)
/* What the kernel keeps of one queue, whatever its length was set to (nfnetlink_queue.c). */
#define KERNEL_QUEUE_MAX 65536u

static uint32_t pow2_at_least(uint32_t n)
{
	uint32_t p = 1;

	while (p < n && p < 1u << 31)
		p <<= 1;
	return p;
}

static int counters_init(struct pctx_table *t)
{
	uint32_t n = pow2_at_least(t->limits.contexts < 4096 ? 4096 : t->limits.contexts);

	t->count_mask = n - 1;
	t->source = calloc(n, sizeof(*t->source));
	t->service = calloc(n, sizeof(*t->service));
	if (!t->source || !t->service)
		return -ENOMEM;
	if (t->limits.watermark == UINT32_MAX)
		return 0;
	t->seen_mask = SEEN_SLOTS - 1;
	for (int i = 0; i < 2; i++) {
		t->seen[i] = calloc(SEEN_SLOTS, sizeof(*t->seen[i]));
		if (!t->seen[i])
			return -ENOMEM;
	}
	return 0;
}

int pctx_table_init(struct pctx_table *t, const struct pctx_limits *l, uint8_t engine,
		    const struct siphash_key *key, mono_t now, struct pend_stats *stats)
{
	/* Lingering contexts have a quarter more room than live ones may take. */
	uint32_t slots = l->contexts + l->contexts / 4 + 64;
	uint64_t blocks = l->bytes / PCTX_BLOCK_DATA + 1;
	int r;

	memset(t, 0, sizeof(*t));
	t->limits = *l;
	t->engine = engine;
	t->key = *key;
	t->seen_turn = now;
	t->stats = stats;
	list_init(&t->completing);
	list_init(&t->linger_block);
	list_init(&t->linger_permit);
	list_init(&t->linger_owed);
	wheel_init(&t->wheel, now);
	if (blocks >= SLAB_NONE - KERNEL_QUEUE_MAX)
		blocks = SLAB_NONE - KERNEL_QUEUE_MAX - 1;
	r = slab_init(&t->slab, sizeof(struct pctx), slots);
	if (!r)
		r = slab_init(&t->blocks, sizeof(struct pctx_block), (uint32_t)blocks);
	if (!r) /* every copy takes a block at least */
		r = slab_init(&t->kept, sizeof(struct pkept), (uint32_t)blocks + KERNEL_QUEUE_MAX);
	if (!r)
		r = htable_init(&t->by_flow, slots);
	if (!r)
		r = counters_init(t);
	if (r)
		pctx_table_deinit(t);
	return r;
}

void pctx_table_deinit(struct pctx_table *t)
{
	slab_deinit(&t->slab);
	slab_deinit(&t->kept);
	slab_deinit(&t->blocks);
	htable_deinit(&t->by_flow);
	free(t->source);
	free(t->service);
	free(t->seen[0]);
	free(t->seen[1]);
	t->source = t->service = t->seen[0] = t->seen[1] = NULL;
}

uint64_t pctx_table_memory(const struct pctx_table *t)
{
	return (uint64_t)t->slab.size * t->slab.capacity +
	       (uint64_t)t->kept.size * t->kept.capacity +
	       (uint64_t)t->blocks.size * t->blocks.capacity +
	       ((uint64_t)t->by_flow.mask + 1) * sizeof(void *) +
	       2 * ((uint64_t)t->count_mask + 1) * sizeof(uint32_t) +
	       (t->seen[0] ? 2 * (uint64_t)SEEN_SLOTS * sizeof(uint32_t) : 0);
}

uint32_t pctx_hash(const struct pctx_table *t, const struct flow *f)
{
	uint32_t hash = flow_hash(f, &t->key);

	return hash ? hash : 1;
}

struct pctx *pctx_lookup(const struct pctx_table *t, const struct flow *f, uint32_t hash)
{
	for (struct hnode *n = htable_first(&t->by_flow, hash); n; n = htable_next(n, hash)) {
		struct pctx *c = container_of(n, struct pctx, node);

		if (flow_equal(&c->flow, f))
			return c;
	}
	return NULL;
}

pend_context pctx_handle(const struct pctx_table *t, const struct pctx *c)
{
	return (uint64_t)t->engine << 56 | (uint64_t)slab_index(&t->slab, c) << 32 | c->generation;
}

static uint32_t slot_of(pend_context handle)
{
	return (uint32_t)(handle >> 32) & 0xffffff;
}

enum pend_status pctx_find(const struct pctx_table *t, pend_context handle, struct pctx **out)
{
	struct pctx *c;

	if (!handle)
		return PEND_E_NOT_FOUND;
	if (handle >> 56 != t->engine)
		return PEND_E_ACCESS_DENIED;
	c = slab_at(&t->slab, slot_of(handle));
	if (!c || c->generation != (uint32_t)handle || c->state == PEND_STATE_FREE)
		return PEND_E_NOT_FOUND;
	if (c->state != PEND_STATE_STORED && c->state != PEND_STATE_PENDED)
		return PEND_E_ALREADY;
	if (c->flags & PCTX_EARLY)
		return PEND_E_ALREADY;
	*out = c;
	return PEND_OK;
}

/* A source is an IPv4 address or an IPv6 /64: what one host can use at will. */
static uint32_t source_of(const struct pctx_table *t, const struct flow *f)
{
	size_t len = f->family == FLOW_V6 ? 8 : 4;

	return (uint32_t)siphash13(&t->key, f->src, len) & t->count_mask;
}

static uint32_t service_of(const struct pctx_table *t, const struct flow *f)
{
	struct {
		uint8_t dst[16];
		uint16_t port;
		uint8_t proto, zero;
	} k = {.port = f->dport, .proto = f->proto};

	memcpy(k.dst, f->dst, sizeof(k.dst));
	return (uint32_t)siphash13(&t->key, &k, sizeof(k)) & t->count_mask;
}

void pctx_prefetch_flow(const struct pctx_table *t, const struct flow *f, uint32_t hash)
{
	__builtin_prefetch(&t->by_flow.bucket[hash & t->by_flow.mask], 1);
	__builtin_prefetch(&t->source[source_of(t, f)], 1);
}

void pctx_prefetch_found(const struct pctx_table *t, uint32_t hash)
{
	__builtin_prefetch(t->by_flow.bucket[hash & t->by_flow.mask]);
}

void pctx_prefetch(const struct pctx_table *t, pend_context handle)
{
	slab_prefetch(&t->slab, slot_of(handle));
}

/* What its timer is linked to, and its charges. */
void pctx_prefetch_around(const struct pctx_table *t, pend_context handle)
{
	const struct pctx *c = slab_at(&t->slab, slot_of(handle));

	if (!c || c->state == PEND_STATE_FREE)
		return;
	__builtin_prefetch(c->timer.link.prev, 1);
	__builtin_prefetch(c->timer.link.next, 1);
	__builtin_prefetch(&t->source[c->source], 1);
	slab_prefetch(&t->kept, c->first);
}

static bool limits_refuse(struct pctx_table *t, uint32_t source, uint32_t service)
{
	if (t->live >= t->limits.contexts) {
		t->stats->limit_contexts++;
		return true;
	}
	if (t->limits.per_source && t->source[source] >= t->limits.per_source) {
		t->stats->limit_source++;
		return true;
	}
	if (t->limits.per_service && t->service[service] >= t->limits.per_service) {
		t->stats->limit_service++;
		return true;
	}
	return false;
}

/* The longest lingering context whose peer loses least by being forgotten. */
static struct pctx *linger_victim(struct pctx_table *t, mono_t now)
{
	struct pctx *c;

	if (!list_empty(&t->linger_block))
		return container_of(t->linger_block.next, struct pctx, link);
	if (!list_empty(&t->linger_permit))
		return container_of(t->linger_permit.next, struct pctx, link);
	if (list_empty(&t->linger_owed))
		return NULL;
	/* Its peer's next copy has had its time, as far as it was not lost. */
	c = container_of(t->linger_owed.next, struct pctx, link);
	if (mono_since(now, c->completed) < 2 * mono_since(c->completed, c->created) + OWED_MIN_NS)
		return NULL;
	return c;
}

static struct pctx *slot_get(struct pctx_table *t, mono_t now)
{
	struct pctx *c = slab_get(&t->slab);
	struct pctx *victim;

	if (c)
		return c;
	victim = linger_victim(t, now);
	if (!victim)
		return NULL;
	pctx_free(t, victim);
	return slab_get(&t->slab);
}

static void slot_clear(struct pctx *c)
{
	uint32_t generation = c->generation ? c->generation : 1;

	memset(c, 0, sizeof(*c));
	c->generation = generation;
	c->first = c->last = SLAB_NONE;
	list_init(&c->link);
	wheel_timer_init(&c->timer);
}

enum pend_status pctx_new(struct pctx_table *t, const struct flow *f, uint32_t hash, uint32_t isn,
			  mono_t now, struct pctx **out)
{
	uint32_t source = source_of(t, f), service = service_of(t, f);
	struct pctx *c;

	if (limits_refuse(t, source, service))
		return PEND_E_LIMIT;
	c = slot_get(t, now);
	if (!c) {
		t->stats->limit_contexts++;
		return PEND_E_LIMIT;
	}
	slot_clear(c);
	c->flow = *f;
	c->isn = isn;
	c->created = now;
	c->state = PEND_STATE_STORED;
	c->flags = PCTX_LIVE;
	c->source = source;
	htable_add(&t->by_flow, &c->node, hash);
	t->source[source]++;
	t->service[service]++;
	t->live++;
	if (t->live > t->stats->pending_peak)
		t->stats->pending_peak = t->live;
	*out = c;
	return PEND_OK;
}

static void discharge(struct pctx_table *t, struct pctx *c)
{
	if (!(c->flags & PCTX_LIVE))
		return;
	c->flags &= (uint16_t)~PCTX_LIVE;
	t->source[c->source]--;
	t->service[service_of(t, &c->flow)]--;
	t->live--;
}

bool pctx_owed(const struct pctx *c)
{
	return c->verdict == PEND_VERDICT_PERMIT && c->state != PEND_STATE_PERMITTED &&
	       (c->flags & PCTX_ISN) && !(c->flags & PCTX_USED);
}

void pctx_retire(struct pctx_table *t, struct pctx *c)
{
	struct list *to = c->verdict != PEND_VERDICT_PERMIT ? &t->linger_block
			  : pctx_owed(c)                    ? &t->linger_owed
							    : &t->linger_permit;

	discharge(t, c);
	list_del(&c->link);
	list_add_tail(to, &c->link);
	t->lingering++;
}

void pctx_used(struct pctx_table *t, struct pctx *c)
{
	bool owed = pctx_owed(c);

	c->flags |= PCTX_USED;
	if (!owed)
		return;
	list_del(&c->link);
	list_add_tail(&t->linger_permit, &c->link);
}

static bool is_lingering(const struct pctx *c)
{
	return c->state > PEND_STATE_COMPLETING && list_linked(&c->link);
}

void pctx_free(struct pctx_table *t, struct pctx *c)
{
	if (is_lingering(c))
		t->lingering--;
	discharge(t, c);
	wheel_cancel(&t->wheel, &c->timer);
	list_del(&c->link);
	htable_del(&t->by_flow, &c->node);
	c->state = PEND_STATE_FREE;
	if (!++c->generation)
		c->generation = 1;
	slab_put(&t->slab, c);
}

static void seen_rotate(struct pctx_table *t, mono_t now)
{
	uint32_t *old = t->seen[1];

	if (mono_since(now, t->seen_turn) < SEEN_TURN_NS)
		return;
	t->seen[1] = t->seen[0];
	t->seen[0] = old;
	memset(old, 0, ((size_t)t->seen_mask + 1) * sizeof(*old));
	t->seen_turn = now;
}

bool pctx_defer(struct pctx_table *t, const struct flow *f, uint32_t isn, mono_t now)
{
	struct {
		struct flow f;
		uint32_t isn;
	} k = {*f, isn};
	uint64_t h;
	uint32_t print, slot;

	if (t->live < t->limits.watermark)
		return false;
	seen_rotate(t, now);
	h = siphash13(&t->key, &k, sizeof(k));
	print = (uint32_t)(h >> 32) | 1;
	slot = (uint32_t)h & t->seen_mask;
	if (t->seen[0][slot] == print || t->seen[1][slot] == print)
		return false;
	t->seen[0][slot] = print;
	t->stats->watermark_drops++;
	return true;
}

static struct pkept *kept_at(const struct pctx_table *t, uint32_t idx)
{
	return (struct pkept *)slab_at(&t->kept, idx);
}

static struct pkept *kept_append(struct pctx_table *t, struct pctx *c)
{
	struct pkept *k = NULL;
	uint32_t idx;

	if (c->packets < t->limits.packets)
		k = slab_get(&t->kept);
	if (!k) {
		t->stats->limit_packets++;
		return NULL;
	}
	idx = slab_index(&t->kept, k);
	k->next = SLAB_NONE;
	k->block = SLAB_NONE;
	k->len = 0;
	if (c->packets++)
		kept_at(t, c->last)->next = idx;
	else
		c->first = idx;
	c->last = idx;
	return k;
}

bool pctx_keep_id(struct pctx_table *t, struct pctx *c, uint32_t id)
{
	struct pkept *k = kept_append(t, c);

	if (!k)
		return false;
	k->id = id;
	if (++t->held > t->stats->held_peak)
		t->stats->held_peak = t->held;
	return true;
}

static uint32_t blocks_needed(uint32_t len)
{
	return len ? (len + PCTX_BLOCK_DATA - 1) / PCTX_BLOCK_DATA : 1;
}

bool pctx_keep_copy(struct pctx_table *t, struct pctx *c, const void *data, uint32_t len,
		    bool csum_pending)
{
	const uint8_t *p = data;
	struct pkept *k;
	uint32_t *next;

	if (t->bytes + len > t->limits.bytes ||
	    t->blocks.capacity - t->blocks.used < blocks_needed(len)) {
		t->stats->limit_bytes++;
		return false;
	}
	k = kept_append(t, c);
	if (!k)
		return false;
	k->len = len;
	k->csum_pending = csum_pending;
	t->bytes += len;
	next = &k->block;
	do {
		struct pctx_block *b = slab_get(&t->blocks);
		uint32_t n = len < PCTX_BLOCK_DATA ? len : PCTX_BLOCK_DATA;

		memcpy(b->data, p, n);
		b->next = SLAB_NONE;
		*next = slab_index(&t->blocks, b);
		next = &b->next;
		p += n;
		len -= n;
	} while (len);
	return true;
}

bool pctx_take(struct pctx_table *t, struct pctx *c, struct pkept *out)
{
	struct pkept *k;

	if (!c->packets)
		return false;
	k = kept_at(t, c->first);
	*out = *k;
	c->first = k->next;
	if (!--c->packets)
		c->last = SLAB_NONE;
	if (k->block == SLAB_NONE)
		t->held--;
	slab_put(&t->kept, k);
	return true;
}

uint32_t pctx_fetch_copy(struct pctx_table *t, const struct pkept *k, uint8_t *buf, uint32_t cap)
{
	uint32_t left = k->len, done = 0;

	for (uint32_t idx = k->block; idx != SLAB_NONE;) {
		struct pctx_block *b = (struct pctx_block *)slab_at(&t->blocks, idx);
		uint32_t n = left < PCTX_BLOCK_DATA ? left : PCTX_BLOCK_DATA;

		if (done + n <= cap) {
			memcpy(buf + done, b->data, n);
			done += n;
		}
		left -= n;
		idx = b->next;
		slab_put(&t->blocks, b);
	}
	t->bytes -= k->len;
	return done;
}

void pctx_info(const struct pctx_table *t, const struct pctx *c, struct pend_info *info)
{
	const struct flow *f = &c->flow;
	bool icmp = f->proto == 1 || f->proto == 58;

	*info = (struct pend_info){
		.context = pctx_handle(t, c),
		.state = (enum pend_state)c->state,
		.family = f->family,
		.protocol = f->proto,
		.hook = c->hook,
		.mode = c->mode,
		.release = c->release,
		.on_timeout = c->on_timeout,
		.verdict = c->verdict,
		.block = c->block,
		.source_port = f->sport,
		.dest_port = icmp ? 0 : f->dport,
		.icmp_type = icmp ? (uint8_t)(f->dport >> 8) : 0,
		.icmp_code = icmp ? (uint8_t)f->dport : 0,
		.kernel_lost = c->flags & PCTX_LOST_ONCE,
		.established = c->flags & PCTX_ESTABLISHED,
		.in_interface = c->iif,
		.out_interface = c->oif,
		.isn = c->isn,
		.mark = c->mark,
		.tcp_flags = c->tcp_flags,
		.packets = c->packets,
		.retransmits = c->retransmits,
		.created_ns = c->created.ns,
		.deadline_ns = c->deadline.ns,
		.completed_ns = c->completed.ns,
		.tag = c->tag,
		.rule = c->rule,
		.reason = c->reason,
	};
	memcpy(info->source, f->src, sizeof(info->source));
	memcpy(info->dest, f->dst, sizeof(info->dest));
}
