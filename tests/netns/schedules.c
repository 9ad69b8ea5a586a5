/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random schedules against a running pendd: many plain-socket connections at once, each held by a rule of its
 * own and decided, or not, at random times, while policies are loaded, other programs replace their rules
 * and the authority process is killed.
 *
 * Nothing of ours is linked in. What a client and the server may see is judged by what this program
 * sent and when: a connection must not exist, at either end, before something that permits it
 * was sent; it must exist in time afterwards; a blocked one must not exist at all.
 */
#include "schedules_judge.h"

static const char usage_text[] =
	"usage: schedules -p [-s SEED] [-c SLOTS]          print a policy with a rule for each slot\n"
	"       schedules -H NETNS -C NETNS -S SOCKET -f CONFIG -P PID [-s SEED] [-n N] [-c SLOTS]\n"
	"                 [-k] [-K MS] [-q] [-w FACTOR] [-o SCHEDULE]\n"
	"  -H, -C    network namespaces of the host and of the clients\n"
	"  -S        control socket, -f its policy file (rewritten), -P process id of pendd\n"
	"  -n        schedules (1000), of which as many as there are slots (100) run at once\n"
	"  -k        do not kill the authority process, -K so often (8000 ms, to twice that)\n"
	"  -q        no foreign rule changes\n"
	"  -u        other programs may not flush all rules: the hookup is not owned\n"
	"  -w        stretch all limits in time   -o  tell the history of this schedule\n";

/* --------------------------------------------------------------------- the plans ---- */

static struct action *action_add(struct schedule *s, enum kind kind, uint64_t at)
{
	struct action *a = &s->action[s->actions++];

	*a = (struct action){.kind = kind, .at = at};
	return a;
}

/* At once, before the first retransmission, or after it. */
static uint64_t plan_time(struct schedule *s)
{
	switch (roll(&s->rng, 3)) {
	case 0:
		return roll(&s->rng, 50);
	case 1:
		return 50 + roll(&s->rng, 900);
	}
	return 1050 + roll(&s->rng, 1800);
}

static void plan_decision(struct schedule *s, uint64_t at, bool permit)
{
	struct action *a = action_add(s, A_DECIDE, at);

	a->permit = permit;
	a->block = (int)roll(&s->rng, 3);
	a->match = roll(&s->rng, 5) < 2;
	if (roll(&s->rng, 5) < 2) {
		a = action_add(s, A_DOUBLE, roll(&s->rng, 4) ? at : at + roll(&s->rng, 500));
		a->permit = roll(&s->rng, 2);
		a->match = roll(&s->rng, 3) == 0;
	}
}

static void plan_policy(struct schedule *s)
{
	uint64_t at = 50 + roll(&s->rng, 1000);

	action_add(s, A_OVERLAY, at)->overlay = roll(&s->rng, 3) ? O_BLOCK : O_PERMIT;
	if (roll(&s->rng, 2))
		action_add(s, A_OVERLAY, at + 300 + roll(&s->rng, 700))->overlay = O_NONE;
	plan_decision(s, at + roll(&s->rng, 1200), roll(&s->rng, 3) != 0);
}

static void plan(struct schedule *s)
{
	unsigned kind = roll(&s->rng, 100);
	bool brief = s->slot->timeout_ms <= 2500;

	if (kind < 35 || (kind >= 60 && kind < 70 && !brief)) {
		plan_decision(s, plan_time(s), true);
	} else if (kind < 60) {
		plan_decision(s, plan_time(s), false);
	} else if (kind < 70) {
		note(s, "nobody decides");
	} else if (kind < 79) {
		action_add(s, A_CLOSE, 50 + roll(&s->rng, 1700));
		if (!brief || roll(&s->rng, 2))
			plan_decision(s, plan_time(s), roll(&s->rng, 2));
	} else if (kind < 91) {
		plan_policy(s);
	} else {
		action_add(s, A_AGAIN, 200 + roll(&s->rng, 1000));
		plan_decision(s, plan_time(s), roll(&s->rng, 4) != 0);
	}
	if (roll(&s->rng, 6) == 0)
		action_add(s, A_STALE, roll(&s->rng, 1500));
	if (roll(&s->rng, 8) == 0)
		action_add(s, A_GARBAGE, roll(&s->rng, 1500));
	if (roll(&s->rng, 16) == 0)
		action_add(s, A_WRONG, roll(&s->rng, 1500));
}

