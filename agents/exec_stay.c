/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `type exec; mode stay`: a few processes that live on and answer line by line. An answer that names a
 * question by its id may come in any order; one that does not is about the oldest question of that process, also when that
 * one has been withdrawn meanwhile: it must not count for the next one. So a line that is no answer, from a program that
 * names no questions, leaves nobody who could say what its next line is about: the process ends.
 */
#include "agents/exec.h"
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#define BACKOFF_MIN 100u
#define BACKOFF_MAX 10000u
/* Withdrawn so shortly before its time is over, as clocks here and there go, it was withdrawn for that. */
#define NEARLY_NS (MONO_NS_PER_S / 5)

static struct loop *loop_of(const struct exec_child *c)
{
	return agent_loop(c->exec->agent);
}

/* ---- questions ---- */

/* The one with the least to do; NULL: none has room. */
static struct exec_child *idlest(const struct exec *x)
{
	struct exec_child *best = NULL;

	for (struct list *at = x->children.next; at != &x->children; at = at->next) {
		struct exec_child *c = container_of(at, struct exec_child, link);

		if (c->pid && c->in >= 0 && c->out >= 0 && c->open < EXEC_AHEAD &&
		    (!best || c->open < best->open))
			best = c;
	}
	return best;
}

static void pump(struct exec *x)
{
	struct exec_child *c;

	while (!list_empty(&x->waiting) && (c = idlest(x)) != NULL) {
		struct exec_work *w = container_of(x->waiting.next, struct exec_work, link);

		exec_work_take(w, c);
		if (!exec_child_put(c, w->q->json))
			exec_work_end(w, PEND_CLIENT_ANSWER_ERROR, NULL,
				      "the program does not read");
	}
}

/* None runs, and one that is started ends again: waiting is of no use, and the authority's on-error decides. */
static void fail_waiting(struct exec *x)
{
	for (struct list *at = x->children.next; at != &x->children; at = at->next) {
		const struct exec_child *c = container_of(at, struct exec_child, link);

		if (c->pid || c->backoff_ms <= BACKOFF_MIN)
			return;
	}
	while (!list_empty(&x->waiting))
		exec_work_end(container_of(x->waiting.next, struct exec_work, link),
			      PEND_CLIENT_ANSWER_ERROR, NULL, "the program does not run");
}

void exec_stay_question(struct exec *x, struct agent_question *q)
{
	if (!exec_work_new(x, q))
		return;
	pump(x);
	fail_waiting(x);
}

static void give_up(struct exec_child *c, const char *why)
{
	agent_log(c->exec->agent, "%s %s: starting it anew", c->exec->argv[0], why);
	exec_child_kill(c, SIGKILL);
}

/* There is room for nothing else any more. */
static bool only_withdrawn(struct exec_child *c)
{
	for (struct list *at = c->work.next; at != &c->work; at = at->next)
		if (container_of(at, struct exec_work, link)->q)
			return false;
	return c->open == EXEC_AHEAD;
}

void exec_stay_withdrawn(struct agent_question *q)
{
	struct exec_work *w = q->work;
	struct exec_child *c = w ? w->child : NULL;

	if (!w)
		return;
	if (!c || c->by_id) {
		exec_work_drop(w);
	} else {
		w->q = NULL;
		q->work = NULL;
	}
	if (!c)
		return;
	if (!mono_before(mono_add(loop_now(loop_of(c)), NEARLY_NS), q->deadline))
		c->ignored++;
	if (c->ignored >= EXEC_IGNORED_MAX || only_withdrawn(c)) {
		c->ignored = 0;
		give_up(c, "does not answer");
	}
}

/* ---- answers ---- */

/* False: it is no verdict. */
static bool answer_of(const json_t *o, enum pend_client_answer *out)
{
	static const struct {
		const char *name;
		enum pend_client_answer answer;
	} names[] = {{"permit", PEND_CLIENT_ANSWER_PERMIT},
		     {"block", PEND_CLIENT_ANSWER_BLOCK},
		     {"continue", PEND_CLIENT_ANSWER_CONTINUE},
		     {"error", PEND_CLIENT_ANSWER_ERROR}};
	const char *verdict = json_string_value(json_object_get(o, "verdict"));

	*out = PEND_CLIENT_ANSWER_ERROR;
	for (size_t i = 0; verdict && i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(verdict, names[i].name) == 0) {
			*out = names[i].answer;
			return true;
		}
	return false;
}

static struct exec_work *work_find(struct exec_child *c, const char *id)
{
	for (struct list *at = c->work.next; at != &c->work; at = at->next) {
		struct exec_work *w = container_of(at, struct exec_work, link);

		if (w->q && strcmp(w->q->id, id) == 0)
			return w;
	}
	return NULL;
}

