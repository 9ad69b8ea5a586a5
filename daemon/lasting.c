/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See lasting.h. */
#include "daemon/lasting_impl.h"
#include "base/str.h"
#include "core/flow.h"
#include "daemon/control_json.h"
#include "daemon/log.h"
#include "io/policyfile.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MODULE  LASTING_MODULE
#define MS      1000000
#define LATE_NS (3 * MONO_NS_PER_S) /* that one may wait for what was before */

/* ---- time: the table's is CLOCK_BOOTTIME, the store's the wall clock ---- */

static int64_t wall_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / MS;
}

static int64_t to_wall(uint64_t boot_ns)
{
	return wall_ms() + ((int64_t)boot_ns - (int64_t)loop_clock().ns) / MS;
}

/* ---- life ---- */

/* The first folder that the service manager gives, if the settings leave it to that. */
static const char *path_of(const struct settings *s, char buf[SETTINGS_FILE_MAX + 16])
{
	const char *dir = getenv("STATE_DIRECTORY");

	if (strcmp(s->state, SETTINGS_STATE_AUTO) != 0)
		return s->state;
	if (!dir || dir[0] != '/' || strcspn(dir, ":") >= SETTINGS_FILE_MAX)
		return "";
	snprintf(buf, SETTINGS_FILE_MAX + 16, "%.*s/state.db", (int)strcspn(dir, ":"), dir);
	return buf;
}

void lasting_retry(struct lasting *l)
{
	if (!loop_timer_armed(&l->retry))
		loop_timer_arm(l->env.loop, &l->retry,
			       mono_add(loop_clock(), l->retry_ms * MONO_NS_PER_MS));
}

void lasting_say(struct lasting *l)
{
	struct msg m = {.version = MSG_VERSION, .type = MSG_RESTORE, .worker = MSG_MAIN};

	if (l->said || (!l->told && !l->failed) ||
	    (l->sets != LASTING_SETS_DONE && l->sets != LASTING_SETS_FAILED))
		return;
	l->said = l->env.post_fd(l->env.ctx, MSG_MAIN, &m, -1) == 0;
	if (!l->said)
		lasting_retry(l);
}

/* Whatever is not as it should be, once more. */
static void on_retry(void *ctx)
{
	struct lasting *l = ctx;

	l->retry_ms = l->retry_ms < LASTING_SLOW_MS ? 2 * l->retry_ms : l->retry_ms;
	if (l->failed)
		lasting_load(l);
	if (l->sets == LASTING_SETS_FAILED)
		lasting_sets_again(l);
	if (lasting_sets_dirty(l)) {
		l->changed = true;
		lasting_tidy(l);
	}
	if (l->rewrite)
		lasting_rewrite(l);
	lasting_say(l);
}

int lasting_new(struct lasting **out, const struct lasting_env *env)
{
	const struct settings *s = &env->view->settings;
	struct lasting *l = calloc(1, sizeof(*l));
	char buf[SETTINGS_FILE_MAX + 16];
	const struct store_config c = {
		.path = path_of(s, buf),
		.keep_ms = s->history_keep / MS,
		.most = s->history_max,
		.anew = lasting_anew,
		.ctx = l,
	};
	int r;

	if (!l)
		return -ENOMEM;
	l->env = *env;
	l->retry_ms = LASTING_RETRY_MS;
	loop_timer_init(&l->retry, on_retry, l);
	r = store_new(&l->store, env->loop, &c);
	if (r) {
		free(l);
		return r;
	}
	*out = l;
	return 0;
}

int lasting_start(struct lasting *l)
{
	l->started = loop_clock();
	return store_start(l->store);
}

void lasting_free(struct lasting *l)
{
	if (!l)
		return;
	loop_timer_cancel(l->env.loop, &l->retry);
	store_free(l->store);
	lasting_sets_free(l);
	free(l);
}

/* ---- to the store ---- */

static bool rule_by_key(const struct view *v, uint64_t key, struct classify_rule *out)
{
	if (!v->classifier)
		return false;
	for (uint32_t i = 0; i < classify_rules(v->classifier); i++)
		if (classify_rule_key(v->classifier, i) == key)
			return classify_rule(v->classifier, i, out);
	return false;
}

