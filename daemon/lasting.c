/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See lasting.h. */
#include "daemon/lasting.h"
#include "base/str.h"
#include "daemon/control_json.h"
#include "daemon/log.h"
#include "io/policyfile.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MODULE "store"
#define MS     1000000

struct lasting {
	struct lasting_env env;
	struct store *store;
	uint64_t serial;  /* of the view whose rules were looked at */
	uint64_t waiting; /* decisions of rules that the policy does not have */
	uint64_t restored;
	unsigned forgets; /* under way */
	uint64_t epoch;   /* grows with each */
	uint64_t asked;   /* ... when the store was asked */
	bool loading, again;
	bool sets; /* their changes were asked for */
	bool told; /* the verdict process has had all there is */
};

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

int lasting_new(struct lasting **out, const struct lasting_env *env)
{
	const struct settings *s = &env->view->settings;
	struct lasting *l = calloc(1, sizeof(*l));
	char buf[SETTINGS_FILE_MAX + 16];
	const struct store_config c = {
		.path = path_of(s, buf), .keep_ms = s->history_keep / MS, .most = s->history_max};
	int r;

	if (!l)
		return -ENOMEM;
	l->env = *env;
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
	return store_start(l->store);
}

void lasting_free(struct lasting *l)
{
	if (l)
		store_free(l->store);
	free(l);
}

/* ---- to the store ---- */

/* By its number, as long as that is of the policy that is shown; else by its key. */
static bool rule_of(const struct view *v, const struct msg *m, struct classify_rule *out)
{
	uint64_t key = m->u.remembered.entry.k.rule;

	if (!v->classifier)
		return false;
	if (m->u.remembered.generation == v->generation &&
	    classify_rule_key(v->classifier, m->u.remembered.rule) == key)
		return classify_rule(v->classifier, m->u.remembered.rule, out);
	for (uint32_t i = 0; i < classify_rules(v->classifier); i++)
		if (classify_rule_key(v->classifier, i) == key)
			return classify_rule(v->classifier, i, out);
	return false;
}