static void schedule_start(struct slot *l)
{
	struct schedule *s = calloc(1, sizeof(*s));

	if (!s)
		die("memory");
	s->number = ++g.started;
	s->rng = g.seed * 1000003u + s->number;
	s->slot = l;
	s->started = now_ns();
	s->fd = s->server_fd = -1;
	s->v6 = roll(&s->rng, 2);
	s->sport = (uint16_t)(20000 + s->number % 40000);
	snprintf(s->address, sizeof(s->address), s->v6 ? "2001:db8:1::%x" : "203.0.113.%u",
		 l->index + 1);
	l->s = s;
	plan(s);
	client_connect(s);
}

/* --------------------------------------------------------------------- to act ---- */

static void send_decision(struct schedule *s, unsigned i, const char *id)
{
	struct action *a = &s->action[i];
	struct request *q = request_new(Q_DECIDE, s);
	char rest[256];
	size_t n;

	q->action = i;
	if (a->match)
		n = (size_t)snprintf(rest, sizeof(rest),
				     "\"match\":{\"source\":\"%s\",\"port\":%u}", s->address,
				     PORT_FIRST + s->slot->index);
	else
		n = (size_t)snprintf(rest, sizeof(rest), "\"ids\":[\"%s\"]", id);
	n += (size_t)snprintf(rest + n, sizeof(rest) - n, ",\"op\":\"complete\",\"verdict\":\"%s\"",
			      a->permit ? "permit" : "block");
	if (!a->permit)
		snprintf(rest + n, sizeof(rest) - n, ",\"block\":\"%s\"", blocks[a->block]);
	note(s, "%s: %s", kind_names[a->kind], rest);
	control_request(q, rest);
}

static bool act_decide(struct schedule *s, unsigned i)
{
	struct action *a = &s->action[i];
	struct context *c = context_last(s);
	bool known = c && c->attempt == s->attempt;

	if (s->fd < 0 && !any_live(s))
		return true; /* there is nothing left to decide about */
	if (!control_ready() || (!a->match && !known))
		return false;
	if (a->permit) {
		permit_comes(s);
		s->solid_block = must_say(s->slot, O_BLOCK);
	} else {
		block_comes(s);
	}
	send_decision(s, i, known ? c->id : "");
	return true;
}

/* What was decided stays: no permit is noted for it, so that it would be found out. */
static bool act_double(struct schedule *s, unsigned i)
{
	struct context *c = context_last(s);

	if (s->fd < 0 && !s->requests)
		return true;
	if (!control_ready() || !c || !(s->effective_permits + s->effective_blocks))
		return false;
	g.doubles++;
	send_decision(s, i, c->id);
	return true;
}

static bool send_stale(struct schedule *s, const char *id)
{
	char rest[128];

	if (!control_ready())
		return false;
	g.stales++;
	snprintf(rest, sizeof(rest), "\"ids\":[\"%s\"],\"op\":\"complete\",\"verdict\":\"permit\"",
		 id);
	note(s, "stale: %s", rest);
	control_request(request_new(Q_STALE, s), rest);
	return true;
}

static bool act_garbage(struct schedule *s)
{
	struct context *c = context_last(s);
	char id[32];
	const char *dot = context_live(c) ? strchr(c->id, '.') : NULL;

	if (!dot)
		return s->fd < 0;
	snprintf(id, sizeof(id), "%.*s.%lu", (int)(dot - c->id) % 20, c->id,
		 strtoul(dot + 1, NULL, 10) + 1000000 + roll(&s->rng, 1000));
	return send_stale(s, id);
}

static bool act_close(struct schedule *s)
{
	look(s);
	if (s->fd >= 0 && s->result == R_NONE) {
		note(s, "the client gives up");
		client_close(s);
		s->result = R_CLOSED;
		s->done_at = now_ns() + ms(100);
	}
	return true;
}

