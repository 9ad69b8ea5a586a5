/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `type unit`: scale to zero. A connection waits while a systemd unit or a command is started, until somebody listens
 * for it; what nobody has used for a while is stopped.
 */
#include "agents/unit.h"
#include "agents/agent.h"
#include "agents/exec.h"
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SYSTEMCTL     "/usr/bin/systemctl"
#define START_S       90 /* systemctl is given, */
#define STOP_S        90
#define SHOW_S        5
#define SHOW_EVERY_NS MONO_NS_PER_S /* ... while a port is awaited */
#define SETTLE_NS     MONO_NS_PER_S /* a command without a port is ready when it has run for so long */
#define END_TICKS     150           /* of 10 ms: pendd gives this process 2 s to end */

struct unit {
	struct agent *agent;
	const char *name; /* of the systemd unit; NULL: a command */
	char **argv;      /* ... which has these */
	char *config_name;
	struct unit_target ready; /* as the policy has it; protocol 0: not said */
	struct unit_target at;    /* what is looked at now */
	struct unit_machine m;
	struct unit_probe probe;
	struct loop_timer timer;

	pid_t starter;  /* systemctl start, or the command; 0: none */
	mono_t began;   /* ... when */
	bool went_well; /* it has ended with 0 */
	mono_t ended;   /* ... when */
	pid_t stopper;  /* systemctl stop */
	pid_t shower;   /* systemctl show */
	int shown;      /* its output; -1 */
	bool telling;   /* ... is wanted for why a start has failed: */
	char why[ERR_TEXT_MAX];
	mono_t show_next;
};

static mono_t now_of(const struct unit *u)
{
	return loop_now(agent_loop(u->agent));
}

static void arm(struct unit *u)
{
	struct loop *l = agent_loop(u->agent);

	if (u->m.next.ns == MONO_NEVER.ns)
		loop_timer_cancel(l, &u->timer);
	else
		loop_timer_arm(l, &u->timer, u->m.next);
}

/* ---- processes ---- */

static pid_t systemctl(struct unit *u, const char *verb, const char *option, int out,
		       unsigned seconds)
{
	char program[] = SYSTEMCTL, ask[] = "--no-ask-password", end[] = "--";
	char *argv[8] = {program, ask};
	char what[16], opt[64];
	size_t n = 2;

	snprintf(what, sizeof(what), "%s", verb);
	argv[n++] = what;
	if (option) {
		snprintf(opt, sizeof(opt), "%s", option);
		argv[n++] = opt;
	}
	argv[n++] = end;
	argv[n] = u->config_name;
	return unit_spawn(argv, agent_name(u->agent), out, seconds);
}

static void show_end(struct unit *u)
{
	if (u->shown >= 0)
		close(u->shown);
	u->shown = -1;
	u->shower = 0;
}

static void show_begin(struct unit *u)
{
	int p[2];

	u->show_next = mono_add(now_of(u), SHOW_EVERY_NS);
	if (u->shower || pipe2(p, O_CLOEXEC | O_NONBLOCK) < 0)
		return;
	u->shown = p[0];
	u->shower = systemctl(u, "show", "--property=ActiveState,Result", p[1], SHOW_S);
	close(p[1]);
	if (u->shower < 0)
		show_end(u);
}

static void failed(struct unit *u, const char *state)
{
	char why[ERR_TEXT_MAX + 128];

	snprintf(why, sizeof(why), "%s%s%s", u->why, *state ? ", the unit is " : "", state);
	u->telling = false;
	u->why[0] = '\0';
	agent_log(u->agent, "%s", why);
	unit_machine_failed(&u->m, why, now_of(u));
}