/* By its number, as long as that is of the policy that is shown; else by its key. */
static bool rule_of(const struct view *v, const struct msg *m, struct classify_rule *out)
{
	uint64_t key = m->u.remembered.entry.k.rule;

	if (v->classifier && m->u.remembered.generation == v->generation &&
	    classify_rule_key(v->classifier, m->u.remembered.rule) == key)
		return classify_rule(v->classifier, m->u.remembered.rule, out);
	return rule_by_key(v, key, out);
}

static bool keep(struct lasting *l, const struct remembered_entry *e,
		 const struct classify_rule *rule, bool if_new)
{
	struct store_decision d = {.e = *e,
				   .since_ms = to_wall(e->v.since_ns),
				   .until_ms = to_wall(e->v.until_ns),
				   .layer = rule->layer,
				   .rule = rule->text,
				   .if_new = if_new};

	notes_find(l->env.notes, e->v.note, &d.by, &d.why);
	return store_decision(l->store, &d);
}

bool lasting_keep(struct lasting *l, const struct remembered_entry *e)
{
	struct classify_rule rule = {.layer = "", .text = ""};

	if (e->k.family != FLOW_V4 && e->k.family != FLOW_V6)
		return true;
	rule_by_key(l->env.view, e->k.rule, &rule);
	return keep(l, e, &rule, true);
}

void lasting_remembered(struct lasting *l, const struct msg *m)
{
	struct classify_rule rule = {.layer = "", .text = ""};

	rule_of(l->env.view, m, &rule);
	if (m->u.remembered.evicted.rule)
		store_drop(l->store, &m->u.remembered.evicted);
	if (!keep(l, &m->u.remembered.entry, &rule, false))
		lasting_missed(l);
}

static bool is_kept(uint8_t history, uint32_t code)
{
	switch ((enum settings_history)history) {
	case SETTINGS_HISTORY_NONE:
		return false;
	case SETTINGS_HISTORY_DECIDED:
		return code == REASON_OPERATOR || code == REASON_AUTHORITY;
	case SETTINGS_HISTORY_ASKED:
		return code != REASON_STATIC;
	case SETTINGS_HISTORY_ALL:
		break;
	}
	return true;
}

static void keep_event(struct lasting *l, const struct pend_event *ev)
{
	const struct view *v = l->env.view;
	const struct pend_info *i = &ev->info;
	struct classify_rule rule = {.layer = "", .text = "", .file = ""};
	const char *authority = view_authority(v, i->tag);
	char iface[IF_NAMESIZE];
	struct store_event e = {.time_ms = to_wall(ev->now_ns),
				.pended_ms = (int64_t)((ev->now_ns - i->created_ns) / MS),
				.context = i->context,
				.family = i->family,
				.protocol = i->protocol,
				.state = (uint8_t)i->state,
				.verdict = i->verdict,
				.reason = MSG_REASON_CODE(i->reason),
				.source_port = i->source_port,
				.dest_port = i->dest_port,
				.authority = authority ? authority : ""};

	if (v->classifier && MSG_TAG_GENERATION(i->tag) == v->generation &&
	    classify_rule(v->classifier, i->rule, &rule))
		e.line = rule.line;
	e.layer = rule.layer;
	e.rule = rule.text;
	e.file = rule.file;
	memcpy(e.source, i->source, sizeof(e.source));
	memcpy(e.dest, i->dest, sizeof(e.dest));
	e.interface = view_interface(v, i->in_interface, iface);
	notes_find(l->env.notes, MSG_REASON_NOTE(i->reason), &e.by, &e.why);
	store_event(l->store, &e);
}

void lasting_event(struct lasting *l, const struct pend_event *ev)
{
	if (is_kept(l->env.view->settings.history, MSG_REASON_CODE(ev->info.reason)))
		keep_event(l, ev);
}

