/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The control connection of schedules.c: what pendd answers and reports, held against what was sent.
 */
#ifndef TESTS_NETNS_SCHEDULES_JUDGE_H
#define TESTS_NETNS_SCHEDULES_JUDGE_H

#include "schedules.h"

/* --------------------------------------------------------------- control protocol ---- */

static bool control_send(const char *line)
{
	size_t len = strlen(line);

	/* a few hundred bytes a line and few lines under way: the socket's buffer holds them */
	return g.control >= 0 && send(g.control, line, len, MSG_NOSIGNAL) == (ssize_t)len;
}

static struct request *request_new(enum request_kind kind, struct schedule *s)
{
	for (unsigned i = 0; i < REQUESTS; i++) {
		struct request *q = &g.request[i];

		if (q->kind != Q_FREE)
			continue;
		*q = (struct request){.kind = kind, .id = ++g.next_id, .s = s, .sent = now_ns()};
		if (s) {
			q->number = s->number;
			q->attempt = s->attempt;
			q->contexts = s->contexts;
			s->requests++;
		}
		return q;
	}
	return NULL;
}

/* Room for one more, and the connection is up. */
static bool control_ready(void)
{
	unsigned used = 0;

	for (unsigned i = 0; i < REQUESTS; i++)
		used += g.request[i].kind != Q_FREE;
	return g.control >= 0 && g.listed && used < REQUESTS - 4;
}

static void control_request(struct request *q, const char *rest)
{
	char line[512];

	snprintf(line, sizeof(line), "{\"id\":%lu,%s}\n", q->id, rest);
	control_send(line); /* that it is gone is seen when it is read */
}

static void control_open(void)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), size = 4 << 20;

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", g.socket);
	if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
		if (fd >= 0)
			close(fd);
		return;
	}
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	g.control = fd;
	g.in_len = 0;
	g.listed = false;
	g.control_since = now_ns();
	watch(fd, EPOLLIN);
	control_request(request_new(Q_FOLLOW, NULL),
			"\"op\":\"events\",\"follow\":true,\"last\":0,\"types\":[\"pended\","
			"\"completed\",\"retransmit\",\"kernel-lost\"]");
	control_request(request_new(Q_PENDING, NULL), "\"op\":\"pending\"");
}

static struct schedule *schedule_of(const char *json, uint16_t *sport)
{
	long dport = number(json, "dest_port") - PORT_FIRST, port = number(json, "source_port");
	struct schedule *s = dport >= 0 && dport < (long)g.nslots ? g.slot[dport].s : NULL;

	*sport = (uint16_t)port;
	return s && s->sport == *sport ? s : NULL;
}

static struct context *context_find(struct schedule *s, const char *id)
{
	for (unsigned i = 0; i < s->contexts; i++)
		if (!strcmp(s->ctx[i].id, id))
			return &s->ctx[i];
	return NULL;
}

static struct context *context_last(struct schedule *s)
{
	return s->contexts ? &s->ctx[s->contexts - 1] : NULL;
}

static bool context_live(const struct context *c)
{
	return c && !c->ended;
}

static bool any_live(const struct schedule *s)
{
	for (unsigned i = 0; i < s->contexts; i++)
		if (!s->ctx[i].ended)
			return true;
	return false;
}

static struct context *context_add(struct schedule *s, const char *id)
{
	struct context *c;

	if (s->contexts == CONTEXTS) {
		fail(s, "more than %d contexts for one schedule", CONTEXTS);
		return NULL;
	}
	c = &s->ctx[s->contexts++];
	*c = (struct context){.pended = now_ns(), .attempt = s->attempt};
	snprintf(c->id, sizeof(c->id), "%s", id);
	for (unsigned i = 0; i < s->actions; i++) /* the same decision for the same attempt */
		if (s->action[i].kind == A_DECIDE && s->action[i].done) {
			s->action[i].done = false;
			s->action[i].match = false;
		}
	return c;
}

static void on_pended(const char *json)
{
	uint16_t sport;
	struct schedule *s = schedule_of(json, &sport);
	char id[32];

	g.events_pended++;
	if (!s || !field(json, "id", id, sizeof(id))) {
		if (!g.ever_lost)
			fail(NULL, "a context of nobody: %.300s", json);
		return;
	}
	note(s, "event: pended %s", id);
	if (context_find(s, id)) {
		if (!s->gap)
			fail(s, "context %s was pended twice", id);
		return;
	}
	if (any_live(s) && !s->gap)
		fail(s, "a second context, %s, for one live connection", id);
	context_add(s, id);
}

