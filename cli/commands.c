/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of commands, and the two that only talk about pendctl: help and version. */
#include "cli/cli.h"
#include <stdio.h>
#include <string.h>

#define FILTERS                                                               \
	"  --source ADDRESS[/LEN]  only from there\n"                         \
	"  --family 4|6            only IPv4, only IPv6\n"                    \
	"  --port N, --proto P     only to this port, of this protocol\n"     \
	"  --authority NAME        only what this authority is asked about\n" \
	"  --rule N                only what this rule holds\n"

#define DECIDE                                                                                         \
	"ID is as 'pendctl pending' shows it (a0.1); ADDRESS[/LEN] stands for all that is pended\n"    \
	"from there.\n"                                                                                \
	"  --port N, --proto P  with ADDRESS or alone: only to this port, of this protocol\n"          \
	"  --all                everything that is pended\n"                                           \
	"  --for DURATION       and those like it, for so long; --once: not, whatever the rule says\n" \
	"  --scope SCOPE        like it: service (the default), source or flow\n"                      \
	"  -w, --why TEXT       kept beside it\n"

const struct command commands[] = {
	{"status", "", "health, policy, counters; exit 7 when degraded", "", cmd_status},
	{"pending", "[--watch] [--by source] [FILTER...]", "connections that wait for a decision",
	 "  -w, --watch             show it anew every second (--interval S)\n"
	 "  --limit N               stop after about so many\n"
	 "  --by source             a line for each source: how many, since when, to which ports\n" FILTERS,
	 cmd_pending},
	{"permit",
	 "ID...|ADDRESS[/LEN]... [--port N] [--proto P] [--all] [--for DURATION] [--why TEXT]",
	 "let them in", DECIDE, cmd_permit},
	{"block",
	 "ID...|ADDRESS[/LEN]... [--reset|--unreachable|--drop] [--for DURATION] [--why TEXT]",
	 "refuse them",
	 DECIDE "  --reset              tell the peer by a TCP reset\n"
		"  --unreachable        ... by ICMP administratively prohibited\n"
		"  --drop               do not tell it (the default)\n",
	 cmd_block},
	{"ask", "[--no-names] [FILTER...] | --exec PROGRAM [--authority NAME] [--processes N]",
	 "put what waits to a person, as questions at a terminal",
	 "Keys permit or block, once or for longer; ? tells them.\n"
	 "  --no-names              do not look up the names of sources\n" FILTERS
	 "With a program there is no terminal: it is run for each question to an authority of type socket,\n"
	 "and exits with 0 to permit, 1 to block, 2 without an opinion.\n"
	 "  -e, --exec PROGRAM      which; the question is in PEND_... and on its standard input\n"
	 "  --processes N           at most so many at a time (16)\n",
	 cmd_ask},
	{"top", "[--interval S] [--batch [-n N]] [FILTER...]",
	 "a screen of what goes on, with keys to decide",
	 "  --interval S            look again so often (default 1)\n"
	 "  -b, --batch             print it, without a terminal\n"
	 "  -n, --times N           ... so many times (default 1)\n" FILTERS,
	 cmd_top},
	{"events", "[-n N] [--follow] [--exec PROGRAM] [--type T,...] [FILTER...]",
	 "what happened last",
	 "  -n, --last N    so many (default 50, 1024 are kept)\n"
	 "  -f, --follow    and go on with those that happen\n"
	 "  --exec PROGRAM  run it for each that happens: JSON on its input, PEND_SOURCE and others\n"
	 "                  in its environment\n"
	 "  --type T,...    only these: pended retransmit kernel-lost completed established closed\n"
	 "                  classified limit loop answered ended note\n" FILTERS,
	 cmd_events},
	{"rules", "", "rules in force and how often each matched", "", cmd_rules},
	{"counters", "", "the same by the names that rules give their counts", "", cmd_counters},
	{"decisions", "[list] | forget --from PREFIX|--rule N|--all | import FILE|-",
	 "what was said and is remembered, and so not asked again",
	 "  list                 all that hold (the default)\n"
	 "  forget               ask again; with `remember ... end` live flows end\n"
	 "    -f, --from PREFIX  those of these sources\n"
	 "    --rule N           those of this rule (`pendctl rules` has the numbers)\n"
	 "    -a, --all          all of them\n"
	 "  import FILE          a ban list into a set of the policy, each entry with its own end\n"
	 "    --set NAME         which (default: banned); --allow-set NAME: for what is to be let in\n"
	 "    --format F         auto (the default), list, fail2ban or crowdsec\n"
	 "    --for DURATION     of entries that do not say when they end\n"
	 "    -w, --why TEXT     kept beside them\n",
	 cmd_decisions},
	{"history", "[-n N] [--since TIME] [--until TIME] [FILTER...]",
	 "what was held before: what became of it, by whom and why",
	 "  -n, --limit N           the last so many (default 50)\n"
	 "  --since T, --until T    '2026-01-31 12:00' or how long ago: 2h\n"
	 "  --source ADDRESS[/LEN]  only from there\n"
	 "  --rule TEXT             only of rules with this in their text\n"
	 "  --authority NAME        only what it was asked about, or it or this user decided\n"
	 "  --verdict V             only permit, or block\n",
	 cmd_history},
	{"layers", "", "what each layer of the policy has said", "", cmd_layers},
	{"authorities", "", "who is asked", "", cmd_authorities},
	{"unlock", "AUTHORITY ADDRESS|ssh [CODE]",
	 "open an authority for a source with a one-time code",
	 "ADDRESS is what is to be let in; `ssh` stands for where this SSH session comes from.\n"
	 "Without CODE it is asked for, or read from standard input: arguments can be seen by\n"
	 "every user of this host.\n",
	 cmd_unlock},
	{"lock", "AUTHORITY [ADDRESS|ssh]", "close what one-time codes have opened",
	 "Without ADDRESS: for all sources. Connections that were let in go on.\n", cmd_lock},
	{"test", "'FLOW' [in IFACE] [--hook HOOK] [--mark M] [--trace]",
	 "what the policy in force says about a connection",
	 "FLOW is as in 'tcp 203.0.113.7:4000 > 192.0.2.1:22', 'udp [2001:db8::7]:1 > [2001:db8::1]:53'\n"
	 "or 'icmp 203.0.113.7 > 192.0.2.1'. Without an interface every condition on one holds.\n"
	 "  in IFACE, out IFACE  where it comes in, where it goes out (--hook forward)\n"
	 "  --hook HOOK          input (the default), forward or output\n"
	 "  --mark M             the packet's mark\n"
	 "  -t, --trace          what every layer says, and why rules did not match\n"
	 "  -q, --quiet          say nothing; exit 0 for permit, 10 for block, 11 for pend,\n"
	 "                       12 when that depends on who listens and is not known\n",
	 cmd_test},
	{"show", "policy|settings", "the policy in force as canonical text, or its settings",
	 "  policy    all of it, as it could stand in a file\n"
	 "  settings  those the daemon was started with, and runs with\n",
	 cmd_show},
	{"metrics", "", "all counters as OpenMetrics text, for Prometheus and others", "",
	 cmd_metrics},
	{"reload", "[--dry-run]", "load the policy again; the old one stays on any error (exit 6)",
	 "  -n, --dry-run  change nothing: show the difference, what is pended that the new policy\n"
	 "                 would not hold, and what is live that it would end\n"
	 "What is pended waits on; the new policy is asked again when it is permitted.\n",
	 cmd_reload},
	{"policy", "add|delete|replace|list|apply ...",
	 "rules that come and go while the daemon runs",
	 "  add [--layer L] [--last] RULE...  before all rules of the layer (--last: behind them)\n"
	 "  delete ID...                      numbers as add and list show them\n"
	 "  replace ID RULE...                in one step\n"
	 "  list                              what was added, by whom and why\n"
	 "  apply FILE|-                      lines as above, and # comments: all of them or none\n"
	 "Options of add, replace, apply:\n"
	 "  --for DURATION, --until TIME      it goes by itself then\n"
	 "  --session                         it goes when this command ends: on a signal\n"
	 "  -w, --why TEXT                    kept beside it and in the journal; of delete too\n"
	 "Words of a rule may be one argument or many; those with quotes or braces want the former.\n",
	 cmd_policy},
	{"set", "list|add|delete|flush|load|test ...", "sets of addresses, while the daemon runs",
	 "  list [NAME]             the sets; with NAME, its elements\n"
	 "  add NAME ELEMENT...     addresses, prefixes, ranges\n"
	 "  delete NAME ELEMENT...  take them out\n"
	 "  flush NAME              take all out\n"
	 "  load NAME FILE|-        exactly what the file has: one a line, # comments\n"
	 "  test NAME ADDRESS       is it in the set? exit 0, or 4 if not\n"
	 "  --for DURATION          of add: until then only\n"
	 "  --session               of add: until this command ends, on a signal\n"
	 "  -w, --why TEXT          of changes: kept in the journal\n",
	 cmd_set},
	{"reauthorize", "[--dry-run] [FILTER...]",
	 "end the live flows that the policy in force would block",
	 "Without conditions: all of them. A change of the policy does it by itself.\n"
	 "  -n, --dry-run            only show them\n"
	 "  --from ADDRESS[/LEN]     only those from there\n"
	 "  --port N, --protocol P   only those to this port, of this protocol\n"
	 "  --family 4|6, --rule N   only those of this family, ended by this rule\n",
	 cmd_reauthorize},
	{"journal", "[-n N]", "changes of the policy: when, by whom, why",
	 "  -n, --last N  so many (default 50)\n", cmd_journal},
	{"check", "[FILE]", "check a policy file without the daemon (exit 6 when it is wrong)", "",
	 cmd_check},
	{"hookup", "print|install|remove|verify", "the kernel rules that bring packets to pendd",
	 "  print    show them, changing nothing\n"
	 "  install  put them in place, or back\n"
	 "  remove   take them out: from then on nothing is held\n"
	 "  verify   exit 7 when something is missing\n",
	 cmd_hookup},
	{"stop", "", "shut the daemon down as on SIGTERM", "", cmd_stop},
	{"version", "", "versions of pendctl and the daemon", "", cmd_version},
	{"help", "[COMMAND]", "this text, or more about a command", "", cmd_help},
};

