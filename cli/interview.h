/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `pendctl ask` without its terminal: which connections wait, which of them is the question, what a
 * key means, and what is said. It reads no clock and writes nothing; times are milliseconds of the
 * caller's clock. Text for people is cleaned here of what a terminal would obey.
 */
#ifndef CLI_INTERVIEW_H
#define CLI_INTERVIEW_H

#include "cli/lookup.h"
#include "cli/out.h"
#include <jansson.h>

#define ASK_ID       32
#define ASK_WHY      200   /* bytes of a reason */
#define ASK_ROWS     10000 /* connections that are listed; the others come when these are done */
#define ASK_IDS      4096  /* of one request; see docs/protocol.md */
#define ASK_BYTES    61440 /* ... of its ids as JSON: a line has 65,536, a reason and all else in it */
#define ASK_MANY     5     /* above so many decided at once, they are not told one by one */
#define ASK_HISTORY  200  /* entries of the daemon's record that are counted */
#define ASK_PAST     1024 /* decisions that are remembered for "earlier" */
#define ASK_SETTLE   300  /* ms: keys that come sooner behind a new question are not about it */
#define ASK_LINE_MAX 1024

/* What a verdict holds for. */
enum interview_hold { ASK_BY_RULE, ASK_ONCE, ASK_HOUR, ASK_DAY, ASK_FOREVER };

#define ASK_OWED 64

struct interview_row {
	json_t *v; /* as `pending` has it */
	int64_t since, until;
	bool skipped, sent;
	bool quiet; /* one of many: what becomes of it is not told */
};

struct interview {
	struct interview_row *row; /* oldest first */
	size_t n, cap;
	bool more;                /* not all could be listed */
	char current[ASK_ID];     /* "": no question now */
	int64_t shown;            /* when it was; keys before ASK_SETTLE are not about it */
	enum interview_hold hold; /* of the next verdict; begins anew with each question */
	char why[ASK_WHY + 1];
	bool editing;             /* the reason is being written */
	char before[ASK_WHY + 1]; /* ... and what it was */
	json_t *rules;            /* of `generation` */
	long long generation;
	json_t *past; /* completed events, oldest first */
	/* ids that are listed no more, before the event that says what became of them; the oldest is overwritten */
	char owed[ASK_OWED][ASK_ID];
	unsigned owed_next;
	/* what was found out about the current one */
	bool have_listener, have_name, have_target, late;
	struct lookup_answer listener, name, target;
	char country[4];
	json_t *decisions; /* of its source; NULL: not known */
	json_t *history;   /* of its source, newest first; NULL: the daemon keeps none */
};

enum interview_do {
	ASK_NOTHING,
	ASK_DECIDE, /* `ids` of the action, with `verdict`, `block` */
	ASK_REDRAW, /* the prompt says something else now */
	ASK_AGAIN,  /* look for another question */
	ASK_DETAILS,
	ASK_HELP,
	ASK_QUIT,
};

struct interview_action {
	enum interview_do what;
	bool permit, reset;
	bool all;    /* of the source: what is remembered is, too */
	json_t *ids; /* the caller's; NULL: none */
};

void interview_init(struct interview *a);
void interview_deinit(struct interview *a);

/* What waits now: replaces what waited. */
void interview_listed(struct interview *a, const json_t *pending, bool more, int64_t now);
/* One has ended: kept for "earlier". True: it is the question, or was skipped, so it is told. */
bool interview_ended(struct interview *a, const json_t *event);
/* What the daemon's record says of the question's source: kept until the next question. */
void interview_history(struct interview *a, const json_t *result);
/* Rules of the policy in force. */
void interview_rules(struct interview *a, const json_t *result);
/* Choose the question if there is none: true if there is a new one. */
bool interview_next(struct interview *a, int64_t now);
const struct interview_row *interview_current(const struct interview *a); /* NULL: none */
/* Does the question still wait? If not there is none any more. */
bool interview_waits(struct interview *a);
void interview_key(struct interview *a, int key, int64_t now, struct interview_action *out);
/* The arguments of op complete; takes the action's ids. */
json_t *interview_request(struct interview *a, struct interview_action *action);
/* It was not done after all: they wait as before. */
void interview_refused(struct interview *a);
bool interview_question(const struct interview *a, bool names, struct lookup_question *q);

typedef void interview_line_fn(void *ctx, const char *line);
void interview_text(const struct interview *a, int64_t now, interview_line_fn *line, void *ctx);
void interview_details(const struct interview *a, int64_t now, interview_line_fn *line, void *ctx);
void interview_help(interview_line_fn *line, void *ctx);
/* The name alone, for when it comes late. */
void interview_text_name(const struct interview *a, interview_line_fn *line, void *ctx);
/* ... that of another host to which the connection goes; nothing if it has none. */
void interview_text_target(const struct interview *a, interview_line_fn *line, void *ctx);
/* What has become of one. */
void interview_text_ended(const json_t *event, interview_line_fn *line, void *ctx);
void interview_prompt(const struct interview *a, int64_t now, char out[ASK_LINE_MAX]);
/* How many wait: all, and of those skipped, and from the question's source besides itself. */
size_t interview_skipped(const struct interview *a);
size_t interview_others(const struct interview *a);

#endif