static void expect(struct schedule *s, enum result r, uint64_t soon, uint64_t by)
{
	s->expect = r;
	s->expect_soon = soon;
	s->expect_by = by;
	s->foreign_then = g.foreigns;
	s->extended = 0;
	s->strict = strcmp(context_last(s)->state, "flushed") &&
		    strcmp(context_last(s)->state, "timed-out");
}

static void expect_within(struct schedule *s, enum result r, uint64_t since, double limit)
{
	expect(s, r, since + ms(limit * g.factor), since + ms(limit * g.factor * GRACE));
}

/* The next retransmission of a client of age a comes before 2a + 1 s. */
static uint64_t next_retransmit(const struct schedule *s, uint64_t now)
{
	uint64_t age = now - s->connect_at;

	return s->connect_at + 2 * age + ms(1000) + ms(800 * g.factor);
}

/* R21: the policy was known to block when the permit was sent, or the time ran out. */
static bool against_policy(const struct schedule *s, const struct context *c)
{
	const struct slot *l = s->slot;

	if (s->gap || !must_say(l, O_BLOCK))
		return false;
	return strcmp(c->state, "timed-out")
		       ? s->solid_block
		       : c->ended - l->solid_since > ms(300 * g.factor * GRACE);
}

static void ended_permit(struct schedule *s, const struct context *c)
{
	if (s->permit_at > c->ended)
		fail(s, "context %s is permitted, and nothing permitted it", c->id);
	if (against_policy(s, c))
		fail(s, "context %s is permitted against the policy", c->id);
	if (s->fd < 0 || s->result != R_NONE)
		return; /* gone, or connected already */
	if (!strcmp(c->state, "permitted"))
		expect_within(s, R_CONNECTED, c->ended, 300);
	else
		expect(s, R_CONNECTED, NEVER, next_retransmit(s, c->ended));
}

static void ended_block(struct schedule *s, const struct context *c, const char *how)
{
	if (s->block_at > c->ended)
		fail(s, "context %s is blocked, and nothing blocked it", c->id);
	/* Who is blocked while the policy says permit stays out; a policy that comes to say so lets in again. */
	s->blocked = !may_say(s->slot, O_PERMIT) || must_say(s->slot, O_PERMIT);
	if (s->result == R_CONNECTED)
		fail(s, "context %s is blocked, and its client connected", c->id);
	if (s->fd < 0 || s->result != R_NONE)
		return;
	if (strcmp(how, "drop") != 0)
		expect_within(s, R_REFUSED, c->ended, 200);
	else
		s->done_at = c->ended + ms(300 + roll(&s->rng, 2200));
}

static void judge_timeout(struct schedule *s, const struct context *c, long pended_ms)
{
	double over = (double)(pended_ms - s->slot->timeout_ms);

	if (pended_ms < s->slot->timeout_ms - 5)
		fail(s, "context %s timed out after %ld ms", c->id, pended_ms);
	g.slow += over > 300 * g.factor;
	if (over > 300 * g.factor * GRACE)
		fail(s, "context %s outlived its deadline: %ld ms", c->id, pended_ms);
}

static void count_state(const char *state)
{
	g.permitted += !strcmp(state, "permitted");
	g.flushed += !strcmp(state, "flushed");
	g.blocked += !strcmp(state, "blocked");
	g.timed_out += !strcmp(state, "timed-out");
	g.abandoned += !strcmp(state, "abandoned");
	g.lost += !strcmp(state, "lost");
}

static void judge_end(struct schedule *s, struct context *c, const char *json)
{
	char how[16] = "drop";

	field(json, "block", how, sizeof(how));
	if (!strcmp(c->state, "timed-out") || !strcmp(c->state, "lost"))
		judge_timeout(s, c, number(json, "pended_ms"));
	if (!strcmp(c->state, "abandoned")) {
		if (s->attempt == c->attempt && !s->gap)
			fail(s, "context %s was abandoned, and its client waits", c->id);
	} else if (!strcmp(c->state, "lost")) {
		if (!g.foreigns)
			fail(s, "context %s was lost, and nobody changed a rule", c->id);
	} else if (strcmp(c->state, "permitted") && strcmp(c->state, "flushed") &&
		   strcmp(c->state, "blocked") && strcmp(c->state, "timed-out")) {
		fail(s, "context %s ended as %s", c->id, c->state);
	} else if (c->attempt != s->attempt) {
		return; /* of the connection before */
	} else if (c->permit) {
		ended_permit(s, c);
	} else {
		ended_block(s, c, how);
	}
}