/*
 * The same addresses and ports with a new sequence number: a new attempt, which no old decision may
 * reach. Not where the old SYN may have been let in: conntrack has one flow for both.
 */
static bool act_again(struct schedule *s)
{
	const struct context *c = context_last(s);
	uint64_t age = (uint64_t)MS(now_ns() - s->connect_at);

	look(s);
	if (s->result != R_NONE || s->attempt > 1 || s->fd < 0 || s->gap)
		return true;
	if (s->requests)
		return false;
	if (age > 900 || may_say(s->slot, O_PERMIT))
		return true;
	if (!c || (c->ended && c->permit && strcmp(c->state, "flushed")))
		return true;
	if (s->effective_permits && !c->ended)
		return false;
	note(s, "the client begins anew");
	client_close(s);
	client_connect(s);
	for (unsigned i = 0; i < s->actions; i++)
		if (s->action[i].kind == A_DECIDE) {
			s->action[i].done = false;
			s->action[i].match = false;
		}
	return true;
}

static bool act(struct schedule *s, unsigned i)
{
	struct action *a = &s->action[i];

	switch (a->kind) {
	case A_DECIDE:
		return act_decide(s, i);
	case A_DOUBLE:
		return act_double(s, i);
	case A_STALE:
		return !*s->slot->stale || send_stale(s, s->slot->stale);
	case A_GARBAGE:
		return act_garbage(s);
	case A_OVERLAY:
		note(s, "the policy shall say %s", overlays[a->overlay]);
		s->slot->want = (enum overlay)a->overlay;
		return true;
	case A_WRONG:
		g.wrong_wanted = true;
		return true;
	case A_CLOSE:
		return act_close(s);
	case A_AGAIN:
		return act_again(s);
	}
	return true;
}

/* One load at a time; what was wanted meanwhile goes with the next. */
static void policies(void)
{
	bool change = g.policy_dirty;

	if (g.reload_busy || !control_ready())
		return;
	if (g.wrong_wanted) {
		g.wrong_wanted = false;
		g.reload_busy = true;
		policy_write(true);
		control_request(request_new(Q_WRONG, NULL), "\"op\":\"reload\"");
		return;
	}
	for (unsigned i = 0; i < g.nslots; i++) {
		struct slot *l = &g.slot[i];

		change = change || l->want != l->sent;
		if (l->want == l->sent || !l->s)
			continue;
		note(l->s, "load: the policy says %s", overlays[l->want]);
		if (l->want == O_PERMIT) {
			permit_comes(l->s);
			l->s->blocked = false;
			if (l->s->expect == R_REFUSED)
				l->s->expect = R_NONE;
		}
		if (l->want == O_BLOCK) {
			block_comes(l->s);
			l->s->policy_block = true;
		}
	}
	if (!change)
		return;
	for (unsigned i = 0; i < g.nslots; i++) {
		g.slot[i].sent = g.slot[i].want;
		g.slot[i].may |= 1u << g.slot[i].sent;
	}
	g.policy_dirty = false;
	g.reload_busy = true;
	policy_write(false);
	control_request(request_new(Q_RELOAD, NULL), "\"op\":\"reload\"");
	if (g.kill_load) {
		g.kill_load = false;
		g.kill_next = now_ns() + ms(roll(&g.rng, 60));
	}
}

/* ------------------------------------------------------------ what goes on around ---- */

static const char *foreign_command(void)
{
	static char text[256];
	unsigned n = g.foreigns;

	g.foreign_table = !g.foreign_table;
	switch (roll(&g.rng, 6)) {
	case 0:
		if (g.may_flush)
			return "nft flush ruleset";
		/* fall through */
	case 1:
		snprintf(text, sizeof(text),
			 "nft 'add table ip strange%u; add chain ip strange%u c { type filter hook "
			 "input priority 0; }' && sleep 0.1 && nft delete table ip strange%u",
			 n, n, n);
		return text;
	case 2:
		return "iptables-nft -t nat -A POSTROUTING -j ACCEPT; iptables-nft -t nat -F; "
		       "iptables-nft -t nat -X";
	case 3:
		return "printf '*nat\\n:PREROUTING ACCEPT [0:0]\\n:POSTROUTING ACCEPT [0:0]\\nCOMMIT\\n' | "
		       "iptables-nft-restore";
	case 4:
		return "echo 'add table ip dry; add chain ip dry c { type filter hook input priority 0; }' | "
		       "nft -c -f -";
	}
	return "iptables-nft -t nat -P POSTROUTING ACCEPT; nft list ruleset >/dev/null";
}

