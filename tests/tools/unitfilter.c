/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Runs a program under the system call filter of a systemd unit, where no systemd runs it: the calls named on
 * standard input are allowed, socket() for the given address families only, everything else fails with EPERM.
 *
 *   unitfilter FAMILY,FAMILY... PROGRAM [ARGUMENT...] < NAMES
 */
#include <errno.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void die(const char *what, int error)
{
	fprintf(stderr, "unitfilter: %s: %s\n", what, strerror(error));
	exit(1);
}

static const struct family {
	const char *name;
	int number;
} families[] = {
	{"AF_UNIX", AF_UNIX},
	{"AF_INET", AF_INET},
	{"AF_INET6", AF_INET6},
	{"AF_NETLINK", AF_NETLINK},
};

static void allow_family(scmp_filter_ctx filter, const char *name)
{
	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
		if (strcmp(families[i].name, name) != 0)
			continue;
		if (seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
				     SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)families[i].number)) < 0)
			die(name, EINVAL);
		return;
	}
	die(name, EAFNOSUPPORT);
}

/* Names that this architecture lacks are no error: the lists are made for all. */
static void allow_calls(scmp_filter_ctx filter)
{
	char name[128];

	while (scanf("%127s", name) == 1) {
		int number = seccomp_syscall_resolve_name(name);

		if (number == __NR_SCMP_ERROR || !strcmp(name, "socket"))
			continue;
		seccomp_rule_add(filter, SCMP_ACT_ALLOW, number, 0);
	}
}

int main(int argc, char **argv)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int rc;

	if (argc < 3 || !filter) {
		fputs("usage: unitfilter FAMILY,... PROGRAM [ARGUMENT...] < NAMES\n", stderr);
		return 2;
	}
	allow_calls(filter);
	for (char *name = strtok(argv[1], ","); name; name = strtok(NULL, ","))
		allow_family(filter, name);
	rc = seccomp_load(filter);
	if (rc < 0)
		die("seccomp_load", -rc);
	seccomp_release(filter);
	execvp(argv[2], argv + 2);
	die(argv[2], errno);
}