static void on_completed(const char *json)
{
	uint16_t sport;
	struct schedule *s = schedule_of(json, &sport);
	char id[32], verdict[16] = "";
	struct context *c;

	g.events_completed++;
	if (!s || !field(json, "id", id, sizeof(id)))
		return; /* told of when it was pended */
	c = context_find(s, id);
	if (!c && s->gap)
		c = context_add(s, id);
	if (!c || (c->ended && !c->unseen)) {
		fail(s, "context %s ended %s", id, c ? "twice" : "without a beginning");
		return;
	}
	field(json, "state", c->state, sizeof(c->state));
	field(json, "verdict", verdict, sizeof(verdict));
	c->permit = !strcmp(verdict, "permit");
	c->ended = now_ns();
	c->unseen = false;
	count_state(c->state);
	look(s);
	note(s, "event: %s %s, %s, pended %ld ms", id, c->state, verdict,
	     number(json, "pended_ms"));
	judge_end(s, c, json);
}

static void on_other(const char *json, const char *type)
{
	uint16_t sport;
	struct schedule *s = schedule_of(json, &sport);

	if (!strcmp(type, "retransmit"))
		g.retransmits++;
	else if (!strcmp(type, "kernel-lost"))
		g.kernel_lost++;
	else if (!strcmp(type, "subscription-lost"))
		fail(s, "pendd lost us as a subscriber");
	if (s)
		note(s, "event: %s", type);
}

/* ------------------------------------------------------------------------ answers ---- */

static void decide_answer(struct request *q, long completed)
{
	struct schedule *s = q->s;
	struct action *a = &s->action[q->action];

	if (a->kind == A_DOUBLE) {
		if (completed && s->contexts == q->contexts)
			fail(s, "a second decision was taken");
		return;
	}
	if (completed > 1)
		fail(s, "a decision about one connection completed %ld", completed);
	if (q->attempt != s->attempt)
		return;
	if (completed) {
		*(a->permit ? &s->effective_permits : &s->effective_blocks) += 1;
		return;
	}
	/* by address, before it was pended; or it has ended meanwhile, and says so; or we err */
	if (!a->match && q->contexts == s->contexts && a->again > 20 &&
	    context_live(context_last(s)))
		fail(s, "a decision was refused, and the context lives");
	if ((!s->contexts || context_live(context_last(s))) && ++a->again < 40) {
		a->done = false;
		a->match = false;
		a->at = (uint64_t)MS(now_ns() - s->connect_at) + 50;
	}
}

/* Among the children of pendd: by its option, for there are others. */
static bool is_authority(long pid)
{
	char path[64], text[4096];
	size_t n;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%ld/cmdline", pid);
	f = fopen(path, "r");
	n = f ? fread(text, 1, sizeof(text), f) : 0;
	if (f)
		fclose(f);
	return memmem(text, n, "--authority-process", 19) != NULL;
}

static bool authority_kill(void)
{
	char path[64];
	long child = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%ld/task/%ld/children", g.pid, g.pid);
	f = fopen(path, "r");
	while (f && fscanf(f, "%ld", &child) == 1 && !is_authority(child))
		child = 0;
	if (f)
		fclose(f);
	if (child <= 1)
		return false;
	g.kills++;
	kill((pid_t)child, SIGKILL);
	for (unsigned i = 0; i < g.nslots; i++)
		if (g.slot[i].s)
			note(g.slot[i].s, "the authority process is killed");
	return true;
}

/* What was just done, and we were never told. */
static bool answer_lost(const struct request *q)
{
	if (!g.kill_unheard || !g.kill || q->kind != Q_RELOAD)
		return false;
	g.kill_unheard = false;
	return authority_kill();
}

static void reload_answer(const struct request *q, bool ok)
{
	uint64_t now = now_ns();

	if (answer_lost(q))
		return; /* busy until the connection ends */
	g.reload_busy = false;
	if ((q->kind == Q_WRONG) == ok)
		fail(NULL, "a %s policy was %s", ok ? "wrong" : "right", ok ? "taken" : "refused");
	if (q->kind == Q_WRONG) {
		g.wrongs++;
		g.policy_dirty = true;
		return;
	}
	g.reloads++;
	for (unsigned i = 0; i < g.nslots; i++) {
		struct slot *l = &g.slot[i];

		if (!must_say(l, l->sent)) {
			l->may = 1u << l->sent;
			l->solid_since = now;
			if (l->s)
				note(l->s, "the policy says %s", overlays[l->sent]);
		}
	}
}

