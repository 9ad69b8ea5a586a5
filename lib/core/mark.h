/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The mark protocol between the engine's verdicts and the hookup's rules.
 *
 * Eight consecutive bits of the 32-bit mark are ours (the mask); all others are left alone. Those
 * eight bits hold a value: the low two bits are the kind, the upper six the epoch.
 *
 * In the packet's mark, set by a verdict (or, for INJECT, by our raw socket):
 *   PERMIT  + epoch 1..62   let in; the stamp chain writes the value to the ct mark
 *   PERMIT  + epoch 0       let in; nothing is written (one packet, no flow)
 *   PERMIT  + epoch 63      INJECT: our own copy coming in over lo (R39); it is queued, so that the
 *                           engine knows it again and permits it as any other packet of its flow
 *   RESET   + epoch 0       comes back by NF_REPEAT: answer with a TCP reset, else as UNREACH
 *   UNREACH + epoch 0       comes back by NF_REPEAT: answer with ICMP admin-prohibited
 *   RESET   + epoch 1       END, comes back by NF_REPEAT: the packet's flow is dead from now on (R34)
 * In the packet's mark, set by the tag chain just before the queue rule, for the engine to read:
 *   NONE    + epoch 1       DNAT: this host has translated the destination, and the packet's conntrack
 *                           entry alone knows from what. A copy sent in would get an entry without
 *                           that, so none is sent. No rule looks for it; any verdict replaces it
 *   NONE    + epoch 2       AGAIN: of a flow that was permitted in another epoch, to be authorized
 *                           again (R31); the packet goes from its opener to the other end
 *   NONE    + epoch 3       AGAIN_REPLY: the same, the other way
 *   NONE    + epoch 4       ENDED: of a flow that is no TCP and was ended. It stays ended as long as the policy
 *                           would end it (R34); else it is like any other that opens a flow
 *   NONE    + epoch 5       ENDED and DNAT
 * In the connection's mark:
 *   PERMIT  + epoch 1..62   the flow was permitted in that epoch (R31, R46)
 *   BLOCKED + any epoch     the flow is dead: later packets die in the kernel, but for those that may begin it
 *                           anew (R34)
 * 0 means: not ours. Nothing is trusted that came in with such a mark: the clear chain wipes the
 * mask in fresh packets (R39).
 */
#ifndef CORE_MARK_H
#define CORE_MARK_H

#include <stdbool.h>
#include <stdint.h>

enum mark_kind {
	MARK_NONE = 0,
	MARK_PERMIT = 1,
	MARK_RESET = 2,   /* in a packet's mark */
	MARK_BLOCKED = 2, /* in a connection's mark */
	MARK_UNREACH = 3,
};

enum {
	MARK_BITS = 8,
	MARK_KIND_BITS = 2,
	MARK_EPOCH_NONE = 0, /* do not stamp */
	MARK_EPOCH_MIN = 1,
	MARK_EPOCH_MAX = 62,
	MARK_EPOCH_DNAT = 1,    /* with MARK_NONE: behind destination NAT */
	MARK_EPOCH_INJECT = 63, /* with MARK_PERMIT: a copy of ours on lo */
	MARK_EPOCH_END = 1,     /* with MARK_RESET: the flow ends here */
	MARK_EPOCH_AGAIN = 2,   /* with MARK_NONE: to be authorized again */
	MARK_EPOCH_AGAIN_REPLY = 3,
	MARK_EPOCH_ENDED = 4, /* with MARK_NONE: of a flow that was ended */
	MARK_EPOCH_ENDED_DNAT = 5,
};

struct mark_layout {
	uint32_t mask;
	uint8_t shift; /* of the lowest bit of the mask */
};

/* Eight consecutive bits, or false and *out untouched. */
static inline bool mark_layout_init(struct mark_layout *out, uint32_t mask)
{
	uint8_t shift;

	if (!mask)
		return false;
	shift = (uint8_t)__builtin_ctz(mask);
	if (mask >> shift != (1u << MARK_BITS) - 1)
		return false;
	*out = (struct mark_layout){mask, shift};
	return true;
}

/* The eight-bit value, not yet shifted to its place. */
static inline uint8_t mark_value(enum mark_kind kind, uint8_t epoch)
{
	return (uint8_t)((unsigned)kind | (unsigned)epoch << MARK_KIND_BITS);
}

static inline enum mark_kind mark_value_kind(uint8_t value)
{
	return (enum mark_kind)(value & ((1u << MARK_KIND_BITS) - 1));
}

