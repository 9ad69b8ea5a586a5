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

static void cell_print(const struct out_column *c, const char *cell, bool last)
{
	if (last && c->width <= 0)
		printf("%s\n", cell);
	else
		printf("%*s%s", c->width, cell, last ? "\n" : " ");
}

static void text_list_begin(struct out *o, const struct out_list *l)
{
	o->list = l;
	o->rows = 0;
}

static void text_header(const struct out *o)
{
	const struct out_list *l = o->list;

	if (!o->headers)
		return;
	if (o->color)
		fputs("\033[1m", stdout);
	for (size_t i = 0; i < l->ncolumns; i++)
		cell_print(&l->columns[i], l->columns[i].title, i + 1 == l->ncolumns);
	if (o->color)
		fputs("\033[0m", stdout);
}

static void text_list_row(struct out *o, const json_t *row)
{
	const struct out_list *l = o->list;

	if (o->rows++ == 0)
		text_header(o);
	for (size_t i = 0; i < l->ncolumns; i++) {
		char cell[OUT_CELL] = "";

		l->columns[i].format(row, cell);
		out_clean(cell);
		cell_print(&l->columns[i], cell, i + 1 == l->ncolumns);
	}
}

static void text_list_end(struct out *o)
{
	if (!o->rows && o->list->none && o->headers)
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