/* What is pending when we begin to listen again. Contexts that are not in it ended unseen. */
static void pending_answer(const char *json, bool last)
{
	static bool seen[SLOTS_MAX][CONTEXTS];
	const char *p = strchr(json, '[');

	while (p && (p = strchr(p, '{'))) {
		size_t n = strcspn(p, "}");
		char one[1024], id[32];
		struct schedule *s;
		struct context *c;
		uint16_t sport;

		snprintf(one, sizeof(one), "%.*s", (int)(n < 1000 ? n : 1000), p);
		p += n;
		s = schedule_of(one, &sport);
		if (!s || !field(one, "id", id, sizeof(id)) || strstr(one, "\"ok\""))
			continue;
		c = context_find(s, id);
		if (!c) {
			s->gap = true;
			c = context_add(s, id);
			note(s, "pending: %s", id);
		}
		if (c)
			seen[s->slot->index][c - s->ctx] = true;
	}
	if (!last)
		return;
	for (unsigned i = 0; i < g.nslots; i++) {
		struct schedule *s = g.slot[i].s;

		for (unsigned j = 0; s && j < s->contexts; j++) {
			if (s->ctx[j].ended || seen[i][j] || s->ctx[j].pended > g.control_since)
				continue;
			s->ctx[j].ended = now_ns();
			s->ctx[j].unseen = true;
			s->gap = true;
			g.unseen++;
			note(s, "%s ended unseen", s->ctx[j].id);
		}
	}
	memset(seen, 0, sizeof(seen));
	g.listed = true;
}

static void on_answer(const char *json)
{
	unsigned long id = (unsigned long)number(json, "id");
	bool ok = strstr(json, "\"ok\":true") != NULL, more = strstr(json, "\"more\":true") != NULL;
	struct request *q = NULL;

	for (unsigned i = 0; i < REQUESTS; i++)
		if (g.request[i].kind != Q_FREE && g.request[i].id == id)
			q = &g.request[i];
	if (!q) {
		fail(NULL, "an answer to nothing: %.200s", json);
		return;
	}
	if (q->s)
		note(q->s, "answer after %.1f ms: %.160s", MS(now_ns() - q->sent), json);
	switch (q->kind) {
	case Q_DECIDE:
		if (!ok)
			fail(q->s, "a decision failed: %.200s", json);
		decide_answer(q, number(json, "completed"));
		break;
	case Q_STALE:
		if (number(json, "completed") > 0)
			fail(q->s, "a stale or wrong id was completed");
		break;
	case Q_RELOAD:
	case Q_WRONG:
		reload_answer(q, ok);
		break;
	case Q_FOLLOW:
		if (!ok)
			fail(NULL, "cannot follow events: %.200s", json);
		break;
	case Q_PENDING:
		pending_answer(json, !more);
		break;
	case Q_STATUS:
		snprintf(g.status, sizeof(g.status), "%s", json);
		break;
	case Q_FREE:
		break;
	}
	if (more)
		return;
	if (q->s)
		q->s->requests--;
	q->kind = Q_FREE;
}

static void control_lost(void)
{
	close(g.control);
	g.control = -1;
	g.listed = false;
	g.ever_lost = true;
	g.reload_busy = false;
	g.policy_dirty = true;
	for (unsigned i = 0; i < REQUESTS; i++) {
		struct request *q = &g.request[i];

		if (q->kind != Q_FREE && q->s) {
			q->s->requests--;
			note(q->s, "no answer: the authority process is gone");
		}
		if (q->kind == Q_DECIDE && q->s->action[q->action].kind == A_DECIDE) {
			q->s->action[q->action].done = false;
			q->s->action[q->action].match = false;
		}
		q->kind = Q_FREE;
	}
	for (unsigned i = 0; i < g.nslots; i++)
		if (g.slot[i].s)
			g.slot[i].s->gap = true;
}

static void control_line(const char *json)
{
	char type[24];

	if (!strncmp(json, "{\"pend\"", 7))
		return;
	if (strncmp(json, "{\"event\"", 8) != 0) {
		on_answer(json);
		return;
	}
	if (!field(json, "type", type, sizeof(type)))
		return;
	if (!strcmp(type, "pended"))
		on_pended(json);
	else if (!strcmp(type, "completed"))
		on_completed(json);
	else
		on_other(json, type);
}

static void control_read(void)
{
	while (g.control >= 0) {
		ssize_t n = recv(g.control, g.in + g.in_len, LINE_MAX_IN - g.in_len - 1, 0);
		char *nl, *p = g.in;

		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			control_lost();
			return;
		}
		g.in_len += (size_t)n;
		g.in[g.in_len] = '\0';
		while ((nl = strchr(p, '\n'))) {
			*nl = '\0';
			control_line(p);
			p = nl + 1;
		}
		g.in_len -= (size_t)(p - g.in);
		memmove(g.in, p, g.in_len + 1);
	}
}

#endif