static inline uint8_t mark_value_epoch(uint8_t value)
{
	return value >> MARK_KIND_BITS;
}

static inline bool mark_epoch_valid(uint8_t epoch)
{
	return epoch >= MARK_EPOCH_MIN && epoch <= MARK_EPOCH_MAX;
}

/* Our value out of a whole mark, and the bits that this value has in a whole mark. */
static inline uint8_t mark_get(const struct mark_layout *l, uint32_t mark)
{
	return (uint8_t)((mark & l->mask) >> l->shift);
}

static inline uint32_t mark_bits(const struct mark_layout *l, uint8_t value)
{
	return (uint32_t)value << l->shift;
}

/* `mark` with our bits replaced and all others kept. */
static inline uint32_t mark_put(const struct mark_layout *l, uint32_t mark, uint8_t value)
{
	return (mark & ~l->mask) | mark_bits(l, value);
}

/* What a verdict or a raw socket sets, as bits of a whole mark. */
static inline uint32_t mark_permit(const struct mark_layout *l, uint8_t epoch)
{
	return mark_bits(l, mark_value(MARK_PERMIT, epoch));
}

static inline uint32_t mark_permit_once(const struct mark_layout *l)
{
	return mark_permit(l, MARK_EPOCH_NONE);
}

static inline uint32_t mark_inject(const struct mark_layout *l)
{
	return mark_permit(l, MARK_EPOCH_INJECT);
}

static inline bool mark_is_inject(const struct mark_layout *l, uint32_t mark)
{
	return (mark & l->mask) == mark_inject(l);
}

static inline uint32_t mark_reset(const struct mark_layout *l)
{
	return mark_bits(l, mark_value(MARK_RESET, MARK_EPOCH_NONE));
}

static inline uint32_t mark_unreach(const struct mark_layout *l)
{
	return mark_bits(l, mark_value(MARK_UNREACH, MARK_EPOCH_NONE));
}

static inline uint32_t mark_end(const struct mark_layout *l)
{
	return mark_bits(l, mark_value(MARK_RESET, MARK_EPOCH_END));
}

/* Epochs follow one another in a ring: the one before, and the one after. */
static inline uint8_t mark_epoch_before(uint8_t epoch)
{
	return epoch > MARK_EPOCH_MIN ? (uint8_t)(epoch - 1) : (uint8_t)MARK_EPOCH_MAX;
}

static inline uint8_t mark_epoch_after(uint8_t epoch)
{
	return epoch < MARK_EPOCH_MAX ? (uint8_t)(epoch + 1) : (uint8_t)MARK_EPOCH_MIN;
}

/* What the tag chain says of a packet that it queues. */
static inline uint8_t mark_value_dnat(void)
{
	return mark_value(MARK_NONE, MARK_EPOCH_DNAT);
}

static inline uint8_t mark_value_ended(bool dnat)
{
	return mark_value(MARK_NONE, dnat ? MARK_EPOCH_ENDED_DNAT : MARK_EPOCH_ENDED);
}

static inline bool mark_is_ended(const struct mark_layout *l, uint32_t mark)
{
	uint8_t v = mark_get(l, mark);

	return v == mark_value_ended(false) || v == mark_value_ended(true);
}

static inline bool mark_is_dnat(const struct mark_layout *l, uint32_t mark)
{
	uint8_t v = mark_get(l, mark);

	return v == mark_value_dnat() || v == mark_value_ended(true);
}

static inline uint8_t mark_value_again(bool reply)
{
	return mark_value(MARK_NONE, reply ? MARK_EPOCH_AGAIN_REPLY : MARK_EPOCH_AGAIN);
}

static inline bool mark_is_again(const struct mark_layout *l, uint32_t mark, bool reply)
{
	return mark_get(l, mark) == mark_value_again(reply);
}

/* What a connection's mark says. */
static inline bool mark_is_permitted(const struct mark_layout *l, uint32_t ct_mark)
{
	uint8_t v = mark_get(l, ct_mark);

	return mark_value_kind(v) == MARK_PERMIT && mark_epoch_valid(mark_value_epoch(v));
}

/* What a connection's mark becomes when it is ended. */
static inline uint32_t mark_blocked(const struct mark_layout *l)
{
	return mark_bits(l, mark_value(MARK_BLOCKED, MARK_EPOCH_NONE));
}

static inline bool mark_is_blocked(const struct mark_layout *l, uint32_t ct_mark)
{
	return mark_value_kind(mark_get(l, ct_mark)) == MARK_BLOCKED;
}

#endif