/* From the first answer with an id on, all have one: what was withdrawn is not waited for. */
static void names_ids(struct exec_child *c)
{
	struct list *at, *tmp;

	if (c->by_id)
		return;
	c->by_id = true;
	list_foreach(at, tmp, &c->work) {
		struct exec_work *w = container_of(at, struct exec_work, link);

		if (!w->q)
			exec_work_drop(w);
	}
}

static void fail_open(struct exec_child *c, const char *why)
{
	struct exec_work *w;

	while ((w = exec_work_first(c)) != NULL)
		exec_work_end(w, PEND_CLIENT_ANSWER_ERROR, NULL, why);
}

/* What it says from here on could be about any question: it is not read. */
static void lose(struct exec_child *c, const char *why)
{
	c->lost = true;
	exec_child_close(c);
	fail_open(c, "the program said what is no answer");
	give_up(c, why);
}

static void junk(struct exec_child *c)
{
	if (c->junk++ == 0)
		agent_log(c->exec->agent, "%s said what answers nothing", c->exec->argv[0]);
	if (c->junk == EXEC_JUNK_MAX)
		give_up(c, "says nothing of use");
}

static void answered(struct exec_child *c, struct exec_work *w, const json_t *o)
{
	enum pend_client_answer answer;
	bool ok = answer_of(o, &answer);

	c->junk = c->ignored = 0;
	c->backoff_ms = 0;
	exec_work_end(w, answer, json_string_value(json_object_get(o, "block")),
		      ok ? json_string_value(json_object_get(o, "why")) : "no verdict");
}

/* Whatever is wrong with it, it is about one question, or about none. */
static void line_by_id(struct exec_child *c, const json_t *o)
{
	const char *id = json_string_value(json_object_get(o, "id"));
	struct exec_work *w = id ? work_find(c, id) : NULL;

	if (w)
		answered(c, w, o);
	else
		junk(c);
}

/*
 * What comes while nothing is asked cannot be an answer that went wrong, and shifts none; but a verdict too many
 * would have counted, had it come a little later.
 */
static void line_in_order(struct exec_child *c, const json_t *o)
{
	struct exec_work *w = exec_work_first(c);
	enum pend_client_answer answer;
	bool ok = answer_of(o, &answer) && !json_object_get(o, "id");

	if (w && ok)
		answered(c, w, o);
	else if (w)
		lose(c, "said what is no answer, and does not name the questions that it answers");
	else if (ok)
		lose(c, "answered what was not asked");
	else
		junk(c);
}

static void one_line(struct exec_child *c, const char *line, size_t len)
{
	json_t *o = json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL);

	if (json_is_string(json_object_get(o, "id")))
		names_ids(c);
	if (c->by_id)
		line_by_id(c, o);
	else
		line_in_order(c, o);
	json_decref(o);
}

static void take_lines(struct exec_child *c)
{
	size_t used = 0;
	char *nl;

	while (!c->lost && (nl = memchr(c->line + used, '\n', c->len - used)) != NULL) {
		one_line(c, c->line + used, (size_t)(nl - c->line) - used);
		used = (size_t)(nl - c->line) + 1;
	}
	c->len -= used;
	memmove(c->line, c->line + used, c->len);
}

void exec_stay_lines(struct exec_child *c)
{
	take_lines(c);
	if (!c->lost && c->len == sizeof(c->line))
		lose(c, "said too long a line");
	pump(c->exec);
}

/* ---- processes ---- */

static void start_later(struct exec_child *c)
{
	c->backoff_ms = c->backoff_ms ? 2 * c->backoff_ms : BACKOFF_MIN;
	if (c->backoff_ms > BACKOFF_MAX)
		c->backoff_ms = BACKOFF_MAX;
	loop_timer_arm(loop_of(c), &c->timer,
		       mono_add(loop_now(loop_of(c)), c->backoff_ms * MONO_NS_PER_MS));
}

static void again(void *ctx)
{
	struct exec_child *c = ctx;

	if (exec_child_start(c, NULL))
		start_later(c);
	pump(c->exec);
}

int exec_stay_start(struct exec *x, struct err *e)
{
	for (unsigned i = 0; i < x->max; i++) {
		struct exec_child *c = exec_child_new(x, again);
		int r = c ? exec_child_start(c, NULL) : -ENOMEM;

		if (r)
			return err_sys(e, r, "cannot start %s", x->argv[0]);
	}
	return 0;
}

/* What it said before counts; the questions that are left end with it. It is started again, ever slower. */
void exec_stay_ended(struct exec_child *c, int status)
{
	while (c->len < sizeof(c->line) && exec_child_read(c))
		take_lines(c);
	exec_child_close(c);
	agent_log(c->exec->agent, "%s ended (%s %d)", c->exec->argv[0],
		  WIFEXITED(status) ? "status" : "signal",
		  WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
	fail_open(c, "the program ended");
	start_later(c);
	pump(c->exec);
	fail_waiting(c->exec);
}
