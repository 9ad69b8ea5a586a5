/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How results are shown: a table of functions, one set for people (out_text.c), one for programs
 * (out_json.c). Nothing else in pendctl writes to standard output.
 */
#ifndef CLI_OUT_H
#define CLI_OUT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#define OUT_CELL    160
#define OUT_COLUMNS 12
#define OUT_KEPT    500 /* rows; columns are as wide as these need */

struct out;

/* A column of a list; `format` makes the cell of a row (text from the daemon may be copied as it is). */
struct out_column {
	const char *title;
	int width; /* at least; negative: to the left; 0: the last one, to the left */
	void (*format)(const json_t *row, char cell[OUT_CELL]);
};

struct out_list {
	const char *name; /* of the array, in JSON */
	const char *none; /* said to people when there is no row; NULL: nothing */
	const struct out_column *columns;
	size_t ncolumns;
};

struct out_ops {
	void (*list_begin)(struct out *o, const struct out_list *l);
	void (*list_row)(struct out *o, const json_t *row);
	void (*list_end)(struct out *o, bool ok); /* not ok: an error came instead of the rest */
	/* A single result; `text` shows it to people. */
	void (*object)(struct out *o, const json_t *v,
		       void (*text)(struct out *o, const json_t *v));
	/* One of a stream without end, flushed at once. */
	void (*record)(struct out *o, const json_t *v,
		       void (*text)(struct out *o, const json_t *v));
	/* A list is shown anew, over the last one. */
	void (*redraw)(struct out *o);
};

struct out {
	const struct out_ops *ops;
	bool headers, color, terminal;
	const struct out_list *list;
	size_t rows;
	/* for people: rows that are kept back, so that columns get wide enough for all of them */
	json_t *kept;
	int width[OUT_COLUMNS];
};

extern const struct out_ops out_text, out_json;

/* For the `text` functions: printf whose arguments are cleaned of what a terminal would obey. */
void out_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
enum out_style { OUT_PLAIN, OUT_BOLD, OUT_GOOD, OUT_BAD };
void out_styled(const struct out *o, enum out_style style, const char *text);
/* Control, DEL, C1 and bidirectional characters become '?', in place. UTF-8 is left. */
void out_clean(char *s);

/* Fields of a record: "" or 0 when absent or of another type. */
const char *out_get(const json_t *v, const char *key);
long long out_int(const json_t *v, const char *key);
/* "203.0.113.7:4000", "[2001:db8::7]:4000", "203.0.113.7" */
void out_endpoint(const json_t *v, const char *addr_key, const char *port_key, char cell[OUT_CELL]);
/* The protocol's name, or its number. */
void out_protocol(const json_t *v, char cell[OUT_CELL]);
/* What a rule, or several of them, have counted. */
void out_hits(const json_t *v, char cell[OUT_CELL]);
void out_bytes(const json_t *v, char cell[OUT_CELL]);
/* In UTC, to the second: when one matched last. */
void out_last(const json_t *v, char cell[OUT_CELL]);
/* Lines of text from the daemon: diagnostics. */
void out_lines(const json_t *lines);
/* The policy's number, with the revision of its sets once they were changed: "5", "5.3". */
void out_generation(const json_t *v, char cell[OUT_CELL]);
/* "1 rule", "2 rules" */
static inline const char *out_noun(long long n, const char *one, const char *many)
{
	return n == 1 ? one : many;
}
/* Milliseconds as "0.4s", "12s", "4m10s", "2h05m", "3d04h". */
void out_age(long long ms, char cell[OUT_CELL]);
/* Bytes as "412k", "1.2M". */
void out_size(long long bytes, char cell[OUT_CELL]);

#endif