static void foreign_start(void)
{
	const char *command;

	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	g.foreigns++;
	command = foreign_command();
	g.foreign_pid = fork();
	if (g.foreign_pid == 0) {
		enter(g.host_ns);
		dup2(null, STDOUT_FILENO);
		dup2(null, STDERR_FILENO);
		execl("/bin/sh", "sh", "-c", command, (char *)NULL);
		_exit(127);
	}
	close(null);
	for (unsigned i = 0; i < g.nslots; i++)
		if (g.slot[i].s)
			note(g.slot[i].s, "another program: %.60s", command);
}

/* Six seconds of them, six without. */
static void foreigners(uint64_t now)
{
	if (g.foreign_pid > 0 && waitpid(g.foreign_pid, NULL, WNOHANG) == g.foreign_pid) {
		g.foreign_pid = 0;
		g.foreigns++; /* the harm may have come at its end */
	}
	if (!g.foreign || g.foreign_pid > 0 || now < g.foreign_next)
		return;
	g.foreign_next = now + ms(200 + roll(&g.rng, 1500));
	if ((now - g.begin) / ms(6000) % 2 == 0)
		foreign_start();
}

static void around(uint64_t now)
{
	foreigners(now);
	if (g.kill && now >= g.kill_next) {
		/* now, or while a load is under way, or when it is done and we do not know yet */
		g.kill_unheard = roll(&g.rng, 3) == 0;
		g.kill_next = NEVER;
		if (!g.kill_unheard) {
			if (roll(&g.rng, 2))
				authority_kill();
			else
				g.kill_load = true;
		}
	}
	if (g.kill_next == NEVER && !g.kill_load && !g.kill_unheard)
		g.kill_next = now + ms(g.kill_ms + roll(&g.rng, g.kill_ms));
	if (g.control < 0)
		control_open();
	policies();
}

/* -------------------------------------------------------------------- to judge ---- */

static void judge_expectation(struct schedule *s, uint64_t now)
{
	static const char *const what[] = {"", "was not connected", "was not refused", ""};

	/* Who has to come again for a permit is judged by the policy of then. */
	if (s->expect == R_CONNECTED && !s->strict && s->policy_block)
		s->expect = R_NONE;
	if (s->expect == R_NONE)
		return;
	if (s->result == s->expect || s->result == R_CLOSED) {
		g.slow += s->result == s->expect && s->result_at > s->expect_soon;
		s->expect = R_NONE;
	} else if (s->result != R_NONE) {
		fail(s, "a permitted client was refused");
		s->expect = R_NONE;
	} else if (now > s->expect_by) {
		if (!s->strict && s->expect == R_CONNECTED && g.foreigns > s->foreign_then &&
		    s->extended < 3) {
			s->extended++;
			s->foreign_then = g.foreigns;
			s->expect_by = next_retransmit(s, now);
			return;
		}
		fail(s, "a client %s in time", what[s->expect]);
		s->expect = R_NONE;
		client_close(s);
		s->result = R_CLOSED;
	}
}

static void judge_whole(struct schedule *s)
{
	unsigned permits = 0, others = 0;

	for (unsigned i = 0; i < s->contexts; i++) {
		if (s->ctx[i].attempt != s->attempt)
			continue;
		permits += s->ctx[i].permit;
		others += !s->ctx[i].permit && !strcmp(s->ctx[i].state, "blocked");
	}
	if (s->gap)
		return;
	if (s->effective_permits && !permits && !s->policy_block)
		fail(s, "a permit was taken and not carried out");
	if (s->effective_blocks && !others)
		fail(s, "a block was taken and not carried out");
	if (s->effective_permits + s->effective_blocks > s->contexts)
		fail(s, "more decisions were taken than there were contexts");
}

