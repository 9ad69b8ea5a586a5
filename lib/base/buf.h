/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bounds-checked cursors over bytes that came from outside, and over bytes to be sent.
 *
 * A reader that runs past its end sets `bad` and yields zeros from then on, so a parser
 * may read a whole header and check once. Nothing here is undefined for any input.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rbuf {
	const uint8_t *p, *end;
	bool bad;
};

struct wbuf {
	uint8_t *p, *start, *end;
	bool bad; /* something did not fit; nothing was written past `end` */
};

/* NULL of length 0 is allowed. */
static inline struct rbuf rbuf_of(const void *data, size_t len)
{
	const uint8_t *p = data ? data : (const void *)"";

	return (struct rbuf){p, p + len, false};
}

static inline size_t rbuf_left(const struct rbuf *b)
{
	return (size_t)(b->end - b->p);
}

/* `len` bytes at the cursor, which moves past them; NULL (and bad) if there are fewer. */
const uint8_t *rbuf_take(struct rbuf *b, size_t len);
void rbuf_skip(struct rbuf *b, size_t len);
uint8_t rbuf_u8(struct rbuf *b);
uint16_t rbuf_be16(struct rbuf *b);
uint32_t rbuf_be32(struct rbuf *b);

static inline struct wbuf wbuf_of(void *data, size_t len)
{
	return (struct wbuf){data, data, (uint8_t *)data + len, false};
}

static inline size_t wbuf_len(const struct wbuf *b)
{
	return (size_t)(b->p - b->start);
}

void wbuf_bytes(struct wbuf *b, const void *data, size_t len);
void wbuf_zero(struct wbuf *b, size_t len);
void wbuf_u8(struct wbuf *b, uint8_t v);
void wbuf_be16(struct wbuf *b, uint16_t v);
void wbuf_be32(struct wbuf *b, uint32_t v);

#endif