/* All it prints fits into the pipe. */
static void show_ended(struct unit *u)
{
	char text[512], state[96] = "";
	ssize_t n = u->shown < 0 ? 0 : read(u->shown, text, sizeof(text) - 1);
	bool bad;

	text[n > 0 ? n : 0] = '\0';
	show_end(u);
	bad = unit_state_failed(text, state, sizeof(state));
	if (u->telling) {
		failed(u, state);
	} else if (bad && u->m.state == UNIT_STARTING && !u->starter) {
		snprintf(u->why, sizeof(u->why), "%s was started", u->name);
		failed(u, state);
	}
}

static void starter_ended(struct unit *u, int status)
{
	char text[96];

	u->starter = 0;
	u->ended = now_of(u);
	u->went_well = WIFEXITED(status) && WEXITSTATUS(status) == 0;
	u->show_next = u->ended;
	unit_status_text(status, text, sizeof(text));
	if (!u->name)
		agent_log(u->agent, "the command %s", text);
	if (u->went_well)
		u->m.next = u->ended; /* look at once */
	if (u->went_well || u->m.state != UNIT_STARTING)
		return;
	snprintf(u->why, sizeof(u->why), "%s %s", u->name ? "systemctl start" : u->argv[0], text);
	u->telling = u->name;
	if (u->name)
		show_begin(u);
	if (!u->name || !u->shower)
		failed(u, "");
}

static void stopped(struct unit *u)
{
	unit_machine_stopped(&u->m, now_of(u));
}

static void on_child(void *ctx, int signo)
{
	struct unit *u = ctx;
	int status;
	pid_t pid;

	(void)signo;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == u->starter)
			starter_ended(u, status);
		else if (pid == u->shower)
			show_ended(u);
		else if (pid == u->stopper) {
			u->stopper = 0;
			stopped(u);
		}
	}
	if (pid < 0 && !u->name)
		stopped(u); /* none is left */
	arm(u);
}

static bool any_child(void)
{
	siginfo_t si;

	return waitid(P_ALL, 0, &si, WEXITED | WNOHANG | WNOWAIT) == 0;
}

/* ---- what the machine asks for ---- */

static enum unit_seen no_port(const struct unit *u)
{
	mono_t now = now_of(u);

	if (u->starter && !u->name)
		return mono_since(now, u->began) >= SETTLE_NS ? UNIT_READY : UNIT_NOT_READY;
	if (u->starter || !u->went_well)
		return UNIT_NOT_READY;
	return mono_since(now, u->ended) < SETTLE_NS ? UNIT_READY : UNIT_NOT_READY;
}

static enum unit_seen op_probe(void *ctx)
{
	struct unit *u = ctx;
	enum unit_seen seen;

	if (!u->at.protocol || (u->at.protocol == IPPROTO_UDP && !unit_target_local(&u->at)))
		return no_port(u);
	seen = unit_probe(&u->probe, &u->at);
	if (seen != UNIT_READY && u->m.state == UNIT_STARTING && u->name && !u->starter &&
	    !mono_before(now_of(u), u->show_next))
		show_begin(u);
	return seen;
}

static bool op_busy(void *ctx)
{
	struct unit *u = ctx;

	return !list_empty(agent_questions(u->agent)) || unit_busy(&u->probe, &u->at);
}

static int op_start(void *ctx, struct err *e)
{
	struct unit *u = ctx;

	if (u->starter)
		return 0; /* it runs: it may listen yet */
	if (!u->name && any_child())
		return UNIT_STOP_FIRST;
	u->went_well = false;
	u->began = now_of(u);
	u->starter = u->name ? systemctl(u, "start", NULL, -1, START_S)
			     : unit_spawn(u->argv, agent_name(u->agent), -1, 0);
	if (u->starter < 0) {
		err_sys(e, u->starter, "cannot start %s", u->name ? SYSTEMCTL : u->argv[0]);
		u->starter = 0;
		return e->code;
	}
	agent_log(u->agent, "starting %s", u->name ? u->name : u->argv[0]);
	return 0;
}

