/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The daemon's command line. See opts.h. */
#include "daemon/opts.h"
#include "daemon/authority.h"
#include "daemon/resolver.h"
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

static const char usage[] =
	"usage: pendd [-dhntvV] [-c FILE]\n"
	"\n"
	"  -c FILE    the policy file (default " PEND_SYSCONFDIR "/pend/pend.conf)\n"
	"  -t, -n     check the policy file and exit: 0 if it is right, 78 if not\n"
	"  -v         with -t: print the policy in canonical form\n"
	"  -d         log at level debug\n"
	"  -V, --version\n"
	"  -h, --help\n"
	"\n"
	"pendd runs in the foreground; see pendd(8), pendctl(1) and pend.conf(5).\n";

enum { OPT_AUTHORITY = 256, OPT_RESOLVER, OPT_WORKERS, OPT_USER, OPT_AGENT, OPT_GROUP };

static const struct option longs[] = {
	{"config", required_argument, NULL, 'c'},
	{"check", no_argument, NULL, 't'},
	{"debug", no_argument, NULL, 'd'},
	{"verbose", no_argument, NULL, 'v'},
	{"version", no_argument, NULL, 'V'},
	{"help", no_argument, NULL, 'h'},
	/* The daemon's other processes; not for people. */
	{"authority-process", no_argument, NULL, OPT_AUTHORITY},
	{"resolver-process", no_argument, NULL, OPT_RESOLVER},
	{"agent-process", no_argument, NULL, OPT_AGENT},
	{"workers", required_argument, NULL, OPT_WORKERS},
	{"user", required_argument, NULL, OPT_USER},
	{"group", required_argument, NULL, OPT_GROUP},
	{0},
};

static void leave(struct opts *o, int status)
{
	o->mode = OPTS_EXIT;
	o->status = status;
}

static void one_option(struct opts *o, int c)
{
	switch (c) {
	case 'c':
		o->config = optarg;
		break;
	case 't':
	case 'n':
		o->mode = OPTS_CHECK;
		break;
	case 'd':
		o->debug = true;
		break;
	case 'v':
		o->verbose = true;
		break;
	case 'V':
		printf("pendd %s\n", PEND_VERSION);
		leave(o, EXIT_SUCCESS);
		break;
	case 'h':
		fputs(usage, stdout);
		leave(o, EXIT_SUCCESS);
		break;
	case OPT_AUTHORITY:
		o->mode = OPTS_AUTHORITY;
		break;
	case OPT_RESOLVER:
		o->mode = OPTS_RESOLVER;
		break;
	case OPT_AGENT:
		o->mode = OPTS_AGENT;
		break;
	case OPT_GROUP:
		o->group = optarg;
		break;
	case OPT_USER:
		o->user = optarg;
		break;
	case OPT_WORKERS:
		o->workers = (unsigned)strtoul(optarg, NULL, 10);
		break;
	default:
		fputs(usage, stderr);
		leave(o, EXIT_USAGE);
	}
}

void opts_parse(struct opts *o, int argc, char **argv)
{
	int c;

	*o = (struct opts){.config = PEND_SYSCONFDIR "/pend/pend.conf", .user = "", .group = ""};
	while (o->mode != OPTS_EXIT && (c = getopt_long(argc, argv, "c:dhntvV", longs, NULL)) != -1)
		one_option(o, c);
	if (o->mode == OPTS_EXIT)
		return;
	if (o->mode == OPTS_AGENT && optind < argc) {
		o->program = argv + optind;
		return;
	}
	if (optind < argc) {
		fprintf(stderr, "pendd: unexpected argument \"%s\"\n%s", argv[optind], usage);
		leave(o, EXIT_USAGE);
	}
	if (o->mode == OPTS_AUTHORITY && (!o->workers || o->workers > PEND_MAX_WORKERS)) {
		fprintf(stderr, "pendd: --authority-process is not for people\n");
		leave(o, EXIT_USAGE);
	}
	if (o->mode == OPTS_AGENT) {
		fprintf(stderr, "pendd: --agent-process is not for people\n");
		leave(o, EXIT_USAGE);
	}
	if (o->mode == OPTS_RESOLVER && (!o->workers || o->workers > RESOLVER_CHANNELS_MAX)) {
		fprintf(stderr, "pendd: --resolver-process is not for people\n");
		leave(o, EXIT_USAGE);
	}
}