void lasting_remembered(struct lasting *l, const struct msg *m)
{
	const struct remembered_entry *e = &m->u.remembered.entry;
	struct store_decision d = {
		.e = *e, .since_ms = to_wall(e->v.since_ns), .until_ms = to_wall(e->v.until_ns)};
	struct classify_rule rule = {.layer = "", .text = ""};

	rule_of(l->env.view, m, &rule);
	d.layer = rule.layer;
	d.rule = rule.text;
	notes_find(l->env.notes, e->v.note, &d.by, &d.why);
	if (m->u.remembered.evicted.rule)
		store_drop(l->store, &m->u.remembered.evicted);
	store_decision(l->store, &d);
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

static void send_part(struct lasting *l, const struct remembered_entry *list, uint32_t n, bool more)
{
	struct msg m = {.version = MSG_VERSION, .type = MSG_RESTORE, .worker = MSG_MAIN};
	int fd = n ? policyfile_image_fd(list, n * sizeof(*list)) : -1;

	m.u.decisions.count = fd < 0 ? 0 : n;
	m.u.decisions.cursor = more;
	if (l->env.post_fd(l->env.ctx, MSG_MAIN, &m, fd) < 0 && fd >= 0)
		close(fd);
}

static void give_back(struct lasting *l, const struct store_decision *d, size_t n)
{
	struct remembered_entry *part = calloc(MSG_FLOWS, sizeof(*part));
	size_t nkeys;
	uint64_t *keys = keys_of(l->env.view->classifier, &nkeys);
	uint32_t have = 0;
	uint64_t given = 0;

	l->waiting = 0;
	for (size_t i = 0; part && keys && i < n; i++) {
		if (!bsearch(&d[i].e.k.rule, keys, nkeys, sizeof(*keys), compare)) {
			l->waiting++;
			continue;
		}
		part[have++] = entry_of(l, &d[i]);
		given++;
		if (have == MSG_FLOWS) {
			send_part(l, part, have, true);
			have = 0;
		}
	}
	send_part(l, part, have, false);
	free(part);
	free(keys);
	if (!l->told && (given || l->waiting))
		log_notice(MODULE, "%llu decisions hold still, and %llu wait for their rules",
			   (unsigned long long)given, (unsigned long long)l->waiting);
	l->restored += l->told ? 0 : given;
	l->told = true;
}

static void load(struct lasting *l);

static void on_loaded(void *ctx, int status, const struct store_decision *d, size_t n)
{
	struct lasting *l = ctx;

	l->loading = false;
	if (l->forgets || l->epoch != l->asked || l->again) {
		/* some of it may be forgotten by now */
		l->again = true;
		if (!l->forgets)
			load(l);
		return;
	}
	if (status)
		log_error(MODULE, "the decisions of before cannot be read: %s", strerror(-status));
	give_back(l, d, n);
}

static void load(struct lasting *l)
{
	if (l->loading || l->forgets) {
		l->again = true;
		return;
	}
	l->again = false;
	l->asked = l->epoch;
	l->loading = store_load(l->store, wall_ms(), on_loaded, l);
}

void lasting_policy(struct lasting *l)
{
	const struct view *v = l->env.view;

	if (v->serial == l->serial)
		return;
	l->serial = v->serial;
	if (!l->told || l->waiting)
		load(l);
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
	if (w)
		store_forget(l->store, w);
	if (!l->forgets && l->again)
		load(l);
}

/* ---- sets ---- */

/* What was done again (no connection has asked for it) is in the file already. */
void lasting_set(struct lasting *l, const struct amend *ch)
{
	const struct overlay_terms *t = &ch->terms;
	const struct store_set c = {.set = ch->set,
				    .action = (uint8_t)ch->action,
				    .since_s = (int64_t)t->since,
				    .until_s = (int64_t)t->until,
				    .uid = t->who.uid,
				    .spans = ch->spans.span,
				    .size = ch->spans.n * sizeof(*ch->spans.span),
				    .by = t->who.user,
				    .why = t->why};

	if (ch->kind == AMEND_SET && !ch->same && !t->session && ch->seq != RELOAD_SEQ_NONE)
		store_set(l->store, &c);
}

static struct amend *amend_of(const struct store_set *s)
{
	struct amend *ch = amend_new(AMEND_SET);
	size_t n = s->size / sizeof(struct policy_span);

	if (!ch)
		return NULL;
	ch->seq = RELOAD_SEQ_NONE;
	ch->action = (enum overlay_action)s->action;
	ch->terms.since = (uint64_t)s->since_s;
	ch->terms.until = (uint64_t)s->until_s;
	ch->terms.who.uid = s->uid;
	ch->named = n;
	snprintf(ch->set, sizeof(ch->set), "%s", s->set);
	snprintf(ch->terms.who.user, sizeof(ch->terms.who.user), "%s", s->by);
	snprintf(ch->terms.why, sizeof(ch->terms.why), "%s", s->why);
	if (n && !policy_spans_make(&ch->spans, s->spans, n)) {
		amend_free(ch);
		return NULL;
	}
	return ch;
}

static void on_sets(void *ctx, int status, const struct store_set *s, size_t n)
{
	struct lasting *l = ctx;
	size_t done = 0;

	if (status)
		log_error(MODULE, "the changes of sets cannot be read: %s", strerror(-status));
	for (size_t i = 0; i < n; i++) {
		struct amend *ch = amend_of(&s[i]);

		if (ch && l->env.change(l->env.ctx, ch) == 0)
			done++;
		else
			amend_free(ch);
	}
	if (n)
		log_notice(MODULE, "%zu of %zu changes of sets are made again", done, n);
}

void lasting_sets(struct lasting *l)
{
	if (l->sets || !l->env.change)
		return;
	l->sets = true;
	store_sets(l->store, wall_ms(), on_sets, l);
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