/* ---- from the store ---- */

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* The rules of the policy by their keys, sorted; NULL: no memory. */
static uint64_t *keys_of(const struct classifier *c, size_t *n)
{
	uint64_t *keys;

	*n = c ? classify_rules(c) : 0;
	keys = calloc(*n + 1, sizeof(*keys));
	for (size_t i = 0; keys && i < *n; i++)
		keys[i] = classify_rule_key(c, (uint32_t)i);
	if (keys)
		qsort(keys, *n, sizeof(*keys), compare);
	return keys;
}

/* Never longer than it was given for, whatever became of the clock. */
static struct remembered_entry entry_of(struct lasting *l, const struct store_decision *d)
{
	int64_t now = wall_ms(), left = d->until_ms - now, all = d->until_ms - d->since_ms;
	uint64_t boot = loop_clock().ns;
	struct remembered_entry e = d->e;
	int64_t age = now - d->since_ms;

	if (left > all)
		left = all;
	e.v.until_ns = boot + (uint64_t)left * MS;
	e.v.since_ns = age > 0 && (uint64_t)age * MS < boot ? boot - (uint64_t)age * MS : 1;
	e.v.note = notes_add(l->env.notes, d->by, d->why);
	return e;
}

/* There is more: lasting_say() has the last word. */
static bool send_part(struct lasting *l, const struct remembered_entry *list, uint32_t n)
{
	struct msg m = {.version = MSG_VERSION, .type = MSG_RESTORE, .worker = MSG_MAIN};
	int fd = n ? policyfile_image_fd(list, n * sizeof(*list)) : -1;

	if (!n)
		return true;
	m.u.decisions.count = n;
	m.u.decisions.cursor = 1;
	if (fd >= 0 && l->env.post_fd(l->env.ctx, MSG_MAIN, &m, fd) == 0)
		return true;
	if (fd >= 0)
		close(fd);
	return false;
}

/* False: not all of them, for want of memory or room. */
static bool give_back(struct lasting *l, const struct store_decision *d, size_t n)
{
	struct remembered_entry *part = calloc(MSG_FLOWS, sizeof(*part));
	size_t nkeys;
	uint64_t *keys = keys_of(l->env.view->classifier, &nkeys);
	uint32_t have = 0;
	uint64_t given = 0;
	bool ok = part && keys;

	l->waiting = 0;
	for (size_t i = 0; ok && i < n; i++) {
		if (!bsearch(&d[i].e.k.rule, keys, nkeys, sizeof(*keys), compare)) {
			l->waiting++;
			continue;
		}
		part[have++] = entry_of(l, &d[i]);
		given++;
		if (have == MSG_FLOWS) {
			ok = send_part(l, part, have);
			have = 0;
		}
	}
	ok = ok && send_part(l, part, have);
	free(part);
	free(keys);
	if (!ok)
		return false;
	if (!l->told && (given || l->waiting))
		log_notice(MODULE, "%llu decisions hold still, and %llu wait for their rules",
			   (unsigned long long)given, (unsigned long long)l->waiting);
	l->restored += l->told ? 0 : given;
	l->told = true;
	return true;
}

/* It is tried again until it can be done; those that were made meanwhile stay as they are. */
static void load_failed(struct lasting *l, int error)
{
	if (!l->failed)
		log_error(MODULE, "the decisions of before cannot be read: %s", strerror(error));
	l->failed = true;
	lasting_retry(l);
}

static void on_loaded(void *ctx, int status, const struct store_decision *d, size_t n)
{
	struct lasting *l = ctx;

	l->loading = false;
	if (l->forgets || l->epoch != l->asked || l->again) {
		/* some of it may be forgotten by now */
		l->again = true;
		if (!l->forgets)
			lasting_load(l);
		return;
	}
	if (!status && !give_back(l, d, n))
		status = -ENOMEM;
	if (status) {
		load_failed(l, -status);
	} else {
		l->failed = false;
		l->retry_ms = LASTING_RETRY_MS;
	}
	lasting_say(l);
}

void lasting_load(struct lasting *l)
{
	if (l->loading || l->forgets || l->unforgotten) {
		l->again = true;
		return;
	}
	l->again = false;
	l->asked = l->epoch;
	l->loading = store_load(l->store, wall_ms(), on_loaded, l);
	if (!l->loading)
		load_failed(l, ENOMEM);
}