/* A unit that does not come up is systemd's to deal with. */
static bool op_stop(void *ctx, bool failed)
{
	struct unit *u = ctx;

	if (!u->name) {
		if (!any_child())
			return false;
		agent_log(u->agent, "stopping %s", u->argv[0]);
		unit_tree_signal(SIGTERM);
		return true;
	}
	if (failed)
		return false;
	u->stopper = systemctl(u, "stop", NULL, -1, STOP_S);
	agent_log(u->agent, "stopping %s", u->name);
	if (u->stopper > 0)
		return true;
	u->stopper = 0;
	return false;
}

/* systemd kills what does not stop; systemctl ends by its own alarm. */
static void op_kill(void *ctx)
{
	const struct unit *u = ctx;

	if (!u->name)
		unit_tree_signal(SIGKILL);
}

static bool op_waiting(void *ctx)
{
	const struct unit *u = ctx;

	return !list_empty(agent_questions(u->agent));
}

/* Not to be remembered, whatever the rule says: who is let in without a question would not wake it. */
static void answer_all(struct unit *u, enum pend_client_answer answer, const char *why)
{
	struct pend_client_say say = PEND_CLIENT_SAY(answer);
	struct list *at, *tmp;

	say.why = why;
	say.remember = "";
	list_foreach(at, tmp, agent_questions(u->agent))
		agent_say(container_of(at, struct agent_question, link), &say);
}

static void op_permit(void *ctx)
{
	answer_all(ctx, PEND_CLIENT_ANSWER_PERMIT, NULL);
}

static void op_fail(void *ctx, const char *why)
{
	answer_all(ctx, PEND_CLIENT_ANSWER_ERROR, why);
}

static const struct unit_ops ops = {
	.probe = op_probe,
	.busy = op_busy,
	.start = op_start,
	.stop = op_stop,
	.kill = op_kill,
	.waiting = op_waiting,
	.permit = op_permit,
	.fail = op_fail,
};

static void on_timer(void *ctx)
{
	struct unit *u = ctx;

	unit_machine_tick(&u->m, now_of(u));
	arm(u);
}

static void on_probed(void *ctx, bool ready)
{
	struct unit *u = ctx;

	unit_machine_probed(&u->m, ready, now_of(u));
	arm(u);
}

/* ---- questions ---- */

static uint8_t protocol_of(const char *name)
{
	return !strcmp(name, "tcp") ? IPPROTO_TCP : !strcmp(name, "udp") ? IPPROTO_UDP : 0;
}

/*
 * What to look at: what the policy says, or where the first connection goes that finds nothing there. On this host any
 * address counts: a connection to one where nobody listens is the kernel's to refuse, and must not keep others waiting.
 */
static struct unit_target target(const struct unit *u, const struct agent_question *q)
{
	struct unit_target t = {.protocol = protocol_of(q->protocol), .port = q->dest_port};

	if (u->ready.protocol)
		return u->ready;
	if (!t.port || !unit_target_address(&t, q->dest))
		t.protocol = 0;
	else if (unit_target_local(&t))
		t.family = 0;
	return t;
}

static void question(struct agent_question *q)
{
	struct unit *u = agent_data(q->agent);

	if (!u->m.probing && u->m.state == UNIT_DOWN)
		u->at = target(u, q);
	unit_machine_question(&u->m, now_of(u));
	arm(u);
}

/* It has nothing but the agent's list; who comes back finds what was started. */
static void withdrawn(struct agent_question *q)
{
	(void)q;
}

/* ---- begin and end ---- */