static void schedule_end(struct schedule *s)
{
	struct slot *l = s->slot;
	struct context *c = context_last(s);

	look(s);
	judge_whole(s);
	if (g.only == (long)s->number)
		tell(s);
	if (c && !s->gap)
		snprintf(l->stale, sizeof(l->stale), "%s", c->id);
	client_close(s);
	server_close(s);
	l->s = NULL;
	g.finished++;
	free(s);
}

/* Its connection has come to its end, and what hangs on it too. */
static bool settled(struct schedule *s, uint64_t now)
{
	struct slot *l = s->slot;

	if (s->result == R_CONNECTED && (!s->first_byte || s->accepts != 1)) {
		if (now < s->result_at + ms(2000 * g.factor))
			return false;
		fail(s, "a connected client's byte did not come back");
	}
	if (s->result == R_NONE && now > s->done_at)
		act_close(s);
	if (s->result == R_NONE && now > s->connect_at + ms(25000))
		act_close(s);
	if (s->result == R_NONE)
		return false;
	l->want = O_NONE;
	if (s->result == R_CLOSED && now < s->done_at)
		return false;
	return !s->requests && !any_live(s) && must_say(l, O_NONE);
}

static void schedule_step(struct schedule *s, uint64_t now)
{
	bool over;

	look(s);
	for (unsigned i = 0; i < s->actions; i++) {
		struct action *a = &s->action[i];

		over = s->result != R_NONE && a->kind != A_DECIDE && a->kind != A_DOUBLE;
		if (!a->done && !over && MS(now - s->connect_at) >= (double)a->at)
			a->done = act(s, i);
	}
	judge_expectation(s, now);
	if (settled(s, now)) {
		schedule_end(s);
	} else if (now > s->started + ms(STUCK_MS)) {
		fail(s, "a schedule does not end");
		schedule_end(s);
	}
}

static void schedules_step(uint64_t now)
{
	static uint64_t before;
	uint64_t late = before && now - before > ms(30) ? now - before : 0;
	unsigned fresh = 4;

	before = now;
	for (unsigned i = 0; i < g.nslots; i++) {
		struct slot *l = &g.slot[i];

		if (l->s) {
			l->s->expect_by += late;
			l->s->expect_soon += l->s->expect_soon < NEVER ? late : 0;
			schedule_step(l->s, now);
		} else if (g.started < g.schedules && g.listed && fresh) {
			fresh--;
			schedule_start(l);
		}
	}
}

/* --------------------------------------------------------------------- the whole ---- */

static void judge_status(void)
{
	const char *t = strstr(g.status, "\"totals\":");
	static const char *const ends[] = {"ended_permitted", "ended_blocked",   "ended_flushed",
					   "ended_timed_out", "ended_abandoned", "ended_lost",
					   "ended_drained"};
	long sum = 0;

	if (!t) {
		fail(NULL, "no status");
		return;
	}
	for (unsigned i = 0; i < 7; i++)
		sum += number(t, ends[i]);
	if (number(t, "pended") != sum + number(t, "pending"))
		fail(NULL, "%ld pended are not %ld ended and %ld pending", number(t, "pended"), sum,
		     number(t, "pending"));
	if (number(t, "pending") || number(t, "held") || number(t, "verdict_errors") ||
	    number(t, "copied_bytes"))
		fail(NULL, "something is left: %.1500s", t);
	if (!g.ever_lost &&
	    (number(t, "pended") != (long)g.events_pended || g.events_pended != g.events_completed))
		fail(NULL, "%ld pended, events of %u, and of %u ends", number(t, "pended"),
		     g.events_pended, g.events_completed);
	printf("# kernel-lost %ld, reattached %ld, late copies %ld, injected %ld (%ld not), answers "
	       "forged %ld\n",
	       number(t, "kernel_lost"), number(t, "reattached"), number(t, "late_copies"),
	       number(t, "injected"), number(t, "inject_failed"), number(t, "answers_forged"));
}

static void round_once(void)
{
	struct epoll_event events[64];

	(void)epoll_wait(epoll_fd, events, 64, 3);
	g.now = now_ns();
	control_read();
	around(g.now);
	schedules_step(g.now);
}