void lasting_policy(struct lasting *l)
{
	const struct view *v = l->env.view;

	if (v->serial == l->serial)
		return;
	l->serial = v->serial;
	if (!l->told || l->waiting)
		lasting_load(l);
}

void lasting_forget_begin(struct lasting *l)
{
	l->forgets++;
	l->epoch++;
}

/*
 * What is forgotten is what the store was given until now: a clock that was set back would leave some of it. A decision
 * that was made while this was under way may go with it, and is asked for again at the next start; what
 * must not happen is that one that was forgotten holds again.
 */
void lasting_forget_end(struct lasting *l, const struct store_which *w)
{
	l->forgets--;
	if (w && !store_forget(l->store, w))
		lasting_unforgotten(l, w);
	if (!l->forgets && l->again)
		lasting_load(l);
}

/* ---- for others ---- */

static void on_synced(void *ctx, uint32_t tag, int status, const char *error)
{
	struct lasting *l = ctx;

	l->env.synced(l->env.ctx, tag, status, error);
}

int lasting_sync(struct lasting *l, uint32_t seq)
{
	if (!store_lasts(l->store))
		return 0;
	if (l->missed || lasting_sets_dirty(l))
		return -ENOBUFS;
	return store_sync(l->store, on_synced, l, seq) ? 1 : -ENOMEM;
}

static void on_found(void *ctx, uint32_t tag, int status, const struct store_found *f, size_t n)
{
	struct lasting *l = ctx;

	l->env.found(l->env.ctx, tag, status, f, n);
}

int lasting_query(struct lasting *l, const struct store_query *q, uint32_t seq)
{
	return store_query(l->store, q, on_found, l, seq) ? 0 : -ENOMEM;
}

static void set_int(json_t *o, const char *key, uint64_t v)
{
	json_object_set_new(o, key, json_integer((json_int_t)v));
}

static void tell_problem(json_t *status, const char *error)
{
	json_t *problems = json_object_get(status, "problems");

	if (problems)
		json_array_append_new(problems, cj_text(error));
	if (str_eq(json_string_value(json_object_get(status, "state")), "ok"))
		json_object_set_new(status, "state", json_string("degraded"));
}

/* Not what only takes its moment at start. */
static const char *lasting_problem(const struct lasting *l)
{
	bool late = mono_since(loop_clock(), l->started) > LATE_NS;

	if (l->failed || (late && !l->told))
		return "the decisions of before could not be read yet: they do not hold";
	if (l->sets == LASTING_SETS_FAILED || (late && l->sets != LASTING_SETS_DONE))
		return "the changes of sets of before could not be made again yet";
	if (l->missed)
		return "decisions are not written yet";
	if (l->rewrite)
		return "the file was damaged: what holds is not yet in the new one";
	if (lasting_sets_dirty(l))
		return "changes of sets are not written yet";
	return NULL;
}

void lasting_figures(struct lasting *l, json_t *status)
{
	static const char *const states[] = {[STORE_MEMORY] = "memory",
					     [STORE_FILE] = "file",
					     [STORE_FAILING] = "failing",
					     [STORE_REFUSED] = "refused"};
	json_t *o = json_object();
	struct store_stats s;

	store_stats(l->store, &s);
	json_object_set_new(o, "state", json_string(states[s.state]));
	json_object_set_new(o, "error", *s.error ? cj_text(s.error) : json_null());
	json_object_set_new(o, "committed",
			    s.committed_ms ? cj_wall_time(s.committed_ms) : json_null());
	if (s.state == STORE_FAILING || s.state == STORE_REFUSED)
		tell_problem(status, s.error);
	if (store_lasts(l->store) && lasting_problem(l))
		tell_problem(status, lasting_problem(l));
	set_int(o, "queued", s.queued);
	set_int(o, "written", s.written);
	set_int(o, "dropped", s.dropped);
	set_int(o, "lost", s.lost);
	set_int(o, "errors", s.errors);
	set_int(o, "commits", s.commits);
	set_int(o, "put_aside", s.put_aside);
	set_int(o, "size", s.size);
	set_int(o, "restored", l->restored);
	set_int(o, "waiting", l->waiting);
	json_object_set_new(status, "store", o);
}