static int ready_read(struct unit *u, const json_t *config, struct err *e)
{
	const json_t *ready = json_object_get(config, "ready");
	const char *protocol = json_string_value(json_object_get(ready, "protocol"));
	const char *address = json_string_value(json_object_get(ready, "address"));
	json_int_t port = json_integer_value(json_object_get(ready, "port"));

	if (!ready)
		return 0;
	u->ready.protocol = protocol ? protocol_of(protocol) : 0;
	u->ready.port = (uint16_t)port;
	if (!u->ready.protocol || port < 1 || port > UINT16_MAX || !address ||
	    !unit_target_address(&u->ready, address))
		return err_set(e, -EINVAL, "ready is not understood");
	if (unit_target_loopback(&u->ready))
		u->ready.family = 0; /* at whatever address */
	u->at = u->ready;
	if (!unit_target_local(&u->ready) && u->ready.protocol == IPPROTO_UDP)
		return err_set(e, -EINVAL,
			       "nobody can see whether another host listens at a UDP port: leave "
			       "ready out, or wait for a TCP port of it");
	return 0;
}

static int config_read(struct unit *u, const json_t *config, struct err *e)
{
	const char *name = json_string_value(json_object_get(config, "start"));
	const char *command = json_string_value(json_object_get(config, "command"));
	json_int_t idle = json_integer_value(json_object_get(config, "idle_stop_ms"));
	int r = ready_read(u, config, e);

	if (r < 0)
		return r;
	u->m.idle_ns = idle > 0 ? (uint64_t)idle * MONO_NS_PER_MS : 0;
	if (idle > 0 && !unit_target_local(&u->at)) {
		agent_log(u->agent,
			  "it is never stopped: connections to another host cannot be seen");
		u->m.idle_ns = 0;
	}
	if (name) {
		u->name = u->config_name = strdup(name);
		return name && u->name ? 0 : err_set(e, -ENOMEM, "out of memory");
	}
	r = command ? exec_split(command, &u->argv) : -EINVAL;
	if (r < 0)
		return err_set(e, r, "the command is empty, or a quote of it is open");
	if (u->argv[0][0] != '/')
		return err_set(e, -EINVAL, "the command needs a full path: %s", u->argv[0]);
	return 0;
}

static int start(struct agent *a, const json_t *config, struct err *e)
{
	struct unit *u = calloc(1, sizeof(*u));
	int r;

	if (!u)
		return err_set(e, -ENOMEM, "out of memory");
	u->agent = a;
	u->shown = -1;
	u->m.ops = &ops;
	u->m.ctx = u;
	u->m.next = MONO_NEVER;
	agent_set_data(a, u);
	unit_probe_init(&u->probe, agent_loop(a), on_probed, u);
	loop_timer_init(&u->timer, on_timer, u);
	r = config_read(u, config, e);
	if (r < 0)
		return r;
	r = loop_signal(agent_loop(a), SIGCHLD, on_child, u);
	if (r < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
		return err_sys(e, r < 0 ? r : -errno, "cannot wait for programs");
	/* its unit may run already, and be stopped when nobody uses it */
	if (u->name && u->m.idle_ns && u->ready.protocol)
		unit_machine_adopt(&u->m, loop_clock());
	arm(u);
	return 0;
}

/* What was started here ends here; a unit goes on. */
static void end_all(const struct unit *u)
{
	const struct timespec tick = {.tv_nsec = 10 * 1000000L};
	unsigned i = 0;
	pid_t pid;

	if (!any_child())
		return;
	unit_tree_signal(u->name ? SIGKILL : SIGTERM);
	while ((pid = waitpid(-1, NULL, WNOHANG)) >= 0)
		if (pid == 0) {
			if (i++ == END_TICKS || i == 2 * END_TICKS)
				unit_tree_signal(SIGKILL);
			nanosleep(&tick, NULL);
		}
}

static void stop(struct agent *a)
{
	struct unit *u = agent_data(a);

	if (!u)
		return;
	end_all(u);
	show_end(u);
	loop_timer_cancel(agent_loop(a), &u->timer);
	unit_probe_deinit(&u->probe);
	exec_split_free(u->argv);
	free(u->config_name);
	free(u);
}

const struct agent_kind agent_unit = {
	.type = "unit",
	.alone = true,
	.start = start,
	.question = question,
	.withdrawn = withdrawn,
	.stop = stop,
};