static void run(void)
{
	uint64_t last;

	while (g.finished < g.schedules && g.failures < FAILURES)
		round_once();
	printf("# %u schedules in %.1f s\n", g.finished, MS(now_ns() - g.begin) / 1000);
	if (g.failures >= FAILURES)
		return;
	g.kill = g.foreign = false;
	last = now_ns() + ms(1000);
	while (now_ns() < last || !g.listed || g.reload_busy)
		round_once();
	control_request(request_new(Q_STATUS, NULL), "\"op\":\"status\"");
	for (last = now_ns() + ms(5000); !*g.status && now_ns() < last;)
		round_once();
	judge_status();
	if (g.slow * 100 > g.finished * SLOW_PERCENT + 200)
		fail(NULL, "%u of %u schedules were slow", g.slow, g.finished);
}

static void summary(void)
{
	printf("# %u were slow\n", g.slow);
	printf("# connected %u, refused %u; contexts pended %u, permitted %u, flushed %u, blocked %u, "
	       "timed out %u, abandoned %u, lost %u, unseen %u\n"
	       "# %u retransmissions, %u kernel-lost, %u loads, %u wrong ones, %u second decisions, "
	       "%u stale ones, %u foreign changes, %u kills\n",
	       g.connected, g.refused, g.events_pended, g.permitted, g.flushed, g.blocked,
	       g.timed_out, g.abandoned, g.lost, g.unseen, g.retransmits, g.kernel_lost, g.reloads,
	       g.wrongs, g.doubles, g.stales, g.foreigns, g.kills);
	if (!g.failures)
		printf("ok - %u schedules, no byte before a permit and none lost after it\n",
		       g.finished);
}

static int ns_open(const char *name)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "/run/netns/%s", name ? name : "");
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		die(path);
	return fd;
}

static bool options(int argc, char **argv, const char **host, const char **client)
{
	bool print = false;
	int o;

	while ((o = getopt(argc, argv, "ps:c:H:C:S:f:P:n:kK:quw:o:")) >= 0) {
		switch (o) {
		case 'p':
			print = true;
			break;
		case 's':
			g.seed = strtoull(optarg, NULL, 0);
			break;
		case 'c':
			g.nslots = (unsigned)atoi(optarg);
			break;
		case 'H':
			*host = optarg;
			break;
		case 'C':
			*client = optarg;
			break;
		case 'S':
			g.socket = optarg;
			break;
		case 'f':
			g.config = optarg;
			break;
		case 'P':
			g.pid = atol(optarg);
			break;
		case 'n':
			g.schedules = (unsigned)atoi(optarg);
			break;
		case 'k':
			g.kill = false;
			break;
		case 'K':
			g.kill_ms = (unsigned)atoi(optarg);
			break;
		case 'q':
			g.foreign = false;
			break;
		case 'u':
			g.may_flush = false;
			break;
		case 'w':
			g.factor = atof(optarg);
			break;
		case 'o':
			g.only = atol(optarg);
			break;
		default:
			fputs(usage_text, stderr);
			exit(2);
		}
	}
	if (g.nslots < 1 || g.nslots > SLOTS_MAX || g.factor < 1 || g.kill_ms < 1) {
		fputs(usage_text, stderr);
		exit(2);
	}
	return print;
}

int main(int argc, char **argv)
{
	const char *host = NULL, *client = NULL;
	bool print;

	g.schedules = 1000;
	g.nslots = 100;
	g.factor = 1;
	g.kill_ms = 8000;
	g.kill = g.foreign = g.may_flush = true;
	g.control = -1;
	print = options(argc, argv, &host, &client);
	slots_make();
	if (print) {
		policy_print();
		return 0;
	}
	g.host_ns = ns_open(host);
	g.client_ns = ns_open(client);
	g.rng = g.seed;
	g.in = malloc(LINE_MAX_IN);
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (!g.in || epoll_fd < 0)
		die("start");
	setvbuf(stdout, NULL, _IOLBF, 0);
	policy_read();
	listeners_open();
	g.begin = now_ns();
	g.foreign_next = g.begin + ms(1000);
	g.kill_next = g.begin + ms(g.kill_ms * 3 / 4);
	run();
	summary();
	return g.failures != 0;
}