const size_t ncommands = sizeof(commands) / sizeof(commands[0]);

static const char global_help[] =
	"\nOptions:\n"
	"  -s, --socket PATH    of the control socket (default " PEND_CLIENT_SOCKET ")\n"
	"  -j, --json           output for programs\n"
	"  -H, --no-headers     tables without the first line\n"
	"  --color WHEN         auto, always or never\n"
	"  -h, --help; -V, --version\n"
	"\nExit codes: 0 done, 1 failure, 2 usage, 3 pendd is not running, 4 there is nothing such,\n"
	"5 not permitted, 6 policy invalid, 7 degraded; of 'test --quiet' also 10 block, 11 pend,\n"
	"12 not known.\n";

const struct command *command_find(const char *name)
{
	for (size_t i = 0; i < ncommands; i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

static void help_all(void)
{
	puts("usage: pendctl [OPTION...] COMMAND [ARGUMENT...]\n\nCommands:");
	for (size_t i = 0; i < ncommands; i++)
		printf("  %-12s %s\n", commands[i].name, commands[i].summary);
	fputs(global_help, stdout);
}

static void help_one(const struct command *c)
{
	printf("usage: pendctl %s%s%s\n\n%s.\n%s%s", c->name, *c->args ? " " : "", c->args,
	       c->summary, *c->help ? "\n" : "", c->help);
}

int cmd_help(struct cli *cli, int argc, char **argv)
{
	const struct command *c;
	int i = 1;

	(void)cli;
	/* "help COMMAND", or "COMMAND --help" */
	if (argc > 1 && strcmp(argv[1], "help") == 0)
		i = 2;
	if (argc <= i || strncmp(argv[i], "--", 2) == 0) {
		help_all();
		return CLI_OK;
	}
	c = command_find(argv[i]);
	if (!c)
		return cli_usage(NULL, "unknown command \"%s\"", argv[i]);
	help_one(c);
	return CLI_OK;
}

int cmd_version(struct cli *cli, int argc, char **argv)
{
	json_t *result;
	int r;

	argc = argv ? cli_parse(cli, NULL, 0, false, argc, argv) : 0;
	if (argc < 0)
		return CLI_USAGE;
	if (!argv) {
		puts("pendctl " PEND_VERSION);
		return CLI_OK;
	}
	if (!cli->json)
		puts("pendctl " PEND_VERSION);
	r = cli_call(cli, "version", NULL, NULL, NULL, &result);
	if (r == CLI_OK && cli->json)
		json_dumpf(result, stdout, JSON_ENSURE_ASCII | JSON_INDENT(2));
	else if (r == CLI_OK)
		out_printf("pendd   %s (protocol %lld, your role is %s)",
			   out_get(result, "version"), out_int(result, "protocol"),
			   out_get(result, "role"));
	if (r == CLI_OK)
		putchar('\n');
	json_decref(result);
	return r;
}
