/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `pendctl top` without its screen: what is known, what keys mean, and which lines a screen of some
 * size has. It reads no clock and writes nothing; times are milliseconds of the caller's clock. Text
 * from outside is cleaned here of what a terminal would obey.
 */
#ifndef CLI_TOP_H
#define CLI_TOP_H

#include "cli/out.h"
#include <jansson.h>
#include <stdint.h>

#define TOP_ID         32
#define TOP_TEXT       512  /* of a line */
#define TOP_ROWS       2000 /* connections that are listed; the head says how many there are */
#define TOP_EVENTS     50
#define TOP_DECISIONS  200 /* remembered ones that are shown, the newest */
#define TOP_FILTER     60
#define TOP_MESSAGE_MS 4000 /* then the keys are told again */
#define TOP_LINES      300
#define TOP_COLUMNS    60 /* what a screen needs at least */
#define TOP_LINES_MIN  15

struct top_row {
	json_t *v; /* as `pending` has it */
	int64_t since, until;
};

enum top_sort { TOP_BY_AGE, TOP_BY_LEFT, TOP_BY_SOURCE, TOP_BY_DEST, TOP_BY_RULE, TOP_SORTS };

struct top_totals {
	int64_t at; /* 0: not known */
	long long pended, permitted, blocked, timed_out, direct;
};

struct top {
	bool running;
	char why[160], role[16]; /* why it does not run */
	json_t *status, *authorities, *events;
	struct top_totals before, last;
	long long kept,
		used; /* decisions that are remembered, and how often one has decided; -1: not known */
	json_t *decisions;    /* of these, the newest first; NULL: not known */
	int64_t decisions_at; /* ... when they were told */
	struct top_row *row;  /* all, in order */
	size_t n;
	bool more;     /* not all were listed */
	size_t *shown; /* those that fit the filter: indexes of row */
	size_t nshown, first;
	char selected[TOP_ID]; /* "": none */
	enum top_sort sort;
	char filter[TOP_FILTER + 1], filter_before[TOP_FILTER + 1];
	bool filtering, paused, help;
	bool decided; /* the lower part has what is remembered, and not the events */
	char message[160];
	int64_t message_at; /* since when it is shown; 0: not yet */
};

enum top_style { TOP_PLAIN, TOP_TITLE, TOP_HEADER, TOP_SELECTED, TOP_BAD, TOP_DIM, TOP_KEYS };

struct top_line {
	enum top_style style;
	char text[TOP_TEXT];
};

enum top_do {
	TOP_NOTHING,
	TOP_DECIDE, /* `ids` of the action, with `verdict`, `block` */
	TOP_REFRESH,
	TOP_QUIT,
};

struct top_action {
	enum top_do what;
	bool permit, reset;
	json_t *ids; /* the caller's; NULL: none */
};

/* Keys that are no characters. */
enum top_key { TOP_UP = 0x10000, TOP_DOWN, TOP_PAGE_UP, TOP_PAGE_DOWN, TOP_HOME, TOP_END };

void top_init(struct top *t);
void top_deinit(struct top *t);
void top_up(struct top *t, const char *role);
void top_down(struct top *t, const char *why);
void top_status(struct top *t, const json_t *status, int64_t now);
void top_authorities(struct top *t, const json_t *result);
void top_pending(struct top *t, const json_t *pending, bool more, int64_t now);
void top_decisions(struct top *t, const json_t *result, int64_t now);
void top_event(struct top *t, const json_t *event);
/* `code`: NULL, or that of the error. */
void top_decided(struct top *t, const json_t *result, const char *code, const char *text);
/* `page`: rows that the screen has for the table. */
void top_key(struct top *t, int key, int page, struct top_action *out);
/* The arguments of op complete; takes the action's ids. */
json_t *top_request(struct top_action *a);
/*
 * The lines of a screen, `lines` of them (TOP_LINES at most; 0: as many as there is to say), each of at most
 * `columns` columns of ASCII or TOP_TEXT bytes. Returns how many. *page (may be NULL): rows of the table.
 */
int top_lines(struct top *t, int columns, int lines, int64_t now, struct top_line *out, int *page);

#endif
