/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writes small MaxMind databases for tests: networks, each with a country, as a tree of 32-bit
 * records (MaxMind DB File Format Specification 2.0).
 */
#ifndef TESTS_MMDB_WRITE_H
#define TESTS_MMDB_WRITE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MMDB_NODES_MAX 65536u
#define MMDB_BYTES_MAX (1u << 20)
#define MMDB_EMPTY     UINT32_MAX
#define MMDB_DATA      0x80000000u /* and the offset of the record */

struct mmdb_writer {
	unsigned version; /* 4 or 6 */
	uint32_t (*node)[2];
	uint32_t n;
	uint8_t data[4096];
	uint32_t ndata;
	uint8_t *out;
	size_t len;
	size_t metadata, texts; /* where these begin */
};

static inline void mmdb_init(struct mmdb_writer *w, unsigned version)
{
	*w = (struct mmdb_writer){.version = version, .n = 1};
	w->node = malloc(MMDB_NODES_MAX * sizeof(*w->node));
	w->out = malloc(MMDB_BYTES_MAX);
	if (!w->node || !w->out)
		abort();
	w->node[0][0] = w->node[0][1] = MMDB_EMPTY;
}

static inline void mmdb_deinit(struct mmdb_writer *w)
{
	free(w->node);
	free(w->out);
}

static inline void mmdb_text(uint8_t *to, uint32_t *at, const char *s)
{
	size_t n = strlen(s);

	to[(*at)++] = (uint8_t)(2 << 5 | n); /* n < 29 */
	memcpy(to + *at, s, n);
	*at += (uint32_t)n;
}

/* {"country": {"iso_code": "DE"}}, or another first word; returns what add takes. */
static inline uint32_t mmdb_record(struct mmdb_writer *w, const char *what, const char *code)
{
	uint32_t at = w->ndata;

	w->data[w->ndata++] = 7 << 5 | 1;
	mmdb_text(w->data, &w->ndata, what);
	w->data[w->ndata++] = 7 << 5 | 1;
	mmdb_text(w->data, &w->ndata, "iso_code");
	mmdb_text(w->data, &w->ndata, code);
	if (w->ndata > sizeof(w->data) - 128)
		abort();
	return at | MMDB_DATA;
}

static inline bool mmdb_bit(const uint8_t *addr, unsigned i)
{
	return addr[i / 8] >> (7 - i % 8) & 1;
}

/* The record of this prefix; nodes are made on the way, and what covered it is what they begin with. */
static inline uint32_t *mmdb_at(struct mmdb_writer *w, const uint8_t *addr, unsigned prefix)
{
	uint32_t *rec = &w->node[0][mmdb_bit(addr, 0)];

	for (unsigned i = 1; i < prefix; i++) {
		if (*rec == MMDB_EMPTY || *rec & MMDB_DATA) {
			if (w->n == MMDB_NODES_MAX)
				abort();
			w->node[w->n][0] = w->node[w->n][1] = *rec;
			*rec = w->n++;
		}
		rec = &w->node[*rec][mmdb_bit(addr, i)];
	}
	return rec;
}

static inline void mmdb_add(struct mmdb_writer *w, uint8_t family, const uint8_t *addr,
			    unsigned prefix, uint32_t record)
{
	uint8_t low[16] = {0};

	if (family == 4 && w->version == 6) {
		memcpy(low + 12, addr, 4);
		*mmdb_at(w, low, 96 + prefix) = record;
		return;
	}
	*mmdb_at(w, addr, prefix) = record;
}

static inline void mmdb_byte(struct mmdb_writer *w, unsigned b)
{
	w->out[w->len++] = (uint8_t)b;
}

static inline void mmdb_u32(struct mmdb_writer *w, uint32_t v)
{
	for (int i = 24; i >= 0; i -= 8)
		mmdb_byte(w, v >> i & 255);
}

static inline void mmdb_key(struct mmdb_writer *w, const char *key, unsigned type, uint32_t value)
{
	uint32_t at = (uint32_t)w->len;

	mmdb_text(w->out, &at, key);
	w->len = at;
	mmdb_byte(w, type << 5 | (type == 5 ? 2 : 4)); /* uint16 or uint32 */
	if (type == 5) {
		mmdb_byte(w, value >> 8);
		mmdb_byte(w, value & 255);
	} else {
		mmdb_u32(w, value);
	}
}

/* Into w->out. */
static inline void mmdb_finish(struct mmdb_writer *w)
{
	static const char marker[] = "\xab\xcd\xefMaxMind.com";
	uint32_t at;

	w->len = 0;
	for (uint32_t i = 0; i < 2 * w->n; i++) {
		uint32_t v = w->node[i / 2][i % 2];

		mmdb_u32(w, v == MMDB_EMPTY ? w->n
			    : v & MMDB_DATA ? w->n + 16 + (v & ~MMDB_DATA)
					    : v);
	}
	memset(w->out + w->len, 0, 16);
	w->len += 16;
	memcpy(w->out + w->len, w->data, w->ndata);
	w->len += w->ndata;
	w->metadata = w->len;
	memcpy(w->out + w->len, marker, sizeof(marker) - 1);
	w->len += sizeof(marker) - 1;
	mmdb_byte(w, 7 << 5 | 9);
	mmdb_key(w, "node_count", 6, w->n);
	mmdb_key(w, "record_size", 5, 32);
	mmdb_key(w, "ip_version", 5, w->version);
	mmdb_key(w, "binary_format_major_version", 5, 2);
	mmdb_key(w, "binary_format_minor_version", 5, 0);
	w->texts = w->len;
	at = (uint32_t)w->len;
	mmdb_text(w->out, &at, "build_epoch");
	w->out[at++] = 1; /* an extended type of one byte: uint64 */
	w->out[at++] = 2;
	w->out[at++] = 1;
	mmdb_text(w->out, &at, "database_type");
	mmdb_text(w->out, &at, "Test-Country");
	mmdb_text(w->out, &at, "languages");
	w->out[at++] = 0; /* an array, which is an extended type, of none */
	w->out[at++] = 4;
	mmdb_text(w->out, &at, "description");
	w->out[at++] = 7 << 5; /* a map of none */
	w->len = at;
}

static inline void mmdb_save(const char *path, const void *data, size_t len)
{
	FILE *f;

	unlink(path); /* to cut a file short and write it again waits for the disk */
	f = fopen(path, "we");
	if (!f || fwrite(data, 1, len, f) != len || fclose(f))
		abort();
}

#endif
