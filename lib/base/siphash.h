/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SipHash-1-3 (Aumasson, Bernstein: "SipHash: a fast short-input PRF"): the keyed hash of
 * every table whose keys a peer can choose. The key comes from the caller (getrandom).
 */
#ifndef BASE_SIPHASH_H
#define BASE_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

struct siphash_key {
	uint64_t k[2];
};

uint64_t siphash13(const struct siphash_key *key, const void *data, size_t len);

#endif
