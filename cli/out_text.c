/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Output for people; see out.h. */
#include "cli/out.h"
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Code points that move the cursor or turn the reading direction around. */
static bool harmful(uint32_t cp)
{
	return cp < 0x20 || (cp >= 0x7f && cp < 0xa0) || cp == 0x61c ||
	       (cp >= 0x200b && cp <= 0x200f) || (cp >= 0x2028 && cp <= 0x202e) ||
	       (cp >= 0x2066 && cp <= 0x2069) || cp == 0xfeff;
}

/* One character; what is not UTF-8 counts as a harmful byte. */
static size_t decode(const unsigned char *s, uint32_t *cp)
{
	size_t n = *s < 0x80 ? 1 : *s >= 0xf0 ? 4 : *s >= 0xe0 ? 3 : *s >= 0xc0 ? 2 : 0;

	*cp = n == 1 ? *s : *s & (0x7fu >> n);
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			n = 0;
		else
			*cp = *cp << 6 | (s[i] & 0x3f);
	}
	if (!n)
		*cp = 0;
	return n ? n : 1;
}

void out_clean(char *s)
{
	unsigned char *p = (unsigned char *)s, *w = p;

	while (*p) {
		uint32_t cp;
		size_t n = decode(p, &cp);

		if (harmful(cp)) {
			*w++ = '?';
		} else {
			memmove(w, p, n);
			w += n;
		}
		p += n;
	}
	*w = '\0';
}

/* Newlines are ours, in the format; those in arguments are not told apart, so one line at a time. */
void out_printf(const char *fmt, ...)
{
	size_t len = strlen(fmt);
	char *text;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	va_end(ap);
	if (!text)
		return;
	if (len && fmt[len - 1] == '\n')
		text[strlen(text) - 1] = '\0';
	out_clean(text);
	fputs(text, stdout);
	if (len && fmt[len - 1] == '\n')
		putchar('\n');
	free(text);
}

void out_styled(const struct out *o, enum out_style style, const char *text)
{
	static const char *const codes[] = {"", "\033[1m", "\033[32m", "\033[1;31m"};
	char clean[OUT_CELL];

	snprintf(clean, sizeof(clean), "%s", text);
	out_clean(clean);
	if (o->color && style != OUT_PLAIN)
		printf("%s%s\033[0m", codes[style], clean);
	else
		fputs(clean, stdout);
}

static void cell_print(const struct out *o, size_t column, const char *cell)
{
	bool last = column + 1 == o->list->ncolumns;
	int width = o->width[column];

	if (last && width <= 0)
		printf("%s\n", cell);
	else
		printf("%*s%s", width, cell, last ? "\n" : " ");
}

static void text_list_begin(struct out *o, const struct out_list *l)
{
	o->list = l;
	o->rows = 0;
	o->kept = json_array();
	for (size_t i = 0; i < l->ncolumns; i++)
		o->width[i] = l->columns[i].width;
}

static void text_header(const struct out *o)
{
	const struct out_list *l = o->list;

	if (!o->headers)
		return;
	if (o->color)
		fputs("\033[1m", stdout);
	for (size_t i = 0; i < l->ncolumns; i++)
		cell_print(o, i, l->columns[i].title);
	if (o->color)
		fputs("\033[0m", stdout);
}

static void cell_make(const struct out *o, size_t column, const json_t *row, char cell[OUT_CELL])
{
	*cell = '\0';
	o->list->columns[column].format(row, cell);
	out_clean(cell);
}

static void row_print(const struct out *o, const json_t *row)
{
	char cell[OUT_CELL];

	for (size_t i = 0; i < o->list->ncolumns; i++) {
		cell_make(o, i, row, cell);
		cell_print(o, i, cell);
	}
}

/* IPv6 addresses need more room than most rows do. */
static void row_measure(struct out *o, const json_t *row)
{
	char cell[OUT_CELL];

	for (size_t i = 0; i < o->list->ncolumns; i++) {
		int *w = &o->width[i], len;

		cell_make(o, i, row, cell);
		len = (int)strlen(cell);
		if (*w < 0 && len > -*w)
			*w = -len;
		else if (*w > 0 && len > *w)
			*w = len;
	}
}

/* Those that were kept back; from then on rows go out as they come. */
static void rows_release(struct out *o)
{
	json_t *row;
	size_t i;

	if (json_array_size(o->kept))
		text_header(o);
	json_array_foreach(o->kept, i, row) row_print(o, row);
	json_decref(o->kept);
	o->kept = NULL;
}

