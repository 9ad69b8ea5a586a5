/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Bounds-checked cursors: see buf.h. */
#include "base/buf.h"

#include <string.h>

const uint8_t *rbuf_take(struct rbuf *b, size_t len)
{
	const uint8_t *p = b->p;

	if (b->bad || len > rbuf_left(b)) {
		b->bad = true;
		b->p = b->end;
		return NULL;
	}
	b->p += len;
	return p;
}

void rbuf_skip(struct rbuf *b, size_t len)
{
	rbuf_take(b, len);
}

uint8_t rbuf_u8(struct rbuf *b)
{
	const uint8_t *p = rbuf_take(b, 1);

	return p ? p[0] : 0;
}

uint16_t rbuf_be16(struct rbuf *b)
{
	const uint8_t *p = rbuf_take(b, 2);

	return p ? (uint16_t)(p[0] << 8 | p[1]) : 0;
}

uint32_t rbuf_be32(struct rbuf *b)
{
	const uint8_t *p = rbuf_take(b, 4);

	return p ? (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3] : 0;
}

/* Room for `len` bytes or NULL. Once something did not fit, nothing later is written either. */
static uint8_t *wbuf_room(struct wbuf *b, size_t len)
{
	uint8_t *p = b->p;

	if (b->bad || len > (size_t)(b->end - p)) {
		b->bad = true;
		return NULL;
	}
	b->p += len;
	return p;
}

void wbuf_bytes(struct wbuf *b, const void *data, size_t len)
{
	uint8_t *p = wbuf_room(b, len);

	if (p && len)
		memcpy(p, data, len);
}

void wbuf_zero(struct wbuf *b, size_t len)
{
	uint8_t *p = wbuf_room(b, len);

	if (p && len)
		memset(p, 0, len);
}

void wbuf_u8(struct wbuf *b, uint8_t v)
{
	wbuf_bytes(b, &v, 1);
}

void wbuf_be16(struct wbuf *b, uint16_t v)
{
	uint8_t raw[2] = {(uint8_t)(v >> 8), (uint8_t)v};

	wbuf_bytes(b, raw, sizeof(raw));
}

void wbuf_be32(struct wbuf *b, uint32_t v)
{
	uint8_t raw[4] = {(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};

	wbuf_bytes(b, raw, sizeof(raw));
}