static void text_list_row(struct out *o, const json_t *row)
{
	o->rows++;
	if (!o->kept) {
		row_print(o, row);
		return;
	}
	row_measure(o, row);
	json_array_append_new(o->kept, json_deep_copy(row));
	if (json_array_size(o->kept) >= OUT_KEPT)
		rows_release(o);
}

static void text_list_end(struct out *o, bool ok)
{
	rows_release(o);
	if (ok && !o->rows && o->list->none && o->headers)
		printf("%s\n", o->list->none);
	fflush(stdout);
}

static void text_object(struct out *o, const json_t *v,
			void (*text)(struct out *o, const json_t *v))
{
	text(o, v);
	fflush(stdout);
}

static void text_redraw(struct out *o)
{
	if (o->terminal)
		fputs("\033[H\033[2J", stdout);
	else
		putchar('\n');
}

const struct out_ops out_text = {
	.list_begin = text_list_begin,
	.list_row = text_list_row,
	.list_end = text_list_end,
	.object = text_object,
	.record = text_object,
	.redraw = text_redraw,
};

const char *out_get(const json_t *v, const char *key)
{
	const char *s = json_string_value(json_object_get(v, key));

	return s ? s : "";
}

long long out_int(const json_t *v, const char *key)
{
	return json_integer_value(json_object_get(v, key));
}

void out_lines(const json_t *lines)
{
	const json_t *line;
	size_t i;

	json_array_foreach(lines, i, line) out_printf("%s\n", json_string_value(line));
}

void out_generation(const json_t *v, char cell[OUT_CELL])
{
	long long generation = out_int(v, "generation"), revision = out_int(v, "revision");

	if (revision)
		snprintf(cell, OUT_CELL, "%lld.%lld", generation, revision);
	else
		snprintf(cell, OUT_CELL, "%lld", generation);
}

void out_endpoint(const json_t *v, const char *addr_key, const char *port_key, char cell[OUT_CELL])
{
	const char *addr = out_get(v, addr_key);
	long long port = out_int(v, port_key);

	if (!port)
		snprintf(cell, OUT_CELL, "%s", addr);
	else if (strchr(addr, ':'))
		snprintf(cell, OUT_CELL, "[%s]:%lld", addr, port);
	else
		snprintf(cell, OUT_CELL, "%s:%lld", addr, port);
}

void out_hits(const json_t *v, char cell[OUT_CELL])
{
	snprintf(cell, OUT_CELL, "%lld", out_int(v, "hits"));
}

void out_bytes(const json_t *v, char cell[OUT_CELL])
{
	snprintf(cell, OUT_CELL, "%lld", out_int(v, "bytes"));
}

void out_last(const json_t *v, char cell[OUT_CELL])
{
	const char *last = out_get(v, "last");

	snprintf(cell, OUT_CELL, "%.19s", *last ? last : "-");
}

void out_protocol(const json_t *v, char cell[OUT_CELL])
{
	const char *name = out_get(v, "protocol");

	if (*name)
		snprintf(cell, OUT_CELL, "%s", name);
	else
		snprintf(cell, OUT_CELL, "%lld", out_int(v, "protocol"));
}

void out_age(long long ms, char cell[OUT_CELL])
{
	long long s = ms / 1000;

	if (ms < 10000)
		snprintf(cell, OUT_CELL, "%lld.%llds", s, ms % 1000 / 100);
	else if (s < 60)
		snprintf(cell, OUT_CELL, "%llds", s);
	else if (s < 3600)
		snprintf(cell, OUT_CELL, "%lldm%02llds", s / 60, s % 60);
	else if (s < 86400)
		snprintf(cell, OUT_CELL, "%lldh%02lldm", s / 3600, s % 3600 / 60);
	else
		snprintf(cell, OUT_CELL, "%lldd%02lldh", s / 86400, s % 86400 / 3600);
}

void out_size(long long bytes, char cell[OUT_CELL])
{
	static const char units[] = "BkMGT";
	double v = (double)bytes;
	int i = 0;

	for (; v >= 1024 && units[i + 1]; i++)
		v /= 1024;
	snprintf(cell, OUT_CELL, v < 10 && i ? "%.1f%c" : "%.0f%c", v, units[i]);
}
